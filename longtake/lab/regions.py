"""Tasks that give part of a clip: which pixels, how the rest is padded, which codes that leaves, and what masked nets say of them.

The eight tasks of MAGVIT (Yu et al. 2023, section 4.4) without classes, on 16 frames of 64x64. Regions
do not end where blocks of the codec do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool3d

from longtake.clip import ClipSpec, Noise
from longtake.lab.shared import CODES, SIZE, codec
from longtake.lab.takes import Stretch
from longtake.lab.tokens import FRAME
from longtake.models.masked import MaskedModel
from longtake.models.picking import Picking, uniform
from longtake.nets.half import Halved
from longtake.nets.masked import HIDDEN, KNOWN

if TYPE_CHECKING:
    from longtake.lab.bench import Lab
    from longtake.models.revealing import Conditionals, Revealing
    from longtake.models.sheets import Sheet

FRAMES, LATENTS = 16, 4
GIVEN = 4  # frames, at an end
INSIDE = (14, 50)  # rows or columns of a region
TASKS = (
    "frame prediction",
    "frame interpolation",
    "central outpainting",
    "vertical outpainting",
    "horizontal outpainting",
    "dynamic outpainting",
    "central inpainting",
    "dynamic inpainting",
)


def given(task: str) -> Tensor:
    """Which pixels of a clip a task gives: t h w."""
    (wide, high), (low, stop) = SIZE, INSIDE
    t, y, x = torch.arange(FRAMES)[:, None, None], torch.arange(high)[:, None], torch.arange(wide)
    left = (wide - stop + low) * t // (FRAMES - 1)  # of a strip on its way to the right
    rows, columns = (y >= low) & (y < stop), (x >= low) & (x < stop)
    strip = (x >= left) & (x < left + stop - low)
    known = {
        "frame prediction": t < GIVEN,
        "frame interpolation": (t < GIVEN) | (t >= FRAMES - GIVEN),
        "central outpainting": rows & columns,
        "vertical outpainting": rows,
        "horizontal outpainting": columns,
        "dynamic outpainting": strip,
        "central inpainting": ~(rows & columns),
        "dynamic inpainting": ~strip,
    }
    return known[task].expand(FRAMES, high, wide)


def padded(video: Tensor, task: str) -> Tensor:
    """Clips (n, t, 3, h, w) in [0, 1] of which only what a task gives is left; the rest says nothing new.

    Grey beside a region; in time the last given frame held, or a blend from one end to the other.
    """
    if not task.startswith("frame"):
        return torch.where(given(task)[:, None], video, 0.5)
    begin, end = video[:, :GIVEN], video[:, -GIVEN:]
    last, missing = begin[:, -1:], FRAMES - GIVEN
    if task == "frame prediction":
        return torch.cat([begin, last.expand(-1, missing, -1, -1, -1)], 1)
    share = torch.linspace(0, 1, missing - GIVEN + 2)[1:-1, None, None, None]
    return torch.cat([begin, last + (end[:, :1] - last) * share, end], 1)


def told(task: str) -> Tensor:
    """Which codes' blocks of pixels hold given ones: s h w."""
    return max_pool3d(given(task)[None].float(), (FRAMES // LATENTS, 8, 8))[0] > 0


def videos(lab: Lab, count: int, use: str) -> Tensor:
    """Clips of stories, each from a place of its own, in bytes (n, t, 3, h, w)."""
    drawn = [lab.number(f"{use}/{n}") for n in range(lab.count(count, least=8))]
    cut = [Stretch("script", n % 2**31, n % 997, FRAMES, {}) for n in drawn]
    return torch.stack([one.made().render(one.places) for one in cut])


def conditioned(lab: Lab, count: int, use: str) -> tuple[Tensor, Tensor]:
    """Codes of these clips (n, s, 1, h, w), and of what each task leaves of them (n, tasks, s, 1, h, w)."""

    def make() -> dict[str, Tensor]:
        code, rows = codec("script", "vq"), []
        for some in videos(lab, count, use).split(8):
            pixels = some.float() / 255
            kinds = [pixels, *(padded(pixels, task) for task in TASKS)]
            rows.append(torch.stack([code.encode(one) for one in kinds], 1).cpu())
        return {"codes": torch.cat(rows).short()}

    found = lab.kept(f"clips/{use}", make)["codes"].long()
    return found[:, 0], found[:, 1:]


def begun(net: Any, whole: Sheet, task: str, state: int) -> tuple[Conditionals, Tensor]:
    """A masked net's conditionals of clips whose codes stand where a task tells any, and which codes are known.

    whole: the clips as tokens. state: of what is told, HINT or KNOWN; all else is hidden.
    """
    states = torch.where(told(task).flatten().expand_as(whole.codes), state, HIDDEN)
    model = MaskedModel(Halved(net), ClipSpec(LATENTS, FRAME, "", codes=CODES))
    return model.conditionals(whole, states), states == KNOWN


@torch.no_grad()
def filled(
    net: Any, whole: Sheet, task: str, state: int, revealing: Revealing, seed: int
) -> Tensor:
    """Such clips decoded, (n, s, 1, h, w)."""

    def chance(use: str) -> Tensor:
        named = f"{TASKS.index(task)} {use}"
        drawn = Noise(seed).clip(range(len(whole.codes)), range(LATENTS), FRAME, named)
        return uniform(drawn.flatten(1)).clamp(1e-12, 1 - 1e-12)

    ask, known = begun(net, whole, task, state)
    found = revealing(ask, whole.codes, known, Picking(), chance)
    return found.unflatten(1, (LATENTS, *FRAME))


@torch.no_grad()
def beyond(net: Any, whole: Sheet, task: str, state: int, codes: Tensor) -> float:
    """Cross-entropy of the clips' own `codes` where such clips tell none, in nats a code."""
    ask, known = begun(net, whole, task, state)
    logs = ask(whole.codes, known).log_softmax(-1).gather(-1, codes.flatten(1)[..., None])[..., 0]
    return -float(logs[:, ~told(task).flatten()].mean())
