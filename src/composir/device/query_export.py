"""Write what a phone or a browser needs to ask queries, and nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from composir.compose.trained import ComposerFolder, ComposerManifest
from composir.data.files import replaced_atomically
from composir.data.outputs import check_own_folder, inside, write_inside
from composir.device.client import wire
from composir.device.client.query_side import CARD
from composir.device.message import IDENTITY_DIGITS
from composir.errors import ComposirError, QueryError
from composir.model.checked_files import sha256_of

GRAPH = "query.onnx"
CLIENT = "composir_client"
RESIZE = "resize.py"
CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Attributes:
        folder: Where.
        sizes: Bytes of each file, by name.
        message_bytes: Size of a message without texts, by encoding; None where it is too long.
    """

    folder: Path
    sizes: dict[str, int]
    message_bytes: dict[str, int | None]


def export_query_side(composer: ComposerFolder, out: Path) -> Export:
    """Write the query side of a composer to a folder of its own.

    Args:
        composer: Its query graph has to take pixels.
        out: A new or empty folder, or one that an earlier export wrote.
    """
    made = composer.manifest
    if made.input != "pixels":
        raise QueryError(
            f"the composer {made.name} takes {made.input.replace('_', ' ')} of the gallery's "
            "encoder, so it has no query side of its own to export; train one that takes pixels: "
            "composir train isa"
        )
    check_own_folder(out, {CARD}, "--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        # First of all, so that a folder that was stopped half way is known as an export.
        write_inside(out, CARD, json.dumps(card(composer), indent=2, ensure_ascii=False) + "\n")
        _copy(composer.file(made.graph), out, GRAPH)
        _copy_client(out)
        write_inside(out, "README.md", _readme(composer))
        write_inside(out, CHECKSUMS, _checksums(out))
    except OSError as error:
        raise ComposirError(
            f"cannot write to {out}: {error.strerror}; name another folder with --out"
        ) from error
    sizes = {name: (out / name).stat().st_size for name in _written(out)}
    return Export(out, sizes, _message_bytes(made, _vector_width(composer)))


def card(composer: ComposerFolder) -> dict[str, Any]:
    """What `query_side.json` says: all that a client has to know beside the graph."""
    made = composer.manifest
    assert made.preprocess is not None  # the manifest was checked: it takes pixels
    return {
        # Clients of version 1 do not know exact preprocessing, and would prepare other pixels.
        "schema_version": 2 if made.preprocess.exact else 1,
        "composer": made.name,
        "composer_fingerprint": composer.fingerprint[:IDENTITY_DIGITS],
        "model": made.model.name,
        "gallery_fingerprint": made.model.fingerprint[:IDENTITY_DIGITS],
        "text_checksum": made.text[:IDENTITY_DIGITS],
        "tokens": made.tokens,
        "word_dimension": made.word_dimension,
        "vector": _vector_width(composer),
        "graph": {
            "file": GRAPH,
            "bytes": made.files[made.graph].bytes,
            "sha256": made.files[made.graph].sha256,
            "input": "pixels",
            "outputs": _outputs(composer),
        },
        "preprocess": made.preprocess.model_dump(mode="json"),
        "message": {
            "version": wire.VERSION,
            "encodings": wire.ENCODINGS,
            "max_bytes": wire.MAX_BYTES,
            "max_text_bytes": wire.MAX_TEXT_BYTES,
            "max_negatives": wire.MAX_NEGATIVES,
        },
        "licence": made.licence,
        "sources": [source.model_dump() for source in made.sources],
    }


def _outputs(composer: ComposerFolder) -> list[str]:
    given = _output_shapes(composer)
    return [name for name in ("tokens", "attention", "vector") if name in given]


def _vector_width(composer: ComposerFolder) -> int:
    """D of the light side's own vector; 0 where it makes none."""
    return int(_output_shapes(composer)["vector"][1]) if composer.manifest.vector else 0


def _output_shapes(composer: ComposerFolder) -> dict[str, list[int | str]]:
    from composir.model.sessions import open_session

    session = open_session(composer.file(composer.manifest.graph), threads=1)
    return {output.name: output.shape for output in session.get_outputs()}


def _copy(source: Path, out: Path, name: str) -> None:
    with source.open("rb") as original, replaced_atomically(inside(out, name)) as copy:
        shutil.copyfileobj(original, copy)


def _copy_client(out: Path) -> None:
    (out / CLIENT).mkdir(exist_ok=True)
    with as_file(files("composir.device").joinpath("client")) as source:
        for path in sorted(source.glob("*.py")):
            if path.name != RESIZE:
                _copy(path, out, f"{CLIENT}/{path.name}")
    with as_file(files("composir.images").joinpath("resampling.py")) as source:
        _copy(source, out, f"{CLIENT}/{RESIZE}")


def _written(out: Path) -> list[str]:
    client = sorted(f"{CLIENT}/{path.name}" for path in (out / CLIENT).glob("*.py"))
    return [GRAPH, CARD, "README.md", *client, CHECKSUMS]


def _checksums(out: Path) -> str:
    """In the format of `sha256sum`, so that `sha256sum -c SHA256SUMS` checks a copy."""
    names = [name for name in _written(out) if name != CHECKSUMS]
    return "".join(f"{sha256_of(out / name)}  {name}\n" for name in names)


def _message_bytes(made: ComposerManifest, vector: int) -> dict[str, int | None]:
    fixed = wire.HEADER.size + 2 + 4  # with the vector's width and the checksum
    rows = [made.word_dimension] * made.tokens + [vector] * (vector > 0)
    sizes = {"fp16": fixed + 2 * sum(rows), "int8": fixed + sum(rows) + 4 * len(rows)}
    return {name: size if size <= wire.MAX_BYTES else None for name, size in sizes.items()}


def _readme(composer: ComposerFolder) -> str:
    made = composer.manifest
    side = made.preprocess.size if made.preprocess else 0
    vector = " and a vector" if made.vector else ""
    outputs = ", ".join(f"`{name}`" for name in _outputs(composer))
    return f"""# Query side of the composer {made.name} for the model {made.model.name}

Turns a picture into {made.tokens} pseudo-words{vector} on the device. They travel
to the server together with the words of the query; the picture does not.

| file | for |
| --- | --- |
| `{GRAPH}` | ONNX; in: `pixels` (1, {side}, {side}, 3) uint8; out: {outputs} |
| `{CARD}` | preprocessing, fingerprints, limits of the message |
| `{CLIENT}/` | reference client in Python: numpy, Pillow and onnxruntime |
| `{CHECKSUMS}` | `sha256sum -c {CHECKSUMS}` checks a copy |

```python
import numpy as np
from PIL import Image  # or anything else that decodes pictures
from {CLIENT} import QuerySide

side = QuerySide(".")
rgb = np.asarray(Image.open("ref.jpg").convert("RGB"))
open("query.cir", "wb").write(side.message(rgb, "but at night"))
```

On the server: `composir search --message query.cir`. The bytes are described in composir's
documentation, page `device.md`.

Licence of the weights: {made.licence}
"""
