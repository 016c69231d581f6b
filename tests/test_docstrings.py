"""The manner in which docstrings are written, as far as it can be checked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[1]
PACKAGES = ("wsrelay", "devtools", "twisted/plugins")

BAD_BEGINNING = re.compile(r"(What|Who|Whose|Whether|Whoever|Whatever)\b", re.IGNORECASE)
REFERENCE = re.compile(r"See `")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module


def definitions() -> Iterator[tuple[str, Definition]]:
    """Yield every definition of the packages that has a docstring, with its place."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if ".cache" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, Definition) and ast.get_docstring(node) is not None:
                    line = getattr(node, "lineno", 1)
                    yield f"{path.relative_to(ROOT)}:{line}", node


def docstring(node: Definition) -> str:
    """Return the docstring of a definition that has one."""
    return ast.get_docstring(node) or ""


class DocstringTests(SynchronousTestCase):
    """Docstrings of the package and its tools."""

    def test_no_docstring_begins_with_a_question_word(self) -> None:
        found = [place for place, node in definitions() if BAD_BEGINNING.match(docstring(node))]
        self.assertEqual(found, [])

    def test_public_functions_that_return_a_deferred_say_what_it_fires_with(self) -> None:
        found = [
            place
            for place, node in definitions()
            if isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and node.returns is not None
            and ast.unparse(node.returns).startswith("Deferred[")
            and not REFERENCE.match(docstring(node))
            and "Returns:" not in docstring(node)
        ]
        self.assertEqual(found, [])

    def test_if_none_is_a_sentence(self) -> None:
        found = [place for place, node in definitions() if re.search(r"(^|[.:] )None: ", docstring(node), re.MULTILINE)]
        self.assertEqual(found, [])
