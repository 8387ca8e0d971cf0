"""Training through a model that `models add` made of a real checkpoint: transformers' own CLIP."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the foundation extra")

from composir.foundation.importer import import_model  # noqa: E402
from composir.foundation.text_tower import TextTower  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from tests.foundation.checkpoints import write_clip  # noqa: E402
from tests.torch.towers import TEXT  # noqa: E402
from tests.torch.trainers import TRAINERS, Trainer, check_query, write_data  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    checkpoint = write_clip(
        folder / "checkpoint", hidden_size=TEXT.width
    )  # as the tests' composers
    import_model(checkpoint, folder / "bundle", name="tiny-clip")
    write_data(folder)
    return folder


def test_the_tower_trained_through_is_the_imported_one(home: Path) -> None:
    foundation = FrozenFoundation.load(home / "bundle")
    text = foundation.model.manifest.text

    assert isinstance(foundation.text, TextTower)
    assert foundation.text.spec.to_fields() == text.spec
    assert text.tower is not None


@pytest.mark.parametrize("trainer", TRAINERS.values(), ids=TRAINERS)
def test_every_trainer_runs_on_it(home: Path, tmp_path: Path, trainer: Trainer) -> None:
    manifest = trainer(home, tmp_path / "run")
    model = load_model(home / "bundle")

    assert manifest.text == model.text_checksum
    check_query(tmp_path / "run" / "composer", model)
