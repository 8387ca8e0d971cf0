"""Models: a bundle is a folder; its encoders run on ONNX Runtime."""

from composir.model.base import EmbeddingModel, SplicingEncoder, SplicingModel
from composir.model.bundle import Bundle, Manifest
from composir.model.catalogue import PACKAGED, load_model, open_model
from composir.model.image_encoder import ImageEncoder
from composir.model.model import Model
from composir.model.text_encoder import TextEncoder
from composir.model.vocabulary import Vocabulary

__all__ = [
    "PACKAGED",
    "Bundle",
    "EmbeddingModel",
    "ImageEncoder",
    "Manifest",
    "Model",
    "SplicingEncoder",
    "SplicingModel",
    "TextEncoder",
    "Vocabulary",
    "load_model",
    "open_model",
]
