"""The picture of a cross-pair matrix shows the table's values, framed and ordered as it should be, and can be read; so does its place in the page."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from planted_across import Lists, matrix_of

from tli import facts
from tli.config import parse
from tli.io import table_files, tables
from tli.report import figures, style
from tli.report.across import cross_pairs, ordered
from tli.report.figures import across as drawing
from tli.report.input import Arm, Experiment, Model, ReportInput, Tables
from tli.report.methods import methods
from tli.report.page import build

NAMES = ("swh-eng", "fra-eng", "lin-eng", "por-eng", "lug-eng")
FAMILIES = {"swh-eng": "Bantu", "lin-eng": "Bantu", "lug-eng": "Bantu", "fra-eng": "Romance", "por-eng": "Romance"}
TOO_FEW = ("swh-eng", "por-eng")


def experiment(families: dict[str, str] = FAMILIES, names: tuple[str, ...] = NAMES) -> Experiment:
    return Experiment(pairs=names, families=families, models=(Model("model-1"),), arms=(Arm("tli", ("2",), ("16",)),))


def made_up(change: np.ndarray, trained: tuple[str, ...] = NAMES, lists: tuple[str, ...] = NAMES) -> pd.DataFrame:
    """MATRIX with these changes [trained, lists]: above .1 it helped, below -.1 it hurt."""
    cells = [(pair, on, change[i, j]) for (i, pair), (j, on) in itertools.product(enumerate(trained), enumerate(lists))]
    table = pd.DataFrame(cells, columns=["pair", "on", "change"])
    decided = np.where(table["change"] > 0.1, facts.HELPED, np.where(table["change"] < -0.1, facts.HURT, facts.UNDECIDED))
    table = table.assign(own=table["pair"] == table["on"], trained_on=table["pair"], status=decided, verdict=decided, control=False)
    table.loc[(table["pair"] == TOO_FEW[0]) & (table["on"] == TOO_FEW[1]), ["status", "verdict"]] = facts.TOO_FEW
    table = table.assign(change_low=table["change"] - 0.05, change_high=table["change"] + 0.05, against_placebo=table["change"] / 2)
    about = {"model": "model-1", "arm": "tli", "layer": "2", "rank": "16", "loss_layer": 2, "hidden_state": 4, "pool": tables.UNTRAINED}
    about |= {"metric": "csls_p_at_1", "seeds": 5, "words": 75, "units": 70, "family_size": 25, "p_family": 0.01, "family": "across"}
    return table.assign(**about).assign(note="").reindex(columns=tables.MATRIX)


@pytest.fixture
def changes():
    return np.random.default_rng(3).normal(0, 0.2, (5, 5))


def words_of(axes) -> dict[tuple[float, float], str]:
    return {(round(text.get_position()[0], 2), round(text.get_position()[1], 2)): text.get_text() for text in axes.texts}


def boxes(axes) -> list[Rectangle]:
    return [
        patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_label() != "own list" and patch.get_alpha() is None
    ]


def test_each_cell_shows_its_change_and_interval_in_its_place(changes):
    rows, columns = ordered(made_up(changes), experiment())
    axes = figures.matrix(made_up(changes), rows, columns, FAMILIES).axes[0]
    down, across = drawing.Axis.of(rows, FAMILIES), drawing.Axis.of(columns, FAMILIES)
    words = words_of(axes)
    for (i, pair), (j, on) in itertools.product(enumerate(rows), enumerate(columns)):
        change = changes[NAMES.index(pair), NAMES.index(on)]
        x, y = round(across.starts[j] + 0.5, 2), down.starts[i]
        assert words[x, round(y + 0.36, 2)] == drawing.short(change)
        assert words[x, round(y + 0.72, 2)] == f"{drawing.short(change - 0.05)} to {drawing.short(change + 0.05)}"
    assert [label.get_text() for label in axes.get_xticklabels()] == columns and [
        label.get_text() for label in axes.get_yticklabels()
    ] == rows
    np.testing.assert_allclose(axes.get_xticks(), np.array(across.starts) + 0.5)


def test_own_pairs_are_framed_and_no_others(changes):
    rows, columns = ordered(made_up(changes), experiment())
    axes = figures.matrix(made_up(changes), rows, columns, FAMILIES).axes[0]
    frames = [patch for patch in axes.patches if patch.get_label() == "own list"]
    starts = drawing.Axis.of(columns, FAMILIES).starts
    places = sorted((round(frame.get_x() - 0.04, 2), round(frame.get_y() - 0.05, 2)) for frame in frames)
    assert places == [(round(start, 2),) * 2 for start in starts]
    assert all(frame.get_linewidth() == 2 for frame in frames)


def test_a_frame_can_be_told_from_its_cell_by_day_and_in_the_dark(changes):
    """The page draws INK light on a dark ground, where a cell keeps its fill: only a frame without a fill may be of INK."""
    table = made_up(changes)
    table.loc[table["own"] & (table["pair"] == "swh-eng"), ["status", "verdict"]] = facts.TOO_FEW
    axes = figures.matrix(table, list(NAMES), list(NAMES), {}).axes[0]
    fills = {(round(box.get_x()), round(box.get_y())): to_hex(box.get_facecolor()) if box.get_fill() else None for box in boxes(axes)}
    frames = [patch for patch in axes.patches if patch.get_label() == "own list"]
    assert len(frames) == len(NAMES) and len(set(fills.values())) > 3
    for frame in frames:
        edge, fill = to_hex(frame.get_edgecolor()), fills[int(frame.get_x()), int(frame.get_y())]
        light, dark = sorted([drawing.luminance(edge), drawing.luminance(fill or style.PAPER)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5 and (edge == style.INK) == (fill is None)


def test_colours_say_the_sign_of_what_is_decided_and_grey_the_rest(changes):
    table = made_up(changes)
    axes = figures.matrix(table, list(NAMES), list(NAMES), {}).axes[0]
    most, told = np.abs(changes).max(), {}
    for box in boxes(axes):
        told[round(box.get_y()), round(box.get_x())] = to_hex(box.get_facecolor()) if box.get_fill() else None
    for (i, pair), (j, on) in itertools.product(enumerate(NAMES), enumerate(NAMES)):
        row = table[(table["pair"] == pair) & (table["on"] == on)].iloc[0]
        red, blue = (int(told[i, j][k : k + 2], 16) for k in (1, 5)) if told[i, j] else (0, 0)
        if (pair, on) == TOO_FEW:
            assert told[i, j] is None
        elif row["status"] == facts.UNDECIDED:
            assert told[i, j] == drawing.GREY
        else:
            assert (blue > red) == (row["change"] > 0) and told[i, j] == drawing.colour_of(row["change"], row["status"], most)
    darkness = [drawing.luminance(drawing.colour_of(c, facts.HELPED, 1.0)) for c in np.linspace(0, 1, 9)]
    assert darkness == sorted(darkness, reverse=True)


def test_words_can_be_read_on_every_colour():
    shades = [drawing.colour_of(c, status, 1.0) for c in np.linspace(0, 1, 101) for status in (facts.HELPED, facts.HURT, facts.UNDECIDED)]
    random = np.random.default_rng(0)
    for fill in [*shades, *(to_hex(one) for one in random.random((500, 3)))]:
        light, dark = sorted([drawing.luminance(fill), drawing.luminance(drawing.ink_on(fill))], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, fill
    assert drawing.luminance("#ffffff") == pytest.approx(1.0) and drawing.luminance("#808080") == pytest.approx(0.2159, abs=1e-4)


def test_a_cell_says_its_figures_under_the_pointer(changes):
    row = next(made_up(changes).itertuples())
    text = drawing.tip(row)
    assert text.startswith(f"swh-eng on swh-eng: {row.status}, {row.change:+.3f} ({row.change - 0.05:+.3f} to {row.change + 0.05:+.3f})")
    assert f"against the placebo {row.change / 2:+.3f}" in text and text.endswith("75 words") and len(text) <= 160


def test_families_stand_together_in_the_configs_order_with_a_gap_between(changes):
    rows, columns = ordered(made_up(changes), experiment())
    assert rows == columns == ["swh-eng", "lin-eng", "lug-eng", "fra-eng", "por-eng"]
    axis = drawing.Axis.of(columns, FAMILIES)
    assert axis.starts == (0, 1, 2, 3 + drawing.GAP, 4 + drawing.GAP) and [block[0] for block in axis.blocks] == ["Bantu", "Romance"]
    some = {"lin-eng": "Bantu", "lug-eng": "Bantu"}
    assert ordered(made_up(changes), experiment(some))[1] == ["lin-eng", "lug-eng", "swh-eng", "fra-eng", "por-eng"]
    only = made_up(changes[:2], NAMES[:2])
    assert ordered(only, experiment()) == (["swh-eng", "fra-eng"], ["swh-eng", "lin-eng", "lug-eng", "fra-eng", "por-eng"])


@pytest.mark.parametrize("seed", range(4))
def test_without_families_lists_that_change_alike_stand_together(seed):
    """Two hidden groups, whatever the order of the config and however large the own changes are."""
    random = np.random.default_rng(seed)
    group = {name: number % 2 for number, name in enumerate(random.permutation([*NAMES, "xho-eng"]))}
    names = tuple(group)
    change = np.array([[0.3 * (group[a] == group[b]) for b in names] for a in names]) + random.normal(0, 0.02, (6, 6))
    change[np.diag_indices(6)] = 0.9
    mixed = tuple(random.permutation(names))
    rows, columns = ordered(made_up(change, names, names), experiment({}, mixed))
    assert [group[name] for name in columns] in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]) and rows == columns
    assert mixed.index(columns[0]) < mixed.index(columns[-1])


def test_two_lists_stay_in_the_configs_order():
    table = made_up(np.array([[0.3, 0.0], [0.2, 0.4]]), NAMES[:2], NAMES[:2])
    assert ordered(table, experiment({})) == (["swh-eng", "fra-eng"],) * 2


def test_twenty_lists_keep_words_inside_their_cells():
    names = tuple(f"l{i:02d}-eng" for i in range(20))
    figure = figures.matrix(made_up(np.random.default_rng(0).normal(0, 0.2, (20, 20)), names, names), names, names, {})
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    axes = figure.axes[0]
    cell = axes.transData.transform([[0, 0], [1, 1]])
    wide, high = np.abs(cell[1] - cell[0])
    inside = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
    assert len(inside) == 800 and max(box.width for box in inside) < wide and max(box.height for box in inside) < high / 2


def test_without_a_matrix_there_is_no_section_and_no_file(tmp_path):
    report = ReportInput(experiment(), Tables())
    assert cross_pairs(report, tmp_path) == () and not list(tmp_path.iterdir())
    assert "other lists" not in methods(report)[0]


def test_the_page_tells_each_row_the_family_and_draws_every_arm_but_controls(tmp_path):
    world = Lists(gains={("swh-eng", "swh-eng"): 0.4, ("swh-eng", "lin-eng"): 0.4})
    table = matrix_of(world, 0)
    family = {"swh-eng": "Bantu", "lin-eng": "Bantu", "fra-eng": "Romance"}
    build(ReportInput(experiment(family, world.names), Tables(across=table)), tmp_path)
    page, summary = ((tmp_path / name).read_text(encoding="utf-8") for name in ("index.html", "summary.md"))
    for text in (page, summary):
        assert "Trained on swh-eng, tli helped its own list and lin-eng, and is not decided on fra-eng." in text
        assert text.count("Trained on ") >= 4 and "for the 9 tests of model-1, tli (3 pairs trained on x 3 lists measured)" in text
        assert "Of the 6 cells off the diagonal 1 is helped, 0 are hurt, 5 not decided." in text
        assert "placebo-tli helped" not in text
    assert {path.name for path in (tmp_path / "figures").glob("matrix*")} == {f"matrix--model-1--tli.{kind}" for kind in ("svg", "png")}
    written = table_files.read(tmp_path / "tables" / "across.tsv")
    assert len(written) == len(table) and set(written["arm"]) == {"tli", "placebo-tli"}
    assert "corrected over all lists, pairs trained on, loss layers and ranks of a model and arm (9 tests)" in page
    tips = (tmp_path / "figures" / "matrix--model-1--tli.svg").read_text(encoding="utf-8")
    assert tips.count("<title>") == 9 and "swh-eng on lin-eng: helped (aligns better)" in tips


def test_a_family_in_the_config_reaches_the_report():
    config = parse(
        {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x", "family": "Bantu"}, "fra-eng": {"lexicon": "y"}}}
    )
    assert dict(Experiment.of(config, {}).families) == {"swh-eng": "Bantu"}
