"""Results of proofs: written, read with suspicion, summed up, and the page made of them."""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.errors import InputError
from longtake.lab import catalogue, results
from longtake.lab.prove import proof_of
from longtake.lab.results import Checked, Record, read, records, spread, status, write
from longtake.system import Curve, Measured
from longtake.video import contact_sheet

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import record_proof  # noqa: E402
import systems_page  # noqa: E402


def made(seed: int = 1, *, value: float = 2.0, holds: bool = True, scale: str = "cpu") -> Record:
    """A run of a proof of FDM that came out so."""
    right = value + 1 if holds else value - 1
    return Record(
        name="fdm",
        seed=seed,
        scale=scale,
        commit="0123456789abcdef",
        machine="2 cores | a name",
        seconds=600.0,
        measured=(Measured("tfvd", "hierarchy", value), Measured("tfvd", "chain", math.nan)),
        curves=(Curve("loss", "both", "step", (0.0, 10.0), (1.0, 0.1 + 0.2)),),
        expectations=(Checked("tfvd: hierarchy <= 5", "less drift", holds, value, right),),
        holds=holds,
        note="é",
    )


def same(one: Record, other: Record) -> bool:
    return repr(one) == repr(other)  # no number is not equal to itself


def test_a_record_comes_back(tmp_path: Path) -> None:
    record = made()
    path = write(record, tmp_path)
    assert path == tmp_path / "fdm" / "seed-1.json"
    assert same(read(path), record)
    assert "NaN" not in path.read_text(encoding="utf-8")
    assert write(made(2, scale="gpu"), tmp_path).name == "gpu-seed-2.json"
    assert [p.name for p in tmp_path.rglob("*.part")] == []
    assert [(r.scale, r.seed) for r in records("fdm", tmp_path)] == [("cpu", 1), ("gpu", 2)]
    assert records("mcvd", tmp_path) == ()


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(fields: Any) -> None:
        for part in path[:-1]:
            fields = fields[part]
        fields[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.pop("note"), "no 'note'"),
        (put("extra", value=1), "unknown 'extra'"),
        (put("seed", value=True), "'seed' is no whole number"),
        (put("seed", value=3), "it is of fdm/seed-3.json"),
        (put("name", value="../fdm"), "it is of ../fdm/"),
        (put("scale", value="tpu"), "scale 'tpu' is not cpu or gpu"),
        (put("seconds", value=-1), "no seconds"),
        (put("seconds", value="600"), "'600' is no number"),
        (put("seconds", value=10**400), "not a proof's result"),
        (put("measured", value={}), "'measured' is no list"),
        (put("measured", 0, value=5), "int where an object belongs"),
        (put("measured", 0, "valeu", value=5), "perhaps value"),
        (put("curves", 0, "x", value=[1]), "a curve of 1 and 2 numbers"),
        (put("expectations", value=[]), "no expectations"),
        (put("expectations", 0, "holds", value=False), "and its numbers disagree"),
        (put("expectations", 0, "left", value=None), "and its numbers disagree"),
        (put("holds", value=False), "the verdict and the expectations disagree"),
        (put("holds", value=1), "'holds' is neither true nor false"),
    ],
)
def test_what_is_no_record(tmp_path: Path, change: Any, message: str) -> None:
    path = write(made(), tmp_path)
    fields = json.loads(path.read_text(encoding="utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(path)
    assert message in str(caught.value) and "seed-1.json" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"name": NaN}', "[" * 100_000, "\xff", "1" * (1 << 21)]
)
def test_what_is_no_json(tmp_path: Path, text: str) -> None:
    path = write(made(), tmp_path)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError):
        read(path)


def test_status() -> None:
    assert status((), built=False) == "not yet built"
    assert status((), built=True) == "not yet run"
    runs = [made(1), made(2, holds=False), made(3)]
    assert status(runs, built=True) == "holds 2/3 seeds"
    assert status([*runs, made(4, scale="gpu")], built=True) == "holds 2/3 seeds, gpu: 1/1 seeds"


def test_the_median_leaves_out_what_is_no_number() -> None:
    assert spread([made(n, value=n) for n in (1, 5, 2)]) == {("tfvd", "hierarchy"): (2, 1, 5)}


# --- what a run leaves behind


def run_of(folder: Path, value: float, **changes: Any) -> Path:
    """The folder of a finished proof of FDM, in which every quantity is `value` for every arm."""
    proof = proof_of("fdm")
    measured = [
        {"quantity": quantity, "arm": arm, "value": value}
        for quantity in {e.quantity for e in proof.expectations}
        for arm in proof.arms
    ]
    told = {
        "name": "fdm",
        "seed": 5,
        "scale": "cpu",
        "machine": "x",
        "seconds": 7,
        "measured": measured,
        "curves": [{"quantity": "q", "arm": "a", "axis": "x", "x": [0, 1], "y": [1.5, 2]}],
        "expectations": [
            {"words": e.words(), "why": "", "holds": True} for e in proof.expectations
        ],
        "holds": True,
        "whole": True,
    }
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps(told | changes))
    cells = torch.randint(256, (12, 3, 8, 8), dtype=torch.uint8)
    frames = cells.repeat_interleave(8, 2).repeat_interleave(8, 3)
    for arm in proof.arms:
        contact_sheet(frames, folder / f"{arm}.png", columns=12)
    return folder


def test_a_run_is_recorded_with_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_proof, "commit", lambda: "c" * 40)
    path = record_proof.record(run_of(tmp_path / "run", 0.5), "a note", tmp_path / "kept")
    found = read(path)
    assert (found.seed, found.commit, found.note, found.seconds) == (5, "c" * 40, "a note", 7)
    expectations = proof_of("fdm").expectations
    wanted = [(e.words(), 0.5 <= e.factor * 0.5) for e in expectations if isinstance(e.less, str)]
    assert wanted == [(c.words, c.holds) for c in found.expectations[: len(wanted)]]
    assert not found.holds, "what the run said of itself is not believed"
    assert (tmp_path / "kept" / "fdm" / "sheet.png").stat().st_size <= 150 * 1024
    assert "<svg" in (tmp_path / "kept" / "fdm" / "plot.svg").read_text()


def test_arms_may_have_a_sheet_for_every_task(tmp_path: Path) -> None:
    for name in ("one", "two, fill", "two, go on"):
        (tmp_path / f"{name}.png").touch()
    found = record_proof.sheets_of(tmp_path, ("two", "one", "three"))
    assert [name for name, _ in found] == ["two, fill", "two, go on", "one"]
    with pytest.raises(ValueError, match="no pictures"):
        record_proof.sheets_of(tmp_path, ("three",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"whole": False}, "in a hurry"),
        ({"expectations": []}, "not the recipe's"),
        ({"measured": 7}, "no finished proof"),
        ({"name": "nothing"}, "no proof of 'nothing'"),
    ],
)
def test_what_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(record_proof, "commit", lambda: "c" * 40)
    with pytest.raises(InputError, match=message):
        record_proof.record(run_of(tmp_path / "run", 0.5, **changes), "", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


# --- the page, and what is kept


def test_the_page_is_what_was_recorded() -> None:
    kept = systems_page.page(systems_page.recorded())
    assert (ROOT / "docs" / "systems.md").read_text(encoding="utf-8") == kept


def test_a_row_and_a_section_of_a_system() -> None:
    runs: dict[str, Any] = defaultdict(tuple, fdm=(made(1), made(2, value=3.0, holds=False)))
    text = systems_page.page(runs)
    (row,) = (line for line in text.splitlines() if line.startswith("| S21"))
    assert "tfvd: hierarchy <= 5: 2.5 (2 to 3) and 2.5 (2 to 3), 1/2" in row
    assert "holds 1/2 seeds" in row and 'href="#fdm"' in row
    assert "## FDM" in text and text.count("## ") == 2
    assert "| tfvd | 2.5 (2 to 3) |" in text and "2 cores \\| a name | **no** | é |" in text
    rows = [line for line in text.splitlines() if line.startswith("| S")]
    assert len(rows) == 31 and len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert sum("not yet" in line for line in rows) == 30


def test_kept_results_are_of_the_proofs_as_they_stand() -> None:
    """An expectation that was changed after it was run would show here."""
    known = {row.recipe for row in catalogue.published()}
    for place in sorted(path for path in results.folder().iterdir() if path.is_dir()):
        assert place.name in known
        runs = records(place.name)
        assert runs, f"{place.name} has no runs"
        proof = import_module(f"longtake.recipes.{place.name}").PROOF
        wanted = [expectation.words() for expectation in proof.expectations]
        for run in runs:
            assert [checked.words for checked in run.expectations] == wanted, run.file
        for picture in ("sheet.png", "plot.svg"):
            assert 0 < (place / picture).stat().st_size <= 150 * 1024
