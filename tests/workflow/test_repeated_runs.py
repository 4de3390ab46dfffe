"""A run repeated for real from the folder that its owner gives away, and its crate held against the profiles by their own validator."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from experiments import ROOT, snakemake, write_config

from tli.__main__ import main
from tli.io import table_files
from tli.repeating import comparing

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
OWNER, TOKEN = "somebody-s-own-folder", "hf_abcdefghijklmnopqrstuvwx"
DEMO = ROOT / "resources" / "demo"


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """The folder of somebody who ran the demo's model on copies of its list and text, in few seeds."""
    folder = tmp_path_factory.mktemp("run") / OWNER
    shutil.copytree(DEMO / "model", folder / "model")
    for name, source in (("words.tsv", DEMO / "swh-eng.tsv"), ("swh.txt", DEMO / "text" / "swh.txt")):
        shutil.copyfile(source, folder / name)
    config = {
        "title": f"a small run of {folder}",
        "results": str(folder / "results"),
        "models": {"demo": {"source": str(folder / "model"), "dtype": "float32", "device": "cpu", "demo": True}},
        "pairs": {"swh-eng": {"lexicon": str(folder / "words.tsv")}},
        "arms": {"tli": {"loss_layer": [2]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
        "seeds": 2,
        "training": {"epochs": 1},
        "text": {"swh": str(folder / "swh.txt")},
    }
    ran = snakemake("--profile", "profiles/local", "--configfile", write_config(config, folder / "my.yaml"), env={"HF_TOKEN": TOKEN})
    assert ran.returncode == 0, ran.stdout[-3000:]
    return folder


# Checks of roc-validator: the workflow's address and Bioschemas' profile, which asks for it; agent; author; publisher.
UNSAID = {"process-run-crate-0.5_3.2", "workflow-ro-crate-1.0_8.1", "process-run-crate-0.5_8.6", "ro-crate-1.1_22.2", "ro-crate-1.1_22.3"}
RELATIVE = {"process-run-crate-0.5_5.1"}  # the Snakefile's: RO-Crate itself wants a file's path below the crate as its id
DATED = {"workflow-ro-crate-1.0_8.1"}  # outside a checkout nobody knows when the workflow was committed


def rules_of(said: str) -> set[str]:
    return {line.split(": ")[1] for line in said.splitlines() if line.startswith("RECOMMENDED")}


def assert_says_nothing_of_its_owner(folder: Path) -> None:
    read = [path for path in folder.rglob("*") if path.is_file()]
    assert read
    for path in read:
        said = path.read_bytes()
        assert not any(word.encode() in said for word in (OWNER, TOKEN, str(folder.parent))), path


def test_a_repeated_run_agrees_to_the_last_bit(own, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = tmp_path / "published"
    assert main(["repeat", str(own / "results"), "--output", str(folder), "--with-lists"]) == 0
    assert_says_nothing_of_its_owner(folder)
    command = [sys.executable, "-m", "tli", "repeat", "published"]

    def repeated() -> subprocess.CompletedProcess:
        env = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900)

    refused = repeated()
    assert refused.returncode == 2 and "models/model: is not there; it is the model demo" in refused.stderr
    assert not (folder / "repetition").exists(), "nothing runs before all is there"
    shutil.copytree(own / "model", folder / "models" / "model")
    done = repeated()
    assert done.returncode == 0, done.stderr[-3000:]
    found = table_files.read(folder / "comparison.tsv", comparing.COMPARED)
    assert {"verdicts", "tests", "ladder", "harm", "scan", "best"} <= set(found["table"])
    assert set(found["grade"]) == {comparing.SAME}
    assert f"{len(found)} agree to the last bit" in done.stdout


def test_a_crate_passes_the_validator_of_its_profiles(own, tmp_path, monkeypatch):
    """roc-validator drags much behind it: it is tried where TLI_CRATE_VALIDATOR names the Python of an environment that has it."""
    rocrate = pytest.importorskip("rocrate")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["crate", str(own / "results"), "--output", str(tmp_path / "crate")]) == 0
    assert_says_nothing_of_its_owner(tmp_path / "crate")
    validator = os.environ.get("TLI_CRATE_VALIDATOR")
    if not validator:
        pytest.skip("TLI_CRATE_VALIDATOR names no Python with roc-validator")
    script, context = Path(__file__).with_name("validate_crate.py"), Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld"
    command = [validator, str(script), str(tmp_path / "crate"), str(context)]
    held = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert held.returncode == 0 and "REQUIRED" not in held.stdout, held.stdout + held.stderr
    # What is left of what a crate should have is what only its owner can say, and that a file of a crate has no address.
    assert rules_of(held.stdout) == UNSAID | RELATIVE
    asked = [
        "--author",
        "A",
        "--orcid",
        "0000-0002-1825-0097",
        "--affiliation",
        "U=https://u.example",
        "--publisher",
        "P=https://p.example",
    ]
    asked += ["--license", "CC-BY-4.0", "--workflow-url", "https://git.example/tli"]
    assert main(["crate", str(own / "results"), "--output", str(tmp_path / "credited"), *asked]) == 0
    whole = subprocess.run([validator, str(script), str(tmp_path / "credited"), str(context)], capture_output=True, text=True, timeout=300)
    assert whole.returncode == 0 and rules_of(whole.stdout) <= RELATIVE | DATED, whole.stdout
    # That it can say no: a crate whose action has no instrument.
    described = tmp_path / "crate" / "ro-crate-metadata.json"
    described.write_text(described.read_text().replace('"instrument"', '"disambiguatingDescription"'))
    held = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert held.returncode == 1 and "REQUIRED" in held.stdout, held.stdout + held.stderr
