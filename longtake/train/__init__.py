"""The only training loop: losses of a module over numbered batches, EMA, checkpoints, exact resume.

One process or many (`torchrun`), by the same call; see `ranks`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.errors import InputError
from longtake.train.charts import charted
from longtake.train.ranks import Ranks

__all__ = [
    "Average",
    "Logged",
    "Muon",
    "Ranks",
    "Schedule",
    "adversarial",
    "charted",
    "fit",
    "in_half",
    "optimisers",
    "orthogonal",
]

Losses = Callable[[Any], Mapping[str, Tensor]]  # a batch -> named losses, (b,) or scalars
Batches = Callable[[int], Any]  # a step's number -> its batch: what makes resume exact
Tools = Callable[[nn.Module, Sequence[nn.Parameter], float], list[torch.optim.Optimizer]]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how fast. minutes: stop early on the clock, the rate falling to zero by then.

    seed: of torch's own generator, set anew for every batch, so that what losses draw is resumed too.
    pieces: batches to a step, shared out among the processes there are; a step's gradient is their mean.
    """

    steps: int
    rate: float = 2e-3
    warmup: int = 50
    minutes: float | None = None
    ema: float = 0.999
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

    def factor(self, step: int, seconds: float) -> float:
        """Learning-rate factor: linear warm-up, flat, then down to zero over the last 40 %."""
        down = min(1.0, max(0.0, (1 - self.progress(step, seconds)) / 0.4))
        return min(1.0, (step + 1) / self.warmup) * down


@dataclasses.dataclass(frozen=True)
class Logged:
    """A line of the training curve."""

    step: int
    seconds: float
    losses: Mapping[str, float]

    def line(self) -> dict[str, Any]:
        """For the curve's file and `--json`."""
        return {"event": "logged", "step": self.step, "seconds": round(self.seconds, 1)} | {
            name: round(value, 6) for name, value in self.losses.items()
        }


class Average:
    """Exponential moving average of a module's weights, shorter while few steps are done."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {n: p.detach().clone() for n, p in module.named_parameters()}

    @torch.no_grad()
    def follow(self, module: nn.Module, step: int) -> None:
        """One step closer to the module."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, p in module.named_parameters():
            self.weights[name].lerp_(p.detach(), 1 - decay)

    @contextmanager
    def worn(self, module: nn.Module) -> Iterator[None]:
        """The module with these weights, in `eval`; afterwards exactly as it was."""
        modes = {part: part.training for part in module.modules()}
        kept = {name: value.detach().clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self.weights, strict=False)
        module.eval()
        try:
            yield
        finally:
            module.load_state_dict(kept)
            for part, mode in modes.items():
                part.training = mode


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal by five Newton-Schulz steps (Jordan et al. 2024).

    Filters count as matrices of (out, in * taps). An update is scaled to the size AdamW's would
    have, 0.2 sqrt(max(rows, columns)) (Liu et al. 2025), so that both share one learning rate.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                size = 0.2 * max(ahead.shape) ** 0.5
                p.add_(orthogonal(ahead).view_as(p), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the nearest orthogonal matrix: singular values between about 0.7 and 1.2."""
    low, high = sorted(matrix.shape)
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    steps = _by_squares if high >= 3 * low else _by_products
    found = steps(x / (x.norm() + 1e-7))
    return (found.T if matrix.shape[0] > matrix.shape[1] else found).to(matrix.dtype)


def _by_products(x: Tensor) -> Tensor:
    """Five Newton-Schulz steps in half precision."""
    x = x.bfloat16()
    for _ in range(5):
        x = _factor(x @ x.T) @ x
    return x


def _by_squares(x: Tensor) -> Tensor:
    """The same steps on a wide matrix's square, which they share all factors with: two wide products
    instead of ten. Squares of squares need single precision."""
    square = x.float() @ x.float().T
    whole = factor = _factor(square)
    for _ in range(4):
        square = factor @ square @ factor
        factor = _factor(square)
        whole = factor @ whole
    return whole @ x.float()


def _factor(square: Tensor) -> Tensor:
    """What a Newton-Schulz step multiplies a matrix of this square by (Jordan et al. 2024)."""
    factor = torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315)
    factor.diagonal().add_(3.4445)
    return factor


def optimisers(
    module: nn.Module, params: Sequence[nn.Parameter], rate: float
) -> list[torch.optim.Optimizer]:
    """Muon for hidden matrices and filters among `params`, AdamW for everything else.

    A layer that says `outer = True` (first and last layers, embeddings) goes to AdamW, so do
    depthwise filters.
    """
    outer = {id(p) for m in module.modules() if getattr(m, "outer", False) for p in m.parameters()}
    hidden = [p for p in params if p.ndim >= 2 and p.shape[1] > 1 and id(p) not in outer]
    chosen = {id(p) for p in hidden}
    others = [p for p in params if id(p) not in chosen]
    found: list[torch.optim.Optimizer] = []
    if hidden:
        found.append(Muon(hidden, lr=rate))
    if others:
        settings: Any = {"betas": (0.9, 0.98), "weight_decay": 0.0, "fused": True}
        found.append(torch.optim.AdamW(others, lr=rate, **settings))
    return found


def adversarial(
    module: nn.Module, params: Sequence[nn.Parameter], rate: float
) -> list[torch.optim.Optimizer]:
    """Adam without momentum, for players of a game (Karras et al. 2020, StyleGAN2, appendix B)."""
    return [torch.optim.Adam(params, lr=rate, betas=(0.0, 0.99))]


@dataclasses.dataclass(frozen=True)
class Player:
    """Weights that some of the losses train: `names`, or (None) all that train no other player."""

    names: frozenset[str] | None
    params: list[nn.Parameter]
    tools: list[torch.optim.Optimizer]

    def total(self, named: Mapping[str, Tensor], others: frozenset[str]) -> Tensor:
        """The sum of its losses' means."""
        mine = [
            loss.mean()
            for name, loss in named.items()
            if (name not in others if self.names is None else name in self.names)
        ]
        return torch.stack(mine).sum()

    def descend(self, grads: Sequence[Tensor | None], limit: float, rate: float) -> float:
        """One update at `rate` times each optimiser's own; none where the gradient is not finite.

        Returns the gradient's norm, which is cut at `limit`.
        """
        for p, grad in zip(self.params, grads, strict=True):
            p.grad = grad
        norm = float(nn.utils.clip_grad_norm_(self.params, limit))
        if math.isfinite(norm):
            for tool in self.tools:
                for group in tool.param_groups:
                    group["lr"] = group["peak"] * rate
                tool.step()
        for p in self.params:
            p.grad = None
        return norm


def players(
    module: nn.Module, parts: Mapping[str, nn.Module], tools: Tools, rate: float
) -> list[Player]:
    """One player for every part, and one for the weights in no part."""
    trained = [p for p in module.parameters() if p.requires_grad]
    owner: dict[int, nn.Module] = {}
    for name, part in parts.items():
        for p in part.parameters():
            if owner.setdefault(id(p), part) is not part:
                raise InputError(
                    "two parts share a weight", f"loss {name}", "parts without overlap"
                )
    if not {id(p) for p in module.parameters()} >= set(owner):
        raise InputError("a part is not of what is trained", "parts", "parts of the module")
    found = []
    for part in dict.fromkeys(parts.values()):
        names = frozenset(name for name, other in parts.items() if other is part)
        own = [p for p in trained if owner.get(id(p)) is part]
        found.append(Player(names, own, tools(module, own, rate) if own else []))
    rest = [p for p in trained if id(p) not in owner]
    if rest or not parts:
        found.append(Player(None, rest, tools(module, rest, rate)))
    for player in found:
        for tool in player.tools:
            for group in tool.param_groups:
                group["peak"] = group["lr"]
    return found


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
) -> Iterator[Logged]:
    """Trains `module` in place and yields its curve; continues from `folder` if a checkpoint is there.

    parts: by a loss's name, the part of `module` which that loss alone trains (a generator, a
    critic); each part has optimisers of its own, all losses of one step are taken at the same
    weights, and weights in no part are trained by the losses not named. Batches are numbered
    through: `schedule.pieces` to a step. watch: called with the step at every checkpoint while the
    module wears its averaged weights, to look at samples; it changes nothing in the training. At
    the end, and in `folder/average.safetensors`, stand the averaged weights. Of several processes
    (`Ranks`) the first writes. InputError where the losses do not have the parts' names.
    """
    ranks = Ranks.here()
    mine = ranks.share(schedule.pieces)
    folder.mkdir(parents=True, exist_ok=True)
    parts = parts or {}
    ranks.copy([*module.parameters(), *module.buffers()])
    team = players(module, parts, tools, schedule.rate)
    average = Average(module, schedule.ema)
    everyone = [tool for player in team for tool in player.tools]
    step, spent = _resume(module, everyone, average, folder)
    ranks.wait()
    if ranks.first:
        _forget_after(folder / "curve.jsonl", step)
    begun, sums = time.monotonic() - spent, dict[str, list[float]]()

    def elapsed() -> float:
        seconds = time.monotonic() - begun
        return seconds if schedule.minutes is None else ranks.agree(seconds)

    def save() -> None:
        if ranks.first:
            _save(module, everyone, average, folder, step, time.monotonic() - begun)

    while schedule.progress(step, seconds := elapsed()) < 1:
        summed: list[list[Tensor | None]] = [[None] * len(player.params) for player in team]
        for piece in mine:
            number = step * schedule.pieces + piece
            torch.manual_seed(_seed(schedule.seed, number))
            named = losses(batches(number))
            _expect(parts, named, team)
            _add(summed, _gradients(team, named, frozenset(parts), schedule.pieces))
            for name, loss in named.items():
                sums.setdefault(name, []).append(float(loss.detach().mean()))
        norms = [
            player.descend(
                ranks.total(grads, player.params), schedule.clip, schedule.factor(step, seconds)
            )
            for player, grads in zip(team, summed, strict=True)
        ]
        ranks.copy(list(module.buffers()))
        if all(math.isfinite(norm) for norm in norms):
            average.follow(module, step)
        step += 1
        if step % schedule.log_every == 0:
            means = ranks.means({name: sum(values) / len(values) for name, values in sums.items()})
            sums.clear()
            logged = Logged(step, time.monotonic() - begun, means | {"norm": max(norms)})
            if ranks.first:
                with (folder / "curve.jsonl").open("a") as file:
                    file.write(json.dumps(logged.line()) + "\n")
            yield logged
        if step % schedule.save_every == 0:
            save()
            if watch is not None and ranks.first:
                with average.worn(module):
                    watch(step)
    save()
    ranks.wait()
    module.load_state_dict(average.weights, strict=False)


def _gradients(
    team: Sequence[Player], named: Mapping[str, Tensor], others: frozenset[str], pieces: int
) -> list[Sequence[Tensor | None]]:
    """Of every player, all taken before any update: a later player's loss must not see new weights."""
    totals = [player.total(named, others) / pieces for player in team]
    return [
        torch.autograd.grad(
            total, player.params, retain_graph=player is not team[-1], allow_unused=True
        )
        for player, total in zip(team, totals, strict=True)
    ]


def _add(summed: list[list[Tensor | None]], more: Sequence[Sequence[Tensor | None]]) -> None:
    """Gradients onto those of the step's earlier batches."""
    for row, grads in zip(summed, more, strict=True):
        for n, grad in enumerate(grads):
            before = row[n]
            if grad is not None:
                row[n] = grad if before is None else before + grad


def _seed(seed: int, number: int) -> int:
    """Of torch's generator at a batch."""
    data = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(data[:8], "big", signed=True)


def _expect(
    parts: Mapping[str, nn.Module], named: Mapping[str, Tensor], team: list[Player]
) -> None:
    """That every player has a loss, and every loss a player."""
    told = ", ".join(named)
    missing = [name for name in parts if name not in named]
    if missing:
        raise InputError(f"no loss '{missing[0]}'", "parts", told)
    others = [name for name in named if name not in parts]
    if bool(others) != (team[-1].names is None):
        what = f"loss '{others[0]}' trains no weight" if others else "weights that no loss trains"
        raise InputError(what, "parts", told)


def _forget_after(curve: Path, step: int) -> None:
    """Drops lines of a curve after `step`: they are about to be written again."""
    if curve.exists():
        lines = curve.read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        if len(kept) < len(lines):
            curve.write_text("".join(kept))


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    """What a module keeps beside its weights and saves with them: codebooks, running means."""
    kept = module.state_dict()
    return {name: b for name, b in module.named_buffers() if name in kept}


def _flat(tools: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    flat = {}
    for n, tool in enumerate(tools):
        for place, state in tool.state_dict()["state"].items():
            for name, value in state.items():
                flat[f"{n}/{place}/{name}"] = torch.as_tensor(value).clone().contiguous()
    return flat


def _save(
    module: nn.Module,
    tools: list[torch.optim.Optimizer],
    average: Average,
    folder: Path,
    step: int,
    seconds: float,
) -> None:
    kept = {n: b.detach().contiguous() for n, b in _buffers(module).items()}
    state = {f"weights/{n}": p.detach().contiguous() for n, p in module.named_parameters()}
    state |= {f"weights/{n}": b for n, b in kept.items()}
    state |= {f"average/{n}": p.contiguous() for n, p in average.weights.items()}
    state |= {f"tools/{n}": p for n, p in _flat(tools).items()}
    save_file(state, folder / "new", {"step": str(step), "seconds": str(seconds)})
    os.replace(folder / "new", folder / "checkpoint.safetensors")
    save_file({n: p.contiguous() for n, p in average.weights.items()} | kept, folder / "new")
    os.replace(folder / "new", folder / "average.safetensors")


def _resume(
    module: nn.Module, tools: list[torch.optim.Optimizer], average: Average, folder: Path
) -> tuple[int, float]:
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        notes = file.metadata()
    state = load_file(path)
    for name, p in (dict(module.named_parameters()) | _buffers(module)).items():
        saved = state.get(f"weights/{name}")
        if saved is None or saved.shape != p.shape:
            raise InputError(
                f"checkpoint is of another network ({name})", str(path), "a new folder"
            )
        p.data.copy_(saved)
        if name in average.weights:
            average.weights[name].copy_(state[f"average/{name}"])
    for n, tool in enumerate(tools):
        places = {key.split("/")[2] for key in state if key.startswith(f"tools/{n}/")}
        restored = {
            int(place): {
                key.split("/")[3]: value
                for key, value in state.items()
                if key.startswith(f"tools/{n}/{place}/")
            }
            for place in places
        }
        tool.load_state_dict(tool.state_dict() | {"state": restored})
    return int(notes["step"]), float(notes["seconds"])
