// Choose the visitor's own time zone, unless they have chosen already.
"use strict";
const zones = document.querySelector("[data-guess-time-zone]");
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zones && zones.value === "UTC" && [...zones.options].some((option) => option.value === own)) {
  zones.value = own;
}
