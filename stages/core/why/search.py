"""Which few changes make a net learn: tried, reduced to the smallest set, and confirmed with seeds of their own.

1. As asked, the likeliest single changes, and everything at once where none of these does well. If the first fits its
   data as well as they can be, it learns. What nothing trains without, as missing numbers, is changed before all else.
2. Single changes, those first that a symptom speaks for; long trainings by successive halving.
3. Where no single change is enough: the likeliest few together, and of what is enough take away part by part (Zeller's
   delta debugging); where one change goes far, or even everything at once does not learn, what helps most beside the
   best one, up to three.
4. Take each change of the repair away again, and replace a wholesale one by its parts.
5. Confirm: as asked and as repaired, with seeds that nothing was chosen by.

Nothing here trains or prints: `run` trains a list of trials, `tell` takes a line about what goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from stages.core.results.statistics import PairedDifference, holm, paired_difference
from stages.core.why import interventions
from stages.core.why import net as nets
from stages.core.why.interventions import Change
from stages.core.why.reference import Reference
from stages.core.why.symptoms import CERTAIN, Symptom
from stages.core.why.trial import Case, Outcome, Run, Trial

Changes = frozenset[Change]
NOTHING: Changes = frozenset()
HOLD_OUT = Change("hold_out")

LEARNS = 0.7
"""Share of what can be reached from which on a net is said to learn."""

WELL = 0.9
"""Share from which on nothing is looked for."""

ENOUGH = 0.8
"""Share that a repair must reach to be put to the test; there LEARNS is enough, since the best of many had luck too."""

GAIN = 0.1
"""Skill that a repair must add."""

MUCH = 0.4
"""Share of what can be gained from which on a single change is a good start for others beside it."""

SUSPECT = 0.35
"""Suspicion from which on a single change is tried before everything at once."""

SOMETHING = 0.15
"""Skill below this is nothing that could be learnt."""

DONE = 0.98
"""Skill at which a trial of the search stops."""

MOST_CHANGES = 3
LIKELIEST = (2, 3, 4, 6)
"""Sizes of the sets of the likeliest changes that are tried before a plateau is searched part by part."""
SEARCH_SEEDS, CONFIRMING_SEEDS = 3, 6
LUCK_SEEDS, LUCK_CONFIRMING_SEEDS = 8, 24
"""Seeds where as asked some learn and others do not: a change must be told from luck."""

NEARLY_ALL, RELIABLY = 0.75, 0.9
"""Share of seeds that a repair makes learn, in general and where some learn as asked."""

FEW_STEPS = 1000
"""Where a trial has no time for so many, smaller batches are suspected."""

MORE_STEPS = 0.5
"""Suspicion that is added to them then."""

TELLING = 50
"""Samples from which on a part of them can be held out."""

PRIOR = {  # how often such a change is part of a known repair, roughly
    "head": 0.30,
    "epochs": 0.20,
    "targets": 0.18,
    "rate": 0.15,
    "width": 0.12,
    "inputs": 0.12,
    "dropout": 0.12,
    "penalty": 0.10,
    "activation": 0.10,
    "optimizer": 0.06,
}

Runner = Callable[[list[Trial], Callable[[], bool]], list[Outcome | None]]


@dataclass
class Tried:
    """All that is known of one set of changes."""

    changes: Changes
    runs: list[Run] = field(default_factory=list)
    error: str | None = None  # why it cannot be trained
    lost: str | None = None  # why it was not trained to an end
    asked_steps: int = 0
    step_seconds: float = 0.0

    @property
    def skills(self) -> np.ndarray:
        """One a seed, in the order of seeds."""
        return np.array([run.skill if run.finite else 0.0 for run in self.runs])

    @property
    def skill(self) -> float:
        """Median over the seeds; 0 where nothing could be trained."""
        return float(np.median(self.skills)) if self.runs else 0.0

    @property
    def diverges(self) -> bool:
        """Whether the loss becomes NaN or infinite in most seeds."""
        return 2 * sum(not run.finite for run in self.runs) > len(self.runs)

    @property
    def cut(self) -> bool:
        """Whether fewer steps were trained than asked for, with which it might have come further."""
        unfinished = bool(self.runs) and all(run.finite and run.skill < DONE for run in self.runs)
        return unfinished and self.steps < self.asked_steps

    @property
    def steps(self) -> int:
        """Of the seed that was trained the longest."""
        return max((run.steps for run in self.runs), default=0)

    @property
    def dead(self) -> float:
        """Share of relu units that are 0 for every sample, in the median seed."""
        return float(np.median([run.dead for run in self.runs])) if self.runs else 0.0

    @property
    def held_out(self) -> float | None:
        values = [run.held_out for run in self.runs if run.held_out is not None]
        return float(np.median(values)) if values else None


@dataclass(frozen=True)
class Confirmation:
    """As asked against as repaired, with seeds of their own."""

    asked: Tried
    fixed: Tried
    difference: PairedDifference
    p_value: float  # Holm-adjusted over all that were put to this test
    certain: bool  # beats as asked by more than noise


@dataclass
class Findings:
    """What a search found; whatever was not reached stays empty."""

    case: Case
    symptoms: list[Symptom]
    reference: Reference | None = None
    attainable: float = 0.0  # skill that these data allow, as far as known
    asked: Tried = field(default_factory=lambda: Tried(NOTHING))
    first: Changes = NOTHING  # made before all others, since nothing trains without it
    tried: dict[Changes, Tried] = field(default_factory=dict)
    candidates: list[Change] = field(default_factory=list)
    repair: Changes | None = None
    confirmation: Confirmation | None = None
    refuted: list[Changes] = field(default_factory=list)  # looked like repairs and were not confirmed
    learns: bool | None = None
    by_heart: bool = False  # nothing predicts samples that it was not trained on
    shortened: int | None = None  # steps that were trained where the script asks for more
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def reach(self) -> float:
        """Skill from which on a seed learns."""
        return max(LEARNS * self.attainable, SOMETHING)

    @property
    def cures(self) -> list[Tried]:
        """All sets of changes that were tried as a cure, which to hold samples out is not."""
        return [tried for tried in self.tried.values() if tried.changes and HOLD_OUT not in tried.changes]

    def beside_first(self, *changes: Change) -> Tried | None:
        """What is known of these changes, with nothing else but what is made first."""
        return self.tried.get(self.first.union(changes))

    @property
    def ground(self) -> float:
        """Skill that changes start from: as asked, or with what is made first."""
        return (self.beside_first() or self.asked).skill

    @property
    def all_asked(self) -> np.ndarray:
        """Skill of every seed as asked, the confirming ones as well."""
        more = self.confirmation.asked.skills if self.confirmation else np.zeros(0)
        return np.concatenate([self.asked.skills, more])

    def by_luck(self, skills: np.ndarray) -> bool:
        """Whether some seeds learn and others are far from it."""
        return bool((skills >= self.reach).any() and (skills < 0.75 * self.reach).any())


@dataclass(frozen=True)
class Limits:
    """What a search may take."""

    seconds: float
    cores: int
    seed: int = 0
    patience: float = 1.0  # how many times longer it may take where others use the machine, its own work aside


class Search:
    """One search; `findings` is filled as it goes, so that an interrupted one tells what is known."""

    def __init__(
        self,
        case: Case,
        symptoms: list[Symptom],
        run: Runner,
        limits: Limits,
        reference: Callable[[], Reference | None] = lambda: None,
        tell: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.case, self.run, self.limits, self.tell, self.clock = case, run, limits, tell, clock
        self.reference = reference
        self.began = clock()
        self.findings = Findings(case, symptoms)
        self.seeds = tuple(limits.seed * 1000 + k for k in range(SEARCH_SEEDS))
        self.few = self.seeds[:2]  # for a first look at a change
        self.tested: list[PairedDifference] = []  # of what was put to the test of fresh seeds
        self.luck = False  # whether it is by luck that a seed learns as asked
        self.unit = limits.seconds * limits.cores / 40
        self.cap: int | None = None  # steps of a trial where the script's own are too many

    # --- trials ---

    def left(self) -> float:
        return self.limits.seconds - (self.clock() - self.began)

    def _spent(self, share: float) -> bool:
        """Whether more than this share of the time is gone."""
        return self.left() < (1 - share) * self.limits.seconds

    def attempt(
        self, sets: Iterable[Changes], seeds: Sequence[int], go_on: Callable[[], bool] = lambda: True
    ) -> list[Tried]:
        """What becomes of sets of changes with these seeds; what is known already is not trained again."""
        sets = [changes | self.findings.first if changes else changes for changes in sets]
        missing, trials = [], []
        for changes in dict.fromkeys(sets):
            known = {run.seed for run in self.findings.tried.get(changes, Tried(changes)).runs}
            lacking = tuple(seed for seed in seeds if seed not in known)
            failed = changes in self.findings.tried and self.findings.tried[changes].error
            if lacking and not failed:
                missing.append(changes)
                trials.append(self._trial(changes, lacking))
        for changes, outcome in zip(missing, self.run(trials, go_on) if trials else [], strict=True):
            if outcome is not None:
                self._keep(changes, outcome)
        return [self.findings.tried.get(changes, Tried(changes)) for changes in sets]

    def _trial(self, changes: Changes, seeds: tuple[int, ...]) -> Trial:
        longer = any(change.kind in ("epochs", "batch") for change in changes)
        seconds = self.unit * (2 if longer or not changes else 1) * max(1, len(seeds) / 2)
        return Trial(changes, seeds, min(seconds, max(5.0, self.left())), None if longer else self.cap, DONE)

    def _keep(self, changes: Changes, outcome: Outcome) -> None:
        tried = self.findings.tried.setdefault(changes, Tried(changes))
        tried.runs = sorted([*tried.runs, *outcome.runs], key=lambda run: run.seed)
        tried.asked_steps = outcome.asked_steps or tried.asked_steps
        tried.step_seconds = outcome.step_seconds or tried.step_seconds
        tried.error = outcome.error if not tried.runs else None
        tried.lost = outcome.lost if not tried.runs else None

    # --- what is good enough ---

    def _enough(self, tried: Tried, share: float = ENOUGH) -> bool:
        """Whether changes make the net learn: in the median seed to this share, in nearly all at all."""
        skills, asked = tried.skills, self._level()
        if not skills.size or tried.skill < max(share * self.findings.attainable, asked + GAIN, SOMETHING):
            return False
        learn = (skills >= max(0.5 * self.findings.attainable, asked)).mean()
        return bool(learn >= (RELIABLY if self.luck else NEARLY_ALL))

    def _level(self) -> float:
        """Skill as asked: the median seed's, or the mean where a seed's luck decides."""
        asked = self.findings.asked
        return min(asked.skill, float(asked.skills.mean())) if self.luck else asked.skill

    def _set_attainable(self, best: Tried) -> None:
        """What the data allow: what scikit-learn or the best net reaches, memory left out where it can be told."""
        held_out, reached = best.held_out, best.skill
        known = self.findings.reference.skill if self.findings.reference else 0.0
        if held_out is not None:
            reached = min(reached, held_out)
        elif self.findings.reference:
            reached = min(reached, known)
        self.findings.attainable = max(known, 0.95 * reached, self.findings.attainable)

    def suspicion(self, change: Change, signs: list[Symptom] | None = None) -> float:
        """How much speaks for a change before it is tried; `signs`: those that count, all by default."""
        speaks = sum(
            symptom.weight * (1.0 if change == symptom.changes[0] else 0.9)
            for symptom in (self.findings.symptoms if signs is None else signs)
            if change in symptom.changes
        )
        later = 0.02 if change.kind in ("epochs", "rate") and change not in self._first_of_kind else 0.0
        smaller = change.kind == "batch" and change.value < self.case.setup.batch_size
        return speaks + PRIOR.get(change.kind, 0.05) - later + (MORE_STEPS if smaller and self._dear() else 0.0)

    def _dear(self) -> bool:
        """Whether a trial's time is too short for many steps, of which smaller batches would give more."""
        return self.findings.asked.step_seconds * FEW_STEPS > self.unit

    def _ranked(self, changes: Iterable[Change]) -> list[Change]:
        """Changes, the likeliest first; the same order in every process, which that of a set is not."""
        return sorted(changes, key=lambda change: (-self.suspicion(change), str(change)))

    # --- the search ---

    def go(self) -> Findings:
        """Search until something is found, nothing is left, or the time is up; Ctrl-C ends it with what is known."""
        try:
            self._go()
        except KeyboardInterrupt:
            self.findings.interrupted = True
        self._conclude()
        self.findings.seconds = self.clock() - self.began
        return self.findings

    def _go(self) -> None:
        found = self.findings
        found.candidates = interventions.candidates(self.case.setup, self.case.data, self.case.task)
        found.first = frozenset(c for c in found.candidates if c.kind == "finite")
        self._first_of_kind = {c.kind: c for c in reversed(found.candidates)}.values()
        self._as_asked()
        if any(sign.cause == "data_unlearnable" and sign.weight >= CERTAIN for sign in found.symptoms):
            return
        doubtful = found.reference is not None and found.reference.skill < by_chance(found.reference.samples)
        if found.asked.skill >= 0.95 and not doubtful:
            return
        if self._glimpsed() and not doubtful:  # a large net: other changes would be seen for as short a time
            self._look_longer()
            if self._well():
                return
        all_at_once = self._everything()
        if doubtful:
            self._look_for_memory()
        if self._promising():
            self._look_longer()
        self._look_at_luck()
        if found.by_heart or self._well():
            return
        self._singles()
        if not self._good(1):
            self._several(all_at_once)
        self._confirm()
        if found.refuted and not found.confirmation.certain and not self._spent(0.6):
            first = self.limits.seed * 1000 + 50
            self.seeds = self.few = tuple(range(first, first + len(self.seeds)))  # the earlier ones flattered
            self._several(all_at_once)
            self._confirm()

    def _as_asked(self) -> None:
        self.tell("as asked")
        self.attempt([NOTHING], self.seeds[:2])
        found = self.findings
        found.asked = found.tried.get(NOTHING, Tried(NOTHING))
        if found.asked.cut:
            found.shortened = self.cap = found.asked.steps
            found.candidates = [c for c in found.candidates if c.kind != "epochs"]
        found.reference = self.reference()
        found.attainable = found.reference.skill if found.reference else 0.0

    def _promising(self) -> bool:
        """Whether the net, cut short, was still learning, and nothing speaks against it."""
        return bool(self.findings.shortened) and _rising(self.findings.asked) and not self._hopeless()

    def _hopeless(self) -> bool:
        """Whether a sign says that the net cannot learn, however long it trains."""
        return any(symptom.weight >= CERTAIN for symptom in self.findings.symptoms)

    def _well(self) -> bool:
        """Whether the net as asked learns about what these data allow, as far as that is known."""
        return self._level() >= max(WELL * self.findings.attainable, SOMETHING)

    def _glimpsed(self) -> bool:
        """Whether there was time for so little of the training that nothing follows from how far it came."""
        found = self.findings
        return (
            bool(found.shortened) and found.shortened < min(500, found.asked.asked_steps / 4) and not self._hopeless()
        )

    def _look_longer(self) -> None:
        """As asked again, with a third of the time."""
        self.tell("as asked, for longer")
        found = self.findings
        if self._well():
            return
        seeds = self.seeds[:2]
        trials = [Trial(NOTHING, (seed,), 0.3 * self.limits.seconds, None, DONE) for seed in seeds]
        longer = [outcome for outcome in self.run(trials, lambda: True) if outcome and outcome.runs]
        if len(longer) == len(seeds) and (steps := longer[0].runs[0].steps) > found.shortened:
            found.shortened = steps if steps < found.asked.asked_steps else None
            found.asked.runs = [run for outcome in longer for run in outcome.runs]

    def _look_at_luck(self) -> None:
        """Where some seeds learn as asked and others do not, and there is time: more seeds from here on."""
        asked = self.findings.asked
        seconds = (LUCK_SEEDS - SEARCH_SEEDS) * asked.step_seconds * (self.cap or asked.asked_steps)
        if self.findings.by_luck(asked.skills) and seconds < 0.05 * self.left() * self.limits.cores:
            self.tell("as asked, with more seeds")
            self.luck = True
            self.seeds = self.few = tuple(self.limits.seed * 1000 + k for k in range(LUCK_SEEDS))
            self.attempt([NOTHING], self.seeds)

    def _look_for_memory(self) -> None:
        """Whether neither the net as asked nor any other predicts samples that it was not trained on."""
        if self.case.data.n >= TELLING and not self.case.data.x_held_out:
            self.attempt([frozenset([HOLD_OUT])], self.few)
        held_out = self.case.data.y_held_out
        samples = len(held_out[0]) if held_out else self.case.data.n // 5
        known = [tried.held_out for tried in self.findings.tried.values() if tried.held_out is not None]
        self.findings.by_heart = len(known) > 1 and max(known) < by_chance(samples)

    def _everything(self) -> Changes:
        """Tries everything at once, and where that does not learn, variants of it; gives the best.

        Where one of the likeliest changes does, the rest can wait.
        """
        every = frozenset(interventions.everything(self.case.setup, self.case.data, self.case.task))
        every = frozenset(c for c in every if c.kind != "epochs" or c in self.findings.candidates)
        self.tell("the likeliest single changes")
        whole = self._suspects() or every
        self.tell("everything at once" if whole is every else "how far that goes")
        memory = self.case.data.n >= TELLING and not self.case.data.x_held_out  # what is learnt by heart must not count
        best, *apart = self.attempt([whole, whole | {HOLD_OUT}] if memory else [whole], self.few)
        self.attempt([NOTHING], self.seeds)
        self._set_attainable(apart[0] if apart and apart[0].runs else best)
        if best.skill >= max(0.9 * self.findings.attainable, 0.5) or self._spent(0.3):
            return every
        tries = self.attempt(self._variants(every), self.few)
        best = max([best, *tries], key=lambda tried: tried.skill)
        self._set_attainable(best)
        return best.changes

    def _suspects(self) -> Changes | None:
        """Tries the single changes that most speaks for; gives one with which all at once has nothing to show."""
        suspects = [change for change in self._ranked(self.findings.candidates) if self.suspicion(change) >= SUSPECT]
        tries = self.attempt(self._alone(suspects[: 2 * self.limits.cores]), self.few)
        best = max(tries, key=lambda tried: tried.skill, default=Tried(NOTHING))
        return best.changes if best.skill >= WELL else None

    def _variants(self, every: Changes) -> list[Changes]:
        """Everything at once with another learning rate, longer, with tanh."""
        if any(change.kind == "optimizer" for change in every):
            rest = frozenset(c for c in every if c.kind != "optimizer")
            variants = [rest | {Change("optimizer", ("Adam", rate))} for rate in (0.01, 0.0001)]
        else:
            variants = [every | {Change("rate", factor)} for factor in (10.0, 0.1)]
        longer = [c for c in self.findings.candidates if c.kind == "epochs"]
        if len(longer) > 1:
            variants.append(frozenset(c for c in every if c.kind != "epochs") | {longer[1]})
        if "relu" in nets.hidden_activations(self.case.setup.net) or Change("activation", "relu") in every:
            variants.append(frozenset(c for c in every if c.kind != "activation") | {Change("activation", "tanh")})
        return variants

    def _singles(self) -> None:
        """Every single change; where that takes too long, a quarter of the steps first, and the better half in full."""
        sets = self._alone(sorted(self.findings.candidates, key=self.suspicion, reverse=True))
        self.tell(f"{len(sets)} single changes")
        asked = self.findings.asked
        steps = self.cap or asked.asked_steps
        seconds = 2 * asked.step_seconds * steps
        if seconds * len(sets) > 0.5 * self.left() * self.limits.cores and steps >= 64:
            sets = self._halved(sets, steps)
        cheap = (  # then with intervals that say something
            len(self.seeds) * seconds * len(sets) < 0.2 * self.left() * self.limits.cores
        )
        self.attempt(sets, self.seeds if cheap else self.few, lambda: not self._spent(0.5))

    def _halved(self, sets: list[Changes], steps: int) -> list[Changes]:
        """The better half of single changes, by one seed's first quarter; what a symptom speaks for stays."""
        keep, self.cap = self.cap, max(16, steps // 4)
        trials = [replace(self._trial(changes, self.seeds[:1]), steps=self.cap) for changes in sets]
        outcomes = self.run(trials, lambda: not self._spent(0.5))
        self.cap = keep
        reached = {
            changes: outcome.runs[0].skill if outcome and outcome.runs else 0.0
            for changes, outcome in zip(sets, outcomes, strict=True)
        }
        best = set(sorted(sets, key=lambda s: -reached[s])[: max(4, len(sets) // 2)])
        return sorted(
            (s for s in sets if s in best or self.suspicion(self._single(s)) >= 0.5),
            key=lambda s: -reached[s] - 0.3 * self.suspicion(self._single(s)),
        )

    def _good(self, most: int = MOST_CHANGES) -> Changes | None:
        """The likeliest of the sets of changes that are enough: fewest changes, then those that most speaks for."""
        enough = [
            tried
            for tried in self.findings.cures
            if self._count(tried) <= most and tried.changes not in self.findings.refuted and self._enough(tried)
        ]
        return max(enough, key=self._worth).changes if enough else None

    def _count(self, tried: Tried) -> int:
        """Changes beside those that are made first."""
        return len(tried.changes - self.findings.first)

    def _alone(self, changes: Iterable[Change]) -> list[Changes]:
        """Each change by itself, beside what is made first."""
        return [self.findings.first | {change} for change in changes]

    def _single(self, changes: Changes) -> Change:
        """The change of a set that has one beside what is made first."""
        return next(iter(changes - self.findings.first or changes))

    def _worth(self, tried: Tried) -> tuple[int, int, float, list[str]]:
        """How good a repair is: few changes, no certain sign left standing, then what most speaks for."""
        signs = [symptom for symptom in self.findings.symptoms if symptom.weight >= CERTAIN and symptom.changes]
        left = sum(tried.changes.isdisjoint(sign.changes) for sign in signs)
        speaks = sum(self.suspicion(change) for change in tried.changes) / len(tried.changes)
        return -len(tried.changes), -left, speaks + 0.5 * tried.skill, sorted(map(str, tried.changes))

    def _several(self, start: Changes) -> None:
        """Repairs of more than one change."""
        found = self.findings
        self.attempt([start], self.few, lambda: not self._spent(0.7))
        singles = [tried.skill for tried in found.cures if self._count(tried) == 1]
        moved, whole = max(singles, default=0.0) - found.ground, found.tried.get(start)
        enough = bool(whole) and self._enough(whole)
        if moved >= (max(GAIN, MUCH * (found.attainable - found.ground)) if enough else GAIN):
            self._grow(start, until=0.6)
        if self._good() or not enough:
            reduced = start
        else:
            self.tell("less and less of everything at once")
            reduced = self._reduce(self._likeliest(start))
            if len(reduced) > MOST_CHANGES and not self._spent(0.75):
                self._longer(reduced)
        if not self._good():
            self._grow(reduced, until=0.8)

    def _likeliest(self, changes: Changes) -> Changes:
        """The smallest of some sets of the likeliest of these changes that is enough; all of them if none is."""
        ranked = self._by_signs(changes - self.findings.first)
        sets = [frozenset(ranked[:size]) for size in LIKELIEST if size < len(ranked)]
        enough = [tried.changes for tried in self.attempt(sets, self.few) if self._enough(tried)]
        return min(enough, key=len, default=changes)

    def _longer(self, changes: Changes) -> None:
        """Tries fewer of these changes with the longest training."""
        longest = [change for change in self.findings.candidates if change.kind == "epochs"][-1:]
        rest = [change for change in self._ranked(changes - self.findings.first) if change.kind != "epochs"]
        sets = [frozenset([*few, *longest]) for few in combinations(rest, MOST_CHANGES - 1) if longest]
        self.attempt(sets[: 3 * self.limits.cores], self.few, lambda: not self._spent(0.8))

    def _by_signs(self, changes: Changes) -> list[Change]:
        """Changes, the likeliest first; what a likelier one already undoes does not speak for a second one."""
        rest, signs, ranked = set(changes), list(self.findings.symptoms), []
        while rest:
            best = max(
                sorted(rest, key=str), key=lambda change: self.suspicion(change, signs) + gain_of(change, self.findings)
            )
            rest.remove(best)
            ranked.append(best)
            signs = [sign for sign in signs if best not in sign.changes]
        return ranked

    def _reduce(self, changes: Changes) -> Changes:
        """Fewer and fewer changes that are still enough, until none can go."""
        first = self.findings.first
        current = self._ranked(changes - first)[::-1]
        parts = 2
        while len(current) > 1 and not self._spent(0.75):
            parts = min(parts, len(current))
            chunks = [list(chunk) for chunk in np.array_split(np.array(current, dtype=object), parts)]
            rests = [frozenset(c for c in current if c not in chunk) for chunk in map(_as_changes, chunks)]
            tries = self.attempt([rest for rest in rests if rest], self.few)
            kept = next((tried for tried in tries if self._enough(tried)), None)
            if kept is not None:
                current, parts = self._ranked(kept.changes - first)[::-1], max(2, parts - 1)
            elif parts == len(current):
                break
            else:
                parts = min(2 * parts, len(current))
        return first.union(current)

    def _grow(self, pool: Changes, until: float) -> None:
        """Greedily: the best single changes, and what helps most beside them, up to three; first those of `pool`."""
        self.tell("changes together")
        found = self.findings
        singles = [t for t in found.cures if self._count(t) == 1 and t.runs]
        if not singles:
            return
        ranked = sorted(singles, key=lambda t: -t.skill - 0.3 * min(1.5, self.suspicion(self._single(t.changes))))
        helpers = [self._single(t.changes) for t in ranked]
        helpers = self._ranked(pool - found.first) + [c for c in helpers if c not in pool]
        bases = [tried.changes for tried in ranked[:2]]
        for size in range(2, MOST_CHANGES + 1):
            sets = [
                base | {other}
                for other in helpers
                for base in bases
                if not any(other.kind == change.kind for change in base)
            ]
            sets = list(dict.fromkeys(sets))
            for start in range(0, len(sets), 2 * self.limits.cores):
                if self._good() or self._spent(until):
                    return
                self.attempt(sets[start : start + 2 * self.limits.cores], self.few)
            tried = [found.tried[s] for s in sets if s in found.tried]
            bases = [t.changes for t in sorted(tried, key=lambda t: -t.skill)[:2] if self._count(t) == size]

    def _refine(self, repair: Changes) -> Changes:
        """The smallest repair in the simplest words: no change that is not needed, parts in place of a whole."""
        if self._spent(0.85):
            return repair
        first = self.findings.first
        fewer = [repair - {change} for change in self._ranked(repair - first)]
        repair = self._best_of(filter(None, fewer)) or repair
        simpler = [
            (repair - {c}) | {part}
            for c in self._ranked(repair - first)
            for part in self._parts(c)
            if part not in repair
        ]
        return self._best_of(simpler) or repair

    def _best_of(self, sets: Iterable[Changes]) -> Changes | None:
        """The best of these sets of changes that is enough, if one is."""
        tries = self.attempt([changes for changes in sets if changes not in self.findings.refuted], self.few)
        return max(filter(self._enough, tries), key=self._worth, default=Tried(NOTHING)).changes or None

    def _parts(self, change: Change) -> list[Change]:
        """Smaller changes that might do in place of one."""
        setup, data, task = self.case.setup, self.case.data, self.case.task
        if change.kind == "head":
            right = interventions.right_head(setup, task)
            wrong = interventions.wrong_parts(setup, task, data)
            if len(wrong) < 2 or "label_encoding" in wrong:
                return []
            whole = {
                "output_activation": Change("output", right.activation),
                "loss_function": Change("loss", right.loss),
            }
            return [whole[part] for part in wrong if part in whole and "output_units" not in wrong]
        if change.kind == "optimizer":
            return [c for c in self.findings.candidates if c.kind == "rate"]
        return []

    def _confirm(self) -> None:
        """Put the likeliest repair, and where it fails the next ones, to the test of fresh seeds."""
        found = self.findings
        most = len(self.tested) + 3
        while len(self.tested) < most and (repair := self._good(MOST_CHANGES + 2)) and self.left() > 3:
            repair = self._refine(repair)
            self.tell("confirming")
            more = 2 * len(self.tested)  # so that equal differences still tell, by the sign test after Holm
            count = LUCK_CONFIRMING_SEEDS if self.luck else CONFIRMING_SEEDS + more
            fresh = tuple(self.limits.seed * 1000 + 100 + k for k in range(count))
            half = len(fresh) // 2
            before = {c: list(found.tried[c].runs) if c in found.tried else [] for c in (NOTHING, repair)}
            for seeds in (fresh[:half], fresh[half:]):
                self.attempt([NOTHING, repair], seeds)
            asked, fixed = (_fresh(found.tried[changes], before[changes]) for changes in (NOTHING, repair))
            for changes, runs in before.items():
                found.tried[changes].runs = runs
            paired = len(fixed.runs) if asked.error else min(len(asked.runs), len(fixed.runs))
            skills = np.zeros(paired) if asked.error else asked.skills[:paired]
            difference = paired_difference(fixed.skills[:paired], skills)
            self.tested.append(difference)
            p_value = float(holm([_p_value(d) for d in self.tested])[-1])
            gain = float(np.mean(fixed.skills[:paired] - skills)) if paired else 0.0
            certain = bool(difference.n >= 2 and gain >= GAIN and p_value < 0.05 and self._enough(fixed, LEARNS))
            found.confirmation = Confirmation(asked, fixed, difference, p_value, certain)
            found.repair = repair
            if certain or difference.n < 2:
                return
            if not self.luck and found.by_luck(asked.skills):
                self.luck = True  # and the test is repeated, with more seeds
            else:
                found.refuted.append(repair)

    def _conclude(self) -> None:
        """Whether the net learns as asked, by all that is known."""
        found = self.findings
        asked = found.asked
        if not asked.runs:
            found.learns = False if asked.error else None
            return
        if found.by_heart:
            found.learns = False
            return
        if found.repair and found.confirmation and found.confirmation.certain:
            fixed = found.confirmation.fixed.skill
            attainable = max(found.attainable, fixed * WELL if not found.reference else 0.0)
            found.learns = self._learns(max(LEARNS * attainable, SOMETHING))
            if not found.learns and (self._promising() or self._glimpsed()):
                found.learns = None
            return
        if self._learns(found.reach):
            found.learns = True
        elif found.attainable >= SOMETHING:
            found.learns = None if found.shortened and not self._hopeless() else False
        else:
            found.learns = False if found.reference or self.case.data.n < TELLING else None

    def _learns(self, reach: float) -> bool:
        """Whether the median seed as asked learns, and where luck decides, nearly all."""
        found = self.findings
        share = float((found.all_asked >= reach).mean())
        return share >= NEARLY_ALL if self.luck else found.asked.skill >= reach


def gain_of(change: Change, found: Findings) -> float:
    """Skill that a change adds alone; 0 if it was not tried."""
    tried = found.beside_first(change)
    if change in found.first:
        return max(0.0, found.ground - found.asked.skill)
    return max(0.0, tried.skill - found.ground) if tried and tried.runs else 0.0


def helps_alone(change: Change, found: Findings) -> bool:
    """Whether with a change and nothing else every seed does clearly better than any without it."""
    tried, ground = found.beside_first(change), found.beside_first() or found.asked
    if tried is None or not tried.runs or change in found.first:
        return False
    return bool(tried.skills.min() - max(ground.skills, default=0.0) >= GAIN)


def by_chance(samples: int) -> float:
    """Skill that guesses may reach on so many samples they were not trained on: 2.5 standard errors for two classes."""
    return max(0.1, 2.5 / samples**0.5)


def _as_changes(chunk: list) -> list[Change]:
    return list(chunk)


def _fresh(tried: Tried, before: list[Run]) -> Tried:
    """Only the runs that came since."""
    old = {run.seed for run in before}
    return replace(tried, runs=[run for run in tried.runs if run.seed not in old])


def _p_value(difference: PairedDifference) -> float:
    """The t-test's; where all seeds differ by the same, that of the sign test."""
    if np.isfinite(difference.p_value):
        return difference.p_value
    return min(1.0, 2.0 * 0.5**difference.n) if difference.mean else 1.0


def _rising(tried: Tried) -> bool:
    """Whether skill is still growing at the end, in the median seed."""
    gains = [run.curve[-1][2] - run.curve[len(run.curve) // 2][2] for run in tried.runs if len(run.curve) > 1]
    return bool(gains) and float(np.median(gains)) > 0.02
