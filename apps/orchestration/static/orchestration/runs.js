// The list of runs: one box ticks all of the page, and a line says how many are chosen.
"use strict";

(() => {
  const form = document.querySelector("[data-tick-form]");
  const all = form?.querySelector("[data-tick-all]");
  if (!all) return;
  const boxes = [...form.querySelectorAll('input[name="ids"]')];
  const count = form.querySelector("[data-tick-count]");

  function tell() {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && !all.checked;
    count.textContent = chosen ? `${chosen} chosen` : "";
  }

  all.hidden = false;
  all.addEventListener("change", () => {
    boxes.forEach((box) => { box.checked = all.checked; });
    tell();
  });
  form.addEventListener("change", tell);
  tell();
})();
