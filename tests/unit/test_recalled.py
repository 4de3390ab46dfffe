"""What an earlier start found in the lists is taken again only while nothing that it rests on has changed."""

from __future__ import annotations

import copy
import os
import platform
import random
import shutil
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tli import lexicon
from tli.config import parse
from tli.errors import ConfigError
from tli.experiment import Experiment, recalled
from tli.experiment.design_warnings import foreseen
from tli.experiment.inspect import inspect
from tli.io import store

PAIRS = ("aa-eng", "bb-eng", "cc-eng")


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """The source of the package counts as older than this process, so that answers are kept in a fresh checkout too."""
    monkeypatch.setattr(recalled, "BEGAN", 1e12)
    recalled._code.cache_clear()
    yield
    recalled._code.cache_clear()


def rows(name: str, numbers: range) -> str:
    return "source\ttarget\n" + "".join(f"{name}{chr(97 + n % 26)}{n}\tword{n}\n" for n in numbers)


def sections(folder: Path, **changes: Any) -> dict[str, Any]:
    """Two lists that are trained on and one that is not, on a demo model; the results' folder is there."""
    for number, pair in enumerate(PAIRS):
        if not (file := folder / f"{pair}.tsv").exists():
            file.write_text(rows(pair[:2], range(40 * number, 40 * number + 120)), encoding="utf-8")
    (folder / "results").mkdir(exist_ok=True)
    pairs: dict[str, Any] = {pair: {"lexicon": str(folder / f"{pair}.tsv")} for pair in PAIRS}
    pairs["cc-eng"]["train"] = False
    return {
        "models": {"m": {"source": "resources/demo/model", "demo": True}},
        "pairs": pairs,
        "arms": {"tli": {"loss_layer": [1]}},
        "evaluation": {"on": "all"},
        "results": str(folder / "results"),
        **changes,
    }


def found(values: dict[str, Any]) -> tuple[Any, Any]:
    experiment = Experiment(parse(copy.deepcopy(values)))
    sizes = inspect(experiment)
    return sizes, foreseen(experiment, sizes)


def afresh(values: dict[str, Any]) -> tuple[Any, Any]:
    """The same where nothing can be kept."""
    return found(values | {"results": f"{values['results']}-that-is-not-there"})


@pytest.fixture
def readings(monkeypatch) -> list[str]:
    """The pairs whose lists are read."""
    read, made = lexicon.read, []
    monkeypatch.setattr(lexicon, "read", lambda files, pair, *rest, **named: made.append(pair) or read(files, pair, *rest, **named))
    return made


def test_a_second_start_reads_no_list(tmp_path, readings):
    first = found(sections(tmp_path))
    assert first[0]["cc-eng"]["across"] > 0 and sorted(set(readings)) == list(PAIRS)
    readings.clear()
    assert found(sections(tmp_path)) == first == afresh(sections(tmp_path, evaluation={"on": "all"}))
    assert len(readings) == 2 * len(PAIRS)  # all of them by the one where nothing can be kept
    readings.clear()
    assert found(sections(tmp_path, seeds=3, title="another"))[0] == first[0] and not readings  # nothing that it rests on


@pytest.mark.parametrize(
    "change",
    [
        lambda values, folder: (folder / "bb-eng.tsv").write_text(rows("bb", range(45, 165)), encoding="utf-8"),
        lambda values, folder: values.update(split={"shares": {"train": 0.5, "select": 0.1, "heldout": 0.4}}),
        lambda values, folder: values["pairs"]["aa-eng"].update(split={"union": False}),
        lambda values, folder: values["pairs"]["aa-eng"].update(columns={"source": "target", "target": "source"}),
        lambda values, folder: values["pairs"]["cc-eng"].update(train=True),
        lambda values, folder: values.update(pairs={pair: values["pairs"][pair] for pair in ("bb-eng", "aa-eng", "cc-eng")}),
        lambda values, folder: values.update(evaluation={"on": ["cc-eng"]}),
        lambda values, folder: values["pairs"].pop("bb-eng"),
    ],
    ids=["bytes", "shares", "union", "columns", "train", "order", "on", "fewer"],
)
def test_whatever_it_rests_on_makes_it_read_again(tmp_path, readings, change):
    file, values = tmp_path / "bb-eng.tsv", sections(tmp_path)
    before, times = found(values), file.stat()
    readings.clear()
    change(values, tmp_path)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # the file's time tells nothing
    after = found(values)
    assert set(readings) >= {"aa-eng", "cc-eng"} and after[0] != before[0]
    assert after == afresh(values)


@pytest.mark.parametrize("what", ["source", "file", "library", "python"])
def test_other_code_reads_again(tmp_path, readings, monkeypatch, what):
    found(sections(tmp_path))
    package = tmp_path / "tli"
    shutil.copytree(recalled.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.json", "*.js"))
    monkeypatch.setattr(recalled, "PACKAGE", package)
    monkeypatch.setattr(recalled, "metadata", SimpleNamespace(version=metadata.version))
    monkeypatch.setattr(recalled, "platform", SimpleNamespace(python_version=platform.python_version))
    for changes in (False, True):
        if changes and what == "source":
            (package / "lexicon" / "clean.py").open("a").write("\n")
        elif changes and what == "file":
            (package / "lexicon" / "clean.py").rename(package / "lexicon" / "cleaner.py")
        elif changes and what == "library":
            monkeypatch.setattr(recalled.metadata, "version", lambda name: "4.0" if name == "pandas" else metadata.version(name))
        elif changes:
            monkeypatch.setattr(recalled.platform, "python_version", lambda: "4.0.0")
        recalled._code.cache_clear()
        readings.clear()
        found(sections(tmp_path))
        assert bool(readings) is changes


def test_after_any_changes_it_is_what_reading_gives(tmp_path):
    """Twenty starts; before each of them a list, a setting or the order of the lists is changed, or changed back."""
    rng, values = random.Random(3), sections(tmp_path)
    for _ in range(20):
        pair = rng.choice(PAIRS)
        match rng.randrange(4):
            case 0:
                start = rng.randrange(3) * 10
                (tmp_path / f"{pair}.tsv").write_text(rows(pair[:2], range(start, start + 100 + rng.randrange(2))), encoding="utf-8")
            case 1:
                values["split"] = {"shares": rng.choice([{"train": 0.6, "heldout": 0.4}, {"train": 0.5, "select": 0.2, "heldout": 0.3}])}
            case 2:
                values["pairs"] = dict(rng.sample(list(values["pairs"].items()), len(PAIRS)))
            case 3:
                values["evaluation"] = {"on": rng.choice(["all", ["own", "cc-eng"], ["aa-eng", "cc-eng"]])}
        assert found(values) == afresh(values)
    assert len(list((tmp_path / "results/store/lists").iterdir())) > 8


def test_a_list_that_changes_while_it_is_read_is_not_kept(tmp_path, monkeypatch):
    values, read = sections(tmp_path), lexicon.read

    def meanwhile(files, pair, *rest, **named):
        made = read(files, pair, *rest, **named)
        if pair == "aa-eng":
            with (tmp_path / "aa-eng.tsv").open("a", encoding="utf-8") as stream:
                stream.write("new\tnews\n")
        return made

    monkeypatch.setattr(lexicon, "read", meanwhile)
    found(values)
    assert not (tmp_path / "results/store").exists()


def test_what_is_wrong_is_told_at_every_start(tmp_path):
    values = sections(tmp_path)
    (tmp_path / "aa-eng.tsv").write_text("source\ttarget\nmaji\t\n", encoding="utf-8")
    told = []
    for _ in range(2):
        with pytest.raises(ConfigError, match="aa-eng") as error:
            found(values)
        told.append(str(error.value))
    assert told[0] == told[1] and not (tmp_path / "results/store").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"other": 1}'])
def test_a_spoilt_answer_is_found_anew(tmp_path, content):
    before = found(sections(tmp_path))
    answers = list((tmp_path / "results/store/lists").glob("*/found.json"))
    assert len(answers) == 2
    for answer in answers:
        answer.write_text(content, encoding="utf-8")
    assert found(sections(tmp_path)) == before
    assert all('"found"' in answer.read_text(encoding="utf-8") for answer in answers)


def test_nothing_is_kept_where_it_could_mislead(tmp_path, monkeypatch):
    kept = tmp_path / "results/store"
    values = sections(tmp_path)
    afresh(values)
    assert not Path(f"{values['results']}-that-is-not-there").exists()  # a dry run makes no folder
    monkeypatch.setattr(recalled, "BEGAN", 0.0)  # the source was edited since
    recalled._code.cache_clear()
    found(values)
    assert not kept.exists()
    monkeypatch.setattr(recalled, "BEGAN", 1e12)
    recalled._code.cache_clear()
    values["pairs"]["swh-eng"] = {"lexicon": "", "format": "cldr"}  # read from the data of a library
    found(values)
    assert not kept.exists()


def test_it_is_a_unit_of_the_store(tmp_path):
    found(sections(tmp_path))
    assert store.sweep(tmp_path / "results/store", idle=0) == 0
    assert {path.name for path in (tmp_path / "results/store/lists").glob("*/*")} == {"unit.json", "found.json"}
