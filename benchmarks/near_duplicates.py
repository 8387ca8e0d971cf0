"""How often the near-duplicate rule merges different pictures, and how many copies it finds.

    python benchmarks/near_duplicates.py FOLDER [--model NAME] [--limit 2000]

False merges: pairs of different files of FOLDER that pass the rule (without `--model`: its three
tests on pixels alone, without the test on vectors). Missed copies: for each picture some usual
copies are made (JPEG quality 95, 75 and 50, half and two thirds of the size, WebP) and compared
with the original.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.gallery.duplicates import Appearance, NearDuplicateRule, sign_picture
from composir.images import read_image
from composir.images.scan import FoundFile, scan
from composir.model import load_model
from composir.types import FloatArray

Encode = Callable[[Sequence[Image.Image]], FloatArray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="for the test on vectors too")
    parser.add_argument("--limit", type=int, default=10_000, help="pictures to compare")
    parser.add_argument("--copies", type=int, default=300, help="pictures to copy")
    parser.add_argument("--show", type=int, default=5, help="merged pairs to name")
    options = parser.parse_args()
    encode, rule = _encoder(options.model)
    paths = [found.path for found in scan([options.folder]) if isinstance(found, FoundFile)]
    paths = paths[: options.limit]
    looks = [_appearance(read_image(path).rgb, encode) for path in paths]
    merged = _merged_pairs(looks, rule)
    total = len(paths) * (len(paths) - 1) // 2
    print(f"{len(paths)} pictures, {total:,} pairs; vectors {'on' if options.model else 'off'}")
    print(f"merged pairs: {len(merged)} ({len(merged) / max(total, 1):.2e} of all pairs)")
    for first, second in merged[: options.show]:
        print(f"  {paths[first].name} = {paths[second].name}")
    _report_copies(paths[:: max(1, len(paths) // options.copies)], encode, rule)


def _encoder(model: str | None) -> tuple[Encode, NearDuplicateRule]:
    if model is None:
        return lambda images: np.ones((len(images), 1), np.float32), NearDuplicateRule()
    loaded = load_model(model)
    return loaded.encode_images, NearDuplicateRule(loaded.copy_similarity)


def _appearance(rgb: Image.Image, encode: Encode) -> Appearance:
    return Appearance(None, sign_picture(rgb), encode([rgb])[0], rgb.width, rgb.height)


def _merged_pairs(looks: list[Appearance], rule: NearDuplicateRule) -> list[tuple[int, int]]:
    hashes = np.asarray([look.signature.perceptual_hash for look in looks], dtype=np.uint64)
    pairs: list[tuple[int, int]] = []
    for first in range(len(looks)):
        close: NDArray[np.int64] = np.flatnonzero(
            np.bitwise_count(hashes[first + 1 :] ^ hashes[first]) <= rule.hash_bits
        )
        pairs += [
            (first, second)
            for second in (close + first + 1).tolist()
            if rule.same(looks[first], looks[second])
        ]
    return pairs


def _report_copies(paths: list[Path], encode: Encode, rule: NearDuplicateRule) -> None:
    found: dict[str, list[bool]] = {}
    for path in paths:
        original = read_image(path).rgb
        look = _appearance(original, encode)
        for name, copy in _copies(original).items():
            found.setdefault(name, []).append(rule.same(look, _appearance(copy, encode)))
    for name, hits in found.items():
        print(f"copies found, {name}: {100 * np.mean(hits):.1f} % of {len(hits)}")


def _copies(rgb: Image.Image) -> dict[str, Image.Image]:
    half = rgb.resize((max(1, rgb.width // 2), max(1, rgb.height // 2)), Image.Resampling.LANCZOS)
    third = rgb.resize(
        (max(1, rgb.width * 2 // 3), max(1, rgb.height * 2 // 3)), Image.Resampling.BICUBIC
    )
    copies = {f"JPEG {quality}": _again(rgb, "JPEG", quality) for quality in (95, 75, 50)}
    return copies | {"half": half, "two thirds": third, "WebP 80": _again(rgb, "WEBP", 80)}


def _again(rgb: Image.Image, kind: str, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    rgb.save(buffer, kind, quality=quality)
    return Image.open(buffer).convert("RGB")


if __name__ == "__main__":
    main()
