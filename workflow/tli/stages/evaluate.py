"""Evaluate: the words before and after training, at the output and at the loss layer. One load serves all adapters."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pandas as pd

from tli import measure, store, tables
from tli.grid import BASELINE
from tli.stages.running import STAGE_VERSIONS, device_name, say
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
    bench = _Bench(model_settings, table, poolings, csls_k, merge, projected_pairs, facts)
    units = []
    for number, job in enumerate(jobs, 1):
        quantized = job["run"] != f"{BASELINE}-unquantised" and job.get("method") != "full"
        key = {
            "version": STAGE_VERSIONS["evaluate"],
            "identity": checked["identity"],
            "dtype": model_settings["dtype"],
            "quantization": model_settings["quantization"] if quantized else "none",
            "unit": job["unit"],
            "states": job["states"],
            "poolings": poolings,
            "k": csls_k,
            "merge": merge and bool(job["unit"]),
            "pairs": store.digest_table(table),
            "projected": projected_pairs if job["run"] in mapped or not job["unit"] else 0,
        }
        unit, made = store.get(
            Path(results) / "store", "evaluate", key, lambda folder, job=job, key=key, q=quantized: bench.measure(job, q, key["projected"], folder)
        )
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

    def __init__(self, model_settings, table, poolings, k, merge, projected_pairs, facts):
        self.model_settings, self.table, self.poolings, self.k, self.merge = model_settings, table, poolings, k, merge
        self.opened, self.quantized, self.facts = None, None, facts

    def measure(self, job: dict, quantized: bool, projected: int, folder: Path) -> None:
        self._open(quantized)
        with self._worn(job):
            rows, figures, vectors = measure.measure(self.opened, self.table, job["states"], self.poolings, k=self.k)
        rows.to_parquet(folder / "rows.parquet", index=False)
        figures.to_parquet(folder / "figures.parquet", index=False)
        if projected:
            from tli.project import project

            first = (job["states"][0], self.poolings[0])
            maps = project(*vectors[first], self.table, projected)
            maps.insert(0, "hidden_state", first[0])
            maps.to_parquet(folder / "projections.parquet", index=False)

    def _open(self, quantized: bool) -> None:
        from tli.model.opening import open_model

        if self.opened is None or self.quantized != quantized:
            self.opened = None  # the old one goes before the new one comes
            self.opened, self.quantized = open_model(self.model_settings, quantized=quantized), quantized
            self.facts["device"] = device_name(self.opened.device)

    @contextmanager
    def _worn(self, job: dict):
        """Within the block the model wears the run's adapter or its trained weights; then it is as it was."""
        from tli.model import adapters

        if not job["unit"]:
            yield
        elif job["method"] == "full":
            with adapters.replaced_weights(self.opened, Path(job["folder"]) / "weights" / "model.safetensors"):
                yield
        else:
            tuner = adapters.load(self.opened, Path(job["folder"]) / "adapter")
            try:
                with adapters.merged(tuner) if self.merge else nullcontext():
                    yield
            finally:
                adapters.detach(tuner)


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
        kept = {key: settings[key] for key in ("objective", "margin", "learning_rate", "epochs", "batch_size", "warmup_steps", "alpha", "dropout")}
        folder = f"train/{run['model']}/{run['pair']}/{run['run']}"
        own = {key: run[key] for key in tables.GRID} | kept | {"same_as": "", "adapter": "" if run["method"] == "full" else f"{folder}/adapter"}
        rows.append({**{k: record[k] for k in tables.RUNS if k in record}, **own})
        losses.append(_named(pd.read_parquet(Path(run["folder"]) / "losses.parquet"), run))
    tables.write(pd.DataFrame(rows, columns=tables.RUNS), output / "runs.tsv", tables.RUNS)
    empty = pd.DataFrame(columns=tables.LOSSES)
    tables.write(pd.concat(losses, ignore_index=True) if losses else empty, output / "losses.parquet", tables.LOSSES)


def _named(table: pd.DataFrame, job: dict) -> pd.DataFrame:
    return table.assign(**{key: job[key] for key in tables.RUN})
