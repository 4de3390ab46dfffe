"""Where each file lies below the results folder. Paths are made here and nowhere else; names in braces make patterns for rules.

lexicon/<pair>/ · check/<model>.json · scan/<model>/<pair>/ · tune/<model>/<pair>/<cell>/ · train/<model>/<pair>/<run>/ · evaluate/, transfer/<model>/<pair>/<part>/
across/<model>/<part>/ · statistics/ · report/ · fetched/ · store/ (finished units) · provenance/ · logs/ · benchmarks/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from tli.probes.registry import answers

ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "README.md")
TRAINED = ("runs.tsv", "losses.parquet")  # of the evaluation, beside its probes' answers
STATISTICS = (
    "runs",
    "tests",
    "verdicts",
    "lines",
    "rivals",
    "added",
    "ladder",
    "harm",
    "translation",
    "templates",
    "power",
    "words",
    "ranks",
    "survival",
    "gains",
)


@dataclass(frozen=True)
class Layout:
    """The files of one results folder."""

    results: str

    @property
    def store(self) -> str:
        """Finished units of work (tli.io.store)."""
        return f"{self.results}/store"

    @property
    def checkpoints(self) -> str:
        """Where long trainings write how far they are."""
        return f"{self.store}/checkpoints"

    def lexicon(self, pair: str) -> dict[str, str]:
        """Of a pair: pairs, changes, audit, and with folds their deal (tables.FOLDS)."""
        return {name: f"{self.results}/lexicon/{pair}/{name}.tsv" for name in ("pairs", "changes", "audit", "folds")}

    def lists(self) -> str:
        """What speaks against the lists' names, held against each other."""
        return f"{self.results}/lexicon/lists.tsv"

    def check(self, model: str) -> str:
        """What the check job says of a model."""
        return f"{self.results}/check/{model}.json"

    def scan(self, model: str, pair: str) -> dict[str, str]:
        """Of a model and pair: scan, choice (of `best`), words, tokens, audit (of tokens); of free maps what chose them and, as of runs,
        similarities and metrics.
        """
        files = {"scan": "scan.tsv", "choice": "best.tsv", "words": "words.tsv", "tokens": "tokens.tsv", "audit": "audit.tsv"}
        files |= {"maps": "maps.tsv"}
        files |= {"map_similarities": "maps-similarities.parquet", "map_metrics": "maps-metrics.tsv"}
        return {name: f"{self.results}/scan/{model}/{pair}/{file}" for name, file in files.items()}

    def trials(self, model: str, pair: str, cell: tuple[str, str, str]) -> str:
        """What was tried of a cell (arm, layer, rank) and what was chosen."""
        arm, layer, rank = cell
        return f"{self.results}/tune/{model}/{pair}/{arm}/layer-{layer}/rank-{rank}/trials.tsv"

    def run(self, model: str, pair: str, run: str) -> str:
        """The folder of a run, by its name."""
        return f"{self.results}/train/{model}/{pair}/{run}"

    def record(self, model: str, pair: str, run: str) -> str:
        """What was trained in a run. It stands for the run's other files, which come with it."""
        return f"{self.run(model, pair, run)}/run.json"

    def weights(self, model: str, pair: str, run: str) -> str:
        """The weights of a fully trained run."""
        return f"{self.run(model, pair, run)}/weights/model.safetensors"

    def trained(self, model: str, pair: str, runs: Sequence[str], method: str) -> dict[str, list[str]]:
        """What the training of a cell leaves of each of these runs: records, losses, weights (the adapter's, or all)."""
        folders = [self.run(model, pair, run) for run in runs]
        adapters = [f"{folder}/adapter/{name}" for name in ADAPTER for folder in folders]
        return {
            "records": [self.record(model, pair, run) for run in runs],
            "losses": [f"{folder}/losses.parquet" for folder in folders],
            "weights": [self.weights(model, pair, run) for run in runs] if method == "full" else adapters,
        }

    def part(self, stage: str, model: str, pair: str, part: str) -> str:
        """The folder of one part of the evaluation or the transfer."""
        return f"{self.results}/{stage}/{model}/{pair}/{part}"

    def measured(self, stage: str, model: str, pair: str, part: str) -> dict[str, str]:
        """The tables of one part of the evaluation or the transfer."""
        files = [answer.file for answer in answers(stage).values()] + (list(TRAINED) if stage == "evaluate" else [])
        return {file.split(".")[0]: f"{self.part(stage, model, pair, part)}/{file}" for file in files}

    def across(self, model: str, part: str) -> dict[str, str]:
        """The tables of one part of a model's runs on any list: similarities, metrics."""
        return {
            file.split(".")[0]: f"{self.results}/across/{model}/{part}/{file}" for file in (one.file for one in answers("across").values())
        }

    def translate_tasks(self, model: str, pair: str) -> str:
        """The folder of the harness's tasks in which a model was asked to translate."""
        return f"{self.results}/transfer/{model}/{pair}/tasks"

    def statistics(self) -> dict[str, str]:
        """The tables of the statistics."""
        return {name: f"{self.results}/statistics/{name}.tsv" for name in STATISTICS}

    def matrix(self) -> str:
        """The table of the cross-pair matrix; there where adapters were measured on the lists of `evaluation.on`."""
        return f"{self.results}/statistics/across.tsv"

    def transfer_statistics(self, name: str) -> str:
        """A table of the transfer's statistics; there where tasks were scored."""
        return f"{self.results}/statistics/transfer_{name}.tsv"

    def report(self, partial: bool = False) -> str:
        """The folder of the report, or of one made of what is finished."""
        return f"{self.results}/report{'-partial' if partial else ''}"

    def registration(self) -> str:
        return f"{self.results}/registration.json"

    def page(self) -> dict[str, str]:
        """Of the report: page, summary, tables (a folder)."""
        return {"page": f"{self.report()}/index.html", "summary": f"{self.report()}/summary.md", "tables": f"{self.report()}/tables"}

    def figure(self, name: str) -> str:
        return f"{self.report()}/figures/{name}.svg"

    def fetched_model(self, model: str) -> str:
        return f"{self.results}/fetched/{model}.json"

    def fetched_list(self, pair: str, number: int | str) -> str:
        return f"{self.results}/fetched/{pair}/{number}.lexicon"

    def fetched_text(self, language: str) -> str:
        return f"{self.results}/fetched/text/{language}.txt"

    def fetched_tasks(self) -> str:
        return f"{self.results}/fetched/tasks.json"

    def makes(self, path: str) -> list[str]:
        """The words of `tli run` for the job that makes a file, without the config: ["scan", "--model", "m", "--pair", "swh-eng"]."""
        parts = PurePath(path).relative_to(self.results).parts
        if parts[-1] == "folds.tsv":
            return ["folds"]
        if parts == ("lexicon", "lists.tsv"):
            return ["lists"]
        if parts[0] == "fetched":
            kind = {"tasks.json": ["fetch-tasks"], "text": ["fetch-text", "--language", PurePath(path).stem]}.get(parts[1])
            named = ["fetch-model", "--model", PurePath(path).stem] if len(parts) == 2 else ["fetch-list", "--pair", parts[1]]
            return kind or (named if len(parts) == 2 else [*named, "--number", PurePath(path).stem])
        names = {
            "lexicon": ["pair"],
            "check": ["model"],
            "scan": ["model", "pair"],
            "evaluate": ["model", "pair"],
            "transfer": ["model", "pair"],
            "across": ["model"],
        }
        names |= dict.fromkeys(("tune", "train"), ["model", "pair", "arm", "layer", "rank"])
        values = [part.removesuffix(".json").removeprefix("layer-").removeprefix("rank-") for part in parts[1:]]
        return [parts[0], *(word for name, value in zip(names.get(parts[0], []), values) for word in (f"--{name}", value))]

    def provenance(self, stage: str = "", job: str = "") -> str:
        """The record of a job; without names, the folder of all of them."""
        return f"{self.results}/provenance" + (f"/{stage}/{job.replace('/', '.')}.json" if stage else "")

    def plan(self) -> str:
        """What the run under way is about to do."""
        return f"{self.provenance()}/plan.json"

    def config(self) -> str:
        """The config of the last run."""
        return f"{self.provenance()}/config.json"

    def starts(self) -> str:
        """Every start of Snakemake on this folder."""
        return f"{self.provenance()}/starts.tsv"

    def running(self) -> str:
        """Who works on this folder now."""
        return f"{self.results}/.running.json"

    def log(self, stage: str, job: str = "") -> str:
        return f"{self.results}/logs/{stage}" + (f"/{job}" if job else "") + ".log"

    def benchmark(self, stage: str, job: str = "") -> str:
        return f"{self.results}/benchmarks/{stage}" + (f"/{job}" if job else "") + ".tsv"
