"""The arms of a config, each with all that it inherits."""

from __future__ import annotations

from tli.config.keys import Arm, Config, Training
from tli.errors import ConfigError


def expand_arms(config: Config) -> dict[str, dict]:
    """Every arm by its name, `like` resolved: all keys of Training, and method, loss_layer, rank, shuffle_translations,
    placebo_of, control.

    A key counts in this order: the arm's own, its parent's, the section `training`.
    Raises ConfigError for arms that are like each other in a circle, or for two arms of one name.
    """
    arms: dict[str, dict] = {}
    for name, arm in config.arms.items():
        parents = arm.like if isinstance(arm.like, list) else [arm.like]
        for parent in parents:
            full_name = f"{parent}-{name}" if isinstance(arm.like, list) else name
            if full_name in arms or (full_name != name and full_name in config.arms):
                raise ConfigError(f"arms.{name}: makes an arm {full_name!r}, which is there already; rename one of them")
            for suffix, settings in _by_budget(_settings(config, name, parent)):
                arms[full_name + suffix] = settings
    return arms


def _by_budget(settings: dict) -> list[tuple[str, dict]]:
    """An arm whose `select` names several budgets is one arm for each; so is its placebo, which belongs to the same one."""
    select = settings["select"]
    if select is None or not isinstance(select["budget"], list):
        return [("", settings)]
    found = []
    for budget in dict.fromkeys(select["budget"]):
        suffix = f"-budget-{budget}"
        placebo_of = settings["placebo_of"] and settings["placebo_of"] + suffix
        found.append((suffix, settings | {"select": select | {"budget": budget}, "placebo_of": placebo_of}))
    return found


def _settings(config: Config, name: str, parent: str | None) -> dict:
    chain, seen = [config.arms[name]], [name]
    while parent is not None:
        if parent in seen:
            raise ConfigError(f"arms.{name}.like: {' -> '.join([*seen, parent])} goes in a circle")
        seen.append(parent)
        chain.append(config.arms[parent])
        if isinstance(chain[-1].like, list):
            raise ConfigError(f"arms.{name}.like: {seen[-1]!r} stands for several arms; name one that stands for itself")
        parent = chain[-1].like
    settings = {key: getattr(config.training, key) for key in Training.model_fields}
    settings |= {key: field.get_default() for key, field in Arm.model_fields.items() if key not in settings}
    for arm in reversed(chain):
        settings |= {key: getattr(arm, key) for key in arm.model_fields_set}
    settings.pop("like")
    if settings["select"] is not None:
        settings["select"] = settings["select"].model_dump()
    is_placebo = settings["shuffle_translations"]
    settings["placebo_of"] = next((s for s in seen[1:] if not config.arms[s].shuffle_translations), "") if is_placebo else ""
    if is_placebo and not settings["placebo_of"]:
        raise ConfigError(f"arms.{name}: shuffles translations but is like no other arm; name the arm whose placebo it is: like: [tli]")
    settings["control"] = is_placebo or settings["epochs"] == 0
    return settings


def resolve_alpha(rule: str | float, rank: int) -> float:
    """LoRA's alpha from its rule: "2r" is twice the rank, "r" the rank, a number itself."""
    if isinstance(rule, str):
        return float(rule[:-1] or 1) * rank
    return float(rule)
