"""What all verbs share: `--json`, `--quiet`, one line on stderr when something is wrong, exit codes."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import click

from longtake import __version__
from longtake.errors import InputError, LongtakeError, MachineError, nearest

INTERRUPTED = 130
_PIPE = 141  # 128 + SIGPIPE: whoever read our lines has left
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclasses.dataclass(frozen=True)
class Voice:
    """How to speak: JSON lines on stdout, or words; words for people go to stderr."""

    json: bool = False
    quiet: bool = False

    def line(self, fields: Mapping[str, Any]) -> None:
        """A JSON line, at once, if those are wanted."""
        if self.json:
            click.echo(json.dumps(fields))

    def say(self, text: str) -> None:
        """A result for people, on stdout."""
        if not self.json and not self.quiet:
            click.echo(text)

    def note(self, text: str) -> None:
        """A remark on stderr."""
        if not self.quiet:
            click.echo(text, err=True)


def verb(
    name: str, examples: Sequence[str], *, kind: type[click.Command] | None = None, **extra: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with `--json` and `--quiet`, whose help ends with its examples."""
    epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples)

    def wrap(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def spoken(*args: Any, as_json: bool, quiet: bool, **values: Any) -> Any:
            return function(Voice(as_json, quiet), *args, **values)

        for option in (
            click.option("--quiet", is_flag=True, help="No progress, no remarks; errors only."),
            click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout."),
        ):
            spoken = option(spoken)
        options = {"context_settings": _CONTEXT, "epilog": epilog, **extra}
        made: click.Command = click.command(name, cls=kind or click.Command, **options)(spoken)
        return made

    return wrap


class Verbs(click.Group):
    """A group that names the nearest verb when it does not know one, and keeps their order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; InputError if there is none of that name."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            hint = nearest(args[0], self.commands)
            raise InputError(f"unknown verb '{args[0]}'", ctx.command_path, hint)
        return super().resolve_command(ctx, args)


_RESUMES = "longtake.resumes"  # in a context's notes: the same command goes on where it stopped


class _Stopped(Exception):
    """Something ended a verb: an error, and whether the same command goes on where it stopped."""


def resumable() -> None:
    """Notes that what the present verb has finished is kept, and will be found when it runs again."""
    click.get_current_context().meta[_RESUMES] = True


class House(Verbs):
    """The whole command line: every way to fail becomes one line and an exit code."""

    def __init__(self, **extra: Any) -> None:
        super().__init__(context_settings=_CONTEXT, no_args_is_help=True, **extra)
        show = click.version_option(
            __version__, prog_name="longtake", message="%(prog)s %(version)s"
        )
        show(self)

    def invoke(self, ctx: click.Context) -> Any:
        """The verb; what click itself would answer with other words and codes goes past it."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException):
            raise
        except (KeyboardInterrupt, Exception) as error:
            raise _Stopped(error, _RESUMES in ctx.meta) from error

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Runs a verb and leaves with its exit code."""
        words = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            code = super().main(words, "longtake", complete_var, False, **extra)
            sys.stdout.flush()
        except BaseException as error:
            code = _failed(error, words)
        sys.exit(code if isinstance(code, int) else 0)


def _failed(error: BaseException, words: list[str]) -> int:
    """Says what went wrong in one line; the exit code."""
    if isinstance(error, (SystemExit, GeneratorExit)):
        raise error
    resumes = False
    if isinstance(error, _Stopped):
        error, resumes = error.args
    if os.environ.get("LONGTAKE_TRACE"):
        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE
    again = f"longtake {shlex.join(words)}"
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        safe = "finished steps are safe; to go on: " if resumes else "again: "
        return _tell(f"longtake: interrupted; {safe}{again}", "interrupted", words, INTERRUPTED)
    known = _known(error)
    text = f"longtake: error: {known}"
    if isinstance(known, MachineError) and resumes:
        safe = "" if "safe" in known.what else "; finished steps are safe"
        text += f"{safe}; to go on: {again}"
    return _tell(text, str(known), words, known.exit_code)


def _known(error: BaseException) -> LongtakeError:
    """Any exception as one of ours."""
    if isinstance(error, LongtakeError):
        return error
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return InputError(error.format_message(), "command line", "longtake --help")
    if isinstance(error, MemoryError):
        return MachineError("out of memory", "", "a smaller --size")
    name, reason = type(error).__name__, " ".join(str(error).split())[:300]
    where = "LONGTAKE_TRACE=1 shows where"
    return MachineError(f"unexpected {name}: {reason}" if reason else f"unexpected {name}", where)


def _usage(error: click.UsageError) -> InputError:
    where = error.ctx.command_path if error.ctx is not None else "longtake"
    if isinstance(error, click.NoSuchOption):
        return InputError(f"unknown option '{error.option_name}'", where, _option(error))
    what = error.format_message().rstrip(".")
    return InputError(what[:1].lower() + what[1:], where, f"{where} --help")


def _option(error: click.NoSuchOption) -> str:
    if error.ctx is None:
        return "--help"
    known = [name for p in error.ctx.command.params for name in (*p.opts, *p.secondary_opts)]
    close = nearest(error.option_name, [name for name in known if name.startswith("--")])
    return close if "," not in close else f"{error.ctx.command_path} --help"


def _tell(text: str, short: str, words: list[str], code: int) -> int:
    click.echo(" ".join(text.split()), err=True)
    if "--json" in words:
        try:
            click.echo(json.dumps({"event": "failed", "error": short}))
        except OSError:
            return code
    return code


def absent(what: str, hint: str) -> NoReturn:
    """Refuses what this version does not have."""
    raise InputError(f"{what} is not part of this version", "longtake", hint)
