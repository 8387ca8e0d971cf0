"""The sidecar's columns: brought into the dataset without touching vectors or pictures.

A column has the type that the sidecar gives it, whatever it was before, where all its values come
from there. Where images outside the roots keep values of another type it is widened to hold both:
whole numbers to floating point, dates to moments, anything else to text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composir.gallery import rows
from composir.gallery.column_types import Kind, Value
from composir.gallery.progress import ProgressMeter
from composir.gallery.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from composir.gallery.sidecar import SidecarTable

_WIDENED = rows.WIDENED
_ROWS_A_COMMIT = 16_384


def apply_metadata(
    store: Store, sidecar: SidecarTable, roots: Sequence[Path], meter: ProgressMeter
) -> None:
    """Make the metadata of all images under some roots what a sidecar says.

    Rows that say so already are left alone, so running it again costs a scan.
    """
    finish_widening(store)
    places = _make_room(store, sidecar, roots)
    changes: list[tuple[str, dict[str, Value]]] = []
    for change in _differences(store, sidecar, roots, places, meter):
        changes.append(change)
        if len(changes) >= _ROWS_A_COMMIT:
            _commit(store, changes)
            changes = []
    if changes:
        _commit(store, changes)
    for name, place in places.items():
        if place != name:
            store.dataset.drop_columns([name])
            _rename(store, name)
    _drop_empty_columns(store)


def _differences(
    store: Store,
    sidecar: SidecarTable,
    roots: Sequence[Path],
    places: Mapping[str, str],
    meter: ProgressMeter,
) -> Iterable[tuple[str, dict[str, Value]]]:
    """Ids of the rows to change, each with the values of all columns; `places` of `_make_room`."""
    types = {place: store.schema.field(place).type for place in places.values()}
    for path, row in store.stream_rows(["id", *types]):
        meter.done += 1
        meter.current = path
        meter.report()
        root = _root_of(path, roots)
        if root is None:
            continue
        said = sidecar.for_file(path, root)
        new = {place: _fitted(said.get(name), types[place]) for name, place in places.items()}
        if any(row[place] != value for place, value in new.items()):
            yield row["id"], new


def _root_of(path: Path, roots: Sequence[Path]) -> Path | None:
    text = str(path)
    return next(
        (r for r in roots if text == str(r) or text.startswith(str(r).rstrip(os.sep) + os.sep)),
        None,
    )


def _fitted(value: Value, kind: pa.DataType) -> Value:
    """A value as a column of this type, which is wide enough, holds it."""
    import pyarrow as pa

    if value is None:
        return None
    if kind == pa.string():
        return rows.clean_text(_as_text(value))
    if kind == pa.timestamp("us") and not isinstance(value, datetime) and isinstance(value, date):
        return datetime.combine(value, time())
    return float(value) if kind == pa.float64() and isinstance(value, int) else value


def _as_text(value: Value) -> str:
    if isinstance(value, date):  # moments too
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value)


def _commit(store: Store, changes: list[tuple[str, dict[str, Value]]]) -> None:
    import pyarrow as pa

    columns = {
        name: pa.array([values[name] for _, values in changes], store.schema.field(name).type)
        for name in changes[0][1]
    }
    ids = pa.array([image_id for image_id, _ in changes], pa.string())
    store.update(pa.table({"id": ids, **columns}))


def _make_room(store: Store, sidecar: SidecarTable, roots: Sequence[Path]) -> dict[str, str]:
    """Add the columns that are missing, and widen or renew those of another type."""
    import pyarrow as pa

    old = {name: store.schema.field(name).type for name in store.metadata_columns}
    new = {name: _arrow_type(kind) for name, kind in sidecar.columns.items() if sidecar.holds(name)}
    others = [name for name, kind in new.items() if name in old and kind != old[name]]
    kept = _columns_with_values_elsewhere(store, others, roots)
    renewed = [name for name in others if name not in kept]
    added = [pa.field(name, kind) for name, kind in new.items() if name not in old]
    added += [pa.field(name + _WIDENED, new[name]) for name in renewed]
    if added:
        store.dataset.add_columns(added)
    for name in kept:
        wider = _wider(old[name], new[name])
        if wider != old[name]:
            _widen(store, name, wider)
    return {name: name + _WIDENED if name in renewed else name for name in {**old, **new}}


def _arrow_type(kind: Kind) -> pa.DataType:
    import pyarrow as pa

    types = {
        str: pa.string(),
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
        date: pa.date32(),
        datetime: pa.timestamp("us"),
    }
    return types[kind]


def _columns_with_values_elsewhere(
    store: Store, names: Sequence[str], roots: Sequence[Path]
) -> set[str]:
    """Those in which images outside the roots, which the sidecar does not speak of, have values."""
    found: set[str] = set()
    if not names:
        return found
    for path, row in store.stream_rows(names):
        if len(found) < len(names) and _root_of(path, roots) is None:
            found |= {name for name in names if row[name] is not None}
    return found


def _wider(old: pa.DataType, new: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    for narrow, wide in ((pa.int64(), pa.float64()), (pa.date32(), pa.timestamp("us"))):
        if {old, new} == {narrow, wide}:
            return wide
    return old if old == new else pa.string()


def _widen(store: Store, name: str, kind: pa.DataType) -> None:
    sql = {"double": "double", "string": "string"}.get(str(kind), "timestamp(6)")
    store.dataset.add_columns({name + _WIDENED: f"cast({_quoted(name)} as {sql})"})
    store.dataset.drop_columns([name])
    _rename(store, name)


def finish_widening(store: Store) -> None:
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
