"""What a light query side loses in recall: by int8 weights, and by its messages to the server.

    python benchmarks/query_side_cost.py COMPOSER --float32 COMPOSER --data FOLDER [--write]

COMPOSER is an asymmetric composer (a folder, e.g. runs/isa/composer), `--float32` the same with
unquantised weights (runs/isa/composer-fp32). Both, and the first with its tokens and vector sent as
fp16 and as int8, answer the same queries of the three test parts; differences are paired, in
points, with 95 % bootstrap intervals over queries.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from held_out import write_held_out
from numpy.typing import NDArray

from composir.bench.evaluation import PreparedTask, VectorSource, load_tasks, prepare
from composir.bench.protocol import compose, outcomes, rank
from composir.bench.significance import paired_test
from composir.bench.task import LoadOptions
from composir.compose import open_trained
from composir.compose.base import ComposedQueries, Composer, QueryBatch, Wrapper
from composir.compose.spliced import SplicedComposer
from composir.device.client.wire import QueryMessage, pack, unpack
from composir.encode.feature_store import FeatureStore
from composir.model import Model, load_model

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "query_side_cost.md"
FOLDERS = ("fashion-recolour", "pacs-domains")
METRICS = ("recall@10", "map@10")


@dataclass(frozen=True, slots=True)
class Messenger(Wrapper[SplicedComposer]):
    """A composer whose tokens and vectors travel as messages.

    Attributes:
        encoding: `fp16` or `int8`.
    """

    encoding: str

    @property
    def name(self) -> str:
        """As a row of the table."""
        return f"int8 weights, sent as {self.encoding}"

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Compose from what arrives."""
        made = self.composer.tokens(batch)
        vectors = [None] * len(batch) if made.vectors is None else list(made.vectors)
        rows = [self._sent(*row) for row in zip(made.words, vectors, strict=True)]
        words = np.stack([row.tokens for row in rows])
        received = [row.vector for row in rows if row.vector is not None]
        sent = QueryBatch(batch.texts, np.stack(received) if received else None)
        return self.composer.compose_tokens(words, sent)

    def _sent(self, words: NDArray[np.float32], vector: NDArray[np.float32] | None) -> QueryMessage:
        digits = "0" * 16
        return unpack(
            pack(QueryMessage(words, "", "x", digits, digits, digits, (), vector), self.encoding)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("composer", type=Path)
    parser.add_argument("--float32", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, default=ROOT / ".cache" / "held-out")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    write_held_out(asked.data, asked.held_out)
    model = load_model("mini")
    lines = ["| test part | variant | R@10 | mAP@10 |", "|---|---|---:|---:|"]
    for part in test_parts(asked, model):
        lines += rows(part, variants(asked, model))
    print("\n".join(lines))
    if asked.write:
        RESULTS.write_text(document(lines), encoding="utf-8")


def test_parts(asked: argparse.Namespace, model: Model) -> list[PreparedTask]:
    source = VectorSource(model, cache=FeatureStore(asked.cache))
    sets: list[tuple[Path, str | None]] = [(ROOT / "examples" / "catalogue", "test")]
    sets += [(asked.held_out / f"{name}-test", None) for name in FOLDERS]
    found = [load_tasks(str(folder), None, LoadOptions(split))[2][0] for folder, split in sets]
    return [prepare(task, source) for task in found]


def variants(asked: argparse.Namespace, model: Model) -> dict[str, Composer]:
    light = open_trained(asked.composer, model)
    plain = open_trained(asked.float32, model).with_settings(**light.settings)
    sent = [Messenger(light, encoding) for encoding in ("fp16", "int8")]
    return {"float32 weights": plain, "int8 weights": light} | {one.name: one for one in sent}


def rows(part: PreparedTask, composers: Mapping[str, Composer]) -> list[str]:
    """One line a variant: its scores, and how they differ from the first's."""
    scored = {name: scores(part, composer) for name, composer in composers.items()}
    first = next(iter(scored.values()))
    return [
        f"| {part.task.name} | {name} | "
        + " | ".join(cell(own, first, metric) for metric in range(len(METRICS)))
        + " |"
        for name, own in scored.items()
    ]


def scores(part: PreparedTask, composer: Composer) -> NDArray[np.float64]:
    """(queries, metrics), shares."""
    task = part.task
    ids = {str(query.reference) for query in task.queries}
    vectors = {name: part.table.rows((name,), task.name)[0] for name in ids}
    made = compose(task.queries, composer, vectors, part.openers)
    gallery = part.table.rows(task.gallery, task.name)
    return outcomes(rank(task, made, gallery), METRICS)


def cell(own: NDArray[np.float64], first: NDArray[np.float64], metric: int) -> str:
    score = f"{100 * own[:, metric].mean():.1f}"
    if own is first:
        return score
    test = paired_test([first], [own], seed=0)[metric]
    return f"{score} ({100 * test.low:+.1f} to {100 * test.high:+.1f})"


def document(lines: list[str]) -> str:
    return (
        "# What int8 and messages cost a light query side\n\n"
        "Printed by `python benchmarks/query_side_cost.py COMPOSER --float32 COMPOSER --data …`. "
        "In brackets the paired difference to float32 weights in points, 95 % interval.\n\n"
        + "\n".join(lines)
        + "\n"
    )


if __name__ == "__main__":
    main()
