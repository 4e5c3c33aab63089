"""Pictures too large for an autoencoder at once: overlapping tiles, each a stream of its own.

Tiles are cut and blended as diffusers' `tiled_decode` and `tiled_encode` do, so that a stream of tiles equals
their result for the whole film, in memory of a piece of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Grid:
    """How a picture is cut; pairs are (height, width).

    size, step: of tiles, in what goes in. blend: how far a tile fades out of the one before it, keep: how
    much of a tile is shown, in what comes out. whole: of a size that goes in, the size that comes out.
    """

    size: Pair
    step: Pair
    blend: Pair
    keep: Pair
    whole: Callable[[int], int]


class InSpace:
    """A stream of pictures in tiles. make: a stream for one tile."""

    def __init__(self, vae: Any, grid: Grid, make: Callable[[], Any]) -> None:
        self._vae, self._grid, self._make = vae, grid, make
        self._rows: list[list[Any]] = []

    def push(self, x: Tensor, last: bool) -> Tensor:
        """As the stream of a tile: the next (b, c, t, h, w) in, what is final out."""
        grid, (high, wide) = self._grid, x.shape[-2:]
        tops, lefts = range(0, high, grid.step[0]), range(0, wide, grid.step[1])
        if high <= grid.size[0] and wide <= grid.size[1]:
            tops, lefts = range(1), range(1)
        if not self._rows:
            self._rows = [[self._make() for _ in lefts] for _ in tops]
        made = [
            [
                _raw(stream)(x[..., i : i + grid.size[0], j : j + grid.size[1]], last)
                for stream, j in zip(streams, lefts, strict=True)
            ]
            for streams, i in zip(self._rows, tops, strict=True)
        ]
        finish = getattr(self._rows[0][0], "finish", lambda video: video)
        if len(tops) * len(lefts) == 1 or not made[0][0].shape[2]:
            return finish(made[0][0])
        film = self._blended(made)
        return finish(film[..., : grid.whole(high), : grid.whole(wide)])

    def _blended(self, tiles: list[list[Tensor]]) -> Tensor:
        (down, right), (high, wide) = self._grid.blend, self._grid.keep
        rows = []
        for i, row in enumerate(tiles):
            shown = []
            for j, tile in enumerate(row):
                if i:
                    tile = self._vae.blend_v(tiles[i - 1][j], tile, down)
                if j:
                    tile = self._vae.blend_h(row[j - 1], tile, right)
                shown.append(tile[..., :high, :wide])
            rows.append(torch.cat(shown, dim=-1))
        return torch.cat(rows, dim=-2)


def _raw(stream: Any) -> Callable[[Tensor, bool], Tensor]:
    """What a stream makes before it is clipped and its channels are folded out, if it does that."""
    found: Callable[[Tensor, bool], Tensor] = getattr(stream, "raw", stream.push)
    return found


def in_tiles(vae: Any, make: Callable[[bool], Any], *, decodes: bool) -> Any:
    """A stream, in tiles where the autoencoder is to be used so. make: is told whether it is for a tile."""
    grids = GRIDS.get(type(vae).__name__)
    if grids is None or not vae.use_tiling:
        return make(False)
    grid = grids[0](vae) if decodes else grids[1](vae)
    return make(False) if grid is None else InSpace(vae, grid, lambda: make(True))


def _sides(vae: Any, name: str, by: int) -> Pair:
    return tuple(getattr(vae, f"{name}_{side}") // by for side in ("height", "width"))  # type: ignore[return-value]


def _less(one: Pair, other: Pair) -> Pair:
    return one[0] - other[0], one[1] - other[1]


def _decoding(vae: Any, patch: int = 1) -> Grid:
    ratio = vae.spatial_compression_ratio
    sizes = [_sides(vae, f"tile_sample_{what}", ratio) for what in ("min", "stride")]
    shown = [_sides(vae, f"tile_sample_{what}", patch) for what in ("min", "stride")]
    return Grid(sizes[0], sizes[1], _less(*shown), shown[1], lambda side: side * ratio // patch)


def _encoding(vae: Any) -> Grid:
    ratio = vae.spatial_compression_ratio
    sizes = [_sides(vae, f"tile_sample_{what}", 1) for what in ("min", "stride")]
    made = [_sides(vae, f"tile_sample_{what}", ratio) for what in ("min", "stride")]
    return Grid(sizes[0], sizes[1], _less(*made), made[1], lambda side: side // ratio)


def _wan_decoding(vae: Any) -> Grid:
    return _decoding(vae, vae.config.patch_size or 1)


def _wan_encoding(vae: Any) -> Grid | None:
    return None if vae.config.patch_size else _encoding(vae)


def _cog(vae: Any, cut: str, made: str) -> Grid:
    factors = (vae.tile_overlap_factor_height, vae.tile_overlap_factor_width)
    size, out = _sides(vae, f"tile_{cut}_min", 1), _sides(vae, f"tile_{made}_min", 1)
    step = tuple(int(s * (1 - f)) for s, f in zip(size, factors, strict=True))
    blend = tuple(int(s * f) for s, f in zip(out, factors, strict=True))
    return Grid(size, step, blend, _less(out, blend), lambda side: 1 << 30)  # type: ignore[arg-type]


_Grids = tuple[Callable[[Any], Grid | None], Callable[[Any], Grid | None]]

# HunyuanVideo's tiles of time cut and blend those of space themselves, and so do decoders of pictures
GRIDS: Mapping[str, _Grids] = {
    "AutoencoderKLWan": (_wan_decoding, _wan_encoding),
    "AutoencoderKLCogVideoX": (
        lambda vae: _cog(vae, "latent", "sample"),
        lambda vae: _cog(vae, "sample", "latent"),
    ),
    "AutoencoderKLMochi": (_decoding, _encoding),
    "AutoencoderKLLTXVideo": (_decoding, _encoding),
    "AutoencoderKLLTX2Video": (_decoding, _encoding),
}
