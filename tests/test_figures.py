"""Figures: the right marks at the right places, the same bytes every time, and no table that they do not survive."""

import math
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from stages import plot
from stages.core.base.errors import UserError
from stages.core.figures import draw
from stages.core.figures.coefficients import coefficients
from stages.core.figures.curves import learning_curves
from stages.core.figures.differences import BELOW, differences
from stages.core.figures.generalization import generalization
from stages.core.figures.log import LOG_COLUMNS, reported_log
from stages.core.figures.page import WIDTH, inches
from stages.core.figures.penalty import penalty_shares
from stages.core.figures.style import DIVERGED, INK, STYLES, style_of
from stages.core.figures.weights import weight_norms
from stages.core.results.checked_csv import to_csv
from stages.core.results.table_schemas import CURVES, SEEDS, TABLE, WEIGHTS

NAN = math.nan
ALWAYS = ["differences", "curves", "penalty", "coefficients", "generalization", "weight_norms"]
ROWS = {
    "none": ("no regularizer", "none", {}, 0.977, 0.9772),
    "l2_1e-3": ("kernel l2(0.001)", "kernel l2", {"kernel": {"l2": 1e-3}}, 0.969, 0.9701),
    "l2_1e-4": ("kernel l2(0.0001)", "kernel l2", {"kernel": {"l2": 1e-4}}, 0.9785, 0.9778),
    "bias": ("bias l2(0.0001)", "bias l2", {"bias": {"l2": 1e-4}}, None, 0.9773),
    "diverged": ("activations linear", "none", {}, 0.098, NAN),
}
KINDS = {"conv2d": ("kernel", "bias"), "batch_normalization": ("gamma", "beta")}
LOG = {
    "epochs": [1, 2],
    "loss": [2.4, 2.3],
    "accuracy": [0.1, 0.11],
    "val_loss": [2.3, 2.3],
    "val_accuracy": [0.1, 0.1],
}


def a_study(rows=None, n=10, **changes):
    """A study with its table and curves; a row is (label, kind, coefficients, reported, measured mean or NaN)."""
    rows = rows or ROWS
    study = {
        "name": "toy",
        "figure_title": "What a regularizer does",
        "dataset_title": "Toy digits",
        "metric": "test.accuracy",
        "higher_is_better": True,
        "baseline": next(iter(rows)),
        "n_seeds": n,
        "reported_logs": {},
        "rows": {
            key: {
                "label": label,
                "regularizer": kind,
                "regularizers": terms,
                "reported": reported,
                "reported_log": None,
            }
            for key, (label, kind, terms, reported, _) in rows.items()
        },
        **changes,
    }
    table = pd.DataFrame([_line(study, key, mean, n) for key, (*_, mean) in rows.items()])
    curves = pd.concat([_curve(study, key, mean, n) for key, (*_, mean) in rows.items()], ignore_index=True)
    return study, table, curves


def _line(study, key, mean, n):
    baseline = key == study["baseline"]
    base = ROWS["none"][4]
    many = n > 1
    reported = study["rows"][key]["reported"]
    difference = NAN if baseline else mean - base
    sd = 0.001 if many and math.isfinite(mean) else NAN
    return {
        "study": study["name"],
        "row": key,
        "label": study["rows"][key]["label"],
        "reported": NAN if reported is None else reported,
        "metric": study["metric"],
        "n": n,
        "n_finite": n if math.isfinite(mean) else 0,
        "mean": mean,
        "sd": sd,
        "difference": difference,
        "difference_low": difference - sd,
        "difference_high": difference + sd,
        "p_value": NAN,
        "p_holm": 0.01 if math.isfinite(difference) and many else NAN,
        "effect_size": NAN,
        "prediction_low": mean - 3 * sd,
        "prediction_high": mean + 3 * sd,
        "reproduced": "" if reported is None or not many else "yes" if abs(reported - mean) < 3 * sd else "no",
        "diagnosis": "learning" if math.isfinite(mean) else "diverged",
        "evidence": "constructed",
        "train": mean,
        "validation": NAN,
        "test": mean,
        "penalty_share": 0.3 if study["rows"][key]["regularizers"] else 0.0,
        "log_distance": NAN,
    }


def _curve(study, key, mean, n, epochs=(1, 2, 3)):
    share = 0.3 if study["rows"][key]["regularizers"] else 0.0
    lost = not math.isfinite(mean)
    values = {
        "loss": 0.5,
        "data_loss": 0.5 * (1 - share),
        "penalty": 0.5 * share,
        "penalty_share": share,
        "accuracy": mean,
        "val_loss": 0.6,
        "val_accuracy": mean,
    }
    lines = [
        (study["name"], key, epoch, quantity, 0 if lost else n, NAN if lost else value, 0.01 if n > 1 else NAN)
        for quantity, value in values.items()
        for epoch in epochs
    ]
    return pd.DataFrame(lines, columns=["study", "row", "epoch", "quantity", "n", "mean", "sd"])


def marks(axes, label):
    """All (x, y) that an axes draws under a label."""
    lines = [line for line in axes.lines if line.get_label() == label]
    return [tuple(point) for line in lines for point in line.get_xydata() if np.isfinite(point).all()]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [text.get_text() for text in figure.texts]


def settings():
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


def seeds_of(study, table):
    """Seeds that fit the table, training better by 0.01; two of them, or one."""
    lines = [
        (study["name"], row, seed, study["metric"].split(".")[1], mean + 0.01 + 0.002 * seed, NAN, mean + 0.001 * seed)
        for row, mean in zip(table["row"], table["mean"], strict=True)
        for seed in range(min(study["n_seeds"], 2))
    ]
    return pd.DataFrame(lines, columns=list(SEEDS.columns))


def weights_of(study, table, names=("dense_1/kernel", "dense_1/bias", "dense_2/kernel", "dense_2/bias")):
    """Norms 1, 2, ... in the order of the weights, a tenth of it for regularized rows, none without a mean."""
    lines = [
        (study["name"], row, name, study["n_seeds"], norm, 0.01 if study["n_seeds"] > 1 else NAN)
        for row, mean in zip(table["row"], table["mean"], strict=True)
        for position, name in enumerate(names)
        for norm in [(position + 1) * (0.1 if study["rows"][row]["regularizers"] else 1) + 0 * mean]
    ]
    return pd.DataFrame(lines, columns=list(WEIGHTS.columns))


def drawn(study, table, curves):
    return draw.draw(study, table, curves, seeds_of(study, table), weights_of(study, table))


def svgs(study, table, curves):
    return {name: draw.to_svg(figure) for name, figure in drawn(study, table, curves).items()}


def test_reported_differences_stand_at_the_documents_own_differences():
    study, table, _ = a_study()
    left, _ = differences(study, table).axes
    at = {round(y - BELOW): x for x, y in marks(left, "reported")}
    assert at == pytest.approx({0: 0.0, 1: 0.969 - 0.977, 2: 0.9785 - 0.977, 4: 0.098 - 0.977})


def test_differences_and_intervals_stand_at_the_tables_figures():
    study, table, _ = a_study()
    left, right = differences(study, table).axes
    assert marks(left, "none") == [(0, 0)]
    assert marks(left, "l2_1e-3") == [(pytest.approx(0.9701 - 0.9772), 1)]
    assert marks(right, "l2_1e-3") == [(pytest.approx(0.9701), 1)]
    intervals = [lines.get_segments()[0].tolist() for lines in left.collections if len(lines.get_segments()[0])]
    assert intervals[0] == [[pytest.approx(-0.0081), 1], [pytest.approx(-0.0061), 1]]


def test_a_reported_figure_outside_the_prediction_interval_is_filled():
    study, table, _ = a_study({**ROWS, "bias": ("b", "bias l2", {"bias": {"l2": 1e-4}}, 0.9, 0.9773)})
    _, right = differences(study, table).axes
    lines = [line for line in right.lines if line.get_label() == "reported"]
    faces = {round(y - BELOW): line.get_markerfacecolor() for line in lines for _, y in line.get_xydata()}
    assert {row: faces[row] for row in (0, 1, 2, 3)} == {0: "white", 1: "white", 2: "white", 3: INK}


def test_only_what_is_more_than_noise_is_filled():
    study, table, _ = a_study()
    table.loc[1, "p_holm"] = 0.5
    left, _ = differences(study, table).axes
    faces = {line.get_label(): line.get_markerfacecolor() for line in left.lines}
    assert faces["l2_1e-3"] == "white"
    assert faces["l2_1e-4"] == style_of("kernel l2").colour


def test_rows_keep_the_documents_order():
    study, table, _ = a_study()
    left, _ = differences(study, table).axes
    assert [label.get_text().replace("\u00a0", " ") for label in left.get_yticklabels()] == list(table["label"])
    assert left.get_ylim()[0] > left.get_ylim()[1]


@pytest.mark.parametrize("rows", [ROWS, dict.fromkeys(["a", "b"], ("row", "none", {}, None, NAN))])
def test_diverged_rows_are_shown_as_such(rows):
    study, table, curves = a_study(rows)
    lost = table["mean"].isna().sum()
    assert texts(differences(study, table)).count(DIVERGED) == 2 * lost
    assert texts(learning_curves(study, table, curves)).count(DIVERGED) == 2 * lost


def test_a_finite_row_without_a_finite_baseline_is_not_called_diverged():
    study, table, _ = a_study({"base": ("base", "none", {}, None, NAN), "row": ("row", "none", {}, None, 0.9)})
    table.loc[1, ["difference", "difference_low", "difference_high", "p_holm"]] = NAN
    shown = texts(differences(study, table))
    assert shown.count(DIVERGED) == 2
    assert "no finite pair" in shown


def test_curves_say_where_and_in_how_many_seeds_they_diverge():
    study, table, curves = a_study()
    accuracy = (curves["row"] == "bias") & (curves["quantity"] == "accuracy")
    curves.loc[accuracy & (curves["epoch"] >= 2), "mean"] = NAN
    curves.loc[(curves["row"] == "l2_1e-3") & (curves["quantity"] == "loss"), "n"] = 7
    shown = texts(learning_curves(study, table, curves))
    assert f"{DIVERGED} at epoch 2" in shown
    assert f"{DIVERGED} in 3 of 10 seeds" in shown


def test_every_panel_has_the_baseline_behind_and_all_share_one_scale():
    study, table, curves = a_study()
    panels = learning_curves(study, table, curves).axes
    assert len(panels) == 2 * len(table)
    for upper in panels[::2]:
        assert marks(upper, "baseline") == [(epoch, 0.9772) for epoch in (1, 2, 3)]
    assert len({axes.get_ylim() for axes in panels[::2]}) == 1


def test_penalty_shows_the_rows_that_have_one():
    study, table, curves = a_study()
    axes = penalty_shares(study, table, curves).axes[0]
    for row in ("l2_1e-3", "l2_1e-4", "bias"):
        assert marks(axes, row) == [(1, 0.3), (2, 0.3), (3, 0.3)]
    assert not marks(axes, "none")
    plain = a_study({"none": ROWS["none"]})
    assert penalty_shares(*plain) is None


def test_coefficients_stand_on_a_log_axis_with_the_documents_figures():
    study, table, _ = a_study()
    axes = coefficients(study, table).axes[0]
    assert axes.get_xscale() == "log"
    reported = dict(marks(axes, "reported"))
    assert {x: y for x, y in reported.items() if x > 5e-5} == pytest.approx({1e-4: 0.9785, 1e-3: 0.969})
    assert coefficients(*a_study({key: ROWS[key] for key in ("none", "bias", "l2_1e-3")})[:2]) is None


def test_coefficients_in_different_contexts_are_not_joined():
    rows = {f"r{i}": ("row", "kernel l2", {"kernel": {"l2": c}}, None, 0.9) for i, c in enumerate([1e-3, 1e-4] * 2)}
    study, table, _ = a_study(rows)
    measured = coefficients(study, table).axes[0].containers
    assert [container.lines[0].get_linestyle() for container in measured] == ["None"]
    for key in ("r2", "r3"):
        study["rows"][key]["context"] = "activation linear"
    measured = coefficients(study, table).axes[0].containers
    assert len(measured) == 2
    assert all(container.lines[0].get_linestyle() != "None" for container in measured)
    assert len({container.lines[0].get_color() for container in measured}) == 1


def test_the_reported_log_is_laid_over_every_row_that_names_it():
    study, table, curves = a_study(reported_logs={"page": LOG})
    for row in ("l2_1e-3", "l2_1e-4"):
        study["rows"][row]["reported_log"] = "page"
    table.loc[1:2, "log_distance"] = [9.0, 2.5]
    figure = reported_log(study, table, curves)
    assert len(figure.axes) == 2 * len(LOG_COLUMNS)
    for position, axes in enumerate(figure.axes):
        assert marks(axes, "reported") == list(zip(LOG["epochs"], LOG[LOG_COLUMNS[position // 2]], strict=True))
        assert [x for x, _ in marks(axes, "measured")] == [1, 2]
    (closest,) = [text for text in texts(figure) if "closest" in text]
    assert "0.0001" in closest and "2.5" in closest
    study["rows"]["l2_1e-3"]["reported_log"] = None  # one row alone is not the closest of anything
    assert not any("closest" in text for text in texts(reported_log(study, table, curves)))
    assert reported_log(*a_study()) is None


def test_colours_are_the_same_in_every_study_and_tell_the_kinds_apart():
    one = a_study()
    other = a_study({"x": ("x", "kernel l2", {}, None, 0.5), "y": ("y", "none", {}, None, 0.6)})
    colours = []
    for study, table, _ in (one, other):
        left, _ = differences(study, table).axes
        kinds = {row: entry["regularizer"] for row, entry in study["rows"].items()}
        colours.append({kinds[line.get_label()]: line.get_color() for line in left.lines if line.get_label() in kinds})
    assert colours[0]["kernel l2"] == colours[1]["kernel l2"] == STYLES["kernel l2"].colour
    assert colours[0]["none"] == colours[1]["none"]
    for looks in zip(*STYLES.values(), strict=True):
        assert len(set(map(str, looks))) == len(STYLES)
    assert "D" not in {style.marker for style in STYLES.values()}
    assert style_of("kernel l2 + something new") == STYLES["mixed"]


def test_the_same_table_gives_the_same_bytes_whatever_matplotlibrc_says():
    first = svgs(*a_study())
    before = settings()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert svgs(*a_study()) == first
    assert settings() == before
    assert set(first) == set(ALWAYS)
    assert not any(re.search(rb"<dc:date>|[Mm]atplotlib v", svg) for svg in first.values())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("count", "n"), [(1, 1), (1, 10), (30, 1)])
def test_any_number_of_rows_and_seeds_and_any_text_can_be_drawn(n, count):
    label = '核正則化 $a_1$ <b> & "參數" kernel l2(0.001) ' * 9
    rows = {f"r{i}": (f"{label}{i}", "kernel l2", {"kernel": {"l2": 10.0**-i}}, 0.9, 0.9) for i in range(count)}
    for svg in svgs(*a_study(rows, n, figure_title=label)).values():
        text = svg.decode()
        assert "核正則化" in text and "$a_1$" in text and "&lt;b&gt;" in text
        assert "Toy digits" in text
        assert f"<title>{label.strip().replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}" in text


@pytest.mark.filterwarnings("error")
def test_zero_variance_and_absurd_values_can_be_drawn():
    study, table, curves = a_study({"a": ("a", "none", {}, 0.9, 0.9), "b": ("b", "none", {}, 0.9, 0.9)})
    table[["sd", "difference_low", "difference_high", "difference"]] = 0.0
    curves["sd"] = 0.0
    svgs(study, table, curves)
    table.loc[1, ["difference", "difference_low", "difference_high", "mean"]] = [1e30, 0.9e30, 1.1e30, 1e30]
    curves.loc[curves["row"] == "b", "mean"] = 1e30
    svgs(study, table, curves)


def test_differences_from_noise_to_collapse_are_readable_on_one_axis():
    study, table, _ = a_study({**ROWS, "collapsed": ("collapsed", "none", {}, None, 0.1)})
    left, right = differences(study, table).axes
    assert left.get_xscale() == "symlog" and "log scale beyond" in left.get_xlabel()
    low, high = left.get_xlim()
    assert low < 0.1 - 0.9772 and high > 0.0016
    assert right.get_xscale() == "linear"


# --- generalization and weights


def test_generalization_shows_training_and_held_out_means_and_the_gap():
    study, table, _ = a_study()
    level, gap = generalization(study, table, seeds_of(study, table)).axes
    assert marks(level, "train")[:2] == [(pytest.approx(0.9772 + 0.011), 0), (pytest.approx(0.9701 + 0.011), 1)]
    assert marks(level, "held out")[0] == (pytest.approx(0.9772 + 0.0005), 0)
    assert marks(gap, "l2_1e-3") == [(pytest.approx(0.0105), 1)]
    reported = {round(y): x for x, y in marks(level, "reported")}
    assert reported == pytest.approx({0: 0.977, 1: 0.969, 2: 0.9785, 4: 0.098})
    interval = gap.collections[1].get_segments()[0]
    assert interval[:, 0] == pytest.approx([0.0105 - 12.7062 * 0.0005, 0.0105 + 12.7062 * 0.0005], rel=1e-4)


def test_the_gap_of_an_error_grows_with_the_error_on_held_out_samples():
    study, table, _ = a_study(metric="train.mae", higher_is_better=False)
    seeds = seeds_of(study, table).assign(metric="mae", validation=0.5, test=NAN)
    level, gap = generalization(study, table, seeds).axes
    assert marks(gap, "none") == [(pytest.approx(0.5 - 0.9772 - 0.011), 0)]
    assert "validation − training" in gap.get_xlabel().lower()
    assert "units of the target" in level.get_xlabel()


def test_a_figure_reported_for_other_samples_is_not_laid_beside_these():
    study, table, _ = a_study()
    seeds = seeds_of(study, table)
    level, _ = generalization(study, table, seeds.assign(validation=seeds["test"])).axes
    assert not marks(level, "reported")  # they are of the test samples


def test_without_held_out_samples_there_is_no_gap():
    study, table, _ = a_study()
    assert generalization(study, table, seeds_of(study, table).assign(test=NAN)) is None


def test_failing_rows_are_named_beside_their_gap():
    study, table, _ = a_study()
    figure = generalization(study, table, seeds_of(study, table))
    assert texts(figure).count(DIVERGED) == 3  # in both panels and as the diagnosis
    assert texts(figure).count("learning") == 4


def test_every_weight_array_has_a_panel_with_the_baseline_behind():
    study, table, _ = a_study()
    panels = weight_norms(study, table, weights_of(study, table)).axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["dense_1/kernel", "dense_2/kernel", "dense_1/bias", "dense_2/bias"]
    for norm, axes in zip((1, 3, 2, 4), panels, strict=True):
        assert axes.lines[0].get_xdata()[0] == norm
        assert marks(axes, "none") == [(norm, 0)]
        assert marks(axes, "l2_1e-3") == [(pytest.approx(0.1 * norm), 1)]
        assert [text.get_text() for text in axes.texts] == [DIVERGED]
        assert axes.get_xlim()[0] == 0


def test_many_weight_arrays_stand_in_lines_by_kind():
    study, table, _ = a_study()
    names = [f"{layer}_{i}/{kind}" for i in range(1, 10) for layer, kinds in KINDS.items() for kind in kinds]
    panels = weight_norms(study, table, weights_of(study, table, names)).axes
    lines = {}
    for axes in panels:
        lines.setdefault(round(axes.get_position().y0, 3), []).append(
            axes.get_title(loc="left").partition("/")[2].strip()
        )
    assert len(panels) == len(names)
    assert all(len(set(kinds)) == 1 for kinds in lines.values())
    for axes in panels:
        wide = axes.get_position().width * WIDTH
        assert all(inches(line, 8.5) < wide for line in axes.get_title(loc="left").split("\n"))


def test_norms_that_vanish_stand_on_a_log_axis():
    study, table, _ = a_study()
    weights = weights_of(study, table)
    weights.loc[weights["row"] == "bias", "norm_mean"] = 1e-3
    assert weight_norms(study, table, weights).axes[0].get_xscale() == "log"
    weights.loc[weights["row"] == "bias", "norm_mean"] = 0.0
    assert weight_norms(study, table, weights).axes[0].get_xscale() == "linear"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    study, table, curves = a_study()
    (tmp_path / "build/studies").mkdir(parents=True)
    (tmp_path / "results/tables").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(study), tmp_path / "build/studies/toy.yaml")
    frames = {
        "": (table, TABLE),
        "_curves": (curves, CURVES),
        "_seeds": (seeds_of(study, table), SEEDS),
        "_weights": (weights_of(study, table), WEIGHTS),
    }
    for ending, (frame, schema) in frames.items():
        (tmp_path / f"results/tables/toy{ending}.csv").write_text(to_csv(frame, schema, ending))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plot", "toy"])
    return tmp_path


def test_plot_writes_what_applies_and_removes_what_does_not(workspace, capsys):
    folder = workspace / "results/figures/toy"
    folder.mkdir(parents=True)
    (folder / "reported_log.svg").write_text("stale")
    plot.main()
    names = ALWAYS
    assert {file.name for file in folder.iterdir()} == {f"{name}.svg" for name in names}
    assert capsys.readouterr().out.split() == [f"results/figures/toy/{name}.svg" for name in names]
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    plot.main()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == first


def test_plot_names_a_missing_file_and_the_stage_that_writes_it(workspace):
    (workspace / "results/tables/toy.csv").unlink()
    with pytest.raises(UserError, match=r"results/tables/toy\.csv: .*aggregate"):
        plot.main()


def test_plot_refuses_a_table_of_other_rows(workspace):
    path = workspace / "results/tables/toy.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="does not have the study's rows"):
        plot.main()


def test_plot_does_not_import_tensorflow():
    code = "import sys, stages.plot; sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'hydra')))"
    subprocess.run([sys.executable, "-c", code], check=True)
