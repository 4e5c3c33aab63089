"""A real browser for the tests of the studio's page, and what is asked of it.

Skipped where Playwright or Chromium is missing: `pip install playwright`, and a `chromium` on the path.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
PATIENCE = 60_000  # milliseconds: the machine may be busy


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    play_api = pytest.importorskip("playwright.sync_api", reason="no Playwright here")
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with play_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page on which nothing may go wrong unseen."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    found = context.new_page()
    found.set_default_timeout(PATIENCE)
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on(
        "request",
        lambda asked: (
            wrong.append(asked.url)
            if "//127.0.0.1" not in asked.url and asked.url[:5] != "blob:"
            else None
        ),
    )
    yield found
    context.close()
    assert wrong == []


def expect(what: Any) -> Any:
    """Playwright's expectation, with patience."""
    from playwright import sync_api

    sync_api.expect.set_options(timeout=PATIENCE)
    return sync_api.expect(what)


def until(page: Any, condition: str) -> None:
    """Waits for a condition in JavaScript, without the `eval` that the page's policy forbids."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def shot(page: Any, number: int) -> Any:
    """A shot's block."""
    return page.locator("#shots li").nth(number - 1).locator("button")


def saved(page: Any) -> None:
    """Waits until an edit has been kept and planned."""
    expect(page.locator("#forecast")).to_have_text(re.compile("would run|are finished"))
