"""Mistakes stop before the first job, with the place, the reason and the mend; ready configs and profiles dry-run."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from experiments import ROOT, snakemake, write_config
from safetensors.torch import load_file, save_file

from tli.config import ConfigError, load

pytestmark = pytest.mark.workflow


def refused(config: dict, folder: Path) -> str:
    """What Snakemake says to a config that it must refuse, in a real run, not a dry one."""
    ran = snakemake("--profile", "profiles/local", "--configfile", write_config(config, folder / "config.yaml"))
    assert ran.returncode != 0
    assert not (Path(config["results"]) / "logs").exists(), "a job was started"
    assert "Traceback" not in ran.stdout
    return ran.stdout


@pytest.fixture
def config(experiment, tmp_path) -> dict:
    return copy.deepcopy(experiment) | {"results": str(tmp_path / "results")}


def test_unknown_key(config, tmp_path):
    config["arms"]["tli"]["learning_rte"] = 1e-4
    said = refused(config, tmp_path)
    assert "arms.tli.learning_rte: unknown key; did you mean 'learning_rate'?" in said and "config.yaml, line " in said
    with pytest.raises(ConfigError) as told:
        load(tmp_path / "config.yaml")
    assert str(told.value) in said, "in the words of `tli plan`, of which tests/unit/test_config_museum.py has them all"


def test_layer_beyond_the_model(config, tmp_path):
    config["arms"]["tli"]["loss_layer"] = [9]
    assert "arms.tli.loss_layer: asks for hs[9]; models.tiny has hs[0] to hs[4]" in refused(config, tmp_path)


def test_tensor_removed(config, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(config["models"]["tiny"]["source"], model)
    tensors = load_file(model / "model.safetensors")
    del tensors["model.layers.2.self_attn.q_proj.weight"]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    config["models"]["tiny"]["source"] = str(model)
    said = refused(config, tmp_path)
    assert "model.layers.2.self_attn.q_proj.weight" in said and "missing" in said and "Copy the model again" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("source\ttarget\nkitabu\tbook\nmkate\t\n", ["line 3", "empty"]),
        ("source\ttarget\nkitabu\tbook\nmkate\tbread\nkitabu\tbook\n", ["line 4", "line 2"]),
        ("source\ttarget\nkitabu\tbook\n\udcff\udcfe\tbread\n", ["line 3", "utf-8"]),
    ],
    ids=["empty cell", "duplicate row", "wrong encoding"],
)
def test_bad_lexicon(config, tmp_path, content, words):
    file = tmp_path / "bad-eng.tsv"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    config["pairs"] = {"bad-eng": {"lexicon": str(file)}}
    said = refused(config, tmp_path)
    assert "bad-eng.tsv" in said
    assert all(word in said for word in words), said[-1500:]


def test_results_that_are_a_file_or_nothing(config, tmp_path):
    (tmp_path / "file").write_text("")
    config["results"] = str(tmp_path / "file" / "results")
    ran = snakemake("--profile", "profiles/local", "--configfile", write_config(config, tmp_path / "config.yaml"))
    assert ran.returncode != 0 and "is a file; name a folder" in ran.stdout and "Traceback" not in ran.stdout
    config["results"] = " "
    ran = snakemake("--profile", "profiles/local", "--configfile", write_config(config, tmp_path / "config.yaml"), "-n")
    assert ran.returncode != 0 and "results" in ran.stdout


def test_a_key_that_stands_twice(config, tmp_path):
    path = write_config(config, tmp_path / "config.yaml")
    path.write_text(path.read_text() + "seeds: 7\n")
    ran = snakemake("--profile", "profiles/local", "--configfile", path, "-n")
    assert ran.returncode != 0 and "seeds" in ran.stdout and "twice" in ran.stdout


def test_pair_that_is_not_on_disk(config, tmp_path):
    config["pairs"]["ccc-eng"] = {"lexicon": "data/nowhere.tsv"}
    assert "pairs.ccc-eng.lexicon: data/nowhere.tsv is not there" in refused(config, tmp_path)


def test_hub_model_without_a_commit_is_not_run(config, tmp_path):
    config["models"] = {"big": {"source": "owner/name"}}
    said = refused(config, tmp_path)
    assert "it has no revision" in said and "tli fetch" in said


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "config").glob("*.yaml")))
def test_ready_configs_dry_run(name):
    dry = snakemake("--profile", "profiles/local", "--configfile", f"config/{name}", "-n", env={"HF_HUB_OFFLINE": "1"})
    assert dry.returncode == 0 and ("This was a dry-run" in dry.stdout or "Nothing to be done" in dry.stdout), dry.stdout[-3000:]


def test_profile_slurm_is_found_by_its_name(tmp_path):
    """As the user types it: `snakemake --profile slurm`, after `make profile`."""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    subprocess.run(["make", "profile"], cwd=ROOT, env={**os.environ, **home}, check=True, capture_output=True)
    dry = snakemake("--profile", "slurm", "--configfile", "config/paper-text.yaml", "-n", env=home)
    assert dry.returncode == 0 and "Using profile slurm" in dry.stdout, dry.stdout[-3000:]
    assert len(dry.stdout.splitlines()) < 80, "as quiet as on one machine"
    full = snakemake("--profile", "slurm", "--configfile", "config/paper-text.yaml", "-n", "--quiet", "host", env=home)
    assert "gpu=1" in full.stdout


def test_no_torch_while_the_dag_is_built(config, tmp_path):
    """Every cluster job parses the Snakefile again: a module named torch that fails on import does no harm."""
    (tmp_path / "block").mkdir()
    for name in ("torch", "transformers", "peft"):
        (tmp_path / "block" / f"{name}.py").write_text("raise ImportError('imported while the DAG is built')")
    path = write_config(config, tmp_path / "config.yaml")
    dry = snakemake("--profile", "profiles/local", "--configfile", path, "-n", env={"PYTHONPATH": str(tmp_path / "block")})
    assert dry.returncode == 0, dry.stdout[-3000:]
