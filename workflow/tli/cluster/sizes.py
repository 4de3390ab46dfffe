"""How large a model is: of its files where they are on disk, else of `parameters` in the config, else the usual 8B. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path

from tli.errors import ModelError
from tli.experiment import Experiment
from tli.model.files import BLOCK, NO_TEXT, check_folder, product, read_config, read_tensors
from tli.model.nf4 import BYTES as NF4_BYTES
from tli.specs import ALL_LINEAR

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
UNKNOWN_PARAMETERS = 8.03e9
SHAPES = ((1.2e9, 16, 2048), (3.2e9, 28, 3072), (8e9, 32, 4096), (14e9, 40, 5120), (32e9, 64, 5120), (70e9, 80, 8192), (405e9, 126, 16384))
VOCABULARY = 128_256  # of a model that is not here, as in Llama 3
LLAMA_SIDES = {"q_proj": 2, "k_proj": 1.25, "v_proj": 1.25, "o_proj": 2, "gate_proj": 4.5, "up_proj": 4.5, "down_proj": 4.5}  # x hidden


@dataclass(frozen=True, eq=False)
class Size:
    """Counts of a model's values, and the widths that its activations have."""

    parameters: float
    blocks: tuple[float, ...]  # values of each block
    matrices: tuple[float, ...]  # of these, in its matrices: each token is multiplied with them, and NF4 holds them in 4 bits
    hidden_size: int
    vocabulary: int
    head: float  # values of a head of its own; 0 where it is the word embeddings again
    sides: dict[str, float]  # module of a block -> inputs + outputs of its matrix
    widest: float  # the longest side of a block's matrices

    @property
    def layers(self) -> int:
        return len(self.blocks)

    def below(self, layers: int | None = None) -> float:
        """Values that are held without the head, of the first `layers` blocks (all by default)."""
        return self.parameters - self.head - sum(self.blocks[len(self.blocks) if layers is None else layers :])

    def multiplied(self, layers: int | None = None) -> float:
        """Values that each token is multiplied with in the first `layers` blocks."""
        return sum(self.matrices[: len(self.matrices) if layers is None else layers])

    def adapter(self, modules: Sequence[str], layers: int, rank: int = 1) -> float:
        """Values of a LoRA of this rank: rank x (inputs + outputs) a matrix."""
        every = ALL_LINEAR in modules
        return rank * layers * sum(side for name, side in self.sides.items() if every or name in modules)

    def bytes(self, dtype: str, quantization: str, layers: int | None = None, *, with_head: bool = False) -> float:
        """Bytes of the weights as they are held. In NF4 the matrices of the blocks are (4 bits and a float32 for each 64 values), and
        embeddings, head and norms stay in `dtype`.
        """
        values = self.below(layers) + (self.head if with_head else 0)
        in_4_bits = self.multiplied(layers) if quantization == "nf4" else 0
        return in_4_bits * NF4_BYTES + (values - in_4_bits) * BYTES[dtype]


def size(experiment: Experiment, model: str) -> Size:
    """From the model's files where they are on disk (a fetched one's too), else of the shape that so many parameters usually have."""
    section = experiment.config.models[model]
    return _size(section.source, section.revision, section.parameters or UNKNOWN_PARAMETERS)


@cache
def _size(source: str, revision: str | None, otherwise: float) -> Size:
    try:
        return of_folder(_folder(source, revision))
    except ModelError:
        return usual(otherwise)


def _folder(source: str, revision: str | None) -> Path:
    """Where the files lie: the folder itself, or the hub's cache, which is looked into without asking the hub."""
    if revision and not Path(source).is_dir() and source.count("/") == 1:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source, "config.json", revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return Path(source)


def of_folder(folder: Path) -> Size:
    """From config.json and the headers of the safetensors files. Raises ModelError."""
    facts, config = check_folder(folder), read_config(folder)
    blocks, matrices = [0.0] * facts["layers"], [0.0] * facts["layers"]
    sides: dict[str, float] = {}
    widest = tables = 0
    hidden = config.get("hidden_size") or config.get("n_embd") or config.get("d_model") or 4096
    for name, tensor in read_tensors(folder).items():
        match, values = BLOCK.match(name), product(tensor.shape)
        if match is None or NO_TEXT.search(name):
            tables += len(tensor.shape) == 2 and tensor.shape[0] == facts["vocabulary"]
            continue
        number = int(match[2])
        if number >= facts["layers"]:
            continue
        blocks[number] += values
        if len(tensor.shape) == 2 and match[3].endswith(".weight"):
            matrices[number] += values
            widest = max(widest, *tensor.shape)
            module = match[3].split(".")[-2] if "." in match[3] else match[3]
            sides[module] = sides.get(module, 0) + sum(tensor.shape) / facts["layers"]
    vocabulary = facts["vocabulary"] or 0
    head = vocabulary * hidden if tables > 1 else 0
    return Size(facts["parameters"], tuple(blocks), tuple(matrices), hidden, vocabulary, head, sides, widest or hidden)


def usual(parameters: float) -> Size:
    """A model of so many parameters that is not here: of the Llama whose size is nearest."""
    _, layers, hidden = min(SHAPES, key=lambda shape: abs(log(parameters / shape[0])))
    tables = 2 if parameters > 5e9 else 1  # small ones share the word embeddings with the head
    table = min(VOCABULARY * hidden, 0.3 * parameters)
    block = (parameters - tables * table) / layers
    sides = {name: side * hidden for name, side in LLAMA_SIDES.items()}
    head = table if tables > 1 else 0
    return Size(parameters, (block,) * layers, (block,) * layers, hidden, VOCABULARY, head, sides, 3.5 * hidden)
