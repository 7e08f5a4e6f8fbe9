"""Answers: each document's question, what its page claims, and what the tables say to it, as Markdown.

The sentences are Jinja templates under `answer` in conf/study/<study>.yaml. They run in Jinja's sandbox, a name that is
not in the vocabulary is an error, and whatever was measured comes from the tables:

    row("l2_1e-3")          one row, see `Row`
    rows, others, peers     all rows; all but the baseline; those of the others that differ in regularization alone
    baseline, best          the row that differences are taken from; the row with the best mean
    ranked("log")           rows by their distance to a reported log, nearest first
    n, metric, detectable   seeds a row; e.g. "test accuracy"; the smallest difference that the seeds could have shown
    all_of(x, …), any_of(x, …), opposite(x)    of findings, or of lists of them
    x | say("yes", "no", "open")               the text for a finding
    rows | listed("difference")                "`label` (difference), …", without a name the labels alone, or "none"
    estimates | map("between", low, high)      `Estimate.between` of each

A *finding* is True, False or None: yes, no, or not to be told from these seeds. `holds` of a claim is an expression
that gives a finding; the text then says that it holds, does not hold or cannot be told, so no verdict is typed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import StrictUndefined, TemplateError, pass_environment
from jinja2.sandbox import ImmutableSandboxedEnvironment
from scipy import stats

from stages.core.base.errors import UserError
from stages.core.results import tables
from stages.core.results.statistics import LEVEL

Finding = bool | None

FAILURES = ("diverged", "not learning")
"""Diagnoses of a row that does not learn."""

INTRODUCTION = """\
# Answers

For each document its question, what the page claims, what was measured, and whether the claims hold. No measured
number and no verdict here is typed: both are computed from the tables. Figures of a row are mean ± sd (seeds), and
[low, high] is a 95 % interval. Differences from the baseline are paired by seed; other differences, gaps and ratios
combine the ends of two intervals in the least favourable way. All of them speak of other seeds on the same samples, not
of other samples. *Cannot be told* means that the seeds' spread leaves it open."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, NaN where the seeds give none; `sign` is "+" for a difference.

    Subtraction and division combine the ends of two intervals in the least favourable way. For rows with the same
    finite seeds the result contains the paired interval, which would need the seeds' values, for the standard deviation
    of a - r·b is at most sd(a) + r·sd(b). For the ratio the paired interval is Fieller's (1954, J. R. Stat. Soc. B
    16:175).
    """

    mean: float
    low: float = math.nan
    high: float = math.nan
    sign: str = ""

    def above(self, value: float) -> Finding:
        """Is the interval above the value (yes), below it (no), or does it hold it (not to be told)?"""
        return _told(self.low > value, self.high < value)

    def below(self, value: float) -> Finding:
        """Is the interval below the value (yes), above it (no), or does it hold it (not to be told)?"""
        return _told(self.high < value, self.low > value)

    def between(self, low: float, high: float) -> Finding:
        """Is the interval between two values (yes), beyond them (no), or across one of them (not to be told)?"""
        return _told(low <= self.low and self.high <= high, self.high < low or self.low > high)

    def times(self, factor: float) -> Estimate:
        """A multiple, by a factor that is not negative."""
        return Estimate(factor * self.mean, factor * self.low, factor * self.high, self.sign)

    @property
    def percent(self) -> str:
        """The mean in percent, at two digits."""
        share = 100 * self.mean
        return tables.DASH if math.isnan(share) else f"{share:.0f} %" if share >= 9.95 else f"{share:.2g} %"

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.mean - other.mean, self.low - other.high, self.high - other.low, "+")

    def __truediv__(self, other: Estimate) -> Estimate:
        """The ratio; NaN where an end of the divisor's interval is not positive."""
        if not other.mean > 0:
            return Estimate(math.nan)
        if not (other.low > 0 and self.low >= 0):
            return Estimate(self.mean / other.mean)
        return Estimate(self.mean / other.mean, self.low / other.high, self.high / other.low)

    def __str__(self) -> str:
        mean, low, high = self.texts()
        if math.isnan(self.low):
            return f"{mean} [{tables.DASH}]" if self.sign else mean
        return f"{mean} [{low}, {high}]"

    def texts(self) -> list[str]:
        """Mean, low and high with the digits that the interval's half-width supports."""
        half = (self.high - self.low) / 2
        texts = [tables.with_spread(value, half)[0] for value in (self.mean, self.low, self.high)]
        return [self.sign + text if text[0].isdigit() else text for text in texts]


@dataclass(frozen=True, eq=False)
class Row:
    """A row as the templates see it; an `Estimate` prints as mean [low, high], the other figures are texts."""

    key: str
    _study: Mapping[str, Any]
    _line: Mapping[str, Any]
    _baseline: Mapping[str, Any]
    _curves: pd.DataFrame

    @property
    def label(self) -> str:
        """As the document calls it, in code style."""
        return "`{}`".format(self._study["rows"][self.key]["label"].replace("`", "'"))

    @property
    def context(self) -> str:
        """What it changes besides regularization."""
        return self._study["rows"][self.key]["context"]

    @property
    def same_reported_as(self) -> str | None:
        """The line of the document that several rows stand for."""
        return self._study["rows"][self.key]["same_reported_as"]

    @property
    def measured(self) -> str:
        """Mean ± sd (seeds) of the study's metric."""
        n, finite = self._line["n"], self._line["n_finite"]
        if finite == 0:
            return f"not finite in any of {n} seeds"
        mean, sd = tables.with_spread(self._line["mean"], self._line["sd"])
        return f"{mean} ± {sd} ({n if finite == n else f'{finite} of {n} finite'})"

    @property
    def value(self) -> Estimate:
        """The study's metric with the t interval of its mean over the seeds."""
        return _t_interval(self._line["mean"], self._line["sd"], self._line["n_finite"])

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
        held_out = self.test if math.isnan(self._line["validation"]) else self.validation
        gap = self.train - held_out if self._study["higher_is_better"] else held_out - self.train
        return replace(gap, sign="")

    @property
    def difference(self) -> Estimate:
        """The metric's paired difference from the baseline."""
        line = self._line
        return Estimate(line["difference"], line["difference_low"], line["difference_high"], "+")

    @property
    def tested(self) -> str:
        """The difference with its Holm-adjusted p-value."""
        p = self._line["p_holm"]
        return f"{self.difference}, {'no p' if math.isnan(p) else 'p < 0.001' if p < 0.001 else f'p = {p:.3f}'}"

    @property
    def better(self) -> Finding:
        """Better than the baseline by more than noise (Holm-adjusted p below 0.05)? No: worse by more than noise."""
        if not self._line["p_holm"] < 1 - LEVEL:
            return None
        return bool((self._line["difference"] > 0) == self._study["higher_is_better"])

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
        difference = self._reported_difference
        return self._figure(difference) if not difference > 0 else f"+{self._figure(difference)}"

    @property
    def reported_ratio(self) -> str:
        """The document's figure as a multiple of the one of the baseline."""
        return _tenths(self._line["reported"] / self._baseline["reported"])

    @property
    def reproduced(self) -> Finding:
        """Does the 95 % prediction interval of one further run hold the document's figure?"""
        return {"yes": True, "no": False}.get(self._line["reproduced"])

    @property
    def one_run(self) -> str:
        """The 95 % prediction interval of one further run."""
        line = self._line
        return _interval(Estimate(line["mean"], line["prediction_low"], line["prediction_high"]))

    @property
    def against_one_run(self) -> str:
        """The document's figure beside the prediction interval."""
        return f"{self.reported} against {self.one_run}"

    @property
    def reported_difference_reproduced(self) -> Finding:
        """Does the 95 % prediction interval of one further pair of runs hold the document's difference?"""
        pair, reported = self._one_pair, self._reported_difference
        return _told(pair.low <= reported <= pair.high, reported < pair.low or reported > pair.high)

    @property
    def one_pair(self) -> str:
        """The 95 % prediction interval of the difference in one further pair of runs."""
        return _interval(self._one_pair)

    @property
    def diagnosis(self) -> str:
        return self._line["diagnosis"]

    @property
    def evidence(self) -> str:
        """The figures that the diagnosis rests on."""
        return self._line["evidence"]

    @property
    def learns(self) -> bool:
        """Neither diverged nor not learning, by its diagnosis."""
        return self.diagnosis not in FAILURES

    @property
    def penalty_share(self) -> Estimate:
        """Share of the penalty in the training loss of the final weights."""
        return Estimate(self._line["penalty_share"])

    @property
    def log_distance(self) -> str:
        """Distance to the row's reported log in spreads of one run."""
        return _tenths(self._line["log_distance"])

    @property
    def log_limit(self) -> str:
        """Distance at which the 95 % prediction interval of one run ends, t(n - 1)."""
        return _tenths(self._log_limit)

    @property
    def reproduces_log(self) -> Finding:
        """Is the distance within that limit?"""
        distance = self._line["log_distance"]
        return _told(distance <= self._log_limit, distance > self._log_limit)

    def curve(self, quantity: str, epoch: int | None = None) -> Estimate:
        """A quantity of the learning curves after an epoch, by default the last one.

        Raises:
            UserError: nothing was recorded under that name and epoch.
        """
        line = self._curve(quantity, epoch)
        return _t_interval(line["mean"], line["sd"], line["n"])

    def not_finite(self, quantity: str, epoch: int) -> int:
        """Seeds in which a quantity of the learning curves is not finite after an epoch; errors as in `curve`."""
        return self._line["n"] - int(self._curve(quantity, epoch)["n"])

    @property
    def _log_limit(self) -> float:
        return float(stats.t.ppf((1 + LEVEL) / 2, self._line["n"] - 1))

    @property
    def _reported_difference(self) -> float:
        return self._line["reported"] - self._baseline["reported"]

    @property
    def _one_pair(self) -> Estimate:
        """From the interval of the mean difference: t · sd · √(1 + 1/n) is √(n + 1) times t · sd / √n."""
        mean = self.difference
        half = (mean.high - mean.low) / 2 * math.sqrt(1 + min(self._line["n_finite"], self._baseline["n_finite"]))
        return Estimate(mean.mean, mean.mean - half, mean.mean + half, "+")

    def _on(self, split: str) -> Estimate:
        """The final metric on a split, with an interval where the tables have its spread."""
        measured, metric = self._study["metric"].split(".")
        if split == measured:
            return self.value
        mean = self._line[split]
        last = self._curve(f"val_{metric}", None)  # of the split that the study monitors
        if split != "train" and math.isclose(mean, last["mean"], rel_tol=1e-5):
            return _t_interval(mean, last["sd"], last["n"])
        return Estimate(mean)

    def _curve(self, quantity: str, epoch: int | None) -> Mapping[str, Any]:
        curve = self._curves[self._curves["quantity"] == quantity]
        if epoch is not None:
            curve = curve[curve["epoch"] == epoch]
        if curve.empty:
            raise UserError(f"row {self.key} has no {quantity} after epoch {epoch or 'any'}")
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


@dataclass(frozen=True)
class Answer:
    """What was measured, Markdown on one line, and the claims."""

    measured: str
    claims: list[Claim]


def answer(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> Answer:
    """The answer of a study whose presentation has one.

    Raises:
        UserError: a template is wrong; it names study and place.
    """
    templates, words = study["answer"], _vocabulary(study, table, curves)
    claims = []
    for number, claim in enumerate(templates["claims"]):
        where = f"{study['name']}.yaml: answer.claims.{number}"
        holds = _finding(claim["holds"], words, f"{where}.holds")
        said, because = (_render(claim[part], words, f"{where}.{part}") for part in ("claim", "because"))
        claims.append(Claim(said, holds, because))
    return Answer(_render(templates["measured"], words, f"{study['name']}.yaml: answer.measured"), claims)


def rows_of(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Row]:
    """The study's rows by their names, in its order."""
    lines = {line["row"]: line for line in table.to_dict("records")}
    baseline = lines[study["baseline"]]
    by_row = dict(list(curves.groupby("row")))
    return {key: Row(key, study, line, baseline, by_row[key]) for key, line in lines.items()}


def to_markdown(answers: Iterable[tuple[Mapping[str, Any], pd.DataFrame, pd.DataFrame]]) -> str:
    """The whole document.

    Args:
        answers: of each study its presentation (build/studies/<study>.yaml), its table and its curves; a study whose
            presentation has no answer is left out.

    Raises:
        UserError: a template is wrong; it names study and place.
    """
    parts = [_section(study, table, curves) for study, table, curves in answers if study["answer"]]
    return "\n\n".join([INTRODUCTION, *parts]) + "\n"


def all_of(*findings: Finding | Iterable[Finding]) -> Finding:
    """Yes if all are, no if one is not, otherwise, or without any, not to be told (Kleene's three-valued logic)."""
    findings = _flat(findings)
    return False if False in findings else None if None in findings or not findings else True


def any_of(*findings: Finding | Iterable[Finding]) -> Finding:
    """Yes if one is, no if none is, otherwise, or without any, not to be told."""
    return opposite(all_of(map(opposite, _flat(findings))))


def opposite(finding: Finding) -> Finding:
    """No for yes, yes for no."""
    return None if finding is None else not finding


def _flat(findings: Iterable[Finding | Iterable[Finding]]) -> list[Finding]:
    return [one for part in findings for one in (part if isinstance(part, Iterable) else [part])]


def _section(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> str:
    name, found = study["name"], answer(study, table, curves)
    data, seeds = tables.escape(study["dataset_title"]), _seeds(study["n_seeds"])
    claims = [f"- {claim.said} **{_verdict(claim.holds, study['n_seeds'])}** {claim.because}" for claim in found.claims]
    return "\n\n".join(
        [
            f"## {tables.escape(study['title'])}",
            f"**Question.** {tables.escape(study['question'])}",
            f"**The page claims.** {tables.escape(study['claim'])} *({tables.escape(study['source'])})*",
            f"**Measured** ([table](tables/{name}.md), {data}, {seeds} a row). {found.measured}",
            "**Does it hold?**",
            "\n".join(claims),
        ]
    )


def _vocabulary(study: Mapping[str, Any], table: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Any]:
    rows = rows_of(study, table, curves)
    baseline = rows[study["baseline"]]
    others = [row for row in rows.values() if row is not baseline]

    def row(key: str) -> Row:
        if key not in rows:
            raise UserError(f"no row is called {key}")
        return rows[key]

    def ranked(log: str) -> list[Row]:
        if log not in study["reported_logs"]:
            raise UserError(f"no log is called {log}")
        distances = tables.rank_by_distance(study["reported_logs"][log], curves)["distance"]
        return [rows[key] for key in distances.dropna().index]

    return {
        "row": row,
        "rows": list(rows.values()),
        "others": others,
        "peers": [row for row in others if row.context == baseline.context],
        "baseline": baseline,
        "best": _best(list(rows.values()), study["higher_is_better"]),
        "ranked": ranked,
        "n": study["n_seeds"],
        "metric": study["metric"].replace(".", " "),
        "detectable": f"{tables.detectable_difference(table):.2g}".replace("nan", tables.DASH),
        "all_of": all_of,
        "any_of": any_of,
        "opposite": opposite,
    }


def _best(rows: list[Row], higher_is_better: bool) -> Row:
    """The first row with the best mean; the first row of all if none is finite."""
    sign = 1 if higher_is_better else -1
    return max(rows, key=lambda row: -math.inf if math.isnan(row.value.mean) else sign * row.value.mean)


def _t_interval(mean: float, sd: float, n: int) -> Estimate:
    """95 % t interval of a mean over n seeds (scipy); NaN ends without any spread."""
    if n < 2 or not sd > 0:
        return Estimate(mean)
    low, high = stats.t.interval(LEVEL, n - 1, mean, sd / math.sqrt(n))
    return Estimate(mean, float(low), float(high))


def _told(yes: bool, no: bool) -> Finding:
    """A finding from two comparisons, neither of which is true of a NaN."""
    return True if yes else False if no else None


def _interval(estimate: Estimate) -> str:
    return f"[{tables.DASH}]" if math.isnan(estimate.low) else f"[{', '.join(estimate.texts()[1:])}]"


def _tenths(value: float) -> str:
    return tables.DASH if math.isnan(value) else f"{value:.1f}"


def _verdict(finding: Finding, n: int) -> str:
    return {True: "Holds.", False: "Does not hold.", None: f"Cannot be told with {_seeds(n)}."}[finding]


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


def _checked(finding: Any) -> Finding:
    if finding is not None and not isinstance(finding, bool):
        raise UserError(f"is no finding (True, False or None): {finding}")
    return finding


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    environment.filters |= {"say": _say, "listed": _listed, "between": Estimate.between}
    return environment


def _render(template: str, words: Mapping[str, Any], where: str) -> str:
    """The template's text on one line."""
    return _inline(_evaluated(lambda: _environment().from_string(template).render(words), where))


def _finding(expression: str, words: Mapping[str, Any], where: str) -> Finding:
    """What an expression gives, which must be a finding."""

    def evaluate() -> Finding:
        return _checked(_environment().compile_expression(expression, undefined_to_none=False)(words))

    return _evaluated(evaluate, where)


def _evaluated(evaluate, where: str):
    try:
        return evaluate()
    except (UserError, TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"conf/study/{where}: {_inline(str(error))}") from None


def _inline(text: str) -> str:
    return " ".join(text.split())
