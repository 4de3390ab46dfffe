"""The trained weights of a full fine-tuning as files that Transformers' and accelerate's own code opens.

They are whole tensors, those that were trained and no others: put on the base model they give the model that was measured, to the bit.
What the base model has already is not copied; it stays under its own licence.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from tli.model.files import Stored, read_tensors

NAME = "model{suffix}.safetensors"
INDEX = "model.safetensors.index.json"
LARGEST = "5GB"  # of a file, as the hub advises
PIECE = 1 << 24  # bytes that are in memory at once


def write_trained(source: Path, folder: Path, largest: int | str = LARGEST) -> None:
    """Write the tensors of the folder `source` into `folder`, in files of at most `largest` with an index where there are several, as
    `save_pretrained` does. No tensor is held in memory.

    Raises ModelError where the weights are cut off or none are there.
    """
    from huggingface_hub import split_state_dict_into_shards_factory

    tensors = read_tensors(source)
    split = split_state_dict_into_shards_factory(
        tensors, get_storage_size=lambda one: one.end - one.start, filename_pattern=NAME, max_shard_size=largest
    )
    folder.mkdir(parents=True, exist_ok=True)
    for file, names in split.filename_to_tensors.items():
        _write(source, folder / file, {name: tensors[name] for name in names})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write(source: Path, file: Path, tensors: Mapping[str, Stored]) -> None:
    """A safetensors file: the length of its head, the head as JSON with what each tensor is and where its bytes are, the bytes."""
    head: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, one in tensors.items():
        start, end = end, end + one.end - one.start
        head[name] = {"dtype": one.dtype, "shape": one.shape, "data_offsets": [start, end]}
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the bytes begin at a multiple of 8
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for one in tensors.values():
            with (source / one.file).open("rb") as stream:
                stream.seek(one.start)
                _copy(stream, out, one.end - one.start)


def _copy(source: BinaryIO, to: BinaryIO, count: int) -> None:
    while count:
        piece = source.read(min(PIECE, count))
        if not piece:
            raise OSError(f"{source.name}: ends before its last tensor; train the run again")
        to.write(piece)
        count -= len(piece)
