"""`make bench-8b`: scan, training and evaluation on a model of Llama-3-8B's shape on this machine's processor.

    python benchmarks/eight_billion.py --scratch FOLDER [--threads 2] [--keep]

Writes 15 GiB of random bf16 weights (32 blocks, hidden 4096, vocabulary 128256, sharded safetensors) into FOLDER, says so, and
deletes them at the end. Each stage runs in a process of its own, so that its peak memory is its own; imports are not counted as time.

Scan and evaluation are measured cold, the files put out of the system's cache before, and warm, straight after; training, which reads two
blocks, cold. Beside each stands what it cannot do without: its bare matrix products (the frozen weights of its blocks times its tokens,
forward, and backward where it trains), and the bare reading of its files, cold or warm as it found them. The ratio is to the longer of
the two, since reading and computing can go on at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from common import lexicon_words, peak_mib, quiet, spec, write_table, write_tokenizer

SHAPE = dict(
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=128256,
    rope_theta=500000.0,
    max_position_embeddings=8192,
    tie_word_embeddings=False,
)
PAIRS, STEPS = 686, 390


def write(folder: Path, layers: int) -> None:
    """The checkpoint, a shard at a time: one block's random numbers serve all blocks, scaled apart."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True)
    config = LlamaConfig(**SHAPE | {"num_hidden_layers": layers}, bos_token_id=0, eos_token_id=1, dtype="bfloat16")
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(str(folder))
    write_tokenizer(folder)
    with torch.device("meta"):
        frame = LlamaForCausalLM(LlamaConfig(**SHAPE | {"num_hidden_layers": 1}))
    torch.manual_seed(0)

    def random(shape):
        if len(shape) == 1:
            return torch.ones(shape, dtype=torch.bfloat16)
        return torch.empty(shape, dtype=torch.bfloat16).uniform_(-0.035, 0.035)

    shapes = {name: tuple(p.shape) for name, p in frame.named_parameters()}
    block = {name: random(shape) for name, shape in shapes.items() if ".layers.0." in name}
    shards = [{name: random(shape)} for name, shape in shapes.items() if ".layers." not in name]
    places, number = {}, 0

    def save(tensors):
        nonlocal number
        number += 1
        file = f"model-{number:05d}.safetensors"
        save_file(tensors, str(folder / file), metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, file))

    for shard in shards:
        save(shard)
    for index in range(layers):
        save({name.replace(".layers.0.", f".layers.{index}."): t if index == 0 else t.roll(index * 7) for name, t in block.items()})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def bare_products(tokens: int, threads: int, blocks: int, passes: int = 1, backward: bool = False) -> float:
    """Seconds of the frozen weights' matrix products of `blocks` blocks for `tokens` tokens, measured on one block."""
    import torch

    torch.set_num_threads(threads)
    sizes = [(4096, 4096), (1024, 4096), (1024, 4096), (4096, 4096), (14336, 4096), (14336, 4096), (4096, 14336)]
    weights = [torch.randn(size).to(torch.bfloat16) for size in sizes]
    inputs = {width: torch.randn(tokens, width).to(torch.bfloat16) for width in (4096, 14336)}
    results = []
    for _ in range(3):
        start = time.perf_counter()
        for weight in weights:
            out = inputs[weight.shape[1]] @ weight.T
            if backward:
                out @ weight
        results.append(time.perf_counter() - start)
    return min(results) * blocks * passes


def files_of(folder: Path, name: str, layers: int) -> list[Path]:
    """The files that a stage reads: the blocks, of the embeddings some rows; for training the embeddings and two blocks."""
    places = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    blocks = [places[f"model.layers.{index}.self_attn.q_proj.weight"] for index in range(2 if name == "training" else layers)]
    return [folder / file for file in ([places["model.embed_tokens.weight"]] if name == "training" else []) + blocks]


def put_out(files: list[Path]) -> None:
    """Out of the system's cache."""
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bare_reading(files: list[Path]) -> float:
    """Seconds to read these files, 4 MiB at a time."""
    scratch = memoryview(bytearray(2**22))
    start = time.perf_counter()
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(scratch):
                pass
    return time.perf_counter() - start


def stage(name: str, folder: Path, threads: int) -> dict:
    """One stage in this process: its seconds without the imports, its tokens and peak memory."""
    import transformers.models.llama.modeling_llama  # noqa: F401

    quiet(threads)
    from tli.model import embedding as embed
    from tli.model import lora
    from tli.model.opening import open_model
    from tli.model.pooling import tokenize
    from tli.model.streaming import Wanted

    words = lexicon_words(2 * PAIRS)
    start = time.perf_counter()
    adapter = folder.parent / "adapter-8b"
    model = spec(folder, dtype="bfloat16", device="cpu", stream="always")
    steps = 1
    if name == "training":
        steps, tokens = train(model, words, adapter)
    else:
        opened = open_model(model)
        layers = opened.layers
        wanted = (
            [Wanted(list(range(layers + 1)))] if name == "scan" else [Wanted([2, layers]), Wanted([2, layers], lora.read(opened, adapter))]
        )
        embed.embed_all(opened, words, wanted, ["no-bos"])
        tokens = len(wanted) * sum(rows.ids.size for rows in embed.passes(opened, tokenize(opened.tokenizer, words)))
    return {
        "seconds": time.perf_counter() - start,
        "tokens": tokens,
        "steps": steps,
        "peak_mib": peak_mib(),
    }


def train(model, words: list[str], adapter: Path) -> tuple[int, int]:
    """One seed of the published protocol by the trainer, as the train stage calls it: (steps, tokens a step)."""
    import pandas as pd

    from tli.model.pooling import tokenize
    from tli.specs import Member, TrainSpec
    from tli.training.trainer import Trainer

    pairs = 623
    given = TrainSpec(max_gradient_norm=1.0)
    table = pd.DataFrame({"source": words[:pairs], "target": words[PAIRS : PAIRS + pairs], "alternatives": ""})
    table = table.assign(pair_id=[str(i) for i in range(pairs)], split="train")
    trainer = Trainer(model, given, 2, 2, lambda member: table)
    folder = adapter.parent / "run-8b"
    folder.mkdir(exist_ok=True)
    record = trainer.run(Member(1), folder, lambda step, steps, loss: step % 50 or print(step, loss, file=sys.stderr))
    assert record["steps"] == STEPS
    shutil.rmtree(adapter, ignore_errors=True)
    (folder / "adapter").rename(adapter)
    lengths = [len(word.ids) for word in tokenize(trainer.opened.tokenizer, [*table["source"], *table["target"]])]
    return STEPS, int(sum(lengths) * given.epochs / STEPS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", required=True, type=Path, help="a folder on a disk with 16 GiB free")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=32, help="fewer for a trial of this command")
    parser.add_argument("--keep", action="store_true", help="leave the checkpoint there")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = given.scratch / "llama-3-8b-shape"
    if given.stage:
        print(json.dumps(stage(given.stage, folder, given.threads)))
        return
    needed = (1.06e9 * 2 + given.layers * 0.44e9) * 1.05
    given.scratch.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(given.scratch).free
    if free < needed and not folder.exists():
        sys.exit(f"{given.scratch}: has {free / 2**30:.0f} GiB free, {needed / 2**30:.0f} GiB are needed; name a folder on another disk")
    if not folder.exists():
        print(f"writing {needed / 1.05 / 2**30:.0f} GiB of random weights to {folder}; deleted at the end", flush=True)
        write(folder, given.layers)
    rows, load = [], os.getloadavg()[0]
    try:
        for name in ("scan", "training", "evaluation"):
            files = files_of(folder, name, given.layers)
            for cache in ("cold",) if name == "training" else ("cold", "warm"):
                if cache == "cold":
                    put_out(files)
                command = [sys.executable, __file__, "--scratch", str(given.scratch), "--threads", str(given.threads), "--stage", name]
                out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                measured = json.loads(out.splitlines()[-1])
                if cache == "cold":
                    put_out(files)
                reading = bare_reading(files)
                quiet(given.threads)
                training = name == "training"
                bare = bare_products(measured["tokens"], given.threads, 2 if training else given.layers, measured["steps"], training)
                rows.append(
                    {
                        "stage": name,
                        "files": cache,
                        "seconds": f"{measured['seconds']:.1f}",
                        "peak_mib": f"{measured['peak_mib']:.0f}",
                        "tokens": measured["tokens"],
                        "steps": measured["steps"],
                        "bare_products_s": f"{bare:.1f}",
                        "bare_reading_s": f"{reading:.1f}",
                        "ratio_to_longer": f"{measured['seconds'] / max(bare, reading):.2f}",
                        "threads": given.threads,
                        "blocks": given.layers,
                    }
                )
                print(rows[-1], flush=True)
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
            for place in ("adapter-8b", "run-8b"):
                shutil.rmtree(given.scratch / place, ignore_errors=True)
            print(f"deleted {folder}")
    total = sum(float(row["seconds"]) for row in rows)
    note = f"Llama-3-8B shape, {PAIRS} pairs, {total / 60:.1f} minutes in all; load of the machine before: {load:.1f}"
    print("wrote", write_table("eight-billion", rows, note))


if __name__ == "__main__":
    main()
