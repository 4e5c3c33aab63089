"""Turn a grown part into the finished film: stream copy, sound, one rename."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from longtake.errors import InputError, MachineError
from longtake.video.encoding import saving
from longtake.video.files import check_in
from longtake.video.opening import decoding, open_container

_SOUND_RATE = 48000
_SOUND = {".mp4": "aac", ".mkv": "libopus", ".webm": "libopus"}
_KIND = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm"}
_WANTED = "a WAV, MP3, FLAC, Ogg or MP4 file"


def check_audio(path: Path) -> None:
    """`InputError` unless the file holds sound that can be decoded."""
    check_in(path)
    with decoding(path, _WANTED), open_container(path, sound=True) as source:
        if not source.streams.audio or next(source.decode(source.streams.audio[0]), None) is None:
            raise InputError("holds no sound", str(path), _WANTED)


def finish(part: Path, path: Path, fps: Fraction, frames: int, audio: Path | None) -> None:
    """Copy the part's packets, with sound, into a film that starts quickly; then remove the part.

    The film appears whole or not at all. `MachineError` if the part lost frames on the way.
    """
    suffix = path.suffix.lower()
    growing = path.with_name(f".{path.name}.tmp")
    options = {"fflags": "+bitexact", **({"movflags": "+faststart"} if suffix == ".mp4" else {})}
    try:
        with (
            saving(growing),
            open_container(part) as source,
            av.open(f"file:{growing}", "w", format=_KIND[suffix], options=options) as film,
        ):
            copied = film.add_stream_from_template(source.streams.video[0], opaque=True)
            tracks = [_pictures(source, copied, fps)]
            if audio is not None:
                voice = film.add_stream(_SOUND[suffix], rate=_SOUND_RATE, layout="stereo")
                tracks.append(_sound(audio, cast(AudioStream, voice), frames / fps))
            film.start_encoding()
            count = 0
            for packet in heapq.merge(*tracks, key=_time):
                count += packet.stream is copied
                film.mux_one(packet)
        if count != frames:
            raise MachineError(f"the film has {count} of {frames} frames", str(part), "again")
        with saving(path):
            _settle(growing)
            os.replace(growing, path)
            part.unlink()
    finally:
        growing.unlink(missing_ok=True)


def _pictures(source: InputContainer, film: VideoStream, fps: Fraction) -> Iterator[Packet[Any]]:
    """The pictures' packets on the exact clock: Matroska rounds to milliseconds, the film need not.

    They are in the order they are shown, for nothing is encoded with B-frames.
    """
    count = 0
    for packet in source.demux(video=0):
        if packet.size:
            packet.pts = packet.dts = count
            packet.duration, packet.time_base = 1, 1 / fps
            packet.stream = film
            count += 1
            yield packet


def _sound(audio: Path, voice: AudioStream, seconds: Fraction) -> Iterator[Packet[Any]]:
    """The sound encoded in stereo, cut to the sample where the film ends."""
    left, begun = round(seconds * _SOUND_RATE), 0
    resampler = AudioResampler(
        voice.format.name, "stereo", _SOUND_RATE, voice.codec_context.frame_size
    )
    with decoding(audio, _WANTED), open_container(audio, sound=True) as source:
        heard = chain(source.decode(source.streams.audio[0]), (None,))
        for frame in chain.from_iterable(map(resampler.resample, heard)):
            if left <= 0:
                break
            frame = _cut(frame, left)
            frame.pts, frame.time_base = begun, Fraction(1, _SOUND_RATE)
            begun, left = begun + frame.samples, left - frame.samples
            yield from voice.encode(frame)
    yield from voice.encode(None)


def _cut(frame: AudioFrame, samples: int) -> AudioFrame:
    if frame.samples <= samples:
        return frame
    columns = samples if frame.format.is_planar else samples * frame.layout.nb_channels
    kept = frame.to_ndarray()[:, :columns].copy()
    short = AudioFrame.from_ndarray(kept, format=frame.format.name, layout=frame.layout.name)
    short.sample_rate = frame.sample_rate
    return short


def _time(packet: Packet[Any]) -> Fraction:
    return (packet.dts or 0) * packet.time_base


def _settle(file: Path) -> None:
    """Have the bytes on the disk before the name points at them."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
