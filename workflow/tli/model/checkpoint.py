"""A model's checkpoint: where its folder lies, its config, its tokenizer. No weight is read here."""

from __future__ import annotations

import copy
import inspect
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tli.errors import ModelError
from tli.model.files import Stored
from tli.specs import ModelSpec


def checkpoint_folder(spec: ModelSpec) -> Path | None:
    """Where the model's files lie: the folder itself, or the hub's cache; None where they are not on disk."""
    if Path(spec.source).is_dir():
        return Path(spec.source)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(spec.source, revision=spec.revision, local_files_only=True))
    except OSError:
        return None


def load_config(spec: ModelSpec) -> Any:
    """The model's Transformers config."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(spec.source, **origin(spec))


def load_tokenizer(spec: ModelSpec) -> Any:
    """The model's tokenizer. Raises ModelError where its files are not there or cannot be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(spec.source, **origin(spec))
    except (OSError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip(" :")
        raise ModelError(
            f"{spec.source}: has no tokenizer that can be opened ({reason}); copy tokenizer.json (or tokenizer.model) and "
            "tokenizer_config.json there too"
        ) from None


def origin(spec: ModelSpec) -> dict[str, Any]:
    """The options of every `from_pretrained` that say where the model comes from."""
    options: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code}
    if Path(spec.source).is_dir():
        return options | {"local_files_only": True}
    return options | {"revision": spec.revision, "local_files_only": os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")}


def is_causal(config: Any) -> bool:
    """True for a decoder that predicts the next token, alone or with parts that see images; False for an encoder such as XLM-R."""
    from transformers.models.auto import modeling_auto as auto

    if is_encoder_decoder(config):
        return False
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in config.architectures or []):
        return True
    if config.model_type in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return True
    return config.model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and config.model_type not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES


def is_encoder_decoder(config: Any) -> bool:
    """T5 and the like: two stacks of blocks, of which the encoder reads words."""
    return bool(getattr(config, "is_encoder_decoder", False))


def count_of_blocks(config: Any) -> int:
    """L: the blocks of the part that reads text, of an encoder-decoder those of its encoder."""
    encoder = getattr(config, "encoder_layers", None) if is_encoder_decoder(config) else None
    return encoder or config.get_text_config().num_hidden_layers


def text_part(model: Any, config: Any) -> Any:
    """The part of a model that reads words: of an encoder-decoder its encoder."""
    return model.get_encoder() if is_encoder_decoder(config) else model


def whole_class(config: Any) -> Any:
    """The auto class that opens the model with its head."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    for auto in (AutoModelForCausalLM, AutoModelForImageTextToText):
        if type(config) in auto._model_mapping:
            return auto
    return AutoModelForCausalLM  # code that came with the model is in no mapping


def truncated(config: Any, blocks: int) -> Any:
    """A copy of the config that says that the model has so many blocks."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    blocks = max(blocks, 2 if text.model_type == "rwkv" else 1)  # Transformers' RWKV divides by one block less
    text.num_hidden_layers = blocks
    for key in ("layer_types", "layers_block_type"):
        if isinstance(getattr(text, key, None), list):
            with suppress(AttributeError):  # computed from the number of blocks where it cannot be set
                setattr(text, key, getattr(text, key)[:blocks])
    return config


def signature(auto: Any, config: Any) -> set[str]:
    """Names of the arguments of the class that `auto` takes for this config."""
    kind = auto._model_mapping.get(type(config), None)
    return set(inspect.signature(kind).parameters) if isinstance(kind, type) else set()


def stored_form(config: Any) -> str:
    """How the checkpoint's weights are stored where it is not plainly: "gptq", "fp8", "bitsandbytes 4 bit"; "" where it is."""
    given = getattr(config, "quantization_config", None) or {}
    given = given if isinstance(given, dict) else given.to_dict()
    method = str(getattr(given.get("quant_method", ""), "value", given.get("quant_method", "")))
    if method == "bitsandbytes" or given.get("load_in_4bit") or given.get("load_in_8bit"):
        return "bitsandbytes 8 bit" if given.get("load_in_8bit") else "bitsandbytes 4 bit"
    return method or ("an unnamed quantisation" if given else "")


def assert_plain_numbers(source: str, config: Any, stored: dict[str, Stored]) -> None:
    """Raises ModelError for 8-bit numbers whose scales nobody would apply: read as they are, they are other weights."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    form = stored_form(config)
    if form and form.split()[0] not in {"bitsandbytes", *AUTO_QUANTIZATION_CONFIG_MAPPING}:
        raise ModelError(f"{source}: its weights are stored in {form}, which Transformers does not know; take the checkpoint in 16 bits")
    odd = [name for name, tensor in stored.items() if tensor.dtype.startswith(("F8", "I8", "U8")) and len(tensor.shape) > 1]
    if odd and not form:
        raise ModelError(
            f"{source}: {len(odd)} tensors are stored in 8 bits ({odd[0]} in {stored[odd[0]].dtype} first) and config.json has no "
            "quantization_config that says how to read them; take the checkpoint in 16 bits, or ask its author for the missing key"
        )


def frame(auto: Any, spec: ModelSpec, config: Any, tables: bool = True) -> Any:
    """The model that `auto` (AutoModel, AutoModelForCausalLM) makes of this config, without memory for its weights; buffers are real,
    and filled as from_pretrained fills them where `tables` are asked for.
    """
    import torch
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        model = auto.from_config(
            config, dtype=getattr(torch, spec.dtype), trust_remote_code=spec.trust_remote_code, **without_pooler(auto, config)
        )
    if not tables:
        return model
    # Tables of positions, computed just now while `dtype` was the default, are rounded more than from_pretrained leaves them, which
    # fills them afterwards: as here, with the weights marked as being there already.
    for parameter in model.parameters():
        parameter._is_hf_initialized = True
    for module in model.modules():
        module._is_hf_initialized = False
    with torch.no_grad():
        model.initialize_weights()
    return model


def without_pooler(auto: Any, config: Any) -> dict[str, bool]:
    """The option that leaves out an encoder's pooler, which is not used and which many checkpoints lack."""
    return {"add_pooling_layer": False} if "add_pooling_layer" in signature(auto, config) else {}
