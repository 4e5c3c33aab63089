"""The command line: verbs, one line for every error, exit codes. No torch until a film is made."""

from __future__ import annotations

from longtake.cli.base import House
from longtake.cli.doctor import doctor
from longtake.cli.export import export
from longtake.cli.film import generate, plan
from longtake.cli.prove import prove
from longtake.cli.runs import explain, gc
from longtake.cli.score import score
from longtake.cli.shelf import systems
from longtake.cli.studio import studio
from longtake.cli.train import train
from longtake.cli.verify import verify
from longtake.cli.worlds import data

__all__ = ["cli", "main"]

cli = House(
    name="longtake",
    help="Long videos out of models that only know short clips.",
    epilog="A film in one line:  longtake generate 'a calm sea at dawn' --out sea.mp4",
)

for _verb in (
    generate,
    plan,
    explain,
    train,
    score,
    prove,
    systems,
    data,
    studio,
    verify,
    export,
    doctor,
    gc,
):
    cli.add_command(_verb)


def main() -> None:
    """The console script."""
    cli.main(prog_name="longtake")
