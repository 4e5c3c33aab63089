// The page: what is chosen, and who hears of it.

import { $, h, breath, clock, later, length, often } from "./dom.js";
import * as api from "./api.js";
import { Board, kindOf, plainName, writePin } from "./board.js";
import { Player } from "./player.js";
import { Timeline, middle } from "./timeline.js";
import { PlanView } from "./plan.js";
import { ScoresView } from "./scores.js";
import { MeasuredView } from "./measured.js";
import { showTakes } from "./takes.js";
import { copied, saved as savedFile } from "./files.js";
import { listenToKeys } from "./keys.js";
import { askForFilms, signIn, takeFiles } from "./dialogs.js";
import { showFilms, welcome } from "./list.js";
import { forecast, standing } from "./words.js";
import { openTab, showFilm, showFrame, showShot } from "./inspector.js";

const player = new Player($("video"));
const other = new Player($("video-other"));
let session, films = [], video = null, board = null, kept = null, tag = null, plan = null, close = null; // kept: what the server has of the board
let hopes = 15; // plans asked for while nobody knows how long one takes
let live = null; // what the events of the present run say: { began, decoded, ran, steps, settled }

const timeline = new Timeline({
  choose: (n, quiet) => { timeline.choose(n); if (!quiet) openTab("shot"); showShotPanel(); },
  move: (from, to) => edited(() => { timeline.chosen = board.move(from, to); }),
  stretch: (n, seconds) => edited(() => board.stretch(n, seconds)),
  seek,
  drop: pinFile,
  repin,
  say: (n, text) => edited(() => board.set(n, /^\d{1,15}$/.test(text) ? { seed: Number(text) } : { prompt: text })),
  remove: (n) => edited(() => { timeline.chosen = board.remove(n); }),
});
const steps = new PlanView(timeline, { pick: (step) => { seek(middle(step) / video.fps); explain(middle(step)); } });
const scores = new ScoresView({ pick: (frame) => { seek(frame / video.fps); explain(frame); } });
const measured = new MeasuredView({ pick: seek, tell });
timeline.onDraw = () => { steps.soon(); placePlayhead(); };

// --- films

async function begin() {
  try {
    session = await api.session();
    if (!session.user) return signIn();
    $("sign-out").hidden = !session.token_needed;
    $("sign-out").title = `You are ${session.user}`;
    $("new-model").replaceChildren(...session.models.map((name) => h("option", { value: name }, name)));
    await listFilms();
    const wanted = location.hash.slice(1);
    const first = films.find((film) => film.id === wanted) ?? films[0];
    if (first) await open(first.id); else welcome();
  } catch (error) { tell(error); }
}

async function listFilms() {
  films = await api.films();
  showFilms(films, video?.id, open);
}

// Films that wait or are made elsewhere on the list get on, whichever one is looked at.
setInterval(() => { if (!document.hidden && films.some((film) => ["queued", "in_progress"].includes(film.status))) relist(); }, 4000);
const relist = later(() => listFilms().catch(tell), 300);

let opened = 0; // films asked for: the last one is shown, whichever answers first
async function open(id) {
  const mine = ++opened;
  if (board) await saveNow(); // what was just written is that film's
  if (mine !== opened) return;
  close?.();
  location.hash = id;
  plan = live = null;
  $("compare").value = $("caption").textContent = "";
  $("other").hidden = true;
  other.load(null);
  timeline.chosen = 0;
  timeline.forget(); // pictures of the one before
  try {
    const [film, saved] = await Promise.all([api.video(id), api.board(id)]);
    if (mine !== opened) return;
    video = film;
    take(saved);
    live = joined();
    timeline.show(board, video.fps);
    placePlayhead(0); // not where the film before stood
    await breath();
    if (mine !== opened) return;
    showAll();
    close = api.watch(id, film.events, (line) => id === video?.id && heard(line));
    relist();
    await Promise.all([replan(), player.load(playable())]);
  } catch (error) { tell(error); }
}

function take(saved) {
  board = new Board(saved.board);
  kept = board.data;
  tag = saved.tag;
}

async function refresh() {
  const id = video?.id;
  if (!id) return;
  const film = await api.video(id).catch((error) => (error.status === 404 ? null : tell(error)));
  if (film && id === video?.id) { video = film; showState(); relist(); }
}
const refreshed = later(refresh, 250);

// --- edits: shown at once, saved when they rest, planned when they are saved

function edited(work) {
  const count = board.past.length;
  work();
  if (board.past.length === count && work !== undo && work !== redoing) return;
  timeline.chosen = Math.min(timeline.chosen, board.shots.length - 1);
  timeline.show(board, video.fps);
  steps.hover(null);
  showShotPanel();
  canUndo();
  say("Not saved yet");
  saved();
}

const undo = () => board.undo(), redoing = () => board.redo();
const canUndo = () => { $("undo").disabled = !board.past.length; $("again").disabled = !board.future.length; };
const saved = later(saveNow, 400);

// One after another: each names the state it replaces.
let saving = Promise.resolve();
function saveNow() { return (saving = saving.then(saveOnce)); }

async function saveOnce() {
  if (!video || !board) return true;
  if (board.data === kept) { foretell(); return true; }
  const id = video.id, sent = board.data;
  try {
    const found = await api.save(id, sent, tag);
    quietly();
    if (id !== video?.id) return true;
    tag = found.tag;
    kept = sent;
    if (sent === board.data) { video = await api.video(id); showState(); relist(); await replan(); }
    return true;
  } catch (error) {
    tell(error);
    if (error.status === 412) { board = null; await open(id); }
    return false;
  }
}

async function replan() {
  const id = video.id;
  try {
    const found = await api.plan(id);
    if (id !== video?.id) return;
    plan = found;
    for (const show of [() => steps.show(plan), () => scores.show(plan), () => timeline.picturesOf(id, plan), foretell]) {
      await breath();
      if (id !== video?.id) return;
      show();
    }
    // a studio that has just been started is still measuring how fast it is
    if (found.expected_seconds === null && found.to_run && hopes-- > 0) setTimeout(() => id === video?.id && replanned(), 4000);
  } catch (error) { tell(error); }
}
const replanned = later(replan, 200);

function repin(n, kind, place, pin) { edited(() => board.edit((shots) => { shots[n][kind][place] = writePin(pin); })); }

async function pinFile(n, file, at = 0) {
  try {
    const name = plainName(file.name), { id } = video;
    await api.upload(id, name, file);
    if (id === video.id) edited(() => board.pin(n, kindOf(name), name, at));
  } catch (error) { tell(error); }
}

// --- making

async function make(draft = false) {
  $("make").disabled = $("draft").disabled = true;
  try {
    if (!(await saveNow())) return;
    if (video.status === "in_progress" || video.status === "queued") await api.pause(video.id);
    video = await api.start(video.id, draft);
    showState();
  } catch (error) { tell(error); } finally { $("make").disabled = $("draft").disabled = false; }
}

// When the present run began, by this page's clock; the server knows if the page came late.
const began = () => performance.now() - 1000 * (video.running_seconds ?? 0);

// A run that was under way when the page came: what has happened of it is known without its events.
function joined() {
  const { done, all, ran } = video.steps;
  if (video.status !== "in_progress" || !all) return null;
  return { began: began(), decoded: video.film?.frames ?? 0, done, ran, steps: all, frames: video.frames };
}

function heard(line) {
  const kind = line.event;
  if (kind === "planned") {
    live = { began: began(), decoded: 0, done: 0, ran: 0, steps: line.steps, frames: line.frames };
    steps.state.clear();
  } else if (live && kind === "started") mark(line.step, "now");
  else if (live && (kind === "finished" || kind === "reused")) {
    live.done++;
    live.ran += kind === "finished";
    mark(line.step, "done");
  } else if (kind === "decoded" && live) { live.decoded = line.frames[1]; wakePlayer(); }
  else if (kind === "shown" && plan) {
    if (line.frame < plan.frames) { timeline.picture(line.frame, api.pictureUrl(video.id, line.picture)); stripSoon(); hintPicture(line.picture); }
  } else if (["queued", "in_progress", "paused", "cancelled", "failed", "completed"].includes(kind)) {
    if (live && kind !== "in_progress") live = null;
    settled(kind);
  }
  progressSoon();
}

// Steps have the numbers of what is being made: a stretch that is made again is not on the plan.
function mark(step, state) { if (live.steps === plan?.steps.length) steps.mark(step, state); }

// Several may come at once; only the last of them counts.
const settled = later(async (kind) => {
  await refresh();
  steps.finished();
  if (live) live.began = began();
  if (kind === "in_progress") await replan(); else replanned();
  if (["completed", "paused", "cancelled", "failed"].includes(kind)) player.load(playable(), true);
}, 80);
const stripSoon = often(() => timeline.strip(), 120);
const progressSoon = often(() => progress(), 60);

const wakePlayer = often(() => {
  if (video.status !== "in_progress") return refreshed();
  if (player.id !== video.id || !player.grows) player.load(video.id, player.id === video.id); else player.more();
}, 50);

function hintPicture(picture) {
  if (video.status !== "in_progress" || (!$("video").hidden && $("video").readyState > 1)) return;
  const still = h("img", { src: api.pictureUrl(video.id, picture), alt: "The latest picture, not yet in the film's order" });
  $("hint").replaceChildren(still);
}

// --- showing

function showAll() {
  showState();
  showShotPanel();
  showFilmPanel();
  canUndo();
  openTab("shot");
  for (const id of ["title", "save-toml", "export"]) $(id).hidden = false;
  $("title").value = video.title;
}

function showState() {
  const status = video.status, making = status === "in_progress", waits = status === "queued";
  document.body.dataset.status = status;
  $("status").textContent = standing(video);
  $("pause").hidden = !(making || waits);
  $("cancel").hidden = !(making || waits || status === "paused");
  const again = making && video.edited;
  const whole = status === "completed" && !video.edited;
  $("make").hidden = ((making || waits) && !again) || (whole && !video.draft);
  $("draft").hidden = making || waits || whole;
  $("make").textContent = status === "paused" ? "Continue" : status === "draft" ? "Make film" : again ? "Make the change" : "Make again";
  if (status === "completed" && video.edited) $("make").textContent = video.draft ? "Make film" : "Make the change";
  if (whole && video.draft) $("make").textContent = "Make film";
  const approved = new Set(video.approved);
  if (approved.size !== timeline.approved.size || video.approved.some((n) => !timeline.approved.has(n))) { timeline.approved = approved; timeline.draw(); }
  const finished = status === "completed" && !video.draft;
  measured.show(finished && !video.edited ? video.id : null, video.completed_at);
  $("export").toggleAttribute("aria-disabled", !finished);
  if (finished) { $("export").href = api.contentUrl(video.id); $("export").download = `${video.title || "film"}.mp4`; } else $("export").removeAttribute("href");
  if (!video.film && !making) $("hint").textContent = "The film appears here as it is made.";
  else if (!making || $("video").readyState > 1) $("hint").replaceChildren();
  showFilmPanel();
  progress();
}

function progress() {
  const making = video?.status === "in_progress";
  $("progress").hidden = !making;
  $("forecast").setAttribute("aria-live", making ? "off" : "polite"); // figures that run are not read out
  if (making && !live) { $("progress").removeAttribute("value"); say("Getting ready"); }
  if (!making || !live) return foretell();
  $("progress").value = live.steps ? (100 * live.done) / live.steps : 0;
  const spent = (performance.now() - live.began) / 1000, left = live.steps - live.done;
  const rate = live.decoded / Math.max(spent, 0.1);
  const rest = live.ran > 1 ? `, about ${length((left * spent) / live.ran)} left` : "";
  $("forecast").textContent = `${live.done} of ${live.steps} steps, ${live.decoded} of ${live.frames} frames, ${rate.toFixed(1)} frames/s${rest}`;
}

function foretell() {
  if (plan && video?.status !== "in_progress") say(forecast(plan));
}

function showShotPanel() {
  showShot(board, timeline.chosen, video, {
    approve,
    set: (n, fields) => edited(() => board.set(n, fields)),
    stretch: (n, seconds) => edited(() => board.stretch(n, seconds)),
    pin: pinFile,
    unpin: (n, kind, place) => edited(() => board.unpin(n, kind, place)),
    replace: repin,
    remove: (n) => edited(() => { timeline.chosen = board.remove(n); }),
  });
}

async function approve(n, yes) {
  try {
    if (!(await saveNow())) return;
    const rest = video.approved.filter((other) => other !== n + 1);
    video = await api.change(video.id, { approved: yes ? [...rest, n + 1] : rest });
    showState();
  } catch (error) { tell(error); }
}

async function redo(seconds, takes) {
  try { video = await api.redo(video.id, { seconds, takes }); showState(); } catch (error) { tell(error); }
}

async function compareTakes() {
  try {
    const told = await api.takes(video.id);
    const seconds = told.frames.map((frame) => frame / video.fps);
    showTakes(video.id, told, video.fps, async (take) => { video = await api.redo(video.id, { seconds, take }); showState(); });
  } catch (error) { tell(error); }
}

function showFilmPanel() {
  if ($("panel-film").contains(document.activeElement)) return;
  showFilm(video, board, session, {
    choose: async (fields) => { try { video = await api.change(video.id, fields); showState(); await replan(); } catch (error) { tell(error); } },
    whole: (fields) => edited(() => board.edit((_, data) => { Object.assign(data, fields); })),
    copy: copyFilm,
    remove: deleteFilm,
  });
}

async function copyFilm() {
  try { await open(await copied(video, board.data)); } catch (error) { tell(error); }
}

async function deleteFilm() {
  if (!confirm("Delete this film and all that was made for it?")) return;
  try {
    await api.remove(video.id);
    close?.();
    video = null;
    await listFilms();
    if (films[0]) await open(films[0].id); else location.reload();
  } catch (error) { tell(error); }
}

// One question at a time, however fast somebody clicks: the last one is answered.
let asking = false, asked = null;
async function explain(frame) {
  asked = frame;
  if (asking) return;
  asking = true;
  try {
    while (asked !== null) {
      const id = video.id, wanted = asked;
      asked = null;
      const told = await api.frame(id, wanted);
      if (asked === null && id === video?.id) showExplained(wanted, told);
    }
  } catch (error) { tell(error); } finally { asking = false; }
}

function showExplained(frame, told) {
  timeline.choose(told.shot - 1);
  showShotPanel();
  openTab("frame");
  steps.hover(plan?.steps.find((step) => step.step === told.step) ?? null);
  const finished = video.status === "completed" && !video.edited && !video.draft;
  const on = { go: (number) => { seek(number / video.fps); explain(number); }, pinFrame: () => pinFrame(frame), replace: (file) => replaceFrame(frame, file), redo: finished && !told.given ? redo : null, takes: finished && video.takes ? compareTakes : null };
  showFrame({ ...told, film: video.frames / video.fps }, on, shownFrame() === frame ? $("video") : null);
  if (matchMedia("(max-width: 980px)").matches) $("inspector").scrollIntoView({ block: "start" });
}

// The picture that is seen, pinned where it is seen: what is around it is made to fit.
async function pinFrame(frame) {
  const shown = $("video");
  if (!shown.videoWidth) return tell(new Error("there is no picture to pin yet; try when the film is there"));
  const canvas = h("canvas", { width: shown.videoWidth, height: shown.videoHeight });
  canvas.getContext("2d").drawImage(shown, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  await replaceFrame(frame, new File([blob], `frame-${frame}.png`));
}

// A picture where a frame was.
async function replaceFrame(frame, file) {
  const seconds = frame / video.fps, n = board.shotAt(seconds);
  await pinFile(n, file, Math.round((seconds - board.starts[n]) * 1000) / 1000);
  timeline.on.choose(n);
}

// --- playing

// The film to show, if there is any of it.
const playable = () => (video.film ? video.id : null);

const shownFrame = () => Math.min(Math.floor($("video").currentTime * video.fps + 1e-3), video.frames - 1);

function seek(seconds) {
  const shown = $("video");
  const end = shown.seekable.length ? shown.seekable.end(0) : player.grows ? 0 : Infinity; // one that is being loaded will begin there
  player.wish = other.wish = null;
  // the middle of a frame, for its border belongs to neither
  const at = (Math.floor(seconds * video.fps + 1e-3) + 0.5) / video.fps;
  for (const each of [shown, $("video-other")]) if (!each.hidden) each.currentTime = Math.min(at, Math.max(end, 0));
  placePlayhead(seconds);
}

function placePlayhead(seconds) {
  if (!video) return;
  const at = seconds ?? $("video").currentTime;
  timeline.playhead(at);
  $("clock").textContent = `${clock(at)} · frame ${Math.max(0, Math.min(Math.floor(at * video.fps + 1e-3), video.frames - 1))}`;
}

function toggle() {
  const shown = $("video");
  if (shown.paused) { shown.play().catch(() => {}); if (!$("other").hidden) $("video-other").play().catch(() => {}); }
  else { shown.pause(); $("video-other").pause(); }
}

const ticking = () => { placePlayhead(); if (!$("video").paused) requestAnimationFrame(ticking); };
$("video").addEventListener("play", () => { $("play").textContent = "Pause film"; requestAnimationFrame(ticking); });
$("video").addEventListener("pause", () => { $("play").textContent = "Play"; });
$("video").addEventListener("loadeddata", () => { $("hint").replaceChildren(); $("video").hidden = false; placePlayhead(); });
$("video").addEventListener("seeked", () => placePlayhead());
$("video").addEventListener("click", () => video && explain(shownFrame()));

// --- words and wires

let quiet = 0;
function tell(error) {
  const place = $("error");
  place.textContent = error.message;
  place.hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(quietly, 12000);
  if (error.status === 401) signIn();
  return null;
}
const quietly = () => { $("error").hidden = true; }, say = (text) => { $("forecast").textContent = text; };

$("save-toml").onclick = async () => { try { if (await saveNow()) await savedFile(video, board.data); } catch (error) { tell(error); } };
$("title").onchange = async (event) => { try { video = await api.change(video.id, { title: event.target.value }); relist(); } catch (error) { tell(error); } };
$("make").onclick = () => make(), $("draft").onclick = () => make(true);
$("takes-close").onclick = () => $("takes-dialog").close();
$("pause").onclick = async () => { try { video = await api.pause(video.id); showState(); } catch (error) { tell(error); } };
$("cancel").onclick = async () => { try { video = await api.cancel(video.id); showState(); } catch (error) { tell(error); } };
$("play").onclick = toggle;
$("back").onclick = () => seek(Math.max(0, (shownFrame() - 1) / video.fps));
$("forth").onclick = () => seek((shownFrame() + 1) / video.fps);
$("explain").onclick = () => video && explain(shownFrame());
$("add-shot").onclick = () => board && edited(() => { timeline.chosen = board.add(timeline.chosen); });
$("split-shot").onclick = split;
$("undo").onclick = () => board?.past.length && edited(undo);
$("again").onclick = () => board?.future.length && edited(redoing);
$("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : $("stage").requestFullscreen()).catch(tell);
const redrawn = often(() => timeline.draw(), 30);
$("zoom").oninput = (event) => { timeline.zoom = 2 ** Number(event.target.value); redrawn(); };
$("compare").onchange = async (event) => {
  $("other").hidden = !event.target.value;
  await other.load(event.target.value || null);
  $("caption").textContent = event.target.value ? video.title || "This film" : "";
  $("caption-other").textContent = event.target.selectedOptions[0].textContent;
  $("video-other").currentTime = $("video").currentTime;
};

function split() {
  if (!board) return;
  const now = timeline.now ?? 0, n = board.shotAt(now);
  edited(() => { timeline.chosen = board.split(n, now - board.starts[n]); });
}

listenToKeys(() => board && !document.querySelector("dialog[open]"), { toggle, split });
// What was written last goes along when the page is left.
addEventListener("pagehide", () => {
  document.activeElement?.blur();
  if (board && board.data !== kept) api.save(video.id, board.data, tag, true).catch(() => {});
});
addEventListener("hashchange", () => { const id = location.hash.slice(1); if (id && id !== video?.id) open(id); });

askForFilms(async (id) => { await open(id); $("prompt").focus(); });
takeFiles(open, tell);
begin();
