// Every page for operators begins here.
import * as actions from "./actions.js";
import * as format from "./format.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as look from "./look.js";

look.install();
keys.install();
actions.install();
live.install();
format.localTimes(document);
document.querySelector(".site-nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" }); // on a phone

for (const box of document.querySelectorAll("[data-submit]")) box.addEventListener("change", () => box.form.requestSubmit());
