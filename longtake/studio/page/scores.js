// Scores of finished steps along the film, as shares of their limits: 1 is the limit.

import { $, h, clock } from "./dom.js";
import { middle } from "./timeline.js";

const HIGH = 96, MOST = 2;
const COLOURS = ["#3b82c4", "#d9822b", "#4a9d5b", "#a65bb5", "#c4504a", "#7a7a28", "#2f9e9e"];

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
    $("scores").hidden = !this.curves.size;
    this.draw();
  }

  draw() {
    if (!$("scores").open || !this.plan) return;
    const canvas = $("scores-chart"), wide = canvas.parentElement.clientWidth, scale = devicePixelRatio || 1;
    canvas.width = Math.round(wide * scale);
    canvas.height = Math.round(HIGH * scale);
    const pen = canvas.getContext("2d"), y = (share) => HIGH - 2 - (Math.min(share, MOST) / MOST) * (HIGH - 4);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.setLineDash([4, 4]);
    pen.beginPath(); pen.moveTo(0, y(1)); pen.lineTo(wide, y(1)); pen.stroke();
    pen.setLineDash([]);
    pen.lineWidth = 1.5;
    const told = [];
    for (const [n, [name, points]] of [...this.curves].entries()) {
      const colour = COLOURS[n % COLOURS.length];
      pen.strokeStyle = pen.fillStyle = colour;
      pen.beginPath();
      for (const [at, share] of worstOf(points, this.plan.frames, wide)) pen.lineTo((at / this.plan.frames) * wide, y(share));
      pen.stroke();
      if (points.length < 200) for (const [at, share] of points) pen.fillRect((at / this.plan.frames) * wide - 1.5, y(share) - 1.5, 3, 3);
      const [at, worst] = points.reduce((most, point) => (point[1] > most[1] ? point : most));
      const mark = h("i", {});
      mark.style.background = colour;
      told.push(h("li", {}, mark, ` ${name}, at most ${worst.toFixed(2)} at ${clock(at / this.plan.fps)}`));
    }
    $("scores-legend").replaceChildren(...told);
  }
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
