"""How the cost grows: words 100 to 20,000, adapters 1 to 100, blocks 8 to 32. Part of `make bench`; writes scaling.tsv.

python benchmarks/scaling.py [--only words,adapters,blocks] [--hidden 256] [--scratch FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from functools import partial
from pathlib import Path

from common import interleaved, lexicon_words, quiet, spec, write_llama, write_table


def line(what: str, hidden: int, layers: int, count: int, seconds: list[float]) -> dict:
    from statistics import median

    middle = median(seconds)
    return {
        "what": what,
        "count": count,
        "model": f"Llama, {layers} blocks, hidden {hidden}",
        "seconds": f"{middle:.3g}",
        "spread": f"{min(seconds):.3g}-{max(seconds):.3g}",
        "milliseconds_each": f"{1000 * middle / count:.3g}",
    }


def words(scratch: Path, hidden: int, rounds: int) -> list[dict]:
    """All hidden states of more and more strings on 8 blocks."""
    from tli.model.embedding import embed
    from tli.model.opening import open_model

    folder = write_llama(scratch / "m", hidden=hidden, layers=8)
    opened, rows = open_model(spec(folder)), []
    for count in (100, 1000, 5000, 20000):
        strings = lexicon_words(count)
        seconds = interleaved({"": lambda strings=strings: embed(opened, strings, list(range(9)), ["no-bos"])}, rounds)[""]
        rows.append(line("strings scanned", hidden, 8, len(strings), seconds))
    shutil.rmtree(folder)
    return rows


def adapters(scratch: Path, hidden: int, rounds: int) -> list[dict]:
    """A baseline and more and more adapters, 500 strings on 8 blocks, loads included."""
    from ratios import SHAPE

    from tli.model import lora
    from tli.model.embedding import embed_all
    from tli.model.lora.folder import Card
    from tli.model.opening import open_model
    from tli.model.streaming import Wanted

    folder = write_llama(scratch / "m", hidden=hidden, layers=8)
    opened, rows, strings = open_model(spec(folder), 2), [], lexicon_words(500)
    shape = lora.LoraShape(**SHAPE, blocks=2)
    lora.save(opened, scratch / "a", lora.initial(opened, shape, 1), shape, Card(str(folder)))

    def measure(count):
        whole = open_model(spec(folder))
        embed_all(whole, strings, [Wanted([2, 8])] + [Wanted([2, 8], lora.read(whole, scratch / "a"))] * count, ["no-bos"])

    rows += [line("adapters evaluated", hidden, 8, count, interleaved({"": partial(measure, count)}, rounds)[""]) for count in (1, 10, 100)]
    shutil.rmtree(folder)
    return rows


def blocks(scratch: Path, hidden: int, rounds: int) -> list[dict]:
    """A training step at hs[2] (8 pairs, opening not counted) and a scan of 500 strings on deeper and deeper models."""
    from ratios import our_training

    from tli.model.embedding import embed
    from tli.model.opening import open_model

    rows, strings = [], lexicon_words(500)
    for layers in (8, 16, 32):
        folder = write_llama(scratch / "m", hidden=hidden, layers=layers)
        few, whole = open_model(spec(folder), 2), open_model(spec(folder))
        ways = {
            "train": our_training(few, 32, [1]),
            "scan": lambda whole=whole, layers=layers: embed(whole, strings, list(range(layers + 1)), ["no-bos"]),
        }
        seconds = interleaved(ways, rounds)
        rows.append(line("training steps at hs[2]", hidden, layers, 4, seconds["train"]))
        rows.append(line("strings scanned", hidden, layers, 500, seconds["scan"]))
        shutil.rmtree(folder)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="words,adapters,blocks")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scratch")
    given = parser.parse_args()
    quiet(given.threads)
    rows: list[dict] = []
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        for name in given.only.split(","):
            rows += {"words": words, "adapters": adapters, "blocks": blocks}[name](Path(scratch), given.hidden, given.rounds)
            print(rows[-1], flush=True)
    print("wrote", write_table("scaling", rows))


if __name__ == "__main__":
    main()
