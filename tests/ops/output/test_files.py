"""A file that a command leaves is whole, or the earlier one stays."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ops.errors import OpsError
from ops.output.files import check_writable, write_file


def test_an_earlier_file_stays_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "costs.csv"
    write_file(path, "earlier")

    def full(self: Path, *_: object, **__: object) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OpsError, match=r"cannot write .*costs\.csv: No space left on device"):
        write_file(path, "later")
    assert path.read_text() == "earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["costs.csv"]


def test_what_cannot_be_a_file_is_refused_beforehand(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "file.csv"):
        with pytest.raises(OpsError, match="give another file"):
            check_writable(path)
    check_writable(tmp_path / "new.csv")
    assert not list(tmp_path.iterdir())
