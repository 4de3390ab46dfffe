"""A planted world: each of two languages hides its words' concepts under noise in a subspace of its own. Training on a list quenches
that list's noise, of held-out words too; training on both lists quenches both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tli.model import lora
from tli.probes.listed import Listed
from tli.probes.words import measure
from tli.specs import Member, ModelSpec, TrainSpec
from tli.training import mixing
from tli.training.trainer import Trainer, no_progress

PAIRS, WORDS, HIDDEN = ("aaa-zzz", "bbb-zzz"), 120, 32


def lists() -> dict[str, pd.DataFrame]:
    """Every second pair is held out; both lists name the same concepts of the language z."""
    made = {}
    for language, pair in zip("ab", PAIRS, strict=True):
        table = pd.DataFrame({"source": [f"{language}{i}" for i in range(WORDS)], "target": [f"z{i}" for i in range(WORDS)]})
        table["pair_id"] = table["component"] = [f"p{i}" for i in range(WORDS)]
        table["split"] = ["train" if i % 2 else "heldout" for i in range(WORDS)]
        made[pair] = table.assign(alternatives="", category="", provenance="", cognate=0.0)
    return made


def save(folder: Path) -> ModelSpec:
    """A Llama of two blocks whose tokens are whole words: a word of z is its concept, one of a or b that and its language's noise."""
    import torch
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "</s>", "<pad>", *(f"{language}{i}" for language in "abz" for i in range(WORDS))]
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)
    shape = {"hidden_size": HIDDEN, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), max_position_embeddings=16, bos_token_id=1, pad_token_id=3, **shape))
    random = np.random.default_rng(0)
    concepts = random.standard_normal((WORDS, HIDDEN))
    vectors = [concepts]
    for _ in "ab":
        own = np.linalg.qr(random.standard_normal((HIDDEN, 4)))[0]  # four directions
        noise = 8 * random.standard_normal((WORDS, 4)) @ own.T
        vectors.insert(-1, concepts + noise + 0.3 * random.standard_normal((WORDS, HIDDEN)))
    with torch.no_grad():
        model.model.embed_tokens.weight[4:] = torch.tensor(np.concatenate(vectors), dtype=torch.float32)
    model.save_pretrained(folder)
    return ModelSpec(source=str(folder), dtype="float32", device="cpu")


def found(opened, pairs: pd.DataFrame) -> float:
    """P@1 of the held-out words, among the forms that nothing was trained on."""
    figures = measure(opened, Listed.of(pairs), [2], ["no-bos"]).figures
    return float(figures.loc[(figures["pool"] == "untrained") & (figures["split"] == "heldout"), "p_at_1"].iloc[0])


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Callable[..., tuple[list[float], list[float]]]:
    """world(lists trained on, **changes of the spec) -> P@1 of each list before and after."""
    folder, of = tmp_path_factory.mktemp("world"), lists()
    model = save(folder / "model")
    usual = TrainSpec(epochs=20, warmup_steps=0, learning_rate=5e-3, dropout=0.0, target_modules=("all-linear",))
    trained = {pair: table[table["split"] == "train"].reset_index(drop=True) for pair, table in of.items()}

    def after(*pairs: str, **changes) -> tuple[list[float], list[float]]:
        spec = replace(usual, train_on=pairs if len(pairs) > 1 else (), **changes)
        trainer = Trainer(model, spec, 2, 2, lambda member: mixing.joined({pair: trained[pair] for pair in pairs}))
        before = [found(trainer.opened, table) for table in of.values()]
        (out := folder / str(len(list(folder.iterdir())))).mkdir()
        trainer.run(Member(1), out, no_progress)
        with lora.applied(trainer.opened, lora.read(trainer.opened, out / "adapter")):
            return before, [found(trainer.opened, table) for table in of.values()]

    return after


def test_training_on_one_list_helps_that_list_alone(world):
    for number, pair in enumerate(PAIRS):
        before, after = world(pair)
        assert after[number] > before[number] + 0.2
        assert after[1 - number] < before[1 - number] + 0.1


@pytest.mark.parametrize(("mix", "negatives"), [("by-size", "own-list"), ("even", "across")])
def test_training_on_both_helps_both_and_its_placebo_neither(world, mix, negatives):
    before, after = world(*PAIRS, mix=mix, negatives=negatives)
    assert all(now > then + 0.1 for then, now in zip(before, after, strict=True)), (before, after)
    before, after = world(*PAIRS, mix=mix, negatives=negatives, shuffle_translations=True)
    assert all(now < then + 0.05 for then, now in zip(before, after, strict=True)), (before, after)
