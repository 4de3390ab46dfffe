"""The methods section of a run: every number of it from the config, the provenance or the tables; LaTeX, BibTeX, PDF."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tli.__main__ import main
from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.remembered import remembered
from tli.io import store, table_files
from tli.io.provenance import read_records
from tli.publishing import sections
from tli.publishing.bibliography import WORKS, bibtex
from tli.publishing.choices import training_sentences
from tli.publishing.latex import SPECIAL, booktabs, cited, escaped
from tli.publishing.methods import as_latex, as_text, write_methods
from tli.publishing.sections import methods_text
from tli.report.drawings import Drawing
from tli.report.glossary import REFERENCES
from tli.report.methods import CITED_TASKS, CORRECTIONS
from tli.stages.report import report_input

RESULTS = Path(__file__).parents[2] / "results"
finished = pytest.mark.skipif(not (RESULTS / "statistics" / "verdicts.tsv").exists(), reason="the demo was not run here; `make run` does")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_categories=["Cc"]), max_size=40))
def test_every_character_that_latex_reads_otherwise_is_escaped(text):
    written = escaped(text)
    plain = {replacement: character for character, replacement in SPECIAL.items()} | {"{}": ""}
    back = re.sub("|".join(map(re.escape, sorted(plain, key=len, reverse=True))), lambda found: plain[found.group()], written)
    assert back == text
    for replacement in plain:
        written = written.replace(replacement, "")
    assert not set(written) & set("\\&%$#_{}~^<>`")


def test_keys_become_citations_and_other_brackets_stay():
    assert cited("LoRA [lora] [qlora] at hs[2], 5 %", ["lora", "qlora"]) == r"LoRA~\citep{lora,qlora} at hs[2], 5 \%"
    assert cited("[k] and [unknown]", ["lora"]) == "[k] and [unknown]"


def test_a_table_of_booktabs_has_a_line_for_each_row():
    table = booktabs(["a_b", "c"], [["1 %", "x"], ["2", "y & z"]], "50 %", "tab:x", "lr")
    assert table.count(r"\\") == 3 and r"a\_b & c \\" in table and r"2 & y \& z \\" in table
    assert table.index(r"\toprule") < table.index(r"\midrule") < table.index(r"\bottomrule")


def test_whatever_a_text_may_cite_has_an_entry_and_entries_are_whole():
    told = [*CORRECTIONS.values(), *CITED_TASKS.values(), *sections.LISTS.values(), *(f"[{key}]" for key in sections.CITED.values())]
    keys = set(re.findall(r"\[([a-z]+)\]", " ".join(told))) | {"tli", "lora", "qlora", "anisotropy", "csls", "sink", "clark", "lmeval"}
    assert keys <= set(WORKS)
    for key in WORKS:
        entry = bibtex([key])
        assert entry.startswith("@") and entry.count("{") == entry.count("}")
        kind, fields = WORKS[key]
        assert {"title", "author"} <= set(fields)
        assert kind != "article" or {"journal", "year", "volume"} <= set(fields)
    shared = {key: re.findall(r"arXiv:(\d+\.\d+)", text)[:1] for key, text in REFERENCES.items() if key in WORKS}
    assert {key: [WORKS[key][1]["eprint"]] for key, number in shared.items() if number} == {key: n for key, n in shared.items() if n}


def config(**more):
    return parse(
        {
            "models": {"m": {"source": "/data/somebody/llama", "quantization": "nf4"}},
            "pairs": {"swh-eng": {"lexicon": "a.tsv"}, "lin-eng": {"lexicon": "b.tsv", "format": "gatitos"}},
            "arms": {"tli": {"loss_layer": 2}},
        }
        | more
    )


def test_each_setting_that_changes_what_was_done_changes_what_is_said():
    plain = " ".join(sections._data(config()))
    assert "60 % train, 15 % select and 25 % held-out" in plain and "GATITOS [gatitos]" in plain and "folds" not in plain
    assert "into 3 folds" in " ".join(sections._data(config(split={"folds": 3})))
    assert "623 train, 74 select and 63 held-out" in " ".join(
        sections._data(config(split={"sizes": {"train": 623, "select": 74, "heldout": 63}}))
    )
    assert sections._maps(config(maps=[])) == [] and "Procrustes" in sections._maps(config(maps=["procrustes"]))[0]
    texts = {language: {"file": f"{language}.txt"} for language in ("swh", "eng", "lin")}
    arms = {"tli": {"loss_layer": 2, "anchor": {"metric": "drift", "weight": 3, "tokens_per_step": 40}}}
    anchored = " ".join(training_sentences(Experiment(config(arms=arms, text=texts))))
    assert "3 times a penalty (drift) on at least 40 tokens" in anchored
    framed = {"tli": {}, "framed": {"templates": True}, "placebo": {"like": ["framed"], "shuffle_translations": True}}
    pooling = {"templates": {language: ["{word}", f"{language} {{word}}"] for language in ("swh", "eng", "lin")}}
    told = training_sentences(Experiment(config(arms=framed, pooling=pooling)))
    assert [text for text in told if "in templates" in text] == [text for text in told if text.startswith("The arm framed had")] != []
    assert "templates" not in " ".join(training_sentences(Experiment(config())))
    assert "below 0.05 nats" in sections._harm(config(text=texts))[0] and "decide nothing" not in sections._harm(config(text=texts))[0]
    assert "too few to decide" in sections._harm(config())[0] and sections._harm(config(arms={})) == []
    asked = sections._asked(config(transfer={"translate": {"shots": [0, 5], "choices": 10}}))
    assert "0 and 5 shots" in asked[0] and "among 10" in asked[0]


@finished
def test_every_number_of_the_demo_s_methods_is_one_of_the_run_s():
    experiment = remembered(RESULTS)
    text = " ".join(methods_text(experiment, report_input(experiment, partial=True)))
    known = set(numbers(json.dumps(experiment.config.model_dump(mode="json"))))
    known |= {f"{100 * share:g}" for share in experiment.config.split.shares.values()}
    records = read_records(experiment.layout.provenance())
    commits = {str(one["commit"]) for one in records if one["stage"] != "report"}
    known |= set(numbers(" ".join(version for one in records for version in one["versions"].values())))
    runs = pd.concat([table_files.read(path) for path in sorted(RESULTS.glob("evaluate/*/*/*/runs.tsv"))])
    known |= {
        f"{value:g}"
        for name in ("loss_layer", "alpha", "dropout", "learning_rate", "epochs", "batch_size", "warmup_steps", "margin")
        for value in runs[name]
    }
    known |= set(runs["rank"])
    for path in RESULTS.glob("lexicon/*/pairs.tsv"):
        known |= {str(count) for count in table_files.read(path)["split"].value_counts()}
    known |= {*map(str, experiment.config.seed_list), "32", "1", "256"}  # float32, block k - 1, SHA-256
    identity = json.loads(next(RESULTS.glob("check/*.json")).read_text())["identity"]
    words = {store.digest_table(table_files.read(path))[:12] for path in RESULTS.glob("lexicon/*/pairs.tsv")}
    for word in {identity[:12], *words, *(commit[:12] for commit in commits)}:
        assert word in text
        text = text.replace(word, "")
    assert set(numbers(text)) <= known, set(numbers(text)) - known
    for name, count in (("train", "train"), ("select", "select"), ("heldout", "held-out")):
        for path in RESULTS.glob("lexicon/*/pairs.tsv"):
            assert f"{(table_files.read(path)['split'] == name).sum()} {count}" in text


@finished
def test_the_demo_s_folder_for_a_paper_is_whole_and_its_figures_have_their_widths(tmp_path, capsys):
    assert main(["methods", str(RESULTS), "--output", str(tmp_path / "paper")]) == 0
    made = tmp_path / "paper"
    main_table = table_files.read(made / "tables" / "main.tsv")
    verdicts = table_files.read(RESULTS / "statistics" / "verdicts.tsv")
    assert main_table["verdict"].tolist() == verdicts["verdict"].tolist()
    assert [float(text.split(" ")[0]) for text in main_table["change"]] == pytest.approx(verdicts["change"].tolist(), abs=5e-4)
    cited_keys = set(",".join(re.findall(r"\\citep\{([^}]*)\}", (made / "methods.tex").read_text())).split(","))
    assert cited_keys == set(re.findall(r"@\w+\{(\w+),", (made / "references.bib").read_text()))
    asked = re.findall(r"width=\\(\w+)\]\{figures/(.+)\.pdf\}", (made / "figures.tex").read_text())
    assert {name for _, name in asked} == {path.stem for path in (made / "figures").glob("*.pdf")}
    for width, name in asked:
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", (made / "figures" / f"{name}.pdf").read_bytes())
        assert float(box[1]) / 72 == pytest.approx({"columnwidth": 3.3, "textwidth": 7.0}[width], abs=0.01)
    assert main(["methods", str(RESULTS), "--output", str(made)]) == 2
    assert "is there already" in capsys.readouterr().err


@finished
def test_the_figures_of_words_are_drawn_from_the_words(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("tli.publishing.methods.write_figures", lambda report, folder: given.append(report) or {})
    write_methods(remembered(RESULTS), tmp_path / "paper")
    (report,) = given
    for model, pair in report.groups:
        drawing = Drawing(report, model, pair)
        assert len(drawing.words), f"{model}, {pair}: no word to draw"
        assert drawing.of("before-after").counts != "Not evaluated."


def test_references_of_the_plain_text_keep_their_letters():
    text = as_text(["[csls] [xcopa] [snakemake]"])
    assert "J\u00e9gou, Herv\u00e9" in text and "Glava\u0161, Goran" in text and "M\u00f6lder" in text and not set(text) & set("{}\\")


@finished
def test_text_and_latex_cite_the_same_works():
    experiment = remembered(RESULTS)
    paragraphs = methods_text(experiment, report_input(experiment, partial=True))
    text, latex = as_text(paragraphs), as_latex(paragraphs)
    numbered = re.findall(r"^\[(\d+)\] ", text, re.MULTILINE)
    keys = list(dict.fromkeys(",".join(re.findall(r"\\citep\{([^}]*)\}", latex)).split(",")))
    assert len(numbered) == len(keys)


def numbers(text: str) -> list[str]:
    return [f"{float(found):g}" if found.count(".") < 2 else found for found in re.findall(r"(?<![\w.])\d+(?:\.\d+)*(?:e-?\d+)?", text)]
