"""The KL codec of the built-in model: stills, streams, sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longtake.codecs.kl import KLCodec
from longtake.errors import InputError
from longtake.metrics import psnr
from longtake.nets.autoencoder import AutoencoderShape, lapped
from longtake.recipes.skies import BUILT_IN, skies
from longtake.recipes.skies.parts import read, save
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
    assert plain.spec.context == skies().stages[0].codec.spec.context == (4, 4)
    part = plain.decode(latents[:, :10])  # four more on either side than are kept
    assert torch.allclose(part[:, 16:-16], whole[:, 16:24], atol=2e-5)
    inner = plain.decode(latents[:, 1:10])
    assert not torch.allclose(inner[:, :12], whole[:, 4:16], atol=1e-3)


@pytest.mark.parametrize("seen", [(4, 4), (0, 4), (4, 0), (5, 6), (0, 0)])
def test_frames_that_are_only_seen_are_left_out(plain: KLCodec, seen: tuple[int, int]) -> None:
    before, after = seen
    latents = torch.randn(2, 14, 32, 8, 8, generator=torch.Generator().manual_seed(2))
    inner = plain.decode_inner(latents, before, after)
    whole = plain.decode(latents)[:, 4 * before : 4 * (14 - after)]
    assert inner.shape == whole.shape
    torch.testing.assert_close(inner, whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("stride", "lap"), [(4, 2), (4, 1), (4, 0), (5, 2)])
@pytest.mark.parametrize("groups", [1, 2, 3, 7])
def test_laps_share_frames_out_to_one(stride: int, lap: int, groups: int) -> None:
    starts = stride * torch.arange(groups)[:, None]
    frames = starts + torch.arange(-lap, stride + lap)  # every group's frames, by their numbers
    made = lapped(frames[None].double(), lap)[0]
    assert torch.allclose(made, torch.arange(stride * groups).double())


def test_laps_spread_what_groups_disagree_by() -> None:
    groups = torch.zeros(1, 4, 8, 1)
    groups[:, 2:] = 1.0
    jumps = lapped(groups, 2)[0, :, 0].diff()
    assert torch.allclose(jumps[jumps > 0], torch.full((5,), 0.2))
    assert float(lapped(groups, 0).diff(dim=1).max()) == 1.0


def test_no_lap_is_longer_than_what_it_laps_over() -> None:
    with pytest.raises(ValueError, match="lap=3"):
        AutoencoderShape(lap=3)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    shape, state = read(FILE)
    sizes = AutoencoderShape(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in shape.items()}
    )
    for name, odd in {
        "lap": dataclasses.replace(sizes, lap=1),
        "tensor": sizes,
    }.items():
        path = tmp_path / f"{name}.safetensors"
        if name == "tensor":
            del state["mean"]
        save(state, path, odd)
        with pytest.raises(InputError, match="another kind"):
            load_codec(path)


def test_groups_do_not_beat(plain: KLCodec) -> None:
    video = sky(48)
    made = plain.decode(plain.encode(video))[0]
    changes = made.diff(dim=0).abs().mean((1, 2, 3))
    border = changes[3::4].mean()
    assert 0.7 < float(border / changes.mean()) < 1.15


def test_groups_are_encoded_alone(plain: KLCodec) -> None:
    video = sky(12)
    whole = plain.encode(video)
    assert torch.allclose(plain.encode(video[:, 4:8]), whole[:, 1:2], atol=1e-4)
