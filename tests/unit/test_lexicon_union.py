"""Lists that share a language: what one trains none holds out, a list added moves no pair of another, alone it is as before."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli import lexicon
from tli.config import parse
from tli.errors import LexiconError
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.specs import LexiconSpec, SplitSpec
from tli.stages import lexicon as stage

NAMES = ["swh-eng", "lin-eng", "eng-lug", "lug-fra"]  # each shares a language with one before it


def write(folder, name, rows):
    """A TSV file of rows (source, target, alternatives, split), and enough single pairs for every split."""
    stem = name.replace("-", "")
    more = [(f"{stem}s{i}", f"{stem}t{i}", "", "") for i in range(60)]
    path = folder / f"{name}.tsv"
    text = "".join("\t".join(row) + "\n" for row in [*rows, *more])
    path.write_text("source\ttarget\talternatives\tsplit\n" + text, encoding="utf-8")
    return str(path)


def forms(row):
    return {form.casefold() for form in [row.source, row.target, *filter(None, row.alternatives.split("|"))]}


def splits_of_forms(prepared):
    """form -> the splits in which it stands in any of the lists, by a plain loop."""
    splits = {}
    for one in prepared.values():
        for row in one.pairs.itertuples():
            for form in forms(row):
                splits.setdefault(form, set()).add(row.split)
    return splits


word = st.sampled_from([f"w{i}" for i in range(25)])
rows = st.lists(st.tuples(word, word, st.lists(word, max_size=2).map("|".join), st.just("")), max_size=15, unique_by=lambda row: row[:2])
several = st.lists(rows, min_size=1, max_size=4)


def lists_of(folder, contents, spec=None, names=NAMES):
    return {name: ([write(folder, name, content)], spec or LexiconSpec()) for name, content in zip(names, contents)}


@settings(max_examples=10, deadline=None, derandomize=True)
@given(several, st.sampled_from(["forms", "content-words"]))
def test_no_form_is_trained_by_one_list_and_held_out_by_another(tmp_path_factory, contents, by):
    lists = lists_of(tmp_path_factory.mktemp("lists"), contents, LexiconSpec(split=SplitSpec(by=by)))
    prepared = lexicon.prepare_union(lists)
    assert all(len(splits) == 1 for splits in splits_of_forms(prepared).values())
    for name, (files, spec) in lists.items():
        pairs, aside, changes = prepared[name]
        alone = lexicon.prepare(files, name, spec)
        assert len(pairs) + len(aside) == len(alone.pairs) + len(alone.aside), "nothing is lost"
        assert (aside["reason"] != "").all() and list(pairs.columns) == tables.PAIRS


@settings(max_examples=10, deadline=None, derandomize=True)
@given(several, rows)
def test_a_list_that_is_added_moves_no_pair_of_another(tmp_path_factory, contents, added):
    folder = tmp_path_factory.mktemp("lists")
    lists = lists_of(folder, contents)
    longer = lists | {"eng-xho": ([write(folder, "eng-xho", added)], LexiconSpec())}
    before, after = lexicon.prepare_union(lists), lexicon.prepare_union(longer)
    for name in lists:
        for one, other in zip(before[name], after[name], strict=True):
            pd.testing.assert_frame_equal(one, other)
    bridges = after["eng-xho"].aside
    assert bridges["reason"].str.match("would join|repeats").all()


@settings(max_examples=10, deadline=None, derandomize=True)
@given(several)
def test_the_same_from_whichever_pair_it_is_asked(tmp_path_factory, contents):
    lists = lists_of(tmp_path_factory.mktemp("lists"), contents)
    whole = lexicon.prepare_union(lists)
    for name in lists:
        needed = [*lexicon.before(dict.fromkeys(lists, True), name), name]
        pd.testing.assert_frame_equal(lexicon.prepare_union({one: lists[one] for one in needed})[name].pairs, whole[name].pairs)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(several)
def test_without_the_union_each_list_is_as_it_was(tmp_path_factory, contents):
    spec = LexiconSpec(split=SplitSpec(union=False))
    lists = lists_of(tmp_path_factory.mktemp("lists"), contents, spec)
    prepared = lexicon.prepare_union(lists)
    for name, (files, _) in lists.items():
        cleaned, changes = lexicon.clean(lexicon.read(files, name))
        pairs, aside = lexicon.split(cleaned)
        for one, other in zip(prepared[name], (pairs, aside, changes), strict=True):
            pd.testing.assert_frame_equal(one, other)


def test_components_go_over_the_lists(tmp_path):
    first = [("mbwa", "dog", "hound", ""), ("paka", "cat", "", "")]
    second = [("mbwa la", "hound", "", ""), ("niawu", "cat", "puss", ""), ("mpaka", "puss", "", "")]
    prepared = lexicon.prepare_union(lists_of(tmp_path, [first, second]))
    one, other = (prepared[name].pairs.set_index("source") for name in ("swh-eng", "lin-eng"))
    assert other.loc["mbwa la", "component"] == one.loc["mbwa", "component"] == lexicon.pair_id("mbwa", "dog")
    assert other.loc["niawu", "component"] == other.loc["mpaka", "component"] == one.loc["paka", "component"]
    assert other.loc["mpaka", "split"] == one.loc["paka", "split"]


def test_a_bridge_between_the_splits_of_earlier_lists_is_set_aside_and_says_which(tmp_path):
    singles = lexicon.prepare([write(tmp_path, "swh-eng", [])], "swh-eng", LexiconSpec()).pairs
    train, heldout = (singles[singles["split"] == name].iloc[0]["target"] for name in ("train", "heldout"))
    prepared = lexicon.prepare_union(lists_of(tmp_path, [[], [("neno", train, heldout, "")]]))
    aside = prepared["lin-eng"].aside
    assert aside["reason"].tolist() == [f"would join train (by '{train}' of swh-eng) and heldout (by '{heldout}' of swh-eng)"]


def test_only_lists_that_share_a_language_count():
    lists = dict.fromkeys(["swh-eng", "lin-fra", "lug-xho", "eng-fra", "sw-deu", "swa-por"], True)
    assert lexicon.before(lists, "swh-eng") == lexicon.before(lists, "lin-fra") == lexicon.before(lists, "lug-xho") == []
    assert lexicon.before(lists, "eng-fra") == ["swh-eng", "lin-fra"]
    assert lexicon.before(lists, "sw-deu") == ["swh-eng", "lin-fra", "eng-fra"], "sw is swh, and eng-fra joins the two"
    assert lexicon.before(lists | {"eng-fra": False}, "swa-por") == ["swh-eng", "sw-deu"]


def test_given_splits_that_leak_between_lists_are_an_error_or_reported(tmp_path):
    lists = lists_of(tmp_path, [[("mbwa", "dog", "", "train")], [("mbwa la", "Dog", "", "heldout")]])
    with pytest.raises(LexiconError, match="1 pairs leak between lists: 'dog' is train in swh-eng and heldout here.*split.union: false"):
        lexicon.prepare_union(lists)
    report = LexiconSpec(split=SplitSpec(leaks="report"))
    prepared = lexicon.prepare_union(lists | {"lin-eng": (lists["lin-eng"][0], report)})["lin-eng"]
    assert prepared.pairs.set_index("source").loc["mbwa la", "split"] == "heldout"
    lines = lexicon.audit_lines(lexicon.audit(prepared.pairs, changes=prepared.changes))
    assert lines[0] == "error: 1 pairs leak between lists: 'dog' is train in swh-eng and heldout here"


def test_a_held_out_category_that_another_list_trains_is_set_aside(tmp_path):
    path = tmp_path / "lin-eng.tsv"
    singles = lexicon.prepare([write(tmp_path, "swh-eng", [])], "swh-eng", LexiconSpec()).pairs
    trained = singles[singles["split"] == "train"].iloc[0]["target"]
    path.write_text(
        "source\ttarget\tcategory\n" + f"a\t{trained}\tbody\nb\tarm\tbody\n" + "".join(f"s{i}\tt{i}\tthing\n" for i in range(60))
    )
    lists = lists_of(tmp_path, [[]]) | {"lin-eng": ([str(path)], LexiconSpec(split=SplitSpec(heldout_categories=("body",))))}
    pairs, aside, _ = lexicon.prepare_union(lists)["lin-eng"]
    assert pairs.set_index("source").loc["b", "split"] == "heldout"
    assert aside["source"].tolist() == ["a"] and "is train in swh-eng" in aside["reason"][0]


def test_exact_sizes_beside_another_list(tmp_path):
    rows = [(f"u{i}", f"swhengt{i}", "", "") for i in range(30)]  # follow the first list
    lists = lists_of(tmp_path, [[], rows], LexiconSpec(split=SplitSpec(sizes={"heldout": 30, "select": 15})), NAMES)
    prepared = lexicon.prepare_union(lists)
    for one in prepared.values():
        counts = one.pairs["split"].value_counts()
        assert counts["heldout"] == 30 and counts["select"] == 15
    assert all(len(splits) == 1 for splits in splits_of_forms(prepared).values())


def test_the_jobs_of_a_config_read_the_lists_before_and_no_other(tmp_path):
    contents = [[("mbwa", "dog", "", "")], [("mbwa la", "dog", "", "")], []]
    paths = {name: files[0] for name, (files, _) in lists_of(tmp_path, contents, names=["swh-eng", "lin-eng", "xho-fra"]).items()}
    config = {"models": {"m": {"source": "x"}}, "arms": {"tli": {}}, "results": str(tmp_path / "results")}
    experiment = Experiment(parse(config | {"pairs": {name: {"lexicon": path} for name, path in paths.items()}}))
    jobs = {name: Job.of(experiment, "lexicon", pair=name) for name in paths}
    assert jobs["swh-eng"].inputs["files"] == [paths["swh-eng"]] and "earlier" not in jobs["swh-eng"].params
    assert jobs["lin-eng"].inputs["files"] == [paths["swh-eng"], paths["lin-eng"]]
    assert list(jobs["lin-eng"].params["earlier"]) == ["swh-eng"]
    assert jobs["xho-fra"].inputs["files"] == [paths["xho-fra"]]
    for job in jobs.values():
        stage.run(job)
    one, other = (table_files.read(jobs[name].outputs["pairs"], tables.PAIRS).set_index("target") for name in ("swh-eng", "lin-eng"))
    assert one.loc["dog", "split"] == other.loc["dog", "split"] and one.loc["dog", "component"] == other.loc["dog", "component"]
