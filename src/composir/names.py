"""What bundles and composers may be called, and how names from outside are shown."""

NAME_PATTERN = "^[a-z0-9][a-z0-9._-]*$"
"""Names become folders, parts of file names and words on the command line, on every system."""


def printable(text: str) -> str:
    r"""Escape what could harm or break a terminal.

    Control characters, bidirectional overrides and line ends become `\x1b`-like escapes, bytes of
    a file name that is not UTF-8 become `\xff`; everything else, of any alphabet, stays.
    """
    return "".join(c if c == " " or c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for an undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
