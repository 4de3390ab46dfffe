"""The arms of a config, each with all that it inherits."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tli.config.joint import joint_keys
from tli.config.keys.top_level import Config
from tli.config.keys.training import Arm, Training
from tli.config.places import Key, Problem, refusal
from tli.errors import ConfigError
from tli.specs import AnchorSpec, SelectSpec, TrainSpec, TuneSpec

FIRST_TUNING_SEED = 1_000_001


@dataclass(frozen=True)
class ResolvedArm:
    """A method of the grid, with every key settled but the loss layer and the rank, of which it may name several."""

    name: str
    loss_layers: tuple[str, ...]  # as the config asks for them: "best", "output", "2"
    ranks: tuple[int, ...]
    alpha: str | float  # the rule, see `resolve_alpha`
    training: TrainSpec  # its layer, rank and alpha are those of no cell yet; what is tuned is that of its dearest trial
    placebo_of: str = ""  # the arm whose placebo this is
    tune: TuneSpec | None = None  # what is tried first; a placebo has its arm's
    train_on: tuple[str, ...] = ()  # the pairs that it is trained for, of several together; none: each pair of the config

    @property
    def is_placebo(self) -> bool:
        return self.training.shuffle_translations

    @property
    def is_control(self) -> bool:
        """A placebo, an arm that pulls nothing across, or one that is measured as it starts: none enters the confirmatory family."""
        return self.is_placebo or self.training.pulls_own_word or self.training.epochs == 0

    @property
    def tuned_as(self) -> str:
        """The arm whose trials settle this one's: its own, and a placebo's are those of the arm whose placebo it is."""
        return self.placebo_of or self.name

    @property
    def rank_names(self) -> tuple[str, ...]:
        """The ranks as paths and tables name them; full fine-tuning has none and is called `full`."""
        return ("full",) if self.training.is_full else tuple(dict.fromkeys(map(str, self.ranks)))

    def lists(self, pair: str) -> tuple[str, ...]:
        """The pairs on whose lists a run of this pair is trained; the first one's run is the one that is trained."""
        return self.train_on or (pair,)

    def is_of(self, pair: str) -> bool:
        """Whether it has runs of this pair."""
        return pair in self.lists(pair)

    def cell(self, layer: str, rank: str) -> TrainSpec:
        """How the cell of this loss layer and rank is trained."""
        if self.training.is_full:
            return dataclasses.replace(self.training, layer=layer, rank=None, alpha=None)
        return dataclasses.replace(self.training, layer=layer, rank=int(rank), alpha=resolve_alpha(self.alpha, int(rank)))


def expand_arms(config: Config) -> dict[str, ResolvedArm]:
    """Every arm by its name, `like` resolved. A key counts in this order: the arm's own, its parent's, the section `training`.

    Raises ConfigError for arms that are like each other in a circle, or for two arms of one name.
    """
    arms: dict[str, ResolvedArm] = {}
    for name, arm in config.arms.items():
        parents = arm.like if isinstance(arm.like, list) else [arm.like]
        for parent in parents:
            full_name = f"{parent}-{name}" if isinstance(arm.like, list) else name
            if full_name in arms or (full_name != name and full_name in config.arms):
                raise _refused(config, ("arms", name), f"makes an arm {full_name!r}, which is there already; rename one of them")
            for weighted, values in _by_weight(full_name, _values(config, name, parent)):
                for resolved in _by_budget(weighted, values, config.pooling.train):
                    arms[resolved.name] = resolved
    for resolved in arms.values():
        if resolved.tune and resolved.is_placebo:
            _assert_tuned_with(config, resolved, arms[resolved.placebo_of])
    return arms


def written_at(config: Config, arm: str, name: str) -> Key:
    """Where the config says `name` of an arm of `expand_arms`: in its entry, in a parent's, in the section `training`; else the entry."""
    entry, parent = next(
        (entry, parent)
        for entry, section in config.arms.items()
        for parent in (section.like if isinstance(section.like, list) else [section.like])
        for full_name in [f"{parent}-{entry}" if isinstance(section.like, list) else entry]
        if arm == full_name or arm.startswith((f"{full_name}-weight-", f"{full_name}-budget-"))
    )
    chain = [entry]
    while parent is not None:
        chain.append(parent)
        above = config.arms[parent].like
        parent = None if isinstance(above, list) else above
    for place in chain:
        if name in config.arms[place].model_fields_set:
            return ("arms", place, name)
    return ("training", name) if name in config.training.model_fields_set else ("arms", entry)


def trials_apart(config: Config) -> list[tuple[str, str, str]]:
    """Where two arms have not equally many trials: (arm, arm, what is said of them), by their entries; of each arm that differs
    from the first tuned one. Placebos take their arm's choice, and an arm of 0 epochs has none to make.
    """
    made: dict[str, tuple[int, int]] = {}
    for name, arm in config.arms.items():
        for parent in arm.like if isinstance(arm.like, list) else [arm.like]:
            values = _values(config, name, parent)
            if values["epochs"] and not values["shuffle_translations"]:
                tune = values["tune"]
                made[name] = (len(tune.trials), len(tune.seeds)) if tune else (0, 0)
    first = next((name for name, (trials, _) in made.items() if trials), None)
    return [
        (name, first, f"{_told(*told)}, {first} has {_told(*made[first])}") for name, told in made.items() if first and told != made[first]
    ]


def _told(trials: int, seeds: int) -> str:
    return f"{trials} trials of {seeds} seeds" if trials else "no trials"


def tuning_seeds(config: Config, count: int) -> tuple[int, ...]:
    """The first numbers from FIRST_TUNING_SEED that are no seed of a run: a seed that is added to the runs moves none of them."""
    return tuple(islice((seed for seed in itertools.count(FIRST_TUNING_SEED) if seed not in config.seed_list), count))


def resolve_alpha(rule: str | float, rank: int) -> float:
    """LoRA's alpha from its rule: "2r" is twice the rank, "r" the rank, a number itself."""
    if isinstance(rule, str):
        return float(rule[:-1] or 1) * rank
    return float(rule)


def _by_budget(name: str, values: dict, pooling: str) -> list[ResolvedArm]:
    """An arm whose `select` names several budgets is one arm for each; so is its placebo, which belongs to the same one."""
    select = values["select"]
    if select is None or not isinstance(select.budget, list):
        return [_resolved(name, values, select and select.budget, pooling)]
    arms = []
    for budget in dict.fromkeys(select.budget):
        suffix = f"-budget-{budget}"
        placebo_of = values["placebo_of"] and values["placebo_of"] + suffix
        arms.append(_resolved(name + suffix, values | {"placebo_of": placebo_of}, budget, pooling))
    return arms


def _by_weight(name: str, values: dict) -> list[tuple[str, dict]]:
    """An arm whose anchor names several weights is one arm for each; so is its placebo, which belongs to the same one."""
    anchor = values["anchor"]
    if anchor is None or not isinstance(anchor.weight, list):
        return [(name, values)]
    arms = []
    for weight in dict.fromkeys(anchor.weight):
        suffix = f"-weight-{weight:g}"
        changed = {
            "anchor": anchor.model_copy(update={"weight": weight}),
            "placebo_of": values["placebo_of"] and values["placebo_of"] + suffix,
        }
        arms.append((name + suffix, values | changed))
    return arms


def _resolved(name: str, values: dict, budget: int | None, pooling: str) -> ResolvedArm:
    values = dict(values)
    select = values.pop("select")
    chosen = SelectSpec(select.strategy, budget, select.rounds) if select is not None and budget is not None else None
    outside = {key: values.pop(key) for key in ("loss_layer", "rank", "alpha", "placebo_of", "like", "tune", "train_on")}
    together = outside["train_on"] if len(outside["train_on"]) > 1 else ()  # on one list it is the plain run, and has its unit
    modules, anchor = values["target_modules"], values.pop("anchor")
    values["target_modules"] = (modules,) if isinstance(modules, str) else tuple(modules)
    if anchor is not None and anchor.weight:  # with weight 0 it is the plain run, and has the plain run's unit
        values["anchor"] = AnchorSpec(**anchor.model_dump() | {"text": tuple(anchor.text)})
    return ResolvedArm(
        name=name,
        loss_layers=tuple(dict.fromkeys(map(str, outside["loss_layer"]))),
        ranks=tuple(outside["rank"]),
        alpha=outside["alpha"],
        training=TrainSpec(**values, train_on=together, select=chosen, pooling=pooling, layer="", rank=None, alpha=None),
        placebo_of=outside["placebo_of"],
        tune=outside["tune"],
        train_on=outside["train_on"],
    )


def _values(config: Config, name: str, parent: str | None) -> dict:
    """The keys of an arm, its own over its parents' over those of the section `training`, and `placebo_of`."""
    chain, seen = [config.arms[name]], [name]
    while parent is not None:
        if parent in seen:
            raise _refused(
                config, ("arms", name, "like"), f"{' -> '.join([*seen, parent])} goes in a circle; take `like` out of one of them"
            )
        seen.append(parent)
        chain.append(config.arms[parent])
        if isinstance(chain[-1].like, list):
            raise _refused(config, ("arms", name, "like"), f"{seen[-1]!r} stands for several arms; name one that stands for itself")
        parent = chain[-1].like
    values = {key: getattr(config.training, key) for key in Training.model_fields}
    values |= {key: field.get_default() for key, field in Arm.model_fields.items() if key not in values}
    for arm in reversed(chain):
        values |= {key: getattr(arm, key) for key in arm.model_fields_set}
    if values["positives"] == "own-word":
        if values["shuffle_translations"]:
            raise _refused(
                config,
                ("arms", name, "positives"),
                "own-word looks at no translation, so there is none to shuffle; take it or shuffle_translations out",
            )
        if values["dropout"] == 0 and values["method"] == "lora":
            raise _refused(
                config,
                ("arms", name, "positives"),
                "own-word needs a dropout above 0: without it a word is the same vector twice; set dropout",
            )
    values |= joint_keys(config, chain, seen, values)
    values["placebo_of"] = ""
    if values["shuffle_translations"]:
        values["placebo_of"] = next((s for s in seen[1:] if not config.arms[s].shuffle_translations), "")
        if not values["placebo_of"]:
            raise _refused(
                config,
                ("arms", name, "shuffle_translations"),
                f"a placebo is like another arm, and this one is like none; name the arm whose placebo it is: like: [{_first_other(config, name)}]",
            )
    values["tune"] = None if values["epochs"] == 0 else _tuned(config, chain, seen)
    if tune := values["tune"]:
        values |= {"learning_rate": max(tune.learning_rates), "epochs": max(tune.epochs)}
        if tune.weights:
            values["anchor"] = values["anchor"].model_copy(update={"weight": max(tune.weights)})
    return values


def _tuned(config: Config, chain: list[Arm], names: list[str]) -> TuneSpec | None:
    """What is tried of an arm whose ancestry is `chain`, itself first. Raises ConfigError where that contradicts what it says."""
    owner = next((place for place, arm in enumerate(chain) if "tune" in arm.model_fields_set), None)
    tune = config.training.tune if owner is None else chain[owner].tune
    if tune is None:
        return None
    source = "training.tune" if owner is None else f"arms.{names[owner]}.tune"
    nearer = chain if owner is None else chain[: owner + 1]
    if chain[0].shuffle_translations and owner == 0:
        raise _refused(config, ("arms", names[0], "tune"), "a placebo is trained with its arm's choice; take tune out")
    for place, arm in enumerate(nearer):
        for key in ("learning_rate", "epochs"):
            if getattr(tune, key) and key in arm.model_fields_set:
                raise _refused(config, ("arms", names[place], key), f"{source} tries other values of it; keep one of the two")

    def settled(key: str) -> Any:
        arm = next((arm for arm in chain if key in arm.model_fields_set), config.training)
        return getattr(arm, key)

    anchor = settled("anchor")
    if tune.weight and anchor is None:
        text = f"{source} tries weights of an anchor, and this arm has none; give it `anchor`, or a tune of its own"
        raise _refused(config, ("arms", names[0]), text)
    if tune.weight and isinstance(anchor.weight, list):
        text = f"makes an arm for each weight, and {source} chooses one; keep one of the two"
        raise _refused(config, ("arms", names[0], "anchor", "weight"), text)
    return TuneSpec(
        learning_rates=tuple(tune.learning_rate or [settled("learning_rate")]),
        epochs=tuple(tune.epochs or [settled("epochs")]),
        weights=tuple(tune.weight),
        seeds=tuning_seeds(config, tune.seeds),
    )


def _assert_tuned_with(config: Config, placebo: ResolvedArm, arm: ResolvedArm) -> None:
    """Raises ConfigError for a placebo of a tuned arm where its arm has no trials."""
    layers = [layer for layer in placebo.loss_layers if layer not in arm.loss_layers]
    ranks = [rank for rank in placebo.rank_names if rank not in arm.rank_names]
    if layers or ranks:
        lacking = [f"layer {layer}" for layer in layers] + [f"rank {rank}" for rank in ranks]
        raise _refused(
            config,
            written_at(config, placebo.name, "loss_layer" if layers else "rank"),
            f"{placebo.name}, a placebo, takes what was chosen for {arm.name}, which is not tuned at {', '.join(lacking)}; "
            "name layers and ranks that both have",
        )


def _refused(config: Config, key: Key, text: str) -> ConfigError:
    return refusal(config.files, [Problem(key, text)])


def _first_other(config: Config, name: str) -> str:
    return next((other for other in config.arms if other != name), "tli")
