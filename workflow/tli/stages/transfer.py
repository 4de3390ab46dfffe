"""Transfer: what else the training changed. The harness's tasks, item by item, and perplexity, before and after."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pandas as pd

from tli.errors import ItemError
from tli.experiment.grid import BASELINE
from tli.io import store, tables
from tli.log import say
from tli.model.device import device_name
from tli.probes import harness, scoring
from tli.probes import task_items as items
from tli.probes.perplexity import shipped_sentences, verdict
from tli.probes.task_items import HUB
from tli.specs import STAGE_VERSIONS

PERPLEXITIES = [name for name in tables.PERPLEXITY if name not in tables.RUN]


def transfer(
    *, model: str, pair: str, runs: list[dict], baselines: list[str], model_settings: dict, tasks: list[str], source: str,
    question_from: str | None, limit: int | None, num_fewshot: int, batch_size: int, add_bos: bool | None, check: str, results: str,
    output: str, facts: dict,
) -> None:  # fmt: skip
    """Score the baselines and `runs` (rows of the grid, each with its `folder`) and write the tables into `output`.

    Writes transfer.parquet (one row a run, task and item), generation.tsv (the metrics of tasks without choices) and
    perplexity.tsv (on the shipped sentences of the pair's two languages). add_bos None: as the tokenizer does. The items
    are checked before the model is loaded; what the store holds is not scored again. Raises ItemError.
    """
    checked = json.loads(Path(check).read_text(encoding="utf-8"))
    if not checked["causal"]:
        raise ItemError(
            f"models.{model}: is an encoder; tasks and perplexity need a causal language model. Leave it out, or set transfer.tasks: []"
        )
    if source != HUB:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    items.check_data(tasks, source, question_from, num_fewshot)
    bos = checked["bos"] if add_bos is None else add_bos
    jobs = [{**_baseline_names(model, pair, name), "unit": ""} for name in baselines]
    for run in runs:
        record = json.loads((Path(run["folder"]) / "run.json").read_text(encoding="utf-8"))
        jobs.append({key: run[key] for key in tables.RUN} | {"method": run["method"], "folder": run["folder"], "unit": record["unit"]})
    jobs.sort(key=lambda job: not _quantized(job))  # so that the model is loaded once in each form
    depends = {
        "version": STAGE_VERSIONS["transfer"],
        "identity": checked["identity"],
        "dtype": model_settings["dtype"],
        "harness": metadata.version("lm_eval"),
    }
    scored = {"add_bos": bos, "limit": limit, "num_fewshot": num_fewshot}
    data = {task: harness.data_digest(task, source, question_from, num_fewshot) for task in tasks}
    known = {language: text for language in pair.split("-") if (text := shipped_sentences(language))}
    say(f"transfer: BOS before each prompt: {'yes' if bos else 'no'}; perplexity on sentences in {', '.join(known) or 'no language'}")
    folder = Path(results) / "store"
    with tempfile.TemporaryDirectory(prefix="tli-transfer-") as scratch:
        bench = _Bench(model_settings, batch_size, bos, limit, facts)
        bench.load_task = lambda task: harness.build(task, source, question_from, num_fewshot, Path(scratch))
        kept: dict[str, list] = {"items": [], "values": [], "perplexity": []}
        for number, job in enumerate(jobs, 1):
            quantized = _quantized(job)
            own = depends | {"quantization": model_settings["quantization"] if quantized else "none", "unit": job["unit"]}
            keys = {("perplexity", ""): own | {"sentences": known}} | {
                ("task", t): own | scored | {"task": t, "data": data[t]} for t in tasks
            }
            todo = {what: key for what, key in keys.items() if store.find(folder, "transfer", key) is None}
            if todo:
                with bench.worn(job, quantized):
                    for (kind, task), key in todo.items():
                        with store.make(folder, "transfer", key) as unit:
                            bench.measure(task, unit) if kind == "task" else bench.perplexities(known, bool(job["unit"]), unit)
            say(f"transfer: {job['run']} ({number} of {len(jobs)}): {len(todo)} of {len(keys)} measured, the others taken from the store")
            for key in keys.values():
                for file in store.find(folder, "transfer", key).glob("*.parquet"):
                    kept[file.stem].append(pd.read_parquet(file).assign(**{name: job[name] for name in tables.RUN}))
    _write(kept, Path(output))


def _baseline_names(model: str, pair: str, name: str) -> dict:
    return {"model": model, "pair": pair, "arm": name, "layer": "", "rank": "", "seed": -1, "run": name}


def _quantized(job: dict) -> bool:
    return job["run"] != f"{BASELINE}-unquantised" and job.get("method") != "full"


class _Bench:
    """The whole model with the harness around it, loaded at the first unit that the store lacks; and the tasks' items."""

    def __init__(self, model_settings: dict, batch_size: int, bos: bool, limit: int | None, facts: dict):
        self.model_settings, self.batch_size, self.bos, self.limit, self.facts = model_settings, batch_size, bos, limit, facts
        self.whole = self.lm = self.opened = self.quantized = None
        self.load_task = None
        self.tasks: dict = {}

    def measure(self, task: str, unit: Path) -> None:
        """Score one task with the model as it is now."""
        if task not in self.tasks:
            self.tasks[task] = self.load_task(task)
        rows, values = scoring.score(self.lm, self.tasks[task], self.limit)
        (rows if len(rows) else values).to_parquet(unit / f"{'items' if len(rows) else 'values'}.parquet", index=False)

    def perplexities(self, known: dict[str, list[str]], trained: bool, unit: Path) -> None:
        from tli.probes.perplexity import perplexity

        uniform = self.whole.config.get_text_config().vocab_size
        rows = []
        for language, sentences in known.items():
            found, tokens = perplexity(self.whole, self.opened.tokenizer, sentences)
            rows.append([language, len(sentences), tokens, found, float(uniform)])
            warning = None if trained else verdict(found, uniform)
            if warning:
                say(f"transfer: NOTE: {language}: {warning}")
        pd.DataFrame(rows, columns=PERPLEXITIES).to_parquet(unit / "perplexity.parquet", index=False)

    def _open(self, quantized: bool) -> None:
        from tli.model.opening import below_head, open_whole

        if self.whole is None or self.quantized != quantized:
            self.whole = self.lm = self.opened = None  # the old one goes before the new one comes
            settings = self.model_settings if quantized else {**self.model_settings, "quantization": "none"}
            self.whole, tokenizer = open_whole(settings)
            self.opened, self.quantized = below_head(self.whole, tokenizer), quantized
            self.lm = scoring.harness_model(self.whole, tokenizer, batch_size=self.batch_size, add_bos=self.bos)
            self.facts["device"] = device_name(self.opened.device)

    @contextmanager
    def worn(self, job: dict, quantized: bool):
        """Within the block the whole model wears the run's adapter or its trained weights; then it is as it was."""
        from tli.model import adapters

        self._open(quantized)
        if not job["unit"]:
            yield
        elif job["method"] == "full":
            with adapters.replaced_weights(self.opened, Path(job["folder"]) / "weights" / "model.safetensors"):
                yield
        else:
            tuner = adapters.load(self.opened, Path(job["folder"]) / "adapter")
            try:
                yield
            finally:
                adapters.detach(tuner)


def unalign_strangers(table: pd.DataFrame) -> pd.DataFrame:
    """Take aligned_id off the tasks of a data set whose labels disagree for the same item: they are not translations.

    table: TRANSFER of tli.io.tables. Where two tasks share aligned_id's and one label differs, both lose theirs.
    """
    named = table.loc[table["aligned_id"] != "", ["task", "aligned_id", "label"]].drop_duplicates()
    both = named.merge(named, on="aligned_id", suffixes=("", "_other"))
    strangers = set(both.loc[both["label"] != both["label_other"], "task"])
    for task in sorted(strangers):
        say(f"transfer: NOTE: {task}: its labels differ from those of another language for the same items; it is compared unpaired")
    return table.assign(aligned_id=table["aligned_id"].mask(table["task"].isin(strangers), ""))


def _write(kept: dict[str, list], output: Path) -> None:
    def joined(parts: list, columns: list[str]) -> pd.DataFrame:
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)

    tables.write(unalign_strangers(joined(kept["items"], tables.TRANSFER)), output / "transfer.parquet", tables.TRANSFER)
    tables.write(joined(kept["values"], tables.GENERATION), output / "generation.tsv", tables.GENERATION)
    tables.write(joined(kept["perplexity"], tables.PERPLEXITY), output / "perplexity.tsv", tables.PERPLEXITY)
