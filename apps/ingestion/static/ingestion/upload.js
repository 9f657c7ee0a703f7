// Files dropped or chosen go up a few at a time, each with its own progress and its own error; without this
// script the form sends them all at once.
"use strict";

(() => {
  const form = document.querySelector("[data-upload]");
  if (!form) return;
  const AT_ONCE = 3;
  const input = form.querySelector("input[type=file]");
  const list = document.getElementById("uploads");
  const told = document.getElementById("uploads-told");
  const waiting = [];
  let sent = { done: 0, failed: 0, all: 0 };
  let isSending = 0;
  input.multiple = true;

  function lineOf(file) {
    const line = document.createElement("li");
    const name = document.createElement("span");
    const bar = document.createElement("progress");
    const words = document.createElement("span");
    name.textContent = file.name;
    bar.max = 100;
    bar.value = 0;
    bar.setAttribute("aria-label", `Uploading ${file.name}`);
    words.className = "small";
    line.append(name, bar, words);
    list.append(line);
    return { bar, words };
  }

  function wordsOf(request) {
    if (request.status === 413) return "The file is too big: 20 MB at most.";
    try {
      return JSON.parse(request.responseText).text;
    } catch {
      return request.status === 204 ? "You are logged out: log in and send it again." : "The upload was refused; try again.";
    }
  }

  function post(file, onProgress) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      request.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress((event.loaded / event.total) * 100));
      request.addEventListener("load", () => resolve({ isDone: [200, 201].includes(request.status), text: wordsOf(request) }));
      request.addEventListener("error", () => resolve({ isDone: false, text: "The connection broke; try again." }));
      const body = new FormData();
      body.append("file", file);
      request.open("POST", form.action);
      request.setRequestHeader("HX-Request", "true");
      request.setRequestHeader("X-CSRFToken", form.querySelector("[name=csrfmiddlewaretoken]").value);
      request.send(body);
    });
  }

  async function send({ file, bar, words }) {
    const { isDone, text } = await post(file, (percent) => (bar.value = percent));
    if (isDone) bar.value = 100;
    else bar.remove();
    words.textContent = text;
    if (!isDone) words.className = "errorlist";
    sent[isDone ? "done" : "failed"] += 1;
  }

  function tell() {
    const { done, failed, all } = sent;
    const refused = failed ? `, ${failed} refused: see below` : "";
    told.textContent = done + failed < all ? `${done + failed} of ${all} sent` : `${done} of ${all} taken${refused}.`;
  }

  async function work() {
    isSending += 1;
    while (waiting.length) {
      await send(waiting.shift());
      if ((sent.done + sent.failed) % 10 === 0) tell();
    }
    isSending -= 1;
    if (isSending) return;
    tell();
    htmx.trigger(document.getElementById("documents"), "uploaded");
  }

  function sendAll(files) {
    if (!isSending) {
      sent = { done: 0, failed: 0, all: 0 };
      list.replaceChildren();
    }
    sent.all += files.length;
    for (const file of files) waiting.push({ file, ...lineOf(file) });
    for (let free = AT_ONCE - isSending; free > 0; free -= 1) work();
  }

  window.addEventListener("beforeunload", (event) => {
    if (isSending) event.preventDefault(); // what is not sent yet would be lost
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sendAll([...input.files]);
  });
  input.addEventListener("change", () => {
    sendAll([...input.files]);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    form.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.add("is-over");
    });
  }
  for (const kind of ["dragleave", "drop"]) {
    form.addEventListener(kind, () => form.classList.remove("is-over"));
  }
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    sendAll([...event.dataTransfer.files]);
  });
})();
