"""One self-contained HTML page of a comparison: tables, curves, and queries to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from composir.bench.compare import Cell, Scope, Section
from composir.bench.metrics import ABSENT, metric_label
from composir.bench.report.charts import aspect_bars, recall_curve
from composir.bench.report.colours import series_style
from composir.bench.report.figures import (
    EFFICIENCY_COLUMNS,
    efficiency_row,
    interval,
    legend,
    value,
)
from composir.bench.report.samples import Group, alone_counts, best_rank, choose, depth_of
from composir.bench.report.style import STYLE
from composir.bench.report.tiles import Tiles
from composir.bench.results import Result
from composir.bench.task import BenchQuery, Task
from composir.data.outputs import GENERATOR

_MARK_CLASSES = {"▲": "up", "▼": "down", "": ""}


def to_html(sections: Sequence[Section], tasks: Mapping[str, Task], *, title: str = "") -> str:
    """Make the page.

    Args:
        sections: From `compare`.
        tasks: By name, those whose queries are to be shown.
        title: Heading; made from the data sets if empty.

    Returns:
        HTML without any outside reference.
    """
    heading = title or "composir bench: " + "; ".join(section.title for section in sections)
    rules: list[str] = []
    body = "".join(_section(section, tasks, rules, i) for i, section in enumerate(sections))
    most = max((len(section.methods) for section in sections), default=0)
    style = STYLE + series_style(most) + "".join(rules)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"{GENERATOR}"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(heading)}</title><style>{style}</style></head>"
        f"<body><main><h1>{escape(heading)}</h1>{body}{_footer(sections)}</main></body></html>\n"
    )


def _section(section: Section, tasks: Mapping[str, Task], rules: list[str], number: int) -> str:
    header, first = section.results[0].header, section.results[0].tasks[0]
    size = f"{first.queries:,} queries, {first.gallery:,} images"
    several = f"{len(section.results[0].tasks)} tasks, the first with {size}"
    parts = [
        f"<h2>{escape(section.title)}</h2>",
        f'<p class="soft">{escape(header.variant)}; ',
        f"{size if len(section.results[0].tasks) == 1 else several}</p>",
        *(f'<p class="warn">{escape(notice)}</p>' for notice in section.results[0].notices),
        *(_scope(section, scope) for scope in section.scopes),
        f'<p class="note">{escape(legend(section.tests, section.methods[0]))}</p>',
        _charts(section),
        _costs(section),
        _provenance(section),
    ]
    for place, task in enumerate(section.results[0].tasks):
        if task.name in tasks and task.metrics:
            parts.append(_queries(section, place, tasks[task.name], rules, f"p{number}_{place}_"))
    return "".join(parts)


def _scope(section: Section, scope: Scope) -> str:
    heads = "".join(f"<th>{escape(metric_label(metric))}</th>" for metric in scope.metrics)
    tops = [max(row[i].figure.value for row in scope.cells) for i in range(len(scope.metrics))]
    rows = "".join(
        f"<tr><td>{escape(method)}</td>"
        + "".join(_cell(cell, top) for cell, top in zip(cells, tops, strict=True))
        + "</tr>"
        for method, cells in zip(section.methods, scope.cells, strict=True)
    )
    title = f"<h3>{escape(scope.name)}</h3>" if len(section.scopes) > 1 else ""
    return (
        f'{title}<div class="scroll"><table><thead><tr><th>composer</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(cell: Cell, top: float) -> str:
    classes = f"{_MARK_CLASSES[cell.mark]}{' top' if cell.figure.value == top else ''}".strip()
    hover = ""
    if cell.test is not None and cell.p_corrected is not None:
        hover = (
            f' title="difference {cell.test.difference:+.2f} points '
            f"({cell.test.low:+.2f} to {cell.test.high:+.2f}), p {cell.test.p_value:.4f}, "
            f'corrected {cell.p_corrected:.4f}"'
        )
    return (
        f'<td{hover}><span class="{classes}">{escape(value(cell))}</span>'
        f"<small>{interval(cell.figure)}</small></td>"
    )


def _charts(section: Section) -> str:
    curve = recall_curve(section.results, section.methods)
    aspects = [result.tasks[0].aspects for result in section.results]
    bars = aspect_bars(aspects, section.methods) if len(section.results[0].tasks) == 1 else ""
    label = metric_label(section.results[0].tasks[0].headline)
    parts = [f"<div><h3>Recall over k</h3>{curve}</div>"] if curve else []
    parts += [f"<div><h3>{escape(label)} per aspect</h3>{bars}</div>"] if bars else []
    return f'<div class="columns">{"".join(parts)}</div>' if parts else ""


def _costs(section: Section) -> str:
    heads = "".join(f"<th>{escape(column)}</th>" for column in EFFICIENCY_COLUMNS)
    rows = "".join(
        f"<tr><td>{escape(method)}</td>"
        + "".join(f"<td>{escape(text)}</td>" for text in efficiency_row(result.efficiency))
        + "</tr>"
        for method, result in zip(section.methods, section.results, strict=True)
    )
    return (
        f'<h3>What it costs</h3><div class="scroll"><table><thead><tr><th>composer</th>{heads}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _provenance(section: Section) -> str:
    blocks = "".join(
        f"<h4>{escape(method)}</h4><dl>{''.join(_facts(result))}</dl>"
        for method, result in zip(section.methods, section.results, strict=True)
    )
    return f"<details><summary>Where these figures come from</summary>{blocks}</details>"


def _facts(result: Result) -> Iterator[str]:
    header, model, tuning = result.header, result.header.model, result.header.tuning
    facts = {
        "bundle": f"{model.name}, fingerprint {model.fingerprint}" if model else "none",
        "preprocessing": ", ".join(f"{k} {v}" for k, v in model.preprocess.items())
        if model
        else "",
        "composer": header.method
        + (f", fingerprint {mark}" if (mark := header.composer_fingerprint) else ""),
        "image vectors": header.image_vectors,
        "annotations": f"SHA-256 {header.checksum}",
        "settings chosen on": (
            f"{tuning.dataset}, {tuning.split}: {tuning.metric}, {tuning.tried:,} points, "
            f"{tuning.queries:,} queries"
            if tuning
            else ""
        ),
        "seed": f"{header.seed}, {header.resamples:,} resamples",
        "date": header.date,
        "versions": _listed({"Python": header.python, **header.packages}),
    }
    for name, text in facts.items():
        if text:
            yield f"<dt>{name}</dt><dd>{escape(text)}</dd>"


def _listed(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _queries(section: Section, place: int, task: Task, rules: list[str], prefix: str) -> str:
    tiles = Tiles(task, prefix)
    groups = choose(section.results, section.methods, place, seed=section.results[0].header.seed)
    hits = [result.tasks[place].first_hits() for result in section.results]
    ranks = [best_rank(result.tasks[place]).tolist() for result in section.results]
    by_id = {query.id: query for query in task.queries}
    asked = [by_id[name] for name in section.results[0].tasks[place].query_ids]
    body = "".join(_group(group, section, asked, tiles, hits, ranks) for group in groups)
    rules.append(tiles.rules())
    name = f", {task.name}" if len(section.results[0].tasks) > 1 else ""
    return f"<h3>Queries to look at{escape(name)}</h3>{_alone(section, place)}{body}"


def _alone(section: Section, place: int) -> str:
    if len(section.results) < 2:
        return ""
    depth = depth_of(section.results[0].tasks[place])
    counts = alone_counts(section.results, place).tolist()
    heads = "".join(f"<th>{escape(method)}</th>" for method in section.methods)
    rows = "".join(
        f"<tr><td>{escape(method)}</td>"
        + "".join(f"<td>{'' if i == j else format(n, ',')}</td>" for j, n in enumerate(row))
        + "</tr>"
        for i, (method, row) in enumerate(zip(section.methods, counts, strict=True))
    )
    return (
        f'<p class="note">Queries that the row\'s composer answered within {depth} hits and the '
        f'column\'s did not:</p><div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _group(
    group: Group,
    section: Section,
    queries: Sequence[BenchQuery],
    tiles: Tiles,
    hits: Sequence[list[list[str]]],
    ranks: Sequence[list[int]],
) -> str:
    cards = (_card(group, section, queries[row], row, tiles, hits, ranks) for row in group.rows)
    return f'<h4>{escape(group.title)}</h4><p class="note">{escape(group.note)}</p>{"".join(cards)}'


def _card(
    group: Group,
    section: Section,
    query: BenchQuery,
    row: int,
    tiles: Tiles,
    hits: Sequence[list[list[str]]],
    ranks: Sequence[list[int]],
) -> str:
    asked = f'<div class="asked">{escape(query.texts[0]) or "(no words)"}<small>{escape(query.id)}'
    asked += f", {len(query.targets)} right</small></div>"
    reference = tiles.tile(query.reference, "ref") if query.reference is not None else ""
    right = set(query.targets)
    lists = "".join(
        f'<p class="of">{escape(section.methods[m])}: {_told(ranks[m][row])}</p><div class="row">'
        + "".join(tiles.tile(h, *(["truth"] if h in right else [])) for h in hits[m][row])
        + "</div>"
        for m in group.methods
    )
    kind = "query" if reference else "query words"
    shown = f"<div>{reference}</div>" if reference else ""
    return f'<div class="{kind}">{asked}{shown}<div>{lists}</div></div>'


def _told(rank: int) -> str:
    return "not ranked" if rank == ABSENT else f"first target at {rank:,}"


def _footer(sections: Sequence[Section]) -> str:
    dates = sorted({result.header.date for section in sections for result in section.results})
    version = sections[0].results[0].header.packages.get("composir", "")
    return (
        f"<footer>Made by composir {escape(version)} from runs of {escape(dates[0])} to "
        f"{escape(dates[-1])}. Targets are framed in green. Ties are broken against the method."
        f"</footer>"
    )
