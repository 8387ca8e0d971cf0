"""The command line, in process and with a model of colours, on tiny pictures."""

import shlex
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner, Result

from composir.cli.main import app
from tests.fakes import COLOURS


def composir(*words: str | Path) -> Result:
    """Run one command; stdout, stderr and exit code come back."""
    return CliRunner().invoke(app, [str(word) for word in words])


def typed(line: str) -> Result:
    """Run one command as typed in a shell, e.g. `composir search "a dog"`."""
    program, *words = shlex.split(line)
    assert program == "composir"
    return composir(*words)


def paint(path: Path, colour: str, size: tuple[int, int] = (40, 30)) -> Path:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).save(path)
    return path


def paint_all(folder: Path) -> list[Path]:
    """One picture of each colour: red.png, green.png, ..."""
    return [paint(folder / f"{colour}.png", colour) for colour in COLOURS]
