"""What the lists before have settled: which forms lie in one component, and in which split."""

from __future__ import annotations

from collections.abc import Sequence


class Placement:
    """Components over several lists, joined list after list. A form that one list trains is held out by none that looks here.

    A component is named by its first pair, as inside one list. It has one split, or several where a list that may leak (or two
    lists that share no language) put it on both sides.
    """

    def __init__(self) -> None:
        self._component: dict[str, str] = {}  # form -> a component
        self._list: dict[str, str] = {}  # form -> the first list that has it
        self._joined: dict[str, str] = {}  # component -> the earlier one that it was joined to, or itself
        self._order: dict[str, int] = {}
        self._splits: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._component)

    def component(self, form: str) -> str:
        """The component of a form's key, "" where no list has the form."""
        return self._root(self._component[form]) if form in self._component else ""

    def splits(self, component: str) -> set[str]:
        return self._splits[self._root(component)]

    def origin(self, form: str) -> str:
        """The first list that has the form, "" if none has."""
        return self._list.get(form, "")

    def order(self, component: str) -> int:
        """Where the component stands among all, by its first pair."""
        return self._order[component]

    def add(self, name: str, links: Sequence[Sequence[str]], components: Sequence[str], splits: Sequence[str]) -> None:
        """Take in the pairs of the list `name`: the forms that link each, its component and its split."""
        for forms, component, split in zip(links, components, splits, strict=True):
            if component not in self._joined:
                self._joined[component], self._order[component], self._splits[component] = component, len(self._order), set()
            root = self._root(component)
            self._splits[root].add(split)
            for form in forms:
                self._list.setdefault(form, name)
                if form in self._component:
                    root = self._join(root, self._root(self._component[form]))
                else:
                    self._component[form] = root

    def _root(self, component: str) -> str:
        while self._joined[component] != component:
            self._joined[component] = self._joined[self._joined[component]]
            component = self._joined[component]
        return component

    def _join(self, one: str, other: str) -> str:
        if one == other:
            return one
        first, second = sorted((one, other), key=self._order.__getitem__)
        self._joined[second] = first
        self._splits[first] |= self._splits.pop(second)
        return first
