"""The files of a study of one's own, as `regbench new` writes them: model, optimizer, study, and their two lines in
params.yaml and dvc.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from stages.core.base.errors import UserError

Rows = dict[str, tuple[str, list[str]]]
"""By name: label and overrides."""

L2_STRENGTHS = (1e-4, 1e-3, 1e-2)
RATES = (0.1, 0.3, 0.5)
SHARES = {"tenth": 0.1, "hundredth": 0.01}
HEAD = "# @package _global_\n# Written by `{by}`; what else may be said is in conf/README.md.\n"


def rows_of_chain(
    penalties: Mapping[str, Mapping[str, float]], settings: Mapping[str, float], regularized: bool
) -> Rows:
    """Rows of a net whose penalties and rates are keys of the study, by name: label and overrides.

    Args:
        penalties: its own coefficients, as {"kernel": {"l2": 0.01}}.
        settings: the rates of its dropouts by their names in the model.
        regularized: whether a layer is marked so.
    """
    own = {f"{place}.{kind}": value for place, part in penalties.items() for kind, value in part.items() if value}
    off = [f"{key}=0.0" for key in own]
    rates = {f"model.{name}": rate for name, rate in settings.items()}
    no_rates = [f"{key}=0.0" for key, rate in rates.items() if rate]
    rows: Rows = {"as_is": ("as it is", [])}
    if off or no_rates:
        rows["none"] = ("no regularizer", off + no_rates)
    if off:
        for name, share in SHARES.items():
            rows[name] = (f"its penalties × {share:g}", [f"{key}={value * share:.6g}" for key, value in own.items()])
    if off and no_rates:
        rows["dropout_off"] = ("dropout off", no_rates)
    if regularized:
        others = [f"{key}=0.0" for key in own if key != "kernel.l2"]
        for strength in L2_STRENGTHS:
            if own != {"kernel.l2": strength}:
                rows[f"l2_{_power(strength)}"] = (f"l2({strength:g})", [*others, f"kernel.l2={strength:g}"])
    for rate in RATES if rates else ():
        if {*rates.values()} != {rate}:
            rows[f"dropout_{rate * 100:.0f}"] = (f"dropout {rate:g}", [f"{key}={rate:g}" for key in rates])
    once: dict[tuple[tuple[str, float], ...], tuple[str, tuple[str, list[str]]]] = {}
    for name, row in rows.items():  # a tenth of l2(0.001) is l2(0.0001): no net twice, and no test twice
        set_to = {**own, **rates, **{key: float(value) for key, _, value in (one.partition("=") for one in row[1])}}
        once.setdefault(tuple(sorted((key, value) for key, value in set_to.items() if value)), (name, row))
    return dict(once.values())


def rows_of_json(
    study: str, own: bool, rates: list[float], variant: Callable[..., dict[str, Any]]
) -> tuple[Rows, dict[str, str]]:
    """Rows of a net that is no chain, and the files in conf/model/ that they name, by name.

    Args:
        own: whether it has penalties of its own.
        rates: of its dropouts.
        variant: function from what is changed to Keras' JSON of the net.
    """
    changes: dict[str, tuple[str, dict[str, float]]] = {}
    if own or rates:
        changes["none"] = ("no regularizer", {"factor": 0.0, **({"rate": 0.0} if rates else {})})
    if own:
        changes |= {name: (f"its penalties × {share:g}", {"factor": share}) for name, share in SHARES.items()}
    if own and rates:
        changes["dropout_off"] = ("dropout off", {"rate": 0.0})
    changes |= {f"l2_{_power(l2)}": (f"l2({l2:g})", {"factor": 0.0, "l2": l2}) for l2 in L2_STRENGTHS}
    if rates:
        changes |= {f"dropout_{rate * 100:.0f}": (f"dropout {rate:g}", {"rate": rate}) for rate in RATES}
    nets = {"as_is": variant()}
    rows: Rows = {"as_is": ("as it is", [])}
    for name, (label, change) in changes.items():
        net = variant(**change)
        if net not in nets.values():
            nets[name], rows[name] = net, (label, [f"model.keras={study}-{name}.json"])
    return rows, {f"{study}-{name}.json": json.dumps(net, indent=1) + "\n" for name, net in nets.items()}


def study_text(study: str, head: Mapping[str, Any], rows: Rows, by: str = "regbench new") -> str:
    """conf/study/<study>.yaml; `by`: the command that writes it."""
    lines = [f"{key}: {flow(value)}" for key, value in head.items() if key != "defaults"]
    defaults = [f"  - {flow_pair(entry)}" for entry in head["defaults"]]
    listed = [
        f"  {study}/{name}: {flow({'label': label, **({'overrides': overrides} if overrides else {})})}"
        for name, (label, overrides) in rows.items()
    ]
    return HEAD.format(by=by) + "\n".join(["defaults:", *defaults, "", *lines, "", "rows:", *listed]) + "\n"


def model_text(comment: str, settings: Mapping[str, float], layers: list[dict[str, Any]]) -> str:
    """conf/model/<study>.yaml of a chain of layers."""
    lines = [f"# {comment}", *(f"{name}: {flow(value)}" for name, value in settings.items()), "layers:"]
    return "\n".join([*lines, *(f"  - {flow(layer)}" for layer in layers)]) + "\n"


def block(values: Mapping[str, Any], comment: str) -> str:
    """A mapping, a key on a line, as conf/dataset/ and conf/optimizer/ have it."""
    return "\n".join([f"# {comment}", *(f"{key}: {flow(value)}" for key, value in values.items())]) + "\n"


def flow_pair(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {flow(value)}" for key, value in entry.items())


def flow(value: Any) -> str:
    """Plain data on one line: JSON, whose keys need no quotes where they are words."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # PyYAML takes 1e-07 for text
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z_]*", value) and value.lower() not in NOT_TEXTS:
        return value
    return json.dumps(value, ensure_ascii=False)


NOT_TEXTS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"}


def with_study(pipeline: str, params: str, study: str, seeds: int) -> tuple[str, str]:
    """dvc.yaml and params.yaml with the study, and nothing else of them changed.

    Raises:
        UserError: there is no place for it.
    """
    listed = [*re.finditer(r"(?m)^  - conf/study/[^\n]*:rows[^\n]*\n", pipeline)]
    if not listed:
        raise UserError("dvc.yaml: vars: lists no study, so there is no place for another")
    at = listed[-1].end()
    pipeline = f"{pipeline[:at]}  - conf/study/{study}.yaml:rows\n{pipeline[at:]}"
    found = re.search(r"(?m)^studies:[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\n|[ \t]+[^\n]*\n)*?(?=\S|\Z)", params)
    entries = [*re.finditer(r"(?m)^  \w+: [^\n]*\n", found.group())] if found else []
    if not entries:
        raise UserError("params.yaml: has no studies, so there is no place for another")
    at = found.start() + entries[-1].end() if found else 0
    return pipeline, f"{params[:at]}  {study}: {{dataset: {study}, seeds: {seeds}}}\n{params[at:]}"


def _key(key: Any) -> str:
    return (
        str(key) if re.fullmatch(r"[A-Za-z_]\w*", str(key)) and str(key).lower() not in NOT_TEXTS else json.dumps(key)
    )


def _power(strength: float) -> str:
    return f"{strength:.0e}".replace("e-0", "e-")
