"""The picture of the stages that ran and of what each waits for, as an SVG.

Drawn in columns as Sugiyama, Tagawa and Toda (1981) have it: a stage stands right of all that it needs, and an arrow that passes a column
has a row of its own in it, so no arrow crosses a box. Of all ways to deal the rows the one with the fewest crossings is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations

# Each stage, and the stages whose files it reads; a stage stands after those.
NEEDS: dict[str, tuple[str, ...]] = {
    "fetch": (),
    "lexicon": ("fetch",),
    "check": ("fetch",),
    "folds": ("lexicon",),
    "scan": ("lexicon", "folds", "check"),
    "tune": ("fetch", "lexicon", "check", "scan"),
    "train": ("fetch", "lexicon", "folds", "check", "scan", "tune"),
    "evaluate": ("lexicon", "folds", "check", "scan", "train"),
    "across": ("lexicon", "folds", "check", "train"),
    "transfer": ("fetch", "lexicon", "folds", "check", "scan", "train"),
    "statistics": ("lexicon", "check", "scan", "evaluate", "across", "transfer"),
    "lists": ("fetch",),
    "report": ("lexicon", "scan", "tune", "lists", "statistics"),
}
PAGE = "report"  # it draws the picture, so that it has no record yet
WIDTH, HEIGHT, GAP, BETWEEN, MARGIN = 110, 44, 40, 26, 20  # of a box, beside it, below it, and around all; px

Arrow = tuple[str, str]
Column = dict[str | Arrow, int]  # a stage, or an arrow that passes -> its row


def stage_picture(jobs: Mapping[str, int]) -> str:
    """The picture of the stages that have jobs (stage -> how many), with the report at its end; of stages that NEEDS names."""
    shown = {PAGE, *(stage for stage, count in jobs.items() if count and stage in NEEDS)}
    drawn = arrows(shown)
    dealt = rows(shown, drawn)
    place = {one: (at, row) for at, column in enumerate(dealt) for one, row in column.items() if isinstance(one, str)}
    width = 2 * MARGIN + len(dealt) * (WIDTH + GAP) - GAP
    height = 2 * MARGIN + (1 + max(row for column in dealt for row in column.values())) * (HEIGHT + BETWEEN) - BETWEEN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" font-family="sans-serif" '
        f'font-size="14"><rect class="ground" width="{width}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
    ]
    for start, end in drawn:
        passed = [(at, column[start, end]) for at, column in enumerate(dealt) if (start, end) in column]
        points = [point for at, row in [place[start], *passed, place[end]] for point in _sides(at, row)][1:-1]
        line = "L".join(f"{x} {y}" for x, y in points)
        parts.append(f'<path id="{start}-{end}" d="M{line}" stroke="#555" fill="none" marker-end="url(#a)"/>')
    for stage, (at, row) in place.items():
        count = jobs.get(stage, 0)
        said = "this page" if stage == PAGE else f"{count:,} job{'s' if count != 1 else ''}"
        (x, middle), _ = _sides(at, row)
        parts.append(
            f'<g id="{stage}"><rect x="{x}" y="{middle - HEIGHT // 2}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef2f6" stroke="#555"/>'
            f'<text x="{x + WIDTH // 2}" y="{middle - 3}" text-anchor="middle">{stage}</text>'
            f'<text x="{x + WIDTH // 2}" y="{middle + 14}" text-anchor="middle" fill="#555">{said}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def arrows(shown: set[str]) -> list[Arrow]:
    """(what is waited for, who waits) of the shown stages, also by way of stages that are not shown; without what follows from others."""
    before: dict[str, set[str]] = {}
    for stage, needed in NEEDS.items():
        before[stage] = set(needed).union(*(before[one] for one in needed))
    return [
        (start, end)
        for end in NEEDS
        for start in NEEDS
        if {start, end} <= shown and start in before[end] and not any(start in before[one] and one in before[end] for one in shown)
    ]


def rows(shown: set[str], drawn: list[Arrow]) -> list[Column]:
    """The columns from left to right: the row of each of their stages and of each arrow that passes them.

    The least cost (`_cost`) of all ways, found column by column: what comes after a column depends on that one alone.
    """
    at = dict.fromkeys(shown, 0)
    for stage in NEEDS:
        for start, end in drawn:
            if end == stage:
                at[end] = max(at[end], at[start] + 1)
    columns: list[list[str | Arrow]] = [[one for one in NEEDS if at.get(one) == place] for place in range(max(at.values()) + 1)]
    for start, end in drawn:
        for place in range(at[start] + 1, at[end]):
            columns[place].append((start, end))
    many = max(map(len, columns))
    best: list[tuple[tuple[int, int], list[Column]]] = [((0, 0), [])]
    for content in columns:
        ways: list[Column] = [dict(zip(content, dealt, strict=True)) for dealt in permutations(range(many), len(content))]
        best = [min((_with(found, way, drawn) for found in best), key=lambda one: one[0]) for way in ways]
    return min(best, key=lambda one: one[0])[1]


def _with(found: tuple[tuple[int, int], list[Column]], column: Column, drawn: list[Arrow]) -> tuple[tuple[int, int], list[Column]]:
    """Columns dealt so far and their cost, with one more column."""
    (crossings, climbs), before = found
    if not before:
        return (0, sum(column.values())), [column]
    more = _cost(before[-1], column, drawn)
    return (crossings + more[0], climbs + more[1]), [*before, column]


def _cost(left: Column, right: Column, drawn: list[Arrow]) -> tuple[int, int]:
    """Crossings between two neighbouring columns, and the rows that the arrows climb or fall there."""
    lines = []
    for arrow in drawn:
        start, end = (left.get(arrow, left.get(arrow[0])), right.get(arrow, right.get(arrow[1])))
        if start is not None and end is not None:
            lines.append((start, end))
    crossings = sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(lines, 2))
    return crossings, sum(abs(a - b) for a, b in lines)


def _sides(at: int, row: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The middles of the left and the right side of a place, px."""
    x, y = MARGIN + at * (WIDTH + GAP), MARGIN + row * (HEIGHT + BETWEEN) + HEIGHT // 2
    return (x, y), (x + WIDTH, y)
