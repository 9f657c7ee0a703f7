const SILENCE_MS = 40_000; // the server's heartbeat comes every 15 s
const FINAL_CODES = [4401, 4403]; // the key, the origin or the token is refused: trying again would not help

// The socket: resumes by (conversation, last_seq, epoch), keeps what is unsent, drops what it has.
class Connection {
  constructor({ url, key, token, hear }) {
    this.address = `${url.replace(/\/$/, "")}/ws/chat/?key=${encodeURIComponent(key)}${token ? `&token=${encodeURIComponent(token)}` : ""}`;
    this.hear = hear;
    const name = `aiaas:${key}:${token ? subjectOf(token) : ""}`;
    this.kept = new Drawer("localStorage", name); // which conversation, and the secret that opens it
    this.tab = new Drawer("sessionStorage", name); // what this tab has not sent yet, and whether it is open
    this.lastSeq = 0;
    this.failures = 0;
    this.isWelcome = false;
    this.isWanted = false;
    this.isHeld = false;
  }

  get unsent() {
    return this.tab.value.unsent || [];
  }

  // The message for later that is not acknowledged yet.
  get left() {
    return this.tab.value.left || null;
  }

  open() {
    this.isWanted = true;
    clearTimeout(this.retryTimer);
    if (this.socket) return;
    this.hear({ type: "connection", state: "connecting" });
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.onopen = () => this.greet();
    socket.onmessage = (event) => socket === this.socket && this.take(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.socket && this.lose(event.code);
    this.watchSilence();
  }

  // Hears nothing any more.
  close() {
    this.isWanted = this.isWelcome = false;
    clearTimeout(this.retryTimer);
    clearTimeout(this.silenceTimer);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close(1000);
  }

  greet() {
    const { conversation_id, session, epoch } = this.kept.value;
    this.transmit(conversation_id ? { type: "hello", conversation_id, session, epoch, last_seq: this.lastSeq } : { type: "hello" });
  }

  // Too many conversations were begun from this address.
  greetLater(waitS) {
    const socket = this.socket;
    setTimeout(() => socket === this.socket && !this.isWelcome && this.greet(), 1000 * waitS);
  }

  forget() {
    this.kept.clear();
    this.lastSeq = 0;
  }

  send(text) {
    const unsent = { client_message_id: randomId(), text };
    this.tab.save({ unsent: [...this.unsent, unsent] });
    if (this.isWelcome && !this.isHeld) this.transmit({ type: "message", ...unsent });
    return unsent;
  }

  // Messages wait until the visitor has said who they are.
  hold() {
    this.isHeld = true;
  }

  release() {
    this.isHeld = false;
    if (this.isWelcome) for (const unsent of this.unsent) this.transmit({ type: "message", ...unsent });
  }

  leave(message) {
    this.tab.save({ left: { client_message_id: randomId(), ...message } });
    if (this.isWelcome) this.transmit({ type: "offline", ...this.left });
  }

  resend(clientMessageId) {
    const unsent = this.unsent.find((each) => each.client_message_id === clientMessageId);
    if (unsent && this.isWelcome) this.transmit({ type: "message", ...unsent });
    else if (this.left && this.isWelcome) this.transmit({ type: "offline", ...this.left });
  }

  transmit(frame) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  take(frame) {
    this.watchSilence();
    if (frame.type === "welcome") this.settle(frame);
    else if (frame.type === "ack") this.drop(frame.client_message_id);
    else if (frame.type === "heartbeat") this.checkHead(frame.head_seq);
    else if (frame.type === "message") {
      if (frame.seq <= this.lastSeq) return;
      this.lastSeq = frame.seq;
      this.drop(frame.client_message_id);
    } else if (frame.type === "error" && frame.code === "not_found") this.startOver();
    else if (frame.type === "error" && frame.code === "too_fast" && !this.isWelcome) this.greetLater(frame.retry_after_s);
    this.hear(frame);
  }

  settle(frame) {
    this.failures = 0;
    this.isWelcome = true;
    if (frame.snapshot) this.lastSeq = frame.after_seq;
    this.kept.save({ conversation_id: frame.conversation_id, session: frame.session, epoch: frame.epoch });
    this.hear({ type: "connection", state: "online" });
    if (this.left) this.transmit({ type: "offline", ...this.left });
    const isAsked = !frame.known && frame.settings && frame.settings.prechat.some((field) => field.required);
    if (isAsked || frame.form_only) this.hold();
    else this.release();
  }

  // The conversation cannot be opened any more (erased, or its secret is out of date): begin a new one.
  startOver() {
    this.forget();
    this.hear({ type: "restart" });
    this.greet();
  }

  drop(clientMessageId) {
    if (this.left && this.left.client_message_id === clientMessageId) this.tab.save({ left: null });
    this.tab.save({ unsent: this.unsent.filter((each) => each.client_message_id !== clientMessageId) });
  }

  // A heartbeat names what exists. Behind twice in a row: something was lost on the way, resume.
  checkHead(headSeq) {
    this.timesBehind = headSeq > this.lastSeq ? (this.timesBehind || 0) + 1 : 0;
    if (this.timesBehind >= 2) this.socket.close(4000);
  }

  watchSilence() {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(() => {
      const socket = this.socket;
      this.lose(4000);
      if (socket) socket.close(4000);
    }, SILENCE_MS);
  }

  lose(code) {
    clearTimeout(this.silenceTimer);
    this.socket = null;
    this.isWelcome = false;
    this.timesBehind = 0;
    const isFinal = FINAL_CODES.includes(code);
    this.hear({ type: "connection", state: isFinal ? "refused" : "offline", failures: this.failures });
    if (isFinal || !this.isWanted) return;
    const delay = Math.min(30_000, 400 * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.retryTimer = setTimeout(() => this.open(), delay);
  }

  retryNow() {
    if (!this.isWanted || this.socket) return;
    this.failures = 0;
    this.open();
  }
}
