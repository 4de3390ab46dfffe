"""A paragraph on the methods, ready to paste into a paper, made from the config and the runs that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tli.labels import metric_label
from tli.report.glossary import REFERENCES
from tli.report.input import Model, ReportInput
from tli.report.sentences import joint_arms
from tli.report.templates import template_sentences
from tli.report.tuning import tuning_sentences
from tli.statistics.sentences import listing

PROTOCOLS = {
    "controlled": "BOS was kept in the input and out of the pool throughout; adapters were evaluated unmerged, and "
    "accepted translations were masked as in-batch negatives",
    "paper-text": "the protocol follows the text of [tli]: BOS pooled in, loss at hs[2], adapters merged before evaluation",
    "paper-code": "the protocol follows the published scripts of [tli]: BOS pooled in training, left out in evaluation, loss "
    "and evaluation at hs[2], adapters merged before evaluation",
}
CORRECTIONS = {
    "holm": "Holm [holm]",
    "benjamini-hochberg": "Benjamini and Hochberg [bh]",
    "benjamini-yekutieli": "Benjamini and Yekutieli [by]",
}
CITED_TASKS = {"xcopa": "XCOPA [xcopa]", "xnli": "XNLI [xnli]"}


def methods(report: ReportInput) -> tuple[str, list[str]]:
    """The paragraph, with [n] for citations, and the numbered references."""
    return _cite(paragraph(report))


def paragraph(report: ReportInput) -> str:
    """The paragraph with the keys of glossary.REFERENCES in brackets where it cites."""
    experiment, tables = report.experiment, report.tables
    runs = tables.runs
    real = runs[~runs["control"].astype(bool)]
    models = listing([_model(model) for model in experiment.models])
    pairs = listing(list(experiment.pairs)) + _sizes(tables.pairs)
    parts = [f"We trained {models} by Targeted Lexical Injection [tli] on translation pairs of {pairs}."]
    if len(real):
        parts.append(
            f"{_method(real)} was trained with the {_objectives(real)} taken at "
            f"{_states(real)}, AdamW at a peak learning rate of {_numbers(real['learning_rate'])}, "
            f"{_numbers(real['epochs'])} epochs, batches of {_numbers(real['batch_size'])} and "
            f"{_numbers(real['warmup_steps'])} warm-up steps."
        )
    parts += joint_arms(report)
    joint = [arm.name for arm in experiment.arms if arm.train_on]
    parts += tuning_sentences(tables.trials, folds=bool((runs["fold"] > 0).any()), joint=joint)
    count = len(experiment.seeds)
    if count:
        parts.append(f"Each cell was run with {count} seed{'s' * (count != 1)}.")
    if runs["placebo_of"].fillna("").ne("").any():
        parts.append(
            "Every such arm had a placebo with the same seeds, initialisation and batch order on a derangement of the training "
            "translations, redrawn for each seed."
        )
    if experiment.protocol in PROTOCOLS:
        text = PROTOCOLS[experiment.protocol]
        parts.append(text[0].upper() + text[1:] + ".")
    parts.append(
        "A word's vector is pooled from its tokens' hidden states in float32; hs[k] is the output of block k - 1, and the last is after the "
        "final norm. Claims rest on held-out words among the forms that no training touched (the untrained pool); the figures among all "
        "distinct forms of a list stand beside them. Beside the cosine we report the cosine of wrong "
        "pairs [anisotropy], retrieval by CSLS [csls] and the ratio of the first token's norm to the others' [sink]."
    )
    parts += template_sentences(report)
    claims = experiment.claims
    parts.append(
        f"The primary endpoint is the change of {metric_label(claims.primary)} on held-out pairs. Seeds and words are both samples: an "
        "arm is said to align better when a quasi-t over the crossed table of seeds and words [clark], with Satterthwaite's degrees of "
        "freedom, shows both after - before and real - placebo above zero; "
        f"the larger p of the two enters the confirmatory family, corrected by {CORRECTIONS[claims.correction]} at {claims.alpha}. All "
        "other tests are exploratory."
    )
    if len(tables.across):
        parts.append(_across(tables.across))
    if len(tables.transfer):
        tasks = list(map(str, tables.transfer["task"].unique()))
        known = [text for key, text in CITED_TASKS.items() if any(key in task for task in tasks)]
        parts.append(f"Transfer was measured on {listing(tasks)}{f' ({listing(known)})' if known else ''}.")
        parts += [experiment.scored_items] if experiment.scored_items else []
    if experiment.is_demo:
        parts.append("The model is a demo trained for this software: its figures support no claim about real language models.")
    return " ".join(parts)


def _across(table: pd.DataFrame) -> str:
    """What was measured on other lists than a training's own."""
    sizes = listing([str(size) for size in sorted({int(size) for size in table["family_size"]})])
    return (
        f"Adapters were also measured on lists that they were not trained on ({table['on'].nunique()} lists; of each the held-out words "
        "among the forms that no list of the experiment trains), by the same test, corrected over all lists, pairs trained on, "
        f"loss layers and ranks of a model and arm ({sizes} tests), apart from the confirmatory family."
    )


def _cite(text: str) -> tuple[str, list[str]]:
    cited = sorted((text.index(f"[{key}]"), key) for key in REFERENCES if f"[{key}]" in text)
    for number, (_, key) in enumerate(cited, start=1):
        text = text.replace(f"[{key}]", f"[{number}]")
    return text, [REFERENCES[key] for _, key in cited]


def _model(model: Model) -> str:
    revision = model.revision or model.identity
    own = Path(model.source).is_absolute() or model.source.startswith("~")  # a path of somebody's machine tells a reader nothing
    about = [Path(model.source).name if own else model.source] if model.source else []
    about += [f"revision {revision[:12]}"] if revision else []
    about += ["4-bit NF4"] if model.quantization == "nf4" else []
    about += [model.dtype] if model.dtype else []
    about += ["words fed as after a space"] if model.word_form == "leading-space" else []
    return model.name + (f" ({', '.join(about)})" if about else "")


def _sizes(pairs: pd.DataFrame) -> str:
    if pairs.empty:
        return ""
    counts = []
    for name, part in pairs.drop_duplicates(["pair", "pair_id"]).groupby("pair", sort=False):
        of = part["split"].value_counts()
        split = [f"{of[s]} {word}" for s, word in (("train", "train"), ("select", "select"), ("heldout", "held-out")) if s in of]
        counts.append(f"{name}: " + ", ".join(split))
    return f" ({'; '.join(counts)})"


def _method(real: pd.DataFrame) -> str:
    lora = real[real["method"] == "lora"]
    texts = []
    if len(lora):
        ranks = sorted({int(rank) for rank in lora["rank"] if str(rank).isdigit()})
        alphas = sorted({float(a) for a in lora["alpha"].dropna()})
        texts.append(
            f"LoRA [lora] of rank {listing(list(map(str, ranks)))} (alpha {listing([_number(a) for a in alphas])}, dropout "
            f"{_number(lora['dropout'].iloc[0])})"
        )
    if (real["method"] == "full").any():
        texts.append("full fine-tuning")
    return listing(texts) or "The model"


def _objectives(real: pd.DataFrame) -> str:
    """All that there are; InfoNCE has no margin."""
    told = [
        f"{row.objective} loss" + ("" if row.objective == "infonce" else f" (margin {_number(row.margin)})")
        for row in real[["objective", "margin"]].drop_duplicates().itertuples()
    ]
    return " or ".join(dict.fromkeys(told))


def _states(real: pd.DataFrame) -> str:
    return listing([f"hs[{int(state)}]" for state in sorted(real["loss_layer"].dropna().unique())])


def _numbers(values: pd.Series) -> str:
    """All values that there are, in order."""
    return " or ".join(map(_number, sorted(set(values.dropna().astype(float))))) or "?"


def _number(value: Any) -> str:
    return f"{float(value):g}" if value is not None and pd.notna(value) else "?"
