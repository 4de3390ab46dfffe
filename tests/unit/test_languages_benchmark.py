"""benchmarks/languages.py asks what config/languages.yaml asks, of a part of the lists, and adds up what the jobs left."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import languages

from tli.config import load, parse
from tli.experiment import Experiment

CONFIG = load(Path(__file__).parents[2] / "config" / "languages.yaml")


@pytest.fixture
def lists(tmp_path) -> Path:
    """A file for every address of the config: the same English, some of it in two lines and in capitals."""
    folder = tmp_path / "lists"
    folder.mkdir()
    for pair in CONFIG.pairs.values():
        name = Path(str(pair.lexicon)).name
        lines = [f"{'Word' if i % 7 else 'word'} {i % 200}\t{name}{i}\n" for i in range(300)]
        (folder / name).write_text("".join(lines), encoding="utf-8")
    return folder


def english(file: str) -> list[str]:
    return [line.split("\t")[0].casefold() for line in Path(file).read_text(encoding="utf-8").splitlines()]


def test_it_is_the_config_on_the_demo_model_with_the_same_english_in_every_list(lists, tmp_path):
    given = languages.sections(lists, tmp_path, every=4, seeds=5)
    made, asked = Experiment(parse(given)), Experiment(CONFIG)
    assert list(made.config.pairs) == list(CONFIG.pairs) and len(made.runs) == len(asked.runs) == 200
    assert made.config.maps == CONFIG.maps and made.config.evaluation == CONFIG.evaluation and made.config.arms == CONFIG.arms
    assert made.config.models["demo"].demo
    kept = [english(pair["lexicon"]) for pair in given["pairs"].values()]
    assert all(one == kept[0] for one in kept) and 25 < len(set(kept[0])) < 80, "about a quarter of 200"
    whole = english(str(lists / "en_bem.tsv"))
    assert kept[0] == [word for word in whole if word in set(kept[0])], "every line of a word that is kept, in the list's order"


def test_a_list_that_is_there_is_left_as_it_is(lists, tmp_path):
    """Snakemake would run everything again for a newer file."""
    languages.sections(lists, tmp_path, every=4, seeds=5)
    before = (tmp_path / "bem-eng.tsv").stat().st_mtime_ns
    languages.sections(lists, tmp_path, every=4, seeds=5)
    assert (tmp_path / "bem-eng.tsv").stat().st_mtime_ns == before
    languages.sections(lists, tmp_path, every=1, seeds=5)
    assert len(english(str(tmp_path / "bem-eng.tsv"))) == 300


def test_a_stage_is_the_sum_of_its_jobs(tmp_path):
    for stage, job, seconds, memory in (("train", "a", 2.25, 300), ("train", "b", 4.5, 410), ("check", "m", 1.0, 250)):
        file = tmp_path / "provenance" / stage / f"{job}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"stage": stage, "job": job, "processor_seconds": seconds, "peak_memory_mib": memory}))
    rows = {row["what"]: (row["value"], row["unit"]) for row in languages.of_stages(tmp_path)}
    assert rows == {"check, 1 job, 250 MiB at most": ("1", "s"), "train, 2 jobs, 410 MiB at most": ("7", "s")}
