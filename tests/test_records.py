"""Run records: their text, every reason to refuse one, and their summary."""

import copy
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from stages import aggregate
from stages.core.base.errors import UserError
from stages.core.records import records

DIGEST = "d" * 64
SHEET = {
    "name": "toy_data",
    "title": "Toy data",
    "digest": DIGEST,
    "arrays": {"train_x": {"shape": [100, 4]}, "train_y": {"shape": [100]}, "test_x": {"shape": [50, 4]}},
}


def a_config(*, row="none", seeds=3, l2=0.0, activation="relu", dropout=None):
    """A resolved configuration, shortened: the parts that tables look at."""
    hidden = [{"type": "dense", "units": 8, "activation": activation, "regularized": True}]
    between = [{"type": "dropout", "rate": dropout}] if dropout is not None else []
    return {
        "study": "toy",
        "row": row,
        "seeds": seeds,
        "dataset": {"name": "toy_data"},
        "augmentation": None,
        "layers": [*hidden, *between, {"type": "dense", "units": 2, "activation": "softmax", "regularized": False}],
        "regularizers": {"kernel": {"l1": 0.0, "l2": l2}},
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
    }


def a_record(config=None, *, train=0.95, test=0.94, penalty=0.0, metric="accuracy", guess=0.5, norms=None):
    """A record of two epochs.

    `train` and `test` are the final metric, `penalty` its share of a loss of 0.5: a number, or one for each seed;
    `norms` gives each weight array's, one for each seed.
    """
    config = config or a_config()
    n = config["seeds"]
    train, test, penalty = (np.broadcast_to(np.asarray(part, float), n) for part in (train, test, penalty))
    return {
        "study": config["study"],
        "row": config["row"],
        "config": config,
        "data": {
            "dataset": "toy_data",
            "digest": DIGEST,
            "samples": {"train": 100, "test": 50},
            "guess": {"train": guess, "test": guess},
        },
        "versions": {"python": "3.11.7"},
        "device": "cpu",
        "parameters": 58,
        "seeds": [
            {
                **_seed(seed, train, test, penalty, metric),
                "weight_norms": {path: values[seed] for path, values in (norms or {"dense/kernel": [1.0] * n}).items()},
            }
            for seed in range(n)
        ],
    }


def _seed(seed, train, test, penalty, metric):
    share = float(penalty[seed])
    figures = {"loss": 0.5, "data_loss": 0.5 * (1 - share), "penalty": 0.5 * share}
    curve = {name: [2 * value, value] for name, value in figures.items()}
    held_out = {"val_loss": [1.0, 0.6], "val_data_loss": [1.0, 0.6], f"val_{metric}": [0.5, float(test[seed])]}
    return {
        "seed": seed,
        "curve": {"epoch": [1, 2], **curve, metric: [0.4, float(train[seed])], **held_out},
        "final": {"train": {**figures, metric: float(train[seed])}, "test": {**figures, metric: float(test[seed])}},
        "first_non_finite_epoch": None,
        **({"top_class_share": {"train": 0.5, "test": 0.5}} if metric == "accuracy" else {}),
    }


def a_summary(**options):
    return records.summarize(records.parse(records.to_json(a_record(**options)), "record"))


def a_study(rows=("none", "l2"), **changes):
    """A study as compose writes it; the first row is the baseline."""
    declared = {"label": "", "reported": None, "reported_log": None, "same_reported_as": None, "beyond": False}
    return {
        "name": "toy",
        "title": "A toy study",
        "question": "Does it learn?",
        "source": "A page",
        "url": None,
        "same_data": True,
        "headings": {"label": "參數", "reported": "結果"},
        "metric": "test.accuracy",
        "higher_is_better": True,
        "baseline": rows[0],
        "figure": "differences",
        "n_seeds": 3,
        "notes": [],
        "reported_logs": {},
        "dataset": "toy_data",
        "dataset_title": "Toy data",
        "rows": {row: {**declared, "label": f"row {row}"} for row in rows},
        **changes,
    }


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A study of two rows, with everything that aggregate reads."""
    monkeypatch.chdir(tmp_path)
    configs = {"none": a_config(), "l2": a_config(row="l2", l2=1e-4)}
    for row, config in configs.items():
        _write(f"build/rows/toy/{row}.yaml", OmegaConf.to_yaml(config))
        spread = np.array([0.0, 0.01, 0.02]) * (1 if row == "none" else 2)
        _write(f"results/runs/toy/{row}.json", records.to_json(a_record(config, test=0.9 + spread)))
    _write("build/studies/toy.yaml", OmegaConf.to_yaml(a_study()))
    _write("results/datasets/toy_data.json", records.to_text(SHEET))
    return tmp_path


def _write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def _stage(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["aggregate", *arguments])
    aggregate.main()


# --- text


def test_text_is_valid_json_sorted_rounded_and_ends_with_a_newline():
    text = records.to_json(
        {"b": 1 / 3, "a": [math.nan, math.inf, -math.inf, np.float32(0.1)], "數": {"n": np.int64(3), "on": True}}
    )
    data = json.loads(text, parse_constant=pytest.fail)
    assert list(data) == sorted(data) and text.endswith("}\n")
    assert data["b"] == 0.3333333 and data["a"] == [None, None, None, 0.1]
    assert data["數"] == {"n": 3, "on": True} and "數" in text


def test_same_content_in_another_order_gives_the_same_bytes():
    record = a_record()
    assert records.to_json(dict(reversed(record.items()))) == records.to_json(record)


def test_a_list_of_numbers_is_one_line_and_seeds_are_apart():
    lines = records.to_json(a_record()).splitlines()
    assert sum('"accuracy": [0.4, 0.95]' in line for line in lines) == 3


def test_arrays_of_numpy_are_lists():
    assert json.loads(records.to_text({"x": np.array([[1.0, np.nan]])})) == {"x": [[1.0, None]]}


def test_what_was_written_is_read():
    record = records.parse(records.to_json(a_record(a_config(row="l2", l2=1e-4))), "record")
    assert (record.study, record.row, record.metric) == ("toy", "l2", "accuracy")
    assert record.config["regularizers"]["kernel"]["l2"] == 1e-4


def test_layout_may_change_but_no_value():
    text = records.to_json(a_record())
    records.parse(json.dumps(json.loads(text), indent=3), "record")  # a formatter did it
    with pytest.raises(UserError, match=r"^record: was edited by hand"):
        records.parse(text.replace("0.95", "0.96", 1), "record")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["versions"].update(python="3.12.0"),
        lambda record: record.pop("checksum"),
        lambda record: record.update(checksum=None),
        lambda record: record["seeds"][0].update(seed=True),
    ],
)
def test_any_edit_is_seen(change):
    record = json.loads(records.to_json(a_record()))
    change(record)
    with pytest.raises(UserError, match=r"^record: was edited by hand"):
        records.parse(json.dumps(record), "record")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"null", b"<html>", b"\xff\xfe\x00", b'{"a": NaN}', b'{"a": -Infinity}', b"[" * 100_000],
)
def test_what_is_no_json_object_is_refused_in_one_line(content):
    with pytest.raises(UserError, match=r"^some/file\.json: is not") as error:
        records.parse(content, "some/file.json")
    assert "\n" not in str(error.value)


def _broken(change):
    record = copy.deepcopy(a_record())
    change(record)
    return records.to_json(record)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda record: record.pop("data"), "data"),
        (lambda record: record.update(seeds=[]), "seeds"),
        (lambda record: record["seeds"][1].pop("final"), "seeds.1.final"),
        (lambda record: record["seeds"][1]["final"].pop("test"), "final"),
        (lambda record: record["seeds"][1]["final"]["test"].pop("penalty"), "seed 1: final"),
        (lambda record: record["seeds"][2]["curve"].pop("val_loss"), "seed 2: curve"),
        (lambda record: record["seeds"][2]["curve"]["loss"].pop(), "seed 2: curve"),
        (lambda record: record["seeds"][2]["curve"].update(epoch=[1, 3]), "seed 2: curve"),
        (lambda record: record["seeds"][0]["final"]["train"].update(loss="0.5"), "seeds.0.final.train.loss"),
        (lambda record: record["data"]["samples"].update(train=0), "data.samples.train"),
        (lambda record: record["data"]["samples"].pop("train"), "data"),
        (lambda record: record["data"]["guess"].pop("test"), "data"),
        (lambda record: record["data"]["guess"].update(test=None), "data.guess.test"),
        (lambda record: record["seeds"][1].pop("weight_norms"), "seeds.1.weight_norms"),
        (lambda record: record["seeds"][1]["weight_norms"].update(other=1.0), "seed 1: weight_norms"),
    ],
)
def test_an_incomplete_record_is_refused_and_the_place_named(change, named):
    with pytest.raises(UserError, match=rf"^record: .*{named}") as error:
        records.parse(_broken(change), "record")
    assert "\n" not in str(error.value)


# --- refusals, through the stage


def test_the_stage_writes_the_same_files_twice(workspace, monkeypatch, capsys):
    _stage(monkeypatch, "toy")
    assert capsys.readouterr().out == "results/tables/toy.md\n"
    names = [f"tables/toy{ending}" for ending in (".csv", "_curves.csv", "_seeds.csv", "_weights.csv", ".md")]
    first = [Path("results", name).read_bytes() for name in names]
    _stage(monkeypatch, "toy")
    assert [Path("results", name).read_bytes() for name in names] == first
    _stage(monkeypatch, "toy", "--check")


def test_check_refuses_a_number_edited_by_hand_and_writes_nothing(workspace, monkeypatch):
    _stage(monkeypatch, "toy")
    table = Path("results/tables/toy.csv")
    edited = table.read_text().replace("0.92", "0.93")
    table.write_text(edited)
    with pytest.raises(UserError, match=r"^results/tables/toy\.csv: line 3 is not what the records give"):
        _stage(monkeypatch, "toy", "--check")
    assert table.read_text() == edited
    table.unlink()
    with pytest.raises(UserError, match=r"^results/tables/toy\.csv: is missing"):
        _stage(monkeypatch, "toy", "--check")


@pytest.mark.parametrize(
    ("ending", "old", "new"),
    [
        ("_curves.csv", ",2,accuracy,3,0.95,", ",2,accuracy,3,0.96,"),
        ("_seeds.csv", "l2,1,accuracy,0.95,,0.92", "l2,1,accuracy,0.95,,0.93"),
        ("_weights.csv", "l2,dense/kernel,3,1,", "l2,dense/kernel,3,2,"),
        (".md", "0.92", "0.93"),
    ],
)
def test_check_of_all_studies_refuses_any_file_edited_by_hand(workspace, monkeypatch, ending, old, new):
    _write("params.yaml", "studies: {toy: {dataset: toy_data, seeds: 3}}")
    _stage(monkeypatch, "toy")
    _stage(monkeypatch, "--check")
    table = Path(f"results/tables/toy{ending}")
    text = table.read_text(encoding="utf-8")
    assert old in text
    table.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(
        UserError, match=rf"^results/tables/toy{ending}: line \d+ is not what the records give"
    ) as error:
        _stage(monkeypatch, "--check")
    assert "\n" not in str(error.value)


def test_only_a_check_may_name_no_study(workspace, monkeypatch):
    with pytest.raises(UserError, match="usage"):
        _stage(monkeypatch)


def _edit_record(row, change):
    path = Path("results/runs/toy") / f"{row}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record.pop("checksum")
    change(record)
    path.write_text(records.to_json(record), encoding="utf-8")


def _drop_seed(record):
    del record["seeds"][1]


def _repeat_seed(record):
    record["seeds"][1]["seed"] = 0


def _reverse_seeds(record):
    record["seeds"].reverse()


def _add_seed(record):
    record["seeds"].append({**record["seeds"][0], "seed": 3})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda record: record["config"]["optimizer"].update(learning_rate=0.01),
            "configuration: optimizer.learning_rate is 0.01 in the record, 0.001 in the row",
        ),
        (lambda record: record["config"]["layers"][0].update(units=9), "layers.0.units is 9"),
        (lambda record: record["config"]["layers"].pop(), "configuration: layers"),
        (lambda record: record["config"].pop("optimizer"), "configuration: optimizer"),
        (lambda record: record["config"].update(extra=1), "configuration: extra"),
        (_drop_seed, r"has the seeds \[0, 2\], not 0 to 2"),
        (_repeat_seed, r"has the seeds \[0, 0, 2\]"),
        (_reverse_seeds, r"has the seeds \[2, 1, 0\]"),
        (_add_seed, r"has the seeds \[0, 1, 2, 3\]"),
        (lambda record: record["data"].update(digest="e" * 64), "on other data .*datasets/toy_data.json describes"),
        (lambda record: record["data"].update(dataset="other"), r"trained on other data \(other"),
        (lambda record: record["data"]["samples"].update(train=99), "samples"),
        (lambda record: record["data"]["samples"].update(test=49), "samples"),
        (lambda record: record.update(row="none"), "is the record of toy/none, not of toy/l2"),
    ],
)
def test_a_record_of_something_else_is_refused_and_named(workspace, monkeypatch, change, reason):
    _edit_record("l2", change)
    with pytest.raises(UserError, match=rf"^results/runs/toy/l2\.json: .*{reason}") as error:
        _stage(monkeypatch, "toy")
    assert "\n" not in str(error.value)
    assert not Path("results/tables").exists()


def test_a_missing_record_is_refused_and_named(workspace, monkeypatch):
    Path("results/runs/toy/l2.json").unlink()
    with pytest.raises(UserError, match=r"^results/runs/toy/l2\.json: is missing; run `dvc repro`"):
        _stage(monkeypatch, "toy")


def test_no_record_at_all_names_the_first_and_counts_the_rest(workspace, monkeypatch):
    for path in Path("results/runs/toy").iterdir():
        path.unlink()
    Path("results/runs/toy").rmdir()
    with pytest.raises(UserError, match=r"^results/runs/toy/none\.json: is missing \(and 1 more\)"):
        _stage(monkeypatch, "toy")


@pytest.mark.parametrize("name", ["removed.json", "none.json.bak", "notes.txt"])
def test_a_leftover_in_the_folder_is_refused_and_named(workspace, monkeypatch, name):
    Path("results/runs/toy", name).write_text("{}")
    with pytest.raises(UserError, match=rf"^results/runs/toy/{name}: belongs to no row of the study"):
        _stage(monkeypatch, "toy")


def test_a_row_taken_out_of_the_study_leaves_an_orphan(workspace, monkeypatch):
    _write("build/studies/toy.yaml", OmegaConf.to_yaml(a_study(rows=("none",))))
    with pytest.raises(UserError, match=r"^results/runs/toy/l2\.json: belongs to no row"):
        _stage(monkeypatch, "toy")


def test_the_temporary_file_of_a_killed_writer_is_no_orphan(workspace, monkeypatch):
    Path("results/runs/toy/.none.json.abc").write_text("{")
    _stage(monkeypatch, "toy")


def test_missing_sheet_and_unknown_study_are_named(workspace, monkeypatch):
    Path("results/datasets/toy_data.json").unlink()
    with pytest.raises(UserError, match=r"^results/datasets/toy_data\.json: is missing"):
        _stage(monkeypatch, "toy")
    with pytest.raises(UserError, match=r"^build/studies/other\.yaml: no such study"):
        _stage(monkeypatch, "other")


# --- summary


def test_summary_holds_arrays_over_the_seeds():
    summary = a_summary(train=[0.9, 0.8, 0.7], penalty=[0.0, 0.5, 1.0])
    assert summary.final["train"]["accuracy"].tolist() == [0.9, 0.8, 0.7]
    assert summary.curve["accuracy"].tolist() == [[0.4, 0.9], [0.4, 0.8], [0.4, 0.7]]
    assert summary.epochs.tolist() == [1, 2]
    assert summary.penalty_share.tolist() == [0.0, 0.5, 1.0]
    assert summary.curve["penalty_share"].tolist() == [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    assert np.isnan(summary.first_non_finite_epoch).all()
    assert summary.top_class_share["test"].tolist() == [0.5] * 3


def test_weight_arrays_stand_from_input_to_output_kernel_before_bias():
    config = a_config()
    kinds = ["conv2d", "batch_normalization", "flatten", *["dense"] * 11, "unknown"]
    config["layers"] = [{"type": kind} for kind in kinds]
    wanted = [
        *("conv2d_1/kernel", "conv2d_1/bias", "batch_normalization_1/gamma", "batch_normalization_1/beta"),
        *(f"dense_{number}/{array}" for number in (2, 10, 11) for array in ("kernel", "bias")),
        "other/kernel",
    ]
    norms = {path: [float(seed) for seed in range(3)] for path in wanted}
    norms["other/kernel"][1] = math.nan
    summary = a_summary(config=config, norms=norms)
    assert list(summary.weight_norms) == wanted
    assert summary.weight_norms["dense_10/bias"].tolist() == [0, 1, 2]
    assert np.isnan(summary.weight_norms["other/kernel"]).tolist() == [False, True, False]


def test_what_was_not_finite_is_nan():
    record = a_record()
    record["seeds"][1]["final"]["train"].update(loss=math.nan, data_loss=math.inf, penalty=math.nan)
    record["seeds"][1].update(first_non_finite_epoch=2)
    record["seeds"][1]["curve"]["loss"] = [1.0, math.nan]
    summary = records.summarize(records.parse(records.to_json(record), "record"))
    assert np.isnan(summary.final["train"]["loss"]).tolist() == [False, True, False]
    assert np.isnan(summary.penalty_share).tolist() == [False, True, False]
    assert np.isnan(summary.curve["penalty_share"][1]).tolist() == [False, True]
    assert summary.first_non_finite_epoch[1] == 2


def test_regression_has_no_classes():
    summary = a_summary(metric="mae", train=0.03, guess=0.2)
    assert summary.metric == "mae" and summary.top_class_share == {}


def test_share_of_nothing_is_nothing():
    parts, wholes = np.array([0.0, 1.0, math.nan]), np.array([0.0, 4.0, math.nan])
    assert records.share(parts, wholes) == pytest.approx([0.0, 0.25, math.nan], nan_ok=True)
