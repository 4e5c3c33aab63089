"""The studio's drafts, stretches that are made again, their takes, and shots that are approved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from studio_parts import board, events, studio, wait

from longtake.video import read_video


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with studio(tmp_path_factory.mktemp("studio") / "films") as found:
        yield found


def path(film: dict[str, Any], rest: str = "") -> str:
    return f"/v1/videos/{film['id']}{rest}"


def frames(client: TestClient, film: dict[str, Any], place: Path, rest: str = "/content") -> Any:
    place.write_bytes(client.get(path(film, rest)).content)
    return read_video(place)


def done(client: TestClient, film: dict[str, Any]) -> dict[str, Any]:
    return [line for _, line in events(client, film["id"]) if line["event"] == "done"][-1]


@pytest.fixture(scope="module")
def made(client: TestClient) -> dict[str, Any]:
    """A finished film of two shots."""
    asked = {**board(6, 6), "start": True}
    return wait(client, client.post("/v1/videos", json=asked).json()["id"])


def test_a_film_keeps_the_keyframes_of_its_draft(client: TestClient, tmp_path: Path) -> None:
    film = client.post("/v1/videos", json=board(8, 8)).json()
    client.post(path(film, "/start"), json={"draft": True})
    drafted = wait(client, film["id"])
    assert (drafted["status"], drafted["draft"], drafted["edited"]) == ("completed", True, False)
    assert done(client, film)["out"] == "film.draft.mp4"
    assert len(frames(client, film, tmp_path / "draft.mp4")) == 160
    plan = client.get(path(film, "/plan")).json()
    kept = plan["cached"]
    assert 0 < kept < len(plan["steps"])
    client.post(path(film, "/start"))
    whole = wait(client, film["id"])
    assert (whole["status"], whole["draft"], whole["edited"]) == ("completed", False, False)
    assert done(client, film)["reused"] == kept and done(client, film)["out"] == "film.mp4"
    assert len(frames(client, film, tmp_path / "film.mp4")) == 160


def test_only_true_and_false_are_drafts(client: TestClient, made: dict[str, Any]) -> None:
    assert client.post(path(made, "/start"), json={"draft": 1}).status_code == 400


def test_a_stretch_is_made_again_and_its_takes_are_seen(
    client: TestClient, made: dict[str, Any], tmp_path: Path
) -> None:
    assert client.get(path(made, "/takes")).status_code == 404
    before = frames(client, made, tmp_path / "before.mp4")
    asked = client.post(path(made, "/redo"), json={"seconds": [2, 4], "takes": 2})
    assert asked.status_code == 200, asked.text
    again = wait(client, made["id"])
    assert (again["status"], again["takes"], again["edited"]) == ("completed", True, False)
    told = client.get(path(made, "/takes")).json()
    assert (told["frames"], told["shown"], told["takes"]) == ([20, 40], [10, 50], 2)
    after = frames(client, made, tmp_path / "after.mp4")
    # the file's encoder looks back, so that later frames may differ by its rounding
    apart = (before.float() - after.float()).abs().mean((1, 2, 3))
    assert apart[:12].max() == 0 and apart[44:].max() < 1 < apart[24:36].max()
    shown = [frames(client, made, tmp_path / f"{n}.mp4", f"/takes/{n}") for n in range(3)]
    assert [len(take) for take in shown] == [40] * 3
    assert not (shown[1] == shown[2]).all()
    other = 3 - told["take"]
    client.post(path(made, "/redo"), json={"seconds": [2, 4], "take": other})
    wait(client, made["id"])
    assert client.get(path(made, "/takes")).json()["take"] == other
    assert done(client, made)["ran"] == 0, "every take was kept"
    frame = client.get(path(made, "/frames/30")).json()
    assert frame["made"] is not None and 30 in range(*frame["frames"][0])
    client.post(path(made, "/redo"), json={"seconds": [2, 4], "take": 0})
    wait(client, made["id"])
    assert (frames(client, made, tmp_path / "back.mp4") == before).all()


def test_what_was_made_again_outlasts_edits_elsewhere(client: TestClient, tmp_path: Path) -> None:
    film = wait(client, client.post("/v1/videos", json={**board(6, 6), "start": True}).json()["id"])
    first = frames(client, film, tmp_path / "first.mp4").float()
    client.post(path(film, "/redo"), json={"seconds": [1, 3], "takes": 2})
    wait(client, film["id"])
    again = frames(client, film, tmp_path / "again.mp4").float()

    def edited(shot: int, **fields: Any) -> tuple[Any, dict[str, Any], set[int]]:
        """The film after an edit, its plan before it was made, and the steps that ran."""
        shots = client.get(path(film, "/storyboard")).json()
        shots["shot"][shot - 1].update(fields)
        client.put(path(film, "/storyboard"), json=shots)
        assert client.get(path(film, "/frames/20")).status_code == 200
        plan, seen = client.get(path(film, "/plan")).json(), events(client, film["id"])[-1][0]
        client.post(path(film, "/start"))
        wait(client, film["id"])
        fresh = [line for _, line in events(client, film["id"], seen)]
        ran = {line["step"] for line in fresh if line["event"] == "finished"}
        return frames(client, film, tmp_path / "edited.mp4").float(), plan, ran

    def redone() -> int:
        return len(client.get(path(film, "/manifest")).json()["asked"].get("redone", []))

    later, plan, ran = edited(2, prompt="zebras")
    assert ran == {step["step"] for step in plan["steps"] if not step["cached"]}
    assert any("take" in step for step in plan["steps"]), "what stays is a part of the plan"
    # the file's encoder looks back, so that frames may differ by its rounding
    assert (later[14:26] - again[14:26]).abs().mean() < 1 < (again - first)[14:26].abs().mean()
    assert (later[70:] - again[70:]).abs().mean() > 1
    assert redone() == 1 and client.get(path(film)).json()["takes"]
    shorter, _, _ = edited(2, seconds=2)
    assert len(shorter) == 80 and redone() == 1
    edited(1, prompt="fog at noon")
    assert redone() == 0 and not client.get(path(film)).json()["takes"]


def test_takes_that_are_there_are_not_filmed_again(
    client: TestClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    film = wait(client, client.post("/v1/videos", json={**board(8), "start": True}).json()["id"])
    client.post(path(film, "/redo"), json={"seconds": [2, 4], "takes": 2})
    wait(client, film["id"])
    [folder] = Path(str(tmp_path_factory.getbasetemp())).glob(f"**/{film['id']}/takes")
    (folder / "1.mp4").write_bytes(b"as it was left")
    client.post(path(film, "/redo"), json={"seconds": [2, 4], "take": 0})
    wait(client, film["id"])
    assert client.get(path(film, "/takes/1")).content == b"as it was left"
    client.post(path(film, "/redo"), json={"seconds": [2, 4], "takes": 3})
    wait(client, film["id"])
    assert client.get(path(film, "/takes/1")).content == b"as it was left"
    assert client.get(path(film, "/takes/3")).content[4:8] == b"ftyp"
    client.post(path(film, "/redo"), json={"seconds": [4, 6], "takes": 1})
    assert wait(client, film["id"])["status"] == "completed"
    assert client.get(path(film, "/takes/1")).content[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({}, "no stretch"),
        ({"seconds": [2]}, "no stretch"),
        ({"seconds": ["2", "4"]}, "no stretch"),
        ({"seconds": [4, 2]}, "forward"),
        ({"seconds": [2, 400]}, "not within"),
        ({"seconds": [2, 4], "takes": 0}, "--takes 0"),
        ({"seconds": [2, 4], "takes": 99}, "up to 9"),
        ({"seconds": [2, 4], "takes": True}, "up to 9"),
        ({"seconds": [6, 7], "take": 5}, "not there"),
        ({"seconds": [2, 4], "run": "/etc"}, "unknown key"),
    ],
)
def test_what_cannot_be_redone_is_one_line(
    client: TestClient, made: dict[str, Any], asked: dict[str, Any], what: str
) -> None:
    answer = client.post(path(made, "/redo"), json=asked)
    assert answer.status_code == 400 and what in answer.json()["error"]["message"]
    assert client.get(path(made)).json()["status"] == "completed"


def test_only_a_finished_film_is_redone(client: TestClient) -> None:
    film = client.post("/v1/videos", json=board(4)).json()
    assert client.post(path(film, "/redo"), json={"seconds": [1, 2]}).status_code == 409


def test_a_shot_is_approved_until_it_is_changed(client: TestClient) -> None:
    film = client.post("/v1/videos", json=board(4, 4, 4)).json()
    assert film["approved"] == []
    assert client.patch(path(film), json={"approved": [1, 3]}).json()["approved"] == [1, 3]
    shots = client.get(path(film, "/storyboard")).json()
    shots["shot"][2]["prompt"] = "fog"
    client.put(path(film, "/storyboard"), json=shots)
    assert client.get(path(film)).json()["approved"] == [1]
    for wrong in ([0], [4], ["1"], 1, [True]):
        assert client.patch(path(film), json={"approved": wrong}).status_code == 400


def test_the_plan_tells_scores_by_name(client: TestClient, made: dict[str, Any]) -> None:
    steps = client.get(path(made, "/plan")).json()["steps"]
    assert any(step["scores"] for step in steps if step["cached"])
