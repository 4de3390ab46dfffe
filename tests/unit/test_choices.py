"""Every key of the config that changes a figure changes the methods section; of every other it is said why it does not."""

from __future__ import annotations

import copy
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import pytest

from tli.config import parse
from tli.config.keys.base import Section
from tli.config.keys.top_level import Config
from tli.config.keys.training import Arm, Training
from tli.experiment import Experiment
from tli.publishing.choices import training_sentences
from tli.publishing.sections import methods_text
from tli.report.input import ReportInput

COST = "it is what the work costs, not what comes out"
NAME = "it is a name for people"
READING = "how a file is read; which pairs came of it the list's digest says"
NOT_NEEDED = {
    "title": NAME,
    "question": NAME,
    "results": NAME,
    "pairs.family": NAME,
    "models.device": "the provenance names the devices on which jobs ran",
    "models.stream": "streamed blocks give the same states to the bit",
    "models.across_gpus": COST,
    "models.trust_remote_code": "the code comes with the model, whose commit is named",
    "models.parameters": COST,
    "pairs.lexicon": "a path is its owner's business; the list's digest names it",
    "pairs.columns": READING,
    "pairs.sha256": READING,
    "text.file": "a path is its owner's business; the languages are named",
    "text.column": READING,
    "text.sha256": READING,
    "training.gradient_checkpointing": COST,
    "training.allow_unreached": "without it the same training is refused, not changed",
    "arms.like": "what it hands down is said of each arm",
    "evaluation.projected_pairs": "how many words two pictures show",
    "transfer.batch_size": COST,
    **{f"jobs.{name}": COST for name in ("seeds_per_job", "seeds_together", "checkpoint_minutes", "adapters_per_job")},
    **{f"jobs.{name}": COST for name in ("adapters_per_transfer_job", "threads", "summaries_local")},
}
ANCHOR = {"metric": "drift", "weight": 3.0}
TUNE = {"learning_rate": [1e-4, 1e-3]}
JOINT = {"arms": {"tli": {"train_on": ["swh-eng", "lin-eng"]}}}
FRAMES = {"pooling": {"templates": {language: ["{word}", f"{language} {{word}}"] for language in ("swh", "eng", "lin")}}}
SELECT = {"training": {"select": {"strategy": "uncertainty", "budget": 50}}}
TASKS = {"transfer": {"tasks": ["xcopa_sw"]}}
ASKED = {"transfer": {"translate": {}}}

# key: (what both configs have, what the second has instead)
CASES: dict[str, tuple[dict, Any]] = {
    "models.source": ({}, "other/model"),
    "models.revision": ({}, "b" * 40),
    "models.quantization": ({}, "nf4"),
    "models.dtype": ({}, "float16"),
    "models.demo": ({}, True),
    "models.word_form": ({}, "leading-space"),
    "split.by": ({}, "content-words"),
    "split.shares": ({}, {"train": 0.5, "select": 0.2, "heldout": 0.3}),
    "split.sizes": ({}, {"train": 5, "select": 2, "heldout": 3}),
    "split.folds": ({}, 3),
    "split.heldout_categories": ({}, ["body"]),
    "split.leaks": ({}, "report"),
    "split.union": ({}, False),
    "pairs.format": ({}, "gatitos"),
    "pairs.options": ({}, {"gloss": True}),
    "pairs.splits": ({}, ["train"]),
    "pairs.merge": ({}, False),
    "pairs.clean": ({}, "verbatim"),
    "pairs.units": ({}, "sentences"),
    "pairs.train": ({"evaluation": {"on": "all"}}, False),
    "pooling.scan": ({}, ["with-bos"]),
    "pooling.train": ({}, "last-token"),
    "pooling.evaluate": ({}, ["weighted-mean"]),
    "pooling.templates": (FRAMES, {language: ["{word}", f"the {{word}} {language}"] for language in ("swh", "eng", "lin")}),
    "pooling.over_templates": (FRAMES, "averaged"),
    "scan.best_by": ({}, "gap"),
    "scan.best_at_most": ({}, 7),
    "scan.csls_k": ({}, 7),
    "scan.bootstrap": ({}, 77),
    "maps": ({}, ["procrustes"]),
    "training.objective": ({}, "infonce"),
    "training.margin": ({}, 0.3),
    "training.temperature": ({"training": {"objective": "infonce"}}, 0.3),
    "training.mask_false_negatives": ({}, False),
    "training.learning_rate": ({}, 0.3),
    "training.weight_decay": ({}, 0.3),
    "training.epochs": ({}, 7),
    "training.batch_size": ({}, 7),
    "training.warmup_steps": ({}, 7),
    "training.schedule": ({}, "cosine"),
    "training.max_gradient_norm": ({}, 0.7),
    "training.optimizer": ({}, "adamw-8bit"),
    "training.full_dtype": ({"arms": {"tli": {"method": "full"}}}, "bfloat16"),
    "training.alpha": ({}, "r"),
    "training.dropout": ({}, 0.3),
    "training.target_modules": ({}, "all-linear"),
    "training.adapted_blocks": ({}, 1),
    "training.select.strategy": (SELECT, "diverse"),
    "training.select.budget": (SELECT, 70),
    "training.select.rounds": (SELECT, 7),
    "training.anchor.metric": ({"training": {"anchor": ANCHOR}}, "kl"),
    "training.anchor.weight": ({"training": {"anchor": ANCHOR}}, 7),
    "training.anchor.text": ({"training": {"anchor": ANCHOR}}, ["eng"]),
    "training.anchor.tokens_per_step": ({"training": {"anchor": ANCHOR}}, 77),
    "training.templates": (FRAMES, True),
    "training.tune.learning_rate": ({"training": {"tune": TUNE}}, [1e-4, 3e-4]),
    "training.tune.epochs": ({"training": {"tune": TUNE}}, [3, 7]),
    "training.tune.weight": ({"training": {"tune": TUNE, "anchor": ANCHOR}}, [3, 7]),
    "training.tune.seeds": ({"training": {"tune": TUNE}}, 7),
    "arms.method": ({}, "full"),
    "arms.loss_layer": ({}, [7]),
    "arms.rank": ({}, [7]),
    "arms.shuffle_translations": ({"arms": {"tli": {}, "placebo": {"like": "tli"}}}, True),
    "arms.positives": ({}, "own-word"),
    "arms.train_on": (JOINT, ["lin-eng"]),
    "arms.mix": (JOINT, "even"),
    "arms.negatives": (JOINT, "across"),
    "evaluation.hidden_states": ({}, [1, "output"]),
    "evaluation.merge": ({}, True),
    "evaluation.on": ({}, ["own", "lin-eng"]),
    "statistics.primary": ({}, "gap"),
    "statistics.correction": ({}, "benjamini-hochberg"),
    "statistics.alpha": ({}, 0.01),
    "statistics.minimum_seeds": ({}, 7),
    "statistics.minimum_units": ({}, 77),
    "statistics.alike_margin": ({}, 0.07),
    "statistics.harm_margin": ({}, 0.07),
    "statistics.equivalence_margin": ({}, 0.07),
    "statistics.bootstrap": ({}, 777),
    "transfer.tasks": (TASKS, ["xcopa_sw", "copa"]),
    "transfer.source": (TASKS, "items"),
    "transfer.question_from": (TASKS, "copa.jsonl"),
    "transfer.limit": (ASKED, 7),
    "transfer.num_fewshot": (TASKS, 7),
    "transfer.add_bos": (TASKS, True),
    "transfer.translate.shots": (ASKED, [7]),
    "transfer.translate.choices": (ASKED, 7),
    "transfer.translate.names": (ASKED, {"swh": "Kiswahili"}),
    "seeds": ({}, [1, 2, 3]),
}


def sections_of(annotation: Any) -> list[type[Section]]:
    """The sections that a key's type names."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, dict) or get_args(annotation):
        return [one for part in get_args(annotation) for one in sections_of(part)]
    return []


def keys_of(section: type[Section], place: str = "") -> set[str]:
    """Every key below a section, by dotted names; entries of a section by name (models, pairs, ...) have none of their own."""
    found = set()
    for name, field in section.model_fields.items():
        if section is Arm and name in Training.model_fields:
            continue  # those of `training`, said of each arm
        inner = sections_of(field.annotation)
        below = f"{place}{name}"
        if inner:
            found |= {key for one in inner for key in keys_of(one, f"{below}.")}
        else:
            found.add(below)
    return found


def merged(first: dict, second: dict) -> dict:
    """Sections of the second laid over those of the first."""
    both = dict(first)
    for key, value in second.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def written(values: dict, tmp_path: Path) -> dict:
    """A config with these values, as a user writes it."""
    plain = {
        "models": {"m": {"source": "organisation/model", "revision": "a" * 40}},
        "pairs": {"swh-eng": {"lexicon": "a.tsv"}, "lin-eng": {"lexicon": "b.tsv"}},
        "arms": {"tli": {}},
        "text": {language: {"file": f"{language}.txt"} for language in ("swh", "eng", "lin")},
        "results": str(tmp_path / "none"),
    }
    return merged(plain, values)


def said(values: dict) -> str:
    config = parse(values)
    report = ReportInput.of(config, {}, checks={}, audit=(), provenance=ReportInput().provenance, missing=())
    return "\n".join(methods_text(Experiment(config), report))


def put(values: dict, key: str, value: Any) -> dict:
    """The values with another one where the key stands."""
    entry = {"models": "m", "pairs": "swh-eng", "arms": "placebo" if "shuffle" in key else "tli"}
    first, *names = key.split(".")
    place = changed = copy.deepcopy(values)
    *above, last = [first, *([entry[first]] if first in entry else []), *names]
    for name in above:
        place = place.setdefault(name, {})
    place[last] = value
    return changed


def test_every_key_is_said_or_it_is_told_why_not():
    keys = {key for key in keys_of(Config) if not key.startswith("pairs.split.")}  # they are those of `split`, below
    assert keys == set(CASES) | set(NOT_NEEDED)
    assert not set(CASES) & set(NOT_NEEDED) and all(NOT_NEEDED.values())


@pytest.mark.parametrize("key", CASES)
def test_a_key_that_changes_a_figure_changes_the_methods(key, tmp_path):
    both, value = CASES[key]
    first = written(both, tmp_path)
    assert said(put(first, key, value)) != said(first)


def test_a_split_of_one_pair_is_said_of_that_pair(tmp_path):
    text = said(written({"pairs": {"swh-eng": {"split": {"shares": {"train": 0.5, "select": 0.2, "heldout": 0.3}}}}}, tmp_path))
    assert "swh-eng: Pairs that share" in text and "assigned 50 % train, 20 % select and 30 % held-out" in text
    assert "lin-eng: Pairs that share" in text and "assigned 60 % train" in text


def test_what_arms_share_is_said_once_and_what_differs_of_each(tmp_path):
    arms = {
        "tli": {},
        "nce": {"like": "tli", "objective": "infonce", "temperature": 0.1},
        "placebo": {"like": ["tli"], "shuffle_translations": True},
    }
    config = parse({"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "a.tsv"}}, "arms": arms, "results": str(tmp_path)})
    text = " ".join(training_sentences(Experiment(config)))
    assert text.count("weight decay of 0.01") == 1 and "The arm tli had the triplet-hardest loss (a margin of 0.4 in cosine)." in text
    assert (
        "The arm nce had the infonce loss (a temperature of 0.1)." in text
        and "tli-placebo of tli" in text
        and "The arm tli-placebo" not in text
    )
    shorter = " ".join(training_sentences(Experiment(config), is_summarised=True))
    assert "batches of" not in shorter and "weight decay" in shorter and "infonce" in shorter


def test_trials_of_a_joint_arm_are_judged_by_the_mean_over_its_lists(tmp_path):
    joint = {"training": {"tune": TUNE}, "arms": {"joint": {"train_on": ["swh-eng", "lin-eng"]}, "tli": {}}}
    text = said(written(joint, tmp_path))
    assert "judged by the mean over its lists on the select split" in text and "2 trials of 2 seeds" in text
    assert "tuned among 0.0001 and 0.001" in text
    assert "mean over its lists" not in said(written({"training": {"tune": TUNE}}, tmp_path))
