"""What a stage's output can depend on besides its inputs: a digest of the code that it reaches, and of nothing else.

The code is followed by name from the stage's file on: a function, class or constant counts if code that counts names
it, a method if its class counts and its name is mentioned anywhere in code that counts. So a helper that nobody calls,
a comment, a docstring or a new line changes no digest, and every change that can change an output does. The fields of a
configuration's schema do not count either: their values are part of the resolved row.

Two things would escape: a name made at run time (`getattr(module, text)`) and code that an import runs. The project has
neither; tests/test_architecture.py holds that.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTIONS)
MODEL = "BaseModel"  # pydantic's
DISTRIBUTIONS = {"PIL": "pillow", "hydra": "hydra-core", "sklearn": "scikit-learn", "yaml": "pyyaml"}
LOCKED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)

CANNOT_CHANGE_A_FILE = {
    "stages.core.base.errors": "how a mistake is told",
    "stages.core.base.locks": "who waits for whom",
    "stages.core.base.cores": "how many seeds train at once; results do not depend on it",
    "stages.core.training.progress": "what is shown meanwhile",
    "stages.core.training.preload": "when a library is loaded",
}


@dataclass(frozen=True)
class Reached:
    """What is reached from a file: definitions as "module:name" or "module:Class.method", and packages imported.

    A definition is its syntax tree as lists.
    """

    definitions: Mapping[str, list]
    packages: frozenset[str]

    def digest(self, versions: Mapping[str, str], without: Collection[str] = ()) -> str:
        """SHA-256 (hex) over the definitions and the locked versions of the packages that are not in `without`."""
        trees = [[name, tree] for name, tree in sorted(self.definitions.items())]
        return hashlib.sha256(json.dumps([trees, self.versions(versions, without)]).encode()).hexdigest()

    def versions(self, versions: Mapping[str, str], without: Collection[str] = ()) -> list[tuple[str, str]]:
        """Distributions and their locked versions, for the packages reached that the lock has."""
        names = {
            DISTRIBUTIONS.get(package, package).lower().replace("_", "-") for package in self.packages - {*without}
        }
        return [(name, versions[name]) for name in sorted(names & versions.keys())]


def reach(sources: Mapping[str, str], entry: str, cut: Collection[str] = ()) -> Reached:
    """Everything that the module `entry` reaches.

    Args:
        sources: the text of the project's modules by dotted name; one that is not asked for is not parsed.
        entry: the module whose every statement counts.
        cut: modules, and definitions as "module:name", that are not followed.
    """
    code = _code(frozenset(sources.items()))
    found: set[str] = set()
    waiting = [f"{entry}:", *(f"{entry}:{name}" for name in code[entry].definitions)]
    packages: set[str] = set()
    mentioned: set[str] = set()
    while waiting:
        unit = waiting.pop()
        module = unit.partition(":")[0]
        if module in cut or unit in cut:
            continue
        found.add(unit)
        names, attributes, imported = code.references(unit)
        packages |= imported
        mentioned |= attributes
        new = {*names, *code.methods(found, mentioned)} - found
        waiting.extend(sorted(new - {*waiting}))
    return Reached({unit: code.plain(unit) for unit in found}, frozenset(packages))


def locked_versions(lock: str) -> dict[str, str]:
    """Versions by distribution, from the text of a pip lock file."""
    return {name.lower().replace("_", "-"): version for name, version in LOCKED.findall(lock)}


class _Module:
    """One file: its definitions by name, what imported names stand for, and its other statements."""

    def __init__(self, text: str):
        tree = ast.parse(text)
        self.imports = dict(_imports(tree))
        self.definitions: dict[str, ast.AST] = {}
        self.rest: list[ast.stmt] = []
        for node in tree.body:
            names = [node.name] if isinstance(node, (ast.ClassDef, *FUNCTIONS)) else [*_assigned(node)]
            self.definitions |= dict.fromkeys(names, node)
            if not names and not _is_text(node) and not isinstance(node, ast.Import | ast.ImportFrom):
                self.rest.append(node)

    def tree(self, name: str) -> ast.AST:
        """A definition; of a class all but its methods, which are definitions of their own, and a schema's fields.

        Without a name: the statements that define nothing.
        """
        if not name:
            return ast.Module(self.rest, [])
        owner, _, method = name.partition(".")
        node = self.definitions[owner]
        if method:
            return ast.Module([part for part in node.body if isinstance(part, FUNCTIONS) and part.name == method], [])
        if not isinstance(node, ast.ClassDef):
            return node
        left_out = (*FUNCTIONS, ast.AnnAssign) if self.is_schema(node) else FUNCTIONS
        body = [part for part in node.body if not isinstance(part, left_out) and not _is_text(part)]
        return ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list)

    def is_schema(self, node: ast.ClassDef) -> bool:
        """Whether the fields of a class are read from a file: pydantic's models, and what derives from them here."""
        names = [base.id for base in node.bases if isinstance(base, ast.Name)]
        bases = [self.definitions[name] for name in names if isinstance(self.definitions.get(name), ast.ClassDef)]
        return any(name == MODEL or name.endswith("Schema") for name in names) or any(map(self.is_schema, bases))

    def methods(self, name: str) -> list[str]:
        node = self.definitions.get(name)
        return (
            [part.name for part in node.body if isinstance(part, FUNCTIONS)] if isinstance(node, ast.ClassDef) else []
        )


@lru_cache(maxsize=1)
def _code(sources: frozenset[tuple[str, str]]) -> _Code:
    return _Code(dict(sources))


class _Code:
    """The project's modules; what is found out about a definition is kept, since most stages reach the same ones."""

    def __init__(self, sources: Mapping[str, str]):
        self.sources = sources
        self._modules: dict[str, _Module] = {}
        self._plain: dict[str, list] = {}
        self._references: dict[str, tuple[set[str], set[str], set[str]]] = {}
        self._methods: dict[str, list[str]] = {}

    def __getitem__(self, name: str) -> _Module:
        if name not in self._modules:
            self._modules[name] = _Module(self.sources[name])
        return self._modules[name]

    def tree(self, unit: str) -> ast.AST:
        module, _, name = unit.partition(":")
        return self[module].tree(name)

    def plain(self, unit: str) -> list:
        if unit not in self._plain:
            self._plain[unit] = _plain(self.tree(unit))
        return self._plain[unit]

    @cached_property
    def packages(self) -> set[str]:
        """Of the project itself."""
        return {name.partition(".")[0] for name in self.sources}

    def references(self, unit: str) -> tuple[set[str], set[str], set[str]]:
        """Definitions that one names, all attributes that it mentions, and the packages of others that it uses."""
        if unit not in self._references:
            self._references[unit] = self._found(unit.partition(":")[0], self.tree(unit))
        return self._references[unit]

    def _found(self, module: str, tree: ast.AST) -> tuple[set[str], set[str], set[str]]:
        names: set[str] = set()
        attributes: set[str] = set()
        packages: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                attributes.add(node.attr)
                target = self[module].imports.get(node.value.id) if isinstance(node.value, ast.Name) else None
                if target in self.sources:
                    names |= self._definition(target, node.attr)
            elif isinstance(node, ast.Name):
                target = self[module].imports.get(node.id)
                if target is None:
                    names |= self._definition(module, node.id)
                elif target.partition(".")[0] not in self.packages:
                    packages.add(target.partition(".")[0])
                elif target not in self.sources:
                    names |= self._definition(*target.rsplit(".", 1))
        return names, attributes, packages

    def methods(self, found: Collection[str], mentioned: Collection[str]) -> set[str]:
        """Methods of the classes found, of a name that is mentioned or that Python itself calls."""
        wanted = set()
        for unit in found:
            if unit not in self._methods:
                module, _, name = unit.partition(":")
                self._methods[unit] = self[module].methods(name)
            for method in self._methods[unit]:
                if method in mentioned or (method.startswith("__") and method.endswith("__")):
                    wanted.add(f"{unit}.{method}")
        return wanted

    def _definition(self, module: str, name: str) -> set[str]:
        if module in CANNOT_CHANGE_A_FILE or module not in self.sources:
            return set()
        if name in self[module].definitions:
            return {f"{module}:{name}"}
        target = self[module].imports.get(name)  # handed on from where it is defined
        if target and target not in self.sources and target.partition(".")[0] in self.packages:
            return self._definition(*target.rsplit(".", 1))
        return set()


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every imported name of a file, and what it stands for, dotted; `import a.b` binds a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _plain(node):
    """The tree as lists. Empty fields are left out: Python versions differ in them, and a digest must not."""
    if isinstance(node, list):
        return [_plain(child) for child in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, DOCUMENTED) and node.body and _is_text(node.body[0]):
        fields["body"] = fields["body"][1:]
    return [type(node).__name__, [[name, _plain(value)] for name, value in fields.items() if value not in (None, [])]]
