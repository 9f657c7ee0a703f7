const TYPING_SHOWN_MS = 60_000;
const AGENT_TYPING_SHOWN_MS = 6_000;

// The conversation as it is seen: what is stored, what is on its way, what is being written.
class Thread {
  constructor(chat) {
    this.chat = chat;
    this.bubbles = new Map(); // client_message_id -> bubble that is not stored yet
    this.stored = element("div", { className: "thread", role: "log", "aria-live": "polite", "aria-relevant": "additions" });
    this.live = element("div", { className: "live", "aria-live": "off" });
    this.node = element("div", { className: "scroll", tabIndex: 0 }, this.stored, this.live);
  }

  get texts() {
    return this.chat.texts;
  }

  label() {
    this.stored.ariaLabel = this.node.ariaLabel = this.texts.log;
    if (this.greeting) this.greeting.querySelector(".text").textContent = this.texts.greeting;
  }

  clear() {
    this.bubbles.clear();
    this.live.replaceChildren();
    this.greeting = this.render({ author: "ai", text: this.texts.greeting });
    this.stored.replaceChildren(this.greeting);
    for (const unsent of this.chat.connection.unsent) this.showPending(unsent);
  }

  render({ author, text, sources }) {
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

  show(frame) {
    const isAtEnd = this.isAtEnd();
    const known = this.bubbles.get(frame.client_message_id);
    this.bubbles.delete(frame.client_message_id);
    const bubble = this.render(frame);
    if (known) known.remove();
    if (frame.author !== "customer") this.endReply();
    this.stored.insertBefore(bubble, this.stored.querySelector(".pending"));
    if (isAtEnd) this.scrollDown();
  }

  endReply() {
    this.showTyping(false);
    this.live.replaceChildren();
  }

  showPending(unsent) {
    const bubble = this.render({ author: "customer", text: unsent.text });
    bubble.classList.add("pending");
    bubble.append(element("div", { className: "note" }, this.texts.sending));
    this.bubbles.set(unsent.client_message_id, bubble);
    this.stored.append(bubble);
  }

  showFailure({ client_message_id, detail }) {
    const bubble = this.bubbles.get(client_message_id);
    const again = () => this.chat.say(this.withdraw(client_message_id));
    bubble.classList.add("failed");
    bubble.querySelector(".note").replaceChildren(`${this.texts.failed} ${detail} `, element("button", { type: "button", onclick: again }, this.texts.retry));
  }

  // Take back what is not stored; returns what it said.
  withdraw(clientMessageId) {
    const bubble = this.bubbles.get(clientMessageId);
    this.bubbles.delete(clientMessageId);
    bubble.remove();
    return bubble.querySelector(".text").textContent;
  }

  // Offsets count code points, as the server does; text after a hole waits for the whole message.
  showDelta(frame) {
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

  showTyping(isTyping, author = "ai") {
    this.chat.cancel("typing");
    const shown = this.live.querySelector(".dots");
    if (!isTyping) return void (shown && shown.remove());
    this.chat.later("typing", author === "agent" ? AGENT_TYPING_SHOWN_MS : TYPING_SHOWN_MS, () => this.showTyping(false));
    if (shown || this.live.childElementCount) return;
    this.live.append(element("div", { className: "dots", role: "img", "aria-label": `${this.texts[author]} ${this.texts.typing}` }, ...[0, 1, 2].map(() => element("i"))));
    this.scrollDown();
  }

  showRating() {
    const { conversation_id, rated } = this.chat.connection.kept.value;
    const shown = this.stored.querySelector(".rating");
    if (shown) shown.remove();
    if (!this.chat.settings.rating || (conversation_id && rated === conversation_id)) return;
    const stars = [1, 2, 3, 4, 5].map((score) => element("button", { type: "button", "aria-label": this.texts.stars.replace("{n}", score), onclick: () => this.rate(score) }, "★"));
    this.stored.append(element("div", { className: "rating", role: "group", "aria-label": this.texts.rate }, element("div", {}, this.texts.rate), element("div", { className: "stars" }, ...stars)));
  }

  rate(score) {
    const { connection } = this.chat;
    connection.transmit({ type: "rating", score });
    connection.kept.save({ rated: connection.kept.value.conversation_id });
    const box = this.stored.querySelector(".rating");
    if (!this.chat.settings.rating_comment) {
      box.replaceChildren(this.texts.thanks);
      this.chat.entry.focus();
      return;
    }
    const comment = element("textarea", { rows: 1, maxLength: 2000, placeholder: this.texts.comment, ariaLabel: this.texts.comment });
    const finish = (event) => {
      event.preventDefault();
      if (comment.value.trim()) connection.transmit({ type: "rating", score, comment: comment.value.trim() });
      box.replaceChildren(this.texts.thanks);
      this.chat.entry.focus();
    };
    box.replaceChildren(element("div", {}, this.texts.thanks), element("form", { onsubmit: finish }, comment, element("button", { type: "submit", ariaLabel: this.texts.send }, icon("send"))));
    comment.focus();
  }

  isAtEnd() {
    return this.node.scrollHeight - this.node.scrollTop - this.node.clientHeight < 80;
  }

  scrollDown() {
    this.node.scrollTop = this.node.scrollHeight;
  }
}
