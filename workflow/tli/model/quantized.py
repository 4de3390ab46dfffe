"""The model in NF4, written once by the check job and opened by all others: rounding it anew takes far longer than reading it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from tli.io import store
from tli.log import say
from tli.model.files import identity
from tli.model.staging import KINDS
from tli.specs import ModelSpec

KIND = "nf4"


def key(spec: ModelSpec, folder: Path) -> dict:
    """All that the rounded weights depend on."""
    versions = {name: metadata.version(name) for name in ("bitsandbytes", "transformers")}
    return {"identity": identity(folder), "dtype": spec.dtype, **versions}


def reopened(spec: ModelSpec, folder: Path | None) -> ModelSpec:
    """The model with `source` at the written NF4 weights; as it was where NF4 is not asked for or none are written.

    folder: where the model's own files lie. The weights are found in `spec.store` (see tli.io.store).
    """
    if spec.quantization != "nf4" or folder is None or not spec.store:
        return spec
    written = store.find(Path(spec.store), KIND, key(spec, folder))
    return spec if written is None else replace(spec, source=str(written / "model"), revision=None)


def write(spec: ModelSpec, folder: Path | None, whole_model: Any) -> None:
    """Write `whole_model`, opened in NF4 with its head, with the tokenizer's files of `folder`, in place of what was written
    before. A full disk costs speed, not the run.
    """
    if spec.quantization != "nf4" or folder is None or not spec.store:
        return
    try:
        with store.make(Path(spec.store), KIND, key(spec, folder)) as unit:
            for file in sorted({file for kind in KINDS for file in Path(folder).glob(kind)}):
                if not file.name.endswith((".safetensors", ".safetensors.index.json")):
                    (unit / "model").mkdir(exist_ok=True)
                    shutil.copyfile(file, unit / "model" / file.name)
            whole_model.save_pretrained(str(unit / "model"), max_shard_size="2GB")
    except Exception as error:
        say(f"NF4 weights cannot be stored, every job rounds the model anew ({error})")
