"""The museum of bad configs: each with the whole message that its user gets: file, line, key, reason, mend.

`tli plan` says it; the dry run and the start of Snakemake stop at the same place (tests/workflow/test_before_the_first_job.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from tli.__main__ import main

MODELS = "models: {m: {source: model}}\n"
PAIRS = "pairs: {swh-eng: {lexicon: swh-eng.tsv}}\n"
HEAD = MODELS + PAIRS
MUSEUM = {  # what it is: (the config, its message); {here} is the folder
    # files
    "an empty file": (
        "",
        "my.yaml, line 1: the file holds no keys; a config has at least models and pairs",
    ),
    "a list": (
        "- models\n- pairs\n",
        "my.yaml, line 1: the file is a list, not keys with values; write `models:` and `pairs:` at the left edge, and what belongs to them below, indented",
    ),
    "one word": (
        "models\n",
        "my.yaml, line 1: the file is one value, not keys with values; write `models:` and `pairs:` at the left edge, and what belongs to them below, indented",
    ),
    "a tab": (
        "models:\n\tm: {source: model}\n",
        "my.yaml, line 2: a tab indents the line; YAML takes spaces: put two in its place",
    ),
    "a missing colon": (
        "models:\n  m\n    source: model\n" + PAIRS,
        "my.yaml, line 2: `m` has no colon; write `m:` and its value behind it or below, indented",
    ),
    "a bracket left open": (
        MODELS + "pairs: {swh-eng: {lexicon: swh-eng.tsv}\narms: {tli: {}}\n",
        "my.yaml, line 3: not valid YAML; a bracket that is opened in line 2 is not closed; close it, or put a comma between two values",
    ),
    "a quote left open": (
        MODELS + "title: 'the first\n" + PAIRS,
        "my.yaml, line 4: not valid YAML; a quote that is opened in line 2 is not closed; close it",
    ),
    "wrong indentation": (
        "models:\n  m: {source: model}\n pairs: {}\n",
        "my.yaml, line 3: not valid YAML; this line stands further left or right than those that it belongs to; put keys of one section below each other",
    ),
    "not UTF-8": (
        b"title: \xff\n",
        "my.yaml, line 1: not UTF-8 (byte 7); save the file as UTF-8",
    ),
    "a key that stands twice": (
        HEAD + "seeds: 5\nseeds: 7\n",
        "my.yaml, line 4: seeds is there twice, first in line 3; keep one of them",
    ),
    "two colons": (
        MODELS + "title: first: second\n" + PAIRS,
        "my.yaml, line 2: not valid YAML; a second colon in one value; put a text with a colon into quotes, and a section's keys on lines below",
    ),
    "an unquoted sign": (
        MODELS + "title: @home\n" + PAIRS,
        "my.yaml, line 2: not valid YAML; a value begins with a sign that means something in YAML; put the value into quotes",
    ),
    # keys
    "no pairs": (
        MODELS,
        "my.yaml, line 1: pairs: this key is missing; write it, such as pairs: {swh-eng: {lexicon: data/swh-eng.tsv}}",
    ),
    "no source": (
        "models:\n  m: {dtype: float32}\n" + PAIRS,
        "my.yaml, line 2: models.m.source: this key is missing; write it, such as source: resources/demo/model",
    ),
    "an unknown key": (
        HEAD + "sedes: 5\n",
        "my.yaml, line 3: sedes: unknown key; did you mean 'seeds'?",
    ),
    "an unknown key far from all": (
        HEAD + "jobs:\n  zzzz: 5\n",
        "my.yaml, line 4: jobs.zzzz: unknown key; known here: seeds_per_job, seeds_together, checkpoint_minutes, adapters_per_job, adapters_per_transfer_job, threads, summaries_local",
    ),
    "an unknown key of an arm": (
        HEAD + "arms:\n  tli:\n    learning_rat: 1e-4\n",
        "my.yaml, line 5: arms.tli.learning_rat: unknown key; did you mean 'learning_rate'?",
    ),
    "a section that is empty": (
        HEAD + "training:\n",
        "my.yaml, line 3: training: is empty; take the key out, or give it a value, such as training: {objective: triplet-hardest}",
    ),
    "arms that are a list": (
        HEAD + "arms: [tli]\n",
        "my.yaml, line 3: arms: must be names with a section below each, not [tli]; write it such as arms: {tli: {loss_layer: [best, 2]}}",
    ),
    "a pair that is a file": (
        MODELS + "pairs:\n  swh-eng: swh-eng.tsv\n",
        "my.yaml, line 3: pairs.swh-eng: must be a section with keys (lexicon, format, columns, options, ...), not swh-eng.tsv; write it such as swh-eng: {lexicon: resources/lexicons/swh-eng.tsv}",
    ),
    "a model that is a folder": (
        "models: {m: model}\n" + PAIRS,
        "my.yaml, line 1: models.m: must be a section with keys (source, revision, quantization, dtype, ...), not model; write it such as m: {source: resources/demo/model}",
    ),
    "an arm's name": (
        HEAD + "arms:\n  My Arm: {}\n",
        "my.yaml, line 4: arms.My Arm: the name becomes part of paths; use lower-case letters, digits and '-'; rename it",
    ),
    "a pair's name": (
        MODELS + "pairs:\n  swahili: {lexicon: swh-eng.tsv}\n",
        "my.yaml, line 3: pairs.swahili: the name of a pair, in lower-case letters and digits, is like swh-eng (or swh-eng.flores); rename it",
    ),
    "an arm called as the untrained model": (
        HEAD + "arms:\n  baseline: {}\n",
        "my.yaml, line 4: arms.baseline: `baseline` is what the untrained model is called in the tables; rename the arm",
    ),
    # values
    "a number below its bound": (
        HEAD + "arms:\n  tli: {rank: [4, 0]}\n",
        "my.yaml, line 4: arms.tli.rank[2]: must be a whole number >= 1, not 0; write it such as rank: [4, 16, 64]",
    ),
    "a number that is text": (
        HEAD + "seeds: ten\n",
        "my.yaml, line 3: seeds: must be a whole number >= 1 or a list of whole numbers >= 0, not ten; write it such as seeds: 10",
    ),
    "a number with a fraction": (
        HEAD + "training: {epochs: 2.5}\n",
        "my.yaml, line 3: training.epochs: must be a whole number >= 0, not 2.5; write it such as epochs: 5",
    ),
    "a share beyond one": (
        HEAD + "training:\n  dropout: 1\n",
        "my.yaml, line 4: training.dropout: must be a number >= 0 and < 1, not 1; write it such as dropout: 0.05",
    ),
    "a word of a few, nearly": (
        HEAD + "statistics:\n  primary: csls_p_at1\n",
        "my.yaml, line 4: statistics.primary: must be one of csls_p_at_1, gap, mrr, p_at_1, cosine, mexa, z, not csls_p_at1; did you mean 'csls_p_at_1'?",
    ),
    "a word of a few": (
        "models: {m: {source: model, quantization: int4}}\n" + PAIRS,
        "my.yaml, line 1: models.m.quantization: must be one of none, nf4, not int4; write it such as quantization: nf4",
    ),
    "a loss layer": (
        HEAD + "arms:\n  tli: {loss_layer: [first]}\n",
        "my.yaml, line 4: arms.tli.loss_layer[1]: must be one of best, output or a whole number >= 0, not first; write it such as loss_layer: [best, 2]",
    ),
    "a rule of alpha": (
        HEAD + "arms:\n  tli: {alpha: 3x}\n",
        "my.yaml, line 4: arms.tli.alpha: must be a rule of the rank (2r, r) or a number > 0, not 3x; write it such as alpha: 2r",
    ),
    "true or false": (
        HEAD + "evaluation: {merge: maybe}\n",
        "my.yaml, line 3: evaluation.merge: must be true or false, not maybe; write it such as merge: false",
    ),
    "a list that is one word": (
        HEAD + "maps: procrustes\n",
        "my.yaml, line 3: maps: must be a list of centring, top-components, whitening, procrustes, ridge, cca, not procrustes; write it as maps: [procrustes]",
    ),
    "an empty list": (
        HEAD + "seeds: []\n",
        "my.yaml, line 3: seeds: is empty; write it such as seeds: 10",
    ),
    "a rate tried twice": (
        HEAD + "arms:\n  tli:\n    loss_layer: 2\n    tune:\n      epochs: [2]\n      learning_rate: [1.0e-4, 1.0e-4]\n",
        "my.yaml, line 8: arms.tli.tune.learning_rate: names 0.0001 twice; equal trials are one trial: name each value once",
    ),
    "a number of shots twice": (
        HEAD + "transfer:\n  translate:\n    shots: [0, 5, 0]\n",
        "my.yaml, line 5: transfer.translate.shots: 0 is named twice; name each number of shots once",
    ),
    "a seed named twice": (
        HEAD + "seeds: [1, 2, 1]\n",
        "my.yaml, line 3: seeds: 1 is named twice; name each seed once",
    ),
    "shares that do not add up": (
        HEAD + "split:\n  shares: {train: 0.5, heldout: 0.4}\n",
        "my.yaml, line 4: split.shares: the shares add up to 0.9; they must add up to 1",
    ),
    "a split that is not known": (
        HEAD + "split:\n  sizes: {training: 20}\n",
        "my.yaml, line 4: split.sizes.training: unknown name; did you mean 'train'?",
    ),
    "claims at the loss layer": (
        HEAD + "evaluation:\n  hidden_states: [loss-layer]\n",
        "my.yaml, line 4: evaluation.hidden_states: claims rest on the first one, which must be the same for all runs; put `output` or a number first",
    ),
    "results without a name": (
        HEAD + "results: ' '\n",
        "my.yaml, line 3: results: must be a name that is not empty, not ' '; write it such as results: results/ranks",
    ),
    "an address without a checksum": (
        HEAD + "text:\n  swh: https://example.org/swh.txt\n",
        "my.yaml, line 4: text.swh.sha256: is missing: an address needs the checksum of its file, so that everyone measures the same text; add it",
    ),
    # arms
    "like an arm that is not there": (
        HEAD + "arms:\n  tli: {}\n  placebo: {like: [tlii], shuffle_translations: true}\n",
        "my.yaml, line 5: arms.placebo.like: names 'tlii', which is no arm here; did you mean 'tli'?",
    ),
    "like each other": (
        HEAD + "arms:\n  a: {like: b}\n  b: {like: a}\n",
        "my.yaml, line 4: arms.a.like: a -> b -> a goes in a circle; take `like` out of one of them",
    ),
    "a placebo of nothing": (
        HEAD + "arms:\n  tli: {}\n  shuffled: {shuffle_translations: true}\n",
        "my.yaml, line 5: arms.shuffled.shuffle_translations: a placebo is like another arm, and this one is like none; name the arm whose placebo it is: like: [tli]",
    ),
    "two arms of one name": (
        HEAD + "arms:\n  tli: {}\n  tli-p: {}\n  p: {like: [tli]}\n",
        "my.yaml, line 6: arms.p: makes an arm 'tli-p', which is there already; rename one of them",
    ),
    "an anchor without text": (
        HEAD + "arms:\n  tli: {anchor: {metric: kl}}\n",
        "my.yaml, line 4: arms.tli.anchor: there is no running text in 'eng'; name a file under text.eng",
    ),
    # what is on disk
    "a layer beyond the model": (
        HEAD + "arms:\n  tli:\n    loss_layer: [best, 9]\n",
        "my.yaml, line 5: arms.tli.loss_layer: asks for hs[9]; models.m has hs[0] to hs[4]; take one of these, or output",
    ),
    "a measured state beyond the model": (
        HEAD + "evaluation:\n  hidden_states: [output, 7]\n",
        "my.yaml, line 4: evaluation.hidden_states: asks for hs[7]; models.m has hs[0] to hs[4]; take one of these, or output",
    ),
    "a layer where nothing can learn": (
        HEAD + "arms:\n  tli: {loss_layer: [0]}\n",
        "my.yaml, line 4: arms.tli.loss_layer: hs[0] are the embeddings; no block lies below, so nothing can learn: take 1 or more",
    ),
    "blocks that the loss cannot reach": (
        HEAD + "training:\n  adapted_blocks: 3\narms:\n  tli: {loss_layer: [2]}\n",
        "my.yaml, line 4: training.adapted_blocks: adapters are asked for on 3 blocks, but a loss at hs[2] reaches only the first 2; set adapted_blocks: reachable, or allow_unreached: true",
    ),
    "a module of another family": (
        HEAD + "arms:\n  tli: {}\n  other:\n    like: tli\n    target_modules: [query]\n",
        "my.yaml, line 7: arms.other.target_modules: no block of models.m has a module 'query'; it has down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj; name some of these",
    ),
    "no model": (
        "models:\n  m: {source: ./models/llama}\n" + PAIRS,
        "my.yaml, line 2: models.m.source: models/llama is no folder; give a folder with config.json, or a hub id such as owner/name",
    ),
    "no list": (
        MODELS + "pairs:\n  swh-eng:\n    lexicon: data/swh-eng.tsv\n",
        "my.yaml, line 4: pairs.swh-eng.lexicon: data/swh-eng.tsv is not there; give the path from {name}/ or an https address",
    ),
    "other columns": (
        MODELS + "pairs:\n  swh-eng:\n    lexicon: other.tsv\n",
        "my.yaml, line 4: pairs.swh-eng.lexicon: other.tsv, line 1: has no column 'source' for the source; its header is 'swahili', 'english'; name it in the config, such as columns: {source: <header>}, or give the columns in order as a list where the file has no header",
    ),
    "columns that the file has not": (
        MODELS + "pairs:\n  swh-eng:\n    lexicon: other.tsv\n    columns: {source: kiswahili, target: english}\n",
        "my.yaml, line 5: pairs.swh-eng.columns: other.tsv, line 1: has no column 'kiswahili' for the source; its header is 'swahili', 'english'; name it in the config, such as columns: {source: <header>}, or give the columns in order as a list where the file has no header",
    ),
    "a row that repeats": (
        MODELS + "pairs:\n  swh-eng: {lexicon: twice.tsv}\n",
        "my.yaml, line 3: pairs.swh-eng.lexicon: twice.tsv, line 3: repeats twice.tsv, line 2 ('kitabu', 'book'); remove one of the two",
    ),
    "sizes beyond the list": (
        HEAD + "split:\n  sizes: {train: 60, select: 5, heldout: 5}\n",
        "my.yaml, line 4: split.sizes: swh-eng: sizes ask for 70 pairs, the list has 40; ask for fewer or add pairs",
    ),
    "nothing to train on": (
        HEAD + "split:\n  shares: {train: 0, select: 0.5, heldout: 0.5}\n",
        "my.yaml, line 3: split: the train split of swh-eng has 0 pairs; at least 2 are needed; give it a larger share",
    ),
    "a budget beyond the list": (
        HEAD + "arms:\n  tli:\n    select: {budget: 39}\n",
        "my.yaml, line 5: arms.tli.select: a budget of 39 pairs; the train split of swh-eng has 26; take a smaller budget",
    ),
    "results in a file": (
        HEAD + "results: file/results\n",
        "my.yaml, line 3: results: {here}/file is a file; name a folder",
    ),
    "a text without a sentence": (
        HEAD + "text:\n  swh: text.txt\n",
        "my.yaml, line 4: text.swh: text.txt holds no sentence; it wants one a line",
    ),
    "a task that the harness has not": (
        HEAD + "transfer:\n  tasks: [xcopa_sw, xcopa_swa]\n",
        "my.yaml, line 4: transfer.tasks: the harness has no task 'xcopa_swa'; did you mean xcopa_sw or xcopa_ta or xcopa_zh? `lm-eval ls tasks` lists them",
    ),
    "a folder without the items": (
        HEAD + "transfer:\n  tasks: [xcopa_sw]\n  source: items\n",
        "my.yaml, line 5: transfer.source: items is no folder; give a folder with the tasks' files, or `hub`",
    ),
    "two mistakes at once": (
        HEAD + "seeds: 0\narms: {tli: {rank: [0]}}\n",
        "my.yaml, line 4: arms.tli.rank[1]: must be a whole number >= 1, not 0; write it such as rank: [4, 16, 64]\n"
        "my.yaml, line 3: seeds: must be a whole number >= 1 or a list of whole numbers >= 0, not 0; write it such as seeds: 10",
    ),
}
FORBIDDEN = ("Input should", "instance of", "validation error", "valid dictionary", "union", "pydantic", "Traceback", "Errno")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a model, a word list of 40 pairs and some that are of no use."""
    folder = tmp_path_factory.mktemp("museum")
    tiny.save_model(folder / "model", "llama")
    tiny.save_tokenizer(folder / "model")
    rows = [(f"neno{chr(97 + i % 26)}{i}", f"word{chr(97 + i % 26)}{i}") for i in range(40)]
    for name, head, sign in (
        ("swh-eng.tsv", "source\ttarget", "\t"),
        ("other.tsv", "swahili\tenglish", "\t"),
        ("swh-eng.csv", "source,target", ","),
    ):
        (folder / name).write_text("\n".join([head, *map(sign.join, rows)]) + "\n", encoding="utf-8")
    (folder / "twice.tsv").write_text("source\ttarget\nkitabu\tbook\nkitabu\tbook\n", encoding="utf-8")
    (folder / "text.txt").write_text("\n", encoding="utf-8")
    (folder / "file").write_text("", encoding="utf-8")
    return folder


def planned(text: str | bytes, place: Path, monkeypatch, capsys) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `tli plan my.yaml`."""
    monkeypatch.chdir(place)
    Path("my.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    status = main(["plan", "my.yaml"])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.mark.parametrize("name", MUSEUM)
def test_a_bad_config_gets_this_message(name, place, monkeypatch, capsys):
    text, message = MUSEUM[name]
    status, out, said = planned(text, place, monkeypatch, capsys)
    assert said == "tli plan: " + message.replace("{here}", str(place)).replace("{name}", place.name) + "\n"
    assert status == 2 and not out
    assert all(line.startswith("my.yaml, line ") for line in message.split("\n"))
    assert not any(word in said for word in FORBIDDEN)


def test_the_good_one_is_planned(place, monkeypatch, capsys):
    status, out, said = planned(HEAD + "arms: {tli: {}}\n", place, monkeypatch, capsys)
    assert status == 0 and "lexicon" in out and not said


def test_a_file_called_csv_is_read_as_csv(place, monkeypatch, capsys):
    status, _, said = planned(MODELS + "pairs: {swh-eng: {lexicon: swh-eng.csv}}\n", place, monkeypatch, capsys)
    assert status == 0, said
    status, _, said = planned(MODELS + "pairs: {swh-eng: {lexicon: swh-eng.csv, format: tsv}}\n", place, monkeypatch, capsys)
    assert status == 2 and "has no column 'source'" in said


def test_a_folder_that_cannot_be_written_is_told(place, monkeypatch, capsys):
    import os

    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever runs the tests as root may write everywhere
    status, _, said = planned(HEAD + "results: out\n", place, monkeypatch, capsys)
    assert status == 2 and said.startswith("tli plan: my.yaml, line 3: results: ") and "cannot be written to; name another folder" in said
