"""What params.yaml and a study may contain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from stages.core.config.validation import Count, Finite, NotNegative, Schema, Share


class Selection(Schema):
    """Which data set a study runs on, and how many seeds of each row."""

    dataset: str
    seeds: Annotated[Count, Field(le=10_000)]


class GridNet(Schema):
    """A net of the grid: the seeds of its cells that are no row of a study, and which regularizations it gets (None:
    all)."""

    seeds: Count
    regularizations: list[str] | None = None


class Curve(Schema):
    """A response curve: a net at several strengths of what the Hydra key `strength` sets.

    `own`: the document's strength; `overrides`: what else is different; `seeds`: of each strength.
    """

    net: str
    strength: Annotated[
        str, Field(pattern=r"^(kernel|bias|activity)\.l[12]$|^model\.dropout$|^optimizer\.weight_decay$")
    ]
    values: Annotated[list[NotNegative], Field(min_length=2)]
    seeds: Count
    own: NotNegative | None = None
    overrides: list[str] = []

    @model_validator(mode="after")
    def _rising(self) -> Curve:
        if sorted({*self.values}) != self.values:
            raise ValueError("values: must rise, each one once")
        return self


class Params(Schema):
    """All of params.yaml; `cifar10` is for dvc.yaml, which lists the data sets to fetch, `strengths` for its curves."""

    device: Literal["auto", "cpu", "gpu"]
    cifar10: str | None = None
    studies: Annotated[dict[str, Selection], Field(min_length=1)]
    grid: dict[str, GridNet] = {}
    strengths: dict[str, list[NotNegative]] = {}
    curves: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")], Curve] = {}


class Net(Schema):
    """All of conf/net/<name>.yaml: a study's net as it is there, or with overrides."""

    label: Annotated[str, Field(min_length=1)]
    study: str
    overrides: list[str] = []


class Regularization(Schema):
    """What conf/regularization/<name>.yaml says of itself. `nets`: the nets that it is for, with what each sets; None:
    all nets."""

    label: Annotated[str, Field(min_length=1)]
    nets: dict[str, dict[str, dict[str, Any]]] | None = None


class ReportedRow(Schema):
    """What a study says about one row besides its overrides; `beyond`: the document has no such row."""

    label: Annotated[str, Field(min_length=1)]
    overrides: list[str] = []
    reported: Finite | None = None
    reported_log: str | None = None
    same_reported_as: str | None = None
    beyond: bool = False


class Log(Schema):
    """A training log as a document prints it, one value an epoch."""

    epochs: list[Count]
    loss: list[Finite]
    accuracy: list[Share]
    val_loss: list[Finite]
    val_accuracy: list[Share]

    @model_validator(mode="after")
    def _complete(self) -> Log:
        if len({len(column) for column in self.model_dump().values()}) != 1:
            raise ValueError("every column needs one value for each epoch")
        if not self.epochs or sorted({*self.epochs}) != self.epochs:
            raise ValueError("epochs: must rise, each one once")
        return self


class Headings(Schema):
    label: str
    reported: str


class Claim(Schema):
    """Something said about a study, an expression that decides it, and the reason; `needs`: rows that it speaks of and
    that the study may not have yet."""

    claim: str
    holds: str
    because: str
    needs: list[str] = []


class Claims(Schema):
    """All of conf/grid.yaml: what is said across all nets."""

    claims: list[Claim] = []


class Verdict(Schema):
    """What a study tells the person who asked: one sentence each, and the code, if any. All of `holds` must hold."""

    holds: Annotated[list[str], Field(min_length=1)]
    needs: list[str] = []
    cause: str
    change: str
    snippet: str = ""
    sure: str
    otherwise: str


class Answer(Schema):
    """A study's answer: templates of sentences and claims that the tables fill in."""

    measured: str
    claims: Annotated[list[Claim], Field(min_length=1)]


class Study(Schema):
    """What a study shows: the document's question, its figures and its rows, in the document's order.

    `url`: the document's page; `asked`, `fixed`: the rows that show the question and what to do; `figure`: of a case
    where nothing is to be done, the one that answers; `same_data`: are the reported figures of the study's data;
    `verdict`: the first whose rows are all there is said.
    """

    title: str
    question: str
    claim: str
    source: str
    figure_title: str
    headings: Headings
    url: Annotated[str, Field(pattern=r"^https://\S+$")] | None = None
    metric: Literal[
        "test.accuracy",
        "validation.accuracy",
        "test.balanced_accuracy",
        "validation.balanced_accuracy",
        "train.mae",
        "validation.mae",
        "test.mae",
    ]
    baseline: str
    asked: str | None = None
    fixed: str | None = None
    figure: Literal["differences", "curves", "loss"] = "differences"
    same_data: bool = True
    notes: list[str] = []
    reported_logs: dict[str, Log] = {}
    answer: Answer | None = None
    verdict: list[Verdict] = []
    rows: dict[str, ReportedRow]

    @model_validator(mode="after")
    def _plausible(self) -> Study:
        highest = 1 if self.metric.endswith("accuracy") else float("inf")
        for name, row in self.rows.items():
            if row.reported is not None and not 0 <= row.reported <= highest:
                raise ValueError(f"rows.{name}.reported: {row.reported} is no {self.metric}")
        return self
