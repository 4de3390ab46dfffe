"""A registration holds what was asked, notices tampering, and names what was changed."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tli.statistics import registration

ASKED = {
    "config": {"seeds": 5, "arms": {"tli": {"rank": [16]}}},
    "endpoint": "csls_p_at_1",
    "margins": {"alike": 0.02},
    "lexicons": {"a": "9f"},
}
BEFORE, AFTER = "2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z"


def test_registered_before_the_first_result_and_nothing_changed():
    record = json.loads(json.dumps(registration.registration(ASKED, BEFORE)))  # as it comes back from its file
    found = registration.checked(record, ASKED, AFTER)
    assert found.before_results and not found.differences
    assert found.sentence.startswith("Registered before the first result (2026-01-01T10:00:00Z") and "nothing was changed" in found.sentence
    assert registration.checked(record, ASKED, None).before_results


def test_what_was_changed_is_named_field_by_field():
    now = copy.deepcopy(ASKED)
    now["config"]["seeds"], now["config"]["arms"]["more"] = 10, {"rank": [4]}
    del now["margins"]
    found = registration.checked(registration.registration(ASKED, BEFORE), now, AFTER)
    assert [name for name, *_ in found.differences] == ["config.arms.more", "config.seeds", "margins"]
    assert "config.seeds: registered 5, now 10" in found.sentence and "margins: registered" in found.sentence


def test_a_registration_after_the_first_result_says_so():
    assert "after the first result" in registration.checked(registration.registration(ASKED, AFTER), ASKED, BEFORE).sentence


def test_none_says_so():
    assert registration.checked(None, ASKED, None).sentence.startswith("Not registered")


@pytest.mark.parametrize("place", [("asked", "endpoint"), ("written",), ("digest",)])
def test_tampering_is_noticed(place):
    record = registration.registration(ASKED, BEFORE)
    inside = record
    for name in place[:-1]:
        inside[name] = inside = dict(inside[name])
    inside[place[-1]] = "2020-01-01T00:00:00Z"
    found = registration.checked(record, ASKED, AFTER)
    assert not found.intact and "changed after it was written" in found.sentence
    assert not registration.checked({"asked": {}}, ASKED, AFTER).intact


VALUES = st.recursive(
    st.integers() | st.text(max_size=5) | st.booleans() | st.none(),
    lambda v: st.dictionaries(st.text(max_size=4), v, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=4), VALUES), st.dictionaries(st.text(max_size=4), VALUES))
def test_two_contents_have_one_digest_only_if_they_do_not_differ(one, two):
    same = registration.digest(one, BEFORE) == registration.digest(two, BEFORE)
    assert same == (json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True))
    shuffled = dict(reversed(list(one.items())))
    assert registration.digest(shuffled, BEFORE) == registration.digest(one, BEFORE) and not registration.differences(one, shuffled)
