"""Cleaning: each rule on cases worked out by hand, and the property that every raw row is used or on the record."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli.errors import LexiconError
from tli.lexicon import CHANGES, Rules, clean, edit_similarity, key
from tli.lexicon.forms import content_words
from tli.lexicon.scripts import in_script, majority_script
from tli.lexicon.similarity import edit_distance


def table(rows, **columns):
    """Raw rows as `read` gives them, from (source, target) pairs; lines from 1."""
    raw = pd.DataFrame(rows, columns=["source", "target"], dtype=object)
    raw = raw.assign(alternatives="", category="", split="", provenance="list", file="list.tsv", problem="")
    raw["line"] = np.arange(1, len(raw) + 1)
    raw.attrs = {"source_language": "swh", "target_language": "eng"}
    return raw.assign(**columns)


def cleaned(rows, **options):
    return clean(table(rows), Rules(**options))[0]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("good  morning\u00a0", "good morning", "white space"),
        ("cafe\u0301", "caf\u00e9", "Unicode NFC"),
        ("\u200bhealth\ufeff", "health", "control character"),
        ("ru\x07le", "rule", "control character"),
        ("uncle (paternal)", "uncle", "bracketed hint"),
        ("(paternal) uncle [old (very)]", "uncle", "bracketed hint"),
        ("uncle (not closed", "uncle", "bracketed hint"),
        ("book(s)", "book", "bracketed hint"),
        ("to go out", "go out", "gloss word"),
        ("the sea", "sea", "gloss word"),
        ("an orange", "orange", "gloss word"),
        ("1. rope", "rope", "enumeration"),
        ("rope²", "rope", "homonym number"),
        ('"rope"', "rope", "quotes"),
    ],
)
def test_one_cell(before, after, reason):
    pairs, changes = clean(table([("kamba", before)]))
    assert pairs["target"].tolist() == [after]
    record = changes[changes["reason"].str.contains(reason)].iloc[0]
    assert (record["action"], record["field"], record["after"], record["line"]) == ("changed", "target", after, 1)


@pytest.mark.parametrize("text", ["a lot", "a little", "to him", "to the sea", "24 hours", "the more the merrier", "COVID19", "x-ray"])
def test_what_only_looks_like_a_gloss_word_or_a_number_stays(text):
    assert cleaned([("neno", text)])["target"].tolist() == [text]


def test_gloss_words_are_english_only():
    raw = table([("a kitabu", "the book")])
    assert clean(raw)[0].iloc[0][["source", "target"]].tolist() == ["a kitabu", "book"]
    assert clean(raw, Rules(target_language="fra"))[0]["target"].tolist() == ["the book"]


def test_homonym_numbers_go_only_where_there_is_a_homonym():
    pairs = cleaned([("kata1", "cut"), ("kata2", "ladle"), ("mp3", "music file"), ("paa", "roof"), ("paa2", "gazelle")])
    assert pairs["source"].tolist() == ["kata", "mp3", "paa"]
    assert pairs["alternatives"].tolist() == ["ladle", "", "gazelle"]


@pytest.mark.parametrize("numbers", [range(1, 4), range(3), range(1, 30), (1, 3)])
def test_numbered_names_are_no_homonyms(numbers):
    rows = [(f"s{i}", f"t{i}") for i in numbers]
    pairs = cleaned(rows)
    assert list(zip(pairs["source"], pairs["target"])) == rows


def test_several_translations_become_alternatives():
    pairs, changes = clean(table([("neno", "word; speech/talk / (old) saying|word"), ("je", "and/or"), ("km", "km per h")]))
    assert pairs["target"].tolist() == ["word", "and", "km per h"]
    assert pairs["alternatives"].tolist() == ["speech|talk|saying", "or", ""]
    assert (changes["reason"] == "several translations").sum() == 2


def test_several_sources_become_pairs():
    pairs = cleaned([("afisa; ofisa", "officer")])
    assert list(zip(pairs["source"], pairs["target"])) == [("afisa", "officer"), ("ofisa", "officer")]


def test_rows_of_one_source_merge():
    rows = [("kamba", "rope"), ("afya", "health"), ("Kamba!", "string"), ("kamba", "ROPE"), ("kamba", "kamba")]
    pairs, changes = clean(table(rows, category=["", "body", "thing", "", ""], provenance=["a", "a", "b", "b", "b"]))
    assert pairs[["source", "target", "alternatives", "category", "provenance"]].to_numpy().tolist() == [
        ["kamba", "rope", "string", "thing", "a + b"],
        ["afya", "health", "", "body", "a"],
    ]
    ended = changes[changes["action"] != "changed"][["action", "line", "reason"]].to_numpy().tolist()
    assert ended == [
        ["merged", 3, "further translation of the source of list.tsv, line 1"],
        ["merged", 4, "the same pair as list.tsv, line 1"],
        ["dropped", 5, "source and target are the same"],
    ]


def test_merging_can_be_left_out_but_repetitions_go():
    pairs, changes = clean(table([("kamba", "rope"), ("kamba", "string"), ("kamba", "rope")]), Rules(merge=False))
    assert list(zip(pairs["source"], pairs["target"])) == [("kamba", "rope"), ("kamba", "string")]
    assert changes[["action", "line"]].to_numpy().tolist() == [["merged", 3]]


def test_a_source_that_the_file_puts_into_two_splits_stays_two_pairs():
    raw = table([("kamba", "rope"), ("kamba", "string"), ("kamba", "cord")], split=["train", "heldout", ""])
    pairs = clean(raw)[0]
    assert pairs[["target", "alternatives", "split"]].to_numpy().tolist() == [["rope", "cord", "train"], ["string", "", "heldout"]]


def test_equal_sides_can_be_kept():
    assert len(cleaned([("Kenya", "Kenya")])) == 0
    assert len(cleaned([("Kenya", "Kenya")], identical="keep")) == 1


def test_scripts_are_checked_against_the_majority_or_as_told():
    rows = [("ምቁራጽ", "abandoned"), ("ተዓዊቱ", "won"), ("climate", "weather"), ("24", "day"), ("ሓደጋ", "አደጋ")]
    pairs, changes = clean(table(rows))
    assert pairs["target"].tolist() == ["abandoned", "won"]
    assert changes["reason"].tolist() == ["source is not written in Ethi", "source is not written in Ethi", "target is not written in Latn"]
    assert clean(table(rows), Rules(source_script="", target_script=""))[0]["line"].tolist() == [1, 2, 3, 4, 5]
    assert clean(table(rows), Rules(source_script="Arab"))[0].empty


@pytest.mark.parametrize(
    ("form", "script"),
    [
        ("كتاب", "Arab"),
        ("ספר", "Hebr"),
        ("नमस्ते", "Deva"),
        ("ßtraße", "Latn"),
        ("ng'ombe", "Latn"),
        ("ኣብ", "Ethi"),
        ("книга", "Cyrl"),
        ("食べる", "Jpan"),
    ],
)
def test_right_to_left_and_combining_scripts(form, script):
    assert majority_script([form]) == script and in_script(form, script) and not in_script(form, "Grek")
    # a mark that belongs to no script (a combining acute) changes nothing
    assert majority_script([form + "\u0301"]) == script
    pairs = clean(table([(form, "word")]), Rules(source_language="und"))[0]
    assert pairs["source"].tolist() == [unicodedata.normalize("NFC", form)]


def test_joiners_that_are_letters_of_their_script_stay_and_direction_marks_go():
    pairs = clean(table([("\u202bمی\u200cخواهم\u202c", "I want")]))[0]
    assert pairs["source"].tolist() == ["می\u200cخواهم"]


def test_strict_and_wrong_arguments():
    with pytest.raises(LexiconError, match=r"list\.tsv, line 2: source and target are the same"):
        clean(table([("a", "b"), ("c", "c")]), Rules(strict=True))
    with pytest.raises(LexiconError, match="drop or keep"):
        clean(table([("a", "b")]), Rules(identical="merge"))


def test_keys():
    assert key("  Ng’ombe! ") == key("ng'ombe") == "ng'ombe"
    # Typed as an acute accent, a grave one, a prime, a modifier letter, a full-width or a curly sign: one apostrophe for keys.
    for sign in "`\u00b4\u2032\u02bc\u02bb\u02bd\u2018\u2019\u201b\uff07\u02b9\u2035\ua78c":
        assert key(f"ng{sign}ombe") == "ng'ombe", f"U+{ord(sign):04X}"
    assert key("ng\u2011ombe") == key("ng-ombe") != key("ng'ombe")
    assert key("-chafuka") == "chafuka" and key("?!") == "?!"
    assert key("e\u0301te\u0301") == key("ÉTÉ") != key("ete")
    assert content_words(key("Thank you very much")) == ["thank"]
    assert content_words(key("kidole cha mguu")) == ["kidole", "mguu"]


def levenshtein(one, other):
    """The textbook loop."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (a != b)))
    return row[-1]


word = st.text(st.sampled_from("abcé😀"), max_size=8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(word, word), max_size=12))
def test_edit_distance_is_the_textbook_one(pairs):
    expected = [levenshtein(*pair) for pair in pairs]
    assert edit_distance([a for a, _ in pairs], [b for _, b in pairs]).tolist() == expected


def test_edit_similarity_folds_case_and_diacritics():
    assert edit_similarity(["Bánk", "kitten", "", "ኣብ"], ["bank", "sitting", "", "in"]).tolist() == pytest.approx([1, 4 / 7, 1, 0])


text = st.text(st.sampled_from("abAé1²()[;|/ '\u0301\u200b\tٲكኣб,"), max_size=9) | st.text(max_size=6)
rows = st.lists(st.tuples(text, text), max_size=15)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(rows, st.booleans(), st.sampled_from(["drop", "keep"]))
def test_no_row_is_lost_without_a_record(found, merge, identical):
    raw = table(found)
    pairs, changes = clean(raw, Rules(merge=merge, identical=identical))
    assert list(changes.columns) == CHANGES
    ended = changes[changes["action"] != "changed"]
    assert set(pairs["line"]) | set(ended["line"]) == set(raw["line"])
    assert not set(pairs["line"]) & set(changes.loc[changes["action"] == "dropped", "line"])
    assert (changes.loc[changes["action"] == "changed", "before"] != changes.loc[changes["action"] == "changed", "after"]).all()
    for row in pairs.itertuples():
        forms = [row.source, row.target, *filter(None, row.alternatives.split("|"))]
        for form in forms:
            assert form == unicodedata.normalize("NFC", form) == " ".join(form.split()) and form
        assert len({key(form) for form in forms[1:]}) == len(forms) - 1
        if identical == "drop":
            assert key(row.source) not in {key(form) for form in forms[1:]}
    if merge:
        assert not pairs["source"].map(key).duplicated().any()
    again = clean(raw, Rules(merge=merge, identical=identical))
    pd.testing.assert_frame_equal(again[0], pairs)
    pd.testing.assert_frame_equal(again[1], changes)


simple = st.text(st.sampled_from("abcdefg"), min_size=1, max_size=3)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.tuples(simple, simple), max_size=25))
def test_every_translation_of_plain_words_arrives(found):
    pairs = cleaned(found)
    arrived = {(row.source, one) for row in pairs.itertuples() for one in [row.target, *filter(None, row.alternatives.split("|"))]}
    assert arrived == {(source, target) for source, target in found if source != target}
