// What was measured of a finished film: drift, seams, agreement with its prompts, and its look over time.

import { $, h, clock } from "./dom.js";
import { COLOURS, axes, pen } from "./scores.js";
import * as api from "./api.js";

const FIRST = ["drift", "seams", "agreement"], MORE = ["repetition", "frozen", "flicker", "motion"];
const SHARES = ["agreement", "frozen", "repetition"]; // told in per cent
const CURVES = ["brightness", "contrast", "sharpness", "change"];
const MARKED = 8; // moments to look at

export class MeasuredView {
  // on: { pick(seconds), tell(error) }
  constructor(on) {
    this.on = on;
    $("measure").addEventListener("click", () => this.measure());
    $("scores").addEventListener("toggle", () => this.draw());
    $("measured-chart").addEventListener("click", (event) => { if (this.told) on.pick((event.offsetX / event.target.clientWidth) * this.seconds); });
  }

  get seconds() { return this.told.frames / this.told.fps; }

  // id: of a film that is finished and can be measured, made: when; null for another.
  show(id, made) {
    if (this.id === id && this.made === made) return;
    this.id = id;
    this.made = made;
    this.told = null;
    $("measure").hidden = !id;
    $("measured").hidden = true;
  }

  async measure() {
    const id = this.id, button = $("measure");
    button.disabled = true;
    button.textContent = "Measuring…";
    try {
      const told = await api.scores(id);
      if (id === this.id) { this.told = told; this.list(); this.draw(); }
    } catch (error) { this.on.tell(error); } finally { button.disabled = false; button.textContent = "Measure drift, seams and agreement"; }
  }

  list() {
    const { scores, points, silent } = this.told;
    const value = (name) => (scores[name].value === null ? "–" : SHARES.includes(name) ? `${Math.round(100 * scores[name].value)} %` : scores[name].value.toFixed(2));
    const told = [...FIRST, ...MORE].filter((name) => scores[name] || (FIRST.includes(name) && silent[name]));
    $("measured-scores").replaceChildren(...told.flatMap((name) => [h("dt", {}, name), scores[name]
      ? h("dd", { title: scores[name].protocol }, `${value(name)} `, h("small", {}, scores[name].verdict))
      : h("dd", {}, h("small", {}, silent[name]))]));
    const order = [...points].sort((a, b) => FIRST.indexOf(b.metric) - FIRST.indexOf(a.metric)).slice(0, MARKED).sort((a, b) => a.at - b.at);
    $("measured-points").replaceChildren(...order.map((point) => h("li", {}, h("button", { type: "button", class: "link", onclick: () => this.on.pick(point.at) }, clock(point.at)), ` ${point.text}`)));
    $("measure").hidden = true;
    $("measured").hidden = false;
  }

  // Curves as shares of their largest value; agreement as a step for every shot.
  draw() {
    if (!$("scores").open || !this.told) return;
    const { at, ...means } = this.told.curves, { brush, wide, high } = pen($("measured-chart"));
    const x = (seconds) => (seconds / this.seconds) * wide, y = (share) => high - 2 - share * (high - 6);
    axes(brush, wide, [[y(1), ""]]);
    const legend = [];
    const line = (name, colour, draw) => {
      brush.strokeStyle = colour;
      brush.beginPath(); draw(); brush.stroke();
      const mark = h("i", {});
      mark.style.background = colour;
      legend.push(h("li", {}, mark, ` ${name}`));
    };
    CURVES.forEach((name, n) => {
      const most = Math.max(...means[name], 1e-9);
      line(name, COLOURS[n], () => at.forEach((seconds, place) => brush.lineTo(x(seconds), y(means[name][place] / most))));
    });
    if (this.told.scores.agreement) line("agreement of each shot", COLOURS[4], () => this.told.shots.forEach(([first, share], n) => {
      const end = this.told.shots[n + 1]?.[0] ?? this.told.frames;
      if (share !== null) { brush.moveTo(x(first / this.told.fps), y(share)); brush.lineTo(x(end / this.told.fps), y(share)); }
    }));
    $("measured-legend").replaceChildren(...legend);
  }
}
