"""The class that every group of settings is made from: checked, frozen, kept as TOML."""

import difflib
import os
import re
import reprlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from sdnb.errors import Problem, about
from sdnb.files import write_atomically

MOST_BYTES, MOST_DOTS = 100_000, 1000  # of a file; a key of 50,000 parts takes tomllib a minute
TOLD = 5  # faults at once
SHORT = reprlib.Repr()  # a value may be long, or deep
SHORT.maxstring = SHORT.maxother = 80


class PlainPaths(BaseModel):
    """Settings whose paths may be written as people write them, see `plain_path`."""

    names: ClassVar[tuple[str, ...]] = ()
    """The fields beside the paths that hold a name or a path, read in the same way."""

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name].annotation
        meant = info.field_name in cls.names or Path in (kind, *get_args(kind))
        if not (meant and isinstance(value, str)):
            return value
        if re.search(r"[\x00-\x1f]", value):  # of "C:\temp" in double quotes, say
            what = "it holds a control character; in double quotes write \\\\ or / for each \\"
            raise PydanticCustomError("control", what)
        return plain_path(value)


class Settings(PlainPaths):
    """Frozen settings that load from and save to TOML; a bad value raises one Problem."""

    # the sentence below each field becomes its description
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    basics: ClassVar[tuple[str, ...]] = ()
    """The fields a form shows at once; the rest is folded away."""
    groups: ClassVar[dict[str, str]] = {}
    """Headings for the rest, and the fields below each, in this order."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self._explain(error, values) from error

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
        with about(path):
            return cls(**read_toml(path))

    def save(self, path: Path | str) -> None:
        """Write the settings as TOML. A setting that is None is left out: TOML has no null."""
        values = self.model_dump(mode="json", exclude_none=True)
        write_atomically(path, tomli_w.dumps(values).encode())

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked like the original."""
        return type(self)(**{**self.model_dump(), **changes})

    @classmethod
    def _explain(cls, error: ValidationError, values: dict[str, Any]) -> Problem:
        faults = [cls._explain_one(fault) for fault in error.errors()[:TOLD]]
        if error.error_count() > TOLD:
            faults.append(f"and {error.error_count() - TOLD} more")
        if "clip_skip" in values and _table()["kohya"].keys() & values.keys():
            faults.append("'clip_skip' is 1 less here than in kohya_ss")
        return Problem("; ".join(faults), do="Correct the settings and run again")

    @classmethod
    def _explain_one(cls, fault: Any) -> str:
        key = ".".join(str(part) for part in fault["loc"])[:80]
        if fault["type"] == "extra_forbidden":
            if isinstance(fault["input"], dict):
                return f"[{key}] is a section, and here are none: leave out its line"
            if key in _table()["kohya"]:
                return f"{key!r} is not a setting: {_table()['kohya'][key]}"
            near = difflib.get_close_matches(key, cls.model_fields, n=1)
            return f"{key!r} is not a setting" + (f"; did you mean {near[0]!r}?" if near else "")
        if fault["type"] in ("too_short", "string_too_short") and not fault["input"]:
            return f"{key!r} cannot be empty"
        allowed = fault["msg"].replace("Input should", "it should")
        if re.fullmatch(r"\s*[-+]?\d{0,99},\d{1,99}\s*", str(fault["input"])):
            allowed += ", written with a point"
        return f"{key!r} cannot be {SHORT.repr(fault['input'])}: {allowed}"


@cache
def _table() -> dict[str, Any]:
    """What other programs' settings are called here, and what is wrong with a line of TOML."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def names_elsewhere() -> dict[str, str]:
    """What is said of each setting of kohya_ss and of diffusers' scripts, by its name there."""
    return _table()["kohya"]


def plain_path(text: str) -> str:
    """A path or a name without quotes around it, with the home folder for "~"."""
    text = re.sub(r"^\s*[\"'“”„‘’«»](.+)[\"'“”‘’«»]\s*$", r"\1", text)
    return os.path.expanduser(text)


def read_toml(path: Path | str) -> dict[str, Any]:
    """The values of a TOML file; a Problem where it cannot be read or is none."""
    try:
        path = plain_path(str(path))
        if not os.path.isfile(path):  # a pipe would be waited for
            raise OSError
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES or content.count(b".") > MOST_DOTS:
            raise ValueError(f"it has more than {MOST_BYTES} bytes or {MOST_DOTS} dots")
        text = content.decode("utf-8-sig")  # Notepad marks it
        return tomllib.loads(text)
    except OSError as error:
        raise Problem("The settings file cannot be read", path, "Check the path") from error
    except UnicodeDecodeError as error:
        what = "The settings file is not TOML in UTF-8"
        do = 'Save it anew with the encoding UTF-8 ("Unicode" in old editors is UTF-16)'
        raise Problem(what, path, do) from error
    except (ValueError, RecursionError) as error:  # what is no TOML is a ValueError
        found = re.search(r"line (\d+)", str(error))
        line = text.splitlines()[int(found[1]) - 1] if found else ""
        hints = [hint["do"] for hint in _table()["hints"] if re.search(hint["line"], line)]
        do = hints[0] if hints else "Write one `name = value` on each line"
        raise Problem(f"The settings file is not TOML: {error}", path, do) from error
