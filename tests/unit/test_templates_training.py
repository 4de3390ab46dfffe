"""Training in templates: the drawn frames, the loss by hand, seeds together, what a run depends on."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_framed import plain_vector
from tiny import pairs_table, whole_model
from trial import Trial

from tli.config import parse
from tli.errors import ConfigError
from tli.model.opening import open_model
from tli.specs import Member, TemplateSpec, TrainSpec
from tli.training.batches import Batches
from tli.training.loop import losses
from tli.training.mixing import Mixture, joined, templates_of
from tli.training.pairing import assignments, own_words
from tli.training.trainer import Trainer, no_progress

TRAIN = pairs_table().query("split == 'train'").reset_index(drop=True)
TEMPLATES = TemplateSpec(("{word}", "moto {word} ndege", "mti {word}"), ("{word}", "water {word} bread", "fish {word} sun"))
SPEC = TrainSpec(epochs=2, batch_size=4, warmup_steps=0, learning_rate=5e-3, rank=4, alpha=8.0, layer="2", dropout=0.0)


def batches(opened, templates: TemplateSpec | None = TEMPLATES) -> Batches:
    return Batches(opened, *assignments(TRAIN, False, 0), "no-bos", templates and [templates] * len(TRAIN))


def numbers(batch: Batches, seed: int, steps: int, done: int = 0) -> list[tuple[int, int]]:
    return list(islice(Mixture.of(batch).templates(seed, done), steps))


def test_frames_are_drawn_by_the_seed_and_a_pause_changes_none(models):
    batch = batches(open_model(models("llama"), 2))
    drawn = numbers(batch, 1, 200)
    assert drawn == numbers(batch, 1, 200) != numbers(batch, 2, 200)
    assert drawn[37:] == numbers(batch, 1, 163, done=37)
    table = np.zeros((3, 3))
    np.add.at(table, tuple(np.array(numbers(batch, 1, 9000)).T), 1 / 9000)
    assert np.abs(table - 1 / 9).max() < 5 * np.sqrt(1 / 9 * 8 / 9 / 9000), "each pair of templates equally often: drawn independently"


@pytest.mark.parametrize("family", ["llama", "bert"])
@pytest.mark.parametrize("frames", [(0, 0), (1, 2), (2, 1)])
def test_the_loss_is_that_of_words_read_one_by_one_in_the_drawn_frames(models, family, frames):
    """By hand from Transformers' hidden states: max(0, margin + the hardest other cosine - the right one), the mean over sources."""
    spec, rows = models(family), np.array([0, 8, 9, 3])
    opened, model = open_model(spec, 2), whole_model(spec)
    with torch.no_grad():
        ours = float(losses([batches(opened).in_templates(*frames)], [rows], 2, SPEC)[0])
    sides = []
    for side, templates, number in (("source", TEMPLATES.source, frames[0]), ("target", TEMPLATES.target, frames[1])):
        vectors = [plain_vector(model, opened.tokenizer, templates[number], word, 2) for word in TRAIN[side].iloc[rows]]
        sides.append(np.stack([vector / np.linalg.norm(vector) for vector in vectors]))
    cosines = sides[0] @ sides[1].T
    right = np.eye(4, dtype=bool)
    right[1, 2] = right[2, 1] = True  # ndege is bird and aeroplane
    hardest = np.where(right, -np.inf, cosines).max(axis=1)
    assert ours == pytest.approx(np.maximum(0, 0.4 + hardest - np.diag(cosines)).mean(), abs=1e-5)


def test_own_words_stand_in_two_frames_as_translations_do(models):
    opened, rows = open_model(models("llama"), 2), np.array([0, 3])
    words = own_words(TRAIN)
    batch = Batches(opened, words.sources, words.targets, words.right, "no-bos", [TEMPLATES] * len(TRAIN)).in_templates(1, 2)
    plain = batches(opened)
    one, other = (plain.in_templates(number, number).words(rows) for number in (1, 2))
    assert batch.words(rows) == [*one, *other]


def test_templates_of_the_word_alone_are_the_path_without_templates(models):
    opened, rows = open_model(models("llama"), 2), np.arange(6)
    alone, framed = batches(opened, None), batches(opened, TemplateSpec(("{word}",), ("{word}",)))
    assert numbers(framed, 1, 3) == [(0, 0)] * 3 and framed.words(rows) == alone.words(rows)
    with torch.no_grad():
        assert torch.equal(losses([alone], [rows], 2, SPEC), losses([framed.in_templates(0, 0)], [rows], 2, SPEC))


def trained(models, family: str, together: bool, folder) -> dict:
    modules = ("query", "value") if family == "bert" else ("q_proj", "v_proj")
    spec = TrainSpec(**{**SPEC.__dict__, "target_modules": modules, "dropout": 0.1, "templates": True})
    trainer = Trainer(models(family), spec, 2, 2, lambda member: TRAIN, templates={"swh-eng": TEMPLATES})
    members = [Member(1), Member(2)]
    if together and trainer.trains_together:
        trainer.prepare(members, no_progress)
    made = {}
    for member in members:
        (into := folder / f"{together}-{member.seed}").mkdir()
        record = trainer.run(member, into, no_progress)
        assert not record["failed"] and record["steps"] == 6
        made[member.seed] = load_file(into / "adapter" / "adapter_model.safetensors")
    return made


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_seeds_that_share_a_pass_are_what_each_is_alone(models, tmp_path, family):
    alone, together = (trained(models, family, one, tmp_path) for one in (False, True))
    for seed in (1, 2):
        for name, tensor in alone[seed].items():
            torch.testing.assert_close(together[seed][name], tensor, atol=1e-5, rtol=0)


def test_frames_are_part_of_what_a_run_depends_on(models, tmp_path):
    """An arm in templates has units of its own, which a changed template changes; the arm without them keeps its own, to the digest."""
    arms = {"tli": {"loss_layer": [2], "rank": [4]}, "framed": {"like": "tli", "templates": True}}
    frames = {"swh": ["{word}", "moto {word}"], "eng": ["{word}", "fire {word}"]}
    bare = Trial(tmp_path, models("llama"), arms={"tli": arms["tli"]}).pretend_checked_and_scanned()
    before = bare.train()[1]
    trial = bare.changed(arms=arms, pooling={"evaluate": ["no-bos"], "templates": frames})
    assert trial.train()[1]["unit"] == before["unit"]
    made = trial.train("framed")[1]
    assert made["unit"] != before["unit"] and made["settings"]["templates"] is True and made["last_loss"] != before["last_loss"]
    other = trial.changed(arms=arms, pooling={"evaluate": ["no-bos"], "templates": frames | {"eng": ["{word}", "water {word}"]}})
    assert other.train("framed")[1]["unit"] != made["unit"]
    measured = trial.changed(arms=arms, pooling={"templates": frames, "over_templates": "averaged"})
    assert measured.train("framed")[1]["unit"] == made["unit"], "how they are measured is nothing to a training"
    jobs = [one.job("train", arm="framed", layer="2", rank="4").depends for one in (trial, other)]
    assert jobs[0] != jobs[1]


@pytest.mark.parametrize("negatives", ["own-list", "across"])
def test_in_a_joint_training_each_word_stands_in_a_frame_of_its_own_language(models, negatives):
    """Batches of one list or of all: at each step the same number of template, of each row in its own list's words."""
    lists = {"swh-eng": TRAIN, "lin-eng": TRAIN.iloc[:6].assign(source=lambda rows: rows["target"] + "o")}
    of = {"swh-eng": TEMPLATES, "lin-eng": TemplateSpec(("{word}", "ndege {word}", "jua {word}"), TEMPLATES.target)}
    pairs, spec = joined(lists), replace(SPEC, train_on=tuple(lists), negatives=negatives, templates=True)
    trainer = Trainer(models("llama"), spec, 2, 2, lambda member: pairs, templates=of)
    mixture = trainer._batches(np.arange(len(pairs)), Member(1))
    assert len(mixture.parts) == (1 if negatives == "across" else 2) and [part.templates for part in mixture.parts] == [3] * len(
        mixture.parts
    )
    row = 0
    for part in mixture.parts:
        words = part.in_templates(1, 2).words(np.arange(len(part)))
        for number in range(len(part)):
            name, source, target = pairs.loc[row, ["list", "source", "target"]]
            frames = of[name].source[1], of[name].target[2]
            read = [
                trainer.opened.tokenizer(text.replace("{word}", one))["input_ids"]
                for text, one in zip(frames, (source, target), strict=True)
            ]
            assert [list(words[place].ids) for place in (number, number + len(part))] == read
            row += 1
    assert row == len(pairs) and templates_of(pairs, {}) is None


def test_an_arm_in_templates_needs_some():
    sections = {"models": {"m": {"source": "x"}}, "pairs": {"swh-eng": {"lexicon": "x"}}, "arms": {"tli": {"templates": True}}}
    with pytest.raises(ConfigError, match=r"arms\.tli\.templates: there are no templates to draw from; name some under pooling\.templates"):
        parse(sections)
