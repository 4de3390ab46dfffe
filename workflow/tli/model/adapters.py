"""LoRA adapters on a model without its head: put on, counted, saved and opened as ordinary PEFT folders of the whole model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tli.errors import ModelError
from tli.model.opening import Opened

NAME = "default"


def attach(opened: Opened, *, rank: int, alpha: float, dropout: float, target_modules: list[str], blocks: int, seed: int):
    """Put fresh adapters on the first `blocks` blocks, in place: A random by `seed`, B zero, float32. Returns PEFT's LoraModel.

    Raises ModelError where a target module is in no block.
    """
    import torch
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    names = target_names(opened, target_modules, blocks)
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names, bias="none", fan_in_fan_out=_is_transposed(opened)
    )
    tuner = LoraModel(opened.base, config, NAME)
    for parameter in parameters(opened).values():
        parameter.data = parameter.data.float()
    return tuner


def target_names(opened: Opened, target_modules: list[str], blocks: int) -> list[str]:
    """Full names, below `opened.base`, of the modules that get an adapter. Raises ModelError."""
    import torch

    inside = {id(m): i for i, block in enumerate(opened.blocks) for m in block.modules()}
    linear = {
        name: inside[id(module)]
        for name, module in opened.base.named_modules()
        if id(module) in inside and (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
    }
    for target in target_modules:
        if not any(name.endswith("." + target) for name in linear):
            there = sorted({name.rsplit(".", 1)[-1] for name in linear})
            raise ModelError(f"target_modules: no block has a module {target!r}; this model's are {', '.join(there)}")
    return [n for n, block in linear.items() if block < blocks and any(n.endswith("." + t) for t in target_modules)]


def parameters(opened: Opened) -> dict:
    """The adapters' parameters by their names below `opened.base`."""
    return {name: p for name, p in opened.base.named_parameters() if ".lora_" in name}


def detach(tuner) -> None:
    """Take the adapters off again; the base is as before."""
    tuner.unload()


@contextmanager
def merged(tuner) -> Iterator[None]:
    """Within the block the adapters are merged into the weights; afterwards the weights are what they were, to the bit.

    Merging into NF4 weights rounds the adapter (PEFT issues 2321, 1043), and unmerging would round again.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [m for m in tuner.modules() if isinstance(m, BaseTunerLayer)]
    kept = []
    for layer in layers:
        weight = layer.get_base_layer().weight
        kept.append((weight, None if hasattr(weight, "quant_state") else weight.data.clone()))
    tuner.merge_adapter()
    try:
        yield
    finally:
        for layer, (weight, data) in zip(layers, kept, strict=True):
            layer.merged_adapters.clear()
            layer.get_base_layer().weight = weight
            if data is not None:
                weight.data = data


def save(
    opened: Opened, folder: Path, *, rank: int, alpha: float, dropout: float, target_modules: list[str], blocks: int,
    source: str, revision: str | None, note: str, tensors: dict | None = None,
) -> None:  # fmt: skip
    """Write the adapters as a PEFT folder that `PeftModel.from_pretrained` opens on the whole model.

    tensors: the adapter's by the names of `parameters`; those that `opened` wears by default. The config is written
    without PEFT, whose import takes longer than training a small model.
    source is recorded as the base model only where it is a hub id; a local path is nobody else's business.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    local = Path(source).exists()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if opened.prefix else None,
        "base_model_name_or_path": None if local else source,
        "revision": None if local else revision,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "target_modules": sorted(target_modules),
        "layers_to_transform": list(range(blocks)),
        "bias": "none",
        "fan_in_fan_out": _is_transposed(opened),
        "init_lora_weights": True,
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    named = parameters(opened) if tensors is None else tensors
    saved = {_saved_name(opened, name): p.detach().cpu().contiguous() for name, p in named.items()}
    save_file(saved, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
    base = Path(source).name if local else source
    (folder / "README.md").write_text(
        f"---\nlibrary_name: peft\n{'' if local else f'base_model: {source}' + chr(10)}tags: [lora, targeted-lexical-injection]\n---\n"
        f"LoRA adapter for `{base}`, trained by Targeted Lexical Injection.\n\n{note}\n",
        encoding="utf-8",
    )


def load(opened: Opened, folder: Path, seed: int = 0):
    """Open a saved adapter on `opened`; returns PEFT's LoraModel, to be taken off with `detach`.

    Raises ModelError when a tensor of the file has no place in the model, or a place gets no tensor.
    """
    from safetensors.torch import load_file

    config = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
    file = Path(folder) / "adapter_model.safetensors"
    tensors = load_file(str(file))
    tuner = attach(
        opened, rank=config["r"], alpha=config["lora_alpha"], dropout=config["lora_dropout"],
        target_modules=config["target_modules"], blocks=len(config["layers_to_transform"]), seed=seed,
    )  # fmt: skip
    places = {_saved_name(opened, name): p for name, p in parameters(opened).items()}
    odd = sorted(set(places) ^ set(tensors)) or [name for name, place in places.items() if place.shape != tensors[name].shape]
    if odd:
        detach(tuner)
        raise ModelError(f"{file}: does not fit the model ({len(odd)} tensors without counterpart of their shape, {odd[0]} first)")
    for name, place in places.items():
        place.data.copy_(tensors[name].to(place.dtype))
    opened.base.eval()
    return tuner


@contextmanager
def replaced_weights(opened: Opened, file: Path) -> Iterator[None]:
    """Within the block the model has the fully trained weights of `file`; afterwards its own again. Raises ModelError."""
    from safetensors import safe_open

    own = {opened.prefix + name: p for name, p in opened.base.named_parameters()}
    kept = {}
    try:
        with safe_open(str(file), "pt") as stored:
            for name in stored.keys():  # noqa: SIM118 (a safetensors file cannot be iterated)
                if name not in own or tuple(stored.get_slice(name).get_shape()) != tuple(own[name].shape):
                    raise ModelError(f"{file}: the tensor {name} does not fit the model")
                kept[name] = own[name].data
                own[name].data = stored.get_tensor(name).to(own[name].device, own[name].dtype)
        yield
    finally:
        for name, data in kept.items():
            own[name].data = data


def _saved_name(opened: Opened, name: str) -> str:
    return f"base_model.model.{opened.prefix}{name.replace(f'.{NAME}.', '.')}"


def _is_transposed(opened: Opened) -> bool:
    """GPT-2 stores the weights of its projections transposed."""
    return any(type(module).__name__ == "Conv1D" for module in opened.blocks[0].modules())
