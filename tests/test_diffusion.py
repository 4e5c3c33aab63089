"""The diffusion model: what it is asked, what it may see, and the transformer's symmetries."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.controls import Clock, Controls, Cue
from longtake.errors import FitError
from longtake.models.diffusion import FlowModel, Scene, flow_loss
from longtake.models.samplers import Sampling
from longtake.nets.dit import DiTShape, SpaceTimeTransformer, nearest_observed

SHAPE = DiTShape(channels=4, text=3, outer=32, inner=64, outer_blocks=1, inner_blocks=2, head=16)


class Letters:
    """An encoder whose row for a prompt is its first letters."""

    fingerprint = "letters"

    def encode(self, prompts):
        return torch.tensor([[float(ord(c)) / 100 for c in f"{p:3}"[:3]] for p in prompts])


@pytest.fixture(scope="module")
def net() -> SpaceTimeTransformer:
    torch.manual_seed(0)
    net = SpaceTimeTransformer(SHAPE)
    for p in net.parameters():  # zero-initialised layers would hide what they are fed
        p.data.add_(0.05 * torch.randn_like(p))
    return net.eval()


def model(net: SpaceTimeTransformer, **sampling: object) -> FlowModel:
    spec = ClipSpec(8, (4, None, None), "test", tracks={"text": 3})
    return FlowModel(net, spec, Sampling(**sampling))


def request(targets, observed=None, *, seed=1, samples=(0,), prompt="abc", **more) -> ClipRequest:
    controls = Controls((Cue(0.0, None, prompt),), Letters(), clock=Clock(((0, 0.0),), 0.4))
    return ClipRequest(
        targets, observed, controls, Noise(seed), (4, 4, 6), samples, interval=0.4, **more
    )


def test_targets_come_in_the_order_asked(net):
    clip = model(net, steps=2).sample(request((5, 6, 7)))
    assert clip.at == (5, 6, 7)
    assert clip.frames.shape == (1, 3, 4, 4, 6)


def test_observed_frames_and_words_are_heard(net):
    seen = Clip(torch.randn(1, 2, 4, 4, 6), (0, 1))
    other = Clip(seen.frames + 1, (0, 1))
    steps = model(net, steps=2)
    base = steps.sample(request((2, 3), seen)).frames
    assert not torch.allclose(base, steps.sample(request((2, 3), other)).frames, atol=1e-3)
    assert not torch.allclose(
        base, steps.sample(request((2, 3), seen, prompt="xyz")).frames, atol=1e-3
    )


def test_batched_requests_answer_as_alone(net):
    seen = Clip(torch.randn(1, 2, 4, 4, 6), (0, 1))
    late = Clip(torch.randn(1, 2, 4, 4, 6), (9, 11))
    requests = [request((2, 3), seen), request((10, 12), late, prompt="xyz")]
    together = model(net, steps=3, hold=0.1).sample_batch(requests)
    for one, asked in zip(together, requests, strict=True):
        alone = model(net, steps=3, hold=0.1).sample(asked)
        torch.testing.assert_close(one.frames, alone.frames, atol=1e-4, rtol=1e-4)


def test_a_sample_does_not_depend_on_its_company(net):
    both = model(net, steps=2).sample(request((0, 1), samples=(0, 7))).frames
    alone = model(net, steps=2).sample(request((0, 1), samples=(7,))).frames
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=1e-4)


def test_only_differences_of_time_matter(net):
    x, level = torch.randn(1, 4, 4, 4, 6), torch.rand(1, 4)
    flags, text = torch.tensor([[1.0, 0, 0, 1]]), torch.randn(1, 4, 3)
    times = torch.tensor([[0.0, 0.4, 2.0, 9.0]])
    with torch.no_grad():
        here = net(x, level, flags, times, text, x)
        there = net(x, level, flags, times + 30, text, x)
        stretched = net(x, level, flags, times * 2, text, x)
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(here, stretched, atol=1e-3)


def test_frames_may_come_in_any_order(net):
    x, level, times = torch.randn(1, 4, 4, 4, 6), torch.rand(1, 4), torch.rand(1, 4) * 9
    flags, text = torch.tensor([[1.0, 0, 0, 1]]), torch.randn(1, 4, 3)
    order = [2, 0, 3, 1]
    whole = (x, level, flags, times, text, x)
    with torch.no_grad():
        straight = net(*whole)[:, order]
        mixed = net(*(part[:, order] for part in whole))
    torch.testing.assert_close(straight, mixed, atol=1e-4, rtol=1e-4)


def test_the_nearest_observed_frames_are_mixed_by_nearness():
    x = torch.tensor([10.0, 99, 20, 99, 99]).view(1, 5, 1, 1, 1)
    observed = torch.tensor([[True, False, True, False, False]])
    times = torch.tensor([[0.0, 1.0, 4.0, 5.0, 9.0]])
    near, gap = nearest_observed(x, observed, times)
    torch.testing.assert_close(
        near.flatten(), torch.tensor([10, 12.5, 20, 20, 20]), atol=0.01, rtol=0
    )
    assert gap.tolist() == [[0, 1, 0, 1, 5]]
    near, gap = nearest_observed(x, torch.zeros(1, 5), times)
    assert not near.any() and bool(gap.isinf().all())


def test_an_open_gate_keeps_what_stands_still(net):
    shut = copy.deepcopy(net)
    shut.keep.weight.data.zero_()
    shut.keep.bias.data.zero_()
    wide = copy.deepcopy(shut)
    wide.keep.bias.data.fill_(1.0)
    seen = Clip(torch.randn(1, 1, 4, 4, 6), (0,))
    asked = request((1, 2), seen)
    kept = model(wide, steps=8).sample(asked).frames
    torch.testing.assert_close(kept, seen.frames.expand_as(kept), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(model(shut, steps=8).sample(asked).frames, kept, atol=0.1)
    alone = request((1, 2))  # nothing observed, nothing to keep
    torch.testing.assert_close(
        model(wide, steps=4).sample(alone).frames, model(shut, steps=4).sample(alone).frames
    )


def test_loss_counts_targets_only(net):
    scene = Scene(
        torch.randn(2, 4, 4, 4, 6),
        torch.tensor([[True, False, False, True], [False, False, True, True]]),
        torch.arange(4.0).expand(2, -1),
        torch.randn(2, 4, 3),
    )
    noise, level = torch.randn(2, 4, 4, 4, 6), torch.full((2, 4), 0.5)
    held = torch.where(scene.observed, 0.0, level)
    with torch.no_grad():
        loss = flow_loss(net, scene, noise, held)
        moved = noise + scene.observed[:, :, None, None, None]
        same = flow_loss(net, scene, moved, held)
    assert loss.shape == (2,)
    torch.testing.assert_close(loss, same)


def test_training_answers_a_request(net):
    seen = Clip(torch.randn(2, 1, 4, 4, 6), (0,))
    truth = Clip(torch.randn(2, 2, 4, 4, 6), (1, 2))
    losses = model(net).losses(request((1, 2), seen, samples=(0, 1)), truth)
    assert losses["flow"].shape == (2,)


def test_video_to_video_stays_near_its_start(net):
    start = Clip(5 * torch.ones(1, 2, 4, 4, 6), (0, 1))
    weak = model(net, steps=10).sample(request((0, 1), start=start, strength=0.1)).frames
    strong = model(net, steps=10).sample(request((0, 1), start=start, strength=1.0)).frames
    assert (weak - 5).abs().mean() < (strong - 5).abs().mean()


def test_a_call_too_long_is_refused(net):
    with pytest.raises(FitError, match="9 frames"):
        model(net).sample(request(tuple(range(9))))


def test_guidance_moves_away_from_silence(net):
    plain = model(net, steps=1).sample(request((0, 1))).frames
    silent = (
        model(net, steps=1).sample(dataclasses.replace(request((0, 1)), controls=Controls())).frames
    )
    guided = model(net, steps=1, guidance=3.0).sample(request((0, 1))).frames
    torch.testing.assert_close(guided, silent + 3 * (plain - silent), atol=1e-3, rtol=1e-3)


def test_guidance_moves_away_from_what_was_not_observed(net):
    seen = Clip(torch.randn(1, 2, 4, 4, 6), (0, 1))
    plain = model(net, steps=1).sample(request((2, 3), seen)).frames
    alone = model(net, steps=1).sample(request((2, 3))).frames
    led = model(net, steps=1, context=1.6).sample(request((2, 3), seen)).frames
    torch.testing.assert_close(led, alone + 1.6 * (plain - alone), atol=1e-3, rtol=1e-3)
    first = model(net, steps=1, context=1.6).sample(request((2, 3))).frames
    torch.testing.assert_close(first, alone)


def test_tracks_by_name_are_no_cues() -> None:
    """Else they would be taken, and a film made that has heard nothing."""
    with pytest.raises(TypeError, match="tuple of Cue"):
        Controls({"text": torch.zeros(2, 3)})  # type: ignore[arg-type]
