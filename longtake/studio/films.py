"""Films on disk: one folder each, which holds all that it is made of and nothing of anybody else.

FOLDER/jobs.jsonl              the journal
FOLDER/figures.json            how fast films were made here, and with how much memory
FOLDER/USER/VIDEO/
    film.json                  what was asked: model, scheme, repair, settings, title
    board/storyboard.toml      the shots, and beside it the pictures and videos that they pin
    film.mp4, film.part.mp4    the film; while it grows, its part; likewise film.draft.mp4
    scores.json                what was measured of the finished film
    takes/                     a stretch that was made again, as each take of it looks
    film.run/                  finished steps
    events.jsonl               the engine's event lines, and those of the queue
    pictures/                  one small picture a step
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from longtake.brief import DEFAULT_SECONDS, Options, job_of
from longtake.brief.numbers import read_fps, read_frames, read_repair, read_seed
from longtake.brief.systems import load_system
from longtake.controls import Planner, PlansFiner, Shot, Storyboard
from longtake.engine.job import Job
from longtake.errors import InputError, nearest
from longtake.prompts.planners import Sentences
from longtake.prompts.storyboard import (
    FILM_KEYS,
    SHOT_KEYS,
    parse_storyboard,
    read_size,
    storyboard_text,
)
from longtake.studio.limits import Limits
from longtake.video.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

Line = dict[str, Any]
ID = re.compile(r"video_[0-9a-f]{24}")
MEDIA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ASKED = ("model", "scheme", "repair", "settings")
CHANGES = (*ASKED, "title", "approved")
BRIEF = ("prompt", "seconds", "frames", "fps", "size", "seed", "storyboard", "title", "start")


@dataclasses.dataclass(frozen=True)
class Film:
    """A film's folder."""

    id: str
    owner: str
    folder: Path

    @property
    def storyboard(self) -> Path:
        """Its shots."""
        return self.board / "storyboard.toml"

    @property
    def out(self) -> Path:
        """The finished film."""
        return self.folder / "film.mp4"

    @property
    def draft(self) -> Path:
        """The finished draft."""
        return self.folder / "film.draft.mp4"

    @property
    def takes(self) -> Path:
        """How the takes look of the stretch that was last made again."""
        return self.folder / "takes"

    @property
    def scores(self) -> Path:
        """What was measured of the finished film."""
        return self.folder / "scores.json"

    @property
    def run(self) -> Path:
        """Its finished steps."""
        return self.folder / "film.run"

    @property
    def events(self) -> Path:
        """What happened to it."""
        return self.folder / "events.jsonl"

    @property
    def pictures(self) -> Path:
        """One small picture a step."""
        return self.folder / "pictures"

    @property
    def board(self) -> Path:
        """Where the storyboard lies, and the pictures and videos that it pins."""
        return self.folder / "board"

    def asked(self) -> Line:
        """What `film.json` says."""
        found = json.loads((self.folder / "film.json").read_text(encoding="utf-8"))
        return dict(found)

    def ask(self, fields: Mapping[str, Any]) -> None:
        """Replaces `film.json`, wholly or not at all."""
        write_whole(self.folder / "film.json", json.dumps(fields, indent=1))

    def text(self) -> str:
        """The storyboard as TOML."""
        return self.storyboard.read_text(encoding="utf-8")

    def files(self) -> list[Path]:
        """Uploaded media by name."""
        files = self.board.iterdir() if self.board.is_dir() else ()
        return sorted(
            file for file in files if MEDIA_NAME.fullmatch(file.name) and file != self.storyboard
        )


class Shelf:
    """All films of all users below one folder."""

    def __init__(
        self,
        folder: Path,
        models: Mapping[str, str],
        device: str,
        limits: Limits,
        planner: Planner | None = None,
    ) -> None:
        """models: what `--model` is told, by the name under which users choose it.

        planner: makes shots of prompts, instead of the model's own or ours.
        """
        self.folder, self.models, self.device, self.limits = folder, models, device, limits
        self.planner = planner

    @property
    def figures(self) -> Path:
        """How fast films were made here."""
        return self.folder / "figures.json"

    def film(self, owner: str, name: str) -> Film:
        """A film's places, whether or not it is there; KeyError for what cannot be an id."""
        if not ID.fullmatch(name):
            raise KeyError(name)
        return Film(name, owner, self.folder / owner / name)

    def of(self, owner: str) -> Iterator[Film]:
        """A user's films."""
        place = self.folder / owner
        for entry in sorted(place.iterdir()) if place.is_dir() else ():
            if ID.fullmatch(entry.name) and (entry / "film.json").is_file():
                yield Film(entry.name, owner, entry)

    def create(self, owner: str, asked: Mapping[str, Any]) -> Film:
        """A new film out of a request's fields; InputError before anything is written."""
        _check_keys(asked, (*ASKED, *BRIEF), "the request")
        own = self.choices(asked)
        film = self.film(owner, f"video_{secrets.token_hex(12)}")
        text = self._brief(asked, own, film.board)
        job = self.check(film, text, own)
        title = asked.get("title", "")
        if not isinstance(title, str) or len(title) > 200:
            raise InputError("the title is no text of at most 200 characters", "title", '"A storm"')
        film.board.mkdir(parents=True)
        write_whole(film.storyboard, text)
        film.ask({**own, "title": title.strip(), "summary": summary(job)})
        return film

    def edit(self, film: Film, text: str) -> Job:
        """Replaces a film's storyboard by TOML that can be made; InputError, and nothing changed."""
        asked = film.asked()
        job = self.check(film, text, asked)
        write_whole(film.storyboard, text)
        film.ask({**asked, "summary": summary(job)})
        return job

    def choose(self, film: Film, fields: Mapping[str, Any]) -> None:
        """Changes model, scheme, repair, settings or title of a film, or which of its shots are approved."""
        _check_keys(fields, CHANGES, "the request")
        if "approved" in fields:
            fields = {**fields, "approved": approvals(film, fields["approved"])}
        asked = {**film.asked(), **fields}
        chosen = {**asked, **self.choices({name: asked[name] for name in ASKED if name in asked})}
        chosen["summary"] = summary(self.check(film, film.text(), chosen))
        film.ask(chosen)

    def keep_draft(self, film: Film) -> None:
        """From now on the film has a draft, whose keyframes it keeps; InputError where it cannot have one."""
        asked = film.asked()
        self.check(film, film.text(), asked, draft=True)
        film.ask({**asked, "drafted": True})

    def choices(self, asked: Mapping[str, Any]) -> Line:
        """Model, scheme, repair and settings, checked; no file can be named by any of them."""
        model = asked.get("model") or next(iter(self.models))
        if not isinstance(model, str) or model not in self.models:
            near = nearest(str(model), self.models)
            raise InputError(f"no model '{model}' here", "model", near)
        scheme = asked.get("scheme") or ""
        if not isinstance(scheme, str):
            raise InputError("the scheme is no text", "scheme", '"unified"')
        settings = asked.get("settings") or {}
        plain = isinstance(settings, dict) and all(_is_number(v) for v in settings.values())
        if not plain:
            what = "settings are numbers, true or false here"
            raise InputError(what, "settings", '{"steps": 12}')
        repair = read_repair(asked.get("repair") or "report")
        return {"model": model, "scheme": scheme, "repair": repair, "settings": settings}

    def options(self, asked: Mapping[str, Any], draft: bool = False) -> Options:
        """What `job_of` is told besides the storyboard; a film that had a draft keeps its keyframes."""
        found = Options(model=self._model(asked), repair=asked["repair"])
        if asked["scheme"]:
            found["scheme"] = asked["scheme"]
        if asked["settings"]:
            found["settings"] = asked["settings"]
        if self.device:
            found["device"] = self.device
        if draft:
            found["draft"] = True
        elif asked.get("drafted"):
            found["from_draft"] = True
        return found

    def _model(self, asked: Mapping[str, Any]) -> str:
        name = asked["model"]
        if name not in self.models:  # the studio was started with other models than before
            raise InputError(f"no model '{name}' here", "model", nearest(str(name), self.models))
        return self.models[name]

    def check(self, film: Film, text: str, asked: Mapping[str, Any], draft: bool = False) -> Job:
        """The job that a storyboard asks for; InputError where it cannot be made or is too much."""
        board = parse_storyboard(text, folder=film.board)
        limits = self.limits
        if len(board.shots) > limits.shots:
            raise InputError(f"{len(board.shots)} shots", "storyboard", f"at most {limits.shots}")
        if any(math.isinf(shot.seconds) for shot in board.shots):
            raise InputError("a film in the studio has an end", "seconds", "seconds = 3600")
        job = job_of(board, self.options(asked, draft))
        frames = job.frames or 0
        if frames > limits.frames:
            raise InputError(f"a film of {frames} frames", "seconds", f"at most {limits.frames}")
        if job.size[0] * job.size[1] > limits.pixels:
            near = f"at most {limits.pixels} pixels, as in 1920x1080"
            raise InputError(f"frames of {job.size[0]}x{job.size[1]}", "size", near)
        return job

    def storyboard(self, asked: Mapping[str, Any]) -> str:
        """A prompt and a length as TOML: the shots that the studio's planner, the model's or else ours makes."""
        _check_keys(asked, (*ASKED, *BRIEF), "the request")
        return self._brief(asked, self.choices(asked), self.folder, plans=True)

    def _brief(
        self,
        asked: Mapping[str, Any],
        own: Line,
        folder: Path,
        *,
        plans: bool = False,
    ) -> str:
        given = asked.get("storyboard")
        if given is not None:
            extra = next((name for name in BRIEF[:6] if asked.get(name) is not None), None)
            if extra is not None:
                raise InputError(f"both a storyboard and {extra}", extra, "one of the two")
            return given if isinstance(given, str) else toml_of(given)
        prompt = asked.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise InputError("no prompt", "prompt", '"a calm sea at dawn"')
        if len(prompt) > 32_000:
            what = f"a prompt of {len(prompt)} characters"
            raise InputError(what, "prompt", "at most 32000, or a storyboard")
        system = load_system(self._model(own), settings=own["settings"], scheme=own["scheme"])
        fps = None if asked.get("fps") is None else read_fps(asked["fps"])
        rate = Fraction(system.fps) if fps is None else fps
        frames = read_frames(asked.get("seconds"), asked.get("frames"), rate)
        seconds = DEFAULT_SECONDS if frames is None else float(frames / rate)
        shots: tuple[Shot, ...] = (Shot(prompt.strip(), seconds),)
        planner = system.planner
        if plans:  # a person looks at the shots before anything is made of them
            finer = planner.by_sentences() if isinstance(planner, PlansFiner) else planner
            planner = self.planner or finer or Sentences()
        if planner is not None:
            shots = planner.plan(prompt.strip(), seconds)
        board = Storyboard(
            shots,
            None if asked.get("seed") is None else read_seed(asked["seed"]),
            None if fps is None else float(fps),
            None if asked.get("size") is None else read_size(asked["size"], "size"),
        )
        return storyboard_text(board, folder)

    def media_place(self, film: Film, name: str) -> Path:
        """Where a file of that name is kept; InputError for other names than plain ones."""
        suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
        if not MEDIA_NAME.fullmatch(name) or Path(name).suffix.lower() not in suffixes:
            hint = "letters, digits, dots and dashes, as in harbour.jpg"
            raise InputError("no name for a picture or a video", ascii(name), hint)
        return film.board / name

    def remove(self, film: Film) -> None:
        """Deletes a film's folder: first its name, so that half of one is never seen."""
        gone = film.folder.with_name(f".gone-{secrets.token_hex(8)}")
        os.replace(film.folder, gone)
        shutil.rmtree(gone, ignore_errors=True)


def summary(job: Job) -> Line:
    """What a list says of a film."""
    return {
        "frames": job.frames,
        "fps": float(job.fps),
        "seconds": float((job.frames or 0) / job.fps),
        "size": list(job.size),
        "shots": len(job.cues),
        "prompt": job.cues[0].prompt[:1000] if job.cues else "",
    }


def approvals(film: Film, shots: Any) -> list[str]:
    """Marks of shots by number, from 1 on: one that is changed afterwards has another mark."""
    known = marks(film)
    whole = isinstance(shots, list) and all(type(n) is int and 0 < n <= len(known) for n in shots)
    if not whole:
        what = "approved is no list of shots' numbers"
        raise InputError(what, "approved", f"[1], up to {len(known)}")
    return sorted({known[n - 1] for n in shots})


def numbers(film: Film, approved: Collection[str]) -> list[int]:
    """The shots whose marks these are; no storyboard is read where nothing was approved."""
    known = marks(film) if approved else []
    return [n for n, mark in enumerate(known, 1) if mark in approved]


def marks(film: Film) -> list[str]:
    """Of every shot, one for its state."""
    shots = json_of(film.text(), film.board)["shot"]
    return [digest(json.dumps([n, shot], sort_keys=True)) for n, shot in enumerate(shots)]


def digest(text: str) -> str:
    """A storyboard's name for one state of it, as an entity tag uses it."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def toml_of(board: Any) -> str:
    """The TOML of a storyboard in JSON: the same keys, `shot` a list; the strict reader judges it."""
    if not isinstance(board, dict):
        raise InputError("the storyboard is no object", "storyboard", '{"shot": [{"prompt": ..}]}')
    _check_keys(board, FILM_KEYS, "storyboard")
    shots = board.get("shot")
    if not isinstance(shots, list) or not all(isinstance(shot, dict) for shot in shots):
        raise InputError("no shots", "storyboard", '"shot": [{"prompt": "..", "seconds": 10}]')
    lines = [_pair(key, board[key], "storyboard") for key in board if key != "shot"]
    for number, shot in enumerate(shots, 1):
        _check_keys(shot, SHOT_KEYS, f"shot {number}")
        lines += ["", "[[shot]]"]
        lines += [_pair(key, value, f"shot {number}") for key, value in shot.items()]
    return "\n".join([*(line for line in lines if line is not None), ""]).lstrip("\n")


def json_of(text: str, folder: Path) -> Line:
    """A storyboard's TOML as the JSON that `toml_of` takes."""
    board = parse_storyboard(text, folder=folder)
    whole: Line = {"seed": board.seed, "fps": board.fps}
    whole["size"] = None if board.size is None else f"{board.size[0]}x{board.size[1]}"
    shots = []
    for shot in board.shots:
        pins = {"image": list[str](), "video": list[str]()}
        for pin in shot.pins:
            path = Path(pin.path).relative_to(folder.resolve()).as_posix()
            at = pin.at if isinstance(pin.at, str) else f"{pin.at:g}"
            pins[pin.kind].append(f"{at}={path}")
        told = {"prompt": shot.prompt, "seconds": shot.seconds, "cut": shot.cut}
        own = {} if shot.seed is None else {"seed": shot.seed}
        shots.append({**told, **own, "images": pins["image"], "videos": pins["video"]})
    return {**{k: v for k, v in whole.items() if v is not None}, "shot": shots}


def write_whole(place: Path, text: str) -> None:
    """Writes a small file wholly or not at all."""
    fresh = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, place)


def _pair(key: str, value: Any, where: str) -> str | None:
    if value is None or value == []:
        return None
    if isinstance(value, bool):
        return f"{key} = {'true' if value else 'false'}"
    if isinstance(value, (int, float)):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        return f"{key} = {int(value) if whole else value!r}"  # as a browser writes numbers
    if isinstance(value, str):
        return f"{key} = {_quoted(value)}"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return f"{key} = [{', '.join(map(_quoted, value))}]"
    raise InputError(f"{key} is neither text, number nor list of texts", where, "a plain value")


def _quoted(text: str) -> str:
    """JSON's strings are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"unknown key {key!a}", where, nearest(key, known))
