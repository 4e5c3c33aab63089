"""Laws of what holds a film to its beginning: wandering statistics come home, first frames are seen again."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from engine_parts import CHANNELS, Chain, ToyCodec, made, toy_job

from longtake.clip import Clip, ClipRequest, ClipSpec, CodecSpec
from longtake.engine import Memory
from longtake.engine.job import Job
from longtake.errors import InputError
from longtake.models.drift import Anchored, Sunk
from longtake.system import Part, Stage, System


@dataclasses.dataclass(frozen=True)
class Wandering:
    """Every call a little brighter and flatter than what it observed, under fresh noise; sees and tells."""

    seen: list[tuple[int, ...]] = dataclasses.field(default_factory=list)
    spec = ClipSpec(8, (CHANNELS, None, None), "wandering")

    def sample(self, request: ClipRequest) -> Clip:
        self.seen.append(() if request.observed is None else request.observed.at)
        noise = request.noise.clip(request.samples, request.targets, request.frame)
        if request.observed is None:
            return Clip(noise, request.targets, {"own": torch.zeros(1)})
        last = request.observed.frames[:, -1:]
        level, spread = last.mean((3, 4), keepdim=True), last.std((3, 4), keepdim=True)
        return Clip(0.9 * spread * noise + level + 0.1, request.targets, {"own": torch.ones(1)})


def job_of(model: object, frames: int) -> Job:
    codec = CodecSpec(CHANNELS, 2, 1, (0, 0), "toy")
    parts = {"clip": Part(Wandering.spec, lambda: model)}
    stage = Stage(Chain(window=6, step=4), parts, Part(codec, lambda: ToyCodec(codec)))
    return toy_job(frames, system=System("wandering", (stage,)), size=(32, 32))


def latents(model: object, frames: int = 60) -> Clip:
    job, store = job_of(model, frames), Memory()
    made(job, store)
    return Clip.join([store.clips[key.key] for key in job.keys])


def drift(clip: Clip) -> tuple[float, float]:
    """How far mean and spread of the last frame are from the first's, over all channels."""
    first, last = clip.frames[0, 0].flatten(1), clip.frames[0, -1].flatten(1)
    return (last.mean(1) - first.mean(1)).abs().max().item(), (
        last.std(1) / first.std(1)
    ).max().item()


def test_statistics_stay_with_the_anchor_and_nothing_changes_at_amount_0() -> None:
    level, spread = drift(latents(Wandering()))
    assert level > 1 and spread < 0.5, "the model drifts, or there is nothing to hold"
    level, spread = drift(latents(Anchored(Wandering(), 1.0)))
    assert level < 1e-5 and abs(spread - 1) < 1e-5
    half = drift(latents(Anchored(Wandering(), 0.5)))
    # at half the way home each call, a step of 0.1 settles at 0.1
    assert half[0] < 0.2
    plain, none = latents(Wandering()), latents(Anchored(Wandering(), 0.0))
    assert torch.equal(plain.frames, none.frames)
    with pytest.raises(InputError, match="0 to 1"):
        Anchored(Wandering(), 1.5)


def test_a_longer_anchored_film_begins_as_a_shorter_one_and_the_model_s_carry_stays() -> None:
    short, long = (latents(Anchored(Wandering(), 0.7), frames) for frames in (22, 60))
    assert torch.equal(short.frames, long.frames[:, :22])
    store, job = Memory(), job_of(Anchored(Wandering(), 0.7), 22)
    made(job, store)
    assert all("own" in store.clips[key.key].carry for key in job.keys)


def test_the_first_frame_is_seen_in_every_call_and_a_call_has_room_for_it() -> None:
    inner = Wandering()
    whole = latents(Sunk(inner), 30)
    assert Sunk(inner).spec.window == inner.spec.window - 1
    assert inner.seen[0] == () and len(inner.seen) == 8
    assert all(seen[0] == 0 for seen in inner.seen[1:]), "in every call after the first"
    assert all(len(seen) == len(set(seen)) for seen in inner.seen)
    assert inner.seen[-1] == (0, 26, 27)
    assert len(whole.at) == 30
