"""Makes certificates as a real authority does: good ones, and each kind that must be refused.

1. Everything is done by the openssl program in a folder of the test: keys, requests, signatures,
   the list of what was revoked.
2. A certificate's file holds its chain, leaf first, without the root; `root` holds that alone.
3. Keys are on P-256 unless RSA is asked for: they are made in no time.
"""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OPENSSL_SECONDS_MAX = 60
DAY = datetime.timedelta(days=1)
CONFIG = """\
[ca]
default_ca = own
[own]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
crlnumber = {folder}/crlnumber
certificate = {certificate}
private_key = {key}
default_md = sha256
default_days = 30
default_crl_days = 30
unique_subject = no
policy = any
[any]
commonName = optional
organizationName = optional
[req]
distinguished_name = name
prompt = no
string_mask = utf8only
[name]
"""
AUTHORITY_LINES = """\
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
LEAF_LINES = """\
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
extendedKeyUsage = {purposes}
"""


@dataclass(frozen=True)
class Certificate:
    """A leaf with its chain, and the key it belongs to."""

    name: str
    certificate: Path
    key: Path

    def bundle(self, **more: object) -> dict[str, object]:
        """What TlsContext takes, with this certificate."""
        return {
            "certificate": self.certificate.read_bytes(),
            "key": self.key.read_bytes(),
            "ca": b"",
            "crl": b"",
            "ciphers": "",
            "protocols": "",
            "mutual": 0,
            **more,
        }


class Authority:
    """A certificate authority with its folder; `issuer` makes it one below another."""

    def __init__(
        self, folder: Path, name: str = "Test Authority", *, issuer: Authority | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self.issuer = issuer
        self.certificate = folder / "authority.pem"
        self.key = folder / "authority.key"
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.txt").touch()
        (folder / "crlnumber").write_text("01\n")
        self.config = folder / "openssl.cnf"
        self.config.write_text(
            CONFIG.format(folder=folder, certificate=self.certificate, key=self.key)
        )
        _make_key(self.key, rsa=False)
        request = self._request(self.key, name)
        lines = AUTHORITY_LINES
        if issuer is None:
            self._sign(request, self.certificate, lines, 0, 365, ["-selfsign"])
        else:
            issuer._sign(request, self.certificate, lines, 0, 365, [])

    @property
    def root(self) -> Path:
        """What others are to trust."""
        return self.certificate if self.issuer is None else self.issuer.root

    def issue(
        self,
        name: str = "localhost",
        *,
        names: Sequence[str] = ("localhost",),
        addresses: Sequence[str] = ("127.0.0.1", "::1"),
        uris: Sequence[str] = (),
        from_days: float = -1,
        until_days: float = 30,
        rsa: bool = False,
        purposes: str = "serverAuth, clientAuth",
    ) -> Certificate:
        """A certificate whose CN is `name`, good from so many days from now until so many."""
        self._count += 1
        base = self.folder / f"leaf{self._count}"
        key, made = base.with_suffix(".key"), base.with_suffix(".pem")
        _make_key(key, rsa)
        also = [
            *(f"DNS:{one}" for one in names),
            *(f"IP:{one}" for one in addresses),
            *(f"URI:{one}" for one in uris),
        ]
        lines = LEAF_LINES.format(purposes=purposes)
        if also:
            lines += f"subjectAltName = {', '.join(also)}\n"
        self._sign(self._request(key, name), made, lines, from_days, until_days, [])
        made.write_text(made.read_text() + self._chain())
        return Certificate(name, made, key)

    def expired(self, name: str = "localhost") -> Certificate:
        """One that was good until yesterday."""
        return self.issue(name, from_days=-30, until_days=-1)

    def not_yet(self, name: str = "localhost") -> Certificate:
        """One that is good from tomorrow on."""
        return self.issue(name, from_days=1, until_days=30)

    def other_name(self) -> Certificate:
        """One of another host."""
        return self.issue("elsewhere.example", names=("elsewhere.example",), addresses=())

    def revoke(self, *certificates: Certificate) -> None:
        """From the next list on they are revoked."""
        for one in certificates:
            self._ca("-revoke", str(one.certificate))

    def crl(self, *, until_days: float = 30) -> Path:
        """What was revoked so far, good until so many days from now; another file each time."""
        self._count += 1
        made = self.folder / f"crl{self._count}.pem"
        now = datetime.datetime.now(datetime.UTC)
        times = [
            "-crl_lastupdate",
            _utc(min(now, now + until_days * DAY) - DAY),
            "-crl_nextupdate",
            _utc(now + until_days * DAY),
        ]
        self._ca("-gencrl", "-out", str(made), *times)
        return made

    def below(self, name: str = "Test Issuer") -> Authority:
        """An authority whose certificate this one has signed."""
        self._count += 1
        return Authority(self.folder / f"below{self._count}", name, issuer=self)

    def _chain(self) -> str:
        """The authorities between a leaf of this one and the root."""
        if self.issuer is None:
            return ""
        return self.certificate.read_text() + self.issuer._chain()

    def _request(self, key: Path, name: str) -> Path:
        made = key.with_suffix(".csr")
        words = ["-new", "-key", str(key), "-subj", f"/CN={name}", "-utf8", "-out", str(made)]
        run_openssl("req", "-config", str(self.config), *words)
        return made

    def _sign(
        self,
        request: Path,
        made: Path,
        lines: str,
        from_days: float,
        until_days: float,
        more: list[str],
    ) -> None:
        extensions = request.with_suffix(".ext")
        extensions.write_text(lines)
        now = datetime.datetime.now(datetime.UTC)
        times = [
            "-startdate",
            _utc(now + from_days * DAY),
            "-enddate",
            _utc(now + until_days * DAY),
        ]
        files = ["-in", str(request), "-out", str(made), "-extfile", str(extensions)]
        self._ca("-batch", "-notext", "-utf8", *files, *times, *more)

    def _ca(self, *words: str) -> None:
        run_openssl("ca", "-config", str(self.config), *words)


def self_signed(folder: Path, name: str = "localhost") -> Certificate:
    """A certificate that nobody else vouches for."""
    folder.mkdir(parents=True, exist_ok=True)
    key, made = folder / "self.key", folder / "self.pem"
    _make_key(key, rsa=False)
    also = f"subjectAltName=DNS:{name},IP:127.0.0.1"
    words = ["-x509", "-new", "-key", str(key), "-subj", f"/CN={name}", "-utf8", "-addext", also]
    run_openssl("req", *words, "-days", "30", "-out", str(made))
    return Certificate(name, made, key)


def encrypted_key(certificate: Certificate, password: str) -> Path:
    """The same key, that opens only with a password."""
    made = certificate.key.with_suffix(".encrypted")
    words = ["-in", str(certificate.key), "-out", str(made), "-aes256"]
    run_openssl("pkey", *words, "-passout", f"pass:{password}")
    return made


def run_openssl(*words: str) -> str:
    """What it prints; AssertionError with what it says where it fails."""
    done = subprocess.run(
        ["openssl", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=OPENSSL_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"openssl {' '.join(words)}:\n{done.stderr}"
    return done.stdout


def _make_key(path: Path, rsa: bool) -> None:
    kind = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    curve = ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    run_openssl("genpkey", "-algorithm", *(kind if rsa else curve), "-out", str(path))
    path.chmod(0o600)


def _utc(when: datetime.datetime) -> str:
    return when.strftime("%Y%m%d%H%M%SZ")
