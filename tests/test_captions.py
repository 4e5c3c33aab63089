"""Captions of the sky world: what is said is true of the moment, told as asked, and the same again."""

from __future__ import annotations

import random

import pytest

from longtake.errors import InputError
from longtake.worlds.sky.captions import bank, captions_of, describe, parse, tell
from longtake.worlds.sky.state import ATTRIBUTES, Moment


def moments(count: int, seed: int = 1) -> list[Moment]:
    rng = random.Random(seed)
    return [
        Moment(**{name: rng.choice(classes) for name, classes in ATTRIBUTES.items()})
        for _ in range(count)
    ]


def test_every_class_can_be_told_in_many_ways() -> None:
    for attribute, classes in ATTRIBUTES.items():
        for name in classes:
            told = {
                p.text
                for key, listed in bank().items()
                if key[::2] == (attribute, name)
                for p in listed
            }
            assert len(told) >= 40, (attribute, name, len(told))


def test_no_phrase_stands_for_two_classes_unless_it_says_so() -> None:
    seen: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for (attribute, role, _), listed in bank().items():
        for phrase in listed:
            before = seen.setdefault((attribute, phrase.text), dict(phrase.says))
            assert before[attribute] == phrase.says[attribute], (attribute, role, phrase.text)


def test_opposite_winds_have_mirrored_phrases() -> None:
    swap = {"left": "right", "right": "left", "east": "west", "west": "east"}
    for role in ("dir", "key"):
        left, right = ({p.text for p in bank()["wind", role, side]} for side in ("left", "right"))
        plain = [text for text in left if set(text.split()) & set(swap) and "-" not in text]
        assert len(plain) > 10
        mirrored = {" ".join(swap.get(word, word) for word in text.split()) for text in plain}
        assert len(mirrored & right) >= 0.7 * len(plain), sorted(mirrored - right)


def test_what_a_text_says_is_true() -> None:
    rng = random.Random(2)
    for moment in moments(400):
        text, says = tell(moment, rng)
        assert text and says
        for name, classes in says.items():
            assert getattr(moment, name) in classes, (text, name, classes)


def test_it_tells_what_was_asked_for() -> None:
    rng = random.Random(3)
    missed = 0
    for moment in moments(300):
        said = rng.sample(list(ATTRIBUTES), 3)
        text, says = tell(moment, rng, said)
        missed += not set(said) <= set(says)
        assert "*" not in text and "  " not in text
    assert missed <= 3


def test_a_single_attribute_says_little_else() -> None:
    rng = random.Random(4)
    extra = sum(len(tell(moment, rng, ("land",))[1]) - 1 for moment in moments(300))
    assert extra < 15


def test_captions_repeat_with_their_seed_and_differ_among_themselves() -> None:
    moment = Moment(time="dusk", land="sea")
    first = captions_of(moment, 20, 7)
    assert first == captions_of(moment, 20, 7)
    assert first != captions_of(moment, 20, 8)
    assert len(set(first)) == 20
    assert all(first)


def test_describe_is_the_text_of_tell() -> None:
    moment = Moment(weather="storm", cover="clear")
    text = describe(moment, random.Random(5), said=("weather",))
    assert text == tell(moment, random.Random(5), ("weather",))[0]
    assert "cover" in tell(moment, random.Random(5), ("weather",))[1]  # a storm alone means cloud


def test_unknown_attributes_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown attribute 'covr'.*try cover"):
        tell(Moment(), random.Random(0), ("covr",))


def test_a_phrase_block_is_read_as_written() -> None:
    block = "[time=dawn cover~clear at]\ncockcrow; misty dawn | weather=haze\n"
    (_, role, first), (attribute, _, second) = parse(block)
    assert (attribute, role, first.text) == ("time", "at", "cockcrow")
    assert second.says == {"time": ("dawn",), "weather": ("haze",)}
    assert second.weakly == {"cover": ("clear",)}
    with pytest.raises(InputError, match="unknown reading"):
        list(parse("[time=teatime at]\nfour"))
