"""PostgreSQL's own programs: a database as of a snapshot into bytes, and bytes into an empty database."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import make_url

from riskpool.backups.archive import pieces
from riskpool.backups.cut import BackupError
from riskpool.servers import postgres_binaries


def dumped(url: str, snapshot: str) -> Iterator[bytes]:
    """A database in the custom format of pg_dump; BackupError when it could not be read to its end."""
    command = [str(postgres_binaries() / "pg_dump"), "--format=custom", "--compress=gzip:3", f"--snapshot={snapshot}"]
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(
            [*command, "--no-owner", "--no-privileges"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=_environment(url),
        ) as process:
            assert process.stdout is not None
            try:
                yield from pieces(process.stdout)
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            complaints.seek(0)
            raise BackupError(f"pg_dump: {complaints.read().decode(errors='replace').strip()}")


def restore(url: str, content: Iterable[bytes]) -> None:
    """Fill an empty database, in one transaction; the owner is who signs in. BackupError when PostgreSQL refuses."""
    command = [str(postgres_binaries() / "pg_restore"), "--single-transaction", "--no-owner", "--no-privileges"]
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(
            [*command, f"--dbname={make_url(url).database}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            env=_environment(url),
        ) as process:
            assert process.stdin is not None
            try:
                for chunk in content:
                    process.stdin.write(chunk)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it ended early, and says why
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            complaints.seek(0)
            raise BackupError(f"pg_restore: {complaints.read().decode(errors='replace').strip()}")


def _environment(url: str) -> dict[str, str]:
    """How these programs sign in; a password in a command line could be read by everybody."""
    place = make_url(url)
    ssl = place.query.get("ssl", "prefer")
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PGHOST": place.host or "127.0.0.1",
        "PGPORT": str(place.port or 5432),
        "PGUSER": place.username or "",
        "PGPASSWORD": place.password or "",
        "PGDATABASE": place.database or "",
        "PGSSLMODE": ssl if isinstance(ssl, str) else "prefer",
        "PGPASSFILE": str(Path(os.devnull)),
    }
