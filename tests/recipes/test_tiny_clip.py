"""The tiny CLIP's recipe: what its sentences are true of, and that its checkpoint is CLIP's."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")

from captions import Sentence, partial  # noqa: E402
from prove import Proof, captions, rows  # noqa: E402
from tiny_clip import (  # noqa: E402
    CATALOGUE,
    ContrastTask,
    Pictures,
    learnt_tokenizer,
    new_model,
    save,
)

from composir.foundation import families  # noqa: E402
from composir.foundation.checkpoint import Checkpoint  # noqa: E402
from composir.train.loop import LoopConfig, train  # noqa: E402

pytestmark = pytest.mark.torch
RECIPE = Path(__file__).parents[2] / "recipes" / "tiny-clip" / "tiny_clip.py"
RENDERS = "COMPOSIR_RENDERS"


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """Some of the catalogue's dev part."""
    whole = Pictures.of(CATALOGUE, "dev")
    return Pictures(whole.rows[:12], whole.pixels[:12], whole.values[:12])


def test_a_sentence_says_what_it_is_true_of() -> None:
    draw = np.random.default_rng(0)
    row: Mapping[str, Any] = rows("gallery")[0]
    made = [partial(row, draw) for _ in range(300)]

    assert len({sentence.text for sentence in made}) > 200
    for sentence in made:
        assert sentence.says
        assert all(row[name] == value for name, value in sentence.says.items())
        assert (str(row["colour"]) in sentence.text) == ("colour" in sentence.says)
        assert (str(row["kind"]) in sentence.text) == ("kind" in sentence.says)


def test_all_pictures_that_fit_a_sentence_are_right(pictures: Pictures) -> None:
    said = [Sentence("", {"colour": row["colour"], "count": row["count"]}) for row in pictures.rows]
    fits = pictures.fitting(said)
    expected = [
        [(a["colour"], a["count"]) == (b["colour"], b["count"]) for b in pictures.rows]
        for a in pictures.rows
    ]

    assert fits.tolist() == expected
    assert fits.sum() > len(pictures.rows)


def test_questions_are_of_the_test_part_and_their_targets_fit(tmp_path: Path) -> None:
    folder = captions(tmp_path)
    by_id = {row["id"]: row for row in rows("gallery")}
    asked = [line for line in (folder / "queries.jsonl").read_text().splitlines() if line]

    assert len(asked) == sum(row["split"] == "test" for row in by_id.values())
    assert (folder / "images").resolve() == (CATALOGUE / "images").resolve()


def test_the_checkpoint_is_one_that_models_add_reads(tmp_path: Path, pictures: Pictures) -> None:
    tokenizer = learnt_tokenizer(pictures.rows, 0)
    asked = Namespace(batch=6, rate=1e-3, seed=0)
    torch.manual_seed(0)
    task = ContrastTask(new_model(tokenizer), tokenizer, pictures, pictures, asked)
    before = task.model.text_projection.weight.detach().clone()
    loop = LoopConfig(steps=6, warmup=1, average=0.0, evaluate_every=6, checkpoint_every=6)
    figures = train(task, loop, tmp_path / "run")
    moved = (task.model.text_projection.weight.detach() - before).abs().max()
    task.model.eval()
    with torch.no_grad():
        expected = task.texts(["a red mug"])
    ids = torch.tensor(tokenizer.encode("a red mug").ids)[None]
    save(task.model, tokenizer, tmp_path / "checkpoint")
    parts = families.family_named("clip").read(Checkpoint(tmp_path / "checkpoint"))
    place = torch.tensor([ids.shape[1] - 1])
    with torch.no_grad():
        found, _ = parts.text(parts.words[ids], torch.ones(ids.shape), place)

    assert float(moved) > 1e-4  # six steps with a rate of 1e-3
    assert set(figures) == {"dev/recall@1", "dev/recall@10"}
    assert parts.licence == "cc0-1.0"
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0.0)


@pytest.mark.slow
def test_stage_2_beats_the_best_sum_on_a_clip_that_is_not_random(tmp_path: Path) -> None:
    """About an hour: trains the CLIP, then everything on it (recipes/tiny-clip/README.md)."""
    renders = Path(os.environ[RENDERS])
    run = tmp_path / "run"
    command = [sys.executable, str(RECIPE), "--pictures", str(renders), "--out", str(run)]
    subprocess.run(command, check=True)
    out = tmp_path / "proof"
    out.mkdir()
    figures = Proof(run / "checkpoint", renders.absolute(), out, 150).run()

    chance = 100.0 * 10 / len(rows("gallery"))
    assert figures["captions to pictures"] > 20 * chance
    assert figures["compose"] > max(figures["best sum"], figures["best slerp"])
