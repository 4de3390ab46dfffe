"""Names beside the marks of a figure, where they cover neither marks nor lines nor each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tli.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

SIZE = 8  # points
WIDE, HIGH = 0.58 * SIZE, 1.25 * SIZE  # of a letter of the fonts in use, and of a line, points
FREE = 3  # points around a mark


@dataclass(frozen=True)
class Box:
    """A rectangle, in points."""

    left: float
    low: float
    right: float
    high: float

    def shared(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.high, other.high) - max(self.low, other.low)
        return max(0.0, width) * max(0.0, height)


@dataclass(frozen=True)
class Name:
    """What stands beside the point (x, y) of an axes, in its data."""

    text: str
    x: float
    y: float


def names(
    axes: Axes, told: Sequence[Name], lines: Iterable[Sequence[float]] = (), size: tuple[float, float] = (3.2, 2.9)
) -> list[Annotation]:
    """Write each name in ink beside its point, at the first of the places around it that nothing else stands at, else where least does.

    The limits and scales of `axes` must be set. lines: (x, y, x, y) of straight lines along an axis that names keep off, in data.
    size: of the axes, inches, as near as it is known before the layout.
    """
    width, height = 72 * size[0], 72 * size[1]
    to_share = axes.transData + axes.transAxes.inverted()

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = to_share.transform((x, y))
        return float(across) * width, float(up) * height

    taken = [_around(*at(name.x, name.y), FREE) for name in told]
    for x, y, to_x, to_y in lines:
        (left, low), (right, high) = at(x, y), at(to_x, to_y)
        taken.append(Box(min(left, right) - 1, min(low, high) - 1, max(left, right) + 1, max(low, high) + 1))
    written = []
    for name in told:
        x, y = at(name.x, name.y)
        inside = Box(0, 0, width, height)
        ways = [(_box(x + dx, y + dy, name.text, side), dx, dy, side) for dx, dy, side in PLACES]
        box, dx, dy, side = min(ways, key=lambda way: _cost(way[0], taken, inside))
        taken.append(box)
        written.append(
            axes.annotate(
                name.text, (name.x, name.y), (dx, dy), textcoords="offset points", fontsize=SIZE, color=style.INK, ha=side, va="center"
            )
        )
    return written


PLACES = [  # offsets in points, the nearest first, and the side of the name that stands there
    (dx, dy, side) for dy in (0, 9, -9, 18, -18, 27, -27, 36, -36) for dx, side in ((8, "left"), (-8, "right"), (0, "center")) if dy or dx
]


def _box(x: float, y: float, text: str, side: str) -> Box:
    width = WIDE * len(text)
    left = {"left": x, "right": x - width, "center": x - width / 2}[side]
    return Box(left, y - HIGH / 2, left + width, y + HIGH / 2)


def _around(x: float, y: float, space: float) -> Box:
    return Box(x - space, y - space, x + space, y + space)


def _cost(box: Box, taken: list[Box], inside: Box) -> float:
    """What a name at this place would cover, and what of it would stand outside."""
    own = (box.right - box.left) * (box.high - box.low)
    return sum(box.shared(other) for other in taken) + 2 * (own - box.shared(inside))
