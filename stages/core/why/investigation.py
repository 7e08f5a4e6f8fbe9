"""From a record to findings: symptoms, reference and search with processes that train."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace

from stages.core.base.text import first_sentence, one_line
from stages.core.why import interventions, symptoms
from stages.core.why import setup as setups
from stages.core.why import task as tasks
from stages.core.why.edits import Edit, edits
from stages.core.why.record import Record, with_output_first
from stages.core.why.reference import Reference, reference
from stages.core.why.search import Findings, Limits, Search
from stages.core.why.symptoms import Symptom
from stages.core.why.trial import Case
from stages.core.why.verdict import Verdict, of_stand_ins, untried, verdict
from stages.core.why.workers import Workers

REFERENCE_SECONDS = 8.0
UNKNOWN_NET = {"class_name": "Functional", "config": {"layers": [], "output_layers": []}}
LEAST_SHARE = 0.3
"""Of the time: with less of it left, no other output is looked at."""
CHANGING = ("EarlyStopping", "ReduceLROnPlateau", "LearningRateScheduler")
"""Callbacks without which a training is another."""


def examine(record: Record, limits: Limits, tell: Callable[[str], None] = lambda line: None) -> Verdict:
    """The verdict on a recorded script, after an experiment where one can be made."""
    return experiment(record, limits, tell)[0]


def experiment(
    record: Record, limits: Limits, tell: Callable[[str], None] = lambda line: None
) -> tuple[Verdict, Findings | None]:
    """The verdict on a recorded script, and what it rests on; None where no experiment can be made."""
    if reason := cannot_be_tried(record):
        error = record.first_step_error
        stops = [f"Keras stops in the first step: {first_sentence(error)}"] if error else []
        return untried(record.script, reason, stops + notes_of(record), signs_alone(record)), None
    notes = notes_of(record)
    try:
        view, found, looked = by_output(record, limits, tell)
        notes += notes_on_experiment(record, found.case.data.n) + note_on_outputs(view, found, looked)
        said = verdict(found, record.script, diff(view, found), notes)
        return of_stand_ins(said, replaced(record)), found
    except Exception as error:  # scripts hand over whatever they like; their users are owed a sentence, not our stack
        words = one_line(f"{type(error).__name__}: {error}")[:200]
        return untried(record.script, f"the experiment failed ({words})", notes), None


def by_output(record: Record, limits: Limits, tell: Callable[[str], None]) -> tuple[Record, Findings, int]:
    """Findings on the first output that does not learn, in the order of their signs; on the last one if all do.

    With the record that has this output first, and how many outputs were looked at.
    """
    began = time.monotonic()
    looked = 0
    for view in views(record):
        looked += 1
        left = limits.seconds - (time.monotonic() - began)
        case = case_of(view)
        found = investigate(case, signs(case, view), replace(limits, seconds=left), tell)
        if not found.learns or found.interrupted or left < LEAST_SHARE * limits.seconds:
            break
    return view, found, looked


def views(record: Record) -> list[Record]:
    """The record with each output of its net first, that with the heaviest signs before the others."""
    outputs = json.loads(record.model_json)["config"].get("output_layers")
    several = isinstance(outputs, list) and len(outputs) == len(record.train.y) == len(record.compiled.losses) > 1
    if not several or any(loss is None for loss in record.compiled.losses):
        return [record]
    made = [with_output_first(record, number) for number in range(len(outputs))]
    return sorted(made, key=lambda view: -sum(sign.weight for sign in signs(case_of(view), view)))


def note_on_outputs(view: Record, found: Findings, looked: int) -> list[str]:
    """Which of several outputs a verdict is about."""
    names = [values.name for values in view.train.targets]
    if len(names) < 2:
        return []
    each = ", and each learns" if found.learns and looked == len(names) else ""
    rest = "" if each or not found.learns else "; there was no time for the others"
    return [f"It has {len(names)} outputs{each}; this is about {names[0]!r}{rest}."]


def signs_alone(record: Record) -> list[Symptom]:
    """What can be seen of a script whose net cannot be trained here: at least of its data, loss and settings."""
    if not record.train.y or not record.compiled.losses or not record.compiled.losses[0]:
        return []
    with contextlib.suppress(Exception):  # a net that is not understood is no reason to say nothing of the rest
        net = record.model_json or json.dumps(UNKNOWN_NET)
        case = case_of(record.model_copy(update={"model_json": net}))
        return signs(case, record)
    return []


def notes_of(record: Record) -> list[str]:
    """What of the record a user should know, a sentence each."""
    notes = [*record.notes]
    if record.translated:
        notes.append(f"Old spellings were read as today's: {'; '.join(record.translated)}.")
    if record.stand_ins:
        notes.append(f"Data that could not be had, and what stood in: {'; '.join(record.stand_ins)}.")
    return notes


def notes_on_experiment(record: Record, samples: int) -> list[str]:
    """In what an experiment with so many samples differs from the script, a sentence each."""
    notes = []
    if record.left_out:
        notes.append(f"Left out in the experiment: {', '.join(record.left_out)}.")
    if changing := [callback.name for callback in record.callbacks if callback.name in CHANGING]:
        notes.append(f"Callbacks that change the training were left out in the experiment: {', '.join(changing)}.")
    if own := replaced(record):
        notes.append(f"The experiment had Keras' usual one in the place of the script's own {', '.join(own)}.")
    if record.train.samples.total and record.train.samples.total > samples:
        notes.append(f"Tried with {samples} of {record.train.samples.total} samples.")
    return notes


def replaced(record: Record) -> list[str]:
    """What of the script's own Keras' usual one stands in for."""
    return [name for name in record.custom if name in replaceable(record)]


def replaceable(record: Record) -> set[str]:
    """Names in `record.custom` of what Keras has something like: the loss of a net with one output, the optimizer."""
    losses = [loss for loss in record.compiled.losses if loss]
    names = {f"loss {losses[0].name}"} if len(record.compiled.losses) == 1 and losses and losses[0].custom else set()
    return names | ({f"optimizer {record.compiled.optimizer.name}"} if record.compiled.optimizer.custom else set())


def cannot_be_tried(record: Record) -> str:
    """Why no experiment can be made with a record; empty if one can."""
    if blocking := [name for name in record.custom if name not in replaceable(record)]:
        return f"{', '.join(blocking)} cannot be built outside the script"
    if not record.model_json:
        return "the net cannot be built outside the script"
    if not record.train.y or all(loss is None for loss in record.compiled.losses):
        return "the script trains without targets or without a loss"
    if len(record.train.x[0]) < 2:
        return "there is one sample only"
    return ""


def diff(record: Record, found: Findings) -> list[Edit]:
    """The repair as changes of the script's lines."""
    if not found.repair:
        return []
    return edits(record, found.case, found.repair)


def case_of(record: Record) -> Case:
    """What the record's experiments start from; the record must hold a net and targets."""
    setup, data = setups.from_record(record)
    task = tasks.find(setup, data.y[0])
    if record.compiled.optimizer.custom:
        rate = record.compiled.optimizer.learning_rate
        setup = replace(setup, optimizer={"class_name": "Adam", "config": {"learning_rate": rate}})
    losses = record.compiled.losses
    if len(losses) == 1 and losses[0] and losses[0].custom:
        setup = replace(setup, losses=({"name": interventions.right_head(setup, task).loss, "config": {}},))
    return Case(setup, data, task)


def signs(case: Case, record: Record | None = None) -> list[Symptom]:
    return symptoms.look(case.setup, case.data, case.task, record)


def investigate(
    case: Case, found: list[Symptom], limits: Limits, tell: Callable[[str], None] = lambda line: None
) -> Findings:
    """Search for a repair with `limits.cores` processes, for `limits.seconds` at most."""

    began, asked_reference = time.monotonic(), [0.0]

    def known() -> Reference | None:
        start = time.process_time()
        text = interventions.fed_to_embedding(case.setup)
        answer = reference(case.data, case.task, min(REFERENCE_SECONDS, limits.seconds / 20), text)
        asked_reference[0] = time.process_time() - start
        return answer

    with Workers(case, limits.cores, began + limits.seconds * limits.patience) as workers:

        def clock() -> float:
            """Seconds since the start; with patience those of work, as long as the time allows."""
            passed = time.monotonic() - began
            if limits.patience == 1:
                return passed
            return max(passed / limits.patience, asked_reference[0] + workers.seconds / limits.cores)

        return Search(case, found, workers.run, limits, known, tell, clock).go()
