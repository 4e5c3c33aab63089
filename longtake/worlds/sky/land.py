"""The five lands, each painted from a seed; `horizon` counts picture heights from the top."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from longtake.worlds.sky.canvas import Canvas, Land, across, jagged, rolling
from longtake.worlds.sky.texture import fractal, look_up


def paint(name: str, rng: np.random.Generator, size: tuple[int, int], horizon: float) -> Land:
    """The land called `name` for a picture of `size` (width, height)."""
    canvas = Canvas(*size)
    _PAINTERS[name](canvas, rng, horizon)
    return canvas.land()


def _grain(canvas: Canvas, rng: np.random.Generator, zoom: float, stretch: float) -> Tensor:
    """A fixed mottle of mean 0 and deviation 1, finer for larger `zoom`."""
    field = fractal(rng, slope=1.5, finest=12.0, stretch=stretch)
    return look_up(field, canvas.x * zoom, canvas.y * zoom)


def _paint(colour: tuple[float, float, float], shade: Tensor) -> Tensor:
    return torch.tensor(colour)[:, None, None] * shade


def sea(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Open water with a headland on one side, now and then a lighthouse, and a boat."""
    y, x = canvas.y, canvas.x
    canvas.flood(horizon, (0.10, 0.22, 0.30), ((1 - y) / (1 - horizon)).clamp(0, 1) ** 2)
    side = rng.choice([-1.0, 1.0])
    foot = rng.uniform(0.12, 0.26)
    rise = ((x * side - foot) / 0.3).clamp(0, 1)
    rise = rise * rise * (3 - 2 * rise)
    height = rise * (0.10 + 0.035 * rolling(rng, x, 1.2)) + 0.004 * (x * side > foot)
    grain = _grain(canvas, rng, 2.0, 1.0)
    rocks = (y > horizon - height) & (y < horizon + 0.012 + 0.01 * rise) & (x * side > foot)
    canvas.lay(rocks, _paint((0.30, 0.32, 0.26), 1 + 0.2 * grain), 0.55, 0.5 * side * (1 - rise))
    if rng.random() < 0.6:
        _lighthouse(canvas, side * (foot + 0.12), horizon - 0.028)
    _boat(canvas, -side * rng.uniform(0.05, 0.3), horizon + rng.uniform(0.03, 0.06))


def _lighthouse(canvas: Canvas, at: float, foot: float) -> None:
    canvas = canvas.columns(at - 0.03, at + 0.03)
    near = (canvas.x - at).abs()
    up = foot - canvas.y
    tower = (near < 0.011 - 0.05 * up) & (up > -0.02) & (up < 0.085)
    canvas.lay(tower, (0.92, 0.90, 0.86), 0.45, (canvas.x - at) * -60)
    canvas.lay(tower & (up > 0.03) & (up < 0.05), (0.75, 0.25, 0.2), 0.45)
    lamp = (near < 0.010) & (up > 0.085) & (up < 0.103)
    canvas.lay(lamp, (0.35, 0.3, 0.3), 0.45)
    canvas.shine(lamp, (1.0, 0.92, 0.65), 1.4)


def _boat(canvas: Canvas, at: float, line: float) -> None:
    canvas = canvas.columns(at - 0.05, at + 0.05)
    across_, up = canvas.x - at, line - canvas.y
    hull = (across_.abs() < 0.028 + 0.4 * up.clamp(-0.02, 0.02)) & (up > -0.008) & (up < 0.006)
    sail = (up > 0.008) & (up < 0.085) & (across_ > -0.004) & (across_ < 0.034 * (1 - up / 0.085))
    jib = (up > 0.010) & (up < 0.068) & (across_ < -0.007) & (across_ > -0.024 * (1 - up / 0.068))
    canvas.lay(hull, (0.35, 0.18, 0.14), 0.1)
    canvas.lay(sail | jib, (0.93, 0.92, 0.88), 0.1, -0.3)
    canvas.shine(hull & (across_.abs() < 0.008), (0.9, 0.7, 0.4), 0.7)


def hills(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Green ridges one behind the other, with woods, meadows and a few lit cottages."""
    layers = 5
    for layer in range(layers):
        near = layer / (layers - 1)
        waves = 1.5 - 0.8 * near
        line = rolling(rng, canvas.x, waves)
        swell = 0.045 + 0.045 * near
        top = horizon - 0.035 + (1.02 - horizon) * 0.78 * near**1.3 - swell * line
        where = (canvas.y > top) | ((canvas.y > horizon) & (layer == 0))
        below = (canvas.y - top).clamp(min=0)
        slope = (across(line) * -150 * swell * canvas.scale / 3 * 2.5).clamp(-1, 1)
        grain = _grain(canvas, rng, 0.7 + 1.2 * (1 - near), 2.0)
        woods = grain > 0.55 - 0.4 * near * (layer == layers - 1)
        meadow = torch.tensor((0.47, 0.62, 0.24)) * (1 - 0.25 * near)
        forest = torch.tensor((0.16, 0.30, 0.15))
        colour = torch.where(woods, forest[:, None, None], meadow[:, None, None])
        colour = colour * (1 + 0.08 * grain) * (1.05 - 0.9 * below).clamp(0.6, 1.05)
        canvas.lay(where, colour, (1 - near) ** 1.2, slope * torch.exp(-below * 6))
        if 0 < layer < layers - 1:
            for _ in range(3):
                _cottage(canvas, rng, top, 0.55 + 0.6 * near, 1 - near)


def _cottage(
    canvas: Canvas, rng: np.random.Generator, top: Tensor, scale: float, depth: float
) -> None:
    at, drop = rng.uniform(-0.9, 0.9), rng.uniform(0.015, 0.05)
    column = int((canvas.x[0] - at).abs().argmin())
    if abs(float(canvas.x[0, column]) - at) > 0.02:
        return
    foot = float(top[0, column]) + drop
    canvas = canvas.columns(at - 0.04, at + 0.04)
    across_, up = (canvas.x - at) / scale, (foot - canvas.y) / scale
    canvas.lay((across_.abs() < 0.02) & (up > 0) & (up < 0.02), (0.85, 0.8, 0.72), depth, 0.2)
    roof = (across_.abs() < 0.026 - (up - 0.02) * 1.3) & (up >= 0.02) & (up < 0.04)
    canvas.lay(roof, (0.55, 0.26, 0.2), depth)
    pane = ((across_.abs() - 0.008).abs() < 0.007) & (up > 0.003) & (up < 0.017)
    canvas.shine(pane, (1.0, 0.75, 0.35))


def mountains(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Snowy peaks in three ranges behind dark woods."""
    heights, waves = (0.30, 0.21, 0.11), (1.1, 1.7, 2.3)
    for layer, (height, wave) in enumerate(zip(heights, waves, strict=True)):
        near = layer / 3
        peaks = jagged(rng, canvas.x, wave)
        top = horizon + 0.035 * layer - height * peaks
        below = (canvas.y - top).clamp(min=0)
        grain = _grain(canvas, rng, 1.6, 1.0)
        ribs = jagged(rng, canvas.x + 0.35 * below * torch.sign(across(peaks)) + 0.012 * grain, 4.0)
        slope = (across(ribs) * 30 - across(peaks) * 40).clamp(-1, 1)
        slope = slope * (0.9 - 0.4 * near)
        altitude = horizon - canvas.y + 0.03 * grain + 0.05 * ribs
        snow = altitude > 0.095 + 0.01 * layer
        rock = torch.tensor((0.40, 0.39, 0.43)) * (1 - 0.35 * near)
        white = torch.tensor((0.96, 0.97, 1.0))
        colour = torch.where(snow, white[:, None, None], rock[:, None, None])
        colour = colour * (1 + 0.08 * grain)
        canvas.lay(canvas.y > top, colour, 0.85 - 0.75 * near + below * 0.5, slope)
    line = horizon + 0.07 - 0.02 * rolling(rng, canvas.x, 1.5)
    spikes = jagged(rng, canvas.x, 26.0, 2) * 0.022
    grain = _grain(canvas, rng, 1.5, 1.5)
    ground = (canvas.y - line).clamp(min=0)
    woods = _paint((0.13, 0.24, 0.17), 1 + 0.22 * grain)
    canvas.lay(canvas.y > line - spikes, woods, 0.25)
    shore = line + 0.05 + 0.015 * rolling(rng, canvas.x, 1.1)
    meadow = _paint((0.40, 0.48, 0.22), (1 + 0.12 * grain) * (1 - ground * 0.8))
    canvas.lay(canvas.y > shore, meadow, 0.1)
    firs = jagged(rng, canvas.x * 1.0, 9.0, 3)
    edge = 1.0 - 0.075 * firs * (0.3 + 0.7 * (rolling(rng, canvas.x, 0.7, 1) > 0))
    canvas.lay(canvas.y > edge, (0.07, 0.13, 0.10), 0.0)


def plain(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Fields to the horizon, a road, hedges and broad trees."""
    x, y = canvas.x, canvas.y
    down = (y - horizon).clamp(min=1e-3)
    away = 0.12 / (down + 0.012)
    hedge = horizon - 0.014 - 0.012 * rolling(rng, x, 3.0).clamp(min=-0.9)
    canvas.lay(y > hedge, (0.20, 0.29, 0.20), 0.9)
    row = torch.floor(away * 1.6 + 0.12 * x)
    lean = torch.sin(row * 12.9898 + rng.uniform(0, 6)) * 0.4
    column = torch.floor(x * away * (1.1 + 0.3 * lean) + lean * 3)
    code = torch.sin(row * 78.233 + column * 37.719 + rng.uniform(0, 6)) * 43758.547
    code = code - code.floor()
    crops = torch.tensor(
        [(0.80, 0.68, 0.32), (0.42, 0.58, 0.22), (0.62, 0.62, 0.28), (0.30, 0.46, 0.18), (0.56, 0.42, 0.26)]
    )  # fmt: skip
    colour = crops[(code * 5).long().clamp(0, 4)].permute(2, 0, 1)
    grain = _grain(canvas, rng, 1.2, 3.0)
    colour = colour * (1 + 0.07 * grain)
    canvas.lay(y > horizon, colour, torch.exp(-down * 9))
    bend = rng.uniform(-0.25, 0.25)
    middle = rng.uniform(-0.15, 0.15) + bend * down * 2 + 0.035 * torch.sin(16 * down) * (bend < 0)
    aside = (x - middle).abs() / (down + 0.004)
    canvas.lay((y > horizon) & (aside < 0.30), (0.62, 0.58, 0.50), torch.exp(-down * 9))
    dash = (aside < 0.022) & (torch.sin(away * 9) > 0)
    canvas.lay((y > horizon) & dash, (0.88, 0.86, 0.80), torch.exp(-down * 9))
    for _ in range(6):
        _tree(canvas, rng, rng.uniform(-1.0, 1.0), horizon + 0.01, rng.uniform(0.3, 0.55), 0.6)
    for side in (-1.0, 1.0):
        at = side * rng.uniform(0.26, 0.46)
        _tree(canvas, rng, at, horizon + rng.uniform(0.03, 0.09), rng.uniform(0.9, 1.5), 0.2)
    _barn(canvas, -math.copysign(rng.uniform(0.12, 0.28), bend), horizon + 0.02)


def _tree(
    canvas: Canvas, rng: np.random.Generator, at: float, foot: float, scale: float, depth: float
) -> None:
    canvas = canvas.columns(at - 0.1 * scale, at + 0.1 * scale)
    across_, up = (canvas.x - at) / scale, (foot - canvas.y) / scale
    canvas.lay((across_.abs() < 0.008) & (up > 0) & (up < 0.07), (0.25, 0.18, 0.12), depth)
    crown = torch.zeros_like(canvas.mask, dtype=torch.bool)
    for _ in range(7):
        dx, dy, radius = (
            rng.uniform(-0.05, 0.05),
            rng.uniform(0.06, 0.13),
            rng.uniform(0.025, 0.045),
        )
        crown |= (across_ - dx) ** 2 + (up - dy) ** 2 < radius**2
    shade = 0.75 + 3.5 * (up - 0.05).clamp(0, 0.12)
    canvas.lay(crown, _paint((0.22, 0.36, 0.15), shade), depth, (-across_ * 14).clamp(-1, 1))


def _barn(canvas: Canvas, at: float, foot: float) -> None:
    canvas = canvas.columns(at - 0.05, at + 0.05)
    across_, up = canvas.x - at, foot - canvas.y
    canvas.lay((across_.abs() < 0.032) & (up > 0) & (up < 0.03), (0.66, 0.24, 0.18), 0.4, 0.2)
    roof = (across_.abs() < 0.04 - (up - 0.03) * 0.9) & (up >= 0.03) & (up < 0.052)
    canvas.lay(roof, (0.42, 0.36, 0.36), 0.4)
    pane = ((across_.abs() - 0.014).abs() < 0.007) & (up > 0.008) & (up < 0.022)
    canvas.lay(pane, (0.35, 0.25, 0.2), 0.4)
    canvas.shine(pane, (1.0, 0.78, 0.4))


def city(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """A skyline in three rows of towers above a dark quay; windows light up from dusk on."""
    canvas.lay(canvas.y > horizon + 0.04, (0.30, 0.31, 0.34), 0.3)
    rows = ((0.10, 0.34, 0.85, 0.0), (0.07, 0.25, 0.5, 0.03), (0.03, 0.14, 0.12, 0.10))
    for least, most, depth, drop in rows:
        _towers(canvas, rng, horizon + drop, (least, most), depth)
    quay = horizon + 0.125
    canvas.lay(canvas.y > quay, (0.24, 0.25, 0.28), 0.05)
    canvas.flood(quay + 0.028, (0.10, 0.18, 0.22), 0.0)
    spots = (((canvas.x / 0.11) % 1.0) - 0.5) * 0.11
    lamp = spots.square() + (canvas.y - quay - 0.008) ** 2 < 0.008**2
    canvas.shine(lamp, (1.0, 0.8, 0.5))


def _towers(
    canvas: Canvas,
    rng: np.random.Generator,
    foot: float,
    heights: tuple[float, float],
    depth: float,
) -> None:
    """One row of buildings from -3 to 3 picture heights; wider pictures end in lower ground."""
    at = -3.0
    left, right = float(canvas.x[0, 0]), float(canvas.x[0, -1])
    while at < 3.0:
        wide, gap = rng.uniform(0.055, 0.12), rng.uniform(0.0, 0.012)
        tall = rng.uniform(*heights) * rng.choice([0.6, 0.8, 1.0])
        tone, warm, seed = rng.uniform(0.28, 0.6), rng.uniform(-0.06, 0.08), rng.uniform(0, 6)
        shape = int(rng.integers(0, 5))
        if at + wide > left and at < right:
            _tower(canvas, (at, wide, tall, foot), (tone, warm, seed), shape, depth)
        at += wide + gap


def _tower(
    canvas: Canvas,
    box: tuple[float, float, float, float],
    look: tuple[float, float, float],
    shape: int,
    depth: float,
) -> None:
    at, wide, tall, foot = box
    tone, warm, seed = look
    canvas = canvas.columns(at, at + wide)
    x, y = canvas.x - at, foot - canvas.y
    inside = (x > 0) & (x < wide)
    body = inside & (y > -0.2) & (y < tall)
    centre = (x - wide / 2).abs()
    if shape == 0:  # a spire
        body = body | (
            (centre < 0.006 * (1 + (tall + 0.07 - y) * 10)) & (y >= tall) & (y < tall + 0.07)
        )
    if shape == 1:  # a set-back top
        body = body | ((centre < wide * 0.3) & (y >= tall) & (y < tall + 0.03))
    if shape == 2:  # a pitched roof
        body = body | ((centre < wide / 2 - (y - tall)) & (y >= tall) & (y < tall + wide / 2))
    facade = (tone + warm, tone, tone - warm)
    slope = 0.6 * (1 - 2 * (x / wide).clamp(0, 1))
    canvas.lay(body, _paint(facade, 0.85 + 0.6 * y.clamp(0, 0.3)), depth, slope)
    if depth > 0.8:
        pitch_x, pitch_y, level = 0.024, 0.028, 0.55
    else:
        pitch_x, pitch_y, level = 0.030, 0.036, 0.9
    margin = 0.5 * (wide % pitch_x)
    cell_x, cell_y = (x - margin) / pitch_x, (y - 0.01) / pitch_y
    code = torch.sin(cell_x.floor() * 127.1 + cell_y.floor() * 311.7 + seed * 74.7) * 43758.547
    code = code - code.floor()
    pane = inside & (y < tall - 0.008) & (y > 0) & (x > margin) & (x < wide - margin)
    pane &= (cell_x % 1 > 0.2) & (cell_x % 1 < 0.8) & (cell_y % 1 > 0.2) & (cell_y % 1 < 0.75)
    canvas.albedo.copy_(torch.where(pane, canvas.albedo * 0.72, canvas.albedo))
    tint = (1.0, 0.80, 0.46) if warm > -0.02 else (0.85, 0.9, 0.8)
    canvas.shine(pane & (code > 0.45), tint, level * (0.55 + 0.45 * code))


_PAINTERS: Mapping[str, Callable[[Canvas, np.random.Generator, float], None]] = {
    "sea": sea,
    "hills": hills,
    "mountains": mountains,
    "plain": plain,
    "city": city,
}
