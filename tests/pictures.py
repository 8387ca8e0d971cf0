"""Every odd and every bad picture that people have on their disks, made on the spot.

The odd ones show the same scene, `quadrants()`: red and green above blue and yellow. So a test can
read any of them and compare.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from composir.types import PixelArray

RED, GREEN, BLUE, YELLOW = (200, 40, 40), (40, 160, 60), (50, 60, 190), (220, 200, 60)


def quadrants(width: int = 48, height: int = 32) -> Image.Image:
    """Red and green above blue and yellow; wider than high."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    picture.paste(YELLOW, (width // 2, height // 2, width, height))
    return picture


def corners(rgb: Image.Image) -> list[tuple[int, ...]]:
    """Colours in the middle of the four quadrants, in reading order."""
    pixels = np.asarray(rgb)
    height, width = pixels.shape[:2]
    return [
        tuple(int(value) for value in pixels[height * y // 4, width * x // 4])
        for y in (1, 3)
        for x in (1, 3)
    ]


def encoded(picture: Image.Image, format_name: str, **options: object) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def exif(
    orientation: int | None = None,
    *,
    original: str | None = None,
    changed: str | None = None,
    make: str | None = None,
    model: str | None = None,
) -> bytes:
    """A block of EXIF; dates as `2023:05:06 12:34:56`."""
    block = Image.Exif()
    for tag, value in {0x0112: orientation, 0x0132: changed, 0x010F: make, 0x0110: model}.items():
        if value is not None:
            block[tag] = value
    if original is not None:
        block.get_ifd(0x8769)[0x9003] = original
    return block.tobytes()


def turned(orientation: int, format_name: str = "JPEG") -> bytes:
    """The scene stored so that it is upright once its orientation (1 to 8) is heeded."""
    stored = {
        1: quadrants(),
        2: ImageOps.mirror(quadrants()),
        3: quadrants().rotate(180),
        4: ImageOps.flip(quadrants()),
        5: quadrants().transpose(Image.Transpose.TRANSPOSE),
        6: quadrants().transpose(Image.Transpose.ROTATE_90),
        7: quadrants().transpose(Image.Transpose.TRANSVERSE),
        8: quadrants().transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    options: dict[str, object] = {"quality": 95} if format_name == "JPEG" else {}
    return encoded(stored, format_name, exif=exif(orientation), **options)


def deep_rgb() -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """The scene with 16 bits a channel; (h, w, 3) uint16."""
    return np.asarray(quadrants(), dtype=np.uint16) * 257


def png(ihdr: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG from its raw chunks, checksums added."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in ((b"IHDR", ihdr), *chunks, (b"IEND", b"")):
        checksum = struct.pack(">L", zlib.crc32(name + body))
        parts.append(struct.pack(">L", len(body)) + name + body + checksum)
    return b"".join(parts)


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """The body of IHDR."""
    return struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)


def deep_rgb_png(transparent: tuple[int, int, int] | None = None) -> bytes:
    """16 bits a channel, which Pillow cannot write; optionally with a transparent colour."""
    values = deep_rgb().astype(">u2")
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    key = [(b"tRNS", struct.pack(">HHH", *transparent))] if transparent else []
    return png(png_header(width, height, depth=16), *key, (b"IDAT", zlib.compress(rows)))


def deep_rgb_tiff() -> bytes:
    """16 bits a channel, uncompressed, little endian."""
    values = deep_rgb().astype("<u2")
    height, width = values.shape[:2]
    data = values.tobytes()
    bits_at = 8 + 2 + 9 * 12 + 4
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, bits_at + 6),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
    ]
    table = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<LH", 8, len(entries)) + table + struct.pack("<L", 0)
    return head + struct.pack("<HHH", 16, 16, 16) + data


def with_alpha() -> Image.Image:
    """The scene with its yellow quadrant fully transparent."""
    picture = quadrants().convert("RGBA")
    picture.paste((0, 0, 0, 0), (24, 16, 48, 32))
    return picture


def wide_gamut_profile() -> bytes:
    """An ICC profile of a made-up RGB space whose red and green channels are swapped.

    No camera has it; but whether it was heeded can be told from afar.
    """
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    swapped = bytearray(profile)
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    at = swapped.index("sRGB".encode("utf-16-be"))
    swapped[at : at + 8] = "swap".encode("utf-16-be")
    return bytes(swapped)


def _animation(format_name: str, **options: object) -> bytes:
    second = Image.new("RGB", quadrants().size, "black")
    return encoded(
        quadrants(), format_name, save_all=True, append_images=[second], duration=100, **options
    )


def _transparent_palette() -> bytes:
    paletted = quadrants().quantize(8)
    corner = paletted.getpixel((47, 31))
    return encoded(paletted, "PNG", transparency=corner)


def _soft_palette() -> bytes:
    paletted = quadrants().quantize(4)
    alphas = bytearray(b"\xff\xff\xff\xff")
    corner = paletted.getpixel((47, 31))
    assert isinstance(corner, int)
    alphas[corner] = 1
    return encoded(paletted, "PNG", transparency=bytes(alphas))


COLOUR_PICTURES: dict[str, Callable[[], bytes]] = {
    "plain.jpg": lambda: encoded(quadrants(), "JPEG", quality=95),
    "progressive.jpg": lambda: encoded(quadrants(), "JPEG", quality=95, progressive=True),
    "plain.png": lambda: encoded(quadrants(), "PNG"),
    "plain.webp": lambda: encoded(quadrants(), "WEBP", lossless=True),
    "plain.avif": lambda: encoded(quadrants(), "AVIF", quality=95, subsampling="4:4:4"),
    "plain.bmp": lambda: encoded(quadrants(), "BMP"),
    "plain.ppm": lambda: encoded(quadrants(), "PPM"),
    "plain.jp2": lambda: encoded(quadrants(), "JPEG2000"),
    "plain.qoi": lambda: encoded(quadrants(), "QOI"),
    "lzw.tif": lambda: encoded(quadrants(), "TIFF", compression="tiff_lzw"),
    "pages.tif": lambda: _animation("TIFF"),
    "animated.gif": lambda: _animation("GIF"),
    "animated.png": lambda: _animation("PNG"),
    "animated.webp": lambda: _animation("WEBP", lossless=True),
    "animated.avif": lambda: _animation("AVIF", quality=95, subsampling="4:4:4"),
    "palette.png": lambda: encoded(quadrants().quantize(8), "PNG"),
    "rgb16.png": deep_rgb_png,
    "rgb16.tif": deep_rgb_tiff,
    "cmyk.jpg": lambda: encoded(quadrants().convert("CMYK"), "JPEG", quality=95),
    "cmyk.tif": lambda: encoded(quadrants().convert("CMYK"), "TIFF"),
    "ycbcr.tif": lambda: encoded(quadrants().convert("YCbCr"), "TIFF"),
    "lab.tif": lambda: encoded(quadrants().convert("LAB"), "TIFF"),
    "wrong-extension.png": lambda: encoded(quadrants(), "JPEG", quality=95),
    "turned.jpg": lambda: turned(6),
    "turned.tif": lambda: turned(6, "TIFF"),
    "turned.png": lambda: turned(8, "PNG"),
    "turned.webp": lambda: turned(5, "WEBP"),
    "turned.avif": lambda: turned(6, "AVIF"),
}
"""Files that all show the scene, by name."""

TRANSPARENT_PICTURES: dict[str, Callable[[], bytes]] = {
    "alpha.png": lambda: encoded(with_alpha(), "PNG"),
    "alpha.webp": lambda: encoded(with_alpha(), "WEBP", lossless=True),
    "alpha.avif": lambda: encoded(with_alpha(), "AVIF", quality=95, subsampling="4:4:4"),
    "alpha.tif": lambda: encoded(with_alpha(), "TIFF"),
    "alpha.gif": lambda: encoded(with_alpha(), "GIF"),
    "palette-index.png": _transparent_palette,
    "palette-alphas.png": _soft_palette,
    "colour-key.png": lambda: encoded(quadrants(), "PNG", transparency=YELLOW),
    "colour-key-16.png": lambda: deep_rgb_png((220 * 257, 200 * 257, 60 * 257)),
}
"""Files that show the scene with its yellow quadrant transparent, by name."""


def _cut(content: bytes, share: float = 0.6) -> bytes:
    return content[: int(len(content) * share)]


def noise(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """A picture that compresses badly."""
    values: PixelArray = np.random.default_rng(seed).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    return Image.fromarray(values)


BAD_PICTURES: dict[str, Callable[[], bytes]] = {
    "empty.jpg": lambda: b"",
    "text.jpg": lambda: b"Dear diary, today I was not a picture.\n" * 20,
    "page.jpg": lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "drawing.png": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"></svg>',
    "zeros.png": lambda: bytes(5000),
    "random.gif": lambda: np.random.default_rng(3).bytes(5000),
    "postscript.jpg": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
    "magic-only.jpg": lambda: b"\xff\xd8\xff",
    "magic-only.png": lambda: b"\x89PNG\r\n\x1a\n",
    "magic-only.webp": lambda: b"RIFF\x04\x00\x00\x00WEBP",
    "magic-only.avif": lambda: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    "magic-only.tif": lambda: b"II*\0\x08\0\0\0",
    "cut.jpg": lambda: _cut(encoded(noise(), "JPEG")),
    "cut-progressive.jpg": lambda: _cut(encoded(noise(), "JPEG", progressive=True)),
    "cut.png": lambda: _cut(encoded(noise(), "PNG")),
    "cut.gif": lambda: _cut(encoded(noise(), "GIF")),
    "cut.webp": lambda: _cut(encoded(noise(), "WEBP")),
    "cut.avif": lambda: _cut(encoded(noise(), "AVIF")),
    "cut.tif": lambda: _cut(encoded(noise(), "TIFF", compression="tiff_lzw")),
    "cut.bmp": lambda: _cut(encoded(noise(), "BMP")),
    "no-pixels.png": lambda: png(png_header(0, 0), (b"IDAT", zlib.compress(b""))),
    "no-height.png": lambda: png(png_header(10, 0), (b"IDAT", zlib.compress(b""))),
    "bomb.png": lambda: png(png_header(100_000, 100_000), (b"IDAT", zlib.compress(bytes(1000)))),
    "bomb.webp": lambda: (
        b"RIFF\x2a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2 + b"VP8L\x05\0\0\0/\0\0\0\0"
    ),
    "bomb.gif": lambda: b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
    "bomb.ppm": lambda: b"P6 100000 100000 255\n",
    "bomb.bmp": lambda: (
        b"BM" + struct.pack("<LLLLllHHLLllLL", 54, 0, 54, 40, 90_000, 90_000, 1, 24, *[0] * 6)
    ),
}
"""Files that cannot be read, by name."""


def write_all(makers: dict[str, Callable[[], bytes]], folder: Path) -> list[Path]:
    """Write pictures into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in makers]
    for path, make in zip(paths, makers.values(), strict=True):
        path.write_bytes(make())
    return paths


def write_special_files(folder: Path) -> list[Path]:
    """Things named like pictures that are no files: a folder, pipe, socket, broken and looped link.

    POSIX only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ["folder.jpg", "pipe.jpg", "socket.jpg", "broken-link.jpg", "loop.jpg"]
    directory, pipe, sock, broken, loop = (folder / name for name in names)
    directory.mkdir()
    os.mkfifo(pipe)
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket may have about 100 bytes only
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(sock.name)
    finally:
        os.chdir(here)
    broken.symlink_to("nowhere.jpg")
    loop.symlink_to(loop.name)
    return [directory, pipe, sock, broken, loop]
