"""TLS settings to contexts, for upstreams and for listeners, and what a failed handshake says in words."""

import re
import ssl
from typing import Final, NoReturn

from sidecar.wire.errors import TlsFailure

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_VERDICTS: Final = {
    9: "certificate is not valid yet",
    10: "certificate has expired",
    18: "certificate signed by itself",
    19: "certificate signed by an unknown authority",
    20: "certificate signed by an unknown authority",
    21: "certificate signed by an unknown authority",
    23: "certificate has been revoked",
}
_NAME_MISMATCH: Final = frozenset({62, 64})  # by host name, by IP address

_REASONS: Final = {
    "CERTIFICATE_REQUIRED": "the peer requires a client certificate",
    "HTTP_REQUEST": "the peer does not speak TLS",
    "NO_PROTOCOLS_AVAILABLE": "no TLS version in common",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer refused our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer refused our certificate as expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the peer refused our certificate as revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer refused our certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer refused the handshake",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the peer refused our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer requires a client certificate",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the peer does not offer HTTP/1.1",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no TLS version in common",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not know the authority of our certificate",
    "TLSV1_UNRECOGNIZED_NAME": "the peer does not know the server name",
    "UNEXPECTED_EOF_WHILE_READING": "the peer closed the connection during the handshake",
    "UNSUPPORTED_PROTOCOL": "no TLS version in common",
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
}

_NAMELESS: Final = re.compile(r"\[SSL\] ([a-z0-9 ]+) \(_ssl")
_ALERTS: Final = ("SSLV3_ALERT_", "TLSV1_", "TLSV13_ALERT_")
"""How OpenSSL's names of what a peer's alert said begin."""


class TlsSettingError(ValueError):
    """A file named in the TLS settings cannot be used. The sentence names the file, never what is in it."""


def client_context(
    *, ca: str | None = None, cert: str | None = None, key: str | None = None, min_version: str = "1.2"
) -> ssl.SSLContext:
    """A context for connections to an upstream.

    It always verifies the chain and the name, and offers http/1.1 alone, so that no peer may choose HTTP/2.
    Loading the system's authorities takes 38 ms and 2.3 MB: share it among all that have the same setting.

    Args:
        ca: path of a PEM file with the only authorities to trust; None trusts the system's.
        cert: path of a PEM file with our client certificate and its chain.
        key: path of its key; None when `cert` holds it too. An encrypted one is refused: nobody can be asked.
        min_version: "1.2" or "1.3".

    Raises:
        TlsSettingError: a file is missing or unreadable, or holds something else; an unknown version.
    """
    if min_version not in _VERSIONS:
        raise TlsSettingError('min_version is "1.2" or "1.3"')
    context = _trusting(ca)
    context.minimum_version = _VERSIONS[min_version]
    context.set_alpn_protocols(["http/1.1"])
    if cert is not None:
        _present(context, cert, key)
    return context


def server_context(cert: str, key: str) -> ssl.SSLContext:
    """A context for a listener: TLS 1.2 or newer, http/1.1, no client certificates.

    Args:
        cert: path of a PEM file with the certificate and its chain.
        key: path of its key, not encrypted.

    Raises:
        TlsSettingError: a file is missing or unreadable, or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _present(context, cert, key)
    return context


def alert(error: BaseException | None) -> TlsFailure | None:
    """The error as the wire's own, if it is what a peer said in a TLS alert."""
    return failure(error) if isinstance(error, ssl.SSLError) and _is_alert(error) else None


def failure(error: ssl.SSLError, server_name: str = "") -> TlsFailure:
    """The error as the wire's own. `server_name`: what the certificate was to be valid for."""
    if isinstance(error, ssl.SSLCertVerificationError):
        kind = "tls_certificate_error"
    else:
        kind = "tls_alert_received" if _is_alert(error) else "tls_protocol_error"
    return TlsFailure(explain(error, server_name), error=kind)


def explain(error: ssl.SSLError, server_name: str = "") -> str:
    """Says in words why a handshake failed. `server_name`: what the certificate was to be valid for.

    Nothing the peer sent is quoted: OpenSSL's verdict is a number, its reason a name of its own.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _NAME_MISMATCH:
            return f"certificate is not valid for {server_name}"
        return _VERDICTS.get(code) or f"certificate refused, OpenSSL verdict {code}"
    reason = _reason(error) or "UNEXPECTED_EOF_WHILE_READING"
    return _REASONS.get(reason) or f"handshake failed: {reason.lower().replace('_', ' ')}"


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's name of what went wrong. Python's table lacks the younger ones: of these only the words are there."""
    if name := getattr(error, "reason", None):
        return str(name)
    words = _NAMELESS.match(str(error.args[-1])) if error.args else None
    return words[1].upper().replace(" ", "_") if words else ""


def _is_alert(error: ssl.SSLError) -> bool:
    return _reason(error).startswith(_ALERTS)


def _trusting(ca: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise TlsSettingError(f"{ca} holds no PEM certificate") from error
    except OSError as error:
        raise TlsSettingError(f"{ca}: {error.strerror}") from error
    # On by default since Python 3.13. It refuses authorities without the key usage and key identifier extensions, as
    # many private ones are, which OpenSSL by itself, Go and Envoy accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _present(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    files = cert if key is None else f"{cert} and {key}"
    try:
        context.load_cert_chain(cert, key, password=_refuse_password)
    except ssl.SSLError as error:
        raise TlsSettingError(f"{files}: no PEM certificate with its own key") from error
    except OSError as error:
        raise TlsSettingError(f"{files}: {error.strerror}") from error


def _refuse_password() -> NoReturn:
    raise TlsSettingError("the key is encrypted: store it without a passphrase")  # or OpenSSL asks the terminal
