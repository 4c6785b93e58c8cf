"""Debian's Chromium, over the pipe of its DevTools protocol: no driver and no network is needed."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest


class Page:
    """A page in a browser of its own, which takes seconds to start: `open` shows another one."""

    def __init__(
        self, path: Path | None, profile: Path, width: int = 1400, height: int = 900
    ) -> None:
        program = shutil.which("chromium")
        if program is None:
            pytest.skip("no chromium here, and tests/packages.sh could not install it")
        self._events: list[dict] = []
        self._id = 0
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # Chromium reads commands from 3 and writes to 4, each message ending in a zero byte.
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={profile}"]
        command = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "-", str(to_read), str(to_write), program, *options],
            pass_fds=(to_read, to_write),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._rest = b""
        self._session: str | None = None
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        attached = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._send(f"{domain}.enable")
        self.resize(width, height)
        if path:
            self.open(path)

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        self._send("Browser.close")
        self._process.wait(20)
        os.close(self._to)
        os.close(self._from)

    def open(self, path: Path) -> None:
        """Show a page, and forget what others have asked for and complained of."""
        self._events.clear()
        self._send("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._read()

    @property
    def requests(self) -> list[str]:
        """The addresses that the page has asked for."""
        return [params["request"]["url"] for params in self._all("Network.requestWillBeSent")]

    @property
    def complaints(self) -> list[str]:
        """What is on the console, such as what a policy forbids, and dialogs that were opened."""
        self.run("0")  # events come before the answer
        told = (
            "Runtime.exceptionThrown",
            "Runtime.consoleAPICalled",
            "Page.javascriptDialogOpening",
        )
        entries = [params["entry"]["text"] for params in self._all("Log.entryAdded")]
        return entries + [str(params) for name in told for params in self._all(name)]

    def _all(self, method: str) -> list[dict]:
        """Return what all events of a kind have said."""
        return [event["params"] for event in self._events if event["method"] == method]

    def run(self, script: str) -> object:
        """Return the value of an expression in the page."""
        given = {"expression": script, "returnByValue": True, "awaitPromise": True}
        found = self._send("Runtime.evaluate", **given)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 20) -> object:
        """Return the value of an expression once it is true."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"{script} stays {found}; {self.complaints}"
            time.sleep(0.05)
        return found

    def click(self, x: float, y: float) -> None:
        """Press and release the left button of a mouse."""
        for kind in ("mousePressed", "mouseReleased"):
            given = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self._send("Input.dispatchMouseEvent", **given)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key, such as Tab with its code 9."""
        for kind in ("keyDown", "keyUp"):
            given = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            self._send("Input.dispatchKeyEvent", **given, **({"text": text} if text else {}))

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._send("Emulation.setDeviceMetricsOverride", **size)

    def picture(self, path: Path) -> None:
        """Write a picture of what is in the window, as PNG."""
        path.write_bytes(base64.b64decode(self._send("Page.captureScreenshot")["data"]))

    def _send(self, method: str, **params: object) -> dict:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._id:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self) -> dict:
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 16)
            assert part, "Chromium has ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        found = json.loads(message)
        if "method" in found:
            self._events.append(found)
        return found
