"""Perplexity on the shipped sentences: the model's own loss, the size of the vocabulary for a head that knows nothing."""

import numpy as np
import pytest
from tiny import VOCABULARY, whole_model


def test_perplexity_is_that_of_transformers(models):
    """One sentence at a time through the model's own loss, against one padded batch; a uniform head has the vocabulary's size."""
    import torch
    from transformers import AutoTokenizer

    from tli.probes.perplexity import perplexity, shipped_sentences, verdict

    settings = models("llama")
    model, tokenizer = whole_model(settings), AutoTokenizer.from_pretrained(settings.source)
    for language in ("eng", "swh", "lin", "lug"):
        assert len(shipped_sentences(language)) == 32
    assert shipped_sentences("xxx") == []
    sentences = shipped_sentences("swh")
    total = count = 0
    for text in sentences:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            total, count = total + model(ids, labels=ids).loss.item() * (ids.shape[1] - 1), count + ids.shape[1] - 1
    assert perplexity(model, tokenizer, sentences) == (pytest.approx(np.exp(total / count), rel=1e-4), count)
    model.lm_head.weight.data.zero_()
    found, _ = perplexity(model, tokenizer, sentences)
    assert found == pytest.approx(VOCABULARY, rel=1e-5)
    assert "does not know" in verdict(found, VOCABULARY)
    assert verdict(20.0, VOCABULARY) is None


def test_a_trained_model_knows_its_language(test_data):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tli.probes.perplexity import perplexity, shipped_sentences, verdict

    source = test_data / "models" / "stories260K"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(source)
    assert verdict(perplexity(model, tokenizer, shipped_sentences("eng"))[0], 512) is None
    torch.manual_seed(0)
    model.set_output_embeddings(torch.nn.Linear(64, 512, bias=False))  # the head that an incomplete checkpoint gets
    assert "broken checkpoint" in verdict(perplexity(model, tokenizer, shipped_sentences("eng"))[0], 512)
