"""staging: weights are read from the node's disk when that is asked for, and results do not depend on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from tli.model import staging
from tli.model.opening import open_model
from tli.specs import ModelSpec


@pytest.fixture
def settings(tmp_path) -> ModelSpec:
    tiny.save_model(tmp_path / "shared", "llama")
    tiny.save_tokenizer(tmp_path / "shared")
    return ModelSpec(str(tmp_path / "shared"), dtype="float32", device="cpu")


def test_the_copy_is_read_and_gives_the_same_hidden_states(settings, tmp_path, monkeypatch):
    import torch

    monkeypatch.delenv(staging.VARIABLE, raising=False)
    ids = torch.arange(5, 12)[None]
    with torch.no_grad():
        shared = open_model(settings).base(ids).last_hidden_state.numpy()
        monkeypatch.setenv("NODE_SCRATCH", str(tmp_path / "node"))
        monkeypatch.setenv(staging.VARIABLE, "$NODE_SCRATCH")
        open_model(settings)
        shutil.move(tmp_path / "shared" / "model.safetensors", tmp_path / "gone")
        with pytest.raises(ValueError):
            monkeypatch.delenv(staging.VARIABLE)
            open_model(settings)
        shutil.move(tmp_path / "gone", tmp_path / "shared" / "model.safetensors")
        copied = staging_of(settings, monkeypatch, tmp_path)
        local = open_model(copied).base(ids).last_hidden_state.numpy()
    assert copied.source.startswith(str(tmp_path / "node"))
    np.testing.assert_array_equal(shared, local)


def staging_of(settings, monkeypatch, tmp_path) -> ModelSpec:
    monkeypatch.setenv(staging.VARIABLE, str(tmp_path / "node"))
    return staging.staged(settings, tmp_path / "shared")


def test_a_changed_model_is_copied_again(settings, tmp_path, monkeypatch):
    first = staging_of(settings, monkeypatch, tmp_path)
    assert staging_of(settings, monkeypatch, tmp_path) == first
    path = tmp_path / "shared" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rope_theta": 5000.0}))
    assert staging_of(settings, monkeypatch, tmp_path).source != first.source


def test_without_room_or_without_the_variable_nothing_changes(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(staging.VARIABLE, raising=False)
    assert staging.staged(settings, tmp_path / "shared") == settings
    monkeypatch.setenv(staging.VARIABLE, "$NOT_SET_ON_THIS_NODE")
    assert staging.staged(settings, tmp_path / "shared") == settings
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(100, 99, 1))
    assert staging_of(settings, monkeypatch, tmp_path) == settings
    assert "not used" in capsys.readouterr().err
    assert not list((tmp_path / "node").rglob("*.safetensors"))


def copier(tmp_path, *, stop_at: str = "") -> subprocess.Popen:
    """A process that stages the model and prints each file that it copies; at `stop_at` it stands still, half written."""
    code = f"""
import shutil, sys, time
from pathlib import Path
from tli.model import staging
from tli.specs import ModelSpec

copy = shutil.copyfile

def slow(a, b):
    if Path(a).name == {stop_at!r}:
        Path(b).write_bytes(Path(a).read_bytes()[:100])
        print("half", flush=True)
        time.sleep(120)
    print("copied", Path(a).name, flush=True)
    time.sleep(0.1)
    return copy(a, b)

staging.shutil.copyfile = slow
print("at", staging.staged(ModelSpec("x"), Path({str(tmp_path / "shared")!r})).source, flush=True)
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_jobs_at_once_copy_once_and_both_read_the_copy(settings, tmp_path, monkeypatch):
    monkeypatch.setenv(staging.VARIABLE, str(tmp_path / "node"))
    said = [process.communicate(timeout=60) for process in [copier(tmp_path), copier(tmp_path)]]
    copied = [line for out, _ in said for line in out.splitlines() if line.startswith("copied")]
    assert sorted(line.split()[1] for line in copied) == sorted(p.name for p in (tmp_path / "shared").iterdir())
    places = {line for out, _ in said for line in out.splitlines() if line.startswith("at ")}
    assert len(places) == 1 and str(tmp_path / "node") in places.pop()
    assert sum("waiting for it" in err for _, err in said) == 1


def test_a_killed_copier_leaves_nothing_that_is_taken_for_whole(settings, tmp_path, monkeypatch):
    monkeypatch.setenv(staging.VARIABLE, str(tmp_path / "node"))
    first = copier(tmp_path, stop_at="model.safetensors")
    while first.stdout.readline() != "half\n":
        assert first.poll() is None
    second = copier(tmp_path)  # waits for the lock of the first
    assert second.poll() is None
    first.kill()
    first.wait()
    out, _ = second.communicate(timeout=60)
    assert "copied model.safetensors" in out
    (place,) = (tmp_path / "node").iterdir()
    folders = [entry for entry in place.iterdir() if entry.is_dir()]
    assert len(folders) == 1, "the half copy is gone"
    for file in (tmp_path / "shared").iterdir():
        assert (folders[0] / file.name).read_bytes() == file.read_bytes()


def test_a_copy_that_lost_files_since_is_made_anew(settings, tmp_path, monkeypatch):
    copy = Path(staging_of(settings, monkeypatch, tmp_path).source)
    (copy / "model.safetensors").write_bytes(b"cut off")
    (copy / "config.json").unlink()
    assert Path(staging_of(settings, monkeypatch, tmp_path).source) == copy
    for file in (tmp_path / "shared").iterdir():
        assert (copy / file.name).read_bytes() == file.read_bytes()


def test_a_folder_of_the_job_alone_is_not_used(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv(staging.VARIABLE, str(tmp_path / "job_4711" / "scratch"))
    assert staging.staged(settings, tmp_path / "shared") == settings
    assert "folder of job 4711 alone" in capsys.readouterr().err
    monkeypatch.setenv(staging.VARIABLE, str(tmp_path / "job_47110"))
    assert staging.staged(settings, tmp_path / "shared") != settings
