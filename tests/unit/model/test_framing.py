"""Sentences framed by data: families of text encoders, and bundles of earlier versions as ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer

from composir.errors import BundleError, ModelError, QueryError
from composir.model import Bundle, Model, load_model
from composir.model.framing import Framing, dropped
from composir.model.sessions import open_session
from composir.model.text_graph import TextGraph
from composir.types import FloatArray
from tests.tiny_bundle import FAMILIES, WORDS, colour_vector, make_bundle, text_graph

BRASS = "a photo of {} in brass, with a very long handle"


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    return make_bundle(tmp_path / "tiny", family=request.param)


def family_of(model: Model) -> str:
    assert model.manifest.family is not None
    return model.manifest.family


def ids(*words: str) -> list[int]:
    return [WORDS.index(word) for word in words]


# --- Bundles of earlier versions ------------------------------------------------------------------


class Before:
    """The text side as it was before framings: the tokeniser frames, halves lose their frames."""

    def __init__(self, model: Model) -> None:
        bundle, text = model.bundle, model.manifest.text
        self.limit = text.max_tokens
        self.tokenizer = Tokenizer.from_file(str(bundle.file(text.tokenizer)))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.limit)
        self.session = open_session(bundle.file(text.graph), 1)
        self.embed = model.texts.embed

    def encode(self, sentences: Sequence[FloatArray]) -> FloatArray:
        length = max(map(len, sentences))
        words = np.zeros((len(sentences), length, sentences[0].shape[1]), dtype=np.float32)
        mask = np.zeros((len(sentences), length), dtype=np.float32)
        for row, sentence in enumerate(sentences):
            words[row, : len(sentence)], mask[row, : len(sentence)] = sentence, 1.0
        feeds = {"word_embeddings": words, "mask": mask}
        vectors: FloatArray = self.session.run(["vector"], feeds)[0]
        return vectors

    def plain(self, text: str) -> FloatArray:
        return self.embed(self.tokenizer.encode(text).ids)

    def spliced(self, template: str, words: FloatArray) -> FloatArray:
        head, tail = (self.tokenizer.encode(half).ids for half in template.split("{}"))
        room = self.limit - len(head[:-1]) - len(words) - 1
        after = [*tail[1:-1][:room], tail[-1]]
        return np.concatenate([self.embed(head[:-1]), words, self.embed(after)])


def test_the_packaged_model_answers_bit_for_bit_as_before() -> None:
    model = load_model("mini", threads=1)
    before, words = Before(model), model.texts.embed([3899, 2417])  # any two rows
    texts = ["a red lamp", "", "Ünïcode [SEP] 红色", "x " * 300]
    templates = [BRASS, "{}", "a cartoon of {}", "{} that " + "glows " * 300]

    for text in texts:
        assert np.array_equal(model.encode_texts([text]), before.encode([before.plain(text)]))
    for template in templates:
        ours, _ = model.texts.encode_spliced([template], [words])
        assert np.array_equal(ours, before.encode([before.spliced(template, words)]))


def test_a_manifest_without_framing_says_nothing_new(tmp_path: Path) -> None:
    written = json.loads((make_bundle(tmp_path / "tiny").bundle.folder / "bundle.json").read_text())

    assert not {"framing", "tower", "spec"} & written["text"].keys()
    assert "family" not in written


def test_what_preprocessing_leaves_unsaid_changes_no_fingerprint(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny").bundle
    later = bundle.manifest.image.preprocess.model_copy(update={"exact": None})
    image = bundle.manifest.image.model_copy(update={"preprocess": later})
    other = Bundle(bundle.folder, bundle.manifest.model_copy(update={"image": image}))

    assert other.fingerprint == bundle.fingerprint


def test_a_tokenizer_that_frames_otherwise_needs_a_framing(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny", family="siglip")
    path = model.bundle.folder / "bundle.json"
    manifest = json.loads(path.read_text())
    del manifest["text"]["framing"]
    path.write_text(json.dumps(manifest))

    with pytest.raises(BundleError, match=r"with 0 tokens, not 2; text\.framing"):
        load_model(model.bundle.folder).texts.encode_spliced(["{}"], [np.zeros((1, 4), np.float32)])


# --- Families -------------------------------------------------------------------------------------


def test_texts_have_the_frame_of_their_family(model: Model) -> None:
    framed = {"clip": [1, *ids("a", "red"), 2], "siglip": [*ids("a", "red"), 2]}
    assert model.texts.tokenise(["a red"]) == [framed.get(family_of(model), framed["clip"])]


@pytest.mark.parametrize("text", ["red", "a photo of red", "red " * 40, "that it is red"])
def test_texts_become_their_colours(model: Model, text: str) -> None:
    vectors = model.encode_texts([text, "blue", text])

    for vector, colour in zip(vectors, ("red", "blue", "red"), strict=True):
        assert vector == pytest.approx(colour_vector(colour), abs=1e-3)


def test_any_text_gives_a_unit_vector(model: Model) -> None:
    for text in ("", "   ", "красная", "\x00\n", "!!!", "a \ud800 b"):
        assert np.linalg.norm(model.encode_texts([text])[0]) == pytest.approx(1.0, abs=1e-4)


def test_pseudo_words_read_like_words(model: Model) -> None:
    words = model.texts.embed(ids("red"))
    for template in ("a photo of {} that blue", "{}", "{} blue", "blue of {}"):
        spliced, states = model.texts.encode_spliced([template], [words])

        text = template.replace("{}", "red")
        assert np.array_equal(spliced, model.encode_texts([text]))
        assert len(states[0]) == len(model.texts.tokenise([text])[0])


def test_sentences_of_many_lengths_share_a_run(model: Model) -> None:
    texts = ["red", "a photo of blue that red", "blue blue blue", "", "a a a a a a red"]
    together = model.encode_texts(texts)

    alone = np.concatenate([model.encode_texts([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the graph was given last."""
    given: dict[str, Any] = {}
    run = TextGraph.run

    def remembering(graph: TextGraph, sentences: Any, **more: Any) -> Any:
        given.update(sentences=sentences, **more)
        return run(graph, sentences, **more)

    monkeypatch.setattr(TextGraph, "run", remembering)
    return given


def test_the_place_of_pooling_follows_the_pseudo_words(model: Model, fed: dict[str, Any]) -> None:
    words = np.zeros((3, 4), dtype=np.float32)
    for template, length in (("a photo of {}", 8), ("a photo of {} that red", 10)):
        model.texts.encode_spliced([template], [words])

        assert fed["places"] == [{"clip": length - 1, "siglip": 15, "bert": 0}[family_of(model)]]


def test_padding_to_one_length_is_the_pads_own_embedding(
    tmp_path: Path, fed: dict[str, Any]
) -> None:
    model = make_bundle(tmp_path / "tiny", family="siglip")
    table = np.load(model.bundle.folder / "words.npy")
    table[3] = [0, 0, 0, 0.25]  # of the pad
    np.save(model.bundle.folder / "words.npy", table)
    model.bundle.file = lambda name: model.bundle.folder / name  # type: ignore[method-assign]
    model.encode_texts(["red", "red blue that"])

    for sentence, length in zip(fed["sentences"], (2, 4), strict=True):
        assert sentence.shape == (16, 4)
        assert (sentence[length:] == table[3]).all()
        assert not (sentence[length - 1] == table[3]).all()


def test_padding_may_stand_before_a_sentence(tmp_path: Path, fed: dict[str, Any]) -> None:
    model = make_bundle(tmp_path / "tiny", family="siglip")
    text = model.manifest.text
    framing = text.framing.model_copy(update={"padding_side": "left"})  # type: ignore[union-attr]
    left = model.manifest.model_copy(update={"text": text.model_copy(update={"framing": framing})})
    other = Model(Bundle(model.bundle.folder, left), threads=1)
    _, states = other.texts.encode_spliced(["{} that"], [colour_vector("red")[None]])

    assert np.array_equal(fed["sentences"][0][13], colour_vector("red"))
    assert fed["places"] == [15]
    assert states[0].shape == (3, 4)
    assert states[0][-1] == pytest.approx(colour_vector("red"), abs=1e-3)


def test_texts_are_cleaned_as_the_bundle_says(tmp_path: Path) -> None:
    siglip = make_bundle(tmp_path / "siglip", family="siglip").texts
    clip = make_bundle(tmp_path / "clip", family="clip").texts

    assert siglip.tokenise(["A  Red-, photo!"]) == [[*ids("a", "red", "photo"), 2]]
    assert clip.tokenise(["Red!"]) == [[1, 0, 0, 2]]  # unknown words both


# --- Too long -------------------------------------------------------------------------------------


def test_what_stands_before_the_pseudo_words_is_cut_first(model: Model) -> None:
    words = colour_vector("red")[None]
    room = 15 - len(model.texts.vocabulary.frame[0])  # behind the pseudo-word, with the end's token
    exact = "a photo of {} that" + " it" * (room - 3) + " blue"
    long = "a photo of {} that" + " it" * room + " blue"
    vectors, states = model.texts.encode_spliced([exact, long], [words] * 2)

    both = model.encode_texts(["red blue", "red"])
    assert vectors[0] == pytest.approx(both[0], abs=1e-3)  # the end is still read
    assert vectors[1] == pytest.approx(both[1], abs=1e-3)
    assert [len(state) for state in states] == [16, 16]
    assert model.texts.unread(exact, 1) == "a photo of"
    assert model.texts.unread(long, 1) == "a photo of … it it blue"


def test_what_fits_is_read_whole(model: Model) -> None:
    assert model.texts.unread("a photo of {} that blue", 1) == ""
    assert model.texts.unread("a photo of {}") == ""  # no template: words alone
    assert model.texts.unread("red " * 20 + "blue").endswith("red blue")


def test_what_is_not_read_is_told_as_it_was_written(model: Model) -> None:
    room = 16 - sum(map(len, model.texts.vocabulary.frame))
    lost = model.texts.unread("it " * room + "Rosé  blue")

    assert lost in ("Rosé  blue", "rosé blue")  # cleaned, where the bundle says so


def test_of_bundles_without_framing_the_end_is_cut(tmp_path: Path) -> None:
    texts = make_bundle(tmp_path / "tiny").texts
    assert texts.unread("a photo of {} that" + " it" * 12 + " blue", 1) == "it it it blue"
    assert texts.unread("red " * 20 + "blue").endswith("red blue")
    with pytest.raises(QueryError, match="1 pseudo-words do not fit 16 tokens"):
        texts.encode_spliced(["a " * 20 + "{}"], [np.zeros((1, 4), dtype=np.float32)])


def test_pseudo_words_that_do_not_fit_are_refused(model: Model) -> None:
    most = 16 - sum(map(len, model.texts.vocabulary.frame))
    words = np.repeat(colour_vector("red")[None], most + 1, axis=0)

    vectors, _ = model.texts.encode_spliced(["a photo of {} blue"], [words[:most]])
    assert vectors[0] == pytest.approx(colour_vector("red"), abs=1e-3)
    with pytest.raises(QueryError, match=f"{most + 1} pseudo-words do not fit 16 tokens"):
        model.texts.encode_spliced(["{}"], [words])


def test_a_sentence_longer_than_all_are_padded_to_is_refused(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny", family="siglip")
    with pytest.raises(ModelError, match="17 tokens; this model reads 16"):
        model.texts.encode_embeddings([np.zeros((17, 4), dtype=np.float32)])


@pytest.mark.parametrize(
    ("before", "after", "room", "expected"),
    [(3, 4, 7, (0, 0)), (3, 4, 5, (2, 0)), (3, 4, 2, (3, 2)), (3, 4, 0, (3, 4)), (0, 0, -1, None)],
)
def test_how_much_goes(
    before: int, after: int, room: int, expected: tuple[int, int] | None
) -> None:
    framing = Framing(pad=0, pooling="mean")
    assert dropped(framing, before, after, room) == expected


# --- Manifests that contradict themselves or their graph ------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pooling": "eot", "closing": []}, "needs a closing token"),
        ({"opening": [1, 1]}, "at most 1 item"),
        ({"pad": -1}, "greater than or equal to 0"),
        ({"pooling": "max"}, "'eot', 'last', 'cls' or 'mean'"),
        ({"temperature": 0}, "greater than 0"),
    ],
)
def test_framings_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Framing.model_validate(FAMILIES["clip"] | fields)


def test_one_length_is_the_limit(tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "tiny", family="siglip").bundle.folder / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["text"]["max_tokens"] = 20
    path.write_text(json.dumps(manifest))

    with pytest.raises(BundleError, match="padded to 16 tokens, but cut at 20"):
        load_model(path.parent)


def test_a_frame_outside_of_the_table_is_refused(tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "tiny", family="clip").bundle.folder / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["text"]["framing"]["closing"] = [999]
    path.write_text(json.dumps(manifest))

    with pytest.raises(BundleError, match="framed by the tokens 999, but its table has 16 words"):
        load_model(path.parent).encode_texts(["red"])


def test_a_graph_that_cannot_be_told_the_end_is_refused(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny", family="clip")
    text_graph(tmp_path / "plain.onnx")

    with pytest.raises(ModelError, match="it must take eot, mask, word_embeddings"):
        model.with_text_graph(tmp_path / "plain.onnx").encode(["red"])


def test_a_graph_that_finds_its_place_itself_need_not_be_told(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny", family="bert")
    text_graph(tmp_path / "plain.onnx")

    untold = model.with_text_graph(tmp_path / "plain.onnx").encode(["a red"])
    assert untold[0] == pytest.approx(colour_vector("red"), abs=1e-3)


def test_picture_grids_may_have_any_shape(tmp_path: Path) -> None:
    from PIL import Image

    model = make_bundle(tmp_path / "tiny", family="siglip")
    pictures = [Image.new("RGB", (9, 7), "red"), Image.new("RGB", (5, 5), "blue")] * 3
    vectors, patches = model.encode_patches(model.image_spec.apply_each(pictures))

    assert patches.shape == (6, 2, 3)
    assert np.allclose(vectors[1], colour_vector("blue"), atol=1e-5)
