"""Trains the word encoder `longtake/weights/words.safetensors` on captions of the sky world.

    python tools/train_words.py --minilm FOLDER --wordnet FOLDER [--steps N] [--out FILE]

FOLDER of MiniLM: `model.safetensors` and `vocab.txt` of all-MiniLM-L6-v2; it gives each word its
vector and is not needed afterwards. FOLDER of WordNet 3.0: `data.noun` and its siblings; it gives
proper names for the land and sentences that say nothing of the sky.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import math
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from word_table import (
    VECTOR,
    MiniLM,
    build_table,
    land_names,
    outdoor_words,
    sentences,
    spoken_words,
    wordnet,
)

from longtake.prompts.text import WINDOW, Reader, Vocabulary, padded
from longtake.worlds.sky.captions import Bank, Phrase, bank, tell
from longtake.worlds.sky.state import ATTRIBUTES, Moment

# --- captions made rough -------------------------------------------------------------------------

Text = tuple[str, Mapping[str, tuple[str, ...]]]

CAMERA = """
time-lapse; timelapse; wide shot; establishing shot; cinematic; 4k; 8k; uhd; hdr; film grain; drone shot; aerial view; static camera; locked-off shot
handheld; slow pan; camera pans left; camera pans right; the camera pans to the right; the camera pans slowly to the left; slow zoom in; dolly in; fast dolly; tracking shot to the left; tracking shot to the right; quick zoom
tilt up; tilt down; crane shot; 24 fps; 60 fps; 30 seconds; ten seconds long; one minute; 16:9; --ar 16:9; 1080p; hyperrealistic; photorealistic; highly detailed; masterpiece; best quality; trending; octane render; unreal engine
oil painting; watercolour; pixel art; anime style; impressionist; pastel colours; vivid colours; muted palette; teal and orange; high contrast; low contrast; volumetric light; soft light; dramatic lighting; dramatic; moody; epic; dreamy; serene; minimalist; surreal; nostalgic; lo-fi
35mm; anamorphic; wide angle; telephoto; long lens; shallow depth of field; bokeh; slow motion; fast forward; sped up; seamless loop; no people; no text; no watermark; black and white; monochrome; vintage; documentary style; nature documentary; b-roll; stock footage
shot on film; fisheye; panning shot; push in slowly; pull back fast; the camera rises slowly; the camera stays still; the camera moves to the left; the camera moves to the right; camera drifting left; camera drifting right; pan left; pan right; pans right to left; a slow tracking shot; a fast drone flight; flyover; first person; over the shoulder; ultra wide; symmetrical; rule of thirds; award winning; high quality; beautiful; stunning; awesome; relaxing; meditative; romantic; melancholic; ambient; colourful; realistic; natural colours; warm colours; cool tones; lens flare; depth; texture; detailed; crisp; very long take; unbroken shot; background video; screensaver; wallpaper; loop; (masterpiece:1.2); seed 42; cfg 7; vertical video; no camera movement; camera fixed; the frame is still; exposure bracketed; clear focus; clear sharp image; light leak; dark vignette; bright colours; fast shutter; slow shutter; quick cut; steady camera; steadicam; right third of the frame; left third of the frame; negative space on the left; copy space on the right
"""
OBJECTS = """
a cat; a dog; a red balloon; an old man; two children; a spaceship; a dragon; a robot; a bicycle; a bench; a tree; a lonely tree; a road; a fence; a kite; an astronaut; birds; a flock of birds; a plane; a hot-air balloon; a horse; a house; a barn; a church; a statue; a bridge; a train; a car; a couple holding hands; a woman in a red dress; a man with an umbrella; a white horse; flowers; a river; a fountain; a swing; butterflies; a guitar; a unicorn; a castle; a tent; a campfire; a motorbike; a bus; a clown; an elephant; a giraffe; a monkey; dinosaurs; a ufo; a wizard; a knight; a dancer; a violin player; a picnic; a hammock; a rocking chair; a cup of coffee; a clock; a mirror; a piano; a teapot; a goldfish; a fox; a deer; an owl; a bee; a snail; a turtle; a football match; a jogger; a skateboarder; a photographer; a painter; a soldier; a queen; a vending machine; a computer; a phone; a book
"""
DOINGS = """
walks to the left; walks from left to right; runs to the right; crosses the frame from right to left; moves slowly; runs fast; sits on the left; stands on the right; flies to the left; flies right; passes quickly; swims to the right; waits; looks to the left; looks right; turns left; turns right; drives from left to right; races past; creeps along; sleeps; dances; jumps; sings; marches to the right; enters from the left; leaves to the right; rolls slowly to the left; spins; glides to the right; is seen on the left; is in the right corner; goes by; drives fast; strolls leftwards; hurries rightwards; heads right; moves right; moves left
"""
PLEAS = """
please; please show {}; make a video of {}; i want {}; I would like to see {}; can you make {}; could you show me {}; give me {}; hey, {}; generate {}; a video of {}; a film of {}; footage of {}; a clip showing {}; a scene: {}; show {}; render {}; imagine {}; picture this: {}; we see {}; there is {}; {} please; {}, thanks; {} if possible; I'd love {}; it should be {}; let's have {}; make it {}; we open on {}; the scene: {}; a timelapse of {}; a painting of {}; a long shot of {}; a beautiful view of {}; just {}; simply {}; maybe {}; something like {}; a quiet video with {}; cut to: {}; fade in: {}; the film begins with {}; a postcard of {}; a dream about {}; an image of {}; a shot of {}; {} for a music video; {}, nothing else; create {}; my idea: {}; think of {}; {} - make it long; a long take of {}; {}, that's all; one long shot: {}; an endless loop of {}; a screensaver with {}; need {}; looking for {}; try {}; what about {}?; how about {}; {} (no music); let me see {}; film this: {}
"""
TURNS = """
{} turns to {}; {} turning into {}; {} then {}; {}, then {}; {}, later {}; {} slowly becoming {}; {} gives way to {}; from {} to {}; {}, followed by {}; {} before {}; {} fades into {}; {} changes to {}; {} and then {}; {} becomes {}; first {}, then {}; it starts with {} and ends with {}; starting as {}, ending as {}; {}, which slowly turns into {}; {} until {}; {}, after a while {}; begin with {}; end with {}; {} -> {}; {} transitions into {}; {}. Later, {}; {}. Then {}; {} and gradually {}; {}, giving way to {}; {}, soon {}; {}. After that {}; {} morphs into {}; at first {}, finally {}; {}, eventually {}; {} yields to {}; {}, and by the end {}
"""
AGAINST = """
not {1} but {0}; {0}, not {1}; {0} instead of {1}; {0} rather than {1}; no {1}, {0}; {0}, no {1}; not {1}, {0}; {0} (not {1}); it is not {1}, it is {0}; never {1}, always {0}; {0}; definitely not {1}; {0} - and not {1}; i don't want {1}, i want {0}; {0} without {1}; anything but {1}: {0}; {0}, nothing like {1}; don't show {1}, show {0}; avoid {1}; {0}; not {1} this time, {0}; {0} and by no means {1}; isn't {1}, it's {0}
"""


ODD = """
a clear explanation; the light of reason; a light lunch; a film star; the star of the show
rock stars; a star pupil; a man on the moon; over the moon with joy; a grey cat; a black cat
a blue car; a dark suit; a cotton shirt; a woolly hat; a fluffy pillow; a puffy jacket
a feather boa; a silk ribbon; a layered cake; a flat tyre; thin soup; a thick book; a heavy suitcase
a broken vase; scattered toys; a stormy marriage; a storm of applause; thunderous applause
a rain of confetti; a wave of the hand; a wave of anger; a mountain of paperwork; a mountain bike
a hill of beans; a field of study; a magnetic field; the city council; a plain dress; plain text
plain yoghurt; desert boots; a beach ball; a sea of troubles; a sea of faces; bank notes
a sunny smile; a sunny disposition; a cold shower; a baby shower; a breeze to use; a windy argument
wind instruments; a wind quintet; fast food; a fast computer; a slow learner; slow cooking
a quick lunch; a speedy recovery; the rapid test; the morning paper; morning coffee
an evening dress; an evening gown; a night owl; a knight in armour; good night stories
a noon deadline; afternoon tea biscuits; the right answer; human rights; left over food
left wing politics; right wing politics; a left hand glove; turn right at the corner; turn left
the left shoe; the west wing; east meets west; the western film; north and south; a cloud server
cloud computing; a cloud of suspicion; clear glass; a clear head; clear instructions; an empty box
an empty glass; a bare wall; bare feet; a blank page; a dull knife; a dull lecture; gloomy music
a grey suit; grey hair; blue eyes; a blue dress; a white wall; a black hole; a dark chocolate bar
a misty-eyed man; foggy memories; a hazy idea; a dry martini; dry humour; dry cleaning; wet paint
a rainbow flag; lightning fast reflexes; lightning chess; a thunder of hooves; a gust of laughter
calm people; a calm voice; a still life painting; a still camera; gentle hands; a soft toy
a light bulb; a lamp; lights; a bright idea; bright colours; a bright room; a brilliant student
golden rings; a golden crown; a red dress; a pink flamingo; orange juice; purple shoes
a glowing screen; candle light; a burning house; a dawn raid; a sunset clause; rising prices
falling prices; the rise of the machines; the fall of the empire; setting the table; high heels
low battery; wide eyes; a round table; a cauliflower; popcorn; marshmallows; cotton candy
whipped cream; a castle in a children's book; a sheet of paper; a blanket; a layer of paint
a band playing; stripes on a shirt; a pillow fight; a snail race; race cars; a horse race
running shoes; a running man; marching soldiers; a marching band; flying saucers; a drifting car
floating balloons; a rolling stone; a moving truck; a steady hand; a steady job; a regular customer
a moderate opinion; a medium rare steak; fifty percent off; 100% cotton; half a pizza; 3 apples
12 eggs; 24 hours; number 7; room 101; two thirds; 90 minutes of football; a 5 star review
some people; a few friends; several books; many cars; no dogs; nothing; none; everything; nobody
no music; everyone happy; nothing moves on the chessboard; it moves fast; they go left
he goes right; to the left of the sofa; on the right a chair; the man in the middle
the third from the left
"""
HARDLY = """
the sky; clouds; a sky; a video; something nice; surprise me; nature; weather; a landscape; heaven
the horizon; clouds in the sky; the sky above; air; a big sky; skies
"""


def listed(block: str) -> list[str]:
    """The entries of a block, parted by semicolons and line ends."""
    return [entry.strip() for entry in re.split(r";\s|\n", block) if entry.strip()]


LISTS = {
    name: listed(block)
    for name, block in (
        ("odd", ODD), ("camera", CAMERA), ("objects", OBJECTS), ("doings", DOINGS), ("pleas", PLEAS),
        ("hardly", HARDLY),
    )
}  # fmt: skip
WITHOUT = ("no {}", "not {}", "without {}", "no {} at all", "without any {}")
UNRULY = (("weather", "haze"), ("weather", "storm"))
SIDES = (
    "on the {}", "on the {} side", "in the {} of the frame", "to the {} of the picture", "low on the {}",
    "at the {} edge", "on the far {}", "in the lower {} corner", "over on the {}", "on our {}",
    "seen from the {}", "behind the trees on the {}", "{} of centre", "on the {} half of the image",
    "long shadows to the {}", "shadows fall to the {}", "light from the {}", "lit from the {}",
)  # fmt: skip
TURN = [entry for entry in listed(TURNS) if entry.count("{}") == 2]
CONTRAST = [
    entry if "{0}" in entry and "{1}" in entry else "not {1}, {0}" for entry in listed(AGAINST)
]


def random_moment(rng: random.Random) -> Moment:
    """A moment, every attribute drawn by itself; rain and storms are mostly under thick cloud."""
    drawn = {name: rng.choice(classes) for name, classes in ATTRIBUTES.items()}
    if drawn["weather"] in ("rain", "storm") and rng.random() < 0.5:
        drawn["cover"] = "overcast"
        drawn["kind"] = "stormy" if drawn["weather"] == "storm" else drawn["kind"]
    elif drawn["kind"] == "stormy" and rng.random() < 0.6:
        drawn["cover"] = "overcast"
    return Moment(**drawn)


@dataclasses.dataclass
class Roughener:
    """Draws captions as people type them: with pleas, camera talk, strangers, negations and slips."""

    source: Bank
    silent: Sequence[str]
    passing: Sequence[str]  # with words of the sky that say nothing of it
    rng: random.Random

    def draw(self) -> Text:
        """One text and what it says."""
        kind = self.rng.random()
        if kind < 0.10:
            return self._clean(self._nothing()), {}
        if kind < 0.16:
            text, says = self._turn()
        elif kind < 0.23:
            text, says = self._contrast()
        elif kind < 0.27:
            text, says = self._placed()
        else:
            text, says = tell(random_moment(self.rng), self.rng, None, self.source)
        for share, change in (
            (0.25, self._plea), (0.25, self._tags), (0.15, self._stranger), (0.12, self._silence),
        ):  # fmt: skip
            if self.rng.random() < share:
                text = change(text)
        return self._clean(text), says

    def _turn(self) -> Text:
        said = self.rng.sample(list(ATTRIBUTES), self.rng.choice((1, 1, 2, 3)))
        first, second = random_moment(self.rng), random_moment(self.rng)
        text, says = tell(first, self.rng, said, self.source)
        later = [name for name in said if self.rng.random() < 0.8] or said[:1]
        other, also = tell(second, self.rng, later, self.source)
        merged = self.rng.choice(TURN).format(text.rstrip("."), other[:1].lower() + other[1:])
        if self.rng.random() < 0.5:  # what comes first may tell less than what lasts all through
            name = self.rng.choice(list(ATTRIBUTES))
            if name not in says and name not in also:
                more, lasting = tell(first, self.rng, (name,), self.source)
                if set(lasting) == {name}:
                    return f"{more}, {merged}", {**says, **lasting}
        return merged, says

    def _contrast(self) -> Text:
        name = self.rng.choice(("time", "land", "land", "cover", "kind", "wind", "weather", "time"))
        moment = random_moment(self.rng)
        others = [c for c in ATTRIBUTES[name] if c != getattr(moment, name)]
        other = dataclasses.replace(moment, **{name: self.rng.choice(others)})
        role = {
            "time": "at", "land": "place", "cover": "skyadj", "kind": "knoun", "wind": "dir",
            "weather": "wnp",
        }[name]  # fmt: skip
        yes, no = (self._bare(name, role, getattr(m, name)) for m in (moment, other))
        text = self.rng.choice(CONTRAST).format(yes.text, no.text).replace("*", "")
        says = dict(yes.says)
        bare = name in ("land", "time", "kind") or (name, other.weather) in UNRULY
        if bare and self.rng.random() < 0.2:  # what is not there tells nothing of what is
            text, says = self.rng.choice(WITHOUT).format(no.text.lstrip("*")), {}
        rest = [n for n in ATTRIBUTES if n not in (name, *says)]
        told = self.rng.sample(rest, self.rng.choice((1, 1, 2)))
        more, also = tell(moment, self.rng, told, self.source)
        if name in also:
            return text, says
        joined = self.rng.choice(("{}, {}", "{1}, {0}", "{}. {}", "{1} {0}", "{} {}"))
        joined = joined.replace("{}", "{0}", 1).replace("{}", "{1}", 1)
        return joined.format(text, more), {**also, **says}

    def _placed(self) -> Text:
        """The sun or the land on one side of the picture, which is no wind."""
        told = self.rng.choice((("time",), ("land",), ("time", "land"), ("weather",)))
        text, says = tell(random_moment(self.rng), self.rng, told, self.source)
        side = self.rng.choice(("left", "right"))
        where = self.rng.choice(SIDES).format(side)
        pair = (text.rstrip("."), where) if self.rng.random() < 0.75 else (where, text)
        return self.rng.choice((" ", " ", ", ")).join(pair), says

    def _bare(self, name: str, role: str, value: str) -> Phrase:
        good = [p for p in self.source[name, role, value] if len(p.says) == 1 and not p.weakly]
        return self.rng.choice(good or self.source[name, role, value])

    def _nothing(self) -> str:
        kind = self.rng.random()
        if kind < 0.3:
            return self.rng.choice(self.silent)
        if kind < 0.45:
            return self.rng.choice(self.passing)
        if kind < 0.65:
            return self._of("odd")
        if kind < 0.85:
            thing = f"{self._of('objects')} {self._of('doings')}"
            return self._tags(thing) if self.rng.random() < 0.3 else thing
        return self._tags(self._of("hardly")) if kind < 0.95 else self._of("camera")

    def _of(self, name: str) -> str:
        return self.rng.choice(LISTS[name])

    def _plea(self, text: str) -> str:
        plea = self._of("pleas")
        lowered = text[:1].lower() + text[1:]
        return plea.replace("{}", lowered.rstrip(".")) if "{}" in plea else f"{plea}, {lowered}"

    def _tags(self, text: str) -> str:
        joint = self.rng.choice((", ", ", ", ", ", ". ", " - ", " | ", "; "))
        tags = [self._of("camera") for _ in range(self.rng.choice((1, 1, 2, 3, 5)))]
        at = self.rng.randint(0, len(tags))
        return joint.join((*tags[:at], text.rstrip("."), *tags[at:]))

    def _stranger(self, text: str) -> str:
        thing = self._of("objects" if self.rng.random() < 0.75 else "odd")
        if self.rng.random() < 0.5:
            thing += " " + self._of("doings")
        joint = self.rng.choice((" and ", ", ", ". ", " with ", " while ", " as "))
        pair = (text.rstrip("."), thing) if self.rng.random() < 0.6 else (thing, text)
        return joint.join(pair)

    def _silence(self, text: str) -> str:
        other = self.rng.choice(self.silent if self.rng.random() < 0.8 else self.passing)
        pair = (text, other) if self.rng.random() < 0.5 else (other, text)
        return self.rng.choice((". ", ", ", ": ", ". ")).join(part.rstrip(".") for part in pair)

    def _clean(self, text: str) -> str:
        if self.rng.random() < 0.1:
            at = self.rng.randrange(len(text) + 1)
            slip = self.rng.choice(("", self.rng.choice("etaoinsrh")))
            text = text[:at] + slip + text[at + self.rng.choice((0, 1)) :]
        if self.rng.random() < 0.08:
            text = re.sub(r"[,.;:]", " ", text)
        return text


def with_names(source: Bank, names: Mapping[str, Sequence[str]]) -> Bank:
    """The bank with more proper names for the land."""
    out = dict(source)
    for land, listed_names in names.items():
        more = tuple(Phrase(name, {"land": (land,)}, {}) for name in listed_names)
        known = out["land", "name", land]
        out["land", "name", land] = known * max(1, len(more) // len(known)) + more
    return out


def targets(says: Sequence[Mapping[str, tuple[str, ...]]]) -> list[Tensor]:
    """Soft targets (b, classes + 1) an attribute; the last column is 'not said'."""
    out = []
    for name, classes in ATTRIBUTES.items():
        rows = torch.zeros(len(says), len(classes) + 1)
        for row, said in zip(rows, says, strict=True):
            for value in said.get(name, ()):
                row[classes.index(value)] = 1 / len(said[name])
            if name not in said:
                row[-1] = 1
        out.append(rows)
    return out


# --- training ------------------------------------------------------------------------------------


def neighbours(table: Tensor, tokens: Sequence[str], spoken: frozenset[str]) -> Tensor:
    """For each token eight near tokens (t, 8) that the captions do not speak of; itself where none is."""
    free = torch.tensor([t.isalpha() and t not in spoken for t in tokens])
    out = torch.arange(len(tokens))[:, None].repeat(1, 8)
    for start in range(0, len(tokens), 1024):
        near = table[start : start + 1024] @ table.T
        near[:, ~free] = -1
        best = near.topk(8, 1)
        own = out[start : start + 1024]
        out[start : start + 1024] = torch.where(best.values > 0.62, best.indices, own)
    return out


def batches(
    draw: Callable[[], Text], words: Vocabulary, size: int, pool: int = 8
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Endless batches of token numbers and targets, texts of like length together."""
    while True:
        drawn = ((words.numbers(text) or [1], says) for text, says in iter(draw, None))
        whole = (row for row in drawn if len(row[0]) <= WINDOW)
        rows = list(itertools.islice(whole, size * pool))
        rows.sort(key=lambda row: len(row[0]))
        chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
        random.shuffle(chunks)
        for chunk in chunks:
            yield padded([numbers for numbers, _ in chunk]), targets([says for _, says in chunk])


def disturb(numbers: Tensor, table: Tensor, near: Tensor, share: float) -> Tensor:
    """Word vectors with some words swapped for near ones, some dropped, and a little noise."""
    dice = torch.rand(numbers.shape)
    swap = near[numbers, torch.randint(8, numbers.shape)]
    numbers = torch.where(dice < share, swap, numbers)
    vectors = table[numbers]
    noisy = vectors + torch.randn_like(vectors) * 0.04
    return noisy * (dice[..., None] < 0.98)


def train(
    args: argparse.Namespace,
    stored: Mapping[str, Tensor],
    roughener: Roughener,
    spoken: frozenset[str],
) -> Reader:
    """Train a reader on captions; prints loss and seconds."""
    tokens = bytes(stored["tokens"].tolist()).decode().split("\n")
    words = Vocabulary(tokens, [tokens[i] for i in stored["known"].tolist()])
    table = stored["table"].float() * stored["scales"].float()
    near = neighbours(table, tokens, spoken)
    reader = Reader(VECTOR, [len(c) for c in ATTRIBUTES.values()], args.width, args.depth)
    shift = torch.nn.Parameter(torch.zeros_like(table))  # what training adds to the word vectors
    optimisers = optimisers_of(reader, shift, args.rate)
    tops = [[group["lr"] for group in o.param_groups] for o in optimisers]

    def rate(i: int, since: int) -> float:
        wave = 0.5 * (1 + math.cos(math.pi * i / args.steps))
        return min(1, (since + 1) / 100) * (0.02 + 0.98 * wave)

    slow = copy.deepcopy(reader).eval()  # a running mean of the weights: the one that is kept
    first = resume(args.state, reader, slow, shift)
    roughener.rng.seed(args.seed + first)
    mean = torch.zeros(())
    began = time.time()
    for step, (numbers, wanted) in zip(
        range(first, args.steps), batches(roughener.draw, words, args.batch), strict=False
    ):
        vectors = disturb(numbers, table + shift, near, args.swap)
        logits = reader(vectors, numbers != 0)
        loss = sum(
            (functional.cross_entropy(a, b) for a, b in zip(logits, wanted, strict=True)), mean * 0
        )
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        for optimiser, top in zip(optimisers, tops, strict=True):
            for group, height in zip(optimiser.param_groups, top, strict=True):
                group["lr"] = height * rate(step, step - first)
            optimiser.step()
        share = min(0.998, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, now in zip(slow.parameters(), reader.parameters(), strict=True):
                kept.lerp_(now, 1 - share)
        mean = loss.detach() if step == first else 0.98 * mean + 0.02 * loss.detach()
        if step % 100 == 99 or step + 1 == args.steps:
            print(f"step {step + 1}  loss {mean:.4f}  {time.time() - began:.0f} s", flush=True)
            save(args, requantised(stored, table + shift.detach()), slow)
            keep(args.state, step + 1, reader, slow, shift)
    return slow


def optimisers_of(reader: Reader, shift: Tensor, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for all else."""
    matrices = [p for p in reader.blocks.parameters() if p.ndim == 2 and min(p.shape) > 32]
    held = {id(p) for p in matrices}
    others = [p for p in reader.parameters() if id(p) not in held]
    groups = [{"params": others}, {"params": [shift], "lr": 0.3 * rate, "weight_decay": 0.0}]
    return [
        torch.optim.Muon(matrices, 5 * rate, weight_decay=0.02, adjust_lr_fn="original"),
        torch.optim.AdamW(groups, rate, (0.9, 0.98), weight_decay=0.02),
    ]


def requantised(stored: Mapping[str, Tensor], table: Tensor) -> dict[str, Tensor]:
    """The stored tensors with another table."""
    scales = table.abs().amax(1, keepdim=True).clamp_min(1e-6) / 127
    return {**stored, "table": (table / scales).round().to(torch.int8), "scales": scales.half()}


def keep(path: Path | None, step: int, reader: Reader, slow: Reader, shift: Tensor) -> None:
    """Write where training stands."""
    if path:
        tensors = {f"now.{name}": tensor for name, tensor in reader.state_dict().items()}
        tensors |= {f"slow.{name}": tensor for name, tensor in slow.state_dict().items()}
        rest = {"shift": shift.detach(), "step": torch.tensor(step)}
        save_file({**tensors, **rest}, str(path))


def resume(path: Path | None, reader: Reader, slow: Reader, shift: Tensor) -> int:
    """Take up a kept training; the step to begin with."""
    if not path or not path.is_file():
        return 0
    tensors = load_file(str(path))
    for mark, net in (("now.", reader), ("slow.", slow)):
        parts = {k.removeprefix(mark): v for k, v in tensors.items() if k.startswith(mark)}
        net.load_state_dict(parts)
    with torch.no_grad():
        shift.copy_(tensors["shift"])
    return int(tensors["step"])


def save(args: argparse.Namespace, stored: Mapping[str, Tensor], reader: Reader) -> None:
    """Write table and reader as one safetensors file."""
    note = {"attributes": list(ATTRIBUTES.items()), "width": args.width, "depth": args.depth}
    tensors = dict(stored) | {
        k: v.detach().half().contiguous() for k, v in reader.state_dict().items()
    }
    save_file(tensors, str(args.out), {"words": json.dumps(note)})


def main() -> None:
    """Read the arguments, build or reuse the table, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--wordnet", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("longtake/weights/words.safetensors"))
    parser.add_argument("--table", type=Path, default=None, help="keep the table here between runs")
    parser.add_argument("--state", type=Path, default=None, help="keep the training here; resumes")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--swap", type=float, default=0.12)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    source = bank()
    spoken = spoken_words(source)
    nouns = wordnet(args.wordnet, "noun")
    names = land_names(nouns)
    grave = spoken_words(source, ("land", "time"))
    silent, passing = sentences(args.wordnet, nouns, spoken, grave)
    print(
        {land: len(found) for land, found in names.items()}, len(silent), len(passing), len(spoken)
    )
    if args.table and args.table.is_file():
        stored = load_file(str(args.table))
    else:
        lemmas = outdoor_words(args.wordnet)
        stored = build_table(MiniLM(args.minilm), lemmas, spoken)
        if args.table:
            save_file(stored, str(args.table))
    roughener = Roughener(
        with_names(source, names),
        silent,
        passing,
        random.Random(),
    )
    train(args, stored, roughener, spoken)


if __name__ == "__main__":
    main()
