"""How adapters are trained: the sections `training` and `arms`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tli.config.keys.base import PAIR, AlphaRule, Layer, Section
from tli.config.places import KeyProblem


class Selection(Section):
    """Which training pairs are used."""

    strategy: Literal["random", "lowest-margin", "diverse", "uncertainty"] = Field(
        "random",
        description="`lowest-margin`: those that the model separates worst; `diverse`: far from each other; "
        "`uncertainty`: nearest to the decision, scored again after each round.",
    )
    budget: Annotated[int, Field(ge=2)] | Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = Field(
        description="How many pairs are used. A list makes one arm for each, `<arm>-budget-<N>`, and so a curve of gain against budget.",
        examples=[100, [50, 100, 200]],
    )
    rounds: Annotated[int, Field(ge=1)] = Field(4, description="Rounds of `uncertainty`: after each it scores again.")


class Anchor(Section):
    """Training that leaves the model whole: loss + weight x what changes on running text of the section `text`."""

    metric: Literal["drift", "gradient-weighted", "kl"] = Field(
        description="`drift`: |h - h0|^2 / |h0|^2 at the loss layer; `gradient-weighted`: (h - h0)' M (h - h0) / 2 there, M from the gradients "
        "of the model's own log-likelihood, which approximates KL; both leave the blocks above unopened. `kl`: KL(before || after) itself, "
        "through all blocks.",
    )
    weight: Annotated[float, Field(ge=0)] | Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)] = Field(
        1.0,
        description="What the anchor counts beside the loss; 0 is plain TLI. A list makes one arm for each, `<arm>-weight-<w>`.",
        examples=[3, [0, 1, 3, 10]],
    )
    text: list[str] = Field([], description="Languages of the section `text`; left empty: those of the pair.", examples=[["swh", "eng"]])
    tokens_per_step: Annotated[int, Field(ge=1)] = Field(
        64, description="Tokens of running text in a step, at least; whole sentences are drawn."
    )


class Tune(Section):
    """Trials that settle an arm's settings before its runs: every combination is trained and judged on the select split alone."""

    learning_rate: list[Annotated[float, Field(gt=0)]] = Field(
        [], description="Peak learning rates to try; left empty: the arm's own.", examples=[[5.0e-5, 2.0e-4, 8.0e-4]]
    )
    epochs: list[Annotated[int, Field(ge=1)]] = Field([], description="Passes to try; left empty: the arm's own.", examples=[[2, 5]])
    weight: list[Annotated[float, Field(ge=0)]] = Field(
        [], description="Weights of the arm's anchor to try; left empty: the anchor's own.", examples=[[1, 3, 10]]
    )
    seeds: Annotated[int, Field(ge=1)] = Field(
        2, description="Seeds of each trial, counted from 1,000,001: none of them is ever a seed of the runs."
    )

    @model_validator(mode="after")
    def _tries_something(self) -> Self:
        lists = {name: getattr(self, name) for name in ("learning_rate", "epochs", "weight")}
        if not any(lists.values()):
            raise ValueError("names nothing to try; give learning_rate, epochs or weight a list of values")
        for name, values in lists.items():
            if len(set(values)) < len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise KeyProblem((name,), f"names {twice:g} twice; equal trials are one trial: name each value once")
        return self


class Training(Section):
    """How an adapter is trained. Defaults are the paper's; every key can stand in an arm too."""

    objective: Literal["triplet-hardest", "triplet-all", "infonce"] = Field(
        "triplet-hardest",
        description="Contrastive loss: `triplet-hardest` is the paper's, max(0, margin + sim(a, n) - sim(a, p)) with the "
        "most similar other translation of the batch as n.",
    )
    margin: Annotated[float, Field(ge=0)] = Field(0.4, description="Margin of the triplet losses, in units of cosine.")
    temperature: Annotated[float, Field(gt=0)] = Field(0.05, description="Temperature of InfoNCE.")
    mask_false_negatives: bool = Field(
        True, description="Never use another accepted translation of the anchor as a negative. Off in the paper's protocols."
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(2.0e-4, description="Peak learning rate of AdamW.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="Weight decay of AdamW.")
    epochs: Annotated[int, Field(ge=0)] = Field(5, description="Passes over the training pairs; 0 leaves the adapter as initialised.")
    batch_size: Annotated[int, Field(ge=2)] = Field(8, description="Pairs in a batch.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(50, description="Steps in which the learning rate rises.")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="What the learning rate does after that.")
    max_gradient_norm: Annotated[float, Field(gt=0)] | None = Field(None, description="Clip the gradient to this norm.", examples=[1.0])
    optimizer: Literal["adamw", "adamw-8bit"] = Field(
        "adamw", description="`adamw-8bit` is bitsandbytes' memory-saving AdamW, for full fine-tuning of large models on a GPU."
    )
    full_dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Type of the weights while all of them are trained (`method: full`). In bfloat16 most of the small updates "
        "vanish in the rounding (98 % of them at a learning rate of 1e-5): take it only where the memory forces it.",
    )
    gradient_checkpointing: bool = Field(False, description="Trade time for memory in the backward pass.")
    alpha: AlphaRule = Field("2r", description="LoRA's alpha: a rule of the rank (`2r`, `r`) or a number.", examples=["2r", 32])
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.05, description="Dropout on the adapters' input.")
    target_modules: list[str] | Literal["all-linear"] = Field(
        ["q_proj", "v_proj"],
        min_length=1,
        description="Modules of a block that get an adapter, by the names of their family; or `all-linear`, every matrix of a block.",
        examples=[["q_proj", "v_proj"], "all-linear"],
    )
    adapted_blocks: Literal["reachable", "all"] | Annotated[int, Field(ge=1)] = Field(
        "reachable",
        description="Which blocks get adapters: those below the loss layer, all, or the first N. Only blocks below the "
        "loss layer can learn.",
    )
    allow_unreached: bool = Field(
        False, description="Accept adapters on blocks that the loss cannot reach (they stay as initialised), as the paper had them."
    )
    select: Selection | None = Field(None, description="Train on some of the pairs only, chosen by a strategy.")
    anchor: Anchor | None = Field(
        None, description="Keep the model close to itself on running text (the third of `text` that is reserved for training)."
    )
    templates: bool = Field(
        False,
        description="Feed the words of each batch in `pooling.templates`: for every step the seed draws one template for all anchors and one "
        "for all positives, so that a frame never tells which translation is right.",
        examples=[True],
    )
    tune: Tune | None = Field(
        None,
        description="Fair tuning: choose learning rate, epochs or the anchor's weight by the primary endpoint on the select split, for each "
        "layer and rank. Only the best trial, trained anew with the runs' seeds, enters the grid; all arms have equally many trials of as "
        "many seeds, a placebo takes its arm's choice, an arm of 0 epochs has none to make. Without it, ranks, full fine-tuning and anchors "
        "are compared at settings that suit some of them.",
        examples=[{"learning_rate": [5.0e-5, 2.0e-4, 8.0e-4]}],
    )


class Arm(Training):
    """A method: one entry, so that a new one needs no code. Every key of `training` can be set here too."""

    like: str | Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="Take over another arm's settings. With a list, the entry stands for one arm per name: "
        "`placebo: {like: [tli, full-lora]}` makes `tli-placebo` and `full-lora-placebo`.",
        examples=["tli", ["tli", "full-lora"]],
    )
    method: Literal["lora", "full"] = Field("lora", description="Train adapters, or all weights below the loss layer.")
    loss_layer: list[Layer] = Field(
        ["best"],
        min_length=1,
        description="Hidden states at which the loss is taken: `best` (by the scan), a number k for hs[k], or `output`.",
        examples=[["best", 2]],
    )
    rank: list[Annotated[int, Field(ge=1)]] = Field(
        [16], min_length=1, description="LoRA ranks. Not used by `method: full`.", examples=[[4, 16, 64]]
    )

    @field_validator("loss_layer", "rank", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]

    shuffle_translations: bool = Field(
        False,
        description="The placebo: train on shuffled translations, so that no word is paired with its own; a new shuffle for each seed.",
    )
    positives: Literal["translation", "own-word"] = Field(
        "translation",
        description="What a word is pulled to. `own-word` is a neutral control: the positive is the same word again under other dropout, "
        "the words of both languages stand in the batch, and no word's translation is a negative: nothing is pulled across the languages "
        "and no pair is pushed apart. It needs a dropout above 0.",
        examples=["own-word"],
    )
    train_on: list[Annotated[str, Field(pattern=PAIR)]] | None = Field(
        None,
        min_length=1,
        description="Train one adapter on the lists of these pairs together, and measure it on each of them; left empty, an adapter for each "
        "pair of the config. `best` is then the hidden state with the highest mean over the lists, a placebo shuffles within each list, an "
        "anchor reads the text of all their languages. With one pair the arm is trained on that one alone.",
        examples=[["swh-eng", "lin-eng"]],
    )
    mix: Literal["by-size", "even"] = Field(
        "by-size",
        description="With `train_on`: an epoch is every list once (`by-size`), or as many batches of each list as the largest has, the "
        "smaller ones repeated (`even`). The lists take turns in proportion to their batches.",
        examples=["even"],
    )
    negatives: Literal["own-list", "across"] = Field(
        "own-list",
        description="With `train_on`: a batch is of one list, so that a word's negatives are of its own list; or of all lists (`across`).",
        examples=["across"],
    )
