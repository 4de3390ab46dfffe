"""What every section of the config shares: no unknown key, nothing changed once it is read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SLUG = r"^[a-z0-9]+(?:[-.][a-z0-9]+)*$"
ALPHA_RULE = r"^([1-9]\d*(\.\d+)?|0\.0*[1-9]\d*)?r$"
CHECKSUM = r"^([0-9a-f]{64})?$"
NOT_EMPTY = r"\S"
PAIR = r"^[a-z0-9]+-[a-z0-9]+$"
LANGUAGE_NAME = r"^[^\s{}:][^{}:\n]*$"
PATTERNS = {  # a pattern in words, for messages; those of names have words of their own
    ALPHA_RULE: "a rule of the rank (2r, r)",
    CHECKSUM: "a checksum of 64 hexadecimal digits",
    NOT_EMPTY: "a name that is not empty",
    PAIR: "the name of a pair (swh-eng)",
    LANGUAGE_NAME: "a name in one line without braces and colons",
}
Pooling = Literal["no-bos", "with-bos", "last-token", "weighted-mean"]
Criterion = Literal["csls_p_at_1", "gap", "mrr", "p_at_1", "cosine", "mexa", "z"]
FreeMap = Literal["centring", "top-components", "whitening", "procrustes", "ridge", "cca"]
Layer = Literal["best", "output"] | Annotated[int, Field(ge=0)]
AlphaRule = Annotated[str, Field(pattern=ALPHA_RULE)] | Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of the config: no unknown key, nothing changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
