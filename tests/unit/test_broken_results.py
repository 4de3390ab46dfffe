"""methods, publish, repeat, crate and compare against folders that are broken, half done, old, or where nothing can be written: one sentence
that names the file, nothing half written. The results are planted, in a folder whose name has spaces and letters of more than one script.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from test_repeating import planted

from tli.__main__ import main
from tli.errors import TliError
from tli.io import table_files, tables
from tli.io.place import assert_can_be_made, assert_free

RUN = "train/m/swh-eng/tli/layer-2/rank-16/seed-1"
SETTINGS = {
    "objective": "triplet-hardest",
    "epochs": 5,
    "batch_size": 8,
    "learning_rate": 2e-4,
    "rank": 16,
    "alpha": 32.0,
    "dropout": 0.05,
    "target_modules": ["q_proj"],
    "full_dtype": "float32",
}
RECORD = {"unit": "u", "loss_layer": 2, "train_pairs": 3, "steps": 5, "adapted_blocks": 2, "failed": "", "settings": SETTINGS}
CHOICE = {"model": "m", "pair": "swh-eng", "criterion": "gap", "value": 0.1, "win_share": 0.5, "hidden_state": 2, "chosen": True}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    results = planted(tmp_path_factory.mktemp("broken") / "mon résultat ẹ́ नया 1")
    verdict = table_files.read(results / "statistics" / "verdicts.tsv")
    empty = {name: "" for name in tables.VERDICTS if name not in verdict}
    numbers = {
        "against_placebo": 0.1,
        "against_placebo_low": 0.0,
        "against_placebo_high": 0.2,
        "p_family": 0.01,
        "seeds": 2,
        "metric": "gap",
    }
    table_files.write(verdict.assign(**empty | numbers), results / "statistics" / "verdicts.tsv", tables.VERDICTS)
    runs = table_files.read(results / "statistics" / "runs.tsv")
    trained = dict.fromkeys(tables.RUNS, "") | {
        "loss_layer": 2,
        "objective": "triplet-hardest",
        "margin": 0.4,
        "learning_rate": 2e-4,
        "epochs": 5,
    }
    trained |= {"batch_size": 8, "warmup_steps": 50, "alpha": 32.0, "dropout": 0.05, "trained_on": "swh-eng"}
    missing = {name: value for name, value in trained.items() if name not in runs}
    table_files.write(runs.assign(**missing), results / "statistics" / "runs.tsv", tables.RUNS)
    scanned = results / "scan" / "m" / "swh-eng"
    scanned.mkdir(parents=True)
    row = dict.fromkeys(tables.SCAN, 0.5) | {
        "model": "m",
        "pair": "swh-eng",
        "split": "heldout",
        "hidden_state": 2,
        "pooling": "no-bos",
        "pool": "untrained",
    }
    table_files.write(pd.DataFrame([row]), scanned / "scan.tsv", tables.SCAN)
    table_files.write(pd.DataFrame([CHOICE]), scanned / "best.tsv")
    (results / RUN / "adapter").mkdir(parents=True)
    (results / RUN / "run.json").write_text(json.dumps(RECORD))
    (results / RUN / "adapter" / "adapter_config.json").write_text('{"r": 16}')
    save_file({"w": torch.zeros(1)}, results / RUN / "adapter" / "adapter_model.safetensors")
    return results


def commands(results: Path, other: Path, out: Path) -> dict[str, list[str]]:
    asked = {"methods": [], "publish": ["--output", str(out)], "repeat": ["--output", str(out)], "crate": ["--output", str(out)]}
    return {name: [name, str(results), *words] for name, words in asked.items()} | {"compare": ["compare", str(other), str(results)]}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without(*columns: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        table_files.write(table_files.read(path).drop(columns=list(columns)), path)

    return change


def holds(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text)


def with_values(**values) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | values))


def gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


EVERY = {"methods", "publish", "repeat", "crate"}
VERDICTS, CONFIG, JOB, CHECK = "statistics/verdicts.tsv", "provenance/config.json", "provenance/train/m.json", "check/m.json"
ADAPTER = f"{RUN}/adapter/adapter_config.json"
FAULTS = {  # what: (the file, what happens to it, which commands refuse, what they say of it)
    "config cut": (CONFIG, cut, EVERY | {"compare"}, "config.json: cannot be read"),
    "config a list": (CONFIG, holds("[]"), EVERY | {"compare"}, "config.json: holds no names"),
    "config of a later version": (CONFIG, with_values(later=1), EVERY, "later: unknown key"),
    "config gone": (CONFIG, gone, EVERY, "does not remember its config"),
    "record cut": (JOB, cut, EVERY | {"compare"}, "m.json: cannot be read"),
    "record a list": (JOB, holds("[1]"), EVERY | {"compare"}, "m.json: holds no names"),
    "record of other types": (JOB, with_values(versions=[1], finished=5), EVERY | {"compare"}, "m.json: is no record of a job; delete it"),
    "record of an older version": (JOB, holds('{"stage": "train"}'), set(), ""),
    "check empty": (CHECK, holds("{}"), EVERY, "m.json: lacks model, identity, layers"),
    "check cut": (CHECK, cut, EVERY, "m.json: cannot be read"),
    "verdicts empty": (VERDICTS, holds(""), EVERY | {"compare"}, "verdicts.tsv: cannot be read as a table"),
    "verdicts of bytes": (VERDICTS, lambda path: path.write_bytes(b"\xff\xfe\x00"), EVERY | {"compare"}, "verdicts.tsv: cannot be read"),
    "verdicts a folder": (VERDICTS, lambda path: (path.unlink(), path.mkdir()), EVERY | {"compare"}, "verdicts.tsv: cannot be read"),
    "verdicts without in_short": (
        VERDICTS,
        without("in_short"),
        {"methods", "publish"},
        "lacks the columns in_short; an older version wrote it",
    ),
    "verdicts without an interval": (
        VERDICTS,
        without("change_low", "change_high"),
        {"methods", "publish"},
        "lacks the columns change_low",
    ),
    "choice without its column": ("scan/m/swh-eng/best.tsv", without("chosen"), EVERY | {"compare"}, "chosen"),
    "scan cut off": ("scan/m/swh-eng/best.tsv", gone, {"repeat", "crate", "compare"}, "best.tsv: cannot be read as a table"),
    "lists gone": ("lexicon", gone, {"publish", "repeat", "crate"}, "pairs.tsv"),
    "pairs without split": ("lexicon/swh-eng/pairs.tsv", without("split"), EVERY, "lacks the columns split"),
    "statistics not begun": ("statistics", gone, {"repeat", "crate"}, "is not finished"),
    "run's record cut": (f"{RUN}/run.json", cut, {"publish"}, "run.json: cannot be read"),
    "run's record of an older version": (f"{RUN}/run.json", holds('{"unit": "a"}'), {"publish"}, "its record lacks settings, loss_layer"),
    "run's settings of an older version": (
        f"{RUN}/run.json",
        with_values(settings={"rank": 4}),
        {"publish"},
        "its record lacks settings.objective",
    ),
    "adapter's config cut": (ADAPTER, cut, {"publish"}, "adapter_config.json: cannot be read"),
    "adapter's config a list": (ADAPTER, holds("[]"), {"publish"}, "adapter_config.json: holds no names"),
    "adapter gone": (f"{RUN}/adapter", gone, {"publish"}, "holds no run that can be shared"),
}


@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_a_fault_is_told_in_one_sentence_that_names_it(whole, tmp_path, capsys, fault):
    pytest.importorskip("rocrate")
    results, out = tmp_path / "mon résultat ẹ́ नया" / "r 1", tmp_path / "shared 1"
    shutil.copytree(whole, results)
    place, change, refusing, told = FAULTS.get(fault, (".", lambda path: None, set(), ""))
    change(results / place)
    for name, words in commands(results, whole, out).items():
        if name == "crate" and name not in refusing and fault != "none":
            continue  # it is what `repeat` is and takes long
        status = main(words)
        said = capsys.readouterr()
        if name in refusing:
            assert status == 2 and told in said.err, (name, said.err)
            assert said.err.startswith(f"tli {name}: ") and said.err.count("\n") == 1
            assert not out.exists() and [path.name for path in tmp_path.iterdir()] == ["mon résultat ẹ́ नया"], "nothing half written"
        else:
            assert status in ((0, 1) if name == "compare" else (0,)), (name, said.err)
            assert said.out and not said.err, (name, said.err)
        shutil.rmtree(out, ignore_errors=True)


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("pinned.json", cut, "pinned.json: cannot be read"),
        ("pinned.json", holds("{}"), "pinned.json: lacks 'pins'"),
        ("pinned.json", with_values(pins=[{"place": "x"}]), "holds a pin that is none"),
        ("config.yaml", holds("models: ["), "config.yaml"),
        ("config.yaml", holds("[]"), "config.yaml"),
        ("config.yaml", gone, "config.yaml"),
    ],
)
def test_a_broken_folder_of_a_repetition_is_told_before_anything_runs(whole, tmp_path, capsys, file, change, told):
    folder = tmp_path / "un dossier ü"
    assert main(["repeat", str(whole), "--output", str(folder), "--with-lists"]) == 0
    shutil.copytree(whole.parent / "model", folder / "models" / "model")
    change(folder / file)
    capsys.readouterr()
    assert main(["repeat", str(folder)]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1 and not (folder / "repetition").exists()


def test_where_nothing_can_be_written_is_told_before_any_work(whole, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for name, words in commands(whole, whole, tmp_path / "file" / "out").items():
        if name == "methods":
            words = [*words, "--output", str(tmp_path / "file" / "out")]
        if name == "compare":
            words = [*words, "--output", str(tmp_path / "file" / "out")]
        assert main(words) == 2
        said = capsys.readouterr()
        assert (
            said.err == f"tli {name}: --output {tmp_path}/file/out: cannot be written, {tmp_path}/file is no folder; name another place\n"
        )
        assert not said.out
    assert (tmp_path / "file").read_text() == "x"


def test_a_place_is_tried_and_left_as_it_was(tmp_path, monkeypatch):
    assert_free(tmp_path / "new" / "deep")
    assert not list(tmp_path.iterdir())
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(TliError, match="is there already"):
        assert_free(tmp_path / "link")

    def refused(**asked):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tli.io.place.tempfile.mkdtemp", refused)  # root may write where others may not
    with pytest.raises(TliError, match=r"--to .*cannot be written, .* takes no new files \(Permission denied\)"):
        assert_can_be_made(tmp_path / "x", "--to")
