"""What a film shows of a sky that is known: at which of its moments each frame was taken, and what is amiss.

A frame is held against the sky's own pictures in coarse cells, so that lossy coding does not matter:
first against the one that should come next, else against all. What cannot be told from that (a frame
left out of a still scene) is no violation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from longtake.worlds.laws import Violation, marked
from longtake.worlds.sky.state import ATTRIBUTES

if TYPE_CHECKING:
    from longtake.worlds.sky.render import Sky

LAWS: Mapping[str, str] = {
    "time": "going on by anything but a frame a frame",
    "land": "another land than the sky's, or one that changes unasked",
    "clouds": "clouds, sun or stars where they cannot be",
    "light": "a picture darker or brighter as a whole than its hour",
}
SEEN = 0.05  # difference of a cell, of the whole range of brightness, that counts
_CELLS = 16  # along the short side
_BLOCK = 64  # pictures rendered at a time
_MOST = 6000  # pictures that are searched
_TRIED, _AHEAD = 12, 24  # moments tried where a film goes on, and frames by which they are judged


class Album:
    """Coarse pictures of a sky from its first moment on, made as they are asked for."""

    def __init__(self, sky: Sky) -> None:
        width, height = sky.size
        short = min(sky.size)
        self.sky, self.grid = sky, (_CELLS * height // short, _CELLS * width // short)
        self.pages = torch.empty(0, 3, *self.grid)

    def coarse(self, frames: Tensor) -> Tensor:
        """(t, 3, *grid) in [0, 1] of frames (t, 3, h, w) uint8."""
        return adaptive_avg_pool2d(frames.float() / 255, self.grid)

    def at(self, index: int) -> Tensor:
        """The picture (3, *grid) of a moment."""
        if index >= _MOST:
            return self.coarse(self.sky.render([index]))[0]
        while len(self.pages) <= index:
            self.extend()
        return self.pages[index]

    def extend(self) -> None:
        """A block more."""
        begin = len(self.pages)
        more = self.coarse(self.sky.render(range(begin, begin + _BLOCK)))
        self.pages = torch.cat([self.pages, more])

    def find(self, pictures: Tensor) -> int:
        """The moment from which a film goes on as these pictures (t, 3, *grid) do: as soon as one is like
        the first of them, the best such; the one most like it if none is.
        """
        while True:
            far = (self.pages - pictures[0]).abs().mean(1).flatten(1).amax(1)
            nearest = far.argsort()[:_TRIED]
            alike = nearest[far[nearest] <= SEEN].tolist()
            if alike:
                return min(alike, key=lambda place: self._unlike(pictures, place))
            if len(self.pages) >= self.limit:
                return int(far.argmin())
            self.extend()

    def _unlike(self, pictures: Tensor, place: int) -> float:
        return sum(float((p - self.at(place + n)).abs().mean()) for n, p in enumerate(pictures))

    @property
    def limit(self) -> int:
        """How far is searched: a minute past the last change."""
        return min(_MOST, round((self.sky.script[-1].at + 60) * self.sky.fps))

    def grounds(self, index: int) -> Tensor:
        """Cells that land fills alone, (*grid) bool: no water, in which the sky is seen again."""
        land = self.sky.land(ATTRIBUTES["land"][int(self.sky.truth([index])["land"][0])])
        width, height = self.sky.size
        solid = torch.zeros(1, 1, height, width)
        solid[0, 0, land.top :] = (land.mask - land.water).clamp(0, 1)[0]
        return adaptive_avg_pool2d(solid, self.grid)[0, 0] > 0.9


def read(album: Album, frames: Tensor) -> dict[str, Tensor]:
    """The moment of each frame, as `frame`, its truth, and the frame in coarse cells, as bytes."""
    pictures = album.coarse(frames)
    places = [place for place, _ in followed(album, pictures)]
    coarse = (pictures * 255).round().byte()
    return {**album.sky.truth(places), "frame": torch.tensor(places), "picture": coarse}


def judge(album: Album, state: Mapping[str, Tensor]) -> list[Violation]:
    """Where time leaps, and frames that are of no moment."""
    broken = {law: torch.zeros(len(state["frame"]), dtype=torch.bool) for law in LAWS}
    for n, (place, found) in enumerate(followed(album, state["picture"].float() / 255)):
        laws = ("time",) if found == "leap" else ()
        if found == "none":
            laws = tuple(_amiss(album, state["picture"][n].float() / 255, place))
        for law in laws:
            broken[law][n] = True
    told = {
        "time": "another moment than the next",
        "land": "not this land",
        "clouds": "not this sky",
        "light": "not the light of this hour",
    }
    return [found for law, marks in broken.items() for found in marked(law, marks, told[law])]


def followed(album: Album, pictures: Tensor) -> Iterator[tuple[int, str]]:
    """Frames through time: the moment of each, and whether it is the "next" (or the first), a "leap",
    or of "none": then time is taken to go on.
    """
    last, begun = -1, 0  # the last moment; the frame from which on time has gone on
    for n, picture in enumerate(pictures):
        place, found = last + 1, "next"
        if not n or _apart(picture, album.at(place)) > SEEN:
            near = album.find(pictures[n : n + _AHEAD])
            if _apart(picture, album.at(near)) > SEEN:
                place, found = place if n else near, "none"
            else:
                # what came before may fit as well: then it was its beginning that was read wrong
                late = (_apart(pictures[m], album.at(near - n + m)) for m in range(begun, n))
                fits = near >= n - begun and all(far <= SEEN for far in late)
                place, found = near, "next" if fits else "leap"
                begun = begun if fits else n
        yield place, found
        last = place


def _amiss(album: Album, picture: Tensor, place: int) -> Iterator[str]:
    """The laws that a picture breaks which should have been of this moment."""
    page = album.at(place)
    gain = (picture * page).sum() / page.square().sum().clamp(min=1e-6)
    if _apart(picture / gain.clamp(min=1e-3), page) <= SEEN:
        yield "light"
        return
    off, ground = (picture - page).abs().mean(0) > SEEN, album.grounds(place)
    if bool(off[ground].any()):
        yield "land"
    if bool(off[~ground].any()):
        yield "clouds"


def _apart(a: Tensor, b: Tensor) -> float:
    """The largest difference of a cell, its colours taken together."""
    return float((a - b).abs().mean(0).max())
