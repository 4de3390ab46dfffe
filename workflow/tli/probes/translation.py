"""Held-out words as items to translate: prompts, choices, accepted answers. The same for every subject of a list. No torch.

Of each pair both directions are asked. A word is asked once, whatever its number of pairs; every form that the list gives as its
translation, in any split, is accepted and is never a wrong choice. No form of an item was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tli.errors import ItemError
from tli.lexicon.forms import alternatives, key
from tli.lexicon.languages import english_name

QUESTION = "{source_language}: {word}\n{target_language}:"
SHOT = QUESTION + " {answer}\n\n"  # the harness puts the space before a choice


@dataclass(frozen=True)
class Direction:
    """From one language of a pair into the other."""

    source: str  # their codes
    target: str
    backwards: bool  # the list's targets are the words that are asked

    @property
    def name(self) -> str:
        return f"{self.source}-{self.target}"

    def forms(self, row: Any) -> tuple[str, str]:
        """The word that is asked, and its answer, of a row of tables.PAIRS."""
        return (row.target, row.source) if self.backwards else (row.source, row.target)

    def links(self, row: Any) -> Iterator[tuple[str, str]]:
        """(word, accepted answer) of all that the row says."""
        for target in (row.target, *alternatives(row.alternatives)):
            yield (target, row.source) if self.backwards else (row.source, target)


def directions(pair: str) -> tuple[Direction, Direction]:
    """Both directions of `<source>-<target>`."""
    source, target = pair.split("-")
    return Direction(source, target, False), Direction(target, source, True)


@dataclass(frozen=True)
class Wording:
    """How a prompt is put in a direction."""

    direction: Direction
    names: Mapping[str, str]  # code -> name, where the config gives one

    def of(self, template: str, **words: str) -> str:
        languages = {"source_language": self.direction.source, "target_language": self.direction.target}
        return template.format(**{role: self.names.get(code) or english_name(code) for role, code in languages.items()}, **words)


def items_of(pairs: pd.DataFrame, wording: Wording, shots: int, choices: int, elsewhere: frozenset[str] = frozenset()) -> list[dict]:
    """The items of a direction: item (pair_id), component, word, prompt, choices, answer (the place of the right one), accepted.

    pairs: tables.PAIRS with the split of the run that is asked; elsewhere: forms that are trained through another list. The right forms of all items, in the order of their length in
    characters, are cut into blocks of `choices`; the choices of an item are its block. So each form is right once and
    wrong in the other items of its block, and whoever does not look at the word is right once in `choices`. A form that is
    accepted for the word gives its place to the next one of like length. `shots` training pairs, drawn for each word (5 shots
    begin with the 1 of `shots=1`), stand before it. Fewer than two right forms give no item.
    Raises ItemError where there are fewer training pairs than shots.
    """
    direction = wording.direction
    accepted: dict[str, dict[str, str]] = {}
    for row in pairs.itertuples(index=False):
        for word, answer in direction.links(row):
            accepted.setdefault(key(word), {}).setdefault(key(answer), answer)
    trained = [direction.forms(row) for row in pairs[pairs["split"] == "train"].itertuples(index=False)]
    sides = zip(*trained, strict=True) if trained else ((), ())
    asked = _asked(pairs, direction, [{key(form) for form in (*side, *elsewhere)} for side in sides])
    forms: dict[str, str] = {}
    for _, _, answer in asked:
        forms.setdefault(key(answer), answer)
    order = sorted(forms, key=lambda form: (len(forms[form]), _digest(form)))
    place = {form: number for number, form in enumerate(order)}
    items = []
    for row, word, answer in asked:
        right = accepted[key(word)]
        others = _like_length(order, place[key(answer)], choices, right)
        if not others:
            continue
        offered = sorted([key(answer), *others], key=partial(_drawn, key(word)))
        shown = _shots(trained, wording, word, right, shots)
        items.append(
            {
                "item": str(row.pair_id),
                "component": str(row.component),
                "word": word,
                "prompt": shown + wording.of(QUESTION, word=word),
                "choices": [forms[form] for form in offered],
                "answer": offered.index(key(answer)),
                "accepted": list(dict.fromkeys([*right.values(), *right])),  # as the list spells them, and in normal form
            }
        )
    return items


def _asked(pairs: pd.DataFrame, direction: Direction, trained: list[set[str]]) -> list[tuple]:
    """(row, word, answer) of the held-out pairs, each word once; without those of which a form was trained on."""
    rows: dict[str, tuple] = {}
    for row in pairs[pairs["split"] == "heldout"].itertuples(index=False):
        word, answer = direction.forms(row)
        if key(word) not in trained[0] and key(answer) not in trained[1]:
            rows.setdefault(key(word), (row, word, answer))
    return list(rows.values())


def _like_length(order: list[str], place: int, choices: int, right: Mapping[str, str]) -> list[str]:
    """The other forms of the block at `place`, and for those that are right the nearest ones outside it."""
    first = min(place // choices * choices, max(0, len(order) - choices))
    last = min(first + choices, len(order))
    others = [form for form in order[first:last] if form not in right]
    while len(others) < choices - 1 and (first > 0 or last < len(order)):
        below = last >= len(order) or (first > 0 and place - first < last - place)
        first, last = (first - 1, last) if below else (first, last + 1)
        form = order[first if below else last - 1]
        others += [form] if form not in right else []
    return others


def _shots(trained: list[tuple[str, str]], wording: Wording, word: str, right: Mapping[str, str], shots: int) -> str:
    if not shots:
        return ""
    random = np.random.default_rng(list(_digest(f"{wording.direction.name}\t{key(word)}")))
    shown: dict[str, str] = {}
    for number in random.permutation(len(trained)):
        one, answer = trained[number]
        if key(one) not in shown and key(one) != key(word) and key(answer) not in right:
            shown[key(one)] = wording.of(SHOT, word=one, answer=answer)
        if len(shown) == shots:
            return "".join(shown.values())
    raise ItemError(
        f"transfer.translate.shots: {shots} training pairs are to stand before {word!r}, and the list has {len(shown)} that may; ask for fewer"
    )


def _drawn(word: str, form: str) -> bytes:
    return _digest(f"{word}\t{form}")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
