"""Synthetic tables with planted effects, in the columns of tli.io.tables: what the statistics and the report are tested on.

Every table comes from cosine matrices that are drawn here, so that the metrics, the ranks and the cosines of a run agree
with each other. All of it is a function of the arguments: the same call gives the same tables.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from tli import statistics
from tli.io import tables as columns
from tli.specs import StatisticsSpec

CATEGORIES = ["body", "food", "kinship", "time"]
TASKS = {"xcopa_sw": ("sw", 2), "copa": ("en", 2), "xnli_sw": ("sw", 3), "xnli_en": ("en", 3)}
POOLING = "no-bos"
LEVEL, SPREAD, SIGNAL = 0.30, 0.08, 0.15  # mismatched cosine, its standard deviation, what a translation has above it


def analyse(made: dict[str, pd.DataFrame], layers: dict[str, int] | None = None, **spec) -> dict[str, pd.DataFrame]:
    """The statistics of such tables; spec: fields of StatisticsSpec."""
    measured = statistics.Measured(made["runs"], made["similarities"], made["metrics"], made["pairs"], layers or {})
    return statistics.analyse(measured, StatisticsSpec(**{"bootstrap": 50, **spec}))


def transfer(items: pd.DataFrame, runs: pd.DataFrame, **spec) -> dict[str, pd.DataFrame]:
    """The statistics of such tasks; spec: fields of StatisticsSpec."""
    return statistics.transfer(statistics.Scored(items, runs), StatisticsSpec(**{"bootstrap": 50, **spec}))


def tables(
    models=1,
    pairs=2,
    layers=("best", "2"),
    ranks=("16",),
    arms=("tli",),
    seeds=5,
    words=80,
    effect=0.12,
    placebo=0.0,
    collapse=0.0,
    seed=0,
    *,
    train_effect=None,
    rank_slope=0.0,
    run_sd=0.02,
    noise=0.02,
    with_placebo=True,
    zero=True,
    best=3,
    number_of_layers=4,
    items=60,
    transfer_effect=0.0,
    untrained=False,
) -> dict[str, pd.DataFrame]:
    """Tables of a whole experiment: pairs, grid, runs, losses, similarities, metrics, scan, choice, projections, ...

    effect, placebo   what training adds to the cosine of a translation at the output, in the real and the placebo arms
    train_effect      the same for the train split of the real arms (default: effect)
    collapse          a constant that training adds to every cosine, mismatched ones too (real and placebo alike)
    rank_slope        what each doubling of the rank above 16 adds to `effect`
    run_sd, noise     standard deviations of a run's own effect, and of its cosines about it (0: no variance at all)
    transfer_effect   what training adds to the chance that an item of a transfer task is right
    best              the hidden state that layer "best" resolves to
    untrained         whether the held-out words are measured in the untrained pool too
    """
    made: dict[str, list] = {name: [] for name in ("pairs", "scan", "choice", "projections", "perplexity")}
    names = [(f"model-{m + 1}", f"pair-{p + 1}") for m in range(models) for p in range(pairs)]
    runs = _runs(names, layers, ranks, arms, seeds, with_placebo, zero, best, number_of_layers)
    similarities, metrics, transfer = [], [], []
    for place, (model, pair) in enumerate(names):
        random = np.random.default_rng([seed, place])
        lexicon = _lexicon(pair, words, np.random.default_rng([seed, 1_000 + place % pairs]))
        if place < pairs:
            made["pairs"].append(lexicon.assign(model=model))
        base = {h: _matrix(words, h, number_of_layers, random) for h in range(number_of_layers + 1)}
        own = runs[(runs.model == model) & (runs.pair == pair)]
        states = sorted({number_of_layers, *own.loss_layer})
        train = (lexicon.split == "train").to_numpy()
        for baseline in sorted(set(own.baseline)):
            key = dict(zip(columns.RUN, [model, pair, baseline, "", "", -1, 0, baseline], strict=True))
            for h in states:
                _measure(key, base[h], lexicon, h, number_of_layers, similarities, metrics)
            _side_tables(key, lexicon, number_of_layers, 0.0, made, random)
        for number, run in enumerate(own.itertuples()):
            if run.same_as:
                continue
            draw = np.random.default_rng([seed, place, number])
            key = {name: getattr(run, name) for name in columns.RUN}
            floor = run.control and not run.placebo_of
            real = not run.control
            size = np.log2(float(run.rank) / 16) * rank_slope if run.rank.isdigit() and real else 0.0
            shift = draw.normal(0, run_sd)
            gain = np.where(train, effect if train_effect is None else train_effect, effect) + size if real else placebo
            for h in states:
                scale = 1.5 if h == run.loss_layer and h != number_of_layers else 1.0
                changed = base[h] + collapse * scale + draw.normal(0, noise, (words, words))
                changed[np.diag_indices(words)] += (gain + shift) * scale
                after = base[h] if floor else changed
                _measure(key, after, lexicon, h, number_of_layers, similarities, metrics)
            if run.seed == 0:
                _side_tables(key, lexicon, number_of_layers, float(np.mean(gain)), made, draw)
        _scan(model, pair, base, lexicon, number_of_layers, best, made)
        transfer.append(_transfer(own, items, transfer_effect, np.random.default_rng([seed, 2_000 + place])))
    result = {
        "pairs": pd.concat(made["pairs"], ignore_index=True)[["model", "pair", *columns.PAIRS]],
        "grid": runs[columns.GRID],
        "runs": runs[columns.RUNS],
        "losses": _losses(runs, np.random.default_rng([seed, 3_000])),
        "similarities": pd.concat(similarities, ignore_index=True)[columns.SIMILARITIES],
        "metrics": pd.DataFrame(metrics)[columns.RUN_METRICS],
        "scan": pd.DataFrame(made["scan"])[columns.SCAN],
        "choice": pd.DataFrame(made["choice"])[columns.CHOICE],
        "projections": pd.concat(made["projections"], ignore_index=True)[columns.PROJECTIONS],
        "transfer": pd.concat(transfer, ignore_index=True)[columns.TRANSFER],
        "perplexity": pd.DataFrame(made["perplexity"])[columns.PERPLEXITY],
    }
    if not untrained:
        for name in ("similarities", "metrics", "scan"):
            result[name] = result[name].query("pool == 'whole-list'").reset_index(drop=True)
    if models > 1:  # every model sees the same lists
        one = result["pairs"]
        result["pairs"] = pd.concat([one.assign(model=f"model-{m + 1}") for m in range(models)], ignore_index=True)
    return result


def _runs(names, layers, ranks, arms, seeds, with_placebo, zero, best, depth):
    rows = []
    kinds = [(arm, "", False) for arm in arms]
    kinds += [(f"placebo-{arm}", arm, True) for arm in arms] if with_placebo else []
    kinds += [("zero", "", True)] if zero else []
    for model, pair in names:
        kept: dict[tuple, str] = {}
        for arm, placebo_of, control in kinds:
            full = "full-ft" in (arm, placebo_of)
            for layer in ("output",) if full else layers:
                loss_layer = {"best": best, "output": depth}.get(layer) or int(layer)
                for rank in ("full",) if full else ranks:
                    for number in range(seeds):
                        run = f"{arm}/layer-{layer}/rank-{rank}/seed-{number}"
                        first = kept.setdefault((arm, loss_layer, rank, number), run)
                        size = int(rank) if rank.isdigit() else 64
                        rows.append(
                            {
                                "model": model,
                                "pair": pair,
                                "arm": arm,
                                "layer": layer,
                                "rank": rank,
                                "seed": number,
                                "fold": 0,
                                "run": run,
                                "method": "full" if full else "lora",
                                "placebo_of": placebo_of,
                                "control": control,
                                "baseline": "baseline-full" if full else "baseline",
                                "loss_layer": loss_layer,
                                "same_as": "" if first == run else first,
                                "objective": "triplet",
                                "margin": 0.4,
                                "learning_rate": 2e-4,
                                "epochs": 0 if arm == "zero" else 5,
                                "batch_size": 8,
                                "warmup_steps": 5,
                                "alpha": 2.0 * size,
                                "dropout": 0.05,
                                "adapted_blocks": loss_layer,
                                "trainable_parameters": 1024 * size * loss_layer,
                                "reached_parameters": 1024 * size * loss_layer,
                                "train_pairs": 40,
                                "steps": 0 if arm == "zero" else 25,
                                "first_loss": np.nan if arm == "zero" else 0.4,
                                "last_loss": np.nan if arm == "zero" else 0.1,
                                "seconds": 1.5,
                                "peak_memory_mib": 300.0,
                                "device": "cpu",
                                "unit": hashlib.sha256(f"{model}/{pair}/{first}".encode()).hexdigest()[:16],
                                "adapter": f"adapters/{model}/{pair}/{run}",
                                "stage_versions": "train=1",
                            }
                        )
    return pd.DataFrame(rows)


def _lexicon(pair, words, random):
    split = np.array(["train"] * (words // 2) + ["select"] * (words // 8))
    split = np.concatenate([split, np.repeat("heldout", words - len(split))])
    order = random.permutation(words)  # no order in the file tells the split
    number = np.arange(words)
    return pd.DataFrame(
        {
            "pair": pair,
            "pair_id": [f"{pair}-w{i:03d}" for i in number],
            "source": [f"neno{i}" for i in number],
            "target": [f"word{i}" for i in number],
            "alternatives": "",
            "category": np.array(CATEGORIES)[number % len(CATEGORIES)],
            "component": [f"{pair}-c{i // 2 if i % 10 == 1 else i:03d}" for i in number],
            "split": split[np.argsort(order)],
            "cognate": random.beta(1, 4, words).round(3),
            "provenance": "synthetic",
        }
    )


def _matrix(words, h, depth, random):
    matrix = LEVEL + random.normal(0, SPREAD, (words, words))
    matrix[np.diag_indices(words)] += SIGNAL * (1.0 - 0.15 * abs(h - 3)) if h else 0.0
    return matrix


def _ranks(scores):
    right = np.diag(scores)[:, None]
    return (scores >= right).sum(1)  # the right one counts itself: 1 is best, ties count against


def _measure(key, s, lexicon, h, depth, similarities, metrics):
    """The rows and figures of both pools: the whole list, and the held-out words among the forms that are not trained."""
    free = (lexicon.split != "train").to_numpy()
    whole, k = _words(key, s, lexicon, h, columns.WHOLE_LIST)
    untrained, k_untrained = _words(key, s[np.ix_(free, free)], lexicon[free], h, columns.UNTRAINED)
    for words, near in ((whole, k), (untrained[untrained.split == "heldout"], k_untrained)):
        similarities.append(words)
        for split, part in words.groupby("split", sort=True):
            place = {"split": split, "hidden_state": h, "normed": h == depth, "pooling": POOLING}
            metrics.append({**key, **place, **_summary(part, near), **_beside(part, int(free.sum()) if words is not whole else len(s))})


def _beside(words, pool):
    """What stands beside the figures of a pool (columns.POOLS)."""
    shares = {"chance": 1 / pool, "chance_reverse": 1 / pool, "string_p_at_1": 0.0, "string_p_at_1_reverse": 0.0}
    return {"pool": words["pool"].iloc[0], "pool_sources": pool, "pool_targets": pool, "leaked": 0, **shares}


def _words(key, s, lexicon, h, pool):
    n = len(s)
    right, off = np.diag(s), ~np.eye(n, dtype=bool)
    wrong = s[off].reshape(n, n - 1)
    k, k_margin = max(1, min(10, n // 10)), max(1, min(4, n // 10))
    near_t = np.sort(s, 1)[:, -k:].mean(1)[:, None]
    near_s = np.sort(s, 0)[-k:].mean(0)[None]
    csls = 2 * s - near_t - near_s
    margin = s / (np.sort(s, 1)[:, -k_margin:].mean(1)[:, None] + np.sort(s, 0)[-k_margin:].mean(0)[None]) * 2
    rival, reverse = wrong.max(1), s.T[off].reshape(n, n - 1).max(1)
    words = pd.DataFrame(
        {
            **key,
            "pair_id": lexicon.pair_id.to_numpy(),
            "split": lexicon.split.to_numpy(),
            "hidden_state": h,
            "pooling": POOLING,
            "pool": pool,
            "leaked": False,
            "chance": 1 / n,
            "chance_reverse": 1 / n,
            "string_rank": float(n),
            "string_rank_reverse": float(n),
            "cosine": right,
            "mismatched_mean": wrong.mean(1),
            "mismatched_sd": wrong.std(1),
            "mismatched_xcs": 2.5 * wrong.clip(min=0).mean(1),
            "best_rival": rival,
            "best_rival_reverse": reverse,
            "best_reference": np.nan,
            "target_rank": _ranks(s),
            "source_rank": _ranks(s.T),
            "csls_target_rank": _ranks(csls),
            "csls_source_rank": _ranks(csls.T),
            "margin": np.diag(margin),
            "margin_target_rank": _ranks(margin),
        }
    )
    return words, k


def _summary(w, k):
    gap = (w.cosine - w.mismatched_mean).mean()
    return {
        "k": k,
        "n": len(w),
        "cosine": w.cosine.mean(),
        "mismatched": w.mismatched_mean.mean(),
        "gap": gap,
        "z": ((w.cosine - w.mismatched_mean) / w.mismatched_sd).mean(),
        "p_at_1": (w.target_rank <= 1).mean(),
        "p_at_5": (w.target_rank <= 5).mean(),
        "mrr": (1 / w.target_rank).mean(),
        "p_at_1_reverse": (w.source_rank <= 1).mean(),
        "p_at_5_reverse": (w.source_rank <= 5).mean(),
        "mrr_reverse": (1 / w.source_rank).mean(),
        "csls_p_at_1": (w.csls_target_rank <= 1).mean(),
        "csls_p_at_1_reverse": (w.csls_source_rank <= 1).mean(),
        "mexa": ((w.cosine > w.best_rival) & (w.cosine > w.best_rival_reverse)).mean(),
        "margin_error": (w.margin_target_rank > 1).mean(),
        "xcs": 2.5 * w.cosine.clip(lower=0).mean(),
        "xcs_mismatched": w.mismatched_xcs.mean(),
        "ref_xcs": np.nan,
        "ref_xcs_mismatched": np.nan,
        "cka": 0.5 + gap / 2,
        "cosine_centred": gap,
        "gap_centred": gap,
        "cosine_no_sink": w.cosine.mean() - 0.05,
        "gap_no_sink": gap,
        "sink_ratio": 1.5,
    }


def _side_tables(key, lexicon, depth, gain, made, random):
    n = len(lexicon)
    centre = random.normal(0, 1, (n, 2))
    for side, form, shift in (("source", lexicon.source, 0.0), ("target", lexicon.target, 1.0 - gain)):
        made["projections"].append(
            pd.DataFrame(
                {
                    **key,
                    "hidden_state": depth,
                    "method": "pca",
                    "side": side,
                    "pair_id": lexicon.pair_id,
                    "split": lexicon.split,
                    "form": form,
                    "x": centre[:, 0] + shift,
                    "y": centre[:, 1],
                }
            )
        )
    for number, language in enumerate(key["pair"].replace("pair", "language").split("-", 1)):
        made["perplexity"].append(
            {**key, "language": language, "sentences": 4, "tokens": 60, "perplexity": 20.0 + number + gain, "uniform": 512.0}
        )


def _scan(model, pair, base, lexicon, depth, best, made):
    value = {}
    for h, matrix in base.items():
        rows: list[dict] = []
        _measure({"model": model, "pair": pair}, matrix, lexicon, h, depth, [], rows)
        made["scan"] += rows
        made["scan"] += [{**row, "pooling": "with-bos", "cosine": 0.99, "mismatched": 0.98, "gap": 0.01} for row in rows]
        value[h] = next(row["csls_p_at_1"] for row in rows if row["split"] == "select")
    for h in range(1, depth):
        made["choice"].append(
            {
                "model": model,
                "pair": pair,
                "hidden_state": h,
                "criterion": "csls_p_at_1",
                "value": value[h],
                "win_share": 0.6 if h == best else 0.4 / max(depth - 2, 1),
                "chosen": h == best,
            }
        )


def _losses(runs, random):
    rows = []
    for run in runs[(runs.same_as == "") & (runs.steps > 0)].itertuples():
        step = np.arange(1, run.steps + 1)
        loss = 0.1 + 0.3 * np.exp(-step / 8) + random.normal(0, 0.01, run.steps)
        key = {name: getattr(run, name) for name in columns.RUN}
        rows.append(pd.DataFrame({**key, "step": step, "loss": loss, "learning_rate": 2e-4 * (1 - step / run.steps)}))
    return pd.concat(rows, ignore_index=True)[columns.LOSSES] if rows else pd.DataFrame(columns=columns.LOSSES)


def _transfer(own, items, gain, random):
    rows = []
    right = {task: random.random(items) < 0.5 + 0.2 / choices for task, (_, choices) in TASKS.items()}
    drift = {task: random.random(items) for task in TASKS}

    def add(key, task, correct):
        language, choices = TASKS[task]
        label = np.arange(items) % choices
        family = "copa" if "copa" in task else "xnli"
        number = [f"{i:04d}" for i in range(items)]
        rows.append(
            pd.DataFrame(
                {
                    **key,
                    "task": task,
                    "language": language,
                    "item": number,
                    "label": label,
                    "predicted": np.where(correct, label, (label + 1) % choices),
                    "correct": correct,
                    "margin": np.where(correct, 0.5, -0.5),
                    "choices": choices,
                    "aligned_id": [f"{family}-{i}" for i in number],
                }
            )
        )

    for task in TASKS:
        for baseline in sorted(set(own.baseline)):
            row = own.iloc[0]
            add(dict(zip(columns.RUN, [row.model, row.pair, baseline, "", "", -1, 0, baseline], strict=True)), task, right[task])
        for run in own[own.same_as == ""].itertuples():
            share = gain + random.normal(0, 0.03)
            fixed = random.permuted(drift[task]) < abs(share)
            floor = run.control and not run.placebo_of
            after = right[task] if floor or run.control and gain else np.where(fixed, share > 0, right[task])
            add({name: getattr(run, name) for name in columns.RUN}, task, after.astype(bool))
    return pd.concat(rows, ignore_index=True)
