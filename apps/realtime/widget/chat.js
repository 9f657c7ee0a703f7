const LONGEST_TIMER_MS = 2 ** 31 - 1;

// The custom element: panel, conversation, composer and forms in a shadow root.
class AIaaSChat extends HTMLElement {
  connectedCallback() {
    if (this.connection) return;
    this.unreadCount = 0;
    this.timers = new Map();
    this.stopListening = new AbortController();
    this.settings = settingsOf(this.dataset.key);
    this.isKnown = true; // until the welcome says that the visitor is asked who they are
    this.isFormOnly = false;
    this.opensAt = null;
    this.connect();
    this.build();
    this.listen();
    if ("preview" in this.dataset || this.connection.tab.value.isOpen) this.open({ focus: false });
  }

  disconnectedCallback() {
    if (!this.connection) return;
    this.connection.close();
    this.connection = null;
    this.stopListening.abort();
    for (const name of this.timers.keys()) this.cancel(name);
  }

  get texts() {
    return textsOf(this.dataset, this.settings);
  }

  connect() {
    const { key, token, url } = this.dataset;
    this.connection = "preview" in this.dataset ? new PreviewConnection() : new Connection({ url: url || REALTIME_URL, key: key || "", token, hear: (frame) => this.hear(frame) });
  }

  later(name, delayMs, run) {
    this.cancel(name);
    this.timers.set(name, setTimeout(run, delayMs));
  }

  cancel(name) {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
  }

  // Take changed options; another key or token is another visitor, so the thread starts afresh.
  update(options) {
    const before = this.dataset.key + this.dataset.token;
    for (const [name, value] of Object.entries(options)) {
      if (value == null) delete this.dataset[name];
      else this.dataset[name] = value;
    }
    const isAnother = before !== this.dataset.key + this.dataset.token;
    if (isAnother) this.settings = settingsOf(this.dataset.key);
    this.label();
    if (!isAnother) return;
    this.connection.close();
    this.connect();
    this.entry.setEnabled(true);
    this.clear();
    if (this.isOpen) this.connection.open();
  }

  // Show other settings: what a welcome tells, or what a company is trying out.
  apply(settings) {
    this.settings = { ...this.settings, ...settings };
    this.label();
  }

  // Look as after a welcome, for a company that tries its settings.
  preview({ settings, lang, view }) {
    this.dataset.lang = lang;
    this.isKnown = view !== "prechat";
    this.isFormOnly = view === "offline";
    const ink = { light: "#ffffff", dark: "#000000" }[settings.text_color] || inkOn(settings.color);
    this.apply({ ...settings, on_color: ink });
    this.clear();
    if (view === "rating") this.thread.showRating();
    this.entry.show({ afresh: true });
  }

  // -- building

  build() {
    const root = this.shadowRoot || this.attachShadow({ mode: "open" });
    this.sheet = new CSSStyleSheet();
    root.adoptedStyleSheets = [this.sheet];
    this.launcher = element("button", { type: "button", className: "launcher", "aria-controls": "panel", onclick: () => (this.isOpen ? this.close() : this.open()) });
    this.badge = element("span", { className: "badge", hidden: true });
    this.banner = element("div", { className: "banner", role: "status", hidden: true });
    this.thread = new Thread(this);
    this.entry = new Entry(this);
    this.panel = element("section", { id: "panel", className: "panel", role: "dialog", hidden: true, "aria-labelledby": "title" }, this.buildHeader(), this.banner, this.thread.node, this.entry.node);
    root.replaceChildren(this.panel, this.launcher);
    this.label();
    this.clear();
  }

  buildHeader() {
    this.heading = element("h2", { id: "title" });
    this.restartButton = element("button", { type: "button", onclick: () => this.restart() }, icon("restart"));
    this.closeButton = element("button", { type: "button", onclick: () => this.close() }, icon("close"));
    return element("header", {}, this.heading, this.restartButton, this.closeButton);
  }

  label() {
    const texts = this.texts;
    this.sheet.replaceSync(lookOf(this.dataset, this.settings));
    this.heading.textContent = texts.title;
    for (const [node, text] of [[this.closeButton, texts.close], [this.restartButton, texts.restart]]) node.ariaLabel = node.title = text;
    for (const node of [this.panel, this.launcher]) node.classList.toggle("left", this.settings.position === "left");
    this.panel.lang = this.launcher.lang = texts.language;
    this.entry.label(texts);
    this.thread.label();
    this.labelLauncher();
  }

  labelLauncher() {
    const { unread, launcher, open, close } = this.texts;
    const isShut = !this.isOpen || "preview" in this.dataset; // a company looks at the button, too
    const words = isShut ? launcher : "";
    const count = this.unreadCount ? ` (${unread.replace("{n}", this.unreadCount)})` : "";
    this.launcher.replaceChildren(icon(isShut ? this.settings.icon : "close"), words, this.badge);
    this.launcher.classList.toggle("worded", Boolean(words));
    this.launcher.ariaLabel = (this.isOpen ? close : [words, open].filter(Boolean).join(", ")) + count;
    this.launcher.ariaExpanded = String(Boolean(this.isOpen));
    this.badge.textContent = this.unreadCount;
    this.badge.hidden = !this.unreadCount;
  }

  listen() {
    const { signal } = this.stopListening;
    window.addEventListener("online", () => this.connection.retryNow(), { signal });
    window.addEventListener("offline", () => this.showBanner(this.texts.offline, true), { signal });
    this.shadowRoot.addEventListener("keydown", (event) => this.onPanelKey(event), { signal });
    document.addEventListener("click", (event) => this.onPageClick(event), { signal });
  }

  // -- opening and closing

  open({ focus = true } = {}) {
    if (!this.isOpen) {
      this.isOpen = true;
      this.opener = document.activeElement;
      this.panel.hidden = false;
      if (this.unreadCount) this.markRead(this.connection.lastSeq);
      this.unreadCount = 0;
      this.labelLauncher();
      this.connection.tab.save({ isOpen: true });
      this.connection.open();
      this.tell("open");
    }
    this.thread.scrollDown();
    if (focus) this.entry.focus();
  }

  close() {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.panel.hidden = true;
    this.labelLauncher();
    this.connection.tab.save({ isOpen: false });
    const opener = this.opener && this.opener.isConnected && this.opener !== document.body && this.opener !== this ? this.opener : this.launcher;
    opener.focus();
    this.tell("close");
  }

  onPanelKey(event) {
    if (event.key === "Escape" && this.isOpen) {
      event.stopPropagation();
      this.close();
    } else if (event.key === "Tab" && this.isOpen && !("preview" in this.dataset)) this.keepFocus(event);
  }

  keepFocus(event) {
    const stops = [...this.panel.querySelectorAll("button:not(:disabled), a[href], textarea, input, summary, .scroll")].filter((node) => node.checkVisibility());
    const at = stops.indexOf(this.shadowRoot.activeElement);
    const leaves = event.shiftKey ? at <= 0 : at === stops.length - 1;
    if (!leaves) return;
    event.preventDefault();
    stops[event.shiftKey ? stops.length - 1 : 0].focus();
  }

  onPageClick(event) {
    const asked = event.target instanceof Element && event.target.closest("[data-aiaas-ask]");
    if (asked) this.ask(asked.dataset.aiaasAsk || asked.textContent.trim());
  }

  // -- writing

  ask(text) {
    this.open();
    if (this.isFormOnly) this.entry.carryOver(text);
    else this.say(text.slice(0, MAX_TEXT));
  }

  say(text) {
    this.thread.showPending(this.connection.send(text));
    this.thread.scrollDown();
  }

  restart() {
    this.connection.close();
    this.connection.forget();
    this.connection.tab.save({ unsent: [] });
    this.clear();
    this.connection.open();
    this.entry.focus();
  }

  // -- hearing

  hear(frame) {
    const heard = {
      connection: () => this.showConnection(frame),
      restart: () => this.clear(),
      welcome: () => this.onWelcome(frame),
      profile: () => ((this.isKnown = true), this.entry.goOn()),
      ack: () => frame.seq === undefined && this.entry.finish(),
      message: () => this.onMessage(frame),
      typing: () => frame.author !== "customer" && this.thread.showTyping(frame.active !== false, frame.author),
      delta: () => this.thread.showDelta(frame),
      status: () => this.onStatus(frame),
      error: () => this.onError(frame),
    }[frame.type];
    if (heard) heard();
  }

  onWelcome(frame) {
    if (frame.settings && frame.settings.version !== this.settings.version) this.apply(frame.settings);
    if (frame.snapshot) this.clear();
    this.isKnown = frame.known !== false;
    this.noteHours(frame);
    this.thread.showTyping(false);
    this.showStatus(frame.state);
    if (this.entry.form && !this.connection.left) this.entry.form.setBusy(false);
    for (const { client_message_id } of this.isFormOnly ? this.connection.unsent : []) this.giveUp(client_message_id);
    this.entry.show();
  }

  // When the team comes back, the form makes way for the chat.
  noteHours({ opens_at, form_only }) {
    this.opensAt = opens_at ? new Date(opens_at) : null;
    this.isFormOnly = Boolean(form_only);
    this.cancel("opens");
    if (!this.opensAt) return;
    const open = () => {
      this.noteHours({});
      this.showStatus();
      this.entry.show();
    };
    this.later("opens", Math.min(Math.max(this.opensAt - Date.now(), 0) + 1000, LONGEST_TIMER_MS), open);
  }

  onStatus(frame) {
    if ("opens_at" in frame) this.opensAt = new Date(frame.opens_at);
    this.showStatus(frame.state);
  }

  onMessage(frame) {
    this.thread.show(frame);
    if (frame.author !== "customer") this.onReply(frame);
    this.tell("message", { seq: frame.seq, author: frame.author, text: frame.text });
  }

  onReply(frame) {
    if (frame.author === "ai") this.thread.showRating();
    if (frame.seq <= (this.connection.kept.value.read_seq || 0)) return;
    if (this.isOpen) this.markRead(frame.seq);
    else this.unreadCount += 1;
    this.labelLauncher();
  }

  markRead(seq) {
    this.connection.kept.save({ read_seq: seq });
    this.connection.transmit({ type: "read", seq });
  }

  onError(frame) {
    this.tell("error", { code: frame.code, detail: frame.detail });
    const id = frame.client_message_id;
    if (frame.code === "token_expired") this.refusal = this.texts.expired;
    if (frame.code === "profile_first") return this.askFirst();
    if (frame.code === "closed_now") return this.turnAway(frame);
    if (id && frame.retry_after_s) return this.later(id, frame.retry_after_s * 1000 + 100, () => this.connection.resend(id));
    const left = this.connection.left;
    if (id) this.connection.drop(id);
    if (this.thread.bubbles.has(id)) this.thread.showFailure(frame);
    else if (this.entry.form) this.entry.form.fail(frame);
    else if (left && left.client_message_id === id) this.entry.fill(left.text); // the company chats again
  }

  askFirst() {
    this.connection.hold();
    this.isKnown = this.entry.hasSkipped = false;
    this.entry.show();
    this.entry.focus();
  }

  turnAway(frame) {
    this.noteHours({ opens_at: frame.opens_at, form_only: true });
    this.giveUp(frame.client_message_id);
    this.entry.focus();
  }

  giveUp(clientMessageId) {
    this.connection.drop(clientMessageId);
    if (this.thread.bubbles.has(clientMessageId)) this.entry.carryOver(this.thread.withdraw(clientMessageId));
  }

  // -- showing

  clear() {
    this.showStatus("open");
    this.thread.clear();
  }

  showConnection({ state, failures }) {
    this.cancel("connecting");
    if (state === "online") this.showStatus(this.state);
    else if (state === "connecting") this.later("connecting", 1500, () => this.banner.hidden && this.showBanner(this.texts.connecting, false));
    else if (state === "refused") this.refuse();
    else if (failures > 0 || !navigator.onLine) this.showBanner(navigator.onLine ? this.texts.reconnecting : this.texts.offline, true);
    this.tell("status", { state });
  }

  refuse() {
    this.showBanner(this.refusal || this.texts.refused, true);
    this.entry.setEnabled(false);
  }

  showStatus(state) {
    const wasWithAgent = this.state === "with_agent";
    this.state = state || this.state || "open";
    if (wasWithAgent && ["open", "closed"].includes(this.state)) this.thread.showRating();
    const { escalated, with_agent, closed } = this.texts;
    const called = [escalated, this.backText()].filter(Boolean).join(" ");
    this.showBanner({ escalated: called, with_agent, closed }[this.state] || "", false);
  }

  backText() {
    return this.opensAt ? this.texts.back.replace("{when}", whenText(this.opensAt, this.texts.language)) : "";
  }

  showBanner(text, isWarning) {
    this.banner.textContent = text;
    this.banner.hidden = !text;
    this.banner.classList.toggle("warn", isWarning);
  }

  tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(`aiaas:${name}`, { bubbles: true, composed: true, detail }));
  }
}
