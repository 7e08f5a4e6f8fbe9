"""The overview: counts by hand, ranks against a published example, and a README that says the same."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from scipy import stats

from stages import overview as stage
from stages.commands import readme
from stages.core.base.errors import UserError
from stages.core.figures.ranks import critical_differences
from stages.core.figures.style import to_svg
from stages.core.results import overview, ranks, tables
from stages.core.results.checked_csv import read, to_csv
from stages.core.results.table_schemas import OVERVIEW, SEEDS, TABLE

ROOT = Path(__file__).parents[1]
NAN = math.nan
ROWS = ("none", "l2_1e-3", "l2_1e-4", "l1")

# Demšar 2006, table 6: areas under the ROC curve of four classifiers on 14 data sets.
CLASSIFIERS = ("c45", "c45_m", "c45_cf", "c45_m_cf")
DEMSAR = [
    [0.763, 0.768, 0.771, 0.798],
    [0.599, 0.591, 0.590, 0.569],
    [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657],
    [0.882, 0.888, 0.886, 0.898],
    [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685],
    [0.583, 0.583, 0.563, 0.625],
    [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000],
    [0.940, 0.962, 0.965, 0.962],
    [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.975, 0.9749],  # printed as 0.975 too, but ranked apart
    [0.957, 0.978, 0.946, 0.970],
]


def a_study(name, rows=ROWS, seeds=2, **changes):
    kinds = {"none": "none", "l1": "kernel l1"}
    coefficients = {"none": {}, "l2_1e-3": {"kernel": {"l2": 1e-3}}, "l2_1e-4": {"kernel": {"l2": 1e-4}}}
    return {
        "name": name,
        "question": f"What does {name} ask?",
        "dataset": "toy",
        "dataset_title": f"Toy data of {name}",
        "metric": "test.accuracy",
        "higher_is_better": True,
        "baseline": rows[0],
        "n_seeds": seeds,
        "rows": {
            row: {
                "regularizer": kinds.get(row, "kernel l2"),
                "regularizers": coefficients.get(row, {"kernel": {"l1": 1.0}}),
                "context": "",
            }
            for row in rows
        },
        **changes,
    }


def seeds_of(study, values):
    """The study's seeds table; `values` by row, one a seed."""
    split, metric = study["metric"].split(".")
    lines = [
        {"study": study["name"], "row": row, "seed": seed, "metric": metric, split: value}
        for row, line in zip(study["rows"], values, strict=True)
        for seed, value in enumerate(line)
    ]
    return pd.DataFrame(lines).reindex(columns=list(SEEDS.columns)).astype(dict.fromkeys(tables.SPLITS, float))


def a_table(study, **columns):
    """The study's table: as many values a column as there are rows; rows do not differ unless told so."""
    count = len(study["rows"])
    lines = {name: [NAN] * count for name in TABLE.columns}
    lines |= {
        "study": [study["name"]] * count,
        "row": list(study["rows"]),
        "label": list(study["rows"]),
        "metric": [study["metric"]] * count,
        "n": [study["n_seeds"]] * count,
        "n_finite": [study["n_seeds"]] * count,
        "mean": [0.9] * count,
        "sd": [0.001] * count,
        "difference": [NAN, *[0.0] * (count - 1)],
        "difference_low": [NAN, *[-0.01] * (count - 1)],
        "difference_high": [NAN, *[0.01] * (count - 1)],
        "p_value": [NAN, *[0.5] * (count - 1)],
        "p_holm": [NAN, *[1.0] * (count - 1)],
        "reproduced": [""] * count,
        "diagnosis": ["learning"] * count,
        "evidence": ["constructed"] * count,
        **columns,
    }
    return pd.DataFrame(lines)


def compared(*values, rows=ROWS, **changes):
    """The one comparison of two studies whose seeds give `values`, (rows, seeds) each."""
    studies = [a_study(name, rows, **changes) for name in ("one", "two")]
    pairs = zip(studies, values, strict=True)
    (comparison,) = ranks.compare(studies, {study["name"]: seeds_of(study, value) for study, value in pairs})
    return comparison


# --- one line a study


def test_counts_by_hand():
    study = a_study("toy", rows=("none", "a", "b", "c", "d"), seeds=10)
    table = a_table(
        study,
        difference=[NAN, 0.02, -0.02, -0.02, 0.02],
        difference_low=[NAN, 0.01, -0.03, -0.03, -0.01],
        difference_high=[NAN, 0.03, -0.01, -0.01, 0.05],
        p_holm=[NAN, 0.04, 0.001, 0.0499, 0.051],
        diagnosis=["learning", "overfitting", "not learning", "diverged", "diverged"],
        reported=[0.9, NAN, 0.1, 0.2, NAN],
        reproduced=["yes", "", "no", "", ""],
    )
    line = overview.overview_table({"toy": study}, {"toy": table}).iloc[0]
    assert line["better":"reproduced"].tolist() == [1, 2, 1, 2, 3, 1]
    assert (line["rows"], line["seeds"], line["baseline"], line["baseline_mean"]) == (5, 10, "none", 0.9)
    assert line["detectable_difference"] == pytest.approx(tables.detectable_difference(table))
    error = a_study("toy", rows=("none", "a", "b", "c", "d"), metric="test.mae", higher_is_better=False)
    line = overview.overview_table({"toy": error}, {"toy": table}).iloc[0]
    assert (line["better"], line["worse"]) == (2, 1)


def test_one_seed_tells_nothing_and_is_written_all_the_same():
    study = a_study("toy", seeds=1)
    nothing = dict.fromkeys(("sd", "difference_low", "difference_high", "p_value", "p_holm"), [NAN] * len(ROWS))
    frame = overview.overview_table({"toy": study}, {"toy": a_table(study, **nothing)})
    text = to_csv(frame, OVERVIEW, "overview.csv")
    assert math.isnan(read(text, OVERVIEW, "overview.csv").loc[0, "detectable_difference"])
    markdown = overview.to_markdown({"toy": study}, frame, {})
    assert "| 0.9000 ± – test accuracy | – | 0 | 0 | 0 | – |" in markdown
    assert "nan" not in markdown


def test_metrics_are_one_small_mapping_of_means():
    study = a_study("toy", rows=("none", "lost", "third"))
    metrics = overview.to_metrics({"toy": a_table(study, mean=[0.5, NAN, 1 / 3])})
    assert json.loads(metrics, parse_constant=pytest.fail) == {"toy": {"none": 0.5, "lost": None, "third": 0.333333}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: frame.drop(columns="worse"), "has no column worse"),
        (lambda frame: pd.concat([frame, frame]), "toy stands there twice"),
        (lambda frame: frame.assign(better=9), "toy: better is above rows"),
        (lambda frame: frame.assign(reproduced=1), "toy: reproduced is above reported"),
        (lambda frame: frame.assign(baseline_mean=1.5), "toy: an accuracy lies outside 0 to 1"),
        (lambda frame: frame.assign(diverged=-1), "toy: diverged -1: "),
    ],
)
def test_a_bad_overview_is_refused_in_one_line(change, reason):
    study = a_study("toy")
    good = overview.overview_table({"toy": study}, {"toy": a_table(study)})
    with pytest.raises(UserError, match=rf"^overview\.csv: {reason}") as error:
        read(change(good).to_csv(index=False), OVERVIEW, "overview.csv")
    assert "\n" not in str(error.value)


# --- ranks


def test_ranks_and_tests_of_the_published_example():
    """Mean ranks, chi-square 9.28 and critical difference 1.25 for four classifiers (Demšar 2006, section 3.2.4)."""
    values = np.transpose(DEMSAR)
    found = compared(values[:, :7], values[:, 7:], rows=CLASSIFIERS, seeds=7)
    assert found.blocks == 14
    assert found.mean_ranks.round(3).to_dict() == {"c45_m_cf": 1.964, "c45_m": 2.0, "c45_cf": 2.893, "c45": 3.143}
    # Demšar's chi-square, 9.28, leaves the ties out; scipy corrects for them.
    assert found.friedman_p == pytest.approx(stats.chi2.sf(9.28, 3), abs=0.01)
    assert ranks.critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), rel=1e-3)


def test_two_rows_are_told_apart_where_they_differ_by_more_than_the_critical_difference():
    random = np.random.default_rng(0)
    values = random.normal(size=(4, 10)) + np.array([[0], [0.5], [1], [3]])
    found = compared(values, values + 1)
    means = found.mean_ranks[list(ROWS)].to_numpy()
    apart = np.abs(means[:, None] - means) > found.critical_difference
    assert apart.any() and not apart.all()
    assert ((found.p_values.to_numpy() < 0.05) == apart).all()


def test_the_better_end_of_the_metric_ranks_first():
    values = [[0.1] * 2, [0.2] * 2, [0.3] * 2, [0.4] * 2]
    assert compared(values, values).mean_ranks.index[0] == ROWS[-1]
    error = compared(values, values, metric="test.mae", higher_is_better=False)
    assert error.mean_ranks.to_dict() == dict(zip(ROWS, (1, 2, 3, 4), strict=True))


def test_seeds_that_are_not_finite_rank_last_and_ties_share_their_mean():
    found = compared([[0.1] * 2, [NAN] * 2, [0.3] * 2, [NAN] * 2], [[0.5] * 2, [0.5] * 2, [0.5] * 2, [NAN] * 2])
    assert found.mean_ranks.to_dict() == {
        "l2_1e-3": (3.5 + 2) / 2,
        "none": (2 + 2) / 2,
        "l2_1e-4": (1 + 2) / 2,
        "l1": (3.5 + 4) / 2,
    }


def test_rows_that_are_always_tied_are_not_told_apart():
    found = compared([[0.5] * 3] * 4, [[NAN] * 3] * 4, seeds=3)
    assert math.isnan(found.friedman_p)
    assert (found.p_values == 1).all(axis=None)
    assert b"mean rank" in to_svg(critical_differences([a_study("one"), a_study("two")], found))
    assert "p unknown" in overview.ranks_to_markdown({"figure": found})


def test_no_pair_is_told_apart_unless_friedmans_test_rejects():
    random = np.random.default_rng(3)
    for _ in range(60):
        found = compared(random.normal(size=(4, 5)), random.normal(size=(4, 5)), seeds=5)
        assert found.friedman_p < 0.05 or (found.p_values == 1).all(axis=None)


@pytest.mark.filterwarnings("error")
def test_without_an_effect_friedmans_test_rejects_in_five_percent():
    random, trials = np.random.default_rng(5), 200
    rejected = sum(
        compared(random.normal(size=(4, 10)), random.normal(size=(4, 10)), seeds=10).friedman_p < 0.05
        for _ in range(trials)
    )
    assert rejected / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def names(groups):
    return [([study["name"] for study in members], rows) for members, rows in groups]


def test_groups_are_found_in_what_the_studies_declare():
    small = a_study("cifar_small", ("none", "l2_1e-3", "l2_1e-4", "adamw"))
    deep = a_study("cifar_deep", ("l2_1e-4", "none", "l2_1e-3", "more"))
    mnist, digits = (a_study(name, ("none", *"abcde")) for name in ("mnist", "digits"))
    alone = a_study("alone", ("x", "y", "z"))
    found = names(ranks.shared_rows([mnist, small, alone, digits, deep]))
    assert found == [
        (["mnist", "digits"], ["none", *"abcde"]),
        (["cifar_small", "cifar_deep"], ["none", "l2_1e-3", "l2_1e-4"]),
    ]


def test_rows_of_one_name_but_another_treatment_are_not_shared():
    one, other = a_study("one"), a_study("other")
    other["rows"]["l1"]["regularizers"] = {"kernel": {"l1": 0.5}}
    assert names(ranks.shared_rows([one, other])) == [(["one", "other"], list(ROWS[:3]))]
    other["rows"]["none"]["context"] = "model.activation=linear"
    assert ranks.shared_rows([one, other]) == []


def test_fewer_than_three_rows_or_two_studies_are_no_group():
    assert ranks.shared_rows([a_study("one"), a_study("two", ROWS[:2])]) == []
    assert ranks.shared_rows([a_study("one")]) == []
    assert ranks.compare([], {}) == []


def test_the_declared_studies_share_what_their_documents_share():
    from stages import compose
    from stages.core.config import composition

    studies = []
    for name, dataset in (("mnist_comparison", "mnist"), ("cifar10_small", "cifar10"), ("digits_comparison", "digits")):
        params = {"device": "cpu", "studies": {name: {"dataset": dataset, "seeds": 2}}}
        declared, rows = composition.compose(ROOT / "conf", name, params, lambda row: "0" * 64)
        texts = dict.fromkeys(rows, "")
        studies.append(compose.presentation(name, declared, rows, texts, dataset, dataset))
    (members, rows), *others = ranks.shared_rows(studies)
    assert [study["name"] for study in members] == ["mnist_comparison", "digits_comparison"]
    assert rows == list(members[0]["rows"]) and others == []


# --- the diagram


def test_the_diagram_names_every_row_and_joins_what_is_not_told_apart():
    random = np.random.default_rng(0)
    values = random.normal(size=(4, 20)) + np.array([[0], [0], [2], [2]])
    found = compared(values, values)
    figure = critical_differences([a_study("one"), a_study("two")], found)
    (axes,) = figure.axes
    shown = [text.get_text() for text in axes.texts]
    for row, rank in found.mean_ranks.items():
        assert any(row in text and f"({rank:.1f})" in text for text in shown)
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 3]
    first, second, third, fourth = found.mean_ranks
    assert sorted(map(list, bars)) == [[first, second], [third, fourth]]
    (scale,) = [line.get_xdata() for line in axes.lines if line.get_label() == "critical difference"]
    assert np.ptp(scale) == pytest.approx(found.critical_difference)
    heading = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert "one and two" in heading and "40 blocks" in heading and "describes these studies, not others" in heading


def test_bars_have_two_ends_so_that_every_process_draws_the_same_bytes():
    """The library walks through sets of names, whose order depends on PYTHONHASHSEED."""
    values = np.random.default_rng(0).normal(size=(4, 20))
    figure = critical_differences([a_study("one"), a_study("two")], compared(values, values))
    bars = [line for line in figure.axes[0].lines if line.get_linewidth() == 3]
    assert bars and all(len(line.get_xdata()) == 2 and np.diff(line.get_xdata()) > 0 for line in bars)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("rows", "seeds"), [(3, 1), (30, 2)])
def test_any_number_of_rows_and_seeds_can_be_drawn_twice_alike(rows, seeds):
    keys = [f"a_rather_long_name_of_a_row_{i}" for i in range(rows)]
    values = np.arange(rows * seeds).reshape(rows, seeds)
    found = compared(values, values, rows=keys, seeds=seeds)
    studies = [a_study("one", keys), a_study("two", keys)]
    assert to_svg(critical_differences(studies, found)) == to_svg(critical_differences(studies, found))


# --- the stage


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Two studies of four rows, and one of its own, with everything that overview reads."""
    for folder in ("build/studies", "results/tables"):
        (tmp_path / folder).mkdir(parents=True)
    random = np.random.default_rng(1)
    for study in (a_study("one"), a_study("two"), a_study("other", ("x", "y"))):
        name = study["name"]
        OmegaConf.save(OmegaConf.create(study), tmp_path / f"build/studies/{name}.yaml")
        values = random.uniform(size=(len(study["rows"]), 2))
        frames = {"": (a_table(study), TABLE), "_seeds": (seeds_of(study, values), SEEDS)}
        for ending, (frame, schema) in frames.items():
            (tmp_path / f"results/tables/{name}{ending}.csv").write_text(to_csv(frame, schema, name))
    select(tmp_path, "one", "two", "other")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def select(folder, *names):
    OmegaConf.save({"studies": {name: {"dataset": "toy", "seeds": 2} for name in names}}, folder / "params.yaml")


def run_stage(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["overview", *arguments])
    stage.main()


def written(folder):
    files = [*folder.glob("results/overview.*"), folder / "results/metrics.json", *folder.glob("results/figures/*/*")]
    return {str(file.relative_to(folder / "results")): file.read_bytes() for file in files}


def test_the_stage_writes_the_same_files_twice(workspace, monkeypatch, capsys):
    run_stage(monkeypatch)
    first = written(workspace)
    figure = "figures/overview/critical_difference"
    assert set(first) == {"overview.csv", "overview.md", "metrics.json", f"{figure}.md", f"{figure}_one.svg"}
    assert capsys.readouterr().out == "results/overview.md\n"
    overview_md = first["overview.md"].decode()
    assert "| [one](tables/one.md) | What does one ask? | Toy data of one | 4 × 2 |" in overview_md
    assert f"({figure}_one.svg)" in overview_md
    run_stage(monkeypatch)
    assert written(workspace) == first
    run_stage(monkeypatch, "--check")


def test_a_comparison_that_goes_takes_its_figure_with_it(workspace, monkeypatch):
    run_stage(monkeypatch)
    select(workspace, "one", "other")
    run_stage(monkeypatch)
    left = written(workspace)
    assert set(left) == {"overview.csv", "overview.md", "metrics.json", "figures/overview/critical_difference.md"}
    assert b"nothing to rank" in left["figures/overview/critical_difference.md"]
    assert set(json.loads(left["metrics.json"])) == {"one", "other"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("overview.csv", ",0,0,0,", ",1,0,0,"),
        ("overview.md", "0.9000", "0.9100"),
        ("metrics.json", "0.9", "0.91"),
        ("figures/overview/critical_difference.md", "blocks", "studies"),
    ],
)
def test_check_refuses_a_number_edited_by_hand_and_writes_nothing(workspace, monkeypatch, file, old, new):
    run_stage(monkeypatch)
    path = workspace / "results" / file
    edited = path.read_text().replace(old, new, 1)
    path.write_text(edited)
    with pytest.raises(
        UserError, match=rf"^results/{re.escape(file)}: line \d+ is not what the tables give; run "
    ) as error:
        run_stage(monkeypatch, "--check")
    assert "\n" not in str(error.value)
    assert path.read_text() == edited


def test_the_stage_names_what_is_missing_or_of_other_rows(workspace, monkeypatch):
    path = workspace / "results/tables/two_seeds.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(UserError, match=r"two_seeds\.csv: does not have the study's rows"):
        run_stage(monkeypatch)
    path.unlink()
    with pytest.raises(UserError, match=r"two_seeds\.csv: is missing; `dvc repro aggregate@two` writes it"):
        run_stage(monkeypatch)
    assert not (workspace / "results/overview.csv").exists()


def test_the_stage_does_not_import_tensorflow():
    code = "import sys, stages.overview; sys.exit(bool({'tensorflow', 'keras', 'hydra'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# --- the README


def test_the_overview_stands_between_the_markers_with_links_from_the_folder_above():
    page = f"# A\n\n{overview.BEGIN}\nold\n{overview.END}\n\nrest\n"
    text = "# Overview\n\n[a](tables/a.md) [b](https://b.org)\n\nmore\n"
    assert overview.embed(page, text) == (
        f"# A\n\n{overview.BEGIN}\n\n[a](results/tables/a.md) [b](https://b.org)\n\nmore\n\n{overview.END}\n\nrest\n"
    )
    assert overview.embed(overview.embed(page, text), text) == overview.embed(page, text)


@pytest.mark.parametrize("markers", [[], [0], [1, 0], [0, 0, 1]])
def test_a_page_without_its_markers_is_refused(markers):
    page = "\n".join((overview.BEGIN, overview.END)[marker] for marker in markers)
    with pytest.raises(UserError, match=r"^README\.md: needs the two lines"):
        overview.embed(page, "# Overview\n\ntext\n")


def test_the_command_writes_the_readme_and_nothing_without_an_overview(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path("README.md")
    page.write_text(f"before\n{overview.BEGIN}\n{overview.END}\nafter\n")
    with pytest.raises(UserError, match=r"^results/overview\.md: is missing; `dvc repro overview` writes it"):
        readme.main()
    Path("results").mkdir()
    Path("results/overview.md").write_text("# Overview\n\n[x](tables/x.md)\n")
    readme.main()
    assert "](results/tables/x.md)" in page.read_text() and page.read_text().startswith("before\n")


def test_the_readme_shows_the_committed_overview():
    page, text = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "results/overview.md"))
    assert overview.embed(page, text) == page
