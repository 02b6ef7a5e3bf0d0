"""The unprivileged account PostgreSQL runs under when the stack itself is run by root."""

import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from riskpool.supervisor import StackError

# `nobody` is on every system; an account made for us would outlive the project.
ACCOUNT = "nobody"


@dataclass(frozen=True)
class Launch:
    """A command and the process options that run it under the right account."""

    command: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def launch(self, command: Sequence[str], needs: Sequence[Path]) -> Launch:
        """Run `command` as this account; `needs` are the files and directories it must reach.

        Where a parent directory is closed to others (a checkout under /root) the account keeps one capability,
        to pass closed directories. No permission of the user's directories is changed.
        """
        if all(_open_to_others(path) for path in needs):
            return Launch(tuple(command), {"user": self.uid, "group": self.gid, "extra_groups": []})
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            closed = next(path for path in needs if not _open_to_others(path))
            raise StackError(
                f"PostgreSQL does not run as root, and the account {ACCOUNT!r} cannot reach {closed}. Run riskpool as "
                "an ordinary user, or put the project and its data where other accounts may enter."
            )
        prefix = (
            setpriv, f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups",
            "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--securebits=+no_setuid_fixup",
        )  # fmt: skip
        return Launch((*prefix, *command))


class Self(Account):
    """An ordinary user runs everything under the own account."""

    def own(self, path: Path) -> None:
        return

    def launch(self, command: Sequence[str], needs: Sequence[Path]) -> Launch:
        return Launch(tuple(command))


def account_for(data: Path) -> Account:
    """The owner of data that is already there, else an unprivileged account; never root."""
    if os.geteuid() != 0:
        return Self(os.geteuid(), os.getegid())
    if data.exists() and data.stat().st_uid != 0:
        found = data.stat()
        return Account(found.st_uid, found.st_gid)
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise StackError(
            f"PostgreSQL does not run as root, and this system has no account {ACCOUNT!r}: run riskpool as an "
            "ordinary user."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _open_to_others(path: Path) -> bool:
    """Every parent may be entered by others, and a file may be read and run by them."""
    resolved = path.resolve()
    if any(not parent.stat().st_mode & 0o001 for parent in resolved.parents):
        return False
    return not resolved.is_file() or resolved.stat().st_mode & 0o005 == 0o005
