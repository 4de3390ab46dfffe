"""Train: the seeds of one cell (model, pair, arm, layer, rank) on one copy of the frozen weights, up to the loss layer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from tli.errors import CellError
from tli.io import atomic, store, tables
from tli.log import say, warn
from tli.model.device import device_name, peak_memory_mib
from tli.specs import STAGE_VERSIONS
from tli.training.loop import steps_of


def train(
    *, model: str, pair: str, arm: str, layer: str, rank: str, seeds: list[int], model_settings: dict, settings: dict, pairs: str,
    check: str, choice: str | None, results: str, outputs: dict[int, str], facts: dict, together: bool = True, checkpoint_minutes: float = 30,
) -> None:  # fmt: skip
    """Train each seed of the cell that the store does not hold yet; copy the units to `outputs` (seed -> folder).

    A folder gets adapter/ (or weights/), losses.parquet and run.json. A full training writes every `checkpoint_minutes` where
    it stands; 0: never. Raises CellError.
    """
    checked = json.loads(Path(check).read_text(encoding="utf-8"))
    loss_layer = resolve_layer(layer, checked["layers"], choice)
    adapted = adapted_blocks(settings, loss_layer, checked["layers"], f"arms.{arm}")
    table = tables.read(pairs, tables.PAIRS)
    trained = table[table["split"] == "train"].reset_index(drop=True)
    if len(trained) < 2:
        raise CellError(f"{pair}: the train split has {len(trained)} pairs; at least 2 are needed")
    steps = steps_of(len(trained), settings)
    if 0 < steps <= settings["warmup_steps"]:
        warn(
            f"arms.{arm}, {pair}: {steps} steps, {settings['warmup_steps']} of warm-up: the learning rate never reaches its peak; "
            "set training.warmup_steps lower, or more epochs"
        )
    trainer = None
    keys = {seed: unit_key(checked, model_settings, trained, settings, loss_layer, adapted, seed) for seed in seeds}
    for number, seed in enumerate(seeds, 1):
        key = keys[seed]
        unit = store.find(Path(results) / "store", "train", key)
        if unit is not None and settings["method"] == "full" and not (unit / "weights").exists():
            shutil.rmtree(unit)  # its weights were taken by the evaluation; they are wanted again
            unit = None
        checkpoint = None
        if settings["method"] == "full":
            from tli.training.checkpoint import Checkpoint

            checkpoint = Checkpoint(Path(results) / "store" / "checkpoints" / store.digest(key), checkpoint_minutes, key)
        if unit is None:
            if trainer is None:
                from tli.training.trainer import Trainer

                trainer = Trainer(model_settings, settings, loss_layer, adapted, trained)
                if together and trainer.small:
                    there = {s: store.find(Path(results) / "store", "train", keys[s]) for s in seeds[number - 1 :]}
                    trainer.prepare([s for s, unit in there.items() if unit is None], _progress)
            say(f"train: seed {seed} ({number} of {len(seeds)}), loss at hs[{loss_layer}], {len(trained)} pairs")
            if checkpoint and checkpoint.folder.exists():
                say("train: an earlier try got some way and left a checkpoint")
            with store.make(Path(results) / "store", "train", key) as folder:
                record = trainer.run(seed, folder, _progress, checkpoint) | {
                    "unit": store.digest(key),
                    "peak_memory_mib": _peak(trainer.opened.device),
                    "device": device_name(trainer.opened.device),
                    "settings": settings,
                    "stage_versions": f"train {STAGE_VERSIONS['train']}",
                }
                (folder / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
            unit = store.find(Path(results) / "store", "train", key)
            facts["device"] = device_name(trainer.opened.device)
        else:
            say(f"train: seed {seed} ({number} of {len(seeds)}) is finished already; taken from the store")
        if checkpoint:
            checkpoint.remove()
        names = dict(model=model, pair=pair, arm=arm, layer=layer, rank=rank, seed=seed)
        _hand_over(unit, Path(outputs[seed]), names, adapted if settings["method"] == "lora" else None)


def resolve_layer(layer: str, layers: int, choice: str | None) -> int:
    """The hidden state of the loss as a number: `best` by the scan's table, `output` is L. Raises CellError."""
    if layer == "best":
        table = tables.read(choice, tables.CHOICE)
        if not len(table):
            raise CellError(
                "loss_layer best: there is nothing to choose from, since the lexicon has no select split or the model has fewer "
                "than two blocks; give the lexicon a select split, or name the layer by number"
            )
        return int(table.loc[table["chosen"], "hidden_state"].iloc[0])
    number = layers if layer == "output" else int(layer)
    if number > layers:
        raise CellError(f"loss_layer {number}: this model has hs[0] to hs[{layers}]")
    if number == 0:
        raise CellError("loss_layer 0: hs[0] are the embeddings; no block lies below, so no adapter can learn")
    return number


def adapted_blocks(settings: dict, loss_layer: int, layers: int, where: str) -> int:
    """How many blocks carry an adapter. Raises CellError for blocks that the loss cannot reach, unless they are allowed."""
    asked = {"reachable": loss_layer, "all": layers}.get(settings["adapted_blocks"], settings["adapted_blocks"])
    asked = min(int(asked), layers)
    if asked > loss_layer and not settings["allow_unreached"]:
        raise CellError(
            f"{where}: adapters are asked for on {asked} blocks, but a loss at hs[{loss_layer}] reaches only the first "
            f"{loss_layer}; the others would stay as initialised. Set adapted_blocks: reachable, or allow_unreached: true"
        )
    return asked


def unit_key(checked: dict, model_settings: dict, trained: pd.DataFrame, settings: dict, loss_layer: int, adapted: int, seed: int) -> dict:
    """All that a trained seed depends on. Two cells with the same key are the same run by construction."""
    ignored = {"layer", "adapted_blocks", "allow_unreached"}
    return {
        "version": STAGE_VERSIONS["train"],
        "identity": checked["identity"],
        "dtype": model_settings["dtype"],
        "quantization": "none" if settings["method"] == "full" else model_settings["quantization"],
        "settings": {k: v for k, v in settings.items() if k not in ignored},
        "loss_layer": loss_layer,
        "adapted": min(adapted, loss_layer),  # blocks above are never reached: the run is the same without them
        "pairs": store.digest_table(trained[["pair_id", "source", "target", "alternatives"]]),
        "seed": seed,
    }


def _hand_over(unit: Path, output: Path, names: dict, adapted: int | None) -> None:
    """Copy the unit to the run's folder. adapted: how many blocks this run asked adapters for, None for a full training."""
    for item in sorted(unit.iterdir()):
        if item.name == "weights":
            store.link(item, output / item.name)  # as large as the model: never twice on the disk
        elif item.name not in ("unit.json", "run.json", "pairs.json"):
            store.copy(item, output / item.name)
    record = json.loads((unit / "run.json").read_text(encoding="utf-8")) | names
    if adapted is not None:  # another run, that asked for more or fewer unreached blocks, may have made the unit
        record["trainable_parameters"] = record["trainable_parameters"] // record["adapted_blocks"] * adapted
        record["adapted_blocks"] = adapted
    with atomic.whole(output / "run.json") as beside:
        beside.write_text(json.dumps(record, indent=1), encoding="utf-8")


class _Progress:
    """A line for every fifth of a training, with the mean loss since the line before: a batch of one pair has none."""

    def __init__(self):
        self.losses: list[float] = []

    def __call__(self, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self.losses = []
        self.losses.append(loss)
        if step % max(1, steps // 5) == 0 or step == steps:
            say(f"  step {step} of {steps}, mean loss {sum(self.losses) / len(self.losses):.4f}")
            self.losses = []


_progress = _Progress()


def _peak(device) -> int:
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device) / 2**20)
    return peak_memory_mib()
