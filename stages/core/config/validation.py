"""Types of values in configuration and records, checked by pydantic; a mistake is one line with file and key."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.core.base.errors import UserError
from stages.core.base.text import one_line

LARGEST = 3.4028234e38
"""Of float32, in which training reckons: what is beyond it would be infinite there."""

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
NotNegative = Annotated[Finite, Field(ge=0)]
Positive = Annotated[Finite, Field(gt=0)]
Decay = Annotated[Finite, Field(ge=0, lt=1)]
Share = Annotated[Finite, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Schema(BaseModel):
    """Base of every part: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def validate(schema, data: dict[str, Any], where: str, part: str = ""):
    """`data`, all of what `where` names or a part of it, as `schema`, a pydantic model.

    Raises:
        UserError: the first mistake in one line: `where`, the key, what is expected and what is given.
    """
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join([part] * bool(part) + [str(place) for place in first["loc"]])
        message = first["msg"].removeprefix("Value error, ")
        given = "" if isinstance(first["input"], dict | list) else f" (given: {first['input']!r})"
        text = one_line(f"{key + ': ' if key else ''}{message}{given}")
        raise UserError(f"{where}: {text}") from None
