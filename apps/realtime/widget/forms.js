const FIELDS = {
  name: { autocomplete: "name", maxLength: 200 },
  email: { type: "email", autocomplete: "email", maxLength: 254 },
  message: { rows: 3, maxLength: 4000 },
};

// What a visitor fills in: who they are before they chat, or a message while nobody is there.
class VisitorForm {
  constructor({ kind, texts, intro, fields, consent, values, submit }) {
    this.kind = kind;
    this.texts = texts;
    this.submit = submit;
    this.rows = fields.map((field) => this.buildRow(field, values[field.name] || ""));
    if (consent) this.rows.push(this.buildConsent());
    this.problem = element("p", { className: "error", role: "alert", hidden: true });
    this.button = element("button", { type: "submit", className: "wide" }, kind === "offline" ? texts.leave : texts.start);
    this.node = element("form", { className: "visitor", noValidate: true, "aria-labelledby": "intro", onsubmit: (event) => (event.preventDefault(), this.send()) }, element("p", { id: "intro", className: "intro" }, intro), ...this.rows.map((row) => row.node), this.problem, this.button);
  }

  buildRow({ name, required }, value) {
    const { type, rows, autocomplete, maxLength } = FIELDS[name];
    const input = element(rows ? "textarea" : "input", { id: `field-${name}`, required, maxLength, ...(rows ? { rows } : { type: type || "text", autocomplete }) });
    input.value = value;
    const label = element("label", { for: input.id }, this.texts[name], required ? null : element("span", { className: "optional" }, ` (${this.texts.optional})`));
    return this.buildField(name, input, label, input);
  }

  buildConsent() {
    const input = element("input", { id: "field-consent", type: "checkbox", required: true });
    return this.buildField("consent", input, element("label", { className: "consent", for: input.id }, input, element("span", {}, this.texts.consent)));
  }

  buildField(name, input, ...nodes) {
    const error = element("p", { id: `error-${name}`, className: "error", hidden: true });
    input.setAttribute("aria-describedby", error.id);
    return { name, input, error, node: element("div", { className: "field" }, ...nodes, error) };
  }

  get values() {
    return Object.fromEntries(this.rows.map(({ name, input }) => [name, input.type === "checkbox" ? input.checked : input.value.trim()]));
  }

  send() {
    if (this.isBusy) return;
    this.problem.hidden = true;
    const wrong = this.rows.filter((row) => this.mark(row, this.flawOf(row)));
    if (wrong.length) return wrong[0].input.focus();
    this.setBusy(true);
    this.submit(this.values);
  }

  flawOf({ name, input }) {
    if (input.type === "checkbox") return input.required && !input.checked ? this.texts.agree : "";
    if (input.required && !input.value.trim()) return this.texts.needed;
    return name === "email" && !input.checkValidity() ? this.texts.wrongEmail : "";
  }

  mark({ input, error }, flaw) {
    error.textContent = flaw;
    error.hidden = !flaw;
    input.ariaInvalid = flaw ? "true" : null;
    return Boolean(flaw);
  }

  // The server's refusal, at its field where it names one.
  fail({ field, detail }) {
    this.setBusy(false);
    const row = this.rows.find(({ name }) => name === (field === "text" ? "message" : field));
    if (row) {
      this.mark(row, detail);
      row.input.focus();
    } else {
      this.problem.textContent = `${this.texts.formFailed} ${detail}`;
      this.problem.hidden = false;
    }
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    this.button.ariaDisabled = String(isBusy);
  }

  // Say that it is done, where a screen reader hears it.
  finish(text, again) {
    const note = element("p", { className: "intro", role: "status", tabIndex: -1 }, text);
    this.node.replaceChildren(note, element("button", { type: "button", className: "wide", onclick: again }, this.texts.another));
    note.focus();
  }

  focus() {
    const empty = this.rows.find(({ input }) => input.type !== "checkbox" && !input.value) || this.rows[0];
    if (empty && empty.input.isConnected) empty.input.focus();
    else this.node.querySelector("button").focus();
  }
}
