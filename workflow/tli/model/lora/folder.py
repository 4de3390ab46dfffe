"""Adapters on disk: the folder that PEFT writes and opens, read and written without PEFT."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tli.errors import ModelError
from tli.model.lora.adapter import A, Adapter, B, LoraShape, target_names
from tli.model.opened import Opened, is_transposed, sides
from tli.specs import ALL_LINEAR


@dataclass(frozen=True)
class Card:
    """What the folder says of where the adapter comes from."""

    source: str  # written as the base model only where it is a hub id; a local path is nobody else's business
    revision: str | None = None
    note: str = ""


def save(opened: Opened, folder: Path, tensors: dict, shape: LoraShape, card: Card) -> None:
    """Write an adapter as a PEFT folder that `PeftModel.from_pretrained` opens on the whole model."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    local = Path(card.source).exists()
    names = target_names(opened, shape.target_modules, shape.blocks)
    targets = shape.target_modules
    if targets == (ALL_LINEAR,):  # by their names: PEFT would adapt a head too
        targets = tuple({name.rsplit(".", 1)[-1] for name in names})
    bare = not opened.prefix and names[0].split(".")[1].isdigit()  # PEFT finds a block's number only behind two names
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if opened.prefix else None,
        "base_model_name_or_path": None if local else card.source,
        "revision": None if local else card.revision,
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "lora_dropout": shape.dropout,
        "target_modules": names if bare else sorted(targets),
        "layers_to_transform": None if bare else list(range(shape.blocks)),
        "bias": "none",
        "fan_in_fan_out": any(is_transposed(module) for module in opened.blocks[0].modules()),
        "init_lora_weights": True,
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    saved = {_saved_name(opened, name): tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(saved, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
    base = Path(card.source).name if local else card.source
    header = "library_name: peft\n" + ("" if local else f"base_model: {card.source}\n") + "tags: [lora, targeted-lexical-injection]\n"
    text = f"---\n{header}---\nLoRA adapter for `{base}`, trained by Targeted Lexical Injection.\n\n{card.note}\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def read(opened: Opened, folder: Path) -> Adapter:
    """A saved PEFT folder as an Adapter for `opened`, each tensor beside the weight that it adapts.

    Raises ModelError when a tensor of the file has no place in the model, or a place gets no tensor.
    """
    from safetensors.torch import load_file

    config = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
    file = Path(folder) / "adapter_model.safetensors"
    stored = load_file(str(file))
    rank, shapes, cards = config["r"], dict[str, tuple](), dict[str, Any]()
    blocks = config["layers_to_transform"]
    for name in config["target_modules"] if blocks is None else target_names(opened, tuple(config["target_modules"]), len(blocks)):
        module = opened.base.get_submodule(name)
        inner, outer = sides(module)
        shapes |= {name + A: (rank, inner), name + B: (outer, rank)}
        cards |= dict.fromkeys((name + A, name + B), opened.beside(module))
    places = {_saved_name(opened, name): name for name in shapes}
    odd = sorted(n for n in {*places, *stored} if n not in stored or n not in places or tuple(stored[n].shape) != shapes[places[n]])
    if odd:
        raise ModelError(f"{file}: does not fit the model ({len(odd)} tensors without counterpart of their shape, {odd[0]} first)")
    return Adapter({name: stored[saved].to(cards[name]) for saved, name in places.items()}, config["lora_alpha"] / rank)


def _saved_name(opened: Opened, name: str) -> str:
    return f"base_model.model.{opened.prefix}{name}"
