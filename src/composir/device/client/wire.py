"""The bytes of one query, version 2; all numbers little-endian, all texts UTF-8.

A header of fixed size, the texts, the tokens, the light side's own vector where it has one, and a
CRC-32 of all that. The page docs/device.md
describes every byte for those who write a client in another language.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

import numpy as np

MAGIC = b"CIRQ"
VERSION = 2
HEADER = struct.Struct("<4sHBBHHHBB8s8s8s")
MAX_BYTES = 10_000
MAX_TOKENS = 64
MAX_WORD_DIMENSION = 4096
MAX_DIMENSION = 4096
UNIT_TOLERANCE = 0.02  # int8 moves a norm by less
MAX_TEXT_BYTES = 1024
MAX_NEGATIVES = 8
ENCODINGS = {"fp16": 1, "int8": 2}
_LENGTH = struct.Struct("<H")
_CHECKSUM = struct.Struct("<I")
_NAMES = {code: name for name, code in ENCODINGS.items()}


class WireError(ValueError):
    """A message cannot be written or read; the text says what is wrong with it."""


@dataclass(frozen=True)
class QueryMessage:
    """What a device asks.

    Attributes:
        tokens: (L, Dw) float32, the pseudo-words of the reference.
        text: The modification; empty for the reference alone.
        vector: (D,) float32 of unit norm, the light side's own estimate of the reference's gallery
            vector; None where the composer makes none.
        negatives: What the hits should not show.
        composer: Name of the composer that made the tokens.
        composer_fingerprint: 16 hexadecimal digits: exactly which graphs and templates.
        gallery_fingerprint: Likewise, of the model's gallery side.
        text_checksum: The first 16 hexadecimal digits of the SHA-256 of the model's text graph.
    """

    tokens: np.ndarray
    text: str
    composer: str
    composer_fingerprint: str
    gallery_fingerprint: str
    text_checksum: str
    negatives: tuple[str, ...] = ()
    vector: np.ndarray | None = None


def pack(message: QueryMessage, encoding: str = "fp16") -> bytes:
    """Write a message.

    Args:
        message: What to ask.
        encoding: `fp16` (2 bytes a number), or `int8` with a scale a token (half of that).

    Returns:
        At most `MAX_BYTES` bytes.

    Raises:
        WireError: If a part is out of range or the whole is too long.
    """
    tokens = np.asarray(message.tokens, dtype=np.float32)
    _check_tokens(tokens)
    vector = _vector_row(message.vector)
    text = _text_bytes(message.text, "the modification text")
    name = _text_bytes(message.composer, "the composer's name", most=255)
    header = HEADER.pack(
        MAGIC,
        VERSION,
        _encoding_code(encoding),
        _count_negatives(message.negatives),
        *tokens.shape,
        len(text),
        len(name),
        0,
        _identity(message.gallery_fingerprint),
        _identity(message.text_checksum),
        _identity(message.composer_fingerprint),
    )
    negatives = [_text_bytes(negative, "a negative text") for negative in message.negatives]
    lengthened = [_LENGTH.pack(len(negative)) + negative for negative in negatives]
    rows = [_encode(part, encoding) for part in (tokens, vector)]
    width = _LENGTH.pack(vector.shape[1])
    content = b"".join([header, name, text, *lengthened, width, *rows])
    whole = content + _CHECKSUM.pack(binascii.crc32(content))
    if len(whole) > MAX_BYTES:
        raise WireError(
            f"the message has {len(whole)} bytes, {MAX_BYTES} are the limit: use the encoding "
            "int8 or fewer tokens, or shorten the texts"
        )
    return whole


def unpack(data: bytes) -> QueryMessage:
    """Read a message and check every part of it.

    Args:
        data: As received.

    Raises:
        WireError: If anything about it is not as `pack` writes it.
    """
    _check_envelope(data)
    (_, _, code, negatives, count, width, text_length, name_length, reserved, *identities) = (
        HEADER.unpack_from(data)
    )
    if code not in _NAMES or reserved != 0:
        raise WireError(f"unknown encoding {code} or reserved byte {reserved}")
    _check_shape(count, width)
    if negatives > MAX_NEGATIVES:
        raise WireError(f"{negatives} negative texts; at most {MAX_NEGATIVES} are allowed")
    reader = _Reader(data[: -_CHECKSUM.size], HEADER.size)
    name = reader.text(name_length, "the composer's name")
    text = reader.text(text_length, "the modification text")
    unwanted = tuple(
        reader.text(_LENGTH.unpack(reader.take(_LENGTH.size))[0], "a negative text")
        for _ in range(negatives)
    )
    if any(not negative.strip() for negative in unwanted):
        raise WireError("an empty negative text")
    dimension = _LENGTH.unpack(reader.take(_LENGTH.size))[0]
    tokens = _decode(reader, _NAMES[code], count, width)
    _check_tokens(tokens)
    vector = _decode(reader, _NAMES[code], 1, dimension)[0] if dimension else None
    _vector_row(vector)
    reader.end()
    gallery, text_checksum, composer = (identity.hex() for identity in identities)
    return QueryMessage(tokens, text, name, composer, gallery, text_checksum, unwanted, vector)


def quantised(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens as int8 with a scale each.

    Args:
        tokens: (L, Dw) float32.

    Returns:
        (L, Dw) int8, and (L,) float32 scales: the largest magnitude of a token over 127, so that
        no value is off by more than half a scale.
    """
    scales = (np.abs(tokens).max(axis=1) / 127).astype(np.float32)
    safe = np.where(scales > 0, scales, 1)
    return np.clip(np.rint(tokens / safe[:, None]), -127, 127).astype(np.int8), scales


class _Reader:
    """Takes parts off a message and notices its end."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._at = data, start

    def take(self, length: int) -> bytes:
        part = self._data[self._at : self._at + length]
        if len(part) < length:
            raise WireError(f"cut off: {length} bytes expected at {self._at}, {len(part)} there")
        self._at += length
        return part

    def text(self, length: int, what: str) -> str:
        if length > MAX_TEXT_BYTES:
            raise WireError(f"{what} has {length} bytes; at most {MAX_TEXT_BYTES} are allowed")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"{what} is no UTF-8 (byte {error.start})") from error

    def end(self) -> None:
        left = len(self._data) - self._at
        if left:
            raise WireError(f"{left} bytes more than its lengths add up to")


def _check_envelope(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise WireError(f"{len(data)} bytes; at most {MAX_BYTES} are allowed")
    if data[:4] != MAGIC:
        raise WireError(f"it starts with {data[:4]!r} instead of {MAGIC!r}: no query message")
    if len(data) < HEADER.size + _CHECKSUM.size:
        raise WireError(f"cut off: {len(data)} bytes are fewer than the header and checksum")
    version = _LENGTH.unpack_from(data, len(MAGIC))[0]
    if version != VERSION:
        raise WireError(
            f"version {version} of the format, and this side knows {VERSION}: "
            "bring both sides to the same version of composir"
        )
    content, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if binascii.crc32(content) != _CHECKSUM.unpack(checksum)[0]:
        raise WireError("damaged on the way: its checksum does not fit, send it again")


def _check_shape(count: int, width: int) -> None:
    if not (1 <= count <= MAX_TOKENS and 1 <= width <= MAX_WORD_DIMENSION):
        raise WireError(
            f"{count} tokens of width {width}; 1 to {MAX_TOKENS} tokens of width 1 to "
            f"{MAX_WORD_DIMENSION} are allowed"
        )


def _check_tokens(tokens: np.ndarray) -> None:
    if tokens.ndim != 2:
        raise WireError(f"tokens of shape {tokens.shape} instead of (L, Dw)")
    _check_shape(*tokens.shape)
    if not np.isfinite(tokens).all():
        raise WireError("some token values are not finite")


def _vector_row(vector: np.ndarray | None) -> np.ndarray:
    """The vector as one row to encode, none (0, 0) where there is none; refused if no unit one."""
    if vector is None:
        return np.empty((0, 0), dtype=np.float32)
    row = np.asarray(vector, dtype=np.float32)
    if row.ndim != 1 or not 1 <= len(row) <= MAX_DIMENSION:
        raise WireError(f"a vector of shape {row.shape}; 1 to {MAX_DIMENSION} numbers are allowed")
    with np.errstate(over="ignore", invalid="ignore"):
        length = float(np.linalg.norm(row))
    if not abs(length - 1) <= UNIT_TOLERANCE:  # also refuses what is not finite
        raise WireError(f"the vector has length {length:.3g} instead of 1")
    return row[None]


def _encode(rows: np.ndarray, encoding: str) -> bytes:
    if not rows.size:
        return b""
    if encoding == "int8":
        values, scales = quantised(rows)
        return scales.astype("<f4").tobytes() + values.tobytes()
    if np.abs(rows).max() > np.finfo(np.float16).max:
        raise WireError("some token values are too large for fp16: use the encoding int8")
    return rows.astype("<f2").tobytes()


def _decode(reader: _Reader, encoding: str, count: int, width: int) -> np.ndarray:
    if encoding == "fp16":
        halves = np.frombuffer(reader.take(2 * count * width), dtype="<f2")
        return halves.astype(np.float32).reshape(count, width)
    scales = np.frombuffer(reader.take(4 * count), dtype="<f4").astype(np.float32)
    values = np.frombuffer(reader.take(count * width), dtype=np.int8).reshape(count, width)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by the caller
        rows: np.ndarray = values.astype(np.float32) * scales[:, None]
    return rows


def _text_bytes(text: str, what: str, most: int = MAX_TEXT_BYTES) -> bytes:
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise WireError(f"{what} is no valid text (character {error.start})") from error
    if len(encoded) > most:
        raise WireError(f"{what} has {len(encoded)} bytes; at most {most} are allowed")
    return encoded


def _encoding_code(encoding: str) -> int:
    if encoding not in ENCODINGS:
        raise WireError(f"no encoding named {encoding}; known: {', '.join(ENCODINGS)}")
    return ENCODINGS[encoding]


def _count_negatives(negatives: tuple[str, ...]) -> int:
    if len(negatives) > MAX_NEGATIVES or any(not negative.strip() for negative in negatives):
        raise WireError(f"negative texts must not be empty, and at most {MAX_NEGATIVES}")
    return len(negatives)


def _identity(fingerprint: str) -> bytes:
    try:
        identity = bytes.fromhex(fingerprint)
    except ValueError as error:
        raise WireError(f"{fingerprint!r} is no hexadecimal fingerprint") from error
    if len(identity) != 8:
        raise WireError(f"{fingerprint!r} is no fingerprint of 16 hexadecimal digits")
    return identity
