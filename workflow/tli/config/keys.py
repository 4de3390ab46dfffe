"""The experiment as its user writes it: every key with its meaning and its default.

The models below are the one source of the config's reference (config/README.md) and of its JSON schema
(workflow/schemas/config.schema.json); a test holds the three together.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from tli.config.places import Key, KeyProblem, nearest
from tli.config.templates import assert_template, assert_templates_fit
from tli.facts import languages_of_name

SLUG = r"^[a-z0-9]+(?:[-.][a-z0-9]+)*$"
ALPHA_RULE = r"^([1-9]\d*(\.\d+)?|0\.0*[1-9]\d*)?r$"
CHECKSUM = r"^([0-9a-f]{64})?$"
NOT_EMPTY = r"\S"
OWN, ALL = "own", "all"  # of evaluation.on, beside names of pairs
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


class Model(Section):
    """A language model, on disk or on the hub."""

    source: str = Field(
        description="A folder with config.json, *.safetensors and tokenizer.json, or a hub id. A folder is found "
        "from the place where Snakemake is started.",
        examples=["resources/demo/model", "Lugha-Llama/Lugha-Llama-8B-wura"],
    )
    revision: str | None = Field(
        None,
        description="The commit of a hub model, 40 hexadecimal digits. Needed before a hub model is run, so that the "
        "run can be repeated: `tli fetch CONFIG` prints it. Not used for a folder.",
        examples=["<the 40 digits that the fetch command prints>"],
    )
    quantization: Literal["none", "nf4"] = Field(
        "none",
        description="`nf4` holds the weights in 4 bits through bitsandbytes, on a GPU or a CPU. The check job writes them to "
        "`<results>/store/nf4` (4.5 bits a weight of the blocks, 16 of all else) and all others open them there.",
        examples=["nf4"],
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Type of the weights and of the computation. Pooling and cosines are always float32."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where it computes; `auto` takes a GPU where there is one.")
    stream: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Push all words, and the sentences of `text`, through one block at a time, read from the files: `auto` does so where "
        "memory does not hold the model. The tasks of `transfer`, the anchor `kl` and the matrix of `gradient-weighted` open it whole.",
    )
    across_gpus: bool = Field(
        False,
        description="Spread a model over all visible GPUs (accelerate's device map) where one card does not hold what a job opens of it.",
    )
    demo: bool = Field(False, description="Marks a model too small for any claim; the report then says so everywhere.")
    trust_remote_code: bool = Field(
        False, description="Let Transformers run Python code that comes with the model. Off unless you know the code."
    )
    word_form: Literal["alone", "leading-space"] = Field(
        "alone",
        description="How the model is fed a word, in scan, training and evaluation alike: `alone`, as the paper did, or as it stands in "
        "text after a space (`leading-space`). A tokenizer in bytes (GPT-2, Llama 3) cuts ` afya` otherwise than `afya`; one that puts the "
        "space itself (most SentencePiece models) does not. To compare the two, name the model twice. Check and scan tell the difference.",
        examples=["leading-space"],
    )
    parameters: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Number of parameters, for the memory and time asked of the cluster where the model's files are "
        "not on disk yet. Read from the files where they are.",
        examples=[8.03e9],
    )


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
        description="How the file is written; resources/README.md shows each. A file called `.csv` is `csv` where nothing is said.",
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


class PoolingChoice(Section):
    """How the token vectors of a word become one vector, per step. BOS always stays in the input."""

    scan: list[Pooling] = Field(
        ["no-bos", "with-bos"],
        min_length=1,
        description="Poolings of the scan. With BOS pooled in, an attention sink makes any two words alike: the scan "
        "shows both so that one can see it. The first one decides what `best` is.",
    )
    train: Pooling = Field("no-bos", description="Pooling of the training loss.")
    evaluate: list[Pooling] = Field(["no-bos"], min_length=1, description="Poolings of the evaluation; the first carries the claims.")
    templates: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+$")], Annotated[list[str], Field(min_length=1)]] = Field(
        {},
        description="Neutral frames by language, equally many in each: scan and evaluation feed every word in them too, and pool over the "
        "word's own tokens. `{word}` alone is what is measured anyway. Template 2 of one language belongs to template 2 of the other. A "
        "causal model sees only what stands before the word. With `{word}` first, claims rest on the words alone and the frames stand beside "
        "them; with a frame first they rest on that.",
        examples=[{"swh": ["{word}", "Neno {word} lina maana"], "eng": ["{word}", "The word {word} means"]}],
    )
    over_templates: Literal["separate", "averaged"] = Field(
        "separate",
        description="`separate`: each template has figures of its own, as pooling `no-bos@2`; `averaged`: a word's vectors over all its "
        "templates become one (`no-bos@mean`), on which the claims rest where a frame stands first.",
    )

    @field_validator("templates", mode="before")
    @classmethod
    def _hold_the_word(cls, templates: Any) -> Any:
        for language, texts in templates.items() if isinstance(templates, dict) else ():
            for place, text in enumerate(texts if isinstance(texts, list) else ()):
                assert_template((language, place), text)
        return templates


class Scan(Section):
    """The look at every hidden state before anything is trained."""

    best_by: Criterion = Field(
        "csls_p_at_1",
        description="What makes a hidden state the `best` one: the highest value on the select split over hs[1] to "
        "hs[L-1]; ties go to the lower one.",
    )
    best_at_most: Annotated[int, Field(ge=1)] | None = Field(
        None, description="`best` looks no deeper than this hidden state, which also bounds the memory asked for.", examples=[16]
    )
    csls_k: Annotated[int, Field(ge=1)] = Field(10, description="Neighbours of CSLS; fewer where the lexicon is small.")
    bootstrap: Annotated[int, Field(ge=0)] = Field(
        1000, description="Resamples of the words that say how often each hidden state would have been chosen."
    )


class Selection(Section):
    """Which training pairs are used."""

    strategy: Literal["random", "lowest-margin", "diverse", "uncertainty"] = Field(
        "random",
        description="`lowest-margin`: those that the model separates worst; `diverse`: far from each other; "
        "`uncertainty`: nearest to the decision, scored again after each round.",
    )
    budget: Annotated[int, Field(ge=2)] | Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = Field(
        description="How many pairs are used. A list makes one arm for each, `<arm>-budget-<N>`, and so a curve of gain against budget.",
        examples=[100, [50, 100, 200]],
    )
    rounds: Annotated[int, Field(ge=1)] = Field(4, description="Rounds of `uncertainty`: after each it scores again.")


class Anchor(Section):
    """Training that leaves the model whole: loss + weight x what changes on running text of the section `text`."""

    metric: Literal["drift", "gradient-weighted", "kl"] = Field(
        description="`drift`: |h - h0|^2 / |h0|^2 at the loss layer; `gradient-weighted`: (h - h0)' M (h - h0) / 2 there, M from the gradients "
        "of the model's own log-likelihood, which approximates KL; both leave the blocks above unopened. `kl`: KL(before || after) itself, "
        "through all blocks.",
    )
    weight: Annotated[float, Field(ge=0)] | Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)] = Field(
        1.0,
        description="What the anchor counts beside the loss; 0 is plain TLI. A list makes one arm for each, `<arm>-weight-<w>`.",
        examples=[3, [0, 1, 3, 10]],
    )
    text: list[str] = Field([], description="Languages of the section `text`; left empty: those of the pair.", examples=[["swh", "eng"]])
    tokens_per_step: Annotated[int, Field(ge=1)] = Field(
        64, description="Tokens of running text in a step, at least; whole sentences are drawn."
    )


class Tune(Section):
    """Trials that settle an arm's settings before its runs: every combination is trained and judged on the select split alone."""

    learning_rate: list[Annotated[float, Field(gt=0)]] = Field(
        [], description="Peak learning rates to try; left empty: the arm's own.", examples=[[5.0e-5, 2.0e-4, 8.0e-4]]
    )
    epochs: list[Annotated[int, Field(ge=1)]] = Field([], description="Passes to try; left empty: the arm's own.", examples=[[2, 5]])
    weight: list[Annotated[float, Field(ge=0)]] = Field(
        [], description="Weights of the arm's anchor to try; left empty: the anchor's own.", examples=[[1, 3, 10]]
    )
    seeds: Annotated[int, Field(ge=1)] = Field(
        2, description="Seeds of each trial, counted from 1,000,001: none of them is ever a seed of the runs."
    )

    @model_validator(mode="after")
    def _tries_something(self) -> Self:
        lists = {name: getattr(self, name) for name in ("learning_rate", "epochs", "weight")}
        if not any(lists.values()):
            raise ValueError("names nothing to try; give learning_rate, epochs or weight a list of values")
        for name, values in lists.items():
            if len(set(values)) < len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise KeyProblem((name,), f"names {twice:g} twice; equal trials are one trial: name each value once")
        return self


class Training(Section):
    """How an adapter is trained. Defaults are the paper's; every key can stand in an arm too."""

    objective: Literal["triplet-hardest", "triplet-all", "infonce"] = Field(
        "triplet-hardest",
        description="Contrastive loss: `triplet-hardest` is the paper's, max(0, margin + sim(a, n) - sim(a, p)) with the "
        "most similar other translation of the batch as n.",
    )
    margin: Annotated[float, Field(ge=0)] = Field(0.4, description="Margin of the triplet losses, in units of cosine.")
    temperature: Annotated[float, Field(gt=0)] = Field(0.05, description="Temperature of InfoNCE.")
    mask_false_negatives: bool = Field(
        True, description="Never use another accepted translation of the anchor as a negative. Off in the paper's protocols."
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(2.0e-4, description="Peak learning rate of AdamW.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="Weight decay of AdamW.")
    epochs: Annotated[int, Field(ge=0)] = Field(5, description="Passes over the training pairs; 0 leaves the adapter as initialised.")
    batch_size: Annotated[int, Field(ge=2)] = Field(8, description="Pairs in a batch.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(50, description="Steps in which the learning rate rises.")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="What the learning rate does after that.")
    max_gradient_norm: Annotated[float, Field(gt=0)] | None = Field(None, description="Clip the gradient to this norm.", examples=[1.0])
    optimizer: Literal["adamw", "adamw-8bit"] = Field(
        "adamw", description="`adamw-8bit` is bitsandbytes' memory-saving AdamW, for full fine-tuning of large models on a GPU."
    )
    full_dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Type of the weights while all of them are trained (`method: full`). In bfloat16 most of the small updates "
        "vanish in the rounding (98 % of them at a learning rate of 1e-5): take it only where the memory forces it.",
    )
    gradient_checkpointing: bool = Field(False, description="Trade time for memory in the backward pass.")
    alpha: AlphaRule = Field("2r", description="LoRA's alpha: a rule of the rank (`2r`, `r`) or a number.", examples=["2r", 32])
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.05, description="Dropout on the adapters' input.")
    target_modules: list[str] | Literal["all-linear"] = Field(
        ["q_proj", "v_proj"],
        min_length=1,
        description="Modules of a block that get an adapter, by the names of their family; or `all-linear`, every matrix of a block.",
        examples=[["q_proj", "v_proj"], "all-linear"],
    )
    adapted_blocks: Literal["reachable", "all"] | Annotated[int, Field(ge=1)] = Field(
        "reachable",
        description="Which blocks get adapters: those below the loss layer, all, or the first N. Only blocks below the "
        "loss layer can learn.",
    )
    allow_unreached: bool = Field(
        False, description="Accept adapters on blocks that the loss cannot reach (they stay as initialised), as the paper had them."
    )
    select: Selection | None = Field(None, description="Train on some of the pairs only, chosen by a strategy.")
    anchor: Anchor | None = Field(None, description="Hold the model to its own running text (the third that is kept apart).")
    templates: bool = Field(
        False,
        description="Feed the words of each batch in `pooling.templates`: for every step the seed draws one template for all anchors and one "
        "for all positives, so that a frame never tells which translation is right.",
        examples=[True],
    )
    tune: Tune | None = Field(
        None,
        description="Fair tuning: choose learning rate, epochs or the anchor's weight by the primary endpoint on the select split, for each "
        "layer and rank. Only the best trial, trained anew with the runs' seeds, enters the grid; all arms have equally many trials of as "
        "many seeds, a placebo takes its arm's choice, an arm of 0 epochs has none to make. Without it, ranks, full fine-tuning and anchors "
        "are compared at settings that suit some of them.",
        examples=[{"learning_rate": [5.0e-5, 2.0e-4, 8.0e-4]}],
    )


class Arm(Training):
    """A method: one entry, so that a new one needs no code. Every key of `training` can be set here too."""

    like: str | Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="Take over another arm's settings. With a list, the entry stands for one arm per name: "
        "`placebo: {like: [tli, full-lora]}` makes `tli-placebo` and `full-lora-placebo`.",
        examples=["tli", ["tli", "full-lora"]],
    )
    method: Literal["lora", "full"] = Field("lora", description="Train adapters, or all weights below the loss layer.")
    loss_layer: list[Layer] = Field(
        ["best"],
        min_length=1,
        description="Hidden states at which the loss is taken: `best` (by the scan), a number k for hs[k], or `output`.",
        examples=[["best", 2]],
    )
    rank: list[Annotated[int, Field(ge=1)]] = Field(
        [16], min_length=1, description="LoRA ranks. Not used by `method: full`.", examples=[[4, 16, 64]]
    )

    @field_validator("loss_layer", "rank", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]

    shuffle_translations: bool = Field(
        False,
        description="The placebo: train on translations dealt out anew, so that no word meets its own, drawn anew for each seed.",
    )
    positives: Literal["translation", "own-word"] = Field(
        "translation",
        description="What a word is pulled to. `own-word` is a neutral control: the positive is the same word again under other dropout, "
        "the words of both languages stand in the batch, and no word's translation is a negative: nothing is pulled across the languages "
        "and no pair is pushed apart. It needs a dropout above 0.",
        examples=["own-word"],
    )
    train_on: list[Annotated[str, Field(pattern=PAIR)]] | None = Field(
        None,
        min_length=1,
        description="Train one adapter on the lists of these pairs together, and measure it on each of them; left empty, an adapter for each "
        "pair of the config. `best` is then the hidden state with the highest mean over the lists, a placebo shuffles within each list, an "
        "anchor reads the text of all their languages. With one pair the arm is trained on that one alone.",
        examples=[["swh-eng", "lin-eng"]],
    )
    mix: Literal["by-size", "even"] = Field(
        "by-size",
        description="With `train_on`: an epoch is every list once (`by-size`), or as many batches of each list as the largest has, the "
        "smaller ones repeated (`even`). The lists take turns in proportion to their batches.",
        examples=["even"],
    )
    negatives: Literal["own-list", "across"] = Field(
        "own-list",
        description="With `train_on`: a batch is of one list, so that a word's negatives are of its own list; or of all lists (`across`).",
        examples=["across"],
    )


class Evaluation(Section):
    """What is measured before and after training."""

    hidden_states: list[Literal["output", "loss-layer"] | Annotated[int, Field(ge=0)]] = Field(
        ["output", "loss-layer"],
        min_length=1,
        description="Hidden states that are measured. Claims rest on the first, `output` or a number.",
        examples=[["output", "loss-layer", 4]],
    )
    merge: bool = Field(
        False,
        description="Merge the adapters into the weights first, as the paper did. Merging into NF4 weights rounds the "
        "adapter, so it is off by default.",
    )

    @field_validator("hidden_states")
    @classmethod
    def _first_carries_claims(cls, states: Any) -> Any:
        if states[0] == "loss-layer":
            raise ValueError("claims rest on the first one, which must be the same for all runs; put `output` or a number first")
        return states

    on: list[str] = Field(
        ["own"],
        description="Lists that every adapter is measured on, and the model as it came: `own`, the list of its pair; names of pairs; or `all`. "
        "For each name the stage `across` ranks held-out words, at the first of `hidden_states` and of `pooling.evaluate`, among the forms "
        "that no list of the experiment trains, so that all adapters measured there can be compared. What `own` gives is the same either way.",
        examples=["all", ["lug-eng"]],
    )

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_key(cls, values: Any) -> Any:
        """YAML reads a bare `on` as true."""
        return {"on" if name is True else name: value for name, value in values.items()} if isinstance(values, dict) else values

    @field_validator("on", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    projected_pairs: Annotated[int, Field(ge=0)] = Field(
        80, description="How many pairs the t-SNE and PCA maps show, held-out ones first; 0 leaves the maps out."
    )


class Statistics(Section):
    """What is claimed and how it is corrected. A claim is about other seeds and other held-out words, with this training list."""

    primary: Criterion = Field("csls_p_at_1", description="The endpoint that carries the verdicts, on held-out pairs.")
    correction: Literal["holm", "benjamini-hochberg", "benjamini-yekutieli"] = Field(
        "holm", description="Correction of the confirmatory family for multiple comparisons."
    )
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(0.05, description="Level of the confirmatory family.")
    minimum_seeds: Annotated[int, Field(ge=2)] = Field(
        5, description="Below this many seeds the interval is shown and no claim is made: how much runs differ cannot be told from fewer."
    )
    minimum_units: Annotated[int, Field(ge=2)] = Field(
        20,
        description="The same for units: components of held-out words, items of a task. On fewer a hit more or less decides, and the normal "
        "form of the test does not hold.",
    )
    alike_margin: Annotated[float, Field(gt=0)] = Field(
        0.02,
        description="The gap (cosine of translations - of mismatched pairs) that counts as none: `raised all cosines alike` is said only where "
        "TOST shows that the gap changed by less. A training that aligns adds .3 to it in the demo.",
    )
    harm_margin: Annotated[float, Field(gt=0)] = Field(
        0.05,
        description="How much the cross-entropy on running text (section `text`) may rise, in nats a predicted token, in a model that is "
        "called whole. 0.05 is a perplexity 5 % higher.",
    )
    equivalence_margin: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Test whether held-out pairs gain as much as trained ones, within this margin; which difference is none only you can say.",
        examples=[0.05],
    )
    bootstrap: Annotated[int, Field(ge=100)] = Field(2000, description="Resamples of the bootstrap intervals within one run.")


class Translate(Section):
    """Word translation by prompt, both directions: held-out words as tasks of the lm-evaluation-harness."""

    shots: list[Annotated[int, Field(ge=0)]] = Field(
        [0, 5],
        min_length=1,
        description="Numbers of training pairs shown before each word. The untrained model with most of them is a rival of its own.",
        examples=[[0], [0, 1, 5]],
    )
    choices: Annotated[int, Field(ge=2)] = Field(
        10,
        description="The right form stands among so many held-out forms of like length, none of them another accepted translation. A model "
        "that does not look at the word is right once in so many.",
    )
    names: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+$")], Annotated[str, Field(pattern=LANGUAGE_NAME)]] = Field(
        {},
        description="What a language is called in the prompt; one that is not named here has its English name from CLDR, or its code.",
        examples=[{"lug": "Luganda"}],
    )

    @field_validator("shots")
    @classmethod
    def _distinct(cls, shots: Any) -> Any:
        if len(set(shots)) < len(shots):
            twice = next(number for number in shots if shots.count(number) > 1)
            raise ValueError(f"{twice} is named twice; name each number of shots once")
        return shots


class Transfer(Section):
    """Tasks that tell what else the training changed, scored by the lm-evaluation-harness."""

    tasks: list[str] = Field(
        [], description="Tasks by the harness's names; none leaves the stage out.", examples=[["xcopa_sw", "xnli_sw", "xnli_en", "copa"]]
    )
    source: str = Field(
        "hub",
        description="`hub`, or a folder with the items: `<task>.jsonl` or `<task>.tsv` in the form that XCOPA, COPA, XNLI or AfriXNLI "
        "published, or their published folders; examples for num_fewshot in `<task>.val.jsonl`.",
        examples=["resources/demo/transfer"],
    )
    question_from: str | None = Field(
        None,
        description="XCOPA's English file: take each item's `question` (cause or effect) from it. In the published "
        "Swahili file that field disagrees with the English original in a few per cent of the items, while the labels agree. "
        "Examples of num_fewshot keep their own.",
        examples=["data/xcopa/en/test.en.jsonl"],
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="Score only the first items of each task.", examples=[100])
    num_fewshot: Annotated[int, Field(ge=0)] = Field(0, description="Examples put before each item.")
    batch_size: Annotated[int, Field(ge=1)] = Field(16, description="Items that go through the model together.")
    add_bos: bool | None = Field(None, description="Put BOS before each item; left empty: as the tokenizer does.")
    translate: Translate | None = Field(
        None,
        description="Ask every model to translate the held-out words by prompt, in both directions: the right form among several by "
        'log-likelihood, and what it says by itself. `{}` asks with the defaults; left empty, nothing is asked. It answers the line "shows '
        'in what the model says". Of `transfer` it heeds limit, batch_size and add_bos.',
        examples=[{}],
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


class Jobs(Section):
    """Where the work is cut into jobs. It changes no result."""

    seeds_per_job: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        "all", description="Seeds of one cell that train in one job, on one copy of the weights."
    )
    seeds_together: bool = Field(
        True,
        description="Train the seeds of a job in one pass where device, free memory and the cost of a step allow it. A "
        "killed job then begins its seeds anew; otherwise it goes on at the next one.",
    )
    checkpoint_minutes: Annotated[float, Field(ge=0)] = Field(
        30,
        description="How often a full fine-tuning writes where it stands (weights and AdamW's moments, 12 bytes a parameter), so that a "
        "killed job goes on from there; 0: never. Adapters are trained in so little time that their jobs go on at the next seed.",
    )
    adapters_per_job: Annotated[int, Field(ge=1)] = Field(100, description="Adapters that one evaluation job measures.")
    adapters_per_transfer_job: Annotated[int, Field(ge=1)] = Field(
        10, description="Adapters that one transfer job scores; tasks take longer than words."
    )
    threads: Annotated[int, Field(ge=1)] = Field(1, description="CPU threads of a model job.", examples=[4])
    summaries_local: bool = Field(
        False,
        description="Compute the statistics and the report where Snakemake runs, not in small jobs of the cluster; most login nodes forbid it.",
        examples=[True],
    )


class Config(Section):
    """A TLI experiment: the grid of models x pairs x arms x layers x ranks x seeds, and how it is judged."""

    title: str = Field("Targeted Lexical Injection", description="Title of the report.")
    question: str = Field(
        "Does the model align the words of the two languages, where inside, and can a light fine-tuning carry that to the output?",
        description="The question that the report answers.",
    )
    results: str = Field(
        "results",
        pattern=NOT_EMPTY,
        description="Folder of the results, from the place where Snakemake is started.",
        examples=["results/ranks"],
    )
    models: dict[Annotated[str, Field(pattern=SLUG)], Model] = Field(
        min_length=1, description="The models, by a short name for paths.", examples=[{"my-llama": {"source": "path/to/model"}}]
    )
    pairs: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+-[a-z0-9]+(\.[a-z0-9]+)?$")], Pair] = Field(
        min_length=1,
        description="The language pairs, each by `<source>-<target>`. A further list of a pair that nobody trains on (`train: false`), such as one of "
        "sentences, has a name after a dot: `swh-eng.flores`.",
        examples=[{"swh-eng": {"lexicon": "data/swh-eng.tsv"}}],
    )
    arms: dict[Annotated[str, Field(pattern=SLUG)], Arm] = Field(
        {},
        description="The methods. Without any, nothing is trained: lexicon, check, scan and free maps say how well the words are aligned, "
        "and what is left to gain.",
        examples=[{"tli": {"loss_layer": ["best", 2]}}],
    )
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        10,
        description="How many seeds (1 to N), or which. Seeds and held-out words are the replicates of every claim: 5 seeds are the least.",
        examples=[10, [1, 2, 3]],
    )
    split: Split = Field(Split(), description="How lexicons are divided.")
    pooling: PoolingChoice = Field(PoolingChoice(), description="How a word becomes one vector.")
    scan: Scan = Field(Scan(), description="The scan.")
    maps: list[FreeMap] = Field(
        ["centring", "top-components", "whitening", "procrustes", "ridge", "cca"],
        description="Free maps, the rivals that nothing is trained for: each is fitted in closed form to the vectors of the training pairs "
        "(of each fold), takes its hidden state and its one hyperparameter by the select split, and stands beside the arms in every table. "
        "Those that use the pairing (Procrustes, ridge, CCA) have twins on shuffled pairs. The best of centring, Procrustes and ridge on select "
        "pairs is also put on every run (adapter + map), and Procrustes is tried inside the model too. An empty list leaves all out.",
        examples=[["centring", "procrustes"]],
    )
    training: Training = Field(Training(), description="Defaults of all arms.")
    evaluation: Evaluation = Field(Evaluation(), description="The evaluation.")
    statistics: Statistics = Field(Statistics(), description="The statistics.")
    transfer: Transfer = Field(Transfer(), description="Transfer to downstream tasks.")
    text: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+$")], Text] = Field(
        {},
        description="Running text by language: cross-entropy and KL of every run against the model as it came. A third, by a hash of the "
        "sentence, is kept apart for `training.anchor` and never measured. Without it the 32 shipped sentences stand in, which decide nothing.",
        examples=[{"swh": "data/swh.txt", "eng": {"file": "data/parallel.tsv", "column": "eng"}}],
    )
    jobs: Jobs = Field(Jobs(), description="How the work is cut into jobs.")
    _files: tuple[str, ...] = PrivateAttr(())

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it was read from, for the line in a later refusal."""
        return self._files

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: Any) -> Any:
        if isinstance(seeds, list) and len(set(seeds)) < len(seeds):
            raise ValueError(f"{next(seed for seed in seeds if seeds.count(seed) > 1)} is named twice; name each seed once")
        return seeds

    @field_validator("text", mode="before")
    @classmethod
    def _a_path_is_a_file(cls, value: Any) -> Any:
        return {key: {"file": one} if isinstance(one, str) else one for key, one in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _one_number_of_folds(self) -> Self:
        for name, pair in self.pairs.items():
            if pair.split is not None and pair.split.folds != self.split.folds:
                raise KeyProblem(
                    ("pairs", name, "split", "folds"),
                    f"is {pair.split.folds}, split.folds is {self.split.folds}; write the same in both",
                )
        return self

    @model_validator(mode="after")
    def _lists_to_measure_on(self) -> Self:
        for number, name in enumerate(self.evaluation.on):
            if name not in (OWN, ALL, *self.pairs):
                raise KeyProblem(
                    ("evaluation", "on", number), f"names {name!r}, which is no pair here; {nearest(name, [OWN, ALL, *self.pairs])}"
                )
        for name, pair in self.pairs.items():
            if pair.train and "." in name:
                raise KeyProblem(
                    ("pairs", name),
                    "a name after a dot is for a list that nobody trains on: add `train: false`, or give the pair's own list all the files",
                )
            if not pair.train and pair.split is not None:
                raise KeyProblem(
                    ("pairs", name, "split"), "nobody trains on this list (train: false), so all of it is held out; take `split` out"
                )
            if not pair.train and self.arms and not {ALL, name} & set(self.evaluation.on):
                raise KeyProblem(
                    ("pairs", name, "train"),
                    f"is false, and no adapter is measured on this list: name it (`evaluation.on: [{name}]`, or `all`), or take the pair out",
                )
        if not any(pair.train for pair in self.pairs.values()):
            raise KeyProblem(("pairs",), "every pair has `train: false`, so there is nothing to scan or to train on; leave it out of one")
        return self

    @model_validator(mode="after")
    def _anchors_have_text(self) -> Self:
        sections: dict[tuple[str, ...], Training | Arm] = {("training",): self.training}
        for place, section in (sections | {("arms", name): arm for name, arm in self.arms.items()}).items():
            if section.anchor is None:
                continue
            for language in section.anchor.text or sorted(
                {language for name, pair in self.pairs.items() if pair.train for language in languages_of_name(name)}
            ):
                if language not in self.text:
                    raise KeyProblem((*place, "anchor"), f"there is no running text in {language!r}; name a file under text.{language}")
        return self

    @model_validator(mode="after")
    def _templates_fit(self) -> Self:
        trained_in: list[Key] = [("training",)] if self.training.templates else []
        trained_in += [("arms", name) for name, arm in self.arms.items() if arm.templates]
        spaced = next((name for name, model in self.models.items() if model.word_form == "leading-space"), None)
        trained = [name for name, pair in self.pairs.items() if pair.train]  # the other lists are fed by themselves
        others = any(name != OWN for name in self.evaluation.on)
        assert_templates_fit(self.pooling.templates, trained, trained_in, spaced, others)
        return self

    @model_validator(mode="after")
    def _parents_exist(self) -> Self:
        for name, arm in self.arms.items():
            if name == "baseline" or name.startswith("baseline-"):
                raise KeyProblem(("arms", name), "`baseline` is what the untrained model is called in the tables; rename the arm")
            parents = [arm.like] if isinstance(arm.like, str) else arm.like or []
            for parent in parents:
                if parent not in self.arms:
                    others = [other for other in self.arms if other != name]
                    raise KeyProblem(("arms", name, "like"), f"names {parent!r}, which is no arm here; {nearest(parent, others)}")
        return self

    @model_validator(mode="after")
    def _lists_exist(self) -> Self:
        for name, arm in self.arms.items():
            lists = arm.train_on or []
            for number, pair in enumerate(lists):
                if pair not in self.pairs:
                    raise KeyProblem(("arms", name, "train_on", number), f"{pair!r} is no pair here; {nearest(pair, self.pairs)}")
                if pair in lists[:number]:
                    raise KeyProblem(("arms", name, "train_on", number), f"{pair!r} is named twice; name each pair once")
        return self

    @property
    def seed_list(self) -> list[int]:
        return list(range(1, self.seeds + 1)) if isinstance(self.seeds, int) else list(self.seeds)
