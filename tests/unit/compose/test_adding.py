"""The composer of docs/adding-a-composer.md, as the page prints it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from composir.compose import COMPOSERS, Composer, QueryBatch, load_composer
from composir.errors import QueryError
from tests.fakes import ColourModel

PAGE = Path(__file__).parents[3] / "docs" / "adding-a-composer.md"
MODEL = ColourModel()


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    line = re.search(r'`"(limited-turn)": "([\w.]+):LimitedTurn"`', text)
    assert len(code) == 1
    assert line is not None
    module = ModuleType(line[2])
    monkeypatch.setitem(sys.modules, line[2], module)
    exec(compile(code[0], str(PAGE), "exec"), module.__dict__)
    monkeypatch.setitem(COMPOSERS, line[1], f"{line[2]}:LimitedTurn")


def turned(**settings: float) -> tuple[Composer, float, float]:
    """The composer, and how far (degrees) its query for red and blue is from either."""
    composer = load_composer("limited-turn", MODEL, **settings)
    red, blue = MODEL.encode_texts(["red", "blue"])
    vector = composer.compose(QueryBatch(("blue",), red[None])).vectors[0, 0]
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    angles = [float(np.degrees(np.arccos(np.clip(vector @ end, -1, 1)))) for end in (red, blue)]
    return composer, angles[0], angles[1]


@pytest.mark.parametrize("degrees", [10.0, 30.0])
def test_it_turns_by_the_angle_that_it_was_given(degrees: float) -> None:
    composer, from_reference, _ = turned(degrees=degrees)

    assert from_reference == pytest.approx(degrees, abs=0.1)
    assert (composer.name, composer.settings) == ("limited-turn", {"degrees": degrees})


def test_it_never_goes_beyond_the_text() -> None:
    assert turned(degrees=180.0)[2] == pytest.approx(0.0, abs=0.1)


def test_bad_settings_and_missing_parts_are_refused() -> None:
    with pytest.raises(QueryError, match="degrees must be from 0 to 180"):
        load_composer("limited-turn", MODEL, degrees=200.0)
    with pytest.raises(QueryError, match="no setting alpha; its settings are degrees"):
        load_composer("limited-turn", MODEL, alpha=0.5)
    with pytest.raises(QueryError, match="needs a reference image and words"):
        load_composer("limited-turn", MODEL).compose(QueryBatch(("blue",)))
