"""Run scripts, each in a fork of this process, so that what they import is imported once.

    python fork_server.py FILENO MODULE ...

imports the modules, and takes scripts from fork_client.py at a listening socket, until its standard
input ends. Runs in any of the environments.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
import warnings


def run(command):
    """Run a script as a program of its own would run; return its exit code."""
    sys.stdin, sys.argv = os.fdopen(0), command
    sys.path.insert(0, os.path.dirname(os.path.realpath(command[0])))
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


def child(task, streams):
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(task["env"])
    os.chdir(task["cwd"])
    code = run(task["command"])
    # All of an exit, but that every object is taken apart, which would copy the parent's memory
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def attend(asked):
    """Run the script that was asked for, and answer with its exit code; kill it if nobody waits."""
    text, streams, _, _ = socket.recv_fds(asked, 1 << 16, 3)
    while not text.endswith(b"\n"):
        more = asked.recv(1 << 16)
        if not more:  # killed before it had asked
            return
        text += more
    pid = os.fork()
    if not pid:
        asked.close()
        child(json.loads(text), streams)
    os.setpgid(pid, pid)
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(pid)
    if ended not in select.select([ended, asked], [], [])[0]:
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    asked.send(b"%d" % code)


def main():
    sys.path.pop(0)  # this folder
    listener = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.freeze()
    warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # by OpenBLAS, ready to
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever attends is waited for by nobody
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        asked, _ = listener.accept()
        if not os.fork():
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody waits
                attend(asked)
            os._exit(0)
        asked.close()


if __name__ == "__main__":
    main()
