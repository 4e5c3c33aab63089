"""The table of paths, and the OpenAPI document that is made of it: what is not in the table is not served."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from longtake import __version__
from longtake.studio.limits import TAKES

Line = dict[str, Any]
_TEXT: Line = {"type": "string"}
_NUMBER: Line = {"type": "number"}
_WHOLE: Line = {"type": "integer"}
_FLAG: Line = {"type": "boolean"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A path of the API: handler is the name of a method of `Paths`.

    body, answer: names of schemas. kinds: media types of the body, and of the answer.
    """

    method: str
    path: str
    handler: str
    summary: str
    body: str = ""
    answer: str = ""
    kinds: tuple[tuple[str, ...], tuple[str, ...]] = (("application/json",), ("application/json",))
    query: tuple[tuple[str, Line], ...] = ()
    headers: tuple[tuple[str, Line], ...] = ()
    status: int = 200
    needed: bool = True
    errors: tuple[int, ...] = ()


_BOARD = ("application/json", "application/toml")
_V = "/v1/videos/{id}"
ENTRIES = (
    Entry("GET", "/v1/session", "session", "Who asks, and what may be asked", answer="Session"),
    Entry("POST", "/v1/session", "sign_in", "A cookie for a token", "SignIn", "Session"),
    Entry("DELETE", "/v1/session", "sign_out", "Forget the cookie", status=204),
    Entry("GET", "/v1/models", "models", "What can make films here", answer="List"),
    Entry(
        "POST",
        "/v1/storyboards",
        "storyboard_of",
        "A prompt, or TOML, as a storyboard; nothing is kept",
        "VideoRequest",
        "Storyboard",
        (_BOARD, ("application/json",)),
    ),
    Entry(
        "GET",
        "/v1/videos",
        "videos",
        "Your films, newest first",
        answer="List",
        query=(
            ("limit", {"type": "integer", "minimum": 1, "maximum": 500}),
            ("after", _TEXT),
        ),
    ),
    Entry("POST", "/v1/videos", "create", "Make a film", "VideoRequest", "Video", errors=(429,)),
    Entry("GET", _V, "video", "How a film stands", answer="Video"),
    Entry("PATCH", _V, "change", "Other choices for a film", "VideoChange", "Video"),
    Entry("DELETE", _V, "delete", "Stop a film and delete all of it", answer="Deleted"),
    Entry(
        "POST",
        f"{_V}/start",
        "start",
        "Make it or its draft, or go on",
        "Start",
        "Video",
        needed=False,
        errors=(409, 429),
    ),
    Entry(
        "POST",
        f"{_V}/redo",
        "redo",
        "Make a stretch of it again, or show another take",
        "Redo",
        "Video",
        errors=(409, 429),
    ),
    Entry("GET", f"{_V}/takes", "takes", "The takes of the last such stretch", answer="Any"),
    Entry(
        "GET",
        _V + "/takes/{take}",
        "take",
        "How a take looks",
        kinds=((), ("video/mp4",)),
        headers=(("Range", _TEXT),),
        errors=(416,),
    ),
    Entry("POST", f"{_V}/pause", "pause", "Stop it for a while", answer="Video", errors=(409,)),
    Entry("POST", f"{_V}/cancel", "cancel", "Stop it", answer="Video", errors=(409,)),
    Entry(
        "GET",
        f"{_V}/content",
        "content",
        "The film, or as much as there is",
        kinds=((), ("video/mp4",)),
        headers=(("Range", _TEXT),),
        errors=(416,),
    ),
    Entry("GET", f"{_V}/manifest", "manifest", "What a finished film is", answer="Any"),
    Entry(
        "GET",
        f"{_V}/scores",
        "scores",
        "A finished film's drift, seams and agreement with its prompts, over time",
        answer="Scores",
        errors=(429,),
    ),
    Entry(
        "GET",
        f"{_V}/events",
        "events",
        "What happens, as server-sent events",
        kinds=((), ("text/event-stream",)),
        query=(
            ("after", {"type": "string", "pattern": "^[0-9]{1,15}$"}),
            ("follow", {"type": "string", "enum": ["true", "false"]}),
        ),
        headers=(("Last-Event-ID", _TEXT),),
        errors=(429,),
    ),
    Entry(
        "GET",
        f"{_V}/storyboard",
        "storyboard",
        "Its shots",
        answer="Storyboard",
        kinds=((), (*_BOARD, "application/zip")),
    ),
    Entry(
        "PUT",
        f"{_V}/storyboard",
        "edit",
        "Replace its shots",
        "Storyboard",
        "Storyboard",
        (_BOARD, ("application/json",)),
        headers=(("If-Match", _TEXT),),
        errors=(412, 429),
    ),
    Entry("GET", f"{_V}/plan", "plan", "What would run, and why", answer="Plan", errors=(429,)),
    Entry(
        "POST",
        f"{_V}/plan",
        "plan",
        "What an edit would run again, and why; nothing is kept",
        "Storyboard",
        "Plan",
        (_BOARD, ("application/json",)),
        errors=(429,),
    ),
    Entry(
        "GET",
        _V + "/frames/{number}",
        "frame",
        "What a film frame was made of",
        answer="Any",
        errors=(429,),
    ),
    Entry(
        "GET",
        _V + "/pictures/{name}",
        "picture",
        "The small picture of a step",
        kinds=((), ("image/jpeg",)),
    ),
    Entry("GET", f"{_V}/media", "media", "Files that can be pinned", answer="List"),
    Entry(
        "GET",
        _V + "/media/{name}",
        "media_file",
        "A file that can be pinned",
        kinds=((), ("application/octet-stream",)),
        headers=(("Range", _TEXT),),
        errors=(416,),
    ),
    Entry(
        "PUT",
        _V + "/media/{name}",
        "upload",
        "Keep a picture or a video",
        "Bytes",
        "Any",
        (("application/octet-stream",), ("application/json",)),
    ),
    Entry("DELETE", _V + "/media/{name}", "discard", "Delete such a file", status=204),
)

_PARAMETERS: Mapping[str, Line] = {
    "id": {"type": "string", "pattern": "^video_[0-9a-f]{24}$"},
    "number": {"type": "integer", "minimum": 0},
    "take": {"type": "integer", "minimum": 0, "maximum": TAKES},
    "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
}


def _object(needed: tuple[str, ...] = (), closed: bool = True, **fields: Line) -> Line:
    shape: Line = {"type": "object", "properties": fields}
    if needed:
        shape["required"] = list(needed)
    if closed:
        shape["additionalProperties"] = False
    return shape


def _or_null(shape: Line) -> Line:
    return {"anyOf": [shape, {"type": "null"}]}


_SIZE: Line = {"type": "string", "pattern": "^[0-9]{2,4}x[0-9]{2,4}$", "examples": ["128x128"]}
_PINS: Line = {"type": "array", "items": {"type": "string", "examples": ["0=harbour.jpg"]}}
_CHOICES: Line = {
    "model": _TEXT,
    "scheme": _TEXT,
    "repair": {"type": "string", "enum": ["off", "report", "repair"]},
    "settings": {"type": "object", "additionalProperties": {"type": ["number", "boolean"]}},
    "title": {"type": "string", "maxLength": 200},
}
_SHOT = _object(
    ("prompt", "seconds"),
    prompt=_TEXT,
    seconds={"type": "number", "exclusiveMinimum": 0},
    cut={"type": "boolean", "description": "true: a new take; false: it flows on"},
    seed={"type": "integer", "minimum": 0, "description": "of its own; the film's without it"},
    images=_PINS,
    videos=_PINS,
)
_BOARD_SHAPE = _object(
    ("shot",),
    seed={"type": "integer", "minimum": 0},
    fps={"type": "number", "minimum": 0.1, "maximum": 240},
    size=_SIZE,
    shot={"type": "array", "minItems": 1, "items": _SHOT},
)
SCHEMAS: Mapping[str, Line] = {
    "Any": {"type": "object"},
    "Bytes": {"type": "string", "format": "binary"},
    "Deleted": _object(closed=False, id=_TEXT, object=_TEXT, deleted=_FLAG),
    "Error": _object(
        ("error",),
        error=_object(("message", "type"), closed=False, message=_TEXT, type=_TEXT),
    ),
    "List": _object(("object", "data"), closed=False, object=_TEXT, data={"type": "array"}),
    "Plan": _object(
        ("steps", "to_run", "cached"),
        closed=False,
        frames=_WHOLE,
        fps=_NUMBER,
        to_run=_WHOLE,
        cached=_WHOLE,
        expected_seconds=_or_null(_NUMBER),
        expected_memory=_or_null(_WHOLE),
        steps={"type": "array", "items": {"type": "object"}},
    ),
    "Session": _object(closed=False, object=_TEXT, user=_or_null(_TEXT), token_needed=_FLAG),
    "Redo": _object(
        ("seconds",),
        seconds={"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
        takes={"type": "integer", "minimum": 1, "maximum": TAKES},
        take={"type": "integer", "minimum": 0, "maximum": TAKES},
    ),
    "Scores": _object(
        ("scores", "points", "curves"),
        closed=False,
        frames=_WHOLE,
        fps=_NUMBER,
        scores={"type": "object", "description": "by metric: value, protocol, better, verdict"},
        points={"type": "array", "items": {"type": "object"}},
        curves={"type": "object", "description": "means by name, at the seconds of `at`"},
        shots={"type": "array", "description": "[first frame, agreement or null] of each"},
    ),
    "Start": _object(draft=_FLAG),
    "SignIn": _object(("token",), token=_TEXT),
    "Storyboard": _BOARD_SHAPE,
    "Video": _object(
        ("id", "object", "status", "progress", "prompt", "seconds", "size", "model"),
        closed=False,
        id=_TEXT,
        object={"const": "video"},
        status={
            "enum": [
                "draft",
                "queued",
                "in_progress",
                "paused",
                "completed",
                "failed",
                "cancelled",
            ]
        },
        progress={"type": "integer", "minimum": 0, "maximum": 100},
        prompt=_TEXT,
        seconds=_TEXT,
        size=_TEXT,
        model=_TEXT,
        created_at=_WHOLE,
        completed_at=_or_null(_WHOLE),
        error=_or_null({"type": "object"}),
        events={"type": "integer", "description": "id of its last event: `after` for what follows"},
    ),
    "VideoChange": _object(
        **_CHOICES,
        approved={"type": "array", "items": {"type": "integer", "minimum": 1}},
    ),
    "VideoRequest": _object(
        **_CHOICES,
        prompt={"type": "string", "maxLength": 32_000},
        seconds={"anyOf": [_NUMBER, _TEXT]},
        frames=_WHOLE,
        fps={"anyOf": [_NUMBER, _TEXT]},
        size=_SIZE,
        seed={"type": "integer", "minimum": 0},
        storyboard={"anyOf": [_TEXT, {"$ref": "#/components/schemas/Storyboard"}]},
        start=_FLAG,
    ),
}


def document() -> Line:
    """The OpenAPI 3.1 document."""
    paths: dict[str, Line] = {}
    for entry in ENTRIES:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry)
    about = "Films of any length: submit, watch, edit a shot, fetch while they grow."
    scheme = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "longtake studio", "version": __version__, "description": about},
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {"schemas": dict(SCHEMAS), "securitySchemes": scheme},
    }


def _operation(entry: Entry) -> Line:
    places = [part[1:-1] for part in entry.path.split("/") if part.startswith("{")]
    told = [{"name": n, "in": "path", "required": True, "schema": _PARAMETERS[n]} for n in places]
    told += [{"name": n, "in": "query", "schema": shape} for n, shape in entry.query]
    told += [{"name": n, "in": "header", "schema": shape} for n, shape in entry.headers]
    name = f"{entry.handler}_{entry.method.lower()}"
    operation: Line = {"operationId": name, "summary": entry.summary, "parameters": told}
    if entry.body:
        operation["requestBody"] = {
            "required": entry.needed,
            "content": {kind: {"schema": _body(entry.body, kind)} for kind in entry.kinds[0]},
        }
    answer: Line = {"description": "as asked"}
    if entry.status == 200:
        answer["content"] = {
            kind: {"schema": _body(entry.answer or "Bytes", kind)} for kind in entry.kinds[1]
        }
    shown = {"application/json": {"schema": _reference("Error")}}
    wrong = {"description": "one line: what, where, and the nearest right value", "content": shown}
    codes = {400, 401, 403, 404, 408, 413, 415, 421, *entry.errors} - ({416} & set(entry.errors))
    operation["responses"] = {
        str(entry.status): answer,
        **({"206": answer, "416": {"description": "not there yet"}} if 416 in entry.errors else {}),
        **{str(code): wrong for code in sorted(codes)},
    }
    return operation


def _body(name: str, kind: str) -> Line:
    return _reference(name) if kind == "application/json" else {"type": "string"}


def _reference(name: str) -> Line:
    return {"$ref": f"#/components/schemas/{name}"}
