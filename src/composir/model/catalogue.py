"""Named models: one name, one folder."""

from __future__ import annotations

from pathlib import Path

from composir.errors import ModelError
from composir.model.bundle import Bundle
from composir.model.model import Model
from composir.model.sessions import check_threads

PACKAGED = {"mini": Path(__file__).parent / "mini"}


def load_model(name_or_path: str | Path = "mini", *, threads: int | None = None) -> Model:
    """Load a model by name or from a bundle folder.

    Args:
        name_or_path: `mini` (packaged), or the path of a bundle folder.
        threads: Threads of the runtime; None for all cores of this process.

    Returns:
        The model; its graphs are read at first use.

    Raises:
        ModelError: If there is no such model.
        BundleError: If the folder is no bundle, or damaged.
    """
    check_threads(threads)
    folder = PACKAGED.get(str(name_or_path)) or Path(name_or_path).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"no model named {name_or_path}: known names are {', '.join(PACKAGED)}; "
            "or give the path of a bundle folder"
        )
    return Model(Bundle.load(folder), threads)
