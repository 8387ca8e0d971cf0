"""docs/results.md: what `quality.py` measured, as a document."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from trained_without import Trained, trained_on

from composir.bench.compare import Section, sections
from composir.bench.metrics import CRITERION, metric_label
from composir.bench.report.text_files import costs_markdown, to_markdown
from composir.bench.results import Result
from composir.bench.suite import RunOutput
from composir.bench.tune import Tuned, in_words
from composir.errors import QueryError
from composir.model import load_model

BASELINES = ("sum", "replace")
"""The better of these on a test set is what a composer has to beat there."""
SUMMED = ("recall@1", "recall@10", "map@10")

LEAVE_ONE_OUT = f"""\
Alpha, the weights of `replace` and `direction`, and the blends of trained composers are chosen for
each domain on the dev parts of the **other** domains, by the {in_words(CRITERION)}; no setting has
seen a query of the domain that it is reported on. Blends, and what `replace` does about words of no
list, are chosen on these parts in other words too. Each figure is tested against the better of
{" and ".join(f"`{name}`" for name in BASELINES)} on that very set, which favours the baseline."""

WEIGHTS_HAVE_SEEN = """\
**What is left out is the choice of settings; training has seen these domains.** The weights of the
trained composers that ship have seen training parts of all three domains: pictures and triplets of
fashion and PACS, and, in `compose` and `isa-compose`, other things by the catalogue's own renderer
([how they were made](../recipes/mini/README.md)). `mini` itself was trained on the training parts
of fashion and PACS, which all rows share. No picture and no title that is asked about here was
trained on. Composers trained again without a domain (`--trained`) are **missing**. So what trained
composers gain below is not known to carry over to other kinds of pictures. All are of one seed of
training."""

TRAINED_WITHOUT = """\
**Rows of composers trained without a domain are the only ones whose weights have not seen it**
(`mini` itself was trained on the training parts of fashion and PACS, which all rows share). What
ships, and stands beside them under its plain name, has seen training parts of all three domains:
pictures and triplets of fashion and PACS, and, in `compose` and `isa-compose`, other things by the
catalogue's own renderer ([how they were made](../recipes/mini/README.md)); of it the choice of
settings alone is left out. No picture and no title that is asked about here was trained on."""

OWN_SETTINGS = """\
One setting for all sets, as the bundle has it, beside `sum` and `slerp` with alpha tuned on the dev
part of the same set, and every composed sentence alone. Blends of the bundle were chosen on these
same dev parts together, and trained composers may have seen the training parts of these domains:
these tables say what a user of such pictures gets, not what carries over."""

NOT_RUN = """\
Not run for this page: the text proxy of CIRR, and words alone on flickr8k-dev, whose figures are in
[the model's card](../src/composir/model/mini/README.md)."""

INTERVALS = """\
Queries of one product, title, class or edit answer alike, so that an interval over single queries
is too narrow: the second interval and the filled marks are over groups of them."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A test set, reported leave-one-domain-out.

    Attributes:
        domain: Its domain.
        output: The runs.
        names: Of each result its composer; runs of one have the same.
    """

    domain: str
    output: RunOutput
    names: tuple[str, ...]

    def runs(self, name: str) -> list[Result]:
        """Results of a composer, one a run."""
        pairs = zip(self.names, self.output.results, strict=True)
        return [result for composer, result in pairs if composer == name]

    @property
    def baseline(self) -> str:
        """What composers have to beat here."""
        return max(BASELINES, key=lambda name: value(self.runs(name)[0], "recall@1"))

    @property
    def section(self) -> Section:
        """All results, tested against the baseline."""
        first = self.runs(self.baseline)
        others = [result for result in self.output.results if result is not first[0]]
        return sections([first[0], *others])[0]


def value(result: Result, metric: str) -> float:
    return result.tasks[0].metrics[metric].value


def document(
    compared: Sequence[Compared],
    trained: Mapping[str, Trained],
    own: Sequence[RunOutput],
    tuned: Sequence[Tuned],
    others: Sequence[RunOutput],
) -> str:
    """The whole page."""
    lines = ["# Results", "", *about(compared[0].output.results[0]), ""]
    lines += ["## Leave-one-domain-out", "", LEAVE_ONE_OUT, ""]
    without = any(one.composers for one in trained.values())
    lines += [TRAINED_WITHOUT if without else WEIGHTS_HAVE_SEEN, ""]
    lines += [*what_was_trained(trained), "", *summary(compared), ""]
    missing = sorted(set(trained) - {one.domain for one in compared})
    if missing:
        lines += [f"**Not run for this page: {', '.join(missing)}.**", ""]
    for one in compared:
        lines += part(one.section, "leave-one-domain-out")
    if own:
        lines += ["## The bundle's own settings", "", OWN_SETTINGS, "", *chosen(tuned), ""]
    for output in own:
        lines += part(sections(output.results)[0], "own settings")
    for output in others:
        lines += part(sections(output.results)[0])
    if not others:
        lines += [NOT_RUN, ""]
    results = (own or [compared[0].output])[0].results
    if any(result.efficiency.query_ms is not None for result in results):
        lines += ["## What it costs", "", f"Measured on {results[0].header.dataset}.", ""]
        lines += [costs_markdown(sections(results)[0])]
    return "\n".join(lines)


def about(result: Result) -> list[str]:
    header = result.header
    if header.model is None:
        raise QueryError("results without a model have no place in this document")
    versions = ", ".join(f"{name} {version}" for name, version in header.packages.items())
    return [
        f"Printed by `python benchmarks/quality.py` on {header.date[:10]}; {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {header.python}, {versions}. Bundle {header.model.name}, "
        f"fingerprint `{header.model.fingerprint}`. Protocols and the meaning of every column: "
        f"[bench.md](bench.md). {INTERVALS}"
    ]


def part(section: Section, how: str = "") -> list[str]:
    checksum = section.results[0].header.checksum[:16]
    title = f"### {section.title}" + (f": {how}" if how else "")
    return [title, "", to_markdown(section), f"Annotations: SHA-256 `{checksum}…`.", ""]


def what_was_trained(trained: Mapping[str, Trained]) -> Iterator[str]:
    """What was trained without each domain; what ships, and what that was trained on."""
    yield "| domain | model made without it | composers trained without it |"
    yield "|---|---|---|"
    for domain, one in sorted(trained.items()):
        without = [f"{name} (runs: {len(runs)})" for name, runs in one.composers.items()]
        told = one.model if one.model_without else "no"
        yield f"| {domain} | {told} | {', '.join(without) or 'none'} |"
    yield ""
    yield "All others ship. Folders that they were trained on, as their cards say:"
    yield ""
    shipped = {one.model: load_model(one.model).composer_folders() for one in trained.values()}
    for model, folders in shipped.items():
        for name, folder in folders.items():
            yield f"- {model}, {name}: {', '.join(trained_on(folder)) or 'nothing that is told'}"


def summary(compared: Sequence[Compared]) -> Iterator[str]:
    """Every composer on every test set; runs of one as mean and standard deviation."""
    told = " / ".join(metric_label(name) for name in SUMMED)
    yield f"{told}, and R@1 relative to the better baseline; several runs as mean ± deviation:"
    yield ""
    yield f"| composer | {' | '.join(one.output.results[0].tasks[0].name for one in compared)} |"
    yield "|---|" + "---:|" * len(compared)
    for name in dict.fromkeys(name for one in compared for name in one.names):
        yield f"| {name} | {' | '.join(_summed(one, name) for one in compared)} |"


def _summed(one: Compared, name: str) -> str:
    runs = one.runs(name)
    if not runs:
        return "–"
    figures = " / ".join(_mean(runs, metric) for metric in SUMMED)
    limit = value(one.runs(one.baseline)[0], "recall@1")
    if name == one.baseline or not limit:
        return f"**{figures}**"
    relative = 100 * (mean(value(run, "recall@1") for run in runs) / limit - 1)
    return f"{figures} ({relative:+.0f} %)"


def _mean(runs: Sequence[Result], metric: str) -> str:
    values = [value(run, metric) for run in runs]
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}"


def chosen(tuned: Sequence[Tuned]) -> Iterator[str]:
    """Which settings were tuned where."""
    yield "Chosen on dev parts, each for the test parts of the same set:"
    yield ""
    for one in tuned:
        yield (
            f"- {one.dataset}, {one.split}: {one.composer} alpha {one.settings['alpha']:g} "
            f"({len(one.keys):,} distinct queries, best {one.metric} of {len(one.trials)} points)"
        )
