"""Tiny random models of many families from Transformers' own configs, and what of the workflow each of them serves.

python tests/unit/families.py [--write] [family ...]      prints the table; --write puts it into docs/families.md
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tiny_models

from tli.errors import TliError

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "families.md"
COLUMNS = ("scan", "streamed", "trained", "PEFT", "NF4")

GPT = dict(n_embd=64, n_layer=4, n_head=4, n_positions=128, n_inner=128)
MOE = dict(moe_intermediate_size=32, num_experts_per_tok=2)
DEEPSEEK = dict(
    q_lora_rank=16,
    kv_lora_rank=16,
    qk_rope_head_dim=8,
    qk_nope_head_dim=8,
    v_head_dim=16,
    n_routed_experts=4,
    n_group=1,
    topk_group=1,
    first_k_dense_replace=1,
    n_shared_experts=1,
    head_dim=8,
    num_key_value_heads=4,
)
T5 = dict(d_model=64, d_kv=16, d_ff=128, num_layers=2, num_decoder_layers=2, num_heads=4)
VISION = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=28,
    patch_size=14,
)
SIZES = dict(
    vocab_size=64,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    initializer_range=0.15,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
QKV, FUSED = ("q_proj", "v_proj"), ("query_key_value",)
# family of Transformers -> (what its config has beside SIZES, target modules, what SIZES has that it does not take)
FAMILIES: dict[str, tuple] = {
    "llama": ({}, QKV),
    "llama3-rope": (
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 5e5,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
        QKV,
    ),
    "mistral": ({"sliding_window": 64}, QKV),
    "ministral": ({"sliding_window": 64}, QKV),
    "qwen2": ({}, QKV),
    "qwen3": ({}, QKV),
    "gemma": ({}, QKV),
    "gemma2": ({"sliding_window": 64}, QKV),
    "gemma3_text": ({"sliding_window": 64}, QKV),
    "gemma3n_text": (
        {
            "sliding_window": 64,
            "vocab_size_per_layer_input": 64,
            "hidden_size_per_layer_input": 8,
            "num_kv_shared_layers": 0,
            "laurel_rank": 4,
            "intermediate_size": [128] * 4,
            "activation_sparsity_pattern": [0.0] * 4,
        },
        QKV,
    ),
    "phi": ({}, QKV),
    "phi3": ({}, ("qkv_proj",)),
    "gpt2": (GPT, ("c_attn",)),
    "gpt_bigcode": (GPT, ("c_attn",)),
    "gptj": (GPT | {"rotary_dim": 8}, QKV),
    "codegen": (GPT | {"rotary_dim": 8, "n_ctx": 128}, ("qkv_proj",)),
    "gpt_neo": ({"num_layers": 4, "num_heads": 4, "attention_types": [[["global", "local"], 2]]}, QKV),
    "gpt_neox": ({}, FUSED),
    "opt": ({"ffn_dim": 128, "word_embed_proj_dim": 64}, QKV),
    "opt-350m": ({"ffn_dim": 128, "word_embed_proj_dim": 32, "do_layer_norm_before": False}, QKV),
    "bloom": ({"n_layer": 4, "n_head": 4}, FUSED),
    "mpt": ({"d_model": 64, "n_layers": 4, "n_heads": 4, "max_seq_len": 128}, ("Wqkv",)),
    "falcon": ({"multi_query": True}, FUSED),
    "cohere": ({}, QKV),
    "cohere2": ({"sliding_window": 64}, QKV),
    "starcoder2": ({}, QKV),
    "stablelm": ({}, QKV),
    "granite": ({}, QKV),
    "glm": ({}, QKV),
    "glm4": ({}, QKV),
    "smollm3": ({}, QKV),
    "olmo": ({}, QKV),
    "olmo2": ({}, QKV),
    "olmo3": ({"sliding_window": 64}, QKV),
    "nemotron": ({}, QKV),
    "persimmon": ({}, FUSED),
    "xglm": ({"d_model": 64, "ffn_dim": 128, "num_layers": 4, "attention_heads": 4}, QKV),
    "exaone4": ({"sliding_window": 64}, QKV),
    "helium": ({}, QKV),
    "mixtral": ({"num_local_experts": 4, "num_experts_per_tok": 2}, QKV),
    "qwen2_moe": (MOE | {"num_experts": 4, "shared_expert_intermediate_size": 64}, QKV),
    "qwen3_moe": (MOE | {"num_experts": 4}, QKV),
    "deepseek_v3": (MOE | DEEPSEEK, ("q_a_proj", "kv_b_proj")),
    "gpt_oss": ({"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 64}, QKV),
    "llama4_text": ({"num_local_experts": 4, "num_experts_per_tok": 1, "intermediate_size_mlp": 128, "attention_chunk_size": 64}, QKV),
    "mamba": ({"state_size": 8, "expand": 2}, ("in_proj",)),
    "mamba2": ({"state_size": 8, "expand": 2, "num_heads": 8, "head_dim": 16, "n_groups": 2}, ("in_proj",)),
    "rwkv": ({"attention_hidden_size": 64, "context_length": 128}, ("receptance",)),
    "falcon_h1": ({"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}, QKV),
    "bamba": ({"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 8, "attn_layer_indices": [1, 3]}, ("in_proj",)),
    "recurrent_gemma": ({"lru_width": 64, "attention_window_size": 64}, ("linear_x",)),
    "jamba": (
        {
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "use_mamba_kernels": False,
        },
        ("in_proj",),
    ),
    "lfm2": ({"layer_types": ["conv", "conv", "full_attention", "conv"]}, ("in_proj",)),
    "bert": ({}, ("query", "value")),
    "roberta": ({}, ("query", "value")),
    "xlm-roberta": ({}, ("query", "value")),
    "distilbert": ({"dim": 64, "hidden_dim": 128, "n_layers": 4, "n_heads": 4}, ("q_lin", "v_lin")),
    "modernbert": ({"cls_token_id": 1, "sep_token_id": 2}, ("Wqkv",)),
    "deberta-v2": ({"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}, ("query_proj",)),
    "t5": (T5, ("q", "v")),
    "m2m_100": (
        {
            "d_model": 64,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 128,
            "decoder_ffn_dim": 128,
        },
        QKV,
    ),
    "gemma3": ({"text_config": SIZES | {"sliding_window": 64}, "vision_config": VISION, "mm_tokens_per_image": 4}, QKV),
    "mistral3": (
        {"text_config": SIZES | {"model_type": "mistral"}, "vision_config": VISION | {"model_type": "pixtral", "head_dim": 8}},
        QKV,
    ),
}
SLOW = [family for i, family in enumerate(FAMILIES) if i % 2 and family not in ("llama3-rope", "qwen3", "gemma2", "xglm", "mamba")]


def write(family: str, folder: Path) -> Path:
    """A random model of the family with its tokenizer, saved as its own library saves it."""
    import torch
    import transformers

    changes = FAMILIES[family][0]
    name = {"llama3-rope": "llama", "opt-350m": "opt"}.get(family, family)
    sizes = {} if "text_config" in changes else dict(SIZES)
    if name in ("falcon", "bert", "gpt_neox", "mamba2", "bamba", "deepseek_v3"):
        sizes.pop("head_dim")
    if name in ("m2m_100", "t5"):
        sizes.pop("num_hidden_layers")
    config = transformers.AutoConfig.for_model(name, **sizes | changes)
    for key in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout", "hidden_dropout", "dropout", "activation_dropout"):
        if isinstance(getattr(config, key, None), float):
            setattr(config, key, 0.0)
    torch.manual_seed(0)
    for auto in (
        transformers.AutoModelForCausalLM,
        transformers.AutoModelForMaskedLM,
        transformers.AutoModelForImageTextToText,
        transformers.AutoModelForSeq2SeqLM,
    ):
        if type(config) in auto._model_mapping:
            model = auto.from_config(config)
            break
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(str(folder))
    tiny_models.tokenizer(folder)
    return folder


def tried(call: Callable[[], str]) -> str:
    """What came of it: the call's own words, or the one sentence of a refusal. Any other error is a fault and is raised."""
    try:
        return call()
    except TliError as error:
        return f"refused: {error}"


def walk(family: str, scratch: Path) -> dict[str, str]:
    """column -> "yes", or the sentence in which it is refused."""
    folder = write(family, scratch / "model")
    row = {"scan": tried(lambda: scanned(folder))}
    row["streamed"] = tried(lambda: streamed(folder)) if row["scan"] == "yes" else row["scan"]
    row["trained"] = tried(lambda: trained(family, folder, scratch / "run")) if row["scan"] == "yes" else row["scan"]
    row["PEFT"] = tried(lambda: opened_by_peft(folder, scratch / "run")) if row["trained"] == "yes" else row["trained"]
    row["NF4"] = tried(lambda: in_nf4(folder)) if row["scan"] == "yes" else row["scan"]
    return {name: text.replace(str(folder), "the model").removeprefix("refused: ") for name, text in row.items()}


def scanned(folder: Path) -> str:
    """Checked by its headers, opened, every hidden state held against the plain loop."""
    from tli.model.embedding import embed
    from tli.model.files import check_folder
    from tli.model.opening import open_model
    from tli.model.plain_loop import compare_with_plain_loop

    check_folder(folder)
    opened = open_model(tiny_models.spec(folder))
    states = list(range(opened.layers + 1))
    assert compare_with_plain_loop(opened, tiny_models.WORDS, states) < 1e-3
    few = embed(open_model(tiny_models.spec(folder), 2), tiny_models.WORDS, [1, 2], ["no-bos"]).vectors if opened.layers > 2 else {}
    whole = embed(opened, tiny_models.WORDS, states, ["no-bos"]).vectors
    for key, vectors in few.items():
        np.testing.assert_allclose(vectors, whole[key], rtol=1e-4, atol=1e-5)
    return "yes"


def streamed(folder: Path) -> str:
    from tli.model.embedding import embed
    from tli.model.opening import open_model

    whole = open_model(tiny_models.spec(folder))
    states = list(range(whole.layers + 1))
    one = embed(whole, tiny_models.WORDS, states, ["no-bos"]).vectors
    other = embed(open_model(tiny_models.spec(folder, stream="always")), tiny_models.WORDS, states, ["no-bos"]).vectors
    for key, vectors in one.items():
        np.testing.assert_allclose(other[key], vectors, rtol=1e-5, atol=1e-5)
    return "yes"


def trained(family: str, folder: Path, run: Path) -> str:
    """A short training at hs[2], or hs[1] of two blocks; the adapter moves."""
    from safetensors.torch import load_file
    from tiny import pairs_table

    from tli.specs import Member, TrainSpec
    from tli.training.trainer import Trainer, no_progress

    table = pairs_table().query("split == 'train'").reset_index(drop=True)
    spec = TrainSpec(target_modules=FAMILIES[family][1], epochs=2, warmup_steps=0, learning_rate=1e-2, batch_size=6, margin=2.0)
    Path(run).mkdir()
    Trainer(tiny_models.spec(folder), spec, 2, 2, lambda member: table).run(Member(1), run, no_progress)
    tensors = load_file(run / "adapter" / "adapter_model.safetensors")
    assert all(tensor.any() for name, tensor in tensors.items() if "lora_B" in name)
    return "yes"


def opened_by_peft(folder: Path, run: Path) -> str:
    """PEFT opens the folder on the whole model, with our hidden states."""
    import torch
    from peft import PeftModel
    from transformers import AutoModel

    from tli.model import lora
    from tli.model.checkpoint import whole_class
    from tli.model.embedding import embed
    from tli.model.opening import open_model
    from tli.model.plain_loop import counts_later
    from tli.model.pooling import tokenize

    opened = open_model(tiny_models.spec(folder))
    with lora.applied(opened, lora.read(opened, run / "adapter")):
        ours = embed(opened, ["maji moto"], [2, opened.layers], ["no-bos"]).vectors
    whole = (whole_class(opened.base.config) if opened.prefix else AutoModel).from_pretrained(str(folder))
    whole = PeftModel.from_pretrained(whole, str(run / "adapter")).eval()
    ids = opened.tokenizer("maji moto", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = whole(input_ids=ids, output_hidden_states=True).hidden_states
    later = counts_later(opened, tokenize(opened.tokenizer, ["maji moto"])[0])
    for state in (2, opened.layers):
        theirs = states[state - 1 if later and state < opened.layers else state]
        np.testing.assert_allclose(ours[state, "no-bos"][0], theirs[0, 1:].mean(0), rtol=1e-4, atol=1e-4)
    return "yes"


def in_nf4(folder: Path) -> str:
    from tli.model.embedding import embed
    from tli.model.opening import open_model

    spec = tiny_models.spec(folder, quantization="nf4")
    top = open_model(spec).layers
    one = embed(open_model(spec), tiny_models.WORDS, [top], ["no-bos"]).vectors[top, "no-bos"]
    plain = embed(open_model(replace(spec, quantization="none")), tiny_models.WORDS, [top], ["no-bos"]).vectors[top, "no-bos"]
    assert 1e-3 < np.linalg.norm(one - plain) / np.linalg.norm(plain) < 1
    return "yes"


def page(rows: dict[str, dict[str, str]]) -> str:
    """docs/families.md."""
    sentences: dict[str, int] = {}
    lines = []
    for family, row in rows.items():
        cells = [text if text == "yes" else f"no [{sentences.setdefault(text, len(sentences) + 1)}]" for text in row.values()]
        lines.append("| " + " | ".join([family, *cells]) + " |")
    notes = "\n".join(f"{number}. {text}" for text, number in sentences.items())
    return f"""# Which families of models are served

Written by `python tests/unit/families.py --write` and held by a test (`tests/unit/test_families.py`): a tiny random model of each
family, made from Transformers' own config, goes through the workflow's model room.

- **scan**: every hidden state of every word is what Transformers gives for the word alone.
- **streamed**: run block by block from the files, it is the opened model.
- **trained**: adapters at a hidden state learn; **PEFT**: PEFT opens them on the whole model with the same hidden states.
- **NF4**: its blocks are held in 4 bits.

Where something is not served, the job says so in one sentence before it computes anything; they are listed below.

| family | {" | ".join(COLUMNS)} |
|---|{"---|" * len(COLUMNS)}
{chr(10).join(lines)}

{notes}
"""


def main() -> None:
    import traceback

    from transformers.utils import logging

    logging.set_verbosity_error(), logging.disable_progress_bar()
    asked = [name for name in sys.argv[1:] if not name.startswith("-")]
    rows = {}
    for family in asked or FAMILIES:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                rows[family] = walk(family, Path(scratch))
                print(family, {k: v if v == "yes" else v[:200] for k, v in rows[family].items()}, flush=True)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)
                ours = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "tli" in f.filename or "families" in f.filename]
                print(family, "FAULT", type(error).__name__, str(error)[:300], ours[-4:], flush=True)
    if "--write" in sys.argv:
        PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
