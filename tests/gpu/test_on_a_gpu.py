"""The same equalities on a GPU as on the processor. Skipped where none is visible: `pytest tests/gpu` on a node that has one."""

import contextlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("no GPU is visible here; these checks need one", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
import tiny_models  # noqa: E402
import with_peft  # noqa: E402

from tli.model import lora, opening, quantized  # noqa: E402
from tli.model.embedding import embed  # noqa: E402
from tli.model.opening import open_model, open_whole  # noqa: E402
from tli.specs import TrainSpec  # noqa: E402
from tli.training import loop  # noqa: E402
from tli.training.batches import Batches  # noqa: E402
from tli.training.checkpoint import Checkpoint  # noqa: E402
from tli.training.weights import AllWeights  # noqa: E402

DEVICE = "cuda"
LORA = lora.LoraShape(rank=4, alpha=8.0, dropout=0.0, target_modules=("q_proj", "v_proj"), blocks=2)
SPEC = TrainSpec(epochs=2, batch_size=4, learning_rate=1e-3, warmup_steps=1, max_gradient_norm=1.0, rank=4, alpha=8.0, dropout=0.0)


def batch_of(opened):
    return Batches(opened, tiny_models.WORDS[:6], tiny_models.WORDS[6:], np.eye(6, dtype=bool), "no-bos")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.write("llama", tmp_path_factory.mktemp("model") / "m", hidden=64)


def vectors(folder, blocks=None, **changes):
    opened = open_model(tiny_models.spec(folder, **changes), blocks)
    return embed(opened, tiny_models.WORDS, [0, 1, 2, *([] if blocks else [4])], ["no-bos"]).vectors


@pytest.mark.parametrize("stream", ["always", "never"])
def test_gpu_agrees_with_the_processor(folder, stream):
    there, here = vectors(folder, device="cuda", stream=stream), vectors(folder, device="cpu", stream="never")
    for key, expected in here.items():
        np.testing.assert_allclose(there[key], expected, rtol=1e-4, atol=1e-4)  # another order of additions on another device


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_first_blocks_are_the_whole_models(folder, quantization):
    given = dict(device="cuda", dtype="bfloat16", quantization=quantization)
    whole, few = vectors(folder, **given), vectors(folder, 2, **given)
    for key in few:
        np.testing.assert_allclose(few[key], whole[key], atol=1e-6)  # the same kernels on the same shapes


def test_nf4_streamed_is_nf4_opened(folder):
    given = dict(device="cuda", dtype="bfloat16", quantization="nf4")
    whole, streamed = vectors(folder, **given, stream="never"), vectors(folder, **given, stream="always")
    for key, expected in whole.items():
        assert np.linalg.norm(streamed[key] - expected) < 0.02 * np.linalg.norm(expected)  # bfloat16 products of other kernels


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_seeds_together_are_seeds_alone(folder, quantization):
    dtype = "float32" if quantization == "none" else "bfloat16"
    opened = open_model(tiny_models.spec(folder, device="cuda", dtype=dtype, quantization=quantization), 2)
    batch, seeds = batch_of(opened), [1, 2]
    assert loop.can_stack(opened, [batch, batch], SPEC)
    both = lora.Stack(opened, [lora.initial(opened, LORA, seed) for seed in seeds], LORA, seeds)
    outcomes = loop.train(both, [batch, batch], seeds, loop.Task(SPEC, 2))
    for number, seed in enumerate(seeds):
        stack = lora.Stack(opened, [lora.initial(opened, LORA, seed)], LORA)
        (alone,) = loop.train(stack, [batch], [seed], loop.Task(SPEC, 2))
        # bfloat16: Adam turns a rounded gradient of the other sign into a whole step of 1e-3
        loose = 1e-4 if quantization == "none" else 4e-3
        np.testing.assert_allclose(outcomes[number].losses, alone.losses, atol=10 * loose)
        for name, tensor in stack.tensors(0).items():
            np.testing.assert_allclose(both.tensors(number)[name].cpu(), tensor.cpu(), atol=loose)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_an_adapter_beside_the_weights_is_pefts(folder, quantization):
    opened = open_model(tiny_models.spec(folder, device=DEVICE, quantization=quantization), 2)
    tensors = with_peft.random_adapter(opened, LORA)
    with lora.applied(opened, lora.Adapter(tensors, LORA.scaling)):
        ours = embed(opened, tiny_models.WORDS, [2], ["no-bos"]).vectors[2, "no-bos"]
    with_peft.attach(opened, LORA, 0)
    for name, parameter in with_peft.parameters(opened).items():
        parameter.data.copy_(tensors[name])
    theirs = embed(opened, tiny_models.WORDS, [2], ["no-bos"]).vectors[2, "no-bos"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_written_nf4_weights_are_what_rounding_gives(folder, tmp_path):
    settings = tiny_models.spec(folder, device=DEVICE, dtype="bfloat16", quantization="nf4")
    keeping = replace(settings, store=str(tmp_path))
    quantized.write(keeping, folder, open_whole(settings)[0])
    assert "nf4" in quantized.reopened(keeping, folder).source
    made, again = (embed(open_model(one), tiny_models.WORDS, [2, 4], ["no-bos"]).vectors for one in (settings, keeping))
    for key in made:
        np.testing.assert_array_equal(made[key], again[key])


class Stopped(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["adamw", "adamw-8bit"])
def test_full_training_goes_on_from_its_checkpoint(folder, tmp_path, optimizer):
    spec = replace(SPEC, method="full", optimizer=optimizer, epochs=3)
    ends = []
    for stop in (None, 3):
        place = Checkpoint(tmp_path / str(stop), 1e-9, {})

        def stopped(step, loss, stop=stop):
            if step == stop:
                raise Stopped

        for progress in ([stopped] if stop else []) + [lambda step, loss: None]:
            weights = AllWeights(open_model(tiny_models.spec(folder, device=DEVICE), 2))
            weights.opened.base.requires_grad_(True)
            with contextlib.suppress(Stopped):
                (outcome,) = loop.train(weights, [batch_of(weights.opened)], [1], loop.Task(spec, 2), progress, place)
        ends.append((outcome.losses, {name: p.detach().cpu() for name, p in weights.parameters.items()}))
    assert len(ends[0][0]) == 6 and ends[0][0][:3] == ends[1][0][:3]
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-5)  # sums of gradients come in any order on a GPU
    for name, tensor in ends[0][1].items():
        np.testing.assert_allclose(ends[1][1][name], tensor, atol=1e-5)


def test_a_full_card_is_halved_and_gives_the_same(tmp_path):
    """The allocator is held to less than a pass takes."""
    spec = tiny_models.spec(tiny_models.write("llama", tmp_path / "m", hidden=512), device=DEVICE)
    words = [a + b + c for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyzabcdefghijklmn"]
    whole = open_model(spec)
    expected = embed(whole, words, [2, 4], ["no-bos"]).vectors
    del whole
    torch.cuda.empty_cache()
    opened = open_model(spec)
    embed(opened, words[:8], [2], ["no-bos"])
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    embed(opened, words, [2, 4], ["no-bos"])
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    try:
        torch.cuda.set_per_process_memory_fraction((held + 0.6 * (peak - held)) / torch.cuda.get_device_properties(0).total_memory)
        found = embed(opened, words, [2, 4], ["no-bos"]).vectors
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert opened.room().at_once
    for key, vectors in expected.items():
        np.testing.assert_allclose(found[key], vectors, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="two cards are needed")
def test_a_model_over_two_cards_is_the_one_on_one(folder, monkeypatch):
    """Where one card does not hold it: measured, with an adapter, and trained, two seeds in a pass."""
    ends = []
    for across in (False, True):
        if across:
            monkeypatch.setattr(opening, "free_on", lambda device: 0)
        opened = open_model(tiny_models.spec(folder, device=DEVICE, across_gpus=across))
        assert len(opened.cards) == 1 + across
        shape = replace(LORA, blocks=4)
        batch, seeds = batch_of(opened), [1, 2]
        stack = lora.Stack(opened, [lora.initial(opened, shape, seed) for seed in seeds], shape, seeds)
        loop.train(stack, [batch, batch], seeds, loop.Task(SPEC, 4))
        with lora.applied(opened, lora.Adapter(stack.tensors(1), LORA.scaling)):
            ends.append((embed(opened, tiny_models.WORDS, [0, 2, 4], ["no-bos"]).vectors, stack.tensors(1)))
    for one, other in zip(*ends, strict=True):
        for key in one:
            np.testing.assert_allclose(*(torch.as_tensor(end[key]).cpu() for end in (one, other)), rtol=1e-3, atol=1e-3)
