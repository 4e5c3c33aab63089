"""Clips that begin on the way on which the last one ended."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from family_parts import shaken

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.controls import Controls
from longtake.errors import InputError
from longtake.models.diffusion import FlowModel
from longtake.models.retracing import WAY, Retraced
from longtake.models.samplers import Sampling
from longtake.nets.dit import DiTShape, SpaceTimeTransformer

SHAPE = DiTShape(4, text=1, outer=16, inner=16, outer_blocks=1, inner_blocks=1, head=16)
FIRST, NEXT = (0, 1, 2, 3), (4, 5, 6, 7)


@pytest.fixture(scope="module")
def flow() -> FlowModel:
    torch.manual_seed(0)
    net = shaken(SpaceTimeTransformer(SHAPE))
    return FlowModel(net, ClipSpec(8, (4, None, None), "test"), Sampling(steps=6))


def request(targets: tuple[int, ...], seen: Clip | None, sample: int = 0) -> ClipRequest:
    return ClipRequest(targets, seen, Controls(), Noise(3), (4, 4, 4), (sample,), interval=0.1)


def seen(clip: Clip) -> Clip:
    """The last frame, as the engine hands it on."""
    return dataclasses.replace(clip.pick((3,)), carry=clip.carry)


@pytest.mark.parametrize("overlap", [2, 3])
def test_a_way_followed_to_its_end_is_the_last_clip_backwards(
    flow: FlowModel, overlap: int
) -> None:
    model = Retraced(flow, overlap, share=1.0)
    first = model.sample(request(FIRST, None))
    torch.testing.assert_close(first.frames, flow.sample(request(FIRST, None)).frames)
    assert first.carry[WAY].shape == (1 + 6, 1, overlap, 4, 4, 4)
    made = model.sample(request(NEXT, seen(first))).frames
    torch.testing.assert_close(made[:, 0], first.frames[:, -1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(made[:, overlap - 1], first.frames[:, -overlap], atol=1e-2)
    without = dataclasses.replace(model, share=0.0).sample(request(NEXT, seen(first))).frames
    assert not torch.allclose(without[:, 0], made[:, 0], atol=1e-2), "only the noise is shared"


def test_frames_are_given_up_one_by_one(flow: FlowModel) -> None:
    model = Retraced(flow, 4, share=0.5)
    assert [model._calls(target, 24) for target in range(5)] == [12, 9, 6, 3, 0]


def test_films_answered_together_are_those_answered_alone(flow: FlowModel) -> None:
    model = Retraced(flow, 2)
    firsts = model.sample_batch([request(FIRST, None, n) for n in (0, 1)])
    asked = [request(NEXT, seen(clip), n) for n, clip in enumerate(firsts)]
    both = model.sample_batch(asked)
    for clip, one in zip(both, asked, strict=True):
        alone = model.sample(one)
        torch.testing.assert_close(clip.frames, alone.frames, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(clip.carry[WAY], alone.carry[WAY], atol=1e-5, rtol=1e-4)
    assert model.spec.fingerprint != flow.spec.fingerprint


@pytest.mark.parametrize("wrong", [{"overlap": 0}, {"share": 1.5}])
def test_wrong_knobs_are_named(flow: FlowModel, wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Retraced(flow, **wrong)
