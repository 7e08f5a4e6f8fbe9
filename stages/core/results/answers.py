"""Answers: each document's question, a verdict on it, what its page claims, and what the tables say to that.

The sentences are Jinja templates under `answer` and `verdict` in conf/study/<study>.yaml; a study without them gets
those of `general`. They run in Jinja's sandbox, a name that is not in the vocabulary is an error, and whatever was
measured comes from the tables:

    row("l2_1e-3")          one row, see `Row`
    rows, others, peers     all rows; all but the baseline; those of the others that differ in regularization alone
    baseline, best          the row that differences are taken from; the row with the best mean
    advised                 of the peers that do better than the baseline by more than noise the one with the best mean;
                            the baseline where there is none
    ranked("log")           rows by their distance to a reported log, nearest first
    figures                 the document's figures of the study's data, each a list of the rows that it may stand for
    odds("both_")           how many times as likely the reported figures are as runs of the rows named so, as of the
                            rows with the same name without that; likelier("both_"): ten times, or a tenth, or neither;
                            both can leave the figure of a row out: odds("both_", "kernel_l1_1e-3")
    n, epochs, metric       seeds a row; epochs trained; e.g. "test accuracy"
    all_of(x, …), any_of(x, …), opposite(x)    of findings, or of lists of them
    x | say("yes", "no", "open")               the text for a finding
    rows | listed("difference")                "`label` (difference), …", without a name the labels alone, or "none"
    estimates | map("between", low, high)      `Estimate.between` of each
    figures | map("reproduced")                does the prediction interval of one of the figure's rows hold it?

`holds` of a claim is an expression that gives a finding; the text then says that it holds, does not hold or cannot be
told, so nothing of that kind is typed. The tests that a study's sentences make are counted first, those of the table
included, and decided after Holm's adjustment. A claim that `needs` a row that the study does not have is not measured
yet.

Of the verdicts the first is said whose `needs` are there and whose conditions under `holds` all are findings of yes. If
there is none, nothing is said: it is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import StrictUndefined, Template, TemplateError, nodes, pass_environment
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stages.core.base.errors import UserError
from stages.core.base.text import escape, numbers
from stages.core.results import diagnosis, statistics, tables
from stages.core.results.estimates import Estimate, Families, Finding, Share, all_of, any_of, opposite
from stages.core.results.frames import Frames
from stages.core.results.general import GENERAL

DECISIVE = 10
"""One reading of a document is said to be likelier than another from these odds on."""

INTRODUCTION = """\
# Answers

For each document its question, the verdict, what the page claims, what was measured, and whether the claims hold. No
measured number and no judgement here is typed: both are computed from the tables, and a verdict whose conditions no
longer hold is not said. Figures of a row are mean ± sd (seeds), and [low, high] is a 95 % interval. Differences, gaps
and ratios are paired by seed. A claim about a difference is decided by a t-test, or by two one-sided tests where it says
that something is small; where seeds fall into two groups, by a sign test. A claim about what became of a row is decided
by its diagnosis, one about a learning curve by its mean. Many tests make a chance hit likely, so each has to pass a
stricter limit: Holm's adjustment, over all tests of a study, those of rows beyond the document by themselves. Intervals
are not adjusted, so one may exclude 0 where nothing is told; the p of a claim counts the claims too, and may be larger
than the table's. All of it speaks of other seeds on the same samples, not of other samples. *Cannot be told* means that
the seeds' spread leaves it open.

Three things mislead. The loss that Keras prints contains the penalty: compare accuracies, or losses without it. The
penalty's share of the loss is large in the first epoch and may be small at the end, most of all where a net has
collapsed. The penalty of an `activity_regularizer` is divided by the batch size in tf.keras 2 and from Keras 3.14 on,
not in Keras 3.0 to 3.13."""


@dataclass(frozen=True, eq=False)
class Row:
    """A row as the templates see it; an `Estimate` prints as mean [low, high], the other figures are texts."""

    key: str
    _study: Mapping[str, Any]
    _line: Mapping[str, Any]
    _baseline: Mapping[str, Any]
    _frames: Frames
    _tests: Families

    @property
    def label(self) -> str:
        """As the document calls it, in code style."""
        return "`{}`".format(self._told["label"].replace("`", "'"))

    @property
    def context(self) -> str:
        """What it changes besides regularization."""
        return self._told["context"]

    @property
    def same_reported_as(self) -> str | None:
        """The line of the document that several rows stand for."""
        return self._told["same_reported_as"]

    @property
    def snippet(self) -> str:
        """Its regularizers and dropout as arguments and layers of Keras, on one line."""
        parts = [
            f"{place}_regularizer=keras.regularizers.L1L2({_arguments(coefficients)})"
            for place, coefficients in self._told["regularizers"].items()
        ]
        if self._told["dropout"]:
            parts.append(f"keras.layers.Dropout({self._told['dropout']:g})")
        return ", ".join(parts) or "kernel_regularizer=None"

    @property
    def measured(self) -> str:
        """Mean ± sd (seeds) of the study's metric."""
        names = ("mean", "sd", "n", "n_finite", "median", "groups")
        return tables.mean_text(*(self._line[name] for name in names))

    @property
    def groups(self) -> str:
        """Where the seeds fall into two groups, where these lie; nothing where they are of one group."""
        return self._line["groups"]

    @property
    def highest(self) -> str:
        """The largest value of a seed."""
        return f"{float(np.max(self.value.values)):.3g}"

    @property
    def value(self) -> Estimate:
        """The study's metric on its split."""
        return self._on(self._study["metric"].split(".")[0])

    @property
    def train(self) -> Estimate:
        """The metric on the training samples, final weights; so `validation` and `test`."""
        return self._on("train")

    @property
    def validation(self) -> Estimate:
        return self._on("validation")

    @property
    def test(self) -> Estimate:
        return self._on("test")

    @property
    def gap(self) -> Estimate:
        """By how much the metric is worse on held-out (validation, otherwise test) than on training samples."""
        held_out = self._on(self._held_out)
        gap = self.train - held_out if self._study["higher_is_better"] else held_out - self.train
        return replace(gap, sign="")

    @cached_property
    def difference(self) -> Estimate:
        """The metric's paired difference from the baseline."""
        baseline = Row(self._study["baseline"], self._study, self._baseline, self._baseline, self._frames, self._tests)
        return self.value - baseline.value

    @property
    def size(self) -> float:
        """How large the mean difference is; below any other where there is none."""
        return -1.0 if math.isnan(self._line["difference"]) else abs(self._line["difference"])

    @property
    def tested(self) -> str:
        """The difference with its adjusted p-value."""
        return self.difference.tested

    @property
    def better(self) -> Finding:
        """Better than the baseline by more than noise (Holm-adjusted p below 0.05)? No: worse by more than noise."""
        above = self.difference.above(0)
        return above if self._study["higher_is_better"] else opposite(above)

    @property
    def worse(self) -> Finding:
        """The opposite of `better`."""
        return opposite(self.better)

    @property
    def reported(self) -> str:
        """The document's figure."""
        return self._figure(self._line["reported"])

    @property
    def reported_difference(self) -> str:
        """The document's figure minus the one of the baseline."""
        difference = self._line["reported"] - self._baseline["reported"]
        return self._figure(difference) if not difference > 0 else f"+{self._figure(difference)}"

    @property
    def reported_ratio(self) -> str:
        """The document's figure as a multiple of the one of the baseline."""
        return _tenths(self._line["reported"] / self._baseline["reported"])

    @property
    def reproduced(self) -> Finding:
        """Does the simultaneous 95 % prediction interval of one further run hold the document's figure?"""
        return {"yes": True, "no": False}.get(self._line["reproduced"])

    @property
    def one_run(self) -> str:
        """That prediction interval."""
        line = self._line
        half = (line["prediction_high"] - line["prediction_low"]) / 2
        if math.isnan(half):
            return f"[{tables.DASH}]"
        return "[{}, {}]".format(
            *(tables.with_spread(line[name], half)[0] for name in ("prediction_low", "prediction_high"))
        )

    @property
    def against_one_run(self) -> str:
        """The document's figure beside the prediction interval."""
        return f"{self.reported} against {self.one_run}"

    @property
    def log_likelihood(self) -> float:
        """Of the document's figure as one further run; see `statistics.log_likelihood`."""
        return statistics.log_likelihood(self.value.values, self._line["reported"])

    @property
    def diagnosis(self) -> str:
        return self._line["diagnosis"]

    @property
    def evidence(self) -> str:
        """The figures that stand beside the diagnosis."""
        return self._line["evidence"]

    @property
    def learns(self) -> bool:
        """Neither diverged, nor not learning, nor barely learning, by its diagnosis."""
        return self.diagnosis not in diagnosis.FAILURES

    @property
    def stuck(self) -> bool:
        """Not learning at all, by its diagnosis."""
        return self.diagnosis == diagnosis.NOT_LEARNING

    @property
    def diverged(self) -> bool:
        """Was a loss not finite, by its diagnosis?"""
        return self.diagnosis == diagnosis.DIVERGED

    @property
    def stops(self) -> bool:
        """Does it not learn what the baseline, which learns, does?"""
        return not self.learns and self._baseline["diagnosis"] not in diagnosis.FAILURES

    @property
    def penalty_share(self) -> Share:
        """Share of the penalty in the training loss of the final weights."""
        return Share(self._line["penalty_share"])

    def penalty_share_in(self, epoch: int) -> Share:
        """Share of the penalty in the training loss over an epoch; errors as in `mean_after`."""
        return Share(self._curve("penalty_share", epoch)["mean"])

    @property
    def log_distance(self) -> str:
        """Distance to the row's reported log in spreads of one run."""
        return _tenths(self._line["log_distance"])

    @property
    def log_against_seeds(self) -> str:
        """That distance beside the one up to which the log looks like one more run of the row."""
        return f"{self.log_distance} against {_tenths(self._line['log_limit'])}"

    @property
    def reproduces_log(self) -> Finding:
        """Does the log look like one more run of the row: as near to its seeds as these are to each other?"""
        distance, limit = self._line["log_distance"], self._line["log_limit"]
        return None if math.isnan(distance) or math.isnan(limit) else bool(distance <= limit)

    def norm(self, weight: str) -> str:
        """Mean Euclidean norm of a weight array, final weights.

        Raises:
            UserError: the net has no such array.
        """
        line = self._norm(self.key, weight)
        return tables.with_spread(line["norm_mean"], line["norm_sd"])[0]

    def shrinks(self, weight: str, factor: float) -> bool:
        """Is the mean norm of a weight array below a share of the baseline's? Errors as in `norm`."""
        return (
            self._norm(self.key, weight)["norm_mean"]
            < factor * self._norm(self._study["baseline"], weight)["norm_mean"]
        )

    def mean_after(self, quantity: str, epoch: int, other: str) -> str:
        """A quantity of the learning curves after an epoch, its mean minus that of another row.

        Raises:
            UserError: nothing was recorded under that name and epoch.
        """
        ours, theirs = self._curve(quantity, epoch), self._curve(quantity, epoch, other)
        return tables.signed(ours["mean"] - theirs["mean"], max(ours["sd"], theirs["sd"]))

    def after(self, quantity: str, epoch: int) -> str:
        """The mean of a quantity of the learning curves, as Keras prints them, after an epoch; errors as in `mean_after`."""
        line = self._curve(quantity, epoch)
        return tables.with_spread(line["mean"], line["sd"])[0]

    def epochs_over(self, quantity: str, value: float) -> str:
        """The epochs after which the mean of a quantity of the learning curves is above a value."""
        curves = self._frames.curves
        over = (curves["row"] == self.key) & (curves["quantity"] == quantity) & (curves["mean"] > value)
        return numbers(curves.loc[over, "epoch"].tolist())

    def not_finite(self, quantity: str, epoch: int) -> int:
        """Seeds in which a quantity of the learning curves is not finite after an epoch.

        Raises:
            UserError: nothing was recorded under that name and epoch.
        """
        return self._line["n"] - int(self._curve(quantity, epoch)["n"])

    @property
    def _told(self) -> Mapping[str, Any]:
        return self._study["rows"][self.key]

    @property
    def _held_out(self) -> str:
        return "test" if self._frames.seeds["validation"].isna().all() else "validation"

    def _on(self, split: str) -> Estimate:
        return self._seeds(split, tables.POSSIBLE[self._study["metric"].split(".")[1]])

    def _seeds(self, column: str, limits: tuple[float, float]) -> Estimate:
        return Estimate(self._of_seeds[column].to_numpy(float), self._tests, self._told["beyond"], limits)

    @cached_property
    def _of_seeds(self) -> pd.DataFrame:
        seeds = self._frames.seeds
        return seeds[seeds["row"] == self.key]

    def _norm(self, row: str, weight: str) -> Mapping[str, Any]:
        weights = self._frames.weights
        line = weights[(weights["row"] == row) & (weights["weight"] == weight)]
        if line.empty:
            raise UserError(f"row {row} has no weights {weight}")
        return line.iloc[0].to_dict()

    def _curve(self, quantity: str, epoch: int, row: str | None = None) -> Mapping[str, Any]:
        curves = self._frames.curves
        curve = curves[
            (curves["row"] == (row or self.key)) & (curves["quantity"] == quantity) & (curves["epoch"] == epoch)
        ]
        if curve.empty:
            raise UserError(f"row {row or self.key} has no {quantity} after epoch {epoch}")
        return curve.iloc[-1].to_dict()

    def _figure(self, value: float) -> str:
        """Accuracies as the documents print them, though YAML does not keep the last zero of 0.9770."""
        if math.isnan(value):
            return tables.DASH
        return f"{value:.4f}" if self._study["metric"].endswith("accuracy") else f"{value:g}"


@dataclass(frozen=True)
class Claim:
    """A claim, whether it holds, and the figures that decide it; the texts are Markdown on one line."""

    said: str
    holds: Finding
    because: str
    measured: bool = True
    """false while rows that it speaks of are missing"""


@dataclass(frozen=True)
class Verdict:
    """What the study tells the person who asked: four sentences, Markdown on one line each, and a line of Keras, which may be
    empty."""

    cause: str
    change: str
    snippet: str
    sure: str
    otherwise: str


@dataclass(frozen=True)
class Answer:
    """The verdict, what was measured (Markdown on one line), and the claims."""

    verdict: Verdict
    measured: str
    claims: list[Claim]


def answer(study: Mapping[str, Any], frames: Frames) -> Answer:
    """The answer of a study, by templates of its own or by the general ones.

    Raises:
        UserError: a template is wrong, or no verdict holds; it names study and place.
    """
    tests = Families()
    rows = rows_of(study, frames, tests)
    for row in rows.values():  # the table's own comparisons are claims too
        _ = row.key != study["baseline"] and row.better
    _said(study, _vocabulary(study, frames, rows))  # counts the tests
    tests.adjust()
    return _said(study, _vocabulary(study, frames, rows))  # anew: which row is advised is decided by the adjusted tests


def rows_of(study: Mapping[str, Any], frames: Frames, tests: Families | None = None) -> dict[str, Row]:
    """The study's rows by their names, in its order."""
    lines = {line["row"]: line for line in frames.table.to_dict("records")}
    baseline = lines[study["baseline"]]
    tests = tests or Families()
    return {key: Row(key, study, line, baseline, frames, tests) for key, line in lines.items()}


def to_markdown(answers: Iterable[tuple[Mapping[str, Any], Frames]]) -> str:
    """The whole document.

    Args:
        answers: of each study its presentation (build/studies/<study>.yaml) and its tables.

    Raises:
        UserError: a template is wrong, or no verdict holds; it names study and place.
    """
    return "\n\n".join([INTRODUCTION, *(_section(study, frames) for study, frames in answers)]) + "\n"


def one_a_line(snippet: str) -> str:
    """The statements of a snippet, one a line."""
    return snippet.replace("; ", "\n")


def link(study: Mapping[str, Any]) -> str:
    """The document's name, with a link to its page where the document names one; Markdown."""
    source = escape(study["source"])
    return f"[{source}]({study['url']})" if study["url"] else source


def _said(study: Mapping[str, Any], words: Mapping[str, Any]) -> Answer:
    name = study["name"]
    templates = study["answer"] or GENERAL["answer"]
    claims = [
        claim(of_page, words, f"conf/study/{name}.yaml: answer.claims.{number}")
        for number, of_page in enumerate(templates["claims"])
    ]
    measured = _render(templates["measured"], words, f"conf/study/{name}.yaml: answer.measured")
    verdict = _verdict(study["verdict"] or GENERAL["verdict"], words, f"conf/study/{name}.yaml: verdict")
    return Answer(verdict, measured, claims)


def claim(template: Mapping[str, Any], words: Mapping[str, Any], where: str) -> Claim:
    """A claim, decided.

    Args:
        template: as of `config.study.Claim`.
        words: the vocabulary; the keys of its `rows` are what a claim can need.
        where: where it stands, for errors.

    Raises:
        UserError: the template is wrong.
    """
    said = _render(template["claim"], words, f"{where}.claim")
    if not _has(words, template["needs"]):
        return Claim(said, None, "", measured=False)
    holds = _finding(template["holds"], words, f"{where}.holds")
    return Claim(said, holds, _render(template["because"], words, f"{where}.because"))


def _verdict(verdicts: Iterable[Mapping[str, Any]], words: Mapping[str, Any], where: str) -> Verdict:
    """The first verdict whose rows are there and whose conditions hold."""
    reasons = []
    for number, verdict in enumerate(verdicts):
        if not _has(words, verdict["needs"]):
            continue
        place = f"{where}.{number}"
        findings = {
            condition: _finding(condition, words, f"{place}.holds.{index}")
            for index, condition in enumerate(verdict["holds"])
        }
        if all_of(findings.values()):
            parts = ("cause", "change", "snippet", "sure", "otherwise")
            return Verdict(**{part: _render(verdict[part], words, f"{place}.{part}") for part in parts})
        reasons += [_inline(condition) for condition, finding in findings.items() if not finding][:1]
    raise UserError(
        f"{where}: none holds any more: {'; '.join(reasons) or 'all need rows that are missing'}"
    )


def _has(words: Mapping[str, Any], needed: Iterable[str]) -> bool:
    return set(needed) <= {row.key for row in words["rows"]}


def _section(study: Mapping[str, Any], frames: Frames) -> str:
    name, found = study["name"], answer(study, frames)
    data, seeds = escape(study["dataset_title"]), _seeds(study["n_seeds"])
    verdict = found.verdict
    claims = [claim_line(claim, _seeds(study["n_seeds"])) for claim in found.claims]
    return "\n\n".join(
        [
            f"## {escape(study['title'])}",
            f"**Question.** {escape(study['question'])}",
            f"**Verdict.** {verdict.cause} {verdict.change} {verdict.sure} {verdict.otherwise}",
            *([f"```python\n{one_a_line(verdict.snippet)}\n```"] if verdict.snippet else []),
            f"**The page claims.** {escape(study['claim'])} *({link(study)})*",
            f"**Measured** ([table](tables/{name}.md), {data}, {seeds} a row). {found.measured}",
            "**Does it hold?**",
            "\n".join(claims),
        ]
    )


def _vocabulary(study: Mapping[str, Any], frames: Frames, rows: Mapping[str, Row]) -> dict[str, Any]:
    baseline = rows[study["baseline"]]
    others = [row for row in rows.values() if row is not baseline]
    peers = [row for row in others if row.context == baseline.context]

    def row(key: str) -> Row:
        if key not in rows:
            raise UserError(f"no row is called {key}")
        return rows[key]

    def ranked(log: str) -> list[Row]:
        if log not in study["reported_logs"]:
            raise UserError(f"no log is called {log}")
        distances = tables.rank_by_distance(study["reported_logs"][log], frames.curves)["distance"]
        return [rows[key] for key in distances.dropna().index]

    return {
        "row": row,
        "rows": list(rows.values()),
        "others": others,
        "peers": peers,
        "baseline": baseline,
        "best": _best(list(rows.values()), study["higher_is_better"]),
        "advised": _best([row for row in peers if row.better] or [baseline], study["higher_is_better"]),
        "ranked": ranked,
        "figures": [[rows[key] for key in keys] for keys in tables.reported_figures(study)],
        "odds": lambda prefix, without="": _two_digits(odds(rows, prefix, without)),
        "likelier": lambda prefix, without="": _decisive(odds(rows, prefix, without)),
        "both": [key for key in rows if key.startswith("both_")],
        "n": study["n_seeds"],
        "epochs": int(frames.seeds["epochs"].max()),
        "metric": study["metric"].replace(".", " "),
        "all_of": all_of,
        "any_of": any_of,
        "opposite": opposite,
    }


def odds(rows: Mapping[str, Row], prefix: str, without: str = "") -> float:
    """Likelihood of the reported figures as runs of the rows named with a prefix, as a multiple of that as runs of the
    rows with the same name without it; the row named `without` and its pair are left out."""
    names = [key.removeprefix(prefix) for key in rows if key.startswith(prefix)]
    pairs = [(rows[prefix + name], rows[name]) for name in names if name != without]
    return math.exp(sum(ours.log_likelihood - theirs.log_likelihood for ours, theirs in pairs))


def _best(rows: list[Row], higher_is_better: bool) -> Row:
    """The first row with the best mean; the first row of all if none is finite."""
    sign = 1 if higher_is_better else -1
    return max(rows, key=lambda row: -math.inf if math.isnan(row._line["mean"]) else sign * row._line["mean"])


def _arguments(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in values.items())


def _told(yes: bool, no: bool) -> Finding:
    """A finding from two comparisons, neither of which is true of a NaN."""
    return True if yes else False if no else None


def _decisive(likelihood: float) -> Finding:
    return _told(likelihood >= DECISIVE, likelihood <= 1 / DECISIVE)


def _tenths(value: float) -> str:
    return tables.DASH if math.isnan(value) else f"{value:.1f}"


def claim_line(claim: Claim, seeds: str) -> str:
    """A claim as an entry of a Markdown list; `seeds`: what it was decided with."""
    judgements = {True: "Holds.", False: "Does not hold.", None: f"Cannot be told with {seeds}."}
    judgement = judgements[claim.holds] if claim.measured else "Not measured yet."
    return f"- {claim.said} **{judgement}** {claim.because}".rstrip()


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


# --- templates


def _say(finding: Finding, yes: str, no: str, unknown: str) -> str:
    return {True: yes, False: no, None: unknown}[_checked(finding)]


@pass_environment
def _listed(environment, rows: Iterable[Row], attribute: str | None = None) -> str:
    if attribute is None:
        texts = [row.label for row in rows]
    else:
        texts = [f"{row.label} ({environment.getattr(row, attribute)})" for row in rows]
    return ", ".join(texts) or "none"


def _reproduced(rows: Iterable[Row]) -> Finding:
    return any_of(row.reproduced for row in rows)


def _checked(finding: Any) -> Finding:
    if finding is not None and not isinstance(finding, bool):
        raise UserError(f"is no finding (True, False or None): {finding}")
    return finding


class _Sandbox(ImmutableSandboxedEnvironment):
    """Sentences are about the rows of a table: what could keep a machine busy for ever is an error."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(value, int | float) for value in (left, right)):
            raise UserError(f"{operator} multiplies two numbers here, and nothing else")
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        if any(outer.find(nodes.For) is not None for outer in tree.find_all(nodes.For)) or tree.find(nodes.Macro):
            raise UserError("a loop within a loop, or a macro, has no place in a sentence")
        return tree


def _two_digits(value: float) -> str:
    """Such as 0.018, 1.8 or 180."""
    rounded = float(f"{value:.2g}")
    return tables.DASH if math.isnan(value) else f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = _Sandbox(undefined=StrictUndefined)
    environment.globals.clear()  # of Jinja's own: range alone makes a sentence that never ends
    environment.filters |= {"say": _say, "listed": _listed, "between": Estimate.between, "reproduced": _reproduced}
    return environment


@cache  # the same sentences are said twice, first to count the tests, and the general ones of every study
def _template(text: str) -> Template:
    return _environment().from_string(text)


@cache
def _expression(text: str) -> Callable[..., Any]:
    return _environment().compile_expression(text, undefined_to_none=False)


def _render(template: str, words: Mapping[str, Any], where: str) -> str:
    """The template's text on one line."""
    return _inline(_evaluated(lambda: _template(template).render(words), where))


def _finding(expression: str, words: Mapping[str, Any], where: str) -> Finding:
    """What an expression gives, which must be a finding."""

    def evaluate() -> Finding:
        return _checked(_expression(expression)(words))

    return _evaluated(evaluate, where)


def _evaluated(evaluate, where: str):
    try:
        return evaluate()
    except (UserError, TemplateError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise UserError(f"{where}: {_inline(str(error))}") from None


def _inline(text: str) -> str:
    return " ".join(text.split())
