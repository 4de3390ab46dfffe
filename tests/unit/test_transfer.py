"""The transfer stage: scores equal to the harness's own, adapters that do not touch each other, kills that lose nothing."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from trial import Trial

from tli.errors import ItemError
from tli.experiment.grid import run_name
from tli.io import table_files, tables
from tli.probes import task_items as items
from tli.specs import ModelSpec

DEMO = Path(__file__).resolve().parents[2] / "resources" / "demo" / "transfer"
ITEM = {"premise": "It rained.", "choice1": "It is wet.", "choice2": "It is dry.", "question": "effect", "label": 0}


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return longer_llama(tmp_path_factory.mktemp("model"))


def longer_llama(folder: Path, before: str = "<s>") -> Path:
    """A random Llama of two blocks with room for a whole prompt in bytes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tiny.save_tokenizer(folder, before=before)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tiny.VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Trained:
    """A run of the grid that was trained elsewhere: what its folder holds, and its name in the experiment of `stage`."""

    place: Path
    arm: str
    seed: int
    rank: str
    modules: tuple[str, ...] = ("q_proj", "v_proj")

    @property
    def run(self) -> str:
        return run_name(self.arm, "2", self.rank, self.seed)


def model_spec(source) -> ModelSpec:
    return ModelSpec(str(source), dtype="float32", device="cpu")


def adapter(source, output: Path, seed: int, strength: float, modules=("q_proj", "v_proj")) -> Trained:
    """A run whose adapter is at initialisation (strength 0) or has a random B."""
    import torch

    from tli.model import lora
    from tli.model.lora.folder import Card
    from tli.model.opening import open_model

    opened = open_model(model_spec(source))
    shape = lora.LoraShape(4, 8.0, 0.0, tuple(modules), 2)
    tensors = lora.initial(opened, shape, seed)
    torch.manual_seed(seed)
    for name, tensor in tensors.items():
        if "lora_B" in name and strength:
            tensor.normal_(0, strength)
    place = output / f"seed-{seed}"
    lora.save(opened, place / "adapter", tensors, shape, Card(str(source), None, ""))
    (place / "run.json").write_text(json.dumps({"unit": f"unit-{seed}"}))
    return Trained(place, "tli", seed, "4", tuple(modules))


def stage(folder, output: Path, runs=(), **transfer) -> dict[str, pd.DataFrame]:
    """The tables of the transfer stage for the baseline and `runs`; transfer: keys of the config's section."""
    # A grid of full trainings alone has the baseline in a part of its own.
    arms = {
        "full-ft": {"method": "full", "loss_layer": [2]},
        "tli": {"loss_layer": [2], "rank": [4], "target_modules": list(runs[0].modules if runs else ())},
    }
    used = {name: arms[name] for name in arms if name in {run.arm for run in runs} or (name == "full-ft" and not runs)}
    asked = {"tasks": ["xcopa_sw", "xnli_en"], "source": str(DEMO), "limit": 6, "batch_size": 16} | transfer
    seeds = sorted({run.seed for run in runs}) or [1]
    trial = Trial(output / "results", model_spec(folder), arms=used, seeds=seeds, transfer=asked)
    trial.run("check")
    for run in runs:
        shutil.copytree(run.place, trial.layout.run("m", "swh-eng", run.run), dirs_exist_ok=True)
    there = {run.run for run in runs}
    tables_of_parts: dict[str, list[pd.DataFrame]] = {}
    for name, part in trial.experiment.parts("transfer", "m", "swh-eng").items():
        if {run.run for run in part.runs} <= there:
            for table, path in trial.run("transfer", part=name).outputs.items():
                tables_of_parts.setdefault(table, []).append(table_files.read(path))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables_of_parts.items()}


def per_item(found: pd.DataFrame, run: str) -> pd.DataFrame:
    return found[found["run"] == run].drop(columns=tables.RUN).reset_index(drop=True)


def test_adapters_in_one_job(folder, tmp_path):
    """One at initialisation changes no item; two give what each gives alone; the baseline is the baseline again after them."""
    runs = [adapter(folder, tmp_path, seed, strength) for seed, strength in ((1, 0.0), (2, 0.5), (3, 0.5))]
    together = stage(folder, tmp_path / "together", runs)["transfer"]
    base = per_item(together, "baseline")
    assert len(base) == 12 and set(base["task"]) == {"xcopa_sw", "xnli_en"}
    pd.testing.assert_frame_equal(per_item(together, runs[0].run), base)
    assert (per_item(together, runs[1].run)["margin"] != base["margin"]).all()
    for number, run in enumerate(runs[1:]):
        alone = stage(folder, tmp_path / f"alone-{number}", [run])["transfer"]
        pd.testing.assert_frame_equal(per_item(alone, run.run), per_item(together, run.run))
        pd.testing.assert_frame_equal(per_item(alone, "baseline"), base)


@pytest.mark.parametrize(("family", "modules"), [("gpt2", ["c_attn"]), ("neox", ["query_key_value"]), ("qwen2", ["q_proj"])])
def test_adapters_reach_the_head_in_other_families(models, tmp_path, family, modules):
    source = models(family).source
    runs = [adapter(source, tmp_path, seed, strength, modules) for seed, strength in ((1, 0.0), (2, 0.5))]
    found = stage(source, tmp_path / "stage", runs, tasks=["xcopa_sw"], limit=3)["transfer"]
    pd.testing.assert_frame_equal(per_item(found, runs[0].run), per_item(found, "baseline"))
    assert (per_item(found, runs[1].run)["margin"] != per_item(found, "baseline")["margin"]).all()


def test_an_encoder_is_refused(models, tmp_path):
    with pytest.raises(ItemError, match="is an encoder"):
        stage(models("bert").source, tmp_path)


def test_margins_by_hand(folder, tmp_path):
    """The margin of an XCOPA item from log-probabilities taken one choice at a time, without the harness."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = per_item(stage(folder, tmp_path, tasks=["xcopa_sw"], limit=5)["transfer"], "baseline")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder)
    for row, item in zip(found.itertuples(), items.read_items("xcopa_sw", str(DEMO)), strict=False):
        prompt = f"{item['premise'][:-1]} {'kwa sababu' if item['question'] == 'cause' else 'kwa hiyo'}"
        logs = []
        for choice in (item["choice1"], item["choice2"]):
            start, ids = (
                len(tokenizer(prompt)["input_ids"]),
                tokenizer(f"{prompt} {choice[0].lower()}{choice[1:]}", return_tensors="pt")["input_ids"],
            )
            with torch.no_grad():
                log = torch.log_softmax(model(ids).logits[0, :-1], dim=-1).gather(1, ids[0, 1:, None])
            logs.append(float(log[start - 1 :].sum()))
        assert row.margin == pytest.approx(logs[item["label"]] - logs[1 - item["label"]], abs=1e-3)
        assert (row.predicted, row.correct, row.label, row.choices) == (
            int(np.argmax(logs)),
            float(np.argmax(logs) == item["label"]),
            item["label"],
            2,
        )


def test_a_killed_job_goes_on(folder, tmp_path, monkeypatch):
    """What was finished before the kill is not scored again, and the tables are those of a job that ran through."""
    from tli.probes import scoring

    runs = [adapter(folder, tmp_path, seed, 0.5) for seed in (1, 2)]
    whole = stage(folder, tmp_path / "whole", runs)
    score, calls = scoring.score, []

    def dying(lm, task, limit):
        calls.append(task.config.task)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return score(lm, task, limit)

    monkeypatch.setattr(scoring, "score", dying)
    with pytest.raises(KeyboardInterrupt):
        stage(folder, tmp_path / "killed", runs)
    assert not (tmp_path / "killed" / "results" / "transfer").exists()
    again = stage(folder, tmp_path / "killed", runs)
    assert calls == ["xcopa_sw", "xnli_en"] * 2 + ["xnli_en"] + ["xcopa_sw", "xnli_en"]
    for name, table in whole.items():
        pd.testing.assert_frame_equal(again[name], table)


def test_full_weights_are_put_on_and_taken_off(folder, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    weights = {
        name: tensor + 0.05 * torch.randn_like(tensor)
        for name, tensor in load_file(folder / "model.safetensors").items()
        if "layers.0" in name
    }
    place = tmp_path / "full"
    (place / "weights").mkdir(parents=True)
    save_file(weights, place / "weights" / "model.safetensors")
    (place / "run.json").write_text('{"unit": "full"}')
    run = Trained(place, "full-ft", 1, "full")
    zero = adapter(folder, tmp_path, 1, 0.0)
    found = stage(folder, tmp_path / "stage", [run, zero])
    base = per_item(found["transfer"], "baseline")
    assert (per_item(found["transfer"], run.run)["margin"] != base["margin"]).all()
    pd.testing.assert_frame_equal(per_item(found["transfer"], zero.run), base)


def test_bos_as_asked(tmp_path):
    """The harness asks the tokenizer for special tokens and takes what comes; `add_bos` must hold whatever the tokenizer does."""
    with_bos, without = longer_llama(tmp_path / "with"), longer_llama(tmp_path / "without", before="")
    asked = dict(tasks=["xcopa_sw"], limit=3)
    margins = {
        (name, add): stage(source, tmp_path / f"{name}-{add}", add_bos=add, **asked)["transfer"]["margin"].tolist()
        for name, source in (("with", with_bos), ("without", without))
        for add in (None, True, False)
    }
    assert margins["with", None] == margins["with", True] == margins["without", True]
    assert margins["without", None] == margins["without", False] == margins["with", False]
    assert margins["with", True] != margins["with", False]


def test_few_shot_examples_come_from_the_val_file(folder, tmp_path):
    lines(tmp_path / "data" / "xcopa_sw.jsonl", *({**ITEM, "idx": k} for k in range(3)))
    lines(tmp_path / "data" / "xcopa_sw.val.jsonl", *({**ITEM, "premise": f"Example {k}.", "idx": k} for k in range(4)))
    asked = dict(tasks=["xcopa_sw"], source=str(tmp_path / "data"))
    none, two = (stage(folder, tmp_path / str(n), num_fewshot=n, **asked)["transfer"]["margin"].tolist() for n in (0, 2))
    assert none != two


def test_tasks_that_generate_keep_their_own_metric(folder, tmp_path):
    """Translation by a model of random weights: chrF and BLEU are the harness's, over all items; no row among the items."""
    lines(tmp_path / "data" / "wmt16-ro-en.jsonl", *({"translation": {"ro": "Bun.", "en": "Good."}} for _ in range(2)))
    found = stage(folder, tmp_path / "stage", tasks=["wmt16-ro-en"], source=str(tmp_path / "data"))
    assert len(found["transfer"]) == 0
    values = found["generation"].set_index("metric")
    assert {"bleu,none", "chrf,none", "ter,none"} <= set(values.index) and (values["items"] == 2).all()
    assert 0 <= values.loc["chrf,none", "value"] < 100


def test_items_whose_labels_disagree_are_no_translations():
    from tli.stages.transfer import unpair_unlike

    rows = [
        (task, str(i), label, f"xnli:{i}")
        for task, labels in (("xnli_en", "01"), ("xnli_sw", "01"), ("xnli_fr", "02"))
        for i, label in enumerate(labels)
    ]
    table = pd.DataFrame(rows, columns=["task", "item", "label", "aligned_id"])
    assert unpair_unlike(table[table["task"] != "xnli_fr"])["aligned_id"].tolist() == ["xnli:0", "xnli:1"] * 2
    found = unpair_unlike(table)
    assert (found.loc[found["task"] == "xnli_fr", "aligned_id"] == "").all()


@pytest.mark.slow
def test_the_same_as_the_harness_to_the_last_item(test_data, tmp_path):
    """The harness's own command line on the published file, item by item."""
    import lm_eval

    source, data, limit = str(test_data / "models" / "stories260K"), str(test_data / "data" / "xcopa"), 40
    own = Path(lm_eval.__file__).parent / "tasks" / "xcopa" / "default_sw.yaml"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "t.yaml").write_text(
        f"include: {own}\ntask: local_sw\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs: {{data_files: {{test: {data}/sw/test.sw.jsonl, validation: {data}/sw/val.sw.jsonl}}, cache_dir: {tmp_path}/cache}}\n"
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "lm_eval",
            "run",
            "--model",
            "hf",
            "--model_args",
            f"pretrained={source},dtype=float32",
            "--tasks",
            str(tmp_path / "tasks" / "t.yaml"),
            "--limit",
            str(limit),
            "--device",
            "cpu",
            "--batch_size",
            "16",
            "--log_samples",
            "--output_path",
            str(tmp_path / "theirs"),
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    (file,) = (tmp_path / "theirs").rglob("samples_local_sw_*.jsonl")
    theirs = sorted((json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()), key=lambda sample: sample["doc_id"])
    ours = stage(source, tmp_path / "ours", tasks=["xcopa_sw"], source=data, limit=limit)["transfer"]
    assert len(ours) == len(theirs) == limit
    assert ours["correct"].tolist() == [sample["acc"] for sample in theirs]
    logs = np.array([[float(choice[0]) for choice in sample["filtered_resps"]] for sample in theirs])
    labels = np.array([int(sample["target"]) for sample in theirs])
    expected = logs[np.arange(limit), labels] - logs[np.arange(limit), 1 - labels]
    np.testing.assert_allclose(ours["margin"], expected, atol=1e-3)
