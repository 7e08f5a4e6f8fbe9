"""The digest of what a stage reaches: what counts, what does not, and the same value with every Python."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages.core.config import code
from stages.core.config.fingerprint import locked_versions, reach

ROOT = Path(__file__).parent.parent
VERSIONS = {"numpy": "2.1", "pillow": "11.0", "tqdm": "4.67"}
STAGE = '''\
"""A stage."""

from stages.core import shapes
from stages.core.told import tell

LIMIT = 3


def main():
    tell(shapes.Circle(LIMIT).area)


if __name__ == "__main__":
    main()
'''
SHAPES = '''\
"""Shapes."""

import numpy as np
from PIL import Image
from pydantic import BaseModel


class Shape(BaseModel):
    """Any."""

    sides: int = 0
    model_config = {"strict": True}

    def corners(self):
        return self.sides


class Circle(Shape):
    radius: float

    def __init__(self, radius):
        self.radius = radius

    @property
    def area(self):
        """Of all of it."""
        return PI * square(self.radius)

    def unused(self):
        return Image.new(self.radius)


PI = np.pi
table = {"square": lambda x: x * x}


def square(x: float, *, unit=None) -> float:
    """x times x."""
    return table["square"](x) if x > 0 else None


def helper(x):
    return Image.open(x)
'''
TOLD = "import tqdm\n\n\ndef tell(text):\n    tqdm.tqdm.write(text)\n"
SOURCES = {"stages.area": STAGE, "stages.core.shapes": SHAPES, "stages.core.told": TOLD}


def digest(old="", new="", module="stages.core.shapes", cut=(), **versions):
    text = SOURCES[module]
    assert not old or text.count(old) == 1
    return reach(SOURCES | {module: text.replace(old, new) if old else text}, "stages.area", cut).digest(
        VERSIONS | versions
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Shapes."""\n', ""),
        ('    """Any."""\n\n', ""),
        ('"""Of all of it."""', '"pi r^2"  # a comment'),
        ("PI * square(self.radius)", "(PI\n            * square(self.radius))"),
        ("return self.sides", "return self.sides + 1"),
        ("Image.new(self.radius)", "Image.new(2 * self.radius)"),
        ("Image.open(x)", "Image.open(str(x))"),
        ("sides: int = 0", "sides: int = 0\n    colour: str | None = None"),
        ("def helper(x):", "def another():\n    return 1\n\n\ndef helper(x):"),
    ],
)
def test_what_nothing_reaches_does_not_count(old, new):
    assert digest(old, new) == digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("PI * square", "PI + square"),
        ("x * x", "x * x * x"),
        ("np.pi", "np.e"),
        ("x > 0", "x >= 0"),
        ("else None", "else 0"),
        ("*, unit=None", "unit=None"),
        ("@property\n    def area", "@staticmethod\n    def area"),
        ('{"strict": True}', '{"strict": False}'),
        ("class Circle(Shape)", "class Circle(Shape, object)"),
        ("        self.radius = radius", "        self.radius = -radius"),
    ],
)
def test_what_is_reached_counts(old, new):
    assert digest(old, new) != digest()


def test_all_of_the_stage_itself_counts_and_what_is_cut_does_not():
    assert digest("LIMIT = 3", "LIMIT = 4", "stages.area") != digest()
    assert digest("tell(shapes", "print(shapes", "stages.area") != digest()
    for cut in ("stages.core.told", "stages.core.told:tell"):
        changed = digest("tqdm.tqdm.write(text)", "print(text)", "stages.core.told", [cut])
        assert changed == digest(cut=[cut]) != digest()


def test_versions_of_the_packages_reached_count():
    assert digest(numpy="2.2") != digest()
    assert digest(tqdm="5") != digest()
    assert digest(pillow="12.0") == digest()
    assert locked_versions("numpy==2.1 \\\n    --hash=sha256:00\nScikit_Learn==1.9 ; python_version > '3'\n") == {
        "numpy": "2.1",
        "scikit-learn": "1.9",
    }


def test_line_ends_do_not_count():
    changed = {name: text.replace("\n", "\r\n") for name, text in SOURCES.items()}
    assert reach(changed, "stages.area").digest(VERSIONS) == digest()


# Syntax in which the trees of Python versions differ: type parameters, f-strings, defaults, constants of every kind.
EVERY_SYNTAX = r"""
class A(dict, metaclass=type):
    x: "int"
    def f(self, a, /, b=1, *c, d=None, e: int = 2, **g) -> None: return None
def plain(): return
@staticmethod
def h(*, key=lambda v=0.1 + 1e-7j, *w: (v, w)): yield from [*w, None, True, ..., b"\x00", "a" "b", -1, 10**20]
def strings(x, y): return f"{x!r:>{y}.3f} {{}} {x=} " f"{y['k']}" "tail" rf"\d{x:%Y-%m}"
async def k():
    async with a as b, c: await d
    async for i in j: pass
    return [m async for m in n if m if not m], {**o, "p": q}, {r for r in s}, (t := 1)
try: raise ValueError from None
except* (KeyError, TypeError) as u: del u
else: assert v, "w"
finally: global_ = 1
match x:
    case {"a": [1, *rest], **more} if rest: pass
    case A(y=0) | None | -1.5: pass
    case _: x[1:2, ::3] @= ~y
while 1:
    if a < b <= c is not d not in e: break
    elif f and g or h: continue
for i, (): nonlocal_ = "\N{BULLET} é 漢"
""".replace("for i, ():", "for i, j in ():")
EXPECTED = "2fa771c752ff76bac6d8bce7d5ec4de8bdc3fab639c8a9e781f3186a04fbc58c"


def test_the_digest_of_every_syntax_is_the_same_with_every_python():
    """Python 3.11, 3.12 and 3.13 all gave the expected value; a release with another one would retrain all rows."""
    assert reach({"stages.all": EVERY_SYNTAX}, "stages.all").digest({}) == EXPECTED


def test_hash_randomization_and_optimization_do_not_count():
    command = "from stages.core.config import code; print(code.digests(*code.read(), 'train'))"
    texts = {
        subprocess.run(
            [sys.executable, *options, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for options in ([], ["-OO", "-R"])
    }
    assert texts == {f"{code.digests(*code.read(), 'train')}\n"}
