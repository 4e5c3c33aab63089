"""How much one may ask of the studio; every limit is checked before work begins."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds, counts per user unless said otherwise."""

    body: int = 1 << 20  # of a JSON or TOML body
    media: int = 256 << 20  # of one uploaded file
    stored: int = 4 << 30  # of all uploaded files of a film
    files: int = 200  # uploaded files of a film
    frames: int = 216_000  # of a film: two hours at 30 frames a second
    pixels: int = 2048 * 2048  # of a frame
    shots: int = 1000
    videos: int = 500
    queued: int = 20  # films that wait or are being made
    watchers: int = 200  # open event streams
    plans: int = 6  # plans that are being worked out or wait for that, of all users
    chunk_wait: float = 20.0  # for the next piece of a body
    body_wait: float = 600.0  # for the whole of it
    header_wait: float = 10.0  # for all of a request's head
    connections: int = 1000  # of all users


TAKES = 9  # of a stretch that is made again, asked for at once
LIMITS = Limits()
