"""Hostile requests at a studio that holds a finished film of each of two users, and what they achieve.

    python benchmarks/hostile.py                        # 10,000 requests
    python benchmarks/hostile.py --count 500 --seed 3

A part are cases that schemathesis draws from the OpenAPI document, right and wrong ones; the rest are made by
hand: paths that climb, strangers, other users, pages elsewhere, names that were made to lead here,
bodies that are broken or huge, bytes that are no HTTP; and all the while slow clients that let requests drip.
Those by hand must get a 4xx, or nothing. Printed is how often each status came, the server's
memory and open files before and after, and whatever went wrong: a 5xx, an answer that tells a folder, a token or
another user's words, a file outside the folder, a film that changed. Exit code 1 if anything did.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parent.parent
TOY = f"{ROOT / 'tests' / 'toy.py'}:toy"
ADA, BOB = "ada-and-her-long-token", "bob-and-his-long-token"
WORDS = "a lighthouse nobody may know of"  # in Bob's film
SLOW = 40  # clients that drip
GROWN = 64 << 20  # bytes by which a server may be larger afterwards

Line = dict[str, Any]
Chance = random.Random


@dataclasses.dataclass
class Tally:
    """What came back, and what must not have."""

    statuses: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, kind: str, status: int, body: bytes, told: str, secrets: list[bytes]) -> None:
        """Counts an answer; status 0: the connection was closed without one."""
        self.statuses[f"{kind} {status}"] += 1
        if status >= 500:
            self.wrong.append(f"{status}: {told}")
        if kind != "drawn" and 0 < status < 400:
            self.wrong.append(f"{status} to what is hostile: {told}")
        for secret in secrets:
            if secret in body:
                self.wrong.append(f"told {secret!r}: {told}")


class Target:
    """A studio of two users in a world of its own, in which every file is known."""

    def __init__(self, world: Path) -> None:
        self.world, self.folder = world, world / "films"
        (world / "beside.txt").write_text("untouched")
        words = [sys.executable, "-m", "longtake", "studio", "--json", "--port", "0"]
        words += ["--folder", str(self.folder), "--model", TOY]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(world), "TMPDIR": str(world)}
        env["LONGTAKE_STUDIO_TOKEN"] = f"ada={ADA} bob={BOB}"
        self._log = (world / "log.txt").open("wb")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdout=pipe, stderr=self._log, env=env, cwd=world)
        assert self.process.stdout is not None
        self.address: str = json.loads(self.process.stdout.readline())["address"].rstrip("/")
        self.host = self.address.removeprefix("http://")
        self.place = (self.host.partition(":")[0], int(self.host.partition(":")[2]))
        for _ in range(200):  # the port is taken before the first request is answered
            with contextlib.suppress(OSError):
                self.ask(ADA, "GET", "/v1/session")
                return
            time.sleep(0.05)

    def ask(self, token: str, method: str, path: str, body: Line | None = None) -> bytes:
        """An honest request's answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, method=method)
        request.add_header("content-type", "application/json")
        request.add_header("authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: bytes = answer.read()
            return found

    def film(self, token: str, prompt: str) -> str:
        """A film that is finished; its name."""
        shot = {"prompt": prompt, "seconds": 4}
        asked = {"storyboard": {"seed": 1, "fps": 10, "shot": [shot, shot]}}
        name: str = json.loads(self.ask(token, "POST", "/v1/videos", asked))["id"]
        while json.loads(self.ask(token, "GET", f"/v1/videos/{name}"))["status"] != "completed":
            time.sleep(0.1)
        return name

    def send(self, data: bytes, wait: float = 30.0) -> tuple[int, bytes]:
        """Bytes to a connection of their own; status and body of the first answer, 0 for none."""
        found = b""
        with contextlib.suppress(OSError), socket.create_connection(self.place, wait) as client:
            with contextlib.suppress(OSError):  # it may have heard enough
                client.sendall(data)
            while piece := client.recv(1 << 16):
                found += piece
                if _whole(found):
                    break
        head, _, body = found.partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0), body

    def size(self) -> Line:
        """Bytes of the server's memory, and its open files."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [kilobytes] = [line.split()[1] for line in status.splitlines() if line[:6] == "VmRSS:"]
        files = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return {"memory": int(kilobytes) << 10, "files": files}

    def outside(self) -> dict[str, str]:
        """Files of its world that are not the studio's, by their hash."""
        found = {}
        for place in self.world.rglob("*"):
            if self.folder not in (place, *place.parents) and place.name != "log.txt":
                found[str(place)] = _hash(place.read_bytes()) if place.is_file() else ""
        return found

    def errors(self) -> list[str]:
        """What nobody caught in it: of every kind the last lines of one."""
        log = (self.world / "log.txt").read_text(errors="replace")
        parts = log.split("Traceback (most recent call last):\n")[1:]
        whole = [re.split(r"\n(?=\w)", part, maxsplit=1) for part in parts]
        last = {part[1].split("\n")[0]: part[0][-600:] for part in whole if len(part) > 1}
        return [f"{line} {place}" for line, place in last.items()]

    def close(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()


def _whole(data: bytes) -> bool:
    """Whether an answer is all there, as far as its head says."""
    head, parted, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if parted and line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- by hand: each gives bytes that must not succeed


class Hands:
    """Requests that are hostile on purpose. mine: Ada's film; other: Bob's."""

    def __init__(self, host: str, mine: str, other: str) -> None:
        from longtake.studio import openapi

        self.host, self.mine, self.other = host, mine, other
        self.entries = openapi.ENTRIES
        self.kinds: tuple[Callable[[Chance], bytes], ...] = (
            self.climbing,
            self.stranger,
            self.neighbour,
            self.elsewhere,
            self.renamed,
            self.broken,
            self.huge,
            self.noise,
        )

    def request(
        self, method: str, path: str, body: bytes = b"", token: str = ADA, **headers: str
    ) -> bytes:
        """A request; other headers replace the usual ones, "" takes one away."""
        usual = {"host": self.host, "connection": "close", "authorization": f"Bearer {token}"}
        usual |= {"content-type": "application/json", "content-length": str(len(body))}
        told = {**usual, **{name.replace("_", "-"): text for name, text in headers.items()}}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {text}" for n, text in told.items() if text)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def path(self, chance: Chance, name: str, entry: Any) -> str:
        """An entry's path, filled in."""
        parts = {"id": name, "number": chance.randrange(80), "take": 0, "name": "a.png"}
        return str(entry.path.format(**parts))

    def climbing(self, chance: Chance) -> bytes:
        """Paths that lead out of where they should."""
        up = chance.choice(
            ["..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "....//", "%00"]
        )
        to = chance.choice(
            ["etc/passwd", "jobs.jsonl", "film.json", "beside.txt", "local", "app.py"]
        )
        base = chance.choice(
            [
                "/",
                "/page/",
                "/v1/videos/",
                f"/v1/videos/{self.mine}/media/",
                f"/v1/videos/{self.mine}/pictures/",
                f"/v1/videos/{self.mine}/takes/",
                f"/v1/videos/{self.mine}/frames/",
            ]
        )
        deep = "/".join([up] * chance.randrange(1, 6))
        method = chance.choice(["GET", "PUT", "DELETE", "POST", "PATCH"])
        return self.request(method, f"{base}{deep}/{to}", b"x" * chance.randrange(20))

    def stranger(self, chance: Chance) -> bytes:
        """Somebody without a token, or with a wrong one, at every door."""
        doors = [entry for entry in self.entries if entry.path != "/v1/session"]
        entry = chance.choice(doors)
        wrong = chance.choice(["", "Bearer ", f"Bearer {ADA[:-1]}", f"Basic {ADA}", "Bearer \xe9"])
        cookie = chance.choice(["", "longtake_studio=", f"longtake_studio={ADA}"])
        path = self.path(chance, self.mine, entry)
        return self.request(entry.method, path, b"{}", authorization=wrong, cookie=cookie)

    def neighbour(self, chance: Chance) -> bytes:
        """Ada at Bob's film."""
        entry = chance.choice([entry for entry in self.entries if "{id}" in entry.path])
        return self.request(entry.method, self.path(chance, self.other, entry), b'{"shot": []}')

    def elsewhere(self, chance: Chance) -> bytes:
        """A page of another origin, in a browser that is signed in."""
        entry = chance.choice(self.entries)
        origin = chance.choice(["https://evil.example", "null", "http://127.0.0.1:1", "file://"])
        site = chance.choice(["cross-site", "same-site"])
        asked = chance.choice([{"origin": origin}, {"sec_fetch_site": site}])
        return self.request(entry.method, self.path(chance, self.mine, entry), b"{}", **asked)

    def renamed(self, chance: Chance) -> bytes:
        """A name of somebody else's that was made to lead here, or none, or two."""
        entry = chance.choice(self.entries)
        names = [
            "evil.example",
            f"{self.host}.evil.example",
            "10.1.2.3",
            f"a@{self.host}",
            "",
            "[::",
        ]
        host = chance.choice([*names, f"{self.host}\r\nhost: evil.example"])
        return self.request(entry.method, self.path(chance, self.mine, entry), b"{}", host=host)

    def broken(self, chance: Chance) -> bytes:
        """Bodies that nobody can mean."""
        values: list[Any] = [None, -1, 1e308, 10**30, "", "\0", "9" * 400, [], {}, [[]], "../x"]
        keys = [
            "prompt",
            "seconds",
            "size",
            "seed",
            "storyboard",
            "settings",
            "shot",
            "fps",
            "",
            "x",
        ]
        odd = {chance.choice(keys): chance.choice(values) for _ in range(3)}
        odd["x"] = chance.choice(values)  # a key that nothing has
        body: bytes = chance.choice(
            [
                json.dumps(odd).encode(),
                json.dumps(odd).encode()[:-1],
                json.dumps({"shot": [odd, chance.choice(values)]}).encode(),
                b"[" * 20_000,
                b'{"prompt": NaN}',
                b'{"prompt": "\\ud800"}',
                b'{"seed": ' + b"9" * 5000 + b"}",
                chance.randbytes(chance.randrange(1, 400)),
            ]
        )
        film = f"/v1/videos/{self.mine}"
        posts = ["/v1/videos", "/v1/storyboards", "/v1/session", f"{film}/redo", f"{film}/plan"]
        doors = [
            *(("POST", path) for path in posts),
            ("PATCH", film),
            ("PUT", f"{film}/storyboard"),
        ]
        method, path = chance.choice(doors)
        kind = chance.choice(["application/json"] * 4 + ["application/toml", "text/plain", "x"])
        kind = "application/json" if path.endswith(("session", "redo")) else kind
        return self.request(method, path, body, content_type=kind)

    def huge(self, chance: Chance) -> bytes:
        """More than anybody may send; the length said, or not, or a lie."""
        film = f"/v1/videos/{self.mine}"
        doors = [
            ("POST", "/v1/videos"),
            ("PUT", f"{film}/storyboard"),
            ("PUT", f"{film}/media/a.png"),
        ]
        method, path = chance.choice(doors)
        if chance.random() < 0.9:
            length = chance.choice(["9" * 12, "9" * 30, str(1 << 40), "-1", "1e9", "0x10"])
            return self.request(method, path, b"{}", content_length=length)
        most = 1 << 20
        head = self.request("POST", "/v1/videos", content_length="", transfer_encoding="chunked")
        return head + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * (most // 65536 + 2)

    def noise(self, chance: Chance) -> bytes:
        """What is no HTTP."""
        lines = [
            b"GET / HTTP/9.9",
            b"GET  / HTTP/1.1",
            b"\x16\x03\x01\x02\x00\x01",
            b"GET /\x00 HTTP/1.1",
        ]
        lines += [
            b"G\xc3\xa9T / HTTP/1.1",
            b"GET http://[::1 HTTP/1.1",
            b"GET / HTTP/1.1\r\nx y: z",
        ]
        lines += [b"GET / HTTP/1.1\r\nhost: " + b"a" * 70_000, b"PRI * HTTP/2.0", b"/"]
        host = self.host.encode()
        lines += [
            b"POST /v1/videos HTTP/1.1\r\nhost: %s\r\ncontent-length: 3\r\ncontent-length: 9"
            % host,
            b"POST /v1/videos HTTP/1.1\r\nhost: %s\r\ntransfer-encoding: chunked\r\n\r\nzz" % host,
        ]
        if chance.random() < 0.3:
            return chance.randbytes(chance.randrange(1, 300)) + b"\r\n\r\n"
        return chance.choice(lines) + b"\r\n\r\n"


class Drips:
    """Clients that send a byte now and then: half of them a head, the others a body."""

    def __init__(self, target: Target, hands: Hands, count: int = SLOW) -> None:
        head = hands.request("POST", "/v1/videos", content_length="1000")
        self._left = [head[: len(head) // 2] if n % 2 else head for n in range(count)]
        self._clients = [socket.create_connection(target.place, 30) for _ in self._left]
        for client, data in zip(self._clients, self._left, strict=True):
            client.sendall(data)
            client.setblocking(False)
        self._next = time.monotonic()

    def drip(self) -> None:
        """A byte from each, once a second."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 1
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.send(b"x")

    def closed(self) -> int:
        """How many were sent away."""
        gone = 0
        for client in self._clients:
            try:
                gone += client.recv(1 << 16) == b"" or 1
            except BlockingIOError:
                pass
            except OSError:
                gone += 1
            client.close()
        return gone


# --- drawn from the document


def drawn(target: Target, mine: str, count: int, seed: int) -> Iterator[tuple[str, int, bytes]]:
    """Cases that schemathesis draws, right and wrong: what was asked, and the answer."""
    import hypothesis
    import schemathesis

    document = json.loads(target.ask(ADA, "GET", "/openapi.json"))
    spare = target.film(ADA, "a film that may be lost")
    operations = [
        found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()
    ]
    asked: list[tuple[str, int, bytes]] = []

    def run(case: Any) -> None:
        # mostly at a film that is there; none is deleted that others are asked of
        if "id" in (case.path_parameters or {}) and len(asked) % 4 and case.method != "DELETE":
            case.path_parameters["id"] = mine if case.method == "GET" else spare
        if case.path.endswith("/events"):
            case.query = {**(case.query or {}), "follow": "false"}
        headers = {"authorization": f"Bearer {ADA}"}
        told = f"{case.method} {case.formatted_path} {str(case.body)[:200]}"
        try:
            answer = case.call(base_url=target.address, headers=headers, timeout=60)
        except (ValueError, OSError) as error:  # what no client would send
            asked.append((f"{told}: {error}", 0, b""))
            return
        asked.append((told, answer.status_code, answer.content))

    for number, operation in enumerate(operations):
        settings = hypothesis.settings(
            max_examples=max(1, count // (len(operations) - number) // 2),
            deadline=None,
            database=None,
            phases=(hypothesis.Phase.generate,),
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        for mode in schemathesis.GenerationMode:
            cases = hypothesis.given(case=operation.as_strategy(generation_mode=mode))(run)
            # of what has no parts nothing can be drawn wrong
            with contextlib.suppress(hypothesis.errors.Unsatisfiable):
                hypothesis.seed(seed)(settings(cases))()
        yield from asked
        count -= len(asked)
        asked.clear()


@click.command()
@click.option("--count", default=10_000)
@click.option("--drawn", "share", default=0.4, help="Share of the cases that schemathesis draws.")
@click.option("--seed", default=0)
def main(count: int, share: float, seed: int) -> None:
    """Send them, and look at what they have achieved."""
    with tempfile.TemporaryDirectory() as folder:
        target = Target(Path(folder))
        try:
            told = attacked(target, count, share, seed)
        finally:
            target.close()
    click.echo(json.dumps(told, indent=1))
    sys.exit(int(bool(told["wrong"])))


def attacked(target: Target, count: int, share: float, seed: int) -> Line:
    """What became of so many requests, and of the studio."""
    tally, began, chance = Tally(), time.monotonic(), random.Random(seed)
    mine, other = target.film(ADA, "a calm sea"), target.film(BOB, WORDS)
    films = {ADA: mine, BOB: other}
    before = {
        name: _hash(target.ask(t, "GET", f"/v1/videos/{name}/content")) for t, name in films.items()
    }
    secrets = [str(target.world).encode(), BOB.encode(), WORDS.encode(), b"Traceback"]
    world, size = target.outside(), target.size()
    hands = Hands(target.host, mine, other)
    drips = Drips(target, hands)
    for told, status, body in drawn(target, mine, round(share * count), seed) if share else ():
        tally.add("drawn", status, body, told, secrets)
        drips.drip()
    while tally.statuses.total() < count:
        kind = chance.choice(hands.kinds)
        data = kind(chance)
        tally.add(kind.__name__, *target.send(data), repr(data[:300]), secrets)
        drips.drip()
    slow = drips.closed()
    for token, name in films.items():
        if _hash(target.ask(token, "GET", f"/v1/videos/{name}/content")) != before[name]:
            tally.wrong.append(f"film {name} is another one")
    target.film(ADA, "one more")  # it still makes films
    after = target.size()
    if target.outside() != world:
        tally.wrong.append(f"files outside: {sorted(set(target.outside()) ^ set(world))}")
    if after["memory"] - size["memory"] > GROWN:
        tally.wrong.append("it has grown")
    tally.wrong += [f"an error that nobody caught: {error}" for error in target.errors()]
    told = {"requests": tally.statuses.total(), "seconds": round(time.monotonic() - began)}
    told |= {"statuses": dict(sorted(tally.statuses.items())), "before": size, "after": after}
    return {**told, "slow": SLOW, "slow_closed": slow, "wrong": tally.wrong[:40]}


if __name__ == "__main__":
    main()
