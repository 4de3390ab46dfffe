"""Scan: how well every hidden state of the model aligns the pairs of a lexicon, before anything is trained."""

from __future__ import annotations

from pathlib import Path

from tli import measure, tables
from tli.stages.running import device_name, say

SINK_WARNING = 10.0


def scan(
    *, model: str, pair: str, model_settings: dict, pairs: str, poolings: list[str], best_by: str, best_at_most: int | None,
    csls_k: int, bootstrap: int, output: str, choice: str, facts: dict,
) -> None:  # fmt: skip
    """Write scan.tsv (tables.SCAN) to `output` and the choice of `best` (tables.CHOICE) to `choice`.

    One pass over the distinct forms gives every hidden state 0..L and every pooling.
    """
    from tli.model.opening import open_model

    table = tables.read(pairs, tables.PAIRS)
    opened = open_model(model_settings)
    facts["device"] = device_name(opened.device)
    states = list(range(opened.layers + 1))
    say(f"scan: {len(table)} pairs at hs[0] to hs[{opened.layers}], poolings {', '.join(poolings)}")
    rows, figures, _ = measure.measure(opened, table, states, poolings, k=csls_k, progress=lambda done: say(f"  {done} forms embedded"))
    figures.insert(0, "model", model)
    figures.insert(1, "pair", pair)
    chosen = measure.choose_layer(
        rows, figures, opened.layers, best_by, poolings[0], k=csls_k, at_most=best_at_most, bootstrap=bootstrap
    )
    chosen.insert(0, "model", model)
    chosen.insert(1, "pair", pair)
    warn_of_sinks(figures)
    tables.write(figures, output, tables.SCAN)
    tables.write(chosen, choice, tables.CHOICE)
    say(f"scan: best by {best_by} is hs[{int(chosen.loc[chosen['chosen'], 'hidden_state'].iloc[0])}]; wrote {Path(output).name}")


def warn_of_sinks(figures) -> None:
    """A line in the log where token 0 dwarfs the words, and what pooling it in does to the cosine of any two words."""
    worst = figures.loc[figures["sink_ratio"].idxmax()] if figures["sink_ratio"].notna().any() else None
    if worst is None or worst["sink_ratio"] <= SINK_WARNING:
        return
    with_bos = figures[(figures["pooling"] == "with-bos") & (figures["hidden_state"] == worst["hidden_state"])]
    tail = f"; with BOS pooled, any two words score {with_bos['mismatched'].max():.4f} there" if len(with_bos) else ""
    say(f"WARNING: attention sink: token 0 has {worst['sink_ratio']:.0f} times the norm of the others at hs[{worst['hidden_state']}]{tail}")
