"""Tests of `wsrelay.outgoing.tls_problems`."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.outgoing.tls_problems import openssl_reasons, tls_problem, untrusted_because


class TLSProblemTests(SynchronousTestCase):
    """Tuples of OpenSSL as words."""

    def test_each_known_reason_has_words(self) -> None:
        for reason, words in {
            "wrong version number": "it does not speak TLS on this port",
            "packet length too long": "it does not speak TLS on this port",
            "tlsv13 alert certificate required": "it demands a client certificate",
            "tlsv1 alert unknown ca": "it does not trust the authority of the client certificate",
            "ssl/tls alert bad certificate": "it rejects the client certificate, or demands one",
            "sslv3 alert certificate expired": "it rejects the client certificate",
            "sslv3 alert handshake failure": "it has no TLS version or cipher in common, "
            "or demands a client certificate",
            "tlsv1 alert protocol version": "it has no TLS version in common: it needs 1.2 or newer",
            "tlsv1 unrecognized name": "it has no certificate for this name",
            "certificate verify failed": "its certificate is not trusted",
            "unexpected eof while reading": "it ended the connection during the TLS handshake",
            "anything else": "the TLS handshake failed",
        }.items():
            error = SSL.Error([("SSL routines", "", reason)])
            self.assertEqual((tls_problem(error), openssl_reasons(error)), (words, reason))

    def test_errors_without_reasons_have_words_too(self) -> None:
        for error in (SSL.Error(), SSL.Error([]), SSL.ZeroReturnError(), SSL.SysCallError(-1, "Unexpected EOF")):
            self.assertEqual((tls_problem(error), openssl_reasons(error)), ("the TLS handshake failed", ""))

    def test_each_verdict_on_a_certificate_has_words(self) -> None:
        self.assertEqual(untrusted_because(10), "it has expired")
        self.assertEqual(untrusted_because(18), "it is self-signed")
        self.assertEqual(untrusted_because(999), "OpenSSL's verdict 999")
