"""The documents run: every example in Python, every command line as far as parsing, every link.

Blocks under one `## ` heading share their names and a folder; a block that begins with `# NAME.py`
or `# NAME.toml` is saved there under that name before the blocks after it run.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from longtake import recipes
from longtake.cli import cli

ROOT = Path(__file__).parent.parent
TOY = f"{Path(__file__).parent / 'toy.py'}:toy"
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLES = (
    "README.md",
    "guide.md",
    "extending.md",
    "worlds.md",
    "datasets.md",
    "families.md",
)  # documents with examples in Python
LANGUAGES = {"", "python", "sh", "toml"}


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block. line: where its text begins in the document."""

    language: str
    line: int
    text: str


@dataclasses.dataclass(frozen=True)
class Section:
    """What stands under one heading."""

    title: str
    blocks: tuple[Block, ...]


def sections(text: str) -> Iterator[Section]:
    """A document by its `## ` headings; what a fence is is told strictly, so that none is overlooked."""
    title, blocks, fence = "", list[Block](), None
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if fence is not None:
            if line.rstrip() == "```":
                blocks.append(fence)
                fence = None
            else:
                fence = dataclasses.replace(fence, text=fence.text + line)
        elif line.lstrip().startswith(("```", "~~~")):
            language = line.rstrip().removeprefix("```")
            assert language in LANGUAGES, f"line {number}: a block of '{language}'"
            fence = Block(language, number + 1, "")
        elif line.startswith("## "):
            yield Section(title, tuple(blocks))
            title, blocks = line[3:].strip(), []
    assert fence is None, f"the block at line {fence and fence.line} does not end"
    yield Section(title, tuple(blocks))


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def run(section: Section, name: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs a section's examples in the folder we stand in; how many there were."""
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # dataclasses look their module up
    ran = 0
    for block in section.blocks:
        saved = re.match(r"# (\w+\.(?:py|toml))\n", block.text)
        if saved:
            Path(saved[1]).write_text(block.text, encoding="utf-8")
        if block.language == "python":
            there = "\n" * (block.line - 1)  # so that a failure names the document's line
            exec(compile(there + block.text, name, "exec"), module.__dict__)
            ran += 1
    return ran


def parse(line: str) -> None:
    """Reads a command line as the command would; AssertionError if it would be refused."""
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="longtake")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"longtake {name} does not exist"
        command = command.commands[name]
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
    try:
        command.make_context(command.name, words, parent=context)
    except click.exceptions.Exit:
        pass  # --help, --version
    except click.ClickException as error:
        raise AssertionError(f"{line}: {error.format_message()}") from None


def commands(text: str) -> Iterator[str]:
    """The `longtake ...` lines of shell blocks."""
    for section in sections(text):
        for block in section.blocks:
            if block.language == "sh":
                lines = block.text.replace("\\\n", " ").splitlines()
                yield from (line for line in lines if line.startswith("longtake "))


def options(command: click.Command) -> set[str]:
    """All options of a command and of those below it."""
    found = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return found.union(*(options(each) for each in below)) | {"--help"}


def unknown(text: str) -> list[str]:
    """Commands and options that running text names in `code` and nobody knows."""
    wrong = []
    for code in re.findall(r"`([^`\n]+)`", prose(text)):
        verb = re.match(r"longtake ([a-z]+)", code)
        if verb and verb[1] not in cli.commands:
            wrong.append(code)
        known = options(cli.commands[verb[1]]) if verb and verb[1] in cli.commands else options(cli)
        if verb or code.startswith("--"):
            wrong += [word for word in re.findall(r"(?<!\S)--[a-z-]+", code) if word not in known]
    return wrong


def slugs(text: str) -> set[str]:
    """Anchors of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(text: str, folder: Path) -> list[str]:
    """Relative links and pictures that lead nowhere."""
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = folder / file if file else None
        if target is not None and not target.exists():
            wrong.append(link)
        elif anchor:
            there = text if target is None else target.read_text(encoding="utf-8")
            wrong += [] if anchor in slugs(there) else [link]
    return wrong


def examples() -> list[object]:
    """Every section with an example in it."""
    return [
        pytest.param(path, section, id=f"{path.stem}-{section.title}")
        for path in DOCUMENTS
        if path.name in EXAMPLES
        for section in sections(path.read_text(encoding="utf-8"))
        if any(block.language == "python" for block in section.blocks)
    ]


pytestmark = pytest.mark.usefixtures("here", "one_thread")


@pytest.mark.parametrize(("path", "section"), examples())
def test_examples_run(path: Path, section: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.name == "README.md":  # its films are long: the toy makes them
        monkeypatch.setattr(recipes, "DEFAULT", TOY)
    assert run(section, path.name, monkeypatch)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_example_is_overlooked_and_each_can_fail(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = [block for section in sections(text) for block in section.blocks]
    python = [block for block in found if block.language == "python"]
    assert bool(python) == (path.name in EXAMPLES)
    assert len(python) == sum("```py" in line for line in text.splitlines())
    for block in python:
        says = any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(block.text)))
        is_file = block.text.startswith("# ")
        assert says or is_file or path.name == "README.md", f"line {block.line} checks nothing"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_are_such_that_they_would_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = list(commands(text))
    assert len(lines) == len(re.findall(r"^longtake ", text, re.MULTILINE))
    for line in lines:
        parse(line.split(" #")[0].split(" | ")[0])
    assert unknown(text) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken(path.read_text(encoding="utf-8"), path.parent) == []


# --- that these checks can fail


def test_a_broken_example_fails_at_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# T\n\n## A\n\n```python\nx = 1\n```\n\n```python\n\nassert x == 2\n```\n\n## B\n\n```python\nx\n```\n"
    _, a, b = sections(text)
    with pytest.raises(AssertionError) as caught:
        run(a, "t.md", monkeypatch)
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == ("t.md", 11)
    with pytest.raises(NameError):
        run(b, "t.md", monkeypatch)  # sections share nothing


def test_a_file_of_an_example_is_there_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "```toml\n# a.toml\nx = 1\n```\n```python\nassert open('a.toml').read().endswith('x = 1\\n')\n```\n"
    (section,) = sections(text)
    assert run(section, "t.md", monkeypatch) == 1


@pytest.mark.parametrize(
    "text", ["```python\nx\n", "```pyhton\nx\n```\n", "  ```python\nx\n  ```\n"]
)
def test_a_fence_that_would_hide_an_example_is_refused(text: str) -> None:
    with pytest.raises(AssertionError):
        list(sections(text))


@pytest.mark.parametrize(
    "line",
    [
        "longtake genrate x",
        "longtake generate",
        "longtake generate x --secnds 3",
        "longtake generate x y",
        "longtake explain film.run twelve",
        "longtake data rendr sky --out a.mp4",
        "longtake data render sky",
        "longtake gc film.run --dry-run=yes",
    ],
)
def test_a_wrong_command_is_refused(line: str) -> None:
    with pytest.raises(AssertionError):
        parse(line)


def test_a_wrong_word_or_link_is_found(here: Path) -> None:
    assert unknown("`longtake genrate x`") == ["longtake genrate x"]
    assert unknown("`longtake gc x --seed 1` `--sed` `--seed`") == ["--seed", "--sed"]
    (here / "b.md").write_text("# B c\n")
    text = "# A\n[a](#a) [b](b.md#b-c) ![x](no.png) [b](b.md#c) [z](#z) [w](https://w.org/no)\n"
    assert broken(text, here) == ["no.png", "b.md#c", "#z"]
