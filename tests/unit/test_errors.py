"""Errors for programs: each kind has a code of its own, and keeps it."""

import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module

import composir
from composir.errors import ComposirError

NEEDS_EXTRAS = (
    "composir.train",
    "composir.foundation",
    "composir.device.client",
    "composir.model.joint.local",
    "composir.scale.postgres",
    "composir.scale.qdrant",
)


def every_error(kind: type[ComposirError] = ComposirError) -> Iterator[type[ComposirError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_error(below)


def packaged_errors() -> list[type[ComposirError]]:
    for module in pkgutil.walk_packages(composir.__path__, "composir."):
        if not module.name.startswith(NEEDS_EXTRAS) and not module.name.endswith("__main__"):
            import_module(module.name)
    return [kind for kind in dict.fromkeys(every_error()) if kind.__module__.startswith("composir")]


def test_every_error_has_a_code_of_its_own() -> None:
    errors = packaged_errors()
    assert len(errors) > 30
    assert [kind.__name__ for kind in errors if "code" not in vars(kind)] == []
    assert [kind.code for kind in errors if not re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)] == []
    twice = {code: n for code, n in Counter(kind.code for kind in errors).items() if n > 1}
    assert twice == {}


def test_codes_never_change() -> None:
    """Clients of servers look at them: a new kind of error is a new line here."""
    codes = {kind.__name__: kind.code for kind in packaged_errors()}
    assert {name: codes[name] for name in PROMISED} == PROMISED


PROMISED = {
    "BundleMismatchError": "bundle-mismatch",
    "ComposerNotFoundError": "composer-not-found",
    "DeviceMessageError": "device-message",
    "DiskFullError": "disk-full",
    "EmptyGalleryError": "gallery-empty",
    "FilterError": "filter",
    "GalleryBusyError": "gallery-busy",
    "GalleryDamagedError": "gallery-damaged",
    "GalleryNotFoundError": "gallery-not-found",
    "ImageNotFoundError": "image-not-found",
    "MessageMismatchError": "tokens-of-another-model",
    "ObjectStoreError": "object-store",
    "QueryError": "query",
    "StoreError": "store",
    "ReferenceTooLargeError": "reference-too-large",
    "UnreadableReferenceError": "unreadable-reference",
}
