"""What is measured and what is claimed: the sections `pooling`, `scan`, `evaluation` and `statistics`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tli.config.keys.base import Criterion, Pooling, Section
from tli.config.templates import assert_template

OWN, ALL = "own", "all"  # of evaluation.on, beside names of pairs


class PoolingChoice(Section):
    """How the token vectors of a word become one vector, per step. BOS always stays in the input."""

    scan: list[Pooling] = Field(
        ["no-bos", "with-bos"],
        min_length=1,
        description="Poolings of the scan. With BOS pooled in, an attention sink makes any two words alike: the scan "
        "shows both so that one can see it. The first one decides what `best` is.",
    )
    train: Pooling = Field("no-bos", description="Pooling of the training loss.")
    evaluate: list[Pooling] = Field(["no-bos"], min_length=1, description="Poolings of the evaluation; the first carries the claims.")
    templates: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+$")], Annotated[list[str], Field(min_length=1)]] = Field(
        {},
        description="Neutral frames by language, equally many in each: scan and evaluation feed every word in them too, and pool over the "
        "word's own tokens. `{word}` alone is what is measured anyway. Template 2 of one language belongs to template 2 of the other. A "
        "causal model sees only what stands before the word. With `{word}` first, claims rest on the words alone and the frames stand beside "
        "them; with a frame first they rest on that.",
        examples=[{"swh": ["{word}", "Neno {word} lina maana"], "eng": ["{word}", "The word {word} means"]}],
    )
    over_templates: Literal["separate", "averaged"] = Field(
        "separate",
        description="`separate`: each template has figures of its own, as pooling `no-bos@2`; `averaged`: a word's vectors over all its "
        "templates become one (`no-bos@mean`), on which the claims rest where a frame stands first.",
    )

    @field_validator("templates", mode="before")
    @classmethod
    def _hold_the_word(cls, templates: Any) -> Any:
        for language, texts in templates.items() if isinstance(templates, dict) else ():
            for place, text in enumerate(texts if isinstance(texts, list) else ()):
                assert_template((language, place), text)
        return templates


class Scan(Section):
    """The look at every hidden state before anything is trained."""

    best_by: Criterion = Field(
        "csls_p_at_1",
        description="What makes a hidden state the `best` one: the highest value on the select split over hs[1] to "
        "hs[L-1]; ties go to the lower one.",
    )
    best_at_most: Annotated[int, Field(ge=1)] | None = Field(
        None, description="`best` looks no deeper than this hidden state, which also bounds the memory asked for.", examples=[16]
    )
    csls_k: Annotated[int, Field(ge=1)] = Field(10, description="Neighbours of CSLS; fewer where the lexicon is small.")
    bootstrap: Annotated[int, Field(ge=0)] = Field(
        1000, description="Resamples of the words that say how often each hidden state would have been chosen."
    )


class Evaluation(Section):
    """What is measured before and after training."""

    hidden_states: list[Literal["output", "loss-layer"] | Annotated[int, Field(ge=0)]] = Field(
        ["output", "loss-layer"],
        min_length=1,
        description="Hidden states that are measured. Claims rest on the first, `output` or a number.",
        examples=[["output", "loss-layer", 4]],
    )
    merge: bool = Field(
        False,
        description="Merge the adapters into the weights first, as the paper did. Merging into NF4 weights rounds the "
        "adapter, so it is off by default.",
    )

    @field_validator("hidden_states")
    @classmethod
    def _first_carries_claims(cls, states: Any) -> Any:
        if states[0] == "loss-layer":
            raise ValueError("claims rest on the first one, which must be the same for all runs; put `output` or a number first")
        return states

    on: list[str] = Field(
        ["own"],
        description="Lists that every adapter is measured on, and the base model: `own`, the list of its pair; names of pairs; or `all`. "
        "For each name the stage `across` ranks held-out words, at the first of `hidden_states` and of `pooling.evaluate`, among the forms "
        "that no list of the experiment trains, so that all adapters measured there can be compared. What `own` gives is the same either way.",
        examples=["all", ["lug-eng"]],
    )

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_key(cls, values: Any) -> Any:
        """YAML reads a bare `on` as true."""
        return {"on" if name is True else name: value for name, value in values.items()} if isinstance(values, dict) else values

    @field_validator("on", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    projected_pairs: Annotated[int, Field(ge=0)] = Field(
        80, description="How many pairs the t-SNE and PCA maps show, held-out ones first; 0 leaves the maps out."
    )


class Statistics(Section):
    """What is claimed and how it is corrected. A claim is about other seeds and other held-out words, with this training list."""

    primary: Criterion = Field("csls_p_at_1", description="The endpoint that carries the verdicts, on held-out pairs.")
    correction: Literal["holm", "benjamini-hochberg", "benjamini-yekutieli"] = Field(
        "holm", description="Correction of the confirmatory family for multiple comparisons."
    )
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(0.05, description="Level of the confirmatory family.")
    minimum_seeds: Annotated[int, Field(ge=2)] = Field(
        5, description="Below this many seeds the interval is shown and no claim is made: fewer do not show how much runs differ."
    )
    minimum_units: Annotated[int, Field(ge=2)] = Field(
        20,
        description="The same for units: components of held-out words, items of a task. On fewer a hit more or less decides, and the normal "
        "form of the test does not hold.",
    )
    alike_margin: Annotated[float, Field(gt=0)] = Field(
        0.02,
        description="The gap (cosine of translations - of mismatched pairs) that counts as none: `raised all cosines alike` is concluded only where "
        "TOST shows that the gap changed by less. A training that aligns adds .3 to it in the demo.",
    )
    harm_margin: Annotated[float, Field(gt=0)] = Field(
        0.05,
        description="How much the cross-entropy on running text (section `text`) may rise, in nats a predicted token, in a model that is "
        "called whole. 0.05 is a perplexity 5 % higher.",
    )
    equivalence_margin: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Test whether held-out pairs gain as much as trained ones, within this margin; which difference is none only you can say.",
        examples=[0.05],
    )
    bootstrap: Annotated[int, Field(ge=100)] = Field(2000, description="Resamples of the bootstrap intervals within one run.")
