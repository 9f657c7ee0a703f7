// The preview beside a widget's settings: the real widget, which follows what is typed, sends nothing and keeps nothing.
"use strict";

(() => {
  const stage = document.getElementById("preview");
  const form = document.getElementById("widget-form");
  const view = document.getElementById("preview-view");
  const language = document.getElementById("preview-language");
  const saved = JSON.parse(stage.dataset.settings);
  const TEXTS = ["title", "launcher", "greeting", "placeholder", "prechat", "away", "consent"];
  const LOOKS = ["color", "text_color", "theme", "position", "icon"];

  const chat = document.createElement("aiaas-chat");
  chat.dataset.preview = "";
  stage.append(chat);

  const valueOf = (name) => form.elements[name]?.value;
  const ticked = (name) => [...form.querySelectorAll(`[name="${name}"]:checked`)].map((box) => box.value);

  const sections = {
    look: () => Object.fromEntries(LOOKS.map((name) => [name, valueOf(name)])),
    texts: () => {
      const own = TEXTS.map((name) => [name, valueOf(name).trim()]).filter(([, text]) => text);
      return { texts: { ...saved.texts, [stage.dataset.language]: Object.fromEntries(own) } };
    },
    forms: () => {
      const asked = { off: [], name: ["name"], name_email: ["name", "email"] }[valueOf("prechat")] || [];
      const required = ticked("required");
      return {
        prechat: asked.map((name) => ({ name, required: required.includes(name) })),
        consent: form.elements.ask_consent.checked,
        rating: form.elements.rating.checked,
        rating_comment: form.elements.rating_comment.checked,
      };
    },
    hours: () => ({}),
  };

  // Without a form before the chat there is one to look at all the same.
  const SAMPLE = [{ name: "name", required: true }];

  function show() {
    const settings = { ...saved, ...sections[form.dataset.section]() };
    const isEmpty = view.value === "prechat" && settings.prechat.length === 0 && form.dataset.section !== "forms";
    chat.preview({ settings: isEmpty ? { ...settings, prechat: SAMPLE } : settings, lang: language.value, view: view.value });
  }

  // Whoever leaves with something unsaved is asked first.
  const asksFirst = (event) => event.preventDefault();
  form.addEventListener("input", () => addEventListener("beforeunload", asksFirst));
  form.addEventListener("submit", () => removeEventListener("beforeunload", asksFirst));

  form.addEventListener("input", show);
  view.addEventListener("change", show);
  language.addEventListener("change", show);
  show();
})();
