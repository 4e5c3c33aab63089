"""From the command line's words to a running server."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from h11 import LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol

from longtake import recipes
from longtake.brief.systems import load_system
from longtake.controls import Planner
from longtake.engine.executors import check_executor
from longtake.errors import InputError
from longtake.studio.app import make_app
from longtake.studio.gate import LOCAL, Users, is_loopback
from longtake.studio.limits import LIMITS

_SHORTEST = 16  # characters of a token
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_LEAVE = 3  # seconds that open answers have when the server is stopped


class _Prompt(H11Protocol):
    """A connection on which the head of a request must come soon: whoever says nothing, or lets it drip, loses it."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait(True)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait(self.cycle is None or self.cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(False)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        # what the head asked for, before the body broke, is nobody's any more
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        with contextlib.suppress(LocalProtocolError):  # it may have been answered already
            super().send_400_response(msg)
        self.transport.close()

    def _wait(self, unsaid: bool) -> None:
        """Begins to lose patience, or goes on losing it, while a head is not all there."""
        if unsaid and self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(LIMITS.header_wait, self.transport.close)
        elif not unsaid and self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _Server(uvicorn.Server):
    """A server that tells its application before it waits for open answers to end."""

    def __init__(self, config: uvicorn.Config, gate: Any) -> None:
        super().__init__(config)
        self._state = gate.app.state

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._state.leave()
        await super().shutdown(sockets)


def serve(
    *,
    folder: Path,
    host: str,
    port: int,
    names: Sequence[str],
    tokens: Sequence[str],
    models: Sequence[str],
    device: str,
    executor: str,
    planner: Planner | None = None,
    ready: Callable[[str], None],
) -> None:
    """Serves until it is interrupted. ready: is told the address once the port is taken.

    Raises InputError before anything is written for what cannot be served.
    """
    users = read_tokens(tokens)
    bound = _address(host)
    if not users and not is_loopback(bound):
        hint = f"--token {secrets.token_urlsafe(18)}, or --host 127.0.0.1"
        raise InputError("anybody could come in without a token", f"--host {host}", hint)
    chosen = _named(models or (recipes.DEFAULT,))
    check_executor(executor)
    _check_folder(folder)
    listener = _listener(bound, port)
    app = make_app(
        folder,
        host=host,
        names=tuple(names),
        tokens=users,
        models=chosen,
        device=device,
        executor=executor,
        planner=planner,
    )
    config = uvicorn.Config(
        app,
        http=_Prompt,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_LEAVE,
        limit_concurrency=LIMITS.connections,
    )
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{listener.getsockname()[1]}/")
    _Server(config, app).run(sockets=[listener])


def read_tokens(texts: Sequence[str]) -> dict[str, str]:
    """Users by token out of `TOKEN` or `NAME=TOKEN`, and of $LONGTAKE_STUDIO_TOKEN, by spaces.

    Without a name a user is called by the token's hash, as the folder that holds the films.
    """
    found: dict[str, str] = {}
    for text in (*texts, *os.environ.get("LONGTAKE_STUDIO_TOKEN", "").split()):
        name, _, token = text.partition("=")
        if not token.strip("=") or not _NAME.fullmatch(name):  # base64 may end in such marks
            name, token = "", text
        if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            what = "a token of fewer than 16 plain characters"
            raise InputError(what, "--token", f"--token {secrets.token_urlsafe(18)}")
        found[token] = name or f"user-{Users.cookie(token)[:16]}"
    if LOCAL in found.values():
        raise InputError(f"'{LOCAL}' is whoever needs no token", "--token", "--token me=...")
    return found


def _named(models: Sequence[str]) -> dict[str, str]:
    """Models by the names that users see: a file's function or a folder's name, never a path."""
    found: dict[str, str] = {}
    for model in models:
        load_system(model)
        name = model.rpartition(":")[2] if ".py:" in model else Path(model).name
        if name in found:
            what = f"two models called '{name}'"
            raise InputError(what, f"--model {model}", "a function of another name")
        found[name] = model
    return found


def _address(host: str) -> str:
    """The address that a name or a number is bound to."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        raise InputError(f"no address '{host}' here", "--host", "--host 127.0.0.1") from None


def _listener(address: str, port: int) -> socket.socket:
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(kind, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        what = f"cannot listen there: {(error.strerror or str(error)).lower()}"
        raise InputError(what, f"--host {address} --port {port}", "--port 0") from None
    listener.set_inheritable(False)
    return listener


def _check_folder(folder: Path) -> None:
    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise InputError("no folder can be there", f"--folder {folder}", "--folder studio")
    strange = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    if strange and not {"jobs.jsonl", "lock"} & set(strange):
        what = "holds other files, and no studio"
        raise InputError(what, f"--folder {folder}", f"--folder {folder / 'studio'}")
