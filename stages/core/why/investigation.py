"""From a record to findings: symptoms, reference and search with processes that train."""

from __future__ import annotations

import time
from collections.abc import Callable

from stages.core.why import interventions, symptoms
from stages.core.why import setup as setups
from stages.core.why import task as tasks
from stages.core.why.record import Record
from stages.core.why.reference import Reference, reference
from stages.core.why.search import Findings, Limits, Search
from stages.core.why.symptoms import Symptom
from stages.core.why.trial import Case
from stages.core.why.workers import Workers

REFERENCE_SECONDS = 8.0


def case_of(record: Record) -> Case:
    """What the record's experiments start from; the record must hold a net and targets."""
    setup, data = setups.from_record(record)
    return Case(setup, data, tasks.find(setup, data.y[0]))


def signs(case: Case, record: Record | None = None) -> list[Symptom]:
    return symptoms.look(case.setup, case.data, case.task, record)


def investigate(
    case: Case, found: list[Symptom], limits: Limits, tell: Callable[[str], None] = lambda line: None
) -> Findings:
    """Search for a repair with `limits.cores` processes, for `limits.seconds` at most."""

    def known() -> Reference | None:
        text = interventions.fed_to_embedding(case.setup)
        return reference(case.data, case.task, min(REFERENCE_SECONDS, limits.seconds / 20), text)

    with Workers(case, limits.cores, time.monotonic() + limits.seconds) as workers:
        return Search(case, found, workers.run, limits, known, tell).go()
