"""Have fork_server.py run a script, and wait for it.

As a program it stands in for an environment's Python, with the same streams, folder, environment
and exit code as that would have; when it is killed, so is the script.
"""

import json
import os
import signal
import socket
import sys


def run(server, command, cwd, env, streams):
    """Run a script, with files for standard input, output and errors; return its exit code."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(server)
        task = json.dumps({"command": command, "cwd": cwd, "env": env}) + "\n"
        text = task.encode()
        n_sent = socket.send_fds(asked, [text], streams)
        asked.sendall(text[n_sent:])
        code = asked.recv(16)
    if not code:
        raise RuntimeError(f"the server of forks ended during {command}")
    return int(code)


def main(server):
    code = run(server, sys.argv[1:], os.getcwd(), dict(os.environ), [0, 1, 2])
    if code < 0:  # as the script ended
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
