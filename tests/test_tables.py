"""Tables: every statistic in its column, texts that survive any numbers, and bad tables refused."""

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_records import a_config, a_study, a_summary

from stages.core.base.errors import UserError
from stages.core.base.files import first_difference
from stages.core.base.text import escape
from stages.core.results import diagnosis, statistics, tables
from stages.core.results.checked_csv import read, to_csv
from stages.core.results.table_schemas import CURVES, OVERVIEW, SEEDS, TABLE, WEIGHTS

NAN = math.nan
SPREAD = np.array([-0.002, 0.0, 0.002])
LOG = {
    "epochs": [1, 2],
    "loss": [1.0, 0.5],
    "accuracy": [0.4, 0.95],
    "val_loss": [1.0, 0.6],
    "val_accuracy": [0.5, 0.94],
}
README = Path(__file__).parents[1] / "results" / "README.md"


def rows_of_a_study():
    """Study and summaries of four rows: baseline, like the log, not learning at all, and linear."""
    study = a_study(("none", "l2", "stuck", "linear"), reported_logs={"with_l2": LOG}, notes=["Batch size is ours."])
    study["rows"]["none"].update(label="no regularizer", reported=0.977)
    study["rows"]["l2"].update(label="l2(0.0001)", reported=0.94, reported_log="with_l2")
    study["rows"]["stuck"].update(label="a|b <i>*x*</i>", reported=0.098, reported_log="with_l2")
    for row in ("stuck", "linear"):
        study["rows"][row]["same_reported_as"] = "the line with 0.0980"
    summaries = {
        "none": a_summary(train=0.977 + SPREAD, test=0.976 + SPREAD[::-1]),
        "l2": a_summary(config=a_config(row="l2", l2=1e-4), train=0.95 + SPREAD, test=0.94 + 2 * SPREAD, penalty=0.25),
        "stuck": a_summary(config=a_config(row="stuck"), train=0.5, test=0.098),
        "linear": a_summary(config=a_config(row="linear"), train=0.97 + SPREAD, test=[0.97, NAN, 0.96]),
    }
    return study, summaries


def assembled(study, summaries):
    curves = tables.curves_table(study, summaries)
    return tables.comparison_table(study, summaries, curves), curves


@pytest.fixture(scope="module")
def example():
    study, summaries = rows_of_a_study()
    return study, *assembled(study, summaries)


@pytest.fixture
def lines(example):
    return example[1].set_index("row")


def csv_of(table):
    return to_csv(table, TABLE, "table")


# --- frames


def test_rows_keep_the_order_of_the_study(example):
    study, table, curves = example
    assert table["row"].tolist() == list(study["rows"]) == curves["row"].unique().tolist()
    assert table.columns.tolist() == list(TABLE.columns)


def test_statistics_stand_in_their_columns(lines):
    l2 = lines.loc["l2"]
    expected = statistics.paired_difference(0.94 + 2 * SPREAD, 0.976 + SPREAD[::-1])
    assert (l2["n"], l2["n_finite"]) == (3, 3)
    assert (l2["mean"], l2["sd"]) == (pytest.approx(0.94), pytest.approx(0.004))
    assert l2[["difference", "difference_low", "difference_high", "p_value", "effect_size"]].tolist() == pytest.approx(
        [expected.mean, expected.low, expected.high, expected.p_value, expected.effect_size], rel=1e-5
    )
    assert (l2["train"], l2["test"]) == (pytest.approx(0.95), pytest.approx(0.94))
    assert math.isnan(l2["validation"])
    assert l2["penalty_share"] == pytest.approx(0.25)


def test_the_baseline_is_not_compared_with_itself_and_does_not_count(lines):
    compared = ["difference", "difference_low", "difference_high", "p_value", "p_holm", "effect_size"]
    assert lines.loc["none", compared].isna().all()
    others = lines.loc[["l2", "stuck", "linear"]]
    assert others["p_holm"].tolist() == pytest.approx(statistics.holm(others["p_value"]).tolist())


def test_a_seed_that_is_not_finite_is_counted_out(lines):
    linear = lines.loc["linear"]
    assert (linear["n"], linear["n_finite"], linear["mean"]) == (3, 2, pytest.approx(0.965))
    pairs = statistics.paired_difference([0.97, 0.96], [0.978, 0.974])
    assert linear["difference"] == pytest.approx(pairs.mean)


def test_reproduced_is_the_prediction_interval(lines):
    low, high = statistics.prediction_interval([0.974, 0.976, 0.978], figures=3)
    assert lines.loc["none", ["prediction_low", "prediction_high"]].tolist() == pytest.approx([low, high])
    assert lines.loc["none", "reproduced"] == "yes"
    assert lines.loc["linear", "reproduced"] == ""  # nothing reported


@pytest.mark.parametrize(
    ("test", "reported", "answer"),
    [
        (0.9 + SPREAD, 0.95, "no"),
        (0.9 + SPREAD, 0.901, "yes"),
        (0.098, 0.098, "yes"),  # every seed gives the figure
        (0.09804, 0.098, "yes"),  # to its four decimals
        (0.0990, 0.098, ""),  # no spread to hold it against
        (NAN, 0.098, ""),
        ([NAN, 0.098, NAN], 0.5, ""),
    ],
)
def test_reproduced(test, reported, answer):
    study = a_study(("none",))
    study["rows"]["none"]["reported"] = reported
    table, _ = assembled(study, {"none": a_summary(train=0.97, test=test)})
    assert table.loc[0, "reproduced"] == answer


def test_distance_is_the_root_mean_square_over_columns(example, lines):
    _, _, curves = example
    stuck = tables.log_distances(LOG, curves[curves["row"] == "stuck"])
    # without spread: accuracy is off by 0.45 and val_accuracy by 0.842 at the second of two epochs, in units of 0.0001
    expected = {"loss": 0, "accuracy": 4500 / math.sqrt(2), "val_loss": 0, "val_accuracy": 8420 / math.sqrt(2)}
    assert stuck == pytest.approx(expected)
    assert lines.loc["stuck", "log_distance"] == pytest.approx(np.sqrt(np.mean(np.square(list(expected.values())))))
    assert lines.loc["l2", "log_distance"] == pytest.approx(0, abs=1e-9)
    assert math.isnan(lines.loc["none", "log_distance"])


def test_ranking_puts_the_nearest_row_first_and_unknown_distances_last(example):
    _, _, curves = example
    ranked = tables.rank_by_distance(LOG, curves)
    assert ranked.index.tolist() == ["l2", "linear", "none", "stuck"]
    assert ranked["distance"].is_monotonic_increasing
    only_one_seed = curves.assign(n=curves["n"].where(curves["row"] != "l2", 1))
    assert tables.rank_by_distance(LOG, only_one_seed).index.tolist() == ["linear", "none", "stuck", "l2"]


def test_a_log_longer_than_the_training_has_no_distance(example):
    _, _, curves = example
    longer = {name: [*values, values[-1] + (name == "epochs")] for name, values in LOG.items()}
    assert all(math.isnan(value) for value in tables.log_distances(longer, curves[curves["row"] == "l2"]).values())


def test_curves_hold_every_quantity_at_every_epoch(example):
    _, _, curves = example
    l2 = curves[curves["row"] == "l2"].set_index(["quantity", "epoch"])
    quantities = {"loss", "data_loss", "penalty", "penalty_share", "accuracy", "val_loss", "val_accuracy"}
    assert set(l2.index) == {(quantity, epoch) for quantity in quantities for epoch in (1, 2)}
    assert l2.loc[("penalty_share", 2), "mean"] == pytest.approx(0.25)
    assert l2.loc[("accuracy", 2), ["n", "mean", "sd"]].tolist() == pytest.approx([3, 0.95, 0.002])


def test_seeds_hold_every_value_behind_the_means(example):
    study, summaries = rows_of_a_study()
    seeds = tables.seeds_table(study, summaries)
    assert seeds["row"].tolist() == [row for row in study["rows"] for _ in range(3)]
    l2 = seeds[seeds["row"] == "l2"]
    assert l2["seed"].tolist() == [0, 1, 2] and set(l2["metric"]) == {"accuracy"}
    assert l2["train"].tolist() == pytest.approx([0.948, 0.95, 0.952])
    assert l2["test"].tolist() == pytest.approx([0.936, 0.94, 0.944])
    assert l2["validation"].isna().all()
    means = seeds.groupby("row", sort=False)["test"].mean()
    assert means.tolist() == pytest.approx(example[1]["mean"].tolist())
    text = to_csv(seeds, SEEDS, "seeds")
    assert "toy,linear,1,accuracy,0.97,,,0.5,,0.5,0,,0,0,,,,,0,adam,0.001,0,2\n" in text  # one that is not finite
    assert to_csv(read(text, SEEDS, "seeds"), SEEDS, "seeds") == text


def test_weights_hold_the_norms_over_the_finite_seeds():
    study = a_study(("none",))
    norms = {"dense_1/kernel": [1.0, 2.0, 3.0], "dense_1/bias": [0.5, NAN, 0.7], "dense_2/bias": [NAN] * 3}
    weights = tables.weights_table(study, {"none": a_summary(norms=norms)}).set_index("weight")
    assert weights.index.tolist() == ["dense_1/kernel", "dense_1/bias", "dense_2/bias"]
    kernel, bias, lost = weights[["n", "norm_mean", "norm_sd"]].to_numpy(float)
    assert kernel.tolist() == [3, 2.0, 1.0]
    assert bias.tolist() == pytest.approx([2, 0.6, 0.1 * math.sqrt(2)])
    assert lost[0] == 0 and np.isnan(lost[1:]).all()
    text = to_csv(weights.reset_index()[list(WEIGHTS.columns)], WEIGHTS, "weights")
    assert text.endswith("toy,none,dense_2/bias,0,,\n")
    assert to_csv(read(text, WEIGHTS, "weights"), WEIGHTS, "weights") == text


@pytest.mark.parametrize(
    ("metric", "values", "ends"),
    [
        ("accuracy", [0.99, 0.9, 1.0], (None, 1.0)),
        ("accuracy", [0.01, 0.1, 0.0], (0.0, None)),
        ("accuracy", [0.1, 0.9], (0.0, 1.0)),
        ("accuracy", [0.9, 0.91, 0.92], (None, None)),
        ("mae", [0.1, 3.0, 5.0], (0.0, None)),
    ],
)
def test_a_prediction_interval_ends_where_the_metric_does(metric, values, ends):
    study = a_study(("none",), metric=f"test.{metric}")
    table, _ = assembled(study, {"none": a_summary(config=a_config(seeds=len(values)), metric=metric, test=values)})
    whole = statistics.prediction_interval(values)
    expected = [plain if end is None else end for plain, end in zip(whole, ends, strict=True)]
    assert table.loc[0, ["prediction_low", "prediction_high"]].tolist() == pytest.approx(expected)
    assert read(csv_of(table), TABLE, "table").loc[0, "prediction_high"] == pytest.approx(expected[1], rel=1e-5)


# --- numbers that tell nothing


@pytest.mark.parametrize(
    ("metric", "seeds", "value"),
    [
        *((metric, 1, value) for metric in ("accuracy", "mae") for value in (0.9, NAN)),
        *((metric, 3, value) for metric in ("accuracy", "mae") for value in (0.9, 0.0, NAN, [NAN, 0.9, NAN])),
        ("mae", 2, 1e30),
    ],
)
def test_everything_survives_seeds_that_tell_nothing(metric, seeds, value):
    study = a_study(metric=f"test.{metric}", reported_logs={"log": LOG} if metric == "accuracy" else {}, n_seeds=seeds)
    study["rows"]["l2"].update(reported=0.5, reported_log="log" if metric == "accuracy" else None)
    configs = {row: a_config(row=row, seeds=seeds) for row in study["rows"]}
    summaries = {row: a_summary(config=config, metric=metric, test=value) for row, config in configs.items()}
    table, curves = assembled(study, summaries)
    l2 = read(csv_of(table), TABLE, "table").set_index("row").loc["l2"]
    read(to_csv(curves, CURVES, "curves"), CURVES, "curves")
    markdown = tables.to_markdown(study, table, curves)
    assert l2[["difference_low", "difference_high", "p_value", "p_holm", "effect_size", "prediction_low"]].isna().all()
    assert l2["reproduced"] == ""
    assert "nan" not in markdown


# --- CSV


def test_csv_is_read_as_it_was_written(example):
    _, table, curves = example
    text = csv_of(table)
    assert csv_of(read(text, TABLE, "table")) == text
    curves_text = to_csv(curves, CURVES, "curves")
    assert to_csv(read(curves_text, CURVES, "curves"), CURVES, "curves") == curves_text


def test_csv_holds_plain_numbers(example):
    _, table, _ = example
    header, none, *_ = csv_of(table).splitlines()
    assert header == (
        "study,row,label,beyond,reported,metric,n,n_finite,mean,sd,median,groups,difference,difference_low,"
        "difference_high,p_value,p_holm,effect_size,prediction_low,prediction_high,reproduced,diagnosis,evidence,train,"
        "validation,test,penalty_share,log_distance,log_limit"
    )
    assert none == (
        "toy,none,no regularizer,no,0.977,test.accuracy,3,3,0.976,0.002,0.976,,,,,,,,0.958336,0.993664,yes,"
        'still improving,"accuracy: train 0.977, test 0.976",0.977,,0.976,0,,'
    )


@pytest.mark.parametrize("label", ["NA", "nan", "None", "1", 'a "b", c', "參數\tx"])
def test_labels_stay_text(label):
    study = a_study(("none",))
    study["rows"]["none"]["label"] = label
    table, _ = assembled(study, {"none": a_summary()})
    assert read(csv_of(table), TABLE, "table").loc[0, "label"] == label


def _edit(text, column, row, value):
    frame = pd.read_csv(pd.io.common.StringIO(text), dtype=str, keep_default_na=False)
    frame.loc[frame["row"] == row, column] = value
    return frame.to_csv(index=False)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("mean", "1.2"),
        ("mean", "-0.1"),
        ("mean", "inf"),
        ("sd", "-1"),
        ("p_value", "1.5"),
        ("p_holm", "0.0000001"),
        ("difference_low", "0.5"),
        ("prediction_high", "0"),
        ("prediction_high", "1.1"),
        ("prediction_low", "-0.1"),
        ("reproduced", "maybe"),
        ("diagnosis", "fine"),
        ("metric", "accuracy"),
        ("n", "0"),
        ("n_finite", "4"),
        ("row", "L2!"),
        ("label", ""),
        ("train", "2"),
        ("penalty_share", "1.5"),
        ("log_distance", "-1"),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line(example, column, value):
    with pytest.raises(UserError, match=r"^some\.csv: toy/") as error:
        read(_edit(csv_of(example[1]), column, "l2", value), TABLE, "some.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("column", "value"), [("mean", "good"), ("n", "three"), ("n", ""), ("n", "3.5")])
def test_text_in_place_of_a_number_is_refused(example, column, value):
    with pytest.raises(UserError, match=r"^some\.csv: is not a table"):
        read(_edit(csv_of(example[1]), column, "l2", value), TABLE, "some.csv")


def test_a_missing_column_is_refused_and_named(example):
    text = pd.read_csv(pd.io.common.StringIO(csv_of(example[1]))).drop(columns=["sd", "p_holm"]).to_csv(index=False)
    with pytest.raises(UserError, match=r"^some\.csv: has no column sd, p_holm$"):
        read(text, TABLE, "some.csv")


def test_other_columns_or_another_order_are_refused(example):
    text = csv_of(example[1])
    with pytest.raises(UserError, match=r"^some\.csv: has the columns"):
        read("row,study" + text.removeprefix("study,row"), TABLE, "some.csv")
    with pytest.raises(UserError, match=r"^some\.csv: has the columns"):
        read(re.sub("$", ",x", text, flags=re.MULTILINE), TABLE, "some.csv")


def test_a_row_twice_is_refused_and_named(example):
    text = csv_of(example[1])
    with pytest.raises(UserError, match=r"^some\.csv: toy/l2 appears twice"):
        read(text + text.splitlines()[2] + "\n", TABLE, "some.csv")
    curves = to_csv(example[2], CURVES, "curves")
    with pytest.raises(UserError, match=r"^some\.csv: toy/none/1/loss appears twice"):
        read(curves + curves.splitlines()[1] + "\n", CURVES, "some.csv")


@pytest.fixture
def others():
    """CSV of the seeds and of the weights, with its schema."""
    study, summaries = rows_of_a_study()
    frames = (tables.seeds_table(study, summaries), SEEDS), (tables.weights_table(study, summaries), WEIGHTS)
    seeds, weights = (to_csv(frame, schema, "some.csv") for frame, schema in frames)
    return {"seeds": (seeds, SEEDS), "weights": (weights, WEIGHTS)}


@pytest.mark.parametrize(
    ("table", "old", "new", "reason"),
    [
        ("seeds", ",seed,", ",number,", "has no column seed"),
        ("seeds", "none,1", "none,0", "toy/none/0 appears twice"),
        ("seeds", "0.952", "1.952", "toy/l2/2: an accuracy lies outside 0 to 1"),
        ("seeds", "0.952", "-0.952", "toy/l2/2: train -0.952: "),
        ("seeds", "l2,2,accuracy", "l2,2,loss", "toy/l2/2: metric loss: "),
        ("seeds", "l2,2", "l2,-2", "toy/l2/-2: seed -2: "),
        ("seeds", "0.952", "high", "is not a table of seeds"),
        ("weights", "norm_sd", "sd", "has no column norm_sd"),
        ("weights", "toy,l2", "toy,none", "toy/none/dense/kernel appears twice"),
        ("weights", "l2,dense/kernel,3,1,", "l2,dense/kernel,3,-1,", "toy/l2/dense/kernel: norm_mean -1.0: "),
        ("weights", "l2,dense/kernel", "l2,dense", "toy/l2/dense: weight dense: "),
        ("weights", "l2,dense/kernel,3", "l2,dense/kernel,three", "is not a table of weights"),
    ],
)
def test_bad_seeds_and_weights_are_refused_in_one_line(others, table, old, new, reason):
    text, schema = others[table]
    assert old in text
    with pytest.raises(UserError, match=rf"^some\.csv: {reason}") as error:
        read(text.replace(old, new, 1), schema, "some.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "\n", "<html></html>", "study\n\x00", '"'])
def test_what_is_no_table_is_refused_in_one_line(text):
    for schema in (TABLE, CURVES, SEEDS, WEIGHTS):
        with pytest.raises(UserError, match=r"^some\.csv: ") as error:
            read(text, schema, "some.csv")
        assert "\n" not in str(error.value)


def test_a_bad_table_is_not_written_either(example):
    _, table, _ = example
    with pytest.raises(UserError, match=r"^some\.csv: toy/l2: mean"):
        to_csv(table.assign(mean=table["mean"].where(table["row"] != "l2", np.inf)), TABLE, "some.csv")


def test_first_difference():
    assert first_difference("a\nb\n", "a\nb\n") is None
    assert first_difference("a\nb\n", "a\nc\n") == 2
    assert first_difference("a\n", "a\nb\n") == 2
    assert first_difference("", "a\n") == 1


# --- Markdown


def test_markdown_reads_like_the_documents_table(example):
    text = tables.to_markdown(*example)
    lines = text.splitlines()
    assert lines[:3] == ["# A toy study", "", "Does it learn?"]
    assert lines[4] == (
        "| 參數 | 結果 | test accuracy, mean ± sd (n) | train accuracy "
        "| difference from no regularizer [95 % interval] | p (Holm) "
        "| reported figure in the prediction interval? | diagnosis |"
    )
    assert lines[6] == (
        "| no regularizer | 0.9770 | 0.9760 ± 0.0020 (3) | 0.9770 | – | – | yes [0.958, 0.994] "
        "| **still improving**: accuracy: train 0.977, test 0.976 |"
    )
    assert lines[7].startswith(
        "| l2(0.0001) | 0.9400 | 0.9400 ± 0.0040 (3) | 0.9500 | -0.036 [-0.051, -0.021] | 0.018 | yes [0.905, 0.975] |"
    )
    assert "| 0.9650 ± 0.0071 (2 of 3 finite) |" in lines[9]
    assert "| yes: every seed gives it |" in lines[8]


def test_markdown_says_what_it_ran_on_and_of_what_it_speaks(example):
    text = tables.to_markdown(*example)
    assert "- Data set: Toy data.\n" in text
    assert "- Metric: test accuracy, higher is better.\n" in text
    assert "- Seeds: 3 a row" in text and "speak of these test samples" in text
    assert (
        "- The prediction intervals hold one further run each, all 3 figures together, with 95 % probability." in text
    )
    assert "- Batch size is ours.\n" in text
    assert "- Document: A page.\n" in text


def test_a_column_without_a_figure_is_not_shown():
    study, summaries = a_study(("none",)), {"none": a_summary(train=0.97, test=0.9)}
    headings = tables.to_markdown(study, *assembled(study, summaries)).splitlines()[4]
    assert headings == "| 參數 | test accuracy, mean ± sd (n) | train accuracy | diagnosis |"


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([NAN] * 3, "not finite in any of 3 seeds"),
        ([0.9, NAN, NAN], "0.9000 (1 of 3 finite)"),
        ([0.9, 0.92, NAN], "0.910 ± 0.014 (2 of 3 finite)"),
        ([0.9] * 3, "0.9000 ± 0 (3)"),
        (
            [0.94, 0.941, 0.942, 0.943, 0.944, 0.945, 0.946, 0.947, 0.948, 0.85],
            "median 0.9435 (10): 1 of 10 seeds ends at 0.85, the others at 0.94 to 0.948",
        ),
    ],
)
def test_a_mean_is_said_as_the_seeds_allow(values, cell):
    study = a_study(("none",))
    table, curves = assembled(study, {"none": a_summary(config=a_config(seeds=len(values)), test=values)})
    assert f"| {cell} |" in tables.to_markdown(study, read(csv_of(table), TABLE, "table"), curves)


def test_rows_beyond_the_document_do_not_weaken_what_is_said_of_it():
    study, summaries = rows_of_a_study()
    before, _ = assembled(study, summaries)
    for i in range(20):
        study["rows"][f"more{i}"] = {**study["rows"]["linear"], "beyond": True}
        summaries[f"more{i}"] = dataclasses.replace(summaries["l2"], row=f"more{i}")
    after, _ = assembled(study, summaries)
    columns = ["row", "p_holm", "diagnosis", "prediction_low"]
    pd.testing.assert_frame_equal(after[columns].head(len(before)), before[columns])
    assert (after["p_holm"].iloc[len(before) :] > after["p_value"].iloc[len(before) :]).all()


def test_figures_of_other_data_are_shown_and_not_held_against():
    study = a_study(("none",), same_data=False)
    study["rows"]["none"]["reported"] = 0.5
    table, curves = assembled(study, {"none": a_summary(test=0.9 + SPREAD)})
    assert table.loc[0, "reported"] == 0.5 and table.loc[0, "reproduced"] == ""
    assert tables.reported_figures(study) == []
    assert "prediction" not in tables.to_markdown(study, table, curves)


def test_rows_of_one_reported_figure_are_marked(example):
    text = tables.to_markdown(*example)
    assert "| 0.0980<sup>1</sup> |" in text
    assert "<sup>1</sup> These rows stand for the same reported figure, the line with 0.0980." in text


def test_rows_are_ranked_by_their_distance_to_the_log(example):
    text = tables.to_markdown(*example)
    ranking = text[text.index("## Which row reproduces the reported log with\\_l2?") :].splitlines()
    assert ranking[2] == "| rank | 參數 | distance | loss | accuracy | val\\_loss | val\\_accuracy |"
    assert ranking[4] == "| 1 | l2(0.0001) | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 |"


def test_labels_cannot_break_the_table(example):
    text = tables.to_markdown(*example)
    assert "| a\\|b \\<i\\>\\*x\\*\\</i\\> |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")][:6]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1
    assert escape("a\nb \\ `c` [d](e)") == "a b \\\\ \\`c\\` \\[d\\](e)"


@pytest.mark.parametrize(
    ("mean", "spread", "shown"),
    [
        (0.976543, 0.00123, ("0.9765", "0.0012")),
        (0.976543, 0.00996, ("0.977", "0.010")),
        (12.3456, 3.21, ("12.3", "3.2")),
        (1234.5, 123.0, ("1234", "123")),
        (0.098, 0.0, ("0.0980", "0")),
        (0.5, NAN, ("0.5000", "–")),
        (NAN, NAN, ("–", "–")),
        (0.123456789, 1e-12, ("0.1234570", "0.0000000")),  # six digits, as in the CSV files
        (-0.6649998, 0.149, ("-0.67", "0.15")),  # the mean of rounded seeds, in a CSV file -0.665
        (1e30, 1e29, ("1.00e+30", "1.00e+29")),
        (-0.00001, 0.01, ("0.000", "0.010")),
    ],
)
def test_digits_are_those_that_the_spread_supports(mean, spread, shown):
    assert tables.with_spread(mean, spread) == shown


# --- the document of the columns


def test_readme_documents_every_column_and_no_other():
    text = README.read_text(encoding="utf-8").split("## Figures")[0]
    documented = re.findall(r"^\| `([a-z0-9_]+)` \|", text, flags=re.MULTILINE)
    wanted = [column for schema in (TABLE, CURVES, SEEDS, WEIGHTS, OVERVIEW) for column in schema.columns]
    assert documented == wanted


def test_readme_gives_the_thresholds_of_the_code():
    text = README.read_text(encoding="utf-8")
    stated = {name: float(value) for name, value in re.findall(r"`([A-Z_]+)` = ([0-9.e-]*[0-9])", text)}
    modules = (diagnosis, statistics, tables)
    known = {name: value for module in modules for name, value in vars(module).items() if name in stated}
    assert stated == known
    thresholds = {"NO_SKILL", "ONE_CLASS", "MANY_SEEDS", "BARELY", "MATTERS", "GAP", "RISE", "FEW_EPOCHS"}
    assert thresholds | {"LOG_RESOLUTION", "REPORTED_ROUNDING", "LEVEL", "GROUPS_BY_CHANCE"} <= set(stated)


def test_readme_names_every_diagnosis_in_the_order_of_the_rules():
    text = README.read_text(encoding="utf-8")
    assert re.findall(r"^\d\. \*\*([a-z-]+(?: [a-z]+)?)\*\*", text, flags=re.MULTILINE) == list(diagnosis.NAMES)


def test_judging_needs_no_tensorflow():
    code = "import sys, stages.aggregate; sys.exit(bool({'tensorflow', 'keras', 'hydra'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=README.parents[1], check=False).returncode == 0
