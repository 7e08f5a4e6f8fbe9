"""Spellings of Keras 1 and 2 that Keras 3 dropped, understood in the process of a recorded script alone.

`apply` is called by `recorder.py` as soon as the script has imported Keras 3. What it translates is told, so that a
verdict can say it. Where Keras 3 knows a spelling, Keras 3's meaning holds. `of_numpy` and `LIBRARIES` do the same for
what NumPy, pandas and scikit-learn dropped; they need no Keras.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import inspect
import itertools
import pathlib
import sys
import types

import numpy as np

ROOTS = ("keras", "keras._tf_keras.keras", "tensorflow.keras")
SPACES = (  # Keras' public modules
    *("layers", "models", "optimizers", "losses", "metrics", "regularizers", "initializers", "activations"),
    *("callbacks", "constraints", "utils", "backend", "preprocessing.image", "preprocessing.sequence"),
)
OLD_MODULES = {  # modules that were inside them; no other name is taken for a module
    "layers": (
        *("core", "convolutional", "normalization", "recurrent", "embeddings", "advanced_activations", "pooling"),
        *("noise", "merge", "wrappers", "local", "cudnn_recurrent", "convolutional_recurrent", "experimental"),
    ),
    "utils": (
        "np_utils",
        "vis_utils",
        "visualize_util",
        "generic_utils",
        "training_utils",
        "data_utils",
        "layer_utils",
        "io_utils",
        "all_utils",
    ),
    "optimizers": (
        "adam_v2",
        "gradient_descent_v2",
        "rmsprop_v2",
        "adam",
        "sgd",
        "optimizer_v2",
        "optimizers",
        "experimental",
    ),
    "backend": ("tensorflow_backend", "common"),
    "callbacks": ("callbacks",),
}
MOVED = {  # modules of Keras itself that others took over
    "engine": ("layers", "models"),
    "objectives": ("losses",),
    "initializations": ("initializers",),
    "legacy": ("layers",),
}
ARGUMENTS = {  # of layers
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "U_constraint": "recurrent_constraint",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "gamma_init": "gamma_initializer",
    "beta_init": "beta_initializer",
    "bias": "use_bias",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "stride": "strides",
    "dim_ordering": "data_format",
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "pool_length": "pool_size",
    "sigma": "stddev",
}
ORDERINGS = {"th": "channels_first", "tf": "channels_last"}
NO_LONGER = ("consume_less", "time_major", "mode", "renorm", "virtual_batch_size", "fused", "batch_size", "weights")
LOSSES = {
    "cosine_proximity": "cosine_similarity",
    "logcosh": "log_cosh",
    "kullback_leibler_divergence": "kl_divergence",
}
ENDS = {"input": "inputs", "output": "outputs"}
CALLBACKS_NO_LONGER = {
    "ModelCheckpoint": ("period",),
    "TensorBoard": ("write_grads", "batch_size", "embeddings_layer_names", "embeddings_data"),
}
FIT_NO_LONGER = (
    *("workers", "max_queue_size", "max_q_size", "use_multiprocessing", "pickle_safe", "nb_worker", "show_accuracy"),
)
COMPILE_NO_LONGER = ("sample_weight_mode", "target_tensors", "class_mode", "options", "experimental_run_tf_function")


TENSORFLOW_1 = {  # optimizers of tf.train, and Keras' own
    "AdadeltaOptimizer": "Adadelta",
    "AdagradOptimizer": "Adagrad",
    "AdamOptimizer": "Adam",
    "FtrlOptimizer": "Ftrl",
    "GradientDescentOptimizer": "SGD",
    "MomentumOptimizer": "SGD",
    "RMSPropOptimizer": "RMSprop",
}


NUMPY = {  # names that NumPy dropped, by what they stood for: a type of Python's, or a name that NumPy has
    **{kind.__name__: kind for kind in (bool, int, float, complex, object, str)},
    **{"long": int, "unicode": str, "object0": object, "issubclass_": issubclass},
    **{"bool8": "bool_", "float_": "float64", "singlecomplex": "complex64", "longfloat": "longdouble"},
    **{"complex_": "complex128", "cfloat": "complex128", "longcomplex": "clongdouble"},
    **{"string_": "bytes_", "unicode_": "str_", "str0": "str_"},
    **dict.fromkeys(("Inf", "Infinity", "infty", "PINF"), "inf"),
    **{"NINF": "-inf", "NaN": "nan", "NAN": "nan", "PZERO": "0.0", "NZERO": "-0.0"},
    **{"product": "prod", "cumproduct": "cumprod", "alltrue": "all", "sometrue": "any", "round_": "round"},
    **{"in1d": "isin", "trapz": "trapezoid", "row_stack": "vstack", "mat": "asmatrix", "rank": "ndim"},
    **{"asscalar": "ndarray.item", "asfarray": "asarray", "msort": "sort", "find_common_type": "result_type"},
}


OLD_SKLEARN = ("sklearn.cross_validation", "sklearn.grid_search", "sklearn.learning_curve")


def apply(keras, tell):
    """Teach Keras 3 the old spellings; `tell(old, new)` hears of each that the script uses."""
    spaces = _spaces(keras)
    for group in spaces.values():  # what `tf.keras` still has and `keras` has not, like K.mean and ImageDataGenerator
        for module in group:
            _add(module, {key: value for other in group for key, value in vars(other).items() if key[0] != "_"})
    sys.meta_path.append(_OldModules(keras, spaces, tell))
    _layers(keras, spaces["layers"], tell)
    _optimizers(keras, spaces["optimizers"], tell)
    _regularizers(keras, spaces["regularizers"], tell)
    _constraints(keras, spaces["constraints"])
    _initializers(keras, spaces["initializers"])
    _callbacks(keras, tell)
    _models(keras, tell)
    _backend(keras, spaces["backend"])
    _categorical(spaces["utils"], tell)
    _others()
    wrappers = importlib.import_module("keras.wrappers")
    wrappers.__getattr__ = _only(scikit_learn=lambda: importlib.import_module("keras.wrappers.scikit_learn"))
    for space in ("layers", "utils"):  # their old modules are also reached as attributes
        old = {name: importlib.import_module(f"keras.{space}.{name}") for name in OLD_MODULES[space]}
        for module in spaces[space]:
            _add(module, old)


def _spaces(keras):
    """Keras' public modules by name; each exists under `keras`, under `tf.keras`, and as `tensorflow.keras`."""
    found = {}
    for name in SPACES:
        group = []
        for root in ROOTS:
            try:
                group.append(importlib.import_module(f"{root}.{name}"))
            except ImportError:
                continue
        found[name] = group
    return found


def _add(module, values):
    for name, value in values.items():
        if not hasattr(module, name):
            setattr(module, name, value)


def _only(**makers):
    """A module's `__getattr__`, which makes some of its names when they are asked for."""

    def find(name):
        if name in makers:
            return makers[name]()
        raise AttributeError(name)

    return find


def _wrap(function, change):
    """The function with its arguments changed first: `change(self, args, kwargs) -> (args, kwargs)`."""

    @functools.wraps(function)
    def wrapped(self, *args, **kwargs):
        args, kwargs = change(self, args, kwargs)
        return function(self, *args, **kwargs)

    wrapped.__signature__ = inspect.signature(function)
    return wrapped


def _kinds(base):
    """A class and all its subclasses."""
    found, waiting = [], [base]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return list(dict.fromkeys(found))


# --- modules --------------------------------------------------------------------------------------------------------


class _OldModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules that Keras 3 no longer has, as other names of those that took them over; asked after all others."""

    def __init__(self, keras, spaces, tell):
        self.keras, self.spaces, self.tell = keras, spaces, tell

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if self._sources(name) else None

    def _sources(self, name):
        """The modules whose names an old module has; none: there was no such module."""
        if name in OLD_SKLEARN:
            return [importlib.import_module("sklearn.model_selection")]
        if name in ("scikeras", "scikeras.wrappers"):  # where it is not installed
            return [_scikit_learn(self.keras)]
        root = next((root for root in ("keras.", "tensorflow.keras.") if name.startswith(root)), None)
        if root is None:
            return []
        space, _, rest = name[len(root) :].partition(".")
        if space == "wrappers" and rest in ("", "scikit_learn"):
            return [_scikit_learn(self.keras)]
        if space == "preprocessing" and rest == "text":
            return [importlib.import_module("keras._tf_keras.keras.preprocessing.text")]
        known = rest.partition(".")[0] in OLD_MODULES.get(space, ())
        return [self.spaces[name][0] for name in MOVED.get(space, (space,) if known else ())]

    def create_module(self, spec):
        return _Callable(spec.name)

    def exec_module(self, module):
        for source in self._sources(module.__name__):
            for name, value in vars(source).items():
                if not name.startswith("__"):
                    setattr(module, name, value)
        kind = module.__name__.rpartition(".")[2]
        if "optimizers" in module.__name__:  # keras.optimizers.adam_v2.Adam
            for name in ("Adam", "SGD", "RMSprop"):
                setattr(module, name, getattr(self.keras.optimizers, name))
        if kind == "experimental":
            module.preprocessing = module


class _Callable(types.ModuleType):
    """`keras.layers.merge` was a module in Keras 2 and a function in Keras 1."""

    def __call__(self, inputs, mode="sum", concat_axis=-1, **_):
        layers = importlib.import_module("keras.layers")
        kinds = {"sum": "add", "mul": "multiply", "ave": "average", "max": "maximum"}
        if mode == "concat":
            return layers.concatenate(inputs, axis=concat_axis)
        if mode == "dot":
            return layers.dot(inputs, axes=-1)
        return getattr(layers, kinds[mode])(inputs)


def _scikit_learn(keras):
    """`keras.wrappers.scikit_learn`, and scikeras, which took it over: as much as leads to `fit`."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Wrapper(BaseEstimator):
        def __init__(self, build_fn=None, model=None, **sk_params):
            self.build_fn, self.sk_params = model if build_fn is None else build_fn, sk_params

        def get_params(self, deep=True):
            return {**self.sk_params, "build_fn": self.build_fn}

        def set_params(self, **params):
            self.build_fn = params.pop("build_fn", params.pop("model", self.build_fn))
            self.sk_params.update(params)
            return self

        def fit(self, x, y, **kwargs):
            given = {key.removeprefix("model__").removeprefix("fit__"): v for key, v in self.sk_params.items()}
            self.model = self.built(given, np.asarray(x), np.asarray(y))
            given = {"epochs" if key == "nb_epoch" else key: value for key, value in given.items()}
            fit = inspect.signature(keras.Model.fit).parameters
            words = {key: value for key, value in {**given, **kwargs}.items() if key in fit}
            return self.model.fit(x, self.targets(np.asarray(y)), **words)

        def built(self, given, x, y):
            """The net, compiled; scikeras takes one as well, also one that is not compiled yet."""
            net = self.build_fn
            if not isinstance(net, keras.Model):
                known = inspect.signature(net).parameters
                meta = {"n_features_in_": x.shape[-1], "X_shape_": x.shape, "n_classes_": len(np.unique(y))}
                meta.update(n_outputs_=1 if y.ndim == 1 else y.shape[1], n_outputs_expected_=1)
                net = net(**{key: value for key, value in {"meta": meta, **given}.items() if key in known})
            if not net.compiled:
                net.compile(**{key: given[key] for key in ("optimizer", "loss", "metrics") if key in given})
            return net

        def targets(self, y):
            return y

        def predict(self, x, **_):
            return np.squeeze(self.model.predict(x, verbose=0), axis=-1)

    class KerasClassifier(ClassifierMixin, Wrapper):
        def targets(self, y):
            if y.ndim == 2 and y.shape[1] > 1:
                self.classes_ = np.arange(y.shape[1])
                return y
            self.classes_, numbers = np.unique(y, return_inverse=True)
            categorical = getattr(self.model.loss, "__name__", self.model.loss) == "categorical_crossentropy"
            return keras.utils.to_categorical(numbers) if categorical else numbers

        def predict(self, x, **_):
            found = self.model.predict(x, verbose=0)
            return self.classes_[found.argmax(-1) if found.shape[-1] > 1 else (found[..., 0] > 0.5).astype(int)]

    class KerasRegressor(RegressorMixin, Wrapper):
        pass

    module = types.ModuleType("scikit_learn")
    module.KerasClassifier, module.KerasRegressor = KerasClassifier, KerasRegressor
    return module


# --- layers ---------------------------------------------------------------------------------------------------------


def _layers(keras, modules, tell):
    for kind in _kinds(keras.layers.Layer):
        if kind.__module__.startswith("keras.") and "__init__" in vars(kind) and kind is not keras.layers.Layer:
            kind.__init__ = _wrap(kind.__init__, functools.partial(_layer_arguments, tell=tell))
    old = {f"Convolution{axes}D": _convolution(getattr(keras.layers, f"Conv{axes}D"), axes, tell) for axes in (1, 2, 3)}
    for module in modules:
        for name, function in old.items():
            setattr(module, name, function)
        extra = {"CuDNNLSTM": keras.layers.LSTM, "CuDNNGRU": keras.layers.GRU, "SimpleDeepRNN": keras.layers.SimpleRNN}
        extra.update(AtrousConvolution2D=keras.layers.Conv2D, Deconvolution2D=keras.layers.Conv2DTranspose)
        extra.update(ThresholdedReLU=lambda theta=1.0, **words: keras.layers.ReLU(threshold=theta, **words))
        extra.update(TimeDistributedDense=functools.partial(_time_distributed, keras, tell), Merge=_merge_of_keras_1)
        _add(module, {**extra, "InputSpec": keras.InputSpec})
    made = _input(keras.Input)
    for module in (*modules, *filter(None, map(sys.modules.get, ROOTS))):
        module.Input = made
    keras.layers.Layer.output_shape = _OutputShape()  # not `input_shape`, which Keras itself looks for
    keras.Sequential.add = _wrap(keras.Sequential.add, functools.partial(_first_shape, keras=keras))


class _OutputShape:
    """`layer.output_shape`, of layers that have none of their own; they may set one."""

    def __get__(self, layer, kind=None):
        return self if layer is None else tuple(layer.output.shape)


def _input(original):
    """Keras' Input, which once took one number for a shape: `Input(shape=(3))`."""

    @functools.wraps(original)
    def tensor(*args, **kwargs):
        args = ((args[0],) if isinstance(args[0], int) else args[0], *args[1:]) if args else args
        if isinstance(kwargs.get("shape"), int):
            kwargs["shape"] = (kwargs["shape"],)
        return original(*args, **kwargs)

    return tensor


def _time_distributed(keras, tell, units, **kwargs):
    tell("TimeDistributedDense", "TimeDistributed(Dense)")
    return keras.layers.TimeDistributed(keras.layers.Dense(units, **kwargs))


def _merge_of_keras_1(*args, **kwargs):
    raise NotImplementedError("the layer Merge of Keras 1 is not understood; Keras has concatenate, add, … for nets")


def _convolution(kind, axes, tell):
    """Keras 1's Convolution2D(filters, rows, columns, ...)."""

    @functools.wraps(kind, updated=())
    def convolution(*args, **kwargs):
        numbers = list(itertools.takewhile(lambda size: isinstance(size, int), args[1:]))
        if len(numbers) == axes + 1 > 2:  # the first Keras also wanted the number of channels
            args, numbers = (args[0], *args[2:]), numbers[1:]
        if axes > 1 and len(numbers) == axes:
            tell(f"{convolution.__name__}(n, {', '.join('abc'[:axes])})", "kernel_size")
            args = (args[0], tuple(numbers), *args[1 + axes :])
        return kind(*args, **kwargs)

    convolution.__name__ = f"Convolution{axes}D"
    return convolution


def _layer_arguments(layer, args, kwargs, tell):
    kind = type(layer).__name__
    known = inspect.signature(type(layer).__init__).parameters
    names = {"p": "rate", **ARGUMENTS}
    if kind == "Embedding":
        names.update(init="embeddings_initializer", W_regularizer="embeddings_regularizer")
    elif kind == "PReLU":
        names.update(init="alpha_initializer")
    else:
        names["output_dim"] = "units"
    args, kwargs = _sizes(kind, args, kwargs, known, tell)
    changed = {}
    for name, value in kwargs.items():
        new = names.get(name)
        if name in known or new not in known:
            changed[name] = value
            continue
        tell(f"{name}=", f"{new}=")
        changed[new] = ORDERINGS.get(value, value) if new == "data_format" else value
    sizes = ("kernel_dim1", "kernel_dim2", "kernel_dim3", "nb_row", "nb_col")
    rows = [changed.pop(name) for name in sizes if name in changed]
    if rows:
        tell("nb_row=, nb_col=", "kernel_size=")
        changed["kernel_size"] = tuple(rows)
    old = len(changed) != len(kwargs) or set(changed) != set(kwargs)
    if old and kind in ("Conv2D", "Conv3D") and len(args) > 2 and all(isinstance(size, int) for size in args[1:3]):
        axes = int(kind[4])
        args = (args[0], tuple(args[1 : 1 + axes]), *args[1 + axes :])
    for name in NO_LONGER:
        if name in changed and name not in known and not (name == "weights" and kind == "Embedding"):
            tell(f"{name}= of {kind}", "nothing")
            del changed[name]
    if kind == "Embedding" and "dropout" in changed:
        tell("dropout= of Embedding", "nothing")
        del changed["dropout"]
    if kind in ("Dense", "LSTM", "GRU", "SimpleRNN") and len(args) > 1 and isinstance(args[1], int):
        tell(f"{kind}(inputs, units)", f"{kind}(units)")
        size, args = args[0], args[1:]
        changed.setdefault("input_shape", (size,) if kind == "Dense" else (None, size))
    _shape_arguments(layer, kind, changed, known, tell)
    return args, changed


def _sizes(kind, args, kwargs, known, tell):
    """Keras 2 made whole numbers of sizes itself, had a size for pooling, and knew activations by their class."""
    first = list(known)[1:2]

    def whole(value):
        if isinstance(value, (float, np.integer, np.floating)) and value == int(value):
            tell(f"{type(value).__name__} as a size of {kind}", "int")
            return int(value)
        return value

    if args and first in (["units"], ["filters"], ["output_dim"]):
        args = (whole(args[0]), *args[1:])
    kwargs = {
        key: whole(value) if key in ("units", "filters", "output_dim") else value for key, value in kwargs.items()
    }
    if kwargs.get("activation") in ("LeakyReLU", "ReLU", "ELU"):
        kwargs["activation"] = {"LeakyReLU": "leaky_relu"}.get(kwargs["activation"], kwargs["activation"].lower())
    if kind.startswith("AveragePooling") and not args and not {"pool_size", "pool_length"} & set(kwargs):
        kwargs["pool_size"] = 2
    return args, kwargs


def _shape_arguments(layer, kind, changed, known, tell):
    """`batch_input_shape` and, for sequences, `input_dim` with `input_length`."""
    if "batch_input_shape" in changed and "batch_input_shape" not in known and kind != "InputLayer":
        tell("batch_input_shape=", "Input(batch_shape=)")
        layer.__dict__["_regbench_batch_shape"] = tuple(changed.pop("batch_input_shape"))
    sequence = kind in ("LSTM", "GRU", "SimpleRNN", "Bidirectional", "TimeDistributed") or kind.endswith("1D")
    if sequence and "input_dim" in changed:
        tell("input_dim= with input_length=", "input_shape=")
        changed["input_shape"] = (changed.pop("input_length", None), changed.pop("input_dim"))
    elif "input_length" in changed and kind != "Embedding":
        del changed["input_length"]


def _first_shape(model, args, kwargs, keras):
    layer = args[0] if args else kwargs.get("layer")
    shape = getattr(layer, "__dict__", {}).get("_regbench_batch_shape")
    if shape is not None and not model._layers:
        model.add(keras.layers.InputLayer(batch_shape=shape))
    return args, kwargs


# --- optimizers, regularizers ---------------------------------------------------------------------------------------


OPTIMIZERS_OWN = {"momentum", "nesterov", "rho", "beta_1", "beta_2", "epsilon", "amsgrad", "centered"}
"""Arguments of some optimizers, which Keras 1 let others have, without a word."""


def _optimizers(keras, modules, tell):
    def change(optimizer, args, kwargs):
        kwargs = dict(kwargs)
        if "lr" in kwargs:
            tell("lr=", "learning_rate=")
            kwargs["learning_rate"] = kwargs.pop("lr")
        if isinstance(kwargs.get("learning_rate"), int):
            kwargs["learning_rate"] = float(kwargs["learning_rate"])
        if args and isinstance(args[0], int):
            args = (float(args[0]), *args[1:])
        if kwargs.get("epsilon", 0) is None:
            del kwargs["epsilon"]
        kwargs.pop("schedule_decay", None)
        for name in sorted(OPTIMIZERS_OWN & set(kwargs) - set(inspect.signature(type(optimizer).__init__).parameters)):
            tell(f"{name}= of {type(optimizer).__name__}", "nothing, which is what Keras 1 made of it")
            del kwargs[name]
        decay = kwargs.pop("decay", None)
        if decay:
            tell("decay=", "a learning rate by InverseTimeDecay")
            usual = inspect.signature(type(optimizer).__init__).parameters["learning_rate"].default
            rate = args[0] if args else kwargs.get("learning_rate", usual)
            schedule = keras.optimizers.schedules.InverseTimeDecay(float(rate), decay_steps=1, decay_rate=float(decay))
            args = (schedule, *args[1:]) if args else args
            if not args:
                kwargs["learning_rate"] = schedule
        return args, kwargs

    kinds = [kind for kind in _kinds(keras.optimizers.Optimizer) if kind.__module__.startswith("keras.")]
    for kind in kinds:
        if "learning_rate" in inspect.signature(kind.__init__).parameters and kind is not keras.optimizers.Optimizer:
            kind.__init__ = _wrap(kind.__init__, change)
    keras.optimizers.Optimizer.lr = property(
        lambda optimizer: optimizer.learning_rate, lambda optimizer, rate: setattr(optimizer, "learning_rate", rate)
    )
    public = {kind.__name__: kind for kind in kinds if hasattr(keras.optimizers, kind.__name__)}
    for module in modules:
        _add(module, {name.lower(): kind for name, kind in public.items()})
    for root in ROOTS:
        try:
            legacy = importlib.import_module(f"{root}.optimizers.legacy")
        except ImportError:
            continue
        for name, kind in public.items():
            setattr(legacy, name, kind)


def _regularizers(keras, modules, tell):
    def change(regularizer, args, kwargs):
        if "l" in kwargs:
            name = type(regularizer).__name__.lower()
            tell("l=", f"{name}=")
            kwargs = {name if key == "l" else key: value for key, value in kwargs.items()}
        return args, kwargs

    for kind in (keras.regularizers.L1, keras.regularizers.L2):
        kind.__init__ = _wrap(kind.__init__, change)
    old = {"l1l2": keras.regularizers.L1L2, "activity_l1": keras.regularizers.L1, "activity_l2": keras.regularizers.L2}
    for module in modules:
        _add(module, old)


def _constraints(keras, modules):
    kinds = {"maxnorm": keras.constraints.MaxNorm, "nonneg": keras.constraints.NonNeg}
    for module in modules:
        _add(module, {**kinds, "unitnorm": keras.constraints.UnitNorm})


def _initializers(keras, modules):
    kinds = {"normal": "RandomNormal", "uniform": "RandomUniform", "zero": "Zeros", "one": "Ones"}
    kinds = {name: getattr(keras.initializers, kind) for name, kind in kinds.items()}
    for module in modules:
        _add(module, kinds)
    known = getattr(inspect.getmodule(keras.initializers.get), "ALL_OBJECTS_DICT", {})
    for name, kind in kinds.items():  # as words: init="zero"
        known.setdefault(name, kind)


def _callbacks(keras, tell):
    def change(callback, args, kwargs):
        kind, changed = type(callback).__name__, dict(kwargs)
        for name in CALLBACKS_NO_LONGER.get(kind, ()):
            if name in changed:
                tell(f"{name}= of {kind}", "nothing")
                del changed[name]
        if kind == "ReduceLROnPlateau" and "epsilon" in changed:
            tell("epsilon= of ReduceLROnPlateau", "min_delta=")
            changed["min_delta"] = changed.pop("epsilon")
        if kind == "ModelCheckpoint":
            path = str(args[0] if args else changed.pop("filepath", "model"))
            end = ".weights.h5" if changed.get("save_weights_only") else ".keras"
            if not path.endswith(end):
                tell(f"ModelCheckpoint({path!r})", end)
                path += end
            args = (path, *args[1:])
        return args, changed

    for kind in (keras.callbacks.ModelCheckpoint, keras.callbacks.TensorBoard, keras.callbacks.ReduceLROnPlateau):
        kind.__init__ = _wrap(kind.__init__, change)


# --- models ---------------------------------------------------------------------------------------------------------


def _models(keras, tell):
    model, known = keras.Model, {"tell": tell}
    model.fit = _wrap(model.fit, functools.partial(_fit_arguments, **known))
    for name in ("evaluate", "predict", "train_on_batch", "test_on_batch"):
        setattr(model, name, _wrap(getattr(model, name), functools.partial(_data_arguments, **known)))
    model.compile = _wrap(model.compile, functools.partial(_compile_arguments, **known))
    for kind in _kinds(model):
        if "__init__" in vars(kind) and "outputs" in inspect.signature(kind.__init__).parameters:
            kind.__init__ = _wrap(kind.__init__, lambda net, args, kwargs: (args, _renamed(kwargs, ENDS, (), tell)))
    new = model.__new__  # it decides by the words whether this is a functional net
    model.__new__ = staticmethod(lambda cls, *args, **kwargs: new(cls, *args, **_renamed(kwargs, ENDS, (), tell)))
    model.fit_generator = functools.partialmethod(_fit_generator, tell)
    for end in ("input", "output"):  # of a net that was never called
        setattr(keras.Sequential, end, property(functools.partial(_end, end=end)))
    model.save_weights = _wrap(model.save_weights, _weights_file)
    model.load_weights = _wrap(model.load_weights, _weights_file)
    model.predict_classes = _predict_classes
    model.reset_states = _reset_states
    model.predict_proba = lambda net, x, **_: net.predict(x, verbose=0)
    model.evaluate_generator = lambda net, generator, steps=None, **_: net.evaluate(generator, steps=steps, verbose=0)
    model.predict_generator = lambda net, generator, steps=None, **_: net.predict(generator, steps=steps, verbose=0)


def _end(net, end):
    ends = getattr(net, f"{end}s")
    return ends[0] if len(ends) == 1 else ends


def _weights_file(net, args, kwargs):
    """The file under the ending that Keras 3 wants, unless there is one of that name."""
    path = str(args[0] if args else kwargs.get("filepath"))
    if path.endswith((".weights.h5", ".keras")) or pathlib.Path(path).exists():
        return args, kwargs
    return (f"{path}.weights.h5", *args[1:]), {key: value for key, value in kwargs.items() if key != "filepath"}


def _renamed(kwargs, names, gone, tell):
    """Arguments under their new names, without those that are gone."""
    changed = {}
    for name, value in kwargs.items():
        if name in names:
            tell(f"{name}=", f"{names[name]}=")
            changed[names[name]] = value
        elif name in gone:
            tell(f"{name}=", "nothing")
        else:
            changed[name] = value
    return changed


def _array(value, tell):
    """Keras 2 took a list of numbers, or of lists of numbers, for an array."""
    if not isinstance(value, list) or not value or isinstance(value[0], dict) or hasattr(value[0], "shape"):
        return value
    try:
        changed = np.array(value)
    except ValueError:  # lists of different length: Keras says it
        return value
    tell("lists of numbers", "arrays")
    return changed


def _data_arguments(net, args, kwargs, tell):
    args = (*(_array(value, tell) for value in args[:2]), *args[2:])
    kwargs = {key: _array(value, tell) if key in ("x", "y") else value for key, value in kwargs.items()}
    held = kwargs.get("validation_data")
    if isinstance(held, (tuple, list)):
        kwargs["validation_data"] = tuple(_array(value, tell) for value in held)
    return args, kwargs


def _fit_arguments(net, args, kwargs, tell):
    args, kwargs = _data_arguments(net, args, kwargs, tell)
    if isinstance(kwargs.get("class_weight"), str):  # Keras 2 took no notice of words
        tell(f"class_weight={kwargs['class_weight']!r}", "nothing")
        del kwargs["class_weight"]
    return args, _renamed(kwargs, {"nb_epoch": "epochs"}, FIT_NO_LONGER, tell)


def _compile_arguments(net, args, kwargs, tell):
    kwargs = _renamed(kwargs, {}, COMPILE_NO_LONGER, tell)
    if args:
        args = (_of_tensorflow_1(args[0], tell), *args[1:])
    elif "optimizer" in kwargs:
        kwargs["optimizer"] = _of_tensorflow_1(kwargs["optimizer"], tell)
    if kwargs.get("loss_weights", 0) is None:
        del kwargs["loss_weights"]
    third = args[2] if len(args) > 2 else None
    if isinstance(third, (list, tuple)) and third and not isinstance(third[0], (int, float)):
        tell("the third argument of compile", "metrics=")
        args, kwargs["metrics"] = args[:2], third
    if kwargs.get("metrics") is not None and not isinstance(kwargs["metrics"], (list, tuple, dict)):
        tell("one metric", "a list of metrics")
        kwargs["metrics"] = [kwargs["metrics"]]
    if isinstance(kwargs.get("loss"), str) and kwargs["loss"] in LOSSES:
        tell(kwargs["loss"], LOSSES[kwargs["loss"]])
        kwargs["loss"] = LOSSES[kwargs["loss"]]
    return args, kwargs


def _of_tensorflow_1(optimizer, tell):
    """Keras' optimizer for one of TensorFlow 1's, which tf.keras once took as well; anything else as it is."""
    old = type(optimizer).__name__
    rate = getattr(optimizer, "_learning_rate", getattr(optimizer, "_lr", None))
    if old not in TENSORFLOW_1 or rate is None:
        return optimizer
    tell(f"tf.train.{old}", TENSORFLOW_1[old])
    settings = {"learning_rate": float(rate)}
    if old == "MomentumOptimizer":
        settings.update(momentum=float(optimizer._momentum), nesterov=bool(optimizer._use_nesterov))
    return getattr(sys.modules["keras"].optimizers, TENSORFLOW_1[old])(**settings)


def _fit_generator(net, tell, generator, *args, **kwargs):
    """Keras 2's; and Keras 1's, which counted samples."""
    tell("fit_generator", "fit")
    order = ("steps_per_epoch", "epochs", "verbose", "callbacks", "validation_data", "validation_steps")
    words = _renamed(kwargs, {"nb_epoch": "epochs"}, FIT_NO_LONGER, tell)
    words.update({order[position]: value for position, value in enumerate(args)})
    samples, held = words.pop("samples_per_epoch", None), words.pop("nb_val_samples", None)
    if samples:
        generator, words["steps_per_epoch"] = _steps(generator, samples)
    if held and words.get("validation_data") is not None:
        words["validation_data"], words["validation_steps"] = _steps(words["validation_data"], held)
    return net.fit(generator, **words)


def _predict_classes(net, x, batch_size=None, verbose=0):
    found = net.predict(x, batch_size=batch_size, verbose=verbose)
    return found.argmax(axis=-1) if found.shape[-1] > 1 else (found > 0.5).astype("int32")


def _reset_states(net):
    for layer in net.layers:
        if hasattr(layer, "reset_state"):
            layer.reset_state()


def _steps(generator, samples):
    """The generator and its number of batches in so many samples."""
    size = getattr(generator, "batch_size", None)
    if not size:
        first = next(generator)
        size, generator = len(first[0]), itertools.chain([first], generator)
    return generator, max(1, -(-int(samples) // int(size)))


# --- small ones -----------------------------------------------------------------------------------------------------


def _backend(keras, modules):
    def ordering(kind):
        keras.config.set_image_data_format(ORDERINGS.get(kind, kind))

    def nothing(*args, **kwargs):
        return None

    def old_ordering():
        return {"channels_first": "th"}.get(keras.config.image_data_format(), "tf")

    extra = {"set_image_dim_ordering": ordering, "image_dim_ordering": old_ordering, "learning_phase": lambda: 0}
    extra.update(dict.fromkeys(("set_session", "get_session", "set_learning_phase"), nothing))
    extra.update(common=types.SimpleNamespace(**extra), tf=sys.modules.get("tensorflow"))

    def set_value(variable, value):
        variable.assign(value)

    for module in modules:
        _add(module, extra)
        module.set_value, module.get_value = set_value, np.asarray


def _categorical(modules, tell):
    original = modules[0].to_categorical

    @functools.wraps(original)
    def to_categorical(*args, **kwargs):
        if "nb_classes" in kwargs:
            tell("nb_classes=", "num_classes=")
            kwargs["num_classes"] = kwargs.pop("nb_classes")
        dtype = kwargs.pop("dtype", None)  # Keras 2 had it
        found = original(*args, **kwargs)
        return found if dtype is None else found.astype(dtype)

    for module in modules:
        module.to_categorical = to_categorical
        _add(module, {"plot": module.plot_model, "multi_gpu_model": lambda model, *_, **__: model})


def _others():
    """What went from TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        v1, seed = tensorflow.compat.v1, {"set_random_seed": tensorflow.random.set_seed}
        settings = {name: getattr(v1, name) for name in ("ConfigProto", "GPUOptions", "Session", "logging")}
        _add(tensorflow, {**seed, **settings, "enable_eager_execution": lambda *args, **kwargs: None})
        _add(tensorflow.random, seed)
        _add(tensorflow.train, {name: getattr(v1.train, name) for name in TENSORFLOW_1})


# --- NumPy, and pandas and scikit-learn as they come into the process ------------------------------------------------


def of_numpy(numpy, tell, is_user):
    """Teach NumPy the names that it dropped; told is what the user's own files ask for (`is_user(file)`)."""
    original = vars(numpy).get("__getattr__")
    changed = {  # where the new name alone would mean something else
        "NINF": -numpy.inf,
        "PZERO": 0.0,
        "NZERO": -0.0,
        "in1d": lambda ar1, *args, **words: numpy.isin(numpy.ravel(ar1), *args, **words),
        "asscalar": lambda a: numpy.asarray(a).item(),
        "asfarray": lambda a, dtype=numpy.float64: numpy.asarray(a, dtype),
        "msort": lambda a: numpy.sort(a, axis=0),
        "find_common_type": lambda array_types, scalar_types: numpy.result_type(*array_types, *scalar_types),
    }

    def find(name):
        if name not in NUMPY:
            if original is not None:
                return original(name)
            raise AttributeError(f"module 'numpy' has no attribute {name!r}")
        new = NUMPY[name]
        if is_user(sys._getframe(1).f_code.co_filename):
            tell(f"np.{name}", f"np.{new}" if isinstance(new, str) else new.__name__)
        if name in changed:
            return changed[name]
        return getattr(numpy, new) if isinstance(new, str) else new

    numpy.__getattr__ = find


class _Places:
    """`frame.ix[…]` of pandas: by label, and where there is no such label by place."""

    def __init__(self, frame):
        self.frame = frame

    def __getitem__(self, key):
        try:
            return self.frame.loc[key]
        except (KeyError, TypeError, IndexError):
            return self.frame.iloc[key]


def _pandas(pandas):
    def drop(frame, args, kwargs):
        if len(args) > 1:  # df.drop("price", 1)
            args, kwargs = args[:1], {**kwargs, "axis": args[1]}
        return args, kwargs

    for kind in (pandas.DataFrame, pandas.Series):
        old = {"as_matrix": lambda data, *_: data.to_numpy(), "ix": property(_Places), "iteritems": kind.items}
        old["append"] = lambda data, other, ignore_index=False, **_: pandas.concat(
            [data, other], ignore_index=ignore_index
        )
        _add(kind, old)
        kind.drop = _wrap(kind.drop, drop)


def _preprocessing(module):
    def sparse(encoder, args, kwargs):
        return args, {"sparse_output" if key == "sparse" else key: value for key, value in kwargs.items()}

    def imputer(missing_values=np.nan, strategy="mean", axis=0):
        return importlib.import_module("sklearn.impute").SimpleImputer(strategy=strategy)

    module.OneHotEncoder.__init__ = _wrap(module.OneHotEncoder.__init__, sparse)
    _add(module, {"Imputer": imputer})


def _externals(module):
    _add(module, {"joblib": importlib.import_module("joblib")})


LIBRARIES = {"pandas": _pandas, "sklearn.preprocessing": _preprocessing, "sklearn.externals": _externals}
