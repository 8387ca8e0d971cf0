"""The bytes between device and server."""

from __future__ import annotations

import binascii
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composir.device.client.wire import HEADER, MAX_BYTES, quantised
from composir.device.message import pack, read_message, unpack
from composir.errors import DeviceMessageError
from tests.unit.device.messages import make_message

ENCODINGS = ["fp16", "int8"]
UNIT = np.full(16, 0.25, dtype=np.float32)
TEXTS_END = HEADER.size + len("isa") + len("but at night") + 2 + len("people") + 2 + 6
TOKENS_START = TEXTS_END + 2


def resealed(data: bytes) -> bytes:
    """A message whose checksum fits again, as somebody who means harm would send it."""
    return data[:-4] + struct.pack("<I", binascii.crc32(data[:-4]))


def altered(data: bytes, at: int, new: bytes) -> bytes:
    return resealed(data[:at] + new + data[at + len(new) :])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_packed_is_unpacked(encoding: str) -> None:
    sent = make_message()
    received = unpack(pack(sent, encoding))

    np.testing.assert_allclose(received.tokens, sent.tokens, atol=0.02)
    assert received.tokens.dtype == np.float32
    for name in ("text", "negatives", "composer", "composer_fingerprint", "text_checksum"):
        assert getattr(received, name) == getattr(sent, name)


def test_the_header_is_as_documented() -> None:
    data = pack(make_message(tokens=4, width=6), "int8")

    assert HEADER.size == 40
    assert data[:4] == b"CIRQ"
    assert data[4:16] == bytes([2, 0, 2, 2, 4, 0, 6, 0, 12, 0, 3, 0])
    assert data[16:24].hex() == "ffeeddccbbaa9988"
    assert data[24:32].hex() == "0123456789abcdef"
    assert data[32:40].hex() == "00112233445566ff"
    assert data[40:55] == b"isabut at night"
    assert len(data) == TOKENS_START + 4 * 4 + 4 * 6 + 4


@pytest.mark.parametrize(("encoding", "worst"), [("fp16", 5e-4), ("int8", 4e-3)])
def test_what_the_encodings_cost(encoding: str, worst: float) -> None:
    """Largest error of a value, relative to the largest value of its token."""
    sent = make_message(tokens=8, width=384)
    received = unpack(pack(sent, encoding))

    largest = np.abs(sent.tokens).max(axis=1, keepdims=True)
    assert (np.abs(received.tokens - sent.tokens) / largest).max() < worst


def test_int8_errs_by_at_most_half_a_scale() -> None:
    tokens = make_message(tokens=8, width=384).tokens
    values, scales = quantised(tokens)

    assert values.dtype == np.int8
    assert np.all(np.abs(values * scales[:, None] - tokens) <= scales[:, None] * 0.5001)


def test_tokens_of_zeros_stay_zeros() -> None:
    message = make_message()
    message.tokens[:] = 0
    assert not unpack(pack(message, "int8")).tokens.any()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_shorter_or_longer_message_is_refused(encoding: str) -> None:
    data = pack(make_message(), encoding)
    for length in range(len(data)):
        with pytest.raises(DeviceMessageError):
            unpack(data[:length])
    with pytest.raises(DeviceMessageError):
        unpack(data + b"\0")


@settings(deadline=None)
@given(st.data())
def test_any_altered_byte_is_noticed(data: st.DataObject) -> None:
    message = pack(make_message(), data.draw(st.sampled_from(ENCODINGS)))
    at = data.draw(st.integers(0, len(message) - 1))
    flip = data.draw(st.integers(1, 255))
    with pytest.raises(DeviceMessageError):
        unpack(message[:at] + bytes([message[at] ^ flip]) + message[at + 1 :])


@settings(deadline=None)
@given(st.data())
def test_forged_messages_are_either_whole_or_refused(data: st.DataObject) -> None:
    message = bytearray(pack(make_message(), data.draw(st.sampled_from(ENCODINGS))))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(4, len(message) - 5))] = data.draw(st.integers(0, 255))
    try:
        received = unpack(resealed(bytes(message)))
    except DeviceMessageError:
        return
    assert np.isfinite(received.tokens).all()
    assert all(negative.strip() for negative in received.negatives)


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_noise_is_refused(noise: bytes, with_magic: bool) -> None:
    with pytest.raises(DeviceMessageError):
        unpack(b"CIRQ\x01\x00" + noise if with_magic else noise)


@settings(deadline=None)
@given(
    st.text(max_size=200).filter(lambda text: len(text.encode("utf-8", "replace")) <= 1000),
    st.lists(st.text(min_size=1, max_size=20), max_size=8),
)
def test_any_text_travels_or_is_refused(text: str, negatives: list[str]) -> None:
    message = make_message(text=text, negatives=tuple(negatives))
    try:
        received = unpack(pack(message))
    except DeviceMessageError:
        assert any(not n.strip() for n in negatives) or _has_surrogates(text, *negatives)
        return
    assert (received.text, received.negatives) == (text, tuple(negatives))


def _has_surrogates(*texts: str) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for text in texts for character in text)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((0, b"JPEG"), "no query message"),
        ((4, b"\x01\x00"), "version 1"),
        ((6, b"\x07"), "unknown encoding 7"),
        ((7, b"\xff"), "255 negative texts"),
        ((8, b"\x00\x00"), "0 tokens"),
        ((8, b"\xff\xff"), "65535 tokens"),
        ((10, b"\x07\x00"), "cut off"),
        ((10, b"\x05\x00"), "8 bytes more"),
        ((12, b"\xff\xff"), "at most 1024"),
        ((15, b"\x01"), "reserved byte 1"),
        ((40, b"\xff"), "the composer's name is no UTF-8"),
        ((TEXTS_END, b"\x01\x00"), "cut off"),
        ((TEXTS_END, b"\x00\xff"), "cut off"),
        ((TOKENS_START, struct.pack("<e", float("nan"))), "not finite"),
        ((TOKENS_START, struct.pack("<e", float("inf"))), "not finite"),
    ],
)
def test_what_is_wrong_is_said(change: tuple[int, bytes], why: str) -> None:
    with pytest.raises(DeviceMessageError, match=why):
        unpack(altered(pack(make_message(), "fp16"), *change))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_vector_travels_with_the_tokens(encoding: str) -> None:
    sent = make_message(vector=UNIT)
    received = unpack(pack(sent, encoding))

    assert received.vector is not None
    np.testing.assert_allclose(received.vector, UNIT, atol=4e-3)
    np.testing.assert_allclose(received.tokens, sent.tokens, atol=0.02)
    assert unpack(pack(make_message(), encoding)).vector is None


@pytest.mark.parametrize(
    ("vector", "why"),
    [
        (UNIT[None], "shape"),
        (UNIT * 2, "length 2 instead of 1"),
        (UNIT * np.nan, "length nan"),
        (np.ones(4097) / np.sqrt(4097), "4096"),
    ],
)
def test_what_is_no_unit_vector_is_not_sent(vector: np.ndarray, why: str) -> None:
    with pytest.raises(DeviceMessageError, match=why):
        pack(make_message(vector=vector))


def test_a_forged_vector_is_refused() -> None:
    data = pack(make_message(vector=UNIT), "fp16")
    at = len(data) - 4 - 2 * len(UNIT)
    with pytest.raises(DeviceMessageError, match="instead of 1"):
        unpack(altered(data, at, struct.pack("<e", 9.0)))


def test_scales_that_overflow_are_refused() -> None:
    data = altered(pack(make_message(), "int8"), TOKENS_START, struct.pack("<f", 3e38))
    with pytest.raises(DeviceMessageError, match="not finite"):
        unpack(data)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"text": "x" * 1025}, "1025 bytes"),
        ({"negatives": ("x",) * 9}, "at most 8"),
        ({"negatives": (" ",)}, "must not be empty"),
        ({"composer": "x" * 256}, "the composer's name"),
        ({"text": "\ud800"}, "no valid text"),
        ({"text_checksum": "xyz"}, "hexadecimal"),
        ({"gallery_fingerprint": "00"}, "16 hexadecimal digits"),
    ],
)
def test_what_cannot_be_sent_is_said(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(DeviceMessageError, match=why):
        pack(make_message(**fields))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_tokens_that_are_no_numbers_are_not_sent(value: float) -> None:
    message = make_message()
    message.tokens[1, 2] = value
    with pytest.raises(DeviceMessageError, match="not finite"):
        pack(message)


def test_large_values_need_scales() -> None:
    message = make_message()
    message.tokens[0, 0] = 1e6
    with pytest.raises(DeviceMessageError, match="int8"):
        pack(message)
    assert unpack(pack(message, "int8")).tokens[0, 0] == pytest.approx(1e6)


def test_too_many_tokens_for_one_message_are_said() -> None:
    message = make_message(tokens=16, width=384)
    with pytest.raises(DeviceMessageError, match="int8"):
        pack(message, "fp16")
    assert len(pack(message, "int8")) < MAX_BYTES
    with pytest.raises(DeviceMessageError, match="65 tokens"):
        pack(make_message(tokens=65, width=4))


@pytest.mark.parametrize("tokens", [1, 2, 4, 6, 8, 12])
def test_a_query_of_the_packaged_model_fits(tokens: int) -> None:
    longest = {"text": "x" * 500, "negatives": ("people",)}
    assert len(pack(make_message(tokens=tokens, width=384, **longest), "fp16")) <= MAX_BYTES


def test_a_file_is_read_no_further_than_a_message_may_go(tmp_path: Path) -> None:
    (tmp_path / "good.cir").write_bytes(pack(make_message()))
    assert read_message(tmp_path / "good.cir").text == "but at night"
    (tmp_path / "large.cir").write_bytes(bytes(5_000_000))
    with pytest.raises(DeviceMessageError, match="at most 10000"):
        read_message(tmp_path / "large.cir")
    with pytest.raises(DeviceMessageError, match=r"missing\.cir cannot be read"):
        read_message(tmp_path / "missing.cir")
