"""Where noise comes from: sources that hold a source and give its draws other company.

Each gives standard normal numbers for (sample, index), whatever is asked with them, and says what
frames have in common as `covariance(i, j)`: how the numbers of two frames at one place vary together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Container, Sequence

import torch
from torch import Tensor

from longtake.clip import ClipModel, ClipRequest, ClipSpec, NoiseSource
from longtake.errors import InputError
from longtake.keys import fingerprint
from longtake.models.wrappers import Rephrased

FILM = -1  # the index of what belongs to a whole film


class Source:
    """What all sources share: a clip's noise is its frames', one by one."""

    base: NoiseSource

    @property
    def seed(self) -> int:
        """Of the noise that all is made of."""
        return self.base.seed

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        """Standard normal of `shape`."""
        raise NotImplementedError

    def clip(
        self,
        samples: Sequence[int],
        indices: Sequence[int],
        frame: Sequence[int],
        use: str = "start",
    ) -> Tensor:
        """Noise of a whole clip, (b, t, *frame)."""
        rows = [torch.stack([self.of(s, i, frame, use) for i in indices]) for s in samples]
        return torch.stack(rows)


@dataclasses.dataclass(frozen=True)
class Mixed(Source):
    """sqrt(share) of noise that all frames of a film have in common, the rest their own.

    The mixed noise model of PYoCo (Ge et al. 2023, equation 5, share = a^2 / (1 + a^2)); base and
    residual noise of VideoFusion (Luo et al. 2023, equation 6). whole: frames that are the common
    noise alone, as VideoFusion's middle frame is. share=1 is one noise for all frames.
    """

    base: NoiseSource
    share: float = 0.5
    whole: Container[int] = ()

    def __post_init__(self) -> None:
        _within("share", self.share, 0, 1)

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        """See `Source`."""
        share = self.share_of(index)
        common = self.base.of(sample, FILM, shape, f"{use} in common")
        own = self.base.of(sample, index, shape, use)
        return math.sqrt(share) * common + math.sqrt(1 - share) * own

    def share_of(self, index: int) -> float:
        """Of common noise in a frame's."""
        return 1.0 if index in self.whole else self.share

    def covariance(self, i: int, j: int) -> float:
        """See the module."""
        return 1.0 if i == j else math.sqrt(self.share_of(i) * self.share_of(j))


@dataclasses.dataclass(frozen=True)
class Filtered(Source):
    """Independent noise through a filter along time: frame i hears taps[k] times the noise of i - k.

    Taps are scaled to unit energy, so variance stays 1 and covariance is their autocorrelation.
    """

    base: NoiseSource
    taps: tuple[float, ...]

    def __post_init__(self) -> None:
        if not any(self.taps) or not all(map(math.isfinite, self.taps)):
            raise InputError(f"taps={self.taps}", "Filtered", "finite numbers, not all 0")
        energy = math.sqrt(sum(tap * tap for tap in self.taps))
        object.__setattr__(self, "taps", tuple(tap / energy for tap in self.taps))

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        """See `Source`."""
        return self.clip((sample,), (index,), shape, use)[0, 0]

    def clip(
        self,
        samples: Sequence[int],
        indices: Sequence[int],
        frame: Sequence[int],
        use: str = "start",
    ) -> Tensor:
        """See `Source`; every index is drawn once."""
        heard = sorted({i - k for i in indices for k in range(len(self.taps))})
        place = {index: n for n, index in enumerate(heard)}
        white = torch.stack(
            [
                torch.stack([self.base.of(s, i, frame, f"{use} white") for i in heard])
                for s in samples
            ]
        )
        rows = [[place[i - k] for k in range(len(self.taps))] for i in indices]
        return torch.einsum("btk...,k->bt...", white[:, rows], white.new_tensor(self.taps))

    def covariance(self, i: int, j: int) -> float:
        """See the module."""
        return sum(a * b for a, b in zip(self.taps, self.taps[abs(i - j) :], strict=False))


def progressive(base: NoiseSource, alpha: float) -> Filtered:
    """Each frame's noise is alpha / sqrt(1 + alpha^2) of the last one's and fresh noise.

    PYoCo's progressive model (Ge et al. 2023, equation 6). Its chain has no beginning here, so that
    any frame can be asked by itself: it is followed back until a thousandth of a thousandth is left.
    """
    _within("alpha", alpha, 0, 30)
    keep = alpha / math.sqrt(1 + alpha**2)
    count = 1 if keep == 0 else math.ceil(math.log(1e-6) / math.log(keep))
    return Filtered(base, tuple(keep**k for k in range(count)))


def low_pass(base: NoiseSource, period: float, width: int = 12) -> Filtered:
    """Noise that changes no faster than once in `period` frames: a sinc under a Kaiser window.

    One of the filters of the bank of LongVideoGAN (Brooks et al. 2022, section 3.1); several, of
    log-spaced periods, are drawn under uses of their own. width: zero crossings of the sinc.
    """
    _within("period", period, 2, 1e5)
    reach = math.ceil(width * period / 4)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    window = torch.kaiser_window(len(steps), periodic=False, beta=8.0, dtype=torch.float64)
    return Filtered(base, tuple((torch.sinc(2 * steps / period) * window).tolist()))


@dataclasses.dataclass(frozen=True)
class Shuffled(Source):
    """The first `window` frames' noise again and again, each time in another order within `unit` frames.

    Overlapping windows then agree on what is in the picture (Qiu et al. 2024, FreeNoise, section 3.2).
    """

    base: NoiseSource
    window: int
    unit: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.unit <= self.window:
            raise InputError(f"unit={self.unit}", "Shuffled", f"1 to {self.window}")

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        """See `Source`."""
        return self.base.of(sample, self.origin(sample, index), shape, use)

    def origin(self, sample: int, index: int) -> int:
        """The frame of the first window whose noise this one has."""
        lap, place = divmod(index, self.window)
        if lap == 0:
            return index
        first = place // self.unit * self.unit
        text = f"{self.seed}/{sample}/{lap}/{first}/shuffle".encode()
        state = int.from_bytes(hashlib.sha256(text).digest()[:8], "big", signed=True)
        count = min(self.unit, self.window - first)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(state))
        return first + int(order[place - first])

    def covariance(self, i: int, j: int, sample: int = 0) -> float:
        """See the module."""
        return float(self.origin(sample, i) == self.origin(sample, j))


@dataclasses.dataclass(frozen=True)
class Recycled(Source):
    """A clip's noise is made of the last clip's, its frames in reverse order (Gu et al. 2023, VidRD).

    Clips have `length` frames and share `overlap` of them with the last one; shared frames keep their
    noise, of which others have alpha / sqrt(1 + alpha^2) of the frame they mirror (section 3.2).
    """

    base: NoiseSource
    length: int
    overlap: int
    alpha: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.length:
            raise InputError(f"overlap={self.overlap}", "Recycled", f"0 to {self.length - 1}")
        _within("alpha", self.alpha, 0, 1e3)

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        """See `Source`."""
        keep = self.alpha / math.sqrt(1 + self.alpha**2)
        chain = self.mirrors(index)
        noise = self.base.of(sample, chain[-1], shape, use)
        for step in reversed(chain[:-1]):
            own = self.base.of(sample, step, shape, use)
            noise = keep * noise + math.sqrt(1 - keep**2) * own
        return noise

    def mirrors(self, index: int) -> tuple[int, ...]:
        """The frame itself, the one of the last clip whose noise it recycles, and so on to the first clip."""
        fresh, chain = self.length - self.overlap, [index]
        while chain[-1] >= self.length:
            clip, place = divmod(chain[-1] - self.overlap, fresh)
            # Place in the clip is overlap + place; read backwards in the clip before.
            chain.append((clip - 1) * fresh + self.length - 1 - (self.overlap + place))
        return tuple(chain)

    def covariance(self, i: int, j: int) -> float:
        """See the module."""
        keep = self.alpha / math.sqrt(1 + self.alpha**2)
        one, other = self.mirrors(i), self.mirrors(j)
        shared = next((n for n, frame in enumerate(one) if frame in other), None)
        return 0.0 if shared is None else keep ** (shared + other.index(one[shared]))


@dataclasses.dataclass(frozen=True)
class Carried(Source):
    """Noise goes along with what is in the picture, and is fresh where something new comes into sight.

    origin: of an index, the place in the last frame that each place comes from, (h, w, 2) whole
    numbers of row and column, below 0 where it comes from nowhere; None for all of that. Places
    that come from the same place share it only once, the others are fresh: noise stays white.
    Control-A-Video's flow-based noise (Chen et al. 2023, section 3.3); see `moved` and `flowing`.
    """

    base: NoiseSource
    origin: Callable[[int], Tensor | None]
    first: int = 0

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        """See `Source`."""
        return self.clip((sample,), (index,), shape, use)[0, 0]

    def clip(
        self,
        samples: Sequence[int],
        indices: Sequence[int],
        frame: Sequence[int],
        use: str = "start",
    ) -> Tensor:
        """See `Source`; the chain is followed once."""
        made: dict[int, Tensor] = {}
        begun = self._begin(min(indices))
        last: Tensor | None = None
        for index in range(begun, max(indices) + 1):
            own = torch.stack([self.base.of(s, index, frame, use) for s in samples])
            origin = self.origin(index) if last is not None else None
            if origin is not None and last is not None:
                rows, columns = origin.clamp(min=0).unbind(-1)
                known = once(origin, (frame[-2], frame[-1]))
                own = torch.where(known, last[..., rows, columns], own)
            made[index] = last = own
        return torch.stack([made[index] for index in indices], 1)

    def _begin(self, index: int) -> int:
        """The last frame at or before `index` in which everything is new."""
        while index > self.first and self.origin(index) is not None:
            index -= 1
        return index


def once(origin: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w, 2) places of the last frame -> (h, w): True where one is in the picture and not taken before."""
    h, w = size
    rows, columns = origin.unbind(-1)
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    flat = torch.where(inside, rows * w + columns, h * w).flatten()
    order = torch.arange(len(flat))
    taker = torch.full((h * w + 1,), len(flat)).scatter_reduce(0, flat, order, "amin")
    return inside & (taker[flat] == order).view(inside.shape)


def moved(before: Tensor, after: Tensor, size: tuple[int, int], limit: float) -> Tensor:
    """Where each place comes from if what changes by more than `limit` of the most is new, else stands still.

    before, after: pictures (c, h, w) of any size. Residual-based noise of Control-A-Video (section 3.3).
    """
    residual = (after - before).abs()
    residual = residual / residual.max().clamp(min=1e-9)
    small = torch.nn.functional.adaptive_avg_pool2d(residual[None], size)[0].mean(0)
    return _stand(size).masked_fill((small > limit)[..., None], FILM)


def flowing(flow: Tensor) -> Tensor:
    """Where each place comes from under a flow (2, h, w) back to the last frame, in places, rows first."""
    return _stand((flow.shape[-2], flow.shape[-1])) + flow.movedim(0, -1).round().long()


def _stand(size: tuple[int, int]) -> Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    return torch.stack([rows, columns], -1)


@dataclasses.dataclass(frozen=True)
class NoiseFrom(Rephrased):
    """A clip model whose noise comes from another source, in training and sampling alike.

    source: makes it of the request's own, as `functools.partial(Mixed, share=0.5)` does. name: of all
    that shapes it, for the fingerprint.
    """

    model: ClipModel
    source: Callable[[NoiseSource], NoiseSource]
    name: str

    @property
    def spec(self) -> ClipSpec:
        """The inner model's, under a fingerprint of its own."""
        inner = self.model.spec
        mark = fingerprint(["noise from", self.name, inner.fingerprint])
        return dataclasses.replace(inner, fingerprint=mark)

    def asked(self, request: ClipRequest) -> ClipRequest:
        """See `Rephrased`."""
        return dataclasses.replace(request, noise=self.source(request.noise))


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name}={value}", "noise", f"{low:g} to {high:g}")
