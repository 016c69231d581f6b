"""Failures of TLS in words: OpenSSL reports them as tuples of library, function and reason."""

from __future__ import annotations

from OpenSSL import SSL

__all__ = ["openssl_reasons", "tls_problem", "untrusted_because"]

GENERIC = "the TLS handshake failed"

# OpenSSL's reasons, as parts of its texts (openssl/sslerr.h), from the most to the least specific one.
_PROBLEMS = (
    ("alert certificate required", "it demands a client certificate"),
    ("alert unknown ca", "it does not trust the authority of the client certificate"),
    ("alert bad certificate", "it rejects the client certificate, or demands one"),
    ("alert certificate", "it rejects the client certificate"),
    ("alert unsupported certificate", "it rejects the client certificate"),
    ("alert access denied", "it rejects the client certificate"),
    ("alert handshake failure", "it has no TLS version or cipher in common, or demands a client certificate"),
    ("protocol version", "it has no TLS version in common: it needs 1.2 or newer"),
    ("unsupported protocol", "it has no TLS version in common: it needs 1.2 or newer"),
    ("unrecognized name", "it has no certificate for this name"),
    ("unrecognised name", "it has no certificate for this name"),
    ("certificate verify failed", "its certificate is not trusted"),
    ("wrong version number", "it does not speak TLS on this port"),
    ("packet length too long", "it does not speak TLS on this port"),
    ("http request", "it does not speak TLS on this port"),
    ("record layer failure", "it does not speak TLS on this port"),
    ("unexpected eof", "it ended the connection during the TLS handshake"),
)

# openssl/x509_vfy.h; the texts of OpenSSL itself name no remedy.
_UNTRUSTED = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its authority is not trusted",
    20: "its authority is not trusted",
    21: "its authority is not trusted",
    23: "it has been revoked",
}


def openssl_reasons(error: SSL.Error) -> str:
    """Return the reasons of OpenSSL with commas between them, or an empty str. For the log of the operator."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(str(entry[-1]) for entry in entries if entry and entry[-1])


def tls_problem(error: SSL.Error) -> str:
    """Return what a failure means, in one of a fixed set of texts: nothing that the peer sent is in it."""
    reasons = openssl_reasons(error)
    return next((words for part, words in _PROBLEMS if part in reasons), GENERIC)


def untrusted_because(number: int) -> str:
    """Return why OpenSSL rejects a certificate.

    Args:
        number: The number of its verdict (X509_V_ERR_...).
    """
    return _UNTRUSTED.get(number, f"OpenSSL's verdict {number}")
