"""What happens: events in slots of time, read from a text or drawn without end. No pictures here."""

from __future__ import annotations

import dataclasses
import functools
import re

from longtake.errors import InputError, nearest
from longtake.worlds.chance import draw

COLOURS = ("red", "yellow", "green", "blue", "purple")
SHAPES = ("circle", "square", "triangle", "star", "cross")
VERBS = ("enters", "leaves", "moves", "jumps", "spins", "grows", "shrinks", "waits")
SLOT = 2.5  # seconds from event to event
ACTION = 2.0  # seconds of an event
LEVELS = (0.78, 1.0, 1.22)  # sizes
STILL = "nothing moves"
_EXAMPLE = "red square moves left; then blue circle enters"
ALIASES = {"rotates": "spins", "hops": "jumps", "exits": "leaves", "goes": "moves"}
_SKIPPED = {"the", "a", "an", "then", "and", "to", "from", "on", "up", "around", "away"}


@dataclasses.dataclass(frozen=True)
class State:
    """Where an actor stands between events: `x` from 0 (left) to 1, or off the stage."""

    x: float = 0.5
    level: int = 1  # of LEVELS
    there: bool = True


@dataclasses.dataclass(frozen=True)
class Event:
    """One actor does one thing and comes from one state to the next; side: -1 left, 1 right."""

    actor: int
    verb: str
    before: State
    after: State
    side: int = 0

    def caption(self, name: str) -> str:
        """The event in words."""
        way = {-1: " left", 1: " right"}[self.side] if self.verb == "moves" else ""
        if self.verb == "enters":
            way = {-1: " from the left", 1: " from the right"}[self.side]
        if self.verb == "leaves":
            way = {-1: " to the left", 1: " to the right"}[self.side]
        return f"the {name} {self.verb}{way}"


@dataclasses.dataclass(frozen=True)
class Actor:
    """A colour and a shape, by their places in COLOURS and SHAPES."""

    colour: int
    shape: int

    @property
    def name(self) -> str:
        """As captions say it."""
        return f"{COLOURS[self.colour]} {SHAPES[self.shape]}"


class Written:
    """A story with an end: the events of a text, one a slot."""

    def __init__(self, cast: tuple[Actor, ...], events: tuple[Event, ...]) -> None:
        self.cast, self.events = cast, events
        first = {e.actor: e.before for e in reversed(events)}
        table = [tuple(first[n] for n in range(len(cast)))]
        for event in events:
            states = list(table[-1])
            states[event.actor] = event.after
            table.append(tuple(states))
        self._table = table

    def event(self, slot: int) -> Event | None:
        """What happens in a slot, if anything."""
        return self.events[slot] if slot < len(self.events) else None

    def states(self, slot: int) -> tuple[State, ...]:
        """Everybody's state as a slot begins."""
        return self._table[min(slot, len(self.events))]


class Drawn:
    """A story without an end, any slot in closed form.

    Every actor acts once a cycle, in an order drawn for the cycle. Five cycles are a block: move,
    change size, jump or spin, leave, and come back or move on. What a block leaves behind is drawn
    for the block alone, so no event needs the story before it.
    """

    def __init__(self, seed: int, count: int) -> None:
        self.seed, self.count = seed, count
        colours, shapes = list(range(len(COLOURS))), list(range(len(SHAPES)))
        colours.sort(key=lambda n: float(draw(seed, "colours", n)))
        shapes.sort(key=lambda n: float(draw(seed, "shapes", n)))
        self.cast = tuple(Actor(colours[n], shapes[n]) for n in range(count))
        self._act = functools.lru_cache(maxsize=256)(self._acting)
        self.event = functools.lru_cache(maxsize=256)(self._event)
        self.states = functools.lru_cache(maxsize=256)(self._states)

    def _order(self, cycle: int) -> list[int]:
        return sorted(range(self.count), key=lambda n: float(draw(self.seed, "order", cycle, n)))

    def _event(self, slot: int) -> Event | None:
        """What happens in a slot."""
        cycle, rank = divmod(slot, self.count)
        actor = self._order(cycle)[rank]
        return self._act(actor, cycle)

    def _states(self, slot: int) -> tuple[State, ...]:
        """Everybody's state as a slot begins."""
        cycle, rank = divmod(slot, self.count)
        done = self._order(cycle)[:rank]
        return tuple(
            self._act(n, cycle).after if n in done else self._act(n, cycle).before
            for n in range(self.count)
        )

    def _acting(self, actor: int, cycle: int) -> Event:
        """An actor's event of a cycle."""
        block, place = divmod(cycle + 2 * actor, 5)
        x_old, x_new, x_end = self._x(actor, block)
        old, new = self._level(actor, block - 1), self._level(actor, block)
        trick = "jumps" if float(draw(self.seed, "trick", actor, cycle)) < 0.5 else "spins"
        gone = float(draw(self.seed, "leaves", actor, block)) < 0.6
        side = -1 if float(draw(self.seed, "side", actor, block)) < 0.5 else 1
        if place == 0:
            way = 1 if x_new > x_old else -1
            return Event(actor, "moves", State(x_old, old), State(x_new, old), way)
        if place == 1:
            verb = trick if new == old else "grows" if new > old else "shrinks"
            return Event(actor, verb, State(x_new, old), State(x_new, new))
        here = State(x_new, new)
        if place == 2 or (place == 3 and not gone):
            return Event(actor, trick, here, here)
        if place == 3:
            return Event(actor, "leaves", here, State(x_end, new, False), side)
        if gone:
            back = -1 if float(draw(self.seed, "back", actor, block)) < 0.5 else 1
            return Event(actor, "enters", State(x_end, new, False), State(x_end, new), back)
        return Event(actor, "moves", here, State(x_end, new), 1 if x_end > x_new else -1)

    def _level(self, actor: int, block: int) -> int:
        return int(3 * draw(self.seed, "level", actor, block))

    def _x(self, actor: int, block: int) -> tuple[float, float, float]:
        """Places before a block, after its first move, and after its last."""
        old = self._spot("end", actor, block - 1)
        end = self._spot("end", actor, block)
        new = self._spot("new", actor, block)
        while new in (old, end):
            new = (new + 1) % 6
        return old / 5, new / 5, end / 5

    def _spot(self, name: str, actor: int, block: int) -> int:
        return int(6 * draw(self.seed, name, actor, block))


Story = Written | Drawn


def read_story(text: str) -> Written:
    """The story of a text such as `red square moves left; then blue circle enters`.

    Clauses end with `;`, `.`, a line or `then`. Who enters first in the text begins off the stage;
    up to four actors of different colours. Raises InputError for a word it does not know.
    """
    cast: list[Actor] = []
    states: list[State] = []
    events: list[Event] = []
    for clause in re.split(r"[;.\n]|,?\s*\bthen\b", text.lower()):
        words = [ALIASES.get(w, w) for w in re.findall(r"[a-z]+", clause) if w not in _SKIPPED]
        if not words:
            continue
        actor, verb, side = _clause(words, clause.strip())
        if actor not in cast:
            if actor.colour in [known.colour for known in cast] or len(cast) == 4:
                what = f"'{actor.name}' in a cast of {', '.join(a.name for a in cast)}"
                raise InputError(what, "script", "up to four actors of different colours")
            cast.append(actor)
            states.append(State(_START[len(cast) - 1], 1, verb != "enters"))
        n = cast.index(actor)
        events.append(_event(n, verb, states[n], side, clause.strip()))
        states[n] = events[-1].after
    if not events:
        raise InputError("no event", "script", _EXAMPLE)
    return Written(tuple(cast), tuple(events))


_START = (0.4, 0.6, 0.2, 0.8)


def _clause(words: list[str], clause: str) -> tuple[Actor, str, int]:
    if len(words) < 3:
        raise InputError(f"'{clause}' is no event", "script", _EXAMPLE)
    for word, known in zip(words, (COLOURS, SHAPES, VERBS), strict=False):
        if word not in known:
            raise InputError(f"unknown word '{word}' in '{clause}'", "script", nearest(word, known))
    side = 0
    for word in words[3:]:
        if word not in ("left", "right"):
            raise InputError(f"unknown word '{word}' in '{clause}'", "script", "left or right")
        side = -1 if word == "left" else 1
    return Actor(COLOURS.index(words[0]), SHAPES.index(words[1])), words[2], side


def _event(n: int, verb: str, before: State, side: int, clause: str) -> Event:
    """The event of a clause; what it leaves open follows from where the actor stands."""
    if (verb == "enters") == before.there:
        what = "is on the stage already" if before.there else "is not on the stage"
        raise InputError(f"'{clause}': the actor {what}", "script", _EXAMPLE)
    after = before
    if verb == "moves":
        side = side or (1 if before.x < 0.5 else -1)
        after = dataclasses.replace(before, x=min(max(before.x + 0.4 * side, 0.0), 1.0))
    elif verb == "enters":
        side = side or (-1 if before.x < 0.5 else 1)
        after = dataclasses.replace(before, there=True)
    elif verb == "leaves":
        side = side or (-1 if before.x < 0.5 else 1)
        after = dataclasses.replace(before, there=False)
    elif verb in ("grows", "shrinks"):
        step = 1 if verb == "grows" else -1
        after = dataclasses.replace(before, level=min(max(before.level + step, 0), 2))
    return Event(n, verb, before, after, side)
