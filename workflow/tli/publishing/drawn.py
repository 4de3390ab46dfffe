"""Figures as PDF, in a width that fits a column or a page of a paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tli.report import style
from tli.report.drawings import Drawing
from tli.report.gallery import marked
from tli.report.input import ReportInput
from tli.report.names import FIGURES, figure_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

WIDTHS = {"column": 3.3, "page": 7.0}  # inches
UNSIGNED = {"Creator": None, "Producer": None, "CreationDate": None}
PAD = 0.02  # inches around what is drawn
SMALL = {  # drawn for a narrow place
    "first-curve": "Alignment by hidden state",
    "first-ladder": "From free to trained",
    "first-front": "Gain against harm",
}


@dataclass(frozen=True)
class Written:
    """A figure that was written: the width that it is made for, "column" or "page", and its caption."""

    width: str
    caption: str


def write_figures(report: ReportInput, folder: Path) -> dict[str, Written]:
    """Every figure of every model and pair as folder/<name>.pdf, by its name."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for model, pair in report.groups:
        drawing = Drawing(report, model, pair)
        for key, title in (SMALL | {key: title for key, (title, _) in FIGURES.items()}).items():
            drawn = drawing.of(key)
            if style.why_empty(drawn.figure):
                continue
            name, width = figure_name(key, model, pair), "column" if key in SMALL else "page"
            figure, box = scaled(marked(drawn.figure, report.experiment.model(model).demo), WIDTHS[width])
            with matplotlib.rc_context(style.settings() | {"pdf.fonttype": 42}):
                figure.savefig(folder / f"{name}.pdf", bbox_inches=box, metadata=UNSIGNED, facecolor="white")
            written[name] = Written(width, " ".join([f"{title.rstrip('?.')}; {model}, {pair}.", drawn.counts]).strip())
    return written


def scaled(figure: Figure, width: float) -> tuple[Figure, Bbox]:
    """The figure so that all that is drawn is `width` inches wide, and the box of that in inches: size, letters, lines and marks shrink or
    grow alike. In place.
    """
    from matplotlib.collections import Collection, PathCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    drawn = figure.get_tightbbox()
    factor = (width - 2 * PAD) / drawn.width
    figure.set_size_inches(figure.get_figwidth() * factor, figure.get_figheight() * factor)
    for text in figure.findobj(Text):
        text.set_fontsize(float(text.get_fontsize()) * factor)
    for line in figure.findobj(Line2D):
        line.set_linewidth(line.get_linewidth() * factor)
        line.set_markersize(line.get_markersize() * factor)
        line.set_markeredgewidth(line.get_markeredgewidth() * factor)
    for patch in figure.findobj(Patch):
        patch.set_linewidth(patch.get_linewidth() * factor)
    for one in figure.findobj(Collection):
        one.set_linewidth([float(value) * factor for value in np.atleast_1d(one.get_linewidth())])
        if isinstance(one, PathCollection):
            one.set_sizes([size * factor**2 for size in one.get_sizes()])
    box = Bbox([[drawn.x0 * factor - PAD, drawn.y0 * factor - PAD], [drawn.x1 * factor + PAD, drawn.y1 * factor + PAD]])
    return figure, box
