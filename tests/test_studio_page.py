"""The studio's page in a real browser: written, made, watched, changed, and reopened after a kill."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import studio_browser
from studio_browser import expect, saved, shot, until
from studio_parts import Server, board, events

browser, page = studio_browser.browser, studio_browser.page  # fixtures


def test_a_film_from_first_word_to_export(page: Any, tmp_path: Path) -> None:
    with Server(tmp_path / "films") as server:
        port = int(server.address.rsplit(":", 1)[1].strip("/"))
        page.goto(server.address)
        expect(page.locator("#hint")).to_contain_text("No film yet")
        expect(page.locator("#make")).to_be_hidden()
        page.click("#new-film")
        page.fill("#new-prompt", "A calm sea. A city, then rain")
        page.fill("#new-seconds", "18")
        page.click("#new-dialog .primary")
        expect(page.locator("#shots li")).to_have_count(3)
        for number, words in enumerate(("a calm sea", "night over hills", "storm at noon"), 1):
            shot(page, number).click()
            page.fill("#prompt", words)
            page.locator("#prompt").blur()
            expect(shot(page, number)).to_contain_text(words)
        saved(page)
        page.click("#tab-film")
        page.locator("#panel-film select").nth(1).select_option("autoregressive")
        page.click("#make")
        expect(page.locator("#status")).to_have_text("Finished")
        name = page.url.rpartition("#")[2]
        assert server.client.get(f"/v1/videos/{name}").json()["frames"] == 180

        until(page, "document.querySelector('#video').readyState >= 2")
        assert page.evaluate("document.querySelector('#video').duration") == pytest.approx(
            18, abs=0.2
        )
        page.click("#play")
        until(page, "document.querySelector('#video').currentTime > 0.3")
        page.click("#play")

        shot(page, 2).click()
        page.fill("#prompt", "zebras on a plain")
        page.locator("#prompt").blur()
        expect(page.locator("#status")).to_have_text("Made; changed since")
        plan = server.client.get(f"/v1/videos/{name}/plan").json()
        assert 0 < plan["to_run"] < len(plan["steps"])
        expect(page.locator("#forecast")).to_contain_text(
            f"{plan['to_run']} of {len(plan['steps'])} steps would run"
        )
        seen = events(server.client, name)[-1][0]
        page.click("#make")
        expect(page.locator("#status")).to_have_text("Finished")
        fresh = [line for _, line in events(server.client, name, seen)]
        ran = {line["step"] for line in fresh if line["event"] == "finished"}
        assert ran == {step["step"] for step in plan["steps"] if not step["cached"]}

        page.focus("#ruler")
        page.keyboard.press("Home")
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("i")
        expect(page.locator("#panel-frame h2")).to_contain_text("Frame 3")
        expect(page.locator("#panel-frame")).to_contain_text("writes frames 0–")
        page.click("#scores summary")
        page.click("#measure")
        expect(page.locator("#measured-scores")).to_contain_text("drift")
        expect(page.locator("#measured-scores")).to_contain_text("agreement")

        # a copy of it with another seed, beside it
        page.fill("#title", "First")
        page.locator("#title").blur()
        page.click("#tab-film")
        page.get_by_role("button", name="Copy the film").click()
        expect(page.locator("#title")).to_have_value("First, a copy")
        page.click("#make")
        expect(page.locator("#status")).to_have_text("Finished")
        page.select_option("#compare", label="First")
        until(page, "document.querySelector('#video-other').readyState >= 2")
        page.focus("#ruler")
        page.keyboard.press("Home")
        page.keyboard.press("PageDown")
        until(page, "document.querySelector('#video-other').currentTime > 1")
        assert page.evaluate(
            "document.querySelector('#video').currentTime == document.querySelector('#video-other').currentTime"
        )

        page.goto(f"{server.address}#{name}")
        expect(page.locator("#title")).to_have_value("First")
        with page.expect_download() as download:
            page.click("#export")
        whole = server.client.get(f"/v1/videos/{name}/content").content
        assert download.value.path().read_bytes() == whole
        with page.expect_download() as download:
            page.click("#save-toml")
        assert download.value.suggested_filename == "First.toml"
        text = download.value.path().read_text()
        assert 'prompt = "zebras on a plain"' in text
        page.set_input_files(
            "#toml-file", files=[{"name": "again.toml", "mimeType": "", "buffer": text.encode()}]
        )
        expect(page.locator("#title")).to_have_value("again")
        expect(shot(page, 2)).to_contain_text("zebras")
        server.kill()
    with Server(tmp_path / "films", port) as server:
        page.goto(f"{server.address}#{name}")
        page.reload()
        expect(page.locator("#title")).to_have_value("First")
        expect(page.locator("#status")).to_have_text("Finished")
        expect(shot(page, 2)).to_contain_text("zebras")
        expect(page.locator("#film-list li")).to_have_count(3)
        until(page, "document.querySelector('#video').readyState >= 2")
        assert server.client.get(f"/v1/videos/{name}/content").content == whole


def test_shots_are_changed_by_keys_and_by_hand(page: Any, tmp_path: Path) -> None:
    with Server(tmp_path / "films") as server:
        name = server.client.post("/v1/videos", json=board(6, 6, 6)).json()["id"]
        path = f"/v1/videos/{name}/storyboard"

        def kept() -> list[tuple[str, float]]:
            saved(page)
            page.wait_for_timeout(900)
            shots = server.client.get(path).json()["shot"]
            return [(each["prompt"].split()[0], each["seconds"]) for each in shots]

        page.goto(f"{server.address}#{name}")
        saved(page)
        shot(page, 1).focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Alt+ArrowLeft")
        assert kept() == [("night", 6), ("a", 6), ("storm", 6)]
        page.keyboard.press("Shift+ArrowRight")
        assert kept()[0] == ("night", 6.5)
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        assert kept() == [("a", 6), ("night", 6), ("storm", 6)]

        last, first = shot(page, 3).bounding_box(), shot(page, 1).bounding_box()
        page.mouse.move(last["x"] + 60, last["y"] + 20)
        page.mouse.down()
        page.mouse.move(first["x"] + 60, first["y"] + 20, steps=8)
        page.mouse.up()
        assert [word for word, _ in kept()] == ["storm", "a", "night"]
        box = shot(page, 1).bounding_box()
        page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 3 - box["width"] / 2, box["y"] + 20, steps=8)
        page.mouse.up()
        assert kept()[0][1] == pytest.approx(3, abs=0.3)

        page.focus("#ruler")
        page.keyboard.press("Home")
        page.keyboard.press("PageDown")
        page.keyboard.press("s")
        assert [seconds for _, seconds in kept()][:2] == pytest.approx([1, 2], abs=0.3)
        page.keyboard.press("n")
        assert len(kept()) == 5
        shot(page, 5).click()
        page.keyboard.press("Delete")
        assert len(kept()) == 4


NAMELESS = """[...document.querySelectorAll("button, input, select, textarea, [tabindex='0'], [role]")]
    .filter((each) => each.type !== "file" || each.checkVisibility())
    .filter((each) => !(each.labels?.length || each.ariaLabel || each.getAttribute("aria-labelledby") || each.textContent.trim()
        || each.matches("[role=status], [role=alert], [hidden]")))
    .map((each) => each.outerHTML.slice(0, 120))"""


def test_a_picture_is_dropped_on_a_shot(page: Any, tmp_path: Path) -> None:
    import torch

    from longtake.video import write_image

    write_image(torch.full((3, 20, 30), 90, dtype=torch.uint8), tmp_path / "a.png")
    data = list((tmp_path / "a.png").read_bytes())
    with Server(tmp_path / "films") as server:
        titled = {**board(2), "title": "Other"}
        other = server.client.post("/v1/videos", json=titled).json()["id"]
        name = server.client.post("/v1/videos", json=board(6, 6)).json()["id"]
        page.goto(f"{server.address}#{name}")
        saved(page)
        page.evaluate(
            """(data) => {
                const files = new DataTransfer();
                files.items.add(new File([new Uint8Array(data)], "My Harbour.png"));
                const block = document.querySelectorAll("#shots li")[1], box = block.getBoundingClientRect();
                const where = { clientX: box.left + box.width / 2, bubbles: true, cancelable: true };
                block.dispatchEvent(new DragEvent("drop", { dataTransfer: files, ...where }));
            }""",
            data,
        )
        shot(page, 2).click()
        expect(page.locator(".pins")).to_contain_text("My-Harbour.png")
        assert page.evaluate(NAMELESS) == [], "whoever does not see a control hears its name"
        page.evaluate(
            """() => {
                for (const text of ["42", "fog at noon"]) {
                    const words = new DataTransfer();
                    words.setData("text/plain", text);
                    const block = document.querySelector("#shots li");
                    block.dispatchEvent(new DragEvent("drop", { dataTransfer: words, bubbles: true, cancelable: true }));
                }
            }"""
        )
        expect(shot(page, 1)).to_contain_text("fog at noon")
        page.wait_for_timeout(900)
        shots = server.client.get(f"/v1/videos/{name}/storyboard").json()["shot"]
        assert (shots[0]["prompt"], shots[0]["seed"]) == ("fog at noon", 42)
        assert shots[1]["images"] == ["3=My-Harbour.png"]
        # the pin is dragged to another time, and back by undoing; redone at the shot's end
        mark, block = shot(page, 2).locator("em").bounding_box(), shot(page, 2).bounding_box()
        page.mouse.move(mark["x"] + 5, mark["y"] + 6)
        page.mouse.down()
        page.mouse.move(block["x"] + block["width"] - 1, mark["y"] + 6, steps=6)
        page.mouse.up()
        time_of = page.locator('.pins input[type="number"]')
        expect(time_of).to_be_disabled()
        page.focus("#ruler")
        page.keyboard.press("Control+z")
        expect(time_of).to_have_value("3")
        page.keyboard.press("Control+Shift+Z")
        expect(time_of).to_be_disabled()
        # what was written last is kept, whatever is opened the moment after
        shot(page, 1).click()
        page.fill("#prompt", "hail at dusk")
        page.locator("#film-list button", has_text="Other").click()
        expect(page.locator("#title")).to_have_value("Other")
        expect(shot(page, 1)).to_contain_text("a calm sea")
        shots = server.client.get(f"/v1/videos/{name}/storyboard").json()["shot"]
        assert shots[0]["prompt"] == "hail at dusk"
        page.fill("#prompt", "last words")
        page.goto("about:blank")  # at once: what is not saved yet goes along
        page.wait_for_timeout(500)
        assert shots[1]["images"] == ["end=My-Harbour.png"]
        shots = server.client.get(f"/v1/videos/{other}/storyboard").json()["shot"]
        assert shots[0]["prompt"] == "last words"


def test_a_storyboard_is_opened_with_what_it_pins_and_a_frame_replaced(
    page: Any, tmp_path: Path
) -> None:
    import torch

    from longtake.video import write_image

    write_image(torch.full((3, 20, 30), 90, dtype=torch.uint8), tmp_path / "my harbour.png")
    text = '[[shot]]\nprompt = "a sea"\nseconds = 4\nimages = ["1=pictures/my harbour.png"]\n'
    (tmp_path / "harbour.toml").write_text(text)
    both = [tmp_path / "harbour.toml", tmp_path / "my harbour.png"]
    with Server(tmp_path / "films") as server:

        def pins() -> list[str]:
            name = page.url.rpartition("#")[2]
            board = server.client.get(f"/v1/videos/{name}/storyboard").json()
            return [pin for each in board["shot"] for pin in each["images"]]

        page.goto(server.address)
        page.set_input_files("#toml-file", both[:1])
        expect(page.locator("#error")).to_contain_text("without my-harbour.png")
        assert pins() == []
        alone = page.url
        page.set_input_files("#toml-file", both)
        expect(page.locator(".pins")).to_contain_text("my-harbour.png")
        assert page.url != alone and pins() == ["1=my-harbour.png"]
        page.click("#tab-film")
        page.locator("#panel-film select").nth(1).select_option("autoregressive")
        page.fill("#parameters", "window=8,step=3")
        page.fill("#knobs", "slow=0.01")
        page.locator("#knobs").blur()
        saved(page)
        page.click("#make")
        expect(page.locator("#status")).to_have_text("Finished")
        name = page.url.rpartition("#")[2]
        made = server.client.get(f"/v1/videos/{name}").json()
        assert made["scheme"] == "autoregressive:window=8,step=3"
        assert made["settings"] == {"slow": 0.01}
        with page.expect_download() as download:
            page.click("#save-toml")
        assert download.value.suggested_filename == "harbour.zip"
        with zipfile.ZipFile(download.value.path()) as stored:
            parts = {part: stored.read(part) for part in stored.namelist()}
        # as another packer would have it: deflated, in a folder
        with zipfile.ZipFile(tmp_path / "again.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for part, data in parts.items():
                archive.writestr(f"harbour/{part}", data)
        for packed, title in (
            (download.value.path(), "harbour"),
            (tmp_path / "again.zip", "again"),
        ):
            file = {"name": f"{title}.zip", "mimeType": "", "buffer": packed.read_bytes()}
            before = page.url
            page.set_input_files("#toml-file", files=[file])
            page.wait_for_url(lambda url, before=before: url != before)
            expect(page.locator("#title")).to_have_value(title)
            expect(page.locator(".pins")).to_contain_text("my-harbour.png")
            assert pins() == ["1=my-harbour.png"]
        page.goto(f"{server.address}#{name}")
        expect(page.locator("#status")).to_have_text("Finished")
        page.focus("#ruler")
        page.keyboard.press("Home")
        page.keyboard.press("i")
        expect(page.locator("#panel-frame h2")).to_contain_text("Frame 0")
        page.set_input_files("#replace", both[1])
        expect(page.locator("#status")).to_have_text("Made; changed since")
        assert sorted(pins()) == ["0=my-harbour.png", "1=my-harbour.png"]


def test_a_film_is_watched_while_it_grows_and_after_a_kill(page: Any, tmp_path: Path) -> None:
    with Server(tmp_path / "films") as server:
        port = int(server.address.rsplit(":", 1)[1].strip("/"))
        asked = {**board(40, slow=0.5), "title": "Long"}
        name = server.client.post("/v1/videos", json=asked).json()["id"]
        page.goto(f"{server.address}#{name}")
        saved(page)
        page.click("#make")
        expect(page.locator("#status")).to_have_text("Being made")
        until(page, "document.querySelector('#video').buffered.length > 0")
        early = page.evaluate("document.querySelector('#video').buffered.end(0)")
        page.click("#play")
        until(page, "document.querySelector('#video').currentTime > 0.2")
        page.click("#play")
        expect(page.locator("#film-list [aria-current]")).to_contain_text("Long")
        until(page, f"document.querySelector('#video').buffered.end(0) > {early}")
        expect(page.locator("#status")).to_have_text("Being made")
        assert early < 40
        expect(page.locator("#strip img").first).to_be_visible()
        server.kill()
    with Server(tmp_path / "films", port) as server:
        # the tab stayed open: it goes on by itself
        expect(page.locator("#status")).to_have_text("Finished")
        with page.expect_request(re.compile("/events")) as watched:
            page.reload()
        expect(page.locator("#title")).to_have_value("Long")
        # what is over is known without hearing of it again
        assert watched.value.url.endswith(f"after={events(server.client, name)[-1][0]}")
        until(page, "document.querySelector('#video').readyState >= 1")
        assert page.evaluate("document.querySelector('#video').duration") == pytest.approx(
            40, abs=0.2
        )
        done = [line for _, line in events(server.client, name) if line["event"] == "done"][-1]
        assert done["reused"] >= 1


def test_a_film_of_54000_frames_keeps_the_page_quick(page: Any, tmp_path: Path) -> None:
    with Server(tmp_path / "films") as server:
        name = server.client.post("/v1/videos", json=board(*[54.0] * 100)).json()["id"]
        page.goto(f"{server.address}#{name}")
        saved(page)
        expect(page.locator("#shots li")).to_have_count(100)
        # the main thread's own time, which other processes on this machine do not lengthen
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def worked() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

        def cost(act: Callable[[], object]) -> float:
            before = worked()
            act()
            page.wait_for_timeout(400)
            return 1000 * (worked() - before)

        page.focus("#ruler")
        acts: dict[str, Callable[[], object]] = {
            "closer": lambda: page.locator("#zoom").fill("5"),
            "farther": lambda: page.locator("#zoom").fill("0"),
            "another shot": lambda: shot(page, 40).click(),
            "to the end": lambda: page.press("#ruler", "End"),
            "one more shot": lambda: page.click("#add-shot"),
        }
        costs = {what: cost(act) for what, act in acts.items()}
        assert max(costs.values()) < 100, costs
        assert cost(lambda: saved(page)) < 100  # the plan of the longer film has come


def test_a_draft_is_approved_made_and_a_stretch_of_it_made_again(page: Any, tmp_path: Path) -> None:
    with Server(tmp_path / "films") as server:
        name = server.client.post("/v1/videos", json=board(6, 6)).json()["id"]
        page.goto(f"{server.address}#{name}")
        saved(page)
        page.click("#draft")
        expect(page.locator("#status")).to_have_text("A draft: the film keeps its keyframes")
        until(page, "document.querySelector('#video').readyState >= 1")
        expect(page.locator("#export")).to_have_attribute("aria-disabled", "")
        page.check("#approved")
        expect(shot(page, 1)).to_contain_text("1 ✓")
        page.click("#make")
        expect(page.locator("#status")).to_have_text("Finished")
        done = [line for _, line in events(server.client, name) if line["event"] == "done"][-1]
        assert done["reused"] > 0 and done["out"] == "film.mp4"
        page.click("#scores summary")
        expect(page.locator("#scores-legend li").first).to_contain_text("at most")
        until(page, "document.querySelector('#video').readyState >= 1")
        page.click("#explain")
        page.fill("#redo-from", "2")
        page.fill("#redo-to", "4")
        page.fill("#redo-takes", "2")
        page.click("#redo")
        expect(page.locator("#status")).not_to_have_text("Finished")
        expect(page.locator("#status")).to_have_text("Finished")
        until(page, "document.querySelector('#video').readyState >= 1")
        page.click("#explain")
        page.click("#show-takes")
        expect(page.locator("#takes li")).to_have_count(3)
        until(page, "[...document.querySelectorAll('#takes video')].every(v => v.readyState >= 2)")
        page.locator("#takes button").first.click()
        expect(page.locator("#takes-dialog")).to_be_hidden()
        expect(page.locator("#status")).to_have_text("Finished")
        # another seed for the second shot: it is made again, and what is approved stays so
        shot(page, 2).click()
        page.get_by_role("button", name="Roll again").click()
        expect(page.locator("#forecast")).to_contain_text("would run")
        expect(shot(page, 1)).to_contain_text("1 ✓")
