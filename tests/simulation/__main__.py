"""``python -m tests.simulation SEEDS``: runs them in parallel and tells the story of those that fail."""

import os
import sys
from argparse import ArgumentParser
from multiprocessing import get_context
from time import perf_counter

from tests.simulation.bugs import BUGS, planted
from tests.simulation.simulation import Verdict, quiet, simulate

MAX_FAILED = 100  # then it stops: somebody has to look


def seeds(text: str) -> range:
    """``1000`` is the first thousand, ``17-20`` a range, ``17-17`` one."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)


def one(task: tuple[int, str]) -> Verdict:
    """In a worker."""
    seed, bug = task
    with planted(bug):
        return simulate(seed)


def main() -> int:
    """Returns the exit status."""
    parser = ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=seeds, help="1000, 1-1000, or 17-17 for one, whose story is told")
    parser.add_argument("--bug", default="", choices=["", *BUGS], help="plant this bug")
    parser.add_argument("--until", default="", help="stop at the first seed with a fault that has this in it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--lines", type=int, default=60, help="of a failing seed's story")
    options = parser.parse_args()
    began, events, checked, failed = perf_counter(), 0, 0, []
    with get_context("fork").Pool(options.processes, initializer=quiet, maxtasksperchild=200) as pool:
        tasks = ((seed, options.bug) for seed in options.seeds)
        for done, verdict in enumerate(pool.imap(one, tasks, chunksize=4), 1):
            events, checked = events + verdict.events, checked + verdict.checked
            if verdict.faults:
                failed.append(verdict.seed)
                tell(verdict, options.lines)
                if len(failed) >= MAX_FAILED or any(
                    options.until in fault for fault in verdict.faults if options.until
                ):
                    break
            elif len(options.seeds) == 1:
                tell(verdict, options.lines)
            if done % 500 == 0:
                print(f"{done} seeds in {perf_counter() - began:.0f} s, {len(failed)} failed", flush=True)
    seconds = perf_counter() - began
    print(f"{done} seeds, {seconds:.1f} s, {done / seconds:.1f} seeds/s, {events} events, {checked} deliveries owed")
    print(f"failed: {' '.join(map(str, failed)) or 'none'}")
    return bool(failed)


def tell(verdict: Verdict, lines: int) -> None:
    """What happened, and what was wrong about it."""
    print("\n".join(verdict.story[-lines:] if lines else []))
    print(f"--- seed {verdict.seed}, digest {verdict.digest}; again: make simulate SEEDS={verdict.seed}-{verdict.seed}")
    for fault in verdict.faults[:6]:
        print(f"FAULT {fault}")
    sys.stdout.flush()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of strings in the same order, so that a seed replays
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    sys.exit(main())
