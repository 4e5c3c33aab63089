"""TFRecord files and the tf.train.Example messages in them, read without TensorFlow.

A file is a row of: length (uint64), masked CRC-32C of those 8 bytes, the data, masked CRC-32C of the
data; all little-endian (tensorflow/core/lib/io/record_writer.h). No length is believed before its
checksum and the file's size allow it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from longtake.errors import InputError

Value = list[bytes] | npt.NDArray[np.float32] | npt.NDArray[np.int64]

_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected
_LANE = 1024  # bytes whose checksums are taken side by side
_WANTED = "the file again from its source"


@cache
def _table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


@cache
def _past_lane() -> npt.NDArray[np.uint32]:
    """What a lane of zeros makes of each byte of a register: 4 x 256."""
    register = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(_LANE):
        register = _table()[register & 255] ^ (register >> np.uint32(8))
    values = np.zeros((4, 256), np.uint32)
    for byte in range(4):
        for bit in range(8):
            chosen = (np.arange(256) >> bit & 1).astype(bool)
            values[byte, chosen] ^= register[8 * byte + bit]
    return values


def crc32c(data: bytes) -> int:
    """The CRC-32C of some bytes; long data in lanes, whose registers are then joined (CRCs are linear)."""
    table, register = _table(), 0xFFFFFFFF
    whole = len(data) // _LANE
    if whole > 1:
        lanes = np.frombuffer(data, np.uint8, whole * _LANE).reshape(whole, _LANE)
        registers = np.zeros(whole, np.uint32)
        for column in lanes.T.astype(np.uint32):
            registers = table[(registers ^ column) & 255] ^ (registers >> np.uint32(8))
        past = _past_lane().tolist()
        for lane in registers.tolist():
            a, b, c, d = register & 255, register >> 8 & 255, register >> 16 & 255, register >> 24
            register = past[0][a] ^ past[1][b] ^ past[2][c] ^ past[3][d] ^ lane
        data = data[whole * _LANE :]
    small = table.tolist()
    for byte in data:
        register = small[(register ^ byte) & 255] ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A checksum as it is stored: turned by 15 bits, and a constant added."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def offsets(path: Path) -> list[tuple[int, int]]:
    """Where the data of every record lies and how long it is; the data itself is not read."""
    found: list[tuple[int, int]] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            length = _length(file, at, size, path, len(found))
            found.append((at + 12, length))
            at += length + 16
            file.seek(at)
    return found


def record_at(path: Path, offset: int, length: int) -> bytes:
    """The data of a record, its checksum checked."""
    with path.open("rb") as file:
        file.seek(offset)
        data, stored = file.read(length), file.read(4)
    if len(data) < length or len(stored) < 4:
        raise InputError(f"is cut short at byte {offset}", str(path), _WANTED)
    if masked(crc32c(data)) != int.from_bytes(stored, "little"):
        raise InputError(f"the record at byte {offset} is damaged", str(path), _WANTED)
    return data


def write_records(path: Path, records: Sequence[bytes]) -> None:
    """A TFRecord file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for data in records:
            head = struct.pack("<Q", len(data))
            file.write(head + struct.pack("<I", masked(crc32c(head))))
            file.write(data + struct.pack("<I", masked(crc32c(data))))


def _length(file: BinaryIO, at: int, size: int, path: Path, number: int) -> int:
    head = file.read(12)
    if len(head) < 12:
        raise InputError(f"is cut short at byte {at}", str(path), _WANTED)
    length, crc = struct.unpack("<QI", head)
    if masked(crc32c(head[:8])) != crc:
        what = f"record {number}, at byte {at}, has a damaged length"
        raise InputError(what, str(path), _WANTED)
    if at + length + 16 > size:
        what = f"record {number} claims {length} bytes, past the file's end"
        raise InputError(what, str(path), _WANTED)
    return int(length)


# --- tf.train.Example: message Example {Features features = 1}; Features {map<string, Feature> = 1};
# Feature {oneof BytesList 1, FloatList 2, Int64List 3}, each a repeated `value = 1`.


def parse_example(data: bytes, where: str) -> dict[str, Value]:
    """The features of an Example by name; InputError, naming `where`, for bytes that are none."""
    try:
        features: dict[str, Value] = {}
        for number, part in _fields(memoryview(data)):
            if number == 1:
                for inner, entry in _fields(_bytes(part)):
                    if inner == 1:
                        name, value = _entry(_bytes(entry))
                        features[name] = value
        return features
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"holds no Example: {error}", where, _WANTED) from error


def example(features: Mapping[str, bytes | Sequence[float]]) -> bytes:
    """An Example: bytes as a BytesList, numbers as a FloatList."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _field(1, _field(1, value))
        else:
            feature = _field(2, _field(1, np.asarray(value, "<f4").tobytes()))
        entries += _field(1, _field(1, name.encode()) + _field(2, feature))
    return _field(1, entries)


def _entry(data: memoryview) -> tuple[str, Value]:
    name, value = "", list[bytes]()
    found: Value = value
    for number, part in _fields(data):
        if number == 1:
            name = bytes(_bytes(part)).decode()
        elif number == 2:
            for kind, values in _fields(_bytes(part)):
                found = _values(kind, _bytes(values))
    return name, found


def _values(kind: int, data: memoryview) -> Value:
    parts = [part for number, part in _fields(data) if number == 1]
    if kind == 1:
        return [bytes(_bytes(part)) for part in parts]
    if kind == 2:
        return np.frombuffer(b"".join(bytes(_bytes(part)) for part in parts), "<f4")
    if kind == 3:
        whole: list[int] = []
        for part in parts:
            whole += [part] if isinstance(part, int) else list(_varints(part))
        return np.array(whole, np.uint64).astype(np.int64)
    raise ValueError(f"a feature of kind {kind}")


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and content of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        length, at = _varint(data, at) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), at)
        if length < 0 or at + length > len(data):
            raise ValueError(f"a field at byte {at} goes past its message")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number goes past its message")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise ValueError("a number of more than ten bytes")


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _bytes(part: memoryview | int) -> memoryview:
    if isinstance(part, int):
        raise ValueError("a number where a message should be")
    return part


def _field(number: int, data: bytes) -> bytes:
    head, length = bytes([number << 3 | 2]), len(data)
    while length > 127:
        head, length = head + bytes([length & 127 | 128]), length >> 7
    return head + bytes([length]) + data
