"""The weights of a streamed model: where they lie on disk, and one block of them in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tli.errors import ModelError
from tli.model import files
from tli.model.checkpoint import assert_plain_numbers, frame, stored_form
from tli.model.device import free_memory, resolve_device
from tli.model.nf4 import assert_covered, coverage, rounded
from tli.model.opened import Opened, find_blocks
from tli.model.packing import Rows
from tli.specs import ModelSpec

AHEAD = 2**22  # bytes read at a time; asking Linux for a block ahead (posix_fadvise) was tried, and it read a part of it


@dataclass
class Source:
    """Where a streamed model's tensors come from."""

    folder: Path
    names: dict[str, str]  # parameter below `base` -> tensor of the checkpoint
    stored: dict[str, files.Stored]  # where each of those tensors lies
    nf4: frozenset[str] = frozenset()  # modules below `base` whose weight is rounded to NF4, as bitsandbytes would
    spare: dict = field(default_factory=dict)  # memory of the block before, used again
    returns_tuple: bool | None = None  # what the blocks of this architecture return


def must_stream(spec: ModelSpec, config, folder: Path | None, nf4: bool) -> bool:
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

        base = frame(AutoModel, spec, config)
        return 1.2 * coverage(base, find_blocks(base, config.get_text_config().num_hidden_layers)).bytes(itemsize) > free
    return 1.2 * values * itemsize > free


def open_streamed(spec: ModelSpec, config, folder: Path, quantized: bool):
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
    wanted = {name: list(p.shape) for name, p in [*base.named_parameters(), *base.state_dict().items()]}  # buffers of the checkpoint too
    prefix = _prefix(wanted, stored)
    absent = {name for name in wanted if prefix + name not in stored and any(pattern.search(name) for pattern in ignored)}
    names = {name: prefix + name for name in wanted if name not in absent}
    lacking = [name for name, full in names.items() if full not in stored or stored[full].shape != wanted[name]]
    if lacking:
        raise ModelError(
            f"{folder}: {len(lacking)} tensors are missing or of another shape, {lacking[0]} first, so the model cannot be "
            "streamed; copy the checkpoint again, or set stream: never"
        )
    source = Source(folder, names, {name: stored[name] for name in names.values()})
    if quantized and spec.quantization == "nf4":
        covered = coverage(base, find_blocks(base, config.get_text_config().num_hidden_layers))
        assert_covered(covered, spec.source)
        source.nf4 = covered.inside
    base.eval().requires_grad_(False)
    _place_buffers(base, source, resolve_device(spec.device))
    return base, source


def _place_buffers(base, source: Source, device) -> None:
    """Buffers stay in memory: those that are part of the checkpoint from there, tables that are computed as they are."""
    with _reader(source) as read:
        for path, module in base.named_modules():
            for name, buffer in module._buffers.items():
                full = f"{path}.{name}".lstrip(".")
                if buffer is not None:
                    value = read(full).to(buffer.dtype) if full in source.names else buffer
                    module._buffers[name] = value.to(device)


def _prefix(wanted: dict, stored: dict) -> str:
    """What the checkpoint puts before the names of the model without its head."""
    probe = next(name for name in wanted if ".0." in name)
    prefixes = [name[: -len(probe)] for name in stored if name == probe or name.endswith("." + probe)]
    return min(prefixes, key=len, default="")


@contextmanager
def loaded(opened: Opened, index: int) -> Iterator[None]:
    """Within the block, the weights of block `index` are in memory."""
    import torch

    source, module = opened.stream, opened.blocks[index]
    stem = _stem(opened, index)
    in_4_bits = {name + ".weight": m for name, m in module.named_modules() if stem + name in source.nf4}
    memory, spare = {}, source.spare
    with _reader(source) as read:
        for name, parameter in module.named_parameters():
            place = spare.get((name, parameter.shape, parameter.dtype))
            if place is None:
                place = torch.empty(parameter.shape, dtype=parameter.dtype, device=opened.device)
            tensor = read(stem + name)
            place.copy_(rounded(tensor.to(place.dtype), in_4_bits[name]) if name in in_4_bits else tensor)
            memory[(name, parameter.shape, parameter.dtype)] = place
    source.spare = memory
    frame = _fill(module, {name: place for (name, _, _), place in memory.items()})
    try:
        yield
    finally:
        _fill(module, frame)


def _stem(opened: Opened, index: int) -> str:
    """What the names of block `index` below `base` begin with."""
    return next(name for name, module in opened.base.named_modules() if module is opened.blocks[index]) + "."


def read_ahead(opened: Opened, index: int) -> None:
    """Bring a block from the disk into the system's cache while the one before it computes. It takes a few MiB of this process."""
    source, stem = opened.stream, _stem(opened, index)
    scratch = memoryview(bytearray(AHEAD))
    for name, _ in opened.blocks[index].named_parameters():
        place = source.stored[source.names[stem + name]]
        with (
            (source.folder / place.file).open("rb", buffering=0) as stream,
            suppress(OSError),
        ):  # whoever needs the block says what is wrong
            stream.seek(place.start)
            left = place.end - place.start
            while left > 0:
                left -= stream.readinto(scratch[: min(left, AHEAD)]) or left


def _fill(module, tensors: dict) -> dict:
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
def _reader(source: Source) -> Iterator[Callable]:
    """Within the block, read(parameter) gives a tensor, read(parameter, rows) some of its rows. Files are closed at its end, so that
    what was mapped counts no more."""
    from safetensors import safe_open

    with ExitStack() as stack:
        handles: dict[str, Any] = {}

        def read(name: str, rows=None):
            import torch

            tensor = source.names[name]
            file = source.stored[tensor].file
            if file not in handles:
                handles[file] = stack.enter_context(safe_open(str(source.folder / file), "pt"))
            if rows is None:
                return handles[file].get_tensor(tensor)
            part = handles[file].get_slice(tensor)
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
    with _reader(opened.stream) as read:
        for name, parameter in opened.base.named_parameters():
            if id(parameter) not in inside:
                tensor = read(name, used if parameter is embedding.weight else None)
                tensors[name] = tensor.to(opened.device, parameter.dtype, copy=True)
    padding, embedding.padding_idx = embedding.padding_idx, None
    handle = embedding.register_forward_pre_hook(lambda module, args: (torch.searchsorted(ids, args[0]), *args[1:]))
    frame = _fill(opened.base, tensors)
    try:
        yield
    finally:
        _fill(opened.base, frame)
        handle.remove()
        embedding.padding_idx = padding
