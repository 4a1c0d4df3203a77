// The charts of a service or a replica, with a mark at each change and its reason. uPlot draws (a global of its own).
import { element } from "./actions.js";
import * as format from "./format.js";

const SECOND_MARKS_MAX = 60;
const SILENCE_SECONDS = 60;
const SILENCE_STEPS = 6; // of the usual distance of two points
const place = document.getElementById("charts");
const { service, replica } = place.dataset;
let hours = 1;
let charts = [];
let marks = [];

const FIGURES = [
  { title: "Replicas", series: [["ready", "ready", "accent"], ["running", "running", "muted"], ["desired", "wanted", "warn"]], as: (value) => value.toFixed(0), least: 2, isStepped: true },
  { title: "CPU", series: [["cpu_ratio", "CPU", "accent"]], as: format.percent, least: 0.2 },
  { title: "Memory", series: [["memory_ratio", "memory", "accent"]], as: format.percent, least: 0.2 },
  { title: "Requests per second", series: [["requests_per_second", "requests/s", "accent"]], as: format.rate, least: 1 },
  { title: "p95 of answers", series: [["p95_seconds", "p95", "accent"]], as: format.duration, least: 0.05 },
].slice(replica ? 1 : 0);

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

async function get(address) {
  const answer = await fetch(address, { headers: { "X-Refresh": "1" } });
  return answer.ok ? answer.json() : null;
}

// One shared row of times. Where a single series has no point (undefined) its line goes on; where nothing was recorded
// for long (null) all lines end: what was is not known.
export function aligned(all, names) {
  const seen = [...new Set(names.flatMap((name) => (all[name] || []).map(([at]) => at)))].sort((a, b) => a - b);
  const steps = seen.slice(1).map((at, index) => at - seen[index]).sort((a, b) => a - b);
  const silence = Math.max(SILENCE_SECONDS, SILENCE_STEPS * (steps[Math.floor(steps.length / 2)] || 0));
  const times = seen.flatMap((at, index) => (index && at - seen[index - 1] > silence ? [(at + seen[index - 1]) / 2, at] : [at]));
  const known = new Set(seen);
  const columns = names.map((name) => {
    const values = new Map(all[name] || []);
    return times.map((at) => (known.has(at) ? values.get(at) : null));
  });
  return [times, ...columns];
}

function drawMarks(chart) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = colour("mark");
  ctx.fillStyle = colour("mark");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const mark of marks) {
    const x = Math.round(chart.valToPos(mark.at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const side = 4 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x - side, bbox.top);
    ctx.lineTo(x + side, bbox.top);
    ctx.lineTo(x, bbox.top + 1.6 * side);
    ctx.fill();
  }
  ctx.restore();
}

function nearestMark(chart) {
  const at = chart.posToVal(chart.cursor.left, "x");
  const reach = Math.abs(chart.posToVal(chart.cursor.left + 7, "x") - at);
  return marks.find((mark) => Math.abs(mark.at - at) <= reach);
}

function momentWords(at) {
  const moment = new Date(at * 1000);
  const isDay = hours > 24 || (moment.getHours() === 0 && moment.getMinutes() === 0);
  return moment.toLocaleString(undefined, isDay ? { weekday: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

function options(figure, box, readout) {
  const line = (name) => colour(name);
  const axis = { stroke: line("muted"), grid: { stroke: line("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width: box.clientWidth,
    height: 150,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false }, sync: { key: "charts" } },
    scales: { y: { range: (_, low, high) => [0, Math.max(figure.least, (high || 0) * 1.15)] } },
    axes: [{ ...axis, size: 28, space: 80, values: (_, moments) => moments.map(momentWords) }, { ...axis, size: 58, space: 34, values: (_, values) => values.map(figure.as) }],
    series: [{}, ...figure.series.map(([, label, name]) => ({
      label, stroke: line(name), width: name === "accent" ? 2 : 1.4, spanGaps: false, points: { show: false },
      dash: name === "warn" ? [6, 4] : name === "muted" ? [2, 3] : undefined,
      paths: figure.isStepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      fill: name === "accent" ? line("accent-faint") : undefined,
    }))],
    hooks: {
      draw: [drawMarks],
      setCursor: [(chart) => {
        const at = chart.cursor.idx;
        const values = figure.series.map(([, label], index) => {
          const column = chart.data[index + 1];
          const value = at === null || at === undefined ? column.findLast((each) => Number.isFinite(each)) : column[at];
          return !Number.isFinite(value) ? undefined : `${figure.series.length > 1 ? `${label} ` : ""}${figure.as(value)}`;
        }).filter(Boolean);
        const mark = chart.cursor.left >= 0 && box.matches(":hover") ? nearestMark(chart) : undefined;
        readout.textContent = mark ? mark.text : values.join(", ") || format.NONE;
        readout.classList.toggle("is-mark", Boolean(mark));
      }],
    },
  };
}

function draw(all) {
  for (const { chart } of charts) chart.destroy();
  place.replaceChildren();
  charts = FIGURES.map((figure) => {
    const readout = element("span", { class: "readout" });
    const canvas = element("div", { class: "chart-canvas", role: "img", "aria-label": `${figure.title}, the last ${hours} h` });
    place.append(element("figure", { class: figure.isStepped ? "chart is-wide" : "chart" }, element("figcaption", {}, element("b", {}, figure.title), readout), canvas));
    const data = aligned(all, figure.series.map(([name]) => name));
    const chart = new uPlot(options(figure, canvas, readout), data, canvas);
    chart.setCursor({ left: -10, top: -10 });
    return { chart, canvas, figure };
  });
}

function markOf(decision) {
  const why = decision.outcomes.filter((outcome) => outcome.kind !== "SetMembers").map((outcome) => outcome.why);
  return { at: Date.parse(decision.at) / 1000, text: `${format.clock(new Date(decision.at))}: ${why[0] || decision.sentence}` };
}

async function load() {
  const name = encodeURIComponent(service);
  const [all, decisions] = await Promise.all([
    get(`/api/services/${name}/series?hours=${hours}${replica ? `&replica=${encodeURIComponent(replica)}` : ""}`),
    get(`/api/decisions?service=${name}&only_actions=true&limit=${SECOND_MARKS_MAX}`),
  ]);
  if (!all) {
    place.replaceChildren(element("p", { class: "empty" }, "The history cannot be read right now."));
    return;
  }
  marks = (decisions || []).filter((each) => each.outcomes.some((outcome) => outcome.kind !== "SetMembers")).map(markOf);
  draw(all);
}

// Adds the newest values at the right edge, and lets as much go on the left.
function push(status) {
  const at = Date.parse(status.at) / 1000;
  const whole = status.services?.[service];
  const values = replica ? whole?.replicas?.[replica] : whole;
  if (!values || !charts.length) return;
  for (const { chart, figure } of charts) {
    const [times, ...columns] = chart.data;
    if (times.length && at <= times[times.length - 1]) continue;
    const from = times.findIndex((each) => each >= at - hours * 3600);
    const keep = (column) => (from > 0 ? column.slice(from) : column);
    chart.setData([[...keep(times), at], ...columns.map((column, index) => [...keep(column), values[figure.series[index][0]]])]);
  }
}

document.addEventListener("look", load);
document.addEventListener("cycle", (event) => push(event.detail));
addEventListener("resize", () => charts.forEach(({ chart, canvas }) => chart.setSize({ width: canvas.clientWidth, height: 150 })));
for (const button of document.querySelectorAll("[data-hours]")) {
  button.addEventListener("click", () => {
    hours = Number(button.dataset.hours);
    for (const each of document.querySelectorAll("[data-hours]")) each.setAttribute("aria-pressed", String(each === button));
    load();
  });
}
let minutes = 0;
setInterval(() => { // marks of new changes, and points as the history keeps them
  minutes += 1;
  if (hours <= 1 || minutes % 5 === 0) load();
}, 60000);
load();
