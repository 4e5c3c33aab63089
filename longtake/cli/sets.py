"""`data` for datasets: checked, previewed, made small for trying out, packed into shards, supplemented."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from longtake.brief.numbers import read_seed
from longtake.cli.base import Voice, resumable, verb
from longtake.cli.progress import clock
from longtake.errors import ClaimError, InputError, nearest

if TYPE_CHECKING:
    from longtake.datasets import Layout, Problem

_SHOWN = 20  # problems named to people
_CELL = (128, 96)


def is_spec(text: str) -> bool:
    """Whether a text names a dataset: `KIND:PATH`."""
    from longtake import datasets

    return datasets.is_spec(text)


@verb("sets", ("longtake data sets", "longtake data sets --json"))
def sets(voice: Voice) -> None:
    """List the datasets and kinds of sources, with licences; --json: protocols and knobs too."""
    from longtake import datasets

    for name in (*datasets.DATASETS, *datasets.SOURCES):
        kind = datasets.find(name)
        protocols = {key: dataclasses.asdict(p) for key, p in kind.protocols.items()}
        line = {"dataset": name, "title": kind.title, "licence": kind.licence}
        known = {**line, "published": dict(kind.published), "protocols": protocols}
        voice.line({**known, "knobs": datasets.knobs(name)})
        voice.say(f"{name + ':PATH':<20}{kind.title}\n{'':<20}{kind.licence}")


def check_set(voice: Voice, spec: str, clips: str | None) -> None:
    """Examines a dataset; ClaimError if anything is wrong with it."""
    from longtake.datasets import open_spec
    from longtake.datasets.checking import counts, examine

    most = None if clips is None else _whole(clips, "--clips")
    layout = open_spec(spec)
    problems: list[Problem] = []
    for problem in examine(layout, most):
        voice.line({"event": "problem", **dataclasses.asdict(problem)})
        if len(problems) < _SHOWN:
            voice.say(f"{problem.kind}: {problem.where}: {problem.what}")
        problems.append(problem)
    if len(problems) > _SHOWN:
        voice.say(f"... and {len(problems) - _SHOWN} more")
    found, published = counts(layout), layout.published
    voice.line({"event": "checked", "clips": found, "published": dict(published)})
    told = ", ".join(f"{count} {split}" for split, count in found.items())
    as_published = ", ".join(f"{n} {split}".strip() for split, n in published.items())
    voice.say(f"{spec}: {told}" + (f" (published: {as_published})" if published else ""))
    voice.say(f"licence: {layout.licence}")
    if problems:
        first = problems[0]
        what = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
        raise ClaimError(what, f"first {first.kind}: {first.where}: {first.what}")


def preview_set(voice: Voice, spec: str, out: str, seed: int) -> None:
    """A frame from the middle of 24 clips spread over a dataset, on one sheet."""
    from longtake.datasets import open_spec
    from longtake.video import contact_sheet

    layout = open_spec(spec)
    records = layout.records
    count = min(24, len(records))
    cells, labels = [], []
    for n in range(count):
        record = records[(n * len(records) // count + seed) % len(records)]
        footage = layout.footage(record)
        cells.append(footage.read([footage.frames // 2], size=_CELL, fit="contain")[0])
        labels.append(f"{record.label or record.id}"[:20])
    contact_sheet(cells, out, columns=6, labels=labels)
    voice.line({"event": "done", "out": out, "clips": count})
    voice.say(f"{out}: {count} of {len(records)} clips")


@verb(
    "miniature",
    (
        "longtake data miniature ucf101 --out ucf",
        "longtake data miniature bair --seed 3 --out bair",
    ),
)
@click.argument("name")
@click.option("--seed", metavar="N", help="What chance starts from. [0]")
@click.option("--out", required=True, metavar="DIR", help="A new or empty folder.")
def miniature(voice: Voice, name: str, seed: str | None, out: str) -> None:
    """Make a few clips in the exact layout of the dataset NAME, to try things out on."""
    from longtake import datasets
    from longtake.video.files import blamed

    if name not in datasets.DATASETS:
        raise InputError(f"unknown dataset '{name}'", "data", nearest(name, datasets.DATASETS))
    number, root = read_seed(seed if seed is not None else 0), Path(out)
    with blamed(root, "cannot make the folder", "another folder"):
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise InputError("the folder is not empty", out, f"{out.rstrip('/')}/{name}")
    made: Any = datasets.find(name)
    made.miniature(root, number)
    count = len(datasets.open_spec(f"{name}:{root}").records)
    voice.line({"event": "done", "out": out, "clips": count})
    voice.say(f"{name}:{out}: {count} clips")


@verb(
    "shards",
    (
        "longtake data shards ucf101:ucf --out shards",
        "longtake data shards folder:videos --each 500 --out shards",
    ),
)
@click.argument("spec")
@click.option("--each", default="100", metavar="N", help="Clips in a shard. [100]")
@click.option("--out", required=True, metavar="DIR", help="Where the tars go.")
def shards(voice: Voice, spec: str, each: str, out: str) -> None:
    """Pack the clips of SPEC into WebDataset tars; run it again to go on."""
    from longtake.datasets.shards import write_shards

    layout, number = _opened(spec), _whole(each, "--each")
    resumable()
    began, count = time.monotonic(), 0
    for place in write_shards(layout, Path(out), number):
        count += 1
        voice.line({"event": "written", "shard": str(place)})
    seconds, clips = time.monotonic() - began, len(layout.records)
    voice.line({"event": "done", "out": out, "shards": count, "clips": clips})
    voice.say(f"shards:{out}: {clips} clips in {count} shards, {clock(seconds)}")


@verb(
    "supplement",
    (
        "longtake data supplement folder:videos --out more",
        "longtake data supplement stills:photos --captions given --out more",
    ),
)
@click.argument("spec")
@click.option("--out", required=True, metavar="DIR", help="Where clips, films and the report go.")
@click.option(
    "--shots", default="histograms", metavar="NAME", help="histograms, transnet, or whole clips."
)
@click.option(
    "--captions", default="given", metavar="NAME", help="given, truth (of a world), or rules."
)
@click.option("--least", default="8", metavar="N", help="Frames of a clip, at least. [8]")
@click.option("--most", default="600", metavar="N", help="Frames of a clip, at most. [600]")
def supplement(voice: Voice, spec: str, out: str, shots: str, captions: str, **values: str) -> None:
    """Cut the clips of SPEC into shots, drop poor ones and duplicates, caption and join the rest.

    What comes out is `clips:DIR`, a dataset; run it again to go on.
    """
    from longtake.datasets.captions import find_captioner
    from longtake.datasets.shots import find_cuts
    from longtake.datasets.supplement import Supplement

    layout = _opened(spec)
    least, most = _whole(values["least"], "--least"), _whole(values["most"], "--most")
    chosen = Supplement(find_cuts(shots), find_captioner(captions, layout), least=least, most=most)
    resumable()
    for event in chosen.run(layout, Path(out)):
        voice.line(event)
        if event["event"] == "done":
            let_go = ", ".join(f"{count} {why}" for why, count in event["dropped"].items())
            voice.say(
                f"clips:{out}: {event['clips']} clips and {event['films']} films of"
                f" {event['sources']} sources, {event['shots']} shots"
                + (f"; dropped: {let_go}" if let_go else "")
            )


def _opened(spec: str) -> Layout:
    """The dataset of a spec; InputError if there is nothing usable in it."""
    from longtake.datasets import open_spec

    layout = open_spec(spec)
    if not layout.records:
        raise InputError("holds no usable clip", spec, f"longtake data check {spec}")
    return layout


def _whole(text: str, option: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{option} is '{text}'", "longtake data", f"{option} 100")
    return int(text)
