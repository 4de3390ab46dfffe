"""What else a training changed: the section `transfer`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from tli.config.keys.base import LANGUAGE_NAME, Section


class Translate(Section):
    """Word translation by prompt, both directions: held-out words as tasks of the lm-evaluation-harness."""

    shots: list[Annotated[int, Field(ge=0)]] = Field(
        [0, 5],
        min_length=1,
        description="Numbers of training pairs shown before each word. The untrained model with most of them is a rival of its own.",
        examples=[[0], [0, 1, 5]],
    )
    choices: Annotated[int, Field(ge=2)] = Field(
        10,
        description="The right form stands among so many held-out forms of like length, none of them another accepted translation. A model "
        "that does not look at the word is right once in so many.",
    )
    names: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+$")], Annotated[str, Field(pattern=LANGUAGE_NAME)]] = Field(
        {},
        description="What a language is called in the prompt; one that is not named here has its English name from CLDR, or its code.",
        examples=[{"lug": "Luganda"}],
    )

    @field_validator("shots")
    @classmethod
    def _distinct(cls, shots: Any) -> Any:
        if len(set(shots)) < len(shots):
            twice = next(number for number in shots if shots.count(number) > 1)
            raise ValueError(f"{twice} is named twice; name each number of shots once")
        return shots


class Transfer(Section):
    """Tasks that tell what else the training changed, scored by the lm-evaluation-harness."""

    tasks: list[str] = Field(
        [], description="Tasks by the harness's names; none leaves the stage out.", examples=[["xcopa_sw", "xnli_sw", "xnli_en", "copa"]]
    )
    source: str = Field(
        "hub",
        description="`hub`, or a folder with the items: `<task>.jsonl` or `<task>.tsv` in the form that XCOPA, COPA, XNLI or AfriXNLI "
        "published, or their published folders; examples for num_fewshot in `<task>.val.jsonl`.",
        examples=["resources/demo/transfer"],
    )
    question_from: str | None = Field(
        None,
        description="XCOPA's English file: take each item's `question` (cause or effect) from it. In the published "
        "Swahili file that field disagrees with the English original in a few per cent of the items, while the labels agree. "
        "Examples of num_fewshot keep their own.",
        examples=["data/xcopa/en/test.en.jsonl"],
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="Score only the first items of each task.", examples=[100])
    num_fewshot: Annotated[int, Field(ge=0)] = Field(0, description="Examples put before each item.")
    batch_size: Annotated[int, Field(ge=1)] = Field(16, description="Items that go through the model together.")
    add_bos: bool | None = Field(None, description="Put BOS before each item; left empty: as the tokenizer does.")
    translate: Translate | None = Field(
        None,
        description="Ask every model to translate the held-out words by prompt, in both directions: the right form among several by "
        'log-likelihood, and what it says by itself. `{}` asks with the defaults; left empty, nothing is asked. It answers the line "shows '
        'in what the model says". Of `transfer` it heeds limit, batch_size and add_bos.',
        examples=[{}],
    )
