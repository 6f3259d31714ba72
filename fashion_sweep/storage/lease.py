"""The lock of a run whose folder is in object storage: an object that its holder writes anew while it lives."""

import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from fashion_sweep.errors import FashionSweepError, RunError
from fashion_sweep.storage.bucket import Bucket

logger = logging.getLogger(__name__)

RENEW_S = 15.0
STALE_S = 60.0
"""Seconds after which a lease that is not renewed is another's to take, by the storage's clock."""
AGAIN_S = 10.0
"""Seconds after which a process that has lost its lease is interrupted again.
Python drops an interrupt that reaches it in a callback."""
SETTLE_S = 2.0
"""Seconds for which one who takes a stale lease waits whether another took it at the same moment."""


@contextmanager
def leased(bucket: Bucket, name: str, what: str) -> Iterator[None]:
    """Holds the object `name` while the block runs.

    Raises:
        RunError: another process holds it; or has taken it from this one, which was not heard of for too long.
    """
    lease = _Lease(bucket, name, what)
    lease.take()
    ended = threading.Event()
    thread = threading.Thread(target=lease.renew, args=(ended,), name="lease", daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if lease.lost_to is not None:
            raise RunError(f"{what} was taken over by {lease.lost_to}, since nothing was heard of this run") from None
        raise
    finally:
        ended.set()
        thread.join()
        lease.release()


def is_leased(bucket: Bucket, name: str) -> bool:
    """Returns whether the object is held now, as far as the clocks here and there agree."""
    version = bucket.version(name)
    return version is not None and time.time() - version.modified_ns / 1e9 < STALE_S


class _Lease:
    def __init__(self, bucket: Bucket, name: str, what: str) -> None:
        self.bucket, self.name, self.what = bucket, name, what
        self.mine = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex}
        self.lost_to: str | None = None

    def take(self) -> None:
        if self._write(exclusive=True):
            return
        holder, age = self._holder()
        if holder.get("id") == self.mine["id"]:
            return  # the answer to our first attempt was lost
        if age < STALE_S and not self._is_dead(holder):
            raise RunError(
                f"{self.what} is in use by {_who(holder)}, heard of {age:.0f} s ago; wait for it or give the run "
                f"another name (one that has died frees it {STALE_S:.0f} s after it was last heard of)"
            )
        self._write()
        time.sleep(SETTLE_S)
        holder, _ = self._holder()
        if holder.get("id") != self.mine["id"]:
            raise RunError(f"{self.what} is in use by {_who(holder)}; wait for it or give the run another name")

    def renew(self, ended: threading.Event) -> None:
        while not ended.wait(RENEW_S):
            try:
                holder, _ = self._holder(with_age=False)
                if holder.get("id") not in (None, self.mine["id"]):
                    self.lost_to = _who(holder)
                    break
                self._write()
            except FashionSweepError as error:
                logger.warning("%s", error)
        while not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)  # also where the main thread sleeps
            ended.wait(AGAIN_S)

    def release(self) -> None:
        try:
            if self.lost_to is None:
                self.bucket.remove(self.name)
        except FashionSweepError as error:
            logger.warning("%s", error)

    def _write(self, exclusive: bool = False) -> bool:
        text = json.dumps(self.mine | {"time": time.time()})  # another content each time
        return self.bucket.write(self.name, text.encode(), exclusive)

    def _holder(self, with_age: bool = True) -> tuple[dict[str, Any], float]:
        """Returns what the lease says, and its age; of one that has gone meanwhile, nothing and an infinite age."""
        data, version = self.bucket.read(self.name), self.bucket.version(self.name) if with_age else None
        try:
            holder = json.loads(data or b"{}")
        except ValueError:
            holder = {}
        if not with_age:
            return holder, 0.0
        return holder, (self.bucket.check().modified_ns - version.modified_ns) / 1e9 if version else float("inf")

    def _is_dead(self, holder: dict[str, Any]) -> bool:
        """Returns whether the holder was a process of this machine that is gone.
        One with our own number is gone, too: it was an earlier process, as in a container."""
        return holder.get("host") == self.mine["host"] and (
            holder.get("pid") == os.getpid() or not psutil.pid_exists(int(holder.get("pid") or 0))
        )


def _who(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', 'another machine')}"
