"""The audit: figures counted by hand, the words for the terminal, copies of lists, and long lists in linear time."""

import time

import pandas as pd
import pytest

from tli.lexicon import audit, audit_file, audit_lines, clean, read, split
from tli.specs import LexiconSpec


@pytest.fixture
def pairs():
    return pd.DataFrame(
        [
            ("kamba", "rope", "string", "thing", "train"),
            ("kamba", "cord", "", "thing", "heldout"),
            ("ugwe", "Rope", "", "thing", "train"),
            ("bei gani", "how much", "", "phrase", "train"),
            ("radio", "radio set", "", "", "train"),
            ("Februari", "February", "", "time", "heldout"),
            ("kаmbi", "camp", "", "place", "train"),  # the second letter is Cyrillic
        ],
        columns=["source", "target", "alternatives", "category", "split"],
    )


def test_figures_counted_by_hand(pairs):
    result = audit(pairs)
    figures = result["figures"]
    expected = {
        "pairs": 7,
        "translations": 8,
        "sources": 6,
        "targets": 7,
        "duplicates": 0,
        "repeated_anchors": 1,
        "shared_translations": 1,
        "multi_word_pairs": 2,
        "mixed_scripts": 1,
        "without_category": 1,
        "leaks": 1,
    }
    assert {name: figures[name] for name in expected} == expected
    assert result["repeated_anchors"][["source", "pairs", "targets"]].to_numpy().tolist() == [["kamba", 2, "rope|cord"]]
    assert result["shared_translations"][["target", "sources"]].to_numpy().tolist() == [["rope", 2]]
    assert result["leaks"][["form", "splits"]].to_numpy().tolist() == [["kamba", "train|heldout"]]
    assert result["cognates"]["source"].tolist() == ["Februari"]  # 1 - 1/8
    assert result["cognates"]["cognate"].tolist() == [0.875]
    assert result["mixed_scripts"]["scripts"].tolist() == ["Cyrl+Latn"]
    assert result["categories"].set_index("category").loc["thing", ["pairs", "train", "heldout"]].tolist() == [3, 0.4, 0.5]
    assert figures["source_multi_word_share"] == pytest.approx(1 / 7)


def test_tokens_under_a_tokenizer(pairs):
    result = audit(pairs, tokenize=lambda forms: [form.split() for form in forms])
    tokens = result["tokens"].set_index(["side", "split"])
    assert tokens.loc[("source", "all"), ["mean", "most"]].tolist() == [8 / 7, 2]
    assert tokens.loc[("target", "heldout"), "single_token_share"] == 1
    assert result["shared_tokens"][["source", "shared_tokens"]].to_numpy().tolist() == [["radio", 1.0]]
    balance = result["balance"].set_index("measure")
    assert balance.loc["target_tokens", ["train", "heldout", "difference"]].tolist() == pytest.approx([1.4, 1.0, -0.4])
    # train: thing .4, phrase .2, none .2, place .2; held-out: thing .5, time .5
    assert balance.loc["category (total variation)", "difference"] == pytest.approx(0.6)


def test_the_lines_say_the_worst_first(pairs):
    lines = audit_lines(audit(pairs))
    assert lines[0] == "error: 1 form(s) leak across splits: 'kamba' in train|heldout"
    assert [line.split(":")[0] for line in lines] == sorted([line.split(":")[0] for line in lines], key=["error", "warning", "info"].index)
    assert any("2 held-out pairs: below 60" in line for line in lines)
    assert any("kamba = rope|cord" in line for line in lines)
    assert any("mix scripts" in line for line in lines)
    clean_lines = audit_lines(audit(pairs.iloc[[0, 3]].assign(split="")))
    assert not any(line.startswith("error") for line in clean_lines)


def test_an_empty_table_is_audited_too(pairs):
    assert audit_lines(audit(pairs.iloc[:0]))[0] == "error: no pair is left"


def write(path, rows, head="source\ttarget\n"):
    path.write_text(head + "".join(f"{source}\t{target}\n" for source, target in rows), encoding="utf-8")
    return path


def test_a_list_that_is_another_languages_list_is_noticed(tmp_path):
    rows = [(f"word{i}", f"neno{i}") for i in range(50)]
    one, copy, near, other = (tmp_path / name for name in ("en_wo.tsv", "en_om.tsv", "en_ti.tsv", "en_lg.tsv"))
    for path, content in ((one, rows), (copy, rows), (near, [*rows[:40], ("a", "b")]), (other, [(s, s + "z") for s, _ in rows])):
        write(path, content, "")
    spec = LexiconSpec(format="", columns=("target", "source"))
    first, second, *rest = audit_file(one, spec, "wo-en")
    assert first.startswith(
        f"error: wo-en ({one}) and om-en ({copy}) are one file, byte for byte: the same wo and om words under two names"
    )
    assert second.startswith(f"error: wo-en ({one}) and ti-en ({near}) share 97.5 % of their pairs (of the shorter list's)")
    assert not any(line.startswith("error") for line in rest)
    assert not any("under two names" in line for line in audit_file(other, spec, "lg-en"))


def test_a_list_whose_columns_are_one_list_is_noticed(tmp_path):
    path = write(tmp_path / "swh-eng.tsv", [(f"w{i}a", f"w{i}a") for i in range(30)] + [(f"x{i}", f"y{i}") for i in range(20)])
    assert any(line.startswith("error: 60% of the sources equal their targets") for line in audit_file(path))


def test_all_that_would_stop_a_strict_list_is_told(tmp_path):
    path = write(tmp_path / "swh-eng.tsv", [("a", "b"), ("", "c"), ("d", ""), ("a", "b"), *((f"s{i}x", f"t{i}y") for i in range(80))])
    lines = audit_file(path)
    assert [line for line in lines if line.startswith("error")] == [
        f"error: {path}, line 3: empty source",
        f"error: {path}, line 4: empty target",
        f"error: {path}, line 5: repeats a = b",
    ]


def test_formats_are_guessed(tmp_path):
    rows = [(f"s{i}x", f"t{i}y") for i in range(80)]
    assert "format gatitos" in "".join(audit_file(write(tmp_path / "a.tsv", rows, "")))
    assert "format tsv" in "".join(audit_file(write(tmp_path / "b.tsv", rows)))
    (tmp_path / "c.txt").write_text("".join(f"{s} {t}\n" for s, t in rows))
    assert "format muse" in "".join(audit_file(tmp_path / "c.txt"))


def command(*arguments, capsys):
    from tli.__main__ import main

    status = main(["lexicon", "audit", *map(str, arguments)])
    return status, capsys.readouterr()


def test_the_command_guesses_the_format_and_takes_options(tmp_path, capsys):
    rows = [(f"s{i}x", f"t{i}y") for i in range(80)]
    status, printed = command(write(tmp_path / "swh-eng.txt", rows, ""), capsys=capsys)
    assert status == 0 and "format gatitos, 80 entries read" in printed.out
    status, printed = command(write(tmp_path / "lin-eng.tsv", rows, "lin\teng\n"), capsys=capsys)
    assert status == 0 and "format tsv, 80 entries read" in printed.out
    path = tmp_path / "swh-eng.csv"
    path.write_text("source;target\n" + "".join(f"{s};{t}\n" for s, t in rows))
    status, printed = command(path, "--option", "delimiter=;", capsys=capsys)
    assert status == 0 and "80 pairs" in printed.out
    status, printed = command(path, "--option", "gloss=true", capsys=capsys)
    assert status == 2 and "the option 'gloss' is unknown to the format csv; use encoding, delimiter" in printed.err
    status, printed = command(path, "--option", "gloss", capsys=capsys)
    assert status == 2 and "key=value" in printed.err


def test_a_long_list_takes_linear_time_and_shows_progress(tmp_path, capsys):
    def seconds(count):
        path = write(tmp_path / f"{count}.tsv", [(f"s{i}w{i % 977}", f"t{i // 2}v{i % 983}") for i in range(count)])
        start = time.process_time()
        raw = read(path, "swh-eng")
        pairs, _ = clean(raw)
        kept, aside = split(pairs)
        assert len(kept) + len(aside) == count
        return time.process_time() - start

    small, large = seconds(6_000), seconds(30_000)
    assert large < 5 * small * 2.5 + 1  # quadratic growth would be 25-fold
    audit_file(tmp_path / "30000.tsv")
    assert "30000 rows" in capsys.readouterr().err
