"""The figures show the tables' values: what is drawn is read back and compared."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from tli.report import derived, figures, style, svg, tooltips
from tli.report.figures import effects
from tli.report.input import Arm, Experiment
from tli.report.selection import Cell, Endpoint, first_cell, rows, with_bos

CELL = Cell("model-1", "pair-1", "tli", "best", "16")
OUTPUT = Endpoint(4, "no-bos")
STATIC = Path(style.__file__).parent / "static"


@pytest.fixture(scope="module")
def made():
    return synthetic.tables(pairs=1, ranks=("4", "16"), seeds=3, words=60)


@pytest.fixture(scope="module")
def colours():
    return style.arm_colours(["tli", "placebo-tli", "zero"], ["placebo-tli", "zero"])


def words_of(made, cell):
    """The pairs of words of a cell, before and after."""
    return derived.with_words(derived.paired(made["similarities"], made["runs"], cell, OUTPUT), made["pairs"])


def drawn(axes):
    """The y values of the lines of an axes, by label."""
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in axes.lines}


def test_layer_curve_draws_the_scan(made):
    figure = figures.layer_curve(made["scan"], made["choice"], "model-1", "pair-1")
    top, middle, bottom = figure.axes
    scan = made["scan"][made["scan"].split == "heldout"].sort_values("hidden_state")
    clean, bos = (scan[scan.pooling == name] for name in ("no-bos", "with-bos"))
    lines = drawn(top)
    np.testing.assert_array_equal(lines["translations, without BOS"], clean.cosine)
    np.testing.assert_array_equal(lines["wrong pairs, without BOS"], clean.mismatched)
    np.testing.assert_array_equal(lines["translations, BOS pooled in"], bos.cosine)
    np.testing.assert_array_equal(lines["wrong pairs, BOS pooled in"], bos.mismatched)
    np.testing.assert_array_equal(drawn(middle)["without BOS"], clean.csls_p_at_1)
    np.testing.assert_array_equal(bottom.lines[0].get_ydata(), clean.sink_ratio)
    assert any(text.get_text() == "chosen: hs[3]" for text in top.texts)
    assert "hs[4] is after the final norm" in bottom.get_xlabel()


def test_forest_draws_estimates_and_intervals():
    verdicts = pd.DataFrame(
        {
            "arm": ["tli", "other"],
            "change": [0.1, -0.2],
            "change_low": [0.05, -0.3],
            "change_high": [0.15, -0.1],
            "against_placebo": [0.2, np.nan],
            "against_placebo_low": [0.1, np.nan],
            "against_placebo_high": [0.3, np.nan],
        }
    )
    axes = figures.forest(verdicts, ["a", "b"]).axes[0]
    points = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(points["after - before"].get_xdata(), [0.1, -0.2])
    np.testing.assert_array_equal(points["real - placebo"].get_xdata(), [0.2, np.nan])
    segments = np.asarray(axes.collections[0].get_segments())
    np.testing.assert_array_equal(segments[:, :, 0], [[0.05, 0.15], [-0.3, -0.1]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_forest_says_no_more_rows_than_it_can_hold():
    row = {name: 0.1 for _, column, *_ in effects.CONTRASTS for name in (column, f"{column}_low", f"{column}_high")}
    axes = figures.forest(pd.DataFrame([row | {"arm": "tli"}] * 70), [f"cell {i}" for i in range(70)]).axes[0]
    assert len(axes.get_yticks()) == effects.FOREST_ROWS


def test_heat_writes_each_cell_in_its_place():
    verdicts = pd.DataFrame(
        [("tli", "best", "4", 0.1, 0.01), ("tli", "best", "16", 0.2, 0.02), ("tli", "2", "16", -0.3, np.nan)],
        columns=["arm", "layer", "rank", "change", "against_placebo"],
    )
    left, right = figures.heat(verdicts, "tli").axes[:2]
    texts = {(round(t.get_position()[0] - 0.5), round(t.get_position()[1] - 0.5)): t.get_text() for t in left.texts}
    assert texts == {(0, 0): "+0.100", (1, 0): "+0.200", (0, 1): "–", (1, 1): "-0.300"}
    assert [t.get_text() for t in right.texts] == ["+0.010", "+0.020", "–", "–"]
    assert [t.get_text() for t in left.get_xticklabels()] == ["4", "16"]  # by size, not by spelling


def test_rank_gain_shows_every_seed_and_their_mean(made, colours):
    changes = rows(derived.changes(made["metrics"], made["grid"]), hidden_state=4, split="heldout")
    axes = figures.rank_gain(changes, colours).axes[0]
    own = rows(changes, layer="best", arm="tli")
    lines = {line.get_label(): line for line in axes.lines}
    shown = next(line for line in axes.lines if line.get_label() == "_")
    np.testing.assert_array_equal(shown.get_ydata(), own["csls_p_at_1_change"])
    means = [own.loc[own["rank"] == rank, "csls_p_at_1_change"].mean() for rank in ("4", "16")]
    np.testing.assert_allclose(lines["tli"].get_ydata(), means)
    assert shown.get_color() == lines["tli"].get_color() == colours["tli"]


def test_one_rank_is_not_drawn_over_ranks(made, colours):
    changes = rows(derived.changes(made["metrics"], made["runs"]), hidden_state=4, split="heldout", rank="16")
    transfer = rows(derived.accuracies(made["transfer"], made["runs"]), rank="16")
    for figure in (figures.rank_gain(changes, colours), figures.transfer_by_rank(transfer, colours)):
        assert not figure.axes[0].lines and figure.axes[0].texts[0].get_text().startswith("Only rank 16 was run")


def test_before_and_after_draw_the_pairs(made, colours):
    real, placebo = (words_of(made, cell) for cell in (CELL, dataclasses.replace(CELL, arm="placebo-tli")))
    grid = figures.before_after(real, placebo, colours).axes
    assert [axes.get_title(loc="left").split("\n")[0] for axes in grid[:2]] == ["train (seen)", "held-out (unseen)"]
    for axes, split, value in ((grid[0], "train", "cosine"), (grid[3], "heldout", "gap")):
        lines = {line.get_label(): line for line in axes.lines}
        wanted = real[real.split == split]
        np.testing.assert_array_equal(lines["tli"].get_xdata(), wanted[f"{value}_before"])
        np.testing.assert_array_equal(lines["tli"].get_ydata(), wanted[f"{value}_after"])
        np.testing.assert_array_equal(lines["placebo-tli"].get_ydata(), placebo[placebo.split == split][f"{value}_after"])


def test_gained_and_lost_takes_both_ends(made, colours):
    words = words_of(made, CELL)
    axes = figures.gained_and_lost(words, words.iloc[:0], colours, most=3).axes[0]
    held = words[words.split == "heldout"].sort_values("gap_change", ascending=False)
    wanted = pd.concat([held.head(3), held.tail(3)])
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["before"].get_xdata(), wanted["gap_before"])
    np.testing.assert_array_equal(lines["after (tli)"].get_xdata(), wanted["gap_after"])
    assert axes.get_yticklabels()[0].get_text() == f"{wanted.source.iloc[0]} / {wanted.target.iloc[0]}"


def test_gap_against_cosine_draws_every_run(made, colours):
    changes = rows(derived.changes(made["metrics"], made["grid"]), hidden_state=4, split="heldout")
    axes = figures.gap_against_cosine(changes, colours).axes[0]
    for line in axes.lines:
        if line.get_label() in colours:
            own = changes[changes.arm == line.get_label()]
            np.testing.assert_array_equal(line.get_xdata(), own["cosine_change"])
            np.testing.assert_array_equal(line.get_ydata(), own["gap_change"])
    assert {line.get_label() for line in axes.lines} >= set(colours)


def test_projection_joins_each_pair(made):
    held = made["projections"][made["projections"].split == "heldout"]
    before, after = (held[held.run == run] for run in ("baseline", "tli/layer-best/rank-16/seed-0"))
    figure = figures.projection(before, after, "PCA")
    for axes, frame in zip(figure.axes, (before, after), strict=True):
        segments = np.asarray(axes.collections[0].get_segments())
        kept = sorted(frame.pair_id.unique())[: figures.projections.NAMED_PAIRS]
        at = frame.set_index(["side", "pair_id"])[["x", "y"]]
        order = frame[(frame.side == "source") & frame.pair_id.isin(kept)].pair_id
        np.testing.assert_allclose(segments[:, 0], at.loc["source"].loc[order])
        np.testing.assert_allclose(segments[:, 1], at.loc["target"].loc[order])
        shown = [text.get_text() for text in axes.texts]
        assert shown and set(shown) <= set(frame.form)


def test_training_curve_thick_line_is_the_mean_over_seeds(made, colours):
    losses = made["losses"][(made["losses"]["rank"] == "16") & (made["losses"].arm == "tli")]
    axes = figures.training_curves(losses, colours).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "tli")
    own = losses[losses.layer == "best"].groupby("step")["loss"].mean()
    np.testing.assert_array_equal(line.get_xdata(), own.index)
    np.testing.assert_allclose(line.get_ydata(), own)  # 25 steps: the running mean is over one step


def test_transfer_draws_the_change_of_accuracy(made, colours):
    found = derived.accuracies(made["transfer"], made["grid"])
    found = rows(found, layer="best", rank="16")
    axes = figures.transfer_change(found, colours).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "tli")
    items = made["transfer"][made["transfer"].task == found.task.iloc[0]]
    right = items.groupby("run")["correct"].mean()
    wanted = [right[f"tli/layer-best/rank-16/seed-{seed}"] - right["baseline"] for seed in range(3)]
    np.testing.assert_allclose(line.get_xdata(), wanted)


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast of two colours."""

    def light(colour: str) -> float:
        part = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def papers() -> list[str]:
    """The page's backgrounds, light and dark, as its style has them."""
    return [paper.ljust(7, "f") for paper in re.findall(r"--paper: (#\w+)", (STATIC / "style.css").read_text())[:2]]


def raised() -> list[str]:
    """The backgrounds of the first screen's blocks, light and dark."""
    return re.findall(r"--raised: (#\w+)", (STATIC / "style.css").read_text())[:2]


def test_marks_have_contrast_on_both_papers(made, colours, tmp_path):
    """Every colour that a figure is drawn with, as it stands in the SVG: each shape's edge or inside has 3 to 1."""
    assert papers() == ["#ffffff", "#15181c"] and contrast("#ffffff", "#000000") == pytest.approx(21)
    every = [*style.REAL_ARMS, *style.CONTROL_ARMS, style.BASELINE]
    assert len(set(every)) == len(every)
    assert raised() == ["#f5f6f7", "#1e2329"]
    for paper in [*papers(), *raised()]:
        assert {colour: round(contrast(colour, paper), 2) for colour in every if contrast(colour, paper) < 3} == {}
    changes = rows(derived.changes(made["metrics"], made["runs"]), hidden_state=4, split="heldout")
    found = derived.accuracies(made["transfer"], made["runs"])
    words = [words_of(made, cell) for cell in (CELL, dataclasses.replace(CELL, arm="placebo-tli"))]
    drawings = [
        figures.rank_gain(changes, colours),
        figures.gap_against_cosine(changes, colours),
        figures.before_after(*words, colours),
        figures.transfer_change(found, colours),
        figures.transfer_by_rank(found, colours),
        figures.training_curves(made["losses"], colours),
    ]
    for number, drawing in enumerate(drawings):
        text = svg.written(drawing, f"x{number}", tmp_path)
        shapes = re.findall(r'style="([^"]*#[0-9a-f]{6}[^"]*)"', text)
        assert shapes, number
        for shape in shapes:
            parts = dict(part.split(":", 1) for part in shape.replace(" ", "").strip(";").split(";"))
            edges = [parts.get(name, "none") for name in ("stroke", "fill") if f"{name}-opacity" not in parts and "opacity" not in parts]
            drawn = [colour for colour in edges if colour.startswith("#")]
            for paper in papers():
                assert any(contrast(colour, paper) >= 3 for colour in drawn), (number, shape)


def test_many_arms_can_be_told_apart():
    real, controls = [f"arm-{i}" for i in range(12)], [f"control-{i}" for i in range(5)]
    colours = style.arm_colours([*real, *controls], controls)
    assert len({colours[arm] for arm in controls}) == 5 and not {colours[arm] for arm in controls} & {colours[arm] for arm in real}
    assert len({(colours[arm], style.MARKERS[place % len(style.MARKERS)]) for place, arm in enumerate([*real, *controls])}) == 17


def test_an_arm_has_one_colour_and_controls_another():
    colours = style.arm_colours(["baseline", "tli", "tli-placebo", "full-lora", "zero"], ["tli-placebo", "zero"])
    assert len(set(colours.values())) == 5
    assert colours["tli"] == style.arm_colours(["tli", "other"])["tli"] == style.BLUE
    assert colours["tli-placebo"] == style.ORANGE


@pytest.mark.parametrize("name", ["with-bos", "BOS pooled", "mean_with_bos"])
def test_poolings_with_bos_are_known(name):
    assert with_bos(name)
    assert not with_bos(name.replace("with", "no").replace("BOS pooled", "without BOS"))


def test_first_cell_follows_the_config_not_the_result():
    cells = pd.DataFrame(
        [("m", "p", arm, layer, rank) for arm in ("b", "a") for layer in ("2", "best") for rank in ("64", "4")],
        columns=["model", "pair", "arm", "layer", "rank"],
    )
    experiment = Experiment(arms=(Arm("a", ("2", "best"), ("64", "4")), Arm("b")))
    assert first_cell(cells, experiment, "m", "p") == Cell("m", "p", "a", "2", "64")
    assert first_cell(cells, experiment, "m", "other") is None


def test_figures_without_rows_say_so(colours):
    nothing = pd.DataFrame(columns=["model", "pair", "split", "arm", "layer", "rank", "seed", "change", "pair_id"])
    made = [
        figures.layer_curve(nothing, nothing, "m", "p"),
        figures.forest(nothing, []),
        figures.heat(nothing, "tli"),
        figures.rank_gain(nothing, colours),
        figures.before_after(nothing, nothing, colours),
        figures.gained_and_lost(nothing, nothing, colours),
        figures.gap_against_cosine(nothing, colours),
        figures.projection(nothing, nothing, "PCA"),
        figures.training_curves(nothing, colours),
        figures.transfer_change(nothing, colours),
    ]
    assert all(figure.axes[0].texts[0].get_text().startswith("No") or "not" in figure.axes[0].texts[0].get_text() for figure in made)


def test_scripts_beyond_latin_and_markup_are_drawn_as_text(made, colours, tmp_path):
    words = words_of(made, CELL)
    strange = ["<script>alert(1)</script>", "كتاب", "መጽሐፍ", "w" * 300, "$x_1$", "a&b"]
    at = words.index[words.split == "heldout"][: len(strange)]
    words.loc[at, "source"] = strange
    text = svg.written(figures.gained_and_lost(words, words.iloc[:0], colours, most=40), "strange", tmp_path)
    assert "<script" not in text and "&lt;script&gt;alert(1)" in text
    assert "كتاب" in text and "መጽሐፍ" in text and "$x_1$" in text and "a&amp;b" in text
    assert "w" * 300 not in text and "w" * 20 in text
    assert (tmp_path / "strange.png").stat().st_size > 5000


def test_two_drawings_are_the_same_bytes(made, tmp_path):
    for folder in ("a", "b"):
        svg.written(figures.layer_curve(made["scan"], made["choice"], "model-1", "pair-1"), "x", tmp_path / folder)
    assert (tmp_path / "a/x.svg").read_bytes() == (tmp_path / "b/x.svg").read_bytes()
    assert (tmp_path / "a/x.png").read_bytes() == (tmp_path / "b/x.png").read_bytes()


def test_ink_follows_the_page_and_numbers_stay_whole(tmp_path):
    verdicts = pd.DataFrame([("tli", "2", "16", 0.123, 0.456)], columns=["arm", "layer", "rank", "change", "against_placebo"])
    text = svg.written(figures.heat(verdicts, "tli"), "x", tmp_path)
    assert "+0.123" in text and "+0.456" in text
    assert "currentColor" in text and style.INK not in text.lower()
    assert "prefers-color-scheme:dark" in (tmp_path / "x.svg").read_text()


def test_transfer_by_rank_and_against_the_gain_draw_the_tables():
    made = synthetic.tables(pairs=1, layers=("2",), ranks=("4", "16"), seeds=3)
    found = derived.accuracies(made["transfer"], made["runs"])
    after = found[found["change"].notna() & ~found["arm"].str.startswith("baseline")]
    colours = style.arm_colours(list(dict.fromkeys(after["arm"])))
    axes = figures.transfer_by_rank(found, colours).axes
    task = axes[0].get_title(loc="left")
    own = after[after["task"] == task]
    points = np.concatenate([line.get_ydata() for line in axes[0].lines if line.get_markeredgewidth() == 0.9])
    np.testing.assert_allclose(np.sort(points), np.sort(own["change"]))
    last = made["metrics"]["hidden_state"].max()
    metrics = made["metrics"]
    held = metrics[(metrics["split"] == "heldout") & (metrics["hidden_state"] == last)]
    gains = derived.changes(held, made["runs"])
    drawn = figures.transfer_against_gain(found, gains, colours, "gap", "gap").axes[0]
    joined = after[after["task"] == drawn.get_title(loc="left")].merge(gains[["run", "gap_change"]], on="run")
    points = np.concatenate([np.c_[line.get_xdata(), line.get_ydata()] for line in drawn.lines if line.get_markersize() == 5.5])
    np.testing.assert_allclose(np.sort(points[:, 0]), np.sort(joined["gap_change"]))
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(joined["change"]))


def test_a_ladder_draws_every_rung_in_its_order():
    rungs = [("before", "baseline", ""), ("map", "procrustes", "4"), ("map", "ridge", "4"), ("arm", "tli, rank 16", "2")]
    table = pd.DataFrame(
        [
            {"rung": rung, "name": name, "layer": layer, "value": 0.2 * i, "low": 0.2 * i - 0.1, "high": 0.2 * i + 0.1}
            for i, (rung, name, layer) in enumerate(rungs, 1)
        ]
    )
    axes = figures.ladder(table, {"tli": "#0072B2"}, rival="procrustes").axes[0]
    marks = [one for one in axes.collections if getattr(one, tooltips.ATTRIBUTE).tips]
    points = np.concatenate([one.get_offsets() for one in marks])
    assert getattr(marks[0], tooltips.ATTRIBUTE) == tooltips.Tooltips(("before training: 0.200 (0.100 to 0.300)",), ("",))
    assert getattr(marks[-1], tooltips.ATTRIBUTE).arms == ("tli",)
    assert sorted(map(tuple, points.round(9).tolist())) == [(0.2, 0.0), (0.4, 1.0), (0.6, 2.0), (0.8, 3.0)]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "before training",
        "map: procrustes",
        "map: ridge",
        "tli, rank 16, hs[2]",
    ]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() != "-"] == [pytest.approx(0.4)]
    assert not [line for line in figures.ladder(table, {}).axes[0].lines if line.get_linestyle() != "-"], "held against no map"


def test_the_front_puts_each_arm_at_its_worst_language():
    cell = {"model": "m", "pair": "p", "layer": "6"}
    harm = pd.DataFrame(
        [
            {**cell, "arm": arm, "rank": "16", "language": language, "rise": rise, "low": rise - 0.01, "high": rise + 0.01, "margin": 0.05}
            for arm, language, rise in [("plain", "swh", 1.0), ("plain", "eng", 2.1), ("held", "swh", 0.02), ("held", "eng", 0.01)]
        ]
    )
    rungs = [
        ("before", "baseline", "", 0.4),
        ("map", "ridge", "8", 0.8),
        ("arm", "plain, rank 16", "6", 0.79),
        ("arm", "held, rank 16", "6", 0.7),
    ]
    ladder = pd.DataFrame([{"rung": r, "name": n, "layer": k, "value": v, "low": v - 0.1, "high": v + 0.1} for r, n, k, v in rungs])
    front = derived.front(ladder, harm).set_index("arm")
    assert front["rise"].to_dict() == {"plain": 2.1, "held": 0.02} and front["language"].to_dict() == {"plain": "eng", "held": "swh"}
    axes = figures.harm_gain(front.reset_index(), ladder, {"plain": "#0072B2"}, rival="ridge").axes[0]
    points = sorted(tuple(one.get_offsets()[0].round(9)) for one in axes.collections)
    assert points == [(0.0, 0.4), (0.0, 0.8), (0.02, 0.7), (2.1, 0.79)]
    assert derived.front(ladder, harm.iloc[:0]).empty


def test_the_first_curve_draws_the_scan_and_what_the_select_words_choose(tmp_path):
    scan = pd.DataFrame({"hidden_state": range(5), "csls_p_at_1": [0.7, 0.4, 0.5, 0.45, 0.3], "chance": 0.01, "string_p_at_1": 0.05})
    scan = scan.assign(cosine=[0.5, 0.6, 0.7, 0.6, 0.4], mismatched=0.1)
    choice = pd.DataFrame({"hidden_state": [1, 2, 3], "value": [0.3, 0.45, 0.2], "chosen": [False, True, False]})
    mapped = pd.DataFrame({"hidden_state": range(5), "csls_p_at_1": 0.8})
    figure = figures.alignment_curve(scan, choice, mapped)
    top, bottom = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in top.lines}
    np.testing.assert_allclose(lines["held-out words"], scan["csls_p_at_1"])
    np.testing.assert_allclose(lines["with a free map"], 0.8)
    np.testing.assert_allclose(lines["select words (choose the layer)"], choice["value"])
    assert {"chance", "spelling"} <= set(lines)
    assert [text.get_text() for text in top.texts] == ["chosen: hs[2]"]
    np.testing.assert_allclose({line.get_label(): line.get_ydata() for line in bottom.lines}["wrong pairs"], 0.1)
    page = svg.written(figure, "curve", tmp_path)
    assert (
        "<title>hs[0], held-out words: 0.700</title>" in page and page.count("<title>") == 3 + 4 * 5 + 2
    )  # choice, four curves, chance and spelling
    assert figures.alignment_curve(scan.iloc[:0], choice, mapped).axes[0].texts[0].get_text() == "Not scanned yet."


def front_of(places: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """derived.front of arms at (rise, value), each with its intervals."""
    rows = [
        {"rung": "arm", "name": f"{arm}, rank 16", "arm": arm, "layer": "2", "rise": rise, "rise_low": 0.8 * rise, "rise_high": 1.25 * rise}
        | {"value": value, "low": value - 0.08, "high": value + 0.08, "margin": 0.05, "language": "eng"}
        for arm, (rise, value) in places.items()
    ]
    return pd.DataFrame(rows)


def boxes(figure):
    """The extents of what is written in an axes, and of its straight lines along an axis, in pixels of the finished layout."""
    figure.draw_without_rendering()
    axes = figure.axes[0]
    texts = {text.get_text(): text.get_window_extent() for text in axes.texts}
    lines = [line.get_window_extent() for line in axes.lines if len(line.get_xdata()) == 2]
    return texts, lines


@pytest.mark.parametrize("is_small", [True, False])
def test_names_in_the_front_cover_no_line_and_no_other_name(is_small):
    """The demo's places: an arm left of the margin, two that crowd at the right, a control at the margin itself."""
    front = front_of({"tli": (2.1, 0.77), "other": (1.4, 0.74), "anchored": (0.02, 0.7), "tli-placebo": (3.0, 0.11), "held": (0.05, 0.31)})
    ladder = pd.DataFrame([{"rung": "before", "name": "baseline", "value": 0.43}, {"rung": "map", "name": "ridge", "value": 0.81}])
    figure = figures.harm_gain(front, ladder, {}, rival="ridge", is_small=is_small)
    texts, lines = boxes(figure)
    names = {name: box for name, box in texts.items() if "margin" not in name}
    assert set(names) == {"tli", "other", "anchored", "tli-placebo", "held", "map: ridge", "before training"}
    for name, box in names.items():
        others = [other for another, other in names.items() if another != name]
        inside = box.shrunk(0.9, 0.8)  # the box of a text has room that its letters do not fill
        assert not any(inside.overlaps(other.shrunk(0.9, 0.8)) for other in others), name
        assert not any(inside.overlaps(line.padded(0.5)) for line in lines), name
    label = next(text for text in figure.axes[0].texts if "margin" in text.get_text())
    assert label.get_text() == "whole ← margin 0.05 → damaged" and label.xy[0] == 0.05


def test_of_a_crowd_in_the_front_no_training_is_named():
    front = front_of({f"arm-{k}": (0.01 + 0.001 * k, 0.5 + 0.01 * k) for k in range(figures.NAMED_MARKS + 1)})
    ladder = pd.DataFrame([{"rung": "before", "name": "baseline", "value": 0.43}])
    texts, _ = boxes(figures.harm_gain(front, ladder, {}))
    assert {name for name in texts if "margin" not in name} == {"before training"}
    texts, _ = boxes(figures.harm_gain(front.iloc[1:], ladder, {}))
    assert len([name for name in texts if name.startswith("arm-")]) == figures.NAMED_MARKS


def test_all_that_is_written_in_the_first_figures_is_in_ink():
    """Text in an arm's colour has less than 4.5 to 1 in the dark."""
    front = front_of({"tli": (2.1, 0.77), "anchored": (0.02, 0.7)})
    ladder = pd.DataFrame([{"rung": "map", "name": "ridge", "layer": "4", "value": 0.81, "low": 0.7, "high": 0.9}])
    scan = pd.DataFrame(
        {"hidden_state": range(3), "csls_p_at_1": 0.4, "chance": 0.01, "string_p_at_1": 0.05, "cosine": 0.5, "mismatched": 0.1}
    )
    choice = pd.DataFrame({"hidden_state": [1], "value": [0.3], "chosen": [True]})
    for figure in (
        figures.harm_gain(front, ladder, {}, rival="ridge"),
        figures.ladder(ladder, {}, rival="ridge"),
        figures.alignment_curve(scan, choice, scan.iloc[:0]),
    ):
        figure.draw_without_rendering()  # the ticks get their text then
        written = [text for text in figure.findobj(Text) if text.get_text()]
        assert len(written) > 5 and {text.get_color() for text in written} == {style.INK}


def test_the_legend_of_the_cosines_stands_outside_their_axes():
    scan = pd.DataFrame(
        {"hidden_state": range(5), "csls_p_at_1": 0.4, "chance": 0.01, "string_p_at_1": np.nan, "cosine": 0.5, "mismatched": 0.1}
    )
    figure = figures.alignment_curve(scan, pd.DataFrame(), pd.DataFrame())
    figure.draw_without_rendering()
    bottom = figure.axes[1]
    assert bottom.get_legend().get_window_extent().y0 >= bottom.get_window_extent().y1 - 1
    assert bottom.get_legend().get_window_extent().y1 <= figure.axes[0].get_window_extent().y0
