// Plays a film while it grows (pieces of it appended as they come) and as a file once it is whole.

import * as api from "./api.js";

export class Player {
  constructor(video) {
    this.video = video;
    this.id = null;
    this.run = 0; // whatever belongs to an earlier film or run finds another number here
    this.wanted = false;
    this.wish = null; // where the viewer stood in a film that has not grown so far again
  }

  // Shows a film from its beginning, or from where the viewer stands.
  async load(id, keep = false) {
    const run = ++this.run;
    this.id = id;
    this.grows = false;
    const state = id ? await api.state(id).catch(() => "") : "";
    if (run !== this.run) return;
    if (!keep) this.wish = null;
    const time = keep ? this.wish ?? this.video.currentTime : 0; // the viewer may have moved while we asked
    const playing = keep && !this.video.paused;
    this.video.hidden = !state;
    if (!state) { this.video.removeAttribute("src"); this.video.load(); return; }
    if (state === "whole") {
      this.video.src = api.contentUrl(id, `shown=${Date.now()}`);
      this.video.currentTime = time;
      this.wish = null;
      if (playing) this.video.play().catch(() => {});
    } else {
      this.grows = true;
      this.wish = time || null;
      await this.follow(run, playing);
    }
  }

  // More of the film may be there.
  more() { this.wanted = true; this.wake?.(); }

  async follow(run, playing) {
    const first = await api.piece(this.id, 0);
    if (!first || run !== this.run) return;
    const codec = codecOf(new Uint8Array(first.bytes));
    const type = `video/mp4; codecs="${codec}"`;
    if (!codec || !window.MediaSource?.isTypeSupported(type)) return; // it can be seen when it is whole
    const source = new MediaSource();
    this.video.src = URL.createObjectURL(source);
    await once(source, "sourceopen");
    URL.revokeObjectURL(this.video.src);
    const buffer = source.addSourceBuffer(type);
    let place = 0, piece = first;
    while (run === this.run) {
      if (piece) {
        if (!(await this.append(buffer, piece.bytes))) return;
        place += piece.bytes.byteLength;
        const { buffered } = this.video;
        if (this.wish !== null && buffered.length && buffered.end(buffered.length - 1) > this.wish) { this.video.currentTime = this.wish; this.wish = null; }
        if (playing && this.wish === null) { this.video.play().catch(() => {}); playing = false; }
      } else if (!this.wanted) {
        await new Promise((wake) => { this.wake = wake; setTimeout(wake, 3000); });
      }
      this.wanted = false;
      if (run !== this.run) return;
      piece = await api.piece(this.id, place).catch(() => null);
      if (piece && !piece.grows) return; // whole by now: whoever watches the events loads it anew
    }
  }

  async append(buffer, bytes) {
    for (let tries = 0; tries < 2; tries++) {
      try {
        buffer.appendBuffer(bytes);
        await once(buffer, "updateend");
        return true;
      } catch (error) {
        if (error.name !== "QuotaExceededError") return false;
        const until = Math.max(0, this.video.currentTime - 10);
        if (!until) return false;
        buffer.remove(0, until);
        await once(buffer, "updateend");
      }
    }
    return false;
  }
}

const once = (target, name) => new Promise((done) => target.addEventListener(name, done, { once: true }));

// "avc1.PPCCLL" out of the decoder's configuration in the film's first bytes (ISO/IEC 14496-15).
function codecOf(bytes) {
  for (let at = 0; at + 8 < Math.min(bytes.length, 4096); at++) {
    if (bytes[at] === 97 && bytes[at + 1] === 118 && bytes[at + 2] === 99 && bytes[at + 3] === 67) {
      return "avc1." + [5, 6, 7].map((n) => bytes[at + n].toString(16).padStart(2, "0")).join("");
    }
  }
  return "";
}
