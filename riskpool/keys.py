"""The keys of the bus, made once a deployment: the operator's, the accounts', and credentials for every service."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from riskpool.logs import open_private
from riskpool.services import SERVICES
from shared.clock import Clock
from shared.messaging.accounts import FUND, FUND_EXPORTS, SIGNING, SYSTEM, gateway_may, service_may, system_may
from shared.messaging.claims import May, account_claim, credentials, operator_claim, user_claim
from shared.messaging.nkeys import ACCOUNT, OPERATOR, USER, Key, key_of, new_key

ROOT = "operator-root.seed"
OPERATIONS = "operations"


class Keys:
    """A directory of keys. ``operator-root.seed`` is needed only to make a new signing key: keep it elsewhere."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def operator(self) -> Path:
        """The seed that signs accounts; the gateway needs it to let partners in and out."""
        return self.directory / "gateway" / SIGNING

    def credentials(self, name: str) -> Path:
        """What a service connects with; ``operations`` may do everything in the fund's account."""
        return self.directory / name / f"{name}.creds"

    @property
    def system(self) -> Path:
        """What the gateway changes partners' accounts with."""
        return self.directory / "gateway" / SYSTEM

    @property
    def _ended(self) -> Path:
        return self.directory / "accounts" / "ended"

    def make(self, revoke: bool = False) -> "Keys":
        """Make what is missing, and everybody's credentials anew, as this version would have them.

        ``revoke`` ends all credentials of before and, where the root's seed is at hand, what signed partners' accounts.
        """
        claim = self.directory / "operator.jwt"
        if revoke:
            _write(self._ended, str(int(Clock.now().timestamp()) - 1))  # those of this second are the new ones
            if (self.directory / ROOT).exists():
                claim.unlink(missing_ok=True)
                self.operator.unlink(missing_ok=True)
        operator = self._key(self.operator, OPERATOR)
        fund, system = (self._key(self.directory / "accounts" / f"{name}.seed", ACCOUNT) for name in ("fund", "system"))
        if not claim.exists():
            root = self._key(self.directory / ROOT, OPERATOR)
            _write(claim, operator_claim(root, "riskpool", operator, system.public))
        _write(self.operator.with_name(FUND), fund.public)
        self._credentials(self.system, system, system_may())
        for name in SERVICES:
            self._credentials(self.credentials(name), fund, gateway_may() if name == "gateway" else service_may(name))
        self._credentials(self.credentials(OPERATIONS), fund, May())
        return self

    def server_settings(self, accounts: str) -> str:
        """The part of the server's configuration that turns accounts on; it keeps partners' claims in ``accounts``."""
        operator, fund, system = (
            key_of(_read(file))
            for file in (self.operator, *(self.directory / "accounts" / f"{n}.seed" for n in ("fund", "system")))
        )
        ended = int(_read(self._ended)) if self._ended.exists() else 0
        claims = {
            system.public: account_claim(operator, system.public, "system", ended=ended),
            fund.public: account_claim(operator, fund.public, "fund", exports=FUND_EXPORTS, storing=True, ended=ended),
        }
        preloaded = "\n".join(f"  {public}: {json.dumps(claim)}" for public, claim in claims.items())
        return (
            f"operator: {json.dumps(_read(self.directory / 'operator.jwt'))}\n"
            f"system_account: {system.public}\n"
            f'resolver {{ type: full, dir: {json.dumps(accounts)}, allow_delete: true, interval: "2m" }}\n'
            f"resolver_preload {{\n{preloaded}\n}}\n"
        )

    def _key(self, file: Path, kind: int) -> Key:
        if not file.exists():
            _write(file, new_key(kind).seed)
        return key_of(_read(file))

    def _credentials(self, file: Path, account: Key, may: May) -> None:
        user = new_key(USER)
        _write(file, credentials(user_claim(account, user.public, file.stem, may), user))


def _read(file: Path) -> str:
    return file.read_text(encoding="ascii").strip()


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(file.name + ".new")
    with os.fdopen(open_private(fresh), "w", encoding="ascii") as stream:
        stream.write(text.rstrip("\n") + "\n")
    fresh.replace(file)


def keys(
    directory: Annotated[Path, typer.Argument(help="Where the keys are kept; made when it is not there.")],
    accounts: Annotated[str, typer.Option(help="Where the server keeps partners' accounts.")] = "/data/accounts",
    revoke: Annotated[
        bool, typer.Option("--revoke", help="End what services had, once the server has read its new configuration.")
    ] = False,
) -> None:
    """Make what is missing of the bus's keys, and the server's part of its configuration, for one's own servers.

    `server/accounts.conf` is for nats-server, each service's directory for that service alone.
    """
    made = Keys(directory).make(revoke)
    settings = directory / "server" / "accounts.conf"
    settings.parent.mkdir(mode=0o755, exist_ok=True)
    settings.write_text(made.server_settings(accounts), encoding="ascii")
    directory.chmod(0o711)
    print(f"keys in {directory}; take {ROOT} to a safe place: it is needed only to change the operator's key")
