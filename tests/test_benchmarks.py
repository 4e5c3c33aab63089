"""The benchmarks' runner: what it measures is the same film, and the page says what was recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import pretrained  # noqa: E402
import run  # noqa: E402

TOY = f"{Path(__file__).with_name('toy.py')}:toy"


@pytest.mark.parametrize(
    "name", ["overhead", "batched", "processes", "length", "watched", "visible"]
)
def test_a_case_measures_both_in_turn(name: str) -> None:
    (case,) = (case for case in run.CASES if case.name == name)
    line = run.measured(case, run.Film(TOY, 64, 1), 2)
    ratios = sorted(a / b for a, b in line["seconds"])
    assert len(ratios) == 2 and ratios[0] > 0
    assert line["spread"] == pytest.approx(ratios, rel=0.05, abs=1e-4)
    assert line["holds"] == case.holds(line["ratio"])
    json.dumps(line)


def test_the_bare_loop_makes_the_same_film(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    close = run.VideoWriter.close

    def closed(writer: Any) -> None:
        fresh = writer._encoder is not None
        close(writer)
        if fresh:
            written.append(writer.path.read_bytes())

    monkeypatch.setattr(run.VideoWriter, "close", closed)
    pairs = run.overhead(run.Film(TOY, 64, 1))
    whole, bare = next(pairs)
    written.clear()
    whole()
    bare()
    pairs.close()
    assert len(written) == 2 and written[0] == written[1]


def test_what_is_wide_is_one_wave_of_one_shape() -> None:
    job = run.Film(TOY, 256, 1).job(run.WIDE)
    tasks = run.widest(job)
    assert len(tasks) > 2
    needs = {task.number for task in tasks}
    calls = {call.number: call for call in job.calls}
    assert not any(needs & set(calls[number].needs) for number in needs)


def test_bars() -> None:
    case = run.CASES[0]
    assert case.bar == "<= 1.05" and case.holds(1.05) and not case.holds(1.06)
    at_least = next(case for case in run.CASES if case.bar == ">= 1.8")
    assert at_least.holds(1.8) and not at_least.holds(1.79)


def test_the_page_is_what_was_recorded() -> None:
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == run.page(run.known())
    told = {
        "ratio": 1.9,
        "spread": [1.8, 1.95],
        "holds": False,
        "film": {"model": "skies", "frames": 400, "threads": 1},
        "seconds": [[1, 2]] * 5,
        "with": {"cores": 2},
    }
    text = run.page({"overhead": told})
    assert "1.900 (1.800-1.950) | <= 1.05: **missed** | 5 | 400 | 1 |" in text
    assert "Measured with cores 2." in text and text.count("not measured yet") == len(run.CASES) - 1
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in rows} == {rows[0].count("|")}


def test_how_memory_rises_is_told_with_how_sure_it_is() -> None:
    def films(*megabytes: float) -> list[dict[str, Any]]:
        lengths = (257, 1025, 2049, 4097)
        return [
            {"peer": "wan", "side": "longtake", "asked": n, "frames": n, "megabytes": n / 100 + own}
            for n, own in zip(lengths, megabytes, strict=False)
        ]

    middle, error = pretrained.slope(films(5, 5, 5, 5), "wan", "longtake")
    assert middle == pytest.approx(0.01) and error == pytest.approx(0, abs=1e-9)
    rough, unsure = pretrained.slope(films(20, -10, 25, 0), "wan", "longtake")
    assert abs(rough - 0.01) < 2 * unsure
    two = pretrained.slope(films(5, 5), "wan", "longtake")
    assert pretrained.told(two, ".3f") == "0.010 MB"
    assert pretrained.told((0.01, 0.002), ".3f") == "0.010 ± 0.002 MB"
    one, _ = pretrained.slope(films(5), "wan", "longtake")
    assert one != one
