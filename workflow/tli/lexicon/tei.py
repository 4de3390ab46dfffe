"""Reader of FreeDict dictionaries: TEI P5, entries with senses, in either direction."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from tli.lexicon.forms import fail
from tli.lexicon.languages import same_language
from tli.lexicon.list_file import ListFile

LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
POS = {
    "n": "noun",
    "v": "verb",
    "irrv": "verb",
    "adj": "adjective",
    "adv": "adverb",
    "pron": "pronoun",
    "num": "numeral",
    "conj": "conjunction",
    "prep": "preposition",
    "interj": "interjection",
    "int": "interjection",
    "cop": "copula",
    "prt": "particle",
    "expr": "expression",
    "pn": "name",
    "propn": "name",
    "phrase": "expression",
}
INSIDE_NOTES = {"note", "usg", "lbl"}
CLOSED = {"entry", "re", "note", "etym", "xr"}  # what stands in them is of another entry, or no translation
TRANSLATIONS = {"trans", "translation", "translationEquivalent"}  # types of <cit>


class _Lines(TreeBuilder):
    """A tree whose elements know the line on which they start."""

    parser: Any = None

    def start(self, tag: Any, attributes: Any) -> Element:
        element = super().start(tag, attributes)
        element.set("line", str(self.parser.parser.CurrentLineNumber))
        return element


def _parse(path: str) -> Element:
    """The tree, namespaces taken off. Raises LexiconError for broken XML, entities and external references."""
    builder = _Lines()
    builder.parser = parser = DefusedXMLParser(target=builder)
    try:
        with Path(path).open("rb") as stream:
            while block := stream.read(1 << 20):
                parser.feed(block)
        root = parser.close()
    except ParseError as error:
        line = getattr(error, "position", (0, 0))[0]
        raise fail(f"is no well-formed XML ({error})", "correct it, or fetch the file again", file=path, line=line) from error
    except DefusedXmlException as error:
        raise fail(
            f"declares an entity or an external reference ({type(error).__name__}), which is not opened",
            "remove the declaration or take the dictionary from its own source",
            file=path,
            line=parser.parser.CurrentLineNumber,
        ) from error
    except (ValueError, LookupError) as error:
        raise fail(f"cannot be read as XML ({error})", "save the file as UTF-8", file=path) from error
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
        if element.tag in {"sense", "cit"} and element.get(LANGUAGE):  # what stands inside inherits it
            for child in element:
                child.attrib.setdefault(LANGUAGE, element.get(LANGUAGE))
    return root


def _text(element: Element) -> str:
    """The text of `element`; what stands in a note inside it comes back in round brackets, so that cleaning records it."""
    parts = [element.text or ""]
    for child in element:
        inner = _text(child).strip()
        parts.append(f" ({inner}) " if inner and child.tag in INSIDE_NOTES else inner and f" {inner} ")
        parts.append(child.tail or "")
    return re.sub(r" +([,;])", r"\1", " ".join("".join(parts).split()))


def _descendants(entry: Element, wanted: set[str], closed: set[str] = CLOSED) -> list[Element]:
    """Descendants of `entry` with a tag in `wanted`, in order; not inside another of them, nor inside a tag in `closed`."""
    elements, stack = [], list(reversed(entry))
    while stack:
        element = stack.pop()
        if element.tag in wanted:
            elements.append(element)
        elif element.tag not in closed:
            stack.extend(reversed(element))
    return elements


def _headword_language(root: Element, file: ListFile, headword: str | None) -> str:
    """Which of the list's languages the entries are in: as told, by xml:lang of their forms, or by a file name such as swh-eng."""
    if headword is not None:
        codes = [headword]
    else:
        given = (form.get(LANGUAGE) for tag in ("form", "orth") for form in root.iter(tag))
        codes = [code for code in given if code][:1]
        name = re.match(r"([a-z]{2,3})-([a-z]{2,3})(?![a-z])", Path(file.path).name)
        codes += [name.group(1)] if name else []
    for code in codes:
        for language in file.languages:
            if same_language(code, language):
                return language
    raise fail(
        f"it is not clear which of {' and '.join(file.languages)} the entries are in (found: {codes or 'nothing'})",
        "give headword: <language of the entries>",
        file=file.path,
    )


def _why_no_translation(element: Element, text: Element, target_language: str, defines: bool) -> str:
    """Why `text` (a <def>, or a <quote> of the <cit> `element`) is no translation, "" where it is one.

    Args:
        defines: the dictionary marks its translations with <cit>, so that a <def> explains the headword. Where it does not
            (FreeDict's Swahili), a <def> holds the translation.
    """
    language = text.get(LANGUAGE) or element.get(LANGUAGE) or ""
    other = language and not same_language(language, target_language)
    if element.tag == "def":
        if other:
            return f"a definition in {language}"
        return "a definition, where the dictionary marks translations with <cit>" if defines else ""
    kind = element.get("type", "")
    if kind and kind not in TRANSLATIONS:
        return f"a <cit> of type {kind}"
    if other:
        return f"a translation into {language}"
    return "" if kind or language else "a <cit> that says neither its type nor its language"


def _defines(entries: list[Element]) -> bool:
    """Whether a <def> stands beside a marked translation in any entry: then the dictionary defines, and marks what it translates."""
    for entry in entries:
        cits, definitions = _descendants(entry, {"cit"}), _descendants(entry, {"def"})
        if definitions and any(cit.get("type") in TRANSLATIONS or (not cit.get("type") and cit.get(LANGUAGE)) for cit in cits):
            return True
    return False


def read_tei(file: ListFile, *, headword: str | None = None) -> list[dict]:
    """A row a headword (or variant spelling) and translation, several in one <def> or <quote> as they stand there.

    What is no translation into the list's other language is a row with a problem: generated plurals, entries without a
    translation, definitions, examples, other languages.
    """
    root = _parse(file.path)
    entries = [element for element in root.iter() if element.tag in {"entry", "re"}]
    if not entries:
        raise fail(f"has no TEI entries (its root is <{root.tag}>)", "check that it is a TEI dictionary", file=file.path)
    language = _headword_language(root, file, headword)
    sides = ("source", "target") if language == file.source_language else ("target", "source")
    defines = _defines(entries)
    other_language = file.target_language if sides[0] == "source" else file.source_language
    return [row for entry in entries for row in _rows(entry, sides, other_language, defines)]


def _rows(entry: Element, sides: tuple[str, str], other_language: str, defines: bool) -> list[dict]:
    """The rows of one entry; `sides` of its headword and of its translations, which are in `other_language`."""
    line = int(entry.attrib["line"])
    heads = [_text(orth) for orth in _descendants(entry, {"orth"})]
    head = heads[0] if heads else ""
    kind = next((_text(pos) for pos in _descendants(entry, {"pos"})), "")
    if entry.get("type") == "pl":
        return [{sides[0]: head, sides[1]: "", "line": line, "problem": "a plural generated from another entry"}]
    translations, rows = [], []
    for element in _descendants(entry, {"cit", "def"}):
        for text in [element] if element.tag == "def" else _descendants(element, {"quote"}, CLOSED | {"cit"}):
            why = _why_no_translation(element, text, other_language, defines)
            place = int(text.attrib["line"])
            if why:
                rows.append({sides[0]: head, sides[1]: _text(text), "line": place, "problem": why})
            elif _text(text):
                translations.append((place, _text(text)))
    if not [head for head in heads if head]:
        return [*rows, {sides[0]: "", sides[1]: "", "line": line, "problem": "no headword"}]
    if not translations:
        return [*rows, {sides[0]: head, sides[1]: "", "line": line, "problem": "no translation"}]
    category = POS.get(kind, kind)
    return [{sides[0]: head, sides[1]: text, "category": category, "line": place} for head in heads for place, text in translations] + rows
