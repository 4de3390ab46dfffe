"""A tiny experiment of several made-up lists that share their English, whose stages are called through their jobs."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from bilingual import words
from tiny import LAYERS

from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.specs import ModelSpec, plain

CONCEPTS = 36
ENGLISH = words(CONCEPTS, np.random.default_rng(5))


def pairs_table(language: str, concepts: Sequence[int] = range(CONCEPTS)) -> pd.DataFrame:
    """tables.PAIRS of a language: of every six concepts three are in train, one is in select and two are held out, in all languages."""
    known = words(CONCEPTS, np.random.default_rng(int.from_bytes(language.encode(), "big")))
    rows = [
        (f"{language}{i:02d}", known[i], ENGLISH[i], ("train", "train", "train", "select", "heldout", "heldout")[i % 6]) for i in concepts
    ]
    table = pd.DataFrame(rows, columns=["pair_id", "source", "target", "split"])
    table["component"] = table["target"]
    return table.assign(alternatives="", category="noun", cognate=0.1, provenance="test")


class SeveralLists:
    """Model `m`; the lists of `lists` are written as the lexicon stage leaves them, and the model counts as checked."""

    def __init__(self, folder: Path, model: ModelSpec, lists: dict[str, pd.DataFrame], measured_only: Sequence[str] = (), **sections):
        """sections: of the config, over the world's own. measured_only: lists with `train: false`."""
        self.folder, self.model, self.lists = folder, model, lists
        pairs = {pair: {"lexicon": "x"} | ({"train": False} if pair in measured_only else {}) for pair in lists}
        self.sections = {
            "models": {"m": plain(replace(model, store=""))},
            "pairs": pairs,
            "arms": {"tli": {"loss_layer": [2], "rank": [4]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
            "maps": [],
            "seeds": [1],
            "training": {"epochs": 2, "batch_size": 5, "warmup_steps": 2, "learning_rate": 5e-3},
            "evaluation": {"on": "all", "projected_pairs": 0},
            "results": str(folder),
        } | sections
        self.experiment = Experiment(parse(self.sections))
        self.layout = self.experiment.layout
        for pair, table in lists.items():
            table_files.write(table, self.layout.lexicon(pair)["pairs"], tables.PAIRS)
        Path(self.layout.check("m")).parent.mkdir(parents=True, exist_ok=True)
        Path(self.layout.check("m")).write_text(json.dumps({"model": "m", "identity": "id", "layers": LAYERS}))

    def run(self, kind: str, **names) -> Job:
        job = Job.of(self.experiment, kind, **names)
        importlib.import_module(f"tli.stages.{job.stage}").run(job)
        return job

    def train(self) -> SeveralLists:
        if self.experiment.has_folds:
            self.run("folds")
        for cell in self.experiment.cells:
            self.run("train", **{name: getattr(cell, name) for name in ("model", "pair", "arm", "layer", "rank")})
        return self

    def evaluate(self) -> dict[str, pd.DataFrame]:
        """Of all pairs that are trained on: "<pair>/<table>" -> the table."""
        found = {}
        for _, pair in self.experiment.model_pairs:
            files = self.run("evaluate", model="m", pair=pair, part="part-1").outputs
            found |= {f"{pair}/{name}": table_files.read(path) for name, path in files.items()}
        return found

    def across(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Similarities and metrics of all parts."""
        done = [self.run("across", model="m", part=part).outputs for part in self.experiment.across_parts("m")]
        read = [[table_files.read(files[name]) for files in done] for name in ("similarities", "metrics")]
        return pd.concat(read[0], ignore_index=True), pd.concat(read[1], ignore_index=True)
