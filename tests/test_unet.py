"""Space-time U-Nets: pictures first, then time; what they are told; sizes as published."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from family_parts import shaken
from torch import Tensor

from longtake.nets.stacked import Slots, StackedUNet
from longtake.nets.temporal import (
    AlphaMixed,
    RelativeTimeAttention,
    TimeAttention,
    TimeConv,
    TimeFactory,
    alpha_mixed,
    conv_then_attention,
)
from longtake.nets.unet import FactorisedUNet, Told, UNetShape, inflated, pictures

SMALL = UNetShape(channels=4, text=3, widths=(16, 32), head=16)


def clip(
    frames: int = 4, size: tuple[int, int] = (6, 8), seed: int = 0
) -> dict[str, Tensor | Told]:
    g = torch.Generator().manual_seed(seed)
    return {
        "x": torch.randn(2, frames, 4, *size, generator=g),
        "level": torch.rand(2, frames, generator=g),
        "times": torch.rand(2, frames, generator=g).cumsum(1),
        "told": Told(torch.zeros(2, frames), torch.randn(2, frames, 3, generator=g)),
    }


def frame(given: dict, n: int) -> dict:
    told = given["told"]
    one = Told(told.observed[:, n : n + 1], told.text[:, n : n + 1])
    return {k: v[:, n : n + 1] for k, v in given.items() if k != "told"} | {"told": one}


@pytest.mark.parametrize("time", [conv_then_attention, alpha_mixed, RelativeTimeAttention])
def test_time_added_to_a_net_of_pictures_changes_nothing_until_it_learns(time: TimeFactory) -> None:
    flat = shaken(pictures(SMALL), 0.1)
    net, given = inflated(flat, time), clip()
    whole = net(**given)
    assert whole.shape == given["x"].shape and whole.std() > 0.1
    for n in range(4):
        torch.testing.assert_close(
            whole[:, n : n + 1], flat(**frame(given, n)), atol=1e-5, rtol=1e-5
        )
    net.freeze_space()
    before = {name: p.clone() for name, p in net.named_parameters()}
    for _ in range(2):  # with an alpha the layers behind it hear of the loss once it has moved
        net.zero_grad()
        net(**given).square().mean().backward()
        for p in net.parameters():
            if p.grad is not None:
                p.data.sub_(0.5 * p.grad)
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert moved and all(".time." in name for name in moved)
    assert not torch.allclose(net(**given), whole, atol=1e-4)


def test_an_alpha_of_one_gives_the_picture_net_back() -> None:
    flat = shaken(pictures(SMALL), 0.1)
    net = shaken(inflated(flat, alpha_mixed), 0.1)
    net.load_state_dict(flat.state_dict(), strict=False)
    given = clip()
    layers = [m for m in net.modules() if isinstance(m, AlphaMixed)]
    for layer in layers:
        layer.alpha.data.fill_(0.7)
    assert not torch.allclose(net(**given)[:, :1], flat(**frame(given, 0)), atol=1e-3)
    for layer in layers:
        layer.alpha.data.fill_(1.0)
    torch.testing.assert_close(net(**given)[:, :1], flat(**frame(given, 0)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [TimeAttention, RelativeTimeAttention])
def test_only_differences_of_time_matter(layer: type) -> None:
    net, given = shaken(FactorisedUNet(SMALL, layer), 0.1), clip()
    here = net(**given)
    times = given["times"]
    there = net(**given | {"times": times + 30})
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(here, net(**given | {"times": 3 * times}), atol=1e-3)


@pytest.mark.parametrize("layer", [TimeAttention, RelativeTimeAttention])
def test_attention_along_time_does_not_care_in_which_order_frames_stand(layer: type) -> None:
    made = shaken(layer(16, 8), 0.2)
    x, times, vector = torch.randn(2, 5, 16, 2, 3), torch.rand(2, 5), torch.randn(2, 5, 8)
    order = [3, 0, 4, 1, 2]
    straight = made(x, times, vector)[:, order]
    torch.testing.assert_close(
        straight, made(x[:, order], times[:, order], vector[:, order]), atol=1e-5, rtol=1e-5
    )
    assert (made(x, times, vector) - x).abs().max() > 0.1


def test_relative_attention_by_hand() -> None:
    """One place, one head, against the sums written out."""
    layer = shaken(RelativeTimeAttention(8, 4, head=8), 0.5)
    x, times, vector = (
        torch.randn(1, 3, 8, 1, 1),
        torch.tensor([[0.0, 0.1, 0.5]]),
        torch.randn(1, 3, 4),
    )
    to_q, to_k, to_v = layer.relative(times, vector)[:, 0, :, :, 0]
    y = torch.nn.functional.rms_norm(x[0, :, :, 0, 0], (8,))
    q, k, v = layer.qkv(y).chunk(3, -1)
    found = []
    for t in range(3):
        score = torch.stack([q[t] @ k[s] + q[t] @ to_k[t, s] + k[s] @ to_q[t, s] for s in range(3)])
        share = (score / 8**0.5).softmax(0)
        found.append(sum(share[s] * (v[s] + to_v[t, s]) for s in range(3)))
    expected = x[0, :, :, 0, 0] + layer.out(torch.stack(found))
    torch.testing.assert_close(
        layer(x, times, vector)[0, :, :, 0, 0], expected, atol=1e-5, rtol=1e-5
    )


def test_filters_in_time_see_neighbours_only() -> None:
    net = shaken(
        FactorisedUNet(
            dataclasses.replace(SMALL, widths=(16,), attends=(False,), taps=3), TimeConv
        ),
        0.1,
    )
    given = clip(24)
    x = given["x"].requires_grad_()
    net(**given)[:, 12].sum().backward()
    reached = x.grad.abs().amax((0, 2, 3, 4)) > 0
    # Three blocks of two filters and a layer across time, three taps each.
    assert [n for n in range(24) if reached[n]] == list(range(3, 22))


def test_any_number_and_size_of_frames() -> None:
    net = shaken(
        FactorisedUNet(
            dataclasses.replace(SMALL, widths=(16, 32, 32), attends=(False, True, True)),
            conv_then_attention,
        ),
        0.1,
    )
    for frames, size in ((1, (8, 8)), (3, (5, 7)), (7, (4, 12))):
        given = clip(frames, size)
        assert net(**given).shape == given["x"].shape


def test_context_maps_and_text_are_heard_frame_by_frame() -> None:
    shape = dataclasses.replace(SMALL, maps=2, context=5)
    net, given = shaken(pictures(shape), 0.1), clip()
    told = dataclasses.replace(
        given["told"], context=torch.randn(2, 4, 3, 5), maps=torch.randn(2, 4, 2, 3, 4)
    )
    base = net(**given | {"told": told})
    for name in ("text", "context", "maps"):
        other = getattr(told, name).clone()
        other[:, 2] += 1
        moved = (net(**given | {"told": dataclasses.replace(told, **{name: other})}) - base).abs()
        assert moved[:, 2].max() > 1e-2, name
        assert moved[:, [0, 1, 3]].max() == 0, name
    plain = dataclasses.replace(told, context=told.context[:, :, [2, 0, 1]])
    torch.testing.assert_close(net(**given | {"told": plain}), base, atol=1e-5, rtol=1e-5)


def test_shapes_that_cannot_be_are_refused() -> None:
    for wrong in ({"attends": (True,)}, {"taps": 2}, {"head": 12}, {"head": 24}):
        with pytest.raises(ValueError, match=r"try|scales"):
            dataclasses.replace(SMALL, **wrong)


@pytest.mark.parametrize(
    ("shape", "time", "low", "high"),
    [
        # The widths of Stable Diffusion's U-Net, as Video LDM and NUWA-XL take them over.
        (UNetShape(4, 0, 768, (320, 640, 1280, 1280), 2, (True, True, True, False), 64, context=768), conv_then_attention, 5e8, 1e9),
        # Smaller, with pictures at every scale.
        (UNetShape(4, 0, 768, (256, 512, 1024), 2, (False, True, True), 64, maps=5), conv_then_attention, 2e8, 9e8),
        # Small ones, for latents of 8x8x4 and two cores.
        (UNetShape(), conv_then_attention, 0.8e6, 1.6e6),
        (UNetShape(), RelativeTimeAttention, 0.8e6, 1.9e6),
    ],
)  # fmt: skip
def test_sizes(shape: UNetShape, time: TimeFactory, low: float, high: float) -> None:
    with torch.device("meta"):
        net = FactorisedUNet(shape, time)
    assert low < sum(p.numel() for p in net.parameters()) < high


# ---- frames on channels


def stack(*flags: int) -> Tensor:
    return torch.tensor([[float(flag) for flag in flags]])


def test_slots_of_past_targets_and_future() -> None:
    slots = Slots(2, 3, 1)
    assert slots.of(stack(1, 1, 0, 0, 0, 1)).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert slots.of(stack(1, 0, 0)).tolist() == [[1, 2, 3]]  # the past ends beside the targets
    assert slots.of(stack(0, 0, 0, 1)).tolist() == [[2, 3, 4, 5]]
    assert slots.of(stack(0)).tolist() == [[2]]
    for wrong in (stack(0, 1, 0), stack(1, 1, 1, 0), stack(0, 0, 0, 0), stack(0, 1, 1)):
        with pytest.raises(ValueError, match=r"frames? (in|is)"):
            slots.of(wrong)


def test_a_stack_tells_its_frames_apart_and_hears_times() -> None:
    net = shaken(StackedUNet(SMALL, Slots(2, 2, 1)), 0.1)
    given = clip(4)
    given["told"] = dataclasses.replace(given["told"], observed=stack(1, 0, 0, 1).expand(2, -1))
    base = net(**given)
    assert base.shape == given["x"].shape
    assert base[:, [0, 3]].abs().max() == 0 and base[:, [1, 2]].std() > 0.1
    x = given["x"].clone()
    x[:, 0] += 1
    assert not torch.allclose(net(**given | {"x": x}), base, atol=1e-3)
    torch.testing.assert_close(
        net(**given | {"times": given["times"] + 9}), base, atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(net(**given | {"times": given["times"] * 2}), base, atol=1e-3)
    past = {k: v[:, :3] for k, v in given.items() if k != "told"}
    told = given["told"]
    past["told"] = Told(told.observed[:, :3], told.text[:, :3])
    without = net(**past)  # without its future: another answer, of the same targets
    assert without.shape[1] == 3 and not torch.allclose(without[:, 1:3], base[:, 1:3], atol=1e-3)


def test_rows_of_a_stack_may_have_different_patterns() -> None:
    net = shaken(StackedUNet(SMALL, Slots(1, 2, 1)), 0.1)
    given = clip(3)
    flags = torch.tensor([[1.0, 0, 0], [0.0, 0, 1]])
    given["told"] = dataclasses.replace(given["told"], observed=flags)
    both = net(**given)
    for n in range(2):
        told = given["told"]
        alone = {k: v[n : n + 1] for k, v in given.items() if k != "told"}
        alone["told"] = Told(flags[n : n + 1], told.text[n : n + 1])
        torch.testing.assert_close(net(**alone), both[n : n + 1], atol=1e-5, rtol=1e-5)
