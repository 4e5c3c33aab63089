"""What proofs on the script share: its events as prompts, its boxes as a layout, and both read back from films.

At `FPS` a slot of the story is 16 frames: 4 latent frames of the shared codec of codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from longtake.lab.scripted import Words
from longtake.worlds.script.story import ACTION, COLOURS, SHAPES, SLOT

if TYPE_CHECKING:
    from longtake.lab.bench import Lab
    from longtake.lab.takes import Takes

FRAMES = 16  # of a slot
FPS = FRAMES / SLOT
STRIDE = 4  # frames in a latent one
LATENTS = FRAMES // STRIDE
CHANNELS = 2 * len(COLOURS) + len(SHAPES)  # of a layout
DEEDS = ("enters", "leaves", "moves left", "moves right", "jumps", "grows", "shrinks")
SIDE = 0.25  # of the picture's width: actors come and go here

Deed = tuple[int, int]  # a place in COLOURS, a place in DEEDS


def stories(lab: Lab, count: int, slots: int, use: str = "train") -> Takes:
    """Stories of three actors that never end, from their beginnings on, as codes."""
    return lab.takes("script", count, FRAMES * slots, kind="vq", use=use, fps=FPS)


def prompts(takes: Takes, slots: int) -> list[list[str]]:
    """What happens in every slot of every take, in words."""
    told = []
    for stretch in takes.stretches:
        world = stretch.made()
        told.append([world.caption(FRAMES * slot) for slot in range(slots)])
    return told


def tracks(told: Sequence[Sequence[str]]) -> Tensor:
    """Prompts of slots as a control track of latent frames: n s d."""
    rows = Words().encode([prompt for film in told for prompt in film])
    return rows.unflatten(0, (len(told), -1)).repeat_interleave(LATENTS, 1)


def layout(truth: Mapping[str, Tensor], told: Tensor, grid: int = 8) -> Tensor:
    """Boxes as a picture of `grid` x `grid` cells for every latent frame: n s grid grid CHANNELS.

    truth: as `Takes` has it. told (n s 5): of which colours the layout speaks. Channels: how much of
    a cell lies in the box of each colour, of each shape, and, everywhere, of which colours is told.
    """
    edges = torch.arange(grid + 1) / grid
    left, top, right, bottom = truth["box"][..., None].unbind(-2)  # n s actors 1
    wide = (torch.minimum(right, edges[1:]) - torch.maximum(left, edges[:-1])).clamp(min=0) * grid
    high = (torch.minimum(bottom, edges[1:]) - torch.maximum(top, edges[:-1])).clamp(min=0) * grid
    cover = high[..., :, None] * wide[..., None, :] * truth["there"][..., None, None]
    colour, shape = truth["colour"].long(), truth["shape"].long()
    cover = cover * told.float().gather(-1, colour)[..., None, None]
    whose = torch.nn.functional.one_hot(colour, len(COLOURS)).float()
    which = torch.nn.functional.one_hot(shape, len(SHAPES)).float()
    raster = torch.einsum("nsahw,nsac->nshwc", cover, torch.cat([whose, which], -1))
    flags = told.float()[:, :, None, None].expand(-1, -1, grid, grid, -1)
    return torch.cat([raster, flags], -1)


def deed_told(event: Any, cast: Sequence[Any]) -> Deed | None:
    """An event of the story as what films are read for; None for those no reader sees."""
    side = {-1: " left", 1: " right"}.get(event.side, "") if event.verb == "moves" else ""
    name = event.verb + side
    return (cast[event.actor].colour, DEEDS.index(name)) if name in DEEDS else None


def deeds_told(takes: Takes, slots: int) -> list[list[Deed | None]]:
    """What the story has happen in every slot of every take."""
    found = []
    for stretch in takes.stretches:
        story = stretch.made().story
        found.append([deed_told(story.event(slot), story.cast) for slot in range(slots)])
    return found


def deeds_seen(state: Mapping[str, Tensor]) -> list[list[Deed]]:
    """What happens in every slot of a film, as `Script.read` has it; the plainest first.

    The last frames of a slot, which are still, are held against its first ones; a jump is seen
    in between.
    """
    there, box = state["there"].float(), state["box"]
    place, found = state["position"], []
    quiet = int(ACTION * FPS) + 1  # of a slot, from here on
    for begin in range(0, len(there) - FRAMES + 1, FRAMES):
        slot = slice(begin, begin + FRAMES)
        seen: list[tuple[float, Deed]] = []
        for n in range(len(COLOURS)):
            here, x = there[slot, n], place[slot, n]
            before, after = here[:2].mean() > 0.5, here[quiet:].mean() > 0.5
            if before != after:
                ends = x[here > 0.5, 0]
                edge = ends[-1] if before else ends[0]  # where it is lost from sight, or found
                if not SIDE < edge < 1 - SIDE:
                    seen.append((2.0, (n, DEEDS.index("leaves" if before else "enters"))))
            elif before and bool((here > 0.5).all()):
                size = (box[slot, n, 2:] - box[slot, n, :2]).prod(-1).sqrt()
                moved = float(x[quiet:, 0].mean() - x[0, 0])
                rise = float(torch.minimum(x[0, 1], x[quiet:, 1].mean()) - x[:, 1].amin())
                grown = float((size[quiet:].mean() / size[0].clamp(min=1e-3)).log())
                for much, usual, deed in (
                    (-moved, 0.15, "moves left"),
                    (moved, 0.15, "moves right"),
                    (rise, 0.07, "jumps"),
                    (grown, 0.22, "grows"),
                    (-grown, 0.22, "shrinks"),
                ):
                    if much > 0.5 * usual:
                        seen.append((min(much / usual, 1.9), (n, DEEDS.index(deed))))
        found.append([deed for _, deed in sorted(seen, reverse=True)])
    return found


def followed(told: Sequence[Sequence[Deed | None]], seen: Sequence[Sequence[list[Deed]]]) -> float:
    """Share of the told deeds that are the plainest ones seen in their slots; films in both alike."""
    pairs = [
        pair
        for one, other in zip(told, seen, strict=True)
        for pair in zip(one, other, strict=False)
        if pair[0] is not None
    ]
    return sum(deed in happened[:1] for deed, happened in pairs) / max(1, len(pairs))


def distinct(seen: Sequence[list[Deed]]) -> float:
    """Different deeds of a film, a hundred frames."""
    return 100 * len(set(itertools.chain(*seen))) / (FRAMES * max(1, len(seen)))


def overlap(truth: Mapping[str, Tensor], n: int, state: Mapping[str, Tensor]) -> Tensor:
    """Intersection over union of the boxes told of take `n` and those of a film read, where told ones are in sight.

    0 where none is seen. truth: as `Takes` has it; state: as `Script.read`, of every frame.
    """
    told = {name: value[n] for name, value in truth.items()}
    seen = {name: value[STRIDE // 2 :: STRIDE] for name, value in state.items()}
    colour = told["colour"].long()
    one = told["box"].clamp(0, 1)
    other = seen["box"].gather(1, colour[..., None].expand(-1, -1, 4))
    low, high = torch.maximum(one, other)[..., :2], torch.minimum(one, other)[..., 2:]
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1) for b in (one, other)]
    shared = common / (areas[0] + areas[1] - common).clamp(min=1e-6)
    return (shared * seen["there"].gather(1, colour))[(told["there"] > 0) & (areas[0] > 0)]
