"""What is wrong with many rows or files, told in few lines: problems of one kind together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

_NAMED = 3
_KINDS = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """A row or file that cannot be used: where it is and why.

    Attributes:
        where: File, or file and line.
        reason: Why, in words.
        kind: What it has in common with others whose reasons name other details; the reason itself
            where there are no details.
    """

    where: str
    reason: str
    kind: str = ""


def summarised(problems: Iterable[Problem]) -> list[str]:
    """Lines for people, one for each kind of problem, the most frequent first."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind or problem.reason, []).append(problem)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    lines = [_line(alike) for alike in ordered[:_KINDS]]
    rest = [len(alike) for alike in ordered[_KINDS:]]
    if rest:
        lines.append(f"... and {sum(rest):,} more, of {len(rest):,} other kinds")
    return lines


def log_skipped(failures: Iterable[tuple[object, str]], log: Callable[[str], None]) -> None:
    """Log which files are skipped."""
    for line in summarised(Problem(str(file), reason) for file, reason in failures):
        log(f"skipping {line}")


def _line(alike: list[Problem]) -> str:
    first = alike[0]
    named = alike[: 1 if first.kind else _NAMED]  # one's details say nothing of another's place
    places = ", ".join(one.where for one in named)
    more = len(alike) - len(named)
    return f"{places}{f' and {more:,} more' if more else ''}: {first.reason}"
