"""The upstream behind every proxy: nginx with fixed answers, on the load's core, its CPU not counted."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import trustme

from bench.child import Child
from bench.place import Cores, executable, free_port, render

SMALL = json.dumps({"toggles": {"new_forms": True, "max_visits": 10}, "user": "f3a9"}).encode()
LARGE_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Three ports: plain, the same under TLS, and one that fails every request with a 500."""

    child: Child
    plain: int
    tls: int
    failing: int
    ca: Path


def start_origin(folder: Path, cores: Cores, *, plain: int | None = None) -> Origin:
    """Starts nginx and waits until it answers. The caller stops `child`. `plain`: a port to insist on.

    Raises:
        Unusable: nginx did not come up.
    """
    ca = _write_certificates(folder)
    files = folder / "files"
    files.mkdir()
    (files / "large").write_bytes(os.urandom(64 * 1024) * (LARGE_BYTES // (64 * 1024)))
    (files / "sink").touch()
    (files / "stored.json").write_text('{"stored": true}')
    ports = {"plain": plain or free_port(), "tls": free_port(), "failing": free_port()}
    child = _start_nginx(folder, cores, {name: str(port) for name, port in ports.items()})
    child.wait_for_answer(ports["plain"], "/small")
    return Origin(child=child, **ports, ca=ca)


def _start_nginx(folder: Path, cores: Cores, ports: dict[str, str]) -> Child:
    values = {**ports, "work": str(folder), "small": SMALL.decode(), "user": user_directive()}
    config = folder / "origin.d"
    render("origin", config, values)
    command = [executable("nginx") or "nginx", "-p", str(folder), "-c", str(config / "nginx.conf")]
    return Child("origin", command, core=cores.load, folder=folder)


def user_directive() -> str:
    """Workers of a root nginx would be `nobody`, who may not read a private folder."""
    return "user root;" if os.geteuid() == 0 else ""


def _write_certificates(folder: Path) -> Path:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(folder / "origin.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder / "ca.pem"
