"""What proofs have found: a small JSON file for every run that counts, read with suspicion. No torch.

`results/RECIPE/seed-S.json`, or `gpu-seed-S.json` for runs at another scale than the CPU's, with
`sheet.png` and `plot.svg` beside. In a checkout the folder stands beside the package, in a wheel
inside it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from longtake.errors import InputError, nearest
from longtake.system import Curve, Measured

T = TypeVar("T")

SCALES = ("cpu", "gpu")
_PACKAGE = Path(__file__).parents[1]
_LARGEST = 1 << 20  # bytes of a record


@dataclasses.dataclass(frozen=True)
class Checked:
    """An expectation and what came of it: `left` <= `right`, in the words it was written in."""

    words: str
    why: str
    holds: bool
    left: float
    right: float


@dataclasses.dataclass(frozen=True)
class Record:
    """One run of a proof. seconds: of all of it; note: what the numbers do not say."""

    name: str
    seed: int
    scale: str
    commit: str
    machine: str
    seconds: float
    measured: tuple[Measured, ...]
    curves: tuple[Curve, ...]
    expectations: tuple[Checked, ...]
    holds: bool
    note: str = ""

    @property
    def file(self) -> str:
        """What its file is called."""
        return f"{'' if self.scale == 'cpu' else f'{self.scale}-'}seed-{self.seed}.json"


def folder() -> Path:
    """Where results are kept."""
    inside = _PACKAGE / "results"
    return inside if inside.is_dir() else _PACKAGE.parent / "results"


def records(name: str, place: Path | None = None) -> tuple[Record, ...]:
    """All runs of a proof, by scale and seed; none where there is no folder."""
    found = [read(path) for path in (place or folder()).joinpath(name).glob("*seed-*.json")]
    return tuple(sorted(found, key=lambda record: (record.scale, record.seed)))


def status(runs: Sequence[Record], *, built: bool) -> str:
    """A line such as `holds 3/3 seeds`, scales other than the CPU's by name."""
    if not runs:
        return "not yet run" if built else "not yet built"
    told = []
    for scale in sorted({run.scale for run in runs}):
        held = [run.holds for run in runs if run.scale == scale]
        told.append(f"{'' if scale == 'cpu' else f'{scale}: '}{sum(held)}/{len(held)} seeds")
    return f"holds {', '.join(told)}"


def spread(runs: Iterable[Record]) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Median, least and most over runs, by (quantity, arm); what is no number anywhere is left out."""
    values: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        for found in run.measured:
            kept = values.setdefault((found.quantity, found.arm), [])
            kept += [found.value] if math.isfinite(found.value) else []
    return {
        key: (statistics.median(kept), min(kept), max(kept)) for key, kept in values.items() if kept
    }


def write(record: Record, place: Path | None = None) -> Path:
    """The record as a file, whole or not at all; where it lies now. place: of all results."""
    path = (place or folder()) / record.name / record.file
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(dumped(record), encoding="utf-8")
    os.replace(fresh, path)
    return path


def dumped(record: Record) -> str:
    """The record as JSON, a row of numbers a line; what is no number as null."""
    fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    lines = []
    for name, value in fields.items():
        if isinstance(value, tuple):
            rows = ",".join(f"\n    {_line(dataclasses.asdict(row))}" for row in value)
            lines.append(f'  "{name}": [{rows}\n  ]' if rows else f'  "{name}": []')
        else:
            lines.append(f'  "{name}": {_line(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read(path: Path) -> Record:
    """A record; InputError for a file that is none, disagrees with its name or with itself."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST} bytes")
        fields = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        record = Record(
            name=_text(fields, "name"),
            seed=_whole(fields, "seed"),
            scale=_text(fields, "scale"),
            commit=_text(fields, "commit"),
            machine=_text(fields, "machine"),
            seconds=_number(fields, "seconds"),
            measured=tuple(_rows(fields, "measured", _measured)),
            curves=tuple(_rows(fields, "curves", _curve)),
            expectations=tuple(_rows(fields, "expectations", _checked)),
            holds=_truth(fields, "holds"),
            note=_text(fields, "note"),
        )
        _known(fields, Record)
        _agrees(record, path)
    except (OSError, ValueError, ArithmeticError, RecursionError) as error:
        raise InputError(f"not a proof's result: {error}", str(path), "a file of `write`") from None
    return record


def _agrees(record: Record, path: Path) -> None:
    """ValueError where a record contradicts its place or itself."""
    if record.scale not in SCALES:
        raise ValueError(f"scale '{record.scale}' is not {' or '.join(SCALES)}")
    if (path.parent.name, path.name) != (record.name, record.file):
        raise ValueError(f"it is of {record.name}/{record.file}")
    if not (record.seconds >= 0 and record.expectations):
        raise ValueError("no seconds, or no expectations")
    for checked in record.expectations:
        if checked.holds != (checked.left <= checked.right):
            raise ValueError(f"'{checked.words}' and its numbers disagree")
    if record.holds != all(checked.holds for checked in record.expectations):
        raise ValueError("the verdict and the expectations disagree")


def _measured(row: Any) -> Measured:
    _known(row, Measured)
    return Measured(_text(row, "quantity"), _text(row, "arm"), _number(row, "value"))


def _curve(row: Any) -> Curve:
    _known(row, Curve)
    x, y = (tuple(_rows(row, name, _value)) for name in ("x", "y"))
    if len(x) != len(y) or not x:
        raise ValueError(f"a curve of {len(x)} and {len(y)} numbers")
    return Curve(_text(row, "quantity"), _text(row, "arm"), _text(row, "axis"), x, y)


def _checked(row: Any) -> Checked:
    _known(row, Checked)
    left, right = _number(row, "left"), _number(row, "right")
    return Checked(_text(row, "words"), _text(row, "why"), _truth(row, "holds"), left, right)


def _known(fields: Any, kind: type) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    for name in _mapping(fields):
        if name not in names:
            raise ValueError(f"unknown '{name}', perhaps {nearest(name, names)}")


def _mapping(fields: Any) -> Mapping[str, Any]:
    if not isinstance(fields, dict):
        raise ValueError(f"{type(fields).__name__} where an object belongs")
    return fields


def _field(fields: Any, name: str) -> Any:
    if name not in _mapping(fields):
        raise ValueError(f"no '{name}'")
    return fields[name]


def _text(fields: Any, name: str) -> str:
    value = _field(fields, name)
    if not isinstance(value, str) or len(value) > 4000:
        raise ValueError(f"'{name}' is no text, or a very long one")
    return value


def _whole(fields: Any, name: str) -> int:
    value = _field(fields, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"'{name}' is no whole number from 0")
    return value


def _truth(fields: Any, name: str) -> bool:
    value = _field(fields, name)
    if not isinstance(value, bool):
        raise ValueError(f"'{name}' is neither true nor false")
    return value


def _number(fields: Any, name: str) -> float:
    return _value(_field(fields, name))


def _value(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r:.40} is no number")
    if not math.isfinite(value):
        raise ValueError("a number beyond all bounds")
    return float(value)


def _rows(fields: Any, name: str, read_one: Callable[[Any], T]) -> Iterator[T]:
    value = _field(fields, name)
    if not isinstance(value, list):
        raise ValueError(f"'{name}' is no list")
    return (read_one(row) for row in value)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _line(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """As JSON may hold it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
