"""Word translation by prompt: does a subject say what it aligns? Held-out words, both directions, as tasks of the harness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from tli.errors import ItemError
from tli.io import tables
from tli.io.store import digest
from tli.log import say
from tli.probes import scoring
from tli.probes.base import Answer, Probe, Setting, TrainedElsewhere, nothing_elsewhere
from tli.probes.harness import depends_on
from tli.probes.scoring import Harness
from tli.probes.translation import Wording, directions, items_of
from tli.probes.translation_tasks import build_tasks, longest_answer, task_name, write_tasks
from tli.subjects import Subject

COLUMNS = [name for name in tables.TRANSLATE if name not in tables.RUN]
VERSION = 1  # raised when a word gets other figures than before


@dataclass(eq=False)
class TranslateProbe(Probe):
    """One direction with one number of shots. With folds each run is asked the words of its fold, and the base model those of each."""

    wording: Wording
    shots: int
    choices: int
    splits: Callable[[int, int], pd.DataFrame]  # the pairs with the splits of a seed and fold, columns tables.PAIRS
    has_folds: bool
    depends: dict[str, Any]  # what else the answer depends on
    quantization: str  # of a subject that is measured quantised
    harness: Harness
    scratch: Path
    limit: int | None = None
    elsewhere: TrainedElsewhere = nothing_elsewhere
    kind: ClassVar[str] = "translate"
    needs_head: ClassVar[bool] = True
    streams: ClassVar[bool] = False  # it generates, with the whole model
    answers: ClassVar[dict[str, Answer]] = {"translate": Answer("translate.parquet", tuple(tables.TRANSLATE))}
    _built: dict[tuple[int, int], list[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, setting: Setting) -> list[TranslateProbe]:
        """Two directions times the numbers of shots; none where the config does not ask. Raises ItemError for too few training pairs."""
        spec = setting.transfer.translate
        if spec is None:
            return []
        add_bos = setting.check.bos if setting.transfer.add_bos is None else setting.transfer.add_bos
        depends = depends_on(setting) | {"translate": VERSION, "add_bos": add_bos, "limit": setting.transfer.limit}
        around = Harness(setting.transfer.batch_size, add_bos)
        shared = setting.splits, setting.has_folds, depends, setting.model.quantization, around, setting.scratch, setting.transfer.limit
        wordings = [Wording(direction, spec.names) for direction in directions(setting.pair)]
        elsewhere = setting.elsewhere
        probes = [cls(wording, shots, spec.choices, *shared, elsewhere) for wording in wordings for shots in spec.shots]
        if not setting.has_folds:
            counts = [f"{len(probe.items(-1, 0))} words {probe.wording.direction.name}, {probe.shots} shots" for probe in probes]
            say(f"transfer: translation by prompt: {'; '.join(counts)}")
        return probes

    @property
    def name(self) -> str:
        """Of its task."""
        return task_name(self.wording.direction.name, self.shots)

    @cache  # noqa: B019 (it lives as long as the job)
    def items(self, seed: int, fold: int) -> list[dict]:
        """Of a split: `translation.items_of`."""
        return items_of(self.splits(seed, fold), self.wording, self.shots, self.choices, self.elsewhere(seed, fold))

    def asks(self, subject: Subject) -> bool:
        return subject.map_inside is None and bool(subject.fold) == self.has_folds

    def key(self, subject: Subject) -> dict[str, Any]:
        quantization = self.quantization if subject.quantized else "none"
        return self.depends | {
            "quantization": quantization,
            "unit": subject.unit,
            "task": self.name,
            "items": self._digest(*_place(subject)),
        }

    @cache  # noqa: B019
    def _digest(self, seed: int, fold: int) -> str:
        return digest(self.items(seed, fold))

    def measure(self, loaded: Any, subject: Subject, folder: Path) -> None:
        items = self.items(*_place(subject))
        table = pd.DataFrame(columns=COLUMNS)
        if items:
            lm = self.harness.around(loaded)
            self._refuse_too_long(lm, items)
            choice, exact = self._tasks(*_place(subject))
            of_choice, _ = scoring.score(lm, choice, self.limit)
            samples = {sample["doc_id"]: sample for sample in scoring.evaluated(lm, exact, self.limit)["samples"][exact.config.task]}
            table = of_choice[["item", "correct", "margin", "choices"]].assign(direction=self.wording.direction.name, shots=self.shots)
            places = table["item"].astype(int)
            table["exact"] = [float(samples[place]["exact_match"]) for place in places]
            table["answer"] = [str(samples[place]["filtered_resps"][0]) for place in places]
            for name in ("item", "component"):
                table[name] = [items[place][name] for place in places]
        table[COLUMNS].to_parquet(folder / "translate.parquet", index=False)

    def _tasks(self, seed: int, fold: int) -> list[Any]:
        if (seed, fold) not in self._built:
            self._built[seed, fold] = build_tasks(self.scratch / f"{self.name}_{seed}_{fold}", self.name, self.items(seed, fold))
        return self._built[seed, fold]

    def _refuse_too_long(self, lm: Any, items: list[dict]) -> None:
        """The harness would cut the prompt from the left, and with it the shots."""
        prompts = [item["prompt"] for item in items[: self.limit]]
        longest = 1 + max(map(len, lm.tokenizer(prompts, add_special_tokens=False)["input_ids"]))
        needed = longest + longest_answer(items)
        if needed > lm.max_length:
            raise ItemError(
                f"transfer.translate.shots: with {self.shots} shots and room for an answer a prompt takes up to {needed} tokens, and the "
                f"model has room for {lm.max_length}; ask for fewer shots"
            )

    def write(self, folder: str | Path, seed: int, fold: int) -> None:
        """Leave the task in `folder`, for whoever asks another model the same: `lm_eval --include_path <folder> --tasks <name>`."""
        if items := self.items(seed, fold):
            write_tasks(folder, self.name, items)


def _place(subject: Subject) -> tuple[int, int]:
    """The seed and fold whose split a subject is asked; without folds all have one."""
    return (subject.seed, subject.fold) if subject.fold else (-1, 0)
