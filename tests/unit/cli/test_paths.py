from pathlib import Path

import pytest

from composir.cli.paths import data_folder, default_gallery

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
