"""The sidecar's columns: brought into the dataset without touching vectors or pictures.

Columns get the narrowest type that holds what is there and what comes: whole numbers widen to
floating point, anything else to text.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from composir.gallery import rows
from composir.gallery.progress import ProgressMeter
from composir.gallery.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from composir.gallery.sidecar import SidecarTable

Value: TypeAlias = str | int | float | bool | None

_WIDENED = "__widened"
_ROWS_A_COMMIT = 16_384


def apply_metadata(
    store: Store, sidecar: SidecarTable, roots: Sequence[Path], meter: ProgressMeter
) -> None:
    """Make the metadata of all images under some roots what a sidecar says.

    Rows that say so already are left alone, so running it again costs a scan.

    Args:
        store: Under the index lock.
        sidecar: The new metadata; a file that it does not name gets nulls.
        roots: Absolute folders.
        meter: Told about every row.
    """
    _finish_widening(store)
    changes: list[tuple[str, dict[str, Value]]] = []
    for image_id, old, new in _differences(store, sidecar, roots, meter):
        changes.append((image_id, {**dict.fromkeys(old), **new}))
        if len(changes) >= _ROWS_A_COMMIT:
            _commit(store, changes)
            changes = []
    if changes:
        _commit(store, changes)
    _drop_empty_columns(store)


def _differences(
    store: Store, sidecar: SidecarTable, roots: Sequence[Path], meter: ProgressMeter
) -> Iterable[tuple[str, dict[str, Value], dict[str, Value]]]:
    names = store.metadata_columns
    for batch in store.stream(["id", "path", "path_bytes", *names]):
        for row in batch.to_pylist():
            path = rows.decode_path(row["path"], row["path_bytes"])
            meter.done += 1
            meter.current = path
            meter.report()
            root = _root_of(path, roots)
            if root is None:
                continue
            new = {name: _clean(value) for name, value in sidecar.for_file(path, root).items()}
            old = {name: row[name] for name in names}
            if any(old.get(name) != new.get(name) for name in {*old, *new}):
                yield row["id"], old, new


def _root_of(path: Path, roots: Sequence[Path]) -> Path | None:
    text = str(path)
    return next(
        (r for r in roots if text == str(r) or text.startswith(str(r).rstrip(os.sep) + os.sep)),
        None,
    )


def _clean(value: Value) -> Value:
    return rows.clean_text(value) if isinstance(value, str) else value


def _commit(store: Store, changes: list[tuple[str, dict[str, Value]]]) -> None:
    import pyarrow as pa

    names = list(dict.fromkeys(name for _, values in changes for name in values))
    columns = {name: [values.get(name) for _, values in changes] for name in names}
    types = {name: _type_of(values) for name, values in columns.items()}
    _make_room(store, {name: kind for name, kind in types.items() if kind is not None})
    present = [name for name in names if name in store.schema.names]
    table = pa.table(
        {
            "id": pa.array([image_id for image_id, _ in changes], pa.string()),
            **{n: _column(columns[n], store.schema.field(n).type) for n in present},
        }
    )
    store.update(table)


def _column(values: list[Value], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if kind == pa.string():
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, kind)


def _type_of(values: Iterable[Value]) -> pa.DataType | None:
    import pyarrow as pa

    kind = None
    for value in values:
        if value is not None:
            kind = _wider(kind, pa.scalar(value).type)
    return kind


def _wider(old: pa.DataType | None, new: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if old is None or old == new:
        return new
    return pa.float64() if {old, new} == {pa.int64(), pa.float64()} else pa.string()


def _make_room(store: Store, types: dict[str, pa.DataType]) -> None:
    """Add the columns that are missing and widen those that are too narrow."""
    import pyarrow as pa

    schema = store.schema
    missing = [pa.field(name, kind) for name, kind in types.items() if name not in schema.names]
    if missing:
        store.dataset.add_columns(missing)
    for name, kind in types.items():
        if name in schema.names:
            wider = _wider(schema.field(name).type, kind)
            if wider != schema.field(name).type:
                _widen(store, name, wider)


def _widen(store: Store, name: str, kind: pa.DataType) -> None:
    sql = "double" if str(kind) == "double" else "string"
    store.dataset.add_columns({name + _WIDENED: f"cast({_quoted(name)} as {sql})"})
    store.dataset.drop_columns([name])
    _rename(store, name)


def _finish_widening(store: Store) -> None:
    """Complete what a killed run left between two commits."""
    for temporary in [name for name in store.schema.names if name.endswith(_WIDENED)]:
        name = temporary.removesuffix(_WIDENED)
        if name in store.schema.names:
            store.dataset.drop_columns([temporary])
        else:
            _rename(store, name)


def _rename(store: Store, name: str) -> None:
    alteration: Any = {"path": name + _WIDENED, "name": name}
    store.dataset.alter_columns(alteration)


def _drop_empty_columns(store: Store) -> None:
    """Remove columns that no image has a value in any more."""
    empty = [
        name
        for name in store.metadata_columns
        if store.dataset.count_rows(f"{_quoted(name)} IS NOT NULL") == 0
    ]
    if empty:
        store.dataset.drop_columns(empty)


def _quoted(name: str) -> str:
    return f"`{name}`"
