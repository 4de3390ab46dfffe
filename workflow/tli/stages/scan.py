"""Scan: how well every hidden state of the model aligns the pairs of a lexicon, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tli.io import tables
from tli.log import say, warn
from tli.metrics.choice import choice_pooling, choose_layer
from tli.model.device import device_name
from tli.probes import words as measure
from tli.specs import ScanSpec

SINK_WARNING = 10.0


def scan(
    *, model: str, pair: str, model_settings: dict, pairs: str, poolings: list[str], best_by: str, best_at_most: int | None,
    csls_k: int, bootstrap: int, output: str, choice: str, words: str, audit: str, facts: dict,
) -> None:  # fmt: skip
    """Write scan.tsv (tables.SCAN) to `output`, the choice of `best` (tables.CHOICE) to `choice`, facts of words (tables.WORDS) to
    `words`, what the model's tokenizer makes of the lexicon to `audit` (severity, text).

    One pass over the distinct forms gives every hidden state 0..L and every pooling.
    """
    from tli.model.opening import open_model

    table = tables.read(pairs, tables.PAIRS)
    opened = open_model(model_settings)
    facts["device"] = device_name(opened.device)
    states = list(range(opened.layers + 1))
    say(f"scan: {len(table)} pairs at hs[0] to hs[{opened.layers}], poolings {', '.join(poolings)}")
    rows, figures, vectors = measure.measure(
        opened, table, states, poolings, k=csls_k, progress=lambda done: say(f"  {done} forms embedded")
    )
    figures.insert(0, "model", model)
    figures.insert(1, "pair", pair)
    spec = ScanSpec(tuple(poolings), best_by, best_at_most, csls_k, bootstrap)
    chosen = choose_layer(rows, figures, opened.layers, spec)
    chosen.insert(0, "model", model)
    chosen.insert(1, "pair", pair)
    warn_of_sinks(figures)
    about = measure.word_facts(opened, table, vectors[opened.layers, choice_pooling(spec)][0]).assign(model=model, pair=pair)
    tables.write(about, words, tables.WORDS)
    tables.write(token_audit(opened.tokenizer, table), audit, ["severity", "text"])
    tables.write(figures, output, tables.SCAN)
    tables.write(chosen, choice, tables.CHOICE)
    if len(chosen):
        say(f"scan: best by {best_by} is hs[{int(chosen.loc[chosen['chosen'], 'hidden_state'].iloc[0])}]; wrote {Path(output).name}")
    else:
        say("scan: no select split (or a single block), so no best hidden state is chosen")


def token_audit(tokenizer, pairs) -> pd.DataFrame:
    """The lines of the lexicon's audit that need a tokenizer: tokens a form, pairs that share a token."""
    from tli import lexicon
    from tli.model.pooling import tokenize

    def own_tokens(forms: list[str]) -> list[list[int]]:
        return [list(word.ids[word.first : word.last]) for word in tokenize(tokenizer, forms)]

    lines = [line.split(": ", 1) for line in lexicon.audit_lines(lexicon.audit(pairs, tokenize=own_tokens)) if "token" in line]
    return pd.DataFrame(lines, columns=["severity", "text"])


def warn_of_sinks(figures) -> None:
    """A line in the log where token 0 dwarfs the words, and what pooling it in does to the cosine of any two words."""
    worst = figures.loc[figures["sink_ratio"].idxmax()] if figures["sink_ratio"].notna().any() else None
    if worst is None or worst["sink_ratio"] <= SINK_WARNING:
        return
    with_bos = figures[(figures["pooling"] == "with-bos") & (figures["hidden_state"] == worst["hidden_state"])]
    tail = f"; with BOS pooled, any two words score {with_bos['mismatched'].max():.4f} there" if len(with_bos) else ""
    warn(f"attention sink: token 0 has {worst['sink_ratio']:.0f} times the norm of the others at hs[{worst['hidden_state']}]{tail}")
