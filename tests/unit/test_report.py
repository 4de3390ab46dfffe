"""The report as a whole: its files say what the tables say, and nothing in a table can break the page."""

import csv
import html
import html.parser
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats

from tli import report
from tli.config import parse
from tli.errors import TableError
from tli.io import table_files, tables
from tli.report import columnar, context, derived, glossary, numbers, paper, svg, warnings
from tli.report.answers import QUESTIONS
from tli.report.gallery import CAPTIONS
from tli.report.input import STAGE_SECONDS, Arm, AuditLine, Experiment, Model, Perplexity, Provenance, ReportInput, Tables
from tli.report.names import FIGURES
from tli.report.selection import Cell, Endpoint

STRANGE = {"source": ["<script>alert(1)</script>", "كتاب", "መጽሐፍ"], "target": ["</script><b>x", "w" * 400, "a\tb|*c*"]}
EXPERIMENT = Experiment(
    title="A <b>title</b>",
    question="Does <script>alert(2)</script> & co align?",
    protocol="controlled",
    seeds=(0, 1, 2),
    models=(Model("model-1", demo=True, source="somewhere", dtype="float32"),),
    pairs=("pair-1", "pair-2"),
    arms=(Arm("tli", ("best", "2"), ("16",)),),
)
PROVENANCE = Provenance(
    commits=("abc",),
    config_text="models: </pre><script>alert(3)</script>",
    versions={"torch": "2"},
    devices=("cpu",),
    graph="<svg onload='alert(4)'/>",
    stage_seconds=pd.DataFrame([("scan", 61, 0)], columns=STAGE_SECONDS),
)
TEN_SEEDS = Experiment(seeds=tuple(range(10)))


def texts_of(tables: dict, experiment: Experiment = TEN_SEEDS) -> list[str]:
    """The warnings' texts of tables by name."""
    return [one.text for one in warnings.warnings(ReportInput(experiment, Tables.of(tables)))]


def verdicts_of(made: dict) -> pd.DataFrame:
    """Verdicts in the contract's columns, with made-up figures: the report must show them, not judge them."""
    cells = made["grid"][~made["grid"].control].drop_duplicates(tables.CELL)[tables.CELL].reset_index(drop=True)
    random = np.random.default_rng(0)
    numbers = [
        "before",
        "after",
        "placebo",
        "change",
        "change_low",
        "change_high",
        "p_change",
        "against_placebo",
        "against_placebo_low",
        "against_placebo_high",
        "p_against_placebo",
        "p_family",
        "detectable",
    ]
    cells = cells.assign(**{name: random.random(len(cells)) / 7 for name in numbers})
    cells = cells.assign(metric="csls_p_at_1", seeds=3, heldout_pairs=20, loss_layer=3, verdict="aligns better", in_short="aligns better")
    return cells.assign(sentence=[f"Sentence {i} <i>& more</i>." for i in range(len(cells))]).reindex(columns=tables.VERDICTS)


@pytest.fixture(scope="module")
def made():
    """Two language pairs, three seeds, strange words among the held-out ones."""
    found = synthetic.tables(pairs=2, seeds=3, words=40, items=20)
    held = found["pairs"].index[(found["pairs"].pair == "pair-1") & (found["pairs"].split == "heldout")][:3]
    for column, words in STRANGE.items():
        found["pairs"].loc[held, column] = words
    found["verdicts"] = verdicts_of(found)
    return found


@pytest.fixture(scope="module")
def built(made, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    audit = (AuditLine("pair-1", "leak", "dada leaks <i>"), AuditLine("pair-1", "note", "two rows dropped"))
    report.build(ReportInput(EXPERIMENT, Tables.of(made), audit, PROVENANCE), output)
    return output


class Page(html.parser.HTMLParser):
    """Elements, ids, headings and text of a page as a browser's parser would find them."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.ids, self.headings, self.text, self.scripts, self.inside = [], [], [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def handle_endtag(self, tag):
        self.inside = None


@pytest.fixture(scope="module")
def opened(built):
    return Page((built / "index.html").read_text(encoding="utf-8"))


def page_tables(opened):
    data = json.loads(opened.scripts[1])
    for name, table in data.items():
        columns = [c if isinstance(c, list) else [c["levels"][code] for code in c["codes"]] for c in table["data"]]
        yield name, table["columns"], table["kinds"], list(zip(*columns, strict=True))


def test_page_and_files_agree_cell_by_cell(built, opened):
    seen = 0
    for name, columns, kinds, rows in page_tables(opened):
        with (built / "tables" / f"{name}.tsv").open(encoding="utf-8", newline="") as stream:
            header, *lines = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        assert header == columns and len(lines) == len(rows), name
        for line, row in zip(lines, rows, strict=True):
            for text, value, kind in zip(line, row, kinds, strict=True):
                if kind == "number":
                    assert (text in ("", "nan") and value is None) or float(text) == float(value), (name, text, value)
                else:
                    assert text == value, name
                seen += 1
    assert seen > 5000
    assert {"verdicts", "table-1", "metrics", "changes", "pairs-of-words", "scan", "choice", "transfer", "runs"} <= {
        name for name, *_ in page_tables(opened)
    }


def test_tables_keep_the_given_figures(built, made):
    given = made["verdicts"]
    found = table_files.read(built / "tables/verdicts.tsv", tables.VERDICTS)
    pd.testing.assert_frame_equal(found[["change", "p_family"]], given[["change", "p_family"]], check_exact=True)
    scan = table_files.read(built / "tables/scan.tsv", tables.SCAN)
    np.testing.assert_array_equal(scan["csls_p_at_1"], made["scan"]["csls_p_at_1"])


def test_changes_are_after_minus_before_of_the_right_baseline(made):
    found = derived.changes(made["metrics"], made["grid"]).set_index(["pair", "run", "split", "hidden_state"])
    metrics = {(m.pair, m.run, m.split, m.hidden_state): m for m in made["metrics"].itertuples()}
    assert len(found) == sum(not key[1].startswith("baseline") for key in metrics)
    for key in list(found.index)[::17]:
        before, after = metrics[(key[0], "baseline", *key[2:])], metrics[key]
        assert found.loc[key, "gap_change"] == after.gap - before.gap
        assert found.loc[key, "csls_p_at_1_before"] == before.csls_p_at_1


def test_paired_means_equal_a_plain_loop(made):
    cell = Cell("model-1", "pair-2", "tli", "best", "16")
    found = derived.paired(made["similarities"], made["runs"], cell, Endpoint(4, "no-bos")).set_index("pair_id")
    own = made["similarities"][(made["similarities"].pair == "pair-2") & (made["similarities"].hidden_state == 4)]
    assert len(found) == 40 and (found.seeds == 3).all()
    for word in list(found.index)[::9]:
        rows = own[own.pair_id == word]
        runs = [rows[rows.run == f"tli/layer-best/rank-16/seed-{seed}"].iloc[0] for seed in range(3)]
        start = rows[rows.run == "baseline"].iloc[0]
        assert found.loc[word, "cosine_after"] == pytest.approx(sum(r.cosine for r in runs) / 3, abs=1e-12)
        gap = sum(r.cosine - r.mismatched_mean for r in runs) / 3 - (start.cosine - start.mismatched_mean)
        assert found.loc[word, "gap_change"] == pytest.approx(gap, abs=1e-12)


def test_a_repeated_run_is_read_from_the_one_that_was_kept():
    made = synthetic.tables(pairs=1, seeds=2, words=30, layers=("best", "3"), items=5)
    one, two = (
        derived.paired(made["similarities"], made["runs"], Cell("model-1", "pair-1", "tli", layer, "16"), Endpoint(4, "no-bos"))
        for layer in ("best", "3")
    )
    assert len(two) == 30
    np.testing.assert_array_equal(one["cosine_after"], two["cosine_after"])


def test_accuracy_by_a_plain_count(made):
    found = derived.accuracies(made["transfer"], made["grid"])
    row = found[(found.arm == "tli") & (found.task == "xnli_sw")].iloc[0]
    items = [r for r in made["transfer"].itertuples() if (r.pair, r.run, r.task) == (row.pair, row.run, "xnli_sw")]
    assert row.accuracy == sum(r.correct for r in items) / len(items) and row.n == 20
    assert row.chance == pytest.approx(1 / 3)
    start = [r for r in made["transfer"].itertuples() if (r.pair, r.run, r.task) == (row.pair, "baseline", "xnli_sw")]
    assert row.accuracy_before == sum(r.correct for r in start) / len(start)


def test_table_1_equals_scipy_and_carries_the_test_of_the_same_run(made):
    cell = Cell("model-1", "pair-1", "tli", "best", "16")
    own = made["similarities"][(made["similarities"].pair == "pair-1") & (made["similarities"].hidden_state == 4)]
    wide = own[own.split == "train"].pivot(index="pair_id", columns="run", values="cosine")
    test = (
        dict.fromkeys(tables.TESTS, np.nan)
        | cell.columns
        | {
            "test": "paired t over words",
            "level": "within one run",
            "seed": 1,
            "split": "train",
            "hidden_state": 4,
            "pooling": "no-bos",
            "metric": "cosine",
            "statistic": 54.9,
            "p": 1e-300,
        }
    )
    found = paper.table_1(made["similarities"], made["runs"], pd.DataFrame([test]), cell, Endpoint(4, "no-bos"))
    assert len(found) == 3 * 3
    row = found[(found.run == "tli/layer-best/rank-16/seed-1") & (found.split == "train")].iloc[0]
    assert row.before == pytest.approx(wide["baseline"].mean()) and row.before_sd == pytest.approx(wide["baseline"].std(ddof=1))
    assert row.change == pytest.approx((wide[row.run] - wide["baseline"]).mean())
    assert row.t == 54.9 and row.p == 1e-300 and found["t"].notna().sum() == 1


def test_table_1_counts_a_word_once_whatever_the_pools(made):
    """Held-out words are ranked in two pools, and with folds the base model is judged in each: their cosines are one."""
    cell, own = Cell("model-1", "pair-1", "tli", "best", "16"), made["similarities"]
    held = own[(own.pair == "pair-1") & (own.split == "heldout")]
    again = held[held.run == "baseline"].assign(seed=2, fold=1, pool="untrained")
    both = pd.concat([own, held.assign(pool="untrained"), again], ignore_index=True)
    found = paper.table_1(both, made["runs"], pd.DataFrame(columns=tables.TESTS), cell, Endpoint(4, "no-bos", "untrained"))
    wide = held[held.hidden_state == 4].pivot(index="pair_id", columns="run", values="cosine")
    for row in found[found.split == "heldout"].itertuples():
        assert row.n == held["pair_id"].nunique() == len(wide)
        assert row.after_sd == pytest.approx(wide[row.run].std(ddof=1)) and row.before == pytest.approx(wide["baseline"].mean())
    assert set(found["split"]) == {"train", "select", "heldout"}


def test_published_table_1_is_consistent():
    for row in paper.TABLE_1.itertuples():
        p = 2 * stats.t.sf(row.t, row.n - 1)
        assert math.log10(p) == pytest.approx(math.log10(row.p), abs=0.003)
        assert row.after - row.before == pytest.approx(row.change, abs=1.01e-4)


def test_table_2_finds_the_published_words_whatever_their_case():
    words = pd.DataFrame(
        {
            "source": ["kamba", "Afya", "nyumba"],
            "target": ["rope", "Health", "house"],
            "split": ["train", "heldout", "train"],
            "seeds": 3,
            "cosine_before": [0.1, 0.2, 0.3],
            "cosine_after": [0.4, 0.5, 0.6],
            "target_rank_before": 1.0,
            "target_rank_after": 1.0,
        }
    )
    found = paper.table_2(words).set_index("target")
    assert len(found) == 8
    assert found.loc["rope", "cosine_after"] == 0.4 and found.loc["health", "cosine_before"] == 0.2
    assert found.loc["sister", ["published_before", "published_after"]].tolist() == [0.546, 0.541]
    assert found["cosine_after"].notna().sum() == 2


def test_published_figures_are_marked_where_the_protocol_is_another():
    assert "another protocol" in paper.beside(Experiment(protocol="controlled"))
    assert "another protocol" not in paper.beside(Experiment(protocol="paper-code"))


def test_nothing_in_the_tables_becomes_markup(built, opened):
    assert len(opened.scripts) == 3  # the two of data and the page's own
    assert not any(name.startswith("on") for _, attributes in opened.elements for name in attributes)
    text = "".join(opened.text)
    for shown in (
        "A <b>title</b>",
        "Does <script>alert(2)</script> & co align?",
        "</pre><script>alert(3)</script>",
        "dada leaks <i>",
        "<script>alert(1)</scrip… / </script><b>x",
    ):
        assert shown in text
    rows = {name: (columns, rows) for name, columns, _, rows in page_tables(opened)}
    columns, words = rows["pairs-of-words"]
    sources = {row[columns.index("source")] for row in words}
    targets = {row[columns.index("target")] for row in words}
    assert set(STRANGE["source"]) <= sources
    assert {"</script><b>x", "w" * 400, "a b|*c*"} <= targets
    assert "<script>" not in (built / "summary.md").read_text(encoding="utf-8")
    assert "onload" not in "".join(str(attributes) for tag, attributes in opened.elements if tag == "svg")


def test_the_page_needs_nothing_but_itself(opened):
    for tag, attributes in opened.elements:
        for name in ("src", "href", "xlink:href", "data"):
            address = attributes.get(name) or ""
            assert not re.match(r"(https?:)?//", address), (tag, address)
            if tag in ("script", "img", "link"):
                assert not address or address.startswith("data:")
    policy = next(a["content"] for t, a in opened.elements if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_the_page_can_be_walked_by_ear(opened):
    assert opened.headings[0] == 1 and opened.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(opened.headings, opened.headings[1:], strict=False))
    assert len(opened.ids) == len(set(opened.ids))
    assert all(a.get("scope") in ("col", "row") for tag, a in opened.elements if tag == "th")
    pictures = [a for tag, a in opened.elements if a.get("role") == "img"]
    assert len(pictures) > 20 and all(len(a["aria-label"]) > 30 for a in pictures)
    assert all(a.get("alt") for tag, a in opened.elements if tag == "img")
    links = {a["href"][1:] for tag, a in opened.elements if tag == "a" and a.get("href", "").startswith("#")}
    assert links and links <= set(opened.ids)


def test_every_figure_is_drawn_or_named_with_the_reason_why_not(built, opened):
    page = (built / "index.html").read_text(encoding="utf-8")
    empty = {path.stem for path in (built / "figures").glob("*.svg") if len(re.findall("<text", path.read_text(encoding="utf-8"))) <= 2}
    drawn = [attributes["id"] for tag, attributes in opened.elements if tag == "figure"]
    assert sorted(drawn) == sorted(
        {"primary", *(f"{report.figure_name(key, 'model-1', f'pair-{n}')}" for key in FIGURES for n in (1, 2))} - empty
    )
    named = [
        item
        for box in re.findall('<div class="undrawn.*?</div>', page)
        for item in re.findall("<strong>([^<]+)</strong> ([^<]+)</li>", box)
    ]
    wanted = [title for n in (1, 2) for key, (title, _) in FIGURES.items() if report.figure_name(key, "model-1", f"pair-{n}") in empty]
    assert [title for title, _ in named] == [html.escape(title, quote=False) for title in wanted] and all(
        why.endswith(".") for _, why in named
    )
    labels = [a["aria-label"] for tag, a in opened.elements if a.get("role") == "img"]
    firsts = [label for label in labels if label.startswith(tuple(f"{question}, model-1" for question in QUESTIONS.values()))]
    assert len(firsts) == 2 * len(QUESTIONS) - sum(name.startswith("first-") for name in empty)


def test_first_screen_says_question_verdict_and_warnings(built, opened):
    text = " ".join("".join(opened.text).split())
    first = text[: text.index("The paper's Tables 1 and 2")]
    assert "Sentence 0 <i>& more</i>." in first and "aligns better" in first
    assert "No placebo" not in first and "Only 3 seeds" in first and "Demo model." in first
    assert "dada leaks" in first and "two rows dropped" in first
    markdown = (built / "summary.md").read_text(encoding="utf-8")
    assert "Sentence 0 &lt;i&gt;&amp; more&lt;/i&gt;." in markdown and "Only 3 seeds" in markdown and "emo model" in markdown


def test_every_figure_is_there_with_its_caption_in_both_reports(built, opened):
    keys = [*FIGURES, *(f"first-{key}" for key in QUESTIONS)]
    names = {"primary", *(report.figure_name(key, "model-1", pair) for key in keys for pair in ("pair-1", "pair-2"))}
    assert {path.stem for path in (built / "figures").glob("*.svg")} == names
    assert {path.stem for path in (built / "figures").glob("*.png")} == names
    assert {path.stem for path in CAPTIONS.glob("*.rst")} >= {"primary", *FIGURES}
    text = " ".join("".join(opened.text).split())
    assert "A claim needs both right of the line at 0." in text
    said = "demo model: no claim about a real one"
    assert said not in text  # the page has one banner; what can travel alone says it
    assert all(said in (built / "figures" / f"{name}.svg").read_text(encoding="utf-8") for name in names)


def test_terms_are_explained_where_they_first_stand(opened):
    explained = glossary.explained("At hs[3] & hs[3]: CSLS P@1, P@1 of <held-out> words; held-out again")
    assert explained.count('class="term"') == 4 and "&amp; hs[3]:" in explained and "&lt;<a" in explained
    assert re.findall(r">([^<>]+)</a>", explained) == ["hs[3]", "CSLS P@1", "P@1", "held-out"]
    shown = [a for tag, a in opened.elements if tag == "a" and a.get("class") == "term"]
    assert shown and all(len(a["data-help"]) > 10 for a in shown)


PARTS = {
    "nothing": [],
    "scan only": ["scan", "choice", "pairs", "grid"],
    "no transfer": ["transfer", "perplexity"],
    "untrained": ["pairs", "grid", "scan", "choice", "similarities", "metrics"],
}


@pytest.mark.parametrize("case", PARTS)
def test_a_partial_grid_makes_a_report_that_says_so(made, undrawn, tmp_path, case):
    own = {name: frame[frame["pair"] == "pair-1"] if "pair" in frame else frame for name, frame in made.items()}
    kept = [name for name in own if name not in PARTS[case]] if case == "no transfer" else PARTS[case]
    given = {name: own[name] for name in kept}
    if case == "untrained":
        for name in ("similarities", "metrics"):
            given[name] = given[name][given[name].run == "baseline"]
    report.build(ReportInput(EXPERIMENT, Tables.of(given), missing=("train: tli <seed 3>",)), tmp_path)
    text = " ".join("".join(Page((tmp_path / "index.html").read_text(encoding="utf-8")).text).split())
    assert "Partial report Missing of what the config asks for: 1" in text and "train: tli <seed 3>" in text
    assert "**Partial report.**" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert ("Nothing has been tested yet" in text) == (case != "no transfer")


def test_one_seed_without_placebo_and_full_fine_tuning(undrawn, tmp_path):
    made = synthetic.tables(pairs=1, seeds=1, words=30, items=5, arms=("tli", "full-ft"), with_placebo=False, zero=False)
    made["verdicts"] = verdicts_of(made).assign(
        against_placebo=np.nan, against_placebo_low=np.nan, against_placebo_high=np.nan, verdict="too few seeds", in_short="too few seeds"
    )
    report.build(ReportInput(Experiment(seeds=(7,)), Tables.of(made)), tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Only 1 seed:" in text and "No placebo for tli, full-ft" in text and "full fine-tuning" in text
    assert not re.search(r"\bnan\b", (tmp_path / "summary.md").read_text(encoding="utf-8"))


def test_warnings_name_a_training_that_ended_in_its_warm_up(made):
    texts = texts_of({**made, "runs": made["runs"].assign(steps=30, warmup_steps=50)})
    assert any("30 steps, 50 of warm-up: the learning rate never reaches its peak and ends at 58% of it" in text for text in texts), texts
    assert not any("warm-up" in text for text in texts_of({**made, "runs": made["runs"].assign(steps=51, warmup_steps=50)}))


def test_warnings_tell_what_the_check_saw_where_no_task_was_scored(made):
    seen = Model("model-1", identity="x", perplexities=(Perplexity("swh", math.inf, 2000.0),))
    without = {name: one for name, one in made.items() if name != "perplexity"}
    texts = texts_of(without, Experiment(seeds=tuple(range(10)), models=(seen,)))
    assert any("Weak model" in text and "swh inf" in text for text in texts), texts


def test_warnings_name_the_sink_and_the_weak_baseline(made):
    scan = made["scan"].copy()
    at = (scan.pair == "pair-1") & (scan.hidden_state == 2)
    scan.loc[at, "sink_ratio"] = 412.3
    scan.loc[at & (scan.pooling == "with-bos"), "mismatched"] = 0.9999
    metrics = made["metrics"].assign(csls_p_at_1=0.01)
    perplexity = made["perplexity"].assign(perplexity=500.0)
    texts = " ".join(texts_of({**made, "scan": scan, "metrics": metrics, "perplexity": perplexity}))
    assert "token 0 is 412 times" in texts and "any two words score 0.9999 at hs[2]" in texts
    assert "Weak baseline: before training, 1.0%" in texts and "uniform guessing (512)" in texts
    assert "Only 15 held-out pairs" in texts and "seed" not in texts and "Demo" not in texts


def test_a_bare_tokenizer_with_a_sink_is_told(made):
    long_first_token = {**made, "scan": made["scan"].assign(sink_ratio=50.0)}
    bare = Experiment(seeds=tuple(range(10)), models=(Model("model-1", is_bare=True),))
    assert warnings.BARE in texts_of(long_first_token, bare)
    assert warnings.BARE not in texts_of(long_first_token) and warnings.BARE not in texts_of(made, bare)


def test_what_holds_for_several_is_one_warning(made):
    remarks = warnings.warnings(ReportInput(TEN_SEEDS, Tables.of({**made, "metrics": made["metrics"].assign(csls_p_at_1=0.01)})))
    weak = [one for one in remarks if one.text.startswith("Weak baseline")]
    assert [one.about for one in weak] == ["model-1, pair-1; model-1, pair-2"]
    assert len({one.text for one in remarks}) == len(remarks)


def test_many_models_and_pairs_get_a_matrix_first(made, undrawn, tmp_path):
    groups = [(f"model-{m}", f"pair-{p}") for m in (1, 2) for p in (1, 2, 3) if (m, p) != (2, 3)]
    one = made["verdicts"].head(1)
    verdicts = pd.concat([one.assign(model=model, pair=pair) for model, pair in groups], ignore_index=True)
    verdicts.loc[4, ["verdict", "in_short"]] = "worse"
    report.build(ReportInput(EXPERIMENT, Tables(verdicts=verdicts)), tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    matrix = text[text.index('<table class="matrix">') : text.index("</table>", text.index('<table class="matrix">'))]
    rows = [re.findall(r'<td(?: class="(\w+)")?>(?:<a href="#([^"]+)">([^<]+)</a>|–)', row) for row in matrix.split("<tr>")[2:]]
    assert [[(tone, name) for tone, _, name in row] for row in rows] == [
        [("good", "aligns better")] * 3,
        [("good", "aligns better"), ("bad", "worse"), ("", "")],
    ]
    assert all(f'id="{place}"' in text for row in rows for _, place, _ in row if place)
    folded = re.findall(r'<details class="group"><summary><h3>[^<]*</h3></summary>\s*<article class="answers', text)
    assert len(folded) == len(groups)  # the matrix leads to them


def test_a_table_without_a_column_of_its_contract_is_refused_at_once(made):
    with pytest.raises(TableError, match="report: the table scan lacks the columns mismatched, sink_ratio"):
        Tables(scan=made["scan"].drop(columns=["sink_ratio", "mismatched"]))
    assert list(Tables().scan.columns) == tables.SCAN and Tables().scan.empty
    assert set(Tables.of({"new_table": made["scan"]}).others) == {"new_table"}


def test_the_input_is_made_from_a_config():
    config = parse(
        {
            "models": {"m": {"source": "somewhere", "revision": "a" * 40, "quantization": "nf4"}, "n": {"source": "here", "demo": True}},
            "pairs": {"swh-eng": {"lexicon": "list.tsv"}},
            "arms": {"tli": {"loss_layer": ["best", 2], "rank": [64, 4]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
            "seeds": 3,
            "statistics": {"correction": "benjamini-hochberg"},
        }
    )
    check = {"identity": "m@aaa", "added_before": [], "perplexity": {"swh": {"perplexity": None, "uniform": 50}}}
    made = ReportInput.of(config, {}, checks={"m": check}, audit=(), provenance=Provenance(), missing=()).experiment
    assert made.arms == (Arm("tli", ("best", "2"), ("64", "4")), Arm("tli-placebo", ("best", "2"), ("64", "4")))
    assert made.seeds == (1, 2, 3) and made.pairs == ("swh-eng",) and made.protocol == "controlled"
    assert made.claims.adjusted == "p_bh" and made.is_demo and not made.model("m").demo
    assert made.model("m").is_bare and made.model("m").identity == "m@aaa" and made.model("n").identity is None
    assert made.model("m").perplexities == (Perplexity("swh", math.inf, 50),)


def test_methods_cite_what_they_name(built, opened):
    text = " ".join("".join(opened.text).split())
    methods = text[text.index("Methods, ready to paste") : text.index("Copy the paragraph")]
    assert "pair-1: 20 train, 5 select, 15 held-out" in methods and "LoRA [" in methods and "3 seeds" in methods
    assert sorted({int(n) for n in re.findall(r"\[(\d+)\]", methods)} - {2}) != []
    numbers = [int(n) for n in re.findall(r"\[(\d+)\]", methods.replace("hs[k]", ""))]
    items = sum(reference in methods for reference in (" ".join(r.split()) for r in glossary.REFERENCES.values()))
    assert max(numbers) == items


def test_every_metric_of_the_contract_is_explained():
    assert not [name for name in tables.METRICS if not glossary.meaning(name)]


def test_json_cannot_end_its_element():
    text = columnar.as_json({"a": ["</script>", "<!--", "\u2028", "&amp;"]})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": ["</script>", "<!--", "\u2028", "&amp;"]}


def test_numbers_for_people():
    assert numbers.signed(-0.1234) == "\u22120.123" and numbers.signed(float("nan")) == "–"
    assert numbers.probability(0.0, -400.2) == "10^-400" and numbers.probability(2e-9) == "2.00e-09"
    assert [numbers.duration(s) for s in (4.2, 200, 7500)] == ["4.2 s", "3 min 20 s", "2 h 5 min"]
    assert numbers.figures(1234.0) == "1,234" and numbers.figures(None) == "–"


def test_a_second_report_is_the_same_and_takes_the_place_of_the_first(made, undrawn, tmp_path):
    given = {name: made[name] for name in ("scan", "choice", "pairs", "grid", "verdicts")}
    given = {name: frame[frame["pair"] == "pair-1"] for name, frame in given.items()}
    texts = []
    for _ in range(2):
        report.build(ReportInput(EXPERIMENT, Tables.of(given), provenance=PROVENANCE), tmp_path)
        texts.append((tmp_path / "index.html").read_bytes())
    assert texts[0] == texts[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "index.html", "summary.md", "tables"]


def test_what_is_measured_and_not_tested_is_told_as_that(made, undrawn, tmp_path):
    """Evaluation finished, statistics not: no verdict, no claim that nothing was trained, and the plain means of the seeds."""
    given = {name: frame for name, frame in made.items() if name not in ("verdicts", "transfer", "perplexity")}
    none_of_second = {name: given[name][given[name]["pair"] != "pair-2"] for name in ("runs", "metrics", "similarities")}
    report.build(ReportInput(EXPERIMENT, Tables.of({**given, **none_of_second}), missing=("statistics: no verdict yet",)), tmp_path)
    text = " ".join("".join(Page((tmp_path / "index.html").read_text(encoding="utf-8")).text).split())
    place = made["metrics"].query("split == 'heldout' and hidden_state == 4 and pair == 'pair-1'")
    after = place[(place.arm == "tli") & (place.layer == "best")]["csls_p_at_1"]
    before = place[place.run == "baseline"]["csls_p_at_1"].iloc[0]
    assert f"{100 * before:.0f} % before, {100 * after.mean():.0f} % after, mean of {len(after)} seeds; not tested yet" in text
    assert "pair-1: not tested yet" in text and "no run is measured yet" in text and "Nothing was trained" not in text


def test_tests_within_runs_may_be_read_when_their_table_is_written(made, undrawn, tmp_path):
    every = synthetic.analyse(made)["tests"]
    path = tmp_path / "tests.tsv"
    table_files.write(every, path)
    few = table_files.read(path, compact=True, keep=lambda part: part["level"] != "within one run")
    later = ReportInput(
        EXPERIMENT,
        Tables(tests=few),
        within_runs=lambda: table_files.read(path, compact=True, keep=lambda part: part["level"] == "within one run"),
    )
    at_once = ReportInput(EXPERIMENT, Tables(tests=table_files.read(path)))
    for one, folder in ((later, "a"), (at_once, "b")):
        report.build(one, tmp_path / folder)
    for name in ("tests", "tests-within-runs"):
        written = [(tmp_path / folder / "tables" / f"{name}.tsv").read_bytes() for folder in "ab"]
        assert written[0] == written[1] and len(written[0].splitlines()) > 100


def test_what_a_page_has_no_room_for_lies_beside_it_with_all_its_rows(made, undrawn, monkeypatch, tmp_path):
    monkeypatch.setattr(context, "TABLE_IN_PAGE", 20_000)
    monkeypatch.setattr(context, "CELLS_IN_PAGE", 10_000)
    report.build(ReportInput(EXPERIMENT, Tables.of(made)), tmp_path)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    inside, shown = json.loads(page.scripts[1]), json.loads(page.scripts[0])
    assert {"verdicts", "table-1"} <= set(inside) and "changes" not in inside  # small ones stay
    for name, about in shown.items():
        path = tmp_path / "tables" / f"{name}.js"
        assert (about["beside"] == f"tables/{name}.js") == path.exists() == (name not in inside)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        table = inside[name] if name in inside else json.loads(text.removeprefix(f'tliBeside("tables/{name}.js",').removesuffix(");\n"))
        rows = len((tmp_path / "tables" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()) - 1
        assert about["rows"] == rows == max(len(one) if isinstance(one, list) else len(one["codes"]) for one in table["data"])


def test_columns_are_what_json_makes_of_each_cell(monkeypatch):
    monkeypatch.setattr(columnar, "ROWS_AT_ONCE", 3)
    frame = pd.DataFrame({"x": [1.0, 2.5, np.nan, np.inf, -np.inf, 1e20, -0.0], "n": range(7), "t": list("abacada"), "u": list("abcdefg")})
    frame["c"] = frame["t"].astype("category")
    found = json.loads("".join(columnar.as_columns(frame)))
    assert found["columns"] == list("xntuc") and found["kinds"] == ["number", "number", "text", "text", "text"]
    assert found["data"][0] == [1, 2.5, None, "inf", "-inf", 1e20, 0] and found["data"][1] == list(range(7))
    assert found["data"][3] == list("abcdefg")
    for text in (found["data"][2], found["data"][4]):
        assert text == list("abacada") or [text["levels"][code] for code in text["codes"]] == list("abacada")


def test_svg_ids_are_its_own():
    drawn = '<svg width="10pt" height="5pt"><g id="axes_1"/><path id="m1f"/><use xlink:href="#m1f" clip-path="url(#p2)"/></svg>'
    one, two = svg.for_page(drawn, "one"), svg.for_page(drawn, "two")
    ids = [re.search('id="(.+?)"', text)[1] for text in (one, two)]
    assert ids[0] != ids[1] and f'href="#{ids[0]}"' in one and "axes_1" not in one and 'aria-hidden="true"' in one
