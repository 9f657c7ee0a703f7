// One message as nodes; text never becomes markup.

function renderText(text, sources, showSource) {
  const pieces = text.split(/(https?:\/\/[^\s<>"')\]]+|\[\d{1,2}\])/);
  return pieces.filter(Boolean).map((piece) => {
    const number = /^\[(\d+)\]$/.exec(piece);
    if (number && sources.some((source, at) => indexOf(source, at) === Number(number[1]))) return citeButton(Number(number[1]), showSource);
    if (/^https?:\/\//.test(piece)) return link(piece, piece);
    return document.createTextNode(piece);
  });
}

function indexOf(source, position) {
  return source.index || position + 1;
}

function citeButton(number, showSource) {
  return element("button", { type: "button", className: "cite", "aria-label": `${showSource.label} ${number}`, onclick: () => showSource(number) }, String(number));
}

function renderSources(sources, label) {
  const items = sources.map((source, at) => {
    const title = `${indexOf(source, at)}. ${source.title || source.url || label}`;
    const item = element("li", { tabIndex: -1 }, source.url ? link(source.url, title) : title, source.quote ? element("blockquote", {}, source.quote) : null);
    item.dataset.index = indexOf(source, at);
    return item;
  });
  return element("details", {}, element("summary", {}, `${label} (${sources.length})`), element("ol", {}, ...items));
}
