"""`generate` and `plan`: the same arguments, one makes the film and the other says what it would take."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from longtake.brief import Options, is_endless, job_of, read_brief, used_files
from longtake.brief.drafts import draft_of
from longtake.brief.notes import remembered
from longtake.cli import plans
from longtake.cli.base import Voice, resumable, verb
from longtake.cli.runs import remember
from longtake.engine.events import Done
from longtake.engine.executors import check_executor
from longtake.errors import InputError
from longtake.video.files import PLAYLIST, STDOUT

if TYPE_CHECKING:
    from longtake.engine.job import Job

OUT = "film.mp4"
FILM_OPTIONS = (
    (
        "--model",
        "NAME|FILE.py:FUNC|FOLDER|HUB_ID",
        "What makes the clips; the built-in model if absent.",
    ),
    ("--scheme", "NAME[:KNOB=VALUE,..]", "How the film is cut into calls of the model."),
    ("--seconds", "S", "Length; 60 if neither the brief nor --frames says it; inf: without end."),
    ("--frames", "N", "Length in frames, exactly."),
    ("--fps", "F", "Frames a second; the model's own rate if absent."),
    ("--size", "WxH", "Width and height, 16 to 4096 each; the model's own size if absent."),
    (
        "--noise",
        "KIND",
        "Of a pretrained pipeline: own, which belongs to a frame, or diffusers. [own]",
    ),
    ("--seed", "N", "What chance starts from; 0 if absent. The same seed gives the same film."),
    (
        "--out",
        "FILE",
        f"The film: .mp4 .mkv .webm .gif .m3u8 (HLS), - (stdout), a PNG folder. [{OUT}]",
    ),
    (
        "--run",
        "DIR|URL",
        "Where finished steps live; if absent beside --out, for stdout in memory.",
    ),
    ("--executor", "KIND", "serial, batched[:N], processes:N or ray[:ADDRESS]. [serial]"),
    ("--device", "NAME", "cpu, cuda, cuda:1 or mps."),
    ("--audio", "FILE", "Sound for the film, cut at its end."),
    ("--sheet", "FILE.png", "Also a contact sheet of frames from the whole film."),
    ("--repair", "MODE", "Steps that look wrong: off, report, or repair: roll again. [report]"),
    ("--redo", "A-B", "Make these seconds of a finished film again; all else stays to the bit."),
    ("--takes", "N", "So many takes of that stretch; the best by its scores is chosen. [1]"),
    ("--take", "K", "The take to see, whatever the scores say; 0: what was there before."),
    ("--from-draft", "FILE", "The film whose draft this is: it keeps the keyframes."),
    ("--strength", "0..1", "Re-render the one --video; how far from it the film may go."),
)
DRAFT_OUT = "film.draft.mp4"


def film_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `generate` and `plan` share, as keyword arguments of text."""
    several = [
        click.option("--draft", is_flag=True, help=_DRAFT),
        click.option("--image", "images", multiple=True, metavar="[TIME=]FILE", help=_IMAGE),
        click.option("--video", "videos", multiple=True, metavar="[TIME=]FILE", help=_VIDEO),
        click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help=_SET),
    ]
    single = [click.option(name, metavar=m, help=text) for name, m, text in FILM_OPTIONS]

    for option in reversed([*single, *several]):
        function = option(function)
    return function


_DRAFT = f"A quick pass: keyframes, and blends of them between. [{DRAFT_OUT}]"
_IMAGE = "A picture pinned at TIME seconds or at the `end`; at the beginning without TIME."
_VIDEO = "A video pinned there: one is continued, several are linked."
_SET = "Turn a knob of the model's recipe; `longtake systems NAME` lists them."


@verb(
    "generate",
    (
        "longtake generate 'a calm sea at dawn' --seconds 60 --out sea.mp4",
        "longtake generate harbour.toml --image end=storm.jpg --seed 7 --json",
    ),
    short_help="Make a film of a prompt or a storyboard.",
)
@click.argument("brief")
@film_options
def generate(voice: Voice, brief: str, **values: Any) -> None:
    """Make a film of BRIEF: a prompt, or a storyboard file (.toml).

    Stop it at any time; the same command goes on where it stopped, and the film is the same.

    A film without end (--seconds inf) goes to a pipe (--out -, fragmented MP4) or an HLS playlist
    (--out NAME.m3u8) until Ctrl-C; it keeps only the steps it may still need.
    """
    from longtake import api
    from longtake.cli.progress import summary, told
    from longtake.cli.train import train_at_first_use

    options, place = options_of(values), places_of(values)
    out = place["out"]
    if voice.json and out == STDOUT:
        raise InputError("stdout takes the film or JSON lines", "--out -, --json", "--out film.mp4")
    folder = _checked_folder(place, brief, options)
    if folder is not None:
        resumable()
    train_at_first_use(brief, options, voice)
    with _all_to_stderr(out):
        order = api.order_of(brief, options, run=folder, executor=place["executor"], film=out)
    _announce(order.job, voice)
    with _stoppable():
        events = api.written(order, out, place["audio"], place["sheet"])
        kept = getattr(order.store, "path", None)  # of an endless film, a folder in the run folder
        noted = kept is None
        for event in told(events, voice):
            if not noted:
                noted = remember(kept, out, brief, order.options)
            voice.line(event.line())
            if isinstance(event, Done):
                (voice.note if out == STDOUT else voice.say)(summary(event))


@verb(
    "plan",
    (
        "longtake plan 'a calm sea at dawn' --seconds 60 --out sea.mp4",
        "longtake plan --scheme hierarchy:window=20,step=10 --frames 1000 --given 0-35 --json",
        "longtake plan --train skies --size 128x128",
    ),
    short_help="Say what a film would take; run nothing.",
)
@click.argument("brief", required=False)
@click.option("--given", metavar="A-B,..", help="Without BRIEF: indices that are there already.")
@click.option("--train", metavar="NAME", help="Instead: what training this system would take.")
@film_options
def plan(
    voice: Voice, brief: str | None, given: str | None, train: str | None, **values: Any
) -> None:
    """Say what a film would take: steps, waves, what is cached, why, time and memory. Runs nothing.

    Without BRIEF, a --scheme and --frames are planned without any model. With --train, a step of
    training is measured: parameters, places a frame, memory, seconds.
    """
    from longtake import api

    options = options_of(values)
    if train is not None:
        if brief is not None or given is not None:
            what = "--train goes without a brief and --given"
            raise InputError(what, "longtake plan", f"longtake plan --train {train}")
        _budget(train, options, voice)
        return
    if brief is None:
        plans.show(plans.scheme_lines(options, given or ""), voice, "")
        return
    if given is not None:
        what = "--given goes with a scheme alone"
        raise InputError(what, "longtake plan", "--image or --video with a brief")
    if re.search(r"\.py:\w+$", brief) and "model" not in options:
        options["model"], brief = brief, "a plan"
    if values["out"] is None and is_endless(brief, options):
        values["out"] = f"film{PLAYLIST}"
    place = places_of(values)
    check_executor(place["executor"])
    folder = _checked_folder(place, brief, options)
    # a storyboard is read once more than needed; its text is short
    job = job_of(brief, remembered(read_brief(brief, options) or brief, options, place["out"]))
    api.check_fit(job)
    plans.show_job(job, folder, voice)


def _budget(name: str, options: Options, voice: Voice) -> None:
    """What training a system would take."""
    from longtake.brief.systems import make_system
    from longtake.cli.budget import budget_lines, show_budget
    from longtake.prompts.storyboard import read_size

    extra = next((key for key in options if key not in ("size", "settings", "scheme")), None)
    if extra is not None:
        hint = "--size, --scheme, --set"
        raise InputError(f"--{extra.rstrip('s')} goes without --train", "longtake plan", hint)
    told = {key: options[key] for key in ("settings", "scheme") if key in options}
    system = make_system({"model": name, **told})
    size = read_size(options.get("size") or system.size)
    lines = budget_lines(system, size)
    show_budget(lines, voice, f"training {system.name} at {size[0]}x{size[1]}")


def options_of(values: dict[str, Any]) -> Options:
    """What `job_of` wants to know, without what was not said."""
    told = ("model", "scheme", "seconds", "frames", "fps", "size", "seed", "device")
    names = (*told, "strength", "repair", "redo", "takes", "take", "from_draft")
    found: dict[str, Any] = {name: values[name] for name in names if values.get(name) is not None}
    for name in ("model", "scheme", "device"):
        if not found.get(name, "-").strip():
            raise InputError("an empty value", f"--{name}", f"no --{name}: there is one by itself")
    found |= {name: tuple(values[name]) for name in ("images", "videos") if values[name]}
    settings = dict(_pair(text) for text in values["sets"])
    if values.get("noise") is not None:
        settings["noise"] = values["noise"]
    if settings:
        found["settings"] = settings
    if values.get("draft"):
        found["draft"] = True
    return cast(Options, found)


def places_of(values: dict[str, Any]) -> dict[str, Any]:
    """Where things go and who computes."""
    names = ("out", "run", "executor", "audio", "sheet")
    defaults = {"out": DRAFT_OUT if values.get("draft") else OUT, "executor": "serial"}
    for name in names:
        if values[name] is not None and not values[name].strip():
            raise InputError("an empty value", f"--{name}", defaults.get(name, "a path"))
    return {name: values[name] or defaults.get(name) for name in names}


def _checked_folder(place: dict[str, Any], brief: str, options: Options) -> Path | str | None:
    """The run folder, when it and every file that is asked for can be where they are to be.

    None: finished steps live in memory.
    """
    from longtake import api

    out, sound, sheet = place["out"], place["audio"], place["sheet"]
    used, endless = used_files(brief, options), is_endless(brief, options)
    api.check_places(out, audio=sound, sheet=sheet, used=used, endless=endless)
    return api.run_folder(out, place["run"], draft_of(options))


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT end what is going on as Ctrl-C does, so that the film is brought to an end.

    SIGINT too, for shells have background jobs ignore it, and a film without end must not.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _all_to_stderr(out: str) -> AbstractContextManager[object]:
    """What a model's file prints while it is read does not get into a film on stdout."""
    return redirect_stdout(sys.stderr) if out == STDOUT else nullcontext()


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name.strip():
        raise InputError(f"'{text}' turns no knob", "--set", "--set KNOB=VALUE")
    return name.strip().replace("-", "_"), value


def _announce(job: Job, voice: Voice) -> None:
    """What the encoder read out of each prompt, if it can say so."""
    read = getattr(job.system.encoder, "understood", None)
    if read is None or voice.json or voice.quiet:
        return
    for number, cue in enumerate(job.cues[:20], 1):
        shown = getattr(job.system.encoder, "shown", ()) if cue.pictured else ()
        heard = {name: value for name, (value, _) in read(cue.prompt).items()}
        told = [f"{name} {value}" for name, value in heard.items() if name not in shown]
        told += [f"{name} as the picture shows it" for name in heard if name in shown]
        words = ", ".join(told)
        shot = f"shot {number} from {cue.start:g} s: " if len(job.cues) > 1 else "understood: "
        voice.note(f"{shot}{words or 'nothing this model can show; anything may come'}")
