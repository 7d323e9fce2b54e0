"""The system account that runs PostgreSQL, which refuses to run as root.

An ordinary user runs it as itself. For root the account `pgserver` is used (made when missing, as the wheel does), or
`nobody` where accounts cannot be made.
"""

import os
import pwd
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from lifemask.cli.embedded.process import EmbeddedPartError

_ROOTS_DEPUTIES = ("pgserver", "nobody")


class PopenAccount(TypedDict, total=False):
    """Arguments of subprocess.Popen."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server. `deputy` is None when that is the user of this process."""

    deputy: pwd.struct_passwd | None

    @classmethod
    def for_server(cls) -> "Account":
        return cls(_deputy() if os.geteuid() == 0 else None)

    def popen(self) -> PopenAccount:
        if self.deputy is None:
            return {}
        return {"user": self.deputy.pw_uid, "group": self.deputy.pw_gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Makes the account the owner of one file or folder."""
        if self.deputy is not None:
            os.chown(path, self.deputy.pw_uid, self.deputy.pw_gid)

    def open_way_to(self, path: Path) -> None:
        """Lets the account walk through the folders above `path`: pass, not read. Says so where it changes one."""
        if self.deputy is None:
            return
        for folder in path.resolve().parents:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
                print(f"as root: made {folder} passable (chmod o+x) for {self.deputy.pw_name}", flush=True)


def _deputy() -> pwd.struct_passwd:
    if found := _find("pgserver"):
        return found
    try:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", "pgserver"]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  constant arguments
    except (OSError, subprocess.CalledProcessError) as error:
        # A second starter may have been faster, and macOS has no useradd.
        print(f"useradd pgserver: {error}", file=sys.stderr)
    for name in _ROOTS_DEPUTIES:
        if found := _find(name):
            return found
    raise EmbeddedPartError(
        "PostgreSQL does not run as root and there is no account to run it: "
        "start as an ordinary user, or name a server in LIFEMASK_POSTGRES"
    )


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
