"""The items of a translation as tasks of the lm-evaluation-harness: a folder for its `--include_path`, and the task objects from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tli.io.atomic import whole
from tli.probes import harness

EXACT = "_exact"  # ends the name of the task that generates


def task_name(direction: str, shots: int) -> str:
    """Of the task with choices; that which generates is called so with EXACT after it."""
    return f"tli_translate_{direction.replace('-', '_')}_{shots}_shot"


def write_tasks(folder: str | Path, name: str, items: Sequence[dict]) -> list[Path]:
    """Write `<name>.jsonl` and two task files: choice by log-likelihood, and greedy generation up to the end of the line.

    items: of `translation.items_of`. The shots stand in the prompts, so the tasks themselves have none. A generation is exact
    where it is an accepted form, without regard to case and punctuation. Returns the paths of the task files.
    """
    import yaml

    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{name}.jsonl"
    with whole(data) as beside:
        beside.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
    shared = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "metadata": {"version": 1},
    }
    choice = {
        "task": name,
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True, "ignore_punctuation": True}
    exact = {
        "task": name + EXACT,
        "output_type": "generate_until",
        "doc_to_target": "accepted",
        "generation_kwargs": {"until": ["\n"], "do_sample": False, "temperature": 0.0, "max_gen_toks": longest_answer(items)},
        "filter_list": [{"name": "none", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}],
        "metric_list": [metric],
    }
    paths = []
    for task in (choice, exact):
        paths.append(folder / f"{task['task']}.yaml")
        with whole(paths[-1]) as beside:
            beside.write_text(yaml.safe_dump(task | shared, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return paths


def longest_answer(items: Sequence[dict]) -> int:
    """Tokens in which every accepted form can be said: a token is a byte or more; with a space before and the line's end after."""
    return 2 + max(len(form.encode()) for item in items for form in item["accepted"])


def build_tasks(folder: str | Path, name: str, items: Sequence[dict]) -> list[Any]:
    """Both task objects, with their items loaded. `folder` takes the files and must outlive the objects.

    Raises ItemError where two items give one prompt.
    """
    from lm_eval.tasks import TaskManager

    paths = [str(path) for path in write_tasks(folder, name, items)]
    loaded = TaskManager(include_defaults=False).load(paths)["tasks"]
    tasks = [loaded[name], loaded[name + EXACT]]
    for task in tasks:
        harness.refuse_repeated_prompts(task)
    return tasks
