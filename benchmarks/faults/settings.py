"""Settings of processes that die when they are told."""

from aiaas.settings.local import *  # noqa: F403
from aiaas.settings.local import INSTALLED_APPS as PRODUCT  # type: ignore[attr-defined]

INSTALLED_APPS = [*PRODUCT, "benchmarks.faults.mortal.MortalConfig"]
