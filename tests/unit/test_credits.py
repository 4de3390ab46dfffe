"""Who made a crate's run and who publishes it: only what the user says, in the words of RO-Crate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tli.errors import TliError
from tli.repeating.credits import MAINTAINERS, Credits, credit, orcid

# ORCID's own examples, of its page on the structure of the iD.
KNOWN = ["0000-0002-1825-0097", "0000-0001-5109-3700", "0000-0002-1694-233X", "0000-0002-9079-593X"]


@pytest.mark.parametrize("known", KNOWN)
def test_known_identifiers_are_taken_with_and_without_their_address(known):
    assert orcid(known) == orcid(f"https://orcid.org/{known}") == f"https://orcid.org/{known}"


@given(st.sampled_from(KNOWN), st.integers(0, 14), st.integers(1, 9))
def test_any_one_digit_that_is_wrong_is_found(known, place, more):
    digits = [place for place, character in enumerate(known) if character.isdigit()]
    at = digits[place % len(digits)]
    slip = known[:at] + str((int(known[at]) + more) % 10) + known[at + 1 :]
    with pytest.raises(TliError, match="last digit does not fit"):
        orcid(slip)


@pytest.mark.parametrize(
    ("authors", "orcids", "named", "told"),
    [
        (["A", "B"], KNOWN[:1], {}, "--orcid is given 1 times, --author 2 times"),
        (["A"], ["me"], {}, "is no ORCID iD"),
        ([], [], {"--publisher": "=https://x.example"}, "write it as NAME"),
        ([], [], {"--publisher": "Uni=x.example"}, "write it as NAME"),
        ([], [], {"--affiliation": "Uni"}, "whose"),
        ([], [], {"--license": "do what you like"}, "no identifier of SPDX"),
        ([], [], {"--workflow-url": "my/clone"}, "begins with https"),
    ],
)
def test_what_cannot_be_is_refused_with_its_option(authors, orcids, named, told):
    with pytest.raises(TliError, match=told):
        Credits.of(authors, orcids, named)


def test_a_crate_says_of_people_what_was_given_and_no_more():
    rocrate = pytest.importorskip("rocrate.rocrate")
    from rocrate.model.contextentity import ContextEntity

    def made(given: Credits) -> dict:
        crate = rocrate.ROCrate(version="1.1")
        workflow, run = (crate.add(ContextEntity(crate, name, properties={"@type": "Thing"})) for name in ("#workflow", "#run"))
        credit(crate, given, workflow, run)
        return {one["@id"]: one for one in crate.metadata.generate()["@graph"]}

    nobody = made(Credits())
    assert not {one["@type"] for one in nobody.values() if isinstance(one["@type"], str)} & {"Person", "Organization"}
    assert set(nobody["#run"]) == set(nobody["#workflow"]) == {"@id", "@type"}
    named = {"--affiliation": "Uni", "--publisher": "Press=https://press.example", "--workflow-url": "https://git.example/tli"}
    said = made(Credits.of(["A. Author", "B. Author"], KNOWN[:2], named))
    people = [f"https://orcid.org/{one}" for one in KNOWN[:2]]
    assert [one["@id"] for one in said["#run"]["agent"]] == [one["@id"] for one in said["./"]["author"]] == people
    assert said[people[0]] == {"@id": people[0], "@type": "Person", "name": "A. Author", "affiliation": {"@id": "#affiliation"}}
    assert said["#affiliation"]["name"] == "Uni" and "url" not in said["#affiliation"]
    assert said["./"]["publisher"] == said["#workflow"]["sdPublisher"] == {"@id": "https://press.example"}
    assert said["#workflow"]["url"] == "https://git.example/tli" and said["https://git.example/tli"]["name"] == MAINTAINERS
