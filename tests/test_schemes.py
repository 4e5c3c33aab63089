"""Every scheme keeps the laws on any timeline; what each promises; names and costs."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.errors import InputError, PlanError
from longtake.schemes import (
    SCHEMES,
    Adaptive,
    Autoregressive,
    CoarseToFine,
    Hierarchy,
    KeysThenFill,
    LongRange,
    OneShot,
    Paradigm,
    PerShot,
    Unified,
    costs,
    find_scheme,
    spelled,
)
from longtake.steps import Plan, Step, Timeline


def indices(text: str) -> tuple[int, ...]:
    """`0-3+9` as places."""
    out: list[int] = []
    for part in filter(None, text.split("+")):
        first, _, last = part.partition("-")
        out += range(int(first), int(last or first) + 1)
    return tuple(out)


def plan_of(scheme: str, length: int, given_: str = "", cuts: str = "") -> Plan:
    return Plan.of(find_scheme(scheme), Timeline(length, indices(given_), indices(cuts)))


# the laws


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Any length, given clips and single frames anywhere, cuts."""
    length = draw(st.integers(1, 130))
    places: set[int] = set()
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(0, length - 1))
        places.update(range(first, min(length, first + draw(st.sampled_from([1, 1, 2, 8, 36])))))
    cuts = draw(st.sets(st.integers(0, length - 1), max_size=3))
    return Timeline(length, tuple(sorted(places)), tuple(sorted(cuts)))


@st.composite
def schemes(draw: st.DrawFn, name: str) -> Paradigm:
    """A scheme of that name with random knobs."""
    kind = SCHEMES[name]
    if name == "one-shot":
        return OneShot(130)
    window = draw(st.integers(kind.least, 24))
    knobs: dict[str, object] = {"window": window}
    optional = st.none() | st.integers(2, 40)
    if name != "coarse-to-fine":
        knobs["step"] = draw(st.none() | st.integers(1, window - 1))
    if name == "hierarchy":
        knobs["levels"] = draw(st.integers(2, 5))
    if name == "adaptive":
        knobs["pool"] = draw(st.integers(window, 64))
    if name in ("keys-then-fill", "unified"):
        knobs["spacing"] = draw(optional)
    if name == "unified":
        knobs["overlap"] = draw(st.integers(0, 4))
        knobs["joins"] = draw(st.sampled_from(["none", "weave", "chain"]))
    if name == "per-shot":
        knobs["borders"] = tuple(sorted(draw(st.sets(st.integers(1, 130), max_size=5))))
        knobs["shot"] = draw(optional)
        knobs["transition"] = draw(st.none() | st.integers(0, window - 2))
    return kind(**knobs)  # type: ignore[arg-type]


def assert_lawful(scheme: Paradigm, timeline: Timeline, steps: list[Step]) -> None:
    """The laws, checked without Plan: they must not lean on what they check."""
    assert timeline.length is not None
    takes = [sum(cut <= i for cut in timeline.cuts if cut > 0) for i in range(timeline.length)]
    known = set(timeline.given)
    for step in steps:
        assert step.targets and step.targets == tuple(sorted(set(step.targets)))
        assert step.observed == tuple(sorted(set(step.observed)))
        assert known.isdisjoint(step.targets), "written twice, or given"
        assert known.issuperset(step.observed), "read before written"
        assert step.size <= scheme.window
        assert len({takes[i] for i in (*step.targets, *step.observed)}) == 1, "across a cut"
        known.update(step.targets)
    assert known == set(range(timeline.length))


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_laws(name: str, data: st.DataObject) -> None:
    scheme, timeline = data.draw(schemes(name)), data.draw(timelines())
    steps = list(scheme.steps(timeline))
    assert_lawful(scheme, timeline, steps)
    assert steps == list(scheme.steps(timeline)), "not deterministic"
    Plan.of(scheme, timeline)
    assert find_scheme(spelled(scheme)) == scheme


@pytest.mark.parametrize(
    "steps",
    [
        [Step((0, 1)), Step((1, 2, 3), (0,))],
        [Step((0, 1), (3,)), Step((2, 3))],
        [Step((0, 1)), Step((2, 3), (1,))],
        [Step((0, 1)), Step((2,))],
        [Step((0, 1)), Step((3, 2))],
    ],
)
def test_the_check_of_the_laws_can_fail(steps: list[Step]) -> None:
    with pytest.raises(AssertionError):
        assert_lawful(OneShot(3), Timeline(4, (), (2,)), steps)


@pytest.mark.parametrize("name", [n for n in SCHEMES if n != "one-shot"])
def test_every_call_is_bound_to_something(name: str) -> None:
    """Where anything is known, no call is made of nothing, but a shot of its own."""
    for text in ("0", "0-9", "60-69", "5+30-40+99", "99", "17"):
        made = plan_of(f"{name}:window=8", 100, text)
        assert all(step.observed for step in made.steps), text
        seen = {i for step in made.steps for i in step.observed}
        assert seen.intersection(indices(text))


@pytest.mark.parametrize("name", [n for n in SCHEMES if n != "one-shot"])
def test_both_sides_of_a_join_are_seen(name: str) -> None:
    """A frame beside a given one is made by a call that sees it."""
    made = plan_of(f"{name}:window=8", 60, "0-3+28-31+56-59")
    for beside, end in ((4, 3), (27, 28), (32, 31), (55, 56)):
        assert end in made.steps[made.writer[beside]].observed, (beside, end)


# what each promises


def test_one_shot_is_one_call() -> None:
    assert plan_of("one-shot:window=9", 9, "0+8").steps == (Step((1, 2, 3, 4, 5, 6, 7), (0, 8)),)
    with pytest.raises(PlanError, match="10 frames in one call of 9"):
        plan_of("one-shot:window=9", 10)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 20), st.data(), st.integers(0, 30), st.integers(1, 200))
def test_autoregression_costs_what_arithmetic_says(
    window: int, data: st.DataObject, observed: int, length: int
) -> None:
    step = data.draw(st.integers(1, window - 1))
    observed = min(observed, length)
    timeline = Timeline(length, tuple(range(observed)))
    calls = (
        math.ceil((length - observed) / step)
        if observed
        else 1 + math.ceil(max(length - window, 0) / step)
    )
    for scheme in (Autoregressive(window, step), LongRange(window, step)):
        found = costs(scheme, timeline)
        assert (found.calls, found.critical_path) == (calls, calls)
        if length - observed:
            assert found.deepest_ancestry == calls


def test_long_range_keeps_the_first_frames() -> None:
    made = plan_of("long-range:window=8,step=4", 40, "0-1")
    assert made.steps[-1].observed == (0, 1, 36, 37)


def test_extension_backward_mirrors_extension_forward() -> None:
    for scheme in (Autoregressive(10, 4), LongRange(10, 4), Adaptive(10, 4, 12)):
        forward = list(scheme.steps(Timeline(50, tuple(range(6)))))
        backward = list(scheme.steps(Timeline(50, tuple(range(44, 50)))))
        for ahead, back in zip(forward, backward, strict=True):
            assert back.targets == tuple(49 - i for i in reversed(ahead.targets))
            assert len(back.observed) == len(ahead.observed) and back.choose == ahead.choose
            if not isinstance(scheme, Adaptive):
                assert back.observed == tuple(49 - i for i in reversed(ahead.observed))


def test_a_gap_ends_in_a_call_that_sees_both_sides_close_by() -> None:
    made = plan_of("autoregressive:window=8,step=4", 30, "0-3+20-29")
    last = made.steps[-1]
    assert last == Step((16, 17, 18, 19), (14, 15, 20, 21))
    assert [len(step.targets) for step in made.steps] == [4, 4, 4, 4]
    tight = plan_of("autoregressive:window=8,step=7", 30, "0-3+20-29").steps[-1]
    assert {13, 20} <= set(tight.observed)


def test_adaptive_offers_a_bounded_static_pool() -> None:
    made = plan_of("adaptive:window=8,step=4,pool=12", 400)
    late = made.steps[-1]
    assert late.choose == 4 and len(late.observed) <= 12
    assert 0 in late.observed and late.targets[0] - 1 in late.observed
    far = [{i for i in s.observed if i < s.targets[0] - 6} for s in made.steps]
    dropped: set[int] = set()
    for before, after in itertools.pairwise(far):
        dropped |= before - after
        assert dropped and dropped.isdisjoint(after) or before <= after
    assert plan_of("adaptive:window=8,step=4,pool=12", 400).peak_live < 40


def test_hierarchy_sees_both_sides_below_its_first_level() -> None:
    made = plan_of("hierarchy:window=12,step=6,levels=3", 200, "0-3")
    assert made.steps[0].role == "keys" and made.steps[0].targets[-1] == 199
    for step in made.steps[1:]:
        assert step.observed[0] < step.targets[0] and step.observed[-1] > step.targets[-1]
    assert made.critical_path < costs(Autoregressive(12, 6), made.timeline).critical_path


@pytest.mark.parametrize(("window", "depth"), [(3, 6), (4, 4), (8, 3), (16, 2)])
def test_a_full_tree_has_its_depth_and_its_calls(window: int, depth: int) -> None:
    length = (window - 1) ** depth + 1
    found = costs(CoarseToFine(window), Timeline(length))
    assert found.critical_path == found.deepest_ancestry == depth
    assert found.calls == sum((window - 1) ** level for level in range(depth))
    trimmed = costs(CoarseToFine(window), Timeline(length - 1))
    assert trimmed.critical_path <= depth and trimmed.calls <= found.calls
    assert costs(CoarseToFine(window), Timeline(length + 1)).critical_path == depth + 1


def test_a_tree_has_even_spacing_at_every_level() -> None:
    made = plan_of("coarse-to-fine:window=4", 28)
    assert made.steps[0].targets == (0, 9, 18, 27)
    assert made.steps[1] == Step((3, 6), (0, 9), "fill")
    assert made.steps[2] == Step((1, 2), (0, 3), "fill")


def test_a_tree_grows_through_given_frames() -> None:
    made = plan_of("coarse-to-fine:window=4", 28, "10+27")
    assert made.steps[0] == Step((0, 18), (10, 27), "keys")


def test_keys_are_chained_and_links_are_independent() -> None:
    made = plan_of("keys-then-fill:window=6,step=3,spacing=5", 101)
    keys = [step for step in made.steps if step.role == "keys"]
    assert sorted(i for step in keys for i in step.targets) == list(range(0, 101, 5))
    assert all(i % 5 == 0 for step in keys for i in step.observed)
    for step in made.steps:
        if step.role == "fill":
            assert step.observed == (step.targets[0] - 1, step.targets[-1] + 1)
    rounds = 1 + math.ceil((21 - 6) / 3)
    assert made.critical_path == rounds + 1 and len(keys) == rounds


def test_unified_plays_before_its_last_key() -> None:
    made = plan_of("unified:window=12,spacing=7,step=6", 400)
    last_key = max(n for n, step in enumerate(made.steps) if step.role == "keys")
    early = {i for step in made.steps[:last_key] for i in step.targets}
    assert early.issuperset(range(300))
    assert max(made.ancestors(i) for i in range(50)) <= 3
    chain = costs(Autoregressive(12, 6), Timeline(400)).critical_path
    assert made.critical_path <= chain // 4


def test_unified_leaves_need_only_near_keys() -> None:
    made = plan_of("unified:window=12,spacing=7,joins=none", 400)
    for step in made.steps:
        if step.role == "fill":
            link = step.targets[0] // 7
            assert max(step.observed) <= 7 * (link + 1)
    woven = plan_of("unified:window=12,spacing=7", 400)
    for step in woven.steps:
        if step.role == "fill":
            link = step.targets[0] // 7
            assert max(step.observed) < 7 * (link + 2)


def test_joins_trade_rounds_for_smooth_keys() -> None:
    timeline = Timeline(400)
    paths = {
        joins: costs(Unified(12, 6, 7, joins=joins), timeline).critical_path
        for joins in ("none", "weave", "chain")
    }
    assert paths["none"] < paths["weave"] <= paths["none"] + 1 < paths["chain"]
    woven = Plan.of(Unified(12, 6, 7, overlap=2), timeline)
    for key in range(7, 392, 7):
        sides = (woven.writer[key - 1], woven.writer[key + 1])
        late = woven.steps[max(sides)]
        assert {key - 1, key + 1} <= {*late.targets, *late.observed}, "a key no call looks across"


def test_unified_keys_remember_the_first() -> None:
    made = plan_of("unified:window=12,step=6,spacing=7", 2000)
    keys = [step for step in made.steps if step.role == "keys"]
    assert all(0 in step.observed for step in keys[1:])
    assert all(step.targets[0] - 7 in step.observed for step in keys[1:-1])
    goal = [s for s in plan_of("unified:window=12,step=6", 500, "499").steps if s.role == "keys"]
    assert all(499 in step.observed for step in goal)


def test_shots_are_apart_and_joins_see_both() -> None:
    made = plan_of("per-shot:window=8,step=4,transition=4,borders=20+40", 60)
    joins = [step for step in made.steps if step.role == "join"]
    assert joins == [
        Step((18, 19, 20, 21), (16, 17, 22, 23), "join"),
        Step((38, 39, 40, 41), (36, 37, 42, 43), "join"),
    ]
    for step in made.steps:
        if step.role == "clip":
            assert len({i // 20 for i in (*step.targets, *step.observed)}) == 1
    assert plan_of("per-shot:window=8,shot=20,transition=4,step=4", 60).steps == made.steps


def test_borders_are_places_of_the_film_and_cuts_are_not_joined() -> None:
    made = plan_of("per-shot:window=8,transition=2,borders=20+30", 40, cuts="20")
    assert [s.targets for s in made.steps if s.role == "join"] == [(29, 30)]


# endless


@pytest.mark.parametrize("name", [n for n, kind in SCHEMES.items() if kind.endless])
@pytest.mark.parametrize("given_", [(), (0, 1, 2), (5, 6, 40)])
def test_endless_films_are_lazy_bounded_and_begin_as_finite_ones(
    name: str, given_: tuple[int, ...]
) -> None:
    scheme = find_scheme(f"{name}:window=8")
    steps = list(itertools.islice(scheme.steps(Timeline(None, given_)), 600))
    written = set(given_)
    for step in steps:
        assert step.size <= 8 and len(step.observed) <= 64
        assert written.issuperset(step.observed) and written.isdisjoint(step.targets)
        written.update(step.targets)
    assert written.issuperset(range(900)), "an endless film leaves no hole behind"
    early = [s for s in steps[:60] if max(s.targets) < 300]
    finite = list(scheme.steps(Timeline(4000, given_)))
    assert [s for s in finite[:60] if max(s.targets) < 300] == early


@pytest.mark.parametrize("name", [n for n, kind in SCHEMES.items() if kind.endless])
def test_an_endless_film_needs_little_in_memory(name: str) -> None:
    scheme = find_scheme(f"{name}:window=8")
    peaks = [costs(scheme, Timeline(length)).peak_live for length in (500, 2000)]
    assert peaks[1] <= peaks[0] + 8


@pytest.mark.parametrize("name", [n for n, kind in SCHEMES.items() if not kind.endless])
def test_schemes_that_need_an_end_say_so_at_once(name: str) -> None:
    with pytest.raises(PlanError, match="endless"):
        find_scheme(name).steps(Timeline(None))


def test_only_the_last_take_is_endless() -> None:
    steps = Autoregressive(8).steps(Timeline(None, (), (20,)))
    some = list(itertools.islice(steps, 20))
    assert {i for s in some for i in s.targets}.issuperset(range(60))
    assert all(min(s.observed) >= 20 for s in some if s.targets[0] > 20 and s.observed)


# names, errors, speed


def test_schemes_are_found_by_name() -> None:
    found = find_scheme("hierarchy:levels=2,window=20,step=10")
    assert found == Hierarchy(20, 10, 2) and find_scheme("hierarchy:step=10", 20) == found
    assert find_scheme("autoregressive", 12).window == 12
    assert find_scheme("autoregressive:window=6", 12).window == 6
    assert find_scheme("per-shot:borders=40+12") == PerShot(borders=(12, 40))
    assert isinstance(find_scheme("keys-then-fill"), KeysThenFill)
    assert all(kind.name == name for name, kind in SCHEMES.items())


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hierachy", "hierarchy"),
        ("hierarchy:level=3", "levels"),
        ("autoregressive:step=ten", "a whole number"),
        ("autoregressive:step", "step=VALUE"),
        ("autoregressive:step=2,step=3", "step=VALUE"),
        ("autoregressive:window=8,step=8", "1 to 7"),
        ("autoregressive:window=8,step=0", "1 to 7"),
        ("autoregressive:window=1", "window=2 or more"),
        ("coarse-to-fine:window=2", "window=3 or more"),
        ("hierarchy:levels=1", "levels=2 or more"),
        ("unified:joins=weaves", "weave"),
        ("unified:spacing=1", "spacing=2 or more"),
        ("adaptive:window=20,pool=3", "pool=10 or more"),
        ("per-shot:transition=15", "0 to 14"),
        ("per-shot:borders=1+x", "12+40"),
        ("", "autoregressive"),
    ],
)
def test_wrong_names_and_knobs_hint_at_right_ones(text: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        find_scheme(text)
    assert hint in caught.value.hint and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n in SCHEMES if n != "one-shot"])
def test_a_hundred_thousand_frames_are_planned_at_once(name: str) -> None:
    begun = time.process_time()
    plan = Plan.of(find_scheme(f"{name}:window=20"), Timeline(100_000))
    assert time.process_time() - begun < 2
    assert len(plan.writer) == 100_000


@pytest.mark.parametrize("given_", ["100-30099", "+".join(str(i) for i in range(0, 40_000, 2))])
@pytest.mark.parametrize("name", [n for n in SCHEMES if n != "one-shot"])
def test_much_that_is_given_is_no_burden(name: str, given_: str) -> None:
    timeline = Timeline(50_000, indices(given_))
    begun = time.process_time()
    Plan.of(find_scheme(f"{name}:window=20"), timeline)
    assert time.process_time() - begun < 2


def test_planning_does_not_import_torch() -> None:
    code = (
        "import sys; from longtake.schemes import costs, find_scheme;"
        "from longtake.steps import Timeline; costs(find_scheme('unified'), Timeline(500));"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
