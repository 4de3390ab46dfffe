"""Open a causal or encoder model: revision, type, 4 bits, only the first blocks; nothing missing, nothing pickled."""

from __future__ import annotations

from typing import Any

from tli.errors import ModelError
from tli.model.checkpoint import (
    assert_plain_numbers,
    checkpoint_folder,
    frame,
    is_causal,
    load_config,
    load_tokenizer,
    origin,
    stored_form,
    truncated,
    without_pooler,
)
from tli.model.device import is_out_of_memory, resolve_device
from tli.model.files import read_tensors
from tli.model.nf4 import assert_covered, coverage, guard_cpu
from tli.model.opened import Opened, find_blocks
from tli.model.quantized import reopened
from tli.model.staging import staged
from tli.model.weights import must_stream, open_streamed
from tli.specs import ModelSpec


def open_model(spec: ModelSpec, blocks: int | None = None, *, quantized: bool = True) -> Opened:
    """Open the model without its head, in eval mode, frozen.

    blocks: how many blocks are read and held (all by default); the state hs[blocks]
    of such a model is the whole model's, before any final norm (see tli.model.states). quantized=False leaves out NF4.
    Where all blocks are asked for and memory does not hold them, or by the setting `stream`, none is read now, and
    tli.model.streaming runs them one at a time.
    Raises ModelError for missing tensors and for more blocks than the model has.
    """
    from transformers import AutoModel

    streams = blocks is None and streamed(spec, quantized=quantized)
    spec = _nearest(spec, quantized and not streams)
    config = load_config(spec)
    layers = config.get_text_config().num_hidden_layers
    if blocks is not None:
        if not 0 <= blocks <= layers:
            raise ModelError(f"{spec.source}: has {layers} blocks, hs[0] to hs[{layers}]; hs[{blocks}] is asked for")
        config = truncated(config, max(blocks, 1))
    source = None
    if streams:
        base, source = open_streamed(spec, config, checkpoint_folder(spec), quantized)
    else:
        base = _load(AutoModel, spec, config, quantized, headless=True)
    stack = find_blocks(base, config.get_text_config().num_hidden_layers)
    prefix = ""
    if is_causal(config):
        from transformers import AutoModelForCausalLM

        kind = AutoModelForCausalLM._model_mapping.get(type(config), base)  # code that came with the model is in no mapping
        prefix = kind.base_model_prefix + "."
    device = next(base.parameters()).device if source is None else resolve_device(spec.device)
    return Opened(base, stack, load_tokenizer(spec), layers, prefix, device, stream=source)


def streamed(spec: ModelSpec, *, quantized: bool = True) -> bool:
    """Whether `open_model` streams all blocks of this model: by the setting `stream`, or because memory does not hold it."""
    if spec.stream == "never":
        return False
    folder = checkpoint_folder(spec)
    return folder is not None and must_stream(spec, load_config(spec), folder, quantized and spec.quantization == "nf4")


def open_whole(spec: ModelSpec):
    """The whole causal model with its head, for perplexity and for tasks: (model, tokenizer). Raises ModelError."""
    from transformers import AutoModelForCausalLM

    spec = _nearest(spec, True)
    config = load_config(spec)
    return _load(AutoModelForCausalLM, spec, config, True, headless=False), load_tokenizer(spec)


def _nearest(spec: ModelSpec, quantized: bool) -> ModelSpec:
    """The spec with `source` where the weights are read fastest: written NF4 ones, and a copy on the node's disk."""
    if quantized:
        spec = reopened(spec, checkpoint_folder(spec))
    return staged(spec, checkpoint_folder(spec))


def below_head(whole, tokenizer) -> Opened:
    """The part of a whole causal model below its head; adapters or weights put on it work in the whole model."""
    base = whole.base_model
    layers = whole.config.get_text_config().num_hidden_layers
    return Opened(base, find_blocks(base, layers), tokenizer, layers, whole.base_model_prefix + ".", next(base.parameters()).device)


def _load(auto, spec: ModelSpec, config, quantized: bool, headless: bool):
    import torch
    from safetensors import SafetensorError

    device, covered = resolve_device(spec.device), None
    folder = checkpoint_folder(spec)
    if folder is not None and any(folder.glob("*.safetensors")):
        assert_plain_numbers(spec.source, config, read_tensors(folder))
    options: dict[str, Any] = {"dtype": getattr(torch, spec.dtype), "use_safetensors": True, "output_loading_info": True}
    if spec.across_gpus and device.type == "cuda":
        options["device_map"] = "auto"
    elif device.type == "cuda":
        options["device_map"] = {"": 0}
    if quantized and spec.quantization == "nf4" and not getattr(config, "quantization_config", None):
        from transformers import BitsAndBytesConfig

        empty = frame(auto, spec, config)
        covered = coverage(empty, find_blocks(empty, config.get_text_config().num_hidden_layers))
        assert_covered(covered, spec.source)
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=options["dtype"],
            # Said here, since Transformers by itself leaves out the last module of what it opens: in a truncated model another one.
            llm_int8_skip_modules=list(covered.outside),
        )
    if headless:
        options |= without_pooler(auto, config)
    form = stored_form(config)
    try:
        model, report = auto.from_pretrained(spec.source, config=config, **options, **origin(spec))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{spec.source}: cannot be opened: {str(error).splitlines()[0]}; copy or make this folder again") from None
    except (ImportError, ValueError, RuntimeError, NotImplementedError) as error:
        if not form or is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{spec.source}: its weights are stored in {form}, which cannot be opened here ({reason}). Take the checkpoint in 16 bits; "
            "with quantization: nf4 it needs as little memory"
        ) from None
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report.get("mismatched_keys", ()))
    if lacking:
        raise ModelError(
            f"{spec.source}: {len(lacking)} tensors are missing or of another shape, {lacking[0]} first; they would be "
            "filled with random numbers. Copy the model again, or ask its author for the complete checkpoint"
        )
    guard_cpu(model)
    if covered is not None:
        converted = {name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"}
        if converted != covered.inside:
            odd = sorted(converted ^ covered.inside)
            raise ModelError(
                f"{spec.source}: {len(odd)} modules are in 4 bits or not against the rule, {odd[0]} first; set quantization: none, and "
                "please report it with the model's config.json"
            )
    return model.eval().requires_grad_(False)
