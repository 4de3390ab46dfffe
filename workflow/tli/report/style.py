"""How every figure looks: colours, marks, fonts.

Colours begin as those of Okabe and Ito (2008), told apart with any kind of colour blindness; the light ones are darkened until
every one has a contrast of 3 to 1 on the light and on the dark page. An arm keeps its colour in all figures. Ink and paper are two marked colours: the SVG replaces them by the page's own, so one file serves light and dark.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tli.report.selection import BASELINE as BASELINE_NAME

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, PAPER = "#1b1c1d", "#fefdfc"
BLUE, GREEN, PURPLE, SKY, OLIVE, VIOLET = "#0072B2", "#00916A", "#B8639A", "#2B93C9", "#7C7C00", "#8A6BD1"
ORANGE, VERMILLION, BROWN, ROSE, KHAKI = "#BA7F00", "#D55E00", "#9C6146", "#D6455D", "#8F7B4E"
BASELINE = "#808080"
REAL_ARMS = [BLUE, PURPLE, OLIVE, VIOLET, SKY]  # green is the free maps'
CONTROL_ARMS = [ORANGE, VERMILLION, BROWN, ROSE, KHAKI]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h"]  # of two arms of one colour the marks differ
FAMILIES = [
    "DejaVu Sans",
    "Noto Sans Ethiopic",
    "Abyssinica SIL",
    "Noto Sans Arabic",
    "Noto Naskh Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans CJK JP",
]


def arm_colours(arms: Iterable[str], controls: Iterable[str] = ()) -> dict[str, str]:
    """Give each arm its colour, by its order; baselines are grey, placebo and zero arms have warm ones."""
    controls = set(controls)
    colours, real, control = {}, 0, 0
    for arm in dict.fromkeys(arms):
        if arm.startswith(BASELINE_NAME):
            colours[arm] = BASELINE
        elif arm in controls or "placebo" in arm or arm == "zero":
            colours[arm] = CONTROL_ARMS[control % len(CONTROL_ARMS)]
            control += 1
        else:
            colours[arm] = REAL_ARMS[real % len(REAL_ARMS)]
            real += 1
    return colours


def dots(colour: str) -> dict:
    """How points that may cover one another are drawn: a light inside, an edge in the full colour."""
    from matplotlib.colors import to_rgba

    return {"color": colour, "mfc": to_rgba(colour, 0.45), "mec": colour, "mew": 0.9, "ls": "none"}


def settings() -> dict:
    """The matplotlib settings that every figure is drawn with; fonts that the machine lacks are left out of the list."""
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    return {
        "font.family": [name for name in FAMILIES if name in there] or ["DejaVu Sans"],
        "font.size": 10,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "legend.fontsize": 9,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.frameon": False,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": INK,
        "grid.alpha": 0.12,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "axes.linewidth": 0.7,
        "lines.linewidth": 1.7,
        "svg.fonttype": "none",
        "svg.hashsalt": "tli",
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "text.usetex": False,
        "text.parse_math": False,
        "axes.unicode_minus": True,
    }


def styled(draw: Callable) -> Callable:
    """Decorate a figure function: all that it draws has this style."""

    @functools.wraps(draw)
    def drawn(*arguments: Any, **more: Any) -> Any:
        import matplotlib

        with matplotlib.rc_context(settings()):
            return draw(*arguments, **more)

    return drawn


def new(width: float, height: float, rows: int = 1, columns: int = 1, **more: Any) -> tuple[Figure, Any]:
    """A figure of `width` by `height` inches and its axes; it needs no screen and no pyplot. For functions that are `styled`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **more)


@styled
def nothing(text: str) -> Figure:
    """A small figure that says why there is nothing to draw; its label says it too (`why_empty`)."""
    figure, axes = new(6, 1)
    axes.axis("off")
    axes.text(0, 0.5, text, va="center", wrap=True)
    figure.set_label(text)
    return figure


def why_empty(figure: Figure) -> str:
    """Why a figure shows nothing; "" of one that shows something."""
    return str(figure.get_label())


def shorter(text: str, most: int) -> str:
    """`text`, cut to `most` characters with a sign that it was cut."""
    text = str(text)
    return text if len(text) <= most else text[: most - 1] + "…"
