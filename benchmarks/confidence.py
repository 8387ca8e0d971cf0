"""Calibrates and tests the gallery's confidence on queries with no, few and many right answers.

    python benchmarks/confidence.py [--model NAME|FOLDER] --data FOLDER [--write] [--ship]

Every figure is for domains that the coefficients were not fitted on: each domain is judged by
coefficients of all others. What is shipped is then fitted on all of them. `--write` writes the
tables and the plot into the repository, `--ship` coefficients and mean picture into the model's
bundle. "Before" are mini's coefficients of 2026-11-21, which looked at how far the best score
stands out, and at that score.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from confidence_fit import KINDS, Calibrations, Material, gather
from confidence_judged import judge_kind
from confidence_plot import reliability_plot
from confidence_report import curves, report
from mini_recipe import describe

from composir.encode.feature_store import FeatureStore
from composir.foundation.calibration import coefficients
from composir.model import Bundle, load_model

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "confidence.md"
PLOT = ROOT / "docs" / "images" / "confidence.svg"
MEAN = "mean_image.npy"


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibrate and test the confidence.")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPOSIR_DATA"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    parser.add_argument("--write", action="store_true", help="write tables and plot")
    parser.add_argument("--ship", action="store_true", help="write into the model's bundle")
    asked = parser.parse_args()
    model = load_model(asked.model)
    material = gather(model, asked.data, FeatureStore(asked.cache))
    judged = [judge_kind(kind, material) for kind in KINDS]
    text = report(judged, material)
    print(text)
    if asked.write:
        RESULTS.write_text(text, encoding="utf-8")
        PLOT.write_text(reliability_plot(curves(judged)), encoding="utf-8")
    if asked.ship:
        ship(model.bundle, {one.kind: coefficients(one.made) for one in judged}, material)


def ship(bundle: Bundle, made: Calibrations, material: Material) -> None:
    """Put coefficients and the mean picture into a bundle."""
    np.save(bundle.folder / MEAN, material.mean)
    describe(bundle.folder, bundle.manifest, confidence=made, mean_image=MEAN)


if __name__ == "__main__":
    main()
