"""Where finished steps live: a folder of safetensors files named by key, with a journal of why."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from longtake.clip import Clip
from longtake.engine.lane import Lane
from longtake.errors import InputError, MachineError
from longtake.keys import canonical

if TYPE_CHECKING:
    from torch import Tensor

try:
    import fcntl
except ImportError:  # no such locks on this system: two processes then repeat each other's steps
    fcntl = None  # type: ignore[assignment]

FORMAT = "longtake-run"
VERSION = 1
MARKER = "store.json"
CARRY = "carry."
ENDLESS = "endless"  # the folder in a run folder where an endless film has a run folder of its own
UNSYNCED = 4  # clips at most that are written, but that a power cut could still take


def whole_lines(journal: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The lines of a journal that name a step, without those that were torn."""
    for text in journal:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and {"step", "key", "parts"} <= line.keys():
            yield line


class Store(Protocol):
    """Finished clips by key: same key, same clip. One that cannot be trusted is missing."""

    damaged: dict[str, str]  # keys whose clip was set aside, and why, until they are repaired

    def has(self, key: str) -> bool:
        """Whether a clip is there, unread."""

    def get(self, key: str) -> Clip | None:
        """The clip, if it is there and whole."""

    def put(self, key: str, clip: Clip) -> None:
        """Stores a clip: wholly or not at all."""

    def settle(self) -> None:
        """Waits until all that was stored outlasts a power cut; MachineError if it will not."""

    def drop(self, key: str) -> int:
        """Removes a clip, if it is there; the bytes that were freed."""

    def claim(self, key: str) -> bool:
        """Whether this process may make `key`; False while another one does."""

    def release(self, key: str) -> None:
        """Gives a claim back."""

    def record(self, line: Mapping[str, Any]) -> None:
        """Adds a line to the journal."""

    def records(self) -> Iterator[dict[str, Any]]:
        """The journal, oldest first."""


class Memory:
    """A store that lasts as long as the process. lines: how many of the journal it keeps (None: all)."""

    def __init__(self, lines: int | None = None) -> None:
        self.damaged: dict[str, str] = {}
        self.clips: dict[str, Clip] = {}
        self._journal: deque[str] = deque(maxlen=lines)

    def has(self, key: str) -> bool:
        """Whether a clip is there."""
        return key in self.clips

    def get(self, key: str) -> Clip | None:
        """The clip, if it is there."""
        return self.clips.get(key)

    def put(self, key: str, clip: Clip) -> None:
        """Keeps a clip."""
        self.clips[key] = clip

    def settle(self) -> None:
        """Nothing here outlasts the process."""

    def drop(self, key: str) -> int:
        """Lets a clip go."""
        clip = self.clips.pop(key, None)
        return 0 if clip is None else clip.frames.nbytes

    def claim(self, key: str) -> bool:
        """Nobody else is here."""
        return True

    def release(self, key: str) -> None:
        """Nothing to give back."""

    def record(self, line: Mapping[str, Any]) -> None:
        """Adds a line to the journal."""
        self._journal.append(json.dumps(line))

    def records(self) -> Iterator[dict[str, Any]]:
        """The journal, oldest first."""
        return map(json.loads, list(self._journal))


class Folder:
    """A run folder: `store.json`, `journal.jsonl`, `clips/`, and `damaged/` clips.

    Nothing is created before the first write. Several processes may share it. A clip that is put
    is at once where a kill cannot take it; disks are slow to say that it would outlast a power cut
    too, so that is asked beside the next steps. One that a power cut tore is known by its hash.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.damaged: dict[str, str] = {}
        self._claims: IO[bytes] | None = None
        self._names = itertools.count()
        self._syncing: Lane[None] | None = None
        self._check()

    def has(self, key: str) -> bool:
        """Whether a clip is there, unread."""
        return self._file(key).exists()

    def get(self, key: str) -> Clip | None:
        """The clip, if it is there with the bytes that were written; else it is set aside."""
        file = self._file(key)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MachineError(
                "a stored clip cannot be read", f"{file}: {error.strerror}"
            ) from None
        try:
            return unpack(data, key)
        except ValueError as error:
            self._set_aside(file, key, str(error))
            return None

    def put(self, key: str, clip: Clip) -> None:
        """Writes beside the place and moves into it; MachineError if the disk does not take it.

        It may also refuse one of the UNSYNCED clips before.
        """
        file = self._file(key)
        self._open()
        with self._part(file, pack(clip, key)) as part:
            os.replace(part, file)
        if self._syncing is None:
            self._syncing = Lane("sync", UNSYNCED)
        if not self._syncing.room:
            self._syncing.take()
        self._syncing.give(partial(_synced, file))

    def settle(self) -> None:
        """Waits until all that was put is on the disk; MachineError if the disk refuses."""
        lane, self._syncing = self._syncing, None
        if lane is not None:
            with lane:
                pass

    def claim(self, key: str) -> bool:
        """Locks one byte of the file `claims`, which the system frees when the process ends."""
        if fcntl is None:
            return True
        try:
            fcntl.lockf(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(key))
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise _machine(error, self.path) from None
        return True

    def release(self, key: str) -> None:
        """Unlocks the key's byte."""
        if fcntl is not None:
            fcntl.lockf(self._open(), fcntl.LOCK_UN, 1, _byte(key))

    def record(self, line: Mapping[str, Any]) -> None:
        """Appends one line; a line that a crash tore is left alone and skipped when read."""
        self._open()
        try:
            with (self.path / "journal.jsonl").open("ab+") as file:
                torn = file.tell() > 0 and _last_byte(file) != b"\n"
                file.write((b"\n" if torn else b"") + json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise _machine(error, self.path / "journal.jsonl") from None

    def records(self) -> Iterator[dict[str, Any]]:
        """The journal, oldest first, without lines that were torn."""
        try:
            file = (self.path / "journal.jsonl").open("rb")
        except FileNotFoundError:
            return
        with file:
            yield from whole_lines(file)

    def keys(self) -> Iterator[str]:
        """Keys of all clips stored."""
        for file in sorted((self.path / "clips").glob("*/*.safetensors")):
            yield file.stem

    def drop(self, key: str) -> int:
        """Removes a clip; the bytes that were freed."""
        file = self._file(key)
        try:
            size = file.stat().st_size
            file.unlink()
        except FileNotFoundError:
            return 0
        return size

    def _file(self, key: str) -> Path:
        return self.path / "clips" / key[:2] / f"{key}.safetensors"

    def _check(self) -> None:
        """Refuses a folder that is something else, or a run of another format; creates nothing."""
        path = self.path
        if not os.path.lexists(path):
            while not os.path.lexists(path):
                path = path.absolute().parent
            if not os.path.isdir(path) or not os.access(path, os.W_OK | os.X_OK):
                where = f"{self.path}: cannot be made in {path}"
                raise InputError("no place for a run folder", where, "another --run")
            return
        if not os.path.isdir(path):
            raise InputError("not a folder", str(self.path), "another --run")
        marker = self.path / MARKER
        try:
            data = marker.read_bytes()
        except FileNotFoundError:
            if any(not _ours(entry.name) for entry in self.path.iterdir()):
                hint = "a new or an empty folder"
                raise InputError("not a run folder", str(self.path), hint) from None
            return
        except OSError:
            data = b""
        check_marker(data, str(marker))

    def _open(self) -> IO[bytes]:
        """Makes the folder at the first write and takes a share of its lock; the file of claims."""
        if self._claims is None:
            self._check()
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._presence = (self.path / "lock").open("ab+")
                if fcntl is not None:
                    self._sweep(self._presence)
                self._claims = (self.path / "claims").open("ab+")
            except OSError as error:
                raise _machine(error, self.path) from None
            if not (self.path / MARKER).exists():
                self._write(self.path / MARKER, check_marker(None, ""))
        return self._claims

    def _sweep(self, lock: IO[bytes]) -> None:
        """Removes what interrupted writes left, if nobody else is writing."""
        self._alone(lock)
        fcntl.flock(lock, fcntl.LOCK_SH)

    def _alone(self, lock: IO[bytes]) -> bool:
        """Whether nobody else uses the folder; nobody else can then begin to, and it is swept."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        for file in (*self.path.glob(".tmp-*"), *self.path.glob("clips/*/.tmp-*")):
            file.unlink(missing_ok=True)
        return True

    def _write(self, file: Path, data: bytes) -> None:
        """Puts a file in its place, whole even after a power cut."""
        self._open()
        with self._part(file, data) as part:
            _fsync(part)
            os.replace(part, file)
            _sync(file.parent)

    @contextmanager
    def _part(self, file: Path, data: bytes) -> Iterator[Path]:
        """The bytes in a file beside their place; it is gone if the block fails."""
        part = file.parent / f".tmp-{os.getpid()}-{next(self._names)}"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            yield part
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _machine(error, file) from None

    def _set_aside(self, file: Path, key: str, why: str) -> None:
        aside = self.path / "damaged" / file.name
        try:
            aside.parent.mkdir(exist_ok=True)
            os.replace(file, aside)
        except FileNotFoundError:  # another process was faster
            pass
        except OSError as error:
            raise _machine(error, aside) from None
        self.damaged[key] = why


def check_marker(data: bytes | None, where: str) -> bytes:
    """The content of a run's `store.json`; InputError if `data`, which was found there, means another."""
    text = json.dumps({"format": FORMAT, "version": VERSION}) + "\n"
    if data is None:
        return text.encode()
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError("not a run folder", where, "another --run")
    if found.get("version") != VERSION:
        raise InputError(
            f"a run of format {found.get('version')}",
            where,
            f"a new --run, or the version that wrote it (this one reads format {VERSION})",
        )
    return data


def pack(clip: Clip, key: str = "") -> bytes:
    """A clip as the bytes of a safetensors file that carries its own hash."""
    from safetensors.torch import save

    tensors = {"frames": clip.frames, **{CARRY + name: t for name, t in clip.carry.items()}}
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    at = canonical(clip.at)
    return save(tensors, {"key": key, "at": at, "sha256": _digest(tensors, key, at)})


def unpack(data: bytes, key: str = "") -> Clip:
    """What `pack` was given; ValueError if the bytes are not those of `key`."""
    from safetensors.torch import load

    try:
        size = int.from_bytes(data[:8], "little")
        notes = json.loads(data[8 : 8 + size])["__metadata__"]
        tensors, at, named = load(data), notes["at"], notes["key"]
        whole = _digest(tensors, named, at) == notes["sha256"]
    except Exception:  # whatever a flipped bit makes of a header, the file is damaged
        raise ValueError("the stored clip is not readable") from None
    if not whole or named != key:
        raise ValueError("the stored clip has changed since it was written")
    carry = {n.removeprefix(CARRY): t for n, t in tensors.items() if n.startswith(CARRY)}
    return Clip(tensors["frames"], tuple(json.loads(at)), carry)


def _digest(tensors: Mapping[str, Tensor], key: str, at: str) -> str:
    import torch

    digest = hashlib.sha256(f"{key} {at}".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _machine(error: OSError, where: Path) -> MachineError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "the disk is full" if full else (error.strerror or str(error)).lower()
    return MachineError(what, str(where), "freeing space" if full else "")


def _byte(key: str) -> int:
    """A key's byte of the file of claims; two keys on one byte would wait for each other."""
    return int(key[:12], 16)


def _ours(name: str) -> bool:
    return name in ("lock", "claims", ENDLESS) or name.startswith(".tmp-")


def _last_byte(file: IO[bytes]) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _synced(file: Path) -> None:
    """Has a file that was moved into its place outlast a power cut."""
    try:
        _fsync(file)
        _sync(file.parent)
    except FileNotFoundError:  # an endless film needs it no more
        pass
    except OSError as error:
        raise _machine(error, file) from None


def _fsync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    """Makes a move survive a power cut, where folders can be synced."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
