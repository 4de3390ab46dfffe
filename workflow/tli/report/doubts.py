"""Warnings of the first screen: what speaks against believing the figures."""

from __future__ import annotations

import pandas as pd

from tli.report.choose import as_list, endpoint, rows, table, with_bos
from tli.report.figures.layers import SINK_LIMIT

FEW_PAIRS, FEW_SEEDS, WEAK_RETRIEVAL = 60, 5, 0.05
DEMO = (
    "Demo model. The figures say nothing about a real language model: the model is tiny, held-out words occur in its "
    "pretraining text, and it was chosen, of all that were tried, because the workflow has something to show on it: what TLI "
    "gains here is a property of the choice, not a finding (resources/demo/README.md tells how it was made and chosen)."
)


def is_demo(config: dict, model: str | None = None) -> bool:
    """Whether the config, or one of its models, is marked as a demo."""
    if config.get("demo"):
        return True
    models = config.get("models") if isinstance(config.get("models"), dict) else {}
    asked = [models.get(model)] if model else models.values()
    return any(isinstance(settings, dict) and bool(settings.get("demo")) for settings in asked)


def doubts(tables: dict[str, pd.DataFrame], config: dict, audit: dict, groups: list) -> list[dict]:
    """The warnings, each {"level": "serious" or "note", "about": "model, pair" or "", "text": ...}, serious ones first."""
    found = []

    def add(level, about, text):
        found.append({"level": level, "about": about, "text": text})

    if is_demo(config):
        add("serious", "", DEMO)
    seeds = config.get("seeds")
    count = seeds if isinstance(seeds, int) else len(as_list(seeds))
    if 0 < count < FEW_SEEDS:
        add("serious", "", f"Only {count} seed{'s' * (count > 1)}: below {FEW_SEEDS} no claim can rest on them.")
    for model in dict.fromkeys(model for model, _ in groups):
        for text in _perplexity(tables, model, config):
            add("serious", model, text)
    for model, pair in groups:
        about = f"{model}, {pair}"
        for text in _sink(tables, model, pair):
            add("serious", about, text)
        for text in _baseline(tables, model, pair):
            add("serious", about, text)
        grid = rows(table(tables, "grid"), model=model, pair=pair)
        real = list(grid.loc[~grid["control"].astype(bool), "arm"].unique()) if len(grid) else []
        bare = [arm for arm in real if arm not in set(grid["placebo_of"])]
        if bare:
            add("serious", about, f"No placebo for {', '.join(bare)}: a gain there may come from any training at all.")
        for text in _warm_up(tables, model, pair):
            add("serious", about, text)
        for text in _choice(tables, model, pair):
            add("note", about, text)
        for text in _unreached(tables, model, pair):
            add("note", about, text)
    for model, check in (config.get("checks") or {}).items():
        ratios = rows(table(tables, "scan"), model=model)
        if not check.get("added_before") and len(ratios) and ratios["sink_ratio"].max() > SINK_LIMIT:
            add(
                "serious", model, "The tokenizer adds nothing before a word: a word's first token may be the sink, and it is in every pool."
            )
    for pair, lines in (audit or {}).items():
        for severity, text in lines:
            if str(severity).lower() in ("error", "serious", "leak", "warning") or "leak" in str(text).lower():
                add("serious" if str(severity).lower() != "warning" else "note", str(pair), str(text))
    found = list({(f["about"], f["text"]): f for f in found}.values())
    return sorted(found, key=lambda f: f["level"] != "serious")


def _sink(tables, model, pair) -> list[str]:
    scan = rows(table(tables, "scan"), model=model, pair=pair)
    if scan.empty or "sink_ratio" not in scan.columns:
        return []
    worst = scan.loc[scan["sink_ratio"].idxmax()] if scan["sink_ratio"].notna().any() else None
    pooled = scan[scan["pooling"].map(with_bos).astype(bool)]
    pooled = pooled[pooled["mismatched"].notna()]
    top = pooled.loc[pooled["mismatched"].idxmax()] if len(pooled) else None
    texts = []
    if worst is not None and worst["sink_ratio"] > SINK_LIMIT:
        texts.append(
            f"Attention sink: token 0 is {worst['sink_ratio']:.0f} times as long as the words at hs[{int(worst['hidden_state'])}]"
            f" (warning above {SINK_LIMIT:.0f})."
        )
    if top is not None and top["mismatched"] > 0.9:
        value = f"{top['mismatched']:.4f}".rstrip("0")
        texts.append(f"With BOS pooled in, any two words score {value} at hs[{int(top['hidden_state'])}]: cosines with BOS say nothing.")
    return [" ".join(texts)] if texts else []


def _baseline(tables, model, pair) -> list[str]:
    texts = []
    state, pooling = endpoint(tables, model, pair)
    metrics = rows(table(tables, "metrics"), model=model, pair=pair, split="heldout",
                   hidden_state=state, pooling=pooling)  # fmt: skip
    start = metrics[metrics["run"].astype(str).str.startswith("baseline")] if len(metrics) else metrics
    if len(start):
        n, found = int(start["n"].iloc[0]), float(start["csls_p_at_1"].iloc[0])
        if n < FEW_PAIRS:
            texts.append(f"Only {n} held-out pairs: below {FEW_PAIRS} the test is underpowered.")
        if found < WEAK_RETRIEVAL:
            texts.append(
                f"Weak baseline: before training, {found:.1%} of the held-out words find their translation at hs[{state}] (CSLS P@1)."
            )
    return texts


def _choice(tables, model, pair) -> list[str]:
    """How sure the choice of the best layer is, where an arm rests on it."""
    choice = rows(table(tables, "choice"), model=model, pair=pair)
    grid = rows(table(tables, "grid"), model=model, pair=pair, layer="best")
    if choice.empty or grid.empty:
        return []
    won = choice[choice["chosen"].astype(bool)]
    scan = rows(table(tables, "scan"), model=model, pair=pair, split="select")
    texts = []
    if len(won) and won["win_share"].iloc[0] < 0.8:
        texts.append(
            f"The best layer, hs[{int(won['hidden_state'].iloc[0])}], would have been chosen in {won['win_share'].iloc[0]:.0%} of draws of "
            "the select words."
        )
    if len(scan) and scan["n"].iloc[0] < FEW_PAIRS:
        texts.append(f"The best layer was chosen on {int(scan['n'].iloc[0])} select pairs: below {FEW_PAIRS} the choice is underpowered.")
    return texts


def _warm_up(tables, model, pair) -> list[str]:
    """Arms whose training ended before the learning rate had risen."""
    runs = rows(table(tables, "runs"), model=model, pair=pair)
    short = runs[(runs["steps"] > 0) & (runs["steps"] <= runs["warmup_steps"])].drop_duplicates("arm") if len(runs) else runs
    return [
        f"{row.arm}: {int(row.steps)} steps, {int(row.warmup_steps)} of warm-up: the learning rate never reached its peak and ended at "
        f"{(row.steps - 1) / row.warmup_steps:.0%} of it. Set training.warmup_steps lower, or more epochs."
        for row in short.itertuples()
    ]


def _unreached(tables, model, pair) -> list[str]:
    """Arms whose loss cannot reach all that is called trainable."""
    runs = rows(table(tables, "runs"), model=model, pair=pair)
    if runs.empty:
        return []
    short = runs[runs["reached_parameters"] < runs["trainable_parameters"]].drop_duplicates(["arm", "layer", "rank"])
    return [
        f"{row.arm}, rank {row.rank}: of {int(row.trainable_parameters):,} trainable parameters the loss at hs[{int(row.loss_layer)}] reaches "
        f"{int(row.reached_parameters):,}; the others stay as initialised."
        for row in short.itertuples()
    ]


def _perplexity(tables, model, config) -> list[str]:
    if is_demo(config, model):  # a demo model knows no natural sentence, and is called one
        return []
    perplexity = rows(table(tables, "perplexity"), model=model)
    if perplexity.empty:  # no transfer: what the check job saw
        seen = (config.get("checks") or {}).get(model, {}).get("perplexity") or {}
        start = pd.DataFrame(
            [{"language": name, "perplexity": one["perplexity"] or float("inf"), "uniform": one["uniform"]} for name, one in seen.items()],
            columns=["language", "perplexity", "uniform"],
        )
    else:
        start = perplexity[perplexity["run"].astype(str).str.startswith("baseline")].drop_duplicates("language")
    poor = start[start["perplexity"] > 0.5 * start["uniform"]]
    if poor.empty:
        return []
    listed = ", ".join(f"{row.language} {row.perplexity:,.0f}" for row in poor.itertuples())
    return [
        f"Weak model: before training its perplexity is no better than about uniform guessing ({poor['uniform'].iloc[0]:,.0f}): "
        f"{listed}. It may be broken, or not know such sentences."
    ]
