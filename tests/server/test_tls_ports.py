"""TLS ports of a real master: what each takes, shows and demands (F104, F105, T58)."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours.certificates import Certificate, run_openssl, self_signed
from tests.neighbours.waiting import wait_until
from tests.server.tls_site import Site

pytestmark = pytest.mark.needs("openssl")

OWN = "certificate={{folder}}/{0}.pem;certificate-key={{folder}}/{0}.key"
CLIENTS = "tls-mutual=1;trusted-ca={folder}/ca.pem;tls-crl={folder}/crl.pem"
PORTS = {
    "secured": "tls=1;" + OWN.format("own"),
    "auto": "upgrade=1;" + OWN.format("own"),
    "twelve": "tls=1;sec-protocol=TLSv12;cipher-list=ECDHE-ECDSA-AES256-GCM-SHA384;"
    + OWN.format("own"),
    "chain": "tls=1;certificate={folder}/leaf.pem,{folder}/between.pem;"
    "certificate-key={folder}/leaf.key",
    "whole": "tls=1;certificate={folder}/whole.pem",
    "keyless": "tls=1;certificate={folder}/own.pem;certificate-key={folder}/missing.key",
    "mutual": "tls=1;" + OWN.format("own") + ";" + CLIENTS,
    "other-name": "tls=1;" + OWN.format("elsewhere"),
    "expired": "tls=1;" + OWN.format("expired"),
    "application": "tls=1",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    security = {
        "certificate": "{folder}/application.pem",
        "certificate-key": "{folder}/application.key",
    }
    site = Site(folder, PORTS, security=security)
    site.put("own", site.issue("own"))
    site.put("application", site.issue("application"))
    site.put("elsewhere", site.authority.other_name())
    site.put("expired", site.authority.expired())
    between = site.authority.below()
    leaf = between.issue("leaf")
    blocks = leaf.certificate.read_text().split("-----END CERTIFICATE-----\n")
    (folder / "leaf").write_text(blocks[0] + "-----END CERTIFICATE-----\n")
    site.put("leaf", Certificate("leaf", folder / "leaf", leaf.key))
    site.put_file("between.pem", between.certificate)
    whole = site.issue("whole")
    (folder / "whole").write_text(whole.certificate.read_text() + whole.key.read_text())
    (folder / "whole").chmod(0o600)
    site.put_file("whole.pem", folder / "whole")
    site.put_file("ca.pem", site.authority.root)
    site.put_file("crl.pem", site.authority.crl())
    with site:
        wait_until(lambda: site.number("mutual") > 0, 20, "the certificates")
        yield site


def test_f104_a_secured_port_takes_tls_alone_and_an_auto_one_both(site: Site) -> None:
    """T58: Auto-detect serves both; the default port goes on in the clear."""
    for port in ("secured", "auto"):
        client = site.sign_in(site.connect(port))
        assert '"name":"Environment"' in client.call("GET", "CfgTenant:1")
        assert client.call("HELLO", "3")["proto"] == 3
    plain = site.plain("secured")
    plain.send(b"PING\r\n")
    assert plain.is_closed()
    assert site.sign_in(site.plain("auto")).call("PING") == "PONG"
    with site.master.client() as one:
        assert one.ping()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_f104_both_versions_are_spoken_unless_one_is_named(site: Site, version: str) -> None:
    only = {"minimum_version": ssl.TLSVersion[version], "maximum_version": ssl.TLSVersion[version]}
    assert site.connect("secured", site.context(**only)).secure.version() == version.replace(
        "_", "."
    )
    assert site.is_let_in("twelve", site.context(**only)) == (version == "TLSv1_2")


def test_f104_ciphers_that_are_named_are_those_that_are_spoken(site: Site) -> None:
    cipher = site.connect("twelve").secure.cipher()
    assert cipher is not None
    assert cipher[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    weak = site.context(maximum_version=ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("AES128-SHA")
    assert not site.is_let_in("secured", weak), "no port speaks it"


@pytest.mark.parametrize("old", ["-tls1", "-tls1_1"])
def test_f104_what_is_older_is_refused(site: Site, old: str) -> None:
    words = ["-connect", f"localhost:{site.ports['secured']}", old, "-cipher", "ALL:@SECLEVEL=0"]
    with pytest.raises(AssertionError, match="alert protocol version"):
        run_openssl("s_client", *words)


def test_f104_a_chain_is_sent_in_the_order_stated(site: Site) -> None:
    """Files are joined as they stand; who trusts the root alone is content."""
    assert site.is_let_in("chain")
    shown = run_openssl("s_client", "-connect", f"localhost:{site.ports['chain']}", "-showcerts")
    subjects = [line for line in shown.splitlines() if line.strip().startswith(("0 s:", "1 s:"))]
    assert ["leaf" in subjects[0], "Test Issuer" in subjects[1]] == [True, True]
    assert site.is_let_in("whole"), "one file for certificate and key"


def test_f104_a_certificate_of_another_name_is_refused_by_who_checks_it(site: Site) -> None:
    """T58."""
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        site.connect("other-name")
    assert site.is_let_in("other-name", site.context(check_hostname=False))


def test_f104_an_expired_certificate_is_refused_by_who_checks_it(site: Site) -> None:
    """T58; it is shown, as there is no better one, and it is an alarm."""
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        site.connect("expired")
    assert "port expired" in str(site.master.alarms()["certificate expires"]["text"])


def test_f104_a_port_without_its_key_lets_nobody_in_and_is_an_alarm(site: Site) -> None:
    assert not site.is_let_in("keyless")
    wait_until(lambda: "certificate refused" in site.master.alarms(), 10, "the alarm")
    text = str(site.master.alarms()["certificate refused"]["text"])
    assert "port keyless" in text
    assert "missing.key can't be read: No such file or directory" in text


def test_f104_a_mutual_port_lets_in_whom_its_authority_vouches_for(
    site: Site, tmp_path: Path
) -> None:
    assert site.is_let_in("mutual", site.context(site.issue("ann")))
    for refused in (
        None,
        site.other.issue("ann"),
        self_signed(tmp_path / "self", "ann"),
        site.authority.expired("ann"),
        site.authority.not_yet("ann"),
        site.issue("ann", purposes="serverAuth"),
    ):
        assert not site.is_let_in("mutual", site.context(refused)), refused


def test_f105_a_port_s_own_certificate_counts_before_the_application_s(site: Site) -> None:
    """Then its host's, in its annex; each change of a level holds within a moment."""
    assert site.subject("application") == "application"
    assert site.subject("secured") == "own"
    site.put("host", site.issue("host"))
    stated = {
        "certificate": f"{site.files}/host.pem",
        "certificate-key": f"{site.files}/host.key",
    }
    host = site.create("CfgHost", name="here", userProperties={"security": stated})
    site.update("CfgApplication", 99, changed={"serverInfo": {"hostDBID": host}})
    assert site.subject("application") == "application", "the Application is nearer"
    before = site.number("application")
    site.update("CfgApplication", 99, options={"deleted": {"security": None}})
    site.wait_number("application", before)
    assert site.subject("application") == "host"
    assert site.subject("secured") == "own"
    site.put("new", site.issue("new"))
    before = site.number("application")
    stated = {name: path.replace("host.", "new.") for name, path in stated.items()}
    site.update("CfgHost", host, userProperties={"changed": {"security": stated}})
    site.wait_number("application", before)
    assert site.subject("application") == "new"


def test_csp_status_tells_what_is_in_force_and_until_when(site: Site) -> None:
    shown = site.master.cli("status").stdout
    (line,) = [one for one in shown.splitlines() if "of port secured" in one]
    assert "CN=own, until 20" in line
    (line,) = [one for one in shown.splitlines() if "of port mutual" in one]
    assert "list of revoked ones until 20" in line
    found = json.loads(site.master.cli("status", "--json").stdout)["certificates"]
    assert {one["port"] for one in found} == set(PORTS) - {"keyless"}
