from pathlib import Path

import pytest

from composir.cli.paths import default_gallery, writable_default_gallery
from composir.data.places import data_folder, user_folder, writable_user_folder
from composir.errors import ComposirError

HOME = Path("/home/ada")


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {}, "/home/ada/.local/share/composir"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/composir"),
        ("darwin", {}, "/home/ada/Library/Application Support/composir"),
        ("win32", {"LOCALAPPDATA": "/appdata"}, "/appdata/composir"),
        ("win32", {}, "/home/ada/AppData/Local/composir"),
        ("linux", {"COMPOSIR_HOME": "/mine", "XDG_DATA_HOME": "/data"}, "/mine"),
    ],
)
def test_data_lies_where_the_platform_keeps_it(
    platform: str, environment: dict[str, str], folder: str
) -> None:
    assert data_folder(environment, platform, HOME) == Path(folder)


def test_the_gallery_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSIR_HOME", "/mine")
    monkeypatch.delenv("COMPOSIR_GALLERY", raising=False)
    assert default_gallery() == Path("/mine/galleries/default")
    monkeypatch.setenv("COMPOSIR_GALLERY", "/elsewhere")
    assert default_gallery() == Path("/elsewhere")


def test_a_home_that_cannot_be_written_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "file" / "below"))
    monkeypatch.delenv("COMPOSIR_GALLERY", raising=False)
    with pytest.raises(ComposirError, match=r"file is no folder.*set COMPOSIR_HOME to a folder"):
        writable_user_folder()
    with pytest.raises(
        ComposirError, match=r"file is no folder.*--gallery.*COMPOSIR_GALLERY.*COMPOSIR_HOME"
    ):
        writable_default_gallery()
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "a" / "gallery"))
    assert writable_default_gallery() == tmp_path / "a" / "gallery"
    assert not (tmp_path / "a").exists()


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("COMPOSIR_HOME", raising=False)
    with pytest.raises(ComposirError, match=r"no home folder; set COMPOSIR_HOME"):
        user_folder()
    monkeypatch.setenv("COMPOSIR_HOME", "/mine")
    assert user_folder() == Path("/mine")
