"""Check a model before anything else runs: is it whole, how deep is it, what does its tokenizer add."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tli.errors import ModelError
from tli.experiment.job import CheckJob
from tli.io.records import CheckRecord, write_check
from tli.log import say, warn
from tli.model import files, quantized
from tli.model.checkpoint import checkpoint_folder, is_causal, load_config, load_tokenizer
from tli.model.device import device_name
from tli.model.lora import target_names
from tli.model.opening import open_model, open_whole, streamed
from tli.model.pooling import tokenize
from tli.model.token_facts import token_lines, tokens_table
from tli.probes.perplexity import SENTENCES, perplexity, shipped_sentences, verdict
from tli.specs import ALL_LINEAR

PUNCTUATION = ".,;:!?()\"'\u2018\u2019\u201c\u201d"  # around a word of a sentence


def run(job: CheckJob) -> dict:
    """Open the model once with its head and write what the other stages need to know of it. Returns the facts for the provenance.

    Raises ModelError: a missing tensor, a hidden state beyond the last, a target module that no block has.
    """
    model, spec, experiment = job.model, job.model_spec, job.experiment
    local = Path(spec.source).is_dir()
    facts_of_files = files.check_folder(Path(spec.source)) if local else {}
    config = load_config(spec)
    layers = config.get_text_config().num_hidden_layers
    beyond = [k for k in experiment.numbers_asked if k > layers]
    if beyond:
        raise ModelError(f"models.{model}: has hs[0] to hs[{layers}]; the config asks for hs[{beyond[0]}]")
    facts, perplexities = {}, {}
    with ThreadPoolExecutor(1) as beside:  # what reads the files to open the model reads them for this too: the disk is asked once
        searched = beside.submit(not_numbers, checkpoint_folder(spec))
        if is_causal(config) and not streamed(spec):
            whole_model, tokenizer = open_whole(replace(spec, store=""))  # from its own files: they may have been mended
            parameters = sum(p.numel() for p in whole_model.parameters())
            facts["device"] = device_name(next(whole_model.parameters()).device)
            assert_numbers(model, searched)
            quantized.write(spec, checkpoint_folder(spec), whole_model)
            perplexities = {} if spec.demo else perplexity_of_sentences(model, whole_model, tokenizer)
            del whole_model
        else:
            opened = open_model(spec)
            tokenizer, parameters = opened.tokenizer, sum(p.numel() for p in opened.base.parameters())
            assert_numbers(model, searched)
            del opened
    if named := [name for name in experiment.target_modules if name != ALL_LINEAR]:
        target_names(open_model(spec, 1), tuple(named), 1)
    tokens = tokens_of_sentences(model, tokenizer, spec.word_form)
    word = tokenize(tokenizer, ["a"])[0]
    record = CheckRecord(
        model=model,
        identity=files.identity(Path(spec.source)) if local else f"{spec.source}@{spec.revision}",
        layers=layers,
        hidden_size=config.get_text_config().hidden_size,
        parameters=facts_of_files.get("parameters", parameters),
        tied_head=bool(getattr(config, "tie_word_embeddings", False)),
        causal=is_causal(config),
        bos=tokenizer.bos_token_id is not None and word.first > 0 and word.ids[0] == tokenizer.bos_token_id,
        added_before=list(word.ids[: word.first]),
        added_after=list(word.ids[word.last :]),
        vocabulary=len(load_tokenizer(spec)),
        perplexity=perplexities,
        demo=spec.demo,
        word_form=spec.word_form,
        tokens=tokens,
    )
    write_check(record, job.outputs["check"])
    say(f"check: {model} is whole: {layers} blocks, {parameters:,} parameters, tokens added before a word: {record.added_before}")
    if not record.added_before:
        say("check: NOTE: the tokenizer adds nothing before a word, so a word's first token may be the attention sink itself")
    return facts


def assert_numbers(model: str, searched: Future[str]) -> None:
    """Raises ModelError where `not_numbers` found something."""
    if odd := searched.result():
        raise ModelError(f"models.{model}: {odd} holds NaN or infinite weights; copy the model again, or ask its author for a whole one")


def not_numbers(folder: Path | None, values: int = 2**24) -> str:
    """Name of the first tensor of a checkpoint with a value that is no finite number, "" where all are. `values` are held at a time.

    The largest and the smallest value tell it, since both are NaN where one value is: sixty times as fast as asking each, so that
    a job with a card hardly waits for more than the disk.
    """
    from safetensors import safe_open

    if folder is None:
        return ""
    for name, place in files.read_tensors(folder).items():
        with safe_open(str(Path(folder) / place.file), "pt") as stored:
            part, rows = stored.get_slice(name), place.shape[0] if place.shape else 0
            step = max(1, values * rows // max(1, files.product(place.shape)))
            pieces = (part[first : first + step] for first in range(0, rows, step)) if rows else [stored.get_tensor(name)]
            if any(piece.is_floating_point() and piece.numel() and not _is_finite(piece) for piece in pieces):
                return name
    return ""


def tokens_of_sentences(model: str, tokenizer: Any, word_form: str) -> dict[str, dict]:
    """What the tokenizer makes of the words of the shipped sentences, fed alone and as after a space; the lists' own the scan tells.

    Returns language -> word form -> {"forms", "words", "tokens", "fertility", "one_token", "cut_otherwise", ...} (tables.TOKENS).
    """
    found: dict[str, dict] = {}
    for language in sorted(path.stem for path in SENTENCES.glob("*.txt")):
        words = [word.strip(PUNCTUATION) for sentence in shipped_sentences(language) for word in sentence.split()]
        words = [word for word in words if word]
        table = tokens_table(tokenizer, pd.DataFrame({"source": words, "target": words}), f"{language}-{language}", word_form)
        table = table[table["side"] == "source"]
        for severity, text in token_lines(table):
            (warn if severity == "warning" else say)(f"check: {model}, {text}")
        names = [name for name in table.columns if name not in ("pair", "side", "language", "word_form", "used", "unknown_forms")]
        found[language] = {row["word_form"]: {name: row[name] for name in names} for row in table.to_dict("records")}
    return found


def _is_finite(values: Any) -> bool:
    import torch

    if values.dtype.itemsize < 2:  # torch orders no 8-bit numbers
        values = values.float()
    return all(end.isfinite().item() for end in torch.aminmax(values))


def perplexity_of_sentences(model: str, whole_model: Any, tokenizer: Any) -> dict[str, dict]:
    """Perplexity on the shipped sentences, by language: a checkpoint with a random head is told by it before hours are spent.

    Returns language -> {"perplexity", "tokens", "uniform"}; warns where the model is hardly better than guessing in all.
    """
    found: dict[str, dict[str, Any]] = {}
    for language in sorted(path.stem for path in SENTENCES.glob("*.txt")):
        sentences = shipped_sentences(language)
        value, tokens = perplexity(whole_model, tokenizer, sentences)
        found[language] = {"perplexity": value if value < float("inf") else None, "tokens": tokens, "uniform": len(tokenizer)}
        doubt = verdict(value, len(tokenizer))
        if doubt:
            say(f"check: {model}, {language}: {doubt}")
        else:
            say(f"check: {model}, {language}: perplexity {value:.1f} on {tokens} tokens; uniform guessing has {len(tokenizer):,}")
    if found and all(verdict(entry["perplexity"] or float("inf"), entry["uniform"]) for entry in found.values()):
        best = min(entry["perplexity"] or float("inf") for entry in found.values())
        warn(
            f"{model}: predicts none of the shipped sentences ({', '.join(found)}) much better than guessing: perplexity {best:,.0f} at "
            f"best, {len(tokenizer):,} by guessing. Its head may be random (a broken checkpoint), unless it is a toy"
        )
    return found
