"""Files and folders that are whole or as they were. More of it is tested where they are written."""

import os

import pytest

from sdnb.errors import Problem
from sdnb.files import write_folder_atomically


@pytest.mark.parametrize("stop", [PermissionError, KeyboardInterrupt])
def test_stopped_between_two_renames_the_old_folder_is_still_there(tmp_path, monkeypatch, stop):
    write_folder_atomically(tmp_path / "model", lambda path: (path / "a").write_text("old"))
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise stop
        return real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises((Problem, KeyboardInterrupt)):
        write_folder_atomically(tmp_path / "model", lambda path: (path / "a").write_text("new"))
    assert (tmp_path / "model" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
