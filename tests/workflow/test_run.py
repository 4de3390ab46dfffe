"""The workflow run for real, end to end, on a tiny model in float32 and in 4 bits."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiments import ROOT, snakemake, write_config, write_lexicon

from tli.io import table_files, tables

pytestmark = pytest.mark.workflow


def jobs_of(text: str) -> dict[str, int]:
    """Job counts of a dry run, by rule, as the table "Job stats" prints them."""
    table = re.search(r"^Job stats:\njob +count\n[- ]+\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    return {name: int(n) for name, n in re.findall(r"^(\S+) +(\d+)$", table[1], re.MULTILINE)} if table else {}


def test_every_table_is_there_with_its_columns(finished):
    config, _, said = finished
    results = Path(config["results"])
    part = results / "evaluate" / "tiny" / "aaa-eng" / "part-1"
    wanted = {
        results / "lexicon" / "aaa-eng" / "pairs.tsv": tables.PAIRS,
        results / "scan" / "tiny" / "aaa-eng" / "scan.tsv": tables.SCAN,
        results / "scan" / "tiny" / "aaa-eng" / "best.tsv": tables.CHOICE,
        part / "similarities.parquet": tables.SIMILARITIES,
        part / "metrics.tsv": tables.RUN_METRICS,
        part / "projections.parquet": tables.PROJECTIONS,
        part / "runs.tsv": tables.RUNS,
        part / "losses.parquet": tables.LOSSES,
        results / "statistics" / "tests.tsv": tables.TESTS,
        results / "statistics" / "verdicts.tsv": tables.VERDICTS,
    }
    for path, columns in wanted.items():
        assert list(table_files.read(path).columns) == columns, path
    assert "The report is" in said and "Time per stage" in said


def test_runs_of_the_grid_are_measured_once_each(finished):
    runs = table_files.read(Path(finished[0]["results"]) / "statistics" / "runs.tsv")
    assert len(runs) == 2 * 2 * 2 * 2  # models, arms, layers, seeds
    assert not runs.duplicated(["model", "pair", "run"]).any()
    best = runs[(runs["layer"] == "best") & (runs["loss_layer"] == 2)]
    assert (best["same_as"] == best["run"].str.replace("layer-best", "layer-2")).all()
    assert (runs["reached_parameters"] == runs["trainable_parameters"]).all()


def test_report_numbers_follow_from_the_rows(finished):
    """A cell's held-out CSLS P@1, recomputed with a few lines of pandas from similarities.parquet."""
    results = Path(finished[0]["results"])
    rows = pd.concat([table_files.read(path) for path in sorted(results.glob("evaluate/*/*/*/similarities.parquet"))])
    output = rows[(rows["split"] == "heldout") & (rows["hidden_state"] == 4) & (rows["pool"] == "untrained")]
    share = output.assign(hit=output["csls_target_rank"] == 1).groupby(["model", "run"])["hit"].mean()
    verdicts = table_files.read(results / "statistics" / "verdicts.tsv")
    assert len(verdicts)
    for _, verdict in verdicts.iterrows():
        runs = [f"{verdict['arm']}/layer-{verdict['layer']}/rank-{verdict['rank']}/seed-{seed}" for seed in (1, 2)]
        assert verdict["before"] == pytest.approx(share[verdict["model"], "baseline"])
        assert verdict["after"] == pytest.approx(np.mean([share[verdict["model"], run] for run in runs]))


def test_four_bits_are_really_used(finished):
    """The 4-bit model's hidden states differ from the others', and its adapters moved all the same."""
    results = Path(finished[0]["results"])
    assert len(list((results / "store" / "nf4").glob("*/model/*.safetensors"))) == 1, "rounded once, by the check job"
    one, four = (table_files.read(results / "scan" / model / "aaa-eng" / "scan.tsv") for model in ("tiny", "tiny-nf4"))
    assert not np.allclose(one["cosine"], four["cosine"], atol=1e-4)
    from safetensors.numpy import load_file

    adapter = results / "train" / "tiny-nf4" / "aaa-eng" / "tli" / "layer-2" / "rank-4" / "seed-1" / "adapter"
    tensors = load_file(adapter / "adapter_model.safetensors")
    assert all(np.abs(value).max() > 0 for name, value in tensors.items() if "lora_B" in name)


def test_provenance_and_no_path_of_the_user_in_an_adapter(finished):
    results = Path(finished[0]["results"])
    record = json.loads((results / "provenance" / "scan" / "tiny.aaa-eng.json").read_text())
    assert record["versions"]["torch"] and record["seconds"] > 0
    for card in results.glob("train/*/*/*/*/*/*/adapter/*.*"):
        if card.suffix in (".json", ".md"):
            assert str(results.parent) not in card.read_text()


def test_what_changes_no_result_runs_nothing_again_but_the_report_that_shows_it(finished, tmp_path):
    config = finished[0] | {"jobs": {"checkpoint_minutes": 5, "seeds_together": False}}
    again = snakemake("--profile", "profiles/local", "--configfile", write_config(config, tmp_path / "config.yaml"), "-n")
    assert jobs_of(again.stdout) == {"report": 1, "all": 1, "total": 2}, again.stdout[-3000:]


def test_second_run_has_nothing_to_do(finished):
    again = snakemake("--profile", "profiles/local", "--configfile", finished[1])
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout[-3000:]


def test_a_new_pair_schedules_its_own_jobs_only(finished, tmp_path):
    config = copy.deepcopy(finished[0])
    config["pairs"]["bbb-eng"] = {"lexicon": str(write_lexicon(tmp_path / "bbb-eng.tsv", prefix="b"))}
    dry = snakemake("-n", "--quiet", "host", "--profile", "profiles/local", "--configfile", write_config(config, tmp_path / "c.yaml"))
    assert dry.returncode == 0, dry.stdout[-3000:]
    # Two models: one scan and one evaluation each, four cells each; the old pair's jobs are not among them.
    assert jobs_of(dry.stdout) == {
        "lexicon": 1,
        "lists": 1,
        "scan": 2,
        "train_lora": 8,
        "evaluate": 2,
        "statistics": 1,
        "report": 1,
        "all": 1,
        "total": 17,
    }
    assert re.search(r"wildcards: .*pair=bbb-eng", dry.stdout)
    assert not re.search(r"wildcards: .*pair=aaa-eng", dry.stdout)


def test_a_new_seed_trains_only_itself(finished, tmp_path):
    """The store holds the old seeds' units: the jobs run again, the work does not."""
    config = copy.deepcopy(finished[0])
    config["models"].pop("tiny-nf4")
    config["seeds"] = 3
    before = len(list((Path(config["results"]) / "store" / "train").iterdir()))
    cells = [f"{config['results']}/train/tiny/aaa-eng/{arm}/layer-2/rank-4/seed-3/run.json" for arm in ("tli", "tli-placebo")]
    ran = snakemake(*cells, "--profile", "profiles/local", "--configfile", write_config(config, tmp_path / "c.yaml"))
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert len(list((Path(config["results"]) / "store" / "train").iterdir())) - before == 2
    log = next(Path(config["results"]).glob("logs/train/tiny.aaa-eng.tli.layer-2.*.log")).read_text()
    assert log.count("taken from the store") == 2


def test_a_training_that_failed_does_not_leave_old_measurements_for_new_ones(finished, tmp_path):
    """A failed job's outputs and what Snakemake knew of them are gone; what was measured of the older ones is still there."""
    config = copy.deepcopy(finished[0])
    config["training"]["epochs"] = 3
    trained = Path(config["results"]) / "train"
    trained.rename(tmp_path / "train")
    try:
        dry = snakemake("-n", "--profile", "profiles/local", "--configfile", write_config(config, tmp_path / "c.yaml"))
    finally:
        (tmp_path / "train").rename(trained)
    assert dry.returncode == 0, dry.stdout[-3000:]
    planned = jobs_of(dry.stdout)
    assert planned["train_lora"] == 8 and planned["evaluate"] == 2 and planned["statistics"] == planned["report"] == 1


def test_a_report_of_what_is_there_is_of_this_run(finished, tmp_path):
    """Without a config named, the results' own is taken; a folder that is no results folder is refused."""
    import subprocess
    import sys

    def report(folder):
        command = [sys.executable, "-m", "tli", "report", "--partial", str(folder)]
        return subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": "workflow"}, capture_output=True, text=True)

    made = report(finished[0]["results"])
    assert made.returncode == 0, made.stderr
    page = (Path(finished[0]["results"]) / "report-partial" / "index.html").read_text(encoding="utf-8")
    assert "aaa-eng" in page and "demo model" not in page
    refused = report(tmp_path / "nowhere")
    assert refused.returncode == 2 and "is no folder" in refused.stderr and not (tmp_path / "nowhere").exists()


def test_snakemakes_own_report_has_the_figures(finished, tmp_path):
    made = snakemake("--profile", "profiles/local", "--configfile", finished[1], "--report", tmp_path / "report.zip")
    assert made.returncode == 0, made.stdout[-3000:]
    import zipfile

    names = zipfile.ZipFile(tmp_path / "report.zip").namelist()
    assert any(name.endswith(".svg") for name in names)


def test_a_run_that_ends_early_shows_no_verdicts_of_an_earlier_one(finished, tmp_path):
    config = copy.deepcopy(finished[0])
    config["pairs"]["ccc-eng"] = {"lexicon": str(write_lexicon(tmp_path / "ccc-eng.tsv", prefix="c"))}
    path = write_config(config, tmp_path / "c.yaml")
    ran = snakemake("--profile", "profiles/local", "--configfile", path, "--until", "lexicon")
    assert ran.returncode == 0 and (Path(config["results"]) / "lexicon" / "ccc-eng" / "pairs.tsv").exists(), ran.stdout[-3000:]
    assert "This run ends before the statistics" in ran.stdout
    verdict = "tiny, aaa-eng, tli, layer 2, rank 4: "
    assert verdict in finished[2] and verdict not in ran.stdout and "The report is" not in ran.stdout
