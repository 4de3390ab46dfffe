"""Sentences under a verdict, word by word: figures, counts and the reason why nothing is answered."""

from __future__ import annotations

import pytest

from tli import facts
from tli.specs import StatisticsSpec
from tli.statistics import lines, sentences

SPEC = StatisticsSpec()
NAN = float("nan")


def answer(**changes: object) -> dict:
    row = {"line": facts.BEATS_MAP, "answer": facts.YES, "part": "ridge", "parts": ["ridge"], "estimate": 0.1234, "low": 0.05, "high": 0.2}
    row |= {"margin": 0.0, "units": 60, "seeds": 5, "p_family": 0.0123, "family_size": 4, "p_same": NAN, "same_within": NAN}
    return row | changes


@pytest.mark.parametrize(
    "changes, told",
    [
        ({}, "(ridge: +0.123, 95 % interval +0.050 to +0.200; margin 0, 60 units, 5 seeds, adjusted p 0.012 in a family of 4)."),
        ({"part": ""}, "(+0.123, 95 % interval"),
        ({"low": NAN, "high": NAN}, "(ridge: +0.123; margin 0,"),
        ({"p_same": 0.04, "same_within": 0.02}, "in a family of 4, within +-0.02 by TOST: adjusted p 0.04)."),
        ({"seeds": 4}, "; no answer below 5 seeds and 20 units)."),
        ({"units": 19}, "; no answer below 5 seeds and 20 units)."),
        ({"units": 20, "p_family": NAN}, "(ridge: +0.123, 95 % interval +0.050 to +0.200; margin 0, 20 units, 5 seeds)."),
        ({"answer": facts.NOT_MEASURED}, "+0.050 to +0.200; 60 units, 5 seeds; why not)."),
        ({"answer": facts.NOT_MEASURED, "estimate": NAN}, f"{facts.BEATS_MAP}: {facts.NOT_MEASURED}."),
    ],
)
def test_a_line_tells_its_figures_and_what_they_rest_on(changes, told):
    text = lines._sentence(answer(**changes), SPEC, "why not")
    assert text.startswith(f"{facts.BEATS_MAP}: ") and told in text


def test_a_line_about_maps_names_all_of_them():
    text = lines._sentence(answer(line=facts.ADDS_TO_MAP, parts=["cca", "ridge"]), SPEC, "")
    assert text.startswith("adds what no map fitted on cca or ridge can: yes (ridge: ")


@pytest.mark.parametrize(
    "shown, told",
    [
        (sentences.number(0.12345), "0.123"),
        (sentences.number(NAN), "not measured"),
        (sentences.signed(0.12345), "+0.123"),
        (sentences.signed(float("inf")), "not measured"),
        (sentences.probability(0.001), "0.001"),
        (sentences.probability(0.00099), "9.9e-04"),
        (sentences.probability(NAN), "not measured"),
        (sentences.count(1, "seed"), "1 seed"),
        (sentences.count(0, "seed"), "0 seeds"),
        (sentences.count(2, "unit"), "2 units"),
        (sentences.listing([]), ""),
        (sentences.listing(["a"]), "a"),
        (sentences.listing(["a", "b"]), "a and b"),
        (sentences.listing(["a", "b", "c"]), "a, b and c"),
        (sentences.interval({"estimate": 0.3, "low": 0.2, "high": 0.4}, 0.1), "+0.300 (90 % interval +0.200 to +0.400)"),
        (sentences.interval({"estimate": 0.3, "low": NAN, "high": NAN, "note": "one seed"}, 0.1), "+0.300 (no interval: one seed)"),
        (sentences.interval({"estimate": NAN, "low": NAN, "high": NAN, "note": ""}, 0.1), "not measured"),
    ],
)
def test_figures_in_words(shown, told):
    assert shown == told
