// The timeline: shots as blocks to choose, drag, stretch and drop files on; ruler, strip and playhead.

import { $, h, clock } from "./dom.js";
import { readPin } from "./board.js";
import { isStoryboard } from "./files.js";
import * as api from "./api.js";

const EDGE = 10; // pixels at a block's end that stretch it
const CELL = 72; // pixels of a picture on the strip

export class Timeline {
  // on: { choose(n), move(from, to), stretch(n, seconds, last), seek(seconds), drop(n, file, at), say(n, text), repin(n, kind, place, pin), split(), add(), remove(n) }
  constructor(on) {
    this.on = on;
    this.zoom = 1;
    this.chosen = 0;
    this.approved = new Set(); // numbers of shots
    this.pictures = new Map(); // film frame -> address of a picture
    this.sorted = null; // the same in the film's order, while no other comes
    this.seconds = 1;
    $("ruler").addEventListener("pointerdown", (event) => this.scrub(event));
    $("ruler").addEventListener("keydown", (event) => this.rulerKey(event));
    $("shots").addEventListener("keydown", (event) => this.shotKey(event));
    // widths are remembered: to ask for one after a change makes the browser lay out everything at once
    this.view = $("lanes").clientWidth || 1;
    this.left = 0;
    new ResizeObserver(() => { this.view = $("lanes").clientWidth || 1; this.draw(); }).observe($("lanes"));
    $("lanes").addEventListener("scroll", () => { this.left = $("lanes").scrollLeft; this.ruler(); this.strip(); }, { passive: true });
  }

  get width() { return this.view * this.zoom; }
  pixel(seconds) { return (seconds / this.seconds) * this.width; }
  time(clientX) {
    const box = $("sheet").getBoundingClientRect();
    return Math.min(Math.max((clientX - box.left) / box.width, 0), 1) * this.seconds;
  }

  show(board, fps) { this.board = board; this.fps = fps; this.seconds = board.seconds; this.draw(); }

  draw() {
    if (!this.board) return;
    $("sheet").style.width = `${this.width}px`;
    this.ruler();
    this.blocks();
    this.strip();
    this.onDraw?.();
  }

  // Marks and pictures only of what is in view: a long film has thousands.
  ruler() {
    if (!this.board) return;
    const wide = this.width / this.seconds; // pixels a second
    const step = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600].find((s) => s * wide >= 64) ?? 7200;
    const marks = [], end = Math.min((this.left + this.view) / wide, this.seconds - step * 0.3);
    for (let at = Math.floor(this.left / wide / step) * step; at < end; at += step) {
      const mark = h("span", {}, at < 60 ? `${at}` : clock(at));
      mark.style.left = `${this.pixel(at)}px`;
      marks.push(mark);
    }
    $("ruler").replaceChildren(...marks);
    $("ruler").setAttribute("aria-valuemax", this.seconds.toFixed(1));
  }

  // Another shot is chosen; nothing else has changed.
  choose(n) {
    const items = $("shots").children;
    for (const [place, on] of [[this.chosen, false], [n, true]]) {
      const item = items[place], button = item?.firstElementChild;
      item?.classList.toggle("chosen", on);
      if (button) { button.tabIndex = on ? 0 : -1; if (on) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current"); }
    }
    this.chosen = n;
  }

  blocks() {
    const held = document.activeElement?.closest?.("#shots button");
    const starts = this.board.starts;
    const items = this.board.shots.map((shot, n) => this.block(shot, n, starts[n]));
    $("shots").replaceChildren(...items);
    if (held) items[this.chosen]?.firstElementChild.focus({ preventScroll: true });
  }

  block(shot, n, start) {
    const pins = ["images", "videos"].flatMap((kind) => (shot[kind] ?? []).map((text, place) => ({ kind, place, ...readPin(text) })));
    const words = `Shot ${n + 1}, ${shot.cut && n ? "a cut" : n ? "flows on" : "opens the film"}, ${clock(shot.seconds)}${this.approved.has(n + 1) ? ", approved" : ""}: ${shot.prompt || "no prompt yet"}`;
    const button = h("button", { type: "button", "aria-label": words, "aria-current": n === this.chosen ? "true" : null,
      tabindex: n === this.chosen ? 0 : -1, title: shot.prompt, onclick: () => this.on.choose(n),
      onpointerdown: (event) => this.grab(event, n) },
      h("b", {}, `${n + 1}${this.approved.has(n + 1) ? " ✓" : ""}`), h("span", {}, shot.prompt || "no prompt yet"), h("i", {}, clock(shot.seconds)));
    for (const pin of pins) {
      const mark = h("em", { title: `${pin.name}: drag it to another time`, onpointerdown: (event) => this.carry(event, n, pin, mark) });
      mark.style.left = `${pin.at === "end" ? 100 : Math.min(100, (100 * pin.at) / shot.seconds)}%`;
      button.append(mark);
    }
    const item = h("li", { class: `${shot.cut || !n ? "cut" : "flow"}${n === this.chosen ? " chosen" : ""}`,
      ondragover: (event) => { event.preventDefault(); item.classList.add("over"); },
      ondragleave: () => item.classList.remove("over"),
      ondrop: (event) => this.dropped(event, n, start, shot) }, button);
    item.style.left = `${this.pixel(start)}px`;
    item.style.width = `${Math.max(3, this.pixel(shot.seconds))}px`;
    return item;
  }

  dropped(event, n, start, shot) {
    event.preventDefault();
    event.currentTarget.classList.remove("over");
    const at = this.time(event.clientX) - start;
    const share = at / shot.seconds;
    const place = share < 0.15 ? 0 : share > 0.85 ? "end" : Math.round(at * 10) / 10;
    const files = [...event.dataTransfer.files];
    if (!files.some(isStoryboard)) for (const file of files) this.on.drop(n, file, place);
    const text = files.length ? "" : event.dataTransfer.getData("text/plain").trim();
    if (text) this.on.say(n, text); // words are its prompt, a whole number its seed
  }

  // Drags a pin along its shot, as far as its last frame.
  carry(event, n, pin, mark) {
    if (event.button) return;
    event.stopPropagation();
    const box = mark.parentElement.getBoundingClientRect(), { seconds } = this.board.shots[n];
    let at = pin.at, moved = false;
    const move = (step) => {
      if (!moved && Math.abs(step.clientX - event.clientX) < 3) return;
      moved = true;
      const share = Math.min(Math.max((step.clientX - box.left) / box.width, 0), 1);
      at = share > 0.98 ? "end" : Math.round(share * seconds * 10) / 10;
      mark.style.left = `${100 * share}%`;
    };
    listen(move, () => { if (moved) this.on.repin(n, pin.kind, pin.place, { at, name: pin.name }); });
  }

  // Drags a block to another place, or its end to another length.
  grab(event, n) {
    if (event.button) return;
    const item = event.currentTarget.parentElement, box = item.getBoundingClientRect();
    const stretching = box.right - event.clientX < Math.min(EDGE, box.width / 3);
    const from = event.clientX, seconds = this.board.shots[n].seconds, scale = this.seconds / this.width;
    let moved = false, to = n, length = seconds;
    const move = (step) => {
      if (!moved && Math.abs(step.clientX - from) < 4) return;
      if (!moved) { moved = true; item.classList.add("held"); this.on.choose(n, true); }
      if (stretching) {
        length = Math.max(0.2, Math.round((seconds + (step.clientX - from) * scale) * 10) / 10);
        item.style.width = `${this.pixel(length)}px`;
        item.querySelector("i").textContent = clock(length);
      } else {
        item.style.translate = `${step.clientX - from}px`;
        const middle = this.time(box.left + box.width / 2 + step.clientX - from);
        to = this.board.shotAt(middle);
      }
    };
    listen(move, () => {
      if (!moved) return;
      addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
      setTimeout(() => (stretching ? this.on.stretch(n, length) : this.on.move(n, to)));
    });
  }

  shotKey(event) {
    const n = this.chosen, step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (step && event.altKey) this.on.move(n, n + step);
    else if (step && event.shiftKey) this.on.stretch(n, Math.max(0.5, this.board.shots[n].seconds + step * 0.5));
    else if (step) this.on.choose(Math.min(Math.max(n + step, 0), this.board.shots.length - 1));
    else if (event.key === "Delete" || event.key === "Backspace") this.on.remove(n);
    else if (event.key === "Enter") $("prompt")?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
    $("shots").children[this.chosen]?.firstElementChild.focus();
  }

  rulerKey(event) {
    const frame = 1 / this.fps, now = this.now ?? 0;
    const to = { ArrowLeft: now - frame, ArrowRight: now + frame, PageUp: now - 1, PageDown: now + 1, Home: 0, End: this.seconds - frame }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.on.seek(Math.max(0, to));
  }

  scrub(event) {
    const move = (step) => this.on.seek(this.time(step.clientX));
    listen(move, () => {});
    move(event);
  }

  // A playhead that does not touch the layout: it moves sixty times a second.
  playhead(seconds) {
    this.now = seconds;
    $("playhead").style.translate = `${this.pixel(Math.min(seconds, this.seconds))}px`;
    $("ruler").setAttribute("aria-valuenow", seconds.toFixed(1));
    $("ruler").setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(this.seconds)}`);
  }

  // One picture every CELL pixels: of those there are, the nearest that is no farther than a few cells.
  strip() {
    if (!this.board) return;
    const each = (this.seconds * this.fps) / this.width; // frames a pixel
    const near = Math.max(CELL * each, (this.seconds * this.fps) / 12);
    const known = (this.sorted ??= [...this.pictures].sort((a, b) => a[0] - b[0]));
    const first = Math.floor(this.left / CELL), count = Math.ceil(this.view / CELL) + 1;
    const old = $("strip").children;
    for (let n = 0, at = 0; n < count; n++) {
      const middle = (first + n + 0.5) * CELL * each;
      while (at + 1 < known.length && Math.abs(known[at + 1][0] - middle) <= Math.abs(known[at][0] - middle)) at++;
      const source = known[at] && Math.abs(known[at][0] - middle) <= near ? known[at][1] : null;
      const cell = old[n] ?? $("strip").appendChild(h("img", { alt: "", draggable: "false" }));
      if (cell.getAttribute("src") === source) continue;
      if (source) cell.setAttribute("src", source); else cell.removeAttribute("src");
    }
    while (old.length > count) old[old.length - 1].remove();
    $("strip").style.translate = `${first * CELL}px`;
  }

  picture(frame, address) { this.pictures.set(frame, address); this.sorted = null; }
  forget() { this.pictures.clear(); this.sorted = null; }

  // Where a plan's pictures stand on the film.
  picturesOf(id, plan) {
    this.forget();
    for (const step of plan.steps) if (step.picture) this.picture(middle(step), api.pictureUrl(id, step.picture));
    this.strip();
  }
}

// Hears of a pointer until it is let go.
function listen(move, done) {
  const drop = () => {
    for (const [name, heard] of heardOf) removeEventListener(name, heard);
    done();
  };
  const heardOf = [["pointermove", move], ["pointerup", drop], ["pointercancel", drop]];
  for (const [name, heard] of heardOf) addEventListener(name, heard);
}

// The film frame of a step's picture: the middle of what it writes.
export function middle(step) {
  const frames = step.frames.reduce((sum, [a, b]) => sum + b - a, 0);
  let left = frames / 2;
  for (const [a, b] of step.frames) { if (left < b - a) return a + Math.floor(left); left -= b - a; }
  return step.frames[0]?.[0] ?? 0;
}
