"""`prove`: a published system's claim, checked by experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from longtake.brief.numbers import read_seed
from longtake.cli.base import Voice, resumable, verb
from longtake.cli.progress import clock
from longtake.errors import ClaimError, InputError


@verb(
    "prove",
    ("longtake prove fdm --seed 1", "longtake prove fdm mcvd --json"),
    short_help="Check a published system's claim by experiment.",
)
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--seed", metavar="N", help="What chance starts from. [0]")
@click.option("--scale", metavar="cpu|gpu", default="cpu", help="How large. [cpu]")
@click.option("--device", metavar="NAME", help="Where it is computed. [cpu, or cuda at scale gpu]")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where it stands and goes on; the user's cache if absent.",
)
@click.option(
    "--hurry",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    metavar="SHARE",
    help="A trial with that share of the steps; its numbers mean nothing.",
)
def prove(
    voice: Voice,
    names: tuple[str, ...],
    seed: str | None,
    scale: str,
    device: str | None,
    run: Path | None,
    hurry: float,
) -> None:
    """Train a system and what it is compared with, measure, and say whether its claim holds."""
    from longtake.lab import catalogue
    from longtake.lab import prove as bench
    from longtake.lab.bench import Lab
    from longtake.lab.home import home

    if not names:
        raise InputError("nothing to prove", "longtake prove", " ".join(catalogue.provable()))
    if run is not None and len(names) > 1:
        raise InputError("one folder for several proofs", f"--run {run}", "one NAME, or no --run")
    start = read_seed(seed) if seed is not None else 0
    proofs = {name: bench.proof_of(name) for name in names}
    failed = []
    resumable()
    for name, proof in proofs.items():
        folder = run or home(name.replace("-", "_"), start, scale)
        lab = Lab(folder, start, scale, device or ("cuda" if scale == "gpu" else "cpu"), hurry)
        voice.note(f"{name}: {proof.claim}")
        voice.note(f"about {clock(60 * proof.minutes)} on two cores; kept in {folder}")
        result = _proven(voice, bench.prove(name, lab))
        _tell(voice, result)
        if not result["holds"]:
            failed.append(name)
    if failed:
        raise ClaimError(f"does not hold: {', '.join(failed)}", "longtake prove")


def _proven(voice: Voice, events: Any) -> dict[str, Any]:
    """The result; training and measurements are told as they come."""
    result: dict[str, Any] = {}
    for event in events:
        line = event.line()
        voice.line(line)
        if line["event"] == "proved":
            result = event.result
        elif voice.json:
            continue
        elif line["event"] == "measured":
            voice.note(f"{event.quantity}  {event.arm}: {event.value:.4g}")
        elif line["event"] == "logged" and event.logged.step % 100 == 0:
            told = "  ".join(f"{k} {v:.4g}" for k, v in event.logged.losses.items())
            voice.note(f"{event.arm}: step {event.logged.step} of {event.of}  {told}")
    return result


def _tell(voice: Voice, result: dict[str, Any]) -> None:
    """Table and verdict."""
    arms = list(dict.fromkeys(one["arm"] for one in result["measured"]))
    values: dict[str, dict[str, float]] = {}
    for one in result["measured"]:
        values.setdefault(one["quantity"], {})[one["arm"]] = one["value"]
    wide = max((len(name) for name in values), default=8) + 2
    voice.say("".ljust(wide) + "".join(arm.rjust(max(12, len(arm) + 2)) for arm in arms))
    for quantity, row in values.items():
        cells = [f"{row[arm]:.4g}" if arm in row else "-" for arm in arms]
        pairs = zip(arms, cells, strict=True)
        voice.say(quantity.ljust(wide) + "".join(c.rjust(max(12, len(a) + 2)) for a, c in pairs))
    for one in result["expectations"]:
        voice.say(f"{'holds' if one['holds'] else 'DOES NOT HOLD'}  {one['words']}  ({one['why']})")
    if not result["whole"]:
        voice.say("a trial in a hurry: these numbers mean nothing")
    voice.say(f"{result['name']}: {'holds' if result['holds'] else 'does not hold'}")
