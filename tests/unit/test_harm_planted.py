"""Planted changes of the demo model's weights, from the files of the weights to the verdict's line: a wreck, and a change that none can see."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import synthetic
import torch
from safetensors.torch import load_file, save_file

from tli import facts, statistics
from tli.bench import Bench
from tli.io import tables
from tli.io.records import CheckRecord
from tli.probes.base import Setting
from tli.probes.text import TextProbe
from tli.specs import ModelSpec, StatisticsSpec, TextSpec
from tli.statistics import harm
from tli.subjects import Subject, baseline

DEMO = Path(__file__).parents[2] / "resources" / "demo"
SPEC = StatisticsSpec(bootstrap=50)
SEEDS = range(5)
BLOCK = "model.layers.4."


def noise(weights: dict, strength: float, seed: int) -> dict:
    """Every matrix of one block with noise of `strength` x its own spread."""
    drawn = torch.Generator().manual_seed(seed)
    matrices = {name: w for name, w in weights.items() if name.startswith(BLOCK) and w.ndim == 2}
    return {name: w + strength * w.std() * torch.randn(w.shape, generator=drawn) for name, w in matrices.items()}


def rotation(weights: dict, heads: int, shared: int, seed: int) -> dict:
    """The values of each head turned, and turned back by the projection that reads them: attention mixes tokens, not coordinates."""
    v, o = weights[BLOCK + "self_attn.v_proj.weight"], weights[BLOCK + "self_attn.o_proj.weight"]
    size, drawn = v.shape[0] // shared, torch.Generator().manual_seed(seed)
    turns = [torch.linalg.qr(torch.randn((size, size), generator=drawn, dtype=torch.float64))[0] for _ in range(shared)]
    turned = torch.cat([turns[k] @ part for k, part in enumerate(v.double().split(size))])
    back = torch.cat([part @ turns[k // (heads // shared)].T for k, part in enumerate(o.double().split(size, dim=1))], dim=1)
    return {BLOCK + "self_attn.v_proj.weight": turned.float(), BLOCK + "self_attn.o_proj.weight": back.float()}


@pytest.fixture(scope="module")
def made() -> dict:
    """An experiment whose arm rose: what is asked is only what stands under that."""
    return synthetic.tables(pairs=1, layers=("2",), words=80, effect=0.3, seeds=len(SEEDS))


@pytest.fixture(scope="module")
def line(made, tmp_path_factory):
    """line(change, sentences): the line of an arm whose run of each seed has the weights change(weights, seed)."""
    folder = tmp_path_factory.mktemp("planted")
    weights = {name: w.float() for name, w in load_file(str(DEMO / "model" / "model.safetensors")).items()}
    texts = {language: (TextSpec(""), str(DEMO / "text" / f"{language}.txt")) for language in ("swh", "eng")}
    model = ModelSpec(str(DEMO / "model"), dtype="float32", device="cpu")

    def asked(name: str, change, sentences: int = 200) -> pd.Series:
        check = CheckRecord("m", "id", 8, 96, 1, True, True, True, [0], [], 2000, {}, True)
        (probe,) = TextProbe.of(Setting(model, check, "swh-eng", folder, texts=texts))
        probe.sentences = {language: found[:sentences] for language, found in probe.sentences.items()}
        subjects = [baseline("m", "swh-eng", "baseline", quantized=False)]
        for seed in SEEDS:
            place = folder / name / str(seed)
            (place / "weights").mkdir(parents=True)
            changed = change(weights, seed)
            if changed:
                save_file({key: w.contiguous() for key, w in changed.items()}, str(place / "weights" / "model.safetensors"))
            subjects.append(Subject("m", "swh-eng", "tli", "2", "full", seed, 0, f"run-{seed}", f"{name}-{seed}", place, True, False))
        parts = pd.concat(Bench(model, folder / "store", [probe]).measure_all(subjects, "planted")["text"], ignore_index=True)
        return _line(made, parts)

    return asked


def _line(made: dict, texts: pd.DataFrame) -> pd.Series:
    """The measured sentences in the place of the experiment's: its own pair, arm and names."""
    runs = made["runs"]
    pair, first, second = runs["pair"].iloc[0], *runs["pair"].iloc[0].split("-")
    subjects = pd.concat([runs, made["similarities"].query("seed == -1")])[tables.RUN].drop_duplicates()
    rows = []
    for subject in subjects.to_dict("records"):
        source = texts[texts["seed"] == (subject["seed"] if subject["arm"] == "tli" else -1)]
        values = source[["language", "sentence", "tokens", "cross_entropy", "kl"]]
        rows.append(values.assign(**subject, language=values["language"].map({"swh": first, "eng": second})))
    risen = harm.rises(pd.concat(rows, ignore_index=True)[tables.RUNNING_TEXT], runs)
    measured = statistics.Measured(runs, made["similarities"], made["metrics"], made["pairs"], {})
    evidence = harm.evidence(risen, {first, second}, SPEC)
    assert set(risen["pair"]) == {pair}
    return statistics.analyse(measured, SPEC, (evidence,))["lines"].query("line == @facts.LEAVES_WHOLE").iloc[0]


def test_a_wreck_is_damage_and_a_turn_that_is_undone_is_none(line):
    wreck = line("wreck", lambda weights, seed: noise(weights, 3.0, seed))
    assert wreck["answer"] == facts.NO and wreck["low"] > SPEC.harm_margin
    turned = line("turned", lambda weights, seed: rotation(weights, 4, 2, seed))
    assert turned["answer"] == facts.YES and abs(turned["estimate"]) < 1e-5


def test_what_all_sentences_decide_32_leave_open(line):
    """The same noise in every run and a little of its own: the interval of 32 sentences holds the margin, that of all does not."""
    few, all_of_them = (line(f"first-{n}", lambda weights, seed: noise(weights | noise(weights, 1.0, 99), 0.1, seed), n) for n in (32, 500))
    assert few["answer"] == facts.NOT_DECIDED and few["low"] < SPEC.harm_margin < few["high"] and few["units"] == 32
    assert all_of_them["answer"] == facts.NO and all_of_them["units"] > 400
