// Stands in for the socket where a company looks at its settings: nothing is sent, nothing is stored.
class PreviewConnection {
  constructor() {
    this.kept = new Sketch();
    this.tab = new Sketch();
    this.unsent = [];
    this.lastSeq = 0;
  }

  open() {}
  close() {}
  forget() {}
  retryNow() {}
  transmit() {}
  release() {}
  drop() {}
  leave() {}

  send(text) {
    return { client_message_id: randomId(), text };
  }
}

class Sketch {
  value = {};
  save(changes) {
    Object.assign(this.value, changes);
  }
}
