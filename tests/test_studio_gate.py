"""Who may come into the studio: hosts, origins, tokens, sizes; and what hostile requests achieve, which is nothing."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from studio_parts import ROOT, TOY, Server, board, studio

from longtake.errors import InputError
from longtake.studio import openapi
from longtake.studio.gate import COOKIE, Gate, Hosts, Users
from longtake.studio.limits import Limits
from longtake.studio.serving import read_tokens, serve

ADA, BOB = "ada-and-her-token-1", "bob-and-his-token-2"
SMALL = Limits(body=20_000, media=50_000, videos=40, queued=2, files=3, frames=1000, shots=5)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A studio of one user who needs no token."""
    with studio(tmp_path_factory.mktemp("open") / "films", limits=SMALL) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A studio of two users."""
    folder = tmp_path_factory.mktemp("shared") / "films"
    tokens = {ADA: "ada", BOB: "bob"}
    with studio(folder, limits=SMALL, tokens=tokens, names=("films.example",)) as found:
        yield found


def message(response: Any) -> str:
    """The one line of an error."""
    found = response.json()["error"]["message"]
    assert isinstance(found, str) and "\n" not in found and "; try " in found, found
    return found


# --- hosts and origins


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "10.0.0.1", "a@127.0.0.1"],
)
def test_another_name_is_refused(client: TestClient, host: str) -> None:
    found = client.get("/v1/videos", headers={"host": host})
    assert found.status_code == 421 and "not called" in message(found)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1234", "[::1]:8000"])
def test_this_machine_s_names_are_known(client: TestClient, host: str) -> None:
    assert client.get("/v1/videos", headers={"host": host}).status_code == 200


def test_names_where_others_may_come(shared: TestClient) -> None:
    hosts = Hosts("0.0.0.0", ("films.example",))
    assert hosts.knows("192.168.1.5:8000") and hosts.knows("films.example")
    assert not hosts.knows("evil.example") and not Hosts("127.0.0.1").knows("192.168.1.5")
    asked = {"host": "films.example", **bearer(ADA)}
    assert shared.get("/v1/videos", headers=asked).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "http://localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/videos"),
        ("POST", "/v1/videos"),
        ("GET", "/v1/session"),
        ("OPTIONS", "/v1/videos"),
        ("GET", "/page/app.js"),
    ],
)
def test_pages_elsewhere_read_and_start_nothing(
    client: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    found = client.request(method, path, headers=headers)
    assert found.status_code == 403 and "elsewhere" in message(found)
    assert not [name for name in found.headers if name.startswith("access-control")]


def test_the_own_page_and_links_to_it_are_let_in(client: TestClient) -> None:
    own = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert client.get("/v1/videos", headers=own).status_code == 200
    linked = client.get("/", headers={"sec-fetch-site": "cross-site"})
    assert (
        linked.status_code == 200
        and "frame-ancestors 'none'" in linked.headers["content-security-policy"]
    )


# --- tokens and users


def test_without_a_token_nothing_can_be_read_or_started(shared: TestClient) -> None:
    name = f"video_{'0' * 24}"
    for entry in openapi.ENTRIES:
        if entry.path == "/v1/session":
            continue
        path = entry.path.format(id=name, number=0, take=0, name="a.jpg")
        for headers in (
            {},
            bearer("wrong"),
            {"cookie": f"{COOKIE}=x"},
            {"cookie": f"{COOKIE}={ADA}"},
        ):
            found = shared.request(entry.method, path, headers=headers)
            assert found.status_code == 401 and "token" in message(found), path
    assert shared.get("/v1/session").json() == {
        "object": "session",
        "token_needed": True,
        "user": None,
    }


def test_a_token_or_the_cookie_for_it(shared: TestClient) -> None:
    assert shared.get("/v1/videos", headers=bearer(ADA)).status_code == 200
    assert shared.post("/v1/session", json={"token": "nearly"}).status_code == 401
    assert shared.post("/v1/session", json={"token": 3}).status_code == 401
    found = shared.post("/v1/session", json={"token": BOB})
    text = found.headers["set-cookie"].lower()
    assert "httponly" in text and "samesite=strict" in text and BOB not in text
    shared.cookies.clear()
    kept = {"cookie": f"{COOKIE}={Users.cookie(BOB)}"}
    assert shared.get("/v1/session", headers=kept).json()["user"] == "bob"


def test_users_do_not_see_each_other(shared: TestClient) -> None:
    asked = board(2)
    name = shared.post("/v1/videos", json=asked, headers=bearer(ADA)).json()["id"]
    assert [v["id"] for v in shared.get("/v1/videos", headers=bearer(ADA)).json()["data"]] == [name]
    assert shared.get("/v1/videos", headers=bearer(BOB)).json()["data"] == []
    for entry in openapi.ENTRIES:
        if "{id}" in entry.path:
            path = entry.path.format(id=name, number=0, take=0, name="a.jpg")
            found = shared.request(entry.method, path, headers=bearer(BOB), json={"shot": []})
            assert found.status_code == 404, path
    assert shared.get(f"/v1/videos/{name}", headers=bearer(ADA)).json()["status"] == "draft"


def test_tokens_are_named_long_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAKE_STUDIO_TOKEN", raising=False)
    named = read_tokens(["ada=0123456789abcdef", "0123456789abcdeg="])
    assert named["0123456789abcdef"] == "ada" and named["0123456789abcdeg="].startswith("user-")
    monkeypatch.setenv("LONGTAKE_STUDIO_TOKEN", "one=aaaaaaaaaaaaaaaa two=bbbbbbbbbbbbbbbb")
    assert sorted(read_tokens([]).values()) == ["one", "two"]
    for wrong in ("short", "local=0123456789abcdef", "ünlïke-a-token-at-all"):
        with pytest.raises(InputError):
            read_tokens([wrong])


# --- bodies


def test_huge_bodies_are_refused(client: TestClient) -> None:
    assert client.post("/v1/videos", content=b"x" * 20_001).status_code == 413
    pieces = (b"x" * 1000 for _ in range(100))  # of a length that nobody says
    found = client.post("/v1/videos", content=pieces, headers={"content-type": "application/json"})
    assert found.status_code == 413 and "too long" in message(found)
    name = client.post("/v1/videos", json=board(1)).json()["id"]
    pieces = (b"x" * 1000 for _ in range(100))
    assert client.put(f"/v1/videos/{name}/media/a.png", content=pieces).status_code == 413
    assert client.get(f"/v1/videos/{name}/media").json()["data"] == []


def test_a_body_that_drips_is_refused(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def sent(_: Any) -> None:
        raise AssertionError("no answer was due")

    gate = Gate(app, users=Users({}), hosts=Hosts("127.0.0.1"), limits=Limits(chunk_wait=0.1))
    headers = [(b"host", b"127.0.0.1")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/videos",
        "scheme": "http",
        "headers": headers,
    }
    with pytest.raises(Exception, match="too slowly"):
        asyncio.run(gate(scope, drip, sent))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "a sea", "second": 3}, "try seconds"),
        ({"prompt": "a sea", "seconds": "inf"}, "ever"),
        ({"prompt": "a sea", "seconds": -1}, "seconds"),
        ({"prompt": "a sea", "seconds": {}}, "seconds"),
        ({"prompt": "a sea", "seconds": 1e9}, "seconds"),
        ({"prompt": "a sea", "seconds": 101}, "at most 1000"),
        ({"prompt": "a sea", "size": "9999x9999"}, "4096"),
        ({"prompt": "a sea", "size": "4096x4096"}, "pixels"),
        ({"prompt": "a sea", "fps": [1]}, "frame rate"),
        ({"prompt": "a sea", "seed": "x"}, "seed"),
        ({"prompt": "a sea", "model": "tests/toy.py:toy"}, "try toy"),
        ({"prompt": "a sea", "model": ["toy"]}, "model"),
        ({"prompt": "a sea", "scheme": "hierarchie"}, "hierarchy"),
        ({"prompt": "a sea", "scheme": 3}, "scheme"),
        ({"prompt": "a sea", "settings": {"weights": "/etc/passwd"}}, "numbers"),
        ({"prompt": "a sea", "settings": {"slo": 1}}, "slow"),
        ({"prompt": "a sea", "repair": "mend"}, "repair"),
        ({"prompt": "a sea", "start": "yes"}, "start"),
        ({"prompt": "a sea", "title": "x" * 300}, "title"),
        ({"prompt": "a sea", "storyboard": {"shot": []}}, "both"),
        ({"storyboard": {"shot": []}}, "shots"),
        ({"storyboard": {"shot": [{"prompt": "a"}]}}, "seconds"),
        ({"storyboard": {"shot": [{"promt": "a", "seconds": 1}]}}, "try prompt"),
        ({"storyboard": {"shot": [{"prompt": "a", "seconds": 1}] * 6}}, "at most 5"),
        ({"storyboard": "[[shot]]\nprompt='a'\nseconds=inf"}, "has an end"),
        ({"storyboard": "[[shot]]\nprompt='a'\nseconds=1\nimages=['../film.json']"}, "leaves"),
        ({"storyboard": "x = = 1"}, "not TOML"),
        ({"storyboard": {"shot": [{"prompt": {"a": 1}, "seconds": 1}]}}, "plain value"),
    ],
)
def test_wrong_requests_are_told_what_and_what_to_try(
    client: TestClient, fields: dict[str, Any], word: str
) -> None:
    before = len(client.get("/v1/videos").json()["data"])
    found = client.post("/v1/videos", json=fields)
    assert found.status_code == 400 and word in message(found), found.text
    assert len(client.get("/v1/videos").json()["data"]) == before


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"prompt": NaN}', "application/json", 400),
        (b'{"prompt": "\\ud800"}', "application/json", 400),
        (b'{"seed": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b"[" * 15_000, "application/json", 400),
        (b'{"prompt": "a"}', "text/plain", 415),
        (b'{"prompt": "a"}', "application/x-www-form-urlencoded", 415),
    ],
)
def test_what_is_no_json_is_refused(
    client: TestClient, body: bytes, kind: str, status: int
) -> None:
    found = client.post("/v1/videos", content=body, headers={"content-type": kind})
    assert found.status_code == status and message(found)


def test_counts_are_limited(tmp_path: Path) -> None:
    limits = Limits(videos=2, queued=1)
    with studio(tmp_path / "films", limits=limits) as client:
        asked = {**board(60, slow=0.5), "start": True}
        assert client.post("/v1/videos", json=asked).status_code == 200
        assert client.post("/v1/videos", json=asked).status_code == 429
        assert client.post("/v1/videos", json={**asked, "start": False}).status_code == 200
        assert "too many" in message(client.post("/v1/videos", json={**asked, "start": False}))


# --- hostile requests by the hundred


def hostile(client: TestClient, folder: Path, count: int, seed: int) -> dict[int, int]:
    """Seeded malformed requests at real and invented paths; how often each status came."""
    chance = random.Random(seed)
    name = client.post("/v1/videos", json=board(1)).json()["id"]
    words = [
        name,
        "..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/etc/passwd",
        "a.jpg",
        "\u00e9",
        "0",
        "-1",
    ]
    words += [
        "%00",
        "a" * 300,
        "film.json",
        "..%5c..",
        "storyboard.toml",
        ".hidden.png",
        "video_" + "f" * 24,
    ]
    values: list[Any] = [
        None,
        0,
        -1,
        1e308,
        10**30,
        "",
        "x",
        "\x00",
        "9" * 400,
        [],
        {},
        [[]],
        True,
        "../x",
    ]
    keys = [
        "prompt",
        "seconds",
        "size",
        "seed",
        "storyboard",
        "model",
        "scheme",
        "settings",
        "shot",
        "fps",
        "x",
        "",
    ]
    heads = [
        "range",
        "last-event-id",
        "if-match",
        "content-type",
        "accept",
        "cookie",
        "authorization",
        "origin",
    ]
    found: dict[int, int] = {}
    for _ in range(count):
        entry = chance.choice(openapi.ENTRIES)
        parts = [
            chance.choice(words) if p[:1] == "{" or chance.random() < 0.05 else p
            for p in entry.path.split("/")[1:]
        ]
        if chance.random() < 0.6 and "{id}" in entry.path and len(parts) > 2:
            parts[2] = name
        path = "/" + "/".join(parts)
        if entry.handler in ("start", "events", "delete") and name in path:
            path += "?follow=false" if entry.handler == "events" else "/x"
        body: Any = {chance.choice(keys): chance.choice(values) for _ in range(chance.randrange(4))}
        if chance.random() < 0.3:
            body = {
                "shot": [body, chance.choice(values)],
                chance.choice(keys): chance.choice(values),
            }
        data = (
            json.dumps(body).encode()
            if chance.random() < 0.8
            else chance.randbytes(chance.randrange(200))
        )
        headers = {"content-type": chance.choice(["application/json", "application/toml", "x"])}
        if chance.random() < 0.4:
            headers[chance.choice(heads)] = chance.choice(
                ["bytes=-", "bytes=9-1", "x", "9" * 99, "\u00e9", "null"]
            )
        method = (
            entry.method
            if chance.random() < 0.8
            else chance.choice(["GET", "PUT", "POST", "TRACE", "PATCH"])
        )
        if method == "GET" and path.endswith("/events"):
            path += "?follow=false"
        response = client.request(
            method,
            path,
            content=data,
            headers={k: v.encode("utf-8") for k, v in headers.items()},  # type: ignore[misc]
        )
        assert response.status_code < 500, (method, path, headers, data, response.text)
        if response.status_code >= 400 and response.status_code != 416 and method != "HEAD":
            assert str(folder) not in response.text, (path, response.text)
            message(response)
        found[response.status_code] = found.get(response.status_code, 0) + 1
    return found


def test_hostile_requests_achieve_nothing(tmp_path: Path) -> None:
    (tmp_path / "beside.txt").write_text("untouched")
    folder = tmp_path / "films"
    with studio(folder, limits=Limits(body=20_000, videos=30)) as client:
        found = hostile(client, folder, 500, seed=5)
    assert sum(found[status] for status in found if status >= 400) > 300, found
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beside.txt", "films"]
    # The worker measures the machine once it is idle: whether it got there is chance.
    left = {p.name for p in folder.iterdir()} - {"figures.json"}
    assert left == {"jobs.jsonl", "lock", "local"}
    allowed = {"board", "film.json", "events.jsonl", "film.run", "pictures", "film.mp4"}
    for film in (folder / "local").iterdir():
        assert {p.name for p in film.iterdir()} <= allowed, film


@pytest.mark.parametrize(
    "name", ["..%2f__init__.py", "%2e%2e/app.py", "nothing.js", "../app.py", ""]
)
def test_the_page_s_files_are_all_that_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


# --- the command


def test_the_command_refuses_what_cannot_be_served(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for changed in (
            {"host": "0.0.0.0"},
            {"host": "no.such.host.example"},
            {"tokens": ["short"]},
            {"models": ["skyes"]},
            {"models": [TOY, TOY]},
            {"executor": "threads"},
            {"port": taken.getsockname()[1]},
            {"folder": tmp_path / "file"},
            {"folder": tmp_path / "full"},
        ):
            words: dict[str, Any] = {"folder": tmp_path / "new", "host": "127.0.0.1", "port": 0}
            words |= {"names": [], "tokens": [], "models": [], "device": "", "executor": "serial"}
            with pytest.raises(InputError, match="; try "):
                serve(**{**words, **changed}, ready=print)
    assert not (tmp_path / "new").exists()


def test_a_refusal_is_one_line_and_code_two(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "longtake", "studio", "--host", "0.0.0.0"]
    ended = subprocess.run(
        [*words, "--folder", str(tmp_path / "new")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith("longtake: error: ") and "--token" in ended.stderr


def test_connections_that_drip_are_closed(tmp_path: Path) -> None:
    with Server(tmp_path / "films") as server:
        port = int(server.address.rsplit(":", 1)[1].strip("/"))
        place, began = ("127.0.0.1", port), time.monotonic()
        with (
            socket.create_connection(place, timeout=30) as first,
            socket.create_connection(place, timeout=30) as second,
        ):
            first.sendall(b"GET / HTTP/1.1\r\nHost: ")
            second.sendall(b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert second.recv(1 << 16).startswith(b"HTTP/1.1 200")
            second.sendall(b"GET / HTTP/1.1\r\nHost: ")
            assert first.recv(1) == b"" and second.recv(1) == b""
        assert 5 < time.monotonic() - began < 25
        assert server.client.get("/v1/session").status_code == 200
