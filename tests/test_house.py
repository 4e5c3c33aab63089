"""The house itself: who imports whom, what may import torch, lengths, exports, and what the documents promise."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import longtake
from longtake.cli import cli

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "longtake"
FILES = sorted(HOUSE.rglob("*.py"))

WORDS = {"errors", "keys", "steps", "clip", "controls", "system"}
SHELVES = {"schemes", "codecs", "prompts", "models", "worlds", "datasets", "metrics", "video"}
WITH_NETS = {"codecs", "models", "metrics", "prompts"}
DRIVERS = {"engine", "train"}
FACES = {"cli", "api", "brief", "studio", "__init__", "__main__"}
TORCH_FREE = {"errors", "keys", "steps", "schemes"}
ANYTHING = WORDS | SHELVES | DRIVERS | FACES | {"nets", "recipes", "lab"}

MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(WORDS, WORDS),
    **{shelf: WORDS | {shelf} for shelf in SHELVES},
    **{shelf: WORDS | {shelf, "nets"} for shelf in WITH_NETS},
    "datasets": WORDS | {"datasets", "video"},  # clips are files before they are anything else
    "worlds": WORDS | {"worlds", "video"},  # so are cut-outs
    **{driver: WORDS | {driver} for driver in DRIVERS},
    "nets": {"nets"},
    "recipes": WORDS | SHELVES | {"nets", "recipes", "train", "lab"},
    "lab": WORDS | SHELVES | {"nets", "recipes", "train", "lab"},
    **dict.fromkeys(FACES, ANYTHING),
}


def room(path: Path) -> str:
    """The room a file of the package stands in: `engine` for longtake/engine/run.py."""
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imports(path: Path, *, at_import_only: bool = False) -> Iterator[str]:
    """Full names of the modules a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_import_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "longtake":
            known = len(parts) > 1 and parts[1] in ANYTHING
            found.add(parts[1] if known else "__init__")
    names = [n for n in imports(path) if n.startswith("longtake.")]
    if names and all(n.split(".")[1] in ANYTHING for n in names if n.count(".") == 1):
        found.discard("__init__")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers(path: Path) -> None:
    assert room(path) in MAY_IMPORT, f"{room(path)} has no place in the house yet"
    strangers = rooms_imported(path) - MAY_IMPORT[room(path)]
    assert not strangers, f"{path.name} may not know {sorted(strangers)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_file_may_use(path: Path) -> None:
    heads = {name.split(".")[0] for name in imports(path)}
    if room(path) in TORCH_FREE:
        assert not heads & {"torch", "numpy"}
    if room(path) == "nets":
        assert heads <= {"torch", "longtake", "jaxtyping", "__future__"} | sys.stdlib_module_names
    if room(path) != "video":
        assert not heads & {"av", "PIL"}, "only longtake.video reads and writes media"
    assert not heads & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    calls = [node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    names = {ast.unparse(call) for call in calls}
    assert "torch.load" not in names, "loading is safetensors only"
    assert "print" not in names, "the library yields events; it never prints"


@pytest.mark.parametrize(
    "path",
    sorted(
        p
        for part in ("longtake", "tests", "tools", "benchmarks")
        for p in (ROOT / part).rglob("*.py")
    ),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_style_of_a_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500, "past 500 lines a file becomes a folder"
    if text.strip():
        assert "from __future__ import annotations" in text or path.name == "__init__.py"
        assert ast.get_docstring(ast.parse(text)), "a file says first what it is"


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(HOUSE)], "longtake.")
    return ["longtake", *sorted(info.name for info in found if not info.name.endswith("__main__"))]


@pytest.mark.parametrize("name", modules())
def test_exports_resolve(name: str) -> None:
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    missing = [public for public in names if not hasattr(module, public)]
    assert not missing


def test_the_front_door_is_lazy() -> None:
    code = (
        "import sys, longtake; before = 'torch' in sys.modules\n"
        "longtake.Storyboard, longtake.Plan, longtake.read_storyboard, longtake.find_scheme\n"
        "import longtake.engine, longtake.system, longtake.video, longtake.recipes, longtake.api\n"
        "assert not before and 'torch' not in sys.modules, 'torch came in'\n"
    )
    words = [sys.executable, "-c", code]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 0, ended.stderr
    with pytest.raises(AttributeError):
        _ = longtake.no_such_name


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == longtake.__version__
    assert f"## {longtake.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    for need in wanted:
        assert re.split(r"[><=~!\[ ]", need)[0].lower() in pins, need
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]


# --- what the documents promise


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> Iterator[list[str]]:
    """Words of every `longtake ...` line in a fenced block."""
    for block in re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.removeprefix("$ ").split(" #")[0].split(" |")[0].strip()
            if line.startswith("longtake "):
                yield shlex.split(line)[1:]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_commands_in_documents_exist(path: Path) -> None:
    for words in commands(path.read_text(encoding="utf-8")):
        if words[0].startswith("-") or words[0].isupper():
            continue
        command: click.Command = cli
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            name = words.pop(0)
            assert name in command.commands, f"longtake {name} does not exist"
            command = command.commands[name]
        options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {
            "--help"
        }
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0] in options, f"{command.name} {word} does not exist"


def test_the_readme_s_commands_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert list(commands(text)), "the README shows the command line"
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"^make ([a-z]+)", text, re.MULTILINE)
    assert {"film", "test"} <= set(named) <= targets
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} points to {target}"


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_storyboards_in_documents_are_read(path: Path) -> None:
    from longtake.prompts.storyboard import parse_storyboard

    for block in re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        if "[[shot]]" in block:
            assert parse_storyboard(block).shots
