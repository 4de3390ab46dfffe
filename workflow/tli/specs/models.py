"""A model, and how it is opened."""

from __future__ import annotations

from dataclasses import dataclass

from tli.specs.base import added


@dataclass(frozen=True)
class ModelSpec:
    """A model, and how it is opened. The keys are those of the config's section `models`."""

    source: str
    revision: str | None = None
    quantization: str = "none"
    dtype: str = "bfloat16"
    device: str = "auto"
    stream: str = "auto"
    across_gpus: bool = False
    demo: bool = False
    trust_remote_code: bool = False
    store: str = added("")  # where its NF4 weights are written and found; it changes no result
    word_form: str = added("alone")  # or "leading-space": how it is fed a word, in scan, training and evaluation alike

    @property
    def word_key(self) -> dict[str, str]:
        """What a digest of something made from words has beside the model's identity: nothing with the default."""
        return {} if self.word_form == "alone" else {"word_form": self.word_form}
