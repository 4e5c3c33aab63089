"""More to learn from: a dataset cut into shots, sieved, captioned and put together again, licences kept."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from longtake.datasets.captions import Captioner
from longtake.datasets.clips import told, write_list
from longtake.datasets.records import Footage, Layout, Part, Record
from longtake.datasets.shards import save_clip
from longtake.datasets.shots import SIZE as SHOT_SIZE
from longtake.datasets.shots import Cuts
from longtake.datasets.sieves import SIZE as SIEVE_SIZE
from longtake.datasets.sieves import Limits, Marks, alike, compared, judge
from longtake.errors import InputError
from longtake.keys import fingerprint
from longtake.video import VideoFrames, VideoWriter
from longtake.video.files import blamed

JOURNAL, REPORT, FILMS = "journal.jsonl", "report.json", "films.jsonl"
_CHUNK = 64  # frames looked at together
_JUDGED = 48  # frames of a stretch that are judged, at most
Span = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Supplement:
    """How a dataset is supplemented: where shots end, who captions, what is let go.

    least, most: frames of a clip; what is longer is cut into stretches of `most`. together: clips
    of one source that make a film, if there are two or more; 0: no films.
    """

    cuts: Cuts
    captioner: Captioner
    limits: Limits = dataclasses.field(default_factory=Limits)
    least: int = 8
    most: int = 600
    together: int = 8

    def run(self, layout: Layout, out: Path) -> Iterator[dict[str, Any]]:
        """Writes clips, their list, films and a report into `out`; an event for each source, last the report.

        Killed and begun again it goes on after the last whole source, and ends in the same files.
        """
        with blamed(out, "cannot make the folder", "another folder"):
            (out / "clips").mkdir(parents=True, exist_ok=True)
        done = self._journal(layout, out)
        hashes = [tuple(clip["hashes"]) for line in done for clip in line["clips"]]
        for number, record in enumerate(layout.records[len(done) :], len(done)):
            line = self._source(layout, record, number, out, hashes)
            hashes += [tuple(clip["hashes"]) for clip in line["clips"]]
            with (out / JOURNAL).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            done.append(line)
            yield {"event": "source", "id": record.id, "kept": len(line["clips"])}
        write_list(out, [clip["record"] for line in done for clip in line["clips"]])
        films = list(self._films(done, out))
        lines = "".join(f"{json.dumps(film)}\n" for film in films)
        (out / FILMS).write_text(lines, encoding="utf-8")
        report = _report(layout, done, films)
        (out / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        yield {"event": "done", **report}

    def _journal(self, layout: Layout, out: Path) -> list[dict[str, Any]]:
        """The sources that are done, if they were done in the same way; a torn line is dropped."""
        how = [type(self.cuts).__name__, self.captioner.name, self.limits, self.least, self.most]
        head = {"made": fingerprint([how, [told(record) for record in layout.records]])}
        place = out / JOURNAL
        lines: list[dict[str, Any]] = []
        if place.exists():
            for text in place.read_text("utf-8").splitlines():
                try:
                    lines.append(json.loads(text))
                except ValueError:
                    break
        if lines and lines[0] != head:
            what = "holds what was made of other clips, or in another way"
            raise InputError(what, str(out), "an empty folder")
        lines = lines or [head]
        part = place.with_suffix(".tmp")
        part.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        part.replace(place)
        return lines[1:]

    def _source(
        self, layout: Layout, record: Record, number: int, out: Path, before: list[tuple[int, ...]]
    ) -> dict[str, Any]:
        """One clip of the dataset: cut, judged, captioned, written."""
        clips: list[dict[str, Any]] = []
        dropped: list[dict[str, Any]] = []
        line = {"source": record.id, "frames": 0, "shots": 0, "clips": clips, "dropped": dropped}
        try:
            footage = layout.footage(record)
            line["frames"], shots = footage.frames, self._stretches(footage)
        except InputError as error:
            dropped.append({"span": None, "why": "unreadable", "what": error.what})
            return line
        line["shots"] = len(shots)
        seen: list[tuple[Part, Span, Marks, str]] = []
        for span in shots:
            part = Part(footage, span, record.id)
            if part.frames < self.least:
                dropped.append({"span": span, "why": "short"})
                continue
            some = min(_JUDGED, part.frames)
            start = (part.frames - some) // 2
            frames = part.read(range(start, start + some), size=SIEVE_SIZE)
            seen.append((part, span, judge(frames), self.captioner.caption(record, span, frames)))
        judged = compared([marks for _, _, marks, _ in seen])
        for (part, span, _, words), marks in zip(seen, judged, strict=True):
            known = [*before, *(tuple(clip["hashes"]) for clip in clips)]
            why = marks.why_not(self.limits)
            why = why or ("duplicate" if any(alike(marks.hashes, h) for h in known) else "")
            if why:
                dropped.append({"span": span, "why": why})
                continue
            path = f"clips/{number:06}_{len(clips):03}.mp4"
            save_clip(part, out / path, "good")
            kept = Record(
                f"{record.id}#{span[0]}-{span[1]}",
                path,
                record.split,
                None,
                record.label,
                (words,) if words else (),
                record.group or record.id,
                record.licence or layout.licence,
            )
            source = {"id": record.id, "path": record.path, "span": span, "of": layout.title}
            extra = {"source": source, "captioner": self.captioner.name, "frames": part.frames}
            names = ("motion", "sharpness", "mark", "overlay")
            measured = {name: round(getattr(marks, name), 4) for name in names}
            whole = {**told(kept), **extra, **measured}
            clips.append({"record": whole, "hashes": marks.hashes})
        return line

    def _stretches(self, footage: Footage) -> list[tuple[int, int]]:
        """The shots of some footage, long ones cut evenly."""
        count = footage.frames
        small = torch.cat(
            [
                footage.read(range(n, min(n + _CHUNK, count)), size=SHOT_SIZE, fit="stretch")
                for n in range(0, count, _CHUNK)
            ]
        )
        ends = [0, *self.cuts.cuts(small), count]
        found = []
        for first, stop in zip(ends, ends[1:], strict=False):
            parts = -(-(stop - first) // self.most)
            places = [first + n * (stop - first) // parts for n in range(parts + 1)]
            found += list(zip(places, places[1:], strict=False))
        return found

    def _films(self, done: list[dict[str, Any]], out: Path) -> Iterator[dict[str, Any]]:
        """Clips of one group and size joined by cuts, in order, with a cue where each begins."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for line in done:
            for clip in line["clips"]:
                groups.setdefault(clip["record"].get("group", ""), []).append(clip["record"])
        for group, members in groups.items():
            for first in range(0, len(members), max(self.together, 1)):
                chosen = members[first : first + self.together]
                if len(chosen) > 1:
                    yield _film(group, chosen, out, first // self.together)


def _film(group: str, members: list[dict[str, Any]], out: Path, number: int) -> dict[str, Any]:
    """A long film of several clips; kept if it is there already, for it appears whole."""
    parts = [VideoFrames(out / member["path"]) for member in members]
    name = fingerprint([group, [member["id"] for member in members]])[:12]
    place = out / "films" / f"{name}_{number:03}.mp4"
    size = parts[0].read([0]).shape[-1:-3:-1]
    wide, high = size[0], size[1]
    cues, at = [], 0
    for member, part in zip(members, parts, strict=True):
        cues.append({"frame": at, "caption": (member.get("captions") or [""])[0]})
        at += part.frames
    if not place.exists():
        with VideoWriter(place, size=(wide, high), fps=parts[0].fps) as writer:
            for part in parts:
                for start in range(0, part.frames, _CHUNK):
                    numbers = range(start, min(start + _CHUNK, part.frames))
                    writer.write(part.read(numbers, size=(wide, high)))
    licences = sorted({member.get("licence", "") for member in members})
    sources = [member["id"] for member in members]
    path = place.relative_to(out).as_posix()
    return {"path": path, "frames": at, "cues": cues, "clips": sources, "licences": licences}


def _report(
    layout: Layout, done: list[dict[str, Any]], films: list[dict[str, Any]]
) -> dict[str, Any]:
    """What came in, what came out, and why the rest did not."""
    kept = [clip["record"] for line in done for clip in line["clips"]]
    why = Counter(drop["why"] for line in done for drop in line["dropped"])
    return {
        "of": layout.title,
        "sources": len(done),
        "frames_in": sum(line["frames"] for line in done),
        "shots": sum(line["shots"] for line in done),
        "clips": len(kept),
        "frames_out": sum(clip["frames"] for clip in kept),
        "dropped": dict(sorted(why.items())),
        "captioned": sum(bool(clip.get("captions")) for clip in kept),
        "films": len(films),
        "longest_film": max((film["frames"] for film in films), default=0),
        "licences": dict(sorted(Counter(clip.get("licence", "") for clip in kept).items())),
    }
