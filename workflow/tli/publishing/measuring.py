"""What a methods section says of the measuring: poolings and templates, the scan, where claims are made, when one is made, tasks."""

from __future__ import annotations

from tli.config.keys.measures import ALL, OWN
from tli.config.keys.top_level import Config
from tli.experiment import Experiment
from tli.labels import metric_label
from tli.publishing.choices import POOLED
from tli.specs import WORD
from tli.statistics.sentences import listing


def measuring_sentences(experiment: Experiment) -> list[str]:
    """In the order in which it was done."""
    config = experiment.config
    trained = [*_claims(config), *_on(config), *_thresholds(config)] if experiment.arms else []
    return [*_pooling(config), *_templates(config), *_scan(config), *trained]


def _pooling(config: Config) -> list[str]:
    first, *others = config.pooling.evaluate
    also = f"; it was measured as {listing([POOLED[name] for name in others])} too" if others else ""
    sentences = [f"In evaluation a word was {POOLED[first]}{also}."]
    scanned, *beside = config.pooling.scan
    shown = f" and shown beside it as {listing([POOLED[name] for name in beside])}" if beside else ""
    return [*sentences, f"In the scan it was {POOLED[scanned]}{shown}."]


def _templates(config: Config) -> list[str]:
    if not config.pooling.templates:
        return []
    listed = "; ".join(f"{language}: {' / '.join(texts)}" for language, texts in sorted(config.pooling.templates.items()))
    how = "each with figures of its own" if config.pooling.over_templates == "separate" else "a word's vectors over them averaged"
    first = next(iter(config.pooling.templates.values()))[0]
    claims = "words by themselves" if first == WORD else "words in the first" if how.startswith("each") else "their mean"
    return [f"Templates were {listed}, {how}; claims rest on {claims}."]


def _scan(config: Config) -> list[str]:
    most = f" and no deeper than hs[{config.scan.best_at_most}]" if config.scan.best_at_most else ""
    return [
        f"The scan chose the hidden state with the highest {metric_label(config.scan.best_by)} on the select split, above the embeddings{most} "
        f"and below the output; ties went to the lower one, and {config.scan.bootstrap} resamples of the words said how often each would have been "
        f"chosen. CSLS took {config.scan.csls_k} neighbours, fewer where a pool is small."
    ]


def _claims(config: Config) -> list[str]:
    named = {"output": "the output", "loss-layer": "each run's loss layer"}
    first, *others = [named.get(str(state), f"hs[{state}]") for state in config.evaluation.hidden_states]
    also = f"; {listing(others)} {'was' if len(others) == 1 else 'were'} measured too" if others else ""
    merged = "merged into the weights" if config.evaluation.merge else "beside the weights"
    return [f"Claims are made at {first}{also}. Adapters were measured {merged}."]


def _on(config: Config) -> list[str]:
    lists = [name for name in config.evaluation.on if name != OWN]
    if not lists:
        return []
    named = "all lists of the experiment" if ALL in lists else f"the list{'s' * (len(lists) > 1)} {listing(lists)}"
    return [f"Every adapter, and the base model, was also measured on {named}."]


def _thresholds(config: Config) -> list[str]:
    asked = config.statistics
    sentences = [
        f"No claim is made from fewer than {asked.minimum_seeds} seeds or {asked.minimum_units} units (components of held-out words, items of a "
        f"task). Cosines count as raised alike where the gap is shown to have changed by less than {asked.alike_margin:g}. Intervals within one run "
        f"are from {asked.bootstrap} bootstrap resamples."
    ]
    if asked.equivalence_margin is not None:
        sentences.append(f"Figures count as the same within {asked.equivalence_margin:g}.")
    return sentences
