"""How many jobs a grid makes, and that a large one is planned quickly."""

from __future__ import annotations

import re
import resource

import pytest
import tiny
import yaml
from experiments import ROOT, snakemake, write_config, write_lexicon

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("scale")
    tiny.save_model(folder / "model", "llama")
    tiny.save_tokenizer(folder / "model")
    return {
        "results": str(folder / "results"),
        "models": {"tiny": {"source": str(folder / "model"), "dtype": "float32", "device": "cpu"}},
        "lexicon": {"lexicon": str(write_lexicon(folder / "aaa-eng.tsv"))},
        "seeds": 10,
    }


def dry_run(config: dict, folder) -> tuple[dict[str, int], float]:
    """Jobs by rule, and the processor seconds that the dry run took (the wall clock says more of the machine's other work)."""
    config = dict(config)
    config.pop("lexicon")
    return planned(write_config(config, folder / "config.yaml"))


def planned(path) -> tuple[dict[str, int], float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    dry = snakemake("--profile", "profiles/local", "--configfile", path, "-n", "-q", "rules")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert dry.returncode == 0, dry.stdout[-3000:]
    table = dry.stdout.split("Job stats:")[1].split("\n\n")[0]
    jobs = {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return jobs, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_grid_of_the_paper_makes_few_whole_jobs(base, tmp_path):
    """1 model, 3 pairs, 4 layers, 5 ranks, 10 seeds, 4 arms: 2,400 runs."""
    arms = {
        "tli": {"loss_layer": ["best", 1, 2, 3], "rank": [4, 8, 16, 32, 64]},
        "fixed-alpha": {"like": "tli", "alpha": 32},
        "untrained": {"like": "tli", "epochs": 0},
        "placebo": {"like": ["tli"], "shuffle_translations": True},
    }
    jobs, _ = dry_run(base | {"pairs": {f"{name}-eng": base["lexicon"] for name in ("aaa", "bbb", "ccc")}, "arms": arms}, tmp_path)
    assert jobs == {
        "check": 1,
        "lexicon": 3,
        "lists": 1,
        "scan": 3,
        "train_lora": 240,
        "evaluate": 24,
        "statistics": 1,
        "report": 1,
        "all": 1,
        "total": 275,
    }


def test_a_grid_of_ten_thousand_runs_is_planned_in_twenty_seconds(base, tmp_path):
    arms = {
        "tli": {"loss_layer": [1, 2, 3, 4], "rank": [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 16, 32, 64]},
        "placebo": {"like": ["tli"], "shuffle_translations": True},
    }
    jobs, seconds = dry_run(base | {"pairs": {f"p{number}-eng": base["lexicon"] for number in range(10)}, "arms": arms}, tmp_path)
    assert jobs["train_lora"] == 1040  # of 10 seeds each: 10,400 runs
    assert seconds < 20


def test_every_adapter_on_every_list_is_a_job_for_so_many_adapters(base, tmp_path):
    """Two lists are trained on, of a third adapters are measured alone; a bare `on` is true in YAML 1.1, as a key too."""
    pairs = {f"{name}-eng": base["lexicon"] for name in ("aaa", "bbb")} | {"ccc-eng": base["lexicon"] | {"train": False}}
    pairs["ccc-eng"]["lexicon"] = str(write_lexicon(tmp_path / "ccc-eng.tsv", prefix="c"))
    config = {name: value for name, value in base.items() if name != "lexicon"}
    config |= {"pairs": pairs, "arms": {"tli": {"loss_layer": [1], "rank": [4]}}, "jobs": {"adapters_per_job": 10}}
    path = write_config(config, tmp_path / "config.yaml")
    path.write_text(path.read_text() + "evaluation:\n  on: all\n", encoding="utf-8")
    jobs, _ = planned(path)
    assert (jobs["lexicon"], jobs["scan"], jobs["train_lora"], jobs["evaluate"], jobs["across"]) == (3, 2, 2, 2, 2)


@pytest.mark.parametrize("on_disk", [False, True])
def test_twenty_languages_are_planned_in_ten_seconds(on_disk, tmp_path, test_data):
    """Before the lists are fetched, and with all of them to be read and split for what is said beforehand."""
    config = yaml.safe_load((ROOT / "config" / "languages.yaml").read_text(encoding="utf-8"))
    for pair in config["pairs"].values() if on_disk else ():
        pair["lexicon"] = str(test_data / "data" / "gatitos" / pair["lexicon"].rpartition("/")[2])
        del pair["sha256"]
    jobs, seconds = planned(write_config(config | {"results": str(tmp_path / "results")}, tmp_path / "config.yaml"))
    assert jobs["across"] == 4 and jobs["evaluate"] == 20 and jobs.get("fetch_list", 0) == (0 if on_disk else 20)
    assert seconds < 10
