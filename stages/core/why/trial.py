"""What is trained in a search, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

from stages.core.why.interventions import Change
from stages.core.why.setup import Data, Setup
from stages.core.why.task import Task


@dataclass(frozen=True)
class Case:
    """What all trials start from."""

    setup: Setup
    data: Data
    task: Task


@dataclass(frozen=True)
class Trial:
    """A setup that is trained: the script's own with some changes."""

    changes: frozenset[Change]
    seeds: tuple[int, ...]
    seconds: float  # for all its seeds
    steps: int | None = None  # a seed's, at most
    goal: float = 2.0  # skill at which a seed is done


@dataclass(frozen=True)
class Run:
    """One seed's training."""

    seed: int
    skill: float  # on training samples, dropout off, at the end
    held_out: float | None
    steps: int
    curve: tuple[tuple[int, float, float], ...]  # (step, mean training loss since the last, skill)
    finite: bool
    one_answer: bool
    dead: float  # share of relu units that are 0 for every sample; 0 without any


@dataclass(frozen=True)
class Outcome:
    """What became of a trial, seed by seed; `error` says why it could not be trained."""

    runs: tuple[Run, ...] = ()
    asked_steps: int = 0  # what its own budget asks for, a seed
    step_seconds: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    lost: str | None = None  # why nothing is known of it that is the net's own doing: time, memory
    parameters: int = 0
