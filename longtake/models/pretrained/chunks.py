"""Pipelines that make a film chunk after chunk, as Helios: an index of the film is one chunk.

Each chunk is decoded by itself, so its latent frames are kept side by side as one frame with more
channels, (n*c, h, w). A chunk observes the latent frames just before it and the film's first one.
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
from longtake.models.pretrained.pipeline import PipelineModel, seed_of

SINK = "sink"  # the latent frame that a take began with, (1, c, 1, h, w)


class ChunkModel(PipelineModel):
    """A pipeline that is asked for one chunk after the other, for one film."""

    @torch.no_grad()
    def sample(self, request: ClipRequest) -> Clip:
        """The chunks at the targets, each observing those before it; FitError where the film follows a video."""
        if request.start is not None:
            raise FitError("this pipeline cannot follow a video", "sample", "no --strength")
        films, sinks = [], []
        for sample in request.samples:
            seen, sink = self._observed(request)
            for index in request.targets:
                made = self._chunk(request, sample, index, seen, sink)
                seen, sink = [*seen, made], made[:, :, :1] if sink is None else sink
            made = torch.cat(seen[-len(request.targets) :])
            films.append(made.transpose(1, 2).flatten(1, 2))
            sinks.append(sink)
        return Clip(torch.stack(films), request.targets, {SINK: sinks[0]})

    def _observed(self, request: ClipRequest) -> tuple[list[Tensor], Tensor | None]:
        """The chunks before, (1, c, n, h, w) each, and the latent frame that the take began with."""
        if request.observed is None:
            return [], None
        seen = request.observed.frames[0].unflatten(1, (self.family.chunk, -1)).transpose(1, 2)
        chunks = [chunk[None] for chunk in seen]
        return chunks, request.observed.carry.get(SINK, chunks[0][:, :, :1])

    def _chunk(
        self, request: ClipRequest, sample: int, index: int, seen: list[Tensor], sink: Any
    ) -> Tensor:
        """One chunk of one film of the batch, (1, c, n, h, w)."""
        n, (_, height, width) = self.family.chunk, request.frame
        shape = (request.frame[0] // n, n, height, width)
        seed = request.noise.seed + sample
        if self.asking.noise == "own":
            seed = seed_of(request, sample, index)
        told: dict[str, Any] = {
            "generator": torch.Generator().manual_seed(seed),
            "num_latent_frames_per_chunk": n,
        }
        if seen:
            device = self.pipe._execution_device
            told |= {
                "video_latents": torch.cat(seen[-(self.spec.window - 1) :], dim=2).to(device),
                "image_latents": sink.to(device),
                "add_noise_to_image_latents": False,
                "add_noise_to_video_latents": False,
            }
        beginning = self._beginning(request, sample, index, shape)
        with beginning, self._undecoded(), self._guided():
            made: Tensor = self._called(request, (n - 1) * self.stride + 1, told)
        return made[:, :, -n:].float().cpu()

    @contextlib.contextmanager
    def _beginning(
        self, request: ClipRequest, sample: int, index: int, shape: tuple[int, ...]
    ) -> Iterator[None]:
        """While it lasts, noise belongs to the chunk: our own, or the pipeline's at that place of its film."""
        own = self.pipe.prepare_latents

        def prepare(*args: Any, **kwargs: Any) -> Any:
            drawn = own(*args, **kwargs)
            if self.asking.noise == "own":
                noise = request.noise.of(sample, index, request.frame)
                return noise.view(shape[1], shape[0], *shape[2:]).transpose(0, 1)[None].to(drawn)
            for _ in range(index):  # what the chunks before drew
                drawn = own(*args, **kwargs)
            return drawn

        with instead(self.pipe, "prepare_latents", prepare):
            yield

    @contextlib.contextmanager
    def _undecoded(self) -> Iterator[None]:
        """While it lasts, the pipeline's autoencoder decodes nothing: the film is decoded elsewhere."""

        def decode(z: Tensor, **kwargs: Any) -> tuple[Tensor]:
            return (z.new_zeros(1, 3, 1, 1, 1),)

        with instead(self.pipe.vae, "decode", decode):
            yield
