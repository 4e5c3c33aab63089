"""What was asked, as plain data that moves with a folder: for `films.json` of runs and for manifests.

No torch here.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from longtake import recipes
from longtake.brief import Brief, Options, job_of, read_brief
from longtake.brief.numbers import read_seed
from longtake.brief.redo import read_redone, told_redone
from longtake.controls import Pin, Shot, Storyboard
from longtake.engine.job import Job
from longtake.engine.manifest import manifest_path, read_manifest
from longtake.errors import InputError
from longtake.prompts.storyboard import read_pin
from longtake.system import System

Line = dict[str, Any]
KINDS = (("image", "images"), ("video", "videos"))
DRAFTS = ("draft", "from_draft")
_OWN = ("redone", "shots", "repair")  # of what was asked, what is not of the whole film's making


def kept_pin(pin: Pin, base: Path) -> str:
    """A pin as text, its file relative to `base`."""
    place = os.path.relpath(os.path.realpath(pin.path), os.path.realpath(base))
    return f"{pin.at}={place}"


def kept_pins(options: Options, base: Path) -> dict[str, list[str]]:
    """The options `images` and `videos` with files relative to `base`."""
    told = cast(Mapping[str, Iterable[str]], options)
    return {
        many: [
            kept_pin(read_pin(os.fspath(text), kind, f"--{kind}"), base)
            for text in told.get(many, ())
        ]
        for kind, many in KINDS
    }


def moved_pins(note: Mapping[str, Any], base: Path, where: str) -> dict[str, tuple[Pin, ...]]:
    """The pins of a note by option, their files found from `base`."""
    found = {}
    for kind, many in KINDS:
        pins = [read_pin(text, kind, where) for text in note.get(many, ())]
        found[many] = tuple(Pin(pin.at, str(base / pin.path), kind) for pin in pins)
    return found


def kept_model(model: str, base: Path) -> str:
    """A model's name, or its file or folder relative to `base`."""
    path, colon, function = model.rpartition(":")
    if not os.path.exists(path if colon else model):
        return model
    return f"{os.path.relpath(path, base)}:{function}" if colon else os.path.relpath(model, base)


def asked_of(job: Job, brief: Brief, options: Options, base: Path) -> Line:
    """What a manifest in the folder `base` says was asked, settled where the asking left it open.

    brief: a storyboard that has been read, or a prompt, so that no file is read again.

    A System in hand has no name, and a knob turned to a file, or to what is no plain value, none
    either: None stands for them.
    """
    model = options.get("model", "")
    named = None if isinstance(model, System) else str(os.fspath(model)) or recipes.DEFAULT
    pins = [shot.pins for shot in brief.shots] if isinstance(brief, Storyboard) else []
    shots = []
    for number, cue in enumerate(job.cues):
        own = pins[number] if number < len(pins) else ()
        first, end = (round(Fraction(time or 0) * job.fps) for time in (cue.start, cue.stop))
        shots.append(
            {
                "frames": [first, end],
                "prompt": cue.prompt,
                "cut": cue.cut,
                **({} if cue.seed is None else {"seed": cue.seed}),
                **{
                    many: [kept_pin(pin, base) for pin in own if pin.kind == kind]
                    for kind, many in KINDS
                },
            }
        )
    return {
        "model": None if named is None else kept_model(named, base),
        "scheme": options.get("scheme", ""),
        "settings": {
            name: value if is_plain(value) else None
            for name, value in sorted(options.get("settings", {}).items())
        },
        "device": job.device,
        "shots": shots,
        **kept_pins(options, base),
        "strength": job.strength if job.source is not None else None,
        **({"repair": job.repair} if job.repair == "repair" else {}),
        **{name: True for name in DRAFTS if options.get(name)},
        **({"redone": told_redone(job.redone)} if job.redone else {}),
    }


def remembered(brief: Brief, options: Options, film: str | os.PathLike[str] | None) -> Options:
    """The options for redoing a film, with the redos it has, if the manifest beside it is of this film.

    Other options are given back as they are. InputError where there is a manifest that cannot be read.
    """
    if options.get("redo") is None or film is None or not os.path.isfile(manifest_path(film)):
        return options
    manifest = read_manifest(Path(film))
    told = manifest["asked"].get("redone", [])
    plain = {
        name: value for name, value in options.items() if name not in ("redo", "takes", "take")
    }
    job = job_of(brief, cast(Options, plain))
    asked = json.loads(json.dumps(asked_of(job, brief, options, Path(film).parent)))
    then = {name: value for name, value in manifest["asked"].items() if name != "redone"}
    same = manifest["film"]["frames"] == job.frames and manifest["film"]["fps"] == str(job.fps)
    same = same and manifest["film"]["size"] == list(job.size) and manifest["seed"] == job.seed
    if not told or not same or asked != then:
        return options
    return cast(Options, {**options, "redone": told})


def lasting(brief: Brief, options: Options, film: str | os.PathLike[str]) -> Options:
    """The options for making a film anew, with those of its redos that an edit has left in their place.

    These are the first ones, up to one in which the shots it lies in are others now, or lie
    elsewhere. None where the film was made of another model, scheme or seed, or at another rate or size.
    """
    if not os.path.isfile(manifest_path(film)):
        return options
    try:
        manifest = read_manifest(Path(film))
        read_redone(manifest["asked"].get("redone", []), manifest["film"]["frames"])
    except InputError:  # a film that cannot be read is made as if there were none
        return options
    then, brief = manifest["asked"], read_brief(brief, options) or brief
    job = job_of(brief, options)
    now = json.loads(json.dumps(asked_of(job, brief, options, Path(film).parent)))
    whole = [{k: v for k, v in asked.items() if k not in _OWN} for asked in (then, now)]
    as_made = (manifest["film"]["fps"], manifest["film"]["size"], manifest["seed"])
    if whole[0] != whole[1] or as_made != (str(job.fps), list(job.size), job.seed):
        return options
    told, shots = then.get("redone", []), (then["shots"], now["shots"])
    lines = list(itertools.takewhile(lambda line: _stays(line["frames"], *shots), told))
    return cast(Options, {**options, "redone": lines}) if lines else options


def _stays(span: Sequence[int], then: Sequence[Line], now: Sequence[Line]) -> bool:
    """Whether the shots that hold film frames [first, end) are what they were, where they were."""
    first, end = span
    before = [shot for shot in then if shot["frames"][0] < end]
    places = [[(shot["frames"], shot["cut"]) for shot in shots] for shots in (before, now)]
    held = [shot for shot in before if shot["frames"][1] > first]
    return places[0] == places[1][: len(before)] and all(
        shot == now[then.index(shot)] for shot in held
    )


def is_plain(value: Any) -> bool:
    """Whether a knob's value is a number or a word, and no path of a file."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return os.sep not in value and not (value and os.path.exists(value))
    return isinstance(value, int)


def asking(manifest: Line, base: Path, options: Options, film: str) -> tuple[Storyboard, Options]:
    """The brief and the options that ask for a manifest's film again; nothing is opened.

    options: what the user says anew, a model or its settings. A manifest may come from anybody: it
    can name a built-in model, plain values of its knobs, and pinned media by relative path, but
    no file to run or to read weights from. InputError where it would have to.
    """
    asked, fps = manifest["asked"], Fraction(manifest["film"]["fps"])
    wanted: Line = {
        "scheme": asked["scheme"],
        "device": asked["device"],
        "frames": manifest["film"]["frames"],
        "fps": str(fps),
        "size": tuple(manifest["film"]["size"]),
        "seed": manifest["seed"],
        "model": _model(asked["model"], base, options, film),
        "settings": _settings(asked["settings"], options, film),
    }
    if "redone" in asked:
        wanted["redone"] = asked["redone"]
    wanted["repair"] = "repair" if asked.get("repair") == "repair" else "off"
    wanted |= {name: True for name in DRAFTS if asked.get(name)}
    if asked["strength"] is not None:
        wanted["strength"] = asked["strength"]
    for many, pins in _relative_pins(asked, base, film).items():
        wanted[many] = tuple(f"{pin.at}={pin.path}" for pin in pins)
    shots = []
    for shot in asked["shots"]:
        first, end = shot["frames"]
        own = _relative_pins(shot, base, film)
        seconds = float((end - first) / fps)
        pins = (*own["images"], *own["videos"])
        seed = read_seed(shot["seed"]) if "seed" in shot else None
        shots.append(Shot(shot["prompt"], seconds, pins, shot["cut"], seed=seed))
    said = {name: value for name, value in options.items() if name not in ("model", "settings")}
    return Storyboard(tuple(shots)), cast(Options, {**wanted, **said})


def _model(name: str | None, base: Path, options: Options, film: str) -> str | System:
    own = options.get("model", "")
    if own:
        return own
    if name is None or name.replace("-", "_") not in recipes.names():
        what = "a manifest's word is not enough to load a model that is not built in"
        told = ascii(os.path.normpath(base / name))[1:-1] if name else "FILE.py:FUNCTION"
        raise InputError(what, film, f"--model {told}")
    return name


def _settings(told: Mapping[str, Any], options: Options, film: str) -> Line:
    said = options.get("settings", {})
    for name, value in told.items():
        if name not in said and not is_plain(value):
            what = "a manifest's word is not enough for a knob that names a file"
            raise InputError(what, film, f"--set {ascii(name)[1:-1]}=...")
    return {**told, **said}


def _relative_pins(note: Mapping[str, Any], base: Path, film: str) -> dict[str, tuple[Pin, ...]]:
    for kind, many in KINDS:
        for text in note.get(many, ()):
            if os.path.isabs(read_pin(text, kind, film).path):
                what = f"the manifest names a {kind} by an absolute path"
                raise InputError(what, film, "the manifest that longtake wrote")
    return moved_pins(note, base, film)
