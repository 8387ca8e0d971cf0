from datetime import datetime
from pathlib import Path

from composir.data.remote_paths import as_path
from composir.pages.facts import link_to, telling_facts
from composir.types import Hit


def test_a_reader_sees_the_sidecar_s_facts_first_and_no_machine_s() -> None:
    metadata = {
        "content_hash": "0123",
        "taken_at": datetime(2024, 5, 1, 12, 30, 59),
        "camera": None,
        "folder": "lamps",
        "size": 12345,
        "modified": datetime(2024, 5, 1),
        "list_price": 39.9,
        "colour": "green",
        "remark": "",
    }
    facts = telling_facts(Hit(1, "a", Path("a.jpg"), 0.5, 10, 10, metadata))
    assert list(facts.items()) == [
        ("list price", "39.9"),
        ("colour", "green"),
        ("taken at", "2024-05-01 12:30"),
        ("folder", "lamps"),
    ]


def test_a_picture_inside_of_a_file_is_linked_by_that_file(tmp_path: Path) -> None:
    shard = tmp_path / "shard 1.tar"
    shard.write_bytes(b"")
    gone = tmp_path / "gone.jpg"

    assert link_to(shard / "cats" / "7.jpg") == shard.as_uri()
    assert link_to(shard) == shard.as_uri()
    assert link_to(gone) == gone.as_uri()
    assert link_to(as_path("s3://bucket/a b.jpg")) == "s3://bucket/a%20b.jpg"
