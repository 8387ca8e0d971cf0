"""Captions with one word changed."""

from __future__ import annotations

from changed import changed_caption


def test_one_word_changes_within_its_group_and_always_the_same_way() -> None:
    caption = "A man in a red jacket runs through the snow."
    changed = changed_caption(caption)

    assert changed is not None
    before, after = caption.split(), changed.split()
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
    assert changed == changed_caption(caption)


def test_a_caption_of_other_words_has_no_counterpart() -> None:
    assert changed_caption("Several people at a table.") is None
