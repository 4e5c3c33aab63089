"""A proof's bench: its folder, its seed and its scale; what is made on it is kept and found again."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.errors import InputError, nearest
from longtake.keys import fingerprint
from longtake.lab.films import sheet
from longtake.lab.home import weights_of
from longtake.lab.shared import codec
from longtake.lab.takes import Stretch, Takes, encoded
from longtake.train import Logged, Losses, Schedule, fit, in_half

SCALES: Mapping[str, float] = {"cpu": 1.0, "gpu": 10.0}  # steps of a training, times this


@dataclasses.dataclass(frozen=True)
class Trained:
    """A line of an arm's training curve."""

    arm: str
    of: int  # steps in all
    logged: Logged

    def line(self) -> dict[str, Any]:
        """For the curve's file and `--json`."""
        return self.logged.line() | {"arm": self.arm, "of": self.of}


@dataclasses.dataclass(frozen=True)
class Lab:
    """Where an experiment is run.

    folder: everything stands there, so that a proof goes on where it stopped. seed: of the data, of
    every training and of every film. hurry: share of the steps and films, below 1 for a trial whose
    numbers mean nothing.
    """

    folder: Path
    seed: int = 0
    scale: str = "cpu"
    device: str = "cpu"
    hurry: float = 1.0

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise InputError(
                f"unknown scale '{self.scale}'", "--scale", nearest(self.scale, SCALES)
            )

    def count(self, whole: int, least: int = 2) -> int:
        """How many of `whole` steps, takes or films: fewer in a hurry."""
        return max(least, round(whole * self.hurry)) if self.hurry < 1 else whole

    def number(self, name: str) -> int:
        """A seed of its own for each use, out of the proof's."""
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:6], "big")

    def kept(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors made once and kept under `name`."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            save_file({n: value.contiguous() for n, value in make().items()}, part)
            os.replace(part, path)
        return load_file(path)

    def takes(
        self,
        world: str,
        count: int,
        frames: int,
        /,  # worlds have knobs of these names
        *,
        use: str = "train",
        kind: str = "kl",
        same: int | None = None,
        **knobs: Any,
    ) -> Takes:
        """`count` takes of a world as latents of its shared codec, with the truth of every frame.

        use: takes for another use are other takes. same: the seed of the one world of which all takes
        are stretches; otherwise each has a world of its own. knobs: as `worlds.make` has them.
        """
        count, code = self.count(count, least=8), codec(world, kind, self.device)
        drawn = [self.number(f"{use}/{n}") for n in range(count)]
        if same is None:
            stretches = [Stretch(world, n % 2**31, 0, frames, knobs) for n in drawn]
        else:
            stretches = [Stretch(world, same, n % 10**6, frames, knobs) for n in drawn]
        asked = fingerprint([code.spec.fingerprint, [dataclasses.astuple(s) for s in stretches]])
        made = self.kept(f"takes/{use}-{asked[:8]}", lambda: encoded(stretches, code))
        truth = {name: value for name, value in made.items() if name != "latents"}
        return Takes(made["latents"], truth, tuple(stretches))

    def train(
        self,
        arm: str,
        module: nn.Module,
        losses: Losses,
        batch: Callable[[int], Any],
        steps: int,
        **schedule: Any,
    ) -> Iterator[Trained]:
        """`module` trained in place for `steps`, numbered batches, products in bfloat16.

        schedule: as `train.Schedule`. Arms that are compared get equal steps of equal batches: by the
        clock a busy machine would train them unequally.
        """
        whole = max(1, round(self.count(steps) * SCALES[self.scale]))
        settings = {"rate": 2e-3, "ema": 0.995, "save_every": 100, "seed": self.seed} | schedule
        module.to(self.device)
        plan = Schedule(whole, **settings)
        for logged in fit(
            module, in_half(losses, self.device), batch, plan, self.folder / "arms" / arm
        ):
            yield Trained(arm, whole, logged)

    def trained(self, arm: str, module: nn.Module) -> nn.Module:
        """`module` with the averaged weights of an arm, ready to sample."""
        module.load_state_dict(load_file(weights_of(self.folder, arm)), strict=False)
        return module.to(self.device).eval().requires_grad_(False)

    def sheet(self, name: str, films: Tensor, **settings: Any) -> Path:
        """A contact sheet of films (n, t, 3, h, w) in [0, 1], one film a row, beside the results."""
        path = self.folder / f"{name}.png"
        sheet(films, path, **settings)
        return path
