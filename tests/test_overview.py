"""The overview: counts by hand, and a README that says the same."""

import json
import math
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from stages import overview as stage
from stages.commands import readme as command
from stages.core.base.errors import UserError
from stages.core.results import overview, readme
from stages.core.results.answers import Verdict
from stages.core.results.checked_csv import read, to_csv, typed
from stages.core.results.frames import FILES, Frames
from stages.core.results.table_schemas import CURVES, OVERVIEW, SEEDS, TABLE, WEIGHTS

ROOT = Path(__file__).parents[1]
NAN = math.nan
ROWS = ("none", "l2_1e-3", "l2_1e-4", "l1")


def a_study(name, rows=ROWS, seeds=2, **changes):
    kinds = {"none": "none", "l1": "kernel l1"}
    coefficients = {"none": {}, "l2_1e-3": {"kernel": {"l2": 1e-3}}, "l2_1e-4": {"kernel": {"l2": 1e-4}}}
    return {
        "name": name,
        "title": f"Study {name}",
        "question": f"What does {name} ask?",
        "url": None,
        "same_data": True,
        "reported_logs": {},
        "dataset": "toy",
        "dataset_title": f"Toy data of {name}",
        "metric": "test.accuracy",
        "higher_is_better": True,
        "baseline": rows[0],
        "n_seeds": seeds,
        "rows": {
            row: {
                "label": row,
                "reported": None,
                "same_reported_as": None,
                "beyond": False,
                "dropout": 0.0,
                "regularizer": kinds.get(row, "kernel l2"),
                "regularizers": coefficients.get(row, {"kernel": {"l1": 1.0}}),
                "context": "",
            }
            for row in rows
        },
        **changes,
    }


def a_table(study, **columns):
    """The study's table: as many values a column as there are rows; rows do not differ unless told so."""
    count = len(study["rows"])
    lines = {name: [NAN] * count for name in TABLE.columns}
    lines |= {
        "study": [study["name"]] * count,
        "row": list(study["rows"]),
        "label": list(study["rows"]),
        "metric": [study["metric"]] * count,
        "beyond": ["no"] * count,
        "median": [0.9] * count,
        "groups": [""] * count,
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


# --- one line a study


def frames_of(study, table):
    """The table with seeds that all reach 0.9; nothing else is read for the overview."""
    seeds = [
        {"study": study["name"], "row": row, "seed": seed, "metric": "accuracy", "test": 0.9, "optimizer": "adam"}
        for row in study["rows"]
        for seed in range(study["n_seeds"])
    ]
    curves = [{"study": study["name"], "row": row, "epoch": 1, "quantity": "loss", "n": 2} for row in study["rows"]]
    weights = [{"study": study["name"], "row": row, "weight": "dense_1/kernel", "n": 2} for row in study["rows"]]
    seeds = pd.DataFrame(seeds).assign(epochs=1)
    return Frames(
        table,
        *(typed(pd.DataFrame(part), schema) for part, schema in ((curves, CURVES), (seeds, SEEDS), (weights, WEIGHTS))),
    )


def test_counts_by_hand():
    study = a_study("toy", rows=("none", "a", "b", "c", "d"), seeds=10)
    reported = {"none": 0.9, "b": 0.1, "c": 0.2, "d": 0.2}
    for row, value in reported.items():
        study["rows"][row]["reported"] = value
    for row in ("c", "d"):
        study["rows"][row]["same_reported_as"] = "the last line"
    table = a_table(
        study,
        difference=[NAN, 0.02, -0.02, -0.02, 0.02],
        difference_low=[NAN, 0.01, -0.03, -0.03, -0.01],
        difference_high=[NAN, 0.03, -0.01, -0.01, 0.05],
        p_holm=[NAN, 0.04, 0.001, 0.0499, 0.051],
        diagnosis=["barely learning", "overfitting", "not learning", "diverged", "diverged"],
        reproduced=["yes", "", "no", "no", "yes"],
    )
    line = overview.overview_table({"toy": study}, {"toy": table}).iloc[0]
    # one line that two rows stand for is one figure, and one of them is enough
    assert line["better":"reproduced"].tolist() == [1, 2, 1, 1, 2, 3, 2]
    assert (line["rows"], line["seeds"], line["baseline"], line["baseline_mean"]) == (5, 10, "none", 0.9)
    error = study | {"metric": "test.mae", "higher_is_better": False}
    line = overview.overview_table({"toy": error}, {"toy": table}).iloc[0]
    assert (line["better"], line["worse"]) == (2, 1)
    elsewhere = overview.overview_table({"toy": study | {"same_data": False}}, {"toy": table}).iloc[0]
    assert (elsewhere["reported"], elsewhere["reproduced"]) == (0, 0)


VERDICT = Verdict("It is too strong.", "Take less.", "L2(1e-4)", "Ten seeds.", "Or the data.")


def test_the_verdict_comes_first_and_counts_follow():
    study = a_study("toy", seeds=1, url="https://example.org/1")
    nothing = dict.fromkeys(("sd", "difference_low", "difference_high", "p_value", "p_holm"), [NAN] * len(ROWS))
    table = a_table(study, **nothing)
    frame = overview.overview_table({"toy": study}, {"toy": table})
    markdown = overview.to_markdown({"toy": study}, frame, {"toy": table}, {"toy": VERDICT})
    assert markdown.splitlines()[2:5] == [
        "- **[Study toy](tables/toy.md) ([page](https://example.org/1)).** *What does toy ask?*",
        "  - It is too strong. **Take less.** `L2(1e-4)`",
        "  - How sure: Ten seeds. Or the data.",
    ]
    assert "| [toy](tables/toy.md) | Toy data of toy | 4 × 1 | test accuracy 0.9000 (1) | 0 | 0 | 0 | – |" in markdown
    assert "nan" not in markdown


def test_metrics_are_one_small_mapping_of_means():
    study = a_study("toy", rows=("none", "lost", "third"))
    metrics = overview.to_metrics({"toy": a_table(study, mean=[0.5, NAN, 1 / 3])})
    assert json.loads(metrics, parse_constant=pytest.fail) == {"toy": {"none": 0.5, "lost": None, "third": 0.333333}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: frame.drop(columns="worse"), "has no column worse"),
        (lambda frame: pd.concat([frame, frame]), "toy appears twice"),
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


# --- the stage


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Three studies, with everything that overview reads."""
    for folder in ("build/studies", "results/tables"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "build/answers").mkdir()
    for study in (a_study("one"), a_study("two"), a_study("other", ("x", "y"))):
        name = study["name"]
        OmegaConf.save(OmegaConf.create(study), tmp_path / f"build/studies/{name}.yaml")
        OmegaConf.save({"answer": None, "verdict": []}, tmp_path / f"build/answers/{name}.yaml")
        frames = frames_of(study, a_table(study))
        for part, (ending, schema) in FILES.items():
            text = to_csv(getattr(frames, part), schema, name)
            (tmp_path / f"results/tables/{name}{ending}.csv").write_text(text)
    select(tmp_path, "one", "two", "other")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def select(folder, *names):
    OmegaConf.save({"studies": {name: {"dataset": "toy", "seeds": 2} for name in names}}, folder / "params.yaml")


def run_stage(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["overview", *arguments])
    stage.main()


def written(folder):
    files = [*folder.glob("results/overview.*"), folder / "results/metrics.json", folder / "results/records.csv"]
    return {str(file.relative_to(folder / "results")): file.read_bytes() for file in files}


def test_the_stage_writes_the_same_files_twice(workspace, monkeypatch, capsys):
    run_stage(monkeypatch)
    first = written(workspace)
    assert set(first) == {"overview.csv", "overview.md", "metrics.json", "records.csv"}
    assert len(first["records.csv"].splitlines()) == 1 + (4 + 4 + 2) * 2
    assert capsys.readouterr().out == "results/overview.md\n"
    overview_md = first["overview.md"].decode()
    assert "| [one](tables/one.md) | Toy data of one | 4 × 2 |" in overview_md
    verdict = "- **[Study one](tables/one.md).** *What does one ask?*\n  - No regularizer of this study does harm"
    assert verdict in overview_md
    run_stage(monkeypatch)
    assert written(workspace) == first
    run_stage(monkeypatch, "--check")


def test_check_refuses_numbers_edited_by_hand_and_writes_nothing(workspace, monkeypatch):
    run_stage(monkeypatch)
    edits = {
        "overview.csv": (",0,0,0,", ",1,0,0,"),
        "overview.md": ("0.9000", "0.9100"),
        "records.csv": ("0.9", "0.91"),
        "metrics.json": ("0.9", "0.91"),
    }
    for file, (old, new) in edits.items():
        path = workspace / "results" / file
        path.write_text(path.read_text().replace(old, new, 1))
    edited = written(workspace)
    with pytest.raises(UserError) as error:
        run_stage(monkeypatch, "--check")
    said = str(error.value).splitlines()
    for file, line in zip(edits, said, strict=True):
        assert re.match(rf"(regbench: )?results/{re.escape(file)}: line \d+ is not what the tables give; run ", line)
    assert written(workspace) == edited


def test_the_stage_names_what_is_missing_or_of_other_rows(workspace, monkeypatch):
    path = workspace / "results/tables/two.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(UserError, match=r"two\.csv: does not have the study's rows"):
        run_stage(monkeypatch)
    path.unlink()
    with pytest.raises(UserError, match=r"two\.csv: is missing; `dvc repro aggregate@two` writes it"):
        run_stage(monkeypatch)
    assert not (workspace / "results/overview.csv").exists()


# --- the README


def test_the_verdicts_stand_between_the_markers_with_links_from_the_folder_above():
    page = f"# A\n\n{readme.BEGIN}\nold\n{readme.END}\n\nrest\n"
    text = "# Overview\n\n[a](tables/a.md) [b](https://b.org)\n\n| counts |\n"
    assert readme.embed(page, text) == (
        f"# A\n\n{readme.BEGIN}\n\n[a](results/tables/a.md) [b](https://b.org)\n\n{readme.END}\n\nrest\n"
    )
    assert readme.embed(readme.embed(page, text), text) == readme.embed(page, text)


@pytest.mark.parametrize("markers", [[], [0], [1, 0], [0, 0, 1]])
def test_a_page_without_its_markers_is_refused(markers):
    page = "\n".join((readme.BEGIN, readme.END)[marker] for marker in markers)
    with pytest.raises(UserError, match=r"^README\.md: needs the two lines"):
        readme.embed(page, "# Overview\n\ntext\n")


def test_the_command_writes_the_readme_and_nothing_without_an_overview(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["regbench readme"])
    monkeypatch.chdir(tmp_path)
    page = Path("README.md")
    page.write_text(f"before\n{readme.BEGIN}\n{readme.END}\nafter\n")
    with pytest.raises(UserError, match=r"^results/overview\.md: is missing; `dvc repro overview` writes it"):
        command.main()
    Path("results").mkdir()
    Path("results/overview.md").write_text("# Overview\n\n[x](tables/x.md)\n")
    command.main()
    assert "](results/tables/x.md)" in page.read_text() and page.read_text().startswith("before\n")


def test_the_readme_shows_the_committed_overview():
    page, text = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "results/overview.md"))
    assert readme.embed(page, text) == page
