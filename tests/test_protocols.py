"""Protocols by name: nothing that changes a number is left out of the name."""

from __future__ import annotations

import dataclasses

import pytest

from longtake.errors import InputError
from longtake.metrics import PROTOCOLS, Score, find_protocol
from longtake.metrics.protocols import Protocol

LITERATURE = (
    "fvd2048_16f",
    "fvd2048_128f",
    "tats-fvd",
    "digan-fvd",
    "pvdm-fvd2048_16f",
    "magvit-bair-biased",
    "magvit-bair-debiased",
    "fid-infinity",
    "best-of-100-psnr",
)


def test_the_literature_s_protocols_have_names_of_their_own() -> None:
    found = {title: find_protocol(title).name for title in (*PROTOCOLS, *LITERATURE)}
    assert len(set(found.values())) == len(found)
    with pytest.raises(InputError, match="try fvd2048_16f"):
        find_protocol("fvd2048-16f")
    with pytest.raises(InputError, match="unknown protocol"):
        find_protocol("best-of-0-psnr")


@pytest.mark.parametrize(
    "change",
    [
        {"statistic": "kernel"},
        {"features": "videomae"},
        {"frames": 17},
        {"stride": 2},
        {"resize": "bicubic-224"},
        {"crop": "centre"},
        {"samples": 512},
        {"real": 512},
        {"clips": "first clip"},
        {"version": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_a_number_changes_the_name(change: dict[str, object]) -> None:
    usual = find_protocol("fvd2048_16f")
    other = dataclasses.replace(usual, **change)  # type: ignore[arg-type]
    assert Score(1.0, usual.name, "low") < Score(2.0, usual.name, "low")
    with pytest.raises(InputError, match="do not compare"):
        _ = Score(1.0, usual.name, "low") < Score(2.0, other.name, "low")


def test_every_field_that_counts_is_in_the_name() -> None:
    fields = {field.name for field in dataclasses.fields(Protocol)} - {"source", "note"}
    words = {name: (987 if name in COUNTS else f"x{name}x") for name in fields}
    name = Protocol(**words).name  # type: ignore[arg-type]
    assert name.count("987") == len(COUNTS)
    assert all(f"x{field}x" in name for field in fields - COUNTS)


COUNTS = {"frames", "stride", "samples", "real", "version"}


def test_a_protocol_wants_its_numbers() -> None:
    fixed, free = find_protocol("fvd2048_16f"), find_protocol("fid-infinity")
    assert fixed.of(2048, 2048).name == fixed.name
    with pytest.raises(InputError, match="100 clips of the samples, and fvd2048_16f wants 2048"):
        fixed.of(100, 2048)
    assert free.of(64, 1024).name != free.of(32, 1024).name
    assert "n64-vs-1024" in free.of(64, 1024).name
