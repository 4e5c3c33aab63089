"""`explain` and `gc`: what a run folder holds, why, and what of it is still needed."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from longtake.brief import Brief, Options, job_of
from longtake.brief.notes import DRAFTS, kept_model, kept_pins, moved_pins
from longtake.cli.base import Voice, verb
from longtake.engine.bucket import Bucket, is_url, path_of
from longtake.engine.job import Job, Keys
from longtake.engine.repair import settled
from longtake.engine.store import ENDLESS, Folder
from longtake.errors import InputError, PlanError, nearest

FILMS = "films.json"


@verb(
    "explain",
    ("longtake explain film.run 12", "longtake explain film.run 12 --json"),
    short_help="Say why a step is what it is.",
)
@click.argument("run")
@click.argument("step", type=int)
def explain(voice: Voice, run: str, step: int) -> None:
    """Say what STEP of the run folder RUN was made of, and what changed since it was made before."""
    from longtake.engine.why import explain as told

    found = told(Bucket(run) if _is_remote(run) else _opened(Path(path_of(run) or run)), step)
    if voice.json:
        voice.line({"event": "explained", **found})
        return
    ancestry = found["ancestry"]
    seen = ", ".join(f"{o['index']} (step {_or_given(o['step'])})" for o in found["observed"])
    rows = {
        "key": f"{found['key']}{'' if found['stored'] else ' (not stored any more)'}",
        "changed": ", ".join(found["changed"]) or "nothing: recorded with one key only",
        "writes": " ".join(map(str, found["targets"])),
        "observed": seen or "nothing",
        "seed": found["seed"],
        **({"take": found["take"]} if "take" in found else {}),
        "attempt": " ".join(filter(None, (str(found["attempt"]), found["faults"]))),
        "scores": ", ".join(f"{n} {s:.2f}" for n, s in found["scores"].items()) or "none",
        "prompts": "; ".join(map(str, found["prompts"])) or "none",
        "seconds": "unknown" if found["seconds"] is None else f"{found['seconds']:.2f}",
        "ancestry": f"{ancestry['depth']} calls in a row, {len(ancestry['steps'])} steps behind it",
    }
    for name, text in rows.items():
        voice.say(f"{name:<10}{text}")
    for name, text in found["parts"].items():
        voice.say(f"  part {name:<12}{text}")


@verb(
    "gc",
    ("longtake gc film.run --dry-run", "longtake gc film.run --json"),
    short_help="Drop what no film needs any more.",
)
@click.argument("run")
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
def gc(voice: Voice, run: str, dry_run: bool) -> None:
    """Drop the clips of the run folder RUN that none of its films needs any more.

    A film's plan is taken afresh from its brief: an edited storyboard no longer needs its old steps.
    """
    if _is_remote(run):
        what = "runs by URL do not know their films"
        raise InputError(what, run, "deleting the whole run there if unwanted")
    store = _opened(Path(path_of(run) or run))
    place = store.path
    films = _films(place)
    if not films:
        raise InputError("no film was recorded here", str(place), "deleting the folder if unwanted")
    needed: set[str] = set()
    for name, film in films.items():
        needed |= _needed(place, name, film, store)
    spare = [key for key in store.keys() if key not in needed]
    size = sum(_size(store, key) if dry_run else store.drop(key) for key in spare)
    kept = sum(1 for _ in store.keys()) - (len(spare) if dry_run else 0)
    voice.line({"event": "swept", "dropped": len(spare), "bytes": size, "kept": kept})
    word = "would drop" if dry_run else "dropped"
    voice.say(
        f"{word} {len(spare)} clips, {size / 2**20:.2f} MiB; {kept} kept for {len(films)} films"
    )


def remember(run: Path, out: str, brief: Brief, options: Options) -> bool:
    """Notes in a run folder which film was asked of it, once the folder stands; whether that is done.

    Paths are kept relative to the run folder, so that film, run and storyboard may move together.
    """
    if not (run / "store.json").is_file():
        return False
    asked = {**options, **kept_pins(options, run)}
    asked |= {name: True for name in DRAFTS if options.get(name)}
    if "model" in options:
        asked["model"] = kept_model(str(options["model"]), run)
    note = {"brief": _kept(str(brief), run), "options": asked}
    films = {**_films(run), os.path.relpath(out, run): note}
    fresh = run / f".{FILMS}.{os.getpid()}"
    try:
        fresh.write_text(json.dumps(films, indent=1))
        os.replace(fresh, run / FILMS)
    except OSError:
        fresh.unlink(missing_ok=True)  # only `gc` misses it
    return True


def _kept(brief: str, run: Path) -> str:
    return os.path.relpath(brief, run) if brief.lower().endswith(".toml") else brief


def _is_remote(run: str) -> bool:
    return is_url(run) and path_of(run) is None


def _opened(run: Path) -> Folder:
    if not (run / "store.json").is_file() and (run / ENDLESS / "store.json").is_file():
        run = run / ENDLESS
    if not (run / "store.json").is_file():
        parent = run.absolute().parent
        names = [p.parent.name for p in parent.glob("*/store.json")] if parent.is_dir() else []
        hint = nearest(run.name, names) if names else "the folder beside a film, as in film.run"
        raise InputError("not a run folder", str(run), hint)
    return Folder(run)


def _films(run: Path) -> dict[str, Any]:
    try:
        table = json.loads((run / FILMS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read it: {error}", str(run / FILMS), "deleting it") from None
    return table if isinstance(table, dict) else {}


def _needed(run: Path, name: str, film: dict[str, Any], store: Folder) -> set[str]:
    """Keys of everything a recorded film is made of."""
    options = dict(film["options"])
    for many, pins in moved_pins(options, run, name).items():
        options[many] = tuple(f"{pin.at}={pin.path}" for pin in pins)
    brief, model = film["brief"], str(options.get("model", ""))
    if brief.lower().endswith(".toml"):
        brief = str(run / brief)
    path, colon, function = model.rpartition(":")
    if os.path.exists(run / (path or model)) and model:
        options["model"] = f"{run / path}{colon}{function}" if colon else str(run / model)
    return keys_of(job_of(brief, Options(**options)), store)  # type: ignore[typeddict-item]


def keys_of(job: Job, store: Folder) -> set[str]:
    """Keys of a job's steps and of its given clips."""
    try:
        needed = set()
        for part in (job, *with_all_takes(job)):
            keys = Keys(part, settled(part, store))
            needed |= {keys.take(call).key for call in part.calls}
    except PlanError:  # it has no end, or chooses as it runs: the journal knows what was made
        needed = {line["key"] for line in store.records()}
    for stage in range(len(job.system.stages)):
        pieces = (*job.pieces.values(), *job.source_pieces.values())
        needed |= {job.piece_key(piece, stage) for piece in pieces}
    return needed


def with_all_takes(job: Job) -> Iterator[Job]:
    """A job for every stretch that was made again, with all the takes of it: any may yet be chosen."""
    for number, redo in enumerate(job.redone):
        takes = tuple(range(1, redo.made + 1))
        redone = (*job.redone[:number], dataclasses.replace(redo, takes=takes, pick=None))
        yield dataclasses.replace(job, redone=redone)


def _size(store: Folder, key: str) -> int:
    file = next(store.path.glob(f"clips/*/{key}.safetensors"), None)
    return 0 if file is None else file.stat().st_size


def _or_given(step: int | None) -> str:
    return "given" if step is None else str(step)
