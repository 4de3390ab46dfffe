"""What only the user can say of a crate: who made the run, who publishes it, under which licence, where the workflow lives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tli.errors import TliError

MAINTAINERS = "The maintainers of the TLI workflow"  # as CITATION.cff has them
ORCID = re.compile(r"(?:https://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
ADDRESS = re.compile(r"https?://[^\s/]+\S*")
LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True)
class Person:
    """Who made the run. orcid: its address, "" where none was given."""

    name: str
    orcid: str = ""


@dataclass(frozen=True)
class Credits:
    """Nothing of it is guessed: what is not given is not in the crate."""

    authors: tuple[Person, ...] = ()
    publisher: str = ""
    publisher_address: str = ""
    affiliation: str = ""  # of the authors
    affiliation_address: str = ""
    licence: str = ""  # of what the user adds to the workflow, by its SPDX identifier
    workflow_address: str = ""

    @classmethod
    def of(cls, authors: Sequence[str], orcids: Sequence[str], named: Mapping[str, str]) -> Credits:
        """From the command line. orcids: none, or one for each author; named: option -> its value, of affiliation and publisher NAME or
        NAME=ADDRESS. Raises TliError.
        """
        if orcids and len(orcids) != len(authors):
            raise TliError(f"--orcid is given {len(orcids)} times, --author {len(authors)} times; give one for each author, in their order")
        people = tuple(Person(name, address) for name, address in zip(authors, map(orcid, orcids or [""] * len(authors)), strict=True))
        organisations = {option: _organisation(option, named.get(option, "")) for option in ("--affiliation", "--publisher")}
        licence, address = named.get("--license", ""), named.get("--workflow-url", "")
        if organisations["--affiliation"][0] and not people:
            raise TliError("--affiliation is whose? Name them with --author")
        if licence and not LICENCE.fullmatch(licence):
            raise TliError(f"--license {licence}: is no identifier of SPDX, as CC-BY-4.0")
        if address and not ADDRESS.fullmatch(address):
            raise TliError(f"--workflow-url {address}: is no address that begins with https://")
        return cls(people, *organisations["--publisher"], *organisations["--affiliation"], licence, address)


def _organisation(option: str, given: str) -> tuple[str, str]:
    """Its name and its address."""
    name, equals, address = given.partition("=")
    if given and (not name or (equals and not ADDRESS.fullmatch(address))):
        raise TliError(f"{option} {given}: write it as NAME or NAME=https://address")
    return name, address


def orcid(given: str) -> str:
    """The address of an ORCID iD, with its check digit looked at (ISO 7064, mod 11-2); "" of "". Raises TliError.

    >>> orcid("0000-0002-1825-0097")
    'https://orcid.org/0000-0002-1825-0097'
    """
    if not given:
        return ""
    found = ORCID.fullmatch(given.strip())
    if not found:
        raise TliError(f"--orcid {given}: is no ORCID iD; it looks like 0000-0002-1825-0097")
    *digits, last = list(found[1].replace("-", ""))
    total = 0
    for digit in digits:
        total = (total + int(digit)) * 2 % 11
    if "0123456789X"[(12 - total) % 11] != last:
        raise TliError(f"--orcid {given}: its last digit does not fit the others; look for a slip of the pen")
    return f"https://orcid.org/{found[1]}"


def credit(crate: Any, given: Credits, workflow: Any, run: Any) -> None:
    """Put into a crate who made its run and who publishes it. crate, workflow, run: rocrate's; changed in place."""
    from rocrate.model.contextentity import ContextEntity

    def about(identifier: str, kind: str, **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))

    def organisation(name: str, address: str, identifier: str) -> Any:
        return about(address or identifier, "Organization", name=name, **({"url": address} if address else {}))

    people = [about(one.orcid or f"#author-{number}", "Person", name=one.name) for number, one in enumerate(given.authors, 1)]
    if people:
        crate.root_dataset["author"] = run["agent"] = people if len(people) > 1 else people[0]
    if given.affiliation:
        of = organisation(given.affiliation, given.affiliation_address, "#affiliation")
        for person in people:
            person["affiliation"] = of
    if given.publisher:
        publisher = organisation(given.publisher, given.publisher_address, "#publisher")
        crate.root_dataset["publisher"] = workflow["sdPublisher"] = publisher
    if given.workflow_address:
        workflow["url"] = given.workflow_address
        workflow["creator"] = organisation(MAINTAINERS, given.workflow_address, "#maintainers")
