"""Tables of comma-separated values that nobody vouches for."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from longtake.datasets.records import Found
from longtake.errors import InputError


def rows_of(
    path: Path, columns: Sequence[str], found: Found
) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and row of each line of a CSV with a header; a line that lacks a column is a problem.

    InputError if the header lacks one, or if the file is no text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lost = [name for name in columns if name not in (reader.fieldnames or ())]
            if lost:
                raise InputError(f"has no column '{lost[0]}'", str(path), ",".join(columns))
            for row in reader:
                where = f"{path.name}:{reader.line_num}"
                if any(not row[name] for name in columns):
                    empty = next(name for name in columns if not row[name])
                    found.wrong("list", where, f"no {empty}")
                else:
                    yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", str(path), "a CSV as published") from error


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A CSV with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
