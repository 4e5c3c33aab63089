"""What published pipelines need, said before any download."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

from longtake.cli import cli
from longtake.cli.doctor import span
from longtake.models.pretrained.families import FAMILIES
from longtake.models.pretrained.sizes import KNOWN, WORK


def test_what_fits_follows_from_room_and_main_memory() -> None:
    wan = KNOWN[1]  # 14 B
    assert wan.fits(80e9, 64e9) == "fits"
    assert wan.fits(wan.most() + WORK, 64e9) == "fits with offload=model"
    assert wan.fits(20e9, 64e9) == "fits with offload=model and quantise=float8"
    assert wan.fits(16e9, 64e9) == "fits with offload=group"
    assert wan.fits(16e9, 16e9) == "" and wan.fits(4e9, 64e9) == ""
    assert wan.fits(wan.weights(4) - 1, 0, 4) == ""


def test_a_clip_takes_as_long_as_its_arithmetic() -> None:
    # a 14 B model on 32,760 tokens: 0.94 PFLOP for the weights, 0.88 for attention, 100 times
    wan = KNOWN[1]
    assert wan.arithmetic == pytest.approx(100 * (2 * 14.3e9 * 32760 + 4 * 40 * 5120 * 32760**2))
    twice = dataclasses.replace(wan, steps=2 * wan.steps)
    assert twice.seconds(1e15) == pytest.approx(2 * wan.seconds(1e15))
    assert [span(s) for s in (0.1, 90, 150, 9000, 400_000)] == [
        "1 s",
        "90 s",
        "2 min",
        "2 h",
        "5 days",
    ]


def test_doctor_says_of_every_known_pipeline_what_it_needs_here() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--quick", "--json"])
    lines = {line["name"]: line for line in map(json.loads, result.stdout.splitlines())}
    for known in KNOWN:
        said = lines[known.hub_id]
        assert said["ok"] is None and "GB on disk" in said["value"]
        assert "about" in said["value"] or "needs" in said["value"]
    sizes = {(family.size, family.frames) for family in FAMILIES.values()}
    assert sum((known.size, known.frames) in sizes for known in KNOWN) >= 8, (
        "the clip they were made for"
    )
