"""Run a user's script up to its `fit`, and write down what it hands over.

    python recorder.py OUTDIR [--fit N|NAME] [--max-samples N] [--text FILE] -- train.py [arguments...]

It runs under the user's own interpreter and needs nothing but what the script needs: Python 3.8, NumPy, and Keras on
TensorFlow, Keras 3 or Keras 2 (`tf.keras`, `tf_keras`). So it imports nothing of regbench but the file beside it that
understands old spellings. The script runs as it is, as `__main__`, in the current folder. Instead
of `fit`, `fit_generator` and `train_on_batch` it finds what takes the net, the compile settings, the data and the
budget; then the process ends.

OUTDIR/record.json and OUTDIR/arrays.npz hold what was found (`record.py` reads them), or record.json says in one line
why `fit` was not reached. The exit code is 0 in both cases. `--text` runs another text in the script's place: a
notebook's code.
"""

import argparse
import ast
import builtins
import contextlib
import functools
import gzip
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import io
import json
import math
import os
import pickle
import random
import re
import sys
import tarfile
import time
import types
import weakref
from pathlib import Path

import numpy as np
from numpy import savez  # now: a script may put something else in its place

HERE = Path(__file__).absolute().parent
DRAW_SECONDS = 60.0  # a generator is drawn no longer than this
MAX_BYTES = 512 * 2**20  # of one set of samples
UNKNOWN_STEPS = 10_000  # of a loop that does not say how often it runs, as `while True`
FEW_SAMPLES = 32  # in a call of `fit` in a loop: the samples of several turns are taken together
BLOCK = 8192  # samples in one piece of a statistic
SIMPLE = (bool, int, float, str, type(None), np.generic)
KERAS = ("keras", "tf_keras", "tensorflow")  # packages whose classes are Keras' own
LIBRARIES = ("pandas", "sklearn.preprocessing", "sklearn.externals")  # whose old spellings are understood
WATCHED = (*("tensorflow", "keras", "tf_keras", "matplotlib"), *LIBRARIES)  # changed as they are imported
NEED_KERAS = (  # modules that may be missing, and that old spellings stand in for once Keras is there
    *("scikeras", "scikeras.wrappers", "sklearn.cross_validation", "sklearn.grid_search", "sklearn.learning_curve"),
)
DISPLAY = (  # packages that show, log or install things; a training does not need them
    *("seaborn", "livelossplot", "plotly", "bokeh", "altair", "cufflinks", "missingno", "scikitplot", "yellowbrick"),
    *("wandb", "mlflow", "comet_ml", "neptune", "hyperdash", "tensorboardX", "tensorboard_logger", "tensorboardcolab"),
    *("graphviz", "pydot", "pydotplus", "pydot_ng", "ann_visualizer", "visualkeras", "keras_tqdm", "progressbar"),
    *("tqdm", "IPython", "ipywidgets", "google.colab", "prettytable", "tabulate", "termcolor", "colorama", "dotenv"),
    *("setGPU", "GPUtil", "matplotlib", "pylab", "playsound", "winsound"),
)
TAPE = (
    "the script trains in a loop of its own (GradientTape), and only fit can be recorded: "
    "compile the net and call fit on the same data in place of the loop"
)
ADVICE = (  # what else to say of errors that beginners meet, by what Keras or NumPy says
    (
        r"layer '?\"?conv2d\w*'?\"? .*expected min_ndim=4, found ndim=3",
        "Conv2D takes rows, columns and channels: of grey pictures input_shape=(28, 28, 1), x.reshape(-1, 28, 28, 1)",
    ),
    (
        r"layer '?\"?(lstm|gru|simple_rnn|conv1d)\w*'?\"? .*expected (min_)?ndim=3, found ndim=2",
        "it takes steps and features: of one number a step input_shape=(steps, 1), x.reshape(-1, steps, 1)",
    ),
    (
        r"only 0-dimensional arrays can be converted to Python scalars",
        "an array stands where a number must; before 2.4 NumPy took one with a single element: write .item() behind "
        "it, or name a Python with an older NumPy by --python",
    ),
)
GRAPH = re.compile(r"\s*(Detected at node|File \"|<stack traces|\[\[|Errors may have|Original stack|\d+ root error)")
TENSORFLOW_1 = re.compile(
    r"\btf\.(contrib|placeholder|InteractiveSession|global_variables_initializer|get_variable|train\.\w+Optimizer|app\.run"
    r"|layers\.\w+|nn\.softmax_cross_entropy_with_logits_v2|Session)\b|tensorflow\.contrib|tensorflow\.examples"
    r"|tensorflow\.compat\.v1|disable_v2_behavior|disable_eager_execution|tf\.estimator"
)


# --- plain values ---------------------------------------------------------------------------------------------------


def one_line(text, limit=300):
    """The text in one line of at most so many characters."""
    text = " ".join(str(text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plain(value):
    """A value as JSON can hold it; functions and objects become their names."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist()) if value.size <= 1000 else f"array of shape {list(value.shape)}"
    return value.as_list() if hasattr(value, "as_list") else getattr(value, "__name__", type(value).__name__)


def snake(name):
    """BinaryCrossentropy → binary_crossentropy, KLDivergence → kl_divergence, MSE → mse."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def alike(original):
    """Makes a wrapper look like the function that it wraps, to Keras too, which reads the arguments of `__init__`."""

    def mark(wrapper):
        functools.update_wrapper(wrapper, original)
        with contextlib.suppress(ValueError):  # some of NumPy's functions have none
            wrapper.__signature__ = inspect.signature(original)
        return wrapper

    return mark


def is_keras(thing):
    """Whether a class or function comes from Keras or TensorFlow."""
    return (getattr(thing, "__module__", None) or "").partition(".")[0] in KERAS


def python_3(text):
    """A text with the print statements of Python 2 as calls, line by line; others stay."""
    changed = re.sub(r"(?m)^(\s*|.*:\s*)print[ \t]+(?![=(])(.+?)[ \t]*(,?)$", r"\1print(\2)", text)
    return changed.replace("\t", "    ")


def parsed(text, file="<script>"):
    """The syntax tree of a text, of Python 2 where only its print statements keep it from being Python 3."""
    try:
        return ast.parse(text, file)
    except SyntaxError:
        with contextlib.suppress(SyntaxError):
            return ast.parse(python_3(text), file)
        raise


# --- the user's code ------------------------------------------------------------------------------------------------


class Code:
    """The user's own files: which frames are theirs, and which call a frame is at."""

    def __init__(self, script, shown):
        self.folder = script.parent
        self.shown = shown  # file that the script's code objects name
        self.trees, self.users = {}, {str(shown): True, __file__: False}

    def is_user(self, file):
        if file not in self.users:
            path = Path(file).absolute()
            installed = {"site-packages", "dist-packages", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
            own = HERE in path.parents  # in a clone, whose scripts may well lie above it
            self.users[file] = self.folder in path.parents and not own and not installed & set(path.parts)
        return self.users[file]

    def frame(self, skip=None):
        """The innermost frame of the user's code; frames for which `skip(frame)` holds are passed over."""
        frame = sys._getframe(1)
        while frame is not None:
            if self.is_user(frame.f_code.co_filename) and not (skip and skip(frame)):
                return frame
            frame = frame.f_back
        return None

    def tree(self, file):
        """The lines of a file, and its syntax tree (None where there is none to read)."""
        if file not in self.trees:
            try:
                text = Path(file).read_text(encoding="utf-8", errors="replace")
                self.trees[file] = text.splitlines(), parsed(text)
            except (OSError, SyntaxError, ValueError):
                self.trees[file] = [], None
        return self.trees[file]

    def lines(self, file):
        """The lines of a file without their comments."""
        return [line.partition("#")[0] for line in self.tree(file)[0]]

    def source(self, frame):
        """The call that a frame is at; its whole statement where the call cannot be told from others."""
        if frame is None:
            return None
        file, line = frame.f_code.co_filename, frame.f_lineno
        lines, tree = self.tree(file)
        if tree is None:
            where = {"file": str(Path(file).absolute()), "line": line, "end": line}
            return {**where, "begins": False, "text": "", "call": None}
        node = self._call(frame, tree) or self._statement(tree, line)
        return self._facts(file, lines, tree, node, line)

    def _facts(self, file, lines, tree, node, line=1):
        """The fields of `record.Source`."""
        first, last = (node.lineno, node.end_lineno) if node else (line, line)
        if hasattr(node, "body"):  # a loop or a definition: its head alone
            last = first
        call = ast.get_source_segment("\n".join(lines), node) if isinstance(node, ast.Call) else None
        statement = self._statement(tree, first)
        begins = bool(statement) and statement.lineno == first and not lines[first - 1][: statement.col_offset].strip()
        where = {"file": str(Path(file).absolute()), "line": first, "end": last, "begins": begins}
        return {**where, "text": "\n".join(lines[first - 1 : last]), "call": call}

    @staticmethod
    def _call(frame, tree):
        line = frame.f_lineno
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        if hasattr(frame.f_code, "co_positions"):  # Python 3.11: the very expression
            at = list(frame.f_code.co_positions())[frame.f_lasti // 2]
            for node in calls:
                if (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset) == at:
                    return node
        here = [node for node in calls if node.lineno == line]
        return here[0] if len(here) == 1 else None

    @staticmethod
    def _statement(tree, line):
        around = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno <= line <= n.end_lineno]
        return min(around, key=lambda node: node.end_lineno - node.lineno, default=None)

    def guarded(self, frame):
        """Whether a frame's line stands in a `try` that an error would not leave."""
        tree = self.tree(frame.f_code.co_filename)[1] or ast.Module([], [])
        tries = (node for node in ast.walk(tree) if isinstance(node, ast.Try) and node.handlers)
        return any(node.body[0].lineno <= frame.f_lineno <= node.body[-1].end_lineno for node in tries)

    def loops(self, frame):
        """Loops around a frame's line, outermost first: (first line, last line, turns by its `range` or None)."""
        if frame is None:
            return []
        line, found = frame.f_lineno, []
        for node in ast.walk(self.tree(frame.f_code.co_filename)[1] or ast.Module([], [])):
            if isinstance(node, ast.For) and node.lineno < line <= node.end_lineno:
                found.append((node.lineno, node.end_lineno, self._turns(node.iter, frame)))
        return sorted(found)

    def once(self, frame):
        """Whether a frame's line stands in its file itself, in no loop and no function: then it runs once."""
        if frame is None or frame.f_code.co_name != "<module>":
            return False
        nodes = ast.walk(self.tree(frame.f_code.co_filename)[1] or ast.Module([], []))
        around = (node for node in nodes if isinstance(node, (ast.For, ast.While)))
        return not any(node.body[0].lineno <= frame.f_lineno <= node.body[-1].end_lineno for node in around)

    @staticmethod
    def _turns(over, frame):
        called = isinstance(over, ast.Call) and getattr(over.func, "id", None) in ("range", "xrange")
        try:
            values = eval(compile(ast.Expression(over), "<range>", "eval"), {**frame.f_globals, **frame.f_locals})
            return len(values) if called else None
        except Exception:
            return None


# --- packages that are missing --------------------------------------------------------------------------------------


class Absent:
    """Something of a package that is not installed: it can be imported and handed on, and using it is the error."""

    def __init__(self, package, name):
        self.__dict__.update(absent_package=package, absent_name=name)

    def __getattr__(self, word):
        if word.startswith("__"):
            raise AttributeError(word)
        return type(self)(self.absent_package, f"{self.absent_name}.{word}")

    def __call__(self, *args, **kwargs):
        raise ModuleNotFoundError(f"No module named {self.absent_package!r}", name=self.absent_package)

    __mro_entries__ = __iter__ = __getitem__ = __setitem__ = __enter__ = __call__

    def __bool__(self):
        return False


class Unseen(Absent):
    """Something of a package of DISPLAY that is not installed: it takes everything and does nothing."""

    def __call__(self, *args, **kwargs):
        if len(args) == 1 and inspect.isfunction(args[0]):  # a decorator
            return args[0]
        made = type(self)(self.absent_package, f"{self.absent_name}()")
        if args and hasattr(args[0], "__iter__"):  # a progress bar around what a loop goes over
            made.__dict__["absent_over"] = args[0]
        return made

    def __iter__(self):
        return iter(self.__dict__.get("absent_over", ()))

    def __getitem__(self, key):
        return self

    def __setitem__(self, key, value):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


class AbsentModule(types.ModuleType):
    """A module that is not installed."""

    def __getattr__(self, word):
        if word.startswith("__"):
            raise AttributeError(word)
        return self.absent_kind(self.absent_package, f"{self.__name__}.{word}")


class AbsentPackages(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds packages that were asked for and are not installed, with all of their modules; asked after all others."""

    def __init__(self):
        self.names = []

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if self.package(name) else None

    def hide(self):
        """Take all that was found out of `sys.modules`, where libraries look for what is there."""
        for name in [name for name, module in sys.modules.items() if isinstance(module, AbsentModule)]:
            del sys.modules[name]

    def package(self, name):
        return next((known for known in self.names if (name + ".").startswith(known + ".")), None)

    def create_module(self, spec):
        module, package = AbsentModule(spec.name), self.package(spec.name)
        module.__dict__.update(absent_package=package, absent_kind=Unseen if package in DISPLAY else Absent)
        return module

    def exec_module(self, module):
        pass


# --- samples --------------------------------------------------------------------------------------------------------


class NotSamples(Exception):
    """Data that are no arrays of as many samples; Keras itself says what it thinks of them."""


class NotInstalled(NotSamples):
    """Data that come from a package that is not there."""


def as_array(value):
    """One input or output as an array that a .npz holds without pickle."""
    if isinstance(value, Absent):
        raise NotInstalled(f"it comes from {value.absent_name}, and {value.absent_package} is not installed")
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):  # scipy.sparse
        value = value.toarray()
    elif type(value).__name__ == "RaggedTensor":
        value = value.to_tensor().numpy()
    elif type(value).__name__ == "SparseTensor":
        import tensorflow

        value = tensorflow.sparse.to_dense(value).numpy()
    elif hasattr(value, "to_numpy"):
        value = value.to_numpy()
    elif hasattr(value, "detach"):  # torch
        value = value.detach().cpu().numpy()
    elif hasattr(value, "numpy") and not isinstance(value, np.ndarray):
        value = value.numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of different length
        raise NotSamples(one_line(error)) from error
    if array.dtype == object:
        flat = array.ravel()
        text = all(isinstance(item, (str, bytes)) for item in flat[:1000])
        try:
            array = array.astype(str if text else "float32")
        except (TypeError, ValueError) as error:
            raise NotSamples(one_line(error)) from error
    if array.dtype.kind not in "biufUS":
        array = array.astype("float32")  # bfloat16 and other kinds that NumPy only borrows
    if array.ndim == 0:
        raise NotSamples("a single number is no set of samples")
    return array


def leaves(value, names=()):
    """Arrays of a structure as `fit` takes it, in the order of the net's inputs or outputs."""
    if value is None:
        return []
    if isinstance(value, dict):
        order = names if set(names) == set(value) else value
        return [leaf for name in order for leaf in leaves(value[name])]
    if is_group(value):
        return [leaf for item in value for leaf in leaves(item)]
    return [as_array(value)]


def is_group(value):
    """Whether a value is a list of arrays, one an input or output, and not itself a list of numbers."""
    several = isinstance(value, (list, tuple)) and len(value) > 0
    return several and all(isinstance(item, dict) or len(getattr(item, "shape", ())) > 0 for item in value)


def cut(value, start, stop):
    """The same structure with some of its samples."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {name: cut(item, start, stop) for name, item in value.items()}
    if is_group(value):
        return type(value)(cut(item, start, stop) for item in value)
    return value.iloc[start:stop] if hasattr(value, "iloc") else value[start:stop]


def joined(parts):
    """Batches of one input behind each other; where lengths differ, zeros fill up at the end. Also whether they did."""
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) == 1:
        return np.concatenate(parts), False
    if len({len(shape) for shape in shapes}) > 1:
        raise NotSamples("batches differ in their number of axes")
    shape = [max(sizes) for sizes in zip(*shapes)]
    filled = np.zeros((sum(map(len, parts)), *shape), parts[0].dtype)
    start = 0
    for part in parts:
        filled[(slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
        start += len(part)
    return filled, True


class Samples:
    """What `fit` was given, as arrays: `x` and `y` are lists, one array an input or output."""

    def __init__(self, x, y, weight, origin, first):
        self.x, self.y, self.weight, self.origin = x, y, weight, origin
        self.first = first  # the first batch as the user's structure (x, y, sample weights)
        self.ragged = set()
        self.total = self.drawn = len(x[0]) if x else 0
        lengths = {len(array) for array in [*x, *y] + ([] if weight is None else [weight])}
        if len(lengths) != 1 or not self.total:
            raise NotSamples("inputs, targets and weights differ in their number of samples")

    def part(self, start, stop, origin):
        """Samples start to stop, as a set of its own."""
        weight = None if self.weight is None else self.weight[start:stop]
        return Samples([a[start:stop] for a in self.x], [a[start:stop] for a in self.y], weight, origin, self.first)


def from_arrays(x, y, weight, names, batch_size):
    if isinstance(weight, (dict, list, tuple)):
        weight = None
    if weight is not None:
        weight = as_array(weight)
    first = tuple(cut(part, 0, batch_size) for part in (x, y, weight))
    origin = "sparse" if any(hasattr(part, "tocsr") for part in (*_listed(x), *_listed(y))) else "arrays"
    return Samples(leaves(x, names[0]), leaves(y, names[1]), weight, origin, first)


def _listed(value):
    return list(value.values()) if isinstance(value, dict) else value if is_group(value) else [value]


def batches_of(source, steps, limit):
    """The batches of an iterable that `fit` takes, its kind, and the batches of an epoch (None: no end is known)."""
    kind = type(source)
    bases = {base.__name__ for base in kind.__mro__}
    if bases & {"PyDataset", "Sequence"} and hasattr(source, "__getitem__"):
        count = len(source)
        per_epoch = min(count, steps) if steps else count
        batch = len(leaves(unpacked(source[0])[0])[0])
        wanted = max(1, min(per_epoch, -(-limit // max(1, batch))))
        picked = np.unique(np.linspace(0, per_epoch - 1, wanted).round().astype(int))  # from all of an epoch
        return (source[int(index)] for index in picked), "sequence", per_epoch
    if "DatasetV2" in bases:
        cardinality = int(source.cardinality().numpy())
        per_epoch = steps or (cardinality if cardinality > 0 else None)
        return iter(source), "tf.data", per_epoch
    if hasattr(source, "dataset") and hasattr(source, "batch_sampler"):  # torch's DataLoader
        return iter(source), "generator", steps or len(source)
    return iter(source), "generator", steps


def unpacked(batch):
    """(x, y, sample weights) of one batch."""
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    if not 1 <= len(parts) <= 3:
        raise NotSamples(f"a batch has {len(parts)} parts; fit takes (x, y) or (x, y, sample_weight)")
    return parts + (None,) * (3 - len(parts))


def from_batches(source, steps, names, limit):
    """Draw an epoch, or as much of it as is kept or can be drawn in time."""
    iterator, origin, per_epoch = batches_of(source, steps, limit)
    columns, weights, first, drawn, count = None, [], None, 0, 0
    end, mark, repeated = time.monotonic() + DRAW_SECONDS, None, False
    for batch in iterator:
        parts = unpacked(batch)
        row = [leaves(parts[0], names[0]), leaves(parts[1], names[1])]
        if first is None:
            first, columns, mark = parts, [[[] for _ in side] for side in row], row[0][0].tobytes()
        elif per_epoch is None and row[0][0].tobytes() == mark:  # an epoch of a generator without an end
            per_epoch, repeated = count, True
            break
        if [len(side) for side in row] != [len(side) for side in columns]:
            raise NotSamples("batches differ in their number of inputs or targets")
        for side, arrays in zip(columns, row):
            for column, array in zip(side, arrays):
                column.append(array)
        if parts[2] is not None and not isinstance(parts[2], (dict, list, tuple)):
            weights.append(as_array(parts[2]))
        drawn, count = drawn + len(row[0][0]), count + 1
        if drawn >= limit or (per_epoch and count >= per_epoch and origin != "sequence") or time.monotonic() > end:
            break
    else:
        per_epoch = per_epoch if origin == "sequence" else count
    if not drawn:
        raise NotSamples("it yields no batch")
    sides = [[joined(column) for column in side] for side in columns]
    weight = np.concatenate(weights) if len(weights) == count else None
    samples = Samples([a for a, _ in sides[0]], [a for a, _ in sides[1]], weight, origin, first)
    samples.ragged = {index for index, (_, padded) in enumerate(sides[0]) if padded}
    if per_epoch is None:
        samples.total = None
    elif not repeated and count < per_epoch:
        samples.total = round(drawn / count * per_epoch)  # a guess: the batches not seen are like those seen
    return samples


def from_call(arguments, names, batch_size, limit):
    """(training samples, validation samples or None, validation_split or None) of the arguments of `fit`."""
    x, y, steps = arguments.get("x"), arguments.get("y"), arguments.get("steps_per_epoch")
    if arguments.get("batches"):
        train = from_batches(arguments["batches"], None, names, limit)
        train.origin = "batches"
    elif is_batches(x):
        train = from_batches(x, steps, names, limit)
    else:
        train = from_arrays(x, y, arguments.get("sample_weight"), names, batch_size)
    held, split = arguments.get("validation_data"), arguments.get("validation_split") or None
    if held is not None:
        if is_batches(held):
            return train, from_batches(held, arguments.get("validation_steps"), names, limit), None
        x, y, weight = unpacked(held)
        return train, from_arrays(x, y, weight, names, batch_size), None
    if split:
        at = math.floor(train.total * (1.0 - split))  # as Keras does it: the last samples
        return train.part(0, at, train.origin), train.part(at, None, "split"), float(split)
    return train, None, None


def is_batches(value):
    """Whether `fit` takes batches from a value: tf.data, Sequence, PyDataset, DataLoader, generator, iterator."""
    if value is None or isinstance(value, (dict, list, tuple, str)) or hasattr(value, "shape"):
        return False
    return hasattr(value, "__iter__") or hasattr(value, "__getitem__")


def few_samples(x):
    """Whether a call of `fit` gets so few samples that a loop around it may well give it others in every turn."""
    return hasattr(x, "shape") and len(x.shape) > 0 and 0 < x.shape[0] <= FEW_SAMPLES


def classes_of(y):
    """A class number for every sample, or None where targets are no classes."""
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf":
        head = y[:BLOCK]
        if ((head == 0) | (head == 1)).all() and (head.sum(axis=1) == 1).all():
            rest = (((block == 0) | (block == 1)).all() and (block.sum(axis=1) == 1).all() for block in blocks(y))
            return y.argmax(axis=1) if all(rest) else None
        return None
    if y.ndim > 2 or (y.ndim == 2 and y.shape[1] != 1):
        return None
    values, inverse = np.unique(y.reshape(len(y)), return_inverse=True)
    whole = y.dtype.kind in "biuUS" or (np.isfinite(values).all() and (values == np.round(values)).all())
    few = len(values) <= max(2, min(1000 if whole else 50, len(y) // 3))
    return inverse.reshape(-1) if few else None


def kept(samples, limit):
    """Indices of the samples that the record keeps, in their order; every class keeps its share."""
    total = samples.drawn
    size = sum(array.nbytes // max(1, len(array)) for array in samples.x + samples.y)
    limit = max(1, min(limit, MAX_BYTES // max(1, size)))
    if total <= limit:
        return None
    draw = np.random.RandomState(0)
    groups = [np.arange(total)]
    if len(samples.y) == 1:
        classes = classes_of(samples.y[0])
        if classes is not None:
            groups = [np.flatnonzero(classes == number) for number in np.unique(classes)]
    parts = [draw.choice(group, max(1, limit * len(group) // total), replace=False) for group in groups]
    return np.sort(np.concatenate(parts))


def blocks(array):
    """An array in pieces of `BLOCK` samples: what looks at all of it must not copy all of it."""
    return (array[start : start + BLOCK] for start in range(0, len(array), BLOCK))


def values_of(array, name, ragged=False):
    """Facts on one input or output over all its samples: the fields of `record.Values`."""
    shape = [None, *array.shape[2:]] if ragged else list(array.shape[1:])
    finite = array.dtype.kind != "f" or all(bool(np.isfinite(block).all()) for block in blocks(array))
    return {"name": name, "shape": shape, "finite": finite}


def data_facts(samples, names, limit, prefix, arrays):
    """The fields of `record.Data`; the kept samples go to `arrays` under names that begin with `prefix`."""
    index = kept(samples, limit)
    for side, group in (("x", samples.x), ("y", samples.y)):
        for number, array in enumerate(group):
            chosen = array if index is None else array[index]
            arrays[f"{prefix}{side}{number}"] = chosen.astype("float32") if chosen.dtype == "float64" else chosen
    if samples.weight is not None:
        arrays[f"{prefix}w"] = samples.weight if index is None else samples.weight[index]
    named = _fitting(names[0], len(samples.x)), _fitting(names[1], len(samples.y))
    return {
        "inputs": [values_of(a, named[0][i], ragged=i in samples.ragged) for i, a in enumerate(samples.x)],
        "targets": [values_of(a, named[1][i]) for i, a in enumerate(samples.y)],
        "samples": {"total": samples.total, "kept": samples.drawn if index is None else len(index)},
        "origin": samples.origin,
    }


def _fitting(names, count):
    return list(names) if len(names) == count else [str(number) for number in range(count)]


# --- the net --------------------------------------------------------------------------------------------------------


class Net:
    """What can be said of a Keras model, of Keras 3 or 2."""

    def __init__(self, keras, model):
        self.keras, self.model = keras, model
        self.custom = []
        self.kind = "subclass"
        self.same = None  # a sequential or functional net that computes the same, where there is one
        self.followed = False  # made of Keras' own layers by `follow`
        own = is_keras(type(model))
        if own and isinstance(model, keras.Sequential):
            self.kind, self.same = "sequential", model
        elif own and type(model).__name__ in ("Functional", "Model") and getattr(model, "inputs", None):
            self.kind, self.same = "functional", model
        for name in ("train_step", "compute_loss"):
            method = getattr(type(model), name, None)
            if method is not None and not is_keras(method):
                self.custom.append(f"{name} of {type(model).__name__}")

    def build(self, x):
        """Give a net without input shapes its weights, from samples in the user's structure."""
        if not self.model.built or not self.model.weights:
            self.model(_tensors(cut(x, 0, 2)), training=False)

    def follow(self, x):
        """A functional net of Keras' own layers that predicts the same as one that is subclassed or has others in it.

        It is drawn by a call on symbolic inputs, which shows what is inside a `call` or a Lambda.
        """
        if self.kind == "functional" and len(self.model.inputs) + len(self.model.outputs) > 2:
            self.same = self.keras.Model(list(self.model.inputs), list(self.model.outputs), name=self.model.name)
        opaque = self._opaque()
        if self.same is not None and not opaque:
            return
        with contextlib.suppress(Exception):  # whatever the user's `call` does with symbolic inputs
            few = _tensors(cut(x, 0, 2))
            expected = self.model(few, training=False) if self._trains_apart() else self.model(few)
            ends = getattr(self.model, "inputs", None) and getattr(self.model, "outputs", None)
            if ends and not opaque:  # functional at heart
                inputs, outputs = self.model.inputs, self.model.outputs
            else:
                inputs = _map(few, lambda tensor: self.keras.Input(tuple(tensor.shape)[1:], dtype=tensor.dtype))
                outputs = self._through(inputs)
            drawn = self.keras.Model(inputs, outputs)
            config = json.loads(drawn.to_json())
            self._clean(config)
            same = self.keras.models.model_from_json(json.dumps(config))
            same.set_weights(drawn.get_weights())
            both = leaves(expected), leaves(same(few, training=False))
            agree = all(np.allclose(mine, its, rtol=1e-4, atol=1e-5) for mine, its in zip(*both))
            if agree and len(same.trainable_weights) == len(self.model.trainable_weights):
                self.same, self.followed = same, True

    def _through(self, inputs):
        """Outputs for symbolic inputs; the user's own layers are followed into Keras' layers inside them."""
        kinds = self._opaque()
        calls = {kind: vars(kind).get("__call__") for kind in kinds}
        try:
            for kind in kinds:
                kind.__call__ = _called
            with functions_as_layers(self.keras):
                return self.model.call(inputs, training=True) if self._trains_apart() else self.model.call(inputs)
        finally:
            for kind, call in calls.items():
                if call is None:
                    del kind.__call__
                else:
                    kind.__call__ = call

    def _opaque(self):
        """Kinds of layers that Keras cannot write down: the user's own and, as far as it has operations, Lambda."""
        kinds = {type(layer) for layer in self.model._flatten_layers(include_self=False)}
        operations = hasattr(self.keras, "ops")
        return {kind for kind in kinds if not is_keras(kind) or (operations and kind.__name__ == "Lambda")}

    def _trains_apart(self):
        return "training" in inspect.signature(self.model.call).parameters

    def usual_step(self, first):
        """Let a train_step of the script's own pass that does what Keras' does; a sentence on it, if so."""
        own = f"train_step of {type(self.model).__name__}"
        if own not in self.custom or not self._steps_alike(first):
            return []
        self.custom.remove(own)
        return [f"Its {own} changes the weights as Keras' own does (tried with one batch), which the experiment uses."]

    def _steps_alike(self, first):
        """Whether a step of the script's own leads from the same weights to the same ones as Keras' does."""
        model = self.model
        try:
            model.optimizer.build(model.trainable_variables)
            kept = [*model.variables, *model.optimizer.variables]
            start, ends = [np.array(value) for value in kept], []
            before = [np.array(value) for value in model.trainable_variables]
            batch = tuple(_tensors(part) for part in first if part is not None)
            for step in (type(model).train_step, self.keras.Model.train_step):
                self.keras.utils.set_random_seed(0)
                step(model, batch)
                ends.append([np.array(value) for value in model.trainable_variables])
                for variable, value in zip(kept, start):
                    variable.assign(value)
            moved = any(np.any(a != b) for a, b in zip(before, ends[1]))
            return moved and all(np.allclose(a, b, rtol=1e-3, atol=1e-7) for a, b in zip(*ends))
        except Exception:  # whatever the script's step needs; then nothing is known of it
            return False

    def names(self):
        """Names of inputs and outputs, as far as the net knows them."""
        inputs = [re.split(r"[:/]", tensor.name)[0] for tensor in self._ends("inputs")]
        outputs = getattr(self.model, "output_names", None) or []
        return inputs, list(outputs)

    def shapes(self, end):
        return [[None if size is None else int(size) for size in tensor.shape] for tensor in self._ends(end)]

    def _ends(self, end):
        net = self.same if self.same is not None else self.model
        try:
            return list(getattr(net, end, None) or [])
        except (AttributeError, ValueError):  # a net that is not built
            return []

    def layers(self, made):
        """Facts on all layers: the fields of `record.Layer`."""
        found, seen = [], set()

        def walk(holder, name):
            for layer in holder._flatten_layers(include_self=False, recursive=False):
                if id(layer) in seen or not hasattr(layer, "get_config"):
                    continue
                seen.add(id(layer))
                custom = not is_keras(type(layer))
                facts = {"name": layer.name, "kind": type(layer).__name__, "trainable": bool(layer.trainable)}
                found.append({**facts, "custom": custom, "inside": name, "at": made(layer)})
                if custom and not self.followed:
                    self.custom.append(f"layer {type(layer).__name__}")
                elif type(layer).__name__ == "Lambda" and not self.followed:
                    self.custom.append(f"Lambda layer {layer.name!r}")
                elif hasattr(layer, "get_vocabulary"):
                    self.custom.append(f"layer {type(layer).__name__} (its vocabulary)")
                walk(layer, layer.name)

        walk(self.model, None)
        return found

    def json(self, samples):
        """Its configuration as text, or None."""
        if self.same is None:
            self.custom.append(f"subclassed model {type(self.model).__name__}")
            return None
        try:
            config = json.loads(self.same.to_json())
        except Exception as error:
            self.custom.append(f"model {self.model.name!r} ({one_line(error, 120)})")
            return None
        config.pop("compile_config", None)
        self._clean(config)
        self.fill(config, samples)
        self.custom += _foreign(config)
        return json.dumps(config)

    def _clean(self, config):
        """Take the marks of `follow` out of a configuration, and regularizers that were set too late to act."""
        idle = {layer.name: words for layer, words in self.late()}
        for layer in config["config"].get("layers", []):
            for node in layer.get("inbound_nodes", []):
                for words in _words(node):
                    words.pop("training", None)
            for word in idle.get(layer["config"].get("name"), ()):
                layer["config"][word] = None
            for word, value in layer["config"].items():
                if isinstance(value, dict) and value.get("class_name") == "function" and value["module"] == "builtins":
                    layer["config"][word] = self._function(layer["config"]["name"], word, value)

    def _function(self, name, word, value):
        """An argument that is a function: tf.nn.softmax, called softmax_v2 inside TensorFlow, is Keras' softmax."""
        found = [getattr(layer, word, None) for layer in self.model._flatten_layers() if layer.name == name]
        short = re.sub(r"_v\d$", "", value["config"]) if isinstance(value["config"], str) else None
        own = found and is_keras(found[0]) and short is not None and hasattr(self.keras.activations, short)
        return short if own else value

    def fill(self, config, samples):
        """Sizes that a sequential net leaves open, from the samples: some layers of Keras 3 need them."""
        first = config["config"]["layers"][0]
        for key in ("batch_shape", "batch_input_shape"):
            shape = first["config"].get(key)
            if self.kind == "sequential" and shape and len(shape) == samples.x[0].ndim and not samples.ragged:
                first["config"][key] = [shape[0], *samples.x[0].shape[1:]]

    def late(self):
        """Layers with regularizers that were set after the layer was built: Keras takes no notice of them."""
        found = []
        for layer in self.model._flatten_layers(include_self=False):
            words = [word for word in dir(type(layer)) + list(vars(layer)) if word.endswith("_regularizer")]
            words = [word for word in dict.fromkeys(words) if getattr(layer, word, None) is not None]
            words = [word for word in words if word != "activity_regularizer" and _is_late(layer, word)]
            if words:
                found.append((layer, words))
        return found


def _called(layer, *args, **kwargs):
    """A layer's own `call`, with as much of Keras' arguments as it takes."""
    takes = inspect.signature(layer.call).parameters
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes.values()):
        kwargs = {name: value for name, value in kwargs.items() if name in takes}
    return layer.call(*args, **kwargs)


SAME_NAME = """
abs add cos divide exp log matmul maximum minimum multiply negative sign sin sqrt square subtract cast expand_dims
one_hot squeeze stack tile transpose clip max mean min prod std sum var
"""
OPERATIONS = {  # in keras.ops, by what TensorFlow, its `math` and Keras' old backend call them
    **{name: name for name in SAME_NAME.split()},
    **{f"reduce_{name}": name for name in ("max", "mean", "min", "prod", "std", "sum")},
    **{"reduce_variance": "var", "clip_by_value": "clip", "pow": "power", "dot": "matmul"},
    **{"permute_dimensions": "transpose", "l2_normalize": "normalize"},
}
ARGUMENTS = {
    **{"depth": "num_classes", "keep_dims": "keepdims", "multiples": "repeats", "pattern": "axes", "perm": "axes"},
    **{"clip_value_min": "x_min", "min_value": "x_min", "clip_value_max": "x_max", "max_value": "x_max"},
}


@contextlib.contextmanager
def functions_as_layers(keras):
    """While it lasts, functions in a user's `call` are layers or operations, where they are given symbolic inputs.

    The functions are TensorFlow's and those of Keras' old backend.
    """
    import tensorflow

    def reshape(tensor, shape, name=None):
        return keras.layers.Reshape([int(size) for size in shape[1:]])(tensor)

    def concat(values, axis=-1, name=None):
        return keras.layers.Concatenate(axis=axis)(values)

    backend = getattr(keras, "backend", None)
    spaces = [tensorflow, tensorflow.nn, tensorflow.math, backend]
    layers = {"reshape": reshape, "concat": concat, "concatenate": concat}
    for name in ("relu", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus", "leaky_relu"):
        layers[name] = functools.partial(_activated, keras, name)
    if operations := getattr(keras, "ops", None):
        for name, its in OPERATIONS.items():
            layers.setdefault(name, functools.partial(_operated, getattr(operations, its)))
    made = [(space, name, layer) for name, layer in layers.items() for space in spaces if hasattr(space, name)]
    if inner := sys.modules.get("keras.src.ops"):  # where Keras converts what is a tensor already
        made.append((inner, "convert_to_tensor", lambda tensor, *_, **__: tensor))
    kept = [(space, name, getattr(space, name)) for space, name, _ in made]

    def either(new, old):
        def function(*args, **kwargs):
            given = [*args, *kwargs.values()][:1]
            given = given[0][:1] if given and isinstance(given[0], (list, tuple)) else given
            symbolic = given and type(given[0]).__name__ == "KerasTensor"
            return (new if symbolic else old)(*args, **kwargs)

        return function

    try:
        for (space, name, new), (_, _, old) in zip(made, kept):
            setattr(space, name, either(new, old))
        yield
    finally:
        for space, name, old in kept:
            setattr(space, name, old)


def _operated(operation, *args, name=None, **kwargs):
    """One of keras.ops in the place of a function whose arguments have other names; its first is the tensor."""
    named = {ARGUMENTS.get(word, word): value for word, value in kwargs.items()}
    if not args:
        args = (named.pop(next(iter(named))),)
    return operation(*args, **named)


def _activated(keras, name, tensor, axis=-1, **_):
    return keras.layers.Softmax(axis)(tensor) if axis != -1 else keras.layers.Activation(name)(tensor)


def _is_late(layer, word):
    variable = getattr(layer, word[: -len("_regularizer")], None)
    if not layer.built or variable is None:
        return False
    if hasattr(variable, "regularizer"):  # Keras 3
        return variable.regularizer is None
    return hasattr(layer, "_callable_losses") and not layer._callable_losses


def _tensors(value):
    import tensorflow

    return _map(value, lambda item: tensorflow.convert_to_tensor(as_array(item)))


def _map(value, function):
    if isinstance(value, dict):
        return {name: _map(item, function) for name, item in value.items()}
    if is_group(value):
        return type(value)(_map(item, function) for item in value)
    return function(value)


def _words(node):
    """The call arguments in a node of a functional net, by Keras 3 a dict and by Keras 2 lists."""
    if isinstance(node, dict):
        return [node.get("kwargs", {})]
    return [entry[3] for entry in node if isinstance(entry, list) and len(entry) > 3 and isinstance(entry[3], dict)]


def _foreign(config):
    """What a configuration names that is not Keras' own, like "function my_activation"."""
    if isinstance(config, list):
        return [name for item in config for name in _foreign(item)]
    if not isinstance(config, dict):
        return []
    kind, package = config.get("class_name"), (config.get("module") or "keras").partition(".")[0]
    if kind in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):  # Keras 2
        return [f"operation {config.get('name')}"]
    if kind == "function" and isinstance(config.get("config"), str) and package not in KERAS:
        return [f"function {config['config']}"]
    own = [] if kind is None or package in (*KERAS, "builtins") else [f"{config['class_name']} of {config['module']}"]
    return own + [name for item in config.values() for name in _foreign(item)]


# --- compile settings -----------------------------------------------------------------------------------------------


def optimizer_facts(keras, optimizer):
    """The fields of `record.Optimizer`, in the words of the script's Keras."""
    custom = not is_keras(type(optimizer))
    try:
        config = plain(optimizer.get_config())
    except Exception:
        config, custom = {}, True
    rate = config.get("learning_rate")
    try:
        current = optimizer.learning_rate
        current = current(0) if callable(current) and not hasattr(current, "numpy") else current
        first = float(current)
    except Exception:
        first = float(rate) if isinstance(rate, (int, float)) else float("nan")
    return {"name": type(optimizer).__name__, "config": config, "learning_rate": first, "custom": custom}


def loss_facts(keras, loss):
    """The fields of `record.Loss`."""
    if loss is None:
        return None
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except (ValueError, TypeError):
            return {"name": loss, "config": {}, "custom": False}  # Keras will say that it does not know it
    custom = not is_keras(loss if inspect.isfunction(loss) else type(loss))
    if isinstance(loss, keras.losses.Loss):
        config = {} if custom else _changed(loss)
        name = type(loss).__name__
        return {"name": name if custom else snake(name), "config": config, "custom": custom}
    return {"name": getattr(loss, "__name__", type(loss).__name__), "config": {}, "custom": custom}


def _changed(loss):
    """Arguments of a loss that are not as by default."""
    try:
        config, usual = _arguments(loss), _arguments(type(loss)())
    except Exception:
        return {}
    return {
        key: value for key, value in config.items() if key not in ("name", "fn", "dtype") and value != usual.get(key)
    }


def _arguments(loss):
    return plain({**loss.get_config(), **getattr(loss, "_fn_kwargs", {})})  # Huber's configuration lacks its delta


def metric_facts(metric):
    """The fields of `record.Metric`."""
    if isinstance(metric, str):
        return {"name": {"acc": "accuracy"}.get(metric, metric), "custom": False}
    function = inspect.isfunction(metric) or inspect.isbuiltin(metric)
    custom = not is_keras(metric if function else type(metric))
    name = getattr(metric, "__name__", type(metric).__name__)
    return {"name": name if custom else snake(name), "custom": custom}


def by_output(value, names, count):
    """What `compile` was given for every output: a list of as many entries."""
    if isinstance(value, dict):
        return [value.get(name) for name in names] if set(value) & set(names) else [*value.values()][:count]
    if isinstance(value, (list, tuple)) and len(value) == count:
        return list(value)
    return [value] * count


def metrics_by_output(metrics, names, count):
    if not metrics:
        return [[] for _ in range(count)]
    if count == 1 and isinstance(metrics, (list, tuple)):
        metrics = [[metric for item in metrics for metric in (item if isinstance(item, (list, tuple)) else [item])]]
    elif isinstance(metrics, (list, tuple)) and not any(isinstance(item, (list, tuple)) for item in metrics):
        metrics = [metrics] * count if len(metrics) != count else [[metric] for metric in metrics]
    rows = by_output(metrics, names, count)
    return [[m for m in (row if isinstance(row, (list, tuple)) else [row]) if m is not None] for row in rows]


def compile_facts(keras, given, model, names):
    """The fields of `record.Compiled` from the arguments of `compile`."""
    count = max(1, len(names))
    loss = given.get("loss")
    one = isinstance(loss, (list, tuple)) and count == 1 and len(loss) == 1
    losses = [loss_facts(keras, item) for item in by_output(loss[0] if one else loss, names, count)]
    weights = given.get("loss_weights")
    if weights is not None:
        weights = [1.0 if w is None else float(w) for w in by_output(weights, names, count)]
    metrics = [metrics_by_output(given.get(key), names, count) for key in ("metrics", "weighted_metrics")]
    return {
        "optimizer": optimizer_facts(keras, model.optimizer),
        "losses": losses,
        "loss_weights": weights,
        "metrics": [[metric_facts(metric) for metric in row] for row in metrics[0]],
        "weighted_metrics": [[metric_facts(metric) for metric in row] for row in metrics[1]],
        "at": given.get("at"),
    }


def callback_facts(callback, epochs, rate):
    """The fields of `record.Callback`; a schedule by function is written as its values by epoch."""
    settings = {key: plain(value) for key, value in vars(callback).items() if not key.startswith("_")}
    settings = {key: value for key, value in settings.items() if isinstance(getattr(callback, key), SIMPLE)}
    if callable(getattr(callback, "schedule", None)):
        settings["learning_rates"] = scheduled(callback.schedule, epochs, rate)
    name = type(callback).__name__
    return {"name": name, "settings": settings, "custom": not is_keras(type(callback)) or name == "LambdaCallback"}


def scheduled(schedule, epochs, rate):
    """What LearningRateScheduler's function says for every epoch; empty where it fails."""
    rates = []
    try:
        for epoch in range(min(epochs, 1000)):
            try:
                rates.append(float(schedule(epoch, rates[-1] if rates else rate)))
            except TypeError:  # a function of the epoch alone
                rates.append(float(schedule(epoch)))
    except Exception:
        return []
    return rates


def replace(name, original, new):
    """Put a function in the place of another in every module of Keras and TensorFlow that has it under this name."""
    for path, module in list(sys.modules.items()):
        if path.partition(".")[0] in KERAS and vars(module).get(name) is original:
            setattr(module, name, new)


def initializing(name):
    """Whether a module is being imported at this moment."""
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False)


# --- running the script ---------------------------------------------------------------------------------------------


class Recorder:
    """Watches one script: patches Keras as it is imported, and writes the record at the call that was asked for."""

    def __init__(self, options, script, shown):
        self.options, self.script = options, script
        self.code = Code(script, shown)
        self.patched = set()
        self.busy = 0  # inside Keras' own training: what happens there is not the user's call
        self.made = weakref.WeakKeyDictionary()  # layer → source
        self.layers = []  # all of them, kept alive: is a regularizer given to any?
        self.compiled = weakref.WeakKeyDictionary()  # model → arguments of compile
        self.origins = weakref.WeakKeyDictionary()  # layer → where its weights come from
        self.regularizers = []  # (object, source)
        self.called_regularizers = set()
        self.seeds = {}
        self.fits = []
        self.batches = None  # of a train_on_batch loop
        self.loops = set()  # lines of train_on_batch loops that were passed over
        self.translated, self.stand_ins, self.notes, self.questions = [], [], [], []
        self.absent = AbsentPackages()

    # - patches

    def install(self):
        """Watch imports, so that Keras, NumPy and matplotlib are patched before the script's next line."""
        original = builtins.__import__

        def watched(name, *args, **kwargs):
            frame = sys._getframe(1)
            if self.absent.package(name) and self.from_top(args) and not self.code.is_user(frame.f_code.co_filename):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)  # libraries ask what there is
            root = "keras" if name in NEED_KERAS else name.partition(".")[0]
            if root in KERAS and root != name and root not in self.patched:
                original(root)  # patched before its parts are asked for: some parts are old spellings
                self.after_import()
            try:
                module = original(self.current(name, frame), *args, **kwargs)
            except ModuleNotFoundError as error:
                if not (self.from_top(args) and self.can_do_without(error.name, name, frame)):
                    raise
                self.absent.names.append(error.name)
                module = original(name, *args, **kwargs)
            self.after_import()
            if self.absent.package(name):
                self.absent.hide()
            return module

        sys.meta_path.append(self.absent)
        builtins.__import__ = watched
        builtins.input = self.answer
        self.spellings.of_numpy(np, self.tell, self.code.is_user)
        np.random.seed = self.watch_seed(np.random.seed, "numpy.random.seed")
        random.seed = self.watch_seed(random.seed, "random.seed")

    def current(self, name, frame):
        """The name of a module in today's TensorFlow: scripts once took Keras from its inside."""
        old = "tensorflow.python.keras"
        inside = (name + ".").startswith(old + ".") and "keras" in self.patched
        return "tensorflow.keras" + name[len(old) :] if inside and self.code.is_user(frame.f_code.co_filename) else name

    @staticmethod
    def from_top(args):
        """Whether an import names its module in full, by the arguments of `__import__` after the name."""
        return len(args) < 4 or args[3] == 0

    def can_do_without(self, missing, name, frame):
        """Whether the user's own import of a missing package may pass: what is never used need not be there."""
        asked = missing and (name + ".").startswith(missing + ".") and missing.partition(".")[0] not in KERAS
        return bool(asked) and self.code.is_user(frame.f_code.co_filename) and not self.code.guarded(frame)

    def after_import(self):
        for name in WATCHED:
            module = sys.modules.get(name)
            if module is None or name in self.patched or initializing(name):
                continue
            if name in ("keras", "tf_keras") and initializing("tensorflow"):
                continue
            self.patched.add(name)
            if name in LIBRARIES:
                self.spellings.LIBRARIES[name](module)
            elif name == "matplotlib":
                module.use = lambda *args, **kwargs: None  # a window would need a screen
            elif name == "tensorflow":
                original = module.random.set_seed
                replace("set_seed", original, self.watch_seed(original, "tf.random.set_seed"))
            else:
                self.patch_keras(name, module)

    @functools.cached_property
    def spellings(self):
        """The file beside this one that understands old spellings."""
        spec = importlib.util.spec_from_file_location("regbench_spellings", HERE / "spellings.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def answer(self, prompt=""):
        """In place of `input`: nobody is there to answer."""
        self.questions.append(one_line(prompt, 60))
        return ""

    def watch_seed(self, original, label):
        @alike(original)
        def seed(*args, **kwargs):
            if self.code.is_user(sys._getframe(1).f_code.co_filename):
                value = args[0] if args else next(iter(kwargs.values()), None)
                if isinstance(value, (int, np.integer)):
                    self.seeds[label] = int(value)
            return original(*args, **kwargs)

        return seed

    def patch_keras(self, name, keras):
        version = getattr(keras, "__version__", "2")
        if hasattr(keras.utils, "set_random_seed"):
            original = keras.utils.set_random_seed
            replace("set_random_seed", original, self.watch_seed(original, "keras.utils.set_random_seed"))
        for drawing in ("plot_model", "model_to_dot"):  # they need Graphviz, which this machine may lack
            if hasattr(keras.utils, drawing):
                replace(drawing, getattr(keras.utils, drawing), lambda *args, **kwargs: None)
        self.watch_layers(keras)
        self.watch_weights(keras)
        self.watch_regularizers(keras)
        self.watch_training(keras)
        if version.startswith("3"):
            self.spellings.apply(keras, self.tell)
        self.watch_downloads(name)

    def tell(self, old, new):
        line = f"{old} as {new}"
        if line not in self.translated:
            self.translated.append(line)

    def watch_layers(self, keras):
        recorder, original = self, keras.layers.Layer.__init__

        @alike(original)
        def init(layer, *args, **kwargs):
            def own(frame):
                return frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is layer

            original(layer, *args, **kwargs)
            recorder.layers.append(layer)
            recorder.made[layer] = recorder.code.source(recorder.code.frame(skip=own))

        keras.layers.Layer.__init__ = init

    def watch_weights(self, keras):
        def marking(method, origin):
            @alike(method)
            def wrapped(layer, *args, **kwargs):
                caller = sys._getframe(1).f_code.co_filename
                if "applications" in caller.replace("\\", "/").split("/"):
                    self.origins[layer] = "pretrained"
                elif not self.busy and self.code.is_user(caller):
                    self.origins[layer] = origin
                return method(layer, *args, **kwargs)

            return wrapped

        keras.Model.load_weights = marking(keras.Model.load_weights, "loaded")
        keras.layers.Layer.set_weights = marking(keras.layers.Layer.set_weights, "loaded")
        load = keras.models.load_model

        @alike(load)
        def load_model(*args, **kwargs):
            model = load(*args, **kwargs)
            self.origins[model] = "loaded"
            return model

        replace("load_model", load, load_model)

    def watch_regularizers(self, keras):
        base = keras.regularizers.Regularizer
        waiting = list(base.__subclasses__())
        while waiting:
            kind = waiting.pop()
            waiting += kind.__subclasses__()
            if "__init__" in vars(kind):
                kind.__init__ = self.watched_init(kind.__init__)
            if "__call__" in vars(kind):
                kind.__call__ = self.watched_call(kind.__call__)

    def watched_init(self, original):
        @alike(original)
        def init(regularizer, *args, **kwargs):
            original(regularizer, *args, **kwargs)
            frame = sys._getframe(1)
            between = ("regularizers.py", "spellings.py")  # `l1_l2` calls `L1L2`
            while frame is not None and Path(frame.f_code.co_filename).name in between:
                frame = frame.f_back
            if frame is not None and self.code.is_user(frame.f_code.co_filename):
                self.regularizers.append((regularizer, self.code.source(frame)))

        return init

    def watched_call(self, original):
        @alike(original)
        def call(regularizer, *args, **kwargs):
            self.called_regularizers.add(id(regularizer))
            return original(regularizer, *args, **kwargs)

        return call

    def watch_training(self, keras):
        model = keras.Model
        compiling, fit, on_batch = model.compile, model.fit, model.train_on_batch

        @alike(compiling)
        def compile(net, *args, **kwargs):
            try:
                given = dict(inspect.signature(compiling).bind(net, *args, **kwargs).arguments)
                given.update(given.pop("kwargs", {}))
                given["at"] = self.code.source(self.code.frame())
                self.compiled[net] = given
            except TypeError:
                pass  # Keras says it better
            return compiling(net, *args, **kwargs)

        @alike(fit)
        def fitting(net, *args, **kwargs):
            if self.busy:
                return fit(net, *args, **kwargs)
            arguments = dict(inspect.signature(fit).bind(net, *args, **kwargs).arguments)
            arguments.pop("self", None)
            return self.on_fit(keras, net, fit, arguments)

        @alike(on_batch)
        def batch(net, *args, **kwargs):
            if self.busy:
                return on_batch(net, *args, **kwargs)
            arguments = dict(inspect.signature(on_batch).bind(net, *args, **kwargs).arguments)
            return self.on_batch(keras, net, lambda: on_batch(net, *args, **kwargs), arguments)

        model.compile, model.fit, model.train_on_batch = compile, fitting, batch
        if hasattr(model, "evaluate"):
            for name in ("evaluate", "predict", "test_on_batch", "predict_on_batch"):
                setattr(model, name, self.unwatched(getattr(model, name)))
        for kind in (keras.optimizers.Optimizer, *keras.optimizers.Optimizer.__mro__[1:]):
            for name in ("apply", "apply_gradients"):
                if name in vars(kind) and is_keras(kind):
                    setattr(kind, name, self.watched_update(getattr(kind, name)))

    def unwatched(self, original):
        @alike(original)
        def method(*args, **kwargs):
            self.busy += 1
            try:
                return original(*args, **kwargs)
            finally:
                self.busy -= 1

        return method

    def watched_update(self, original):
        @alike(original)
        def update(optimizer, *args, **kwargs):
            if not self.busy and not self.options.fit:
                self.own_loop()
            return original(optimizer, *args, **kwargs)

        return update

    def watch_downloads(self, name):
        for path, module in list(sys.modules.items()):
            if path.startswith(f"{name}.") and "datasets" in path and hasattr(module, "get_file"):
                module.get_file = self.from_mirror(module.get_file)

    def from_mirror(self, original):
        @alike(original)
        def get_file(fname=None, origin=None, **kwargs):
            cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"), "datasets")
            found, stand_in = (None, None) if (cache / str(fname)).exists() else mirrored(str(fname), self.options.out)
            if found:
                self.stand_ins += [stand_in] if stand_in and stand_in not in self.stand_ins else []
                return str(found)
            return original(fname, origin, **kwargs)

        return get_file

    # - what the script does

    def wanted(self, index, net, at):
        """Whether a call is the one to record: the first, the n-th, or that of the net with this name."""
        fit = self.options.fit
        if not fit:
            return True
        if fit.isdigit():
            return index == int(fit)
        variable = re.match(r"\s*(?:[\w, ]+=\s*)?(\w+)\.", (at or {}).get("call") or (at or {}).get("text") or "")
        return fit in (net.name, variable and variable.group(1))

    def call_facts(self, net, method):
        frame = self.code.frame()
        at = self.code.source(frame)
        text = (at or {}).get("call") or (at or {}).get("text") or ""
        named = re.search(r"\.(fit_generator|train_on_batch|fit)\b", text)
        method = named.group(1) if named and method == "fit" else method
        once = self.code.once(frame)
        return frame, {
            "index": len(self.fits) + 1,
            "method": method,
            "model": net.name,
            "once": once,
            "turns": 1,
            "at": at,
        }

    def on_fit(self, keras, net, fit, arguments):
        if isinstance(given := arguments.get("callbacks"), (list, tuple)):
            arguments = {**arguments, "callbacks": [item for item in given if not isinstance(item, Absent)]}
        if self.batches is not None and self.batches["net"] is net:
            self.collect(self.batches, arguments)
            return self.shortened(net, fit, arguments)
        frame, call = self.call_facts(net, "fit")
        wanted = self.wanted(call["index"], net, call["at"])
        self.fits.append(call)
        if not wanted:
            return self.shortened(net, fit, arguments)
        again = [] if net in self.origins else [turns for turns in self.turns(frame, net) if turns]
        if again and few_samples(arguments.get("x")):
            state = self.start_batches(keras, net, call, frame)
            state.update(first=arguments, fit=fit)
            self.collect(state, arguments)
            return self.shortened(net, fit, arguments)
        self.record_fit(keras, net, call, frame, again, fit, arguments)

    def record_fit(self, keras, net, call, frame, again, fit, arguments, weights=None):
        self.busy += 1
        if again:
            call["turns"] = math.prod(again)
            epochs = call["turns"] * int(arguments.get("epochs") or 1)
            self.notes.append(f"fit is called again and again in a loop: {epochs} epochs in all.")
            arguments = {**arguments, "epochs": epochs}
        self.record(keras, net, call, frame, arguments, lambda **changed: fit(net, **changed), weights)

    def shortened(self, net, fit, arguments):
        """An earlier `fit`: one epoch, so that the script goes on; its history is drawn out to the length asked for."""
        epochs = int(arguments.get("epochs") or 1)
        start = int(arguments.get("initial_epoch") or 0)
        self.busy += 1
        try:
            history = fit(net, **{**arguments, "epochs": start + 1})
        finally:
            self.busy -= 1
        self.origins[net] = "trained"
        for values in history.history.values():
            values.extend(values[-1:] * (epochs - start - len(values)))
        history.epoch = list(range(start, max(epochs, start + 1)))
        return history

    def on_batch(self, keras, net, train, arguments):
        """One step of a loop over `train_on_batch`: collect its batches until an epoch is full."""
        frame, call = self.call_facts(net, "train_on_batch")
        line = (call["at"] or {}).get("line")
        state = self.batches
        if state is not None and not self.options.fit and self.taking_turns(state, net, frame):
            self.several_nets(state["net"], net, call["at"])
        if state is None and line not in self.loops:
            wanted = self.wanted(call["index"], net, call["at"])
            self.fits.append(call)
            self.loops.add(line)
            if wanted:
                state = self.start_batches(keras, net, call, frame)
        if state is not None and state["net"] is net:
            self.collect(state, arguments)
        self.busy += 1
        try:
            return train()
        finally:
            self.busy -= 1

    def taking_turns(self, state, net, frame):
        """Whether a net is trained in the same loop as the one whose batches are collected."""
        own, other = self.code.loops(state["frame"]), self.code.loops(frame)
        return state["net"] is not net and bool(own) and own[:1] == other[:1]

    def several_nets(self, first, second, at):
        error = (
            f"the script trains several nets in turn in one loop ({first.name!r}, {second.name!r}), as a GAN does; "
            "only a net that learns from data of its own can be looked at: name one with --fit"
        )
        self.stop({"reached_fit": False, "kind": "loop", "error": error, "where": place(at)})

    def start_batches(self, keras, net, call, frame):
        """From now on a loop's samples are collected."""
        state = self.batches = {"net": net, "call": call, "frame": frame, "rows": [], "taken": 0}
        state.update(keras=keras, start=time.monotonic(), loops=self.turns(frame, net))
        state.update(weights=self.weights_of(Net(keras, net)))
        return state

    def collect(self, state, arguments):
        batch = (arguments.get("x"), arguments.get("y"), arguments.get("sample_weight"))
        mark = leaves(batch[0])[0]
        again = bool(state["rows"]) and np.array_equal(mark, leaves(state["rows"][0][0])[0])
        if not again:
            state["rows"].append(batch)
            state["taken"] += len(mark)
        if again or state["taken"] >= self.options.max_samples or time.monotonic() - state["start"] > DRAW_SECONDS:
            self.finish_batches()

    def finish_batches(self):
        state, self.batches = self.batches, None
        turns, batches = state["loops"], len(state["rows"])
        call = state["call"]
        if "fit" in state:
            self.origins.pop(state["net"], None)
            if batches == 1:  # every turn has the same samples
                again = [number for number in turns if number]
                return self.record_fit(
                    state["keras"],
                    state["net"],
                    call,
                    state["frame"],
                    again,
                    state["fit"],
                    state["first"],
                    state["weights"],
                )
        self.busy += 1
        if len(turns) > 1 and turns[0]:
            epochs = turns[0]
        elif len(turns) == 1 and turns[0]:  # one loop over steps
            epochs = max(1, turns[0] // batches)
        else:
            epochs = max(1, UNKNOWN_STEPS // batches)
            self.notes.append(
                f"How many steps the {call['method']} loop makes is not known; {epochs * batches} are assumed."
            )
        if "fit" in state:
            call["turns"] = epochs
            epochs *= int(state["first"].get("epochs") or 1)
            self.notes.append(
                f"fit is called in a loop, with other samples each time: {batches} calls were put together."
            )
        arguments = {"batches": state["rows"], "epochs": epochs, "shuffle": False}
        self.record(state["keras"], state["net"], call, state["frame"], arguments, None, state["weights"])

    def turns(self, frame, net):
        """How often each loop around a call runs, outermost first, of those in which the net is not made anew."""
        made = [self.made.get(layer) for layer in [net, *net._flatten_layers(include_self=False)]]
        lines = [at["line"] for at in made if at and frame is not None and at["file"] == frame.f_code.co_filename]
        loops = self.code.loops(frame)
        return [turns for first, last, turns in loops if not any(first < line <= last for line in lines)]

    def own_loop(self):
        """The user's own loop with a GradientTape: there is no `fit` to record."""
        frame = self.code.frame()
        at = self.code.source(frame)
        text = "\n".join(self.code.tree(frame.f_code.co_filename)[0]) if frame is not None else ""
        error = TAPE
        penalized = any(getattr(layer, "losses", None) for layer in self.layers if not hasattr(layer, "fit"))
        if penalized and ".losses" not in text:
            error += "; its penalties have no effect: the loop never adds model.losses to the loss"
        self.stop({"reached_fit": False, "kind": "loop", "error": error, "where": place(at)})

    # - the record

    def weights_of(self, net):
        layers = (net.same if net.same is not None else net.model).layers
        return {layer.name: [np.asarray(array) for array in layer.get_weights()] for layer in layers}

    def record(self, keras, model, call, frame, arguments, train, weights=None):
        """Write what `fit` was given, then try one batch of it; the process ends here."""
        if nothing := trains_nothing(arguments):
            self.stop({"reached_fit": True, "kind": "refused", "error": nothing, "where": place(call["at"])})
        batch_size = arguments.get("batch_size")
        net = Net(keras, model)
        try:
            samples, held, split = from_call(arguments, net.names(), int(batch_size or 32), self.options.max_samples)
        except Exception as error:
            return self.refused(call, train, arguments, error)
        try:
            net.build(samples.first[0])
        except Exception:
            if net.custom:  # a train_step of its own, which calls other nets in its place
                error = (
                    f"only a net that is called on its inputs can be looked at, and this one trains by {net.custom[0]}"
                )
                self.stop({"reached_fit": True, "kind": "refused", "error": error, "where": place(call["at"])})
            return self.refused(call, train, arguments, error)
        net.follow(samples.first[0])
        self.notes += net.usual_step(samples.first)
        names = net.names()
        arrays, facts = {}, {}
        facts["train"] = data_facts(samples, names, self.options.max_samples, "t", arrays)
        facts["validation"] = held and data_facts(held, names, self.options.max_samples, "v", arrays)
        facts["validation_split"] = split
        facts.update(self.net_facts(net, samples))
        outputs = names[1] if len(names[1]) == len(facts["output_shapes"]) else ["output"] * len(facts["output_shapes"])
        facts["compiled"] = compile_facts(keras, self.compiled.get(model) or _compiled_before(model), model, outputs)
        facts["names"] = names_at(frame)
        facts["budget"] = budget = budget_facts(arguments, samples, batch_size)
        facts["class_weight"] = _class_weight(arguments.get("class_weight"))
        rate = facts["compiled"]["optimizer"]["learning_rate"]
        given = arguments.get("callbacks") or []
        given = getattr(given, "callbacks", given)
        given = given if isinstance(given, (list, tuple)) else [given]
        facts["callbacks"] = [callback_facts(item, budget["epochs"], rate) for item in given]
        weights = weights if weights is not None else self.weights_of(net)
        facts["weights"] = {name: len(group) for name, group in weights.items()}
        for number, group in enumerate(weights.values()):
            arrays.update({f"p{number}_{position}": array for position, array in enumerate(group)})
        facts["idle_regularizers"] = self.idle(net)
        self.judge(net, facts)
        facts.update(self.surroundings(keras), fit=call)
        facts.update(reached_fit=True, first_step_error=None, first_step_tried=False)
        savez(self.options.out / "arrays.npz", **arrays)
        self.write(facts)
        if train is not None:
            facts["first_step_error"] = self.first_step(train, samples, held, arguments)
        self.stop({**facts, "first_step_tried": True})

    def net_facts(self, net, samples):
        model = net.model
        text = net.json(samples)
        layers = net.layers(self.made.get)
        inputs = net.shapes("inputs") or [[None, *array.shape[1:]] for array in samples.x]
        outputs = net.shapes("outputs") or self.predicted_shapes(model, samples)
        every = [model, *model._flatten_layers(include_self=False)]
        origins = [self.origins.get(layer) for layer in every]
        known = [origin for origin in ("trained", "loaded", "pretrained") if origin in origins]
        return {
            "model_json": text,
            "input_shapes": inputs,
            "output_shapes": outputs,
            "layers": layers,
            "parameters": int(model.count_params()),
            "weights_origin": known[0] if known else "fresh",
        }

    @staticmethod
    def predicted_shapes(model, samples):
        try:
            predicted = leaves(model(_tensors(cut(samples.first[0], 0, 2)), training=False))
            return [[None, *array.shape[1:]] for array in predicted]
        except Exception:
            return [[None]]

    def judge(self, net, facts):
        """What cannot be rebuilt (`custom`), and what an experiment does without (`left_out`)."""
        custom, left = net.custom, []
        for loss in facts["compiled"]["losses"]:
            if loss and loss["custom"]:
                custom.append(f"loss {loss['name']}")
        if facts["compiled"]["optimizer"]["custom"]:
            custom.append(f"optimizer {facts['compiled']['optimizer']['name']}")
        for row in facts["compiled"]["metrics"] + facts["compiled"]["weighted_metrics"]:
            left += [f"metric {metric['name']}" for metric in row if metric["custom"]]
        left += [f"callback {callback['name']}" for callback in facts["callbacks"] if callback["custom"]]
        if [*getattr(net.model, "_losses", []), *getattr(net.model, "_callable_losses", [])]:
            custom.append("loss added by add_loss")
        facts["custom"], facts["left_out"] = list(dict.fromkeys(custom)), list(dict.fromkeys(left))

    def idle(self, net):
        """Regularizers without effect: the fields of `record.Regularizer`."""

        def facts(regularizer, reason, layer, at):
            config = plain(regularizer.get_config()) if hasattr(regularizer, "get_config") else {}
            return {"name": type(regularizer).__name__, "config": config, "reason": reason, "layer": layer, "at": at}

        attached, late, found = [], set(), []
        for layer, words in net.late():
            for word in words:
                value = getattr(layer, word)
                late.add(id(value))
                found.append(facts(value, "set after the layer was built", layer.name, self.made.get(layer)))
        for layer in self.layers:
            attached += [value for key, value in list(vars(layer).items()) if key.endswith("regularizer") and value]
        held = {id(value) for value in attached} | self.called_regularizers | late
        alike = [(type(value), value.get_config()) for value in attached if hasattr(value, "get_config")]
        for regularizer, at in self.regularizers:  # wrappers such as Bidirectional hold copies, told by their numbers
            if id(regularizer) not in held and (type(regularizer), regularizer.get_config()) not in alike:
                found.append(facts(regularizer, "given to no layer", None, at))
        return found

    def surroundings(self, keras):
        return {
            "keras": getattr(keras, "__version__", None) or "2",
            "seeds": self.seeds,
            "translated": self.translated,
            "stand_ins": self.stand_ins,
            "notes": self.notes + self.missing_packages(),
        }

    def missing_packages(self):
        """What the script imports, is not installed, and was not needed: a sentence for each kind."""
        shown = [name for name in self.absent.names if name in DISPLAY]
        unused = [name for name in self.absent.names if name not in DISPLAY]
        said = [f"Not installed, and left out: {', '.join(shown)}."] if shown else []
        return said + ([f"Not installed, and not used up to fit: {', '.join(unused)}."] if unused else [])

    def first_step(self, train, samples, held, arguments):
        """What Keras says when it trains one batch and evaluates one, in one line; None where it says nothing."""
        x, y, weight = samples.first
        changed = {"x": x, "y": y, "sample_weight": weight, "epochs": 1, "verbose": 0, "shuffle": False}
        changed["class_weight"] = arguments.get("class_weight")
        changed["batch_size"] = len(leaves(x)[0])
        if held is not None and held.origin != "split":
            changed["validation_data"] = tuple(part for part in held.first if part is not None)
        return self.said(train, changed)

    @staticmethod
    def said(train, arguments):
        try:
            train(**arguments)
        except Exception as error:
            return error_line(error)
        return None

    def refused(self, call, train, arguments, error):
        """The data cannot be taken: what Keras says to them is the answer, if it says anything."""
        ask = train and not isinstance(error, NotInstalled)
        said = self.said(train, {**arguments, "epochs": 1, "verbose": 0, "callbacks": None}) if ask else None
        words = one_line(error) if isinstance(error, NotSamples) else error_line(error)
        reason = f"fit stops: {said}" if said else f"the data given to fit cannot be recorded: {words}"
        self.stop({"reached_fit": True, "kind": "refused", "error": reason, "where": place(call["at"])})

    def write(self, facts):
        facts = {"script": str(self.script), "arguments": self.options.arguments, **facts}
        part = self.options.out / "record.json.part"
        part.write_text(json.dumps(facts, default=plain), encoding="utf-8")
        part.replace(self.options.out / "record.json")

    def stop(self, facts):
        """Write, and end the process at once: no `except:` or `atexit` of the script comes between."""
        self.write(facts)
        if facts.get("error"):
            print(f"recorder: {facts['error']}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    # - the end of a script that did not reach fit

    def ended(self, error):
        """The script ended, by itself or by `error`, and no call was recorded."""
        if self.batches is not None and self.batches["rows"]:
            self.finish_batches()
        at = self.blamed(error)
        kind, text = self.why_it_ended(error, at)
        if self.questions:
            text += f" (it asks for input, {self.questions[0]!r}, and nobody answers)"
        where = at and place({"file": at[0], "line": at[1]})
        self.stop({"reached_fit": False, "kind": kind, "error": text, "where": where})

    def why_it_ended(self, error, at):
        """(kind, one line)"""
        old = self.tensorflow_1(at)
        if isinstance(error, SystemExit):
            said = f": {one_line(error.code)}" if isinstance(error.code, str) else f", with exit code {error.code or 0}"
            return "exit", f"the script ends before fit{said}"
        if old and not isinstance(error, SyntaxError):
            said = f": {error_line(error)}" if error else ""
            return "tensorflow1", f"this is TensorFlow 1 code ({old}), which is not supported{said}"
        if error is not None:
            text = error_line(error)
            if isinstance(error, SyntaxError) and "print" in text:
                text += "; is it written for Python 2?"
            text += f" (under {sys.executable})" if isinstance(error, ModuleNotFoundError) else self.without()
            if re.search(r"URL|HTTP|Connection|resolve|fetch", type(error).__name__ + text):
                text = f"its data cannot be downloaded here: {text}"
            return "error", text
        if self.fits:
            asked = self.options.fit
            return "ended", f"the script ends, and none of its {len(self.fits)} calls of fit is --fit {asked}"
        if self.layers and any("GradientTape" in line for line in self.code.lines(str(self.code.shown))):
            return "loop", TAPE
        nets = [layer for layer in self.layers if hasattr(layer, "fit") and hasattr(layer, "compile")]
        nets = [net for net in nets if net in self.compiled] or nets
        text = "the script ends without calling fit" + (f"; it built {nets[-1].name!r}" if nets else "")
        return "ended", text + self.without()

    def without(self):
        """What the script asked for and did not get, for the end of a sentence."""
        return f" (not installed: {', '.join(self.absent.names)})" if self.absent.names else ""

    def blamed(self, error):
        """(file, line) of the user's code that an error comes from, or None."""
        if isinstance(error, SyntaxError) and error.filename:
            return error.filename, error.lineno
        found, trace = None, getattr(error, "__traceback__", None)
        while trace is not None:
            if self.code.is_user(trace.tb_frame.f_code.co_filename):
                found = trace.tb_frame.f_code.co_filename, trace.tb_lineno
            trace = trace.tb_next
        return found

    def tensorflow_1(self, at):
        """The line of TensorFlow 1 code that stopped the script, or that turned TensorFlow 2 off; None without such."""
        for number, line in enumerate(self.code.lines(str(self.code.shown)), 1):
            off = re.search(r"disable_v2_behavior|disable_eager_execution", line)
            found = off or (at and at[1] == number and TENSORFLOW_1.search(line))
            if found:
                return f"line {number}: {found.group(0)}"
        return None


def place(at):
    """file:line, for people."""
    return at and f"{Path(at['file']).name}:{at['line']}"


def error_line(error):
    """An exception in one line: of a message in paragraphs the first; of TensorFlow's, what follows the places."""
    text = str(error).strip()
    first = text.split("\n\n")[0]
    if first.startswith("Graph execution error"):
        said = [line.strip() for line in text.splitlines()[1:] if line.strip() and not GRAPH.match(line)]
        first = said[0] if said else first
    said = one_line(f"{type(error).__name__}: {first}" if first else type(error).__name__)
    whole = f"{said} {error.__cause__ or ''}"  # NumPy says in the cause what kind of sequence it was
    return said + next((f" ({words})" for pattern, words in ADVICE if re.search(pattern, whole)), "")


def trains_nothing(arguments):
    """Which argument of `fit` leaves it nothing to do, in words; None if none does."""
    given = {name: arguments.get(name) for name in ("epochs", "batch_size", "steps_per_epoch")}
    numbers = {name: value for name, value in given.items() if isinstance(value, (int, float, np.number))}
    for name, value in numbers.items():
        if not value >= 1:  # nor is it NaN
            return f"fit trains nothing with {name}={value}"
    first = arguments.get("initial_epoch") or 0
    if "epochs" in numbers and numbers["epochs"] <= first:
        return f"fit trains nothing with epochs={numbers['epochs']} and initial_epoch={first}"
    return None


def budget_facts(arguments, samples, batch_size):
    """The fields of `record.Budget`."""
    batches = samples.origin not in ("arrays", "sparse")
    first = len(leaves(samples.first[0])[0])
    steps = arguments.get("steps_per_epoch")
    shuffle = arguments.get("shuffle", True)
    return {
        "epochs": int(arguments.get("epochs") or 1),
        "batch_size": first if batches else int(batch_size or 32),
        "steps_per_epoch": None if steps is None else int(steps),
        "shuffle": bool(shuffle) and not batches,
        "initial_epoch": int(arguments.get("initial_epoch") or 0),
    }


def names_at(frame):
    """Names at a frame that stand for modules or for Keras' optimizers and layers, and what they are in full."""
    found = {}
    for name, value in {**frame.f_globals, **frame.f_locals}.items() if frame is not None else ():
        if isinstance(value, types.ModuleType) and not name.startswith("__"):
            found[name] = value.__name__
        elif isinstance(value, type) and re.search(r"\.(optimizers|layers)\.", f"{value.__module__}."):
            found[name] = f"{value.__module__}.{value.__name__}"
    return found


def _class_weight(value):
    if not isinstance(value, dict):
        return None
    return {str(int(key)): float(weight) for key, weight in value.items()}


def _compiled_before(model):
    """Settings of a net that came compiled from a file."""
    return {"loss": getattr(model, "loss", None), "metrics": None}


# --- data sets without a network ------------------------------------------------------------------------------------


def mirrored(name, out):
    """(what REGBENCH_MIRROR has for a file of keras.datasets, a sentence if it is a stand-in), or (None, None)."""
    mirror = Path(os.environ.get("REGBENCH_MIRROR", "/nowhere"))
    images = mirror / "cifar10_jpeg" / "cifar10-jpeg.tar.xz"
    if name == "mnist.npz" and (mirror / "mnist").is_dir():
        return _mnist(mirror / "mnist", out / "mnist.npz"), None
    if name.endswith("-ubyte.gz") and (mirror / "mnist" / name).exists():
        return mirror / "mnist" / name, "fashion_mnist: the digits of MNIST stand in (it is not on this machine)"
    if name.startswith("cifar-10-batches-py") and images.exists():
        inner = _cifar10(images, out / "cifar-10" / "cifar-10-batches-py")
        sentence = "cifar10: JPEG copies of its images stand in (it is not on this machine)"
        return inner.parent if name.endswith("-target") else inner, sentence
    return None, None


def _mnist(folder, target):
    arrays = {}
    for side, prefix in (("train", "train"), ("test", "t10k")):
        for letter, kind, head in (("x", "images-idx3", 16), ("y", "labels-idx1", 8)):
            with gzip.open(folder / f"{prefix}-{kind}-ubyte.gz") as file:
                data = np.frombuffer(file.read(), np.uint8, offset=head)
            arrays[f"{letter}_{side}"] = data.reshape(-1, 28, 28) if letter == "x" else data
    savez(target, **arrays)
    return target


def _cifar10(archive, folder):
    """The JPEG copies in the layout of CIFAR-10's own archive; in an order drawn once, for theirs is by class."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    found = {"train": [], "test": []}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                side, label, _ = member.name.split("/")[-3:]
                pixels = np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB"))
                found[side].append((label, pixels.transpose(2, 0, 1).reshape(-1)))
    numbers = {label: number for number, label in enumerate(sorted({label for label, _ in found["train"]}))}
    for side, names in (("train", [f"data_batch_{i}" for i in range(1, 6)]), ("test", ["test_batch"])):
        rows = found[side]
        order = np.random.RandomState(0).permutation(len(rows))
        for number, name in enumerate(names):
            part = [rows[i] for i in order[number * 10000 : (number + 1) * 10000]]
            labels = [numbers[label] for label, _ in part]
            batch = {b"data": np.stack([pixels for _, pixels in part]), b"labels": labels}
            (folder / name).write_bytes(pickle.dumps(batch))
    return folder


# --- the command ----------------------------------------------------------------------------------------------------


def compiled(text, file, recorder):
    """The code object of a script."""
    try:
        return compile(text, file, "exec")
    except SyntaxError:
        code = compile(parsed(text, file), file, "exec")
        recorder.tell("print statements of Python 2", "calls")
        builtins.xrange, builtins.raw_input, builtins.unicode = range, input, str
        return code


def main():
    parser = argparse.ArgumentParser(description="Write down what a script hands to fit.")
    parser.add_argument("out")
    parser.add_argument("--fit", default="")
    parser.add_argument("--max-samples", type=int, default=10_000)
    parser.add_argument("--text")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    options.out = Path(options.out).absolute()
    script = Path(options.script).absolute()
    shown = Path(options.text).absolute() if options.text else script
    for name, value in (("MPLBACKEND", "Agg"), ("CUDA_VISIBLE_DEVICES", "-1"), ("JOBLIB_MULTIPROCESSING", "0")):
        os.environ[name] = value
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    recorder = Recorder(options, script, shown)
    recorder.install()
    text = importlib.util.decode_source(shown.read_bytes())
    sys.argv = [options.script, *options.arguments]
    sys.path[0] = str(script.parent)
    module = types.ModuleType("__main__")
    module.__file__ = str(script)
    module.__builtins__ = builtins
    if options.text:  # a notebook's
        module.display = lambda *args, **kwargs: None
    sys.modules["__main__"] = module
    error = None
    try:
        exec(compiled(text, str(shown), recorder), module.__dict__)
    except BaseException as raised:
        error = raised
    recorder.ended(error)


if __name__ == "__main__":
    main()
