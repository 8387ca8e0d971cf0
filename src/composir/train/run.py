"""The frame of every recipe: what a run opens, how it trains, what it says and leaves behind.

run = Run.begin(config, folder, log)
... data, modules, a task (`loop.TrainingTask`) ...
figures = run.train(task)
... graphs into a composer's folder ...
save(folder, run.composer(...), Card(...))
run.choose_blend(folder, dev)
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from pydantic import Field

from composir.compose.trained import ComposerFolder, ComposerManifest
from composir.data.problems import log_skipped
from composir.data.untrusted_json import MANIFEST_LIMIT, read_text
from composir.encode.texts import encode_texts
from composir.errors import TrainingError
from composir.model import Model
from composir.model.bundle import Source
from composir.model.catalogue import DEFAULT_MODEL
from composir.train.blend import choose_blend, record_choice
from composir.train.config import File, Name, Seed, Settings, as_dict
from composir.train.dev_set import DevSet, Progress, open_dev_set
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import (
    GalleryFeatures,
    PictureFile,
    feature_store,
    gallery_features,
)
from composir.train.graph_costs import graph_costs
from composir.train.loop import LoopConfig, LoopOptions, TrainingTask, train
from composir.train.run_folder import MODEL, claim
from composir.train.workers import DeviceName, Workers, open_workers
from composir.types import FloatArray

COMPOSER, QUERY_GRAPH = "composer", "query.onnx"
Log: TypeAlias = Callable[[str], None]


class RunConfig(Settings):
    """What every recipe is told.

    Attributes:
        model: The foundation model: a name or a bundle's folder.
        cache: Folder of cached features.
        name: Of the composer.
        loop: Steps.
        seed: Of everything random.
        device: Where to train, of which no run folder keeps a record: a run may go on elsewhere.
    """

    model: str = DEFAULT_MODEL
    cache: File = Path(".cache/features")
    name: Name = "composer"
    loop: LoopConfig = LoopConfig()
    seed: Seed = 0
    device: DeviceName = Field(default="auto", exclude=True)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a recipe.

    Attributes:
        config: Its settings.
        folder: `config.json`, `metrics.jsonl`, `checkpoint.pt`, `composer/`.
        foundation: The frozen model.
        workers: The processes of the run; the first alone writes and speaks.
        log: Takes lines of progress.
    """

    config: RunConfig
    folder: Path
    foundation: FrozenFoundation
    workers: Workers
    log: Log

    @classmethod
    def begin(cls, config: RunConfig, folder: Path, log: Log, model: Model | None = None) -> Self:
        """Make the folder this run's, or go on in it; seed torch; bring the model to the device.

        `model` is the one of the settings, if it is open already.
        """
        workers = open_workers(config.device)
        if workers.rank == 0:
            claim(folder, config)
        torch.manual_seed(config.seed)
        opened = FrozenFoundation.load(model or config.model, str(workers.device))
        if workers.rank == 0:
            _bind_model(folder, opened)
        run = cls(config, folder, opened, workers, log if workers.rank == 0 else lambda _: None)
        if workers.device.type == "cuda":
            run.log(f"training on {torch.cuda.get_device_name(workers.device)}")
        return run

    def progress(self, what: str) -> Progress:
        """Progress that says a line every tenth of the way."""
        told = [0]

        def progress(done: int, total: int) -> None:
            tenth = 10 * done // max(total, 1)
            if tenth > told[0]:
                told[0] = tenth
                self.log(f"{what}: {done:,} of {total:,}")

        return progress

    def dev_sets(self, folders: Sequence[Path]) -> list[DevSet]:
        """Open data sets whose composed queries judge a run."""
        model, cache = self.foundation.model, self.config.cache
        return [
            open_dev_set(one, model, cache, self.progress(f"dev {one.name}")) for one in folders
        ]

    def features(
        self, files: Sequence[PictureFile], what: str, view: int = 0, *, spatial: bool
    ) -> GalleryFeatures:
        """What the gallery's encoder gives for pictures; says what cannot be read."""
        model, progress = self.foundation.model, self.progress(what)
        found = gallery_features(
            self.config.cache, files, model, progress, view=view, spatial=spatial
        )
        if found.failures and not view:
            failures = ((getattr(file, "path", file), why) for file, why in found.failures)
            log_skipped(failures, self.log)
            self.log(f"{len(found.failures):,} of {len(files):,} pictures cannot be read")
        return found

    def encoded_texts(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts, (n, D) float32, kept in the cache."""
        if not texts:
            return np.zeros((0, self.foundation.dimension), dtype=np.float32)
        model, store = self.foundation.model, feature_store(self.config.cache)
        return encode_texts(texts, model, store, progress=self.progress("texts"))

    def train(
        self, task: TrainingTask, options: LoopOptions | None = None, stage: str = ""
    ) -> dict[str, float]:
        """Run the loop, or go on with it; the last dev figures."""
        return train(
            task,
            self.config.loop,
            self.folder / stage,
            self.config.seed,
            lambda record: self.log(figures_line(record)),
            options,
            writes=self.workers.rank == 0,
        )

    def composer(
        self,
        folder: Path,
        command: str,
        figures: Mapping[str, float],
        sources: Mapping[str, str],
        use: str,
        **training: Any,
    ) -> dict[str, Any]:
        """What the manifests of all trained composers say; a recipe adds what is its own."""
        model = self.foundation.model
        frozen = Source(name=f"model {model.name}", licence=model.manifest.licence, use="frozen")
        trained_on = [Source(name=n, licence=o, use=use) for n, o in sources.items()]
        return {
            "name": self.config.name,
            "model": {"name": model.name, "fingerprint": model.fingerprint},
            "text": model.text_checksum,
            "graph": QUERY_GRAPH,
            "word_dimension": self.foundation.word_dimension,
            "licence": model.manifest.licence,
            "sources": [frozen, *trained_on],
            "training": self.record(command, figures) | training,
            "efficiency": graph_costs(folder / QUERY_GRAPH),
        }

    def record(self, command: str, figures: Mapping[str, float]) -> dict[str, Any]:
        """How something was made, without the paths of this machine."""
        return {
            "command": command,
            "config": public_config(as_dict(self.config)),
            "seed": self.config.seed,
            "dev_figures": dict(figures),
            "torch": version("torch"),
        }

    def choose_blend(
        self,
        folder: Path,
        dev: Sequence[DevSet],
        fixed: Mapping[str, float] | None = None,
        twins: Sequence[Path] = (),
    ) -> ComposerManifest:
        """Choose a composer's blend on dev queries, where there are some."""
        if dev:
            choice = choose_blend(self.foundation.model, folder, dev, fixed)
            for twin in twins:
                record_choice(twin, choice)
            weights = ", ".join(f"{name} {value:g}" for name, value in choice.settings.items())
            self.log(f"blend of {folder.name}: {weights}; dev recall@10 {choice.score:.1f} %")
        return ComposerFolder.load(folder).manifest


def figures_line(record: Mapping[str, object]) -> str:
    """Numbers of a metrics record in one line."""
    shown = (f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in record.items())
    return ", ".join(shown)


def public_command(verb: str, options: Mapping[str, Iterable[object]]) -> str:
    """A command line from options and names of what they point to, without machine paths."""
    named = [(option, value) for option, values in options.items() for value in values]
    words = [word for option, value in named for word in (f"--{option}", Path(str(value)).name)]
    return shlex.join(["composir", "train", *verb.split(), *words])


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what only this machine knows: of paths, the last part is kept."""
    return {key: _public(value) for key, value in config.items() if key != "cache"}


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return public_config(value)
    if isinstance(value, list):
        return [_public(item) for item in value]
    if isinstance(value, str) and ("/" in value or "\\" in value) and " " not in value:
        return Path(value).name
    return value


def _bind_model(folder: Path, foundation: FrozenFoundation) -> None:
    """Refuse to go on with a run that was started on another model of the same name."""
    path, model = folder / MODEL, foundation.model
    own = f"{model.name} {model.fingerprint} {model.text_checksum}\n"
    if not path.exists():
        path.write_text(own, encoding="utf-8")
        return
    known = read_text(path, TrainingError, limit=MANIFEST_LIMIT)
    if known != own:
        raise TrainingError(
            f"{folder} holds a run on another model ({known.strip()[:200]}), "
            f"this one is {own.strip()}: choose another --out"
        )
