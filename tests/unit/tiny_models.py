"""Tiny random models of many families, written to a folder as a checkpoint with a tokenizer that reads letters."""

import string
from pathlib import Path

from tli.specs import ModelSpec

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2", "gpt_neox", "xlm-roberta", "bert"]
CAUSAL = FAMILIES[:8]
WORDS = ["nyumba", "nyumbani", "house", "maji", "water", "a", "maji moto", "hot water", "mtu", "watu", "person", "kitabu cha hadithi ndefu"]


def spec(folder, **changes) -> ModelSpec:
    """How a tiny model is opened: float32 on the processor."""
    return ModelSpec(str(folder), **{"dtype": "float32", "device": "cpu"} | changes)


def config(family, layers=4, hidden=32, vocabulary=64, **changes):
    from transformers import AutoConfig

    common = dict(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden // 4,
        max_position_embeddings=128,
        initializer_range=0.15,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "resid_pdrop", "embd_pdrop", "attn_pdrop"):
        common[key] = 0.0
    if family in ("gpt2", "gpt_neox", "xlm-roberta", "bert"):
        common.pop("num_key_value_heads"), common.pop("head_dim")
    if family == "gpt2":
        common |= {"n_embd": hidden, "n_layer": layers, "n_head": 4}
        for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings"):
            common.pop(key)
    return AutoConfig.for_model(family if family != "gemma3" else "gemma3_text", **(common | changes))


def write(family, folder, *, seed=0, bos=True, dtype="float32", shard=None, headless=False, **changes):
    """Save a random model of `family` with its tokenizer; returns the folder. shard: size of a shard, such as "50KB"."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

    torch.manual_seed(seed)
    made = config(family, **changes)
    kind = AutoModel if headless else AutoModelForMaskedLM if family in ("xlm-roberta", "bert") else AutoModelForCausalLM
    model = kind.from_config(made)
    for _name, parameter in model.named_parameters():  # norms and biases of a fresh model are all ones and zeros
        if parameter.ndim == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.to(getattr(torch, dtype)).save_pretrained(str(folder), **({"max_shard_size": shard} if shard else {}))
    tokenizer(folder, bos=bos, vocabulary=made.vocab_size)
    return Path(folder)


def tokenizer(folder, bos=True, vocabulary=64):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = ["<pad>", "<s>", "</s>", "<unk>", *string.ascii_lowercase, " ", "-", "'"]
    made = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(letters)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    if bos:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"pad_token": "<pad>", "unk_token": "<unk>"} | ({"bos_token": "<s>", "eos_token": "</s>"} if bos else {})
    PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(str(folder))
