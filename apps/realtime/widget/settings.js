// How the widget looks and speaks: attributes of the tag win over the company's settings, those over what is built in.
const CSS_COLOR = /^(#[0-9a-f]{3,8}|[a-z]{3,30}|(rgb|hsl|oklch)\([\d\s.,%/deg]+\))$/i;
const DEFAULTS = { key: "", version: -1, color: "#0f5c5c", on_color: "#ffffff", theme: "auto", position: "right", icon: "chat", languages: Object.keys(TEXTS), default_language: "en", texts: {}, prechat: [], consent: false, rating: true, rating_comment: true };

// The script may carry the settings of one key; of others the socket's welcome tells.
function settingsOf(key) {
  return SETTINGS && SETTINGS.key === key ? { ...DEFAULTS, ...SETTINGS } : DEFAULTS;
}

function languageOf(dataset, settings) {
  const asked = (dataset.lang || "").slice(0, 2).toLowerCase();
  if (TEXTS[asked]) return asked;
  const preferred = [document.documentElement.lang, ...(navigator.languages || [])].map((tag) => (tag || "").slice(0, 2).toLowerCase());
  return preferred.find((language) => settings.languages.includes(language)) || settings.default_language;
}

function textsOf(dataset, settings) {
  const language = languageOf(dataset, settings);
  const own = Object.fromEntries(["title", "greeting"].filter((name) => dataset[name]).map((name) => [name, dataset[name]]));
  return { ...TEXTS.en, ...TEXTS[language], ...settings.texts[language], ...own, language };
}

function lookOf(dataset, settings) {
  const isOwn = CSS_COLOR.test(dataset.color || "");
  const color = isOwn ? dataset.color : settings.color;
  const ink = isOwn ? inkOn(color) : settings.on_color;
  const dark = { auto: `@media (prefers-color-scheme: dark) { :host(:not([data-theme="light"])) { ${DARK} } }`, dark: `:host(:not([data-theme="light"])) { ${DARK} }`, light: "" }[settings.theme];
  return `${CSS}\n${dark}\n:host { --brand: ${color}; --on-brand: ${ink}; }`;
}

// Black or white, whichever can be read on a colour of six digits; white on those that cannot be computed.
function inkOn(color) {
  const digits = /^#([0-9a-f]{6})$/i.exec(color);
  if (!digits) return "#ffffff";
  const [red, green, blue] = [0, 2, 4].map((at) => {
    const channel = parseInt(digits[1].slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5 ? "#ffffff" : "#000000";
}

function whenText(moment, language) {
  const isSoon = moment - Date.now() < 6 * 86_400_000;
  const day = isSoon ? { weekday: "long" } : { weekday: "long", day: "numeric", month: "long" };
  return new Intl.DateTimeFormat(language, { ...day, hour: "2-digit", minute: "2-digit" }).format(moment);
}
