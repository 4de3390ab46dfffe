"""Fetching: a list is compared with its checksum, comes whole or not at all, and only over https."""

from __future__ import annotations

import hashlib
import io
import urllib.request

import pytest
import yaml

from tli.__main__ import main
from tli.specs import ModelSpec
from tli.stages import fetch

CONTENT = b"kitabu\tbook\n"


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda address, timeout: io.BytesIO(CONTENT))


def test_right_checksum(served, tmp_path):
    fetch.fetch_list("https://example.org/l.tsv", hashlib.sha256(CONTENT).hexdigest(), str(tmp_path / "l"))
    assert (tmp_path / "l").read_bytes() == CONTENT


def test_wrong_checksum_leaves_nothing(served, tmp_path):
    with pytest.raises(ValueError, match="has the checksum " + hashlib.sha256(CONTENT).hexdigest()):
        fetch.fetch_list("https://example.org/l.tsv", "0" * 64, str(tmp_path / "l"))
    assert not list(tmp_path.iterdir())


def test_only_https(tmp_path):
    with pytest.raises(ValueError, match="only https"):
        fetch.fetch_list("http://user:secret@example.org/l.tsv", "0" * 64, str(tmp_path / "l"))


def test_a_model_without_a_commit_is_not_fetched(tmp_path):
    with pytest.raises(ValueError, match="has no revision"):
        fetch.fetch_model(ModelSpec("owner/name"), str(tmp_path / "m.json"))


def test_the_command_gets_the_items_of_tasks_though_every_model_is_a_folder(monkeypatch, tmp_path, capsys):
    """As the error of a transfer without its items advises."""
    from tli.probes import harness

    built = []
    monkeypatch.setattr(harness, "build", lambda task, source, *rest: built.append((task, source)))
    sections = {"models": {"m": {"source": str(tmp_path)}}, "pairs": {"a-b": {"lexicon": "x"}}, "results": str(tmp_path / "results")}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(sections), encoding="utf-8")
    assert main(["fetch", str(config)]) == 0 and "nothing to fetch" in capsys.readouterr().out and not built
    config.write_text(yaml.safe_dump(sections | {"transfer": {"tasks": ["copa", "xnli_sw"]}}), encoding="utf-8")
    assert main(["fetch", str(config)]) == 0 and "nothing to fetch" not in capsys.readouterr().out
    assert built == [("copa", "hub"), ("xnli_sw", "hub")]
    assert (tmp_path / "results" / "fetched" / "tasks.json").exists()
    config.write_text(yaml.safe_dump(sections | {"transfer": {"tasks": ["copa"], "source": str(tmp_path)}}), encoding="utf-8")
    assert main(["fetch", str(config)]) == 0 and "nothing to fetch" in capsys.readouterr().out


def test_a_model_goes_through_the_hubs_cache_at_its_commit(monkeypatch, tmp_path):
    import huggingface_hub

    asked = {}

    def download(source, revision, allow_patterns):
        asked.update(source=source, revision=revision, patterns=allow_patterns)
        return str(tmp_path / "snapshots" / revision)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    fetch.fetch_model(ModelSpec("owner/name", revision="a" * 40), str(tmp_path / "m.json"))
    assert asked["revision"] == "a" * 40 and "*.safetensors" in asked["patterns"]
    assert not {"*.bin", "*.py", "*.pt"} & set(asked["patterns"])  # no pickle, no remote code
    assert "a" * 40 in (tmp_path / "m.json").read_text()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda errors: OSError(111, "Connection refused"),
            r"owner/name: the hub cannot be reached \(.*refused\); try again where there is a network",
        ),
        (lambda errors: errors.OfflineModeIsEnabled("offline"), "owner/name: the hub is switched off here by HF_HUB_OFFLINE; unset it"),
        (lambda errors: RuntimeError("of the transport\nmore lines"), r"owner/name: the hub cannot be reached \(of the transport\)"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_a_sentence(monkeypatch, capsys, tmp_path, make, said):
    import re

    import huggingface_hub

    from tli.__main__ import main

    def model_info(self, source):
        raise make(huggingface_hub.errors)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    (tmp_path / "my.yaml").write_text("models: {m: {source: owner/name}}\npairs: {a-b: {lexicon: x}}\n")
    assert main(["fetch", str(tmp_path / "my.yaml")]) == 2
    told = capsys.readouterr().err
    assert re.match(f"tli fetch: {said}", told) and len(told.splitlines()) == 1


def test_an_address_that_cannot_be_reached_is_a_sentence(monkeypatch, tmp_path):
    import urllib.error

    def refuse(address, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(ValueError, match=r"example.org/l.tsv: cannot be fetched \(Name or service not known\); try again"):
        fetch.fetch_list("https://example.org/l.tsv", "0" * 64, str(tmp_path / "l"))
    assert not list(tmp_path.iterdir())
