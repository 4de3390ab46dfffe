"""Faults that need no scheduler: a full disk in each stage, an end by SIGTERM, and a seed that is killed half way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from experiments import ROOT, write_config, write_lexicon
from experiments import command as in_this_process

from tli.io import table_files

pytestmark = pytest.mark.workflow
STAGES = {
    "lexicon": ["--pair", "aaa-eng"],
    "check": ["--model", "tiny"],
    "scan": ["--model", "tiny", "--pair", "aaa-eng"],
    "train": ["--model", "tiny", "--pair", "aaa-eng", "--arm", "tli", "--layer", "2", "--rank", "4"],
    "evaluate": ["--model", "tiny", "--pair", "aaa-eng"],
    "transfer": ["--model", "tiny", "--pair", "aaa-eng"],
    "statistics": [],
    "report": [],
}


def made(folder: Path, results: Path, **changes) -> Path:
    tiny.save_model(folder / "model", "llama")
    tiny.save_tokenizer(folder / "model")
    config = {
        "results": str(results),
        "models": {"tiny": {"source": str(folder / "model"), "dtype": "float32", "device": "cpu"}},
        "pairs": {"aaa-eng": {"lexicon": str(write_lexicon(folder / "aaa-eng.tsv"))}},
        "arms": {"tli": {"loss_layer": [2], "rank": [4]}},
        "seeds": 2,
        "training": {"epochs": 2, "learning_rate": 1.0e-3, "warmup_steps": 2},
        "statistics": {"bootstrap": 100},
        "scan": {"bootstrap": 50},
        "transfer": {"tasks": ["xcopa_sw"], "source": str(ROOT / "resources" / "demo" / "transfer"), "limit": 4},
    }
    return write_config(config | changes, folder / "config.yaml")


def command(stage: str, config: Path) -> list[str]:
    if stage == "report":
        return [sys.executable, "-m", "tli", "run", "report", str(config), "--threads", "1"]
    return [sys.executable, "-m", "tli", "run", stage, str(config), *STAGES[stage], "--threads", "1"]


def environment() -> dict:
    return os.environ | {"PYTHONPATH": str(ROOT / "workflow")}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def whole_files(results: Path) -> dict[str, bytes]:
    """Every table and record of the results that another stage could take for finished, with its content."""
    return {str(path): path.read_bytes() for path in results.rglob("*") if path.is_file() and not path.name.startswith(".")}


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_file_and_a_second_try_finishes(small_disk, tmp_path):
    """In each stage: nothing can be written, then there is room again."""
    results = small_disk / "results"
    config = made(tmp_path, results)
    filler = small_disk / "filler"
    for stage in STAGES:
        before = whole_files(results)
        for spare in (0, 8192):  # not even a file; one that is cut off
            with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
                while stream.write(b"\0" * 4096):
                    pass
            with filler.open("r+b") as stream:
                stream.truncate(max(0, filler.stat().st_size - spare))
            failed = subprocess.run(command(stage, config), cwd=ROOT, env=environment(), capture_output=True, text=True)
            if failed.returncode == 0 and spare:
                continue  # this stage writes less than that
            assert failed.returncode != 0 and "disk is full" in failed.stderr, (stage, spare, failed.stderr[-2000:])
            now = whole_files(results)
            assert {path: now.get(path) for path in before} == before, stage
            for path in set(now) - set(before):  # what is there is whole: it can be read to its end
                if path.endswith((".tsv", ".parquet")):
                    table_files.read(path)
                elif path.endswith(".json"):
                    json.loads(Path(path).read_text())
            assert not [path for path in results.rglob(".*") if path.name != ".running.json"], stage
            filler.unlink()
        filler.unlink(missing_ok=True)
        again = subprocess.run(command(stage, config), cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert again.returncode == 0, (stage, again.stderr[-2000:])
    assert len(table_files.read(results / "statistics" / "runs.tsv")) == 2
    assert "</html>" in (results / "report" / "index.html").read_text(encoding="utf-8")


def test_sigterm_leaves_a_usable_state_and_the_next_try_goes_on_at_the_next_seed(tmp_path):
    results = tmp_path / "results"
    config = made(
        tmp_path, results, seeds=3, jobs={"seeds_together": False}, training={"epochs": 40, "learning_rate": 1.0e-3, "warmup_steps": 2}
    )
    for stage in ("lexicon", "check"):
        in_this_process(stage, config, *STAGES[stage])
    finished = results / "store" / "train"
    for number, sign in ((1, signal.SIGTERM), (2, signal.SIGKILL)):
        job = subprocess.Popen(command("train", config), cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
        while job.poll() is None and len(list(finished.glob("*/unit.json"))) < number:
            time.sleep(0.02)
        job.send_signal(sign)
        said = job.communicate(timeout=120)[1]
        if sign == signal.SIGTERM:
            assert job.returncode == 143 and "ended by SIGTERM" in said and "the next try goes on from there" in said
            assert not list(finished.glob(".*")), "something half written stayed behind"
    units = {path: path.stat().st_mtime_ns for path in finished.glob("*/unit.json")}
    assert 2 <= len(units) < 3
    ran = subprocess.run(command("train", config), cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stderr.count("taken from the store") == 2 and "seed 3 (3 of 3), loss at" in ran.stderr
    assert {path: path.stat().st_mtime_ns for path in units} == units
    assert len(list(results.glob("train/*/*/*/*/*/seed-*/run.json"))) == 3


def test_a_full_training_that_is_killed_goes_on_from_its_checkpoint(tmp_path):
    """Killed twice by SIGKILL, and the same weights to the bit as the run that nobody disturbed."""
    full = {"full": {"method": "full", "loss_layer": [2], "learning_rate": 1.0e-4}}
    changes = {"arms": full, "seeds": 1, "training": {"epochs": 24, "warmup_steps": 2}}
    weights = []
    for name, kills, minutes in (("disturbed", 2, 1e-6), ("whole", 0, 30)):  # a checkpoint after each step, and none
        folder = tmp_path / name
        folder.mkdir()
        config = made(folder, folder / "results", **changes, jobs={"checkpoint_minutes": minutes})
        for stage in ("lexicon", "check"):
            in_this_process(stage, config, *STAGES[stage])
        train = [*command("train", config)[:6], "--model", "tiny", "--pair", "aaa-eng", "--arm", "full", "--layer", "2", "--rank", "full"]
        states = (folder / "results" / "store" / "checkpoints").glob
        for _ in range(kills):
            before = {path: path.read_text() for path in states("*/state.json")}
            job = subprocess.Popen(train, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
            while job.poll() is None and not any(path not in before or path.read_text() != before[path] for path in states("*/state.json")):
                time.sleep(0.01)
            job.send_signal(signal.SIGKILL)
            assert job.wait() == -signal.SIGKILL, "it was over before it could be killed"
        ended = subprocess.run(train, cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert ("left a checkpoint" in ended.stderr) == bool(kills)
        (run,) = (folder / "results" / "train").glob("*/*/*/*/*/seed-1")
        weights.append((run / "weights" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
