"""Tables 1 and 2 in the paper's form, the published figures (arXiv 2506.15415) beside ours."""

from __future__ import annotations

import pandas as pd

from tli.io.tables import CELL
from tli.report.choose import rows

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


def same_protocol(config: dict) -> bool:
    """Whether the run follows one of the paper's two protocols, so that its figures may stand beside the published ones."""
    return config.get("protocol") in ("paper-text", "paper-code")


def beside(config: dict) -> str:
    """What the reader must know before comparing with the published figures."""
    if same_protocol(config):
        return f"Protocol {config['protocol']}, the paper's; compare models before comparing figures."
    return "The published figures are of another model and another protocol: they are shown for the form, not for comparison."


def table_1(
    similarities: pd.DataFrame, runs: pd.DataFrame, tests: pd.DataFrame, cell: dict, hidden_state: int, pooling: str
) -> pd.DataFrame:
    """One row per run of `cell` and split: n, cosine before and after with standard deviations over words, change, t and p.

    t and p are those of tests ("paired t over words" within the run), empty where they were not computed.
    """
    columns = [*CELL, "run", "hidden_state", *TABLE_1.columns, "log10_p"]
    own = rows(runs, **cell)
    places = rows(similarities, model=cell["model"], pair=cell["pair"], hidden_state=hidden_state, pooling=pooling)
    if own.empty or places.empty:
        return pd.DataFrame(columns=columns)
    own = own.assign(kept=own["same_as"].where(own["same_as"].fillna("") != "", own["run"]) if "same_as" in own else own["run"])
    # A run that is the same as another has no rows of its own: it is read from the run that was kept.
    after = places.merge(own[["run", "kept", "baseline"]].rename(columns={"run": "name"}), left_on="run", right_on="kept")
    before = places[["run", "pair_id", "cosine"]].rename(columns={"run": "baseline", "cosine": "cosine_before"})
    both = after.merge(before, on=["baseline", "pair_id"])
    if both.empty:
        return pd.DataFrame(columns=columns)
    both["difference"] = both["cosine"] - both["cosine_before"]
    grouped = both.groupby(["name", "kept", "split"], sort=False, observed=True)
    found = grouped.agg(
        n=("cosine", "size"), before=("cosine_before", "mean"), before_sd=("cosine_before", "std"), after=("cosine", "mean"),
        after_sd=("cosine", "std"), change=("difference", "mean"),
    ).reset_index()  # fmt: skip
    found["change_percent"] = 100 * found["change"] / found["before"]
    word_tests = rows(tests, model=cell["model"], pair=cell["pair"], metric="cosine", hidden_state=hidden_state, pooling=pooling)
    if len(word_tests) and {"test", "level", "arm"} <= set(word_tests.columns):
        word_tests = word_tests[(word_tests["test"] == "paired t over words") & (word_tests["level"] == "within one run")]
        run = word_tests["arm"] + "/layer-" + word_tests["layer"] + "/rank-" + word_tests["rank"] + "/seed-"
        run = run + word_tests["seed"].astype(int).astype(str)
        given = word_tests.assign(kept=run).rename(columns={"statistic": "t"})[["kept", "split", "t", "p", "log10_p"]]
        found = found.merge(given.drop_duplicates(["kept", "split"]), on=["kept", "split"], how="left")
    else:
        found = found.assign(t=float("nan"), p=float("nan"), log10_p=float("nan"))
    return found.assign(**cell, run=found["name"], hidden_state=hidden_state)[columns]


def table_2(words: pd.DataFrame) -> pd.DataFrame:
    """The paper's eight pairs with our cosine before and after beside them, and the split they fell into.

    `words` is derive.paired with source and target; a published pair that our list lacks keeps empty figures.
    """
    ours = words.assign(
        key=words["source"].astype(str).str.casefold().str.strip("- ")
        + "\t" + words["target"].astype(str).str.casefold().str.strip()
    ).drop_duplicates("key")  # fmt: skip
    published = TABLE_2.assign(key=TABLE_2["source"].str.casefold().str.strip("- ") + "\t" + TABLE_2["target"].str.casefold())
    kept = ["key", "split", "seeds", "cosine_before", "cosine_after", "target_rank_before", "target_rank_after"]
    return published.merge(ours[kept], on="key", how="left").drop(columns="key")
