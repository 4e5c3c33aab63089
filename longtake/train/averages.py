"""Averages of weights: an exponential one, or power functions whose width is chosen after the training.

Post-hoc EMA (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
section 3 and appendix C): averages of two widths are kept at every checkpoint, and a least-squares
combination of these snapshots is the average of any other width.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.errors import InputError

SNAPSHOTS = "widths"  # their folder beside the checkpoint
WIDEST = 12**-0.5  # of all steps alike: a power of 0
MOST = 0.1  # misfit of a reconstruction's profile, as a share of its length


@dataclasses.dataclass(frozen=True)
class Widths:
    """Averages of power functions instead of one decay: `Schedule(ema=Widths())`.

    relative: standard deviation of each average's weights over time, as a share of the training so
    far; between 0 and 0.28. The first is the one worn at the end and in `average.safetensors`.
    """

    relative: tuple[float, ...] = (0.05, 0.10)

    def __post_init__(self) -> None:
        for width in self.relative:
            power(width)
        if len(set(self.relative)) < 2:
            raise InputError(f"widths {self.relative}", "Widths", "two that differ: (0.05, 0.1)")


def power(width: float) -> float:
    """The exponent whose power function has this relative width (equation 126 of the paper, solved)."""
    if not 0 < width < WIDEST:
        raise InputError(f"width {width}", "averages", "above 0 and below 0.28")
    # sigma^2 = (g + 1) / ((g + 2)^2 (g + 3))
    wide = width**-2
    roots = np.roots([1.0, 7.0, 16 - wide, 12 - wide])
    return float(max(root.real for root in roots if abs(root.imag) < 1e-6 * abs(root)))


class Average:
    """Exponential moving average of a module's weights, shorter while few steps are done."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {n: p.detach().clone() for n, p in module.named_parameters()}

    @property
    def kind(self) -> str:
        """What a checkpoint says of its averages."""
        return ""

    @property
    def rows(self) -> Sequence[dict[str, Tensor]]:
        """All averages, the worn one first."""
        return [self.weights]

    @torch.no_grad()
    def follow(self, module: nn.Module, step: int) -> None:
        """One step closer to the module, whose step number `step` this was."""
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


class PowerAverages(Average):
    """Averages whose weights grow with a power of the step: a step's share of them never fades.

    After t steps, step s has the weight (s^(g+1) - (s-1)^(g+1)) / t^(g+1): the integral over that
    step of the paper's profile (g+1) s^g / t^(g+1) (equation 1). What the module was at first has none.
    """

    def __init__(self, module: nn.Module, widths: Widths) -> None:
        super().__init__(module, 0.0)
        self.widths = widths
        self.powers = [power(width) for width in widths.relative]
        others = ({n: p.clone() for n, p in self.weights.items()} for _ in self.powers[1:])
        self._rows = [self.weights, *others]

    @property
    def kind(self) -> str:
        return " ".join(map(str, self.widths.relative))

    @property
    def rows(self) -> Sequence[dict[str, Tensor]]:
        return self._rows

    @torch.no_grad()
    def follow(self, module: nn.Module, step: int) -> None:
        """One step: beta = (1 - 1/t)^(g+1) (equation 2)."""
        for row, gamma in zip(self._rows, self.powers, strict=True):
            # 1 - beta, exact where the step is a tiny share of the training
            fresh = -math.expm1((gamma + 1) * math.log1p(-1 / (step + 1))) if step else 1.0
            for name, p in module.named_parameters():
                row[name].lerp_(p.detach(), fresh)


def average_of(module: nn.Module, ema: float | Widths) -> Average:
    """What a schedule asks for."""
    return PowerAverages(module, ema) if isinstance(ema, Widths) else Average(module, ema)


def snapshot(
    folder: Path, step: int, kind: str, rows: Sequence[Mapping[str, Tensor]], kept: Mapping
) -> None:
    """Writes averages, and the buffers beside them, where `reconstructed` finds them."""
    state = {f"{n}/{name}": p.contiguous() for n, row in enumerate(rows) for name, p in row.items()}
    state |= {f"kept/{name}": b for name, b in kept.items()}
    home = folder / SNAPSHOTS
    home.mkdir(exist_ok=True)
    save_file(state, home / "new", {"widths": kind})
    os.replace(home / "new", home / f"{step:09}.safetensors")


def snapshots(folder: Path) -> dict[int, Path]:
    """Those there are, by step."""
    return {int(path.stem): path for path in sorted((folder / SNAPSHOTS).glob("*.safetensors"))}


def reconstructed(folder: Path, width: float, step: int | None = None) -> dict[str, Tensor]:
    """The average of any relative `width` at the end of a training, or at `step` of a snapshot.

    Weights by name, and the buffers of that snapshot. InputError without snapshots, at a step without
    one, and for a width that those there cannot make: a narrow one wants more checkpoints.
    """
    found = snapshots(folder)
    if not found:
        hint = "Schedule(ema=Widths()) in its training"
        raise InputError("no averages of several widths", str(folder), hint)
    step = max(found) if step is None else step
    if step not in found:
        near = min(found, key=lambda n: abs(n - step))
        raise InputError(f"no averages of step {step}", str(folder), f"step={near}")
    steps = [n for n in found if n <= step]
    with safe_open(found[step], "pt") as file:
        widths = [float(word) for word in file.metadata()["widths"].split()]
    profiles = [(n, power(one)) for n in steps for one in widths]
    shares, misfit = combination(profiles, (step, power(width)))
    if misfit > MOST:
        what = f"{len(steps)} snapshots cannot make width {width} ({misfit:.0%} off)"
        raise InputError(what, str(folder), f"a width near {widths[0]} to {widths[-1]}")
    total: dict[str, Tensor] = {}
    for place, n in enumerate(steps):
        state = load_file(found[n])
        for row in range(len(widths)):
            share = float(shares[place * len(widths) + row])
            for name, p in state.items():
                head, _, rest = name.partition("/")
                if head == str(row):
                    part = p.double() * share
                    total[rest] = total[rest] + part if rest in total else part
        if n == step:
            types = {name.partition("/")[2]: p.dtype for name, p in state.items()}
            kept = {name[5:]: b for name, b in state.items() if name.startswith("kept/")}
    return {name: p.to(types[name]) for name, p in total.items()} | kept


def combination(
    profiles: Sequence[tuple[int, float]], wanted: tuple[int, float]
) -> tuple[np.ndarray, float]:
    """Shares of profiles, each (steps, power), that come nearest to the wanted one, and how far off.

    The distance is that of the profiles over time, as a share of the wanted one's length (algorithm 3
    of the paper).
    """
    among = np.array([[_product(a, b) for b in profiles] for a in profiles])
    to = np.array([_product(a, wanted) for a in profiles])
    shares = np.linalg.lstsq(among, to, rcond=1e-14)[0]
    whole = _product(wanted, wanted)
    left = whole - 2 * shares @ to + shares @ among @ shares
    return shares, float(np.sqrt(max(0.0, left) / whole))


def _product(a: tuple[int, float], b: tuple[int, float]) -> float:
    """Integral over time of two profiles' product, by ratios that stay small."""
    (t, g), (u, h) = a, b
    m = min(t, u)
    share = (m / t) ** g * (m / u) ** h
    return (g + 1) * (h + 1) * share / ((g + h + 1) * max(t, u))
