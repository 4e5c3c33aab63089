"""Sentences, key words and lists of values out of phrases: how a caption is put together."""

from __future__ import annotations

from collections.abc import Collection

from longtake.worlds.sky.captions.caption import Caption
from longtake.worlds.sky.state import ATTRIBUTES

Part = tuple[str, str]  # what it is in a sentence ("np", "clause", "adv"), and its text


def words(text: str) -> tuple[str, ...]:
    """The entries of a list parted by semicolons."""
    return tuple(entry.strip() for entry in text.split(";"))


PLAIN_VERBS = words(
    "drift;move;float;sail;slide;glide;roll;pass;travel;flow;stream;go;wander;cross"
)
CARRY = words("pushes;carries;drives;blows;moves;sweeps;takes;nudges;herds;sends;shepherds;pulls")
BORNE = words("pushed;carried;driven;blown;borne;swept;moved;taken;nudged;dragged;herded")
FORCE = {
    "slow": words("gentle;light;soft;faint;mild;weak;slight;lazy;slow;feeble;delicate"),
    "moderate": words("moderate;steady;medium;constant;regular;sustained"),
    "fast": words("strong;stiff;brisk;fierce;fast;powerful;gusty;hard;howling;blustery"),
}
OVER = words("over;above;across;high above;up above;stretching over;hanging over;over;above")
BY = words("above;by;near;over;at;across;overlooking;looking out on;with;before;in")
LOOKS = words(  # adjectives that say nothing of the sky when they stand before the land
    "quiet;wide;distant;beautiful;lonely;empty;vast;peaceful;small;old;great;silent;dark;bright;blue;"
    "grey;white;black;bare;heavy;soft;golden;red;pale;cold;hot;warm;high;shining;burning;busy;clean;"
    "dusty;deserted;huge;little;pretty;famous;remote;sleepy;wild;rough;colourful;smooth;long;dull"
)
VIEWS = words("scene;landscape;view;panorama;setting;area;vista;scenery")
SKIES = words("sky;skies;sky;heavens;firmament;sky above;air")
CLOUDS = words("clouds;clouds;clouds;clouds;cloud;cloud formations;skies")
HUES = words("white;big;small;soft;pretty;summer;high;many-coloured;distant;painted")
STAND = words(
    "hang overhead;fill the view;stand above;are in the sky;pass;float by;decorate the sky"
)
BLOWING = words(
    "the wind blows;the wind is blowing;it blows;a wind blows;the wind comes;the breeze comes;"
    "the wind's coming;the air moves;the breeze blows;wind;a breeze blowing;wind blowing;"
    "wind coming;the wind heads;the wind carries everything;the wind pushes;air streaming"
)

# --- land and time -------------------------------------------------------------------------------


def article(c: Caption, noun: str) -> str:
    """The noun with an article; a leading * means that it takes none."""
    if noun.startswith("*"):
        return noun[1:]
    kind = c.rng.choice(("a", "a", "the", "this", "some"))
    if kind == "a":
        kind = "an" if noun[:1] in "aeio" else "a"
    return f"{kind} {noun}"


def place(c: Caption, *front: str) -> str:
    """A noun phrase for the land, with adjectives before its noun."""
    if not any(front) and c.chance(0.15):
        return c.pick("land", "name") or "the land"
    adjectives = [word for word in front if word]
    if c.chance(0.2):
        adjectives.insert(0, c.rng.choice(LOOKS))
    if c.chance(0.1):
        return article(c, " ".join((*adjectives, c.pick("land", "adj"), c.rng.choice(VIEWS))))
    noun = c.pick("land", "place")
    star = "*" if noun.startswith("*") else ""
    bare = noun.removeprefix("*")
    if adjectives and bare.startswith("the "):
        bare = bare[4:]
        adjectives.insert(0, "the")
    return article(c, star + " ".join((*adjectives, bare)))


def time_adverb(c: Caption) -> str:
    """When: an adverbial phrase, a clock time now and then."""
    if c.chance(0.2):
        return clock(c)
    if c.chance(0.5):
        return c.pick("time", "when")
    link = c.rng.choice(words("at;at;around;just about;during;near;by;towards"))
    return f"{link} {c.pick('time', 'at')}"


CLOCK = {
    "dawn": (5.0, 6.75), "morning": (7.5, 10.75), "noon": (11.5, 13.0),
    "afternoon": (14.0, 16.75), "dusk": (17.75, 19.25), "night": (21.0, 28.0),
}  # fmt: skip


def clock(c: Caption) -> str:
    """A time of day in figures."""
    low, high = CLOCK[c.moment.time]
    quarter = c.rng.choice((0, 0, 0, 0.25, 0.5, 0.5, 0.75)) if c.chance(0.8) else c.rng.random()
    hours = max(low, min(high, c.rng.randint(int(low), int(high)) + quarter)) % 24
    hour, minute = int(hours), int(hours * 60) % 60
    half = "am" if hour < 12 else "pm"
    twelve = (hour + 11) % 12 + 1
    c.note("time")
    written = [f"{hour:02d}:{minute:02d}", f"{hour}:{minute:02d}", f"{twelve}:{minute:02d} {half}"]
    written += [f"{twelve}:{minute:02d}{half}", f"{hour:02d}{minute:02d} hours"]
    written += [f"{hour}h{minute:02d}", f"{hour:02d}{minute:02d} local time"]
    if minute == 0:
        written += [f"{twelve} {half}", f"{twelve}{half}", f"{twelve} {half[0]}.m.", f"{hour}h"]
        written += [f"{twelve} o'clock {part_of_day(hour)}", f"{twelve} {half}"]
    return c.rng.choice(words("at ;at ;around ;;about ;time ")) + " " + c.rng.choice(written)


def part_of_day(hour: int) -> str:
    """The words that tell the two halves of a clock apart."""
    if hour < 3 or hour >= 20:
        return "at night"
    if hour < 12:
        return "in the morning"
    return "in the evening" if hour >= 17 else "in the afternoon"


SUN: dict[str, tuple[tuple[str, ...], ...]] = {  # who, does what, where: the sun's course told in many words
    "dawn": (
        words("the sun;a red sun;the first sunbeam;daylight;the day;the new sun;a golden disc"),
        words("rises;climbs;creeps up;emerges;appears;peeks out;lifts;comes up;breaks;ascends;"
              "pops up;bursts;is rising;is coming up;rising;coming up;awakens;pushes up;is born"),
        words("over;above;from behind;out of;from;beyond;over the edge of"),
    ),
    "dusk": (
        words("the sun;the last light;daylight;the red sun;the tired sun;the day;a crimson sun;"
              "the glowing disc;the last sunbeam"),
        words("sinks;dips;slips;falls;slides;vanishes;disappears;drops;melts;sets;retreats;dies;"
              "drowns;fades;goes down;is setting;is sinking;setting;going down;bleeds away;departs"),
        words("behind;below;beneath;into;under;beyond;down behind;over"),
    ),
    "night": (
        words("the moon;stars;a thousand stars;the milky way;a full moon;moonlight;starlight;"
              "constellations;a crescent moon;the polar star;the southern cross;the big dipper"),
        words("hangs;shines;glitters;twinkles;gleams;glows;hovers;watches;sparkles;rises;shining;"
              "falls softly;blazes;shimmers;stands;floats;climbs"),
        words("over;above;high over;down on;upon;across;on"),
    ),
    "noon": (
        words("the sun;a white sun;the merciless sun;the high sun"),
        words("stands at its highest;burns straight down;blazes vertically;hangs directly overhead;"
              "is at the zenith;beats straight down;stands overhead;shines from right above"),
        words("over;above;on;down on;upon;high above"),
    ),
}  # fmt: skip
SWALLOW = words("swallows;hides;eats;takes;devours;claims;drinks;covers;steals")


def sun_course(c: Caption, land: bool) -> str:
    """A clause for the time of day; with `land` it also tells the land."""
    if c.moment.time not in SUN:
        return c.pick("time", "sun")
    who, does, where = SUN[c.moment.time]
    ground = place(c) if land else c.rng.choice(words("the horizon;the horizon;the world;the land"))
    c.note("time")
    if c.moment.time == "dusk" and c.chance(0.15):
        return f"{ground} {c.rng.choice(SWALLOW)} {c.rng.choice(who)}"
    if c.moment.time == "dawn" and c.chance(0.1):
        return f"{ground} gives birth to {c.rng.choice(('the sun', 'the day', 'a new day'))}"
    clause = f"{c.rng.choice(who)} {c.rng.choice(does)}"
    return f"{clause} {c.rng.choice(where)} {ground}" if land or c.chance(0.5) else clause


# --- clouds and wind -----------------------------------------------------------------------------


def cover_figure(c: Caption) -> str:
    """The share of cloud in figures."""
    low, high = {"clear": (0, 10), "partly": (30, 65), "overcast": (88, 100)}[c.moment.cover]
    share = c.rng.randint(low, high)
    if c.chance(0.4):
        share = min(high, max(low, 10 * round(share / 10)))
    c.note("cover")
    eighths = round(share / 12.5)
    told = c.rng.choice((f"{share}%", f"{share}%", f"{share} percent", f"{share} per cent"))
    forms = [f"{told} cloud cover", f"{told} clouds", f"cloud cover {told}", f"clouds: {told}"]
    forms += [f"cloud cover of {told}", f"the sky is {told} clouds", f"{told} of the sky is cloud"]
    forms += [f"{eighths}/8 cloud", f"cloud {eighths}/8", f"{eighths} oktas", f"{eighths}/8 clouds"]
    return c.rng.choice(forms)


def clouds(c: Caption, told: Collection[str]) -> str:
    """A noun phrase for the clouds, telling cover and kind where `told` holds them."""
    quant = c.pick("cover", "quant") if "cover" in told else ""
    if "cover" in told and not quant:
        return ""
    if "kind" in told:
        if c.chance(0.5):
            noun = c.pick("kind", "knoun")
            return f"{quant} {noun.removeprefix('a ') if quant else noun}".strip()
        adjective = c.pick("kind", "kadj")
        if c.chance(0.15):
            adjective += " and " + c.pick("kind", "kadj")
        return f"{quant} {adjective} {c.rng.choice(CLOUDS)}".strip()
    return f"{quant} {c.rng.choice(HUES) if c.chance(0.15) else ''} {c.rng.choice(CLOUDS)}".strip()


def motion(c: Caption, told: Collection[str], gerund: bool) -> str:
    """A verb phrase for how the clouds move: 'drift slowly to the left'."""
    where = [c.pick("wind", "dir")] if "wind" in told else []
    if "speed" in told and c.chance(0.5):
        return " ".join((inflected(c, c.pick("speed", "sverb"), gerund), *where))
    if "speed" in told:
        where.append(c.pick("speed", "sadv"))
        c.rng.shuffle(where)
    if c.chance(0.15):
        borne = c.rng.choice(BORNE)
        return " ".join((borne if gerund else f"are {borne}", *where))
    return " ".join((inflected(c, c.rng.choice(PLAIN_VERBS), gerund), *where))


def inflected(c: Caption, verb: str, gerund: bool) -> str:
    """'drifting', or one of 'drift', 'are drifting', 'keep drifting'."""
    head, _, tail = verb.partition(" ")
    going = f"{ing(head)} {tail}".strip()
    if gerund:
        return going
    return verb if c.chance(0.7) else f"{c.rng.choice(('are', 'are', 'keep'))} {going}"


def ing(verb: str) -> str:
    """The -ing form of a short English verb."""
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    if verb in ("whip", "scud", "run", "whiz"):
        return verb + verb[-1] + "ing"
    return verb + "ing"


def wind_noun(c: Caption, told: Collection[str]) -> str:
    """A noun phrase for the wind: 'a stiff westerly'."""
    if "wind" not in told:
        return c.pick("speed", "windnp")
    if "speed" not in told:
        return c.pick("wind", "windnp")
    if c.chance(0.35):
        verb = c.rng.choice(words("blowing;coming;heading;moving;;going;that blows;pushing"))
        return f"{c.pick('speed', 'windnp')} {verb} {c.pick('wind', 'dir')}"
    c.note("speed")
    noun = c.pick("wind", "windnp")
    bare = noun.removeprefix("an ").removeprefix("a ").removeprefix("the ")
    return f"a {c.rng.choice(FORCE[c.moment.speed])} {bare}"


def wind_alone(c: Caption, told: Collection[str]) -> Part:
    """One fragment that tells wind, speed or both without naming clouds."""
    if "wind" in told and c.chance(0.3):
        parts = [c.pick("wind", "dir"), *([c.pick("speed", "sadv")] if "speed" in told else [])]
        c.rng.shuffle(parts)
        return "clause", " ".join((c.rng.choice(BLOWING), *parts))
    if "wind" not in told and c.chance(0.45):
        return "clause", c.pick("speed", "says")
    if told == {"wind"} and c.chance(0.2):
        return "np", c.pick("wind", "key")
    return "np", wind_noun(c, told)


def sky_alone(c: Caption) -> Part:
    """One fragment that tells the cover."""
    kind = c.rng.random()
    if kind < 0.1:
        return "np", cover_figure(c)
    if kind < 0.45:
        return "np", c.pick("cover", "sky")
    if kind < 0.75:
        return "clause", c.pick("cover", "skysays")
    if kind < 0.85:
        adjective = c.pick("cover", "skyadj")
        return "clause", f"{c.rng.choice(words('the sky;it;the day;the sky above'))} is {adjective}"
    return "np", article(c, f"{c.pick('cover', 'skyadj')} {c.rng.choice(SKIES)}")


def sky_parts(c: Caption) -> list[Part]:
    """Fragments that tell cover, kind, wind and speed."""
    left = c.wanted & {"cover", "kind", "wind", "speed"}
    out: list[Part] = []
    if "cover" in left and (c.moment.cover == "clear" or c.chance(0.55)):
        left -= {"cover"}
        out.append(sky_alone(c))
    moving = left & {"wind", "speed"}
    if moving and c.chance(0.4):
        out.append(wind_alone(c, moving))
        moving = frozenset()
    still = left & {"cover", "kind"}
    if moving:
        out.append(moving_clouds(c, still, moving))
    elif still:
        noun = clouds(c, still)
        as_clause = c.chance(0.3)
        out.append(("clause", f"{noun} {c.rng.choice(STAND)}") if as_clause else ("np", noun))
    return out


def moving_clouds(c: Caption, still: Collection[str], moving: Collection[str]) -> Part:
    """One fragment for clouds under way, or for the wind that drives them."""
    subject = clouds(c, still) or "the clouds"
    if "wind" in moving and c.chance(0.15):
        wind = (
            wind_noun(c, {"speed"}) if "speed" in moving else c.rng.choice(("the wind", "a breeze"))
        )
        return "clause", f"{wind} {c.rng.choice(CARRY)} {subject} {c.pick('wind', 'dir')}"
    the = "the " if not still and c.chance(0.5) else ""
    if c.chance(0.4):
        return "np", f"{the}{subject} {motion(c, moving, True)}"
    return "clause", f"{the}{subject} {motion(c, moving, False)}"


# --- whole captions ------------------------------------------------------------------------------


def weather_part(c: Caption) -> Part:
    """One fragment that tells the weather."""
    if c.chance(0.5):
        return "np", c.pick("weather", "wnp")
    return "clause", c.pick("weather", "says")


def time_part(c: Caption) -> Part:
    """One fragment that tells the time of day."""
    pick = c.rng.random()
    if pick < 0.5:
        return "adv", time_adverb(c)
    if pick < 0.8:
        return "clause", sun_course(c, False) if c.chance(0.4) else c.pick("time", "sun")
    return "np", c.pick("time", *(("np",) if c.chance(0.7) else ("at",)))


def land_part(c: Caption, front: Collection[str]) -> Part:
    """One fragment that tells the land; `front` are adjectives to put before it."""
    pick = c.rng.random()
    if any(front) or pick < 0.6:
        where = place(c, *front)
        return ("adv", f"{c.rng.choice(OVER + BY)} {where}") if c.chance(0.45) else ("np", where)
    return ("adv", c.pick("land", "where")) if pick < 0.8 else ("clause", c.pick("land", "fore"))


def scene_parts(c: Caption) -> list[Part]:
    """Fragments that tell time, land and weather."""
    time, land = "time" in c.wanted, "land" in c.wanted
    if time and land and c.chance(0.12):
        rest = [weather_part(c)] if "weather" in c.wanted else []
        return [("clause", sun_course(c, True)), *rest]
    wet = c.pick("weather", "wadj") if "weather" in c.wanted and c.chance(0.25) else ""
    lit = c.pick("time", "adj") if time and land and c.chance(0.3) else ""
    front = [lit, wet] if c.chance(0.5) else [wet, lit]
    out = [time_part(c)] if time and not lit else []
    if land:
        out.append(land_part(c, front))
    elif wet:
        nouns = words("weather;scene;sky;air;conditions;atmosphere;view")
        out.append(("np", article(c, f"{wet} {c.rng.choice(nouns)}")))
    if "weather" in c.wanted and not wet:
        out.append(weather_part(c))
    return out


LINKS = {
    "np": (" with ", " with ", ", ", ", ", " and ", ". ", " under ", "; ", " beneath ", ", plus "),
    "clause": (", ", ", ", " while ", " as ", ". ", " and ", "; ", ", and ", " - ", " where "),
    "adv": (" ", " ", ", ", ", ", " "),
}
FRAMES = (  # roles by attribute, to be filled in; an attribute's first letters tell its role
    "the sky over {land:P} is {cover:skyadj}", "{land:P} lies under {cover:sky}",
    "{land:P} under {cover:sky}", "there is {cover:sky} over {land:P}", "above {land:P}, {cover:sky}",
    "{time:np} over {land:P}", "{time:at} over {land:P}", "{time:at} in {land:name}",
    "{weather:wnp} falls on {land:P}", "{weather:wnp} over {land:P}", "{land:P} in {weather:wnp}",
    "{time:adj} {weather:wnp}", "{kind:knoun} over {land:P}", "{kind:knoun} at {time:at}",
    "{land:name} on a {weather:wadj} {time:at}", "{weather:wadj} {time:at}", "{cover:skyadj} {time:at}",
    "a {cover:skyadj} {time:at} by {land:P}", "a {weather:wadj} {time:at} in {land:name}",
    "{land:P} - {time:at}", "{land:name}, {time:at}, {cover:skyadj}", "{land:P} by {time:adj} light",
    "{speed:windnp} over {land:P}", "{wind:windnp} over {land:P}", "{speed:windnp} at {time:at}",
    "{land:P} with {speed:windnp}", "it is a {weather:wadj} {time:at}", "it's {time:at} {land:where}",
    "it's {time:at}", "it is {cover:skyadj}", "it is {weather:wadj} {land:where}",
    "it is a {cover:skyadj} {time:at}", "{land:P} waits for {time:at}", "{time:at} comes to {land:P}",
    "{time:at} settles over {land:P}", "{land:P} seen at {time:at}", "my {time:at} {land:where}",
    "{cover:skyadj} skies, {land:P}", "{weather:wnp} {land:where}", "{time:np} {land:where}",
    "{cover:sky} {land:where}", "{land:P} beneath {time:np}", "{land:P} wrapped in {weather:wnp}",
)  # fmt: skip


def framed(c: Caption) -> str:
    """One of the frames that fit what is wanted, filled in."""
    frame = c.rng.choice(FRAMES)
    slots = [part.partition("}")[0].split(":") for part in frame.split("{")[1:]]
    if not {name for name, _ in slots} <= c.wanted:
        return ""
    for name, role in slots:
        text = place(c) if role == "P" else c.pick(name, role)
        frame = frame.replace(f"{{{name}:{role}}}", text.removeprefix("*"), 1)
    c.wanted -= {name for name, _ in slots}
    return frame


def sentence(c: Caption) -> str:
    """Fragments in a random order, linked as English links them, more or less."""
    frames = [framed(c) for _ in range(6)] if c.chance(0.4) else []
    parts: list[Part] = [("clause", frame) for frame in frames if frame]
    parts += [part for part in (*scene_parts(c), *sky_parts(c)) if part[1].strip()]
    if not parts:
        return ""
    c.rng.shuffle(parts)
    if parts[0][0] == "adv" and len(parts) > 1 and c.chance(0.5):
        parts[0], parts[1] = parts[1], parts[0]
    text = parts[0][1]
    for kind, part in parts[1:]:
        link = c.rng.choice(LINKS[kind])
        text += link + (part[:1].upper() + part[1:] if link == ". " else part)
    text = text[:1].upper() + text[1:] if c.chance(0.7) else text
    return text + ("." if c.chance(0.5) else "")


KEY_ROLES = {
    "time": ("at", "at", "adj", "np", "when"),
    "cover": ("sky", "sky", "skysays"),
    "kind": ("knoun",),
    "wind": ("key", "key", "windnp", "dir"),
    "speed": ("windnp", "says", "windnp"),
    "land": ("place", "place", "name", "adj", "where"),
    "weather": ("wnp", "wnp", "wadj", "says"),
}
JOINTS = (", ", ", ", ", ", "; ", " / ", " - ", " | ", " ", " + ", "\n", ". ", " & ", ",")


def keyword(c: Caption, name: str) -> str:
    """One key word or phrase for an attribute."""
    if name == "time" and c.chance(0.15):
        return clock(c)
    if name == "cover" and c.chance(0.1):
        return cover_figure(c)
    if name == "kind" and c.chance(0.4):
        return c.pick("kind", "kadj") + " clouds"
    if name == "cover" and c.chance(0.4):
        adjective = c.pick("cover", "skyadj")
        sure = any(word in adjective for word in ("clear", "cloud", "cast", "blue"))
        return adjective if sure else f"{adjective} {c.rng.choice(SKIES)}"
    return c.pick(name, *KEY_ROLES[name]).removeprefix("*")


def keywords(c: Caption) -> str:
    """A list of key words in any order."""
    listed = [keyword(c, name) for name in ATTRIBUTES if name in c.wanted]
    c.rng.shuffle(listed)
    return c.rng.choice(JOINTS).join(listed)


LABELS = {
    "time": words("time;time of day;when;hour;lighting"),
    "cover": words("sky;cover;cloud cover;clouds;cloudiness;cloud amount;sky condition"),
    "kind": words("cloud type;kind;clouds;cloud kind;type of clouds"),
    "wind": words("wind;wind direction;direction;drift;clouds move;motion;cloud motion"),
    "speed": words("speed;wind speed;wind strength;pace;cloud speed"),
    "land": words("land;place;location;where;landscape;terrain;scene;setting;background"),
    "weather": words("weather;conditions;weather;weather conditions"),
}


def table(c: Caption) -> str:
    """Labels and values: 'time: night, land: sea'."""
    mark = c.rng.choice((": ", ": ", "=", " = ", " - ", " is ", ":"))
    listed = []
    for name in (name for name in ATTRIBUTES if name in c.wanted):
        value = c.pick(name, "value") if c.chance(0.4) else ""
        listed.append(c.rng.choice(LABELS[name]) + mark + (value or keyword(c, name)))
    c.rng.shuffle(listed)
    return c.rng.choice((", ", "; ", "\n", " | ", ". ", " / ")).join(listed)


def compose(c: Caption) -> str:
    """A caption in one of the styles."""
    style = c.rng.random()
    if style < 0.27:
        return keywords(c)
    return table(c) if style < 0.33 else sentence(c)
