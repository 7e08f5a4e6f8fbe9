"""Why does a network not learn? Today from a training log alone.

    python -m stages.commands.why --log FILE [--json FILE]

FILE is CSVLogger's CSV, a JSON of History.history, or what Keras printed; `-` reads pasted text.
"""

import argparse

from stages.commands import why_log
from stages.core.base.errors import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", metavar="FILE", required=True, help="a training log; - for standard input")
    parser.add_argument("--json", metavar="FILE", help="write the answer there as JSON too")
    arguments = parser.parse_args()
    why_log.main(arguments.log, arguments.json)


if __name__ == "__main__":
    run(main)
