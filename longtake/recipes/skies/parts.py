"""Reading a weight file: its sizes without torch, its tensors with it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from longtake.controls import Shot
from longtake.errors import InputError
from longtake.keys import file_fingerprint
from longtake.models.samplers import Sampling
from longtake.prompts.planners import Sentences

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.prompts.text import WordEncoder

# of clips, in films and where the decoder learns what sampling leaves
SAMPLING = Sampling(steps=8, shift=3.0, guidance=2.5, hold=0.05, context=1.3)
ROWS = ":rows"
HINT = "installing longtake again, or `longtake train skies`"


class Sizes(dict[str, Any]):
    """A network's sizes by name; InputError for one that the file does not state."""

    def __init__(self, stated: Mapping[str, Any], path: Path) -> None:
        super().__init__(stated)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise InputError(f"weights of another kind: no size '{name}'", str(self.path), HINT)


def sizes(path: Path) -> Sizes:
    """The network's sizes; raises InputError on a missing, cut or foreign file.

    No network is built whose sizes its own tensors could not fill: a header that claims more
    would take the machine's memory before its tensors are found not to fit.
    """
    try:
        with safe_open(path, "np") as file:
            notes = file.metadata() or {}
            counts = [math.prod(file.get_slice(name).get_shape()) for name in file.keys()]
        stated = json.loads(notes.get("shape", "null"))
    except FileNotFoundError:
        raise InputError("weights are missing", str(path), HINT) from None
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise InputError(f"weights cannot be read: {error}", str(path), HINT) from None
    if not isinstance(stated, dict):
        raise InputError("weights of another kind: they state no sizes", str(path), HINT)
    for name, size in stated.items():
        if not all(type(one) in (int, float) and 0 < one < math.inf for one in _each(size)):
            raise InputError(f"weights with {name}={size}", str(path), HINT)
    blocks = max(
        (sum(_each(n)) for name, n in stated.items() if name.endswith("blocks")), default=1
    )
    widths = [n for name, n in stated.items() if not name.endswith("blocks")]
    widest = max((n for width in widths for n in _each(width) if type(n) is int), default=1)
    if widest**2 > max(counts, default=0) or blocks * widest**2 > sum(counts):
        what = f"weights claim {blocks} blocks {widest} wide, and do not hold them"
        raise InputError(what, str(path), HINT)
    return Sizes(stated, path)


def _each(size: Any) -> list[Any]:
    return size if isinstance(size, list) else [size]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Sizes, and tensors in single precision; see `save`."""
    from safetensors.torch import load_file

    shape, stored = sizes(path), load_file(path)
    if not all(value.isfinite().all() for value in stored.values()):
        raise InputError("weights that are not finite numbers", str(path), HINT)
    state = {name: value.float() for name, value in stored.items() if not name.endswith(ROWS)}
    for name, scale in stored.items():
        if name.endswith(ROWS):
            whole = state[name.removesuffix(ROWS)]
            whole.mul_(scale.float().view(-1, *[1] * (whole.ndim - 1)))
    return shape, state


@contextlib.contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turns a network's complaints over sizes or tensors into an InputError that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise InputError(f"weights of another kind: {first}", str(path), HINT) from error


def save(state: Mapping[str, Tensor], path: Path, shape: Any, *, rows: bool = False) -> None:
    """A state in half precision, the network's sizes (a dataclass) in its metadata.

    rows: matrices and filters as 8-bit integers with one scale a row; half the size again.
    """
    import torch
    from safetensors.torch import save_file

    stored = {}
    for name, value in state.items():
        value = value.detach().cpu().float().contiguous()
        if rows and value.ndim > 1:
            scale = value.flatten(1).abs().amax(1).clamp(min=1e-8) / 127
            value = value / scale.view(-1, *[1] * (value.ndim - 1))
            stored[name], stored[name + ROWS] = value.round().to(torch.int8), scale.half()
        else:
            stored[name] = value.half()
    part = path.with_suffix(".part")
    save_file(stored, part, {"shape": json.dumps(dataclasses.asdict(shape))})
    part.replace(path)


class Words:
    """The text encoder, read at first use; its fingerprint needs no torch."""

    shown = ("land",)  # by a picture of the user's, whatever the words say

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights."""
        try:
            return file_fingerprint(self.path)
        except OSError:
            raise InputError("weights are missing", str(self.path), HINT) from None

    @cached_property
    def reader(self) -> WordEncoder:
        """The encoder itself."""
        from longtake.prompts.text import WordEncoder

        return WordEncoder(self.path)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(p, 27): see `WordEncoder`."""
        return self.reader.encode(prompts)

    def beside(self, prompts: Sequence[str]) -> Tensor:
        """The same without what a picture shows."""
        return self.reader.encode(prompts, without=self.shown)

    def understood(self, prompt: str) -> dict[str, tuple[str, float]]:
        """What the prompt was read as: attribute to class and probability."""
        return self.reader.understood(prompt)


@dataclasses.dataclass(frozen=True)
class Story:
    """What comes "then" in a prompt, as a shot that flows on; it says the land again where it names none."""

    words: Words
    together: bool = True  # sentences, in one shot

    def by_sentences(self) -> Story:
        """The same with a shot for every sentence."""
        return dataclasses.replace(self, together=False)

    def plan(self, brief: str, seconds: float) -> tuple[Shot, ...]:
        """See `Sentences`; no word is read of a brief that is one shot."""
        first, *others = Sentences(self.together).plan(brief, seconds)
        shots, land = [first], self._land(first) if others else ""
        for shot in others:
            own = self._land(shot)
            silent = land and not own and not shot.cut
            told = f"{shot.prompt}, {land}" if silent else shot.prompt
            shots.append(dataclasses.replace(shot, prompt=told))
            land = own or (land if not shot.cut else "")
        return tuple(shots)

    def _land(self, shot: Shot) -> str:
        return self.words.understood(shot.prompt).get("land", ("", 0.0))[0]
