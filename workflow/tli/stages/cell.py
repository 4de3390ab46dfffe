"""What the stages tune and train share: a cell of the grid, trained seed by seed into the store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tli.errors import CellError
from tli.experiment.design_warnings import short_warm_up
from tli.experiment.elsewhere import leaks
from tli.experiment.folds import Splits
from tli.experiment.job.training import OfCell
from tli.experiment.layer import adapted_blocks, resolve_layer
from tli.io import store
from tli.io.records import CheckRecord, read_check
from tli.io.sentences import read_sentences
from tli.log import say, warn
from tli.model.checkpoint import load_tokenizer
from tli.model.device import device_name, peak_memory_mib
from tli.model.opening import below_head, open_whole
from tli.model.token_facts import assert_known, template_lines, tokens_table
from tli.specs import STAGE_VERSIONS, Member, ModelSpec, TrainSpec, plain
from tli.training.anchor import MATRIX, Anchoring, gradient_matrix, prediction, write_matrix
from tli.training.checkpoint import Checkpoint
from tli.training.mixing import by_list, joined, mixing_alike
from tli.training.trainer import Trainer

if TYPE_CHECKING:
    import torch

MATRIX_SENTENCES = 400  # that the gradients' matrix is made from
OFF = 0.2  # by how much the matrix may misjudge KL


class Cell:
    """What the trainings of a job share: settings, the model's check, the loss layer; and for each of them its train split (of each list
    that it is trained on) and its key.

    Raises CellError for too few pairs to train on, and for blocks that the loss does not reach.
    """

    def __init__(self, job: OfCell, spec: TrainSpec, members: Sequence[Member], lists: Mapping[str, Splits]):
        """spec: what is trained, tuned or not; members: the seeds and folds of the job; lists: the pairs that it may read."""
        self.job, self.spec, self.model, self.members = job, spec, job.model_spec, tuple(members)
        self.check = read_check(job.inputs["check"])
        self.loss_layer = resolve_layer(job.layer, self.check.layers, job.inputs.get("choice", ()))
        self.adapted = adapted_blocks(self.spec, self.loss_layer, self.check.layers, job.arm)
        self.lists = dict(lists)
        fewest = {pair: min(len(self._trained_of(pair, member)) for member in self.members) for pair in self.lists}
        for pair, trained in fewest.items():
            if trained < 2:
                raise CellError(f"{pair}: the train split has {trained} pairs; at least 2 are needed")
        if text := short_warm_up(f"arms.{job.arm}, {' + '.join(fewest)}", self.spec.steps(*fewest.values()), self.spec.warmup_steps):
            warn(text)
        first = self.members[0]
        for pair, count in leaks(self.lists, first.seed, first.fold).items():
            warn(
                f"arms.{job.arm}: {count} held-out pairs of {pair} have a form that another of its lists trains; they are counted as leaked"
            )

    @cache  # noqa: B019 (it lives as long as the job)
    def trained(self, member: Member) -> pd.DataFrame:
        """The train split of a run, of several lists with the column that names them."""
        return joined({pair: self._trained_of(pair, member) for pair in self.lists})

    def _trained_of(self, pair: str, member: Member) -> pd.DataFrame:
        pairs = self.lists[pair].of(member.seed, member.fold)
        return pairs[pairs["split"] == "train"].reset_index(drop=True)

    def key(self, member: Member) -> dict:
        """All that a run depends on."""
        key = unit_key(self.check, self.model, self.trained(member), self.spec, self.loss_layer, self.adapted, member.seed)
        key |= {"templates": [plain(one) for one in self.job.templates.values()]} if self.job.templates else {}
        if self.spec.anchor is None:
            return key
        if self.spec.anchor.metric == "kl" and self.spec.is_full:
            key |= {"above_the_loss": "frozen"}  # it was not always
        return key | {"anchors": store.digest(list(self.anchors))}

    @cached_property
    def anchors(self) -> tuple[str, ...]:
        """The sentences that are kept apart for training, of all languages of the arm's anchor."""
        texts = self.job.texts.values()
        return tuple(dict.fromkeys(one.text for spec, path in texts for one in read_sentences(path, spec) if one.is_anchor))

    def anchoring(self) -> Anchoring | None:
        """What the anchor needs; the gradients' matrix is made once for a model, hidden state and text."""
        if self.spec.anchor is None:
            return None
        if self.spec.anchor.metric != "gradient-weighted":
            return Anchoring(self.anchors)
        model = replace(self.model, quantization="none", dtype=self.spec.full_dtype) if self.spec.is_full else self.model
        chosen = self.anchors[:MATRIX_SENTENCES]
        key = {"version": 1, "identity": self.check.identity, "dtype": model.dtype, "quantization": model.quantization}
        key |= {"hidden_state": self.loss_layer, "sentences": store.digest(list(chosen))}

        def build(folder: Path) -> None:
            say(f"{self.job.stage}: the gradients' matrix at hs[{self.loss_layer}] from {len(chosen)} sentences")
            whole, tokenizer = open_whole(model)
            opened = below_head(whole, tokenizer)
            matrix = gradient_matrix(whole, opened, self.loss_layer, chosen, progress=_passes)
            write_matrix(matrix, folder)
            if self.loss_layer < opened.layers:
                _hold_against_kl(prediction(whole, opened, self.loss_layer, chosen, matrix))

        return Anchoring(self.anchors, store.get(Path(self.job.layout.store), "gradient-matrix", key, build)[0] / MATRIX)

    def unit(self, member: Member) -> Path | None:
        """The finished unit of a run, None where it is to be trained."""
        unit = store.find(Path(self.job.layout.store), "train", self.key(member))
        if unit is not None and self.spec.is_full and not (unit / "weights").exists():
            shutil.rmtree(unit)  # its weights were taken by the evaluation; they are wanted again
            return None
        return unit

    def fill(self, trainer: Trainer | None = None) -> Trainer | None:
        """Train each run that the store does not hold yet. Returns what they are trained on, None where it was not needed.

        trainer: one that lies open; it is turned to these settings, where they allow it.
        """
        lacking = [member for member in self.members if self.unit(member) is None]
        if lacking and trainer is None:
            self.assert_known()
        if lacking:
            if trainer is None or not trainer.can_turn_to(self.spec):
                trainer = self.trainer()
            else:
                trainer.turn_to(self.spec, self.anchoring())
            if self.job.experiment.config.jobs.seeds_together and trainer.trains_together:
                trainer.prepare(lacking, progress)
        for number, member in enumerate(self.members, 1):
            place, checkpoint = f"{member} ({number} of {len(self.members)})", self.checkpoint(member)
            if trainer is not None and member in lacking:
                say(f"{self.job.stage}: {place}, loss at hs[{self.loss_layer}], {len(self.trained(member))} pairs")
                self.train(trainer, member, checkpoint)
            else:
                say(f"{self.job.stage}: {place} is finished already; taken from the store")
            if checkpoint:
                checkpoint.remove()
        return trainer

    def assert_known(self) -> None:
        """Raises EmbedError where the model's tokenizer does not know most of the list, or does not find words in templates."""
        tokenizer = load_tokenizer(self.model)
        for pair, splits in self.lists.items():
            if pair in self.job.templates:
                template_lines(tokenizer, splits.pairs, pair, self.job.templates[pair])
            assert_known(tokens_table(tokenizer, splits.pairs, pair, self.model.word_form, both=False), self.job.model)

    def trainer(self) -> Trainer:
        """The model, opened for these settings."""
        return Trainer(self.model, self.spec, self.loss_layer, self.adapted, self.trained, self.anchoring(), self.job.templates)

    def checkpoint(self, member: Member) -> Checkpoint | None:
        """Where a full training of this run writes how far it is; None for adapters."""
        if not self.spec.is_full:
            return None
        key = self.key(member)
        folder = Path(self.job.layout.checkpoints) / store.digest(key)
        return Checkpoint(folder, self.job.experiment.config.jobs.checkpoint_minutes, key)

    def train(self, trainer: Trainer, member: Member, checkpoint: Checkpoint | None) -> None:
        """Train one run and leave it in the store."""
        if checkpoint and checkpoint.folder.exists():
            say(f"{self.job.stage}: an earlier try got some way and left a checkpoint")
        key = self.key(member)
        with store.make(Path(self.job.layout.store), "train", key) as folder:
            record = trainer.run(member, folder, progress, checkpoint) | {
                "unit": store.digest(key),
                "peak_memory_mib": _peak(trainer.opened.device),
                "device": device_name(trainer.opened.device),
                "settings": plain(self.spec),
                "word_form": self.model.word_form,
                "stage_versions": f"train {STAGE_VERSIONS['train']}",
            }
            (folder / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def unit_key(
    check: CheckRecord, model: ModelSpec, trained: pd.DataFrame, spec: TrainSpec, loss_layer: int, adapted: int, seed: int
) -> dict:
    """All that a trained seed depends on. Two cells with the same key are the same run by construction.

    trained: the pairs of each list, one below the other, in the config's order.
    """
    ignored = {"layer", "adapted_blocks", "allow_unreached"}
    lists = by_list(trained)
    if mixing_alike([len(of) for of in lists], spec):
        ignored |= {"mix"}
    pairs = [store.digest_table(of[["pair_id", "source", "target", "alternatives"]]) for of in lists]
    return {
        "version": STAGE_VERSIONS["train"],
        "identity": check.identity,
        "dtype": model.dtype,
        "quantization": "none" if spec.is_full else model.quantization,
        "settings": {name: value for name, value in plain(spec).items() if name not in ignored},
        "loss_layer": loss_layer,
        "adapted": min(adapted, loss_layer),  # blocks above are never reached: the run is the same without them
        "pairs": pairs if len(pairs) > 1 else pairs[0],
        "seed": seed,
        **model.word_key,
    }


def _passes(done: int, of: int) -> None:
    if done % max(1, of // 5) == 0:
        say(f"  pass {done} of {of}")


def _hold_against_kl(ratio: float) -> None:
    """Say how well the gradients' matrix predicts KL at the output for small changes of single positions."""
    text = f"small changes of single positions: the matrix predicts {ratio:.2f} of the KL that is measured at the output"
    if not 1 / (1 + OFF) <= ratio <= 1 + OFF:
        warn(f"{text}, more than {OFF:.0%} off; give more running text, or take the metric drift or kl")
    else:
        say(text)


class _Progress:
    """A line for every fifth of a training, with the mean loss since the line before: a batch of one pair has none."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __call__(self, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self.losses = []
        self.losses.append(loss)
        if step % max(1, steps // 5) == 0 or step == steps:
            say(f"  step {step} of {steps}, mean loss {sum(self.losses) / len(self.losses):.4f}")
            self.losses = []


progress = _Progress()


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        import torch

        return int(max(torch.cuda.max_memory_allocated(card) for card in range(torch.cuda.device_count())) / 2**20)
    return peak_memory_mib()
