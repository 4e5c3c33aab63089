"""A clip that begins on the way on which the last one ended: its frames backwards, given up one by one.

Reuse and Diffuse (VidRD, Gu et al. 2023, sections 3.2 and 3.3): the noise of the last clip's final frames is
reversed, and while the noise is strong the new clip's first frames follow the stored denoising of those.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import InputError
from longtake.keys import fingerprint
from longtake.models.diffusion import FrameModel
from longtake.models.samplers import Denoise

WAY = "way"  # start and estimates of a clip's last frames, the last one first: (1 + n, b, overlap, *frame)


@dataclasses.dataclass(frozen=True)
class Retraced:
    """Stores how the last `overlap` targets of a clip were found, and lets the next clip begin so.

    Under a sampler without chance of its own, states follow from start and estimates; so estimates are what is
    stored, one a call of the net. Target j of the next clip follows them for (overlap - j) / overlap x `share`
    of the calls (section 3.3, with beta for share): the first one longest.
    """

    model: FrameModel
    overlap: int = 4
    share: float = 0.4

    def __post_init__(self) -> None:
        if self.overlap < 1:
            raise InputError(f"overlap={self.overlap}", "Retraced", "overlap=4, 1 or more")
        if not 0 <= self.share <= 1:
            raise InputError(f"share={self.share}", "Retraced", "share=0.4, 0 to 1")

    @property
    def spec(self) -> ClipSpec:
        """The inner model's, under a fingerprint of its own."""
        inner = self.model.spec
        mark = fingerprint(["retraced", self.overlap, self.share, inner.fingerprint])
        return dataclasses.replace(inner, fingerprint=mark)

    def sample(self, request: ClipRequest) -> Clip:
        """A clip at `request.targets`, which carries its way."""
        return self.sample_batch([request])[0]

    @torch.no_grad()
    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """Requests as the inner model takes them, all with a way behind them or none."""
        start = self.model.start(requests)
        way = _carried(requests)
        if way is not None:
            way = way.to(start)[:, :, : start.shape[1]]
            start = torch.cat([way[0], start[:, way.shape[2] :]], 1)
        denoise = self.model.denoiser(self.model.scene(requests), requests)
        found = [start]
        clips = self.model.travelled(requests, self._following(denoise, way, found), start)
        kept = torch.stack([x[:, -self.overlap :].flip(1) for x in found]).cpu()
        rows = kept.split([len(r.samples) for r in requests], 1)
        return [
            dataclasses.replace(clip, carry={**clip.carry, WAY: row.contiguous()})
            for clip, row in zip(clips, rows, strict=True)
        ]

    def _following(self, denoise: Denoise, way: Tensor | None, found: list[Tensor]) -> Denoise:
        """The denoiser, led along `way`; its estimates are added to `found`."""

        def led(x: Tensor, alpha: float, sigma: float) -> Tensor:
            clean, call = denoise(x, alpha, sigma), len(found)
            if way is not None and call < len(way):
                until = [self._calls(j, len(way) - 1) for j in range(way.shape[2])]
                count = sum(call <= last for last in until)
                clean = torch.cat([way[call][:, :count], clean[:, count:]], 1)
            found.append(clean)
            return clean

        return led

    def _calls(self, target: int, calls: int) -> int:
        """For how many of a clip's calls a target follows the last clip."""
        return round(max(0, self.overlap - target) / self.overlap * self.share * calls)


def _carried(requests: Sequence[ClipRequest]) -> Tensor | None:
    """The ways that observed frames carry; None where a request has none."""
    seen = [request.observed for request in requests]
    ways = [clip.carry[WAY] for clip in seen if clip is not None and WAY in clip.carry]
    return torch.cat(ways, 1) if len(ways) == len(requests) else None
