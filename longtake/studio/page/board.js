// A storyboard and what can be done to it; knows neither page nor server.

const round = (seconds) => Math.max(0.1, Math.round(seconds * 1000) / 1000);

export class Board {
  constructor(data) { this.data = data; this.past = []; this.future = []; }

  get shots() { return this.data.shot; }
  get seconds() { return this.shots.reduce((sum, shot) => sum + shot.seconds, 0); }

  // Seconds at which every shot begins.
  get starts() {
    let at = 0;
    return this.shots.map((shot) => { const start = at; at += shot.seconds; return start; });
  }

  shotAt(seconds) {
    const starts = this.starts;
    for (let n = starts.length - 1; n > 0; n--) if (starts[n] <= seconds + 1e-6) return n;
    return 0;
  }

  // Does something to a copy; what was before can be had back.
  edit(work) {
    this.past.push(this.data);
    if (this.past.length > 100) this.past.shift();
    this.future = [];
    this.data = structuredClone(this.data);
    return work(this.data.shot, this.data);
  }

  undo() { if (this.past.length) { this.future.push(this.data); this.data = this.past.pop(); } }
  redo() { if (this.future.length) { this.past.push(this.data); this.data = this.future.pop(); } }

  add(after) {
    return this.edit((shots) => {
      const like = shots[after];
      shots.splice(after + 1, 0, { prompt: like.prompt, seconds: like.seconds, cut: false, images: [], videos: [] });
      return after + 1;
    });
  }

  // Two shots out of one, `seconds` from its start; every pin stays at its place in the film.
  split(number, seconds) {
    const whole = this.shots[number];
    if (seconds < 0.1 || whole.seconds - seconds < 0.1) return number;
    return this.edit((shots) => {
      const first = { ...whole, seconds: round(seconds), images: [], videos: [] };
      const second = { ...whole, seconds: round(whole.seconds - seconds), cut: false, images: [], videos: [] };
      for (const kind of ["images", "videos"]) for (const text of whole[kind] ?? []) {
        const pin = readPin(text);
        const late = pin.at === "end" || pin.at >= seconds;
        (late ? second : first)[kind].push(writePin({ ...pin, at: late && pin.at !== "end" ? pin.at - seconds : pin.at }));
      }
      shots.splice(number, 1, first, second);
      return number + 1;
    });
  }

  remove(number) {
    if (this.shots.length === 1) return 0;
    return this.edit((shots) => { shots.splice(number, 1); return Math.min(number, shots.length - 1); });
  }

  move(from, to) {
    to = Math.min(Math.max(to, 0), this.shots.length - 1);
    if (to === from) return from;
    return this.edit((shots) => { shots.splice(to, 0, ...shots.splice(from, 1)); return to; });
  }

  stretch(number, seconds) { this.edit((shots) => { shots[number].seconds = round(seconds); }); }

  set(number, fields) { this.edit((shots) => { Object.assign(shots[number], fields); }); }

  pin(number, kind, name, at) {
    this.edit((shots) => { (shots[number][kind] ??= []).push(writePin({ at, name })); });
  }

  unpin(number, kind, place) { this.edit((shots) => { shots[number][kind].splice(place, 1); }); }
}

// "2.5=a.jpg" as { at: 2.5, name: "a.jpg" }; "end" stays a word.
export function readPin(text) {
  const [, at, name] = /^(?:(end|[\d.]+(?:e[+-]?\d+)?)=)?(.*)$/i.exec(text);
  return { at: at === undefined ? 0 : at === "end" ? "end" : Number(at), name };
}

export function writePin({ at, name }) {
  return `${at === "end" ? "end" : Math.round(at * 1000) / 1000}=${name}`;
}

// A name that the server takes, for whatever a file is called.
export function plainName(name) {
  const dot = name.lastIndexOf(".");
  const stem = (dot > 0 ? name.slice(0, dot) : name).normalize("NFKD").replace(/[^A-Za-z0-9_-]+/g, "-");
  return `${stem.replace(/^[^A-Za-z0-9]+/, "").slice(0, 80) || "file"}${dot > 0 ? name.slice(dot).toLowerCase() : ""}`;
}

export const kindOf = (name) => (/\.(png|jpe?g|webp|bmp|tiff?|ppm|avif)$/i.test(name) ? "images" : "videos");
