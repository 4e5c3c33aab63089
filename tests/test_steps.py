"""The words of planning: timelines, steps, plans and takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.errors import InputError, PlanError
from longtake.steps import Plan, Step, Take, Timeline, lay_takes, linked, spans


@dataclasses.dataclass(frozen=True)
class Listed:
    """A scheme that yields what it is told."""

    listed: tuple[Step, ...]
    window: int = 4

    def steps(self, timeline: Timeline) -> Iterator[Step]:
        return iter(self.listed)


DIAMOND = Listed((Step((0, 4)), Step((1,), (0, 4)), Step((3,), (0, 4)), Step((2,), (1, 3))))


def test_edges_are_derived_from_who_wrote_what() -> None:
    plan = Plan.of(DIAMOND, Timeline(5))
    assert plan.needs == ((), (0,), (0,), (1, 2))
    assert plan.waves() == ((0,), (1, 2), (3,))
    assert (plan.calls, plan.critical_path, plan.first_frame) == (4, 3, 1)
    assert [plan.ancestors(i) for i in range(5)] == [1, 2, 3, 2, 1]
    assert plan.descendants([1]) == (1, 3) and plan.descendants([0]) == (0, 1, 2, 3)


def test_a_given_frame_needs_no_step() -> None:
    plan = Plan.of(Listed((Step((1, 2), (0,)),)), Timeline(3, (0,)))
    assert plan.needs == ((),) and plan.ancestors(0) == 0 and plan.ancestors(2) == 1
    assert plan.first_frame == 0


def test_a_film_that_is_all_given_has_an_empty_plan() -> None:
    plan = Plan.of(Listed(()), Timeline(2, (0, 1)))
    assert (plan.calls, plan.critical_path, plan.waves(), plan.peak_live) == (0, 0, (), 0)


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ((Step((0, 1)), Step((1, 2))), "written twice"),
        ((Step((0, 0, 1, 2)),), "written twice"),
        ((Step((0,), (1,)), Step((1, 2))), "before it is written"),
        ((Step((0, 1)),), "never written"),
        ((Step((0, 1, 2)), Step((3,), (2,))), "frame 3 is outside the film"),
        ((Step((-1, 0, 1)), Step((2,), (1,))), "frame -1 is outside the film"),
        ((Step((0, 1, 2)), Step(())), "without targets"),
        ((Step((0,)), Step((1, 2), (0,)), Step((3,), (3,))), "before it is written"),
    ],
)
def test_laws_are_refused_by_name(steps: tuple[Step, ...], word: str) -> None:
    with pytest.raises(PlanError, match=word):
        Plan.of(Listed(steps), Timeline(3))


def test_a_given_frame_is_not_written() -> None:
    with pytest.raises(PlanError, match="written twice"):
        Plan.of(Listed((Step((0, 1)),)), Timeline(2, (0,)))


def test_the_window_bounds_a_call() -> None:
    big = Listed((Step((0, 1)), Step((2, 3, 4), (0, 1))))
    with pytest.raises(PlanError, match="5 frames in one call"):
        Plan.of(big, Timeline(5))
    Plan.of(dataclasses.replace(big, window=5), Timeline(5))


def test_a_choice_counts_only_what_it_takes() -> None:
    assert Step((5,), (0, 1, 2, 3), choose=2).size == 3
    assert Step((5,), (0,), choose=2).size == 2
    assert Step((5, 6), (0,)).size == 3


def test_moving_a_step_moves_both_sides_and_keeps_the_rest() -> None:
    assert Step((1,), (0, 2), "fill", 1).moved(10) == Step((11,), (10, 12), "fill", 1)


def test_an_endless_timeline_has_no_plan() -> None:
    with pytest.raises(PlanError, match="endless"):
        Plan.of(DIAMOND, Timeline(None))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Timeline(0),
        lambda: Timeline(5, (3, 1)),
        lambda: Timeline(5, (1, 1)),
        lambda: Timeline(5, (5,)),
        lambda: Timeline(5, (-1,)),
        lambda: Timeline(5, (), (7,)),
    ],
)
def test_timelines_refuse_places_that_are_not_there(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_takes_begin_at_zero() -> None:
    timeline = Timeline(10, (0, 4, 5, 9), (4, 8))
    assert timeline.starts == (0, 4, 8)
    assert list(timeline.takes()) == [
        Timeline(4, (0,)),
        Timeline(4, (0, 1)),
        Timeline(2, (1,)),
    ]
    assert list(Timeline(None, (7,), (5,)).takes()) == [Timeline(5), Timeline(None, (2,))]
    assert list(Timeline(3, (), (0,)).takes()) == [Timeline(3)]


def live_by_hand(plan: Plan) -> int:
    """Peak by the definition: an index is live from its first to its last step."""
    places = {i for step in plan.steps for i in (*step.targets, *step.observed)}
    uses = {
        i: [n for n, s in enumerate(plan.steps) if i in s.targets or i in s.observed]
        for i in places
    }
    return max(
        (sum(1 for at in uses.values() if at[0] <= n <= at[-1]) for n in range(len(plan.steps))),
        default=0,
    )


def live_step_by_step(plan: Plan) -> int:
    """Peak by holding the very set: what a step takes is dropped when nobody reads it later."""
    last = {i: n for n, step in enumerate(plan.steps) for i in (*step.targets, *step.observed)}
    live: set[int] = set()
    peak = 0
    for number, step in enumerate(plan.steps):
        live.update(step.targets, step.observed)
        peak = max(peak, len(live))
        live = {index for index in live if last[index] > number}
    return peak


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Random lawful plans."""
    length = draw(st.integers(1, 14))
    given_ = draw(st.sets(st.integers(0, length - 1), max_size=length))
    known, steps = sorted(given_), []
    left = draw(st.permutations([i for i in range(length) if i not in given_]))
    while left:
        size = draw(st.integers(1, min(3, len(left))))
        seen = draw(st.lists(st.sampled_from(known), unique=True, max_size=4)) if known else []
        steps.append(Step(tuple(sorted(left[:size])), tuple(sorted(seen))))
        known += left[:size]
        left = left[size:]
    return Plan.of(Listed(tuple(steps), 8), Timeline(length, tuple(sorted(given_))))


@settings(max_examples=80, deadline=None)
@given(plans())
def test_plans_add_up(plan: Plan) -> None:
    assert plan.peak_live == live_by_hand(plan) == live_step_by_step(plan)
    assert sorted(n for wave in plan.waves() for n in wave) == list(range(plan.calls))
    wave_of = {n: w for w, wave in enumerate(plan.waves()) for n in wave}
    for number, needs in enumerate(plan.needs):
        assert all(wave_of[n] < wave_of[number] for n in needs)
        assert wave_of[number] == max((wave_of[n] + 1 for n in needs), default=0)
        assert needs == tuple(
            sorted({plan.writer[i] for i in plan.steps[number].observed if i in plan.writer})
        )
        for need in needs:
            assert number in plan.descendants([need])
    assert max((plan.ancestors(i) for i in plan.writer), default=0) == plan.deepest_ancestry


def test_what_is_live_at_the_peak_of_a_long_plan_is_counted_at_once() -> None:
    """Every frame stays live until the last step: counted as sets this would be 10^10 visits."""
    length = 100_000
    steps = (
        *(Step((n,)) for n in range(length - 1)),
        Step((length - 1,), tuple(range(length - 1))),
    )
    plan = Plan(Timeline(length), steps, ((),) * length)
    begun = time.process_time()
    assert plan.peak_live == length
    assert time.process_time() - begun < 2


def test_linked_is_lazy() -> None:
    def endless() -> Iterator[Step]:
        at = 0
        while True:
            yield Step((at + 1,), (at,))
            at += 1

    pairs = linked(endless(), (0,))
    assert next(pairs) == (Step((1,), (0,)), ())
    assert next(pairs) == (Step((2,), (1,)), (0,))


def test_indices_as_texts_of_their_runs() -> None:
    assert spans([9, 0, 1, 2, 7]) == ["0-2", "7", "9"]
    assert spans([]) == []


def test_takes_start_new_indices() -> None:
    first, second = lay_takes(21, 4, (10,))
    assert first == Take(0, 10, 0, 3) and second == Take(10, 11, 3, 3)
    assert [second.index(f, 4) for f in (10, 13, 14, 20)] == [3, 3, 4, 5]
    (skipped,) = lay_takes(9, 4, skip=3)
    assert skipped.length == 3 and skipped.index(0, 4) == 0 and skipped.index(1, 4) == 1
    assert lay_takes(None, 4, (6,)) == (Take(0, 6, 0, 2), Take(6, None, 2, None))
    with pytest.raises(PlanError):
        lay_takes(10, 4, (10,))
