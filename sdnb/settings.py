"""The class that every group of settings is made from: checked, frozen, kept as TOML."""

import difflib
import os
import reprlib
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from sdnb.errors import Problem
from sdnb.files import write_atomically

MOST_BYTES, MOST_DOTS = 100_000, 1000  # of a file; a key of 50,000 parts takes tomllib a minute
TOLD = 5  # faults at once
SHORT = reprlib.Repr()  # a value may be long, or deep
SHORT.maxstring = SHORT.maxother = 80


class Settings(BaseModel):
    """Frozen settings that load from and save to TOML; a bad value raises one Problem."""

    # the sentence below each field becomes its description
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    basics: ClassVar[tuple[str, ...]] = ()
    """The fields a form shows at once; the rest is folded away."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self._explain(error) from error

    @field_validator("*")
    @classmethod
    def _possible(cls, value: Any) -> Any:
        """Refuses what no disk can hold, before a folder is asked for it."""
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str | Path) and "\0" in str(text):
                raise ValueError("it holds a character of the code 0")
            if isinstance(text, Path) and any(len(os.fsencode(name)) > 255 for name in text.parts):
                raise ValueError("a name in it is longer than 255 bytes")
        return value

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read settings from a TOML file; a Problem names the file and the key at fault."""
        try:
            return cls(**read_toml(path))
        except Problem as problem:
            raise Problem(problem.what, path, problem.do) from problem

    def save(self, path: Path | str) -> None:
        """Write the settings as TOML. A setting that is None is left out: TOML has no null."""
        values = self.model_dump(mode="json", exclude_none=True)
        write_atomically(path, tomli_w.dumps(values).encode())

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked like the original."""
        return type(self)(**{**self.model_dump(), **changes})

    @classmethod
    def _explain(cls, error: ValidationError) -> Problem:
        faults = [cls._explain_one(fault) for fault in error.errors()[:TOLD]]
        if error.error_count() > TOLD:
            faults.append(f"and {error.error_count() - TOLD} more")
        return Problem("; ".join(faults), do="Correct the settings and run again")

    @classmethod
    def _explain_one(cls, fault: Any) -> str:
        key = ".".join(str(part) for part in fault["loc"])[:80]
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, cls.model_fields, n=1)
            return f"{key!r} is not a setting" + (f"; did you mean {near[0]!r}?" if near else "")
        if fault["type"] in ("too_short", "string_too_short") and not fault["input"]:
            return f"{key!r} cannot be empty"
        allowed = fault["msg"].replace("Input should", "it should")
        return f"{key!r} cannot be {SHORT.repr(fault['input'])}: {allowed}"


def read_toml(path: Path | str) -> dict[str, Any]:
    """The values of a TOML file; a Problem where it cannot be read or is none."""
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            raise OSError
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES or content.count(b".") > MOST_DOTS:
            raise ValueError(f"it has more than {MOST_BYTES} bytes or {MOST_DOTS} dots")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise Problem("The settings file cannot be read", path, "Check the path") from error
    except (ValueError, RecursionError) as error:  # what is no TOML or no UTF-8 is a ValueError
        raise Problem(
            f"The settings file is not TOML: {error}",
            path,
            "Write one `name = value` on each line",
        ) from error
