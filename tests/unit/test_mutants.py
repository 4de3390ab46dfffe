"""benchmarks/mutants.py: one place is turned around, what is called equivalent is still there, the page shows what was tried."""

from __future__ import annotations

import ast
import sys
from itertools import islice
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import faults
import mutants

SOURCE = """\
LIMIT: int = 3

class Heap:
    def top(self, values, least: "int | str" = 0):
        if not values and least < 1:
            return max(values) + values.mean()
        mean = [values.max, 2 * 3]
        return mean
"""


def planted() -> list[faults.Fault]:
    return [faults.plant(SOURCE, number) for number, _ in faults.places(SOURCE)]


def test_every_place_is_turned_around_and_nothing_else():
    found = {(fault.before, fault.after) for fault in planted()}
    assert found == {
        ("3", "4"),
        ("0", "1"),
        ("1", "2"),
        ("2", "3"),
        ("not values", "not not values"),
        ("not values and least < 1", "not values or least < 1"),
        ("least < 1", "least <= 1"),
        ("max(values) + values.mean()", "max(values) - values.mean()"),
        ("max", "min"),
        ("values.mean", "values.sum"),
        ("2 * 3", "2 / 3"),
    }  # no type's `|`, no variable called mean, no function that is not called
    plain = ast.unparse(ast.parse(SOURCE)).splitlines()
    for fault in planted():
        changed = [(one, other) for one, other in zip(plain, fault.source.splitlines(), strict=True) if one != other]
        assert len(changed) == 1 and changed[0][0].replace(fault.before, fault.after, 1) == changed[0][1]


def test_a_fault_is_called_by_its_function_and_line_wherever_they_stand():
    moved = faults.plant("X = Y\n\n" + SOURCE, dict.fromkeys(n for n, _ in faults.places("X = Y\n\n" + SOURCE)).popitem()[0])
    assert moved.identity in {fault.identity for fault in planted()}
    comparison = next(fault for fault in planted() if fault.kind == "comparison")
    assert comparison.identity == ("Heap.top", "if not values and least < 1:", "18", "least < 1", "least <= 1")
    assert len({fault.identity for fault in planted()}) == len(planted())


def test_a_seed_draws_the_same_faults_and_each_of_a_room_once():
    for room in mutants.ROOMS:
        first, again = ([mutants.named(*one) for one in islice(mutants.drawn(7)[room], 30)] for _ in range(2))
        assert first == again and len(set(first)) == 30


@pytest.mark.parametrize("row", mutants.read(mutants.EQUIVALENT), ids=lambda row: f"{row['file']}: {row['before']}")
def test_what_is_called_equivalent_can_still_be_planted(row):
    source = (mutants.PACKAGE / row["file"]).read_text(encoding="utf-8")
    wanted = tuple(row[name] for name in mutants.NAMED)
    assert any(mutants.named(row["file"], faults.plant(source, number)) == wanted for number, _ in faults.places(source)), (
        "it moved or went"
    )
    assert row["reason"]
