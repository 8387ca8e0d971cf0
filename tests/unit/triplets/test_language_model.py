"""The language-model writer against a real server on loopback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from composir.errors import DatasetError
from composir.triplets.chat import ChatClient, ChatSettings, EndpointError
from composir.triplets.language_model import (
    NO_BUDGET,
    AnswerCache,
    LanguageModelWriter,
    WriterSettings,
)
from composir.triplets.prompts import clean, objection
from composir.triplets.records import Pair, Skipped, WrittenText
from tests.unit.triplets.endpoint import Reply, Stub, endpoint, fails, says
from tests.unit.triplets.world import picture

IMAGES = tuple(picture(f"p{n}", f"a dog in {n} rings") for n in range(40))
PAIRS = [Pair("image", n, n + 1) for n in range(39)]


def writer(stub: Stub, folder: Path, attempts: int = 2, **settings: Any) -> LanguageModelWriter:
    chat = ChatClient(ChatSettings(stub.url, timeout=5.0, attempts=attempts), "sk-secret")
    chosen = WriterSettings("tiny", **{"concurrency": 4, **settings})
    return LanguageModelWriter(chat, stub.url, chosen, AnswerCache(folder / "answers.sqlite"))


def echo(_number: int, body: dict[str, Any]) -> Reply:
    """Says how many rings B has."""
    notes = body["messages"][-1]["content"]
    return says(f'"{notes.split("B: a dog in ")[1].split()[0]} rings, please"')


def test_texts_come_in_order_with_their_origin(tmp_path: Path) -> None:
    with endpoint(echo) as stub:
        made = writer(stub, tmp_path).write(PAIRS, IMAGES)
    texts = [text.text for text in made if isinstance(text, WrittenText)]
    assert texts == [f"{n} rings, please" for n in range(1, 40)]
    assert isinstance(made[0], WrittenText)
    assert made[0].origin["language_model"] == "tiny"
    assert made[0].origin["attempt"] == 1
    assert stub.keys == ["Bearer sk-secret"] * 39


def test_requests_run_side_by_side(tmp_path: Path) -> None:
    together: list[int] = []

    def reply(_number: int, body: dict[str, Any]) -> Reply:
        together.append(1)
        for _ in range(100):
            if len(together) >= 4:
                return says("in blue")
            time.sleep(0.05)
        return fails(500, "nobody else came")

    with endpoint(reply) as stub:
        made = writer(stub, tmp_path, attempts=1).write(PAIRS[:4], IMAGES)
    assert all(isinstance(text, WrittenText) for text in made)


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    with endpoint(echo) as stub:
        first = writer(stub, tmp_path).write(PAIRS, IMAGES)
        asked = len(stub.bodies)
        again = writer(stub, tmp_path)
        assert again.write(PAIRS, IMAGES) == first
        assert len(stub.bodies) == asked
    assert (again.usage.requests, again.usage.cached) == (0, 39)


def test_the_key_is_written_nowhere(tmp_path: Path) -> None:
    with endpoint(echo) as stub:
        the_writer = writer(stub, tmp_path)
        made = the_writer.write(PAIRS[:3], IMAGES)
    assert "secret" not in str(the_writer.settings) + str(made)
    assert b"secret" not in (tmp_path / "answers.sqlite").read_bytes()


def test_nonsense_is_asked_again_then_skipped_and_counted(tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        return says("I'm sorry, as an AI I cannot") if number < 4 else says("in blue")

    with endpoint(reply) as stub:
        the_writer = writer(stub, tmp_path, attempts=1, concurrency=1)
        made = the_writer.write(PAIRS[:2], IMAGES)
    assert made[0] == Skipped("nonsense 3 times: the model declines")
    assert isinstance(made[1], WrittenText)
    assert made[1].origin["attempt"] == 2
    assert the_writer.usage.nonsense == 4
    assert len({body["seed"] for body in stub.bodies}) == 5  # another seed each time


def test_the_budget_is_kept(tmp_path: Path) -> None:
    with endpoint(echo) as stub:
        the_writer = writer(stub, tmp_path, max_requests=5)
        made = the_writer.write(PAIRS, IMAGES)
    assert len(stub.bodies) == 5
    assert made.count(Skipped(NO_BUDGET)) == 34
    assert the_writer.is_spent


def test_the_budget_is_estimated_beforehand(tmp_path: Path) -> None:
    with endpoint(echo) as stub:
        budget = writer(stub, tmp_path, max_requests=2000).budget(PAIRS[:10], IMAGES, 300)
        assert stub.bodies == []
    assert budget.requests == 400
    assert 400 * 100 < budget.tokens_in < 400 * 400


def test_an_endpoint_that_breaks_down_ends_the_run_and_a_later_one_goes_on(tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        return echo(number, body) if number < 10 else fails(503)

    with endpoint(reply) as stub:
        first = writer(stub, tmp_path, attempts=1, concurrency=1)
        with pytest.raises(
            EndpointError, match=r"10 answers are kept, and the same command resumes"
        ):
            first.write(PAIRS, IMAGES)
        stub.reply = echo
        later = writer(stub, tmp_path)
        made = later.write(PAIRS, IMAGES)
    assert (later.usage.cached, later.usage.requests) == (10, 29)
    assert all(isinstance(text, WrittenText) for text in made)


def test_single_requests_that_fail_are_skipped(tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        return fails(400, "too rude") if number == 2 else echo(number, body)

    with endpoint(reply) as stub:
        made = writer(stub, tmp_path, concurrency=1).write(PAIRS[:5], IMAGES)
    assert made[2] == Skipped("refused by the endpoint: HTTP 400 too rude")
    assert sum(isinstance(text, WrittenText) for text in made) == 4


def test_one_odd_answer_does_not_end_the_run(tmp_path: Path) -> None:
    odd = {
        1: says("make it green \ud83d"),
        2: (200, {}, b"[" * 200_000),
        3: (200, {}, says("in blue")[2].replace(b"100", b"1" + b"0" * 30)),
    }

    def reply(number: int, body: dict[str, Any]) -> Reply:
        return odd.get(number) or echo(number, body)

    with endpoint(reply) as stub:
        the_writer = writer(stub, tmp_path, attempts=1, concurrency=1)
        made = the_writer.write(PAIRS[:6], IMAGES)
    assert made[2] == Skipped("no answer from the endpoint")
    texts = [text.text for text in made if isinstance(text, WrittenText)]
    assert texts == ["1 rings, please", "make it green \ufffd", "in blue"] + [
        f"{n} rings, please" for n in (5, 6)
    ]
    assert the_writer.usage.requests == 5
    assert the_writer.usage.tokens_in < 10_000


def test_a_cache_that_breaks_on_the_way_is_told(tmp_path: Path) -> None:
    with endpoint(echo) as stub:
        the_writer = writer(stub, tmp_path)
        (tmp_path / "answers.sqlite").write_bytes(b"no database " * 500)
        with pytest.raises(DatasetError, match=r"answers\.sqlite: the cache of answers cannot be"):
            the_writer.write(PAIRS[:3], IMAGES)
    assert stub.bodies == []


def test_fields_of_the_request_can_be_added_and_taken_out(tmp_path: Path) -> None:
    extra = {"max_tokens": None, "max_completion_tokens": 50}
    with endpoint(echo) as stub:
        writer(stub, tmp_path, extra=extra).write(PAIRS[:1], IMAGES)
    assert "max_tokens" not in stub.bodies[0]
    assert stub.bodies[0]["max_completion_tokens"] == 50


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("<think>hm\nhm</think>\nText: “in blue”\n", "in blue"),
        ("`in blue`", "in blue"),
        ("<think>never ends", ""),
        ("in blue\n\nor in red", "in blue\nor in red"),
    ],
)
def test_answers_are_cleaned(answer: str, text: str) -> None:
    assert clean(answer) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the answer is empty"),
        ("?!", "the answer is empty"),
        ("word " * 60, "the answer is no short text"),
        ("in blue\nor in red", "the answer is no short text"),
        ("make picture A blue", "the text speaks of its notes"),
        ("like the target image", "the text speaks of its notes"),
        ("A dog in snow!", "the text repeats a caption of the reference"),
        ("in blue", ""),
    ],
)
def test_nonsense_is_told_from_sense(text: str, why: str) -> None:
    assert objection(text, ("a dog in snow",)) == why
