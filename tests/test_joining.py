"""The benchmark of joins: what its wrapper hands on, and what its figures make of films that are known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec, CodecSpec, Noise
from longtake.controls import Controls

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import joins


class Bytes:
    """Two frames side by side to a latent; what is encoded comes back as it was, and `darker` levels darker."""

    def __init__(self, darker: float) -> None:
        self.spec, self.darker = CodecSpec(6, 1, 2, (0, 0), "bytes"), darker

    def encode(self, video: Tensor) -> Tensor:
        return (video - self.darker / 255).unflatten(1, (-1, 2)).flatten(2, 3)

    def decode(self, latents: Tensor) -> Tensor:
        return latents.unflatten(2, (2, 3)).flatten(1, 2)


class Continuing:
    """Goes on with the last latent it observes; a film begins with bytes of chance."""

    spec = ClipSpec(4, (6, None, None), "continuing")

    def __init__(self) -> None:
        self.asked = list[ClipRequest]()

    def sample(self, request: ClipRequest) -> Clip:
        self.asked.append(request)
        count = len(request.targets)
        if request.observed is None:
            made = torch.randint(60, 200, (1, 1, 6, 8, 8)).float() / 255
        else:
            made = request.observed.frames[:, -1:]
        return Clip(made.expand(-1, count, -1, -1, -1).clone(), request.targets)


def film(model: ClipModel, count: int) -> list[Clip]:
    """The chain's clips: four latents, then three at a time behind two that are observed."""
    made = list[Clip]()
    for n in range(count):
        at = range(4) if n == 0 else range(3 * n + 1, 3 * n + 4)
        seen = Clip.join(made).pick([at[0] - 2, at[0] - 1]) if n else None
        request = ClipRequest(tuple(at), seen, Controls(), Noise(0), (6, 8, 8))
        made.append(model.sample(request))
    return made


@pytest.mark.parametrize("darker", [0, 2])
def test_a_join_through_pixels_hands_on_what_the_codec_makes_of_them(darker: int) -> None:
    torch.manual_seed(0)
    inner = Continuing()
    watched = joins.Watched(inner, Bytes(darker))
    model = joins.ThroughPixels(watched, Bytes(darker))
    made = film(model, 4)
    assert [len(shown) for shown in model.shown] == [8, 6, 6, 6]
    handed = torch.stack(watched.handed)
    assert torch.allclose(handed, torch.full((3, 3), -float(darker)), atol=1e-3)
    # each clip goes on from what was handed on to it, so that a film of four has lost it three times
    gone = 255 * (made[-1].frames[:, -1] - made[0].frames[:, -1])
    assert torch.allclose(gone, torch.full_like(gone, -3.0 * darker), atol=1e-3)
    assert [request.observed is None for request in inner.asked] == [True, False, False, False]
    assert inner.asked[1].targets == (4, 5, 6)


def test_by_latents_nothing_is_changed_by_a_join() -> None:
    watched = joins.Watched(Continuing(), Bytes(2))
    film(watched, 4)
    assert torch.equal(torch.stack(watched.handed), torch.zeros(3, 3))


def line(route: str, seed: int, handed: float, end: float, ratio: float) -> dict[str, Any]:
    def grey(levels: float) -> Sequence[float]:
        return [float(levels)] * 3

    steps = [grey(0.5)] * joins.JOINS
    return {
        "route": route,
        "seed": seed,
        "join_ratio": ratio,
        "ends": [grey(100), grey(100 + end)],
        "handed": [grey(handed)] * joins.JOINS,
        "across": steps,
        "inside": steps,
    }


def test_figures_of_films_that_are_known() -> None:
    lines = [line("latents", 0, 0, 3, 1.0), line("latents", 1, 0, -3, 1.2)]
    lines += [line("pixels", 0, -0.25, -2, 2.0), line("pixels", 1, -0.25, -8, 2.4)]
    found = joins.found(lines)
    assert found["latents"]["handed"] == 0 and found["pixels"]["handed"] == pytest.approx(5)
    # both films of a seed are compared: what the sky did by itself is in both
    assert found["pixels"]["apart_mean"] == pytest.approx(5)
    assert found["pixels"]["added"] == 0
    assert found["latents"]["join_ratio"] == pytest.approx(1.1)
