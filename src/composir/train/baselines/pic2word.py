"""Pic2Word (Saito et al. 2023, arXiv 2302.03084): an MLP to one pseudo-word, image contrast alone.

The mapping stage of Map-to-Compose without injection and without texts; everything else (data,
sentences, blend) is shared, so that a difference between the two is one of method.
"""

from __future__ import annotations

from pathlib import Path

from composir.compose.trained import ComposerManifest
from composir.errors import TrainingError
from composir.train.mapping.recipe import MapConfig, train_map
from composir.train.run import Log

PRESET = (
    "name=pic2word",
    "mapper.injection_layers=0",
    "mapper.tokens=1",
    "objective.alignment=0.0",
    "objective.negatives=0",
    "objective.steering.phrase_weight=0",
)
"""Settings that make `MapConfig` Pic2Word, as `read_config` takes them."""

ABOUT = (
    "Pic2Word (arXiv 2302.03084): an MLP maps the reference's vector to one pseudo-word, trained "
    "with the contrast between pictures and their sentences on pictures alone."
)


def train_pic2word(config: MapConfig, folder: Path, log: Log) -> ComposerManifest:
    """Train the mapping network and write its composer."""
    mapper, objective = config.mapper, config.objective
    further = objective.alignment or objective.steering.phrase_weight
    if mapper.injection_layers or mapper.tokens != 1 or further:
        raise TrainingError(
            "Pic2Word is one token by an MLP, trained with image contrast alone; with "
            "mapper.injection_layers, mapper.tokens, objective.alignment or objective.steering use "
            "`composir train map`"
        )
    return train_map(config, folder, log, verb="baseline pic2word", about=ABOUT)
