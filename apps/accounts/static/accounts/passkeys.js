"use strict";

/* Passkeys are offered only where the browser knows them; what goes wrong is said on the page. */
document.addEventListener("DOMContentLoaded", () => {
  if (window.PublicKeyCredential) return;
  for (const element of document.querySelectorAll("[data-passkey]")) element.hidden = true;
  for (const element of document.querySelectorAll("[data-no-passkey]")) element.hidden = false;
});

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const place = document.getElementById("passkey-problem");
  if (!place) return;
  const cancelled = event.detail.exception && event.detail.exception.name === "NotAllowedError";
  place.textContent = cancelled
    ? "That was cancelled or took too long. Try again."
    : "This passkey could not be used here. Try again, or take another way.";
  place.hidden = false;
});
