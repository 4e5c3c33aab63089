"""Length without observing: a clip begins as the one before it ended, noise and denoising mirrored in time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest
from longtake.models.pretrained.pipeline import PipelineModel, Placed, Start, Stepped
from longtake.models.pretrained.showing import Layout

NOISE = "way noise"  # that a clip was made from, its last frame first (b, t, c, h, w)
WAY = "way"  # its last frames after every guided step, the last one first (b, steps, t, c, h, w)
ALPHA, BETA, PROMPTED = 4.0, 0.4, 0.25  # the paper's; prompted: frames of a clip, 4 of 16 there


@dataclasses.dataclass
class Way:
    """How a film's clip came to be: its noise, its latents after each step; (1, c, s, h, w) all."""

    noise: Tensor | None = None
    steps: list[Tensor] = dataclasses.field(default_factory=list)

    def left(self) -> dict[str, Tensor]:
        """What the next clip mirrors."""
        assert self.noise is not None
        way = torch.stack(self.steps, dim=1) if self.steps else self.noise[:, None, :, :0]
        return {NOISE: self.noise.transpose(1, 2), WAY: way.transpose(2, 3)}


class ReusingModel(PipelineModel):
    """Clips made of the noise and the denoising of the clip before, in reverse order (Gu et al. 2023, VidRD).

    Place p of a clip mirrors the frame p before the last one of the clip before. Of the first M places the
    noise is the same, of others alpha / sqrt(1 + alpha^2) of it and the rest their own; during the first
    (M - p) / M * beta of all steps a place's latent is the mirrored one's at that step (section 3.2). Place 0
    mirrors the frame that both clips share, which is made again and dropped.
    """

    @torch.no_grad()
    def sample(self, request: ClipRequest) -> Clip:
        """The targets, with what the next clip mirrors as `carry`."""
        self._ways: list[Way] = []
        clip = super().sample(request)
        left = [way.left() for way in self._ways]
        carry = {name: torch.cat([one[name] for one in left]) for name in (NOISE, WAY)}
        return dataclasses.replace(clip, carry={**clip.carry, **carry})

    def _noise(self, request: ClipRequest, placed: Placed, sample: int) -> Tensor:
        """Of every index its own, after a clip most of it that clip's."""
        noise, old = super()._noise(request, placed, sample), self._mirrored(request, NOISE, sample)
        if old is None:
            return noise
        old = old.transpose(1, 2)[:, :, : noise.shape[2]]
        keep = torch.full((old.shape[2],), ALPHA / math.sqrt(1 + ALPHA**2))
        keep[: self._prompted] = 1
        keep = keep.view(-1, 1, 1)
        mixed = keep * old + (1 - keep**2).sqrt() * noise[:, :, : old.shape[2]]
        return torch.cat([mixed, noise[:, :, old.shape[2] :]], dim=2)

    def _start(self, noise: Tensor | None, placed: Placed, layout: Layout) -> Start:
        """As the pipeline starts, heard: its own noise too is mirrored."""
        way, stop = Way(), placed.targets[-1] + 1
        self._ways.append(way)
        if noise is not None:
            way.noise = noise[:, :, :stop].flip(2)
            return super()._start(noise, placed, layout)

        def prepare(own: Any, *args: Any, **kwargs: Any) -> Any:
            drawn = own(*args, **kwargs)
            way.noise = self._unlaid(drawn, layout)[:, :, :stop].flip(2).float().cpu()
            return drawn

        return Start(self.pipe, prepare=prepare)

    def _stepping(
        self, request: ClipRequest, placed: Placed, noise: Tensor | None, layout: Layout
    ) -> Stepped:
        """Guides the first places along the mirrored way, and keeps the way of this clip."""
        way, count, stop = self._ways[-1], self._prompted, placed.targets[-1] + 1
        sample = request.samples[len(self._ways) - 1]
        old = self._mirrored(request, WAY, sample)
        # a given frame has no way that could be followed
        replace = super()._stepping(request, placed, noise, layout) if old is None else None

        def stepped(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Tensor]:
            changed = replace(pipe, step, time, tensors) if replace is not None else {}
            latents = self._unlaid(changed.get("latents", tensors["latents"]), layout)
            guided = BETA * len(pipe.scheduler.timesteps)  # steps of place 0
            if old is not None and step < old.shape[1]:
                follows = [
                    p for p in range(old.shape[2]) if step + 1 < guided * (count - p) / count
                ]
                latents = latents.clone()
                latents[:, :, follows] = old[:, step, follows].transpose(1, 2).to(latents)
                changed = {"latents": self._laid(latents)}
            if step + 1 < guided:
                kept = latents[:, :, max(0, stop - count) : stop].flip(2)
                way.steps.append(kept.float().cpu())
            return changed

        return stepped

    def _mirrored(self, request: ClipRequest, name: str, sample: int) -> Tensor | None:
        """What the clip before left, of one film of the batch."""
        if request.observed is None or name not in request.observed.carry:
            return None
        row = request.samples.index(sample)
        return request.observed.carry[name][row : row + 1]

    @property
    def _prompted(self) -> int:
        return max(1, round(PROMPTED * self.spec.window))
