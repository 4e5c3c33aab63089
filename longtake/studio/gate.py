"""Who may come in, and with how much: hosts, origins, tokens and bodies, before anything else is looked at."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longtake.studio.limits import Limits

COOKIE = "longtake_studio"
OWNER = "longtake.owner"
LOCAL = "local"  # the one user of a studio that asks for no token
_OPEN = ("/", "/v1/session", "/openapi.json")  # and below /page/: nothing of anybody's
_SAFE = ("GET", "HEAD")
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "style-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Users:
    """Tokens and whose they are. Without tokens there is one user, who needs none."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """tokens: a user's name by token."""
        self._names = {_hash(token): name for token, name in tokens.items()}
        self._cookies = {_cookie(token): name for token, name in tokens.items()}

    @property
    def open(self) -> bool:
        """Whether no token is asked for."""
        return not self._names

    def named(self, token: str) -> str | None:
        """Whose token it is."""
        return _found(self._names, _hash(token))

    def remembered(self, cookie: str) -> str | None:
        """Whose cookie it is."""
        return _found(self._cookies, cookie)

    @staticmethod
    def cookie(token: str) -> str:
        """What a browser keeps instead of the token: the same after a restart, and no way back."""
        return _cookie(token)


class Hosts:
    """Names under which the studio may be addressed: a page elsewhere whose name is made to lead here has another.

    On a loopback address only that and `localhost`; else any address in numbers, and `names`.
    """

    def __init__(self, bound: str, names: tuple[str, ...] = ()) -> None:
        self._names = {name.lower() for name in (bound, "localhost", *names)}
        self._loopback = is_loopback(bound)

    def knows(self, host: str) -> bool:
        """Whether a Host header is one of ours."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            _ = urlsplit(f"//{host}").port
        except ValueError:
            return False
        if not name or set(host) & set("/@?#\\ "):
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._loopback or name in self._names


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Gate:
    """ASGI middleware in front of the whole studio, which is `app`."""

    def __init__(self, app: ASGIApp, *, users: Users, hosts: Hosts, limits: Limits) -> None:
        self.app, self._users, self._hosts, self._limits = app, users, hosts, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request in, or answers it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        owner = self._owner(headers)
        refusal = self._refusal(scope, headers, owner)
        if refusal is not None:
            status, what, kind = refusal
            await _answer(send, status, what, kind)
            return
        scope[OWNER] = owner or ""
        most = self._limits.media if _is_upload(scope) else self._limits.body
        if _length(headers) > most:
            await _answer(send, 413, f"a body of more than {most} bytes; try a smaller one")
            return
        await self.app(scope, _Metered(receive, most, self._limits), _guarded(send))

    def _owner(self, headers: Headers) -> str | None:
        if self._users.open:
            return LOCAL
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._users.named(token.strip())
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE:
                return self._users.remembered(value)
        return None

    def _refusal(
        self, scope: Scope, headers: Headers, owner: str | None
    ) -> tuple[int, str, str] | None:
        host, path = headers.get("host", ""), scope["path"]
        if len(headers.getlist("host")) != 1 or not self._hosts.knows(host):
            what = f"this studio is not called {host[:100]!a}; try the address it printed"
            return 421, what, "host"
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        if origin is not None and not _same(origin, host, scope["scheme"]):
            return 403, "requests from pages elsewhere are refused; try the studio's own", "origin"
        visit = (
            scope["method"] in _SAFE and path == "/"
        )  # a link from elsewhere may lead to the page
        if site not in ("same-origin", "none") and not visit:
            return 403, "requests from pages elsewhere are refused; try the studio's own", "origin"
        if owner is None and path not in _OPEN and not path.startswith("/page/"):
            return 401, "no token, or not a known one; try Authorization: Bearer TOKEN", "token"
        return None


class _Metered:
    """A request's body, refused where it is too long or too slow."""

    def __init__(self, receive: Receive, most: int, limits: Limits) -> None:
        self._receive, self._left, self._limits = receive, most, limits
        self._over, self._deadline = False, 0.0

    async def __call__(self) -> Message:
        if self._over:  # only its end is waited for, which may be hours away
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._deadline = self._deadline or now + self._limits.body_wait
        wait = min(self._limits.chunk_wait, self._deadline - now)
        try:
            message = await asyncio.wait_for(self._receive(), max(wait, 0.001))
        except TimeoutError:
            raise HTTPException(408, "the body came too slowly; try again") from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, "the body is too long; try a smaller one")
        self._over = not message.get("more_body", False)
        return message


def _guarded(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sent


async def _answer(send: Send, status: int, what: str, kind: str = "size") -> None:
    body = json.dumps(error_body(status, what, kind)).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(body)).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="longtake studio"'))
    start = {"type": "http.response.start", "status": status, "headers": headers}
    await _guarded(send)(start)
    await send({"type": "http.response.body", "body": body})


def error_body(status: int, what: str, kind: str = "") -> dict[str, Any]:
    """An error as rivals' clients expect it: one line under `error.message`."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    told = {"message": what, "type": kinds.get(status, fallback), "code": kind or None}
    return {"error": {**told, "param": None}}


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "PUT" and "/media/" in scope["path"]


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 16 else 1 << 60


def _same(origin: str, host: str, scheme: str) -> bool:
    """Whether an Origin header is the page that the Host header names; a proxy may have added TLS."""
    return origin.lower() in {f"{kind}://{host}".lower() for kind in (scheme, "https")}


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _cookie(token: str) -> str:
    return hmac.new(token.encode(), b"longtake studio cookie", hashlib.sha256).hexdigest()


def _found(table: Mapping[str, str], key: str) -> str | None:
    """A look-up whose time tells nothing: all are compared, each to its end."""
    found = None
    for known, name in table.items():
        if hmac.compare_digest(known.encode(), key.encode("utf-8", "surrogatepass")):
            found = name
    return found
