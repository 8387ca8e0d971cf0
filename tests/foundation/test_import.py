"""A checkpoint becomes a bundle that answers as the family's own code does, or nothing at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")
pytest.importorskip("onnxscript", reason="needs the foundation extra")

import torch

from composir.compose.phrase_files import all_phrases
from composir.errors import ModelError
from composir.foundation import export, importer
from composir.foundation.importer import import_model
from composir.foundation.parity import Parity, gallery
from composir.foundation.parts import Parts
from composir.foundation.text_tower import TextTowerSpec, load_text_tower
from composir.foundation.transformers_code import quiet
from composir.gallery.confidence import Kind, calibration_of
from composir.model import load_model
from tests.foundation.checkpoints import write_clip
from tests.foundation.imported import Imported

pytestmark = pytest.mark.torch

# Short, mixed, longer than either tower reads.
TEXTS = ["a cat", "The RED square, of 3 circles!", "is that the photo of a blue cat " * 6]


def test_texts_and_pictures_get_the_vectors_of_the_familys_own_code(imported: Imported) -> None:
    pictures = gallery(6)
    with quiet():
        texts = imported.reference.texts(TEXTS)
        shown = imported.reference.pictures(imported.reference.pixels(pictures[:1]))
    assert np.abs(imported.model.encode_texts(TEXTS) - texts).max() < 1e-4
    # Pixels may be rounded otherwise by one of 255.
    assert np.abs(imported.model.encode_images(pictures[:1]) - shown).max() < 2e-3
    pixels = imported.model.image_spec.apply_each(pictures)
    assert imported.model.encode_patches(pixels)[1].shape == (6, 16, 24)


def test_a_texts_vector_does_not_hang_on_its_company(imported: Imported) -> None:
    together = imported.model.encode_texts(TEXTS)
    alone = np.concatenate([imported.model.encode_texts([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5


def test_words_spliced_into_a_sentence_make_that_sentence(imported: Imported) -> None:
    texts = imported.model.texts
    vocabulary = texts.vocabulary
    framing = imported.manifest.text.framing
    assert framing is not None
    start, end = len(framing.opening), -len(framing.closing)
    spliced = vocabulary.embed(vocabulary.tokenise(["the red"])[0][start:end])
    vectors, _ = texts.encode_spliced(["a photo of {} square"], [spliced])
    assert np.abs(vectors - texts.encode(["a photo of the red square"])).max() < 1e-5


def test_the_torch_tower_of_the_bundle_is_the_graphs(imported: Imported) -> None:
    text = imported.manifest.text
    assert text.tower is not None
    assert text.spec is not None
    tower = load_text_tower(imported.model.bundle.file(text.tower), text.spec)
    words = torch.randn(2, 16, imported.manifest.word_dimension)
    mask, eot = torch.ones(2, 16), torch.tensor([15, 15])
    mask[0, 9:], eot[0] = 0.0, 8
    with torch.no_grad():
        vectors, states = tower(words, mask, eot)
    feeds = {"word_embeddings": words.numpy(), "mask": mask.numpy(), "eot": eot.numpy()}
    ours = run(imported.model.bundle.file(text.graph), feeds)
    assert np.abs(ours["vector"] - vectors.numpy()).max() < 1e-5
    assert np.abs(ours["token_states"][1] - states[1].numpy()).max() < 1e-4


def run(graph: Path, feeds: Mapping[str, Any]) -> dict[str, Any]:
    from composir.model.sessions import open_session

    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def test_the_manifest_tells_where_it_comes_from_and_how_near_it_is(imported: Imported) -> None:
    manifest = imported.manifest
    assert manifest.family == manifest.name
    licences = {"blip": "bsd-3-clause", "clip": "mit", "siglip": "apache-2.0"}
    assert manifest.licence == licences[manifest.name]
    assert manifest.training["imported_from"] == "some-model"
    assert manifest.image.preprocess.exact == "transformers"
    parity = Parity.model_validate(manifest.training["parity"])
    parity.check()
    assert parity.text < 1e-4
    assert parity.against == "the family's own code (transformers)"
    lines = parity.lines()
    assert set(lines) <= set(imported.said)
    assert [line for line in lines if "vectors of texts" in line and "1e-04" in line]
    assert str(imported.source.parent) not in manifest.model_dump_json()


def test_numbers_of_its_space_are_measured_and_said(imported: Imported) -> None:
    manifest = imported.manifest
    framing = manifest.text.framing
    assert framing is not None
    replace = {} if framing.temperature is None else {"temperature": framing.temperature}
    assert manifest.composers.get("replace", {}) == replace
    assert manifest.default_composer in {"sum", "slerp"}
    assert {"sum", "slerp"} <= set(manifest.composers)
    assert manifest.copy_similarity is not None
    assert any(f"cosine of {manifest.copy_similarity:.3f}" in line for line in imported.said)
    mean = imported.model.mean_image
    assert mean is not None
    assert mean.shape == (manifest.dimension,)
    assert sum("confidence of" in line for line in imported.said) == 4
    assert all(calibration_of(imported.model, kind) for kind in get_args(Kind))


def test_phrases_of_the_lexicon_come_with_it(imported: Imported) -> None:
    known = imported.model.known_texts
    assert tuple(known) == all_phrases()
    texts = all_phrases()[:3]
    vectors = np.stack([known[text] for text in texts])
    np.testing.assert_allclose(vectors, imported.model.encode_texts(texts), atol=1e-3)


def test_int8_that_changes_rankings_is_told_and_left_out(imported: Imported) -> None:
    told = imported.manifest.training["int8"]
    assert set(told) == {"gallery_image.onnx", "text.onnx"}
    assert not any(cost["kept"] for cost in told.values())
    assert all(0.98 < cost["cosine"] < 1.0 for cost in told.values())
    assert sum("float32 stays" in line for line in imported.said) == 2
    matching = ["matching.safetensors"] if imported.manifest.text.matching else []
    assert sorted(path.name for path in imported.model.bundle.folder.iterdir()) == [
        "README.md",
        "bundle.json",
        "gallery_image.onnx",
        *matching,
        "mean_image.npy",
        "phrases.npy",
        "phrases.txt",
        "spread.npy",
        "text.onnx",
        "text_tower.safetensors",
        "tokenizer.json",
        "word_embeddings.npy",
    ]


def test_int8_that_keeps_rankings_takes_the_graphs_place(
    imported: Imported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from composir.foundation.quantise import quantised_graphs

    folder = shutil.copytree(imported.model.bundle.folder, tmp_path / "copy")
    monkeypatch.setattr("composir.foundation.quantise.GATE", 0.0)
    before = imported.model.encode_texts(TEXTS)
    told = quantised_graphs(load_model(folder), lambda _line: None)
    assert all(cost["kept"] for cost in told.values())
    fields = imported.manifest.model_dump(exclude={"schema_version", "files"})
    from composir.model.bundle import save_manifest

    save_manifest(folder, fields)
    after = load_model(folder).encode_texts(TEXTS)
    cosines = (before * after).sum(axis=1)
    assert cosines.min() > 0.98
    assert np.abs(before - after).max() > 0.0


@pytest.fixture
def towers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that an export takes, for what comes before it or goes wrong in it."""
    monkeypatch.setattr(export, "write_files", lambda parts, folder: None)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    with quiet():
        return write_clip(tmp_path / "clip")


def left(destination: Path) -> list[str]:
    return sorted(path.name for path in destination.parent.iterdir())


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_nothing_half_added_remains(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(parts: Parts, folder: Path) -> None:
        (folder / "text.onnx").write_text("half")
        raise error

    monkeypatch.setattr(export, "write_files", broken)
    destination = tmp_path / "models" / "clip"
    with pytest.raises(ModelError if isinstance(error, OSError) else KeyboardInterrupt):
        import_model(clip, destination, name="clip")
    assert left(destination) == []


def test_what_a_killed_process_left_goes_with_the_next_import(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = (tmp_path / "models" / f".composir-tmp-clip-{age}" for age in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "text.onnx").write_text("half")
    os.utime(old, (0, 0))
    monkeypatch.setattr(importer, "_exported", refuse)
    with pytest.raises(ModelError, match="refused"):
        import_model(clip, tmp_path / "models" / "clip", name="clip")
    assert left(tmp_path / "models" / "clip") == [young.name]


def refuse(*_: object) -> None:
    raise ModelError("refused")


def test_a_bundle_that_computes_something_else_is_refused(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Parity(pixels=0, image=0.0, text=3e-3, top10_images=1, top10_texts=0.9)
    monkeypatch.setattr(export, "write_files", lambda parts, folder: None)
    monkeypatch.setattr(importer, "save_manifest", lambda folder, fields: None)
    monkeypatch.setattr(importer, "measure", lambda *_: bad)
    monkeypatch.setattr(importer, "Bundle", SimpleNamespace(load=lambda _: None))
    monkeypatch.setattr(importer, "Model", lambda _: None)
    destination = tmp_path / "models" / "clip"
    with pytest.raises(ModelError, match=r"of texts .* differ by 3\.0e-03.*top10_texts: 90%"):
        import_model(clip, destination, name="clip")
    assert left(destination) == []


def test_what_is_there_already_stays(clip: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "bundle.json").write_text("mine")
    with pytest.raises(ModelError, match="exists already"):
        import_model(clip, taken, name="clip")
    assert (taken / "bundle.json").read_text() == "mine"


def test_a_full_disk_is_told_before_anything_is_written(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _place: usage(10, 9, 1))
    with pytest.raises(ModelError, match=r"needs .* GB, and .* has 0\.0 GB left"):
        import_model(clip, tmp_path / "models" / "clip", name="clip")
    assert left(tmp_path / "models" / "clip") == []


def test_a_word_table_is_halved_only_where_vectors_do_not_show_it(tmp_path: Path) -> None:
    from composir.foundation.text_tower import TextTower

    torch.manual_seed(0)
    tower = TextTower(TextTowerSpec(8, 8, 16, 1, 2, 16)).eval()
    exact = torch.randn(30, 16).half().float()
    for words, kind in ((exact, np.float16), (exact * 1e6, np.float32)):
        export.write_words(words, tower, tmp_path / "words.npy")
        stored = np.load(tmp_path / "words.npy")
        assert stored.dtype == kind
        assert np.array_equal(stored.astype(np.float32), words.numpy())
