"""Curves as TensorBoard reads them, written out: records of a length, two checksums and a protocol buffer.

The format is small and has not changed since 2015 (tensorflow/core/lib/io/record_writer.cc, util/event.proto);
the package that writes it weighs more than all of this project needs.
"""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar


class Line(Protocol):
    """A line of a training curve: `train.Logged`."""

    @property
    def step(self) -> int: ...

    @property
    def losses(self) -> Mapping[str, float]: ...


L = TypeVar("L")


def charted(curve: Iterator[L], folder: Path) -> Iterator[L]:
    """The same lines; each is also in an event file in `folder`, for `tensorboard --logdir`.

    Lines without a step and losses pass by.
    """
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    with (folder / f"events.out.tfevents.{begun:.6f}.longtake").open("ab") as file:
        file.write(record(_double(1, begun) + _bytes(3, b"brain.Event:2")))
        for line in curve:
            if hasattr(line, "step") and hasattr(line, "losses"):
                file.write(record(event(line.step, line.losses)))
                file.flush()
            yield line


def event(step: int, values: Mapping[str, float]) -> bytes:
    """An Event of scalars: wall_time 1, step 2, summary 5 of values 1 of (tag 1, simple_value 2)."""
    summary = b"".join(
        _bytes(1, _bytes(1, name.encode()) + struct.pack("<Bf", 2 << 3 | 5, value))
        for name, value in values.items()
    )
    return _double(1, time.time()) + b"\x10" + _varint(step) + _bytes(5, summary)


def record(data: bytes) -> bytes:
    """Length, its checksum, the data, theirs."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum (RFC 3720, appendix B.4)."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    rows = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _double(field: int, value: float) -> bytes:
    return struct.pack("<Bd", field << 3 | 1, value)
