"""Who writes triplets, as chosen on the command line, and what it may cost."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import typer

from composir.cli.terminal import is_asked_by_people, note, printable
from composir.data.places import writable_user_folder
from composir.errors import ComposirError

if TYPE_CHECKING:
    from composir.triplets import MakeSettings
    from composir.triplets.language_model import LanguageModelWriter
    from composir.triplets.make import TripletMaterial

_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """What the command line says about the endpoint."""

    base_url: str
    language_model: str  # as the endpoint calls it
    key_variable: str  # environment variable that holds the key
    max_requests: int  # budget
    concurrency: int  # requests at a time
    timeout: float  # seconds for one answer
    extra: Sequence[str]  # `KEY=VALUE`, for the request's JSON
    price_in: float | None  # for a million tokens read; None if unknown
    price_out: float | None  # for a million tokens written; None if unknown
    is_agreed: bool  # whether the budget needs no question


def language_model_writer(options: EndpointOptions, seed: int) -> LanguageModelWriter:
    """Set the writer up; nothing is sent yet."""
    from composir.triplets.chat import ChatClient, ChatSettings
    from composir.triplets.language_model import AnswerCache, LanguageModelWriter, WriterSettings

    if not options.base_url or not options.language_model:
        raise ComposirError(
            "--writer openai needs --base-url (e.g. http://localhost:8000/v1) and --language-model"
        )
    key = os.environ.get(options.key_variable, "").strip()
    settings = WriterSettings(
        options.language_model,
        seed=seed,
        max_requests=options.max_requests,
        concurrency=options.concurrency,
        extra=dict(_extra(text) for text in options.extra),
    )
    client = ChatClient(ChatSettings(options.base_url, timeout=options.timeout), key)
    _warn_of_open_key(options.base_url, key, options.key_variable)
    cache = AnswerCache(writable_user_folder() / "triplets" / "answers.sqlite")
    return LanguageModelWriter(client, options.base_url.rstrip("/"), settings, cache)


def _extra(text: str) -> tuple[str, Any]:
    from composir.data.untrusted_json import JsonFaultError, decode_json

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ComposirError(f"--request {text}: write KEY=VALUE, e.g. temperature=1")
    try:
        return name, decode_json(value)
    except JsonFaultError:
        return name, value


def _warn_of_open_key(base_url: str, key: str, variable: str) -> None:
    parts = urllib.parse.urlsplit(base_url)
    if key and parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        note(f"note: {variable} goes to {parts.hostname} unencrypted (http); use https")


def agree_on_budget(
    writer: LanguageModelWriter,
    options: EndpointOptions,
    prepared: TripletMaterial,
    settings: MakeSettings,
) -> None:
    """Show what may be spent, and ask."""
    from composir.triplets.make import propose

    some = list(islice(propose(prepared, settings), _LOOKED_AT))
    budget = writer.budget(some, prepared.images, settings.count)
    note(
        f"{printable(options.language_model)} at {printable(options.base_url)} gets captions and "
        f"attributes, no pictures: at most {options.max_requests:,} requests, likely "
        f"{budget.requests:,}, about {budget.tokens_in:,} tokens in and {budget.tokens_out:,} out"
    )
    price = _price(options, budget.tokens_in, budget.tokens_out)
    note(f"that is about {price}" if price else "no price given (--price-in, --price-out)")
    note("answers kept from earlier runs cost nothing")
    if options.is_agreed:
        return
    if not is_asked_by_people():
        raise ComposirError("nobody is there to agree to this budget; add --yes to agree")
    typer.confirm("continue?", abort=True, err=True)


def describe_usage(writer: LanguageModelWriter, options: EndpointOptions) -> str:
    """One line on what was spent."""
    usage = writer.usage
    price = _price(options, usage.tokens_in, usage.tokens_out)
    return (
        f"{usage.requests:,} requests, {usage.cached:,} answers from the cache, "
        f"{usage.tokens_in:,} tokens in, {usage.tokens_out:,} out, {usage.nonsense:,} answers of "
        f"no use{f'; about {price}' if price else ''}"
    )


def _price(options: EndpointOptions, tokens_in: int, tokens_out: int) -> str:
    if options.price_in is None and options.price_out is None:
        return ""
    cost = tokens_in * (options.price_in or 0.0) + tokens_out * (options.price_out or 0.0)
    return f"{cost / 1e6:,.2f} (in the currency of the prices)"
