// Sends dropped or picked jars to the API, one after another, each with its progress, its problem and a way to try again.
//
// A chosen file keeps one Idempotency-Key for its whole life on the page, so that a double click or a retry after a lost
// answer cannot start a second conversion. The wording of every problem is in the page's templates.
"use strict";

(() => {
  const root = document.getElementById("upload");
  const zone = document.getElementById("drop-zone");
  const input = document.getElementById("file");
  const list = document.getElementById("uploads");
  const announcer = document.getElementById("upload-announce");
  const maxBytes = Number(root.dataset.maxBytes);
  const uploads = [];

  function newKey() {
    if (crypto.randomUUID) return crypto.randomUUID();
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function sizeOf(bytes) {
    if (bytes < 1000) return `${bytes} bytes`;
    if (bytes < 1e6) return `${(bytes / 1e3).toFixed(bytes < 1e4 ? 1 : 0)} KB`;
    return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  }

  // An upload is waiting -> sending -> accepted, or -> stopped (with a problem), from which "try again" leads to waiting.
  function add(file, isAlone, problem) {
    const item = document.getElementById("upload-item").content.firstElementChild.cloneNode(true);
    const upload = { file, isAlone, key: newKey(), state: "waiting", item, request: null, mayRetry: false };
    item.querySelector(".upload-name").textContent = file.name;
    item.querySelector(".upload-size").textContent = problem === "folder" ? "" : sizeOf(file.size);
    item.querySelector("progress").setAttribute("aria-label", `Upload of ${file.name}`);
    item.addEventListener("click", (event) => {
      // The second half of a double click lands on the button that took the first one's place.
      if (event.detail < 2) act(upload, event.target.closest("[data-do]")?.dataset.do);
    });
    list.append(item);
    uploads.push(upload);
    if (problem) stop(upload, problem);
    else show(upload, "Waiting for its turn");
  }

  function act(upload, action) {
    if (action === "retry" && upload.state === "stopped") {
      upload.state = "waiting";
      show(upload, "Waiting for its turn");
      next();
    } else if (action === "cancel" && upload.state === "sending") {
      upload.request.abort();
    } else if (action === "cancel" && upload.state === "waiting") {
      stop(upload, "cancelled");
    } else if (action === "dismiss") {
      uploads.splice(uploads.indexOf(upload), 1);
      upload.item.remove();
      input.focus();
    }
  }

  function show(upload, text) {
    const { item, state } = upload;
    const part = (name) => item.querySelector(`[data-do="${name}"]`);
    item.dataset.state = state;
    item.querySelector(".upload-state").textContent = text;
    item.querySelector("progress").hidden = state === "stopped";
    item.querySelector(".upload-problem").hidden = state !== "stopped";
    part("cancel").hidden = state !== "waiting" && state !== "sending";
    part("retry").hidden = !(state === "stopped" && upload.mayRetry);
    part("dismiss").hidden = state !== "stopped";
    part("open").hidden = state !== "accepted";
  }

  function message(code) {
    return [...document.querySelectorAll("template[data-message]")].find((each) => each.dataset.message === code);
  }

  function stop(upload, code, detail) {
    const found = message(code) || message("unknown");
    const text = found.content.cloneNode(true);
    if (detail && found.dataset.message === "unknown") text.querySelector("p").textContent = detail;
    const problem = upload.item.querySelector(".upload-problem");
    problem.replaceChildren(text);
    problem.dataset.code = code;
    upload.state = "stopped";
    upload.mayRetry = "retry" in found.dataset;
    show(upload, "");
    announcer.textContent = `${upload.file.name}: ${problem.textContent}`;
    next();
  }

  function next() {
    if (uploads.some((upload) => upload.state === "sending")) return;
    const upload = uploads.find((each) => each.state === "waiting");
    if (!upload) return;
    if (upload.file.size === 0) stop(upload, "empty_file");
    else if (upload.file.size > maxBytes) stop(upload, "too_large");
    else send(upload);
  }

  function send(upload) {
    const form = new FormData();
    form.append("file", upload.file);
    const request = new XMLHttpRequest();
    upload.request = request;
    upload.state = "sending";
    show(upload, "Sending");
    const bar = upload.item.querySelector("progress");
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      bar.value = event.loaded / event.total;
      const percent = Math.floor((event.loaded / event.total) * 100);
      show(upload, percent < 100 ? `Sending, ${percent}%` : "Sent, being checked");
    });
    request.addEventListener("load", () => answered(upload, request));
    request.addEventListener("abort", () => stop(upload, "cancelled"));
    request.addEventListener("error", () => whyLost(upload));
    request.addEventListener("timeout", () => stop(upload, "network"));
    request.open("POST", root.dataset.action);
    request.timeout = 15 * 60 * 1000;
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", upload.key);
    request.send(form);
    announcer.textContent = `Sending ${upload.file.name}`;
  }

  // The browser reports a file that vanished from the disk in the same way as a broken connection.
  async function whyLost(upload) {
    let code = "network";
    try {
      await upload.file.slice(0, 1).arrayBuffer();
    } catch {
      code = "unreadable";
    }
    stop(upload, code);
  }

  function bodyOf(request) {
    try {
      return JSON.parse(request.responseText) || {};
    } catch {
      return {}; // a proxy's own HTML page
    }
  }

  function answered(upload, request) {
    const body = bodyOf(request);
    if (request.status >= 200 && request.status < 300 && body.id) return accepted(upload, body.id);
    const byStatus = { 413: "too_large", 429: "rate_limited", 502: "unavailable", 503: "unavailable", 504: "unavailable" };
    return stop(upload, byStatus[request.status] || body.code || "unknown", body.detail);
  }

  function accepted(upload, id) {
    const link = upload.item.querySelector('[data-do="open"]');
    link.href = `/conversions/${encodeURIComponent(id)}`;
    upload.state = "accepted";
    upload.item.querySelector("progress").value = 1;
    show(upload, "Accepted, the conversion has started");
    announcer.textContent = `${upload.file.name} was accepted`;
    const isLast = !uploads.some((each) => each.state === "waiting");
    if (upload.isAlone && isLast) window.location.assign(link.href);
    else next();
  }

  function choose(files) {
    for (const { file, problem } of files) add(file, files.length === 1, problem);
    next();
  }

  input.addEventListener("change", () => {
    choose([...input.files].map((file) => ({ file })));
    input.value = ""; // so that the same file can be chosen again
  });

  function carriesFiles(event) {
    return event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  }

  // A drop anywhere on the page counts: one that misses the zone would make the browser leave the page.
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.classList.add("is-over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("is-over");
  });
  document.addEventListener("drop", (event) => {
    zone.classList.remove("is-over");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    choose([...event.dataTransfer.files].map((file, index) => ({
      file, problem: entries[index]?.isDirectory ? "folder" : undefined,
    })));
  });

  window.addEventListener("beforeunload", (event) => {
    if (uploads.some((upload) => upload.state === "sending")) event.preventDefault();
  });

  input.disabled = false;
})();
