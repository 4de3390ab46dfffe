"""The model card of an adapter, or of a full fine-tuning's weights: front matter as the hub reads it, and what a reader must know first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tli import __version__
from tli.experiment.grid import GridRun
from tli.experiment.trained import TrainedRun
from tli.facts import LEAVES_WHOLE, NO, NOT_MEASURED, YES
from tli.io.provenance import brief
from tli.io.records import read_check
from tli.labels import metric_label
from tli.log import redact
from tli.publishing import public
from tli.publishing.choosing import folder_name
from tli.publishing.finished import Finished
from tli.publishing.harness_results import accuracies
from tli.report.numbers import figures, signed
from tli.statistics.lines import in_short
from tli.statistics.sentences import listing

if TYPE_CHECKING:
    import pandas as pd
    from huggingface_hub import EvalResult

SHOWN = ("csls_p_at_1", "p_at_1", "mrr", "gap")
PLACEHOLDER = "path/to/the/base/model"
DEMO = "**A demo.** The base model is tiny and was chosen because the workflow has something to show on it: no figure here is a claim about a real language model."
LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class Given:
    """What only the user can say of what is shared."""

    base_models: Mapping[str, str] = field(default_factory=dict)  # by the config's name: the hub id of a model that lay in a folder
    datasets: Mapping[str, str] = field(default_factory=dict)  # by pair: the hub id of its word list
    licence: str = ""


def base_model(done: Finished, model: str, given: Given) -> tuple[str, str | None]:
    """The hub id of the model that a run began from, and its commit; "" and None where it lay in a folder and nobody named it."""
    section = done.experiment.config.models[model]
    if model in given.base_models:
        return given.base_models[model], None
    found = public.hub_id(section.source, section.revision)
    return found, section.revision if found else None


def card(done: Finished, trained: TrainedRun, given: Given, revision: str) -> str:
    """The card of a run; revision: the digest of its list's pairs."""
    from huggingface_hub import ModelCardData

    run = trained.run
    name, results = folder_name(run), list(_results(done, trained, given, revision))
    base, _ = base_model(done, run.model, given)
    data = ModelCardData(
        base_model=base or None,
        datasets=[given.datasets[pair] for pair in pairs_of(trained) if pair in given.datasets] or None,
        language=_languages(trained) or None,
        library_name=None if run.is_full else "peft",  # the folder of the weights has no config.json: it is opened on its base
        license=given.licence or None,
        metrics=list(dict.fromkeys(one.metric_type for one in results)) or None,
        pipeline_tag="feature-extraction",
        tags=[
            *(["full-fine-tuning"] if run.is_full else ["lora", "peft"]),
            "targeted-lexical-injection",
            "cross-lingual",
            *(["demo"] if done.is_demo(run.model) else []),
        ],
        base_model_relation="finetune" if run.is_full and base else None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    body = "\n\n".join(filter(None, (_head(done, trained, given), _claims(done, trained), _measured(done, trained))))
    rest = "\n\n".join((_trained_on(done, trained, given, revision), _loading(done, trained, given), _not_for(done, trained), _made(done)))
    return redact(f"---\n{data.to_yaml()}\n---\n\n{body}\n\n{rest}\n")


def pairs_of(trained: TrainedRun) -> list[str]:
    """The pairs that a run learned from: its own, or those of a joint training."""
    return list(trained.record["settings"].get("train_on") or [trained.run.pair])


def _languages(trained: TrainedRun) -> list[str]:
    return [code for code in dict.fromkeys("-".join(pairs_of(trained)).split("-")) if LANGUAGE.fullmatch(code)]


def _results(done: Finished, trained: TrainedRun, given: Given, revision: str) -> Iterator[EvalResult]:
    """What was measured of this adapter, for the card's model-index."""
    from huggingface_hub import EvalResult

    run, kept = trained.run, done.kept(trained.run)
    words = done.words(run, kept)
    for metric, value in _figures(words).items():
        yield EvalResult(
            task_type="BitextMining",
            task_name="Word translation by retrieval",
            dataset_type=given.datasets.get(run.pair, f"{run.pair}-word-list"),
            dataset_name=f"{run.pair} word list, held-out words among the forms that no training touched",
            dataset_split="heldout",
            dataset_revision=revision,
            metric_type=metric,
            metric_name=metric_label(metric),
            metric_value=value,
        )
    for row in accuracies(done, run, kept).itertuples():
        yield EvalResult(
            task_type="multiple-choice",
            task_name=f"{row.task} by the lm-evaluation-harness",
            dataset_type=row.task,
            dataset_name=f"{row.task}, {row.items} items",
            metric_type="accuracy",
            metric_name="acc",
            metric_value=round(float(row.accuracy), 6),
        )


def _figures(words: pd.Series | None) -> dict[str, float]:
    return {} if words is None else {metric: round(float(words[metric]), 6) for metric in SHOWN}


def _head(done: Finished, trained: TrainedRun, given: Given) -> str:
    run, record = trained.run, trained.record
    base, _ = base_model(done, run.model, given)
    told = f"[{base}](https://huggingface.co/{base})" if base else f"`{run.model}`"
    identity = done.report.experiment.model(run.model).identity
    shipped = public.told(done.experiment.config.models[run.model].source)
    place = f"shipped with the workflow as `{shipped}`" if shipped else "a model in a folder"
    digest = f" ({place}; digest of its files `{identity[:12]}`)" if not base and identity else ""
    kind = "A control, not a method" if run.control else "Weights of a full fine-tuning" if run.is_full else "LoRA adapter"
    lines = [
        f"# {folder_name(run)}",
        DEMO if done.is_demo(run.model) else "",
        f"{kind} for {told}{digest}, trained by [Targeted Lexical Injection](https://arxiv.org/abs/2506.15415): translation pairs of {' and '.join(pairs_of(trained))} are "
        f"pulled together at hidden state hs[{record['loss_layer']}]. Arm {run.arm}, {'' if run.is_full else f'rank {run.rank}, '}seed {run.seed}"
        f"{f', fold {run.fold}' if run.fold else ''}.",
    ]
    return "\n\n".join(filter(None, lines))


def short(done: Finished, trained: TrainedRun) -> str:
    """The verdict of a run's cell with what stands under it, in a few words: "aligns better, but the model is damaged"."""
    verdict = done.verdict(trained.run)
    return in_short(verdict["verdict"], done.lines(trained.run)) if verdict else "no claim"


def _claims(done: Finished, trained: TrainedRun) -> str:
    run, verdict = trained.run, done.verdict(trained.run)
    if run.control:
        return "## What can be claimed\n\nNothing: this arm is a control, which others are compared with."
    if verdict is None:
        return "## What can be claimed\n\nNothing: no test was made of this cell."
    lines = [f"- {line}" for line in done.lines(run)["sentence"].dropna().astype(str) if line]
    return "\n".join(
        [
            f"## What can be claimed\n\n**{short(done, trained)}.** {verdict['sentence']}\n",
            *lines,
            f"\nThis is said of the cell (arm, layer and rank) over its {int(verdict['seeds'])} seeds; this run is one of them.",
        ]
    )


def _with(run: GridRun) -> str:
    return "with these weights" if run.is_full else "with this adapter"


def _measured(done: Finished, trained: TrainedRun) -> str:
    run = trained.run
    after, before = done.words(run, done.kept(run)), done.words(run, run.baseline)
    parts = []
    if after is not None and before is not None:
        rows = [f"| {metric_label(name)} | {figures(before[name])} | {figures(after[name])} |" for name in SHOWN]
        chance = f"By chance {figures(after['chance'])}."
        parts += [
            "## What was measured\n",
            f"{int(after['n'])} held-out words, at hs[{int(after['hidden_state'])}], among the forms that no training touched. {chance}\n",
            f"| figure | base model | {_with(run)} |\n|---|---|---|",
            *rows,
        ]
    tasks = {row.task: row for row in accuracies(done, run, run.baseline).itertuples()}
    found = list(accuracies(done, run, done.kept(run)).itertuples())
    if found:
        parts += [f"\n| task | items | base model | {_with(run)} |\n|---|---|---|---|"]
        parts += [
            f"| {row.task} | {row.items} | {figures(tasks[row.task].accuracy)} | {figures(row.accuracy)} |"
            for row in found
            if row.task in tasks
        ]
    harm = done.harm(run)
    parts.append("\n## Harm\n")
    if harm.empty:
        parts.append("Not measured: what the training did to the model's running text is not known.")
    else:
        parts.append(
            "Cross-entropy on running text, nats a predicted token, over the cell's seeds; what the config calls harmless is the margin.\n"
        )
        parts.append("| language | rise | 95 % interval | margin |\n|---|---|---|---|")
        parts += [
            f"| {row.language} | {signed(row.rise)} | {signed(row.low)} to {signed(row.high)} | {row.margin:g} |"
            for row in harm.itertuples()
        ]
        if not harm["decides"].astype(bool).all():
            parts.append("\nThe text is the 32 shipped sentences, which are too few to decide anything.")
    return "\n".join(parts)


def _trained_on(done: Finished, trained: TrainedRun, given: Given, revision: str) -> str:
    record = trained.record
    spec = record["settings"]
    lines = [
        "## What it was trained on\n",
        f"- {record['train_pairs']} translation pairs of {'; '.join(_list(done, pair, given) for pair in pairs_of(trained))}; digest of the "
        f"prepared pairs of {trained.run.pair} `{revision[:12]}`. The words themselves are not in this folder.",
        f"- {spec['objective']} loss, {spec['epochs']} epochs, {record['steps']} steps, batches of {spec['batch_size']}, peak "
        f"learning rate {spec['learning_rate']:g}; {_what_learned(trained)}.",
    ]
    if spec.get("shuffle_translations"):
        lines.append("- The translations were shuffled, so that no word was paired with its own: a placebo.")
    if spec.get("templates"):
        lines.append("- Words were fed in the frames of the pair's templates.")
    if spec.get("anchor"):
        anchor = spec["anchor"]
        lines.append(f"- Held to the model's own running text meanwhile (anchor {anchor['metric']}, weight {anchor['weight']:g}).")
    return "\n".join(lines)


def _what_learned(trained: TrainedRun) -> str:
    spec = trained.record["settings"]
    if trained.run.is_full:
        return f"all weights below the loss, held in {spec['full_dtype']} meanwhile"
    return (
        f"rank {spec['rank']}, alpha {spec['alpha']:g}, dropout {spec['dropout']:g}, on {', '.join(spec['target_modules'])} of the first "
        f"{trained.record['adapted_blocks']} blocks"
    )


def _list(done: Finished, pair: str, given: Given) -> str:
    section = done.experiment.config.pairs[pair]
    files = [section.lexicon] if isinstance(section.lexicon, str) else section.lexicon
    if pair in given.datasets:
        return f"{pair} ([{given.datasets[pair]}](https://huggingface.co/datasets/{given.datasets[pair]}))"
    if all(map(public.is_shipped, files)):
        return f"{pair} ({', '.join(f'`{public.told(file)}`' for file in files)})"
    return f"{pair} (a list in the format {section.format})"


def load_lines(done: Finished, trained: TrainedRun, given: Given) -> str:
    """Four lines of Python that open the base model as it was trained, from inside the run's folder."""
    run = trained.run
    base, commit = base_model(done, run.model, given)
    head = "AutoModelForCausalLM" if read_check(done.experiment.layout.check(run.model)).causal else "AutoModel"
    at = f', revision="{commit}"' if commit else ""
    opened = f'{head}.from_pretrained("{base or PLACEHOLDER}"{at}, dtype="{done.experiment.config.models[run.model].dtype}")'
    if run.is_full:
        lines = [
            "from accelerate import load_checkpoint_in_model",
            f"from transformers import {head}",
            f"model = {opened}",
            'load_checkpoint_in_model(model, ".")  # this folder; from the hub `hf download` brings it',
        ]
    else:
        lines = [
            "from peft import PeftModel",
            f"from transformers import {head}",
            f"base = {opened}",
            'model = PeftModel.from_pretrained(base, ".")  # this folder, or its repository on the hub',
        ]
    return "\n".join(lines)


def _loading(done: Finished, trained: TrainedRun, given: Given) -> str:
    model = done.experiment.config.models[trained.run.model]
    notes = ["A word's vector is the float32 mean of its tokens' hidden states, BOS in the input and out of the mean."]
    if trained.run.is_full:
        notes.append(
            "The files hold the tensors that were trained, whole, and nothing that the base model has already: opened without it they are no "
            'model. `model.save_pretrained("whole")` writes a model of its own, for which the base model\'s licence counts.'
        )
    elif model.quantization != "none":
        notes.append("It was trained and measured on the base model in 4 bits (NF4): open it so for the figures above.")
    if model.word_form != "alone":
        notes.append("Words were fed as they stand in text after a space.")
    return f"## How to load it\n\n```python\n{load_lines(done, trained, given)}\n```\n\n{' '.join(notes)}"


def _not_for(done: Finished, trained: TrainedRun) -> str:
    return "\n".join(["## What it must not be used for\n", *(f"- {text}" for text in refusals(done, trained))])


def refusals(done: Finished, trained: TrainedRun) -> Iterator[str]:
    """What a run must not be used for, by what was measured of it."""
    run, lines = trained.run, done.lines(trained.run)
    if done.is_demo(run.model):
        yield "Anything but trying the software: the base model is a demo."
    if run.control:
        yield "Aligning words: it is a control."
    whole = lines[lines["line"] == LEAVES_WHOLE]["answer"].tolist()
    if whole == [YES]:
        yield "Text unlike the running text on which the model was found left whole: elsewhere its harm is not known."
    elif whole == [NO]:
        yield "Writing or scoring text: it was found to damage the model."
    else:
        said = "was not measured" if whole in ([], [NOT_MEASURED]) else "is not decided"
        yield f"Writing or scoring text: whether it leaves the model whole {said}."
    yield f"Languages other than those of {run.pair}, and other base models: nothing was measured there."
    yield "A dictionary, or decisions about people: a word that is found nearest need not be its translation."


def _made(done: Finished) -> str:
    commits = [f"`{brief(commit)}`" for commit in done.report.provenance.commits]
    at = f", commit{'s' * (len(commits) > 1)} {listing(commits)}" if commits else ""
    registered = done.report.provenance.registration.partition(";")[0].rstrip(".")  # what follows may show values of the config
    return f"## How it was made\n\nBy version {__version__} of the TLI workflow{at}.{f' {registered}.' if registered else ''}"
