"""Synthetic tables with planted effects, in the columns of tli.io.tables: what the statistics and the report are tested on.

Every table comes from cosine matrices that are drawn here, so that the metrics, the ranks and the cosines of a run agree
with each other. All of it is a function of the arguments: the same call gives the same tables.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from synthetic_measures import lexicon as lexicon_of
from synthetic_measures import matrix, measure

from tli import statistics
from tli.io import tables as columns
from tli.specs import StatisticsSpec

TASKS = {"xcopa_sw": ("sw", 2), "copa": ("en", 2), "xnli_sw": ("sw", 3), "xnli_en": ("en", 3)}


def baseline_key(model: str, pair: str, baseline: str) -> dict:
    return dict(zip(columns.RUN, [model, pair, baseline, "", "", -1, 0, baseline], strict=True))


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
        lexicon = lexicon_of(pair, words, np.random.default_rng([seed, 1_000 + place % pairs]))
        if place < pairs:
            made["pairs"].append(lexicon.assign(model=model))
        base = {h: matrix(words, h, number_of_layers, random) for h in range(number_of_layers + 1)}
        own = runs[(runs.model == model) & (runs.pair == pair)]
        states = sorted({number_of_layers, *own.loss_layer})
        train = (lexicon.split == "train").to_numpy()
        for baseline in sorted(set(own.baseline)):
            key = baseline_key(model, pair, baseline)
            for h in states:
                measure(key, base[h], lexicon, h, number_of_layers, similarities, metrics)
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
                measure(key, after, lexicon, h, number_of_layers, similarities, metrics)
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
                                "anchor_weight": np.nan,
                                "trained_on": pair,
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
    for h, cosines in base.items():
        rows: list[dict] = []
        measure({"model": model, "pair": pair}, cosines, lexicon, h, depth, [], rows)
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
            add(baseline_key(row.model, row.pair, baseline), task, right[task])
        for run in own[own.same_as == ""].itertuples():
            share = gain + random.normal(0, 0.03)
            fixed = random.permuted(drift[task]) < abs(share)
            floor = run.control and not run.placebo_of
            after = right[task] if floor or run.control and gain else np.where(fixed, share > 0, right[task])
            add({name: getattr(run, name) for name in columns.RUN}, task, after.astype(bool))
    return pd.concat(rows, ignore_index=True)
