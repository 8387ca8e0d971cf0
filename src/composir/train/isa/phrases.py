"""Neutral phrases: what people might ask to be changed, without looking at any data set."""

from __future__ import annotations

from pathlib import Path

from composir.errors import TrainingError


def read_phrases(file: Path) -> tuple[str, ...]:
    """Read phrases.

    Args:
        file: Text file, one phrase a line; an empty path for the packaged list.

    Returns:
        The phrases, in order, each once.

    Raises:
        TrainingError: If it cannot be read or holds fewer than two.
    """
    path = Path(__file__).with_name("phrases.txt") if file == Path() else file
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"phrases: {path} cannot be read as UTF-8 text: {error}") from error
    phrases = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(phrases) < 2:
        raise TrainingError(f"phrases: {path} holds {len(phrases)}; write one a line, two or more")
    return phrases
