"""The answer and the verdicts of a study that has none of its own, as templates for `answers`."""

from __future__ import annotations

from typing import Any

ADVISED = (
    "{{ 'no row does better than ' ~ baseline.label ~ ' by more than noise' if advised.key == baseline.key else "
    "advised.label ~ ' does best (' ~ advised.measured ~ ')' }}"
)

GENERAL: dict[str, Any] = {
    "answer": {
        "measured": """\
{% set lost = rows | rejectattr("learns") | list %}
{% set open = others | selectattr("learns") | selectattr("better", "none") | list %}
{% set higher = others | selectattr("better", "true") | list %}
{% set lower = others | selectattr("better", "false") | list %}
Beside {{ baseline.label }} ({{ baseline.measured }}), {{ higher | length or "none" }} of {{ others | length }} rows do
better by more than noise and {{ lower | length or "none" }} do worse; {{ lost | length or "none" }}
{{ "does" if lost | length == 1 else "do" }} not learn
{%- if lost %}: {{ lost | listed("measured") }}{% endif %}.
{{ open | length or "None" }} cannot be told from it with {{ n }} {{ "seed" if n == 1 else "seeds" }}.
{%- if others %}
{% set apart = others | sort(attribute="difference.mean") %}
The mean difference runs from {{ apart[0].difference }} to {{ apart[-1].difference }}.
{%- endif %}""",
        "claims": [
            {
                "claim": "What helps: a row does better than the baseline.",
                "holds": 'any_of(others | map(attribute="better"))',
                "because": "By more than noise: {{ others | selectattr('better', 'true') | listed('tested') }}.",
                "needs": [],
            },
            {
                "claim": "What harms: a row does worse than the baseline.",
                "holds": 'any_of(others | map(attribute="worse"))',
                "because": "By more than noise: {{ others | selectattr('worse', 'true') | listed('tested') }}.",
                "needs": [],
            },
            {
                "claim": "All rows learn.",
                "holds": 'all_of(rows | map(attribute="learns"))',
                "because": "Not learning: {{ rows | rejectattr('learns') | listed('measured') }}.",
                "needs": [],
            },
        ],
    },
    "verdict": [
        {
            "holds": ["opposite(baseline.learns)"],
            "needs": [],
            "cause": "The row that the others are compared with, {{ baseline.label }}, does not learn itself: "
            "{{ baseline.diagnosis }}.",
            "change": f"Make it learn first: {ADVISED}.",
            "snippet": "{{ advised.snippet }}",
            "sure": "{{ n }} {{ 'run' if n == 1 else 'runs' }} of each row, compared run by run.",
            "otherwise": "Rows of this study cannot say why.",
        },
        {
            "holds": ['any_of(peers | map(attribute="stops"))'],
            "needs": [],
            "cause": "The regularizer stops the net: it does not learn with {{ peers | selectattr('stops') | listed }}, and "
            "does with {{ baseline.label }}.",
            "change": f"Take a much smaller coefficient, or none: {ADVISED}.",
            "snippet": "{{ advised.snippet }}",
            "sure": "The {{ metric }} is {{ baseline.measured }} with {{ baseline.label }}, against "
            "{{ peers | selectattr('stops') | listed('measured') }}.",
            "otherwise": "These settings differ in regularization alone, so nothing else explains it here.",
        },
        {
            "holds": ['any_of(peers | map(attribute="better"))'],
            "needs": [],
            "cause": "Other regularization does better than {{ baseline.label }}: "
            "{{ peers | selectattr('better', 'true') | listed('difference') }}.",
            "change": "Take {{ advised.label }}"
            "{{ ', which has the best mean of these' if peers | selectattr('better', 'true') | list | length > 1 }}.",
            "snippet": "{{ advised.snippet }}",
            "sure": "More than noise over {{ n }} seeds, Holm-adjusted.",
            "otherwise": "On other data another coefficient may be best.",
        },
        {
            "holds": ['any_of(peers | map(attribute="worse"))'],
            "needs": [],
            "cause": "Too strong a regularizer harms here: {{ peers | selectattr('worse') | listed('difference') }}.",
            "change": f"Take a smaller coefficient, or none: {ADVISED}.",
            "snippet": "{{ advised.snippet }}",
            "sure": "More than noise over {{ n }} seeds, Holm-adjusted.",
            "otherwise": "On other data another coefficient may be best.",
        },
        {
            "holds": ["true"],
            "needs": [],
            "cause": "No regularizer of this study does harm that {{ n }} {{ 'seed' if n == 1 else 'seeds' }} show.",
            "change": f"Nothing needs to change: {ADVISED}.",
            "snippet": "{{ advised.snippet }}",
            "sure": "Of {{ others | length }} differences from {{ baseline.label }} the largest is "
            "{{ (others | sort(attribute='size') | last).difference if others else 'none' }}.",
            "otherwise": "An effect smaller than these intervals could be missed.",
        },
    ],
}
"""The answer and the verdicts of a study that has none of its own."""
