"""Open a causal or encoder model: revision, type, 4 bits, only the first blocks; nothing missing, nothing pickled."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tli.errors import ModelError
from tli.model import weights
from tli.model.device import resolve_device
from tli.model.quantized import reopened
from tli.model.staging import staged


@dataclass
class Opened:
    """A model without its language-model head, ready to embed words."""

    base: Any  # torch module: embeddings, blocks, final norm
    blocks: Any  # torch.nn.ModuleList, the blocks that were opened
    tokenizer: Any
    layers: int  # L of the whole model, of which len(blocks) may be fewer
    prefix: str  # how the whole model's tensors of `base` begin ("model." in Llama), "" for an encoder
    device: Any
    packs: bool | None = None  # whether words may be packed into one row; found by tli.model.packing.can_pack
    stream: Any = None  # tli.model.weights.Source where the weights are not in memory

    @property
    def dtype(self):
        """Type of the hidden states."""
        return self.base.dtype

    @property
    def hidden_size(self) -> int:
        return self.base.config.get_text_config().hidden_size


def load_config(settings: dict):
    """The model's Transformers config; `settings` is a dumped tli.config.Model."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(settings["source"], **_origin(settings))


def load_tokenizer(settings: dict):
    """The model's tokenizer. Raises ModelError where its files are not there or cannot be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(settings["source"], **_origin(settings))
    except (OSError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip(" :")
        raise ModelError(
            f"{settings['source']}: has no tokenizer that can be opened ({reason}); copy tokenizer.json (or tokenizer.model) and "
            "tokenizer_config.json there too"
        ) from None


def is_causal(config) -> bool:
    """True for a decoder that predicts the next token, False for an encoder such as XLM-R."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

    names = config.architectures or []
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        return True
    return config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def open_model(settings: dict, blocks: int | None = None, *, quantized: bool = True) -> Opened:
    """Open the model without its head, in eval mode, frozen.

    settings: a dumped tli.config.Model. blocks: how many blocks are read and held (all by default); the state hs[blocks]
    of such a model is the whole model's, before any final norm (see tli.model.states). quantized=False leaves out NF4.
    Where all blocks are asked for and memory does not hold them, or by the setting `stream`, none is read now, and
    tli.model.streaming runs them one at a time.
    Raises ModelError for missing tensors and for more blocks than the model has.
    """
    from transformers import AutoModel

    streams = blocks is None and streamed(settings, quantized=quantized)
    settings = _nearest(settings, quantized and not streams)
    config = load_config(settings)
    layers = config.get_text_config().num_hidden_layers
    if blocks is not None:
        if not 0 <= blocks <= layers:
            raise ModelError(f"{settings['source']}: has {layers} blocks, hs[0] to hs[{layers}]; hs[{blocks}] is asked for")
        config = _truncate(config, max(blocks, 1))
    source = None
    if streams:
        base, source = weights.open_streamed(settings, config, checkpoint_folder(settings), quantized)
    else:
        base = _load(AutoModel, settings, config, quantized, headless=True)
    stack = find_blocks(base, config.get_text_config().num_hidden_layers)
    prefix = ""
    if is_causal(config):
        from transformers import AutoModelForCausalLM

        kind = AutoModelForCausalLM._model_mapping.get(type(config), base)  # code that came with the model is in no mapping
        prefix = kind.base_model_prefix + "."
    device = next(base.parameters()).device if source is None else resolve_device(settings["device"])
    return Opened(base, stack, load_tokenizer(settings), layers, prefix, device, stream=source)


def streamed(settings: dict, *, quantized: bool = True) -> bool:
    """Whether `open_model` streams all blocks of this model: by the setting `stream`, or because memory does not hold it."""
    if settings.get("stream", "auto") == "never":
        return False
    folder = checkpoint_folder(settings)
    return folder is not None and weights.must_stream(settings, folder, quantized and settings["quantization"] == "nf4")


def open_whole(settings: dict):
    """The whole causal model with its head, for perplexity and for tasks: (model, tokenizer). Raises ModelError."""
    from transformers import AutoModelForCausalLM

    settings = _nearest(settings, True)
    config = load_config(settings)
    return _load(AutoModelForCausalLM, settings, config, True, headless=False), load_tokenizer(settings)


def _nearest(settings: dict, quantized: bool) -> dict:
    """The settings with `source` where the weights are read fastest: written NF4 ones, and a copy on the node's disk."""
    if quantized:
        settings = reopened(settings, checkpoint_folder(settings))
    return staged(settings, checkpoint_folder(settings))


def below_head(whole, tokenizer) -> Opened:
    """The part of a whole causal model below its head; adapters or weights put on it work in the whole model."""
    base = whole.base_model
    layers = whole.config.get_text_config().num_hidden_layers
    return Opened(base, find_blocks(base, layers), tokenizer, layers, whole.base_model_prefix + ".", next(base.parameters()).device)


def _load(auto, settings: dict, config, quantized: bool, headless: bool):
    import torch
    from safetensors import SafetensorError

    device = resolve_device(settings["device"])
    options: dict[str, Any] = {"dtype": getattr(torch, settings["dtype"]), "use_safetensors": True, "output_loading_info": True}
    if settings["across_gpus"] and device.type == "cuda":
        options["device_map"] = "auto"
    elif device.type == "cuda":
        options["device_map"] = {"": 0}
    if quantized and settings["quantization"] == "nf4" and not getattr(config, "quantization_config", None):
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=options["dtype"]
        )
    if headless and "add_pooling_layer" in signature(auto, config):
        options["add_pooling_layer"] = False  # an encoder's pooler is not used, and many checkpoints lack it
    try:
        model, report = auto.from_pretrained(settings["source"], config=config, **options, **_origin(settings))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{settings['source']}: cannot be opened: {str(error).splitlines()[0]}; copy or make this folder again") from None
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report.get("mismatched_keys", ()))
    if lacking:
        raise ModelError(
            f"{settings['source']}: {len(lacking)} tensors are missing or of another shape, {lacking[0]} first; they would be "
            "filled with random numbers. Copy the model again, or ask its author for the complete checkpoint"
        )
    _guard_cpu_nf4(model)
    return model.eval().requires_grad_(False)


def checkpoint_folder(settings: dict) -> Path | None:
    """Where the model's files lie: the folder itself, or the hub's cache; None where they are not on disk."""
    if Path(settings["source"]).is_dir():
        return Path(settings["source"])
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(settings["source"], revision=settings["revision"], local_files_only=True))
    except OSError:
        return None


def signature(auto, config) -> set[str]:
    """Names of the arguments of the class that `auto` takes for this config."""
    import inspect

    kind = auto._model_mapping.get(type(config), None)
    return set(inspect.signature(kind.__init__).parameters) if isinstance(kind, type) else set()


def _origin(settings: dict) -> dict:
    local = Path(settings["source"]).is_dir()
    origin: dict[str, Any] = {"trust_remote_code": settings["trust_remote_code"]}
    if local:
        return origin | {"local_files_only": True}
    return origin | {"revision": settings["revision"], "local_files_only": os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")}


def _truncate(config, blocks: int):
    config = copy.deepcopy(config)
    text = config.get_text_config()
    text.num_hidden_layers = blocks
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:blocks]
    return config


def find_blocks(base, layers: int):
    """The list of blocks: the ModuleList of `layers` modules that holds the most parameters.

    Found by shape and not by name, so that it serves Llama's `layers`, GPT-2's `h` and BERT's `encoder.layer` alike.
    """
    import torch

    lists = [m for m in base.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == layers]
    if not lists:
        raise ModelError(f"{type(base).__name__}: no list of {layers} blocks found in it; this architecture is not known")
    return max(lists, key=lambda m: sum(p.numel() for p in m.parameters()))


def _guard_cpu_nf4(model) -> None:
    """bitsandbytes repacks 4-bit layers on CPUs with AVX512-BF16 at the first eval forward; from then on the outputs are
    off and LoRA gets no gradient, without an error."""
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
