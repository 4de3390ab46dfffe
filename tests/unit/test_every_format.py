"""What holds for every format of word lists, for one that is added tomorrow too: a new entry of FORMATS is tried here by itself."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tli import lexicon
from tli.config.keys.lists import Pair
from tli.errors import LexiconError
from tli.lexicon.formats import FORMATS
from tli.specs import LexiconSpec

ROOT = Path(__file__).parents[2]
FROM_FILES = sorted(set(FORMATS) - {"cldr"})  # which reads no file
HOSTILE = {
    "empty": b"",
    "binary": bytes(range(256)) * 8,
    "another encoding": "nyumba\thouse\nñandú\trhea\n".encode("utf-16"),
    "cut off": b'<TEI><text><body><entry><form><orth>nyumba\n[{"source": "nyum',
    "lines of many cells": b"a\tb\tc\td\te\n" * 3,
}


def test_the_config_knows_the_formats_that_are_read():
    named = set(get_args(Pair.model_fields["format"].annotation))
    assert named == set(FORMATS), "`format` in config/keys/lists.py names the formats of lexicon/formats.py"


@pytest.mark.parametrize("format", FORMATS)
def test_it_is_shown_to_users_and_named_by_a_test(format):
    shown = (ROOT / "resources" / "README.md").read_text(encoding="utf-8")
    assert f"| `{format}` |" in shown, f"resources/README.md shows a line and an entry of each format, none of {format}"
    tests = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_lexicon_*.py")]
    assert any(f'"{format}"' in text for text in tests), f"no test_lexicon_*.py names {format}: add one with a file and its right pairs"


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("format", FROM_FILES)
def test_a_file_that_is_none_of_its_is_an_error_or_on_the_record(format, what, tmp_path):
    """No traceback: each row is usable, or has a problem, or the error names the file."""
    files = [str(tmp_path / f"list-{number}") for number in range(FORMATS[format].files)]
    for file in files:
        Path(file).write_bytes(HOSTILE[what])
    try:
        rows = lexicon.read(files, "swh-eng", LexiconSpec(format=format))
    except LexiconError as error:
        assert "list-" in str(error), "the error names the file"
        return
    assert len(rows) and {"source", "target", "line", "problem"} <= set(rows)
    assert ((rows["source"].str.strip() != "") & (rows["target"].str.strip() != "") | (rows["problem"] != "")).all()
