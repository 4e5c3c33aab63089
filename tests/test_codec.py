"""The KL codec of the built-in model: stills, streams, sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.codecs.kl import KLCodec
from longtake.metrics import psnr
from longtake.recipes.skies import BUILT_IN, skies
from longtake.recipes.skies.training import load_codec
from longtake.worlds.sky import Change, Moment, Sky

FILE = BUILT_IN / "skies_codec.safetensors"


@pytest.fixture(scope="module")
def plain() -> KLCodec:
    return load_codec(FILE)


def sky(frames: int, size: tuple[int, int] = (128, 128)) -> Tensor:
    """(1, t, 3, h, w) in [0, 1] of a world no training has seen."""
    script = (Change(0.0, Moment(time="noon", cover="partly", kind="puffy", land="mountains")),)
    return Sky(script, seed=7_000_001, size=size, fps=10).render(range(frames))[None].float() / 255


def error(codec: KLCodec, video: Tensor) -> float:
    return float((codec.decode(codec.encode(video)) - video).square().mean())


def test_video_survives(plain: KLCodec) -> None:
    video = sky(16)
    made = plain.decode(plain.encode(video))
    assert psnr((made[0] * 255).round().byte(), (video[0] * 255).round().byte()) > 26


def test_a_still_does_not_flicker(plain: KLCodec) -> None:
    still = sky(1).expand(-1, 32, -1, -1, -1)
    made = plain.decode(plain.encode(still))[0] * 255
    assert float(made.diff(dim=0).abs().mean()) < 0.5


def test_a_given_picture_is_fitted_and_a_moving_one_is_not(plain: KLCodec) -> None:
    fitting = load_codec(FILE, fits=10)
    still, moving = sky(1).expand(-1, 8, -1, -1, -1), sky(8)
    assert error(fitting, still) < 0.97 * error(plain, still)
    latents = fitting.encode(still)
    assert latents.shape == (1, 2, 32, 8, 8)
    assert torch.equal(latents[:, 0], latents[:, 1])
    assert torch.equal(fitting.encode(moving), plain.encode(moving))
    assert not latents.requires_grad
    assert all(p.grad is None for p in fitting.net.parameters())


@pytest.mark.parametrize("size", [(128, 128), (224, 128), (100, 70)])
def test_windows_with_context_decode_as_the_whole(plain: KLCodec, size: tuple[int, int]) -> None:
    latents = plain.encode(sky(40, size))
    whole = plain.decode(latents)
    assert plain.spec.context == skies().stages[0].codec.spec.context == (3, 3)
    part = plain.decode(latents[:, 1:9])  # three more on either side than are kept
    assert torch.allclose(part[:, 12:-12], whole[:, 16:24], atol=2e-5)
    assert not torch.allclose(part[:, :12], whole[:, 4:16], atol=1e-3)


def test_groups_are_encoded_alone(plain: KLCodec) -> None:
    video = sky(12)
    whole = plain.encode(video)
    assert torch.allclose(plain.encode(video[:, 4:8]), whole[:, 1:2], atol=1e-4)
