"""Laws of codecs that decode in the order of film: what streams is what the whole would be, redone or in part."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from engine_parts import CHANNELS, Chain, ToyCodec, ToyEncoder, ToyModel, made, toy_job
from torch import Tensor

from longtake.clip import Clip, ClipSpec, CodecSpec
from longtake.engine import Frames, Given, Memory, Redo, Serial, decode, render
from longtake.engine.job import Job
from longtake.engine.redo import settled_on
from longtake.engine.run import needed
from longtake.steps import Take
from longtake.system import Part, Stage, System

STRIDE, AHEAD = 4, 1


class Fading:
    """Every latent half of what is seen, all before it the other half; one frame of the first."""

    def __init__(self) -> None:
        self._seen: Tensor | None = None
        self._held: Tensor | None = None
        self._first = True

    def push(self, latents: Tensor, last: bool) -> Tensor:
        held = latents if self._held is None else torch.cat([self._held, latents], dim=1)
        count = held.shape[1] if last else max(0, held.shape[1] - AHEAD)
        frames = []
        for n in range(count):
            now = held[:, n] / 2 + held[:, min(n + AHEAD, held.shape[1] - 1)] / 4
            self._seen = now if self._seen is None else now / 2 + self._seen / 2
            frames += [torch.sigmoid(self._seen + 0.1 * m) for m in range(STRIDE)][
                STRIDE - 1 if self._first else 0 :
            ]
            self._first = False
        self._held = held[:, count:]
        wide = torch.stack(frames, 1) if frames else latents[:, :0]
        return wide.repeat_interleave(2, -1).repeat_interleave(2, -2)


class FadingCodec(ToyCodec):
    def encode(self, video: Tensor) -> Tensor:
        return super().encode(torch.cat([video[:, :1]] * (STRIDE - 1) + [video], dim=1))

    def decode(self, latents: Tensor) -> Tensor:
        return self.stream(latents.shape[1]).push(latents, True)

    def stream(self, length: int | None) -> Fading:
        return Fading()


def job_of(frames: int | None = 150, **changes: Any) -> Job:
    spec = ClipSpec(16, (CHANNELS, None, None), "toy model")
    codec = CodecSpec(
        *(CHANNELS, 2, STRIDE, (0, AHEAD), "fading"), lead=STRIDE - 1, streams=True, holds=(3, 2, 0)
    )
    parts = {"clip": Part(spec, lambda: ToyModel(spec))}
    stage = Stage(Chain(), parts, Part(codec, lambda: FadingCodec(codec)))
    return toy_job(frames, system=System("fading", (stage,), encoder=ToyEncoder()), **changes)


def whole(job: Job, take: Take, latents: Clip) -> Tensor:
    """A take decoded in one go."""
    assert take.length is not None and take.frames is not None
    of = latents.pick(range(take.start, take.start + take.length)).frames
    video = job.system.stages[0].codec.made.decode(of)[0, : take.frames]
    return video.mul(255).round().to(torch.uint8)


@pytest.mark.parametrize("frames", [1, 2, 33, 97, 150])
def test_a_stream_shows_what_the_whole_take_would(frames: int) -> None:
    store = Memory()
    job = job_of(frames, cuts=(21,) if frames > 21 else ())
    film, _ = made(job, store)
    latents = Clip.join([store.clips[key.key] for key in job.keys])
    assert len(film) == frames
    for take in job.takes:
        assert take.frames is not None
        shown = film[take.first : take.first + take.frames]
        assert torch.equal(shown, whole(job, take, latents))


def test_a_stream_is_asked_for_few_frames_at_once_and_their_number_does_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    push = Fading.push

    def pushed(stream: Fading, latents: Tensor, last: bool) -> Tensor:
        asked.append(latents.shape[1] * STRIDE)
        return push(stream, latents, last)

    monkeypatch.setattr(Fading, "push", pushed)
    film, _ = made(job_of(97), Memory())
    assert max(asked) == decode.PIECE
    for piece in (1, 1000):
        monkeypatch.setattr(decode, "PIECE", piece)
        assert torch.equal(made(job_of(97), Memory())[0], film)


@pytest.mark.parametrize("only", [(0, 3), (60, 64), (100, 150), (149, 150)])
def test_a_part_is_that_of_the_whole_film_and_needs_its_take_up_to_there(
    only: tuple[int, int],
) -> None:
    job = job_of(cuts=(70,))
    film, _ = made(job, Memory())
    items = list(render(job, Memory(), Serial(), only=only))
    parts = [item for item in items if isinstance(item, Frames)]
    assert parts[0].first == only[0] and all(len(part.pixels) for part in parts)
    assert torch.equal(torch.cat([part.pixels for part in parts]), film[slice(*only)])
    written = {i for n in needed(job, only) for i in job.calls[n].step.targets}
    later = job.takes[1].start
    assert (max(written) < later) if only[1] <= 70 else (min(written) >= later)


def test_what_lies_behind_a_stretch_made_again_stays_and_the_stretch_is_streamed_anew() -> None:
    job, store = job_of(cuts=(110,)), Memory()
    film, _ = made(job, store)
    redone = dataclasses.replace(job, redone=(Redo(40, 80, (1, 2)),))
    new, events = made(redone, store)
    (part,) = redone.layers.parts[0]
    assert part.before and part.after, "the picture fades to what was there"
    assert torch.equal(new[: part.frames[0]], film[: part.frames[0]])
    assert torch.equal(new[part.frames[1] :], film[part.frames[1] :])
    inner = slice(part.frames[0] + part.before, part.frames[1] - part.after)
    assert not torch.equal(new[inner], film[inner])
    # the stretch is what a film would show there whose latents had always been so
    take = next(event["take"] for event in events if event["event"] == "chosen")
    picked = dataclasses.replace(job, redone=settled_on(redone.redone, take))
    lines = {line["step"]: line["key"] for line in store.records()}
    clips = [store.clips[key.key] for key in job.keys]
    clips = [clip.pick([i for i in clip.at if i not in part.free]) for clip in clips]
    again = [call for call in picked.calls if call.view is not None]
    clips += [store.clips[lines[call.number]] for call in again]
    latents = Clip.join([clip for clip in clips if clip.at])
    assert torch.equal(new[inner], whole(job, job.takes[0], latents)[inner])
    assert torch.equal(made(picked, store)[0], new)


def test_a_given_picture_is_one_latent_and_an_endless_film_streams() -> None:
    still = Given(0, 1, "picture", lambda: torch.full((1, 3, 8, 16), 0.8), still=True)
    film, _ = made(job_of(30, given=(still,)), Memory())
    assert len(film) == 30
    latent = torch.logit(torch.tensor(0.8))
    store, job = Memory(), job_of(30, given=(still,))
    made(job, store)
    assert torch.allclose(store.clips[job.piece_key(job.pieces[0], 0)].frames, latent, atol=1e-5)
    endless, shown = job_of(None), []
    for item in render(endless, Memory(), Serial()):
        if isinstance(item, Frames):
            shown.append(item.pixels)
        if sum(map(len, shown)) > 60:
            break
    assert torch.equal(torch.cat(shown)[:60], made(job_of(600), Memory())[0][:60])
