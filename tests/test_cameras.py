"""Cameras: lines on which a place of one picture is seen in another, and who looks at whom."""

from __future__ import annotations

import math

import pytest
import torch
from family_parts import shaken
from torch import Tensor

from longtake.nets.cameras import (
    CAMERA,
    Epipolar,
    PoseBias,
    Views,
    centres,
    epipolar_distance,
    lens,
    turned,
)
from longtake.nets.routes import Conditioned, Emptied
from longtake.nets.unet import FactorisedUNet, UNetShape

SIZE = (6, 8)


def cameras(yaws: list[float], places: list[tuple[float, float, float]]) -> Tensor:
    """(1, t, 16): cameras at places of the world, turned about the axis that points down."""
    rows = []
    for yaw, place in zip(yaws, places, strict=True):
        c, s = math.cos(yaw), math.sin(yaw)
        turn = torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        moved = -turn @ torch.tensor(place)
        rows.append(torch.cat([torch.tensor([0.9, 1.2, 0.5, 0.5]), turn.flatten(), moved]))
    return torch.stack(rows)[None]


def seen(camera: Tensor, point: Tensor) -> Tensor:
    """Where a camera (16,) sees a point of the world, in parts of the picture."""
    x = camera[4:13].view(3, 3) @ point + camera[13:]
    assert x[2] > 0
    y = lens(camera) @ x
    return y[:2] / y[2]


def test_a_point_of_the_world_lies_on_the_line_of_its_place() -> None:
    both = cameras([0.1, -0.2], [(0.0, 0.0, 0.0), (0.4, -0.1, 0.3)])
    far = epipolar_distance(both.double(), SIZE)[0]
    assert far.shape == (2, 2, 48, 48)
    places = centres(*SIZE, both)
    back = torch.linalg.inv(lens(both[0, 0]))
    for place in (0, 13, 30, 47):
        for depth in (2.0, 5.0, 40.0):  # whatever is seen there, however far
            ray = back @ places[place]
            there = both[0, 0, 4:13].view(3, 3).T @ (depth * ray - both[0, 0, 13:])
            found = seen(both[0, 1], there) * torch.tensor([8.0, 6.0])
            grid = places[:, :2] * torch.tensor([8.0, 6.0])
            near = (grid - found).norm(dim=1)
            # the distance from a line through the point is never larger than that from the point
            assert bool((far[0, 1, place] <= near + 1e-3).all())
    assert float(far[0, 1].amin(-1).max()) < 40 and float(far[0, 1].amax()) > 2


def test_cameras_at_one_spot_see_points_not_lines() -> None:
    same = cameras([0.0, 0.0], [(1.0, 2.0, 3.0)] * 2)
    grid = centres(*SIZE, same)[:, :2] * torch.tensor([8.0, 6.0])
    torch.testing.assert_close(
        epipolar_distance(same, SIZE)[0, 0, 1], torch.cdist(grid, grid), atol=1e-4, rtol=1e-4
    )


def test_the_world_may_be_laid_anywhere() -> None:
    """Only how cameras stand to each other matters."""
    one = cameras([0.1, -0.2], [(0.0, 0.0, 0.0), (0.4, -0.1, 0.3)])
    other = cameras([0.1 + 0.5, -0.2 + 0.5], [(2.0, 0.0, 1.0), (0.0, 0.0, 0.0)])
    c, s = math.cos(0.5), math.sin(0.5)
    whole = torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]])  # the world turned and pushed
    other[0, 1, 13:] = other[0, 0, 13:] * 0
    for n in (0, 1):
        place = -one[0, n, 4:13].view(3, 3).T @ one[0, n, 13:]
        new = whole.T @ place + torch.tensor([2.0, 0.0, 1.0])
        rotation = one[0, n, 4:13].view(3, 3) @ whole
        other[0, n, 4:13], other[0, n, 13:] = rotation.flatten(), -rotation @ new
    for a, b in zip(turned(one), turned(other), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(Epipolar()(one, SIZE), Epipolar()(other, SIZE), atol=1e-3, rtol=1e-3)


def test_a_place_looks_only_near_its_line() -> None:
    route = shaken(Views(4, Epipolar(reach=0.8, steep=60.0), width=16, head=16, most=8))
    net = Conditioned(
        shaken(FactorisedUNet(UNetShape(channels=4, maps=16, widths=(16,), attends=(False,)))),
        Emptied(),
        route,
    )
    held: list[Tensor] = []
    route.register_forward_hook(lambda module, given, out: held.append(out.told.maps))
    both = cameras([0.0, 0.05], [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0)])
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(1, 2, 4, 6, 8, generator=generator).requires_grad_()
    flags = torch.tensor([[1.0, 0.0]])
    net(
        torch.zeros(1, 2, 4, 6, 8), flags * 0 + 0.5, flags, torch.tensor([[0.0, 0.1]]),
        torch.zeros(1, 2, 0), clean, camera=both,
    )  # fmt: skip
    row = 2
    (grad,) = torch.autograd.grad(held[0][0, 1, :, row, 3].sum(), clean)
    heard = grad[0, 0].abs().sum((0, 2))  # by row of the observed frame
    assert bool((heard[[1, 2, 3]] > 1e-6).all()), "its line, and a filter's reach about it"
    assert float(heard[5]) < 1e-6 * float(heard.max()), "a camera moved sideways sees rows as rows"
    assert not grad[0, 1].any(), "what is not observed is not looked at"


def test_pose_bias_says_nothing_at_first_and_knows_its_grid() -> None:
    bias, both = PoseBias((2, 3)), cameras([0.0, 0.4], [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0)])
    assert bias(both, (2, 3)).shape == (1, 2, 2, 1, 6, 6) and not bias(both, (2, 3)).any()
    shaken(bias)
    told = bias(both, (2, 3))
    assert not torch.allclose(told[:, 0, 1], told[:, 1, 0])
    assert torch.allclose(told[:, 0, 0], told[:, 1, 1], atol=1e-5), "the same camera twice"
    with pytest.raises(ValueError, match="try"):
        bias(both, (3, 2))
    assert both.shape[-1] == CAMERA
