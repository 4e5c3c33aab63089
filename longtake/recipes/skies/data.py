"""What `skies` learns from: takes of the sky world, and of pictures, as latents made beforehand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from longtake.clip import Codec
from longtake.models.diffusion import Scene
from longtake.worlds.sky import Script, Sky, draw_script
from longtake.worlds.sky.state import ATTRIBUTES

SIZES = (
    (128, 128),
    (224, 128),
)  # pictures it is trained on; the second is as near to 16:9 as latents go
LONGEST = 16  # latent frames of a clip
HORIZON = 240  # latent frames a take of the world spans: 96 s
GAP = 5  # frames from one key to the next, both counted, as schemes fill them in
LENGTHS = {1: 0.25, 5: 0.12, 6: 0.18, 8: 0.07, 12: 0.08, 16: 0.3}  # share of steps by clip length
SHARES = {"sky": 0.64, "picture": 0.32, "shots": 0.04}  # of steps on clips, by kind of take
SILENCE = {"sky": 0.1, "picture": 0.35, "shots": 0.35}  # of clips without a word
RUNS, SPREAD = (24, 12), 28  # latent frames kept of a take: two unbroken runs, and others far apart


def draw_take(rng: np.random.Generator) -> Script:
    """A script of up to three changes, in which rain and storm are a little rarer than in the world at large."""
    while True:
        changes = int(rng.choice(4, p=(0.3, 0.3, 0.2, 0.2)))
        script = draw_script(rng, seconds=HORIZON * 0.4, changes=changes)
        wet = sum(change.moment.weather in ("rain", "storm") for change in script)
        if rng.random() < 0.8**wet:
            return script


def kept(rng: np.random.Generator, script: Script) -> list[int]:
    """Latent indices of a take to keep; its first run lies over a change if there is one."""
    changes = [round(change.at / 0.4) for change in script[1:]]
    middle = int(rng.choice(changes)) if changes else int(rng.integers(HORIZON))
    places: set[int] = set()
    for run, centre in zip(RUNS, (middle, int(rng.integers(HORIZON))), strict=True):
        begin = min(max(0, centre - int(rng.integers(run))), HORIZON - run)
        places.update(range(begin, begin + run))
    edges = np.linspace(0, HORIZON, SPREAD + 1)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        places.add(int(rng.integers(int(low), int(high))))
    rest = [place for place in range(HORIZON) if place not in places]
    short = sum(RUNS) + SPREAD - len(places)
    return sorted(places | set(rng.choice(rest, short, replace=False).tolist()))


def world_take(codec: Codec, seed: int, size: tuple[int, int]) -> dict[str, Tensor]:
    """One take as tensors: latents (n, c, h, w), at (n,), controls (n, WIDTH)."""
    rng = np.random.default_rng([seed, 1])
    script = draw_take(rng)
    sky = Sky(script, seed=seed, size=size)
    at = kept(rng, script)
    stride = codec.spec.stride
    frames = [index * stride + n for index in at for n in range(stride)]
    latents = codec.encode(sky.render(frames)[None].float() / 255)[0]
    middles = [index * stride + stride // 2 for index in at]
    return {
        "latents": latents.half(),
        "at": torch.tensor(at),
        "controls": sky.truth(middles)["controls"].half(),
    }


def write_shard(takes: list[dict[str, Tensor]], path: Path) -> None:
    """Takes of one size in a file, whole or not at all."""
    stacked = {n: torch.stack([take[n] for take in takes]).contiguous() for n in takes[0]}
    save_file(stacked, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


@dataclasses.dataclass
class Latents:
    """Shards in memory, as numbered training batches of as many frames, in longer or shorter clips.

    What is not the world's is always observed in part, so that no film begins with it unasked.
    """

    folder: Path
    shards: dict[str, dict[str, Tensor]] = dataclasses.field(default_factory=dict)

    def refresh(self) -> None:
        """Reads shards that have come since."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.stem not in self.shards:
                self.shards[path.stem] = load_file(path)

    def _named(self, kind: str, wide: bool) -> list[str]:
        return [n for n in self.shards if n.startswith(f"{kind}-{'wide' if wide else 'square'}")]

    def batch(self, step: int, count: int) -> tuple[Scene, Tensor]:
        """A scene of `count * LONGEST` frames and their noise levels (clips, t)."""
        rng = np.random.default_rng([step, 2])
        wide = rng.random() < 0.25
        t = int(rng.choice(tuple(LENGTHS), p=tuple(LENGTHS.values())))
        kind = "sky" if t == 1 else str(rng.choice(tuple(SHARES), p=tuple(SHARES.values())))
        names = self._named(kind, wide) or self._named("sky", wide) or self._named("sky", False)
        rows = []
        for _ in range(count * LONGEST // t):
            shard = self.shards[names[int(rng.integers(len(names)))]]
            take = int(rng.integers(len(shard["at"])))
            picked, seen = pick(rng, shard["at"][take].tolist(), t)
            observed = torch.from_numpy(seen)
            if kind != "sky" and (not observed.any() or rng.random() < 0.4):
                observed = torch.arange(t) == 0  # as when a photograph begins a film
            rows.append(
                (
                    shard["latents"][take, picked].float(),
                    observed,
                    shard["at"][take, picked] * 0.4,
                    hush(rng, shard["controls"][take, picked].float(), SILENCE[kind]),
                    levels(rng, observed),
                )
            )
        latents, watched, times, text, level = (
            torch.stack(column) for column in zip(*rows, strict=True)
        )
        return Scene(latents, watched, times.float(), text), level


def pick(rng: np.random.Generator, at: list[int], t: int) -> tuple[list[int], np.ndarray]:
    """Rows of a take for one clip, and which of them are observed, (t,) bool."""
    if t in (GAP, GAP + 1):
        return fill(rng, at, t)
    return gather(rng, at, t), watch(rng, t)


def fill(rng: np.random.Generator, at: list[int], t: int) -> tuple[list[int], np.ndarray]:
    """Quarters of a gap between its observed ends, and maybe one more: how keys are filled in."""
    row = {place: n for n, place in enumerate(at)}
    whole = [
        [begin + step * n for n in range(GAP)]
        for step in (1, 2, 4)
        for begin in at
        if all(begin + step * n in row for n in range(GAP))
    ]
    step = int(rng.choice(sorted({places[1] - places[0] for places in whole})))
    fitting = [places for places in whole if places[1] - places[0] == step]
    places = fitting[int(rng.integers(len(fitting)))]
    seen = {places[0], places[-1]}
    if t > GAP:
        others = [place for place in at if place not in places]
        before = [place for place in (places[0] - 4 * step, places[0] - 4) if place in others]
        more = before[0] if before and rng.random() < 0.6 else int(rng.choice(others))
        places, seen = sorted([*places, more]), seen | {more}
    return [row[place] for place in places], np.array([place in seen for place in places])


def gather(rng: np.random.Generator, at: list[int], t: int) -> list[int]:
    """Rows of a take for one clip: a run with far companions, an even spread, or anything (FDM's idea)."""
    style = rng.random()
    if t == 1:
        rows = {int(rng.integers(len(at)))}
    elif style < 0.55:
        starts = [n for n in range(len(at)) if n + 8 <= len(at) and at[n + 7] - at[n] == 7]
        begin = int(rng.choice(starts)) if starts else 0
        longest = 8
        while (
            longest < t and begin + longest < len(at) and at[begin + longest] - at[begin] == longest
        ):
            longest += 1
        run = longest if rng.random() < 0.5 else int(rng.integers(min(8, t), longest + 1))
        rows = set(range(begin, begin + run))
    elif style < 0.8:
        stride = int(np.exp(rng.uniform(0, np.log(HORIZON / t))))
        first = rng.uniform(0, max(1, HORIZON - stride * t))
        wanted = first + stride * np.arange(t)
        rows = {int(np.abs(np.array(at) - place).argmin()) for place in wanted}
    else:
        rows = set()
    rest = [n for n in range(len(at)) if n not in rows]
    rows |= set(rng.choice(rest, t - len(rows), replace=False).tolist())
    return sorted(rows)


def watch(rng: np.random.Generator, t: int) -> np.ndarray:
    """Which of t frames are observed, never all: none, a beginning, an end, both ends, or any."""
    observed = np.zeros(t, dtype=bool)
    if t == 1:
        return observed
    style, some = rng.random(), int(rng.integers(1, t))
    if style < 0.06:
        pass
    elif style < 0.14:
        observed[0] = True
    elif style < 0.44:
        observed[:some] = True
    elif style < 0.5:
        observed[some:] = True
    elif style < 0.85:
        first = int(rng.integers(1, t - 1))
        last = int(rng.integers(1, t - first))
        observed[:first] = observed[t - last :] = True
    else:
        observed[rng.permutation(t)[:some]] = True
    return observed


def hush(rng: np.random.Generator, controls: Tensor, silence: float) -> Tensor:
    """Words left out: all of them in a share of cases, else each attribute one time in five."""
    said = controls.clone()
    if rng.random() < silence:
        return said.zero_()
    place = 0
    for classes in ATTRIBUTES.values():
        if rng.random() < 0.2:
            said[:, place : place + len(classes)] = 0
        place += len(classes)
    return said


def levels(rng: np.random.Generator, observed: Tensor) -> Tensor:
    """Noise levels (t,): logit-normal for targets, small or none for observed frames."""
    target = 1 / (1 + np.exp(-rng.normal(0.3, 1.1)))
    seen = 0.0 if rng.random() < 0.4 else rng.uniform(0, 0.3)
    return torch.where(observed, torch.tensor(seen), torch.tensor(target)).float()
