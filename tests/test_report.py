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
from test_config import without_digests
from test_records import a_config, a_record, a_study

from stages import compose
from stages import report as stage
from stages.core.base.errors import UserError
from stages.core.base.text import one_line
from stages.core.config import composition
from stages.core.config.study import Study
from stages.core.config.yaml import read_yaml
from stages.core.records import records
from stages.core.report import drawings, translations
from stages.core.report import page as report
from stages.core.report import tables as report_tables
from stages.core.results import answers, diagnosis, overview, tables
from stages.core.results.checked_csv import to_csv
from stages.core.results.frames import FILES, Frames
from stages.core.results.general import GENERAL
from stages.core.results.table_schemas import OVERVIEW

ROOT = Path(__file__).parents[1]
RESULTS = [ROOT / "results" / name for name in ("datasets", "figures", "overview.csv", "runs", "tables")]
TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in stage.TEMPLATES.iterdir()}
TRANSLATOR = translations.read(TEMPLATES[report.CHINESE])
NAN = math.nan
GRID_CLAIMS = read_yaml(ROOT / "conf/grid.yaml")["claims"]
DATASETS = {"scikit-learn's digits (8 × 8 pixels)", "CIFAR-10 as JPEG"}  # titles, in conf/dataset
HOSTILE = "<script>window.hurt = true</script><img src=x onerror='window.hurt = true'>\"'&{{ 7 * 7 }}"
SVG = (
    b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 900 300' width='900' height='300'>"
    b"<title>hint</title><text x='20' y='50'>epoch</text><text x='20' y='90'>0.5</text></svg>"
)
LOG = {"epochs": [1, 2], "loss": [1.0, 0.5], "accuracy": [0.4, 0.9], "val_loss": [1.0, 0.6], "val_accuracy": [0.5, 0.9]}
SHEET = {
    "files": [{"name": "toy.gz", "sha256": "f" * 64}],
    "arrays": {"train_x": {"dtype": "uint8", "shape": [100, 4], "sha256": "a" * 64}},
}
ANSWER = {
    "measured": "The worst is {{ others[0].label }} with **{{ others[0].measured }}**, not *__init__* or [a](http://b).",
    "claims": [
        {"claim": "It harms.", "holds": "others[0].worse", "because": "{{ others[0].tested }}", "needs": []},
        {"claim": "It learns.", "holds": "baseline.learns", "because": HOSTILE.replace("{{ 7 * 7 }}", ""), "needs": []},
        {"claim": "Nothing diverges.", "holds": "none", "because": "No seed tells.", "needs": []},
        {"claim": "Another net.", "holds": "true", "because": "", "needs": ["another"]},
    ],
}


def results(seeds, name="toy", **changes):
    """A study with all that the pipeline has of it; `seeds` holds the test accuracy of each seed, by row."""
    n = len(next(iter(seeds.values())))
    study = a_study(tuple(seeds), name=name, n_seeds=n, claim="It harms.", answer=None, verdict=[], **changes)
    for declared in study["rows"].values():
        declared |= {"context": "", "regularizers": {}, "dropout": 0.0}
    found = {}
    for row, values in seeds.items():
        config = {**a_config(row=row, seeds=n), "study": name, "note": HOSTILE}
        written = a_record(config, test=np.nan_to_num(values, nan=0.1), train=0.95)
        for seed, value in zip(written["seeds"], values, strict=True):
            if math.isnan(value):
                seed["final"]["test"]["accuracy"] = seed["final"]["train"]["loss"] = NAN
                seed["first_non_finite_epoch"] = 1
        found[row] = records.parse(records.to_json(written), row)
    drawn = {"zebra_plot": SVG, "curves": SVG, "answer": SVG, "differences": SVG}
    return report.Results(study, frames_of(study, found), found, SHEET, drawn)


def frames_of(study, found):
    summaries = {row: records.summarize(record) for row, record in found.items()}
    curves = tables.curves_table(study, summaries)
    return Frames(
        tables.comparison_table(study, summaries, curves),
        curves,
        tables.seeds_table(study, summaries),
        tables.weights_table(study, summaries),
    )


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
        url="https://example.org/?a=1&b=2",
        notes=[HOSTILE],
        dataset_title=HOSTILE,
        reported_logs={"log": LOG},
    )
    full.study["answer"] = ANSWER
    full.study["claim"] = HOSTILE
    for row, reported in {"none": 0.977, "worse": 0.977, "better": 0.99}.items():
        full.study["rows"][row].update(reported=reported, same_reported_as="the line with 0.9770")
    full.study["rows"]["worse"]["label"] = HOSTILE
    full = report.Results(**{**vars(full), "frames": frames_of(full.study, full.records)})
    single = results({"none": np.array([0.9]), "l2": np.array([0.5])}, name="single")
    bare = report.Results({**single.study, "name": "bare", "title": "Nothing yet"})
    return [full, single, bare]


def html_of(studies):
    known = [of_study for of_study in studies if of_study.frames is not None]
    declared = {of_study.study["name"]: of_study.study for of_study in known}
    lines = overview.overview_table(declared, {of_study.study["name"]: of_study.frames.table for of_study in known})
    return report.to_html(studies, lines, TEMPLATES)


@pytest.fixture(scope="module")
def page_text():
    return html_of(constructed())


class Outline(HTMLParser):
    """Ids, elements and names of attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.tags, self.attributes = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.attributes |= set(attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"])


# --- the text of the page -------------------------------------------------------------------------------------------


def test_the_same_results_give_the_same_bytes(page_text):
    assert html_of(constructed()) == page_text


def test_whatever_comes_from_a_configuration_is_text(page_text):
    outline = Outline(page_text)
    assert outline.tags.count("script") == 1 and "img" not in outline.tags
    assert "{{ 7 * 7 }}" in page_text  # not run as a template either
    # title, question, claim, source, data set, note, label and the records' configurations
    assert page_text.count("&lt;script&gt;window.hurt") > 15


def test_only_the_page_s_own_script_may_run(page_text):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page_text)[1]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not {name for name in Outline(page_text).attributes if name == "style" or name.startswith("on")}


def test_an_answer_is_markdown_of_code_and_emphasis_only(page_text):
    assert "<strong>0.9000 ± 0.0010 (3)</strong>" in page_text
    assert "[a](http://b)" in page_text
    judged = re.findall(r'<span class="tag (holds|does_not_hold|cannot_be_told|not_measured)">', page_text)
    assert judged[:4] == ["holds", "holds", "cannot_be_told", "not_measured"]


def test_the_verdict_and_the_figure_that_answers_come_before_all_that_is_folded(page_text):
    toy = page_text[page_text.index('id="study-toy"') : page_text.index('id="study-single"')]
    places = [
        toy.index(part) for part in ('class="verdict"', 'id="figure-toy-answer"', "<details", "figure-toy-curves")
    ]
    assert places == sorted(places)
    assert "This study has no results yet." in page_text[page_text.index('id="study-bare"') :]


def test_a_row_is_tagged_by_the_adjusted_p_value():
    """One row that differs at p 0.03 by itself is not told from noise once four others count, too."""
    noise = np.array([0.0, 0.004, -0.004, 0.002, -0.002])
    same = {f"same_{k}": 0.9 + np.roll(noise, k + 1) for k in range(4)}
    of_study = results({"none": 0.9 + noise, "worse": 0.9 + noise - [0.001, 0.004, 0.008, 0.002, 0.006], **same})
    line = of_study.frames.table.set_index("row").loc["worse"]
    assert line["p_value"] < 0.05 < line["p_holm"]
    rows = answers.rows_of(of_study.study, of_study.frames)
    table = of_study.frames.table
    assert 'class="tag worse"' not in report_tables.comparison(of_study.study, table, rows, TRANSLATOR).html
    alone = table.assign(p_holm=table["p_value"])
    assert 'class="tag worse"' in report_tables.comparison(of_study.study, alone, rows, TRANSLATOR).html


def test_figures_have_an_order_and_texts_in_all_languages_but_numbers():
    looks = drawings.Looks()
    shown = drawings.drawings({"zebra_plot": SVG, "curves": SVG, "differences": SVG}, "toy", TRANSLATOR, looks)
    assert [drawing.name for drawing in shown] == ["differences", "curves", "zebra_plot"]
    assert shown[-1].title == "hint"  # its own, as the page has no words for it
    texts = re.findall(r"<text[^>]*?(?:lang=\"([^\"]*)\")?>([^<]*)</text>", shown[0].svg)
    assert texts == [("en", "epoch"), ("zh-Hant", "訓練週期"), ("zh-Hans", "训练周期"), ("", "0.5")]
    assert 'role="img"' in shown[0].svg and "<title" not in shown[0].svg
    with pytest.raises(UserError, match=r"^results/figures/toy/curves\.svg: is not SVG"):
        drawings.drawings({"curves": b"<svg"}, "toy", TRANSLATOR, looks)


def test_neighbouring_groups_of_one_look_are_one_and_nothing_changes_its_place():
    marks = "".join(f'<g clip-path="url(#p{clip:010x})"><use x="{x}"/></g>' for x, clip in enumerate((1, 1, 2, 1)))
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{marks}</svg>'.encode()
    (shown,) = drawings.drawings({"curves": svg}, "toy", TRANSLATOR, drawings.Looks())
    assert re.findall(r"<g|x=\"\d\"", shown.svg) == ["<g", 'x="0"', 'x="1"', "<g", 'x="2"', "<g", 'x="3"']


def cells(of_study, column):
    """Texts of a column of the comparison in English, without tags."""
    rows = answers.rows_of(of_study.study, of_study.frames)
    html = report_tables.comparison(of_study.study, of_study.frames.table, rows, TRANSLATOR).html
    found = re.findall(rf'<td headers="[^"]*-{column}"[^>]*>(.*?)</td>', html, re.DOTALL)
    chosen = [re.sub(r'<span class="t" lang="zh-.*?</span>', "", cell) for cell in found]
    return [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in chosen]


def test_cells_say_what_the_table_says():
    full = constructed()[0]
    assert cells(full, "measured")[:2] == [
        "0.9770 ± 0.0010 n = 3; training 0.9500",
        "0.9000 ± 0.0010 n = 3; training 0.9500",
    ]
    assert cells(full, "difference")[0] == "baseline"
    assert cells(full, "difference")[1].startswith("worse -0.0770 [")
    assert cells(full, "difference")[2].startswith("better +0.0130 [")
    assert cells(full, "difference")[2].endswith("] p = 0.014")
    assert cells(full, "reproduced")[0].startswith("yes [")
    assert cells(full, "reproduced")[1].startswith("no [")


def test_rows_that_diverge_and_single_seeds_claim_nothing():
    full, single, _ = constructed()
    lost = {name: cells(full, name)[3] for name in ("measured", "difference", "reproduced")}
    assert lost["measured"].startswith("– 0 of 3 seeds finite")
    assert (lost["difference"], lost["reproduced"]) == ("–", "–")
    assert cells(full, "diagnosis")[3].startswith("diverged loss not finite in 3 of 3 seeds")
    assert cells(single, "measured")[0].startswith("0.9000 ± – n = 1")
    assert cells(single, "difference") == ["baseline", "-0.4000 [–]"]


def test_rows_made_in_different_ways_are_told_apart():
    made = constructed()[0].records
    made["worse"] = made["worse"].model_copy(update={"device": "gpu"})
    found = {fact.name: fact.values for fact in report.facts(made)}
    assert found["device"] == {"cpu": ["none", "better", "lost"], "gpu": ["worse"]}
    assert found["seeds"] == {"0–2": ["none", "worse", "better", "lost"]}
    assert found["digest"] == {"d" * 64: ["none", "worse", "better", "lost"]}


# --- translations ---------------------------------------------------------------------------------------------------


def declared():
    """All that the studies say in sentences, and what is said of a study without answers of its own."""
    for path in sorted((ROOT / "conf/study").glob("*.yaml")):
        text = composition.completed(read_yaml(path), path.stem, True, True)
        text["rows"] = {key.partition("/")[2]: row for key, row in text["rows"].items()}
        study = Study.model_validate({key: value for key, value in text.items() if key in Study.model_fields})
        yield from translations.sentences({"dataset_title": "", **study.model_dump()})
    yield from translations.sentences({**dict.fromkeys(translations.SAID, ""), **GENERAL})
    yield from (one_line(claim[part]) for claim in GRID_CLAIMS for part in ("claim", "because"))


def words_of(text):
    """The text without templates and code."""
    return re.sub(r"\{[{%].*?[%}]\}|`[^`]*`", "", text)


def test_every_sentence_of_the_studies_is_there_in_chinese():
    in_words = [text for text in declared() if re.search(r"[A-Za-z]{3,} [a-z]{2,}", words_of(text))]
    assert len(in_words) > 100
    assert sorted({text for text in in_words if text not in TRANSLATOR.texts}) == []


def test_no_translation_is_of_a_sentence_that_is_gone():
    assert sorted(set(TRANSLATOR.texts) - set(declared()) - DATASETS) == []


def test_chinese_templates_speak_of_the_rows_that_the_english_ones_do():
    for english, chinese in TRANSLATOR.texts.items():
        assert re.search(r"[\u4e00-\u9fff]", chinese) or not re.search("[a-z] [a-z]", words_of(english)), english
        for name in (r"row\([\"']([^\"')]+)", r"selectattr\([^)]*\)", r"\b(?:baseline|best|advised)\.(\w+)"):
            assert set(re.findall(name, english)) == set(re.findall(name, chinese)), english


def test_every_word_is_there_in_both_languages_with_the_same_values():
    for english, chinese in TRANSLATOR.words.values():
        assert english.strip() and chinese.strip()
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese))
    names = {
        *diagnosis.NAMES,
        *report.JUDGEMENTS.values(),
        *tables.LOG_COLUMNS,
        *(f"seen_{name}" for name in drawings.ORDER),
    }
    assert names <= set(TRANSLATOR.words)


def test_simplified_chinese_has_the_mainland_s_words():
    assert translations.simplified("資料集的信賴區間，程式碼與指標") == "数据集的置信区间，代码与指标"
    assert translations.in_all("same", "same") == "same"
    assert translations.in_all("a < b", "甲 < 乙") == (
        '<span class="t" lang="en">a &lt; b</span><span class="t" lang="zh-Hant">甲 &lt; 乙</span>'
        '<span class="t" lang="zh-Hans">甲 &lt; 乙</span>'
    )


def test_code_in_a_sentence_is_not_translated():
    assert TRANSLATOR.chinese("`learning` is learning") == "`learning` is 正常學習"


# --- the stage ------------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A study as the pipeline leaves it, with a figure."""
    monkeypatch.chdir(tmp_path)
    of_study = results({"none": np.array([0.9, 0.91, 0.92]), "l2": np.array([0.8, 0.82, 0.81])})
    write("params.yaml", json.dumps({"device": "cpu", "studies": {"toy": {"dataset": "toy_data", "seeds": 3}}}))
    write("build/studies/toy.yaml", json.dumps(of_study.study))
    write("build/answers/toy.yaml", json.dumps({"answer": None, "verdict": []}))
    write("build/grid.yaml", json.dumps({"nets": {}, "curves": {}}))
    write("build/answers/grid.yaml", json.dumps({"claims": []}))
    for part, (ending, schema) in FILES.items():
        write(f"results/tables/toy{ending}.csv", to_csv(getattr(of_study.frames, part), schema, part))
    write("results/datasets/toy_data.json", json.dumps(SHEET))
    for row in of_study.study["rows"]:
        config = {**a_config(row=row), "note": "x"}
        write(f"results/runs/toy/{row}.json", records.to_json(a_record(config)))
    write("results/figures/toy/differences.svg", SVG.decode())
    return of_study


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def test_the_stage_writes_the_same_page_again(workspace, capsys):
    stage.main()
    first = Path("results/report.html").read_bytes()
    stage.main()
    assert Path("results/report.html").read_bytes() == first
    assert capsys.readouterr().out.split() == ["results/report.html"] * 2
    assert Outline(first.decode()).tags.count("svg") == 1


def test_a_study_that_has_not_run_is_shown_without_results(workspace):
    shutil.rmtree("results")
    stage.main()
    text = Path("results/report.html").read_text(encoding="utf-8")
    assert "Does it learn?" in text and "This study has no results yet." in text


def test_a_record_edited_by_hand_is_refused(workspace):
    path = Path("results/runs/toy/l2.json")
    path.write_text(path.read_text().replace('"cpu"', '"gpu"'))
    with pytest.raises(UserError, match=r"results/runs/toy/l2\.json: was edited by hand"):
        stage.main()
    assert not Path("results/report.html").exists()


def test_the_overview_is_the_one_of_the_results_and_of_no_other_studies(workspace):
    lines = overview.overview_table({"toy": workspace.study}, {"toy": workspace.frames.table})
    write("results/overview.csv", to_csv(lines.assign(baseline_mean=0.777), OVERVIEW, "overview"))
    stage.main()
    assert 'value="0.777"' in Path("results/report.html").read_text(encoding="utf-8")
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
        without_digests(patch)
        for texts in ("net_facts", "curve_texts"):  # what Keras says of nets, and what is trained, is not on the page
            patch.setattr(compose, texts, lambda *_: {})
        compose.main()
        stage.main()
    return {"constructed": folder / "constructed.html", "committed": folder / "results/report.html"}


@pytest.fixture
def visit(chromium, pages):
    """Open a page in a browser of its own, with these settings; what it says and asks for is kept with it."""
    contexts = []

    def visit(name, **settings):
        contexts.append(chromium.new_context(**settings))
        page = contexts[-1].new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(pages[name].as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()


UNFOLD = "document.querySelectorAll('details').forEach(part => { part.open = true; })"


@pytest.mark.parametrize("name", ["constructed", "committed"])
def test_it_opens_from_a_file_without_network_or_complaint(visit, pages, name):
    page = visit(name)
    page.evaluate(UNFOLD)
    assert page.evaluate("[...document.querySelectorAll('svg')].every(one => one.getBoundingClientRect().width > 100)")
    assert page.evaluate("window.hurt") is None
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert pages[name].stat().st_size < 2_000_000
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1 and max(np.diff(levels)) == 1
    assert page.evaluate("[...document.querySelectorAll('table')].every(table => table.caption.innerText)")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(set(ids)) == len(ids)


PLACES = """
[...document.querySelectorAll("svg")].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].filter(text =>
    text.getClientRects().length && !(text.getAttribute("transform") || "").includes("rotate"));
  const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
  const clipped = boxes.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1 ||
    box.top < frame.top - 1 || box.bottom > frame.bottom + 1).map(([text]) => "clipped: " + text);
  const hit = boxes.flatMap(([text, a], i) => boxes.slice(i + 1).filter(([, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => `overlap: ${text} / ${other}`));
  return [...clipped, ...hit].map(said => svg.getAttribute("aria-labelledby") + " " + said);
})
"""


def test_no_text_of_a_figure_is_clipped_or_lies_on_another(visit):
    page = visit("committed", viewport={"width": 1280, "height": 800})
    page.evaluate(UNFOLD)
    assert page.evaluate("document.querySelectorAll('svg text').length") > 500
    assert page.evaluate(PLACES) == []


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


def test_a_click_on_any_heading_sorts(visit):
    columns = visit("committed").evaluate(CLICK_THRICE)
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


SPOKEN = """
(() => {
  const main = document.querySelector("main");
  main.querySelectorAll("code, pre, cite, [lang=en]:not(.t)").forEach(part => part.remove());
  return main.innerText.replace(/《.*?》/g, "").split("\\n");
})()
"""


def test_the_language_switch_leaves_no_english_sentence(visit):
    page = visit("committed")
    heading = "section.study thead th:nth-child(2)"
    for language, reported, measured in (("zh-Hant", "原文數字", "實測"), ("zh-Hans", "原文数字", "实测")):
        page.select_option("#language", language)
        page.reload()  # it is remembered
        assert page.get_attribute("html", "lang") == page.input_value("#language") == language
        page.evaluate(UNFOLD)
        assert page.inner_text(heading).split()[0] == reported
        assert page.inner_text("section.study thead th:nth-child(3)").split()[0] == measured
        lines = page.evaluate(SPOKEN)
        assert len(lines) > 300
        assert [line for line in lines if re.search(r"(?:\b[A-Za-z]{2,}\b[ ,]*){5,}", line)] == []
    page.select_option("#language", "en")
    page.reload()
    assert page.inner_text(heading).split() == []  # folded
    page.evaluate(UNFOLD)
    assert not re.search(r"[\u4e00-\u9fff]{2}", "".join(page.evaluate(SPOKEN)))


def test_the_language_switch_without_storage(visit):
    page = visit("constructed")
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('none here'); }})")
    page.reload()
    page.select_option("#language", "zh-Hant")
    assert page.get_attribute("html", "lang") == "zh-Hant"
    assert page.said == []


def test_a_phone_has_a_menu_and_scrolls_tables_and_not_the_page(visit):
    page = visit("committed", viewport={"width": 360, "height": 740}, has_touch=True)
    assert not page.is_visible("nav")
    page.click("#menu")
    assert page.is_visible("nav")
    page.click("nav li:nth-child(3) a")
    assert not page.is_visible("nav")
    assert page.evaluate("location.hash").startswith("#study-")
    page.evaluate(UNFOLD)
    for language in translations.LANGUAGES:
        page.select_option("#language", language)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.wait_for_selector("section.study .overflowing + .hint")
    frame = page.query_selector("section.study .overflowing:has(table)")
    frame.evaluate("frame => { frame.scrollLeft = 200; }")
    left = frame.evaluate("frame => frame.querySelector('tbody th').getBoundingClientRect().left")
    assert left == pytest.approx(frame.bounding_box()["x"], abs=1)  # the row's label stays


def test_a_screen_of_1280_pixels_shows_every_column_and_the_answer_first(visit):
    page = visit("committed", viewport={"width": 1280, "height": 800})
    page.evaluate("document.querySelectorAll('section.study').forEach(one => one.classList.add('checked'))")
    first = page.evaluate(
        "[...document.querySelectorAll('section.study')].filter(one => one.querySelector('.verdict')).map(one => "
        "one.querySelector('.first').getBoundingClientRect().bottom - one.getBoundingClientRect().top)"
    )
    studies = read_yaml(ROOT / "params.yaml")["studies"]
    assert len(first) == len(studies) and max(first) < 740  # below the bar on top
    page.evaluate(UNFOLD)
    for language in translations.LANGUAGES:
        page.select_option("#language", language)
        hidden = page.evaluate(
            "[...document.querySelectorAll('.scroll')].filter(frame => frame.scrollWidth > frame.clientWidth + 1)"
            ".map(frame => frame.getAttribute('aria-labelledby'))"
        )
        assert hidden == []


def test_a_first_screen_has_a_figure_that_a_phone_can_show_and_leads_to_how_numbers_are_read(visit):
    page = visit("committed", viewport={"width": 390, "height": 844})
    assert page.evaluate("[...document.querySelectorAll('.first')].filter(one => !one.querySelector('svg'))") == []
    sizes = page.evaluate(
        "[...document.querySelectorAll('.first .answer svg')].flatMap(svg => [...svg.querySelectorAll('text')].map("
        "text => parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a))"
    )
    assert min(sizes) > 8  # pixels
    page.click(".first .legend a")
    assert page.evaluate("document.querySelector('details.reading').open")


def test_the_system_s_dark_scheme_is_followed(visit):
    page = visit("constructed")
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


@pytest.mark.parametrize(
    ("name", "width", "scheme", "language"),
    [("committed", 1280, "light", "en"), ("constructed", 390, "dark", "zh-Hans")],
)
def test_axe_core_finds_nothing_to_complain_about(visit, name, width, scheme, language):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(name, viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page.select_option("#language", language)
    page.evaluate(UNFOLD)
    if name == "committed":  # images are one thing to axe-core, but it looks at each of their thousands of parts
        page.evaluate("document.querySelectorAll('svg[role=img]').forEach(one => one.replaceChildren())")
        third = "[...document.querySelectorAll('section.study')].filter((one, i) => i % 3).forEach(one => one.remove())"
        page.evaluate(third)  # studies are laid out alike
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], len(found["nodes"]), found["nodes"][0]["html"][:200]) for found in violations] == []


def test_printed_it_has_under_thirty_pages_and_what_was_folded(visit):
    page = visit("committed")
    pdf = page.pdf(prefer_css_page_size=True)
    assert 10 < len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) < 30
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0  # and it folds up again


def test_the_skip_link_is_the_first_stop_and_the_keyboard_sorts(visit):
    page = visit("constructed")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#overview"
    page.evaluate(UNFOLD)
    page.focus("th[id$='comparison-toy-measured'] button, #comparison-toy-measured button")
    page.keyboard.press("Enter")
    labels = page.evaluate(
        "[...document.querySelector('#study-toy table').tBodies[0].rows].map(row => row.cells[0].innerText)"
    )
    assert labels == [HOSTILE, "row none", "row better", "row lost"]  # 0.9, 0.977, 0.99 and no figure
