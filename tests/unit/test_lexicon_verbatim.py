"""Verbatim lists: every row and every string as the file has them, and all that follows bears with repeated rows."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli import lexicon, metrics
from tli.config import parse
from tli.errors import LexiconError
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.io import table_files, tables
from tli.specs import LexiconSpec, SplitSpec, plain
from tli.stages import lexicon as stage
from tli.training.pairing import derangement

PAIR = "swh-eng"
# What a published list has: glosses, slashes, hints, repeated rows, decomposed letters, spaces, quotes, equal sides, numbers, long cells.
TROUBLES = [
    ("chukua", "to take"),
    ("choo", "toilet/bathroom"),
    ("chungwa", "orange (fruit)"),
    ("cafe\u0301", "the cafe\u0301"),
    ("-chafuka", "rough"),
    (" bei gani ", "how much  does it cost?"),
    ("redio", "redio"),
    ("neno", '"word"; speech | talk'),
    ("paa1", "1. roof"),
    ("kamba\u200b", "rope\u00b2"),
    ("kamba", "rope"),
    ("kamba", "rope"),
    ("kamba", "string"),
    ("Kamba", "rope"),
    ("afya", "health"),
    ("afya", "x" * 300),
    ("ኣብ", "in"),
]


@pytest.fixture
def files(tmp_path):
    """623 training and 63 control rows, as two JSON files."""
    train = TROUBLES + [(f"neno {i} la", f"to word {i}") for i in range(623 - len(TROUBLES))]
    control = [("afya", "health"), ("kamba", "cord"), *((f"udhibiti {i}x", f"control {i}x") for i in range(61))]
    paths = []
    for name, rows in (("train", train), ("control", control)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps([{"swahili": source, "english": target} for source, target in rows], ensure_ascii=False))
        paths.append(str(path))
    return paths, train + control


SPEC = LexiconSpec(
    format="json",
    columns={"source": "swahili", "target": "english"},
    splits=("train", "heldout"),
    split=SplitSpec(leaks="report"),
    clean="verbatim",
)


def test_623_rows_in_623_out_and_63_for_control(files, tmp_path):
    paths, rows = files
    section = {"lexicon": paths, "format": "json", "columns": SPEC.columns, "splits": ["train", "heldout"], "clean": "verbatim"}
    config = {"models": {"m": {"source": "x"}}, "pairs": {PAIR: section}, "arms": {"tli": {}}, "split": {"leaks": "report"}}
    job = Job.of(Experiment(parse(config | {"results": str(tmp_path)})), "lexicon", pair=PAIR)
    assert job.spec == SPEC
    stage.run(job)
    outputs = job.outputs
    pairs = table_files.read(outputs["pairs"], tables.PAIRS)
    assert list(zip(pairs["source"], pairs["target"])) == rows
    assert [len(source.encode()) for source in pairs["source"]] == [len(source.encode()) for source, _ in rows]
    assert pairs["split"].value_counts().to_dict() == {"train": 623, "heldout": 63}
    assert pairs["pair_id"].is_unique and (pairs["alternatives"] == "").all()
    ids = pairs[(pairs["source"] == "kamba") & (pairs["target"] == "rope")]["pair_id"].tolist()
    assert ids[0] == lexicon.pair_id("kamba", "rope") and len(set(ids)) == 2
    record = table_files.read(outputs["changes"])
    assert set(record["action"]) == {"left"}, "what cleaning would have done stands there, and nothing was done"
    taken = record[record["field"] == "target"].set_index("before")["after"]
    assert taken["to take"] == "take" and taken["toilet/bathroom"] == "toilet|bathroom" and taken["orange (fruit)"] == "orange"


def test_what_repeats_and_what_leaks_is_reported(files):
    pairs, aside, changes = lexicon.prepare(files[0], PAIR, SPEC)
    assert aside.empty
    lines = lexicon.audit_lines(lexicon.audit(pairs, changes=changes))
    assert any("leak across splits" in line and "'kamba'" in line for line in lines)
    # Counted by hand: kamba = rope three times (the capital one too), afya = health in both files.
    assert any(line.startswith("warning: 5 pairs repeat: ") for line in lines), lines
    assert sum("strings verbatim" in line for line in lines) == 1
    assert not any("strings changed by cleaning" in line for line in lines)


def test_the_cleaned_way_stays_and_says_how_many_strings_it_changed(files):
    pairs, _, changes = lexicon.prepare(files[0], PAIR, LexiconSpec(**{**plain(SPEC), "clean": "normalised", "split": SPEC.split}))
    assert len(pairs) < 686 and "take" in set(pairs["target"])
    lines = lexicon.audit_lines(lexicon.audit(pairs, changes=changes))
    changed = changes[(changes["action"] == "changed") & (changes["field"] != "pair")].drop_duplicates(["file", "line", "field"])
    assert any(line.startswith(f"info: {len(changed)} strings changed by cleaning: gloss word") for line in lines)


def test_what_follows_works_on_repeated_rows(files):
    pairs, _, _ = lexicon.prepare(files[0], PAIR, SPEC)
    built = metrics.candidates(pairs)
    assert len(built.source_of) == len(pairs) == 686
    assert built.source_forms[built.source_of[0]] == "chukua"
    trained = pairs[pairs["split"] == "train"]
    accepted = built.accepted[built.source_of[trained.index]][:, built.target_of[trained.index]]
    order = derangement(accepted, 0)
    assert sorted(order) == list(range(623)) and not accepted.toarray()[range(623), order].any()


def test_a_strict_list_may_repeat_but_not_be_broken(tmp_path):
    path = tmp_path / "swh-eng.tsv"
    path.write_text("source\ttarget\nkamba\trope\nkamba\trope\n" + "".join(f"s{i}x\tto t{i}y\n" for i in range(90)))
    spec = LexiconSpec(clean="verbatim")
    assert len(lexicon.read(path, PAIR, spec)) == 92
    with pytest.raises(LexiconError, match="line 3: repeats"):
        lexicon.read(path, PAIR)
    assert not [line for line in lexicon.audit_file(path, spec, PAIR) if line.startswith("error")]
    path.write_text("source\ttarget\nkamba\trope\n\tx\n")
    with pytest.raises(LexiconError, match="line 3: empty source"):
        lexicon.read(path, PAIR, spec)


def test_exact_sizes_of_a_list_that_repeats(tmp_path):
    path = tmp_path / "swh-eng.tsv"
    path.write_text("source\ttarget\nkamba\trope\nkamba\trope\n" + "".join(f"s{i}x\tto t{i}y\n" for i in range(90)))
    pairs, aside, _ = lexicon.prepare([path], PAIR, LexiconSpec(clean="verbatim", split=SplitSpec(sizes={"train": 62, "heldout": 30})))
    assert pairs["split"].value_counts().to_dict() == {"train": 62, "heldout": 30} and aside.empty
    assert pairs.loc[pairs["source"] == "kamba", "split"].nunique() == 1


def test_an_unknown_way_of_cleaning_is_refused(files):
    with pytest.raises(LexiconError, match="use normalised or verbatim"):
        lexicon.prepare(files[0], PAIR, LexiconSpec(**{**plain(SPEC), "clean": "as it is", "split": SPEC.split}))


text = st.text(st.characters(exclude_characters="\t\n\r\0", exclude_categories=["Cs"]), min_size=1, max_size=9).filter(str.strip)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(text, text), min_size=1, max_size=20))
def test_any_string_stays(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("list")
    path = folder / "a.json"
    path.write_text(json.dumps([{"swahili": source, "english": target} for source, target in rows]), encoding="utf-8")
    split = SplitSpec(shares={"train": 1.0}, leaks="report")
    pairs, aside, _ = lexicon.prepare([path], PAIR, LexiconSpec(format="json", columns=SPEC.columns, clean="verbatim", split=split))
    table_files.write(pairs, folder / "pairs.tsv", tables.PAIRS)
    again = table_files.read(folder / "pairs.tsv", tables.PAIRS)
    assert list(zip(again["source"], again["target"])) == rows
    assert aside.empty and pairs["pair_id"].is_unique


def test_a_json_list_of_translations_is_one_target_and_alternatives(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"swahili": "a", "english": ["to b", "c / d"]}]')
    raw = lexicon.read(path, PAIR, LexiconSpec(format="json", columns=SPEC.columns, clean="verbatim"))
    assert raw[["target", "alternatives"]].to_numpy().tolist() == [["to b", "c / d"]]


def test_decomposed_letters_are_left_and_said(files):
    pairs, _, changes = lexicon.prepare(files[0], PAIR, SPEC)
    source = pairs["source"][3]
    assert source != unicodedata.normalize("NFC", source)
    assert "Unicode NFC" in set(changes["reason"])
