// Numbers and times as people read them; dashboard/formats.py says the same on the server.
export const NONE = "–";

const AGES = [[86400, "d"], [3600, "h"], [60, "min"]];

function grouped(number) {
  return number.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

export function percent(ratio) {
  return ratio === undefined ? NONE : `${(ratio * 100).toFixed(0)} %`;
}

export function rate(perSecond) {
  if (perSecond === undefined) return NONE;
  return perSecond < 10 ? perSecond.toFixed(1) : grouped(perSecond);
}

export function duration(seconds) {
  if (seconds === undefined || seconds === null) return NONE;
  if (seconds < 1) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const [length, unit] = AGES.find(([each]) => seconds >= each);
  return `${(seconds / length).toFixed(0)} ${unit}`;
}

export function size(bytes) {
  if (bytes === undefined) return NONE;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

export function number(value) {
  return value === undefined ? NONE : String(value);
}

export function ms(value) {
  return `${value} ms`;
}

export function text(value) {
  return value === undefined ? "" : String(value);
}

export function ago(moment) {
  const seconds = (Date.now() - moment.getTime()) / 1000;
  if (seconds < -1) return `in ${duration(-seconds)}`;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export function clock(moment) {
  return CLOCK.format(moment);
}

// Puts the reader's own time into every <time> below a node.
export function localTimes(root) {
  for (const node of root.querySelectorAll("time")) {
    const moment = new Date(node.dateTime);
    const words = "ago" in node.dataset ? ago(moment) : clock(moment);
    if (node.textContent !== words) node.textContent = words;
    if (!node.title) node.title = moment.toLocaleString();
  }
}
