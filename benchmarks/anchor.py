"""Training without harm on the demo: gain in CSLS P@1 against the rise of cross-entropy, over metrics and weights, and the time of a step.

    python benchmarks/anchor.py --split select --seeds 11 12 --metrics drift kl --weights 1 3
    python benchmarks/anchor.py --split heldout --seeds 101 102 103 104 105 --metrics kl --weights 1

Held-out words are ranked among untrained forms, select words in the whole list (docs/decisions/0003). One line an arm is printed; of
gradient-weighted arms with what the matrix predicts of KL over what is measured, on text that anchors do not read.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import time
from pathlib import Path

import pandas as pd
import torch

from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.io.sentences import read_sentences
from tli.model import divergence, lora
from tli.model.opening import below_head, open_whole
from tli.stages.cell import MATRIX_SENTENCES
from tli.training import anchor as anchors

ROOT = Path(__file__).resolve().parents[1]


def experiment(chosen: argparse.Namespace) -> Experiment:
    common = {"target_modules": "all-linear" if chosen.modules == "all" else ["q_proj", "v_proj"], "loss_layer": [chosen.layer]}
    arms: dict = {"plain": common}
    for metric in chosen.metrics:
        anchor = {"metric": metric, "weight": chosen.weights, "tokens_per_step": chosen.tokens}
        arms[metric] = {"like": "plain", "anchor": anchor}
    text = {language: str(ROOT / "resources" / "demo" / "text" / f"{language}.txt") for language in ("swh", "lin", "eng")}
    return Experiment(
        parse(
            {
                "models": {"demo": {"source": str(chosen.model), "dtype": "float32", "device": "cpu", "demo": True}},
                "pairs": {pair: {"lexicon": str(ROOT / "resources" / "demo" / f"{pair}.tsv")} for pair in chosen.pairs},
                "arms": arms,
                "seeds": chosen.seeds,
                "training": {"learning_rate": chosen.rate, "epochs": chosen.epochs},
                "text": text,
                "evaluation": {"hidden_states": ["output"], "projected_pairs": 0},
                "results": str(chosen.results),
                "jobs": {"adapters_per_transfer_job": 1000, "adapters_per_job": 1000},
            }
        )
    )


def do(job: Job) -> float:
    start = time.perf_counter()
    for path in job.outputs.values():
        for one in path if isinstance(path, list) else [path]:
            Path(one).parent.mkdir(parents=True, exist_ok=True)
    importlib.import_module(f"tli.stages.{job.stage}").run(job)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "demo" / "model")
    parser.add_argument("--results", type=Path, default=Path("results/anchor"))
    parser.add_argument("--split", default="select", choices=["select", "heldout"])
    parser.add_argument("--pairs", nargs="+", default=["swh-eng", "lin-eng"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[11, 12])
    parser.add_argument("--metrics", nargs="+", default=["drift", "gradient-weighted", "kl"])
    parser.add_argument("--weights", nargs="+", type=float, default=[1, 3])
    parser.add_argument("--modules", default="all", choices=["all", "qv"])
    parser.add_argument("--layer", default="6")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    asked = experiment(chosen)
    do(Job.of(asked, "check", model="demo"))
    frames = []
    for pair in chosen.pairs:
        do(Job.of(asked, "lexicon", pair=pair))
        do(Job.of(asked, "scan", model="demo", pair=pair))
        for run in [run for run in asked.cells if run.pair == pair]:
            do(Job.of(asked, "train", model="demo", pair=pair, arm=run.arm, layer=run.layer, rank=run.rank))
        for stage in ("evaluate", "transfer"):
            for part in asked.parts(stage, "demo", pair):
                do(Job.of(asked, stage, model="demo", pair=pair, part=part))
        frames.append(front(asked, pair, chosen))
    table = pd.concat(frames, ignore_index=True)
    print(table.round(3).to_csv(sep="\t", index=False), end="")
    shutil.rmtree(Path(asked.layout.results) / "logs", ignore_errors=True)


def front(asked: Experiment, pair: str, chosen: argparse.Namespace) -> pd.DataFrame:
    """One row an arm: gain of P@1 at the output on the split's words, rise of cross-entropy and KL in each language, seconds of a run."""
    evaluated = asked.layout.measured("evaluate", "demo", pair, "part-1")
    metrics = table_files.read(evaluated["metrics"])
    pool = tables.UNTRAINED if chosen.split == "heldout" else tables.WHOLE_LIST  # select words are ranked in the second alone
    metrics = metrics[(metrics["split"] == chosen.split) & (metrics["pool"] == pool)]
    runs = table_files.read(evaluated["runs"])
    text = table_files.read(asked.layout.measured("transfer", "demo", pair, "part-1")["text"])
    text["summed"], text["summed_kl"] = text["cross_entropy"] * text["tokens"], text["kl"] * text["tokens"]
    sums = text.groupby(["arm", "run", "language"])[["summed", "summed_kl", "tokens"]].sum().reset_index()
    sums["mean"], sums["kl"] = sums["summed"] / sums["tokens"], sums["summed_kl"] / sums["tokens"]
    before = sums[sums["run"] == "baseline"].set_index("language")["mean"]
    base = float(metrics.query("run == 'baseline'")["csls_p_at_1"].iloc[0])
    rows = []
    for arm, group in metrics[metrics["run"] != "baseline"].groupby("arm", sort=False):
        row = {"pair": pair, "arm": arm, "before": base, "gain": group["csls_p_at_1"].mean() - base, "gain_sd": group["csls_p_at_1"].std()}
        for language in pair.split("-"):
            mine = sums[(sums["arm"] == arm) & (sums["language"] == language)]
            name = "source" if language == pair.split("-")[0] else "target"
            row |= {f"rise_{name}": mine["mean"].mean() - before[language], f"kl_{name}": mine["kl"].mean()}
        row |= {"seeds": len(group), "seconds": runs[runs["arm"] == arm]["seconds"].mean()}
        held = asked.arms[arm].training.anchor
        share = predicted_share(asked, pair, arm) if held and held.metric == "gradient-weighted" else float("nan")
        rows.append(row | {"predicted_share": share})
    return pd.DataFrame(rows)


def predicted_share(asked: Experiment, pair: str, arm: str) -> float:
    """d' M d / 2 over KL at the output, both summed over all tokens of text and over the arm's seeds: terms across positions are left out
    of the first, and real adapters are not small."""
    cells = [cell for cell in asked.cells if cell.pair == pair and cell.arm == arm]
    job = Job.of(asked, "train", model="demo", pair=pair, arm=arm, layer=cells[0].layer, rank=cells[0].rank)
    layer = int(cells[0].layer)
    whole, tokenizer = open_whole(job.model_spec)
    opened, sentences = below_head(whole, tokenizer), [one for spec, path in job.texts.values() for one in read_sentences(path, spec)]
    read = list(dict.fromkeys(one.text for one in sentences if one.is_anchor))[:MATRIX_SENTENCES]
    m = anchors.gradient_matrix(whole, opened, layer, read)
    texts = [one.text for one in sentences if not one.is_anchor]
    ids = [one.ids for one in anchors.tokenized(opened, texts)]
    every = [(*row, 0) for row in ids]  # the last token predicts something too
    before = {state: divergence.last_states(opened, ids, state) for state in (layer, opened.layers)}
    predicted = measured = 0.0
    for seed in job.seeds:
        with lora.applied(opened, lora.read(opened, Path(job.folder(seed)) / "adapter")):
            after = {state: divergence.last_states(opened, ids, state) for state in before}
        kl = divergence.compare(whole, opened, every, before[opened.layers], after[opened.layers])[1]
        measured += sum(value * len(row) for value, row in zip(kl, ids, strict=True))
        changes = torch.cat([b - a for a, b in zip(before[layer], after[layer], strict=True)]).double()
        predicted += float(anchors.predicted_kl(m, changes).sum())
    return predicted / measured


if __name__ == "__main__":
    main()
