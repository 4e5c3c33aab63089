"""Length for pipelines that observe nothing: a queue under rising noise, and clips that mirror the one before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import pipeline_parts as parts
from test_pretrained import direct, film, picture, pipeline

import longtake
from longtake.engine import Serial, render
from longtake.engine.store import Memory
from longtake.errors import FitError, InputError
from longtake.models.pretrained.instead import instead
from longtake.recipes.pretrained import Knobs, pretrained, wrapped

STEPS = 4
QUEUED = ("wan-text", "ltx-text")
ALONE = ("ltx-text", "cog-text")


def written(name: str, frames: int, length: str, **knobs: Any) -> tuple[dict[int, Tensor], Memory]:
    """Every latent frame of a film by its index, and the store that holds its clips."""
    _, clip, size = parts.PIPELINES[name]
    asked = Knobs(clip=knobs.pop("clip", clip), steps=STEPS, length=length, **knobs)
    system = wrapped(pipeline(name), asked, mark=name)
    take = longtake.generate("a calm sea", model=system, frames=frames, size=size, seed=3)
    store, found = Memory(), dict[int, Tensor]()
    for _ in render(take.job, store, Serial()):
        pass
    for clip_ in clips(store):
        found |= {index: clip_.pick([index]).frames for index in clip_.at}
    return found, store


def clips(store: Memory) -> list[Any]:
    """In order of time."""
    stored = [store.get(line["key"]) for line in store.records()]
    return sorted((clip for clip in stored if clip is not None), key=lambda clip: clip.at)


@contextlib.contextmanager
def alone(name: str) -> Iterator[list[Tensor]]:
    """While it lasts, the network looks at every frame by itself; the times (b, frames) it was told."""
    net, told = pipeline(name).transformer, list[Tensor]()

    def forward(hidden_states: Tensor, timestep: Tensor, **rest: Any) -> tuple[Tensor]:
        x, time = hidden_states, timestep.float() / 1000
        if x.ndim == 5:  # Wan: tokens of 2x2 places are one time
            frames = x.shape[2]
            time = time.view(len(x), -1, 1)[:, :, 0] if time.ndim == 2 else time[:, None]
            time = time.reshape(len(x), -1)
            per = max(1, time.shape[1] // frames)
            time = time[:, ::per].expand(-1, frames)[:, None, :, None, None]
        else:
            time = (time if time.ndim == 2 else time[:, None])[..., None]
        told.append(torch.unique(time))
        return (x * (0.3 + time) - time.sin(),)

    with instead(net, "forward", forward):
        yield told


@pytest.mark.parametrize("name", QUEUED)
def test_a_frame_in_the_queue_takes_exactly_the_sampler_s_steps(name: str) -> None:
    """Where frames do not look at one another, a queue makes what all together make: of samplers with memory too."""
    with alone(name) as told:
        queued, _ = written(name, 50, "fifo")
        times = torch.unique(torch.cat(told))
        told.clear()
        together, _ = written(name, 50, "none", clip=57)
    assert len(times) == STEPS + 1 and times[0] == 0, "finished frames are told from noisy ones"
    assert torch.equal(times[1:], torch.unique(torch.cat(told)))
    assert len(queued) > 12
    assert all((queued[index] - together[index]).abs().max() < 1e-5 for index in queued)


@pytest.mark.parametrize("name", QUEUED)
def test_a_queue_is_handed_on_from_call_to_call_to_the_bit(name: str) -> None:
    long, _ = written(name, 58, "fifo")
    short, _ = written(name, 45, "fifo")
    often, store = written(name, 45, "fifo", scheme="autoregressive:step=2")
    assert len(clips(store)) == 3 and len(short) == 12 < len(long)
    assert all(torch.equal(short[index], long[index]) for index in short)
    assert all(torch.equal(often[index], short[index]) for index in short)


def test_a_queue_holds_windows_of_a_clip_and_no_more_as_the_film_grows() -> None:
    seen = list[tuple[int, ...]]()
    own = pipeline("wan-text").transformer.forward

    def watched(hidden_states: Tensor, **told: Any) -> Any:
        seen.append(tuple(hidden_states.shape))
        return own(hidden_states, **told)

    with instead(pipeline("wan-text").transformer, "forward", watched):
        _, store = written("wan-text", 110, "fifo")
    assert {shape[2] for shape in seen} == {5}, "latent frames of a clip"
    held = [sum(t.numel() for t in clip.carry.values()) for clip in clips(store)]
    assert len(held) > 4 and max(held) < 1.02 * held[0], "a few bytes of text may differ"


def test_films_out_of_a_queue(tmp_path: Path) -> None:
    plain = film("wan-text", 31, length="fifo")
    assert len(plain) == 31 and len(film("wan-text", 1, length="fifo")) == 1
    assert torch.equal(film("wan-text", 31, length="fifo"), plain)
    assert not torch.equal(film("wan-text", 31, length="fifo", seed=4), plain)
    short = film("wan-text", 17, length="fifo", noise="diffusers")
    assert torch.equal(short, direct("wan-text", 17))
    assert len(film("wan-text", 23, length="fifo", noise="diffusers")) == 23
    given = picture(tmp_path, parts.PIPELINES["wan-text"][2])
    seen = film("wan-text", 22, (str(given),), length="fifo")
    assert len(seen) == 22 and not torch.equal(seen[1:], plain[1:22])


@pytest.mark.parametrize("name", ALONE)
def test_clips_that_mirror_the_one_before(name: str) -> None:
    clip = parts.PIPELINES[name][1]
    long, _ = written(name, 3 * clip - 4, "reuse")
    short, _ = written(name, 2 * clip - 2, "reuse")
    shared = [index for index in short if index in long]
    assert len(shared) > len(short) // 2
    assert all(torch.equal(short[index], long[index]) for index in shared)
    assert torch.equal(film(name, clip, length="reuse", noise="diffusers"), direct(name, clip))
    assert len(film(name, 2 * clip - 3, length="reuse", noise="diffusers")) == 2 * clip - 3


def test_noise_and_the_first_steps_are_those_of_the_frames_that_are_mirrored() -> None:
    seen = list[Tensor]()
    own = pipeline("wan-text").transformer.forward

    def watched(hidden_states: Tensor, **told: Any) -> Any:
        seen.append(hidden_states.clone())
        return own(hidden_states, **told)

    with instead(pipeline("wan-text").transformer, "forward", watched):
        written("wan-text", 25 * 4 + 1, "reuse", clip=9 * 4 + 1)  # 10 latent frames, 9 more a call
    first, second = seen[: 2 * STEPS : 2], seen[2 * STEPS : 4 * STEPS : 2]  # with words
    mirrored = [x.flip(2) for x in first]
    same = [
        [p for p in range(10) if torch.equal(a[:, :, p], b[:, :, p])]
        for a, b in zip(second, mirrored, strict=True)
    ]
    # 2 of 10 are prompted: place 0 follows while step < 0.4 * 4, place 1 while step < 0.2 * 4
    assert same == [[0, 1], [0], [], []]
    rest = torch.stack([second[0][0, :, 2:].flatten(), mirrored[0][0, :, 2:].flatten()])
    assert abs(float(torch.corrcoef(rest)[0, 1]) - 4 / 17**0.5) < 0.02
    assert abs(float(rest[0].std()) - 1) < 0.05


def test_the_noise_of_later_clips_is_still_white() -> None:
    from longtake.models.pretrained.reuse import NOISE

    _, store = written("wan-text", 90, "reuse")
    for clip in clips(store):
        assert abs(float(clip.carry[NOISE].std()) - 1) < 0.1


def test_ways_to_go_on_that_a_pipeline_has_not_are_one_line(tmp_path: Path) -> None:
    for name, length, said in (
        ("mochi", "fifo", "no noise level for every frame"),
        ("ltx-text", "windows", "windows"),
        ("wan-image", "fifo", "observes frames by itself"),
        ("wan-vace", "reuse", "observes frames by itself"),
        ("wan-text", "fifi", "try fifo"),
    ):
        with pytest.raises(InputError, match=said):
            wrapped(pipeline(name), Knobs(clip=parts.PIPELINES[name][1], length=length))
    with pytest.raises(FitError, match="autoregressive"):
        film("wan-text", 50, length="fifo", scheme="keys-then-fill")
    folder = parts.saved("wan-text", tmp_path)
    with pytest.raises(InputError, match="cache=none"):
        pretrained(folder=str(folder), length="fifo", cache="first-block")
