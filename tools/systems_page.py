"""docs/systems.md from the catalogue and from what proofs have found.

python tools/systems_page.py            # writes the page
python tools/systems_page.py --check    # exit code 1 if the page says something else
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from longtake.lab import catalogue, results
from longtake.lab.catalogue import Published
from longtake.lab.results import Checked, Record

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "systems.md"

Runs = Mapping[str, Sequence[Record]]

HEAD = """# Published systems

Made by `python tools/systems_page.py` from `longtake/lab/catalogue.toml` and `results/`; do not edit.

The systems that "A Survey on Long Video Generation" ([arXiv 2403.16407](https://arxiv.org/abs/2403.16407)) cites. Each becomes a recipe
of its own, re-implemented from the paper, with a proof: the headline claim as an experiment on a world whose law is known, small enough for
two cores. Direction and shape are tested, never a paper's numbers. What must hold is written down before anything is run, and is not changed
afterwards; a claim that does not hold is shown as not holding. `longtake prove NAME --seed S` runs one again; `longtake systems` prints this
table. Numbers are the median over seeds, least and most in brackets.
"""

COLUMNS = (
    "",
    "system",
    "family",
    "paradigm",
    "controls",
    "codec",
    "claim",
    "measured here",
    "proof",
    "picture",
)


def page(runs: Runs) -> str:
    """The whole page, of runs by recipe."""
    parts = [HEAD, table(runs)]
    parts += [
        section(known, runs[known.recipe]) for known in catalogue.published() if runs[known.recipe]
    ]
    return "\n".join([*parts, errata()])


def table(runs: Runs) -> str:
    """A row a system; those without runs keep theirs."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for known in catalogue.published():
        found = runs[known.recipe]
        paper = f"[{known.paper}]({known.link})" if known.link else known.paper
        wrong = ", ".join(f"[{key}](#where-the-survey-says-otherwise)" for key in known.corrections)
        cells = (
            known.key,
            f"{paper}, {known.authors}{f' ({wrong})' if wrong else ''}",
            known.family,
            known.paradigm,
            ", ".join(known.controls) or "none",
            known.codec,
            known.claim,
            "<br>".join(f"{c.words}: {sides}, {held}" for c, sides, held in outcomes(found)),
            results.status(found, built=known.built),
            f'<a href="#{anchor(known)}">{thumbnail(known)}</a>' if found else "",
        )
        rows.append(cells)
    return "".join(f"| {' | '.join(map(plain, row))} |\n" for row in rows)


def outcomes(found: Sequence[Record]) -> Iterator[tuple[Checked, str, str]]:
    """Every expectation with its two sides over the runs, and how often it held."""
    for checked in found[0].expectations if found else ():
        same = [c for run in found for c in run.expectations if c.words == checked.words]
        left, right = (figures([getattr(c, side) for c in same]) for side in ("left", "right"))
        yield checked, f"{left} and {right}", f"{sum(c.holds for c in same)}/{len(same)}"


def section(known: Published, found: Sequence[Record]) -> str:
    """What was measured of a system, and its pictures."""
    lines = [f"## {known.name}", "", known.claim, ""]
    for file, what in (("sheet.png", "frames of every arm"), ("plot.svg", "what was measured")):
        if (results.folder() / known.recipe / file).is_file():
            lines += [f"![{known.name}: {what}](../results/{known.recipe}/{file})", ""]
    lines += ["| expected beforehand | why | came out | held |", "|---|---|---|---|"]
    for checked, sides, held in outcomes(found):
        lines.append(f"| {' | '.join(map(plain, (checked.words, checked.why, sides, held)))} |")
    lines += ["", *numbers(found), "", "| run | seconds | commit | machine | holds | |"]
    lines.append("|---|---|---|---|---|---|")
    for run in found:
        cells = (
            run.file.removesuffix(".json").replace("-", " "),
            f"{run.seconds:.0f}",
            run.commit[:10],
            run.machine,
            "yes" if run.holds else "**no**",
            run.note,
        )
        lines.append(f"| {' | '.join(map(plain, cells))} |")
    return "\n".join([*lines, ""])


def numbers(found: Sequence[Record]) -> list[str]:
    """Quantities by arms, of the CPU's runs if there are any."""
    small = [run for run in found if run.scale == "cpu"] or found
    values = results.spread(small)
    arms = list(dict.fromkeys(arm for _, arm in values))
    lines = [f"| | {' | '.join(map(plain, arms))} |", f"|---|{'---|' * len(arms)}"]
    for quantity in dict.fromkeys(quantity for quantity, _ in values):
        cells = [ranged(values.get((quantity, arm))) for arm in arms]
        lines.append(f"| {plain(quantity)} | {' | '.join(cells)} |")
    return lines


def errata() -> str:
    """Everything the survey has wrong."""
    lines = ["## Where the survey says otherwise", ""]
    for found in catalogue.corrections().values():
        lines.append(f"- **{found.key}** Survey: {found.survey}. In fact: {found.fact}.")
    return "\n".join([*lines, ""])


def thumbnail(known: Published) -> str:
    """A small picture, or a word where there is none."""
    if not (results.folder() / known.recipe / "sheet.png").is_file():
        return "numbers"
    return f'<img src="../results/{known.recipe}/sheet.png" width="160" alt="{known.name}">'


def anchor(known: Published) -> str:
    """Where the page's section of a system is."""
    return "".join(c for c in known.name.lower().replace(" ", "-") if c.isalnum() or c == "-")


def figures(values: Sequence[float]) -> str:
    """Median, least and most."""
    known = sorted(value for value in values if value == value)
    return ranged((statistics.median(known), known[0], known[-1]) if known else None)


def ranged(three: tuple[float, float, float] | None) -> str:
    """Median (least to most); one number where they are one."""
    if three is None:
        return "no number"
    middle, least, most = (f"{value:.3g}" for value in three)
    return middle if least == most else f"{middle} ({least} to {most})"


def plain(text: str) -> str:
    """As a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def recorded() -> Runs:
    """All runs kept, by recipe."""
    return {known.recipe: results.records(known.recipe) for known in catalogue.published()}


@click.command()
@click.option("--check", is_flag=True, help="Write nothing.")
def main(check: bool) -> None:
    """Writes docs/systems.md."""
    text = page(recorded())
    if check:
        sys.exit(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
