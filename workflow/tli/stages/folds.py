"""Folds: the words outside the select split dealt anew for each seed, so that every dealt word is held out once a seed."""

from __future__ import annotations

import pandas as pd

from tli import lexicon
from tli.experiment.job import FoldsJob
from tli.io import table_files, tables
from tli.log import say


def run(job: FoldsJob) -> dict:
    """Write the deal of every list (tables.FOLDS). Raises LexiconError for a list with fewer components than folds."""
    config, layout = job.experiment.config, job.layout
    for group in job.groups:
        lists = {pair: table_files.read(layout.lexicon(pair)["pairs"], tables.PAIRS) for pair in group}
        deals: dict[str, list[pd.DataFrame]] = {pair: [] for pair in group}
        for seed in config.seed_list:
            for pair, fold in lexicon.deal_folds_of_union(lists, config.split.folds, seed, config.split.by).items():
                deals[pair].append(pd.DataFrame({"pair_id": fold.index, "seed": seed, "fold": fold.to_numpy()}))
        for pair, parts in deals.items():
            table = pd.concat(parts, ignore_index=True)
            table_files.write(table, layout.lexicon(pair)["folds"], tables.FOLDS)
            dealt = table[(table["fold"] > 0) & (table["seed"] == config.seed_list[0])]["fold"].value_counts()
            say(f"folds: {pair}: {dealt.sum()} of {len(lists[pair])} pairs are dealt, {dealt.min()} to {dealt.max()} a fold")
    return {}
