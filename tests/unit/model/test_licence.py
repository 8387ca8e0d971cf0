"""What a licence's text says of commercial use; in doubt it does not allow it."""

from __future__ import annotations

import pytest

from composir.errors import LicenceError
from composir.model import load_model
from composir.model.known_models import KNOWN
from composir.model.licence import check_commercial, commercial_use


@pytest.mark.parametrize(
    "text",
    [
        "Apache-2.0",
        "apache license 2.0",
        "MIT",
        "BSD-3-Clause",
        "CC0-1.0",
        "CC BY 4.0",
        "cc-by-4.0",
    ],
)
def test_these_allow_it(text: str) -> None:
    assert commercial_use(text).answer == "allowed"
    check_commercial("the model x", text)


@pytest.mark.parametrize(
    "text",
    [
        "CC BY-NC 4.0",
        "cc-by-nc-sa-4.0",
        "MIT, for non-commercial use",
        "noncommercial",
        "research use; pictures owned by their photographers",
        "apple-amlr",
        "Apache-2.0 code; weights not for commercial purposes",
        "commercial use requires a contract",
        "for academic use",
    ],
)
def test_these_restrict_it(text: str) -> None:
    assert commercial_use(text).answer == "restricted"
    with pytest.raises(LicenceError, match="the licence of the model x does not allow commercial"):
        check_commercial("the model x", text)


@pytest.mark.parametrize(
    "text", ["", "unknown", "gemma", "MIT perhaps, but unclear", "permit limited"]
)
def test_what_nobody_knows_is_refused_with_the_reason(text: str) -> None:
    assert commercial_use(text).answer == "unknown"
    with pytest.raises(LicenceError, match="is not known to allow commercial use") as refused:
        check_commercial("the composer x", text)
    assert (text or "none is stated") in str(refused.value)


def test_the_packaged_model_says_itself_that_some_of_its_pictures_were_for_research() -> None:
    assert commercial_use(load_model().manifest.licence).answer == "restricted"


def test_known_models_are_told_apart() -> None:
    found = {one.name: commercial_use(one.licence).answer for one in KNOWN}
    assert found["clip-vit-base-patch32"] == found["siglip2-base-patch16-224"] == "allowed"
    assert found["mobileclip2-s0"] == "restricted"
    assert len(found) == len(KNOWN)
