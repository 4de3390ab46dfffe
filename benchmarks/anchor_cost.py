"""What an anchor costs: seconds of a training step with each metric against the plain truncated step, in one run and in turns.

python benchmarks/anchor_cost.py --scratch FOLDER --shapes 32   # 32 blocks, loss at hs[2]; or demo, hs[6]
python benchmarks/anchor_cost.py --scratch FOLDER --shapes 8b   # Llama-3-8B's shape: the two blocks that such a step opens, no kl
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
from common import ROOT, interleaved, quiet, row, spec, write_llama, write_table, write_tokenizer

sys.path.insert(0, str(ROOT / "workflow"))

from tli.model.pooling import tokens_of
from tli.specs import AnchorSpec, Member, ModelSpec, TrainSpec
from tli.training import anchor as anchors
from tli.training.trainer import Trainer, no_progress

SHAPES = ("demo", "32", "8b")


def write_8b(folder: Path) -> Path:
    """Llama-3-8B's embeddings and its first blocks: all that training at hs[2] opens; random weights in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}
    torch.set_default_dtype(torch.bfloat16)
    config = LlamaConfig(num_hidden_layers=3, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, **shape)
    LlamaForCausalLM(config).save_pretrained(str(folder))
    torch.set_default_dtype(torch.float32)
    write_tokenizer(folder)
    return folder


def pairs(count: int, folder: str) -> pd.DataFrame:
    table = pd.read_csv(ROOT / "resources" / folder / "swh-eng.tsv", sep="\t", dtype=str, keep_default_na=False).head(count)
    table = table[["source", "target"]].assign(alternatives="", split="train")
    return table.assign(pair_id=[str(i) for i in range(len(table))]).drop_duplicates("source").drop_duplicates("target")


def sentences(folder: str) -> tuple[str, ...]:
    """Of the shipped ones the first eight words: a step's text is then near the tokens that are asked for."""
    lines = [line for name in ("swh", "eng") for line in (ROOT / "resources" / folder / f"{name}.txt").read_text("utf-8").splitlines()]
    return tuple(dict.fromkeys(" ".join(line.split()[:8]) for line in lines if line))


def matrix_of(model: ModelSpec, layer: int, text: tuple[str, ...], folder: Path, whole: bool) -> Path:
    """The gradients' matrix; of a model that is not whole a random one of its size: a step takes as long."""
    import torch

    from tli.model.opening import below_head, load_config, open_whole

    if whole:
        opened, tokenizer = open_whole(model)
        matrix = anchors.gradient_matrix(opened, below_head(opened, tokenizer), layer, text[:32])
    else:
        drawn = torch.randn((load_config(model).hidden_size, 256), dtype=torch.float64)
        matrix = drawn @ drawn.T
        matrix = (matrix + matrix.T) / 2
    anchors.write_matrix(matrix, folder)
    return folder / anchors.MATRIX


def measure(shape: str, chosen: argparse.Namespace, scratch: Path) -> list[dict]:
    layer, lexicon, text, modules = 2, "lexicons", sentences("sentences"), ("q_proj", "v_proj")
    metrics = list(anchors.METRICS)
    if shape == "demo":
        model, name = spec(ROOT / "resources" / "demo" / "model", device="cpu"), "demo, 8 blocks, hidden 96, float32"
        layer, lexicon, text, modules = 6, "demo", sentences("demo/text"), ("all-linear",)
    elif shape == "32":
        model, name = spec(write_llama(scratch / "model", hidden=512)), "Llama, 32 blocks, hidden 512, float32"
    else:
        model, name = spec(write_8b(scratch / "model"), dtype="bfloat16"), "Llama-3-8B's shape, bfloat16"
        metrics.remove("kl")
    table = pairs(chosen.pairs, lexicon)
    anchoring = anchors.Anchoring(text, matrix_of(model, layer, text, scratch, "kl" in metrics))
    asked = [(metric, tokens) for tokens in chosen.tokens for metric in metrics]
    trainers = {}
    for way in ("plain", *asked):
        held = None if way == "plain" else AnchorSpec(way[0], 3.0, tokens_per_step=way[1])
        training = TrainSpec(epochs=1, warmup_steps=2, anchor=held, target_modules=modules)
        trainers[way] = Trainer(model, training, layer, layer, lambda member: table, anchoring)

    def run(trainer: Trainer) -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            trainer.run(Member(1), Path(folder), no_progress)

    for trainer in trainers.values():
        run(trainer)
    seconds = interleaved({way: lambda trainer=trainer: run(trainer) for way, trainer in trainers.items()}, chosen.rounds)
    steps = TrainSpec(epochs=1).steps(len(table))
    seconds = {way: [value / steps for value in values] for way, values in seconds.items()}
    words = sum(len(one.ids) for one in tokens_of(trainers["plain"].opened, [*table["source"], *table["target"]])) / steps
    return [
        row(
            "training step with an anchor",
            f"{name}, loss at hs[{layer}], {words:.0f} tokens of words",
            f"{way[0]}, {drawn(trainers[way]):.0f} tokens of text",
            seconds["plain"],
            seconds[way],
            1.5,
        )
        for way in asked
    ]


def drawn(trainer: Trainer) -> float:
    """Tokens of running text in a step, on average."""
    anchor = trainer.task.anchor
    draws = anchor.draws(1)
    return sum(anchor.lengths[next(draws)].sum() for _ in range(50)) / 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--tokens", nargs="+", type=int, default=[20, 64], help="of running text in a step, at least")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write a table for each shape below benchmarks/results")
    chosen = parser.parse_args()
    quiet()
    for shape in chosen.shapes:
        with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
            rows = measure(shape, chosen, Path(scratch))
        print(*("\t".join(map(str, one.values())) for one in rows), sep="\n", flush=True)
        if chosen.write:
            write_table(f"anchor-cost-{shape}", rows, "ours: the plain truncated step, other: with the anchor, processor time")


if __name__ == "__main__":
    main()
