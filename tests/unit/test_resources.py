"""The shipped lists are what resources/README.md says of them, clean, and split as the paper's was."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from tli import lexicon
from tli.specs import LexiconSpec, SplitSpec

ROOT = Path(__file__).parents[2]
LISTS = ROOT / "resources" / "lexicons"
# As the paper prints them (Table 2, and four of its examples).
PRINTED = {
    "asante sana": "thank you very much", "bei gani": "how much does it cost", "Kamba": "rope", "afya": "health", "-chafuka": "rough",
    "chungwa": "orange", "Februari": "February", "dada": "sister", "kitabu": "book", "dirisha": "window", "daktari": "doctor",
    "mkate": "bread",
}  # fmt: skip


def read(pair: str) -> pd.DataFrame:
    return pd.read_csv(LISTS / f"{pair}.tsv", sep="\t", keep_default_na=False, quoting=3)


def cleaned(pair: str) -> pd.DataFrame:
    return lexicon.clean(lexicon.read(LISTS / f"{pair}.tsv", pair))[0]


@pytest.mark.parametrize(("pair", "least", "phrases"), [("swh-eng", 760, 60), ("lin-eng", 300, 20), ("lug-eng", 300, 20)])
def test_size_and_columns(pair, least, phrases):
    table = read(pair)
    assert list(table.columns) == ["source", "target", "alternatives", "category", "checked_by"]
    assert len(cleaned(pair)) == len(table) >= least
    assert table["source"].str.contains(" ").sum() >= phrases
    assert set(table["checked_by"]) <= {"freedict", "gatitos", "paper", "author"} and (table["category"] != "").all()
    assert not table["source"].duplicated().any()


@pytest.mark.parametrize("pair", ["swh-eng", "lin-eng", "lug-eng"])
def test_the_readme_counts_right(pair):
    text = (ROOT / "resources" / "README.md").read_text(encoding="utf-8")
    assert int(re.search(rf"`lexicons/{pair}\.tsv` \| (\d+) ", text)[1]) == len(read(pair))


@pytest.mark.parametrize("pair", ["swh-eng", "lin-eng", "lug-eng"])
def test_the_audit_finds_no_error(pair):
    lines = lexicon.audit_file(LISTS / f"{pair}.tsv", LexiconSpec(), pair)
    assert not [line for line in lines if line.startswith("error")]


def test_the_papers_pairs_are_there_verbatim():
    table = read("swh-eng").set_index("source")["target"]
    assert {source: table.get(source) for source in PRINTED} == PRINTED


def test_the_papers_sizes_are_reachable():
    pairs, _ = lexicon.split(cleaned("swh-eng"), SplitSpec(sizes={"train": 623, "select": 74, "heldout": 63}))
    assert pairs["split"].value_counts().to_dict() == {"train": 623, "select": 74, "heldout": 63}
    assert lexicon.leaks(pairs, "forms").empty


@pytest.mark.parametrize("pair", ["swh-eng", "lin-eng"])
def test_the_demos_words_come_from_the_lists(pair):
    demo = pd.read_csv(ROOT / "resources" / "demo" / f"{pair}.tsv", sep="\t", keep_default_na=False, quoting=3)
    whole = read(pair).set_index("source")
    assert set(demo["source"]) <= set(whole.index)
    for source, target in zip(demo["source"], demo["target"], strict=True):
        assert target in {whole.loc[source, "target"], *whole.loc[source, "alternatives"].split("|")}
