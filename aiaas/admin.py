"""Where Django looks for what to register."""

import aiaas.staff.deletions
import aiaas.staff.domains
import aiaas.staff.log
import aiaas.staff.money
import aiaas.staff.people
import aiaas.staff.sign_ups
import aiaas.staff.tenants
import aiaas.staff.work  # noqa: F401
