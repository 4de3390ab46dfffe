"""Words in templates through scan, training, evaluation and the config: against plain loops, and nothing of the words alone changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_framed import plain_vector
from tiny import LAYERS, hidden_states, pairs_table, whole_model
from trial import Trial

from tli.config import load, parse
from tli.errors import ConfigError
from tli.experiment.settings import claimed_pooling, measure_spec, statistics_spec, template_spec
from tli.io import table_files, tables
from tli.model.opening import open_model
from tli.probes.words import WordsProbe
from tli.specs import MeasureSpec, TemplateSpec, plain

FRAMES = {"swh": ["{word}", "moto {word} ndege", "{word} maji"], "eng": ["{word}", "fire {word} bird", "water {word}"]}
FIRST = {language: [texts[1], texts[0], texts[2]] for language, texts in FRAMES.items()}
ARMS = {"tli": {"loss_layer": ["best"], "rank": [4]}}
STATES = ["output", 1]
KEYS = ["run", "pair_id", "hidden_state", "pooling", "pool"]


def trial_of(folder: Path, model, templates: dict | None = None, **sections) -> Trial:
    pooling = {"evaluate": ["no-bos"], "scan": ["no-bos", "with-bos"]} | ({"templates": templates} if templates else {})
    return Trial(
        folder, model, **{"arms": ARMS, "evaluation": {"hidden_states": STATES, "projected_pairs": 6}, "pooling": pooling} | sections
    )


def measured(trial: Trial) -> dict[str, pd.DataFrame]:
    trial.run("check")
    trial.run("scan")
    trial.train(layer="best")
    trial.evaluate()
    found = {name: trial.measured(name) for name in ("similarities", "metrics", "strata", "projections")}
    return found | {"scan": table_files.read(trial.layout.scan("m", "swh-eng")["scan"])}


@pytest.fixture(scope="module")
def alone(models, tmp_path_factory):
    trial = trial_of(tmp_path_factory.mktemp("alone"), models("llama"))
    return trial, measured(trial)


@pytest.fixture(scope="module")
def framed(models, tmp_path_factory):
    trial = trial_of(tmp_path_factory.mktemp("framed"), models("llama"), FRAMES)
    return trial, measured(trial)


def test_words_by_themselves_are_what_they_are_without_templates_to_the_bit(alone, framed):
    for name, table in alone[1].items():
        beside = framed[1][name]
        if "pooling" in beside:
            assert set(beside["pooling"]) == {one + frame for one in set(table["pooling"]) for frame in ("", "@2", "@3")}
            beside = beside[beside["pooling"].isin(table["pooling"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(beside, table, check_exact=True)


def cosines_by_hand(spec, states: list[int], frames: tuple[str, str]) -> dict[tuple[str, int], float]:
    """Cosine of each pair, each word by itself in its frame through Transformers."""
    model, tokenizer, found = whole_model(spec), open_model(spec).tokenizer, {}
    for pair in pairs_table().itertuples():
        for state in states:
            one, other = (plain_vector(model, tokenizer, *side, state) for side in zip(frames, (pair.source, pair.target), strict=True))
            found[pair.pair_id, state] = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    return found


def own_vector(model, tokenizer, template: str, word: str) -> np.ndarray:
    """At the output. By itself, all that the tokenizer makes of a word is the word's, but for what it adds."""
    if template != "{word}":
        return plain_vector(model, tokenizer, template, word, LAYERS)
    ids = tokenizer(word)["input_ids"]
    own = [place for place, token in enumerate(ids) if token not in tokenizer.all_special_ids]
    return hidden_states(model, ids)[LAYERS][own].mean(dim=0).numpy()


@pytest.mark.parametrize("number", [2, 3])
def test_cosines_in_a_frame_are_those_of_the_plain_loop(framed, models, number):
    rows = framed[1]["similarities"].query(f"run == 'baseline' and pool == 'whole-list' and pooling == 'no-bos@{number}'")
    by_hand = cosines_by_hand(models("llama"), [1, LAYERS], (FRAMES["swh"][number - 1], FRAMES["eng"][number - 1]))
    assert len(rows) == 2 * len(pairs_table())
    for row in rows.itertuples():
        assert row.cosine == pytest.approx(by_hand[row.pair_id, row.hidden_state], abs=2e-5)


def test_scan_and_evaluation_find_the_same_in_a_frame(framed):
    """Two stages, one door: the base model, at the output."""
    place = ["split", "pool", "pooling"]
    evaluated = framed[1]["metrics"].query(f"run == 'baseline' and hidden_state == {LAYERS}").set_index(place)
    scanned = framed[1]["scan"].query(f"hidden_state == {LAYERS}").set_index(place).loc[evaluated.index]
    assert len(evaluated) == 4 * 3  # three splits in the whole list and the held-out one among untrained forms; three ways to feed
    for name in ("cosine", "p_at_1", "csls_p_at_1", "n"):
        np.testing.assert_allclose(evaluated[name], scanned[name], atol=1e-5)


def test_the_mean_over_frames_is_the_mean_of_their_vectors(framed, models, tmp_path):
    trial = trial_of(tmp_path, models("llama"), FRAMES)
    trial = trial.changed(pooling=trial.sections["pooling"] | {"over_templates": "averaged"})
    found = measured(trial)["similarities"].query("run == 'baseline' and pool == 'whole-list' and hidden_state == 4")
    assert set(found["pooling"]) == {"no-bos", "no-bos@mean"}
    model, tokenizer = whole_model(models("llama")), open_model(models("llama")).tokenizer
    for row in found.query("pooling == 'no-bos@mean'").itertuples():
        pair = pairs_table().set_index("pair_id").loc[row.pair_id]
        one, other = (
            np.mean([own_vector(model, tokenizer, text, word) for text in FRAMES[language]], axis=0)
            for language, word in (("swh", pair.source), ("eng", pair.target))
        )
        assert row.cosine == pytest.approx(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)), abs=2e-5)


def test_a_streamed_model_gives_the_same(framed, tmp_path):
    done, whole = framed
    models = {"m": done.sections["models"]["m"] | {"stream": "always"}}
    streamed = measured(trial_of(tmp_path, done.model, FRAMES, models=models))
    for name in ("similarities", "metrics"):
        both = (
            table.sort_values([one for one in (*KEYS, "split") if one in table], ignore_index=True)
            for table in (streamed[name], whole[name])
        )
        pd.testing.assert_frame_equal(*both, atol=2e-4, rtol=2e-4)


def test_templates_that_come_later_cost_their_own_words_alone(alone, monkeypatch):
    asked, measure = [], WordsProbe.measure
    monkeypatch.setattr(
        WordsProbe, "measure", lambda self, loaded, subject, *rest: asked.append(type(self)) or measure(self, loaded, subject, *rest)
    )
    trial = alone[0].changed(pooling=alone[0].sections["pooling"] | {"templates": FRAMES})
    trial.evaluate()
    assert {kind.__name__ for kind in asked} == {"TemplateProbe"} and len(asked) == 2
    trial.changed().evaluate()
    assert len(asked) == 2


def test_a_map_inside_reads_one_language_in_its_frames(models, tmp_path):
    """Source words in frames go through the map and the target's do not: at its own state the target's vectors are as the model has them."""
    spec = models("llama")
    trial = trial_of(tmp_path, spec, FRAMES, maps=["procrustes"])
    found = measured(trial)["similarities"]
    inside = found[found["arm"] == "map-procrustes-inside"]
    assert set(inside["pooling"]) == {"no-bos", "no-bos@2", "no-bos@3"}
    base = found[found["run"] == "baseline"].set_index(["pair_id", "hidden_state", "pooling", "pool"])
    moved = inside.set_index(["pair_id", "hidden_state", "pooling", "pool"])
    same = base.loc[moved.index]
    assert not np.allclose(moved["cosine"], same["cosine"], atol=1e-3)
    streamed = trial_of(
        tmp_path / "s", spec, FRAMES, maps=["procrustes"], models={"m": trial.sections["models"]["m"] | {"stream": "always"}}
    )
    again = measured(streamed)["similarities"]
    again = again[again["arm"] == "map-procrustes-inside"].set_index(["pair_id", "hidden_state", "pooling", "pool"])
    np.testing.assert_allclose(again.loc[moved.index]["cosine"], moved["cosine"], atol=2e-4)


# --- statistics and report ------------------------------------------------------------------------------------------------


def test_a_row_for_each_template_beside_the_claim(models, undrawn, tmp_path):
    """The words' own row is the verdict's, to the bit; a template's change is the mean over seeds and words by hand."""
    trial = trial_of(tmp_path, models("llama"), FRAMES, seeds=[1, 2, 3])
    similarities = measured(trial)["similarities"]
    trial.run("statistics")
    table, verdicts = (table_files.read(trial.layout.statistics()[name]) for name in ("templates", "verdicts"))
    assert list(table.columns) == tables.TEMPLATES
    assert table["pooling"].tolist() == ["no-bos", "no-bos@2", "no-bos@3"]
    assert table["template"].tolist() == ["{word}", "moto {word} ndege / fire {word} bird", "{word} maji / water {word}"]
    own, verdict = table.iloc[0], verdicts.iloc[0]
    for here, there in (("before", "before"), ("after", "after"), ("change", "change"), ("low", "change_low"), ("high", "change_high")):
        assert own[here] == verdict[there] or (np.isnan(own[here]) and np.isnan(verdict[there]))
    asked = similarities.query(f"split == 'heldout' and pool == 'untrained' and hidden_state == {LAYERS}")
    for row in table.itertuples():
        rows = asked[asked["pooling"] == row.pooling]
        hits = rows.assign(hit=rows["csls_target_rank"] == 1).groupby(rows["run"] == "baseline")["hit"].mean()
        assert (row.before, row.after) == pytest.approx((hits[True], hits[False])) and row.change == pytest.approx(hits[False] - hits[True])
        assert (row.words, row.seeds) == (6, 3)
    trial.run("report")
    page = Path(trial.layout.page()["page"]).read_text(encoding="utf-8")
    assert "words in templates" in page and "moto {word} ndege / fire {word} bird" in page
    told = "(moto {word} ndege / fire {word} bird; {word} maji / water {word}) and pooled over their own tokens there"
    assert f"{told}. Claims rest on words by themselves." in page


# --- a frame first ---------------------------------------------------------------------------------------------------


def test_with_a_frame_first_claims_best_maps_and_trials_rest_on_it(models, undrawn, tmp_path):
    trial = trial_of(
        tmp_path, models("llama"), FIRST, maps=["procrustes"], arms={"tli": ARMS["tli"] | {"tune": {"epochs": [1, 2], "seeds": 1}}}
    )
    spec = statistics_spec(trial.experiment.config)
    assert spec.pooling == "no-bos@1"
    trial.run("check")
    trial.run("scan")
    files = trial.layout.scan("m", "swh-eng")
    choice, scan = table_files.read(files["choice"]), table_files.read(files["scan"])
    select = scan.query("split == 'select' and pooling == 'no-bos@1' and hidden_state in [1, 2, 3]").set_index("hidden_state")["gap"]
    assert int(choice.loc[choice["chosen"], "hidden_state"].iloc[0]) == int(select.idxmax())
    assert set(table_files.read(files["map_similarities"])["pooling"]) == {"no-bos@1"}
    tuned = table_files.read(trial.run("tune", arm="tli", layer="best", rank="4").outputs["trials"])
    assert set(tuned["pooling"]) == {"no-bos@1"} and tuned["chosen"].sum() == 1
    trial.train(layer="best")
    trial.evaluate()
    mapped = table_files.read(trial.layout.measured("evaluate", "m", "swh-eng", "part-1")["select-maps-similarities"])
    assert set(mapped["pooling"]) == {"no-bos", "no-bos@1"}
    assert set(trial.measured("similarities")["pooling"]) == {"no-bos", "no-bos@1", "no-bos@3"}  # 2 is the word alone
    trial.run("statistics")
    found = {name: table_files.read(path) for name, path in trial.layout.statistics().items()}
    assert set(found["tests"]["pooling"]) == {"no-bos@1"} and found["templates"]["pooling"].tolist() == ["no-bos@1", "no-bos@3", "no-bos"]
    assert found["verdicts"]["after"].tolist() == found["templates"]["after"].head(1).tolist()
    assert found["rivals"]["map"].tolist() == ["procrustes"] and found["ladder"]["value"].notna().all() and len(found["added"])
    trial.run("report")
    assert "moto {word} ndege / fire {word} bird" in Path(trial.layout.page()["page"]).read_text(encoding="utf-8")


def test_an_encoder_in_folds_with_the_mean_first(models, tmp_path):
    """Each fold's words in their own pool, of vectors that the base model gives once for all; claims rest on the mean."""
    pooling = {"evaluate": ["no-bos"], "scan": ["no-bos"], "templates": FIRST, "over_templates": "averaged"}
    arms = {"tli": {"loss_layer": [2], "rank": [4], "target_modules": ["query", "value"]}}
    trial = trial_of(tmp_path, models("bert"), pooling=pooling, arms=arms, seeds=[1, 2], split={"folds": 2})
    trial.run("folds")
    trial.run("check")
    trial.run("scan")
    trial.train(layer="2")
    trial.evaluate()
    rows = trial.measured("similarities").query(f"run == 'baseline' and hidden_state == {LAYERS} and split == 'heldout'")
    assert set(rows["pooling"]) == {"no-bos", "no-bos@mean"} and set(rows["pool"]) == {"untrained"}
    scanned = {}
    model, tokenizer = whole_model(models("bert")), open_model(models("bert")).tokenizer
    for row in rows.query("pooling == 'no-bos@mean' and seed == 1").itertuples():
        pair = pairs_table().set_index("pair_id").loc[row.pair_id]
        one, other = (
            np.mean([own_vector(model, tokenizer, text, word) for text in FIRST[language]], axis=0)
            for language, word in (("swh", pair.source), ("eng", pair.target))
        )
        scanned[row.pair_id] = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
        assert row.cosine == pytest.approx(scanned[row.pair_id], abs=2e-5)
    dealt = table_files.read(trial.layout.lexicon("swh-eng")["folds"], tables.FOLDS).query("seed == 1 and fold > 0")["pair_id"]
    assert sorted(scanned) == sorted(dealt), "every dealt word is held out once"
    trial.run("statistics")
    found = {name: table_files.read(path) for name, path in trial.layout.statistics().items()}
    assert set(found["tests"]["pooling"]) == {"no-bos@mean"} and found["templates"]["pooling"].tolist() == ["no-bos@mean", "no-bos"]
    assert found["templates"]["template"].tolist() == ["the mean of 3 templates", "{word}"]


# --- config ------------------------------------------------------------------------------------------------------------


def config(pooling: dict | None = None, **sections):
    given = {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x"}, "lin-eng": {"lexicon": "x"}}} | sections
    return parse(given | ({"pooling": pooling} if pooling else {}))


def test_without_frames_nothing_of_the_specs_changes():
    three = FRAMES | {"lin": FRAMES["swh"]}
    only = config({"templates": {language: ["{word}"] for language in three}})
    assert template_spec(only, "swh-eng") is None and measure_spec(only, "swh-eng") == measure_spec(only)
    assert "templates" not in plain(MeasureSpec()) and claimed_pooling(config()) == claimed_pooling(only) == "no-bos"
    assert template_spec(config({"templates": three}), "swh-eng") == TemplateSpec(tuple(three["swh"]), tuple(three["eng"]))
    assert claimed_pooling(config({"templates": three})) == "no-bos"
    first = dict.fromkeys(three, FIRST["swh"])
    assert claimed_pooling(config({"templates": first})) == "no-bos@1"
    assert claimed_pooling(config({"templates": first, "over_templates": "averaged"})) == "no-bos@mean"


REFUSED = [
    ({"swh": ["{word}"], "eng": ["{word}"], "lim": ["{word}"]}, r"pooling\.templates: has none for 'lin'; did you mean 'lim'\?"),
    ({"swh": ["{word}", "a {word}"], "eng": ["{word}"], "lin": ["{word}"]}, r"templates\.swh: has 2 and eng has 1;.*write equally many"),
    ({"swh": ["{word}"], "eng": ["a {word}"], "lin": ["{word}"]}, r"begins with .*the first carries the claims: put '{word}' first in all"),
    ({"swh": ["{word}"], "eng": ["word"], "lin": ["{word}"]}, r"templates\.eng\[1\]: 'word' does not hold {word} exactly once"),
    ({"swh": ["{word} {word}"]}, r"templates\.swh\[1\]: .* does not hold {word} exactly once"),
    ({"swh": ["{word} {x}"]}, "no other braces"),
    ({"swh": ["{word} "]}, "begins or ends with a space"),
    ({"swh": [{"word": None}]}, 'is a mapping to YAML; put it into quotes: "{word}"'),
    (
        {"swh": ["{word}", "a {word}", "a {word}"], "eng": ["{word}", "b {word}", "b {word}"], "lin": ["{word}", "a {word}", "a {word}"]},
        "again",
    ),
]


@pytest.mark.parametrize(("templates", "said"), REFUSED, ids=range(len(REFUSED)))
def test_templates_that_cannot_be_measured_are_refused_with_the_mend(templates, said):
    with pytest.raises(ConfigError, match=said):
        config({"templates": templates})


def test_other_lists_are_fed_by_themselves_so_no_frame_may_carry_the_claims_beside_them():
    pairs = {"swh-eng": {"lexicon": "x"}, "lin-eng": {"lexicon": "x", "train": False}}
    asked = {"pairs": pairs, "arms": {"tli": {}}, "evaluation": {"on": ["all"]}}
    beside = config({"templates": FRAMES}, **asked)  # nobody trains on Lingala: it needs none
    assert template_spec(beside, "lin-eng") is None and template_spec(beside, "swh-eng") is not None
    with pytest.raises(
        ConfigError, match=r"templates\.eng\[1\]: is a frame, which then carries the claims.*leave `evaluation.on` at `own`"
    ):
        config({"templates": FIRST}, **asked)


def test_a_refusal_names_file_and_line(tmp_path):
    (file := tmp_path / "c.yaml").write_text(
        "models: {m: {source: x, word_form: leading-space}}\npairs: {swh-eng: {lexicon: x}}\npooling:\n  templates:\n"
        "    swh: ['{word}', 'neno {word}']\n    eng:\n    - '{word}'\n    - '{word} is a word'\n"
    )
    said = r"c\.yaml, line 8: pooling\.templates\.eng\[2\]: .*begins with the word, and models\.m\.word_form asks for a space before it"
    with pytest.raises(ConfigError, match=said):
        load(file)
    file.write_text(file.read_text().replace("'{word} is a word'", "{word} is a word"))
    with pytest.raises(ConfigError, match=r"c\.yaml, line 8"):
        load(file)
