"""What a change does to the results: run records of a Git revision and of the working tree -> Markdown on stdout.

    regbench review BASE

As in a pull request, the working tree is compared with the last commit that it shares with BASE (the merge base of BASE
and HEAD): what BASE got in the meantime is no change of this one. Nothing is checked out; Git is only asked.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.config.yaml import read_yaml
from stages.core.review import compare as review
from stages.core.review import markdown as review_markdown

RUNS, STUDIES = Path("results/runs"), Path("conf/study")
RECORD = re.compile(rf"{RUNS.as_posix()}/([^/.][^/]*/[^/.][^/]*)\.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE", help="a Git revision: branch, tag, commit")
    base = parser.parse_args().base
    commit = common_commit(base)
    before, after = records_of(commit), records_here()
    for texts, where in ((before, f"{base} (at {commit[:10]})"), (after, "the working tree")):
        if not texts:
            raise UserError(f"{where}: there are no run records below {RUNS}")
    sides = review.read(before, f"{commit[:10]}:{RUNS}"), review.read(after, str(RUNS))
    found = review.compare(*sides, studies({key.partition("/")[0] for key in [*before, *after]}))
    sys.stdout.reconfigure(encoding="utf-8")
    print(review_markdown.to_markdown(found, f"{base} (at {commit[:10]})"), end="")


def common_commit(base: str) -> str:
    """The merge base of a revision and HEAD, as a full hash."""
    commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}").decode().strip()
    if not commit:
        raise UserError(f"{base}: is no revision of this repository; fetch it or name another, as in BASE=HEAD~1")
    common = git("merge-base", commit, "HEAD").decode().strip()
    if not common:
        raise UserError(f"{base}: shares no commit with HEAD; in a shallow clone run `git fetch --unshallow` first")
    return common


def records_of(commit: str) -> dict[str, bytes]:
    """Run records of a commit, by study/row."""
    listed = git("ls-tree", "-r", "-z", commit, f"{RUNS}/").decode(errors="replace").split("\0")
    entries = (re.fullmatch(r"\d+ blob (\w+)\t(.*)", line, re.DOTALL) for line in listed)
    blobs = {match[1]: entry[1] for entry in entries if entry and (match := RECORD.fullmatch(entry[2]))}
    answer, texts, start = git("cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs.values())), {}, 0
    for key in blobs:  # each answer is a line "<hash> blob <size>", then as many bytes and a line feed
        end = answer.index(b"\n", start)
        size = answer[start:end].split()[-1]
        if not size.isdigit():
            raise UserError(f"{commit[:10]}:{RUNS}/{key}.json: is missing from this clone; run `git fetch`")
        start = end + 2 + int(size)
        texts[key] = answer[end + 1 : start - 1]
    return texts


def records_here() -> dict[str, bytes]:
    """Run records of the working tree, by study/row."""
    found = {RECORD.fullmatch(path.as_posix()): path for path in sorted(RUNS.glob("*/*.json")) if path.is_file()}
    return {match[1]: path.read_bytes() for match, path in found.items() if match}


def studies(names: set[str]) -> dict[str, review.Study]:
    """What conf/study/ says of these studies, as far as it has them."""
    paths = {name: STUDIES / f"{name}.yaml" for name in names}
    return {name: review.declared(read_yaml(path), str(path)) for name, path in paths.items() if path.is_file()}


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
