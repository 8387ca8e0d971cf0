"""The composer of joint encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composir.compose import QueryBatch, composer_names, load_composer
from composir.errors import ModelError, QueryError
from tests.fakes import COLOURS, ColourModel, JointColours

RED = Image.new("RGB", (8, 8), COLOURS["red"])


def batch(texts: Sequence[str], *, vectors: bool = True, images: bool = True) -> QueryBatch:
    count = len(texts)
    return QueryBatch(
        tuple(texts),
        ColourModel().encode_images([RED] * count) if vectors else None,
        [lambda: RED] * count if images else None,
    )


def test_reference_and_words_are_encoded_as_one_with_the_instruction() -> None:
    model = JointColours()
    composed = load_composer("joint", model).compose(batch(["green"] * 9))
    assert composed.vectors.shape == (9, 1, 4)
    assert [(len(parts), told) for parts, told in model.given] == [(2, "find it")] * 9
    assert np.allclose(composed.vectors[0, 0], model.encode([(RED, "green")], "")[0])


def test_one_part_alone_is_its_own_vector() -> None:
    model = JointColours()
    composer = load_composer(None, model)
    assert composer.name == "joint"
    red = model.encode_images([RED])
    assert np.allclose(composer.compose(batch([""])).vectors[0], red)
    assert np.allclose(composer.compose(batch([""], vectors=False)).vectors[0], red)
    words = composer.compose(QueryBatch(("green",)))
    assert np.allclose(words.vectors[0], model.encode_texts(["green"]))
    assert model.given == []


def test_negatives_rule_out_as_with_other_composers() -> None:
    asked = QueryBatch(("red",), negatives=(("blue",),))
    composed = load_composer("joint", JointColours()).compose(asked)
    gallery = ColourModel().encode_texts(list(COLOURS))
    lost = composed.similarities(gallery)[0] - composed.scores(gallery)[0]
    assert lost.argmax() == list(COLOURS).index("blue")


def test_vectors_without_pictures_do_not_do() -> None:
    with pytest.raises(QueryError, match="here are their vectors alone"):
        load_composer("joint", JointColours()).compose(batch(["green"], images=False))


def test_only_joint_encoders_have_it_and_they_have_no_spliced_one(tmp_path: Path) -> None:
    dual, together = ColourModel(), JointColours()
    assert "joint" not in composer_names(dual)
    assert "joint" in composer_names(together)
    with pytest.raises(QueryError, match=r"pictures and words apart, .*--rerank NAME"):
        load_composer("joint", dual)
    with pytest.raises(QueryError, match=r"no composer named isa .*closed to the pseudo-words"):
        load_composer("isa", together)
    from tests.tiny_bundle import make_bundle, make_composer

    folder = make_composer(tmp_path / "isa", make_bundle(tmp_path / "tiny"), "pixels")
    with pytest.raises(ModelError, match=r"joint-colours does not offer; .*closed to the pseudo"):
        load_composer(folder, together)
