"""Paths: sources beside this file, everything that is built or fetched under `.cache`."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
CACHE = HERE / ".cache"
RESULTS = HERE / "results"
PEERS = HERE / "peers"
LOGS = CACHE / "logs"
LOAD = CACHE / "load"
SECURE_LOAD = CACHE / "load-tls"
CERTIFICATE = CACHE / "certificate.pem"
TOKENS = CACHE / "tokens"
KERNEL_PRICE = CACHE / "kernel_price"
VENV = CACHE / "venv"
RELAY_VENV = CACHE / "relay"
VENV_PYTHON = VENV / "bin" / "python"
NODE_MODULES = CACHE / "node" / "node_modules"
NGINX = CACHE / "nginx"
CENTRIFUGO = CACHE / "go" / "centrifugo"
