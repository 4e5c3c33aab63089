"""Open a video file that nobody vouches for, and say what it is. No torch."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from longtake.errors import InputError, LongtakeError
from longtake.video.files import FRAME_MARK, IMAGE_SUFFIXES, PIXEL_LIMIT, check_in, frame_files
from longtake.video.geometry import Turn, shown_size

FALLBACK_FPS = Fraction(10)
"""The rate of a folder of pictures, or of a stream, that names none."""

# Playlists and whatever else opens further files is left out: a file may name only itself.
_DEMUXERS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,ogg,asf,ivf,nut,apng,m4v,h264"
_SOUND_DEMUXERS = f"{_DEMUXERS},wav,mp3,flac,aac,aiff,w64,caf"
_WANTED = "an MP4, MOV, MKV, WebM, AVI or GIF file"


@dataclass(frozen=True)
class VideoInfo:
    """What a video shows: sizes in pixels as a player shows them, after turning and stretching.

    `fps` is the average rate; `frames` is None where the file does not say; `rotation` is the
    clockwise turn in degrees that readers apply; `codec` is the name of the decoder.
    """

    width: int
    height: int
    fps: Fraction
    frames: int | None
    seconds: float
    codec: str
    rotation: int


@contextmanager
def decoding(path: Path, hint: str = _WANTED) -> Iterator[None]:
    """Turn whatever a decoder says about a bad file into one line of `InputError`."""
    try:
        yield
    except LongtakeError:
        raise
    except (av.FFmpegError, ValueError, OSError, MemoryError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if getattr(error, "errno", None) == errno.EINVAL:
            reason = "not a known kind of video, or past 64 million pixels"
        raise InputError(f"cannot be read: {reason}", str(path), hint) from error


def open_container(place: Path, *, sound: bool = False) -> InputContainer:
    """Open a local file with whitelisted demuxers; "file:" keeps odd names from being URLs."""
    options = {
        "max_pixels": str(PIXEL_LIMIT),
        "protocol_whitelist": "file",
        "format_whitelist": _SOUND_DEMUXERS if sound else _DEMUXERS,
    }
    return av.open(f"file:{place}", "r", options=options, metadata_errors="replace")


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first stream of moving pictures, its claimed size checked."""
    place = check_in(path)
    is_picture = place.suffix.lower() in IMAGE_SUFFIXES
    with decoding(place, "it as a picture (--image)" if is_picture else _WANTED):
        container = open_container(place)
    with container:
        yield container, moving_pictures(container, place)


@contextmanager
def opened_bytes(data: bytes, name: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """`opened` for a file in memory, which errors call by `name`."""
    with decoding(name):
        options = {"max_pixels": str(PIXEL_LIMIT), "format_whitelist": _DEMUXERS}
        container = av.open(io.BytesIO(data), "r", options=options, metadata_errors="replace")
    with container:
        yield container, moving_pictures(container, name)


def moving_pictures(container: InputContainer, place: Path) -> VideoStream:
    """A container's first stream of moving pictures, its claimed size checked."""
    moving = [s for s in container.streams.video if not s.disposition & _COVER_ART]
    if not moving:
        raise InputError("holds no moving pictures", str(place), _WANTED)
    context = moving[0].codec_context
    if context is None:
        raise InputError("its pictures are of an unknown kind", str(place), _WANTED)
    check_pixels(context.width, context.height, place)
    context.options = {"max_pixels": str(PIXEL_LIMIT)}
    context.thread_type = "AUTO"
    # Every thread holds a frame: large frames get one, or memory grows with the machine.
    large = context.width * context.height > 4_000_000
    context.thread_count = 1 if large else min(4, os.cpu_count() or 1)
    return moving[0]


_COVER_ART = Disposition.attached_pic


def check_pixels(width: int, height: int, path: Path) -> None:
    """Refuse a claimed size before anything of that size is allocated."""
    if width * height > PIXEL_LIMIT:
        limit = f"a copy of at most {PIXEL_LIMIT // 1_000_000} million pixels"
        raise InputError(f"claims {width}x{height} pixels, too many", str(path), limit)


def decoded(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """Frames in the order they are shown, as far as they are whole.

    Packets before the first frame may be broken (a recording that begins between two keyframes);
    a broken packet later is an `InputError`, and so is an end before the file's own claim.
    """
    begun, broken = False, None
    with decoding(path):
        packets = container.demux(stream)
    while True:
        with decoding(path, "a whole copy of the file, or a stretch before the damage"):
            packet = next(packets, None)
            if packet is None and broken and not begun:
                raise broken
            if packet is None:
                return
            if packet.is_corrupt:
                continue
            try:
                frames = packet.decode()
            except av.InvalidDataError as error:
                if begun:
                    raise
                frames, broken = [], error
        for frame in frames:
            check_pixels(frame.width, frame.height, path)
            begun = True
            yield frame


def check_whole(
    container: InputContainer, stream: VideoStream, path: Path, seconds: Fraction
) -> None:
    """At the end of decoding: `InputError` when the file promised more than the `seconds` it gave.

    A film still being written promises nothing and so ends where it ends.
    """
    claimed = claimed_seconds(container, stream)
    size = path.stat().st_size
    # A whole-file index names the place of every frame; a fragmented file has none yet.
    lost = bool(stream.frames) and any(e.pos + e.size > size for e in stream.index_entries)
    if lost or (claimed is not None and seconds + max(Fraction(1, 2), claimed / 20) < claimed):
        whole = f" of {float(claimed):.1f} s" if claimed else ""
        hint = f"a whole copy, or seconds={max(0.0, float(seconds) - 0.5):.1f}"
        raise InputError(f"is cut short at {float(seconds):.1f} s{whole}", str(path), hint)


def rate_of(stream: VideoStream) -> Fraction:
    """The average frame rate, by whichever of a stream's claims is usable."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= 1000:
            return Fraction(rate)
    return FALLBACK_FPS


def pixel_aspect(stream: VideoStream) -> float:
    """The width of a stored pixel over its height; claims past 16:1 are taken as square."""
    aspect = stream.sample_aspect_ratio
    return float(aspect) if aspect and Fraction(1, 16) <= aspect <= 16 else 1.0


def display_turn(frame: VideoFrame) -> Turn:
    """The turn a frame's display matrix asks for, to the nearest right angle."""
    try:
        matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    except ValueError:  # side data newer than PyAV's list of kinds
        return Turn()
    if matrix is None or len(bytes(matrix)) < 36:
        return Turn()
    # x' = a x + c y and y' = b x + d y, rows (a, b, u), (c, d, v), as QuickTime writes them.
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(True, c < 0, b < 0)
    return Turn(False, a < 0, d < 0)


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """What a video file, or a folder of numbered pictures, shows; by its first frame."""
    place = Path(path)
    if os.path.isdir(place):
        return _probe_folder(place)
    with opened(place) as (container, stream):
        frames = decoded(container, stream, place)
        first = next(frames, None)
        if first is None:
            raise InputError("holds no frames", str(path), _WANTED)
        turn = display_turn(first)
        width, height = shown_size(first.width, first.height, turn, pixel_aspect(stream))
        seconds = claimed_seconds(container, stream)
        if seconds is None:
            seconds = _counted_seconds(place, rate_of(stream))
        return VideoInfo(
            width=width,
            height=height,
            fps=rate_of(stream),
            frames=stream.frames or None,
            seconds=float(seconds),
            codec=stream.codec_context.name,
            rotation=turn.clockwise,
        )


def claimed_seconds(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """How long a file says its pictures last, if it says."""
    if stream.duration and stream.time_base and stream.duration > 0:
        return stream.duration * stream.time_base
    if container.duration and container.duration > 0 and len(container.streams) == 1:
        return Fraction(container.duration, av.time_base)
    return None


def _counted_seconds(place: Path, fps: Fraction) -> Fraction:
    """From the first picture to the end of the last, by reading all packets but no pictures."""
    first = last = None
    count = 0
    with opened(place) as (container, stream), decoding(place):
        for packet in container.demux(stream):
            if not packet.size or packet.is_corrupt:
                continue
            count += 1
            if packet.pts is not None:
                time = packet.pts * packet.time_base
                first = time if first is None else min(first, time)
                last = time if last is None else max(last, time)
    return count / fps if first is None or last is None else last - first + 1 / fps


def folder_fps(first: Path) -> Fraction:
    """The rate that `VideoWriter` noted in a frame of a folder, else `FALLBACK_FPS`."""
    with first.open("rb") as file:
        head = file.read(256)
    noted = re.search(re.escape(FRAME_MARK) + rb"(\d{1,9})/([1-9]\d{0,8})", head)
    fps = Fraction(int(noted[1]), int(noted[2])) if noted else FALLBACK_FPS
    return fps or FALLBACK_FPS


def folder_frames(folder: Path) -> list[Path]:
    """A folder's numbered pictures in order; `InputError` when it has none."""
    files = frame_files(folder)
    if not files:
        raise InputError("a folder without numbered pictures", str(folder), "000000.png inside it")
    return files


def _probe_folder(folder: Path) -> VideoInfo:
    from longtake.video.stills import picture_size

    files = folder_frames(folder)
    width, height = picture_size(files[0])
    fps = folder_fps(files[0])
    seconds = float(len(files) / fps)
    return VideoInfo(width, height, fps, len(files), seconds, files[0].suffix[1:], rotation=0)
