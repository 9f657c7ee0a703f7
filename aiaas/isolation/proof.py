"""Run every attack in turn."""

import time
from collections.abc import Callable

from aiaas.isolation.caches import Eavesdropper, attack_keys, attack_memory
from aiaas.isolation.companies import found_company
from aiaas.isolation.doorways import HookAttack, UploadAttack, attack_files
from aiaas.isolation.functions import FunctionAttack
from aiaas.isolation.report import Report
from aiaas.isolation.sockets import SocketAttack
from aiaas.isolation.staff import StaffAttack
from aiaas.isolation.tables import TableAttack
from aiaas.isolation.urls import UrlAttack
from aiaas.isolation.work import WorkAttack

ATTACKS = (
    TableAttack,
    FunctionAttack,
    SocketAttack,
    WorkAttack,
    HookAttack,
    UploadAttack,
    StaffAttack,
    UrlAttack,
)


def prove(tell: Callable[[str], object] = lambda line: None) -> Report:
    """Make two companies full of marked data, set one upon the other everywhere, and report."""
    report = Report()
    with Eavesdropper().listening() as ear:
        victim, intruder = found_company(), found_company()
        for attack in ATTACKS:
            begin = time.monotonic()
            attack(report, victim, intruder).run()
            tell(f"{attack.__name__}: {time.monotonic() - begin:.1f} s")
    both = (victim, intruder)
    attack_keys(report, ear, both)
    attack_memory(report, both)
    attack_files(report, both)
    return report
