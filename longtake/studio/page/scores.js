// Scores of finished steps along the film, as shares of their limits: 1 is the limit.

import { $, h, clock } from "./dom.js";
import { middle } from "./timeline.js";

const HIGH = 96, MOST = 2;
export const COLOURS = ["#3b82c4", "#d9822b", "#4a9d5b", "#a65bb5", "#c4504a", "#7a7a28", "#2f9e9e"];

export class ScoresView {
  // on: { pick(frame) }
  constructor(on) {
    this.plan = null;
    $("scores").addEventListener("toggle", () => this.draw());
    $("scores-chart").addEventListener("click", (event) => {
      if (this.plan) on.pick(Math.floor((event.offsetX / event.target.clientWidth) * this.plan.frames));
    });
  }

  show(plan) {
    this.plan = plan;
    this.curves = new Map();
    for (const step of plan.steps) for (const [name, share] of Object.entries(step.scores ?? {})) {
      if (!this.curves.has(name)) this.curves.set(name, []);
      this.curves.get(name).push([middle(step), share]);
    }
    for (const points of this.curves.values()) points.sort((a, b) => a[0] - b[0]);
    $("scores").hidden = !this.curves.size && $("measure").hidden && $("measured").hidden;
    this.draw();
  }

  draw() {
    if (!$("scores").open || !this.plan) return;
    const { brush, wide, high } = pen($("scores-chart"));
    // the limit is always in sight, and what is far below it fills the chart as it can
    const worst = Math.max(0, ...[...this.curves.values()].flatMap((points) => points.map((point) => point[1])));
    const top = Math.min(MOST, Math.max(1.12, 1.05 * worst)), y = (share) => high - 2 - (Math.min(share, top) / top) * (high - 4);
    axes(brush, wide, [[y(1), "the limit"]]);
    const told = [];
    for (const [n, [name, points]] of [...this.curves].entries()) {
      const colour = COLOURS[n % COLOURS.length];
      brush.strokeStyle = brush.fillStyle = colour;
      brush.beginPath();
      for (const [at, share] of worstOf(points, this.plan.frames, wide)) brush.lineTo((at / this.plan.frames) * wide, y(share));
      brush.stroke();
      if (points.length < 200) for (const [at, share] of points) brush.fillRect((at / this.plan.frames) * wide - 1.5, y(share) - 1.5, 3, 3);
      const [at, worst] = points.reduce((most, point) => (point[1] > most[1] ? point : most));
      const mark = h("i", {});
      mark.style.background = colour;
      told.push(h("li", {}, mark, ` ${name}, at most ${worst.toFixed(2)} at ${clock(at / this.plan.fps)}`));
    }
    $("scores-legend").replaceChildren(...told);
  }
}

// A canvas as wide as its place, and what draws on it.
export function pen(canvas) {
  const wide = canvas.parentElement.clientWidth, scale = devicePixelRatio || 1;
  canvas.width = Math.round(wide * scale);
  canvas.height = Math.round(HIGH * scale);
  const brush = canvas.getContext("2d");
  brush.setTransform(scale, 0, 0, scale, 0, 0);
  brush.fillStyle = brush.strokeStyle = getComputedStyle(canvas).color;
  return { brush, wide, high: HIGH };
}

// Dashed lines, each with its name.
export function axes(brush, wide, lines) {
  brush.setLineDash([4, 4]);
  for (const [y, name] of lines) {
    brush.beginPath(); brush.moveTo(0, y); brush.lineTo(wide, y); brush.stroke();
    brush.font = "11px system-ui, sans-serif";
    brush.fillText(name, 4, y + 13);
  }
  brush.setLineDash([]);
  brush.lineWidth = 1.5;
}

// Of a long film's points the worst in every pixel: more cannot be seen.
function worstOf(points, frames, wide) {
  if (points.length <= wide) return points;
  const found = new Map();
  for (const point of points) {
    const place = Math.floor((point[0] / frames) * wide);
    if (!(found.get(place)?.[1] >= point[1])) found.set(place, point);
  }
  return found.values();
}
