"""What templates a config may name: each holds the word once, and the languages of its pairs have equally many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tli.config.places import Key, KeyProblem, nearest
from tli.facts import languages_of_name
from tli.specs import WORD

PLACE = ("pooling", "templates")


def assert_template(key: Key, text: object) -> None:
    """Raises KeyProblem under `key` for what is no text with the word in it."""
    if text == {"word": None}:
        raise KeyProblem(key, f'is a mapping to YAML; put it into quotes: "{WORD}"')
    if not isinstance(text, str):
        raise KeyProblem(key, f"{text!r} is no text; write a text with {WORD} where the word stands")
    if text.count(WORD) != 1 or set("{}") & set(text.replace(WORD, "")):
        raise KeyProblem(key, f"{text!r} does not hold {WORD} exactly once, and no other braces; write {WORD} where the word stands")
    if len(text.splitlines()) > 1 or text != text.strip():
        raise KeyProblem(
            key, f"{text!r} begins or ends with a space, or has several lines; take these out, the word's own space is its own"
        )


def assert_templates_fit(
    templates: Mapping[str, list[str]], pairs: Iterable[str], trained_in: Iterable[Key], spaced: str | None, others: bool = False
) -> None:
    """Raises KeyProblem, under a key of the whole config, for templates that cannot be measured on its pairs and models.

    trained_in: the sections that ask for training in templates. spaced: a model that is fed words as after a space. others: adapters are
    measured on other lists than their own too, which are fed by themselves.
    """
    if not templates:
        for place in trained_in:
            raise KeyProblem((*place, "templates"), f"there are no templates to draw from; name some under {'.'.join(PLACE)}")
        return
    languages = sorted({language for pair in pairs for language in languages_of_name(pair)})
    for language in languages:
        if language not in templates:
            raise KeyProblem(PLACE, f"has none for {language!r}; {nearest(language, templates)} Write as many as for the others")
    first = languages[0]
    for language in languages:
        texts = templates[language]
        if len(texts) != len(templates[first]):
            raise KeyProblem(
                (*PLACE, language),
                f"has {len(texts)} and {first} has {len(templates[first])}; template 2 of one language belongs to template 2 of the other: "
                "write equally many",
            )
        if (texts[0] == WORD) != (templates[first][0] == WORD):
            raise KeyProblem(
                (*PLACE, language),
                f"begins with {texts[0]!r} and {first} with {templates[first][0]!r}; the first carries the claims: put {WORD!r} first in all "
                "languages or in none",
            )
    if others and templates[first][0] != WORD:
        raise KeyProblem(
            (*PLACE, first, 0),
            f"is a frame, which then carries the claims, and other lists (`evaluation.on`) are measured of words by themselves; put {WORD!r} "
            "first, or leave `evaluation.on` at `own`",
        )
    seen: dict[tuple[str, ...], int] = {}
    for number, together in enumerate(zip(*(templates[language] for language in languages), strict=True)):
        if together in seen:
            raise KeyProblem((*PLACE, first, number), f"template {number + 1} is template {seen[together] + 1} again; keep one of them")
        seen[together] = number
    for language in languages if spaced is not None else ():  # a word that begins a text has no space before it
        for number, text in enumerate(templates[language]):
            if text != WORD and text.startswith(WORD):
                raise KeyProblem(
                    (*PLACE, language, number),
                    f"{text!r} begins with the word, and models.{spaced}.word_form asks for a space before it; let the frame begin with a word "
                    "of its own, or take word_form out",
                )
