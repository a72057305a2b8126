"""A company's proxy that looks into TLS: it has certificates of its own authority."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAY = datetime.timedelta(days=1)


class InterceptingProxy(socketserver.ThreadingTCPServer):
    """Takes CONNECT, and keeps what comes through the tunnel."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.context = context
        self.asked: list[str] = []
        """The hosts that somebody wanted to reach."""
        self.requests: list[bytes] = []
        """The heads of the requests that somebody sent them."""

    @property
    def url(self) -> str:
        """The value of HTTPS_PROXY."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Tunnel(socketserver.StreamRequestHandler):
    server: InterceptingProxy

    def handle(self) -> None:
        _, host, *_ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(host.partition(":")[0])
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection: socket.socket = self.request
        with suppress(OSError), self.server.context.wrap_socket(connection, server_side=True) as tunnel:
            if head := tunnel.recv(65536):
                self.server.requests.append(head)
                tunnel.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@contextmanager
def intercepting_proxy(folder: Path, hosts: Sequence[str]) -> Iterator[tuple[InterceptingProxy, Path]]:
    """Run a proxy for these hosts; yield it and the file with the certificate of its authority."""
    authority, chain = folder / "authority.pem", folder / "chain.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Company")])
    ours = _certificate(name, key, key, x509.BasicConstraints(ca=True, path_length=None))
    server_key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [*(x509.DNSName(host) for host in hosts), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    theirs = _certificate(name, server_key, key, names)
    authority.write_bytes(ours.public_bytes(serialization.Encoding.PEM))
    private = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(theirs.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with InterceptingProxy(context) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy, authority
        finally:
            proxy.shutdown()
            thread.join()


def _certificate(issuer: x509.Name, key: Any, signer: Any, extension: x509.ExtensionType) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    is_authority = isinstance(extension, x509.BasicConstraints)
    subject = issuer if is_authority else x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(extension, critical=True)
    )
    return builder.sign(signer, hashes.SHA256())
