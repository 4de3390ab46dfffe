"""The one tree of errors. Every message says what, where (file, line, key) and the mend; whoever runs a job prints it in one line.

TliError
|-- ConfigError     the config cannot be run
|-- LexiconError    a word list that cannot be used
|-- TableError      a table between two stages that is missing or not as its contract
|-- ModelError      a model that cannot be used
|   `-- EmbedError  a word that the model's tokenizer cannot give a vector
|-- ItemError       a downstream task, or its file, that cannot be used
|-- CellError       a cell of the grid that cannot be trained
|-- TrainingError   a training that cannot or did not do what it is for
|   `-- DivergedError
`-- InUseError      a results folder that another Snakemake works on
"""

from __future__ import annotations


class TliError(ValueError):
    """An error that is foreseen: its message is for the user, its traceback is not."""


class ConfigError(TliError):
    """The config cannot be run; the message names the file, the line, the key, the reason and the mend."""


class LexiconError(TliError):
    """A word list that cannot be used; the message names the file, the line, the reason and the mend."""


class TableError(TliError):
    """A table lacks a column or a file cannot be read as one; the message names the file."""


class ModelError(TliError):
    """A model that cannot be used; the message names the folder or file, the reason and the mend."""


class EmbedError(ModelError):
    """A word that cannot be embedded."""


class ItemError(TliError):
    """A task or its file that cannot be used; the message names the file, the line, the reason and the mend."""


class CellError(TliError):
    """A cell of the grid that cannot be trained; the message says why and how to mend it."""


class TrainingError(TliError):
    """A training that cannot or did not do what it is for."""


class DivergedError(TrainingError):
    """The loss is not finite any more; the run has failed, others may go on."""

    def __init__(self, value: float, losses: list[float], learning_rates: list[float], seconds: float, reached: int = 0):
        super().__init__(f"the loss is {value} at step {len(losses) + 1}; lower learning_rate, or take dtype float32")
        self.losses, self.learning_rates, self.seconds, self.reached = losses, learning_rates, seconds, reached


class InUseError(TliError):
    """The results folder is being worked on; the message says by whom and what to do."""
