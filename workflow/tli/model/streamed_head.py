"""The head of a streamed model: a frame around the part that is streamed, with weights only while predictions are read off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tli.errors import ModelError
from tli.model.checkpoint import frame, load_config, whole_class
from tli.model.conversion import Origin, origins
from tli.model.opened import Opened
from tli.model.weights import filled, reader
from tli.specs import ModelSpec


def framed(spec: ModelSpec, opened: Opened) -> Any:
    """The whole causal model around the streamed `opened`, without memory for its head. Raises ModelError where the checkpoint
    lacks a tensor of the head.
    """
    config, source = load_config(spec), opened.stream
    whole = frame(whole_class(config), spec, config, tables=False).eval().requires_grad_(False)
    there, tied, name = origins(whole, source.stored), getattr(whole, "all_tied_weights_keys", None) or {}, path_below_head(whole)
    head: dict[str, Origin] = {}
    for full, parameter in whole.named_parameters(remove_duplicate=False):
        if full.startswith(name + "."):
            continue
        shared = tied.get(full, "").removeprefix(name + ".")
        if shared in source.origins:  # a head that shares the word embeddings
            head[full] = source.origins[shared]
        elif full in there and there[full][1] == list(parameter.shape):
            head[full] = there[full][0]
        else:
            raise ModelError(
                f"{source.folder}: the tensor {full} of the head is missing or of another shape, so no probability can be had; copy the "
                "checkpoint again, or take one with its head"
            )
    parent, _, last = name.rpartition(".")
    setattr(whole.get_submodule(parent), last, opened.base)
    source.head = head
    return whole


def path_below_head(whole: Any) -> str:
    """Where in a whole causal model the part below its head is: what AutoModel would open."""
    from transformers import AutoModel

    kind = AutoModel._model_mapping.get(type(whole.config), type(whole.base_model))
    return next(name for name, module in whole.named_modules() if type(module) is kind)


@contextmanager
def loaded_head(whole: Any, opened: Opened) -> Iterator[None]:
    """Within the block, the weights of the head of a streamed model are in memory."""
    source = opened.stream
    parameters = dict(whole.named_parameters(remove_duplicate=False))
    with reader(replace(source, origins=source.head)) as read:
        tensors = {name: read(name).to(opened.device, parameters[name].dtype, copy=True) for name in source.head}
    with filled(whole, tensors):
        yield
