"""The search, with a trainer that only looks its answers up, and once with a real net."""

from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from made import blobs, case, dense, line

from stages.core.why import interventions, symptoms
from stages.core.why.causes import rank
from stages.core.why.edits import Edit
from stages.core.why.interventions import Change
from stages.core.why.investigation import investigate, signs
from stages.core.why.page import MOST_ROWS, page, points
from stages.core.why.reference import Reference
from stages.core.why.search import Limits, Search, Tried
from stages.core.why.trial import Outcome, Run
from stages.core.why.verdict import AS_ASKED, of_stand_ins, signed, to_text, verdict

X, Y = blobs()
XV, YV = line()
DROPOUT = ("Dropout", {"rate": 0.9})
MADE = case([dense(8, "sigmoid"), DROPOUT, dense(1, "softmax")], "binary_crossentropy", 300 * X, Y, optimizer="SGD")
HEAD, INPUTS, NO_DROPOUT = Change("head"), Change("inputs"), Change("dropout")
LIMITS = Limits(seconds=300, cores=2)


class Trainer:
    """Answers trials by a rule from changes to skill; every trial takes a second of the clock."""

    def __init__(self, rule, noise=0.01, error=None, held_out=None, asked=100):
        self.rule, self.noise, self.error, self.held_out, self.asked = rule, noise, error, held_out, asked
        self.trials, self.now = [], 0.0

    def run(self, trials, go_on):
        return [self.outcome(trial) if go_on() else None for trial in trials]

    def outcome(self, trial):
        self.trials.append(trial)
        self.now += 1.0
        if self.error and not trial.changes:
            return Outcome(error=self.error)
        held_out = self.held_out if Change("hold_out") in trial.changes else None
        runs = [
            Run(seed, self.skill(trial, seed), held_out, 100, ((100, 0.5, 0.5),), True, False, 0.0)
            for seed in trial.seeds
        ]
        return Outcome(tuple(runs), asked_steps=self.asked, step_seconds=1e-4, seconds=1.0)

    def skill(self, trial, seed):
        rng = np.random.default_rng([seed, len(trial.changes)])
        return float(np.clip(self.rule({c.kind for c in trial.changes}) + rng.normal(0, self.noise), 0, 1))


def search(rule, made=MADE, known=0.95, limits=LIMITS, **settings):
    trainer = Trainer(rule, **settings)
    reference = Reference(known, "ridge regression", 90) if known is not None else None
    found = symptoms.look(made.setup, made.data, made.task)
    return Search(made, found, trainer.run, limits, lambda: reference, clock=lambda: trainer.now).go(), trainer


def test_a_net_that_learns_is_left_alone():
    found, trainer = search(lambda kinds: 0.97)
    assert (found.learns, found.repair, rank(found)) == (True, None, [])
    assert len(trainer.trials) <= 2


def test_a_net_that_learns_is_told_that_its_validation_samples_are_of_another_class():
    order = np.argsort(Y)
    made = case([dense(8, "relu"), dense(1, "sigmoid")], "binary_crossentropy", X[order][:60], Y[order][:60])
    held_out = replace(made.data, x_held_out=(X[order][60:],), y_held_out=(np.full(30, 7),))
    found, _ = search(lambda kinds: 0.97, made=replace(made, data=held_out))
    assert [cause.name for cause in rank(found)] == ["data_order"]
    assert "Yet the validation samples have classes" in verdict(found, "train.py", [], []).sentence


def test_a_single_change_is_found_and_confirmed_with_seeds_of_its_own():
    found, trainer = search(lambda kinds: 0.96 if "head" in kinds else 0.0)
    assert found.repair == {HEAD}
    assert found.learns is False
    assert found.confirmation.certain
    searching = {seed for trial in trainer.trials[:-4] for seed in trial.seeds}
    confirming = {run.seed for run in found.confirmation.fixed.runs}
    assert len(confirming) == 6
    assert not confirming & searching
    assert rank(found)[0].name == "output_activation"
    assert rank(found)[0].how == "measured"


PLAIN = case([dense(8, "relu"), dense(1, "sigmoid")], "binary_crossentropy", X, Y, rate=1e-5)


def test_little_of_a_long_training_is_no_verdict():
    """Of a net that no sign speaks against, the first 100 of 10,000 steps say nothing."""
    found, _ = search(lambda kinds: 0.0, made=PLAIN, asked=10_000)
    assert (found.shortened, found.learns) == (100, None)
    assert "100 of its 10,000 steps" in verdict(found, "train.py", [], []).sentence
    assert (
        "more take too long here; a larger `--minutes` gives more time." in verdict(found, "train.py", [], []).sentence
    )
    assert search(lambda kinds: 0.0, made=PLAIN)[0].learns is False
    assert search(lambda kinds: 0.0, asked=10_000)[0].learns is False  # softmax over one unit


def test_a_large_net_is_given_time_before_others_are_tried():
    """Where a short look would say nothing, as behind a batch normalization whose averages are not there yet."""

    class Slow(Trainer):
        def outcome(self, trial):
            made = super().outcome(trial)
            steps = int(2 * trial.seconds / len(trial.seeds))
            skill = 0.9 if steps > 100 else 0.0
            runs = [replace(run, skill=skill, steps=steps, curve=((steps, 1.0, skill),)) for run in made.runs]
            return replace(made, runs=tuple(runs))

    trainer = Slow(lambda kinds: 0.0, asked=10_000)
    found = symptoms.look(PLAIN.setup, PLAIN.data, PLAIN.task)
    known = Reference(0.6, "ridge regression", 90)
    found = Search(PLAIN, found, trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    assert (found.learns, found.shortened) == (True, 180)
    assert not any(trial.changes for trial in trainer.trials)
    assert "in 180 of its 10,000 steps" in verdict(found, "train.py", [], []).sentence


class Luck(Trainer):
    """As asked, and with most changes, two of three seeds learn."""

    def skill(self, trial, seed):
        kinds = {change.kind for change in trial.changes}
        unlucky = seed % 3 == 0 or seed in (1001, 1002)  # the first seeds of --seed 1 one and all
        return 0.1 if unlucky and not self.rule(kinds) else 0.98


def by_luck(rule, seed=0):
    trainer = Luck(rule)
    found = symptoms.look(PLAIN.setup, PLAIN.data, PLAIN.task)
    limits = replace(LIMITS, seed=seed)
    found = Search(PLAIN, found, trainer.run, limits, lambda: None, clock=lambda: trainer.now).go()
    return found, verdict(found, "train.py", [], [])


@pytest.mark.parametrize("seed", [0, 1])  # where luck shows at once, and in the confirming seeds alone
def test_a_net_that_learns_by_luck_is_compared_with_more_seeds(seed):
    found, said = by_luck(lambda kinds: "width" in kinds, seed)
    assert (found.learns, found.confirmation.certain) == (False, True)
    assert [change.kind for change in found.repair] == ["width"]
    assert "does not learn reliably because of" in said.sentence
    assert "of 24 fresh seeds, 16 learn as asked and 24 with it" in said.sentence


def test_of_a_net_that_learns_the_seed_that_does_not_is_told():
    class Unlucky(Trainer):
        def skill(self, trial, seed):
            return 0.02 if seed == 0 and not trial.changes else 0.98

    trainer = Unlucky(None)
    found = Search(PLAIN, [], trainer.run, LIMITS, lambda: None, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    told = "It learns in 7 of 8 runs (median skill 0.98): no fault found, but the worst run reaches only 0.02."
    assert (said.learns, said.sentence) == (True, told)


class Flattering(Trainer):
    """Two changes repair; of single ones the head alone seems to do so, with the first seeds of the search only."""

    def skill(self, trial, seed):
        kinds = {change.kind for change in trial.changes}
        return 0.95 if {"head", "inputs"} <= kinds or ("head" in kinds and seed < 50) else 0.0


def test_where_what_seemed_enough_alone_is_not_more_is_looked_for():
    trainer = Flattering(lambda kinds: 0.0)
    found = symptoms.look(MADE.setup, MADE.data, MADE.task)
    known = Reference(0.95, "ridge regression", 90)
    found = Search(MADE, found, trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    assert frozenset([HEAD]) in found.refuted
    assert found.confirmation.certain and found.repair >= {HEAD, INPUTS}
    assert len(found.confirmation.fixed.runs) == 8


def test_a_repair_that_falls_a_little_short_of_its_best_is_one():
    """0.77 as the best of many, 0.72 with fresh seeds, of 0.95: by the same word, learns, as a net as asked."""

    class Favoured(Trainer):
        def skill(self, trial, seed):
            return (0.77 if seed < 100 else 0.72) if HEAD in trial.changes else 0.1

    trainer = Favoured(lambda kinds: 0.0)
    found = symptoms.look(MADE.setup, MADE.data, MADE.task)
    known = Reference(0.95, "ridge regression", 90)
    found = Search(MADE, found, trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    assert (found.repair, found.confirmation.certain, found.learns) == ({HEAD}, True, False)


def test_luck_that_no_change_undoes_is_told():
    found, said = by_luck(lambda kinds: False)
    assert found.learns is False and not said.confirmed
    assert said.sentence.startswith("It learns in 5 of 8 runs only, by chance, and no repair")


def test_the_sentence_names_every_cause_that_the_repair_needs():
    found, _ = search(lambda kinds: 0.95 if {"head", "inputs"} <= kinds else 0.0)
    sentence = verdict(found, "train.py", [], []).sentence
    assert sentence.startswith("It does not learn because of the activation of the output and the scale of the inputs:")


def test_two_changes_one_of_which_helps_alone():
    found, _ = search(lambda kinds: 0.95 if {"head", "inputs"} <= kinds else 0.4 if "head" in kinds else 0.0)
    assert found.repair == {HEAD, INPUTS}


@pytest.mark.parametrize("needed", [{"head", "inputs"}, {"head", "inputs", "dropout"}])
def test_a_plateau_on_which_no_single_change_moves_anything(needed):
    found, _ = search(lambda kinds: 0.95 if needed <= kinds else 0.0)
    assert {change.kind for change in found.repair} == needed
    assert found.confirmation.certain


def test_changes_that_are_not_needed_are_not_in_the_repair():
    found, _ = search(
        lambda kinds: min(0.95, 0.5 * ("head" in kinds) + 0.45 * ("dropout" in kinds) + 0.3 * ("inputs" in kinds))
    )
    assert found.repair == {HEAD, NO_DROPOUT}


def test_of_repairs_of_one_size_that_is_taken_which_leaves_no_certain_fault():
    """Prices squeezed into 0 to 1 can be learnt with a sigmoid and a crossentropy, which are wrong all the same."""
    made = case([dense(8, "relu"), dense(1, "sigmoid")], "binary_crossentropy", 300 * XV, 1e4 * YV + 2e4)
    trainer = Trainer(lambda kinds: 0.93 if len(kinds & {"inputs", "head", "targets"}) > 1 else 0.02)
    found = symptoms.look(made.setup, made.data, made.task)
    searching = Search(made, found, trainer.run, LIMITS, lambda: Reference(0.95, "ridge regression", 90))
    searching.go()
    assert HEAD in searching._refine(frozenset({INPUTS, HEAD, Change("targets")}))
    pairs = [frozenset(pair) for pair in combinations((INPUTS, HEAD, Change("targets")), 2)]
    assert len({searching._best_of(sets) for sets in permutations(pairs)}) == 1  # a set's order differs by process


def test_what_works_by_chance_is_not_confirmed():
    def rule(kinds):
        return 0.5 if kinds == {"clip"} else 0.45

    found, _ = search(rule, known=0.5, noise=0.2)
    assert not (found.confirmation and found.confirmation.certain)


def test_data_from_which_nothing_can_be_learnt():
    found, _ = search(lambda kinds: 0.0, known=0.02)
    assert found.learns is False
    assert rank(found)[0].name == "data_unlearnable"
    assert "may not allow it" in verdict(found, "train.py", [], []).sentence


def test_many_changes_that_help_together_are_named_where_no_few_do():
    found, _ = search(lambda kinds: 0.93 if len(kinds) > 5 else 0.02)
    sentence = verdict(found, "train.py", [], []).sentence
    assert "no repair of up to three changes was found. Together these 6 make it learn (skill 0.9" in sentence
    assert "inputs standardized" in sentence


def test_targets_that_never_differ_end_the_search_at_once():
    """Between the columns of one sample they may differ; no skill can be told, and no equal inputs have others."""
    made = case(
        [dense(8, "relu"), dense(3, "sigmoid")], "mse", np.tile([[1.0, 2.0, 3.0]], (9, 1)), [[1.0, 2.0, 3.0]] * 9
    )
    said = [sign.text for sign in symptoms.look(made.setup, made.data, made.task)]
    assert "every sample has the same targets" in said and not any("equal inputs" in text for text in said)
    found, trainer = search(lambda kinds: 0.0, made=made, known=None)
    assert found.learns is False and len(trainer.trials) == 1
    sentence = verdict(found, "train.py", [], []).sentence
    assert "there is little to learn: every sample has the same targets. " in sentence
    assert sentence.endswith("(sigmoid at the output cannot give 66.7% of the targets, 1 to 3).")


def test_what_is_learnt_by_heart_is_not_learnt():
    found, _ = search(lambda kinds: 0.99, known=0.02, held_out=0.03)
    assert found.learns is False
    assert rank(found)[0].name == "data_unlearnable"
    assert "by heart" in verdict(found, "train.py", [], []).sentence


def test_what_learns_nothing_at_all_is_not_learnt_by_heart():
    found, _ = search(lambda kinds: 0.0, known=0.02, held_out=0.03)
    said = verdict(found, "train.py", [], [])
    assert found.by_heart and not said.learns
    assert said.sentence.startswith("It does not learn, and these data may not allow it: on samples that they were not")
    assert "by heart" not in said.sentence


@pytest.mark.parametrize(
    ("x", "y", "known", "why"),
    [
        (np.repeat(np.eye(2), 40, axis=0), np.tile([1.0, -1.0, 0.5, 0.25], 20), 0.0, "no net can come more than 0%"),
        (XV, np.full(90, 3), None, "every sample has the same targets"),
    ],
)
def test_what_is_reckoned_from_the_data_is_no_guess(x, y, known, why):
    made = case([dense(8, "relu"), dense(1)], "mean_squared_error", x, y)
    said = verdict(search(lambda kinds: 0.0, made=made, known=known, held_out=0.0)[0], "train.py", [], [])
    assert said.sentence.startswith("It does not learn, and from these data there is little to learn: ")
    assert why in said.sentence
    assert not any("--minutes" in item for item in said.not_tried)  # it was not the time that was short
    assert said.learns is False
    assert (said.causes[0].name, said.causes[0].how) == ("data_unlearnable", "measured")
    assert "guess:" not in said.sentence


def test_missing_numbers_are_measured_and_named_so_where_no_repair_is_found():
    made = replace(MADE, data=replace(MADE.data, x=(np.where(X > 1.2, np.nan, X).astype(np.float32),)))
    said = verdict(search(lambda kinds: 0.0, made=made, known=None)[0], "train.py", [], [])
    how = {cause.name: cause.how for cause in said.causes}
    assert (how["data_not_finite"], how["output_activation"]) == ("measured", "cannot work")


NAN = case([dense(8, "sigmoid"), DROPOUT, dense(1, "softmax")], "binary_crossentropy", 300 * X, Y, optimizer="SGD")
NAN = replace(NAN, data=replace(NAN.data, x=(np.where(X > 1.2, np.nan, X).astype(np.float32),)))


class NotFinite(Trainer):
    """The loss is NaN wherever the missing numbers are not filled in."""

    def outcome(self, trial):
        made = super().outcome(trial)
        finite = Change("finite") in trial.changes
        runs = [replace(run, skill=run.skill if finite else 0.0, finite=finite) for run in made.runs]
        return replace(made, runs=tuple(runs))


def not_finite(rule):
    trainer = NotFinite(rule)
    found = symptoms.look(NAN.setup, NAN.data, NAN.task)
    known = Reference(0.95, "ridge regression", 90)
    found = Search(NAN, found, trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    return found, verdict(found, "train.py", [], []), trainer


def test_missing_numbers_are_filled_in_before_all_else_and_are_none_of_the_three_changes():
    needed = {"finite", "head", "inputs", "dropout"}
    found, said, trainer = not_finite(lambda kinds: 0.95 if needed <= kinds else 0.0)
    assert {change.kind for change in found.repair} == needed and found.confirmation.certain
    assert all(Change("finite") in trial.changes for trial in trainer.trials if trial.changes)
    assert said.causes[0].name == "data_not_finite"
    assert {step.cause for step in said.repair} <= {cause.name for cause in said.causes}
    assert said.sentence.endswith("As asked the loss becomes NaN or infinite (9 of 9 seeds).")


def test_missing_numbers_alone():
    _, said, _ = not_finite(lambda kinds: 0.95 if "finite" in kinds else 0.0)
    assert [step.cause for step in said.repair] == ["data_not_finite"] and said.confirmed
    assert "missing numbers" not in " ".join([*said.no_matter, *said.no_help, *said.not_tried])


def test_of_a_loss_that_becomes_nan_it_is_told_what_keeps_it_finite_though_the_data_cannot_be_learnt():
    class Diverges(Trainer):
        def outcome(self, trial):
            made = super().outcome(trial)
            finite = any(change.kind == "rate" and change.value < 1 for change in trial.changes)
            return replace(made, runs=tuple(replace(run, finite=finite) for run in made.runs))

    trainer = Diverges(lambda kinds: 0.0, held_out=0.0)
    made = case([dense(8, "relu"), dense(1, "sigmoid")], "binary_crossentropy", X, Y, optimizer="SGD", rate=20.0)
    found = symptoms.look(made.setup, made.data, made.task)
    known = Reference(0.0, "ridge regression", 90)
    found = Search(made, found, trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    assert [cause.name for cause in said.causes[:2]] == ["learning_rate_high", "data_unlearnable"]
    assert "and not with learning rate 0.05 in place of 20 or learning rate 2 in place of 20" in said.causes[0].text
    assert "these data may not allow it" in said.sentence and "NaN or infinite (3 of 3 seeds)." in said.sentence


def test_one_answer_for_all_samples_is_said():
    class Constant(Trainer):
        def outcome(self, trial):
            made = super().outcome(trial)
            return replace(made, runs=tuple(replace(run, one_answer=run.skill < 0.1) for run in made.runs))

    trainer = Constant(lambda kinds: 0.95 if "head" in kinds else 0.0)
    found = Search(MADE, [], trainer.run, LIMITS, lambda: None, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], []).sentence
    assert said.endswith(" As asked the net gives one answer for all samples (9 of 9 seeds).")


def test_where_a_likely_change_does_nothing_larger_is_trained():
    found, trainer = search(lambda kinds: 0.96 if "head" in kinds else 0.0)
    assert found.repair == {HEAD}
    assert max(len(trial.changes) for trial in trainer.trials) == 2  # the head with samples held out


def test_data_that_were_learnt_are_not_blamed():
    x = np.random.default_rng(0).normal(size=(90, 1, 1))
    made = case(
        [("SimpleRNN", {"units": 8, "activation": "tanh"}), dense(1)], "mean_squared_error", x, 300 * x[:, 0, 0]
    )
    assert "data_unlearnable" in {cause.name for cause in rank(search(lambda kinds: 0.0, made=made)[0])}
    found, _ = search(lambda kinds: 0.95 if "targets" in kinds else 0.0, made=made)
    assert "data_unlearnable" not in {cause.name for cause in rank(found)}


def test_a_weak_reference_is_no_proof():
    found, _ = search(lambda kinds: 0.99, known=0.02, held_out=0.9)
    assert (found.learns, found.repair) == (True, None)


def test_that_a_stand_in_for_a_loss_of_the_script_s_own_learns_does_not_acquit_it():
    said = verdict(search(lambda kinds: 0.97)[0], "train.py", [], [])
    assert of_stand_ins(said, []) is said
    said = of_stand_ins(said, ["loss closeness"])
    assert said.learns is None and [cause.name for cause in said.causes] == ["loss_function"]
    assert "in place of the script's own loss closeness it learns (skill 0.97)" in said.sentence
    repaired = verdict(search(lambda kinds: 0.95 if "head" in kinds else 0.0)[0], "train.py", [], [])
    usual = "With Keras' usual one in place of the script's own loss closeness: It does not learn because of "
    assert of_stand_ins(repaired, ["loss closeness"]).sentence.startswith(usual)


def test_a_net_that_learns_is_told_no_change_that_is_unsure():
    found, _ = search(lambda kinds: 0.97)
    found.repair = frozenset([HEAD])
    said = verdict(found, "train.py", [], [])
    assert (said.learns, said.repair, said.sentence) == (True, [], "It learns: no fault found (skill 0.97).")
    assert "not surely" not in to_text(said)


def test_a_net_that_learns_and_would_do_better():
    found, _ = search(lambda kinds: 0.95 if "dropout" in kinds else 0.72)
    assert found.learns
    assert found.repair == {NO_DROPOUT}


def test_a_script_that_stops_with_an_error():
    found, _ = search(lambda kinds: 0.9 if "head" in kinds else 0.0, error="shapes do not fit")
    said = verdict(found, "train.py", [], [])
    assert said.learns is False
    assert said.sentence.startswith("It does not train: shapes do not fit. With sigmoid at the output it does")


LABELS = "Received a label value of 5 which is outside the valid range of [0, 5)."
SHAPES = "Arguments `target` and `output` must have the same shape. Received: target.shape=(32,), output.shape=(32, 3)"


@pytest.mark.parametrize(("said", "kept"), [(f"{LABELS}  Label values: 4 2 1 5\nnode", LABELS), (SHAPES, SHAPES)])
def test_an_error_is_told_without_its_dump_of_numbers(tensorflow, said, kept):
    from stages.core.why.trainer import first_line

    assert first_line(ValueError(f"Graph execution error:\n{said}")) == kept


def test_an_error_is_told_once():
    class Stops(Trainer):
        def outcome(self, trial):
            return super().outcome(trial) if HEAD in trial.changes else Outcome(error=LABELS)

    trainer = Stops(lambda kinds: 0.9)
    found = Search(MADE, [], trainer.run, LIMITS, lambda: None, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    assert to_text(said).count("outside the valid range") == 1
    assert "no dropout" in said.not_tried[0] and said.not_tried[0].endswith("(stopped by the same error)")


def test_no_line_of_the_table_is_cut():
    """Sets that begin with the same words are told apart, in the terminal and in the page's figure."""
    said = verdict(search(lambda kinds: 0.0)[0], "train.py", [], [])
    assert sum(len(line.changes) > 62 for line in said.table) > 3
    shown = "".join(to_text(replace(said, table=said.table[-20:])).split())
    assert all("".join(line.changes.split()) in shown for line in said.table[-20:])
    last = replace(said, table=said.table[-MOST_ROWS:])
    assert points(last)["row"].nunique() == 1 + len({line.changes for line in last.table}) == 1 + MOST_ROWS
    assert points(said)["row"].nunique() == 1 + MOST_ROWS


def test_the_time_is_kept_and_what_is_left_is_told():
    found, trainer = search(lambda kinds: 0.0, limits=Limits(seconds=12, cores=2))
    assert trainer.now <= 15
    said = verdict(found, "train.py", [], [])
    assert any("a larger `--minutes` gives more time" in item for item in said.not_tried)
    assert "no repair" in said.sentence


def test_a_repair_that_there_was_no_time_to_confirm_is_told_as_such():
    class Late(Trainer):
        def outcome(self, trial):
            made = super().outcome(trial)
            return replace(made, runs=()) if min(trial.seeds) >= 100 else made

    trainer = Late(lambda kinds: 0.95 if "head" in kinds else 0.0)
    found = Search(MADE, [], trainer.run, LIMITS, lambda: None, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    assert said.sentence.startswith("It does not learn; with sigmoid at the output it seems to (skill 0.9")
    assert "no time to try that again with fresh seeds" in said.sentence and not said.confirmed


def test_an_interrupted_search_tells_what_it_knows():
    trainer = Trainer(lambda kinds: 0.0)

    def run(trials, go_on):
        if len(trainer.trials) > 3:
            raise KeyboardInterrupt
        return trainer.run(trials, go_on)

    found = Search(MADE, [], run, LIMITS, clock=lambda: trainer.now).go()
    assert found.interrupted
    assert "Interrupted" in to_text(verdict(found, "train.py", [], []))


def test_the_same_seed_gives_the_same_verdict():
    one, other = (search(lambda kinds: 0.95 if {"head", "inputs"} <= kinds else 0.0)[0] for _ in range(2))
    assert to_text(verdict(one, "train.py", [], [])) == to_text(verdict(other, "train.py", [], []))


def test_what_did_not_matter_is_said():
    said = verdict(search(lambda kinds: 0.95 if "head" in kinds else 0.0)[0], "train.py", [], [])
    assert {"dropout", "the size of the net", "the number of epochs (500, 5,000)"} <= set(said.no_matter)
    assert "the learning rate (1e-05, 0.0001, 0.01, 0.1)" in said.no_matter and not said.no_help
    assert "Not the reason (" in to_text(said)


def test_of_what_helps_a_little_nothing_is_called_no_reason():
    """Not even the values that do not: they say nothing of others."""

    class Slow(Trainer):
        def skill(self, trial, seed):
            return 0.95 if HEAD in trial.changes else 0.3 if Change("rate", 10.0) in trial.changes else 0.0

    trainer = Slow(None)
    known = Reference(0.95, "ridge regression", 90)
    found = Search(MADE, [], trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    assert "dropout" in said.no_matter and not any("learning rate" in item for item in said.no_matter)


class Cut(Trainer):
    """A longer training is cut short; the sixth part of one does as well as it all where `enough` is changed."""

    def __init__(self, enough=()):
        super().__init__(lambda kinds: 0.9 if kinds and kinds <= set(enough) else 0.0)

    def outcome(self, trial):
        made = super().outcome(trial)
        return replace(made, asked_steps=600) if any(c.kind == "epochs" for c in trial.changes) else made


def test_a_training_that_was_cut_short_acquits_nothing():
    trainer = Cut({"head"})
    known = Reference(0.95, "ridge regression", 90)
    found = Search(MADE, [], trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    assert said.confirmed and "dropout" in said.no_matter
    assert not any("epochs" in item for item in said.no_matter + said.no_help)
    assert "500 epochs in place of 50; 5,000 epochs in place of 50 (not all of their steps" in said.not_tried[0]
    assert "500 epochs in place of 50 (100 of its 600 steps)" in [line.changes for line in said.table]
    trainer = Cut({"epochs"})
    found = Search(MADE, [], trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    assert "0.90 with it (100 of its 600 steps); 6 fresh seeds" in verdict(found, "train.py", [], []).sentence


@pytest.mark.parametrize(("dead", "cause"), [(0.9, "dead_relu"), (0.1, "hidden_activation")])
def test_relu_units_are_blamed_where_they_were_seen_to_be_dead(dead, cause):
    class Relu(Trainer):
        def outcome(self, trial):
            made = super().outcome(trial)
            return replace(made, runs=tuple(replace(run, dead=dead) for run in made.runs))

    trainer = Relu(lambda kinds: 0.95 if "activation" in kinds else 0.0)
    known = Reference(0.95, "ridge regression", 90)
    found = Search(PLAIN, [], trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    assert (said.causes[0].name, said.repair[0].cause) == (cause, cause)


def test_other_changes_that_are_enough_alone_are_no_guess():
    """Of one the median seed learns, of the other every seed."""

    class Both(Trainer):
        def skill(self, trial, seed):
            kinds = {change.kind for change in trial.changes}
            return 0.95 if kinds & {"head", "width"} else 0.4 * (seed != 2) if "inputs" in kinds else 0.0

    trainer = Both(None)
    found = symptoms.look(MADE.setup, MADE.data, MADE.task)
    known = Reference(0.95, "ridge regression", 90)
    found = Search(MADE, found, trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    assert " Alone enough in a first look, too: a wider net (0.95)." in said.sentence
    how = {cause.name: cause.how for cause in said.causes}
    assert (how["output_activation"], how["capacity_low"], how["input_scale"]) == ("measured", "helps alone", "a guess")
    assert "alone it helped, too: a wider net (skill 0.95)" in to_text(said)


def test_a_repair_is_said_once_though_it_shows_several_causes():
    x, y = blobs(classes=3)
    made = case([dense(8, "relu"), dense(1, "softmax")], "binary_crossentropy", x, y + 1)
    found, _ = search(lambda kinds: 0.95 if "head" in kinds else 0.0, made=made)
    said = verdict(found, "train.py", [], [])
    assert {cause.how for cause in said.causes[:3]} == {"measured"}
    assert {cause.name: cause.how for cause in said.causes}["output_activation"] == "cannot work"
    assert to_text(said).count("changed in the repair: ") == 1


def test_an_output_that_the_repair_leaves_is_not_blamed_for_targets_that_it_cannot_give():
    made = case([dense(8, "relu"), dense(1, "sigmoid")], "mean_squared_error", XV, 50 * YV + 300)
    found, _ = search(lambda kinds: 0.95 if kinds == {"targets"} else 0.0, made=made)
    sentence = verdict(found, "train.py", [], []).sentence
    assert sentence.startswith("It does not learn because of targets that sigmoid at the output cannot give: with")


def test_the_table_begins_with_as_asked_and_holds_what_skill_can_be():
    found, _ = search(lambda kinds: 0.6 if "head" in kinds else 0.3, noise=0.5)
    table = verdict(found, "train.py", [], []).table
    assert table[0].changes == AS_ASKED and table[0].difference is None
    ends = [end for line in table for end in (line.low, line.high) if end is not None]
    assert ends and np.abs(ends).max() <= 1
    assert all(0 <= line.skill.low <= line.skill.high <= 1 for line in table if line.skill.low is not None)
    assert all(line.low is None for line in table if len(line.skill.values) < 3)
    assert signed(-0.001) == "+0.00"
    assert "A first look, with 2 or 3 seeds each (median skill)" in to_text(verdict(found, "train.py", [], []))


TEMPLATE = (Path(symptoms.__file__).parents[2] / "templates/why.html").read_text(encoding="utf-8")


def test_the_page_says_what_the_terminal_says():
    learns = verdict(search(lambda kinds: 0.97)[0], "train.py", [], [])
    assert "Causes, the likeliest" not in page(learns, TEMPLATE) and "#888" in page(
        replace(learns, learns=None), TEMPLATE
    )
    looked = verdict(search(lambda kinds: 0.9, known=1.0)[0], "train.py", [], [])
    assert len(looked.table) > 1 and set(points(looked)["row"]) == {AS_ASKED}
    said = verdict(search(lambda kinds: 0.95 if "head" in kinds else 0.0)[0], "train.py", [Edit(None, 0, "", "x")], [])
    html = page(said, TEMPLATE)
    for text in ("The change", "A first look, with ", "(<code>output_activation</code>, measured)"):
        assert text in html
    for text in (
        "the activation of the output (output_activation, measured): ",
        "Skill (balanced accuracy above chance on ",
    ):
        assert text in to_text(said)
    assert "For comparison: scikit-learn&#39;s ridge regression, on samples held out: 0.95." in html
    assert "What helped most, but not surely" in page(replace(said, confirmed=False), TEMPLATE)


def test_what_shows_nothing_alone_may_still_be_the_reason():
    """Behind a softmax over one unit no learning rate can help; beside a sigmoid it may do as well as more epochs."""
    found, _ = search(lambda kinds: 0.95 if "head" in kinds and kinds & {"epochs", "rate"} else 0.0)
    said = verdict(found, "train.py", [], [])
    assert len(said.repair) == 2 and said.confirmed
    assert "the learning rate (1e-05, 0.0001, 0.01, 0.1)" in said.no_help
    assert "Changing one of these alone does not help: " in to_text(said)
    nothing = verdict(search(lambda kinds: 0.0)[0], "train.py", [], [])
    assert not nothing.no_matter and "dropout" in nothing.no_help


def test_a_change_that_adds_nothing_beside_any_part_of_the_repair_is_not_the_reason():
    def said(skill):
        found, _ = search(lambda kinds: 0.95 if {"head", "inputs"} <= kinds else 0.0)
        for part, value in ((HEAD, 0.0), (INPUTS, skill)):
            tried = Tried(frozenset([part, Change("width")]), [Run(0, value, None, 100, (), True, False, 0.0)])
            found.tried[tried.changes] = tried
        return verdict(found, "train.py", [], [])

    assert "the size of the net" in said(0.0).no_matter
    assert "the size of the net" in said(0.5).no_help


def test_what_makes_one_of_three_seeds_learn_is_of_some_help():
    class Sometimes(Trainer):
        def skill(self, trial, seed):
            return 0.9 if Change("width") in trial.changes and len(trial.changes) == 1 and seed == 0 else 0.0

    trainer = Sometimes(None)
    known = Reference(0.95, "ridge regression", 90)
    found = Search(MADE, [], trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    said = verdict(found, "train.py", [], [])
    assert "dropout" in said.no_help and "the size of the net" not in said.no_help + said.no_matter


@pytest.mark.parametrize(("strength", "place"), [(1e-4, "no_matter"), (0.5, "no_help")])
def test_a_regularizer_with_which_the_repair_learns_is_not_the_reason_unless_a_sign_speaks(strength, place):
    l2 = {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": strength}}
    layers = [dense(8, "sigmoid", kernel_regularizer=l2), dense(1, "softmax")]
    made = case(layers, "binary_crossentropy", 300 * X, Y, optimizer="SGD")
    found, _ = search(lambda kinds: 0.95 if {"head", "inputs"} <= kinds else 0.0, made=made)
    assert "the regularizer" in getattr(verdict(found, "train.py", [], []), place)


def test_a_real_net_is_repaired(monkeypatch):
    """Trained for real, by processes; of the single changes two alone, which is enough to tell them apart."""
    few = [HEAD, Change("rate", 0.1)]
    monkeypatch.setattr(interventions, "candidates", lambda setup, data, task: few)
    made = case([dense(8, "relu"), dense(1, "softmax")], "binary_crossentropy", X, Y, rate=0.02, epochs=20)
    found = investigate(made, signs(made), Limits(seconds=300, cores=2))
    assert found.learns is False
    assert found.repair == {HEAD}
    assert found.confirmation.certain
    assert rank(found)[0].name == "output_activation"


def test_a_plateau_is_searched_from_the_likeliest_changes_on():
    """Four changes are needed and one alone does a little: the signs say which to try together first."""
    needed = {"head", "activation", "optimizer", "inputs"}

    def rule(kinds):
        return 0.95 if needed <= kinds else 0.12 * ("optimizer" in kinds)

    found, trainer = search(rule)
    several = [{c.kind for c in trial.changes} for trial in trainer.trials if len(trial.changes) > 1]
    assert next(place for place, kinds in enumerate(several) if kinds == needed) < 25
    assert {change.kind for change in found.repair} == needed
    assert found.confirmation.certain


def test_where_steps_are_dear_smaller_batches_come_early():
    class Dear(Trainer):
        def outcome(self, trial):
            self.now += 14
            return replace(super().outcome(trial), step_seconds=1.0)

    trainer = Dear(lambda kinds: 0.95 if {"head", "batch"} <= kinds else 0.0)
    made = replace(MADE, setup=replace(MADE.setup, batch_size=90, epochs=10))
    found = symptoms.look(made.setup, made.data, made.task)
    known = Reference(0.95, "ridge regression", 90)
    found = Search(made, found, trainer.run, LIMITS, lambda: known, clock=lambda: trainer.now).go()
    assert {change.kind for change in found.repair} == {"head", "batch"}


def test_three_changes_and_a_long_training_are_found_in_the_place_of_four():
    """What takes four changes in a short training takes three in a long one."""
    longest = [c for c in interventions.candidates(MADE.setup, MADE.data, MADE.task) if c.kind == "epochs"][-1]

    class Slow(Trainer):
        def skill(self, trial, seed):
            kinds = {change.kind for change in trial.changes}
            enough = {"head", "optimizer", "inputs", "width"} <= kinds
            return 0.95 if enough or {HEAD, INPUTS, longest} <= trial.changes else 0.0

    trainer = Slow(None)
    found = symptoms.look(MADE.setup, MADE.data, MADE.task)
    reference = Reference(0.95, "ridge regression", 90)
    found = Search(MADE, found, trainer.run, LIMITS, lambda: reference, clock=lambda: trainer.now).go()
    assert found.repair == {HEAD, INPUTS, longest}
    several = [trial.changes for trial in trainer.trials if len(trial.changes) > 1]
    assert several.index(frozenset([HEAD, INPUTS, longest])) < 40
