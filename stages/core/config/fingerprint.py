"""A digest of the code that trains: comments, docstrings and layout do not count, everything else does."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def fingerprint(sources: Iterable[str], versions: Mapping[str, str]) -> str:
    """SHA-256 (hex) over the syntax trees of Python `sources` without docstrings, and over package `versions`."""
    trees = [_plain(ast.parse(source)) for source in sources]
    return hashlib.sha256(json.dumps([trees, dict(sorted(versions.items()))]).encode()).hexdigest()


def _plain(node):
    """The tree as lists. Empty fields are left out: Python versions differ in them, and a digest must not."""
    if isinstance(node, list):
        return [_plain(child) for child in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    return [type(node).__name__, [[name, _plain(value)] for name, value in fields.items() if value not in (None, [])]]
