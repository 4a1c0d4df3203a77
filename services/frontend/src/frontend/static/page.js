// What every page needs besides htmx: the dialog, and a word when a fragment could not be fetched.
"use strict";

const dialog = document.getElementById("dialog");
const notice = document.getElementById("notice");

// htmx puts the question into the dialog; "Keep" closes it by itself (formmethod="dialog").
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target === dialog && !dialog.open) dialog.showModal();
});

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});

function tell(text) {
  notice.textContent = text;
  notice.hidden = false;
}

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status === 404) tell("This is no longer here. It may have been deleted in another window: reload the page.");
  else if (status === 429) tell("That was a little too fast. Wait a moment, then try again.");
  else tell("The converter is not reachable right now. Try again in a moment.");
});
document.addEventListener("htmx:sendError", () => tell("The connection was lost. What you see stays; try again when you are back online."));
document.addEventListener("htmx:timeout", () => tell("No answer came in time. Try again in a moment."));
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.successful) notice.hidden = true;
});

// The legend of the coverage bar filters the ledger in place; without this script its links do the same by a page load.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-outcome]");
  if (!link) return;
  const choice = document.querySelector(`.ledger-filter input[name="outcome"][value="${link.dataset.outcome}"]`);
  if (!choice) return;
  event.preventDefault();
  choice.checked = true;
  choice.dispatchEvent(new Event("change", { bubbles: true }));
  document.getElementById("ledger").scrollIntoView();
  choice.focus({ preventScroll: true });
});
