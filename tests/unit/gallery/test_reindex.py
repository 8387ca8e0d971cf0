"""Another model for a gallery in steps: what is kept when, and what a kill in between leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from composir.errors import GalleryError, GalleryNotFoundError, QueryError
from composir.gallery import Gallery, open_gallery
from composir.gallery.beside import Beside, switch_model
from composir.gallery.comparison import (
    compare_models,
    read_queries,
    sampled_queries,
    table_beside,
)
from composir.gallery.forget import Forgetting
from composir.gallery.manifest import GalleryManifest, other_table, read_manifest
from composir.gallery.other_models import OTHER_MODELS_NAME, OtherModels, read_other_models
from composir.gallery.reindex import (
    discard_others,
    models_of,
    prepare_model,
    roll_back,
    switch_to_prepared,
)
from composir.gallery.repair import repair_gallery
from composir.gallery.store import Store
from composir.types import Query
from tests.fakes import COLOURS, ColourModel
from tests.unit.gallery.pictures import plain
from tests.unit.gallery.test_beside import Scene, Turned

OTHER = other_table("turned-1")


class Doubled(Turned):
    """A third model."""

    name = "doubled"

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = "doubled-1"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def own_model(scene: Scene) -> str:
    return read_manifest(scene.path).bundle.name


def test_what_is_prepared_changes_nothing(scene: Scene) -> None:
    before = (scene.path / "composir-gallery.json").read_bytes()

    found = prepare_model(scene.path, Turned())

    assert (scene.path / "composir-gallery.json").read_bytes() == before
    assert found.prepared is not None
    assert (found.prepared.bundle.name, found.prepared.lacking) == ("turned", 0)
    assert found.prepared.images == len(COLOURS)
    assert scene.best(open_gallery(scene.path, scene.model), "red") == "red"


def test_a_switch_and_back_encode_nothing(scene: Scene) -> None:
    prepare_model(scene.path, Turned())
    model = Turned()

    there = switch_to_prepared(scene.path, model)
    assert scene.best(open_gallery(scene.path, Turned()), "red") == "green"
    assert scene.tables() == sorted([OTHER, "images.lance"])
    back = roll_back(scene.path)

    assert model.encoded == 0
    assert there.former is not None
    assert (there.current.name, there.former.bundle.name) == ("turned", "colours")
    assert back.former is not None
    assert (back.current.name, back.former.bundle.name) == ("colours", "turned")
    assert scene.best(open_gallery(scene.path, scene.model), "red") == "red"
    assert roll_back(scene.path).current.name == "turned"


def test_runs_between_are_part_of_both(scene: Scene) -> None:
    prepare_model(scene.path, Turned())
    plain(scene.first / "scarlet.png", (200, 10, 0))
    Gallery.create_or_open(scene.path, scene.model).index([scene.first])
    found = models_of(scene.path)
    assert found.prepared is not None
    assert found.prepared.lacking == 1

    model = Turned()
    switched = switch_to_prepared(scene.path, model)
    assert model.encoded == 1
    assert len(open_gallery(scene.path)) == len(COLOURS) + 1

    plain(scene.first / "navy.png", (0, 10, 90))
    Gallery.create_or_open(scene.path, model).index([scene.first])
    assert switched.former is not None
    back = roll_back(scene.path)
    own = ColourModel()
    report = Gallery.create_or_open(scene.path, own).index([scene.first])
    assert back.current.name == "colours"
    assert (report.added, own.encoded) == (1, 1)


def test_a_stopped_preparation_goes_on_even_past_another_run(scene: Scene) -> None:
    switch_to_new(scene, Turned())
    model = Doubled()
    model.fails_after = 0
    with pytest.raises(KeyboardInterrupt):
        prepare_model(scene.path, model)
    vectors = sorted((scene.path / "beside").rglob("*"))
    Gallery.create_or_open(scene.path, Turned()).index([scene.first])
    assert sorted((scene.path / "beside").rglob("*")) == vectors
    with pytest.raises(GalleryError, match="not prepared yet"):
        table_beside(scene.path)
    found = prepare_model(scene.path, Doubled())
    assert found.prepared is not None
    assert found.former is not None


def switch_to_new(scene: Scene, model: Turned) -> None:
    prepare_model(scene.path, model)
    switch_to_prepared(scene.path, model)


def test_a_third_model_takes_the_place_of_a_prepared_one(scene: Scene) -> None:
    prepare_model(scene.path, Turned())
    found = prepare_model(scene.path, Doubled())
    assert found.prepared is not None
    assert found.prepared.bundle.name == "doubled"
    assert scene.tables() == sorted([other_table("doubled-1"), "images.lance"])


def test_after_a_switch_the_former_models_table_takes_the_earlier_ones_place(scene: Scene) -> None:
    switch_to_new(scene, Turned())
    switch_to_new(scene, Doubled())
    assert scene.tables() == sorted([other_table("doubled-1"), OTHER])
    assert roll_back(scene.path).current.name == "turned"


def test_index_with_another_model_keeps_none(scene: Scene) -> None:
    prepare_model(scene.path, Turned())
    switch_model(scene.path, Doubled())
    assert scene.tables() == [other_table("doubled-1")]
    assert models_of(scene.path).prepared is None


def test_what_is_discarded_is_gone(scene: Scene) -> None:
    switch_to_new(scene, Turned())
    prepare_model(scene.path, Doubled())
    found = discard_others(scene.path)
    assert (found.prepared, found.former) == (None, None)
    assert scene.tables() == [OTHER]
    assert not (scene.path / OTHER_MODELS_NAME).exists()
    assert not (scene.path / "beside").exists()


def test_forgotten_pictures_stay_in_no_other_models_table(scene: Scene) -> None:
    switch_to_new(scene, Turned())
    open_gallery(scene.path, Turned()).forget([scene.second])
    assert scene.tables() == [OTHER]
    assert models_of(scene.path).former is None


@pytest.mark.parametrize("step", ["switch", "rollback"])
@pytest.mark.parametrize("killed_at", [0, 1])
def test_a_step_that_is_killed_can_be_taken_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, step: str, killed_at: int
) -> None:
    """Before the manifest is written, or after it and before the note of what is kept."""
    prepare_model(scene.path, Turned())
    if step == "rollback":
        switch_to_prepared(scene.path, Turned())

    def take() -> None:
        if step == "switch":
            switch_to_prepared(scene.path, Turned())
        else:
            roll_back(scene.path)

    before = own_model(scene)
    write = GalleryManifest.write

    def killed(manifest: GalleryManifest, folder: Path) -> None:
        if killed_at == 1:
            write(manifest, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GalleryManifest, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            take()
    own = Turned() if own_model(scene) == "turned" else ColourModel()
    Gallery.create_or_open(scene.path, own).index([scene.first])  # tidies up
    if killed_at == 0:
        take()
    assert own_model(scene) != before
    assert scene.tables() == sorted([OTHER, "images.lance"])
    assert roll_back(scene.path).current.name == before


def test_steps_that_cannot_be_taken(scene: Scene) -> None:
    with pytest.raises(GalleryError, match="is the model colours's already"):
        prepare_model(scene.path, scene.model)
    with pytest.raises(GalleryError, match="no vectors of turned are prepared"):
        switch_to_prepared(scene.path, Turned())
    with pytest.raises(GalleryError, match="no former model"):
        roll_back(scene.path)
    with pytest.raises(GalleryError, match="vectors of one model alone"):
        table_beside(scene.path)
    switch_to_new(scene, Turned())
    with pytest.raises(GalleryError, match="--rollback"):
        prepare_model(scene.path, ColourModel())


def test_a_damaged_former_table_is_not_gone_back_to(scene: Scene) -> None:
    switch_to_new(scene, Turned())
    next((scene.path / "images.lance" / "data").iterdir()).unlink()
    with pytest.raises(Exception, match=r"Not found|damaged"):
        roll_back(scene.path)
    assert own_model(scene) == "turned"


def test_a_damaged_note_is_said(scene: Scene) -> None:
    (scene.path / OTHER_MODELS_NAME).write_text('{"former": 3}')
    with pytest.raises(GalleryError, match="note of a gallery's other models"):
        models_of(scene.path)


def test_both_models_are_asked_the_same(scene: Scene) -> None:
    prepare_model(scene.path, Turned())
    queries = [Query(text="red"), Query(text="blue"), Query(image=scene.first / "red.png")]
    red, blue, image = compare_models(scene.path, (scene.model, Turned()), queries, k=1)
    assert [hit.path.stem for hit in (*red.own.hits, *red.other.hits)] == ["red", "green"]
    assert (red.common, blue.common) == (0, 1)
    assert [one.query for one in (red, blue, image)] == queries
    assert [query.image for query in sampled_queries(scene.path)]


def test_after_a_switch_the_former_model_is_compared(scene: Scene) -> None:
    switch_to_new(scene, Turned())
    (red,) = compare_models(scene.path, (Turned(), scene.model), [Query(text="red")], k=1)
    assert [hit.path.stem for hit in (*red.own.hits, *red.other.hits)] == ["green", "red"]


def test_queries_of_a_file(tmp_path: Path) -> None:
    words = tmp_path / "queries.txt"
    words.write_text("a red mug\n\n  a lamp\n")
    rows = tmp_path / "queries.jsonl"
    rows.write_text('{"text": "in red", "image": "a.png"}\n{"text": "a lamp"}\n')
    assert read_queries(words) == [Query(text="a red mug"), Query(text="a lamp")]
    assert read_queries(rows) == [
        Query(image=tmp_path / "a.png", text="in red"),
        Query(text="a lamp"),
    ]


@pytest.mark.parametrize("line", ["3", '{"txt": "a"}', '{"text": 3}', "{}", "{", '{"text": " "}'])
def test_a_line_that_is_no_query_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text(f"{json.dumps({'text': 'a'})}\n{line}\n")
    with pytest.raises(QueryError, match=r"queries\.jsonl, line 2"):
        read_queries(path)


def test_the_table_is_written_once_for_the_same_rows(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_model(scene.path, Turned())
    kept = read_other_models(scene.path).prepared
    assert kept is not None
    assert kept.written_from == Store(scene.path, scene.model.dimension).identity
    monkeypatch.setattr(Beside, "prepare", lambda _: pytest.fail("nothing is to be done"))
    switch_to_prepared(scene.path, Turned())
    assert OtherModels().settled("images.lance") == OtherModels()


@pytest.mark.parametrize("content", [None, '{"kind": "composir-gall'])
def test_a_repair_takes_the_gallerys_own_table_and_no_other(
    scene: Scene, content: str | None
) -> None:
    switch_to_new(scene, Turned())
    manifest = scene.path / "composir-gallery.json"
    manifest.unlink() if content is None else manifest.write_text(content)

    repair_gallery(scene.path)

    assert own_model(scene) == "turned"
    assert read_manifest(scene.path).table == OTHER
    Gallery.create_or_open(scene.path, Turned()).index([scene.first])
    assert scene.tables() == sorted([OTHER, "images.lance"])
    assert roll_back(scene.path).current.name == "colours"


def test_a_preparation_that_was_killed_while_it_wrote_is_no_damage(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: Beside) -> Store:
        data = scene.path / OTHER / "data"
        data.mkdir(parents=True)
        (data / "half.lance").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Beside, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_model(scene.path, Turned())
    assert models_of(scene.path).prepared is None
    with pytest.raises(GalleryError, match="goes on where it was"):
        table_beside(scene.path)
    assert prepare_model(scene.path, Turned()).prepared is not None
    assert not (scene.path / OTHER / "data" / "half.lance").exists()


def test_tables_that_are_prepared_again_do_not_pile_up(scene: Scene) -> None:
    for _ in range(3):
        prepare_model(scene.path, Turned())
    assert len(list((scene.path / OTHER / "data").iterdir())) == 1


def test_damage_beside_is_not_called_damage_of_the_gallery(scene: Scene) -> None:
    prepare_model(scene.path, Turned())
    next((scene.path / OTHER / "data").iterdir()).unlink()
    told = r"vectors of turned .* are damaged .*--discard"
    with pytest.raises(GalleryError, match=told):
        models_of(scene.path)
    with pytest.raises(GalleryError, match=told):
        list(compare_models(scene.path, (scene.model, Turned()), [Query(text="red")]))
    assert switch_to_prepared(scene.path, Turned()).current.name == "turned"
    assert scene.best(open_gallery(scene.path, Turned()), "red") == "green"


def noted(scene: Scene, **changes: object) -> None:
    path = scene.path / OTHER_MODELS_NAME
    note = json.loads(path.read_text())
    note["prepared"] |= changes
    path.write_text(json.dumps(note))


@pytest.mark.parametrize("table", ["../x", "/etc", "images.lance/../../y", "cache", ""])
def test_a_note_leads_to_no_other_folder(scene: Scene, table: str) -> None:
    prepare_model(scene.path, Turned())
    noted(scene, table=table)
    with pytest.raises(GalleryError, match="is no table"):
        switch_to_prepared(scene.path, Turned())
    assert own_model(scene) == "colours"


def test_a_switch_goes_by_the_model_and_not_by_the_note(scene: Scene) -> None:
    prepare_model(scene.path, Turned())
    bundle = {"name": "turned", "fingerprint": "turned-1", "dimension": 7, "folder": None}
    noted(scene, bundle=bundle)
    with pytest.raises(GalleryError, match="--discard"):
        list(compare_models(scene.path, (scene.model, Turned()), [Query(text="red")]))
    switch_to_prepared(scene.path, Turned())
    assert scene.best(open_gallery(scene.path, Turned()), "red") == "green"


def test_a_note_that_is_none_says_what_to_do(scene: Scene) -> None:
    (scene.path / OTHER_MODELS_NAME).write_text("{")
    with pytest.raises(GalleryError, match="delete it, and prepare them again"):
        Gallery.create_or_open(scene.path, scene.model).index([scene.first])


def test_a_switch_to_the_former_model_is_a_rollback(scene: Scene) -> None:
    switch_to_new(scene, Turned())
    with pytest.raises(GalleryError, match="--rollback"):
        switch_to_prepared(scene.path, scene.model)


def test_who_forgets_what_a_run_has_dropped_hears_of_other_models(scene: Scene) -> None:
    switch_to_new(scene, Turned())
    gone = next(scene.first.iterdir())
    gone.unlink()
    gallery = Gallery.create_or_open(scene.path, Turned())
    gallery.index([scene.first])
    with pytest.raises(GalleryError, match=r"knows nothing of .* composir reindex --discard"):
        gallery.forget([gone])
    discard_others(scene.path)
    with pytest.raises(GalleryError, match=r"knows nothing of [^.]*\S+; nothing") as raised:
        gallery.forget([gone])
    assert "--discard" not in str(raised.value)


def test_pictures_that_have_all_gone_are_left_behind(scene: Scene) -> None:
    for path in [*scene.first.iterdir(), *scene.second.iterdir()]:
        path.unlink()
    found = prepare_model(scene.path, Turned())
    assert found.prepared is not None
    assert (found.prepared.images, found.prepared.lacking) == (0, len(COLOURS))
    assert switch_model(scene.path, Doubled()).dropped == len(COLOURS)


def test_where_no_gallery_is_nothing_is_made(tmp_path: Path, scene: Scene) -> None:
    for folder in (tmp_path / "none", scene.first):
        for step in (
            lambda at: prepare_model(at, Turned()),
            lambda at: switch_to_prepared(at, Turned()),
            roll_back,
            discard_others,
        ):
            with pytest.raises(GalleryNotFoundError, match="composir index FOLDER"):
                step(folder)
    assert not (tmp_path / "none").exists()
    assert not list(scene.first.glob("*.lock"))


def test_forgetting_that_is_killed_leaves_nothing_with_other_models(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_to_new(scene, Turned())
    gallery = open_gallery(scene.path, Turned())

    def killed(_: Forgetting) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Forgetting, "carry_out", killed)
        with pytest.raises(KeyboardInterrupt):
            gallery.forget([scene.first / "red.png"])
    assert scene.tables() == [OTHER]
    assert gallery.forget([scene.first / "red.png"]).images == 1
