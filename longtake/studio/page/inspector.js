// The inspector: a shot to change, a frame to understand, the film's own choices.

import { $, h, clock } from "./dom.js";
import { readPin } from "./board.js";

const TABS = ["shot", "frame", "film"];

export function openTab(name, focus = false) {
  if ($(`panel-${name}`).hidden) $("inspector").scrollTop = 0;
  for (const tab of TABS) {
    const on = tab === name;
    $(`tab-${tab}`).setAttribute("aria-selected", on);
    $(`tab-${tab}`).tabIndex = on ? 0 : -1;
    $(`panel-${tab}`).hidden = !on;
  }
  if (focus) $(`tab-${name}`).focus();
}

for (const [n, tab] of TABS.entries()) {
  $(`tab-${tab}`).addEventListener("click", () => openTab(tab));
  $(`tab-${tab}`).addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.stopPropagation();
    openTab(TABS[(n + step + TABS.length) % TABS.length], true);
  });
}

// video: the film as the server tells it.
// on: { approve(n, yes), set(n, fields), stretch(n, s), pin(n, file), unpin(n, kind, place), replace(n, kind, place, at), remove(n) }
export function showShot(board, n, video, on) {
  const shot = board.shots[n], start = board.starts[n];
  const prompt = h("textarea", { id: "prompt", rows: 5, value: shot.prompt, onchange: (event) => on.set(n, { prompt: event.target.value }) });
  const seconds = h("input", { type: "number", min: "0.1", step: "any", value: shot.seconds, onchange: (event) => Number(event.target.value) > 0 && on.stretch(n, Number(event.target.value)) });
  const seed = h("input", { type: "number", min: "0", step: "1", placeholder: "the film's", value: shot.seed ?? "", onchange: (event) => on.set(n, { seed: event.target.value === "" ? undefined : Math.abs(Math.round(Number(event.target.value))) }) });
  const roll = h("button", { type: "button", title: "Another seed for this shot: it is made again, the others stay", onclick: () => on.set(n, { seed: Math.floor(Math.random() * 1e9) }) }, "Roll again");
  const cut = h("select", { disabled: n === 0, onchange: (event) => on.set(n, { cut: event.target.value === "cut" }) },
    h("option", { value: "flow", selected: n && !shot.cut }, "flows on"),
    h("option", { value: "cut", selected: !n || shot.cut }, n ? "a cut" : "opens the film"));
  const pins = ["images", "videos"].flatMap((kind) => (shot[kind] ?? []).map((text, place) => pinRow(n, kind, place, readPin(text), shot, on)));
  const file = h("input", { type: "file", accept: "image/*,video/*", multiple: "", "aria-label": "Pictures and videos to pin", onchange: (event) => { for (const one of event.target.files) on.pin(n, one); } });
  $("panel-shot").replaceChildren(
    h("h2", {}, `Shot ${n + 1} `, h("small", {}, `${clock(start)} to ${clock(start + shot.seconds)}`)),
    h("label", {}, "Prompt ", prompt),
    h("div", { class: "row" }, h("label", {}, "Seconds ", seconds), h("label", {}, "Begins ", cut)),
    h("div", { class: "row" }, h("label", {}, "Seed ", seed), roll),
    h("fieldset", {}, h("legend", {}, "Pinned pictures and videos"),
      pins.length ? h("ul", { class: "pins" }, ...pins) : h("p", { class: "quiet" }, "None. Drop a file on the shot, or choose one:"), file),
    h("label", {}, h("input", { id: "approved", type: "checkbox", checked: video.approved.includes(n + 1), onchange: (event) => on.approve(n, event.target.checked) }), " Approved, until it is changed"),
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => on.remove(n), disabled: board.shots.length === 1 }, "Delete shot")));
}

function pinRow(n, kind, place, pin, shot, on) {
  const moved = (at) => on.replace(n, kind, place, { at, name: pin.name });
  const time = h("input", { type: "number", min: "0", max: String(shot.seconds), step: "any", "aria-label": "Seconds from the shot's start", value: pin.at === "end" ? "" : pin.at, disabled: pin.at === "end", onchange: (event) => moved(Number(event.target.value)) });
  const end = h("input", { type: "checkbox", checked: pin.at === "end", onchange: (event) => moved(event.target.checked ? "end" : 0) });
  return h("li", {}, h("span", { title: pin.name }, pin.name), h("label", {}, "at ", time, " s"), h("label", {}, end, " the end"),
    h("button", { type: "button", "aria-label": `Unpin ${pin.name}`, onclick: () => on.unpin(n, kind, place) }, "×"));
}

// on: { go(frame), pinFrame(), replace(file), redo(seconds, takes), takes() }; redo and takes are missing where there is nothing to redo, or no take
// shown: a video that stands at the frame, if there is one.
export function showFrame(told, on, shown) {
  const made = told.made, rows = [];
  const row = (name, ...content) => rows.push(h("dt", {}, name), h("dd", {}, ...content));
  const link = (frame) => h("button", { type: "button", class: "link", onclick: () => on.go(frame) }, String(frame));
  row("Shot", `${told.shot}: ${told.prompt}`);
  if (told.given) row("Given", `frames ${told.given.frame} to ${told.given.frame + told.given.frames - 1} are pinned; no step made them`);
  else row("Step", `${told.step}, writes frames ${spans(told.frames)}`);
  if (made) {
    if (made.observed.length) row("Observed", ...joined(merged(made.observed), link)); else row("Observed", "nothing: it began something");
    row("Seed", `${made.seed}${made.attempt ? `, attempt ${made.attempt + 1}` : ""}`);
    if (made.prompts.length > 1) row("Heard", made.prompts.join(" → "));
    row("Ancestry", `${made.ancestry.count} steps behind it, ${made.ancestry.depth} in a row`);
    if (made.seconds !== null) row("Took", `${made.seconds.toFixed(2)} s`);
    if (made.changed.length) row("Changed", made.changed.join(", "));
    row("Scores", bars(made.scores), ...(made.faults ? [h("p", { class: "warn" }, made.faults)] : []));
  } else if (!told.given) row("Made", "not yet");
  $("panel-frame").replaceChildren(
    h("h2", {}, `Frame ${told.frame} `, h("small", {}, clock(told.seconds))),
    ...still(shown),
    h("dl", {}, ...rows),
    h("div", { class: "row" }, h("button", { type: "button", onclick: on.pinFrame }, "Pin this picture here")),
    h("label", {}, "Replace it by a picture of yours ", h("input", { id: "replace", type: "file", accept: "image/*", onchange: (event) => { for (const file of event.target.files) on.replace(file); } })),
    ...(on.redo ? [redoing(told, on)] : []),
    ...(on.takes ? [h("div", { class: "row" }, h("button", { type: "button", id: "show-takes", onclick: on.takes }, "Compare the takes"))] : []));
}

// A stretch around the frame, to be made again between what stays.
function redoing(told, on) {
  const time = (id, value) => h("input", { id, type: "number", min: "0", step: "any", required: "", value: String(Math.max(0, Math.round(value * 100) / 100)) });
  const from = time("redo-from", told.seconds - 0.8), to = time("redo-to", Math.min(told.seconds + 0.8, told.film));
  const takes = h("input", { id: "redo-takes", type: "number", min: "1", max: "9", step: "1", value: "3" });
  return h("fieldset", {}, h("legend", {}, "Make a stretch again"),
    h("div", { class: "row" }, h("label", {}, "From ", from), h("label", {}, "to ", to), h("label", {}, "Takes ", takes)),
    h("button", { type: "button", id: "redo", onclick: () => on.redo([Number(from.value), Number(to.value)], Number(takes.value)) }, "Make it again"),
    h("p", { class: "quiet" }, "Both ends stay; the best take is chosen, and the others are kept to compare."));
}

function still(shown) {
  if (!shown?.videoWidth || shown.seeking) return [];
  const canvas = h("canvas", { class: "still", width: shown.videoWidth, height: shown.videoHeight, role: "img", "aria-label": "The frame" });
  canvas.getContext("2d").drawImage(shown, 0, 0);
  return [canvas];
}

// Each score as a share of its limit: 1 is the limit.
function bars(scores) {
  const names = Object.entries(scores);
  if (!names.length) return "none";
  return h("ul", { class: "scores" }, ...names.map(([name, share]) => h("li", {}, h("span", {}, name), h("meter", { min: 0, max: 2, high: 1, value: Math.min(share, 2), "aria-label": name }, ""), h("span", {}, share.toFixed(2)))));
}

const spans = (frames) => frames.map(([a, b]) => (b - a > 1 ? `${a}–${b - 1}` : `${a}`)).join(", ");

function merged(observed) {
  const parts = [];
  for (const { frames, step } of observed) {
    if (!frames) continue;
    const last = parts.at(-1);
    if (last && last.frames[1] === frames[0] && last.step === step) last.frames[1] = frames[1];
    else parts.push({ frames: [...frames], step });
  }
  return parts;
}

function joined(parts, link) {
  return [h("ul", { class: "plain" }, ...parts.slice(0, 12).map(({ frames, step }) => h("li", {}, "frames ", link(frames[0]), `–${frames[1] - 1} (${step === null ? "given" : `step ${step}`})`)),
    ...(parts.length > 12 ? [h("li", {}, `and ${parts.length - 12} more`)] : []))];
}

// on: { choose(fields), whole(fields), remove() }
export function showFilm(video, board, session, on) {
  const select = (name, options, chosen) => h("select", { onchange: (event) => on.choose({ [name]: event.target.value }) },
    ...options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  const number = (name, value, placeholder, extra = {}) => h("input", { type: "number", value: value ?? "", placeholder, ...extra,
    onchange: (event) => on.whole({ [name]: event.target.value === "" ? null : Number(event.target.value) }) });
  const size = h("input", { value: board.data.size ?? "", placeholder: video.size, pattern: "[0-9]+x[0-9]+", onchange: (event) => on.whole({ size: event.target.value || null }) });
  const [scheme, ...turned] = video.scheme.split(":"), schemes = [["", "the model's own"], ...session.schemes.map((name) => [name, name])];
  const parameters = h("input", { id: "parameters", value: turned.join(":"), disabled: !scheme, placeholder: scheme ? "window=20,step=10" : "", onchange: (event) => on.choose({ scheme: event.target.value.trim() ? `${scheme}:${event.target.value.trim()}` : scheme }) });
  const knobs = h("input", { id: "knobs", value: Object.entries(video.settings).map(([name, value]) => `${name}=${value}`).join(" "), placeholder: "steps=12", onchange: (event) => on.choose({ settings: settingsOf(event.target.value) }) });
  $("panel-film").replaceChildren(
    h("h2", {}, "Film ", h("small", {}, `${video.frames} frames`)),
    h("label", {}, "Model ", select("model", session.models.map((name) => [name, name]), video.model)),
    h("label", {}, "Scheme ", select("scheme", schemes, scheme)),
    h("div", { class: "row" }, h("label", {}, "Its parameters ", parameters), h("label", {}, "The model's knobs ", knobs)),
    h("div", { class: "row" }, h("label", {}, "Seed ", number("seed", board.data.seed, "0", { min: 0, step: 1 })),
      h("label", {}, "Frames a second ", number("fps", board.data.fps, String(video.fps), { min: 0.1, step: "any" })),
      h("label", {}, "Size ", size)),
    h("label", {}, "Steps that look wrong ", select("repair", [["off", "are not looked for"], ["report", "are told"], ["repair", "are rolled again"]], video.repair)),
    h("div", { class: "row" }, h("button", { type: "button", onclick: on.copy }, "Copy the film"), h("button", { type: "button", class: "danger", onclick: on.remove }, "Delete the film")));
}

// "steps=12 fast=true" as { steps: 12, fast: true }; what is no number goes as it is, and the server says what is wrong with it.
function settingsOf(text) {
  const plain = (word) => (word === "true" ? true : word === "false" ? false : word !== "" && Number.isFinite(Number(word)) ? Number(word) : word);
  return Object.fromEntries(text.split(/[\s,]+/).filter(Boolean).map((part) => [part.split("=")[0], plain(part.slice(part.indexOf("=") + 1))]));
}
