"""What systems on the script's world share: captions as sets of words, takes with them, a U-Net that is told both.

Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from longtake.lab.systems import two_blocks

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.lab.bench import Lab
    from longtake.lab.takes import Takes

WORDS = 20  # as many words as captions are made of
FPS = 5.0  # at which an event fills most of a clip of 16 frames
STABLE_DIFFUSION = two_blocks(  # its U-Net, as systems inflate it
    widths=(320, 640, 1280, 1280), attends=(True, True, True, False), head=64
)
SIZES = {"proof": {"widths": (48, 96), "head": 16}, "paper": STABLE_DIFFUSION}


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """The words that are heard."""
    from longtake.worlds.script.story import COLOURS, SHAPES, VERBS

    return (*COLOURS, *SHAPES, *VERBS, "left", "right")


class Words:
    """An `Encoder`: a number for each word of the script's captions, 1 where it is said."""

    fingerprint = "script words 1"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(p, WORDS)."""
        import torch

        from longtake.worlds.script.story import ALIASES

        rows = torch.zeros(len(prompts), WORDS)
        for row, prompt in zip(rows, prompts, strict=True):
            said = {ALIASES.get(word, word) for word in re.findall("[a-z]+", prompt.lower())}
            for place, word in enumerate(vocabulary()):
                row[place] = word in said
        return rows


HEARD: dict[str, Any] = {"tracks": {"text": WORDS}, "encoder": Words()}  # of a `Design`


def told_takes(
    lab: Lab, count: int, frames: int, /, *, use: str = "train", **knobs: Any
) -> tuple[Takes, Tensor]:
    """Takes as `Lab.takes` makes them, at `FPS` unless asked otherwise, and the caption of every frame, (n, t, WORDS)."""
    import torch

    takes = lab.takes("script", count, frames, use=use, **{"fps": FPS} | knobs)
    rows = []
    for stretch in takes.stretches:
        world = stretch.made()
        rows.append(Words().encode([world.caption(place) for place in stretch.places]))
    return takes, torch.stack(rows)


def told_net(size: str = "proof") -> Any:
    """A U-Net with layers across time, given known frames and their mask on channels, and captions."""
    from longtake.nets.routes import Beside, Conditioned, Emptied
    from longtake.nets.unet import FactorisedUNet, UNetShape

    shape = UNetShape(channels=8, extra=9, text=WORDS, **SIZES[size])
    return Conditioned(FactorisedUNet(shape), Emptied(), Beside(8))
