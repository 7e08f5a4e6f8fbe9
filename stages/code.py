"""Stage code: stages/ and requirements.lock -> build/code/<stage>.yaml, the digests of the code that each stage runs.

The other stages depend on these digests, so that a comment or a helper that nobody calls runs nothing again.
"""

from pathlib import Path

from stages.core.base.errors import run, without_arguments
from stages.core.base.files import write_atomically
from stages.core.config import code

FOLDER = Path("build/code")


def main() -> None:
    sources, versions = code.read()
    for stage in code.stages(sources):
        digests = code.digests(sources, versions, stage)
        write_atomically(FOLDER / f"{stage}.yaml", "".join(f"{name}: {digest}\n" for name, digest in digests.items()))


if __name__ == "__main__":
    run(without_arguments(main))
