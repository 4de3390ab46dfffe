"""NF4: four bits a weight (QLoRA, arXiv 2305.14314), as bitsandbytes rounds them."""

from __future__ import annotations

from tli.model.opened import is_transposed


def rounded(weight, module):
    """The values that NF4 keeps of a linear module's weight: bitsandbytes' blocks of 64, no double quantisation."""
    from bitsandbytes import functional

    weight = weight.T if is_transposed(module) else weight  # bitsandbytes turns it around before it cuts it into blocks
    packed, state = functional.quantize_4bit(weight.contiguous(), blocksize=64, compress_statistics=False, quant_type="nf4")
    values = functional.dequantize_4bit(packed, state).view(weight.shape)
    return values.T if is_transposed(module) else values


def replaced(parameter, weight):
    """A 4-bit parameter like `parameter` that holds `weight`, rounded anew."""
    from bitsandbytes.nn import Params4bit

    options = {name: value for name, value in parameter.__dict__.items() if not name.startswith("_") and name != "data"}
    return Params4bit(weight.to("cpu"), **options | {"bnb_quantized": False, "requires_grad": False}).to(parameter.device)


def dequantized(parameter):
    """The values of a 4-bit parameter, in the type the model had before."""
    from bitsandbytes import functional

    return functional.dequantize_4bit(parameter.data, parameter.quant_state)


def guard_cpu(model) -> None:
    """bitsandbytes repacks 4-bit layers on CPUs with AVX512-BF16 at the first eval forward; from then on the outputs are
    off and LoRA gets no gradient, without an error. In place."""
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
