"""The library's face: the same films, events and errors that the command line shows."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from longtake import __version__
from longtake.brief import Brief, Options, is_endless, job_of, read_brief, used_files
from longtake.brief.drafts import draft_of
from longtake.brief.notes import asked_of, remembered
from longtake.brief.redo import check_redo
from longtake.brief.systems import load_system, make_system
from longtake.engine.job import Job
from longtake.engine.manifest import Witness, manifest_path, write_manifest
from longtake.engine.store import Store
from longtake.engine.tail import store_of
from longtake.errors import FitError, InputError, LongtakeError
from longtake.system import Part, System

if TYPE_CHECKING:
    from fractions import Fraction

    from torch import Tensor

    from longtake.clip import ClipSpec
    from longtake.engine.events import Event
    from longtake.engine.executors import Executor
    from longtake.engine.job import Call
    from longtake.metrics.scores import Score

_SHEET = 24  # frames on a contact sheet
_LONGEST_NAME = 255  # bytes; of file systems in common use
_EVENTS = 1000  # of an endless film that a Take remembers, the latest


@dataclasses.dataclass(frozen=True)
class Order:
    """A job, where its steps live and who computes them; checked, nothing written yet.

    brief, options: what was asked; a storyboard has been read.
    """

    job: Job
    store: Store
    executor: Executor
    brief: Brief
    options: Options


class Take:
    """A film that is made while it is iterated: uint8 frames, (3, h, w), RGB.

    Iterating again finds every step finished and only decodes; an endless film (`seconds=math.inf`)
    is made anew, except for the steps that are still kept.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self.events: MutableSequence[Event] = self._events()  # of the last time through

    @property
    def frames(self) -> int | None:
        """How many frames it has; None: it has no end."""
        return self._order.job.frames

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self._order.job.fps

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._order.job.size

    @property
    def job(self) -> Job:
        """What is being made."""
        return self._order.job

    def __len__(self) -> int:
        if self.frames is None:
            raise TypeError("an endless film has no length")
        return self.frames

    def __iter__(self) -> Iterator[Tensor]:
        self.events = self._events()
        for item in _rendered(self._order):
            if _is_frames(item):
                yield from item.pixels
            else:
                self.events.append(item)

    def save(
        self,
        out: str | os.PathLike[str],
        *,
        audio: str | os.PathLike[str] | None = None,
        sheet: str | os.PathLike[str] | None = None,
    ) -> Path:
        """Writes the film, exactly `frames` frames, and its manifest; the file appears whole.

        An endless film goes to a playlist (`.m3u8`) or to stdout ("-") until it is interrupted.
        """
        check_places(out, audio=audio, sheet=sheet, endless=self.frames is None)
        self.events = self._events()
        self.events.extend(written(self._order, out, audio, sheet))
        return Path(out)

    def _events(self) -> MutableSequence[Event]:
        return [] if self.frames is not None else deque(maxlen=_EVENTS)


def generate(
    brief: Brief,
    *,
    run: str | os.PathLike[str] | None = None,
    executor: str = "serial",
    **options: Unpack[Options],
) -> Take:
    """A film of a prompt or a storyboard, made while the Take is iterated or saved.

    run: the folder of finished steps, or a URL that fsspec knows (`s3://bucket/sea`); without one they
    last as long as the Take. Of an endless film
    (`seconds=math.inf`) only those are kept that it may still read. Raises InputError at once for
    anything that cannot be made.
    """
    return Take(order_of(brief, options, run=run, executor=executor))


def stream(
    brief: Brief,
    *,
    out: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
    executor: str = "serial",
    audio: str | os.PathLike[str] | None = None,
    sheet: str | os.PathLike[str] | None = None,
    **options: Unpack[Options],
) -> Iterator[Event]:
    """The events of making a film, written to `out`, a manifest beside it, if that is given.

    run: the folder of finished steps; `film.run` beside `out`, say, `film.mp4`. sheet: a PNG of
    frames from the whole film. Raises InputError at once for anything that cannot be made.
    """
    if out is None:
        if audio is not None or sheet is not None:
            raise InputError("audio or sheet without a film", "out", 'out="film.mp4"')
        order = order_of(brief, options, run=run, executor=executor)
        return (item for item in _rendered(order) if not _is_frames(item))
    used, endless = used_files(brief, options), is_endless(brief, options)
    check_places(out, audio=audio, sheet=sheet, used=used, endless=endless)
    folder = run_folder(out, run, draft_of(options))
    order = order_of(brief, options, run=folder, executor=executor, film=out)
    return written(order, out, audio, sheet)


def plan(
    brief: Brief,
    *,
    run: str | os.PathLike[str] | None = None,
    **options: Unpack[Options],
) -> Iterator[dict[str, Any]]:
    """The steps of a film, one mapping each, and last their costs; nothing runs, no weights are read.

    Of an endless film, the first 64 steps, and then costs that are None.
    """
    from longtake.engine import plan_lines

    job = job_of(brief, options)
    store = store_of(job, run)
    check_fit(job)
    return plan_lines(job, store)


def load(model: str | os.PathLike[str] = "", **settings: Any) -> System:
    """A system by recipe name, `FILE.py:FUNCTION` or saved folder; settings turn the recipe's knobs."""
    return load_system(os.fspath(model), settings=settings)


def score(
    films: Take | str | os.PathLike[str] | Sequence[Take | str | os.PathLike[str]],
    *,
    reference: str | None = None,
    metrics: Sequence[str] = (),
    features: str = "",
) -> Mapping[str, Score]:
    """Scores by metric name, each carrying its protocol; of several films by `NAME:metric`.

    reference: "sky" for the built-in world, or a video. features: what `fvd` and `kvd` look through,
    NAME or NAME=FILE as in `longtake.metrics.find_extractor`; the built-in ones unless given.
    """
    from longtake.metrics import score as measured

    many = [films] if isinstance(films, (Take, str, os.PathLike)) else list(films)
    return measured(many, reference=reference, metrics=tuple(metrics), features=features)


def order_of(
    brief: Brief,
    options: Options,
    *,
    run: str | os.PathLike[str] | None,
    executor: str,
    film: str | os.PathLike[str] | None = None,
) -> Order:
    """Everything needed to make a film, checked to the last weight; nothing is written.

    film: where it goes, and where its manifest tells in what it has been redone.
    """
    from longtake.engine import executor_of

    brief = read_brief(brief, options) or brief
    options = remembered(brief, options, film)
    job = job_of(brief, options)
    model = options.get("model", "")
    asked = {
        "model": model,
        "settings": dict(options.get("settings", {})),
        "scheme": options.get("scheme", ""),
        "device": options.get("device", ""),
        "draft": bool(options.get("draft")),
    }
    if isinstance(model, System) and not executor.startswith(("serial", "batched")):
        what = "a System in hand cannot be sent to other processes"
        raise InputError(what, f"executor {executor}", "a model's name or FILE.py:FUNCTION")
    store = store_of(job, run)
    hands = executor_of(executor, functools.partial(make_system, asked), job.device)
    check_fit(job)
    check_redo(job, store, options, "memory" if run is None else os.fspath(run))
    _check_device(job)
    _check_parts(job)
    return Order(job, store, hands, brief, options)


def run_folder(
    out: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    draft: str | None = None,
) -> Path | str | None:
    """Where finished steps live: as told, or beside the film or its draft, and never in the film's place.

    A text: by URL. None: in memory, for a film on stdout has nothing beside it.
    """
    from longtake.engine.bucket import is_url, path_of
    from longtake.video.files import STDOUT, segments_of

    place = Path(out)
    if isinstance(run, str) and is_url(run):
        local = path_of(run)
        if local is None:
            return run
        run = local
    if os.fspath(out) == STDOUT and draft is None:
        return None if run is None else Path(run)
    beside = place if draft is None else Path(draft)
    own = beside.with_name(f"{beside.stem or beside.name}.run")
    folder = own if run is None else Path(run)
    films = {os.path.realpath(p) for p in (place, segments_of(place), manifest_path(place))}
    if films & {os.path.realpath(folder), *map(os.path.realpath, folder.parents)}:
        what, hint = "finished steps would lie where the film goes", f"--run {place.stem}.run"
        raise InputError(what, f"--run {folder}", hint)
    return folder


def check_places(
    out: str | os.PathLike[str],
    *,
    audio: str | os.PathLike[str] | None = None,
    sheet: str | os.PathLike[str] | None = None,
    used: Sequence[Path] = (),
    endless: bool = False,
) -> None:
    """Refuses places where a film, its sheet or its sound cannot be; creates nothing."""
    from longtake.video import check_out
    from longtake.video.files import STDOUT, check_endless, check_in

    place = check_out(out)
    if _has_manifest(out):
        _check_manifest(place)
    if endless:
        check_endless(out)
    if endless and sheet is not None:
        what = "a sheet shows a whole film, and this one has no end"
        raise InputError(what, "--sheet", "--seconds 3600")
    if sheet is not None:
        check_sheet(Path(sheet))
    if audio is not None:
        from longtake.video.finishing import check_audio

        check_audio(check_in(audio))
    # realpath, unlike Path.resolve, has an answer for links in a ring and for names too long
    taken = [os.path.realpath(file) for file in (*used, *([audio] if audio is not None else []))]
    films = [] if os.fspath(out) == STDOUT else [place]
    for own in (*films, *([Path(sheet)] if sheet is not None else [])):
        if os.path.realpath(own) in taken:
            hint = f"--out {place.stem}-new{place.suffix}"
            raise InputError("the film would replace what it is made of", str(own), hint)


def _has_manifest(out: str | os.PathLike[str]) -> bool:
    """Whether a film there gets one: a stream on stdout and a playlist of segments get none."""
    from longtake.video.files import PLAYLIST, STDOUT

    return os.fspath(out) != STDOUT and Path(out).suffix.lower() != PLAYLIST


def _check_manifest(film: Path) -> None:
    place = manifest_path(film)
    if len(os.fsencode(place.name)) + len(".part") > _LONGEST_NAME:
        hint = f"film{film.suffix}"
        raise InputError("a name too long for a film and its manifest", str(film), hint)
    if os.path.isdir(place):
        raise InputError("a folder where the film's manifest goes", str(place), "another --out")


def check_sheet(place: Path) -> None:
    parent = place.absolute().parent
    if place.suffix.lower() != ".png":
        raise InputError("a contact sheet is a PNG", f"--sheet {place}", f"{place.stem}.png")
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError("cannot write into the folder", str(parent), "an existing folder")
    if place.is_dir():
        raise InputError("is a folder", f"--sheet {place}", f"{place}/sheet.png")


def _check_device(job: Job) -> None:
    import torch

    kind, _, number = job.device.partition(":")
    there = 1
    if kind == "cuda":
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    elif kind == "mps":
        there = int(torch.backends.mps.is_available())
    if int(number or 0) >= there:
        raise InputError(f"no device '{job.device}' here", "--device", "--device cpu")


def check_fit(job: Job) -> None:
    """Plans the whole film, or the beginning of an endless one; refuses what the system's parts cannot do.

    No weights are read.
    """
    for number, stage in enumerate(job.system.stages):
        shape = job.shape(number)
        for role, model in stage.models.items():
            pairs = zip(model.spec.frame, shape, strict=False)
            if any(own is not None and own != wanted for own, wanted in pairs):
                what = f"the model makes frames of {model.spec.frame}, not {shape}"
                width, height = job.system.size
                raise InputError(what, f"role {role}", f"--size {width}x{height}")
    check = getattr(job.system.encoder, "check", None)
    if check is not None:
        check([cue.prompt for cue in job.cues])
    for call in job.first_calls():
        stage = job.system.stages[call.stage]
        _ = stage.model(call.step.role)
        if call.step.choose is not None and stage.select is None:
            what = "an adaptive scheme in a stage that cannot select"
            raise FitError(what, f"step {call.number}", "--scheme long-range")
        _check_observed(call, stage.model(call.step.role).spec)


def _check_observed(call: Call, spec: ClipSpec) -> None:
    """Refuses a step that shows a model what it cannot observe."""
    from longtake.schemes import SCHEMES
    from longtake.schemes.fit import OBSERVES, misfit, serving

    why = misfit(call.step, spec.observes, spec.begins)
    if not why:
        return
    where = f"step {call.number}"
    if not call.step.observed:
        raise FitError(
            f"{why}: the model observes {OBSERVES[spec.observes]}", where, "--image FILE"
        )
    able = serving(dict(SCHEMES), spec.observes, spec.window, spec.begins)
    more = f"; more with {spec.sibling}" if spec.sibling else ""
    what = f"the model observes {OBSERVES[spec.observes]}, and {why}"
    raise FitError(what, where, f"--scheme {', '.join(able) or 'one-shot'}{more}")


def _check_parts(job: Job) -> None:
    """Reads every weight, so that nothing wrong is found half way."""
    for stage in job.system.stages:
        parts: tuple[Part[Any, Any], ...] = (stage.codec, *stage.models.values())
        for part in parts:
            try:
                _ = part.made
            except (LongtakeError, MemoryError):
                raise
            except Exception as error:
                what = f"the weights cannot be read: {type(error).__name__}: {error}"
                hint = "longtake doctor, which checks the built-in weights"
                raise InputError(what, job.system.name, hint) from error


def _rendered(order: Order, settled: Callable[[Any], None] | None = None) -> Iterator[Any]:
    from longtake.engine import render

    try:
        yield from render(order.job, order.store, order.executor, settled=settled)
    finally:
        order.executor.close()


def written(
    order: Order,
    out: str | os.PathLike[str],
    audio: str | os.PathLike[str] | None,
    sheet: str | os.PathLike[str] | None,
) -> Iterator[Event]:
    """Events; frames go to the file as they land, and `done` comes when it stands in its place.

    Then its manifest stands beside it.
    """
    from longtake.engine.lane import Lane
    from longtake.video import VideoWriter
    from longtake.video.files import STDOUT

    began, job, last, sheeted = time.monotonic(), order.job, None, _Sheet(order.job)
    film, witness = Path(out), Witness(order.job) if _has_manifest(out) else None
    endless = job.frames is None

    def see(item: Any) -> None:
        """Frames into all that is made of them."""
        writer.write(item.pixels)
        if witness is not None:
            witness.see(item)
        if sheet is not None:
            sheeted.see(item.first, item.pixels)

    with ExitStack() as stack:
        writer = VideoWriter(out, size=job.size, fps=job.fps, audio=audio, endless=endless)
        stack.enter_context(writer)
        lane = stack.enter_context(Lane[None]("encode", room=1))
        # what may wait for a reader or a viewer's clock stays where Ctrl-C ends it
        beside = not endless and os.fspath(out) != STDOUT
        for item in _rendered(order, None if witness is None else witness.settle):
            if _is_frames(item):
                if not beside:
                    see(item)
                    continue
                if not lane.room:
                    lane.take()
                lane.give(functools.partial(see, item))
            elif type(item).__name__ == "Done":
                last = item
            else:
                if witness is not None and type(item).__name__ == "Chosen":
                    job = witness.choose(item.take)
                yield item
    if witness is not None:
        asked = asked_of(job, order.brief, order.options, film.parent)
        write_manifest(film, witness.manifest(film, asked, __version__))
    if sheet is not None:
        sheeted.write(sheet)
    if last is not None:
        seconds = time.monotonic() - began
        yield dataclasses.replace(last, out=os.fspath(out), seconds=seconds)


def _is_frames(item: Any) -> bool:
    return hasattr(item, "pixels")


class _Sheet:
    """A film's evenly spread frames."""

    def __init__(self, job: Job) -> None:
        frames = job.frames or 1
        count = min(_SHEET, frames)
        self.places = [n * frames // count for n in range(count)]
        self.fps, self.cells = job.fps, list[Any]()

    def see(self, first: int, pixels: Tensor) -> None:
        while len(self.cells) < len(self.places):
            place = self.places[len(self.cells)] - first
            if place >= len(pixels):
                return
            self.cells.append(pixels[place].clone())

    def write(self, path: str | os.PathLike[str]) -> None:
        from longtake.video import contact_sheet

        labels = [f"{float(place / self.fps):.1f} s" for place in self.places]
        contact_sheet(self.cells, path, columns=6, labels=labels)
