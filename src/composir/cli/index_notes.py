"""What is told after an index run or a merge: the numbers, and a line for each thing beside."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from composir.cli.terminal import as_document, duration, print_json, printable
from composir.types import Failure, IndexReport

if TYPE_CHECKING:
    from composir.gallery.shards import MergeReport

_SHOWN_ENDINGS = 8
_SHOWN_FAILURES = 20


def told_counts(counts: Mapping[str, int], seconds: float) -> str:
    """`12 new, 3 gone; took 4.2 s`: what is not zero, and the time."""
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{told or 'nothing new'}; took {duration(seconds)}"


def told_changes(report: IndexReport) -> str:
    """What an index run changed, and how long it took."""
    counts = {
        "new": report.added,
        "known by content": report.reused,
        "unchanged": report.unchanged,
        "gone": report.dropped,
    }
    return told_counts(counts, report.seconds)


def print_report(report: IndexReport | MergeReport, folder: Path, **more: object) -> None:
    """Print a report on a gallery as JSON, with what else is to be told."""
    told = {**as_document(report), "seconds": round(report.seconds, 3)}
    print_json({"gallery": folder.absolute(), **more, **told})


def index_notes(report: IndexReport, gallery: str = "") -> list[str]:
    """Lines about folders that have moved, patterns, and files of other kinds."""
    lines = [*_moves(report, gallery), *_patterns(report), *_other_kinds(report.other_kinds)]
    return [printable(line) for line in lines]


def _moves(report: IndexReport, gallery: str) -> Iterator[str]:
    for root, count in report.moved.items():
        yield f"{count:,} pictures of {root} have moved here"
    for root, count in report.left_behind.items():
        yield (
            f"{count:,} pictures of {root} were not found again and are kept; to drop them: "
            f"composir forget {shlex.quote(str(root))}{gallery}"
        )


def _patterns(report: IndexReport) -> Iterator[str]:
    if report.unmatched_excludes:
        yield f"nothing matched --exclude {shlex.join(report.unmatched_excludes)}"
    in_force: dict[tuple[str, ...], list[str]] = {}
    for root, patterns in report.excludes.items():
        in_force.setdefault(patterns, []).append(str(root))
    for patterns, roots in in_force.items():
        yield (
            f"left out below {shlex.join(roots)}: {shlex.join(patterns)} (remembered; "
            "--no-exclude forgets)"
        )


def _other_kinds(kinds: Mapping[str, int]) -> Iterator[str]:
    """`212 files not looked at: .dng 180, .mov 30, .txt 2`."""
    if not kinds:
        return
    total = sum(kinds.values())
    shown = [f"{ending} {count:,}" for ending, count in list(kinds.items())[:_SHOWN_ENDINGS]]
    more = ", ..." if len(kinds) > _SHOWN_ENDINGS else ""
    files = "file" if total == 1 else "files"
    yield f"{total:,} {files} not looked at: {', '.join(shown)}{more}"


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """The first pictures that could not be read, with reasons, and how many there are."""
    if not failures:
        return []
    lines = [f"{len(failures):,} could not be read:"]
    lines += [
        f"  {printable(str(failure.path))}: {printable(failure.reason)}"
        for failure in failures[:_SHOWN_FAILURES]
    ]
    hidden = len(failures) - _SHOWN_FAILURES
    if hidden > 0:
        lines.append(f"  ... and {hidden:,} more; all of them: composir info --failures")
    return lines
