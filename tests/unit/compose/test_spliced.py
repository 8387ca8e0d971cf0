"""Trained composers of every kind, run on graphs small enough to work their vectors out by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.compose import QueryBatch, composer_names, load_composer, open_trained
from composir.compose.sphere import normalised
from composir.compose.spliced import SplicedComposer
from composir.compose.trained import MANIFEST_NAME, ComposerFolder, save_composer
from composir.errors import BundleError, ModelError, QueryError
from composir.model import Model, load_model
from composir.model.bundle import save_manifest
from composir.model.sessions import open_session, run_graph
from composir.types import FloatArray
from tests.fakes import COLOURS, ColourModel
from tests.tiny_bundle import colour_vector, make_bundle, make_composer, text_graph, write_graph

INPUTS = ("vector", "patch_tokens", "pixels")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_bundle(tmp_path_factory.mktemp("model") / "tiny")


def picture(colour: str) -> Callable[[], Image.Image]:
    return lambda: Image.new("RGB", (30, 20), COLOURS[colour])


def ask(model: Model, *texts: str, colour: str = "red", **fields: Any) -> QueryBatch:
    opened = [picture(colour)] * len(texts)
    vectors = model.encode_images([one() for one in opened])
    return replace(QueryBatch(texts, vectors, opened), **fields)


def mixed(*colours: str, weights: tuple[float, ...] | None = None) -> FloatArray:
    rows = np.stack([colour_vector(colour) for colour in colours])
    return unit(np.average(rows, axis=0, weights=weights))


def unit(row: FloatArray) -> FloatArray:
    return normalised(np.asarray(row, dtype=np.float32))


@pytest.mark.parametrize("takes", INPUTS)
def test_a_reference_takes_its_place_among_the_words(
    model: Model, tmp_path: Path, takes: str
) -> None:
    composer = load_composer(make_composer(tmp_path / "tiny-map", model, takes), model)
    composed = composer.compose(ask(model, "is blue", "is green")).vectors

    assert composer.name == "tiny-map"
    np.testing.assert_allclose(composed[0, 0], mixed("red", "blue"), atol=1e-3)
    np.testing.assert_allclose(composed[1, 0], mixed("red", "green"), atol=1e-3)


@pytest.mark.parametrize("takes", INPUTS)
def test_an_image_alone_is_its_own_sentence_and_words_alone_their_text(
    model: Model, tmp_path: Path, takes: str
) -> None:
    composer = load_composer(make_composer(tmp_path, model, takes), model)
    alone = composer.compose(ask(model, "")).vectors[0, 0]
    words = composer.compose(QueryBatch(("a blue photo of *",))).vectors[0, 0]

    np.testing.assert_allclose(alone, colour_vector("red"), atol=1e-3)
    np.testing.assert_allclose(words, colour_vector("blue"), atol=1e-3)


def test_the_blend_follows_its_weights(model: Model, tmp_path: Path) -> None:
    settings = {"sentence": 0.0, "direction": 1.5, "image": 1.0, "text": 0.5}
    folder = make_composer(tmp_path, model, settings=settings)
    composed = load_composer(folder, model).compose(ask(model, "is blue")).vectors[0, 0]
    red, blue = colour_vector("red"), colour_vector("blue")
    expected = 1.5 * (mixed("red", "blue") - red) + red + 0.5 * blue

    np.testing.assert_allclose(composed, unit(expected), atol=1e-3)


def test_settings_override_the_composers_own(model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path, model)
    composer = load_composer(folder, model, sentence=0.0, text=1.0)

    np.testing.assert_allclose(
        composer.compose(ask(model, "is blue")).vectors[0, 0], colour_vector("blue"), atol=1e-3
    )
    assert composer.settings["text"] == 1.0
    with pytest.raises(QueryError, match=r"tiny.*alpha.*its settings are sentence, direction"):
        load_composer(make_composer(tmp_path / "tiny", model), model, alpha=0.5)


def test_negatives_cost_pictures_that_show_them(model: Model, tmp_path: Path) -> None:
    composer = load_composer(make_composer(tmp_path, model), model)
    gallery = np.stack([colour_vector(name) for name in COLOURS])
    green = list(COLOURS).index("green")
    plain = composer.compose(ask(model, "is blue")).scores(gallery)[0]
    without = composer.compose(ask(model, "is blue", negatives=(("green",),))).scores(gallery)[0]

    assert without[green] < plain[green] - 0.1
    assert without.argmax() == plain.argmax()


def test_a_star_says_where_the_reference_stands(model: Model, tmp_path: Path) -> None:
    composer = load_composer(make_composer(tmp_path, model), model)
    composed = composer.compose(ask(model, "a blue blue photo of *")).vectors[0, 0]

    np.testing.assert_allclose(composed, mixed("red", "blue", weights=(1, 2)), atol=1e-3)


def test_an_adapted_text_encoder_reads_composed_sentences_alone(
    model: Model, tmp_path: Path
) -> None:
    text_graph(tmp_path / "text.onnx", factor=(1.0, 1.0, 3.0, 1.0))
    folder = make_composer(tmp_path, model, kind="adapted", text_graph="text.onnx")
    composer = load_composer(folder, model)
    both = composer.compose(ask(model, "is blue")).vectors[0, 0]
    expected = mixed("red", "blue") * np.array([1, 1, 3, 1], dtype=np.float32)

    np.testing.assert_allclose(both, unit(expected), atol=1e-3)
    alone = composer.compose(ask(model, "")).vectors[0, 0]
    np.testing.assert_allclose(alone, colour_vector("red"), atol=1e-3)


def test_a_switchable_encoder_reads_both_ways_and_the_models_own_stays_closed(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def opening(path: Path, *others: Any) -> Any:
        opened.append(path)
        return open_session(path, *others)

    monkeypatch.setattr("composir.model.text_graph.open_session", opening)
    text_graph(tmp_path / "text.onnx", factor=(1.0, 1.0, 3.0, 1.0), switchable=True)
    fields: dict[str, Any] = {"kind": "adapted", "text_graph": "text.onnx", "switchable": True}
    settings = {"sentence": 0.0, "direction": 1.5, "image": 1.0, "text": 0.5}
    folder = make_composer(tmp_path, model, settings=settings, **fields)
    composer = load_composer(folder, Model(model.bundle, threads=1))
    found = composer.compose(ask(model, "is blue")).vectors[0, 0]

    red, blue = colour_vector("red"), colour_vector("blue")
    asked = unit(mixed("red", "blue") * np.array([1, 1, 3, 1], dtype=np.float32))
    expected = 1.5 * (asked - red) + red + 0.5 * blue
    np.testing.assert_allclose(found, unit(expected), atol=1e-3)
    assert opened == [folder / "text.onnx"]
    words = composer.compose(QueryBatch(("a blue photo",))).vectors[0, 0]
    np.testing.assert_allclose(words, blue, atol=1e-3)
    assert opened[1:] == [model.bundle.folder / "text.onnx"]


def test_all_sentences_of_a_query_are_read_in_one_run(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[list[float]] = []

    def counted(session: Any, path: Path, outputs: Any, feeds: Any) -> Any:
        runs.append(feeds["adapters"].tolist())
        return run_graph(session, path, outputs, feeds)

    text_graph(tmp_path / "text.onnx", factor=(1.0, 1.0, 3.0, 1.0), switchable=True)
    fields: dict[str, Any] = {"kind": "adapted", "text_graph": "text.onnx", "switchable": True}
    folder = make_composer(tmp_path, model, **fields)
    monkeypatch.setattr("composir.model.text_graph.run_graph", counted)
    for settings, kinds in (
        ({"sentence": 1.0}, [1.0]),
        ({"sentence": 0.0, "direction": 1.0, "text": 0.5}, [0.0, 0.0, 1.0]),
        ({"sentence": 0.0, "image": 1.0, "text": 1.0}, [0.0]),
    ):
        blended = load_composer(str(folder), model, **settings)
        blended.compose(ask(model, "is blue", "is green"))
        assert sorted(runs.pop()) == sorted(2 * kinds)
        assert not runs


def test_a_graph_that_is_said_to_switch_and_cannot_is_named(model: Model, tmp_path: Path) -> None:
    text_graph(tmp_path / "text.onnx", factor=(1.0, 1.0, 3.0, 1.0))
    fields: dict[str, Any] = {"kind": "adapted", "text_graph": "text.onnx", "switchable": True}
    composer = load_composer(
        make_composer(tmp_path, model, settings={"direction": 1.0}, **fields), model
    )

    with pytest.raises(ModelError, match=r"text\.onnx has no input 'adapters'"):
        composer.compose(ask(model, "is blue"))


def test_tokens_and_attention_are_told(model: Model, tmp_path: Path) -> None:
    composer = open_trained(make_composer(tmp_path, model, "pixels"), model)
    half = Image.new("RGB", (8, 8), (127, 127, 127))
    half.paste((0, 0, 255), (4, 4, 8, 8))
    tokens = composer.tokens(QueryBatch(("",), images=[lambda: half]))

    assert tokens.words.shape == (1, 1, 4)
    assert tokens.attention is not None
    assert tokens.attention.shape == (1, 1, 2, 2)
    assert tokens.attention.sum() == pytest.approx(1.0, abs=1e-5)
    assert tokens.attention[0, 0].argmax() == 3
    vector = open_trained(make_composer(tmp_path / "v", model, "vector"), model)
    assert vector.tokens(ask(model, "")).attention is None


def test_tokens_from_a_device_compose_as_pictures_do(model: Model, tmp_path: Path) -> None:
    composer = open_trained(make_composer(tmp_path, model, "pixels"), model)
    batch = ask(model, "is blue")
    words = composer.tokens(batch).words
    sent = QueryBatch(batch.texts)

    np.testing.assert_array_equal(
        composer.compose_tokens(words, sent).vectors, composer.compose(batch).vectors
    )
    with pytest.raises(ModelError, match=r"shape \(n, 1, 4\), not \(1, 2, 4\)"):
        composer.compose_tokens(np.zeros((1, 2, 4), np.float32), sent)
    with pytest.raises(ModelError, match="NaN or infinite"):
        composer.compose_tokens(words * np.float32(np.inf), sent)
    with pytest.raises(QueryError, match="2 rows of pseudo-words for 1 queries"):
        composer.compose_tokens(np.concatenate([words, words]), sent)
    with pytest.raises(QueryError, match=r"own vector \(image=0\.5\), which is missing"):
        composer.with_settings(image=0.5).compose_tokens(words, sent)


@pytest.mark.parametrize("takes", ["patch_tokens", "pixels"])
def test_vectors_alone_do_not_serve_a_composer_that_looks(
    model: Model, tmp_path: Path, takes: str
) -> None:
    composer = load_composer(make_composer(tmp_path, model, takes), model)
    blind = ask(model, "is blue", images=None)
    with pytest.raises(QueryError, match="needs the references' pixels, not their vectors alone"):
        composer.compose(blind)


def test_many_references_go_in_order(model: Model, tmp_path: Path) -> None:
    composer = open_trained(make_composer(tmp_path, model, "pixels"), model)
    colours = ["red", "green", "blue", "yellow"] * 5
    batch = QueryBatch(("",) * 20, images=[picture(colour) for colour in colours])
    expected = np.stack([colour_vector(colour) for colour in colours])

    np.testing.assert_allclose(composer.tokens(batch).words[:, 0], expected, atol=1e-3)


def test_a_light_query_side_needs_no_gallery_encoder(model: Model, tmp_path: Path) -> None:
    costs = {"query_parameters": 10, "query_flops": 20, "query_bytes": 30}
    light = open_trained(make_composer(tmp_path, model, "pixels", efficiency=costs), model)

    assert light.efficiency.query_parameters == 10
    assert light.travel_bytes == 8
    assert not light.needs_vectors
    heavy = light.with_settings(image=0.5)
    assert heavy.needs_vectors
    assert heavy.efficiency.query_parameters is None  # the bundle does not state its own
    assert heavy.travel_bytes is None


def test_the_light_sides_own_vector_takes_the_references_place(
    model: Model, tmp_path: Path
) -> None:
    folder = make_composer(tmp_path, model, "pixels", vector=True)
    light = open_trained(folder, model).with_settings(sentence=1.0, image=2.0)
    green = ask(model, "is blue", image_vectors=colour_vector("green")[None])
    expected = unit(mixed("red", "blue") + 2 * colour_vector("red"))

    assert not light.needs_vectors
    assert light.travel_bytes == 8 + 8
    for batch in (green, replace(green, image_vectors=None)):
        np.testing.assert_allclose(light.compose(batch).vectors[0, 0], expected, atol=1e-3)
    alone = light.compose(replace(green, texts=("",))).vectors[0, 0]
    np.testing.assert_allclose(alone, colour_vector("red"), atol=1e-3)


def test_a_vector_that_is_promised_has_to_be_there(model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path, model, "pixels")
    made = ComposerFolder.load(folder).manifest.model_dump(exclude={"schema_version", "files"})
    save_composer(folder, made | {"vector": True})
    with pytest.raises(ModelError, match="vector"):
        open_trained(folder, model).tokens(ask(model, ""))
    with pytest.raises(ValueError, match="belongs to the input `pixels`"):
        make_composer(tmp_path / "other", model, "patch_tokens", vector=True)


def test_the_gallery_encoders_costs_are_added_where_it_is_needed(tmp_path: Path) -> None:
    stated = {"query_parameters": 100.0, "query_flops": 1000.0}
    model = make_bundle(tmp_path / "tiny", efficiency=stated)
    costs = {"query_parameters": 10, "query_flops": 20, "query_bytes": 30}
    found = open_trained(make_composer(tmp_path / "c", model, efficiency=costs), model).efficiency

    assert (found.query_parameters, found.query_flops, found.query_bytes) == (110, 1020, None)


def test_composers_of_a_bundle_go_by_name(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny")
    make_composer(tmp_path / "tiny" / "composers" / "tiny-map", model)
    packaged = make_bundle(
        tmp_path / "tiny",
        default_composer="tiny-map",
        composers={"tiny-map": {"image": 0.25}},
    )

    assert packaged.fingerprint == model.fingerprint
    assert composer_names(packaged)[-1] == "tiny-map"
    assert load_composer(None, packaged).settings["image"] == 0.25
    assert load_composer("tiny-map", packaged, image=0.75).settings["image"] == 0.75
    with pytest.raises(QueryError, match=r"known: image, .*, tiny-map; or give the folder"):
        load_composer("magic", packaged)


def test_a_damaged_packaged_composer_is_found(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny")
    folder = make_composer(tmp_path / "tiny" / "composers" / "tiny-map", model)
    packaged = make_bundle(tmp_path / "tiny")
    graph = folder / "query.onnx"
    graph.write_bytes(bytes(reversed(graph.read_bytes())))

    composer = load_composer("tiny-map", packaged)
    with pytest.raises(BundleError, match=r"query\.onnx is damaged"):
        composer.compose(ask(packaged, "is blue"))


def test_another_model_is_refused(model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path / "c", model)
    other = make_bundle(tmp_path / "other", patches=False)
    with pytest.raises(ModelError, match="another gallery encoder"):
        load_composer(folder, other)
    shutil.copytree(model.bundle.folder, tmp_path / "reworded")
    text_graph(tmp_path / "reworded" / "text.onnx", factor=(1, 2, 1, 1))
    fields = model.manifest.model_dump(exclude={"schema_version", "files"})
    save_manifest(tmp_path / "reworded", fields)
    with pytest.raises(ModelError, match="another text encoder"):
        load_composer(folder, load_model(tmp_path / "reworded"))
    with pytest.raises(ModelError, match="the model colours does not offer"):
        load_composer(folder, ColourModel())


def test_a_bundle_without_patch_tokens_says_so(tmp_path: Path) -> None:
    plain = make_bundle(tmp_path / "plain", patches=False)
    composer = load_composer(make_composer(tmp_path / "c", plain, "patch_tokens"), plain)
    with pytest.raises(ModelError, match="has no spatial features"):
        composer.compose(ask(plain, "is blue"))


def test_a_graph_that_gives_something_else_is_refused(model: Model, tmp_path: Path) -> None:
    wide = make_composer(tmp_path / "wide", model, tokens=2)
    with pytest.raises(ModelError, match=r"shape \(n, 2, 4\), not \(1, 1, 4\)"):
        load_composer(wide, model).compose(ask(model, "is blue"))
    (tmp_path / "named").mkdir()
    graph = """<ir_version: 9, opset_import: ["" : 18]>
    query (float[n,4] vector) => (float[n,4] words) { words = Identity (vector) }"""
    named = make_composer(tmp_path / "named", model)
    write_graph(graph, named / "query.onnx")
    fields = open_trained(wide, model).folder.manifest.model_dump(
        exclude={"schema_version", "files"}
    )
    save_composer(named, fields)
    with pytest.raises(ModelError, match=r"gives words; it must take vector and give tokens"):
        load_composer(named, model).compose(ask(model, "is blue"))


def test_a_sentence_is_not_made_of_a_vector(model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path, model, "vector", kind="pseudo_word")
    manifest = folder / MANIFEST_NAME
    manifest.write_text(manifest.read_text("utf-8").replace('"pseudo_word"', '"sentence"'), "utf-8")
    with pytest.raises(BundleError, match="made of pixels or patch tokens"):
        load_composer(folder, model)


def test_a_search_encodes_its_reference_once(model: Model) -> None:
    red = picture("red")()
    vector = model.encode_images([red])
    pixels = model.image_spec.apply_each([red, picture("blue")(), red])
    vectors, patches = model.encode_patches(pixels[:1])

    np.testing.assert_array_equal(vector, vectors)
    assert patches.shape == (1, 4, 3)
    several, _ = model.encode_patches(pixels)
    np.testing.assert_allclose(several[1], colour_vector("blue"), atol=1e-3)
    np.testing.assert_array_equal(model.encode_images([picture("blue")()])[0], several[1])


def test_a_trained_composer_is_a_composer(model: Model, tmp_path: Path) -> None:
    composer = load_composer(make_composer(tmp_path, model), model)

    assert isinstance(composer, SplicedComposer)
    assert composer.traits.star
