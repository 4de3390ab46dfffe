"""What a methods section may cite, as BibTeX. Keys are those of the text's brackets (report.glossary.REFERENCES and more)."""

from __future__ import annotations

from tli.errors import TliError

# key: (kind, {field: value}); authors as BibTeX writes them.
WORKS: dict[str, tuple[str, dict[str, str]]] = {
    "tli": (
        "misc",
        {
            "title": "Targeted Lexical Injection: Unlocking Latent Cross-Lingual Alignment in {Lugha-Llama} via Early-Layer {LoRA} Fine-Tuning",
            "author": "Ngugi, Stanley",
            "year": "2025",
            "eprint": "2506.15415",
            "archiveprefix": "arXiv",
        },
    ),
    "lora": (
        "inproceedings",
        {
            "title": "{LoRA}: Low-Rank Adaptation of Large Language Models",
            "author": "Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and Wang, Lu "
            "and Chen, Weizhu",
            "booktitle": "International Conference on Learning Representations",
            "year": "2022",
            "eprint": "2106.09685",
            "archiveprefix": "arXiv",
        },
    ),
    "qlora": (
        "inproceedings",
        {
            "title": "{QLoRA}: Efficient Finetuning of Quantized {LLMs}",
            "author": "Dettmers, Tim and Pagnoni, Artidoro and Holtzman, Ari and Zettlemoyer, Luke",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2023",
            "eprint": "2305.14314",
            "archiveprefix": "arXiv",
        },
    ),
    "csls": (
        "inproceedings",
        {
            "title": "Word Translation Without Parallel Data",
            "author": "Conneau, Alexis and Lample, Guillaume and Ranzato, Marc'Aurelio and Denoyer, Ludovic and J{\\'e}gou, Herv{\\'e}",
            "booktitle": "International Conference on Learning Representations",
            "year": "2018",
            "eprint": "1710.04087",
            "archiveprefix": "arXiv",
        },
    ),
    "anisotropy": (
        "inproceedings",
        {
            "title": "How Contextual are Contextualized Word Representations? {C}omparing the Geometry of {BERT}, {ELMo}, and {GPT}-2 Embeddings",
            "author": "Ethayarajh, Kawin",
            "booktitle": "Proceedings of EMNLP-IJCNLP",
            "year": "2019",
            "eprint": "1909.00512",
            "archiveprefix": "arXiv",
        },
    ),
    "sink": (
        "inproceedings",
        {
            "title": "Massive Activations in Large Language Models",
            "author": "Sun, Mingjie and Chen, Xinlei and Kolter, J. Zico and Liu, Zhuang",
            "booktitle": "Conference on Language Modeling",
            "year": "2024",
            "eprint": "2402.17762",
            "archiveprefix": "arXiv",
        },
    ),
    "clark": (
        "article",
        {
            "title": "The Language-as-Fixed-Effect Fallacy: A Critique of Language Statistics in Psychological Research",
            "author": "Clark, Herbert H.",
            "journal": "Journal of Verbal Learning and Verbal Behavior",
            "volume": "12",
            "pages": "335--359",
            "year": "1973",
        },
    ),
    "holm": (
        "article",
        {
            "title": "A Simple Sequentially Rejective Multiple Test Procedure",
            "author": "Holm, Sture",
            "journal": "Scandinavian Journal of Statistics",
            "volume": "6",
            "pages": "65--70",
            "year": "1979",
        },
    ),
    "bh": (
        "article",
        {
            "title": "Controlling the False Discovery Rate: A Practical and Powerful Approach to Multiple Testing",
            "author": "Benjamini, Yoav and Hochberg, Yosef",
            "journal": "Journal of the Royal Statistical Society: Series B",
            "volume": "57",
            "pages": "289--300",
            "year": "1995",
        },
    ),
    "by": (
        "article",
        {
            "title": "The Control of the False Discovery Rate in Multiple Testing under Dependency",
            "author": "Benjamini, Yoav and Yekutieli, Daniel",
            "journal": "The Annals of Statistics",
            "volume": "29",
            "pages": "1165--1188",
            "year": "2001",
        },
    ),
    "xcopa": (
        "inproceedings",
        {
            "title": "{XCOPA}: A Multilingual Dataset for Causal Commonsense Reasoning",
            "author": "Ponti, Edoardo Maria and Glava{\\v{s}}, Goran and Majewska, Olga and Liu, Qianchu and Vuli{\\'c}, Ivan and Korhonen, Anna",
            "booktitle": "Proceedings of EMNLP",
            "year": "2020",
            "eprint": "2005.00333",
            "archiveprefix": "arXiv",
        },
    ),
    "xnli": (
        "inproceedings",
        {
            "title": "{XNLI}: Evaluating Cross-lingual Sentence Representations",
            "author": "Conneau, Alexis and Rinott, Ruty and Lample, Guillaume and Williams, Adina and Bowman, Samuel R. and Schwenk, Holger and "
            "Stoyanov, Veselin",
            "booktitle": "Proceedings of EMNLP",
            "year": "2018",
            "eprint": "1809.05053",
            "archiveprefix": "arXiv",
        },
    ),
    "lmeval": (
        "misc",
        {
            "title": "The Language Model Evaluation Harness",
            "author": "Gao, Leo and others",
            "howpublished": "Software, EleutherAI/lm-evaluation-harness",
            "year": "2024",
            "doi": "10.5281/zenodo.12608602",
        },
    ),
    "pytorch": (
        "inproceedings",
        {
            "title": "{PyTorch}: An Imperative Style, High-Performance Deep Learning Library",
            "author": "Paszke, Adam and others",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2019",
        },
    ),
    "transformers": (
        "inproceedings",
        {
            "title": "Transformers: State-of-the-Art Natural Language Processing",
            "author": "Wolf, Thomas and others",
            "booktitle": "Proceedings of EMNLP: System Demonstrations",
            "year": "2020",
        },
    ),
    "peft": (
        "misc",
        {
            "title": "{PEFT}: State-of-the-art Parameter-Efficient Fine-Tuning Methods",
            "author": "Mangrulkar, Sourab and Gugger, Sylvain and Debut, Lysandre and Belkada, Younes and Paul, Sayak and Bossan, Benjamin",
            "year": "2022",
            "howpublished": "Software, huggingface/peft",
        },
    ),
    "snakemake": (
        "article",
        {
            "title": "Sustainable Data Analysis with {Snakemake}",
            "author": 'M{\\"o}lder, Felix and others',
            "journal": "F1000Research",
            "volume": "10",
            "pages": "33",
            "year": "2021",
        },
    ),
    "scipy": (
        "article",
        {
            "title": "{SciPy} 1.0: Fundamental Algorithms for Scientific Computing in {Python}",
            "author": "Virtanen, Pauli and others",
            "journal": "Nature Methods",
            "volume": "17",
            "pages": "261--272",
            "year": "2020",
        },
    ),
    "statsmodels": (
        "inproceedings",
        {
            "title": "Statsmodels: Econometric and Statistical Modeling with {Python}",
            "author": "Seabold, Skipper and Perktold, Josef",
            "booktitle": "Proceedings of the 9th Python in Science Conference",
            "year": "2010",
        },
    ),
    "gatitos": (
        "inproceedings",
        {
            "title": "{GATITOS}: Using a New Multilingual Lexicon for Low-resource Machine Translation",
            "author": "Jones, Alexander and Caswell, Isaac and Firat, Orhan and Saxena, Ishank",
            "booktitle": "Proceedings of EMNLP",
            "year": "2023",
        },
    ),
    "freedict": (
        "misc",
        {"title": "{FreeDict} Bilingual Dictionaries", "author": "{The FreeDict project}", "howpublished": "freedict.org", "year": "n.d."},
    ),
}


def bibtex(keys: list[str]) -> str:
    """The entries of these keys, one below the other. Raises TliError for a key that has none."""
    unknown = [key for key in keys if key not in WORKS]
    if unknown:
        raise TliError(f"no BibTeX entry for {', '.join(unknown)}; publishing/bibliography.py lists what may be cited")
    entries = []
    for key in keys:
        kind, fields = WORKS[key]
        if kind == "misc" and "eprint" in fields:  # styles older than preprints print nothing of `eprint`
            fields = fields | {"howpublished": f"arXiv:{fields['eprint']}"}
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
        entries.append(f"@{kind}{{{key},\n{lines}}}\n")
    return "\n".join(entries)
