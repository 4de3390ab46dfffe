"""A cross-pair matrix in words: one sentence a row, and how many tests it was corrected for."""

from __future__ import annotations

import pandas as pd

from tli import facts
from tli.labels import metric_label
from tli.statistics.sentences import SCOPE, count, listing

NAMED = 2  # lists of which nothing is said are counted, of more than this many
WORDS = {  # status: what a row's adapters did, before the names of the lists
    facts.HELPED: "helped",
    facts.HURT: "hurt",
    facts.UNDECIDED: "is not decided on",
    facts.TOO_FEW: "has too few seeds or words on",
    facts.FAILED: "failed on",
}


def row_sentence(row: pd.DataFrame) -> str:
    """As in "Trained on swh-eng, tli helped its own list and lin-eng, hurt fra-eng, and is not decided on 2 others."

    row: the rows of MATRIX of one cell of the grid, in the order in which their lists are named; its own list comes first.
    """
    first = row.iloc[0]
    row = row.sort_values("own", ascending=False, kind="stable")
    by_status = {status: row[row["status"] == status] for status in WORDS if (row["status"] == status).any()}
    parts = [f"{WORDS[status]} {_lists(part, status, row)}" for status, part in by_status.items()]
    unsure = facts.HELPED in by_status and not first["control"] and row["against_placebo"].isna().all()
    beside = " (no placebo: that the true translations did it cannot be claimed)" if unsure else ""
    trained_on = listing(str(first["trained_on"]).split(facts.JOINED))
    return f"Trained on {trained_on}, {first['arm']} {_joined(parts)}{beside}."


def _lists(part: pd.DataFrame, status: str, row: pd.DataFrame) -> str:
    of, called = len(row), "its own {}" if row["own"].sum() > 1 else "its own list"
    names = [called.format(on) if own else str(on) for on, own in zip(part["on"], part["own"], strict=True)]
    if status in (facts.HELPED, facts.HURT) or len(names) <= NAMED:
        return listing(names)
    if len(names) == of:
        return f"any of the {of} lists" if status == facts.UNDECIDED else f"all {of} lists"
    own = names[: int(part["own"].sum())]
    return listing([*own, f"{len(names) - len(own)} others"])


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f", and {parts[-1]}"


def family_sentence(table: pd.DataFrame, correction: str, alpha: float) -> str:
    """What was tested and for how many tests it was corrected. table: rows of MATRIX of one model and arm."""
    first = table.iloc[0]
    over = {"loss layer": table["layer"].nunique(), "rank": table["rank"].nunique()}
    more = "".join(f" x {count(number, name)}" for name, number in over.items() if number > 1)
    lists = f"{count(table['pair'].nunique(), 'pair')} trained on x {count(table['on'].nunique(), 'list')} measured{more}"
    both = "after - before and, where there is a placebo, real - placebo above 0" if not first["control"] else "after - before above 0"
    return (
        f"{metric_label(first['metric'])} of held-out words at hs[{first['hidden_state']}], {first['pool']} pool: helped needs {both}, hurt "
        f"after - before below 0, {SCOPE}; corrected ({correction}, {alpha:g}) for the {count(int(first['family_size']), 'test')} of "
        f"{first['model']}, {first['arm']} ({lists}), a family of their own beside the confirmatory one."
    )


def balance(table: pd.DataFrame, families: dict[str, str]) -> str:
    """How the cells off the diagonal came out, in and across families of languages where the config names them, there with their means.

    table: rows of MATRIX of one arm, layer and rank. families: list -> its family's name. "" where there is no such cell.
    """
    others = table[~table["own"].astype(bool)]
    if others.empty:
        return ""
    text = f"Of the {count(len(others), 'cell')} off the diagonal {_counted(others)}."
    both = [(families.get(pair), families.get(on)) for pair, on in zip(others["pair"], others["on"], strict=True)]
    known = pd.Series([bool(a and b) for a, b in both], index=others.index)
    alike = pd.Series([bool(a and a == b) for a, b in both], index=others.index)
    within, between = others[alike], others[known & ~alike]
    if within.empty or between.empty:
        return text
    told = [f"{_counted(cells)} of {len(cells)}{_mean(cells)}" for cells in (within, between)]
    return f"{text} Within a family of languages: {told[0]}; between families: {told[1]}. Counts and means are no test."


def _counted(cells: pd.DataFrame) -> str:
    """As in "2 are helped, 1 is hurt, 3 not decided"."""
    counts = cells["status"].value_counts()
    told = [f"{counts.get(status, 0)} {'is' if counts.get(status, 0) == 1 else 'are'} {status}" for status in (facts.HELPED, facts.HURT)]
    told += [f"{counts[status]} {NOUNS[status]}" for status in NOUNS if status in counts]
    return ", ".join(told)


def _mean(cells: pd.DataFrame) -> str:
    """As in ", mean change +0.031 (+0.040 against the placebo)", over the cells that have one."""
    change, against = cells["change"].mean(), cells["against_placebo"].mean()
    if pd.isna(change):
        return ""
    return f", mean change {change:+.3f}" + ("" if pd.isna(against) else f" ({against:+.3f} against the placebo)")


NOUNS = {facts.UNDECIDED: "not decided", facts.TOO_FEW: "with too few seeds or words", facts.FAILED: "failed"}
