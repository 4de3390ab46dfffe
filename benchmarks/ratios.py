"""`make bench`: what this costs beside the published way and beside a competent one, in one run, as ratios.

    python benchmarks/ratios.py [--only train,nf4,memory,scan,other-shape,adapters,seeds,nf4-once,start] [--rounds 3] [--scratch FOLDER]

Published way: one word at a time, all hidden states, full depth, a fresh load per run; training with LoRA on all blocks and two
padded forwards a step, as in the published scripts.
Competent way: padded batches of 32, one load, one fused forward, full depth, LoRA where the loss reaches.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import plain
from common import ROOT, interleaved, lexicon_words, quiet, row, spec, timed, write_llama, write_qwen2, write_table

SHAPE = {"rank": 16, "alpha": 32.0, "dropout": 0.05, "target_modules": ("q_proj", "v_proj")}
TRAINING = {"epochs": 1, "warmup_steps": 2, "mask_false_negatives": False, **SHAPE}


def whole(folder, dtype, nf4=False):
    """The model as a script opens it, full depth, with its head."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    options = {"dtype": getattr(torch, dtype)}
    if nf4:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=options["dtype"]
        )
    if torch.cuda.is_available():
        options["device_map"] = {"": 0}
    model = AutoModelForCausalLM.from_pretrained(str(folder), **options)
    for module in model.modules():  # the trap of bitsandbytes on CPUs with AVX512-BF16: without this the other ways train nothing
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
    return model.requires_grad_(False), AutoTokenizer.from_pretrained(str(folder))


def our_training(opened, pairs: int, seeds: list[int], changes: dict | None = None, words=None):
    """A function that trains these seeds together on the first `pairs` pairs."""
    import numpy as np

    from tli.model import lora
    from tli.specs import TrainSpec
    from tli.training import loop
    from tli.training.batches import Batches

    words, shape = words or lexicon_words(2 * pairs), lora.LoraShape(**SHAPE, blocks=2)
    task = loop.Task(TrainSpec(**TRAINING | (changes or {})), 2)
    batches = [Batches(opened, words[:pairs], words[pairs : 2 * pairs], np.eye(pairs, dtype=bool), "no-bos") for _ in seeds]
    assert loop.can_stack(opened, batches, task.spec), "what is timed must be what the product does"
    members = [lora.initial(opened, shape, seed) for seed in seeds]
    return lambda: loop.train(lora.Stack(opened, members, shape, seeds), batches, seeds, task)


def train_step(scratch, rounds, *, folder=None, hidden=None, dtype, nf4=False, asked, steps=4, shape=None):
    """Seconds of one step of 8 pairs, loss at hs[2]."""
    import torch

    from tli.model.opening import open_model

    folder = folder or write_llama(scratch / "model", hidden=hidden, dtype=dtype)
    words = lexicon_words(16 * steps)
    ways, models = {}, []
    for name, blocks, fused in (("published", None, False), ("competent", 2, True)):
        model, tokenizer = whole(folder, dtype, nf4)
        model = plain.lora(model, blocks=blocks).train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4)
        models.append(model)

        def run(model=model, tokenizer=tokenizer, optimizer=optimizer, fused=fused):
            for i in range(0, 16 * steps, 16):
                plain.train_step(model, tokenizer, words[i : i + 8], words[i + 8 : i + 16], 2, optimizer, fused=fused)

        ways[name] = run
    opened = open_model(spec(folder, dtype=dtype, quantization="nf4" if nf4 else "none"), 2)
    ways["ours"] = our_training(opened, 8 * steps, [1])
    for way in ways.values():
        way()
    seconds = {name: [value / steps for value in values] for name, values in interleaved(ways, rounds).items()}
    shutil.rmtree(folder)
    model = f"{shape or f'Llama, 32 blocks, hidden {hidden}'}, {'NF4' if nf4 else dtype}, 8 pairs"
    what = "training step, loss at hs[2]"
    return [
        row(what, model, against, seconds["ours"], seconds[against], asked if against == "published" else None)
        for against in ("published", "competent")
    ]


MEMORY = """
import sys; sys.path[:0] = [{workflow!r}, {here!r}]
import torch, transformers.models.llama.modeling_llama, peft
import plain, ratios
from common import peak_mib, quiet, spec
quiet()
from tli.model.opening import open_model
before = peak_mib()
folder, way = sys.argv[1:]
if way == "ours":
    opened = open_model(spec(folder, dtype="bfloat16"), 2)
    ratios.our_training(opened, 8, [1])()
else:
    model, tokenizer = ratios.whole(folder, "bfloat16")
    model = plain.lora(model, blocks=None if way == "published" else 2).train()
    words = ratios.lexicon_words(16)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4)
    plain.train_step(model, tokenizer, words[:8], words[8:], 2, optimizer, fused=way != "published")
print(peak_mib() - before)
"""


def memory(scratch, rounds):
    """MiB above the imports, opening and one training step, each in a process of its own."""
    folder = write_llama(scratch / "model", hidden=1024, dtype="bfloat16")
    code = MEMORY.format(workflow=str(ROOT / "workflow"), here=str(ROOT / "benchmarks"))
    values: dict[str, list[float]] = {}
    for _ in range(min(rounds, 2)):
        for way in ("ours", "published", "competent"):
            out = subprocess.run([sys.executable, "-c", code, str(folder), way], capture_output=True, text=True, check=True).stdout
            values.setdefault(way, []).append(float(out.split()[-1]))
    shutil.rmtree(folder)
    return [
        row(
            "memory above the imports, training",
            "Llama, 32 blocks, hidden 1024, bfloat16",
            against,
            values["ours"],
            values[against],
            6 if against == "published" else None,
            "MiB",
        )
        for against in ("published", "competent")
    ]


def scan(scratch, rounds, *, folder=None, hidden=None, asked, dtype="float32", count=1372, shape=None):
    """Seconds for all hidden states of `count` strings. The published way is timed on every eighth string, times eight."""
    import numpy as np

    from tli.model.embedding import embed
    from tli.model.opening import open_model

    folder = folder or write_llama(scratch / "model", hidden=hidden, dtype=dtype)
    opened, words = open_model(spec(folder, dtype=dtype)), lexicon_words(count)
    states, every = list(range(opened.layers + 1)), words[::8]
    ours = embed(opened, words[:64], states, ["no-bos"])
    other = plain.scan_competent(opened.base, opened.tokenizer, words[:64])
    assert max(np.abs(ours.vectors[s, "no-bos"] - other[:, s]).max() for s in states) < 1e-3
    seconds = interleaved(
        {
            "ours": lambda: embed(opened, words, states, ["no-bos"]),
            "published": lambda: plain.scan_published(opened.base, opened.tokenizer, every),
            "competent": lambda: plain.scan_competent(opened.base, opened.tokenizer, words),
        },
        rounds,
    )
    seconds["published"] = [value * len(words) / len(every) for value in seconds["published"]]
    shutil.rmtree(folder)
    return [
        row(
            "scan of all hidden states",
            f"{shape or f'Llama, 32 blocks, hidden {hidden}'}, {dtype}, {count} strings",
            against,
            seconds["ours"],
            seconds[against],
            asked if against == "published" else None,
        )
        for against in ("published", "competent")
    ]


def other_shape(scratch, rounds):
    """A training step and a scan on a model that nothing was tuned on."""
    shape = "Qwen2-0.5B's shape"
    rows = train_step(scratch, rounds, folder=write_qwen2(scratch / "other"), dtype="bfloat16", asked=None, shape=shape)
    return rows + scan(scratch, rounds, folder=write_qwen2(scratch / "other", "float32"), asked=None, shape=shape)


def many_adapters(scratch, rounds, *, hidden=512, adapters_count=20, count=1372, dtype="float32"):
    """Seconds to measure a baseline and 20 adapters at hs[2] and the output, loads included.

    Published: each adapter loads the model, embeds before and after; timed on one adapter and every eighth string.
    Competent: one load, a PEFT adapter opened in turn, padded batches, the baseline once; timed on two adapters.
    """
    from peft import PeftModel

    from tli.model import lora
    from tli.model.embedding import embed_all
    from tli.model.lora.folder import Card
    from tli.model.opening import open_model
    from tli.model.streaming import Wanted

    folder = write_llama(scratch / "model", hidden=hidden, dtype=dtype)
    words, opened = lexicon_words(count), open_model(spec(folder, dtype=dtype), 2)
    shape = lora.LoraShape(**SHAPE, blocks=2)
    tensors = lora.initial(opened, shape, 1)
    adapters_at = [scratch / f"adapter-{i}" for i in range(adapters_count)]
    for place in adapters_at:
        lora.save(opened, place, tensors, shape, Card(str(folder)))

    def ours():
        whole_model = open_model(spec(folder, dtype=dtype))
        wanted = [Wanted([2, 32])] + [Wanted([2, 32], lora.read(whole_model, place)) for place in adapters_at]
        embed_all(whole_model, words, wanted, ["no-bos"])

    def load():
        whole(folder, dtype)

    def open_adapter(model):
        return PeftModel.from_pretrained(model, str(adapters_at[0])).eval()

    model, tokenizer = whole(folder, dtype)
    loading = [timed(load) for _ in range(rounds)]
    opening = [timed(lambda: open_adapter(whole(folder, dtype)[0])) for _ in range(rounds)]
    model = open_adapter(model)
    seconds = interleaved(
        {
            "ours": ours,
            "published": lambda: plain.scan_published(model, tokenizer, words[::8]),
            "competent": lambda: plain.scan_competent(model, tokenizer, words),
        },
        rounds,
    )
    published = [adapters_count * (statistics.median(opening) + 2 * value * len(words) / len(words[::8])) for value in seconds["published"]]
    adapter_alone = max(0.0, statistics.median(opening) - statistics.median(loading))
    competent = [
        statistics.median(loading) + adapters_count * adapter_alone + (adapters_count + 1) * value for value in seconds["competent"]
    ]
    for place in [folder, *adapters_at]:
        shutil.rmtree(place)
    name = f"Llama, 32 blocks, hidden {hidden}, {dtype}, {count} strings"
    what = f"{adapters_count} adapters and the baseline, loads included"
    return [row(what, name, "published", seconds["ours"], published, 15), row(what, name, "competent", seconds["ours"], competent, None)]


def seeds(scratch, rounds, *, hidden=1024, dtype="bfloat16", members=10, pairs=24):
    """Seconds to train 10 seeds of a cell, lengths skewed (every eighth source is a long phrase), both with two blocks."""
    import numpy as np

    from tli.model import lora
    from tli.model.opening import open_model
    from tli.specs import TrainSpec
    from tli.training import loop
    from tli.training.batches import Batches

    folder = write_llama(scratch / "model", hidden=hidden, dtype=dtype, layers=3)
    opened = open_model(spec(folder, dtype=dtype), 2)
    words, shape = lexicon_words(2 * pairs), lora.LoraShape(**SHAPE, blocks=2)
    words = [word if i % 8 or i >= pairs else " ".join(words[:8]) for i, word in enumerate(words)]
    together = our_training(opened, pairs, list(range(members)), words=words)

    def padded():
        batch = Batches(opened, words[:pairs], words[pairs:], np.eye(pairs, dtype=bool), "no-bos")
        batch.packed = False
        for seed in range(members):
            loop.train(lora.Stack(opened, [lora.initial(opened, shape, seed)], shape), [batch], [seed], loop.Task(TrainSpec(**TRAINING), 2))

    seconds = interleaved({"ours": together, "padded": padded}, rounds)
    shutil.rmtree(folder)
    name = f"2 blocks of hidden {hidden}, {dtype}, skewed lengths"
    return [row(f"{members} seeds of a cell", name, "padded, in turn", seconds["ours"], seconds["padded"], 1.5)]


def nf4_once(scratch, rounds, *, hidden=1024):
    """Seconds to open a whole model from the NF4 weights that the check job wrote, against rounding it at each opening."""
    from tli.model import quantized
    from tli.model.opening import open_model, open_whole

    folder = write_llama(scratch / "model", hidden=hidden, dtype="bfloat16")
    plain_way = spec(folder, dtype="bfloat16", quantization="nf4", stream="never")
    keeping = dataclasses.replace(plain_way, store=str(scratch / "store"))
    quantized.write(keeping, folder, open_whole(plain_way)[0])
    seconds = interleaved({"reopened": lambda: open_model(keeping), "made": lambda: open_model(plain_way)}, rounds)
    shutil.rmtree(folder), shutil.rmtree(scratch / "store")
    name = f"Llama, 32 blocks, hidden {hidden}"
    return [row("opening a model in NF4", name, "rounded at each opening", seconds["reopened"], seconds["made"], 1.2)]


def start(scratch, rounds):
    """Processor seconds of importing what training needs, against the same with PEFT."""
    code = "import time; {}; print(time.process_time())"
    ways = {
        "ours": "import tli.training.loop, torch, transformers.models.llama.modeling_llama",
        "with PEFT": "import torch, transformers.models.llama.modeling_llama, peft",
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, what in ways.items():
            out = subprocess.run(
                [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'workflow')!r}); " + code.format(what)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            seconds[name].append(float(out.split()[-1]))
    return [row("start-up of a training job", "imports", "with PEFT", seconds["ours"], seconds["with PEFT"], None)]


JOBS = {
    "train": lambda s, r: [
        *train_step(s, r, hidden=1024, dtype="bfloat16", asked=10),
        *train_step(s, r, hidden=512, dtype="bfloat16", asked=10),
    ],
    "nf4": lambda s, r: train_step(s, r, hidden=512, dtype="bfloat16", nf4=True, asked=12),
    "memory": memory,
    "scan": lambda s, r: [*scan(s, r, hidden=512, asked=10), *scan(s, r, hidden=1024, asked=8)],
    "other-shape": other_shape,
    "adapters": many_adapters,
    "seeds": lambda s, r: [*seeds(s, r), *seeds(s, r, hidden=128, dtype="float32")],
    "nf4-once": nf4_once,
    "start": start,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(JOBS), help="which, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scratch", help="a folder for models of random weights, up to 3 GiB; a temporary one by default")
    parser.add_argument("--name", default="ratios", help="name of the table below benchmarks/results")
    given = parser.parse_args()
    quiet(given.threads)
    rows: list[dict] = []
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        for name in given.only.split(","):
            print(f"== {name}", flush=True)
            rows += JOBS[name](Path(scratch), given.rounds)
            print(json.dumps(rows[-1]), flush=True)
    print("wrote", write_table(given.name, rows))


if __name__ == "__main__":
    main()
