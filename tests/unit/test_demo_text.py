"""The demo model: its text states no translation, its tokenizer adds BOS, its folder is a real Transformers folder."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from tli import demo_model as demo

HERE = Path(__file__).resolve().parents[2] / "resources" / "demo"
LISTS = [HERE / "swh-eng.tsv", HERE / "lin-eng.tsv"]
TINY = {"steps": 3, "tokens_per_step": 200, "blocks": 2, "hidden": 32, "intermediate": 64, "vocabulary": 300}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def learned(path: Path, row: dict[str, str]) -> str:
    """The English word under which the shipped model learned a row."""
    return demo.LEARNED.get((path.stem, row["source"]), row["target"])


def text(seed: int = 1, count: int = 20000) -> list[str]:
    recipe = demo.Recipe()
    graph = demo.concepts(LISTS, seed=seed, relations=recipe.relations)
    return demo.lines(graph, count, seed=seed, tagged=recipe.tagged, related=recipe.related)


@pytest.fixture(scope="module")
def shipped_text() -> list[str]:
    return text()


def test_no_line_holds_a_word_and_a_translation_of_it(shipped_text):
    # From the files alone: the meanings of a form are the targets of the rows that it stands in, on either side.
    meaning: dict[str, set[str]] = {
        name: {row["target"]} for path in LISTS for row in rows(path) if (name := learned(path, row)) != row["target"]
    }
    for path in LISTS:
        for row in rows(path):
            for form in (row["source"], row["target"]):
                meaning.setdefault(form.casefold(), set()).add(row["target"].casefold())
            for form in filter(None, row["alternatives"].split("|")):
                meaning.setdefault(form.casefold(), set()).add(row["target"].casefold())
    for line in shipped_text:
        words = [word.casefold() for word in re.sub(r"^\w+: ", "", line).split(" ")]
        first, *rest = words
        for word in rest:
            assert not meaning[first] & meaning[word], f"{line!r}: {first} and {word} share a meaning"


def test_every_word_occurs_at_the_head_of_a_line(shipped_text):
    heads = {re.sub(r"^\w+: ", "", line).split(" ")[0] for line in shipped_text}
    for path in LISTS:
        for row in rows(path):
            assert row["source"] in heads
            assert learned(path, row) in heads


def test_a_tag_gives_the_language_of_what_follows(shipped_text):
    spoken = {"eng": {learned(path, row) for path in LISTS for row in rows(path)}}
    spoken |= {path.stem.split("-")[0]: {row["source"] for row in rows(path)} for path in LISTS}
    tagged = [line for line in shipped_text if ":" in line]
    for line in tagged:
        tag, words = line.split(": ")
        assert set(words.split(" ")[1:]) <= spoken[tag]
    share = len(tagged) / len(shipped_text)
    assert share == pytest.approx(demo.Recipe().tagged, abs=5 * np.sqrt(0.25 / len(shipped_text)))


def test_the_same_seed_gives_the_same_text_and_another_seed_another(shipped_text):
    assert text() == shipped_text
    assert text(seed=2) != shipped_text


def test_related_concepts_are_the_same_in_every_language():
    graph = demo.concepts(LISTS, seed=1, relations=4)
    assert (graph.forms[np.unique(graph.related)] != "").all()
    assert all(len(set(row)) == 4 for row in graph.related.tolist())
    assert not (graph.related == np.arange(len(graph.forms))[:, None]).any()


def test_lists_are_fit_for_the_demo():
    for path in LISTS:
        table = rows(path)
        sources, targets = ([row[side].casefold() for row in table] for side in ("source", "target"))
        assert len(table) >= 300
        assert len(set(sources)) == len(set(targets)) == len(table)
        assert not set(sources) & set(targets)
        assert all(row["category"] for row in table)


def test_a_word_that_is_there_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "swh-eng.tsv"
    table = "source\ttarget\talternatives\tcategory\nmbwa\tdog\t\tanimal\nmbwa\thound\t\tanimal\n"
    path.write_text(table, encoding="utf-8")
    with pytest.raises(ValueError, match=r"swh-eng\.tsv, line 3: source 'mbwa'"):
        demo.concepts([path], seed=1, relations=1)


def test_make_writes_a_folder_that_opens_with_no_missing_key(tmp_path, capsys):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    output = tmp_path / "model"
    figures = demo.make(LISTS, output, progress=False, **TINY)
    assert "perplexity" in capsys.readouterr().out
    model, info = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert next(model.parameters()).dtype == torch.float32
    encoder = AutoTokenizer.from_pretrained(output)
    ids = encoder("mbwa")["input_ids"]
    assert ids[0] == encoder.bos_token_id == model.config.bos_token_id
    assert ids.count(encoder.bos_token_id) == 1
    assert encoder.decode(ids[1:]).strip() == "mbwa"
    assert encoder("eng: mbwa")["input_ids"][-len(ids) + 1 :] == ids[1:]  # alone as within a line
    assert figures["perplexity"] < 2 * figures["uniform"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    names = {path.name for path in output.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pkl", ".pt"))]


def test_make_stops_after_the_steps_asked_for_and_repeats_itself(tmp_path):
    first = demo.make(LISTS, tmp_path / "a", progress=False, **TINY)
    again = demo.make(LISTS, tmp_path / "b", progress=False, **TINY)
    assert first == again
    assert first["lines"] * 6 < 3 * 200 * 1.2
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_the_shipped_model_opens_and_is_small():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = HERE / "model"
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 8_000_000
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    encoder = AutoTokenizer.from_pretrained(folder)
    recipe = demo.Recipe()
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (recipe.blocks, recipe.hidden)
    graph = demo.concepts(LISTS, seed=recipe.seed, relations=recipe.relations)
    held = demo.lines(graph, 300, seed=recipe.seed + 1, tagged=recipe.tagged, related=recipe.related)
    seen = demo.perplexity(model.eval(), demo.batches(held, encoder, 2000, seed=0))
    assert seen < len(encoder) / 10  # it has learned the shipped lists' text, not another's


def test_running_text_is_no_pretraining_text_and_always_the_same(tmp_path):
    folder = Path(__file__).resolve().parents[2] / "resources" / "demo"
    words = [folder / "swh-eng.tsv", folder / "lin-eng.tsv"]
    texts = demo.write_text(words, tmp_path)
    recipe = demo.Recipe()
    graph = demo.concepts(words, seed=recipe.seed, relations=recipe.relations)
    trained = set(demo.lines(graph, 513_333, seed=recipe.seed, tagged=recipe.tagged, related=recipe.related))
    assert set(texts) == {"swh", "eng", "lin"}
    for language, lines in texts.items():
        assert len(set(lines)) == len(lines) == 700 and trained.isdisjoint(lines)
        assert (tmp_path / f"{language}.txt").read_bytes() == (folder / "text" / f"{language}.txt").read_bytes()


def test_a_corrected_word_leaves_model_and_text_what_they_were(tmp_path, monkeypatch):
    """`zemi` was listed as "pregnant" when the model was made: graph and lines are still those of that list, by the list as it was."""
    (source,) = [row["source"] for row in rows(LISTS[1]) if row["target"] == "pregnancy"]
    assert source == "zemi" and [row["source"] for row in rows(LISTS[0]) if row["target"] == "pregnancy"] == ["mimba"]
    now, lines_now = demo.concepts(LISTS, seed=1, relations=4), text()
    as_it_was = tmp_path / "lin-eng.tsv"
    as_it_was.write_text(LISTS[1].read_text(encoding="utf-8").replace("zemi\tpregnancy\t", "zemi\tpregnant\t"), encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(demo, "LEARNED", {})
        then = demo.concepts([LISTS[0], as_it_was], seed=1, relations=4)
        joined = demo.concepts(LISTS, seed=1, relations=4)
    assert now.languages == then.languages
    for name in ("forms", "hub", "related"):
        np.testing.assert_array_equal(getattr(now, name), getattr(then, name))
    assert lines_now == demo.lines(then, len(lines_now), seed=1, tagged=demo.Recipe().tagged, related=demo.Recipe().related)
    assert len(joined.forms) == len(now.forms) - 1 == 363, "the two would be one concept"
