"""What people prefer: shares, intervals and agreement with known answers, and a page that asks them."""

from __future__ import annotations

import json
import random
import re
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from longtake.cli import cli
from longtake.errors import InputError
from longtake.metrics.preference import Answer, Sheet, alpha, preference, read_sheet, wilson
from longtake.video import VideoWriter

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def sheet(person: str, winners: list[int | None], extra: tuple[Answer, ...] = ()) -> Sheet:
    dice = random.Random(person)
    answers = []
    for number, winner in enumerate(winners):
        left = dice.randrange(2)
        chose = "same" if winner is None else "left" if winner == left else "right"
        answers.append(Answer(str(number), left, chose))
    return Sheet("s", person, (*answers, *extra))


def test_shares_and_intervals() -> None:
    found = preference([sheet("a", [0, 0, 1, None]), sheet("b", [0, 1, 1, 0])])
    assert found.value == 4.5 / 8 and found.verdict == "no winner"
    assert (found.detail["votes"], found.detail["same"], found.detail["people"]) == (8, 1, 2)
    sure = preference([sheet(str(n), [0] * 5) for n in range(4)])
    assert sure.verdict == "first preferred" and sure.detail["alpha"] == 1
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # textbook values
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson(10, 10)[1] == pytest.approx(1)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    dice = random.Random(1)
    inside = 0
    for _ in range(1000):
        low, high = wilson(sum(dice.random() < 0.7 for _ in range(60)), 60)
        inside += low <= 0.7 <= high
    assert 0.92 < inside / 1000 < 0.98


def test_krippendorff_s_example() -> None:
    """The nominal example of Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C."""
    people = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    told = [[(str(n), v) for n, v in enumerate(row) if v is not None] for row in people]
    assert alpha(told) == pytest.approx(0.743, abs=1e-3)
    assert alpha([[("0", 1)], [("1", 1)]]) is None


def test_who_fails_a_check_does_not_count() -> None:
    awake = sheet("a", [0, 1], (Answer("check0", 0, "left"), Answer("again0", 1, "right")))
    asleep = sheet("b", [1, 1], (Answer("check0", 0, "right"),))
    found = preference([awake, asleep])
    assert (found.detail["people"], found.detail["left_out"], found.detail["votes"]) == (1, 1, 2)
    assert found.detail["steady"] == 1 and found.detail["alpha"] is None
    with pytest.raises(InputError, match="none of which passed"):
        preference([asleep])
    with pytest.raises(InputError, match="answered twice"):
        preference([awake, awake])
    with pytest.raises(InputError, match="several studies"):
        preference([awake, Sheet("other", "c", ())])


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    for shade, name in ((0.0, "ours"), (60.0, "theirs")):
        (tmp_path / name).mkdir()
        for number in range(3):
            ramp = torch.linspace(0, 150, 64) + shade
            film = torch.stack([ramp.roll(4 * t + number).expand(3, 48, 64) for t in range(6)])
            with VideoWriter(
                tmp_path / name / f"{number}.mp4", size=(64, 48), fps=Fraction(10)
            ) as out:
                out.write(film.byte())
    return tmp_path


def test_a_study_there_and_back(sets: Path) -> None:
    ours, theirs, page = sets / "ours", sets / "theirs", sets / "study.html"
    done = run("score", ours, theirs, "--study", page)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<link|@import|https?://|src=\"", text)
    assert "ours" not in text and "theirs" not in text, "nobody is told whose films they are"
    told = re.search(r"const study = (\{.*?\});\n", text)
    assert told is not None
    study = json.loads(told[1])
    names = [trial["pair"] for trial in study["trials"]]
    assert names == ["0", "1", "2", "check0", "check1", "again0", "again1"]
    assert len(study["data"]) == 8
    files = []
    for person, checked in (("a", "left"), ("b", "left"), ("c", "right")):
        answers = [{"pair": n, "left": 0, "chose": "left"} for n in names]
        answers[3]["chose"] = checked
        file = sets / f"{person}.json"
        file.write_text(json.dumps({**study, "person": person, "answers": answers, "data": None}))
        files += ["--answers", str(file)]
    done = run("score", ours, theirs, *files, "--json", "--fail-if", "preference<0.5")
    assert done.exit_code == 0, done.output
    line = json.loads(done.output)
    assert (line["value"], line["people"], line["left_out"]) == (1.0, 2, 1)
    assert line["steady"] == 1 and line["protocol"] == "preference-pairs-v1"
    assert run("score", ours, theirs, *files, "--fail-if", "preference>0.5").exit_code == 1
    turned = run("score", theirs, ours, *files)
    assert turned.exit_code == 2 and "another order" in turned.output


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "longtake-study-1"}', "[" * 99999, "\\x00"]
)
def test_what_are_no_answers_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"not answers to a study"):
        read_sheet(file)
    with pytest.raises(InputError, match="no such file"):
        read_sheet(tmp_path / "b.json")


def test_wrong_sets_are_one_line(sets: Path) -> None:
    (sets / "theirs" / "1.mp4").unlink()
    for words, said in (
        (("ours", "theirs"), "'1' is in one"),
        (("ours",), "two films"),
        (("ours/0.mp4", "absent.mp4"), "no such file"),
    ):
        done = run("score", *(sets / word for word in words), "--study", sets / "s.html")
        assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
    assert not (sets / "s.html").exists()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_in_a_browser(sets: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright here")
    page = sets / "study.html"
    assert run("score", sets / "ours", sets / "theirs", "--study", page).exit_code == 0
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1000, "height": 700})
        wrong: list[str] = []
        shown.on("pageerror", lambda error: wrong.append(str(error)))
        shown.goto(page.as_uri())
        shown.click("#start")
        for _ in range(7):
            shown.wait_for_selector("#choices button:enabled", timeout=60_000)
            shown.keyboard.press("2")
        with shown.expect_download() as saving:
            shown.click("#save")
        kept = sets / "saved.json"
        saving.value.save_as(kept)
        browser.close()
    assert not wrong
    found = read_sheet(kept)
    assert len(found.answers) == 7 and {answer.chose for answer in found.answers} == {"same"}
    by = {answer.pair: answer.left for answer in found.answers}
    assert by["again0"] == 1 - by["0"] and by["again1"] == 1 - by["1"]
