"""Tiny random language models of several families, real Transformers folders, each made once per session.

Weights are drawn wide (standard deviation 0.2), so that every block changes what passes through it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tli.specs import ModelSpec

LAYERS, HIDDEN, VOCABULARY = 4, 32, 300
# Swahili, English, further English, split.
LEXICON = [
    ("kitabu", "book", "", "train"),
    ("dirisha", "window", "", "train"),
    ("daktari", "doctor", "physician", "train"),
    ("mkate", "bread", "", "train"),
    ("maji", "water", "", "train"),
    ("moto", "fire", "", "train"),
    ("nyumba", "house", "home", "train"),
    ("mti", "tree", "", "train"),
    ("ndege", "bird", "", "train"),
    ("ndege", "aeroplane", "", "train"),
    ("samaki", "fish", "", "train"),
    ("jua", "sun", "", "train"),
    ("mwezi", "moon", "month", "select"),
    ("nyota", "star", "", "select"),
    ("mvua", "rain", "", "select"),
    ("upepo", "wind", "", "select"),
    ("chumvi", "salt", "", "select"),
    ("asali", "honey", "", "select"),
    ("habari za asubuhi", "good morning", "", "heldout"),
    ("moja", "one", "", "heldout"),
    ("mbili", "two", "", "heldout"),
    ("mkono", "hand", "arm", "heldout"),
    ("kichwa", "head", "", "heldout"),
    ("jicho", "eye", "", "heldout"),
]
WORDS = list(dict.fromkeys([row[0] for row in LEXICON] + [row[1] for row in LEXICON]))


def pairs_table() -> pd.DataFrame:
    """The lexicon as the lexicon stage hands it on."""
    table = pd.DataFrame(LEXICON, columns=["source", "target", "alternatives", "split"])
    table["pair_id"] = [f"p{i:03d}" for i in range(len(table))]
    table["component"], table["category"], table["cognate"], table["provenance"] = table["pair_id"], "noun", 0.1, "test"
    return table


def save_tokenizer(folder: Path, before: str = "<s>", after: str = "") -> None:
    """A byte-level BPE tokenizer of VOCABULARY tokens; `before` and `after` are what it adds around a text."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "<pad>"]
    made = Tokenizer(BPE(unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(WORDS * 2, trainer)
    if before or after:
        ids = [(token, made.token_to_id(token)) for token in (before, after) if token]
        made.post_processor = processors.TemplateProcessing(single=f"{before} $A {after}".strip(), special_tokens=ids)
    whole = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    whole.save_pretrained(folder)


def save_model(folder: Path, family: str, *, heads: int = 4, tied: bool = False, shards: bool = False, seed: int = 0) -> None:
    """A random model of LAYERS blocks: llama, gpt2, neox, qwen2, bert or xlmr."""
    import torch
    import transformers

    shared = dict(vocab_size=VOCABULARY, initializer_range=0.2, bos_token_id=1, eos_token_id=2, pad_token_id=3)
    sizes = dict(num_hidden_layers=LAYERS, hidden_size=HIDDEN, num_attention_heads=heads, intermediate_size=64, max_position_embeddings=64)
    grouped = dict(num_key_value_heads=heads // 2 if heads % 2 == 0 else 1, tie_word_embeddings=tied)
    made = {
        "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**shared, **sizes, **grouped)),
        "qwen2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**shared, **sizes, **grouped)),
        "gpt2": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(**shared, n_layer=LAYERS, n_embd=HIDDEN, n_head=heads, n_positions=64)
        ),
        "neox": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**shared, **sizes, tie_word_embeddings=tied)),
        "bert": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**shared, **sizes)),
        "xlmr": lambda: transformers.XLMRobertaForMaskedLM(transformers.XLMRobertaConfig(**shared, **sizes, type_vocab_size=1)),
    }
    torch.manual_seed(seed)
    model = made[family]()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() or "ln_" in name or name.endswith("bias"):  # as initialised they would hide an error
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder, max_shard_size="40KB" if shards else "50GB")


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Callable[..., ModelSpec]:
    """models(family, heads=, tied=, shards=, bos=, **fields of ModelSpec) -> ModelSpec of a folder made once."""
    folders: dict[tuple, Path] = {}

    def make(family: str = "llama", *, heads: int = 4, tied: bool = False, shards: bool = False, bos: bool = True, **fields) -> ModelSpec:
        key = (family, heads, tied, shards, bos)
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp(family)
            save_model(folders[key], family, heads=heads, tied=tied, shards=shards)
            save_tokenizer(folders[key], before="<s>" if bos else "", after="</s>" if family in ("bert", "xlmr") else "")
        return ModelSpec(source=str(folders[key]), **{"dtype": "float32", "device": "cpu"} | fields)

    return make


def edit_json(path: Path, **changes) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def hidden_states(model, ids: list[int]) -> list:
    """Transformers' own hidden states of one text: L + 1 tensors [tokens, hidden]."""
    import torch

    with torch.no_grad():
        return [state[0] for state in model(torch.tensor([ids]), output_hidden_states=True).hidden_states]


def whole_model(spec: ModelSpec):
    """The model with its head as Transformers opens it, without any code of ours."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, logging

    logging.set_verbosity_error()
    masked = json.loads((Path(spec.source) / "config.json").read_text())["model_type"] in ("bert", "xlm-roberta")
    auto = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    return auto.from_pretrained(spec.source, dtype=getattr(torch, spec.dtype)).eval()
