"""Evaluate: the words before and after training, at the output and at the loss layer. One load serves all adapters."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from tli import metrics
from tli.experiment.grid import BASELINE
from tli.io import store, tables
from tli.log import say
from tli.model.device import device_name
from tli.probes import words as measure
from tli.specs import STAGE_VERSIONS
from tli.stages.train import resolve_layer


def evaluate(
    *, model: str, pair: str, runs: list[dict], baselines: list[str], layers_asked: list[str], mapped: list[str], model_settings: dict,
    hidden_states: list, poolings: list[str], merge: bool, projected_pairs: int, csls_k: int, pairs: str, check: str, choice: str | None,
    results: str, output: str, facts: dict,
) -> None:  # fmt: skip
    """Measure the baselines and `runs` (rows of the grid, each with its `folder`) and write the tables into `output`.

    layers_asked: every loss layer of the grid for this model and pair, at which the baselines are measured. mapped: names
    of the runs whose words are projected by t-SNE and PCA. Writes similarities.parquet, metrics.tsv, projections.parquet,
    runs.tsv and losses.parquet. What the store holds is not measured again.
    """
    checked = json.loads(Path(check).read_text(encoding="utf-8"))
    layers = checked["layers"]
    table = tables.read(pairs, tables.PAIRS)
    asked = [resolve_layer(layer, layers, choice) for layer in layers_asked]
    records = [json.loads((Path(run["folder"]) / "run.json").read_text(encoding="utf-8")) for run in runs]
    jobs = [{**_baseline_names(model, pair, name), "unit": "", "states": _states(hidden_states, layers, asked)} for name in baselines]
    for run, record in zip(runs, records, strict=True):
        names = {key: run[key] for key in tables.RUN} | {"method": run["method"], "folder": run["folder"], "baseline": run["baseline"]}
        jobs.append(names | {"unit": record["unit"], "states": _states(hidden_states, layers, [record["loss_layer"]])})
    kept = Path(results) / "store"
    for job in jobs:
        job["quantized"] = job["run"] != f"{BASELINE}-unquantised" and job.get("method") != "full"
        job["projected"] = projected_pairs if job["run"] in mapped or not job["unit"] else 0
        job["key"] = {
            "version": STAGE_VERSIONS["evaluate"],
            "identity": checked["identity"],
            "dtype": model_settings["dtype"],
            "quantization": model_settings["quantization"] if job["quantized"] else "none",
            "unit": job["unit"],
            "states": job["states"],
            "poolings": poolings,
            "k": csls_k,
            "merge": merge and bool(job["unit"]),
            "pairs": store.digest_table(table),
            "projected": job["projected"],
        }
    pending = [job for job in jobs if store.find(kept, "evaluate", job["key"]) is None]
    bench = _Bench(model_settings, table, poolings, csls_k, merge, pending, facts)
    units = []
    for number, job in enumerate(jobs, 1):
        unit, made = store.get(kept, "evaluate", job["key"], lambda folder, job=job: bench.measure(job, folder))
        say(f"evaluate: {job['run']} ({number} of {len(jobs)}) {'measured' if made else 'taken from the store'}")
        units.append((job, unit))
    _write(units, runs, records, Path(output))
    for record in records:
        # The declared weights go when Snakemake is through with them; the store's name for them goes now.
        shutil.rmtree(Path(results) / "store" / "train" / record["unit"] / "weights", ignore_errors=True)


def _baseline_names(model: str, pair: str, name: str) -> dict:
    return {"model": model, "pair": pair, "arm": name, "layer": "", "rank": "", "seed": -1, "run": name}


def _states(asked: list, layers: int, loss_layers: list[int]) -> list[int]:
    """Hidden states as numbers, in the config's order, each once."""
    resolved: list[int] = []
    for state in asked:
        resolved += [layers] if state == "output" else loss_layers if state == "loss-layer" else [int(state)]
    return list(dict.fromkeys(resolved))


class _Bench:
    """The opened model, loaded at the first unit that is not in the store, and again only for another quantisation."""

    def __init__(self, model_settings, table, poolings, k, merge, pending, facts):
        self.model_settings, self.table, self.poolings, self.k, self.merge, self.facts = model_settings, table, poolings, k, merge, facts
        self.pending, self.embedded = pending, {}
        self.opened, self.kind = None, None

    def measure(self, job: dict, folder: Path) -> None:
        self._open(job)
        if self.opened.stream is not None and job["run"] not in self.embedded:
            self._stream([other for other in self.pending if _kind(other) == _kind(job)])
        with self._worn(job):
            rows, figures, vectors = measure.measure(
                self.opened, self.table, job["states"], self.poolings, k=self.k, embedded=self.embedded.pop(job["run"], None)
            )
        rows.to_parquet(folder / "rows.parquet", index=False)
        figures.to_parquet(folder / "figures.parquet", index=False)
        if job["projected"]:
            from tli.metrics.projection import project

            first = (job["states"][0], self.poolings[0])
            maps = project(*vectors[first], self.table, job["projected"])
            maps.insert(0, "hidden_state", first[0])
            maps.to_parquet(folder / "projections.parquet", index=False)

    def _open(self, job: dict) -> None:
        from tli.model.opening import open_model

        if self.opened is None or self.kind != _kind(job):
            self.opened, self.embedded = None, {}  # the old one goes before the new one comes
            settings = self.model_settings | ({"stream": "never"} if job.get("method") == "full" else {})
            self.opened, self.kind = open_model(settings, quantized=job["quantized"]), _kind(job)
            self.facts["device"] = device_name(self.opened.device)

    def _stream(self, jobs: list[dict]) -> None:
        """All jobs' words in one reading of a model that memory does not hold."""
        from tli.model import stacked, streaming
        from tli.model.embedding import embed_all

        wanted = [
            streaming.Wanted(job["states"], stacked.read(self.opened, Path(job["folder"]) / "adapter") if job["unit"] else None, self.merge)
            for job in jobs
        ]
        forms = measure.forms(metrics.candidates(self.table))
        found = embed_all(self.opened, forms, wanted, self.poolings)
        self.embedded = {job["run"]: one for job, one in zip(jobs, found, strict=True)}

    @contextmanager
    def _worn(self, job: dict):
        """Within the block the model wears the run's adapter or its trained weights; then it is as it was."""
        from tli.model import adapters, stacked

        if not job["unit"] or self.opened.stream is not None:
            yield
        elif job["method"] == "full":
            with adapters.replaced_weights(self.opened, Path(job["folder"]) / "weights" / "model.safetensors"):
                yield
        elif not self.merge:
            with stacked.applied(self.opened, stacked.read(self.opened, Path(job["folder"]) / "adapter")):
                yield
        else:
            tuner = adapters.load(self.opened, Path(job["folder"]) / "adapter")
            try:
                with adapters.merged(tuner):
                    yield
            finally:
                adapters.detach(tuner)


def _kind(job: dict) -> tuple:
    """Jobs of one kind are measured on one opened model."""
    return job["quantized"], job.get("method") == "full"


def _write(units: list, runs: list[dict], records: list[dict], output: Path) -> None:
    similarities, figures, maps = [], [], []
    for job, unit in units:
        similarities.append(_named(pd.read_parquet(unit / "rows.parquet"), job))
        figures.append(_named(pd.read_parquet(unit / "figures.parquet"), job))
        if (unit / "projections.parquet").exists():
            maps.append(_named(pd.read_parquet(unit / "projections.parquet"), job))
    tables.write(pd.concat(similarities, ignore_index=True), output / "similarities.parquet", tables.SIMILARITIES)
    tables.write(pd.concat(figures, ignore_index=True), output / "metrics.tsv", tables.RUN_METRICS)
    empty = pd.DataFrame(columns=tables.PROJECTIONS)
    tables.write(pd.concat(maps, ignore_index=True) if maps else empty, output / "projections.parquet", tables.PROJECTIONS)
    rows, losses = [], []
    for run, record in zip(runs, records, strict=True):
        settings = record["settings"]
        kept = {
            key: settings[key]
            for key in ("objective", "margin", "learning_rate", "epochs", "batch_size", "warmup_steps", "alpha", "dropout")
        }
        folder = f"train/{run['model']}/{run['pair']}/{run['run']}"
        own = (
            {key: run[key] for key in tables.GRID}
            | kept
            | {"same_as": "", "adapter": "" if run["method"] == "full" else f"{folder}/adapter"}
        )
        rows.append({**{k: record[k] for k in tables.RUNS if k in record}, **own})
        losses.append(_named(pd.read_parquet(Path(run["folder"]) / "losses.parquet"), run))
    tables.write(pd.DataFrame(rows, columns=tables.RUNS), output / "runs.tsv", tables.RUNS)
    empty = pd.DataFrame(columns=tables.LOSSES)
    tables.write(pd.concat(losses, ignore_index=True) if losses else empty, output / "losses.parquet", tables.LOSSES)


def _named(table: pd.DataFrame, job: dict) -> pd.DataFrame:
    return table.assign(**{key: job[key] for key in tables.RUN})
