"""Readers: what they find, that nothing goes missing in silence, and that hostile files end in an error with a place."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli import lexicon
from tli.errors import LexiconError
from tli.lexicon.strings import synonyms
from tli.specs import LexiconSpec


def read(path, pair="swh-eng", **spec):
    return lexicon.read(path, pair, LexiconSpec(**spec))


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def forms(raw):
    return list(zip(raw["source"], raw["target"]))


def test_tsv_with_its_optional_columns(tmp_path):
    path = write(tmp_path / "a.tsv", "source\ttarget\talternatives\tcategory\tsplit\tprovenance\nafya\thealth\t\tbody\ttrain\tbook\n")
    row = read(path).iloc[0]
    assert (row["source"], row["target"], row["category"], row["split"], row["provenance"]) == ("afya", "health", "body", "train", "book")
    assert (row["file"], row["line"]) == (str(path), 2)


def test_headers_of_other_names(tmp_path):
    path = write(tmp_path / "a.csv", 'word,gloss\n"baba, mzazi",father\n')
    raw = read(path, format="csv", columns={"source": "word", "target": "gloss"})
    assert forms(raw) == [("baba, mzazi", "father")]
    with pytest.raises(LexiconError, match=r"a\.csv, line 1: has no column 'source'.*'word', 'gloss'.*columns: \{source"):
        read(path, format="csv")
    with pytest.raises(LexiconError, match="our name: header name"):
        read(path, format="csv", columns={"word": "source"})


def test_a_header_of_language_codes_and_a_byte_order_mark(tmp_path):
    path = write(tmp_path / "a.tsv", b"\xef\xbb\xbfENG\tswh\r\nhealth\tafya\r\n")
    assert forms(read(path)) == [("afya", "health")]


def test_a_csv_cell_over_two_lines_counts_as_the_line_of_its_start(tmp_path):
    path = write(tmp_path / "a.csv", 'source,target\n"a\nb",c\nd,e\n')
    assert list(read(path, format="csv")["line"]) == [2, 4]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("source\ttarget\na\tb\n\tc\n", 3, "empty source"),
        ("source\ttarget\na\t \n", 2, "empty target"),
        ("source\ttarget\na\tb\nc\td\na\tb\n", 4, "repeats .*line 2"),
        ("source\ttarget\na\n", 2, "has 1 column where 2"),
        ("source\ttarget\na\tb\tc\n", 2, "has 3 columns where the header has 2"),
        ("source\ttarget\na\tb\n\nc\td\n", 3, "empty line"),
        ("source\ttarget\na\tb\0\n", 2, "NUL"),
        (b"source\ttarget\na\tb\ncaf\xe9\td\n", 3, "not utf-8 text at byte 4"),
        ("source\tsource\ttarget\na\tb\tc\n", 1, "twice"),
    ],
)
def test_a_tsv_is_strict_and_names_the_line(tmp_path, text, line, reason):
    path = write(tmp_path / "a.tsv", text)
    with pytest.raises(LexiconError, match=rf"a\.tsv, line {line}: .*{reason}"):
        read(path)


def test_what_stops_a_tsv_is_a_problem_on_record_in_harvested_lists(tmp_path):
    path = write(tmp_path / "a.tsv", b"a\tb\ncaf\xe9\td\nx\n\ny\tz\0\n")
    raw = read(path, format="gatitos")
    assert list(raw["line"]) == [1, 2, 3, 4, 5]
    assert [bool(problem) for problem in raw["problem"]] == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "no entry"), ("a\tb\n".encode("utf-16"), "UTF-16")],
)
def test_a_file_without_entries_or_in_utf16_is_an_error(tmp_path, text, reason):
    path = write(tmp_path / "a.tsv", text)
    with pytest.raises(LexiconError, match=reason):
        read(path, format="gatitos")


def test_a_missing_file_an_unknown_format_and_an_unknown_option(tmp_path):
    with pytest.raises(LexiconError, match="no such file"):
        read(tmp_path / "none.tsv")
    path = write(tmp_path / "a.tsv", "a\tb\n")
    with pytest.raises(LexiconError, match="use one of tsv, csv"):
        read(path, format="excel")
    with pytest.raises(LexiconError, match="gloss"):
        read(path, format="gatitos", options={"gloss": True})


def test_gatitos_and_muse_take_the_order_of_their_columns(tmp_path):
    path = write(tmp_path / "a.tsv", "good health\tafya\n")
    assert forms(read(path, format="gatitos", columns=["target", "source"])) == [("afya", "good health")]
    path = write(tmp_path / "a.txt", "afya health\nrope\tkamba\nthree words here\n")
    raw = read(path, format="muse")
    assert forms(raw)[:2] == [("afya", "health"), ("rope", "kamba")]
    assert raw["problem"][2] == "has 3 words where 2 are expected"
    with pytest.raises(LexiconError, match="no order of source and target"):
        read(path, format="muse", columns=["swahili", "english"])


def test_several_files_are_one_list(tmp_path):
    paths = [write(tmp_path / f"{name}.tsv", f"{name}\t{name}x\n") for name in "ab"]
    raw = read(paths, format="gatitos")
    assert list(raw["provenance"]) == ["a.tsv", "b.tsv"]


def test_json_with_named_keys_lists_and_lines(tmp_path):
    text = '[{"swahili": "afya",\n  "english": "health"},\n {"swahili": "a", "english": ["b", "c"]},\n {"swahili": 3, "english": "x"},\n 7]'
    raw = read(write(tmp_path / "a.json", text), format="json", columns={"source": "swahili", "target": "english"})
    assert forms(raw)[:2] == [("afya", "health"), ("a", "b")]
    assert raw["alternatives"][1] == "c"
    assert list(raw["line"]) == [1, 3, 4, 5]
    assert list(raw["problem"])[2:] == ["'swahili' is no text", "is no object"]


@pytest.mark.parametrize(
    ("text", "line"), [('[{"swh": "a",\n "eng": }]', 2), ('[{"swh": "a", "eng": "b"}\n', 1), ("[" * 100_000, 1), ('[{"a": "b"}]\nx', 1)]
)
def test_broken_json_names_the_line(tmp_path, text, line):
    with pytest.raises(LexiconError, match=rf"a\.json, line {line}: "):
        read(write(tmp_path / "a.json", text), format="json")


def test_json_without_the_keys_says_how_to_name_them(tmp_path):
    with pytest.raises(LexiconError, match="no object has the key 'swh'.*columns: "):
        read(write(tmp_path / "a.json", '[{"swahili": "a", "english": "b"}]'), format="json")


cell = st.text(st.characters(exclude_characters="\t\n", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.lists(cell, min_size=1, max_size=3), min_size=1, max_size=20))
def test_every_line_comes_back(tmp_path_factory, rows):
    path = write(tmp_path_factory.mktemp("list") / "a.tsv", "".join("\t".join(row) + "\n" for row in rows))
    raw = read(path, format="gatitos")
    assert list(raw["line"]) == list(range(1, len(rows) + 1))
    for row, (source, target, problem) in zip(rows, raw[["source", "target", "problem"]].itertuples(index=False)):
        usable = len(row) == 2 and all(one.strip() for one in row) and "\0" not in "".join(row)
        assert usable == (problem == "")
        if usable:
            assert (source, target) == (row[0].removeprefix("\ufeff") if row is rows[0] else row[0], row[1].rstrip("\r"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.dictionaries(st.sampled_from(["swh", "eng", "x"]), st.text(max_size=8) | st.none() | st.integers()), max_size=8))
def test_every_json_object_comes_back(tmp_path_factory, objects):
    text = json.dumps([{"swh": "a", "eng": "b"}, *objects], ensure_ascii=False, indent=1)
    path = write(tmp_path_factory.mktemp("list") / "a.json", text.encode("utf-8", "replace"))
    assert len(read(path, format="json")) == len(objects) + 1


TEI = """<?xml version="1.0"?>
<TEI xmlns="http://www.tei-c.org/ns/1.0"><text><body>
<entry><form xml:lang="sw"><orth>baba mkubwa</orth><orth type="variant">bamkubwa</orth></form>
<gramGrp><pos>n</pos></gramGrp><xr><ref>other</ref></xr>
<sense><def><note type="hint">paternal</note> uncle, elder (of men, old), chief</def><note type="def">a note</note></sense></entry>
<entry type="pl"><form xml:lang="sw"><orth>mababa</orth></form><sense><note>Plural of baba</note></sense></entry>
<entry><form xml:lang="sw"><orth>kata</orth></form><sense n="1"><cit type="trans"><quote>cut</quote></cit>
<cit type="example"><quote>kata mti</quote></cit></sense><sense n="2"><cit type="trans"><quote>headpad</quote></cit></sense></entry>
<entry><form xml:lang="sw"><orth>tupu</orth></form></entry>
</body></text></TEI>"""


def test_tei_entries_senses_variants_hints_and_plurals(tmp_path):
    raw = read(write(tmp_path / "d.tei", TEI), format="freedict-tei")
    good = raw[raw["problem"] == ""]
    translations = "(paternal) uncle, elder (of men, old), chief"
    expected = [(head, translations) for head in ("baba mkubwa", "bamkubwa")]
    assert forms(good) == [*expected, ("kata", "cut"), ("kata", "headpad")]
    assert list(good["line"]) == [5] * 2 + [7, 8]
    assert good["category"][0] == "noun"
    assert dict(zip(raw["source"], raw["problem"]))["mababa"] == "a plural generated from another entry"
    assert dict(zip(raw["source"], raw["problem"]))["tupu"] == "no translation"


def test_tei_is_read_in_either_direction(tmp_path):
    path = write(tmp_path / "eng-swh.tei", TEI.replace(' xml:lang="sw"', ""))
    raw = read(path, format="freedict-tei")
    assert ("cut", "kata") in forms(raw)
    path = path.rename(tmp_path / "dictionary.tei")
    with pytest.raises(LexiconError, match="headword"):
        read(path, format="freedict-tei")
    assert ("kata", "cut") in forms(read(path, format="freedict-tei", options={"headword": "swh"}))


HOSTILE = {
    "external entity": '<!DOCTYPE TEI [<!ENTITY x SYSTEM "file:///etc/hostname">]><TEI>&x;</TEI>',
    "external parameter entity": '<!DOCTYPE TEI [<!ENTITY % x SYSTEM "file:///etc/hostname"> %x;]><TEI/>',
    "billion laughs": "<!DOCTYPE TEI [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi"))
    + "]><TEI>&i;</TEI>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tei_is_not_opened(tmp_path, name):
    path = write(tmp_path / "d.tei", HOSTILE[name])
    with pytest.raises(LexiconError, match=r"d\.tei, line 1: declares an entity"):
        read(path, format="freedict-tei")


DEEP = '<TEI><entry><form xml:lang="sw"><orth>a</orth></form><def>' + "<b>" * 5000 + "x" + "</b>" * 5000 + "</def></entry></TEI>"


@pytest.mark.parametrize("text", [TEI[:600], "", "no xml", TEI.encode("latin-1") + b"\xff", "<TEI/>", DEEP])
def test_a_broken_tei_is_an_error(tmp_path, text):
    with pytest.raises(LexiconError, match=r"d\.tei"):
        read(write(tmp_path / "d.tei", text), format="freedict-tei")


def test_commas_in_brackets_and_quotes_part_nothing():
    assert synonyms('worship, revere (a god, a man), say "yes, sir",') == ["worship", "revere (a god, a man)", 'say "yes, sir"']


@pytest.mark.parametrize(
    "text",
    [
        "Our mission: to enable everyone, everywhere to understand the world.",
        "are you married, or single",
        "1,000",
        "a holder of power, one who has it over many others, king",
        "yes, he will go there tomorrow",
        "Stop, thief!",
    ],
)
def test_a_sentence_is_no_list_of_synonyms(text):
    assert synonyms(text) == [text]


def test_cldr_gives_each_locale_its_own_months():
    # In one process on purpose: asked one after the other, Babel's own accessors give Wolof months for Yoruba.
    expected = {"wol": "Samwiyee", "yor": "Oṣù Ṣẹ́rẹ́", "swh": "Januari", "lin": "sánzá ya yambo", "orm": "Amajjii"}
    for language, january in expected.items():
        raw = read("", format="cldr", pair=f"{language}-eng", options={"kinds": ["months"]})
        assert forms(raw)[0] == (january, "January")
        assert len(raw) == 12


def test_cldr_accounts_for_every_key_and_refuses_what_it_lacks():
    raw = read("", format="cldr", pair="lin-eng", options={"kinds": ["languages", "territories"]})
    used = raw[raw["problem"] == ""]
    assert ("Angóla", "Angola") in forms(used) and set(used["category"]) == {"language", "territory"}
    assert (raw.loc[raw["problem"] != "", "problem"].str.contains("no name for")).all()
    with pytest.raises(LexiconError, match="no locale"):
        read("", format="cldr", pair="qqq-eng")
    with pytest.raises(LexiconError, match="territories"):
        read("", format="cldr", pair="lin-eng", options={"kinds": ["colours"]})


@pytest.fixture
def word_list(tmp_path):
    from pycldf import Wordlist

    data = Wordlist.in_dir(tmp_path / "cldf")
    data.add_component("LanguageTable")
    data.add_component("ParameterTable", "Semantic_Field")
    data.write(
        LanguageTable=[{"ID": "sw", "ISO639P3code": "swh"}, {"ID": "en", "ISO639P3code": "eng"}, {"ID": "fr", "ISO639P3code": "fra"}],
        ParameterTable=[
            {"ID": "1", "Name": "HEALTH", "Semantic_Field": "body"},
            {"ID": "2", "Name": "ROPE"},
            {"ID": "3", "Name": "SEA"},
        ],
        FormTable=[
            {"ID": "1", "Language_ID": "sw", "Parameter_ID": "1", "Form": "afya"},
            {"ID": "2", "Language_ID": "en", "Parameter_ID": "1", "Form": "health"},
            {"ID": "3", "Language_ID": "sw", "Parameter_ID": "2", "Form": "kamba"},
            {"ID": "4", "Language_ID": "fr", "Parameter_ID": "2", "Form": "corde"},
            {"ID": "5", "Language_ID": "en", "Parameter_ID": "3", "Form": "sea"},
            {"ID": "6", "Language_ID": "sw", "Parameter_ID": "1", "Form": "siha"},
        ],
    )
    return tmp_path / "cldf"


def test_cldf_joins_two_languages_by_concept(word_list):
    raw = read(word_list, format="cldf")
    used = raw[raw["problem"] == ""]
    assert forms(used) == [("afya", "health"), ("siha", "health")]
    assert list(used["line"]) == [2, 7] and set(used["category"]) == {"body"}
    assert sorted(raw.loc[raw["problem"] != "", "line"]) == [4, 6]
    metadata = next(word_list.glob("*metadata.json"))
    assert forms(read(metadata, format="cldf")) == forms(raw)


def test_cldf_can_take_the_gloss_and_says_what_languages_it_has(word_list, tmp_path):
    raw = read(word_list, format="cldf", options={"gloss": True})
    assert forms(raw) == [("afya", "HEALTH"), ("siha", "HEALTH"), ("kamba", "ROPE")]
    with pytest.raises(LexiconError, match="en, fr, sw.*source_id"):
        read(word_list, format="cldf", pair="lin-eng")
    with pytest.raises(LexiconError, match="CLDF"):
        read(tmp_path, format="cldf")


def dictionary(entries: str) -> str:
    return f'<TEI xmlns="http://www.tei-c.org/ns/1.0"><text><body>{entries}</body></text></TEI>'


def entry(head: str, body: str) -> str:
    return f'<entry><form xml:lang="fr"><orth>{head}</orth></form>{body}</entry>'


DROPS = {
    # body of the entry -> translations into English, reasons of what is dropped
    '<cit type="trans" xml:lang="en"><quote>cat</quote></cit><sense><def>Petit animal, poilu</def></sense>': (
        ["cat"],
        ["a definition, where"],
    ),
    '<cit type="trans" xml:lang="en"><quote>cat</quote></cit><sense><def xml:lang="fr">Petit animal</def></sense>': (
        ["cat"],
        ["a definition in fr"],
    ),
    '<sense><cit type="trans" xml:lang="de"><quote>Brot</quote></cit><cit type="trans" xml:lang="eng"><quote>bread</quote></cit></sense>': (
        ["bread"],
        ["a translation into de"],
    ),
    '<sense><cit xml:lang="de"><quote>Brot</quote></cit></sense>': ([], ["a translation into de", "no translation"]),
    '<sense><cit xml:lang="en"><quote>bread</quote></cit></sense>': (["bread"], []),
    "<sense><cit><quote>bread</quote></cit></sense>": ([], ["a <cit> that says neither", "no translation"]),
    '<sense xml:lang="de"><cit type="trans"><quote>Brot</quote></cit></sense>': ([], ["a translation into de", "no translation"]),
    '<cit type="trans"><quote xml:lang="en">bread</quote><quote xml:lang="de">Brot</quote></cit>': (["bread"], ["a translation into de"]),
    '<cit type="trans"><quote>bread</quote></cit><cit type="example"><quote>du pain</quote><cit type="trans"><quote>some bread</quote></cit></cit>': (
        ["bread"],
        ["a <cit> of type example"],
    ),
    '<sense><def xml:lang="de">Ein Tier, klein</def></sense>': ([], ["a definition in de", "no translation"]),
}


BESIDE = '<cit type="trans"><quote>bee</quote></cit><def>Insecte</def>'


@pytest.mark.parametrize("body", DROPS)
def test_a_definition_or_another_language_is_no_translation_and_on_the_record(tmp_path, body):
    wanted, reasons = DROPS[body]
    raw = read(
        write(
            tmp_path / "fra-eng.tei",
            dictionary(entry("mot", body) + entry("b", BESIDE)),
        ),
        pair="fra-eng",
        format="freedict-tei",
    )
    of_word = raw[raw["source"] == "mot"]
    assert list(of_word.loc[of_word["problem"] == "", "target"]) == wanted
    problems = list(of_word.loc[of_word["problem"] != "", "problem"])
    assert len(problems) == len(reasons) and all(problem.startswith(reason) for problem, reason in zip(problems, reasons))
    pairs, changes = lexicon.clean(raw)
    assert len(changes[changes["action"] == "dropped"]) == len(reasons) + 1  # and the definition of the other entry


def test_a_dictionary_with_definitions_only_keeps_them(tmp_path):
    raw = read(
        write(tmp_path / "fra-eng.tei", dictionary(entry("chat", "<sense><def>cat, puss</def></sense>"))),
        pair="fra-eng",
        format="freedict-tei",
    )
    pairs, changes = lexicon.clean(raw)
    assert pairs[["target", "alternatives"]].to_numpy().tolist() == [["cat", "puss"]]
    assert changes["reason"].tolist() == ["several translations"]


@pytest.mark.parametrize("format", ["tsv", "gatitos", "muse", "json", "freedict-tei", "csv"])
def test_one_rule_for_commas_in_every_format(tmp_path, format):
    texts = {
        "tsv": "source\ttarget\nkitabu\tbook, volume\n",
        "gatitos": "kitabu\tbook, volume\n",
        "muse": "kitabu\tbook, volume\n",
        "json": '[{"swh": "kitabu", "eng": "book, volume"}]',
        "csv": 'source,target\nkitabu,"book, volume"\n',
        "freedict-tei": dictionary('<entry><form xml:lang="sw"><orth>kitabu</orth></form><sense><def>book, volume</def></sense></entry>'),
    }
    pairs, changes = lexicon.clean(read(write(tmp_path / "list", texts[format]), format=format))
    assert pairs[["source", "target", "alternatives"]].to_numpy().tolist() == [["kitabu", "book", "volume"]]
    assert changes[["action", "before", "after", "reason"]].to_numpy().tolist() == [
        ["changed", "book, volume", "book|volume", "several translations"]
    ]


def test_a_phrase_and_its_translation_keep_their_commas(tmp_path):
    pairs, changes = lexicon.clean(read(write(tmp_path / "a.tsv", "hujambo, bwana\thello, sir\n"), format="gatitos"))
    assert pairs[["source", "target", "alternatives"]].to_numpy().tolist() == [["hujambo, bwana", "hello, sir", ""]] and changes.empty
    pairs, changes = lexicon.clean(read(write(tmp_path / "a.tsv", "yee, butereevu\tyes of course\n"), format="gatitos", pair="lug-eng"))
    assert pairs["source"].tolist() == ["yee, butereevu"] and changes.empty


def test_the_last_synonym_may_be_long():
    assert synonyms("these, those, the ones that are close to the hearer") == ["these", "those", "the ones that are close to the hearer"]


def test_a_comma_at_the_edge_goes_on_the_record(tmp_path):
    pairs, changes = lexicon.clean(read(write(tmp_path / "a.txt", "moto fire,\nmaji |water;\n"), format="muse"))
    assert pairs["target"].tolist() == ["fire", "water"] and (pairs["alternatives"] == "").all()
    assert changes["before"].tolist() == ["fire,", "|water;"] and changes["after"].tolist() == ["fire", "water"]


@pytest.mark.parametrize("header", ["en\tsw", "English\tSwahili", "eng\tswh", "source\ttarget", "Word\tTranslation", "#src\ttgt"])
@pytest.mark.parametrize("format", ["gatitos", "muse"])
def test_a_header_where_none_belongs_is_noticed(tmp_path, header, format):
    raw = read(write(tmp_path / "a.tsv", f"{header}\nhealth\tafya\n"), format=format, columns=("target", "source"))
    assert list(raw["problem"]) == ["names the columns, where no header is expected", ""]
    with pytest.raises(LexiconError, match="line 1: names the columns"):
        read(write(tmp_path / "b.tsv", f"{header}\nhealth\tafya\n"), columns=("target", "source"))


def test_a_first_pair_that_holds_a_title_is_no_header(tmp_path):
    raw = read(write(tmp_path / "a.tsv", "neno\tword\nKiswahili\tSwahili\n"), format="gatitos")
    assert list(raw["problem"]) == ["", ""]


def test_cldf_with_an_empty_form_drops_it_on_the_record(word_list):
    path = word_list / "forms.csv"
    path.write_text(path.read_text().replace("kamba", "").replace("siha", " "))
    raw = read(word_list, format="cldf")
    assert forms(raw[raw["problem"] == ""]) == [("afya", "health")]
    assert sorted(raw.loc[raw["problem"] == "empty form in sw", "line"]) == [4, 7]
    assert forms(read(word_list, format="cldf", options={"gloss": True}).query("problem == ''")) == [("afya", "HEALTH")]


def test_kinds_of_cldr_are_named_with_commas(tmp_path):
    raw = read("", pair="swh-eng", format="cldr", options={"kinds": "months, days"})
    assert set(raw["category"]) == {"month", "day"}
