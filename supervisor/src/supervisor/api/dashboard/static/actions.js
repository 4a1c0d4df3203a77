// What operators can do: a dialog that asks, the request, the outcome, and a way back where there is one.
const FIELDS = {
  replicas: (data) => number("replicas", `Replicas (${data.min} to ${data.max})`, data.now, data.min, data.max),
  hold: () => choice("hold_minutes", "Keep it so for", [["", "as the policy says"], ["10", "10 minutes"], ["60", "1 hour"], ["480", "8 hours"], ["1440", "1 day"]]),
  image: (data) => text("image", "Image", data.image),
  direction: () => choice("direction", "What pauses", [["in", "scaling down"], ["out", "scaling up"], ["all", "scaling and healing"]]),
  minutes: () => choice("minutes", "For", [["15", "15 minutes"], ["60", "1 hour"], ["240", "4 hours"], ["1440", "1 day"]]),
};

const ACTIONS = {
  scale: {
    title: (data) => `Scale ${data.service}`, button: "Scale", fields: ["replicas", "hold"],
    text: () => "The number is kept for a time, then the policy goes on from there.",
    body: (form) => ({ replicas: Number(form.get("replicas")), ...(form.get("hold_minutes") ? { hold_seconds: form.get("hold_minutes") * 60 } : {}) }),
  },
  restart: {
    title: (data) => `Restart ${data.replica}`, button: "Restart", fields: [],
    text: () => "It gets no new requests, finishes what it has in hand, and starts again.",
    body: (form, data) => ({ replica: data.replica }),
  },
  drain: {
    title: (data) => `Drain ${data.replica}`, button: "Drain", fields: [],
    text: (data) => `It keeps running and gets no new requests until ${data.service} is resumed.`,
    body: (form, data) => ({ replica: data.replica }),
  },
  deploy: {
    title: (data) => `Deploy to ${data.service}`, button: "Deploy", fields: ["image"],
    text: () => "One replica after the other. The first gets a small share of the traffic; a bad image is taken back by itself.",
    body: (form) => ({ image: form.get("image").trim() }),
  },
  rollback: {
    title: (data) => `Roll ${data.service} back`, button: "Roll back", fields: [],
    text: () => "Ends the running rollout, or goes back to the image before the last one.",
    body: () => undefined,
  },
  pause: {
    title: (data) => `Pause ${data.service}`, button: "Pause", fields: ["direction", "minutes"],
    text: () => "Decisions go on and are shown; what pauses is not carried out.",
    body: (form) => ({ direction: form.get("direction"), seconds: form.get("minutes") * 60 }),
  },
  resume: {
    title: (data) => `Resume ${data.service}`, button: "Resume", fields: [],
    text: () => "Ends pauses, the kept number, drains and quarantines: the policy goes on from here.",
    body: () => undefined,
  },
};

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

function labelled(name, words, control) {
  control.id = `field-${name}`;
  control.name = name;
  return element("div", { class: "field" }, element("label", { for: control.id }, words), control);
}

function number(name, words, value, min, max) {
  return labelled(name, words, element("input", { type: "number", value, min, max, step: 1, required: "" }));
}

function text(name, words, value) {
  return labelled(name, words, element("input", { type: "text", value, required: "", autocomplete: "off", spellcheck: "false" }));
}

function choice(name, words, options) {
  return labelled(name, words, element("select", {}, ...options.map(([value, label]) => element("option", { value }, label))));
}

// The answer's JSON; throws an Error with the problem's own sentence.
export async function send(method, address, body) {
  const headers = { "X-CSRF-Token": document.querySelector('meta[name="csrf-token"]')?.content || "" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("The supervisor does not answer. Nothing is known to have changed.");
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.status === 401) location.href = `/sign-in?next=${encodeURIComponent(location.pathname)}`;
  if (!answer.ok) throw new Error(content.detail || `It answered ${answer.status}.`);
  return content;
}

export function notice(words, { isBad = false, undo } = {}) {
  const box = element("div", { class: isBad ? "notice is-bad" : "notice" }, element("p", {}, words));
  if (undo) {
    const button = element("button", { type: "button", class: "button" }, "Undo");
    button.addEventListener("click", () => {
      box.remove();
      undo();
    });
    box.append(button);
  }
  const close = element("button", { type: "button", class: "link" }, "Close");
  close.addEventListener("click", () => box.remove());
  box.append(close);
  document.getElementById("notices").append(box);
  setTimeout(() => box.remove(), undo ? 30000 : 12000);
}

async function carryOut(service, action, body) {
  const answer = await send("POST", `/api/services/${encodeURIComponent(service)}/${action}`, body);
  const back = answer.undo;
  const undo = back && (() => carryOut(service, back.action, Object.keys(back.body).length ? back.body : undefined).catch((error) => notice(error.message, { isBad: true })));
  notice(answer.text, { undo });
}

function ask(data) {
  const action = ACTIONS[data.action];
  const dialog = document.getElementById("action");
  const problem = element("p", { class: "banner is-bad", role: "alert", hidden: "" });
  const confirm = element("button", { class: "button is-main" }, action.button);
  const cancel = element("button", { class: "button", type: "button" }, "Cancel");
  const form = element("form", { method: "dialog", class: "stack" },
    element("h2", { id: "action-title" }, action.title(data)), element("p", {}, action.text(data)),
    ...action.fields.map((name) => FIELDS[name](data)), problem, element("div", { class: "dialog-actions" }, confirm, cancel));
  cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    confirm.disabled = true;
    problem.hidden = true;
    try {
      await carryOut(data.service, data.action, action.body(new FormData(form), data));
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      confirm.disabled = false;
    }
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}

export function install() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (button) ask({ ...button.dataset });
  });
  document.getElementById("sign-out")?.addEventListener("click", async () => {
    const { next } = await send("POST", "/sign-out");
    location.href = next;
  });
}
