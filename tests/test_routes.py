"""Routes by which observed frames and tracks reach a net: what each may change, and what it must not."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from family_parts import request, shaken
from torch import Tensor

from longtake.clip import Clip, ClipSpec
from longtake.models.diffusion import FlowModel
from longtake.models.samplers import Sampling
from longtake.nets.routes import (
    Beside,
    Conditioned,
    ControlBranch,
    Emptied,
    EveryScale,
    InPlace,
    Nearest,
    Picture,
    PictureEveryScale,
    Recall,
    Reference,
    Route,
    TextTokens,
    Trajectory,
    displacement,
    raster,
)
from longtake.nets.stacked import Slots, StackedUNet
from longtake.nets.unet import FactorisedUNet, UNetShape, pictures

SMALL = UNetShape(channels=4, text=3, widths=(16,), attends=(True,), head=16)

SEEING = {
    "in place": lambda: [InPlace()],
    "beside": lambda: [Emptied(), Beside(4)],
    "nearest": lambda: [Emptied(), Nearest(4)],
    "every scale": lambda: [Emptied(), EveryScale(4)],
    "reference": lambda: [Emptied(), Reference(4, 16)],
    "recall": lambda: [Emptied(), Recall(4, 3, 16)],
    "trajectory": lambda: [Emptied(), Beside(4), Trajectory(displacement, 16)],
    "several": lambda: [InPlace(), Beside(4), EveryScale(4), Reference(4, 16), TextTokens(3, 3)],
}


def shape_for(*routes: Route) -> UNetShape:
    return dataclasses.replace(
        SMALL,
        extra=sum(route.extra for route in routes),
        maps=sum(route.maps for route in routes),
        context=max(route.context for route in routes),
    )


def net_of(name: str, core: type = FactorisedUNet) -> Conditioned:
    torch.manual_seed(0)
    if name == "several":  # all that is attended to has one width
        routes = [
            InPlace(),
            Beside(4),
            EveryScale(4),
            Reference(4, 16),
            Trajectory(displacement, 16),
        ]
    else:
        routes = SEEING[name]()
    return shaken(Conditioned(core(shape_for(*routes)), *routes), 0.1)


def call(observed: tuple[int, ...] = (1, 0, 0, 1)) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    t = len(observed)
    x = torch.randn(2, t, 4, 6, 6, generator=g)
    clean = torch.randn(2, t, 4, 6, 6, generator=g)
    flags = torch.tensor([observed]).float().expand(2, -1)
    return {
        "x": x,
        "level": torch.full((2, t), 0.6) * (1 - flags),
        "observed": flags,
        "times": torch.rand(2, t, generator=g).cumsum(1),
        "text": torch.randn(2, t, 3, generator=g),
        "clean": clean,
    }


@pytest.mark.parametrize("name", SEEING)
def test_what_is_observed_is_heard_and_the_rest_of_clean_is_never_read(name: str) -> None:
    net, given = net_of(name), call()
    base = net(**given)
    hidden = given["clean"].clone()
    hidden[:, 1:3] = 99.0
    assert torch.equal(net(**given | {"clean": hidden}), base)
    seen = given["clean"].clone()
    seen[:, 0] += 1 + torch.arange(6.0)
    x = given["x"].clone()
    if name == "in place":  # there the model itself puts them
        x[:, 0] += 1
    assert not torch.allclose(
        net(**given | {"clean": seen, "x": x})[:, 1:3], base[:, 1:3], atol=1e-3
    )
    none = given | {"observed": torch.zeros(2, 4)}
    assert torch.equal(net(**none), net(**none | {"clean": seen}))


@pytest.mark.parametrize("name", [name for name in SEEING if name not in ("in place", "several")])
def test_the_noisy_slot_of_an_observed_frame_is_not_read(name: str) -> None:
    net, given = net_of(name), call()
    x = given["x"].requires_grad_()
    net(**given)[:, 1:3].square().sum().backward()
    assert x.grad[:, [0, 3]].abs().max() == 0
    assert x.grad[:, 1:3].abs().max() > 1e-3
    level = given["level"].clone()
    level[:, 0] = 0.05  # nor is the level it was kept at
    assert torch.equal(net(**given | {"level": level}), net(**given))


@pytest.mark.parametrize("name", SEEING)
def test_only_differences_of_time_matter_on_every_route(name: str) -> None:
    net, given = net_of(name), call()
    later = given | {"times": given["times"] + 50}
    torch.testing.assert_close(net(**later), net(**given), atol=1e-3, rtol=1e-3)


def plain(routes: tuple[Route, ...] = (), **sizes: int) -> Conditioned:
    torch.manual_seed(0)
    core = FactorisedUNet(dataclasses.replace(SMALL, **sizes))
    for p in core.leave.parameters():
        torch.nn.init.normal_(p)
    return Conditioned(core, *routes)


def test_routes_that_begin_as_nothing() -> None:
    """Scales and shifts, side branches and recalled summaries are silent until they learn."""
    given = call()
    base = plain()
    bare = base(**given)
    assert bare.std() > 0.1
    for more, sizes in (
        (EveryScale(4), {"maps": 5}),
        (PictureEveryScale("pose", 2), {"maps": 2}),
        (Recall(4, 3, 16), {}),
    ):
        net = plain((more,), **sizes)
        net.core.load_state_dict(base.core.state_dict(), strict=False)
        pose = torch.randn(2, 4, 2, 6, 6)
        assert torch.equal(net(**given, pose=pose), bare), more
    branch = ControlBranch(base.core, "pose", 2)
    net = Conditioned(base.core, branch)
    pose = torch.randn(2, 4, 2, 3, 3)
    assert torch.equal(net(**given, pose=pose), bare)
    net(**given, pose=pose).square().mean().backward()
    for p in branch.leave.parameters():
        p.data.sub_(p.grad)
    made = net(**given, pose=pose)
    assert not torch.allclose(made, bare, atol=1e-4)
    other = pose.clone()
    other[:, 1] += 1
    before, branch.way.enter.weight.data[:, 4:] = net(**given, pose=other), 0.3
    assert torch.equal(before, made), "a picture's own filter begins at zero"
    assert not torch.equal(net(**given, pose=other), net(**given, pose=pose))


def test_pictures_of_any_size_join_the_channels() -> None:
    net = shaken(plain((Picture("source", 3),), extra=3), 0.1)
    given = call()
    flat = torch.randn(2, 4, 3, 1, 1)
    small, large = flat.expand(-1, -1, -1, 2, 3), flat.expand(-1, -1, -1, 12, 12)
    torch.testing.assert_close(
        net(**given, source=small), net(**given, source=large), atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(net(**given, source=small + 1), net(**given, source=small), atol=1e-3)
    noisy = shaken(plain((Picture("source", 3, noise=0.5),), extra=3), 0.1)
    noisy.eval()
    assert torch.equal(noisy(**given, source=small), noisy(**given, source=small))
    noisy.train()
    assert not torch.equal(noisy(**given, source=small), noisy(**given, source=small))


def test_text_may_be_vectors_to_attend_to() -> None:
    net = shaken(plain((TextTokens(6, 3),), context=2, text=0), 0.2)
    given = call() | {"text": torch.randn(2, 4, 6)}
    base = net(**given)
    swapped = given["text"].unflatten(-1, (3, 2))[:, :, [2, 0, 1]].flatten(-2)
    torch.testing.assert_close(net(**given | {"text": swapped}), base, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(net(**given | {"text": given["text"] + 1}), base, atol=1e-3)
    with pytest.raises(ValueError, match="divisor"):
        TextTokens(5, 2)


def test_a_core_without_room_for_its_routes_is_refused() -> None:
    for routes, message in (
        ([InPlace()], "extra=1"),
        ([EveryScale(4)], "maps=5"),
        ([Reference(4, 8)], "context=8"),
    ):
        with pytest.raises(ValueError, match=message):
            Conditioned(pictures(SMALL), *routes)


def test_displacement_is_that_of_what_moved() -> None:
    g = torch.Generator().manual_seed(0)
    scene = torch.randn(3, 4, 20, 20, generator=g)
    for move in ((0, 0), (1, -2), (-3, 3)):
        here = scene[..., 5:15, 5:15]
        there = scene[..., 5 - move[0] : 15 - move[0], 5 - move[1] : 15 - move[1]]
        found = displacement(here, there)[..., 4:6, 4:6]  # whose surroundings stay in the picture
        expected = torch.tensor(move, dtype=torch.float32).view(1, 2, 1, 1).expand_as(found)
        torch.testing.assert_close(found, expected, atol=0.3, rtol=0)
    still = displacement(torch.ones(1, 4, 8, 8), torch.ones(1, 4, 8, 8))
    assert still.abs().max() < 1e-3


def test_a_layout_covers_places_by_their_share() -> None:
    boxes = torch.tensor([[[[0.0, 0.0, 0.5, 1.0], [0.25, 0.5, 0.5, 0.75], [0, 0, 1, 1]]]])
    kinds = torch.tensor([[[0, 1, -1]]])
    made = raster(boxes, kinds, 2, (2, 4))
    assert made.shape == (1, 1, 2, 2, 4)
    assert made[0, 0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert made[0, 0, 1].tolist() == [[0, 0, 0, 0], [0, 0.5, 0, 0]]


@pytest.mark.parametrize("name", [*SEEING, "stack"])
def test_a_flow_model_drives_every_route(name: str) -> None:
    if name == "stack":
        torch.manual_seed(0)
        routes = [Emptied(), Beside(4)]
        core = StackedUNet(shape_for(*routes), Slots(2, 2, 1))
        net = shaken(Conditioned(core, *routes), 0.1)
    else:
        net = net_of(name)
    model = FlowModel(
        net, ClipSpec(8, (4, None, None), "test", tracks={"text": 3}), Sampling(steps=2)
    )
    g = torch.Generator().manual_seed(2)
    seen = Clip(torch.randn(1, 2, 4, 4, 6, generator=g), (0, 1))
    late = Clip(torch.randn(1, 2, 4, 4, 6, generator=g), (5, 9))
    asked = [
        request((2, 3), seen, frame=(4, 4, 6)),
        request((6, 8), late, frame=(4, 4, 6), prompt="xyz"),
    ]
    together = model.sample_batch(asked)
    for one, alone in zip(together, asked, strict=True):
        assert one.at == alone.targets
        torch.testing.assert_close(one.frames, model.sample(alone).frames, atol=1e-4, rtol=1e-4)
    truth = Clip(torch.randn(1, 2, 4, 4, 6, generator=g), (2, 3))
    loss = model.losses(asked[0], truth)["flow"].mean()
    loss.backward()
    assert loss.isfinite() and any(p.grad is not None and p.grad.any() for p in net.parameters())
