"""The bus encrypted: both sides show a certificate of one authority, and who has none is not let in."""

import asyncio
import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext
from nats.protocol import parser

from shared.clock import Clock
from shared.messaging.binding import Binding
from shared.messaging.bus import connect, tls
from shared.messaging.envelope import new_id
from tests.conftest import Nats

REPAIRED: tuple[tuple[Any, str], ...] = (
    (JetStreamContext.PullSubscription, "fetch"), (JetStreamContext, "is_status_msg"), (Client, "_process_headers"),
    (Client, "_build_message"), (parser, "MSG_RE"), (parser, "HMSG_RE"),
)  # fmt: skip


class Authority:
    """An authority of the test's own, and certificates by it as files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "riskpool test")])
        self.file = directory / "ca.pem"
        self._write(self.file, self._sign(self._name, self._key.public_key(), authority=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, secret = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        self._write(certificate, self._sign(subject, key.public_key(), authority=False))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, secret

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, authority: bool) -> x509.Certificate:
        now, day = Clock.now(), datetime.timedelta(days=1)
        made = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
        made = made.not_valid_before(now - day).not_valid_after(now + day)
        made = made.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if not authority:
            here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            made = made.add_extension(here, critical=False)
        return made.sign(self._key, hashes.SHA256())

    @staticmethod
    def _write(file: Path, certificate: x509.Certificate) -> None:
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(server_directory: Path, authority: Authority) -> Iterator[Nats]:
    """A server that shows a certificate and asks for one."""
    certificate, key = authority.issue("server")
    settings = f'tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{authority.file}", verify: true }}\n'
    server = Nats.alone(server_directory / new_id() / "nats", settings)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_certificate(authority: Authority, encrypted: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = authority.issue("pool")
    for place, name in REPAIRED:  # the binding repairs nats-py for the process: not for the tests after this one
        monkeypatch.setattr(place, name, place.__dict__[name])
    monkeypatch.setenv("RISKPOOL_NATS_URL", encrypted.url)
    monkeypatch.setenv("RISKPOOL_NATS_CA", str(authority.file))
    monkeypatch.setenv("RISKPOOL_NATS_CERT", str(certificate))
    monkeypatch.setenv("RISKPOOL_NATS_KEY", str(key))


@pytest.mark.usefixtures("own_certificate")
async def test_a_service_with_a_certificate_works_encrypted() -> None:
    client = await asyncio.wait_for(connect("test", "pool"), 10)
    assert (await client.jetstream().account_info()).streams == 0
    binding = Binding("pool", client.close)

    async def answer(body: bytes, subject: str) -> bytes:
        return body[::-1]

    binding.serve("commands.yanqing.pool.*", "pool", answer)
    await asyncio.wait_for(binding.start(), 10)
    assert (await client.request("commands.yanqing.pool.X", b"abc", timeout=5)).data == b"cba"
    await binding.stop()
    await client.close()


@pytest.mark.parametrize("who", ["in the clear", "without a certificate"])
async def test_who_shows_no_certificate_is_not_let_in(
    encrypted: Nats, authority: Authority, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    if who != "in the clear":
        monkeypatch.setenv("RISKPOOL_NATS_CA", str(authority.file))
    with pytest.raises((NatsError, OSError, TimeoutError)):
        await nats.connect(encrypted.url, tls=tls(), allow_reconnect=False, max_reconnect_attempts=0, connect_timeout=2)
