"""Where Django looks for what to register."""

import aiaas.staff.money
import aiaas.staff.people
import aiaas.staff.tenants
import aiaas.staff.work  # noqa: F401
