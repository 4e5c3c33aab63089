"""Published systems, one file each: a function whose keyword arguments are its knobs, returning a System.

Nothing here imports a recipe before it is asked for.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from longtake.errors import InputError, LongtakeError, nearest
from longtake.keys import fingerprint
from longtake.system import Recipe

__all__ = ["DEFAULT", "find", "load", "names", "source", "title"]

DEFAULT = "skies"
_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The built-in recipes."""
    return tuple(sorted(_files()))


def title(name: str) -> str:
    """First line of a built-in recipe's docstring, read without running it."""
    return (ast.get_docstring(ast.parse(source(name))) or "").partition("\n")[0]


def source(name: str) -> str:
    """A built-in recipe's text."""
    return _files()[name].read_text(encoding="utf-8")


def _files() -> dict[str, Path]:
    """Every recipe and its file: NAME.py, or NAME/__init__.py."""
    files = {path.stem: path for path in _FOLDER.glob("*.py")}
    files |= {path.parent.name: path for path in _FOLDER.glob("*/__init__.py")}
    return {name: path for name, path in files.items() if not name.startswith("_")}


def find(name: str) -> Recipe:
    """A built-in recipe, or the function of `FILE.py:FUNCTION`, whose file is run."""
    file, colon, function = name.rpartition(":")
    if colon and file.endswith(".py"):
        return load(Path(file), function)
    plain = name.replace("-", "_")
    if plain not in names():
        what, hint = f"unknown model '{name}'", nearest(plain, names()) or "FILE.py:FUNCTION"
        raise InputError(what, "--model", hint)
    recipe: Recipe = getattr(importlib.import_module(f"longtake.recipes.{plain}"), plain)
    return recipe


def load(path: Path, function: str) -> Recipe:
    """The function of a local file that the user named; the file is executed."""
    if not path.is_file():
        raise InputError("no such recipe file", str(path), "the path of an existing .py file")
    module = _run(path.resolve())
    found = getattr(module, function, None)
    if not callable(found):
        own = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise InputError(f"no function '{function}'", str(path), nearest(function, own))
    recipe: Recipe = found
    return recipe


def _run(path: Path) -> ModuleType:
    name = f"longtake_file_{fingerprint([str(path), path.stat().st_mtime_ns])}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError("not a Python file", str(path), "FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except LongtakeError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            _blame(error), f"{path}, line {_line(error, path)}", "a mended file"
        ) from error
    return module


def _blame(error: Exception) -> str:
    return f"the recipe file fails: {type(error).__name__}: {error}"


def _line(error: Exception, path: Path) -> int | str:
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    inside = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
    ]
    return inside[-1] if inside and inside[-1] is not None else "?"
