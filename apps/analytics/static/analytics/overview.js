// Figures are replaced while one reads: what was opened stays open, and the focus where it was.
"use strict";

(() => {
  let open = [];

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id === "figures")
      open = [...event.target.querySelectorAll("details[open]")].map((details) => details.id);
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "figures") return;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  });
})();
