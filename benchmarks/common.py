"""What all benchmarks share: models of random weights, words, interleaved timing, tables."""

from __future__ import annotations

import csv
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "workflow"))

COLUMNS = ["what", "model", "against", "unit", "ours", "ours_spread", "other", "other_spread", "ratio", "asked", "rounds"]


def spec(folder: Path | str, **changes):
    """A model as the stages get it, in float32 unless asked otherwise."""
    from tli.specs import ModelSpec

    return ModelSpec(str(folder), **{"dtype": "float32"} | changes)


def lexicon_words(count: int) -> list[str]:
    """`count` distinct strings: the forms of the shipped Swahili-English lexicon first, joined in twos where it ends."""
    with (ROOT / "resources" / "lexicons" / "swh-eng.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    forms = list(dict.fromkeys(form for row in rows for form in (row["source"], row["target"])))
    for step in range(1, 200):
        if len(forms) >= count:
            break
        forms = list(dict.fromkeys([*forms, *(f"{a} {b}" for a, b in zip(forms, forms[step:], strict=False) if " " not in a + b)]))
    return forms[:count]


def write_tokenizer(folder: Path, vocabulary: int = 2000) -> int:
    """A byte-level BPE trained on the shipped lexicon, with BOS; returns its size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(lexicon_words(1372), trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>").save_pretrained(str(folder))
    return made.get_vocab_size()


def write_llama(folder: Path, *, hidden: int = 512, layers: int = 32, vocabulary: int = 32000, dtype: str = "float32") -> Path:
    """A Llama of random weights (heads of 64, four to a key-value head, MLP 2.75 x hidden), sharded safetensors."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    heads = hidden // 64
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=int(2.75 * hidden),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 4),
        vocab_size=vocabulary,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(str(folder), max_shard_size="200MB")
    write_tokenizer(folder)
    return Path(folder)


def write_qwen2(folder: Path, dtype: str = "bfloat16") -> Path:
    """A model that nothing here was tuned on: Qwen2-0.5B's shape (24 blocks, hidden 896, 14 heads, 2 for keys, biases, tied embeddings)."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        vocab_size=151936,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
    )
    Qwen2ForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(str(folder), max_shard_size="200MB")
    write_tokenizer(folder)
    return Path(folder)


def timed(function: Callable[[], object]) -> float:
    """Seconds of processor time of this process: other work on the machine counts less in it than in the clock's time.

    On a GPU the clock's time, with the device drained at both ends.
    """
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    function()
    return time.process_time() - start


def interleaved(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Each way's seconds, taken in turns A B A B, so that what else the machine does falls on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, function in ways.items():
            seconds[name].append(timed(function))
    return seconds


def row(what: str, model: str, against: str, ours: list[float], other: list[float], asked: float | None, unit: str = "s") -> dict:
    """One line of the table: medians, spread (lowest to highest) and the ratio of the medians."""
    a, b = statistics.median(ours), statistics.median(other)
    return {
        "what": what,
        "model": model,
        "against": against,
        "unit": unit,
        "ours": f"{a:.4g}",
        "ours_spread": f"{min(ours):.4g}-{max(ours):.4g}",
        "other": f"{b:.4g}",
        "other_spread": f"{min(other):.4g}-{max(other):.4g}",
        "ratio": f"{b / a:.2f}",
        "asked": "" if asked is None else asked,
        "rounds": min(len(ours), len(other)),
    }


def machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    return f"{model or platform.processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used, torch {torch.__version__}"


def write_table(name: str, rows: list[dict], note: str = "") -> Path:
    """Write rows as TSV below benchmarks/results, with the machine in a comment line, and print them."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.tsv"
    columns = list(rows[0])
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(f"# {time.strftime('%Y-%m-%d')}, {machine()}{'; ' + note if note else ''}\n")
        writer = csv.DictWriter(stream, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    widths = [max(len(str(r[c])) for r in [dict(zip(columns, columns, strict=True)), *rows]) for c in columns]
    for line in [dict(zip(columns, columns, strict=True)), *rows]:
        print("  ".join(str(line[c]).ljust(w) for c, w in zip(columns, widths, strict=True)), flush=True)
    return path


def peak_mib() -> float:
    """Highest resident memory of this process, MiB; 0 where the system does not tell. (getrusage counts the parent's at the start, too.)"""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0.0


def quiet(threads: int = 1) -> None:
    import torch
    from transformers.utils import logging

    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
