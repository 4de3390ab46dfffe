"""A paragraph on the methods, ready to paste into a paper, made from the config and the runs that there are."""

from __future__ import annotations

import pandas as pd

from tli.report.choose import as_list, names, table
from tli.report.doubts import is_demo
from tli.report.glossary import REFERENCES, label

PROTOCOLS = {
    "controlled": "BOS was kept in the input and out of the pool throughout; adapters were evaluated unmerged, and "
    "accepted translations were masked as in-batch negatives",
    "paper-text": "the protocol follows the text of [tli]: BOS pooled in, loss at hs[2], adapters merged before evaluation",
    "paper-code": "the protocol follows the published scripts of [tli]: BOS pooled in training, left out in evaluation, loss "
    "and evaluation at hs[2], adapters merged before evaluation",
}
CORRECTIONS = {
    "holm": "Holm [holm]", "benjamini-hochberg": "Benjamini and Hochberg [bh]",
    "benjamini-yekutieli": "Benjamini and Yekutieli [by]",
}  # fmt: skip


def methods(tables: dict[str, pd.DataFrame], config: dict, provenance: dict) -> tuple[str, list[str]]:
    """The paragraph, with [n] for citations, and the numbered references."""
    runs = table(tables, "runs")
    real = runs[~runs["control"].astype(bool)] if len(runs) else runs
    statistics = config.get("statistics") if isinstance(config.get("statistics"), dict) else {}
    parts = [
        "We trained " + _models(config, provenance) + " by Targeted Lexical Injection [tli] on translation pairs of "
        + _listing(names(config.get("pairs"))) + _sizes(tables) + "."
    ]  # fmt: skip
    if len(real):
        first = real.iloc[0]
        parts.append(
            f"{_method(real)} was trained with the {first['objective']} loss (margin {_number(first.get('margin'))}) taken at "
            f"{_states(real)}, AdamW at a peak learning rate of {_number(first.get('learning_rate'))}, "
            f"{_number(first.get('epochs'))} epochs, batches of {_number(first.get('batch_size'))} and "
            f"{_number(first.get('warmup_steps'))} warm-up steps."
        )
    seeds = config.get("seeds")
    count = seeds if isinstance(seeds, int) else len(as_list(seeds))
    if count:
        parts.append(f"Each cell was run with {count} seed{'s' * (count != 1)}.")
    if len(runs) and runs.get("placebo_of", pd.Series(dtype=str)).fillna("").ne("").any():
        parts.append(
            "Every such arm had a placebo with the same seeds, initialisation and batch order on a derangement of the training "
            "translations, redrawn for each seed."
        )
    protocol = PROTOCOLS.get(config.get("protocol"))
    if protocol:
        parts.append(protocol[0].upper() + protocol[1:] + ".")
    parts.append(
        "A word is the float32 mean of its tokens' hidden states; hs[k] is the output of block k - 1, and the last is after the "
        "final norm. Candidates of retrieval are all distinct targets of a list; beside the cosine we report the cosine of wrong "
        "pairs [anisotropy], retrieval by CSLS [csls] and the ratio of the first token's norm to the others' [sink]."
    )
    primary = label(statistics.get("primary", "csls_p_at_1"))
    parts.append(
        f"The primary endpoint is the change of {primary} on held-out pairs; the replicate is the seed. An arm is said to align "
        "better when t tests over the seeds' paired differences show both after - before and real - placebo above zero; the "
        f"larger p of the two enters the confirmatory family, corrected by "
        f"{CORRECTIONS.get(statistics.get('correction', 'holm'), 'Holm [holm]')} at {statistics.get('alpha', 0.05)}. All other "
        "tests are exploratory."
    )
    if "transfer" in tables and len(tables["transfer"]):
        cited = {"xcopa": "XCOPA [xcopa]", "xnli": "XNLI [xnli]"}
        tasks = list(tables["transfer"]["task"].unique())
        known = [text for key, text in cited.items() if any(key in str(task) for task in tasks)]
        parts.append(f"Transfer was measured on {_listing(list(map(str, tasks)))}{f' ({_listing(known)})' if known else ''}.")
    if is_demo(config):
        parts.append("The model is a demo trained for this software: its figures support no claim about real language models.")
    text = " ".join(parts)
    return _cite(text)


def _cite(text: str) -> tuple[str, list[str]]:
    found = sorted((text.index(f"[{key}]"), key) for key in REFERENCES if f"[{key}]" in text)
    for number, (_, key) in enumerate(found, start=1):
        text = text.replace(f"[{key}]", f"[{number}]")
    return text, [REFERENCES[key] for _, key in found]


def _models(config: dict, provenance: dict) -> str:
    models = config.get("models")
    if not isinstance(models, dict):
        return _listing(names(models))
    revisions = provenance.get("model_revisions") or {}
    described = []
    for name, settings in models.items():
        settings = settings if isinstance(settings, dict) else {}
        revision = settings.get("revision") or revisions.get(name)
        about = [str(settings["source"])] if settings.get("source") else []
        about += [f"revision {str(revision)[:12]}"] if revision else []
        about += ["4-bit NF4"] if settings.get("quantization") == "nf4" else []
        about += [str(settings["dtype"])] if settings.get("dtype") else []
        described.append(name + (f" ({', '.join(about)})" if about else ""))
    return _listing(described)


def _sizes(tables: dict[str, pd.DataFrame]) -> str:
    pairs = table(tables, "pairs")
    if pairs.empty:
        return ""
    pairs = pairs.drop_duplicates([c for c in ("pair", "pair_id") if pairs[c].notna().any()])
    counts = []
    for name, part in pairs.groupby(pairs["pair"].fillna("all").astype(str), sort=False):
        of = part["split"].value_counts()
        split = [f"{of[s]} {word}" for s, word in (("train", "train"), ("select", "select"), ("heldout", "held-out")) if s in of]
        counts.append((f"{name}: " if name != "all" else "") + ", ".join(split))
    return f" ({'; '.join(counts)})"


def _method(real: pd.DataFrame) -> str:
    lora = real[real["method"] == "lora"]
    texts = []
    if len(lora):
        ranks = sorted({int(rank) for rank in lora["rank"] if str(rank).isdigit()})
        alphas = sorted({float(a) for a in lora["alpha"].dropna()})
        texts.append(
            f"LoRA [lora] of rank {_listing(list(map(str, ranks)))} (alpha {_listing([_number(a) for a in alphas])}, dropout "
            f"{_number(lora['dropout'].iloc[0])})"
        )
    if (real["method"] == "full").any():
        texts.append("full fine-tuning")
    return _listing(texts) or "The model"


def _states(real: pd.DataFrame) -> str:
    return _listing([f"hs[{int(state)}]" for state in sorted(real["loss_layer"].dropna().unique())])


def _listing(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def _number(value) -> str:
    return f"{float(value):g}" if value is not None and pd.notna(value) else "?"
