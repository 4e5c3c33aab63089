"""`studio`: the page on which films are directed, and its HTTP API."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import click

from longtake.cli.base import Voice, verb
from longtake.errors import InputError


@verb(
    "studio",
    (
        "longtake studio",
        "longtake studio --port 8000 --folder films --token me=SECRET --host 0.0.0.0",
    ),
    short_help="Direct films in the browser.",
)
@click.option("--host", default="127.0.0.1", metavar="NAME", help="Whom to listen to. [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, metavar="N", help="[8000]")
@click.option("--folder", default="studio", metavar="DIR", help="Where films live. [studio]")
@click.option("--token", "tokens", multiple=True, metavar="[NAME=]TOKEN", help="Who may come in.")
@click.option("--name", "names", multiple=True, metavar="HOST", help="Another name for --host.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME|FILE.py:FUNC", help="To choose from."
)
@click.option("--device", default="", metavar="NAME", help="cpu, cuda, cuda:1 or mps.")
@click.option("--planner", default="", metavar="URL", help="An OpenAI-compatible endpoint.")
@click.option("--planner-model", default="", metavar="NAME", help="Of that endpoint.")
@click.option("--executor", default="serial", metavar="KIND", help="As of generate. [serial]")
def studio(
    voice: Voice,
    host: str,
    port: int,
    folder: str,
    tokens: tuple[str, ...],
    names: tuple[str, ...],
    models: tuple[str, ...],
    device: str,
    planner: str,
    planner_model: str,
    executor: str,
) -> None:
    """Serve a page on which films are written, made, watched and changed shot by shot.

    Users do not see each other's films. Without --token only this machine may come in; tokens are
    also read from LONGTAKE_STUDIO_TOKEN, by spaces. With --planner a language model there turns briefs
    into storyboards (its key in LONGTAKE_PLANNER_KEY). Stop it at any time: films go on when it is back.
    """
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        what = f"the studio needs {' and '.join(missing)}"
        raise InputError(what, "longtake studio", "pip install 'longtake[studio]'")
    if not folder.strip() or "\0" in folder:
        raise InputError("no name for a folder", f"--folder {folder!r}", "--folder studio")
    from longtake.prompts.endpoint import Endpoint
    from longtake.studio.serving import serve

    key = os.environ.get("LONGTAKE_PLANNER_KEY", "")
    asked = Endpoint(planner, planner_model, key) if planner else None

    def ready(address: str) -> None:
        voice.line({"event": "serving", "address": address, "folder": folder})
        voice.say(f"{address}  (films in {folder}; Ctrl-C stops, and nothing is lost)")

    serve(
        folder=Path(folder),
        host=host,
        port=port,
        names=names,
        tokens=tokens,
        models=models,
        device=device,
        executor=executor,
        planner=asked,
        ready=ready,
    )
