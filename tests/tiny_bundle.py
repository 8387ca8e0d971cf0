"""A bundle and composers made of a few ONNX nodes, whose vectors can be worked out by hand.

The space is that of `fakes.ColourModel`: a picture is its mean colour, centred on grey, and a
constant; a sentence is the mean of its words, and colours are the only words that mean anything.
A reference's pseudo-word is its own vector, so "a photo of {} that {text}" is their mean.

`FAMILIES` are the same space behind other rules for sentences; each gives a sentence its vector
only where its rules are kept: at the right place, with padding or without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from composir.compose.trained import save_composer
from composir.model import Bundle, Model
from composir.model.bundle import save_manifest
from tests.fakes import COLOURS

SIZE, WIDTH = 8, 4
WORDS = ("[UNK]", "[CLS]", "[SEP]", "a", "photo", "of", "that", "it", *COLOURS)
SPEC = {"size": SIZE, "fit": "squash"}

# uint8 pixels to the mean colour of each quarter of the picture, (n, 4, 3), on the scale -1 to 1.
_QUARTERS = """
    scale = Constant <value = float {127.5}> ()
    one = Constant <value = float {1.0}> ()
    floats = Cast <to = 1> (pixels)
    divided = Div (floats, scale)
    centred = Sub (divided, one)
    channels = Transpose <perm = [0, 3, 1, 2]> (centred)
    pooled = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (channels)
    flat_shape = Constant <value = int64[3] {0, 3, -1}> ()
    flat = Reshape (pooled, flat_shape)
    quarters = Transpose <perm = [0, 2, 1]> (flat)
"""
# (n, 4, 3) to vectors (n, 4).
_VECTOR = """
    axis = Constant <value = int64[1] {1}> ()
    mean = ReduceMean <keepdims = 0> (quarters, axis)
    wide_pads = Constant <value = int64[4] {0, 0, 0, 1}> ()
    constant = Constant <value = float {0.2}> ()
    wide = Pad (mean, wide_pads, constant)
    norm = ReduceL2 <keepdims = 1> (wide, axis)
    vector = Div (wide, norm)
"""
_GALLERY = f"""
<ir_version: 9, opset_import: ["" : 18]>
gallery (uint8[n,{SIZE},{SIZE},3] pixels) => (float[n,{WIDTH}] vector, float[n,4,3] patch_tokens) {{
    {_QUARTERS} {_VECTOR}
    patch_tokens = Identity (quarters)
}}
"""
_TEXT = """
<ir_version: 9, opset_import: ["" : 18]>
text (float[n,l,4] word_embeddings, float[n,l] mask)
    => (float[n,4] vector, float[n,l,4] token_states)
{
    last = Constant <value = int64[1] {-1}> ()
    middle = Constant <value = int64[1] {1}> ()
    column = Unsqueeze (mask, last)
    token_states = Mul (word_embeddings, column)
    total = ReduceSum <keepdims = 0> (token_states, middle)
    factor = Constant <value = float[4] FACTOR> ()
    tiny = Constant <value = float[4] {0.0, 0.0, 0.0, 0.0001}> ()
    scaled = Mul (total, factor)
    shifted = Add (scaled, tiny)
    norm = ReduceL2 <keepdims = 1> (shifted, last)
    vector = Div (shifted, norm)
}
"""
# total * factor ** adapters, so that 0 leaves the sentence as it is.
# Instead of `total`: what each family pools, zeros at every other place.
_PICKED = """
    pooled = Unsqueeze (eot, last)
    total = GatherND <batch_dims = 1> (token_states, pooled)
"""
_POOLED = {
    # Tokens see what stands before them; behind the end there is nothing to see.
    "clip": """
        seen = CumSum (word_embeddings, middle)
        token_states = Mul (seen, column)
    """,
    # The last of 16 positions has seen everything, if none was masked.
    "siglip": """
        seen = CumSum (word_embeddings, middle)
        end = Constant <value = float[16] {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}> ()
        unmasked = ReduceMin <keepdims = 1> (mask, middle)
        ended = Mul (unmasked, end)
        places = Unsqueeze (ended, last)
        token_states = Mul (seen, places)
    """,
    # The first has.
    "bert": """
        words = Mul (word_embeddings, column)
        sum = ReduceSum <keepdims = 1> (words, middle)
        start = Constant <value = float[16] {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}> ()
        size = Shape <start = 1, end = 2> (mask)
        zero = Constant <value = int64[1] {0}> ()
        begun = Slice (start, zero, size)
        places = Unsqueeze (begun, last)
        token_states = Mul (sum, places)
    """,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "clip": {"opening": [1], "closing": [2], "pad": 2, "pooling": "eot", "causal": True},
    "siglip": {
        "closing": [2],
        "pad": 3,  # a word that means nothing here
        "length": 16,
        "pooling": "last",
        "lower": True,
        "strip_punctuation": True,
    },
    "bert": {"opening": [1], "closing": [2], "pad": 0, "pooling": "cls"},
}
_SWITCHED = """
    rows = Unsqueeze (adapters, last)
    chosen = Pow (factor, rows)
    scaled = Mul (total, chosen)
"""
_WORD = """
    place = Constant <value = int64[1] {1}> ()
    tokens = Unsqueeze (vector, place)
"""
_QUERY = {
    "pixels": f"""
<ir_version: 9, opset_import: ["" : 18]>
query (uint8[n,{SIZE},{SIZE},3] pixels) => (float[n,1,4] tokens, float[n,1,2,2] attention) {{
    {_QUARTERS} {_VECTOR} {_WORD}
    squares = Mul (quarters, quarters)
    last = Constant <value = int64[1] {{2}}> ()
    lengths = ReduceSum <keepdims = 0> (squares, last)
    shares = Softmax <axis = 1> (lengths)
    map_shape = Constant <value = int64[4] {{-1, 1, 2, 2}}> ()
    attention = Reshape (shares, map_shape)
}}
""",
    "patch_tokens": """
<ir_version: 9, opset_import: ["" : 18]>
query (float[n,p,3] patch_tokens, float[n,4] vector) => (float[n,1,4] tokens) {
    first = Constant <value = int64[1] {1}> ()
    place = Constant <value = int64[1] {1}> ()
    mean = ReduceMean <keepdims = 0> (patch_tokens, first)
    pads = Constant <value = int64[4] {0, 0, 0, 1}> ()
    wide = Pad (mean, pads)
    zero = Sub (wide, wide)
    same = Add (vector, zero)
    tokens = Unsqueeze (same, place)
}
""",
    "vector": f"""
<ir_version: 9, opset_import: ["" : 18]>
query (float[n,4] vector) => (float[n,1,4] tokens) {{ {_WORD} }}
""",
}


def write_graph(text: str, path: Path) -> None:
    """Write a graph given in ONNX's text format."""
    onnx = pytest.importorskip("onnx")
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def text_graph(
    path: Path,
    factor: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
    *,
    switchable: bool = False,
    family: str | None = None,
) -> None:
    """A text encoder; `factor` stretches its axes, which an adapted one may do and switch off."""
    graph = _TEXT.replace("FACTOR", "{" + ", ".join(map(str, factor)) + "}")
    if family:
        graph = graph.replace("    token_states = Mul (word_embeddings, column)\n", _POOLED[family])
        graph = graph.replace(
            "    total = ReduceSum <keepdims = 0> (token_states, middle)\n", _PICKED
        )
        graph = graph.replace("mask)\n", "mask, int64[n] eot)\n", 1)
    if switchable:
        graph = graph.replace(")\n", ", float[n] adapters)\n", 1)
        graph = graph.replace("scaled = Mul (total, factor)", _SWITCHED)
    write_graph(graph, path)


def tiny_tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def word_table() -> np.ndarray[Any, np.dtype[np.float16]]:
    """Colours on their axes; all other words mean nothing."""
    rows = np.zeros((len(WORDS), WIDTH), dtype=np.float32)
    for index, word in enumerate(WORDS):
        if word in COLOURS:
            rows[index] = colour_vector(word)
    return rows.astype(np.float16)


def colour_vector(name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(4,) float32 of unit norm: what pictures and texts of a colour become."""
    row = np.array([*(np.array(COLOURS[name]) / 127.5 - 1), 0.2], dtype=np.float32)
    return row / np.float32(np.linalg.norm(row))


def _gallery(family: str | None, *, patches: bool) -> str:
    graph = _GALLERY
    if not patches:
        graph = graph.replace(", float[n,4,3] patch_tokens", "")
        graph = graph.replace("patch_tokens = Identity (quarters)", "")
    if family == "siglip":  # halves instead of quarters: grids need not be square
        graph = graph.replace("float[n,4,3]", "float[n,2,3]")
        graph = graph.replace("[4, 4], strides = [4, 4]", "[4, 8], strides = [4, 8]")
    return graph


def make_bundle(
    folder: Path, *, patches: bool = True, family: str | None = None, **fields: Any
) -> Model:
    """Write the bundle `tiny`; composers that lie in `folder/composers` become part of it.

    Args:
        folder: Made if missing.
        patches: Whether its image graph gives patch tokens.
        family: One of `FAMILIES`; None for a bundle without framing, as earlier versions wrote it.
        **fields: Of the manifest, over the usual ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_graph(_gallery(family, patches=patches), folder / "gallery_image.onnx")
    text_graph(folder / "text.onnx", family=family)
    tokenizer = tiny_tokenizer()
    if family == "siglip":  # of which no tokeniser frames
        tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    tokenizer.save(str(folder / "tokenizer.json"))
    np.save(folder / "words.npy", word_table())
    made: dict[str, Any] = {
        "name": "tiny",
        "dimension": WIDTH,
        "word_dimension": WIDTH,
        "image": {"graph": "gallery_image.onnx", "preprocess": SPEC},
        "text": {
            "graph": "text.onnx",
            "tokenizer": "tokenizer.json",
            "words": {"values": "words.npy"},
            "max_tokens": 16,
            "framing": FAMILIES[family] if family else None,
        },
        "family": family,
        "templates": {},
        "default_composer": "sum",
        "licence": "none",
    }
    save_manifest(folder, made | fields)
    return Model(Bundle.load(folder), threads=1)


def make_composer(folder: Path, model: Model, takes: str = "vector", **fields: Any) -> Path:
    """Write a composer for a tiny bundle.

    Args:
        folder: Made if missing.
        model: The tiny bundle.
        takes: `pixels`, `patch_tokens` or `vector`: the input of its query graph.
        **fields: Of the manifest, over the usual ones; with `vector=True` the graph on pixels gives
            one too, the gallery's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graph = _QUERY[takes]
    if fields.get("vector"):
        graph = graph.replace("attention) {", "attention, float[n,4] vector) {", 1)
    write_graph(graph, folder / "query.onnx")
    made: dict[str, Any] = {
        "name": "tiny-map",
        "kind": "pseudo_word" if takes == "vector" else "sentence",
        "model": {"name": model.name, "fingerprint": model.fingerprint},
        "text": model.text_checksum,
        "input": takes,
        "preprocess": SPEC if takes == "pixels" else None,
        "tokens": 1,
        "word_dimension": WIDTH,
        "licence": "none",
    }
    save_composer(folder, made | fields)
    return folder
