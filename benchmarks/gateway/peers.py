"""What the gateway is compared with, in a virtual environment of its own: nothing of it is a dependency."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from aiaas.embedded.process import free_port, guarded
from benchmarks.installation import SERVER_VARIABLES

PACKAGES = ("litellm[proxy]", "fastapi", "asyncpg", "uvicorn")
FOLDER = Path(settings.ROOT) / ".aiaas" / "peers" / "gateway"
LITELLM_KEY = "sk-bench"
LITELLM_CONFIG = """\
model_list:
  - model_name: fake
    litellm_params: {{model: openai/fake, api_base: "{upstream}", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""
INSTALL_S, START_S = 900, 90


class PeerMissing(Exception):
    """A peer cannot be had here; the message says why."""


def peer_python() -> Path:
    """Return the interpreter that has the peers, installed at the first use; raises PeerMissing."""
    python = FOLDER / "bin" / "python"
    if _has_peers(python):
        return python
    try:
        venv.create(FOLDER, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerMissing(f"the peers cannot be installed here: {error}") from error
    return python


@contextmanager
def litellm_proxy(upstream: str, folder: Path) -> Iterator[str]:
    """Run LiteLLM's proxy with one worker and its master key, and give the address of its API."""
    python, port = peer_python(), free_port()
    config = folder / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(upstream=upstream, key=LITELLM_KEY))
    command = [str(python.parent / "litellm"), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_DOCS": "True"}
    with process(command, folder / "litellm.log", **environment):
        await_answer(f"http://127.0.0.1:{port}/health/liveliness", folder / "litellm.log")
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def process(command: list[str], log: Path, **variables: str) -> Iterator[None]:
    """Run a command beside us, without our own servers' addresses; at the end it is gone."""
    kept = {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES}
    with log.open("ab") as out:
        running = subprocess.Popen(
            guarded(command), cwd=settings.ROOT, env={**kept, **variables}, stdout=out, stderr=out
        )
        try:
            yield
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@contextmanager
def granian(interface: str, application: str, folder: Path, *options: str, **variables: str) -> Iterator[str]:
    """Run an application of this folder under granian, by itself, and give its address."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--workers",
        "1",
        "--no-access-log",
        "--no-ws",
        "--interface",
        interface,
        *options,
        application,
    ]
    log = folder / f"{application.partition(':')[0]}.log"
    with process(command, log, PYTHONPATH=str(Path(__file__).parent), **variables):
        await_answer(f"http://127.0.0.1:{port}/", log)
        yield f"http://127.0.0.1:{port}"


def await_answer(url: str, log: Path) -> None:
    """Wait until something answers there, whatever it says."""
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise PeerMissing(f"nothing answers at {url}: {log.read_text(errors='replace')[-800:]}")


def _has_peers(python: Path) -> bool:
    if not python.exists() or not (python.parent / "litellm").exists():
        return False
    probe = [str(python), "-c", "import asyncpg, fastapi, uvicorn"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0
