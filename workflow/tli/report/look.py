"""How every figure looks: colours, fonts, and how it is written as SVG and PNG.

Colours are those of Okabe and Ito (2008), told apart with any kind of colour blindness. An arm keeps its colour in all
figures. Ink and paper are two marked colours: the SVG replaces them by the page's own, so one file serves light and dark.
"""

from __future__ import annotations

import functools
import io
import logging
import re
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

INK, PAPER = "#1b1c1d", "#fefdfc"
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
BASELINE = "#808080"
REAL_ARMS = [BLUE, GREEN, PURPLE, SKY]
CONTROL_ARMS = [ORANGE, VERMILLION]
MARKERS = ["o", "s", "^", "D", "v", "P"]
FAMILIES = ["DejaVu Sans", "Noto Sans Ethiopic", "Abyssinica SIL", "Noto Sans Arabic", "Noto Naskh Arabic",
            "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans CJK JP"]  # fmt: skip


def arm_colours(arms: Iterable[str], controls: Iterable[str] = ()) -> dict[str, str]:
    """Give each arm its colour, by its order; baselines are grey, placebo and zero arms orange and vermillion."""
    controls = set(controls)
    colours, real, control = {}, 0, 0
    for arm in dict.fromkeys(arms):
        if arm.startswith("baseline"):
            colours[arm] = BASELINE
        elif arm in controls or "placebo" in arm or arm == "zero":
            colours[arm] = CONTROL_ARMS[control % len(CONTROL_ARMS)]
            control += 1
        else:
            colours[arm] = REAL_ARMS[real % len(REAL_ARMS)]
            real += 1
    return colours


def style() -> dict:
    """The matplotlib settings that every figure is drawn with; fonts that the machine lacks are left out of the list."""
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    return {
        "font.family": [name for name in FAMILIES if name in there] or ["DejaVu Sans"],
        "font.size": 10, "axes.titlesize": 10.5, "axes.titlelocation": "left", "axes.labelsize": 10, "legend.fontsize": 9,
        "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": INK, "grid.alpha": 0.12,
        "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.linewidth": 0.7, "lines.linewidth": 1.7,
        "svg.fonttype": "none", "svg.hashsalt": "tli", "figure.dpi": 100, "figure.constrained_layout.use": True,
        "text.usetex": False, "text.parse_math": False, "axes.unicode_minus": True,
    }  # fmt: skip


def styled(draw: Callable) -> Callable:
    """Decorate a figure function: all that it draws has this style."""

    @functools.wraps(draw)
    def drawn(*arguments, **more):
        import matplotlib

        with matplotlib.rc_context(style()):
            return draw(*arguments, **more)

    return drawn


def new(width: float, height: float, rows: int = 1, columns: int = 1, **more):
    """A figure of `width` by `height` inches and its axes; it needs no screen and no pyplot. For functions that are `styled`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **more)


@styled
def nothing(text: str):
    """A small figure that says why there is nothing to draw."""
    figure, axes = new(6, 1)
    axes.axis("off")
    axes.text(0, 0.5, text, va="center", wrap=True)
    return figure


def written(figure, name: str, folder: Path) -> str:
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
        with matplotlib.rc_context(style()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # the layout is found once, not for each of the two files
            figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
            figure.savefig(folder / f"{name}.png", dpi=150, facecolor="white", metadata={"Software": None})
    finally:
        quiet.setLevel(level)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, count=1, flags=re.S)
    text = text.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
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
    return for_page(text, name)


def for_page(svg: str, name: str) -> str:
    """Make an SVG's ids its own (a short prefix made from `name`), let it shrink with the page, and hide it from screen
    readers (the figure around it carries the alternative text)."""
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
