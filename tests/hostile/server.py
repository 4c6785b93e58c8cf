"""Run scripts of bin/, each in a fork of this process, and report what each of them did.

    python server.py MODULE ...

imports the modules once, and then reads a line of JSON for each script: ``argv``, ``cwd``,
``log`` (where its output goes) and ``roots`` (where it may write). The answer is a line of JSON:
``code``, ``peak`` (bytes of memory, including imports), ``timed_out``, and ``forbidden``, actions
that no step may do. Runs in any of the environments.
"""

import gc
import importlib
import json
import os
import resource
import runpy
import signal
import sys
import traceback

SECONDS = 60
MEMORY = 8 << 30  # the machine's safety alone: the tests look at what was used
# Beyond these a script has done what its input told it, not what it is for.
FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn"),
    *("socket.connect", "socket.getaddrinfo", "urllib.Request", "pickle.find_class"),
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def watch(roots, told):
    """Write to the file descriptor `told` whatever is done from here on that is forbidden."""
    roots = tuple(os.path.realpath(root) + os.sep for root in roots)

    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], str | bytes):
            path, mode, flags = arguments
            writes = flags & WRITING if mode is None else set("wax+") & set(mode)
            place = os.path.realpath(os.fsdecode(path))
            if writes and not place.startswith((*roots, "/dev/")):
                os.write(told, f"writes {place}\n".encode())
        elif event in FORBIDDEN:
            os.write(told, f"{event} {arguments[0]!r}\n".encode())

    sys.addaudithook(hook)


def child(task, told):
    log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(task["cwd"])
    sys.argv = task["argv"]
    watch(task["roots"], told)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def serve(task):
    reading, told = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os._exit(child(task, told))
    os.close(told)
    with os.fdopen(reading) as pipe:
        forbidden = pipe.read().splitlines()
    _, status, usage = os.wait4(pid, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "peak": usage.ru_maxrss * 1024,
        "timed_out": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM,
        "forbidden": forbidden,
    }


def main():
    sys.path.pop(0)  # this folder
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()  # else a fork's first collection would copy all of this memory
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
