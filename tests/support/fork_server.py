"""Run scripts, each in a fork of this process, so that what they import is imported once.

    python fork_server.py MODULE ...

imports the modules and then reads a line of JSON for each script: ``command``, its path and its
arguments; ``cwd``; ``env``, what is other in its environment; and ``streams``, files for its
standard input, output and errors. The answer is a line with its exit code. Runs in any of the
environments.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import sys
import threading
import traceback


def run(command):
    """Run a script as a program of its own would run; return its exit code."""
    sys.stdin, sys.argv = os.fdopen(0), command
    sys.path.insert(0, os.path.dirname(command[0]))
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def child(task):
    for number, path in enumerate(task["streams"]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.environ.update(task["env"])
    os.chdir(task["cwd"])
    code = run(task["command"])
    # All of an exit, but that every object is taken apart, which would copy the parent's memory
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    sys.path.pop(0)  # this folder
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            child(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers)


if __name__ == "__main__":
    main()
