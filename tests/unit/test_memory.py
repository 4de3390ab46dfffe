"""A card that is full: the pass is halved, nothing else changes; where nothing can be halved, the error says what helps.

The card is pretended by forwards that raise torch.OutOfMemoryError for more than so many tokens.
"""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
import tiny
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from test_transfer import DEMO
from trial import Trial

from tli.errors import ModelError, TrainingError
from tli.io import table_files
from tli.model import divergence, lora, memory, opening, packing
from tli.model.embedding import embed, embed_all
from tli.model.memory import Room, is_card_full
from tli.model.opening import below_head, open_model, open_whole
from tli.model.streaming import Wanted
from tli.probes.perplexity import perplexity
from tli.runtime.wrapping import in_words
from tli.specs import Member, TrainSpec
from tli.training.trainer import Trainer

MANY = [f"{a} {b}" for a in tiny.WORDS[:8] for b in tiny.WORDS[8:28]]  # more than one row of a pass
TRAINED = tiny.pairs_table().query("split == 'train'").reset_index(drop=True)
SENTENCES = [(1, 5, 9, 4, 20, 7), (1, 8, 8), (1, 30, 12, 11, 6, 25), (1, 7, 22), (1, 4, 4, 4, 4, 9), (1, 7, 23), (1, 7, 24)]


class Card:
    """Makes modules fail that are given more than `tokens`; counts how often."""

    def __init__(self, monkeypatch, modules, tokens: int):
        self.tokens, self.failed, self.largest = tokens, 0, 0
        for module in modules:
            monkeypatch.setattr(module, "forward", self._guarded(module.forward))

    def _guarded(self, forward):
        def guarded(*args, **kwargs):
            first = args[0] if args else kwargs.get("input_ids", kwargs.get("hidden_states"))
            size = first.shape[0] * first.shape[1]
            if size > self.tokens:
                self.failed += 1
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} tokens.")
            self.largest = max(self.largest, size)
            return forward(*args, **kwargs)

        guarded.__signature__ = inspect.signature(forward)
        return guarded


def equal(one, other):
    for key, vectors in one.vectors.items():
        np.testing.assert_allclose(other.vectors[key], vectors, rtol=1e-5, atol=1e-5)  # products of other shapes
    assert other.sink_ratio == pytest.approx(one.sink_ratio, rel=1e-5)
    np.testing.assert_array_equal(one.token_counts, other.token_counts)


# --- the passes ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12).map(tuple), min_size=1, max_size=30, unique=True),
    st.integers(1, 200),
    st.sampled_from(["share", "equal_lengths", "pad", "pack"]),
)
def test_parts_of_a_pass_hold_its_words(words, tokens, layout):
    made = getattr(packing, layout)(words)
    passes = made if isinstance(made, list) else [made]
    parts = [part for rows in passes for part in packing.cut(rows, tokens)]
    found = {}
    for part in parts:
        assert part.ids.size <= tokens or len(part.ids) == 1
        for member, place in zip(part.members, part.places, strict=True):
            found[member] = tuple(part.ids.ravel()[place].tolist())
            if part.mask is not None and part.mask.ndim == 3:  # each token sees its own word and nothing else of it
                row, columns = place[0] // part.ids.shape[1], place % part.ids.shape[1]
                for n, column in enumerate(columns):
                    assert set(np.flatnonzero(part.mask[row, column])) == set(columns[: n + 1])
    assert [found[i] for i in range(len(words))] == words and sum(len(p.members) for p in parts) == len(words)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("halvings", [1, 2])
def test_an_embedding_goes_on_with_half(family, halvings, models, monkeypatch, capsys):
    opened = open_model(models(family))
    states, poolings = [0, 2, tiny.LAYERS], ["no-bos", "with-bos"]
    seen = Card(monkeypatch, [opened.base], 10**9)
    whole = embed(opened, MANY, states, poolings)
    card = Card(monkeypatch, [opened.base], -(-seen.largest // 2**halvings))
    done = []
    halved = embed(opened, MANY, states, poolings, progress=done.append)
    equal(whole, halved)
    assert card.failed == halvings and 0 < card.largest <= card.tokens and done[-1] == len(dict.fromkeys(MANY))
    again = embed(opened, MANY, states, poolings)  # remembered: nothing fails any more
    equal(whole, again)
    assert card.failed == halvings
    assert capsys.readouterr().err.count("memory: the card does not hold") == 1


def test_a_state_that_fails_after_others_were_taken_counts_once(models, monkeypatch):
    """The card may be full while a pass is pooled: what it gave before is taken again."""
    from tli.model import embedding

    opened = open_model(models("llama"))
    whole = embed(opened, MANY, [1, 2], ["no-bos"])
    add, failed = embedding.Gathered.add, []

    def adding(self, rows, state, values):
        add(self, rows, state, values)
        if state == 2 and not failed:
            failed.append(rows)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(embedding.Gathered, "add", adding)
    equal(whole, embed(opened, MANY, [1, 2], ["no-bos"]))
    assert failed


def test_where_one_row_does_not_fit_the_error_says_what_helps(models, monkeypatch):
    opened = open_model(models("llama"))
    embed(opened, tiny.WORDS, [2], ["no-bos"])
    Card(monkeypatch, [opened.base], 0)
    with pytest.raises(ModelError, match=r"cannot be cut .*quantization: nf4.*More main memory does not help"):
        embed(opened, tiny.WORDS, [2], ["no-bos"])


def test_other_errors_are_not_taken_for_a_full_card(models, monkeypatch):
    opened = open_model(models("llama"))
    monkeypatch.setattr(opened.base, "forward", lambda **_: (_ for _ in ()).throw(RuntimeError("another thing")))
    with pytest.raises(RuntimeError, match="another thing"):
        embed(opened, tiny.WORDS, [2], ["no-bos"])
    assert not is_card_full(MemoryError()) and not is_card_full(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert is_card_full(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))


@pytest.mark.parametrize("halvings", [1, 2])
def test_a_streamed_model_begins_again_with_half(halvings, tmp_path, monkeypatch):
    """The base and two adapters ride; the second block finds the card full."""
    folder = tiny_models.write("llama", tmp_path / "m")
    opened = open_model(tiny_models.spec(folder, stream="always"))
    shape = lora.LoraShape(4, 8.0, 0.0, ("q_proj", "v_proj"), 3)
    adapters = []
    for seed in (1, 2):
        tensors = lora.initial(opened, shape, seed)
        adapters.append(lora.Adapter({name: torch.randn_like(t) * 0.2 for name, t in tensors.items()}, 2.0))
    wanted = [Wanted([0, 2, 4]), Wanted([2, 4], adapters[0]), Wanted([3], adapters[1])]
    words = [a + b + c for a in "abcde" for b in "nopqrst" for c in "uvwxyz"]
    whole = embed_all(opened, words, wanted, ["no-bos"])
    kind, largest, limit, failed = type(opened.blocks[1]), [], [10**9], []
    forward = kind.forward

    def guarded(self, hidden_states, *args, **kwargs):
        size = hidden_states.shape[0] * hidden_states.shape[1]
        largest.append(size)
        if size > limit[0] and self is opened.blocks[1]:
            failed.append(size)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, hidden_states, *args, **kwargs)

    monkeypatch.setattr(kind, "forward", guarded)
    embed_all(opened, words, wanted, ["no-bos"])
    limit[0] = -(-max(largest) // 2**halvings)
    halved = embed_all(opened, words, wanted, ["no-bos"])
    assert len(failed) == halvings
    for one, other in zip(whole, halved, strict=True):
        equal(one, other)
    limit[0] = 0
    with pytest.raises(ModelError, match="cannot be cut"):
        embed_all(opened, words, wanted, ["no-bos"])
    assert all(p.is_meta for p in opened.base.parameters())


def test_running_text_goes_on_with_half(tmp_path, monkeypatch):
    whole, tokenizer = open_whole(tiny_models.spec(tiny_models.write("llama", tmp_path)))
    opened = below_head(whole, tokenizer)
    before = divergence.last_states(opened, SENTENCES)
    after = [state * 1.1 + 0.1 for state in before]
    expected = divergence.compare(whole, opened, SENTENCES, before, after)
    card = Card(monkeypatch, [opened.base], 6)
    for one, other in zip(before, divergence.last_states(opened, SENTENCES), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert card.failed == 1 and card.largest == 6
    forward, failed = whole.lm_head.forward, []

    def head(states):
        if states.shape[1] > 7:
            failed.append(states.shape[1])
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(states)

    monkeypatch.setattr(whole.lm_head, "forward", head)
    for one, other in zip(expected, divergence.compare(whole, opened, SENTENCES, before, after), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert failed == [sum(len(ids) - 1 for ids in SENTENCES), sum(len(ids) - 1 for ids in SENTENCES) // 2]
    divergence.compare(whole, opened, SENTENCES, before, after)
    assert len(failed) == 2  # remembered


def test_perplexity_goes_on_with_half(models, monkeypatch):
    whole, tokenizer = open_whole(models("llama"))
    texts = ["maji moto", "nyumba", "habari za asubuhi", "book", "window"]
    expected, tokens = perplexity(whole, tokenizer, texts)
    widest = max(len(tokenizer.encode(text)) for text in texts)
    card, room = Card(monkeypatch, [whole.base_model], 2 * widest), Room("sentences")
    for _ in range(2):
        found, count = perplexity(whole, tokenizer, texts, room)
        assert found == pytest.approx(expected, rel=1e-6) and count == tokens
    assert card.failed == 1 and room.at_once == 2


def test_a_task_of_the_harness_goes_on_with_half(models, tmp_path, monkeypatch):
    """The job's own door: the transfer stage on a model whose forward does not take five rows."""
    found = {}
    for rows in (10**9, 4):
        asked = {"tasks": ["xcopa_sw"], "source": str(DEMO), "limit": 6, "batch_size": 16}
        # A grid of full trainings alone has the baseline in a part of its own.
        arms = {"full-ft": {"method": "full", "loss_layer": [2]}}
        trial = Trial(tmp_path / str(rows), models("llama"), arms=arms, transfer=asked)
        trial.run("check")
        opened_whole, failed = open_whole, []

        def guarded_whole(spec, rows=rows, failed=failed, opened_whole=opened_whole):
            whole, tokenizer = opened_whole(spec)
            forward = whole.forward

            def guarded(input_ids=None, **kwargs):
                if len(input_ids) > rows:
                    failed.append(len(input_ids))
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                return forward(input_ids=input_ids, **kwargs)

            monkeypatch.setattr(whole, "forward", guarded)
            return whole, tokenizer

        monkeypatch.setattr(opening, "open_whole", guarded_whole)
        (part,) = (name for name, part in trial.experiment.parts("transfer", "m", "swh-eng").items() if not part.runs)
        found[rows] = table_files.read(trial.run("transfer", part=part).outputs["transfer"])
    assert 12 in failed or 16 in failed
    np.testing.assert_allclose(found[4]["margin"], found[10**9]["margin"], atol=1e-4)  # nats, sums over tokens in float32
    assert len(found[4]) == 6


@pytest.mark.parametrize("together", [1, 2, 100])
def test_a_streamed_models_subjects_are_read_in_as_many_readings_as_their_vectors_need(together, models, tmp_path, monkeypatch):
    """The evaluation of three adapters and the base model: the tables of the opened model, in so many readings."""
    from tli.probes import riding as probing

    found, readings = {}, []
    embed_them = probing.embed_all

    def counted(opened, forms, wanted, poolings):
        readings.append(len(wanted))
        return embed_them(opened, forms, wanted, poolings)

    monkeypatch.setattr(probing, "embed_all", counted)
    for way in ("never", "always"):
        arms = {"tli": {"loss_layer": [2], "rank": [4], "dropout": 0.0}}
        trial = Trial(tmp_path / way, models("llama", stream=way), arms=arms, seeds=[1, 2, 3])
        trial.pretend_checked_and_scanned()
        trial.train("tli", "2")
        if way == "always":
            forms = len(dict.fromkeys(form for pair in tiny.LEXICON for form in (*pair[:2], pair[2]) if form))
            one = 2 * forms * 3 * 2 * tiny.HIDDEN * 4  # three hidden states, two poolings
            monkeypatch.setattr(probing, "free_memory", lambda one=one: int(2 * one * (together + 0.5)))
        trial.evaluate()
        found[way] = pd.concat([trial.measured("metrics", part) for part in trial.experiment.parts("evaluate", "m", "swh-eng")])
    assert readings == {1: [1, 1, 1, 1], 2: [2, 2], 100: [4]}[together]
    assert len(found["never"]) == len(found["always"]) and found["never"]["run"].nunique() == 4
    for column in ("gap", "cosine", "mrr"):
        np.testing.assert_allclose(found["always"][column], found["never"][column], atol=1e-5)


def test_a_run_that_is_another_is_measured_where_only_one_subject_fits(models, tmp_path, monkeypatch):
    """`best` is hs[3], with another run between the two in the list."""
    from tli.probes import riding

    arms = {"tli": {"loss_layer": ["best", 2, 3], "rank": [4], "dropout": 0.0}}
    trial = Trial(tmp_path, models("llama", stream="always"), arms=arms, seeds=[1])
    trial.pretend_checked_and_scanned()
    for layer in ("2", "3", "best"):
        trial.train("tli", layer)
    monkeypatch.setattr(riding, "free_memory", lambda: 0)
    trial.evaluate()
    found = trial.measured("metrics").set_index("run")["gap"]
    same, other = (found[f"tli/layer-{layer}/rank-4/seed-1"].to_numpy() for layer in ("3", "2"))
    np.testing.assert_array_equal(found["tli/layer-best/rank-4/seed-1"], same)
    assert not np.allclose(same, other)


# --- training -----------------------------------------------------------------------------------------------------------


def spec_of(**changes) -> TrainSpec:
    shape = {"rank": None, "alpha": None} if changes.get("method") == "full" else {"rank": 4, "alpha": 8.0}
    return TrainSpec(**shape | {"epochs": 2, "learning_rate": 1e-2, "warmup_steps": 0, "batch_size": 4, "dropout": 0.0} | changes)


def test_seeds_that_do_not_fit_together_train_in_smaller_groups(models, tmp_path, monkeypatch, capsys):
    members, limit, kept = [Member(seed) for seed in (1, 2, 3, 4)], 10**9, {}
    for share in (1, 2, 4):
        trainer = Trainer(models("llama"), spec_of(), 2, 2, lambda member: TRAINED)
        assert trainer.seeds_at_a_time >= 4
        card = Card(monkeypatch, [trainer.opened.base], limit if share == 1 else limit // share + 8)
        trainer.prepare(members, lambda *_: None)
        for member in members:
            folder = tmp_path / str(share) / str(member.seed)
            folder.mkdir(parents=True)
            trainer.run(member, folder, lambda *_: None)
            kept[share, member.seed] = load_file(folder / "adapter" / "adapter_model.safetensors")
        limit = card.largest if share == 1 else limit
        assert card.failed == {1: 0, 2: 1, 4: 2}[share] and trainer._room.at_once == {1: None, 2: 2, 4: 1}[share]
        assert capsys.readouterr().err.count("memory: the card does not hold 4 runs in a pass at once") == (share > 1)
    for (_, seed), tensors in kept.items():
        for name, tensor in tensors.items():
            torch.testing.assert_close(tensor, kept[1, seed][name], rtol=0, atol=1e-5)
        assert any(t.abs().max() > 1e-3 for name, t in tensors.items() if "lora_B" in name)


@pytest.mark.parametrize(
    ("changes", "fields", "named"),
    [
        ({}, {}, ["batch_size (it is 4", "gradient_checkpointing: true", "quantization: nf4", "seeds_together need not"]),
        ({"gradient_checkpointing": True}, {}, ["batch_size", "quantization: nf4"]),
        ({"method": "full", "learning_rate": 1e-4}, {}, ["adamw-8bit", "an adapter instead", "gradient_checkpointing"]),
        ({"batch_size": 2}, {}, ["gradient_checkpointing"]),
    ],
)
def test_a_training_whose_batch_does_not_fit_says_what_to_lower(changes, fields, named, models, tmp_path, monkeypatch):
    trainer = Trainer(models("llama", **fields), spec_of(**changes), 2, 2, lambda member: TRAINED)
    trainer._batches(np.arange(len(TRAINED)), Member(1))  # the layout is tried with a few words, which do fit
    Card(monkeypatch, [trainer.opened.base], 14)
    with pytest.raises(TrainingError, match="does not hold one step of one run") as raised:
        trainer.run(Member(1), tmp_path, lambda *_: None)
    assert all(part in str(raised.value) for part in named)
    assert ("batch_size (it" in str(raised.value)) == (changes.get("batch_size", 4) > 2)
    assert ("gradient_checkpointing" in str(raised.value)) == (not changes.get("gradient_checkpointing"))


# --- what the job says --------------------------------------------------------------------------------------------------


def test_a_job_that_a_full_card_ended_says_what_helps():
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")
    text = in_words(error)
    assert "the card's memory is full" in text and "2.00 GiB" in text and "neither do the retries" in text and "\n" not in text
    assert "retries" not in in_words(MemoryError("no main memory"))  # there more of it does help


def test_what_failed_is_let_go():
    """The tensors of a failed pass are not kept by its error's traceback."""
    import gc
    import weakref

    held = []

    def do():
        tensor = torch.ones(3)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    assert memory.attempt(do) == (None, "CUDA out of memory.")
    gc.collect()
    assert held[0]() is None
