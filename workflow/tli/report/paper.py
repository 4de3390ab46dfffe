"""Tables 1 and 2 in the paper's form, the published figures (arXiv 2506.15415) beside ours."""

from __future__ import annotations

import pandas as pd

from tli.facts import PAIRED_T, WITHIN_RUN
from tli.io.tables import CELL
from tli.report.input import Experiment
from tli.report.selection import Cell, Endpoint, in_pools, kept_runs, rows

PUBLISHED = "published (Lugha-Llama-8B-wura)"
TABLE_1 = pd.DataFrame(
    [
        ("train", 623, 0.3211, 0.0834, 0.4113, 0.0877, 0.0902, 28.08, 54.8842, 1.33e-240),
        ("heldout", 63, 0.3143, 0.0734, 0.4033, 0.0788, 0.0890, 28.32, 18.4525, 7.17e-27),
    ],
    columns=["split", "n", "before", "before_sd", "after", "after_sd", "change", "change_percent", "t", "p"],
)
TABLE_2 = pd.DataFrame(
    [
        ("asante sana", "thank you very much", 0.292, 0.440),
        ("bei gani", "how much does it cost", 0.309, 0.484),
        ("Kamba", "rope", 0.326, 0.409),
        ("afya", "health", 0.280, 0.364),
        ("-chafuka", "rough", 0.220, 0.326),
        ("chungwa", "orange", 0.325, 0.335),
        ("Februari", "February", 0.525, 0.519),
        ("dada", "sister", 0.546, 0.541),
    ],
    columns=["source", "target", "published_before", "published_after"],
)


def beside(experiment: Experiment) -> str:
    """What the reader must know before comparing with the published figures."""
    if experiment.follows_paper:
        return f"Protocol {experiment.protocol}, the paper's; compare models before comparing figures."
    return "The published figures are of another model and another protocol: they are shown for the form, not for comparison."


def table_1(similarities: pd.DataFrame, runs: pd.DataFrame, tests: pd.DataFrame, cell: Cell, place: Endpoint) -> pd.DataFrame:
    """One row per run of `cell` and split: n, cosine before and after with standard deviations over words, change, t and p.

    A held-out word counts once, whatever pools it was ranked in: its cosine is the same in all.
    t and p are those of tests ("paired t over words" within the run), empty where they were not computed.
    """
    columns = [*CELL, "run", "hidden_state", *TABLE_1.columns, "log10_p"]
    own = rows(runs, **cell.columns)
    own = own.assign(kept=kept_runs(own))
    where = {"model": cell.model, "pair": cell.pair, "hidden_state": place.hidden_state, "pooling": place.pooling}
    there = in_pools(rows(similarities, **where), place)
    # A run that is the same as another has no rows of its own: it is read from the run that was kept.
    after = there.merge(own[["run", "kept", "baseline"]].rename(columns={"run": "name"}), left_on="run", right_on="kept")
    before = there[["run", "pair_id", "cosine"]].drop_duplicates(["run", "pair_id"])  # with folds it is judged in each
    before = before.rename(columns={"run": "baseline", "cosine": "cosine_before"})
    both = after.merge(before, on=["baseline", "pair_id"])
    if both.empty:
        return pd.DataFrame(columns=columns)
    both["difference"] = both["cosine"] - both["cosine_before"]
    grouped = both.groupby(["name", "kept", "split"], sort=False, observed=True)
    made = grouped.agg(
        n=("cosine", "size"),
        before=("cosine_before", "mean"),
        before_sd=("cosine_before", "std"),
        after=("cosine", "mean"),
        after_sd=("cosine", "std"),
        change=("difference", "mean"),
    ).reset_index()
    made["change_percent"] = 100 * made["change"] / made["before"]
    given = rows(tests, **where, metric="cosine", test=PAIRED_T, level=WITHIN_RUN)
    given = given.astype(dict.fromkeys(("arm", "layer", "rank", "split"), object))
    run = given["arm"] + "/layer-" + given["layer"] + "/rank-" + given["rank"] + "/seed-" + given["seed"].astype(int).astype(str)
    given = given.assign(kept=run).rename(columns={"statistic": "t"})[["kept", "split", "t", "p", "log10_p"]]
    made = made.merge(given.drop_duplicates(["kept", "split"]), on=["kept", "split"], how="left")
    made = made.astype({"t": float, "p": float, "log10_p": float})  # empty where there were no tests
    return made.assign(**cell.columns, run=made["name"], hidden_state=place.hidden_state)[columns]


def table_2(words: pd.DataFrame) -> pd.DataFrame:
    """The paper's eight pairs with our cosine before and after beside them, and the split they fell into.

    `words` is derived.paired with source and target; a published pair that our list lacks keeps empty figures.
    """
    ours = words.assign(
        key=words["source"].astype(str).str.casefold().str.strip("- ") + "\t" + words["target"].astype(str).str.casefold().str.strip()
    ).drop_duplicates("key")
    published = TABLE_2.assign(key=TABLE_2["source"].str.casefold().str.strip("- ") + "\t" + TABLE_2["target"].str.casefold())
    columns = ["key", "split", "seeds", "cosine_before", "cosine_after", "target_rank_before", "target_rank_after"]
    return published.merge(ours[columns], on="key", how="left").drop(columns="key")
