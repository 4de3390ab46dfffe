"""A made-up list of words, and tiny models of them: one that was taught every pair in the prompt's form, one that knows nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tli.probes.translation import QUESTION, SHOT, Direction, Wording

TRAINED, HELD_OUT = 30, 40
LETTERS = ("ptkmnbdg", "aeiou")
LONGEST = 512


def words(count: int, random) -> list[str]:
    """Distinct words of two to five syllables."""
    made: dict[str, None] = {}
    while len(made) < count:
        syllables = ["".join(random.choice(list(letters)) for letters in LETTERS) for _ in range(random.integers(2, 6))]
        made["".join(syllables)] = None
    return list(made)


def pairs_table() -> pd.DataFrame:
    """tables.PAIRS of TRAINED and HELD_OUT pairs; every held-out word is a component."""
    total = TRAINED + HELD_OUT
    both = words(2 * total, np.random.default_rng(0))
    table = pd.DataFrame({"source": both[:total], "target": both[total:], "alternatives": ""})
    table["pair_id"] = table["component"] = [f"p{number:03d}" for number in range(total)]
    table["split"] = ["train"] * TRAINED + ["heldout"] * HELD_OUT
    return table.assign(category="noun", cognate=0.1, provenance="test")


def directions() -> list[Wording]:
    return [Wording(one, {}) for one in (Direction("swh", "eng", False), Direction("eng", "swh", True))]


def save(folder: Path, pairs: pd.DataFrame, *, steps: int, seed: int = 0) -> Path:
    """A Llama of two blocks whose tokens are whole words, taught for so many steps on runs of one to four shots from all of `pairs`.

    With steps the two words of a pair begin with one embedding, in and out, so that little is left to learn: where to look.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(folder, pairs)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=LONGEST,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
    )
    model, random = LlamaForCausalLM(config), np.random.default_rng(seed)
    if steps:
        _align(model, tokenizer, pairs)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        shown = int(random.integers(1, 5))
        for_batch = [(wording, pairs.sample(shown, random_state=random)) for wording in directions() * 8]
        ids, labels = zip(*(_taught(tokenizer, wording, rows) for wording, rows in for_batch), strict=True)
        pad = torch.nn.utils.rnn.pad_sequence
        loss = model(pad(ids, True, tokenizer.pad_token_id), labels=pad(labels, True, -100)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def _align(model, tokenizer, pairs: pd.DataFrame) -> None:
    import torch

    size = model.config.hidden_size
    concepts = torch.randn(len(pairs), size) / size**0.5
    with torch.no_grad():
        for side in ("source", "target"):
            ids = [tokenizer.encode(f" {word}", add_special_tokens=False) for word in pairs[side]]
            assert all(len(one) == 1 for one in ids), "every word must be one token"
            rows = torch.tensor(ids)[:, 0]
            model.model.embed_tokens.weight[rows] = concepts + 0.3 * torch.randn(size) / size**0.5
            model.lm_head.weight[rows] = concepts


def _taught(tokenizer, wording: Wording, rows: pd.DataFrame) -> tuple:
    """Token ids of a run of shots after BOS, and as labels the answers and what ends them."""
    import torch

    ids, labels = [tokenizer.bos_token_id], [-100]
    for row in rows.itertuples(index=False):
        word, answer = wording.direction.forms(row)
        question = tokenizer.encode(wording.of(QUESTION, word=word), add_special_tokens=False)
        answered = tokenizer.encode(f" {answer}\n\n", add_special_tokens=False)
        ids, labels = ids + question + answered, labels + [-100] * len(question) + answered
    return torch.tensor(ids), torch.tensor(labels)


def _tokenizer(folder: Path, pairs: pd.DataFrame):
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(BPE(unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=5000,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [wording.of(SHOT, word=row.source, answer=row.target) for wording in directions() for row in pairs.itertuples(index=False)]
    made.train_from_iterator(texts * 3, trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    whole = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    whole.save_pretrained(folder)
    return whole
