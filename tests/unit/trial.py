"""A tiny experiment whose stages are called as a rule calls them: through their jobs, in a folder of its own."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
from tiny import LAYERS, pairs_table

from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.specs import ModelSpec, plain

ARMS = {
    "tli": {"loss_layer": ["best", 2], "rank": [4]},
    "deep": {"like": "tli", "loss_layer": [2], "adapted_blocks": "all", "allow_unreached": True},
    "placebo": {"like": ["tli"], "loss_layer": [2], "shuffle_translations": True},
    "zero": {"like": "tli", "loss_layer": [2], "epochs": 0},
    "full-ft": {"method": "full", "loss_layer": ["output"], "learning_rate": 1e-3},
}
CELLS = [("tli", "best"), ("tli", "2"), ("deep", "2"), ("tli-placebo", "2"), ("zero", "2"), ("full-ft", "output")]


class Trial:
    """An experiment of one model `m`, one pair swh-eng, whose lexicon stage is done (tiny.pairs_table)."""

    def __init__(self, folder: Path, model: ModelSpec, **sections):
        """sections: of the config, over the trial's own."""
        self.folder, self.model = folder, model
        self.sections = {
            "models": {"m": plain(replace(model, store=""))},
            "pairs": {"swh-eng": {"lexicon": "x"}},
            "arms": ARMS,
            "maps": [],
            "seeds": [1],
            "training": {"epochs": 2, "batch_size": 5, "warmup_steps": 2, "learning_rate": 5e-3},
            "scan": {"best_by": "gap", "bootstrap": 50},
            "evaluation": {"hidden_states": ["output", "loss-layer", 1], "projected_pairs": 8},
            "pooling": {"evaluate": ["no-bos", "with-bos"]},
            "results": str(folder),
        } | sections
        self.experiment = Experiment(parse(self.sections))
        self.layout = self.experiment.layout
        if not Path(self.layout.lexicon("swh-eng")["pairs"]).exists():
            self.write_pairs(pairs_table())

    def changed(self, **sections) -> Trial:
        """The same folder under another config."""
        return Trial(self.folder, self.model, **self.sections | sections)

    def write_pairs(self, pairs: pd.DataFrame) -> None:
        table_files.write(pairs, self.layout.lexicon("swh-eng")["pairs"], tables.PAIRS)

    def pretend_checked_and_scanned(self, identity: str = "id") -> Trial:
        """What check and scan leave, by hand: hs[3] is the best. Returns the trial."""
        Path(self.layout.check("m")).parent.mkdir(parents=True, exist_ok=True)
        Path(self.layout.check("m")).write_text(json.dumps({"model": "m", "identity": identity, "layers": LAYERS}))
        names = {"model": "m", "pair": "swh-eng", "criterion": "gap", "value": 0.1, "win_share": 0.0}
        choice = pd.DataFrame({"hidden_state": [1, 2, 3], "chosen": [False, False, True]}).assign(**names)
        table_files.write(choice, self.layout.scan("m", "swh-eng")["choice"], tables.CHOICE)
        return self

    def job(self, kind: str, **names) -> Job:
        known = {"model": "m", "pair": "swh-eng"}
        return Job.of(self.experiment, kind, **{name: known[name] for name in ("model", "pair") if name in _names(kind)} | names)

    def run(self, kind: str, **names) -> Job:
        """Do one job; returns it."""
        job = self.job(kind, **names)
        importlib.import_module(f"tli.stages.{job.stage}").run(job)
        return job

    def train(self, arm: str = "tli", layer: str = "2") -> dict[int, dict]:
        """Train a cell; returns the record of each seed (of its first fold, where there are several)."""
        job = self.run("train", arm=arm, layer=layer, rank="full" if arm == "full-ft" else "4")
        first = job.members[0].fold
        return {seed: json.loads((Path(job.folder(seed, first)) / "run.json").read_text()) for seed in job.seeds}

    def measured(self, table: str, part: str = "part-1") -> pd.DataFrame:
        return table_files.read(self.layout.measured("evaluate", "m", "swh-eng", part)[table])

    def evaluate(self) -> None:
        """Every part of the evaluation."""
        for part in self.experiment.parts("evaluate", "m", "swh-eng"):
            self.run("evaluate", part=part)


def _names(kind: str) -> list[str]:
    from tli.experiment.job import JOBS

    return JOBS[kind].names_of()
