"""Translation by prompt: what is asked, that the harness gives the same, and that who knows the words gets them."""

from __future__ import annotations

import json
import sys
from collections import Counter

import bilingual
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from trial import Trial

from tli.bench import Bench
from tli.config import parse
from tli.errors import ConfigError, ItemError
from tli.io import table_files, tables
from tli.lexicon.forms import alternatives
from tli.lexicon.languages import english_name
from tli.probes.harness import refuse_repeated_prompts
from tli.probes.translation import Wording, directions, items_of
from tli.specs import ModelSpec, plain

FORWARD, BACKWARD = (Wording(one, {}) for one in directions("swh-eng"))


def listed(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """source, target, alternatives, split."""
    table = pd.DataFrame(rows, columns=["source", "target", "alternatives", "split"])
    table["pair_id"] = table["component"] = [f"p{number}" for number in range(len(table))]
    return table.assign(category="", cognate=0.0, provenance="")


# --- what is asked


def test_a_prompt_word_by_word():
    pairs = listed(("maji", "water", "", "train"), ("moto", "fire", "", "heldout"), ("mti", "tree", "plant", "heldout"))
    item = next(one for one in items_of(pairs, FORWARD, 1, 10) if one["item"] == "p2")
    assert item["prompt"] == "Swahili: maji\nEnglish: water\n\nSwahili: mti\nEnglish:"
    assert sorted(item["choices"]) == ["fire", "tree"] and item["choices"][item["answer"]] == "tree"
    assert item["accepted"] == ["tree", "plant"] and item["word"] == "mti" and item["component"] == "p2"
    back = next(one for one in items_of(pairs, BACKWARD, 0, 10) if one["item"] == "p2")
    assert back["prompt"] == "English: tree\nSwahili:" and back["choices"][back["answer"]] == "mti"
    named = Wording(FORWARD.direction, {"swh": "Kiswahili"})
    assert items_of(pairs, named, 0, 10)[0]["prompt"] == "Kiswahili: moto\nEnglish:"


def test_names_of_languages():
    assert [english_name(code) for code in ("swh", "lin", "eng", "qqq")] == ["Swahili", "Lingala", "English", "qqq"]


def test_a_word_of_several_pairs_is_asked_once_and_all_its_translations_are_accepted():
    rows = [("mkono", "hand", "arm", "heldout"), ("kiganja", "hand", "palm", "heldout"), ("kono", "arm", "", "heldout")]
    pairs = listed(*rows, ("jicho", "eye", "", "heldout"), ("Mkono", "paw", "", "heldout"))
    forward, backward = (items_of(pairs, wording, 0, 10) for wording in (FORWARD, BACKWARD))
    assert [one["word"] for one in forward] == ["mkono", "kiganja", "kono", "jicho"]
    assert forward[0]["accepted"] == ["hand", "arm", "paw"] and set(forward[0]["choices"]) == {"hand", "eye"}
    hand = next(one for one in backward if one["word"] == "hand")
    assert hand["accepted"] == ["mkono", "kiganja"] and set(hand["choices"]) == {"mkono", "kono", "jicho"}
    assert next(one for one in backward if one["word"] == "arm")["accepted"] == ["mkono", "kono"]


def test_what_was_trained_on_is_not_asked():
    """As where a published split puts a form on both sides."""
    pairs = listed(("maji", "water", "", "train"), ("maji", "rain", "", "heldout"), ("mvua", "water", "", "heldout"))
    pairs = pd.concat([pairs, listed(("moto", "fire", "", "heldout"), ("mti", "tree", "", "heldout"))], ignore_index=True)
    for wording in (FORWARD, BACKWARD):
        asked = items_of(pairs, wording, 0, 10)
        assert len(asked) == 2 and not {"maji", "water"} & {form for one in asked for form in [one["word"], *one["choices"]]}


def test_too_few_training_pairs_for_the_shots():
    pairs = listed(("maji", "water", "", "train"), ("moto", "fire", "", "heldout"), ("mti", "tree", "", "heldout"))
    with pytest.raises(ItemError, match="transfer.translate.shots: 2 training pairs .* 1 that may"):
        items_of(pairs, FORWARD, 2, 10)


def test_who_does_not_look_at_the_word_is_right_once_in_ten():
    """Any preference among forms, whatever it is: exactly, where no word has a second translation."""
    pairs = bilingual.pairs_table()
    for wording in (FORWARD, BACKWARD):
        items = items_of(pairs, wording, 0, 10)
        assert len(items) == bilingual.HELD_OUT
        for seed in range(20):
            random = np.random.default_rng(seed)
            liked = {form: random.normal() for item in items for form in item["choices"]}
            right = [max(item["choices"], key=liked.get) == item["choices"][item["answer"]] for item in items]
            assert np.mean(right) == 0.1
        assert Counter(item["answer"] for item in items).most_common(1)[0][1] < 15  # the right one has no place of its own
        spread = [max(map(len, item["choices"])) - min(map(len, item["choices"])) for item in items]
        assert np.mean(spread) < 3  # of words of 4 to 10 letters


FORMS = st.sampled_from([f"{letter}{number}" for letter in "ab" for number in range(12)])
ROWS = st.lists(
    st.tuples(FORMS, FORMS, st.lists(FORMS, max_size=2).map("|".join), st.sampled_from(["train", "select", "heldout"])),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(2, 10), st.integers(0, 2))
def test_no_item_leaks_or_has_two_right_choices(rows, choices, shots):
    pairs = listed(*rows)
    trained = pairs[pairs["split"] == "train"]
    for wording, asked_side, side in ((FORWARD, "source", "target"), (BACKWARD, "target", "source")):
        try:
            items = items_of(pairs, wording, shots, choices)
        except ItemError:
            continue
        assert len({item["prompt"] for item in items}) == len(items)
        links = set()
        for row in pairs.itertuples():
            for target in [row.target, *alternatives(row.alternatives)]:
                links.add((row.source, target) if side == "target" else (target, row.source))
        shots_there = {f"{getattr(row, asked_side)}\n" for row in trained.itertuples()}
        for item in items:
            word, right = item["word"], item["choices"][item["answer"]]
            assert 2 <= len(item["choices"]) == len(set(item["choices"])) <= choices
            assert {form for form in item["choices"] if (word, form) in links} == {right} and right in item["accepted"]
            assert word not in set(trained[asked_side]) and not set(item["choices"]) & set(trained[side])
            assert set(item["choices"]) <= set(pairs.loc[pairs["split"] == "heldout", side])
            before = item["prompt"].split("\n\n")[:-1]
            assert len(before) == shots
            for shot in before:
                one, answer = (line.split(": ")[1] for line in shot.split("\n"))
                assert f"{one}\n" in shots_there and (word, answer) not in links
        fewer = items_of(pairs, wording, 0, choices)
        assert [item["choices"] for item in fewer] == [item["choices"] for item in items]


def test_the_section_of_the_config():
    sections = {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x"}}}
    with pytest.raises(ConfigError, match="named twice"):
        parse(sections | {"transfer": {"translate": {"shots": [5, 5]}}})
    assert parse(sections | {"transfer": {"translate": {}}}).transfer.translate.shots == [0, 5]


# --- the guard


class FakeTask:
    """As the harness's ConfigurableTask, of documents and a template."""

    OUTPUT_TYPE = "multiple_choice"
    multiple_input = 0

    def __init__(self, docs, text, choices=("yes", "no")):
        self.eval_docs, self._text, self._choices = docs, text, choices
        self.config = type("Config", (), {"task": "some_task", "doc_to_choice": choices})()

    def doc_to_text(self, doc):
        return self._text(doc)

    def doc_to_choice(self, doc):
        return self._choices(doc) if callable(self._choices) else list(self._choices)

    def doc_to_target(self, doc):
        return 0


DOCS = [{"premise": f"Premise {number}.", "label": number % 2, "idx": number} for number in range(40)]


def test_a_constant_prompt_is_an_error_that_names_task_and_prompt():
    with pytest.raises(ItemError, match=r"some_task: all 40 distinct items .*'\{\{premise\}\} Is it so\?'"):
        refuse_repeated_prompts(FakeTask(DOCS, lambda doc: "{{premise}} Is it so?"))
    with pytest.raises(ItemError, match="some_task: all 40"):  # although the choices differ
        refuse_repeated_prompts(FakeTask(DOCS, lambda doc: "Which?", choices=lambda doc: [doc["premise"], "no"]))
    with pytest.raises(ItemError, match="some_task: 4 of 40 .*'Lost'"):
        refuse_repeated_prompts(FakeTask(DOCS, lambda doc: "Lost" if doc["idx"] < 5 else doc["premise"]))


def test_true_repetitions_and_empty_contexts_pass():
    refuse_repeated_prompts(FakeTask(DOCS, lambda doc: doc["premise"]))
    refuse_repeated_prompts(FakeTask([{**DOCS[0], "idx": number, "label": number % 2} for number in range(9)], lambda doc: doc["premise"]))
    repeated = [*DOCS, {**DOCS[3], "source": "elsewhere"}]  # 1 of 41
    refuse_repeated_prompts(FakeTask(repeated, lambda doc: doc["premise"]))
    for context in ("", "One of these is right:"):  # BLiMP, french_bench_grammar
        refuse_repeated_prompts(
            FakeTask(DOCS, lambda doc, text=context: text, choices=lambda doc: [doc["premise"], doc["premise"] + " not"])
        )


def test_the_published_xcopa_passes_and_with_its_template_broken_it_does_not(test_data, tmp_path):
    from tli.probes import harness

    task = harness.build("xcopa_sw", str(test_data / "data" / "xcopa"), None, 0, tmp_path)
    assert len(list(task.eval_docs)) == 500
    task.config.doc_to_text = "Kwa hiyo"
    with pytest.raises(ItemError, match="xcopa_sw: all 500 distinct items .*'Kwa hiyo'"):
        refuse_repeated_prompts(task)


# --- on models


@pytest.fixture(scope="module")
def pairs():
    return bilingual.pairs_table()


@pytest.fixture(scope="module")
def knows(tmp_path_factory, pairs):
    return bilingual.save(tmp_path_factory.mktemp("knows"), pairs, steps=160)


@pytest.fixture(scope="module")
def ignorant(tmp_path_factory, pairs):
    return bilingual.save(tmp_path_factory.mktemp("ignorant"), pairs, steps=0)


ARMS = {"tli": {"loss_layer": [2], "rank": [4]}, "zero": {"like": "tli", "epochs": 0}}


def trial(folder, model, pairs, **sections) -> Trial:
    sections = {"arms": {"zero": {**ARMS["tli"], "epochs": 0}}, "transfer": {"translate": {}}} | sections
    made = Trial(folder / "results", ModelSpec(str(model), dtype="float32", device="cpu"), **sections)
    made.write_pairs(pairs)
    made.run("check")
    return made


def asked(trial: Trial, arms=("zero",)) -> pd.DataFrame:
    for arm in arms:
        trial.train(arm=arm)
    return pd.concat([table_files.read(trial.run("transfer", part=part).outputs["translate"], tables.TRANSLATE) for part in parts(trial)])


def parts(trial: Trial) -> list[str]:
    return list(trial.experiment.parts("transfer", "m", "swh-eng"))


def of_run(table: pd.DataFrame, run: str) -> pd.DataFrame:
    return table[table["run"] == run].drop(columns=tables.RUN).reset_index(drop=True)


@pytest.fixture(scope="module")
def known(knows, pairs, tmp_path_factory):
    """The trial of the model that knows the words, and its table."""
    made = trial(tmp_path_factory.mktemp("trial"), knows, pairs)
    return made, asked(made)


def test_a_model_that_knows_the_words_gets_them(known):
    figures = of_run(known[1], "baseline").groupby(["direction", "shots"])
    assert set(figures.groups) == {(direction, shots) for direction in ("swh-eng", "eng-swh") for shots in (0, 5)}
    assert (figures.size() == bilingual.HELD_OUT).all()
    assert (figures["correct"].mean() >= 0.95).all() and (figures["exact"].mean() >= 0.7).all()


def test_one_that_does_not_is_at_chance(ignorant, pairs, tmp_path):
    found = of_run(asked(trial(tmp_path, ignorant, pairs)), "baseline")
    right, number = found.groupby("direction")["correct"].agg(["sum", "size"]).T.to_numpy()
    low, high = stats.binom.interval(0.999, number, 0.1)
    assert (low <= right).all() and (right <= high).all() and found["exact"].max() == 0


def test_an_adapter_at_initialisation_changes_nothing_and_the_second_run_opens_no_model(known, monkeypatch):
    made, table = known
    pd.testing.assert_frame_equal(of_run(table, "zero/layer-2/rank-4/seed-1"), of_run(table, "baseline"))
    monkeypatch.setattr(Bench, "_open", lambda *_: pytest.fail("the model was opened again"))
    again = pd.concat([table_files.read(made.run("transfer", part=part).outputs["translate"]) for part in parts(made)])
    pd.testing.assert_frame_equal(again, table)


def test_margins_by_hand(known, knows):
    """Log-probabilities taken one choice at a time, without the harness."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made, table = known
    model, tokenizer = AutoModelForCausalLM.from_pretrained(knows, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(knows)
    rows = table.query("run == 'baseline' and direction == 'eng-swh' and shots == 5").head(6)
    items = {item["item"]: item for item in items_of(bilingual.pairs_table(), BACKWARD, 5, 10)}
    for row in rows.itertuples():
        item, logs = items[row.item], []
        for choice in item["choices"]:
            start = len(tokenizer(item["prompt"])["input_ids"])
            ids = tokenizer(f"{item['prompt']} {choice}", return_tensors="pt")["input_ids"]
            with torch.no_grad():
                log = torch.log_softmax(model(ids).logits[0, :-1], dim=-1).gather(1, ids[0, 1:, None])
            logs.append(float(log[start - 1 :].sum()))
        right = logs.pop(item["answer"])
        assert row.margin == pytest.approx(right - max(logs), abs=1e-3) and row.correct == float(right > max(logs))


def test_the_same_as_the_harness_own_command_line(known, knows, tmp_path, monkeypatch):
    """On the folder that the stage leaves, choice and generation, word by word. In this process: its imports take longer than it."""
    from lm_eval.__main__ import cli_evaluate

    made, table = known
    folder = made.layout.translate_tasks("m", "swh-eng")
    name = "tli_translate_swh_eng_5_shot"
    arguments = ["run", "--model", "hf", "--model_args", f"pretrained={knows},dtype=float32", "--include_path", folder, "--tasks"]
    arguments += [f"{name},{name}_exact", "--device", "cpu", "--batch_size", "16", "--log_samples", "--output_path", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["lm_eval", *arguments])
    cli_evaluate()
    theirs = {}
    for file in tmp_path.rglob("samples_*.jsonl"):
        samples = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        theirs["exact" in file.name] = sorted(samples, key=lambda sample: sample["doc_id"])
    ours = table.query("run == 'baseline' and direction == 'swh-eng' and shots == 5")
    assert len(ours) == len(theirs[False]) == len(theirs[True]) == bilingual.HELD_OUT
    assert ours["correct"].tolist() == [sample["acc"] for sample in theirs[False]]
    assert ours["exact"].tolist() == [sample["exact_match"] for sample in theirs[True]]
    assert ours["answer"].tolist() == [sample["filtered_resps"][0] for sample in theirs[True]]
    logs = [[float(log) for log, _ in sample["filtered_resps"]] for sample in theirs[False]]
    right = [log.pop(int(sample["target"])) for log, sample in zip(logs, theirs[False], strict=True)]
    np.testing.assert_allclose(ours["margin"], np.array(right) - [max(log) for log in logs], atol=1e-3)


def test_a_prompt_that_the_model_has_no_room_for(knows, pairs, tmp_path):
    with pytest.raises(ItemError, match="with 30 shots .* the model has room for 512; ask for fewer shots"):
        made = trial(tmp_path, knows, pairs, transfer={"translate": {"shots": [30]}})
        long = pairs.assign(source=pairs["source"].mask(pairs["split"] == "train", pairs["source"] + " qwxz" * 4))
        made.write_pairs(long)
        asked(made)


def test_with_folds_every_run_is_asked_its_own_words(ignorant, pairs, tmp_path):
    """The base model is asked what each run is asked; tasks and text stay with the first fold."""
    from tli.lexicon.folds import deal_folds

    sections = {"arms": ARMS, "split": {"folds": 2}, "seeds": 2, "training": {"epochs": 1, "batch_size": 8}}
    made = trial(tmp_path, ignorant, pairs, **sections, transfer={"translate": {"shots": [0]}, "limit": 7})
    folds = {seed: deal_folds(pairs, 2, seed) for seed in (1, 2)}
    deal = pd.concat([fold.rename("fold").reset_index().assign(seed=seed) for seed, fold in folds.items()])
    table_files.write(deal[tables.FOLDS], made.layout.lexicon("swh-eng")["folds"], tables.FOLDS)
    found = asked(made, arms=("tli", "zero"))
    places = found.groupby(["run", "seed", "fold", "direction"]).size()
    assert len(places) == 3 * 2 * 2 * 2 and (places == 7).all()  # three runs, two seeds, two folds, two directions
    for (seed, fold), part in found.groupby(["seed", "fold"]):
        assert set(part["item"]) <= set(folds[seed].index[folds[seed] == fold])
        trained = of_run(part[part["arm"] == "zero"], f"zero/layer-2/rank-4/seed-{seed}/fold-{fold}")
        pd.testing.assert_frame_equal(trained, of_run(part, "baseline"))
    text = pd.concat([table_files.read(made.layout.measured("transfer", "m", "swh-eng", part)["text"]) for part in parts(made)])
    assert set(text["fold"]) == {0, 1} and set(text.loc[text["run"] == "baseline", "seed"]) == {-1}


def test_a_config_without_it_has_the_digest_that_it_had(knows, pairs, tmp_path):
    made = trial(tmp_path, knows, pairs, transfer={})
    assert "translate" not in plain(made.job("transfer", part="part-1").spec)
    assert "pairs" not in made.job("transfer", part="part-1").inputs
    assert not made.experiment.has_transfer and made.changed(transfer={"translate": {}}).experiment.has_transfer


def test_fully_trained_weights_are_asked_too(ignorant, pairs, tmp_path):
    arms = {"tli": ARMS["tli"], "full-ft": {"method": "full", "loss_layer": [2], "learning_rate": 1e-2}}
    asking = {"translate": {"shots": [0]}, "limit": 12}
    made = trial(tmp_path, ignorant, pairs, arms=arms, seeds=[1], training={"epochs": 1, "batch_size": 8}, transfer=asking)
    found = asked(made, arms=("full-ft", "tli"))
    base = of_run(found, "baseline")
    full = of_run(found, "full-ft/layer-2/rank-full/seed-1")
    assert len(base) == len(full) == 24 and (full["margin"] != base["margin"]).any()
