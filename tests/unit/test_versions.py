"""One version everywhere, and every raised version of a stage explained."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import tli
from tli.specs import STAGE_VERSIONS

ROOT = Path(__file__).parents[2]


def test_the_citation_has_the_package_s_version_and_what_the_format_asks_for():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == tli.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # the keys that CFF 1.2.0 demands
    assert cited["license"] == "MIT" and (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_the_changelog_begins_with_this_version_and_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(tli.__version__)} (\(unreleased\)|- \d{{4}}-\d{{2}}-\d{{2}})", headings[0])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:])
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_every_version_of_every_stage_is_explained():
    rows = re.findall(
        r"^\| (\w+) \| (\d+) \| ([\d.]+) \|(.*)\|$", (ROOT / "docs" / "stage-versions.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows
    told: dict[str, list[int]] = {}
    for stage, version, _, why in rows:
        told.setdefault(stage, []).append(int(version))
        assert why.strip() or version == "1", f"{stage} {version}: why?"
    assert told == {stage: list(range(1, version + 1)) for stage, version in STAGE_VERSIONS.items()}


def test_the_table_of_stages_has_every_stage():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([a-z]+) \|", text[text.index("## The stages") : text.index("## The floors")], re.MULTILINE)
    assert [stage for stage in listed if stage != "stage"] == [stage for stage in STAGE_VERSIONS if stage != "fetch"]


def test_the_pages_of_docs_are_all_in_the_navigation():
    """Decisions, and the pages that docs/pages.py adds, go in by themselves."""
    named = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(named) == len(set(named))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not page.startswith("decisions/")} <= set(named)
