"""Figures: the right marks at the right places, the same bytes every time, and no table that they do not survive."""

import json
import math
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
import test_records
from matplotlib.colors import to_hex

from stages import plot
from stages.core.base.errors import UserError
from stages.core.figures import draw, style, svg
from stages.core.figures.answer import answer
from stages.core.figures.curves import curves as learning_curves
from stages.core.figures.differences import BELOW, differences, groups
from stages.core.figures.frames import thinned
from stages.core.figures.generalization import generalization
from stages.core.figures.heatmap import effects
from stages.core.figures.log import log_distances
from stages.core.figures.loss import losses
from stages.core.figures.norms import kernel_norms
from stages.core.figures.response import responses
from stages.core.records import records
from stages.core.results import tables
from stages.core.results.checked_csv import to_csv
from stages.core.results.table_schemas import CURVES, SEEDS, TABLE, WEIGHTS

NAN = math.nan
ROWS = {  # label, kind, coefficients, context, reported, measured
    "none": ("no regularizer", "none", {}, "", 0.97, 0.97),
    "l2": ("kernel_regularizer=l2(0.001)", "kernel l2", {"kernel": {"l2": 1e-3}}, "", 0.95, 0.94),
    "bias": ("bias_regularizer=l2(0.0001)", "bias l2", {"bias": {"l2": 1e-4}}, "", None, 0.971),
    "linear": ("activation='linear'", "none", {}, "activation=linear", 0.92, 0.92),
    "linear_l2": (
        "activation='linear', kernel_regularizer=l2(0.001), bias_regularizer=l2(0.001)",
        "mixed",
        {"kernel": {"l2": 1e-3}},
        "activation=linear",
        None,
        0.91,
    ),
    "lost": ("learning rate 3", "none", {}, "lr=3", None, NAN),
}
NOISE = np.array([-0.002, 0.0, 0.001, 0.001])


def a_study(**changes):
    rows = {
        row: {"label": label, "regularizer": kind, "regularizers": terms, "context": context, "reported": reported}
        for row, (label, kind, terms, context, reported, _) in ROWS.items()
    }
    return {
        "name": "toy",
        "metric": "test.accuracy",
        "higher_is_better": True,
        "baseline": "none",
        "asked": "l2",
        "fixed": "none",
        "n_seeds": len(NOISE),
        "rows": rows,
        **changes,
    }


def a_table():
    base = ROWS["none"][5]
    lines = []
    for row, (*_, mean) in ROWS.items():
        change = NAN if row == "none" else mean - base
        half = NAN if row == "linear_l2" else 0.002
        lines.append(
            {
                "row": row,
                "reported": ROWS[row][4] or NAN,
                "n_finite": 0 if math.isnan(mean) else len(NOISE),
                "mean": mean,
                "difference": change,
                "difference_low": change - half,
                "difference_high": change + half,
                "p_holm": 0.01 if row in ("l2", "linear") else 0.4,
                "diagnosis": "diverged" if row == "lost" else "learning",
            }
        )
    return pd.DataFrame(lines)


def a_seeds_table():
    return pd.DataFrame(
        [
            {"row": row, "seed": seed, "train": mean + 0.02 + noise / 2, "validation": NAN, "test": mean + noise}
            for row, (*_, mean) in ROWS.items()
            for seed, noise in enumerate(NOISE)
        ]
    )


def some_curves(epochs=4):
    lines = []
    for row, (_, _, terms, *_, mean) in ROWS.items():
        for seed, noise in enumerate(NOISE):
            for epoch in range(1, epochs + 1):
                value = mean - 0.1 / epoch + noise
                loss = NAN if row == "lost" and seed else 0.5 / epoch
                penalty = 0.3 * loss if "kernel" in terms else 1e-4 * loss if terms else 0.0
                lines.append(
                    {
                        **{"row": row, "seed": seed, "epoch": epoch, "accuracy": value + 0.02, "val_accuracy": value},
                        **{"loss": loss + penalty, "data_loss": loss, "penalty": penalty},
                    }
                )
    return pd.DataFrame(lines)


def marks(axes, label):
    """All finite (x, y) that an axes draws under a label."""
    lines = [line for line in axes.lines if line.get_label() == label]
    return [tuple(point) for line in lines for point in line.get_xydata() if np.isfinite(point).all()]


def texts(figure):
    found = [text for axes in figure.axes for text in axes.texts]
    found += [text for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in found]


# --- each figure


def test_differences_stand_at_the_tables_figures_and_say_them():
    study, table = a_study(), a_table()
    first, second = differences(study, table, a_seeds_table()).axes
    assert marks(first, "l2") == [(pytest.approx(-0.03), 1)]
    assert marks(second, "linear_l2") == [(pytest.approx(-0.06), 1)]
    segments = [line.get_segments()[0] for line in first.collections if hasattr(line, "get_segments")]
    (interval,) = [segment for segment in segments if len(segment) and segment[0][1] == 1]
    assert interval[:, 0] == pytest.approx([-0.032, -0.028])
    said = [text.get_text() for text in first.texts]
    assert said == ["baseline", "−0.0300 [−0.0320, −0.0280]", "+0.0010 [−0.0010, +0.0030]", style.DIVERGED]
    assert [text.get_text() for text in second.texts] == ["−0.0500 [−0.0520, −0.0480]", "−0.0600"]
    faces = {line.get_label(): line.get_markerfacecolor() for line in first.lines}
    assert faces["bias"] == "white" and faces["l2"] != "white"  # only what is more than noise is filled
    assert marks(first, "reported") == [(0, BELOW), (pytest.approx(-0.02), 1 + BELOW)]
    dots = np.concatenate([dots.get_offsets() for dots in first.collections if dots.get_offsets().shape[0] > 1])
    assert sorted(dots[dots[:, 1] == 1][:, 0]) == pytest.approx([-0.03] * 4)  # l2 has the baseline's own noise


def test_rows_that_share_a_further_change_stand_apart():
    assert groups(a_study()) == {"": ["none", "l2", "bias", "lost"], "linear": ["linear", "linear_l2"]}


def test_reported_figures_of_other_data_are_no_differences():
    first, _ = differences(a_study(same_data=False), a_table(), a_seeds_table()).axes
    assert marks(first, "reported") == []


def test_the_answer_shows_every_seed_and_their_mean():
    figure = answer(a_study(), some_curves(), guess=0.1)
    (axes,) = figure.axes
    thick = {to_hex(line.get_color()): line for line in axes.lines if line.get_linewidth() > 2}
    thin = [line for line in axes.lines if line.get_linewidth() < 0.7]
    assert len(thin) == 2 * len(NOISE)
    assert thick[style.ASKED].get_ydata()[-1] == pytest.approx(0.94 - 0.025)
    assert thick[style.FIXED].get_ydata()[-1] == pytest.approx(0.97 - 0.025)
    (reported,) = [line for line in axes.lines if line.get_marker() == "D"]
    assert reported.get_xydata().tolist() == [[4, 0.95], [4, 0.97]]
    assert "before: kernel l2(0.001)" in texts(figure) and "guessing" not in texts(figure)  # 0.1 is far off
    assert "guessing" in texts(answer(a_study(), some_curves(), guess=0.88))
    assert answer(a_study(asked=None), some_curves(), 0.1) is None


def test_an_asked_row_that_diverges_says_so():
    figure = answer(a_study(asked="lost"), some_curves(), guess=NAN)
    (before,) = [text for text in texts(figure) if text.startswith("before: ")]
    assert before.endswith(f"\n{style.DIVERGED}, no curve")
    assert not figure.axes[0].texts  # among the curves it reads as a point


def test_the_training_curve_is_said_to_have_dropout_only_where_it_has():
    assert "dotted: training, as Keras prints it" in texts(answer(a_study(), some_curves(), guess=NAN))
    study = a_study()
    study["rows"]["l2"]["dropout"] = 0.5
    assert "dotted: training, dropout on, as Keras prints it" in texts(answer(study, some_curves(), guess=NAN))


def test_the_gap_is_worse_held_out_than_training_whichever_way_is_better():
    figure = generalization(a_study(), a_table(), a_seeds_table())
    gaps = [text for text in texts(figure) if "[0." in text]
    assert len(gaps) == 5 and all(text.startswith("0.0200") for text in gaps)
    error = generalization(a_study(metric="test.mae", higher_is_better=False), a_table(), a_seeds_table())
    assert sum("−0.0200" in text for text in texts(error)) == 5
    assert style.DIVERGED in texts(figure)
    (axes,) = figure.axes
    assert marks(axes, "test")[1] == (pytest.approx(0.94), 1)
    assert generalization(a_study(), a_table(), a_seeds_table().assign(test=NAN)) is None


def test_curves_have_a_panel_a_row_and_a_band_from_the_lowest_to_the_highest_seed():
    figure = learning_curves(a_study(), a_table(), some_curves())
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["no regularizer", "kernel l2(0.001)"]
    band = figure.axes[1].collections[0].get_paths()[0].vertices
    last = band[band[:, 0] == 4][:, 1]
    assert (last.min(), last.max()) == (pytest.approx(0.915 - 0.002), pytest.approx(0.915 + 0.001))
    assert marks(figure.axes[1], "baseline")[-1] == (4, pytest.approx(0.945))
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert f"{style.DIVERGED} in 4 of 4 seeds" in texts(figure)


def test_the_loss_is_shown_where_a_penalty_is_seen_in_it():
    figure = losses(a_study(), a_table(), some_curves())
    assert len(figure.axes) == 2  # neither the rows without a penalty nor the one whose penalty is too small to see
    ends = {to_hex(line.get_color()): line.get_ydata()[-1] for line in figure.axes[0].lines}
    assert ends == {style.ASKED: pytest.approx(0.125 * 1.3), style.FIXED: pytest.approx(0.125)}
    assert losses(a_study(), a_table(), some_curves().assign(penalty=0.0)) is None


def test_norms_are_the_kernels_and_their_colour_the_ratio_to_the_baseline():
    names = ("conv2d_1/kernel", "conv2d_1/bias", "dense_1/kernel")
    lines = [
        {"row": row, "weight": name, "norm_mean": NAN if row == "lost" else 8.0 / (4 if row == "l2" else 1)}
        for row in ROWS
        for name in names
    ]
    figure = kernel_norms(a_study(), a_table(), pd.DataFrame(lines))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["conv2d_1", "dense_1"]
    assert texts(figure) == ["8", "8", "2", "2", "8", "8", "8", "8", "8", "8"]  # the lost row is grey
    ratios = figure.axes[0].collections[0].get_array()
    assert ratios[1].tolist() == [-2, -2] and ratios[0].tolist() == [0, 0]
    bare = {row: {**entry, "regularizers": {}} for row, entry in a_study()["rows"].items()}
    assert kernel_norms(a_study(rows=bare), a_table(), pd.DataFrame(lines)) is None


def test_distances_to_a_log_are_sorted_and_held_against_the_row_s_own_limit():
    found = [("a", "none", 40.0, 2.0), ("a", "l2", 1.5, 2.0), ("a", "lost", NAN, NAN), ("a", "bias", 2.5, 2.1)]
    frame = pd.DataFrame(found, columns=["log", "row", "distance", "limit"])
    (axes,) = log_distances(a_study(), frame).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["kernel l2(0.001)", "bias l2(0.0001)", "no regularizer", "learning rate 3"]
    assert [text.get_text() for text in axes.texts] == ["1.5, fits", "2.5", "40", style.DIVERGED]
    assert marks(axes, "limit")[:2] == [(2.0, 0), (2.1, 1)]
    both = pd.concat([frame, frame.assign(log="b")])
    assert [axes.get_title(loc="left") for axes in log_distances(a_study(), both).axes] == [
        "distance to the log “a”",
        "distance to the log “b”",
    ]
    assert log_distances(a_study(), frame[:0]) is None


def test_the_grid_is_grey_where_nothing_can_be_told():
    grid = pd.DataFrame(
        [("a", "l1", 0.1, True), ("a", "l2", -0.2, True), ("b", "l1", 0.01, False), ("b", "l2", NAN, False)],
        columns=["net", "regularization", "effect", "told"],
    )
    axes, _ = effects(grid, "Change in skill").axes
    shown = axes.collections[0].get_array()
    assert np.ma.getmaskarray(shown).tolist() == [[False, True], [False, True]]
    assert shown.compressed().tolist() == [0.1, -0.2]
    assert axes.collections[0].get_clim() == (-0.2, 0.2)
    assert [text.get_text() for text in axes.texts] == ["+0.100", "+0.010", "−0.200", "✕"]


def test_responses_show_means_bands_own_coefficients_and_where_each_tips():
    points = pd.DataFrame(
        [
            (curve, strength, seed, samples, skill + seed / 10)
            for curve in ("l1", "l2", "dropout")
            for strength, skill in ((1e-3, 0.8), (1e-2, 0.4), (1e-1, 0.0))
            for seed in range(3)
            for samples in ("training", "held-out")
        ],
        columns=["curve", "strength", "seed", "samples", "skill"],
    )
    figure = responses(points, "a net", own={"l2": 1e-2}, tipping={"l2": (5e-3, 5e-2), "l1": (1e-2, np.nan)})
    assert [axes.get_title("left") for axes in figure.axes] == ["l1", "l2", "dropout"]
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert figure.axes[1].lines[0].get_ydata() == pytest.approx([0.9, 0.5, 0.1])
    assert [len(axes.lines) for axes in figure.axes] == [2, 3, 2]  # the dashed line is the document's
    assert [len(axes.patches) for axes in figure.axes] == [0, 1, 0]
    assert {"the document's", "where it stops learning", "held-out samples, mean"} <= set(texts(figure))
    plain = texts(responses(points[points["samples"] == "training"], "a net", {}, {}))
    assert plain == ["training samples, mean", "from the lowest to the highest seed"]


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("M0 322.8L424.1 322.8L424.1 0L0 0z", "M0 322.8l424.1 0l0-322.8l-424.1 0z"),
        ("M1 1L0.5 1.2zL3 3M2 2L-1 -0.1", "M1 1l-.5 .2zl2 2M2 2l-3-2.1"),  # z goes back to the start
        ("M0.1 0.1" + "L0.2 0.3L0.1 0.1" * 50, "M.1 .1" + "l.1 .2l-.1-.2" * 50),  # and no error adds up
    ],
)
def test_lines_are_written_by_their_steps(path, steps):
    assert svg.LINES.fullmatch(path)
    assert svg.by_steps(path) == steps


def test_a_path_with_curves_stays_as_it_is():
    assert not svg.LINES.fullmatch("M0 2C0.5 2 1 1.8 1.4 1.4z")


@pytest.mark.parametrize(("epochs", "kept"), [(3, 3), (120, 120), (300, 101), (1000, 112)])
def test_long_curves_are_thinned_and_keep_their_ends(epochs, kept):
    found = thinned(pd.DataFrame({"epoch": np.arange(1, epochs + 1)}))["epoch"]
    assert (len(found), found.min(), found.max()) == (kept, 1, epochs)


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("kernel_regularizer=l2(0.1)", "kernel l2(0.1)"),
        (
            "activation='linear', kernel_regularizer=l2(0.1), bias_regularizer=l2(0.1), activity_regularizer=l2(0.1)",
            "linear, kernel + bias + activity l2(0.1)",
        ),
        ("kernel_regularizer=l2(0.1), bias_regularizer=l2(0.2)", "kernel l2(0.1), bias l2(0.2)"),
        ("kernel_regularizer=l1_l2(l1=0.1,\n l2=0.1)", "kernel l1_l2(l1=0.1, l2=0.1)"),
    ],
)
def test_labels_lose_what_they_repeat_and_no_number(label, shown):
    assert style.short(label) == shown


# --- as SVG


def all_figures(study=None):
    study = study or a_study()
    table, seeds, by_seed = a_table(), a_seeds_table(), some_curves()
    logs = pd.DataFrame([("a", "none", 4.0, 2.0)], columns=["log", "row", "distance", "limit"])
    figures = {
        "differences": differences(study, table, seeds),
        "answer": answer(study, by_seed, 0.1),
        "curves": learning_curves(study, table, by_seed),
        "generalization": generalization(study, table, seeds),
        "loss": losses(study, table, by_seed),
        "reported_log": log_distances(study, logs),
    }
    return {name: draw.to_svg(figure, f"toy-{name}") for name, figure in figures.items()}


@pytest.fixture(scope="module")
def figures():
    return all_figures()


def test_the_same_tables_give_the_same_bytes_whatever_matplotlibrc_says(figures):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.grid": False}):
        assert all_figures() == figures
    assert {name: matplotlib.rcParams[name] for name in before if name != "backend"} == {
        name: value for name, value in before.items() if name != "backend"
    }


def test_a_page_with_a_strict_policy_can_hold_all_figures_at_once(figures):
    """No style attribute or element, no id twice, every reference inside its own figure, text as text."""
    ids = []
    for name, drawing in figures.items():
        root = ElementTree.fromstring(drawing)
        own = [element.get("id") for element in root.iter() if element.get("id")]
        assert set(re.findall(rb'(?:url\(#|href="#)([\w-]+)', drawing)) == {identity.encode() for identity in own}
        assert not [element for element in root.iter() if "style" in element.attrib or element.tag.endswith("style")]
        assert root.find(f"{svg.SVG}title").text
        assert len(list(root.iter(f"{svg.SVG}text"))) > 5
        assert len(drawing) < 40_000, name
        ids += own
    assert len(set(ids)) == len(ids)


def test_dollars_and_markup_in_labels_are_text():
    study = a_study()
    study["rows"]["l2"]["label"] = "$\\alpha$ <b>&amp; 正則化"
    drawing = draw.to_svg(differences(study, a_table(), a_seeds_table()), "toy")
    shown = [element.text for element in ElementTree.fromstring(drawing).iter(f"{svg.SVG}text")]
    assert "$\\alpha$ <b>&amp; 正則化" in shown


def test_one_seed_and_one_row_can_be_drawn():
    study = a_study(n_seeds=1)
    study["rows"] = {"none": study["rows"]["none"]}
    table = a_table()[:1].assign(difference_low=NAN, difference_high=NAN, p_holm=NAN)
    seeds, by_seed = (
        frame[(frame["row"] == "none") & (frame["seed"] == 0)] for frame in (a_seeds_table(), some_curves(1))
    )
    for figure in (
        differences(study, table, seeds),
        learning_curves(study, table, by_seed),
        generalization(study, table, seeds),
    ):
        assert b"no regularizer" in draw.to_svg(figure, "one")


# --- the stage


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A study with a log, with everything that the stage reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plot", "plot@toy"])  # as DVC calls it
    log = {"epochs": [1, 2], **{name: [0.5, 0.6] for name in tables.LOG_COLUMNS}}
    study = test_records.a_study(reported_logs={"log": log}, asked="l2", fixed="none", figure_title="Toy")
    for row, kind in (("none", "none"), ("l2", "kernel l2")):
        study["rows"][row] |= {"regularizer": kind, "regularizers": {"kernel": {"l2": 0.1}} if row == "l2" else {}}
        config = test_records.a_config(row=row, l2=0.1 if row == "l2" else 0.0)
        record = test_records.a_record(config, test=[0.9, 0.91, 0.92], penalty=0.3 if row == "l2" else 0.0)
        write(f"results/runs/toy/{row}.json", records.to_json(record))
    summaries = {
        row: records.summarize(records.parse(Path(f"results/runs/toy/{row}.json").read_bytes(), row))
        for row in study["rows"]
    }
    curves = tables.curves_table(study, summaries)
    frames = {
        "": (tables.comparison_table(study, summaries, curves), TABLE),
        "_curves": (curves, CURVES),
        "_seeds": (tables.seeds_table(study, summaries), SEEDS),
        "_weights": (tables.weights_table(study, summaries), WEIGHTS),
    }
    for ending, (frame, schema) in frames.items():
        write(f"results/tables/toy{ending}.csv", to_csv(frame, schema, ending))
    write("build/studies/toy.yaml", json.dumps(study))
    return study


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def drawn():
    return {path.stem for path in Path("results/figures/toy").iterdir()}


def test_plot_draws_what_applies_and_removes_what_does_not(workspace):
    write("results/figures/toy/stale.svg", "stale")
    plot.main()
    everything = {"differences", "answer", "curves", "generalization", "loss", "kernel_norms", "reported_log"}
    assert drawn() == everything
    write("build/studies/toy.yaml", json.dumps({**workspace, "asked": None, "fixed": None}))
    plot.main()
    assert drawn() == {"differences"}  # a study that fixes nothing is a comparison alone
    case = {**workspace, "asked": None, "fixed": None, "figure": "loss"}
    write("build/studies/toy.yaml", json.dumps(case))
    plot.main()
    assert drawn() == {"loss"}


def test_plot_names_a_missing_file_and_the_stage_that_writes_it(workspace):
    Path("results/runs/toy/l2.json").unlink()
    with pytest.raises(UserError, match=r"results/runs/toy/l2\.json: .*train@toy/l2"):
        plot.main()
    Path("results/tables/toy.csv").unlink()
    with pytest.raises(UserError, match=r"results/tables/toy\.csv: .*aggregate@toy"):
        plot.main()
    assert not Path("results/figures").exists()


def test_plot_refuses_a_table_of_other_rows(workspace):
    path = Path("results/tables/toy.csv")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="does not have the study's rows"):
        plot.main()
