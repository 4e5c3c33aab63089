"""Bodies of requests: JSON, TOML and media, read strictly."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from longtake.errors import InputError
from longtake.studio.films import toml_of

Line = dict[str, Any]


async def board_of(request: Request) -> str:
    """The TOML of a storyboard in either form."""
    if kind_of(request) == "application/toml":
        return await text_of(request)
    return toml_of(await object_of(request))


async def text_of(request: Request) -> str:
    """A body as text."""
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"not UTF-8 at byte {error.start}; try UTF-8") from None


async def object_of(request: Request) -> Line:
    """A JSON object; nothing that JSON or UTF-8 does not have."""
    if kind_of(request) != "application/json":
        raise HTTPException(415, "not JSON; try Content-Type: application/json")
    try:
        found = json.loads(await request.body(), parse_constant=_refused)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate can be read, but not kept
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100] or "nested too deeply"
        raise HTTPException(400, f'not JSON: {reason}; try {{"prompt": "a calm sea"}}') from None
    if not isinstance(found, dict):
        raise HTTPException(400, 'not a JSON object; try {"prompt": "a calm sea"}')
    return found


def kind_of(request: Request) -> str:
    """The media type a body claims to have."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_media(file: Path, place: Path) -> None:
    """Refuses what cannot be read as the picture or video its name says, before it is kept."""
    from longtake.video import probe, read_image
    from longtake.video.files import IMAGE_SUFFIXES

    named = file.with_name(f"{file.name}{place.suffix}")  # readers go by the name's end
    os.rename(file, named)
    try:
        if place.suffix.lower() in IMAGE_SUFFIXES:
            read_image(named)
        else:
            probe(named)
    except InputError as error:
        raise InputError(
            error.what, place.name, error.hint.replace(named.name, place.name)
        ) from None
    finally:
        os.rename(named, file)


def _refused(word: str) -> float:
    raise ValueError(f"{word} is no number")
