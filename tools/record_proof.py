"""Keeps a finished proof among the results, and makes the page of systems anew.

    longtake prove fdm --seed 1 --run fdm-1
    python tools/record_proof.py fdm-1 [--note "what the numbers do not say"]

Whether the claim holds makes no difference. A trial in a hurry is refused, so is a run whose
expectations are not the recipe's, and a tree with changes that no commit holds.
"""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import systems_page
from PIL import Image, ImageDraw, ImageFont

from longtake.errors import InputError
from longtake.lab import results
from longtake.lab.plot import plot
from longtake.lab.prove import PLOT, RESULT, proof_of
from longtake.lab.results import Checked, Record
from longtake.system import Curve, Measured, Proof

LARGEST = 150 * 1024  # bytes of a sheet
SIZES = ((2, 256, 1), (2, 96, 1), (1, 256, 1), (1, 96, 1), (1, 32, 1), (1, 96, 2), (1, 32, 2))
"""Rows of each sheet, colours, and how many times smaller."""
_STRIP = 16  # pixels for an arm's name
_ROW = 78  # pixels of a row of a contact sheet of 64x64


def record(folder: Path, note: str = "", place: Path | None = None) -> Path:
    """Keeps the run of `folder`; where its record lies. place: of all results."""
    try:
        told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        proof = proof_of(told["name"])
        made = record_of(told, proof, commit(), note)
        pictures = sheet(sheets_of(folder, proof.arms))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"no finished proof: {error!r}", str(folder), "longtake prove") from None
    path = results.write(made, place)
    path.with_name("sheet.png").write_bytes(pictures)
    runs = results.records(made.name, place)
    middle = [Measured(*key, three[0]) for key, three in results.spread(runs).items()]
    drawn = plot(middle, runs[0].curves, tuple(proof.arms))
    path.with_name(PLOT).write_text(drawn, encoding="utf-8")
    return path


def record_of(told: Mapping[str, Any], proof: Proof, commit: str, note: str) -> Record:
    """A driver's result as a record, every expectation held against the numbers again."""
    if not told["whole"]:
        raise ValueError("a trial in a hurry")
    words = [expectation.words() for expectation in proof.expectations]
    if [one["words"] for one in told["expectations"]] != words:
        raise ValueError("its expectations are not the recipe's")
    measured = tuple(Measured(**row) for row in told["measured"])
    found = {(row.quantity, row.arm): row.value for row in measured}
    checked = tuple(
        Checked(e.words(), e.why, e.holds(found), *e.sides(found)) for e in proof.expectations
    )
    fields = {name: told[name] for name in ("name", "seed", "scale", "machine", "seconds")}
    curves = tuple(
        Curve(**row | {"x": tuple(row["x"]), "y": tuple(row["y"])}) for row in told["curves"]
    )
    return Record(
        **fields,
        commit=commit,
        measured=measured,
        curves=curves,
        expectations=checked,
        holds=all(one.holds for one in checked),
        note=note,
    )


def sheets_of(folder: Path, arms: Iterable[str]) -> list[tuple[str, Path]]:
    """The contact sheets of a run, by name: one an arm, or one for each of its tasks."""
    found = []
    for arm in arms:
        whole = folder / f"{arm}.png"
        paths = [whole] if whole.exists() else sorted(folder.glob(f"{arm}, *.png"))
        found += [(path.stem, path) for path in paths]
    if not found:
        raise ValueError("it has no pictures")
    return found


def commit() -> str:
    """Of the tree, which must hold no other code."""
    if git("status", "--porcelain", "--", "longtake"):
        raise ValueError("the tree has changes that no commit holds")
    return git("rev-parse", "HEAD")


def git(*words: str) -> str:
    """What git says of this tree."""
    asked = ["git", *words]
    told = subprocess.run(asked, cwd=systems_page.ROOT, capture_output=True, text=True, check=True)
    return told.stdout.strip()


def sheet(pictures: list[tuple[str, Path]]) -> bytes:
    """The arms' contact sheets as one PNG of at most LARGEST bytes: two rows each, or one."""
    for data in _smaller([(arm, Image.open(path).convert("RGB")) for arm, path in pictures]):
        if len(data) <= LARGEST:
            return data
    raise ValueError(f"its pictures do not go into {LARGEST} bytes")


def _smaller(arms: list[tuple[str, Image.Image]]) -> Iterator[bytes]:
    """PNGs, each likely smaller than the one before."""
    font = ImageFont.load_default(11)
    for rows, colours, smaller in SIZES:
        high = _STRIP + rows * _ROW
        whole = Image.new("RGB", (max(p.width for _, p in arms), high * len(arms)), (24, 24, 24))
        pen = ImageDraw.Draw(whole)
        for n, (arm, picture) in enumerate(arms):
            pen.text((3, n * high + 1), arm, fill=(255, 255, 255), font=font)
            whole.paste(picture.crop((0, 0, picture.width, rows * _ROW)), (0, n * high + _STRIP))
        file = io.BytesIO()
        whole = whole.reduce(smaller)
        whole.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        yield file.getvalue()


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What the numbers do not say.")
def main(folder: Path, note: str) -> None:
    """Keeps the proof of FOLDER."""
    try:
        click.echo(record(folder, note))
    except InputError as error:
        raise click.ClickException(str(error)) from None
    systems_page.PAGE.write_text(systems_page.page(systems_page.recorded()), encoding="utf-8")


if __name__ == "__main__":
    main()
