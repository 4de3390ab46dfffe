"""The section `models`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tli.config.keys.base import Section


class Model(Section):
    """A language model, on disk or on the hub."""

    source: str = Field(
        description="A folder with config.json, *.safetensors and tokenizer.json, or a hub id. A folder is found "
        "from the place where Snakemake is started.",
        examples=["resources/demo/model", "Lugha-Llama/Lugha-Llama-8B-wura"],
    )
    revision: str | None = Field(
        None,
        description="The commit of a hub model, 40 hexadecimal digits. Needed before a hub model is run, so that the "
        "run can be repeated: `tli fetch CONFIG` prints it. Not used for a folder.",
        examples=["<the 40 digits that the fetch command prints>"],
    )
    quantization: Literal["none", "nf4"] = Field(
        "none",
        description="`nf4` holds the weights in 4 bits through bitsandbytes, on a GPU or a CPU. The check job writes them to "
        "`<results>/store/nf4` (4.5 bits a weight of the blocks, 16 of all else) and all others open them there.",
        examples=["nf4"],
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Type of the weights and of the computation. Pooling and cosines are always float32."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where it computes; `auto` takes a GPU where there is one.")
    stream: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Push all words, and the sentences of `text`, through one block at a time, read from the files: `auto` does so where "
        "memory does not hold the model. The tasks of `transfer`, the anchor `kl` and the matrix of `gradient-weighted` open it whole.",
    )
    across_gpus: bool = Field(
        False,
        description="Spread a model over all visible GPUs (accelerate's device map) where one card does not hold what a job opens of it.",
    )
    demo: bool = Field(False, description="Marks a model too small for any claim; the report then says so everywhere.")
    trust_remote_code: bool = Field(
        False, description="Let Transformers run Python code that comes with the model. Off unless you know the code."
    )
    word_form: Literal["alone", "leading-space"] = Field(
        "alone",
        description="How the model is fed a word, in scan, training and evaluation alike: `alone`, as the paper did, or as it stands in "
        "text after a space (`leading-space`). A tokenizer in bytes (GPT-2, Llama 3) cuts ` afya` otherwise than `afya`; one that puts the "
        "space itself (most SentencePiece models) does not. To compare the two, name the model twice. Check and scan tell the difference.",
        examples=["leading-space"],
    )
    parameters: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Number of parameters, for the memory and time asked of the cluster where the model's files are "
        "not on disk yet. Read from the files where they are.",
        examples=[8.03e9],
    )
