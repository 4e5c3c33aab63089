// The plan on the timeline: a row for every wave, or two where they follow one another like bricks.

import { $, h } from "./dom.js";

const ROW = 13, GAP = 4, BELOW = 12, MOST_ROWS = 8;
const PAGE = 100; // rows of the table at a time

export class PlanView {
  // on: { pick(step) }
  constructor(timeline, on) {
    this.timeline = timeline;
    this.steps = [];
    this.state = new Map(); // step -> "now" or "done"; what is not in it is as the plan said
    this.shown = null; // the step whose reading is drawn
    this.wanted = false;
    this.canvas = $("plan");
    this.canvas.addEventListener("click", (event) => { const step = this.at(event); if (step) on.pick(step); });
    this.canvas.addEventListener("pointermove", (event) => this.hover(this.at(event)));
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
    $("lanes").addEventListener("scroll", () => this.soon());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.colours = null; this.soon(); });
    $("steps").addEventListener("toggle", () => this.table());
  }

  show(plan) {
    this.plan = plan;
    this.steps = plan.steps;
    this.state.clear();
    const tree = plan.waves <= MOST_ROWS;
    const again = plan.steps.some((step) => step.take); // stretches that were made again lie beneath
    this.rows = tree ? Math.max(1, plan.waves) : again ? 3 : 2;
    this.row = (step) => (tree ? step.wave : step.take ? 2 : step.step % 2);
    this.canvas.setAttribute("aria-label", `Plan: ${plan.steps.length} steps in ${plan.waves} waves, ${plan.cached} finished, ${plan.to_run} to run`);
    this.table();
    this.soon();
  }

  mark(step, state) { this.state.set(step, state); this.soon(); }
  finished() { for (const step of this.steps) if (this.state.get(step.step) === "now") this.state.delete(step.step); this.soon(); }

  // Draws once a frame at most, however many events come.
  soon() {
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => { this.wanted = false; this.draw(); });
  }

  draw() {
    if (!this.plan) return;
    const wide = this.timeline.view, high = this.rows * (ROW + GAP) + GAP + BELOW, scale = devicePixelRatio || 1;
    const canvas = this.canvas;
    if (canvas.width !== Math.round(wide * scale) || canvas.height !== Math.round(high * scale)) {
      canvas.width = Math.round(wide * scale);
      canvas.height = Math.round(high * scale);
      canvas.style.width = `${wide}px`;
      canvas.style.height = `${high}px`;
    }
    const pen = canvas.getContext("2d"), colour = (this.colours ??= coloursOf(canvas));
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, wide, high);
    const left = this.timeline.left, each = this.timeline.width / this.plan.frames;
    const x = (frame) => frame * each - left;
    for (const step of this.steps) {
      const first = step.frames[0]?.[0] ?? 0, end = step.frames.at(-1)?.[1] ?? 0;
      if (x(end) < 0 || x(first) > wide) continue;
      const y = GAP + this.row(step) * (ROW + GAP);
      if (step.frames.length > 1) { pen.fillStyle = colour.line; pen.fillRect(x(first), y + ROW / 2, x(end) - x(first), 1); }
      const state = this.state.get(step.step) ?? (step.cached ? "done" : "todo");
      pen.fillStyle = step.fault && state === "done" ? colour.bad : colour[state];
      for (const [a, b] of step.frames) pen.fillRect(x(a) + 0.5, y, Math.max(1.5, (b - a) * each - 1), ROW);
    }
    if (this.shown) this.drawReading(pen, x, high, colour);
  }

  // What a step observes: its frames marked, and lines to them.
  drawReading(pen, x, high, colour) {
    const step = this.shown, y = GAP + this.row(step) * (ROW + GAP);
    const from = (x(step.frames[0]?.[0] ?? 0) + x(step.frames.at(-1)?.[1] ?? 0)) / 2;
    pen.strokeStyle = pen.fillStyle = colour.seen;
    pen.lineWidth = 1.5;
    for (const [a, b] of step.frames) pen.strokeRect(x(a) + 0.5, y + 0.5, Math.max(1, x(b) - x(a) - 1), ROW - 1);
    for (const [a, b] of step.observed) {
      pen.fillRect(x(a), high - 3, Math.max(2, x(b) - x(a)), 3);
      pen.beginPath(); pen.moveTo(from, y + ROW); pen.quadraticCurveTo(from, high, (x(a) + x(b)) / 2, high - 2); pen.stroke();
    }
  }

  at(event) {
    if (!this.plan) return null;
    const box = this.canvas.getBoundingClientRect();
    const frame = ((event.clientX - box.left + this.timeline.left) / this.timeline.width) * this.plan.frames;
    const row = Math.floor((event.clientY - box.top - GAP / 2) / (ROW + GAP));
    const near = this.steps.filter((step) => this.row(step) === row && step.frames.length && step.frames[0][0] <= frame && frame < step.frames.at(-1)[1]);
    return near.find((step) => step.frames.some(([a, b]) => a <= frame && frame < b)) ?? near[0] ?? null;
  }

  hover(step) {
    if (step === this.shown) return;
    this.shown = step;
    this.canvas.title = step ? `step ${step.step}, ${step.role}: ${this.state.has(step.step) ? this.state.get(step.step) === "now" ? "running" : "finished" : step.why}` : "";
    this.soon();
  }

  // The same for whoever does not see it; of long plans a page of rows, and more when asked for.
  table() {
    if (!$("steps").open || !this.plan) return;
    const place = $("steps").lastElementChild, body = h("tbody");
    const head = h("tr", {}, ...["step", "wave", "role", "writes frames", "observes frames", "why"].map((text) => h("th", { scope: "col" }, text)));
    const more = h("button", { type: "button", onclick: () => this.rowsOf(body, more) });
    place.replaceChildren(h("table", {}, h("thead", {}, head), body), more);
    this.rowsOf(body, more);
  }

  rowsOf(body, more) {
    const span = (frames) => frames.map(([a, b]) => `${a}–${b - 1}`).join(", ") || "nothing";
    const first = body.children.length;
    body.append(...this.steps.slice(first, first + PAGE).map((step) => h("tr", {}, ...[step.step, step.wave, step.role, span(step.frames), span(step.observed), step.why].map((text) => h("td", {}, String(text))))));
    const left = this.steps.length - body.children.length;
    more.hidden = !left;
    more.textContent = `Show ${Math.min(left, PAGE)} more of ${left}`;
  }
}

function coloursOf(canvas) {
  const style = getComputedStyle(canvas);
  return Object.fromEntries(["done", "todo", "now", "bad", "line", "seen"].map((name) => [name, style.getPropertyValue(`--plan-${name}`)]));
}
