r"""A document that holds all that `tli methods` writes: what it needs is seen at once, and what is wrong shows in a compiler.

Columns of 3.3 inches and a page of 7, the widths that the figures are drawn for (`drawn.WIDTHS`).
"""

from __future__ import annotations

from collections.abc import Mapping

from tli.publishing.latex import foreign

HEAD = r"""% All of this folder in one document: pdflatex paper, bibtex paper, pdflatex paper, pdflatex paper.
% A paper of your own needs booktabs, graphicx and natbib, and from here what it wants: \input{methods}, the tables, the figures.
\documentclass[twocolumn]{article}
\usepackage[textwidth=7in,columnsep=0.4in,textheight=9.5in]{geometry}
\usepackage{iftex}
\ifPDFTeX
  \usepackage[utf8]{inputenc}
  \usepackage[T1]{fontenc}
  \IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
@FOREIGN@\else
  \usepackage{fontspec}
\fi
\usepackage{booktabs,graphicx,natbib}
% Names of modules and commits do not break.
\emergencystretch=3em
\extrafloats{@FLOATS@}
\begin{document}
\section*{Methods}
"""
TAIL = r"""\bibliographystyle{plainnat}
\bibliography{references}
\end{document}
"""


def document(parts: Mapping[str, str]) -> str:
    r"""The document that takes in the files `parts`, by their names without .tex; what is in them tells what it must know.

    pdfLaTeX has no letters of other scripts: each of them is declared as its number in a box. With \setmainfont a font of theirs LuaLaTeX
    and XeLaTeX write them.
    """
    text = "".join(parts.values())
    there, floats = foreign(text), text.count("\\label{")
    told = ["  % pdfLaTeX has none of these letters; LuaLaTeX and XeLaTeX with \\setmainfont{a font that has them} write them.\n"]
    declared = [f"  \\DeclareUnicodeCharacter{{{ord(one):04X}}}{{\\fbox{{\\tiny {ord(one):04X}}}}}\n" for one in there]
    head = HEAD.replace("@FOREIGN@", "".join([*told, *declared] if there else [])).replace("@FLOATS@", str(floats + 20))
    return head + "\n".join(f"\\input{{{part}}}" for part in parts) + "\n" + TAIL
