"""Statistics: from the measured words of all runs to tests, verdicts and what else the seeds can say."""

from __future__ import annotations

from functools import partial

import pandas as pd

from tli import statistics
from tli.experiment.job import StatisticsJob
from tli.experiment.layout import Layout
from tli.experiment.results import read_across, read_maps, read_measured, read_words
from tli.experiment.settings import fed_as
from tli.io import table_files, tables
from tli.io.records import read_check
from tli.log import bar, say

CONTRACT = {
    "runs": tables.RUNS,
    "tests": tables.TESTS,
    "verdicts": tables.VERDICTS,
    "lines": tables.VERDICT_LINES,
    "rivals": tables.RIVALS,
    "added": tables.ADDED,
    "harm": tables.HARM,
    "translation": tables.TRANSLATION,
    "templates": tables.TEMPLATES,
    "ladder": tables.LADDER,
}  # the others' columns are those of tli.statistics


def run(job: StatisticsJob) -> dict:
    """Write runs, tests, verdicts and the descriptive tables, and those of the transfer where tasks were scored."""
    experiment, layout = job.experiment, job.layout
    measured = read_measured(layout, job.parts_of("evaluate"))
    lists = pd.concat([_words(layout, model, pair) for model, pair in experiment.model_pairs], ignore_index=True)
    layers = {model: read_check(layout.check(model)).layers for model in experiment.config.models}
    facts = pd.concat([read_words(layout, *key) for key in experiment.model_pairs], ignore_index=True)
    together = facts[facts["trained_on"] != facts["pair"]]
    words = statistics.Measured(measured["runs"], measured["similarities"], measured["metrics"], lists, layers, together)
    maps = read_maps(layout, experiment.model_pairs)
    mapped = statistics.Mapped(maps["maps"], maps["map_similarities"])
    texts = tables.joined([table_files.read(path, tables.RUNNING_TEXT) for path in job.inputs["text"]], tables.RUNNING_TEXT)
    risen, deciding = statistics.harm.rises(texts, measured["runs"]), set(experiment.config.text)
    on_select = statistics.OnSelect(measured["select-maps"], measured["select-maps-similarities"])
    against = statistics.rivals.against_best(words, mapped, job.spec)
    added = statistics.added.added_by(words, on_select, mapped, job.spec)
    asked = tables.joined([table_files.read(path, tables.TRANSLATE) for path in job.inputs["translate"]], tables.TRANSLATE)
    translated = statistics.translation.sides(asked, measured["runs"])
    evidence = (
        statistics.rivals.evidence(against),
        statistics.added.evidence(added, words.claim_states(job.spec.claim_at), job.spec),
        statistics.harm.evidence(risen, deciding, job.spec),
        statistics.translation.evidence(translated),
    )
    results = statistics.analyse(words, job.spec, evidence, progress=partial(bar, what="statistics"))
    results |= {"rivals": statistics.rivals.rivals(against, job.spec), "added": statistics.added.table(added, job.spec)}
    results["ladder"] = statistics.rivals.ladder(words, mapped, job.spec, on_select)
    results["harm"] = statistics.harm.harm(risen, deciding, job.spec)
    results["translation"] = statistics.translation.translation(translated, statistics.translation.rival_shots(asked), job.spec)
    fed = {pair: fed_as(experiment.config, pair) for pair in experiment.config.pairs}
    results["templates"] = statistics.templates.in_templates(words, fed, job.spec)
    for name, table in {"runs": measured["runs"], **results}.items():
        table_files.write(table, job.outputs[name], CONTRACT.get(name))
    if job.inputs["transfer"]:
        items = pd.concat([table_files.read(path, tables.TRANSFER) for path in job.inputs["transfer"]], ignore_index=True)
        for name, table in statistics.transfer(statistics.Scored(items, measured["runs"]), job.spec).items():
            table_files.write(table, layout.transfer_statistics(name))
    if job.experiment.measures_across:
        _write_matrix(job, measured["runs"])
    for short, sentence in results["verdicts"][["in_short", "sentence"]].itertuples(index=False):
        say(f"statistics: {short}. {sentence}")
    return {}


def _write_matrix(job: StatisticsJob, runs: pd.DataFrame) -> None:
    """What every run did to every list of `evaluation.on`."""
    layout, config = job.layout, job.experiment.config
    places = [(model, part) for model in config.models for part in job.experiment.across_parts(model)]
    lists = [table_files.read(layout.lexicon(pair)["pairs"], tables.PAIRS).assign(pair=pair) for pair in job.experiment.lists_measured]
    measured = statistics.across.Across(read_across(layout, places), runs, pd.concat(lists, ignore_index=True))
    table = statistics.across.matrix(measured, job.spec, progress=partial(bar, what="statistics of the lists"))
    table_files.write(table, layout.matrix(), tables.MATRIX)
    for cell, row in table[~table["control"].astype(bool)].groupby(tables.CELL, sort=False):
        model, _, _, layer, rank = cell
        say(f"across: {model}, layer {layer}, rank {rank}: {statistics.matrix_sentences.row_sentence(row)}")


def _words(layout: Layout, model: str, pair: str) -> pd.DataFrame:
    """The pairs of a list with what the scan says of their words."""
    pairs = table_files.read(layout.lexicon(pair)["pairs"], tables.PAIRS).assign(model=model, pair=pair)
    words = read_words(layout, model, pair)
    own = words[words["trained_on"] == pair].drop(columns="trained_on")
    return pairs.merge(own, on=["model", "pair", "pair_id"], validate="one_to_one")
