"""costs: memory and time follow from the model's size, its quantisation, the words, the text and the seeds."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import tiny
import tiny_models
from hypothesis import given
from hypothesis import strategies as st

from tli.cluster import costs, disk, extent, footprint, machines, work
from tli.cluster.costs import Cost
from tli.cluster.machines import Machine, asked_minutes, full_training_bytes
from tli.cluster.sizes import of_folder, size, usual
from tli.cluster.work import Work, answers, pairs, steps, trained_pairs
from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.specs import ALL_LINEAR

BIG = {"source": "owner/name", "revision": "0" * 40, "parameters": 8.03e9}
LLAMA = dict(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8)
SHAPES = {  # as their authors published them
    "Llama-3-8B": ("llama", LLAMA | {"vocab_size": 128256, "tie_word_embeddings": False}),
    "Gemma-2-2B": (
        "gemma2",
        dict(hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4, head_dim=256),
    ),
    "BLOOM-560m": ("bloom", dict(hidden_size=1024, n_layer=24, n_head=16, vocab_size=250880)),
}


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


def train(arm: str = "tli", layer: str = "output", **changes) -> Work:
    return Work("train", "m", "swh-eng", layer, arm, is_full=arm == "full", **changes)


def on_meta(name: str):
    """The whole model, without memory for its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    family, shape = SHAPES[name]
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **shape))


def write_hollow(model, folder):
    """A checkpoint of these tensors in bf16, whose file has a header and a hole."""
    folder.mkdir(exist_ok=True)
    config = model.config.to_dict() | {"architectures": [type(model).__name__], "tie_word_embeddings": model.config.tie_word_embeddings}
    (folder / "config.json").write_text(json.dumps(config, default=str))
    header, end = {}, 0
    for name, tensor in model.named_parameters():  # a head that is the embeddings comes once
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [end, end + 2 * tensor.numel()]}
        end += 2 * tensor.numel()
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return folder


def in_nf4(model) -> float:
    """Bytes by bitsandbytes' rule, module by module: half a byte and a float32 for 64 values in the blocks' linear layers, 2 else."""
    import torch

    layers = max(
        (m for m in model.modules() if isinstance(m, torch.nn.ModuleList)), key=lambda found: sum(p.numel() for p in found.parameters())
    )
    inside = {id(m.weight): m.weight.numel() for m in layers.modules() if isinstance(m, torch.nn.Linear)}
    return sum(p.numel() * (0.5 + 4 / 64 if id(p) in inside else 2) for p in model.parameters())


@pytest.mark.parametrize(("name", "gigabytes"), [("Llama-3-8B", 6.03), ("Gemma-2-2B", 2.32), ("BLOOM-560m", 0.68)])
def test_a_models_size_is_that_of_the_model_itself(name, gigabytes, tmp_path):
    model = on_meta(name)
    known = of_folder(write_hollow(model, tmp_path / "model"))
    assert known.parameters == sum(p.numel() for p in model.parameters())
    head = model.get_output_embeddings().weight
    assert known.head == (0 if head is model.get_input_embeddings().weight else head.numel())
    assert known.below() == sum(p.numel() for p in model.base_model.parameters())
    assert known.bytes("bfloat16", "none", with_head=True) == 2 * known.parameters
    assert known.bytes("bfloat16", "nf4", with_head=True) == pytest.approx(in_nf4(model)) == pytest.approx(gigabytes * 1e9, rel=0.01)


@pytest.mark.parametrize(("parameters", "layers", "hidden", "mlp"), [(8.03e9, 32, 4096, 14336), (70.55e9, 80, 8192, 28672)])
def test_a_model_that_is_not_here_has_the_shape_of_a_llama(parameters, layers, hidden, mlp):
    known = usual(parameters)
    block = hidden * hidden * 2.5 + 3 * hidden * mlp  # q, o; k, v of an eighth of the heads in the 70B, of a quarter in the 8B
    assert (known.layers, known.hidden_size) == (layers, hidden)
    assert known.multiplied() == pytest.approx(layers * block, rel=0.02)
    nf4 = layers * block * 0.5625 + 2 * 128256 * hidden * 2
    assert known.bytes("bfloat16", "nf4", with_head=True) == pytest.approx(nf4, rel=0.03)


def test_adapters_are_counted_as_they_are_made(tmp_path):
    from tli.model import lora
    from tli.model.opening import open_model

    folder = tiny_models.write("llama", tmp_path / "m")
    opened = open_model(tiny_models.spec(folder), 2)
    for modules in (("q_proj", "v_proj"), (ALL_LINEAR,)):
        named = lora.target_names(opened, modules, 2) if modules[0] != ALL_LINEAR else modules
        counted = of_folder(folder).adapter(modules, 2, rank=4)
        tensors = lora.initial(opened, lora.LoraShape(4, 8.0, 0.0, tuple(modules), 2), 0)
        assert counted == sum(tensor.numel() for tensor in tensors.values()), named


def test_weights_in_training_as_everyone_counts_them():
    # AdamW in float32: weights, gradients and two moments are 16 bytes a parameter (Rajbhandari et al. 2020, without mixed precision)
    assert full_training_bytes(8e9, "float32", "adamw") == 16 * 8e9
    assert full_training_bytes(8e9, "bfloat16", "adamw-8bit") == 6 * 8e9


def test_a_job_fits_the_card_that_people_use_for_it():
    """An 8B model in 4 bits is trained on a 24 GB card, and fully fine-tuned with 8-bit AdamW on one of 96 GB, or of 80 GB where the
    weights are held in bfloat16 (and most small updates are lost)."""
    assert Cost(with_model(quantization="nf4"), train()).gpu_memory_gb < 24
    assert 14 < Cost(with_model(), Work("scan", "m")).gpu_memory_gb < 24
    eight_bit = made(arms={"full": {"method": "full", "optimizer": "adamw-8bit"}})
    assert 70 < Cost(eight_bit, train("full")).gpu_memory_gb < 90
    rounded = made(arms={"full": {"method": "full", "optimizer": "adamw-8bit", "full_dtype": "bfloat16"}})
    assert 40 < Cost(rounded, train("full")).gpu_memory_gb < 70


def test_fully_trained_weights_are_measured_beside_the_models_own():
    """Both sets lie on the card: 2 x 15 GB of an 8B model below its head."""
    swapped = Cost(made(), Work("evaluate", "m", "swh-eng", is_full=True, trained_whole=1))
    plain = Cost(made(), Work("evaluate", "m", "swh-eng", is_full=True))
    below = 2 * (8.03e9 - 128256 * 4096)
    assert (swapped.gpu_memory_gb - plain.gpu_memory_gb) * 2**30 == pytest.approx(1.05 * below, rel=1e-3)
    assert swapped.seconds > plain.seconds + below / machines.READING - 1


def test_early_training_holds_only_the_blocks_below_the_loss():
    held = [Cost(with_model(device="cpu"), train(layer=layer)).memory_mb for layer in ("2", "16", "output")]
    assert held == sorted(held) and held[0] < held[2] / 3
    assert Cost(with_model(device="cpu"), train(layer="best")).memory_mb <= held[2]
    limited = made(models={"m": BIG | {"device": "cpu"}}, scan={"best_at_most": 16})
    assert Cost(limited, train(layer="best")).memory_mb == held[1]


def test_a_streamed_model_asks_for_a_block_and_the_words():
    """A 70B: 141 GB, of which 1.7 GB are a block."""
    seventy = BIG | {"parameters": 70.6e9}
    for stage in ("scan", "evaluate"):
        work = Work(stage, "m", "swh-eng", runs=20)
        on_card = Cost(made(models={"m": seventy}), work)
        assert (
            on_card.streams and on_card.gpu_memory_gb < 20 and on_card.memory_mb < 50_000
        )  # of these 40 vectors of 1,500 pairs at 81 states
        assert not Cost(made(models={"m": seventy}), work, card_gb=180).streams
        by_setting = Cost(made(models={"m": seventy | {"device": "cpu", "stream": "always"}}), work)
        whole = Cost(made(models={"m": seventy | {"device": "cpu"}}), work)
        assert by_setting.memory_mb < whole.memory_mb - 130_000
        assert by_setting.seconds > 141e9 / machines.READING  # it is read once more
    assert not Cost(made(models={"m": seventy}), train()).streams
    asked = Work("transfer", "m", "swh-eng", runs=20)
    text = Cost(made(models={"m": seventy}), asked)
    assert text.streams and text.gpu_memory_gb < 20
    for whole in ({"tasks": ["xcopa_sw"]}, {"translate": {}}):  # these are asked of the model opened whole
        assert not Cost(made(models={"m": seventy}, transfer=whole), asked).streams
    assert Cost(made(models={"m": seventy | {"stream": "never"}}), Work("scan", "m")).gpu_memory_gb > 130


def test_main_memory_of_a_job_with_a_card_is_not_that_of_the_weights():
    assert Cost(made(models={"m": BIG | {"parameters": 70.6e9}}), Work("transfer", "m", "swh-eng")).memory_mb < 20_000
    assert Cost(made(), train("full")).memory_mb > 1.3 * 7.5e9 * 4 / 1e6  # a copy for the next seed lies there


def test_a_model_on_disk_is_measured_not_guessed(tmp_path):
    tiny.save_model(tmp_path, "llama")
    found = size(with_model(source=str(tmp_path)), "m")
    assert found.layers == tiny.LAYERS and found.hidden_size == tiny.HIDDEN
    from transformers import AutoModelForCausalLM

    assert found.parameters == sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(tmp_path).parameters())
    assert Cost(with_model(source=str(tmp_path), device="cpu"), Work("scan", "m")).memory_mb == pytest.approx(
        footprint.IMPORTS_MB, rel=0.02
    )


def test_a_fetched_model_is_measured_in_the_hubs_cache(tmp_path, monkeypatch):
    import shutil

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    source = {"source": "someone/tiny-model", "revision": "a" * 40}
    assert size(with_model(**source), "m").parameters == 8.03e9  # nothing is fetched: as the config says
    snapshot = tmp_path / "hub" / "models--someone--tiny-model" / "snapshots" / ("b" * 40)
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(tiny_models.write("llama", tmp_path / "m"), snapshot)
    fetched = size(with_model(**source | {"revision": "b" * 40}), "m")
    assert fetched.parameters == of_folder(tmp_path / "m").parameters < 1e6


def test_words_seeds_and_quantisation_cost_time(tmp_path):
    lists = {}
    for rows in (100, 10_000):
        path = tmp_path / f"{rows}.tsv"
        path.write_text("source\ttarget\n" + "a\tb\n" * rows)
        lists[rows] = made(pairs={"swh-eng": {"lexicon": str(path)}})
    few, many = lists[100], lists[10_000]
    assert pairs(few, "swh-eng") in (101, 102)
    for one in (Work("scan", "m", "swh-eng"), train(layer="2"), Work("evaluate", "m", "swh-eng")):
        assert Cost(many, one).seconds > Cost(few, one).seconds
    assert Cost(many, Work("scan", "m", "swh-eng")).memory_mb > Cost(few, Work("scan", "m", "swh-eng")).memory_mb + 1000
    slow = made(models={"m": BIG | {"quantization": "nf4"}})
    assert Cost(slow, Work("check", "m")).seconds > Cost(made(), Work("check", "m")).seconds  # it rounds and writes what the others open
    assert Cost(slow, Work("scan", "m", "swh-eng")).loading < Cost(made(), Work("scan", "m", "swh-eng")).loading


def test_seeds_in_turn_cost_as_many_times_one_and_together_less():
    alone = {"seeds_together": False}
    cpu = {"m": BIG | {"device": "cpu"}}
    times = [Cost(made(models=cpu, jobs=alone), train(layer="2", runs=runs)).seconds for runs in (1, 2, 11)]
    assert times[2] - times[0] == pytest.approx(10 * (times[1] - times[0]))
    assert times[2] < 11 * times[0]  # one loading
    together, apart = (Cost(made(jobs=jobs), train(layer="2", runs=10)) for jobs in ({}, alone))
    assert together.together == 10 and apart.together == 1
    assert together.seconds - together.loading < (apart.seconds - apart.loading) / 2


def test_steps_are_counted_as_the_training_counts_them(tmp_path):

    sized = made(split={"sizes": {"train": 623, "select": 74, "heldout": 63}})
    assert steps(sized, "tli", "swh-eng") == sized.arms["tli"].training.steps(623)
    folded = made(split={"sizes": {"train": 623, "select": 74, "heldout": 63}, "folds": 5})
    assert trained_pairs(folded, "swh-eng") == 549  # four fifths of 623 + 63
    chosen = made(arms={name: {"select": {"strategy": name, "budget": 80}} for name in ("random", "uncertainty")})
    assert steps(chosen, "random", "swh-eng") == 50  # 10 batches, 5 times
    assert steps(chosen, "uncertainty", "swh-eng") == 50 + 13 + 25 + 37  # on 20, 40, 60 and 80 pairs


def test_templates_cost_their_own_readings_and_figures():
    """By hand: in each of three frames of 6 and 12 bytes a form has 3 tokens and 2 or 4 of the frame; averaged, three are one figure."""
    frames = {
        "swh": ["{word}", *(f"neno{i} {{word}}" for i in range(3))],
        "eng": ["{word}", *(f"some {{word}} words{i}" for i in range(3))],
    }
    plain, framed = made(), made(pooling={"templates": frames})
    one, beside = work.fed_tokens(framed, "swh-eng")
    assert (one, beside) == (6 * 1500, 1500 * 3 * (6 + 6 / 3 + 12 / 3)) and work.fed_tokens(plain, "swh-eng") == (9000, 0)
    averaged = made(pooling={"templates": frames, "over_templates": "averaged"})
    assert [work.ways_of_feeding(each, "swh-eng") for each in (plain, framed, averaged)] == [1, 4, 2]
    for stage in ("scan", "evaluate"):
        took = [Cost(each, Work(stage, "m", "swh-eng", runs=10)) for each in (plain, averaged, framed)]
        assert took[0].seconds < took[1].seconds < took[2].seconds and took[0].memory_mb < took[2].memory_mb
    assert disk.disk_mb(framed, Work("evaluate", "m", "swh-eng")) > 3 * disk.disk_mb(plain, Work("evaluate", "m", "swh-eng"))
    arms = {"arms": {"tli": {"templates": True}}, "pooling": {"templates": frames}}
    assert Cost(made(**arms), train())._step_tokens == pytest.approx(8 * (10 + 3 / 4 * (2 + 4)))
    streamed = {"models": {"m": BIG | {"stream": "always"}}}
    assert Cost(made(**streamed, pooling={"templates": frames}), Work("evaluate", "m", "swh-eng", runs=3)).seconds > (
        Cost(made(**streamed), Work("evaluate", "m", "swh-eng", runs=3)).seconds + 16e9 / machines.READING
    )


# ---- seconds, by hand


A100 = Machine(gpu=True, threads=1, dtype="bfloat16", quantization="nf4")


def test_a_step_of_an_8b_model_takes_a_tenth_of_a_second_on_an_a100():
    """At 80 tokens it is bound by launches: 32 blocks of about 310 operations, 10 microseconds each. At hs[2] by far fewer."""
    known = usual(8.03e9)
    assert A100.step(known.multiplied(), 32, 80, 2) == pytest.approx(0.1, rel=0.1)
    assert A100.step(known.multiplied(2), 2, 80, 2) < 0.01
    ten = A100.step(known.multiplied(), 32, 800, 2)
    assert ten < 3 * A100.step(known.multiplied(), 32, 80, 2)


def test_long_passes_are_bound_by_products_and_short_ones_by_the_cards_memory():
    plain, values = Machine(True, 1, "bfloat16", "none"), 7e9
    assert plain.forward(values, 1, 8192, 8192) == pytest.approx(2 * values * 8192 / machines.GPU_PRODUCTS["bfloat16"])
    assert plain.forward(values, 1, 8, 8192) == pytest.approx(2 * values / machines.GPU_MEMORY)
    assert plain.forward(values, 1, 8192, 512) > plain.forward(values, 1, 8192, 8192) / 1.001
    processor = Machine(False, 4, "bfloat16", "none")
    assert processor.forward(values, 0, 1000, 1000) == pytest.approx(2 * values * 1000 / (4 * machines.CPU_PRODUCTS["bfloat16"]))


@pytest.mark.parametrize("blocks", [2, 4])
def test_dispatched_operations_are_those_that_pytorch_counts(blocks, tmp_path):
    import numpy as np
    import torch
    from test_grouping import Counted

    from tli.model import lora, packing
    from tli.model.opening import open_model
    from tli.specs import TrainSpec
    from tli.training import batches as batching
    from tli.training import loop
    from tli.training.batches import Batches

    opened = open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m", hidden=64, layers=5)), blocks)
    for modules in (("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")):
        spec = TrainSpec(batch_size=6, rank=4, target_modules=modules)
        shape = lora.LoraShape(4, 8.0, 0.05, modules, blocks)
        stack = lora.Stack(opened, [lora.initial(opened, shape, 0)], shape, [0])
        stack.training = True
        pairs_of = Batches(opened, tiny_models.WORDS[:6], tiny_models.WORDS[6:], np.eye(6, dtype=bool), "no-bos")
        optimizer = loop.optimizer_of(list(stack.parameters.values()), spec)
        with Counted() as counted:
            with stack.applied():
                loss = batching.losses([pairs_of], [np.arange(6)], blocks, spec, stack.lay).sum()
            loss.backward()
            optimizer.step()
        estimate = machines.STEP + blocks * (machines.STEP_OF_BLOCK + machines.STEP_OF_ADAPTER * len(modules))
        assert counted.operations == pytest.approx(estimate, rel=0.15)
    rows = packing.pack([(1, 5, 6)] * 10)
    with torch.inference_mode(), Counted() as counted:
        opened.base(**packing.inputs(rows, opened.device, opened.dtype))
    assert counted.operations - 30 == pytest.approx(machines.FORWARD_OF_BLOCK * blocks, rel=0.15)


@given(st.floats(1e6, 1e11), st.floats(1.01, 100), st.sampled_from(["none", "nf4"]), st.booleans())
def test_more_of_anything_never_costs_less(values, factor, quantization, gpu):
    machine = Machine(gpu, 2, "bfloat16", quantization)
    for tokens in (80, 5000):
        assert machine.step(values * factor, 8, tokens, 2) >= machine.step(values, 8, tokens, 2)
        assert machine.step(values, 8, tokens * factor, 2) >= machine.step(values, 8, tokens, 2)
        assert machine.forward(values * factor, 8, tokens, 512) >= machine.forward(values, 8, tokens, 512)
        assert machine.full_step(values * factor, 8, tokens, 1e9) >= machine.full_step(values, 8, tokens, 1e9)
    assert usual(values * factor).bytes("bfloat16", quantization) >= 0.9 * usual(values).bytes("bfloat16", quantization)


@given(st.floats(0, 1e6))
def test_asked_is_a_whole_number_of_minutes_and_ample(seconds):
    asked = asked_minutes(seconds)
    assert isinstance(asked, int) and asked >= 10 and asked * 60 >= 3 * seconds


def test_two_minutes_of_work_ask_for_less_than_half_an_hour():
    nf4 = with_model(quantization="nf4")
    for layer in ("2", "best", "output"):
        cost = Cost(nf4, train(layer=layer, runs=10))
        assert cost.seconds < 300 and asked_minutes(cost.seconds) < 30


# ---- what is new since the first formulas


def test_an_anchors_text_costs_tokens_depth_and_memory(tmp_path):
    for language in ("swh", "eng"):
        (tmp_path / language).write_text("maneno mengi ya kusoma\n" * 20_000)
    arms = {
        "plain": {"loss_layer": [2]},
        "all": {"loss_layer": [2], "target_modules": "all-linear"},
        "own": {"loss_layer": [2], "positives": "own-word"},
        **{metric: {"loss_layer": [2], "anchor": {"metric": metric}} for metric in ("drift", "kl", "gradient-weighted")},
        "more": {"loss_layer": [2], "anchor": {"metric": "drift", "tokens_per_step": 640}},
    }
    texts = {language: str(tmp_path / language) for language in ("swh", "eng")}
    experiment = made(arms=arms, text=texts)
    cost = {arm: Cost(experiment, Work("train", "m", "swh-eng", "2", arm, runs=10, rank="16")) for arm in arms}
    assert cost["plain"].seconds < cost["drift"].seconds < cost["more"].seconds < cost["kl"].seconds
    assert cost["plain"].seconds < cost["all"].seconds and cost["plain"].seconds < cost["own"].seconds
    assert cost["kl"].blocks == 32 and cost["drift"].blocks == 2
    assert cost["kl"].gpu_memory_gb > 15 and cost["drift"].gpu_memory_gb < 4
    assert cost["gradient-weighted"].gpu_memory_gb > 15  # the whole model makes the matrix
    assert cost["gradient-weighted"].seconds > cost["drift"].seconds + 16e9 / machines.READING
    tokens = 2 * 20_000 * 23 / 3 / 3  # a third of both files, three bytes a token
    assert cost["drift"].memory_mb - cost["plain"].memory_mb == pytest.approx(tokens * 4096 * 2 / 1e6, rel=0.1)


def test_counts_are_those_of_the_stages():
    import importlib
    import pkgutil

    from tli import stages
    from tli.probes.perplexity import shipped_sentences
    from tli.training.anchor import LONGEST

    modules = [importlib.import_module(f"tli.stages.{found.name}") for found in pkgutil.iter_modules(stages.__path__)]
    assert {module.MATRIX_SENTENCES for module in modules if hasattr(module, "MATRIX_SENTENCES")} == {work.MATRIX_SENTENCES}
    assert (LONGEST, len(shipped_sentences("swh"))) == (work.LONGEST_SENTENCE, work.SHIPPED)


def test_running_text_is_scored_for_every_subject(tmp_path):
    (tmp_path / "text").write_text("x" * 3_000_000)
    without, with_text = made(text={"swh": "absent.txt"}), made(text={"swh": str(tmp_path / "text")})
    work = Work("transfer", "m", "swh-eng", runs=10)
    more = Cost(with_text, work).seconds - Cost(without, work).seconds
    tokens = 2 / 3 * (1e6 - 30_000)  # a third is kept for anchors; a file that is not here counts as 1,000 sentences
    assert more > 10 * 2 * 8e9 * tokens / 3.1e14, "more than at the card's printed speed"
    assert more < 10 * 2 * 8e9 * tokens / 3.1e13


def test_answers_are_those_of_the_items():
    demo = {"tasks": ["xcopa_sw", "copa", "xnli_en"], "source": "resources/demo/transfer"}
    assert answers(made(transfer=demo)) == pytest.approx(2 * 16 + 2 * 16 + 3 * 15, abs=7)
    assert answers(made(transfer={"tasks": ["xcopa_sw", "copa", "xnli_sw"]})) == 2 * 500 + 2 * 100 + 3 * 2490
    assert answers(made(transfer={"tasks": ["xnli_sw"], "limit": 50})) == 150


def test_free_maps_and_folds_are_counted():
    one = Work("scan", "m", "swh-eng")
    bare, mapped = made(maps=[]), made()
    folded = made(split={"folds": 5}, seeds=10)
    seconds = [Cost(experiment, one).seconds for experiment in (bare, mapped, folded)]
    assert seconds[0] + 60 < seconds[1] < seconds[2]
    ten, fifty = (Cost(e, Work("evaluate", "m", "swh-eng", runs=1, baselines=1)) for e in (mapped, folded))
    assert fifty.seconds > ten.seconds  # the base model is judged for each seed and fold


def test_gpus_that_are_asked_for():
    assert Cost(with_model(device="cpu"), train()).gpus == 0 and Cost(with_model(device="cpu"), train()).gpu_memory_gb == 0
    assert Cost(with_model(), train()).gpus == 1
    assert Cost(with_model(across_gpus=True), train()).gpus == 2
    wide = made(models={"m": BIG | {"parameters": 7e10, "across_gpus": True, "dtype": "float32"}})
    whole = Work("transfer", "m", "swh-eng")
    assert Cost(wide, whole).gpus == 5  # 280 GB of weights x 1.2 and 4 of logits, 84.6 a card
    assert Cost(wide, whole, card_gb=24).gpus == 14
    assert Cost(wide, whole).fits and Cost(wide, whole).gpu_memory_gb < 80
    assert Cost(wide, train(layer="2")).gpus == 1, "two blocks lie on one"
    assert Cost(wide, train("full")).gpus > 12  # 16 bytes a parameter, and 4 in AdamW's step


def test_full_fine_tuning_is_measured_unquantised():
    """NF4 weights cannot be trained, so the parts of the evaluation that belong to it hold the weights whole."""
    quantized = with_model(quantization="nf4", device="cpu")
    parts = quantized.parts("evaluate", "m", "swh-eng")
    unquantised = {name: part.is_unquantised for name, part in parts.items()}
    assert unquantised.pop("part-1") is False and unquantised.pop("baseline-unquantised") is True
    assert len(unquantised) == 10 and all(unquantised.values())  # a fully trained run a seed

    def asked(part: str) -> int:
        return costs.request(Job.of(quantized, "evaluate", model="m", pair="swh-eng", part=part)).memory_mb

    assert asked("baseline-unquantised") > asked("part-1") + 10_000
    assert asked(next(iter(unquantised))) > asked("baseline-unquantised") + 15_000


def test_a_job_asks_for_what_its_work_costs():
    experiment = made()
    job = Job.of(experiment, "train", model="m", pair="swh-eng", arm="tli", layer="best", rank="16")
    cost = Cost(experiment, Work("train", "m", "swh-eng", "best", "tli", runs=10, rank="16"))
    assert costs.request(job) == costs.Request(1, cost.memory_mb, asked_minutes(cost.seconds))
    assert costs.request(Job.of(experiment, "report")) == costs.OF_OTHERS["report"]


def test_disk_of_adapters_is_that_of_their_values():
    known = usual(8.03e9)
    asked = disk.disk_mb(made(), train(layer="2"), "16")
    assert asked == pytest.approx(2 * (0.1 + known.adapter(("q_proj", "v_proj"), 2, 16) * 4 / 1e6))
    assert known.adapter(("q_proj", "v_proj"), 2, 16) == 2 * 16 * (2 * 4096 + 4096 + 1024)


def test_the_page_says_what_the_code_says():
    page = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")
    m, known = machines, usual(8.03e9)
    operations = m.STEP + 32 * (m.STEP_OF_BLOCK + 2 * m.STEP_OF_ADAPTER)
    said = [
        f"| start of a job | {m.START} s |",
        f"| reading, writing | {m.READING / 1e9:g}, {m.WRITING / 1e9:g} GB |",
        f"| products on a card, 16 bits | {_short(m.GPU_PRODUCTS['bfloat16'])} operations |",
        f"| the same in float32 | {_short(m.GPU_PRODUCTS['float32'])} |",
        f"| the card's memory | {_short(m.GPU_MEMORY)} bytes |",
        f"| operations that PyTorch sends off | {_short(1 / m.DISPATCH)} |",
        f"| products on a core | {_short(m.CPU_PRODUCTS['float32'])} operations, in bf16 {_short(m.CPU_PRODUCTS['bfloat16'])} |",
        f"dispatches {m.FORWARD_OF_BLOCK} operations a block; a step with adapters {m.STEP}, and a block {m.STEP_OF_BLOCK} and {m.STEP_OF_ADAPTER}",
        f"= {operations:,} operations are {operations * m.DISPATCH:.1f} s",
        f"{A100.step(known.multiplied(), 32, 800, 2):.2f} s of products and unpacking",
        f"A form has {work.TOKENS} tokens with BOS; where BOS and equal beginnings are computed once, in scan and evaluation, {work.NEW_TOKENS}.",
        f"Items x choices x {work.ITEM_TOKENS} tokens",
        f"`batch_size` x {work.LONGEST_ITEM} tokens",
        f"{extent.PASS:,} tokens",
        f"Llama-3-8B is {known.bytes('bfloat16', 'nf4', with_head=True) / 1e9:.1f} GB in NF4",
    ]
    flat = " ".join(page.split())
    assert [text for text in said if " ".join(text.split()) not in flat] == []


def _short(number: float) -> str:
    return f"{number:.1e}".replace(".0e", "e").replace("e+0", "e").replace("e+", "e")


def seconds_of(experiment: Experiment, work: Work) -> float:
    return Cost(experiment, work).seconds


def test_translation_by_prompt_takes_time_that_follows_from_words_and_shots():
    work, sizes = Work("transfer", "m", "swh-eng", runs=11), {"split": {"sizes": {"train": 623, "select": 74, "heldout": 63}}}

    def seconds(**asked) -> float:
        return seconds_of(made(**sizes, transfer={"translate": asked}), work)

    nothing = seconds_of(made(**sizes), work)
    zero, five, both = seconds(shots=[0]), seconds(shots=[5]), seconds()
    assert nothing < zero < five < both == pytest.approx(zero + five - nothing, rel=0.02)  # passes are whole
    many = made(split={"sizes": {"train": 623, "select": 74, "heldout": 630}}, transfer={"translate": {}})
    assert seconds_of(many, work) - nothing == pytest.approx(10 * (both - nothing), rel=0.05)  # batches are whole
    assert seconds_of(made(**sizes, transfer={"translate": {}, "limit": 8}), work) < zero
    assert disk.disk_mb(many, work) > disk.disk_mb(made(**sizes), work)
