"""How many seeds share their passes: what is estimated is what is counted, and an 8B model on a card trains its seeds together."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import tiny_models
import torch
from safetensors.torch import load_file

from tli.model import lora
from tli.model.opened import Opened
from tli.model.opening import open_model
from tli.specs import Member, TrainSpec
from tli.training import batches as batching
from tli.training import loop
from tli.training.batches import Batches
from tli.training.grouping import StepCost, step_cost
from tli.training.trainer import Trainer, no_progress

SPEC = TrainSpec(epochs=1, batch_size=6, rank=4, alpha=8.0, dropout=0.05)
LORA = lora.LoraShape(4, 8.0, 0.05, ("q_proj", "v_proj"), 2)


def stacked_step(opened, members: int):
    """A function that runs one step's forward and backward of so many members."""
    n = 6
    each = [Batches(opened, tiny_models.WORDS[:n], tiny_models.WORDS[n:], np.eye(n, dtype=bool), "no-bos")] * members
    seeds = list(range(members))
    stack = lora.Stack(opened, [lora.initial(opened, LORA, seed) for seed in seeds], LORA, seeds)
    stack.training = True

    def step():
        with stack.applied():
            return batching.losses(each, [np.arange(n)] * members, 2, SPEC, stack.lay).sum()

    return step, sum(len(word.ids) for word in each[0].words(np.arange(n))), sum(p[0].numel() for p in stack.parameters.values())


def opened_of(tmp_path, **changes):
    return open_model(tiny_models.spec(tiny_models.write("llama", tmp_path / "m", hidden=128, **changes)), 2)


def test_operations_are_those_that_torch_counts(tmp_path):
    from torch.utils.flop_counter import FlopCounterMode

    opened = opened_of(tmp_path)
    step, tokens, values = stacked_step(opened, 1)
    with FlopCounterMode(display=False) as counter:
        step().backward()
    assert 0.9 < counter.get_total_flops() / step_cost(opened, SPEC, tokens, values).operations < 1.6  # attention, adapters, pooling


def test_memory_covers_what_is_held_for_the_backward_pass(tmp_path):
    opened = opened_of(tmp_path)
    step, tokens, values = stacked_step(opened, 4)
    held: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in opened.base.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = step()
    assert loss.requires_grad
    estimate = 4 * (step_cost(opened, SPEC, tokens, values).memory - 16 * values)
    assert estimate / 8 < sum(held.values()) < estimate


class Counted(torch.utils._python_dispatch.TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.operations += 1
        return function(*args, **(kwargs or {}))


def test_ten_seeds_dispatch_little_more_than_one(tmp_path):
    """What a GPU pays for at 80 tokens a step are launches."""
    opened, counts = opened_of(tmp_path), []
    for members in (1, 10):
        step, _, _ = stacked_step(opened, members)
        with Counted() as counted:
            step().backward()
        counts.append(counted.operations)
    assert counts[1] < 1.35 * counts[0], counts


def eight_billion(blocks: int) -> Opened:
    """The first blocks of a Llama-3-8B, without memory for them."""
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=blocks,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=128256,
    )
    with torch.device("meta"):
        base = LlamaModel(config).to(torch.bfloat16)
    return Opened(base, base.layers, None, 32, "model.", torch.device("meta"))


@pytest.mark.parametrize("layer", [2, 16])
def test_ten_seeds_of_an_8b_model_train_together_on_a_card(layer):
    cost = step_cost(eight_billion(layer), TrainSpec(), 80, layer * 16 * (2 * 4096 + 4096 + 1024))
    assert cost.operations == pytest.approx(4 * 80 * layer * 218e6, rel=0.01)  # 218 million weights a block
    assert cost.seeds_at_a_time(390, "cuda", 60e9) >= 10
    assert 1 <= cost.seeds_at_a_time(390, "cpu", 60e9) <= 3  # minutes a seed: lost together they would be an hour
    assert cost.seeds_at_a_time(390, "cuda", 1e9) < 10, "not more than fit"
    assert cost.seeds_at_a_time(390, "cuda", 0) == 1


def test_small_models_train_together_anywhere(tmp_path):
    assert step_cost(opened_of(tmp_path), SPEC, 80, 1000).seeds_at_a_time(1000, "cpu", 4e9) > 100


def test_groups_of_seeds_are_each_what_it_is_alone(models, tmp_path, monkeypatch):
    table = tiny.pairs_table().query("split == 'train'").reset_index(drop=True)
    sizes, train = [], loop.train
    monkeypatch.setattr(loop, "train", lambda stack, *rest: sizes.append(stack.members) or train(stack, *rest))
    results = []
    for limit in (2, 1):
        monkeypatch.setattr(StepCost, "seeds_at_a_time", lambda self, *_, limit=limit: limit)
        trainer = Trainer(models("llama"), SPEC, 2, 2, lambda member: table)
        assert trainer.trains_together == (limit > 1)
        trainer.prepare([Member(seed) for seed in range(1, 6)], no_progress)
        results.append({})
        for seed in range(1, 6):
            folder = tmp_path / f"{limit}-{seed}"
            folder.mkdir()
            trainer.run(Member(seed), folder, no_progress)
            results[-1][seed] = load_file(folder / "adapter/adapter_model.safetensors")
    assert sizes == [2, 2, 1] + 5 * [1]
    for seed, tensors in results[0].items():
        for name, tensor in tensors.items():
            torch.testing.assert_close(tensor, results[1][seed][name], atol=1e-5, rtol=0)


def test_what_cannot_share_its_passes_is_one_at_a_time(models):
    table = tiny.pairs_table().query("split == 'train'").reset_index(drop=True)
    full = TrainSpec(method="full", rank=None, alpha=None)
    assert Trainer(models("llama"), full, 2, 2, lambda member: table).seeds_at_a_time == 1
    encoder = TrainSpec(target_modules=("query",))
    assert not Trainer(models("bert"), encoder, 2, 2, lambda member: table).trains_together
