"""Canonical forms, fingerprints and step keys."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from longtake.keys import StepKey, canonical, file_fingerprint, fingerprint


@dataclasses.dataclass(frozen=True)
class Knobs:
    b: int
    a: tuple[int, ...] = ()


def test_equal_values_have_one_spelling() -> None:
    assert canonical({"b": 1, "a": (1, 2)}) == canonical({"a": [1, 2], "b": 1})
    assert canonical(Knobs(1, (2,))) == '{"a":[2],"b":1}'
    assert canonical({3, 1, 2}) == "[1,2,3]"
    assert canonical("über") == '"\\u00fcber"'


def test_unlike_values_differ() -> None:
    values = [1, 1.5, "1", True, None, [1], [1, 2], [[1], 2], {"1": 1}, Knobs(1)]
    prints = {fingerprint(value) for value in values}
    assert len(prints) == len(values)
    assert all(len(p) == 32 and set(p) <= set("0123456789abcdef") for p in prints)


def test_what_has_no_canonical_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no canonical form"):
        canonical(object())


def test_bytes_and_files_agree(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"frames")
    assert fingerprint(b"frames") == file_fingerprint(tmp_path / "f")
    assert fingerprint(b"frames") != fingerprint("frames")


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    code = "from longtake.keys import fingerprint as f; print(f({'x', 'y', 'z'}), f({'k': [1]}))"
    root = Path(__file__).parent.parent
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert out.stdout.split() == [fingerprint({"x", "y", "z"}), fingerprint({"k": [1]})]


def test_a_key_knows_why_it_differs() -> None:
    one = StepKey({"model": "m1", "seed": "7", "observed": "a"})
    two = StepKey({"model": "m2", "seed": "7", "observed": "a", "start": "s"})
    assert one.key != two.key and one.why(two) == ("model", "start") == two.why(one)
    assert one.key == StepKey({"seed": "7", "observed": "a", "model": "m1"}).key
    assert one.why(one) == ()
