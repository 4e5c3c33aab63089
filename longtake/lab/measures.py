"""What proofs measure on films (n, t, 3, h, w) in bytes, beside what the metrics room has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from longtake import worlds
from longtake.lab.shared import SIZE
from longtake.metrics.distances import frechet, slope
from longtake.metrics.extractors import Extractor, default_tfvd

HOP = 8  # frames from one clip of a film to the next


@dataclasses.dataclass(frozen=True)
class Clips:
    """Features (m, d) of all clips of all films, the first frame of each (m,), and frames in a clip."""

    rows: Tensor
    starts: Tensor
    span: int


def clip_features(films: Tensor, extractor: Extractor | None = None, *, hop: int = HOP) -> Clips:
    """Of films (n, t, 3, h, w), through tfvd by default; taken once, they serve every distance."""
    extractor = extractor or default_tfvd()
    span, rows, starts = extractor.frames, [], []
    for film in films:
        frames = extractor.prepare(film)
        begins = list(range(0, len(frames) - span + 1, hop))
        clips = torch.stack([frames[begin : begin + span] for begin in begins])
        rows.append(extractor.features(clips))
        starts += begins
    return Clips(torch.cat(rows), torch.tensor(starts), span)


def clip_distance(made: Clips, real: Clips) -> float:
    """Frechet distance of films' clips from those of real ones."""
    return frechet(made.rows, real.rows)


def distance_course(made: Clips, real: Clips, *, window: int) -> tuple[list[float], list[float]]:
    """The same for every `window` frames of the films, from all real clips: middles, distances."""
    middles, distances = [], []
    for begin in range(0, int(made.starts.max()) + made.span - window + 1, window):
        inside = (made.starts >= begin) & (made.starts + made.span <= begin + window)
        if int(inside.sum()) > 1:
            middles.append(begin + window / 2)
            distances.append(frechet(made.rows[inside], real.rows))
    return middles, distances


def rise(middles: Sequence[float], values: Sequence[float]) -> float:
    """The least-squares slope of a course, a hundred frames."""
    return 100 * slope(middles, values)


def join_ratio(films: Tensor, borders: Sequence[int]) -> float:
    """Mean frame difference on the way to each of `borders`, over that everywhere else."""
    jumps = films.float().diff(dim=1).abs().mean((0, 2, 3, 4))
    at = torch.zeros(len(jumps), dtype=torch.bool)
    at[[border - 1 for border in borders if border >= 1]] = True
    return float(jumps[at].mean() / jumps[~at].mean())


def psnr_course(films: Tensor, real: Tensor) -> Tensor:
    """PSNR in dB of every frame, mean of films, (t,)."""
    error = (films.float() - real.float()).square().mean((2, 3, 4))
    return (10 * torch.log10(255**2 / error.clamp(min=1e-3))).mean(0)


def unevenness(films: Tensor) -> float:
    """The largest frame difference of a film over its mean one; 1 where all change is even. Mean of films."""
    jumps = films.float().diff(dim=1).abs().mean((2, 3, 4))
    return float((jumps.amax(1) / jumps.mean(1).clamp(min=1e-6)).mean())


def read_share(
    films: Tensor, read: Callable[[int, Tensor], Tensor], *, last: int | None = None
) -> float:
    """Share of frames whose state is read, of the `last` ones. read: (film's number, frames) -> (t,) bool."""
    found = [read(n, film if last is None else film[-last:]) for n, film in enumerate(films)]
    return float(torch.cat(found).float().mean())


def digits_read(films: Tensor, *, last: int | None = None, count: int = 2) -> float:
    """Share of frames of the digits' world in which all its `count` digits are read."""
    world = worlds.make("digits", size=SIZE)
    return read_share(
        films, lambda n, film: (world.read(film)["digit"][:, :count] >= 0).all(1), last=last
    )


def actors_read(films: Tensor, *, last: int | None = None) -> float:
    """Share of frames of the script's world that show an actor whose shape is plain to see.

    One to four colours are there, as in any cast, and one has a shape's outline to a cosine of 0.93:
    no frame of noise, of smooth blots or of another world passes.
    """
    world = worlds.make("script", size=SIZE)

    def read(number: int, film: Tensor) -> Tensor:
        state = world.read(film)
        cast = state["there"].sum(1)
        plain = (state["shape"] >= 0) & (state["likeness"].amax(-1) > 0.93)
        return (cast >= 1) & (cast <= 4) & plain.any(1)

    return read_share(films, read, last=last)


def movers(films: Tensor) -> tuple[Tensor, Tensor]:
    """Which actor of the script's world moves most in every film, by colour (n,), and how far, short sides."""
    world = worlds.make("script", size=SIZE)
    found = []
    for film in films:
        state = world.read(film)
        both = state["there"][1:] & state["there"][:-1]
        way = state["position"].diff(dim=0).norm(dim=-1)
        found.append((way * both).sum(0))
    far, which = torch.stack(found).max(1)
    return which, far


def location_distance(found: Tensor, truth: Tensor, lines: int = 64) -> float:
    """Sliced Wasserstein-1 distance of two clouds of points (m, d): where films have been (FDM's WD).

    Mean over `lines` fixed directions of the distance between the projections' quantiles.
    """
    generator = torch.Generator().manual_seed(0)
    ways = torch.randn(found.shape[1], lines, generator=generator, dtype=torch.float64)
    ways = ways / ways.norm(dim=0)
    levels = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    one, other = (torch.quantile(x.double() @ ways, levels, dim=0) for x in (found, truth))
    return float((one - other).abs().mean())
