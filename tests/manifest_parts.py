"""Parts for the tests of manifests: films of the toy, their manifests, what `verify` says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from longtake.cli import cli
from longtake.engine.manifest import manifest_path, own_digest

TOY = f"{Path(__file__).parent / 'toy.py'}:toy"
FILM, BESIDE = Path("film.mp4"), Path("film.mp4.manifest.json")

MINE = '''"""A toy with a knob that shifts what it paints."""
import dataclasses
from toy import Drift, toy
from longtake.clip import Clip, ClipSpec
from longtake.system import Part

class Shifted(Drift):
    def sample(self, request):
        clip = super().sample(request)
        return Clip(clip.frames + (SHIFT + self.shift) / 255, clip.at)

SHIFT = 0.0

def mine(*, shift: float = 0.0, name: str = "plain"):
    spec = ClipSpec(8, (3, None, None), f"shifted {shift}")
    def make():
        model = Shifted(spec, 0.0)
        model.shift = shift
        return model
    stage = dataclasses.replace(toy().stages[0], models={"clip": Part(spec, make)})
    return dataclasses.replace(toy(), stages=(stage,))
'''


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def make(out: str = "film.mp4", *words: str, model: str = TOY) -> bytes:
    """A film of the command line; its manifest's bytes."""
    asked = ("generate", "m", "--model", model, "--frames", "70", "--quiet", *words)
    result = run(*asked, "--out", out)
    assert result.exit_code == 0, result.stderr
    return manifest_path(out).read_bytes()


def verify(*words: str, model: str = TOY, code: int = 0) -> list[dict[str, Any]]:
    """The JSON lines of a verification."""
    result = run("verify", *words, "--model", model, "--json")
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def failing(line: dict[str, Any]) -> set[str]:
    return {name for name, check in line["checks"].items() if not check["holds"]}


def edited(change: Callable[[dict[str, Any]], Any], *, signed: bool = True) -> None:
    """Changes the manifest; signed: as somebody would who knows how its digest is made."""
    manifest = json.loads(BESIDE.read_text())
    change(manifest)
    if signed:
        manifest["digest"] = own_digest(manifest)
    BESIDE.write_text(json.dumps(manifest))


def refused(*words: str) -> str:
    plain, told = (run("verify", *words, *more) for more in ((), ("--json",)))
    assert plain.exit_code == told.exit_code == 2, plain.output
    assert plain.stderr == told.stderr and plain.stderr.count("\n") == 1
    assert plain.stderr.startswith("longtake: error: ") and "; try " in plain.stderr
    return plain.stderr
