"""How the tensors of a checkpoint become the parameters of a model: by Transformers' own rules, one parameter at a time.

Checkpoints name their tensors as their authors did, and some store them in other pieces than the model holds (each expert by
itself). Transformers renames and joins while it loads; a streamed model is read by the same rules, so no name is guessed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tli.model.files import Stored


@dataclass(frozen=True)
class Origin:
    """What one parameter is made of."""

    tensors: tuple[str, ...]  # of the checkpoint
    patterns: tuple[str, ...] = ()  # of the converter, one a tensor
    converter: Any = None  # Transformers' WeightConverter; None: the one tensor as it is
    target: str = ""  # what the converter is called for; it may give several parameters

    def values(self, get: Callable[[str], Any]) -> dict[str, Any] | Any:
        """The tensor, or with a converter all parameters that it gives by name. get: a tensor of the checkpoint by its name."""
        if self.converter is None:
            return get(self.tensors[0])
        converter = copy.deepcopy(self.converter)
        for name, pattern in zip(self.tensors, self.patterns, strict=True):
            converter.add_tensor(self.target, name, pattern, get(name))
        return {name: v[0] if isinstance(v, list) else v for name, v in converter.convert(self.target).items()}


def origins(model: Any, stored: Mapping[str, Stored]) -> dict[str, tuple[Origin, list[int]]]:
    """Of every parameter and checkpointed buffer of `model` (on the meta device) that the checkpoint gives: what it is made of, and
    the shape that comes out.
    """
    import torch
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    of_pattern = {pattern: rule for rule in converters for pattern in rule.source_patterns}
    wanted, prefix = model.state_dict(), model.base_model_prefix or None
    direct: dict[str, str] = {}
    joined: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(stored, key=dot_natural_key):
        target, pattern = rename_source_key(name, renamings, converters, prefix, wanted)
        if target not in wanted and name in wanted:
            target, pattern = name, None
        if target not in wanted:  # of the head, or of a part that is not opened
            continue
        if pattern is None:
            direct.setdefault(target, name)
        else:
            joined.setdefault(target, []).append((name, pattern))
    result = {target: (Origin((name,)), list(stored[name].shape)) for target, name in direct.items()}
    for target, pieces in joined.items():
        names, patterns = zip(*pieces, strict=True)
        origin = Origin(names, patterns, of_pattern[patterns[0]], target)
        given = origin.values(lambda name: torch.empty(stored[name].shape, device="meta"))
        result |= {name: (origin, list(value.shape)) for name, value in given.items() if name in wanted}
    return result


def tied_partner(whole: Any, stored: Iterable[str]) -> str | None:
    """The tensor that holds the word embeddings of a model whose head shares them, where only the head's is in the checkpoint.

    whole: the model with its head, on the meta device.
    """
    head = whole.get_output_embeddings()
    name = next((name for name, module in whole.named_modules() if module is head), None)
    tied = getattr(whole, "all_tied_weights_keys", None) or {}
    full = f"{name}.weight"
    return full if head is not None and full in set(stored) and full in {*tied, *tied.values()} else None
