"""The studio's page with a film of 54,000 frames and 100 shots open, in Chromium: its main thread's tasks, and clicks.

    python benchmarks/pages.py                                          # makes the film first, with the tests' toy
    python benchmarks/pages.py --studio http://127.0.0.1:8123 --film video_...

For each thing a user does, the longest task of the page's main thread: in milliseconds of the clock, and of
the thread's own time, which other processes on the machine do not lengthen. Then how long the
server takes to say what a frame was made of, at first and once the plan is known. Exit code 1 if a task
took more than 100 ms of the thread's own time. Needs playwright and a `chromium` on the path.
"""

from __future__ import annotations

import collections
import contextlib
import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import click
from hostile import TOY
from watching import Studio

MOST = 100.0  # milliseconds
SHOTS, SECONDS = 100, 54.0
CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline"]

Line = dict[str, Any]


@contextlib.contextmanager
def finished() -> Iterator[tuple[str, str]]:
    """A studio that has made the film; its address and the film's name."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(folder, TOY, 1)
        try:
            words = ("a calm sea", "night over hills", "storm at noon", "early fog")
            shots = [
                {"prompt": words[n % 4], "seconds": SECONDS, "cut": not n} for n in range(SHOTS)
            ]
            asked = {"storyboard": {"seed": 7, "fps": 10, "shot": shots}, "start": False}
            name = studio.ask("POST", "/v1/videos", asked)["id"]
            studio.made(name)
            yield studio.address, name
        finally:
            studio.close()


class Watch:
    """Tasks of a page's main thread, as the browser traces them."""

    def __init__(self, browser: Any, page: Any) -> None:
        self._page, self._events, self._done = page, list[Line](), False
        self._session = browser.new_browser_cdp_session()
        self._session.on("Tracing.dataCollected", lambda told: self._events.extend(told["value"]))
        self._session.on("Tracing.tracingComplete", lambda _: setattr(self, "_done", True))
        self.acts: list[tuple[str, float, float]] = []  # what, from, to: by the page's own clock
        config = {"includedCategories": CATEGORIES}
        self._session.send("Tracing.start", {"traceConfig": config, "transferMode": "ReportEvents"})

    def act(self, what: str, work: Callable[[], object], rest: float = 1500) -> None:
        """Something a user does, and what comes of it in the next moments, in milliseconds."""
        began = time.monotonic()
        work()
        self._page.wait_for_timeout(rest)
        self.acts.append((what, began, time.monotonic()))

    def longest(self) -> dict[str, tuple[float, float]]:
        """Milliseconds of clock and of the thread's own time, of every act the longest of each."""
        self._session.send("Tracing.end")
        while not self._done:
            self._page.wait_for_timeout(100)
        named = [each for each in self._events if each.get("name") == "thread_name"]
        mains = {(n["pid"], n["tid"]) for n in named if n["args"]["name"] == "CrRendererMain"}
        tasks = [
            each
            for each in self._events
            if (each.get("pid"), each.get("tid")) in mains and each.get("name") == "RunTask"
        ]
        # a browser has pages of its own
        told = [each for each in self._events if each.get("name") == "ResourceSendRequest"]
        own = [e["pid"] for e in told if e["args"]["data"]["url"].startswith(self._page.url[:16])]
        pid = collections.Counter(own).most_common(1)[0][0]
        found = {}
        for what, began, end in self.acts:
            # a trace counts microseconds of the same clock
            mine = [
                each
                for each in tasks
                if each["pid"] == pid and began <= each["ts"] / 1e6 < end and "dur" in each
            ]
            clock = max((each["dur"] / 1000 for each in mine), default=0.0)
            found[what] = clock, max((each.get("tdur", 0) / 1000 for each in mine), default=0.0)
        return found


def used(browser: Any, address: str, name: str) -> dict[str, tuple[float, float]]:
    """What a user does with a long film, and its longest tasks."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.set_default_timeout(120_000)
    watch = Watch(browser, page)

    def planned() -> None:
        while "finished" not in (page.text_content("#forecast") or ""):
            page.wait_for_timeout(50)

    def opened() -> None:
        page.goto(f"{address}/#{name}")
        planned()

    def scrolled() -> None:
        for n in range(30):
            page.evaluate(f"document.querySelector('#lanes').scrollLeft = {700 * n}")
            page.wait_for_timeout(30)

    def dragged() -> None:
        box = page.locator("#shots li").nth(30).bounding_box()
        page.mouse.move(box["x"] + 4, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 300, box["y"] + 20, steps=20)
        page.mouse.up()

    def pointed() -> None:
        high = page.locator("#plan").bounding_box()["y"] + 12
        for n in range(30):
            page.mouse.move(200 + 20 * n, high)

    def written() -> None:
        page.click("#tab-shot")
        page.fill("#prompt", "zebras on a plain")
        page.locator("#prompt").blur()

    def undone() -> None:
        page.focus("#ruler")
        page.keyboard.press("Control+z")

    def frames() -> None:
        box = page.locator("#plan").bounding_box()
        for n in range(5):  # faster than they are answered
            page.mouse.click(300 + 150 * n, box["y"] + 10)

    ruler = page.locator("#ruler")
    watch.act("open", opened, 3000)
    watch.act("zoom in", lambda: page.locator("#zoom").fill("5"))
    watch.act("scroll", scrolled)
    watch.act("zoom out", lambda: page.locator("#zoom").fill("0"))
    watch.act("choose a shot", lambda: page.locator("#shots li button").nth(40).click())
    watch.act("seek to the middle", lambda: ruler.click(position={"x": 600, "y": 10}))
    watch.act("play", lambda: page.click("#play"), 3000)
    watch.act("stop", lambda: page.click("#play"))
    watch.act("click frames", frames, 4000)
    watch.act("point at the plan", pointed)
    watch.act("drag a shot", dragged, 4000)
    watch.act("undo", undone, 4000)
    watch.act("write a prompt", written, 4000)
    watch.act("undo again", undone, 4000)
    watch.act("scores over time", lambda: page.click("#scores summary"))
    watch.act("steps as a table", lambda: page.click("#steps summary"))
    found = watch.longest()
    page.close()
    return found


def asked(address: str, name: str, count: int = 5) -> list[float]:
    """Seconds until the server has said what a frame was made of, for so many frames."""
    found = []
    for n in range(count):
        began = time.perf_counter()
        path = f"{address}/v1/videos/{name}/frames/{1000 + 9973 * n}"
        with urllib.request.urlopen(path, timeout=120) as answer:
            answer.read()
        found.append(round(time.perf_counter() - began, 3))
    return found


@click.command()
@click.option("--studio", default="", help="One that runs already.")
@click.option("--film", default="", help="A finished film of it.")
def main(studio: str, film: str) -> None:
    """Open a long film, and use it."""
    from playwright.sync_api import sync_playwright

    there = contextlib.nullcontext((studio.rstrip("/"), film)) if film else finished()
    with there as (address, name), sync_playwright() as play:
        clicks = asked(address, name)
        words = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
        browser = play.chromium.launch(**words)
        found = used(browser, address, name)
        browser.close()
    for what, (clock, own) in found.items():
        click.echo(json.dumps({"act": what, "clock_ms": round(clock), "own_ms": round(own)}))
    click.echo(json.dumps({"frame_seconds": clicks}))
    sys.exit(int(max(own for _, own in found.values()) > MOST))


if __name__ == "__main__":
    main()
