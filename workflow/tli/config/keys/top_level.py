"""The experiment as its user writes it: every section, what of it fits together, and how the work is cut into jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from tli.config.keys.base import NOT_EMPTY, SLUG, FreeMap, Section
from tli.config.keys.lists import Pair, Split, Text
from tli.config.keys.measures import ALL, OWN, Evaluation, PoolingChoice, Scan, Statistics
from tli.config.keys.models import Model
from tli.config.keys.training import Arm, Training
from tli.config.keys.transfer import Transfer
from tli.config.places import Key, KeyProblem, nearest
from tli.config.templates import assert_templates_fit
from tli.facts import languages_of_name


class Jobs(Section):
    """Where the work is cut into jobs. It changes no result."""

    seeds_per_job: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        "all", description="Seeds of one cell that train in one job, on one copy of the weights."
    )
    seeds_together: bool = Field(
        True,
        description="Train the seeds of a job in one pass where device, free memory and the cost of a step allow it. A "
        "killed job then begins its seeds anew; otherwise it goes on at the next one.",
    )
    checkpoint_minutes: Annotated[float, Field(ge=0)] = Field(
        30,
        description="How often a full fine-tuning writes where it stands (weights and AdamW's moments, 12 bytes a parameter), so that a "
        "killed job goes on from there; 0: never. Adapters are trained in so little time that their jobs go on at the next seed.",
    )
    adapters_per_job: Annotated[int, Field(ge=1)] = Field(100, description="Adapters that one evaluation job measures.")
    adapters_per_transfer_job: Annotated[int, Field(ge=1)] = Field(
        10, description="Adapters that one transfer job scores; tasks take longer than words."
    )
    threads: Annotated[int, Field(ge=1)] = Field(1, description="CPU threads of a model job.", examples=[4])
    summaries_local: bool = Field(
        False,
        description="Compute the statistics and the report where Snakemake runs, not in small jobs of the cluster; most login nodes forbid it.",
        examples=[True],
    )


class Config(Section):
    """A TLI experiment: the grid of models x pairs x arms x layers x ranks x seeds, and how it is judged."""

    title: str = Field("Targeted Lexical Injection", description="Title of the report.")
    question: str = Field(
        "Does the model align the words of the two languages, where inside, and can a light fine-tuning carry that to the output?",
        description="The question that the report answers.",
    )
    results: str = Field(
        "results",
        pattern=NOT_EMPTY,
        description="Folder of the results, from the place where Snakemake is started.",
        examples=["results/ranks"],
    )
    models: dict[Annotated[str, Field(pattern=SLUG)], Model] = Field(
        min_length=1, description="The models, by a short name for paths.", examples=[{"my-llama": {"source": "path/to/model"}}]
    )
    pairs: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+-[a-z0-9]+(\.[a-z0-9]+)?$")], Pair] = Field(
        min_length=1,
        description="The language pairs, each by `<source>-<target>`. A further list of a pair that nobody trains on (`train: false`), such as one of "
        "sentences, has a name after a dot: `swh-eng.flores`.",
        examples=[{"swh-eng": {"lexicon": "data/swh-eng.tsv"}}],
    )
    arms: dict[Annotated[str, Field(pattern=SLUG)], Arm] = Field(
        {},
        description="The methods. Without any, nothing is trained: lexicon, check, scan and free maps say how well the words are aligned, "
        "and what is left to gain.",
        examples=[{"tli": {"loss_layer": ["best", 2]}}],
    )
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        10,
        description="How many seeds (1 to N), or which. Seeds and held-out words are the replicates of every claim: 5 seeds are the least.",
        examples=[10, [1, 2, 3]],
    )
    split: Split = Field(Split(), description="How lexicons are divided.")
    pooling: PoolingChoice = Field(PoolingChoice(), description="How a word becomes one vector.")
    scan: Scan = Field(Scan(), description="The scan.")
    maps: list[FreeMap] = Field(
        ["centring", "top-components", "whitening", "procrustes", "ridge", "cca"],
        description="Free maps, linear maps that need no training, as competitors of it: each is fitted in closed form to the vectors of the training pairs "
        "(of each fold), takes its hidden state and its one hyperparameter by the select split, and stands beside the arms in every table. "
        "Those that use the pairing (Procrustes, ridge, CCA) have twins on shuffled pairs. The best of centring, Procrustes and ridge on select "
        "pairs is also put on every run (adapter + map), and Procrustes is tried inside the model too. An empty list leaves all out.",
        examples=[["centring", "procrustes"]],
    )
    training: Training = Field(Training(), description="Defaults of all arms.")
    evaluation: Evaluation = Field(Evaluation(), description="The evaluation.")
    statistics: Statistics = Field(Statistics(), description="The statistics.")
    transfer: Transfer = Field(Transfer(), description="Transfer to downstream tasks.")
    text: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+$")], Text] = Field(
        {},
        description="Running text by language: cross-entropy and KL of every run against the base model. A third, by a hash of the "
        "sentence, is reserved for `training.anchor` and never measured. Without it the 32 shipped sentences stand in, which decide nothing.",
        examples=[{"swh": "data/swh.txt", "eng": {"file": "data/parallel.tsv", "column": "eng"}}],
    )
    jobs: Jobs = Field(Jobs(), description="How the work is cut into jobs.")
    _files: tuple[str, ...] = PrivateAttr(())

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it was read from, for the line in a later refusal."""
        return self._files

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: Any) -> Any:
        if isinstance(seeds, list) and len(set(seeds)) < len(seeds):
            raise ValueError(f"{next(seed for seed in seeds if seeds.count(seed) > 1)} is named twice; name each seed once")
        return seeds

    @field_validator("text", mode="before")
    @classmethod
    def _a_path_is_a_file(cls, value: Any) -> Any:
        return {key: {"file": one} if isinstance(one, str) else one for key, one in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _one_number_of_folds(self) -> Self:
        for name, pair in self.pairs.items():
            if pair.split is not None and pair.split.folds != self.split.folds:
                raise KeyProblem(
                    ("pairs", name, "split", "folds"),
                    f"is {pair.split.folds}, split.folds is {self.split.folds}; write the same in both",
                )
        return self

    @model_validator(mode="after")
    def _lists_to_measure_on(self) -> Self:
        for number, name in enumerate(self.evaluation.on):
            if name not in (OWN, ALL, *self.pairs):
                raise KeyProblem(
                    ("evaluation", "on", number), f"names {name!r}, which is no pair here; {nearest(name, [OWN, ALL, *self.pairs])}"
                )
        for name, pair in self.pairs.items():
            if pair.train and "." in name:
                raise KeyProblem(
                    ("pairs", name),
                    "a name after a dot is for a list that nobody trains on: add `train: false`, or give the pair's own list all the files",
                )
            if not pair.train and pair.split is not None:
                raise KeyProblem(
                    ("pairs", name, "split"), "nobody trains on this list (train: false), so all of it is held out; take `split` out"
                )
            if not pair.train and self.arms and not {ALL, name} & set(self.evaluation.on):
                raise KeyProblem(
                    ("pairs", name, "train"),
                    f"is false, and no adapter is measured on this list: name it (`evaluation.on: [{name}]`, or `all`), or take the pair out",
                )
        if not any(pair.train for pair in self.pairs.values()):
            raise KeyProblem(("pairs",), "every pair has `train: false`, so there is nothing to scan or to train on; leave it out of one")
        return self

    @model_validator(mode="after")
    def _anchors_have_text(self) -> Self:
        sections: dict[tuple[str, ...], Training | Arm] = {("training",): self.training}
        for place, section in (sections | {("arms", name): arm for name, arm in self.arms.items()}).items():
            if section.anchor is None:
                continue
            for language in section.anchor.text or sorted(
                {language for name, pair in self.pairs.items() if pair.train for language in languages_of_name(name)}
            ):
                if language not in self.text:
                    raise KeyProblem((*place, "anchor"), f"there is no running text in {language!r}; name a file under text.{language}")
        return self

    @model_validator(mode="after")
    def _templates_fit(self) -> Self:
        trained_in: list[Key] = [("training",)] if self.training.templates else []
        trained_in += [("arms", name) for name, arm in self.arms.items() if arm.templates]
        spaced = next((name for name, model in self.models.items() if model.word_form == "leading-space"), None)
        trained = [name for name, pair in self.pairs.items() if pair.train]  # the other lists are fed by themselves
        others = any(name != OWN for name in self.evaluation.on)
        assert_templates_fit(self.pooling.templates, trained, trained_in, spaced, others)
        return self

    @model_validator(mode="after")
    def _parents_exist(self) -> Self:
        for name, arm in self.arms.items():
            if name == "baseline" or name.startswith("baseline-"):
                raise KeyProblem(("arms", name), "`baseline` is what the untrained model is called in the tables; rename the arm")
            parents = [arm.like] if isinstance(arm.like, str) else arm.like or []
            for parent in parents:
                if parent not in self.arms:
                    others = [other for other in self.arms if other != name]
                    raise KeyProblem(("arms", name, "like"), f"names {parent!r}, which is no arm here; {nearest(parent, others)}")
        return self

    @model_validator(mode="after")
    def _lists_exist(self) -> Self:
        for name, arm in self.arms.items():
            lists = arm.train_on or []
            for number, pair in enumerate(lists):
                if pair not in self.pairs:
                    raise KeyProblem(("arms", name, "train_on", number), f"{pair!r} is no pair here; {nearest(pair, self.pairs)}")
                if pair in lists[:number]:
                    raise KeyProblem(("arms", name, "train_on", number), f"{pair!r} is named twice; name each pair once")
        return self

    @property
    def seed_list(self) -> list[int]:
        return list(range(1, self.seeds + 1)) if isinstance(self.seeds, int) else list(self.seeds)
