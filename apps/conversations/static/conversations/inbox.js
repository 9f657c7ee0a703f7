// The inbox: live queue and conversation, the keyboard, drafts, canned replies. Without it the forms still work.
"use strict";

(() => {
  const inbox = document.getElementById("inbox");
  if (!inbox) return;
  const POLL_MS = 4_000;
  const TYPING_SENT_EVERY_MS = 3_000;
  const TYPING_SHOWN_MS = 6_000;
  const find = (id) => document.getElementById(id);
  const drafts = new Map();
  const timers = {};
  let openedBy = "load";

  // -- what is open

  const panel = () => find("panel");
  const conversation = () => panel().dataset.conversation || null;
  const lastOf = (name) => [...panel().querySelectorAll(`[data-${name}]`)].at(-1)?.dataset[name] || "";

  function settlePanel() {
    inbox.classList.toggle("is-open", Boolean(conversation()));
    for (const link of inbox.querySelectorAll(".queue-list a"))
      link.dataset.item === panel().dataset.escalation ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
    settleStanding();
    for (const area of panel().querySelectorAll("textarea")) area.value ||= drafts.get(draftOf(area)) || "";
    if (panel().querySelector("#note .errorlist")) compose("note", false);
    find("resolve-dialog")?.hasAttribute("open") && reopenAsModal(find("resolve-dialog"));
    scrollDown();
    socket.view(conversation());
  }

  function reopenAsModal(dialog) {
    dialog.close();
    dialog.showModal();
  }

  // Who has the conversation decides whether the reply may be written; the text stays.
  function settleStanding() {
    const isMine = find("standing")?.dataset.mine === "yes";
    const fields = find("reply")?.querySelector("fieldset");
    if (fields) fields.disabled = !isMine;
    if (find("claim-first")) find("claim-first").hidden = isMine;
  }

  function scrollDown() {
    const thread = find("thread");
    if (thread) thread.scrollTop = thread.scrollHeight;
  }

  // -- live

  let isFetching = false;
  let isStale = false;

  async function fetchNews() {
    if (!conversation()) return;
    if (isFetching) return void (isStale = true);
    isFetching = true;
    const address = `${panel().dataset.newsUrl}?after=${lastOf("seq")}&after_note=${lastOf("note")}`;
    try {
      await htmx.ajax("GET", address, { target: "#thread", swap: "beforeend" });
    } finally {
      isFetching = false;
    }
    if (!isStale) return;
    isStale = false;
    fetchNews();
  }

  // Two answers may hold the same message; it is shown once.
  function dropDoubles() {
    const seen = new Set();
    for (const entry of panel().querySelectorAll(".entry")) {
      if (seen.has(entry.id)) entry.remove();
      seen.add(entry.id);
    }
  }

  const refreshQueue = () => htmx.trigger("#queue", "refresh");

  function showPresence({ conversation_id, people }) {
    const line = find("presence");
    if (!line || conversation_id !== conversation()) return;
    line.textContent = people.map(({ name, is_typing }) => `${name} is ${is_typing ? "typing…" : "viewing this"}`).join(", ");
    line.hidden = !people.length;
    clearTimeout(timers.presence);
    if (people.some((person) => person.is_typing))
      timers.presence = setTimeout(
        () => showPresence({ conversation_id, people: people.map((person) => ({ ...person, is_typing: false })) }),
        TYPING_SHOWN_MS,
      );
  }

  function showCustomerTyping(isTyping) {
    const line = find("customer-typing");
    if (!line) return;
    line.hidden = !isTyping;
    clearTimeout(timers.customer);
    if (isTyping) timers.customer = setTimeout(() => (line.hidden = true), TYPING_SHOWN_MS);
  }

  const hears = {
    queue: refreshQueue,
    news: fetchNews,
    typing: (frame) => showCustomerTyping(frame.active),
    presence: showPresence,
  };

  const socket = new InboxSocket({
    ticketUrl: inbox.dataset.ticketUrl,
    hear: (frame) => hears[frame.type]?.(frame),
    tellOnline(isOnline) {
      clearInterval(timers.poll);
      if (!isOnline) timers.poll = setInterval(look, POLL_MS);
      else if (inbox.dataset.wasAway) look();
      inbox.dataset.wasAway = isOnline ? "" : "yes";
    },
  });

  function look() {
    refreshQueue();
    fetchNews();
  }

  // -- writing

  const draftOf = (area) => `${conversation()}:${area.form.id}`;

  function compose(kind, focus = true) {
    for (const form of [find("reply"), find("note")]) form?.classList.toggle("js-hidden", form.id !== kind);
    for (const button of panel().querySelectorAll("[data-compose]"))
      button.setAttribute("aria-pressed", String(button.dataset.compose === kind));
    if (focus) find(kind)?.querySelector("textarea").focus();
  }

  function insert(text) {
    compose("reply");
    const area = find("reply").querySelector("textarea");
    if (area.matches(":disabled")) return say("Claim the conversation first, then insert the text.");
    area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
    area.focus();
  }

  function say(text) {
    const line = document.createElement("div");
    line.className = "banner";
    line.textContent = text;
    find("notice").replaceChildren(line);
  }

  function openCanned() {
    const dialog = find("canned");
    if (!dialog) return;
    if (!dialog.open) dialog.showModal();
    const search = find("canned-search");
    if (!search) return;
    search.value = "";
    filterCanned("");
    search.focus();
  }

  function filterCanned(words) {
    for (const button of find("canned").querySelectorAll("[data-canned]"))
      button.parentElement.hidden = !button.textContent.toLowerCase().includes(words.toLowerCase().trim());
  }

  function chooseCanned(button) {
    find("canned").close();
    insert(button.dataset.canned.replaceAll("{customer_name}", button.dataset.customer));
  }

  document.addEventListener("input", (event) => {
    const area = event.target;
    if (area.id === "canned-search") return filterCanned(area.value);
    if (!area.form?.dataset.typing) return;
    drafts.set(draftOf(area), area.value);
    if (Date.now() - (timers.typed || 0) < TYPING_SENT_EVERY_MS) return;
    timers.typed = Date.now();
    socket.send({ type: "typing", to: area.form.dataset.typing });
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.compose) compose(button.dataset.compose);
    else if ("canned" in button.dataset) chooseCanned(button);
    else if (button.dataset.openDialog === "canned") openCanned();
    else if ("closeDialog" in button.dataset) button.closest("dialog").close();
    else if ("useSuggestion" in button.dataset) insert(find("suggested").textContent);
  });

  // -- the keyboard

  const links = () => [...inbox.querySelectorAll(".queue-list a")];

  function move(step) {
    const all = links();
    const at = all.indexOf(document.activeElement);
    const from = at >= 0 ? at : all.findIndex((link) => link.hasAttribute("aria-current"));
    all[Math.max(0, Math.min(all.length - 1, from + step))]?.focus();
  }

  const submit = (id) => find(id)?.requestSubmit();
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    c: () => submit("claim"),
    r: () => compose("reply"),
    n: () => compose("note"),
    b: () => submit("release"),
    "/": openCanned,
    e: () => panel().querySelector("[data-open-dialog=resolve-dialog]")?.click(),
  };
  let isAfterG = false;

  document.addEventListener("keydown", (event) => {
    const area = event.target;
    const isWriting = area.matches("input, textarea, select");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && area.form) {
      event.preventDefault();
      return area.form.requestSubmit();
    }
    if (event.key === "Enter" && area.id === "canned-search") {
      event.preventDefault();
      const first = find("canned").querySelector("li:not([hidden]) [data-canned]");
      return first && chooseCanned(first);
    }
    if (event.key === "/" && area.form?.id === "reply" && !area.value) {
      event.preventDefault();
      return openCanned();
    }
    if (event.key === "Escape" && isWriting && area.form?.dataset.typing) return find("panel-title").focus();
    const goes = isAfterG;
    isAfterG = event.key === "g" && !isWriting;
    if (isWriting || goes || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // -- after each exchange

  document.addEventListener("htmx:beforeRequest", (event) => {
    // Not what the panel fetches by itself, such as the suggestion.
    if (event.target.matches?.("#panel form, .queue-list a")) openedBy = event.target.id;
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.target;
    if (form.matches?.("#reply, #note") && event.detail.xhr.status === 200) drafts.delete(`${conversation()}:${form.id}`);
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "panel" && event.detail.xhr.status === 200 && ["reply", "note"].includes(openedBy))
      drafts.delete(`${conversation()}:${openedBy}`);
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id === "thread") {
      dropDoubles();
      settleStanding();
      scrollDown();
    } else if (event.detail.target.id === "panel") {
      settlePanel();
      refreshQueue();
      placeFocus();
    } else if (event.detail.target.id === "queue") settleQueue();
  });

  // The focus goes where the work goes on: to the reply after a claim, else to the conversation's heading.
  function placeFocus() {
    if (document.querySelector("dialog[open]")) return;
    if (["claim", "reply", "reopen"].includes(openedBy)) compose("reply");
    else if (openedBy === "note") compose("note");
    else find("panel-title")?.focus();
  }

  function settleQueue() {
    for (const link of links())
      link.dataset.item === panel().dataset.escalation ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }

  window.addEventListener("popstate", () => location.reload());
  if (conversation()) settlePanel();
})();
