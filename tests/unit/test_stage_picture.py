"""The picture of stages: its arrows are what jobs read of each other, every stage that ran is in it, nothing lies on anything else."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.job import JOBS, Job
from tli.report.stage_picture import NEEDS, PAGE, arrows, stage_picture

SVG = "{http://www.w3.org/2000/svg}"
SUM = "0" * 64
STAGES = st.dictionaries(st.sampled_from(sorted(NEEDS)), st.integers(0, 4000))


def drawn(svg: str) -> tuple[dict[str, tuple[int, int, int, int]], dict[tuple[str, str], list[tuple[int, int]]], tuple[int, int]]:
    """Of a picture: stage -> its box (left, top, right, bottom), (start, end) -> an arrow's points, and its size."""
    root = ElementTree.fromstring(svg)
    boxes = {}
    for group in root.iter(f"{SVG}g"):
        x, y, width, height = (int(group.find(f"{SVG}rect").get(name)) for name in ("x", "y", "width", "height"))
        boxes[group.get("id")] = (x, y, x + width, y + height)
    lines = {}
    for path in root.iter(f"{SVG}path"):
        if path.get("id"):
            points = [tuple(map(int, point.split())) for point in re.split("[ML]", path.get("d"))[1:]]
            lines[tuple(path.get("id").split("-"))] = points
    return boxes, lines, tuple(map(int, root.get("viewBox").split()[2:]))


def crosses(start: tuple[int, int], end: tuple[int, int], box: tuple[int, int, int, int]) -> bool:
    """Whether a segment enters the inside of a box: at one of 200 points along it."""
    left, top, right, bottom = box
    steps = [(start[0] + k / 200 * (end[0] - start[0]), start[1] + k / 200 * (end[1] - start[1])) for k in range(201)]
    return any(left < x < right and top < y < bottom for x, y in steps)


@settings(max_examples=150, deadline=None)
@given(STAGES)
def test_every_stage_that_ran_is_drawn_and_nothing_overlaps(jobs):
    svg = stage_picture(jobs)
    boxes, lines, (width, height) = drawn(svg)
    ran = {stage for stage, count in jobs.items() if count}
    assert set(boxes) == ran | {PAGE}
    for stage in ran - {PAGE}:
        assert f">{jobs[stage]:,} job{'s' if jobs[stage] > 1 else ''}</text>" in svg
    for a, b in combinations(boxes.values(), 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    for left, top, right, bottom in boxes.values():
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
    for (start, end), points in lines.items():
        (left, top, right, bottom), (to_left, to_top, _, to_bottom) = boxes[start], boxes[end]
        assert points[0] == (right, (top + bottom) // 2) and points[-1] == (to_left, (to_top + to_bottom) // 2)
        assert right < to_left and all(a[0] < b[0] for a, b in zip(points, points[1:], strict=False))
        for a, b in zip(points, points[1:], strict=False):
            assert not any(crosses(a, b, box) for box in boxes.values())


@settings(max_examples=150, deadline=None)
@given(STAGES)
def test_arrows_say_who_waits_for_whom_and_no_more(jobs):
    """By way of the arrows one comes from stage to stage exactly where the one waits for the other; without any arrow one does not."""
    shown = {stage for stage, count in jobs.items() if count} | {PAGE}

    def reached(links: set[tuple[str, str]], start: str) -> set[str]:
        found, left = set(), [start]
        while left:
            left += [new for new in (end for one, end in links if one == left[0]) if new not in found]
            found |= {end for one, end in links if one == left[0]}
            left.pop(0)
        return found

    every, few = {(start, end) for end, needed in NEEDS.items() for start in needed}, set(arrows(shown))
    for stage in shown:
        assert reached(few, stage) == reached(every, stage) & shown
    for arrow in few:
        assert arrow[1] not in reached(few - {arrow}, arrow[0])


def of_everything() -> Experiment:
    """An experiment that has a job of each kind."""
    address = {"lexicon": "https://example.org/list.tsv", "sha256": SUM}
    return Experiment(
        parse(
            {
                "models": {"m": {"source": "some/model", "revision": "0" * 40}},
                "pairs": {"swh-eng": address, "lin-eng": address | {"lexicon": "https://example.org/other.tsv"}},
                "arms": {"tli": {"loss_layer": "best", "tune": {"epochs": [2, 5]}, "anchor": {"metric": "drift"}}},
                "seeds": 2,
                "split": {"folds": 2},
                "evaluation": {"on": "all"},
                "text": {name: {"file": f"https://example.org/{name}.txt", "sha256": SUM} for name in ("swh", "lin", "eng")},
                "transfer": {"tasks": ["xcopa_sw"], "translate": {}},
            }
        )
    )


def paths(value) -> list[str]:
    """The files that a job names."""
    if isinstance(value, dict):
        return [path for one in value.values() for path in paths(one)]
    return [path for one in value for path in paths(one)] if isinstance(value, list) else [value]


def jobs_of(experiment: Experiment) -> list[Job]:
    """Every job of it, from its lists of parts and cells."""
    models, pairs = experiment.config.models, experiment.config.pairs
    found = [Job.of(experiment, kind) for kind in ("folds", "lists", "fetch-tasks", "statistics", "report")]
    for kind in ("fetch-model", "check"):
        found += [Job.of(experiment, kind, model=model) for model in models]
    found += [Job.of(experiment, "fetch-list", pair=pair, number=0) for pair in pairs]
    found += [Job.of(experiment, "lexicon", pair=pair) for pair in pairs]
    found += [Job.of(experiment, "fetch-text", language=language) for language in experiment.config.text]
    found += [Job.of(experiment, "scan", model=model, pair=pair) for model in models for pair in pairs]
    for kind, cells in (("tune", experiment.tuned_cells), ("train", experiment.cells)):
        found += [Job.of(experiment, kind, model=c.model, pair=c.pair, arm=c.arm, layer=c.layer, rank=c.rank) for c in cells]
    for kind in ("evaluate", "transfer"):
        found += [
            Job.of(experiment, kind, model=model, pair=pair, part=part)
            for model in models
            for pair in pairs
            for part in experiment.parts(kind, model, pair)
        ]
    return found + [Job.of(experiment, "across", model=model, part=part) for model in models for part in experiment.across_parts(model)]


def test_the_arrows_are_what_jobs_read_of_each_other():
    jobs = jobs_of(of_everything())
    assert {job.kind for job in jobs} == set(JOBS) and {job.stage for job in jobs} == set(NEEDS)
    made_by = {path: job.stage for job in jobs for path in paths(job.outputs)}
    read = {stage: set() for stage in NEEDS}
    for job in jobs:
        read[job.stage] |= {made_by[path] for path in paths(job.inputs) if path in made_by} - {job.stage}
    assert {stage: set(needed) for stage, needed in NEEDS.items()} == read


def test_a_stage_stands_after_what_it_reads():
    named = list(NEEDS)
    assert all(named.index(start) < named.index(end) for end, needed in NEEDS.items() for start in needed)


@pytest.mark.parametrize("unknown", ["prepare", "<script>"])
def test_a_record_of_another_version_changes_nothing(unknown):
    assert stage_picture({"scan": 2, unknown: 1}) == stage_picture({"scan": 2})
