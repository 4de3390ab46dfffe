"""The memory that a job needs: of the cards, and main memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from tli.cluster.extent import USABLE, Extent
from tli.cluster.machines import (
    full_training_bytes,
)
from tli.cluster.sizes import BYTES
from tli.cluster.work import (
    LONGEST_ITEM,
    LONGEST_SENTENCE,
    NEW_TOKENS,
    SHIPPED,
    steps,
)

IMPORTS_MB = 1500  # Python with torch, transformers, peft and scikit-learn, and what Snakemake itself holds
CUDA_MB = 2000  # main memory that the GPU's libraries hold
CONTEXT = 1e9  # bytes of the card that they and what is cut into pieces take
SHARD = 5e9  # bytes of a checkpoint's file, which passes through main memory on its way to a card
STATES = 4e9  # bytes of hidden states that a streamed model's job asks for: with more subjects its files are read again
ROW = 64  # tokens of a row of a pass
ACROSS_ROW = 300  # bytes in main memory of a word of a run on a list


@dataclass(frozen=True, eq=False)
class Footprint(Extent):
    """The memory of a work, and how many cards it takes."""

    @cached_property
    def gpus(self) -> int:
        """Cards that the job asks for: none on the processor, one, or for `across_gpus` as many as it fills, two at least where it
        opens all blocks.
        """
        if not self.on_card or not self.section.across_gpus:
            return int(self.on_card)
        if self.phases:
            return max(phase.gpus for phase in self.phases)
        return max(2 if self.blocks == self.size.layers else 1, ceil((1.2 * self._weights + self._activations + CONTEXT) / self.room))

    @property
    def fits(self) -> bool:
        return self.gpu_memory_gb <= USABLE * self.card_gb

    @property
    def together(self) -> int:
        """Runs that share their passes (tli.training.grouping)."""
        if self.work.is_full or not self.experiment.config.jobs.seeds_together or self.spec.gradient_checkpointing:
            return 1
        free = max(0.0, self.gpus * self.room - self._weights) if self.on_card else 4e9
        every = steps(self.experiment, self.work.arm, self.work.pair)
        return min(self.work.runs, self._step.seeds_at_a_time(every, "cuda" if self.on_card else "cpu", free))

    @property
    def _weights(self) -> float:
        """Bytes of weights where the job computes, and of what is trained in their place."""
        known, stage = self.size, self.work.stage
        if self.streams:
            ahead = 2 * max(known.blocks) * BYTES[self.dtype]  # the block that computes, and what is read of it
            head = known.head if stage in ("check", "transfer") else 0
            return ahead + (head + min(known.vocabulary, 2 * NEW_TOKENS * self._pairs) * known.hidden_size) * BYTES[self.dtype]
        with_head = stage in ("check", "transfer") or self._anchor == "kl"
        if stage == "train" and self.work.is_full:
            held = known.below(self.blocks) + (known.head if with_head else 0)
            moved = full_training_bytes(held, self.dtype, self.spec.optimizer)
            # AdamW's step over all tensors at once, its default on a card, holds as much again as the weights
            return moved + (held * BYTES[self.dtype] if self.on_card and self.spec.optimizer == "adamw" else 0)
        held = known.bytes(self.dtype, self.quantization, self.blocks, with_head=with_head)
        if self.work.trained_whole:  # a trained run's weights beside the model's own, which come back
            held += known.bytes(self.dtype, "none")
        if self._anchor == "gradient-weighted":  # its matrix is made with the whole model, which goes before the training opens its own
            matrix = 12 * known.hidden_size**2
            held = max(held, known.bytes(self.section.dtype, self.quantization, with_head=True)) + matrix
        return held

    @property
    def _activations(self) -> float:
        """Bytes of hidden states, logits and what a backward pass needs, at least."""
        known, itemsize, stage = self.size, BYTES[self.dtype], self.work.stage
        if stage == "train":
            step = self._step.memory
            if self.spec.gradient_checkpointing:  # of a block what it was given, and all of one at a time
                step = step / self.blocks + self._step_tokens * self.blocks * known.hidden_size * itemsize
            if self._anchor == "kl":
                step += 5 * 4 * self._anchor_tokens * known.vocabulary
            return step
        if stage in ("check", "transfer"):
            texts = SHIPPED * LONGEST_SENTENCE / 2 * known.vocabulary * (itemsize + 8)
            tasks = self.experiment.config.transfer.batch_size * LONGEST_ITEM * known.vocabulary * (itemsize + 8)
            return 0 if self.streams else max(texts, tasks if stage == "transfer" and self.experiment.config.transfer.tasks else 0)
        tokens = min(self._pass, max(ROW, *self._fed))
        states = known.layers + 1 if stage == "scan" else 2
        held = tokens * (3 * known.widest * itemsize + 8 * known.hidden_size)
        if self.streams:
            return held + min(self.work.runs * max(self._states), STATES)
        return held + tokens * states * known.hidden_size * itemsize

    @property
    def _vectors(self) -> float:
        """Bytes in main memory of pooled float32 vectors and what is computed from them, and of last states of running text."""
        config, known, stage = self.experiment.config, self.size, self.work.stage
        words, itemsize = 2 * self._pairs, BYTES[self.dtype]
        if stage == "scan":
            vectors = words * (known.layers + 1) * len(config.pooling.scan) * known.hidden_size * 4
            return (2.5 + 2 * self._read_in_templates) * vectors
        if stage == "evaluate":
            vectors = words * len(config.evaluation.hidden_states) * len(config.pooling.evaluate) * known.hidden_size * 4
            vectors *= 1 + self._read_in_templates
            return vectors * (1.5 + (self.work.runs if self.streams else 1))  # subjects of a streamed model ride through it together
        if stage == "across":
            judged = self._judged * sum(asked for asked, _ in self._columns)
            return words * known.hidden_size * 4 * (1.5 + (self.work.runs if self.streams else 1)) + judged * ACROSS_ROW
        if stage == "transfer":
            return 2 * self._measured_text * known.hidden_size * itemsize
        if self._anchor:
            return self._anchor_text * known.hidden_size * itemsize
        return 0.0

    @property
    def memory_mb(self) -> int:
        """Main memory to ask for, MB. With a card the weights only pass through it."""
        if self.work.is_taken:
            return IMPORTS_MB
        if self.phases:
            return max(phase.memory_mb for phase in self.phases)
        known, held = self.size, self._weights
        if not self.on_card:
            held += self._activations
        elif not self.streams:
            held = min(held, SHARD)
        if self.work.stage == "train" and self.work.is_full:  # a copy of the first weights for the next seed, and what is written
            held += known.below(self.blocks) * (BYTES[self.dtype] + BYTES[self.section.dtype])
        return int(IMPORTS_MB + (CUDA_MB if self.on_card and held > 2e9 else 0) + (1.3 * held + self._vectors) / 1e6)

    @property
    def gpu_memory_gb(self) -> float:
        """Memory that the job needs of each card, GB as cards are sold (2^30 bytes); 0 for a model on the CPU."""
        if not self.on_card:
            return 0.0
        if self.phases:
            return max(phase.gpu_memory_gb for phase in self.phases)
        return (CONTEXT + 1.05 * self._weights / self.gpus + self._activations) / 2**30
