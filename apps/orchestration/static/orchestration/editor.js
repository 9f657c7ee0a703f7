// The YAML editor: Tab indents, Escape then Tab leaves; a problem's button goes to its line.
"use strict";

(() => {
  const area = document.querySelector("[data-yaml]");
  if (!area) return;
  let leaves = false;

  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leaves = true;
    else if (event.key === "Tab" && !event.shiftKey && !leaves) {
      event.preventDefault();
      area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    } else leaves = false;
    if ((event.ctrlKey || event.metaKey) && event.key === "s") {
      event.preventDefault();
      area.form.submit();
    }
  });

  // htmx checks what is written; the button saves, as without htmx.
  area.form.querySelector("[data-save]")?.addEventListener("click", (event) => {
    event.preventDefault();
    area.form.submit();
  });

  function goTo(line, column) {
    const lines = area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    area.focus();
    area.setSelectionRange(start, start + (lines[line - 1] || "").length);
    const height = area.scrollHeight / Math.max(lines.length, 1);
    area.scrollTop = Math.max(0, (line - 5) * height);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-line]");
    if (button) goTo(Number(button.dataset.line), Number(button.dataset.column));
  });
})();
