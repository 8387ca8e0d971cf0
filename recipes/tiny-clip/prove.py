"""Everything of composir on tiny-clip, from `models add` to stage 2, and its figures.

    python recipes/tiny-clip/prove.py --checkpoint runs/tiny-clip/checkpoint --pictures RENDERS \
        --out runs/tiny-clip-proof

Composers are trained on the renders; the sample catalogue's dev part chooses weights and blends,
its test part gives the figures. A run that was stopped goes on; the outcome is `figures.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from captions import ATTRIBUTES

CATALOGUE = Path(__file__).resolve().parents[2] / "examples" / "catalogue"
COMPOSIR = (sys.executable, "-c", "from composir.cli.entry import run; run()")
SENTENCE = 'composed_template="a photo of {} {text}"'
CONTRASTED = ("sentence=0.25", "direction=0.75", "image=0.5")


def main() -> int:
    """Run every command, print and write the figures."""
    parser = argparse.ArgumentParser(description="Use a tiny CLIP for everything.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="the renders")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200, help="of each composer")
    asked = parser.parse_args()
    out = asked.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    figures = Proof(asked.checkpoint, asked.pictures.absolute(), out, asked.steps).run()
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return 0


class Proof:
    """The commands, in order."""

    def __init__(self, checkpoint: Path, pictures: Path, out: Path, steps: int) -> None:
        self.checkpoint, self.pictures, self.out, self.steps = checkpoint, pictures, out, steps
        self.model = out / "home" / "models" / "tiny-clip"
        self.dev, self.test = part(out, "dev"), part(out, "test")

    def run(self) -> dict[str, float]:
        """Recall@10 in percent: of captions, and of composed queries of the test part."""
        if not self.model.exists():
            self.composir("models", "add", str(self.checkpoint), "--name", "tiny-clip")
        gallery = self.out / "catalogue.gallery"
        if not gallery.exists():
            images = str(CATALOGUE / "images")
            self.composir("index", images, "--model", "tiny-clip", "--gallery", str(gallery))
        self.composir("search", "a red mug", "--gallery", str(gallery))
        found = {"captions to pictures": self.recall(captions(self.out), "-c", "text")}
        found |= {f"best {name}": self.tuned(name) for name in ("sum", "slerp")}
        for name, told in self.trainings().items():
            self.composir("train", *told, "--model", "tiny-clip", "--out", str(self.out / name))
            found[name] = self.recall(self.test, "-c", str(self.out / name / "composer"))
        return found

    def trainings(self) -> Mapping[str, list[str]]:
        """Arguments of `composir train` by the name of the run."""
        common = ["--set", f"loop.steps={self.steps}", "--set", f"cache={self.out / 'cache'}"]
        pictures = ["--data", str(self.pictures), "--dev", str(self.dev)]
        stage1 = [*pictures, "--set", SENTENCE, "--set", "mapper.width=256", *common]
        template = ["--set", f"objective.{SENTENCE}"]
        blend = [word for one in CONTRASTED for word in ("--set", f"composing.blend.{one}")]
        dev_sets = ["--set", f"dev_sets={json.dumps([str(self.dev)])}"]
        triplets = ["--from", str(self.out / "map"), "--triplets", str(self.pictures)]
        return {
            "map": ["map", *stage1],
            "compose": ["compose", *triplets, *blend, *dev_sets, *common],
            "isa": ["isa", *pictures, "--set", "side=symmetric", *template, *common],
        }

    def tuned(self, name: str) -> float:
        """Recall of arithmetic whose weight was chosen on dev queries."""
        chosen = self.out / f"{name}.json"
        self.composir(
            "bench", "tune", str(self.dev), "-c", name, "--out", str(chosen),
            "--model", "tiny-clip", "--metric", "recall@10",
        )  # fmt: skip
        return self.recall(self.test, "--tuned", str(chosen))

    def recall(self, data: Path, *composer: str) -> float:
        """Recall@10 of the one composer that options of bench name, on a data set; percent."""
        told = self.composir(
            "bench", "run", str(data), *composer, "--model", "tiny-clip",
            "--out", str(self.out / "results"), "--json",
        )  # fmt: skip
        (result,) = json.loads(told)
        return float(result["tasks"][0]["metrics"]["recall@10"]["value"])

    def composir(self, *words: str) -> str:
        """Run a command of composir with a folder of models of its own; what it printed."""
        print("composir", *words, file=sys.stderr, flush=True)
        places = os.environ | {"COMPOSIR_HOME": str(self.out / "home")}
        done = subprocess.run(
            [*COMPOSIR, *words], env=places, stdout=subprocess.PIPE, check=True, text=True
        )
        return done.stdout


def part(out: Path, split: str) -> Path:
    """One split of the catalogue's queries over its whole gallery, as a data set folder."""
    asked = [query for query in rows("queries") if query["split"] == split]
    return written(out / f"catalogue-{split}", asked)


def captions(out: Path) -> Path:
    """Captions of the test part; right is every picture of the whole catalogue that they fit."""
    gallery = rows("gallery")
    alike: dict[tuple[Any, ...], list[str]] = {}
    for row in gallery:
        alike.setdefault(tuple(row[name] for name in ATTRIBUTES), []).append(row["id"])
    asked = [
        {
            "id": row["id"],
            "text": row["caption"],
            "targets": alike[tuple(row[name] for name in ATTRIBUTES)],
        }
        for row in gallery
        if row["split"] == "test"
    ]
    return written(out / "catalogue-captions", asked)


def rows(name: str) -> list[dict[str, Any]]:
    """Rows of a table of the catalogue."""
    lines = (CATALOGUE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def written(folder: Path, queries: Iterable[Mapping[str, Any]]) -> Path:
    """A data set folder of these queries over the catalogue's pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    card = json.loads((CATALOGUE / "dataset.json").read_text(encoding="utf-8"))
    card["name"] = folder.name
    (folder / "dataset.json").write_text(json.dumps(card), encoding="utf-8")
    for name, items in (("gallery", rows("gallery")), ("queries", queries)):
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    if not (folder / "images").exists():
        (folder / "images").symlink_to(CATALOGUE / "images")
    return folder


if __name__ == "__main__":
    sys.exit(main())
