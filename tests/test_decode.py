"""Laws of decoding: windows do not show, and never depend on what was resumed."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from engine_parts import Chain, ToyCodec, Tree, made, toy_job, toy_system
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import Tensor

from longtake.clip import Clip
from longtake.engine import Finished, Frames, Given, Memory, Serial, decode, render
from longtake.engine.decode import BRIEF, WINDOW, Reel, windows
from longtake.engine.run import needed
from longtake.steps import Take, lay_takes
from longtake.system import Part


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("frames", [30, 100, 131])
def test_windows_equal_the_whole_take(stride: int, frames: int) -> None:
    store = Memory()
    job = toy_job(frames, stride=stride, cuts=(21,))
    film, _ = made(job, store)
    latents = Clip.join([store.clips[key.key] for key in job.keys])
    codec = job.system.stages[0].codec.made
    for take in job.takes:
        assert take.length is not None and take.frames is not None
        whole = latents.pick(range(take.start, take.start + take.length)).frames
        video = codec.decode(whole)[0, : take.frames].mul(255).round().to(torch.uint8)
        assert torch.equal(video, film[take.first : take.first + take.frames])


def test_too_little_context_would_show() -> None:
    job = toy_job(100)
    film, _ = made(job, Memory())
    blind = job.system.stages[0].codec
    object.__setattr__(blind.spec, "context", (0, 0))
    other, _ = made(job, Memory())
    inner = [32 * n + d for n in (1, 2, 3) for d in range(-4, 4)]
    same = [n for n in range(100) if n not in inner]
    assert torch.equal(film[same], other[same]) and not torch.equal(film[inner], other[inner])


@drawn(
    frames=st.integers(1, 200),
    stride=st.integers(1, 8),
    cuts=st.sets(st.integers(1, 199), max_size=4),
    context=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_windows_cover_every_index_once_within_its_take(
    frames: int, stride: int, cuts: set[int], context: tuple[int, int]
) -> None:
    takes = lay_takes(frames, stride, sorted(cut for cut in cuts if cut < frames))
    seen = []
    for window in windows(takes, context):
        take = window.take
        assert take.length is not None
        seen += range(window.start, window.stop)
        assert (window.start - take.start) % WINDOW == 0
        assert take.start <= window.low <= window.start
        assert window.stop <= window.high <= take.start + take.length
        assert window.start - window.low == min(context[0], window.start - take.start)
    assert seen == list(range(sum(take.length or 0 for take in takes)))


def test_an_index_of_many_frames_is_decoded_by_itself() -> None:
    takes = (Take(0, 297, 0, 9),)
    for stride, size in ((1, WINDOW), (8, WINDOW), (16, 4), (33, 1), (100, 1)):
        found = list(windows(takes, (0, 0), stride))
        assert {w.stop - w.start for w in found[:-1]} == {size} and found[-1].stop == 9


def test_an_endless_take_has_endless_windows() -> None:
    found = itertools.islice(windows((Take(0, None, 0, None),), (1, 2)), 3)
    assert [(w.start, w.stop, w.low, w.high) for w in found] == [
        (0, 8, 0, 10),
        (8, 16, 7, 18),
        (16, 24, 15, 26),
    ]


def test_frames_come_in_film_order_whatever_is_written_first() -> None:
    job = toy_job(300, scheme=Tree())
    reads: list[tuple[int, ...]] = []

    def read(stage: int, indices: tuple[int, ...], view: object = None) -> Clip:
        reads.append(indices)
        return Clip(torch.zeros(1, len(indices), 3, 4, 8), indices)

    reel = Reel(job, read)

    def show(items: Iterable[object]) -> None:
        for item in items:
            if isinstance(item, Frames):
                shown.extend(range(item.first, item.first + len(item.pixels)))

    order = torch.randperm(75, generator=torch.Generator().manual_seed(3)).tolist()
    shown: list[int] = []
    landed: set[int] = set()
    for index in order:
        landed.add(index)
        show(reel.land((index,), 0))
        assert all(landed.issuperset(read) for read in reads)
    show(reel.rest())
    reel.close()
    assert shown == list(range(300)) and reel.over and not reel._written


@pytest.mark.parametrize(("count", "cared"), [(BRIEF, False), (BRIEF + 3, True)])
def test_a_brief_film_leaves_the_heap_alone(
    monkeypatch: pytest.MonkeyPatch, count: int, cared: bool
) -> None:
    seen: list[str] = []
    for name in ("steady", "trim"):
        monkeypatch.setattr(decode, name, functools.partial(seen.append, name))
    film, _ = made(toy_job(WINDOW * count, stride=1), Memory())
    assert len(film) == WINDOW * count
    assert seen.count("steady") == cared and ("trim" in seen) == cared


def test_what_is_left_over_of_an_index_is_not_shown() -> None:
    sizes = [
        (item.first, len(item.pixels))
        for item in render(toy_job(50, cuts=(3, 40)), Memory(), Serial())
        if isinstance(item, Frames)
    ]
    assert sizes == [(0, 3), (3, 32), (35, 5), (40, 10)]


def test_a_given_clip_is_encoded_in_pieces_as_if_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seeing(ToyCodec):
        """An encoder that sees the index before and after."""

        def encode(self, video: Tensor) -> Tensor:
            z, last = super().encode(video), video.shape[1] // self.spec.stride - 1
            before = z[:, [max(n - 1, 0) for n in range(last + 1)]]
            after = z[:, [min(n + 1, last) for n in range(last + 1)]]
            return z / 2 + before / 4 + after / 4

    monkeypatch.setattr("longtake.engine.job.CHUNK", 5)
    clip = torch.rand(70, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    system = toy_system()
    spec = system.stages[0].codec.spec
    stage = dataclasses.replace(system.stages[0], codec=Part(spec, lambda: Seeing(spec)))
    system = dataclasses.replace(system, stages=(stage,))
    loads = []

    def load() -> Tensor:
        loads.append(1)
        return clip

    job = toy_job(100, system=system, given=(Given(0, 70, "noise", load),))
    store = Memory()
    made(job, store)
    assert job.takes[0].skip == 2 and len(loads) == 1
    pieces = list(dict.fromkeys(job.pieces.values()))
    assert [piece.count for piece in pieces] == [5, 5, 5, 3]
    parts = [store.clips[job.piece_key(piece, 0)].frames for piece in pieces]
    padded = torch.cat([clip[:1], clip[:1], clip])[None]
    assert torch.allclose(torch.cat(parts, 1), Seeing(spec).encode(padded), atol=1e-6)


@pytest.mark.parametrize("only", [(0, 1), (31, 34), (40, 96), (120, 131)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scheme": Tree()},
        {"scheme": Chain(choose=2)},
        {"stages": 2},
        {"given": (Given(3, 9, "grey", lambda: torch.full((9, 3, 8, 16), 0.5)),)},
    ],
    ids=["chain", "tree", "adaptive", "stages", "given"],
)
def test_a_stretch_alone_is_the_stretch_of_the_whole(
    only: tuple[int, int], changes: dict[str, Any]
) -> None:
    job = toy_job(231, cuts=(90,), **changes)
    film, _ = made(job, Memory())
    parts, ran = [], []
    for item in render(job, Memory(), Serial(), only=only):
        if isinstance(item, Frames):
            assert item.first == only[0] + sum(map(len, parts))
            parts.append(item.pixels)
        elif isinstance(item, Finished):
            ran.append(item.step)
    assert torch.equal(torch.cat(parts), film[slice(*only)])
    assert set(ran) == needed(job, only)
    assert len(ran) < len(job.calls)
