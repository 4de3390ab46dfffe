"""What a tokenizer makes of a list: fertility, cuts, what it does not know; and that a list which it does not know is refused."""

from __future__ import annotations

from functools import cache

import pandas as pd
import pytest
import tokenizers_of_many_kinds as kinds
from tiny import VOCABULARY, WORDS, pairs_table, save_model
from trial import Trial

from tli.errors import EmbedError
from tli.io import table_files, tables
from tli.model.pooling import tokenize
from tli.model.token_facts import assert_known, token_facts, token_lines, tokens_table
from tli.specs import ModelSpec
from tli.stages import cell, scan

ETHIOPIC = ["\u1230\u120b\u121d", "\u121d\u1241\u122b\u133d", "\u12a3\u124b\u1228\u1340", "\u1270\u12a3\u12d8\u12d8"]
IN_BYTES = ("bytes", "bytes-prefix", "llama", "gemma")
NOT_KNOWING = ("unigram", "unigram-bare", "gemma-lossy", "wordpiece", "letters")


@cache
def made(kind: str):
    return kinds.make(kind)


@pytest.mark.parametrize("kind", kinds.KINDS)
@pytest.mark.parametrize("form", ["alone", "leading-space"])
def test_the_counts_are_those_of_a_plain_loop(kind, form):
    tokenizer = made(kind)
    own = {word: tokens.ids[tokens.first : tokens.last] for word in WORDS for tokens in tokenize(tokenizer, [word], form)}
    facts = token_facts(tokenizer, WORDS + WORDS[:5], form)
    assert (facts.forms, facts.words) == (len(WORDS), len(" ".join(WORDS).split()))
    assert facts.tokens == sum(len(ids) for ids in own.values())
    assert facts.fertility == facts.tokens / facts.words
    assert facts.one_token == sum(len(ids) == 1 for ids in own.values())
    assert facts.unknown == () and facts.cut_characters == 0
    assert facts.alike == sum(list(own.values()).count(ids) > 1 for ids in own.values())


def test_forms_that_are_cut_otherwise_are_counted_by_where_the_cuts_lie():
    """By the tokenizer's own offsets: in " maji" all lie one further on, the space belongs to the first token or to one of its own."""
    tokenizer = made("bytes")

    def ends(text: str, before: int) -> list[int]:
        spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return [end - before for _, end in spans if end > before]

    otherwise = sum(ends(word, 0) != ends(" " + word, 1) for word in WORDS)
    assert 0 < otherwise < len(WORDS)
    assert {token_facts(tokenizer, WORDS, form).cut_otherwise for form in ("alone", "leading-space")} == {otherwise}
    for kind in kinds.PUTS_SPACE + kinds.HAS_NO_SPACE + ("letters",):
        assert token_facts(made(kind), WORDS, "alone").cut_otherwise == 0


@pytest.mark.parametrize("kind", IN_BYTES)
def test_a_character_that_is_cut_between_tokens_is_counted_and_known(kind):
    """Two tokens then have the same place in the text."""
    tokenizer, forms = made(kind), [*ETHIOPIC, "ma\u00f1ana", "maji"]
    spans = tokenizer(forms, add_special_tokens=False, return_offsets_mapping=True)
    own = [tokens.last - tokens.first for tokens in tokenize(tokenizer, forms)]
    doubled = sum(
        len(set(places[-count:])) < count - (kind in kinds.PUTS_SPACE and form in ETHIOPIC)  # there the space has the first one's place
        for form, places, count in zip(forms, spans["offset_mapping"], own, strict=True)
    )
    facts = token_facts(tokenizer, forms, "alone")
    assert facts.cut_characters == doubled == 5 and facts.unknown == ()


@pytest.mark.parametrize("kind", NOT_KNOWING)
def test_what_a_tokenizer_does_not_know_is_counted_whatever_becomes_of_it(kind):
    """A token that stands for it, letters dropped, no token at all; among forms that are known, and in part of a form."""
    forms = [*ETHIOPIC, "maji", "ma\u6c34ji", "mkate"]
    facts = token_facts(made(kind), forms, "alone")
    assert facts.unknown == (*ETHIOPIC, "ma\u6c34ji") and facts.cut_characters == 0


def test_an_unknown_token_that_only_the_tokenizers_model_names_is_known_for_one():
    from transformers import PreTrainedTokenizerFast

    for kind in ("unigram", "wordpiece", "letters"):
        silent = PreTrainedTokenizerFast(tokenizer_object=made(kind).backend_tokenizer, bos_token="<s>", eos_token="</s>")
        assert silent.unk_token_id is None
        assert token_facts(silent, ["maji", ETHIOPIC[0]], "alone").unknown == (ETHIOPIC[0],), kind


def test_accents_and_capitals_that_a_tokenizer_takes_off_are_no_unknown_letters():
    facts = token_facts(made("wordpiece"), ["maji", "M\u00e0j\u00ed", "MKATE", "mkate"], "alone")
    assert facts.unknown == () and facts.alike == 4


def listed(count: int, unknown: int) -> pd.DataFrame:
    """tokens_table of a tokenizer that knows letters a to z, of `count` forms a side, of which the sources hold so many unknown."""
    letters = "abcdefgijklmnou"
    known = [a + b + c for a in letters for b in letters for c in letters][:count]
    sources = [form + "\u6c34" * (i < unknown) for i, form in enumerate(known)]
    return tokens_table(made("letters"), pd.DataFrame({"source": sources, "target": known}), "aaa-bbb", "alone")


def test_one_in_a_hundred_is_warned_of_and_half_is_refused():
    severities = {n: [severity for severity, text in token_lines(listed(200, n)) if "does not know" in text] for n in (0, 1, 2, 3, 101)}
    assert severities == {0: [], 1: ["info"], 2: ["info"], 3: ["warning"], 101: ["warning"]}
    (text,) = [text for _, text in token_lines(listed(200, 5)) if "does not know" in text]
    assert text.startswith("aaa: the tokenizer does not know 5 of 200 forms (2.5%): aaa\u6c34, aab\u6c34, aac\u6c34, ...")
    assert_known(listed(200, 100), "m")
    with pytest.raises(EmbedError, match=r"aaa-bbb: the tokenizer of models\.m does not know 101 of 200 aaa forms \(50\.5%.*byte fallback"):
        assert_known(listed(200, 101), "m")


def test_a_list_in_an_unknown_script_is_refused_before_the_model_is_opened(tmp_path, monkeypatch):
    """By the scan, and by a training that waits for no scan."""
    save_model(tmp_path / "model", "llama")
    kinds.make("unigram", VOCABULARY).save_pretrained(tmp_path / "model")
    trial = Trial(tmp_path / "results", ModelSpec(str(tmp_path / "model"), dtype="float32", device="cpu"))
    trial.pretend_checked_and_scanned()
    pairs = pairs_table()
    trial.write_pairs(pairs.assign(source=[chr(0x1200 + i) * 3 for i in range(len(pairs))]))
    monkeypatch.setattr(scan, "open_model", lambda spec: pytest.fail("the model was opened"))
    monkeypatch.setattr(cell, "Trainer", lambda *rest: pytest.fail("the model was opened"))
    for stage in ("scan", "train"):
        with pytest.raises(EmbedError, match=r"swh-eng: .* does not know 24 of 24 swh forms"):
            trial.run("scan") if stage == "scan" else trial.train()


def test_a_list_with_few_unknown_words_is_scanned_and_told(tmp_path):
    save_model(tmp_path / "model", "llama")
    kinds.make("unigram", VOCABULARY).save_pretrained(tmp_path / "model")
    trial = Trial(tmp_path / "results", ModelSpec(str(tmp_path / "model"), dtype="float32", device="cpu"))
    trial.pretend_checked_and_scanned()
    pairs = pairs_table()
    trial.write_pairs(pairs.assign(target=[*ETHIOPIC[:2], *pairs["target"][2:]]))
    trial.run("scan")
    audit = table_files.read(trial.layout.scan("m", "swh-eng")["audit"])
    assert audit.loc[audit["text"].str.contains("does not know 2 of 24 forms"), "severity"].tolist() == ["warning"]
    written = table_files.read(trial.layout.scan("m", "swh-eng")["tokens"], tables.TOKENS).query("used").set_index("side")
    assert written["unknown"].to_dict() == {"source": 0, "target": 2}
    assert written.loc["target", "unknown_forms"] == "|".join(ETHIOPIC[:2])


def test_tigrinya_on_real_tokenizers(test_data):
    """One that drops the script has one token for almost every word; one with byte fallback knows it, in pieces of characters."""
    from transformers import AutoTokenizer

    rows = (test_data / "data" / "gatitos" / "en_ti.tsv").read_text(encoding="utf-8").splitlines()
    forms = [row.split("\t")[1] for row in rows]
    pairs = pd.DataFrame({"source": forms, "target": [row.split("\t")[0] for row in rows]})
    lossy, whole = (AutoTokenizer.from_pretrained(test_data / "models" / name) for name in ("stories656K", "stories260K"))
    with pytest.raises(EmbedError, match=r"tir-eng: .* tir forms \(99\.\d%"):
        assert_known(tokens_table(lossy, pairs, "tir-eng", "alone"), "m")
    facts = token_facts(whole, forms, "alone")
    assert facts.unknown == () and facts.cut_characters > 0.99 * facts.forms
    assert token_facts(lossy, forms, "alone").alike > 0.99 * facts.forms
