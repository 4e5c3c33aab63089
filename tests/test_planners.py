"""Storyboards by a rule, and by a language model that answers well or badly."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studio_parts import studio

import longtake
from longtake.api import order_of
from longtake.controls import PlansFiner
from longtake.errors import InputError
from longtake.prompts.endpoint import Endpoint, scaled
from longtake.prompts.planners import Sentences

SHOTS = [
    {"prompt": "a calm sea\nat dawn", "seconds": 10, "cut": True},
    {"prompt": "a storm", "seconds": 5, "cut": False},
    {"prompt": "a city", "seconds": 5},
]


class Desk(http.server.BaseHTTPRequestHandler):
    """Answers as it was told, and remembers what it was asked."""

    content: Any = ""
    status = 200
    asked: list[Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).asked.append((self.path, self.headers.get("authorization"), json.loads(body)))
        told = {"choices": [{"message": {"content": self.content}}]}
        data = json.dumps(told).encode()
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@pytest.fixture
def desk() -> Iterator[tuple[str, type[Desk]]]:
    kind = type("Mine", (Desk,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", kind
    server.shutdown()
    server.server_close()


def test_a_language_model_plans(desk: tuple[str, type[Desk]]) -> None:
    url, kind = desk
    kind.content = f"Here it is:\n```json\n{json.dumps({'shots': SHOTS})}\n```"
    shots = Endpoint(url, "small", "secret").plan("a day at sea", 40)
    ((path, key, body),) = kind.asked
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer secret", "small")
    assert body["messages"][1] == {"role": "user", "content": "a day at sea"}
    assert "40 seconds" in body["messages"][0]["content"]
    assert [shot.prompt for shot in shots] == ["a calm sea at dawn", "a storm", "a city"]
    assert [shot.cut for shot in shots] == [True, False, True]
    assert sum(shot.seconds for shot in shots) == pytest.approx(40)
    assert shots[0].seconds > 1.8 * shots[1].seconds


@pytest.mark.parametrize(
    "content",
    [
        "no",
        "{}",
        '{"shots": []}',
        '{"shots": [{"prompt": "", "seconds": 3}]}',
        '{"shots": [{"prompt": "a", "seconds": -3}]}',
        '{"shots": [{"prompt": "a", "seconds": true}]}',
        '{"shots": [{"prompt": "a"}]}',
        '{"shots": [3]}',
        None,
        '{"shots": ' + "[" * 5000,
    ],
)
def test_a_bad_answer_is_one_line(desk: tuple[str, type[Desk]], content: str | None) -> None:
    url, kind = desk
    kind.content = content
    with pytest.raises(InputError, match="the planner gave no storyboard") as caught:
        Endpoint(url).plan("a day at sea", 40)
    assert "\n" not in str(caught.value)


def test_a_planner_that_fails_or_sends_elsewhere(desk: tuple[str, type[Desk]]) -> None:
    url, kind = desk
    kind.content = json.dumps({"shots": SHOTS})
    for status in (500, 401, 302):
        kind.status = status
        with pytest.raises(InputError, match=str(status)):
            Endpoint(url, key="secret").plan("a day at sea", 40)
    with pytest.raises(InputError, match="gave no storyboard"):
        Endpoint("http://127.0.0.1:1/v1").plan("a day at sea", 40)
    for wrong in ("", "file:///etc/passwd", "127.0.0.1:80"):
        with pytest.raises(InputError, match="no address"):
            Endpoint(wrong)


def test_lengths_add_up_however_odd() -> None:
    told = [{"prompt": "a", "seconds": 0.001}, {"prompt": "b", "seconds": 1e6}]
    for seconds in (1.0, 1.3, 7.77, 5400.0):
        shots = scaled(told, seconds)
        assert sum(shot.seconds for shot in shots) == pytest.approx(seconds)
        assert min(shot.seconds for shot in shots) >= 0.4
    with pytest.raises(ValueError, match="1 to 3"):
        scaled(told * 2, 1.9)


def test_the_studio_asks_it(desk: tuple[str, type[Desk]], tmp_path: Path) -> None:
    url, kind = desk
    kind.content = json.dumps({"shots": SHOTS})
    with studio(tmp_path / "films", planner=Endpoint(url)) as client:
        told = client.post("/v1/storyboards", json={"prompt": "a day at sea", "seconds": 20})
        assert [shot["prompt"] for shot in told.json()["shot"]][1:] == ["a storm", "a city"]
        kind.content = "no"
        told = client.post("/v1/storyboards", json={"prompt": "a day at sea", "seconds": 20})
        assert told.status_code == 400 and url not in told.text


def test_sentences_are_shots() -> None:
    shots = Sentences().plan("A calm sea. Then rain; cut to a city", 30)
    assert [(shot.prompt, shot.cut) for shot in shots] == [
        ("A calm sea", True),
        ("rain", False),
        ("a city", True),
    ]


@pytest.mark.parametrize(
    ("brief", "parts"),
    [
        ("The sun sets behind hills, then a starry night", 2),
        ("A calm sea. Then, clouds drift in and then it rains", 3),
        ("Dusk over the sea. A steady wind from the left. Few clouds.", 1),
        ("clouds pass now and then over the city", 1),
        ("then", 1),
    ],
)
def test_then_alone_parts_what_stays_together(brief: str, parts: int) -> None:
    shots = Sentences(together=True).plan(brief, 12.0)
    assert len(shots) == parts and sum(shot.seconds for shot in shots) == 12.0
    assert [shot.cut for shot in shots] == [True] + [False] * (parts - 1)
    assert not any(shot.prompt.lower().startswith("then,") for shot in shots)
    if parts == 1:
        assert shots[0].prompt.strip(".") == brief.strip(".")


def test_the_built_in_model_hears_what_comes_then() -> None:
    job = order_of("noon over the sea, then night", {"seconds": 8}, run=None, executor="serial").job
    assert [(cue.start, cue.prompt, cue.cut) for cue in job.cues] == [
        (0.0, "noon over the sea", True),
        (4.0, "night, sea", False),
    ]
    assert not job.cuts


def test_a_shot_that_flows_on_says_the_land_again() -> None:
    planner = longtake.load("skies").planner
    assert planner is not None
    brief = "dusk over hills, then night. Cut to a calm sea"
    assert [shot.prompt for shot in planner.plan(brief, 9)] == [
        "dusk over hills",
        "night. Cut to a calm sea",
    ]
    assert isinstance(planner, PlansFiner)
    finer = planner.by_sentences().plan(brief, 9)
    assert [(shot.prompt, shot.cut) for shot in finer] == [
        ("dusk over hills", True),
        ("night, hills", False),
        ("a calm sea", True),
    ]
