"""What a figure's marks say in the page: their value under the pointer, and whose arm they are, so that it can be switched off."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tli.report import style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

LONGEST = 160  # characters of what a mark says
ATTRIBUTE = "told"  # the attribute of an artist that says something, and what its id begins with


@dataclass(frozen=True)
class Tooltips:
    """What a reader is told of an artist's marks."""

    tips: tuple[str, ...]  # one a mark, in the order in which they are drawn; may be empty
    arms: tuple[str, ...]  # one for all marks, or one a mark; may be empty


def set_tooltips(artist: Artist, tips: str | Iterable[str] = (), arm: str | Iterable[str] = ()) -> None:
    """Let the page say of this artist's marks what they are, and switch them with their arm.

    tips: one a mark in the order of the data, shown under the pointer; those of marks without a place are left out.
    arm: whose all of them are, or one a mark.
    """
    tips, arms = ((one,) if isinstance(one, str) else tuple(map(str, one)) for one in (tips, arm))
    setattr(artist, ATTRIBUTE, Tooltips(tuple(style.shorter(text, LONGEST) for text in tips), arms))


def with_ids(figure: Figure) -> dict[str, Tooltips]:
    """What is told, by the ids that the SVG will have."""
    found = {}
    for number, artist in enumerate(figure.findobj(lambda one: hasattr(one, ATTRIBUTE))):
        told, there = getattr(artist, ATTRIBUTE), _placed(artist)
        kept = [
            tuple(one for one, is_there in zip(many, there, strict=True) if is_there) if len(many) == len(there) else many
            for many in (told.tips, told.arms)
        ]
        artist.set_gid(f"{ATTRIBUTE}-{number}-")
        found[f"{ATTRIBUTE}-{number}-"] = Tooltips(*kept)
    return found


def _placed(artist: Artist) -> np.ndarray:
    """Which of an artist's marks have a place, booleans [marks]; of what is no row of points none is asked."""
    points = artist.get_xydata() if hasattr(artist, "get_xydata") else artist.get_offsets() if hasattr(artist, "get_offsets") else []
    points = np.ma.filled(np.ma.asarray(points, float), np.nan).reshape(-1, 2)
    return np.asarray(np.isfinite(points).all(axis=1))


MARK = re.compile(r"<use [^>]*/>")
PATH = re.compile(r"<path [^>]*/>")


def written_in(text: str, told: dict[str, Tooltips]) -> str:
    """The SVG with a title in each mark and the attribute data-arm; marks that are not as many as what is told of them stay mute."""
    for own, what in told.items():
        start = text.find(f'<g id="{own}">')
        if start < 0:
            continue
        end = _end_of_group(text, start)
        group = re.sub(r"<defs>.*?</defs>", lambda at: at[0].replace("<path", "<PATH"), text[start:end], flags=re.DOTALL)
        mark = MARK if "<use " in group else PATH
        count, several = len(mark.findall(group)), len(what.arms) > 1
        if count in (len(what.tips), len(what.arms)) and (what.tips or several):
            tips = list(what.tips if len(what.tips) == count else [""] * count)[::-1]
            arms = list(what.arms if several and len(what.arms) == count else [""] * count)[::-1]
            group = mark.sub(partial(_told_mark, tips=tips, arms=arms), group)
        arm = _arm(what.arms[0]) if len(what.arms) == 1 else ""
        text = text[:start] + group.replace("<PATH", "<path").replace(f'<g id="{own}">', f"<g{arm}>", 1) + text[end:]
    return text


def _told_mark(at: re.Match, tips: list[str], arms: list[str]) -> str:
    """A mark with the last of what is left to be told."""
    mark, tip, arm = at[0], tips.pop(), _arm(arms.pop())
    end = f"><title>{html.escape(tip)}</title></{mark[1 : mark.index(' ')]}>" if tip else "/>"
    return mark[:-2].rstrip() + arm + end


def _arm(name: str) -> str:
    return f' data-arm="{html.escape(name)}"' if name else ""


def _end_of_group(text: str, start: int) -> int:
    """Where the group that begins at `start` ends."""
    depth = 0
    for at in re.compile(r"<g[ >]|</g>").finditer(text, start):
        depth += -1 if at[0] == "</g>" else 1
        if depth == 0:
            return at.end()
    return len(text)


def styled_once(text: str) -> str:
    """The style of marks that follow each other and look alike stands once, on a group around them."""

    def together(at: re.Match) -> str:
        marks, style = at[0], at[1]
        return f'<g style="{style}">' + marks.replace(f' style="{style}"', "") + "</g>"

    return re.sub(r'(?:<use [^>]*? style="([^"]*)"/>)(?:\s*<use [^>]*? style="\1"/>)+', together, text)
