"""The weights of a streamed model: where they lie on disk, and one block of them in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tli.errors import ModelError
from tli.model import files
from tli.model.checkpoint import assert_plain_numbers, count_of_blocks, frame, stored_form, text_part, whole_class
from tli.model.conversion import Origin, origins, tied_partner
from tli.model.device import free_memory, resolve_device
from tli.model.nf4 import assert_covered, coverage, rounded
from tli.model.opened import Opened, find_blocks
from tli.model.packing import Rows
from tli.specs import ModelSpec

if TYPE_CHECKING:
    import torch

AHEAD = 2**22  # bytes read at a time; asking Linux for a block ahead (posix_fadvise) was tried, and it read a part of it


@dataclass
class Source:
    """Where a streamed model's tensors come from."""

    folder: Path
    origins: dict[str, Origin]  # parameter below `base` -> what it is made of
    stored: dict[str, files.Stored]  # where each tensor of the checkpoint lies
    nf4: frozenset[str] = frozenset()  # modules below `base` whose weight is rounded to NF4, as bitsandbytes would
    spare: dict = field(default_factory=dict)  # memory of the block before, used again
    head: dict[str, Origin] = field(default_factory=dict)  # parameter of the whole model above `base` (tli.model.streamed_head)
    outputs: int | None = None  # how many values a block of this architecture returns as a tuple; 0: the states alone


def must_stream(spec: ModelSpec, config: Any, folder: Path | None, nf4: bool) -> bool:
    """Whether the model is to be streamed: by `stream` (always, never), or where free memory is below 1.2 x its weights."""
    import torch

    if spec.stream != "auto" or folder is None:
        return spec.stream == "always"
    if not any(folder.glob("*.safetensors")):
        return False
    device = resolve_device(spec.device)
    if device.type == "cuda" and spec.across_gpus:
        return False
    itemsize = getattr(torch, spec.dtype).itemsize
    free = torch.cuda.mem_get_info()[0] if device.type == "cuda" else free_memory()
    values = sum(files.product(tensor.shape) for tensor in files.read_tensors(folder).values())
    if nf4 and 1.2 * values * itemsize > free:  # only then does it matter how much of it is in 4 bits
        from transformers import AutoModel

        base = text_part(frame(AutoModel, spec, config, tables=False), config)
        return 1.2 * coverage(base, find_blocks(base, count_of_blocks(config))).bytes(itemsize) > free
    return 1.2 * values * itemsize > free


def open_streamed(spec: ModelSpec, config: Any, folder: Path, quantized: bool) -> tuple[Any, Source]:
    """The model's frame, without its weights: (base, Source). Every tensor is looked up now. Raises ModelError."""
    from transformers import AutoModel

    form = stored_form(config)
    if form:
        raise ModelError(
            f"{spec.source}: its weights are stored in {form}, which cannot be streamed block by block. Set stream: never where memory "
            "holds it, or take the checkpoint in 16 bits (with quantization: nf4 it is rounded as it streams)"
        )
    stored = files.read_tensors(folder)
    assert_plain_numbers(spec.source, config, stored)
    base = frame(AutoModel, spec, config)
    ignored = [re.compile(pattern) for pattern in base._keys_to_ignore_on_load_missing or ()]
    wanted = {name: list(tensor.shape) for name, tensor in base.state_dict().items()}
    there = origins(base, stored)
    embedding = next((name for name, p in base.named_parameters() if p is base.get_input_embeddings().weight), "")
    if embedding not in there and (partner := tied_partner_of(spec, config, stored)):
        there[embedding] = Origin((partner,)), list(stored[partner].shape)
    absent = [name for name in wanted if name not in there and not any(pattern.search(name) for pattern in ignored)]
    lacking = absent + [name for name, (_, shape) in there.items() if shape != wanted[name]]
    if lacking:
        raise ModelError(
            f"{folder}: {len(lacking)} tensors are missing or of another shape, {lacking[0]} first, so the model cannot be "
            "streamed; copy the checkpoint again, or set stream: never"
        )
    source = Source(folder, {name: origin for name, (origin, _) in there.items()}, stored)
    if quantized and spec.quantization == "nf4":
        covered = coverage(base, find_blocks(base, count_of_blocks(config)))
        assert_covered(covered, spec.source)
        source.nf4 = covered.inside
    base.eval().requires_grad_(False)
    _place_buffers(base, source, resolve_device(spec.device))
    return base, source


def _place_buffers(base: Any, source: Source, device: torch.device) -> None:
    """Buffers stay in memory: those that are part of the checkpoint from there, tables that are computed as they are."""
    with reader(source) as read:
        for path, module in base.named_modules():
            for name, buffer in module._buffers.items():
                full = f"{path}.{name}".lstrip(".")
                if buffer is not None:
                    value = read(full).to(buffer.dtype) if full in source.origins else buffer
                    module._buffers[name] = value.to(device)


def tied_partner_of(spec: ModelSpec, config: Any, stored: dict[str, files.Stored]) -> str | None:
    """The tensor of the head that stands for the word embeddings too, where the model shares them; see `tied_partner`."""
    auto = whole_class(config)
    return tied_partner(frame(auto, spec, config, tables=False), stored) if type(config) in auto._model_mapping else None


@contextmanager
def loaded(opened: Opened, index: int) -> Iterator[None]:
    """Within the block, the weights of block `index` are in memory."""
    import torch

    source, module = opened.stream, opened.blocks[index]
    stem = _stem(opened, index)
    in_4_bits = {name + ".weight": m for name, m in module.named_modules() if stem + name in source.nf4}
    memory, spare = {}, source.spare
    with reader(source) as read:
        for name, parameter in module.named_parameters():
            place = spare.get((name, parameter.shape, parameter.dtype))
            if place is None:
                place = torch.empty(parameter.shape, dtype=parameter.dtype, device=opened.device)
            tensor = read(stem + name)
            # Moved before it is rounded: the card rounds an 8B's block in no time, and as it does where the model is opened.
            place.copy_(rounded(tensor.to(place.device, place.dtype), in_4_bits[name]) if name in in_4_bits else tensor)
            memory[(name, parameter.shape, parameter.dtype)] = place
    source.spare = memory
    with filled(module, {name: place for (name, _, _), place in memory.items()}):
        yield


def _stem(opened: Opened, index: int) -> str:
    """What the names of block `index` below `base` begin with."""
    return next(name for name, module in opened.base.named_modules() if module is opened.blocks[index]) + "."


def read_ahead(opened: Opened, index: int) -> None:
    """Bring a block from the disk into the system's cache while the one before it computes. It takes a few MiB of this process."""
    source, stem = opened.stream, _stem(opened, index)
    scratch = memoryview(bytearray(AHEAD))
    for name, _ in opened.blocks[index].named_parameters():
        for tensor in source.origins[stem + name].tensors:
            _read_through(source, source.stored[tensor], scratch)


def _read_through(source: Source, place: files.Stored, scratch: memoryview) -> None:
    with suppress(OSError), (source.folder / place.file).open("rb", buffering=0) as stream:  # whoever needs the block says what is wrong
        stream.seek(place.start)
        left = place.end - place.start
        while left > 0:
            left -= stream.readinto(scratch[: min(left, AHEAD)]) or left


@contextmanager
def filled(module: Any, tensors: dict) -> Iterator[None]:
    """Within the block, these tensors are in the places of a module's parameters of these names."""
    before = _fill(module, tensors)
    try:
        yield
    finally:
        _fill(module, before)


def _fill(module: Any, tensors: dict) -> dict:
    """Put these tensors in the places of a module's parameters; returns what was there."""
    import torch

    before = {}
    for name, tensor in tensors.items():
        owner = module.get_submodule(name.rpartition(".")[0])
        last = name.rpartition(".")[2]
        before[name] = owner._parameters[last]
        owner._parameters[last] = tensor if isinstance(tensor, torch.nn.Parameter) else torch.nn.Parameter(tensor, requires_grad=False)
    return before


@contextmanager
def reader(source: Source) -> Iterator[Callable]:
    """Within the block, read(parameter) gives a tensor, read(parameter, rows) some of its rows. Files are closed at its end, so that
    what was mapped counts no more.
    """
    from safetensors import safe_open

    with ExitStack() as stack:
        handles: dict[str, Any] = {}
        converted: dict[str, Any] = {}  # what the last converter gave, often several parameters

        def opened(tensor: str) -> Any:
            file = source.stored[tensor].file
            if file not in handles:
                handles[file] = stack.enter_context(safe_open(str(source.folder / file), "pt"))
            return handles[file]

        def read(name: str, rows: Any = None) -> torch.Tensor:
            import torch

            origin = source.origins[name]
            if origin.converter is not None:
                if name not in converted:
                    converted.clear()
                    converted.update(origin.values(lambda tensor: opened(tensor).get_tensor(tensor)))
                return converted[name] if rows is None else converted[name][torch.as_tensor(rows)]
            (tensor,) = origin.tensors
            if rows is None:
                return opened(tensor).get_tensor(tensor)
            part = opened(tensor).get_slice(tensor)
            return torch.cat([part[int(row) : int(row) + 1] for row in rows])

        yield read


@contextmanager
def outside(opened: Opened, passes: list[Rows]) -> Iterator[None]:
    """Within the block, all that lies outside the blocks is in memory; of the word embeddings, the rows that occur."""
    import numpy as np
    import torch

    embedding = opened.base.get_input_embeddings()
    inside = {id(p) for p in opened.blocks.parameters()}
    used = np.unique(np.concatenate([rows.ids.ravel() for rows in passes]))
    ids = torch.from_numpy(used).to(opened.device)
    tensors = {}
    with reader(opened.stream) as read:
        for name, parameter in opened.base.named_parameters():
            if id(parameter) not in inside:
                tensor = read(name, used if parameter is embedding.weight else None)
                tensors[name] = tensor.to(opened.device, parameter.dtype, copy=True)
    padding, embedding.padding_idx = embedding.padding_idx, None
    handle = embedding.register_forward_pre_hook(lambda module, args: (torch.searchsorted(ids, args[0]), *args[1:]))
    try:
        with filled(opened.base, tensors):
            yield
    finally:
        handle.remove()
        embedding.padding_idx = padding
