"""The grammar of negation, phrase by phrase."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composir.compose.negation import Reading, read_negation, says_nothing

# What is asked, what of it is wanted, what must not be there.
UNDERSTOOD = [
    ("a lamp without a shade", "a lamp", ("a shade",)),
    ("a street without any cars", "a street", ("cars",)),
    ("with no people", "", ("people",)),
    ("a beach with no people", "a beach", ("people",)),
    ("a kitchen with no people in it", "a kitchen", ("people",)),
    ("a beach, no people", "a beach", ("people",)),
    ("a man with no hat", "a man", ("hat",)),
    ("a photo of a dog without a collar", "a photo of a dog", ("a collar",)),
    ("a chair w/o armrests", "a chair", ("armrests",)),
    ("a cake minus the candles", "a cake", ("candles",)),
    ("the same shoe minus the laces", "the same shoe", ("laces",)),
    ("remove the hat", "", ("hat",)),
    ("Remove the people from the background", "", ("people",)),
    ("please remove the logo", "", ("logo",)),
    ("remove people", "", ("people",)),
    (
        "remove the text and the logo",
        "",
        (
            "text",
            "logo",
        ),
    ),
    ("can you remove the watermark", "", ("watermark",)),
    ("take off the hat", "", ("hat",)),
    ("take his hat off", "", ("hat",)),
    ("take away the chair", "", ("chair",)),
    ("get rid of the clouds", "", ("clouds",)),
    ("get rid of people", "", ("people",)),
    ("erase the writing", "", ("writing",)),
    ("leave out the table", "", ("table",)),
    ("delete the sign", "", ("sign",)),
    ("drop the hat", "", ("hat",)),
    ("lose the hat", "", ("hat",)),
    ("omit the frame", "", ("frame",)),
    ("exclude people", "", ("people",)),
    ("excluding people", "", ("people",)),
    ("instead of silver", "", ("silver",)),
    ("a cat instead of a dog", "a cat", ("a dog",)),
    ("a cat instead of a dog on a sofa", "a cat on a sofa", ("a dog",)),
    ("in brass instead of silver, at night", "in brass, at night", ("silver",)),
    ("blue instead of red", "blue", ("red",)),
    ("instead of a dog, a cat", "a cat", ("a dog",)),
    ("instead of a dog a cat", "a cat", ("a dog",)),
    ("rather than a dog, a cat", "a cat", ("a dog",)),
    ("with flowers rather than leaves", "with flowers", ("leaves",)),
    ("red rather than blue", "red", ("blue",)),
    ("in place of the dog a cat", "a cat", ("dog",)),
    ("not red", "", ("red",)),
    ("not a car", "", ("a car",)),
    ("not a red car", "", ("a red car",)),
    ("is not red", "", ("red",)),
    ("that is not red", "", ("red",)),
    ("it is not red", "", ("red",)),
    ("a dress that is not black", "a dress", ("black",)),
    ("a shirt, not a dress", "a shirt", ("a dress",)),
    ("it's not a dog", "", ("a dog",)),
    ("not in red", "", ("red",)),
    ("not at night", "", ("night",)),
    ("not on a beach", "", ("a beach",)),
    ("not wearing a hat", "", ("a hat",)),
    ("a man not wearing a hat", "a man", ("a hat",)),
    ("people not wearing hats on a beach", "people on a beach", ("hats",)),
    ("not smiling", "", ("smiling",)),
    ("not too dark", "", ("dark",)),
    ("not dark", "", ("dark",)),
    ("a dog, not a cat, on a sofa", "a dog, on a sofa", ("a cat",)),
    ("in blue, not green", "in blue", ("green",)),
    ("not red but blue", "blue", ("red",)),
    ("not a dog but a cat", "a cat", ("a dog",)),
    ("isn't red", "", ("red",)),
    ("that isn't made of wood", "", ("made of wood",)),
    ("a shoe that doesn't have laces", "a shoe", ("laces",)),
    ("a shoe which does not have laces", "a shoe", ("laces",)),
    ("does not have a collar", "", ("a collar",)),
    ("doesn't show people", "", ("people",)),
    ("don't show people", "", ("people",)),
    ("do not include text", "", ("text",)),
    ("should not have a logo", "", ("a logo",)),
    ("has no handles", "", ("handles",)),
    ("it has no handles", "", ("handles",)),
    ("has no sleeves and a round neck", "a round neck", ("sleeves",)),
    ("there are no people", "", ("people",)),
    ("there is no snow on the roof", "", ("snow on the roof",)),
    ("a mountain where there is no snow", "a mountain", ("snow",)),
    ("no longer red", "", ("red",)),
    ("no more people", "", ("people",)),
    ("no snow", "", ("snow",)),
    ("no snow, but grass", "grass", ("snow",)),
    (
        "no text and no logo",
        "",
        (
            "text",
            "logo",
        ),
    ),
    (
        "no text, no logo",
        "",
        (
            "text",
            "logo",
        ),
    ),
    (
        "no text or logo",
        "",
        (
            "text",
            "logo",
        ),
    ),
    (
        "no people, no cars, at night",
        "at night",
        (
            "people",
            "cars",
        ),
    ),
    (
        "neither red nor blue",
        "",
        (
            "red",
            "blue",
        ),
    ),
    (
        "neither people nor cars",
        "",
        (
            "people",
            "cars",
        ),
    ),
    (
        "a road with neither cars nor people",
        "a road",
        (
            "cars",
            "people",
        ),
    ),
    (
        "without people or cars",
        "",
        (
            "people",
            "cars",
        ),
    ),
    (
        "without people and cars",
        "",
        (
            "people",
            "cars",
        ),
    ),
    (
        "without people nor cars",
        "",
        (
            "people",
            "cars",
        ),
    ),
    (
        "without people, cars or text",
        "",
        (
            "people",
            "cars",
            "text",
        ),
    ),
    (
        "without people, cars, or text",
        "",
        (
            "people",
            "cars",
            "text",
        ),
    ),
    (
        "without people, cars and dogs",
        "",
        (
            "people",
            "cars",
            "dogs",
        ),
    ),
    (
        "a room without a table, a chair or a lamp",
        "a room",
        (
            "a table",
            "a chair",
            "a lamp",
        ),
    ),
    ("without a hat and in brass", "in brass", ("a hat",)),
    ("without the shade and with a brass foot", "with a brass foot", ("shade",)),
    ("without the shade and made of brass", "made of brass", ("shade",)),
    ("without a hat and the sky is blue", "the sky is blue", ("a hat",)),
    ("without sleeves and red", "red", ("sleeves",)),
    ("without a hat and darker", "darker", ("a hat",)),
    ("without the shade in brass", "in brass", ("shade",)),
    ("without the shade, in brass", "in brass", ("shade",)),
    ("in brass without the shade", "in brass", ("shade",)),
    ("without people at night", "at night", ("people",)),
    ("without people in the background", "", ("people",)),
    ("without people in the picture", "", ("people",)),
    ("without the logo on the chest", "", ("logo on the chest",)),
    ("without a leash on a beach", "on a beach", ("a leash",)),
    ("a dog without a leash running on a beach", "a dog running on a beach", ("a leash",)),
    ("a dog running without a leash", "a dog running", ("a leash",)),
    ("a dog without a leash in the snow", "a dog in the snow", ("a leash",)),
    ("a street without people walking", "a street", ("people walking",)),
    (
        "a street without people walking on the sidewalk",
        "a street",
        ("people walking on the sidewalk",),
    ),
    ("a house without a swimming pool", "a house", ("a swimming pool",)),
    ("a pool without water", "a pool", ("water",)),
    ("a bicycle without a basket next to a wall", "a bicycle next to a wall", ("a basket",)),
    ("a sofa without cushions under a window", "a sofa under a window", ("cushions",)),
    ("a phone without its case", "a phone", ("case",)),
    ("a girl without her glasses", "a girl", ("glasses",)),
    ("a table without the cloth", "a table", ("cloth",)),
    ("a bottle without a label", "a bottle", ("a label",)),
    ("a bed without pillows", "a bed", ("pillows",)),
    (
        "a shirt without a collar or buttons",
        "a shirt",
        (
            "a collar",
            "buttons",
        ),
    ),
    ("a shirt without buttons but with a collar", "a shirt with a collar", ("buttons",)),
    ("a shirt with a collar but no buttons", "a shirt with a collar", ("buttons",)),
    ("a shirt with a collar but without buttons", "a shirt with a collar", ("buttons",)),
    ("a car without a roof that is red", "a car that is red", ("a roof",)),
    ("free of people", "", ("people",)),
    ("a beach free of people", "a beach", ("people",)),
    ("a street free from snow", "a street", ("snow",)),
    ("devoid of people", "", ("people",)),
    ("a room devoid of furniture", "a room", ("furniture",)),
    ("lacking a handle", "", ("a handle",)),
    ("a cup lacking a handle", "a cup", ("a handle",)),
    ("except people", "", ("people",)),
    ("everything except people", "everything", ("people",)),
    ("everything but the dog", "", ("dog",)),
    ("the same except for the hat", "the same", ("hat",)),
    ("the same but without the shade", "the same", ("shade",)),
    ("the same, without people", "the same", ("people",)),
    ("same picture without people", "same picture", ("people",)),
    ("make it without sleeves", "", ("sleeves",)),
    ("but no people", "", ("people",)),
    ("and no people", "", ("people",)),
    ("with the same shoes but no laces", "with the same shoes", ("laces",)),
    ("anything but red", "", ("red",)),
    ("other than red", "", ("red",)),
    ("a colour other than red", "a colour", ("red",)),
    ("a sleeveless dress", "a sleeveless dress", ("sleeves",)),
    ("a strapless dress", "a strapless dress", ("straps",)),
    ("a treeless landscape", "a treeless landscape", ("trees",)),
    ("a cloudless sky", "a cloudless sky", ("clouds",)),
    ("a shade-less lamp", "a lamp", ("shades",)),
    ("a hairless cat", "a hairless cat", ("hair",)),
    ("a leafless tree", "a leafless tree", ("leaves",)),
    ("a people-free beach", "a beach", ("people",)),
    ("a car-free street at night", "a street at night", ("car",)),
    ("beach -people", "beach", ("people",)),
    ("-people", "", ("people",)),
    (
        "sunset -people -boats",
        "sunset",
        (
            "people",
            "boats",
        ),
    ),
    ("a dog −leash", "a dog", ("leash",)),
    ("an empty room, nobody in it", "an empty room", ("people",)),
    ("nobody in the picture", "", ("people",)),
    ("a beach with nobody", "a beach", ("people",)),
    ("no one in sight", "", ("people",)),
    ("a street and no one there", "a street", ("people",)),
    ("WITHOUT THE SHADE", "", ("shade",)),
    ("Without The Shade", "", ("shade",)),
    ("a lamp (no shade)", "a lamp", ("shade",)),
    ("a lamp — no shade", "a lamp", ("shade",)),
    ("a lamp - no shade", "a lamp", ("shade",)),
    ("a lamp; no shade", "a lamp", ("shade",)),
    ("a lamp. No shade.", "a lamp", ("shade",)),
    ("a dog without a leash.", "a dog", ("a leash",)),
    ("a photo of * without people", "a photo of *", ("people",)),
    ("without the shade, please", "", ("shade",)),
    ("without any shade at all", "", ("shade",)),
    ("without a single person", "", ("person",)),
    ("no visible text", "", ("text",)),
    ("no dog and a cat", "a cat", ("dog",)),
    ("a room with no lamp and a cat", "a room with a cat", ("lamp",)),
    ("without a lot of people", "", ("people",)),
    ("without pieces of paper", "", ("paper",)),
    ("no kind of people", "", ("people",)),
    ("hold no umbrella", "", ("umbrella",)),
    ("a woman holding no bag", "a woman", ("bag",)),
    ("do not add a hat", "", ("a hat",)),
    ("cannot see people", "", ("people",)),
    ("can't see the sky", "", ("sky",)),
    ("remove the hat and add a scarf", "add a scarf", ("hat",)),
    ("remove the hat and make it red", "make it red", ("hat",)),
    ("remove the hat, make it red", "make it red", ("hat",)),
    ("remove the hat but keep the glasses", "keep the glasses", ("hat",)),
    ("make it red and remove the hat", "make it red", ("hat",)),
    ("make it red without the stripes", "make it red", ("stripes",)),
    ("turn it blue and take off the laces", "turn it blue", ("laces",)),
    ("in red with no laces", "in red", ("laces",)),
    ("with no laces, in red", "in red", ("laces",)),
    ("like this but without the dog", "like this", ("dog",)),
    ("like this one without the dog", "like this one", ("dog",)),
    ("similar, no dog", "similar", ("dog",)),
    ("show me a beach without people", "show me a beach", ("people",)),
    ("i want a beach without people", "i want a beach", ("people",)),
    ("exclude text", "", ("text",)),
    ("avoid people", "", ("people",)),
    ("subtract the hat", "", ("hat",)),
    ("a road without traffic", "a road", ("traffic",)),
    ("the lamp without its shade, in gold", "the lamp, in gold", ("shade",)),
    ("nobody on the beach", "on the beach", ("people",)),
    ("people that do not wear hats", "people", ("hats",)),
    ("a dog that isn't on a leash", "a dog", ("a leash",)),
    (
        "not a dog, not a cat",
        "",
        (
            "a dog",
            "a cat",
        ),
    ),
    (
        "a lamp without shade, cable and bulb",
        "a lamp",
        (
            "shade",
            "cable",
            "bulb",
        ),
    ),
    ("a car, without wheels, on a lawn", "a car, on a lawn", ("wheels",)),
    ("no logo, red, striped", "red, striped", ("logo",)),
    (
        "a dog with no leash or collar on a beach",
        "a dog on a beach",
        (
            "leash",
            "collar",
        ),
    ),
    ("should not be red", "", ("red",)),
    ("no wearing of hats", "", ("hats",)),
]

# They negate nothing that a picture shows.
NO_NEGATION = [
    "not only red",
    "not only red but also blue",
    "not just dogs",
    "no doubt a dog",
    "without doubt the best dog",
    "without a doubt a dog",
    "a knot",
    "a reef knot in a rope",
    "No. 5",
    "Chanel No. 5 perfume",
    "room no 5",
    "house no 12 with a red door",
    "minus 5 degrees",
    "a minus sign",
    "a plus and a minus",
    "plus or minus",
    "a no smoking sign",
    "a no parking sign on a wall",
    "the no entry sign",
    "a sign that says no dogs",
    "a sign reading no entry",
    "a poster saying no war",
    'a board that says "without you"',
    'a shirt with "no problem" on it',
    "a shirt with 'not today' written on it",
    "nothing but trees",
    "why not",
    "a north wind",
    "a note on a table",
    "a notebook",
    "no way",
    "with or without a hat",
    "whether or not it rains",
    "a man about to take off",
    "a plane taking off",
    "planes take off",
    "a plane that is about to take off",
    "take off from a runway",
    "take the dog out for a walk",
    "stainless steel pan",
    "a seamless pattern",
    "a timeless classic",
    "a wireless mouse",
    "a cordless drill",
    "homeless man",
    "an endless road",
    "unless it rains",
    "nevertheless a dog",
    "bless you",
    "less light",
    "a backless dress",
    "priceless painting",
    "a hands-free kit",
    "a duty-free shop",
    "sugar-free drink",
    "royalty-free picture",
    "non-smoking area",
    "a non-stick pan",
    "a t-shirt",
    "a black-and-white photo",
    "a dog - a cat",
    "a well-known man",
    "a u-turn",
    "forget-me-not flowers",
    "forget me not",
    "no man's land",
    "rebel without a cause",
    "doctors without borders",
    "the same except in red",
    "the same except that it is red",
    "the same but in red",
    "a drop of water",
    "lose weight",
    "a remove before flight tag",
    "remove before flight",
    "removed",
    "a removal van",
    "a removable hood",
    "free entry",
    "a free bird",
    "free of charge",
    "a dog free to run",
    "last but not least",
    "more often than not",
    "a dog instead",
    "red instead",
    "in brass instead",
    "with a shade",
    "in the north",
    "a canoe",
    "a cannon",
    "notice board",
    "a wall of noise",
    "a snowy forest",
    "not bad",
    'a "no parking" sign',
    "no-parking sign",
    "an empty street",
    "a barefoot boy",
    "bare trees",
    "a waterless urinal",
    "a frameless mirror",
    "not far from the sea",
    "not far away",
    "no less than three dogs",
    "in no time",
    "dr no",
    "less snow",
    "fewer people",
    "something other",
    "rather dark",
    "rather old car",
    "anything",
    "a do not enter sign",
    "a font sans serif",
]

# What is asked, and the words that are told: left as they are, not understood.
NOT_UNDERSTOOD = [
    ("not without a hat", "not without"),
    ("never without a hat", "never without"),
    ("no one without a hat", "no one"),
    ("nobody wearing a hat", "nobody"),
    ("nothing on the table", "nothing"),
    ("none", "none"),
    ("never", "never"),
    ("a dog that never barks", "never"),
    ("not as bright", "not"),
    ("not as dark as this", "not"),
    ("not so dark", "not"),
    ("not very bright", "not"),
    ("not like this", "not"),
    ("not the same", "not"),
    ("not this one", "not"),
    ("not many people", "not"),
    ("not all red", "not"),
    ("not enough light", "not"),
    ("no bigger than a cat", "no"),
    ("no darker", "no"),
    ("no", "no"),
    ("not", "not"),
    ("without", "without"),
    ("no, a dog", "no"),
    ("it is not", "not"),
    ("a man excluding himself", "excluding"),
    ("do not disturb sign", "not"),
    ("don't walk", "don't"),
    ("a dog that doesn't bark", "doesn't"),
    ("she doesn't smile", "doesn't"),
    ("he isn't", "isn't"),
    ("hardly any people", "hardly"),
    ("neither", "neither"),
    ("nor", "nor"),
    ("not sure", "not"),
    ("a mast with nothing on it", "nothing"),
]


def test_negations_are_split_off() -> None:
    expected = {text: Reading(wanted, negatives) for text, wanted, negatives in UNDERSTOOD}

    assert {text: read_negation(text) for text in expected} == expected


def test_what_only_looks_like_a_negation_is_left_alone() -> None:
    expected = {text: Reading(text) for text in NO_NEGATION}

    assert {text: read_negation(text) for text in expected} == expected


def test_what_is_not_understood_stays_and_is_told() -> None:
    expected = {text: Reading(text, (), (told,)) for text, told in NOT_UNDERSTOOD}

    assert {text: read_negation(text) for text in expected} == expected


def test_there_are_enough_phrasings() -> None:
    assert len(UNDERSTOOD) + len(NO_NEGATION) + len(NOT_UNDERSTOOD) >= 200
    assert len(NO_NEGATION) >= 40
    assert len(NOT_UNDERSTOOD) >= 15


def test_what_is_wanted_reads_the_same_again() -> None:
    for _, wanted, negatives in UNDERSTOOD:
        again = read_negation(wanted)

        assert again.wanted == wanted
        assert set(again.negatives) <= set(negatives)  # "a sleeveless dress" keeps its word


_MIXED = (
    "a the no not without dog red in brass and or but of instead than rather minus people, shade. "
    "remove take off free from is that has nobody one -less -cat hat-less \" ' ( ) * 5 says"
)


@given(st.lists(st.sampled_from(_MIXED.split()), max_size=12))
def test_any_words_are_read_and_none_is_invented(words: list[str]) -> None:
    text = " ".join(words)

    reading = read_negation(text)

    written = {word.strip(",.") for word in words} | {"with"}
    assert {word.strip(",.") for word in reading.wanted.split()} <= written
    assert all(negative.strip() for negative in reading.negatives)
    if not reading.negatives:
        assert reading.wanted == text


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    reading = read_negation(text)

    assert reading.negatives or reading.wanted == text


@pytest.mark.parametrize(
    ("wanted", "nothing"),
    [
        ("", True),
        ("the same", True),
        ("the same one but", True),
        ("same picture", True),
        ("like this", True),
        ("make it", True),
        ("*", True),
        ("a photo", False),
        ("make it red", False),
        ("the same dog", False),
    ],
)
def test_words_that_only_point_at_an_image_say_nothing(wanted: str, nothing: bool) -> None:
    assert says_nothing(wanted) is nothing
