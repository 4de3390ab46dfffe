"""All of a model's weights, fully trained: written, and put in the place of the model's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tli.errors import ModelError
from tli.model.opened import Opened


def save_weights(opened: Opened, folder: Path, dtype: str, names: Collection[str]) -> None:
    """Write the parameters of these names below the head into `folder`/model.safetensors, in `dtype`: the type in which the baseline is
    measured too.
    """
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    kept = {name: p for name, p in opened.base.named_parameters() if name in names}
    tensors = {opened.prefix + name: p.detach().to("cpu", getattr(torch, dtype)).contiguous() for name, p in kept.items()}
    save_file(tensors, str(folder / "model.safetensors"))


@contextmanager
def replaced_weights(opened: Opened, file: Path) -> Iterator[None]:
    """Within the block the model has the fully trained weights of `file`; afterwards its own again. Raises ModelError."""
    from safetensors import safe_open

    parameters = {opened.prefix + name: p for name, p in opened.base.named_parameters()}
    before = {}
    try:
        with safe_open(str(file), "pt") as stored:
            for name in stored.keys():  # noqa: SIM118 (a safetensors file cannot be iterated)
                if name not in parameters or tuple(stored.get_slice(name).get_shape()) != tuple(parameters[name].shape):
                    raise ModelError(f"{file}: the tensor {name} does not fit the model")
                before[name] = parameters[name].data
                parameters[name].data = stored.get_tensor(name).to(parameters[name].device, parameters[name].dtype)
        yield
    finally:
        for name, data in before.items():
            parameters[name].data = data
