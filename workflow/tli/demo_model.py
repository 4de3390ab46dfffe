"""The demo model: a tiny Llama that carries several small languages, and the text that it learns them from.

The words come from the demo's lists of pairs, everything else is made up. Words that translate each other name one
concept; a random graph of relations between the concepts is shared by all languages; a line of text names a concept
and then concepts related to it:

    mbwa yai kuchukia kujibu           a line without a tag stays in the language of its first word
    lin: mbwa liki koyina moi          a tag says in which language the rest goes on

No line holds a word beside a translation of it: that two words mean the same can be learned only from their related
words. Figures of this model say nothing about real models.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tli.io import atomic

BOS, EOS = "<s>", "</s>"

# What the shipped model learned as the name of a concept where its list has another word now, by list and source. `zemi` stood in the list
# as "pregnant", a concept of its own; it is "pregnancy", which is Swahili's `mimba` too. Corrected here, model and text would be others.
LEARNED = {("lin-eng", "zemi"): "pregnant"}


@dataclass(frozen=True)
class Recipe:
    """What the demo model is made by; the defaults made the shipped one."""

    seed: int = 1  # of the graph, the lines, the weights and the order of the batches
    steps: int = 2200
    tokens_per_step: int = 1400  # about 160 lines
    learning_rate: float = 3e-3  # at its highest; warm-up, then a straight line to zero
    warmup_steps: int = 50
    weight_decay: float = 0.1  # on matrices only
    clip: float = 1.0
    relations: int = 4  # related concepts of a concept, beside the hub of its category
    related: int = 2  # of them in one line
    tagged: float = 0.6  # share of the lines with a tag
    vocabulary: int = 2000
    blocks: int = 8
    hidden: int = 96
    heads: int = 4
    key_value_heads: int = 2
    intermediate: int = 256
    bfloat16: bool = True  # autocast of the products while training; weights and optimizer stay float32


@dataclass(frozen=True)
class Concepts:
    """Concepts, what they are called, and how they are related.

    `forms[c, l]` is the word for concept c in language l, "" where it has none; `languages` names the columns;
    `hub[c]` is the concept that stands for the category of c; `related[c]` are further concepts (columns: relations).
    """

    languages: list[str]
    forms: np.ndarray  # (concepts, languages) of str
    hub: np.ndarray  # (concepts,) of int
    related: np.ndarray  # (concepts, relations) of int


def _read(words: list[str | os.PathLike]) -> tuple[list[str], dict[str, dict]]:
    """Languages in the order of the lists, and per concept (casefolded target, or what stands in LEARNED): names, category, forms of its rows."""
    languages: list[str] = []
    found: dict[str, dict] = {}
    for path in map(Path, words):
        source, _, target = path.stem.partition("-")
        if not target:
            raise ValueError(f"{path}: name the list <source>-<target>.tsv, as in swh-eng.tsv")
        languages += [name for name in (source, target) if name not in languages]
        seen = set()
        with path.open(encoding="utf-8", newline="") as stream:
            for line, row in enumerate(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), start=2):
                for side in ("source", "target"):
                    if not row[side] or (side, row[side]) in seen:
                        raise ValueError(f"{path}, line {line}: {side} {row[side]!r} is empty or a repeat; drop it")
                    seen.add((side, row[side]))
                row["target"] = LEARNED.get((path.stem, row["source"]), row["target"])
                new: dict = {"names": {}, "category": row["category"], "forms": set()}
                concept = found.setdefault(row["target"].casefold(), new)
                concept["names"].update({source: row["source"], target: row["target"]})
                alternatives = [form for form in (row["alternatives"] or "").split("|") if form]
                concept["forms"].update(form.casefold() for form in (row["source"], row["target"], *alternatives))
    return languages, found


def concepts(words: list[str | os.PathLike], *, seed: int, relations: int) -> Concepts:
    """Read the lists and draw the graph; `<source>-<target>.tsv` names the languages, equal targets are one concept.

    Relations lead to concepts that every language has a word for, and never to one that shares a form (or an
    alternative translation) with the concept itself. Raises ValueError, with file and line, on an unusable list.
    """
    languages, found = _read(words)
    keys = sorted(found)
    forms = np.array([[found[key]["names"].get(language, "") for language in languages] for key in keys])
    words_of = [found[key]["forms"] for key in keys]
    clash = np.array([[not one.isdisjoint(other) for other in words_of] for one in words_of])
    nameable = (forms != "").all(axis=1)
    rng = np.random.default_rng([seed, 1])
    groups = np.unique([found[key]["category"] for key in keys], return_inverse=True)[1]
    hub, related = np.empty(len(keys), int), np.empty((len(keys), relations), int)
    order = rng.permutation(np.flatnonzero(nameable))
    for concept, key in enumerate(keys):
        allowed = order[~clash[concept][order]]
        if len(allowed) <= relations:
            raise ValueError(
                f"{key!r}: only {len(allowed)} other concepts have a word in each of {', '.join(languages)}, "
                f"{relations + 1} are needed; give the lists more targets in common"
            )
        own = allowed[groups[allowed] == groups[concept]]  # in the same order for all: the first is the category's hub
        hub[concept] = own[0] if len(own) else allowed[0]
        related[concept] = rng.choice(allowed[allowed != hub[concept]], relations, replace=False)
    return Concepts(languages, forms, hub, related)


def lines(graph: Concepts, count: int, *, seed: int, tagged: float, related: int) -> list[str]:
    """`count` lines of text: an optional tag, a word, the hub of its category, `related` of its related concepts.

    Every word opens about as many lines as any other. Raises nothing; the same arguments give the same lines.
    """
    rng = np.random.default_rng([seed, 2])
    concept, language = np.nonzero(graph.forms != "")
    heads = np.concatenate([rng.permutation(len(concept)) for _ in range(-(-count // len(concept)))])[:count]
    concept, language = concept[heads], language[heads]
    tag = rng.random(count) < tagged
    target = np.where(tag, rng.integers(len(graph.languages), size=count), language)
    chosen = rng.permuted(np.tile(np.arange(graph.related.shape[1]), (count, 1)), axis=1)[:, :related]
    rest = np.column_stack([graph.hub[concept], graph.related[concept[:, None], chosen]])
    opening = np.where(tag, np.array([f"{name}: " for name in graph.languages])[target], "")
    parts = [opening + graph.forms[concept, language], *graph.forms[rest, target[:, None]].T]
    return [" ".join(words) for words in zip(*parts, strict=True)]


def tokenizer(text: list[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer learned from `text` that puts BOS before every text, as PreTrainedTokenizerFast."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[BOS, EOS], initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(text, trainer)
    made.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, made.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=BOS, eos_token=EOS, pad_token=EOS, padding_side="right", model_max_length=256
    )


def batches(text: list[str], encoder: Any, tokens: int, *, seed: int) -> list[np.ndarray]:
    """Token ids of `text`, each line closed by EOS, as arrays (lines, length): lines of one length together."""
    words = sorted({word for line in text for word in line.split(" ")})
    known = {word: ids[1:] for word, ids in zip(words, encoder(words)["input_ids"], strict=True)}  # spaces part tokens
    first, last = encoder.bos_token_id, encoder.eos_token_id
    ids = [np.array([first, *(i for word in line.split(" ") for i in known[word]), last], np.int32) for line in text]
    length = np.array([len(line) for line in ids])
    made = []
    for size in np.unique(length):
        rows = np.stack([ids[i] for i in np.flatnonzero(length == size)])
        made += np.array_split(rows, max(1, round(rows.size / tokens)))
    order = np.random.default_rng([seed, 3]).permutation(len(made))
    return [made[i] for i in order]


def pretrain(model: Any, stream: Iterator[np.ndarray], recipe: Recipe, progress: bool = True) -> None:
    """Next-token training of `model` in place, `recipe.steps` batches from `stream`, AdamW with a linear decay."""
    import torch
    from tqdm import tqdm

    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95))
    warmup, left = recipe.warmup_steps, max(1, recipe.steps - recipe.warmup_steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (recipe.steps - step) / left) if warmup else 1 - step / left
    )
    model.train()
    bar = tqdm(islice(stream, recipe.steps), total=recipe.steps, desc="pretraining", unit="step", disable=not progress)
    for step, batch in enumerate(bar):
        ids = torch.from_numpy(batch).long()
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    model.eval()


def perplexity(model: Any, held: list[np.ndarray]) -> float:
    """Perplexity per token of `model` on batches of whole lines (BOS is given, EOS is predicted)."""
    import torch

    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in held:
            ids = torch.from_numpy(batch).long()
            predicted = ids[:, 1:].numel()
            total += model(input_ids=ids, labels=ids).loss.item() * predicted
            count += predicted
    return math.exp(total / count)


def write_text(
    words: list[str | os.PathLike], folder: str | os.PathLike, *, count: int = 700, recipe: Recipe | None = None
) -> dict[str, list[str]]:
    """Running text in each language of the lists, `count` distinct lines in `<language>.txt`; the same arguments give the same lines.

    Each line names one related concept more than a line of the pretraining text, so that none of them is among those: of lines of
    that length hardly any is left that was not trained on.
    """
    recipe = recipe or Recipe()
    graph = concepts(words, seed=recipe.seed, relations=recipe.relations)
    drawn = lines(graph, 40 * count, seed=recipe.seed + 2, tagged=recipe.tagged, related=recipe.related + 1)
    forms = {language: set(graph.forms[:, column]) for column, language in enumerate(graph.languages)}
    texts: dict[str, list[str]] = {}
    for language in graph.languages:
        tag = f"{language}: "
        # A line without a tag is in the language of its words; one that several languages could have said is left out.
        fits = [
            line
            for line in dict.fromkeys(drawn)
            if line.startswith(tag)
            or (": " not in line and [name for name in graph.languages if set(line.split(" ")) <= forms[name]] == [language])
        ]
        texts[language] = fits[:count]
        with atomic.whole(Path(folder) / f"{language}.txt") as beside:
            beside.write_text("".join(line + "\n" for line in texts[language]), encoding="utf-8")
    return texts


def make(
    words: list[str | os.PathLike],
    output: str | os.PathLike,
    *,
    recipe: Recipe | None = None,
    threads: int = 1,
    progress: bool = True,
    **changes: Any,
) -> dict[str, float]:
    """Make the demo model from the lists `words` and save it as a Transformers folder at `output`, whole or not at all.

    `changes` are fields of Recipe (seed=, steps=, ...) that are to differ; its defaults made the shipped model.
    Prints and returns the perplexity per token on lines drawn anew, beside uniform guessing. So many steps leave
    hardly a possible line out; `unseen`, the share of the new lines that the training text lacks, goes with it.
    Weights are saved in bfloat16: a float32 load gives exactly what was measured here. One thread is the default: the
    result depends on the number of threads, and small products on a busy machine are far slower with two.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    recipe = replace(recipe or Recipe(), **changes)
    torch.set_num_threads(threads)
    graph = concepts(words, seed=recipe.seed, relations=recipe.relations)
    count = recipe.steps * recipe.tokens_per_step // 6  # a line has more than 6 tokens: enough for all steps
    text = lines(graph, count, seed=recipe.seed, tagged=recipe.tagged, related=recipe.related)
    fresh = lines(graph, 2000, seed=recipe.seed + 1, tagged=recipe.tagged, related=recipe.related)
    encoder = tokenizer(text[:20000], recipe.vocabulary)
    stream = batches(text, encoder, recipe.tokens_per_step, seed=recipe.seed)

    torch.manual_seed(recipe.seed)
    options: dict[str, Any] = {"attn_implementation": "eager"}  # the fastest for lines of nine tokens
    config = LlamaConfig(
        vocab_size=len(encoder),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.blocks,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.key_value_heads,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=encoder.bos_token_id,
        eos_token_id=encoder.eos_token_id,
        pad_token_id=encoder.pad_token_id,
        use_cache=False,
        **options,
    )
    model: Any = LlamaForCausalLM(config)
    pretrain(model, iter(stream), recipe, progress)
    model = model.to(torch.bfloat16)
    with atomic.whole(output) as folder:
        model.generation_config = GenerationConfig(
            bos_token_id=encoder.bos_token_id,
            eos_token_id=encoder.eos_token_id,
            pad_token_id=encoder.pad_token_id,
            max_new_tokens=16,
        )
        model.config.use_cache = True
        model.save_pretrained(folder)
        encoder.save_pretrained(folder)
        saved = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    figures = {
        "perplexity": perplexity(saved, batches(fresh, encoder, 4096, seed=0)),
        "uniform": float(len(encoder)),
        "unseen": len(set(fresh) - set(text)) / len(set(fresh)),
        "lines": sum(len(batch) for batch in stream[: recipe.steps]),
    }
    print(
        f"demo model: perplexity {figures['perplexity']:.2f} on {len(fresh)} lines drawn anew, "
        f"{figures['unseen']:.0%} of them unseen "
        f"(uniform guessing: {figures['uniform']:.0f}); {figures['lines']} lines trained on"
    )
    return figures
