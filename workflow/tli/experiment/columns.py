"""Who is asked of each list of `evaluation.on`, and among which forms: the same for every adapter that is measured there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tli.errors import LexiconError
from tli.experiment.folds import Splits
from tli.lexicon import askable, keys_of, trained_forms
from tli.probes.across import Column

NOTHING_LEFT = (
    "no word is left to measure on: every row that may be asked has a form that some list of the experiment trains; hold more words out "
    "(`split.shares`), or take {pair} out of evaluation.on"
)


class Columns:
    """The lists that are measured, for each seed and fold.

    The pool of a list leaves out every form, normalised, that any list trains: the source or the target of one of its train rows, whether
    an arm takes all of them or some. With folds the train rows are those of this seed and fold on every list (a concept lies in the same
    fold of all that share a language), so that a column is one for all adapters of a seed and fold, and is compared within it.
    """

    def __init__(self, splits: Mapping[str, Splits], trained: Collection[str]):
        """splits: of every list that is measured or trained on. trained: the pairs that are trained on."""
        self._splits, self._trained = splits, [pair for pair in splits if pair in trained]
        self._keys = {pair: keys_of(one.pairs) for pair, one in splits.items()}
        self._forms: dict[tuple[int, int], frozenset[str]] = {}
        self._made: dict[tuple[str, int, int], Column] = {}

    def of(self, pair: str, seed: int, fold: int) -> Column:
        """The column of a list, without folds the same for all seeds. Raises LexiconError where nothing is left to ask."""
        place = (pair, seed if fold else -1, fold)
        if place not in self._made:
            self._made[place] = self._make(*place)
        return self._made[place]

    def _make(self, pair: str, seed: int, fold: int) -> Column:
        pairs, trained = self._splits[pair].pairs, self._trained_forms(seed, fold)
        split = self._splits[pair].of(seed, fold)["split"] if pair in self._trained else None
        asked = askable(self._keys[pair], split, trained)
        if not asked.any():
            raise LexiconError(f"{pair}{f', seed {seed}, fold {fold}' if fold else ''}: {NOTHING_LEFT.format(pair=pair)}")
        return Column(pairs, asked, trained)

    def _trained_forms(self, seed: int, fold: int) -> frozenset[str]:
        if (seed, fold) not in self._forms:
            lists = ((self._keys[pair], self._splits[pair].of(seed, fold)["split"]) for pair in self._trained)
            self._forms[seed, fold] = trained_forms(lists)
        return self._forms[seed, fold]
