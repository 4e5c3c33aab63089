"""What a diffusion model drives: a net that looks at a call's frames, each at its own noise level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn


class TextWidth(Protocol):
    """A shape that says how wide its per-frame control track is."""

    @property
    def text(self) -> int: ...


class FrameNet(Protocol):
    """`dit.SpaceTimeTransformer`, or `routes.Conditioned` around a U-Net or a packed transformer."""

    @property
    def shape(self) -> TextWidth: ...

    def __call__(
        self,
        x: Tensor,
        level: Tensor,
        observed: Tensor,
        times: Tensor,
        text: Tensor,
        clean: Tensor,
        **tracks: Tensor,
    ) -> Tensor:
        """x (b, t, c, h, w) at noise `level` (b, t) from 0 to 1, flags `observed` (b, t), `times` (b, t)
        in seconds and in order, `text` (b, t, d), `clean` (b, t, c, h, w) of which only observed frames
        are read -> a prediction for every frame, (b, t, c, h, w)."""

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def eval(self) -> object: ...
