"""A run beside another, as a folder that somebody else repeats, as a crate. Results are planted: two tables and a prepared list."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tli.__main__ import main
from tli.config import load, parse
from tli.config.reading import OWN_FOLDER
from tli.errors import TliError
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.io.records import CheckRecord, write_check
from tli.repeating import comparing, inputs, pinning, rerun
from tli.repeating.inputs import Pinned, digest, shipped_place
from tli.repeating.pinning import pin
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
    table_files.write(pd.DataFrame(rows), folder / "statistics" / "verdicts.tsv")
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
    assert len(table_files.read(tmp_path / "found.tsv", comparing.COMPARED)) == len(found)


def test_a_figure_without_an_interval_blames_nobody(tmp_path):
    first, second = verdicts(tmp_path / "a"), verdicts(tmp_path / "b")
    table = table_files.read(second / "statistics" / "verdicts.tsv").assign(before=0.3)
    table_files.write(table, second / "statistics" / "verdicts.tsv")
    found = comparing.compare(first, second)
    assert found.set_index("figure").loc["before", "grade"] == comparing.APART
    assert comparing.agree(found)


def test_rows_that_the_key_does_not_tell_apart_are_compared_in_their_order(tmp_path):
    first, second = verdicts(tmp_path / "a", arms=("tli", "tli")), verdicts(tmp_path / "b", arms=("tli", "tli"))
    found = comparing.compare(first, second)
    assert len(found) == 2 * 3 and set(found["grade"]) == {comparing.SAME}


def test_the_matrix_and_the_templates_are_compared_row_by_row(tmp_path):
    columns = {"templates": tables.TEMPLATES, "across": tables.MATRIX}
    intervals = {"templates": ("low", "high"), "across": ("change_low", "change_high")}
    for folder, change in (("a", 0.30), ("b", 0.45)):
        verdicts(tmp_path / folder)
        for name, those in columns.items():
            told_apart = "pooling" if name == "templates" else "on"
            rows = [dict.fromkeys(those, "") | CELL | {told_apart: "first"}, dict.fromkeys(those, "") | CELL | {told_apart: "second"}]
            low, high = intervals[name]
            rows[1] |= {"change": change, low: change - 0.1, high: change + 0.1}
            table_files.write(pd.DataFrame(rows), tmp_path / folder / "statistics" / f"{name}.tsv", those)
    found = comparing.compare(tmp_path / "a", tmp_path / "b")
    beyond = found[found["grade"] == comparing.BEYOND]
    assert sorted(beyond["table"]) == ["across", "templates"] and set(beyond["figure"]) == {"change"}
    assert beyond["key"].str.contains("second").all()
    assert not found.duplicated(["table", "key", "figure"]).any()


def test_a_missing_value_in_a_key_changes_no_other_row_s(tmp_path):
    for folder, states in (("a", [2, 8]), ("b", [2, None])):  # beside None the 2 is read as 2.0
        verdicts(tmp_path / folder)
        rows = [dict.fromkeys(tables.RIVALS, "") | CELL | {"hidden_state": state, "map": "ridge", "estimate": 0.1} for state in states]
        table_files.write(
            pd.DataFrame(rows).astype({"hidden_state": object}), tmp_path / folder / "statistics" / "rivals.tsv", tables.RIVALS
        )
    found = comparing.compare(tmp_path / "a", tmp_path / "b")
    rivals = found[(found["table"] == "rivals") & (found["figure"] == "estimate")]
    grades = {key.split("|")[5]: grade for key, grade in zip(rivals["key"], rivals["grade"], strict=True)}
    assert grades == {"2": comparing.SAME, "8": comparing.ONE_SIDED, "": comparing.ONE_SIDED}


def test_what_is_no_results_folder_is_refused(tmp_path, capsys):
    assert main(["compare", str(tmp_path), str(tmp_path / "nowhere")]) == 2
    assert "holds neither a scan nor statistics" in capsys.readouterr().err


def planted(own: Path, section: dict | None = None, lists: dict[str, str | list[str]] | None = None) -> Path:
    """A finished run in `own`: its lists prepared, its model checked, runs and verdicts planted; returns its results."""
    (own / "model").mkdir(parents=True, exist_ok=True)
    (own / "model" / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (own / "swh-eng.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in WORDS), encoding="utf-8")
    config = {
        "title": f"a planted run of {own}/my.yaml",
        "results": str(own / "results"),
        "models": {"m": {"source": str(own / "model")}},
        "pairs": {pair: {"lexicon": one} for pair, one in (lists or {"swh-eng": str(own / "swh-eng.tsv")}).items()},
        "arms": {"tli": {"loss_layer": 2}},
        "seeds": 2,
        "split": {"shares": {"train": 0.5, "heldout": 0.5}},
    } | (section or {})
    experiment = Experiment(parse(config))
    for pair in experiment.config.pairs:
        lexicon_stage.run(Job.of(experiment, "lexicon", pair=pair))
    results = verdicts(own / "results")
    table_files.write(experiment.grid, results / "statistics" / "runs.tsv")
    for model, about in experiment.config.models.items():
        (results / "check").mkdir(exist_ok=True)
        write_check(CheckRecord(model, digest(Path(about.source)), 4), results / "check" / f"{model}.json")
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


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A run with one list of the owner's, one model in a folder of the owner's, and planted verdicts."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return planted(tmp_path / OWNER)


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
    assert config.pairs["swh-eng"].lexicon == "lists/swh-eng/swh-eng.tsv" and config.models["m"].source == "models/model"
    assert (pinned / "lists" / "swh-eng" / "swh-eng.tsv").exists() == with_lists
    pins = {one["place"]: one["digest"] for one in json.loads((pinned / "pinned.json").read_text())["pins"]}
    assert pins["lists/swh-eng/swh-eng.tsv"] == digest(finished.parent / "swh-eng.tsv")
    versions = (pinned / "constraints.txt").read_text().splitlines()
    assert "torch==2.13.0" in versions and [line for line in versions if line.startswith("rocrate==")]
    assert ("put it at `models/model`" in said) and (("put it at `lists/swh-eng/swh-eng.tsv`" in said) != with_lists)


def test_a_repetition_refuses_other_lists_and_models_and_names_them_all(finished, tmp_path):
    pin(finished, tmp_path / "pinned", with_lists=True)
    place = tmp_path / "pinned"
    with (place / "lists" / "swh-eng" / "swh-eng.tsv").open("a", encoding="utf-8") as stream:
        stream.write("mkono\thand\n")
    with pytest.raises(TliError) as told:
        rerun.assert_same_inputs(place)
    assert "lists/swh-eng/swh-eng.tsv: is not the list of swh-eng of the published run" in str(told.value)
    assert "models/model: is not there; it is the model m" in str(told.value)
    shutil.copyfile(finished.parent / "swh-eng.tsv", place / "lists" / "swh-eng" / "swh-eng.tsv")
    shutil.copytree(finished.parent / "model", place / "models" / "model")
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
    shutil.copytree(finished.parent / "model", tmp_path / "pinned" / "models" / "model")
    asked = []

    def play(command, cwd, check):
        asked.append(command)
        shutil.copytree(finished, Path(cwd) / "repetition")
        return rerun.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(rerun.subprocess, "run", play)
    assert main(["repeat", str(tmp_path / "pinned")]) == 0
    assert asked[0][asked[0].index("--configfile") + 1] == "config.yaml"
    found = table_files.read(tmp_path / "pinned" / "comparison.tsv", comparing.COMPARED)
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
    run = crate.root_dataset["mentions"]
    assert run.type == "CreateAction" and run["instrument"] == workflow
    assert run["endTime"] == "2026-01-02T03:04:05+00:00" and run["startTime"] == "2026-01-02T03:03:05+00:00"
    inputs = {one.id: one for one in run["object"]}
    assert inputs["lists/swh-eng/swh-eng.tsv"]["sha256"] == digest(finished.parent / "swh-eng.tsv")
    assert "#models/model" in inputs and "results/statistics/verdicts.tsv" in {one.id for one in run["result"]}
    described = json.loads((tmp_path / "crate" / "ro-crate-metadata.json").read_text())
    assert "https://w3id.org/ro/terms/workflow-run/context" in described["@context"]  # which says what sha256 is
    verdict = crate.get("results/statistics/verdicts.tsv")
    assert verdict["sha256"] == digest(tmp_path / "crate" / verdict.id)
    assert int(verdict["contentSize"]) == (tmp_path / "crate" / verdict.id).stat().st_size
    files = [one for one in crate.get_entities() if "File" in (one.type if isinstance(one.type, list) else [one.type])]
    assert files and all((tmp_path / "crate" / one.id).is_file() for one in files)
    assert {one["name"]: one["softwareVersion"] for one in workflow["softwareRequirements"]} == {"torch": "2.13.0"}


def test_only_what_the_workflow_ships_as_it_is_counts_as_shipped(tmp_path, monkeypatch):
    shipped = OWN_FOLDER / "resources" / "demo" / "swh-eng.tsv"
    assert shipped_place(shipped) == "resources/demo/swh-eng.tsv"
    assert shipped_place(OWN_FOLDER / "resources" / "demo" / "model") == "resources/demo/model"
    assert not Pinned("a list", "resources/demo/swh-eng.tsv", "d").is_to_be_brought
    (tmp_path / "resources" / "demo").mkdir(parents=True)
    own = shutil.copyfile(shipped, tmp_path / "resources" / "demo" / "swh-eng.tsv")
    assert shipped_place(own) == ""  # a folder of the user's that is called so
    clone = tmp_path / "clone"
    (clone / "resources").mkdir(parents=True)
    git = ["git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@b"]
    (clone / "resources" / "a.tsv").write_text("a")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *words], check=True)
    (clone / "resources" / "mine.tsv").write_text("b")
    monkeypatch.setattr(inputs, "OWN_FOLDER", clone)
    assert shipped_place(clone / "resources" / "a.tsv") == "resources/a.tsv"
    assert shipped_place(clone / "resources" / "mine.tsv") == ""  # put there, not shipped
    (clone / "resources" / "a.tsv").write_text("changed")
    assert shipped_place(clone / "resources" / "a.tsv") == ""


def test_a_run_of_shipped_things_names_them_as_the_workflow_does_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the config's resources/ is found in the clone
    model = {"models": {"m": {"source": "resources/demo/model"}}}
    results = planted(tmp_path / OWNER, model, {"swh-eng": "resources/demo/swh-eng.tsv"})
    pins = list(pin(results, tmp_path / "pinned", with_lists=True))
    assert [one.place for one in pins] == ["resources/demo/swh-eng.tsv", "resources/demo/model"]
    assert not any(one.is_to_be_brought or one.copied for one in pins)
    rerun.assert_same_inputs(tmp_path / "pinned")
    rerun.assert_same_words(tmp_path / "pinned")


def test_a_repetition_refuses_a_list_that_is_split_otherwise_before_the_first_job(finished, tmp_path):
    pin(finished, tmp_path / "pinned", with_lists=True)
    rerun.assert_same_words(tmp_path / "pinned")
    config = tmp_path / "pinned" / "config.yaml"
    config.write_text(config.read_text().replace("train: 0.5", "train: 0.2").replace("heldout: 0.5", "heldout: 0.8"))
    with pytest.raises(TliError, match="swh-eng: its list is prepared or split otherwise"):
        rerun.assert_same_words(tmp_path / "pinned")


def test_several_models_of_one_folder_are_brought_once_and_files_of_one_name_lie_apart(tmp_path):
    own = tmp_path / OWNER
    for name in ("a", "b"):
        (own / name).mkdir(parents=True)
        rows = "".join(f"{source}{name}\t{target}{name}\n" for source, target in WORDS)
        (own / name / "words.tsv").write_text("source\ttarget\n" + rows)
    models = {"m": {"source": f"{own}/model"}, "m-nf4": {"source": f"{own}/model", "quantization": "nf4"}}
    files = [f"{own}/a/words.tsv", f"{own}/b/words.tsv"]
    pins = list(pin(planted(own, {"models": models}, {"swh-eng": files}), tmp_path / "pinned", with_lists=True))
    assert [one.place for one in pins] == ["lists/swh-eng/words.tsv", "lists/swh-eng/1/words.tsv", "models/model"]
    config = load(tmp_path / "pinned" / "config.yaml")
    assert config.models["m"].source == config.models["m-nf4"].source == "models/model"
    shutil.copytree(own / "model", tmp_path / "pinned" / "models" / "model")
    rerun.assert_same_inputs(tmp_path / "pinned")
    rerun.assert_same_words(tmp_path / "pinned")


def test_a_cldf_list_goes_with_its_tables_and_cldr_has_no_file(tmp_path):
    own = tmp_path / OWNER
    (own / "cldf").mkdir(parents=True)
    tables_of_it = {"forms.csv": "ID,Form\n1,maji\n", "languages.csv": "ID\nswh\n"}
    for name, text in tables_of_it.items():
        (own / "cldf" / name).write_text(text)
    described = own / "cldf" / "Wordlist-metadata.json"
    described.write_text(json.dumps({"tables": [{"url": name} for name in tables_of_it]}))
    (own / "cldf" / "private.txt").write_text("not named by it")
    found = digest(described)
    pins = inputs.Pins(tmp_path / "copied")
    place = pins.add("the list", str(described), "lists/swh-eng", may_be_copied=True)
    copied = sorted(path.name for path in (tmp_path / "copied").rglob("*") if path.is_file())
    assert copied == ["Wordlist-metadata.json", "forms.csv", "languages.csv"]
    assert digest(tmp_path / "copied" / place) == found
    (own / "cldf" / "forms.csv").write_text("ID,Form\n1,moto\n")
    assert digest(described) != found
    whole = digest(own / "cldf")
    (own / "cldf" / "private.txt").rename(own / "cldf" / "renamed.txt")
    assert digest(own / "cldf") != whole  # a folder is all that lies in it
    section = {"pairs": {"swh-eng": {"lexicon": "cldr", "format": "cldr", "options": {"kinds": "months"}}}}
    results = planted(tmp_path / "cldr", section)
    assert [one.what for one in pin(results, tmp_path / "pinned")] == ["the model m"]
    assert load(tmp_path / "pinned" / "config.yaml").pairs["swh-eng"].lexicon == "cldr"


def test_a_run_that_is_not_finished_is_not_pinned(finished, tmp_path):
    path = finished / "statistics" / "runs.tsv"
    table_files.write(table_files.read(path).iloc[:-1], path)
    with pytest.raises(TliError, match=r"is not finished \(m/swh-eng/tli/layer-2/rank-16/seed-2 is not in its tables\)"):
        pin(finished, tmp_path / "pinned")
    path.unlink()
    with pytest.raises(TliError, match="seed-1 and 1 more is not in its tables"):
        pin(finished, tmp_path / "pinned")
    assert not (tmp_path / "pinned").exists()


def test_a_model_that_changed_or_went_since_the_run_is_not_pinned(finished, tmp_path):
    described = finished.parent / "model" / "config.json"
    described.write_text('{"model_type": "mistral"}')
    with pytest.raises(TliError, match="is not the model that the run read: its digest is"):
        pin(finished, tmp_path / "pinned")
    shutil.rmtree(described.parent)
    with pytest.raises(TliError, match="is not there; it is the model m that the run read. Put it back"):
        pin(finished, tmp_path / "pinned")


def test_the_report_of_a_crate_says_places_instead_of_its_owner_s_paths_and_tokens(finished, tmp_path):
    pytest.importorskip("rocrate")
    own = finished.parent
    (finished / "report").mkdir()
    (finished / "report" / "index.html").write_text(f"<pre>source: {own}/model, {own}/swh-eng.tsv in {own}</pre> {TOKEN} {own}-not")
    assert main(["crate", str(finished), "--output", str(tmp_path / "crate")]) == 0
    said = (tmp_path / "crate" / "results" / "report" / "index.html").read_text()
    assert said == f"<pre>source: models/model, lists/swh-eng/swh-eng.tsv in elsewhere</pre> [redacted] {own}-not"


def test_a_password_in_an_address_is_not_written(finished, tmp_path):
    texts_of_it = {"swh": {"file": "https://me:my-password@host.example/swh.txt", "sha256": "0" * 64}}
    config = json.loads((finished / "provenance" / "config.json").read_text())
    (finished / "provenance" / "config.json").write_text(json.dumps(config | {"text": texts_of_it}))
    pin(finished, tmp_path / "pinned")
    assert "my-password" not in texts(tmp_path / "pinned")
    assert load(tmp_path / "pinned" / "config.yaml").text["swh"].sha256 == "0" * 64


def test_any_other_file_that_a_config_names_is_pinned_too(tmp_path):
    (tmp_path / "frames.txt").write_text("a frame")
    pins, config = inputs.Pins(None), {"title": "/not/a/file", "later": {"frames": [str(tmp_path / "frames.txt"), "mean/shift"]}}
    pinning._pin_what_else(config, pins)
    assert config == {"title": "/not/a/file", "later": {"frames": ["inputs/later.frames/frames.txt", "mean/shift"]}}
    assert [one.is_to_be_brought for one in pins] == [True]
    with pytest.raises(TliError, match="is not there; it is what later names"):
        pinning._pin_what_else({"later": "/nowhere/at/all"}, pins)


@pytest.mark.parametrize("broken", ["no json", "[]", "{}", '{"pins": [{"odd": 1}], "about": {}, "words": {}}'])
def test_a_broken_folder_is_told_in_a_sentence(finished, tmp_path, capsys, broken):
    pin(finished, tmp_path / "pinned", with_lists=True)
    (tmp_path / "pinned" / "pinned.json").write_text(broken)
    assert main(["repeat", str(tmp_path / "pinned")]) == 2
    told = capsys.readouterr().err
    assert "pinned.json: " in told and "Traceback" not in told


def test_a_published_folder_is_compared_as_results_are(finished, tmp_path, capsys):
    pin(finished, tmp_path / "pinned")
    assert main(["compare", str(tmp_path / "pinned"), str(finished)]) == 0
    said = capsys.readouterr().out
    assert "agree to the last bit" in said and "with the same versions" in said


def test_what_differed_about_two_runs_is_told_and_what_is_not_known_is_not_claimed(finished, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    record = other / "provenance" / "train" / "m.json"
    record.write_text(record.read_text().replace("2.13.0+cpu", "2.14.0+cu130"))
    config = other / "provenance" / "config.json"
    config.write_text(config.read_text().replace('"seeds": 2', '"seeds": 3'))
    assert main(["compare", str(finished), str(other)]) == 0
    said = capsys.readouterr().out
    assert "config seeds: 2 | 3" in said and "version of torch: 2.13.0+cpu | 2.14.0+cu130" in said
    assert main(["compare", str(finished), str(verdicts(tmp_path / "bare"))]) == 0
    said = capsys.readouterr().out
    assert "records neither the config nor the versions" in said and "with the same versions" not in said


def test_a_profile_is_found_from_where_the_command_is_typed(finished, tmp_path, monkeypatch):
    pin(finished, tmp_path / "pinned", with_lists=True)
    shutil.copytree(finished.parent / "model", tmp_path / "pinned" / "models" / "model")
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(
        rerun.subprocess, "run", lambda command, **named: asked.append(command) or rerun.subprocess.CompletedProcess(command, 1)
    )
    for profile in ("mine", "slurm"):
        with pytest.raises(TliError, match="the same command goes on from there"):
            rerun.repeat("pinned", profile)
    given = [command[command.index("--profile") + 1] for command in asked if "--profile" in command]
    assert given == [str(tmp_path / "mine"), "slurm"]


def test_a_crate_without_its_library_says_what_to_type(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    assert main(["crate", str(finished), "--output", str(tmp_path / "crate")]) == 2
    assert "`pip install rocrate==" in capsys.readouterr().err
    assert not (tmp_path / "crate").exists()


def test_a_repetition_from_a_crate_leaves_what_was_published(finished, tmp_path, monkeypatch):
    pytest.importorskip("rocrate")
    assert main(["crate", str(finished), "--output", str(tmp_path / "crate"), "--with-lists"]) == 0
    shutil.copytree(finished.parent / "model", tmp_path / "crate" / "models" / "model")
    published = {path: path.read_bytes() for path in (tmp_path / "crate" / "results").rglob("*") if path.is_file()}

    def play(command, cwd, check):
        results = Path(cwd) / load(Path(cwd) / "config.yaml").results
        shutil.copytree(finished, results)
        return rerun.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(rerun.subprocess, "run", play)
    assert main(["repeat", str(tmp_path / "crate")]) == 0
    assert published and published == {path: path.read_bytes() for path in (tmp_path / "crate" / "results").rglob("*") if path.is_file()}
