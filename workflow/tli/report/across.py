"""The cross-pair matrix as the page shows it: a picture and a sentence a row for each arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tli.labels import metric_label
from tli.report import figures, svg
from tli.report.beside import Room
from tli.report.drawings import span
from tli.report.gallery import Picture, caption, is_wide, marked, placed
from tli.report.input import Experiment, ReportInput
from tli.report.names import MATRIX, figure_name
from tli.report.selection import Cell, by_place, first_place, rows
from tli.statistics.matrix_sentences import balance, family_sentence, row_sentence

IN_PAGE = 1_500_000  # characters of all matrices; later ones lie beside the page


@dataclass(frozen=True)
class CrossPair:
    """One model and arm: its matrix at the loss layer and rank that the config names first."""

    model: str
    cell: str  # in words
    picture: Picture
    sentences: tuple[str, ...]  # one a pair trained on
    balance: str  # how the cells off the diagonal came out
    family: str  # what was tested, and for how many tests it was corrected


def cross_pairs(report: ReportInput, folder: Path) -> tuple[CrossPair, ...]:
    """Of every model and arm that is no control, drawn into `folder`; none where adapters were measured on their own list alone."""
    every = report.tables.across
    claimed = every[~every["control"].astype(bool)]
    told: list[CrossPair] = []
    room = Room(IN_PAGE)
    for model in by_place(claimed["model"], [one.name for one in report.experiment.models]):
        of_model = rows(claimed, model=model)
        order: tuple[list[str], list[str]] | None = None
        for arm in by_place(of_model["arm"], [one.name for one in report.experiment.arms]):
            of_arm = rows(of_model, arm=arm)
            layer, rank = first_place(of_arm, report.experiment)
            table = rows(of_arm, layer=layer, rank=rank)
            order = order or ordered(table, report.experiment)
            told.append(_cross_pair(report, table, of_arm, order, folder, room))
    return tuple(told)


def _cross_pair(
    report: ReportInput, table: pd.DataFrame, of_arm: pd.DataFrame, order: tuple[list[str], list[str]], folder: Path, room: Room
) -> CrossPair:
    experiment, first = report.experiment, table.iloc[0]
    model, arm = str(first["model"]), str(first["arm"])
    table = table.assign(on=pd.Categorical(table["on"], order[1], ordered=True)).sort_values("on").astype({"on": str})
    trained = [pair for pair in order[0] if (table["pair"] == pair).any()]
    sentences = tuple(row_sentence(rows(table, pair=pair)) for pair in trained)
    figure = figures.matrix(table, trained, order[1], experiment.families, metric_label(first["metric"]))
    name, title = figure_name(MATRIX[0], model, arm), MATRIX[1]
    drawn = svg.written(marked(figure, experiment.model(model).demo), name, folder)
    counts = f"n = {span(table['words'])} held-out words a list; {span(table['seeds'])} seeds; hs[{first['hidden_state']}], {first['pool']} pool."
    cell = Cell(model, "", arm, str(first["layer"]), str(first["rank"])).name
    alt = f"{title}, {model}, {cell}. {' '.join(sentences)}"
    made = Picture(name, "The change on every list", drawn, caption(MATRIX[0]), counts, alt, is_wide(drawn))
    tested = family_sentence(of_arm, experiment.claims.correction, experiment.claims.alpha)
    return CrossPair(model, cell, placed(made, folder, room), sentences, balance(table, dict(experiment.families)), tested)


def ordered(table: pd.DataFrame, experiment: Experiment) -> tuple[list[str], list[str]]:
    """The pairs trained on and the lists measured, in one order. table: rows of MATRIX of one model, arm, layer and rank.

    By family where the config names one, in the config's order inside and between them (lists without one come last); else by
    average linkage of the lists' changes, a list's own pair left out, with the leaves so ordered that neighbours are most alike
    (Bar-Joseph et al. 2001).
    """
    lists = by_place(table["on"], experiment.pairs)
    families = [family for name in experiment.pairs if (family := experiment.families.get(name))]
    place = {family: number for number, family in enumerate(dict.fromkeys(families))}
    if place:
        lists = sorted(lists, key=lambda name: place.get(experiment.families.get(name, ""), len(place)))
    elif len(lists) > 2:
        lists = _clustered(table, lists)
    return by_place(table["pair"], lists), lists


def _clustered(table: pd.DataFrame, lists: list[str]) -> list[str]:
    from scipy.cluster import hierarchy

    others = table[~table["own"].astype(bool)]
    changes = others.pivot_table(index="on", columns="pair", values="change", dropna=False).reindex(index=lists)
    changes = changes.apply(lambda one: one.fillna(one.mean()), axis=1).fillna(0.0)
    tree = hierarchy.linkage(changes.to_numpy(float), "average", optimal_ordering=True)
    leaves = hierarchy.leaves_list(tree)
    leaves = leaves[::-1] if leaves[0] > leaves[-1] else leaves  # which end comes first says nothing: as in the config
    return [lists[leaf] for leaf in leaves]
