"""Laws of TLS settings: contexts always verify; a failed handshake is told in words."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from wire_peers import AUTHORITY, DAY, NOW, listening, refusing, server_context

from sidecar.wire import tls
from sidecar.wire.tls import TlsSettingError, alert, client_context, explain, failure


@pytest.fixture
def ca(tmp_path: Path) -> str:
    """A file with the authority to trust."""
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def client(tmp_path: Path) -> tuple[str, str]:
    """Files with a client certificate and its key."""
    issued = AUTHORITY.issue_cert("client.example")
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    return str(cert), str(key)


@pytest.mark.parametrize("min_version", ["1.2", "1.3"])
def test_contexts_verify(ca: str, min_version: str) -> None:
    """Chain and name are checked, whatever the setting; old versions are off."""
    context = client_context(ca=ca, min_version=min_version)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version.name == "TLSv" + min_version.replace(".", "_")


def test_own_authorities_replace_those_of_the_system(ca: str) -> None:
    """With `ca` nothing else is trusted; without it the system's are."""
    trusted = client_context(ca=ca).get_ca_certs(binary_form=True)
    assert trusted == [ssl.PEM_cert_to_DER_cert(Path(ca).read_text())]
    assert client_context().cert_store_stats() == ssl.create_default_context().cert_store_stats()


def private(directory: Path) -> tuple[str, ssl.SSLContext]:
    """An authority as companies make them, without the extensions that RFC 5280 asks for, and a server's context."""
    ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Private")])
    base = x509.CertificateBuilder().issuer_name(name).not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    root = base.subject_name(name).public_key(ours.public_key()).serial_number(1)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
    leaf = base.subject_name(x509.Name([])).public_key(theirs.public_key()).serial_number(2)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=False)
    ca, cert, key = (directory / file for file in ("private.pem", "leaf.pem", "leaf.key"))
    ca.write_bytes(root.sign(ours, SHA256()).public_bytes(Encoding.PEM))
    cert.write_bytes(leaf.sign(ours, SHA256()).public_bytes(Encoding.PEM))
    key.write_bytes(theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(ca), tls.server_context(str(cert), str(key))


async def test_private_authorities_may_be_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 refuses such chains by default; everything else it checks stays."""
    made = ssl.create_default_context

    def strict(**settings: str) -> ssl.SSLContext:
        context = made(**settings)  # type: ignore[arg-type]
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    ca, server = private(tmp_path)
    assert str(await handshake(server, strict(cafile=ca))).startswith("certificate refused, OpenSSL verdict")
    assert isinstance(await handshake(server, client_context(ca=ca)), ssl.SSLObject)


def test_versions_that_do_not_exist() -> None:
    """1.2 and 1.3 are all there is."""
    with pytest.raises(TlsSettingError, match="min_version"):
        client_context(min_version="1.1")


def test_files_that_cannot_be_used(tmp_path: Path, ca: str, client: tuple[str, str]) -> None:
    """The error names the file and what is wrong with it, in one sentence."""
    cert, key = client
    missing, junk = str(tmp_path / "missing.pem"), tmp_path / "junk.pem"
    junk.write_text("secret")
    for setting, words in [
        ({"ca": missing}, "missing.pem: No such file"),
        ({"ca": str(junk)}, "junk.pem holds no PEM certificate"),
        ({"ca": str(tmp_path)}, str(tmp_path)),
        ({"ca": ca, "cert": missing, "key": key}, "missing.pem and .*client.key: No such file"),
        ({"ca": ca, "cert": cert, "key": str(junk)}, "junk.pem: no PEM certificate with its own key"),
        ({"ca": ca, "cert": cert}, "client.pem: no PEM certificate with its own key"),
        ({"ca": ca, "cert": ca, "key": key}, "no PEM certificate with its own key"),
    ]:
        with pytest.raises(TlsSettingError, match=words) as caught:
            client_context(**setting)
        assert "secret" not in str(caught.value)


def test_an_encrypted_key_is_refused(tmp_path: Path, ca: str, client: tuple[str, str]) -> None:
    """OpenSSL would ask the terminal for the passphrase, and a service would wait there for ever."""
    path = tmp_path / "encrypted.key"
    protection = BestAvailableEncryption(b"passphrase")
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    with pytest.raises(TlsSettingError, match="the key is encrypted"):
        client_context(ca=ca, cert=client[0], key=str(path))


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "a.example") -> ssl.SSLObject | str:
    """What comes of it: the session, or why there is none."""
    async with listening(server) as port:
        return await connect(port, client, name)


async def connect(port: int, client: ssl.SSLContext, name: str = "a.example") -> ssl.SSLObject | str:
    """Shakes hands with whoever listens there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
    except ssl.SSLError as error:
        return explain(error, name)
    session: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return session


async def test_a_handshake_agrees_on_http11(ca: str) -> None:
    """ALPN offers http/1.1 alone: a peer that prefers h2 does not get it."""
    session = await handshake(server_context("a.example"), client_context(ca=ca))
    assert isinstance(session, ssl.SSLObject)
    assert session.selected_alpn_protocol() == "http/1.1"


async def test_a_client_certificate_is_presented(ca: str, client: tuple[str, str]) -> None:
    """A peer that requires one of its authority lets us in, and says so when it gets none."""
    server = server_context("a.example")
    server.maximum_version = ssl.TLSVersion.TLSv1_2  # where the refusal is part of the handshake
    AUTHORITY.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    cert, key = client
    assert isinstance(await handshake(server, client_context(ca=ca, cert=cert, key=key)), ssl.SSLObject)
    async with refusing(server) as port:
        assert await connect(port, client_context(ca=ca)) == "the peer refused the handshake"


async def test_certificates_that_are_not_valid(ca: str) -> None:
    """Expiry, a name that differs, an authority nobody knows: each in its words."""
    trusting = client_context(ca=ca)
    stranger = trustme.CA()
    early = server_context("a.example", not_before=NOW + timedelta(hours=1))
    for server, words in [
        (server_context("a.example", days=-1), "certificate has expired"),
        (early, "certificate is not valid yet"),
        (server_context("b.example"), "certificate is not valid for a.example"),
        (server_context("a.example", authority=stranger), "certificate signed by an unknown authority"),
    ]:
        assert await handshake(server, trusting) == words


async def test_an_address_that_the_certificate_does_not_name(ca: str) -> None:
    """IP addresses are names like others."""
    assert isinstance(await handshake(server_context("127.0.0.1"), client_context(ca=ca), "127.0.0.1"), ssl.SSLObject)
    told = await handshake(server_context("a.example"), client_context(ca=ca), "127.0.0.1")
    assert told == "certificate is not valid for 127.0.0.1"


async def test_no_version_in_common(ca: str) -> None:
    """A peer that is too old for `min_version`."""
    server = server_context("a.example")
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    async with refusing(server) as port:
        assert await connect(port, client_context(ca=ca, min_version="1.3")) == "no TLS version in common"


def test_alerts_that_python_has_no_name_for() -> None:
    """OpenSSL's words for them are enough."""
    error = ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)")
    assert explain(error) == "the peer does not offer HTTP/1.1"
    assert failure(error).error == "tls_alert_received"
    told = alert(ssl.SSLError(1, "[SSL] tlsv1 alert unknown psk identity (_ssl.c:1006)"))
    assert told is not None
    assert told.detail == "handshake failed: tlsv1 alert unknown psk identity"


def test_what_is_no_alert() -> None:
    """A cut, and what we found wrong ourselves."""
    broken = ssl.SSLError(1, "x")
    broken.reason = "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
    assert [alert(error) for error in (None, OSError(), broken, ssl.SSLCertVerificationError("x"))] == [None] * 4


def test_verdicts_without_a_word_of_their_own_are_numbers() -> None:
    """Nothing is left unexplained, and nothing that a peer wrote is repeated."""
    refused = ssl.SSLCertVerificationError("what the peer wrote")
    refused.verify_code = 66
    assert explain(refused, "a") == "certificate refused, OpenSSL verdict 66"
    failed = ssl.SSLError(1, "what the peer wrote")
    assert explain(failed, "a") == "the peer closed the connection during the handshake"
    failed.reason = "BAD_SIGNATURE"
    assert explain(failed, "a") == "handshake failed: bad signature"


def test_every_sentence_is_documented() -> None:
    """docs/tls.md lists what a failure can say."""
    page = (Path(__file__).parents[2] / "docs" / "tls.md").read_text()
    listed = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")}
    assert {*tls._VERDICTS.values(), *tls._REASONS.values()} <= listed
