"""Reading a weight file: its sizes without torch, its tensors with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from longtake.errors import InputError
from longtake.keys import file_fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.prompts.text import WordEncoder

ROWS = ":rows"
HINT = "installing longtake again, or `longtake train skies`"


def sizes(path: Path) -> dict[str, Any]:
    """The network's sizes; raises InputError on a missing, cut or foreign file."""
    try:
        with safe_open(path, "np") as file:
            return dict(json.loads(file.metadata()["shape"]))
    except FileNotFoundError:
        raise InputError("weights are missing", str(path), HINT) from None
    except (SafetensorError, TypeError, KeyError, ValueError, OSError) as error:
        raise InputError(f"weights cannot be read: {error}", str(path), HINT) from None


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Sizes, and tensors in single precision; see `save`."""
    from safetensors.torch import load_file

    shape, stored = sizes(path), load_file(path)
    state = {name: value.float() for name, value in stored.items() if not name.endswith(ROWS)}
    for name, scale in stored.items():
        if name.endswith(ROWS):
            whole = state[name.removesuffix(ROWS)]
            whole.mul_(scale.float().view(-1, *[1] * (whole.ndim - 1)))
    return shape, state


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

    def understood(self, prompt: str) -> dict[str, tuple[str, float]]:
        """What the prompt was read as: attribute to class and probability."""
        return self.reader.understood(prompt)
