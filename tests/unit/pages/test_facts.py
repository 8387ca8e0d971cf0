from datetime import datetime
from pathlib import Path

from composir.pages.facts import telling_facts
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
