"""One copy of a model on which the seeds of a cell are trained, together or in turn: adapters or all weights, on chosen pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from tli.metrics.candidates import candidates
from tli.model import adapters, stacked
from tli.model.opening import open_model
from tli.training import loop, pairing, together
from tli.training.checkpoint import Checkpoint

TOGETHER_BELOW = 200_000_000  # parameters that are open


class Trainer:
    """The opened model and the train split, which all seeds of a cell share."""

    def __init__(self, model_settings: dict, settings: dict, loss_layer: int, adapted: int, trained: pd.DataFrame):
        """settings: grid.training_settings; adapted: blocks that carry adapters; trained: the train split, tables.PAIRS."""
        self.model_settings, self.settings, self.loss_layer, self.trained = model_settings, settings, loss_layer, trained
        self.full = settings["method"] == "full"
        self.asked, self.blocks = adapted, min(adapted, loss_layer)
        opening = model_settings | {"dtype": settings["full_dtype"]} if self.full else model_settings
        self.opened = open_model(opening, loss_layer, quantized=not self.full)
        if settings["gradient_checkpointing"]:
            self.opened.base.gradient_checkpointing_enable({"use_reentrant": False})
        self.initial: dict = {}
        self.choices: dict[int, np.ndarray] = {}
        self.ready: dict = {}  # seed -> (chosen rows, result) of what was trained together
        self.lora = {key: settings[key] for key in ("rank", "alpha", "dropout", "target_modules")} | {"blocks": self.blocks}

    @property
    def small(self) -> bool:
        """Whether a cell is done so soon that its seeds may be lost together when the job is killed."""
        return sum(p.numel() for p in self.opened.base.parameters()) < TOGETHER_BELOW

    def prepare(self, seeds: list[int], progress) -> None:
        """Train these seeds in one pass, where each is then what it would be alone (tli.training.together); `run` hands them out."""
        if self.full:
            return
        chosen = [self._chosen(seed) for seed in seeds]
        each = [self._batches(rows, seed, self.settings["shuffle_translations"]) for rows, seed in zip(chosen, seeds, strict=True)]
        if not together.can_stack(self.opened, each, self.settings):
            return
        steps = loop.steps_of(len(chosen[0]), self.settings)
        members = [stacked.initial(self.opened, seed=seed, **self.lora) for seed in seeds]
        try:
            results = together.train_together(
                each, self.loss_layer, self.settings, seeds, members, lambda step, loss: progress(step, steps, loss)
            )
        except loop.TrainingError:
            return  # a seed diverged: trained alone, each comes to its own end
        self.ready |= dict(zip(seeds, zip(chosen, results, strict=True), strict=True))

    def run(self, seed: int, folder: Path, progress, checkpoint: Checkpoint | None = None) -> dict:
        """One seed into `folder`: adapter/ or weights/, losses.parquet. Returns what is to be said of the run.

        progress(step, steps, loss) is called at every step of the training proper. checkpoint: for a full training.
        """
        if seed not in self.ready:
            self.prepare([seed], progress)
        if seed in self.ready:
            chosen, result = self.ready.pop(seed)
            self._save_adapter(folder, seed, result, len(chosen), result["tensors"])
            return self._record(folder, chosen, result, sum(t.numel() for t in result["tensors"].values()))
        chosen = self._chosen(seed)
        if checkpoint:  # a choice is made anew at each try, and another GPU may choose otherwise
            checkpoint.key = checkpoint.key | {"chosen": self.trained["pair_id"].iloc[chosen].tolist()}
        with self._fitted(chosen, seed, self.settings["shuffle_translations"], progress, checkpoint) as result:
            if self.full:
                _save_weights(result["trainable"], self.opened.prefix, self.model_settings["dtype"], folder / "weights")
            else:
                self._save_adapter(folder, seed, result, len(chosen))
            return self._record(folder, chosen, result, sum(p.numel() for p in result["trainable"].values()))

    def _save_adapter(self, folder: Path, seed: int, result: dict, pairs: int, tensors: dict | None = None) -> None:
        note = f"Loss at hs[{self.loss_layer}], seed {seed}, {len(result['losses'])} steps on {pairs} pairs."
        adapters.save(
            self.opened, folder / "adapter", **self.lora, source=self.model_settings["source"],
            revision=self.model_settings["revision"], note=note, tensors=tensors,
        )  # fmt: skip

    def _record(self, folder: Path, chosen: np.ndarray, result: dict, count: int) -> dict:
        steps = len(result["losses"])
        losses = pd.DataFrame({"step": range(1, steps + 1), "loss": result["losses"], "learning_rate": result["learning_rates"]})
        losses.to_parquet(folder / "losses.parquet", index=False)
        if self.settings["select"]:
            (folder / "pairs.json").write_text(json.dumps(self.trained["pair_id"].iloc[chosen].tolist()), encoding="utf-8")
        epochs = max(1, self.settings["epochs"])
        return {
            "loss_layer": self.loss_layer,
            "adapted_blocks": self.loss_layer if self.full else self.asked,
            # Blocks are of one shape, so those that the loss cannot reach are counted without being opened.
            "trainable_parameters": count if self.full else count // self.blocks * self.asked,
            "reached_parameters": result["reached"],
            "train_pairs": len(chosen),
            "steps": steps,
            "first_loss": float(losses["loss"].iloc[0]) if steps else None,
            "last_loss": float(losses["loss"].tail(max(1, steps // epochs)).mean()) if steps and "failed" not in result else None,
            "failed": result.get("failed", ""),
            "seconds": round(result["seconds"], 3),
        }

    def _batches(self, rows: np.ndarray, seed: int, shuffled: bool) -> loop.Batches:
        sources, targets, accepted = assignments(self.trained.iloc[rows], shuffled, seed)
        return loop.Batches(self.opened, sources, targets, accepted, self.settings["pooling"])

    @contextmanager
    def _fitted(
        self, rows: np.ndarray, seed: int, shuffled: bool, progress=lambda step, steps, loss: None, checkpoint: Checkpoint | None = None
    ) -> Iterator[dict]:
        """Within the block the model is trained on `rows` of the train split; afterwards it is as it was."""
        settings = self.settings
        batches = self._batches(rows, seed, shuffled)
        steps = loop.steps_of(len(rows), settings)
        tuner = None if self.full else adapters.attach(self.opened, **self.lora, seed=seed)
        try:
            trainable = self._all_weights() if self.full else adapters.parameters(self.opened)
            for parameter in trainable.values():
                parameter.requires_grad_(True)
            reached = loop.measure_reach(batches, self.loss_layer, settings, trainable)
            fresh = {name: p.detach().clone() for name, p in trainable.items()} if not self.full else self.initial
            try:
                found = loop.train(
                    batches, self.loss_layer, settings, seed, trainable, lambda step, loss: progress(step, steps, loss), checkpoint
                )
            except loop.DivergedError as error:
                # The run goes on into the tables as one that failed; left as initialised, it can be measured.
                found = {"losses": error.losses, "learning_rates": error.learning_rates, "seconds": error.seconds, "failed": str(error)}
                for name, parameter in trainable.items():
                    parameter.data.copy_(fresh[name])
            yield found | {"trainable": trainable, "reached": reached}
        finally:
            if tuner is not None:
                adapters.detach(tuner)
            self.opened.base.requires_grad_(False)
            for name, value in self.initial.items():
                self.opened.base.get_parameter(name).data.copy_(value)

    def _all_weights(self) -> dict:
        if not self.initial:
            self.initial = {name: p.detach().to("cpu", copy=True) for name, p in self.opened.base.named_parameters()}
        return dict(self.opened.base.named_parameters())

    def _chosen(self, seed: int) -> np.ndarray:
        """What `_choose` gives, found once: it may take a training of its own."""
        if seed not in self.choices:
            self.choices[seed] = self._choose(seed)
        return self.choices[seed]

    def _choose(self, seed: int) -> np.ndarray:
        """Rows of the train split that this seed learns from: all, or what the arm's `select` asks for."""
        everything = np.arange(len(self.trained))
        select = self.settings["select"]
        if select is None:
            return everything
        budget, strategy, n = select["budget"], select["strategy"], len(self.trained)
        if strategy == "random":
            return np.sort(pairing.choose(strategy, budget, n=n, seed=seed))
        rounds = min(select["rounds"], budget // 2) if strategy == "uncertainty" else 1
        chosen = np.array([], dtype=int)
        for size in np.diff(np.linspace(0, budget, rounds + 1).round().astype(int)):
            margins, vectors = self._score(seed, chosen)
            more = pairing.choose(strategy, int(size), n=n, seed=seed, margins=margins, vectors=vectors, exclude=chosen)
            chosen = np.concatenate([chosen, more])
        return np.sort(chosen)

    def _score(self, seed: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Margin of each pair of the train split, and its source's vector, at the loss layer: after training on `rows`."""
        from tli.probes.words import measure

        def look():
            found, _, vectors = measure(self.opened, self.trained, [self.loss_layer], [self.settings["pooling"]])
            return (found["cosine"] - found["best_rival"]).to_numpy(), vectors[self.loss_layer, self.settings["pooling"]][0]

        if not len(rows):
            return look()
        with self._fitted(rows, seed, False):  # a placebo learns from the same words as its arm: only their translations differ
            return look()


def assignments(rows: pd.DataFrame, shuffled: bool, seed: int) -> tuple[list[str], list[str], np.ndarray]:
    """Sources, their targets in training, and which target is right for which source: bool [n, n].

    Right are a source's own targets in any row, and its alternatives. Under the placebo the targets are dealt out anew so
    that no source gets any right one, and only the ASSIGNED ones count as right.
    """
    known = candidates(rows)
    targets, order = rows["target"].tolist(), np.arange(len(rows))
    right = pairing.accepted_cells(known.accepted, known.source_of, known.target_of)
    if shuffled:
        order = pairing.derangement(right, seed)
        given = pairing.assigned(known.source_of, known.target_of[order], known.accepted.shape)
        right = pairing.accepted_cells(given, known.source_of, known.target_of[order])
    return rows["source"].tolist(), [targets[i] for i in order], right.toarray()


def _save_weights(trainable: dict, prefix: str, dtype: str, folder: Path) -> None:
    """The weights in the model's own type, in which they are evaluated as the baseline is."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    save_file(
        {prefix + name: p.detach().to("cpu", getattr(torch, dtype)).contiguous() for name, p in trainable.items()},
        str(folder / "model.safetensors"),
    )
