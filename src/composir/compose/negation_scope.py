"""How far a negation reaches: the phrases after it that are unwanted."""

from __future__ import annotations

from composir.compose import negation_words as table
from composir.compose.negation_tokens import Tokens

_NEGATORS = table.WITHOUT | table.NO | table.NOT | table.DO_NOT
_JOINING = frozenset({"and", "or", "nor"})
_FINITE = frozenset({"is", "are", "was", "were", "has", "have", "should"})
_FROM = frozenset({"from", "off"})


def begins_negation(tokens: Tokens, position: int) -> bool:
    """Whether a negation stands here, a determiner before it or not."""
    place = position + (tokens.word(position) in table.DETERMINERS)
    return bool(tokens.match(place, _NEGATORS)) or tokens.word(place) in table.LEFT_OVER


def cleaned(phrase: list[str]) -> list[str]:
    """A phrase without what says nothing at its beginning and end; empty if nothing is left."""
    words = list(phrase)
    while words and (said := _empty_beginning(words)):
        del words[:said]
    while words and words[-1] in table.TRAILING | table.PREPOSITIONS:
        del words[-1]
    told = [word for word in words if word not in table.ARTICLES | table.PRONOUNS]
    vague = all(word in table.COMPARATIVES | table.NOT_BLOCKED for word in told)
    return [] if vague else words


class Scope:
    """Reads what one negation rules out."""

    def __init__(self, tokens: Tokens, *, order: bool, alone: bool, article_ends: bool) -> None:
        """Read from some tokens."""
        self._tokens, self._order = tokens, order
        self._alone, self._article_ends = alone, article_ends

    def read(self, start: int) -> tuple[list[list[str]], int]:
        """The unwanted phrases from a position on, and the position after them."""
        phrases: list[list[str]] = []
        position = start
        while True:
            words, after = self._phrase(position)
            phrase = cleaned(words)
            if not phrase:
                return phrases, position if phrases else start
            phrases.append(phrase)
            joined = self._joined(after, phrase)
            if joined is None:
                return phrases, after
            position = joined

    def _phrase(self, start: int) -> tuple[list[str], int]:
        """One noun phrase, with what belongs to it, and the position after it."""
        words: list[str] = []
        kept, position = True, start
        while position < len(self._tokens):
            token = self._tokens[position]
            attached = self._tokens.match(position, table.ATTACHED) if words else 0
            if attached:
                return words, position + attached
            if not token.word or (not token.quoted and self._ends(position, words)):
                return words, position + (not token.word)
            if self._order and token.word in _FROM and _content(words):
                kept = False  # "from the shirt" says where, not what
            if kept:
                words.append(token.word)
            position += 1
            if token.closes:
                break
        return words, position

    def _ends(self, position: int, words: list[str]) -> bool:
        """Whether the phrase ends before this word."""
        word = self._tokens.word(position)
        if not _content(words):
            return word in table.ENDING and word not in table.LEADING
        if word in table.ARTICLES | table.DETERMINERS:
            before = self._tokens.word(position - 1)
            return before not in table.PREPOSITIONS | {"of"}
        if word in table.PREPOSITIONS:
            return word != "of" and not self._belongs(position, words)
        if word in table.MADE or _is_participle(word):
            return not (self._alone or (_is_participle(word) and _is_bare_plural(words)))
        return word in table.ENDING

    def _belongs(self, position: int, words: list[str]) -> bool:
        """Whether what a preposition begins belongs to what is unwanted."""
        if self._order and self._tokens.word(position) in _FROM:
            return True
        definite = self._tokens.word(position + 1) in table.DEFINITE
        return definite and (self._alone or any(map(_is_participle, words)))

    def _joined(self, position: int, phrase: list[str]) -> int | None:
        """Where another unwanted phrase begins, if one is joined here."""
        word = self._tokens.word(position)
        if position >= len(self._tokens):
            return None
        if word not in _JOINING:
            ended = self._tokens[position - 1].text.endswith(",")
            return position if ended and self._is_list(position, phrase) else None
        following = position + 1
        if not self._tokens.word(following) or self._tokens.closes(position):
            return None
        if begins_negation(self._tokens, following) or self._is_order(following):
            return None
        if self._tokens.word(following) in table.WANTED_AFTER_AND:
            return None
        return None if word == "and" and self._is_wanted(following, phrase) else following

    def _is_order(self, position: int) -> bool:
        return bool(self._tokens.match(position, table.ORDERS))

    def _is_wanted(self, position: int, phrase: list[str]) -> bool:
        """Whether what follows an "and" is wanted, unlike what stands before it."""
        if self._article_ends and self._tokens.word(position) in table.ARTICLES:
            return True
        words = self._tokens.words(position, self._tokens.clause_end(position))
        if any(word in _FINITE for word in words):
            return True
        return _is_colour(words) and not _is_colour(phrase)

    def _is_list(self, position: int, phrase: list[str]) -> bool:
        """Whether the words after a comma go on with a list: "people, cars or text"."""
        items, joint = self._items(position)
        if joint == "and" and any(len(item) > 1 for item in [phrase, *items]):
            return False
        return joint in _JOINING and all(_is_item(item) for item in items)

    def _items(self, position: int) -> tuple[list[list[str]], str]:
        """Items up to the one after "and" or "or", and that word."""
        items: list[list[str]] = [[]]
        joint = ""
        while position < len(self._tokens):
            token = self._tokens[position]
            if token.word in _JOINING and not joint:
                joint = token.word
                items += [[]] if items[-1] else []
            elif joint and items[-1] and token.word in table.ENDING:
                break
            else:
                items[-1].append(token.word)
                if token.closes and (joint or not token.text.endswith(",")):
                    break
                items += [[]] if token.closes else []
            position += 1
        return items, joint


def _empty_beginning(words: list[str]) -> int:
    """How many words at the beginning say nothing about what is unwanted."""
    if words[0] in table.LEADING:
        return 1
    lengths = (3, 2)
    return next((n for n in lengths if tuple(words[:n]) in table.QUANTITIES), 0)


def _content(words: list[str]) -> bool:
    return any(word not in table.LEADING | table.ARTICLES for word in words)


def _is_participle(word: str) -> bool:
    return len(word) > 4 and word.endswith("ing") and word not in table.ING_NOUNS


def _is_bare_plural(words: list[str]) -> bool:
    if words[0] in table.ARTICLES | table.DEFINITE:
        return False
    return words[-1].endswith("s") or words[-1] in table.BARE_PLURALS


def _is_colour(words: list[str]) -> bool:
    told = [word for word in words if word not in {"and", "very", "all"}]
    return bool(told) and all(word in table.COLOURS | table.COMPARATIVES for word in told)


def _is_item(words: list[str]) -> bool:
    told = [word for word in words if word not in table.ARTICLES | table.DETERMINERS]
    if not told or len(told) > 3 or _is_colour(told):
        return False
    barred = table.ENDING | table.LEFT_OVER | table.WANTED_AFTER_AND
    return not any(word in barred or _is_participle(word) for word in told)
