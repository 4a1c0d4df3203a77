"""Makes the certificate that NGINX serves, signed by a local CA, or checks a certificate that the user brought.

Called by `make up` and `make init` (env.py); `python3 -m scripts.tls` alone renews when needed. The CA may only sign
for DOMAIN, localhost and loopback addresses (name constraints), so that trusting it (`make trust`) risks little.
Everything is done by the openssl command: OpenSSL 3 on Linux, LibreSSL on macOS.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts import console, project
from scripts.process import relative

CA_DAYS = 3650
SERVER_DAYS = 397  # browsers refuse certificates that live longer than 398 days
RENEW_DAYS = 30
_SECONDS_A_DAY = 86_400
_OPENSSL_SECONDS = 60


class TlsError(Exception):
    """A certificate that cannot be made or used; one sentence for a person."""


@dataclass(frozen=True)
class LocalFiles:
    """Where the local CA and the certificate made with it lie."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The certificate that `make trust` installs."""
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """Never leaves this folder and is never mounted into a container."""
        return self.folder / "ca.key"

    @property
    def certificate(self) -> Path:
        """What NGINX serves."""
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        """The private key of what NGINX serves."""
        return self.folder / "server.key"


def local_files(secrets_dir: Path) -> LocalFiles:
    """The local CA of an installation."""
    return LocalFiles(secrets_dir / "tls")


def is_local(installation: project.Project) -> bool:
    """Whether NGINX serves the certificate made here, as opposed to one that the user brought."""
    return installation.path("TLS_CERT") == local_files(installation.secrets_dir).certificate.resolve()


def reason_to_make(files: LocalFiles, domain: str) -> str:
    """Why the local certificate has to be made (again), as a clause; empty when it is good."""
    if not all(path.exists() for path in (files.ca, files.ca_key, files.certificate, files.key)):
        return "there is none yet"
    if expires_within(files.certificate, RENEW_DAYS):
        return f"it expires in less than {RENEW_DAYS} days"
    if not covers(names_of(files.certificate), domain):
        return f"it was not made for {domain}"
    if not _key_matches(files.certificate, files.key):
        return "certificate and key do not belong together"
    if not _signed_by(files.ca, files.certificate):
        return "the local CA did not sign it"
    return ""


def make(files: LocalFiles, domain: str) -> list[str]:
    """Make what is missing or stale. Returns sentences about what was done. Raises TlsError."""
    if not reason_to_make(files, domain):
        return []
    files.folder.mkdir(parents=True, exist_ok=True)
    files.folder.chmod(0o700)
    done: list[str] = []
    if not _ca_is_usable(files, domain):
        _make_ca(files, domain)
        done.append(f"made a local CA for {domain} ({relative(files.ca)}); `make trust` makes browsers accept it")
    _make_server(files, domain)
    done.append(f"made a certificate for {domain}, valid for {SERVER_DAYS} days ({relative(files.certificate)})")
    return done


def check_own(certificate: Path, key: Path, domain: str) -> None:
    """Check a certificate that the user brought. Raises TlsError with what is wrong with it."""
    for name, path in (("TLS_CERT", certificate), ("TLS_KEY", key)):
        if not path.is_file():
            raise TlsError(f"{name} points at {path}, which is not there")
    if not _openssl("x509", "-noout", "-in", str(certificate)):
        raise TlsError(f"{certificate} is not a PEM certificate")
    if not _key_matches(certificate, key):
        raise TlsError(f"{key} is not the private key of {certificate}")
    if expires_within(certificate, 0):
        raise TlsError(f"{certificate} has expired")
    names = names_of(certificate)
    if not covers(names, domain):
        raise TlsError(f"{certificate} is for {', '.join(names) or 'no name'}, not for {domain}")


def expires_within(certificate: Path, days: int) -> bool:
    """Whether the certificate is invalid in that many days."""
    seconds = str(days * _SECONDS_A_DAY)
    return not _openssl("x509", "-noout", "-checkend", seconds, "-in", str(certificate))


def names_of(certificate: Path) -> list[str]:
    """DNS names and addresses in the certificate's subjectAltName."""
    text = _text("x509", "-noout", "-text", "-in", str(certificate))
    match = re.search(r"Subject Alternative Name:[^\n]*\n\s*([^\n]+)", text)
    if match is None:
        return []
    return [entry.strip().partition(":")[2] for entry in match[1].split(",")]


def covers(names: list[str], domain: str) -> bool:
    """Whether one of the certificate's names stands for `domain` (a `*.` stands for one label)."""
    if _is_address(domain):
        wanted = ipaddress.ip_address(domain)
        return any(_is_address(name) and ipaddress.ip_address(name) == wanted for name in names)
    domain = domain.lower()
    parent = domain.partition(".")[2]
    return any(name.lower() in (domain, f"*.{parent}" if parent else domain) for name in names)


def _make_ca(files: LocalFiles, domain: str) -> None:
    """A self-signed CA. Falls back to one without name constraints where this openssl cannot write them."""
    _new_key(files.ca_key, 0o400)
    permitted = ",".join(f"permitted;{entry}" for entry in _constraints(domain))
    try:
        _self_sign(files, f"nameConstraints = critical,{permitted}\n")
    except TlsError:
        _self_sign(files, "")


def _self_sign(files: LocalFiles, constraints: str) -> None:
    config = (
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = ca\n"
        "[name]\nO = ModPorter\nCN = ModPorter local CA\n"
        "[ca]\nbasicConstraints = critical,CA:TRUE,pathlen:0\nkeyUsage = critical,keyCertSign,cRLSign\n"
        f"subjectKeyIdentifier = hash\n{constraints}"
    )
    request = ["req", "-x509", "-new", "-sha256", "-key", str(files.ca_key), "-days", str(CA_DAYS)]
    _replace_with(files.ca, [*request, "-set_serial", _serial()], config, "-config")


def _make_server(files: LocalFiles, domain: str) -> None:
    """A fresh key and a certificate for it, signed by the local CA."""
    _new_key(files.key, 0o444)
    with tempfile.TemporaryDirectory() as scratch:
        request = Path(scratch) / "server.csr"
        subject = Path(scratch) / "request.cnf"
        subject.write_text(
            f"[req]\nprompt = no\ndistinguished_name = name\n[name]\nO = ModPorter\nCN = {domain[:64]}\n",
            encoding="utf-8",
        )
        _must(["req", "-new", "-key", str(files.key), "-config", str(subject), "-out", str(request)])
        extensions = (
            "basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n"
            "extendedKeyUsage = serverAuth\nsubjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
            f"subjectAltName = {','.join(_alternative_names(domain))}\n"
        )
        sign = ["x509", "-req", "-sha256", "-in", str(request), "-CA", str(files.ca), "-CAkey", str(files.ca_key)]
        _replace_with(
            files.certificate, [*sign, "-set_serial", _serial(), "-days", str(SERVER_DAYS)], extensions, "-extfile"
        )


def _replace_with(target: Path, command: list[str], config: str, option: str) -> None:
    """Run openssl with a configuration text and put its output in place in one step, readable by all."""
    with tempfile.NamedTemporaryFile("w", suffix=".cnf", encoding="utf-8") as file:
        file.write(config)
        file.flush()
        fresh = target.with_suffix(".new")
        _must([*command, option, file.name, "-out", str(fresh)])
    fresh.chmod(0o444)
    fresh.replace(target)


def _new_key(path: Path, mode: int) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _must(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(fresh)])
    fresh.chmod(mode)
    fresh.replace(path)


def _ca_is_usable(files: LocalFiles, domain: str) -> bool:
    """Whether the existing CA outlives a new certificate and may sign for `domain`."""
    if not files.ca.exists() or not files.ca_key.exists() or not _key_matches(files.ca, files.ca_key):
        return False
    if expires_within(files.ca, SERVER_DAYS):
        return False
    text = _text("x509", "-noout", "-text", "-in", str(files.ca))
    permitted = re.findall(r"(?:DNS|IP):([^\s/]+)", text)
    return "Name Constraints" not in text or covers(permitted, domain)


def _alternative_names(domain: str) -> list[str]:
    own = f"IP:{domain}" if _is_address(domain) else f"DNS:{domain}"
    return list(dict.fromkeys([own, "DNS:localhost", "IP:127.0.0.1", "IP:::1"]))


def _constraints(domain: str) -> list[str]:
    full = {4: "255.255.255.255", 6: ":".join(["ffff"] * 8)}
    result = []
    for entry in _alternative_names(domain):
        kind, _, value = entry.partition(":")
        result.append(f"IP:{value}/{full[ipaddress.ip_address(value).version]}" if kind == "IP" else entry)
    return result


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _key_matches(certificate: Path, key: Path) -> bool:
    public = _text("x509", "-noout", "-pubkey", "-in", str(certificate))
    return bool(public) and public == _text("pkey", "-pubout", "-in", str(key))


def _signed_by(ca: Path, certificate: Path) -> bool:
    return _openssl("verify", "-CAfile", str(ca), str(certificate))


def _serial() -> str:
    return f"0x{secrets.randbits(126):032x}"


def _run(arguments: tuple[str, ...] | list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["openssl", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_OPENSSL_SECONDS,
        )
    except FileNotFoundError:
        raise TlsError("the openssl command is not installed") from None


def _openssl(*arguments: str) -> bool:
    return _run(arguments).returncode == 0


def _text(*arguments: str) -> str:
    done = _run(arguments)
    return done.stdout if done.returncode == 0 else ""


def _must(arguments: list[str]) -> None:
    done = _run(arguments)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TlsError(f"`openssl {arguments[0]}` failed: {last}")


def ensure(installation: project.Project) -> list[str]:
    """Make or check the certificate of an installation. Returns what was done. Raises TlsError."""
    domain = installation.values["DOMAIN"]
    if is_local(installation):
        return make(local_files(installation.secrets_dir), domain)
    check_own(installation.path("TLS_CERT"), installation.path("TLS_KEY"), domain)
    return []


def main() -> int:
    """Renew the certificate of `.env` when needed."""
    try:
        done = ensure(project.load())
    except TlsError as error:
        console.fail(f"{error}.", "Set TLS_CERT and TLS_KEY in .env to files that fit, or back to the local ones.")
    for sentence in done or ["The certificate is good; nothing to do."]:
        console.say(sentence)
    return 0


if __name__ == "__main__":
    console.run(main)
