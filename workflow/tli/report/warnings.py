"""Warnings of the first screen: what speaks against believing the figures."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from tli.experiment import design_warnings
from tli.experiment.design_warnings import Remark
from tli.facts import GUESSING, HIGH_MISMATCH, SINK_LIMIT, SURE_CHOICE, WEAK_RETRIEVAL
from tli.labels import is_in_template
from tli.report.input import Model, ReportInput, Tables
from tli.report.selection import baselines, endpoint, rows, with_bos
from tli.report.tuning import edges

DEMO = (
    "Demo model. The figures say nothing about a real language model: the model is tiny, held-out words occur in its "
    "pretraining text, and it was chosen, of all that were tried, because the workflow has something to show on it: what TLI "
    "gains here is a property of the choice, not a finding (resources/demo/README.md tells how it was made and chosen)."
)
BARE = "The tokenizer adds nothing before a word: a word's first token may be the sink, and it is in every pool."


def warnings(report: ReportInput) -> list[Remark]:
    """All remarks, the serious ones first; what is said of several models and pairs is one remark."""
    places: dict[tuple[str, bool], dict[str, None]] = {}
    for one in _all(report):
        places.setdefault((one.text, one.is_serious), {})[one.about] = None
    found = [Remark(_together(list(about), report), text, is_serious) for (text, is_serious), about in places.items()]
    return sorted(found, key=lambda one: not one.is_serious)


def _together(about: list[str], report: ReportInput) -> str:
    every = [f"{model}, {pair}" for model, pair in report.groups]
    return f"all {len(every)} models and pairs" if len(every) > 2 and about == every else "; ".join(about)


def _all(report: ReportInput) -> Iterator[Remark]:
    tables, experiment = report.tables, report.experiment
    if experiment.is_demo:
        yield Remark("", DEMO)
    if text := design_warnings.few_seeds(len(experiment.seeds)):
        yield Remark("", text)
    for model in dict.fromkeys(model for model, _ in report.groups):
        yield from (Remark(model, text) for text in _perplexity(tables, experiment.model(model)))
    for model, pair in report.groups:
        about = f"{model}, {pair}"
        serious = [
            *_sink(tables, model, pair),
            *_baseline(tables, model, pair),
            *_placebo(tables, model, pair),
            *_warm_up(tables, model, pair),
            *_batches(tables, model, pair),
            *_twins(tables, model, pair),
        ]
        yield from (Remark(about, text) for text in serious)
        yield from (Remark(about, text, is_serious=False) for text in [*_choice(tables, model, pair), *_unreached(tables, model, pair)])
    for about_model in experiment.models:
        if about_model.is_bare and rows(tables.scan, model=about_model.name)["sink_ratio"].max() > SINK_LIMIT:
            yield Remark(about_model.name, BARE)
    yield from (Remark("", text, is_serious=False) for text in edges(tables.trials))
    for line in report.audit:
        severity = line.severity.lower()
        if severity in ("error", "serious", "leak", "warning") or "leak" in line.text.lower():
            yield Remark(line.pair, line.text, is_serious=severity != "warning")


def _sink(tables: Tables, model: str, pair: str) -> Iterator[str]:
    scan = rows(tables.scan, model=model, pair=pair)
    scan = scan[~scan["pooling"].map(is_in_template).astype(bool)]
    longest = scan[scan["sink_ratio"].notna()]
    pooled = scan[scan["pooling"].map(with_bos).astype(bool) & scan["mismatched"].notna()]
    texts = []
    if len(longest):
        worst = longest.loc[longest["sink_ratio"].idxmax()]
        if worst["sink_ratio"] > SINK_LIMIT:
            texts.append(
                f"Attention sink: token 0 is {worst['sink_ratio']:.0f} times as long as the words at hs[{int(worst['hidden_state'])}]"
                f" (warning above {SINK_LIMIT:.0f})."
            )
    if len(pooled):
        top = pooled.loc[pooled["mismatched"].idxmax()]
        if top["mismatched"] > HIGH_MISMATCH:
            value = f"{top['mismatched']:.4f}".rstrip("0")
            texts.append(
                f"With BOS pooled in, any two words score {value} at hs[{int(top['hidden_state'])}]: cosines with BOS say nothing."
            )
    if texts:
        yield " ".join(texts)


def _baseline(tables: Tables, model: str, pair: str) -> Iterator[str]:
    place = endpoint(tables, model, pair)
    if place is None:
        return
    metrics = rows(tables.metrics, model=model, pair=pair, split="heldout", hidden_state=place.hidden_state, pooling=place.pooling)
    start = metrics[baselines(metrics)]
    if len(start):
        n, share = int(start["n"].iloc[0]), float(start["csls_p_at_1"].iloc[0])
        if text := design_warnings.few_heldout(n):
            yield text
        if share < WEAK_RETRIEVAL:
            yield (
                f"Weak baseline: before training, {share:.1%} of the held-out words find their translation at hs[{place.hidden_state}] "
                "(CSLS P@1)."
            )


def _placebo(tables: Tables, model: str, pair: str) -> Iterator[str]:
    """Arms without a placebo."""
    grid = rows(tables.grid, model=model, pair=pair)
    bare = [arm for arm in grid.loc[~grid["control"].astype(bool), "arm"].unique() if arm not in set(grid["placebo_of"])]
    if text := design_warnings.no_placebo(bare):
        yield text


def _choice(tables: Tables, model: str, pair: str) -> Iterator[str]:
    """How sure the choice of the best layer is, where an arm rests on it."""
    choice = rows(tables.choice, model=model, pair=pair)
    if choice.empty or rows(tables.grid, model=model, pair=pair, layer="best").empty:
        return
    won = choice[choice["chosen"].astype(bool)]
    scan = rows(tables.scan, model=model, pair=pair, split="select")
    if len(won) and won["win_share"].iloc[0] < SURE_CHOICE:
        yield (
            f"The best layer, hs[{int(won['hidden_state'].iloc[0])}], would have been chosen in {won['win_share'].iloc[0]:.0%} of draws of "
            "the select words."
        )
    if len(scan) and (text := design_warnings.few_select(int(scan["n"].iloc[0]))):
        yield text


def _warm_up(tables: Tables, model: str, pair: str) -> Iterator[str]:
    """Arms whose training ended before the learning rate had risen."""
    runs = rows(tables.runs, model=model, pair=pair)
    for row in runs[runs["steps"] > 0].sort_values("steps").drop_duplicates("arm").itertuples():
        if text := design_warnings.short_warm_up(row.arm, int(row.steps), int(row.warmup_steps)):
            yield text


def _batches(tables: Tables, model: str, pair: str) -> Iterator[str]:
    """Arms whose batch was more than there was to train on."""
    for row in rows(tables.runs, model=model, pair=pair).drop_duplicates("arm").itertuples():
        if row.steps > 0 and (text := design_warnings.large_batch(row.arm, int(row.batch_size), int(row.train_pairs))):
            yield text


def _twins(tables: Tables, model: str, pair: str) -> Iterator[str]:
    """Arms all of whose runs are the runs of another one, by what they depend on."""
    grid = rows(tables.grid, model=model, pair=pair)
    arms = grid.loc[~grid["control"].astype(bool)].drop_duplicates("run").set_index("run")["arm"]
    runs = rows(tables.runs, model=model, pair=pair)
    runs = runs[runs["run"].isin(arms.index)]
    for arm, of_arm in runs.groupby(runs["run"].map(arms), sort=False):
        others = set(of_arm["same_as"].map(arms))
        if len(others) == 1 and (other := others.pop()) not in (arm, None) and isinstance(other, str):
            yield design_warnings.twins(other, arm)


def _unreached(tables: Tables, model: str, pair: str) -> Iterator[str]:
    """Arms whose loss cannot reach all that is called trainable."""
    runs = rows(tables.runs, model=model, pair=pair)
    short = runs[runs["reached_parameters"] < runs["trainable_parameters"]].drop_duplicates(["arm", "layer", "rank"])
    for row in short.itertuples():
        yield (
            f"{row.arm}, rank {row.rank}: of {int(row.trainable_parameters):,} trainable parameters the loss at hs[{int(row.loss_layer)}] "
            f"reaches {int(row.reached_parameters):,}; the others stay as initialised."
        )


def _perplexity(tables: Tables, model: Model) -> Iterator[str]:
    if model.demo:  # a demo model knows no natural sentence, and is called one
        return
    measured = rows(tables.perplexity, model=model.name)
    if measured.empty:  # no transfer: what the check job saw
        start = pd.DataFrame([vars(one) for one in model.perplexities], columns=["language", "perplexity", "uniform"])
    else:
        start = measured[baselines(measured, "run")].drop_duplicates("language")
    poor = start[start["perplexity"] > GUESSING * start["uniform"]]
    if len(poor):
        listed = ", ".join(f"{row.language} {row.perplexity:,.0f}" for row in poor.itertuples())
        yield (
            f"Weak model: before training its perplexity is no better than about uniform guessing ({poor['uniform'].iloc[0]:,.0f}): "
            f"{listed}. It may be broken, or not know such sentences."
        )
