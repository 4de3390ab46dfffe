"""Jobs on word lists, and the fetching of what comes from outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tli.experiment import is_address
from tli.experiment import settings as specs_of
from tli.experiment.job.base import Job, OfModel, Paths
from tli.lexicon import before, settling
from tli.specs import LexiconSpec, TextSpec, plain


@dataclass(frozen=True, eq=False)
class FetchModelJob(OfModel):
    """A model of the hub, brought to the disk."""

    kind: ClassVar[str] = "fetch-model"
    stage: ClassVar[str] = "fetch"

    @property
    def outputs(self) -> Paths:
        return {"record": self.layout.fetched_model(self.model)}

    @property
    def depends(self) -> dict[str, Any]:
        return {"model": self.plain_model}


@dataclass(frozen=True, eq=False)
class FetchListJob(Job):
    """A file of a lexicon, brought from its address."""

    pair: str
    number: int | str  # of the file among the lexicon's
    kind: ClassVar[str] = "fetch-list"
    stage: ClassVar[str] = "fetch"

    @property
    def address(self) -> str:
        return self.experiment.lists(self.pair)[int(self.number)]

    @property
    def sha256(self) -> str:
        """The checksum that the config names for this file."""
        listed = self.experiment.config.pairs[self.pair].sha256
        return listed if isinstance(listed, str) else (listed or [""] * (int(self.number) + 1))[int(self.number)]

    @property
    def outputs(self) -> Paths:
        return {"list": self.layout.fetched_list(self.pair, self.number)}

    @property
    def depends(self) -> dict[str, Any]:
        return {"address": self.address, "sha256": self.sha256}


@dataclass(frozen=True, eq=False)
class FetchTextJob(Job):
    """Running text of a language, brought from its address."""

    language: str
    kind: ClassVar[str] = "fetch-text"
    stage: ClassVar[str] = "fetch"

    @property
    def text(self) -> TextSpec:
        """What the config says of the running text in this language."""
        return self.experiment.texts([self.language])[self.language][0]

    @property
    def name(self) -> str:
        return f"text.{self.language}"

    @property
    def outputs(self) -> Paths:
        return {"text": self.layout.fetched_text(self.language)}

    @property
    def depends(self) -> dict[str, Any]:
        return {"text": plain(self.text)}


@dataclass(frozen=True, eq=False)
class FetchTasksJob(Job):
    """The items of the tasks, brought from the hub."""

    kind: ClassVar[str] = "fetch-tasks"
    stage: ClassVar[str] = "fetch"

    @property
    def name(self) -> str:
        return "tasks"

    @property
    def outputs(self) -> Paths:
        return {"record": self.layout.fetched_tasks()}

    @property
    def depends(self) -> dict[str, Any]:
        return {"tasks": list(self.experiment.config.transfer.tasks)}


@dataclass(frozen=True, eq=False)
class LexiconJob(Job):
    """A list, prepared, audited and split."""

    pair: str
    kind: ClassVar[str] = "lexicon"
    stage: ClassVar[str] = "lexicon"

    @property
    def spec(self) -> LexiconSpec:
        return specs_of.lexicon_spec(self.experiment.config, self.pair)

    @property
    def lists(self) -> dict[str, tuple[list[str], LexiconSpec]]:
        """Pair -> what is read, and how: the lists that decide the split of this one, in the config's order, itself the last."""
        config = self.experiment.config
        read = {pair: specs_of.lexicon_spec(config, pair) for pair in config.pairs}
        names = [*settling(read, self.pair), self.pair]
        return {pair: (self.experiment.entries(pair), read[pair]) for pair in names}

    @property
    def inputs(self) -> Paths:
        listed = [both for pair, (paths, _) in self.lists.items() for both in zip(self.experiment.lists(pair), paths, strict=True)]
        return {"files": [path for entry, path in listed if is_address(entry) or Path(entry).exists()]}

    @property
    def outputs(self) -> Paths:
        return {name: path for name, path in self.layout.lexicon(self.pair).items() if name != "folds"}

    @property
    def depends(self) -> dict[str, Any]:
        earlier = {pair: {"spec": plain(spec), "entries": self.experiment.lists(pair)} for pair, (_, spec) in self.lists.items()}
        return earlier.pop(self.pair) | ({"earlier": earlier} if earlier else {})


@dataclass(frozen=True, eq=False)
class ListsJob(Job):
    """The lists held against each other."""

    kind: ClassVar[str] = "lists"
    stage: ClassVar[str] = "lists"

    @property
    def inputs(self) -> Paths:
        listed = [(entry, path) for pair in self._pairs for entry, path in zip(self.experiment.lists(pair), self.experiment.entries(pair))]
        return {"files": [path for entry, path in listed if is_address(entry) or Path(entry).exists()]}

    @property
    def outputs(self) -> Paths:
        return {"lists": self.layout.lists()}

    @property
    def depends(self) -> dict[str, Any]:
        """How each list is read."""
        read = {pair: specs_of.lexicon_spec(self.experiment.config, pair) for pair in self._pairs}
        return {
            "lists": {
                pair: {"entries": self.experiment.lists(pair), "format": spec.format, "columns": spec.columns, "options": spec.options}
                for pair, spec in read.items()
            }
        }

    @property
    def _pairs(self) -> list[str]:
        return list(self.experiment.config.pairs)


@dataclass(frozen=True, eq=False)
class FoldsJob(Job):
    """The deal of folds, of all lists that are trained on at once: a concept lies in the same fold of all that share a language."""

    kind: ClassVar[str] = "folds"
    stage: ClassVar[str] = "folds"

    @property
    def inputs(self) -> Paths:
        return {"pairs": [self.layout.lexicon(pair)["pairs"] for pair in self.experiment.trained_pairs]}

    @property
    def outputs(self) -> Paths:
        return {"folds": [self.layout.lexicon(pair)["folds"] for pair in self.experiment.trained_pairs]}

    @property
    def groups(self) -> list[list[str]]:
        """The pairs whose lists are dealt together."""
        config = self.experiment.config
        unions = {pair: specs_of.lexicon_spec(config, pair).split.union for pair in self.experiment.trained_pairs}
        groups: list[list[str]] = []
        for pair in unions:
            earlier = before(unions, pair)
            joined = [group for group in groups if set(group) & set(earlier)]
            groups = [group for group in groups if group not in joined] + [[name for group in joined for name in group] + [pair]]
        return groups

    @property
    def depends(self) -> dict[str, Any]:
        split = self.experiment.config.split
        return {"folds": split.folds, "by": split.by, "seeds": self.experiment.config.seed_list, "groups": self.groups}
