const MAX_TEXT = 4000;
const TYPING_SENT_EVERY_MS = 3_000;

// Where a visitor writes: the composer, or the form that comes before it or in its place.
class Entry {
  constructor(chat) {
    this.chat = chat;
    this.input = element("textarea", { rows: 1, id: "input", maxLength: MAX_TEXT, oninput: () => this.onInput(), onkeydown: (event) => this.onKey(event) });
    this.button = element("button", { type: "submit", disabled: true }, icon("send"));
    this.composer = element("form", { className: "composer", onsubmit: (event) => (event.preventDefault(), this.submit()) }, this.input, this.button);
    this.node = element("div", { className: "entry" }, this.composer);
  }

  label(texts) {
    this.input.placeholder = this.input.ariaLabel = texts.placeholder;
    this.button.ariaLabel = this.button.title = texts.send;
  }

  focus() {
    if (this.form) this.form.focus();
    else this.input.focus();
  }

  setEnabled(isEnabled) {
    this.input.disabled = !isEnabled;
    this.button.disabled = !isEnabled || !this.input.value.trim();
  }

  // -- the composer

  onInput() {
    this.input.style.height = "auto"; // through the CSSOM, which a strict CSP allows
    this.input.style.height = `${this.input.scrollHeight + 2}px`;
    this.button.disabled = !this.input.value.trim();
    const now = Date.now();
    if (this.input.value && now - (this.typingSentAt || 0) > TYPING_SENT_EVERY_MS) {
      this.typingSentAt = now;
      this.chat.connection.transmit({ type: "typing" });
    }
  }

  onKey(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.submit();
  }

  submit() {
    const text = this.input.value.trim();
    if (!text) return;
    this.fill("");
    this.chat.say(text);
  }

  fill(text) {
    this.input.value = text;
    this.onInput();
  }

  // -- the forms

  get wanted() {
    const { isFormOnly, isKnown, settings } = this.chat;
    if (isFormOnly) return "offline";
    return !isKnown && !this.hasSkipped && settings.prechat.length ? "prechat" : "";
  }

  show({ afresh = false } = {}) {
    const kind = this.wanted;
    const hadFocus = this.node.contains(this.chat.shadowRoot.activeElement);
    this.composer.hidden = Boolean(kind);
    if (this.form && this.form.kind === kind && !afresh) return;
    if (this.form) this.form.node.remove();
    this.form = kind ? this.buildForm(kind) : null;
    if (this.form) this.node.append(this.form.node);
    if (hadFocus) this.focus();
    this.chat.thread.scrollDown();
  }

  buildForm(kind) {
    const { texts, settings, connection, dataset } = this.chat;
    const isOffline = kind === "offline";
    return new VisitorForm({
      kind,
      texts,
      intro: isOffline ? [texts.away, this.chat.backText()].filter(Boolean).join(" ") : texts.prechat,
      fields: isOffline ? [{ name: "name" }, { name: "email", required: true }, { name: "message", required: true }] : settings.prechat,
      consent: settings.consent,
      values: { ...claimsOf(dataset.token), ...connection.tab.value.profile, message: this.carried },
      submit: (values) => (isOffline ? this.leave(values) : this.introduce(values)),
    });
  }

  introduce({ name = "", email = "", consent = false }) {
    if (!name && !email) {
      this.hasSkipped = true;
      return this.goOn();
    }
    this.chat.connection.tab.save({ profile: { name, email } });
    this.chat.connection.transmit({ type: "profile", name, email, consent });
  }

  leave({ name, email, message, consent = false }) {
    this.chat.connection.tab.save({ profile: { name, email } });
    this.chat.connection.leave({ name, email, text: message, consent });
  }

  goOn() {
    this.show();
    this.chat.connection.release();
    this.focus();
  }

  finish() {
    this.carried = "";
    if (!this.form) return;
    this.form.finish(this.chat.texts.left, () => {
      this.show({ afresh: true });
      this.focus();
    });
  }

  // What was written for the chat goes into the form for later.
  carryOver(text) {
    this.carried = [this.carried, text].filter(Boolean).join("\n").slice(0, MAX_TEXT);
    this.show({ afresh: true });
  }
}
