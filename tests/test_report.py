"""The report: the page that a real browser shows, of constructed studies and of the committed results."""

import json
import math
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from test_records import a_config, a_record, a_study

from stages import compose
from stages import report as stage
from stages.core.base.errors import UserError
from stages.core.records import records
from stages.core.report import images as report_figures
from stages.core.report import page as report
from stages.core.report import tables as report_tables
from stages.core.report import translations
from stages.core.results import overview, tables
from stages.core.results.checked_csv import to_csv
from stages.core.results.table_schemas import CURVES, OVERVIEW, TABLE

ROOT = Path(__file__).parents[1]
RESULTS = [ROOT / "results" / name for name in ("datasets", "figures", "overview.csv", "runs", "tables")]
TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in stage.TEMPLATES.iterdir()}
NAN = math.nan
HOSTILE = "<script>window.hurt = true</script><img src=x onerror='window.hurt = true'>\"'&{{ 7 * 7 }}"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='900' height='300'><rect width='900' height='300'/></svg>"
LOG = {"epochs": [1, 2], "loss": [1.0, 0.5], "accuracy": [0.4, 0.9], "val_loss": [1.0, 0.6], "val_accuracy": [0.5, 0.9]}
SHEET = {
    "files": [{"name": "toy.gz", "sha256": "f" * 64}],
    "arrays": {"train_x": {"dtype": "uint8", "shape": [100, 4], "sha256": "a" * 64}},
}
ANSWER = {
    "measured": "The worst is {{ others[0].label }} with **{{ others[0].measured }}**, not *__init__* or [a](http://b).",
    "claims": [
        {"claim": "It harms.", "holds": "others[0].worse", "because": "{{ others[0].tested }}"},
        {"claim": "The baseline learns.", "holds": "baseline.learns", "because": HOSTILE.replace("{{ 7 * 7 }}", "")},
        {"claim": "Nothing diverges.", "holds": "None", "because": "No seed tells."},
    ],
}


def results(seeds, name="toy", **changes):
    """A study with all that the pipeline has of it; `seeds` holds the test accuracy of each seed, by row."""
    n = len(next(iter(seeds.values())))
    study = a_study(tuple(seeds), name=name, n_seeds=n, claim="It harms.", answer=None, **changes)
    for declared in study["rows"].values():
        declared["context"] = ""
    found = {}
    for row, values in seeds.items():
        config = {**a_config(row=row, seeds=n), "study": name, "note": HOSTILE}
        written = a_record(config, test=np.nan_to_num(values, nan=0.1), train=0.95)
        for seed, value in zip(written["seeds"], values, strict=True):
            if math.isnan(value):
                seed["final"]["test"]["accuracy"] = seed["final"]["train"]["loss"] = NAN
                seed["first_non_finite_epoch"] = 1
        found[row] = records.parse(records.to_json(written), row)
    summaries = {row: records.summarize(record) for row, record in found.items()}
    curves = tables.curves_table(study, summaries)
    table = tables.comparison_table(study, summaries, curves)
    drawn = {"zebra_plot": SVG, "curves": SVG, "differences": SVG}
    return report.Results(study, table, curves, found, SHEET, drawn)


def constructed():
    """A study with everything, hostile texts included; one of a single seed; one of which nothing is there yet."""
    spread = np.array([-0.001, 0.0, 0.001])
    full = results(
        {
            "none": 0.977 + spread,
            "worse": 0.9 + spread[::-1],
            "better": 0.99 + 3 * spread[[0, 2, 1]],
            "lost": np.array([NAN, NAN, NAN]),
        },
        title=HOSTILE,
        question=HOSTILE,
        source=HOSTILE,
        notes=[HOSTILE],
        dataset_title=HOSTILE,
        reported_logs={"log": LOG},
    )
    full.study["answer"] = ANSWER
    full.study["claim"] = HOSTILE
    for row, reported in {"none": 0.977, "worse": 0.977, "better": 0.99}.items():
        full.study["rows"][row].update(reported=reported, same_reported_as="the line with 0.9770")
    full.study["rows"]["worse"]["label"] = HOSTILE
    summaries = {row: records.summarize(record) for row, record in full.records.items()}
    full = report.Results(**{**vars(full), "table": tables.comparison_table(full.study, summaries, full.curves)})
    single = results({"none": np.array([0.9]), "l2": np.array([0.5])}, name="single")
    bare = report.Results({**single.study, "name": "bare", "title": "Nothing yet"})
    return [full, single, bare]


def html_of(studies, figures=None):
    known = [of_study for of_study in studies if of_study.table is not None]
    declared = {of_study.study["name"]: of_study.study for of_study in known}
    lines = overview.overview_table(declared, {of_study.study["name"]: of_study.table for of_study in known})
    return report.to_html(studies, lines, figures or {}, TEMPLATES)


@pytest.fixture(scope="module")
def page_text():
    return html_of(constructed(), {"critical_difference": SVG})


class Outline(HTMLParser):
    """Headings, images, ids, elements and names of attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.images, self.ids, self.tags, self.attributes = [], [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.attributes |= set(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"])


# --- the text of the page -------------------------------------------------------------------------------------------


def test_the_same_results_give_the_same_bytes(page_text):
    assert html_of(constructed(), {"critical_difference": SVG}) == page_text


def test_whatever_comes_from_a_configuration_is_text(page_text):
    assert Outline(page_text).tags.count("script") == 1
    assert "<img src=x" not in page_text
    assert "{{ 7 * 7 }}" in page_text  # not run as a template either
    # title, question, claim, source, data set, note, label and the records' configurations
    assert page_text.count("&lt;script&gt;window.hurt") > 15


def test_only_the_page_s_own_script_may_run(page_text):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page_text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not {name for name in Outline(page_text).attributes if name == "style" or name.startswith("on")}


def test_an_answer_is_markdown_of_code_and_emphasis_only():
    html = html_of(constructed())
    assert "<strong>0.9000 ± 0.0010 (3)</strong>" in html
    assert "[a](http://b)" in html
    assert re.findall(r'<span class="tag (holds|does_not_hold|cannot_be_told)">', html) == [
        "holds",
        "holds",
        "cannot_be_told",
    ]


def test_headings_images_and_ids_are_in_order(page_text):
    outline = Outline(page_text)
    steps = np.diff([0, *outline.headings])
    assert outline.headings.count(1) == 1
    assert steps.max() == 1
    assert len(outline.images) == 7
    assert all(image["alt"] and image["src"].startswith("data:image/svg+xml;base64,") for image in outline.images)
    assert len(set(outline.ids)) == len(outline.ids)
    assert page_text.count("<caption") == page_text.count("<table") == 4


def test_figures_have_an_order_and_unknown_ones_come_last():
    shown = report_figures.images({"zebra_plot": SVG, "aux": SVG, "curves": SVG, "differences": SVG}, "A study.")
    assert [image.name for image in shown] == ["differences", "curves", "aux", "zebra_plot"]
    assert shown[-1].alt == "Zebra plot. A study."


def cells(of_study, column):
    """Texts of a column of the comparison, without tags."""
    rows = report.answers.rows_of(of_study.study, of_study.table, of_study.curves)
    html = report_tables.comparison(of_study.study, of_study.table, rows).html
    found = re.findall(rf'<td headers="[^"]*-{column}"[^>]*>(.*?)</td>', html, re.DOTALL)
    chosen = [re.sub(r'<span class="t" lang="zh-Hant">.*?</span>', "", cell) for cell in found]
    return [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in chosen]


def test_cells_say_what_the_table_says():
    full = constructed()[0]
    assert cells(full, "measured")[:2] == ["0.9770 ± 0.0010 n = 3", "0.9000 ± 0.0010 n = 3"]
    assert cells(full, "difference")[0] == "baseline"
    assert cells(full, "difference")[1].startswith("worse -0.0770 [")
    assert cells(full, "difference")[2].startswith("better +0.0130 [")
    assert cells(full, "reproduced")[0].startswith("yes [")
    assert cells(full, "reproduced")[1].startswith("no [")


def test_rows_that_diverge_claim_nothing():
    full = constructed()[0]
    lost = {name: cells(full, name)[3] for name in ("measured", "difference", "p_holm", "effect_size", "reproduced")}
    assert lost == {
        "measured": "– 0 of 3 seeds finite",
        "difference": "–",
        "p_holm": "–",
        "effect_size": "–",
        "reproduced": "–",
    }
    assert cells(full, "diagnosis")[3].startswith("diverged loss not finite in 3 of 3 seeds")


def test_one_seed_claims_nothing():
    single = constructed()[1]
    assert cells(single, "measured") == ["0.9000 ± – n = 1", "0.5000 ± – n = 1"]
    assert cells(single, "difference") == ["baseline", "-0.4000 [–]"]
    assert cells(single, "p_holm") == ["–", "–"]


def test_rows_made_in_different_ways_are_told_apart():
    made = constructed()[0].records
    made["worse"] = made["worse"].model_copy(update={"device": "gpu"})
    found = {fact.name: fact.values for fact in report.facts(made)}
    assert found["device"] == {"cpu": ["none", "better", "lost"], "gpu": ["worse"]}
    assert found["seeds"] == {"0–2": ["none", "worse", "better", "lost"]}
    assert found["digest"] == {"d" * 64: ["none", "worse", "better", "lost"]}


def test_every_word_is_there_in_both_languages():
    assert all(english.strip() and chinese.strip() for english, chinese in translations.WORDS.values())
    names = {*tables.diagnosis.NAMES, *report.VERDICTS.values(), *tables.LOG_COLUMNS}
    assert names <= set(translations.WORDS)


# --- the stage ------------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A study as the pipeline leaves it, with a figure."""
    monkeypatch.chdir(tmp_path)
    of_study = results({"none": np.array([0.9, 0.91, 0.92]), "l2": np.array([0.8, 0.82, 0.81])})
    write("params.yaml", json.dumps({"device": "cpu", "studies": {"toy": {"dataset": "toy_data", "seeds": 3}}}))
    write("build/studies/toy.yaml", json.dumps(of_study.study))
    write("results/tables/toy.csv", to_csv(of_study.table, TABLE, "table"))
    write("results/tables/toy_curves.csv", to_csv(of_study.curves, CURVES, "curves"))
    write("results/datasets/toy_data.json", json.dumps(SHEET))
    for row in of_study.study["rows"]:
        config = {**a_config(row=row), "note": "x"}
        write(f"results/runs/toy/{row}.json", records.to_json(a_record(config)))
    write("results/figures/toy/differences.svg", SVG.decode())
    return tmp_path


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def test_the_stage_writes_the_same_page_again(workspace, capsys):
    stage.main()
    first = (workspace / "results/report.html").read_bytes()
    stage.main()
    assert (workspace / "results/report.html").read_bytes() == first
    assert capsys.readouterr().out.split() == ["results/report.html"] * 2
    assert Outline(first.decode()).images


def test_a_study_that_has_not_run_is_shown_without_results(workspace):
    shutil.rmtree("results")
    stage.main()
    text = Path("results/report.html").read_text(encoding="utf-8")
    assert "Does it learn?" in text
    assert "This study has no results yet." in text


def test_a_record_edited_by_hand_is_refused(workspace):
    path = Path("results/runs/toy/l2.json")
    path.write_text(path.read_text().replace('"cpu"', '"gpu"'))
    with pytest.raises(UserError, match=r"results/runs/toy/l2\.json: was edited by hand"):
        stage.main()
    assert not Path("results/report.html").exists()


def test_the_overview_is_the_one_of_the_results_and_of_no_other_studies(workspace):
    study = results({"none": np.array([0.9, 0.91, 0.92]), "l2": np.array([0.8, 0.82, 0.81])})
    lines = overview.overview_table({"toy": study.study}, {"toy": study.table})
    write("results/overview.csv", to_csv(lines.assign(detectable_difference=0.777), OVERVIEW, "overview"))
    stage.main()
    text = Path("results/report.html").read_text(encoding="utf-8")
    assert 'value="0.777"' in text
    write("results/overview.csv", to_csv(lines.assign(study="gone"), OVERVIEW, "overview"))
    with pytest.raises(UserError, match=r"^results/overview\.csv: has other studies than params\.yaml"):
        stage.main()


def test_a_table_of_other_rows_is_refused(workspace):
    path = Path("results/tables/toy.csv")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"results/tables/toy\.csv: does not have the study's rows"):
        stage.main()


# --- the page in a browser ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory, page_text):
    """The page of the constructed studies, and that of the committed results."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "constructed.html").write_text(page_text, encoding="utf-8")
    (folder / "results").mkdir()
    for name in ("conf", "stages", "params.yaml", "dvc.yaml", *(f"results/{path.name}" for path in RESULTS)):
        (folder / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compose.main()
        stage.main()
    return {"constructed": folder / "constructed.html", "committed": folder / "results/report.html"}


@pytest.fixture(scope="module", params=["constructed", "committed"])
def address(request, pages):
    return pages[request.param].as_uri()


@pytest.fixture
def visit(chromium):
    """Open an address in a browser of its own, with these settings; what it says and asks for is kept with the page."""
    contexts = []

    def visit(address, **settings):
        contexts.append(chromium.new_context(**settings))
        page = contexts[-1].new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()


def test_it_opens_from_a_file_without_network_or_complaint(visit, address):
    page = visit(address)
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
    assert page.evaluate("window.hurt") is None
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [address]


def test_headings_descend_and_images_are_described(visit, address):
    page = visit(address)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert max(np.diff(levels)) == 1
    assert page.evaluate("[...document.images].every(image => image.alt.length > 20)")
    assert page.evaluate("[...document.querySelectorAll('table')].every(table => table.caption.innerText)")
    assert page.evaluate("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == page.evaluate(
        "document.querySelectorAll('[id]').length"
    )


CLICK_THRICE = """
[...document.querySelectorAll("table")].flatMap(table => [...table.tHead.rows[0].cells].map((heading, column) => {
  const values = () => [...table.tBodies[0].rows].map(row => row.cells[column].querySelector("data").value);
  const states = [{values: values(), sorted: []}];
  for (let click = 0; click < 3; click++) {
    heading.querySelector("button").click();
    const sorted = [...table.querySelectorAll("[aria-sort]")];
    states.push({values: values(), sorted: sorted.map(one => one === heading && one.getAttribute("aria-sort"))});
  }
  return states;
}))
"""


def test_a_click_on_any_heading_sorts(visit, address):
    columns = visit(address).evaluate(CLICK_THRICE)
    assert len(columns) > 30
    for before, upwards, downwards, after in columns:
        known = [value for value in before["values"] if value]
        missing = [""] * (len(before["values"]) - len(known))
        numeric = all(map(is_number, known))
        sorts = [state["sorted"] for state in (before, upwards, downwards, after)]
        assert sorts == [[], ["ascending"], ["descending"], []]
        assert after["values"] == before["values"]
        for state, reverse in ((upwards, False), (downwards, True)):
            assert sorted(state["values"]) == sorted(before["values"])
            assert state["values"][len(known) :] == missing
            if numeric:
                assert list(map(float, state["values"][: len(known)])) == sorted(map(float, known), reverse=reverse)


def is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def test_the_keyboard_sorts_too(visit, pages):
    page = visit(pages["constructed"].as_uri())
    page.focus("#comparison-toy-measured button, th[id$='comparison-toy-measured'] button")
    page.keyboard.press("Enter")
    labels = page.evaluate(
        "[...document.querySelector('#study-toy table').tBodies[0].rows].map(row => row.cells[0].innerText)"
    )
    assert labels == [HOSTILE, "row none", "row better", "row lost"]  # 0.9, 0.977, 0.99 and no figure


def test_the_language_switch(visit, address):
    page = visit(address)
    heading, question = "section.study thead th:first-child", page.inner_text(".question")
    assert page.inner_text(heading).strip() == "Row"
    assert page.get_attribute("html", "lang") == "en"
    page.click("#language")
    assert page.get_attribute("html", "lang") == "zh-Hant"
    assert page.inner_text(heading).strip() == "參數"
    assert page.inner_text("section.study thead th:nth-child(2)").strip() == "結果"
    assert "Reported" not in page.inner_text("section.study thead")
    assert page.inner_text(".question") == question
    page.reload()
    assert page.inner_text(heading).strip() == "參數"  # remembered
    page.click("#language")
    assert page.inner_text(heading).strip() == "Row"


def test_the_language_switch_without_storage(visit, pages):
    page = visit(pages["constructed"].as_uri())
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('none here'); }})")
    page.reload()
    page.click("#language")
    assert page.get_attribute("html", "lang") == "zh-Hant"
    assert page.said == []


def test_a_phone_scrolls_tables_and_not_the_page(visit, address):
    page = visit(address, viewport={"width": 360, "height": 740}, has_touch=True)
    for language in ("en", "zh-Hant"):
        page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        assert page.get_attribute("html", "lang") == language
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.evaluate("document.body.scrollWidth") == 360
        assert page.is_visible("section.study .overflowing + .hint")
        page.click("#language")
    frame = page.query_selector("section.study .overflowing")
    frame.evaluate("frame => { frame.scrollLeft = 200; }")
    left = frame.evaluate("frame => frame.querySelector('tbody th').getBoundingClientRect().left")
    assert left == pytest.approx(frame.bounding_box()["x"], abs=1)  # the row's label stays


def test_the_system_s_dark_scheme_is_followed(visit, address):
    page = visit(address)
    shown = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours = page.evaluate(
            "[[document.body, 'backgroundColor'], [document.body, 'color'], [document.querySelector('.card'), "
            "'backgroundColor']].map(([element, name]) => getComputedStyle(element)[name])"
        )
        shown[scheme] = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in colours]
    (light_paper, light_ink, light_card), (dark_paper, dark_ink, dark_card) = shown.values()
    assert (light_paper > 230, light_ink < 70) == (True, True)
    assert (dark_paper < 70, dark_ink > 200) == (True, True)
    assert light_card == dark_card == 255  # figures are drawn for white


def test_the_skip_link_is_the_first_stop(visit, pages):
    page = visit(pages["constructed"].as_uri())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#overview"
