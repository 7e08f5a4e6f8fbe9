"""Answers: other numbers give other verdicts, nothing measured is typed, and no table is too poor to be answered."""

import math
import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulation
from omegaconf import OmegaConf
from scipy import stats

from stages import answers as stage
from stages.core.base.errors import UserError
from stages.core.config import composition
from stages.core.config.presentation import context
from stages.core.config.study import Study
from stages.core.config.yaml import read_yaml
from stages.core.results import answers, statistics, tables
from stages.core.results.checked_csv import to_csv
from stages.core.results.estimates import Estimate, Families, all_of, any_of, opposite
from stages.core.results.frames import FILES, Frames

NAN = math.nan
CONF = Path(__file__).parents[1] / "conf" / "study"
STUDIES = sorted(path.stem for path in CONF.glob("*.yaml"))
DOCUMENTS = [name for name in STUDIES if not name.startswith("case_")]
NOISE = np.random.default_rng(0).normal(size=(60, 10))
SAID = ("answer", "verdict")
GENERAL = [{"holds": ["true"], "needs": [], **dict.fromkeys(("cause", "change", "snippet", "sure", "otherwise"), "x")}]


@cache
def declared(name):
    """A study of conf/ as compose presents it, as far as answers look at it."""
    text = composition.completed(read_yaml(CONF / f"{name}.yaml"), name, True, True)
    text["rows"] = {key.partition("/")[2]: row for key, row in text["rows"].items()}
    return Study.model_validate({key: value for key, value in text.items() if key in Study.model_fields})


def a_study(name, n=10, later=False, **changes):
    """The study as compose presents it; rows that a claim or a verdict can do without are left out unless `later`."""
    shown = declared(name).model_dump()
    said = [*(shown["answer"] or {"claims": []})["claims"], *shown["verdict"]]
    needed = {row for one in said for row in one["needs"]}
    if not later:
        shown["rows"] = {row: told for row, told in shown["rows"].items() if row not in needed}
    for row in shown["rows"].values():
        row |= {"context": context(row["overrides"], name), "regularizers": {"kernel": {"l2": 1e-4}}, "dropout": 0.5}
    higher = shown["metric"].endswith("accuracy")
    extra = {"name": name, "n_seeds": n, "higher_is_better": higher, "dataset_title": f"Data of {name}"}
    return {**shown, **extra, **changes}


def constructed(study, values=None, train=None, norms=None, not_finite=(), **columns):
    """The frames of a study.

    values, train: by row, the metric on the study's split and on the training samples, of one seed or of each; a level
        stands for levels with noise of 0.001 (default 0.5).
    norms: by row, of dense_1/kernel (default 1).
    not_finite: rows whose loss is not finite after epoch 1, in so many seeds.
    columns: by column of the table and row, a value (default: as the statistics give it, diagnosis "learning").
    """
    n, (split, metric) = study["n_seeds"], study["metric"].split(".")
    metrics = {row: _seeds((values or {}).get(row, 0.5), n, i) for i, row in enumerate(study["rows"])}
    lines = [_line(study, row, metrics, columns) for row in study["rows"]]
    table = _typed(pd.DataFrame(lines), tables.TABLE)
    table = table.assign(p_holm=table.groupby("beyond")["p_value"].transform(statistics.holm))
    seeds = pd.concat(
        pd.DataFrame({"seed": range(n), "row": row, split: metrics[row]}).assign(
            train=_seeds((train or {}).get(row, 0.5), n, 30 + i)
        )
        for i, row in enumerate(study["rows"])
    )
    seeds = seeds.assign(study=study["name"], metric=metric, optimizer="adam", epochs=7)
    points = [
        (study["name"], row, epoch, quantity, n - dict(not_finite).get(row, 0), 0.5, 0.1)
        for row in study["rows"]
        for quantity in ("loss", "data_loss", "penalty", "penalty_share", metric, "val_loss", f"val_{metric}")
        for epoch in (1, 2, 3, 4, 5, 109, 604)
    ]
    weights = [(study["name"], row, "dense_1/kernel", n, (norms or {}).get(row, 1.0), 0.1) for row in study["rows"]]
    return Frames(
        table,
        _typed(pd.DataFrame(points, columns=list(tables.CURVES.columns)), tables.CURVES),
        _typed(seeds, tables.SEEDS),
        _typed(pd.DataFrame(weights, columns=list(tables.WEIGHTS.columns)), tables.WEIGHTS),
    )


def _typed(frame, schema):
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    return frame.reindex(columns=list(types)).astype(types)


def _seeds(level, n, index):
    return np.broadcast_to(level + 0.001 * NOISE[index, :n] if np.ndim(level) == 0 else level, n)


def _line(study, row, metrics, columns):
    told = study["rows"][row]
    sample = statistics.describe(metrics[row])
    low, high = statistics.prediction_interval(metrics[row], len(tables.reported_figures(study)) or 1)
    reported = told["reported"] if study["same_data"] else None
    line = {
        **{"study": study["name"], "row": row, "label": told["label"], "metric": study["metric"], "groups": ""},
        **{"beyond": "yes" if told["beyond"] else "no", "median": statistics.median(metrics[row])[0]},
        **{
            "n": study["n_seeds"],
            "n_finite": sample.n,
            "mean": sample.mean,
            "sd": sample.sd,
            "reported": told["reported"],
        },
        **{"prediction_low": low, "prediction_high": high, "diagnosis": "learning", "evidence": "figures"},
        **{"penalty_share": 0.1, study["metric"].split(".")[0]: sample.mean},
        "reproduced": "" if reported is None or math.isnan(low) else "yes" if low <= reported <= high else "no",
    }
    if row != study["baseline"]:
        pairs = statistics.paired_difference(metrics[row], metrics[study["baseline"]])
        line |= {"difference": pairs.mean, "difference_low": pairs.low, "difference_high": pairs.high}
        line |= {"p_value": pairs.p_value, "effect_size": pairs.effect_size}
    return line | {column: by_row[row] for column, by_row in columns.items() if row in by_row}


def text_of(study, *arguments, **options):
    """The document of one study, with a verdict that always holds unless `options` say keep_verdict."""
    if not options.pop("keep_verdict", False):
        study = {**study, "verdict": GENERAL}
    return answers.to_markdown([(study, constructed(study, *arguments, **options))])


def claim(text, beginning):
    """The one bullet that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"- {beginning}")]
    return line


def judgement(text, beginning):
    return re.search(r"\*\*(.+?)\*\*", claim(text, beginning)).group(1)


def judged(expression, *arguments, study="digits_comparison", n=10, needs=(), **options):
    """Judgement of a claim that is put in the place of the study's own."""
    answer = {"measured": "x", "claims": [{"claim": "C.", "holds": expression, "because": "b", "needs": list(needs)}]}
    return judgement(text_of(a_study(study, n, answer=answer), *arguments, **options), "C.")


def said(template, *arguments, study="digits_comparison", n=10, **options):
    """What a template becomes."""
    answer = {"measured": template, "claims": [{"claim": "C.", "holds": "true", "because": "b", "needs": []}]}
    text = text_of(a_study(study, n, answer=answer), *arguments, **options)
    return re.search(r"(?m)^\*\*Measured\*\* .*?seeds? a row\)\. (.*)$", text).group(1)


# --- the committed answers: what was wrong with them stays away

COMMITTED = (Path(__file__).parents[1] / "results/answers.md").read_text(encoding="utf-8")


def section(title):
    (found,) = [part for part in COMMITTED.split("\n## ") if part.startswith(f"{title}\n")]
    return found


def test_inputs_divided_twice_are_said_to_stop_the_net_only_where_it_learns_without_l2():
    found = claim(section("L2 regularization makes the network not learn"), "A hypothesis of this study")
    learns = "(learning)" in found or "(underfitting)" in found
    assert ("**Holds.**" in found) == learns
    assert "barely learning" in found or learns


def test_nothing_is_called_matched_that_is_not():
    for title in ("L2 lowers a small CNN's accuracy", "A deeper CNN does not improve with L2"):
        assert "matching strength" not in section(title).lower()
        norms = re.search(
            r"is (\d[\d.]*) with it and (\d[\d.]*) without\..* leaves that norm at (\d[\d.]*);", section(title)
        )
        l2, none, adamw = map(float, norms.groups())
        assert adamw > 0.8 * none > 3 * l2


def test_no_gain_is_claimed_below_the_page_s_own():
    found = claim(section("Which regularizer, and how strong?"), "L2(0.0001) on the kernel improves the result")
    assert "(+0.0015)" in found and "**Holds.**" not in found


def test_the_reported_figures_are_held_against_simultaneous_intervals():
    found = claim(section("Which regularizer, and how strong?"), "The reported figures")
    assert "**Holds.**" in found and "12 of 12 figures" in found
    assert "(0.9421 against [0.941, 0.972])" in found


def test_differences_of_two_rows_are_paired():
    found = section("L2 raises the training error")
    assert "It changes by +0.0028 [+0.0001, +0.0054]" in claim(found, "Reducing L2(0.001)")
    low, high = map(float, re.search(r"dropout 0\.2 one of \S+ \[(\S+), (\S+)\]", found).groups())
    assert high - low < 0.004  # the ends of two intervals combined would give 0.012


def test_claims_that_cannot_fail_are_gone():
    assert "Single runs without and with" not in COMMITTED
    assert "could have shown" not in COMMITTED


def test_the_log_is_held_against_the_seeds_own_distances():
    found = claim(section("L2 regularization makes the network not learn"), "The reported log looks")
    assert found.count("`") == 2 and '"l2" = l2(0.01), dropout 0.5, inputs / 255 twice` (0.8 against 1.7)' in found


def test_a_stuck_seed_is_named_and_no_interval_leaves_the_possible():
    found = section("The loss is NaN from the first epoch")
    assert "1 of 10 seeds ends at 0.851" in found
    assert "0.935 ±" not in found
    assert not re.search(r"\[[^\]]*1\.0+\]", found)
    assert "**Holds.**" in claim(found, "The net needs activations to get to 94 %.")


def test_small_is_an_equivalence_with_a_stated_margin():
    found = claim(section("Which regularizer, and how strong?"), "l2, l1_l2 and the bias's l2 make little difference")
    assert "within half a percentage point" in found


def test_which_keras_divides_is_said_and_what_misleads():
    assert "from Keras 3.14 on, not in Keras 3.0 to 3.13" in " ".join(COMMITTED.split())
    assert "contains the penalty: compare accuracies" in COMMITTED
    assert "Keras 3's:" not in "".join(path.read_text(encoding="utf-8") for path in CONF.glob("*.yaml"))


# --- the shipped answers on other numbers


TOLD_BY_ONE_SEED = ("mnist_collapse", "case_unscaled_inputs")  # they claim what learns, and no difference


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("case", ["as they are", "one seed", "nothing finite", "no spread"])
def test_every_document_gets_an_answer_from_any_tables(name, case):
    study = a_study(name, n=1 if case == "one seed" else 10, later=True)
    level = {"nothing finite": np.full(10, NAN), "no spread": np.full(10, 0.5)}.get(case, 0.5)
    rows = dict.fromkeys(study["rows"], level)
    text = text_of(study, rows, rows)
    claims = (study["answer"] or {"claims": [0] * 3})["claims"]
    judgements = re.findall(r"\*\*(Holds|Does not|Cannot|Not measured)", text)
    assert study["question"].split()[0] in text
    assert text.count("\n- ") == len(claims) == len(judgements)
    assert not re.search(r"\b(nan|inf|None|True|False)\b|\{[{%]", text.replace("regularizer=None", ""))
    assert "Cannot be told with 1 seed." in text or case != "one seed" or name in TOLD_BY_ONE_SEED


@pytest.mark.parametrize("name", STUDIES)
def test_no_measured_number_is_typed(name):
    """Between the expressions only coefficients, rates and margins stand, none as fine as a result."""
    study = a_study(name)
    answer = study["answer"] or {"measured": "", "claims": []}
    templates = [answer["measured"], *(item[part] for item in answer["claims"] for part in ("claim", "because"))]
    templates += [item[part] for item in study["verdict"] for part in ("cause", "change", "sure", "otherwise")]
    for template in templates:
        prose = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", template, flags=re.DOTALL)
        assert not re.search(r"\d\.\d{3,}", re.sub(r"\w+\(0\.\d+\)|(of|at|At|Use) 0\.0+1", "", prose)), prose


HARMED = {"kernel_l1_1e-3": 0.46}
OPEN = "Cannot be told with 10 seeds."


@pytest.mark.parametrize(
    ("beginning", "values", "expected"),
    [
        ("A wrong coefficient harms", {}, OPEN),
        ("A wrong coefficient harms", HARMED, "Holds."),
        ("L2(0.0001) on the kernel", HARMED, OPEN),
        ("L2(0.0001) on the kernel", {"kernel_l2_1e-4": 0.495}, "Does not hold."),
        ("L2(0.0001) on the kernel", {"kernel_l2_1e-4": 0.5015}, OPEN),
        ("L2(0.0001) on the kernel", {"kernel_l2_1e-4": 0.51}, "Holds."),
        ("l2, l1_l2", {}, "Holds."),
        ("l2, l1_l2", {"bias_l2_1e-4": 0.505}, OPEN),
        ("l2, l1_l2", {"bias_l2_1e-4": 0.52}, "Does not hold."),
        ("l1(0.0001) makes little", {}, "Not measured yet."),
        ("On MNIST all", {}, "Holds."),
        ("On MNIST all", HARMED, "Does not hold."),
        ("The page's figures fit both", {}, "Not measured yet."),
    ],
)
def test_comparison(beginning, values, expected):
    assert judgement(text_of(a_study("mnist_comparison"), values), beginning) == expected


def test_comparison_holds_the_figures_against_one_run():
    study = a_study("mnist_comparison")
    reported = {row: part["reported"] for row, part in study["rows"].items()}
    assert judgement(text_of(study, reported), "The reported figures") == "Holds."
    text = text_of(study, reported | {"kernel_activity_l2_1e-4": 0.9})  # another reading of its line still fits
    assert judgement(text, "The reported figures") == "Holds."
    text = text_of(study, reported | {"none": 0.96})
    assert judgement(text, "The reported figures") == "Does not hold."
    assert "11 of 12 figures" in claim(text, "The reported figures")


def test_two_readings_of_the_page_are_ranked_by_their_likelihood():
    study = a_study("mnist_comparison")
    kernel = ("l1_1e-3", "l2_1e-3", "l2_1e-4", "l1_l2_1e-4", "bias_l2_1e-4", "bias_activity_l2_1e-4")
    for key in (f"kernel_{name}" for name in kernel):
        study["rows"][f"both_{key}"] = {**study["rows"][key], "beyond": True}
    reported = {row: part["reported"] for row, part in study["rows"].items()}
    both = reported | {"kernel_l1_1e-3": 0.956}
    alone = {"claim": "C.", "holds": 'likelier("both_", "kernel_l1_1e-3")', "because": "b", "needs": []}
    without_l1 = {"measured": "x", "claims": [alone]}
    text = text_of(study, both)
    assert judgement(text, "The page's figures fit both") == "Holds."
    assert re.search(r"without the line l1\(0\.001\), 1(\.\d)? times", text)  # all the others are alike
    assert judgement(text_of({**study, "answer": without_l1}, both), "C.") == OPEN
    first = reported | {"both_kernel_l1_1e-3": 0.956}
    assert judgement(text_of(study, first), "The page's figures fit both") == "Does not hold."
    assert judgement(text_of(study, reported), "The page's figures fit both") == OPEN


TWICE = ("l2_1e-4_twice", "l2_1e-2_twice")
SHOWN = ("l2_1e-4_dropout_50", "l2_1e-2_dropout_50")
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
        (SHOWN, {"without", "with", "dropout"}),
        ((*SHOWN, "l2_1e-2_dropout_20"), {"without", "with"}),
        ((*SHOWN, *TWICE), {"without", "with", "dropout"}),
        (("none_dropout_50",), set()),
    ],
)
def test_collapse_is_settled_by_who_learns(stuck, holding):
    text = text_of(a_study("mnist_collapse"), diagnosis=dict.fromkeys(stuck, "not learning"))
    found = {name: judgement(text, beginning) for name, beginning in COLLAPSE.items()}
    assert found == {name: "Holds." if name in holding else "Does not hold." for name in COLLAPSE}
    assert f"{len(stuck) or 'none'} do not learn" in text


def test_a_net_that_has_hardly_left_the_plateau_leaves_it_open():
    stuck = dict.fromkeys(TWICE, "not learning") | {"none_twice": "barely learning"}
    values = {"none_twice": 0.23} | dict.fromkeys(TWICE, 0.1064)
    text = text_of(a_study("mnist_collapse"), values, diagnosis=stuck)
    assert judgement(text, COLLAPSE["twice"]) == OPEN


def test_collapse_compares_the_distance_to_the_log_with_that_of_the_seeds():
    study = a_study("mnist_collapse")
    far, limit = dict.fromkeys(study["rows"], 1.8), dict.fromkeys(study["rows"], 1.67)
    text = text_of(study, log_distance=far | {TWICE[1]: 0.79}, log_limit=limit)
    assert judgement(text, "The reported log looks") == "Holds."
    assert "inputs / 255 twice` (0.8 against 1.7):" in claim(text, "The reported log looks")
    assert judgement(text_of(study, log_distance=far, log_limit=limit), "The reported log looks") == "Does not hold."


@pytest.mark.parametrize("name", ["cifar10_small", "cifar10_deep"])
@pytest.mark.parametrize(
    ("l2", "gentle", "expected"),
    [(0.4, 0.5, ["Holds.", "Holds."]), (0.5, 0.48, [OPEN, OPEN]), (0.6, 0.4, ["Does not hold.", "Does not hold."])],
)
def test_cnn(name, l2, gentle, expected):
    text = text_of(a_study(name), {"l2_1e-2": l2, "l2_1e-4": gentle}, norms={"l2_1e-2": 0.1})
    assert [judgement(text, beginning) for beginning in ("L2(0.01) lowers", "A rule: with a hundredth")] == expected
    assert judgement(text, "At a learning rate of 0.0001") == "Not measured yet."


@pytest.mark.parametrize(("slow", "expected"), [(0.5, ["Holds.", "Holds."]), (0.4, [OPEN, "Does not hold."])])
def test_the_learning_rate_rows_say_whether_the_harm_is_theirs(slow, expected):
    study = a_study("cifar10_small")
    for row in ("none_lr_1e-4", "l2_1e-2_lr_1e-4"):
        study["rows"][row] = {**study["rows"]["l2_1e-3"]}
    text = text_of(study, {"l2_1e-2": 0.4, "l2_1e-2_lr_1e-4": slow}, norms={"l2_1e-2": 0.1}, keep_verdict=True)
    assert [judgement(text, one) for one in ("At a learning rate of 0.0001", "At 0.0001 it costs nothing")] == expected
    assert ("The learning rate has a large part in the harm" in text) == (expected[0] == "Holds.")


def test_deep_cnn():
    beginnings = ("With regularizers the training", "The validation accuracy stays around 0.0100")
    study = a_study("cifar10_deep")
    assert [judgement(text_of(study, {"l2_1e-2": 0.3}), one) for one in beginnings] == ["Does not hold."] * 2
    text = text_of(study, {"l2_1e-2": 0.01}, diagnosis={"l2_1e-2": "not learning"})
    assert [judgement(text, one) for one in beginnings] == ["Holds."] * 2


KIN8NM = (
    "L2(0.001) closes",
    "The price",
    "Whoever uses the net",
    "L2(0.0001) lies",
    "L2(0.0001) gives both",
    "Dropout",
    "Reducing L2",
)


@pytest.mark.parametrize(
    ("train", "validation", "holding"),
    [
        ((0.01, 0.08, 0.04, 0.09), (0.085, 0.081, 0.065, 0.09), [0, 1, 2, 3, 6]),
        ((0.01, 0.08, 0.015, 0.018), (0.085, 0.081, 0.022, 0.02), [0, 1, 2, 3, 4, 5, 6]),
        ((0.05, 0.06, 0.07, 0.09), (0.09, 0.095, 0.1, 0.15), []),
    ],
)
def test_kin8nm(train, validation, holding):
    rows = ("l2_0", "l2_1e-3", "l2_1e-4", "dropout_20")
    train, values = (
        {row: level + 0.0002 * NOISE[i + first] for i, (row, level) in enumerate(zip(rows, levels, strict=True))}
        for first, levels in ((40, train), (50, validation))
    )
    text = text_of(a_study("kin8nm_regression"), values, train)
    expected = ["Holds." if i in holding else "Does not hold." for i in range(len(KIN8NM))]
    assert [judgement(text, beginning) for beginning in KIN8NM] == expected


def test_first_chapter():
    study = a_study("mnist_first_chapter")
    beginnings = ("The loss is NaN", "The net needs", "With sigmoid", "Crossentropy", "If the loss", "The book's net")
    linear = ("linear_mse_lr_1e-1", "linear_mse_lr_1e-2", "linear_mse_lr_1e-3", "linear_mse_lr_1e-4")
    diverged = dict.fromkeys(("linear_mse_lr_3", "linear_mse_lr_1e-1"), "diverged")
    values = {"linear_mse_lr_3": np.full(10, 0.098), study["baseline"]: 0.9425, "sigmoid_sigmoid_mse_lr_15": 0.951}
    values |= {"sigmoid_softmax_crossentropy_lr_3": 0.93}
    facts = {"diagnosis": diverged, "reproduced": {"linear_mse_lr_3": "yes"}}
    text = text_of(study, values, not_finite={"linear_mse_lr_3": 10}, **facts)
    expected = ["Holds.", "Holds.", "Holds.", "Does not hold.", "Holds.", "Holds."]
    assert [judgement(text, beginning) for beginning in beginnings] == expected
    assert "in 10 of 10 seeds" in text
    facts["diagnosis"] = dict.fromkeys(("linear_mse_lr_3", *linear), "diverged")
    values |= {study["baseline"]: 0.91, "sigmoid_sigmoid_mse_lr_15": 0.9}
    text = text_of(study, values, not_finite={"linear_mse_lr_3": 9}, **facts)
    expected = ["Does not hold.", "Does not hold.", "Does not hold.", "Holds.", "Does not hold.", "Does not hold."]
    assert [judgement(text, beginning) for beginning in beginnings] == expected


# --- verdicts


def test_a_verdict_that_no_longer_holds_stops_in_one_line():
    study = a_study("kin8nm_regression")
    with pytest.raises(
        UserError, match=r"^conf/study/kin8nm_regression\.yaml: verdict: none holds any more: "
    ) as error:
        text_of(study, keep_verdict=True)
    assert "\n" not in str(error.value) and 'row("l2_1e-3").better' in str(error.value)


def test_the_first_verdict_that_holds_and_whose_rows_are_there_is_said():
    sharp = {**GENERAL[0], "cause": "sharp", "needs": ["not_there"]}
    wrong = {**GENERAL[0], "cause": "wrong", "holds": ["true", "none"]}
    right = {**GENERAL[0], "cause": "right {{ n }}"}
    study = a_study("digits_comparison", verdict=[sharp, wrong, right, GENERAL[0]])
    assert answers.answer(study, constructed(study)).verdict.cause == "right 10"
    with pytest.raises(UserError, match="all need rows that are missing"):
        answers.answer({**study, "verdict": [sharp]}, constructed(study))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_verdict_is_four_short_sentences_and_a_line_of_keras(name):
    found = re.search(r"(?m)^\*\*Verdict\.\*\* (.*)\n\n```python\n(.*)\n```", section(a_study(name)["title"]))
    assert found and len(re.findall(r"\.(?= |$)", re.sub(r"`[^`]*`", "", found[1]))) == 4, found[1]
    assert len(found[1]) < 900 and len(found[2]) < 80


@pytest.mark.parametrize(
    ("values", "diagnosis", "cause"),
    [
        ({}, {}, "No regularizer of this study does harm"),
        ({"kernel_l1_1e-3": 0.4}, {}, "Too strong a regularizer harms here: `kernel_regularizer=l1(0.001)`"),
        ({"kernel_l1_1e-3": 0.1}, {"kernel_l1_1e-3": "not learning"}, "The regularizer stops the net"),
        ({}, {"none": "not learning"}, "The row that the others are compared with"),
    ],
)
def test_a_study_without_an_answer_gets_a_general_one(values, diagnosis, cause):
    study = a_study("digits_comparison", answer=None, verdict=[])
    del study["rows"]["kernel_l1_1e-1"]
    found = answers.answer(study, constructed(study, values, diagnosis=diagnosis))
    assert found.verdict.cause.startswith(cause)
    assert "no row does better than" in found.verdict.change
    assert found.verdict.snippet == "kernel_regularizer=keras.regularizers.L1L2(l2=0.0001), keras.layers.Dropout(0.5)"
    helps, harms, learn = (one.holds for one in found.claims)
    assert (helps, harms) == (None, True if values else None)
    assert learn == (not diagnosis)


def test_only_a_row_that_is_better_after_holms_adjustment_is_advised():
    """The row with the best mean has a wide spread: with p = 0.02 alone it is better, among 14 rows it is not."""
    study = a_study("digits_comparison", answer=None, verdict=[])
    wide = 0.6 + 0.12 * (NOISE[1] - NOISE[1].mean()) / NOISE[1].std()
    found = answers.answer(study, constructed(study, {"kernel_l2_1e-3": 0.55, "kernel_l2_1e-4": wide}))
    assert found.verdict.cause.startswith("Other regularization does better")
    assert "l2(0.0001)" not in found.verdict.cause
    assert found.verdict.change == "Take `kernel_regularizer=l2(0.001)`."


# --- what is made of two rows, and tests that are counted


def an_estimate(values, tests=None, **options):
    return Estimate(np.array(values, float), tests or Families(), **options)


def test_an_estimate_is_decided_by_a_t_test():
    values = 1 + 0.1 * NOISE[0]
    estimate = an_estimate(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))
    inside, outside = (low + high) / 2, high + 0.001
    assert [estimate.above(value) for value in (low - 0.001, inside, outside)] == [True, None, False]
    assert [estimate.below(value) for value in (low - 0.001, inside, outside)] == [False, None, True]
    unknown = an_estimate([1.0] * 10)
    assert [unknown.above(0), unknown.below(0), unknown.between(0, 2)] == [None, None, None]


def test_equivalence_is_decided_by_two_one_sided_tests():
    values = 0.1 * NOISE[0]
    inside = stats.t.interval(0.90, 9, values.mean(), stats.sem(values))  # the 90 % interval, not the 95 % one
    estimate = an_estimate(values)
    assert estimate.between(inside[0] - 0.001, inside[1] + 0.001) is True
    assert estimate.between(inside[0] + 0.001, inside[1] + 0.1) is None
    assert estimate.between(1, 2) is False
    assert estimate.between(0.04, 0.05) is None


def test_differences_and_ratios_are_paired():
    for a, b in NOISE[:20].reshape(10, 2, 10):
        ours, theirs = 3 + a + 0.1 * b, 2 + 0.5 * a  # they move together: unpaired intervals would be far wider
        difference = an_estimate(ours) - an_estimate(theirs)
        paired = statistics.paired_difference(ours, theirs)
        assert (difference.mean, difference.low, difference.high) == pytest.approx(
            (paired.mean, paired.low, paired.high)
        )
        ratio = an_estimate(ours + 5) / an_estimate(theirs + 5)
        for end in ratio.interval():  # Fieller: at an end r of the interval, r is just rejected
            assert stats.ttest_rel(ours + 5, end * (theirs + 5)).pvalue == pytest.approx(0.05)
        assert ratio.above(ratio.interval()[0] - 0.01) is True and ratio.below(ratio.mean) is None
    assert math.isnan((an_estimate(NOISE[0]) / an_estimate(NOISE[1] - 0.1)).interval()[0])


def test_no_interval_leaves_what_is_possible():
    near = an_estimate([0.99, 0.9, 1.0], limits=(0.0, 1.0))
    assert near.high == 1.0 and (near - near.times(0.5)).limits == (-0.5, 1.0)


def test_two_groups_have_a_median_and_a_sign_test():
    values = 0.94 + 0.003 * NOISE[0]
    values[3] = 0.85
    stuck, other = an_estimate(values), an_estimate(0.95 + 0.003 * NOISE[1])
    assert stuck.mean == np.median(values) and stuck.high < 0.95
    assert stuck.above(stuck.mean) is None and stuck.above(0.9) is True  # 9 of 10 above: p = 0.02
    assert (other - stuck).mean == np.median(other.values - values)
    assert math.isnan((stuck / other).interval()[0])


def test_holm_counts_every_test_of_its_family_once():
    tests = Families()
    borderline = np.linspace(-1, 1, 10) * 0.001 + 0.00055
    estimate = an_estimate(borderline, tests)
    p = stats.ttest_1samp(borderline, 0).pvalue
    assert 0.01 < p < 0.05 and estimate.above(0) is True
    for _ in range(3):
        estimate.below(0)  # the same test
    beyond = [an_estimate(NOISE[i], tests, beyond=True) for i in range(10)]
    for one in beyond:
        one.above(0)
    tests.adjust()
    assert estimate.above(0) is True
    tests = Families()
    for i in range(10):
        an_estimate(NOISE[i], tests).above(0)
    an_estimate(borderline, tests).above(0)
    tests.adjust()
    assert an_estimate(borderline, tests).above(0) is None
    assert (an_estimate(borderline, tests) - an_estimate(np.zeros(10), tests, beyond=True)).beyond is True


@pytest.mark.parametrize(
    ("values", "sign", "text"),
    [
        ([0.976, 0.977, 0.978, 0.9775], "", "0.9771 [0.9758, 0.9785]"),
        ([-0.034, -0.036, -0.035], "+", "-0.0350 [-0.0375, -0.0325]"),
        ([0.001, 0.0, -0.001], "+", "+0.0000 [-0.0025, +0.0025]"),
        ([0.5], "", "0.5000"),
        ([0.5], "+", "+0.5000 [–]"),
        ([NAN], "", "–"),
    ],
)
def test_an_estimate_prints_the_digits_it_supports(values, sign, text):
    assert str(an_estimate(values, sign=sign)) == text


@pytest.mark.parametrize("noise", [pytest.param(simulation.normal, marks=pytest.mark.long), simulation.skewed])
def test_simulated_studies_without_effect_are_wrong_in_one_of_twenty_at_most(monkeypatch, noise):
    monkeypatch.setattr("gc.collect", int)  # statsmodels collects garbage in every call: most of the time
    assert simulation.rate(simulation.wrong_claims, 100, noise) <= 0.05
    assert 0.93 <= simulation.rate(simulation.held, 2000, noise) <= 0.97
    assert 0.92 <= simulation.rate(simulation.held, 500, noise, 12) <= 0.97  # far out in the tails skewness shows
    assert simulation.rate(simulation.named, 200, noise, 1) >= 0.99
    assert simulation.rate(simulation.named, 200, noise, 0) >= 0.99


def test_findings_combine_with_three_values():
    assert [all_of(True, True), all_of(True, None), all_of(None, False), all_of()] == [True, None, False, None]
    assert [all_of([True, None], True), any_of([False], True), all_of([])] == [None, True, None]
    assert [any_of(False, False), any_of(False, None), any_of(None, True), any_of()] == [False, None, True, None]
    assert [opposite(True), opposite(False), opposite(None)] == [False, True, None]


# --- the vocabulary


def test_better_is_by_holm_and_in_the_direction_of_the_metric():
    row = 'row("l2_1e-4").better'
    assert judged(row, {"l2_1e-4": 0.4}, study="kin8nm_regression") == "Holds."
    assert judged(row, {"l2_1e-4": 0.6}, study="kin8nm_regression") == "Does not hold."
    assert judged(row, {"l2_1e-4": 0.6}, study="cifar10_small") == "Holds."


def test_a_claim_about_rows_that_are_not_there_is_not_measured_yet():
    assert judged('row("later").better', needs=["later"]) == "Not measured yet."
    assert judged('row("none").learns', needs=["none"]) == "Holds."


def test_texts_of_a_row():
    values = {"linear": [NAN] * 9 + [0.9], "bias_l2_1e-4": np.full(10, NAN)}
    assert said('{{ row("linear").measured }}', values) == "0.9000 (1 of 10 finite)"
    assert said('{{ row("bias_l2_1e-4").measured }}', values) == "not finite in any of 10 seeds"
    assert said("{{ baseline.measured }}", {"none": [0.4, 0.6] * 5}) == "0.50 ± 0.11 (10)"
    assert said("{{ others[-2:] | listed }}", study="cifar10_deep").endswith("`, `AdamW(weight_decay=0.02)`")
    assert said('{{ [] | listed("label") }}') == "none"
    assert said("{{ best.label }} {{ advised.label }}", {"linear": 0.6, "kernel_l2_1e-4": 0.55}) == (
        "`activation='linear'` `kernel_regularizer=l2(0.0001)`"
    )
    assert said('{{ none | say("a", "b", "c") }}{{ true | say("a", "b", "c") }}') == "ca"
    assert said('{{ row("linear").norm("dense_1/kernel") }}', norms={"linear": 7.04}) == "7.04"
    assert said('{{ row("linear").mean_after("val_accuracy", 2, "none") }}') == "+0.00"
    lost = {"linear": "1 of 10 seeds ends at 0.1, the others at 0.5"}
    assert said('{{ row("linear").groups }}{{ baseline.groups }}', groups=lost) == lost["linear"]
    assert said('{{ row("linear").highest }}', {"linear": [0.4, 0.6] * 5}) == "0.6"
    assert said('{{ baseline.epochs_over("loss", 0.4) }} {{ baseline.epochs_over("loss", 0.5) }}.') == (
        "1, 2, 3, 4, 5, 109, 604 ."
    )
    assert said("{{ baseline.penalty_share.percent }} {{ baseline.penalty_share_in(1).percent }}") == "10 % 50 %"


def test_a_document_s_page_is_linked_where_it_names_one():
    text = text_of(a_study("cifar10_deep"))
    assert "124728)](https://datascience.stackexchange.com/questions/124728))*" in text


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
        ('{{ baseline.not_finite("lss", 1) }}', "has no lss"),
        ('{{ baseline.norm("dense_9/kernel") }}', "has no weights dense_9/kernel"),
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
        judged(expression)


# --- the stage


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Two studies as compose and aggregate leave them, both without an answer of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["answers"])
    for name in ("digits_comparison", "kin8nm_regression"):
        study = a_study(name, answer=None, verdict=[])
        frames = constructed(study)
        _write(f"build/studies/{name}.yaml", OmegaConf.to_yaml({k: v for k, v in study.items() if k not in SAID}))
        _write(f"build/answers/{name}.yaml", OmegaConf.to_yaml({k: study[k] for k in SAID}))
        for part, (ending, schema) in FILES.items():
            _write(f"results/tables/{name}{ending}.csv", to_csv(getattr(frames, part), schema, part))
    _write("build/grid.yaml", "nets: {}\ncurves: {}\n")
    _write("build/answers/grid.yaml", "claims: []\n")
    _write("params.yaml", "studies: {digits_comparison: {}, kin8nm_regression: {}}\n")
    return tmp_path


def _write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def test_the_stage_writes_the_answers_of_the_selected_studies(workspace):
    stage.main()
    text = Path("results/answers.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## (.*)$", text) == [
        "Which regularizer, and how strong? (scikit-learn's digits)",
        "L2 raises the training error",
    ]
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
