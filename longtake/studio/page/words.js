// What is said of a film: how it stands, and what its plan would cost. Knows neither page nor server.

import { length } from "./dom.js";

// On the line above the film.
export function standing(video) {
  const { status } = video, made = { draft: "Not made yet", in_progress: video.draft ? "The draft is being made" : "Being made", paused: "Paused", cancelled: "Cancelled" };
  if (status === "queued") return `Waiting${video.place_in_queue > 1 ? `, number ${video.place_in_queue}` : ""}`;
  if (status === "failed") return `Failed: ${video.error?.message ?? ""}`;
  if (status === "completed") return video.edited ? "Made; changed since" : video.draft ? "A draft: the film keeps its keyframes" : "Finished";
  return made[status];
}

// On the list, in a word or two.
export function briefly(video) {
  if (video.status === "in_progress") return `${video.progress} %`;
  if (video.status === "completed") return video.edited ? "changed since" : video.draft ? "a draft" : "finished";
  return { draft: "not made yet", queued: "waiting" }[video.status] ?? video.status;
}

// What would run, in which shots, how long it takes and what it holds.
export function forecast(plan) {
  const left = plan.steps.filter((step) => !step.cached);
  if (!left.length) return `All ${plan.steps.length} steps are finished`;
  const kept = plan.cached ? `, ${shotsOf(plan, left)}; ${plan.cached} are finished` : "";
  const cost = plan.expected_seconds === null ? "" : `, about ${length(plan.expected_seconds)}`;
  const held = plan.expected_memory === null ? "" : `, ${memory(plan.expected_memory)} of memory`;
  return `${left.length} of ${plan.steps.length} steps would run${kept}${cost}${held}`;
}

const memory = (bytes) => (bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`);

// "in shots 2–4, 6": those in which the steps write.
export function shotsOf(plan, steps) {
  const firsts = plan.shots.map(([frame]) => frame), ends = [...firsts.slice(1), plan.frames], found = new Set();
  for (const step of steps) for (const [a, b] of step.frames) for (let n = place(firsts, a); n < firsts.length && firsts[n] < b; n++) if (a < ends[n]) found.add(n + 1);
  const runs = [];
  for (const n of [...found].sort((a, b) => a - b)) if (runs.at(-1)?.[1] === n - 1) runs.at(-1)[1] = n; else runs.push([n, n]);
  const told = runs.map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`));
  const shown = told.length > 6 ? [...told.slice(0, 5), `${told.length - 5} more`] : told;
  return `in shot${found.size > 1 ? "s" : ""} ${shown.join(", ")}`;
}

// The last shot that begins at a frame or before it.
function place(firsts, frame) {
  let low = 0, high = firsts.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (firsts[middle] <= frame) low = middle; else high = middle - 1; }
  return low;
}
