"""Search results for people (a table), for pipes (lines, paths) and for programs (JSON)."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from composir.cli.terminal import (
    echo,
    echo_bytes,
    is_terminal,
    note,
    print_json,
    printable,
    shortened,
)
from composir.documents import result_document
from composir.pages.facts import in_order_of_date, link_to, telling_facts
from composir.types import Absent, Hit, SearchResult

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Form: TypeAlias = Literal["table", "json", "paths", "null"]
_COLOURS = {"good match": "green", "uncertain": "yellow", "nothing matches well": "red"}
_FIXED_COLUMNS = 32  # rank, score, size and the gaps between columns
_DETAILS_SHARE = 0.4


def print_in(form: Form, result: SearchResult, gallery: str = "") -> None:
    """Print a result in one of the forms."""
    if form == "json":
        print_result_json(result)
    elif form == "table":
        print_result(result, gallery)
    else:
        print_paths(result, "\0" if form == "null" else "\n", gallery)


def print_paths(result: SearchResult, end: str, gallery: str = "") -> None:
    """Print the paths of the hits for other programs, byte for byte, and nothing else on stdout."""
    echo_bytes(b"".join(os.fsencode(hit.path) + end.encode() for hit in result.hits))
    note(summary(result))
    _remark(result, gallery)


def print_result(result: SearchResult, gallery: str = "") -> None:
    """Print a table in a terminal; elsewhere one hit a line: rank, score, path, tab-separated."""
    if is_terminal():
        from rich.console import Console

        print_table(result, Console(highlight=False))
    else:
        for hit in result.hits:
            echo(f"{hit.rank}\t{hit.score:.4f}\t{printable(str(hit.path))}")
        for line in told(result):
            note(line)
        note(summary(result))
    _remark(result, gallery)


def _remark(result: SearchResult, gallery: str) -> None:
    for remark in remarks(result.absent, gallery):
        note(printable(remark))
    if not result.matches:
        note(
            f"the confidence of {result.confidence.value:.2f} is below "
            f"--min-confidence {result.min_confidence:g}"
        )


def remarks(absent: Absent, gallery: str = "") -> list[str]:
    """What to tell about files that were not found, and the way out; a line each."""
    lines = []
    if absent.left_out:
        hits, files = (
            ("hit", "its file is") if absent.left_out == 1 else ("hits", "their files are")
        )
        folders = shlex.join(map(str, absent.left_out_from))
        lines.append(
            f"{absent.left_out:,} {hits} left out: {files} gone; composir index {folders}{gallery} "
            "tidies up, --missing keep shows them"
        )
    if absent.unreachable:
        folders = shlex.join(map(str, absent.unreachable))
        lines.append(
            f"hits below {folders} cannot be opened now: is the disk mounted? If the pictures have "
            f"moved: composir index NEW-FOLDER{gallery}; if they are gone: "
            f"composir forget {folders}{gallery}"
        )
    return lines


def print_table(result: SearchResult, console: Console) -> None:
    """Print hits as a table, then how far to trust them."""
    from rich.text import Text

    if result.hits:
        console.print(_table(result, console.width))
    for line in told(result):
        console.print(Text(line), soft_wrap=True)
    console.print(Text(printable(summary(result)), style=_COLOURS[result.confidence.verdict]))


def told(result: SearchResult) -> list[str]:
    """What hits should not show, where there is anything."""
    negatives = result.asked.negatives
    return [f"without: {printable(', '.join(negatives))}"] if negatives else []


def summary(result: SearchResult) -> str:
    """One line: the verdict, what was searched, how and how fast."""
    searched = f"{result.searched:,}"
    if result.searched != result.gallery_size:
        searched += f" of {result.gallery_size:,}"
    again = result.reranked
    looked = f" · first {again.images:,} re-ranked by {again.model}" if again else ""
    return (
        f"{_verdict(result)} · {searched} pictures · {result.composer}{looked} · "
        f"{result.seconds * 1000:.0f} ms"
    )


def _verdict(result: SearchResult) -> str:
    verdict, value = result.confidence.verdict, f"({result.confidence.value:.2f})"
    if result.relevant == 0 and result.searched:
        return f"nothing matches well enough to be sorted by date {value}; --sort score shows all"
    if not result.hits:
        return "no picture is left to show"
    if result.relevant is not None:
        return f"{verdict} {value} · {in_order_of_date(result)}"
    if verdict == "nothing matches well":
        return f"{verdict} {value}; these are nearest"
    return f"{verdict} {value}"


def _table(result: SearchResult, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    details = [_details(hit) for hit in result.hits]
    room = max(24, width - _FIXED_COLUMNS)
    details_width = min(max(map(len, details)), int(room * _DETAILS_SHARE))
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    table.add_column("picture", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("", style="dim", no_wrap=True, overflow="ellipsis", max_width=details_width)
    for hit, detail in zip(result.hits, details, strict=True):
        link = f"link {link_to(hit.path)}"
        path = Text(shortened(_display(hit.path), room - details_width), style=link)
        size = f"{hit.width}×{hit.height}"
        table.add_row(str(hit.rank), f"{hit.score:.3f}", path, size, Text(detail))
    return table


def _display(path: Path) -> str:
    try:
        shown = f"~/{path.relative_to(Path.home())}"
    except (RuntimeError, ValueError):  # the user has no home, or it lies elsewhere
        shown = str(path)
    return printable(shown)


def _details(hit: Hit) -> str:
    facts = [f"{name}: {fact}" for name, fact in telling_facts(hit).items()]
    if hit.unreachable:
        facts.insert(0, "not reachable")
    if hit.duplicates:
        facts.insert(0, f"+{len(hit.duplicates)} alike")
    return printable(" · ".join(facts))


def print_result_json(result: SearchResult) -> None:
    """Print the whole result as one JSON document."""
    print_json(result_document(result))
