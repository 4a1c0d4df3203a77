"""Lets Chromium trust the stack's own CA without touching the machine's store.

The connection is verified here, against the CA; the browser is then told the hash of exactly the key that was seen.
"""

import base64
import hashlib
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.parse import urlsplit


def trusted_key_hash(base_url: str, ca_file: Path) -> str:
    """Base64 of the SHA-256 of the server's public key. Raises ssl.SSLError when the CA did not sign for it."""
    address = urlsplit(base_url)
    host, port = address.hostname or "", address.port or 443
    context = ssl.create_default_context(cafile=str(ca_file))
    with (
        socket.create_connection((host, port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        certificate = tls.getpeercert(binary_form=True)
    assert certificate is not None
    pem = subprocess.run(
        ["openssl", "x509", "-inform", "der", "-pubkey", "-noout"], input=certificate, capture_output=True, check=True
    ).stdout.decode()
    key = base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-----")))
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
