"""The studio's API: films are submitted, watched, fetched, edited, stopped, and outlive their server."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from studio_parts import TOY, Server, board, events, studio, wait

import longtake
from longtake.errors import InputError
from longtake.prompts.storyboard import read_storyboard
from longtake.studio import openapi
from longtake.studio.films import json_of, toml_of
from longtake.studio.journal import Journal
from longtake.studio.measuring import Measuring
from longtake.studio.paths import Paths
from longtake.studio.worker import _Desk
from longtake.video import probe


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with studio(tmp_path_factory.mktemp("studio") / "films") as found:
        yield found


@pytest.fixture(scope="module")
def made(client: TestClient) -> dict[str, Any]:
    """A film of three shots that is finished."""
    asked = {**board(6, 6, 6), "start": True, "title": "Three"}
    return wait(client, client.post("/v1/videos", json=asked).json()["id"])


def test_a_film_has_the_shape_that_others_use(client: TestClient, made: dict[str, Any]) -> None:
    usual = {"id", "object", "status", "progress", "prompt", "seconds", "size", "model"}
    assert usual | {"created_at", "completed_at", "error"} <= made.keys()
    assert (made["object"], made["status"], made["progress"]) == ("video", "completed", 100)
    assert (made["seconds"], made["size"], made["model"]) == ("18", "64x48", "toy")
    listed = client.get("/v1/videos").json()
    assert listed["object"] == "list" and made["id"] in [film["id"] for film in listed["data"]]


def test_its_events_are_the_engine_s_own(
    client: TestClient, made: dict[str, Any], tmp_path: Path
) -> None:
    found = [line for _, line in events(client, made["id"])]
    kinds = [line["event"] for line in found]
    assert kinds[:3] == ["queued", "in_progress", "planned"] and kinds[-2:] == ["done", "completed"]
    text = client.get(f"/v1/videos/{made['id']}/storyboard", headers={"accept": "application/toml"})
    (tmp_path / "same.toml").write_text(text.text)
    scheme = board(1)["scheme"]
    out = tmp_path / "film.mp4"
    stream = longtake.stream(tmp_path / "same.toml", out=out, model=TOY, scheme=scheme)
    lines = [event.line() for event in stream]
    for kind in ("planned", "started", "decoded"):  # decoding runs beside sampling, at its own pace
        expected = [line for line in lines if line["event"] == kind]
        assert [line for line in found if line["event"] == kind] == expected


def test_events_go_on_after_the_last_one_seen(client: TestClient, made: dict[str, Any]) -> None:
    whole = events(client, made["id"])
    for place in (0, 3, len(whole) - 2):
        assert events(client, made["id"], whole[place][0]) == whole[place + 1 :]
    assert client.get(f"/v1/videos/{made['id']}").json()["events"] == int(whole[-1][0])
    assert events(client, made["id"], "7") == whole  # no event ends there
    assert events(client, made["id"], "999999999") == whole
    assert client.get(f"/v1/videos/{made['id']}/events?after=x").status_code == 400


def test_the_film_is_fetched_whole_and_in_ranges(
    client: TestClient, made: dict[str, Any], tmp_path: Path
) -> None:
    path = f"/v1/videos/{made['id']}/content"
    whole = client.get(path)
    (tmp_path / "film.mp4").write_bytes(whole.content)
    assert probe(tmp_path / "film.mp4").frames == made["frames"] == 180
    size = len(whole.content)
    for text, part in (
        ("bytes=0-9", whole.content[:10]),
        ("bytes=10-", whole.content[10:]),
        ("bytes=-5", whole.content[-5:]),
        (f"bytes=5-{size + 100}", whole.content[5:]),
    ):
        found = client.get(path, headers={"range": text})
        assert (found.status_code, found.content) == (206, part)
        assert found.headers["content-range"].endswith(f"/{size}")
    assert client.get(path, headers={"range": f"bytes={size}-"}).status_code == 416
    for text in ("bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes=-"):
        assert client.get(path, headers={"range": text}).status_code == 200
    manifest = client.get(f"/v1/videos/{made['id']}/manifest").json()
    assert manifest["film"]["sha256"] == hashlib.sha256(whole.content).hexdigest()


def test_an_edit_of_shot_two_runs_only_what_depends_on_it(
    client: TestClient, made: dict[str, Any]
) -> None:
    path = f"/v1/videos/{made['id']}"
    told = client.get(f"{path}/storyboard")
    shots = told.json()
    before = client.get(f"{path}/plan").json()
    assert before["to_run"] == 0
    shots["shot"][1]["prompt"] = "a red dusk"
    plan = client.post(f"{path}/plan", json=shots).json()
    # in a chain, all that comes after the first step that hears the second shot
    first = next(step["step"] for step in plan["steps"] if not step["cached"])
    assert [step["cached"] for step in plan["steps"]] == [
        step["step"] < first for step in plan["steps"]
    ]
    assert 0 < first and plan["steps"][first]["why"] == "controls"
    assert plan["steps"][first]["frames"][-1][1] > 60 >= plan["steps"][first - 1]["frames"][-1][1]
    assert client.get(f"{path}/plan").json()["to_run"] == 0  # nothing was kept
    assert client.put(f"{path}/storyboard", json=shots).status_code == 200
    assert client.get(path).json()["edited"]
    seen = events(client, made["id"])[-1][0]
    client.post(f"{path}/start")
    wait(client, made["id"])
    fresh = [line for _, line in events(client, made["id"], seen)]
    ran = [line["step"] for line in fresh if line["event"] == "finished"]
    assert ran == [step["step"] for step in plan["steps"] if not step["cached"]]
    assert not client.get(path).json()["edited"]


def test_an_edit_over_another_s_is_refused(client: TestClient, made: dict[str, Any]) -> None:
    path = f"/v1/videos/{made['id']}/storyboard"
    told = client.get(path)
    mine = {"if-match": told.headers["etag"]}
    shots = {**told.json(), "seed": 8}
    assert client.put(path, json=shots, headers=mine).status_code == 200
    assert client.put(path, json={**shots, "seed": 9}, headers=mine).status_code == 412
    assert client.get(path).json()["seed"] == 8
    client.put(path, json=told.json())


def test_what_a_frame_was_made_of(client: TestClient, made: dict[str, Any]) -> None:
    told = client.get(f"/v1/videos/{made['id']}/frames/100").json()
    assert (told["shot"], told["seconds"], told["seed"]) == (2, 10.0, 7)
    [(first, end)] = told["frames"]
    assert first <= 100 < end
    assert told["made"]["observed"][-1]["frames"][1] == first
    assert told["made"]["ancestry"]["count"] == told["step"]
    assert set(told["made"]["scores"]) >= {"jump", "colour"}
    picture = client.get(f"/v1/videos/{made['id']}/pictures/{told['made']['picture']}")
    assert picture.content[:3] == b"\xff\xd8\xff"
    assert client.get(f"/v1/videos/{made['id']}/frames/180").status_code == 400


def test_media_are_uploaded_pinned_and_kept_in_their_folder(
    client: TestClient, tmp_path: Path
) -> None:
    import torch

    from longtake.video import write_image

    write_image(torch.full((3, 20, 30), 200, dtype=torch.uint8), tmp_path / "a.png")
    name = client.post("/v1/videos", json=board(2)).json()["id"]
    path = f"/v1/videos/{name}"
    data = (tmp_path / "a.png").read_bytes()
    assert client.put(f"{path}/media/a.png", content=data).json()["bytes"] == len(data)
    assert client.put(f"{path}/media/b.png", content=data[:60]).status_code == 400
    assert client.put(f"{path}/media/c.txt", content=b"x").status_code == 404
    assert client.put(f"{path}/media/d.png", content=b"").status_code == 400
    assert [file["name"] for file in client.get(f"{path}/media").json()["data"]] == ["a.png"]
    assert client.get(f"{path}/media/a.png").content == data
    shots = client.get(f"{path}/storyboard").json()
    shots["shot"][0]["images"] = ["0=a.png"]
    assert client.put(f"{path}/storyboard", json=shots).json() == shots
    client.post(f"{path}/start")
    assert wait(client, name)["status"] == "completed"
    assert client.get(f"{path}/frames/0").json()["given"]["frames"] == 1
    for outside in ("../../../etc/passwd", "/etc/passwd", "../film.json"):
        shots["shot"][0]["images"] = [f"0={outside}"]
        found = client.put(f"{path}/storyboard", json=shots)
        assert found.status_code == 400 and "leaves" in found.json()["error"]["message"]
        assert str(tmp_path.parent) not in found.text


def test_a_storyboard_goes_elsewhere_with_what_it_pins(client: TestClient, tmp_path: Path) -> None:
    import torch

    from longtake.video import write_image

    write_image(torch.full((3, 20, 30), 200, dtype=torch.uint8), tmp_path / "a.png")
    path = f"/v1/videos/{client.post('/v1/videos', json=board(2, 2)).json()['id']}"
    data = (tmp_path / "a.png").read_bytes()
    for name in ("a.png", "unpinned.png"):
        client.put(f"{path}/media/{name}", content=data)
    shots = client.get(f"{path}/storyboard").json()
    shots["shot"][0]["images"], shots["shot"][1]["images"] = ["0=a.png", "end=a.png"], ["1=a.png"]
    client.put(f"{path}/storyboard", json=shots)
    packed = client.get(f"{path}/storyboard", headers={"accept": "application/zip"})
    assert packed.headers["content-type"] == "application/zip" and packed.headers["etag"]
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.namelist() == ["storyboard.toml", "a.png"] and archive.testzip() is None
        archive.extractall(tmp_path / "there")
    there = read_storyboard(tmp_path / "there" / "storyboard.toml")
    pins = [pin for shot in there.shots for pin in shot.pins]
    assert [Path(pin.path).read_bytes() for pin in pins] == [data] * 3
    again = client.get(f"{path}/storyboard", headers={"accept": "application/zip"})
    assert again.content == packed.content


def test_a_finished_film_is_measured_once(
    client: TestClient,
    made: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = f"/v1/videos/{made['id']}"
    told = client.get(f"{path}/scores").json()
    assert (told["object"], told["frames"], told["fps"]) == ("scores", 180, 10)
    assert {"drift", "seams"} <= told["scores"].keys()
    assert "agreement" in {*told["scores"], *told["silent"]}
    assert all(len(curve) == len(told["curves"]["at"]) for curve in told["curves"].values())
    assert [first for first, _ in told["shots"]] == [0, 60, 120]
    own = longtake.score(_place(tmp_path_factory, made) / "film.mp4", metrics=["drift"])["drift"]
    assert told["scores"]["drift"]["value"] == pytest.approx(own.value)
    looked: list[str] = []

    async def look(self: Measuring, place: Path) -> dict[str, Any]:
        looked.append(place.name)
        return {"object": "scores"}

    monkeypatch.setattr(Measuring, "_measured", look)
    assert client.get(f"{path}/scores").json() == told and not looked
    os.utime(_place(tmp_path_factory, made) / "film.mp4")  # another film stands there
    assert client.get(f"{path}/scores").json() == {"object": "scores"} and looked == ["film.mp4"]
    other = client.post("/v1/videos", json=board(2)).json()["id"]
    assert client.get(f"/v1/videos/{other}/scores").status_code == 404


def test_time_and_memory_are_told_before_the_first_film(client: TestClient) -> None:
    """Measured while nobody wanted a film, and again by every film."""
    film = client.post("/v1/videos", json={**board(4), "scheme": ""}).json()["id"]
    end = time.monotonic() + 30
    while (plan := client.get(f"/v1/videos/{film}/plan").json())["expected_seconds"] is None:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert plan["to_run"] and plan["expected_seconds"] < 30
    assert plan["expected_memory"] > 1 << 26, "torch alone takes more"
    slow = client.post("/v1/videos", json={**board(4, 4), "start": True}).json()
    wait(client, slow["id"])
    other = client.post("/v1/videos", json=board(8)).json()["id"]
    assert client.get(f"/v1/videos/{other}/plan").json()["expected_memory"] > 1 << 26


def test_a_film_does_not_wait_for_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", lambda code: None)  # the desk ends its process with its input
    desk, (source, target) = _Desk(), os.pipe()
    before = signal.signal(signal.SIGINT, desk.interrupt)
    reader = threading.Thread(target=desk.read, args=(os.fdopen(source, "rb"),))
    reader.start()
    try:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt), desk.spare():
            os.write(target, b'{"task": 1}\n')
            time.sleep(30)
        assert time.monotonic() - began < 10 and desk.tasks.get(timeout=10) == {"task": 1}
        os.write(target, b'{"task": 2}\n')
        assert desk.tasks.get(timeout=10) == {"task": 2}, "nothing to interrupt any more"
    finally:
        os.close(target)
        reader.join()
        signal.signal(signal.SIGINT, before)


def _place(factory: pytest.TempPathFactory, film: dict[str, Any]) -> Path:
    """A film's folder."""
    [found] = factory.getbasetemp().glob(f"**/{film['id']}")
    return found


def test_a_film_pauses_goes_on_and_is_the_same(client: TestClient) -> None:
    asked = {**board(12, slow=0.2), "start": True}
    name = client.post("/v1/videos", json=asked).json()["id"]
    path = f"/v1/videos/{name}"
    while not any(line["event"] == "finished" for _, line in events(client, name)):
        time.sleep(0.05)
    assert client.post(f"{path}/start").status_code == 409
    assert client.post(f"{path}/pause").json()["status"] == "paused"
    done = {line["step"] for _, line in events(client, name) if line["event"] == "finished"}
    time.sleep(0.5)
    assert client.get(path).json()["status"] == "paused"
    client.post(f"{path}/start")
    assert wait(client, name)["status"] == "completed"
    last = [line for _, line in events(client, name) if line["event"] == "done"][-1]
    assert last["reused"] >= len(done) and last["ran"] >= 1
    plain = client.post("/v1/videos", json={**asked, "settings": {}}).json()["id"]
    wait(client, plain)
    assert (
        client.get(f"/v1/videos/{plain}/content").content == client.get(f"{path}/content").content
    )


def test_films_wait_for_one_another_and_leave_the_queue(client: TestClient) -> None:
    names = []
    for _ in range(3):
        names.append(
            client.post("/v1/videos", json={**board(60, slow=0.2), "start": True}).json()["id"]
        )
    wait(client, names[0], ("in_progress",))
    second, third = (client.get(f"/v1/videos/{name}").json() for name in names[1:])
    assert (second["status"], second["place_in_queue"]) == ("queued", 1)
    assert third["place_in_queue"] == 2
    assert client.post(f"/v1/videos/{names[1]}/cancel").json()["status"] == "cancelled"
    assert client.post(f"/v1/videos/{names[0]}/cancel").json()["status"] == "cancelled"
    wait(client, names[2], ("in_progress",))
    assert client.delete(f"/v1/videos/{names[2]}").json()["deleted"]
    assert client.get(f"/v1/videos/{names[2]}").status_code == 404
    assert client.post(f"/v1/videos/{names[0]}/cancel").status_code == 409


def test_a_model_that_fails_is_told_and_the_next_film_is_made(tmp_path: Path) -> None:
    with studio(tmp_path / "films") as client:
        bad = client.post(
            "/v1/videos", json={**board(2), "settings": {"slow": -1}, "start": True}
        ).json()
        found = wait(client, bad["id"])
        assert found["status"] == "failed" and "sleep" in found["error"]["message"]
        good = client.post("/v1/videos", json={**board(2), "start": True}).json()
        assert wait(client, good["id"])["status"] == "completed"


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with Server(tmp_path / "films") as server:
        asked = {**board(12, slow=0.3), "start": True}
        name = server.client.post("/v1/videos", json=asked).json()["id"]
        while not any(line["event"] == "finished" for _, line in events(server.client, name)):
            time.sleep(0.05)
        words = ["ps", "-o", "pid=", "--ppid", str(server.process.pid)]
        [worker] = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        os.kill(int(worker), signal.SIGKILL)
        assert wait(server.client, name)["status"] == "completed"
        last = [line for _, line in events(server.client, name) if line["event"] == "done"][-1]
        assert last["reused"] >= 1


def test_nothing_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    asked = {**board(12, slow=0.3), "start": True, "title": "Kept"}
    with Server(tmp_path / "films") as server:
        names = [server.client.post("/v1/videos", json=asked).json()["id"] for _ in range(2)]
        paused = server.client.post("/v1/videos", json=board(3)).json()["id"]
        while not any(line["event"] == "finished" for _, line in events(server.client, names[0])):
            time.sleep(0.05)
        seen = events(server.client, names[0])
        server.kill()
    with (tmp_path / "films" / "local" / names[0] / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "fini')  # as a crash may leave it
    with Server(tmp_path / "films") as server:
        assert server.client.get(f"/v1/videos/{paused}").json()["status"] == "draft"
        films = [wait(server.client, name) for name in names]
        assert [film["status"] for film in films] == ["completed"] * 2
        assert films[0]["title"] == "Kept"
        after = events(server.client, names[0])
        assert after[: len(seen)] == seen
        last = [line for _, line in after if line["event"] == "done"][-1]
        assert last["reused"] >= 1
        one, two = (server.client.get(f"/v1/videos/{name}/content").content for name in names)
        assert one == two
        assert server.stop() in (0, 130, -signal.SIGINT)


def test_a_server_that_is_stopped_lets_watchers_go(tmp_path: Path) -> None:
    with Server(tmp_path / "films", errors=subprocess.PIPE) as server:
        name = server.client.post("/v1/videos", json=board(2)).json()["id"]
        with server.client.stream("GET", f"/v1/videos/{name}/events") as watched:
            lines = watched.iter_lines()
            assert next(lines) == ": longtake"
            began = time.monotonic()
            server.process.send_signal(signal.SIGINT)
            assert list(lines) is not None
            assert time.monotonic() - began < 2.5, "it was not waited for until patience ended"
        _, wrong = server.process.communicate(timeout=30)
        assert "Traceback" not in wrong and "ERROR" not in wrong


def test_watchers_hear_at_once_and_the_film_plays_while_it_grows(tmp_path: Path) -> None:
    with Server(tmp_path / "films") as server:
        name = server.client.post("/v1/videos", json=board(20, slow=0.3)).json()["id"]
        path = f"/v1/videos/{name}"
        with server.client.stream("GET", f"{path}/events") as watched:
            server.client.post(f"{path}/start")
            kinds, pieces = [], b""
            for text in watched.iter_lines():
                if not text.startswith("data: "):
                    continue
                line = json.loads(text[6:])
                kinds.append(line["event"])
                if line["event"] == "decoded" and line["frames"][1] < 120:
                    found = server.client.get(
                        f"{path}/content", headers={"range": f"bytes={len(pieces)}-"}
                    )
                    if found.status_code == 206:
                        assert found.headers["longtake-film"] == "growing"
                        assert found.headers["content-range"].endswith("/*")
                        pieces += found.content
                if line["event"] == "completed":
                    break
        assert kinds.count("decoded") == 7 and "shown" in kinds
        (tmp_path / "part.mp4").write_bytes(pieces)
        assert pieces[4:8] == b"ftyp" and probe(tmp_path / "part.mp4").width == 64


def test_a_brief_s_sentences_become_shots(client: TestClient) -> None:
    brief = "A calm sea at dawn. Storm clouds roll in, and then rain; Cut to mountains at night."
    asked = {"prompt": brief, "seconds": 10, "seed": 3}
    found = client.post("/v1/storyboards", json=asked).json()
    assert found["seed"] == 3
    assert [(s["prompt"], s["seconds"], s["cut"]) for s in found["shot"]] == [
        ("A calm sea at dawn", 2.5, True),
        ("Storm clouds roll in", 2.5, False),
        ("rain", 2.5, False),
        ("mountains at night", 2.5, True),
    ]
    thirds = client.post("/v1/storyboards", json={"prompt": "a. b. c", "seconds": 10}).json()[
        "shot"
    ]
    assert [shot["seconds"] for shot in thirds] == [3.3, 3.3, 3.4]
    assert (
        len(client.post("/v1/storyboards", json={"prompt": "a. b", "frames": 5}).json()["shot"])
        == 1
    )


def test_a_prompt_becomes_a_storyboard_and_back() -> None:
    text = 'seed = 7\n\n[[shot]]\nprompt = "a \\"b\\" \\u007F ü"\nseconds = 2.5\nvideos = ["end=a.mp4"]\n'
    told = json_of(text, Path())
    assert told["shot"][0]["prompt"] == 'a "b" \x7f ü' and told["shot"][0]["videos"] == [
        "end=a.mp4"
    ]
    assert json_of(toml_of(told), Path()) == told
    [shot] = told["shot"]
    same = [toml_of({"fps": 10, "shot": [{**shot, "seconds": each}]}) for each in (4, 4.0)]
    assert same[0] == same[1], "whoever writes its numbers, a film is not changed by that"


def test_a_journal_is_shortened_and_one_server_s(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.replay() == {}
    name = f"video_{'0' * 24}"
    for status in ("queued", "in_progress"):
        journal.write({"id": name, "owner": "local", "status": status})
    with pytest.raises(InputError, match="another studio"):
        Journal(tmp_path)
    journal.close()
    with (tmp_path / "jobs.jsonl").open("ab") as file:
        file.write(b'{"id": "vid')
    again = Journal(tmp_path)
    assert [line["status"] for line in again.replay().values()] == ["in_progress"]
    assert len((tmp_path / "jobs.jsonl").read_bytes().splitlines()) == 1
    again.close()


def test_the_document_says_what_is_served(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document == openapi.document()
    served = {(entry.method.lower(), entry.path) for entry in openapi.ENTRIES}
    assert {(m, path) for path, item in document["paths"].items() for m in item} == served
    assert all(callable(getattr(Paths, entry.handler)) for entry in openapi.ENTRIES)
    names = re.findall(r"#/components/schemas/(\w+)", json.dumps(document))
    assert set(names) <= set(document["components"]["schemas"])
