"""What `composir models add` is given, understood without fetching anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from composir.errors import ModelError
from composir.model.installed import is_name
from composir.model.joint.address import EndpointAddress
from composir.model.known_models import KNOWN, REPOSITORIES, KnownModel, known_model
from composir.model.sources import Repository, parse_source, suggested_name


def test_a_folder_and_the_weights_in_it_are_the_same_source(tmp_path: Path) -> None:
    folder = tmp_path / "My CLIP (v2)"
    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.touch()
    assert parse_source(str(folder)).place == folder
    assert parse_source(str(weights)).place == folder
    assert parse_source(str(weights)).name == "my-clip-v2-"


def test_a_repository_of_the_hub_at_a_revision() -> None:
    found = parse_source("org/Some_Model.v1@refs/pr/3")
    assert found.place == Repository("org/Some_Model.v1", "refs/pr/3")
    assert found.place.words == "org/Some_Model.v1@refs/pr/3"
    assert (found.name, found.known) == ("some_model.v1", None)


def test_known_models_go_by_name_and_by_source() -> None:
    for text in ("clip-vit-base-patch32", "openai/clip-vit-base-patch32"):
        found = parse_source(text)
        assert found.place == Repository("openai/clip-vit-base-patch32")
        assert found.known is not None
        assert found.known.width == 512


@pytest.mark.parametrize("one", KNOWN, ids=lambda one: one.name)
def test_every_known_model_can_be_added(one: KnownModel) -> None:
    assert is_name(one.name)
    for asked in (one.source, one.name):
        found = parse_source(asked)
        assert (found.name, found.known) == (one.name, one)


@pytest.mark.parametrize("name", REPOSITORIES)
def test_open_clips_names_are_repositories_of_the_hub(name: str) -> None:
    found = parse_source(f"open_clip:{name}")
    assert isinstance(found.place, Repository)
    assert parse_source(REPOSITORIES[name]).place == Repository(found.place.name)
    assert found.place.words == f"open_clip:{name}"
    assert is_name(found.name)


def test_open_clips_names_take_a_revision_and_small_letters() -> None:
    found = parse_source("open_clip:vit-b-32/laion2b_s34b_b79k@main")
    name = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    asked = "open_clip:ViT-B-32/laion2b_s34b_b79k"
    assert found.place == Repository(name, "main", asked)
    assert found.place.words == f"{asked}@main"
    assert found.name == "vit-b-32-laion2b_s34b_b79k"
    assert parse_source("mobileclip2-s2@main").place == Repository(
        "timm/MobileCLIP2-S2-OpenCLIP", "main", "open_clip:MobileCLIP2-S2/dfndr2b"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("open_clip:other/other", "known ones: MobileCLIP2-S0/dfndr2b, MobileCLIP2-S2/dfndr2b"),
        ("open_clip:ViT-B-16/other", "known ones: ViT-B-16/openai, ViT-B-16/laion2b_s34b_b88k"),
        ("open_clip:", "open_clip:: composir does not know where the hub has it"),
        ("joint:./missing/model", "there is no folder or file ./missing/model"),
        ("https://huggingface.co/openai/x", "for a model of the hub give ORG/NAME"),
        ("./missing/model", "there is no folder or file ./missing/model"),
        ("a/b/c", "there is no folder or file a/b/c"),
        ("nothing-known", "nor a name that composir models lists"),
    ],
)
def test_other_sources_are_refused_in_a_plain_sentence(text: str, told: str) -> None:
    with pytest.raises(ModelError) as refused:
        parse_source(text)
    assert told in str(refused.value)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open_clip.pt").touch()
    with pytest.raises(ModelError, match=r"is no checkpoint that can be added: that is a model\.s"):
        parse_source(str(tmp_path / "open_clip.pt"))


@pytest.mark.parametrize("text", ["ViT-B/32", "...", "", "-x", "Ünicode 模型", "a" * 300])
def test_a_suggested_name_is_one(text: str) -> None:
    assert is_name(suggested_name(text))


def test_joint_encoders_come_from_folders_the_hub_and_endpoints(tmp_path: Path) -> None:
    hub = parse_source("joint:google/embeddinggemma-2@main")
    assert hub.place == Repository("google/embeddinggemma-2", "main", joint=True)
    assert hub.words == "joint:google/embeddinggemma-2@main"
    assert hub.known == known_model("embeddinggemma-2")
    assert parse_source("embeddinggemma-2").words == "joint:google/embeddinggemma-2"
    (tmp_path / "Mine").mkdir()
    local = parse_source(f"joint:{tmp_path / 'Mine'}")
    assert (local.place, local.name, local.joint) == (tmp_path / "Mine", "mine", True)
    there = parse_source("http://127.0.0.1:8000/v1/#Big/Model")
    assert there.place == EndpointAddress("http://127.0.0.1:8000/v1", "Big/Model")
    assert there.name == "big-model"
