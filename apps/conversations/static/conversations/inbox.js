// The inbox: live queue and conversation, the keyboard, drafts, canned replies. Without it the forms still work.
"use strict";

(() => {
  const inbox = document.getElementById("inbox");
  if (!inbox) return;
  const POLL_MS = 4_000;
  const TYPING_SENT_EVERY_MS = 3_000;
  const TYPING_SHOWN_MS = 6_000;
  const NEWS_AT_MOST = 50; // of messages, and of notes, in one answer of the server
  const find = (id) => document.getElementById(id);
  const drafts = new Map();
  const timers = {};
  let wasMine = false;
  let pendingText = ""; // goes into the reply once the claim is granted

  // -- what is open

  const panel = () => find("panel");
  const item = () => panel().dataset.escalation || null;
  const conversation = () => panel().dataset.conversation || null;
  const standing = () => find("standing")?.firstElementChild.dataset || {};
  const lastOf = (name) => [...panel().querySelectorAll(`[data-${name}]`)].at(-1)?.dataset[name] || "";
  const hasDialog = () => Boolean(document.querySelector("dialog[open]"));

  function settlePanel() {
    inbox.classList.toggle("is-open", Boolean(conversation()));
    wasMine = false;
    posting = 0;
    settleQueue();
    settleStanding();
    for (const area of panel().querySelectorAll(".composer textarea")) area.value ||= drafts.get(draftOf(area)) || "";
    if (panel().querySelector("#note .errorlist")) compose("note", false);
    for (const dialog of panel().querySelectorAll("dialog[open]")) reopenAsModal(dialog);
    isAtEnd = true;
    sizes.disconnect();
    if (find("thread")) sizes.observe(find("thread")); // which scrolls down
    socket.view(conversation());
  }

  function reopenAsModal(dialog) {
    dialog.close();
    dialog.showModal();
  }

  // Who has the conversation decides whether the reply may be written; the text stays.
  function settleStanding() {
    const { mine, waiting, holder } = standing();
    const isMine = mine === "yes";
    const fields = find("reply")?.querySelector("fieldset");
    if (fields) fields.disabled = !isMine;
    if (find("claim-first")) {
      const why = waiting !== "yes" ? "ended" : holder ? "held" : "unclaimed";
      find("claim-first").hidden = isMine;
      for (const words of find("claim-first").querySelectorAll("[data-why]")) words.hidden = words.dataset.why !== why;
    }
    if (find("suggestion")) find("suggestion").hidden = waiting !== "yes";
    if (wasMine && !isMine && waiting === "yes" && holder) say(`${holder} took this over. What you wrote stays here.`);
    else if (isMine && !wasMine) find("panel-notice")?.querySelector("[data-said]")?.remove();
    wasMine = isMine;
  }

  function scrollDown() {
    const thread = find("thread");
    if (thread) thread.scrollTop = thread.scrollHeight;
  }

  // The newest message stays in sight, also when what is below grows, unless somebody reads older ones.
  let isAtEnd = true;
  const sizes = new ResizeObserver(() => isAtEnd && scrollDown());

  document.addEventListener(
    "scroll",
    ({ target: { id, scrollHeight, scrollTop, clientHeight } }) => {
      if (id === "thread") isAtEnd = scrollHeight - scrollTop - clientHeight < 80;
    },
    true,
  );

  // -- live

  let isFetching = false;
  let isStale = false;
  let posting = 0; // forms whose answer has not come yet
  let turn = 0; // grows with each form that is sent or answered

  async function fetchNews() {
    isStale = true;
    if (isFetching) return;
    isFetching = true;
    try {
      while (isStale && item()) {
        isStale = false;
        await fetchSome();
      }
    } catch {
      clearTimeout(timers.news);
      timers.news = setTimeout(fetchNews, POLL_MS);
    } finally {
      isFetching = false;
    }
  }

  async function fetchSome() {
    const asked = item();
    const askedAt = turn;
    const address = `${panel().dataset.newsUrl}?after=${lastOf("seq")}&after_note=${lastOf("note")}`;
    const answer = await fetch(address, { headers: { "HX-Request": "true" } });
    if (answer.headers.has("HX-Redirect")) return location.assign(answer.headers.get("HX-Redirect"));
    if (!answer.ok) throw new Error(String(answer.status));
    const news = await answer.text();
    if (asked !== item()) return void (isStale = true); // another conversation was opened meanwhile
    const before = panel().querySelectorAll(".entry").length;
    const lastSeq = Number(lastOf("seq"));
    const isOutdated = posting || turn !== askedAt;
    isStale ||= isOutdated && !posting;
    htmx.swap(find("thread"), isOutdated ? withoutStanding(news) : news, { swapStyle: "beforeend", swapDelay: 0, settleDelay: 0 });
    dropDoubles();
    settleStanding();
    if (isAtEnd) scrollDown();
    const entries = [...panel().querySelectorAll(".entry")];
    isStale ||= entries.length - before >= NEWS_AT_MOST;
    if (entries.some((entry) => Number(entry.dataset.seq) > lastSeq && entry.classList.contains("customer"))) hearCustomer();
  }

  // What was asked for before or during an action does not know what it changed, nor may it replace its form.
  function withoutStanding(news) {
    const parsed = new DOMParser().parseFromString(news, "text/html");
    parsed.querySelector("[hx-swap-oob]")?.remove();
    return parsed.body.innerHTML;
  }

  // What comes while somebody writes must be seen before the answer goes out.
  function hearCustomer() {
    showCustomerTyping(false);
    if (find("reply")?.querySelector("textarea").value.trim()) say("The customer wrote meanwhile: read it before you send.");
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
      else look();
    },
  });

  timers.poll = setInterval(look, POLL_MS); // until the socket is there

  function look() {
    refreshQueue();
    fetchNews();
  }

  // -- the queue: what is new is told by the title, to screen readers, and by a sound for who wants one

  const title = document.title;
  const queue = () => find("queue").dataset;
  let newest = queue().newest;

  function settleQueue() {
    for (const link of links())
      link.dataset.item === panel().dataset.escalation ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
    inboxWaits.show();
    const { unclaimed, toAnswer } = queue();
    const work = Number(unclaimed) + Number(toAnswer);
    document.title = work ? `(${work}) ${title}` : title;
    if (queue().newest <= newest) return;
    newest = queue().newest;
    find("announce").textContent = `Somebody new waits. ${unclaimed} unclaimed.`;
    inboxSound.play();
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
    if (!find("reply")) return;
    compose("reply");
    const area = find("reply").querySelector("textarea");
    if (area.matches(":disabled")) return claimAndInsert(text);
    find("suggestion")?.querySelector("details")?.removeAttribute("open");
    area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
    area.focus();
  }

  function claimAndInsert(text) {
    if (!find("claim")) return say("Take the conversation first, then insert the text.");
    pendingText = text;
    submit("claim");
  }

  function say(text) {
    const line = document.createElement("div");
    line.className = "banner";
    line.dataset.said = "";
    line.textContent = text;
    find("panel-notice")?.replaceChildren(line);
  }

  function chooseCanned(button) {
    cannedReplies.close();
    insert(button.dataset.canned);
  }

  document.addEventListener("input", (event) => {
    const area = event.target;
    if (area.id === "canned-search") return cannedReplies.filter(area.value);
    if (!area.form?.dataset.typing) return;
    drafts.set(draftOf(area), area.value);
    if (area.form.id === "reply") find("reply-seen").value = lastOf("seq");
    if (Date.now() - (timers.typed || 0) < TYPING_SENT_EVERY_MS) return;
    timers.typed = Date.now();
    socket.send({ type: "typing", to: area.form.dataset.typing });
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.compose) compose(button.dataset.compose);
    else if ("canned" in button.dataset) chooseCanned(button);
    else if (button.dataset.openDialog === "canned") cannedReplies.open();
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
  const open = (dialog) => panel().querySelector(`[data-open-dialog=${dialog}]`)?.click();
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    c: () => submit("claim"),
    t: () => submit("take-over"),
    r: () => compose("reply"),
    n: () => compose("note"),
    s: () => panel().querySelector("[data-use-suggestion]")?.click(),
    b: () => open("hand-back-dialog"),
    q: () => submit("release"),
    u: () => submit(find("undo") ? "undo" : "reopen"),
    "/": () => cannedReplies.open(),
    e: () => open("resolve-dialog"),
  };
  let isAfterG = false;

  document.addEventListener("keydown", (event) => {
    const area = event.target;
    const isWriting = area.matches("input, textarea, select");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && area.form) {
      event.preventDefault();
      return area.form.requestSubmit();
    }
    if (find("canned")?.open) cannedReplies.walk(event);
    if (event.key === "Enter" && area.id === "canned-search") {
      event.preventDefault();
      const [first] = cannedReplies.shown();
      return first && chooseCanned(first);
    }
    if (event.key === "/" && area.form?.id === "reply" && !area.value) {
      event.preventDefault();
      return cannedReplies.open();
    }
    if (event.key === "Escape" && isWriting && area.form?.dataset.typing) return find("panel-title").focus();
    const goes = isAfterG;
    isAfterG = event.key === "g" && !isWriting;
    if (isWriting || goes || event.ctrlKey || event.metaKey || event.altKey) return;
    if (hasDialog() || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // -- around each exchange

  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const path = detail.requestConfig.path;
    if (path.startsWith("/app/inbox/") && detail.requestConfig.verb === "post" && !path.includes(item())) detail.shouldSwap = false;
    if (detail.target.id === "notice" && find("panel-notice")) detail.target = find("panel-notice");
  });

  const isAction = ({ requestConfig: { verb, elt } }) => verb === "post" && elt.matches("form[id]");

  document.addEventListener("htmx:beforeSend", ({ detail }) => {
    if (!isAction(detail)) return;
    posting += 1;
    turn += 1;
  });

  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (!isAction(detail)) return;
    posting = Math.max(0, posting - 1);
    turn += 1;
    const form = detail.requestConfig.elt; // which its answer may have replaced
    if (detail.xhr.status === 200) done(form, detail.requestConfig.formData.get("text"));
    else if (detail.xhr.status === 422) fillAgain(form);
    else pendingText = "";
    fetchNews();
  });

  // Only what was sent is cleared, and the focus moves only for who has not gone elsewhere meanwhile.
  function done(form, sent) {
    if (["undo", "release"].includes(form.id)) wasMine = false; // nobody took it away
    settleStanding();
    for (const refusal of form.querySelectorAll(".errorlist")) refusal.remove();
    for (const field of form.querySelectorAll(".has-errors")) field.classList.remove("has-errors");
    for (const area of form.querySelectorAll("[aria-invalid]")) area.removeAttribute("aria-invalid");
    form.closest("dialog")?.close();
    const area = form.dataset.typing && form.querySelector("textarea");
    if (area && area.value === sent) {
      area.value = "";
      drafts.delete(draftOf(area));
    }
    if (["claim", "take-over", "reopen"].includes(form.id) && !hasDialog()) compose("reply");
    else if (["release", "hand-back", "resolve", "undo"].includes(form.id)) find("panel-title")?.focus();
    if (form.id === "claim" && pendingText) insert(pendingText);
    pendingText = "";
  }

  function fillAgain(form) {
    const area = form.querySelector("textarea");
    area.value = drafts.get(draftOf(area)) ?? area.value;
    area.focus();
  }

  document.addEventListener("htmx:afterSettle", (event) => {
    const id = event.detail.target?.id;
    if (id === "standing") settleStanding();
    else if (id === "panel") {
      settlePanel();
      fetchNews();
      if (!hasDialog()) find("panel-title")?.focus();
    } else if (id === "queue") settleQueue();
  });

  window.addEventListener("popstate", () => location.reload());
  if (conversation()) settlePanel();
  settleQueue();
})();
