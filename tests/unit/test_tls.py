"""The local CA and its certificate, made with the real openssl and judged by Python's TLS."""

import shutil
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from scripts import tls

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tls.LocalFiles:
    files = tls.local_files(tmp_path_factory.mktemp("secrets"))
    tls.make(files, "example.org")
    return files


def handshake(files: tls.LocalFiles, name: str) -> None:
    """A TLS handshake over a socket pair; raises when the client does not accept the server."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=str(files.ca))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    left, right = socket.socketpair()

    def serve() -> None:
        try:
            server_context.wrap_socket(left, server_side=True).close()
        except OSError:
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client_context.wrap_socket(right, server_hostname=name).close()
    finally:
        right.close()
        thread.join(timeout=10)


@pytest.mark.parametrize("name", ["example.org", "localhost", "127.0.0.1", "::1"])
def test_browsers_that_know_the_ca_accept_every_name(made: tls.LocalFiles, name: str) -> None:
    handshake(made, name)


def test_other_names_are_not_accepted(made: tls.LocalFiles) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, "example.com")


def test_the_ca_cannot_vouch_for_the_rest_of_the_world(made: tls.LocalFiles, tmp_path: Path) -> None:
    stolen = tls.LocalFiles(tmp_path)
    for path in (made.ca, made.ca_key):
        shutil.copy(path, tmp_path / path.name)
    tls._make_server(stolen, "bank.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        handshake(stolen, "bank.example")


def test_keys_are_closed_and_a_second_run_changes_nothing(made: tls.LocalFiles) -> None:
    before = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    assert set(before) == {"ca.crt", "ca.key", "server.crt", "server.key"}
    assert tls.make(made, "example.org") == []
    assert {path.name: path.read_bytes() for path in made.folder.iterdir()} == before
    assert stat.S_IMODE(made.ca_key.stat().st_mode) == 0o400
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700


def test_another_domain_gets_another_certificate_and_a_ca_that_may_sign_it(tmp_path: Path) -> None:
    files = tls.local_files(tmp_path)
    tls.make(files, "localhost")
    ca = files.ca.read_bytes()
    assert tls.reason_to_make(files, "127.0.0.1") == ""
    assert "not made for 10.1.2.3" in tls.reason_to_make(files, "10.1.2.3")
    tls.make(files, "10.1.2.3")
    assert files.ca.read_bytes() != ca
    handshake(files, "10.1.2.3")


def test_a_certificate_about_to_expire_is_renewed_by_the_same_ca(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tls.local_files(tmp_path)
    tls.make(files, "localhost")
    ca = files.ca.read_bytes()
    monkeypatch.setattr(tls, "SERVER_DAYS", 29)
    tls._make_server(files, "localhost")
    monkeypatch.undo()
    assert "expires in less than 30 days" in tls.reason_to_make(files, "localhost")
    assert len(tls.make(files, "localhost")) == 1
    assert tls.reason_to_make(files, "localhost") == ""
    assert files.ca.read_bytes() == ca


@pytest.mark.parametrize(
    ("names", "domain", "expected"),
    [
        (["example.org"], "example.org", True),
        (["EXAMPLE.org"], "example.ORG", True),
        (["*.example.org"], "a.example.org", True),
        (["*.example.org"], "a.b.example.org", False),
        (["*.example.org"], "example.org", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["0:0:0:0:0:0:0:1"], "::1", True),
        ([], "localhost", False),
    ],
)
def test_names_in_certificates(names: list[str], domain: str, expected: bool) -> None:
    assert tls.covers(names, domain) is expected


def test_a_certificate_of_ones_own_is_accepted_when_it_fits(made: tls.LocalFiles) -> None:
    tls.check_own(made.certificate, made.key, "example.org")


def test_what_is_wrong_with_a_certificate_of_ones_own_is_said(made: tls.LocalFiles, tmp_path: Path) -> None:
    with pytest.raises(tls.TlsError, match=r"TLS_CERT points at .* not there"):
        tls.check_own(tmp_path / "none.crt", made.key, "example.org")
    with pytest.raises(tls.TlsError, match="is not the private key of"):
        tls.check_own(made.certificate, made.ca_key, "example.org")
    with pytest.raises(tls.TlsError, match=r"is for example\.org, .*not for example\.com"):
        tls.check_own(made.certificate, made.key, "example.com")
    text = tmp_path / "text.crt"
    text.write_text("hello")
    with pytest.raises(tls.TlsError, match="not a PEM certificate"):
        tls.check_own(text, made.key, "example.org")
    expired = tmp_path / "expired.crt"
    sign = ["openssl", "x509", "-in", str(made.certificate), "-signkey", str(made.key), "-days", "-1"]
    subprocess.run([*sign, "-out", str(expired)], check=True, capture_output=True)
    with pytest.raises(tls.TlsError, match="has expired"):
        tls.check_own(expired, made.key, "example.org")
