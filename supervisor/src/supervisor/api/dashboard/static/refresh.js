// Fetches this page again and takes over what changed in its parts (data-part). Never more than one at a time.
import { localTimes } from "./format.js";
import { morph } from "./morph.js";

const LEAST_MS = 1500;
let timer = 0;
let wantedAt = Infinity;
let lastAt = 0;

// Within so many milliseconds, or sooner when an earlier wish is waiting.
export function soon(milliseconds = 200) {
  const at = Math.max(Date.now() + milliseconds, lastAt + LEAST_MS);
  if (at >= wantedAt) return;
  wantedAt = at;
  clearTimeout(timer);
  timer = setTimeout(run, at - Date.now());
}

async function run() {
  wantedAt = Infinity;
  lastAt = Date.now();
  try {
    await now();
  } catch {
    soon(5000); // the supervisor is away; the stream's state says so already
  }
}

export async function now(address = location.href) {
  const answer = await fetch(address, { headers: { "X-Refresh": "1" }, cache: "no-cache" });
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") {
    location.href = answer.url;
    return;
  }
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const wanted = page.getElementById(part.id);
    if (!wanted) continue;
    localTimes(wanted);
    morph(part, wanted);
  }
  const title = page.querySelector("title").textContent;
  if (document.title !== title) document.title = title;
  document.dispatchEvent(new CustomEvent("refreshed"));
}
