"""Elsewhere: as a module of another workflow from a fresh folder, from an environment that lacks what is needed, from a fresh clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from experiments import ROOT, snakemake, write_config

pytestmark = pytest.mark.workflow
SNAKEFILE = f"""
configfile: "config.yaml"


module alignment:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config["alignment"]


use rule * from alignment as alignment_*


rule count:
    default_target: True
    input: "out/lexicon/swh-eng/pairs.tsv"
    output: "count.txt"
    shell: "wc -l < {{input}} > {{output}}"
"""
SECTION = {
    "results": "out",
    "models": {"demo": {"source": "resources/demo/model", "dtype": "float32", "device": "cpu", "demo": True}},
    "pairs": {"swh-eng": {"lexicon": "resources/demo/swh-eng.tsv"}},
    "arms": {"tli": {"loss_layer": [2]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
    "seeds": 3,
    "text": {"swh": "resources/demo/text/swh.txt"},
}


def test_as_a_module_from_a_fresh_folder(tmp_path):
    """Nothing of the repository is in the folder; the package is found by where the Snakefile lies, as the resources are."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    write_config({"alignment": SECTION}, tmp_path / "config.yaml")
    nowhere = {"PYTHONPATH": ""}
    dry = snakemake("--cores", "1", "alignment_all", "-n", "--quiet", "rules", cwd=tmp_path, env=nowhere)
    assert dry.returncode == 0, dry.stdout[-3000:]
    for rule in ("alignment_lexicon", "alignment_train_lora", "alignment_transfer", "alignment_report", "alignment_all"):
        assert re.search(rf"^{rule} +\d+$", dry.stdout, re.MULTILINE), rule
    assert "Only 3 seeds: below 5 no claim can rest on them." in dry.stdout and "not present in the Snakefile" not in dry.stdout
    ran = snakemake("--cores", "1", cwd=tmp_path, env=nowhere)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert (tmp_path / "count.txt").read_text().split() == ["321"]  # the demo's 320 pairs and a header
    assert "6 runs in 2 cells" in ran.stdout and "results in out/" in ran.stdout, "it says what it is about to do"
    assert "Only 3 seeds" in ran.stdout and "Time per stage, s: lexicon" in ran.stdout, "and how it ended"


def test_an_environment_without_what_is_needed_is_told_in_a_sentence(tmp_path):
    (tmp_path / "scipy.py").write_text("raise ModuleNotFoundError(\"No module named 'scipy'\")")
    dry = snakemake("--profile", "profiles/local", "-n", env={"PYTHONPATH": str(tmp_path)})
    assert dry.returncode != 0 and "Traceback" not in dry.stdout
    assert "No module named 'scipy'. Snakemake has to run in this workflow's own environment" in dry.stdout
    assert "conda env create -f environment.yml" in dry.stdout


# What README and the guides tell to type, and how it is tried here. None: by .ci/run, or where there is a hub or a cluster.
TYPED = {
    "make run": None,  # .ci/run
    "source .venv/bin/activate": "source .venv/bin/activate",
    "tli look /path/to/model my-list.tsv --pair swh-eng": "tli look resources/demo/model my-list.tsv --pair swh-eng",
    "tli plan my.yaml": "tli plan my.yaml",
    "snakemake --profile profiles/local --configfile my.yaml -n": "snakemake --profile profiles/local --configfile my.yaml -n",
    "snakemake --profile profiles/local --configfile my.yaml": "snakemake --profile profiles/local --configfile my.yaml",
    "make profile": "make profile",
    "$EDITOR profiles/slurm/config.yaml": "$EDITOR profiles/slurm/config.yaml",
    "tli fetch config/ranks.yaml": None,  # the hub
    "tli plan config/ranks.yaml": "tli plan config/ranks.yaml",
    "tli preflight config/ranks.yaml": None,  # a cluster
    "snakemake --profile slurm --configfile config/ranks.yaml -n": "snakemake --profile slurm --configfile config/ranks.yaml -n",
    "snakemake --profile slurm --configfile config/ranks.yaml": None,  # a cluster: tests/slurm
    "tli publish results --output adapters": None,  # nothing was trained: tests/unit/test_publishing.py
    "tli methods results": "tli methods results/mine",
    "tli methods results --output paper": "tli methods results/mine --output paper",
    "tli repeat results --output to-share": "tli repeat results/mine --output to-share",
    "tli repeat to-share": "tli repeat to-share",
    "tli compare results other-results": "tli compare results/mine to-share/repetition",
    "tli crate results --output crate": "tli crate results/mine --output crate",
}


def commands() -> list[str]:
    """The lines of the shell blocks of README and of the guides, without their comments, in order."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
    blocks = [
        block for page in pages for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ]
    return [typed for block in blocks for line in block.splitlines() if (typed := line.split(" #")[0].strip())]


def test_what_readme_tells_to_type_is_tried_or_is_known_why_not():
    assert commands() == list(TYPED)


@pytest.mark.slow
def test_a_newcomer_types_readme_by_the_letter(tmp_path):
    """In a fresh clone, in one shell, one line after the other; a line that fails ends it. The environment is the one at hand."""
    clone = tmp_path / "clone"
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, clone / name)
    (clone / ".venv").symlink_to(Path(sys.executable).parents[1])
    shutil.copy(clone / "resources" / "demo" / "swh-eng.tsv", clone / "my-list.tsv")
    write_config({key: SECTION[key] for key in ("models", "pairs")} | {"results": "results/mine"}, clone / "my.yaml")
    script = "set -ex\n" + "\n".join(TYPED[line] for line in commands() if TYPED[line])
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config"), "EDITOR": "true"}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=clone,
        env=os.environ | home | {"PYTHONPATH": str(clone / "workflow")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Traceback" not in done.stdout and "command not found" not in done.stdout
    assert (clone / "results" / "mine" / "report" / "index.html").exists()
