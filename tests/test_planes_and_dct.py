"""The two codecs that are mostly mathematics: what their transforms keep exactly, and how far rounding goes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.codecs.dct import DCTCodec, cosines, dense, sparse
from longtake.codecs.planes import PlaneCodec, PlaneTraining
from longtake.errors import InputError
from longtake.nets.convolutional import VideoShape
from longtake.nets.planes import PlaneAutoencoder, expanded, packed, projected, unpacked


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_sum_of_planes_is_kept_exactly() -> None:
    one, two, three = (
        random(1, 2, 1, 5, 6),
        random(1, 2, 4, 1, 6, seed=1),
        random(1, 2, 4, 5, 1, seed=2),
    )
    volume = (one + two + three).double()
    torch.testing.assert_close(expanded(projected(volume)), volume)


def test_any_other_volume_comes_as_near_as_planes_can() -> None:
    volume = random(1, 2, 4, 5, 6).double()
    nearest = expanded(projected(volume))
    torch.testing.assert_close(expanded(projected(nearest)), nearest)
    rest = volume - nearest  # orthogonal to all planes: no mean along any axis is left
    for axis in (2, 3, 4):
        torch.testing.assert_close(rest.mean(axis), torch.zeros_like(rest.mean(axis)))
    assert rest.abs().max() > 0.01


def test_planes_pack_into_a_picture() -> None:
    planes = projected(random(2, 3, 4, 5, 6))
    picture = packed(planes)
    assert picture.shape == (2, 9, 5, 6)
    for one, other in zip(unpacked(picture, 4), planes, strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="try 5 frames"):
        packed(projected(random(1, 1, 6, 5, 6)))


def test_the_tri_plane_codec_learns_a_clip() -> None:
    torch.manual_seed(0)
    net = PlaneAutoencoder(VideoShape(channels=4, widths=(16, 16), halves_time=(False,), taps=3), 4)
    codec = PlaneCodec(net, "test")
    x = torch.arange(8) / 8
    clip = torch.stack([(x + n / 8).frac().expand(3, 8, 8) for n in range(8)])[None]
    shapes = codec.encode(clip).shape, codec.decode(codec.encode(clip)).shape
    assert shapes == ((1, 2, 12, 4, 4), clip.shape)
    before = float((codec.decode(codec.encode(clip)) - clip).square().mean())
    training, adam = PlaneTraining(net), torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(80):
        adam.zero_grad()
        torch.stack(list(training(clip.unflatten(1, (2, 4))[0]).values())).sum().backward()
        adam.step()
    after = float((codec.decode(codec.encode(clip)) - clip).square().mean())
    assert after < before / 5
    with pytest.raises(InputError, match="8x8 pixels or more"):
        codec.encode(clip[..., :6, :])


def test_cosines_are_orthonormal() -> None:
    rows = cosines(8)
    torch.testing.assert_close(rows @ rows.T, torch.eye(8))
    assert torch.allclose(rows[0], torch.tensor(8.0).rsqrt())


@pytest.mark.parametrize("step", [0.1, 0.01])
def test_rounding_errors_do_not_add_up(step: float) -> None:
    codec, clip = DCTCodec(block=4, group=8, step=step), 0.25 + random(1, 16, 3, 8, 12) / 2
    latents = codec.encode(clip)
    assert latents.shape == (1, 2, 8 * 48, 2, 3) and torch.equal(latents, latents.round())
    error = (codec.decode(latents) - clip).square().mean((0, 2, 3, 4)).sqrt()
    assert float(error.max()) <= step / 2
    assert float(error[7]) < 1.3 * float(error[0]), "frame 7 of a group is as near as its first"


def test_what_stands_still_costs_nothing() -> None:
    codec = DCTCodec(block=4, group=4, step=0.05)
    still = codec.encode(random(1, 1, 3, 8, 8).expand(-1, 4, -1, -1, -1))[0, 0]
    first, later = still[:48], still[48:]
    assert first.count_nonzero() > 20 and later.count_nonzero() == 0


def test_a_list_says_all_and_its_beginning_the_coarse() -> None:
    codec = DCTCodec(block=4, group=2, step=0.05)
    y = torch.linspace(0.2, 0.8, 16).view(1, 1, 1, 16, 1)
    clip = y.expand(1, 2, 3, 16, 16) + 0.1 * random(1, 2, 3, 16, 16)
    latents = codec.encode(clip)[0, 0]
    tokens = sparse(latents)
    frame = tuple(latents.shape)
    assert torch.equal(dense(tokens, frame), latents)
    assert tokens.dtype == torch.int64 and len(tokens) == latents.count_nonzero()
    coarse = codec.decode(dense(tokens[: len(tokens) // 4], frame)[None, None])
    nothing = codec.decode(torch.zeros(1, 1, *frame))
    assert (coarse - clip)[:, 0].square().mean() < 0.2 * (nothing - clip)[:, 0].square().mean()


@pytest.mark.parametrize("wrong", [{"block": 1}, {"group": 0}, {"step": 0.0}, {"slope": -1.0}])
def test_wrong_knobs_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        DCTCodec(**wrong)
