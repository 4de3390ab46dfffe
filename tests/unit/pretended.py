"""A pretended accelerator: tensors that say they lie on a card, compute on the processor, and hold us to what a card would.

`Pretended` is a wrapper subclass of torch.Tensor whose device type is "lazy", the one type beside "cpu" that a CPU build of torch
lets pass through autograd. A dispatch mode sees every operation: it refuses what mixes devices, as CUDA does, and notes by place
each one for which the processor would have to wait for the card. `.numpy()` of such a tensor raises in torch itself.

What it is not: no kernel of CUDA runs, and no memory of a card is full.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.utils._python_dispatch import TorchDispatchMode

TYPE = "lazy"
PACKAGE = str(Path(__file__).resolve().parents[2] / "workflow" / "tli")
aten = torch.ops.aten
AnyGenerator = torch.Generator
GENERATORS: dict[int, torch.device] = {}  # where each draws, by its address

# What makes the processor wait: it needs a value, or a shape that depends on values.
WAITS = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.repeat_interleave.Tensor,
    aten.bincount.default,
}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor}
COPIES = {aten.copy_.default, aten._to_copy.default}


def card(number: int = 0) -> torch.device:
    return torch.device(TYPE, number)


class Pretended(torch.Tensor):
    """A tensor on a pretended card; `held` are its values on the processor."""

    @staticmethod
    def __new__(cls, real: torch.Tensor, device: torch.device, requires_grad: bool = False):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            real.shape,
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            layout=real.layout,
            device=device,
            requires_grad=requires_grad,
        )
        made.held = real
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} reached a pretended tensor outside `pretended`")

    def __getitem__(self, index):
        if isinstance(index, tuple):  # torch makes tensors of lists below the dispatch
            index = tuple(torch.tensor(one) if isinstance(one, list) else one for one in index)
        return super().__getitem__(index)

    def __repr__(self):
        return f"Pretended({self.held!r}, {self.device})"

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, other):
        if not isinstance(other, Pretended) or other.device != self.device:
            raise RuntimeError(f"the data of a tensor on {self.device} were set to one on {other.device}")
        torch.Tensor.data.__set__(self, other)
        self.held = other.held


class Generator(torch.Generator):
    """A generator that says on which card it draws."""

    def __new__(cls, device="cpu"):
        device = _indexed(device)
        made = super().__new__(cls, torch.device("cpu") if device.type == TYPE else device)
        GENERATORS[made._cdata] = device
        return made


class Autocast(torch.autocast):
    """Nothing on a pretended card."""

    def __new__(cls, device_type, *args, **kwargs):
        return nullcontext() if device_type == TYPE else super().__new__(cls)


def _indexed(device) -> torch.device:
    device = torch.device(device)
    return card(0) if device.type == TYPE and device.index is None else device


class Accelerator(TorchDispatchMode):
    """The dispatch: what was waited for, by place in our package, and what was uploaded without waiting."""

    def __init__(self):
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.uploads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        flat = list(_leaves((args, tuple(kwargs.values()))))
        tensors = [x for x in flat if isinstance(x, torch.Tensor)]
        cards = {x.device for x in tensors if isinstance(x, Pretended)}
        asked = kwargs.get("device")
        target = _indexed(asked) if asked is not None else None
        if not cards and (target is None or target.type != TYPE):
            return func(*args, **kwargs)
        if func in COPIES:
            return self._copy(func, args, kwargs, target)
        self._refuse_mixes(func, flat, cards)
        if func in WAITS or (func in INDEXING and self._waits_for_indices(args[1])):
            self._wait(func)
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        result = func(*_mapped(_real, args), **{name: _mapped(_real, value) for name, value in kwargs.items()})
        return self._wrapped(func, args, kwargs, result, target if target is not None and target.type == TYPE else next(iter(cards)))

    def _copy(self, func, args, kwargs, target):
        waits = not kwargs.get("non_blocking", False)
        if func is aten.copy_.default:
            into, source = args[0], args[1]
            waits = not (kwargs.get("non_blocking", False) or (len(args) > 2 and args[2]))
            self._note_copy(func, source.device, into.device, waits)
            func(_real(into), _real(source))
            return into
        (source,) = args
        target = source.device if target is None else target
        self._note_copy(func, source.device, target, waits)
        kwargs = {**kwargs, "device": torch.device("cpu")}
        result = func(_real(source), **kwargs)
        return Pretended(result, target) if target.type == TYPE else result

    def _note_copy(self, func, source, target, waits: bool) -> None:
        if TYPE not in (source.type, target.type) or source == target:
            return
        if target.type == "cpu" or (source.type == "cpu" and waits):  # from card to card nobody waits
            self._wait(func)
        elif source.type == "cpu":
            self.uploads += 1

    def _refuse_mixes(self, func, flat, cards) -> None:
        where = set(cards)
        for x in flat:
            if isinstance(x, torch.Tensor) and not isinstance(x, Pretended) and x.dim() > 0 and func not in INDEXING:
                where.add(x.device)  # of no dimension they are numbers; torch takes indices from the processor too
            if isinstance(x, AnyGenerator):  # another Python object than was handed in
                where.add(GENERATORS.get(x._cdata, torch.device("cpu")))
        if len(where) > 1:
            raise RuntimeError(f"{func}: Expected all tensors to be on the same device, but found {', '.join(sorted(map(str, where)))}")

    @staticmethod
    def _waits_for_indices(indices) -> bool:
        given = [x for x in indices if x is not None]
        return any(x.dtype in (torch.bool, torch.uint8) or not isinstance(x, Pretended) for x in given)

    def _wait(self, func) -> None:
        frame = sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        place = "elsewhere" if frame is None else f"{frame.f_code.co_filename.removeprefix(PACKAGE + '/')}:{frame.f_code.co_name}"
        self.waits[place] += 1

    def _wrapped(self, func, args, kwargs, result, device):
        returns, schema = func._schema.returns, func._schema
        written = {}
        for argument, value in zip(schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                written[tuple(sorted(argument.alias_info.after_set))] = value
        for argument in schema.arguments:
            if argument.name in kwargs and argument.alias_info is not None and argument.alias_info.is_write:
                written[tuple(sorted(argument.alias_info.after_set))] = kwargs[argument.name]

        def wrap(value, info):
            alias = info.alias_info
            if alias is not None and alias.is_write:
                return written[tuple(sorted(alias.after_set))]
            return _mapped(lambda x: Pretended(x, device) if isinstance(x, torch.Tensor) and not isinstance(x, Pretended) else x, value)

        if len(returns) <= 1:
            return wrap(result, returns[0]) if returns else result
        return type(result)(wrap(value, info) for value, info in zip(result, returns, strict=True)) if isinstance(result, tuple) else result

    @contextmanager
    def counted(self):
        """Within the block: what is waited for there, alone."""
        before, uploads = self.waits.copy(), self.uploads
        found: Counter[str] = Counter()
        yield found
        found.update(self.waits - before)
        found.uploads = self.uploads - uploads


def _leaves(x):
    if isinstance(x, (list, tuple)):
        for one in x:
            yield from _leaves(one)
    else:
        yield x


def _mapped(change, x):
    """Of the lists and tuples that operations take; pytree is far slower."""
    return type(x)(_mapped(change, one) for one in x) if type(x) in (list, tuple) else change(x)


def _real(x):
    return x.held if isinstance(x, Pretended) else x


def moved(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """A module with its parameters and buffers on a pretended card; tied ones stay tied. In place."""
    done: dict[int, torch.Tensor] = {}
    for one in module.modules():
        for name, parameter in one._parameters.items():
            if parameter is not None and not isinstance(parameter, Pretended):
                if id(parameter) not in done:
                    done[id(parameter)] = torch.nn.Parameter(Pretended(parameter.detach(), device), requires_grad=parameter.requires_grad)
                one._parameters[name] = done[id(parameter)]
        for name, buffer in one._buffers.items():
            if buffer is not None and not isinstance(buffer, Pretended):
                one._buffers[name] = Pretended(buffer, device)
    return module


def spread(base, blocks, cards: int) -> None:
    """The blocks over so many cards and the rest on the first, with accelerate's own hooks, as its device map has it. In place."""
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    last = base.layers if hasattr(base, "layers") else blocks
    assert last is blocks
    for index, block in enumerate(blocks):
        there = card(index * cards // len(blocks))
        moved(block, there)
        for module in block.modules():
            add_hook_to_module(module, AlignDevicesHook(there, io_same_device=False))
    for name, module in base.named_children():
        if module is not blocks:
            end = card(cards - 1) if "norm" in name else card(0)
            moved(module, end)
            add_hook_to_module(module, AlignDevicesHook(end, io_same_device=False))
    add_hook_to_module(base, AlignDevicesHook(card(0), io_same_device=True))


@contextmanager
def pretended(monkeypatch, cards: int = 1):
    """Within the block models are opened on pretended cards. Yields the Accelerator."""
    from tli.model import device, opening, weights
    from tli.model.checkpoint import count_of_blocks, text_part
    from tli.model.opened import find_blocks

    load = opening._load

    def load_there(auto, spec, config, *args, **kwargs):
        model = load(auto, spec, config, *args, **kwargs)
        blocks = find_blocks(text_part(model, config), count_of_blocks(config))
        if cards > 1:
            owner = next(m for m in model.modules() if any(child is blocks for child in m.children()))
            spread(owner, blocks, cards)
            if owner is not model:
                from accelerate.hooks import AlignDevicesHook, add_hook_to_module

                for child in model.children():
                    if child is not owner:
                        moved(child, card(cards - 1))
                        add_hook_to_module(child, AlignDevicesHook(card(cards - 1), io_same_device=False))
                add_hook_to_module(model, AlignDevicesHook(card(0), io_same_device=True))
        return moved(model, card(0))

    tensor = torch.tensor

    def tensor_of(values, *, device=None, **options):  # torch's own fills it below the dispatch
        made = tensor(values, **options)
        return made if device is None else made.to(device)

    with monkeypatch.context() as patch:
        patch.setattr(opening, "_load", load_there)
        for module in (opening, weights, device):
            patch.setattr(module, "resolve_device", lambda name: card(0))
        patch.setattr(torch, "inference_mode", torch.no_grad)  # a wrapper subclass cannot be made within it
        patch.setattr(torch, "autocast", Autocast)
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "tensor", tensor_of)
        patch.setattr(torch, TYPE, SimpleNamespace(_initialized=False), raising=False)  # as torch.cuda, for gradient checkpointing
        with Accelerator() as accelerator:
            yield accelerator
