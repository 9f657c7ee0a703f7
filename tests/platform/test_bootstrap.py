"""`.venv` as `manage.py` makes it: from a lock file, once, and with clear words when it cannot."""

import ast
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker

from aiaas.bootstrap.environment import Environment
from aiaas.bootstrap.installer import InstallError, diagnose
from aiaas.bootstrap.pins import MACHINE, applies, has_pins, pins

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file of one package, whose wheel lies in a folder instead of an index."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = wheels / "tiny_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_thing.py", "answer = 42\n")
        archive.writestr(
            "tiny_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny_thing-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("tiny_thing-1.0.dist-info/RECORD", "")
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(wheels))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"tiny-thing==1.0 \\\n    --hash=sha256:{digest}\n")
    return lock


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "venv", state=tmp_path / "state")


def imports(environment: Environment) -> bool:
    return (
        subprocess.run([environment.python, "-c", "import tiny_thing"], capture_output=True).returncode == 0
    )


def test_installs_once_and_anew_after_an_install_that_was_cut_off(
    environment: Environment, lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.install([lock])
    assert imports(environment)
    assert "installing requirements.lock: 1 packages" in capsys.readouterr().out

    environment.install([lock])
    assert capsys.readouterr().out == ""

    next(environment.folder.rglob("tiny_thing.py")).unlink()
    environment.unfinished.touch()
    environment.install([lock])
    assert imports(environment)
    assert not environment.unfinished.exists()


def test_two_at_once_fill_a_link_that_points_nowhere_yet(
    environment: Environment, lock: Path, tmp_path: Path
) -> None:
    environment.folder.symlink_to(tmp_path / "elsewhere")
    script = (
        "import sys; from pathlib import Path; from aiaas.bootstrap.environment import Environment;"
        "Environment(Path(sys.argv[1]), state=Path(sys.argv[2])).install([Path(sys.argv[3])])"
    )
    command = [sys.executable, "-c", script, str(environment.folder), str(environment.state), str(lock)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    output = "".join(process.communicate(timeout=60)[0] for process in both)

    assert [process.returncode for process in both] == [0, 0]
    assert output.count("installing requirements.lock") == 1
    assert imports(environment)
    assert (tmp_path / "elsewhere" / "bin" / "python").exists()


def test_says_when_a_package_is_not_the_locked_one(environment: Environment, lock: Path) -> None:
    lock.write_text(lock.read_text()[:-5] + "0000\n")

    with pytest.raises(InstallError, match=r"not the one that the lock file names.*install.log"):
        environment.install([lock])


@pytest.mark.parametrize(
    ("output", "diagnosis"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        ("error: failed to write to file: No space left on device (os error 28)", "disk is full"),
        ("Failed to establish a new connection: [Errno -3] Temporary failure in name resolution", "network"),
        ("error: Request failed after 3 retries\n  Caused by: dns error: failed to lookup", "network"),
        ("ERROR: No matching distribution found for onnxruntime==9.9", "no fitting package"),
        ("first\nsomething unheard of\n", "something unheard of"),
    ],
)
def test_says_what_to_do_about_what_stops_an_install(output: str, diagnosis: str) -> None:
    assert diagnosis in diagnose(output)


def test_the_running_interpreter_has_the_projects_locks() -> None:
    locks = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]

    assert Environment(Path(sys.prefix), state=ROOT).serves_this_interpreter(locks)
    assert len(pins(locks[0])) > 100


def test_another_version_is_not_what_the_lock_asks_for(tmp_path: Path) -> None:
    (tmp_path / "some_thing-1.0.dist-info").mkdir()
    lock = tmp_path / "lock"

    lock.write_text("Some.Thing==1.0 \\\n")
    assert has_pins(tmp_path, [lock])
    lock.write_text("Some.Thing==1.1 \\\n")
    assert not has_pins(tmp_path, [lock])


comparisons = st.one_of(
    st.builds(
        "{} {} '{}'".format,
        st.sampled_from(sorted(set(MACHINE) - {"python_full_version"})),
        st.sampled_from(["==", "!="]),
        st.sampled_from([*MACHINE.values(), "win32", "PyPy"]),
    ),
    st.builds(
        "python_full_version {} '3.{}'".format,
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.sampled_from(["9", "11", "11.3", "12", "13.0"]),
    ),
)


@given(st.lists(st.lists(comparisons, min_size=1, max_size=3).map(" and ".join), min_size=1, max_size=3))
def test_markers_mean_what_packaging_says(clauses: list[str]) -> None:
    marker = " or ".join(clauses)

    assert applies(marker) == Marker(marker).evaluate()


def test_an_old_python_gets_one_clear_line() -> None:
    source = (ROOT / "manage.py").read_text()
    ast.parse(source, feature_version=(3, 7))
    script = (
        "import sys, runpy; sys.version_info = (3, 9, 1); runpy.run_path('manage.py', run_name='__main__')"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr.strip() == "Python 3.11 or newer is needed, this is 3.9: try `python3.13 manage.py`"


def test_without_an_argument_it_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py"], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ)
    )

    assert done.returncode == 0
    for command in (" up ", " test ", " bench ", "create_tenant", "ingest", "chat"):
        assert command in done.stdout
