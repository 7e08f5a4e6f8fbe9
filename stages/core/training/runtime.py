"""TensorFlow, loaded without what training does not use, and set up so that its results do not depend on the cores."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from stages.core.base.errors import UserError

# Keras and TensorFlow import these, where installed, for what training never uses; they cost a second of start-up.
UNUSED = ("PIL", "h5py", "jax", "matplotlib", "pandas", "psutil", "scipy", "sklearn")


def workers(seeds: int, cores: int) -> int:
    """How many seeds train at once on `cores`: waves as even as possible, so that no core idles in the last one."""
    return -(-seeds // max(1, seeds // cores))


OURS = ("--tf_xla_persistent_cache_directory=", "--xla_gpu_cuda_data_dir=")
"""Of TensorFlow's and XLA's flags, those that say where something is and change no number."""

UNSET = (  # what would change numbers without being part of a row
    *("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS", "NVIDIA_TF32_OVERRIDE"),
    *("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED", "TF_USE_LEGACY_KERAS"),
)


def isolate(environment: MutableMapping[str, str]) -> None:
    """Take out of the environment what changes numbers; before TensorFlow's library is loaded.

    Keras' settings of this machine (keras.json: epsilon, floatx, image_data_format) are looked for where none can be.
    """
    for name in UNSET:
        environment.pop(name, None)
    environment |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": f"{os.devnull}/keras"}
    kept = {
        name: [flag for flag in environment.pop(name, "").split() if flag.startswith(OURS)]
        for name in ("TF_XLA_FLAGS", "XLA_FLAGS")
    }
    kept["XLA_FLAGS"].append("--xla_cpu_multi_thread_eigen=false")
    environment |= {name: " ".join(flags) for name, flags in kept.items() if flags}


def load() -> None:
    """Import TensorFlow and Keras, without what training does not use and what they say as they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    isolate(os.environ)
    blocked = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))
    gc.disable()  # thousands of modules come to stay: looking through them again and again took a quarter of the time
    try:
        with _quiet():
            import keras  # noqa: F401
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")
    except ImportError as error:
        if "memory" in str(error).lower() or "failed to map segment" in str(error):
            raise MemoryError(str(error)) from None
        raise
    finally:
        for name in blocked:
            del sys.modules[name]
        gc.freeze()
        gc.enable()


def prepare(device: str, threads: int, convolutions: bool) -> str:
    """Import TensorFlow and choose the device; call once, before anything else imports it.

    On a CPU each seed is one program and `threads` of them run side by side; no operation is split over cores. Sums
    are then always made in the same order: results are the same bits on any number of cores.

    Args:
        device: auto, cpu or gpu.
        threads: programs that may run at once.
        convolutions: whether the row has any; on a CPU it then runs without XLA.

    Returns:
        "cpu" or "gpu", the device that is used.

    Raises:
        UserError: a GPU is asked for and TensorFlow sees none.
    """
    load()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    # TensorFlow's own operations split over this pool, so it gets one thread; XLA's whole programs run in it, one a
    # thread, and are compiled differently for a pool of one.
    tf.config.threading.set_intra_op_parallelism_threads(1 if convolutions else max(2, threads))
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    # Grappler's rewrite of sums uses temporary variables that programs running at once would share (TensorFlow 2.21).
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    if device == "gpu" and not gpus:
        raise UserError("device: gpu is asked for, but TensorFlow sees none; set device: auto or cpu in params.yaml")
    if device == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    return "gpu"


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what TensorFlow writes to stderr while it loads, which no setting silences, unless that fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
