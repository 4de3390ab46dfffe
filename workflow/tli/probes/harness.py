"""The harness's task objects, for its own data from the hub or for local files through task files that include its own."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tli.errors import ItemError
from tli.io.store import digest
from tli.probes import task_items as items
from tli.probes.base import Setting
from tli.probes.task_items import HUB
from tli.specs import STAGE_VERSIONS

FEWSHOT_SEED = 1234  # the harness's own


def depends_on(setting: Setting) -> dict:
    """What every answer of a model with its head depends on."""
    return {
        "version": STAGE_VERSIONS["transfer"],
        "identity": setting.check.identity,
        "dtype": setting.model.dtype,
        "harness": metadata.version("lm_eval"),
    }


def data_digest(task: str, source: str, question_from: str | None, num_fewshot: int) -> str:
    """What the items and prompts of a task depend on: the harness's version, and the content of local files. Raises ItemError."""
    content: list = [metadata.version("lm_eval"), HUB if source == HUB else items.read_items(task, source, question_from)]
    if source != HUB and num_fewshot:
        content.append(items.read_items(task, source, examples=True))
    if source == HUB and question_from and task.startswith("xcopa_"):
        content.append(items.read_questions(question_from))
    return digest(content)


def build(task: str, source: str, question_from: str | None, num_fewshot: int, folder: Path) -> Any:
    """The harness's task object, with its items loaded. `folder` takes the written files and must outlive the object.

    Raises ItemError: items that are not on disk, where the source is the hub and the hub is switched off; distinct items
    with one prompt.
    """
    from lm_eval.tasks import TaskManager

    _compile_templates_once()
    path = items.harness_yaml(task)
    if source != HUB:
        path = _write_local(task, path, source, question_from, num_fewshot, Path(folder))
    try:
        loaded = TaskManager(include_defaults=False).load([str(path)])["tasks"]
    except (OSError, ConnectionError, ValueError) as error:
        if source != HUB:
            raise
        raise ItemError(
            f"transfer.tasks: the items of {task} are not on disk ({str(error).splitlines()[0]}); `tli fetch CONFIG` gets "
            "them where the hub can be reached, or name a folder in transfer.source"
        ) from error
    made = loaded[task]
    if made.get_config("num_fewshot") != 0:  # a task that says 0 itself keeps it, as under the harness's command line
        made.set_config(key="num_fewshot", value=num_fewshot)
    made.set_fewshot_seed(seed=FEWSHOT_SEED)
    if source == HUB and question_from and task.startswith("xcopa_"):
        _replace_questions(made, question_from)
    refuse_repeated_prompts(made)
    return made


REPEATED = 0.05  # share of items whose prompt another one has too: published data sets repeat a few
NUMBERS = ("idx", "id", "label", "aligned_id", "pairID", "uid")  # of an item: they do not make it another one


def refuse_repeated_prompts(task: Any) -> None:
    """See that the task shows what it asks: distinct items must give distinct prompts.

    Raises ItemError, with the prompt, where more than REPEATED of the distinct items ask what another one asks too, choices and
    all, or where all have one and the same text before choices that tell nothing of a question. Choices do where they are
    whole sentences that differ in a word or two: such tasks have a fixed text before them, or none. Shots are left aside,
    since they may differ where nothing else does.
    """
    if getattr(task.config, "doc_to_image", None) or getattr(task.config, "doc_to_audio", None):
        return  # what differs is no text
    distinct: dict[str, tuple[str, tuple]] = {}
    for doc in task.eval_docs:
        content = {name: value for name, value in doc.items() if name not in NUMBERS and not isinstance(value, (int, float))}
        content_key = json.dumps(content, sort_keys=True, default=str)
        if content_key not in distinct:
            distinct[content_key] = _asked(task, doc)
    first = {asked: content for content, asked in reversed(distinct.items())}
    repeated = [asked for content, asked in distinct.items() if first[asked] != content]
    contexts = {context for context, _ in distinct.values()}
    asking = sum(_share_a_sentence(rest) for _, rest in distinct.values())
    constant = len(distinct) > 2 and len(contexts) == 1 and contexts != {""} and 2 * asking < len(distinct)
    if not constant and len(repeated) <= REPEATED * len(distinct):
        return
    context, rest = repeated[0] if repeated else next(iter(distinct.values()))
    many = "all" if constant else f"{len(repeated)} of"
    raise ItemError(
        f"transfer.tasks: {task.config.task}: {many} {len(distinct)} distinct items give a prompt that another item gives too: "
        f"{(context or ' | '.join(rest))[:300]!r}. The task does not show what it asks; take it out, or another version of it"
    )


def _share_a_sentence(choices: tuple[str, ...]) -> bool:
    """Whether half of the words of the shortest choice stand in all of them."""
    words = [set(choice.split()) for choice in choices]
    return len(words) > 1 and 2 * len(set.intersection(*words)) >= min(map(len, words))


def _asked(task: Any, doc: dict) -> tuple[str, tuple[str, ...]]:
    """What stands before all choices of an item, and what follows."""
    text, several = task.doc_to_text(doc), getattr(task, "multiple_input", 0)
    if task.OUTPUT_TYPE in ("multiple_choice", "loglikelihood", "loglikelihood_rolling"):
        choices = task.doc_to_choice(doc) if getattr(task.config, "doc_to_choice", None) is not None else ()
        rest = tuple(map(str, choices)) or (str(task.doc_to_target(doc)),)
    else:
        rest = ()
    if several:  # the choices stand before one target
        return "", (*rest, str(task.doc_to_target(doc)))
    prefix = task.doc_to_prefix(doc) if hasattr(task, "doc_to_prefix") else None
    return f"{text}{prefix or ''}", rest


def _compile_templates_once() -> None:
    """The harness compiles a task's template anew for each item and use, a millisecond each: four times an XNLI item."""
    from lm_eval import utils

    if not hasattr(utils.env.from_string, "cache_info"):
        utils.env.from_string = lru_cache(maxsize=1024)(utils.env.from_string)


def _write_local(task: str, own: Path, source: str, question_from: str | None, num_fewshot: int, folder: Path) -> Path:
    """A task file that includes the harness's and names local items in place of the hub's."""
    import yaml
    from lm_eval.tasks._yaml_loader import load_yaml

    folder.mkdir(parents=True, exist_ok=True)
    settings = load_yaml(own, resolve_func=False)
    scored = settings.get("test_split") or settings.get("validation_split")
    splits: dict[str, str | None] = {"training_split": None, "validation_split": None, "test_split": None, "fewshot_split": None}
    splits["test_split" if settings.get("test_split") else "validation_split"] = scored
    files = {scored: _write_rows(items.read_items(task, source, question_from), folder / f"{task}.jsonl")}
    if num_fewshot:
        files["examples"] = _write_rows(items.read_items(task, source, examples=True), folder / f"{task}.examples.jsonl")
        splits["fewshot_split"] = "examples"
    written = folder / f"{task}.yaml"
    kwargs = {"data_files": files, "cache_dir": str(folder / "cache")}
    text = {"include": str(own), "task": task, "dataset_path": "json", "dataset_name": None, "dataset_kwargs": kwargs, **splits}
    written.write_text(yaml.safe_dump(text, allow_unicode=True), encoding="utf-8")
    return written


def _write_rows(rows: list[dict], path: Path) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def _replace_questions(task: Any, question_from: str) -> None:
    questions = items.read_questions(question_from)
    split = task.config.test_split or task.config.validation_split

    def replaced(doc: dict) -> dict:
        question, label = questions.get(str(doc["idx"]), (None, None))
        if question is None or label not in (None, doc["label"]):
            raise ItemError(
                f"transfer.question_from: {question_from} has no item {doc['idx']} with the label {doc['label']}; is it the English side?"
            )
        return {"question": question}

    task.dataset[split] = task.dataset[split].map(replaced, keep_in_memory=True, load_from_cache_file=False)
