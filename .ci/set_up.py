"""Makes .venv and installs what pyproject.toml asks for, and tells what goes on. Needs the standard library alone.

pip's own output goes to .venv/setup.log: most of its warnings mean nothing to whoever only wants to start.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(".venv")
LOG = FOLDER / "setup.log"
EVERY_S = 10.0
NEEDED_GB = 8
REMEDIES = {
    "No space left": f"make room: {NEEDED_GB} GB are needed here",
    "name resolution|Failed to establish|Connection|timed out|ProxyError|SSLError": "check the network",
    "No matching distribution": "it is not offered for this Python or machine; Python 3.11 on Linux is known to work",
    "Permission denied": "this folder must be yours to write to",
}
"""By what pip's log says; the first that fits. Without a network pip ends by finding no distribution either."""


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036, whoever calls make may have an older one
        sys.exit("set-up: Python 3.11 or newer is needed; try make PYTHON=python3.11")
    if not FOLDER.exists() and shutil.disk_usage(".").free < NEEDED_GB * 1e9:
        sys.exit(
            f"set-up: {NEEDED_GB} GB are needed here, {shutil.disk_usage('.').free / 1e9:.1f} GB are free; make room"
        )
    say("setting up .venv, once: PyTorch, Ray, MLflow, diffusers and what they need (6 GB; 2 to 7 minutes)")
    began = time.monotonic()
    if subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=False).returncode:
        sys.exit("set-up: python -m venv failed; on Debian and Ubuntu, apt install python3-venv brings what it lacks")
    status = install(began)
    if status:
        sys.exit(f"set-up failed: {cause()}; the whole of it is in {LOG}. Then call make again: it goes on from here")
    say(f"set up in {time.monotonic() - began:.0f} s")


def install(began: float) -> int:
    """pip's exit status. Says how far it is every few seconds."""
    command = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    found: list[str] = []
    told, total = time.monotonic(), 0
    with LOG.open("w") as log:
        pip = subprocess.Popen([*command, "--progress-bar", "off", "--editable", ".[dev]"], stdout=log, stderr=log)
        with LOG.open() as output:
            while pip.poll() is None:
                for line in output.readlines():
                    if match := re.match(r"Collecting ([\w.-]+)", line):
                        found.append(match[1])
                    elif line.startswith("Installing collected packages:"):
                        total = line.count(",") + 1
                if time.monotonic() - told > EVERY_S and found:
                    told = time.monotonic()
                    far = f"{len(found)} found, now {found[-1]}"
                    if total:
                        far = f"{min(installed(), total)} of {total} installed"
                    say(f"  {told - began:3.0f} s: packages: {far}")
                time.sleep(0.5)
    return pip.returncode


def installed() -> int:
    return len(list(FOLDER.glob("lib/python3*/site-packages/*.dist-info")))


def cause() -> str:
    """pip's first error, and what to do about it where that is known."""
    text = LOG.read_text(errors="replace")
    errors = [line.removeprefix("ERROR: ").strip() for line in text.splitlines() if line.startswith("ERROR")]
    what = errors[0][:300] if errors else "pip ended without saying why"
    known = next((remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, text)), None)
    return f"{what}; {known}" if known else what


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
