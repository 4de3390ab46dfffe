"""A finished run as a folder to share: cards that the hub's own code reads, adapters that PEFT opens by the card's lines, results as lm-eval
reads them, and nothing of its owner in any of it. The run is a real one of a tiny model, made here."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import platform
import re
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.metrics import mean_stderr
from lm_eval.result_schema import EvalResults
from lm_eval.utils import make_table
from test_transfer import DEMO as ITEMS
from test_transfer import longer_llama
from tiny import hidden_states
from trial import Trial

from tli.__main__ import main
from tli.config import parse
from tli.errors import TliError
from tli.experiment import Experiment
from tli.experiment.grid import GridRun, run_name
from tli.facts import LEAVES_WHOLE, NO, NOT_DECIDED, YES
from tli.io import table_files, tables
from tli.model import lora
from tli.model.full_weights import replaced_weights
from tli.model.opening import open_model
from tli.probes import harness, scoring
from tli.publishing import card, public
from tli.publishing.choosing import choose, folder_name
from tli.publishing.finished import Finished
from tli.publishing.folder import OWNER, publish
from tli.publishing.privacy import assert_private
from tli.report.input import ReportInput
from tli.runtime.progress import remember
from tli.runtime.wrapping import run as run_job
from tli.specs import ModelSpec

OWNED = "the-house-of-zawadi"  # in every path of the run's owner
TOKEN = "hf_zawadisowntokenisnobodyelses"
IDS = [1, 40, 50, 60, 70]
ARMS = {
    "tli": {"loss_layer": [1], "rank": [4]},
    "same": {"like": "tli"},
    "placebo": {"like": ["tli"], "shuffle_translations": True},
    "full-ft": {"method": "full", "loss_layer": ["output"], "learning_rate": 1e-3},
}
FULL = "m.swh-eng.full-ft.layer-output.rank-full.seed-1"
FIRST = "m.swh-eng.tli.layer-1.rank-4.seed-1"


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> Trial:
    """A run of two seeds with its tasks and statistics, remembered as Snakemake's is."""
    folder = tmp_path_factory.mktemp("run") / OWNED
    model = ModelSpec(str(longer_llama(folder / "model")), dtype="float32", device="cpu", demo=True)
    made = Trial(
        folder / "results",
        model,
        pairs={"swh-eng": {"lexicon": str(folder / "words.tsv")}},
        arms=ARMS,
        seeds=[1, 2],
        transfer={"tasks": ["xcopa_sw", "xnli_en"], "source": str(ITEMS), "limit": 6},
        evaluation={"hidden_states": ["output", "loss-layer"], "projected_pairs": 0},
        pooling={"evaluate": ["no-bos"]},
        statistics={"bootstrap": 100},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", TOKEN)
        for kind in ("check", "scan"):
            run_job(made.job(kind), threads=1, gpus=0)
        for arm in ("tli", "same", "tli-placebo"):
            run_job(made.job("train", arm=arm, layer="1", rank="4"), threads=1, gpus=0)
        run_job(made.job("train", arm="full-ft", layer="output", rank="full"), threads=1, gpus=0)
        for stage in ("evaluate", "transfer"):
            for part in made.experiment.parts(stage, "m", "swh-eng"):
                run_job(made.job(stage, part=part), threads=1, gpus=0)
        run_job(made.job("statistics"), threads=1, gpus=0)
    remember(made.layout, made.experiment.config.model_dump_json(exclude_unset=True))
    return made


@pytest.fixture(scope="module")
def published(trial, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("to-share") / "share"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", TOKEN)
        assert main(["publish", trial.layout.results, "--output", str(output)]) == 0
    return output


def test_one_run_for_each_cell_that_is_no_control_and_what_is_left_out_is_told(published):
    assert [path.name for path in sorted((published / "adapters").iterdir())] == [FIRST]
    assert [path.name for path in sorted((published / "weights").iterdir())] == [FULL]
    told = (published / "README.md").read_text()
    assert "m/swh-eng/same/layer-1/rank-4/seed-1: it is the same training as tli/layer-1/rank-4/seed-1" in told
    assert f"hf upload {OWNER}/{FIRST} adapters/{FIRST}" in told and "demo" in told
    assert f"hf upload {OWNER}/{FULL} weights/{FULL}" in told and f"](weights/{FULL}/README.md)" in told


def test_the_hub_s_own_code_reads_the_card(published, trial):
    text = (published / "adapters" / FIRST / "README.md").read_text()
    read = ModelCard(text)
    assert str(read) == text and "model-index" in yaml.safe_load(text.split("---")[1])
    assert (read.data.library_name, read.data.language) == ("peft", ["swh", "eng"]) and "demo" in read.data.tags
    assert read.data.get("base_model") is None  # a folder is no model of the hub
    name, results = model_index_to_eval_results(yaml.safe_load(text.split("---")[1])["model-index"])
    assert name == FIRST
    metrics = trial.measured("metrics")
    held = metrics[
        (metrics["run"] == "tli/layer-1/rank-4/seed-1") & (metrics["split"] == "heldout") & (metrics["pool"] == tables.UNTRAINED)
    ]
    row = held[held["hidden_state"] == 2].iloc[0]
    given = {one.metric_type: one.metric_value for one in results if one.task_type == "BitextMining"}
    assert given == {metric: pytest.approx(row[metric], abs=1e-6) for metric in card.SHOWN}
    assert "A demo." in read.text and "too few seeds" in read.text and "Harm" in read.text


def test_the_card_s_four_lines_open_the_adapter_as_it_was_measured(published, trial, monkeypatch):
    folder = published / "adapters" / FIRST
    code = re.search(r"```python\n(.*?)\n```", (folder / "README.md").read_text(), re.DOTALL)[1]
    assert len(code.splitlines()) == 4
    monkeypatch.chdir(folder)
    made: dict = {}
    exec(code.replace(card.PLACEHOLDER, trial.model.source), made)
    theirs = hidden_states(made["model"].eval(), IDS)
    opened = open_model(trial.model)
    kept = Path(trial.layout.run("m", "swh-eng", "tli/layer-1/rank-4/seed-1")) / "adapter"
    plain = _last(opened, IDS)
    with lora.applied(opened, lora.read(opened, kept)):
        ours = _last(opened, IDS)
    torch.testing.assert_close(theirs[-1], ours, rtol=1e-5, atol=1e-5)
    assert float((ours - plain).abs().max()) > 1e-3


def test_the_card_s_four_lines_open_full_weights_as_they_were_measured(published, trial, monkeypatch):
    folder = published / "weights" / FULL
    text = (folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)\n```", text, re.DOTALL)[1]
    assert len(code.splitlines()) == 4 and str(ModelCard(text)) == text and not (folder / "config.json").exists()
    assert ModelCard(text).data.get("library_name") is None and "full-fine-tuning" in ModelCard(text).data.tags
    assert "all weights below the loss" in text and "adapter" not in text.lower() and "with these weights" in text
    monkeypatch.chdir(folder)
    made: dict = {}
    exec(code.replace(card.PLACEHOLDER, trial.model.source), made)
    theirs = hidden_states(made["model"].eval(), IDS)
    opened = open_model(trial.model)
    plain = _last(opened, IDS)
    kept = Path(trial.layout.weights("m", "swh-eng", "full-ft/layer-output/rank-full/seed-1"))
    with replaced_weights(opened, kept):
        ours = _last(opened, IDS)
    torch.testing.assert_close(theirs[-1], ours, rtol=1e-5, atol=1e-5)
    assert float((ours - plain).abs().max()) > 1e-3


def test_full_weights_that_are_gone_are_told_with_what_brings_them_back(trial, tmp_path, capsys):
    name = "full-ft/layer-output/rank-full/seed-2"
    weights = Path(trial.layout.weights("m", "swh-eng", name))
    weights.rename(weights.with_suffix(".away"))
    try:
        assert main(["publish", trial.layout.results, "--output", str(tmp_path / "share"), "--run", name]) == 2
        assert "weights/model.safetensors with --notemp" in capsys.readouterr().err and not list(tmp_path.iterdir())
    finally:
        weights.with_suffix(".away").rename(weights)


def _last(opened, ids):
    with torch.no_grad():
        return opened.base(torch.tensor([ids])).last_hidden_state[0]


def test_the_harness_reads_the_results_and_finds_the_same_for_the_shared_adapter(published, trial, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = json.loads(next((published / "results" / "lm-eval" / FIRST).glob("results_*.json")).read_text())
    assert set(found) <= set(EvalResults.__annotations__)
    assert "|xcopa_sw|" in make_table(found).replace(" ", "") and "acc" in make_table(found)
    items = table_files.read(trial.layout.measured("transfer", "m", "swh-eng", "part-1")["transfer"])
    own = items[items["run"] == "tli/layer-1/rank-4/seed-1"]
    for task, part in own.groupby("task", observed=True):
        values = part["correct"].astype(float).tolist()
        figures = found["results"][task]
        assert figures["acc,none"] == sum(values) / len(values) and figures["sample_len"] == len(values)
        assert figures["acc_stderr,none"] == pytest.approx(mean_stderr(values), abs=1e-12)
    base = AutoModelForCausalLM.from_pretrained(trial.model.source)
    model = PeftModel.from_pretrained(base, published / "adapters" / FIRST).eval()
    task = harness.build("xcopa_sw", str(ITEMS), None, 0, tmp_path)
    lm = scoring.harness_model(model, AutoTokenizer.from_pretrained(trial.model.source), batch_size=4, add_bos=True)
    theirs = scoring.evaluated(lm, task, 6)
    assert theirs["results"]["xcopa_sw"]["acc,none"] == found["results"]["xcopa_sw"]["acc,none"]
    assert set(theirs) - {"samples"} <= set(found) and set(theirs["results"]["xcopa_sw"]) == set(found["results"]["xcopa_sw"])


def test_retrieval_has_the_form_of_mteb_s_results_both_ways(published, trial):
    found = json.loads((published / "results" / "mteb" / FIRST / "TLIWordRetrieval.swh-eng.json").read_text())
    assert set(found) == {"dataset_revision", "task_name", "mteb_version", "scores", "evaluation_time", "kg_co2_emissions"}
    there, back = found["scores"]["test"]
    assert (there["hf_subset"], back["hf_subset"]) == ("swh-eng", "eng-swh") and there["languages"] == ["swh-Latn", "eng-Latn"]
    words = trial.measured("similarities")
    own = words[(words["run"] == "tli/layer-1/rank-4/seed-1") & (words["split"] == "heldout") & (words["pool"] == tables.UNTRAINED)]
    own = own[own["hidden_state"] == 2]
    assert there["accuracy"] == there["main_score"] == pytest.approx((own["target_rank"] == 1).mean())
    assert back["accuracy"] == pytest.approx((own["source_rank"] == 1).mean()) and "f1" not in there


def test_nothing_of_the_owner_is_in_any_file(published, trial):
    strings = [OWNED, TOKEN, str(trial.folder), str(Path.cwd()), str(Path.home()), platform.node()]
    with contextlib.suppress(OSError, KeyError):
        strings += [f"/{getpass.getuser()}/", f"/{getpass.getuser()}\n"]
    for file in published.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        if file.suffix == ".safetensors":  # two letters of a machine's name stand somewhere in any weights
            content = content[8 : 8 + int.from_bytes(content[:8], "little")]
        assert not [one for one in strings if one.encode() in content], file
    config = json.loads((published / "adapters" / FIRST / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None


def test_words_of_the_list_are_in_no_table(published):
    for path in (published / "tables").glob("*.tsv"):
        assert not {"source", "target", "pair_id"} & set(table_files.read(path).columns), path
    assert (published / "tables" / "verdicts.tsv").exists()


def test_a_named_run_its_base_model_and_its_list_go_into_the_card(trial, tmp_path):
    output, name = tmp_path / "share", "tli-placebo/layer-1/rank-4/seed-2"
    asked = ["--run", name, "--base-model", "m=zawadi/mfano", "--dataset", "swh-eng=zawadi/maneno", "--license", "apache-2.0"]
    assert main(["publish", trial.layout.results, "--output", str(output), *asked]) == 0
    (folder,) = (output / "adapters").iterdir()
    read = ModelCard.load(folder / "README.md")
    assert (read.data.base_model, read.data.datasets, read.data.license) == ("zawadi/mfano", ["zawadi/maneno"], "apache-2.0")
    assert 'from_pretrained("zawadi/mfano"' in read.text and "Aligning words: it is a control." in read.text
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "zawadi/mfano"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--run", "tli/layer-1/rank-4/seed-3"], "is it tli/layer-1/rank-4/seed-"),
        (["--base-model", "n=a/b"], "the run has m"),
        (["--dataset", "swh-eng"], "name=organisation/name"),
    ],
)
def test_what_cannot_be_shared_is_refused_and_nothing_is_written(trial, tmp_path, capsys, asked, told):
    assert main(["publish", trial.layout.results, "--output", str(tmp_path / "share"), *asked]) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_folder_is_replaced_only_where_that_is_asked_for(published, trial, tmp_path, capsys):
    before = (published / "README.md").read_bytes()
    assert main(["publish", trial.layout.results, "--output", str(published)]) == 2
    assert "--overwrite" in capsys.readouterr().err and (published / "README.md").read_bytes() == before
    assert main(["publish", trial.layout.results, "--output", str(published), "--overwrite"]) == 0
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years")
    assert main(["publish", trial.layout.results, "--output", str(other), "--overwrite"]) == 2 and (other / "thesis.txt").exists()
    assert main(["publish", trial.layout.results, "--output", str(trial.folder), "--overwrite"]) == 2
    assert Path(trial.layout.config()).exists()


def test_a_title_with_a_path_stops_it_and_leaves_nothing(trial, tmp_path):
    kept = trial.experiment.config.model_dump_json(exclude_unset=True)
    remember(trial.layout, json.dumps(json.loads(kept) | {"title": f"Runs of {trial.folder}"}))
    try:
        with pytest.raises(TliError, match=r"README\.md would hold a path of this machine"):
            publish(trial.layout.results, tmp_path / "share")
    finally:
        remember(trial.layout, kept)
    assert not list(tmp_path.iterdir())


def test_a_token_is_found_wherever_it_stands(tmp_path):
    experiment = Experiment(parse({"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "y"}}}))
    assert_private(tmp_path, experiment)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "card.md").write_text(f"load it with {TOKEN}")
    with pytest.raises(TliError, match="deep/card.md would hold a token"):
        assert_private(tmp_path, experiment)


@given(*[st.from_regex(r"[a-z0-9]+(?:[-.][a-z0-9]+){0,2}", fullmatch=True)] * 2, st.integers(0, 10**6), st.integers(0, 9), st.booleans())
def test_every_run_has_a_name_that_the_hub_takes(model, arm, seed, fold, is_long):
    arm = f"{arm}{'-weight-0.5' * 9}" if is_long else arm
    runs = [
        GridRun(model, "swh-eng", arm, "best", "16", one, fold, run_name(arm, "best", "16", one, fold), "lora", "", False, "baseline")
        for one in (seed, seed + 1)
    ]
    names = {folder_name(run) for run in runs}
    assert len(names) == 2
    for name in names:
        validate_repo_id(f"{OWNER}/{name}")


@pytest.mark.parametrize(
    ("source", "revision", "told"),
    [
        ("Lugha-Llama/Lugha-Llama-8B-wura", "a" * 40, "Lugha-Llama/Lugha-Llama-8B-wura"),
        ("models/llama", None, ""),  # a folder that is gone looks like a name of the hub
        ("/data/zawadi/models/llama", "a" * 40, ""),
        ("../llama/8b", "a" * 40, ""),
        ("resources/demo/model", None, "resources/demo/model"),
        (str(public.OWN_FOLDER / "resources" / "demo" / "model"), None, "resources/demo/model"),
    ],
)
def test_of_a_model_s_place_only_what_is_public_is_told(source, revision, told):
    assert public.told(source, revision) == told


@pytest.mark.parametrize(
    ("answer", "told"),
    [(YES, "elsewhere its harm is not known"), (NO, "found to damage"), (NOT_DECIDED, "is not decided"), (None, "was not measured")],
)
def test_what_an_adapter_must_not_be_used_for_follows_from_its_harm(trial, answer, told):
    done = Finished.of(trial.layout.results)
    trained = choose(done, ["tli/layer-1/rank-4/seed-1"]).runs[0]
    lines = done.report.tables.lines.iloc[:0]
    if answer:
        cell = done.cell(trained.run).columns
        lines = done.report.tables.lines.iloc[:0].reindex([0]).assign(**cell, line=LEAVES_WHOLE, answer=answer)
    changed = Finished(done.experiment, dataclasses.replace(done.report, tables=dataclasses.replace(done.report.tables, lines=lines)))
    assert any(told in text for text in card.refusals(changed, trained))


def test_a_run_that_is_none_is_told(tmp_path, capsys):
    assert main(["publish", str(tmp_path), "--output", str(tmp_path / "share")]) == 2
    assert "does not remember its config" in capsys.readouterr().err
    done = Finished(Experiment(parse({"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "y"}}})), ReportInput())
    assert choose(done).runs == ()
