"""What is read: the word lists of `pairs`, how they are divided (`split`), and running text (`text`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tli.config.keys.base import CHECKSUM, Section
from tli.config.places import KeyProblem


class Split(Section):
    """How the pairs of a lexicon are divided. Pairs that share a form always stay together."""

    by: Literal["forms", "content-words"] = Field(
        "forms",
        description="What joins two pairs: an equal whole form on either side (`forms`), or any shared content word too.",
    )
    shares: dict[Literal["train", "select", "heldout"], Annotated[float, Field(ge=0, le=1)]] = Field(
        {"train": 0.6, "select": 0.15, "heldout": 0.25},
        description="Share of each split, assigned by hash: a pair keeps its split when others are added.",
        examples=[{"train": 0.7, "select": 0.1, "heldout": 0.2}],
    )
    sizes: dict[Literal["train", "select", "heldout"], Annotated[int, Field(ge=0)]] | None = Field(
        None,
        description="Exact numbers of pairs instead of shares; an error says how near the list gets.",
        examples=[{"train": 623, "select": 74, "heldout": 63}],
    )
    folds: Annotated[int, Field(ge=1)] = Field(
        1,
        description="With 2 or more, every seed deals the words outside the select split anew into so many folds, trains on all but one of "
        "them and is measured on the last: every dealt word is held out once a seed, and claims rest on most of the list. It takes as "
        "many times the runs. The same for all pairs of an experiment.",
        examples=[5],
    )
    heldout_categories: list[str] = Field([], description="Categories kept whole for the held-out split.", examples=[["body"]])
    leaks: Literal["error", "report"] = Field(
        "error",
        description="What to do when a split column in the file puts pairs that share a form on both sides: stop, or go "
        "on and say so on the report's first screen (the published protocols need that).",
    )

    union: bool = Field(
        True,
        description="Split a list together with those before it in `pairs` that share a language with it: a form that one list trains "
        "is held out by none, and a pair that would bridge two splits of the lists before is set aside. A list added at the end moves "
        "no pair of another. `false` splits the list by itself, as the paper did.",
        examples=[False],
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.sizes is None and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise KeyProblem(("shares",), f"the shares add up to {sum(self.shares.values()):g}; they must add up to 1")
        return self


class Pair(Section):
    """A language pair: one lexicon. The name is `<source>-<target>`, ISO 639-3 codes by habit."""

    lexicon: str | list[str] = Field(
        description="The file with the translation pairs, or several of one format, from the place where Snakemake is "
        "started; or an https address, which a rule of its own fetches.",
        examples=["resources/lexicons/swh-eng.tsv"],
    )
    format: Literal["tsv", "csv", "json", "muse", "gatitos", "freedict-tei", "cldf", "cldr", "moses", "flores"] = Field(
        "tsv",
        description="How the file is written; resources/README.md shows each. A file called `.csv` is `csv` by default.",
        examples=["gatitos"],
    )
    columns: list[str] | dict[str, str] | None = Field(
        None,
        description="Which column or key is which, where the file's own names differ: a list in the file's order, or a "
        "map from our name to theirs.",
        examples=[["target", "source"], {"source": "swahili", "target": "english"}],
    )
    options: dict[str, str | int | bool] = Field({}, description="Settings of one format; resources/README.md lists them.")
    splits: list[Literal["train", "select", "heldout"]] | None = Field(
        None,
        description="The split of each file, where the files are the splits, as with the lists that the paper's author published.",
        examples=[["train", "heldout"]],
    )
    merge: bool = Field(
        True,
        description="Make one pair of the rows with the same source; their other translations become alternatives. Off in "
        "the paper's protocols, which kept repeated sources.",
    )
    clean: Literal["normalised", "verbatim"] = Field(
        "normalised",
        description="`verbatim` keeps every row and every string byte for byte (no Unicode normalisation, nothing taken off, split "
        "or merged; repeated rows stay and are reported), as a replication needs it. `merge` then changes nothing.",
        examples=["verbatim"],
    )
    units: Literal["words", "sentences"] | None = Field(
        None,
        description="What a row is. Of `sentences` cleaning takes nothing apart and nothing off: commas, slashes, brackets and quotes stay; rows "
        "may repeat, further translations of one sentence are alternatives. Left out: sentences for `moses` and `flores`, else words.",
        examples=["sentences"],
    )
    sha256: str | list[str] | None = Field(
        None, description="Checksum of each address's file, needed for an address.", examples=["<64 hexadecimal digits>"]
    )
    train: bool = Field(
        True,
        description="`false`: a list that nobody trains on and adapters of other pairs are measured on (`evaluation.on`). It is prepared and "
        "audited; it has no runs, no scan and no splits: every row is held out but those with a form that another list trains.",
        examples=[False],
    )

    @model_validator(mode="before")
    @classmethod
    def _comma_separated_by_its_name(cls, value: Any) -> Any:
        files = value.get("lexicon") if isinstance(value, dict) else None
        named = [files] if isinstance(files, str) else files
        if not isinstance(named, list) or not named or "format" in value:
            return value
        return value | {"format": "csv"} if all(str(file).lower().endswith(".csv") for file in named) else value

    @model_validator(mode="after")
    def _one_split_a_file(self) -> Self:
        files = 1 if isinstance(self.lexicon, str) else len(self.lexicon)
        if self.splits is not None and len(self.splits) != files:
            raise KeyProblem(("splits",), f"names {len(self.splits)} splits, the lexicon has {files} files; name one for each")
        return self

    split: Split | None = Field(None, description="Another split for this pair than the general one.")
    family: str = Field(
        "",
        max_length=40,
        description="The family of languages, for people: where pairs name one, the cross-pair matrix is ordered by it and its sentences "
        "count within and between families. It changes no figure.",
        examples=["Bantu"],
    )


class Text(Section):
    """A file of running text."""

    file: str = Field(description="File or https address, UTF-8, one sentence a line; or a table with tabs.", examples=["data/swh.txt"])
    column: str | Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Of a table: the column of the sentences, by its name in the first line or by its number (then there is no head).",
        examples=["swh", 2],
    )
    sha256: str = Field("", pattern=CHECKSUM, description="Checksum of an address's file.")

    @model_validator(mode="after")
    def _address_has_a_checksum(self) -> Self:
        if self.file.startswith(("http://", "https://")) and not self.sha256:
            raise KeyProblem(
                ("sha256",), "is missing: an address needs the checksum of its file, so that everyone measures the same text; add it"
            )
        return self
