"""Which rows a figure or a sentence is about: the cell shown first, the output's hidden state, the pooling.

Nothing here looks at a result: the cell shown first is the first that the config names.
"""

from __future__ import annotations

import pandas as pd

from tli.io import tables as contract
from tli.io.tables import CELL

COLUMNS = {
    "pairs": contract.PAIRS, "grid": contract.GRID, "runs": contract.RUNS, "losses": contract.LOSSES, "scan": contract.SCAN,
    "similarities": contract.SIMILARITIES, "metrics": contract.RUN_METRICS, "choice": contract.CHOICE,
    "projections": contract.PROJECTIONS, "transfer": contract.TRANSFER, "perplexity": contract.PERPLEXITY,
    "tests": contract.TESTS, "verdicts": contract.VERDICTS,
}  # fmt: skip


def table(tables: dict[str, pd.DataFrame], name: str) -> pd.DataFrame:
    """The table `name` with all columns of the contract; without rows when it is absent."""
    columns, found = COLUMNS.get(name, []), tables.get(name)
    if found is None:
        return pd.DataFrame(columns=columns)
    lacking = [column for column in columns if column not in found.columns]
    return found.assign(**dict.fromkeys(lacking, pd.NA)) if lacking and found.empty else found


def rows(frame: pd.DataFrame, **values) -> pd.DataFrame:
    """The rows whose columns have the given values; a column that is not there, or a value None, is not asked for."""
    for column, value in values.items():
        if value is not None and column in frame.columns:
            frame = frame[frame[column] == value]
    return frame


def with_bos(pooling: str) -> bool:
    """Whether the name of a pooling says that BOS is pooled in."""
    name = str(pooling).lower().replace("_", " ").replace("-", " ")
    return "bos" in name and not any(word in name.split() for word in ("without", "no", "nobos"))


def clean_pooling(frame: pd.DataFrame) -> str | None:
    """The pooling without BOS among a table's, else its first; None where there is none."""
    if "pooling" not in frame.columns or frame.empty:
        return None
    names = list(frame["pooling"].dropna().unique())
    return next((name for name in names if not with_bos(name)), names[0] if names else None)


def endpoint(tables: dict[str, pd.DataFrame], model: str, pair: str) -> tuple[int | None, str | None]:
    """Hidden state and pooling of the primary endpoint: those of the confirmatory tests, else the last one, without BOS."""
    tests = rows(table(tables, "tests"), model=model, pair=pair)
    tests = tests[tests["level"] == "confirmatory"] if len(tests) else tests
    if len(tests) and tests["hidden_state"].notna().any():
        first = tests[tests["hidden_state"].notna()].iloc[0]
        return int(first["hidden_state"]), first["pooling"]
    for name in ("metrics", "similarities", "scan"):
        frame = rows(table(tables, name), model=model, pair=pair)
        if len(frame):
            return int(frame["hidden_state"].max()), clean_pooling(frame)
    return None, None


def groups(tables: dict[str, pd.DataFrame], config: dict) -> list[tuple[str, str]]:
    """Every (model, pair) in the config's order; those that only the tables know follow."""
    known = []
    for name in ("verdicts", "grid", "runs", "scan", "metrics"):
        frame = tables.get(name)
        if frame is not None and {"model", "pair"} <= set(frame.columns):
            known += list(frame[["model", "pair"]].drop_duplicates().itertuples(index=False, name=None))
    known = list(dict.fromkeys(known))
    models, pairs = names(config.get("models")), names(config.get("pairs"))

    def place(group):
        model, pair = group
        return (models.index(model) if model in models else len(models), pairs.index(pair) if pair in pairs else len(pairs))

    return sorted(known, key=place)


def names(section) -> list[str]:
    """The names of a config's section, be it a mapping, a list of names or a list of mappings with a name."""
    if section is None:
        return []
    if isinstance(section, dict):
        return list(section)
    return [str(item.get("name", item)) if isinstance(item, dict) else str(item) for item in section]


def by_place(values, order: list[str]) -> list[str]:
    """Distinct values, those of `order` first and in its order, numbers by size, the rest by name."""

    def place(value):
        known = order.index(value) if value in order else len(order)
        return (known, float(value) if str(value).replace(".", "", 1).isdigit() else float("inf"), str(value))

    return sorted(dict.fromkeys(map(str, values)), key=place)


def first_cell(cells: pd.DataFrame, config: dict, model: str, pair: str) -> dict | None:
    """The cell shown first for (model, pair): the first arm, layer and rank that the config names, whatever came out.

    `cells` has the columns of tables.CELL (verdicts or the grid). Control arms are left out. None when there is none.
    """
    cells = rows(cells, model=model, pair=pair)
    if "control" in cells.columns:
        cells = cells[~cells["control"].astype(bool)]
    cells = cells[~cells["arm"].astype(str).str.startswith("baseline")] if len(cells) else cells
    if cells.empty:
        return None
    arms = config.get("arms") if isinstance(config.get("arms"), dict) else {}
    arm = by_place(cells["arm"], names(config.get("arms")))[0]
    cells = cells[cells["arm"] == arm]
    settings = arms.get(arm) if isinstance(arms.get(arm), dict) else {}
    layers = [str(item) for item in as_list(settings.get("loss_layer"))] or ["best", "output"]
    layer = by_place(cells["layer"], layers)[0]
    cells = cells[cells["layer"] == layer]
    ranks = [str(item) for item in as_list(settings.get("rank"))]
    rank = by_place(cells["rank"], ["16"] if "16" in ranks or not ranks else ranks)[0]
    return dict(zip(CELL, (model, pair, arm, layer, rank), strict=True))


def as_list(value) -> list:
    """A list of what may be one value, several or none."""
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def in_order(cells: pd.DataFrame, config: dict) -> pd.DataFrame:
    """Rows by model, pair, arm (as the config has them), loss layer and rank, numbers by size."""
    if cells.empty:
        return cells
    orders = {"model": names(config.get("models")), "pair": names(config.get("pairs")), "arm": names(config.get("arms"))}
    place = pd.DataFrame(index=cells.index)
    for column, order in {**orders, "layer": ["best"], "rank": []}.items():
        place[column] = cells[column].astype(str).map({v: i for i, v in enumerate(by_place(cells[column], order))})
    return cells.loc[place.sort_values(CELL, kind="stable").index]


def cell_name(cell: dict) -> str:
    """A cell in words: 'tli, loss at layer best, rank 16'."""
    rank = "full fine-tuning" if cell["rank"] in ("full", "") else f"rank {cell['rank']}"
    return f"{cell['arm']}, loss at {layer_name(cell['layer'])}, {rank}"


def layer_name(layer: str) -> str:
    """A loss layer as the config asks for it, in words."""
    return {"best": "the best layer", "output": "the output"}.get(str(layer), f"hs[{layer}]")
