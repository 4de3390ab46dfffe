"""Which of the published protocols the settings of an experiment amount to."""

from __future__ import annotations

from tli.config.arms import ResolvedArm, expand_arms
from tli.config.keys.top_level import Config
from tli.specs import WORD

# What the paper trained with; another of these makes another experiment. Model, lists, ranks and seeds are the user's.
PAPER = {
    "objective": "triplet-hardest",
    "margin": 0.4,
    "learning_rate": 2e-4,
    "epochs": 5,
    "batch_size": 8,
    "warmup_steps": 50,
    "schedule": "linear",
    "dropout": 0.05,
    "method": "lora",
    "adapted_blocks": "all",
    "allow_unreached": True,
    "mask_false_negatives": False,
}
MODULES = {"q_proj", "v_proj"}


def protocol(config: Config) -> str:
    """One of "paper-text", "paper-code", "controlled" (the default, without the traps of the two) or "custom".

    Every arm counts with all that it inherits; zero arms and budgets of pairs do not. An arm that adapts a number of blocks
    below its loss is controlled too, as long as the loss reaches them.
    """
    arms = [arm for arm in expand_arms(config).values() if arm.training.epochs > 0]
    poolings = (config.pooling.scan[0], config.pooling.train, config.pooling.evaluate[0])
    first = config.evaluation.hidden_states[0]
    if _claims_in_frames(config):
        return "custom"
    if all(map(_is_the_papers, arms)) and _reads_as_the_paper(config) and config.split.leaks == "report" and config.evaluation.merge:
        if poolings == ("with-bos", "with-bos", "with-bos") and first == "output":
            return "paper-text"
        if poolings == ("with-bos", "with-bos", "no-bos") and first == 2:
            return "paper-code"
    masked = all(arm.training.mask_false_negatives for arm in arms)
    reached = all(arm.training.adapted_blocks != "all" and not arm.training.allow_unreached for arm in arms)
    strict = all((pair.split or config.split).leaks == "error" for pair in config.pairs.values())
    if poolings == ("no-bos",) * 3 and first == "output" and not config.evaluation.merge and masked and reached and strict:
        return "controlled"
    return "custom"


def _claims_in_frames(config: Config) -> bool:
    """Whether a frame stands first among the templates, and so carries the claims."""
    return any(texts[0] != WORD for texts in config.pooling.templates.values())


def _reads_as_the_paper(config: Config) -> bool:
    """Every list's strings byte for byte, and words fed as they stand there."""
    verbatim = all(pair.clean == "verbatim" for pair in config.pairs.values())
    return verbatim and all(model.word_form == "alone" for model in config.models.values())


def _is_the_papers(arm: ResolvedArm) -> bool:
    same = all(getattr(arm.training, key) == value for key, value in PAPER.items())
    return (
        same
        and not arm.training.templates
        and arm.tune is None
        and arm.loss_layers == ("2",)
        and set(arm.training.target_modules) == MODULES
    )
