"""A figure as SVG and PNG files, and as it stands in the page."""

from __future__ import annotations

import io
import logging
import re
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from tli.report import style, tooltips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEMO = "demo model: no claim about a real one"  # in every file of a demo, so that it cannot travel as a claim about a real model


def written(figure: Figure, name: str, folder: Path) -> str:
    """Write `figure` to folder/name.svg and folder/name.png; return the SVG as it goes into the page.

    The page's SVG has ids of its own, so that many can stand in one document; ink is currentColor and paper the
    variable --paper. The file's own SVG carries the two colours for a light and a dark screen.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    stream = io.StringIO()
    quiet = logging.getLogger("matplotlib.font_manager")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with matplotlib.rc_context(style.settings()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            told = tooltips.with_ids(figure)
            if (engine := figure.get_layout_engine()) is not None:
                engine.execute(figure)
            figure.set_layout_engine("none")  # the layout is found once, not for each of the two files
            figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
            figure.savefig(folder / f"{name}.png", dpi=150, facecolor="white", metadata={"Software": None})
    finally:
        quiet.setLevel(level)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = tooltips.written_in(tooltips.styled_once(text), told)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, count=1, flags=re.DOTALL)
    text = text.replace(style.INK, "currentColor").replace(style.PAPER, "var(--paper)")
    text = re.sub(r'\b(?:d|x|y|transform|points)="[^"]*"', lambda at: re.sub(r"(\d+\.\d\d)\d+", r"\1", at[0]), text)
    family = re.search(r"font-family: ([^;\"]+);", text)
    if family:  # once for the picture, not for each of its words; what the reader lacks falls back to any sans-serif
        text = text.replace(family[0], "").replace("<svg", f'<svg font-family="{family[1]}, sans-serif"', 1)
    text = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", text)
    text = re.sub(r"\n\s*", "\n", text)
    joins = "stroke-linejoin:round;stroke-linecap:butt"
    rules = f":root{{color:#1b1c1d;--paper:#fff}}@media (prefers-color-scheme:dark){{:root{{color:#e6e6e6;--paper:#15181c}}}}*{{{joins}}}"
    alone = text.replace("<defs>", f"<style>{rules}</style>\n <defs>", 1)
    (folder / f"{name}.svg").write_text('<?xml version="1.0" encoding="utf-8"?>\n' + alone, encoding="utf-8")
    return for_page(re.sub(rf"<text [^>]*>{DEMO}</text>", "", text), name)  # the page has its banner


def for_page(svg: str, name: str) -> str:
    """Make an SVG's ids its own (a short prefix made from `name`), let it shrink with the page, and hide it from screen
    readers (the figure around it carries the alternative text).
    """
    own = f"f{zlib.crc32(name.encode()):x}"
    svg = re.sub(r'\bid="(?!p[0-9a-f]|m[0-9a-f])[^"]*"', "", svg)  # only clip paths and markers are referred to
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{own}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{own}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{own}-\1"', svg)
    width = re.search(r'\bwidth="([\d.]+)pt"', svg)
    # A picture keeps its size in points up to the page's width; on a telephone its box scrolls rather than shrink to nothing.
    size = f' style="width:{float(width.group(1)) * 4 / 3:.0f}px"' if width else ""
    svg = re.sub(r'\s(width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg", f'<svg aria-hidden="true" focusable="false"{size}', 1)
