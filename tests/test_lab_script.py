"""Stories read back from films: events, boxes, and what is no story; and what calls cost."""

from __future__ import annotations

import functools

import torch

from longtake import worlds
from longtake.lab import script, tokens
from longtake.lab.costs import kept_bytes, log_slope, seconds
from longtake.lab.scripted import WORDS, vocabulary
from longtake.lab.takes import Takes
from longtake.worlds.script import Script

TEXT = """red square moves right; blue star jumps; red square grows; blue star leaves right;
red square shrinks; red square moves left; blue star enters right; red square spins"""


@functools.cache
def _film() -> tuple[Script, torch.Tensor, dict[str, torch.Tensor]]:
    """A world, its film, and what is read from it."""
    world = worlds.make("script", seed=3, size=(64, 64), fps=script.FPS, text=TEXT)
    assert isinstance(world, Script)
    film = world.render(range(script.FRAMES * 8))
    return world, film, world.read(film)


def test_what_is_told_is_what_is_seen() -> None:
    world, film, read = _film()
    told = [script.deed_told(world.story.event(n), world.cast) for n in range(8)]
    seen = script.deeds_seen(read)
    assert told[-1] is None, "no reader sees a spin"
    assert [row[0] for row in seen[:-1]] == told[:-1]
    assert all(len(row) == 1 for row in seen[:-1]) and seen[-1] == []
    assert script.followed([told], [seen]) == 1
    assert script.followed([told[1:] + told[:1]], [seen]) == 0
    assert script.distinct(seen) == 100 * 7 / 128
    again = script.deeds_seen(world.read(film.flip(0)))
    assert again[-1][0][1] == script.DEEDS.index("moves left"), "backwards it goes the other way"


def test_an_actor_that_goes_in_the_open_does_not_leave() -> None:
    world, film, read = _film()
    faded = film.clone()
    faded[script.FRAMES * 7 + 6 :] = film[script.FRAMES * 4 - 1, :, :1, :1]
    assert script.deeds_seen(world.read(faded))[-1] == []


def test_boxes_are_read_where_they_are() -> None:
    world, film, read = _film()
    stills = range(script.STRIDE // 2, len(film), script.STRIDE)
    truth = {name: value.float()[None] for name, value in world.truth(stills).items()}
    assert (
        float(script.overlap(truth, 0, read).mean()) > 0.75
    )  # tips of stars are thinner than a pixel
    moved = dict(read, box=read["box"] + 0.3)
    assert float(script.overlap(truth, 0, moved).mean()) < 0.2
    gone = dict(read, there=torch.zeros_like(read["there"]))
    assert float(script.overlap(truth, 0, gone).mean()) == 0


def test_prompts_hold_for_their_slots() -> None:
    track = script.tracks([["the red star moves", "the blue star spins"]])
    assert track.shape == (1, 2 * script.LATENTS, WORDS)
    words = [{vocabulary()[n] for n in row.nonzero()[:, 0]} for row in track[0]]
    assert words[3] == {"red", "star", "moves"} and words[4] == {"blue", "star", "spins"}


def test_costs_are_counted() -> None:
    asked = []
    found = seconds({"one": lambda: asked.append(1), "two": lambda: asked.append(2)}, rounds=3)
    assert asked == [1, 2] * 4 and set(found) == {"one", "two"}
    assert abs(log_slope([1, 2, 4], [3, 12, 48]) - 2) < 1e-9
    x = torch.rand(1000, requires_grad=True)
    small = kept_bytes((x * 2).exp)
    assert (
        small == 4000
        and kept_bytes(x.square, [x]) == 0
        and kept_bytes(lambda: (x * 2).exp().exp()) == 8000
    )


def test_takes_become_sheets() -> None:
    """Observed frames first; a track of places stays with its places."""
    place = torch.cartesian_prod(*(torch.arange(n) for n in (2, 6, 2, 3)))
    track = place.view(2, 6, 2, 3, 4).float()
    codes = torch.arange(72).view(2, 6, 1, 2, 3)
    rows, at = torch.tensor([1, 0]), torch.tensor([[2, 4, 3], [1, 3, 2]])
    sheet = tokens.told(Takes(codes, {}, ()), rows, at, observed=2, track=track)
    assert sheet.prefix == 12 and sheet.codes.shape == (2, 18)
    assert sheet.codes[0, ::6].tolist() == [48, 60, 54]
    first = torch.tensor([2.0, 1.0])[:, None]  # places count from the earliest frame of a call
    assert torch.equal(sheet.places[..., 0] + first, sheet.text[..., 1])
    assert torch.equal(sheet.places[..., 1:], sheet.text[..., 2:])
    assert torch.equal(sheet.text[..., 0], rows[:, None].expand(2, 18).float())
    plain = tokens.told(Takes(codes, {}, ()), rows, at, track=track[:, :, 0, 0])
    assert plain.prefix == 0 and torch.equal(plain.text[..., 1], sheet.text[..., 1])
