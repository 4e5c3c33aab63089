"""Count, sum and outer products of features, exact: the same bits in any order, by any number of hands."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from longtake.errors import InputError

BITS = 21  # of a feature that are counted, below the octave of its row's largest
LARGEST = 1e100  # of a feature's size: squares stay finite in float64
_ROWS = 2048  # 2 * BITS + 11 bits: sums of so many products of two counts are exact in float64
_PART = 256  # rows that are scaled together
_PLAIN = 100  # a power of two below which float32 scales exactly
_CALL = 2**18  # rows after which sums are carried: int64 holds 2**63
_CARRY = 40  # bits of a sum that stand in its lower word
_LEAST = -300  # exponent below which features count as zero
_OCTAVES = 2  # of one bin: rows of a network's features then fall into one or two


class Moments:
    """What the Frechet distance needs of features (n, d), in constant memory.

    Each row is rounded to 21 bits below the power of four that its largest feature fits in, and
    counted among rows of that size in whole numbers: adding and merging in any order changes no
    bit. Memory: 2 d**2 words for each of these sizes, and up to 2048 rows that are counted together.
    InputError for a wrong width and for features that are not finite, or past 1e100.
    """

    def __init__(self, width: int) -> None:
        self.width, self.count = width, 0
        self._bins: dict[int, _Sums] = {}  # by exponent
        self._waiting: list[tuple[Tensor, Tensor]] = []  # rows not yet in them, and their largest

    def add(self, features: Tensor) -> Moments:
        """Takes in rows of features (n, d); returns itself."""
        if features.ndim != 2 or features.shape[1] != self.width:
            what = f"features of shape {tuple(features.shape)}"
            raise InputError(what, "frechet", f"(n, {self.width})")
        rows = features.detach().cpu()
        if rows.dtype not in (torch.float32, torch.float64):
            rows = rows.double()
        sizes = rows.abs().amax(1) if rows.numel() else rows.new_zeros(0)
        if len(sizes) and not bool(sizes.max() <= LARGEST):  # not-a-numbers fail this too
            what = "a feature is too large or not a number"
            raise InputError(what, "frechet", f"{-LARGEST:g}..{LARGEST:g}")
        self.count += len(features)
        if not len(sizes):
            return self
        self._waiting.append((rows, sizes))
        if sum(len(held) for held, _ in self._waiting) >= _ROWS:
            self._settle()
        else:
            self._waiting[-1] = (rows.clone(), sizes)
        return self

    def merge(self, other: Moments) -> Moments:
        """Takes in what another has seen; returns itself."""
        if other.width != self.width:
            what = f"features of width {self.width} and {other.width}"
            raise InputError(what, "frechet", "one kind of features")
        for exponent, sums in other._sorted():
            self._bin(exponent).merge(sums)
        self.count += other.count
        return self

    @property
    def mean(self) -> Tensor:
        """(d,) float64."""
        return self._total() / self._some(1)

    @property
    def covariance(self) -> Tensor:
        """(d, d) float64, unbiased."""
        count = self._some(2)
        products = torch.zeros(self.width, self.width, dtype=torch.float64)
        for exponent, sums in self._sorted():
            found = sums.high.double().mul_(2.0**_CARRY).add_(sums.low)
            products += found.mul_(4.0 ** (exponent - BITS))
        mean = self._total() / count
        return products.addr_(mean, mean, alpha=-count).div_(count - 1)

    def tensors(self) -> dict[str, Tensor]:
        """For a safetensors file; `Moments.of_tensors` reads it back."""
        bins = self._sorted()
        found = {"count": torch.tensor(self.count), "width": torch.tensor(self.width)}
        found["exponents"] = torch.tensor([e for e, _ in bins], dtype=torch.int64)
        for exponent, sums in bins:
            parts = dataclasses.asdict(sums)
            found |= {f"{name}.{exponent}": value for name, value in parts.items()}
        return found

    @staticmethod
    def of_tensors(tensors: Mapping[str, Tensor]) -> Moments:
        """What `tensors` gave; InputError for anything else."""
        known = _renewed(tensors) if "total" in tensors else tensors
        try:
            moments = Moments(int(known["width"]))
            moments.count = int(known["count"])
            for exponent in known["exponents"].tolist():
                parts = (known[f"{name}.{exponent}"] for name in ("total", "high", "low"))
                moments._bin(exponent).merge(_Sums(*parts))
        except KeyError as error:
            what = f"no {error} among the moments"
            raise InputError(what, "frechet", "Moments.tensors") from None
        except RuntimeError:
            what = "moments of several widths"
            raise InputError(what, "frechet", "Moments.tensors") from None
        return moments

    def _total(self) -> Tensor:
        total = torch.zeros(self.width, dtype=torch.float64)
        for exponent, sums in self._sorted():
            total += sums.total.double() * 2.0 ** (exponent - BITS)
        return total

    def _sorted(self) -> list[tuple[int, _Sums]]:
        """Of all rows, in one order: floats made of them have the same bits."""
        self._settle()
        return sorted(self._bins.items())

    def _settle(self) -> None:
        """Counts the rows that wait."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        sizes = torch.cat([size for _, size in waiting])
        bins = torch.frexp(sizes).exponent + _OCTAVES - 1
        bins = (bins // _OCTAVES * _OCTAVES).clamp(min=_LEAST)
        kept = sizes > 0
        for exponent in bins[kept].unique().tolist():
            chosen = (bins == exponent) & kept
            room = min(_ROWS, int(chosen.sum()))
            self._bin(exponent).add(_parts(waiting, chosen), BITS - exponent, room)

    def _bin(self, exponent: int) -> _Sums:
        if exponent not in self._bins:
            self._bins[exponent] = _Sums.none(self.width)
        return self._bins[exponent]

    def _some(self, least: int) -> int:
        if self.count < least:
            raise InputError(f"{self.count} features", "frechet", f"at least {least}")
        return self.count


@dataclasses.dataclass
class _Sums:
    """Of counts: total (d,), and products (d, d) as high * 2**40 + low, 0 <= low < 2**40. int64."""

    total: Tensor
    high: Tensor
    low: Tensor

    @staticmethod
    def none(width: int) -> _Sums:
        square = torch.zeros(2, width, width, dtype=torch.int64)
        return _Sums(torch.zeros(width, dtype=torch.int64), *square)

    def add(self, parts: Iterable[Tensor], power: int, room: int) -> None:
        """Takes in rows (n, d), at most 256 at a time, that are up to 2**21 times 2**-power.

        room: rows that are counted together, all of them or 2048.
        """
        counted = torch.empty(room, len(self.total), dtype=torch.float64)
        filled = since = 0
        for part in parts:
            if filled + len(part) > room:
                self._count(counted[:filled])
                filled = 0
            # Piece by piece, while a piece is in the processor's cache; float32 counts as exactly, in half the time.
            wide = part if abs(power) < _PLAIN else part.double()
            counted[filled : filled + len(part)] = (wide * 2.0**power).round_()
            filled, since = filled + len(part), since + len(part)
            if since > _CALL:
                self._carry()
                since = len(part)
        self._count(counted[:filled])
        self._carry()

    def _count(self, rows: Tensor) -> None:
        self.total += rows.sum(0).long()
        plain = rows.numpy()  # of a matrix and itself numpy computes one half only
        self.low += torch.from_numpy(plain.T @ plain).long()

    def merge(self, other: _Sums) -> None:
        self.total += other.total
        self.high += other.high
        self.low += other.low
        self._carry()

    def _carry(self) -> None:
        self.high += self.low >> _CARRY
        self.low &= 2**_CARRY - 1


def _parts(waiting: Iterable[tuple[Tensor, Tensor]], chosen: Tensor) -> Iterable[Tensor]:
    """The chosen of the rows that wait, at most _PART at a time."""
    first = 0
    for rows, _ in waiting:
        inside = chosen[first : first + len(rows)]
        first += len(rows)
        some = rows if bool(inside.all()) else rows[inside]
        yield from some.split(_PART)  # type: ignore[no-untyped-call]


def _renewed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Moments of older files, all counted in one unit: 2**-24 with products in three parts, or 2**-12."""
    try:
        total, count = tensors["total"], tensors["count"]
        if "products" in tensors:
            exponent, high = BITS - 12, torch.zeros_like(tensors["products"])
            low = tensors["products"]
        else:  # high * 2**36 + cross * 2**18 + low
            exponent, above, across = BITS - 24, tensors["high"], tensors["cross"]
            high = (above >> 4) + (across >> 22)
            low = tensors["low"] + ((above & 15) << 36) + ((across & (2**22 - 1)) << 18)
    except KeyError as error:
        what = f"no {error} among the moments"
        raise InputError(what, "frechet", "Moments.tensors") from None
    sums = {f"total.{exponent}": total, f"high.{exponent}": high, f"low.{exponent}": low}
    exponents = torch.tensor([exponent])
    return {"count": count, "width": torch.tensor(len(total)), "exponents": exponents, **sums}
