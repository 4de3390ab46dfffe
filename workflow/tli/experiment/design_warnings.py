"""What speaks against a design. Printed before it runs (`tli plan`, a dry run, the start), from the config and the lists, and
in the report from what was measured, in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tli.config.arms import ResolvedArm
from tli.config.places import Problem, refusal
from tli.experiment import Experiment
from tli.experiment.listed import findings
from tli.facts import FEW_SEEDS, FEWEST_QUERIES

Sizes = Mapping[str, int]  # split -> pairs, of one list


@dataclass(frozen=True)
class Remark:
    """One remark: a serious one speaks against a claim, a note is to be known. `about` is "model, pair", a model, a pair or "";
    where the same holds for several of them, all, joined by semicolons.
    """

    about: str
    text: str
    is_serious: bool = True


def few_seeds(count: int) -> str:
    """The doubt in words; "" for enough, as from all that follow."""
    return f"Only {count} seed{'s' * (count > 1)}: below {FEW_SEEDS} no claim can rest on them." if 0 < count < FEW_SEEDS else ""


def few_heldout(pairs: int) -> str:
    """The doubt in words; "" for enough."""
    return f"Only {pairs} held-out pairs: below {FEWEST_QUERIES} the test is underpowered." if pairs < FEWEST_QUERIES else ""


def few_across(words: int) -> str:
    """The doubt in words; "" for enough."""
    if words >= FEWEST_QUERIES:
        return ""
    return f"Adapters of all pairs are measured here on only {words} words that no list trains: below {FEWEST_QUERIES} the test is underpowered."


def few_select(pairs: int) -> str:
    """The doubt in words; "" for enough."""
    if pairs >= FEWEST_QUERIES:
        return ""
    return f"The best layer is chosen on {pairs} select pairs: below {FEWEST_QUERIES} the choice is underpowered."


def no_placebo(arms: Sequence[str]) -> str:
    """arms: those without one."""
    return f"No placebo for {', '.join(arms)}: a gain there may come from any training at all." if arms else ""


def short_warm_up(arm: str, steps: int, warmup_steps: int) -> str:
    """steps: of a run, 0 for one that is measured as it starts."""
    if not 0 < steps <= warmup_steps:
        return ""
    return (
        f"{arm}: {steps} steps, {warmup_steps} of warm-up: the learning rate never reaches its peak and ends at "
        f"{(steps - 1) / warmup_steps:.0%} of it. Set training.warmup_steps lower, or more epochs."
    )


def large_batch(arm: str, batch_size: int, trained: int) -> str:
    """trained: pairs that the arm trains on."""
    if batch_size <= trained:
        return ""
    return (
        f"{arm}: a batch of {batch_size} pairs, and {trained} to train on: every epoch is one step with all of them. Set batch_size lower."
    )


def twins(arm: str, other: str) -> str:
    """Of two arms that train the same."""
    return f"{arm} and {other} train the same: one result under two names. Take one of them out, or change what was meant to differ."


UNPINNED = (
    "{source} is no folder here, so it is a hub model, and it has no revision: nobody could repeat this run{told}; `tli fetch CONFIG` prints "
    "the commit to write into the config"
)


def foreseen(experiment: Experiment, lists: Mapping[str, Sizes]) -> list[Remark]:
    """What is known before the first job. lists: pair -> sizes of its splits (`inspect`), as far as they are known."""
    return list(dict.fromkeys(_foreseen(experiment, lists)))


def refuse_unpinned(experiment: Experiment) -> None:
    """Raises ConfigError where a hub model has no commit: nobody could repeat the run."""
    models = experiment.config.models
    problems = [Problem(("models", name), UNPINNED.format(source=models[name].source, told="")) for name in without_revision(experiment)]
    if problems:
        raise refusal(experiment.config.files, problems)


def without_revision(experiment: Experiment) -> list[str]:
    """Hub models without a commit."""
    return [name for name, model in experiment.config.models.items() if experiment.on_hub(name) and not model.revision]


def _foreseen(experiment: Experiment, lists: Mapping[str, Sizes]) -> Iterator[Remark]:
    for model in without_revision(experiment):
        source = experiment.config.models[model].source
        yield Remark(model, UNPINNED.format(source=source, told=", and it is refused when it starts") + ".")
    for severity, text in findings(experiment):
        yield Remark("", text, is_serious=severity == "error")
    if experiment.trains_nothing:
        return
    yield from _remarks("", few_seeds(len(experiment.config.seed_list)))
    arms = {name: arm for name, arm in experiment.arms.items() if not arm.is_control}
    controlled = {arm.placebo_of for arm in experiment.arms.values()}
    yield from _remarks("", no_placebo([name for name in arms if name not in controlled]), *_twins(list(arms.values())))
    uses_best = any("best" in arm.loss_layers for arm in experiment.arms.values())
    for pair, sizes in lists.items():
        if "across" in sizes:
            yield from _remarks(pair, few_across(sizes["across"]))
        if pair not in experiment.trained_pairs:
            continue
        trained = [(arm, [lists[one]["train"] for one in arm.lists(pair) if one in lists]) for arm in arms.values() if arm.is_of(pair)]
        yield from _remarks(pair, few_heldout(sizes["heldout"]), *(_of_training(*one) for one in trained))
        if uses_best:
            yield from (Remark(one.about, one.text, is_serious=False) for one in _remarks(pair, few_select(sizes["select"])))


def _remarks(about: str, *texts: str) -> Iterator[Remark]:
    yield from (Remark(about, text) for text in texts if text)


def _twins(arms: list[ResolvedArm]) -> Iterator[str]:
    """Arms all of whose cells are cells of an arm before them, which has runs of all their pairs."""
    cells = [{arm.cell(layer, rank) for layer in arm.loss_layers for rank in arm.rank_names} for arm in arms]

    def repeats(number: int, before: int) -> bool:
        pairs, others = arms[number].train_on, arms[before].train_on
        return cells[number] <= cells[before] and (not others or bool(pairs) and set(pairs) <= set(others))

    for number, arm in enumerate(arms):
        if other := next((arms[before] for before in range(number) if repeats(number, before)), None):
            yield twins(other.name, arm.name)


def _of_training(arm: ResolvedArm, trained: Sequence[int]) -> str:
    """trained: pairs of each of its lists."""
    spec = arm.training
    if spec.select is not None:
        trained = [min(pairs, spec.select.budget) for pairs in trained]
    fewest = sum(trained) if spec.negatives == "across" else min(trained)
    return large_batch(arm.name, spec.batch_size, fewest) or short_warm_up(arm.name, spec.steps(*trained), spec.warmup_steps)
