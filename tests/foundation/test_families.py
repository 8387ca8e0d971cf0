"""Checkpoints of real formats: the same vectors as the family's own code, or a clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")

import torch
from PIL import Image
from tokenizers import Tokenizer

from composir.errors import ModelError
from composir.foundation.checkpoint import Checkpoint
from composir.foundation.families import family_named, family_of
from composir.foundation.parts import Parts, Reference
from composir.foundation.transformers_code import quiet
from composir.model.framing import Framing
from tests.foundation.checkpoints import WRITERS, write_clip, write_open_clip, write_siglip

pytestmark = pytest.mark.torch

TEXTS = ["a photo of the cat", "Red square, that is blue!", "x"]


def read(folder: Path, *, allow_pickle: bool = False) -> tuple[Parts, Reference]:
    with quiet():
        checkpoint = Checkpoint(folder, allow_pickle=allow_pickle)
        family = family_named(family_of(checkpoint))
        return family.read(checkpoint), family.reference(checkpoint)


@pytest.fixture(scope="module", params=WRITERS)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    with quiet():
        return request.param, *read(WRITERS[request.param](folder))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    with quiet():
        return write_clip(tmp_path / "clip")


def encode(parts: Parts, text: str) -> Any:
    """A text through the torch tower, framed as the bundle says."""
    framing = Framing(**parts.framing)
    tokenizer = Tokenizer.from_str(parts.tokenizer)
    words = tokenizer.encode(framing.clean(text), add_special_tokens=False).ids
    ids = [*framing.opening, *words, *framing.closing]
    before, behind = framing.padding(len(ids))
    padded = [framing.pad] * before + ids + [framing.pad] * behind
    place = torch.tensor([framing.place(len(ids))])
    with torch.no_grad():
        vector, _ = parts.text(parts.words[padded][None], torch.ones(1, len(padded)), place)
    return vector.numpy()[0]


def test_text_towers_give_the_vectors_of_the_familys_own_code(family: Any) -> None:
    _, parts, reference = family
    ours = np.stack([encode(parts, text) for text in TEXTS])
    with quiet():
        theirs = reference.texts(TEXTS)
    assert np.abs(ours - theirs).max() < 1e-5
    assert (theirs @ theirs.T)[
        ~np.eye(3, dtype=bool)
    ].max() < 0.99  # texts that say different things


def test_image_towers_give_the_vectors_of_the_familys_own_code(family: Any) -> None:
    name, parts, reference = family
    size = parts.preprocess.size
    noise = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    noise[1] //= 3
    with quiet():
        pixels = reference.pixels([Image.fromarray(array) for array in noise])
        theirs = reference.pictures(pixels)
    with torch.no_grad():
        ours, patches = parts.image(torch.from_numpy(noise))
    assert np.abs(ours.numpy() - theirs).max() < 1e-5
    assert (theirs[0] @ theirs[1]) < 0.999
    # Four by four, and no class token among them; or two by two of the last map.
    assert patches.shape == ((3, 4, 64) if name == "mobileclip" else (3, 16, 24))


def test_what_a_family_says_of_its_texts_is_read(family: Any) -> None:
    name, parts, _ = family
    framing = Framing(**parts.framing)
    said = (len(framing.opening), len(framing.closing), framing.length, framing.pooling)
    assert (
        said
        == {
            "blip": (1, 1, None, "cls"),
            "clip": (1, 1, None, "eot"),
            "mobileclip": (1, 1, 20, "eot"),
            "open_clip": (1, 1, None, "eot"),
            "siglip": (0, 1, 16, "last"),
            "siglip2": (0, 1, 16, "last"),
        }[name]
    )
    assert framing.strip_punctuation == (name == "siglip")
    assert framing.causal == (name in {"clip", "open_clip"})
    scale = None if name == "blip" else np.exp(-3.0)  # a BLIP's checkpoint states none
    assert framing.temperature == pytest.approx(scale)


def test_what_a_family_says_of_its_pictures_is_read(family: Any) -> None:
    name, parts, _ = family
    spec = parts.preprocess
    of_open_clip = name in {"open_clip", "mobileclip"}
    assert spec.exact == ("open_clip" if of_open_clip else "transformers")
    assert spec.fit == ("centre-crop" if name.endswith("clip") else "squash")
    assert spec.interpolation == ("bilinear" if name in {"siglip2", "mobileclip"} else "bicubic")
    means = {"siglip": 0.5, "siglip2": 0.5, "mobileclip": 0.0}
    assert spec.mean[0] == pytest.approx(means.get(name, 0.48145466))


def test_the_licence_of_the_card_is_read(family: Any) -> None:
    name, parts, _ = family
    licences = {"blip": "bsd-3-clause", "clip": "mit", "open_clip": "mit"}
    licences["mobileclip"] = "apple-amlr"
    assert parts.licence == licences.get(name, "apache-2.0")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("# no front matter\nlicense: mit\n", None),
        ("---\ntags: [a]\n---\nlicense: mit\n", None),
        ("---\nlicense: 'cc-by-nc-4.0'\n---\n", "cc-by-nc-4.0"),
        ("---\nlicense: other\nlicense_name: apple-amlr\n---\n", "apple-amlr"),
        ("---\nlicense: other\n---\n", "other"),
    ],
)
def test_licences_are_stated_in_front_matter_alone(
    tmp_path: Path, card: str, licence: str | None
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text(card)
    assert Checkpoint(tmp_path).licence == licence


def test_old_configs_that_state_the_end_as_2_mean_the_highest_id(tmp_path: Path) -> None:
    with quiet():
        parts, reference = read(write_clip(tmp_path, old_end=True))
        theirs = reference.texts(TEXTS)
    ours = np.stack([encode(parts, text) for text in TEXTS])
    assert np.abs(ours - theirs).max() < 1e-5


def test_an_end_that_the_tokeniser_does_not_write_is_refused(tmp_path: Path) -> None:
    with quiet(), pytest.raises(ModelError, match=r"closes sentences with token \d+, but .* is 7"):
        read(write_clip(tmp_path, eos_token_id=7))


def test_the_side_of_padding_is_the_checkpoints_or_its_tokenisers(tmp_path: Path) -> None:
    with quiet():
        folder = write_siglip(tmp_path, second=True)
    change(folder / "tokenizer_config.json", padding_side=None)
    parts, reference = read(folder)
    assert parts.framing["padding_side"] == "left"
    with quiet():
        theirs = reference.texts(TEXTS)
    ours = np.stack([encode(parts, text) for text in TEXTS])
    assert np.abs(ours - theirs).max() < 1e-5


def test_a_tokeniser_of_two_older_files_is_built(clip: Path) -> None:
    expected, _ = read(clip)
    model = json.loads((clip / "tokenizer.json").read_text())["model"]
    (clip / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [" ".join(pair) for pair in model["merges"]]
    (clip / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (clip / "tokenizer.json").unlink()
    parts, _ = read(clip)
    made, known = (Tokenizer.from_str(p.tokenizer) for p in (parts, expected))
    assert made.encode(TEXTS[1]).ids == known.encode(TEXTS[1]).ids
    assert parts.framing == expected.framing


def test_weights_in_shards_are_read(clip: Path) -> None:
    from safetensors.torch import load_file, save_file

    expected, _ = read(clip)
    state = load_file(clip / "model.safetensors")
    (clip / "model.safetensors").unlink()
    names = sorted(state)
    halves = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: state[name] for name in part}, clip / file)
    index = {name: file for file, part in halves.items() for name in part}
    (clip / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    parts, _ = read(clip)
    assert torch.equal(parts.words, expected.words)
    (clip / "model-2.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-2\.safetensors is missing"):
        read(clip)


def test_pickles_are_read_only_where_that_is_asked_for(clip: Path) -> None:
    from safetensors.torch import load_file

    expected, _ = read(clip)
    torch.save(load_file(clip / "model.safetensors"), clip / "pytorch_model.bin")
    (clip / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="is a pickle, which can run any code"):
        read(clip)
    parts, _ = read(clip, allow_pickle=True)
    assert torch.equal(parts.words, expected.words)


def test_a_pickle_that_runs_code_is_refused_even_then(clip: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (clip / "harmed",)

    torch.save({"a": Harm()}, clip / "pytorch_model.bin")
    (clip / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds more than tensors"):
        read(clip, allow_pickle=True)
    assert not (clip / "harmed").exists()


def change(path: Path, **fields: Any) -> None:
    """Other values in a JSON file; None takes one out."""
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def without_a_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    state.pop("text_projection.weight")
    save_file(state, folder / "model.safetensors")


def wider(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 40
    (folder / "config.json").write_text(json.dumps(config))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
    "cut weights": (cut, "damaged"),
    "a weight less": (without_a_weight, r"text_projection\.weight is missing"),
    "other sizes": (wider, "not of the sizes"),
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "no JSON object"),
    "no dual encoder": (
        lambda f: change(f / "config.json", model_type="bert"),
        "of type 'bert', not a dual encoder",
    ),
    "senseless sizes": (
        lambda f: change(f / "config.json", text_config={"hidden_size": 30}),
        "is no CLIPConfig",
    ),
    "no processor": (lambda f: (f / "preprocessor_config.json").unlink(), "preprocessor_config"),
    "processor is no JSON": (
        lambda f: (f / "preprocessor_config.json").write_text("{"),
        r"preprocessor_config\.json cannot be read",
    ),
    "another input size": (
        lambda f: change(f / "preprocessor_config.json", crop_size=48),
        "pictures of 48 pixels for a model that takes 32",
    ),
    "tokeniser is no JSON": (
        lambda f: (f / "tokenizer.json").write_text("{"),
        "tokeniser .* cannot be read",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_missing_damaged_or_something_else_is_named(clip: Path, fault: str) -> None:
    harm, message = FAULTS[fault]
    harm(clip)
    with pytest.raises(ModelError, match=message):
        read(clip)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"vision_cfg": {"timm_model_name": "vit_base_mci_224"}}, "timm_model_name='vit_base"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, "hf_model_name='roberta-base'"),
        ({"text_cfg": {"pool_type": "last"}}, "pool_type='last'"),
        ({"text_cfg": None}, "no object"),
        ({"vision_cfg": {"image_size": "large"}}, "is no CLIPConfig"),
        ({"multimodal_cfg": {"width": 8}}, "multimodal_cfg"),
    ],
)
def test_of_open_clip_what_is_more_than_a_plain_clip_is_refused(
    tmp_path: Path, model: dict[str, Any], message: str
) -> None:
    with quiet():
        folder = write_open_clip(tmp_path, **model)
    with pytest.raises(ModelError, match=message):
        read(folder)


def test_open_clip_with_quick_gelu_is_another_tower(tmp_path: Path) -> None:
    with quiet():
        folders = [write_open_clip(tmp_path / str(q), quick_gelu=q) for q in (False, True)]
    (plain, _), (quick, reference) = (read(folder) for folder in folders)
    with quiet():
        theirs = reference.texts(TEXTS[:1])[0]
    assert np.abs(encode(quick, TEXTS[0]) - theirs).max() < 1e-5
    assert np.abs(encode(plain, TEXTS[0]) - theirs).max() > 1e-5


def test_a_folder_with_both_configs_is_read_as_transformers_does(clip: Path) -> None:
    (clip / "open_clip_config.json").write_text("{}")
    parts, _ = read(clip)
    assert parts.family == "clip"


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        Checkpoint(tmp_path / "nothing")
