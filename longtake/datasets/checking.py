"""What is wrong with a dataset: files that are missing or unreadable, broken frames, splits that leak."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from longtake.datasets.records import Layout, Problem, Record
from longtake.errors import InputError

_CHUNK = 64  # frames decoded together
_SMALL = (32, 32)


def examine(layout: Layout, most: int | None = None) -> Iterator[Problem]:
    """Every problem of a dataset: of its index, of its splits, then of its files, each decoded whole.

    most: how many clips to decode, spread evenly over the index; all by default.
    """
    yield from layout.indexed.problems
    yield from _divided(layout)
    records = layout.records
    count = len(records) if most is None else min(most, len(records))
    chosen = [records[n * len(records) // count] for n in range(count)]
    contents: dict[bytes, Record] = {}
    for record in chosen:
        try:
            yield from _broken(layout, record)
            digest = layout.content(record)
        except (InputError, OSError) as error:
            what = error.what if isinstance(error, InputError) else str(error)
            yield Problem("unreadable", record.id, what)
            continue
        other = contents.setdefault(digest, record)
        if other.id != record.id:
            kind = "twin" if other.split == record.split else "leak"
            yield Problem(kind, record.id, f"the same frames as {other.id} in {other.split}")


def counts(layout: Layout) -> dict[str, int]:
    """Clips by split."""
    return dict(sorted(Counter(record.split for record in layout.records).items()))


def _divided(layout: Layout) -> Iterator[Problem]:
    """Groups that more than one split holds."""
    homes: dict[str, set[str]] = defaultdict(set)
    for record in layout.indexed.records:
        if record.group:
            homes[record.group].add(record.split)
    for group, splits in sorted(homes.items()):
        if len(splits) > 1:
            yield Problem(
                "leak", group, f"one source, divided between {' and '.join(sorted(splits))}"
            )


def _broken(layout: Layout, record: Record) -> Iterator[Problem]:
    """Decodes a clip from end to end; what the decoder calls damaged is a problem too."""
    footage = layout.footage(record)
    for start in range(0, footage.frames, _CHUNK):
        footage.read(range(start, min(start + _CHUNK, footage.frames)), size=_SMALL)
    damaged = getattr(footage, "damaged", ())
    if damaged:
        first, more = min(damaged), len(damaged) - 1
        yield Problem("unreadable", record.id, f"frame {first} is damaged, and {more} more")
