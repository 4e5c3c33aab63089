"""What every path of the API does: a request in, an answer out."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from longtake import recipes
from longtake.errors import InputError
from longtake.schemes import SCHEMES
from longtake.studio.bodies import board_of, check_media, kind_of, object_of, text_of
from longtake.studio.bundle import bundle
from longtake.studio.films import Film, Shelf, digest, json_of, numbers
from longtake.studio.foreman import OPEN, Foreman, Record
from longtake.studio.gate import COOKIE, OWNER, Users
from longtake.studio.insight import Insight
from longtake.studio.measuring import WAITING, Measuring
from longtake.studio.sending import archived, event_lines, line_start, ranged, read_file
from longtake.video.files import part_of

Line = dict[str, Any]
T = TypeVar("T")
_BEAT = 15.0  # seconds of silence after which a watcher is told that there is nothing new
_PACE = 0.2  # seconds between two lots of events to one watcher: what comes close together goes together
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}


class Paths:
    """The API over a shelf, a foreman and what they can say."""

    def __init__(self, shelf: Shelf, foreman: Foreman, users: Users) -> None:
        self.shelf, self.foreman, self.users = shelf, foreman, users
        self.insight, self.measuring = Insight(shelf), Measuring()
        self._planning, self._plans = asyncio.Semaphore(2), 0
        self._watchers: dict[str, int] = {}
        self._leaving = False

    def leave(self) -> None:
        """Ends what would go on: the server is about to stop."""
        self._leaving = True
        self.foreman.rouse()
        self.measuring.close()

    # --- who, and what there is

    async def session(self, request: Request) -> Response:
        """Whether a token is needed, and what may be asked."""
        owner = request.scope[OWNER]
        known: Line = {
            "object": "session",
            "token_needed": not self.users.open,
            "user": owner or None,
        }
        if owner:
            limits = self.shelf.limits
            known["models"] = list(self.shelf.models)
            known["schemes"] = list(SCHEMES)
            known["limits"] = {name: getattr(limits, name) for name in ("body", "media", "frames")}
        return JSONResponse(known)

    async def sign_in(self, request: Request) -> Response:
        """A cookie for a token, for what browsers ask without being able to send a header."""
        token = (await object_of(request)).get("token")
        owner = self.users.named(token) if isinstance(token, str) else None
        if owner is None:
            await asyncio.sleep(0.2)
            raise HTTPException(401, "not a known token; try the one the studio was started with")
        response = JSONResponse({"object": "session", "user": owner})
        secure = request.url.scheme == "https"
        value = self.users.cookie(str(token))
        response.set_cookie(
            COOKIE, value, max_age=30 * 86400, httponly=True, samesite="strict", secure=secure
        )
        return response

    async def sign_out(self, request: Request) -> Response:
        """Forgets the cookie."""
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    async def models(self, request: Request) -> Response:
        """What can make films here."""
        titles = {name: recipes.title(name) for name in recipes.names()}
        data = [
            {
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": "local",
                "title": titles.get(name, ""),
            }
            for name in self.shelf.models
        ]
        return JSONResponse({"object": "list", "data": data})

    async def storyboard_of(self, request: Request) -> Response:
        """A prompt as a storyboard, to be looked at before anything is made; or TOML as JSON."""
        if kind_of(request) == "application/toml":
            text = await text_of(request)
        else:
            text = await self._planned(self.shelf.storyboard, await object_of(request))
        return JSONResponse(await run_in_threadpool(json_of, text, self.shelf.folder))

    # --- films

    async def videos(self, request: Request) -> Response:
        """A user's films, newest first."""
        records = list(self.foreman.of(request.scope[OWNER]))
        after, limit = request.query_params.get("after"), request.query_params.get("limit", "100")
        if not limit.isdecimal() or not 1 <= int(limit[:6]) <= 500:
            raise HTTPException(400, f"limit {limit[:20]!a}; try a number from 1 to 500")
        if after is not None:
            places = [n for n, record in enumerate(records) if record.id == after]
            if not places:
                raise HTTPException(400, f"no film {after[:60]!a} to go on after; try without")
            records = records[places[0] + 1 :]
        shown = records[: int(limit)]
        data = [await run_in_threadpool(self._video, record) for record in shown]
        more = len(records) > len(shown)
        return JSONResponse({"object": "list", "data": data, "has_more": more})

    async def create(self, request: Request) -> Response:
        """A film out of a prompt or a storyboard; it is made at once, unless `start` is false."""
        owner, asked = request.scope[OWNER], await object_of(request)
        start = asked.get("start", True)
        if not isinstance(start, bool):
            raise HTTPException(400, "start is true or false; try true")
        if sum(1 for _ in self.foreman.of(owner)) >= self.shelf.limits.videos:
            raise HTTPException(429, "too many films; try to delete some")
        if start:
            self._check_queue(owner)
        film = await run_in_threadpool(self.shelf.create, owner, asked)
        record = self.foreman.add(film)
        if start:
            self.foreman.submit(record)
        return JSONResponse(self._video(record))

    async def video(self, request: Request) -> Response:
        """How a film stands."""
        return JSONResponse(await run_in_threadpool(self._video, self._record(request)))

    async def change(self, request: Request) -> Response:
        """Another title, model, scheme or settings for a film; what they touch is made again when it starts."""
        record, fields = self._record(request), await object_of(request)
        await run_in_threadpool(self.shelf.choose, self.foreman.film(record), fields)
        return JSONResponse(self._video(record))

    async def delete(self, request: Request) -> Response:
        """Stops a film and deletes all that is kept of it."""
        record = self._record(request)
        await self.foreman.remove(record)
        return JSONResponse({"id": record.id, "object": "video.deleted", "deleted": True})

    async def start(self, request: Request) -> Response:
        """Puts a film, or its draft, into the queue: for the first time, after an edit, or after a pause."""
        record = self._idle(request)
        draft = (await object_of(request)).get("draft", False) if await request.body() else False
        if not isinstance(draft, bool):
            raise HTTPException(400, "draft is true or false; try true")
        if draft:
            await run_in_threadpool(self.shelf.keep_draft, self.foreman.film(record))
        self.foreman.submit(record, draft=draft)
        return JSONResponse(self._video(record))

    async def redo(self, request: Request) -> Response:
        """Makes a stretch of a finished film again, both its ends pinned, or shows another take of it."""
        record, asked = self._idle(request), await object_of(request)
        now = self._video(record)
        if record.status != "completed" or now["edited"] or now["draft"]:
            raise HTTPException(409, "only a finished film can be redone; try start")
        redo = await self._planned(self.insight.redo, self.foreman.film(record), asked)
        self.foreman.submit(record, redo=redo)
        return JSONResponse(self._video(record))

    async def takes(self, request: Request) -> Response:
        """How the takes look of the stretch that was last made again: 0 is what was there before."""
        film = self.foreman.film(self._record(request))
        told = json.loads(await read_file(film.takes / "takes.json", "take"))
        return JSONResponse({"object": "takes", **told})

    async def take(self, request: Request) -> Response:
        """A take of that stretch with what lies around it, as a small film."""
        record, number = self._record(request), request.path_params["take"]
        if not (number.isascii() and number.isdecimal()) or len(number) > 2:
            raise HTTPException(404, f"no take {number[:20]!a}; try 0")
        place = self.foreman.film(record).takes / f"{int(number)}.mp4"
        return await ranged(request, place, False, f"{record.id}-{number}.mp4")

    async def pause(self, request: Request) -> Response:
        """Stops a film; `start` goes on where it stopped."""
        return await self._stopped(request, "paused")

    async def cancel(self, request: Request) -> Response:
        """Stops a film for good; what is finished is kept until it is deleted."""
        return await self._stopped(request, "cancelled")

    async def _stopped(self, request: Request, status: str) -> Response:
        record = self._record(request)
        if record.status not in (*OPEN, "paused"):
            what = f"this film is {record.status}, not being made; try start"
            raise HTTPException(409, what)
        await self.foreman.stop(record, status)
        return JSONResponse(self._video(record))

    async def content(self, request: Request) -> Response:
        """The film, or as much of it as there is: fragmented MP4 that plays while it grows."""
        record = self._record(request)
        place, grows = self._shown(record)
        return await ranged(request, place, grows, f"{record.id}.mp4")

    async def manifest(self, request: Request) -> Response:
        """The manifest of a finished film: hashes, models, seeds."""
        film = self.foreman.film(self._record(request))
        place = film.out.with_name(f"{film.out.name}.manifest.json")
        return Response(await read_file(place, "manifest"), media_type="application/json")

    async def scores(self, request: Request) -> Response:
        """A finished film's scores over time; measured when they are first asked for."""
        record = self._record(request)
        film = self.foreman.film(record)
        if record.draft or not film.out.is_file():
            raise HTTPException(404, "no scores yet; try when the film is finished")
        if self.measuring.waiting >= WAITING:
            raise HTTPException(429, "too many films are being measured; try again in a minute")
        return JSONResponse(await self.measuring.of(film))

    # --- watching

    async def events(self, request: Request) -> Response:
        """Event lines as they are written, from the last one that the watcher has seen.

        An event's id is the place where it ends in the film's list, so that nothing is kept per watcher.
        """
        record = self._record(request)
        after = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
        if not (after.isascii() and after.isdecimal()) or len(after) > 15:
            raise HTTPException(400, "no event's id; try 0, or the last one received")
        follow = request.query_params.get("follow", "true")
        if follow not in ("true", "false"):
            raise HTTPException(400, f"follow {follow[:20]!a}; try true or false")
        place = self.foreman.film(record).events
        start = await run_in_threadpool(line_start, place, int(after))
        if self._watchers.get(record.owner, 0) >= self.shelf.limits.watchers:
            raise HTTPException(429, "too many watchers; try to close some")
        sent = self._watched(record, place, start, follow == "true")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(sent, media_type="text/event-stream", headers=headers)

    async def _watched(
        self, record: Record, place: Path, start: int, follow: bool
    ) -> AsyncIterator[bytes]:
        self._watchers[record.owner] = self._watchers.get(record.owner, 0) + 1
        try:
            yield b": longtake\nretry: 1000\n\n"
            while True:
                tick = self.foreman.tick(record.id)
                lines, start = event_lines(place, start)
                if lines:
                    yield lines
                    if follow:
                        await asyncio.sleep(_PACE)
                elif not follow or self._leaving or record.id not in self.foreman.records:
                    return
                else:
                    try:
                        await asyncio.wait_for(tick.wait(), _BEAT)
                    except TimeoutError:
                        yield b": nothing new\n\n"
        finally:
            self._watchers[record.owner] -= 1

    # --- storyboards, plans, frames

    async def storyboard(self, request: Request) -> Response:
        """A film's storyboard: JSON; by `Accept` the TOML file, or a ZIP archive of it and what it pins."""
        film = self.foreman.film(self._record(request))
        text = await run_in_threadpool(film.text)
        headers = {"etag": f'"{digest(text)}"'}
        kind = request.headers.get("accept", "")
        if "zip" in kind:
            return archived(await run_in_threadpool(bundle, text, film.board), headers)
        if "toml" in kind:
            headers["content-disposition"] = 'attachment; filename="storyboard.toml"'
            return Response(text, media_type="application/toml", headers=headers)
        return JSONResponse(await run_in_threadpool(json_of, text, film.board), headers=headers)

    async def edit(self, request: Request) -> Response:
        """Replaces a film's storyboard; with `If-Match` only if nobody else did meanwhile."""
        record = self._record(request)
        film, text = self.foreman.film(record), await board_of(request)
        match = request.headers.get("if-match")
        if match is not None and match.strip('" ') != digest(await run_in_threadpool(film.text)):
            raise HTTPException(412, "the storyboard was changed elsewhere; try to load it again")
        await self._planned(self.shelf.edit, film, text)
        headers = {"etag": f'"{digest(text)}"'}
        return JSONResponse(await run_in_threadpool(json_of, text, film.board), headers=headers)

    async def plan(self, request: Request) -> Response:
        """What would run now, or runs, and why; POST: if this storyboard were saved."""
        record = self._record(request)
        text = await board_of(request) if request.method == "POST" else None
        draft = text is None and record.draft and record.status in OPEN
        film = self.foreman.film(record)
        return JSONResponse(await self._planned(self.insight.plan, film, text, draft))

    async def frame(self, request: Request) -> Response:
        """What a film frame was made of."""
        film, number = self.foreman.film(self._record(request)), request.path_params["number"]
        if not (number.isascii() and number.isdecimal()) or len(number) > 9:
            raise HTTPException(404, f"no frame {number[:20]!a}; try 0")
        return JSONResponse(await self._planned(self.insight.frame, film, int(number)))

    async def picture(self, request: Request) -> Response:
        """The small picture of a step."""
        film, name = self.foreman.film(self._record(request)), request.path_params["name"]
        stem, dot, suffix = name.partition(".")
        if not (stem.isalnum() and stem.isascii()) or (dot + suffix) != ".jpg":
            raise HTTPException(404, "no such picture; try one that the plan names")
        try:
            data = (film.pictures / name).read_bytes()  # so small that a thread would cost more
        except FileNotFoundError:
            raise HTTPException(404, "no picture yet; try when its step is finished") from None
        return Response(data, media_type="image/jpeg", headers=_FOREVER)

    async def _planned(self, work: Callable[..., T], *words: Any) -> T:
        """Work that may take seconds, on another thread; a few of it at a time."""
        if self._plans >= self.shelf.limits.plans:
            raise HTTPException(429, "too many plans at once; try again in a second")
        self._plans += 1
        try:
            async with self._planning:
                return await run_in_threadpool(work, *words)
        finally:
            self._plans -= 1

    # --- media

    async def media(self, request: Request) -> Response:
        """Names and sizes of a film's uploaded files."""
        film = self.foreman.film(self._record(request))
        files = await run_in_threadpool(film.files)
        data = [{"name": file.name, "bytes": file.stat().st_size} for file in files]
        return JSONResponse({"object": "list", "data": data})

    async def media_file(self, request: Request) -> Response:
        """An uploaded file."""
        film = self.foreman.film(self._record(request))
        place = self._media(film, request.path_params["name"])
        return await ranged(request, place, False, place.name, "application/octet-stream")

    async def upload(self, request: Request) -> Response:
        """Keeps a picture or a video, to be pinned by its name; a file of that name is replaced."""
        record = self._record(request)
        film = self.foreman.film(record)
        place, limits = self._media(film, request.path_params["name"]), self.shelf.limits
        files = film.files()
        if len(files) >= limits.files and place not in files:
            raise HTTPException(413, f"{len(files)} files; try to delete some")
        room = limits.stored - sum(file.stat().st_size for file in files)
        fresh, size = place.with_name(f".{place.name}.{os.urandom(4).hex()}"), 0
        try:
            with fresh.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > room:
                        raise HTTPException(413, "no more room for this film's files; try less")
                    await run_in_threadpool(file.write, chunk)
            if not size:
                raise HTTPException(400, "an empty file; try a whole copy of it")
            await run_in_threadpool(check_media, fresh, place)
            os.replace(fresh, place)
        finally:
            fresh.unlink(missing_ok=True)
        return JSONResponse({"object": "media", "name": place.name, "bytes": size})

    async def discard(self, request: Request) -> Response:
        """Deletes an uploaded file."""
        place = self._media(self.foreman.film(self._record(request)), request.path_params["name"])
        try:
            place.unlink()
        except FileNotFoundError:
            raise HTTPException(404, "no such file; try one of the list") from None
        return Response(status_code=204)

    # --- parts

    def _media(self, film: Film, name: str) -> Path:
        try:
            return self.shelf.media_place(film, name)
        except InputError as error:
            raise HTTPException(404, str(error)) from None

    def _record(self, request: Request) -> Record:
        """The film a path names, if it is the user's own."""
        record = self.foreman.records.get(request.path_params["id"])
        if record is None or record.owner != request.scope[OWNER]:
            raise HTTPException(404, "no such video; try one of GET /v1/videos")
        return record

    def _idle(self, request: Request) -> Record:
        """The film a path names, which is not being made and may be put into the queue."""
        record = self._record(request)
        if record.status == "in_progress":
            raise HTTPException(409, "this film is being made; try to pause it first")
        self._check_queue(record.owner)
        return record

    def _shown(self, record: Record) -> tuple[Path, bool]:
        """The file that a film is seen by, and whether it still grows."""
        film = self.foreman.film(record)
        out = film.draft if record.draft else film.out
        if record.status != "in_progress" and out.is_file():
            return out, False
        part = part_of(out)
        if record.status != "in_progress" and not part.is_file() and film.draft.is_file():
            return film.draft, False
        return part, True

    def _check_queue(self, owner: str) -> None:
        waiting = sum(record.status in OPEN for record in self.foreman.of(owner))
        if waiting >= self.shelf.limits.queued:
            raise HTTPException(429, f"{waiting} films are waiting; try when one is finished")

    def _video(self, record: Record) -> Line:
        """A film as the answer tells it: the shape others use, then what only we know."""
        film = self.foreman.film(record)
        try:
            asked, text = film.asked(), film.text()
        except OSError:
            raise HTTPException(404, "this film's folder is gone; try to delete it") from None
        short = asked["summary"]
        place, grows = self._shown(record)
        size, told = _bytes(place), _bytes(film.events)
        now = json.dumps(self.shelf.options(asked, record.draft), sort_keys=True)
        queue = self.foreman.queue
        return {
            "id": record.id,
            "object": "video",
            "status": record.status,
            "progress": record.progress,
            "prompt": short["prompt"],
            "seconds": f"{short['seconds']:g}",
            "size": "{}x{}".format(*short["size"]),
            "model": asked["model"],
            "created_at": int(record.created),
            "completed_at": None if record.completed is None else int(record.completed),
            "expires_at": None,
            "error": {"code": "failed", "message": record.error} if record.error else None,
            "title": asked["title"],
            "frames": short["frames"],
            "fps": short["fps"],
            "shots": short["shots"],
            "scheme": asked["scheme"],
            "repair": asked["repair"],
            "settings": asked["settings"],
            "edited": bool(record.made) and record.made != digest(text + now),
            "place_in_queue": queue.index(record.id) + 1 if record.id in queue else None,
            "steps": {"done": record.steps, "all": record.all_steps, "ran": record.ran},
            "events": told,
            "running_seconds": record.running,
            "film": {"bytes": size, "grows": grows, "frames": record.frames} if size else None,
            "draft": record.draft,
            "approved": numbers(film, asked.get("approved", [])),
            "takes": (film.takes / "takes.json").is_file(),
        }


def _bytes(place: Path) -> int:
    try:
        return place.stat().st_size
    except FileNotFoundError:
        return 0
