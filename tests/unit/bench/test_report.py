"""What reports say, and that nothing in a data set can break the page."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from composir.bench.compare import Section, sections
from composir.bench.efficiency import Efficiency
from composir.bench.estimates import AspectFigure
from composir.bench.report.figures import efficiency_row
from composir.bench.report.samples import alone_counts, choose
from composir.bench.report.terminal import print_sections
from composir.bench.report.text_files import to_csv, to_markdown
from composir.bench.suite import Plan, RunOutput, parse_method, run_plan
from composir.pages.bench_report import bench_report
from composir.pages.charts import aspect_bars, recall_curve
from composir.pages.series import series_style
from tests.fakes import ColourModel
from tests.unit.bench.makers import QUERIES, write_folder

HOSTILE = '</style><script>alert("&")</script>'


@pytest.fixture
def outputs(tmp_path: Path) -> RunOutput:
    """Three composers on queries of which all but one need both parts; one text is hostile."""
    queries = [
        QUERIES[i % 4] | {"id": f"m{i}", "type": "mixture" if i % 2 else "other"} for i in range(24)
    ]
    queries[0]["text"] = f"green {HOSTILE}"
    queries.append({"id": "words", "reference": "red", "text": "white", "targets": ["white"]})
    folder = write_folder(tmp_path / "set", queries=queries)
    methods = tuple(parse_method(name) for name in ("image", "sum", "text"))
    return run_plan(Plan((str(folder),), methods, model="colours"), ColourModel())[0]


def section_of(outputs: RunOutput) -> Section:
    return sections(outputs.results)[0]


class Tags(HTMLParser):
    """Collects a page's tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(outputs: RunOutput) -> str:
    tasks = {part.task.name: part.task for part in outputs.prepared}
    return bench_report([section_of(outputs)], tasks)


def test_the_page_needs_nothing_from_outside(outputs: RunOutput) -> None:
    page = page_of(outputs)
    tags = Tags(page)
    assert not {"script", "link", "iframe", "img"} & set(tags.tags)
    assert not [value for name, value in tags.attributes if name in ("src", "href")]
    assert "url(http" not in page


def test_the_page_escapes_what_a_data_set_says(outputs: RunOutput) -> None:
    page = page_of(outputs)
    assert HOSTILE not in page
    assert HOSTILE in Tags(page).text


def test_the_page_frames_targets_and_embeds_each_picture_once(outputs: RunOutput) -> None:
    page = page_of(outputs)
    assert ' truth"' in page
    assert page.count("url(data:image/jpeg;base64,") <= 8
    assert "light-dark(" in page


def test_the_page_holds_curves_aspects_costs_and_provenance(outputs: RunOutput) -> None:
    tags = Tags(page_of(outputs))
    assert "polyline" in tags.tags
    for told in ("Recall over k", "R@1 per aspect", "What it costs", "fingerprint colours-1"):
        assert told in tags.text
    assert "sum (alpha 0.5) got, text did not" in tags.text


def test_a_page_without_the_data_has_no_queries_but_all_figures(outputs: RunOutput) -> None:
    text = Tags(bench_report([section_of(outputs)], {})).text
    assert "Queries to look at" not in text
    assert "R@1" in text


def test_missing_pictures_are_shown_by_their_ids(outputs: RunOutput) -> None:
    for picture in outputs.prepared[0].task.pictures.values():
        picture.path.unlink()
    page = page_of(outputs)
    assert "data:image" not in page
    assert ">yellow</div>" in page


def test_the_terminal_shows_figures_intervals_and_marks(outputs: RunOutput) -> None:
    console = Console(file=io.StringIO(), width=150)
    print_sections([section_of(outputs)], console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "colours, all" in shown
    assert "△" in shown
    assert "100.0–100.0" in shown or "–" in shown
    assert "corrected by Holm for 6 tests" in shown.replace("\n", "")


def test_csv_has_one_unrounded_line_a_figure(outputs: RunOutput) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([section_of(outputs)]))))
    assert len(rows) == 2 * 3 * 3
    first = rows[0]
    assert (first["composer"], first["metric"], first["p"]) == ("image", "recall@1", "")
    expected = outputs.results[1].tasks[0].metrics["recall@1"].value
    assert float(rows[3]["value"]) == expected
    assert float(rows[3]["p_corrected"]) >= float(rows[3]["p"])
    assert first["fingerprint"] == "colours-1"


def test_the_gap_is_of_queries_that_neither_part_answers(outputs: RunOutput) -> None:
    section = section_of(outputs)
    image, both, text = (r.tasks[0].outcomes(["recall@1"])[:, 0] for r in section.results)
    left = (image == 0) & (text == 0)
    assert 0 < left.sum() < len(left)
    gap = section.scopes[1]
    share = f"{left.sum()} of {len(left)} queries ({100 * left.mean():.1f} %)"
    assert gap.name == f"composition gap: {share} that neither image nor text answers (R@1)"
    assert gap.queries == left.sum()
    alone, composed, words = (row[0].figure.value for row in gap.cells)
    assert (alone, words) == (0.0, 0.0)
    assert composed == pytest.approx(100 * both[left].mean())
    assert section.tests == 2 * 3
    assert gap.name in to_markdown(section)
    assert gap.name in Tags(page_of(outputs)).text


def test_without_both_parts_alone_there_is_no_gap(outputs: RunOutput) -> None:
    assert len(sections(outputs.results[:2])[0].scopes) == 1


def test_groups_are_reported_beside_single_queries(outputs: RunOutput) -> None:
    section = section_of(outputs)
    figure = section.results[1].tasks[0].metrics["recall@1"]
    group = figure.by_group
    assert group is not None
    assert group.groups == len({QUERIES[i].get("reference", "white cyan") for i in range(4)})
    assert f"; {group.low:.1f}–{group.high:.1f}" in to_markdown(section)
    assert "macro R@1" in to_markdown(section)
    assert "macro R@1" in Tags(page_of(outputs)).text
    row = list(csv.DictReader(io.StringIO(to_csv([section]))))[3]
    assert (float(row["group_low"]), float(row["macro"])) == (group.low, group.macro)
    assert float(row["group_p_corrected"]) >= float(row["group_p"])


def test_what_three_groups_cannot_tell_apart_is_marked_hollow(outputs: RunOutput) -> None:
    cells = [cell for row in section_of(outputs).scopes[0].cells for cell in row]
    hollow = [cell for cell in cells if cell.mark in ("△", "▽")]
    assert hollow
    assert all(cell.by_group is not None and not cell.by_group.found for cell in hollow)
    assert not [cell for cell in cells if cell.mark in ("▲", "▼")]


def test_markdown_holds_the_same_figures(outputs: RunOutput) -> None:
    text = to_markdown(section_of(outputs))
    figure = outputs.results[1].tasks[0].metrics["recall@1"]
    assert f"{figure.value:.1f}" in text
    assert "| composer | R@1 | R@2 | mAP@2 | macro R@1 |" in text


def test_samples_are_chosen_by_outcome(outputs: RunOutput) -> None:
    section = section_of(outputs)
    groups = {group.title: group for group in choose(section.results, section.methods, 0)}
    best = section.results[1].tasks[0].ranks.array().min(axis=1)
    assert all(best[row] == 1 for row in groups["Best of sum (alpha 0.5)"].rows)
    worst = groups["Worst of sum (alpha 0.5)"].rows
    assert best[worst[0]] == best.max()
    assert choose(section.results, section.methods, 0) == tuple(groups.values())


def test_alone_counts_are_what_one_method_got_and_the_other_did_not(outputs: RunOutput) -> None:
    counts = alone_counts(outputs.results, 0)
    assert counts.shape == (3, 3)
    assert counts.diagonal().tolist() == [0, 0, 0]


def test_the_curve_rises_to_everything(outputs: RunOutput) -> None:
    curve = recall_curve(outputs.results)
    assert curve is not None
    assert len(curve.lines) == 3
    assert Tags(page_of(outputs)).tags.count("polyline") == 3


def test_costs_are_written_with_units() -> None:
    costs = Efficiency(
        query_parameters=4_652_008,
        query_flops=810_000_000,
        query_bytes=17_400_000,
        query_ms=12.34,
        query_covers="composing alone",
        travel_bytes=1536,
    )
    assert efficiency_row(costs) == (
        "4.7 M",
        "810.0 M",
        "17.4 MB",
        "12.3 (composing alone)",
        "1.5 kB",
        "–",
    )


def test_bars_show_the_largest_aspects_and_say_what_they_leave_out() -> None:
    figures = {
        f"aspect {i}": AspectFigure(value=5.0 * i, low=0.0, high=60.0, queries=i + 1)
        for i in range(12)
    }
    drawn = aspect_bars([figures, figures])
    assert drawn is not None
    assert [len(bars) for _, _, bars in drawn.rows] == [2] * 10
    labels = [label for label, _, _ in drawn.rows]
    assert "aspect 11 (12)" in labels
    assert not [label for label in labels if label.startswith("aspect 0 ")]
    assert drawn.left_out == 2
    assert aspect_bars([{}]) is None


def test_every_method_has_a_colour_of_its_own_in_light_and_in_dark() -> None:
    style = series_style(30)
    pairs = re.findall(r"--c\d+:light-dark\((hsl\([^)]*\)), (hsl\([^)]*\))\)", style)
    for found in zip(*pairs, strict=True):
        assert len(found) == len(set(found)) == 30
    assert ".s29{stroke:var(--c29)}.f29{fill:var(--c29)}.b29{background:var(--c29)}" in style
