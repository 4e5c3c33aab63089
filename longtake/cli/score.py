"""`score`: videos measured, bounds checked, a page written."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from longtake import __version__
from longtake.cli.base import Voice, verb
from longtake.errors import ClaimError, InputError, nearest

if TYPE_CHECKING:
    from longtake.cli.report import Shown
    from longtake.controls import Shot
    from longtake.metrics import Film, Findings
    from longtake.metrics.watching import Watch

_SIGNS = (">=", "<=", ">", "<")
_AROUND = 16  # evenly spread pictures of a film on a page
_WORST = 8  # of what stands out

Bound = tuple[str, str, float]
Values = dict[str, list[tuple[str, float]]]  # by metric, of every film under its label


@verb(
    "score",
    (
        "longtake score film.mp4 --reference sky --report film.html",
        "longtake score samples/ --reference real/ --protocol tfvd-set",
        "longtake score a.mp4 b.mp4 --metrics drift,seams --fail-if 'drift>0.2' --json",
        "longtake score ours/ theirs/ --study study.html",
    ),
    short_help="Measure videos.",
)
@click.argument("videos", nargs=-1, required=True)
@click.option("--reference", metavar="SPEC", help="What they are compared with: a video, or sky.")
@click.option("--metrics", "lists", multiple=True, metavar="A,B", help="Only these.")
@click.option("--metric", "singles", multiple=True, metavar="NAME", help="Only this; repeatable.")
@click.option(
    "--features", metavar="NAME[=FILE]", default="", help="What fvd and kvd look through."
)
@click.option("--prompt", metavar="TEXT", help="What a film should show: agreement, clipsim.")
@click.option("--storyboard", metavar="FILE.toml", help="The same, shot by shot; shot-changes.")
@click.option("--protocol", metavar="TITLE", help="VIDEOS as one set, against --reference.")
@click.option(
    "--study",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="A page that asks people which of two is better.",
)
@click.option("--answers", multiple=True, metavar="FILE", help="What a study's page saved.")
@click.option("--report", metavar="FILE.html", type=click.Path(path_type=Path), help="Also a page.")
@click.option("--fail-if", "bounds", multiple=True, metavar="NAME>VALUE", help="Exit 1 if so.")
def score(
    voice: Voice,
    videos: tuple[str, ...],
    reference: str | None,
    lists: tuple[str, ...],
    singles: tuple[str, ...],
    features: str,
    prompt: str | None,
    storyboard: str | None,
    protocol: str | None,
    study: Path | None,
    answers: tuple[str, ...],
    report: Path | None,
    bounds: tuple[str, ...],
) -> None:
    """Measure VIDEOS; `sky` as --reference stands for the built-in world.

    Each line is a score with its protocol: the name of exactly one way to measure. Scores of
    different protocols do not compare.
    """
    limits = [_bound(text) for text in bounds]
    asked = [name.strip() for text in lists for name in text.split(",") if name.strip()]
    metrics = [*asked, *singles]
    if study is not None or answers:
        others = (reference, metrics, features, prompt, storyboard, protocol, report)
        if any(others) or len(videos) != 2 or (study is not None and (answers or limits)):
            what = "people compare two films, or two folders of films, and nothing else"
            raise InputError(what, "--study", "longtake score ours/ theirs/ --study study.html")
        found = _preferred(voice, (videos[0], videos[1]), study, answers, limits)
        _hold(found, limits)
        return
    if protocol is not None:
        if reference is None or metrics or report is not None:
            what = "a protocol measures two sets, and nothing else"
            raise InputError(
                what, "--protocol", "--reference FOLDER beside it, no --metrics, no --report"
            )
        found = _sets(voice, videos, reference, protocol, features, limits)
        _hold(found, limits)
        return
    if report is not None:
        _check_report(report, videos)
    shots = _shots(prompt, storyboard)
    found, shown = _measured(
        voice, videos, reference, metrics, features, shots, limits, report is not None
    )
    if report is not None:
        from longtake.cli.report import page

        words = ["longtake", "score", *videos, *_words("--reference", reference)]
        words += [*_words("--metrics", ",".join(metrics)), *_words("--features", features)]
        words += [*_words("--prompt", prompt), *_words("--storyboard", storyboard)]
        _write(report, page(shown, shlex.join([*words, "--report", str(report)]), __version__))
        voice.note(f"the report is in {report}")
    _hold(found, limits)


def _preferred(
    voice: Voice,
    videos: tuple[str, str],
    study: Path | None,
    answers: tuple[str, ...],
    limits: list[Bound],
) -> Values:
    """Writes a study's page, or tells what people answered."""
    from longtake.cli.study import answers_of, page_of

    if study is not None:
        _check_report(study, videos, "--study")
        _write(study, page_of(*videos, "Which film is better?"))
        voice.note(f"the study is in {study}")
        return {}
    for name, _, _ in limits:
        if name != "preference":
            raise InputError(f"no score '{name}'", "--fail-if", "preference")
    value = answers_of(answers, *videos)
    voice.line({"event": "scored", "metric": "preference", **value.line()})
    low, high = value.detail["low"], value.detail["high"]
    voice.say(f"{'preference':<14}{value.value:.3f} ({low:.3f} to {high:.3f})  {value.verdict}")
    return {"preference": [("preference", value.value)]}


def _shots(prompt: str | None, storyboard: str | None) -> tuple[Shot, ...]:
    """What the films were asked to show."""
    from longtake.controls import Shot
    from longtake.prompts.storyboard import read_storyboard

    if prompt is not None and storyboard is not None:
        raise InputError("a prompt and a storyboard", "--prompt", "one of them")
    if prompt is not None:
        return (Shot(prompt, float("inf")),)
    return read_storyboard(storyboard).shots if storyboard is not None else ()


def _words(option: str, value: str | None) -> list[str]:
    return [option, value] if value else []


def _hold(found: Values, limits: list[Bound]) -> None:
    """Raises ClaimError where a bound is broken."""
    for name, sign, limit in limits:
        for label, number in found[name]:
            if _breaks(number, sign, limit):
                raise ClaimError(f"{label} is {number:g}", f"--fail-if {name}{sign}{limit:g}")


def _sets(
    voice: Voice,
    videos: tuple[str, ...],
    reference: str,
    protocol: str,
    features: str,
    limits: list[Bound],
) -> Values:
    from longtake.metrics import score_sets

    for name, _, _ in limits:
        if name != protocol:
            raise InputError(f"no score '{name}'", "--fail-if", protocol)
    value = score_sets(videos, [reference], protocol, features=features)
    voice.line({"event": "scored", "metric": protocol, **value.line()})
    voice.say(f"{protocol:<14}{value.value:<12.5g}{value.protocol}")
    return {protocol: [(protocol, value.value)]}


def _measured(
    voice: Voice,
    videos: tuple[str, ...],
    reference: str | None,
    metrics: list[str],
    features: str,
    shots: tuple[Shot, ...],
    limits: list[Bound],
    paged: bool,
) -> tuple[Values, list[Shown]]:
    """Every film's scores, told as they come: values by metric, and what a page shows."""
    from longtake.metrics import examine
    from longtake.metrics.shelf import film_of, told, usual
    from longtake.metrics.watching import Watch

    names = metrics or usual(reference)
    for name, _, _ in limits:
        if name not in names:
            raise InputError(f"no score '{name}'", "--fail-if", nearest(name, names))
    films = [dataclasses.replace(film_of(video), features=features) for video in videos]
    films = [dataclasses.replace(film, shots=told(shots, film.fps)) for film in films]
    found: Values = {name: [] for name in names}
    shown = []
    for video, film in zip(videos, films, strict=True):
        watch = Watch()
        findings = examine(film, reference, metrics, [watch] if paged else [])
        head = f"{film.name}:" if len(films) > 1 else ""
        for name, value in findings.scores.items():
            found[name].append((head + name, value.value))
            voice.line({"event": "scored", "metric": head + name, **value.line()})
            voice.say(f"{head + name:<14}{value.value:<12.5g}{value.verdict:<24}{value.protocol}")
        for name, why in findings.silent.items():
            voice.note(f"{head}{name} is left out: {why}")
        if paged:
            shown.append(_shown(film, video, findings, watch))
    for name, _, _ in limits:
        if not found[name]:
            raise InputError(f"no score '{name}' of these films", "--fail-if", "--metrics " + name)
    return found, shown


def _shown(film: Film, video: str, findings: Findings, watch: Watch) -> Shown:
    from longtake.cli.report import Shown
    from longtake.keys import file_fingerprint
    from longtake.metrics.watching import points_of, small
    from longtake.video import read_frames
    from longtake.video.pictures import png_of

    points = points_of(findings.scores)
    worst = []
    last = (watch.frames - 1) / watch.fps
    # Seams can be many, and must not crowd out what is seen in no curve.
    for point in sorted(points, key=lambda point: point.metric == "seams")[:_WORST]:
        frame = next(iter(read_frames(video, start=max(0.0, min(point.at, last - 1e-6)))))
        worst.append((point.at, png_of(small(frame)), point.text))
    every = watch.pictures()
    chosen = every[:: max(1, -(-len(every) // _AROUND))]
    pictures = [(at, png_of(picture)) for at, picture in chosen]
    seconds, curves = watch.curves()
    content = "" if os.path.isdir(video) else f", SHA-256 {file_fingerprint(Path(video))}..."
    facts = f"{video}: {watch.frames} frames at {watch.fps:g}/s{content}"
    length = watch.frames / watch.fps
    return Shown(film.name, findings, length, seconds, curves, points, pictures, worst, facts)


def _bound(text: str) -> Bound:
    for sign in _SIGNS:
        name, mark, value = text.partition(sign)
        if mark:
            try:
                number = float(value)
            except ValueError:
                break
            if number == number:  # not-a-number bounds nothing
                return name.strip(), sign, number
            break
    raise InputError(f"'{text}' is not a bound", "--fail-if", "--fail-if 'drift>0.1'")


def _breaks(number: float, sign: str, limit: float) -> bool:
    return {
        ">": number > limit,
        "<": number < limit,
        ">=": number >= limit,
        "<=": number <= limit,
    }[sign]


def _check_report(place: Path, videos: tuple[str, ...], option: str = "--report") -> None:
    """Refuses a place where no page can be, before anything is measured."""
    parent = place.absolute().parent
    if place.suffix.lower() not in (".html", ".htm"):
        raise InputError("a report is an HTML page", f"{option} {place}", f"{place.stem}.html")
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError("cannot write into the folder", str(parent), "an existing folder")
    if place.is_dir() or os.path.realpath(place) in map(os.path.realpath, videos):
        raise InputError("something else is there", f"{option} {place}", "another name")


def _write(place: Path, text: str) -> None:
    growing = place.with_name(f".{place.name}.tmp")
    try:
        growing.write_text(text, encoding="utf-8")
        os.replace(growing, place)
    finally:
        growing.unlink(missing_ok=True)
