"""`export`: a finished film's shots as files of their own, their latents, and its storyboard."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from longtake.brief import Options
from longtake.brief.notes import asking
from longtake.cli.base import Voice, verb
from longtake.cli.verify import film_at, said_of
from longtake.controls import Pin, Shot, Storyboard
from longtake.engine.manifest import Witness, read_manifest
from longtake.errors import ClaimError, InputError, MachineError

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.api import Order
    from longtake.engine.job import Job

PINS = "pins"  # the folder of pictures and videos that the storyboard pins
FORMAT = "longtake latents 1"


@dataclasses.dataclass(frozen=True)
class Exported:
    """A shot's files. frames: of the film, [first, end). indices: of its latents, [first, end)."""

    shot: int
    frames: tuple[int, int]
    indices: tuple[int, int]
    film: str
    latents: str

    def line(self) -> dict[str, Any]:
        """As a JSON line."""
        return {"event": "exported", **dataclasses.asdict(self)}


@verb(
    "export",
    (
        "longtake export film.mp4 --to parts",
        "longtake export film.mp4 --to parts --model Wan2.1-T2V-1.3B-Diffusers --json",
    ),
    short_help="Take a film apart: shots, latents, storyboard.",
)
@click.argument("film")
@click.option(
    "--to", "place", metavar="DIR", help="A new folder; FILM's name and .parts if absent."
)
@click.option(
    "--run", metavar="DIR|URL", help="Where its finished steps live; beside it if absent."
)
@click.option("--model", metavar="NAME|FILE.py:FUNC|FOLDER", help="What made it, if not built in.")
@click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help="A knob to turn anew.")
@click.option("--device", metavar="NAME", help="Where to decode; where it was made if absent.")
def export(voice: Voice, film: str, place: str | None, run: str | None, **values: Any) -> None:
    """Write every shot of FILM as a film of its own, its latents as safetensors, and the storyboard.

    Shots are decoded from finished steps, never from the film's file; steps that are gone are made again.
    Exit code 1 if the frames are not those of the film's manifest.
    """
    from longtake import api

    source = film_at(film)
    manifest = read_manifest(source)
    folder = Path(place or f"{source.stem or source.name}.parts")
    _check_free(folder)
    board, options = asking(manifest, source.parent, said_of(values), film)
    steps = api.run_folder(source, run)
    order = api.order_of(board, options, run=steps, executor="serial")
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        part.mkdir()
        for one in exported(order, part, source.suffix, manifest):
            voice.line(one.line())
            voice.say(f"{folder / one.film}  frames {one.frames[0]} to {one.frames[1] - 1}")
        write_storyboard(part, board, options, order.job, manifest)
        os.replace(part, folder)
    except OSError as error:
        hint = "another --to, more room"
        raise MachineError(f"cannot write: {error.strerror}", str(folder), hint) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    voice.line({"event": "done", "out": str(folder), "shots": len(order.job.cues)})


def _check_free(folder: Path) -> None:
    """InputError where a new folder cannot be."""
    if os.path.lexists(folder):
        raise InputError("is there already", f"--to {folder}", f"{folder.name}-2")
    parent = folder.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError("cannot write into the folder", str(parent), "an existing folder")


def exported(
    order: Order, folder: Path, suffix: str, manifest: Mapping[str, Any]
) -> Iterator[Exported]:
    """Shots as they are finished; ClaimError where frames are not the film's."""
    from longtake.engine import render
    from longtake.video import VIDEO_SUFFIXES, VideoWriter

    job, writers = order.job, dict[int, Any]()
    spans = shots_of(job)
    suffix = suffix.lower() if suffix.lower() in VIDEO_SUFFIXES else ".mp4"
    keys, witness = Keys(job), Witness(job)
    with ExitStack() as stack:
        for item in render(job, order.store, order.executor, settled=keys.settle):
            if not hasattr(item, "pixels"):
                continue
            witness.see(item)
            for number, pixels in _parted(item, spans):
                if number not in writers:
                    out = folder / f"shot-{number + 1:03d}{suffix}"
                    writer = VideoWriter(out, size=job.size, fps=job.fps)
                    writers[number] = out, stack.enter_context(writer)
                writers[number][1].write(pixels)
        if witness.stretches != manifest["stretches"]:
            what = "its steps decode to other frames than the manifest's"
            raise ClaimError(what, "longtake export", "longtake verify --replay")
    for number, (out, _) in sorted(writers.items()):
        indices = _indices(job, spans[number])
        latents = f"{out.stem}.safetensors"
        _write_latents(folder / latents, order, keys, indices, spans[number])
        yield Exported(number + 1, spans[number], indices, out.name, latents)


def shots_of(job: Job) -> list[tuple[int, int]]:
    """Film frames [first, end) of every shot."""
    firsts = [round(Fraction(cue.start) * job.fps) for cue in job.cues] or [0]
    ends = [*firsts[1:], job.frames or 0]
    return list(zip(firsts, ends, strict=True))


class Keys:
    """Which finished step holds what is seen at an index of the last stage."""

    def __init__(self, job: Job) -> None:
        self._last = len(job.system.stages) - 1
        self._seen = {call.number for call in job.calls}
        self._found: dict[int, tuple[int, str]] = {}

    def settle(self, order: Any) -> None:
        """Notes a step; a stretch that was made again lies over what was there."""
        call = order.call
        if call.stage != self._last or call.number not in self._seen:
            return
        for index in call.step.targets:
            if call.number >= self._found.get(index, (-1, ""))[0]:
                self._found[index] = call.number, order.key.key

    def latent(self, order: Order, index: int) -> Tensor:
        """(1, c, h, w) at an index, made or given."""
        piece = order.job.pieces.get(index)
        if piece is not None:
            clip = order.store.get(order.job.piece_key(piece, self._last))
            assert clip is not None, "what was given has been encoded"
            return clip.frames[0, [index - piece.start]]
        clip = order.store.get(self._found[index][1])
        assert clip is not None, "a step that was just decoded"
        return clip.pick([index]).frames[0]


def _parted(frames: Any, spans: list[tuple[int, int]]) -> Iterator[tuple[int, Tensor]]:
    """The pixels (t, 3, h, w) of each shot, with the shot's number."""
    first, end = frames.first, frames.first + len(frames.pixels)
    for number, span in enumerate(spans):
        low, high = max(first, span[0]), min(end, span[1])
        if low < high:
            yield number, frames.pixels[low - first : high - first]


def _indices(job: Job, span: tuple[int, int]) -> tuple[int, int]:
    """The indices that hold film frames [first, end), which lie in one take or in several."""
    held = [
        take.index(frame, job.stride)
        for take in job.takes
        for frame in (max(span[0], take.first), min(span[1], take.first + (take.frames or 0)) - 1)
        if take.first <= frame < take.first + (take.frames or 0) and span[0] <= frame < span[1]
    ]
    return min(held), max(held) + 1


def _write_latents(
    place: Path, order: Order, keys: Keys, indices: tuple[int, int], span: tuple[int, int]
) -> None:
    import torch
    from safetensors.torch import save_file

    job, spec = order.job, order.job.system.stages[-1].codec.spec
    latents = torch.cat([keys.latent(order, index) for index in range(*indices)])
    first = next(take for take in reversed(job.takes) if take.start <= indices[0])
    told = {
        "format": FORMAT,
        "system": job.system.name,
        "codec": spec.fingerprint,
        "frames": span,
        "indices": indices,
        "begins": job.first_frame(first, indices[0]),
        "stride": spec.stride,
        "fps": str(job.fps),
        "size": job.size,
    }
    save_file({"latents": latents.contiguous()}, place, {"longtake": json.dumps(told)})


def write_storyboard(
    folder: Path, board: Storyboard, options: Options, job: Job, manifest: Mapping[str, Any]
) -> None:
    """`storyboard.toml`, and what it pins beside it: the film again, if it is given to the same model."""
    from longtake.prompts.storyboard import read_pin, save_storyboard

    told: Mapping[str, Any] = options
    shots, start, films = [], Fraction(0), []
    for kind in ("image", "video"):
        films += [read_pin(text, kind, f"--{kind}") for text in told.get(f"{kind}s", ())]
    for number, shot in enumerate(board.shots):
        length = Fraction(str(shot.seconds))
        last = number == len(board.shots) - 1
        own = [_placed(pin, float(start), float(length), last) for pin in films]
        pins = [*shot.pins, *(pin for pin in own if pin is not None)]
        kept = tuple(dataclasses.replace(pin, path=_copied(pin, folder)) for pin in pins)
        shots.append(dataclasses.replace(shot, pins=kept))
        start += length
    whole = Storyboard(tuple[Shot, ...](shots), manifest["seed"], float(job.fps), job.size)
    save_storyboard(whole, folder / "storyboard.toml")


def _placed(pin: Pin, start: float, seconds: float, last: bool) -> Pin | None:
    """A pin of the whole film as one of the shot it lies in, if it does."""
    if isinstance(pin.at, str):
        return pin if last else None
    inside = start <= pin.at < start + seconds
    return dataclasses.replace(pin, at=pin.at - start) if inside else None


def _copied(pin: Pin, folder: Path) -> str:
    from longtake.brief.media import stretch_of

    file, stretch = stretch_of(pin.path)
    (folder / PINS).mkdir(exist_ok=True)
    place = folder / PINS / file.name
    number = 1
    while place.exists() and not _same(place, file):
        number += 1
        place = folder / PINS / f"{file.stem}-{number}{file.suffix}"
    if not place.exists():
        (shutil.copytree if file.is_dir() else shutil.copyfile)(file, place)
    return f"{place.resolve()}{stretch}"


def _same(one: Path, other: Path) -> bool:
    from longtake.brief.media import file_digest

    return file_digest(one) == file_digest(other)
