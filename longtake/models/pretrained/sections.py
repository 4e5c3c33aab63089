"""FramePack: sections of latent frames, each given a picture and the past in ever coarser patches.

The pipeline keeps its past to itself. Here it is asked for one section at a time, and its network is shown
the past that the engine hands over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest
from longtake.errors import FitError
from longtake.models.pretrained.instead import instead
from longtake.models.pretrained.pipeline import ANCHOR, REDRAWN, PipelineModel, anchor_of, seed_of
from longtake.models.pretrained.showing import Handing, Set, answering

FIRST = "first latent"  # of the picture that a take began with, (1, c, 1, h, w)
COARSE, FINE, LAST = 16, 2, 1  # latent frames of the past: in patches of 4, of 2, and as they are


class SectionModel(PipelineModel):
    """A pipeline that is asked for one section after the other, for one film that began with a picture.

    A film of one section under the pipeline's own noise is the pipeline's own. Others go forward (`vanilla`,
    which weights of FramePack-F1 were trained for), not from the end to the beginning.
    """

    @torch.no_grad()
    def sample(self, request: ClipRequest) -> Clip:
        """The latent frames at the targets; FitError without a past, or where the film follows a video."""
        if request.start is not None:
            raise FitError("this pipeline cannot follow a video", "sample", "no --strength")
        seen = request.observed
        if seen is None:
            raise FitError("the pipeline has to start from a picture", "sample", "--image FILE")
        if self.asking.noise == "diffusers" and self._is_one(request):
            return self._own(request)
        first = seen.carry.get(FIRST, seen.frames[:1, :1].transpose(1, 2))
        anchor = anchor_of(request)
        films = [self._film(request, sample, first) for sample in request.samples]
        carry = {FIRST: first} if anchor is None else {FIRST: first, ANCHOR: anchor}
        return Clip(torch.cat(films), request.targets, carry)

    def _is_one(self, request: ClipRequest) -> bool:
        """Whether a call begins a film, with its picture, that ends within the section."""
        assert request.observed is not None
        begun = request.observed.at == (0,) and self._still(request, 0) is not None
        return begun and len(request.targets) <= self.family.chunk

    def _own(self, request: ClipRequest) -> Clip:
        """The section as a user of the pipeline would make it."""
        films = []
        for sample in request.samples:
            generator = torch.Generator().manual_seed(request.noise.seed + sample)
            film = self._section(request, {"generator": generator})
            films.append(film.transpose(1, 2).float().cpu())
        made, anchor = torch.cat(films), anchor_of(request)
        assert anchor is not None
        carry = {ANCHOR: anchor, FIRST: made[:1, :1].transpose(1, 2), f"{REDRAWN}0": made[:, :1]}
        return Clip(made[:, list(request.targets)], request.targets, carry)

    def _film(self, request: ClipRequest, sample: int, first: Tensor) -> Tensor:
        """The targets' latents of one film, (1, t, c, h, w), section by section."""
        assert request.observed is not None
        n, at = self.family.chunk, list(request.targets)
        past = request.observed.frames[:1].transpose(1, 2)
        for start in range(0, len(at), n):
            # a section is always made whole, so that a longer film begins as a shorter one
            places = range(at[start], at[start] + n)
            noise = request.noise.clip((sample,), places, request.frame).transpose(1, 2)
            generator = torch.Generator().manual_seed(seed_of(request, sample, at[start]))
            handed = Handing(fills=({0: first},))
            with (
                answering(self.pipe.vae, self.latents, handed, self._encoded),
                self._beginning(noise),
                self._guided(),
                self._remembering(past, first),
            ):
                told = {"generator": generator, "sampling_type": "vanilla"}
                made = self._section(request, told)[:, :, -n:]
            past = torch.cat([past, made.float().cpu()], dim=2)
        seen = request.observed.frames.shape[1]
        return past.transpose(1, 2)[:, seen : seen + len(at)]

    def _section(self, request: ClipRequest, told: dict[str, Any]) -> Tensor:
        """What the pipeline makes when asked for one section, (1, c, s, h, w)."""
        n = self.family.chunk
        still = Set(self._layout(request, 1 + n), self.pipe, anchor_of(request))
        told = {"image": still.picture(None), "latent_window_size": n, **told}
        made: Tensor = self._called(request, (n - 1) * self.stride + 1, told)[-1]
        return made

    @contextlib.contextmanager
    def _beginning(self, noise: Tensor) -> Iterator[None]:
        """While it lasts, sections begin with this noise."""
        own = self.pipe.prepare_latents

        def prepare(*args: Any, **kwargs: Any) -> Tensor:
            return noise.to(own(*args, **kwargs))

        with instead(self.pipe, "prepare_latents", prepare):
            yield

    @contextlib.contextmanager
    def _remembering(self, past: Tensor, first: Tensor) -> Iterator[None]:
        """While it lasts, the network is shown this past, (1, c, s, h, w), zeros where there is none."""
        net, room = self.pipe.transformer, COARSE + FINE + LAST
        forward, short = net.forward, max(0, room - past.shape[2])
        empty = past.new_zeros(*past.shape[:2], short, *past.shape[3:])
        coarse, fine, last = torch.cat([empty, past], dim=2)[:, :, -room:].split(
            (COARSE, FINE, LAST), dim=2
        )

        def shown(hidden_states: Tensor, **told: Any) -> Any:
            now = {
                "latents_clean": torch.cat([first, last], dim=2),
                "latents_history_2x": fine,
                "latents_history_4x": coarse,
            }
            told |= {name: value.to(hidden_states) for name, value in now.items()}
            return forward(hidden_states=hidden_states, **told)

        with instead(net, "forward", shown):
            yield
