// Keyboard shortcuts: g and a letter goes to a page, j and k from service to service, t the look, ? this list.
import * as look from "./look.js";

const CHORD_MS = 1500;
let chordUntil = 0;

function isTyping(target) {
  return target.closest("input, select, textarea, dialog[open]") !== null;
}

function step(direction) {
  const stops = [...document.querySelectorAll("[data-step], .entry, .incident")];
  if (!stops.length) return;
  const at = stops.findIndex((each) => each.contains(document.activeElement));
  const stop = stops[Math.min(stops.length - 1, Math.max(0, at + direction))];
  const link = stop.querySelector("a") || stop;
  if (link === stop) stop.tabIndex = -1;
  link.focus();
  stop.scrollIntoView({ block: "nearest" });
}

export function install() {
  const shortcuts = document.getElementById("shortcuts");
  document.getElementById("help").addEventListener("click", () => shortcuts.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (Date.now() < chordUntil) {
      chordUntil = 0;
      const link = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
      if (link) location.href = link.href;
    } else if (event.key === "g") chordUntil = Date.now() + CHORD_MS;
    else if (event.key === "?") shortcuts.showModal();
    else if (event.key === "t") look.next();
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
  });
}
