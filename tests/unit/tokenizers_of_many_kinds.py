"""Small tokenizers of the kinds that models have, trained on a few words: who puts the space, and what becomes of a letter not seen."""

from __future__ import annotations

from tiny import WORDS

TEXT = [" ".join([one, other, one]) for one, other in zip(WORDS, WORDS[1:] + WORDS[:1], strict=True)] * 3
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
KINDS = ("bytes", "bytes-prefix", "unigram", "unigram-bare", "llama", "gemma", "gemma-lossy", "wordpiece", "letters")
PUTS_SPACE = ("bytes-prefix", "unigram", "llama")  # by itself, before a text
HAS_NO_SPACE = ("wordpiece",)  # in its tokens


def make(kind: str, vocabulary: int = 400):
    """bytes: as GPT-2 and Llama 3; bytes-prefix: with a space put before a text; unigram: as XLM-R (dummy prefix); unigram-bare:
    without it; llama: BPE with dummy prefix and byte fallback; gemma: the same without prefix; gemma-lossy: and without bytes, so
    that it drops what it does not know; wordpiece: as BERT; letters: a token a letter, the space one of them."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    options = {"vocab_size": vocabulary, "special_tokens": SPECIAL, "show_progress": False}
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    if kind.startswith("bytes"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind == "bytes-prefix")
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), **options)
    elif kind.startswith("unigram"):
        made = Tokenizer(models.Unigram())
        scheme = "always" if kind == "unigram" else "never"
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        made.decoder = decoders.Metaspace(prepend_scheme=scheme)
        trainer = trainers.UnigramTrainer(unk_token="<unk>", **options)
    elif kind in ("llama", "gemma", "gemma-lossy"):
        bytes_too = kind != "gemma-lossy"
        made = Tokenizer(models.BPE(unk_token="<unk>" if bytes_too else None, byte_fallback=bytes_too, fuse_unk=True))
        replaced = normalizers.Replace(" ", "\u2581")
        made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), replaced]) if kind == "llama" else replaced
        made.pre_tokenizer = pre_tokenizers.Split(Regex("\u2581[^\u2581]*|[^\u2581]+"), "isolated")
        steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
        made.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if kind == "llama" else []))
        options |= {"special_tokens": SPECIAL + fallback, "vocab_size": vocabulary + 256} if bytes_too else {}
        trainer = trainers.BpeTrainer(**options)
    elif kind == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(**options)
    else:
        made = Tokenizer(models.WordLevel({one: i for i, one in enumerate([*SPECIAL, *sorted(set("".join(TEXT)))])}, unk_token="<unk>"))
        made.pre_tokenizer, trainer = pre_tokenizers.Split(Regex("."), "isolated"), None
    if trainer is not None:
        made.train_from_iterator(TEXT, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(one, made.token_to_id(one)) for one in ("<s>", "</s>")]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names | ({} if kind in ("bytes", "gemma-lossy") else {"unk_token": "<unk>"}))
