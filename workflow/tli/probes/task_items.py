"""Items of downstream tasks from local files: found, read, checked to the line. No torch, so the DAG may ask."""

from __future__ import annotations

import csv
import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from tli.errors import ItemError

HUB = "hub"
NLI_LABELS = ("entailment", "neutral", "contradiction")
XNLI_NAMES = {"sentence1": "premise", "sentence2": "hypothesis", "gold_label": "label"}  # as XNLI's own files name them


@dataclass(frozen=True)
class Family:
    """Tasks that share a format."""

    name: str
    pattern: str  # of the task's name; the group `language` where the name tells it
    language: str  # where the name does not tell it
    keys: tuple[str, ...]
    labels: tuple  # names of the labels 0, 1, ...
    parallel: bool  # item i is the same in every language


FAMILIES = (
    Family("xcopa", r"xcopa_(?P<language>[a-z]+)", "", ("premise", "choice1", "choice2", "question", "label"), (0, 1), True),
    Family("copa", r"copa", "en", ("premise", "choice1", "choice2", "question", "label"), (0, 1), False),
    Family("xnli", r"xnli_(?P<language>[a-z]+)", "", ("premise", "hypothesis", "label"), NLI_LABELS, True),
    Family(
        "afrixnli",
        r"afrixnli_(?:(?:translate|en_direct|native_direct|manual_direct|manual_translate)_)?(?P<language>[a-z]{3})(?:_prompt_\d)?",
        "",
        ("premise", "hypothesis", "label"),
        NLI_LABELS,
        True,
    ),
)


def family(task: str) -> tuple[Family | None, str]:
    """The family of a task and its language, as the harness's name has it ("sw", "swa"); None and "" where neither is known."""
    for one in FAMILIES:
        match = re.fullmatch(one.pattern, task)
        if match:
            return one, match.groupdict().get("language") or one.language
    language = next((part for part in task.split("_") if part in ("sw", "swa", "swh", "en", "eng")), "")
    return None, language


def check_data(tasks: list[str], source: str, question_from: str | None = None, num_fewshot: int = 0) -> None:
    """Read every local file that the tasks need, before any model is loaded. Nothing to do where the source is the hub.

    Raises ItemError for a task that the harness does not have, a missing or empty file, a line that is no item, a label
    outside the choices.
    """
    for task in tasks:
        harness_yaml(task)
        if source != HUB:
            read_items(task, source, question_from)
            if num_fewshot and find_file(task, source, examples=True) is None:
                raise ItemError(
                    f"{source}: holds no {data_name(task)}.val.jsonl, from which the {num_fewshot} examples before each item of "
                    f"{task} would come; add the file, or set transfer.num_fewshot: 0"
                )
    if question_from:
        read_questions(question_from)


def data_name(task: str) -> str:
    """The stem of a task's local file: prompts of one task share it."""
    found, language = family(task)
    if found is not None and found.name == "afrixnli":
        return f"afrixnli_{'translate_' if 'translate' in task else ''}{language}"
    return task


def find_file(task: str, source: str, examples: bool = False) -> Path | None:
    """The local file with the items of `task`, or with the examples for few-shot prompts; None where there is none.

    Looked for in this order: <task>.jsonl, <task>.tsv (examples: <task>.val.*), then the layouts in which XCOPA
    (<language>/test.<language>.jsonl), COPA (COPA/val.jsonl), XNLI (xnli.test.tsv, xnli.test.jsonl) and AfriXNLI
    (<language>/test.tsv) are published. The harness scores XNLI on the dev items from the hub; a file is scored as it is.
    """
    found, language = family(task)
    stem = data_name(task)
    split, name = ("val", f"{stem}.val") if examples else ("test", stem)
    places = [f"{name}.jsonl", f"{name}.tsv"]
    if found is not None:
        dev = "dev" if examples else "test"
        places += {
            "xcopa": [f"{language}/{split}.{language}.jsonl", f"xcopa/{language}/{split}.{language}.jsonl"],
            "copa": ["COPA/train.jsonl" if examples else "COPA/val.jsonl"],
            "xnli": [f"{place}xnli.{dev}.{end}" for place in ("", "XNLI-1.0/") for end in ("jsonl", "tsv")],
            "afrixnli": [f"{language}/{dev}.tsv", f"afrixnli/{language}/{dev}.tsv"],
        }[found.name]
    return next((Path(source) / place for place in places if (Path(source) / place).is_file()), None)


def read_items(task: str, source: str, question_from: str | None = None, examples: bool = False) -> list[dict]:
    """The items of a task in the harness's own form: its keys, `label` as a number, and `aligned_id`.

    aligned_id is the same for one item in all languages of a parallel data set, "" where the languages are not parallel.
    question_from: XCOPA's English file; each XCOPA item takes its `question` from it, found by idx (few-shot examples keep
    their own: the file is of the scored items). Raises ItemError.
    """
    if not Path(source).is_dir():
        raise ItemError(f"transfer.source: {source} is no folder; give a folder with the tasks' files, or `hub`")
    path = find_file(task, source, examples)
    found, language = family(task)
    if path is None:
        raise ItemError(
            f"{source}: holds no file for the task {task}: expected {data_name(task)}.jsonl; resources/README.md shows the formats"
        )
    rows = _read_rows(path)
    if found is None:
        return [row | {"aligned_id": ""} for _, row in rows]
    if found.name == "xnli" and any("language" in row for _, row in rows):
        rows = [(line, row) for line, row in rows if row.get("language") == language]
        if not rows:
            raise ItemError(f"{path}: holds no item whose language is {language!r}")
    items = [_item(row, found, path, line, place) for place, (line, row) in enumerate(rows)]
    if found.parallel:
        _refuse_repeated([item["aligned_id"] for item in items], rows, path)
    if question_from and found.name == "xcopa" and not examples:
        _take_questions(items, rows, path, question_from)
    return items


def read_questions(path: str) -> dict[str, tuple[str, int | None]]:
    """Idx -> (question, label) of XCOPA's English file; where it has no idx, the line's place from 0. Raises ItemError."""
    if not Path(path).is_file():
        raise ItemError(f"transfer.question_from: {path} is not there; give XCOPA's English file, or leave the key out")
    questions = {}
    for place, (line, row) in enumerate(_read_rows(Path(path))):
        question = row.get("question")
        if question not in ("cause", "effect"):
            raise ItemError(f"{path}, line {line}: question is {question!r}; it must be `cause` or `effect`")
        questions[str(row.get("idx", place))] = question, row.get("label") if row.get("label") in (0, 1) else None
    return questions


def _take_questions(items: list[dict], rows: list, path: Path, question_from: str) -> None:
    questions = read_questions(question_from)
    for item, (line, _) in zip(items, rows, strict=True):
        number = item["aligned_id"].split(":")[1]
        if number not in questions:
            raise ItemError(f"{path}, line {line}: {question_from} has no item {number}; is it the English side of this file?")
        question, label = questions[number]
        if label not in (None, item["label"]):
            raise ItemError(
                f"{path}, line {line}: the label is {item['label']}, that of item {number} in {question_from} is {label}; "
                "the two files are not of the same items"
            )
        item["question"] = question


def _item(row: dict, found: Family, path: Path, line: int, place: int) -> dict:
    row = {XNLI_NAMES.get(key, key): value for key, value in row.items()} if found.name == "xnli" else row
    for key in found.keys:
        if key not in row or row[key] is None:
            raise ItemError(f"{path}, line {line}: has no {key!r}; an item of {found.name} has {', '.join(found.keys)}")
        if key != "label" and (not isinstance(row[key], str) or not row[key].strip()):
            raise ItemError(f"{path}, line {line}: {key!r} is {row[key]!r}; it must be a text that is not empty")
    item = {key: row[key] for key in found.keys} | {"label": _label(row["label"], found.labels, path, line)}
    if "question" in item and item["question"] not in ("cause", "effect"):
        raise ItemError(f"{path}, line {line}: question is {item['question']!r}; it must be `cause` or `effect`")
    number = row.get("pairID") if found.name == "xnli" else row.get("idx")
    item["aligned_id"] = f"{found.name}:{place if number in (None, '') else number}" if found.parallel else ""
    return item


def _label(value: object, labels: tuple, path: Path, line: int) -> int:
    text = str(value).strip()
    if not isinstance(value, bool) and text in map(str, range(len(labels))):
        return int(text)
    if text in labels:
        return labels.index(text)
    names = "" if labels[0] == 0 else f" ({', '.join(labels)})"
    raise ItemError(f"{path}, line {line}: label is {value!r}; the choices are 0 to {len(labels) - 1}{names}")


def _refuse_repeated(numbers: list[str], rows: list, path: Path) -> None:
    seen: dict[str, int] = {}
    for number, (line, _) in zip(numbers, rows, strict=True):
        if number in seen:
            raise ItemError(
                f"{path}, line {line}: item {number.split(':')[1]} is there already, in line {seen[number]}; drop one of the two"
            )
        seen[number] = line


def _read_rows(path: Path) -> list[tuple[int, dict]]:
    """(line, item) of a JSONL or TSV file with a header; empty lines do not count."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ItemError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    rows = _tsv_rows(lines, path) if path.suffix == ".tsv" else [(number, _json_row(line, path, number)) for number, line in lines]
    if not rows:
        raise ItemError(f"{path}: holds no item; copy the file again")
    return rows


def _tsv_rows(lines: list[tuple[int, str]], path: Path) -> list[tuple[int, dict]]:
    if not lines:
        return []
    cells = list(csv.reader((line.rstrip("\r") for _, line in lines), delimiter="\t", quoting=csv.QUOTE_NONE))
    header = cells[0]
    for (number, _), row in zip(lines, cells, strict=True):
        if len(row) != len(header):
            raise ItemError(f"{path}, line {number}: has {len(row)} cells, the header has {len(header)}")
    return [(number, dict(zip(header, row, strict=True))) for (number, _), row in zip(lines[1:], cells[1:], strict=True)]


def _json_row(line: str, path: Path, number: int) -> dict:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ItemError(f"{path}, line {number}: not valid JSON ({error.msg}, column {error.colno})") from None
    if not isinstance(row, dict):
        raise ItemError(f'{path}, line {number}: is no JSON object; each line is one item like {{"premise": ..., "label": 0}}')
    return row


def harness_yaml(task: str) -> Path:
    """The harness's own file for a task, found by reading names only. Raises ItemError where the harness has no such task."""
    from importlib.util import find_spec

    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ItemError("the package lm_eval is not installed; install what environment.yml names")
    root = Path(spec.submodule_search_locations[0]) / "tasks"
    found, _ = family(task)
    folder = {"copa": root / "super_glue" / "copa"}.get(found.name, root / found.name) if found else root
    named = re.compile(rf"^task:\s*[\"']?{re.escape(task)}[\"']?\s*$".encode(), re.MULTILINE)
    for path in sorted(folder.rglob("*.yaml")):
        if named.search(path.read_bytes()):
            return path
    raise ItemError(f"transfer.tasks: the harness has no task {task!r}; {_near(task, folder)}`lm-eval ls tasks` lists them")


def _near(task: str, folder: Path) -> str:
    """The tasks of a folder of the harness that are called much like this one, as a question; "" where there are none."""
    names = {
        name.decode()
        for path in folder.rglob("*.yaml")
        for name in re.findall(rb"^task:\s*[\"']?([\w.-]+)", path.read_bytes(), re.MULTILINE)
    }
    near = difflib.get_close_matches(task, names, n=3)
    return f"did you mean {' or '.join(near)}? " if near else ""
