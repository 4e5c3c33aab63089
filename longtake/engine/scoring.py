"""Scores of a finished step, taken on its latents: does it change as what it depends on changes?

Everything is a difference between two frames of one take: of the frames themselves (`jump`), of their
channels' means (`colour`), of the logarithms of their spread (`contrast`) and of their change from
place to place (`sharpness`). Differences known from before say how large one may be, by
the time that lies between the two frames. Over twice the time a difference grows at most twofold
(the triangle inequality) and does not shrink, so what is known of one distance bounds all others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from longtake.clip import Clip
from longtake.steps import Indices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = NDArray[np.float64]

NAMES = ("jump", "colour", "contrast", "sharpness")
LEAST = 8  # differences that must be known before one is judged by them
DEVIATIONS = 6.0  # robust ones from the median to the limit: a Gaussian gets there once in 10^9
SLACK = 0.15  # of the median; a smaller spread is not believed
# of the pictures' own contrast: with DEVIATIONS, changes below a quarter of it are never faults
FLOOR = 0.04
STRANGE = 2.0  # how much wider limits are that were learned elsewhere than under the same words
CALM = 0.1  # of the calmest change known: a clip all of whose changes are smaller is frozen
STILL = 4  # equal frames that are a frozen clip even where nothing is known yet
BRIDGE = 1.5  # of the change between the frames on both sides, where the words change between
FAINT = 0.1  # of a picture's contrast; a channel below that counts as flat
_MOST = 99.0  # a share of a limit that is as good as infinite
_TINY = 1e-12

Heard = Callable[[int], str | None]


@dataclasses.dataclass(frozen=True, eq=False)
class Changes:
    """Differences between pairs of frames. values: (p, 4) by name, see NAMES.

    lags: (p,) indices between the two. heard: the words both hear; None where they differ.
    joins: whether one of the two is observed and the other made.
    """

    lags: Table
    values: Table
    heard: tuple[str | None, ...]
    joins: tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Scores of a clip, each as a share of its limit; `broken` says why there are none."""

    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    broken: str = ""

    @property
    def why(self) -> str:
        """The scores beyond their limits in words; empty if there are none."""
        beyond = [f"{name} {share:.1f}" for name, share in self.scores.items() if not share <= 1]
        return self.broken or (f"{', '.join(beyond)} times its limit" if beyond else "")

    @property
    def worst(self) -> float:
        """The largest score; infinite for a broken clip."""
        return math.inf if self.broken else max(map(_rank, self.scores.values()), default=0.0)


def scored(
    clip: Clip, observed: Clip | None, history: Sequence[Changes], heard: Heard
) -> tuple[Verdict, Changes]:
    """A clip's scores and its own changes, for those that come after.

    clip, observed: one sample, (1, t, *frame), floats. history: the changes it may be judged by.
    heard: the words at an index, None in a passage from some to others. Deterministic.
    """
    both = clip if observed is None else Clip.join([dataclasses.replace(observed, carry={}), clip])
    at, targets = tuple(sorted(both.at)), set(clip.at)
    pairs = [pair for pair in pairwise(at) if targets.intersection(pair)]
    seen = () if observed is None else tuple(sorted(observed.at))
    looks = _Looks(both.pick(at), seen or at)
    own = looks.changes(pairs, heard, targets)
    known = [*history, looks.changes(list(pairwise(seen)), heard)]
    case = _Case(looks, seen, pairs, own, known, heard)
    bounds = [case.bound(n) for n in range(len(pairs))]
    scores = {name: case.share(k, bounds) for k, name in enumerate(NAMES)}
    scores["frozen"] = case.frozen(bounds)
    return Verdict({name: round(min(value, _MOST), 4) for name, value in scores.items()}), own


@dataclasses.dataclass(frozen=True)
class _Bound:
    """Between what a change should lie. high: (4,) by name; calm: of jumps alone.

    loose: whether frames farther apart had to be asked, whose changes may be far larger.
    """

    high: Table
    calm: float
    loose: bool

    def widened(self, high: Table) -> _Bound:
        """What one of two bounds allows."""
        import numpy as np

        return dataclasses.replace(self, high=np.maximum(self.high, high))

    def narrowed(self, other: _Bound | None) -> _Bound:
        """What both bounds allow."""
        import numpy as np

        high = self.high if other is None else np.minimum(self.high, other.high)
        return dataclasses.replace(self, high=high)


class _Looks:
    """Frames' features. unit: the contrast of a `usual` frame."""

    def __init__(self, clip: Clip, usual: Indices) -> None:
        import numpy as np

        self.place = {index: n for n, index in enumerate(clip.at)}
        x: Table = clip.frames[0].detach().cpu().double().numpy()
        x = x.reshape(len(x), -1, *x.shape[2:]) if x.ndim > 1 else x[:, None]
        self.frames = x.reshape(*x.shape[:2], -1)
        self.means = self.frames.mean(2)
        spread = self.frames.var(2)
        chosen = [self.place[index] for index in usual]
        contrasts = sorted(spread[chosen].mean(1))
        self.unit = max(math.sqrt(contrasts[(len(chosen) - 1) // 2]), _TINY)
        steps = (np.diff(x, axis=axis) for axis in range(2, x.ndim) if x.shape[axis] > 1)
        detail = sum(
            (np.square(step).reshape(*x.shape[:2], -1).mean(2) for step in steps),
            np.zeros_like(spread),
        )
        faint = (FAINT * self.unit) ** 2
        self.contrast, self.sharpness = (0.5 * np.log(v + faint) for v in (spread, detail))

    def changes(
        self, pairs: Sequence[tuple[int, int]], heard: Heard, made: Collection[int] = ()
    ) -> Changes:
        """Between the frames of pairs of indices, of which some were `made`."""
        import numpy as np

        a, b = ([self.place[pair[k]] for pair in pairs] for k in (0, 1))
        features = (self.frames, self.means, self.contrast, self.sharpness)
        shape = (len(pairs), -1) if pairs else (0, 1)
        values = [np.sqrt(np.square(f[b] - f[a]).reshape(shape).mean(1)) for f in features]
        words = tuple(heard(i) if heard(i) == heard(j) else None for i, j in pairs)
        joins = tuple((i in made) != (j in made) for i, j in pairs)
        lags = np.array([j - i for i, j in pairs], float)
        return Changes(lags, np.stack(values, 1), words, joins)


class _Known:
    """What is known of changes, and the bounds that follow."""

    def __init__(self, parts: Iterable[Changes], unit: float) -> None:
        import numpy as np

        parts = list(parts)
        words = [word for part in parts for word in part.heard]
        keep = [n for n, word in enumerate(words) if word is not None]
        self.words = [words[n] for n in keep]
        joins = [join for part in parts for join in part.joins]
        self.joins = [joins[n] for n in keep]
        self.lags = np.concatenate([part.lags for part in parts])[keep]
        self.values = np.concatenate([part.values for part in parts])[keep]
        self.floor = FLOOR * np.array([unit, unit, 1.0, 1.0])
        self._bounds: dict[tuple[float, str | None], _Bound | None] = {}

    def __len__(self) -> int:
        return len(self.words)

    def bound(self, lag: float, word: str | None, wide: float = 1.0) -> _Bound | None:
        """For frames `lag` apart that hear `word`; None if too little is known."""
        key = (lag, word)
        if key not in self._bounds:
            rows = [n for n, known in enumerate(self.words) if known == word]
            if len(rows) < LEAST:
                rows, wide = list(range(len(self))), STRANGE
            self._bounds[key] = self._of(rows, lag, wide) if len(rows) >= LEAST else None
        return self._bounds[key]

    def join(self, lag: float, word: str | None) -> _Bound | None:
        """As `bound`, by what happened at joins alone."""
        rows = [n for n, known in enumerate(self.words) if known == word and self.joins[n]]
        return self._of(rows, lag, 1.0) if len(rows) >= LEAST else None

    def _of(self, rows: list[int], lag: float, wide: float) -> _Bound:
        import numpy as np

        lags, values = self.lags[rows], self.values[rows]
        apart = abs(np.log(lags / lag))
        near = apart <= np.sort(apart)[LEAST - 1] + 1e-9
        lags, values = lags[near, None], values[near]
        grown = values * np.maximum(lag / lags, 1)
        middle = _quantile(grown, 0.5)
        spread = 1.4826 * _quantile(abs(grown - middle), 0.5)
        spread = np.maximum(spread, np.maximum(SLACK * middle, self.floor))
        # a spread learned from few differences is itself uncertain
        reach = wide * DEVIATIONS * (1 + LEAST / len(values))
        shrunk = values[:, 0] * np.minimum(lag / lags[:, 0], 1)
        loose = bool((lags > lag).any())
        calm = CALM * float(_quantile(shrunk, 0.05)) / wide**2
        return _Bound(middle + reach * spread, calm, loose)


class _Case:
    """A clip's own changes, between the frames of `pairs`, and what is known to judge them by."""

    def __init__(
        self,
        looks: _Looks,
        seen: Indices,
        pairs: Sequence[tuple[int, int]],
        own: Changes,
        known: Sequence[Changes],
        heard: Heard,
    ) -> None:
        self.looks, self.seen, self.pairs, self.own, self.heard = looks, seen, pairs, own, heard
        self.known, self.inner = _Known(known, looks.unit), _Known([own], looks.unit)
        self.alone = len(self.known) < LEAST  # the clip can only be held against itself
        if self.alone:
            self.known = _Known([*known, own], looks.unit)

    def share(self, k: int, bounds: Sequence[_Bound | None]) -> float:
        """The largest share of its limit among the changes of name `k`."""
        shares = (float(self.own.values[n, k] / b.high[k]) for n, b in enumerate(bounds) if b)
        return max(shares, default=0.0)

    def frozen(self, bounds: Sequence[_Bound | None]) -> float:
        """How far below the calmest change known all jumps between made frames lie."""
        inside = [n for n, join in enumerate(self.own.joins) if not join] or range(len(bounds))
        jumps = [(float(self.own.values[n, 0]), bounds[n]) for n in inside]
        if self.alone:
            still = len(jumps) >= STILL - 1 and not any(jump for jump, _ in jumps)
            return _MOST if still else 0.0
        shares = [bound.calm / max(jump, _TINY) for jump, bound in jumps if bound]
        return min(shares, default=0.0)

    def bound(self, n: int) -> _Bound | None:
        """Of the clip's change number `n`; None where nothing can be said.

        A join may be as rough as joins of this film are: another roll would not mend that. Where
        too few are known that are as near, most is allowed; the clip's other changes then say more. Where the words change, the film is asked to change: then only observed
        frames on both sides, which have heard the old and the new words, say how much.
        """
        lag, word = float(self.own.lags[n]), self.own.heard[n]
        bound = self.known.bound(lag, word)
        if bound is None:
            return None
        if word is None:
            allowed = self._bridged(self.pairs[n])
            return allowed if allowed is None else bound.widened(allowed)
        if bound.loose:
            return bound.narrowed(self.inner.bound(lag, word, wide=STRANGE))
        usual = self.known.join(lag, word) if self.own.joins[n] else None
        return bound if usual is None or usual.loose else bound.widened(usual.high)

    def _bridged(self, pair: tuple[int, int]) -> Table | None:
        """What the nearest observed frames on both sides of a pair allow; None if others speak between."""
        before = [index for index in self.seen if index <= pair[0]]
        after = [index for index in self.seen if index >= pair[1]]
        if not before or not after:
            return None
        a, b = before[-1], after[0]
        spoken = {self.heard(index) for index in self.looks.place if a < index < b}
        if not spoken <= {None, self.heard(a), self.heard(b)}:
            return None
        whole: Table = self.looks.changes([(a, b)], self.heard).values[0]
        return BRIDGE * whole + DEVIATIONS * self.known.floor


def _quantile(rows: Table, share: float) -> Table:
    """Of each column; NumPy's own takes many times as long for the few rows there are here."""
    ranked = rows.copy()
    ranked.sort(axis=0)
    place = share * (len(rows) - 1)
    low = int(place)
    high = min(low + 1, len(rows) - 1)
    found: Table = ranked[low] + (place - low) * (ranked[high] - ranked[low])
    return found


def _rank(share: float) -> float:
    return math.inf if math.isnan(share) else share
