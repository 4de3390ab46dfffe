"""Every family of the table goes through the model room as docs/families.md says; nothing else may happen to it than that.

The page is written by `python tests/unit/families.py --write`.
"""

from __future__ import annotations

import re

import families
import pytest


def page_rows() -> dict[str, dict[str, str]]:
    """The committed page: family -> column -> "yes" or the sentence of the refusal."""
    text = families.PAGE.read_text(encoding="utf-8")
    notes = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in families.FAMILIES and len(cells) == 1 + len(families.COLUMNS):
            rows[cells[0]] = {
                column: cell if cell == "yes" else notes[re.fullmatch(r"no \[(\d+)\]", cell)[1]]
                for column, cell in zip(families.COLUMNS, cells[1:], strict=True)
            }
    return rows


PAGE = page_rows()


def test_the_page_has_every_family_and_is_as_it_is_written():
    assert list(PAGE) == list(families.FAMILIES)
    assert families.page(PAGE) == families.PAGE.read_text(encoding="utf-8")


def test_what_matters_most_is_served():
    """Decoders in use, those that matter for Swahili among them (Gemma 3, XGLM), and the encoders."""
    everything = dict.fromkeys(families.COLUMNS, "yes")
    for family in ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "gemma3_text", "xglm", "bloom", "xlm-roberta", "gpt2"):
        assert PAGE[family] == everything, family


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.slow if name in families.SLOW else ()) for name in families.FAMILIES]
)
def test_a_family_is_served_as_the_page_says(family, tmp_path):
    assert families.walk(family, tmp_path) == PAGE[family]
