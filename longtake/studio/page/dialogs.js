// Dialogs that ask: for a new film, for a token.

import { $ } from "./dom.js";
import * as api from "./api.js";

export function signIn() {
  const dialog = $("sign-in");
  if (dialog.open) return;
  dialog.showModal();
  dialog.onclose = async () => {
    try { await api.signIn($("token").value); location.reload(); } catch (error) { $("sign-error").textContent = error.message; dialog.showModal(); }
  };
}

$("sign-out").onclick = async () => { await api.signOut(); location.reload(); };

// open(id): shows the film that was written.
export function askForFilms(open) {
  $("new-film").onclick = () => { $("new-error").textContent = ""; $("new-dialog").showModal(); };
  $("new-cancel").onclick = () => $("new-dialog").close();
  // A planner may take its time, or refuse: the words stay until there is a storyboard.
  $("new-form").onsubmit = async (event) => {
    event.preventDefault();
    const button = $("new-form").querySelector(".primary"), name = button.textContent;
    button.disabled = true;
    button.textContent = "Writing…";
    $("new-error").textContent = "";
    try {
      const asked = { prompt: $("new-prompt").value, seconds: Number($("new-seconds").value), model: $("new-model").value };
      const found = await api.storyboardOf(asked);
      if (!$("new-dialog").open) return; // given up meanwhile
      const made = await api.create({ storyboard: found, model: asked.model, start: false });
      $("new-dialog").close();
      await open(made.id);
    } catch (error) { $("new-error").textContent = error.message; } finally { button.disabled = false; button.textContent = name; }
  };
}
