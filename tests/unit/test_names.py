"""One rule for names: what a recipe takes, every manifest takes too."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from composir.compose.trained import ComposerManifest
from composir.errors import TrainingError
from composir.model.bundle import Manifest
from composir.model.checked_files import SharedEntry
from composir.names import NAME_PATTERN
from composir.train.config import Name, Settings, read_config


class Named(Settings):
    name: Name = "made"


@pytest.mark.parametrize(
    ("manifest", "field"),
    [(Manifest, "name"), (ComposerManifest, "name"), (SharedEntry, "in_composer")],
)
def test_manifests_hold_names_to_the_one_pattern(manifest: type[BaseModel], field: str) -> None:
    schema: dict[str, Any] = manifest.model_json_schema()["properties"][field]
    [told] = [option for option in schema.get("anyOf", [schema]) if option["type"] == "string"]
    assert told["pattern"] == NAME_PATTERN


@pytest.mark.parametrize("name", ["mini", "0my_own-v1.2", "a"])
def test_recipes_take_such_names(name: str) -> None:
    assert read_config(Named, None, [f'name="{name}"']).name == name


@pytest.mark.parametrize("name", ["", "-x", ".x", "Big", "a b", "a/b", "é", "ok\n"])
def test_recipes_refuse_other_names(name: str) -> None:
    with pytest.raises(TrainingError, match="setting name is"):
        Named().changed(name=name)
    with pytest.raises(ValueError, match="in_composer"):
        SharedEntry(bytes=0, sha256="0" * 64, in_composer=name)
