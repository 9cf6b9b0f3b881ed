"""Python imports this at its start when its folder is on the path: samples the worker that it is in.

A thread reads, as often as it can without being felt, how much CPU time each other thread has used since, by that
thread's own clock, and gives it to the stack that this thread has now. So a thread that waits costs nothing, and one
that computes in C or in the kernel counts as what called it. What is shorter than the interval counts as what came
next: of many samples the sums are right, of functions that only just end in a wait they are too small.

`PROFILE` names a folder: the file `phase` in it says what is being measured, and what a phase used is written to a file
of the phase's name when the next one begins.
"""

import itertools
import json
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

_INTERVAL_S = 0.0005
_SWITCH_S = 0.0001
"""How long a thread may run on when the sampler wants to look; Python's 5 ms are longer than a request."""

_LOOK_EVERY = 50
_DEPTH = 60

Stack = tuple[tuple[str, str], ...]


def _sample(folder: Path) -> None:
    """Sample for as long as the process lives."""
    sys.setswitchinterval(_SWITCH_S)
    own, phase, used, last = threading.get_ident(), "", defaultdict[Stack, float](float), dict[int, float]()
    began_s = 0.0
    for tick in itertools.count():
        time.sleep(_INTERVAL_S)
        for thread, frame in sys._current_frames().items():  # noqa: SLF001 - there is no other name for it
            now = _clock(thread)
            spent, last[thread] = now - last.get(thread, now), now
            if thread != own and spent > 0:
                used[_frames(frame)] += spent
        if tick % _LOOK_EVERY == 0 and (now_in := _read(folder / "phase")) != phase:
            process_s = time.process_time() - _clock(own)
            if phase:
                _write(folder / f"{phase}.json", used, process_s - began_s)
            phase, used, began_s = now_in, defaultdict[Stack, float](float), process_s


def _clock(thread: int) -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(thread))


def _frames(frame: FrameType | None) -> Stack:
    """Return file and function of each frame, the innermost first."""
    found: list[tuple[str, str]] = []
    while frame is not None and len(found) < _DEPTH:
        found.append((frame.f_code.co_filename, frame.f_code.co_qualname))
        frame = frame.f_back
    return tuple(found)


def _read(file: Path) -> str:
    return file.read_text(encoding="ascii") if file.exists() else ""


def _write(file: Path, used: dict[Stack, float], total_s: float) -> None:
    partial = file.with_suffix(".partial")
    stacks = [[seconds, stack] for stack, seconds in used.items()]
    partial.write_text(json.dumps({"cpu_s": total_s, "stacks": stacks}), encoding="utf-8")
    partial.replace(file)


if "localhost.worker" in sys.orig_argv and os.environ.get("PROFILE"):
    threading.Thread(target=_sample, args=(Path(os.environ["PROFILE"]),), daemon=True).start()
