"""Whether LaTeX would read a text: environments and braces balance, nothing special stands unescaped."""

from __future__ import annotations

import re


def assert_balanced(text: str) -> None:
    """Every \\begin has its \\end in order, every brace its partner; % and # only escaped, & only between the cells of a table."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("% ")]
    open_environments: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", "\n".join(lines)):
        if kind == "begin":
            open_environments.append(name)
        else:
            assert open_environments and open_environments.pop() == name, f"\\end{{{name}}} closes another"
    assert not open_environments, open_environments
    bare = re.sub(r"\\[\\%&#_{}$~^]", "", "\n".join(lines))  # what is escaped
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0, "a brace closes nothing"
    assert depth == 0, f"{depth} braces are open"
    assert bare.count("$") % 2 == 0
    outside = re.sub(r"\$[^$]*\$", "", bare)
    assert not set(outside.replace("{!}{%\n", "{!}{\n")) & set("#^%"), outside
    assert "_" not in re.sub(r"\{(?:tab|fig|figures/|tables/)[^}]*\}", "", outside)
