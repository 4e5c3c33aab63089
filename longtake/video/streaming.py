"""Films that are watched while they are made: a pipe, and a playlist with its segments."""

from __future__ import annotations

import io
import os
import select
import sys
import time
from collections import deque
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import SimpleNamespace

import av
from torch import Tensor

from longtake.video.encoding import Track, coding, key_interval, saving, unbroken
from longtake.video.files import STDOUT, own_segments, segments_of

LISTED = 15  # segments that the playlist of an endless film names
KEPT = 2 * LISTED + 1  # segments on disk: RFC 8216, 6.2.2, wants those just left out kept as long
_ATOMIC = 4096  # bytes that a pipe takes wholly or not at all (PIPE_BUF)
_FRAGMENTS = "+frag_keyframe+empty_moov+default_base_moof+skip_trailer"

Fragment = tuple[bytes, int]  # and the frames in it


class Fragments:
    """H.264 in fragmented MP4 as bytes: `header`, then whole fragments.

    It is made in memory, so that what is sent or stored is never half a fragment; and there is no
    index at the end, which would have to be gathered as long as the film goes on.
    """

    def __init__(
        self, size: tuple[int, int], fps: Fraction, quality: str, *, regular: bool
    ) -> None:
        self._held, self._since = io.BytesIO(), 0
        options = {"fflags": "+bitexact", "flush_packets": "1", "movflags": _FRAGMENTS}
        if not regular:
            options["frag_duration"] = "500000"
        # only its `write`, so that the muxer knows it cannot go back
        sink = SimpleNamespace(write=self._held.write)
        self._container = av.open(sink, "w", format="mp4", options=options)
        coded = coding(".mp4", quality, size, fps, regular=regular)
        self._track = Track(self._container, coded, size, fps)
        self._container.start_encoding()
        self.header = self._taken()

    def put(self, frame: Tensor | None) -> list[Fragment]:
        """The fragments that are whole after a frame (3, h, w) uint8; None: after the last one."""
        found = []
        for packet in self._track.packets(frame):
            packet.duration = 1  # the last one's of a fragment is not known by the next one's time
            self._container.mux_one(packet)
            found += self._whole()
            self._since += 1
        if frame is None:
            self._container.close()
            found += self._whole()
        return found

    def _whole(self) -> list[Fragment]:
        data = self._taken()
        if not data:
            return []
        count, self._since = self._since, 0
        return [(data, count)]

    def _taken(self) -> bytes:
        data = self._held.getvalue()
        self._held.seek(0)
        self._held.truncate()
        return data


class PipeEncoder:
    """A film on stdout. From the start to `close`, whatever else is printed goes to stderr."""

    def __init__(self, size: tuple[int, int], fps: Fraction, quality: str) -> None:
        self._fragments = Fragments(size, fps, quality, regular=False)
        self._unsent = bytearray(self._fragments.header)
        self._begun = False
        sys.stdout.flush()
        try:
            self._shared: int | None = sys.stdout.fileno()
            self._own = os.dup(self._shared)  # not inherited: a worker would keep the pipe open
            os.dup2(sys.stderr.fileno(), self._shared)
        except (OSError, ValueError):  # a stdout that is no file
            self._shared = None

    def put(self, frame: Tensor) -> None:
        """Append a frame (3, h, w) uint8; waits while the reader does not read."""
        with unbroken():
            self._begun = True
            self._add(frame)
        self._send()

    def close(self) -> None:
        """Complete the stream and give stdout back."""
        try:
            with unbroken():
                self._add(None)
            if self._begun:
                self._send()
        finally:
            if self._shared is not None:
                os.dup2(self._own, self._shared)
                os.close(self._own)

    def _add(self, frame: Tensor | None) -> None:
        for data, _ in self._fragments.put(frame):
            self._unsent += data

    def _send(self) -> None:
        with saving(Path(STDOUT)):
            while self._unsent:
                del self._unsent[: self._write(bytes(self._unsent[:_ATOMIC]))]

    def _write(self, data: bytes) -> int:
        if self._shared is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return len(data)
        try:
            return os.write(self._own, data)
        except BlockingIOError:
            select.select([], [self._own], [])
            return 0


class PlaylistEncoder:
    """An HLS playlist (RFC 8216) and its segments of two seconds, fragmented MP4.

    Nothing is written, and no film of that name lost, before the first segment is whole. live:
    the playlist slides along, old segments are deleted, and `put` waits where more than the
    playlist holds would be ahead of the clock, for nobody could then follow it.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: Fraction, quality: str, *, live: bool
    ) -> None:
        self._path, self._folder, self._fps, self._live = path, segments_of(path), fps, live
        self._fragments = Fragments(size, fps, quality, regular=True)
        self._listed: deque[tuple[int, int]] = deque(maxlen=LISTED if live else None)
        self._count, self._seconds, self._began = 0, Fraction(0), 0.0

    def put(self, frame: Tensor) -> None:
        """Append a frame (3, h, w) uint8."""
        self._add(frame)
        if self._live and self._count:
            room = LISTED * Fraction(key_interval(self._fps)) / self._fps
            ahead = float(self._seconds - room) - (time.monotonic() - self._began)
            if ahead > 0:
                time.sleep(ahead)

    def close(self) -> None:
        """Write what is left; the end of an endless film is marked, wherever it is."""
        self._add(None)
        if self._live and self._count:
            self._list(over=True)

    def end(self) -> None:
        """Mark the film as whole."""
        self._list(over=True)

    def _add(self, frame: Tensor | None) -> None:
        with saving(self._path), unbroken():
            for data, frames in self._fragments.put(frame):
                self._publish(data, frames)

    def _publish(self, data: bytes, frames: int) -> None:
        if not self._count:
            self._begin()
        self._write(self._segment(self._count), data)
        self._listed.append((self._count, frames))
        self._count += 1
        self._seconds += frames / self._fps
        if self._live or self._count == 1:
            self._list(over=False)
        else:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._entry(*self._listed[-1]))
        if self._live and self._count > KEPT:
            self._segment(self._count - KEPT - 1).unlink(missing_ok=True)

    def _begin(self) -> None:
        """Makes room; the old playlist goes first, for it must not name new segments."""
        self._began = time.monotonic()
        self._path.unlink(missing_ok=True)
        self._folder.mkdir(exist_ok=True)
        for file in own_segments(self._folder) or []:
            file.unlink()
        self._write(self._folder / "init.mp4", self._fragments.header)

    def _segment(self, number: int) -> Path:
        return self._folder / f"{number:06d}.m4s"

    def _list(self, *, over: bool) -> None:
        """Writes the playlist anew; of a film that still grows and keeps all, lines are only added."""
        kind = "" if self._live else f"#EXT-X-PLAYLIST-TYPE:{'VOD' if over else 'EVENT'}\n"
        text = (
            "#EXTM3U\n#EXT-X-VERSION:7\n"
            f"#EXT-X-TARGETDURATION:{ceil(key_interval(self._fps) / self._fps)}\n"
            f"#EXT-X-MEDIA-SEQUENCE:{self._listed[0][0]}\n{kind}#EXT-X-INDEPENDENT-SEGMENTS\n"
            f'#EXT-X-MAP:URI="{self._folder.name}/init.mp4"\n'
        )
        text += "".join(self._entry(*entry) for entry in self._listed)
        with saving(self._path):
            self._write(self._path, (text + ("#EXT-X-ENDLIST\n" if over else "")).encode())

    def _entry(self, number: int, frames: int) -> str:
        where = f"{self._folder.name}/{self._segment(number).name}"
        return f"#EXTINF:{float(frames / self._fps):.6f},\n{where}\n"

    def _write(self, file: Path, data: bytes) -> None:
        """The file appears whole."""
        part = self._folder / ".tmp"
        try:
            part.write_bytes(data)
            os.replace(part, file)
        except OSError:
            part.unlink(missing_ok=True)
            raise
