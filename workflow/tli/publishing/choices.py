"""What a methods section says of the trainings: every setting of an arm that changes a figure, once for all arms where they share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tli.config.arms import ResolvedArm
from tli.experiment import Experiment
from tli.specs import ALL_LINEAR
from tli.statistics.sentences import listing

POOLED = {
    "no-bos": "the mean of its tokens' hidden states without BOS",
    "with-bos": "the mean of its tokens' hidden states with BOS",
    "last-token": "the hidden state of its last token",
    "weighted-mean": "the mean of its tokens' hidden states, the i-th weighted by i",
}
BLOCKS = {"reachable": "the blocks that the loss reaches", "all": "all blocks"}
STATES = {"best": "the hidden state that the scan chose", "output": "the output"}
STRATEGIES = {
    "random": "at random",
    "lowest-margin": "as those that the model separates worst",
    "diverse": "far from each other",
    "uncertainty": "as those nearest to the decision",
}
# What the report's own paragraph says already, of the runs that there are.
SUMMARISED = ("objective", "rate", "epochs", "batch", "warm-up", "adapter", "loss")


def training_sentences(experiment: Experiment, is_summarised: bool = False) -> list[str]:
    """What all arms share, and then of each arm what is its own; a placebo where it differs from its arm.

    is_summarised: what is shared and stands in `report.methods.paragraph` is not said again.
    """
    settings = {name: dict(_settings(experiment, arm)) for name, arm in experiment.arms.items()}
    told = {name: values for name, values in settings.items() if not _follows(experiment.arms[name], settings)}
    if not told:
        return []
    first = next(iter(told.values()))
    shared = {key: text for key, text in first.items() if all(values.get(key) == text for values in told.values())}
    common = [text for key, text in shared.items() if not (is_summarised and key in SUMMARISED)]
    pooling = POOLED[experiment.config.pooling.train]
    sentences = [f"Trainings had {listing(common)}."] if common else []
    for name, values in told.items():
        own = [text for key, text in values.items() if key not in shared]
        if own:
            sentences.append(f"The arm {name} had {listing(own)}.")
    placebos = [f"{arm.name} of {arm.placebo_of}" for arm in experiment.arms.values() if arm.placebo_of]
    if placebos:
        sentences.append(f"Placebos, which learn from translations dealt out anew for each seed: {listing(placebos)}.")
    return [*sentences, f"In training a word was {pooling}. Seeds: {_numbers(experiment.config.seed_list)}."]


def _numbers(seeds: list[int]) -> str:
    is_row = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if is_row else listing([str(seed) for seed in seeds])


def _follows(arm: ResolvedArm, settings: dict[str, dict[str, str]]) -> bool:
    """Whether an arm is a placebo that differs from its arm in the shuffling alone, which is said of all of them."""
    return bool(arm.placebo_of) and settings[arm.name] == settings.get(arm.placebo_of)


def _settings(experiment: Experiment, arm: ResolvedArm) -> Iterator[tuple[str, str]]:
    """(a name for it, what is said) of each setting."""
    spec, tune = arm.training, arm.tune
    margin = f"a temperature of {spec.temperature:g}" if spec.objective == "infonce" else f"a margin of {spec.margin:g} in cosine"
    yield "objective", f"the {spec.objective} loss ({margin})"
    yield "loss", f"the loss at {listing([STATES.get(layer, f'hs[{layer}]') for layer in arm.loss_layers])}"
    yield "masks", f"accepted translations {'masked' if spec.mask_false_negatives else 'not masked'} as negatives"
    if arm.train_on:
        yield "lists", _lists(arm)
    if spec.select is not None:
        rounds = f" in {spec.select.rounds} rounds" if spec.select.strategy == "uncertainty" else ""
        yield "pairs", f"{spec.select.budget} training pairs, chosen {STRATEGIES[spec.select.strategy]}{rounds}"
    if spec.pulls_own_word:
        yield "positives", "the same word under other dropout as positive, so that nothing is pulled across the languages"
    if spec.is_full:
        yield "adapter", "all weights below the loss trained"
        yield "type", f"these weights held in {spec.full_dtype}"
    else:
        blocks = BLOCKS.get(str(spec.adapted_blocks), f"the first {spec.adapted_blocks} blocks")
        yield "adapter", f"LoRA [lora] of rank {listing(list(arm.rank_names))}, alpha {arm.alpha}, dropout {spec.dropout:g}"
        modules = ["every linear layer" if name == ALL_LINEAR else name for name in spec.target_modules]
        yield "modules", f"adapters on {listing(modules)} of {blocks}"
    yield "optimiser", f"{'8-bit ' if spec.optimizer == 'adamw-8bit' else ''}AdamW with a weight decay of {spec.weight_decay:g}"
    yield "rate", _tried("a peak learning rate", tune.learning_rates if tune else (), spec.learning_rate)
    yield "warm-up", f"{spec.warmup_steps} warm-up steps"
    yield "schedule", f"a {spec.schedule} schedule"
    yield "epochs", _tried("a number of epochs", tune.epochs if tune else (), spec.epochs)
    yield "batch", f"batches of {spec.batch_size}"
    if spec.max_gradient_norm is not None:
        yield "clip", f"gradients clipped to a norm of {spec.max_gradient_norm:g}"
    if spec.anchor is not None:
        yield "anchor", _anchor(experiment, arm)
    if spec.templates:
        yield (
            "templates",
            "the words of a batch in templates, for every step one drawn by the seed for all anchors and, independently, one for all positives",
        )
    if tune is not None:
        yield "tuning", _tuning(arm, len(tune.trials), len(tune.seeds))


def _lists(arm: ResolvedArm) -> str:
    if len(arm.train_on) == 1:
        return f"the list of {arm.train_on[0]} alone"
    spec = arm.training
    mixed = "every list once" if spec.mix == "by-size" else "as many batches of each list as the largest has"
    batches = "of one list" if spec.negatives == "own-list" else "of all lists, so that negatives come from all"
    return f"the lists of {listing(list(arm.train_on))} together (an epoch is {mixed}, a batch {batches})"


def _tried(what: str, values: Sequence[float], settled: float) -> str:
    return f"{what} tuned among {listing([f'{value:g}' for value in sorted(values)])}" if len(values) > 1 else f"{what} of {settled:g}"


def _anchor(experiment: Experiment, arm: ResolvedArm) -> str:
    anchor = arm.training.anchor
    assert anchor is not None
    weights = sorted(arm.tune.weights) if arm.tune else []
    times = f"{listing([f'{one:g}' for one in weights])} (tuned)" if len(weights) > 1 else f"{anchor.weight:g}"
    text = f"running text in {listing(list(anchor.text))}" if anchor.text else "running text in its pair's languages"
    return f"{times} times a penalty ({anchor.metric}) on at least {anchor.tokens_per_step} tokens of {text} a step, none of which is used to measure harm"


def _tuning(arm: ResolvedArm, trials: int, seeds: int) -> str:
    judged = " by the mean over its lists" if len(arm.train_on) > 1 else ""
    return f"{trials} trials of {seeds} seed{'s' * (seeds != 1)} for each loss layer and rank, judged{judged} on the select split before its runs"
