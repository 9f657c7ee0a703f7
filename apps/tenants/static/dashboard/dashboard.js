// What every page of the dashboard does: theme, menu, dialogs, shortcuts, small courtesies by data attributes.
"use strict";

(() => {
  const root = document.documentElement;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  function toggleTheme() {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // The choice then lasts for this page only.
    }
  }

  function toggleMenu(button) {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    document.getElementById("sidebar").classList.toggle("is-open", !isOpen);
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(source.value ?? source.textContent.trim());
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-theme-toggle],[data-menu-toggle],[data-open-dialog],[data-copy]");
    if (!target) return;
    if ("themeToggle" in target.dataset) toggleTheme();
    else if ("menuToggle" in target.dataset) toggleMenu(target);
    else if ("copy" in target.dataset) copy(target);
    else document.getElementById(target.dataset.openDialog).showModal();
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-submit-on-change]");
    if (form) form.requestSubmit();
  });

  // Ask before what cannot be undone; the question is in data-confirm.
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
    else if (!event.target.matches("[hx-post],[data-hx-post],[method=dialog]")) holdButton(event);
  });

  // One click, one request: the button waits for the next page.
  function holdButton(event) {
    const button = event.submitter;
    if (!button || event.defaultPrevented) return;
    setTimeout(() => button.setAttribute("aria-disabled", "true"));
    setTimeout(() => button.removeAttribute("aria-disabled"), 5000);
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("button[aria-disabled=true]")) event.preventDefault();
  });

  const GOES = { o: "/app/", i: "/app/inbox/", c: "/app/conversations/", k: "/app/knowledge/" };
  let isGoing = false;

  const isWriting = (element) =>
    element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName);

  document.addEventListener("keydown", (event) => {
    if (isWriting(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isGoing && GOES[event.key]) return location.assign(GOES[event.key]);
    isGoing = event.key === "g";
    if (event.key === "?") document.getElementById("shortcuts")?.showModal();
    if (event.key === "/") {
      const search = document.querySelector("main input[type=search]");
      if (search) {
        event.preventDefault();
        search.focus();
      }
    }
  });

  // Times are written in UTC; the reader's browser shows its own zone.
  function localise(scope) {
    for (const time of scope.querySelectorAll("time[datetime]:not([data-local])")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      time.dataset.local = "";
      time.title = time.textContent.trim();
      const timeStyle = "precise" in time.dataset ? "medium" : "short"; // to the second
      time.textContent = moment.toLocaleString([], { dateStyle: "medium", timeStyle });
    }
  }

  // What scrolls sideways must be reachable by keyboard, also once a phone is turned or a row gets longer.
  const SCROLLS = ".table-wrap, pre";
  const widths = new ResizeObserver((entries) => {
    for (const box of new Set(entries.map(({ target }) => target.closest(SCROLLS)))) {
      if (!box) continue; // swapped out before its size was told
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  });

  function makeScrollable(scope) {
    for (const box of scope.querySelectorAll(SCROLLS)) {
      widths.observe(box);
      for (const content of box.children) widths.observe(content);
    }
  }

  function prepare(scope) {
    localise(scope);
    makeScrollable(scope);
  }

  document.addEventListener("htmx:load", (event) => prepare(event.target));
  prepare(document);

  // Reading on is easier when the newest notice is in sight.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "notice") event.target.scrollIntoView({ block: "nearest" });
  });
})();
