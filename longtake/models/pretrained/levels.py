"""Any frames observed by a network that takes a noise level for each: they are shown clean, and said to be.

No published text-to-video network was trained so; a LoRA teaches it (`observing`). What is known goes in as it
is with level 0, what is to be made with the sampler's level, as in diffusion forcing (Chen et al. 2024) and in
LTX-Video's own frame conditions (HaCohen et al. 2025, section 3.2).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from longtake.clip import ClipRequest
from longtake.models.pretrained.instead import instead
from longtake.models.pretrained.pipeline import PipelineModel, Placed, Stepped
from longtake.models.pretrained.showing import Layout


class LevelModel(PipelineModel):
    """A pipeline whose network observes any frames: see above. Its requests are answered by its own loop."""

    def _film(self, request: ClipRequest, placed: Placed, sample: int) -> Tensor:
        if not placed.seen:
            return super()._film(request, placed, sample)
        places = [one.place for one in placed.seen]
        net, per = getattr(self.pipe, self.family.net), self._tokens(self._layout(request, 1))
        with shown_clean(net, places, len(placed.at), per, self.family.levels):
            return super()._film(request, placed, sample)

    def _noise(self, request: ClipRequest, placed: Placed, sample: int) -> Tensor:
        noise = super()._noise(request, placed, sample)
        return _known(noise.clone(), placed)

    def _replacing(self, placed: Placed, noise: Tensor, layout: Layout) -> Stepped:
        def replace(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Tensor]:
            latents = _known(self._unlaid(tensors["latents"], layout).clone(), placed)
            return {"latents": self._laid(latents)}

        return replace


def _known(latents: Tensor, placed: Placed) -> Tensor:
    """Latents (b, c, s, h, w) with what is observed in its places."""
    for one in placed.seen:
        latents[:, :, one.place] = one.latent[:, :, 0].to(latents)
    return latents


def levelled(times: Tensor, per: int, levels: str) -> dict[str, Any]:
    """What says a network the times (b, s) of its frames. levels: as in `Family`; per: tokens of a frame."""
    if levels == "tokens":
        return {"timestep": times.repeat_interleave(per, dim=1)}
    return {"timestep": times, "enable_diffusion_forcing": True}


@contextlib.contextmanager
def shown_clean(
    net: Any, places: Sequence[int], frames: int, per: int, levels: str
) -> Iterator[None]:
    """While it lasts, `net` is told that frames at `places` of `frames` are at level 0."""
    forward, where = net.forward, list(places)

    def told_of(*args: Any, timestep: Tensor, **told: Any) -> Any:
        # of all frames alike, (b,), or for every token, of a pipeline that says so itself
        times = timestep[:, :1] if timestep.ndim == 2 else timestep[:, None]
        times = times.expand(-1, frames).clone()
        times[:, where] = 0
        return forward(*args, **told, **levelled(times, per, levels))

    with instead(net, "forward", told_of):
        yield
