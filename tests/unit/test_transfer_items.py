"""Items of downstream tasks: found in every published layout, read to the line, and refused with file and line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tli.errors import ItemError
from tli.probes import task_items as items

DEMO = Path(__file__).resolve().parents[2] / "resources" / "demo" / "transfer"
GOOD = {"premise": "It rained.", "choice1": "It is wet.", "choice2": "It is dry.", "question": "effect", "label": 0, "idx": 0}


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_demo_items_are_good():
    items.check_data(["xcopa_sw", "copa", "xnli_sw", "xnli_en"], str(DEMO))
    swahili, english = (items.read_items(task, str(DEMO)) for task in ("xnli_sw", "xnli_en"))
    assert [i["label"] for i in swahili] == [i["label"] for i in english] == [0, 1, 2] * 5
    assert [i["aligned_id"] for i in swahili] == [i["aligned_id"] for i in english]
    assert {i["aligned_id"] for i in items.read_items("copa", str(DEMO))} == {""}  # no translation of XCOPA's items


@pytest.mark.parametrize(
    ("task", "language", "stem"),
    [
        ("xcopa_sw", "sw", "xcopa_sw"),
        ("copa", "en", "copa"),
        ("xnli_en", "en", "xnli_en"),
        ("afrixnli_swa_prompt_3", "swa", "afrixnli_swa"),
        ("afrixnli_native_direct_lin", "lin", "afrixnli_lin"),
        ("afrixnli_translate_swa_prompt_2", "swa", "afrixnli_translate_swa"),
        ("xstorycloze_sw", "sw", "xstorycloze_sw"),
    ],
)
def test_names_of_tasks(task, language, stem):
    assert (items.family(task)[1], items.data_name(task)) == (language, stem)
    assert f"task: {task}\n" in items.harness_yaml(task).read_text(encoding="utf-8") + "\n"


@pytest.mark.parametrize(
    ("broken", "line", "says"),
    [
        ({**GOOD, "label": 2}, 2, "label is 2"),
        ({**GOOD, "label": True}, 2, "label is True"),
        ({**GOOD, "label": None}, 2, "has no 'label'"),
        ({**GOOD, "question": "reason"}, 2, "question is 'reason'"),
        ({**GOOD, "choice2": "  "}, 2, "'choice2'"),
        ({k: v for k, v in GOOD.items() if k != "premise"}, 2, "has no 'premise'"),
        ({**GOOD, "idx": 0}, 2, "there already, in line 1"),
        ('{"premise": "cut', 2, "not valid JSON"),
        ("[1, 2]", 2, "no JSON object"),
    ],
)
def test_a_broken_line_is_named(tmp_path, broken, line, says):
    path = lines(tmp_path / "xcopa_sw.jsonl", GOOD, broken)
    with pytest.raises(ItemError, match="line") as error:
        items.check_data(["xcopa_sw"], str(tmp_path))
    assert f"{path}, line {line}: " in str(error.value) and says in str(error.value)


def test_files_that_are_not_there_or_empty(tmp_path):
    with pytest.raises(ItemError, match="is no folder"):
        items.check_data(["xcopa_sw"], str(tmp_path / "none"))
    with pytest.raises(ItemError, match=r"expected xcopa_sw\.jsonl"):
        items.check_data(["xcopa_sw"], str(tmp_path))
    with pytest.raises(ItemError, match="no task 'xcopa_xx'"):
        items.check_data(["xcopa_xx"], "hub")
    lines(tmp_path / "xcopa_sw.jsonl", "", "")
    with pytest.raises(ItemError, match=r"xcopa_sw\.jsonl: holds no item"):
        items.check_data(["xcopa_sw"], str(tmp_path))
    (tmp_path / "xcopa_sw.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ItemError, match="not UTF-8 at byte 0"):
        items.check_data(["xcopa_sw"], str(tmp_path))
    lines(tmp_path / "xcopa_sw.jsonl", GOOD)
    with pytest.raises(ItemError, match=r"xcopa_sw\.val\.jsonl"):
        items.check_data(["xcopa_sw"], str(tmp_path), num_fewshot=2)


def test_xnli_as_it_is_published(tmp_path):
    """All languages in one TSV, told apart by a column; labels as words; an item's number is its pairID."""
    header = "language\tgold_label\tsentence1\tsentence2\tpairID"
    lines(
        tmp_path / "xnli.test.tsv",
        header,
        'en\tneutral\tHe said "no.\tHe left.\t7',
        "sw\tneutral\tAlisema.\tAliondoka.\t7",
        "sw\tentailment\tA.\tB.\t9",
    )
    found = items.read_items("xnli_sw", str(tmp_path))
    assert found == [
        {"premise": "Alisema.", "hypothesis": "Aliondoka.", "label": 1, "aligned_id": "xnli:7"},
        {"premise": "A.", "hypothesis": "B.", "label": 0, "aligned_id": "xnli:9"},
    ]
    assert items.read_items("xnli_en", str(tmp_path))[0]["premise"] == 'He said "no.'
    with pytest.raises(ItemError, match="language is 'ur'"):
        items.read_items("xnli_ur", str(tmp_path))
    lines(tmp_path / "xnli.test.tsv", header, "sw\tmaybe\tA.\tB.\t9")
    with pytest.raises(ItemError, match="line 2: label is 'maybe'"):
        items.read_items("xnli_sw", str(tmp_path))
    lines(tmp_path / "xnli.test.tsv", header, "sw\tneutral\tA.")
    with pytest.raises(ItemError, match="line 2: has 3 cells, the header has 5"):
        items.read_items("xnli_sw", str(tmp_path))


def test_question_from(tmp_path):
    lines(tmp_path / "xcopa_sw.jsonl", {**GOOD, "idx": 4}, {**GOOD, "idx": 5})
    english = lines(tmp_path / "en.jsonl", {**GOOD, "idx": 5, "question": "cause"}, {**GOOD, "idx": 4})
    assert [i["question"] for i in items.read_items("xcopa_sw", str(tmp_path), str(english))] == ["effect", "cause"]
    lines(english, {**GOOD, "idx": 5, "label": 1}, {**GOOD, "idx": 4})
    with pytest.raises(ItemError, match=r"xcopa_sw\.jsonl, line 2: the label is 0, that of item 5"):
        items.check_data(["xcopa_sw"], str(tmp_path), str(english))
    lines(english, {**GOOD, "idx": 5})
    with pytest.raises(ItemError, match=r"line 1: .* has no item 4"):
        items.check_data(["xcopa_sw"], str(tmp_path), str(english))


def test_reading_items_imports_no_torch():
    code = f"from tli.probes import task_items as items; items.check_data(['xnli_sw', 'copa'], {str(DEMO)!r}); import sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_question_from_on_the_hubs_items(tmp_path):
    from types import SimpleNamespace

    from datasets import Dataset

    from tli.probes import harness as tasks

    rows = [{**GOOD, "idx": 4}, {**GOOD, "idx": 5}]
    task = SimpleNamespace(config=SimpleNamespace(test_split="test"), dataset={"test": Dataset.from_list(rows)})
    tasks._replace_questions(task, str(lines(tmp_path / "en.jsonl", {**GOOD, "idx": 5, "question": "cause"}, {**GOOD, "idx": 4})))
    assert list(task.dataset["test"]["question"]) == ["effect", "cause"]
    with pytest.raises(ItemError, match="has no item 4 with the label 0"):
        tasks._replace_questions(task, str(lines(tmp_path / "en.jsonl", {**GOOD, "idx": 4, "label": 1}, {**GOOD, "idx": 5})))


def test_the_published_question_field(test_data):
    """Swahili and Indonesian XCOPA: equal labels throughout, `question` unequal in a few per cent, mended by question_from."""
    data = str(test_data / "data" / "xcopa")
    plain, other = (items.read_items(f"xcopa_{language}", data) for language in ("sw", "id"))
    mended = items.read_items("xcopa_sw", data, f"{data}/id/test.id.jsonl")
    assert [i["label"] for i in plain] == [i["label"] for i in other]
    assert 0 < sum(a["question"] != b["question"] for a, b in zip(plain, other, strict=True)) < 0.1 * len(plain)
    assert [i["question"] for i in mended] == [i["question"] for i in other]
