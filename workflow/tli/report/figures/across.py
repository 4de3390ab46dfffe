"""The cross-pair matrix: a row trained on, a column measured on, in each cell the change with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tli import facts
from tli.report import style
from tli.report.tooltips import set_tooltips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HURT_COLOURS, HELPED_COLOURS = ("#f6d6bf", "#8a3800"), ("#cbe1ee", "#0a4673")  # from a change of 0 to the largest
GREY, EDGE = "#dcdcdc", "#9a9a9a"
GAP = 0.16  # between families, of a cell
LARGE = 8  # columns up to which a cell has room for larger words


def colour_of(change: float, status: str, most: float) -> str:
    """A cell's fill: of what helped or hurt by its change, `most` being the darkest; grey where nothing is decided."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    if status not in (facts.HELPED, facts.HURT):
        return GREY
    ends = HELPED_COLOURS if status == facts.HELPED else HURT_COLOURS
    return to_hex(LinearSegmentedColormap.from_list("", ends)(min(1.0, abs(change) / most)))


def ink_on(fill: str) -> str:
    """Black or white, whichever has the higher contrast on this colour: at least 4.58 to 1, whatever the colour is."""
    light = luminance(fill)
    return "#000000" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "#ffffff"


def luminance(colour: str) -> float:
    """Relative luminance as in WCAG 2.1."""
    from matplotlib.colors import to_rgb

    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@dataclass(frozen=True)
class Axis:
    """The places of the rows or columns, with a gap between neighbours of different families."""

    names: tuple[str, ...]
    starts: tuple[float, ...]
    blocks: tuple[tuple[str, float, float], ...]  # family ("" of those that name none), where it begins, where it ends

    @classmethod
    def of(cls, names: Sequence[str], families: Mapping[str, str]) -> Axis:
        """One after another, as they are given."""
        starts: list[float] = []
        blocks: list[tuple[str, float, float]] = []
        for name in names:
            family, end = families.get(name, ""), starts[-1] + 1 if starts else 0.0
            if blocks and blocks[-1][0] == family:
                start = end
                blocks[-1] = (family, blocks[-1][1], start + 1)
            else:
                start = end + GAP if starts else end
                blocks.append((family, start, start + 1))
            starts.append(start)
        return cls(tuple(names), tuple(starts), tuple(blocks))

    @property
    def length(self) -> float:
        """In cells."""
        return self.starts[-1] + 1

    @property
    def middles(self) -> list[float]:
        """Where the names stand."""
        return [start + 0.5 for start in self.starts]

    @property
    def longest_family(self) -> int:
        """Letters."""
        return max(len(family) for family, _, _ in self.blocks)


@style.styled
def matrix(
    table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], families: Mapping[str, str], label: str = "CSLS P@1"
) -> Figure:
    """Each cell's change and 95 % interval of `table` (MATRIX, one model, arm, layer and rank), pairs `rows` down, lists `columns` across.

    Coloured is what helped or hurt; own pairs are framed; a gap stands between neighbours of different families (list -> name).
    """
    if table.empty:
        return style.nothing("No list but its own was measured.")
    down, across, large = Axis.of(rows, families), Axis.of(columns, families), len(columns) <= LARGE
    wide, high = (1.02, 0.56) if large else (0.56, 0.38)
    longest = max(map(len, [*rows, *columns]))
    upright = not large or longest > 12
    names = 0.085 * longest + 0.3
    above, below = (names + 0.35 if upright else 0.62), 0.85 + 0.08 * across.longest_family * upright
    size = max(4.6, names + wide * across.length + 0.1 * down.longest_family), above + high * down.length + below
    figure, axes = style.new(*size)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    cells = {(row.pair, row.on): row for row in table.itertuples()}
    most = max(1e-9, float(table["change"].abs().max()))
    for y, pair in zip(down.starts, rows, strict=True):
        for x, on in zip(across.starts, columns, strict=True):
            _cell(axes, (x, y), cells.get((pair, on)), most, large)
    axes.set_xlim(-0.03, across.length + 0.03)
    axes.set_ylim(down.length + 0.03, -0.03)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(across.middles, columns, fontsize=9 if large else 8.5, rotation=90 if upright else 0)
    trained_on = dict(zip(table["pair"], table["trained_on"], strict=True))
    axes.set_yticks(down.middles, [str(trained_on.get(name, name)).replace(" + ", "\n+ ") for name in rows], fontsize=9 if large else 8.5)
    axes.tick_params(length=0)
    axes.set_xlabel("measured on")
    axes.set_ylabel("trained on")
    _name_families(axes, down, across, wide)
    _legend(figure, label, most)
    return figure


def _cell(axes: Any, corner: tuple[float, float], row: Any, most: float, large: bool) -> None:
    from matplotlib.patches import Rectangle

    x, y = corner
    if row is None:
        axes.text(x + 0.5, y + 0.5, "–", ha="center", va="center", fontsize=8)
        return
    judged = row.status not in (facts.TOO_FEW, facts.FAILED)
    decided = row.status in (facts.HELPED, facts.HURT)
    fill = colour_of(row.change, row.status, most) if judged else "none"
    inked = ink_on(fill) if judged else style.INK  # of what stands on a fill: the page turns INK light in the dark, and no fill
    if judged:
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=fill, lw=1, edgecolor=style.PAPER))
    else:
        axes.add_patch(Rectangle((x + 0.03, y + 0.04), 0.94, 0.92, fill=False, lw=0.8, edgecolor=EDGE, ls=(0, (3, 2))))
    if row.own:
        corner_of_frame = (x + 0.04, y + 0.05)
        axes.add_patch(Rectangle(corner_of_frame, 0.92, 0.9, fill=False, label="own list", edgecolor=inked, lw=2, joinstyle="miter"))
    sizes, to = ((10, 7.5), " to ") if large else ((7.5, 5.4), " ")
    ink = {"ha": "center", "va": "center", "color": inked}
    axes.text(x + 0.5, y + 0.36, short(row.change), fontsize=sizes[0], fontweight="bold" if decided else "normal", **ink)
    axes.text(x + 0.5, y + 0.72, short(row.change_low) + to + short(row.change_high), fontsize=sizes[1], **ink)
    over = axes.add_patch(Rectangle(corner, 1, 1, facecolor=style.PAPER, alpha=0.004, lw=0, zorder=5))  # one tip for all of the cell
    set_tooltips(over, tip(row))


def short(value: float) -> str:
    """As in "+.12": what lies between -1 and 1 without its 0."""
    if not np.isfinite(value):
        return "?"
    text = f"{value:+.2f}"
    return text[0] + text[2:] if text[1] == "0" else text


def tip(row: Any) -> str:
    """What a cell says under the pointer."""
    figures = f"{row.change:+.3f} ({row.change_low:+.3f} to {row.change_high:+.3f})"
    against = f"; against the placebo {row.against_placebo:+.3f}" if np.isfinite(row.against_placebo) else ""
    p = f"; adjusted p {row.p_family:.2g}" if np.isfinite(row.p_family) else ""
    verdict = f" ({row.verdict})" if row.verdict != row.status else ""
    return f"{row.pair} on {row.on}: {row.status}{verdict}, {figures}{against}{p}; {row.words:.0f} words"


def _name_families(axes: Any, down: Axis, across: Axis, wide: float) -> None:
    """To the right of the rows and below the columns, upright where a name is wider than its columns of `wide` inches."""
    text = {"annotation_clip": False, "fontsize": 8.5, "style": "italic"}
    for family, start, end in down.blocks:
        axes.annotate(family, (across.length + 0.1, (start + end) / 2), ha="left", va="center", **text)
    for family, start, end in across.blocks:
        turned = 90 if 0.075 * len(family) > (end - start) * wide else 0
        axes.annotate(family, ((start + end) / 2, down.length + 0.12), ha="center", va="top", rotation=turned, **text)


def _legend(figure: Figure, label: str, most: float) -> None:
    """From the strongest harm over grey to the strongest gain, and what an empty cell and a frame say."""
    from matplotlib.patches import Patch

    shades = [(-most, facts.HURT), (-most / 4, facts.HURT), (0.0, facts.UNDECIDED), (most / 4, facts.HELPED), (most, facts.HELPED)]
    named = ["hurt " + short(-most), short(-most / 4), "not decided", short(most / 4), "helped " + short(most)]
    handles = [Patch(facecolor=colour_of(*one, most), edgecolor="none", label=text) for one, text in zip(shades, named, strict=True)]
    handles.append(Patch(facecolor="none", edgecolor=EDGE, ls=(0, (3, 2)), lw=0.8, label="too few, or failed"))
    handles.append(Patch(facecolor="none", edgecolor=style.INK, lw=2, label="own list"))
    rows = 1 if figure.get_figwidth() > 7.5 else 2
    columns = -(-len(handles) // rows)
    by_column = [handles[i + j * columns] for i in range(columns) for j in range(rows) if i + j * columns < len(handles)]
    title = f"change of {label} of held-out words; below it the 95 % interval"
    text = {"fontsize": 8, "title": title, "title_fontsize": 8.5, "handlelength": 1.6, "columnspacing": 1.2}
    figure.legend(handles=by_column, loc="outside lower left", ncols=columns, alignment="left", **text)
