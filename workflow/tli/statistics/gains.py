"""Which words gain: per word, averaged over seeds, real and placebo side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tli import facts
from tli.io import tables
from tli.statistics.cells import Difference, cells_of
from tli.statistics.columns import WORDS
from tli.statistics.families import adjust_families
from tli.statistics.inputs import Measured
from tli.statistics.paired import UNDEFINED, log10_p_of_t
from tli.statistics.units import Sheet
from tli.statistics.word_figures import NAMES

# what a list may tell of a word beyond its category; a column that is not there is left out
COVARIATES = {
    "token_count": "tokens of the source",
    "cognate": "edit similarity of the two sides",
    "nearest_trained": "highest similarity to a trained word",
    "edit_similarity": "edit similarity to a trained word",
}
NEAREST = ("nearest_trained", "edit_similarity")  # of those, what hangs on which words are trained
LEAST_OF_CATEGORY, LEAST_CLUSTERS = 5, 10
MEASURES = {"cosine": "cosine", "gap": "gap", "csls_hit": "csls_p_at_1"}  # name in GAINS: figure of a word


def gains_of_sheet(sheet: Sheet, members: pd.DataFrame, pairs: pd.DataFrame, splits: tuple[str, ...]) -> list[pd.DataFrame]:
    """Rows of GAINS: a cell (no control), word and measure of these splits: means over the seeds, placebo beside.

    csls_hit is the share of the seeds in which CSLS retrieves a right translation first.
    """
    blocks = []
    about = ["source", "target", "category", "component"]
    listed = pairs[pairs["pair"] == sheet.pair]
    listed = listed[listed["model"] == sheet.model] if "model" in pairs.columns else listed
    listed = listed.drop_duplicates("pair_id").set_index("pair_id")[about].reindex(sheet.words).reset_index(names="pair_id")
    for key, cell in cells_of(sheet, members[~members["control"]]):
        for split in splits:
            change, against = (Difference.of(sheet, cell, contrast, split) for contrast in (facts.AFTER_BEFORE, facts.REAL_PLACEBO))
            head = dict(zip(tables.CELL, key, strict=True)) | {"loss_layer": int(cell["loss_layer"].iloc[0]), "split": split}
            for measure, name in MEASURES.items():
                number = NAMES.index(name)
                after, before, placebo = (_mean(one[:, :, number]) for one in (change.first, change.second, against.second))
                seeds = np.isfinite(change.first[:, :, number]).sum(0)
                block = listed.assign(**head, metric=measure, seeds=seeds, before=before, after=after, placebo_after=placebo)
                block = block.assign(change=after - before, placebo_change=placebo - before)
                blocks.append(block[seeds > 0])
    return blocks


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis of what is there; NaN where nothing is."""
    there = np.isfinite(values)
    count = there.sum(0)
    return np.divide(np.where(there, values, 0.0).sum(0), count, out=np.full(values.shape[1], np.nan), where=count > 0)


def nearest_together(measured: Measured) -> pd.DataFrame:
    """CELL of the grid, pair_id and NEAREST of each word, for the cells of joint trainings: over the train pairs of all their lists."""
    cells = measured.runs.drop_duplicates(tables.CELL)
    if "trained_on" not in cells:
        return pd.DataFrame(columns=[*tables.CELL, "pair_id", *NEAREST])
    found = cells[[*tables.CELL, "trained_on"]].merge(measured.together, on=["model", "pair", "trained_on"])
    return found[[*tables.CELL, "pair_id", *NEAREST]]


def which_words_gain(
    gains: pd.DataFrame, pairs: pd.DataFrame, together: pd.DataFrame | None = None, split: str = "heldout", alpha: float = 0.05
) -> pd.DataFrame:
    """WORDS: after ~ before + category + covariates on seed averages; one row a cell, condition, measure and term.

    Ordinary least squares with errors clustered by component (t with clusters - 1 degrees of freedom); below LEAST_CLUSTERS
    components HC3 errors. Categories of fewer than LEAST_OF_CATEGORY words are joined as "other"; the largest category is
    the reference; terms that do not vary or follow from others are left out and named in the note. together: as `nearest_together`
    gives it; those cells have their words' NEAREST from it, and all others from `pairs`.
    """
    on = ["model", "pair", "pair_id"] if "model" in pairs.columns else ["pair", "pair_id"]
    covariates = [name for name in COVARIATES if name in pairs.columns]
    table = gains[gains["split"] == split].merge(pairs[[*on, *covariates]], on=on, how="left")
    table = table if together is None or together.empty else _of_joint(table, together)
    rows = []
    for key, part in table.groupby([*tables.CELL, "metric"], sort=True):
        head = dict(zip([*tables.CELL, "metric"], key, strict=True)) | {"split": split}
        if key[-1] == "csls_hit":
            continue  # a share of seeds: no linear model
        for condition, column in (("real", "after"), ("placebo", "placebo_after")):
            usable = part[np.isfinite(part[column]) & np.isfinite(part["before"])]
            if len(usable):
                rows += [{**head, "condition": condition, **term} for term in _regression(usable, column, covariates, alpha)]
    result = pd.DataFrame(rows, columns=WORDS)
    result["family"] = "which words gain: " + result["metric"].astype(str)
    return adjust_families(result)[WORDS]


def _of_joint(table: pd.DataFrame, together: pd.DataFrame) -> pd.DataFrame:
    on = [*tables.CELL, "pair_id"]
    table = table.merge(together.assign(is_joint=True), on=on, how="left", suffixes=("", "_together"), validate="many_to_one")
    joint = table["is_joint"].notna()
    kept = {name: table[name].mask(joint, table[f"{name}_together"]) for name in NEAREST if f"{name}_together" in table}
    return table.assign(**kept)


def _regression(table: pd.DataFrame, column: str, covariates: list[str], alpha: float) -> list[dict]:
    import statsmodels.api as sm

    design, left_out = _design(table, covariates)
    n, terms = design.shape
    clusters = table["component"].nunique()
    head = {"n": n, "clusters": clusters}
    if n < terms + 3:
        note = f"{UNDEFINED}{n} words are too few for {terms} terms"
        return [{**head, "term": name, "note": note} for name in design.columns]
    y = table[column].to_numpy(float)
    if not y.std() > 1e-12:
        return [{**head, "term": name, "note": UNDEFINED + "the words do not differ"} for name in design.columns]
    plain = sm.OLS(y, design.to_numpy(float))
    if clusters >= LEAST_CLUSTERS:
        groups = pd.factorize(table["component"])[0]
        fit = plain.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
        df, note = clusters - 1, "errors clustered by component"
    else:
        fit = plain.fit(cov_type="HC3", use_t=True)
        df, note = n - terms, f"HC3 errors: {clusters} components are too few to cluster by"
    note += f"; left out: {', '.join(left_out)}" if left_out else ""
    interval = fit.conf_int(alpha)
    rows = []
    for i, name in enumerate(design.columns):
        defined = fit.bse[i] > 1e-12 and np.isfinite(fit.tvalues[i])
        rows.append(
            {
                **head,
                "term": name,
                "estimate": fit.params[i],
                "error": fit.bse[i],
                "r_squared": fit.rsquared,
                "df": df,
                "low": interval[i][0] if defined else np.nan,
                "high": interval[i][1] if defined else np.nan,
                "statistic": fit.tvalues[i] if defined else np.nan,
                "p": fit.pvalues[i] if defined else np.nan,
                "log10_p": log10_p_of_t(fit.tvalues[i], df) if defined else np.nan,
                "note": note if defined else UNDEFINED + "no error can be estimated",
            }
        )
    return rows


def _design(table: pd.DataFrame, covariates: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Full-rank design (words x terms, the first is the intercept) and the names of what was left out."""
    columns = {"intercept": np.ones(len(table)), "before": table["before"].to_numpy(float)}
    left_out = []
    category = table["category"].fillna("").astype(str).replace("", "none")
    count = category.map(category.value_counts())
    category = category.where(count >= LEAST_OF_CATEGORY, "other")
    for name in category.value_counts().index[1:]:
        columns[f"category: {name}"] = (category == name).to_numpy(float)
    for name in covariates:
        value = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        if np.isfinite(value).mean() < 1:
            left_out.append(f"{name} (missing for {int((~np.isfinite(value)).sum())} words)")
        else:
            columns[name] = value
    independent: dict[str, np.ndarray] = {}
    for name, value in columns.items():
        scaled = value / (np.abs(value).max() or 1.0)
        trial = np.column_stack([*[v / (np.abs(v).max() or 1.0) for v in independent.values()], scaled])
        if np.linalg.matrix_rank(trial, tol=1e-8 * np.sqrt(len(table))) == trial.shape[1]:
            independent[name] = value
        else:
            left_out.append(name)
    return pd.DataFrame(independent, index=table.index), left_out
