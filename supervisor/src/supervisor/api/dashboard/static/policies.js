// Tries a change of policies on what was recorded, then applies it: until the restart, or saved.
import { element, notice, send } from "./actions.js";
import * as refresh from "./refresh.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [1000, 160];
const form = document.getElementById("change");
const outcome = document.getElementById("outcome");

// The fields that were turned, as a merge patch of policies.yml.
function changes() {
  const keys = {};
  for (const input of form.querySelectorAll("input[data-was]")) {
    if (Number(input.value) === Number(input.dataset.was)) continue;
    const path = input.name.split(".");
    let at = keys;
    for (const part of path.slice(0, -1)) at = at[part] ??= {};
    at[path.at(-1)] = Number(input.value);
  }
  return { services: { [form.dataset.service]: keys } };
}

function isChanged() {
  return Object.keys(changes().services[form.dataset.service]).length > 0;
}

function line(points, kind, [start, end], highest) {
  const place = ([at, value]) => `${(((at - start) / Math.max(end - start, 1)) * WIDTH).toFixed(1)} ${(HEIGHT - 4 - (value / highest) * (HEIGHT - 12)).toFixed(1)}`;
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("class", kind);
  path.setAttribute("d", `M${points.map(place).join("L")}`);
  return path;
}

function plot({ now, proposed }) {
  const all = [...now, ...proposed];
  const span = [Math.min(...all.map(([at]) => at)), Math.max(...all.map(([at]) => at))];
  const highest = Math.max(1, ...all.map(([, value]) => value));
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("class", "preview-plot");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `Replicas over time, 0 to ${highest}: as it is (dashed) and as proposed (solid)`);
  picture.append(line(now, "was", span, highest), line(proposed, "would", span, highest));
  return element("figure", { class: "preview" }, picture,
    element("figcaption", { class: "meta" }, `Replicas wanted, 0 to ${highest}: dashed as it is, solid as proposed.`));
}

async function tryOut() {
  outcome.replaceChildren(element("p", { class: "meta" }, "Replaying…"));
  const hours = Number(new FormData(form).get("hours"));
  const found = await send("POST", "/api/policies/preview", { service: form.dataset.service, changes: changes(), hours });
  const sentences = element("ul", { class: "stack" }, ...found.sentences.map((words) => element("li", {}, words)));
  outcome.replaceChildren(...(found.proposed.length ? [plot(found)] : []), sentences);
}

function ask(isSaved) {
  const dialog = document.getElementById("action");
  const problem = element("p", { class: "banner is-bad", role: "alert", hidden: "" });
  const confirm = element("button", { class: "button is-main" }, isSaved ? "Apply and save" : "Apply");
  const cancel = element("button", { class: "button", type: "button" }, "Cancel");
  const words = isSaved
    ? "In force at once, and kept over a restart in policies.saved.yml, which lies on top of policies.yml."
    : "In force at once, until the supervisor restarts.";
  const question = element("form", { method: "dialog", class: "stack" },
    element("h2", { id: "action-title" }, `Change the policy of ${form.dataset.service}`), element("p", {}, words),
    element("pre", {}, JSON.stringify(changes().services[form.dataset.service], null, 1)), problem,
    element("div", { class: "dialog-actions" }, confirm, cancel));
  cancel.addEventListener("click", () => dialog.close());
  question.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    try {
      await apply(changes(), isSaved);
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  });
  dialog.replaceChildren(question);
  dialog.showModal();
}

async function apply(change, isSaved) {
  const inputs = [...form.querySelectorAll("input[data-was]")];
  const before = { services: { [form.dataset.service]: earlier(change.services[form.dataset.service]) } };
  await send("PATCH", `/api/policies${isSaved ? "?save=true" : ""}`, change);
  for (const input of inputs) {
    const wanted = valueAt(change.services[form.dataset.service], input.name);
    if (wanted !== undefined) input.value = input.dataset.was = wanted;
  }
  mark();
  refresh.soon(0);
  notice(`The policy of ${form.dataset.service} is changed${isSaved ? " and saved" : " until the restart"}.`, {
    undo: () => apply(before, isSaved).catch((error) => notice(error.message, { isBad: true })),
  });
}

function valueAt(tree, name) {
  return name.split(".").reduce((at, part) => at?.[part], tree);
}

// The same keys with the values that were in force.
function earlier(tree, path = []) {
  return Object.fromEntries(Object.entries(tree).map(([key, value]) => {
    const here = [...path, key];
    if (typeof value === "object") return [key, earlier(value, here)];
    return [key, Number(form.elements.namedItem(here.join(".")).dataset.was)];
  }));
}

function mark() {
  for (const input of form.querySelectorAll("input[data-was]")) {
    input.classList.toggle("is-changed", Number(input.value) !== Number(input.dataset.was));
  }
}

form?.addEventListener("input", mark);
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!isChanged()) {
    outcome.replaceChildren(element("p", { class: "meta" }, "Turn a number first."));
    return;
  }
  if (event.submitter?.value !== "preview") {
    ask(event.submitter.value === "save");
    return;
  }
  try {
    await tryOut();
  } catch (error) {
    outcome.replaceChildren(element("p", { class: "banner is-bad" }, error.message));
  }
});
