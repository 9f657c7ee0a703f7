// Files dropped or chosen go up one by one, each with its own progress and its own error; without this
// script the form sends them all at once.
"use strict";

(() => {
  const form = document.querySelector("[data-upload]");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const list = document.getElementById("uploads");
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

  const errorOf = (html) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    return page.querySelector("[data-upload] .errorlist")?.textContent.trim() || "";
  };

  function send(file) {
    const { bar, words } = lineOf(file);
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      const fail = (text) => {
        bar.remove();
        words.textContent = text;
        words.className = "errorlist";
        resolve(false);
      };
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) bar.value = (event.loaded / event.total) * 100;
      });
      request.addEventListener("load", () => {
        if (request.status < 400) {
          bar.value = 100;
          words.textContent = "Uploaded";
          return resolve(true);
        }
        const tooBig = request.status === 413 ? "The file is too big: 20 MB at most." : "";
        fail(tooBig || errorOf(request.responseText) || "The upload was refused; try again.");
      });
      request.addEventListener("error", () => fail("The connection broke; try again."));
      const body = new FormData();
      body.append("file", file);
      request.open("POST", form.action);
      request.setRequestHeader("X-CSRFToken", form.querySelector("[name=csrfmiddlewaretoken]").value);
      request.send(body);
    });
  }

  async function sendAll(files) {
    for (const file of files) await send(file);
    htmx.trigger(document.getElementById("documents"), "uploaded");
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sendAll([...input.files]);
  });
  input.addEventListener("change", () => sendAll([...input.files]).then(() => (input.value = "")));
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
