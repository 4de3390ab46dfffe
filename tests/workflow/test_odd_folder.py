"""The workflow from a folder with spaces and letters beyond ASCII in its name, as a user's own may be, with such names in the config too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from experiments import ROOT, snakemake, write_config, write_lexicon
from safetensors.torch import load_file, save_file

from tli.io import table_files, tables

pytestmark = pytest.mark.workflow

PARTS = ("Makefile", "environment.yml", "pyproject.toml", "config", "profiles", "resources", "workflow")


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of the repository in such a folder, with a tiny model and a list; its environment is this one."""
    folder = tmp_path_factory.mktemp("odd") / "h\u00e9l\u00e8ne's own clone \u00fc"
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.sif"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / part, folder / part)
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "snakemake"):
        program = folder / ".venv" / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).parent / name}" "$@"\n')
        program.chmod(0o755)
    (folder / ".venv" / "ready").touch()
    (folder / "my data").mkdir()
    tiny.save_model(folder / "my data" / "mod\u00e8le", "llama")
    tiny.save_tokenizer(folder / "my data" / "mod\u00e8le")
    write_lexicon(folder / "my data" / "mots \u00e0 moi.tsv")
    config = {
        "results": "r\u00e9sultats d'ici",
        "models": {"tiny": {"source": "my data/mod\u00e8le", "dtype": "float32", "device": "cpu"}},
        "pairs": {"aaa-eng": {"lexicon": "my data/mots \u00e0 moi.tsv"}},
        "arms": {"tli": {"loss_layer": [2], "rank": [4]}},
        "seeds": 1,
        "maps": [],
        "training": {"epochs": 1, "warmup_steps": 1},
        "statistics": {"bootstrap": 100},
    }
    write_config(config, folder / "my data" / "config \u00e9.yaml")
    return folder


def in_clone(clone: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Snakemake with the clone's own package: its scripts may not find this checkout's."""
    return snakemake(*arguments, cwd=clone, env={"PYTHONPATH": "workflow"})


def test_the_demo_dry_runs(clone):
    dry = in_clone(clone, "--profile", "profiles/local", "-n")
    assert dry.returncode == 0 and "This was a dry-run" in dry.stdout, dry.stdout[-3000:]


def test_an_image_is_named_where_apptainer_asks_for_it(clone, tmp_path):
    """In a folder with a space Snakemake itself refuses it; in another it goes on to look for apptainer."""
    asked = in_clone(clone, "--profile", "profiles/local", "-n", "--sdm", "apptainer")
    assert asked.returncode != 0 and "image URL containing whitespace" in asked.stdout
    here = snakemake("--profile", "profiles/local", "-n", "--sdm", "apptainer", "--directory", tmp_path)
    assert "whitespace" not in here.stdout


def test_a_job_runs_and_its_table_is_right(clone):
    wanted = "r\u00e9sultats d'ici/lexicon/aaa-eng/pairs.tsv"
    ran = in_clone(clone, wanted, "--profile", "profiles/local", "--configfile", "my data/config \u00e9.yaml")
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert len(table_files.read(clone / wanted, tables.PAIRS)) == 48


def test_a_job_that_fails_names_its_log_and_a_command_that_can_be_pasted(clone):
    model = clone / "my data" / "mod\u00e8le"
    sound = (model / "model.safetensors").read_bytes()
    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    wanted = "r\u00e9sultats d'ici/check/tiny.json"
    ran = in_clone(clone, wanted, "--profile", "profiles/local", "--configfile", "my data/config \u00e9.yaml")
    (model / "model.safetensors").write_bytes(sound)
    assert ran.returncode != 0
    assert "model.norm.weight holds NaN" in ran.stdout and "The log is r\u00e9sultats d'ici/logs/check/tiny.log" in ran.stdout
    assert "tli report --partial 'r\u00e9sultats d'\"'\"'ici'" in ran.stdout


@pytest.mark.slow
def test_make_run_writes_the_report(clone):
    ran = subprocess.run(
        ["make", "run", "CONFIG=my data/config \u00e9.yaml"],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": "workflow"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    page = clone / "r\u00e9sultats d'ici" / "report" / "index.html"
    assert page.exists() and f"The report is {page.relative_to(clone)}" in ran.stdout
