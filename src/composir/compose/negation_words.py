"""The English of negation: what negates, what only looks like it, what ends a phrase.

Tables alone; `negation` reads texts by them.
"""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a line."""
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(line.split()) for line in text.split("|"))


WITHOUT = _phrases(
    "without|w/o|with no|with not|minus|excluding|lacking|lacks|devoid of|free of|free from|"
    "no longer|except|except for|other than|apart from|aside from|anything but|everything but|"
    "everyone but|instead of|rather than|in place of|neither|nor|hasn't|haven't|hasn't got|"
    "haven't got"
)
"""What follows is unwanted."""

NO = _phrases("no|no more|with no|with no more|not any|without any more")
"""Likewise; a second thing with an article, after "and", is wanted: "no dog and a cat"."""

NOT = _phrases("not|isn't|aren't|wasn't|weren't|ain't")
"""Likewise, unless a word of `NOT_BLOCKED` follows."""

DO_NOT = _phrases(
    "do not|does not|did not|should not|must not|can not|will not|don't|doesn't|didn't|"
    "shouldn't|mustn't|cannot|can't|won't|dont|doesnt"
)
"""Likewise, where one of `SHOWING` follows."""

AUXILIARIES = word_set("do does did should must can will would could")

SHOWING = word_set(
    "have has show include contain want wear need use display feature see depict add be look "
    "put give keep hold carry"
)

ORDERS = _phrases(
    "remove|take off|take away|take out|get rid of|delete|erase|omit|exclude|avoid|leave out|"
    "subtract|eliminate|drop|lose|ditch|strip off|do away with"
)
"""Commands, at the beginning of a clause: what follows is unwanted."""

NEEDS_ARTICLE = _phrases("drop|lose|ditch|delete|erase|take off|take out|take away|strip off")
"""Of these, those that are commands only before an article: "take off" is what planes do."""

AWAY = word_set("off away out")
"""Where "take the hat off" ends."""

BEFORE_ORDERS = word_set("and but then please also just you")
"""Words after which a command may begin, beside the beginning of a clause."""

NOBODY = _phrases("nobody|no one|no-one|noone")

PLACES = word_set(
    "in on at under near behind beside inside outside around along across between among by"
)
"""After "nobody" they say where."""

NOT_BLOCKED = word_set(
    "as like same so very really quite exactly all always many much every everyone everything "
    "this that these those what how when where because necessarily enough yet sure more less"
)
"""After "not" and after "no": a matter of degree or of comparison, which is left alone and told."""

COMPARATIVES = word_set(
    "darker lighter brighter bigger smaller larger longer shorter wider narrower taller higher "
    "lower older newer younger thicker thinner better worse cheaper closer further fewer less "
    "softer sharper cleaner rounder warmer colder more"
)

IDIOMS = _phrases(
    "not only|not just|not far|not far from|not to mention|not unlike|not to scale|"
    "not for sale|not bad|why not|if not|whether or not|or not|more often than not|"
    "last but not least|forget me not|touch me not|waste not want not|to be or not to be|"
    "believe it or not|no doubt|no problem|no matter|no wonder|no way|no idea|in no time|"
    "no end|no less|no fewer|no fun|no comment|no man's land|no strings attached|"
    "no country for old men|dr no|yes or no|no place like home|no pain no gain|no kidding|"
    "no trespassing|no vacancy|no entry|no filter|rain or no rain|by no means|no war|no name|"
    "without doubt|without a doubt|without question|without fail|without further ado|"
    "without warning|without borders|without limits|without end|with or without|do without|"
    "does without|go without|goes without|rebel without a cause|nothing but|all but|"
    "free of charge|minus sign|plus or minus|a minus|minus button|neither here nor there|"
    "except that|except in|except with|except on|except at|drop out|take off from|never ending|"
    "nothing special"
)
"""They negate nothing that a picture shows."""

SIGNS = word_set(
    "sign signs signage symbol symbols notice sticker stickers poster posters placard plate "
    "zone icon logo"
)
"""After these the words before are written on something: "a no smoking sign"."""

READING = word_set("says say saying reads read reading titled labelled labeled captioned")
"""What follows is written on something: "a sign that says no dogs"."""

LEFT_OVER = word_set(
    "no not without none never nothing neither nor nobody nowhere except minus cannot excluding "
    "lacking dont doesnt isnt w/o hardly scarcely"
)
"""Where one of these stays in what is wanted, it is told."""

ARTICLES = word_set("a an")
DEFINITE = word_set("the his her their its my your our this that these those")
DETERMINERS = DEFINITE | word_set("any all every each some single")
LEADING = DETERMINERS | word_set(
    "wearing having showing holding containing being in on with at of from by for to too other "
    "including using featuring more additional visible obvious"
)
"""Dropped from the beginning of what is unwanted; "not in red" is not red."""

TRAILING = word_set(
    "visible showing attached present shown around please too either instead anywhere "
    "whatsoever anymore though now here there longer all at"
)
"""Dropped from its end."""

QUANTITIES = _phrases(
    "a single|a lot of|lots of|a bunch of|pieces of|a piece of|kind of|kinds of|sort of|"
    "sorts of|signs of|sign of|traces of|trace of|a trace of|a hint of|a bit of|sight of|"
    "a sign of"
)
"""Dropped from the beginning too: "no trace of people"."""

PREPOSITIONS = word_set(
    "in on at under over near behind beside besides by with within from during through between "
    "into onto across along around outside inside before after above below beneath toward "
    "towards against among next off for as like than per via up down"
)
ENDING = PREPOSITIONS | word_set(
    "that which who whose where when while because since so if then to plus but yet is are was "
    "were be been has have had and or nor also"
)
"""Words that end a phrase."""

MADE = word_set("made painted coloured colored dressed built covered printed")
WANTED_AFTER_AND = (
    PREPOSITIONS
    | COMPARATIVES
    | MADE
    | word_set(
        "add make put change turn show give keep use paint replace set let have wearing holding "
        "having it that which more is are also then instead"
    )
)
"""After "and" they begin something wanted: "without the shade and in brass"."""

COLOURS = word_set(
    "red green blue yellow orange purple violet pink brown black white grey gray beige silver "
    "gold golden brass copper bronze navy teal turquoise olive maroon magenta cyan cream tan "
    "ivory colourful colorful bright dark shiny matte plain striped wooden metallic transparent"
)

ATTACHED = _phrases(
    "in the background|in background|in the foreground|in the frame|in the picture|"
    "in the image|in the photo|in the shot|in the view|in the scene|in view|in sight|in frame|"
    "in it|on it|in them|on them|around it|on him|on her|on top|on top of it|at all|any more|"
    "anywhere in the picture|in the photograph|behind it|behind them|next to it|to be seen|"
    "in there|there"
)
"""They say where the unwanted thing is not; the pictures' own words for it."""

ING_NOUNS = word_set(
    "ring string building ceiling wing king spring thing something anything painting clothing "
    "evening morning earring lightning wedding swing sling sibling railing lighting writing "
    "lettering piercing awning stocking dressing icing topping stuffing opening crossing "
    "covering bedding lining packaging wrapping framing scaffolding drawing pudding"
)

BARE_PLURALS = word_set("people men women children feet teeth police traffic text writing")

PRONOUNS = word_set(
    "it them that this one ones me us him her they these those he she you i himself herself "
    "itself themselves yes"
)

LESS_KEPT = word_set(
    "less unless bless nevertheless nonetheless regardless stainless timeless seamless wireless "
    "homeless endless doubtless priceless careless harmless helpless hopeless useless restless "
    "reckless ruthless fearless flawless effortless breathless speechless countless numberless "
    "needless meaningless senseless selfless shameless spotless tireless weightless worthless "
    "boundless matchless relentless ageless aimless artless blameless bottomless brainless "
    "ceaseless clueless contactless cashless defenceless defenseless dauntless faithless "
    "fatherless motherless friendless godless groundless guiltless gutless heartless heedless "
    "joyless jobless lawless lifeless limitless listless loveless merciless mindless motionless "
    "nameless odourless odorless painless peerless penniless pointless powerless remorseless "
    "rudderless serverless sexless sinless sleepless soulless tactless tasteless thankless "
    "thoughtless topless backless colourless colorless fruitless noiseless soundless wordless "
    "cordless paperless valueless bloodless stateless landless dimensionless frictionless "
    "lossless borderless classless changeless deathless dreamless fathomless formless shapeless "
    "hapless luckless measureless scoreless winless sightless tuneless voiceless waterless "
    "chainless bezelless keyless frameless rimless tubeless tankless brushless crewless "
    "driverless pilotless"
)
"""Words in -less that negate nothing one sees, or that name a kind of thing by themselves."""

UNCOUNTED = word_set(
    "hair fur water snow grass smoke light fruit glass ice foam milk sugar salt moss rust dust "
    "text paper"
)
IRREGULAR = {
    "leaf": "leaves", "tooth": "teeth", "foot": "feet", "child": "children", "shelf": "shelves",
    "person": "people", "man": "men", "woman": "women", "knife": "knives",
}  # fmt: skip

FREE_KEPT = word_set(
    "hands duty tax royalty stress care worry risk toll rent scot fat sugar gluten dairy "
    "cruelty lactose caffeine alcohol fee trouble drug war crime carbon pain error bug oil salt "
    "nut meat chemical germ hassle interest maintenance guilt"
)
"""Stems of words in -free that negate nothing one sees."""

FILLER = word_set(
    "the same one it make this that but version please i want show me similar exactly just be "
    "have has with is like them now should can could you to and so a an keep everything else "
    "thing there are"
)
"""Where an image is given, words that say nothing beside what is unwanted: "the same but"."""
POINTING = word_set("same it this that them one everything")
FILLER_NOUNS = word_set("picture photo image photograph shot scene")

LINKING = word_set(
    "and but or with that which who has have having had is are was were there it it's its they "
    "should be do does so then please where make makes holding wearing carrying using hold wear "
    "also to can could you i must & just shows showing there's that's they're - – — of"
)
"""Words before a negation that led to it only: "a lamp that has" no shade."""
