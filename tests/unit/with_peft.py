"""PEFT itself on an opened model: the second implementation that ours is held against."""

from __future__ import annotations

from pathlib import Path

from tli.model.lora import LoraShape, target_names
from tli.model.opened import Opened, is_transposed


def attach(opened: Opened, shape: LoraShape, seed: int):
    """Fresh PEFT adapters in place, float32; taken off again by the `unload` of what is returned."""
    import torch
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    torch.manual_seed(seed)
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=target_names(opened, shape.target_modules, shape.blocks),
        bias="none",
        fan_in_fan_out=any(is_transposed(m) for m in opened.blocks[0].modules()),
    )
    tuner = LoraModel(opened.base, config, "default")
    for parameter in parameters(opened).values():
        parameter.data = parameter.data.float()
    opened.base.eval()
    return tuner


def parameters(opened: Opened) -> dict:
    """The adapters' parameters by our names."""
    return {name.replace(".default.", "."): p for name, p in opened.base.named_parameters() if ".lora_" in name}


def load(opened: Opened, folder: Path, shape: LoraShape):
    """A saved folder as PEFT adapters on `opened`."""
    from safetensors.torch import load_file

    tuner = attach(opened, shape, 0)
    stored = load_file(Path(folder) / "adapter_model.safetensors")
    for name, parameter in parameters(opened).items():
        parameter.data.copy_(stored[f"base_model.model.{opened.prefix}{name}"])
    return tuner


def random_adapter(opened: Opened, shape: LoraShape, seed: int = 7, strength: float = 0.3) -> dict:
    """Tensors of an adapter that does something: B is random too."""
    import torch

    from tli.model.lora import initial

    random = torch.Generator().manual_seed(3 + seed)
    return {
        name: strength * torch.randn(value.shape, generator=random).to(value.device) if ".lora_B." in name else value
        for name, value in initial(opened, shape, seed).items()
    }
