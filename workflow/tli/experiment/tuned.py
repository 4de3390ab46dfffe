"""What the trials of a cell chose, once they are done."""

from __future__ import annotations

from tli.io import table_files, tables
from tli.specs import TrainSpec, Trial, TuneSpec


def chosen_trial(path: str, tune: TuneSpec) -> Trial:
    """The trial that a table of trials (tables.TRIALS) chose, among those that the config names. Raises TableError."""
    table = table_files.read(path, tables.TRIALS)
    return tune.trials[int(table.loc[table["chosen"], "trial"].iloc[0]) - 1]


def settled(spec: TrainSpec, tune: TuneSpec | None, inputs: dict) -> TrainSpec:
    """How the runs of a cell are trained: as the arm has it, or with what its trials (the input `trials`) chose."""
    return spec if tune is None else chosen_trial(inputs["trials"], tune).of(spec)


def described(tune: TuneSpec, spec: TrainSpec) -> str:
    """What is tuned, as `spec` has it: "learning rate 0.0002, 5 epochs, weight 3"."""
    words = [f"learning rate {spec.learning_rate:g}"] if len(tune.learning_rates) > 1 else []
    words += [f"{spec.epochs} epochs"] if len(tune.epochs) > 1 else []
    words += [f"weight {spec.anchor.weight if spec.anchor else 0:g}"] if len(tune.weights) > 1 else []
    return ", ".join(words) or f"learning rate {spec.learning_rate:g}"
