"""Clips listed line by line in a `clips.jsonl`: what `data supplement` writes, and a layout for one's own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from longtake.datasets.records import Found, Index, Layout, Record, first_there, lines_of
from longtake.errors import InputError

NAME = "clips.jsonl"
_TEXTS = ("id", "path", "split", "label", "group", "licence")


class Clips(Layout):
    """`clips.jsonl`: a JSON object a line with id and path, and any of split, span, label, captions, group
    and licence.
    """

    title = "clips listed in clips.jsonl"
    licence = "each clip's own, as listed"

    def index(self) -> Index:
        found = Found(self.root)
        for number, line in lines_of(first_there(self.root, [NAME])):
            where = f"{NAME}:{number}"
            try:
                record = record_of(json.loads(line))
            except (ValueError, InputError) as error:
                found.wrong("list", where, str(error))
                continue
            found.add(record, where)
        return found.index()


def record_of(told: Any) -> Record:
    """A record out of JSON; InputError for what is none, or leads out of its folder."""
    if not isinstance(told, Mapping):
        raise InputError("is no object")
    values: dict[str, Any] = {}
    for name in _TEXTS:
        if name in told:
            if not isinstance(told[name], str):
                raise InputError(f"{name} is no text")
            values[name] = told[name]
    if not values.get("id") or not values.get("path"):
        raise InputError("has no id, or no path")
    if Path(values["path"]).is_absolute() or ".." in Path(values["path"]).parts:
        raise InputError(f"{values['path']} leads out of the folder")
    span, captions = told.get("span"), told.get("captions", [])
    if span is not None:
        if not (isinstance(span, list) and len(span) == 2 and all(type(n) is int for n in span)):
            raise InputError("span is not two numbers")
        values["span"] = (span[0], span[1])
    if not isinstance(captions, list) or not all(isinstance(text, str) for text in captions):
        raise InputError("captions are no list of texts")
    return Record(**values, captions=tuple(captions))


def told(record: Record) -> dict[str, Any]:
    """A record for JSON, what is not known left out."""
    fields = dataclasses.asdict(record)
    return {name: value for name, value in fields.items() if value not in (None, "", ())}


def write_list(root: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """The list of a folder; it appears whole."""
    part = root / f".{NAME}.tmp"
    part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    part.replace(root / NAME)
