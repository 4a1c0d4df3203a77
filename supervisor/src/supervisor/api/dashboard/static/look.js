// The button that goes through light, dark and the system's look.
const LOOKS = ["system", "light", "dark"];

export function current() {
  return document.documentElement.dataset.theme || "system";
}

export function next() {
  const look = LOOKS[(LOOKS.indexOf(current()) + 1) % LOOKS.length];
  if (look === "system") {
    localStorage.removeItem("theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("theme", look);
    document.documentElement.dataset.theme = look;
  }
  name();
  document.dispatchEvent(new CustomEvent("look"));
}

function name() {
  document.getElementById("theme-name").textContent = current();
}

export function install() {
  document.getElementById("theme").addEventListener("click", next);
  name();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("look")));
}
