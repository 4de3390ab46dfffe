"""What templates a config may name: each holds the word once, and the languages of its pairs have equally many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tli.config.places import Key, KeyProblem, nearest
from tli.specs import WORD

if TYPE_CHECKING:
    from tli.config.keys import Config

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


def assert_templates_fit(config: Config) -> None:
    """Raises KeyProblem, under a key of the whole config, for templates that cannot be measured on its pairs and models."""
    templates = config.pooling.templates
    if not templates:
        for place, section in {("training",): config.training, **{("arms", name): arm for name, arm in config.arms.items()}}.items():
            if section.templates:
                raise KeyProblem((*place, "templates"), f"there are no templates to draw from; name some under {'.'.join(PLACE)}")
        return
    languages = sorted({language for pair in config.pairs for language in pair.split("-")})
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
    seen: dict[tuple[str, ...], int] = {}
    for number, together in enumerate(zip(*(templates[language] for language in languages), strict=True)):
        if together in seen:
            raise KeyProblem((*PLACE, first, number), f"template {number + 1} is template {seen[together] + 1} again; keep one of them")
        seen[together] = number
    _assert_spaced(config, languages)


def _assert_spaced(config: Config, languages: list[str]) -> None:
    """A word that begins a text has no space before it, whatever a model's `word_form` asks for."""
    spaced = next((name for name, model in config.models.items() if model.word_form == "leading-space"), None)
    if spaced is None:
        return
    for language in languages:
        for place, text in enumerate(config.pooling.templates[language]):
            if text != WORD and text.startswith(WORD):
                raise KeyProblem(
                    (*PLACE, language, place),
                    f"{text!r} begins with the word, and models.{spaced}.word_form asks for a space before it; let the frame begin with a word "
                    "of its own, or take word_form out",
                )
