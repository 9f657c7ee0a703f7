"""What lock files ask of this machine, and whether a folder of packages has it."""

import operator
import platform
import re
import sys
from pathlib import Path

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))?(?: \\)?$", re.MULTILINE)
COMPARISON = re.compile(r"(\w+) (==|!=|<=|>=|<|>) '([^']*)'")
OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MACHINE = {
    "sys_platform": sys.platform,
    "platform_machine": platform.machine(),
    "implementation_name": sys.implementation.name,
    "platform_python_implementation": platform.python_implementation(),
    "python_full_version": platform.python_version(),
}


def pins(lock: Path) -> dict[str, str]:
    """Return the pinned version of each package that the lock wants on this machine."""
    found = PIN.findall(lock.read_text())
    return {_normal(name): version for name, version, marker in found if not marker or applies(marker)}


def has_pins(site_packages: Path, locks: list[Path]) -> bool:
    """Whether every pinned package is installed there in its version."""
    names = [path.name.removesuffix(".dist-info") for path in site_packages.glob("*.dist-info")]
    installed = {(_normal(name.rsplit("-", 1)[0]), name.rsplit("-", 1)[-1]) for name in names}
    return all(pins(lock).items() <= installed for lock in locks)


def applies(marker: str) -> bool:
    """Evaluate an environment marker as lock files hold them: comparisons under `and` under `or`."""
    return any(all(_holds(term) for term in clause.split(" and ")) for clause in marker.split(" or "))


def _holds(comparison: str) -> bool:
    parts = COMPARISON.fullmatch(comparison.strip())
    if parts is None:
        raise ValueError(f"unknown marker in the lock file: {comparison}")
    name, sign, value = parts.groups()
    if name == "python_full_version":
        return OPERATORS[sign](_version(MACHINE[name]), _version(value))
    return OPERATORS[sign](MACHINE[name], value)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
