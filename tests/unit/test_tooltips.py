"""What a figure's marks say: each its own text, in the order of the data, also where some have no place."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tli.report import style, svg, tooltips


@style.styled
def figure_of(draw):
    figure, axes = style.new(4, 3)
    draw(axes)
    return figure


def marks(text: str) -> dict[str, float]:
    """Where across each mark stands, by its title."""
    found = re.findall(r'<use [^>]*x="([\d.]+)"[^>]*><title>([^<]*)</title>', text)
    return {title: float(x) for x, title in found}


@pytest.mark.parametrize("kind", ["plot", "scatter"])
def test_each_mark_says_what_it_is_whatever_has_no_place(kind, tmp_path):
    x, y = np.arange(6.0), np.array([1, np.nan, 3, 4, np.inf, 2.0])

    def draw(axes):
        artist = axes.plot(x, y, "o")[0] if kind == "plot" else axes.scatter(x, y)
        tooltips.set_tooltips(artist, [f"<{place}>" for place in range(6)], "tli")

    text = svg.written(figure_of(draw), kind, tmp_path)
    found = marks(text)
    assert list(found) == [f"&lt;{place}&gt;" for place in (0, 2, 3, 5)]
    assert np.diff(list(found.values())) / np.diff([0, 2, 3, 5]) == pytest.approx(found["&lt;2&gt;"] / 2 - found["&lt;0&gt;"] / 2, abs=0.02)
    assert text.count('<g data-arm="tli">') == 1


def test_lines_of_several_arms_carry_each_its_own(tmp_path):
    def draw(axes):
        tooltips.set_tooltips(axes.hlines([0, 1, 2], 0, [1, 2, 3]), ["a", "b", "c"], ["tli", "", 'x"y'])

    text = svg.written(figure_of(draw), "lines", tmp_path)
    assert re.findall(r"<path [^>]*?( data-arm=\"[^\"]*\")?><title>(.)</title>", text) == [
        (' data-arm="tli"', "a"),
        ("", "b"),
        (' data-arm="x&quot;y"', "c"),
    ]


def test_marks_that_are_not_as_many_as_what_is_told_stay_mute(tmp_path):
    text = svg.written(figure_of(lambda axes: tooltips.set_tooltips(axes.plot([1, 2, 3], "o")[0], ["a", "b"])), "mute", tmp_path)
    assert "<title>" not in text


def test_the_style_of_like_marks_stands_once_and_unlike_ones_keep_theirs():
    one, other = '<use x="1" style="fill: red"/>', '<use x="2" style="fill: blue"/>'
    assert tooltips.styled_once(one + other) == one + other
    assert tooltips.styled_once(one + one + other) == '<g style="fill: red"><use x="1"/><use x="1"/></g>' + other
