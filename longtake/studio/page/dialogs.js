// Where films come from: a dialog that asks for one, files that are chosen or dropped; and the dialog for a token.

import { $ } from "./dom.js";
import * as api from "./api.js";
import { isStoryboard, openFiles } from "./files.js";

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

// Storyboards with what they pin, by a button or dropped anywhere.
export function takeFiles(open, tell) {
  $("open-toml").onclick = () => $("toml-file").click();
  $("toml-file").onchange = (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    if (files.length) openStoryboard(files);
  };
  async function openStoryboard(files) {
    try {
      const { id, missing } = await openFiles(files);
      await open(id);
      if (missing.length) tell(new Error(`Opened without ${missing.join(", ")}: to keep what a storyboard pins, choose or drop those files together with it, or the .zip of both.`));
    } catch (error) { tell(error); }
  }
  const written = (event) => event.target.closest?.("input, textarea") && !event.dataTransfer?.types.includes("Files"); // words moved in a field
  addEventListener("dragover", (event) => { if (!written(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (written(event)) return;
    event.preventDefault();
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.some(isStoryboard)) openStoryboard(files);
    else if (files.length && !event.target.closest("#shots li")) tell(new Error("Pictures and videos are pinned where they fall on a shot: drop them on one of its blocks."));
  });
}
