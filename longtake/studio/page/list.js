// The list of films, and what is said where there is none.

import { $, h, clock } from "./dom.js";
import { briefly } from "./words.js";

export function welcome() {
  $("hint").replaceChildren(h("b", {}, "No film yet"), h("span", {}, "Press New film and write what is to be seen, a shot to a sentence. Nothing runs before you say so."),
    h("span", {}, "Or drop a storyboard here: a .toml file with the pictures and videos it pins, or a .zip of them."));
}

// current: the id of the film that is shown.
export function showFilms(films, current, open) {
  const rest = films.filter((film) => film.id !== current && film.film);
  const chosen = $("compare").value;
  renewed($("film-list"), films.map((film) => h("li", {}, h("button", { type: "button", "data-id": film.id, "aria-current": film.id === current ? "true" : null, onclick: () => open(film.id) },
    h("b", {}, film.title || film.prompt || "Untitled"), h("small", {}, `${clock(Number(film.seconds))} · ${briefly(film)}`)))));
  renewed($("compare"), [h("option", { value: "" }, "with nothing"), ...rest.map((film) => h("option", { value: film.id, selected: film.id === chosen }, film.title || film.prompt))]);
}

// Other children for an element, if they are others; who has the focus keeps it.
function renewed(element, children) {
  const fresh = children.map((child) => child.outerHTML).join("");
  if (element.innerHTML === fresh) return;
  const held = element.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  element.replaceChildren(...children);
  if (held) element.querySelector(`[data-id="${held}"]`)?.focus({ preventScroll: true });
}
