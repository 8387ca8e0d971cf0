"""`composir index`: read folders of pictures into a gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composir.cli import models
from composir.cli.index_notes import failure_lines, index_notes, print_report, told_changes
from composir.cli.merge import chosen_part, index_in_parts
from composir.cli.mirrored import changed_gallery, gallery_folder
from composir.cli.options import (
    CommercialOption,
    DeviceOption,
    GalleryOption,
    JsonOption,
    ModelOption,
    ThreadsOption,
)
from composir.cli.paths import gallery_words, writable_default_gallery
from composir.cli.progress import resumable_progress
from composir.cli.terminal import echo, note, printable
from composir.data.braces import expand
from composir.data.outputs import withdrawn_if_refused
from composir.data.remote_paths import RemotePath, as_path, is_remote
from composir.errors import DatasetError
from composir.limits import MOST_BATCH
from composir.types import IndexReport

if TYPE_CHECKING:
    from composir.gallery import Gallery
    from composir.model.base import EmbeddingModel


def _there(paths: list[Path]) -> list[Path]:
    """Refuse what is not on this machine; what an address names is seen when it is listed."""
    meant = [one for path in paths for one in _unbraced(path)]
    for path in meant:
        if not (is_remote(path) or path.exists()):
            raise typer.BadParameter(f"Path '{path}' does not exist.")
    return [one for path in meant for one in _named(path)]


def _unbraced(path: Path) -> Sequence[Path]:
    """What braces in quotes stand for, as a shell knows them; nothing has the very name."""
    try:
        names = expand(str(path))
    except ValueError as error:
        raise typer.BadParameter(f"{error}: name their folder.") from error
    if names == [str(path)] or _has_that_name(path):
        return [path]
    meant = [as_path(name) for name in names]
    missing = [one for one in meant if not (is_remote(one) or one.exists())]
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN_ROWS]))
        more = ", ..." if len(missing) > _SHOWN_ROWS else ""
        raise typer.BadParameter(
            f"'{path}' stands for {len(meant):,} names; of these {len(missing):,} do not exist: "
            f"{shown}{more}"
        )
    return meant


def _has_that_name(path: Path) -> bool:
    if not is_remote(path):
        return path.exists()
    from composir.data.object_store import check_address, list_folder

    address = RemotePath(path)
    check_address(address)
    return bool(list_folder(address, missing_ok=True))


def _named(path: Path) -> Sequence[Path]:
    """What a `*` in the last part of an address stands for, which no shell knows."""
    if not is_remote(path) or "*" not in path.name:
        return [path]
    from composir.data.object_store import matching

    found = matching(RemotePath(path))
    if not found:
        raise typer.BadParameter(f"Nothing is called '{path}'.")
    return found


Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH...",
        callback=_there,
        help="Folders (or files) of pictures, tar shards, Parquet; or s3://bucket/folder.",
    ),
]
Metadata = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="CSV, JSONL or Parquet with a column `file` and the columns to filter by.",
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=TYPE",
        help="Type of a metadata column that cannot be inferred: text, number, "
        "number:comma, number:dot, date, date:dmy, date:mdy, date:ymd or bool; repeat.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Skip matching paths, e.g. thumbs; repeatable. Remembered for the next run.",
    ),
]
NoExclude = Annotated[
    bool, typer.Option("--no-exclude", help="First forget the patterns of earlier runs.")
]
RetryFailures = Annotated[
    bool, typer.Option("--retry-failures", help="Retry what could not be read before.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_BATCH,
        show_default="32; of many pictures, what is fastest here, measured once",
        help="Images a model call; a number measures nothing.",
    ),
]
ShardChoice = Annotated[
    str | None,
    typer.Option(
        metavar="K/N",
        help="Only the K-th of N parts of the files, beside the gallery, for `composir merge`.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="auto|ADDRESS",
        help="Share the files out to the workers of a Ray cluster, and merge. `auto`: this "
        "machine's cluster, else processes here.",
    ),
]

_SHOWN_ROWS = 5
_SHOWN_COLUMNS = 30

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    epilog="`composir index ~/photos`\n\n"
    "`composir index shop/ --metadata shop.csv --gallery shop.gallery`\n\n"
    "`composir index shop/ --metadata shop.csv --column price=number:comma`\n\n"
    "`composir index ~/photos --exclude thumbs --retry-failures`\n\n"
    "`composir index s3://bucket/photos`, or any other store that fsspec knows\n\n"
    "`composir index s3://bucket/photos --gallery s3://bucket/gallery`\n\n"
    "`composir index shards/`, or `pictures-{0000..0012}.tar`: tar, Parquet, Arrow files\n\n"
    "`composir index /data/photos --shard 3/64 --gallery G`, on another machine `--shard 4/64` and "
    "so on, then `composir merge G`\n\n"
    "`composir index /data/photos --ray auto --gallery G`"
)
def index(
    paths: Paths,
    *,
    gallery: GalleryOption = None,
    metadata: Metadata = None,
    column: Column = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    exclude: Exclude = None,
    no_exclude: NoExclude = False,
    retry_failures: RetryFailures = False,
    batch_size: BatchSize = None,
    shard: ShardChoice = None,
    ray: RayAddress = None,
    commercial: CommercialOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read folders of pictures into a gallery, or bring a gallery up to date.

    Unchanged pictures are skipped, moved ones keep their vector, even from other folders; deleted
    ones are dropped (under the paths given only). It may be stopped at any time: the same command
    resumes.
    """
    from composir.gallery import Gallery

    types, part = _column_types(column or (), metadata), chosen_part(shard, ray, metadata)
    place, compute = gallery or writable_default_gallery(), models.Compute(threads, device)
    if part is not None:
        from composir.gallery.indexer import IndexSettings

        load = partial(models.gallery_model, gallery_folder(place, new=True), model, compute)
        encoder = _allowed(load(), commercial=commercial)
        run = IndexSettings(tuple(exclude or ()), no_exclude, retry_failures, batch_size)
        index_in_parts(place, (encoder, load), paths, part, run, cpus=threads, as_json=as_json)
        return
    with changed_gallery(place, new=True) as work:
        folder = work.folder
        encoder = _allowed(models.gallery_model(folder, model, compute), commercial=commercial)
        before = _switched(folder, encoder) if model is not None else None
        with _unless_refused(folder):
            opened = Gallery.create_or_open(folder, encoder)
            with resumable_progress(lambda: _stopped(opened)) as show:
                report = opened.index(
                    paths,
                    metadata=metadata,
                    columns=types,
                    exclude=tuple(exclude or ()),
                    forget_excludes=no_exclude,
                    retry_failures=retry_failures,
                    batch_size=batch_size,
                    progress=work.publishing(show),
                )
    if as_json:
        print_report(report, place, model_before=before)
    else:
        echo("\n".join(_lines(report, place, gallery_words(gallery))))


def _unless_refused(folder: Path) -> AbstractContextManager[None]:
    """What leaves no new gallery behind where a run is refused."""
    from composir.gallery import open_gallery
    from composir.gallery.gallery import NAMES
    from composir.gallery.mirror_note import MIRROR_NOTE

    def is_blank() -> bool:
        return len(open_gallery(folder)) == 0

    return withdrawn_if_refused(folder, NAMES, is_blank, beside={MIRROR_NOTE})


def _allowed(encoder: EmbeddingModel, *, commercial: bool) -> EmbeddingModel:
    """A model that may be used, and where it sends pictures to is told."""
    if commercial:
        models.refuse_uncommercial(encoder)
    models.note_receiver(encoder)
    return encoder


def _stopped(gallery: Gallery) -> str:
    return f"stopped; {len(gallery):,} pictures are in the gallery; the same command resumes."


def _lines(report: IndexReport, folder: Path, option: str) -> list[str]:
    return [
        f"{report.total:,} pictures in {printable(str(folder))}",
        told_changes(report),
        *index_notes(report, option),
        *_columns(report.columns),
        *_unmatched(report.unmatched),
        *failure_lines(report.failures),
    ]


def _switched(folder: Path, encoder: EmbeddingModel) -> str | None:
    """Give the gallery another model, where it has another; the name of the one before."""
    from composir.gallery.beside import is_of_another_model, switch_model
    from composir.gallery.manifest import is_gallery, read_manifest

    if not is_gallery(folder) or not is_of_another_model(folder, encoder):
        return None
    before = printable(read_manifest(folder).bundle.name)
    note(
        f"the gallery is the model {before}'s: indexing its pictures with "
        f"{printable(encoder.name)} beside; searches go on with {before} until that is done"
    )
    stopped = f"stopped; the gallery is still {before}'s; the same command resumes."
    with resumable_progress(lambda: stopped) as show:
        report = switch_model(folder, encoder, show)
    lost = f"; {report.dropped:,} were deleted or cannot be read" if report.dropped else ""
    note(f"the gallery is the model {printable(encoder.name)}'s now{lost}")
    return before


def _column_types(said: Sequence[str], metadata: Path | None) -> dict[str, str]:
    """The types that `--column` gives, by column."""
    if said and metadata is None:
        raise DatasetError("--column says how a metadata file is read: give it with --metadata")
    parts = [one.rpartition("=") for one in said]
    for one, (name, _, kind) in zip(said, parts, strict=True):
        if not name or not kind:
            raise DatasetError(f"--column takes NAME=TYPE, e.g. price=number:comma, not {one!r}")
    return {name.strip(): kind.strip().lower() for name, _, kind in parts}


def _columns(told: Mapping[str, str]) -> list[str]:
    """How the columns of the metadata were read."""
    if not told:
        return []
    width = max(map(len, told))
    lines = [f"  {printable(name):<{width}}  {printable(how)}" for name, how in told.items()]
    hidden = len(lines) - _SHOWN_COLUMNS
    more = [f"  ... and {hidden:,} more: composir info"] if hidden > 0 else []
    return ["metadata read as (--column NAME=TYPE says otherwise):", *lines[:_SHOWN_COLUMNS], *more]


def _unmatched(rows: Sequence[str]) -> list[str]:
    if not rows:
        return []
    shown = ", ".join(printable(row) for row in rows[:_SHOWN_ROWS])
    more = ", ..." if len(rows) > _SHOWN_ROWS else ""
    return [f"{len(rows):,} rows of the metadata are for none of the pictures: {shown}{more}"]
