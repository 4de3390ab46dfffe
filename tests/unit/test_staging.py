"""staging: weights are read from the node's disk when that is asked for, and results do not depend on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

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


def test_jobs_that_begin_together_copy_once(settings, tmp_path, monkeypatch):
    code = (
        "import sys, shutil; from pathlib import Path; from tli.model import staging; from tli.specs import ModelSpec; copy = shutil.copyfile\n"
        f"staging.shutil.copyfile = lambda a, b: (print('copied', a), copy(a, b))\n"
        f"staging.staged(ModelSpec('x'), Path({str(tmp_path / 'shared')!r}))"
    )
    monkeypatch.setenv(staging.VARIABLE, str(tmp_path / "node"))
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    lines = [line for process in both for line in process.communicate(timeout=60)[0].splitlines()]
    assert lines and len(lines) == len(set(lines))
