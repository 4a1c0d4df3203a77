// Keeps the page current: follows /api/events and writes each changed value into the nodes that show it.
//
// A node says what it shows with data-live (a place in the status, "/" between names) and how with data-as. What has
// no node yet, or no longer any (a replica came, a hold ended), makes the page fetch its parts again.
import * as format from "./format.js";
import * as refresh from "./refresh.js";

const REASONS_MS = 8000; // they hold numbers that move all the time
const RECORDS_MS = 1200; // decisions and incidents are written shortly after the cycle that is reported
let state = null;
let nodes = new Map();
let lastAt = 0;

const WRITERS = {
  state(node, value) {
    node.dataset.state = value;
    node.querySelector("use").setAttribute("href", `#i-${value.replaceAll(" ", "-")}`);
    write(node.lastElementChild, value);
  },
  tile(node, value) {
    node.dataset.state = value;
    node.querySelector("use").setAttribute("href", `#i-${value.replaceAll(" ", "-")}`);
    const words = `${node.ariaLabel.split(":")[0]}: ${value}`;
    node.ariaLabel = words;
    node.title = words;
  },
  bar(node, value = 0) {
    node.setAttribute("width", Math.min(100, value * 100).toFixed(1));
    node.classList.toggle("is-high", value >= 0.85);
  },
};

function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function index() {
  nodes = new Map();
  for (const node of document.querySelectorAll("[data-live]")) {
    const known = nodes.get(node.dataset.live);
    if (known) known.push(node);
    else nodes.set(node.dataset.live, [node]);
  }
}

function show(path, value) {
  for (const node of nodes.get(path) || []) {
    const kind = node.dataset.as;
    if (WRITERS[kind]) WRITERS[kind](node, value);
    else write(node, format[kind](value));
  }
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

// RFC 7396 on our own copy, showing each value as it changes.
function apply(target, patch, path) {
  for (const [name, value] of Object.entries(patch)) {
    const place = path ? `${path}/${name}` : name;
    if (value === null) {
      delete target[name];
      show(place, undefined);
    } else if (isObject(value)) {
      if (!isObject(target[name])) target[name] = {};
      apply(target[name], value, place);
    } else {
      target[name] = value;
      show(place, value);
    }
  }
}

// What the page is built of: when this changes, there are nodes to make or to remove.
function structure() {
  const services = Object.values(state.services).map((each) => [
    each.name, each.min, each.max, each.is_managed, Object.values(each.holds).map((hold) => [hold.kind, hold.until]),
    each.rollout && [each.rollout.id, each.rollout.phase, each.rollout.weight, each.rollout.replaced],
    Object.values(each.replicas).map((replica) => [replica.name, replica.id, replica.is_listed, replica.started_at, replica.weight]),
  ]);
  return JSON.stringify([state.alerts, withoutNumbers(state.problems.join()), state.is_standby, state.is_dry_run, services]);
}

// What decisions and incidents come of.
function news() {
  return JSON.stringify(Object.values(state.services).map((each) => [
    each.state, withoutNumbers(each.sentence), each.desired, Object.values(each.replicas).map((replica) => replica.state),
  ]));
}

function withoutNumbers(words) {
  return words.replace(/[\d.,]+/g, "#");
}

function pulse(kind, words) {
  const node = document.getElementById("pulse");
  if (node.dataset.state !== kind) node.dataset.state = kind;
  write(node.lastElementChild, words);
}

function follow() {
  const source = new EventSource("/api/events");
  source.addEventListener("status", (event) => {
    const whole = JSON.parse(event.data);
    const isAgain = state !== null;
    state = {};
    apply(state, whole, "");
    lastAt = Date.now();
    if (isAgain) refresh.soon(0); // what happened while the stream was broken
    document.dispatchEvent(new CustomEvent("cycle", { detail: state }));
  });
  source.addEventListener("patch", (event) => {
    const [structureBefore, newsBefore] = [structure(), news()];
    const patch = JSON.parse(event.data);
    lastAt = Date.now();
    apply(state, patch, "");
    if (structure() !== structureBefore) refresh.soon();
    if (news() !== newsBefore) setTimeout(refresh.soon, RECORDS_MS);
    if (document.getElementById("part-now") && Object.values(patch.services || {}).some((each) => each?.reasons)) refresh.soon(REASONS_MS);
    document.dispatchEvent(new CustomEvent("cycle", { detail: state }));
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(follow, 3000); // refused: the session is over, which the refresh finds out, or the supervisor starts
    refresh.soon(0);
  });
}

export function install() {
  const cycleMs = Number(document.querySelector('meta[name="cycle-seconds"]').content) * 1000;
  index();
  document.addEventListener("refreshed", index);
  follow();
  setInterval(() => {
    const age = Date.now() - lastAt;
    if (!lastAt) pulse("wait", "connecting");
    else if (age > Math.max(3 * cycleMs, 3000)) pulse("stale", `no news for ${format.duration(age / 1000)}`);
    else pulse("live", "live");
  }, 1000);
  setInterval(() => format.localTimes(document), 5000);
  setInterval(() => refresh.soon(), 60000); // bars and ages that no event tells of
}
