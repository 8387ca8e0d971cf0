"""Settings of stage 2."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import model_validator

from composir.compose.trained import ComposerManifest
from composir.train.composing.adapters import AdapterConfig
from composir.train.composing.mining import MiningConfig
from composir.train.composing.task import ComposingConfig
from composir.train.composing.text_batches import TextBatchConfig
from composir.train.config import Between, Files, Name, Share, Steps, Texts
from composir.train.loop import LoopConfig
from composir.train.run import RunConfig


class ComposeConfig(RunConfig):
    """Everything that changes the outcome, beside what every recipe is told.

    Attributes:
        start: First stages whose query sides share the adapted text encoder: run or composer
            folders, or packaged composers' names; the packaged `map` where there are none.
        triplets: Data set folders, JSONL or CSV files (`triplet_files`).
        text_triplets: JSONL files of text triplets, or folders that `composir triplets texts` wrote
            (`text_rows`); beside `triplets` or without any.
        images: Folder that file names of a JSONL or CSV are relative to; its own where empty.
        captions: Data set folders or text files of plain captions for the anchor; without them the
            modification texts are anchored, or where all triplets are texts their references.
        text_only: Data set folder of text-only queries, e.g. `flickr8k-dev`, on which the cost of
            adapters in plain text search is measured.
        name: Of the first start's composer; others are named `START-compose`.
        max_triplets: Train on so many; negative for all, 0 gives stage 1 back.
        max_text_triplets: The same of text triplets.
        max_bad: Largest share of unusable rows.
        dev_sets: Data set folders whose composed queries choose the weights of the blend; the dev
            triplets do where there are none.
        image_weight: Whether the weight of v is `chosen` like the others or fixed to `zero`, for
            devices without the gallery's encoder; `auto` fixes it where a start takes pixels and
            gives no vector of its own.
        dev: Share of references whose triplets choose the checkpoint.
        held_out: Share of references whose triplets make the table.
        adapters: Which adapters.
        mining: Hard negatives.
        composing: Steps.
        text_batch: What text triplets add to a step.
        patience: Stop after so many evaluations that are not better; 0: never.
    """

    start: Texts = ()
    triplets: Files = ()
    text_triplets: Files = ()
    images: str = ""
    captions: Files = ()
    text_only: str = ""
    name: Name = "compose"
    max_triplets: Annotated[int, Between(-1, 10**9)] = -1
    max_text_triplets: Annotated[int, Between(-1, 10**9)] = -1
    max_bad: Share = 0.1
    dev_sets: Files = ()
    image_weight: Literal["auto", "chosen", "zero"] = "auto"
    dev: Annotated[float, Between(1e-6, 0.999999)] = 0.1
    held_out: Annotated[float, Between(1e-6, 0.999999)] = 0.1
    adapters: AdapterConfig = AdapterConfig()
    mining: MiningConfig = MiningConfig()
    composing: ComposingConfig = ComposingConfig()
    text_batch: TextBatchConfig = TextBatchConfig()
    loop: LoopConfig = LoopConfig(
        steps=400,
        warmup=30,
        weight_decay=0.01,
        average=0.98,
        evaluate_every=50,
        checkpoint_every=50,
    )
    patience: Steps = 4

    @model_validator(mode="after")
    def _has_triplets(self) -> Self:
        if not self.triplets and not self.text_triplets:
            raise ValueError(
                "no triplets: name a data set folder, .jsonl or .csv (--triplets), or text "
                "triplets (--text-triplets)"
            )
        return self

    def fixed_weights(self, start: ComposerManifest) -> dict[str, float]:
        """Weights of a start's blend that are not chosen."""
        without = start.input == "pixels" and not start.vector
        zero = self.image_weight == "zero" or (self.image_weight == "auto" and without)
        return {"image": 0.0, "exchange": 0.0, "learned": 0.0} if zero else {}
