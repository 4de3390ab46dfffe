"""Scan: how well every hidden state of the model aligns the pairs of a lexicon, before anything is trained, and what a free map adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tli import lexicon, metrics
from tli.experiment.elsewhere import Elsewhere
from tli.experiment.folds import Splits
from tli.experiment.job import ScanJob
from tli.io import store, table_files, tables
from tli.io.records import read_check
from tli.labels import is_in_template
from tli.log import say, warn
from tli.metrics.choice import choice_pooling, choose_layer, token_pooling
from tli.model.checkpoint import load_tokenizer
from tli.model.device import device_name
from tli.model.embedding import Embedded, embed
from tli.model.framed import Fed
from tli.model.opened import Opened
from tli.model.opening import open_model
from tli.model.plain_loop import compare_with_plain_loop
from tli.model.pooling import tokenize
from tli.model.token_facts import assert_known, template_lines, token_lines, tokens_table
from tli.probes import maps, words
from tli.probes.templates import by_template, in_templates
from tli.probes.word_facts import word_facts
from tli.specs import STAGE_VERSIONS, TemplateSpec, plain

SINK_WARNING = 10.0


def run(job: ScanJob) -> dict:
    """Write scan (tables.SCAN), the choice of `best` (tables.CHOICE), facts of words (tables.WORDS), what the model's tokenizer
    makes of the lexicon (tables.TOKENS) and that as an audit (severity, text), and the free maps: what chose them (tables.MAPS),
    and as of runs their similarities and metrics.

    One pass over the distinct forms gives every hidden state 0..L and every pooling. Returns the facts for the provenance.
    Raises EmbedError, before the model is opened, where its tokenizer does not know most of the forms of a side.
    """
    spec, names = job.spec, {"model": job.model, "pair": job.pair}
    elsewhere = Elsewhere.read(job)
    pairs, word_form = elsewhere.own.pairs, job.model_spec.word_form
    tokens = tokens_table(load_tokenizer(job.model_spec), pairs, job.pair, word_form)
    assert_known(tokens, job.model)
    table_files.write(tokens.assign(model=job.model), job.outputs["tokens"], tables.TOKENS)
    lines = token_lines(tokens)
    if spec.templates is not None:
        lines += template_lines(load_tokenizer(job.model_spec), pairs, job.pair, spec.templates)
    opened = open_model(job.model_spec)
    states = list(range(opened.layers + 1))
    say(f"scan: {len(pairs)} pairs at hs[0] to hs[{opened.layers}], poolings {', '.join(spec.poolings)}")
    listed = words.Listed.of(pairs, words.similarity_of(pairs), elsewhere=elsewhere.of(-1, 0))
    frames = _frames(spec.templates, listed)
    every: list[Fed] = [*pairs["source"], *pairs["target"], *frames]
    compare_with_plain_loop(opened, list(dict.fromkeys(every)), states)
    embedded = embed(opened, listed.forms, states, list(spec.poolings), progress=lambda done: say(f"  {done} forms embedded"))
    result = words.figures_of(embedded, listed, opened.layers, spec.csls_k)
    table_files.write(_word_facts(job, opened, pairs, result).assign(**names), job.outputs["words"], tables.WORDS)
    every_row, every_figure = [result.rows], [result.figures]
    if spec.templates is not None:
        read = embed(opened, frames, states, list(spec.poolings), progress=lambda done: say(f"  {done} forms embedded in templates"))
        framed = by_template(read, spec.templates, listed.sources)
        result = words.figures_of(framed, listed, opened.layers, spec.csls_k)
        every_row, every_figure = [*every_row, result.rows], [*every_figure, result.figures]
        embedded = framed if spec.templates.carry_claims else embedded
        del read, framed
    figures = pd.concat(every_figure, ignore_index=True)
    table_files.write(figures.assign(**names), job.outputs["scan"], tables.SCAN)
    rows, figures = (table[table["pool"] == tables.WHOLE_LIST] for table in (pd.concat(every_row, ignore_index=True), figures))
    choice = choose_layer(rows, figures, opened.layers, spec)
    warn_of_sinks(figures[~figures["pooling"].map(is_in_template)])
    audit = pd.concat([token_audit(opened.tokenizer, pairs, word_form), _told(lines)], ignore_index=True)
    table_files.write(audit, job.outputs["audit"], ["severity", "text"])
    table_files.write(choice.assign(**names), job.outputs["choice"], tables.CHOICE)
    if len(choice):
        say(f"scan: best by {spec.best_by} is hs[{int(choice.loc[choice['chosen'], 'hidden_state'].iloc[0])}]")
    else:
        say("scan: no select split (or a single block), so no best hidden state is chosen")
    facts = {"device": device_name(opened.device), "word_form": word_form}
    del opened, result  # the maps need the vectors alone
    _write_maps(job, _Maps(job, embedded, choice, listed, elsewhere))
    return facts


def _word_facts(job: ScanJob, opened: Opened, pairs: pd.DataFrame, alone: words.Figures) -> pd.DataFrame:
    """tables.WORDS without model and pair. alone: what the list gives, its words by themselves."""
    others = Splits.read_lists(job.trained_with, {"pairs": job.inputs["together"]}) if job.trained_with else {}
    sources = {pair: splits.pairs.query("split == 'train'")["source"].tolist() for pair, splits in others.items()}
    beside = {name: [form for pair in lists if pair in sources for form in sources[pair]] for name, lists in job.joint_trainings.items()}
    pooling = token_pooling(job.spec)
    facts = word_facts(opened, pairs, alone.vectors[opened.layers, pooling][0], beside, pooling)
    return facts.assign(trained_on=facts["trained_on"].where(facts["trained_on"] != "", job.pair))


def _frames(templates: TemplateSpec | None, listed: words.Listed) -> list[Fed]:
    """The forms of a list in templates, as `by_template` asks for them; none without templates."""
    return [] if templates is None else [one for side in in_templates(templates, listed.forms, listed.sources) for one in side]


class _Maps:
    """The free maps of a list: of each seed and fold, from the store where they are finished."""

    def __init__(self, job: ScanJob, embedded: Embedded, choice: pd.DataFrame, listed: words.Listed, elsewhere: Elsewhere):
        self.job, self.embedded, self.splits, self.spec = job, embedded, elsewhere.own, job.maps
        self.elsewhere = elsewhere.of
        self.pooling = choice_pooling(job.spec)
        self.frames = job.spec.templates if job.spec.templates is not None and job.spec.templates.carry_claims else None
        self.layers = max(state for state, _ in embedded.vectors)
        self.best = int(choice.loc[choice["chosen"], "hidden_state"].iloc[0]) if len(choice) else None
        self.candidates, self.similarity = listed.candidates, listed.similarity

    def asked(self, pairs: pd.DataFrame, seed: int, fold: int) -> maps.Asked:
        dimensions = self.embedded.vectors[0, self.pooling].shape[1]
        fitted = int((pairs["split"] == "train").sum())
        work = maps.work_of(fitted, dimensions, len(self.job.experiment.judged))
        named = [state for state in self.spec.states if state <= self.layers]
        return maps.Asked(
            names=self.spec.names,
            states=maps.candidate_states(self.layers, self.best, named, work),
            full=frozenset([*named, self.layers, *([self.best] if self.best is not None else [])]),
            twins=(seed,) if fold else self.spec.twins,
            pooling=self.pooling,
            layers=self.layers,
            k=self.spec.csls_k,
        )

    def folder(self, seed: int, fold: int) -> Path:
        """The unit of the store."""
        pairs, elsewhere = self.splits.of(seed, fold), self.elsewhere(seed, fold)
        asked = self.asked(pairs, seed, fold)
        key = {
            "version": STAGE_VERSIONS["scan"],
            "identity": read_check(self.job.inputs["check"]).identity,
            "dtype": self.job.model_spec.dtype,
            "quantization": self.job.model_spec.quantization,
            "asked": plain(asked) | {"full": sorted(asked.full)},
            "pairs": store.digest_table(pairs),
            **self.job.model_spec.word_key,
        } | ({"trained_elsewhere": sorted(elsewhere)} if elsewhere else {})
        if self.frames is not None:
            key |= {"templates": plain(self.frames)}

        def build(folder: Path) -> None:
            say(
                f"scan: {len(asked.names)} free maps at {len(asked.states)} hidden states" + (f", seed {seed}, fold {fold}" if fold else "")
            )
            listed = words.Listed.of(pairs, self.similarity, whole_list=not fold, elsewhere=elsewhere)
            mapped = maps.measure_maps(self.vectors, listed, asked)
            mapped.curve.to_parquet(folder / "curve.parquet", index=False)
            mapped.rows.to_parquet(folder / "rows.parquet", index=False)
            mapped.figures.to_parquet(folder / "figures.parquet", index=False)

        return store.get(Path(self.job.layout.store), "maps", key, build)[0]

    def vectors(self, state: int) -> metrics.Vectors:
        return metrics.Vectors.of(self.embedded.vectors[state, self.pooling], self.candidates)


def _write_maps(job: ScanJob, made: _Maps) -> None:
    names = {"model": job.model, "pair": job.pair}
    parts: dict[str, list[pd.DataFrame]] = {"curve": [], "rows": [], "figures": []}
    for seed, fold in job.experiment.judged if job.maps.names else ():
        folder = made.folder(seed, fold)
        for table, gathered in parts.items():
            gathered.append(maps.named(pd.read_parquet(folder / f"{table}.parquet"), seed, fold).assign(**names))
    for table, output, columns in (
        ("curve", "maps", tables.MAPS),
        ("rows", "map_similarities", tables.SIMILARITIES),
        ("figures", "map_metrics", tables.RUN_METRICS),
    ):
        table_files.write(tables.joined(parts[table], columns), job.outputs[output], columns)
    chosen = tables.joined(parts["curve"], tables.MAPS).query("chosen")
    for name, rows in chosen.groupby("map", sort=False):
        at = ", ".join(f"hs[{state}]" for state in sorted(rows["hidden_state"].unique()))
        say(f"scan: {name} takes {at}: {rows['value'].mean():.3f} of the select words found")


def _told(lines: list[tuple[str, str]]) -> pd.DataFrame:
    """What the tokenizer makes of the list, as lines of the audit, and in the log. lines: (severity, text)."""
    for severity, text in lines:
        (warn if severity == "warning" else say)(f"scan: {text}")
    return pd.DataFrame(lines, columns=["severity", "text"])


def token_audit(tokenizer: Any, pairs: pd.DataFrame, word_form: str = "alone") -> pd.DataFrame:
    """The lines of the lexicon's audit that need a tokenizer: tokens a form, pairs that share a token."""

    def own_tokens(forms: list[str]) -> list[list[int]]:
        return [list(word.ids[word.first : word.last]) for word in tokenize(tokenizer, forms, word_form)]

    lines = [line.split(": ", 1) for line in lexicon.audit_lines(lexicon.audit(pairs, tokenize=own_tokens)) if "token" in line]
    return pd.DataFrame(lines, columns=["severity", "text"])


def warn_of_sinks(figures: pd.DataFrame) -> None:
    """A line in the log where token 0 dwarfs the words, and what pooling it in does to the cosine of any two words."""
    worst = figures.loc[figures["sink_ratio"].idxmax()] if figures["sink_ratio"].notna().any() else None
    if worst is None or worst["sink_ratio"] <= SINK_WARNING:
        return
    with_bos = figures[(figures["pooling"] == "with-bos") & (figures["hidden_state"] == worst["hidden_state"])]
    tail = f"; with BOS pooled, any two words score {with_bos['mismatched'].max():.4f} there" if len(with_bos) else ""
    warn(f"attention sink: token 0 has {worst['sink_ratio']:.0f} times the norm of the others at hs[{worst['hidden_state']}]{tail}")
