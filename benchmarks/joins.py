"""What goes through a join: latents, or pixels that are encoded again. `skies`, 20 joins, both ways.

    python benchmarks/joins.py --seeds 8 --record

Both films of a seed have the same first clip, the same noise and calls, and observe as many frames. By latents, a clip
observes the last clip's latents as they are, and the film is decoded as one. Through pixels it is made as chains of
clip pipelines make it: every clip is decoded by itself, its last frames, as bytes, are encoded again for
the next clip, and the film is the clips' new frames one after the other.

A sky changes its colour by itself, so where a film ends says little about its joins. What is compared:

- frame differences across joins over those inside clips (`join-ratio-v1`);
- `handed`: how far the mean colour of what a clip observes lies from that of what was made, in grey levels, summed
  with its sign over the 20 joins of a film;
- `added`: the mean step of colour across a join beyond that inside clips, 20 times, with its standard error: what
  a clip model does where it begins, on both ways;
- `apart`: how far the film through pixels ends from the one by latents;
- `gone`: how far a film's last clip lies from its first, which is the sky's own way too.

`--record` writes benchmarks/joins.json.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import longtake
from longtake.clip import Clip, ClipModel, ClipRequest, Codec
from longtake.metrics.overlength import joins
from longtake.system import Part, System
from longtake.video import contact_sheet

RECORD = Path(__file__).with_name("joins.json")
JOINS, WINDOW, OBSERVED = 20, 16, 4  # latent frames of a call, and of those it observes
PROMPT = "a bright noon over the plain, scattered fluffy clouds drifting right"
ROUTES = ("latents", "pixels")

Line = dict[str, Any]


class Watched:
    """A model as it is. handed: at every join, how far the mean colour of what it observes lies from that of
    what it made there, (3,) grey levels.
    """

    def __init__(self, inner: ClipModel, codec: Codec) -> None:
        self.spec, self._inner, self._codec = inner.spec, inner, codec
        self._made: Clip | None = None
        self.handed = list[Tensor]()

    def sample(self, request: ClipRequest) -> Clip:
        """A clip at `request.targets`, of one film."""
        seen = request.observed
        if seen is not None and self._made is not None:
            there, here = self._made.pick(seen.at).frames, seen.frames
            self.handed.append(colour(self._codec, here) - colour(self._codec, there))
        self._made = self._inner.sample(request)
        return self._made


class ThroughPixels:
    """A model that is shown what it made last only as pixels: decoded with its clip, as bytes, and encoded again.

    shown: the film so made, clip by clip, (t, 3, h, w) in [0, 1].
    """

    def __init__(self, inner: ClipModel, codec: Codec) -> None:
        self.spec, self.inner, self._codec = inner.spec, inner, codec
        self.shown = list[Tensor]()

    def sample(self, request: ClipRequest) -> Clip:
        """A clip at `request.targets`, of one film."""
        seen, stride = request.observed, self._codec.spec.stride
        if seen is not None and self.shown:
            last = self.shown[-1][None, -len(seen.at) * stride :]
            seen = dataclasses.replace(seen, frames=self._codec.encode(last.mul(255).round() / 255))
            request = dataclasses.replace(request, observed=seen)
        made = self.inner.sample(request)
        clip = Clip.join([seen, made]) if seen is not None else made
        video = self._codec.decode(clip.frames)
        self.shown.append(video[0, -len(made.at) * stride :])
        return made


def colour(codec: Codec, latents: Tensor) -> Tensor:
    """Mean red, green and blue of what latents decode to by themselves, in grey levels."""
    return 255 * codec.decode(latents).mean(dim=(0, 1, 3, 4))


def system_of(route: str) -> System:
    """`skies` as a chain of clips."""
    step = WINDOW - OBSERVED
    made = longtake.load("skies", scheme=f"autoregressive:window={WINDOW},step={step}")
    stage = made.stages[0]
    part = stage.model("clip")

    def make() -> ClipModel:
        model = Watched(part.made, stage.codec.made)
        return model if route == "latents" else ThroughPixels(model, stage.codec.made)

    spec = dataclasses.replace(part.spec, fingerprint=f"{part.spec.fingerprint} by {route}")
    models = {"clip": Part(spec, make)}
    return dataclasses.replace(made, stages=(dataclasses.replace(stage, models=models),))


def film(route: str, seed: int) -> tuple[Tensor, list[Tensor]]:
    """(t, 3, h, w) in 0..255, and what was `handed` at its joins."""
    system = system_of(route)
    stride = system.stages[0].codec.spec.stride
    frames = (WINDOW + JOINS * (WINDOW - OBSERVED)) * stride
    take = longtake.generate(PROMPT, model=system, frames=frames, seed=seed, repair="off")
    video = torch.stack(list(take))
    model: Any = system.stages[0].model("clip").made
    if route == "latents":
        return video, model.handed
    return torch.cat(model.shown).mul(255).round().to(torch.uint8), model.inner.handed


def measured(route: str, seed: int, sheet: Path | None = None) -> Line:
    """One film's join ratio, and its colours' way in grey levels."""
    video, handed = film(route, seed)
    stride = len(video) // (WINDOW + JOINS * (WINDOW - OBSERVED))
    borders = [(WINDOW + n * (WINDOW - OBSERVED)) * stride for n in range(JOINS)]
    if sheet is not None:
        contact_sheet(video[:: len(video) // 32][:32], sheet / f"{route}-{seed}.png", columns=8)
    means, half = video.float().mean(dim=(2, 3)), (WINDOW - OBSERVED) * stride // 2
    ends = means[: 2 * half].mean(0), means[-2 * half :].mean(0)
    return {
        "route": route,
        "seed": seed,
        "join_ratio": joins(video, borders, 10.0).value,
        "ends": [end.tolist() for end in ends],
        "handed": torch.stack(handed).tolist(),
        "across": [_step(means, border, stride).tolist() for border in borders],
        "inside": [_step(means, border + half, stride).tolist() for border in borders],
    }


def _step(means: Tensor, frame: int, stride: int) -> Tensor:
    """How far colour goes from the latent before a frame to the one that begins there, (3,)."""
    return means[frame : frame + stride].mean(0) - means[frame - stride : frame].mean(0)


def size(levels: Tensor) -> Tensor:
    """Of differences (..., 3) of colour: root mean square over red, green and blue."""
    return levels.float().square().mean(-1).sqrt()


def added(lines: list[Line]) -> tuple[float, float]:
    """Grey levels that 20 joins add to colour, and their standard error: steps across joins beyond those inside."""
    across, inside = (torch.tensor([line[key] for line in lines]) for key in ("across", "inside"))
    own = (across - inside).flatten(0, 1)
    error = own.std(0) / math.sqrt(len(own))
    return float(JOINS * size(own.mean(0))), float(JOINS * size(error))


def found(lines: list[Line]) -> dict[str, Line]:
    """What the films of each route come to."""
    rows = dict[str, Line]()
    last = {(line["route"], line["seed"]): torch.tensor(line["ends"][1]) for line in lines}
    for route in ROUTES:
        own = [line for line in lines if line["route"] == route]
        sums = torch.tensor([line["handed"] for line in own]).sum(1)
        ways = torch.tensor([line["ends"] for line in own])
        apart = torch.stack([last[route, n["seed"]] - last["latents", n["seed"]] for n in own])
        more, error = added(own)
        rows[route] = {
            "join_ratio": statistics.median(line["join_ratio"] for line in own),
            "handed": float(size(sums).median()),
            "added": more,
            "added_error": error,
            "apart": float(size(apart).median()),
            "apart_mean": float(size(apart.mean(0))),
            "gone": float(size(ways[:, 1] - ways[:, 0]).median()),
        }
    return rows


@click.command()
@click.option("--seeds", default=8, help="Films of each route.")
@click.option("--sheets", type=click.Path(path_type=Path), help="A folder for contact sheets.")
@click.option("--record", is_flag=True, help="Write benchmarks/joins.json.")
def main(seeds: int, sheets: Path | None, record: bool) -> None:
    """Films both ways, and what they come to."""
    lines = list[Line]()
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for route in ROUTES:
            lines.append(measured(route, seed, sheets))
            told = {key: lines[-1][key] for key in ("route", "seed", "join_ratio", "ends")}
            click.echo(json.dumps(told))
    rows = found(lines)
    for route, row in rows.items():
        click.echo(f"{route}: {json.dumps(row)}")
    if record:
        RECORD.write_text(json.dumps({"prompt": PROMPT, "found": rows, "films": lines}) + "\n")


if __name__ == "__main__":
    main()
