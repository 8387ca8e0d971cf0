"""What a text wants and what it does not want: a small grammar of English negation.

Text encoders read "without a shade" as one more mention of a shade: the words raise what they rule
out. So a text is split before it is composed: `"in brass, without the shade"` is `"in brass"` and,
unwanted, `"shade"`. The rules, in order:

1. Quoted words, words that are written on something ("a no smoking sign") and idioms ("no doubt")
   are kept as they are.
2. Words that negate (`without`, `no`, `not`, `instead of`, ...) and commands at the beginning of a
   clause (`remove`, `take off`, ...) make the noun phrase after them unwanted; so do `-less`,
   `-free` and a minus sign before a word.
3. The phrase ends at punctuation, at a verb, at another article and at a preposition. After a thing
   ("a dog without a leash on a beach") what a preposition begins belongs to that thing; at the
   beginning of a clause it belongs to what is unwanted if it is definite ("without the logo on the
   chest"), and is wanted otherwise ("without the shade in brass").
4. "and", "or" and lists go on with what is unwanted, unless a colour, a preposition, a verb or a
   comparison follows.
5. Negations that are not understood (double ones, "not as bright", "never") stay where they are and
   are named, so that whoever asks can be told.

English only; tables of words are in `negation_words`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from composir.compose import negation_words as table
from composir.compose.negation_scope import Scope, begins_negation
from composir.compose.negation_tokens import Tokens, bare

_MINUS_WORD = re.compile(r"[-\u2212][^\W\d_][\w'-]*\W*")
_LESS = re.compile(r"([a-z]{2,})(-?)less")
_FREE = re.compile(r"([a-z]{2,})-free")
_STRAY = re.compile(
    r"^(?:[\s,;:.!?]|(?:and|but|or|also|then|plus|so|please)\b)+|(?:[\s,;:.]|\bplease\b)+$",
    re.IGNORECASE,
)
_STEPS = ("no", "not", "minus")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, read.

    Attributes:
        wanted: The text without what it negates; the text itself where it negates nothing.
        negatives: What must not be there, in order.
        unclear: Negating words that were not understood and are still in `wanted`.
    """

    wanted: str
    negatives: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()


def read_negation(text: str) -> Reading:
    """Split a text into what is wanted and what is not."""
    reader = _NegationReader(Tokens(text))
    reader.read()
    unclear = tuple(dict.fromkeys(reader.unclear))
    if not reader.negatives:
        return Reading(text, unclear=unclear)
    wanted = _STRAY.sub("", " ".join(reader.wanted))
    return Reading(wanted, tuple(dict.fromkeys(reader.negatives)), unclear)


def says_nothing(wanted: str) -> bool:
    """Whether words beside an image only point at it: "the same but", "make it"."""
    words = [bare(word) for word in wanted.replace("*", " ").split()]
    told = [word for word in words if word and word not in table.FILLER]
    only_pointing = all(word in table.FILLER_NOUNS for word in told)
    return only_pointing and (not told or bool(set(words) & table.POINTING))


class _NegationReader:
    """Goes through the tokens once; `wanted`, `negatives` and `unclear` grow."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.wanted: list[str] = []
        self.negatives: list[str] = []
        self.unclear: list[str] = []

    def read(self) -> None:
        position = 0
        while position < len(self._tokens):
            position = self._step(position)

    def _step(self, position: int) -> int:
        """Read what stands at a position; the next position."""
        token = self._tokens[position]
        literal = 1 if token.quoted else self._literal(position)
        after = position + literal if literal else self._negation(position)
        if after is None:
            after = position + 1
            if token.word in table.LEFT_OVER or token.word.endswith("n't"):
                if begins_negation(self._tokens, after):
                    return self._doubled(position, after)
                self.unclear.append(token.word)
        elif not literal:
            return after
        self._keep(position, after)
        return after

    def _keep(self, begin: int, end: int) -> None:
        self.wanted += [self._tokens[place].text for place in range(begin, end)]

    def _literal(self, position: int) -> int:
        """How many tokens from here are an idiom, or written on something."""
        idiom = self._tokens.match(position, table.IDIOMS)
        if idiom:
            return idiom
        word = self._tokens.word(position)
        if word in table.READING:
            closed = self._tokens.closes(position) and not self._tokens[position].text.endswith(":")
            return 1 if closed else self._tokens.clause_end(position + 1) - position
        if word in _STEPS and self._tokens.word(position + 1)[:1].isdigit():
            return 2  # "No. 5", "minus 5 degrees"
        return self._sign(position) if word in {*_STEPS, "do", "don't"} else 0

    def _sign(self, position: int) -> int:
        """`a no smoking sign`: the words up to the sign."""
        if self._tokens.word(position - 1) not in table.ARTICLES | {"the"}:
            return 0
        for place in range(position + 1, position + 4):
            if self._tokens.closes(place - 1) or self._tokens.word(place) in table.ENDING:
                return 0
            if self._tokens.word(place) in table.SIGNS:
                return place + 1 - position
        return 0

    def _negation(self, position: int) -> int | None:
        """Read a negation; None where there is none or it is not understood."""
        for read in (self._minus_word, self._nobody, self._suffix, self._taken_off):
            after = read(position)
            if after is not None:
                return after
        length = self._order(position)
        if length:
            return self._unwanted(position, position + length, order=True)
        length = self._negator(position)
        if not length:
            return None
        if begins_negation(self._tokens, position + length):
            return self._doubled(position, position + length)
        return self._unwanted(position, position + length, order=False)

    def _doubled(self, begin: int, start: int) -> int:
        """`not without a hat`."""
        return self._left_alone(begin, start + 1)

    def _left_alone(self, begin: int, named: int) -> int:
        """Keep a clause as it is; its words up to `named` were not understood."""
        after = max(named, self._tokens.clause_end(named - 1))
        self.unclear.append(" ".join(self._tokens.words(begin, named)))
        self._keep(begin, after)
        return after

    def _minus_word(self, position: int) -> int | None:
        """`beach -people`, as search engines have it."""
        if not _MINUS_WORD.fullmatch(self._tokens[position].text):
            return None
        self.negatives.append(self._tokens.word(position).lstrip("-\u2212"))
        return position + 1

    def _nobody(self, position: int) -> int | None:
        """`nobody on the beach`; "nobody wearing a hat" says something about hats."""
        tokens = self._tokens
        length = tokens.match(position, table.NOBODY)
        if not length:
            return None
        after = position + length
        attached = tokens.match(after, table.ATTACHED)
        ends = tokens.closes(after - 1) or after == len(tokens)
        if not (ends or attached or tokens.word(after) in table.PLACES):
            return self._left_alone(position, after)
        self._drop_linking()
        self.negatives.append("people")
        return after + attached

    def _suffix(self, position: int) -> int | None:
        """`sleeveless` stays, a kind that encoders know; `shade-less` and `people-free` go."""
        word = self._tokens.word(position)
        free, less = _FREE.fullmatch(word), _LESS.fullmatch(word)
        if free and free[1] not in table.FREE_KEPT:
            self.negatives.append(free[1])
            self._comma(position + 1)
            return position + 1
        if less is None or word in table.LESS_KEPT:
            return None
        self.negatives.append(_plural(less[1]))
        if not less[2]:
            self._keep(position, position + 1)
        return position + 1

    def _taken_off(self, position: int) -> int | None:
        """`take the hat off`."""
        tokens = self._tokens
        if tokens.word(position) != "take" or not self._begins_order(position):
            return None
        if tokens.word(position + 1) not in table.DETERMINERS:
            return None
        for end in range(position + 3, position + 6):
            if tokens.closes(end - 1):
                return None
            if tokens.word(end) in table.AWAY:
                attached = tokens.match(end + 1, table.ATTACHED)
                if (
                    not attached
                    and tokens.word(end + 1) in table.PREPOSITIONS
                    and (not tokens.closes(end))
                ):
                    return None  # "take the dog out for a walk"
                self._drop_linking()
                self.negatives.append(" ".join(tokens.words(position + 2, end)))
                return end + 1 + attached
        return None

    def _order(self, position: int) -> int:
        """Length of a command to take something away."""
        length = self._tokens.match(position, table.ORDERS)
        if not length or not self._begins_order(position):
            return 0
        following = self._tokens.word(position + length)
        if following in table.ENDING:
            return 0
        phrase = tuple(self._tokens.words(position, position + length))
        if phrase in table.NEEDS_ARTICLE and following not in table.DETERMINERS:
            return 0
        return length

    def _begins_order(self, position: int) -> bool:
        before = self._tokens.word(position - 1)
        return self._tokens.closes(position - 1) or before in table.BEFORE_ORDERS

    def _negator(self, position: int) -> int:
        """How many tokens here negate what follows them."""
        tokens = self._tokens
        length = tokens.match(position, table.DO_NOT)
        if length:
            return length + 1 if tokens.word(position + length) in table.SHOWING else 0
        length = tokens.match(position, table.WITHOUT | table.NO | table.NOT)
        following = tokens.word(position + length)
        if tokens.word(position) == "not" and tokens.word(position - 1) in table.AUXILIARIES:
            return 0  # "does not bark"; verbs that show something were read before
        if length == 1 and tokens.match(position, table.NO | table.NOT):
            blocked = following in table.NOT_BLOCKED | table.COMPARATIVES
            return 0 if blocked else length
        if tokens.word(position) == "except" and following in table.PREPOSITIONS:
            return 0  # "the same except in red" says what is wanted
        return length

    def _unwanted(self, begin: int, start: int, *, order: bool) -> int | None:
        """Read the phrases from `start` on, which the words from `begin` negate."""
        tokens = self._tokens
        if tokens.closes(start - 1):
            return None
        negator = tuple(tokens.words(begin, start))
        scope = Scope(
            tokens, order=order, alone=self._is_alone(begin), article_ends=negator in table.NO
        )
        phrases, after = scope.read(start)
        if not phrases:
            return None
        self._drop_linking()
        self.negatives += [" ".join(phrase) for phrase in phrases]
        self._comma(after)
        return self._after_and(negator, after)

    def _is_alone(self, begin: int) -> bool:
        """Whether no thing stands before this in its clause that later words could belong to."""
        clause = self._tokens.words(self._tokens.clause_begin(begin), begin)
        return all(word in table.FILLER for word in clause)

    def _comma(self, after: int) -> None:
        """Keep the clauses around what is taken out apart."""
        ended = self._tokens[after - 1].text.endswith(",")
        if ended and self.wanted and self.wanted[-1][-1].isalnum():
            self.wanted[-1] += ","

    def _after_and(self, negator: tuple[str, ...], position: int) -> int:
        """`with no lamp and a cat` is `with a cat`; `and in brass` needs no "and"."""
        following = self._tokens.word(position + 1)
        if self._tokens.word(position) not in {"and", "but", "plus"}:
            return position
        if not self.wanted or not self.wanted[-1][-1].isalnum():
            return position + 1
        if following in table.ARTICLES | table.DETERMINERS:
            if negator[0] != "with":
                return position
            self.wanted.append("with")
        return position + 1

    def _drop_linking(self) -> None:
        """Take away what led to the negation: "a lamp that has" no shade."""
        while self.wanted and self.wanted[-1].lower() in table.LINKING:
            self.wanted.pop()


def _plural(stem: str) -> str:
    """What many of a thing are called; "hair" is not counted."""
    if stem in table.IRREGULAR:
        return table.IRREGULAR[stem]
    if stem in table.UNCOUNTED or stem.endswith("s"):
        return stem
    if stem.endswith(("ch", "sh", "x")):
        return stem + "es"
    if stem.endswith("y") and stem[-2:-1] not in "aeiou":
        return stem[:-1] + "ies"
    return stem + "s"
