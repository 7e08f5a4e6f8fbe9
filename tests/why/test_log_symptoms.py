"""What a log is said to show: the documents' logs, public cases, made-up curves on both sides of each rule."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from stages.commands import why
from stages.core.base.errors import UserError
from stages.core.why.alike import alike
from stages.core.why.log_advice import ADVICE, HARMLESS
from stages.core.why.log_report import Finding, to_json, to_text
from stages.core.why.log_symptoms import HIDES, RULES, symptoms
from stages.core.why.logs import TrainingLog, parse


def log_of(**columns):
    values = {name: np.asarray(column, float) for name, column in columns.items()}
    epochs = len(next(iter(values.values())))
    return TrainingLog("made up", np.arange(1, epochs + 1), values, {name: np.ones(epochs, bool) for name in values})


def words(log):
    return [symptom.word for symptom in symptoms(log)]


def said(**columns):
    return words(log_of(**columns))


def down(first, last, epochs=20, rate=0.3):
    """A loss that falls from `first` and levels off near `last`."""
    return last + (first - last) * np.exp(-rate * np.arange(epochs))


EPOCHS = np.arange(20)
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 1, 20)

# --- printed in the documents, and in public cases ------------------------------------------------------------------

COLLAPSE = """Epoch 1/300
391/391 - 1s - loss: 2.4411 - accuracy: 0.0990 - val_loss: 2.3027 - val_accuracy: 0.1064
Epoch 2/300
391/391 - 0s - loss: 2.3374 - accuracy: 0.1007 - val_loss: 2.3031 - val_accuracy: 0.1064
Epoch 3/300
391/391 - 0s - loss: 2.3178 - accuracy: 0.1016 - val_loss: 2.3041 - val_accuracy: 0.1064
Epoch 4/300
391/391 - 0s - loss: 2.3089 - accuracy: 0.1045 - val_loss: 2.3026 - val_accuracy: 0.1064
Epoch 5/300
391/391 - 0s - loss: 2.3051 - accuracy: 0.1060 - val_loss: 2.3030 - val_accuracy: 0.1064
"""
CIFAR_NONE = "1.7895 .4002 1.4933 .4894 · 1.4432 .4811 1.6485 .4870 · 1.3627 .5133 1.3166 .5657"
CIFAR_L2 = "3.4165 .3751 2.2260 .4072 · 2.1345 .4172 2.0945 .4376 · 2.1065 .4257 2.0685 .4231"
FIRST_CHAPTER = "Epoch 1/30 - 7s - loss: nan - acc: 0.0987Epoch 2/30 - 7s - loss: nan - acc: 0.0987"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COLLAPSE, ["at chance", "constant output"]),
        (CIFAR_NONE, ["still improving"]),
        (CIFAR_L2, ["penalty in the loss", "still improving"]),
        (FIRST_CHAPTER, ["diverged"]),
        ("loss 1.6822 acc .5910, val_loss 1.5107 val_acc .6622", ["training worse than validation"]),
        ("loss 3.51 acc .1042 val_acc .1128", ["at chance"]),
        ("train (.0581, 1), evaluated (3.912, 0)", ["inference far worse than training"]),
        ("val_loss 288 → 5120 while loss .52 → .04", ["inference far worse than training", "still improving"]),
        ("loss .0934 acc .9721, val_loss 3.8712 val_acc .5702", ["inference far worse than training"]),
        ("nan", ["diverged"]),
        ("2.303, .1", ["at chance"]),
        ("loss .6120 mse .2540", ["penalty in the loss"]),
    ],
)
def test_printed_logs(text, expected):
    (log,) = parse(text)
    assert words(log) == expected


def test_the_evidence_has_the_numbers():
    (log,) = parse(COLLAPSE)
    chance, constant = symptoms(log)
    assert "ln 10 = 2.3026" in chance.evidence and "0.1064" in constant.evidence
    assert "dropout" in chance.first


# --- each word, and its neighbours ----------------------------------------------------------------------------------


def test_healthy():
    accuracy = 0.9 - down(0.4, 0)
    assert said(loss=down(1.2, 0.3), accuracy=accuracy, val_loss=down(1.1, 0.35), val_accuracy=accuracy) == ["healthy"]


def test_nothing_is_said_of_too_little_and_of_a_net_that_hardly_learns():
    assert said(loss=[0.7], accuracy=[0.6]) == ["no clear symptom"]
    hardly = {"loss": [0.7778, 0.7062, 0.6956, 0.6899], "accuracy": [0.5162, 0.5367, 0.5624, 0.5537]}
    assert said(**hardly, val_loss=[0.8612, 0.6286, 0.6207, 0.6158], val_accuracy=[0.1667, 0.8333, 0.8333, 0.8333]) == [
        "no clear symptom"
    ]
    flat = {"val_loss": 1.8 + 0.01 * NOISE, "val_accuracy": 0.2 + 0.01 * NOISE}  # training alone gets somewhere
    assert said(loss=down(2.3, 1.7), accuracy=0.3 - down(0.15, 0), **flat) == ["no clear symptom"]


def test_diverged_by_nan_infinity_or_growth():
    assert said(loss=[0.5, math.inf, math.nan]) == ["diverged"]
    assert said(loss=[5.0, 50.0, 4e5, 3e9]) == ["diverged"]
    assert said(loss=down(1, 0.3), val_loss=[math.nan] * 20) == ["diverged"]
    assert "diverged" not in said(loss=[9.0, 0.5, 0.05, 0.4])


def test_at_chance_needs_an_accuracy_that_stays_at_one_of_k():
    flat = 0.2 + 0.005 * NOISE
    assert said(loss=math.log(5) + 0.002 * np.abs(NOISE), accuracy=flat)[0] == "at chance"
    assert "at chance" not in said(loss=down(1.7, 0.9), accuracy=0.5 - down(0.3, 0))
    assert "at chance" not in said(loss=down(4.6, 2.4), accuracy=0.35 - down(0.34, 0))  # a hundred classes, learning


def test_at_chance_with_squared_errors_of_one_hot_labels():
    assert said(loss=[0.0901, 0.09, 0.09, 0.09], accuracy=[0.1, 0.101, 0.099, 0.1])[0] == "at chance"


def test_at_chance_by_the_loss_alone():
    assert said(loss=[0.6935, 0.6932, 0.6931, 0.6931]) == ["at chance"]
    assert said(loss=[0.6935, 0.6902, 0.6861, 0.6731]) != ["at chance"]


def test_constant_output_is_an_accuracy_that_does_not_move():
    share = [0.627] * 20
    assert "constant output" in said(loss=down(0.8, 0.66), accuracy=share, val_loss=down(0.8, 0.66), val_accuracy=share)
    learnt = 0.97 - down(0.3, 0)
    assert "constant output" not in said(
        loss=down(0.7, 0.08), accuracy=learnt, val_loss=down(0.7, 0.1), val_accuracy=[0.96] * 20
    )


def test_loss_falls_and_the_metric_does_not():
    assert said(loss=down(0.7, 0.3), accuracy=[0.484] * 20) == ["loss falls, metric does not"]
    assert "loss falls, metric does not" not in said(loss=down(0.7, 0.3), accuracy=0.9 - down(0.4, 0))


def test_a_penalty_shows_beside_the_same_loss_without_it():
    squared = down(1, 0.2)
    assert said(loss=squared + 0.9, mse=squared) == ["penalty in the loss"]
    assert said(loss=squared, mse=squared) == ["healthy"]
    assert said(loss=np.sqrt(squared) * 0.8, mse=squared) == ["healthy"]  # the loss is the absolute error
    assert said(loss=squared + 0.9, mae=0.8 * np.sqrt(squared)) == ["penalty in the loss"]
    assert said(loss=squared, mae=0.8 * np.sqrt(squared)) == ["healthy"]


def test_a_penalty_shows_beside_a_high_accuracy():
    accuracy = 0.98 - down(0.3, 0)
    assert said(loss=down(3, 0.5), accuracy=accuracy) == ["penalty in the loss"]
    assert said(loss=down(0.9, 0.06, rate=0.6), accuracy=accuracy) == ["healthy"]


def test_a_net_that_is_not_sure_yet_pays_no_penalty():
    """A right answer costs up to ln K while the net hardly prefers it."""
    unsure = {"accuracy": 0.95 - down(0.4, 0), "loss": 1.6 * 0.92**EPOCHS}
    assert said(**unsure) == ["still improving"]
    assert said(accuracy=unsure["accuracy"], loss=down(1.6, 0.5)) == ["penalty in the loss"]
    shrinks = down(28, 0.7)  # more than crossentropy can be, until the weights are gone
    assert "penalty in the loss" in said(loss=shrinks, accuracy=[0.6] + [0.85] * 12 + [0.6] * 7)


def test_training_worse_than_validation_beyond_the_lag_of_a_mean():
    accuracy, better = 0.8 - down(0.3, 0), 0.86 - down(0.3, 0)
    noisy = {"loss": down(1.5, 0.6), "accuracy": accuracy, "val_loss": down(1, 0.4), "val_accuracy": better}
    assert said(**noisy) == ["training worse than validation"]
    steep = down(2, 0.01, 12, 0.4)  # the mean over an epoch lags behind; the next epoch's is as low as the validation
    assert "training worse than validation" not in said(loss=steep[:-1], val_loss=steep[1:])


def test_batch_norm_is_bad_from_the_start_and_overfitting_is_not():
    training = {"loss": down(0.6, 0.03, 12), "accuracy": 0.99 - down(0.3, 0, 12)}
    jumping = 3 * np.exp(0.8 * RNG.normal(0, 1, 12))
    batch_norm = said(**training, val_loss=jumping, val_accuracy=0.5 + 0.1 * NOISE[:12])
    assert batch_norm == ["inference far worse than training"]
    overfit = said(**training, val_loss=0.5 + 0.05 * np.arange(12), val_accuracy=[0.8] * 12)
    assert overfit == ["overfitting"]


def test_overfitting_from_its_epoch():
    held_out = np.concatenate([down(1, 0.5, 8), 0.5 + 0.02 * np.arange(1, 13)])
    (symptom,) = symptoms(log_of(loss=down(1, 0.05), val_loss=held_out))
    assert symptom.word == "overfitting"
    assert any(f"From epoch {epoch} on" in symptom.evidence for epoch in (8, 9, 10))
    assert "overfitting" not in said(loss=down(1, 0.05), val_loss=np.minimum(held_out, 0.515 * np.ones(20)))
    assert "overfitting" not in said(loss=[1, 0.5, 0.3, 0.2], val_loss=[0.5, 0.6, 0.7, 0.8])  # too short to say


def test_a_validation_loss_that_rises_is_not_overfitting_where_noise_would_do_the_same():
    falls, rises = down(1, 0.05), np.concatenate([down(1, 0.5, 8), 0.5 + 0.02 * np.arange(1, 13)])
    assert said(loss=falls, val_loss=rises)[0] == "overfitting"
    assert "overfitting" not in said(loss=down(1, 0.3, rate=1.0), val_loss=rises)  # training has ended long before
    comes_back = np.append(rises[:-2], [0.5, 0.49])
    assert "overfitting" not in said(loss=falls, val_loss=comes_back)
    restless = 0.5 * np.exp(0.25 * NOISE) * np.linspace(0.9, 1.1, 20)
    assert "overfitting" not in said(loss=falls, val_loss=restless)
    accuracies = {"accuracy": 1 - falls / 2, "val_accuracy": [0.7, 0.85, 0.9] + [0.95] * 17}
    assert "overfitting" not in said(loss=falls, val_loss=rises, **accuracies)  # of 20 samples one is wrong
    accuracies["val_accuracy"] = [0.7012, 0.8533, 0.9021] + [0.9507] * 17
    assert said(loss=falls, val_loss=rises, **accuracies) == ["overfitting"]  # of thousands


def test_epochs_that_a_log_leaves_out_count():
    text = (
        "Epoch 1/100\n9/9 - 3s - loss: 2.3\nEpoch 50/100\n9/9 - 3s - loss: 0.9\nEpoch 100/100\n9/9 - 3s - loss: 0.8\n"
    )
    assert words(parse(text)[0]) == ["healthy"]  # 0.2 % an epoch


def test_still_improving_by_the_held_out_loss():
    assert said(loss=down(1, 0.01, rate=0.05), val_loss=down(1, 0.01, rate=0.05)) == ["still improving"]
    assert said(loss=down(1, 0.38), val_loss=down(1, 0.4, rate=0.6)) == ["healthy"]
    assert said(loss=[1.0, 0.9, 0.88]) == ["still improving"]


def test_learning_rate_too_low_falls_straight_and_hardly():
    assert said(loss=1 - 0.002 * EPOCHS, val_loss=1 - 0.002 * EPOCHS) == ["learning rate too low"]
    assert "learning rate too low" not in said(loss=down(1, 0.9), val_loss=down(1, 0.9))  # levels off
    assert "learning rate too low" not in said(loss=1 - 0.002 * EPOCHS, val_loss=[1.0] * 20)  # a penalty falls alone
    late = "".join(f"Epoch {80 + i}/100\n9/9 - 1s - loss: {0.9 - 0.002 * i:.4f}\n" for i in range(20))
    assert words(parse(late)[0]) != ["learning rate too low"]


def test_learning_rate_too_high_shakes_or_throws():
    assert "learning rate too high" in said(loss=1.5 * np.exp(0.4 * NOISE), accuracy=0.6 + 0.02 * NOISE)
    assert "learning rate too high" not in said(loss=down(1.5, 0.3) * np.exp(0.02 * NOISE), accuracy=0.9 - down(0.4, 0))
    thrown = np.concatenate([[7e5], 0.7 + 0.003 * np.abs(NOISE[1:])])
    assert said(loss=thrown, accuracy=0.5 + 0.005 * NOISE)[:2] == ["at chance", "learning rate too high"]


def test_dropout_shakes_the_training_alone():
    shaken = {"loss": 0.6 * np.exp(0.3 * NOISE), "accuracy": 0.75 + 0.02 * NOISE}
    assert "learning rate too high" in said(**shaken)
    assert "learning rate too high" in said(**shaken, val_loss=0.6 * np.exp(0.3 * NOISE[::-1]))
    assert "learning rate too high" not in said(**shaken, val_loss=0.55 + 0.002 * NOISE)


def test_answers_that_do_not_move_are_not_all_the_same():
    frozen = {"loss": 1.353 - 1e-5 * EPOCHS, "val_loss": 1.371 - 1e-5 * EPOCHS}
    assert "constant output" not in said(**frozen, accuracy=[0.28] * 20, val_accuracy=[0.256] * 5 + [0.264] * 15)


def test_accuracy_of_a_regression():
    loss = down(600, 20, rate=0.6)
    assert said(loss=loss, accuracy=[0.002] * 20, val_loss=loss, val_accuracy=[0] * 20) == ["metric without meaning"]
    late = [0.0141, 0.0122, 0.0139, 0.0152]  # no crossentropy is that small beside so many wrong answers
    assert said(loss=late, acc=[0.0056] * 4, val_loss=[0.0118] * 4) == ["metric without meaning"]
    assert "metric without meaning" not in said(loss=down(4.6, 3.9), accuracy=0.12 - down(0.11, 0))


def test_negative_and_zero():
    assert said(loss=[0.2, -1.0, -3.0], accuracy=[0.3, 0.3, 0.3]) == ["negative loss"]
    assert said(loss=[0, 0, 0], accuracy=[0.3, 0.3, 0.3])[0] == "loss of zero"
    assert "loss of zero" not in said(loss=[0.5, 0.1, 0.0], accuracy=[0.8, 0.99, 1.0])


def test_outputs_that_saturate_cost_what_keras_2_counts_at_most():
    text = "".join(f"Epoch {i}/3\n100/100 - 3s - loss: 14.5063 - acc: 0.1000\n" for i in (1, 2, 3))
    assert words(parse(text)[0]) == ["saturated output", "at chance", "constant output"]
    assert said(loss=[4.3712, 4.3695, 4.3707, 4.3698], acc=[0.7287, 0.7284, 0.7284, 0.7286]) == ["saturated output"]
    assert words(parse("1 1.1921e-07 0.34\n2 1.1921e-07 0.34\n3 1.1921e-07 0.34")[0])[0] == "loss of zero"


def test_a_squared_error_beside_an_accuracy_is_not_the_loss():
    accuracy = 0.75 - down(0.15, 0, rate=0.6)
    assert said(loss=down(1.8, 0.9, rate=0.6), mean_squared_error=down(0.005, 0.003), accuracy=accuracy) == ["healthy"]


def test_several_outputs_are_not_judged_by_the_accuracy_of_one():
    columns = {"loss": down(9, 6), "a_loss": down(3, 2), "b_loss": down(6, 4), "a_accuracy": 0.98 - down(0.3, 0)}
    assert said(**columns) == ["healthy"]


def test_every_word_has_advice():
    assert set(RULES) < set(ADVICE) and set(HARMLESS) < set(ADVICE) and set(HIDES) < set(RULES)
    assert all(first.endswith(".") and unknown.endswith(".") for first, unknown in ADVICE.values())


@pytest.mark.filterwarnings("error")
def test_any_numbers_are_survived():
    """Whatever stands in a log, every rule comes to an end without a warning of NumPy's."""
    names = ["loss", "accuracy", "val_loss", "val_accuracy", "mae", "val_mae", "mse", "lr"]
    special = np.array([0, -1, 1, 0.5, 1e-300, 1e300, -1e300, math.inf, -math.inf, math.nan, 1e-8])
    for seed in range(400):
        rng = np.random.default_rng(seed)
        epochs = int(rng.integers(1, 9))
        chosen = rng.permutation(names)[: rng.integers(1, 8)]
        columns = {name: rng.choice([*special, *rng.random(8)], epochs) for name in chosen}
        log = log_of(**columns)
        found = symptoms(log)
        assert found and to_text([Finding(log, found, [])])
        json.dumps(to_json([Finding(log, found, [])]), allow_nan=False)


# --- rows that look alike, and the command --------------------------------------------------------------------------


def curves_of(rows):
    frames = []
    for (study, row), columns in rows.items():
        for quantity, values in columns.items():
            epochs = range(1, len(values) + 1)
            frames.append(
                pd.DataFrame({"study": study, "row": row, "epoch": epochs, "quantity": quantity, "mean": values})
            )
    return pd.concat(frames, ignore_index=True)


def test_the_nearest_rows_come_first_and_others_are_not_compared():
    rows = {
        ("mnist", "dead"): {"loss": [2.4, 2.31, 2.3, 2.3], "accuracy": [0.1] * 4},
        ("mnist", "fine"): {"loss": [0.5, 0.2, 0.1, 0.1], "accuracy": [0.9, 0.95, 0.97, 0.98]},
        ("mnist", "nan"): {"loss": [math.nan] * 4, "accuracy": [0.1] * 4},
        ("kin8nm", "mae"): {"loss": [0.5, 0.2, 0.1, 0.1], "mae": [0.4, 0.3, 0.2, 0.1]},
        ("short", "one"): {"loss": [2.4], "accuracy": [0.1]},
    }
    tables = pd.DataFrame([{"study": s, "row": r, "label": f"label of {r}", "diagnosis": "x"} for s, r in rows])
    dead = log_of(loss=[2.41, 2.31, 2.3, 2.3], acc=[0.1, 0.1, 0.11, 0.1])
    found = alike(dead, curves_of(rows), tables)
    assert [row.row for row in found] == ["dead"]
    assert found[0].label == "label of dead" and found[0].distance < 0.02
    assert alike(log_of(loss=[math.nan, math.nan], acc=[0.1, 0.1]), curves_of(rows), tables)[0].row == "nan"
    assert [row.row for row in alike(log_of(loss=[0.5, 0.2], mae=[0.4, 0.3]), curves_of(rows), tables)] == ["mae"]
    assert alike(log_of(auc=[0.5, 0.6]), curves_of(rows), tables) == []


def test_the_command_finds_the_committed_row_of_the_document(tmp_path, capsys):
    (tmp_path / "log.txt").write_text(COLLAPSE)
    why.explain_log(str(tmp_path / "log.txt"), str(tmp_path / "answer.json"))
    text = capsys.readouterr().out
    assert "AT CHANCE. " in text and "5 epochs of 300" in text
    assert "mnist_collapse, " in text and "twice" in text
    (answer,) = json.loads((tmp_path / "answer.json").read_text())
    assert [symptom["word"] for symptom in answer["symptoms"]] == ["at chance", "constant output"]
    assert answer["alike"][0]["study"] == "mnist_collapse"


def test_the_command_refuses_in_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "log.txt").write_bytes(b"\xff\xfe\x00nothing")
    for name in ("log.txt", "missing.txt", "."):
        with pytest.raises(UserError) as error:
            why.explain_log(str(tmp_path / name), str(tmp_path / "answer.json"))
        assert "\n" not in str(error.value)
    assert not (tmp_path / "answer.json").exists()
