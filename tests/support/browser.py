"""A headless Chromium for the tests, driven over the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from tests.support.polling import DEADLINE_SECONDS

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


class BrowserError(Exception):
    """The browser did not start, did not answer in time, or answered with an error."""


def find_browser() -> str | None:
    """Return the path of an installed Chromium or Chrome, or None."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


class _Session:
    """One DevTools connection: commands are answered in turn, events are passed over."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last_id = 0

    def call(
        self, method: str, params: Mapping[str, object] | None = None, *, seconds: float = DEADLINE_SECONDS
    ) -> dict[str, Any]:
        """Run one command and return its result; raises BrowserError on an error or after `seconds`."""
        self._last_id += 1
        self._socket.send(json.dumps({"id": self._last_id, "method": method, "params": params or {}}))
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = json.loads(self._socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            except TimeoutError:
                raise BrowserError(f"{method}: no answer within {seconds} s") from None
            if answer.get("id") != self._last_id:
                continue
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error']}")
            result: dict[str, Any] = answer["result"]
            return result


class Page:
    """One open tab of a Browser."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def evaluate(self, js: str) -> Any:
        """Return an expression's JSON-like value, awaiting promises; raises BrowserError if it throws."""
        answer = self._session.call(
            "Runtime.evaluate",
            {"expression": js, "returnByValue": True, "awaitPromise": True, "userGesture": True},
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait_for(self, js: str) -> Any:
        """Return the first truthy value of an expression; raises BrowserError after a minute without one."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            value = self.evaluate(js)
            if value:
                return value
            if time.monotonic() >= deadline:
                raise BrowserError(f"still {value!r} after {DEADLINE_SECONDS} s: {js}")
            time.sleep(0.05)

    def bring_to_front(self) -> None:
        """Make it the tab that is seen: others get the mouse and keys late."""
        self._session.call("Page.bringToFront")

    def type(self, text: str) -> None:
        """Put text into the focused element, as an input method would."""
        self._session.call("Input.insertText", {"text": text})

    def press_enter(self) -> None:
        """Press and release Enter."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        self._session.call("Input.dispatchKeyEvent", {"type": "keyDown", **key})
        self._session.call("Input.dispatchKeyEvent", {"type": "keyUp", **key})

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Give the page a viewport of this many CSS pixels."""
        self._session.call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
        )

    def set_offline(self, offline: bool) -> None:
        """Take the page's network away, or give it back; the page gets the event `offline` or `online`."""
        self._session.call("Network.enable")
        self._session.call(
            "Network.emulateNetworkConditions",
            {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
        )

    def press(self, key: str, code: int) -> None:
        """Press and release a key that writes nothing.

        Args:
            key: Its name, such as ArrowRight.
            code: Its code on Windows, which browsers go by.
        """
        fields = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        for kind in ("keyDown", "keyUp"):
            self._session.call("Input.dispatchKeyEvent", {"type": kind, **fields})

    def drag(self, selector: str, right: int, down: int, *, grip: int = 8) -> None:
        """Take an element with the mouse near its upper left corner and move it, in ten steps. `drop` lets it go.

        Args:
            selector: The element.
            right: How far to the right, in CSS pixels.
            down: How far down.
            grip: How far from the corner it is taken.
        """
        corner = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.evaluate(f"(r => [r.x + {grip}, r.y + {grip}])({corner})")
        self._mouse("mousePressed", x, y)
        for step in range(1, 11):
            self._held = x + right * step / 10, y + down * step / 10
            self._mouse("mouseMoved", *self._held)

    def drop(self) -> None:
        """Let go of what `drag` has moved."""
        self._mouse("mouseReleased", *self._held)

    def _mouse(self, kind: str, x: float, y: float) -> None:
        fields = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        self._session.call("Input.dispatchMouseEvent", fields)

    def controls(self) -> list[tuple[str, str]]:
        """Return role and accessible name of every field and button, as screen readers get them."""
        nodes = self._session.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node["name"]["value"])
            for node in nodes
            if node.get("role", {}).get("value") in ("textbox", "button", "log") and not node["ignored"]
        ]

    def press_tab(self) -> str:
        """Press Tab and return the id of the element that has the focus then."""
        key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        self._session.call("Input.dispatchKeyEvent", {"type": "keyDown", **key})
        self._session.call("Input.dispatchKeyEvent", {"type": "keyUp", **key})
        focused: str = self.evaluate("document.activeElement.id")
        return focused

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse, which moves the focus as a visitor's click does."""
        x, y = self.evaluate(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._session.call(
                "Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            )

    def color_scheme(self, scheme: str) -> None:
        """Make prefers-color-scheme match `scheme`, "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._session.call("Emulation.setEmulatedMedia", {"features": features})

    def screenshot(self, path: Path) -> None:
        """Write what the viewport shows to `path` as a PNG."""
        answer = self._session.call("Page.captureScreenshot", {"format": "png"})
        path.write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """A headless browser with a profile of its own, gone with both when the context ends.

    Raises:
        BrowserError: No browser is installed, or it did not start in time.
    """

    def __init__(self) -> None:
        program = find_browser()
        if program is None:
            raise BrowserError(f"none of {', '.join(_NAMES)} is installed")
        self._program = program
        self._sockets = ExitStack()

    def __enter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(prefix="wsrelay-browser-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [self._program, *_FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            port, path = self._wait_for_port(DEADLINE_SECONDS)
            self._address = f"ws://127.0.0.1:{port}"
            self._control = self._connect(path)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def open(self, url: str) -> Page:
        """Open a URL in a new tab and return the tab once its document is complete."""
        target = self._control.call("Target.createTarget", {"url": url})["targetId"]
        page = Page(self._connect(f"/devtools/page/{target}"))
        page.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")
        return page

    def _connect(self, path: str) -> _Session:
        socket = connect(
            self._address + path, max_size=None, proxy=None, open_timeout=DEADLINE_SECONDS, close_timeout=1
        )
        return _Session(self._sockets.enter_context(socket))

    def _wait_for_port(self, seconds: float) -> tuple[int, str]:
        """Return port and control path as the browser writes them into its profile."""
        file = Path(self._profile.name, "DevToolsActivePort")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BrowserError(f"{self._program} ended with status {self._process.returncode}")
            lines = file.read_text().split("\n") if file.exists() else []
            if len(lines) >= 2 and lines[1]:
                return int(lines[0]), lines[1]
            time.sleep(0.05)
        raise BrowserError(f"{self._program} did not start within {seconds} s")

    def _end(self) -> None:
        """End the process, asking first, and remove the profile."""
        self._sockets.close()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        # The group is the browser's own; helpers that outlive it would go on writing into the profile.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(5)
        deadline = time.monotonic() + 2
        while Path(self._profile.name).exists() and time.monotonic() < deadline:
            self._profile.cleanup()
