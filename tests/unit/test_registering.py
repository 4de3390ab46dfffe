"""tli register: what is asked is written down once, and the report's sentence says what became of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from tli.__main__ import main
from tli.config import parse
from tli.errors import ConfigError
from tli.experiment import Experiment
from tli.experiment.foresight import foresight
from tli.experiment.registering import design_of, held_against, register
from tli.io.records import write_json
from tli.statistics import registration

BEFORE, AFTER = {"stage": "evaluate", "finished": "2020-01-01T00:00:00Z"}, {"stage": "evaluate", "finished": "2999-01-01T00:00:00Z"}
LOOKED = {"stage": "scan", "finished": "2020-01-01T00:00:00Z"}


def experiment(folder: Path, **changes) -> Experiment:
    model, words = folder / "model", folder / "swh-eng.tsv"
    if not model.exists():
        model.mkdir()
        (model / "config.json").write_text('{"hidden_size": 8}', encoding="utf-8")
        (model / "model.safetensors").write_bytes(b"weights")
        words.write_text("source\ttarget\n" + "".join(f"neno{i}a\tword{i}b\n" for i in range(300)), encoding="utf-8")
    values = {
        "models": {"m": {"source": str(model)}},
        "pairs": {"swh-eng": {"lexicon": str(words)}},
        "arms": {"tli": {"loss_layer": [2]}, "placebo": {"like": ["tli"], "shuffle_translations": True}},
        "seeds": 5,
        "results": str(folder / "results"),
    }
    return Experiment(parse(values | changes))


def test_the_sentence_follows_what_happens(tmp_path):
    of = experiment(tmp_path)
    assert held_against(of, []).sentence.startswith("Not registered")
    register(of)
    for records in ([], [LOOKED], [AFTER, LOOKED]):
        sentence = held_against(of, records).sentence
        assert "before the first result" in sentence and "nothing was changed since. What it was to find: swh-eng: 5 seeds" in sentence
    assert "after the first result" in held_against(of, [AFTER, BEFORE]).sentence


def test_it_is_written_once(tmp_path):
    path = register(experiment(tmp_path))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="written once"):
        register(experiment(tmp_path, seeds=9))
    assert path.read_bytes() == before


def test_what_was_changed_is_named_field_by_field(tmp_path):
    register(experiment(tmp_path))
    changed = held_against(experiment(tmp_path, seeds=[1, 2, 3, 4, 6], statistics={"primary": "mrr"}), [])
    names = [name for name, *_ in changed.differences]
    assert "config.statistics.primary" in names and any(name.startswith("config.seeds") for name in names) and len(names) == 2
    assert 'registered "csls_p_at_1", now "mrr"' in changed.sentence
    (tmp_path / "swh-eng.tsv").write_text("source\ttarget\nmaji\twater\nmoto\tfire\n", encoding="utf-8")
    assert [name for name, *_ in held_against(experiment(tmp_path), []).differences] == ["lists.swh-eng"]
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    assert {name for name, *_ in held_against(experiment(tmp_path), []).differences} == {"lists.swh-eng", "models.m"}


def test_a_new_cell_changes_the_family_and_where_results_lie_changes_nothing(tmp_path):
    of = experiment(tmp_path)
    more = experiment(tmp_path, arms={"tli": {"loss_layer": [2, 3]}, "placebo": {"like": ["tli"], "shuffle_translations": True}})
    assert len(design_of(of)["family"]) == 1 and len(design_of(more)["family"]) == 2
    moved = experiment(tmp_path, title="another", jobs={"threads": 1})
    assert design_of(moved) == design_of(of)


def test_what_the_design_was_to_find_is_written_down_and_kept(tmp_path):
    of = experiment(tmp_path)
    promised = json.loads(register(of).read_text(encoding="utf-8"))["power"]
    assert promised == [foresight(of)[1].strip()] and "is found with 80 % power" in promised[0]
    assert held_against(of, []).sentence.endswith(f"nothing was changed since. What it was to find: {promised[0]}")


def test_a_registration_of_before_power_was_written_down_holds(tmp_path):
    of = experiment(tmp_path)
    old = {"asked": design_of(of), "written": "2026-11-20T00:00:00Z"}
    text = json.dumps([old["asked"], old["written"]], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    write_json(old | {"digest": hashlib.sha256(text.encode()).hexdigest()}, Path(of.layout.registration()))
    assert "before the first result" in held_against(of, []).sentence


LATER = [  # a key that a registration of before it came lacks, and a value that is not its default
    ("split", "union", False),
    ("pooling", "over_templates", "averaged"),
    ("statistics", "alike_margin", 0.5),
    ("training", "templates", True),
    ("maps", None, ["procrustes"]),
]


def registered_without(of: Experiment, *keys: tuple[str, ...]) -> None:
    """A registration as a version of the workflow wrote it that had not these keys of the config."""
    path = register(of)
    record = json.loads(path.read_text(encoding="utf-8"))
    for *above, key in keys:
        part = record["asked"]["config"]
        for name in above:
            part = part[name]
        del part[key]
    digest = registration.digest(record["asked"], record["written"], record["power"])
    path.write_text(json.dumps(record | {"digest": digest}), encoding="utf-8")


@pytest.mark.parametrize(("section", "key", "other"), LATER)
def test_a_key_that_came_later_is_no_change_while_it_has_its_default(tmp_path, section, key, other):
    registered_without(experiment(tmp_path), (section, key) if key else (section,))
    assert "nothing was changed since" in held_against(experiment(tmp_path), []).sentence
    templates = {"pooling": {"templates": {"swh": ["{word}", "{word} a"], "eng": ["{word}", "b {word}"]}}} if key == "templates" else {}
    changed = held_against(experiment(tmp_path, **{**templates, section: {key: other} if key else other}), [])
    told = {name: (then, now) for name, then, now in changed.differences}
    assert told[f"config.{section}.{key}" if key else f"config.{section}"] == (registration.ABSENT, other)


def test_keys_that_came_later_to_named_sections_are_no_change_either(tmp_path):
    places = [("models", "m", "word_form"), ("pairs", "swh-eng", "family"), ("arms", "tli", "negatives"), ("arms", "placebo", "mix")]
    registered_without(experiment(tmp_path), *places, ("text",))
    assert held_against(experiment(tmp_path), []).differences == ()
    spaced = experiment(tmp_path, models={"m": {"source": str(tmp_path / "model"), "word_form": "leading-space"}})
    assert held_against(spaced, []).differences == (("config.models.m.word_form", registration.ABSENT, "leading-space"),)


def test_what_the_user_named_is_a_change_with_all_its_defaults(tmp_path):
    registered_without(experiment(tmp_path), ("arms", "placebo"), ("models", "m", "source"))
    names = [name for name, *_ in held_against(experiment(tmp_path), []).differences]
    assert names == ["config.arms.placebo", "config.models.m.source"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace('"written"', '"writen"'),
        lambda text: text.replace("swh", "lin"),
        lambda text: text.replace("power", "pover"),
        lambda text: "{",
    ],
)
def test_tampering_is_noticed(tmp_path, spoil):
    of = experiment(tmp_path)
    path = register(of)
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert "was changed after it was written" in held_against(of, []).sentence


def test_by_command(tmp_path, capsys):
    of = experiment(tmp_path)
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump(of.config.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    assert main(["register", str(file)]) in (0, None)
    assert "Registered before the first result" in capsys.readouterr().out
    assert json.loads(Path(of.layout.registration()).read_text(encoding="utf-8"))["asked"] == design_of(of)
