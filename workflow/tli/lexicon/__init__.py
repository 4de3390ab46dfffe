r"""Word lists: read from many formats, cleaned on the record, audited, split without leaks. No torch.

spec = LexiconSpec(format="gatitos", columns=("target", "source"))
raw = read("data/en_ln.tsv", "lin-eng", spec)
pairs, changes = clean(raw)
pairs, aside = split(pairs, spec.split)
print("\n".join(audit_lines(audit(pairs, changes=changes))))
"""

from tli.errors import LexiconError
from tli.lexicon.audit import audit
from tli.lexicon.audit_file import audit_file, guess_format
from tli.lexicon.audit_lines import audit_lines
from tli.lexicon.changes import CHANGES
from tli.lexicon.clean import Rules, clean
from tli.lexicon.compared import Listed, compare
from tli.lexicon.components import leaks, pair_id
from tli.lexicon.folds import deal_folds, deal_folds_of_union
from tli.lexicon.formats import RAW, read
from tli.lexicon.forms import key
from tli.lexicon.prepare import Union, before, prepare, prepare_union, settling
from tli.lexicon.similarity import edit_similarity
from tli.lexicon.split import split
from tli.lexicon.untrained import askable, keys_of, trained_forms

__all__ = [
    "CHANGES",
    "RAW",
    "LexiconError",
    "Listed",
    "Rules",
    "Union",
    "askable",
    "audit",
    "audit_file",
    "audit_lines",
    "before",
    "clean",
    "compare",
    "deal_folds",
    "deal_folds_of_union",
    "edit_similarity",
    "guess_format",
    "key",
    "keys_of",
    "leaks",
    "pair_id",
    "prepare",
    "prepare_union",
    "read",
    "settling",
    "split",
    "trained_forms",
]
