"""Real lists: FreeDict and GATITOS, found through TLI_TEST_DATA."""

import os
from pathlib import Path

import pytest

from tli.lexicon import audit, clean, leaks, read, split
from tli.specs import LexiconSpec, SplitSpec

DATA = Path(os.environ.get("TLI_TEST_DATA", "")) / "data"
pytestmark = pytest.mark.skipif(
    "TLI_TEST_DATA" not in os.environ, reason="the real lists are not part of the project; TLI_TEST_DATA names their folder"
)
GATITOS = {"lug": "lg", "lin": "ln", "wol": "wo", "orm": "om", "tir": "ti"}


def accounted(raw, pairs, changes):
    """Every entry is the base of a pair, or dropped, or merged."""
    ended = changes[changes["action"] != "changed"]
    known = set(zip(pairs["file"], pairs["line"])) | set(zip(ended["file"], ended["line"]))
    return set(zip(raw["file"], raw["line"])) == known


def test_freedict_both_directions_as_one_list():
    files = [str(DATA / "freedict" / name) for name in ("swh-eng.tei", "eng-swh.tei")]
    raw = read(files, "swh-eng", LexiconSpec(format="freedict-tei"))
    pairs, changes = clean(raw)
    accepted = {(row.source, one) for row in pairs.itertuples() for one in [row.target, *filter(None, row.alternatives.split("|"))]}
    assert len(pairs) >= 2000 and len(accepted) >= 2900
    assert ("afya", "health") in accepted and ("kamba", "rope") in accepted
    # Counted in the files themselves: <entry type="pl"> stands 522 times.
    assert (changes["reason"] == "a plural generated from another entry").sum() == 522
    assert accounted(raw, pairs, changes)
    for by in ("forms", "content-words"):
        kept, aside = split(pairs, SplitSpec(by=by))
        assert leaks(kept, by).empty and len(kept) + len(aside) == len(pairs)
        assert len(aside) < 0.05 * len(pairs)
    kept, _ = split(pairs, SplitSpec(sizes={"train": 623, "heldout": 63, "select": 74}))
    assert kept["split"].value_counts().to_dict() == {"train": 623, "heldout": 63, "select": 74} and leaks(kept).empty


@pytest.mark.parametrize("language", GATITOS)
def test_gatitos(language):
    path = DATA / "gatitos" / f"en_{GATITOS[language]}.tsv"
    raw = read(path, f"{language}-eng", LexiconSpec(format="gatitos", columns=("target", "source")))
    assert len(raw) == path.read_bytes().count(b"\n")
    pairs, changes = clean(raw)
    dropped = changes[changes["action"] == "dropped"]
    assert len(raw) - dropped["line"].nunique() >= 3800
    assert len(pairs) >= 2100
    assert accounted(raw, pairs, changes)
    kept, aside = split(pairs)
    assert leaks(kept).empty and len(kept) + len(aside) == len(pairs)
    assert audit(kept)["figures"]["leaks"] == 0
