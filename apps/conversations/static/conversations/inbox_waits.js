// How long each one in the queue has waited, kept true while the page stays open.
"use strict";

const inboxWaits = (() => {
  const EVERY_MS = 30_000;

  function waited(minutes) {
    if (minutes < 60) return `${Math.max(0, Math.floor(minutes))} min`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${Math.floor(minutes % 60)} min` : `${Math.floor(hours / 24)} days`;
  }

  function show() {
    for (const time of document.querySelectorAll("#queue time[data-since]"))
      time.textContent = waited((Date.now() - new Date(time.dateTime)) / 60_000);
  }

  setInterval(show, EVERY_MS);
  return { show };
})();
