"""Open a causal or encoder model: revision, type, 4 bits, only the first blocks; nothing missing, nothing pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tli.errors import ModelError
from tli.log import say
from tli.model.checkpoint import (
    assert_plain_numbers,
    checkpoint_folder,
    count_of_blocks,
    frame,
    is_causal,
    is_encoder_decoder,
    load_config,
    load_tokenizer,
    origin,
    stored_form,
    text_part,
    truncated,
    whole_class,
    without_pooler,
)
from tli.model.device import free_on, is_out_of_memory, resolve_device
from tli.model.files import read_tensors
from tli.model.nf4 import Coverage, assert_covered, coverage, guard_cpu
from tli.model.opened import Opened, find_blocks
from tli.model.quantized import reopened
from tli.model.staging import staged
from tli.model.streamed_head import framed, path_below_head
from tli.model.weights import must_stream, open_streamed, tied_partner_of
from tli.specs import ModelSpec


def open_model(spec: ModelSpec, blocks: int | None = None, *, quantized: bool = True, times: float = 1.5) -> Opened:
    """Open the model without its head, in eval mode, frozen.

    blocks: how many blocks are read and held (all by default); the state hs[blocks]
    of such a model is the whole model's, before any final norm (see tli.model.states). quantized=False leaves out NF4.
    Where all blocks are asked for and memory does not hold them, or by the setting `stream`, none is read now, and
    tli.model.streaming runs them one at a time. times: the card's memory that is needed, as a multiple of the weights; with
    `across_gpus` more cards than one are taken only where one does not hold that.
    Raises ModelError for missing tensors and for more blocks than the model has.
    """
    from transformers import AutoModel

    streams = blocks is None and streamed(spec, quantized=quantized)
    given, spec = spec, _nearest(spec, quantized and not streams)
    config = load_config(spec)
    layers = count_of_blocks(config)
    if is_encoder_decoder(config) and (blocks is not None or streams):
        way, mend = ("trained", "leave it out of the arms") if blocks is not None else ("streamed", "set stream: never")
        raise ModelError(f"{given.source}: is an encoder-decoder; its encoder can be scanned and measured, not {way}: {mend}")
    if blocks is not None:
        if not 0 <= blocks <= layers:
            raise ModelError(f"{given.source}: has {layers} blocks, hs[0] to hs[{layers}]; hs[{blocks}] is asked for")
        config = truncated(config, blocks)
    source = None
    if streams:
        folder = checkpoint_folder(spec)
        if folder is None:
            raise ModelError(f"{spec.source}: only a model whose files are on disk is streamed; fetch it first, or set stream: never")
        base, source = open_streamed(spec, config, folder, quantized)
    else:
        base = _load(AutoModel, spec, config, quantized, headless=True, times=times)
        base = text_part(base, config)
    device = next(base.parameters()).device if source is None else resolve_device(spec.device)
    prefix = _prefix_of(base, spec, config) if is_causal(config) else ""
    blocks_of_base, tokenizer = find_blocks(base, count_of_blocks(config)), load_tokenizer(spec)
    return Opened(base, blocks_of_base, tokenizer, layers, prefix, device, stream=source, word_form=spec.word_form)


def _prefix_of(base: Any, spec: ModelSpec, config: Any) -> str:
    """How the names of the whole model's tensors of `base` begin. What a class says of itself (base_model_prefix) is not always true."""
    auto = whole_class(config)
    if type(config) not in auto._model_mapping:  # code that came with the model is in no mapping
        return base.base_model_prefix + "."
    whole = frame(auto, spec, truncated(config, 1), tables=False)
    return next(name for name, module in whole.named_modules() if type(module) is type(base)) + "."


def streamed(spec: ModelSpec, *, quantized: bool = True) -> bool:
    """Whether `open_model` streams all blocks of this model: by the setting `stream`, or because memory does not hold it."""
    if spec.stream == "never":
        return False
    folder = checkpoint_folder(spec)
    return folder is not None and must_stream(spec, load_config(spec), folder, quantized and spec.quantization == "nf4")


def open_whole(spec: ModelSpec, times: float = 1.5) -> tuple[Any, Any]:
    """The whole causal model with its head, for perplexity and for tasks: (model, tokenizer). Raises ModelError.

    times: as for `open_model`.
    """
    spec = _nearest(spec, True)
    config = load_config(spec)
    return _load(whole_class(config), spec, config, True, headless=False, times=times), load_tokenizer(spec)


def _nearest(spec: ModelSpec, quantized: bool) -> ModelSpec:
    """The spec with `source` where the weights are read fastest: written NF4 ones, and a copy on the node's disk."""
    if quantized:
        spec = reopened(spec, checkpoint_folder(spec))
    return staged(spec, checkpoint_folder(spec))


def open_with_head(spec: ModelSpec, *, streams: bool) -> tuple[Any, Opened]:
    """A causal model for its probabilities: the whole, and the part of it below its head. Raises ModelError.

    streams: it may be streamed, by the setting `stream` or where memory does not hold it; then the head's weights are in memory
    within tli.model.streamed_head.loaded_head alone.
    """
    if streams and streamed(spec):
        opened = open_model(spec)
        return framed(spec, opened), opened
    whole, tokenizer = open_whole(spec)
    return whole, below_head(whole, tokenizer, spec.word_form)


def below_head(whole: Any, tokenizer: Any, word_form: str = "alone") -> Opened:
    """The part of a whole causal model below its head; adapters or weights put on it work in the whole model.

    word_form: how it is fed words, where it is; running text knows no such thing.
    """
    name = path_below_head(whole)
    base, layers = whole.get_submodule(name), count_of_blocks(whole.config)
    device = next(base.parameters()).device
    return Opened(base, find_blocks(base, layers), tokenizer, layers, name + ".", device, word_form=word_form)


def _load(auto: Any, spec: ModelSpec, config: Any, quantized: bool, headless: bool, times: float) -> Any:
    import torch
    from safetensors import SafetensorError

    device = resolve_device(spec.device)
    folder, form = checkpoint_folder(spec), stored_form(config)
    if folder is not None and any(folder.glob("*.safetensors")):
        assert_plain_numbers(spec.source, config, {} if form else read_tensors(folder))
    options: dict[str, Any] = {"dtype": getattr(torch, spec.dtype), "use_safetensors": True, "output_loading_info": True}
    in_nf4: Coverage | None = None
    rounds = quantized and spec.quantization == "nf4" and not getattr(config, "quantization_config", None)
    spreads = spec.across_gpus and device.type == "cuda"

    def covered() -> Coverage:
        empty = frame(auto, spec, config, tables=False)
        return coverage(empty, find_blocks(text_part(empty, config), count_of_blocks(config)))

    if device.type == "cuda":
        in_4_bits = rounds or form == "bitsandbytes 4 bit"
        options["device_map"] = _device_map(covered(), in_4_bits, options["dtype"].itemsize, times) if spreads else {"": 0}
    if rounds:
        from transformers import BitsAndBytesConfig

        in_nf4 = covered()
        assert_covered(in_nf4, spec.source)
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=options["dtype"],
            # Said here, since Transformers by itself leaves out the last module of what it opens: in a truncated model another one.
            llm_int8_skip_modules=list(in_nf4.outside),
        )
    if headless:
        options |= without_pooler(auto, config)
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
    if headless and folder is not None:
        _take_from_head(model, spec, config, folder, report["missing_keys"])
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report.get("mismatched_keys", ()))
    if lacking:
        raise ModelError(
            f"{spec.source}: {len(lacking)} tensors are missing or of another shape, {lacking[0]} first; they would be "
            "filled with random numbers. Copy the model again, or ask its author for the complete checkpoint"
        )
    guard_cpu(model)
    if in_nf4 is not None:
        converted = {name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"}
        if converted != in_nf4.inside:
            odd = sorted(converted ^ in_nf4.inside)
            raise ModelError(
                f"{spec.source}: {len(odd)} modules are in 4 bits or not against the rule, {odd[0]} first; set quantization: none, and "
                "please report it with the model's config.json"
            )
    return model.eval().requires_grad_(False)


def _device_map(covered: Coverage, in_4_bits: bool, itemsize: int, times: float) -> str | dict[str, int]:
    """One card where it holds `times` what is opened; else accelerate's map over all that are visible."""
    import torch

    held = times * (covered.bytes(itemsize) if in_4_bits else (covered.weights + covered.others + covered.rest) * itemsize)
    free = free_on(torch.device("cuda", 0))
    if held <= free:
        return {"": 0}
    say(f"across_gpus: {held / 1e9:.1f} GB are needed and a card has {free / 1e9:.1f} GB, so the blocks are spread over all cards")
    return "auto"


def _take_from_head(model: Any, spec: ModelSpec, config: Any, folder: Path, missing: set[str]) -> None:
    """Where a model's head shares the word embeddings, and the head's are those in the checkpoint, they are the embeddings. In place."""
    import torch
    from safetensors import safe_open

    weight = model.get_input_embeddings().weight
    name = next((name for name, parameter in model.named_parameters() if parameter is weight), "")
    if name not in missing:
        return
    stored = read_tensors(folder)
    partner = tied_partner_of(spec, config, stored)
    if partner is not None and stored[partner].shape == list(weight.shape):
        with safe_open(str(folder / stored[partner].file), "pt") as file, torch.no_grad():
            weight.copy_(file.get_tensor(partner))
        missing.discard(name)
