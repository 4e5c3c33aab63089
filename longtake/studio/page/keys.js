// Keys that work wherever nothing is being written.

import { $ } from "./dom.js";

// ready(): whether there is a film to direct; on: { toggle(), split() }.
export function listenToKeys(ready, on) {
  addEventListener("keydown", (event) => {
    if (!ready() || event.target.closest("input, textarea, select")) return;
    const key = event.key.toLowerCase(), held = event.ctrlKey || event.metaKey;
    if (held && (key === "y" || (key === "z" && event.shiftKey))) $("again").click();
    else if (held && key === "z") $("undo").click();
    else if (held || event.altKey) return;
    else if (event.key === " " && !event.target.closest("button, a, summary")) on.toggle();
    else if (event.key === "ArrowLeft" && !event.target.closest("#shots")) $("back").click();
    else if (event.key === "ArrowRight" && !event.target.closest("#shots")) $("forth").click();
    else if (event.key === "s") on.split();
    else if (event.key === "n") $("add-shot").click();
    else if (event.key === "i") $("explain").click();
    else if (event.key === "f") $("full").click();
    else return;
    event.preventDefault();
  });
}
