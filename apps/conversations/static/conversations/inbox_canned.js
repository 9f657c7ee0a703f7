// The dialog of canned replies: find one by its words, walk with the arrow keys.
"use strict";

const cannedReplies = (() => {
  const dialog = () => document.getElementById("canned");
  const search = () => document.getElementById("canned-search");
  const shown = () => [...dialog().querySelectorAll("li:not([hidden]) [data-canned]")];

  function filter(words) {
    for (const button of dialog().querySelectorAll("[data-canned]"))
      button.parentElement.hidden = !button.textContent.toLowerCase().includes(words.toLowerCase().trim());
  }

  function open() {
    if (!dialog()) return;
    if (!dialog().open) dialog().showModal();
    if (!search()) return;
    search().value = "";
    filter("");
    search().focus();
  }

  function walk(event) {
    const at = shown().indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    (next < 0 ? search() : shown()[Math.min(next, shown().length - 1)])?.focus();
  }

  return { open, close: () => dialog().close(), filter, shown, walk };
})();
