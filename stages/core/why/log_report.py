"""What `regbench why --log` says, as text and for programs."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.why.alike import Alike
from stages.core.why.log_symptoms import Symptom
from stages.core.why.logs import TrainingLog

WIDTH = 100
MOST = 12
"""Trainings that are told one by one; of more, the first."""

LIMITS = (
    "A log shows symptoms, not causes. What Keras prints as loss is the data's loss plus the penalties, and its "
    "training figures are means over the epoch with dropout on."
)


@dataclass(frozen=True)
class Finding:
    """All about one training of a log."""

    log: TrainingLog
    symptoms: Sequence[Symptom]
    alike: Sequence[Alike]


def to_text(findings: Sequence[Finding]) -> str:
    """The answer for people."""
    parts = []
    for number, finding in enumerate(findings[:MOST], start=1):
        head = f"Training {number} of {len(findings)}: " if len(findings) > 1 else "The log: "
        parts.append(_wrap(head + _what(finding.log)))
        parts += [_symptom(symptom) for symptom in finding.symptoms]
        parts.append(_alike(finding.alike) if finding.alike else "No row of regbench looks like it.")
    if len(findings) > MOST:
        parts.append(f"{len(findings) - MOST} trainings more are in the log.")
    parts.append(_wrap(f"{LIMITS} With the script, `regbench why SCRIPT` finds the cause by experiment."))
    return "\n\n".join(parts) + "\n"


def to_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The same for programs; numbers that are not finite are null."""
    return [
        {
            "source": finding.log.source,
            "epochs": [int(epoch) for epoch in finding.log.epochs],
            "epochs_planned": finding.log.planned,
            "steps_per_epoch": finding.log.steps,
            "samples": finding.log.samples,
            "columns": {name: [_finite(value) for value in values] for name, values in finding.log.columns.items()},
            "evaluated": {name: _finite(value) for name, value in finding.log.evaluated.items()},
            "notes": list(finding.log.notes),
            "symptoms": [vars(symptom) for symptom in finding.symptoms],
            "alike": [vars(row) for row in finding.alike],
        }
        for finding in findings
    ]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _what(log: TrainingLog) -> str:
    epochs = "1 epoch" if len(log.epochs) == 1 else f"{len(log.epochs)} epochs"
    if log.planned and log.planned != len(log.epochs):
        epochs += f" of {log.planned}"
    text = f"{log.source}, {epochs}, {', '.join(f'`{name}`' for name in log.columns)}."
    return " ".join([text, *(f"{note[0].upper()}{note[1:]}." for note in log.notes)])


def _symptom(symptom: Symptom) -> str:
    return "\n".join(
        [
            _wrap(f"{symptom.word.upper()}. {symptom.evidence}"),
            _wrap(f"Try first: {symptom.first}", "  "),
            _wrap(f"The log does not tell {symptom.unknown[0].lower()}{symptom.unknown[1:]}", "  "),
        ]
    )


def _alike(rows: Sequence[Alike]) -> str:
    lines = [f"  {row.study}, {row.label}: {row.diagnosis} (distance {row.distance:.2f})" for row in rows]
    return "\n".join(["Rows of regbench whose curves look most alike (0: the same):", *lines])


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
