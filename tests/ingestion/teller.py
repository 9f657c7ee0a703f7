"""A parser that tells its environment."""

import json
import os
import sys

sys.stdout.write(json.dumps({"error": " ".join(os.environ)}))
