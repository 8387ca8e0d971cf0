"""Query messages on the server's side: read with every check, refused in words.

The format itself is in `client.wire`, which devices use too.
"""

from __future__ import annotations

from pathlib import Path

from composir.compose.trained import ComposerFolder
from composir.data.files import open_regular
from composir.device.client import wire
from composir.device.client.wire import MAX_BYTES, QueryMessage
from composir.errors import DeviceMessageError, MessageMismatchError

IDENTITY_DIGITS = 16


def pack(message: QueryMessage, encoding: str = "fp16") -> bytes:
    """Write a message, as a device does.

    Raises:
        DeviceMessageError: If a part is out of range or the whole is too long.
    """
    try:
        return wire.pack(message, encoding)
    except wire.WireError as error:
        raise DeviceMessageError(f"cannot write the query message: {error}") from error


def unpack(data: bytes) -> QueryMessage:
    """Read a message from a device.

    Returns:
        The message; its tokens are finite and of the shape that it says, its texts short and valid.

    Raises:
        DeviceMessageError: If anything about it is wrong.
    """
    try:
        return wire.unpack(data)
    except wire.WireError as error:
        raise DeviceMessageError(f"the query message is refused: {error}") from error


def read_message(path: Path) -> QueryMessage:
    """Read a message from a file."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)  # one more than allowed is enough to refuse it
    except OSError as error:
        raise DeviceMessageError(f"the message {path} cannot be read: {error.strerror}") from error
    return unpack(data)


def check_belongs(message: QueryMessage, composer: ComposerFolder) -> None:
    """Refuse tokens that another composer, or one of another model, has made."""
    made = composer.manifest
    expected = {
        "model (gallery encoder)": (message.gallery_fingerprint, made.model.fingerprint),
        "text encoder": (message.text_checksum, made.text),
        f"composer ({message.composer})": (message.composer_fingerprint, composer.fingerprint),
    }
    for what, (theirs, ours) in expected.items():
        if theirs != ours[:IDENTITY_DIGITS]:
            raise MessageMismatchError(
                f"the query message belongs to another {what}: {theirs}, here it is "
                f"{ours[:IDENTITY_DIGITS]} ({made.name}). Export the query side again "
                "(composir export query-side), or use the composer that the device has"
            )
    if (message.vector is not None) != made.vector:
        has, makes = ("no", "makes one") if made.vector else ("a", "makes none")
        raise MessageMismatchError(
            f"the query message has {has} vector; the composer {made.name} {makes}"
        )
    shape = (made.tokens, made.word_dimension)
    if message.tokens.shape != shape:
        raise MessageMismatchError(
            f"the query message has tokens of shape {message.tokens.shape}; "
            f"the composer {made.name} makes {shape}"
        )
