"""Streamed = whole: one block at a time from the files gives what the opened model gives."""

from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import with_peft

from tli.errors import ModelError
from tli.model import device, lora, streaming, weights
from tli.model.embedding import embed, embed_all
from tli.model.lora.folder import Card
from tli.model.opening import open_model


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_streamed_is_the_whole_model(family, tmp_path):
    folder = tiny_models.write(family, tmp_path / family, shard="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 3
    states = list(range(5))
    whole = embed(open_model(tiny_models.spec(folder)), tiny_models.WORDS, states, ["no-bos", "with-bos"])
    opened = open_model(tiny_models.spec(folder, stream="always"))
    assert all(p.is_meta for p in opened.base.parameters())
    streamed = embed(opened, tiny_models.WORDS, states, ["no-bos", "with-bos"])
    assert all(p.is_meta for p in opened.base.parameters())
    for key, vectors in whole.vectors.items():
        np.testing.assert_allclose(streamed.vectors[key], vectors, rtol=1e-6, atol=1e-6)  # the same products of the same shapes
    assert streamed.sink_ratio == pytest.approx(whole.sink_ratio, rel=1e-6)


@pytest.mark.parametrize("headless", [True, False])
def test_tied_and_headless_checkpoints_stream(headless, tmp_path):
    folder = tiny_models.write("llama", tmp_path / "m", headless=headless, tie_word_embeddings=True, dtype="bfloat16")
    for dtype in ("bfloat16", "float32"):
        whole = embed(open_model(tiny_models.spec(folder, dtype=dtype)), tiny_models.WORDS, [4], ["no-bos"])
        streamed = embed(open_model(tiny_models.spec(folder, dtype=dtype, stream="always")), tiny_models.WORDS, [4], ["no-bos"])
        np.testing.assert_allclose(streamed.vectors[4, "no-bos"], whole.vectors[4, "no-bos"], rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def with_adapters(tmp_path_factory):
    """A model and two saved adapters whose B is not zero, one of two blocks and one of three."""
    folder = tiny_models.write("llama", tmp_path_factory.mktemp("model") / "m")
    saved = []
    for blocks in (2, 3):
        opened = open_model(tiny_models.spec(folder), blocks)
        tensors = with_peft.random_adapter(opened, shape(blocks), seed=blocks, strength=0.2)
        saved.append(folder.parent / f"adapter-{blocks}")
        lora.save(opened, saved[-1], tensors, shape(blocks), Card(str(folder)))
    return folder, saved


def shape(blocks: int) -> lora.LoraShape:
    return lora.LoraShape(rank=4, alpha=8.0, dropout=0.05, target_modules=("q_proj", "v_proj"), blocks=blocks)


@pytest.mark.parametrize("stream", ["always", "never"])
@pytest.mark.parametrize("merge", [False, True])
def test_baseline_and_adapters_ride_in_one_pass(stream, merge, with_adapters):
    folder, saved = with_adapters
    opened = open_model(tiny_models.spec(folder))
    one_by_one = [embed(opened, tiny_models.WORDS, [2, 4], ["no-bos"])]
    for place, blocks in zip(saved, (2, 3), strict=True):  # by PEFT, each alone
        tuner = with_peft.load(opened, place, shape(blocks))
        if merge:
            tuner.merge_adapter()
        one_by_one.append(embed(opened, tiny_models.WORDS, [2, 4], ["no-bos"]))
        if merge:
            tuner.unmerge_adapter()
        tuner.unload()
    opened = open_model(tiny_models.spec(folder, stream=stream))
    wanted = [streaming.Wanted([2, 4])] + [streaming.Wanted([2, 4], lora.read(opened, place), merge) for place in saved]
    together = embed_all(opened, tiny_models.WORDS, wanted, ["no-bos"])
    for alone, shared in zip(one_by_one, together, strict=True):
        for key, vectors in alone.vectors.items():
            np.testing.assert_allclose(shared.vectors[key], vectors, rtol=1e-5, atol=1e-5)
    gap = np.abs(one_by_one[1].vectors[4, "no-bos"] - one_by_one[0].vectors[4, "no-bos"]).max()
    assert gap > 0.01  # the adapters do something


def test_states_that_stop_early_read_no_block_above(with_adapters, monkeypatch):
    folder, _ = with_adapters
    opened = open_model(tiny_models.spec(folder, stream="always"))
    embed(opened, tiny_models.WORDS[:2], [0], ["no-bos"])
    read = []
    original = streaming.loaded
    monkeypatch.setattr(streaming, "loaded", lambda o, i: read.append(i) or original(o, i))
    embed(opened, tiny_models.WORDS, [1, 2], ["no-bos"])
    assert read == [0, 1]


@pytest.mark.parametrize("family", ["llama", "gpt2"])  # GPT-2 keeps its weights transposed
def test_nf4_streamed_is_nf4_opened(family, tmp_path):
    pytest.importorskip("bitsandbytes")
    folder = tiny_models.write(family, tmp_path / "m", hidden=64, dtype="bfloat16")
    settings = tiny_models.spec(folder, dtype="bfloat16", quantization="nf4")
    whole = embed(open_model(settings), tiny_models.WORDS, [2, 4], ["no-bos"])
    streamed = embed(open_model(replace(settings, stream="always")), tiny_models.WORDS, [2, 4], ["no-bos"])
    plain = embed(open_model(replace(settings, quantization="none")), tiny_models.WORDS, [2, 4], ["no-bos"])
    for key, vectors in whole.vectors.items():
        # bfloat16: the products may be added in another order; what NF4 changes is far more
        off = np.linalg.norm(streamed.vectors[key] - vectors) / np.linalg.norm(vectors)
        assert off < 0.01 < np.linalg.norm(plain.vectors[key] - vectors) / np.linalg.norm(vectors)


def test_missing_tensor_is_an_error_not_a_random_one(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tiny_models.write("llama", tmp_path / "m")
    tensors = load_file(str(folder / "model.safetensors"))
    del tensors["model.layers.3.mlp.up_proj.weight"]
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(ModelError, match="layers.3.mlp.up_proj.weight"):
        open_model(tiny_models.spec(folder, stream="always"))


def test_memory_decides_by_itself(tmp_path, monkeypatch):
    folder = tiny_models.write("llama", tmp_path / "m")
    assert open_model(tiny_models.spec(folder)).stream is None
    monkeypatch.setattr(weights, "free_memory", lambda: 100_000)
    assert open_model(tiny_models.spec(folder)).stream is not None
    assert open_model(tiny_models.spec(folder, stream="never")).stream is None
    assert open_model(tiny_models.spec(folder), 2).stream is None  # training needs its few blocks in memory


def test_a_jobs_limit_counts_where_it_is_below_the_machines(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/slurm/job_1\n")
    assert device.free_memory(tmp_path) == 8000 * 1024
    own = tmp_path / "sys/fs/cgroup/slurm/job_1"
    own.mkdir(parents=True)
    (own / "memory.max").write_text("max\n"), (own / "memory.current").write_text("10\n")
    assert device.free_memory(tmp_path) == 8000 * 1024
    (own / "memory.max").write_text("5000\n"), (own / "memory.current").write_text("1000\n")
    assert device.free_memory(tmp_path) == 4000
    (own / "memory.stat").write_text("anon 300\ninactive_file 500\nactive_file 200\n")  # copies of files are given up when needed
    assert device.free_memory(tmp_path) == 4700
    (own / "memory.stat").write_text("inactive_file 5\nactive_file 2\ntotal_inactive_file 600\ntotal_active_file 100\n")
    assert device.free_memory(tmp_path) == 4700
