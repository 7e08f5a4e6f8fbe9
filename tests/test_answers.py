"""Answers: other numbers give other verdicts, nothing measured is typed, and no table is too poor to be answered."""

import math
import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from stages import answers as stage
from stages.compose import context
from stages.core.base.errors import UserError
from stages.core.config.study import Study
from stages.core.config.yaml import read_yaml
from stages.core.results import answers, statistics, tables
from stages.core.results.answers import Estimate, all_of, any_of, opposite
from stages.core.results.checked_csv import to_csv

NAN = math.nan
CONF = Path(__file__).parents[1] / "conf" / "study"
STUDIES = sorted(path.stem for path in CONF.glob("*.yaml"))
NOISE = np.random.default_rng(0).normal(size=(40, 10))
TWICE = ("l2_1e-4_twice", "l2_1e-2_twice")
LINEAR = ("linear_mse_lr_1e-1", "linear_mse_lr_1e-2", "linear_mse_lr_1e-3", "linear_mse_lr_1e-4")


@cache
def declared(name):
    """A study of conf/ as compose presents it, as far as answers look at it."""
    text = read_yaml(CONF / f"{name}.yaml")
    text["rows"] = {key.partition("/")[2]: row for key, row in text["rows"].items()}
    study = Study.model_validate({key: value for key, value in text.items() if key in Study.model_fields})
    return study


def a_study(name, n=10, **changes):
    shown = declared(name).model_dump()
    for row in shown["rows"].values():
        row["context"] = context(row["overrides"])
    higher = shown["metric"].endswith("accuracy")
    extra = {"name": name, "n_seeds": n, "higher_is_better": higher, "dataset_title": f"Data of {name}"}
    return {**shown, **extra, **changes}


def constructed(study, values=None, curves=None, **columns):
    """Table and curves of a study.

    values: by row, the metric of one seed or of each; a level stands for levels with noise of 0.001 (default 0.5).
    curves: by (row, quantity), the same for the curves, at all epochs (default 0.5; the metric's own on its split).
    columns: by column of the table and row, a value (default: as the statistics give it, diagnosis "learning").
    """
    n, metric = study["n_seeds"], study["metric"].split(".")[1]
    metrics = {row: _seeds((values or {}).get(row, 0.5), n, i) for i, row in enumerate(study["rows"])}
    lines = [_line(study, row, metrics, columns) for row in study["rows"]]
    table = _typed(pd.DataFrame(lines), tables.TABLE)
    quantities = ("loss", "penalty_share", "accuracy", "val_loss", "val_accuracy")
    quantities = [quantity.replace("accuracy", metric) for quantity in quantities]
    points = [
        (study["name"], row, epoch, quantity, sample.n, sample.mean, sample.sd)
        for i, row in enumerate(study["rows"])
        for quantity in quantities
        for sample in [statistics.describe(_seeds((curves or {}).get((row, quantity), 0.5), n, i))]
        for epoch in range(1, 6)
    ]
    curve = _typed(pd.DataFrame(points, columns=list(tables.CURVES.columns)), tables.CURVES)
    return table.assign(p_holm=statistics.holm(table["p_value"])), curve


def _typed(frame, schema):
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    return frame.reindex(columns=list(types)).astype(types)


def _seeds(level, n, index):
    return np.broadcast_to(level + 0.001 * NOISE[index, :n] if np.ndim(level) == 0 else level, n)


def _line(study, row, metrics, columns):
    sample = statistics.describe(metrics[row])
    low, high = statistics.prediction_interval(sample)
    reported = study["rows"][row]["reported"]
    split = study["metric"].split(".")[0]
    line = {
        **{"study": study["name"], "row": row, "label": study["rows"][row]["label"], "metric": study["metric"]},
        **{"n": study["n_seeds"], "n_finite": sample.n, "mean": sample.mean, "sd": sample.sd, "reported": reported},
        **{"prediction_low": low, "prediction_high": high, "diagnosis": "learning", "evidence": "figures"},
        **{"validation": 0.5, "penalty_share": 0.1, split: sample.mean},
        "reproduced": "" if reported is None or math.isnan(low) else "yes" if low <= reported <= high else "no",
    }
    if row != study["baseline"]:
        pairs = statistics.paired_difference(metrics[row], metrics[study["baseline"]])
        line |= {"difference": pairs.mean, "difference_low": pairs.low, "difference_high": pairs.high}
        line |= {"p_value": pairs.p_value, "effect_size": pairs.effect_size}
    return line | {column: by_row[row] for column, by_row in columns.items() if row in by_row}


def text_of(study, *arguments, **options):
    return answers.to_markdown([(study, *constructed(study, *arguments, **options))])


def claim(text, beginning):
    """The one bullet that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"- {beginning}")]
    return line


def verdict(text, beginning):
    return re.search(r"\*\*(.+?)\*\*", claim(text, beginning)).group(1)


def verdict_on(answer_claim, *arguments, study="digits_comparison", n=10, **options):
    """Verdict of a claim that is put in the place of the study's own."""
    answer = {"measured": "x", "claims": [{"claim": "C.", "holds": answer_claim, "because": "b"}]}
    return verdict(text_of(a_study(study, n, answer=answer), *arguments, **options), "C.")


def said(template, *arguments, study="digits_comparison", n=10, **options):
    """What a template becomes."""
    answer = {"measured": template, "claims": [{"claim": "C.", "holds": "true", "because": "b"}]}
    text = text_of(a_study(study, n, answer=answer), *arguments, **options)
    return re.search(r"(?m)^\*\*Measured\*\* .*?seeds? a row\)\. (.*)$", text).group(1)


# --- the shipped answers


@pytest.mark.parametrize("name", STUDIES)
def test_every_document_gets_question_claim_three_sentences_and_verdicts(name):
    study = a_study(name)
    text = text_of(study)
    measured = re.search(r"(?m)^\*\*Measured\*\* .*?a row\)\. (.*)$", text).group(1)
    assert len(re.findall(r"(?<!vs)\.(?= [A-Z0-9`]|$)", measured)) == 3, measured
    assert study["question"].split()[0] in text
    assert text.count("\n- ") == len(study["answer"]["claims"]) == len(re.findall(r"\*\*(Holds|Does not|Cannot)", text))
    assert not re.search(r"\b(nan|None|True|False)\b|\{[{%]", text)


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("case", ["one seed", "nothing finite", "no spread"])
def test_every_document_gets_an_answer_from_poor_tables(name, case):
    study = a_study(name, n=1 if case == "one seed" else 10)
    level = {"one seed": 0.5, "nothing finite": np.full(10, NAN), "no spread": np.full(10, 0.5)}[case]
    rows = dict.fromkeys(study["rows"], level)
    metric = study["metric"].split(".")[1]
    poor = {(row, name): level for row in rows for name in (metric, f"val_{metric}", "loss", "penalty_share")}
    gone = {"validation": dict.fromkeys(rows, NAN)} if case == "nothing finite" else {}
    text = text_of(study, rows, poor, **gone, penalty_share=dict.fromkeys(rows, NAN))
    assert not re.search(r"\b(nan|inf|None)\b", text)
    assert "Cannot be told with 1 seed." in text or case != "one seed"


@pytest.mark.parametrize("name", STUDIES)
def test_no_measured_number_is_typed(name):
    """Between the expressions only coefficients, rates and margins stand, none as fine as a result."""
    answer = a_study(name)["answer"]
    templates = [answer["measured"], *(item[part] for item in answer["claims"] for part in ("claim", "because"))]
    for template in templates:
        prose = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", template, flags=re.DOTALL)
        assert not re.search(r"\d\.\d{3,}", re.sub(r"\w+\(0\.\d+\)", "", prose)), prose


HARMED = {"kernel_l1_1e-3": 0.46}


@pytest.mark.parametrize("study", ["mnist_comparison", "digits_comparison"])
@pytest.mark.parametrize(
    ("beginning", "values", "expected"),
    [
        ("A wrong coefficient harms", {}, "Cannot be told with 10 seeds."),
        ("A wrong coefficient harms", HARMED, "Holds."),
        ("A well chosen one", HARMED, "Cannot be told with 10 seeds."),
        ("A well chosen one", {"kernel_l2_1e-4": 0.51}, "Holds."),
        ("", {}, "Holds."),
        ("", HARMED, "Does not hold."),
    ],
)
def test_comparison(study, beginning, values, expected):
    beginning = beginning or ("On MNIST all" if study.startswith("mnist") else "All differences are small")
    assert verdict(text_of(a_study(study), values), beginning) == expected


def test_comparison_names_what_differs_and_what_is_out_of_reach():
    study = a_study("mnist_comparison")
    reported = {row: part["reported"] for row, part in study["rows"].items()}
    text = text_of(study, reported)
    assert verdict(text, "The reported figures") == "Holds."
    assert "lower: `kernel l1(0.001)` (-0.0" in text
    text = text_of(study, reported | {"kernel_activity_l2_1e-4": 0.9})  # another reading of its line still fits
    assert verdict(text, "The reported figures") == "Holds."
    text = text_of(study, reported | {"none": 0.96})
    assert verdict(text, "The reported figures") == "Does not hold."
    assert "`no regularizer` (0.9770 against [0.95" in claim(text, "The reported figures")


COLLAPSE = {
    "without": "Without L2 the net learns",
    "with": "With l2(0.0001) and",
    "dropout": "The published answer: a dropout",
    "twice": "A hypothesis of this study",
    "raw": "Another hypothesis",
}


@pytest.mark.parametrize(
    ("stuck", "holding"),
    [
        ((), {"without"}),
        (TWICE, {"without", "twice"}),
        ((*TWICE, "none_twice"), {"without"}),
        (("l2_1e-4_raw", "l2_1e-2_raw"), {"without", "raw"}),
        (("l2_1e-4_dropout_50", "l2_1e-2_dropout_50"), {"without", "with", "dropout"}),
        (("l2_1e-4_dropout_50", "l2_1e-2_dropout_50", "l2_1e-2_dropout_20"), {"without", "with"}),
        (("l2_1e-4_dropout_50", "l2_1e-2_dropout_50", *TWICE), {"without", "with", "dropout"}),
        (("none_dropout_50",), set()),
    ],
)
def test_collapse_is_settled_by_who_learns(stuck, holding):
    text = text_of(a_study("mnist_collapse"), diagnosis=dict.fromkeys(stuck, "not learning"))
    verdicts = {name: verdict(text, beginning) for name, beginning in COLLAPSE.items()}
    assert verdicts == {name: "Holds." if name in holding else "Does not hold." for name in COLLAPSE}
    assert f"{len(stuck)} do not learn" in text
    assert ("not seen with inputs divided by 255 once" in text) == ("with" not in holding)


@pytest.mark.parametrize("stuck", [(), ("l2_1e-4",), ("l2_1e-2",), ("l2_1e-4", "l2_1e-2")])
def test_collapse_says_whether_less_dropout_helps_on_inputs_divided_twice(stuck):
    rows = [f"{row}_twice_dropout_0" for row in stuck]
    text = text_of(a_study("mnist_collapse"), diagnosis=dict.fromkeys(rows, "not learning"))
    for row, beginning in (("l2_1e-4", "The published answer on inputs"), ("l2_1e-2", '... and next to "l2"')):
        assert verdict(text, beginning) == ("Does not hold." if row in stuck else "Holds.")


def test_collapse_ranks_by_the_distance_to_the_log():
    study = a_study("mnist_collapse")
    log = study["reported_logs"]["with_l2"]
    near = {(row, quantity): log[quantity][0] for row in TWICE for quantity in ("loss", "val_loss", "val_accuracy")}
    text = text_of(study, {}, near, log_distance=dict.fromkeys(study["rows"], 90.0) | {TWICE[0]: 1.2, TWICE[1]: 1.4})
    ranked = re.search(r"in spreads of one run, are (.*?;)", text).group(1)
    assert "l2(0.0001), dropout 0.5, inputs / 255 twice` (1.2)" in ranked
    assert '"l2" = l2(0.01), dropout 0.5, inputs / 255 twice` (1.4)' in ranked
    assert verdict(text, "The reported log looks") == "Holds."
    far = text_of(study, log_distance=dict.fromkeys(study["rows"], 3.0))
    assert verdict(far, "The reported log looks") == "Does not hold."


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"none": 0.5657, "l2_1e-2": 0.4231}, ["Holds.", "Holds.", "Cannot be told with 3 seeds."]),
        ({"none": 0.7, "l2_1e-2": 0.6}, ["Holds.", "Does not hold.", "Does not hold."]),
        ({"none": 0.5, "l2_1e-2": 0.5}, ["Cannot be told with 3 seeds.", "Does not hold.", "Holds."]),
        ({"none": 0.5, "l2_1e-2": 0.6}, ["Does not hold.", "Does not hold.", "Holds."]),
    ],
)
def test_small_cnn(values, expected):
    gentle = {"Cannot be told with 3 seeds.": values["none"] - 0.02}.get(expected[2], 0.5)
    text = text_of(a_study("cifar10_small", n=3), values | {"l2_1e-4": gentle})
    beginnings = ("L2(0.01) lowers", "Single runs without and with", "A rule: with a hundredth")
    assert [verdict(text, beginning) for beginning in beginnings] == expected


def test_small_cnn_says_whether_the_drop_and_the_fit_are_as_thought():
    study = a_study("cifar10_small", n=3)
    curves = {("l2_1e-2", "accuracy"): 0.4, ("l2_1e-2", "penalty_share"): 0.8}
    text = text_of(study, {"none": 0.5657, "l2_1e-2": 0.4231}, curves)
    assert "drop, -0.1426, is inside" in text
    assert "80 % of the loss" in text
    assert "is lower: it underfits (-0.10" in text
    text = text_of(study, {"none": 0.7, "l2_1e-2": 0.65}, {("l2_1e-2", "accuracy"): 0.6})
    assert "drop, -0.1426, is outside" in text
    assert "is higher: it does not underfit" in text
    assert "cannot be told apart" in text_of(study)


def test_deep_cnn():
    study = a_study("cifar10_deep", n=3)
    text = text_of(study, {"l2_1e-2": 0.3})
    beginnings = ("With regularizers the training", "L2(0.01) lowers", "The validation accuracy stays around 0.0100")
    assert [verdict(text, beginning) for beginning in beginnings] == ["Does not hold.", "Holds.", "Does not hold."]
    text = text_of(study, {"l2_1e-2": 0.01}, diagnosis={"l2_1e-2": "not learning"})
    assert [verdict(text, beginning) for beginning in beginnings] == ["Holds."] * 3
    wide = text_of(study, {"l2_1e-2": np.array([0.55, 0.37, 0.51])})  # one more run could give 0.01
    assert verdict(wide, beginnings[2]) == "Does not hold."


def kin8nm(train, validation):
    """Text for training and validation errors of l2(0), l2(0.001), l2(0.0001) and dropout."""
    rows = ("l2_0", "l2_1e-3", "l2_1e-4", "dropout_20")
    held_out = dict(zip(rows, validation, strict=True))
    curves = {(row, "val_mae"): level + 0.0002 * NOISE[20] for row, level in held_out.items()}
    values = {row: level + 0.0002 * NOISE[i] for i, (row, level) in enumerate(zip(rows, train, strict=True))}
    means = {row: curve.mean() for (row, _), curve in curves.items()}
    return text_of(a_study("kin8nm_regression"), values, curves, validation=means)


KIN8NM = ("L2(0.001) closes", "The price", "L2(0.0001) lies", "L2(0.0001) gives both", "Dropout", "Reducing L2")


@pytest.mark.parametrize(
    ("train", "validation", "holding"),
    [
        ((0.01, 0.08, 0.04, 0.09), (0.07, 0.081, 0.065, 0.09), [0, 1, 2, 5]),
        ((0.01, 0.08, 0.015, 0.018), (0.07, 0.081, 0.017, 0.02), [0, 1, 2, 3, 4, 5]),
        ((0.05, 0.06, 0.07, 0.09), (0.09, 0.095, 0.1, 0.15), []),
    ],
)
def test_kin8nm(train, validation, holding):
    text = kin8nm(train, validation)
    expected = ["Holds." if i in holding else "Does not hold." for i in range(len(KIN8NM))]
    assert [verdict(text, beginning) for beginning in KIN8NM] == expected


def test_kin8nm_gives_intervals():
    text = kin8nm((0.01, 0.08, 0.04, 0.09), (0.07, 0.081, 0.065, 0.09))
    assert re.search(r"training MAE from 0\.0599\d \[0\.059\d+, 0\.06\d+\] to 0\.00\d+ \[0\.00", text)
    assert re.search(r"multiplies the training MAE, .*, by [78]\.\d+ \[7\.\d+, 8\.\d+\] \(in the .*by 10\.7\)", text)


def test_first_chapter():
    study = a_study("mnist_first_chapter")
    beginnings = ("The loss is NaN", "The net needs", "With sigmoid", "Crossentropy", "If the loss", "The book's net")
    diverged = dict.fromkeys(("linear_mse_lr_3", "linear_mse_lr_1e-1"), "diverged")
    values = {"linear_mse_lr_3": np.full(10, 0.098), study["baseline"]: 0.9425, "sigmoid_sigmoid_mse_lr_15": 0.951}
    values |= {"sigmoid_softmax_crossentropy_lr_3": 0.93}
    loss = {("linear_mse_lr_3", "loss"): np.full(10, NAN)}
    facts = {"diagnosis": diverged, "reproduced": {"linear_mse_lr_3": "yes"}}
    text = text_of(study, values, loss, **facts)
    expected = ["Holds.", "Does not hold.", "Holds.", "Does not hold.", "Holds.", "Holds."]
    assert [verdict(text, beginning) for beginning in beginnings] == expected
    assert "in 10 of 10 seeds" in text
    assert "learns: `linear/linear, MSE, learning rate 0.01` (0.4" in claim(text, "The net needs")
    facts["diagnosis"] = dict.fromkeys(("linear_mse_lr_3", *LINEAR), "diverged")
    values |= {study["baseline"]: 0.91, "sigmoid_softmax_crossentropy_lr_3": 0.93, "sigmoid_sigmoid_mse_lr_15": 0.9}
    loss[("linear_mse_lr_3", "loss")] = np.where(np.arange(10) < 9, NAN, 0.5)
    text = text_of(study, values, loss, **facts)
    expected = ["Does not hold.", "Holds.", "Does not hold.", "Holds.", "Does not hold.", "Does not hold."]
    assert [verdict(text, beginning) for beginning in beginnings] == expected


# --- the vocabulary


def test_an_interval_decides_or_leaves_it_open():
    estimate = Estimate(1.0, 0.9, 1.1)
    assert [estimate.above(value) for value in (0.8, 1.0, 1.2)] == [True, None, False]
    assert [estimate.below(value) for value in (0.8, 1.0, 1.2)] == [False, None, True]
    ranges = [(0.8, 1.2), (1.0, 1.2), (1.2, 1.3), (0.5, 0.8)]
    assert [estimate.between(*ends) for ends in ranges] == [True, None, False, False]
    unknown = Estimate(1.0)
    assert [unknown.above(0), unknown.below(0), unknown.between(0, 2)] == [None, None, None]


def test_combined_estimates_contain_the_paired_intervals():
    for a, b in NOISE[:20].reshape(10, 2, 10):
        ours, theirs = 3 + 0.1 * a, 2 + 0.1 * b + 0.05 * a
        first, second = (answers._t_interval(x.mean(), x.std(ddof=1), 10) for x in (ours, theirs))
        paired = statistics.paired_difference(ours, theirs)
        difference = first - second
        assert difference.mean == pytest.approx(paired.mean)
        assert difference.low <= paired.low
        assert paired.high <= difference.high
        ratio = first / second
        for end in (ratio.low, ratio.high):  # Fieller: such a ratio r is rejected, the interval of a - r·b excludes 0
            test = statistics.paired_difference(ours, end * theirs)
            assert test.low * test.high >= 0


def test_ratios_need_a_positive_divisor():
    assert math.isnan((Estimate(1.0, 0.9, 1.1) / Estimate(0.0, -0.1, 0.1)).mean)
    assert str(Estimate(1.0, 0.9, 1.1) / Estimate(0.5, -0.1, 1.1)) == "2.0000"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.97712, 0.97601, 0.97823), "0.9771 [0.9760, 0.9782]"),
        (Estimate(-0.034904, -0.036, -0.0338, "+"), "-0.0349 [-0.0360, -0.0338]"),
        (Estimate(0.0001, -0.001, 0.0012, "+"), "+0.0001 [-0.0010, +0.0012]"),
        (Estimate(0.5), "0.5000"),
        (Estimate(0.5, sign="+"), "+0.5000 [–]"),
        (Estimate(NAN), "–"),
    ],
)
def test_an_estimate_prints_the_digits_it_supports(estimate, text):
    assert str(estimate) == text


@pytest.mark.parametrize(("share", "text"), [(0.634, "63 %"), (1.0, "100 %"), (0.0042, "0.42 %"), (NAN, "–")])
def test_percent(share, text):
    assert Estimate(share).percent == text


def test_findings_combine_with_three_values():
    assert [all_of(True, True), all_of(True, None), all_of(None, False), all_of()] == [True, None, False, None]
    assert [all_of([True, None], True), any_of([False], True), all_of([])] == [None, True, None]
    assert [any_of(False, False), any_of(False, None), any_of(None, True), any_of()] == [False, None, True, None]
    assert [opposite(True), opposite(False), opposite(None)] == [False, True, None]


def test_better_is_by_holm_and_in_the_direction_of_the_metric():
    row = 'row("l2_1e-4").better'
    assert verdict_on(row, {"l2_1e-4": 0.4}, study="kin8nm_regression") == "Holds."
    assert verdict_on(row, {"l2_1e-4": 0.6}, study="kin8nm_regression") == "Does not hold."
    assert verdict_on(row, {"l2_1e-4": 0.6}, study="cifar10_small") == "Holds."
    nearly = np.linspace(-1, 1, 10) * 0.001 + 0.00055  # significant alone, not among four comparisons
    values = {"none": np.full(10, 0.5), "l2_1e-4": 0.5 + nearly}
    table, _ = constructed(a_study("cifar10_small"), values)
    assert table.set_index("row").loc["l2_1e-4", "p_value"] < 0.05
    assert verdict_on(row, values, study="cifar10_small") == "Cannot be told with 10 seeds."


def test_texts_of_a_row():
    values = {"linear": [NAN] * 9 + [0.9], "bias_l2_1e-4": np.full(10, NAN)}
    assert said('{{ row("linear").measured }}', values) == "0.9000 ± – (1 of 10 finite)"
    assert said('{{ row("bias_l2_1e-4").measured }}', values) == "not finite in any of 10 seeds"
    assert said("{{ baseline.measured }}", {"none": [0.4, 0.6] * 5}) == "0.50 ± 0.11 (10)"
    assert said("{{ others[-2:] | listed }}", study="cifar10_deep").endswith("`, `AdamW(weight_decay=0.02)`")
    assert said('{{ [] | listed("label") }}') == "none"
    assert said("{{ best.label }}", {"linear": 0.6}) == "`activation='linear'`"
    assert said('{{ none | say("a", "b", "c") }}{{ true | say("a", "b", "c") }}') == "ca"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ('{{ row("l2").label }}', "no row is called l2"),
        ("{{ rwo }}", "'rwo' is undefined"),
        ("{{ baseline.meaning }}", "no attribute 'meaning'"),
        ("{{ baseline._line }}", "unsafe"),
        ('{{ "".__class__.__mro__ }}', "unsafe"),
        ('{{ rows | listed("_line") }}', "unsafe"),
        ("{{ baseline.label", "unexpected"),
        ('{{ baseline.label | say("a", "b", "c") }}', "is no finding"),
        ('{{ ranked("log") }}', "no log is called log"),
        ('{{ baseline.curve("lss") }}', "has no lss"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(template, message):
    with pytest.raises(UserError, match=r"^conf/study/digits_comparison\.yaml: answer\.measured: ") as error:
        said(template)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("expression", ["1", "baseline.value.mean > 0.1 ~ 'x'", "unknown", "baseline.nothing", "1 +"])
def test_holds_must_be_a_finding(expression):
    with pytest.raises(UserError, match=r"answer\.claims\.0\.holds: "):
        verdict_on(expression)


# --- the stage


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Two studies as compose and aggregate leave them, one of them without an answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["answers"])
    for study in (a_study("digits_comparison"), a_study("kin8nm_regression", answer=None)):
        name = study["name"]
        table, curves = constructed(study)
        _write(f"build/studies/{name}.yaml", OmegaConf.to_yaml(study))
        _write(f"results/tables/{name}.csv", to_csv(table, tables.TABLE, "table"))
        _write(f"results/tables/{name}_curves.csv", to_csv(curves, tables.CURVES, "curves"))
    _write("params.yaml", "studies: {digits_comparison: {}, kin8nm_regression: {}}\n")
    return tmp_path


def _write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def test_the_stage_writes_the_answers_of_the_selected_studies(workspace):
    stage.main()
    text = Path("results/answers.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## (.*)$", text) == ["The Chinese comparison table on scikit-learn's digits"]
    stage.main()
    assert Path("results/answers.md").read_text(encoding="utf-8") == text


def test_a_typed_answer_is_refused_and_stays(workspace, monkeypatch):
    stage.main()
    path = Path("results/answers.md")
    typed = path.read_text(encoding="utf-8").replace("**Holds.**", "**Does not hold.**").replace("0.8", "0.9")
    path.write_text(typed, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["answers", "--check"])
    with pytest.raises(UserError, match=r"^results/answers\.md: line \d+ is not what the tables give"):
        stage.main()
    assert path.read_text(encoding="utf-8") == typed


@pytest.mark.parametrize(
    ("file", "stage_to_run"),
    [
        ("results/tables/digits_comparison.csv", "aggregate@digits_comparison"),
        ("results/tables/kin8nm_regression_curves.csv", "aggregate@kin8nm_regression"),
        ("build/studies/digits_comparison.yaml", "compose"),
    ],
)
def test_a_file_that_is_missing_is_named(workspace, file, stage_to_run):
    Path(file).unlink()
    with pytest.raises(UserError, match=f"^{file}: is missing; `dvc repro {stage_to_run}` writes it$"):
        stage.main()
    assert not Path("results/answers.md").exists()


def test_a_table_of_other_rows_is_refused(workspace):
    path = Path("results/tables/digits_comparison.csv")
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    with pytest.raises(UserError, match="does not have the study's rows"):
        stage.main()
