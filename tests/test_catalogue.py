"""The catalogue of published systems, and the table that `longtake systems` makes of it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from longtake import recipes
from longtake.cli import cli
from longtake.lab import catalogue
from longtake.lab.catalogue import published

FAMILIES = {"diffusion", "token autoregression", "GAN", "mask modelling"}
PARADIGMS = {
    "divide and conquer",
    "temporal autoregression",
    "both",
    "single pass",
    "random access",
}


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_every_system_of_the_survey_has_its_row() -> None:
    keys = [known.key for known in published()]
    assert keys == [f"S{n:02}" for n in range(1, 32)]
    for field in ("recipe", "name", "title", "claim"):
        values = [getattr(known, field) for known in published()]
        assert len(set(values)) == 31 and all(values), field


@pytest.mark.parametrize("known", published(), ids=lambda known: known.recipe)
def test_a_row(known: catalogue.Published) -> None:
    assert known.recipe.isidentifier() and known.recipe == known.recipe.lower()
    assert known.family in FAMILIES and known.paradigm in PARADIGMS
    assert 2012 < known.year < 2025 and known.authors and known.venue and known.codec
    assert known.link == "" or known.link.startswith("https://arxiv.org/abs/2")
    assert known.claim.endswith(".") and len(known.claim) < 160
    assert set(known.corrections) <= set(catalogue.corrections())
    assert catalogue.find(known.recipe.replace("_", "-")) is catalogue.find(known.key) is known


def test_all_corrections_of_the_survey() -> None:
    found = catalogue.corrections()
    assert list(found) == [f"E{n}" for n in range(1, 18)]
    assert all(row.survey and row.fact and row.key == key for key, row in found.items())
    told = {key for known in published() for key in known.corrections}
    assert {"E10", "E11", "E12", "E13", "E15"} == set(found) - told, "these are of no one system"


def test_proofs_are_of_published_systems() -> None:
    built = {row.recipe for row in published() if row.built}
    assert built == set(catalogue.provable()), "a recipe with a proof is in the catalogue"
    assert "fdm" in built and "skies" in recipes.names() and "skies" not in built


def test_systems_lists_the_published_ones_too() -> None:
    lines = [json.loads(line) for line in run("systems", "--json").stdout.splitlines()]
    own = [line["name"] for line in lines if "name" in line]
    rows = {line["published"]: line for line in lines if "published" in line}
    assert own == list(recipes.names()) and len(rows) == 31
    fdm = rows["S21"]
    assert (fdm["recipe"], fdm["paper"], fdm["family"]) == ("fdm", "FDM, NeurIPS 2022", "diffusion")
    assert fdm["controls"] == ["any frames"] and fdm["held"] <= fdm["runs"]
    assert {row["status"] for row in rows.values() if not row["runs"]} <= {
        "not yet built",
        "not yet run",
    }
    told = run("systems").stdout.splitlines()
    assert sum(line.startswith("S") and line[1:3].isdigit() for line in told) == 31
    assert max(map(len, told)) < 160


def test_a_system_that_is_not_built_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "names", lambda: ("skies",))
    for name in ("S21", "fdm"):
        result = run("systems", name)
        assert result.exit_code == 2
        assert "FDM is not yet built (longtake systems); try skies" in result.stderr
