"""The other ways of doing it, written as one finds them: one word at a time, or padded batches of 32."""

from __future__ import annotations

import numpy as np


def scan_published(model, tokenizer, words) -> np.ndarray:
    """One word at a time, all hidden states asked for, mean-pooled without BOS: [words, states, hidden]."""
    import torch

    vectors = []
    with torch.no_grad():
        for word in words:
            given = tokenizer(word, return_tensors="pt").to(model.device)
            states = model(**given, output_hidden_states=True).hidden_states
            vectors.append(torch.stack([state[0, 1:].float().mean(0) for state in states]).cpu().numpy())
    return np.stack(vectors)


def scan_competent(model, tokenizer, words, size: int = 32) -> np.ndarray:
    """Padded batches of 32 in the order of the list, otherwise the same."""
    import torch

    vectors = []
    with torch.no_grad():
        for first in range(0, len(words), size):
            given = tokenizer(words[first : first + size], return_tensors="pt", padding=True, padding_side="right").to(model.device)
            states = model(**given, output_hidden_states=True).hidden_states
            mask = given["attention_mask"].clone().float()
            mask[:, 0] = 0
            mask = (mask / mask.sum(1, keepdim=True))[..., None]
            vectors.append(torch.stack([(state.float() * mask).sum(1) for state in states], 1).cpu().numpy())
    return np.concatenate(vectors)


def pool(state, mask):
    """Mean over the tokens without BOS: [words, hidden] float32."""
    mask = mask.clone().float()
    mask[:, 0] = 0
    mask = (mask / mask.sum(1, keepdim=True))[..., None]
    return (state.float() * mask).sum(1)


def train_step(model, tokenizer, sources, targets, layer, optimizer, *, fused: bool) -> float:
    """One training step on a PEFT model of full depth: two forwards as published, or one."""
    import torch

    from tli.training import objective

    def embed(words):
        given = tokenizer(words, return_tensors="pt", padding=True, padding_side="right").to(model.device)
        return pool(model(**given, output_hidden_states=True).hidden_states[layer], given["attention_mask"])

    if fused:
        both = embed(sources + targets)
        anchors, positives = both[: len(sources)], both[len(sources) :]
    else:
        anchors, positives = embed(sources), embed(targets)
    loss, _ = objective.loss("triplet-hardest", anchors, positives, torch.eye(len(sources), dtype=torch.bool, device=anchors.device))
    optimizer.zero_grad()
    if loss.requires_grad:
        loss.backward()
    optimizer.step()
    return float(loss.detach())


def lora(model, *, blocks=None, rank: int = 16, dropout: float = 0.05, seed: int = 1):
    """PEFT on q_proj and v_proj, of all blocks or of the first `blocks`."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=dropout,
        target_modules=["q_proj", "v_proj"],
        bias="none",
        task_type="CAUSAL_LM",
        layers_to_transform=None if blocks is None else list(range(blocks)),
    )
    return get_peft_model(model, config)
