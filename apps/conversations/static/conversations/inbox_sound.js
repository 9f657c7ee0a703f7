// A short sound for new work: off until somebody switches it on, and remembered in this browser only.
"use strict";

const inboxSound = (() => {
  const KEY = "inbox-sound";
  const button = document.getElementById("sound");
  let isOn = false;
  try {
    isOn = localStorage.getItem(KEY) === "on";
  } catch {
    // Without storage the choice lasts for this page.
  }

  function show() {
    button.hidden = false;
    button.setAttribute("aria-pressed", String(isOn));
  }

  function play() {
    if (!isOn) return;
    const audio = new AudioContext();
    const tone = audio.createOscillator();
    const loudness = audio.createGain();
    tone.frequency.value = 660;
    loudness.gain.setValueAtTime(0.08, audio.currentTime);
    loudness.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.4);
    tone.connect(loudness).connect(audio.destination);
    tone.onended = () => audio.close();
    tone.start();
    tone.stop(audio.currentTime + 0.4);
  }

  button?.addEventListener("click", () => {
    isOn = !isOn;
    try {
      localStorage.setItem(KEY, isOn ? "on" : "off");
    } catch {
      // As above.
    }
    show();
    play();
  });
  if (button) show();
  return { play };
})();
