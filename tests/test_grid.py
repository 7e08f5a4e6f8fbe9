"""The grid and the response curves: their rows, what their tables say, and what an entry of YAML makes stale."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import NAME, duplicate, edit, run
from test_compose import written
from test_config import DEMO, without_digests, write_workspace
from test_config import edit as replace
from test_diagnosis import BASELINE, OTHER, a_row, lost, regularized

from stages import compose
from stages import report as stage
from stages.core.base.errors import UserError
from stages.core.config.yaml import read_yaml
from stages.core.figures.grid import draw
from stages.core.figures.svg import to_svg
from stages.core.records import curve_recording, curves, records
from stages.core.report import page, translations
from stages.core.results import across, grid, responses, statistics
from stages.core.results.checked_csv import read, to_csv
from stages.core.results.table_schemas import GRID, RESPONSES, TIPPING

REGULARIZATIONS = {"none": "no regularizer", "l2": "l2(0.001)", "l1": "l1(1)", "dropout": "dropout 0.5", "bias": "bias"}
SHOWN = {
    "regularizations": REGULARIZATIONS,
    "nets": {
        "a": {
            "label": "Net A",
            "study": "demo",
            "metric": "test.accuracy",
            "dropout": 0.5,
            "cells": {"none": "demo/none", "l2": "demo/l2", "l1": "grid/a_l1", "dropout": "demo/none", "bias": None},
        }
    },
    "curves": {},
}
ROWS = {
    "demo/none": BASELINE,
    "demo/l2": regularized(train=0.90, test=0.93),
    "grid/a_l1": lost(regularized(), [2, 3]),
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Compose's working directory with a grid of one net and two regularizations, of which the study has one."""
    write_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    without_digests(monkeypatch)
    (tmp_path / "conf/net").mkdir()
    (tmp_path / "conf/net/a.yaml").write_text("label: A\nstudy: demo\n", encoding="utf-8")
    (tmp_path / "conf/regularization").mkdir()
    add("none", "")
    add("kernel", "kernel: {l2: 0.001}")
    add("bias", "bias: {l2: 0.001}")
    with (tmp_path / "params.yaml").open("a", encoding="utf-8") as params:
        params.write("grid:\n  a: {seeds: 3}\n")
    compose.main()
    return tmp_path


def add(name, text):
    head = f"# @package _global_\nregularization: {{label: {name}}}\n"
    Path(f"conf/regularization/{name}.yaml").write_text(f"{head}{text}\n", encoding="utf-8")


def cells():
    return read_yaml(Path("build/grid.yaml"))["nets"]["a"]["cells"]


# --- which rows -----------------------------------------------------------------------------------------------------


def test_a_cell_that_the_study_has_is_its_row_and_the_others_are_rows_of_the_grid(workspace):
    assert cells() == {"none": "demo/none", "kernel": "demo/l2", "bias": "grid/a_bias"}
    row = read_yaml(Path("build/rows/grid/a_bias.yaml"))
    own = read_yaml(Path("build/rows/demo/none.yaml"))
    assert (row["study"], row["row"], row["seeds"]) == ("grid", "a_bias", 3)
    different = {key for key in row if row[key] != own[key]} - {"study", "row", "seeds"}
    assert different == {"regularizers"} and row["regularizers"]["bias"]["l2"] == 0.001
    assert read_yaml(Path("results/grid.yaml")) == {"rows": {"grid/a_bias": {}}}


def test_a_regularization_that_is_added_makes_its_row_and_changes_no_other(workspace):
    before = written("build/rows")
    add("dropout", "model: {dropout: 0.2}")
    compose.main()
    after = written("build/rows")
    assert after.keys() - before.keys() == {"build/rows/grid/a_dropout.yaml"}
    assert {name: after[name] for name in before} == before
    layers = read_yaml(Path("build/rows/grid/a_dropout.yaml"))["layers"]
    assert [layer["type"] for layer in layers] == ["flatten", "dense", "dropout", "dense"]
    assert "dropout" not in [layer["type"] for layer in read_yaml(Path("build/rows/demo/none.yaml"))["layers"]]


def test_adam_with_a_decay_is_adamw_and_a_dropout_of_rate_0_is_none(workspace):
    row = "  demo/adamw: {label: w, overrides: [optimizer=adam, optimizer.name=adamw, +optimizer.weight_decay=0.02]}\n"
    replace(workspace / DEMO, "  demo/none:", f"{row}  demo/none:")
    add("decay", "optimizer: {weight_decay: 0.02}")
    add("nothing", "model: {dropout: 0.0}")
    compose.main()
    assert cells()["decay"] == "demo/adamw" and cells()["nothing"] == "demo/none"


def test_early_stopping_looks_at_no_test_sample(workspace):
    add("early", "training: {early_stopping: {monitor: val_loss, patience: 2}}")
    compose.main()
    split = read_yaml(Path("build/rows/grid/a_early.yaml"))["split"]
    assert split == {"validation": "tail", "size": 0.1, "random_state": None, "monitor": "validation"}


def test_regularizations_for_some_nets_and_nets_with_some_regularizations(workspace):
    add("matched", "")
    path = workspace / "conf/regularization/matched.yaml"
    replace(path, "{label: matched}", "{label: matched, nets: {}}")
    replace(workspace / "params.yaml", "a: {seeds: 3}", "a: {seeds: 3, regularizations: []}")
    compose.main()
    assert cells() == {"none": "demo/none", "kernel": "demo/l2", "bias": None, "matched": None}
    replace(path, "nets: {}", "nets: {a: {optimizer: {weight_decay: 0.5}}}")
    replace(workspace / "params.yaml", "regularizations: []", "regularizations: [matched]")
    compose.main()
    assert cells()["matched"] == "grid/a_matched" and cells()["bias"] is None
    assert read_yaml(Path("build/rows/grid/a_matched.yaml"))["optimizer"]["weight_decay"] == 0.5


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a: {seeds: 3}", "b: {seeds: 3}", "params.yaml: grid.b: there is no conf/net/b.yaml"),
        ("a: {seeds: 3}", "a: {seeds: 3, regularizations: [l9]}", "params.yaml: grid.a.regularizations: l9"),
        ("a: {seeds: 3}", "a: {seeds: 0}", "params.yaml: grid.a.seeds"),
    ],
)
def test_a_mistake_is_one_line(workspace, old, new, words):
    replace(workspace / "params.yaml", old, new)
    with pytest.raises(UserError, match=words) as error:
        compose.main()
    assert "\n" not in str(error.value)


def test_the_points_of_a_curve_differ_in_its_strength_alone(workspace):
    with (workspace / "params.yaml").open("a", encoding="utf-8") as params:
        curve = "{net: a, strength: kernel.l2, values: [0.0, 0.1], seeds: 2, overrides: [training.epochs=4]}"
        params.write(f"curves:\n  a_l2: {curve}\n")
    compose.main()
    wanted = read_yaml(Path("build/curves/a_l2.yaml"))
    first, second = (point["row"] for point in wanted["points"])
    assert [point["strength"] for point in wanted["points"]] == [0.0, 0.1]
    assert first["regularizers"]["kernel"]["l2"] == 0.0 and second["regularizers"]["kernel"]["l2"] == 0.1
    assert {key for key in first if first[key] != second[key]} == {"row", "regularizers"}
    assert first["training"]["epochs"] == 4 and first["seeds"] == 2


# --- tables ---------------------------------------------------------------------------------------------------------


def test_cells_are_the_rows_own_numbers():
    table = grid.grid_table(SHOWN, ROWS)
    read(to_csv(table, GRID, "grid.csv"), GRID, "grid.csv")
    lines = table.set_index("regularization")
    found = statistics.paired_difference(ROWS["demo/l2"].final["test"]["accuracy"], BASELINE.final["test"]["accuracy"])
    assert lines.loc["l2", "mean"] == pytest.approx(ROWS["demo/l2"].final["test"]["accuracy"].mean())
    columns = ["difference", "difference_low", "difference_high", "p_value"]
    assert lines.loc["l2", columns].tolist() == [found.mean, found.low, found.high, found.p_value]
    assert lines.loc["l2", ["told", "diagnosis"]].tolist() == ["worse", "over-regularized"]
    assert lines.loc["l1", "diagnosis"] == "diverged"


def test_the_decay_matched_in_norm_leaves_kernels_as_large_as_l2_does():
    """The values in conf/regularization/weight_decay_matched.yaml are right: by the records, to 5 %."""
    root = Path(__file__).parent.parent
    rows = pd.read_csv(root / "results/tables/grid.csv").set_index(["regularization", "net"])["row"].dropna()
    matched = rows["weight_decay_matched"]

    def norm(row):
        seeds = json.loads((root / f"results/runs/{row}.json").read_text())["seeds"]
        kernels = [[v for name, v in seed["weight_norms"].items() if name.endswith("kernel")] for seed in seeds]
        return np.mean(np.linalg.norm(kernels, axis=1))

    assert len(matched) >= 4
    for net, row in matched.items():
        assert norm(row) == pytest.approx(norm(rows["l2_1e-2", net]), rel=0.05), net


def test_holm_counts_the_cells_of_a_net():
    table = grid.grid_table(SHOWN, ROWS).set_index("regularization")
    compared = table.loc[["l2", "l1"], "p_value"]
    assert table.loc[["l2", "l1"], "p_holm"].tolist() == statistics.holm(compared).tolist()
    assert table["p_holm"].notna().sum() == 2 and compared.notna().all()


def test_where_a_seed_is_stuck_the_first_line_is_the_median():
    stuck = a_row(test=0.948 - np.where(np.arange(10) == 3, 0.1, 0.0))
    table = grid.grid_table(SHOWN, {**ROWS, "demo/none": stuck})
    assert "| no regularizer | median 0.94" in grid.to_markdown(SHOWN, table)


def test_missing_cells_are_shown_as_missing():
    table = grid.grid_table(SHOWN, {key: row for key, row in ROWS.items() if key != "grid/a_l1"})
    assert table["status"].tolist() == ["trained", "trained", "not trained", "the same row as none", "not trained"]
    text = grid.to_markdown(SHOWN, table)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [*REGULARIZATIONS.values()]
    assert lines[4].endswith("| not trained |") and "2 of 5 cells are not trained" in text
    assert "**-0.018" in lines[3] and "worse, over-regularized" in lines[3]
    assert "keep it in “no regularizer”: Net A" in text


def test_a_row_of_fewer_seeds_is_compared_over_those_that_both_have():
    few = dataclasses.replace(ROWS["demo/l2"], config={**ROWS["demo/l2"].config, "seeds": 4, "study": "grid"})
    few = grid.alike(few, a_row_of(4))
    table = grid.grid_table(SHOWN, {**ROWS, "demo/l2": few}).set_index("regularization")
    assert table.loc["l2", "n"] == 4 and table.loc["l2", "diagnosis"] == "over-regularized"


def a_row_of(n):
    return grid.alike(BASELINE, dataclasses.replace(BASELINE, first_non_finite_epoch=np.full(n, np.nan)))


# --- curves ---------------------------------------------------------------------------------------------------------

CURVE = {"label": "Net A", "study": "demo", "metric": "test.accuracy", "net": "a", "strength": "kernel.l2"}
CURVE |= {"own": 1e-3, "overrides": [], "seeds": 10, "epochs": 6}
POINTS = {0.0: (0.95, 0.94), 1e-3: (0.949, 0.95), 1e-2: (0.9, 0.9), 1e-1: (0.26, 0.26), 1.0: (0.25, 0.25)}


def a_curve(points=POINTS):
    summaries = {
        strength: dataclasses.replace(
            a_row(train=train, test=test), guess={"train": 0.25, "test": 0.25}, top_class_share={}
        )
        for strength, (train, test) in points.items()
    }
    return responses.responses_table({"c": CURVE}, {"c": summaries})


def test_where_a_net_stops_learning_lies_between_two_points():
    table = a_curve()
    read(to_csv(table, RESPONSES, "responses.csv"), RESPONSES, "responses.csv")
    found = responses.tipping(table)
    assert (found.learns, found.stops) == (0.01, 0.1) and np.isnan(found.again)
    never = responses.tipping(table[table["strength"] < 0.1])
    assert never.learns == 0.01 and np.isnan(never.stops)
    always = responses.tipping(table[table["strength"] > 0.01])
    assert np.isnan(always.learns) and always.stops == 0.1
    some = table.assign(fails=np.where((table["strength"] == 0.01) & (table["seed"] < 3), "yes", table["fails"]))
    assert responses.tipping(some).learns == 0.001
    back = table.assign(fails=np.where(table["strength"] == 0.001, "yes", "no"))
    assert responses.tipping(back).stops == 0.001 and responses.tipping(back).again == 0.01


def test_the_best_strength_and_those_that_cannot_be_told_from_it():
    table = a_curve()
    assert responses.best(table) == (0.001, 0.001, 0.001)
    noisy = table["held_out_skill"] + np.where(table["strength"] == 0.0, 30 * np.tile(OTHER, len(POINTS)), 0)
    assert responses.best(table.assign(held_out_skill=noisy)) == (0.001, 0.0, 0.001)


def test_a_curve_that_is_not_trained_is_shown_as_missing():
    table = a_curve()
    tipping = responses.tipping_table({"c": CURVE, "d": CURVE}, table)
    text = to_csv(tipping, TIPPING, "tipping.csv")
    assert read(text, TIPPING, "tipping.csv").loc[1, "n"] == 0
    lines = responses.to_markdown({"c": CURVE, "d": CURVE}, tipping).splitlines()
    trained, missing = [line for line in lines if line.startswith(("| c |", "| d |"))]
    assert trained.startswith("| c | kernel.l2 | 6 | 10 | 0.001 | it alone | 0.01 | 0.1 | 0.001 |")
    assert missing.startswith("| d | kernel.l2 | 6 | not trained |")


def test_a_curve_s_record_keeps_the_ends_and_refuses_an_edit(tmp_path):
    seed = {"seed": 0, "curve": {"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.0]}, "weight_sd": {}, "zero_share": {}}
    kept = curve_recording.compact({"seeds": [seed], "device": "cpu"})
    assert kept["seeds"] == [{"seed": 0, "curve": {"epoch": [1, 3], "loss": [3.0, 1.0]}}]
    config = {"row": "x", "value": 0.1234567891}
    text = records.to_json({"curve": "c", "code": "1", "points": [{"strength": 1.0, "config": config}]})
    path = tmp_path / "c.json"
    path.write_text(text, encoding="utf-8")
    wanted = {"curve": "c", "code": "1", "points": [{"strength": 1.0, "row": config}, {"strength": 2.0, "row": {}}]}
    assert len(curves.points(path, wanted)) == 1
    assert curves.points(path, {**wanted, "code": "2"}) == {}
    path.write_text(text.replace('"code": "1"', '"code": "2"'), encoding="utf-8")
    assert curves.points(path, {**wanted, "code": "2"}) == {}
    with pytest.raises(UserError, match="edited by hand"):
        curves.parse(path.read_bytes(), "c.json")


# --- figures and claims ---------------------------------------------------------------------------------------------


def test_the_figures_are_a_heat_map_and_the_curves():
    other = {**CURVE, "strength": "kernel.l1"}
    at_rates = {f"rate {rate}": {**CURVE, "overrides": [f"optimizer.learning_rate={rate}"]} for rate in (0.1, 1.0)}
    shown = {**SHOWN, "curves": {"c": CURVE, **at_rates, "d": other, "not trained": CURVE}}
    points = pd.concat([a_curve().assign(curve=name) for name in ("c", "d", *at_rates)])
    figures = draw(shown, grid.grid_table(shown, ROWS), points, responses.tipping_table(shown["curves"], points))
    titles = {name: [axes.get_title("left") for axes in figure.axes] for name, figure in figures.items()}
    assert list(titles) == ["effects", "a", "a_settings"]
    assert titles["a"] == ["kernel.l2", "kernel.l1"]
    assert titles["a_settings"] == [f"kernel.l2, learning_rate={rate}" for rate in (0.1, 1.0)]
    words = [text.get_text() for text in figures["effects"].axes[0].texts]
    assert words == ["–", "+0.000", "✕", "−0.036"]  # bias, dropout, l1, l2; the dropout's row is none itself
    none = grid.grid_table(shown, {})
    assert draw(shown, none, points[:0], responses.tipping_table(shown["curves"], points[:0])) == {}


def claims(*templates):
    table, points = grid.grid_table(SHOWN, ROWS), a_curve()
    usual = {"claim": "So.", "because": "{{ cells('l2') | listed('difference') }}", "needs": []}
    told = [{**usual, **template} for template in templates]
    return across.claims(told, SHOWN, table, responses.tipping_table({"c": CURVE}, points))


def test_claims_are_decided_by_the_tables_and_need_what_they_speak_of():
    found = claims(
        {"holds": 'all_of(cells("l2") | map(attribute="harmless"))'},
        {"holds": 'cell("a", "l1").stops', "needs": ["a/l1"]},
        {"holds": 'cell("a", "bias").stops', "needs": ["a/bias"]},
        {"holds": 'curve("c").tips_below(curve("c"))', "needs": ["c"], "because": "{{ curve('c').tipping }}"},
        {"holds": 'all_of(reduced("l2", "l2"))'},
    )
    assert [claim.holds for claim in found] == [False, True, None, None, None]
    assert [claim.measured for claim in found] == [True, True, False, True, True]
    assert found[0].because.startswith("Net A (-0.018") and found[3].because == "stops between 0.01 and 0.1"
    with pytest.raises(UserError, match=r"conf/grid.yaml: claims.0.holds"):
        claims({"holds": 'cell("b", "l2").stops'})


@pytest.mark.parametrize(
    ("learns", "stops", "said"),
    [
        (0.1, math.nan, "learns up to 0.1, the largest tried"),
        (0.01, math.nan, "learns up to 0.01, beyond not with every seed (tried to 0.1)"),
        (math.nan, math.nan, "learns nowhere surely"),
        (math.nan, 0.01, "stops from 0.01 on"),
        (0.01, 0.1, "stops between 0.01 and 0.1"),
    ],
)
def test_a_curve_says_no_more_than_its_points_show(learns, stops, said):
    curve = across.Curve("c", "c", {"learns": learns, "stops": stops, "strongest": 0.1})
    assert curve.tipping == said
    translator = translations.read(stage.TEMPLATES.joinpath(stage.CHINESE).read_text())
    assert not re.search("[a-z]", translator.chinese(said))


def test_the_page_shows_the_grid_the_claims_and_the_curves():
    shown = {**SHOWN, "curves": {"c": CURVE, "d": CURVE}}
    points = a_curve()
    tables = {"grid": grid.grid_table(shown, ROWS), "responses": points}
    tables["tipping"] = responses.tipping_table(shown["curves"], points)
    templates = [{"claim": "So.", "because": "", "needs": ["c"], "holds": 'cell("a", "l1").stops'}]
    figures = {name: to_svg(figure, name) for name, figure in draw(shown, *tables.values()).items()}
    texts = {path.name: path.read_text(encoding="utf-8") for path in stage.TEMPLATES.iterdir()}
    html = page.to_html([], None, texts, across.Across(shown, templates, tables), figures)
    cells = re.findall(r'<data value="(-?[\d.]*)">', html[html.index("grid-table-caption") :])
    assert [float(cell) for cell in cells[:2]] == pytest.approx([0.0, tables["grid"].loc[1, "skill_difference"]], 1e-5)
    assert html.count("not trained") >= 2 and html.count('id="figure-grid-') == 2
    assert '<span class="tag holds">' in html and 'href="#across"' in html
    assert "across-title" not in page.to_html([], None, texts)


# --- DVC ------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_what_is_added_trains_alone_and_the_curve_goes_on_from_its_points(small_repository, tmp_path):
    folder = duplicate(small_repository, tmp_path / "regbench")
    (folder / "conf/net/digits.yaml").write_text(f"label: digits\nstudy: {NAME}\n", encoding="utf-8")
    curve = "{net: digits, strength: kernel.l2, values: [0.0, 0.1], seeds: 2, overrides: [training.epochs=3]}"
    edit(folder / "params.yaml", r"^grid: .*", "grid:\n  digits: {seeds: 2, regularizations: [dropout_20]}")
    edit(folder / "params.yaml", r"^curves: .*", f"curves:\n  digits_l2: {curve}")
    run(folder, "python", "-m", "stages.commands.cli", "repro")
    cell = json.loads((folder / "results/runs/grid/digits_dropout_20.json").read_text())
    assert cell["config"]["layers"][2] == {"type": "dropout", "rate": 0.2}
    assert "not trained" in (folder / "results/tables/grid.md").read_text()
    first = json.loads((folder / "results/curves/digits_l2.json").read_text())["points"]
    edit(folder / "params.yaml", r"values: \[0.0, 0.1\]", "values: [0.0, 0.01, 0.1]")
    edit(folder / "params.yaml", r"\[dropout_20\]", "[dropout_20, bias_l2_1e-4]")
    run(folder, "python", "-c", "from stages import code, compose; code.main(); compose.main()")
    stale = json.loads(run(folder, "dvc", "status", "--json"))
    trained = {stage for stage in stale if stage.startswith(("train@", "curve@"))}
    assert trained == {"train@grid/digits_bias_l2_1e-4", "curve@digits_l2"}
    run(folder, "python", "-m", "stages.curve", "digits_l2")
    points = json.loads((folder / "results/curves/digits_l2.json").read_text())["points"]
    assert [point["strength"] for point in points] == [0.0, 0.01, 0.1] and points[::2] == first
