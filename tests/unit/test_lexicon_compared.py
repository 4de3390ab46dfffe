"""Lists held against each other: the likeness of columns against a plain loop, planted faults found, right lists left in peace."""

from __future__ import annotations

import itertools
import os
import random
import time
import zlib
from collections import Counter
from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tli.io import tables
from tli.lexicon import Listed, audit_file, compare, key, read
from tli.lexicon.likeness import likeness
from tli.specs import LexiconSpec

SHIPPED = Path(__file__).parents[2] / "resources" / "lexicons"
PAIRS = ("swh-eng", "lin-eng", "lug-eng")
DATA = Path(os.environ.get("TLI_TEST_DATA", "")) / "data"
real = pytest.mark.skipif("TLI_TEST_DATA" not in os.environ, reason="the real lists are not part of the project")
GATITOS = LexiconSpec(format="gatitos", columns=("target", "source"))
TURNED = LexiconSpec(format="gatitos", columns=("source", "target"))


def lines_of(pair: str) -> list[str]:
    return (SHIPPED / f"{pair}.tsv").read_text(encoding="utf-8").splitlines()


def listed(pair: str, path: Path | None = None, spec: LexiconSpec | None = None) -> Listed:
    path = path or SHIPPED / f"{pair}.tsv"
    return Listed(pair, (str(path),), read(path, pair, spec))


def written(folder: Path, name: str, lines: list[str]) -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def found(*lists: Listed) -> list[tuple[str, str, str]]:
    return list(compare(lists)[["pair", "other_pair", "finding"]].itertuples(index=False, name=None))


def plainly(one: set[str], other: set[str]) -> float:
    """The definition in a loop."""

    def halves(forms: set[str]) -> list[dict[str, float]]:
        counts: list[Counter] = [Counter(), Counter()]
        for form in forms:
            for start in range(len(form)):
                counts[zlib.crc32(form.encode()) % 2][f" {form} "[start : start + 3]] += 1
        return [{trigram: number / sum(half.values()) for trigram, number in half.items()} for half in counts]

    def overlap(p: dict[str, float], q: dict[str, float]) -> float:
        return sum(sqrt(p[trigram] * q[trigram]) for trigram in p.keys() & q.keys())

    (a, b), (c, d) = halves(one), halves(other)
    return (overlap(a, d) + overlap(b, c)) / 2 / sqrt(overlap(a, b) * overlap(c, d))


def test_the_likeness_is_the_plain_loops():
    columns = [set(map(str.lower, side)) for pair in PAIRS for side in zip(*(line.split("\t")[:2] for line in lines_of(pair)[1:]))]
    measured = likeness(columns)
    for one, other in itertools.combinations_with_replacement(range(len(columns)), 2):
        assert measured[one, other] == pytest.approx(plainly(columns[one], columns[other]), abs=1e-12)
        assert measured[other, one] == measured[one, other]


@given(st.lists(st.text(alphabet="abcdeé ", min_size=1, max_size=6), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_a_column_is_as_like_another_as_its_copy_in_another_order_is(forms, shuffler):
    again = list(forms)
    shuffler.shuffle(again)
    measured = likeness([forms, again, [*again, *forms]])
    same = measured[~(measured != measured)]  # NaN where there is too little
    assert same == pytest.approx(1) and len(same) in (0, 9)


def test_the_shipped_lists_are_left_in_peace():
    assert compare([listed(pair) for pair in PAIRS]).empty
    assert list(compare([listed("swh-eng")]).columns) == tables.LISTS and compare([]).empty


def test_one_file_under_two_names(tmp_path):
    copy = written(tmp_path, "lug-eng.tsv", lines_of("lin-eng"))
    copy.write_bytes((SHIPPED / "lin-eng.tsv").read_bytes())
    rows = compare([listed("swh-eng"), listed("lin-eng"), listed("lug-eng", copy)])
    assert rows[["pair", "other_pair", "language", "other_language", "finding", "severity", "value"]].to_numpy().tolist() == [
        ["lin-eng", "lug-eng", "lin", "lug", "same file", "error", 1.0]
    ]
    text = rows["text"][0]
    assert "byte for byte" in text and str(copy) in text and str(SHIPPED / "lin-eng.tsv") in text and "own file" in text


def test_five_lines_gone_and_all_in_another_order(tmp_path):
    head, *lines = lines_of("lin-eng")
    random.Random(1).shuffle(lines)
    near = written(tmp_path, "near.tsv", [head, *lines[5:]])
    rows = compare([listed("lin-eng"), listed("lug-eng", near), listed("swh-eng")])
    assert found(listed("lin-eng"), listed("lug-eng", near), listed("swh-eng")) == [("lin-eng", "lug-eng", "same pairs")]
    assert rows["value"][0] == 1.0  # of the shorter one's
    changed = written(tmp_path, "changed.tsv", [head, *lines[5:], *(f"neno{i}\tword{i}\t\tnoun\tfood\t\tneutral\tnone" for i in range(5))])
    rows = compare([listed("lin-eng"), listed("lug-eng", changed)])
    assert rows["value"][0] == pytest.approx(1 - 5 / len(lines), abs=0.001) and "98.8 %" in rows["text"][0]


def test_more_than_sixty_in_a_hundred_pairs(tmp_path):
    head, *lines = lines_of("lin-eng")
    other = lines_of("lug-eng")[1:]
    for share, expected in ((0.65, [("lin-eng", "lug-eng", "same pairs")]), (0.3, [])):
        many = round(share * 420)
        mixed = written(
            tmp_path, "mixed.tsv", [head, *{line.split("\t")[0]: line for line in [*other[: 420 - many], *lines[:many]]}.values()]
        )
        assert [row for row in found(listed("lin-eng"), listed("lug-eng", mixed)) if "same" in row[2]] == expected


def test_one_sides_words_under_two_names(tmp_path):
    head, *lines = lines_of("swh-eng")
    target = written(
        tmp_path, "fra.tsv", ["source\ttarget", *(f"{line.split(chr(9))[0]}\tx{number}q" for number, line in enumerate(lines))]
    )
    rows = compare([listed("swh-eng"), listed("lug-fra", target)])
    assert rows[["language", "other_language", "finding", "value"]].to_numpy().tolist() == [["lug", "swh", "same words", 1.0]]
    assert found(listed("swh-eng"), listed("swh-fra", target)) == []  # one language's words, as both names say


@pytest.mark.parametrize("turned", PAIRS)
@pytest.mark.parametrize("among", [3, 2])
def test_swapped_columns(turned, among, tmp_path):
    lines = [line.split("\t") for line in lines_of(turned)]
    path = written(tmp_path, "turned.tsv", ["source\ttarget", *(f"{target}\t{source}" for source, target, *_ in lines[1:])])
    others = [pair for pair in PAIRS if pair != turned][: among - 1]
    rows = compare([listed(turned, path), *map(listed, others)])
    assert rows[["pair", "finding", "severity"]].to_numpy().tolist() == [[turned, "columns swapped", "error"]]
    assert rows["other_pair"][0] in others and "reads as English" in rows["text"][0] and "`columns`" in rows["text"][0]


def enciphered(text: str, by: int) -> str:
    """A language that nobody speaks: each letter moved on in the alphabet."""
    return "".join(chr((ord(letter) - 97 + by) % 26 + 97) if "a" <= letter <= "z" else letter for letter in text.lower())


def test_a_language_under_anothers_name(tmp_path):
    """A third of the Swahili list each, twice right and once called Luganda; no form of one is in the others."""
    lines = [line.split("\t") for line in lines_of("swh-eng")[1:]]

    def third(number: int) -> Path:
        rows = [f"{source}\t{enciphered(target, 7 * number)}" for source, target, *_ in lines[number::3]]
        return written(tmp_path, f"part-{number}.tsv", ["source\ttarget", *rows])

    right, again, wrong = listed("swh-eng", third(0)), listed("swa-fra", third(1)), listed("lug-deu", third(2))
    assert found(right, again) == []
    assert found(right, wrong) == [("swh-eng", "lug-deu", "one language twice")]  # nothing tells which name is wrong
    assert found(right, again, wrong, listed("lin-eng"))[0][::2] == ("lug-deu", "another language")  # two against one
    told = compare([listed("lug-eng"), right, wrong, listed("lin-eng")])  # Luganda speaks against it
    assert told[["pair", "other_pair", "finding", "severity"]].to_numpy().tolist() == [
        ["lug-deu", "swh-eng", "another language", "warning"]
    ]
    assert told["text"][0].startswith(f"lug-deu ({wrong.files[0]}): its lug column reads as swh (likeness ")
    assert "to the other lug lists" in told["text"][0]


def test_both_directions_of_one_list_are_no_fault(tmp_path):
    lines = [line.split("\t") for line in lines_of("lin-eng")]
    path = written(tmp_path, "eng-lin.tsv", ["source\ttarget", *(f"{target}\t{source}" for source, target, *_ in lines[1:])])
    assert found(listed("lin-eng"), listed("eng-lin", path)) == []
    assert found(listed("lin-eng"), listed("eng-lug", path)) == [("lin-eng", "eng-lug", "same pairs")]


def test_a_short_list_is_not_judged_by_its_letters(tmp_path):
    head, *lines = lines_of("swh-eng")
    short = written(tmp_path, "short.tsv", [head, *lines[:100]])
    long = written(tmp_path, "long.tsv", [head, *lines[100:]])
    assert found(listed("lug-eng", short), listed("swh-eng", long)) == []


def test_the_audit_of_a_file_looks_at_the_lists_beside_it(tmp_path):
    head, *lines = lines_of("lin-eng")
    written(tmp_path, "swh-eng.tsv", lines_of("swh-eng"))
    mine = written(tmp_path, "lin-eng.tsv", [head, *lines])
    near = written(tmp_path, "lug-eng.tsv", [head, *lines[5:]])
    (tmp_path / "notes.tsv").write_text("no list at all\n")
    told = [line for line in audit_file(mine) if "under two names" in line]
    assert len(told) == 1 and told[0].startswith("error: ") and str(near) in told[0] and "share 100 % of their pairs" in told[0]
    assert not any("under two names" in line for line in audit_file(tmp_path / "swh-eng.tsv"))
    assert not any("under two names" in line for line in audit_file(mine, compare_with=[tmp_path / "swh-eng.tsv"]))


@pytest.fixture(scope="module")
def gatitos() -> dict[str, Path]:
    return {path.stem[3:]: path for path in sorted((DATA / "gatitos").glob("*.tsv"))}


@real
def test_no_false_alarm_among_twenty_two_languages_in_seconds(gatitos):
    lists = [listed(f"{code}-eng", path, GATITOS) for code, path in gatitos.items()]
    start = time.perf_counter()
    assert compare(lists).empty
    assert len(lists) == 22 and time.perf_counter() - start < 30  # .5 s of processor time
    sentences = [
        Listed(pair, (str(path),), read(path, pair, LexiconSpec(format="gatitos")))
        for pair, path in (("swa-eng", DATA / "lafand" / "swa-eng.dev.tsv"), ("lug-eng", DATA / "lafand" / "lug-eng.dev.tsv"))
    ]
    dictionary = listed("swh-eng", DATA / "freedict" / "swh-eng.tei", LexiconSpec(format="freedict-tei"))
    assert compare([*lists, *sentences, dictionary, listed("lug-eng")]).empty  # sentences beside words of the same languages


@real
def test_planted_faults_among_twenty_two_languages(gatitos, tmp_path):
    lists = {code: listed(f"{code}-eng", path, GATITOS) for code, path in gatitos.items()}
    for code in ("ti", "fr", "nr", "wo"):  # another script, the nearest to English, with a near neighbour, any
        others = [one for name, one in lists.items() if name != code]
        assert found(*others, listed(f"{code}-eng", gatitos[code], TURNED))[0][::2] == (f"{code}-eng", "columns swapped")
        assert found(lists["ln"], listed(f"{code}-eng", gatitos[code], TURNED)) == [(f"{code}-eng", "ln-eng", "columns swapped")]
    lines = gatitos["om"].read_text(encoding="utf-8").splitlines()
    random.Random(2).shuffle(lines)
    copy = listed("so-eng", written(tmp_path, "en_so.tsv", lines[5:]), GATITOS)
    assert found(*lists.values(), copy) == [("om-eng", "so-eng", "same pairs")]
    mine = listed("lug-eng")
    assert found(*lists.values(), mine) == []
    renamed = Listed("swh-eng", mine.files, mine.rows)  # Luganda called Swahili, beside both
    swahili = listed("swa-eng", DATA / "freedict" / "swh-eng.tei", LexiconSpec(format="freedict-tei"))
    assert found(*lists.values(), renamed, swahili) == [("swh-eng", "lg-eng", "another language")]
    french = Listed("lua-fra", mine.files, mine.rows)  # its English called French, beside 22 English columns
    told = compare([*lists.values(), french])
    assert told[["language", "finding"]].to_numpy().tolist() == [["lua", "same words"], ["fra", "another language"]]


def test_keys_hold_no_line_end():
    assert "\n" not in key("a\nb")  # which parts the forms of a column
