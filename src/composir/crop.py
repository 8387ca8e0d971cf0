"""A slice of a picture: which part of a reference a query is about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from composir.errors import QueryError

Unit: TypeAlias = Literal["px", "%"]
Box: TypeAlias = tuple[int, int, int, int]
_FORM = "write X,Y,WIDTH,HEIGHT in pixels, e.g. 40,10,300,200, or in percent, e.g. 10%,0%,50%,50%"
_ROUNDING = 1e-9  # 33.3 + 66.7 is a little more than 100


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of an upright picture.

    Example:
        >>> Crop(40, 10, 300, 200)
        >>> Crop(10, 0, 50, 50, "%")

    Attributes:
        x: Its left edge.
        y: Its upper edge.
        width: Its width.
        height: Its height.
        unit: What all four are: `px`, whole pixels of the file's picture, or `%` of its sides.
    """

    x: float
    y: float
    width: float
    height: float
    unit: Unit = "px"

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            QueryError: If they are no rectangle, or one that no picture can hold.
        """
        if self.unit not in ("px", "%"):
            raise QueryError(f"the unit of a crop is 'px' or '%', not {self.unit!r}")
        for number in self._numbers:
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise QueryError(f"a crop is of four numbers, not {type(number).__name__}")
            if not math.isfinite(number):
                raise QueryError(f"the crop {self} is not finite: {_FORM}")
            if self.unit == "px" and number != int(number):
                raise QueryError(f"the crop {self} cuts through pixels: give whole ones")
        if min(self.x, self.y) < 0 or min(self.width, self.height) <= 0:
            raise QueryError(
                f"the crop {self} is no part of a picture: x and y are at least 0, width and "
                "height above 0"
            )
        if self.unit == "%" and not self._fits(100.0, 100.0):
            raise QueryError(
                f"the crop {self} reaches beyond 100 %: the third and fourth number are width and "
                "height"
            )

    @classmethod
    def parse(cls, text: str) -> Crop:
        """Read the form of the command line.

        Args:
            text: `X,Y,WIDTH,HEIGHT`, all in pixels or all with a `%`.

        Raises:
            QueryError: If it is of another form.
        """
        parts = [part.strip() for part in text.split(",")]
        in_percent = [part.endswith("%") for part in parts]
        if len(parts) != 4 or len(set(in_percent)) != 1:
            raise QueryError(f"the crop {text!r} is not understood: {_FORM}")
        try:
            x, y, width, height = (float(part.removesuffix("%")) for part in parts)
        except ValueError as error:
            raise QueryError(f"the crop {text!r} is not understood: {_FORM}") from error
        return cls(x, y, width, height, "%" if in_percent[0] else "px")

    def box(self, width: int, height: int) -> Box:
        """The rectangle in pixels of one picture.

        Args:
            width: Of the upright picture, pixels.
            height: Likewise.

        Returns:
            Left, upper, right and lower edge, as Pillow's `crop` takes them; at least one pixel.

        Raises:
            QueryError: If it reaches beyond the picture.
        """
        if self.unit == "px":
            if not self._fits(width, height):
                raise QueryError(
                    f"the crop {self} reaches beyond the picture, which is {width} x {height} "
                    "pixels"
                )
            left, upper = int(self.x), int(self.y)
            return left, upper, left + int(self.width), upper + int(self.height)
        left, right = _edges(self.x, self.width, width)
        upper, lower = _edges(self.y, self.height, height)
        return left, upper, right, lower

    def __str__(self) -> str:
        """As the command line takes it."""
        sign = "%" if self.unit == "%" else ""
        return ",".join(f"{number:.15g}{sign}" for number in self._numbers)

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return self.x, self.y, self.width, self.height

    def _fits(self, width: float, height: float) -> bool:
        right, lower = self.x + self.width, self.y + self.height
        return right <= width + _ROUNDING and lower <= height + _ROUNDING


def _edges(start: float, length: float, side: int) -> tuple[int, int]:
    """Both edges of a share of a side, in pixels."""
    first = min(round(start / 100 * side), side - 1)
    return first, min(max(round((start + length) / 100 * side), first + 1), side)
