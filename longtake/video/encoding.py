"""Encode frames into files that can be read while they grow, the same bytes every time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    VideoReformatter,
)
from av.video.stream import VideoStream
from torch import Tensor

from longtake.video.files import blamed
from longtake.video.reading import SCALING

_RGB = 0  # matrix coefficients, ITU-T H.273 table 4
_BT709 = 1


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turn a failed write into the user's error or the machine's."""
    with blamed(path, "cannot write the film", "a folder you can write into"):
        try:
            yield
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


@contextmanager
def unbroken() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, so that no packet is lost between encoder and file."""
    came: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            handlers[number](number, None)


@dataclass(frozen=True)
class Coding:
    """An encoder by name, the pixels it takes and its options."""

    codec: str
    pixels: str
    options: dict[str, str]

    @property
    def is_rgb(self) -> bool:
        return self.pixels in ("rgb24", "gbrp")


def key_interval(fps: Fraction) -> int:
    """Frames from one keyframe to the next, at most: two seconds."""
    return max(1, round(2 * fps))


def coding(
    suffix: str, quality: str, size: tuple[int, int], fps: Fraction, *, regular: bool = False
) -> Coding:
    """How films of this suffix and quality are encoded. regular: H.264 with no other keyframes.

    One thread and no machine-dependent choices, so that the same frames are the same bytes. No
    B-frames: the first picture is at zero on every player's clock, without an edit list.
    """
    keyframes = str(key_interval(fps))
    if suffix == ".webm":
        effort = {"deadline": "good", "cpu-used": "4", "b": "0", "lag-in-frames": "10"}
        chosen = {
            "draft": ("yuv420p", {"deadline": "realtime", "cpu-used": "8", "crf": "38"}),
            "good": ("yuv420p", {"crf": "20"}),
            "lossless": ("gbrp", {"lossless": "1"}),
        }
        pixels, options = chosen[quality]
        return Coding("libvpx-vp9", pixels, {**effort, **options, "g": keyframes, "threads": "1"})
    params = f"bframes=0:rc-lookahead=10:cpu-independent=1:keyint={keyframes}"
    params += f":min-keyint={keyframes}:scenecut=0" if regular else ""
    options = {"x264-params": params, "threads": "1"}
    if quality == "lossless":
        return Coding("libx264rgb", "rgb24", {**options, "preset": "veryfast", "qp": "0"})
    pixels = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
    preset, crf = {"draft": ("veryfast", "28"), "good": ("medium", "16")}[quality]
    return Coding("libx264", pixels, {**options, "preset": preset, "crf": crf})


class Track:
    """Frames on their way into the only stream of a container."""

    def __init__(
        self, container: OutputContainer, coding: Coding, size: tuple[int, int], fps: Fraction
    ) -> None:
        self.count = 0
        self._coding, self._fps, self._scaler = coding, fps, VideoReformatter()
        self._stream = _video_stream(
            container, coding.codec, coding.pixels, coding.options, size, fps
        )
        context = self._stream.codec_context
        context.colorspace = _RGB if coding.is_rgb else _BT709
        context.color_range = ColorRange.JPEG if coding.is_rgb else ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709

    def packets(self, frame: Tensor | None) -> list[Packet[Any]]:
        """What is ready after a frame (3, h, w) uint8, or after the last one (None)."""
        if frame is None:
            return self._stream.encode(None) if self.count else []
        shown = self._converted(video_frame(frame))
        shown.pts, shown.time_base = self.count, 1 / self._fps
        self.count += 1
        return self._stream.encode(shown)

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        if self._coding.is_rgb:
            shown = self._scaler.reformat(frame, format=self._coding.pixels, threads=1)
            shown.colorspace, shown.color_range = _RGB, ColorRange.JPEG
        else:
            shown = self._scaler.reformat(
                frame,
                format=self._coding.pixels,
                src_color_range=ColorRange.JPEG,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=SCALING,
                threads=1,
            )
        shown.color_primaries, shown.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return shown


class StreamEncoder:
    """A growing `.mp4` (fragmented), `.mkv` or `.webm`, flushed about twice a second of film."""

    def __init__(self, part: Path, size: tuple[int, int], fps: Fraction, quality: str) -> None:
        suffix = part.suffix.lower()
        self._part = part
        with saving(part):
            self._container = av.open(f"file:{part}", "w", options=_GROWING[suffix])
            self._track = Track(self._container, coding(suffix, quality, size, fps), size, fps)
            self._container.start_encoding()

    def put(self, frame: Tensor) -> None:
        """Append a frame (3, h, w) uint8."""
        with saving(self._part), unbroken():
            self._container.mux(self._track.packets(frame))

    def close(self) -> None:
        """Complete the file."""
        with saving(self._part):
            try:
                self._container.mux(self._track.packets(None))
            finally:
                self._container.close()


_ALWAYS = {"fflags": "+bitexact", "flush_packets": "1"}
_GROWING = {
    ".mp4": {
        **_ALWAYS,
        "movflags": "+frag_keyframe+empty_moov+default_base_moof",
        "frag_duration": "500000",
    },
    ".mkv": {**_ALWAYS, "cluster_time_limit": "500"},
    ".webm": {**_ALWAYS, "cluster_time_limit": "500"},
}


class GifEncoder:
    """A growing `.gif`: every frame has its own 256 colours, so nothing must be read twice.

    The ordered dither keeps its pattern from frame to frame; diffusion would make still parts
    crawl.
    """

    def __init__(self, part: Path, size: tuple[int, int], fps: Fraction, *, dither: bool) -> None:
        self._part, self._fps, self._count = part, fps, 0
        self._graph = _palette_graph(size, fps, "bayer:bayer_scale=4" if dither else "none")
        with saving(part):
            self._container = av.open(f"file:{part}", "w", options=_ALWAYS)
            # By itself the encoder leaves out pixels whose colour number stays, though the palette
            # in which it is looked up does not.
            whole = {"gifflags": "-offsetting-transdiff"}
            self._stream = _video_stream(self._container, "gif", "pal8", whole, size, fps)

    def put(self, frame: Tensor) -> None:
        """Append a frame (3, h, w) uint8."""
        shown = video_frame(frame)
        shown.pts, shown.time_base = self._count, 1 / self._fps
        self._graph.vpush(shown)
        self._drain()
        self._count += 1

    def close(self) -> None:
        """Complete the file."""
        with saving(self._part):
            try:
                if self._count:
                    self._graph.vpush(None)
                    self._drain()
                    self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()

    def _drain(self) -> None:
        while True:
            try:
                shown = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            with saving(self._part):
                self._container.mux(self._stream.encode(shown))


def video_frame(frame: Tensor) -> VideoFrame:
    """A frame (3, h, w) uint8 for the encoder, in memory of its own."""
    _, height, width = frame.shape
    shown, pixels = VideoFrame(width, height, "rgb24"), frame.numpy()
    # colour by colour into its place: interleaved first and copied then, it takes more than twice as long
    plane = np.frombuffer(memoryview(shown.planes[0]), np.uint8)
    lines = plane.reshape(height, -1)  # perhaps with room at their ends
    into = lines[:, : 3 * width].reshape(height, width, 3)
    for place in range(3):
        into[:, :, place] = pixels[place]
    return shown


def _video_stream(
    container: OutputContainer,
    codec: str,
    pixels: str,
    options: dict[str, str],
    size: tuple[int, int],
    fps: Fraction,
) -> VideoStream:
    stream = cast(VideoStream, container.add_stream(codec, rate=fps, options=options))
    stream.width, stream.height = size
    stream.pix_fmt = pixels
    stream.codec_context.time_base = 1 / fps
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _palette_graph(size: tuple[int, int], fps: Fraction, dither: str) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=size[0], height=size[1], format=av.VideoFormat("rgb24"), time_base=1 / fps
    )
    both = graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use = graph.add("paletteuse", f"new=1:dither={dither}")
    sink = graph.add("buffersink")
    source.link_to(both)
    both.link_to(use, 0, 0)
    both.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
