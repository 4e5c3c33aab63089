"""Films of a proof: many at once, in memory, under any scheme; and their pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from longtake.clip import Clip, ClipModel, ClipRequest, Codec, Noise
from longtake.controls import Controls
from longtake.lab.shared import codec
from longtake.lab.takes import Told
from longtake.steps import Plan, Scheme, Timeline

if TYPE_CHECKING:
    from longtake.lab.bench import Lab

_TOGETHER = 16  # films answered in one call


def films(
    model: ClipModel,
    scheme: Scheme,
    length: int,
    count: int,
    *,
    seed: int,
    frame: tuple[int, ...],
    given: Clip | None = None,
    controls: Sequence[Controls] | None = None,
    interval: float = 0.1,
    select: Any = None,
) -> Tensor:
    """`count` films of `length` latent frames, (n, t, *frame); every call answers several films.

    given: frames (n, g, *frame) that the films have already. controls: of each film. interval:
    seconds from frame to frame. select: for adaptive schemes, as `Stage.select`.
    """
    plan = Plan.of(scheme, Timeline(length, given.at if given is not None else ()))
    rows = []
    for some in torch.arange(count).split(_TOGETHER):
        part = tuple(some.tolist())
        own = [controls[n] if controls is not None else Controls() for n in part]
        start = Clip(given.frames[some], given.at) if given is not None else None
        rows.append(_films(model, plan, part, Noise(seed), frame, start, own, interval, select))
    return torch.cat(rows)


def _films(
    model: Any,
    plan: Plan,
    samples: tuple[int, ...],
    noise: Noise,
    frame: tuple[int, ...],
    given: Clip | None,
    controls: Sequence[Controls],
    interval: float,
    select: Any,
) -> Tensor:
    written: dict[int, Tensor] = {}  # index -> (n, *frame)
    if given is not None:
        written = {index: given.frames[:, place] for place, index in enumerate(given.at)}
    for step in plan.steps:
        requests = []
        for n, sample in enumerate(samples):
            seen = step.observed
            if step.choose is not None and select is not None:
                there = Clip(torch.stack([written[i][n] for i in seen])[None], seen)
                seen = tuple(sorted(select(there, step.targets, step.choose)))
            frames = [written[i][n] for i in seen]
            requests.append(
                ClipRequest(
                    targets=step.targets,
                    observed=Clip(torch.stack(frames)[None], seen) if seen else None,
                    controls=controls[n],
                    noise=noise,
                    frame=frame,
                    samples=(sample,),
                    interval=interval,
                )
            )
        answers = (
            model.sample_batch(requests)
            if hasattr(model, "sample_batch")
            else [model.sample(request) for request in requests]
        )
        together = torch.cat([answer.frames for answer in answers])
        written |= {index: together[:, place] for place, index in enumerate(step.targets)}
    return torch.stack([written[index] for index in range(len(written))], 1)


def told_films(
    model: ClipModel,
    scheme: Scheme,
    track: Tensor,
    *,
    seed: int,
    frame: tuple[int, ...],
    given: Clip | None = None,
) -> Tensor:
    """A film for every row of a control track (n, t, ...), told it and as long as it is."""
    own, (count, length) = [Told(rows=rows) for rows in track], track.shape[:2]
    return films(model, scheme, length, count, seed=seed, frame=frame, given=given, controls=own)


def farthest(candidates: Clip, targets: Sequence[int], count: int) -> tuple[int, ...]:
    """`count` of the candidates, the nearest to the targets first, then each the farthest from all chosen.

    Greedy max-min of latent distance; the adaptive schemes of FDM do so with LPIPS.
    """
    flat = candidates.frames[0].flatten(1).float()
    apart = torch.cdist(flat, flat)
    begin = min(targets)
    chosen = [min(range(len(flat)), key=lambda n: abs(candidates.at[n] - begin))]
    least = apart[chosen[0]].clone()
    while len(chosen) < count:
        least[chosen] = -1
        chosen.append(int(least.argmax()))
        least = torch.minimum(least, apart[chosen[-1]])
    return tuple(sorted(candidates.at[n] for n in chosen))


def shown(codec: Codec, latents: Tensor, chunk: int = 32) -> Tensor:
    """Latent films (n, s, ...) as pictures in bytes, (n, t, 3, h, w), decoded in parts with context."""
    before, after = codec.spec.context
    stride, length = codec.spec.stride, latents.shape[1]
    done = []
    for n in range(len(latents)):
        parts = []
        for begin in range(0, length, chunk):
            end = min(length, begin + chunk)
            low, high = max(0, begin - before), min(length, end + after)
            made = codec.decode(latents[n : n + 1, low:high])[0]
            parts.append(made[(begin - low) * stride : (end - low) * stride])
        done.append((torch.cat(parts) * 255).round().byte().cpu())
    return torch.stack(done)


def pictures(
    lab: Lab,
    world: str,
    arm: str,
    make: Callable[[], Tensor],
    fps: float = 10.0,
    kind: str = "kl",
) -> Tensor:
    """An arm's films (n, t, 3, h, w) in bytes, from latents or codes that are made once; with a contact sheet.

    kind: of the world's shared codec.
    """
    name = "codes" if kind == "vq" else "latents"
    made = lab.kept(f"films/{arm}", lambda: {name: make()})
    video = shown(codec(world, kind), made[name])
    lab.sheet(arm, video, fps=fps)
    return video


def sheet(
    films: Tensor, path: Path, *, columns: int = 12, rows: int = 4, fps: float = 10.0
) -> None:
    """A contact sheet of the first `rows` films (n, t, 3, h, w) in bytes, evenly spread in time."""
    from longtake.video import contact_sheet

    length = films.shape[1]
    places = [round(n * (length - 1) / max(1, columns - 1)) for n in range(columns)]
    cells = [film[place] for film in films[:rows] for place in places]
    labels = [f"{place / fps:.1f} s" for _ in films[:rows] for place in places]
    contact_sheet(cells, path, columns=columns, labels=labels)
