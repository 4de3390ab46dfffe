"""Word lists: read from many formats, cleaned on the record, audited, split without leaks. No torch.

raw = read("data/en_ln.tsv", format="gatitos", columns=["target", "source"], source_language="lin", target_language="eng")
pairs, changes = clean(raw)
pairs, aside = split(pairs)
print("\\n".join(audit_lines(audit(pairs, changes=changes))))
"""

from tli.errors import LexiconError
from tli.lexicon.audit import audit, same_list
from tli.lexicon.audit_text import audit_file, audit_lines, guess_format
from tli.lexicon.clean import CHANGES, clean
from tli.lexicon.components import leaks, pair_id
from tli.lexicon.formats import FORMATS, RAW, read
from tli.lexicon.forms import SPLITS, key
from tli.lexicon.similarity import edit_similarity
from tli.lexicon.split import ASIDE, split
from tli.lexicon.steps import prepare

__all__ = [
    "ASIDE", "CHANGES", "FORMATS", "RAW", "SPLITS", "LexiconError", "audit", "audit_file", "audit_lines", "clean",
    "edit_similarity", "guess_format", "key", "leaks", "pair_id", "prepare", "read", "same_list", "split",
]  # fmt: skip
