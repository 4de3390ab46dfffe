"""What a model's files tell without loading it: blocks, parameters, tensors. No torch, so the DAG may ask."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import NamedTuple

from tli.errors import ModelError


def read_config(folder: Path) -> dict:
    """config.json of a model folder; the text model's part where it has several."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (path.parent / "adapter_config.json").exists():
            raise ModelError(f"{path.parent}: is an adapter's folder, not a model's; give the model it was trained on as source") from None
        raise ModelError(f"{path}: is not there; a model folder holds config.json, *.safetensors and tokenizer.json") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path}: not readable as JSON ({error}); copy the file again") from None
    if not isinstance(config, dict):
        raise ModelError(f"{path}: holds no keys; copy the file again")
    return config | (config.get("text_config") or {})


def number_of_layers(config: dict, where: str = "config.json") -> int:
    """L, the number of blocks."""
    for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers"):
        if isinstance(config.get(key), int):
            return config[key]
    raise ModelError(f"{where}: has no num_hidden_layers; is this a language model?")


# Families whose blocks are all alike and whose tensors outside them have Llama's names; and whether the head shares the word
# embeddings where the config says nothing.
LLAMA_NAMES = {
    "cohere": True,
    "gemma": True,
    "gemma2": True,
    "gemma3_text": True,
    "glm": False,
    "glm4": False,
    "granite": False,
    "llama": False,
    "mistral": False,
    "olmo2": False,
    "phi3": False,
    "qwen2": False,
    "qwen3": False,
    "smollm3": True,
    "starcoder2": True,
}
UNIFORM = {*LLAMA_NAMES, "bert", "bloom", "gpt2", "gpt_neox", "olmo", "opt", "phi", "roberta", "stablelm", "xlm-roberta"}
BLOCK = re.compile(r"^(.*?\b(?:layers?|h|blocks?))\.(\d+)\.(.+)$")
NO_TEXT = re.compile(r"\b(vision|visual|audio|image)\w*\.")  # parts of a model for other things than text
LFS = b"version https://git-lfs"


class Stored(NamedTuple):
    """Where a tensor lies, as its file's header says."""

    shape: list[int]
    dtype: str
    file: str
    start: int  # of its bytes in the file
    end: int


def read_tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of the folder by name, from the headers of the safetensors files alone.

    Raises ModelError for a missing or cut-off file, and where the index names tensors that no file holds.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        other = sorted(p.name for p in folder.glob("*.bin"))
        hint = f"; {other[0]} is a pickle, which is not opened: convert it to safetensors" if other else ""
        raise ModelError(f"{folder}: holds no *.safetensors{hint}")
    tensors = {}
    for file in files:
        header, start = _read_header(file)
        end = max((v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"), default=0)
        if file.stat().st_size < start + end:
            raise ModelError(f"{file}: is cut off ({file.stat().st_size:,} of {start + end:,} bytes); copy the file again")
        for name, entry in header.items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                tensors[name] = Stored(entry["shape"], entry["dtype"], file.name, start + first, start + last)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        try:
            named = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{index}: not an index of tensors ({type(error).__name__}: {error}); copy the file again") from None
        lacking = sorted(name for name in named if name not in tensors)
        if lacking:
            raise ModelError(
                f"{index}: names {len(lacking)} tensors that no file holds, {lacking[0]} first; copy {named[lacking[0]]} again"
            )
    return tensors


def _read_header(file: Path) -> tuple[dict, int]:
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > 100_000_000:
                raise ValueError("header too long")
            header = json.loads(stream.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                entry["shape"], entry["dtype"], entry["data_offsets"][1]
        return header, 8 + length
    except (struct.error, ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        with file.open("rb") as stream:
            if stream.read(len(LFS)) == LFS:
                raise ModelError(
                    f"{file}: not a safetensors file but a pointer of Git LFS, which stands for it; run `git lfs pull` in its folder"
                ) from None
        raise ModelError(f"{file}: not a safetensors file ({type(error).__name__}: {error}); copy the file again") from None


def check_folder(folder: Path) -> dict:
    """Look for what would load as random numbers, without torch: returns layers, parameters, bytes, hidden size, tied.

    Only what is certain is refused here: in a family whose blocks are all alike (UNIFORM) a tensor that some blocks have and
    others lack is missing, and so are Llama's own outside the blocks in a family that has its names. What other families
    need is asked of Transformers by the check job, which builds the model. Raises ModelError.
    """
    config = read_config(folder)
    layers = number_of_layers(config, f"{folder}/config.json")
    tensors = read_tensors(folder)
    family = config.get("model_type")
    unmerged = sorted(name for name in tensors if ".lora_A." in name or ".lora_B." in name or ".base_layer." in name)
    if unmerged:
        raise ModelError(
            f"{folder}: holds LoRA tensors beside the weights ({len(unmerged)}, {unmerged[0]} first), which would be left out; merge the "
            "adapter into the model (PEFT: merge_and_unload) and save that, or give the base model as source"
        )
    blocks: dict[int, set] = {}
    for name in tensors:
        match = BLOCK.match(name)
        if match and not NO_TEXT.search(name):
            blocks.setdefault(int(match[2]), set()).add((match[1], match[3]))
    lacking = [f"block {k} has no tensor at all" for k in range(layers) if k not in blocks] if blocks else []
    # Other families have blocks of several kinds; what they lack is seen when the check job builds the model.
    for stem, suffix in sorted(set().union(*blocks.values()) if family in UNIFORM and blocks else set()):
        without = [k for k in sorted(blocks) if k < layers and (stem, suffix) not in blocks[k]]
        if 0 < len(without) <= layers // 2 and len(blocks) > 1:
            lacking.append(f"{stem}.{without[0]}.{suffix}")
    tied = bool(config.get("tie_word_embeddings", LLAMA_NAMES.get(str(family), False)))
    if family in LLAMA_NAMES and any(name.startswith("model.layers.") for name in tensors):
        headed = any("CausalLM" in a for a in config.get("architectures") or [])
        shared = {"model.embed_tokens.weight", "lm_head.weight"}
        needed = ["model.norm.weight", *(() if tied and shared & set(tensors) else ("model.embed_tokens.weight",))]
        needed += [] if tied or not headed else ["lm_head.weight"]
        lacking += [name for name in needed if name not in tensors]
    if lacking:
        raise ModelError(
            f"{folder}: {len(lacking)} tensors are missing, {lacking[0]} first; they would be filled with random numbers. "
            "Copy the model again, or ask its author for the complete checkpoint"
        )
    sizes = [product(tensor.shape) for tensor in tensors.values()]
    return {
        "layers": layers,
        "hidden_size": config.get("hidden_size") or config.get("n_embd"),
        "vocabulary": config.get("vocab_size"),
        "tied": tied,
        "parameters": sum(sizes),
        "block_parameters": sum(
            product(t.shape) for n, t in tensors.items() if (m := BLOCK.match(n)) and m[2] == "0" and not NO_TEXT.search(n)
        ),
        "bytes": sum((Path(folder) / f).stat().st_size for f in {tensor.file for tensor in tensors.values()}),
    }


def linear_modules(folder: Path) -> set[str]:
    """Full names of the modules with a matrix of weights in the blocks; none where no blocks are known by their names."""
    names = [name for name, tensor in read_tensors(folder).items() if len(tensor.shape) == 2 and name.endswith(".weight")]
    return {name.removesuffix(".weight") for name in names if BLOCK.match(name) and not NO_TEXT.search(name)}


def product(shape: list[int]) -> int:
    """How many values a tensor of this shape has."""
    result = 1
    for side in shape:
        result *= side
    return result


def identity(folder: Path) -> str:
    """A digest that changes when the model does: config, tokenizer, and of each weight file the header, the size and,
    above 64 MiB, sixteen spread samples instead of every byte.
    """
    folder = Path(folder)
    total = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.model"), *folder.glob("*.txt"), *folder.glob("*.safetensors")]):
        size = file.stat().st_size
        total.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size <= 64 << 20:
                total.update(stream.read())
                continue
            for part in range(17):
                stream.seek(min(part * (size // 16), max(size - (1 << 20), 0)))
                total.update(stream.read(1 << 20))
    return total.hexdigest()
