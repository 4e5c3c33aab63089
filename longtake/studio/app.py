"""The ASGI application: the page, the API, and every error as one line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from longtake import recipes
from longtake.controls import Planner
from longtake.errors import InputError, MachineError
from longtake.studio import openapi
from longtake.studio.films import Shelf
from longtake.studio.foreman import Foreman
from longtake.studio.gate import Gate, Hosts, Users, error_body
from longtake.studio.limits import LIMITS, Limits
from longtake.studio.paths import Paths

PAGE = Path(__file__).parent / "page"
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def make_app(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    tokens: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
    device: str = "",
    executor: str = "serial",
    limits: Limits = LIMITS,
    planner: Planner | None = None,
) -> Gate:
    """The studio over `folder`, which it makes, as an ASGI application.

    host: what it is bound to; names: others under which it may be addressed. tokens: a user's name
    by token; none: one user, who needs no token. models: what they may choose by the
    name they see, the first by default; the built-in model if absent. planner: makes storyboards of
    prompts, instead of the model's own or a rule.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shelf, users = (
        Shelf(
            folder.resolve(), models or {recipes.DEFAULT: recipes.DEFAULT}, device, limits, planner
        ),
        Users(tokens or {}),
    )
    served = _App(shelf, executor, users)
    return Gate(served.app, users=users, hosts=Hosts(host, names), limits=limits)


class _App:
    """Routes over the paths, which stand when the event loop does."""

    def __init__(self, shelf: Shelf, executor: str, users: Users) -> None:
        self._shelf, self._executor, self._users = shelf, executor, users
        self._paths: Paths | None = None
        routes = [self._route(entry) for entry in openapi.ENTRIES]
        routes += [Route("/openapi.json", _document), Route("/", _page)]
        routes += [Route("/page/{name}", _page)]
        handlers = {
            HTTPException: _http,
            ClientDisconnect: _gone,
            InputError: self._input,
            MachineError: self._machine,
            OSError: self._machine,
        }
        handled: Any = handlers
        self.app = Starlette(routes=routes, lifespan=self._living, exception_handlers=handled)
        self.app.router.redirect_slashes = False

    @contextlib.asynccontextmanager
    async def _living(self, app: Starlette) -> AsyncIterator[None]:
        foreman = Foreman(self._shelf, self._executor)
        await foreman.start()
        self._paths = Paths(self._shelf, foreman, self._users)
        app.state.leave = self._paths.leave
        try:
            yield
        finally:
            await foreman.close()

    def _route(self, entry: openapi.Entry) -> Route:
        async def answer(request: Request) -> Response:
            found: Response = await getattr(self._paths, entry.handler)(request)
            return found

        return Route(entry.path, answer, methods=[entry.method])

    async def _input(self, request: Request, error: Exception) -> Response:
        return JSONResponse(error_body(400, self._plain(str(error))), 400)

    async def _machine(self, request: Request, error: Exception) -> Response:
        return JSONResponse(error_body(507, self._plain(str(error))), 507)

    def _plain(self, text: str) -> str:
        """An error without the names of the server's own folders."""
        owned = request_free = text
        for part in (str(self._shelf.folder), str(self._shelf.folder.parent)):
            owned = request_free.replace(f"{part}/", "").replace(part, "the studio")
            request_free = owned
        return owned


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {
        404: "no such path; try GET /openapi.json",
        405: "not this method; try GET /openapi.json",
    }
    bare = error.detail in ("Not Found", "Method Not Allowed")
    what = known[error.status_code] if bare else error.detail
    body = error_body(error.status_code, what)
    return JSONResponse(body, error.status_code, headers=dict(error.headers or {}))


async def _gone(request: Request, error: Exception) -> Response:
    """Whoever leaves in the middle of a body hears nothing of it."""
    return Response(status_code=400)


async def _document(request: Request) -> Response:
    return JSONResponse(openapi.document())


async def _page(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    files = {file.name: file for file in PAGE.iterdir() if file.suffix in _KINDS}
    if name not in files:
        raise HTTPException(404, "no such file of the page; try /")
    headers = {"cache-control": "no-cache"}
    return FileResponse(files[name], media_type=_KINDS[files[name].suffix], headers=headers)
