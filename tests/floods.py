"""Small files that are floods: they take gigabytes or minutes where nothing holds the decoder back.

All are made on the spot and the same every time; most show one colour.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.pictures import encoded, png, png_header

THIN = (255, 526_000)
"""Just below the pixels that may be decoded, and not to be shrunk."""
LONG = (1, 1 << 27)


def deflated(size: int) -> bytes:
    """So many zeros, compressed; a megabyte is packed once and repeated."""
    packer = zlib.compressobj(9)
    head = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    whole, rest = divmod(size, 1 << 20)
    last = zlib.compressobj(9, wbits=-15)
    tail = last.compress(bytes(rest)) + last.flush()
    checksum = struct.pack(">L", (size % 65521) << 16 | 1)  # Adler-32 of zeros
    blocks = (head + again * (whole - 1)) if whole else b"\x78\xda"
    return blocks + tail + checksum


def flat_png(size: tuple[int, int], depth: int, colour: int) -> bytes:
    """A black PNG of any size and kind."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    row = 1 + size[0] * channels * depth // 8
    return png(png_header(*size, depth, colour), (b"IDAT", deflated(row * size[1])))


def flat_tiff(
    size: tuple[int, int],
    *,
    bits: int = 8,
    samples: int = 1,
    is_float: bool = False,
    tile: tuple[int, int] | None = None,
) -> bytes:
    """A black TIFF of any size and kind, in one deflated strip or tile."""
    width, height = tile or size
    data = deflated(width * height * samples * bits // 8)
    entries = [
        (256, 4, 1, size[0]),
        (257, 4, 1, size[1]),
        (258, 3, 1, bits) if samples == 1 else (258, 3, samples, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1 if samples < 3 else 2),
        (277, 3, 1, samples),
        (339, 3, 1, 3 if is_float else 1),
    ]
    where = (322, 4, 1, width), (323, 4, 1, height), (324, 4, 1, 16), (325, 4, 1, len(data))
    strip = (273, 4, 1, 16), (278, 4, 1, height), (279, 4, 1, len(data))
    entries += where if tile else strip
    if samples > 2:
        entries.append((338, 3, 1, 2))
    entries = [e for e in entries if not (samples > 1 and e[0] == 339)]
    sample_bits = struct.pack("<4H", *[bits] * 4)
    table = b"".join(struct.pack("<HHLL", *entry) for entry in sorted(entries))
    head = b"II*\0" + struct.pack("<L", 16 + len(data) + len(data) % 2)
    directory = struct.pack("<H", len(entries)) + table + bytes(4)
    return head + sample_bits + data + bytes(len(data) % 2) + directory


def flat_webp(side: int = 11_585) -> bytes:
    """Thirty bytes that become a black square of any side: each pixel takes no bit."""
    size = struct.pack("<L", (side - 1) | (side - 1) << 14)
    chunk = b"VP8L" + struct.pack("<L", 9) + b"\x2f" + size + bytes.fromhex("8888fe07") + b"\0"
    return b"RIFF" + struct.pack("<L", 4 + len(chunk)) + b"WEBP" + chunk


def huge_progressive() -> bytes:
    """A progressive JPEG of full colour whose header says 11,000 x 11,000 pixels."""
    content = encoded(Image.new("RGB", (500, 500)), "JPEG", progressive=True, subsampling=0)
    said = struct.pack(">HH", 500, 500)
    return content.replace(said, struct.pack(">HH", 11_000, 11_000), 1)


def many_scans(size: tuple[int, int] = (2000, 2000), scans: int = 3000) -> bytes:
    """A progressive JPEG that refines the same coefficients over and over."""
    content = encoded(Image.new("L", size, 90), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + b"\xff\xd9"


def slow_qoi(size: tuple[int, int] = (4096, 4096)) -> bytes:
    """A pixel a byte."""
    head = b"qoif" + struct.pack(">LLBB", *size, 3, 0)
    return head + bytes(size[0] * size[1]) + bytes(7) + b"\1"


def plain_ppm(size: tuple[int, int] = (4096, 4096)) -> bytes:
    """Numbers as text."""
    return b"P3 %d %d 255\n" % size + b"1 " * (3 * size[0] * size[1])


def slow_bmp(size: tuple[int, int] = (4096, 4096)) -> bytes:
    """Run-length encoded, with runs of one pixel."""
    body = b"\1\1" * (size[0] * size[1]) + b"\0\1"
    palette = bytes(4 * 256)
    start = 14 + 40 + len(palette)
    info = struct.pack("<LllHHLLllLL", 40, *size, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<LLL", start + len(body), 0, start) + info + palette + body


def flat_pfm(size: tuple[int, int]) -> bytes:
    """Floats, uncompressed: cut short, so that the header alone is believed."""
    return b"Pf\n%d %d\n-1.0\n" % size + bytes(1000)


def many_strips(count: int = 8_000_000) -> bytes:
    """A TIFF of a thousand rows whose directory names millions of strips."""
    entries = [(256, 4, 1, 1), (257, 4, 1, 1000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, count, 122), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, 122)]
    table = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + table + bytes(4) + bytes(4 * count + 8)


MEMORY_FLOODS: dict[str, Callable[[], bytes]] = {
    "webp": flat_webp,
    "png-grey16": lambda: flat_png(THIN, 16, 0),
    "png-grey-alpha": lambda: flat_png(THIN, 8, 4),
    "png-rgba": lambda: flat_png(THIN, 8, 6),
    "png-long": lambda: flat_png(LONG, 8, 0),
    "png-wide-16": lambda: flat_png(LONG[::-1], 16, 0),
    "tiff-16": lambda: flat_tiff(THIN, bits=16),
    "tiff-float": lambda: flat_tiff(THIN, bits=32, is_float=True),
    "tiff-rgba": lambda: flat_tiff(THIN, samples=4),
    "tiff-tile": lambda: flat_tiff((64, 64), tile=(16_384, 65_536)),
    "tiff-strips": many_strips,
    "pfm": lambda: flat_pfm(THIN),
    "jpeg-progressive": huge_progressive,
}
"""Files by name of which each takes more than a gigabyte in a decoder that believes it."""

TIME_FLOODS: dict[str, Callable[[], bytes]] = {
    "jpeg": many_scans,
    "qoi": slow_qoi,
    "ppm": plain_ppm,
    "bmp": slow_bmp,
}
"""Files by name of which each takes many seconds."""


HEADER_FLOODS: dict[str, Callable[[], bytes]] = {
    "gif-comments": lambda: b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe\1x\0" * 2_000_000,
    "png-chunks": lambda: png(
        png_header(1, 1), *[(b"abCd", b"")] * 400_000, (b"IDAT", zlib.compress(bytes(4)))
    ),
    "jpeg-markers": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 2_000_000,
    "ppm-comment": lambda: b"P6 #" + b"x" * 8_000_000,
}
"""Files by name whose header alone takes seconds."""
