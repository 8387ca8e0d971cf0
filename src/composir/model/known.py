"""Models that people ask for by name: where they are, how wide, under which licence, what for.

Data alone. Figures are those of the published checkpoints; nothing here was measured by composir
unless the note says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published model.

    Attributes:
        name: What it is called here once it is added.
        source: What `composir models add` takes.
        family: Whose architecture and preprocessing it has.
        width: D, width of its vectors.
        parameters: Of both towers, in millions; None where that is not published.
        licence: Of the weights, as published.
        good_for: When to take it.
    """

    name: str
    source: str
    family: str
    width: int
    parameters: int | None
    licence: str
    good_for: str


KNOWN: tuple[KnownModel, ...] = (
    KnownModel(
        "clip-vit-base-patch32",
        "openai/clip-vit-base-patch32",
        "CLIP",
        512,
        151,
        "MIT",
        "the usual baseline, with the least computing of OpenAI's",
    ),
    KnownModel(
        "clip-vit-base-patch16",
        "openai/clip-vit-base-patch16",
        "CLIP",
        512,
        150,
        "MIT",
        "four times the patches of patch32: finer detail, slower to index",
    ),
    KnownModel(
        "clip-vit-large-patch14",
        "openai/clip-vit-large-patch14",
        "CLIP",
        768,
        428,
        "MIT",
        "what most published composed-retrieval figures are measured with; slow on a CPU",
    ),
    KnownModel(
        "siglip-base-patch16-224",
        "google/siglip-base-patch16-224",
        "SigLIP",
        768,
        203,
        "Apache-2.0",
        "English; trained with a sigmoid loss",
    ),
    KnownModel(
        "siglip2-base-patch16-224",
        "google/siglip2-base-patch16-224",
        "SigLIP2",
        768,
        375,
        "Apache-2.0",
        "many languages; most of its size is the word table",
    ),
    KnownModel(
        "mobileclip2-s0",
        "open_clip:MobileCLIP2-S0/dfndr2b",
        "MobileCLIP2",
        512,
        75,
        "Apple AMLR: research only, derivatives included",
        "small and fast on a CPU or phone",
    ),
    KnownModel(
        "mobileclip2-s2",
        "open_clip:MobileCLIP2-S2/dfndr2b",
        "MobileCLIP2",
        512,
        99,
        "Apple AMLR: research only, derivatives included",
        "the next size of MobileCLIP2",
    ),
    KnownModel(
        "blip-itm-base-coco",
        "Salesforce/blip-itm-base-coco",
        "BLIP",
        256,
        224,
        "BSD-3-Clause",
        "brings an encoder that matches pictures and texts, with which train isa aligns them",
    ),
    KnownModel(
        "embeddinggemma-2",
        "joint:google/embeddinggemma-2",
        "joint encoder",
        768,
        740,
        "Apache-2.0",
        "reads a picture and words as one, in many languages; seconds a picture on a CPU, so best "
        "to look at the first hits again: search --rerank",
    ),
    KnownModel(
        "qwen3-vl-embedding-2b",
        "joint:Qwen/Qwen3-VL-Embedding-2B",
        "joint encoder",
        2048,
        None,
        "Apache-2.0",
        "reads a picture and words as one, by an instruction; wants a GPU, or an endpoint",
    ),
)


def known_model(name_or_source: str) -> KnownModel | None:
    """The known model of a name or a source, or None; a source's revision does not matter."""
    wanted = name_or_source.partition("@")[0].casefold()
    return next((one for one in KNOWN if wanted in {one.name, one.source.casefold()}), None)
