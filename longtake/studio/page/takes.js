// Takes of a stretch that was made again, side by side.

import { $, h, clock } from "./dom.js";
import * as api from "./api.js";

// told: { frames, shown, takes, take } as the server has it; use(take): the film shows that one from now on.
export function showTakes(id, told, fps, use) {
  const dialog = $("takes-dialog");
  const films = Array.from({ length: told.takes + 1 }, (_, take) => h("video", { src: api.takeUrl(id, take), muted: "", playsinline: "", loop: "", "aria-label": take ? `Take ${take}` : "As it was before" }));
  const item = (video, take) => h("li", { class: take === told.take ? "chosen" : "" }, video, h("span", {}, take ? `Take ${take}` : "As it was", ...(told.scores?.[take] === undefined ? [] : [h("small", {}, ` worst score ${told.scores[take].toFixed(2)} of its limit`)])),
    take === told.take ? h("b", {}, "in the film") : h("button", { type: "button", onclick: async (event) => { event.target.disabled = true; await use(take); dialog.close(); } }, "Use this one"));
  $("takes").replaceChildren(...films.map(item));
  $("takes-title").textContent = `Takes of ${clock(told.frames[0] / fps)} to ${clock(told.frames[1] / fps)}`;
  $("takes-play").onclick = () => { for (const film of films) { film.currentTime = 0; film.play().catch(() => {}); } };
  dialog.showModal();
  $("takes-play").click();
}
