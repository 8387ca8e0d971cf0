"""Names with braces, as WebDataset and shells write many at once: `{0000..0012}`, `{train,val}`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

MOST_NAMES = 100_000
_INNERMOST = re.compile(r"\{(?:(\d{1,18})\.\.(\d{1,18})|([^{}]*,[^{}]*))\}")


def expand(text: str) -> list[str]:
    """What a text stands for, in order and each once; itself alone where it has no such braces.

    Raises:
        ValueError: If that is more than `MOST_NAMES`.
    """
    names = list(islice(_expanded(text), MOST_NAMES + 1))
    if len(names) > MOST_NAMES:
        raise ValueError(f"'{text}' stands for more than {MOST_NAMES:,} names")
    return list(dict.fromkeys(names))


def _expanded(text: str) -> Iterator[str]:
    pending: list[Iterator[str]] = [iter([text])]
    while pending:
        name = next(pending[-1], None)
        if name is None:
            pending.pop()
        elif (found := _INNERMOST.search(name)) is None:
            yield name
        else:
            pending.append(_with_choices(name, found))


def _with_choices(name: str, found: re.Match[str]) -> Iterator[str]:
    for choice in _choices(found):
        yield name[: found.start()] + choice + name[found.end() :]


def _choices(found: re.Match[str]) -> Iterable[str]:
    first, last, listed = found.groups()
    if listed is not None:
        return list[str](listed.split(","))
    begin, end = int(first), int(last)
    # As wide as the wider one where any is padded, so `{08..10}` and `{8..010}` too.
    is_padded = any(one.startswith("0") and len(one) > 1 for one in (first, last))
    width = max(len(first), len(last)) if is_padded else 0
    step = 1 if begin <= end else -1
    return (f"{number:0{width}}" for number in range(begin, end + step, step))
