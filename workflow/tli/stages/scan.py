"""Scan: how well every hidden state of the model aligns the pairs of a lexicon, before anything is trained."""

from __future__ import annotations

import pandas as pd

from tli import lexicon
from tli.experiment.job import ScanJob
from tli.io import tables
from tli.log import say, warn
from tli.metrics.choice import choice_pooling, choose_layer
from tli.model.device import device_name
from tli.model.opening import open_model
from tli.model.plain_loop import compare_with_plain_loop
from tli.model.pooling import tokenize
from tli.probes import words

SINK_WARNING = 10.0


def run(job: ScanJob) -> dict:
    """Write scan (tables.SCAN), the choice of `best` (tables.CHOICE), facts of words (tables.WORDS), and what the model's tokenizer
    makes of the lexicon as an audit (severity, text).

    One pass over the distinct forms gives every hidden state 0..L and every pooling. Returns the facts for the provenance.
    """
    spec, names = job.spec, {"model": job.model, "pair": job.pair}
    pairs = tables.read(job.inputs["pairs"], tables.PAIRS)
    opened = open_model(job.model_spec)
    states = list(range(opened.layers + 1))
    say(f"scan: {len(pairs)} pairs at hs[0] to hs[{opened.layers}], poolings {', '.join(spec.poolings)}")
    compare_with_plain_loop(opened, list(dict.fromkeys([*pairs["source"], *pairs["target"]])), states)
    listed = words.Listed.of(pairs, words.similarity_of(pairs))
    result = words.measure(opened, listed, states, spec.poolings, k=spec.csls_k, progress=lambda done: say(f"  {done} forms embedded"))
    rows, figures = (table[table["pool"] == tables.WHOLE_LIST] for table in (result.rows, result.figures))
    choice = choose_layer(rows, figures, opened.layers, spec)
    warn_of_sinks(figures)
    about = words.word_facts(opened, pairs, result.vectors[opened.layers, choice_pooling(spec)][0])
    tables.write(about.assign(**names), job.outputs["words"], tables.WORDS)
    tables.write(token_audit(opened.tokenizer, pairs), job.outputs["audit"], ["severity", "text"])
    tables.write(result.figures.assign(**names), job.outputs["scan"], tables.SCAN)
    tables.write(choice.assign(**names), job.outputs["choice"], tables.CHOICE)
    if len(choice):
        say(f"scan: best by {spec.best_by} is hs[{int(choice.loc[choice['chosen'], 'hidden_state'].iloc[0])}]")
    else:
        say("scan: no select split (or a single block), so no best hidden state is chosen")
    return {"device": device_name(opened.device)}


def token_audit(tokenizer, pairs: pd.DataFrame) -> pd.DataFrame:
    """The lines of the lexicon's audit that need a tokenizer: tokens a form, pairs that share a token."""

    def own_tokens(forms: list[str]) -> list[list[int]]:
        return [list(word.ids[word.first : word.last]) for word in tokenize(tokenizer, forms)]

    lines = [line.split(": ", 1) for line in lexicon.audit_lines(lexicon.audit(pairs, tokenize=own_tokens)) if "token" in line]
    return pd.DataFrame(lines, columns=["severity", "text"])


def warn_of_sinks(figures: pd.DataFrame) -> None:
    """A line in the log where token 0 dwarfs the words, and what pooling it in does to the cosine of any two words."""
    worst = figures.loc[figures["sink_ratio"].idxmax()] if figures["sink_ratio"].notna().any() else None
    if worst is None or worst["sink_ratio"] <= SINK_WARNING:
        return
    with_bos = figures[(figures["pooling"] == "with-bos") & (figures["hidden_state"] == worst["hidden_state"])]
    tail = f"; with BOS pooled, any two words score {with_bos['mismatched'].max():.4f} there" if len(with_bos) else ""
    warn(f"attention sink: token 0 has {worst['sink_ratio']:.0f} times the norm of the others at hs[{worst['hidden_state']}]{tail}")
