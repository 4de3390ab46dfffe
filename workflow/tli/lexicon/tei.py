"""Reader of FreeDict dictionaries: TEI P5, entries with senses and comma-joined synonyms, in either direction."""

from __future__ import annotations

import re
from pathlib import Path
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


class _Lines(TreeBuilder):
    """A tree whose elements know the line on which they start."""

    parser = None

    def start(self, tag, attributes):
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
        raise fail(f"is no well-formed XML ({error})", "mend or fetch the file again", file=path, line=line) from error
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
    return root


def _text(element: Element) -> str:
    """The text of `element`; what stands in a note inside it comes back in round brackets, so that cleaning records it."""
    parts = [element.text or ""]
    for child in element:
        inner = _text(child).strip()
        parts.append(f" ({inner}) " if inner and child.tag in INSIDE_NOTES else inner and f" {inner} ")
        parts.append(child.tail or "")
    return re.sub(r" +([,;])", r"\1", " ".join("".join(parts).split()))


def _descendants(entry: Element, wanted: set[str]) -> list[Element]:
    """Descendants of `entry` with a tag in `wanted`, in order, without those of entries, examples or notes inside it."""
    elements, stack = [], list(reversed(entry))
    while stack:
        element = stack.pop()
        if element.tag in wanted:
            elements.append(element)
        elif element.tag not in {"entry", "re", "note", "etym", "xr"} and not (
            element.tag == "cit" and element.get("type", "") not in {"trans", "translation", "translationEquivalent"}
        ):
            stack.extend(reversed(element))
    return elements


def synonyms(text: str) -> list[str]:
    """Parts of a definition at commas and semicolons outside of brackets and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(0, depth - 1)
        elif character == '"':
            quoted = not quoted
        elif character in ",;،፣" and not depth and not quoted:
            parts.append(text[start:place])
            start = place + 1
    parts = [part.strip() for part in [*parts, text[start:]]]
    return [part for part in parts if part]


def _headword_language(root: Element, file: ListFile, headword: str | None) -> str:
    """Which of the list's languages the entries are in: as told, by xml:lang of their forms, or by a file name such as swh-eng."""
    if headword is not None:
        codes = [headword]
    else:
        codes = [form.get(LANGUAGE) for tag in ("form", "orth") for form in root.iter(tag) if form.get(LANGUAGE)][:1]
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


def read_tei(file: ListFile, *, headword: str | None = None) -> list[dict]:
    """A row a headword (or variant spelling) and translation; generated plurals and entries without one are problems."""
    root = _parse(file.path)
    entries = [element for element in root.iter() if element.tag in {"entry", "re"}]
    if not entries:
        raise fail(f"has no TEI entries (its root is <{root.tag}>)", "check that it is a TEI dictionary", file=file.path)
    language = _headword_language(root, file, headword)
    sides = ("source", "target") if language == file.source_language else ("target", "source")
    rows = []
    for entry in entries:
        line = int(entry.get("line"))
        heads = [_text(orth) for orth in _descendants(entry, {"orth"})]
        kind = next((_text(pos) for pos in _descendants(entry, {"pos"})), "")
        translations = [
            (int(element.get("line")), part) for element in _descendants(entry, {"def", "quote"}) for part in synonyms(_text(element))
        ]
        problem = ""
        if entry.get("type") == "pl":
            problem = "a plural generated from another entry"
        elif not [head for head in heads if head]:
            problem = "no headword"
        elif not translations:
            problem = "no translation"
        if problem:
            rows.append({sides[0]: heads[0] if heads else "", sides[1]: "", "line": line, "problem": problem})
            continue
        for head in heads:
            for place, part in translations:
                rows.append({sides[0]: head, sides[1]: part, "category": POS.get(kind, kind), "line": place})
    return rows
