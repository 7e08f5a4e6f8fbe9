"""What a change does to the results: results of a Git revision and of the working tree -> Markdown on stdout.

    regbench review BASE

First comes what is not up to date in the working tree (then the exit code is 1), then the conclusions that changed,
then the numbers. As in a pull request, the working tree is compared with the last commit that it shares with BASE (the
merge base of BASE and HEAD): what BASE got in the meantime is no change of this one. Nothing is checked out or trained,
and no committed file changes; Git and DVC are only asked.
"""

import argparse
import csv
import io
import re
import subprocess
import sys
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.config.yaml import read_resolved, read_yaml
from stages.core.review import compare as review
from stages.core.review import conclusions, staleness
from stages.core.review import markdown as review_markdown
from stages.core.running import dvc

RESULTS, STUDIES, ROWS = Path("results"), Path("conf/study"), Path("build/rows")
RUNS, TABLES, ANSWERS = RESULTS / "runs", RESULTS / "tables", RESULTS / "answers.md"
RECORD = re.compile(rf"{RUNS.as_posix()}/([^/.][^/]*/[^/.][^/]*)\.json")
CHECKS = (
    *(("stages.aggregate",), ("stages.plot",), ("stages.answers",), ("stages.overview",), ("stages.grid",)),
    ("stages.commands.cli", "readme"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE", help="a Git revision: branch, tag, commit")
    base = parser.parse_args().base
    commit = common_commit(base)
    old, new = files_of(commit), files_here()
    before, after = keyed(old), keyed(new)
    for texts, where in ((before, f"{base} (at {commit[:10]})"), (after, "the working tree")):
        if not texts:
            raise UserError(f"{where}: there are no run records below {RUNS}")
    sides = review.read(before, f"{commit[:10]}:{RUNS}"), review.read(after, str(RUNS))
    declared = studies({key.partition("/")[0] for key in [*before, *after]})
    outdated = not_up_to_date(sides[1])
    figures = len(git("diff", "--name-only", "-z", commit, "--", f"{RESULTS}/figures").split(b"\0")) - 1
    text = review_markdown.to_markdown(
        review.compare(*sides, declared), f"{base} (at {commit[:10]})", outdated, turns(old, new, declared), figures
    )
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print(text, end="", flush=True)
    if outdated:
        raise UserError("the results are not up to date, see above")


def not_up_to_date(side: review.Side) -> list[staleness.Outdated]:
    """What of the working tree's results is stale or edited; its rows are composed in build/ for that."""
    if problems := dvc.compose():
        raise UserError(f"nothing can be said of the results: {problems[0]}")
    status = dvc.status()
    rows = {}
    for key in staleness.stale_rows(status):
        record = side.records.get(key)
        rows[key] = staleness.reason(record and record.config, read_resolved(ROWS / f"{key}.yaml"))  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        said = [line for lines in pool.map(lambda command: dvc.quietly(*command, "--check"), CHECKS) for line in lines]
    selected = read_yaml(Path("params.yaml"))["studies"]
    left = [staleness.Outdated(path, staleness.LEFT_OVER) for path in left_over(side.texts, selected)]
    damaged = [f"{RUNS}/{key}.json: {staleness.EDITED}" for key in side.problems]
    return staleness.find(status, rows, [*damaged, *said]) + left


def left_over(keys: Iterable[str], selected: Container[str]) -> list[str]:
    """Records, or folders of them, that no composed row stands for; `aggregate` tells those of selected studies."""
    known = {key: (ROWS / f"{key}.yaml").is_file() for key in keys}
    folders = {key.partition("/")[0] for key, composed in known.items() if composed}
    lost = [key for key, composed in known.items() if not composed and key.partition("/")[0] not in selected]
    paths = (f"{key}.json" if key.partition("/")[0] in folders else key.partition("/")[0] for key in lost)
    return sorted({f"{RUNS}/{path}" for path in paths})


def turns(old: dict[str, bytes], new: dict[str, bytes], declared: dict[str, review.Study]) -> list[conclusions.Turn]:
    """The conclusions that changed from one side's tables and answers to the other's."""

    def text(files: dict[str, bytes], path: Path) -> str:
        return files.get(path.as_posix(), b"").decode(errors="replace")

    found = conclusions.of_answers(text(old, ANSWERS), text(new, ANSWERS))
    for name, study in declared.items():
        lines = [list(csv.DictReader(io.StringIO(text(side, TABLES / f"{name}.csv")))) for side in (old, new)]
        found += conclusions.of_tables(name, *lines, study.higher_is_better)  # type: ignore[arg-type, call-arg]
    return found


def common_commit(base: str) -> str:
    """The merge base of a revision and HEAD, as a full hash."""
    commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}").decode().strip()
    if not commit:
        raise UserError(f"{base}: is no revision of this repository; fetch it or name another, as in BASE=HEAD~1")
    common = git("merge-base", commit, "HEAD").decode().strip()
    if not common:
        raise UserError(f"{base}: shares no commit with HEAD; in a shallow clone run `git fetch --unshallow` first")
    return common


def files_of(commit: str) -> dict[str, bytes]:
    """Records, tables and answers of a commit, by path."""
    listed = git("ls-tree", "-r", "-z", commit, f"{RESULTS}/").decode(errors="replace").split("\0")
    entries = (re.fullmatch(r"\d+ blob (\w+)\t(.*)", line, re.DOTALL) for line in listed)
    blobs = {entry[2]: entry[1] for entry in entries if entry and _compared(entry[2])}
    answer, texts, start = git("cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs.values())), {}, 0
    for path in blobs:  # each answer is a line "<hash> blob <size>", then as many bytes and a line feed
        end = answer.index(b"\n", start)
        size = answer[start:end].split()[-1]
        if not size.isdigit():
            raise UserError(f"{commit[:10]}:{path}: is missing from this clone; run `git fetch`")
        start = end + 2 + int(size)
        texts[path] = answer[end + 1 : start - 1]
    return texts


def files_here() -> dict[str, bytes]:
    """Records, tables and answers of the working tree, by path."""
    found = [*sorted(RUNS.glob("*/*.json")), *sorted(TABLES.glob("*.csv")), ANSWERS]
    return {path.as_posix(): path.read_bytes() for path in found if path.is_file() and _compared(path.as_posix())}


def keyed(files: dict[str, bytes]) -> dict[str, bytes]:
    """The run records among files, by study/row."""
    return {match[1]: text for path, text in files.items() if (match := RECORD.fullmatch(path))}


def _compared(path: str) -> bool:
    return bool(RECORD.fullmatch(path)) or path.endswith(".csv") or path == ANSWERS.as_posix()


def studies(names: set[str]) -> dict[str, review.Study]:
    """What conf/study/ says of these studies, as far as it has them and they name a metric."""
    paths = {name: STUDIES / f"{name}.yaml" for name in names}
    read = {name: (read_yaml(path), str(path)) for name, path in paths.items() if path.is_file()}
    return {name: review.declared(*found) for name, found in read.items() if "metric" in found[0]}


def git(*arguments: str, given: str = "") -> bytes:
    """What Git answers; nothing where it finds nothing and says nothing.

    Raises:
        UserError: Git fails, or is not there.
    """
    try:
        done = subprocess.run(["git", *arguments], input=given.encode(), capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("git is not installed; a review needs it") from None
    if done.returncode and done.stderr:
        raise UserError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip().splitlines()[0]}")
    return done.stdout
