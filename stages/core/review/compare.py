"""Review of a change of results: the run records before and now -> what became of each row, and is it more than noise?

Seeds that stand on both sides compare in pairs, for they share the split, the initial weights and the order of batches;
where fewer than two do, the sides are independent samples (Welch). A pair stays a pair when the code or the processor
changed: if it shares nothing after all, the paired test only loses some power. p-values are adjusted by Holm over the
rows of a study that changed; a row that was added is held against its study's baseline row instead, with the p-value
that the study's table gives. One seed, seeds without any spread, and seeds whose metric is not finite allow no word on
better, worse or noise.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from stages.core.base.errors import UserError
from stages.core.config.validation import validate
from stages.core.records import records
from stages.core.records.records import Record
from stages.core.results import statistics

BETTER, WORSE, NOISE, SAME, UNKNOWN = "better", "worse", "noise", "same figures", "cannot tell"
NEWLY_DIVERGED, NO_LONGER_DIVERGED = "newly diverged", "no longer diverged"

NAMES = {"study", "row"}
CIRCUMSTANCES = {"seeds", "device", "fingerprint"}
"""Keys of a resolved configuration that say under what circumstances a row ran, not what it is."""

NOTHING = "nothing"
"""Stands for a setting that one side does not have."""

DIGEST_DIGITS = 12

Kind = Literal["changed", "renamed", "added", "removed"]


@dataclass(frozen=True)
class Side:
    """The run records of one revision, by key (study/row); `problems` says why others cannot be read."""

    texts: Mapping[str, bytes]
    records: Mapping[str, Record]
    problems: Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """What a study declares, as far as a review needs it; `labels` by row, in the document's order.

    `beyond`: rows that the document does not have.
    """

    metric: str
    baseline: str | None
    labels: Mapping[str, str]
    beyond: frozenset[str] = frozenset()

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher metric is the better one; an error or a loss is better when lower."""
        return self.metric.endswith("accuracy")


@dataclass(frozen=True)
class Figures:
    """A row's metric by seed (NaN: not finite), and the number of seeds whose loss was not finite."""

    values: Mapping[int, float]
    diverged: int

    @cached_property
    def sample(self) -> statistics.Sample:
        """Mean and standard deviation over the seeds whose metric is finite."""
        return statistics.describe(list(self.values.values()))


@dataclass(frozen=True)
class Difference:
    """Mean difference with its 95 % interval, NaN where there is none; `unknown` says why there is no p-value."""

    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    pairs: int | None = None
    """None: unpaired"""
    unknown: str = ""


@dataclass(frozen=True)
class Change:
    """What became of a row. `difference` is new minus old; of a row that was added, row minus baseline."""

    kind: Kind
    row: str
    before: Figures | None = None
    after: Figures | None = None
    difference: Difference | None = None
    p_holm: float = math.nan
    word: str = ""
    settings: Mapping[str, tuple[str, str]] | None = None
    """by dotted key, old and new value"""
    renamed_from: str | None = None

    @property
    def divergence(self) -> str:
        """NEWLY_DIVERGED, NO_LONGER_DIVERGED, or nothing."""
        if self.before is None or self.after is None or bool(self.before.diverged) == bool(self.after.diverged):
            return ""
        return NEWLY_DIVERGED if self.after.diverged else NO_LONGER_DIVERGED


@dataclass(frozen=True)
class StudyReview:
    """The changes of a study, the most important first."""

    name: str
    study: Study
    changes: list[Change]
    shared_settings: Mapping[str, tuple[str, str]]
    """settings that every changed row changed alike, by dotted key, old and new value"""
    circumstances: Mapping[tuple[str, str, str], int]
    """(what, old, new) -> number of rows; of all rows that ran again"""


@dataclass(frozen=True)
class Review:
    """All that changed between two sides."""

    studies: list[StudyReview]
    unchanged: int
    repeated: int
    """rows that ran again and gave the same figures"""
    problems: list[str]


def read(texts: Mapping[str, bytes], folder: str) -> Side:
    """Parse the run records of one side.

    Args:
        texts: by key (study/row).
        folder: where they are, for the text of a problem: `<folder>/<key>.json: ...`.
    """
    found, problems = {}, {}
    for key, text in texts.items():
        where = f"{folder}/{key}.json"
        try:
            record = records.parse(text, where)
            if f"{record.study}/{record.row}" != key:
                raise UserError(f"{where}: is the record of {record.study}/{record.row}")
            if len({seed.seed for seed in record.seeds}) < len(record.seeds):
                raise UserError(f"{where}: a seed appears twice")
            found[key] = record
        except UserError as error:
            problems[key] = str(error)
    return Side(texts, found, problems)


def declared(conf: Mapping[str, Any], where: str) -> Study:
    """A study from its file in conf/study/.

    Raises:
        UserError: metric, baseline or rows are not there; the text begins with `where`.
    """
    study = validate(_Declared, dict(conf), where)
    labels = {key.partition("/")[2]: row.label for key, row in study.rows.items()}
    beyond = frozenset(key.partition("/")[2] for key, row in study.rows.items() if row.beyond)
    return Study(study.metric, study.baseline, labels, beyond)


def compare(before: Side, after: Side, studies: Mapping[str, Study]) -> Review:
    """What changed from one side to the other.

    Args:
        before, after: the sides. A row that one of them cannot read is left out.
        studies: by name. Rows of any other, as those of the grid, are judged by the metric that their training
            monitored, those of one metric together.
    """

    def judged(record: Record) -> tuple[str, str]:
        declared = studies.get(record.study)
        return record.study, declared.metric if declared else _monitored(record)

    unread = before.problems.keys() | after.problems.keys()
    old = {key: record for key, record in before.records.items() if key not in unread}
    new = {key: record for key, record in after.records.items() if key not in unread}
    was = {key: key for key in new if key in old} | _renamed(old, new)
    unchanged = {key for key in new if before.texts.get(key) == after.texts[key]}
    pairs = {key: (old[was[key]], new[key]) for key in was if key not in unchanged}
    repeated = {key for key, pair in pairs.items() if key == was[key] and _same_row(*pair)}
    reviews = []
    for name, metric in sorted({judged(record) for record in [*old.values(), *new.values()]}):
        study = studies.get(name) or Study(metric, None, {})
        rows = {key: record for key, record in new.items() if judged(record) == (name, metric)}
        again = {key: pair for key, pair in pairs.items() if key in rows}
        changed = _changed([pair for key, pair in again.items() if key not in repeated], study)
        added = _added([record.row for key, record in rows.items() if key not in was], rows, study)
        gone = [record for key, record in old.items() if judged(record) == (name, metric) and key not in was.values()]
        removed = [Change("removed", record.row, before=_figures(record, study)) for record in gone]
        changes = sorted([*changed, *added, *removed], key=lambda change: _importance(change, study))
        circumstances = Counter(item for pair in again.values() for item in _changed_circumstances(*pair))
        if changes or circumstances:
            reviews.append(StudyReview(name, study, changes, _shared_settings(changed), circumstances))
    problems = [side.problems[key] for side in (before, after) for key in sorted(side.problems)]
    return Review(reviews, len(unchanged), len(repeated), problems)


def difference(old: Figures, new: Figures) -> Difference:
    """New minus old: in pairs where two seeds or more stand on both sides, or all; otherwise unpaired."""
    shared = [seed for seed in new.values if seed in old.values]
    paired = len(shared) >= 2 or old.values.keys() == new.values.keys()
    if paired:
        values, others = (np.array([side.values[seed] for seed in shared]) for side in (new, old))
    else:
        values, others = (np.array(list(side.values.values())) for side in (new, old))
    pairs = len(shared) if paired else None
    lost = int(np.sum(~np.isfinite(values)) + np.sum(~np.isfinite(others)))
    if lost:
        return Difference(pairs=pairs, unknown="metric missing or not finite in a seed")
    found = (statistics.paired_difference if paired else statistics.unpaired_difference)(values, others)
    unknown = ""
    if math.isnan(found.p_value):
        unknown = "one seed" if min(len(values), len(others)) < 2 else "the seeds have no spread"
        if abs(found.mean) <= statistics.RESOLUTION * np.abs([*values, *others]).max():
            unknown = SAME
    return Difference(found.mean, found.low, found.high, found.p_value, pairs, unknown)


def judge(difference: Difference, p_holm: float, higher_is_better: bool) -> str:
    """BETTER, WORSE, NOISE, SAME or UNKNOWN."""
    if difference.unknown:
        return SAME if difference.unknown == SAME else UNKNOWN
    if p_holm >= 1 - statistics.LEVEL:
        return NOISE
    return BETTER if (difference.mean > 0) == higher_is_better else WORSE


class _Labelled(BaseModel):
    label: str
    beyond: bool = False


class _Declared(BaseModel):
    metric: Annotated[str, Field(pattern=r"^\w+\.\w+$")]
    baseline: str | None = None
    rows: dict[str, _Labelled]


def _monitored(record: Record) -> str:
    """The metric of a record whose study no file in conf/study/ declares."""
    split = record.config.get("split")
    monitor = split["monitor"] if isinstance(split, dict) and split.get("monitor") in record.data.samples else "train"
    return f"{monitor}.{record.metric}"


def _figures(record: Record, study: Study) -> Figures:
    split, metric = study.metric.split(".")
    values = {seed.seed: seed.final.get(split, {}).get(metric) for seed in record.seeds}  # type: ignore[call-overload]
    lost = sum(seed.first_non_finite_epoch is not None or seed.final["train"]["loss"] is None for seed in record.seeds)
    return Figures({seed: math.nan if value is None else value for seed, value in values.items()}, lost)


def _renamed(old: Mapping[str, Record], new: Mapping[str, Record]) -> dict[str, str]:
    """New key -> old key of the rows that differ in their name alone, or in that and in a repeated training."""
    waiting, found = [key for key in new if key not in old], {}
    for was in (key for key in old if key not in new):
        alike = [key for key in waiting if _settings(old[was]) == _settings(new[key])]
        if alike:
            same_study = f"{old[was].study}/"
            key = max(alike, key=lambda key: (old[was].seeds == new[key].seeds, key.startswith(same_study)))
            found[key] = was
            waiting.remove(key)
    return found


def _same_row(old: Record, new: Record) -> bool:
    return old.seeds == new.seeds and _settings(old) == _settings(new)


def _changed(pairs: list[tuple[Record, Record]], study: Study) -> list[Change]:
    figures = [(_figures(old, study), _figures(new, study)) for old, new in pairs]
    differences = [difference(*pair) for pair in figures]
    adjusted = statistics.holm([one.p_value for one in differences])
    changes = []
    for (old, new), (before, after), found, p_holm in zip(pairs, figures, differences, adjusted, strict=True):
        moved = (old.study, old.row) != (new.study, new.row)
        changes.append(
            Change(
                "renamed" if moved else "changed",
                new.row,
                before,
                after,
                found,
                float(p_holm),
                judge(found, p_holm, study.higher_is_better),
                _changed_settings(old, new),
                (old.row if old.study == new.study else f"{old.study}/{old.row}") if moved else None,
            )
        )
    return changes


def _added(rows: list[str], of_study: Mapping[str, Record], study: Study) -> list[Change]:
    """The rows that were added, each held against the baseline; p adjusted as in the study's table, the document's rows
    and those beyond it by themselves."""
    figures = {record.row: _figures(record, study) for record in of_study.values()} if rows else {}
    baseline = figures.get(study.baseline)
    others = [row for row in figures if row != study.baseline and baseline is not None]
    differences = {row: difference(baseline, figures[row]) for row in others}
    adjusted: dict[str, float] = {}
    for beyond in (False, True):
        family = [row for row in others if (row in study.beyond) == beyond]
        adjusted |= zip(family, statistics.holm([differences[row].p_value for row in family]), strict=True)
    return [
        Change(
            "added",
            row,
            after=figures[row],
            difference=differences.get(row),
            p_holm=float(adjusted.get(row, math.nan)),
            word=judge(differences[row], adjusted[row], study.higher_is_better) if row in differences else "",
        )
        for row in rows
    ]


def _importance(change: Change, study: Study) -> tuple[int, int, str]:
    """What a reviewer must see comes first; then the document's order."""
    known = change.before is not None and change.after is not None
    ranks = [
        change.divergence == NEWLY_DIVERGED,
        known and change.word == WORSE,
        known and change.word == BETTER,
        change.divergence == NO_LONGER_DIVERGED,
        change.kind == "added",
        known and change.word == UNKNOWN,
        change.kind == "removed",
        bool(change.settings),
        change.kind == "renamed",
        True,
    ]
    order = list(study.labels)
    return ranks.index(True), order.index(change.row) if change.row in order else len(order), change.row


def _settings(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.config.items() if key not in NAMES | CIRCUMSTANCES}


def _changed_settings(old: Record, new: Record) -> dict[str, tuple[str, str]]:
    ours, theirs = _leaves(_settings(old)), _leaves(_settings(new))
    keys = dict.fromkeys([*ours, *theirs])
    pairs = {key: (ours.get(key, NOTHING), theirs.get(key, NOTHING)) for key in keys}
    return {key: (_said(was), _said(now)) for key, (was, now) in pairs.items() if was != now}


def _leaves(value: Any, key: str = "") -> dict[str, Any]:
    """Values by dotted key; an empty list or mapping is a value."""
    if not isinstance(value, dict | list) or not value:
        return {key: value}
    children = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        name: leaf
        for child, inner in children
        for name, leaf in _leaves(inner, f"{key}.{child}" if key else str(child)).items()
    }


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shared_settings(changes: list[Change]) -> dict[str, tuple[str, str]]:
    """What all rows that kept their name, if there are several, changed alike."""
    settings = [change.settings.items() for change in changes if change.kind == "changed"]
    return (
        {key: pair for key, pair in settings[0] if all((key, pair) in one for one in settings)} if settings[1:] else {}
    )


def _changed_circumstances(old: Record, new: Record) -> list[tuple[str, str, str]]:
    ours, theirs = _circumstances(old), _circumstances(new)
    names = dict.fromkeys([*ours, *theirs])
    return [
        (name, ours.get(name, "none"), theirs.get(name, "none")) for name in names if ours.get(name) != theirs.get(name)
    ]


def _circumstances(record: Record) -> dict[str, str]:
    return {
        "training code and packages": str(record.config.get("fingerprint"))[:DIGEST_DIGITS],
        **{f"version of {name}": number for name, number in record.versions.items()},
        "digest of the data": record.data.digest[:DIGEST_DIGITS],
        "device": record.device,
        "device asked for": str(record.config.get("device")),
        "seeds": _ranges([seed.seed for seed in record.seeds]),
    }


def _ranges(numbers: list[int]) -> str:
    first, last = min(numbers), max(numbers)
    if len(numbers) > 1 and sorted(numbers) == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, numbers))
