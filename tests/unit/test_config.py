"""config and grid: what a user may write, what is refused and where, and the runs that come of it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli import config
from tli.config import protocols
from tli.config.arms import expand_arms
from tli.experiment import Experiment, grid
from tli.io import tables

READY = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))
BASE = {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "l.tsv"}}, "arms": {"tli": {}}, "seeds": 2}


def made(**changes) -> config.Config:
    return config.parse(BASE | changes)


def written(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


HEAD = """\
    models: {m: {source: x}}
    pairs:
      swh-eng: {lexicon: l.tsv}
"""


def refused(tmp_path, text: str) -> str:
    with pytest.raises(config.ConfigError) as error:
        config.load(written(tmp_path, HEAD + text))
    return str(error.value)


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "key", "near"),
    [
        ("    arms: {tli: {}}\n    sedes: 3\n", 5, "sedes", "seeds"),
        ("    arms:\n      tli:\n        learning_rat: 1e-4\n", 6, "arms.tli.learning_rat", "learning_rate"),
        ("    arms: {tli: {}}\n    training:\n      epoch: 3\n", 6, "training.epoch", "epochs"),
        (
            "    arms:\n      tli:\n        select:\n          strategy: random\n          budgets: 3\n",
            8,
            "arms.tli.select.budgets",
            "budget",
        ),
        ("    arms: {tli: {}}\n    split:\n      share: {train: 1}\n", 6, "split.share", "shares"),
        ("    arms:\n      list-of-int:\n        ranks: [4]\n", 6, "arms.list-of-int.ranks", "rank"),
    ],
)
def test_unknown_key_is_named_with_its_line_and_a_near_name(tmp_path, text, line, key, near):
    message = refused(tmp_path, text)
    assert f"c.yaml, line {line}: {key}: unknown key; did you mean '{near}'?" in message


def test_unknown_key_far_from_all_lists_the_known(tmp_path):
    assert "known here: strategy, budget, rounds" in refused(tmp_path, "    arms: {tli: {select: {budget: 9, zzzzz: 1}}}\n")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("    arms: {tli: {rank: [0]}}\n", ["line 4", "arms.tli.rank[1]"]),
        ("    arms: {tli: {loss_layer: [first]}}\n", ["line 4", "arms.tli.loss_layer[1]", "not first"]),
        ("    arms: {tli: {alpha: 3x}}\n", ["line 4", "arms.tli.alpha", "not 3x"]),
        ("    arms: {tli: {alpha: 0r}}\n", ["line 4", "arms.tli.alpha"]),
        ("    arms: {tli: {alpha: 0}}\n", ["line 4", "arms.tli.alpha"]),
        ("    arms: {tli: {learning_rate: .inf}}\n", ["arms.tli.learning_rate"]),
        ("    arms: {tli: {dropout: 1}}\n", ["arms.tli.dropout"]),
        ("    arms: {tli: {like: nobody}}\n", ["line 4", "arms.tli.like", "'nobody'"]),
        ("    arms: {tli: {like: []}}\n", ["arms.tli.like"]),
        ("    arms: {My Arm: {}}\n", ["line 4", "My Arm", "lower-case"]),
        ("    arms: {../up: {}}\n", ["line 4", "../up", "lower-case"]),
        ("    arms: {tli: {}}\n    seeds: [1, 1]\n", ["line 5", "seeds", "named twice"]),
        ("    arms: {tli: {}}\n    seeds: 0\n", ["line 5", "seeds"]),
        ("    arms: {tli: {}}\n    seeds: []\n", ["line 5", "seeds"]),
        ("    arms: {tli: {}}\n    split: {shares: {train: 0.5, heldout: 0.4}}\n", ["line 5", "split", "0.9"]),
        ("    arms: {tli: {}}\n    pooling: {train: mean}\n", ["line 5", "pooling.train", "not mean"]),
        ("    arms: {tli: {}}\n    arms: {other: {}}\n", ["line 5", "arms", "twice"]),
        ("    arms: {tli: {rank: [4], rank: [8]}}\n", ["line 4", "rank", "twice"]),
        ("    arms: {tli: [}\n", ["line 4", "not valid YAML"]),
    ],
)
def test_a_wrong_value_is_refused_with_line_and_key(tmp_path, text, parts):
    message = refused(tmp_path, text)
    assert "c.yaml" in message
    for part in parts:
        assert part in message, message


def test_all_mistakes_are_told_at_once(tmp_path):
    message = refused(tmp_path, "    arms: {tli: {rank: [0], nonsense: 1}}\n    seeds: -1\n")
    assert len(message.splitlines()) == 3


def test_name_of_a_pair_needs_two_languages(tmp_path):
    path = written(tmp_path, "models: {m: {source: x}}\npairs: {swahili: {lexicon: l}}\narms: {a: {}}\n")
    with pytest.raises(config.ConfigError, match="line 2: pairs.swahili"):
        config.load(path)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "holds no keys"), (b"- 1\n", "is a list, not keys"), (b"title: \xff\n", r"line 1: not UTF-8 \(byte 7\)")]
)
def test_file_that_is_no_config(tmp_path, content, reason):
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(config.ConfigError, match=reason):
        config.load(tmp_path / "c.yaml")


def test_absent_file(tmp_path):
    with pytest.raises(config.ConfigError, match="no such config file"):
        config.load(tmp_path / "none.yaml")


def test_later_files_count_key_by_key_and_the_line_is_that_of_the_file_at_fault(tmp_path):
    first = written(tmp_path, HEAD + "    arms: {tli: {rank: [4]}}\n    training: {epochs: 3, margin: 0.1}\n")
    second = tmp_path / "over.yaml"
    second.write_text("training:\n  epochs: 7\n", encoding="utf-8")
    both = config.load([first, second])
    assert (both.training.epochs, both.training.margin, both.arms["tli"].rank) == (7, 0.1, [4])
    second.write_text("training:\n  margin: 0.2\n  epochs: -7\n", encoding="utf-8")
    with pytest.raises(config.ConfigError, match="over.yaml, line 3: training.epochs"):
        config.load([first, second])


def test_numbers_as_yaml_mangles_them(tmp_path):
    loaded = config.load(written(tmp_path, HEAD + "    arms: {tli: {learning_rate: 2e-5, alpha: '32', loss_layer: ['2', best]}}\n"))
    arm = expand_arms(loaded)["tli"]
    assert (arm.training.learning_rate, arm.alpha, arm.loss_layers) == (2e-5, 32.0, ("2", "best"))  # YAML 1.1 reads 2e-5 as text


# --- arms -----------------------------------------------------------------------------------------------------------


def test_a_key_counts_own_then_parent_then_training():
    arms = expand_arms(
        made(
            training={"epochs": 9, "margin": 0.1, "dropout": 0.3},
            arms={
                "tli": {"epochs": 3, "rank": [4, 8]},
                "child": {"like": "tli", "margin": 0.7},
                "grandchild": {"like": "child", "epochs": 5},
            },
        )
    )
    picked = {name: (a.training.epochs, a.training.margin, a.training.dropout, a.ranks) for name, a in arms.items()}
    assert picked == {"tli": (3, 0.1, 0.3, (4, 8)), "child": (3, 0.7, 0.3, (4, 8)), "grandchild": (5, 0.7, 0.3, (4, 8))}


def test_a_key_set_to_its_default_still_counts_over_the_parent():
    arms = expand_arms(made(training={"epochs": 9}, arms={"tli": {"epochs": 3}, "child": {"like": "tli", "epochs": 5}}))
    assert arms["child"].training.epochs == 5  # 5 is the default of `epochs`


def test_like_with_a_list_makes_one_arm_per_name_and_knows_whose_placebo_it_is():
    arms = expand_arms(
        made(
            arms={
                "tli": {"rank": [4]},
                "full-lora": {"like": "tli", "loss_layer": ["output"]},
                "placebo": {"like": ["tli", "full-lora"], "shuffle_translations": True},
                "zero": {"epochs": 0},
                "long-placebo": {"like": "alone-placebo", "epochs": 9},
                "alone-placebo": {"like": "tli", "shuffle_translations": True},
            }
        )
    )
    assert list(arms) == ["tli", "full-lora", "tli-placebo", "full-lora-placebo", "zero", "long-placebo", "alone-placebo"]
    assert {n: (a.placebo_of, a.is_control) for n, a in arms.items()} == {
        "tli": ("", False),
        "full-lora": ("", False),
        "tli-placebo": ("tli", True),
        "full-lora-placebo": ("full-lora", True),
        "zero": ("", True),
        "long-placebo": ("tli", True),
        "alone-placebo": ("tli", True),
    }
    assert arms["full-lora-placebo"].loss_layers == ("output",) and arms["full-lora-placebo"].ranks == (4,)


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        ({"a": {"like": "b"}, "b": {"like": "a"}}, "circle"),
        ({"a": {"like": "a"}}, "a -> a goes in a circle"),
        ({"a": {"like": ["a"]}}, "circle"),
        ({"a": {"like": "b"}, "b": {"like": "c"}, "c": {"like": "b"}}, "b -> c -> b goes in a circle"),
        ({"t": {}, "p": {"like": ["t"]}, "q": {"like": "p"}}, "stands for several arms"),
        ({"t": {}, "t-p": {}, "p": {"like": ["t"]}}, "'t-p', which is there already"),
        ({"t": {}, "p": {"like": ["t"]}, "t-p": {}}, "'t-p', which is there already"),
        ({"t": {}, "p": {"like": ["t", "t"]}}, "there already"),
    ],
)
def test_arms_that_cannot_be(arms, reason):
    with pytest.raises(config.ConfigError, match=reason):
        expand_arms(made(arms=arms))


@pytest.mark.parametrize(("rule", "alpha"), [("2r", 16.0), ("r", 8.0), ("0.5r", 4.0), (32, 32.0), (1.5, 1.5)])
def test_alpha_rules(rule, alpha):
    loaded = made(arms={"tli": {"alpha": rule, "rank": [8]}})
    assert expand_arms(loaded)["tli"].cell("best", "8").alpha == alpha


def test_settings_of_a_full_training_have_neither_rank_nor_alpha():
    spec = expand_arms(made(arms={"full": {"method": "full", "rank": [4, 8]}}))["full"].cell("output", "full")
    assert spec.rank is None and spec.alpha is None and spec.layer == "output" and spec.pooling == "no-bos"


# --- grid -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    models=st.integers(1, 3),
    pairs=st.integers(1, 3),
    seeds=st.one_of(st.integers(1, 4), st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True)),
    layers=st.lists(st.sampled_from(["best", "output", 1, 2]), min_size=1, max_size=4),
    ranks=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_grid_is_the_product_with_each_run_once(models, pairs, seeds, layers, ranks):
    loaded = config.parse(
        {
            "models": {f"m{i}": {"source": "x"} for i in range(models)},
            "pairs": {f"a{i}-eng": {"lexicon": "l"} for i in range(pairs)},
            "arms": {"a": {"loss_layer": layers, "rank": ranks}, "f": {"method": "full", "rank": ranks}},
            "seeds": seeds,
        }
    )
    runs = grid.table_of(grid.expand(loaded))
    expected_seeds = list(range(1, seeds + 1)) if isinstance(seeds, int) else seeds
    assert list(runs.columns) == tables.GRID
    assert len(runs) == models * pairs * len(expected_seeds) * (len(set(layers)) * len(set(ranks)) + 1)
    assert not runs.duplicated(["model", "pair", "run"]).any()
    assert list(dict.fromkeys(runs["seed"])) == expected_seeds
    row = runs.iloc[0]
    assert row["run"] == f"a/layer-{layers[0]}/rank-{ranks[0]}/seed-{expected_seeds[0]}"
    assert set(runs.loc[runs["arm"] == "f", "rank"]) == {"full"}


def test_full_training_of_a_4_bit_model_is_compared_with_the_unquantised_one():
    loaded = made(
        models={"m": {"source": "x", "quantization": "nf4"}, "n": {"source": "x"}}, arms={"tli": {}, "full": {"method": "full"}}, seeds=1
    )
    found = grid.table_of(grid.expand(loaded)).set_index(["model", "arm"])["baseline"].to_dict()
    assert found == {("m", "tli"): "baseline", ("m", "full"): "baseline-unquantised", ("n", "tli"): "baseline", ("n", "full"): "baseline"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sedes": 3}, "--config on the command line: sedes: unknown key; did you mean 'seeds'?"),
        ({"seeds": "many"}, "--config on the command line: seeds: "),
        ({"training": {"epoch": 3}}, "--config on the command line: training.epoch: unknown key; did you mean 'epochs'?"),
    ],
)
def test_a_mistake_on_the_command_line_is_not_blamed_on_a_line_of_the_file(given, told, tmp_path):
    """Snakemake hands over the file's values with those of `--config` merged in."""
    path = written(tmp_path, HEAD + "    training: {epochs: 2}\n")
    with pytest.raises(config.ConfigError) as error:
        config.parse(BASE | given, [path])
    assert str(error.value).startswith(told) and "c.yaml" not in str(error.value)
    broken = written(tmp_path, HEAD + "    training: {epochs: x}\n")
    with pytest.raises(config.ConfigError, match=r"c\.yaml, line 4: training\.epochs"):
        config.parse(BASE | {"training": {"epochs": "x"}}, [broken])


# --- protocols and ready configs ------------------------------------------------------------------------------------

PAPER = {
    "pairs": {"swh-eng": {"lexicon": "x", "clean": "verbatim"}},
    "arms": {"tli": {"loss_layer": [2]}},
    "training": {"adapted_blocks": "all", "allow_unreached": True, "mask_false_negatives": False},
    "pooling": {"scan": ["with-bos"], "train": "with-bos", "evaluate": ["with-bos"]},
    "evaluation": {"merge": True},
    "split": {"leaks": "report"},
}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "controlled"),
        ({"arms": {"tli": {"loss_layer": ["output", 3]}}}, "controlled"),
        (PAPER, "paper-text"),
        (
            PAPER
            | {
                "pooling": {"scan": ["with-bos"], "train": "with-bos", "evaluate": ["no-bos"]},
                "evaluation": {"merge": True, "hidden_states": [2]},
            },
            "paper-code",
        ),
        (PAPER | {"pairs": {"swh-eng": {"lexicon": "x"}}}, "custom"),  # strings that are cleaned are not the author's
        (PAPER | {"pairs": PAPER["pairs"] | {"lin-eng": {"lexicon": "x"}}}, "custom"),
        (PAPER | {"models": {"m": {"source": "x", "word_form": "leading-space"}}}, "custom"),
        (PAPER | {"evaluation": {"merge": False}}, "custom"),
        (PAPER | {"arms": {"tli": {"loss_layer": [3]}}}, "custom"),
        ({"training": {"mask_false_negatives": False}}, "custom"),
        ({"arms": {"tli": {"mask_false_negatives": False}}}, "custom"),
        ({"evaluation": {"hidden_states": [3]}}, "custom"),
        (PAPER | {"split": {}}, "custom"),
        (PAPER | {"training": PAPER["training"] | {"margin": 0.2}}, "custom"),
        ({"arms": {"tli": {}, "loose": {"like": "tli", "mask_false_negatives": False}}}, "custom"),
        ({"training": {"adapted_blocks": "all", "allow_unreached": True}}, "custom"),
        ({"split": {"leaks": "report"}}, "custom"),
        ({"pooling": {"evaluate": ["with-bos"]}}, "custom"),
    ],
)
def test_protocol_by_what_the_settings_amount_to(changes, name):
    assert protocols.protocol(made(**changes)) == name


@pytest.mark.parametrize("path", READY, ids=lambda path: path.name)
def test_ready_configs_load_and_make_runs(path):
    loaded = config.load(path)
    runs = grid.table_of(grid.expand(loaded))
    assert len(runs) and not runs.duplicated(["model", "pair", "run"]).any()
    assert set(runs["placebo_of"]) - {""} <= set(runs["arm"])
    if path.stem in ("paper-text", "paper-code"):
        assert protocols.protocol(loaded) == path.stem


@pytest.mark.skipif(not READY, reason="config/ holds no ready configs yet")
@pytest.mark.parametrize("name", ["config.yaml", "paper-text.yaml", "paper-code.yaml", "ranks.yaml"])
def test_ready_configs_are_there(name):
    assert name in [path.name for path in READY]


# --- arms ---------------------------------------------------------------------------------------------------------------


def test_a_placebo_of_nothing_is_refused():
    with pytest.raises(config.ConfigError, match="name the arm whose placebo it is"):
        grid.expand(made(arms={"tli": {}, "shuffled": {"shuffle_translations": True}}))


def test_a_curve_of_budgets_is_one_entry():
    curve = {"tli": {"select": {"strategy": "random", "budget": [20, 40]}}, "placebo": {"like": ["tli"], "shuffle_translations": True}}
    arms = expand_arms(made(arms=curve))
    assert {name: (arm.training.select.budget, arm.placebo_of) for name, arm in arms.items()} == {
        "tli-budget-20": (20, ""),
        "tli-budget-40": (40, ""),
        "tli-placebo-budget-20": (20, "tli-budget-20"),
        "tli-placebo-budget-40": (40, "tli-budget-40"),
    }


def test_claims_need_a_place_that_is_the_same_for_all():
    with pytest.raises(config.ConfigError, match="claims rest on the first one"):
        config.parse({**BASE, "evaluation": {"hidden_states": ["loss-layer", "output"]}})


def at_hand(folder: Path, monkeypatch) -> dict:
    """Config sections for a list of 40 pairs that lies in `folder`, where the process now is."""
    rows = "".join(f"neno{chr(97 + i % 26)}{i}\tword{chr(97 + i % 26)}{i}\n" for i in range(40))
    (folder / "swh-eng.tsv").write_text("source\ttarget\n" + rows, encoding="utf-8")
    monkeypatch.chdir(folder)
    return {"models": {"m": {"source": "model"}}, "pairs": {"swh-eng": {"lexicon": "swh-eng.tsv"}}, "results": "results"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": {"sizes": {"train": 60, "select": 5, "heldout": 5}}}, r"split\.sizes: swh-eng: .*(60|70)"),
        (
            {"split": {"shares": {"train": 0.0, "select": 0.5, "heldout": 0.5}}},
            "split: the train split of swh-eng has 0 pairs; at least 2 are needed",
        ),
        ({"arms": {"few": {"select": {"budget": 39, "strategy": "random"}}}}, r"arms\.few\.select: a budget of 39 pairs; the train split"),
        (
            {"split": {"shares": {"train": 0.7, "select": 0, "heldout": 0.3}}, "training": {"tune": {"epochs": [1, 2]}}},
            r"training\.tune: swh-eng has no select pairs to choose by; give split\.shares\.select a share",
        ),
        (
            {"arms": {"tli": {"target_modules": ["query"]}}},
            r"arms\.tli\.target_modules: no block of models\.m has a module 'query'; it has .*q_proj",
        ),
    ],
    ids=["sizes", "no-train", "budget", "no-select", "module"],
)
def test_what_the_list_or_the_model_lacks_is_told_before_the_first_job(tmp_path, monkeypatch, changes, said):
    import tiny

    from tli.experiment import inspect

    tiny.save_model(tmp_path / "model", "llama")
    place = at_hand(tmp_path, monkeypatch)
    inspect.inspect(Experiment(made(**place)))
    with pytest.raises(config.ConfigError, match=said):
        inspect.inspect(Experiment(made(**place | changes)))


def test_target_modules_may_be_told_apart_by_what_holds_them(tmp_path, monkeypatch):
    import tiny

    from tli.experiment import inspect

    tiny.save_model(tmp_path / "model", "llama")
    place = at_hand(tmp_path, monkeypatch)
    inspect.inspect(Experiment(made(**place, arms={"tli": {"target_modules": ["self_attn.q_proj", "mlp.up_proj"]}})))
    with pytest.raises(config.ConfigError, match="no block of models.m has a module 'attn.q_proj'"):
        inspect.inspect(Experiment(made(**place, arms={"tli": {"target_modules": ["attn.q_proj"]}})))


def test_a_long_list_is_only_read_before_the_first_job(tmp_path, monkeypatch):
    import tiny

    from tli.experiment import inspect

    tiny.save_model(tmp_path / "model", "llama")
    place = at_hand(tmp_path, monkeypatch)
    monkeypatch.setattr(inspect, "LONG_LIST", 10)
    inspect.inspect(Experiment(made(**place, split={"sizes": {"train": 60, "select": 5, "heldout": 5}})))


def test_one_layer_or_rank_needs_no_brackets():
    assert made(arms={"tli": {"loss_layer": 2, "rank": 16}}) == made(arms={"tli": {"loss_layer": [2], "rank": [16]}})
    assert made(arms={"tli": {"loss_layer": "output"}}).arms["tli"].loss_layer == ["output"]


@pytest.mark.parametrize("name", ["baseline", "baseline-unquantised"])
def test_an_arm_is_not_called_as_the_untrained_model_is(name):
    with pytest.raises(config.ConfigError, match="rename the arm"):
        made(arms={name: {}})


@pytest.mark.parametrize(("blocks", "shown"), [(3, "3 blocks"), ("all", "all blocks")])
def test_blocks_that_the_loss_cannot_reach_are_told_before_the_first_job(tmp_path, monkeypatch, blocks, shown):
    import tiny

    from tli.experiment import inspect

    tiny.save_model(tmp_path / "model", "llama")
    place = at_hand(tmp_path, monkeypatch)
    with pytest.raises(
        config.ConfigError,
        match=rf"arms.tli.adapted_blocks: adapters are asked for on {shown}, but a loss at hs\[2\] reaches only the first 2",
    ):
        inspect.inspect(Experiment(made(**place, arms={"tli": {"loss_layer": [2, 4], "adapted_blocks": blocks}})))
    for free in ({"allow_unreached": True}, {"adapted_blocks": "reachable"}, {"adapted_blocks": 2}, {"method": "full"}):
        inspect.inspect(Experiment(made(**place, arms={"tli": {"loss_layer": [2], "adapted_blocks": blocks} | free})))
