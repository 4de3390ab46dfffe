"""Which figures a report has, and what their files are called: all that the workflow must know before anything is drawn."""

from __future__ import annotations

import re

# key: (title, category of Snakemake's report)
FIGURES = {
    "layer-curve": ("Alignment by hidden state", "Before training"),
    "ladder": ("From free to trained: who wins", "Was it worth it"),
    "harm-gain": ("Gain against harm", "Was it worth it"),
    "before-after": ("Before and after, pair by pair", "What changed"),
    "gap-against-cosine": ("Does the gap rise, or do all cosines?", "Can it be believed"),
    "forest": ("Effects of all cells", "What changed"),
    "heat": ("Loss layer and rank", "What changed"),
    "rank-gain": ("Gain by rank", "What changed"),
    "gained-and-lost": ("Which held-out words gained and lost", "Words"),
    "projection-tsne": ("t-SNE before and after", "Words"),
    "projection-pca": ("PCA before and after", "Words"),
    "training-curves": ("Training curves", "Can it be believed"),
    "transfer": ("Transfer", "What else changed"),
    "transfer-by-rank": ("Transfer by rank", "What else changed"),
    "transfer-against-gain": ("Transfer against the gain in alignment", "What else changed"),
}

MATRIX = ("matrix", "Trained on one list, measured on all", "What else changed")  # its key, title and category; one for a model and arm


def figure_name(key: str, model: str, pair: str) -> str:
    """Name of a figure's files, without folder and suffix; a matrix has its arm in the place of the pair."""
    return "--".join(re.sub(r"[^A-Za-z0-9._-]+", "_", part) for part in (key, model, pair))
