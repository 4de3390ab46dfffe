"""costs: memory and time follow from the model's size, its quantisation, the words and the seeds."""

from __future__ import annotations

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from tli.cluster import costs
from tli.cluster.costs import Work
from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.job import Job

BIG = {"source": "owner/name", "revision": "0" * 40, "parameters": 8.03e9}


def made(**changes) -> Experiment:
    base = {
        "models": {"m": BIG},
        "pairs": {"swh-eng": {"lexicon": "absent.tsv"}},
        "arms": {"tli": {}, "full": {"method": "full"}},
        "seeds": 10,
    }
    return Experiment(parse(base | changes))


def with_model(**changes) -> Experiment:
    return made(models={"m": BIG | changes})


def test_weights_of_8_billion_parameters_as_everyone_counts_them():
    assert costs.weight_bytes(8e9, "bfloat16", "none") == 16e9
    assert costs.weight_bytes(8e9, "float32", "none") == 32e9
    assert 4e9 < costs.weight_bytes(8e9, "bfloat16", "nf4") < 6e9  # published: 5 to 6 GB for an 8B model in NF4
    # AdamW in float32: weights, gradients and two moments are 16 bytes a parameter (Rajbhandari et al. 2020, without mixed precision)
    assert costs.full_training_bytes(8e9, "float32", "adamw") == 16 * 8e9
    assert costs.full_training_bytes(8e9, "bfloat16", "adamw-8bit") == 6 * 8e9


def test_a_job_fits_the_card_that_people_use_for_it():
    """An 8B model in 4 bits is trained on a 24 GB card, and fully fine-tuned with 8-bit AdamW on one of 141 GB, or of 80 GB
    where the weights are held in bfloat16 (and most small updates are lost)."""
    quantized = with_model(quantization="nf4")
    assert costs.gpu_memory_mb(quantized, Work("train", "m", layer="output", arm="tli")) < 24_000
    assert costs.gpu_memory_mb(with_model(), Work("scan", "m")) > 16_000
    eight_bit = made(arms={"full": {"method": "full", "optimizer": "adamw-8bit"}})
    assert 80_000 < costs.gpu_memory_mb(eight_bit, Work("train", "m", arm="full", is_full=True)) < 141_000
    rounded = made(arms={"full": {"method": "full", "optimizer": "adamw-8bit", "full_dtype": "bfloat16"}})
    assert 48_000 < costs.gpu_memory_mb(rounded, Work("train", "m", arm="full", is_full=True)) < 80_000


def test_early_training_holds_only_the_blocks_below_the_loss():
    held = [costs.memory_mb(made(), Work("train", "m", layer=layer)) for layer in ("2", "16", "output")]
    assert held == sorted(held) and held[0] < held[2] / 3
    assert costs.memory_mb(made(), Work("train", "m", layer="best")) <= held[2]
    limited = made(scan={"best_at_most": 16})
    assert costs.memory_mb(limited, Work("train", "m", layer="best")) == held[1]


def test_a_model_on_disk_is_measured_not_guessed(tmp_path):
    tiny.save_model(tmp_path, "llama")
    found = costs.size(with_model(source=str(tmp_path)), "m")
    assert found.layers == tiny.LAYERS and found.hidden_size == tiny.HIDDEN
    from transformers import AutoModelForCausalLM

    assert found.parameters == sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(tmp_path).parameters())
    assert costs.memory_mb(with_model(source=str(tmp_path), device="cpu"), Work("check", "m")) == pytest.approx(costs.IMPORTS_MB, rel=0.01)


def test_words_seeds_and_quantisation_cost_time(tmp_path):
    lists = {}
    for rows in (100, 10_000):
        path = tmp_path / f"{rows}.tsv"
        path.write_text("source\ttarget\n" + "a\tb\n" * rows)
        lists[rows] = made(pairs={"swh-eng": {"lexicon": str(path)}})
    few, many = lists[100], lists[10_000]
    assert costs.pairs(few, "swh-eng") in (101, 102)
    for stage, extra in (("scan", {}), ("train", {"layer": "2", "arm": "tli"}), ("evaluate", {})):
        assert costs.seconds(many, Work(stage, "m", "swh-eng", **extra)) > costs.seconds(few, Work(stage, "m", "swh-eng", **extra))
    assert costs.memory_mb(many, Work("scan", "m", "swh-eng")) > costs.memory_mb(few, Work("scan", "m", "swh-eng")) + 1000
    times = [costs.seconds(many, Work("train", "m", "swh-eng", layer="2", arm="tli", runs=runs)) for runs in (1, 2, 11)]
    assert times[2] - times[0] == pytest.approx(10 * (times[1] - times[0]))  # linear in the seeds beyond one loading
    assert times[2] < 11 * times[0]  # and cheaper together than apart
    slow = made(models={"m": BIG | {"quantization": "nf4"}})
    assert costs.seconds(slow, Work("check", "m")) > costs.seconds(made(), Work("check", "m"))  # it rounds and writes what the others open
    assert (
        costs.load_seconds(8e9, "bfloat16", "nf4") < costs.load_seconds(8e9, "bfloat16", "none") < costs.quantize_seconds(8e9, "bfloat16")
    )


def test_steps_are_counted_as_the_training_counts_them(tmp_path):
    from tli.training.loop import steps_of

    sized = made(split={"sizes": {"train": 623, "select": 74, "heldout": 63}})
    assert costs.steps(sized, "tli", "swh-eng") == steps_of(623, sized.arms["tli"].training)


@given(st.floats(1e6, 1e11), st.floats(1.01, 100))
def test_more_parameters_never_cost_less(parameters, factor):
    for training in (False, True):
        how = dict(training=training, dtype="bfloat16", quantization="none", gpu=True, threads=1)
        assert costs.work_seconds(parameters * factor, 1000, **how) > costs.work_seconds(parameters, 1000, **how)
    assert costs.load_seconds(parameters * factor, "bfloat16", "none") > costs.load_seconds(parameters, "bfloat16", "none")


@given(st.floats(0, 1e6))
def test_asked_is_a_whole_number_of_minutes_and_ample(seconds):
    asked = costs.asked_minutes(seconds)
    assert isinstance(asked, int) and asked >= 10 and asked * 60 >= 3 * seconds


def test_gpus_that_are_asked_for():
    assert costs.needs_gpu(with_model(device="cpu"), "m") == 0
    assert costs.needs_gpu(with_model(), "m") == 1
    assert costs.needs_gpu(with_model(across_gpus=True), "m") == 2
    assert (
        costs.needs_gpu(made(models={"m": BIG | {"parameters": 7e10, "across_gpus": True, "dtype": "float32"}}), "m") == 5
    )  # 336 GB with room
    assert costs.gpu_memory_mb(with_model(device="cpu"), Work("train", "m")) == 0


def test_full_fine_tuning_is_measured_unquantised():
    """NF4 weights cannot be trained, so the parts of the evaluation that belong to it hold the weights whole."""
    quantized = with_model(quantization="nf4")
    parts = quantized.parts("evaluate", "m", "swh-eng")
    unquantised = {name: part.is_unquantised for name, part in parts.items()}
    assert unquantised.pop("part-1") is False and unquantised.pop("baseline-unquantised") is True
    assert len(unquantised) == 10 and all(unquantised.values())  # a fully trained run a seed

    def asked(part: str) -> int:
        return costs.asked(Job.of(quantized, "evaluate", model="m", pair="swh-eng", part=part)).memory_mb

    assert asked("baseline-unquantised") > asked("part-1") + 10_000


def test_a_job_asks_for_what_its_work_costs():
    experiment = made()
    job = Job.of(experiment, "train", model="m", pair="swh-eng", arm="tli", layer="best", rank="16")
    work = Work("train", "m", "swh-eng", "best", "tli", runs=10)
    assert costs.asked(job) == costs.Asked(1, costs.memory_mb(experiment, work), costs.asked_minutes(costs.seconds(experiment, work)))
    assert costs.asked(Job.of(experiment, "report")) == costs.OF_OTHERS["report"]


def test_translation_by_prompt_takes_time_that_follows_from_words_and_shots():
    work, sizes = Work("transfer", "m", "swh-eng", runs=11), {"split": {"sizes": {"train": 623, "select": 74, "heldout": 63}}}

    def seconds(**asked) -> float:
        return costs.seconds(made(**sizes, transfer={"translate": asked}), work)

    nothing = costs.seconds(made(**sizes), work)
    zero, five, both = seconds(shots=[0]), seconds(shots=[5]), seconds()
    assert nothing < zero < five < both == pytest.approx(zero + five - nothing)
    many = made(split={"sizes": {"train": 623, "select": 74, "heldout": 630}}, transfer={"translate": {}})
    assert costs.seconds(many, work) - nothing == pytest.approx(10 * (both - nothing), rel=0.05)  # batches are whole
    assert costs.seconds(made(**sizes, transfer={"translate": {}, "limit": 8}), work) < zero
    assert costs.disk_mb(many, work) > costs.disk_mb(made(**sizes), work)
