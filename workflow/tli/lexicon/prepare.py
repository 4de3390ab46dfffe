"""The steps of a list in their order: read, clean, split; alone, or beside the lists that share a language with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from tli.lexicon.changes import CHANGES
from tli.lexicon.clean import Rules, clean
from tli.lexicon.formats import languages_of, read, units_of
from tli.lexicon.forms import fail
from tli.lexicon.languages import short
from tli.lexicon.placement import Placement
from tli.lexicon.split import held_out, leaks_between_lists, split_with_links
from tli.lexicon.untrained import keys_of, trained_forms
from tli.lexicon.verbatim import verbatim
from tli.specs import LexiconSpec


def cleaned(raw: pd.DataFrame, spec: LexiconSpec) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs of the raw rows and the record of changes, cleaned or verbatim as `spec.clean` has it."""
    if spec.clean not in {"normalised", "verbatim"}:
        raise fail(f"clean is {spec.clean!r}", "use normalised or verbatim")
    units = units_of(spec)
    return verbatim(raw, units) if spec.is_verbatim else clean(raw, Rules(merge=spec.merge, units=units))


class Prepared(NamedTuple):
    """A list that is ready: its pairs (tables.PAIRS), the pairs set aside (ASIDE), the record of changes (CHANGES)."""

    pairs: pd.DataFrame
    aside: pd.DataFrame
    changes: pd.DataFrame


def prepare(files: Sequence[str], pair: str, spec: LexiconSpec) -> Prepared:
    """Read, clean and split one list by itself.

    Raises LexiconError with file, line, reason and mend; a leak between given splits is one unless spec.split.leaks is
    "report".
    """
    return prepare_union({pair: (files, spec)})[pair]


class Union:
    """Lists that share a language, split concept by concept: what one trains, none holds out.

    Each list is split after those that were added before it (see `before`): a component that holds one of their forms follows
    them, a pair that would bridge two of their splits is set aside. So a list is split alike whatever is added after it, and
    the lists before it are all that its job has to read. One that nobody trains on is split after all that are trained on, and
    settles nothing for any other.
    """

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._links: dict[str, list[list[str]]] = {}
        self._takes_part: dict[str, bool] = {}  # of those that are trained on
        self._placed: tuple[list[str], Placement] = ([], Placement())  # lists, and what they have settled

    def add(self, pair: str, files: Sequence[str], spec: LexiconSpec, raw: pd.DataFrame | None = None) -> Prepared:
        """Read, clean and split a list; one that fails leaves nothing behind. raw: what reading the files gave, where that is known.

        Raises LexiconError as `prepare`; a leak between lists is one where the file's own split column makes it.
        """
        placement = self._placement(before(self._takes_part | {pair: spec.split.union}, pair))
        rows, changes = cleaned(read(files, pair, spec) if raw is None else raw, spec)
        repeats = "keep" if spec.is_verbatim else "set aside"
        if not spec.train:
            lists = (self._prepared[name].pairs for name in self._takes_part)
            trained = trained_forms((keys_of(pairs), pairs["split"]) for pairs in lists)
            pairs, aside = held_out(rows, spec.split.by, trained, repeats=repeats, placement=placement)
            self._prepared[pair] = Prepared(pairs, aside, changes[CHANGES])
            return self._prepared[pair]
        pairs, aside, links = split_with_links(rows, spec.split, repeats=repeats, placement=placement)
        leaking = leaks_between_lists(pairs, links, placement)
        if leaking:  # only where the spec says that leaks are reported
            shown = pairs.loc[list(leaking), "source"] + " = " + pairs.loc[list(leaking), "target"]
            records = pd.DataFrame({"before": shown, "reason": list(leaking.values())})
            changes = pd.concat([changes, records.assign(action="leaks", field="pair", file=pair, line=0, after="")], ignore_index=True)
        self._prepared[pair], self._links[pair], self._takes_part[pair] = Prepared(pairs, aside, changes[CHANGES]), links, spec.split.union
        return self._prepared[pair]

    def _placement(self, names: list[str]) -> Placement:
        """What these lists have settled, in their order. It grows with the lists: twenty of them are not taken in anew for each."""
        placed, placement = self._placed
        if placed != names[: len(placed)]:
            placed, placement = [], Placement()
        for name in names[len(placed) :]:
            pairs = self._prepared[name].pairs
            placement.add(name, self._links[name], pairs["component"].tolist(), pairs["split"].tolist())
        self._placed = names, placement
        return placement

    def prepared(self, pair: str) -> Prepared:
        """A list that was added."""
        return self._prepared[pair]


def prepare_union(lists: Mapping[str, tuple[Sequence[str], LexiconSpec]]) -> dict[str, Prepared]:
    """The lists of a `Union`, added in their order: pair -> files and spec."""
    union = Union()
    return {pair: union.add(pair, files, spec) for pair, (files, spec) in lists.items()}


def settling(specs: Mapping[str, LexiconSpec], pair: str) -> list[str]:
    """The lists that a list's job reads first: those that decide its split, and of one that nobody trains on all that are trained on."""
    if not specs[pair].train:
        return [name for name, spec in specs.items() if spec.train]
    return before({name: spec.split.union for name, spec in specs.items() if spec.train}, pair)


def before(unions: Mapping[str, bool], pair: str) -> list[str]:
    """The lists that decide the split of `pair`: those before it that share a language with it, or with one that does.

    unions: pair -> whether the list takes part (`split.union`), in the order of the config.
    """
    if not unions[pair]:
        return []
    names = list(unions)
    known = [name for name in names[: names.index(pair)] if unions[name]]
    languages, reached = {short(language) for language in languages_of(pair)}, []
    while more := [name for name in known if name not in reached and languages & {short(one) for one in languages_of(name)}]:
        reached += more
        languages |= {short(language) for name in more for language in languages_of(name)}
    return [name for name in known if name in reached]
