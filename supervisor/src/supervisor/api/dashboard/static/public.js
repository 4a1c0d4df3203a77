// The public view: asks for itself every ten seconds and takes over what changed.
import { localTimes } from "./format.js";
import * as look from "./look.js";
import * as refresh from "./refresh.js";

const EVERY_MS = 10000;
const pulse = document.getElementById("pulse");

async function again() {
  try {
    await refresh.now("./");
    pulse.dataset.state = "live";
    pulse.lastElementChild.textContent = "live";
  } catch {
    pulse.dataset.state = "stale";
    pulse.lastElementChild.textContent = "no news";
  }
}

look.install();
localTimes(document);
again();
setInterval(() => document.hidden || again(), EVERY_MS);
