"""A run beside another, as a folder that somebody else repeats, as a crate. Results are planted: two tables and a prepared list."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tli.__main__ import main
from tli.config import load
from tli.errors import TliError
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import tables
from tli.repeating import comparing, rerun
from tli.repeating.pinning import Pinned, digest, pin
from tli.stages import lexicon as lexicon_stage

CELL = {"model": "m", "pair": "swh-eng", "arm": "tli", "layer": "2", "rank": "16"}
WORDS = [("maji", "water"), ("moto", "fire"), ("mti", "tree"), ("jua", "sun"), ("samaki", "fish"), ("nyota", "star"), ("mkate", "bread")]
OWNER = "somebody-s-own-folder"
TOKEN = "hf_abcdefghijklmnopqrstuvwx"


def verdicts(
    folder: Path, *, change: float = 0.30, width: float = 0.1, verdict: str = "aligns better", arms: tuple[str, ...] = ("tli",)
) -> Path:
    """A results folder with nothing but verdicts."""
    rows = [
        {
            **CELL,
            "arm": arm,
            "change": change,
            "change_low": change - width,
            "change_high": change + width,
            "before": 0.2,
            "verdict": verdict,
        }
        for arm in arms
    ]
    (folder / "statistics").mkdir(parents=True)
    tables.write(pd.DataFrame(rows), folder / "statistics" / "verdicts.tsv")
    return folder


@pytest.mark.parametrize(
    ("other", "grade"),
    [
        ({}, comparing.SAME),
        ({"change": 0.30 + 5e-7}, comparing.CLOSE),
        ({"change": 0.35}, comparing.WITHIN),
        ({"change": 0.45}, comparing.BEYOND),  # each lies outside the other's interval
        ({"change": 0.35, "width": 0.01}, comparing.BEYOND),  # inside the wide interval, outside the narrow one
    ],
)
def test_a_figure_agrees_within_what_both_intervals_allow(tmp_path, other, grade):
    found = comparing.compare(verdicts(tmp_path / "a"), verdicts(tmp_path / "b", **other))
    assert found.set_index("figure").loc["change", "grade"] == grade
    assert found.set_index("figure").loc["before", "grade"] == comparing.SAME
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == (1 if grade == comparing.BEYOND else 0)


def test_another_verdict_and_a_missing_cell_are_disagreements(tmp_path, capsys):
    first, second = verdicts(tmp_path / "a", arms=("tli", "output")), verdicts(tmp_path / "b", verdict="no change is shown")
    found = comparing.compare(first, second)
    assert set(found[found["key"].str.contains("output")]["grade"]) == {comparing.ONE_SIDED}
    words = found[(found["figure"] == "verdict") & found["key"].str.contains("tli")]
    assert words["grade"].tolist() == [comparing.OTHER_WORD]
    assert main(["compare", str(first), str(second), "--output", str(tmp_path / "found.tsv")]) == 1
    assert "aligns better | no change is shown" in capsys.readouterr().out
    assert len(tables.read(tmp_path / "found.tsv", comparing.COMPARED)) == len(found)


def test_a_figure_without_an_interval_blames_nobody(tmp_path):
    first, second = verdicts(tmp_path / "a"), verdicts(tmp_path / "b")
    table = tables.read(second / "statistics" / "verdicts.tsv").assign(before=0.3)
    tables.write(table, second / "statistics" / "verdicts.tsv")
    found = comparing.compare(first, second)
    assert found.set_index("figure").loc["before", "grade"] == comparing.APART
    assert comparing.agree(found)


def test_rows_that_the_key_does_not_tell_apart_are_compared_in_their_order(tmp_path):
    first, second = verdicts(tmp_path / "a", arms=("tli", "tli")), verdicts(tmp_path / "b", arms=("tli", "tli"))
    found = comparing.compare(first, second)
    assert len(found) == 2 * 3 and set(found["grade"]) == {comparing.SAME}


def test_what_is_no_results_folder_is_refused(tmp_path, capsys):
    assert main(["compare", str(tmp_path), str(tmp_path / "nowhere")]) == 2
    assert "holds neither a scan nor statistics" in capsys.readouterr().err


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A run with one list of the owner's, one model in a folder of the owner's, and planted verdicts."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    own = tmp_path / OWNER
    (own / "model").mkdir(parents=True)
    (own / "model" / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (own / "swh-eng.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in WORDS), encoding="utf-8")
    (own / "my.yaml").write_text(
        f"title: a planted run\nresults: {own}/results\nmodels: {{m: {{source: {own}/model}}}}\n"
        f"pairs: {{swh-eng: {{lexicon: {own}/swh-eng.tsv}}}}\narms: {{tli: {{loss_layer: 2}}}}\nsplit: {{shares: {{train: 0.5, heldout: 0.5}}}}\n",
        encoding="utf-8",
    )
    experiment = Experiment(load(own / "my.yaml"))
    lexicon_stage.run(Job.of(experiment, "lexicon", pair="swh-eng"))
    results = verdicts(own / "results")
    provenance = results / "provenance"
    (provenance / "train").mkdir(parents=True)
    (provenance / "config.json").write_text(json.dumps(experiment.config.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    record = {
        "stage": "train",
        "job": "m",
        "seconds": 60.0,
        "finished": "2026-01-02T03:04:05Z",
        "commit": "abc",
        "versions": {"torch": "2.13.0+cpu"},
    }
    (provenance / "train" / "m.json").write_text(json.dumps(record), encoding="utf-8")
    return results


def texts(folder: Path) -> str:
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("with_lists", [False, True])
def test_the_folder_pins_all_that_was_read_and_says_nothing_of_its_owner(finished, tmp_path, with_lists):
    words = ["--with-lists"] if with_lists else []
    assert main(["repeat", str(finished), "--output", str(tmp_path / "pinned"), *words]) == 0
    pinned = tmp_path / "pinned"
    said = texts(pinned)
    assert OWNER not in said and TOKEN not in said and str(tmp_path) not in said
    config = load(pinned / "config.yaml")
    assert config.pairs["swh-eng"].lexicon == "lists/swh-eng-0.tsv" and config.models["m"].source == "models/m"
    assert (pinned / "lists" / "swh-eng-0.tsv").exists() == with_lists
    pins = {one["place"]: one["digest"] for one in json.loads((pinned / "pinned.json").read_text())["pins"]}
    assert pins["lists/swh-eng-0.tsv"] == digest(finished.parent / "swh-eng.tsv")
    assert (pinned / "constraints.txt").read_text() == "torch==2.13.0\n"
    assert ("put it at `models/m`" in said) and (("put it at `lists/swh-eng-0.tsv`" in said) != with_lists)


def test_a_repetition_refuses_other_lists_and_models_and_names_them_all(finished, tmp_path):
    pin(finished, tmp_path / "pinned", with_lists=True)
    place = tmp_path / "pinned"
    with (place / "lists" / "swh-eng-0.tsv").open("a", encoding="utf-8") as stream:
        stream.write("mkono\thand\n")
    with pytest.raises(TliError) as told:
        rerun.assert_same_inputs(place)
    assert "lists/swh-eng-0.tsv: is not the list of swh-eng of the published run" in str(told.value)
    assert "models/m: is not there; it is the model m" in str(told.value)
    shutil.copyfile(finished.parent / "swh-eng.tsv", place / "lists" / "swh-eng-0.tsv")
    shutil.copytree(finished.parent / "model", place / "models" / "m")
    rerun.assert_same_inputs(place)


def test_a_list_that_changed_since_the_run_cannot_be_pinned(finished, tmp_path):
    with (finished.parent / "swh-eng.tsv").open("a", encoding="utf-8") as stream:
        stream.write("mkono\thand\n")
    with pytest.raises(TliError, match=r"swh-eng\.tsv: is not the list that the run read"):
        pin(finished, tmp_path / "pinned")
    assert not (tmp_path / "pinned").exists()


def test_a_folder_that_is_there_is_not_overwritten(finished, tmp_path, capsys):
    (tmp_path / "pinned").mkdir()
    assert main(["repeat", str(finished), "--output", str(tmp_path / "pinned")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["repeat", str(finished)]) == 2
    assert "--output DIR" in capsys.readouterr().err


def test_the_repetition_runs_the_workflow_and_compares(finished, tmp_path, monkeypatch, capsys):
    """Snakemake is played by a copy of the results: what is tested is what is done around it."""
    pin(finished, tmp_path / "pinned", with_lists=True)
    shutil.copytree(finished.parent / "model", tmp_path / "pinned" / "models" / "m")
    asked = []

    def play(command, cwd, check):
        asked.append(command)
        shutil.copytree(finished, Path(cwd) / "results")
        return rerun.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(rerun.subprocess, "run", play)
    assert main(["repeat", str(tmp_path / "pinned")]) == 0
    assert asked[0][asked[0].index("--configfile") + 1] == "config.yaml"
    found = tables.read(tmp_path / "pinned" / "comparison.tsv", comparing.COMPARED)
    assert len(found) and set(found["grade"]) == {comparing.SAME}


def test_a_crate_is_read_back_by_its_library_and_describes_what_lies_in_it(finished, tmp_path):
    rocrate = pytest.importorskip("rocrate.rocrate")
    assert main(["crate", str(finished), "--output", str(tmp_path / "crate"), "--with-lists"]) == 0
    said = texts(tmp_path / "crate")
    assert OWNER not in said and TOKEN not in said and str(tmp_path) not in said
    crate = rocrate.ROCrate(tmp_path / "crate")
    # What the profiles demand: the workflow is the main entity, the run its action, with inputs, results and times.
    workflow = crate.mainEntity
    assert workflow.id == "workflow/Snakefile" and {"File", "SoftwareSourceCode", "ComputationalWorkflow"} <= set(workflow.type)
    assert {one.id for one in crate.root_dataset["conformsTo"]} == {
        "https://w3id.org/ro/wfrun/process/0.5",
        "https://w3id.org/ro/wfrun/workflow/0.5",
        "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
    }
    (run,) = crate.root_dataset["mentions"]
    assert run.type == "CreateAction" and run["instrument"] == workflow
    assert run["endTime"] == "2026-01-02T03:04:05+00:00" and run["startTime"] == "2026-01-02T03:03:05+00:00"
    inputs = {one.id: one for one in run["object"]}
    assert inputs["lists/swh-eng-0.tsv"]["sha256"] == digest(finished.parent / "swh-eng.tsv")
    assert "#models/m" in inputs and "results/statistics/verdicts.tsv" in {one.id for one in run["result"]}
    files = [one for one in crate.get_entities() if "File" in (one.type if isinstance(one.type, list) else [one.type])]
    assert files and all((tmp_path / "crate" / one.id).is_file() for one in files)
    assert {one["name"]: one["softwareVersion"] for one in workflow["softwareRequirements"]} == {"torch": "2.13.0"}


def test_what_lies_in_the_workflow_s_own_resources_is_pinned_where_it_is():
    assert not Pinned("a list", "resources/lexicons/swh-eng.tsv", "d").is_to_be_brought
