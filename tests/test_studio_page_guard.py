"""The studio's page in a real browser: who comes in, and what pages of other origins can do."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import studio_browser
from studio_browser import expect
from studio_parts import Server, board, events, wait

browser, page = studio_browser.browser, studio_browser.page  # fixtures


def test_the_token_is_asked_for_and_remembered(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_STUDIO_TOKEN", "ada=0123456789abcdef")
    with Server(tmp_path / "films") as server:
        page.goto(server.address)
        page.fill("#token", "0123456789abcdee")
        page.click("#sign-in .primary")
        expect(page.locator("#sign-error")).to_contain_text("not a known token")
        page.fill("#token", "0123456789abcdef")
        page.click("#sign-in .primary")
        expect(page.locator("#hint")).to_contain_text("No film yet")
        page.reload()
        expect(page.locator("#hint")).to_contain_text("No film yet")


ELSEWHERE = """async (studio) => {
    const heard = [];
    const said = { prompt: "a sea", seconds: 1 };
    for (const mode of ["cors", "no-cors"]) for (const [method, type] of [["GET"], ["POST", "text/plain"], ["POST", "application/json"]]) {
        const asked = { mode, method, credentials: "include" };
        if (type) Object.assign(asked, { body: JSON.stringify(said), headers: { "content-type": type } });
        const told = await fetch(`${studio}v1/videos`, asked).then((r) => r.text(), () => "");
        heard.push(told);
    }
    const page = await new Promise((done) => {
        const frame = document.createElement("iframe");
        frame.onload = () => { try { done(frame.contentDocument?.body.textContent ?? ""); } catch { done(""); } };
        frame.src = studio;
        document.body.append(frame);
    });
    const events = await new Promise((done) => {
        const source = new EventSource(`${studio}v1/videos/NAME/events`, { withCredentials: true });
        source.onmessage = (message) => done(message.data);
        source.onerror = () => done("");
    });
    const shown = await new Promise((done) => {
        const film = document.createElement("video");
        film.onloadeddata = () => done("seen");
        film.onerror = () => done("");
        film.src = `${studio}v1/videos/NAME/content`;
    });
    return [...heard, page, events, shown].join("");
}"""


def test_a_page_of_another_origin_reads_and_starts_nothing(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Blank(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><body></body>")

        def log_message(self, *_: object) -> None:
            pass

    elsewhere = HTTPServer(("127.0.0.1", 0), Blank)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    token = "0123456789abcdef"
    monkeypatch.setenv("LONGTAKE_STUDIO_TOKEN", f"ada={token}")
    with Server(tmp_path / "films") as server:
        server.client.headers["authorization"] = f"Bearer {token}"
        asked = {**board(2), "start": True}
        name = wait(server.client, server.client.post("/v1/videos", json=asked).json()["id"])["id"]
        before = events(server.client, name)
        attack, told = ELSEWHERE.replace("NAME", name), list[int]()
        # what the server answered, whatever the browser then lets the page see of it
        network, api = page.context.new_cdp_session(page), set[str]()
        network.on(
            "Network.requestWillBeSent",
            lambda sent: api.add(sent["requestId"]) if "/v1/" in sent["request"]["url"] else None,
        )
        network.on(
            "Network.responseReceivedExtraInfo",
            lambda got: told.append(got["statusCode"]) if got["requestId"] in api else None,
        )
        network.send("Network.enable")
        page.goto(f"http://127.0.0.1:{elsewhere.server_port}/")
        assert page.evaluate(attack, server.address) == ""
        assert len(told) >= 5 and set(told) <= {401, 403}
        # nor with the cookie of one who has signed in, which a page of this host's other ports sends too
        page.goto(server.address)
        page.fill("#token", token)
        page.click("#sign-in .primary")
        expect(page.locator("#status")).to_have_text("Finished")
        page.goto(f"http://127.0.0.1:{elsewhere.server_port}/")
        told.clear()
        assert page.evaluate(attack, server.address) == ""
        assert len(told) >= 5 and set(told) == {403}
        assert [film["id"] for film in server.client.get("/v1/videos").json()["data"]] == [name]
        assert events(server.client, name) == before
        page.goto(server.address)
        page.click("#sign-out")
        expect(page.locator("#token")).to_be_visible()
    elsewhere.shutdown()
    elsewhere.server_close()
