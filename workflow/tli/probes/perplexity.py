"""Perplexity of a causal model on a few sentences: does the model know the language at all, or is it broken?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from tli.io import tables
from tli.log import say
from tli.model.memory import Room, parts_of_range
from tli.probes.base import Answer, Probe, Setting
from tli.probes.harness import depends_on
from tli.probes.predictions import Predicted, Predictions
from tli.subjects import Subject

SENTENCES = Path(__file__).resolve().parents[3] / "resources" / "sentences"
COLUMNS = [name for name in tables.PERPLEXITY if name not in tables.RUN]


def shipped_sentences(language: str) -> list[str]:
    """The shipped sentences of a language (ISO 639-3 code), one a line of its file; [] for a language without a file."""
    path = SENTENCES / f"{language}.txt"
    if not path.is_file():
        return []
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def perplexity(model: Any, tokenizer: Any, sentences: list[str], room: Room | None = None) -> tuple[float, int]:
    """Exp of the mean negative log-probability per token, and the number of tokens predicted.

    model: a whole causal model. Each sentence stands by itself after BOS, in one batch or in what `room` allows; without a BOS its first token is
    given and not predicted. Uniform guessing has the size of the vocabulary. inf where the model gives no finite number.
    """
    import torch

    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = [start + tokenizer.encode(text, add_special_tokens=False) for text in sentences]
    ids = [row for row in ids if len(row) > 1]
    tokens = sum(len(row) - 1 for row in ids)
    if not tokens:
        return float("nan"), 0
    longest, logs = max(map(len, ids)), []

    def one(sentences: range) -> None:
        some = ids[sentences.start : sentences.stop]
        # padding on the right: no token of a sentence sees it, so any id will do
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in some], device=model.device)
        follows = torch.tensor([[k + 1 < len(row) for k in range(longest - 1)] for row in some], device=model.device)
        logits = model(input_ids=padded, use_cache=False).logits[:, :-1]
        follows, after = follows.to(logits.device), padded[:, 1:].to(logits.device)
        log = torch.log_softmax(logits[follows].float(), dim=-1).gather(1, after[follows].unsqueeze(1))
        logs.append(log.double().cpu())

    with torch.inference_mode():
        (room or Room("sentences")).each([range(len(ids))], one, len, parts_of_range)
    return _exp(-torch.cat(logs).mean().item()), tokens


def perplexity_of(predicted: Sequence[Predicted]) -> tuple[float, int]:
    """The same from what is known of each sentence."""
    predicted = [one for one in predicted if one.tokens]
    tokens = sum(one.tokens for one in predicted)
    if not tokens:
        return float("nan"), 0
    return _exp(sum(one.tokens * one.cross_entropy for one in predicted) / tokens), tokens


def _exp(mean: float) -> float:
    return math.exp(mean) if math.isfinite(mean) and mean < 700 else math.inf


def verdict(perplexity: float, vocabulary: int) -> str | None:
    """A warning where `perplexity` is not below half that of uniform guessing over `vocabulary` tokens, else None.

    A head of random numbers guesses uniformly or worse; a model that has seen a language is better by far.
    """
    if perplexity < vocabulary / 2:
        return None
    return (
        f"perplexity {perplexity:,.0f} where uniform guessing has {vocabulary:,}: the model does not know these sentences. "
        "Its head may be random (a broken checkpoint), or it never saw the language"
    )


@dataclass(frozen=True, eq=False)
class PerplexityProbe(Probe):
    """Perplexity on the shipped sentences, one row a language."""

    depends: dict  # what else the answer depends on (tli.probes.scoring.depends_on)
    quantization: str  # of a subject that is measured quantised
    sentences: Mapping[str, list[str]]  # language -> sentences
    predictions: Predictions
    kind: ClassVar[str] = "transfer"
    needs_head: ClassVar[bool] = True
    once_a_seed: ClassVar[bool] = True
    answers: ClassVar[dict[str, Answer]] = {"perplexity": Answer("perplexity.tsv", tuple(tables.PERPLEXITY))}

    @classmethod
    def of(cls, setting: Setting) -> list[PerplexityProbe]:
        sentences = {language: texts for language in setting.pair.split("-") if (texts := shipped_sentences(language))}
        say(f"transfer: perplexity on sentences in {', '.join(sentences) or 'no language'}")
        setting.predictions.ask(text for texts in sentences.values() for text in texts)
        return [cls(depends_on(setting), setting.model.quantization, sentences, setting.predictions)]

    def key(self, subject: Subject) -> dict:
        quantization = self.quantization if subject.quantized else "none"
        return self.depends | {"quantization": quantization, "unit": subject.unit, "sentences": dict(self.sentences)}

    def prepare(self, loaded: Any, subjects: Sequence[Subject]) -> None:
        self.predictions.prepare(loaded, subjects)

    def measure(self, loaded: Any, subject: Subject, folder: Path) -> None:
        uniform = loaded.whole.config.get_text_config().vocab_size
        rows, known = [], self.predictions.of(loaded, subject)
        for language, texts in self.sentences.items():
            value, tokens = perplexity_of([known[text] for text in texts])
            rows.append([language, len(texts), tokens, value, float(uniform)])
            warning = verdict(value, uniform) if subject.is_baseline else None
            if warning:
                say(f"transfer: NOTE: {language}: {warning}")
        pd.DataFrame(rows, columns=COLUMNS).to_parquet(folder / "perplexity.parquet", index=False)
