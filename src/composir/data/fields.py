"""Types of fields and objects in people's files and our own; `schema` tells what does not fit."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise PydanticCustomError("name", "must be a text")


def _as_name(value: object) -> str:
    # `bool` is an `int` to Python, but nobody calls an image `true`.
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise PydanticCustomError("name", "must be a text or a whole number")


def _as_number(value: object) -> str:
    name = "" if isinstance(value, bool) else str(value)
    if not (name.isascii() and name.isdecimal()):
        raise PydanticCustomError("name", "must be a whole number")
    return name


def _as_told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Not pydantic's own type of texts: it refuses the surrogates that stand for bytes of file names.
Text = Annotated[str, PlainValidator(_as_text)]
"""A text."""

Name = Annotated[str, PlainValidator(_as_name)]
"""A name, which may be written as a whole number."""

Number = Annotated[str, PlainValidator(_as_number)]
"""An id that is a whole number, as text; public sets name image files after it."""

Told = Annotated[str, PlainValidator(_as_told)]
"""What people read: nothing hangs on it, so other values than texts are spelled out."""

Whole = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
"""A whole number; true and false are none."""

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A number that is neither NaN nor infinite."""


class FileRow(BaseModel):
    """An object of somebody's file: null is as good as left out, and other keys are let pass."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        return {key: value for key, value in row.items() if value is not None}


class ManifestPart(BaseModel):
    """An object of a file of composir's own: it holds what its version knows, and nothing else.

    Attributes:
        later: Fields that earlier versions do not know. They are not written where they say
            nothing, so that these still load a file that needs none of them, and fingerprints of
            what was written stay what they were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_the_unsaid(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialise(self)
        return {k: v for k, v in fields.items() if v is not None or k not in self.later}
