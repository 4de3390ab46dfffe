"""Joint training: the lists that an arm is trained on together, and what does not go with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tli.config.keys.top_level import Config
from tli.config.keys.training import Arm
from tli.config.places import Key, Problem, refusal
from tli.errors import ConfigError

KEYS = ("train_on", "mix", "negatives")


def joint_keys(config: Config, chain: Sequence[Arm], names: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """`train_on` in the order of the config's pairs, `mix` and `negatives`; the last two have their defaults on a single list.

    chain: the arm, then what it is like; names: theirs. Raises ConfigError where a joint training contradicts what else is said.
    """
    name, (own, *_) = names[0], chain
    asked = values["train_on"] or ()
    lists = tuple(pair for pair in config.pairs if pair in asked)
    if values["shuffle_translations"] and (own_keys := [key for key in KEYS if key in own.model_fields_set]):
        text = f"a placebo learns from the lists that its arm learns from, mixed as there; take {own_keys[0]} out"
        raise _refused(config, ("arms", name, own_keys[0]), text)
    if len(lists) < 2:
        for key in ("mix", "negatives"):
            if key in own.model_fields_set:
                text = "says how several lists are trained on together, and this arm names no two; name them under train_on, or take it out"
                raise _refused(config, ("arms", name, key), text)
        return {"train_on": lists, **{key: Arm.model_fields[key].default for key in ("mix", "negatives")}}
    place = next((place for place, arm in zip(names, chain, strict=True) if "train_on" in arm.model_fields_set), name)
    if values["select"] is not None:
        raise _refused(config, ("arms", place, "train_on"), "`select` chooses among the pairs of one list; take one of the two out")
    for pair in lists:
        split = config.pairs[pair].split or config.split
        if not split.union and split.leaks == "error":
            text = (
                f"{pair} is split by itself (split.union: false), so what one list trains another may hold out; take union: false out, or "
                "set leaks: report beside it: such words are then counted as leaked and are nobody's rivals"
            )
            raise _refused(config, ("arms", place, "train_on"), text)
    return {"train_on": lists, "mix": values["mix"], "negatives": values["negatives"]}


def _refused(config: Config, key: Key, text: str) -> ConfigError:
    return refusal(config.files, [Problem(key, text)])
