"""Laws of renewal: new connections take what the files say now, if it can be used; sessions stay with their setting."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from wire_fakes import HandClock
from wire_peers import AUTHORITY, server_context

from sidecar.wire import tls
from sidecar.wire.renewal import VERIFIED_FOR, Presenting, Renewal, Resuming
from sidecar.wire.tls import TlsSettingError, client_context


class Files:
    """A certificate and its key, and the authority that signed them, as files."""

    def __init__(self, directory: Path) -> None:
        self.ca, self.cert, self.key = (directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
        AUTHORITY.cert_pem.write_to_path(str(self.ca))
        self.issue("first.example")

    def issue(self, name: str) -> None:
        """Other ones in their place."""
        issued = AUTHORITY.issue_cert(name)
        self.replace(self.cert, issued.cert_chain_pems[0].bytes())
        self.replace(self.key, issued.private_key_pem.bytes())

    @staticmethod
    def replace(path: Path, data: bytes) -> None:
        """In one step, as whoever is careful does."""
        new = path.with_suffix(".new")
        new.write_bytes(data)
        new.rename(path)

    def server(self) -> Renewal:
        """What a listener has."""
        cert, key = str(self.cert), str(self.key)
        return Renewal(lambda: tls.server_context(cert, key), (cert, key))

    def client(self) -> Renewal:
        """What an upstream has."""
        ca = str(self.ca)
        return Renewal(lambda: client_context(ca=ca), (ca, None, None))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Good ones."""
    return Files(tmp_path)


def shake(client: ssl.SSLContext, server: ssl.SSLContext, name: str = "a.example") -> ssl.SSLObject:
    """The client's end after a handshake in memory, and a word of the server's, with which TLS 1.3 sends tickets."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    steps: list[Callable[[], object]] = [ours.do_handshake, theirs.do_handshake]
    while steps:
        for step in steps.copy():
            try:
                step()
            except ssl.SSLWantReadError:
                continue
            steps.remove(step)
    theirs.write(b"x")
    assert ours.read(1) == b"x"
    return ours


def presented(listener: Presenting, files: Files) -> str:
    """The name that a listener's certificate bears."""
    for name in ("first.example", "second.example"):
        try:
            shake(client_context(ca=str(files.ca)), listener, name)
        except ssl.SSLCertVerificationError:
            continue
        return name
    raise AssertionError("another one")


# Files.


def test_files_that_stay_are_read_once(files: Files) -> None:
    """Until one of them changes, the context is the same object."""
    renewal = files.server()
    context = renewal.context
    assert not renewal.look()
    assert renewal.context is context


def test_new_files_are_taken(files: Files) -> None:
    """For new connections; who asks again is told nothing new."""
    renewal = files.server()
    listener = Presenting(renewal)
    assert presented(listener, files) == "first.example"
    files.issue("second.example")
    assert renewal.look()
    assert presented(listener, files) == "second.example"
    assert not renewal.look()


def test_a_half_written_pair_is_not_taken(files: Files) -> None:
    """The old one stays, which is said once, and the whole pair is taken when it is whole."""
    renewal = files.server()
    listener = Presenting(renewal)
    issued = AUTHORITY.issue_cert("second.example")
    files.replace(files.cert, issued.cert_chain_pems[0].bytes())
    with pytest.raises(TlsSettingError, match=r"cert\.pem and .*key\.pem"):
        renewal.look()
    assert not renewal.look()
    assert presented(listener, files) == "first.example"
    files.replace(files.key, issued.private_key_pem.bytes())
    assert renewal.look()
    assert presented(listener, files) == "second.example"


def test_a_file_that_vanishes(files: Files) -> None:
    """Is a change that cannot be used; when it comes back, it is read."""
    renewal = files.server()
    data = files.key.read_bytes()
    files.key.unlink()
    with pytest.raises(TlsSettingError, match="No such file"):
        renewal.look()
    files.key.write_bytes(data)
    assert renewal.look()


def test_links_are_followed(files: Files, tmp_path: Path) -> None:
    """Kubernetes swaps a link to a directory, and not a file that anybody watches."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for place in ("a", "b"):
        (tmp_path / place / "ca.pem").write_bytes(files.ca.read_bytes())
    data = tmp_path / "..data"
    data.symlink_to("a")
    ca = str(data / "ca.pem")
    renewal = Renewal(lambda: client_context(ca=ca), (ca,))
    swapped = tmp_path / "..new"
    swapped.symlink_to("b")
    swapped.rename(data)
    assert renewal.look()


def test_a_setting_without_files_never_changes() -> None:
    """The system's authorities are read once."""
    renewal = Renewal(client_context, (None, None))
    assert renewal.files == ()
    assert not renewal.look()


# Sessions.


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def server(request: pytest.FixtureRequest) -> ssl.SSLContext:
    """An upstream's context, of either version."""
    context = server_context("a.example", "b.example")
    context.maximum_version = ssl.TLSVersion[request.param]
    return context


def test_the_next_connection_resumes(files: Files, server: ssl.SSLContext) -> None:
    """The session of the one before, however many come."""
    dialer = Resuming(files.client())
    assert [shake(dialer, server).session_reused for _ in range(4)] == [False, True, True, True]


def test_sessions_of_one_dialer_are_no_other_s(files: Files, server: ssl.SSLContext) -> None:
    """Who asked for another name has not verified this one."""
    renewal = files.client()
    shake(Resuming(renewal), server)
    assert not shake(Resuming(renewal), server, "b.example").session_reused


def test_a_new_context_resumes_nothing(files: Files, server: ssl.SSLContext) -> None:
    """Whom the old authorities vouched for the new ones may not know."""
    renewal = files.client()
    dialer = Resuming(renewal)
    shake(dialer, server)
    trustme.CA().cert_pem.write_to_path(str(files.ca))
    assert renewal.look()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(dialer, server)


def test_a_peer_is_verified_every_hour(files: Files, server: ssl.SSLContext) -> None:
    """Each resumed connection brings a new session: without a bound an expired certificate would never be noticed."""
    clock = HandClock()
    dialer = Resuming(files.client(), clock)
    step = VERIFIED_FOR / 4
    reused = []
    for _ in range(9):
        reused.append(shake(dialer, server).session_reused)
        clock.now += step
    assert reused == [False, True, True, True, False, True, True, True, False]


def test_a_peer_that_forgets_gets_a_full_handshake(files: Files, server: ssl.SSLContext) -> None:
    """Its tickets are as good as its memory: a restart is no failure."""
    dialer = Resuming(files.client())
    shake(dialer, server)
    restarted = server_context("a.example")
    restarted.maximum_version = server.maximum_version
    assert not shake(dialer, restarted).session_reused
    assert shake(dialer, restarted).session_reused


def test_after_a_failure_nothing_is_resumed(files: Files, server: ssl.SSLContext) -> None:
    """Some peers fail over a session they should merely not know."""
    dialer = Resuming(files.client())
    shake(dialer, server)
    dialer.forget()
    assert not shake(dialer, server).session_reused


# Listeners.


def test_refused_handshakes_are_counted(files: Files) -> None:
    """With the reason of the last one; a caller that leaves without a word is none."""
    listener = Presenting(files.server())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = listener.wrap_bio(incoming, outgoing, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    assert (listener.failures, listener.last_failure) == (0, "")
    incoming.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        session.do_handshake()
    assert (listener.failures, listener.last_failure) == (1, "the peer does not speak TLS")
    shake(client_context(ca=str(files.ca)), listener, "first.example")
    assert listener.failures == 1


def test_a_listener_speaks_tls_12_at_least_and_http_11_alone(files: Files) -> None:
    """A caller that would rather have HTTP/2 does not get it."""
    listener = Presenting(files.server())
    caller = client_context(ca=str(files.ca))
    caller.set_alpn_protocols(["h2", "http/1.1"])
    session = shake(caller, listener, "first.example")
    assert (session.selected_alpn_protocol(), session.version()) == ("http/1.1", "TLSv1.3")
    assert files.server().context.minimum_version is ssl.TLSVersion.TLSv1_2
