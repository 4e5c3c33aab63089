"""The only training loop: losses of a module over numbered batches, EMA, checkpoints, exact resume.

One process or many (`torchrun`), by the same call; see `ranks`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from longtake.errors import InputError
from longtake.train.averages import Average, Widths, average_of, reconstructed
from longtake.train.charts import charted
from longtake.train.compute import Compute
from longtake.train.game import Tools, add, adversarial, expect, gradients, players, settling
from longtake.train.keeping import forget_after, resume, save
from longtake.train.muon import Muon, optimisers, orthogonal
from longtake.train.ranks import Ranks

__all__ = [
    "Average",
    "Compute",
    "Logged",
    "Muon",
    "Ranks",
    "Schedule",
    "Tools",
    "Widths",
    "adversarial",
    "charted",
    "fit",
    "in_half",
    "optimisers",
    "orthogonal",
    "reconstructed",
]

Losses = Callable[[Any], Mapping[str, Tensor]]  # a batch -> named losses, (b,) or scalars
Batches = Callable[[int], Any]  # a step's number -> its batch: what makes resume exact


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how fast. minutes: stop early on the clock, the rate falling to zero by then.

    ema: a decay, or `Widths` of power functions, of which any other width can be had afterwards. seed: of torch's own generator, set anew for every batch, so that what losses draw is resumed too.
    pieces: batches to a step, shared out among the processes there are; a step's gradient is their mean.
    """

    steps: int
    rate: float = 2e-3
    warmup: int = 50
    minutes: float | None = None
    ema: float | Widths = 0.999
    save_every: int = 200
    log_every: int = 20
    clip: float = 1.0
    seed: int = 0
    pieces: int = 1

    def __post_init__(self) -> None:
        if self.pieces < 1:
            raise InputError(f"pieces={self.pieces}", "Schedule", "1 or more")

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that is over, by steps or by the clock."""
        share = step / self.steps
        return share if self.minutes is None else max(share, seconds / 60 / self.minutes)

    def left(self, step: int, seconds: float) -> float:
        """Seconds still to go after so many, as fast as so far."""
        share = self.progress(step, seconds)
        return seconds * (1 - share) / share if 0 < share < 1 else 0.0

    def factor(self, step: int, seconds: float) -> float:
        """Learning-rate factor: linear warm-up, flat, then down to zero over the last 40 %."""
        down = min(1.0, max(0.0, (1 - self.progress(step, seconds)) / 0.4))
        return min(1.0, (step + 1) / self.warmup) * down


@dataclasses.dataclass(frozen=True)
class Logged:
    """A line of the training curve. seconds: so far; left: still to go, as fast as so far."""

    step: int
    seconds: float
    losses: Mapping[str, float]
    left: float = 0.0

    def line(self) -> dict[str, Any]:
        """For the curve's file and `--json`."""
        clock = {"seconds": round(self.seconds, 1), "left": round(self.left, 1)}
        return (
            {"event": "logged", "step": self.step}
            | clock
            | {name: round(value, 6) for name, value in self.losses.items()}
        )


def in_half(losses: Losses, device: str = "cpu", dtype: torch.dtype = torch.bfloat16) -> Losses:
    """The same losses, their products of matrices in half precision; weights and sums stay whole."""

    def mixed(batch: Any) -> Mapping[str, Tensor]:
        with torch.autocast(device, dtype=dtype):
            return {name: loss.float() for name, loss in losses(batch).items()}

    return mixed


def fit(
    module: nn.Module,
    losses: Losses,
    batches: Batches,
    schedule: Schedule,
    folder: Path,
    parts: Mapping[str, nn.Module] | None = None,
    tools: Tools = optimisers,
    watch: Callable[[int], None] | None = None,
    compute: Compute | None = None,
) -> Iterator[Logged]:
    """Trains `module` in place and yields its curve; continues from `folder` if a checkpoint is there.

    parts: by a loss's name, the part of `module` which that loss alone trains (a generator, a
    critic); each part has optimisers of its own, all losses of one step are taken at the same
    weights, and weights in no part are trained by the losses not named. Batches are numbered
    through: `schedule.pieces` to a step. watch: called with the step at every checkpoint while the
    module wears its averaged weights, to look at samples; it changes nothing in the training. At
    the end, and in `folder/average.safetensors`, stand the averaged weights. Of several processes
    (`Ranks`) the first writes and watches; with weights in shards all watch, because all are needed,
    and afterwards the module stays in shards. InputError where the losses do not have the parts'
    names, and for shards of several players.
    """
    ranks, compute = Ranks.here(), compute or Compute()
    mine = ranks.share(schedule.pieces)
    folder.mkdir(parents=True, exist_ok=True)
    parts = parts or {}
    ranks.copy([*module.parameters(), *module.buffers()])
    if parts and compute.sharded and ranks.count > 1:
        raise InputError("several players in shards", "Compute", "sharded=False")
    shards = compute.shards(module, ranks)
    team = players(module, parts, tools, schedule.rate)
    average = average_of(module, schedule.ema)
    everyone = [tool for player in team for tool in player.tools]
    step, spent = resume(module, everyone, average, folder)
    ranks.wait()
    if ranks.first:
        forget_after(folder, step)
    begun, sums = time.monotonic() - spent, dict[str, list[float]]()

    def elapsed() -> float:
        seconds = time.monotonic() - begun
        return seconds if schedule.minutes is None else ranks.agree(seconds)

    def keep() -> None:
        if ranks.first or shards is not None:
            seconds = time.monotonic() - begun
            save(module, everyone, average, folder, step, seconds, ranks.first)

    def found() -> list[list[Tensor | None]]:
        """The step's gradients, of every player."""
        summed: list[list[Tensor | None]] = [[None] * len(player.params) for player in team]
        for piece in mine:
            number = step * schedule.pieces + piece
            torch.manual_seed(_seed(schedule.seed, number))
            named = losses(batches(number))
            expect(parts, named, team)
            if shards is not None:
                shards.add(team[0].total(named, frozenset()) / schedule.pieces, piece == mine[-1])
            else:
                add(summed, gradients(team, named, frozenset(parts), schedule.pieces))
            for name, loss in named.items():
                sums.setdefault(name, []).append(float(loss.detach().mean()))
        if shards is not None:
            return [shards.taken(team[0].params)]
        return [
            ranks.total(grads, player.params) for player, grads in zip(team, summed, strict=True)
        ]

    with compute.applied(module), settling(module) as books:
        while schedule.progress(step, seconds := elapsed()) < 1:
            with compute.working():
                taken = found()
            norms = [
                player.descend(grads, schedule.clip, schedule.factor(step, seconds))
                for player, grads in zip(team, taken, strict=True)
            ]
            torch.manual_seed(_seed(schedule.seed, -1 - step))
            for book in books:
                book.settle(ranks.sum)
            ranks.copy(list(module.buffers()))
            if all(math.isfinite(norm) for norm in norms):
                average.follow(module, step)
            step += 1
            if step % schedule.log_every == 0:
                told = {name: sum(values) / len(values) for name, values in sums.items()}
                means = ranks.means(told) | {"norm": max(norms)}
                sums.clear()
                seconds = time.monotonic() - begun
                logged = Logged(step, seconds, means, schedule.left(step, seconds))
                if ranks.first:
                    with (folder / "curve.jsonl").open("a") as file:
                        file.write(json.dumps(logged.line()) + "\n")
                yield logged
            if step % schedule.save_every == 0:
                keep()
                if watch is not None and (ranks.first or shards is not None):
                    with average.worn(module):
                        watch(step)
    keep()
    ranks.wait()
    module.load_state_dict(average.weights, strict=False)


def _seed(seed: int, number: int) -> int:
    """Of torch's generator at a batch."""
    data = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(data[:8], "big", signed=True)
