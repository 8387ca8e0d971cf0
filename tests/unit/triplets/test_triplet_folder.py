"""Triplets on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from composir.bench.datasets.folder import load
from composir.bench.task import LoadOptions
from composir.data.datasets import QueryRow
from composir.errors import DatasetError, OutputError
from composir.pages.triplet_sheet import triplet_sheet
from composir.triplets import ImageSet, Made, MakeSettings, make_triplets
from composir.triplets.records import Pair, SyntheticTriplet, WrittenText
from composir.triplets.sieve import FilterSettings
from composir.triplets.templates import TemplateWriter
from composir.triplets.triplet_folder import (
    choose_rows,
    claim_folder,
    read_rows,
    recipe_of,
    write_triplets,
)
from tests.fakes import ColourModel
from tests.unit.triplets.world import rows_of, shop_source

SETTINGS = MakeSettings(
    count=20, vary=("colour",), group=("kind",), filters=FilterSettings(max_similarity=0.999)
)


def written(folder: Path) -> tuple[Path, ImageSet, Made]:
    source, model, writer = shop_source(folder), ColourModel(), TemplateWriter()
    recipe = recipe_of(source, model, writer, SETTINGS)
    out = folder / "triplets"
    claim_folder(out, recipe)
    made = make_triplets(source, model, writer, SETTINGS)
    write_triplets(out, source, made, recipe, {"triplets": len(made.triplets)})
    return out, source, made


def test_a_benchmark_reads_the_folder_as_it_is(tmp_path: Path) -> None:
    out, source, made = written(tmp_path)
    (task,) = load(out, LoadOptions())
    assert len(task.queries) == len(made.triplets) == 20
    assert task.gallery == tuple(image.id for image in source.images)
    assert all(picture.path.is_file() for picture in task.pictures.values())
    assert not (out / "images").exists()


def test_every_row_says_where_it_comes_from(tmp_path: Path) -> None:
    out, _, _ = written(tmp_path)
    for row in rows_of(out / "queries.jsonl"):
        origin = row["provenance"]
        assert origin["writer"] == "template"
        assert "{new}" in origin["template"] or "{a_new}" in origin["template"]
        assert origin["target_fit"] >= origin["reference_fit"]
        assert (origin["model"], origin["seed"]) == ("colours", 0)
        assert row["type"] == "attribute:colour"
        assert row["reference"] not in row["targets"]


def test_the_gallery_keeps_what_was_known(tmp_path: Path) -> None:
    out, _, _ = written(tmp_path)
    first = rows_of(out / "gallery.jsonl")[0]
    assert first["colour"] == "Red"
    assert first["file"] == "../shop/images/cup-red.png"


def test_the_same_recipe_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    out, source, _ = written(tmp_path)
    model, writer = ColourModel(), TemplateWriter()
    claim_folder(out, recipe_of(source, model, writer, SETTINGS))
    other = recipe_of(source, model, writer, replace(SETTINGS, seed=7))
    with pytest.raises(DatasetError, match=r"of another recipe: seed \(0 there, 7 asked\)"):
        claim_folder(out, other)
    with pytest.raises(DatasetError, match="model_fingerprint"):
        claim_folder(out, recipe_of(source, ColourModel("colours-2"), writer, SETTINGS))


def test_names_of_no_encoding_and_half_characters_survive(tmp_path: Path) -> None:
    source = shop_source(tmp_path)
    renamed = source.images[0].file.with_name("caf\udce9.png")
    row = {"file": "?", "caption": "half \ud83d of it, and \u00e9"}
    first = replace(source.images[0], id="caf\udce9", file=renamed, row=row)
    recipe = {"model": "m", "seed": 0}
    pair = Pair("image", 1, 0)
    triplet = SyntheticTriplet(pair, WrittenText("in \udce9", "in \udce9", {}), 0.5, 0.5, 0.5)
    made = Made((first, *source.images[1:]), (triplet,), (), {}, {}, ())
    write_triplets(tmp_path, source, made, recipe, {})
    (query,) = rows_of(tmp_path / "queries.jsonl")
    assert (query["targets"], query["text"]) == (["caf\udce9"], "in \udce9")
    shown = rows_of(tmp_path / "gallery.jsonl")[0]
    assert shown["file"] == "?"
    assert shown["caption"] == row["caption"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"holds something else \(photo.jpg\); name a new"):
        claim_folder(tmp_path, {})
    with pytest.raises(OutputError, match="is a file, but a folder is needed"):
        claim_folder(tmp_path / "photo.jpg", {})


def test_the_page_shows_text_pictures_and_origin_and_loads_nothing(tmp_path: Path) -> None:
    out, _, _ = written(tmp_path)
    rows = read_rows(out)
    chosen = choose_rows(rows, 6, seed=0)
    page = triplet_sheet(out, chosen, len(rows))
    assert page.count('<article class="triplet">') == 6
    assert page.count("data:image/jpeg;base64,") == 12
    assert "6 of 20 triplets" in page
    assert "attribute:colour · " in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_escapes_and_survives_lost_pictures(tmp_path: Path) -> None:
    out, _, _ = written(tmp_path)
    row = rows_of(out / "queries.jsonl")[0] | {"text": "<script>alert(1)</script>"}
    (tmp_path / "shop" / "images" / f"{row['reference']}.png").unlink()
    page = triplet_sheet(out, [_shown(row), _shown(row | {"reference": "nobody"})], 2)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "not in the gallery" in page
    assert page.count('class="lost"') == 2


def test_an_unfinished_folder_says_so(tmp_path: Path) -> None:
    claim_folder(tmp_path / "new", {"seed": 1})
    with pytest.raises(DatasetError, match="begun but not finished; run its make command again"):
        read_rows(tmp_path / "new")
    (tmp_path / "new" / "recipe.json").write_text("{")
    with pytest.raises(DatasetError, match="damaged"):
        claim_folder(tmp_path / "new", {"seed": 1})


def _shown(row: dict[str, Any]) -> QueryRow:
    return QueryRow(**row)


def test_looking_shows_every_kind() -> None:
    rows = [_shown({"type": "a", "id": n}) for n in range(50)]
    rows += [_shown({"type": "b", "id": n}) for n in range(2)]
    kinds = [row.type for row in choose_rows(rows, 6, seed=3)]
    assert sorted(map(str, kinds)) == ["a", "a", "a", "a", "b", "b"]
    assert choose_rows(rows, 6, 3) == choose_rows(rows, 6, 3)
