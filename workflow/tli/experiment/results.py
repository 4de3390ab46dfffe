"""The tables of a results folder, read across models, pairs and parts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from tli.errors import TableError
from tli.experiment.layout import Layout
from tli.facts import OLDER
from tli.io import table_files, tables

Place = tuple[str, str, str]  # model, pair, part


def read_measured(layout: Layout, places: Iterable[Place], without: Collection[str] = ()) -> dict[str, pd.DataFrame]:
    """The tables of these parts of the evaluation together: similarities, metrics, projections, runs, losses; not those named in `without`.

    Raises TableError where two parts hold the same run.
    """
    files = [layout.measured("evaluate", *place) for place in places]
    read = {}
    for name, path in (files[0] if files else {}).items():
        if name in without:
            continue
        long = path.endswith(".parquet")
        parts = [table_files.read(one[name], compact=long) for one in files]
        read[name] = table_files.stacked(parts) if long else pd.concat(parts, ignore_index=True)
    place = ["model", "pair", "run", "seed", "fold", "split", "hidden_state", "pooling", "pool"]
    if lacking := [name for name in place if name not in read["metrics"]]:
        raise TableError(f"{files[0]['metrics']}: lacks the columns {', '.join(lacking)}; {OLDER}")
    twice = read["metrics"].duplicated(place)
    if twice.any():
        row = read["metrics"][twice].iloc[0]
        raise TableError(f"{files[0]['metrics']} and other parts hold the run {row['run']} of {row['model']}, {row['pair']} twice")
    runs = read["runs"]
    if "trained_on" not in runs:  # measured before there were joint trainings
        runs = runs.assign(trained_on=runs["pair"])
    return read | {"runs": mark_same(runs)}


def read_similarities(layout: Layout, places: Iterable[Place], runs: Mapping[tuple[str, str], Collection[str]]) -> pd.DataFrame:
    """The words' figures (tables.SIMILARITIES) of these runs, by model and pair; text as categories."""
    parts = [
        table_files.read(layout.measured("evaluate", *place)["similarities"], compact=True, only={"run": runs[place[:2]]})
        for place in places
        if runs.get(place[:2])
    ]
    return table_files.stacked(parts) if parts else pd.DataFrame(columns=tables.SIMILARITIES)


def read_across(layout: Layout, places: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """ACROSS of these parts (model, part) together."""
    parts = [table_files.read(layout.across(*place)["similarities"], tables.ACROSS, compact=True) for place in places]
    return table_files.stacked(parts) if parts else pd.DataFrame(columns=tables.ACROSS)


def read_maps(layout: Layout, model_pairs: Iterable[tuple[str, str]]) -> dict[str, pd.DataFrame]:
    """The tables of the free maps of these models and pairs together: maps, map_similarities."""
    columns = {"maps": tables.MAPS, "map_similarities": tables.SIMILARITIES}
    files = [layout.scan(*key) for key in model_pairs]
    return {name: tables.joined([table_files.read(one[name], its) for one in files], its) for name, its in columns.items()}


def read_words(layout: Layout, model: str, pair: str) -> pd.DataFrame:
    """WORDS of a list: what the scan says of its words."""
    words = table_files.read(layout.scan(model, pair)["words"], [name for name in tables.WORDS if name != "trained_on"])
    return words if "trained_on" in words else words.assign(trained_on=pair)  # scanned before joint trainings had rows of their own


def mark_same(runs: pd.DataFrame) -> pd.DataFrame:
    """Fill `same_as`: among runs of one model and pair that depend on the same things, all but the first name the first.

    The first is the one whose layer is a number, so that `best` gives way to the layer it stands for.
    """
    order = runs.assign(_named=runs["layer"].isin(["best", "output"])).sort_values("_named", kind="stable")
    first = order.groupby(["model", "pair", "unit"])["run"].transform("first")
    return runs.assign(same_as=first.where(first != order["run"], "").reindex(runs.index))


def finished(layout: Layout, places: Iterable[Place], stage: str, table: str) -> list[Place]:
    """Those places whose table is there. Not every folder there is: an older cut into jobs or an arm that is gone may have left some."""
    return [place for place in places if Path(layout.measured(stage, *place)[table]).exists()]
