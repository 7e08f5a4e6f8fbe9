"""The report's words in English and in traditional Chinese as it is written in Taiwan: headings and labels, each by
a short name. What comes from a study (questions, answers, labels of rows) is not translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from markupsafe import Markup

LANGUAGES = ("en", "zh-Hant")


class Words(NamedTuple):
    """One text in both languages, in the order of LANGUAGES; `{name}` stands for a value."""

    english: str
    chinese: str


WORDS: Mapping[str, Words] = {
    # the page
    "motto": Words(
        "I added a regularizer and my network stopped learning: why?", "加入正則化之後，網路就學不動了：為什麼？"
    ),
    "about": Words(
        "Each study repeats one public document with many seeds. Every measured figure is computed from the run "
        "records; none is typed.",
        "每項研究以多個隨機種子重做一份公開文件的實驗。所有實測數字皆由執行紀錄計算而得，並非手動輸入。",
    ),
    "skip": Words("Skip to the results", "跳至結果"),
    "studies": Words("Studies", "研究"),
    "overview": Words("Overview", "總覽"),
    "no_studies": Words("No study is selected.", "未選取任何研究。"),
    "scroll": Words("Scroll sideways for more", "左右捲動以檢視更多欄位"),
    "sort": Words(
        "A click on a heading sorts; a third one restores the order.", "點選欄名可排序，點選第三次則恢復原順序。"
    ),
    # how to read
    "reading": Words("How to read the figures", "如何閱讀數字"),
    "reading_measured": Words(
        "Measured is the mean ± standard deviation over the seeds whose value is finite; n counts them.",
        "實測為數值有限之隨機種子的平均值 ± 標準差，n 為其個數。",
    ),
    "reading_difference": Words(
        "A difference is from the baseline row, paired by seed, with its {level} interval. Better and worse are said "
        "only where the Holm-adjusted p is below {alpha}.",
        "差異為與基準列之差，依隨機種子配對，附 {level} 信賴區間。"
        "僅在 Holm 校正後的 p 值小於 {alpha} 時，才標示較佳或較差。",
    ),
    "reading_reported": Words(
        "The document's figure is one single run, so it counts as reproduced if the {level} prediction interval of one "
        "further run holds it; the intervals hold for all of a document's figures together.",
        "文件的數字僅出自單次執行，因此若單次新執行的 {level} 預測區間包含該數字，即視為重現；"
        "區間對文件的所有數字同時成立。",
    ),
    "reading_dash": Words(
        "A dash means that these seeds cannot tell, or that there is no such figure.",
        "「–」表示這些隨機種子無法判定，或沒有該項數字。",
    ),
    "reading_scope": Words(
        "All of it speaks of other seeds on the same samples, not of other samples.",
        "以上皆指相同樣本上的其他隨機種子，而非其他樣本。",
    ),
    # a study
    "question": Words("Question", "問題"),
    "page_claims": Words("The page claims", "文件的主張"),
    "answer": Words("Answer", "解答"),
    "no_answer": Words("This study has no answer yet.", "這項研究尚無解答。"),
    "no_results": Words("This study has no results yet.", "這項研究尚無結果。"),
    "holds": Words("Holds", "成立"),
    "does_not_hold": Words("Does not hold", "不成立"),
    "not_measured": Words("Not measured yet", "尚未測量"),
    "cannot_be_told": Words("Cannot be told with these seeds", "這些隨機種子無法判定"),
    "comparison": Words("Comparison", "比較"),
    "comparison_caption": Words(
        "Each row against the baseline. {metric}, {better}", "各列與基準之比較。{metric}，{better}"
    ),
    "overview_caption": Words(
        "How many rows of each study do better or worse than its baseline by more than noise, fail to learn, or "
        "reproduce the document's figure",
        "各研究中顯著優於或劣於基準、未能學習，以及重現文件數字的列數",
    ),
    "ranking_caption": Words(
        "Which row reproduces the reported log “{log}”? Distances in spreads of one run",
        "哪一列重現文件所載的訓練日誌「{log}」？距離以單次執行的離散程度為單位",
    ),
    "higher": Words("higher is better", "愈高愈好"),
    "lower": Words("lower is better", "愈低愈好"),
    "notes": Words("Notes", "註記"),
    "same_reported": Words(
        "These rows stand for the same reported figure: {text}.", "這些列對應同一個文件數字：{text}。"
    ),
    "figures": Words("Figures", "圖"),
    "no_figures": Words("No figure is drawn yet.", "尚未繪製任何圖。"),
    "configurations": Words("Configurations", "設定"),
    "configurations_about": Words(
        "All that can change a row's numbers, as its run record has it.", "可能改變該列數字的一切設定，取自其執行紀錄。"
    ),
    "no_records": Words("There are no run records yet.", "尚無執行紀錄。"),
    "provenance": Words("Provenance", "出處與環境"),
    # facts
    "dataset": Words("Data set", "資料集"),
    "metric": Words("Metric", "評估指標"),
    "seeds": Words("Seeds", "隨機種子"),
    "seeds_a_row": Words("Seeds a row", "每列隨機種子數"),
    "baseline": Words("Baseline", "基準"),
    "versions": Words("Versions", "版本"),
    "device": Words("Device", "裝置"),
    "parameters": Words("Model parameters", "模型參數量"),
    "samples": Words("Samples", "樣本數"),
    "digest": Words("Data digest (SHA-256)", "資料雜湊值 (SHA-256)"),
    "fingerprint": Words("Fingerprint of the training code", "訓練程式碼指紋"),
    "data_files": Words("Files and arrays of the data set", "資料集的檔案與陣列"),
    # columns
    "study": Words("Study", "研究"),
    "label": Words("Row", "參數"),
    "reported": Words("Reported", "結果"),
    "measured": Words("Measured", "實測"),
    "difference": Words("Difference", "差異"),
    "p_holm": Words("p\u00a0(Holm)", "p\u00a0值（Holm）"),
    "effect_size": Words("Effect size d_z", "效果量 d_z"),
    "reproduced": Words("Reproduced", "是否重現"),
    "diagnosis": Words("Diagnosis", "診斷"),
    "penalty_share": Words("Penalty in loss", "懲罰項占損失比例"),
    "rank": Words("Rank", "名次"),
    "distance": Words("Distance", "距離"),
    "loss": Words("Loss", "損失"),
    "accuracy": Words("Accuracy", "準確率"),
    "val_loss": Words("Validation loss", "驗證損失"),
    "val_accuracy": Words("Validation accuracy", "驗證準確率"),
    "rows_seeds": Words("Rows × seeds", "列數 × 隨機種子數"),
    "better_rows": Words("Better", "較佳"),
    "worse_rows": Words("Worse", "較差"),
    "barely_learning_rows": Words("Barely learning", "幾乎未學習"),
    "not_learning_rows": Words("Not learning", "未學習"),
    "diverged_rows": Words("Diverged", "發散"),
    # cells
    "yes": Words("yes", "是"),
    "no": Words("no", "否"),
    "better": Words("better", "較佳"),
    "worse": Words("worse", "較差"),
    "is_baseline": Words("baseline", "基準"),
    "every_seed": Words("every seed gives it", "每個隨機種子皆為此值"),
    "count": Words("{n} of {of}", "{of} 中有 {n}"),
    "finite": Words("{n} of {of} seeds finite", "{of} 個隨機種子中有 {n} 個為有限值"),
    # metrics
    "train.accuracy": Words("Training accuracy", "訓練準確率"),
    "validation.accuracy": Words("Validation accuracy", "驗證準確率"),
    "test.accuracy": Words("Test accuracy", "測試準確率"),
    "train.mae": Words("Training MAE", "訓練平均絕對誤差"),
    "validation.mae": Words("Validation MAE", "驗證平均絕對誤差"),
    "test.mae": Words("Test MAE", "測試平均絕對誤差"),
    # diagnoses
    "diverged": Words("diverged", "發散"),
    "not learning": Words("not learning", "未學習"),
    "barely learning": Words("barely learning", "幾乎未學習"),
    "over-regularized": Words("over-regularized", "過度正則化"),
    "underfitting": Words("underfitting", "擬合不足"),
    "overfitting": Words("overfitting", "過度擬合"),
    "still improving": Words("still improving", "仍在進步"),
    "learning": Words("learning", "正常學習"),
}


def words(name: str, **values: object) -> Markup:
    """WORDS[name] in both languages as HTML, of which the page shows one; `values` are escaped unless they are Markup.

    Raises:
        KeyError: no text has that name, or it names a value that is not given.
    """
    return both(*(Markup(text).format(**values) for text in WORDS[name]))


def both(english: str, chinese: str) -> Markup:
    """A text in both languages as HTML; escaped unless it is Markup."""
    span = Markup('<span class="t" lang="{}">{}</span>')
    return span.format(LANGUAGES[0], english) + span.format(LANGUAGES[1], chinese)
