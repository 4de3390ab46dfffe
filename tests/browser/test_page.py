"""The page in a real browser: it sorts, filters, copies and downloads, logs no error and asks for nothing but itself."""

import csv
import time

import numpy as np
import pandas as pd
import pytest
import synthetic
from chromium import Browser, installed

from tli import report
from tli.io import table_files, tables
from tli.report import FIGURES, context, gallery
from tli.report.input import Arm, AuditLine, Experiment, Provenance, ReportInput, Tables

pytestmark = pytest.mark.skipif(
    not installed(), reason="chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)"
)
EXPERIMENT = Experiment(title="Page", question="Does it work?", protocol="controlled", seeds=tuple(range(5)), arms=(Arm("tli"),))
READY = "return document.documentElement.dataset.ready === 'yes'"
COLUMN = """const table = document.querySelector(`#table-${arguments[0]} .live table`);
const names = [...table.querySelectorAll('th')].map((th) => th.textContent.replace(/ [▲▼]$/, '').replaceAll(' ', '_'));
return [...table.querySelectorAll('tbody tr[data-row]')].map((tr) => tr.children[names.indexOf(arguments[1])].textContent);"""


def verdicts_of(grid: pd.DataFrame) -> pd.DataFrame:
    cells = grid[~grid.control].drop_duplicates(tables.CELL)[tables.CELL].reset_index(drop=True)
    random = np.random.default_rng(1)
    numbers = [
        c
        for c in tables.VERDICTS
        if c not in cells and c not in ("metric", "verdict", "in_short", "sentence", "loss_layer", "seeds", "heldout_pairs")
    ]
    cells = cells.assign(**{name: random.random(len(cells)) for name in numbers})
    cells = cells.assign(
        metric="csls_p_at_1",
        loss_layer=2,
        seeds=5,
        heldout_pairs=63,
        verdict="no detectable effect",
        in_short="no detectable effect",
        sentence="Nothing.",
    )
    return cells[tables.VERDICTS]


def spread(frame: pd.DataFrame, models: int, pairs: int) -> pd.DataFrame:
    """The rows of one (model, pair) for many of them: a large grid without the time to draw its cosines."""
    parts = [frame.assign(model=f"model-{m}", pair=f"pair-{p}") for m in range(models) for p in range(pairs)]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    made = synthetic.tables(pairs=2, seeds=3, words=40, items=10, layers=("best", "2"), ranks=("4", "16"))
    held = made["pairs"].index[(made["pairs"].pair == "pair-1") & (made["pairs"].split == "heldout")][:3]
    made["pairs"].loc[held, "source"] = ["<script>window.broken = 1</script>", "كتاب", "<img src=x onerror='window.broken=1'>"]
    made["pairs"].loc[held, "target"] = ["</script>", "w" * 500, "b"]
    made["verdicts"] = verdicts_of(made["grid"])
    output = tmp_path_factory.mktemp("small")
    graph = "<svg xmlns='http://www.w3.org/2000/svg' onload='broken=1'/>"
    provenance = Provenance(command="make run", graph=graph, config_text="</pre>")
    report.build(ReportInput(EXPERIMENT, Tables.of(made), (AuditLine("pair-1", "note", "<b>"),), provenance), output)
    return output


@pytest.fixture(scope="module")
def window(small, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("downloads")) as browser:
        browser.requests()
        browser.open(small / "index.html")
        browser.wait(READY)
        yield browser


def show(window, name: str) -> None:
    """Unfold a table and wait for its rows."""
    window.run(
        "const one = document.getElementById(`table-${arguments[0]}`); one.open = true; one.scrollIntoView({behavior: 'instant'})", name
    )
    window.wait("return document.querySelectorAll(`#table-${arguments[0]} .live tr[data-row]`).length > 0", name)


def test_nothing_leaves_the_page_and_nothing_is_amiss(window, small):
    asked = [address for address in window.requests() if not address.startswith(("data:", "chrome:", "blob:"))]
    assert asked == [(small / "index.html").resolve().as_uri()]
    assert window.console() == []
    assert window.run("return typeof window.broken") == "undefined"
    drawn, named = (window.run(f"return document.querySelectorAll('{one}').length") for one in (".picture .drawn svg", ".undrawn li"))
    assert drawn + named == 1 + 2 * len(FIGURES) and drawn > named


def test_sorting_by_mouse_and_keyboard(window, small):
    show(window, "verdicts")
    wanted = sorted(table_files.read(small / "tables/verdicts.tsv")["change"])
    place = window.run("return JSON.parse(document.getElementById('data').textContent).verdicts.columns.indexOf('change')")
    button = f"#table-verdicts button[data-column='{place}']"
    window.click(button)
    assert window.run(COLUMN, "verdicts", "change") == [f"{value:.4f}" for value in wanted]
    assert window.run("return document.activeElement.dataset.column") == str(place)
    window.run("document.activeElement.click()")  # what Enter and Space do on a button
    assert window.run(COLUMN, "verdicts", "change") == [f"{value:.4f}" for value in reversed(wanted)]
    sorts = window.run("return [...document.querySelectorAll('#table-verdicts th')].map((th) => th.getAttribute('aria-sort'))")
    assert sorts.count("descending") == 1 and sorts.count("none") == len(sorts) - 1


def choose(window, name: str, column: str, value: str) -> None:
    window.run(
        """const select = document.querySelector(`#table-${arguments[0]} select[data-filter='${arguments[1]}']`);
        select.value = [...select.options].find((option) => option.textContent === arguments[2]).value;
        select.dispatchEvent(new Event('change'));""",
        name,
        column,
        value,
    )


def test_filters_then_download_what_is_left(window, small):
    show(window, "changes")
    for column, value in (("pair", "pair-2"), ("arm", "placebo-tli"), ("split", "heldout"), ("rank", "16"), ("layer", "2")):
        choose(window, "changes", column, value)
    assert set(window.run(COLUMN, "changes", "rank")) == {"16"}
    window.click("#table-changes button[data-action='download']")
    path = window.downloads / "changes.tsv"
    end = time.monotonic() + 10
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    whole = (small / "tables/changes.tsv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(whole, delimiter="\t", quoting=csv.QUOTE_NONE))
    wanted = [
        row
        for row in rows
        if (row["pair"], row["arm"], row["split"], row["rank"], row["layer"]) == ("pair-2", "placebo-tli", "heldout", "16", "2")
    ]
    found = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert one.keys() == other.keys()
        assert all(a == b or float(a) == float(b) for a, b in zip(one.values(), other.values(), strict=True))


def test_search_shows_strange_words_as_text(window):
    show(window, "pairs-of-words")
    for word in ("<script>", "كتاب", "onerror"):
        window.run(
            "const box = document.querySelector('#table-pairs-of-words input[type=search]'); box.value = arguments[0];"
            "box.dispatchEvent(new Event('input'));",
            word,
        )
        found = window.run(COLUMN, "pairs-of-words", "source")
        assert len(found) == 1 and word in found[0]
    assert window.run("return document.querySelectorAll('#table-pairs-of-words img, #table-pairs-of-words script').length") == 0
    assert window.run("return typeof window.broken") == "undefined"


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_every_link_of_the_contents_lands_on_its_part(small, tmp_path, width):
    with Browser(tmp_path, width, 900, telephone=width < 500) as browser:
        browser.open(small / "index.html")
        browser.wait(READY)
        links = browser.run("return [...document.querySelectorAll('nav a')].map((one) => one.getAttribute('href'))")
        assert len(links) >= 8
        for link in [*links[::-1], *links]:
            browser.run("document.querySelector(`nav a[href='${arguments[0]}']`).click()", link)
            script = """const at = document.querySelector(arguments[0]).getBoundingClientRect().top;
                const page = document.documentElement;
                return [at, page.scrollHeight - innerHeight - scrollY < 2];"""
            browser.wait(f"return location.hash === {link!r}")
            time.sleep(0.1)
            at, is_end = browser.run(script, link)
            assert 0 <= at <= 80 or (is_end and 0 <= at < 900), (link, at)


def test_figures_out_of_sight_are_drawn(small, tmp_path):
    """A screenshot of the full page, and print to an image, take what is not in view: nothing may wait for being seen."""
    with Browser(tmp_path) as browser:
        browser.open(small / "index.html")
        browser.wait(READY)
        seen = browser.run(
            "return [...document.querySelectorAll('details.group[open] .picture .drawn svg')].map((one) => one.checkVisibility({contentVisibilityAuto: true}))"
        )
        named = browser.run("return document.querySelector('details.group[open]').querySelectorAll('.undrawn li').length")
        assert len(seen) + named == len(FIGURES) and all(seen)


def test_copy_says_so(window):
    show(window, "verdicts")
    window.click("#table-verdicts button[data-action='copy']")
    # The line may still hold what an earlier click said: wait for this one's.
    said = window.wait("const text = document.getElementById('said').textContent; return text.includes('copied') ? text : null")
    assert "rows copied" in said


def test_all_columns_come_with_a_click(window):
    show(window, "scan")
    count = "return document.querySelectorAll('#table-scan th').length"
    before = window.run(count)
    window.click("#table-scan input[type=checkbox]")
    assert window.run(count) == len(tables.SCAN) > before
    assert window.console() == []


@pytest.mark.parametrize("width, dark", [(390, False), (390, True), (1200, True)])
def test_fits_a_telephone_and_a_dark_room(small, tmp_path, width, dark):
    with Browser(tmp_path, width, 844, dark=dark, telephone=width < 500) as browser:
        browser.open(small / "index.html")
        browser.wait(READY)
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        paper, ink = browser.run(
            "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color].map((c) => c.match(/\\d+/g).map(Number))"
        )
        assert (sum(paper) < sum(ink)) == dark
        drawn = browser.run("return getComputedStyle(document.querySelector('.picture svg text')).fill.match(/\\d+/g).map(Number)")
        assert drawn == ink
        assert browser.run("return document.querySelector('#primary svg').getBoundingClientRect().right <= innerWidth")


@pytest.mark.parametrize("width, columns", [(390, 1), (1440, 3)])
def test_the_three_answers_stand_side_by_side_where_there_is_room(small, tmp_path, width, columns):
    with Browser(tmp_path, width, 900, telephone=width < 500) as browser:
        browser.open(small / "index.html")
        browser.wait(READY)
        lefts = browser.run(
            "return [...document.querySelectorAll('.answers')[0].querySelectorAll('section')].map((one) => one.getBoundingClientRect().left)"
        )
        assert len(lefts) == 3 and len(set(lefts)) == columns
        browser.run("document.querySelector('a.term').focus()")
        shown = browser.run("return getComputedStyle(document.querySelector('a.term'), '::after').content")
        assert shown.strip('"') == browser.run("return document.querySelector('a.term').dataset.help")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_the_first_screen_has_the_verdict_and_its_figures(small, tmp_path):
    """On a telephone the verdict stands in the upper half, on a wide screen the figures are seen to their lower ends."""
    with Browser(tmp_path, 390, 844, telephone=True) as browser:
        browser.open(small / "index.html")
        browser.wait(READY)
        assert browser.run("return document.querySelector('.answers h3').getBoundingClientRect().top") < 422
        assert browser.run("return [...document.querySelectorAll('nav a')].every((one) => one.getBoundingClientRect().right <= innerWidth)")
    with Browser(tmp_path, 1440, 900) as browser:
        browser.open(small / "index.html")
        browser.wait(READY)
        lower = browser.run(
            "return [...document.querySelectorAll('.answers')[0].querySelectorAll('.drawn > svg')].map((one) => one.getBoundingClientRect().bottom)"
        )
        assert lower and max(lower) <= 900


@pytest.mark.parametrize("width", [390, 1440])
def test_the_overview_stands_whole_on_the_screen(large, tmp_path, width):
    output, many = large
    with Browser(tmp_path, width, 900, telephone=width < 500) as browser:
        browser.open(output / "index.html")
        browser.wait(READY)
        script = """return [...document.querySelectorAll('.overview td, .overview caption')].map((one) => {
            const box = one.getBoundingClientRect(); return [box.left >= 0 && box.right <= innerWidth && box.height > 0, one.textContent]; })"""
        boxes = browser.run(script)
        assert len(boxes) == 1 + 15 and all(whole for whole, _ in boxes)
        assert all("cost not measured" in text for _, text in boxes[1:])
        named = browser.run("return getComputedStyle(document.querySelector('.overview td'), '::before').content")
        assert named.strip('"').rstrip(": ") in (["none"] if width > 500 else [many["verdicts"]["pair"].iloc[0], "pair-0"])
        browser.run("document.querySelector('.overview td a').click()")
        browser.wait("return document.querySelector('.answers').getClientRects().length > 0")  # its folds have opened


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG 2 contrast of two sRGB colours (0 to 255)."""

    def light(colour):
        part = [c / 255 for c in colour[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in part]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(small, tmp_path, dark):
    script = """const colour = (text) => text.match(/[\\d.]+/g).map(Number);
    return [...document.querySelectorAll('p, h1, h2, h3, h4, a, td, th, li, dt, dd, button, summary, figcaption, .badge, .mark, strong')]
      .filter((one) => one.getClientRects().length).map((one) => {
        let below = one;
        while (below && colour(getComputedStyle(below).backgroundColor)[3] === 0) below = below.parentElement;
        return [one.tagName, colour(getComputedStyle(one).color), colour(getComputedStyle(below ?? document.body).backgroundColor)];
      });"""
    with Browser(tmp_path, dark=dark) as browser:
        browser.open(small / "index.html")
        browser.wait(READY)
        found = browser.run(script)
    low = {(tag, tuple(ink), tuple(paper)) for tag, ink, paper in found if contrast(ink, paper) < 4.5}
    assert len(found) > 100 and low == set()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Fifteen models and pairs, of which most lies beside the page."""
    made = synthetic.tables(pairs=1, seeds=3, words=40, items=5, layers=("2",), ranks=("4", "16"), zero=False)
    many = {name: spread(made[name], 3, 5) for name in made}
    many["verdicts"] = verdicts_of(many["grid"])
    output = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "TABLES_IN_PAGE", 100_000)
        patch.setattr(context, "FIGURES_IN_PAGE", 300_000)
        patch.setattr(gallery, "FIGURES", {name: FIGURES[name] for name in ("rank-gain", "transfer")})
        report.build(ReportInput(EXPERIMENT, Tables.of(many)), output)
    return output, many


def test_every_row_of_a_long_table_can_be_reached(large, tmp_path):
    output, many = large
    with Browser(tmp_path, 1440, 900) as browser:
        browser.open(output / "index.html")
        browser.wait(READY)
        assert browser.run("return JSON.parse(document.getElementById('sheets').textContent).changes.beside") == "tables/changes.js"
        show(browser, "changes")
        rows = len(table_files.read(output / "tables/changes.tsv"))
        assert rows > 1000 and browser.run("return document.querySelectorAll('#table-changes tr[data-row]').length") < 100
        assert browser.run("return document.querySelector('#table-changes .count').textContent") == f"{rows:,} rows"
        script = """const box = document.querySelector('#table-changes .rows'); box.focus();
            box.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}));"""
        browser.run(script, "End")
        last = "return document.querySelector('#table-changes tr[aria-current]')?.dataset.row"
        browser.wait(f"const row = (() => {{ {last} }})(); return row === '{rows - 1}'")
        browser.run(script, "ArrowUp")
        assert browser.run(last) == str(rows - 2)
        browser.run(script, "Enter")
        whole = (output / "tables/changes.tsv").read_text(encoding="utf-8").splitlines()
        wanted = dict(zip(whole[0].split("\t"), whole[rows - 1].split("\t"), strict=True))
        shown = browser.run("return [...document.querySelectorAll('#table-changes .in-full dd')].map((one) => one.textContent)")
        assert (
            len(shown) == len(wanted)
            and shown[list(wanted).index("run")] == wanted["run"]
            and shown[list(wanted).index("model")] == "model-2"
        )
        choose(browser, "changes", "model", "model-1")
        left = sum(line.split("\t")[0] == "model-1" for line in whole)
        assert (
            browser.run("return document.querySelector('#table-changes .count').textContent")
            == f"{left:,} rows of {rows:,}, by the filters"
        )
        assert set(browser.run(COLUMN, "changes", "model")) == {"model-1"}
        browser.run("dispatchEvent(new Event('beforeprint'))")
        said = browser.run("return document.querySelector('#table-changes .count').textContent")
        assert said.startswith("On paper: rows 1 to 60 of ") and "tables/changes.tsv has all" in said
        assert browser.run("return document.querySelectorAll('#table-changes tr[data-row]').length") == 60
        browser.run("dispatchEvent(new Event('afterprint'))")
        assert browser.console() == []


def test_a_figure_beside_the_page_comes_when_it_is_opened(large, tmp_path):
    output, _ = large
    place = "rank-gain--model-2--pair-4"
    with Browser(tmp_path, 1440, 900) as browser:
        browser.open(output / "index.html")
        browser.wait(READY)
        has = "return document.querySelectorAll(`#${arguments[0]} .drawn svg`).length"
        assert browser.run(has, place) == 0
        browser.run("location.hash = arguments[0]", place)
        browser.wait(has, place)
        assert browser.run("return document.querySelectorAll(`#${arguments[0]} .arms button`).length", place) == 2
        for link in browser.run("return [...document.querySelectorAll('nav a')].map((one) => one.getAttribute('href'))"):
            browser.run("document.querySelector(`nav a[href='${arguments[0]}']`).click()", link)
            time.sleep(0.3)
            at, is_end = browser.run(
                "return [document.querySelector(arguments[0]).getBoundingClientRect().top, document.documentElement.scrollHeight - innerHeight - scrollY < 2]",
                link,
            )
            assert 0 <= at <= 80 or (is_end and 0 <= at < 900), (link, at)


def test_a_page_without_its_folder_says_what_it_misses(large, tmp_path):
    output, _ = large
    alone = tmp_path / "index.html"
    alone.write_bytes((output / "index.html").read_bytes())
    with Browser(tmp_path, 1440, 900) as browser:
        browser.open(alone)
        browser.wait(READY)
        browser.run("const one = document.getElementById('table-changes'); one.open = true; one.scrollIntoView()")
        said = browser.wait("return document.querySelector('#table-changes .alert')?.textContent")
        assert said.startswith("It lies in tables/changes.js, which is not beside this page")


def test_a_mark_says_its_value_and_arms_are_switched(small, window):
    place = "rank-gain--model-1--pair-1"
    script = """const place = document.getElementById(arguments[0]).querySelector('.drawn');
        place.scrollIntoView({block: 'center'}); place.focus();
        place.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[1], bubbles: true}));
        const tip = document.getElementById('tip'); return tip.hidden ? null : tip.textContent;"""
    changes = table_files.read(small / "tables/changes.tsv")
    own = changes[(changes.pair == "pair-1") & (changes.split == "heldout") & (changes.hidden_state == changes.hidden_state.max())]
    wanted = {f"{row.arm}, rank {row.rank}, seed {row.seed}: {row.csls_p_at_1_change:+.3f}" for row in own.itertuples()}
    first, second = (window.run(script, place, "ArrowRight") for _ in range(2))
    assert first in wanted and second in wanted and first != second
    assert window.run(script, place, "ArrowLeft") == first and window.run(script, place, "Escape") is None
    pointed = """const mark = document.getElementById(arguments[0]).querySelector('.drawn use[data-tip], .drawn use > title');
        (mark.tagName === 'title' ? mark.parentNode : mark).dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));
        return document.getElementById('tip').textContent;"""
    assert window.run(pointed, place) in wanted
    buttons = "return [...document.querySelectorAll(`#${arguments[0]} .arms button`)].map((one) => [one.textContent, one.getAttribute('aria-pressed')])"
    assert window.run(buttons, place) == [["tli", "true"], ["placebo-tli", "true"], ["zero", "true"]]
    shown = """return [...document.querySelectorAll(`#${arguments[0]} .drawn [data-arm='${arguments[1]}'] use`)]
        .map((one) => getComputedStyle(one).visibility)"""
    assert set(window.run(shown, place, "tli")) == {"visible"}
    window.click(f"#{place} .arms button[data-switches='tli']")
    assert window.run(buttons, place)[0] == ["tli", "false"]
    assert set(window.run(shown, place, "tli")) == {"hidden"} and set(window.run(shown, place, "zero")) == {"visible"}
    window.run("document.activeElement.click()")  # what Enter and Space do on a button
    assert set(window.run(shown, place, "tli")) == {"visible"}


def test_every_figure_that_shows_arms_can_switch_them(window):
    script = """return [...document.querySelectorAll('.drawn')].filter((one) => new Set([...one.querySelectorAll('[data-arm]')].map((g) => g.dataset.arm)).size > 1)
        .map((one) => [one.closest('figure, section').id || one.getAttribute('aria-label'), one.parentElement.querySelectorAll('.arms button').length])"""
    found = window.run(script)
    keys = {name.split("--")[0] for name, _ in found}
    assert {
        "before-after",
        "gap-against-cosine",
        "rank-gain",
        "gained-and-lost",
        "training-curves",
        "transfer",
        "transfer-by-rank",
        "transfer-against-gain",
    } <= keys
    assert all(count > 1 for _, count in found)


def test_parts_fold_by_keyboard(window):
    script = """const summary = document.querySelector('#group--model-1--pair-2 > summary, details.group:not([open]) > summary'); summary.focus();
        const was = summary.parentElement.open; summary.click(); const now = summary.parentElement.open; summary.click();
        return [document.activeElement === summary, was !== now];"""
    assert window.run(script) == [True, True]
