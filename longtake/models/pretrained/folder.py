"""A diffusers pipeline's folder, read without torch and believed only as far as it was checked.

Weights are safetensors only: their headers are parsed here, so that a cut file, a missing shard or a
pickle is found before anything is loaded. No code of the folder is ever run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from longtake.errors import InputError
from longtake.keys import fingerprint

INDEX = "model_index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# the last: classes that diffusers keeps beside a pipeline of its own
LIBRARIES = ("diffusers", "transformers", "ltx2")
WEIGHTLESS = ("Scheduler", "Tokenizer", "Processor", "FeatureExtractor")
_WHOLE = 64 << 20  # bytes; of larger files, evenly spread blocks are hashed
_BLOCK, _BLOCKS = 1 << 20, 64
_LONGEST_HEADER = 100 << 20
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    struct.error,
)
HINT = "a folder that diffusers' save_pretrained wrote, with safetensors"


def is_pipeline(folder: Path) -> bool:
    """Whether a folder claims to be a diffusers pipeline."""
    return (folder / INDEX).is_file()


@dataclasses.dataclass(frozen=True)
class Tensors:
    """What a safetensors file's header says: shape by tensor name, tensors of whole numbers, and its notes."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    bytes: int
    whole: frozenset[str] = frozenset()
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Folder:
    """A pipeline's folder: its class, its components as name to (library, class), what else it states."""

    path: Path
    kind: str
    components: Mapping[str, tuple[str, str]]
    settings: Mapping[str, Any]

    def require(self, components: Iterable[str]) -> None:
        """InputError for the first of these that the pipeline is said to be without."""
        for name in components:
            if name not in self.components:
                raise InputError(f"the component '{name}' is missing", str(self.path / INDEX), HINT)

    def config(self, component: str) -> Mapping[str, Any]:
        """A component's configuration; empty where it has none."""
        for name in ("config.json", "scheduler_config.json"):
            place = self.path / component / name
            if place.is_file():
                return _json(place)
        return {}

    def weights(self, component: str) -> tuple[Path, ...]:
        """A component's safetensors files, checked to be whole; none for those without weights."""
        folder, (_, kind) = self.path / component, self.components[component]
        if any(word in kind for word in WEIGHTLESS):
            return ()
        indices = sorted(folder.glob("*.safetensors.index.json"))
        if indices:
            stated = _json(indices[0]).get("weight_map")
            if not isinstance(stated, dict) or not stated:
                raise InputError("it names no shards of the weights", str(indices[0]), HINT)
            shards = sorted({str(name) for name in stated.values()})
            outside = [name for name in shards if Path(name).name != name]
            if outside:
                what = f"a shard of the weights lies elsewhere: {outside[0]}"
                raise InputError(what, str(indices[0]), HINT)
            missing = [name for name in shards if not (folder / name).is_file()]
            if missing:
                raise InputError(
                    "a shard of the weights is missing", str(folder / missing[0]), HINT
                )
            return tuple(folder / name for name in shards)
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            pickles = [p for p in sorted(folder.iterdir()) if p.suffix in PICKLES]
            if pickles:
                what = "weights are a pickle, which is never loaded"
                raise InputError(what, str(pickles[0]), "the same weights as .safetensors")
            raise InputError(f"no weights for the component '{component}'", str(folder), HINT)
        plain = [p for p in files if "." not in p.stem]  # without a variant, as in model.fp16
        return tuple((plain or files)[:1])

    @cached_property
    def tensors(self) -> Mapping[str, tuple[Tensors, ...]]:
        """Headers of every component's weights; raises InputError for what is missing or cut."""
        found = {name: tuple(map(header, self.weights(name))) for name in self.components}
        for name, files in found.items():
            self._check_layers(name, sum(len(one.shapes) for one in files))
        return found

    def _check_layers(self, component: str, tensors: int) -> None:
        """InputError for a configuration of more layers than there are tensors, before they are laid out."""
        for key, value in self.config(component).items() if tensors else ():
            counts = "layers" in key and isinstance(value, int)
            if counts and value > tensors:
                what = f"{key} is {value}, and the weights hold {tensors} tensors"
                raise InputError(what, str(self.path / component), HINT)

    @property
    def bytes(self) -> int:
        """Of all weights."""
        return sum(one.bytes for files in self.tensors.values() for one in files)

    @cached_property
    def fingerprint(self) -> str:
        """Of class, configurations and weights; of weights beyond 64 MB by evenly spread blocks."""
        parts: list[Any] = [self.kind, dict(self.components), dict(self.settings)]
        for name in sorted(self.components):
            texts = [p for p in sorted((self.path / name).glob("*.json")) if p.is_file()]
            parts += [(name, t.name, fingerprint(t.read_bytes())) for t in texts]
            parts += [(name, one.path.name, sampled(one.path)) for one in self.tensors[name]]
        return fingerprint(parts)


def read_folder(path: Path) -> Folder:
    """The folder of a pipeline; InputError names the first thing wrong with it."""
    index = _json(path / INDEX)
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        raise InputError("it names no pipeline class", str(path / INDEX), HINT)
    components, settings = {}, {}
    for name, value in index.items():
        if name.startswith("_"):
            continue
        if not (isinstance(value, list) and len(value) == 2):
            settings[name] = value
        elif all(isinstance(part, str) for part in value):
            components[name] = (value[0], value[1])
    for name, (library, _) in components.items():
        where = f"{path / INDEX}, component {name}"
        if not name.isidentifier():
            raise InputError(f"'{name}' is no component's name", where, HINT)
        if library not in LIBRARIES:
            what = f"a component from '{library}' would run code that is not diffusers' own"
            raise InputError(what, where, "a pipeline made of diffusers and transformers classes")
        if not (path / name).is_dir():
            raise InputError(f"the component '{name}' is missing", str(path / name), HINT)
        for place in sorted((path / name).iterdir()):
            if not (place.is_file() or place.is_dir()):  # a pipe would be waited for
                raise InputError("it is no file", str(place), HINT)
    return Folder(path, kind, components, settings)


def header(path: Path) -> Tensors:
    """The header of a safetensors file; InputError if the file is shorter or longer than it says."""
    if not path.is_file():
        raise InputError("weights are no file", str(path), "the file fetched again")
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if not 2 <= length <= min(size, _LONGEST_HEADER):
                raise ValueError("no safetensors header")
            stated = json.loads(file.read(length))
        notes = dict(stated.pop("__metadata__", None) or {})
        shapes = {name: tuple(map(int, one["shape"])) for name, one in stated.items()}
        ints = frozenset(name for name, one in stated.items() if str(one["dtype"])[:1] in "IUB")
        ints -= {name for name in ints if stated[name]["dtype"] == "BF16"}
        ends = [int(one["data_offsets"][1]) for one in stated.values()]
    except _UNREADABLE as error:
        what = f"weights cannot be read: {error}"
        raise InputError(what, str(path), "the file fetched again") from None
    whole = 8 + length + max(ends, default=0)
    if size != whole:
        what = f"weights are cut: {size} bytes of {whole}"
        raise InputError(what, str(path), "the file fetched again")
    return Tensors(path, shapes, size, ints, notes)


def sampled(path: Path) -> str:
    """Names a file's bytes: all of them up to 64 MB, evenly spread blocks of larger ones."""
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        for start in _starts(size):
            file.seek(start)
            digest.update(file.read(_BLOCK))
    return f"{size} {digest.hexdigest()[:32]}"


def _starts(size: int) -> Iterator[int]:
    if size <= _WHOLE:
        yield from range(0, size, _BLOCK)
        return
    step = (size - _BLOCK) // (_BLOCKS - 1)
    yield from (n * step for n in range(_BLOCKS))


def _json(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        raise InputError("it is no file", str(path), HINT)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("a file is missing", str(path), HINT) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read it: {error}", str(path), HINT) from None
    if not isinstance(found, dict):
        raise InputError("not an object of names and values", str(path), HINT)
    return found
