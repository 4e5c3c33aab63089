"""A U-Net of pictures whose channels are a whole clip's frames (MCVD, Voleti et al. 2022)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from longtake.nets.dit import waves
from longtake.nets.unet import FactorisedUNet, Told, UNetShape, pictures


@dataclasses.dataclass(frozen=True)
class Slots:
    """How many frames before, of, and after the targets a stack holds; a slot may stay empty."""

    past: int
    current: int
    future: int = 0

    def __post_init__(self) -> None:
        if min(self.past, self.current - 1, self.future) < 0:
            raise ValueError(f"{self}; try one current slot or more, and none below 0")

    def __len__(self) -> int:
        return self.past + self.current + self.future

    def of(self, observed: Tensor) -> Tensor:
        """(b, t) flags of frames in order of time -> (b, t) their slots: targets from the first current
        slot on, the past ending before them, the future beginning after all current slots."""
        seen = observed.bool()
        targets = ~seen
        begun = targets.cumsum(1) > 0  # at or after the first target
        left = targets.flip(1).cumsum(1).flip(1) > 0  # at or before the last target
        if bool((seen & begun & left).any()):
            raise ValueError("a frame is observed between targets; a stack knows past and future")
        before, after = seen & ~begun, seen & begun
        slots = torch.where(
            targets,
            self.past + targets.cumsum(1) - 1,
            torch.where(
                before,
                self.past - before.sum(1, keepdim=True) + before.cumsum(1) - 1,
                self.past + self.current + after.cumsum(1) - 1,
            ),
        )
        for name, flags, most in (
            ("past", before, self.past),
            ("target", targets, self.current),
            ("future", after, self.future),
        ):
            if int(flags.sum(1).max()) > most:
                raise ValueError(f"{int(flags.sum(1).max())} {name} frames in a stack of {most}")
        return slots


class StackedUNet(nn.Module):
    """Answers as `FactorisedUNet` does, with frames side by side on channels and no layer across time.

    Cheap, and bound to its slots: which frame is which is known by its channel. Each slot's time and
    whether it is filled are told as numbers; all targets have one noise level, the largest.
    """

    def __init__(self, shape: UNetShape, slots: Slots) -> None:
        super().__init__()
        self.shape, self.slots = shape, slots
        each, count = shape.channels + shape.extra, len(slots)
        self.net: FactorisedUNet = pictures(
            dataclasses.replace(
                shape,
                channels=slots.current * shape.channels,
                extra=count * each - slots.current * shape.channels,
                maps=count * shape.maps,
                text=count * (shape.text + 9),
            )
        )

    def forward(self, x: Tensor, level: Tensor, times: Tensor, told: Told) -> Tensor:
        """As `FactorisedUNet.forward`; what it says of observed frames is zero."""
        slots = self.slots.of(told.observed)
        known = told.observed.bool()
        first = torch.where(known, torch.inf, times).amin(1, keepdim=True)
        near = waves(times - first, 4, 16.0, 0.5)
        row = torch.cat([torch.ones_like(near[..., :1]), near], -1)
        if told.text is not None:
            row = torch.cat([row, told.text[..., : self.shape.text]], -1)
        stacked = Told(
            torch.zeros_like(level[:, :1]),
            self._stack(row, slots),
            None if told.context is None else told.context.flatten(1, 2)[:, None],
            None if told.maps is None else self._stack(told.maps, slots),
        )
        level = torch.where(known, 0, level).amax(1, keepdim=True)
        found = self.net(self._stack(x, slots), level, times[:, :1], stacked)
        found = found.unflatten(2, (self.slots.current, -1))[:, 0]
        places = (slots - self.slots.past).clamp(0, self.slots.current - 1)
        made = found.gather(1, _wide(places, found.shape[2:]))
        return made * ~_wide(known, found.shape[2:])

    def _stack(self, rows: Tensor, slots: Tensor) -> Tensor:
        """(b, t, c, ...) -> (b, 1, slots*c, ...), empty slots zero."""
        made = rows.new_zeros(len(rows), len(self.slots), *rows.shape[2:])
        made = made.scatter(1, _wide(slots, rows.shape[2:]), rows)
        return made.flatten(1, 2)[:, None]


def _wide(x: Tensor, shape: torch.Size) -> Tensor:
    """(b, t) -> (b, t, *shape)."""
    return x.view(*x.shape, *[1] * len(shape)).expand(*x.shape, *shape)
