"""Any adapter on any list: against a plain loop, streamed, stored, resumed, folded; and the own lists as they were."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from several_lists import CONCEPTS, ENGLISH, SeveralLists, pairs_table

from tli.errors import LexiconError
from tli.experiment.columns import Columns
from tli.experiment.folds import Splits
from tli.io import table_files, tables
from tli.lexicon import key
from tli.model import streaming
from tli.probes import across
from tli.probes.column import Column

LISTS = {"aa-eng": pairs_table("aa"), "bb-eng": pairs_table("bb", range(6, CONCEPTS)), "cc-eng": pairs_table("cc", range(0, CONCEPTS, 2))}
SIDES = ("source", "target")
TRAINED = {form for pair in ("aa-eng", "bb-eng") for side in SIDES for form in LISTS[pair].loc[LISTS[pair]["split"] == "train", side]}
RANKS = ["target_rank", "source_rank", "csls_target_rank", "csls_source_rank"]
FIGURES = ["cosine", "mismatched_mean", "mismatched_sd", "best_rival", "best_rival_reverse"]


@pytest.fixture(scope="module")
def trained(models, tmp_path_factory) -> SeveralLists:
    """Two lists that are trained on, each with its placebo, and one that nobody trains on."""
    return SeveralLists(tmp_path_factory.mktemp("across"), models("llama"), LISTS, ["cc-eng"]).train()


@pytest.fixture(scope="module")
def measured(trained):
    return trained.across()


@pytest.fixture
def fresh(trained, tmp_path) -> SeveralLists:
    """The same, trained and not measured."""
    shutil.copytree(trained.folder, tmp_path / "w")
    for folder in (tmp_path / "w" / "across", tmp_path / "w" / "store" / "across"):
        shutil.rmtree(folder, ignore_errors=True)
    return world(tmp_path / "w", trained.model)


def world(folder: Path, model, on="all", lists=LISTS, **sections) -> SeveralLists:
    evaluation = {"on": on, "projected_pairs": 0}
    return SeveralLists(folder, model, lists, ["cc-eng"] if "cc-eng" in lists else [], evaluation=evaluation, **sections)


@pytest.fixture
def embedded(monkeypatch) -> list[list[str]]:
    """The forms of each embedding that is made."""
    made, embed = [], across.embed
    monkeypatch.setattr(across, "embed", lambda opened, forms, *rest: made.append(forms) or embed(opened, forms, *rest))
    return made


def test_every_adapter_and_the_model_as_it_came_are_measured_on_every_list(measured):
    rows, figures = measured
    assert list(rows.columns) == tables.ACROSS and list(figures.columns) == tables.ACROSS_METRICS
    subjects = [("", "baseline")] + [(pair, arm) for pair in ("aa-eng", "bb-eng") for arm in ("tli", "tli-placebo")]
    seen = figures[["pair", "arm", "on"]].apply(tuple, axis=1).tolist()
    assert seen == [(*subject, on) for subject in subjects for on in LISTS]
    assert set(rows["split"]) == {"heldout"} and set(rows["pool"]) == {tables.UNTRAINED} and not rows["leaked"].any()
    assert set(rows["hidden_state"]) == {tiny.LAYERS} and set(rows["pooling"]) == {"no-bos"} and figures["normed"].all()


def test_a_column_asks_the_same_words_in_the_same_pool_of_everybody(measured):
    rows, figures = measured
    for on, table in LISTS.items():
        asked = table[table["split"] == "heldout"] if on != "cc-eng" else table[table["split"] != "train"]
        for _, one in rows[rows["on"] == on].groupby(["pair", "arm"]):
            assert one["pair_id"].tolist() == asked["pair_id"].tolist()
        column = figures[figures["on"] == on]
        sources, targets = (set(table[side]) - TRAINED for side in ("source", "target"))
        assert (column["n"] == len(asked)).all()
        assert (column["pool_sources"] == len(sources)).all() and (column["pool_targets"] == len(targets)).all()


def plain_vectors(trained: SeveralLists, adapter: str, forms: list[str]) -> dict[str, np.ndarray]:
    """Each form by itself through Transformers and PEFT, loaded anew: mean of hs[L] over its tokens without BOS."""
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    whole, tokenizer = tiny.whole_model(trained.model), AutoTokenizer.from_pretrained(trained.model.source)
    model = PeftModel.from_pretrained(whole, adapter).eval() if adapter else whole
    vectors = {}
    for form in forms:
        ids = torch.tensor([tokenizer(form)["input_ids"]])
        with torch.no_grad():
            vectors[form] = model(ids, output_hidden_states=True).hidden_states[-1][0, 1:].mean(0).double().numpy()
    return vectors


def plain_figures(table: pd.DataFrame, asked: pd.DataFrame, vectors: dict[str, np.ndarray], trained: set[str]) -> pd.DataFrame:
    """Rank of each query among forms that nobody trains, from the definitions, a pair of words at a time."""
    sources, targets = ([form for form in dict.fromkeys(table[side]) if form not in trained] for side in ("source", "target"))
    unit = {form: vector / np.linalg.norm(vector) for form, vector in vectors.items()}
    cosine = {(s, t): float(unit[s] @ unit[t]) for s in sources for t in targets}
    k = max(1, min(10, min(len(sources), len(targets)) // 10))
    near_s = {s: np.mean(sorted((cosine[s, t] for t in targets), reverse=True)[:k]) for s in sources}
    near_t = {t: np.mean(sorted((cosine[s, t] for s in sources), reverse=True)[:k]) for t in targets}
    csls = {(s, t): 2 * value - near_s[s] - near_t[t] for (s, t), value in cosine.items()}
    rows = []
    for row in asked.itertuples():
        s, right = row.source, row.target
        wrong = [cosine[s, t] for t in targets if t != right]
        rows.append(
            {
                "pair_id": row.pair_id,
                "cosine": cosine[s, right],
                "mismatched_mean": np.mean(wrong),
                "mismatched_sd": np.std(wrong, ddof=1),
                "best_rival": max(wrong),
                "best_rival_reverse": max(cosine[other, right] for other in sources if other != s),
                "target_rank": 1 + sum(value >= cosine[s, right] for value in wrong),
                "source_rank": 1 + sum(cosine[other, right] >= cosine[s, right] for other in sources if other != s),
                "csls_target_rank": 1 + sum(csls[s, t] >= csls[s, right] for t in targets if t != right),
                "csls_source_rank": 1 + sum(csls[other, right] >= csls[s, right] for other in sources if other != s),
            }
        )
    return pd.DataFrame(rows)


def test_figures_are_those_of_a_plain_loop_one_adapter_and_one_list_at_a_time(trained, measured):
    rows, figures = measured
    adapters = {("", "baseline"): ""} | {
        (run.pair, run.arm): f"{trained.layout.run('m', run.pair, run.run)}/adapter" for run in trained.experiment.runs
    }
    for (pair, arm), adapter in adapters.items():
        for on, table in LISTS.items():
            vectors = plain_vectors(trained, adapter, [*table["source"], *table["target"]])
            free = ~table["source"].isin(TRAINED) & ~table["target"].isin(TRAINED)
            asked = table[free & ((table["split"] == "heldout") | (on == "cc-eng"))]
            expected = plain_figures(table, asked, vectors, TRAINED).set_index("pair_id")
            found = rows[(rows["pair"] == pair) & (rows["arm"] == arm) & (rows["on"] == on)].set_index("pair_id")
            np.testing.assert_allclose(found[FIGURES], expected[FIGURES], atol=2e-6)  # float32 against float64
            assert (found[RANKS] == expected[RANKS]).all(axis=None)
            (figure,) = figures[(figures["pair"] == pair) & (figures["arm"] == arm) & (figures["on"] == on)].to_dict("records")
            assert figure["csls_p_at_1"] == pytest.approx((expected["csls_target_rank"] == 1).mean())
    assert rows.groupby(["pair", "arm"])["cosine"].mean().nunique() == len(adapters)  # each of them changes something


def test_own_lists_are_the_same_to_the_bit_whether_others_are_measured_or_not(trained, fresh):
    """With a list more that nobody trains on, measured or not, and with nothing measured across at all."""
    own_lists = {pair: table for pair, table in LISTS.items() if pair != "cc-eng"}
    fresh.across()
    beside = fresh.evaluate()
    alone = world(fresh.folder.parent / "alone", trained.model, on="own", lists=own_lists)
    for part in ("train", "store"):
        shutil.copytree(trained.folder / part, alone.folder / part)
    assert not alone.experiment.measures_across and not alone.experiment.across_parts("m")
    found = alone.evaluate()
    assert found.keys() == beside.keys() and len(found["aa-eng/similarities"])
    for name, table in found.items():
        pd.testing.assert_frame_equal(table, beside[name], check_exact=True, obj=name)
    digests = [sorted(path.name for path in one.folder.glob("store/evaluate/*")) for one in (fresh, alone)]
    assert digests[0] == digests[1]


def test_with_one_list_a_column_is_the_untrained_pool_of_the_evaluation(models, tmp_path):
    one = world(tmp_path, models("llama"), lists={"aa-eng": LISTS["aa-eng"]}).train()
    own = one.evaluate()["aa-eng/similarities"].query(f"pool == 'untrained' and hidden_state == {tiny.LAYERS}")
    rows = one.across()[0]
    names = ["arm", "pair_id"]
    own, rows = (table.set_index(names).sort_index() for table in (own, rows))
    numbers = [*FIGURES, *RANKS, "chance", "string_rank", "margin", "margin_target_rank", "mismatched_xcs"]
    pd.testing.assert_frame_equal(rows[numbers], own[numbers], check_dtype=False, atol=2e-6)  # other words in a pass


# --- embedded once, kept in the store -----------------------------------------------------------------------------


def test_forms_that_lists_share_are_embedded_once_a_subject(fresh, embedded):
    rows, _ = fresh.across()
    forms = [form for table in LISTS.values() for side in SIDES for form in set(table[side]) - TRAINED]
    assert len(embedded) == rows.groupby(["pair", "arm"]).ngroups
    assert len(set(forms)) < len(forms)
    for made in embedded:
        assert len(made) == len(set(made)) and set(made) == set(forms)


def test_a_new_list_costs_its_own_words_alone(fresh, embedded):
    before = world(fresh.folder, fresh.model, lists={pair: table for pair, table in LISTS.items() if pair != "cc-eng"}).across()
    units = set(fresh.folder.glob("store/across/*"))
    embedded.clear()
    after = fresh.across()
    new = {form for side in SIDES for form in LISTS["cc-eng"][side]} - TRAINED
    assert embedded and all(len(forms) == len(new) and set(forms) == new for forms in embedded)
    assert units < set(fresh.folder.glob("store/across/*"))
    for one, other in zip(before, after, strict=True):
        kept = other[other["on"] != "cc-eng"].reset_index(drop=True)
        pd.testing.assert_frame_equal(one, kept, check_exact=True)
    embedded.clear()
    again = fresh.across()
    assert not embedded
    pd.testing.assert_frame_equal(again[0], after[0], check_exact=True)


def test_a_killed_job_goes_on_where_it_stopped(fresh, measured, monkeypatch):
    figures, done = Column.figures, []

    def killed(self, *rest):
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(self)
        return figures(self, *rest)

    monkeypatch.setattr(Column, "figures", killed)
    with pytest.raises(KeyboardInterrupt):
        fresh.across()
    assert len(list(fresh.folder.glob("store/across/[!.]*"))) == 7 and not list(fresh.folder.glob("across/*/*/*"))
    counted = []
    monkeypatch.setattr(Column, "figures", lambda self, *rest: counted.append(self) or figures(self, *rest))
    rows, _ = fresh.across()
    assert len(counted) == 5 * len(LISTS) - 7
    pd.testing.assert_frame_equal(rows, measured[0], atol=2e-6)  # other words in a pass where it was broken off


def test_a_streamed_model_is_read_once_for_all_adapters_and_lists(fresh, measured, monkeypatch):
    readings, stream = [], streaming.stream
    monkeypatch.setattr(streaming, "stream", lambda *rest: readings.append(rest[2]) or stream(*rest))
    streamed = world(fresh.folder, replace(fresh.model, stream="always"))
    rows, _ = streamed.across()
    assert max(map(len, readings)) == 5 and len([riding for riding in readings if len(riding) == 5]) == 1
    pd.testing.assert_frame_equal(rows, measured[0], atol=2e-6)


def test_parts_are_cut_over_all_pairs(fresh, measured):
    cut = world(fresh.folder, fresh.model, jobs={"adapters_per_job": 3})
    parts = cut.experiment.across_parts("m")
    assert [len(part.runs) for part in parts.values()] == [3, 1] and [part.baselines for part in parts.values()] == [("baseline",), ()]
    rows, _ = cut.across()
    pd.testing.assert_frame_equal(rows, measured[0], check_exact=True)


# --- the pool ------------------------------------------------------------------------------------------------------


def test_with_folds_a_column_leaves_out_what_its_seed_and_fold_trains(models, tmp_path):
    folded = world(tmp_path, models("llama"), split={"folds": 2}, arms={"tli": {"loss_layer": [2], "rank": [4]}}, seeds=[1, 2]).train()
    rows, figures = folded.across()
    splits = {
        pair: Splits.read({"pairs": files["pairs"], "folds": files["folds"]})
        for pair in ("aa-eng", "bb-eng")
        if (files := folded.layout.lexicon(pair))
    }
    for (seed, fold), one in rows.groupby(["seed", "fold"]):
        seen = [split.of(seed, fold).query("split == 'train'") for split in splits.values()]
        forms = {form for table in seen for side in ("source", "target") for form in table[side]}
        for on, asked in one.groupby("on"):
            table = LISTS[on].set_index("pair_id").loc[asked["pair_id"]]
            assert not table["source"].isin(forms).any() and not table["target"].isin(forms).any() and len(table)
            each = [ids["pair_id"].tolist() for _, ids in asked.groupby(["pair", "arm"])]
            assert len(each) == 3 and each[0] == each[1] == each[2]  # the base model and both pairs' adapters
    for on in splits:  # every dealt word is asked once a seed
        dealt = rows[(rows["on"] == on) & (rows["arm"] == "baseline")]
        assert sorted(dealt[dealt["seed"] == 1]["pair_id"]) == sorted(LISTS[on].loc[LISTS[on]["split"] != "select", "pair_id"])
    assert figures.groupby(["seed", "fold"]).ngroups == 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sets(st.integers(0, CONCEPTS - 1), max_size=CONCEPTS - 6))
def test_nothing_that_training_does_to_trained_forms_moves_a_figure(seed, concepts):
    """Whatever is trained, vectors of those forms are no part of the column: the others alone decide, to the last bit."""
    random = np.random.default_rng(seed)
    other = pairs_table("bb").assign(split=["train" if i in concepts else "heldout" for i in range(CONCEPTS)])
    columns = Columns({"aa-eng": Splits(LISTS["aa-eng"]), "bb-eng": Splits(other)}, ["aa-eng", "bb-eng"])
    trained = {
        form for table in (LISTS["aa-eng"], other) for side in ("source", "target") for form in table.loc[table["split"] == "train", side]
    }
    try:
        column = columns.of("aa-eng", 1, 0)
    except LexiconError:
        assert LISTS["aa-eng"].query("split == 'heldout'")["target"].isin(trained).all()
        return
    assert column is columns.of("aa-eng", 2, 0)
    assert not set(column.forms) & trained
    asked = LISTS["aa-eng"][column.asked]
    assert (asked["split"] == "heldout").all() and set(asked["source"]) | set(asked["target"]) <= set(column.forms)
    vectors = random.normal(size=(len(column.forms), 8)).astype(np.float32)
    rows, figures = column.figures(vectors, 10)
    assert rows["pair_id"].tolist() == asked["pair_id"].tolist() and figures["n"].tolist() == [len(asked)]


def test_forms_are_compared_by_their_keys():
    mine, other = LISTS["aa-eng"], pairs_table("bb").assign(split="heldout")
    held = mine.index[mine["split"] == "heldout"][:2]
    other.loc[0, ["source", "split"]] = mine.loc[held[0], "target"].upper() + "!", "train"
    column = Columns({"aa-eng": Splits(mine), "bb-eng": Splits(other)}, ["aa-eng", "bb-eng"]).of("aa-eng", -1, 0)
    assert key(other.loc[0, "source"]) == mine.loc[held[0], "target"]
    assert not column.asked[held[0]] and column.asked[held[1]] and mine.loc[held[0], "target"] not in column.forms


def test_nothing_left_to_ask_is_said_before_the_model_is_opened(fresh, monkeypatch):
    every = world(fresh.folder, fresh.model, lists=LISTS | {"bb-eng": LISTS["bb-eng"].assign(split="train")})
    table_files.write(pairs_table("aa", range(6, CONCEPTS)), every.layout.lexicon("aa-eng")["pairs"], tables.PAIRS)
    monkeypatch.setattr("tli.bench.open_model", lambda *rest, **more: pytest.fail("the model was opened"))
    with pytest.raises(LexiconError, match=r"^aa-eng: no word is left .* take aa-eng out of evaluation\.on"):
        every.across()


# --- a planted world -----------------------------------------------------------------------------------------------


def test_an_adapter_that_aligns_two_lists_and_not_the_third_gets_that_row(tmp_path):
    """One block that adds half of a value to a word; the adapter's value turns the sources of A and B into their translations.

    A source of A or B lies in dimensions 0 to 15, its translation at the same place in 16 to 31; those of C in 32 to 47 and 48 to 63,
    which the adapter does not read.
    """
    planted = SeveralLists(tmp_path / "r", save_planted(tmp_path / "m"), LISTS, ["cc-eng"], arms={"tli": {"loss_layer": [1], "rank": [16]}})
    Path(planted.layout.check("m")).write_text(json.dumps({"model": "m", "identity": "id", "layers": 1}))
    for run in planted.experiment.runs:
        save_planted_adapter(Path(planted.layout.run("m", run.pair, run.run)), run.pair)
    rows, figures = planted.across()
    found = figures.set_index(["pair", "on"])["csls_p_at_1"].unstack()
    assert (found.loc["aa-eng", ["aa-eng", "bb-eng"]] == 1).all() and (found.loc["", ["aa-eng", "bb-eng"]] < 0.5).all()
    place = rows.set_index(["pair", "on", "pair_id"]).drop(columns=[name for name in tables.RUN if name != "pair"])
    pd.testing.assert_frame_equal(place.loc["aa-eng", "cc-eng"], place.loc["", "cc-eng"], check_exact=True)


DIMENSIONS = 64


def save_planted(folder: Path):
    """A model of whole words as tokens, none of which its one block changes."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from tli.specs import ModelSpec

    forms = list(dict.fromkeys([*ENGLISH, *(form for table in LISTS.values() for form in table["source"])]))
    vocabulary = {token: i for i, token in enumerate(["<unk>", "<s>", *forms])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="<unk>").save_pretrained(folder)
    sizes = {
        "hidden_size": DIMENSIONS,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": len(vocabulary),
    }
    model = LlamaForCausalLM(LlamaConfig(**sizes, bos_token_id=1, eos_token_id=0))
    random = np.random.default_rng(0)
    concepts = {word: random.normal(size=16) for word in ENGLISH}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.zero_()
        model.model.layers[0].self_attn.o_proj.weight.copy_(torch.eye(DIMENSIONS))
        table = np.zeros((len(vocabulary), DIMENSIONS), np.float32)
        table[1, 63] = 1e-3  # BOS: nothing that an adapter reads
        for pair, rows in LISTS.items():
            own = 32 if pair == "cc-eng" else 0
            for row in rows.itertuples():
                table[vocabulary[row.source], own : own + 16] = concepts[row.target]
        for word, concept in concepts.items():
            table[vocabulary[word], 16:32] = concept
            table[vocabulary[word], 48:64] = random.normal(size=16)
        model.model.embed_tokens.weight.copy_(torch.tensor(table))
    model.save_pretrained(folder)
    return ModelSpec(source=str(folder), dtype="float32", device="cpu")


def save_planted_adapter(folder: Path, pair: str) -> None:
    """On v_proj: dimensions 0 to 15 to 16 to 31 for the pair aa-eng, nothing for another."""
    import torch
    from safetensors.torch import save_file

    (folder / "adapter").mkdir(parents=True)
    strength = 20.0 * (pair == "aa-eng")
    a, b = torch.eye(DIMENSIONS)[:16].contiguous(), torch.zeros(DIMENSIONS, 16)
    b[16:32] = strength * torch.eye(16)
    name = "base_model.model.model.layers.0.self_attn.v_proj.lora_"
    save_file({f"{name}A.weight": a, f"{name}B.weight": b}, folder / "adapter" / "adapter_model.safetensors")
    config = {"r": 16, "lora_alpha": 16, "target_modules": ["v_proj"], "layers_to_transform": [0]}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    (folder / "run.json").write_text(json.dumps({"unit": pair}))
