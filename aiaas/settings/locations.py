"""What must be known before the settings can load: the .env file and the data folder."""

import os
from pathlib import Path

import environ

ROOT = Path(__file__).resolve().parents[2]


def read_dotenv() -> None:
    """Take over the variables of .env that the environment does not have; tests know no .env."""
    if not os.environ.get("DJANGO_SETTINGS_MODULE", "").endswith(".test"):
        environ.Env.read_env(ROOT / ".env")


def default_data_dir() -> Path:
    """Return where the embedded servers keep their data: $AIAAS_DATA or .aiaas."""
    return Path(os.environ.get("AIAAS_DATA") or ROOT / ".aiaas").expanduser().absolute()
