"""What is wrong, or worth knowing, about a list of pairs: tables and figures, no verdict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tli.lexicon.components import leaks
from tli.lexicon.forms import alternatives, fail, key
from tli.lexicon.scripts import script_counts
from tli.lexicon.similarity import edit_similarity

COGNATE = 0.7  # from this edit similarity on, two sides are listed as cognates or loans


def audit(
    pairs: pd.DataFrame,
    *,
    tokenize: Callable[[list[str]], list[list]] | None = None,
    changes: pd.DataFrame | None = None,
    aside: pd.DataFrame | None = None,
    by: str = "forms",
) -> dict:
    """Audit clean pairs, split or not.

    Args:
        pairs: source, target and whatever else of tables.PAIRS is there; before cleaning and merging it may be raw rows.
        tokenize: forms -> their tokens (ids or texts) under the model's own tokenizer, without special tokens.
        changes: the record of `clean`, for the figures on what was dropped.
        aside: the pairs that `split` set aside, each with its reason.
        by: what counts as a leak, as in `split`.

    Returns
    -------
        "figures": {name: number}; and tables: "duplicates" (the same source and target), "repeated_anchors" (a source
        in several pairs), "shared_translations" (a target form that several sources accept), "cognates", "mixed_scripts",
        "categories", "tokens" (per side, split), "shared_tokens", "splits", "balance" (train against held-out;
        standardised = difference / pooled sd), "components" (the largest), "leaks", "dropped" (reason, rows), "changed" (reason, strings) by cleaning, "leaks_between_lists" (reason), "aside" (reason), and
        "left" (reason, strings): what cleaning would have done to a verbatim list.
    """
    pairs = pairs.reset_index(drop=True).copy()
    for name in ("alternatives", "category", "split", "component"):
        pairs[name] = pairs[name].astype(object).fillna("") if name in pairs.columns else ""
    if "cognate" not in pairs.columns:
        pairs["cognate"] = edit_similarity(pairs["source"].tolist(), pairs["target"].tolist())
    pairs["source_key"] = [key(form) for form in pairs["source"].tolist()]
    pairs["target_key"] = [key(form) for form in pairs["target"].tolist()]
    pairs["source_multi_word"] = pairs["source"].str.strip().str.contains(r"\s").astype(bool)
    pairs["target_multi_word"] = pairs["target"].str.strip().str.contains(r"\s").astype(bool)
    accepted = _accepted(pairs)
    result = {
        "duplicates": pairs[pairs.duplicated(["source_key", "target_key"], keep=False)][["source", "target", "split"]],
        "repeated_anchors": _anchors(pairs),
        "shared_translations": _shared(accepted),
        "cognates": pairs[pairs["cognate"] >= COGNATE][["source", "target", "cognate", "split"]].sort_values(
            "cognate", ascending=False, kind="stable", ignore_index=True
        ),
        "mixed_scripts": _mixed(pairs),
        "categories": _categories(pairs),
        "leaks": leaks(pairs, by),
    }
    measures = ["source_multi_word", "target_multi_word", "cognate"]
    if tokenize is None:
        for side in ("source", "target"):
            pairs[f"{side}_characters"] = pairs[side].str.len()
        measures += ["source_characters", "target_characters"]
        result["tokens"] = result["shared_tokens"] = pd.DataFrame()
    else:
        result["tokens"], result["shared_tokens"] = _tokens(pairs, tokenize)
        measures += ["source_tokens", "target_tokens"]
    result["balance"] = _balance(pairs, measures)
    result["splits"] = _splits(pairs)
    sizes = pairs.loc[pairs["component"] != "", "component"].value_counts()
    examples = pairs.drop_duplicates("component").set_index("component")["source"]
    result["components"] = pd.DataFrame(
        {"component": sizes.index, "pairs": sizes.to_numpy(), "example": examples.reindex(sizes.index).to_numpy()}
    ).head(20)
    dropped = changes[changes["action"] == "dropped"] if changes is not None else pd.DataFrame({"reason": []})
    result["dropped"] = dropped["reason"].value_counts().rename_axis("reason").reset_index(name="rows")
    result["changed"] = _changed(changes, "changed")
    result["leaks_between_lists"] = _changed(changes, "leaks")
    result["left"] = _changed(changes, "left")
    result["aside"] = pd.DataFrame({"reason": []}) if aside is None else aside
    result["figures"] = _figures(pairs, accepted, result, changes)
    return result


def _accepted(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row an accepted translation: source, source_key, form, form_key."""
    forms = [[target, *alternatives(more)] for target, more in zip(pairs["target"].tolist(), pairs["alternatives"].tolist())]
    table = pairs[["source", "source_key"]].assign(form=forms).explode("form", ignore_index=True)
    table["form_key"] = [key(form) for form in table["form"].tolist()]
    return table.drop_duplicates(["source_key", "form_key"])


def _anchors(pairs: pd.DataFrame) -> pd.DataFrame:
    again = pairs[pairs.duplicated("source_key", keep=False)]
    table = again.groupby("source_key", sort=False).agg(source=("source", "first"), pairs=("source", "size"), targets=("target", "|".join))
    return table.sort_values("pairs", ascending=False, kind="stable").reset_index(drop=True)


def _shared(accepted: pd.DataFrame) -> pd.DataFrame:
    several = accepted[accepted.duplicated("form_key", keep=False)]
    table = several.groupby("form_key", sort=False).agg(
        target=("form", "first"), sources=("source", "size"), examples=("source", lambda sources: "|".join(sources[:5]))
    )
    return table.sort_values("sources", ascending=False, kind="stable").reset_index(drop=True)


def _mixed(pairs: pd.DataFrame) -> pd.DataFrame:
    """Words with letters of two scripts: often one letter typed on the wrong keyboard."""
    rows = []
    for side in ("source", "target"):
        for form in pairs.loc[~pairs[side].map(str.isascii).astype(bool), side].tolist():
            for word in form.split():
                scripts = script_counts(word)
                if len(scripts) > 1 and not set(scripts) <= {"Hani", "Hira", "Kana", "Hang"}:
                    rows.append((side, form, "+".join(sorted(scripts))))
    return pd.DataFrame(rows, columns=["side", "form", "scripts"])


def _categories(pairs: pd.DataFrame) -> pd.DataFrame:
    table = pairs["category"].value_counts().rename_axis("category").reset_index(name="pairs")
    table["share"] = table["pairs"] / max(1, len(pairs))
    for name in _present(pairs):
        inside = pairs.loc[pairs["split"] == name, "category"]
        table[name] = table["category"].map(inside.value_counts()).fillna(0) / max(1, len(inside))
    return table


def _present(pairs: pd.DataFrame) -> list[str]:
    return [name for name in ("train", "select", "heldout") if (pairs["split"] == name).any()]


def _tokens(pairs: pd.DataFrame, tokenize: Callable[[list[str]], list[list]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    tokens = {side: tokenize(pairs[side].tolist()) for side in ("source", "target")}
    for side, lists in tokens.items():
        if len(lists) != len(pairs):
            raise fail(f"tokenize gave {len(lists)} lists for {len(pairs)} forms", "return one list of tokens a form")
        pairs[f"{side}_tokens"] = [len(one) for one in lists]
    rows = []
    for side in tokens:
        for name in ["all", *_present(pairs)]:
            counts = pairs.loc[(pairs["split"] == name) | (name == "all"), f"{side}_tokens"]
            if len(counts):
                rows.append((side, name, counts.mean(), counts.median(), int(counts.max()), (counts == 1).mean()))
    table = pd.DataFrame(rows, columns=["side", "split", "mean", "median", "most", "single_token_share"])
    shares = [
        len(set(one) & set(other)) / max(1, min(len(set(one)), len(set(other)))) for one, other in zip(tokens["source"], tokens["target"])
    ]
    pairs["shared_tokens"] = shares
    shared = pairs[pairs["shared_tokens"] > 0][["source", "target", "shared_tokens", "split"]]
    return table, shared.sort_values("shared_tokens", ascending=False, kind="stable", ignore_index=True)


def _balance(pairs: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Train against held-out; for the categories the total variation distance, 0 (equal shares) to 1."""
    train, heldout = (pairs[pairs["split"] == name] for name in ("train", "heldout"))
    columns = ["measure", "train", "heldout", "difference", "standardised"]
    if not len(train) or not len(heldout):
        return pd.DataFrame(columns=columns)
    rows = []
    for name in measures:
        one, other = (part[name].astype(float) for part in (train, heldout))
        spread = np.sqrt((one.var(ddof=0) + other.var(ddof=0)) / 2)
        difference = other.mean() - one.mean()
        rows.append((name, one.mean(), other.mean(), difference, difference / spread if spread > 0 else 0.0))
    shares = [part["category"].value_counts(normalize=True) for part in (train, heldout)]
    distance = shares[0].sub(shares[1], fill_value=0).abs().sum() / 2
    rows.append(("category (total variation)", np.nan, np.nan, distance, np.nan))
    return pd.DataFrame(rows, columns=columns)


def _changed(changes: pd.DataFrame | None, action: str) -> pd.DataFrame:
    """How many records of `changes` have this action, by reason; a string that was changed twice stands in two rows."""
    reasons = changes.loc[changes["action"] == action, "reason"] if changes is not None else pd.Series([], dtype=object)
    reasons = reasons.str.replace(r"^(the same pair as|further translation of the source of) .*", r"\1 another row", regex=True)
    return reasons.value_counts().rename_axis("reason").reset_index(name="strings")


def _splits(pairs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name in _present(pairs):
        part = pairs[pairs["split"] == name]
        multi_word = (part["source_multi_word"] | part["target_multi_word"]).mean()
        rows.append((name, len(part), len(part) / len(pairs), part["component"].nunique(), multi_word, part["cognate"].mean()))
    return pd.DataFrame(rows, columns=["split", "pairs", "share", "components", "multi_word_share", "cognate"])


def _figures(pairs: pd.DataFrame, accepted: pd.DataFrame, result: dict, changes: pd.DataFrame | None) -> dict:
    count = max(1, len(pairs))
    figures = {
        "pairs": len(pairs),
        "translations": len(accepted),
        "sources": int(pairs["source_key"].nunique()),
        "targets": int(accepted["form_key"].nunique()),
        "duplicates": len(result["duplicates"]),
        "repeated_anchors": len(result["repeated_anchors"]),
        "shared_translations": len(result["shared_translations"]),
        "identical_share": float((pairs["source_key"] == pairs["target_key"]).mean()) if len(pairs) else 0.0,
        "cognate_mean": float(pairs["cognate"].mean()) if len(pairs) else 0.0,
        "cognate_share": len(result["cognates"]) / count,
        "multi_word_pairs": int((pairs["source_multi_word"] | pairs["target_multi_word"]).sum()),
        "source_multi_word_share": float(pairs["source_multi_word"].mean()) if len(pairs) else 0.0,
        "target_multi_word_share": float(pairs["target_multi_word"].mean()) if len(pairs) else 0.0,
        "mixed_scripts": len(result["mixed_scripts"]),
        "without_category": int((pairs["category"] == "").sum()),
        "largest_component": int(result["components"]["pairs"].max()) if len(result["components"]) else 0,
        "leaks": len(result["leaks"]),
    }
    figures["set_aside"] = len(result["aside"])
    if "shared_tokens" in pairs.columns:
        figures["shared_tokens_share"] = float((pairs["shared_tokens"] > 0).mean()) if len(pairs) else 0.0
    if changes is not None:
        ended = changes[changes["action"].isin(["dropped", "merged"])]
        figures["rows_dropped"] = int((changes["action"] == "dropped").sum())
        figures["rows_merged"] = int((changes["action"] == "merged").sum())
        for name, action in (("strings_changed", "changed"), ("strings_left", "left")):
            strings = changes[(changes["action"] == action) & (changes["field"] != "pair")]
            figures[name] = len(strings.drop_duplicates(["file", "line", "field"]))
        figures["leaks_between_lists"] = int((changes["action"] == "leaks").sum())
        figures["rows_left"] = int(((changes["action"] == "left") & (changes["field"] == "pair")).sum())
        same = int((ended["reason"] == "source and target are the same").sum())
        figures["identical_share"] = max(figures["identical_share"], same / max(1, len(pairs) + len(ended)))
    return figures
