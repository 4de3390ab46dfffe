"""What the columns and metrics mean, with the source of each formula, and the works that the report cites."""

from __future__ import annotations

import re

from tli import labels
from tli.labels import metric_label

REFERENCES = {
    "tli": "Targeted Lexical Injection: Unlocking Latent Cross-Lingual Alignment in Lugha-Llama via Early-Layer LoRA "
    "Fine-Tuning. arXiv:2506.15415, 2025.",
    "lora": "Hu et al. LoRA: Low-Rank Adaptation of Large Language Models. ICLR 2022. arXiv:2106.09685.",
    "csls": "Conneau et al. Word Translation Without Parallel Data. ICLR 2018. arXiv:1710.04087.",
    "anisotropy": "Ethayarajh. How Contextual are Contextualized Word Representations? EMNLP 2019. arXiv:1909.00512.",
    "rogue": "Timkey and van Schijndel. All Bark and No Bite: Rogue Dimensions in Transformer Language Models. EMNLP 2021. "
    "arXiv:2109.04404.",
    "sink": "Sun et al. Massive Activations in Large Language Models. COLM 2024. arXiv:2402.17762; Xiao et al. Efficient "
    "Streaming Language Models with Attention Sinks. arXiv:2309.17453.",
    "mexa": "Kargaran et al. MEXA: Multilingual Evaluation of English-Centric LLMs via Cross-Lingual Alignment. arXiv:2410.05873.",
    "margin": "Artetxe and Schwenk. Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings. ACL 2019. arXiv:1811.01136.",
    "clipscore": "Hessel et al. CLIPScore: A Reference-free Evaluation Metric for Image Captioning. EMNLP 2021. arXiv:2104.08718.",
    "cka": "Kornblith et al. Similarity of Neural Network Representations Revisited. ICML 2019. arXiv:1905.00414.",
    "clark": "Clark. The Language-as-Fixed-Effect Fallacy. Journal of Verbal Learning and Verbal Behavior 12, 1973.",
    "holm": "Holm. A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of Statistics 6, 1979.",
    "bh": "Benjamini and Hochberg. Controlling the False Discovery Rate. Journal of the Royal Statistical Society B 57, 1995.",
    "by": "Benjamini and Yekutieli. The Control of the False Discovery Rate in Multiple Testing under Dependency. Annals of "
    "Statistics 29, 2001.",
    "tsne": "van der Maaten and Hinton. Visualizing Data using t-SNE. Journal of Machine Learning Research 9, 2008.",
    "colours": "Okabe and Ito. Color Universal Design. 2008.",
    "xcopa": "Ponti et al. XCOPA: A Multilingual Dataset for Causal Commonsense Reasoning. EMNLP 2020. arXiv:2005.00333.",
    "xnli": "Conneau et al. XNLI: Evaluating Cross-lingual Sentence Representations. EMNLP 2018. arXiv:1809.05053.",
}

# name: (what it is, whose formula it is or ""); the metrics of words stand in tli.labels, with what they are called
METRICS = {name: (metric.meaning, metric.source) for name, metric in {**labels.METRICS, **labels.BESIDE}.items()} | {
    "survival": ("Gap at the output / gap at the loss layer: how much of what is gained there reaches the end.", ""),
    "dz": ("Mean of the paired differences / their standard deviation.", ""),
    "d_av": ("Mean of the paired differences / mean of the two standard deviations.", ""),
    "detectable": ("The smallest change that this design would have found with 80 % power, both contrasts and the correction counted.", ""),
}

TERMS = {
    "hs[k]": "Hidden state k: hs[0] are the embeddings, hs[k] the output of block k - 1 (blocks counted from 0). A model of "
    "L blocks has L + 1 of them; the last, hs[L], is taken after the final norm.",
    "BOS, sink": "The token that a tokenizer puts first. In Llama-type models its vector can grow hundreds of times "
    "longer than the words'. Pooled in, it makes any two words look alike. It stays in the input and out of the pool.",
    "pooling": "How the token vectors of a word become one: their mean, in float32, BOS left out unless said otherwise.",
    "template": "A neutral frame in which a word is fed too, such as `The word {word} means`. Only the word's own tokens are pooled. `@2` "
    "after a pooling's name is the second template, `@mean` the mean of a word's vectors over all of them.",
    "wrong pairs, mismatched": "A word and a target that is not its translation; what chance and crowding alone give.",
    "train, select, held-out": "Words trained on; words that chose the layer, and settings where they are tuned; words that nothing was fitted to.",
    "arm": "A method of training, named by the config.",
    "placebo": "The same training with the same seeds and batch order on shuffled translations, so that no word meets "
    "its own. What the placebo gains is not knowledge of translations.",
    "trial": "A setting of a tuned cell, trained with seeds that no run has and judged on the select words; the runs take the best one's.",
    "cell": "One (model, pair, arm, layer, rank); its seeds are its replicates.",
    "seed": "The random number that a run starts from. Claims are about other seeds and other held-out words, so both count as a sample.",
    "confirmatory, exploratory": "Confirmatory: the tests of the primary endpoint, declared before, corrected together; "
    "they alone carry verdicts. Exploratory: everything else.",
    "family": "The tests corrected together; its name and size stand beside every adjusted p.",
}

# Further terms of the first screen; with TERMS and METRICS they are explained in place.
TERMS |= {
    "untrained pool": "The candidates of a claim: held-out and select words, none of which any training touched. What training does to "
    "trained words cannot move a figure in it.",
    "whole list": "All distinct forms of the list as candidates, as other papers have it.",
    "free map": "A linear map between the two languages' vectors, fitted to the training pairs in closed form: nothing is trained, "
    "nothing is harmed. Its hidden state and hyperparameter are chosen by the select words.",
    "cross-entropy": "What a token of running text costs the model, in nats: - log of the probability that it gave to it. Its rise is the harm.",
    "margin": "How much a rise or a difference may be and still count as none; the config names it.",
    "adjusted p": "A p value after the correction for all tests of its family.",
    "unit": "Words that share a form rise and fall together and are one unit of the test; so are an item and a sentence.",
    "chance": "What drawing at random gives.",
    "spelling": "What the nearest spelling gives: cognates and loans, for nothing.",
}

COLUMNS = {
    "n": "number of queries (pairs, items)",
    "seeds": "number of runs averaged or tested over",
    "k": "neighbourhood of CSLS",
    "estimate": "mean difference",
    "low": "lower end of the 95 % interval",
    "high": "upper end of the 95 % interval",
    "p": "two-sided p",
    "log10_p": "log10 of p, for p below 1e-308",
    "p_holm": "p adjusted by Holm",
    "p_bh": "p adjusted by Benjamini-Hochberg",
    "p_by": "p adjusted by Benjamini-Yekutieli",
    "df": "degrees of freedom",
    "statistic": "test statistic",
    "sd": "standard deviation of the differences",
    "p_family": "larger of the two p, adjusted within its family (of verdicts the confirmatory one)",
    "p_change_family": "p of after - before, adjusted within its family",
    "on": "the list measured on; pair is the one trained on",
    "own": "the list is one that was trained on",
    "status": "what a cell of the matrix says after correction: helped, hurt, not decided",
    "detectable": METRICS["detectable"][0],
    "hidden_state": "k of hs[k]",
    "layer": "where the loss is taken, as the config asks",
    "loss_layer": "the same as a hidden-state index",
    "normed": "after the final norm",
    "same_as": "the run with which this one is the same by construction",
    "reached_parameters": "parameters that the loss can reach, measured",
    "win_share": "share of word bootstraps in which this hidden state is the best",
    "chosen": "what was taken: the hidden state that layer 'best' means, or the trial whose settings the runs have",
    "change": "after - before",
    "chance": "1 / number of choices",
    "seed": "-1 for a baseline, or where the test is over all seeds",
    "against_placebo": "real - placebo",
    "before": "of the baseline",
    "after": "of the trained runs",
    "gap_change": "gap after - gap before",
    "shots": "training pairs shown before the word",
    "other": "what it is compared with",
    "trained_on": "the pairs on whose lists it was trained",
    "word_form": "how a word is fed: alone, or as after a space in text",
    "used": "whether the model was fed so in scan, training and evaluation",
    "fertility": "tokens / words",
    "one_token": "forms that are one token",
    "cut_otherwise": "forms that are cut otherwise in the other form",
    "unknown": "forms that the tokenizer does not know (an unknown token, letters that it drops)",
    "cut_characters": "forms in which a character is cut between tokens",
    "alike": "forms that become the same tokens as another",
    "target_rank_after": "rank of the translation among all targets (1 is best)",
}
SUFFIXES = {
    "_before": "before training",
    "_after": "after training",
    "_change": "after - before",
    "_reverse": "from target to source",
}


def meaning(column: str) -> str:
    """One line on a table's column, empty where its name says it all."""
    if column in COLUMNS:
        return COLUMNS[column]
    for suffix, words in SUFFIXES.items():
        if column.removesuffix(suffix) in METRICS and column.endswith(suffix):
            return f"{metric_label(column.removesuffix(suffix))}, {words}"
    return METRICS[column][0] if column in METRICS else ""


def _patterns() -> dict[str, str]:
    """What is looked for in a sentence, longest first: its explanation."""
    found = {one: text for term, text in TERMS.items() for one in term.split(", ") if one not in ("train", "select", "seed", "arm", "cell")}
    found |= {"hs\\[\\d+\\]": found.pop("hs[k]"), "CSLS P@1": METRICS["csls_p_at_1"][0], "P@1": METRICS["p_at_1"][0]}
    found |= {"select words": TERMS["train, select, held-out"], "seeds": TERMS["seed"]}
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def explained(text: str) -> str:
    """HTML of a sentence in which each term of the glossary, the first time that it stands there, says what it means."""
    from markupsafe import Markup, escape

    meanings, told = _patterns(), set()
    pattern = re.compile(r"(?<![\w-])(" + "|".join(meanings) + r")(?![\w-])")

    def marked(at: re.Match) -> str:
        key = next(one for one in meanings if re.fullmatch(one, at[0]))
        if key in told:
            return at[0]
        told.add(key)
        return f'<a class="term" href="#glossary" data-help="{escape(meanings[key])}">{at[0]}</a>'

    return Markup(pattern.sub(marked, str(escape(text))))
