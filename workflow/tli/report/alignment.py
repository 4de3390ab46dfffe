"""What can be said before anything is trained: are the words aligned, where, and what does a free map give."""

from __future__ import annotations

import pandas as pd

from tli.facts import MAP_PREFIX, MAP_SHUFFLED
from tli.io import tables
from tli.labels import arm_label, metric_label
from tli.report.input import ReportInput
from tli.report.intervals import wilson
from tli.report.numbers import share
from tli.report.selection import Endpoint, endpoint, kept_runs, rows

METRIC = "csls_p_at_1"
RUNGS = {"before": 0, "spelling": 1, "map": 2, "map at its own state": 3}
LITTLE = 0.05  # of the held-out words: less than that above a free map, and training can hardly show


def alignment_sentences(report: ReportInput) -> list[tuple[str, str, str]]:
    """(model, pair, sentences) of each list that was scanned, from its held-out words."""
    sentences = [(model, pair, _of(report, model, pair)) for model, pair in report.groups]
    return [(model, pair, text) for model, pair, text in sentences if text]


def _of(report: ReportInput, model: str, pair: str) -> str:
    place = endpoint(report.tables, model, pair)
    if place is None:
        return ""
    about = {"model": model, "pair": pair, **place.heldout}
    scan = rows(report.tables.scan, **about).set_index("hidden_state")
    if not len(scan):
        return ""
    best = rows(report.tables.choice, model=model, pair=pair, chosen=True)
    parts = [
        _output(scan, place),
        _best(scan, best),
        _maps(scan, rows(mapped_figures(report), **about), chosen_maps(report, model, pair), place),
    ]
    return " ".join(part for part in parts if part)


def mapped_figures(report: ReportInput) -> pd.DataFrame:
    """The figures of the free maps by hidden state (tables.RUN_METRICS)."""
    return report.tables.others.get("maps-metrics", pd.DataFrame(columns=tables.RUN_METRICS))


def chosen_maps(report: ReportInput, model: str, pair: str) -> pd.DataFrame:
    """The rows of tables.MAPS that the select words chose: one for each map, and each fold where there are folds."""
    return rows(report.tables.others.get("maps", pd.DataFrame(columns=tables.MAPS)), model=model, pair=pair, chosen=True)


def first_map(report: ReportInput, model: str, pair: str) -> str:
    """The map that the select words rank first, never the one that is best on held-out words; "" without maps."""
    return _first(chosen_maps(report, model, pair))


def rival_of(report: ReportInput, model: str, pair: str) -> str:
    """The map that trainings are held against, by the select words at the output; before any was, the one that they rank first; or ""."""
    rivals = report.tables.others.get("rivals")
    own = rows(rivals, model=model, pair=pair) if rivals is not None else pd.DataFrame()
    return str(own["map"].iloc[0]) if len(own) else first_map(report, model, pair)


def _first(chosen: pd.DataFrame) -> str:
    return str(chosen.groupby("map", sort=False)["value"].mean().idxmax()) if len(chosen) else ""


def _own_state(chosen: pd.DataFrame, name: str) -> int:
    """The hidden state that the select words chose for a map, of several folds the most frequent."""
    return int(chosen.loc[chosen["map"] == name, "hidden_state"].mode().iloc[0])


def by_state(mapped: pd.DataFrame, name: str) -> pd.DataFrame:
    """METRIC and n of a map (or of its twin, by the name with MAP_SHUFFLED) by hidden state, means over seeds and folds."""
    return mapped[mapped["arm"] == f"{MAP_PREFIX}{name}"].groupby("hidden_state")[[METRIC, "n"]].mean()


def untrained_rungs(report: ReportInput, model: str, pair: str) -> pd.DataFrame:
    """The rungs of the ladder (tables.LADDER) that stand before any training, of held-out words; intervals over words alone (`wilson`)."""
    place = endpoint(report.tables, model, pair)
    if place is None:
        return pd.DataFrame(columns=tables.LADDER)
    about = {"model": model, "pair": pair, **place.heldout}
    scan, mapped = rows(report.tables.scan, **about, hidden_state=place.hidden_state), rows(mapped_figures(report), **about)
    found = [("before", "baseline", "", row[METRIC], row["n"]) for _, row in scan.iterrows()]
    found += [("spelling", "spelling", "", row["string_p_at_1"], row["n"]) for _, row in scan.iterrows() if pd.notna(row["string_p_at_1"])]
    chosen = chosen_maps(report, model, pair)
    for name in dict.fromkeys(chosen["map"]):
        of_map = by_state(mapped, name)
        places = {"map": place.hidden_state, "map at its own state": _own_state(chosen, name)}
        found += [(rung, name, str(k), *of_map.loc[k]) for rung, k in places.items() if k in of_map.index]
    table = pd.DataFrame(found, columns=["rung", "name", "layer", "value", "words"]).sort_values(
        "rung", kind="stable", key=lambda one: one.map(RUNGS)
    )
    alpha = report.experiment.claims.alpha  # the page names that level beside all its intervals
    both = [wilson(value, words, alpha) for value, words in zip(table["value"], table["words"], strict=True)]
    table = table.assign(low=[low for low, _ in both], high=[high for _, high in both])
    rest = {"model": model, "pair": pair, "hidden_state": place.hidden_state, "pool": place.pool, "metric": METRIC}
    return table.assign(**rest).reindex(columns=tables.LADDER).reset_index(drop=True)


def standing(report: ReportInput, model: str, pair: str) -> str:
    """The headline of a list where nothing is trained: is it aligned, what does a free map give, what is left; "" before the scan."""
    place = endpoint(report.tables, model, pair)
    rungs = untrained_rungs(report, model, pair)
    if place is None or not (rungs["rung"] == "before").any():
        return ""
    row = rows(report.tables.scan, model=model, pair=pair, hidden_state=place.hidden_state, **place.heldout).iloc[0]
    text = "Aligned" if is_beyond_chance(row) else "Not aligned beyond chance"
    text += f" before training ({share(row[METRIC])} at the output"
    first = rungs[(rungs["name"] == first_map(report, model, pair)) & rungs["rung"].str.startswith("map")]
    if first.empty:
        return f"{text}); no free map was fitted"
    best, left = first.loc[first["value"].idxmax()], 1 - max(first["value"].max(), row[METRIC])
    room = f"{share(left)} left to gain" if left >= LITTLE else f"little left to gain ({share(left)})"
    return f"{text}); a free map reaches {share(best['value'])}; {room}"


def is_beyond_chance(row: pd.Series) -> bool:
    """Whether more words of a row of the scan found their translation than chance gives; exact, one-sided, level 0.025."""
    from scipy import special

    n = int(row["n"])
    hits = round(row[METRIC] * n)
    return bool(hits > 0 and special.bdtrc(hits - 1, n, min(max(float(row["chance"]), 0.0), 1.0)) < 0.025)


def untested_rungs(report: ReportInput, model: str, pair: str) -> pd.DataFrame:
    """The rungs of the ladder (tables.LADDER) before there are statistics: what stands before any training, then the mean over the seeds
    of every cell that is measured, controls first; those have no interval.
    """
    untrained, place = untrained_rungs(report, model, pair), endpoint(report.tables, model, pair)
    runs = rows(report.tables.runs, model=model, pair=pair)
    if place is None or runs.empty:
        return untrained
    figures = rows(report.tables.metrics, model=model, pair=pair, hidden_state=place.hidden_state, **place.heldout)
    found = []
    for (arm, layer, rank, control), own in runs.groupby(["arm", "layer", "rank", "control"], sort=False):
        measured = figures[figures["run"].isin(set(kept_runs(own)))]
        if len(measured):
            rung, words = "control" if control else "arm", measured["n"].max()
            found.append((rung, arm_label(arm, str(rank)), layer, measured[METRIC].mean(), words, measured["seed"].nunique()))
    table = pd.DataFrame(found, columns=["rung", "name", "layer", "value", "words", "seeds"])
    table = table.sort_values("rung", ascending=False, kind="stable").assign(
        model=model, pair=pair, hidden_state=place.hidden_state, pool=place.pool, metric=METRIC
    )
    parts = [part for part in (untrained, table.reindex(columns=tables.LADDER)) if len(part)]
    return (
        pd.concat([part.dropna(axis="columns", how="all") for part in parts], ignore_index=True).reindex(columns=tables.LADDER)
        if parts
        else untrained
    )


def _output(scan: pd.DataFrame, place: Endpoint) -> str:
    row = scan.loc[place.hidden_state]
    n, chance, spelling = int(row["n"]), float(row["chance"]), row["string_p_at_1"]
    hits = round(row[METRIC] * n)
    alike = f", {share(spelling)} by spelling alone" if pd.notna(spelling) else ""
    text = (
        f"At the output, hs[{place.hidden_state}], {hits} of {n} held-out words find their translation among {int(row['pool_targets'])} "
        f"forms ({metric_label(METRIC)} {share(row[METRIC])}; {share(chance)} by chance{alike}); the cosine of a pair is "
        f"{row['cosine']:.2f}, of mismatched words {row['mismatched']:.2f}."
    )
    if not is_beyond_chance(row):
        return text + " That is not beyond chance."
    return text + (" That is no more than spelling gives." if pd.notna(spelling) and row[METRIC] <= spelling else "")


def _best(scan: pd.DataFrame, best: pd.DataFrame) -> str:
    if not len(best) or int(best["hidden_state"].iloc[0]) not in scan.index:
        return ""
    state, wins = int(best["hidden_state"].iloc[0]), float(best["win_share"].iloc[0])
    sure = f", which wins in {share(wins)} of the draws of select words" if wins else ""
    return f"The select words choose hs[{state}]{sure}: {share(scan.loc[state, METRIC])} of the held-out words there."


def _maps(scan: pd.DataFrame, mapped: pd.DataFrame, chosen: pd.DataFrame, place: Endpoint) -> str:
    """The map that the select words rank first, never the one that is best on held-out words."""
    if not len(chosen) or not len(mapped):
        return ""
    first = _first(chosen)
    own = _own_state(chosen, first)
    of_map, twin = (by_state(mapped, name)[METRIC] for name in (first, first + MAP_SHUFFLED))
    here = f"{share(of_map[own])} at hs[{own}], the state that the select words choose for it"
    there = (
        f", {share(of_map[place.hidden_state])} at the output" if place.hidden_state in of_map.index and own != place.hidden_state else ""
    )
    shuffled = f" ({share(twin[own])} when fitted to shuffled pairs)" if own in twin.index else ""
    best = max(of_map[own], of_map.get(place.hidden_state, 0.0), scan[METRIC].get(place.hidden_state, 0.0))
    left = 1 - best
    end = (
        f"A training has to beat that to be worth it, and has {share(left)} of the words left to gain"
        if left >= LITTLE
        else f"Little is left that a training could gain: {share(left)} of the words"
    )
    return f"With nothing trained, the free map {first} gives {here}{shuffled}{there}. {end}."
