"""Every figure as the page shows it: drawn, written, with its caption and its alternative text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tli.labels import metric_label
from tli.report import figures, style, svg
from tli.report.beside import Room, put_beside
from tli.report.columnar import as_json
from tli.report.drawings import Drawing, span
from tli.report.input import ReportInput
from tli.report.names import FIGURES, figure_name
from tli.report.numbers import signed
from tli.report.selection import first_verdicts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = Path(__file__).resolve().parents[2] / "report"
WIDE = 760  # pixels: a figure beside which words would have too little room


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    name: str  # of its files, without suffix
    title: str
    svg: str  # "" where the page has no room for it
    caption: list[str]  # HTML paragraphs
    counts: str  # n and seeds
    alt: str
    is_wide: bool  # words beside it would leave it too little room
    beside: str = ""  # the file that hands the SVG to the page, where it is not in it
    why_empty: str = ""  # the page shows this in its place


def caption(key: str) -> list[str]:
    """The caption of workflow/report/<key>.rst as HTML paragraphs: the page and Snakemake's report say the same."""
    from markupsafe import escape

    try:
        text = (CAPTIONS / f"{key}.rst").read_text(encoding="utf-8").strip()
    except OSError:
        return []
    paragraphs = [str(escape(" ".join(part.split()))) for part in text.split("\n\n")]
    paragraphs = [re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", part) for part in paragraphs]
    return [re.sub(r"``(.+?)``", r"<code>\1</code>", part) for part in paragraphs]


def primary_picture(report: ReportInput, folder: Path, room: Room) -> Picture | None:
    """The first screen's small graphic: the primary endpoint of every group's first cell against before and placebo."""
    verdicts = first_verdicts(report)
    if verdicts.empty:
        return None
    labels = [f"{row.model}, {row.pair}" for row in verdicts.itertuples()]
    metric = metric_label(verdicts["metric"].iloc[0])
    figure = figures.forest(verdicts, [label.replace(", ", "\n") for label in labels], metric, width=4.7)
    alt = " ".join(
        f"{name}: after - before {signed(row.change)} ({signed(row.change_low)} to {signed(row.change_high)}), real - placebo "
        f"{signed(row.against_placebo)} ({signed(row.against_placebo_low)} to {signed(row.against_placebo_high)})."
        for name, row in zip(labels, verdicts.itertuples(), strict=True)
    )
    drawn = svg.written(marked(figure, report.experiment.is_demo), "primary", folder)
    counts = f"n = {span(verdicts['heldout_pairs'])} held-out pairs, {span(verdicts['seeds'])} seeds."
    return placed(Picture("primary", "The primary endpoint", drawn, caption("primary"), counts, alt, False), folder, room)


def pictures(drawing: Drawing, folder: Path, room: Room) -> Iterator[Picture]:
    """Draw every figure of one (model, pair) into `folder`; where its rows are missing, a file that says so."""
    for key, (title, _) in FIGURES.items():
        yield picture(drawing, key, title, folder, room)


def picture(drawing: Drawing, key: str, title: str, folder: Path, room: Room) -> Picture:
    """Draw the figure `key` into `folder`; where the page has no room for it, it lies beside."""
    name, drawn = figure_name(key, drawing.model, drawing.pair), drawing.of(key)
    alt = f"{title}, {drawing.model}, {drawing.pair}. {drawn.counts} The figures behind it are in the tables."
    text, why = (
        svg.written(marked(drawn.figure, drawing.report.experiment.model(drawing.model).demo), name, folder),
        style.why_empty(drawn.figure),
    )
    made = Picture(name, title, "" if why else text, caption(key), drawn.counts, alt, is_wide(text), why_empty=why)
    return made if why else placed(made, folder, room)


def is_wide(svg: str) -> bool:
    """Whether words beside a figure would have too little room."""
    width = re.search(r'style="width:(\d+)px"', svg)
    return width is not None and int(width.group(1)) > WIDE


def placed(made: Picture, folder: Path, room: Room) -> Picture:
    """The picture in the page, or beside it where the page has no room left for it."""
    if room.takes(len(made.svg)):
        return made
    return replace(made, svg="", beside=put_beside(folder.parent, f"{folder.name}/{made.name}.js", [as_json(made.svg)]))


@style.styled
def marked(figure: Figure, is_demo: bool) -> Figure:
    """Write "demo model" into the figure of a demo, so that it cannot travel as a claim about a real model."""
    if is_demo and figure.axes:
        figure.supxlabel(
            "demo model: no claim about a real one", fontsize=7 if figure.get_figwidth() < 5 else 8, x=0.995, ha="right", style="italic"
        )
    return figure
