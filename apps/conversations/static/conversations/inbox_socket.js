// The inbox's socket: carries hints only. It fetches a ticket for each connection, and tells when it is away.
"use strict";

class InboxSocket {
  constructor({ ticketUrl, hear, tellOnline }) {
    Object.assign(this, { ticketUrl, hear, tellOnline });
    this.failures = 0;
    this.viewed = null;
    this.open();
  }

  get isOnline() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  async open() {
    try {
      const answer = await fetch(this.ticketUrl, { headers: { Accept: "application/json" }, redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const { url, ticket } = await answer.json();
      this.socket = new WebSocket(`${url}?ticket=${encodeURIComponent(ticket)}`);
    } catch {
      return this.retry();
    }
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
    this.socket.onclose = () => this.retry();
  }

  take(frame) {
    if (frame.type === "welcome") {
      this.failures = 0;
      this.view(this.viewed);
      this.tellOnline(true);
    }
    this.hear(frame);
  }

  retry() {
    this.tellOnline(false);
    const delay = Math.min(20_000, 500 * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.failures += 1;
    setTimeout(() => this.open(), delay);
  }

  view(conversationId) {
    this.viewed = conversationId;
    this.send({ type: "view", conversation_id: conversationId });
  }

  send(frame) {
    if (this.isOnline) this.socket.send(JSON.stringify(frame));
  }
}
