"""A map inside the model: the formula, the blocks above running on, one language alone, streamed as opened, and what it costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from scipy import stats
from test_metrics_maps import planted
from tiny import LAYERS, hidden_states, pairs_table, whole_model
from trial import Trial

from tli.errors import ModelError
from tli.experiment.folds import Splits
from tli.experiment.inside import maps_inside
from tli.io import table_files, tables
from tli.metrics import maps
from tli.model.embedding import embed, embed_all
from tli.model.inside import Inside, placed, spared_ids
from tli.model.opening import open_model
from tli.model.streaming import Wanted
from tli.report import derived
from tli.specs import StatisticsSpec
from tli.statistics import harm
from tli.subjects import FormVectors, MapInside

PAIRS = pairs_table()


def some_map(d: int = 32, hyperparameter: float = 20, seed: int = 0) -> maps.FittedMap:
    source, target = planted(60, d, seed=seed)
    return maps.fit("procrustes", source + 1, target - 1, hyperparameter)


# --- the formula ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, hyperparameter", [("centring", np.nan), ("procrustes", 20), ("ridge", 0.1)])
def test_tokens_become_their_images_and_keep_their_norms(name, hyperparameter):
    """torch's against numpy's, and against the formula written out."""
    source, target = planted(60, 32)
    mapping = maps.fit(name, source + 1, target - 1, hyperparameter)
    h = np.random.default_rng(1).normal(size=(3, 5, 32)).astype(np.float32) * np.geomspace(0.1, 300, 15).reshape(3, 5, 1)
    h[0, 0] = 0
    ids = np.arange(15).reshape(3, 5)
    image = Inside(0, mapping, frozenset({7})).apply(torch.from_numpy(h), ids).numpy()
    flat = h.reshape(-1, 32).astype(float)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    by_hand = mapping.target.mean + mapping.source.apply(flat)
    by_hand = lengths * by_hand / np.linalg.norm(by_hand, axis=1, keepdims=True)
    by_hand[7] = flat[7]
    np.testing.assert_allclose(image.reshape(-1, 32), by_hand, rtol=1e-4, atol=1e-5 * lengths.max())
    np.testing.assert_allclose(np.linalg.norm(image, axis=-1), np.linalg.norm(h, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(np.delete(mapping.image(flat), 7, 0), np.delete(by_hand, 7, 0), rtol=1e-5, atol=1e-6 * lengths.max())


def test_a_half_precision_state_stays_in_its_type():
    state = torch.ones((1, 2, 32), dtype=torch.bfloat16)
    assert Inside(0, some_map()).apply(state, np.zeros((1, 2), int)).dtype == torch.bfloat16


# --- in a model -------------------------------------------------------------------------------------------------------


def identity(opened, state: int, forms: list[str]) -> maps.FittedMap:
    """Fitted to equal sides: W = I, equal means."""
    vectors = embed(opened, forms, [state], ["no-bos"]).vectors[state, "no-bos"]
    return maps.fit("procrustes", vectors, vectors, len(vectors) - 1)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("state", [0, 2])
def test_the_identity_changes_nothing(models, family, state):
    opened = open_model(models(family))
    inside = Inside(state, identity(opened, state, PAIRS["source"].unique().tolist()), spared_ids(opened.tokenizer))
    forms, states = PAIRS["source"].tolist(), [state, LAYERS]
    before = embed(opened, forms, states, ["no-bos"]).vectors
    with placed(opened, inside):
        after = embed(opened, forms, states, ["no-bos"]).vectors
    for key, vectors in before.items():
        np.testing.assert_allclose(after[key], vectors, rtol=0, atol=1e-6 * max(1, np.abs(vectors).max()))
    assert not opened.base._forward_pre_hooks and not opened.blocks[state]._forward_pre_hooks


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_at_the_embeddings_it_is_a_model_that_is_given_the_images(models, family):
    """Transformers takes inputs_embeds: no hook of ours. (GPT-2 adds positions to them before its first block: taken off, put on.)"""
    spec = models(family)
    opened, whole, mapping = open_model(spec), whole_model(spec), some_map()
    ids = opened.tokenizer("habari za asubuhi")["input_ids"]
    first = hidden_states(whole, ids)[0]
    image = torch.from_numpy(mapping.image(first.numpy()))
    image[0] = first[0]  # BOS
    given = image - whole.transformer.wpe.weight[: len(ids)] if family == "gpt2" else image
    with torch.no_grad():
        expected = [one[0] for one in whole(inputs_embeds=given[None], output_hidden_states=True).hidden_states]
    with placed(opened, Inside(0, mapping, spared_ids(opened.tokenizer))):
        found = embed(opened, ["habari za asubuhi"], [0, 2, LAYERS], ["no-bos"]).vectors
    for state in (0, 2, LAYERS):
        np.testing.assert_allclose(found[state, "no-bos"][0], expected[state][1:].mean(0), rtol=0, atol=1e-5 * expected[state].abs().max())


def test_where_the_blocks_above_add_nothing_the_output_is_the_norm_of_the_images(models):
    """All output matrices zero: hs[L] = norm(image of hs[0])."""
    opened, mapping = open_model(models("llama")), some_map()
    with torch.no_grad():
        for block in opened.blocks:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    word = ["kitabu"]
    ids = opened.tokenizer("kitabu", add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        images = torch.from_numpy(mapping.image(opened.base.get_input_embeddings()(ids)[0].numpy()))
        expected = opened.base.norm(images).mean(0)
    with placed(opened, Inside(1, mapping, spared_ids(opened.tokenizer))):
        found = embed(opened, word, [LAYERS], ["no-bos"]).vectors[LAYERS, "no-bos"][0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_block_above_can_undo_it(models):
    """Something that puts hs[1] back as it was, after the map: the output is that of the base model, and else it is not."""
    opened, mapping, forms = open_model(models("llama")), some_map(), PAIRS["source"].unique().tolist()

    class Undo(Inside):
        def apply(self, states, ids):
            return kept.pop()

    kept, undo = [], Undo(1, mapping)
    plain = embed(opened, forms, [LAYERS], ["no-bos"]).vectors[LAYERS, "no-bos"]
    remember = opened.blocks[1].register_forward_pre_hook(
        lambda m, args, kwargs: kept.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with placed(opened, Inside(1, mapping)):
        changed = embed(opened, forms, [LAYERS], ["no-bos"]).vectors[LAYERS, "no-bos"]
        kept.clear()
        with placed(opened, undo):
            undone = embed(opened, forms, [LAYERS], ["no-bos"]).vectors[LAYERS, "no-bos"]
    remember.remove()
    np.testing.assert_array_equal(undone, plain)
    assert np.abs(changed - plain).max() > 0.01


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_streamed_is_opened(family, tmp_path):
    folder = tiny_models.write(family, tmp_path / family, shard="20KB")
    opened, streamed = open_model(tiny_models.spec(folder)), open_model(tiny_models.spec(folder, stream="always"))
    vectors = embed(opened, tiny_models.WORDS, [1], ["no-bos"]).vectors[1, "no-bos"]
    mapping = maps.fit("procrustes", vectors[1:], vectors[:-1], 10)
    for state in (0, 2):
        inside = Inside(state, mapping, spared_ids(opened.tokenizer))
        states = list(range(5))
        with placed(opened, inside):
            whole = embed(opened, tiny_models.WORDS, states, ["no-bos", "with-bos"])
        plain, ours = embed_all(streamed, tiny_models.WORDS, [Wanted(states), Wanted(states, inside=inside)], ["no-bos", "with-bos"])
        for key, values in whole.vectors.items():
            np.testing.assert_allclose(ours.vectors[key], values, rtol=1e-4, atol=1e-4)
            assert (np.abs(ours.vectors[key] - plain.vectors[key]).max() > 1e-3) == (key[0] >= state)


def test_a_state_that_no_block_takes_is_refused(models):
    opened = open_model(models("llama"))
    with pytest.raises(ModelError, match=r"hs\[4\]: no block takes it; there are 4"), placed(opened, Inside(LAYERS, some_map())):
        pass


# --- which map, and where ---------------------------------------------------------------------------------------------


def curve(values: dict[int, tuple[float, float]], name: str = "procrustes") -> pd.DataFrame:
    """MAPS of two folds: at_state rows with these select values by state, and better ones that no state takes."""
    rows = []
    for fold in (1, 2):
        for state, of_folds in values.items():
            rows.append(["m", "swh-eng", 1, fold, name, state, 4.0 + fold, of_folds[fold - 1], 6, True, False])
            rows.append(["m", "swh-eng", 1, fold, name, state, 99.0, 1.0, 6, False, False])
    return pd.DataFrame(rows, columns=tables.MAPS)


def folded() -> Splits:
    dealt = PAIRS[PAIRS["split"] != "select"]["pair_id"]
    return Splits(PAIRS, pd.DataFrame({"pair_id": dealt, "seed": 1, "fold": np.arange(len(dealt)) % 2 + 1}))


def test_one_state_serves_all_folds_and_each_has_its_own_pairs():
    values = {0: (0.2, 0.6), 1: (0.5, 0.3), 2: (0.3, 0.5), LAYERS: (0.9, 0.9)}  # means .4, .4, .4: the lower one; hs[L] is no block's input
    found = maps_inside(["procrustes"], curve(values), folded(), [(1, 1), (1, 2)], "no-bos", ("m", "swh-eng", LAYERS))
    assert [(one.run, one.layer, one.seed, one.fold) for one in found] == [
        ("map-procrustes-inside/layer-0", "0", 1, fold) for fold in (1, 2)
    ]
    assert [one.map_inside.hyperparameter for one in found] == [5.0, 6.0] and found[0].unit != found[1].unit
    for one in found:
        trained = folded().of(1, one.fold).query("split == 'train'")
        assert list(one.map_inside.source) == trained["source"].tolist() and list(one.map_inside.target) == trained["target"].tolist()
        assert one.changes("swh") and not one.changes("eng") and not one.is_baseline
    assert maps_inside(["procrustes"], curve({}), folded(), [(1, 1)], "no-bos", ("m", "swh-eng", LAYERS)) == []


def test_it_is_fitted_to_the_vectors_of_its_training_pairs(models):
    opened = open_model(models("llama"))
    train = PAIRS[PAIRS["split"] == "train"]
    made = MapInside("procrustes", 6, "swh", tuple(train["source"]), tuple(train["target"]), FormVectors(sum(LEXICON, []), 2, "no-bos"))
    sides = [embed(opened, train[side].tolist(), [2], ["no-bos"]).vectors[2, "no-bos"] for side in ("source", "target")]
    by_hand, found = maps.fit("procrustes", *sides, 6), made.fitted(opened).mapping
    probe = np.random.default_rng(0).normal(size=(9, 32))
    np.testing.assert_allclose(found.image(probe), by_hand.image(probe), atol=1e-5)
    assert made.fitted(opened) is made.fitted(opened) and made.fitted(opened).spared == {0, 1, 2, 3} - {opened.tokenizer.unk_token_id}


LEXICON = [PAIRS[side].tolist() for side in ("source", "target")]

# --- the stages -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    for language, lines in (("swh", "kitabu maji moto"), ("eng", "book water fire")):
        words = lines.split()
        sentences = [f"{a} {b} {c}" for a in words for b in words for c in words]
        (folder / f"{language}.txt").write_text("\n".join(sentences), encoding="utf-8")
    text = {language: str(folder / f"{language}.txt") for language in ("swh", "eng")}
    arms = {"tli": {"loss_layer": [2], "rank": [4]}}
    made = Trial(folder / "results", models("llama"), maps=["procrustes"], arms=arms, seeds=[1], text=text)
    made.run("check")
    made.run("scan")
    made.train()
    made.evaluate()
    made.run("transfer", part="part-1")
    return made


def chosen(trial: Trial) -> tuple[int, float]:
    curve = table_files.read(trial.layout.scan("m", "swh-eng")["maps"], tables.MAPS).query("at_state and hidden_state < @LAYERS")
    row = curve.sort_values(["value", "hidden_state"], ascending=[False, True]).iloc[0]
    return int(row["hidden_state"]), float(row["hyperparameter"])


def test_the_words_of_the_source_are_its_images_and_those_of_the_target_are_as_they_were(trial):
    state, hyperparameter = chosen(trial)
    rows = trial.measured("similarities").query("arm == 'map-procrustes-inside' and pooling == 'no-bos' and pool == 'untrained'")
    assert set(rows["run"]) == {f"map-procrustes-inside/layer-{state}"} and set(rows["hidden_state"]) == {state, LAYERS} | (
        {1} if state <= 1 else set()
    )
    opened, train = open_model(trial.model), PAIRS[PAIRS["split"] == "train"]
    sides = [embed(opened, train[side].tolist(), [state], ["no-bos"]).vectors[state, "no-bos"] for side in ("source", "target")]
    asked = PAIRS.set_index("pair_id").loc[rows["pair_id"].unique()]
    target = embed(opened, asked["target"].tolist(), [LAYERS], ["no-bos"]).vectors[LAYERS, "no-bos"]
    with placed(opened, Inside(state, maps.fit("procrustes", *sides, hyperparameter), spared_ids(opened.tokenizer))):
        source = embed(opened, asked["source"].tolist(), [LAYERS], ["no-bos"]).vectors[LAYERS, "no-bos"]
    cosines = (source * target).sum(1) / np.linalg.norm(source, axis=1) / np.linalg.norm(target, axis=1)
    np.testing.assert_allclose(rows.query("hidden_state == @LAYERS")["cosine"], cosines, atol=1e-5)
    assert "map-procrustes-inside" not in set(trial.measured("select-maps")["arm"])


def test_running_text_of_the_source_suffers_and_that_of_the_target_cannot(trial):
    text = table_files.read(trial.layout.measured("transfer", "m", "swh-eng", "part-1")["text"], tables.RUNNING_TEXT)
    before, inside = (text[text["arm"] == arm].reset_index(drop=True) for arm in ("baseline", "map-procrustes-inside"))
    eng, swh = (inside["language"] == language for language in ("eng", "swh"))
    np.testing.assert_allclose(inside.loc[eng, "cross_entropy"], before.loc[eng, "cross_entropy"], rtol=1e-12)
    assert (inside.loc[eng, "kl"] == 0).all() and (inside.loc[swh, "kl"] > 1e-4).all() and swh.any() and eng.any()
    state, hyperparameter = chosen(trial)
    opened, whole = open_model(trial.model), whole_model(trial.model)
    train = PAIRS[PAIRS["split"] == "train"]
    sides = [embed(opened, train[side].tolist(), [state], ["no-bos"]).vectors[state, "no-bos"] for side in ("source", "target")]
    mapping = maps.fit("procrustes", *sides, hyperparameter)
    sentence = inside[swh].iloc[0]
    line = (trial.folder.parent / "swh.txt").read_text().splitlines()[int(sentence["sentence"]) - 1]
    ids = torch.tensor([[1, *opened.tokenizer(line, add_special_tokens=False)["input_ids"]]])

    def images(module, args, kwargs):
        given = args[0] if args else kwargs["hidden_states"]
        new = torch.cat([given[:, :1], torch.from_numpy(mapping.image(given[0, 1:].detach().numpy()))[None]], 1)
        return ((new, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": new})

    handle = whole.model.layers[state].register_forward_pre_hook(images, with_kwargs=True)
    with torch.no_grad():
        expected = whole(ids, labels=ids).loss.item()
    handle.remove()
    assert sentence["cross_entropy"] == pytest.approx(expected, rel=1e-4)


def test_what_cannot_tell_languages_is_not_asked(trial):
    perplexity = table_files.read(trial.layout.measured("transfer", "m", "swh-eng", "part-1")["perplexity"])
    assert set(perplexity["arm"]) == {"baseline", "tli"}


def test_a_streamed_model_gives_the_same(trial, tmp_path, models):
    streamed = Trial(
        tmp_path, models("llama", stream="always"), **{k: v for k, v in trial.sections.items() if k not in ("models", "results")}
    )
    for stage in ("check", "scan"):
        streamed.run(stage)
    streamed.train()
    streamed.evaluate()
    ours, theirs = (
        one.measured("similarities").query("arm == 'map-procrustes-inside'").set_index(["pair_id", "hidden_state", "pooling", "pool"])
        for one in (streamed, trial)
    )
    assert len(ours) == len(theirs) > 0
    np.testing.assert_allclose(ours["cosine"], theirs.loc[ours.index, "cosine"], atol=1e-4)
    streamed.run("transfer", part="part-1")
    files = (one.layout.measured("transfer", "m", "swh-eng", "part-1")["text"] for one in (streamed, trial))
    ours, theirs = (table_files.read(file, tables.RUNNING_TEXT).query("arm == 'map-procrustes-inside'") for file in files)
    assert ours["language"].tolist() == theirs["language"].tolist() and (ours.query("language == 'eng'")["kl"] == 0).all()
    np.testing.assert_allclose(ours["cross_entropy"], theirs["cross_entropy"], atol=1e-4)


def test_with_folds_there_is_one_for_each_seed_and_fold(models, tmp_path):
    trial = Trial(
        tmp_path, models("llama"), maps=["procrustes"], seeds=[1], split={"folds": 2}, arms={"tli": {"loss_layer": [2], "rank": [4]}}
    )
    dealt = PAIRS[PAIRS["split"] != "select"]["pair_id"]
    folds = pd.DataFrame({"pair_id": dealt, "seed": 1, "fold": np.arange(len(dealt)) % 2 + 1})
    table_files.write(folds, trial.layout.lexicon("swh-eng")["folds"], tables.FOLDS)
    trial.run("check")
    trial.run("scan")
    trial.train()
    trial.evaluate()
    rows = trial.measured("similarities").query("arm == 'map-procrustes-inside'")
    assert rows["run"].nunique() == 1 and set(zip(rows["seed"], rows["fold"], strict=True)) == {(1, 1), (1, 2)}
    held = rows.groupby("fold")["pair_id"].agg(set)
    assert held.to_dict() == folds.groupby("fold")["pair_id"].agg(set).to_dict()


# --- statistics and figures -------------------------------------------------------------------------------------------


def test_its_harm_is_a_row_with_an_interval_over_sentences():
    """scipy's t interval, where every sentence has as many tokens."""
    rng = np.random.default_rng(0)
    names = {"model": "m", "pair": "swh-eng", "rank": "", "seed": -1, "fold": 0}
    base, risen = rng.normal(3, 0.3, 50), rng.normal(0.2, 0.1, 50)
    parts = []
    for arm, layer, run, up in (
        ("baseline", "", "baseline", 0 * risen),
        ("map-procrustes-inside", "0", "map-procrustes-inside/layer-0", risen),
    ):
        for language, rise in (("swh", up), ("eng", 0 * up)):
            known = {"language": language, "sentence": [str(i) for i in range(50)], "tokens": 10}
            parts.append(pd.DataFrame({**names, "arm": arm, "layer": layer, "run": run, **known, "cross_entropy": base + rise, "kl": rise}))
    runs = pd.DataFrame(columns=tables.RUNS)
    table = harm.harm(harm.rises(pd.concat(parts), runs), {"swh", "eng"}, StatisticsSpec()).set_index("language")
    low, high = stats.t.interval(0.95, 49, risen.mean(), stats.sem(risen))
    row = table.loc["swh"]
    assert (row["rise"], row["low"], row["high"]) == (pytest.approx(risen.mean()), pytest.approx(low), pytest.approx(high))
    assert row["arm"] == "map-procrustes-inside" and row["seeds"] == 0 and row["sentences"] == 50 and not row["control"]
    assert row["p_above"] == pytest.approx(stats.ttest_1samp(risen, 0.05, alternative="greater").pvalue)
    assert table.loc["eng", "rise"] == 0
    ladder = pd.DataFrame([{"rung": "map inside", "name": "procrustes", "layer": "0", "value": 0.6}]).reindex(columns=tables.LADDER)
    front = derived.front(ladder, table.reset_index())
    assert len(front) == 1 and front["rise"].iloc[0] == pytest.approx(risen.mean()) and front["language"].iloc[0] == "swh"
