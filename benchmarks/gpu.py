"""`make bench-gpu`: an 8B-shaped model on one GPU, in bf16 and in NF4, beside what the card allows.

    python benchmarks/gpu.py --scratch FOLDER [--layers 32] [--keep]

Writes 15 GiB of random weights into FOLDER and deletes them. Says so and ends well where no GPU is visible.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import time
from pathlib import Path

from common import interleaved, lexicon_words, quiet, spec, write_table


def limits() -> tuple[float, float]:
    """What this card does: bytes/s copied within its memory (read and written), and bf16 operations/s of a large product."""
    import torch

    a = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    x = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    seconds = interleaved({"copy": lambda: b.copy_(a), "product": lambda: x @ x}, 10)
    return 2 * a.numel() / statistics.median(seconds["copy"]), 2 * 8192**3 / statistics.median(seconds["product"])


def measure(folder: Path, quantization: str, bandwidth: float, arithmetic: float) -> list[dict]:
    import torch
    from ratios import our_training

    from tli.model import embedding as embed
    from tli.model import quantized
    from tli.model.opening import open_model, open_whole
    from tli.model.pooling import tokenize

    rows = []

    def add(what, unit, value, limit=None, share=None):
        peak = torch.cuda.max_memory_allocated() / 2**20
        rows.append(
            {
                "what": what,
                "weights": quantization if quantization == "nf4" else "bfloat16",
                "value": f"{value:.4g}",
                "unit": unit,
                "share_of_the_limit": "" if share is None else f"{share:.3f}",
                "limit": limit or "",
                "peak_mib": f"{peak:.0f}",
            }
        )
        print(rows[-1], flush=True)
        torch.cuda.reset_peak_memory_stats()

    model = spec(folder, dtype="bfloat16", quantization=quantization, device="cuda", stream="never")
    start = time.perf_counter()
    opened = open_model(model, 2)
    torch.cuda.synchronize()
    add("opening 2 blocks", "s", time.perf_counter() - start)
    weights = sum(p.numel() for p in opened.blocks.parameters() if p.ndim > 1) * (2 if quantization == "nf4" else 1)
    weight_bytes = sum(p.numel() * p.element_size() for p in opened.blocks.parameters())
    for members in (1, 10):
        train = our_training(opened, 128, list(range(members)))
        train()
        seconds = statistics.median(interleaved({"": train}, 3)[""]) / 16
        words = tokenize(opened.tokenizer, lexicon_words(256))
        tokens = members * sum(len(word.ids) for word in words) / 16
        # a step reads each frozen weight once forward and once backward, or multiplies it with each token twice
        bound, kind = max((2 * weight_bytes / bandwidth, "bandwidth"), (4 * weights * tokens / arithmetic, "arithmetic"))
        add(f"training at hs[2], {members} seeds together", "seed steps/s", members / seconds, kind, bound / seconds)
    del opened
    torch.cuda.empty_cache()
    start = time.perf_counter()
    opened = open_model(model)
    torch.cuda.synchronize()
    add("opening all blocks", "s", time.perf_counter() - start)
    if quantization == "nf4":
        keeping = dataclasses.replace(model, store=str(folder.parent / "nf4-store"))
        quantized.write(keeping, folder, open_whole(model)[0])
        start = time.perf_counter()
        opened = open_model(keeping)
        torch.cuda.synchronize()
        add("opening all blocks as the check job wrote them", "s", time.perf_counter() - start)
        shutil.rmtree(folder.parent / "nf4-store", ignore_errors=True)
    strings = lexicon_words(1372)
    laid = embed.passes(opened, tokenize(opened.tokenizer, strings))
    weights = sum(p.numel() for p in opened.blocks.parameters() if p.ndim > 1) * (2 if quantization == "nf4" else 1)
    weight_bytes = sum(p.numel() * p.element_size() for p in opened.blocks.parameters())
    states = list(range(opened.layers + 1))
    embed.embed(opened, strings[:100], states, ["no-bos"])
    seconds = statistics.median(interleaved({"": lambda: embed.embed(opened, strings, states, ["no-bos"])}, 3)[""])
    tokens = sum(rows_.ids.size for rows_ in laid)
    bound, kind = max((len(laid) * weight_bytes / bandwidth, "bandwidth"), (2 * weights * tokens / arithmetic, "arithmetic"))
    add("scan of all hidden states", "strings/s", len(strings) / seconds, kind, bound / seconds)
    return rows


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", required=True, type=Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU is visible here: nothing was measured, and nothing was written")
        return
    from eight_billion import write

    quiet()
    folder = given.scratch / "llama-3-8b-shape"
    try:
        if not folder.exists():
            print(f"writing {2 + given.layers * 0.41:.0f} GiB of random weights to {folder}; deleted at the end", flush=True)
            write(folder, given.layers)
        bandwidth, arithmetic = limits()
        note = f"memory {bandwidth / 1e12:.2f} TB/s, bf16 products {arithmetic / 1e12:.0f} TFLOP/s, both measured; {given.layers} blocks"
        rows = [row for kind in ("none", "nf4") for row in measure(folder, kind, bandwidth, arithmetic)]
        print("wrote", write_table("gpu", rows, note))
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
