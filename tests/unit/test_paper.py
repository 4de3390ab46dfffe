"""What `tli methods --output` writes is LaTeX that compiles, whatever models, arms and words are called."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latex_text import assert_balanced

from tli.__main__ import main
from tli.publishing.bibliography import WORKS
from tli.publishing.document import document
from tli.publishing.drawn import Written
from tli.publishing.latex import MOST_ROWS, booktabs, cited, escaped, figure, foreign, typeset
from tli.publishing.methods import write_document

RESULTS = Path(__file__).parents[2] / "results"
finished = pytest.mark.skipif(not (RESULTS / "statistics" / "verdicts.tsv").exists(), reason="the demo was not run here; `make run` does")
with_tex = pytest.mark.skipif(
    not (shutil.which("pdflatex") and shutil.which("bibtex")), reason="no pdflatex and bibtex here: what is written is not compiled"
)
ODD = [
    "a_b",
    "50 %",
    "#1",
    "R&D",
    r"C:\models\new",
    "{x}",
    "$5",
    "~me",
    "x^2",
    "`q`",
    "--run",
    "<s>",
    "[x]",
    "*",
    "\t\x00",
    "ẹ́ wé",
    "ŋ",
    "नमस्ते",
    "ɓ",
]


@given(st.lists(st.text(max_size=20), min_size=2, max_size=4))
def test_a_table_balances_whatever_its_cells_hold(cells):
    text = booktabs(cells, [cells, ["[x]", *cells[1:]]], " ".join(cells), "tab:x")
    assert_balanced(text)
    assert text.count("\\\\\n") == 3 and not re.search(r"\\\\\s*[\[*]", text)
    assert_balanced(cited(" ".join(cells), ["lora"]) + figure("figures/x.pdf", " ".join(cells), "fig:x", True))


@pytest.mark.parametrize("name", ODD)
def test_odd_names_balance_in_text_tables_and_captions(name):
    assert_balanced(cited(f"We trained {name} [lora], alpha {name}.", ["lora"]))
    assert_balanced(booktabs([name, "x"], [[name, name]] * 3, name, "tab:odd"))
    assert_balanced(document({"methods": escaped(name)}))


def test_letters_keep_their_accents_and_those_that_are_not_there_are_declared():
    assert escaped("ẹ́") == r"\'{\d{e}}" and escaped("é ŋ ž") == "é ŋ ž" and escaped("m̀") == r"\`{m}"
    assert foreign(escaped("ẹ́ é") + "ɓ") == ["ɓ"]
    assert r"\DeclareUnicodeCharacter{0253}" in document({"methods": "ɓ"}) and "Declare" not in document({"methods": "é"})


def test_signs_are_minuses_and_hyphens_stay():
    assert typeset("-0.3 [-0.4, -0.2], k - 1") == "$-$0.3 [$-$0.4, $-$0.2], k $-$ 1"
    assert typeset("swh-eng at 2e-07, 8f5e-16x, leading-space") == r"swh-eng at $2\times10^{-7}$, 8f5e-16x, leading-space"


def test_a_table_of_many_rows_is_cut_and_none_is_lost():
    rows = [[f"row{number}", "x"] for number in range(2 * MOST_ROWS + 1)]
    text = booktabs(["a", "b"], rows, "All.", "tab:many")
    assert_balanced(text)
    assert re.findall(r"^row(\d+) ", text, re.MULTILINE) == [str(number) for number in range(len(rows))]
    assert text.count(r"\begin{table*}") == 3 and text.count(r"\ref{tab:many}") == 2 and text.count(r"\caption{All.}") == 1


@with_tex
def test_odd_names_wide_tables_and_all_citations_compile(tmp_path):
    import matplotlib.pyplot as plt

    folder = tmp_path / "paper"
    (folder / "figures").mkdir(parents=True)
    drawn = plt.figure(figsize=(3.3, 1))
    drawn.savefig(folder / "figures" / "curve--llama-3.1--swh_eng.pdf")
    plt.close(drawn)
    paragraphs = [f"Named {name}." for name in ODD] + [" ".join(f"{key} [{key}]" for key in WORKS)]
    wide = pd.DataFrame([["m", *[f"{name} and a long cell beside it" for name in ODD[:9]]]] * (MOST_ROWS + 3))
    wide.columns = ["model", *map(str, wide.columns[1:])]
    short = pd.DataFrame([[name, "+0.5 [-0.1, +1.1]", "2e-07"] for name in ODD], columns=["[arm]", "change_x", "p"])
    write_document(
        folder,
        paragraphs,
        [("wide", wide, "50 % of it."), ("short", short, "A_b & c.")],
        {"curve--llama-3.1--swh_eng": Written("column", "x_1; 5 %.")},
    )
    log = compiled(folder)
    assert "(2 pages" in log or "(3 pages" in log or "(4 pages" in log


@finished
@with_tex
def test_the_demo_s_paper_compiles(tmp_path):
    assert main(["methods", str(RESULTS), "--output", str(tmp_path / "paper")]) == 0
    compiled(tmp_path / "paper")


def compiled(folder: Path) -> str:
    """The log of the last of three passes, which must have neither error nor overfull box nor open reference."""
    for number in range(3):
        ran = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-3000:]
        if number == 0:
            listed = subprocess.run(["bibtex", "paper"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
            assert listed.returncode == 0 and "Warning" not in listed.stdout, listed.stdout
    log = (folder / "paper.log").read_text(errors="replace")
    faults = [line for line in log.split("\n") if re.search(r"^!|Overfull|undefined|multiply defined|Missing character|Rerun", line)]
    assert not faults, faults
    return log
