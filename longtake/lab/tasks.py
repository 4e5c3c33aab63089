"""Tasks that differ in which frames are observed: mask-trained models and their specialists, on equal terms.

A model that learns tasks drawn by a paper's mask law, and specialists that each learn one task, are
trained by the same `scenes` and `learned`, and asked the same by `answers`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, Codec, Noise
from longtake.lab.bench import Lab
from longtake.lab.films import shown
from longtake.lab.takes import Takes, Told
from longtake.metrics.fidelity import psnr
from longtake.models.diffusion import Scene, flow_loss
from longtake.steps import Indices

_TOGETHER = 16  # clips answered in one call


@dataclasses.dataclass(frozen=True)
class Task:
    """Places of a clip that a call makes, and those it observes; the clip's other frames are not there."""

    made: Indices
    seen: Indices = ()

    @classmethod
    def among(cls, length: int, seen: Sequence[int] = ()) -> Task:
        """All of a clip's frames but those observed."""
        there = set(seen)
        return cls(tuple(n for n in range(length) if n not in there), tuple(sorted(there)))

    @property
    def at(self) -> Indices:
        """All places, in order of time."""
        return tuple(sorted(self.made + self.seen))


Masks = Callable[[np.random.Generator], Task]


def always(task: Task) -> Masks:
    """A specialist's masks."""
    return lambda rng: task


def scenes(
    takes: Takes,
    masks: Masks,
    *,
    seed: int,
    rows: int,
    length: int,
    interval: float,
    text: Tensor | None = None,
    untold: float = 0.1,
) -> Callable[[int], list[Scene]]:
    """Numbered batches of `rows` clips of `length` frames, each with a task drawn for it.

    Clips of as many frames make one scene. text: the track of every take, (n, s, d), which a share
    `untold` of the clips does without.
    """

    def batch(step: int) -> list[Scene]:
        rng = np.random.default_rng([seed, step])
        latents, row, places = takes.clips(rng, rows, length)
        tasks = [masks(rng) for _ in range(rows)]
        told = torch.zeros(rows, length, 0)
        if text is not None:
            heard = torch.from_numpy(rng.random(rows) >= untold)
            told = text[row[:, None], places] * heard[:, None, None]
        found = []
        for count in sorted({len(task.at) for task in tasks}):
            these = [n for n, task in enumerate(tasks) if len(task.at) == count]
            at = torch.tensor([tasks[n].at for n in these])
            seen = [[place in tasks[n].seen for place in tasks[n].at] for n in these]
            own = torch.tensor(these)[:, None]
            found.append(Scene(latents[own, at], torch.tensor(seen), at * interval, told[own, at]))
        return found

    return batch


def flow(net: Any, scene: Scene) -> Tensor:
    """The usual loss of a scene's targets, (b,)."""
    return flow_loss(net, scene, torch.randn_like(scene.latents))


def learned(
    lab: Lab,
    arm: str,
    net: Any,
    batch: Callable[[int], list[Scene]],
    steps: int,
    loss: Callable[[Any, Scene], Tensor] = flow,
    **schedule: Any,
) -> Iterator[Any]:
    """Trains an arm on scenes; all clips of a batch count alike. schedule: as `Lab.train`."""

    def losses(parts: list[Scene]) -> dict[str, Tensor]:
        return {"targets": torch.cat([loss(net, scene) for scene in parts])}

    yield from lab.train(arm, net, losses, batch, steps, **schedule)


def answers(
    model: Any,
    task: Task,
    clips: Tensor,
    *,
    seed: int,
    interval: float,
    tries: int = 1,
    text: Tensor | None = None,
) -> Tensor:
    """What a model makes of a task on clips (n, t, *frame): (tries, n, made, *frame).

    text: of every clip, (n, t, d).
    """
    found = []
    for sample in torch.arange(tries * len(clips)).split(_TOGETHER):
        requests = []
        for number in sample.tolist():
            clip = clips[number % len(clips)].float()
            observed = Clip(clip[None, list(task.seen)], task.seen) if task.seen else None
            told = Told(rows=None if text is None else text[number % len(clips)])
            requests.append(
                ClipRequest(
                    task.made, observed, told, Noise(seed), clip.shape[1:], (number,), interval
                )
            )
        found += [answer.frames for answer in model.sample_batch(requests)]
    return torch.cat(found).unflatten(0, (tries, len(clips)))


def chained(
    lab: Lab,
    model: Any,
    task: Task,
    first: Tensor,
    text: Tensor,
    *,
    interval: float,
    ends: Tensor | None = None,
) -> Tensor:
    """Films (n, 1 + clips * made, *frame): each clip begins with the last frame of the one before it.

    task: makes what lies between a clip's first place and its last one. first: of the films, (n,
    *frame). text: of the films and the last clip's end, (n, t, d). ends: of every clip, (n, clips, *frame).
    """
    films, blank, made = first[:, None].float(), first[:, None].float(), len(task.made)
    for number, begin in enumerate(range(0, text.shape[1] - made - 1, made)):
        last = blank if ends is None else ends[:, number, None]
        clip = torch.cat([films[:, -1:], blank.expand(-1, made, -1, -1, -1), last], 1)
        told, seed = text[:, begin : begin + made + 2], lab.number(f"clip {begin}")
        found = answers(model, task, clip, seed=seed, interval=interval, text=told)
        films = torch.cat([films, found[0]], 1)
    return films


def filled(task: Task, made: Tensor, clips: Tensor) -> Tensor:
    """Clips (n, t, *frame) whose frames to be made are those made of them, (n, made, *frame)."""
    whole = clips.float().clone()
    whole[:, list(task.made)] = made
    return whole


def best_psnr(codec: Codec, made: Tensor, truth: Tensor) -> float:
    """Mean over clips of the best try's PSNR in dB. made: (tries, n, t, ...); truth: bytes (n, t, 3, h, w)."""
    films = [shown(codec, one) for one in made]
    best = [max(psnr(film[n], truth[n]) for film in films) for n in range(len(truth))]
    return sum(best) / len(best)
