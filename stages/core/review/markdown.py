"""The Markdown of a review: what is not up to date, the conclusions that changed, and the numbers: of each study what
its rows have in common and a table of the changes.

It is meant for a comment on GitHub, so it stays below LIMIT whatever changed: tables are cut, the most important rows
come first, and what is left out is counted. Every text that comes from a record, a config or a file name is escaped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from stages.core.base.text import escape, p_text
from stages.core.results import tables
from stages.core.review.compare import (
    BETTER,
    NEWLY_DIVERGED,
    NO_LONGER_DIVERGED,
    NOISE,
    SAME,
    UNKNOWN,
    WORSE,
    Change,
    Difference,
    Figures,
    Review,
    StudyReview,
)
from stages.core.review.conclusions import Turn
from stages.core.review.staleness import Outdated

LIMIT = 60_000
"""Bytes of UTF-8. GitHub refuses a comment above 65,536 characters."""

TABLE_ROWS = (None, 200, 100, 50, 20, 10, 5, 2, 1, 0)
"""Rows a table may have, tried in this order until the text is below LIMIT; None: all."""

MAX_LINES = 10
"""Of problems, of circumstances and of settings that all rows share."""

MAX_NAMES = 5
"""Of rows or files for which one reason holds."""

MANY = 3
"""From so many rows on that a study's own seeds or settings changed alike, their table is folded."""

MAX_SETTINGS, MAX_TEXT = 6, 80
"""Settings named for one row, and characters of a text that comes from a file."""

PLURALS = {"verdict": "verdicts", "diagnosis": "diagnoses", "beside its baseline": "beside their baseline"}

COLUMNS = ("row", "before", "now", "difference [95 % interval]", "p (Holm)", "what it is")

HOW_TO_READ = (  # a comment on GitHub breaks a line where the text does
    "<details><summary>How to read this</summary>\n\n"
    "- *Up to date*: DVC finds every result made from the code and the configuration beside it, and every "
    "table, figure and answer is what the records give when it is made anew.\n"
    "- Figures are mean ± standard deviation (seeds) of the study's metric. The difference is now − before, of an "
    "added row the row − its study's baseline, with the 95 % interval of that row alone.\n"
    f"- **{BETTER}**, **{WORSE}**: more than noise, which is a Holm-adjusted p below 0.05 over the study's rows that "
    "changed, or of an added row over the document's rows or those beyond it, as in the study's table.\n"
    f"- *{NOISE}*: these seeds cannot tell it from no difference; that is no proof that there is none.\n"
    f"- *{UNKNOWN}*: one seed, seeds without any spread, or a metric that is not finite.\n"
    f"- **{NEWLY_DIVERGED}**: the loss is not finite in some seeds, and was in all before.\n"
    "- *changed config*: what differs between the resolved rows.\n"
    "- Seeds on both sides compare in pairs. *Unpaired*, fewer than two are the same, is Welch's test.\n\n"
    "</details>"
)


def to_markdown(
    review: Review, base: str, outdated: Sequence[Outdated] = (), turns: Sequence[Turn] = (), figures: int = 0
) -> str:
    """The review as Markdown of less than LIMIT bytes.

    Args:
        review: what changed.
        base: what it is compared with, in a few words.
        outdated: what is not up to date.
        turns: conclusions that changed.
        figures: how many figures changed.
    """
    first = [f"## Results compared with {_escape(base)}", *_outdated(outdated), *_turns(turns, review)]
    texts = (_text(review, first, figures, rows) for rows in TABLE_ROWS)
    return next((text for text in texts if len(text.encode()) < LIMIT), _shortest(review, first))


def _text(review: Review, first: list[str], figures: int, rows: int | None) -> str:
    parts = [*first, _headline(review, figures), *_problems(review.problems)]
    parts += [part for study in review.studies for part in _study(study, rows)]
    return "\n\n".join([*parts, *([HOW_TO_READ] if review.studies else [])]) + "\n"


def _shortest(review: Review, first: list[str]) -> str:
    return "\n\n".join([*first, _headline(review), f"{len(review.studies)} studies changed, too many to list."]) + "\n"


# --- what is not up to date, and what is said otherwise now


def _outdated(outdated: Sequence[Outdated]) -> list[str]:
    """A headline, and a line for each reason with the rows or files for which it holds."""
    if not outdated:
        return []
    rows = sum(item.is_row for item in outdated)
    counts = [_rows(rows)] if rows else []
    if others := len(outdated) - rows:
        counts.append(f"{others} other result{'' if others == 1 else 's'}")
    by_reason: dict[tuple[str, bool], list[str]] = {}
    for item in outdated:
        by_reason.setdefault((item.why, item.is_row), []).append(item.name)
    lines = [f"- {_named(names, is_row)}: {_escape(why, 3 * MAX_TEXT)}" for (why, is_row), names in by_reason.items()]
    return [
        f"**Not up to date: {' and '.join(counts)}.** What is said below rests on results that do not belong to this "
        "code and configuration. Run make repro, look at what changes, and commit conf/, dvc.lock and results/ "
        "together.",
        "\n".join(_cut(lines)),
    ]


def _named(names: list[str], is_row: bool) -> str:
    listed = ", ".join(_escape(name) for name in names[:MAX_NAMES])
    listed += f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{_rows(len(names))} ({listed})" if is_row else listed


def _turns(turns: Sequence[Turn], review: Review) -> list[str]:
    """Verdicts first, then diagnoses and what beats its baseline, a line each."""
    if not turns:
        return ["**No conclusion changed.**"] if review.studies else []
    order = sorted(turns, key=lambda turn: turn.kind != "verdict")
    lines = [
        f"- {_escape(turn.study)}, {_escape(turn.about, 2 * MAX_TEXT)}: {turn.kind} {_escape(turn.before)} → "
        f"**{_escape(turn.after)}**"
        for turn in order
    ]
    counts = Counter(turn.kind for turn in order)
    said = ", ".join(f"{n} {PLURALS[kind] if n > 1 else kind}" for kind, n in counts.items())
    return [f"**Conclusions that changed: {said}.**", "\n".join(_cut(lines, 2 * MAX_LINES))]


# --- the headline


def _headline(review: Review, figures: int = 0) -> str:
    changes = [change for study in review.studies for change in study.changes]
    kinds = Counter(change.kind for change in changes)
    compared = [change for change in changes if change.kind in {"changed", "renamed"}]
    clear = sum(change.word in {BETTER, WORSE} for change in compared)
    divergence = Counter(change.divergence for change in compared)
    parts = [f"{_rows(kinds[kind])} {kind}" for kind in ("added", "changed", "renamed", "removed") if kinds[kind]]
    if compared:
        parts.append(f"{clear or 'none'} of the differences {'is' if clear < 2 else 'are'} more than noise")
    parts += [f"{_rows(divergence[word])} {word}" for word in (NEWLY_DIVERGED, NO_LONGER_DIVERGED) if divergence[word]]
    if review.problems:
        parts.append(f"{len(review.problems)} of the records cannot be read")
    rest = [f"{_rows(review.unchanged)} unchanged"]
    if review.repeated:
        rest.append(f"{_rows(review.repeated)} trained again with the same figures")
    if figures:
        rest.append(f"{figures} figure{'' if figures == 1 else 's'} changed")
    return f"**{'; '.join(parts) or 'No result changed'}.** {'; '.join(rest)}."


def _problems(problems: list[str]) -> list[str]:
    """Records that could not be compared, a line each."""
    if not problems:
        return []
    lines = [f"- {_escape(problem, 3 * MAX_TEXT)}" for problem in problems]
    return ["\n".join(["Not compared, for the record cannot be read:", "", *_cut(lines)])]


# --- a study


def _study(review: StudyReview, rows: int | None) -> list[str]:
    split, metric = review.study.metric.split(".")
    better = "higher" if review.study.higher_is_better else "lower"
    parts = [f"### {_escape(review.name)}: {_escape(split)} {_escape(metric)}, {better} is better", *_common(review)]
    if review.changes and rows != 0:
        lines = [COLUMNS, ("---", *["---:"] * 4, "---"), *(_cells(review, change) for change in review.changes[:rows])]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        parts += _folded(review, table) if _changed_alike(review) else [table]
    left = review.changes[rows:] if rows is not None else []
    if left:
        counts = Counter(_in_short(change) for change in left)
        parts.append(f"… and {_rows(len(left), 'more ')}: {', '.join(f'{n} {name}' for name, n in counts.items())}.")
    return parts


def _changed_alike(review: StudyReview) -> bool:
    """Whether many rows changed in what they share: their number of seeds, or the same settings."""
    changed = [change for change in review.changes if change.kind == "changed"]
    more_seeds = any(name == "seeds" for name, _, _ in review.circumstances)
    return len(changed) >= MANY and (more_seeds or bool(review.shared_settings))


def _folded(review: StudyReview, table: str) -> list[str]:
    """One line with the range of the differences and what they are, and the table behind it."""
    changed = [change for change in review.changes if change.kind == "changed"]
    means = [change.difference.mean for change in changed if math.isfinite(change.difference.mean)]
    halves = [(change.difference.high - change.difference.low) / 2 for change in changed]
    half = max(filter(math.isfinite, halves), default=math.nan)
    words = Counter(_in_short(change) for change in changed)
    said = ", ".join(
        f"**{n} {word}**" if word in {BETTER, WORSE, NEWLY_DIVERGED} else f"{n} {word}" for word, n in words.items()
    )
    span = f" differ from before by {_signed(min(means), half)} to {_signed(max(means), half)}" if any(means) else ""
    return [
        f"{_rows(len(changed))}{span}: {said}.",
        f"<details><summary>All rows of the study that changed</summary>\n\n{table}\n\n</details>",
    ]


def _common(review: StudyReview) -> list[str]:
    """What several rows share is said once."""
    lines = [
        f"- {_escape(name)}: {_escape(old)} → {_escape(new)} ({_rows(n)})"
        for (name, old, new), n in review.circumstances.items()
    ]
    shared = [
        f"- config of every changed row: {_setting(key, *values)}" for key, values in review.shared_settings.items()
    ]
    lines = _cut(lines) + _cut(shared)
    return ["\n".join(lines)] if lines else []


def _cells(review: StudyReview, change: Change) -> list[str]:
    label = review.study.labels.get(change.row)
    return [
        _escape(change.row) + (f"<br>{_escape(label)}" if label else ""),
        _mean(change.before),
        _mean(change.after),
        _difference(change),
        _p(change.p_holm),
        ", ".join(_words(review, change)),
    ]


def _mean(figures: Figures | None) -> str:
    if figures is None:
        return ""
    sample = figures.sample
    return tables.mean_text(sample.mean, sample.sd, len(figures.values), sample.n, math.nan, groups="")


def _difference(change: Change) -> str:
    found = change.difference
    if found is None:
        return ""
    if math.isnan(found.mean):
        return tables.DASH
    if found.unknown == SAME:
        return f"0{_pairing(change, found)}"
    half = (found.high - found.low) / 2
    mean, low, high = (_signed(value, half) for value in (found.mean, found.low, found.high))
    interval = f"[{low}, {high}]" if math.isfinite(half) else f"[{tables.DASH}]"
    return f"{mean} {interval}{_pairing(change, found)}"


def _signed(value: float, spread: float) -> str:
    text = tables.with_spread(value, spread)[0]
    return f"+{text}" if value > 0 else text


def _pairing(change: Change, found: Difference) -> str:
    if found.pairs is None:
        return ", unpaired"
    seeds = max(len(side.values) for side in (change.before, change.after) if side is not None)
    return f", {found.pairs} pairs" if found.pairs < seeds else ""


def _p(value: float) -> str:
    return escape(p_text(value))


def _words(review: StudyReview, change: Change) -> list[str]:
    if change.kind == "removed":
        return ["removed"]
    words = []
    if change.kind == "added":
        words.append("added, the baseline" if change.row == review.study.baseline else "added")
    if change.renamed_from is not None:
        words.append(f"renamed from {_escape(change.renamed_from)}")
    words += _divergence(change)
    if change.word and not (change.word == UNKNOWN and change.divergence):
        words.append(_word(review, change))
    settings = {key: pair for key, pair in (change.settings or {}).items() if key not in review.shared_settings}
    if settings:
        texts = [_setting(key, *values) for key, values in settings.items()]
        more = [f"… and {len(texts) - MAX_SETTINGS} more"] if len(texts) > MAX_SETTINGS else []
        words.append("changed config: " + "; ".join([*texts[:MAX_SETTINGS], *more]))
    elif change.settings:
        words.append("changed config")
    return words


def _word(review: StudyReview, change: Change) -> str:
    word = f"**{change.word}**" if change.word in {BETTER, WORSE} else change.word
    if change.word == UNKNOWN:
        word += f" ({change.difference.unknown})"
    if change.kind != "added":
        return word
    return f"{word} {'than' if change.word in {BETTER, WORSE} else 'beside'} {_escape(review.study.baseline)}"


def _divergence(change: Change) -> list[str]:
    now = change.after.diverged
    seeds = f"{now} of {len(change.after.values)} seeds"
    before = change.before.diverged if change.before is not None else 0
    if change.divergence == NO_LONGER_DIVERGED:
        return [NO_LONGER_DIVERGED]
    if change.divergence == NEWLY_DIVERGED:
        return [f"**{NEWLY_DIVERGED}** ({seeds})"]
    if not now:
        return []
    return [f"diverged ({seeds}{f', {before} before' if before not in {0, now} else ''})"]


def _in_short(change: Change) -> str:
    return change.divergence or (change.kind if change.kind in {"added", "removed"} else change.word)


def _setting(key: str, old: str, new: str) -> str:
    return f"{_escape(key)} {_escape(old)} → {_escape(new)}"


# --- text


def _rows(n: int, more: str = "") -> str:
    return f"{n} {more}row{'' if n == 1 else 's'}"


def _cut(lines: list[str], most: int = MAX_LINES) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"- … and {len(lines) - most} more"]


def _escape(text: str, longest: int = MAX_TEXT) -> str:
    """Text from outside that Markdown shows as it is: on one line, clipped, without invisible characters."""
    text = "".join(character if character.isprintable() else " " for character in text)
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return escape(text.replace("&", "&amp;"))
