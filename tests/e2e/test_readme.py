"""Every command and every Python example of README and docs, run as written on tiny pictures."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from composir.cli import index, models, models_verb, search
from tests.containers import pack, picture
from tests.e2e.commands import composir, paint, paint_all
from tests.fakes import ColourModel

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/cli.md", "docs/models.md")
# Of these, only the options are checked here: they take long, serve, fetch, or need a trained
# composer or another model.
LONG_VERBS = {"bench", "train", "triplets", "export", "models", "reindex", "serve"}
NEED_MORE = {"--composer", "--message", "--rerank"}


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(page: str) -> Iterator[list[str]]:
    """The words of each composir command."""
    for language, block in blocks(page):
        if not language:
            for line in block.splitlines():
                if line.startswith("composir "):
                    yield shlex.split(line, comments=True)[1:]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the pages speak of."""
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setattr("composir.model.open_model", lambda *_a, **_k: ColourModel())
    monkeypatch.setattr("typer.launch", lambda _uri: 0)
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("COMPOSIR_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "archive", "shop"):
        paint_all(tmp_path / folder)
    pack(tmp_path / "shards" / "0000.tar", {"red.png": picture("red")})
    for name in ("lamp.jpg", "ref.jpg", "red-lamp.jpg", "desk-lamp.jpg", "room.jpg"):
        paint(tmp_path / name, "red")
    (tmp_path / "shop.csv").write_text("file,colour,price\ngreen.png,green,39.9\nred.png,red,9\n")
    return tmp_path


def test_who_installs_for_training_learns_of_the_cpu_wheel() -> None:
    install, training = (
        (ROOT / "README.md").read_text("utf-8").split(f"## {name}")[1].split("\n## ")[0]
        for name in ("Install", "Train your own")
    )
    assert "'.[train]'" in install
    assert "**CPU wheel**" in install
    assert "CPU wheel: see Install" in training


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs_as_written(world: Path, page: str) -> None:
    found = list(commands(page))
    assert len(found) >= 5
    for words in found:
        at_home = [word.replace("~/", f"{world}/") for word in words]
        needs_store = any(word.startswith("s3://") for word in words)
        if words[0] in LONG_VERBS or NEED_MORE & set(words) or needs_store:
            at_home.append("--help")
        result = composir(*at_home)
        assert result.exit_code == 0, f"composir {shlex.join(words)}\n{result.output}"


def test_every_python_example_runs_as_written(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    composir("index", "shop", "--metadata", "shop.csv", "--gallery", "shop.gallery")
    examples = [block for language, block in blocks("README.md") if language == "python"]
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
    assert ".png" in capsys.readouterr().out


@pytest.mark.parametrize("page", [*PAGES, "docs/index.md"])
def test_no_link_between_pages_is_dead(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []


def test_every_verb_and_option_is_in_the_reference() -> None:
    from composir.cli.main import VERBS

    reference = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"composir {verb}" in reference
    for app in (index.app, search.app):
        options = {name for one in get_command(app).params for name in one.opts}
        assert {name for name in options if name.startswith("--")} > {"--gallery", "--json"}
        for name in options:
            assert not name.startswith("-") or name in reference
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    for command in get_command(models_verb.app).commands.values():  # type: ignore[attr-defined]
        for name in {name for one in command.params for name in one.opts}:
            assert not name.startswith("--") or name in page
