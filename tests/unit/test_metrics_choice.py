"""The hidden state that is chosen by the select split, against loops over states and words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tli import metrics
from tli.metrics.choice import CRITERIA, choice_pooling, choose_layer, token_pooling
from tli.specs import ScanSpec, TemplateSpec


@pytest.mark.parametrize(
    "poolings, chosen", [(("no-bos", "with-bos"), "no-bos"), (("with-bos", "no-bos"), "no-bos"), (("with-bos",), "with-bos")]
)
def test_best_goes_by_words_without_bos_where_the_scan_has_them(poolings, chosen):
    spec = ScanSpec(poolings=poolings)
    assert token_pooling(spec) == choice_pooling(spec) == chosen


@pytest.mark.parametrize(
    "frames, chosen",
    [(("The word {word}", "{word}"), "no-bos@1"), (("{word}", "The word {word}"), "no-bos"), (("{word}", "{word}."), "no-bos")],
)
def test_best_goes_by_the_first_frame_where_that_carries_the_claims(frames, chosen):
    assert choice_pooling(ScanSpec(templates=TemplateSpec(frames, frames))) == chosen


def scanned(words: int = 12, states: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and figures of made-up vectors at hs[0] to hs[states - 1]; half of the pairs are in the select split."""
    pairs = pd.DataFrame({"source": [f"s{i}" for i in range(2 * words)], "target": [f"t{i}" for i in range(2 * words)], "alternatives": ""})
    c, splits = metrics.candidates(pairs), np.repeat(["select", "train"], words)
    rows, figures = [], []
    for state in range(states):
        random = np.random.default_rng(state)
        source = random.normal(0, 1, (2 * words, 6))
        vectors = metrics.Vectors(source, source + random.normal(0, 0.5 + 0.3 * (state - 2) ** 2, (2 * words, 6)))
        of, by_split = metrics.evaluate(vectors, c, splits)
        rows.append(of.assign(split=splits, pooling="no-bos", hidden_state=state, pair_id=[f"{i:02}" for i in range(2 * words)]))
        figures += [{"split": split, "pooling": "no-bos", "hidden_state": state} | found for split, found in by_split.items()]
    return pd.concat(rows, ignore_index=True), pd.DataFrame(figures)


@pytest.mark.parametrize("criterion", sorted(CRITERIA))
def test_the_value_of_a_state_is_the_mean_of_its_words_and_wins_are_those_of_words_drawn_again(criterion):
    rows, figures = scanned()
    table = choose_layer(rows, figures, 5, ScanSpec(best_by=criterion, bootstrap=300), seed=4)
    select = rows[rows["split"] == "select"]
    per_word = np.array([CRITERIA[criterion](select[select["hidden_state"] == state]).to_numpy(float) for state in (1, 2, 3, 4)])
    np.testing.assert_allclose(table["value"], per_word.mean(axis=1), atol=1e-6)  # what the summary of the split says
    won = [0, 0, 0, 0]
    for counts in np.random.default_rng(4).multinomial(12, [1 / 12] * 12, size=300):
        won[int(np.argmax(per_word @ counts))] += 1
    assert table["win_share"].tolist() == [wins / 300 for wins in won] and table["hidden_state"].tolist() == [1, 2, 3, 4]
    assert table["chosen"].tolist() == [place == int(np.argmax(per_word.mean(axis=1))) for place in range(4)]


def test_the_last_state_is_never_chosen_and_best_at_most_ends_sooner():
    rows, figures = scanned()
    assert choose_layer(rows, figures, 4, ScanSpec(bootstrap=5))["hidden_state"].tolist() == [1, 2, 3]
    assert choose_layer(rows, figures, 4, ScanSpec(bootstrap=5, best_at_most=2))["hidden_state"].tolist() == [1, 2]
    assert choose_layer(rows, figures, 4, ScanSpec(bootstrap=5, best_at_most=9))["hidden_state"].tolist() == [1, 2, 3]


def test_without_resamples_no_state_has_a_share_and_one_without_a_value_is_not_chosen():
    rows, figures = scanned()
    figures.loc[(figures["split"] == "select") & (figures["hidden_state"] == 2), "csls_p_at_1"] = np.nan
    table = choose_layer(rows, figures, 5, ScanSpec(bootstrap=0))
    assert table["win_share"].tolist() == [0, 0, 0, 0]
    assert table.loc[table["chosen"], "hidden_state"].tolist() == [1 + int(np.nanargmax(table["value"]))] != [2]


def test_the_choice_of_best_is_the_argmax_of_select_and_ties_go_down():
    figures = pd.DataFrame(
        [
            {"split": split, "pooling": pooling, "hidden_state": h, "gap": value}
            for split, pooling, values in [
                ("select", "no-bos", [9, 0.2, 0.5, 0.5, 9]),
                ("train", "no-bos", [9, 9, 0, 0, 0]),
                ("select", "with-bos", [0, 1, 0, 0, 0]),
            ]
            for h, value in enumerate(values)
        ]
    )
    scores = {1: [0.0, 0.4], 2: [1.0, 0.0], 3: [0.4, 0.6]}
    rows = pd.DataFrame(
        [
            {"split": "select", "pooling": "no-bos", "hidden_state": h, "pair_id": str(i), "cosine": v, "mismatched_mean": 0.0}
            for h, values in scores.items()
            for i, v in enumerate(values)
        ]
    )
    table = choose_layer(rows, figures, 4, ScanSpec(best_by="gap", bootstrap=4000))
    assert table["hidden_state"].tolist() == [1, 2, 3] and table.loc[table["chosen"], "hidden_state"].tolist() == [2]
    # of two words drawn with replacement: both the first (1/4) or one of each, tied at 1.0 (1/2) -> hs[2]; both the second -> hs[3]
    np.testing.assert_allclose(table["win_share"], [0, 0.75, 0.25], atol=0.03)
    assert choose_layer(rows, figures, 4, ScanSpec(best_by="gap", best_at_most=1))["chosen"].tolist() == [True]
    # A model of one block, a list without a select split: nothing to choose from, and no error unless `best` is asked for.
    assert choose_layer(rows, figures, 1, ScanSpec(best_by="gap")).empty
    assert choose_layer(rows, figures[figures["split"] == "train"], 4, ScanSpec(best_by="gap")).empty
