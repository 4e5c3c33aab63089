"""Files as answers: ranges of films that may still grow, and event lines as server-sent events."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_PIECE = 1 << 18  # bytes read at a time


def line_start(place: Path, after: int) -> int:
    """Where reading goes on after an event; from the beginning if the list was never that long."""
    try:
        with place.open("rb") as file:
            if not 0 < after <= os.fstat(file.fileno()).st_size:
                return 0
            file.seek(after - 1)
            return after if file.read(1) == b"\n" else 0
    except FileNotFoundError:
        return 0


def event_lines(place: Path, start: int) -> tuple[bytes, int]:
    """Whole lines from `start` as server-sent events, and where the next begins."""
    try:
        with place.open("rb") as file:
            file.seek(start)
            data = file.read(_PIECE)
    except FileNotFoundError:
        return b"", start
    whole, sent = data[: data.rfind(b"\n") + 1], []
    for line in whole.splitlines(keepends=True):
        start += len(line)
        sent.append(b"id: %d\ndata: %s\n\n" % (start, line.rstrip()))
    return b"".join(sent), start


async def ranged(
    request: Request, place: Path, grows: bool, name: str, kind: str = "video/mp4"
) -> Response:
    """A file, or the one range of it that is asked for; of one that grows, what there is now."""
    try:
        file = await run_in_threadpool(place.open, "rb")
    except FileNotFoundError:
        raise HTTPException(404, "nothing there yet; try again when it is being made") from None
    size = os.fstat(file.fileno()).st_size
    headers = {
        "accept-ranges": "bytes",
        "longtake-film": "growing" if grows else "whole",
        "content-disposition": f'inline; filename="{name}"',
    }
    wanted = _range(request.headers.get("range"), size)
    total = "*" if grows else str(size)
    if wanted is None:
        first, last, status = 0, size - 1, 200
    else:
        (first, last), status = wanted, 206
        if first > last or first >= size:
            file.close()
            headers["content-range"] = f"bytes */{size}"
            return Response(status_code=416, headers=headers)
        headers["content-range"] = f"bytes {first}-{last}/{total}"
    headers["content-length"] = str(last - first + 1)

    async def sent() -> AsyncIterator[bytes]:
        left = last - first + 1
        with file:
            file.seek(first)
            while left > 0:
                data = await run_in_threadpool(file.read, min(_PIECE, left))
                if not data:
                    return
                left -= len(data)
                yield data

    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(sent(), status, headers, kind)


def archived(file: IO[bytes], headers: Mapping[str, str]) -> Response:
    """An archive that is nowhere else; it is closed when it has been sent."""

    async def sent() -> AsyncIterator[bytes]:
        with file:
            while data := await run_in_threadpool(file.read, _PIECE):
                yield data

    told = {"content-length": str(os.fstat(file.fileno()).st_size), **headers}
    told["content-disposition"] = 'attachment; filename="storyboard.zip"'
    return StreamingResponse(sent(), headers=told, media_type="application/zip")


def _range(text: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte asked for; None for the whole, also where several ranges or nonsense are asked for."""
    unit, _, spec = (text or "").partition("=")
    first, dash, last = spec.strip().partition("-")
    plain = all(part.isascii() and (part.isdecimal() or not part) for part in (first, last))
    if unit.strip() != "bytes" or not dash or not plain or not (first or last) or len(spec) > 40:
        return None
    if not first:
        return (max(size - int(last), 0), size - 1) if int(last) else (size, size - 1)
    return int(first), min(int(last), size - 1) if last else size - 1


async def read_file(place: Path, what: str) -> bytes:
    try:
        return await run_in_threadpool(place.read_bytes)
    except FileNotFoundError:
        raise HTTPException(404, f"no {what} yet; try when the film is finished") from None
