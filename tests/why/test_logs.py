"""Training logs of every format are read, number by number, and no text ends in a traceback."""

import random

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.measure import log_formats
from stages.core.why.logs import LONGEST, decode, parse


def one(text):
    (log,) = parse(text)
    return log


def numbers(log):
    return {name: values.tolist() for name, values in log.columns.items()}


# --- logs of the documents, as their pages have them ----------------------------------------------------------------


def test_keras_2_with_a_count_of_steps():
    log = one(
        "it goes sideways and the accuracy stays at 10%:\n\n"
        "Epoch 1/300\n391/391 - 1s - loss: 2.4411 - accuracy: 0.0990 - val_loss: 2.3027 - val_accuracy: 0.1064\n\n"
        "Epoch 2/300\n391/391 - 0s - loss: 2.3374 - accuracy: 0.1007 - val_loss: 2.3031 - val_accuracy: 0.1064\n\n"
        "This happens both when I give regularizers.l2 as an argument"
    )
    assert numbers(log) == {
        "loss": [2.4411, 2.3374],
        "accuracy": [0.0990, 0.1007],
        "val_loss": [2.3027, 2.3031],
        "val_accuracy": [0.1064, 0.1064],
    }
    assert (log.planned, log.steps, log.epochs.tolist()) == (300, 391, [1, 2])


def test_a_decimal_comma():
    log = one("Epoch 1/2\n9/9 - 1s - loss: 0,7200 - acc: 0,6500\nEpoch 2/2\n9/9 - 1s - loss: 1,2e-05 - acc: 0,9000\n")
    assert numbers(log) == {"loss": [0.72, 1.2e-5], "acc": [0.65, 0.9]}


def test_two_trainings_on_one_line_the_first_without_its_heading():
    first, second = parse(
        "Symptom Without regularizer "
        "250/1250 [... - loss: 1.7895 - accuracy: 0.4002 - val_loss: 1.4933 - val_accuracy: 0.4894 "
        "Epoch 2/3 1250/1250 [... - loss: 1.4432 - accuracy: 0.4811 - val_loss: 1.6485 - val_accuracy: 0.4870 "
        "With kernel regulizer "
        "Epoch 1/3 1250/1250 [... - loss: 3.4165 - accuracy: 0.3751 - val_loss: 2.2260 - val_accuracy: 0.4072 "
        "Epoch 2/3 1250/1250 [... - loss: 2.1345 - accuracy: 0.4172 - val_loss: 2.0945 - val_accuracy: 0.4376 "
        "Code import tensorflow as tf NUM_CLASSES = 10 Adam(learning_rate=0.001) - loss: 5"
    )
    assert numbers(first)["loss"] == [1.7895, 1.4432]
    assert numbers(second)["loss"] == [3.4165, 2.1345]
    assert numbers(second)["val_accuracy"] == [0.4072, 0.4376]


def test_line_ends_lost_nan_and_an_evaluation_glued_to_the_last_epoch():
    log = one(
        "Total params: 23,860____Epoch 1/30 - 7s - loss: nan - acc: 0.0987Epoch 2/30 - 7s - loss: nan - acc: 0.0987\n"
        "(repeated)\nEpoch 30/30 - 6s - loss: nan - acc: 0.098710000/10000 [==============================] - 0s "
        "22us/stepTest loss:  nanTest accuracy:  0.098"
    )
    assert log.epochs.tolist() == [1, 2, 30]
    assert numbers(log)["acc"] == [0.0987] * 3
    assert np.isnan(log.columns["loss"]).all() and log.printed["loss"].all()
    assert log.evaluated["test accuracy"] == 0.098


def test_numbers_alone_with_points_between_the_epochs():
    log = one("2.4411 0.0990 2.3027 0.1064 · 2.3374 0.1007 2.3031 0.1064 · 2.3178 0.1016 2.3041 0.1064")
    assert numbers(log)["val_loss"] == [2.3027, 2.3031, 2.3041]
    assert "read as loss, accuracy" in log.notes[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # as public cases print them
        (
            "loss 1.7436 acc .5749, val_loss 1.5925 val_acc .6434",
            {"loss": [1.7436], "acc": [0.5749], "val_loss": [1.5925], "val_acc": [0.6434]},
        ),
        ("loss 3.43 acc .1064 val_acc .1135", {"loss": [3.43], "acc": [0.1064], "val_acc": [0.1135]}),
        (
            "train (.0627, 1), evaluated (3.765, 0)",
            {"loss": [0.0627], "accuracy": [1], "val_loss": [3.765], "val_accuracy": [0]},
        ),
        ("val_loss 302 → 4991 while loss .46 → .03", {"val_loss": [302, 4991], "loss": [0.46, 0.03]}),
        (
            "loss .1016 acc .9698, val_loss 4.0896 val_acc .5816",
            {"loss": [0.1016], "acc": [0.9698], "val_loss": [4.0896], "val_acc": [0.5816]},
        ),
        ("2.304, .1", {"loss": [2.304], "accuracy": [0.1]}),
        ("loss .5504 mse .2316", {"loss": [0.5504], "mse": [0.2316]}),
        ("Epoch: 0 Train Loss: 0.5 Val Acc: 81.5%\nEpoch: 1 Train Loss: 0.4 Val Acc: 90%",
         {"loss": [0.5, 0.4], "val_acc": [0.815, 0.9]}),
    ],
)  # fmt: skip
def test_words_and_numbers(text, expected):
    assert numbers(one(text)) == expected


# --- what surrounds a log -------------------------------------------------------------------------------------------


def test_an_evaluation_is_not_an_epoch():
    log = one(
        "Epoch 2/2\n25/25 ━━━━━━━━ 1s 2ms/step - accuracy: 0.9 - loss: 0.3 - val_accuracy: 0.8 - val_loss: 0.4\n"
        "25/25 ━━━━━━━━ 0s 1ms/step - accuracy: 0.5 - loss: 0.7\n[0.7, 0.5]\n"
    )
    assert numbers(log) == {"accuracy": [0.9], "loss": [0.3], "val_accuracy": [0.8], "val_loss": [0.4]}
    assert log.evaluated == {"accuracy": 0.5, "loss": 0.7}


def test_fit_called_once_an_epoch_is_one_training():
    log = one("".join(f"Epoch 1/1\n100/100 [=====] - 1s - loss: 0.{9 - i}000\n" for i in range(5)))
    assert log.epochs.tolist() == [1, 2, 3, 4, 5]
    assert numbers(log)["loss"] == [0.9, 0.8, 0.7, 0.6, 0.5]


def test_lines_picked_out_by_grep_are_epochs():
    log = one("".join(f"100/100 [===] - 1s - loss: 0.{9 - i}000 - val_loss: 0.5000\n" for i in range(3)))
    assert numbers(log)["loss"] == [0.9, 0.8, 0.7]


def test_an_epoch_that_was_cut_off_is_left_out():
    log = one("Epoch 1/9\n50/50 - 1s - loss: 0.5000\nEpoch 2/9\n 7/50 [>....] - ETA: 3s - loss: 0.1000")
    assert numbers(log) == {"loss": [0.5]}
    assert "cut off" in log.notes[0]


def test_validation_every_second_epoch():
    log = one("epoch,loss,val_loss\n0,0.5,NA\n1,0.4,0.6\n2,0.3,NA\n")
    assert log.epochs.tolist() == [1, 2, 3]
    assert log.printed["val_loss"].tolist() == [False, True, False]


def test_a_nan_that_pandas_wrote_as_an_empty_cell_is_a_nan():
    log = one(",loss,accuracy\n0,0.5,0.7\n1,,0.1\n")
    assert np.isnan(log.columns["loss"][1]) and log.printed["loss"].all()


def test_a_csv_that_was_appended_to_holds_two_trainings():
    logs = parse("epoch,loss\n0,0.5\n1,0.4\n0,0.9\n1,0.8\n")
    assert [numbers(log)["loss"] for log in logs] == [[0.5, 0.4], [0.9, 0.8]]


def test_history_with_its_parameters():
    log = one('{"history": {"loss": [1, NaN]}, "params": {"epochs": 5, "steps": 7}, "epoch": [0, 1]}')
    assert (log.planned, log.steps, log.epochs.tolist()) == (5, 7, [1, 2])
    assert np.isnan(log.columns["loss"][1])


@pytest.mark.parametrize(
    "text",
    [
        "dict_keys(['loss'])\n{'loss': [0.5, 0.4], 'val_loss': array([0.6, 0.5], dtype=float32)}\n<History>",
        "Epoch\tTrain loss\tVal loss\n1\t0.5\t0.6\n2\t0.4\t0.5",
        "| epoch | train_loss | validation loss |\n|---|---|---|\n| 1 | 0.5 | 0.6 |\n| 2 | 0.4 | 0.5 |",
        "[Epoch 0] train_loss: 0.5 | val_loss: 0.6\n[Epoch 1] train_loss: 0.4 | val_loss: 0.5",
        "Epoch 1/2: 50%|██ | 2/4 [00:03<00:00, 9it/s, loss=0.9]\rEpoch 1/2: 100%|███| 4/4 [00:03<00:00, 9it/s, "
        "loss=0.5, val_loss=0.6]\nEpoch 2/2: 100%|███| 4/4 [00:03<00:00, 9it/s, loss=0.4, val_loss=0.5]",
    ],
)
def test_other_peoples_formats(text):
    assert numbers(one(text)) == {"loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}


def test_utf_16_as_powershell_writes_it():
    assert decode("\ufeffloss: 0.5".encode("utf-16-le")) == "loss: 0.5"
    assert decode(b"loss: 0.5 \xff") == "loss: 0.5 \ufffd"


# --- all variations of the formats, and junk ------------------------------------------------------------------------


def random_columns(rng):
    epochs = int(rng.integers(2, 12))
    metrics = ["acc", "accuracy", "binary_accuracy", "sparse_categorical_accuracy", "mae", "mean_absolute_error"]
    columns = {"loss": rng.exponential(1, epochs), metrics[rng.integers(6)]: rng.random(epochs)}
    if rng.random() < 0.3:
        columns["mse"] = rng.random(epochs)
    if rng.random() < 0.7:
        columns |= {f"val_{name}": values * rng.uniform(0.5, 1) for name, values in columns.items()}
    if rng.random() < 0.2:
        columns["loss"][rng.integers(epochs) :] = [np.nan, np.inf][rng.integers(2)]
    if rng.random() < 0.2:
        columns["loss"] = columns["loss"] * 1e-5
    return columns


@pytest.mark.parametrize("part", range(5))
def test_every_variation_gives_its_numbers_back(part):
    for seed in range(120 * part, 120 * (part + 1)):
        rng = np.random.default_rng(seed)
        written = log_formats.write(random_columns(rng), rng)
        log = one(written.text)
        assert set(log.columns) == set(written.columns), written.style
        for name, values in written.columns.items():
            np.testing.assert_array_equal(log.columns[name], values, err_msg=f"{written.style}, seed {seed}")


def damaged(text, rng):
    pieces = [
        "nan",
        "inf",
        "-",
        "[",
        "{",
        '"',
        "\n",
        "Epoch 1/",
        "1/1 [",
        "e",
        "loss",
        ":",
        ",",
        "}",
        "]",
        "\0",
        "9" * 400,
    ]
    for _ in range(rng.randint(1, 12)):
        start = rng.randrange(len(text) + 1)
        end = start + rng.randint(0, 30)
        middle = [
            lambda part: "",
            lambda part: part + part,
            lambda part: "".join(chr(rng.randrange(0x3000)) for _ in range(5)),
            lambda part: rng.choice(pieces),
        ][rng.randrange(4)](text[start:end])
        text = text[:start] + middle + text[end:]
    return text


def test_no_text_ends_in_a_traceback():
    rng = random.Random(0)
    source = __doc__ + open(__file__, encoding="utf-8").read()  # noqa: SIM115, PTH123
    for seed in range(300):
        generator = np.random.default_rng(seed)
        text = log_formats.write(random_columns(generator), generator).text
        start = rng.randrange(len(source))
        for junk in (damaged(text, rng), source[start : start + rng.randint(1, 3000)]):
            try:
                parse(junk)
            except UserError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "\0",
            "no log",
            "Accuracy matters most.",
            "1 2 3\n4 5 6",
            "{}",
            "[]",
            '{"a": [1]}',
            '{"loss": ["x"]}',
        ),
        *(
            '{"loss": [[1], [2]]}',
            "[" * 100_000,
            '{"loss": [1' + "0" * 400 + "]}",
            "epoch,loss\n",
            "a,b\n1,2\n",
            "10/12/2018 - 3 answers",
        ),
        *("x" * (LONGEST + 1), "1.5 2.5 3.5\n1.5 2.5 3.5\n"),
        "epoch,accuracy,loss,loss\n0,0.1,0.2,0.3\n1,0.2,0.1,0.2\n",
        "Epoch 1/2\n1/1 - 0s - loss: 0.3\nEpoch 2/2\n1/1 - 0s - loss: 0.2\n" * 101,
    ],
)
def test_what_is_no_log_is_refused_in_one_line(text):
    with pytest.raises(UserError) as error:
        parse(text)
    assert "\n" not in str(error.value)


def test_a_sentence_is_no_table_with_two_columns_of_one_name():
    with pytest.raises(UserError, match="no training log found"):
        parse("the techniques add the term along with the loss to the\ncost function.\n")


@pytest.mark.parametrize(
    "text",
    [
        *('{"epoch": [1e400, 1], "loss": [1, 2]}', "epoch,loss\n1e300,2\nnan,3\n"),
        *("Epoch 99999999999999999999/9\n1/1 [=] - 1s - loss: 1e999\n", "1/" + "9" * 5000 + " - 1s - loss: 0.5"),
    ],
)
def test_absurd_numbers_are_survived(text):
    parse(text)


def test_a_column_that_does_not_say_which_epochs_it_lacks_is_left_out():
    log = one('{"loss": [1, 2, 3], "val_loss": [1], "acc": [0.1, 0.2, 0.3]}')
    assert numbers(log) == {"loss": [1, 2, 3], "acc": [0.1, 0.2, 0.3]} and "val_loss" in log.notes[0]


def test_no_name_of_a_column_steers_the_terminal():
    assert set(one(r'{"loss": [1, 2], "a\u001b]0;x\u0007\u202ecc": [1, 2]}').columns) == {"loss", "a]0;xcc"}


def test_a_long_log_is_read_in_time():
    """Linear in its length: 3,000 epochs with every state of the bar, as a server's log has them."""
    state = "\b" * 80 + "\r{0}/400 [=====>....] - ETA: 3s - loss: 0.4321 - acc: 0.8765"
    states = "".join(state.format(step) for step in range(1, 400, 40))
    epochs = [
        f"Epoch {i}/3000\n{states}\n400/400 [====] - 3s - loss: {i / 1000:.4f} - acc: 0.9000\n" for i in range(1, 3001)
    ]
    log = one("".join(epochs))
    assert len(log.epochs) == 3000 and log.columns["loss"][-1] == 3.0
