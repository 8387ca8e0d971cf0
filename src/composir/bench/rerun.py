"""A run repeated from the header of its own result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from composir.bench.datasets import DATASETS
from composir.bench.results import Result
from composir.bench.suite import Method, Plan, run_plan
from composir.bench.task import LoadOptions
from composir.encode.feature_store import FeatureStore
from composir.errors import BenchError
from composir.model.base import EmbeddingModel


def rerun(
    result: Result,
    load_model: Callable[[str], EmbeddingModel],
    *,
    root: Path | None = None,
    cache: FeatureStore | None = None,
) -> Result:
    """Run a result again from its own header.

    Args:
        result: The old one.
        load_model: Loads the model that the header names.
        root: Where its data is now; None for where it was.
        cache: Where encoded images are kept.
    """
    header, setup = result.header, result.header.setup
    model = None if setup.model is None else load_model(setup.model)
    then = header.model.fingerprint if header.model else None
    now = model.fingerprint if model else None
    if then != now:
        raise BenchError(f"made with a model of fingerprint {then}, but {setup.model} is {now}")
    name = setup.dataset if setup.dataset in DATASETS else str(root or setup.root)
    plan = Plan(
        datasets=(name,),
        methods=(Method(setup.composer, header.settings),),
        root=root or Path(setup.root),
        model=setup.model,
        options=LoadOptions(setup.split, setup.variant, setup.text_proxy),
        vectors=None if setup.vectors is None else Path(setup.vectors),
        query_vectors=None if setup.query_vectors is None else Path(setup.query_vectors),
        allow_missing=setup.allow_missing,
        seed=setup.seed,
        resamples=setup.resamples,
        read_negation=setup.read_negation,
    )
    again = run_plan(plan, model, cache=cache)[0].results[0]
    if again.header.checksum != header.checksum:
        raise BenchError(
            f"made on annotations with checksum {header.checksum}, but those in "
            f"{plan.root} have {again.header.checksum}"
        )
    if again.header.composer_fingerprint != header.composer_fingerprint:
        raise BenchError(
            f"made with a composer of fingerprint {header.composer_fingerprint}, but "
            f"{setup.composer} is {again.header.composer_fingerprint}"
        )
    return again


def differences(old: Result, new: Result) -> list[str]:
    """What a repeated run did not reproduce, a line each; empty if everything is equal."""
    lines = []
    for before, after in zip(old.tasks, new.tasks, strict=True):
        for name, figure in before.metrics.items():
            now = after.metrics[name]
            # Not by group: files of older versions say nothing of groups.
            if (figure.value, figure.low, figure.high) != (now.value, now.low, now.high):
                lines.append(f"{before.name} {name}: {figure.value:.4f} then, {now.value:.4f} now")
        changed = (before.ranks.array() != after.ranks.array()).any(axis=1)
        if changed.any():
            lines.append(f"{before.name}: {changed.sum():,} queries rank their targets otherwise")
    return lines
