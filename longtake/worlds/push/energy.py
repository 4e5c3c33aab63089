"""The law of energy: no disc, and no group of discs that can have met, gains speed that nothing gave it.

Speeds are ways over about a tenth and about a fifth of a second, so that rates of frames do not matter.
What may have met is asked generously, what was gained strictly: beyond what reading can be wrong by.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from longtake.worlds.laws import steps
from longtake.worlds.push.physics import PUSH_SPEED, PUSHER, RADII

_SPANS = (0.1, 0.2)  # seconds
_UNSURE = 1.6  # pixels that a change of way may be read wrong by, after lossy coding too
_APART = 1.25  # pixels that a gap may be
_EASE = (
    8 * 2 * PUSH_SPEED
)  # short sides a second, every second, that the pusher changes speed by at most
_ASIDE = -0.3  # cosine with the pusher's side of a disc, below which a push cannot have been


def gains(
    place: Tensor,
    pusher: Tensor,
    there: Tensor,
    *,
    extent: tuple[float, float],
    fps: float,
    scale: float,
) -> Tensor:
    """Where a disc sped up unlawfully: t n, of places (t n 2), the pusher's (t 2), and discs seen (t n)."""
    walled = _walled(place, extent, _APART / scale)
    place = torch.where(there[..., None], place, torch.full_like(place, 99.0))
    pushed, met = _touches(place, pusher, fps, _APART / scale)
    broken = torch.zeros_like(there)
    for k in sorted({max(1, round(span * fps)) for span in _SPANS}):
        seen = torch.stack([_earlier(there, n) for n in range(3 * k + 1)]).all(0)
        seen[: 3 * k] = False
        near = [_within(one, 2 * k) for one in (pushed, met, walled)]
        found = seen & _sped(place, pusher, *near, k, fps, scale)
        broken |= torch.cat([found[k // 2 :], torch.zeros_like(found[: k // 2])])  # its middle
    return broken


def _sped(
    place: Tensor,
    pusher: Tensor,
    pushed: Tensor,
    met: Tensor,
    walled: Tensor,
    k: int,
    fps: float,
    scale: float,
) -> Tensor:
    """The same over ways of k frames, given what may have met during the last two of them."""
    unsure = _UNSURE / scale
    way = place - _earlier(place, k)
    ways = torch.stack([way, _earlier(way, k), _earlier(way, 2 * k)])  # the last, and those before
    speed = ways.norm(dim=-1)
    masses = torch.tensor(RADII, dtype=place.dtype) ** 2
    group = (met | torch.eye(met.shape[-1], dtype=torch.bool)).to(place.dtype)
    group = (group @ group @ group > 0).to(place.dtype)  # t n n: of four, all that are linked
    energy = torch.einsum("tnm,wtm->wtn", group, masses * speed**2)
    spare = torch.einsum("tnm,tm->tn", group, masses * (2 * speed[0] * unsure + unsure**2))
    moved = (group @ pushed[..., None].to(place.dtype))[..., 0] > 0  # by the pusher, perhaps
    faster = speed[0] - speed[1:].amax(0) > unsure
    alone = group.sum(-1) == 1
    free = ~moved & (energy[0] > energy[1:].amax(0) + spare)
    most = (speed[1:].amax(0) ** 2 + (PUSH_SPEED * k / fps) ** 2).sqrt() + unsure
    side = torch.stack([_earlier(place - pusher[:, None], n) for n in range(2 * k + 1)])
    toward = torch.nn.functional.cosine_similarity(side, (ways[0] - ways[1])[None], dim=-1)
    # Between the pusher and a wall a disc slips out faster than it is pushed.
    odd = ((speed[0] > most) & ~walled) | (toward.amax(0) < _ASIDE)
    return faster & (free | (moved & alone & odd & ~walled))


def _touches(place: Tensor, pusher: Tensor, fps: float, off: float) -> tuple[Tensor, Tensor]:
    """Whether the pusher (t n) and other discs (t n n) may have touched a disc on the way to a frame."""
    radii = torch.tensor(RADII, dtype=place.dtype)
    way = steps(place).norm(dim=-1)
    way = torch.maximum(way, torch.maximum(_earlier(way, 1), torch.cat([way[1:], way[-1:]])))
    arm = steps(pusher).norm(dim=-1)[:, None] + way
    bow = _EASE / fps**2 / 8  # that a way may be beside its chord
    pushed = _nearest(place - pusher[:, None], arm) - radii - PUSHER - bow < off
    both = way[:, :, None] + way[:, None, :]
    met = _nearest(place[:, :, None] - place[:, None], both) - radii[:, None] - radii < off
    return pushed, met & ~torch.eye(len(radii), dtype=torch.bool)


def _walled(place: Tensor, extent: tuple[float, float], off: float) -> Tensor:
    """Whether a disc may have been at a wall on the way to a frame: t n."""
    radii = torch.tensor(RADII, dtype=place.dtype)[:, None]
    room = torch.minimum(place, torch.tensor(extent, dtype=place.dtype) - place) - radii
    return torch.minimum(room, _earlier(room, 1)).amin(-1) < off


def _nearest(apart: Tensor, length: Tensor) -> Tensor:
    """The least distance on the way to each frame of two things `apart` (t ... 2) that go `length` in all.

    The way from one frame to the next may bend: it stays in the ellipse about its ends.
    """
    ends = torch.cat([apart[:1], apart[:-1]]), apart
    chord = ends[1] - ends[0]
    square = chord.square().sum(-1)
    share = (-(ends[0] * chord).sum(-1) / square.clamp(min=1e-12)).clamp(0, 1)
    straight = (ends[0] + share[..., None] * chord).norm(dim=-1)
    return straight - (length.square() - square).clamp(min=0).sqrt() / 2


def _earlier(values: Tensor, count: int) -> Tensor:
    """The values of `count` frames before (t ...); the first frame's before it."""
    return torch.cat([values[:1].expand(min(count, len(values)), *values.shape[1:]), values])[
        : len(values)
    ]


def _within(touched: Tensor, count: int) -> Tensor:
    """Whether it was so on any of the last `count` ways."""
    rows = touched.to(torch.float32).flatten(1).T[:, None]
    return (
        torch.nn.functional.max_pool1d(pad(rows, (count - 1, 0)), count, 1)[:, 0].T.reshape(
            touched.shape
        )
        > 0
    )
