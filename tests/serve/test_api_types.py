"""The page's types are generated from the server's own schemas; here: that they were, since."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "web" / "openapi" / "document.py"


def test_the_document_of_which_types_are_made_is_the_servers() -> None:
    if not SCRIPT.is_file():
        pytest.skip("the sources of the page are not here")
    spec = importlib.util.spec_from_file_location("openapi_document", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = module.DOCUMENT.read_text(encoding="utf-8")
    assert module.document() == kept, "make web-types writes it, and the types, again"
