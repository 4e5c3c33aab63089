"""Frames that look at each other from known cameras: attention biased by where one's places may be in the other.

A camera is a row of 16 numbers: focal lengths and centre (fx, fy, cx, cy) in parts of the picture's width and
height, the rotation from world to camera row by row, and the translation, x_camera = R x_world + T. Axes are
right, down, ahead.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.routes import Given, Route
from longtake.nets.tokens import PlacedAttention

CAMERA = 16


def lens(cameras: Tensor) -> Tensor:
    """(..., 16) -> (..., 3, 3): from directions in the camera to places in parts of the picture."""
    fx, fy, cx, cy = cameras[..., :4].unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = [torch.stack(row, -1) for row in ((fx, zero, cx), (zero, fy, cy), (zero, zero, one))]
    return torch.stack(rows, -2)


def turned(cameras: Tensor) -> tuple[Tensor, Tensor]:
    """(b, t, 16) -> rotation (b, t, s, 3, 3) and translation (b, t, s, 3) from camera t into camera s."""
    rotation = cameras[..., 4:13].unflatten(-1, (3, 3))
    moved = cameras[..., 13:]
    both = rotation[:, None] @ rotation[:, :, None].transpose(-1, -2)
    return both, moved[:, None] - (both @ moved[:, :, None, :, None])[..., 0]


def centres(h: int, w: int, like: Tensor) -> Tensor:
    """(h*w, 3): the middles of places in parts of the picture, homogeneous."""
    rows = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
    columns = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
    grid = torch.cartesian_prod(rows, columns).flip(-1)
    return F.pad(grid, (0, 1), value=1.0)


def epipolar_distance(cameras: Tensor, size: tuple[int, int]) -> Tensor:
    """(b, t, s, n, m): how far place m of frame s lies from the line on which place n of frame t is seen there.

    In places. The line runs through where s sees the camera of t, e, and what n would show at any distance, p;
    where the cameras stand at one spot there is no e, and the distance is that from p (Hartley and Zisserman
    2004, sections 9.2 and 9.3).
    """
    h, w = size
    at = centres(h, w, cameras)
    rotation, moved = turned(cameras)
    inside = lens(cameras)
    # places as pixels of the grid: x of w, y of h
    pixels = torch.diag(at.new_tensor([w, h, 1.0]))
    out = pixels @ inside[:, None]  # of s
    back = torch.linalg.inv(inside)[:, :, None]  # of t
    far = at @ (out @ rotation @ back).transpose(-1, -2)  # (b, t, s, n, 3)
    origin = (out @ moved[..., None])[..., 0][..., None, :]  # e
    line = torch.linalg.cross(origin.expand_as(far), far)
    there = at @ pixels
    from_line = (line @ there.T).abs() / line[..., :2].norm(dim=-1, keepdim=True).clamp(min=1e-9)
    point = far[..., :2] / far[..., 2:].clamp(min=1e-6)
    from_point = torch.cdist(point, there[:, :2].expand(*point.shape[:3], -1, -1))
    still = (moved.norm(dim=-1) < 1e-6)[..., None, None]
    return torch.where(still, from_point, from_line)


class Epipolar(nn.Module):
    """Weights 1 - sigmoid(steep (d - reach)) of the distance from the line, as logits: no learned numbers.

    Pose-Guided Diffusion (Tseng et al. 2023, section 3.3). reach, 1 / steep: in places.
    """

    def __init__(self, reach: float = 1.0, steep: float = 4.0) -> None:
        super().__init__()
        self.reach, self.steep = reach, steep

    def forward(self, cameras: Tensor, size: tuple[int, int]) -> Tensor:
        """(b, t, 16) -> (b, t, s, 1, n, m), at most 0."""
        distance = epipolar_distance(cameras, size)
        return F.logsigmoid(-self.steep * (distance - self.reach))[:, :, :, None]


class PoseBias(nn.Module):
    """Logits between any two places of two frames, by a small net of how their cameras stand to each other.

    Look Outside the Room (Ren and Wang 2022, section 3.3). grid: of its places, which are as fine; nothing at first.
    """

    def __init__(self, grid: tuple[int, int], width: int = 60) -> None:
        super().__init__()
        self.grid, places = grid, math.prod(grid)
        self.net = nn.Sequential(nn.Linear(12, width), nn.SiLU(), nn.Linear(width, places**2))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)
        self.outer = True

    def forward(self, cameras: Tensor, size: tuple[int, int]) -> Tensor:
        """As `Epipolar`; ValueError at another size than the grid."""
        if size != self.grid:
            raise ValueError(f"{size} places; try {self.grid}")
        rotation, moved = turned(cameras)
        found = self.net(torch.cat([rotation.flatten(-2), moved], -1))
        return found.unflatten(-1, (math.prod(size), -1))[:, :, :, None]


class Views(Route):
    """Every frame looks at all places of the observed ones, biased by the track "camera"; shown at every scale.

    bias: such as `Epipolar` or `PoseBias`. Latents are pooled to at most `most` places along an edge.
    """

    def __init__(
        self, channels: int, bias: nn.Module, width: int = 32, head: int = 16, most: int = 8
    ) -> None:
        super().__init__()
        self.maps, self.bias, self.most = width, bias, most
        self.seen = nn.Conv2d(channels, width, 3, padding=1)
        self.asks = nn.Conv2d(channels, width, 3, padding=1)
        self.attention = PlacedAttention(width, head)
        self.attention.out.reset_parameters()
        self.nothing = nn.Parameter(torch.zeros(width))

    def forward(self, given: Given) -> Given:
        b, t, channels, h, w = given.clean.shape
        size = min(h, self.most), min(w, self.most)
        cameras, n = given.tracks["camera"].float(), size[0] * size[1]
        noisy = given.x[:, :, :channels].to(given.clean)
        query, source = (
            F.adaptive_avg_pool2d(look(frames.flatten(0, 1)), size)
            .flatten(2)
            .transpose(1, 2)
            .unflatten(0, (b, t))
            for look, frames in ((self.asks, noisy), (self.seen, given.clean))
        )
        width = query.shape[-1]
        # What no frame shows stands first, so that there is always something to look at.
        known = torch.cat([self.nothing.expand(b, 1, width), source.flatten(1, 2)], 1)
        k, v = self.attention.keys(F.rms_norm(known, (width,)), None)
        bias = self.bias(cameras, size).permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        mask = given.told.observed.bool()[:, None, None, :, None].expand(b, 1, 1, t, n).flatten(3)
        q = self.attention.queries(F.rms_norm(query.flatten(1, 2), (width,)), None)
        found = self.attention.mix(
            q, k, v, F.pad(mask, (1, 0), value=True), F.pad(bias, (1, 0)).to(q)
        )
        maps = found.transpose(1, 2).unflatten(2, (t, *size)).transpose(1, 2)
        return given.show(F.interpolate(maps.flatten(0, 1), (h, w)).unflatten(0, (b, t)))
