"""Joint training: one adapter on several lists. Batches against a plain loop of the rule, one unit for all pairs, a pool without leaks."""

from __future__ import annotations

import dataclasses
import itertools
import json
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny import LAYERS
from trial import Trial

from tli import metrics
from tli.cluster import work
from tli.cluster.costs import Cost
from tli.config import load, parse
from tli.errors import CellError, ConfigError
from tli.experiment import Experiment
from tli.experiment.elsewhere import Elsewhere
from tli.experiment.folds import Splits
from tli.experiment.job import Job
from tli.experiment.layer import best_of, resolve_layer
from tli.experiment.results import read_measured
from tli.io import store, table_files, tables
from tli.io.records import CheckRecord
from tli.lexicon import deal_folds_of_union, prepare_union
from tli.probes.listed import Listed
from tli.report.input import Experiment as ReportExperiment
from tli.report.input import ReportInput, Tables
from tli.report.methods import methods
from tli.report.sentences import experiment_size, joint_arms
from tli.specs import LexiconSpec, Member, SplitSpec, TrainSpec
from tli.stages.cell import unit_key
from tli.training import mixing, pairing
from tli.training.grouping import StepCost
from tli.training.trainer import Trainer, no_progress

DEMO = Path(__file__).parents[2] / "config" / "config.yaml"
LINGALA = [
    ("buku", "book", "", "train"),
    ("moninga", "friend", "", "train"),
    ("monganga", "doctor", "", "train"),
    ("mai", "water", "", "train"),
    ("moto", "person", "", "train"),  # in Swahili it is fire
    ("sanza", "moon", "month", "select"),
    ("monzoto", "star", "", "select"),
    ("mopepe", "wind", "", "select"),
    ("moko", "one", "", "heldout"),
    ("mibale", "two", "", "heldout"),
    ("liso", "eye", "", "heldout"),
    ("motema", "heart", "", "heldout"),
]
BOTH = ("swh-eng", "lin-eng")


def lingala() -> pd.DataFrame:
    table = pd.DataFrame(LINGALA, columns=["source", "target", "alternatives", "split"])
    table["pair_id"] = [f"l{i:03d}" for i in range(len(table))]
    table["component"], table["category"], table["cognate"], table["provenance"] = table["pair_id"], "noun", 0.1, "test"
    return table


def lists() -> dict[str, pd.DataFrame]:
    return {"swh-eng": tiny.pairs_table(), "lin-eng": lingala()}


def trained() -> dict[str, pd.DataFrame]:
    return {pair: table[table["split"] == "train"].reset_index(drop=True) for pair, table in lists().items()}


# --- which pairs stand in which batch -------------------------------------------------------------------------------


def plain_epoch(order: np.random.Generator, sizes: list[int], size: int, mix: str, negatives: str) -> list[list[tuple[int, int]]]:
    """The rule as the module's text has it, one (list, pair) after another."""
    most = max(ceil(n / size) for n in sizes)
    if negatives == "across" and mix == "by-size":
        every = [(part, row) for part, n in enumerate(sizes) for row in range(n)]
        flat = [every[i] for i in order.permutation(len(every))]
        return [flat[i : i + size] for i in range(0, len(flat), size)]
    if negatives == "across":
        drawn = []
        for part, n in enumerate(sizes):
            mine: list[tuple[int, int]] = []
            while len(mine) < max(sizes):
                mine += [(part, int(row)) for row in order.permutation(n)]
            drawn.append(mine[: max(sizes)])
        flat = [one for turn in zip(*drawn, strict=True) for one in turn]
        return [flat[i : i + size] for i in range(0, len(flat), size)]
    steps = []
    for part, n in enumerate(sizes):
        count, mine = most if mix == "even" else ceil(n / size), []
        while len(mine) < count:
            rows = [(part, int(row)) for row in order.permutation(n)]
            mine += [rows[i : i + size] for i in range(0, n, size)]
        steps += [((2 * k + 1) / (2 * count), part, batch) for k, batch in enumerate(mine[:count])]
    return [batch for _, _, batch in sorted(steps, key=lambda step: step[:2])]


WAYS = list(itertools.product(("by-size", "even"), ("own-list", "across")))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(2, 25), min_size=1, max_size=4), st.integers(2, 9), st.sampled_from(WAYS), st.integers(0, 99))
def test_an_epoch_is_what_the_rule_says(sizes, size, way, seed):
    spec = TrainSpec(batch_size=size, epochs=3, mix=way[0], negatives=way[1])
    firsts = np.cumsum([0, *sizes])
    order, plain_order, steps = np.random.default_rng(seed), np.random.default_rng(seed), 0
    for _ in range(spec.epochs):
        made = []
        for part, rows in mixing.epoch(order, sizes, spec):
            of = [(part, int(row)) for row in rows]
            if spec.negatives == "across":
                assert part == 0
                of = [(int(np.searchsorted(firsts, row, "right")) - 1, int(row)) for row in rows]
                of = [(which, row - int(firsts[which])) for which, row in of]
            made.append(of)
        assert made == plain_epoch(plain_order, sizes, size, *way)
        steps += len(made)
        seen = [one for batch in made for one in batch]
        counts = [sum(which == part for which, _ in seen) for part in range(len(sizes))]
        if spec.negatives == "own-list":
            assert all(len({which for which, _ in batch}) == 1 and len(set(batch)) == len(batch) for batch in made)
        if spec.mix == "by-size":
            assert len(set(seen)) == len(seen) == sum(sizes)
        else:
            assert all(len({row for which, row in seen if which == part}) == n for part, n in enumerate(sizes)), "every pair of every list"
            turns = [sum(batch[0][0] == part for batch in made) for part in range(len(sizes))]
            assert len(set(counts if spec.negatives == "across" else turns)) == 1, "each list alike often"
    assert steps == spec.steps(*sizes)


@given(st.lists(st.integers(2, 40), min_size=2, max_size=5), st.integers(2, 9), st.sampled_from(("by-size", "even")))
def test_lists_take_turns_in_proportion_whatever_the_seed(sizes, size, mix):
    """At every step a list has had its share of the steps, to less than one batch more or fewer for each list there is."""
    spec = TrainSpec(batch_size=size, mix=mix)
    turns = [[(part, len(rows)) for part, rows in mixing.epoch(np.random.default_rng(seed), sizes, spec)] for seed in (1, 2)]
    assert turns[0] == turns[1], "the seeds of a cell may share their passes"
    parts = np.array([part for part, _ in turns[0]])
    for part in range(len(sizes)):
        share = (parts == part).mean()
        assert np.abs(np.cumsum(parts == part) - share * np.arange(1, len(parts) + 1)).max() < len(sizes)


def test_a_single_list_is_shuffled_as_it_always_was():
    order, before = np.random.default_rng(7), np.random.default_rng(7)
    for _ in range(3):
        rows = [rows.tolist() for _, rows in mixing.epoch(order, [11], TrainSpec(batch_size=4))]
        shuffled = before.permutation(11)
        assert rows == [shuffled[:4].tolist(), shuffled[4:8].tolist(), shuffled[8:].tolist()]


# --- the losses of a run against the model's own hidden states --------------------------------------------------------


def spec_of(**changes) -> TrainSpec:
    quick = {"epochs": 2, "batch_size": 4, "warmup_steps": 0, "learning_rate": 5e-3, "rank": 4, "alpha": 8.0, "dropout": 0.0}
    return TrainSpec(**quick | {"train_on": BOTH} | changes)


def trainer_of(models, spec: TrainSpec) -> Trainer:
    pairs = mixing.joined(trained())
    return Trainer(models("llama"), spec, 2, 2, lambda member: pairs)


def plain_vectors(models, forms: list[str], layer: int) -> dict[str, np.ndarray]:
    from transformers import AutoTokenizer

    spec = models("llama")
    tokenizer, model, vectors = AutoTokenizer.from_pretrained(spec.source), tiny.whole_model(spec), {}
    for form in forms:
        vector = tiny.hidden_states(model, tokenizer(form)["input_ids"])[layer][1:].double().mean(0).numpy()  # without BOS
        vectors[form] = vector / np.linalg.norm(vector)
    return vectors


@pytest.mark.parametrize(("mix", "negatives"), WAYS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_each_steps_loss_is_that_of_its_batch_and_its_own_negatives(models, tmp_path, mix, negatives, shuffled):
    """At a learning rate of 0 the model stays as it came, and every step's loss can be had from Transformers' hidden states."""
    spec = spec_of(mix=mix, negatives=negatives, shuffle_translations=shuffled, learning_rate=0.0)
    trainer, seed, of = trainer_of(models, spec), 3, trained()
    trainer.run(Member(seed), tmp_path, no_progress)
    losses = pd.read_parquet(tmp_path / "losses.parquet")["loss"].to_numpy()

    sides = [pairing.assignments(table, shuffled, seed)[:2] for table in of.values()]  # of each list as it is alone
    vectors = plain_vectors(models, sorted({form for side in sides for forms in side for form in forms}), 2)
    accepted: set[tuple[int, str, str]] = set()
    for part, (table, (sources, targets)) in enumerate(zip(of.values(), sides, strict=True)):
        whose = 0 if negatives == "across" else part
        accepted |= {(whose, *one) for one in zip(sources, targets, strict=True)}
        for row in table.itertuples() if not shuffled else ():
            accepted |= {(whose, row.source, form) for form in row.alternatives.split("|")}
    order, expected = np.random.default_rng(seed), []
    for _ in range(spec.epochs):
        for batch in plain_epoch(order, [len(table) for table in of.values()], spec.batch_size, mix, negatives):
            words = [(0 if negatives == "across" else part, sides[part][0][row], sides[part][1][row]) for part, row in batch]
            terms = []
            for whose, source, target in words:
                others = [other for _, _, other in words if (whose, source, other) not in accepted]
                hardest = max((vectors[source] @ vectors[other] for other in others), default=-np.inf)
                terms.append(max(0.0, spec.margin + hardest - vectors[source] @ vectors[target]))
            expected.append(np.mean(terms))
    np.testing.assert_allclose(losses, expected, atol=2e-6)


@pytest.mark.parametrize(("mix", "negatives"), WAYS)
def test_seeds_that_share_their_passes_are_each_what_it_is_alone(models, tmp_path, monkeypatch, mix, negatives):
    results = []
    for limit in (3, 1):
        monkeypatch.setattr(StepCost, "seeds_at_a_time", lambda self, *_, limit=limit: limit)
        trainer = trainer_of(models, spec_of(mix=mix, negatives=negatives, dropout=0.05, epochs=3))
        members = [Member(seed) for seed in (1, 2, 3)]
        assert trainer.trains_together == (limit > 1)
        trainer.prepare(members, no_progress)
        assert len(trainer._ready) == (3 if limit > 1 else 0)
        for member in members:
            (folder := tmp_path / f"{limit}-{member.seed}").mkdir()
            record = trainer.run(member, folder, no_progress)
            assert record["lists"] == {"swh-eng": 12, "lin-eng": 5} and record["train_pairs"] == 17
            results.append(load_file(folder / "adapter/adapter_model.safetensors"))
    for together, alone in zip(results[:3], results[3:], strict=True):
        for name, tensor in together.items():
            torch.testing.assert_close(tensor, alone[name], atol=1e-5, rtol=0)


def test_a_seed_gives_the_same_adapter_again(models, tmp_path):
    for number, seed in enumerate((5, 5, 6)):
        (tmp_path / str(number)).mkdir()
        trainer_of(models, spec_of(mix="even")).run(Member(seed), tmp_path / str(number), no_progress)
    files = [(tmp_path / str(number) / "adapter/adapter_model.safetensors").read_bytes() for number in range(3)]
    assert files[0] == files[1] != files[2]


def test_own_words_of_two_lists_take_turns(models, tmp_path):
    """The neutral control: a word is its own positive, in batches of its own list."""
    trainer = trainer_of(models, spec_of(positives="own-word", dropout=0.1))
    mixture = trainer._batches(np.arange(17), Member(1))
    assert mixture.sizes == (12, 5) and [len(part.accepted) for part in mixture.parts] == [24, 10]
    record = trainer.run(Member(1), tmp_path, no_progress)
    assert record["steps"] == 2 * (3 + 2) and not record["failed"]


# --- the placebo --------------------------------------------------------------------------------------------------------

FORMS = st.text("abc", min_size=1, max_size=2)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(st.tuples(FORMS, FORMS), min_size=3, max_size=12, unique=True), min_size=2, max_size=3), st.integers(0, 20))
def test_a_placebo_shuffles_within_each_list(rows, seed):
    """Each list's own targets again, as the list alone deals them out, and no word meets a translation of its own list."""
    parts = [pd.DataFrame(one, columns=["source", "target"]).assign(alternatives="") for one in rows]
    try:
        alone = [pairing.assignments(part, True, seed) for part in parts]
    except ValueError:  # too few distinct words for any placebo
        return
    sources, targets, right = pairing.assignments_across(parts, True, seed)
    given_to, first = set(zip(sources, targets, strict=True)), 0
    for part, (its_sources, its_targets, _) in zip(parts, alone, strict=True):
        mine = slice(first, first + len(part))
        assert (sources[mine], targets[mine]) == (its_sources, its_targets)
        assert sorted(targets[mine]) == sorted(part["target"])
        known = set(zip(part["source"], part["target"], strict=True))
        assert not known & set(zip(sources[mine], targets[mine], strict=True))
        first += len(part)
    for i, j in itertools.product(range(len(sources)), repeat=2):
        assert right[i, j] == ((sources[i], targets[j]) in given_to)


# --- config, grid and jobs ----------------------------------------------------------------------------------------------


def experiment_of(arms: dict, **sections) -> Experiment:
    pairs = {pair: {"lexicon": "x"} for pair in ("lin-eng", "swh-eng", "lug-eng")}
    config = {"models": {"m": {"source": "x"}}, "pairs": pairs, "arms": arms, "seeds": 2}
    return Experiment(parse(config | sections))


JOINT = {"train_on": ["swh-eng", "lin-eng"], "loss_layer": ["best", 2]}
ARMS = {"tli": {"loss_layer": ["best", 2]}, "joint": {"like": "tli"} | JOINT, "placebo": {"like": ["joint"], "shuffle_translations": True}}


def test_a_joint_arm_has_runs_of_the_pairs_that_it_names():
    made = experiment_of(ARMS)
    assert {(run.pair, run.arm) for run in made.runs} == {
        *((pair, "tli") for pair in ("lin-eng", "swh-eng", "lug-eng")),
        *((pair, arm) for pair in ("lin-eng", "swh-eng") for arm in ("joint", "joint-placebo")),
    }
    joint = made.arms["joint"]
    assert joint.training.train_on == joint.train_on == ("lin-eng", "swh-eng"), "in the config's order"
    assert made.arms["joint-placebo"].train_on == joint.train_on and made.arms["joint-placebo"].placebo_of == "joint"
    assert made.trained_with("lin-eng") == ["swh-eng"] and made.trained_with("lug-eng") == []
    assert made.chosen_by("swh-eng") == [("swh-eng",), ("lin-eng", "swh-eng")] and made.chosen_by("lug-eng") == [("lug-eng",)]


def test_the_second_pair_waits_for_the_first_and_for_nothing_of_its_own():
    made = experiment_of(ARMS)
    jobs = {pair: Job.of(made, "train", model="m", pair=pair, arm="joint", layer="best", rank="16") for pair in ("lin-eng", "swh-eng")}
    files = made.layout
    for job in jobs.values():
        assert job.inputs["pairs"] == [files.lexicon(pair)["pairs"] for pair in ("lin-eng", "swh-eng")]
        assert job.inputs["choice"] == [files.scan("m", pair)["choice"] for pair in ("lin-eng", "swh-eng")]
    assert "first" not in jobs["lin-eng"].inputs
    assert jobs["swh-eng"].inputs["first"] == jobs["lin-eng"].outputs["records"]
    assert "first" not in jobs["swh-eng"].required, "by hand it may be trained under either name"
    assert jobs["lin-eng"].params["spec"] == jobs["swh-eng"].params["spec"]
    evaluate = Job.of(made, "evaluate", model="m", pair="swh-eng", part="part-1")
    assert evaluate.inputs["choice"] == [files.scan("m", pair)["choice"] for pair in ("swh-eng", "lin-eng")]
    alone = Job.of(made, "evaluate", model="m", pair="lug-eng", part="part-1")
    assert alone.inputs["choice"] == [files.scan("m", "lug-eng")["choice"]]
    with pytest.raises(ConfigError, match="--arm joint --pair lug-eng: the arm is trained on lin-eng, swh-eng"):
        Job.of(made, "train", model="m", pair="lug-eng", arm="joint", layer="2", rank="16")


def test_only_a_list_that_was_not_split_beside_it_is_read_for_what_it_trains():
    def read(*pairs: str, **split) -> dict[str, list[str]]:
        made = experiment_of({"a": {"train_on": list(pairs)}}, pairs={pair: {"lexicon": "x"} for pair in pairs}, split=split)
        files = {made.layout.lexicon(pair)["pairs"]: pair for pair in pairs}
        found = {}
        for pair in pairs:
            jobs = [Job.of(made, "scan", model="m", pair=pair), Job.of(made, "evaluate", model="m", pair=pair, part="part-1")]
            (inputs,) = {tuple(files[path] for path in job.inputs.get("other_pairs", ())) for job in jobs}
            found[pair] = list(inputs)
        return found

    assert read("swh-eng", "lin-eng") == {"swh-eng": [], "lin-eng": []}
    assert read("swh-eng", "lin-eng", leaks="report") == {"swh-eng": ["lin-eng"], "lin-eng": ["swh-eng"]}
    # the last one knows both before it, which do not know each other
    assert read("swh-eng", "lin-fra", "swh-fra") == {"swh-eng": ["lin-fra"], "lin-fra": ["swh-eng"], "swh-fra": []}


def test_weights_leave_the_store_when_every_pair_has_its_own():
    made = experiment_of({"full": {"method": "full", "loss_layer": [2], "train_on": ["swh-eng", "lin-eng"]}})
    (part,) = [part for part in made.parts("evaluate", "m", "swh-eng") if part.startswith("full")][:1]
    inputs = Job.of(made, "evaluate", model="m", pair="swh-eng", part=part).inputs["trained"]
    run = "full/layer-2/rank-full/seed-1"
    assert set(inputs) == {
        made.layout.record("m", "swh-eng", run),
        made.layout.record("m", "lin-eng", run),
        made.layout.weights("m", "swh-eng", run),
    }


def test_on_one_list_it_is_the_plain_arm_with_the_plain_arms_unit():
    made = experiment_of({"tli": {"loss_layer": [2]}, "one": {"loss_layer": [2], "train_on": ["lin-eng"]}})
    assert {run.pair for run in made.runs if run.arm == "one"} == {"lin-eng"}
    specs = [made.arms[arm].cell("2", "16") for arm in ("tli", "one")]
    assert specs[0] == specs[1]
    check, table = CheckRecord(model="m", identity="the model's", layers=4), trained()["lin-eng"]
    digests = [store.digest(unit_key(check, made.model("m"), mixing.joined({"lin-eng": table}), spec, 2, 2, 1)) for spec in specs]
    assert digests[0] == digests[1]
    pinned = "82777d0af9e9516f32bddebd53a12116e620800e201022e8f2aa8610484d98cc"
    assert digests[0] == pinned, "as before there were joint trainings"


def test_the_unit_depends_on_every_list_and_on_how_they_are_mixed():
    check, model = CheckRecord(model="m", identity="i", layers=4), experiment_of(ARMS).model("m")
    of = trained()

    def digest(changed: dict | None = None, **changes) -> str:
        return store.digest(unit_key(check, model, mixing.joined(of | (changed or {})), spec_of(**changes), 2, 2, 1))

    ways = [digest(mix=mix, negatives=negatives) for mix, negatives in WAYS]
    shorter = [digest({pair: of[pair].iloc[:-1]}) for pair in BOTH]
    assert len({*ways, *shorter}) == 6 and ways[0] == digest()


@settings(deadline=None)
@given(st.lists(st.integers(2, 30), min_size=2, max_size=3), st.integers(2, 9), st.sampled_from(("own-list", "across")))
def test_even_is_by_size_where_both_give_the_same_batches(sizes, size, negatives):
    """Then, and only then, both are one unit."""
    check, model = CheckRecord(model="m", identity="i", layers=4), experiment_of(ARMS).model("m")
    table = pd.DataFrame({"pair_id": "p", "source": "a", "target": "b", "alternatives": ""}, index=range(30))
    joined = mixing.joined({str(number): table[:count] for number, count in enumerate(sizes)})
    specs = [spec_of(batch_size=size, negatives=negatives, mix=mix) for mix in ("by-size", "even")]
    epochs = [[(part, rows.tolist()) for part, rows in mixing.epoch(np.random.default_rng(0), sizes, spec)] for spec in specs]
    digests = [store.digest(unit_key(check, model, joined, spec, 2, 2, 1)) for spec in specs]
    if negatives == "own-list":
        assert (digests[0] == digests[1]) == (epochs[0] == epochs[1])
    else:
        assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("arms", "sections", "said"),
    [
        (
            {"a": {"train_on": ["swh-eng", "swh-fra"]}},
            {},
            r"arms\.a\.train_on\[2\]: 'swh-fra' is no pair here; known here: lin-eng, lug-eng, swh-eng",
        ),
        ({"a": {"train_on": ["swh-eng", "swh-eng"]}}, {}, r"arms\.a\.train_on\[2\]: 'swh-eng' is named twice; name each pair once"),
        ({"a": {"train_on": []}}, {}, r"arms\.a\.train_on: is empty"),
        ({"a": {"mix": "even"}}, {}, r"arms\.a\.mix: says how several lists .* name them under train_on, or take it out"),
        ({"a": {"train_on": ["swh-eng"], "negatives": "across"}}, {}, r"arms\.a\.negatives: says how several lists"),
        ({"a": {**JOINT, "select": {"budget": 10}}}, {}, r"arms\.a\.train_on: `select` chooses among the pairs of one list; take one"),
        (
            {"a": {}, "b": {"like": "a", "shuffle_translations": True, **JOINT}},
            {},
            r"arms\.b\.train_on: a placebo learns from the lists that its arm learns from, mixed as there; take train_on out",
        ),
        (
            {"a": JOINT},
            {"split": {"union": False}},
            r"arms\.a\.train_on: lin-eng is split by itself \(split\.union: false\).*take union: false out, or set leaks: report",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_mend(tmp_path, arms, sections, said):
    import yaml

    pairs = {pair: {"lexicon": "x"} for pair in ("lin-eng", "swh-eng", "lug-eng")}
    (path := tmp_path / "c.yaml").write_text(yaml.safe_dump({"models": {"m": {"source": "x"}}, "pairs": pairs, "arms": arms} | sections))
    with pytest.raises(ConfigError, match=r"c\.yaml, line \d+: " + said):
        Experiment(load(path)).arms  # noqa: B018


def test_lists_that_are_split_apart_may_be_joined_where_leaks_are_reported():
    assert experiment_of({"a": JOINT}, split={"union": False, "leaks": "report"}).arms["a"].training.is_joint


def test_best_is_the_state_with_the_highest_mean_over_the_lists(tmp_path):
    def choice(name: str, values: list[float]) -> str:
        table = pd.DataFrame({"hidden_state": [1, 2, 3], "value": values, "chosen": np.array(values) == max(values)})
        table = table.assign(model="m", pair="swh-eng", criterion="gap", win_share=0.0)
        table_files.write(table, tmp_path / f"{name}.tsv", tables.CHOICE)
        return str(tmp_path / f"{name}.tsv")

    one, other = choice("one", [0.1, 0.5, 0.6]), choice("other", [0.8, 0.5, 0.1])
    assert (resolve_layer("best", 4, [one]), resolve_layer("best", 4, [other])) == (3, 1)
    assert resolve_layer("best", 4, [one, other]) == 2, "neither list's own: means of .45, .50, .35"
    assert best_of([table_files.read(choice("tie", [0.3, 0.3, 0.2]))] * 2) == 1, "ties go to the lower state"
    empty = tmp_path / "empty.tsv"
    table_files.write(pd.DataFrame(columns=tables.CHOICE), empty, tables.CHOICE)
    with pytest.raises(CellError, match="nothing to choose from"):
        resolve_layer("best", 4, [one, str(empty)])


def test_what_a_joint_training_costs_is_counted_once():
    sized = {"sizes": {"train": 100, "select": 20, "heldout": 30}}
    arms = {"tli": {"loss_layer": [2]}, "joint": JOINT | {"loss_layer": [2]}, "even": {"like": "joint", "mix": "even"}}
    pairs = {
        "lin-eng": {"lexicon": "x", "split": sized},
        "swh-eng": {"lexicon": "x", "split": {"sizes": {"train": 31, "select": 9, "heldout": 9}}},
    }
    made = experiment_of(arms, pairs=pairs)
    assert work.steps(made, "tli", "swh-eng") == 5 * 4 and work.steps(made, "joint", "swh-eng") == 5 * (13 + 4)
    assert work.steps(made, "even", "swh-eng") == work.steps(made, "even", "lin-eng") == 5 * 26
    seconds = {(one.arm, one.pair): Cost(made, one).seconds for one in work.works(made)["train"]}
    assert seconds["joint", "lin-eng"] > seconds["tli", "lin-eng"]
    taken = next(one for one in work.works(made)["train"] if (one.arm, one.pair) == ("joint", "swh-eng"))
    longer = experiment_of(arms, pairs=pairs, training={"epochs": 5000})
    assert taken.is_taken and Cost(made, taken).gpus == 0
    assert Cost(longer, taken).seconds == Cost(made, taken).seconds < seconds["tli", "swh-eng"]
    first = next(one for one in work.works(made)["train"] if (one.arm, one.pair) == ("joint", "lin-eng"))
    assert Cost(longer, first).seconds > 5 * seconds["joint", "lin-eng"]
    job = Job.of(made, "train", model="m", pair="swh-eng", arm="joint", layer="2", rank="16")
    assert work.Work.of(job) == taken


# --- what no training touches -------------------------------------------------------------------------------------------


def test_of_lists_that_are_split_together_nothing_is_trained_elsewhere(tmp_path):
    """With and without folds: a form that one list trains is held out by none, so the pool is what it is without the other list."""
    files = {pair: ([f"{DEMO.parents[1]}/resources/demo/{pair}.tsv"], LexiconSpec()) for pair in BOTH}
    read = {pair: prepared.pairs for pair, prepared in prepare_union(files).items()}
    deals = {seed: deal_folds_of_union(read, 3, seed) for seed in (1, 2)}
    splits = {
        pair: Splits(
            table,
            pd.concat([pd.DataFrame({"pair_id": d[pair].index, "seed": seed, "fold": d[pair].to_numpy()}) for seed, d in deals.items()]),
        )
        for pair, table in read.items()
    }
    for own, other in itertools.permutations(BOTH):
        elsewhere = Elsewhere(splits[own], {other: splits[other]})
        for seed, fold in [(-1, 0), *itertools.product((1, 2), (1, 2, 3))]:
            assert elsewhere.of(seed, fold) == frozenset()
    apart = {pair: (paths, LexiconSpec(split=SplitSpec(union=False))) for pair, (paths, _) in files.items()}
    alone = {pair: Splits(prepared.pairs) for pair, prepared in prepare_union(apart).items()}
    assert len(Elsewhere(alone["lin-eng"], {"swh-eng": alone["swh-eng"]}).of(-1, 0)) > 20, "what the union is for"


def test_held_out_words_that_another_list_trains_are_told_when_training_starts(two, capsys):
    two.run("train", **names("joint", "swh-eng"))
    assert "leaked" not in capsys.readouterr().err
    table = lingala()
    table.loc[table["target"].isin(["heart", "eye"]), "target"] = ["sun", "fish"]
    table_files.write(table, two.layout.lexicon("lin-eng")["pairs"], tables.PAIRS)
    two.run("train", **names("joint", "swh-eng"))
    assert "arms.joint: 2 held-out pairs of lin-eng have a form that another of its lists trains" in capsys.readouterr().err


def test_nothing_that_a_training_does_through_another_list_moves_a_figure():
    """The lists are split apart; vectors of all forms that either list trains are moved at will."""
    own, other = lingala(), tiny.pairs_table()
    own.loc[own["target"] == "heart", "target"] = "sun"  # held out here, trained through Swahili
    own.loc[own["source"] == "monzoto", "source"] = "jua"  # of the select split here
    elsewhere = Elsewhere(Splits(own), {"swh-eng": Splits(other)}).of(-1, 0)
    assert elsewhere == {"sun", "jua"}
    listed = Listed.of(own, elsewhere=elsewhere)
    pool = listed.pools[-1]
    random = np.random.default_rng(0)
    forms = listed.candidates.forms
    vectors = random.standard_normal((len(forms), 6))
    touched = {*own.loc[own["split"] == "train", ["source", "target"]].to_numpy().ravel(), *elsewhere}
    moved = np.where(np.isin(forms, sorted(touched))[:, None], random.standard_normal(vectors.shape), vectors)

    def rows(stacked: np.ndarray) -> pd.DataFrame:
        whole = metrics.Vectors.of(stacked.astype(np.float32), listed.candidates)
        return metrics.evaluate_pool(whole, pool, metrics.Questions(own["split"].to_numpy()), k=2)[0]

    before, after = rows(vectors), rows(moved)
    leaked = before["leaked"].to_numpy(bool)
    assert own["target"].iloc[before.loc[leaked, "pair"]].tolist() == ["sun"], "counted, and nobody's rival"
    pd.testing.assert_frame_equal(before[~leaked], after[~leaked], check_exact=True)
    without = Listed.of(own).pools[-1]  # the other list forgotten: the figures of words that nothing touched would move
    forgotten = [
        metrics.evaluate_pool(
            metrics.Vectors.of(v.astype(np.float32), listed.candidates), without, metrics.Questions(own["split"].to_numpy()), k=2
        )[0]
        for v in (vectors, moved)
    ]
    assert not forgotten[0][~leaked].equals(forgotten[1][~leaked])


# --- what the page says ---------------------------------------------------------------------------------------------------


def test_the_page_and_the_methods_name_what_an_arm_was_trained_on():
    made = dataclasses.replace(ReportInput(), experiment=ReportExperiment.of(experiment_of(ARMS).config, {}))
    (sentence,) = joint_arms(made)
    assert sentence == "Trained on lin-eng + swh-eng together, one training a run, and measured on each of them: joint, joint-placebo."
    assert sentence in methods(made)[0] and experiment_size(made).startswith("No run yet")
    grid = dataclasses.replace(made, tables=Tables(grid=experiment_of(ARMS).grid))
    assert experiment_size(grid).endswith(sentence)
    plain = dataclasses.replace(ReportInput(), experiment=ReportExperiment.of(experiment_of({"tli": {}}).config, {}))
    assert joint_arms(plain) == []


def test_results_from_before_say_that_each_run_was_trained_on_its_own_pair(two):
    for pair in BOTH:
        two.run("train", **names("joint", pair))
    layout, place = two.layout, ("m", "swh-eng", "part-1")
    experiment = two.changed(arms={"joint": STAGED["tli"] | {"train_on": list(BOTH)}})
    experiment.run("evaluate", pair="swh-eng", part="part-1")
    path = layout.measured("evaluate", *place)["runs"]
    assert set(read_measured(layout, [place])["runs"]["trained_on"]) == {"swh-eng + lin-eng"}
    table_files.write(table_files.read(path).drop(columns="trained_on"), path)
    assert set(read_measured(layout, [place])["runs"]["trained_on"]) == {"swh-eng"}


# --- through the stages --------------------------------------------------------------------------------------------------

STAGED = {
    "tli": {"loss_layer": [2], "rank": [4]},
    "joint": {"like": "tli", "train_on": list(BOTH), "loss_layer": ["best", 2]},
    "placebo": {"like": ["joint"], "loss_layer": [2], "shuffle_translations": True},
}


class TwoLists(Trial):
    """Two lists, checked and scanned by hand: `best` is hs[3] for Swahili, hs[1] for Lingala, and hs[2] in the mean."""

    def ready(self, identity: str = "id") -> TwoLists:
        table_files.write(lingala(), self.layout.lexicon("lin-eng")["pairs"], tables.PAIRS)
        Path(self.layout.check("m")).parent.mkdir(parents=True, exist_ok=True)
        Path(self.layout.check("m")).write_text(json.dumps({"model": "m", "identity": identity, "layers": LAYERS}))
        for pair, values in {"swh-eng": [0.1, 0.5, 0.6], "lin-eng": [0.7, 0.5, 0.1]}.items():
            table = pd.DataFrame({"hidden_state": [1, 2, 3], "value": values, "chosen": np.array(values) == max(values)})
            table = table.assign(model="m", pair=pair, criterion="gap", win_share=0.0)
            table_files.write(table, self.layout.scan("m", pair)["choice"], tables.CHOICE)
        return self


@pytest.fixture
def two(models, tmp_path) -> TwoLists:
    pairs = {pair: {"lexicon": "x"} for pair in BOTH}
    return TwoLists(tmp_path, models("llama"), pairs=pairs, arms=STAGED, seeds=[1, 2]).ready()


def names(arm: str, pair: str, layer: str = "2") -> dict[str, str]:
    return {"arm": arm, "pair": pair, "layer": layer, "rank": "4"}


def test_one_unit_serves_both_pairs_and_each_is_measured_with_its_own(two, monkeypatch):
    two.run("train", **names("joint", "swh-eng"))
    with monkeypatch.context() as context:
        context.setattr(Trainer, "__init__", lambda *_: pytest.fail("trained again"))
        two.run("train", **names("joint", "lin-eng"))
    for seed in (1, 2):
        folders = [Path(two.layout.run("m", pair, f"joint/layer-2/rank-4/seed-{seed}")) for pair in BOTH]
        ours, theirs = (sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()) for folder in folders)
        assert ours == theirs
        assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in ours if name.name != "run.json")
        records = [json.loads((folder / "run.json").read_text()) for folder in folders]
        assert [record.pop("pair") for record in records] == list(BOTH) and records[0] == records[1]
        assert records[0]["lists"] == {"swh-eng": 12, "lin-eng": 5} and records[0]["settings"]["train_on"] == list(BOTH)
        assert records[0]["steps"] == 2 * (3 + 1)
        assert "swh-eng + lin-eng" in (folders[0] / "adapter" / "README.md").read_text()
    for arm in ("tli", "joint-placebo"):
        for pair in BOTH:
            two.run("train", **names(arm, pair))
    for pair in BOTH:
        two.run("train", **names("joint", pair, "best"))
    records = [json.loads(path.read_text()) for path in Path(two.layout.results).glob("train/m/*/joint/layer-best/rank-4/seed-*/run.json")]
    assert {record["loss_layer"] for record in records} == {2} and len(records) == 4, "neither list's own best"
    assert {record["unit"] for record in records if record["seed"] == 1} == {
        json.loads(Path(two.layout.record("m", "swh-eng", "joint/layer-2/rank-4/seed-1")).read_text())["unit"]
    }, "best is hs[2], which is trained already"
    for pair in BOTH:
        two.run("evaluate", pair=pair, part="part-1")
        measured = {name: table_files.read(path) for name, path in two.layout.measured("evaluate", "m", pair, "part-1").items()}
        runs = measured["runs"].drop_duplicates("arm").set_index("arm")
        assert runs["trained_on"].to_dict() == {"tli": pair, "joint": "swh-eng + lin-eng", "joint-placebo": "swh-eng + lin-eng"}
        rows = measured["similarities"].query("hidden_state == 4 and pool == 'untrained' and pooling == 'no-bos'")
        pools = rows.groupby("run", observed=True)["pair_id"].apply(lambda asked: tuple(sorted(asked)))
        assert pools.nunique() == 1 and len(pools) == 9, "one pool for the base model, arms and placebos"
        base = measured["metrics"].query("run == 'baseline' and pooling == 'no-bos'")
        assert 2 in set(base["hidden_state"]), "the joint choice of best is measured before training too"


def test_a_plain_arms_figures_are_the_same_with_and_without_a_joint_arm(two):
    plain = two.changed(arms={"tli": STAGED["tli"]})
    for trial in (plain, two):
        for pair in BOTH:
            for arm, layer in [(run.arm, run.layer) for run in trial.experiment.cells if run.pair == pair]:
                trial.run("train", **names(arm, pair, layer))
    made = []
    for trial in (plain, two):
        for pair in BOTH:
            trial.run("evaluate", pair=pair, part="part-1")
        rows = [table_files.read(trial.layout.measured("evaluate", "m", pair, "part-1")["metrics"]) for pair in BOTH]
        made.append(pd.concat(rows).query("arm in ('tli', 'baseline')").reset_index(drop=True))
    both = made[1].merge(made[0][["run", "pair", "hidden_state"]].drop_duplicates(), on=["run", "pair", "hidden_state"])
    assert len(both) == len(made[0]) > 0
    pd.testing.assert_frame_equal(both[made[0].columns], made[0], check_exact=True)
    keys = [json.loads(path.read_text()) for path in (Path(two.layout.store) / "evaluate").glob("*/unit.json")]
    adapters = [(key["unit"], key["pairs"]) for key in keys if key["unit"]]
    assert len(adapters) == len(set(adapters)) == 2 * 2 * 3, "no adapter was measured twice on a list: two seeds, two lists, three units"


def test_a_word_that_the_other_list_trains_is_leaked_for_every_run_of_the_list(models, tmp_path):
    pairs = {pair: {"lexicon": "x"} for pair in BOTH}
    trial = TwoLists(tmp_path, models("llama"), pairs=pairs, arms=STAGED, seeds=[1], split={"leaks": "report"}).ready()
    table = lingala()
    table.loc[table["target"] == "heart", "target"] = "sun"
    table_files.write(table, trial.layout.lexicon("lin-eng")["pairs"], tables.PAIRS)
    for arm, layer in [("tli", "2"), ("joint", "best"), ("joint", "2"), ("joint-placebo", "2")]:
        trial.run("train", **names(arm, "lin-eng", layer))
    trial.run("evaluate", pair="lin-eng", part="part-1")
    measured = {name: table_files.read(path) for name, path in trial.layout.measured("evaluate", "m", "lin-eng", "part-1").items()}
    rows = measured["similarities"].query("pool == 'untrained' and split == 'heldout'")
    assert rows["run"].nunique() == 5
    assert set(rows.loc[rows["leaked"].astype(bool), "pair_id"]) == set(table.loc[table["target"] == "sun", "pair_id"])
    figures = measured["metrics"].query("pool == 'untrained' and split == 'heldout'")
    untouched = {*table.loc[table["split"] != "train", "target"]} - {*table.loc[table["split"] == "train", "target"], "sun"}
    assert set(figures["leaked"]) == {1} and set(figures["pool_targets"]) == {len(untouched)}


def test_tuning_is_judged_by_the_mean_over_the_lists(models, tmp_path):
    pairs = {pair: {"lexicon": "x"} for pair in BOTH}
    arms = {"joint": {"loss_layer": [2], "rank": [4], "train_on": list(BOTH), "tune": {"learning_rate": [1e-4, 1e-2], "seeds": 1}}}
    trial = TwoLists(tmp_path, models("llama"), pairs=pairs, arms=arms, seeds=[1], statistics={"primary": "gap"}).ready()
    assert [(cell.pair, cell.arm) for cell in trial.experiment.tuned_cells] == [("swh-eng", "joint")]
    job = trial.run("tune", **names("joint", "swh-eng"))
    trials = table_files.read(job.outputs["trials"], tables.TRIALS)
    figures = {}
    for path in (tmp_path / "store" / "evaluate").glob("*/figures.parquet"):
        key, table = json.loads((path.parent / "unit.json").read_text()), pd.read_parquet(path)
        figures.setdefault(key["unit"], []).append((float(table["gap"].iloc[0]), int(table["n"].iloc[0])))
    for row in trials.itertuples():
        values, words = zip(*figures[row.unit], strict=True)
        assert sorted(words) == [3, 6] and row.words == 9 and row.value == pytest.approx(np.mean(values), abs=1e-12)
    with pytest.raises(ConfigError, match="one choice serves all its pairs; tune it under swh-eng"):
        Job.of(trial.experiment, "tune", model="m", **names("joint", "lin-eng"))
    for pair in BOTH:
        trial.run("train", **names("joint", pair))
    rates = {
        json.loads(Path(trial.layout.record("m", pair, "joint/layer-2/rank-4/seed-1")).read_text())["settings"]["learning_rate"]
        for pair in BOTH
    }
    assert rates == {trials.loc[trials["chosen"], "learning_rate"].iloc[0]}


def test_an_anchor_reads_the_languages_of_all_lists():
    text = {language: f"{language}.txt" for language in ("swh", "lin", "eng")}
    pairs = {pair: {"lexicon": "x"} for pair in BOTH}
    made = experiment_of({"a": {"train_on": list(BOTH), "anchor": {"metric": "drift"}}}, text=text, pairs=pairs)
    for pair in BOTH:
        assert list(Job.of(made, "train", model="m", pair=pair, arm="a", layer="best", rank="16").texts) == ["swh", "lin", "eng"]


def test_a_list_with_too_few_pairs_is_named(two):
    table = lingala()
    table_files.write(table.assign(split=table["split"].replace("train", "select")), two.layout.lexicon("lin-eng")["pairs"], tables.PAIRS)
    with pytest.raises(CellError, match="lin-eng: the train split has 0 pairs"):
        two.run("train", **names("joint", "swh-eng"))
