"""Takes of a world as latents, and what is told about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake import worlds
from longtake.clip import Codec
from longtake.controls import Controls
from longtake.keys import fingerprint
from longtake.lab.shared import SIZE
from longtake.steps import Indices


@dataclasses.dataclass(frozen=True)
class Stretch:
    """`frames` frames of a world from `start` on. knobs: as `worlds.make` has them."""

    world: str
    seed: int
    start: int
    frames: int
    knobs: Mapping[str, Any]

    def made(self) -> Any:
        """The world."""
        return worlds.make(self.world, seed=self.seed, size=SIZE, **self.knobs)

    @property
    def places(self) -> range:
        """Of its frames in the world."""
        return range(self.start, self.start + self.frames)


@dataclasses.dataclass(frozen=True)
class Takes:
    """latents (n, s, c, h, w) in half precision, or codes; truth: by name (n, s, ...), of the frame in
    the middle of each latent one.
    """

    latents: Tensor
    truth: Mapping[str, Tensor]
    stretches: tuple[Stretch, ...]

    def __len__(self) -> int:
        return len(self.latents)

    def video(self, count: int | None = None) -> Tensor:
        """The first `count` takes as they are, in bytes (n, t, 3, h, w)."""
        return torch.stack([s.made().render(s.places) for s in self.stretches[:count]])

    def clips(
        self, rng: np.random.Generator, count: int, length: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (b, t, c, h, w) of `count` unbroken runs, their rows (b,) and places (b, t)."""
        rows = torch.from_numpy(rng.integers(len(self), size=count))
        begin = torch.from_numpy(rng.integers(self.latents.shape[1] - length + 1, size=count))
        places = begin[:, None] + torch.arange(length)
        return self.at(rows, places), rows, places

    def at(self, rows: Tensor, places: Tensor) -> Tensor:
        """Latents (b, t, c, h, w) of rows (b,) at places (b, t)."""
        found = self.latents[rows[:, None], places]
        return found.float() if found.is_floating_point() else found


def encoded(stretches: Sequence[Stretch], codec: Codec) -> dict[str, Tensor]:
    """Latents and truth of stretches; what `Takes` holds, as tensors."""
    stride = codec.spec.stride
    latents, truths = [], []
    for stretch in stretches:
        made = stretch.made()
        pixels = made.render(stretch.places).float() / 255
        found = codec.encode(pixels[None])[0].cpu()
        latents.append(found.half() if found.is_floating_point() else found)
        truth = made.truth(list(stretch.places[stride // 2 :: stride]))
        truths.append({name: value.float() for name, value in truth.items() if name != "depth"})
    joined = {name: torch.stack([truth[name] for truth in truths]) for name in truths[0]}
    return {"latents": torch.stack(latents), **joined}


@dataclasses.dataclass(frozen=True)
class Told(Controls):
    """Controls given as rows of numbers (t, d), one for every index from 0 on."""

    rows: Tensor | None = None

    def at(self, indices: Sequence[int]) -> Mapping[str, Tensor]:
        """Track "text"; the last row holds on."""
        if self.rows is None:
            return {}
        places = torch.tensor(list(indices)).clamp(max=len(self.rows) - 1)
        return {"text": self.rows[places]}

    def digest(self, indices: Indices) -> str:
        """Of the rows."""
        told = self.at(indices)
        return fingerprint([told["text"].tolist()]) if told else ""
