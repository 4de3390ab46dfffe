"""A model's checkpoint: where its folder lies, its config, its tokenizer. No weight is read here."""

from __future__ import annotations

import copy
import inspect
import os
from pathlib import Path
from typing import Any

from tli.errors import ModelError
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


def load_config(spec: ModelSpec):
    """The model's Transformers config."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(spec.source, **origin(spec))


def load_tokenizer(spec: ModelSpec):
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


def is_causal(config) -> bool:
    """True for a decoder that predicts the next token, False for an encoder such as XLM-R."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

    names = config.architectures or []
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        return True
    return config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def truncated(config, blocks: int):
    """A copy of the config that says that the model has so many blocks."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    text.num_hidden_layers = blocks
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:blocks]
    return config


def signature(auto, config) -> set[str]:
    """Names of the arguments of the class that `auto` takes for this config."""
    kind = auto._model_mapping.get(type(config), None)
    return set(inspect.signature(kind.__init__).parameters) if isinstance(kind, type) else set()
