"""Scores of one model on one task by the lm-evaluation-harness, item by item."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from tli.io import tables
from tli.log import say
from tli.model.opened import Loaded
from tli.probes import harness
from tli.probes.base import Answer, Probe, Setting
from tli.probes.harness import depends_on
from tli.probes.task_items import family
from tli.subjects import Subject

ITEMS = [name for name in tables.TRANSFER if name not in tables.RUN]
VALUES = [name for name in tables.GENERATION if name not in tables.RUN]


def harness_model(model: Any, tokenizer: Any, *, batch_size: int, add_bos: bool) -> Any:
    """The harness's model object around `model`; adapters put on the model later count.

    add_bos: whether BOS stands before each prompt, whatever the tokenizer does by itself. Log-probabilities are taken in
    float32: in bfloat16 the sums of two choices are often equal, and the harness then takes the first.
    """
    from lm_eval.models.huggingface import HFLM

    settle_bos(tokenizer, add_bos)
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, add_bos_token=add_bos, softmax_dtype="float32")


def settle_bos(tokenizer: Any, add_bos: bool) -> None:
    """Make the tokenizer put BOS, and nothing else, around a text where `add_bos` is asked for; in place.

    The harness asks the tokenizer for its special tokens and takes what comes: one that adds none gives no BOS, one that
    adds EOS puts it between prompt and choice. Raises ValueError for a tokenizer without a BOS.
    """
    if not add_bos:
        return  # the harness then asks for no special tokens at all
    if tokenizer.bos_token_id is None:
        raise ValueError("transfer.add_bos: this model's tokenizer has no BOS; set it to false")
    if _is_bos_only(tokenizer):
        return
    from tokenizers.processors import TemplateProcessing

    bos = tokenizer.bos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)])
    if not _is_bos_only(tokenizer):
        raise ValueError("transfer.add_bos: this model's tokenizer cannot be made to put BOS before a text; set it to false")


def _is_bos_only(tokenizer: Any) -> bool:
    plain = tokenizer.encode("a", add_special_tokens=False)
    return tokenizer.encode("a") == [tokenizer.bos_token_id, *plain]


def evaluated(lm: Any, task: Any, limit: int | None = None) -> dict[str, Any]:
    """What the harness's `evaluate` finds, with its samples.

    It is the part of `simple_evaluate` that scores: the rest of it lists the machine's packages for its own record at each call,
    which takes longer than a small model takes for the items.
    """
    import torch
    from lm_eval.evaluator import evaluate

    random.seed(0)  # the harness's own seeds, for tasks that sample
    np.random.seed(1234)
    torch.manual_seed(1234)
    return evaluate(lm, {"tasks": {task.config.task: task}}, limit=limit, bootstrap_iters=0, log_samples=True)


def score(lm: Any, task: Any, limit: int | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score a task object of `tasks.build` as the harness's `simple_evaluate` does: tables of items and of other metrics.

    items (columns ITEMS; empty for a task without choices): margin is the log-probability of the right choice minus that
    of the best wrong one, in nats; positive where the item is right. Other metrics (VALUES) are the task's own, over all
    items.
    """
    name = task.config.task
    found = evaluated(lm, task, limit)
    samples = found["samples"][name]
    language = family(name)[1]
    if task.OUTPUT_TYPE == "multiple_choice":
        table = pd.DataFrame([_item(sample, task) for sample in samples], columns=ITEMS[2:])
        return table.assign(task=name, language=language)[ITEMS], pd.DataFrame(columns=VALUES)
    rows = [
        {"task": name, "language": language, "metric": key, "value": float(value), "items": len({s["doc_id"] for s in samples})}
        for key, value in found["results"][name].items()
        if "," in key and "_stderr" not in key and isinstance(value, (int, float, np.number))
    ]
    return pd.DataFrame(columns=ITEMS), pd.DataFrame(rows, columns=VALUES)


def _item(sample: dict[str, Any], task: Any) -> dict:
    choices = task.doc_to_choice(sample["doc"])
    logs = np.array([float(log) for log, _ in sample["filtered_resps"][: len(choices)]])
    gold = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    right = [choices.index(one) if isinstance(one, str) else int(one) for one in (gold if isinstance(gold, list) else [gold])]
    wrong = [k for k in range(len(choices)) if k not in right]
    predicted = int(np.argmax(logs))  # the first of equals, as the harness has it
    number = sample["doc_id"]
    known, _ = family(task.config.task)
    return {
        "item": str(number),
        "label": right[0],
        "predicted": predicted,
        "correct": float(sample["acc"]) if "acc" in sample else float(predicted in right),
        "margin": float(logs[right].max() - logs[wrong].max()) if wrong else float("nan"),
        "choices": len(choices),
        "aligned_id": sample["doc"].get("aligned_id", f"{known.name}:{number}" if known and known.parallel else ""),
    }


@dataclass
class Harness:
    """The harness around the model that is opened, shared by the probes of all tasks."""

    batch_size: int
    add_bos: bool
    _whole: Any = None
    _model: Any = None

    def around(self, loaded: Loaded) -> Any:
        """The harness's model object; made anew for another opened model."""
        if self._whole is not loaded.whole:
            self._whole = loaded.whole
            self._model = harness_model(loaded.whole, loaded.opened.tokenizer, batch_size=self.batch_size, add_bos=self.add_bos)
        return self._model


@dataclass(eq=False)
class TaskProbe(Probe):
    """A task of the harness: one row an item, or the task's own metrics where it has no choices."""

    task: str
    depends: dict  # what else the answer depends on
    quantization: str  # of a subject that is measured quantised
    harness: Harness
    build: Callable[[str], Any]  # the harness's task object, made when it is first asked for
    limit: int | None = None
    kind: ClassVar[str] = "transfer"
    needs_head: ClassVar[bool] = True
    streams: ClassVar[bool] = False
    once_a_seed: ClassVar[bool] = True
    answers: ClassVar[dict[str, Answer]] = {
        "items": Answer("transfer.parquet", tuple(tables.TRANSFER)),
        "values": Answer("generation.tsv", tuple(tables.GENERATION)),
    }
    _task: Any = field(default=None)

    @classmethod
    def of(cls, setting: Setting) -> list[TaskProbe]:
        """One for each task, all around one model object of the harness. Raises ItemError for items that cannot be used."""
        spec = setting.transfer
        add_bos = setting.check.bos if spec.add_bos is None else spec.add_bos
        say(f"transfer: BOS before each prompt: {'yes' if add_bos else 'no'}")
        scored = depends_on(setting) | {"add_bos": add_bos, "limit": spec.limit, "num_fewshot": spec.num_fewshot}
        around = Harness(spec.batch_size, add_bos)

        def build(task: str) -> Any:
            return harness.build(task, spec.source, spec.question_from, spec.num_fewshot, setting.scratch)

        def data(task: str) -> str:
            return harness.data_digest(task, spec.source, spec.question_from, spec.num_fewshot)

        quantization = setting.model.quantization
        return [cls(task, scored | {"data": data(task)}, quantization, around, build, spec.limit) for task in spec.tasks]

    def key(self, subject: Subject) -> dict:
        quantization = self.quantization if subject.quantized else "none"
        return self.depends | {"quantization": quantization, "unit": subject.unit, "task": self.task}

    def measure(self, loaded: Loaded, subject: Subject, folder: Path) -> None:
        if self._task is None:
            self._task = self.build(self.task)
        lm = self.harness.around(loaded)

        def scored(rows_of_a_batch: int) -> tuple[pd.DataFrame, pd.DataFrame]:
            lm.batch_size_per_gpu = rows_of_a_batch
            return score(lm, self._task, self.limit)

        # The harness takes the longest first, so where the card does not hold a batch, little is done twice.
        rows, values = loaded.opened.room("rows of a batch").largest(lm.batch_size, scored)
        (rows if len(rows) else values).to_parquet(folder / f"{'items' if len(rows) else 'values'}.parquet", index=False)
