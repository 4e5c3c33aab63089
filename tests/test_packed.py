"""The packed transformer and the tri-plane U-Net: rows of clips as if alone, places by their differences."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from family_parts import request, shaken
from torch import Tensor

from longtake.clip import Clip, ClipSpec
from longtake.models.diffusion import FlowModel
from longtake.models.samplers import Sampling
from longtake.nets.packed import PackedShape, PackedTransformer, packing
from longtake.nets.planar import PlaneUNet
from longtake.nets.planes import packed, unpacked
from longtake.nets.routes import Conditioned, InPlace, Nearest
from longtake.nets.unet import Told, UNetShape

SMALL = PackedShape(channels=4, text=3, width=32, blocks=2, head=16)


def clip(frames: int, size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor, Tensor, Told]:
    g = torch.Generator().manual_seed(seed)
    told = Told(torch.zeros(1, frames), torch.randn(1, frames, 3, generator=g))
    x = torch.randn(1, frames, 4, *size, generator=g)
    return x, torch.rand(1, frames, generator=g), torch.rand(1, frames, generator=g).cumsum(1), told


def net(shape: PackedShape = SMALL) -> PackedTransformer:
    torch.manual_seed(0)
    return shaken(PackedTransformer(shape), 0.1)


def test_clips_packed_into_rows_answer_as_alone() -> None:
    made = net()
    clips = [clip(4, (4, 4), 0), clip(1, (8, 2), 1), clip(3, (2, 6), 2), clip(2, (6, 6), 3)]
    for room in (18, 25, 200):  # tokens: 16, 4, 9, 18
        for found, given in zip(made.packed(clips, room), clips, strict=True):
            alone = made(*given)
            assert found.shape == given[0].shape and found.std() > 0.1
            torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
    x = clips[0][0].requires_grad_()
    made.packed(clips, 200)[3].sum().backward()
    assert x.grad.abs().max() == 0, "clips of one row do not see each other"


def test_rows_are_filled_and_nothing_is_lost() -> None:
    rows = packing([16, 4, 9, 18, 2], 20)
    assert sorted(n for row in rows for n in row) == [0, 1, 2, 3, 4]
    assert rows == [[3, 4], [0, 1], [2]]
    with pytest.raises(ValueError, match="21 tokens"):
        packing([21], 20)


def test_places_count_by_their_differences() -> None:
    made, (x, level, times, told) = net(), clip(4, (4, 6), 0)
    base = made(x, level, times, told)
    torch.testing.assert_close(made(x, level, times + 40, told), base, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(made(x, level, times * 2, told), base, atol=1e-3)
    order = [2, 0, 3, 1]
    mixed = made(
        x[:, order], level[:, order], times[:, order], Told(told.observed, told.text[:, order])
    )
    torch.testing.assert_close(mixed, base[:, order], atol=1e-4, rtol=1e-4)


def test_positions_stretch_by_ntk_and_by_parts() -> None:
    """Stretched k times, twice as slow at the slow end: clips k times as long lie within learned angles."""
    plain, ntk = SMALL, dataclasses.replace(SMALL, stretch=(2.0, 2.0, 2.0))
    yarn = dataclasses.replace(ntk, learned=(8.0, 8.0, 8.0))
    for axis in range(3):
        fast, slow = plain.rates[axis][0], plain.rates[axis][-1]
        assert ntk.rates[axis][-1] == pytest.approx(float(slow) / 2, rel=1e-5)
        assert yarn.rates[axis][-1] == pytest.approx(float(slow) / 2, rel=1e-5)
        if len(plain.rates[axis]) > 1:
            assert ntk.rates[axis][0] == fast
    far = net(ntk), net(plain)
    given = clip(3, (4, 4), 5)
    assert not torch.allclose(far[0](*given), far[1](*given), atol=1e-4)


def test_a_flow_model_drives_the_packed_transformer() -> None:
    made = Conditioned(net(dataclasses.replace(SMALL, extra=1)), InPlace())
    model = FlowModel(
        made, ClipSpec(8, (4, None, None), "test", tracks={"text": 3}), Sampling(steps=2)
    )
    seen = Clip(torch.randn(1, 2, 4, 4, 6), (0, 1))
    film = model.sample(request((2, 3), seen, frame=(4, 4, 6))).frames
    other = Clip(seen.frames + 1, (0, 1))
    assert not torch.allclose(
        film, model.sample(request((2, 3), other, frame=(4, 4, 6))).frames, atol=1e-3
    )
    for wrong in ({"head": 24}, {"learned": (8.0,)}):
        with pytest.raises(ValueError, match="try"):
            dataclasses.replace(SMALL, **wrong)
    with pytest.raises(ValueError, match="patches of 2"):
        model.sample(request((0,), frame=(4, 5, 4)))


# ---- tri-planes


PLANES = UNetShape(channels=6, text=3, widths=(16, 32), attends=(True, True), head=16)


def planar(shape: UNetShape = PLANES) -> PlaneUNet:
    torch.manual_seed(0)
    return shaken(PlaneUNet(shape, frames=4), 0.1)


def test_planes_hear_each_other_and_padding_is_never_read() -> None:
    made = planar()
    x = torch.randn(2, 1, 6, 8, 8)
    level, told = torch.rand(2, 1), Told(torch.zeros(2, 1), torch.randn(2, 1, 3))
    base = made(x, level, torch.zeros(2, 1), told)
    found = unpacked(base[:, 0], 4)
    assert [plane.shape[-2:] for plane in found] == [(8, 8), (4, 8), (4, 8)]
    assert torch.equal(packed(found), base[:, 0]), "nothing is said where no plane is"
    planes = unpacked(x[:, 0], 4)
    torch.testing.assert_close(made(packed(planes)[:, None], level, torch.zeros(2, 1), told), base)
    for n in range(3):
        moved = list(planes)
        moved[n] = moved[n] + 1
        changed = unpacked(
            made(packed(type(planes)(*moved))[:, None], level, torch.zeros(2, 1), told)[:, 0], 4
        )
        for one, other in zip(changed, found, strict=True):
            assert not torch.allclose(one, other, atol=1e-3)


def test_clips_of_planes_hear_the_clip_before_by_a_route() -> None:
    torch.manual_seed(0)
    core = planar(dataclasses.replace(PLANES, extra=8))
    made = Conditioned(core, Nearest(6))
    model = FlowModel(
        made, ClipSpec(4, (6, None, None), "test", tracks={"text": 3}), Sampling(steps=2)
    )
    seen = Clip(torch.randn(1, 1, 6, 8, 8), (0,))
    film = model.sample(request((1,), seen, frame=(6, 8, 8))).frames
    other = Clip(seen.frames + 1, (0,))
    assert not torch.allclose(
        film, model.sample(request((1,), other, frame=(6, 8, 8))).frames, atol=1e-3
    )
    alone = model.sample(request((1,), frame=(6, 8, 8))).frames
    assert alone.isfinite().all() and not torch.allclose(alone, film, atol=1e-3)
    truth = Clip(other.frames, (1,))
    model.losses(request((1,), seen, frame=(6, 8, 8)), truth)["flow"].mean().backward()
    assert all(p.grad is not None for p in core.parameters())
    with pytest.raises(ValueError, match="three planes"):
        PlaneUNet(dataclasses.replace(PLANES, channels=4), 4)
