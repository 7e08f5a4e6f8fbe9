"""Review of a result change, in Git repositories made of committed records: its words, and what it must not claim."""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import small

from stages.commands import review as command
from stages.core.base.errors import UserError
from stages.core.config.yaml import read_yaml
from stages.core.records import records
from stages.core.results.general import GENERAL
from stages.core.review import compare as review
from stages.core.review import conclusions, staleness
from stages.core.review import markdown as review_markdown

ROOT = Path(__file__).parent.parent
RUNS = Path("results/runs")
DIGITS, CHAPTER, MAE = "digits_comparison", "mnist_first_chapter", "kin8nm_regression"
NAN = math.nan


def load(key):
    record = json.loads((ROOT / RUNS / f"{key}.json").read_text(encoding="utf-8"))
    del record["checksum"]
    return record


def named(record, row):
    """The record under another row's name, as if that row had been configured so."""
    return record | {"row": row, "config": record["config"] | {"row": row}}


def with_seeds(record, seeds, renumber=False):
    chosen = [one for one in record["seeds"] if one["seed"] in seeds]
    if renumber:
        chosen = [one | {"seed": number} for number, one in enumerate(chosen)]
    return record | {"config": record["config"] | {"seeds": len(chosen)}, "seeds": chosen}


def with_values(record, values, metric="accuracy", split="test"):
    """The record with as many seeds as `values`, which are their final metric."""
    seeds = []
    for number, value in enumerate(values):
        final = {name: dict(part) for name, part in record["seeds"][0]["final"].items()}
        final[split][metric] = value
        seeds.append(record["seeds"][0] | {"seed": number, "final": final})
    return record | {"config": record["config"] | {"seeds": len(seeds)}, "seeds": seeds}


def with_config(record, **changes):
    return record | {"config": record["config"] | changes}


def git(folder, *arguments):
    """Git in `folder`, without the settings of whoever runs the test."""
    who = {f"GIT_{role}_{what}": "t@t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", **who}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def declared():
    """All studies, by name."""
    return {path.stem: review.declared(read_yaml(path), path.name) for path in (ROOT / "conf/study").glob("*.yaml")}


class Repository:
    """A Git repository with nothing but records and what declares them."""

    def __init__(self, folder):
        self.folder = folder
        git(folder, "init", "--quiet", "--initial-branch=main")
        (folder / "conf").mkdir()
        shutil.copytree(ROOT / "conf/study", folder / "conf/study")

    def write(self, *given):
        for record in given:
            path = self.folder / RUNS / record["study"] / f"{record['row']}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(records.to_json(record), encoding="utf-8")

    def remove(self, key):
        (self.folder / RUNS / f"{key}.json").unlink()

    def commit(self, *given):
        self.write(*given)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", "x")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


@pytest.fixture
def reviewed(repository, monkeypatch, capsys):
    """What the command prints for `repository`."""

    def run(base="HEAD"):
        monkeypatch.chdir(repository.folder)
        monkeypatch.setattr(sys, "argv", ["review", base])
        monkeypatch.setattr(command, "not_up_to_date", lambda side: [])  # there is no pipeline here
        command.main()
        return capsys.readouterr().out

    return run


def table_lines(text):
    """Cells of each row of the tables."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [one for one in cells if one[0] not in {"row", "---"}]


def lines(text):
    """Cells of each row of one study's table, by the row's name."""
    return {one[0].partition("<br>")[0]: one for one in table_lines(text)}


def verdict(text, row):
    return lines(text)[row][-1]


# --- what a reviewer must be told


def test_other_seeds_are_noise(repository, reviewed):
    """The committed seeds 0 to 4 against 5 to 9, of every row: trained alike, nothing else in common."""
    found = [load(path.relative_to(ROOT / RUNS).with_suffix("")) for path in sorted((ROOT / RUNS).glob("*/*.json"))]
    given = [record for record in found if len(record["seeds"]) == 10]
    repository.commit(*(with_seeds(record, range(5)) for record in given))
    repository.write(*(with_seeds(record, range(5, 10)) for record in given))
    text = reviewed()
    told = Counter(cells[-1].removeprefix("diverged (5 of 5 seeds), ") for cells in table_lines(text))
    known = told["noise"] + told["same figures"]
    assert known + told["**better**"] + told["**worse**"] == sum(told.values()) == len(given)
    assert known >= 0.95 * len(given)
    grid = ["test accuracy, higher", "validation accuracy, higher", "validation mae, lower"]  # by what they monitor
    assert re.findall(r"### grid: (.*) is better", text) == grid
    assert text.count("seeds: 0 to 4 → 5 to 9") == len({record["study"] for record in given} - {"grid"}) + len(grid)


@pytest.mark.parametrize("renumber", [False, pytest.param(True, marks=pytest.mark.long)])
def test_any_five_seeds_against_the_other_five_are_noise(monkeypatch, renumber):
    """Renumbered, seeds that share nothing compare in pairs, as when the code that derives their numbers changed."""
    monkeypatch.setattr("gc.collect", int)  # statsmodels collects garbage in every call: nearly all the time
    paths = sorted((ROOT / RUNS).glob("*/*.json"))
    found = review.read({f"{path.parent.name}/{path.stem}": path.read_bytes() for path in paths}, str(RUNS)).records
    given = {key: record for key, record in found.items() if len(record.seeds) == 10}
    random, words = np.random.default_rng(1), []

    def side(seeds):
        numbers = range(5) if renumber else seeds
        return review.Side(
            {key: bytes(seeds) for key in given},
            {
                key: record.model_copy(
                    update={
                        "seeds": [
                            record.seeds[seed].model_copy(update={"seed": number})
                            for seed, number in zip(seeds, numbers, strict=True)
                        ]
                    }
                )
                for key, record in given.items()
            },
            {},
        )

    for _ in range(10):
        seeds = random.permutation(10).tolist()
        told = review.compare(side(seeds[:5]), side(seeds[5:]), declared())
        words += [[change.word for change in study.changes] for study in told.studies]
    wrong = [sum(word in {review.BETTER, review.WORSE} for word in study) for study in words]
    assert {study.name for study in told.studies} == {key.partition("/")[0] for key in given}
    assert len(wrong) == 10 * len(told.studies)
    assert np.mean(np.array(wrong) > 0) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(wrong))
    assert sum(wrong) <= 0.02 * sum(map(len, words))


@pytest.mark.parametrize(
    ("old", "new", "change", "word"),
    [
        ("kernel_l2_1e-4", "kernel_l2_1e-3", "0.0001 → 0.001", "**worse**"),
        ("kernel_l2_1e-3", "kernel_l2_1e-4", "0.001 → 0.0001", "**better**"),
    ],
)
def test_a_tenfold_coefficient_is_named_and_more_than_noise(repository, reviewed, old, new, change, word):
    repository.commit(load("mnist_comparison/none"), load(f"mnist_comparison/{old}"))
    repository.write(named(load(f"mnist_comparison/{new}"), old))
    text = reviewed()
    assert verdict(text, old.replace("_", "\\_")) == f"{word}, changed config: regularizers.kernel.l2 {change}"
    assert "**1 row changed; 1 of the differences is more than noise.** 1 row unchanged." in text


def test_lower_is_better_where_the_metric_is_an_error(repository, reviewed):
    row = "l2_1e-3"
    repository.commit(load(f"{MAE}/{row}"))
    repository.write(named(load(f"{MAE}/l2_1e-4"), row))
    text = reviewed()
    assert "validation mae, lower is better" in text
    cells = lines(text)["l2\\_1e-3"]
    assert "changed config" in cells[-1] and cells[3].startswith("+")


def test_a_renamed_row_says_so(repository, reviewed):
    repository.commit(load(f"{DIGITS}/none"), load(f"{DIGITS}/linear"))
    repository.remove(f"{DIGITS}/linear")
    repository.write(named(load(f"{DIGITS}/linear"), "identity"))
    text = reviewed()
    assert verdict(text, "identity") == "renamed from linear, same figures"
    assert "**1 row renamed; none of the differences is more than noise.** 1 row unchanged." in text


def test_a_renamed_row_that_ran_again_is_compared(repository, reviewed):
    repository.commit(with_seeds(load(f"{DIGITS}/linear"), range(5)))
    repository.remove(f"{DIGITS}/linear")
    repository.write(named(with_seeds(load(f"{DIGITS}/linear"), range(5, 10)), "identity"))
    assert verdict(reviewed(), "identity") == "renamed from linear, noise"


def test_a_row_of_another_config_is_not_a_renamed_one(repository, reviewed):
    repository.commit(load(f"{DIGITS}/none"), load(f"{DIGITS}/linear"))
    repository.remove(f"{DIGITS}/linear")
    repository.write(load(f"{DIGITS}/kernel_l2_1e-4"))
    text = reviewed()
    assert verdict(text, "linear") == "removed"
    assert verdict(text, "kernel\\_l2\\_1e-4").startswith("added")
    assert "**1 row added; 1 row removed.** 1 row unchanged." in text


def test_a_moved_study_is_renamed_rows(repository, reviewed):
    repository.commit(load(f"{DIGITS}/none"), load(f"{DIGITS}/linear"))
    shutil.rmtree(repository.folder / RUNS / DIGITS)
    for row in ("none", "linear"):
        record = load(f"{DIGITS}/{row}")
        repository.write(with_config(record, study="moved") | {"study": "moved"})
    text = reviewed()
    assert verdict(text, "linear") == f"renamed from {DIGITS}/linear, same figures".replace("_", "\\_")
    assert "### moved: test accuracy" in text  # no file declares it: the metric is the one its training monitored


def test_newly_diverged_and_no_longer_diverged(repository, reviewed):
    fine, lost = load(f"{CHAPTER}/linear_mse_lr_1e-3"), load(f"{CHAPTER}/linear_mse_lr_3")
    repository.commit(fine, lost)
    repository.write(named(lost, fine["row"]), named(fine, lost["row"]))
    text = reviewed()
    config = "changed config: optimizer.learning\\_rate"
    assert verdict(text, "linear\\_mse\\_lr\\_1e-3") == (
        f"**newly diverged** (10 of 10 seeds), **worse**, {config} 0.001 → 3.0"
    )
    assert verdict(text, "linear\\_mse\\_lr\\_3") == f"no longer diverged, **better**, {config} 3.0 → 0.001"
    assert "1 row newly diverged; 1 row no longer diverged" in text
    assert next(iter(lines(text))) == "linear\\_mse\\_lr\\_1e-3"  # the worst comes first


def test_an_added_row_is_held_against_the_baseline_as_in_the_table(repository, reviewed):
    rows = [path.stem for path in sorted((ROOT / RUNS / DIGITS).glob("*.json"))]
    repository.commit(load(f"{DIGITS}/none"))
    repository.write(*(load(f"{DIGITS}/{row}") for row in rows))
    text = reviewed()
    with (ROOT / f"results/tables/{DIGITS}.csv").open(encoding="utf-8", newline="") as file:
        table = {line["row"]: line for line in csv.DictReader(file)}
    shown = lines(text)
    assert len(shown) == len(rows) - 1
    for row in set(rows) - {"none"}:
        cells, line = shown[row.replace("_", "\\_")], table[row]
        mean, low, high = (float(number) for number in re.findall(r"[-+]?\d\.\d+", cells[3]))
        assert (mean, low, high) == pytest.approx(
            [float(line[name]) for name in ("difference", "difference_low", "difference_high")], abs=1e-4, rel=1e-3
        )
        p = float(line["p_holm"])
        assert cells[4] == "\\< 0.001" if p < 0.001 else float(cells[4]) == pytest.approx(p, abs=1e-3)
        word = "**better** than" if mean > 0 else "**worse** than"
        assert cells[-1] == f"added, {word if p < 0.05 else 'noise beside'} none"


def test_what_many_rows_share_is_said_once(repository, reviewed):
    rows = ["none", "linear", "kernel_l1_1e-3"]
    repository.commit(*(load(f"{DIGITS}/{row}") for row in rows))
    for row in rows:
        record = with_values(load(f"{DIGITS}/{row}"), np.linspace(0.8, 0.9, 10))
        changes = {"fingerprint": "f" * 64, "training": record["config"]["training"] | {"epochs": 20}}
        versions = {"versions": record["versions"] | {"keras": "9.9.9"}, "data": record["data"] | {"digest": "d" * 64}}
        repository.write(with_config(record, **changes) | versions)
    text = reviewed()
    assert text.count("9.9.9") == text.count("f" * 12) == text.count("d" * 12) == text.count("epochs") == 1
    assert "- version of keras: 3.15.1 → 9.9.9 (3 rows)" in text
    assert "- config of every changed row: training.epochs 10 → 20" in text
    assert all(cells[-1].endswith("changed config") for cells in lines(text).values())


def test_rows_that_trained_again_to_the_same_figures_are_counted(repository, reviewed):
    record = load(f"{DIGITS}/none")
    repository.commit(record)
    repository.write(with_config(record, fingerprint="f" * 64))
    text = reviewed()
    assert "**No result changed.** 0 rows unchanged; 1 row trained again with the same figures." in text
    assert "ffffff" in text and lines(text) == {}


def test_more_seeds_compare_over_the_seeds_on_both_sides(repository, reviewed):
    record = load(f"{DIGITS}/none")
    repository.commit(with_seeds(record, range(5)))
    repository.write(record)
    text = reviewed()
    assert lines(text)["none"][3:] == ["0, 5 pairs", "", "same figures"]
    assert "seeds: 0 to 4 → 0 to 9" in text


def test_a_pull_request_is_compared_with_where_it_left_the_base(repository, reviewed):
    repository.commit(load(f"{DIGITS}/none"), load(f"{DIGITS}/linear"))
    git(repository.folder, "checkout", "--quiet", "-b", "topic")
    repository.commit(with_seeds(load(f"{DIGITS}/linear"), range(5)))
    git(repository.folder, "checkout", "--quiet", "main")
    repository.commit(with_seeds(load(f"{DIGITS}/none"), range(5)))  # what main got in the meantime
    git(repository.folder, "checkout", "--quiet", "topic")
    repository.write(load(f"{DIGITS}/kernel_l1_1e-3"))  # not committed yet
    assert set(lines(reviewed("main"))) == {"linear", "kernel\\_l1\\_1e-3"}


def test_the_merge_that_github_tries_is_compared_with_its_first_parent(repository, reviewed, tmp_path_factory):
    """As in review.yml: a shallow clone of the merge commit and its parents."""
    repository.commit(load(f"{DIGITS}/none"))
    repository.commit(load(f"{DIGITS}/linear"))
    git(repository.folder, "checkout", "--quiet", "-b", "topic", "HEAD~1")
    repository.commit(load(f"{DIGITS}/kernel_l1_1e-3"))
    git(repository.folder, "checkout", "--quiet", "main")
    git(repository.folder, "merge", "--quiet", "--no-ff", "--message", "x", "topic")
    clone = tmp_path_factory.mktemp("clone")
    git(clone, "clone", "--quiet", "--depth=2", f"file://{repository.folder}", ".")
    repository.folder = clone
    assert set(lines(reviewed("HEAD^1"))) == {"kernel\\_l1\\_1e-3"}


def test_index_and_working_tree_stay_as_they_are(repository, reviewed):
    repository.commit(load(f"{DIGITS}/none"), load(f"{DIGITS}/linear"))
    repository.write(with_seeds(load(f"{DIGITS}/none"), range(5)))
    git(repository.folder, "add", "--all")
    repository.write(with_seeds(load(f"{DIGITS}/linear"), range(5)))
    files = [path for path in repository.folder.rglob("*") if path.is_file()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    reviewed()
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in repository.folder.rglob("*") if path.is_file()
    }


# --- what it must not claim


def judged(repository, reviewed, record, old, new, metric="accuracy", split="test"):
    repository.commit(with_values(record, old, metric, split))
    repository.write(with_values(record, new, metric, split))
    return lines(reviewed())[record["row"].replace("_", "\\_")]


@pytest.mark.parametrize(
    ("old", "new", "difference", "word"),
    [
        ([0.9], [0.5], "-0.4000 [–]", "cannot tell (one seed)"),
        ([0.9] * 5, [0.5] * 5, "-0.4000 [–]", "cannot tell (the seeds have no spread)"),
        ([0.9, 0.8], [0.8, 0.7], "-0.1000 [–]", "cannot tell (the seeds have no spread)"),
        ([0.9, 0.8], [0.9, 0.8000001], "0", "same figures"),  # the last digit of a record
        ([0.9], [0.9, 0.8, 0.7], "-0.1000 [–], unpaired", "cannot tell (one seed)"),
    ],
)
def test_without_a_spread_there_is_no_word(repository, reviewed, old, new, difference, word):
    cells = judged(repository, reviewed, load(f"{DIGITS}/none"), old, new)
    assert (cells[3], cells[4], cells[-1]) == (difference, "", word)


@pytest.mark.parametrize(
    ("old", "new", "now"),
    [
        ([0.1, 0.2, 0.3], [0.01, None, 0.02], "0.0150 ± 0.0071 (2 of 3 finite)"),
        ([None, None], [0.1, 0.2], "0.150 ± 0.071 (2)"),
        ([0.1, 0.2], [None, None], "not finite in any of 2 seeds"),
        ([None], [None, None], "not finite in any of 2 seeds"),
    ],
)
def test_seeds_that_are_not_finite_make_no_row_better(repository, reviewed, old, new, now):
    cells = judged(repository, reviewed, load(f"{MAE}/l2_0"), old, new, "mae", "validation")
    assert cells[2:] == [now, "–", "", "cannot tell (metric missing or not finite in a seed)"]


def test_a_row_that_diverges_on_both_sides_says_in_how_many_seeds(repository, reviewed):
    record = load(f"{CHAPTER}/linear_mse_lr_3")
    fine = load(f"{CHAPTER}/linear_mse_lr_1e-3")
    repository.commit(record | {"seeds": [*record["seeds"][:2], *fine["seeds"][2:]]})
    repository.write(record | {"seeds": [*record["seeds"][:5], *fine["seeds"][5:]]})
    assert verdict(reviewed(), "linear\\_mse\\_lr\\_3").startswith("diverged (5 of 10 seeds, 2 before), ")


def test_no_effect_gives_false_words_in_at_most_five_percent_of_the_studies(monkeypatch):
    """Half of the studies run again with the same seed numbers, half with others."""
    monkeypatch.setattr("gc.collect", int)  # statsmodels collects garbage in every call: nearly all the time
    random, studies, rows, seeds = np.random.default_rng(3), 400, 3, 5

    def side(offset):
        found = {}
        for study in range(studies):
            numbers = range(seeds) if study % 2 else range(offset, offset + seeds)
            shared = random.normal(0.9, 0.01, seeds)
            for row in range(rows):
                values = shared + random.normal(0, 0.01, seeds)
                found[f"s{study}/r{row}"] = _record(f"s{study}", f"r{row}", dict(zip(numbers, values, strict=True)))
        return review.Side({key: b"%r" % [offset, key] for key in found}, found, {})

    told = review.compare(side(0), side(seeds), {})
    words = [{change.word for change in study.changes} for study in told.studies]
    assert len(words) == studies
    assert all(found <= {review.NOISE, review.BETTER, review.WORSE} for found in words)
    wrong = [found != {review.NOISE} for found in words]
    for half in (wrong[::2], wrong[1::2]):
        assert sum(half) / len(half) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(half))


def test_a_real_effect_is_found():
    random = np.random.default_rng(4)

    def side(mean, text):
        values = dict(enumerate(random.normal(mean, 0.01, 10)))
        return review.Side({"s/r": text}, {"s/r": _record("s", "r", values)}, {})

    assert [
        review.compare(side(0.9, b"old"), side(mean, b"new"), {}).studies[0].changes[0].word for mean in (0.8, 1.0)
    ] == [
        review.WORSE,
        review.BETTER,
    ]


def _record(study, row, values):
    """A record that holds as much as a review looks at."""
    final = {
        number: {"test": {"accuracy": value}, "train": {"loss": 0.5, "accuracy": value}}
        for number, value in values.items()
    }
    return records.Record.model_construct(
        study=study,
        row=row,
        config={"study": study, "row": row, "split": {"monitor": "test"}},
        data=records.Data.model_construct(dataset="t", digest="d", samples={"train": 1, "test": 1}),
        versions={},
        device="cpu",
        seeds=[
            records.Seed.model_construct(seed=number, final=one, first_non_finite_epoch=None)
            for number, one in final.items()
        ],
    )


# --- size and safety of the text


@pytest.fixture(scope="module")
def many():
    """250 rows of one study, before and after a change of each, with long texts of more than one byte a character."""
    record = load(f"{DIGITS}/none")
    random = np.random.default_rng(5)

    def side(coefficient, mean):
        texts = {}
        for index in range(250):
            regularizers = {f"係數{'很長' * 30}_{place}": coefficient + index for place in range(9)}
            row = with_config(named(record, f"row_{index}"), regularizers=regularizers)
            row = with_values(row, mean(index) + random.normal(0, 0.001, 5))
            texts[f"{DIGITS}/row_{index}"] = records.to_json(row).encode()
        return review.read(texts, "x")

    before = side(1.0, lambda index: 0.9)
    return before, side(2.0, lambda index: 0.5 if index == 249 else 0.9)


def test_250_changed_rows_fit_into_a_comment(many):
    labels = {f"row_{index}": "標籤 <b>|</b> " * 50 for index in range(250)}
    text = review_markdown.to_markdown(
        review.compare(*many, {DIGITS: review.Study("test.accuracy", "none", labels)}), "main"
    )
    assert len(text.encode()) < 60_000
    shown = lines(text)
    assert len(shown) >= 5
    assert next(iter(shown)) == "row\\_249"  # more than noise: before all others
    left = re.search(r"^… and (\d+) more rows: (.*)\.$", text, re.MULTILINE)
    assert int(left[1]) + len(shown) == 250
    assert sum(int(number) for number in re.findall(r"(\d+) ", left[2])) == int(left[1])
    assert "**250 rows changed; 1 of the differences is more than noise.**" in text
    assert text.rstrip().endswith("</details>")


def test_too_many_studies_leave_the_headline():
    study = review.Study("test.accuracy", None, {})
    changes = [review.Change("removed", "row", before=review.Figures({0: 0.9}, 0))]
    studies = [review.StudyReview("很長" * 50, study, changes, {}, {}) for _ in range(1000)]
    text = review_markdown.to_markdown(review.Review(studies, 0, 0, []), "main")
    assert len(text.encode()) < 60_000
    assert "**1000 rows removed.**" in text and "1000 studies changed, too many to list" in text


def test_many_unreadable_records_are_counted():
    side = review.read({f"s/{'r' * 200}{index}": b"\xff" for index in range(1000)}, "x")
    text = review_markdown.to_markdown(review.compare(side, side, {}), "main")
    assert len(text.encode()) < 10_000
    assert "… and 1990 more" in text
    assert "No result changed" not in text


NASTY = "<script>alert(1)</script> | `x` [a](b) **b** &lt;b&gt; $x$\n# h \u202e\ud800\x1b[31m"


def test_texts_from_outside_are_shown_and_do_nothing(repository, reviewed):
    record = load(f"{DIGITS}/none")
    repository.commit(record)
    changed = with_config(record, training={"loss": NASTY, NASTY: 1}) | {"seeds": load(f"{DIGITS}/linear")["seeds"]}
    text = json.dumps(json.loads(records.to_json(changed)))  # in ASCII, for UTF-8 has no half of a surrogate pair
    (repository.folder / RUNS / DIGITS / "none.json").write_text(text, encoding="utf-8")
    path = repository.folder / f"conf/study/{DIGITS}.yaml"
    label = json.dumps(NASTY.replace("\ud800", ""))
    path.write_text(path.read_text(encoding="utf-8").replace('"no regularizer"', label), encoding="utf-8")
    text = reviewed("HEAD")
    [cells] = table_lines(text)
    outside = cells[0].replace("<br>", "") + cells[-1]
    assert not re.search(r"(?<!\\)[<>`\[\]$]|&(?!amp;)|[^\x20-\x7e→…]", outside)
    assert outside.count("\\<script\\>") == 3


# --- what a user can do wrong


def test_an_unknown_revision(repository, reviewed):
    repository.commit(load(f"{DIGITS}/none"))
    for base in ("nowhere", "HEAD~5", "", "main:results"):
        with pytest.raises(UserError, match=f"^{base}: is no revision of this repository"):
            reviewed(base)


def test_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="not a git repository"):
        command.common_commit("main")


def test_no_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository.folder))
    with pytest.raises(UserError, match="git is not installed"):
        command.common_commit("main")


def test_no_common_commit(repository, reviewed):
    repository.commit(load(f"{DIGITS}/none"))
    git(repository.folder, "checkout", "--quiet", "--orphan", "other")
    repository.commit(load(f"{DIGITS}/linear"))
    with pytest.raises(UserError, match="main: shares no commit with HEAD"):
        reviewed("main")


def test_no_results_on_a_side(repository, reviewed):
    repository.commit()
    with pytest.raises(UserError, match=r"^main \(at [0-9a-f]{10}\): there are no run records below results/runs$"):
        reviewed("main")
    repository.commit(load(f"{DIGITS}/none"))
    shutil.rmtree(repository.folder / "results")
    with pytest.raises(UserError, match=r"^the working tree: there are no run records"):
        reviewed("main")


def test_a_record_that_cannot_be_read_is_named_and_nothing_is_claimed_of_its_row(repository, reviewed):
    before_versions_were_recorded = load(f"{DIGITS}/linear")
    del before_versions_were_recorded["versions"]
    repository.commit(load(f"{DIGITS}/none"), before_versions_were_recorded, load(f"{DIGITS}/kernel_l1_1e-3"))
    repository.write(load(f"{DIGITS}/linear"))
    path = repository.folder / RUNS / DIGITS
    (path / "kernel_l1_1e-3.json").write_bytes(b"{\xff")
    shutil.copy(path / "none.json", path / "copy.json")
    text = reviewed()
    commit = git(repository.folder, "rev-parse", "HEAD")[:10]
    plain = text.replace("\\", "")
    assert f"- {commit}:{RUNS}/{DIGITS}/linear.json: versions: Field required" in plain
    assert f"- {RUNS}/{DIGITS}/kernel_l1_1e-3.json: is not valid JSON" in plain
    assert f"- {RUNS}/{DIGITS}/copy.json: is the record of {DIGITS}/none" in plain
    assert "**3 of the records cannot be read.** 1 row unchanged." in text
    assert lines(text) == {}


def test_a_study_that_cannot_be_read_is_named(repository, reviewed):
    repository.commit(load(f"{DIGITS}/none"))
    path = repository.folder / f"conf/study/{DIGITS}.yaml"
    path.write_text("metric: 3\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"^conf/study/{DIGITS}.yaml: metric"):
        reviewed()


# --- what is not up to date


def found(status, said=(), rows=None):
    return [(item.name, item.why) for item in staleness.find(status, rows or {}, said)]


def test_what_was_edited_by_hand_comes_first_and_is_no_stale_result():
    status = {
        "train@s/a": [{"changed deps": {"build/rows/s/a.yaml": "modified"}}],
        "studies/x/dvc.yaml:train@s/b": [{"changed outs": {"results/runs/s/b.json": "modified"}}],
        "aggregate@s": [{"changed deps": {"build/rows/s": "modified"}}],
        "report": [{"changed outs": {"results/report.html": "deleted"}}],
        "keep": [{"changed outs": {"build/runs": "not in cache"}}],
        "plot@s": [{"changed outs": {"results/figures/s": "deleted"}}],
    }
    assert found(status, rows={"s/a": staleness.CODE}) == [
        ("results/runs/s/b.json", staleness.EDITED),
        ("results/figures/s", staleness.MISSING),
        ("s/a", staleness.CODE),
        ("tables of s", "older than the rows, records or tables that they are made from"),
    ]


def test_a_fresh_clone_lacks_what_is_not_committed_and_is_up_to_date():
    status = {
        "compose": [{"changed outs": {"build/rows": "not in cache", "build/studies": "not in cache"}}],
        "keep": [{"changed outs": {"build/runs": "not in cache"}}],
        "report": [{"changed outs": {"results/report.html": "deleted"}}],
    }
    assert found(status) == []


def test_a_lock_file_that_is_behind_is_no_stale_result():
    """A comment changes the digest of stages/, and no result."""
    assert found({"code": [{"changed deps": {"stages": "modified"}}]}) == []
    assert found({"answers": ["changed command"]}) == [("answers", "older than changed command")]
    code = {"plot@s": [{"changed deps": {"build/code/plot.yaml": "modified"}}]}
    assert found(code) == [("figures of s", "older than the code or the packages that make them")]


def test_what_the_checks_find_is_said_once():
    """A table of a study that is stale anyway is no second finding; one that DVC takes for good is."""
    status = {"aggregate@s": [{"changed deps": {"stages/core/results": "modified"}}]}
    said = [
        "results/tables/s_curves.csv: line 3 is not what the records give; run `x`",
        "results/answers.md: is missing",
    ]
    assert found(status, said) == [
        ("tables of s", "older than stages/core/results"),
        ("results/answers.md", "is missing"),
    ]


def test_why_a_row_is_stale():
    row = {"fingerprint": "a", "seeds": 2, "training": {"epochs": 3}}
    assert staleness.reason(None, row) == staleness.UNTRAINED
    assert staleness.reason(row | {"fingerprint": "b"}, row) == staleness.CODE
    changed = row | {"fingerprint": "b", "training": {"epochs": 4}}
    assert staleness.reason(changed, row) == f"{staleness.SETTINGS} (training)"


@pytest.fixture
def pipeline(small_repository, tmp_path, monkeypatch, capsys):
    """The command in a copy of the small repository: gives what it complains of and what it prints."""
    folder = small.duplicate(small_repository, tmp_path / "regbench")

    def run():
        monkeypatch.chdir(folder)
        for name, value in small.environment(folder).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["review", "HEAD"])
        try:
            command.main()
        except UserError as error:
            return str(error), capsys.readouterr().out
        return None, capsys.readouterr().out

    return folder, run


@pytest.mark.long
def test_the_command_prints_markdown_and_nothing_else(pipeline):
    folder, _ = pipeline
    done = subprocess.run(
        [sys.executable, "-B", "-m", "stages.commands.cli", "review", "HEAD"],
        cwd=folder,
        env=small.environment(folder) | {"LC_ALL": "C"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("## Results compared with HEAD (at ")
    assert done.stdout.endswith("**No result changed.** 3 rows unchanged.\n")


def test_stale_results_do_not_pass(pipeline, monkeypatch):
    """As they came: a coefficient and the learning rate changed, nothing trained, and numbers typed where they are
    read."""
    folder, run = pipeline
    lock = (folder / "dvc.lock").read_bytes()
    monkeypatch.setattr(command, "CHECKS", (("stages.aggregate",), ("stages.answers",)))  # of what is typed here
    small.edit(folder / small.STUDY, r"kernel.l2=0.001", "kernel.l2=0.002")
    small.edit(folder / "conf/optimizer/adam.yaml", r"^learning_rate: .*", "learning_rate: 0.002")
    small.edit(folder / "results/answers.md", r"0\.\d", "0.9")
    table = folder / f"results/tables/{small.NAME}.md"
    table.write_text(table.read_text(encoding="utf-8") + "typed\n", encoding="utf-8")
    refused, text = run()
    plain = text.replace("\\", "")
    assert refused == "the results are not up to date, see above"
    assert text.index("Not up to date") < text.index("No result changed")
    assert "- results/tables/digits_comparison.md, results/answers.md: edited by hand" in plain
    assert (
        "2 rows (digits_comparison/none, digits_comparison/kernel_l1_1e-3): the configuration has changed (optimizer)"
        in plain
    )
    assert "1 row (digits_comparison/kernel_l2_1e-3): the configuration has changed (optimizer, regularizers)" in plain
    assert (folder / "dvc.lock").read_bytes() == lock


def test_a_record_of_the_grid_is_left_over_only_without_its_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for row in ("grid/a_none", "toy/none"):
        (tmp_path / f"build/rows/{row}.yaml").parent.mkdir(parents=True)
        (tmp_path / f"build/rows/{row}.yaml").touch()
    found = command.left_over(
        ["grid/a_none", "grid/gone", "toy/none", "toy/gone", "dropped/x", "dropped/y"], {"toy": {}}
    )
    assert found == ["results/runs/dropped", "results/runs/grid/gone.json"]


@pytest.mark.long
def test_a_number_that_dvc_was_made_to_accept_does_not_pass(pipeline):
    folder, run = pipeline
    typed = f"results/tables/{small.NAME}.csv"
    small.edit(folder / typed, r"^(digits_comparison,none,.*?,)0\.\d", r"\g<1>0.1")
    small.run(folder, "dvc", "commit", "--force", f"aggregate@{small.NAME}")
    small.run(folder, "dvc", "repro")
    refused, text = run()
    assert refused
    assert f"{typed}: line 2 is not what the records give" in text.replace("\\", "")


# --- conclusions

TABLE = "row,diagnosis,difference,p_holm\n"


def turned(before, after, higher=True):
    tables = [list(csv.DictReader((TABLE + text).splitlines())) for text in (before, after)]
    return [(one.kind, one.about, one.before, one.after) for one in conclusions.of_tables("s", *tables, higher)]


def test_diagnoses_and_what_beats_the_baseline():
    assert turned("a,learning,,\n", "a,learning,,\nb,diverged,0.1,0.01\n") == []
    assert turned("a,learning,,\n", "a,overfitting,,\n") == [("diagnosis", "a", "learning", "overfitting")]
    kind = "beside its baseline"
    before, after = "a,learning,-0.1,0.2\n", "a,learning,-0.1,0.04\n"
    assert turned(before, after) == [(kind, "a", conclusions.NEITHER, conclusions.WORSE)]
    assert turned(before, after, higher=False) == [(kind, "a", conclusions.NEITHER, conclusions.BETTER)]


def test_every_claim_of_the_answers_is_known_with_its_verdict():
    text = (ROOT / "results/answers.md").read_text(encoding="utf-8")
    studies = [read_yaml(ROOT / f"conf/study/{name}.yaml") for name in read_yaml(ROOT / "params.yaml")["studies"]]
    claims = sum(len((study.get("answer") or GENERAL["answer"])["claims"]) for study in studies)
    claims += len(read_yaml(ROOT / "conf/grid.yaml")["claims"])
    gone = conclusions.of_answers(text, "")
    assert len(gone) == claims > 20
    assert {turn.before.split(" with ")[0] for turn in gone} <= {
        "Holds",
        "Does not hold",
        "Cannot be told",
        "Not measured yet",
    }


def test_a_verdict_that_changed_and_figures_that_did_not_matter():
    before = "## T\n\n- It is 0.5 [0.1, 0.9]. **Holds.** Because 1.\n- Other. **Holds.** x\n"
    after = (
        "## T\n\n- It is 0.6 [0.2, 0.8]. **Does not hold.** Because 2.\n- Other. **Holds.** y\n- More. **Holds.** z\n"
    )
    assert [(turn.about, turn.before, turn.after) for turn in conclusions.of_answers(before, after)] == [
        ("It is 0.6 [0.2, 0.8].", "Holds", "Does not hold"),
        ("More.", conclusions.NEW, "Holds"),
    ]
    text = review_markdown.to_markdown(review.Review([], 3, 0, []), "main", turns=conclusions.of_answers(before, after))
    assert text.index("Conclusions that changed: 2 verdicts") < text.index("No result changed")
    assert "Holds → **Does not hold**" in text


def test_more_seeds_of_a_study_are_one_line_and_a_table_behind_it(repository, reviewed):
    rows = ["none", "linear", "kernel_l1_1e-3"]
    repository.commit(*(with_seeds(load(f"{DIGITS}/{row}"), range(5)) for row in rows))
    repository.write(*(load(f"{DIGITS}/{row}") for row in rows))
    text = reviewed()
    before = text.partition("<details>")[0].splitlines()
    assert "- seeds: 0 to 4 → 0 to 9 (3 rows)" in before
    assert "3 rows: 3 same figures." in before
    assert not any(line.startswith("|") for line in before)
    assert set(lines(text)) == {"none", "linear", "kernel\\_l1\\_1e-3"}
