"""Parallel sentences as lists: two files or a folder, sentences kept whole, retrieval as others compute it, nothing wasted or cut off."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from several_lists import SeveralLists, pairs_table

from tli import lexicon, metrics
from tli.config import ConfigError, parse
from tli.errors import EmbedError, LexiconError
from tli.experiment import Experiment
from tli.experiment.inspect import inspect
from tli.experiment.settings import lexicon_spec
from tli.io import tables
from tli.lexicon.prepare import cleaned
from tli.lexicon.similarity import edit_similarity
from tli.model import packing
from tli.model.embedding import embed
from tli.model.opening import open_model
from tli.probes.column import Column
from tli.specs import LexiconSpec, ModelSpec, plain

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "resources" / "sentences"
DATA = Path(os.environ.get("TLI_TEST_DATA", "")) / "data"
MOSES, FLORES = LexiconSpec(format="moses"), LexiconSpec(format="flores")
HARD = [
    "Ndiyo, hapana; labda (kesho) / kesho kutwa.",
    '"Asante," alisema [mwalimu], "karibu"...',
    "1. Kwanza, nenda; 2. pili, rudi.",
    "the 3 dogs, cats and/or birds",
    "to be, or not to be",
    "2020",
    "Привет, мир!",
]


def written(path: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def sides(raw: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(raw["source"], raw["target"]))


# --- two files line by line ------------------------------------------------------------------------------------------


def test_the_lines_of_two_files(tmp_path):
    files = [written(tmp_path / "text.swh", HARD), written(tmp_path / "text.eng", [f"{line} (en)" for line in HARD])]
    raw = lexicon.read(files, "swh-eng", MOSES)
    assert sides(raw) == [(line, f"{line} (en)") for line in HARD]
    assert raw["file"].unique().tolist() == [str(files[0])] and raw["line"].tolist() == [*range(1, len(HARD) + 1)]
    twice = lexicon.read([*files, *files], "swh-eng", MOSES)
    assert len(twice) == 2 * len(raw)
    split = lexicon.read([*files, *files], "swh-eng", LexiconSpec(format="moses", splits=("train", "train", "heldout", "heldout")))
    assert split["split"].value_counts().to_dict() == {"train": len(raw), "heldout": len(raw)}


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (["a", "b", "c"], ["x", "y"], r"text\.swh, line 3: has 3 lines where .*text\.eng has 2: .*take the two files of one version"),
        (["a"], ["x", "y"], r"text\.eng, line 2: has 2 lines where .*text\.swh has 1"),
        (["a", "", "c"], ["x", "y", "z"], r"text\.swh, line 2: empty line; correct or remove the line"),
        (["a", "b", "c"], ["x", "y", "  "], r"text\.eng, line 3: empty line"),
        (["a", "b\0"], ["x", "y"], r"text\.swh, line 2: holds a NUL byte"),
    ],
)
def test_files_that_do_not_fit_are_errors_with_file_line_and_mend(tmp_path, source, target, said):
    files = [written(tmp_path / "text.swh", source), written(tmp_path / "text.eng", target)]
    with pytest.raises(LexiconError, match=said):
        lexicon.read(files, "swh-eng", MOSES)


def test_a_wrong_encoding_is_told_with_its_line(tmp_path):
    files = [written(tmp_path / "a", ["moja", "mbili"]), written(tmp_path / "b", ["one", "café"], "latin-1")]
    with pytest.raises(LexiconError, match=r"b, line 2: not utf-8 text at byte 4"):
        lexicon.read(files, "swh-eng", MOSES)
    assert sides(lexicon.read(files, "swh-eng", LexiconSpec(format="moses", options={"encoding": "latin-1"})))[1] == ("mbili", "café")


def test_files_in_the_wrong_order_or_number_are_refused(tmp_path):
    files = [written(tmp_path / "text.swh", ["a"]), written(tmp_path / "text.eng", ["x"])]
    with pytest.raises(LexiconError, match=r"text\.eng: comes before .*text\.swh, and the pair is swh-eng; name the source's file first"):
        lexicon.read(files[::-1], "swh-eng", MOSES)
    for some in (files[:1], [*files, files[0]]):
        with pytest.raises(LexiconError, match="takes files by 2"):
            lexicon.read(some, "swh-eng", MOSES)


def test_the_config_says_so_before_anything_runs(tmp_path):
    written(tmp_path / "text.swh", ["a", "b"])
    written(tmp_path / "text.eng", ["x"])
    lists = {
        "swh-eng": {"lexicon": str(ROOT / "resources" / "demo" / "swh-eng.tsv")},
        "swh-eng.news": {"lexicon": [str(tmp_path / "text.swh"), str(tmp_path / "text.eng")], "format": "moses", "train": False},
    }
    sections = {
        "models": {"m": {"source": str(ROOT / "resources" / "demo" / "model")}},
        "pairs": lists,
        "arms": {"tli": {"loss_layer": [2]}},
        "evaluation": {"on": "all"},
        "results": str(tmp_path / "results"),
    }
    with pytest.raises(ConfigError, match=r"text\.swh, line 2: has 2 lines where"):
        inspect(Experiment(parse(sections)))
    written(tmp_path / "text.eng", ["x", "y"])
    assert inspect(Experiment(parse(sections)))["swh-eng.news"]["across"] == 2
    kl = {"anchor": {"metric": "drift"}, "loss_layer": [2]}
    text = {language: {"file": str(SHIPPED / f"{language}.txt")} for language in ("swh", "eng")}
    inspect(Experiment(parse(sections | {"arms": {"tli": kl}, "text": text})))  # no language is called eng.news
    trained = lists | {"swh-eng.news": lists["swh-eng.news"] | {"train": True}}
    with pytest.raises(ConfigError, match=r"a name after a dot is for a list that nobody trains on"):
        parse(sections | {"pairs": trained})


# --- a folder with one file a language -------------------------------------------------------------------------------


@pytest.fixture
def flores(tmp_path) -> Path:
    """As FLORES-200 and FLORES+ are laid out."""
    for part in ("dev", "devtest"):
        for code, word in (("swh_Latn", "neno"), ("eng_Latn", "word"), ("zho_Hans", "词"), ("zho_Hant", "詞")):
            written(tmp_path / "flores200" / part / f"{code}.{part}", [f"{word} {part} {number}" for number in range(3)])
    for code, word in (("swh_Latn", "neno"), ("eng_Latn", "word")):
        items = [{"id": number, "text": f"{word}, {number}", "topic": "t"} for number in range(2)]
        written(tmp_path / "plus" / "dev" / f"{code}.jsonl", list(map(json.dumps, items)))
    return tmp_path


def test_a_folder_of_flores(flores):
    raw = lexicon.read(flores / "flores200" / "dev", "swh-eng", FLORES)
    assert sides(raw) == [(f"neno dev {number}", f"word dev {number}") for number in range(3)]
    assert Path(raw["file"][0]).name == "swh_Latn.dev"
    assert sides(lexicon.read(flores / "plus", "sw-en.flores", FLORES)) == [("neno, 0", "word, 0"), ("neno, 1", "word, 1")]
    above = LexiconSpec(format="flores", options={"split": "devtest"})
    assert sides(lexicon.read(flores / "flores200", "eng-swh", above))[0] == ("word devtest 0", "neno devtest 0")
    chosen = LexiconSpec(format="flores", options={"split": "dev", "target": "zho_Hant"})
    assert sides(lexicon.read(flores / "flores200", "swh-zho", chosen))[2] == ("neno dev 2", "詞 dev 2")


@pytest.mark.parametrize(
    ("folder", "pair", "options", "said"),
    [
        ("flores200", "swh-eng", {}, r"flores200: holds dev, devtest; name one in options: \{split: dev\}"),
        ("flores200/dev", "swh-eng", {"split": "devtest"}, "has no folder devtest"),
        ("flores200/dev", "lug-eng", {}, r"has no file lug_\.\.\.; it has eng_Latn\.dev, .*options"),
        ("flores200/dev", "swh-zho", {}, r"has several files in zho: zho_Hans\.dev, zho_Hant\.dev; name one"),
        ("flores200/dev/swh_Latn.dev", "swh-eng", {}, "is no folder"),
        ("plus", "swh-eng", {"key": "sentence"}, r"swh_Latn\.jsonl, line 1: has no text under the key 'sentence'"),
    ],
)
def test_what_is_not_clear_in_a_folder_is_asked(flores, folder, pair, options, said):
    with pytest.raises(LexiconError, match=said):
        lexicon.read(flores / folder, pair, LexiconSpec(format="flores", options=options))


def test_the_formats_are_guessed_and_audited(flores):
    lines = lexicon.audit_file(flores / "flores200" / "dev", pair="swh-eng")
    assert any("format flores, 3 entries read" in line for line in lines)


# --- sentences stay sentences ------------------------------------------------------------------------------------------


def kept(rows: list[tuple[str, str]], **spec) -> tuple[pd.DataFrame, pd.DataFrame]:
    raw = pd.DataFrame(rows, columns=["source", "target"]).assign(
        file="f", line=range(1, len(rows) + 1), split="", category="", provenance=""
    )
    raw.attrs = {"source_language": "swh", "target_language": "eng"}
    return cleaned(raw, LexiconSpec(**spec))


def test_sentences_are_not_taken_apart():
    rows = [(f"{line} {number}", f"{number} {line}") for number, line in enumerate(HARD)]
    pairs, changes = kept(rows, units="sentences")
    assert sides(pairs) == rows and changes.empty
    words, _ = kept(rows, units="words")
    assert sides(words) != rows
    assert sides(kept([(line, line) for line in HARD], format="moses")[0]) == [(line, line) for line in HARD]  # by its format


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="|"), min_size=1), min_size=1, max_size=8
    )
)
def test_every_sentence_stays_as_it_is_but_for_its_normal_form(words):
    sentence = " ".join(words)
    pairs, changes = kept([(sentence, "x" + sentence)], units="sentences")
    assert pairs["target"].tolist() == [unicodedata.normalize("NFC", "x" + sentence)]
    assert not changes["action"].isin(["dropped", "merged"]).any()


def test_repeated_sentences_are_one_row_with_alternatives(tmp_path):
    rows = [("Asante.", "Thanks."), ("Ndiyo.", "Yes."), ("Asante.", "Thank you, sir."), ("Asante.", "Thanks."), ("Sawa.", "a | b")]
    files = [written(tmp_path / name, list(side)) for name, side in zip(("a", "b"), zip(*rows))]
    pairs, changes = cleaned(lexicon.read(files, "swh-eng", MOSES), MOSES)
    assert list(pairs[["source", "target", "alternatives"]].itertuples(index=False, name=None)) == [
        ("Asante.", "Thanks.", "Thank you, sir."),
        ("Ndiyo.", "Yes.", ""),
        ("Sawa.", "a \u00a6 b", ""),  # a bar parts alternatives
    ]
    assert changes["action"].value_counts().to_dict() == {"merged": 2, "changed": 1}


def test_units_are_a_key_of_the_config_and_old_lists_keep_their_digest():
    pairs = {"swh-eng": {"lexicon": "a.tsv"}, "lin-eng": {"lexicon": "b.tsv", "units": "sentences"}}
    config = parse({"models": {"m": {"source": "x"}}, "pairs": pairs})
    assert [lexicon_spec(config, pair).units for pair in pairs] == ["", "sentences"]
    assert "units" not in plain(lexicon_spec(config, "swh-eng")) and plain(lexicon_spec(config, "lin-eng"))["units"] == "sentences"


# --- retrieval ---------------------------------------------------------------------------------------------------------


def figures(pairs: pd.DataFrame, vectors: np.ndarray) -> pd.Series:
    column = Column(pairs, np.ones(len(pairs), bool), frozenset())
    return column.figures(vectors, 10)[1].iloc[0]


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_translation_evaluator(source: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """sentence-transformers' TranslationEvaluator: the argmax of util.cos_sim over the other side is the row's own."""
    cosines, own = unit(source) @ unit(target).T, np.arange(len(source))
    return float((cosines.argmax(axis=1) == own).mean()), float((cosines.argmax(axis=0) == own).mean())


def xsim(source: np.ndarray, target: np.ndarray, candidates: int | None = None, k: int = 4) -> float:
    """LASER's xSIM, margin "ratio": of the k nearest (`candidates`: of so many) the one with the highest ratio margin is the row's own."""
    cosines = unit(source) @ unit(target).T
    wrong = 0
    near_source = [np.mean(sorted(row)[-k:]) for row in cosines]
    near_target = [np.mean(sorted(column)[-k:]) for column in cosines.T]
    for i, row in enumerate(cosines):
        nearest = np.argsort(-row, kind="stable")[: candidates or k]
        scores = [row[j] / ((near_source[i] + near_target[j]) / 2) for j in nearest]
        wrong += int(nearest[int(np.argmax(scores))] != i)
    return wrong / len(cosines)


def parallel(count: int) -> pd.DataFrame:
    rows = [(f"sentensi ya {number}, yote", f"all of sentence {number}") for number in range(count)]
    return pd.DataFrame(rows, columns=["source", "target"]).assign(alternatives="", pair_id=[f"p{number}" for number in range(count)])


@pytest.mark.parametrize(("noise", "least", "most"), [(0.5, 0.9, 1.0), (1.0, 0.2, 0.8), (2.0, 0.01, 0.2)])
def test_retrieval_is_sentence_transformers_and_lasers_on_the_same_vectors(noise, least, most):
    random = np.random.default_rng(int(10 * noise))
    meaning, hubs = random.normal(size=(400, 24)), random.normal(size=24)
    source, target = (meaning + noise * random.normal(size=meaning.shape) + hubs for _ in range(2))
    found = figures(parallel(400), np.concatenate([source, target]).astype(np.float32))
    assert (found["p_at_1"], found["p_at_1_reverse"]) == pytest.approx(by_translation_evaluator(source, target), abs=1e-12)
    assert found["margin_error"] == pytest.approx(xsim(source, target, candidates=400), abs=1e-12)
    assert abs(found["margin_error"] - xsim(source, target)) <= 0.02  # LASER looks among the k nearest alone
    assert least <= found["p_at_1"] <= most and found["n"] == 400


@pytest.mark.skipif("TLI_TEST_DATA" not in os.environ, reason="the real sentences are not part of the project")
def test_real_sentences_through_the_demo_model():
    pairs = lexicon.prepare([DATA / "lafand" / "swa-eng.dev.tsv"], "swa-eng", LexiconSpec(format="gatitos", units="sentences")).pairs
    assert 1770 <= len(pairs) <= 1791  # rows of one source are one
    pairs = pairs.drop_duplicates("target").head(150).reset_index(drop=True)
    opened = open_model(ModelSpec(source=str(ROOT / "resources" / "demo" / "model"), dtype="float32", device="cpu"))
    vectors = embed(opened, [*pairs["source"], *pairs["target"]], [2], ["no-bos"]).vectors[2, "no-bos"]
    found = figures(pairs, vectors)
    source, target = vectors[: len(pairs)], vectors[len(pairs) :]
    assert (found["p_at_1"], found["p_at_1_reverse"]) == pytest.approx(by_translation_evaluator(source, target), abs=1e-12)
    assert found["margin_error"] == pytest.approx(xsim(source, target, candidates=len(pairs)), abs=1e-12)
    assert found["p_at_1"] > 2 / len(pairs)


def test_how_sentences_are_spelt_is_not_compared():
    """One comparison takes the product of the lengths: 300 pairs of 150 letters are as 30,000 pairs of words."""
    long = parallel(400).assign(
        source=[f"{number} " + "neno " * 30 for number in range(400)], target=[f"{number} " + "word " * 30 for number in range(400)]
    )
    assert metrics.baselines.similarity_matrix(metrics.candidates(long), edit_similarity) is None
    assert metrics.baselines.similarity_matrix(metrics.candidates(parallel(20)), edit_similarity) is not None


# --- through the stages and the model -------------------------------------------------------------------------------------------------


def test_adapters_of_words_are_measured_on_sentences(models, tmp_path):
    """A list of sentences beside the list of words of the same languages, under a name after a dot; nobody trains on it."""
    learnt = pairs_table("aa")
    chosen = [np.random.default_rng(number).choice(len(learnt), 3, replace=False) for number in range(24)]
    files = [
        written(tmp_path / ending, [", ".join(learnt[side].iloc[some]) + "." for some in chosen])
        for side, ending in (("source", "text.aa"), ("target", "text.eng"))
    ]
    prepared = lexicon.prepare_union({"aa-eng.text": (list(map(str, files)), LexiconSpec(format="moses", train=False))})[
        "aa-eng.text"
    ].pairs
    world = SeveralLists(
        tmp_path / "w", models("llama"), {"aa-eng": learnt, "aa-eng.text": prepared[tables.PAIRS]}, ["aa-eng.text"]
    ).train()
    rows, found = world.across()
    on = found[found["on"] == "aa-eng.text"]
    assert set(on["n"]) == {len(prepared)} and len(prepared) == 24 and set(on["pool_sources"]) == {24}
    assert on["margin_error"].between(0, 1).all() and on[["p_at_1", "p_at_1_reverse"]].notna().all(axis=None)
    assert {"tli", "tli-placebo", "baseline"} <= set(on["arm"])
    assert rows.loc[rows["on"] == "aa-eng.text"].groupby("run")["pair_id"].nunique().eq(24).all()


def test_long_rows_are_packed_without_waste():
    """Lengths as of 3,566 sentences of news under the demo's tokenizer: 65 tokens, half of them between 40 and 85."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.gamma(4.0, 16.0, size=3500), 4, 240).astype(int)
    sentences = [(1, *random.integers(5, 8000, size=length).tolist()) for length in lengths]
    for tokens_per_pass, most in ((2048, 0.03), (8192, 0.06)):
        passes = packing.share(sentences, tokens_per_pass)
        filled = sum(len(set(np.concatenate(rows.places).tolist())) for rows in passes)
        laid = sum(rows.ids.size for rows in passes)
        assert filled <= sum(map(len, sentences)) and 1 - filled / laid < most
        assert max(rows.ids.size for rows in passes) <= tokens_per_pass


def test_a_sentence_that_the_model_does_not_take_is_told_and_not_cut(models):
    opened = open_model(models("gpt2"))  # 64 positions
    short, long = "neno " * 4, "neno refu sana " * 20
    embed(opened, [short], [1], ["no-bos"])
    with pytest.raises(
        EmbedError, match=r"1 of 2 forms have more tokens than the 64 that the model takes, \d+ the longest \('neno refu .*\.\.\.'\); take"
    ):
        embed(opened, [short, long], [1], ["no-bos"])
