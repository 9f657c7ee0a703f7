const MAX_TEXT = 4000;
const TYPING_SHOWN_MS = 60_000;
const AGENT_TYPING_SHOWN_MS = 6_000;
const TYPING_SENT_EVERY_MS = 3_000;
const CSS_COLOR = /^(#[0-9a-f]{3,8}|[a-z]{3,30}|(rgb|hsl|oklch)\([\d\s.,%/deg]+\))$/i;

// The custom element: panel, conversation and composer in a shadow root.
class AIaaSChat extends HTMLElement {
  connectedCallback() {
    if (this.connection) return;
    this.unreadCount = 0;
    this.bubbles = new Map(); // client_message_id -> bubble that is not stored yet
    this.timers = new Map();
    this.stopListening = new AbortController();
    this.connect();
    this.build();
    this.listen();
    if (this.connection.tab.value.isOpen) this.open({ focus: false });
  }

  disconnectedCallback() {
    if (!this.connection) return;
    this.connection.close();
    this.connection = null;
    this.stopListening.abort();
    for (const name of this.timers.keys()) this.cancel(name);
  }

  get texts() {
    const wanted = (this.dataset.lang || document.documentElement.lang || navigator.language || "en").slice(0, 2).toLowerCase();
    return { ...TEXTS.en, ...TEXTS[wanted] };
  }

  connect() {
    const { key, token, url } = this.dataset;
    this.connection = new Connection({ url: url || REALTIME_URL, key: key || "", token, hear: (frame) => this.hear(frame) });
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
    this.label();
    if (before === this.dataset.key + this.dataset.token) return;
    this.connection.close();
    this.connect();
    this.input.disabled = false;
    this.clear();
    if (this.isOpen) this.connection.open();
  }

  // -- building

  build() {
    const root = this.shadowRoot || this.attachShadow({ mode: "open" });
    this.sheet = new CSSStyleSheet();
    root.adoptedStyleSheets = [this.sheet];
    this.launcher = element("button", { type: "button", className: "launcher", "aria-controls": "panel", onclick: () => (this.isOpen ? this.close() : this.open()) });
    this.badge = element("span", { className: "badge", hidden: true });
    this.banner = element("div", { className: "banner", role: "status", hidden: true });
    this.thread = element("div", { className: "thread", role: "log", "aria-live": "polite", "aria-relevant": "additions" });
    this.live = element("div", { className: "live", "aria-live": "off" });
    this.scroller = element("div", { className: "scroll", tabIndex: 0 }, this.thread, this.live);
    this.panel = element("section", { id: "panel", className: "panel", role: "dialog", hidden: true, "aria-labelledby": "title" }, this.buildHeader(), this.banner, this.scroller, this.buildComposer());
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

  buildComposer() {
    this.input = element("textarea", { rows: 1, id: "input", maxLength: MAX_TEXT, oninput: () => this.onInput(), onkeydown: (event) => this.onInputKey(event) });
    this.sendButton = element("button", { type: "submit", disabled: true }, icon("send"));
    return element("form", { onsubmit: (event) => (event.preventDefault(), this.submit()) }, this.input, this.sendButton);
  }

  label() {
    const texts = this.texts;
    const color = this.dataset.color || "";
    this.sheet.replaceSync(CSS + (CSS_COLOR.test(color) ? `\n:host { --brand: ${color}; }` : ""));
    this.heading.textContent = this.dataset.title || texts.title;
    for (const [node, text] of [[this.closeButton, texts.close], [this.restartButton, texts.restart], [this.sendButton, texts.send]]) node.ariaLabel = node.title = text;
    this.thread.ariaLabel = this.scroller.ariaLabel = texts.log;
    this.input.placeholder = this.input.ariaLabel = texts.placeholder;
    this.labelLauncher();
  }

  labelLauncher() {
    const unread = this.unreadCount ? ` (${this.texts.unread.replace("{n}", this.unreadCount)})` : "";
    this.launcher.replaceChildren(icon(this.isOpen ? "close" : "chat"), this.badge);
    this.launcher.ariaLabel = (this.isOpen ? this.texts.close : this.texts.open) + unread;
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
    this.scrollDown();
    if (focus) this.input.focus();
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
    } else if (event.key === "Tab" && this.isOpen) this.keepFocus(event);
  }

  keepFocus(event) {
    const stops = [...this.panel.querySelectorAll("button:not(:disabled), a[href], textarea, summary, .scroll")].filter((node) => node.checkVisibility());
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

  onInput() {
    this.input.style.height = "auto"; // through the CSSOM, which a strict CSP allows
    this.input.style.height = `${this.input.scrollHeight + 2}px`;
    this.sendButton.disabled = !this.input.value.trim();
    const now = Date.now();
    if (this.input.value && now - (this.typingSentAt || 0) > TYPING_SENT_EVERY_MS) {
      this.typingSentAt = now;
      this.connection.transmit({ type: "typing" });
    }
  }

  onInputKey(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.submit();
  }

  submit() {
    const text = this.input.value.trim();
    if (!text) return;
    this.input.value = "";
    this.onInput();
    this.say(text);
  }

  ask(text) {
    this.open();
    this.say(text.slice(0, MAX_TEXT));
  }

  say(text) {
    this.showPending(this.connection.send(text));
    this.scrollDown();
  }

  restart() {
    this.connection.close();
    this.connection.forget();
    this.connection.tab.save({ unsent: [] });
    this.clear();
    this.connection.open();
    this.input.focus();
  }

  // -- hearing

  hear(frame) {
    const heard = {
      connection: () => this.showConnection(frame),
      restart: () => this.clear(),
      welcome: () => this.onWelcome(frame),
      message: () => this.onMessage(frame),
      typing: () => frame.author !== "customer" && this.showTyping(frame.active !== false, frame.author),
      delta: () => this.onDelta(frame),
      status: () => this.showStatus(frame.state),
      error: () => this.onError(frame),
    }[frame.type];
    if (heard) heard();
  }

  onWelcome(frame) {
    if (frame.snapshot) this.clear();
    this.showTyping(false);
    this.showStatus(frame.state);
  }

  onMessage(frame) {
    const isAtEnd = this.isAtEnd();
    const known = this.bubbles.get(frame.client_message_id);
    this.bubbles.delete(frame.client_message_id);
    const bubble = this.renderMessage(frame);
    if (known) known.remove();
    this.thread.insertBefore(bubble, this.thread.querySelector(".pending"));
    if (frame.author !== "customer") this.onReply(frame);
    if (isAtEnd) this.scrollDown();
    this.tell("message", { seq: frame.seq, author: frame.author, text: frame.text });
  }

  onReply(frame) {
    this.showTyping(false);
    this.live.replaceChildren();
    if (frame.author === "ai") this.showRating();
    if (frame.seq <= (this.connection.kept.value.read_seq || 0)) return;
    if (this.isOpen) this.markRead(frame.seq);
    else this.unreadCount += 1;
    this.labelLauncher();
  }

  markRead(seq) {
    this.connection.kept.save({ read_seq: seq });
    this.connection.transmit({ type: "read", seq });
  }

  // Offsets count code points, as the server does; text after a hole waits for the whole message.
  onDelta(frame) {
    const isAtEnd = this.isAtEnd();
    if (!this.stream || this.stream.id !== frame.reply_id || !this.stream.node.isConnected) this.startStream(frame.reply_id);
    const points = [...frame.text];
    const skipped = this.stream.length - frame.offset;
    if (skipped < 0 || skipped >= points.length) return;
    this.stream.text.append(points.slice(skipped).join(""));
    this.stream.length += points.length - skipped;
    if (isAtEnd) this.scrollDown();
  }

  startStream(id) {
    this.showTyping(false);
    const text = element("div", { className: "text" });
    const node = element("div", { className: "msg ai", "aria-busy": "true" }, element("div", { className: "who" }, this.texts.ai), text);
    this.live.replaceChildren(node);
    this.stream = { id, node, text, length: 0 };
  }

  onError(frame) {
    this.tell("error", { code: frame.code, detail: frame.detail });
    if (frame.code === "token_expired") this.refusal = this.texts.expired;
    const bubble = this.bubbles.get(frame.client_message_id);
    if (!bubble) return;
    if (frame.retry_after_s) {
      this.later(frame.client_message_id, frame.retry_after_s * 1000 + 100, () => this.connection.resend(frame.client_message_id));
      return;
    }
    this.connection.drop(frame.client_message_id);
    this.showFailure(bubble, frame);
  }

  // -- showing

  clear() {
    this.bubbles.clear();
    this.live.replaceChildren();
    this.showStatus("open");
    this.thread.replaceChildren(this.renderMessage({ author: "ai", text: this.dataset.greeting || this.texts.greeting }));
    for (const unsent of this.connection.unsent) this.showPending(unsent);
  }

  renderMessage({ author, text, sources }) {
    const texts = this.texts;
    const list = sources && sources.length ? renderSources(sources, texts.sources) : null;
    const showSource = (number) => {
      list.open = true;
      list.querySelector(`li[data-index="${number}"]`).focus();
    };
    showSource.label = texts.source;
    const who = element("div", { className: author === "customer" || author === "system" ? "sr" : "who" }, texts[author === "customer" ? "you" : author] || author);
    return element("div", { className: `msg ${author}` }, who, element("div", { className: "text" }, ...renderText(text, sources || [], showSource)), list);
  }

  showPending(unsent) {
    const bubble = this.renderMessage({ author: "customer", text: unsent.text });
    bubble.classList.add("pending");
    bubble.append(element("div", { className: "note" }, this.texts.sending));
    this.bubbles.set(unsent.client_message_id, bubble);
    this.thread.append(bubble);
  }

  showFailure(bubble, { client_message_id, detail }) {
    const text = bubble.querySelector(".text").textContent;
    const again = () => {
      bubble.remove();
      this.bubbles.delete(client_message_id);
      this.say(text);
    };
    bubble.classList.add("failed");
    bubble.querySelector(".note").replaceChildren(`${this.texts.failed} ${detail} `, element("button", { type: "button", onclick: again }, this.texts.retry));
  }

  showTyping(isTyping, author = "ai") {
    this.cancel("typing");
    const shown = this.live.querySelector(".dots");
    if (!isTyping) return void (shown && shown.remove());
    this.later("typing", author === "agent" ? AGENT_TYPING_SHOWN_MS : TYPING_SHOWN_MS, () => this.showTyping(false));
    if (shown || this.live.childElementCount) return;
    this.live.append(element("div", { className: "dots", role: "img", "aria-label": `${this.texts[author]} ${this.texts.typing}` }, ...[0, 1, 2].map(() => element("i"))));
    this.scrollDown();
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
    this.input.disabled = this.sendButton.disabled = true;
  }

  showStatus(state) {
    const wasWithAgent = this.state === "with_agent";
    this.state = state || this.state || "open";
    if (wasWithAgent && ["open", "closed"].includes(this.state)) this.showRating();
    this.showBanner({ escalated: this.texts.escalated, with_agent: this.texts.with_agent, closed: this.texts.closed }[this.state] || "", false);
  }

  showBanner(text, isWarning) {
    this.banner.textContent = text;
    this.banner.hidden = !text;
    this.banner.classList.toggle("warn", isWarning);
  }

  showRating() {
    const { conversation_id, rated } = this.connection.kept.value;
    const shown = this.thread.querySelector(".rating");
    if (shown) shown.remove();
    if (rated === conversation_id) return;
    const stars = [1, 2, 3, 4, 5].map((score) => element("button", { type: "button", "aria-label": this.texts.stars.replace("{n}", score), onclick: () => this.rate(score) }, "★"));
    this.thread.append(element("div", { className: "rating", role: "group", "aria-label": this.texts.rate }, element("div", {}, this.texts.rate), element("div", { className: "stars" }, ...stars)));
  }

  rate(score) {
    this.connection.transmit({ type: "rating", score });
    this.connection.kept.save({ rated: this.connection.kept.value.conversation_id });
    const box = this.thread.querySelector(".rating");
    const comment = element("textarea", { rows: 1, maxLength: 2000, placeholder: this.texts.comment, ariaLabel: this.texts.comment });
    const finish = (event) => {
      event.preventDefault();
      if (comment.value.trim()) this.connection.transmit({ type: "rating", score, comment: comment.value.trim() });
      box.replaceChildren(this.texts.thanks);
      this.input.focus();
    };
    box.replaceChildren(element("div", {}, this.texts.thanks), element("form", { onsubmit: finish }, comment, element("button", { type: "submit", ariaLabel: this.texts.send }, icon("send"))));
    comment.focus();
  }

  isAtEnd() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < 80;
  }

  scrollDown() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(`aiaas:${name}`, { bubbles: true, composed: true, detail }));
  }
}
