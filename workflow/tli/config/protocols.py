"""Which of the published protocols a config amounts to."""

from __future__ import annotations

from tli.config.keys import Config


def protocol(config: Config) -> str:
    """Name of the protocol that the settings amount to: controlled, paper-text, paper-code or custom (science: section 5)."""
    arms = [a for a in config.arms.values() if not a.shuffle_translations and a.like is None]

    def everyone(key: str) -> list:
        return [getattr(arm if key in arm.model_fields_set else config.training, key) for arm in arms]

    settings = dict(
        pooling=(config.pooling.scan[0], config.pooling.train, config.pooling.evaluate[0]),
        at_output=config.evaluation.hidden_states[0] == "output",
        hs2=config.evaluation.hidden_states[0] == 2 and all(a.loss_layer == [2] for a in arms),
        merge=config.evaluation.merge,
        masked=any(everyone("mask_false_negatives")),
        all_masked=all(everyone("mask_false_negatives")),
        everywhere=all(blocks == "all" for blocks in everyone("adapted_blocks")) and all(everyone("allow_unreached")),
        loss_at_2=all(a.loss_layer == [2] for a in arms),
    )
    paper = settings["merge"] and not settings["masked"] and settings["everywhere"] and settings["loss_at_2"]
    if paper and settings["pooling"] == ("with-bos",) * 3 and settings["at_output"]:
        return "paper-text"
    if paper and settings["pooling"] == ("with-bos", "with-bos", "no-bos") and settings["hs2"]:
        return "paper-code"
    if settings["pooling"] == ("no-bos",) * 3 and settings["at_output"] and not settings["merge"] and settings["all_masked"]:
        return "controlled"
    return "custom"
