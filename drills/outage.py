"""Breaks a real `mlflow server` while real sweeps run, and counts what is on it afterwards against the run folders.

    python -m drills.outage                    # all faults, about 20 minutes on two cores
    python -m drills.outage killed hanging     # some of them; the undisturbed run is made once and kept

Each sweep is of three trials of the tiny preset. Exit code 1 if anything is missing, doubled or different.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from drills.counting import Count, count
from drills.tracking_server import Line, Server
from fashion_sweep.cluster.loopback import private_folder

SETTINGS = ["sweep.trials=[{unet: 1}, {unet: 2}, {unet: 4}]", "training.steps=120", "training.validation_every=2"]
SETTINGS += ["evaluation.samples=160", "generation.num_inference_steps=5", "training.checkpoint_every=40"]
PASSWORD = "correct-horse"
AT_THE_END_S = 30
"""A run may wait so long for MLflow before it ends."""

Disturb = Callable[[Server, Line, random.Random, threading.Event], None]


def killed(server: Server, line: Line, chance: random.Random, over: threading.Event) -> None:
    """SIGKILL and, seconds later, a new start, again and again."""
    while not over.wait(chance.uniform(1, 12)):
        server.kill()
        over.wait(chance.uniform(1, 8))
        server.start()


def hanging(server: Server, line: Line, chance: random.Random, over: threading.Event) -> None:
    """SIGSTOP for seconds, again and again."""
    while not over.wait(chance.uniform(1, 10)):
        server.hang(chance.uniform(3, 15))


def answers_lost(server: Server, line: Line, chance: random.Random, over: threading.Event) -> None:
    """Every third request is carried out and its answer lost."""
    line.loses_every = 3
    over.wait()


def slow(server: Server, line: Line, chance: random.Random, over: threading.Event) -> None:
    """Each answer comes after 60 s."""
    line.delay_s = 60
    over.wait()


def silent(server: Server, line: Line, chance: random.Random, over: threading.Event) -> None:
    """Connections are taken, nothing is ever answered."""
    line.passes_nothing = True
    over.wait()


def down(server: Server, line: Line, chance: random.Random, over: threading.Event) -> None:
    """There is no server from beginning to end."""
    server.kill()
    over.wait()


def database_lost(server: Server, line: Line, chance: random.Random, over: threading.Event) -> None:
    """Once an empty one takes its place, once an older backup."""
    over.wait(chance.uniform(15, 25))
    server.lose_database()
    over.wait(chance.uniform(8, 12))
    backup = server.folder / "backup.db"
    shutil.copy(server.database, backup)
    over.wait(chance.uniform(8, 12))
    server.lose_database(backup)
    over.wait()


def undisturbed(server: Server, line: Line, chance: random.Random, over: threading.Event) -> None:
    """For comparison."""
    over.wait()


FAULTS: dict[str, Disturb] = {
    fault.__name__.replace("_", "-"): fault
    for fault in (killed, hanging, answers_lost, slow, silent, down, database_lost)
}


def disturbed_sweep(name: str, disturb: Disturb, folder: Path, chance: random.Random) -> dict[str, object]:
    """One sweep with its server; what was counted."""
    for left in (folder / "runs" / name, folder / f"server-{name}"):
        shutil.rmtree(left, ignore_errors=True)
    run, server = folder / "runs" / name, Server(folder / f"server-{name}")
    line, over = Line(server), threading.Event()
    server.start()
    environment = os.environ | {
        "FASHION_SWEEP_RUNS": str(folder / "runs"),
        "MLFLOW_TRACKING_URI": f"http://me:{PASSWORD}@127.0.0.1:{line.port}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "fashion_sweep", "run", "exp2", "--name", name]
    command += [word for setting in SETTINGS for word in ("--set", setting)]
    disturber = threading.Thread(target=disturb, args=(server, line, chance, over))
    disturber.start()
    began = time.monotonic()
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except KeyboardInterrupt:
        over.set()
        disturber.join()
        server.kill()
        raise
    wall = time.monotonic() - began
    over.set()
    disturber.join()
    line.loses_every, line.delay_s, line.passes_nothing = None, 0.0, False
    if not server.answers():
        server.start()
    synced = subprocess.run(
        [sys.executable, "-m", "fashion_sweep", "sync", name],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    counted = count(run, server.database)
    server.kill()
    check_words(counted, [folder / "runs", server.folder, Path(private_folder())], done, synced)
    return {"fault": name, "wall_s": round(wall, 1), "lost_answers": line.lost, **counted.__dict__} | {
        "said": next((text for text in done.stderr.splitlines() if "behind" in text), "")
    }


def check_words(counted: Count, folders: list[Path], *processes: "subprocess.CompletedProcess[str]") -> None:
    """Exit codes, and that the password of the server's address is nowhere."""
    for process in processes:
        if process.returncode:
            counted.differences.append(f"exit code {process.returncode}: {process.stderr.strip()[-500:]}")
        if PASSWORD in process.stdout + process.stderr:
            counted.differences.append("the password was printed")
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and PASSWORD.encode() in path.read_bytes():
            counted.differences.append(f"the password is in {path}")


def table(rows: list[dict[str, object]]) -> str:
    heads = {"fault": "fault", "wall_s": "wall s", "slower": "slower by", "runs": "runs", "rows": "rows: folder"}
    heads |= {"rows_there": "server", "params": "params", "artifacts": "artifacts", "versions": "versions"}
    heads |= {"wrong": "differences", "told": "told at the end"}
    lines = [[str(row.get(key, "")) for key in heads] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads.values(), *lines, strict=True)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in [list(heads.values()), ["-" * width for width in widths], *lines]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"{', '.join(FAULTS)}; all if none is named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where runs and servers are kept; what is there is not made again")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else a polite kill would leave a server behind
    if unknown := set(wanted.faults) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    folder = (wanted.folder or Path(tempfile.mkdtemp(prefix="outage-"))).resolve()
    rows = []
    for name in ["warm-up", "undisturbed", *(wanted.faults or FAULTS)]:
        known = folder / f"{name}.json"
        if not known.is_file():
            print(f"{name} …", file=sys.stderr, flush=True)
            row = disturbed_sweep(name, FAULTS.get(name, undisturbed), folder, random.Random(f"{wanted.seed} {name}"))
            known.write_text(json.dumps(row))
        rows.append(json.loads(known.read_text()))
    usual = rows[1]["wall_s"]
    for row in rows[1:]:
        row |= {"slower": f"{row['wall_s'] - usual:+.1f} s", "wrong": len(row["differences"])}
        row["told"] = "behind" if row["said"] else "-"
        if row["wall_s"] - usual > AT_THE_END_S + 0.25 * usual:
            row["differences"].append("the run was slowed")
    print(table(rows[1:]))
    wrong = [f"{row['fault']}: {text}" for row in rows for text in row["differences"]]
    print("\n".join(wrong) or "every metric, parameter, artifact and status is there, once")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
