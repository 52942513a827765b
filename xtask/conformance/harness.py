"""What all scripts here share: the sandbox they run against, and one line for each check.

A script is called with the path of a sandbox's descriptor and the path of the file that its results go to. Which
operations a check used is not written down anywhere: it is read from the sandbox's own counters.
"""

import contextlib
import json
import sys
import time
import traceback
import urllib.error
import urllib.request


class Skipped(Exception):
    """A check that cannot be run here; the text says why."""


class Control:
    """The sandbox's control API."""

    def __init__(self, url):
        self.url = url
        # Never through a proxy: everything here is on loopback.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        try:
            with self.opener.open(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text[:1] in ("{", "[") else text

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None):
        return self.call("POST", path, {} if body is None else body)

    def advance(self, seconds):
        self.post("/clock", {"advanceSeconds": seconds})

    @contextlib.contextmanager
    def fault(self, **rule):
        """One rule while the block runs."""
        self.post("/faults", rule)
        try:
            yield
        finally:
            self.call("DELETE", "/faults")


class Suite:
    """The checks of one client."""

    def __init__(self, client, services):
        self.client, self.services, self.checks = client, services, []
        self.descriptor_path, self.results_path = sys.argv[1], sys.argv[2]
        with open(self.descriptor_path, encoding="utf-8") as file:
            self.descriptor = json.load(file)
        self.control = Control(self.descriptor["control"])
        self.extra = {}

    def refresh(self):
        """The descriptor as of now."""
        self.descriptor = self.control.get("/descriptor")
        return self.descriptor

    def counters(self):
        """Calls by service and operation, and which of them ever succeeded."""
        calls, good = {}, set()
        for counter in self.control.get("/counters"):
            key = (counter["service"], counter["operation"])
            calls[key] = calls.get(key, 0) + counter["calls"]
            if counter["outcome"] == "ok":
                good.add(key)
        return calls, good

    def check(self, title):
        """Runs the decorated function at once."""

        def run(function):
            before, _ = self.counters()
            result, why = "passed", ""
            try:
                function()
            except Skipped as reason:
                result, why = "skipped", str(reason)
            except Exception as error:  # noqa: BLE001: whatever goes wrong is this check's result
                result, why = "failed", "".join(traceback.format_exception(error))
            after, _ = self.counters()
            used = sorted(k for k, n in after.items() if k[0] in self.services and n > before.get(k, 0))
            self.add(title, result, why, used)
            return function

        return run

    def add(self, title, result, why="", used=()):
        self.checks.append({"title": title, "result": result, "why": why, "operations": [list(u) for u in used]})
        mark = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}[result]
        brief = f" ({why})" if result == "skipped" else ""
        print(f"{mark}  {self.client}: {title}{brief}", flush=True)
        if result == "failed":
            print("      " + why.strip().replace("\n", "\n      "), flush=True)

    def finish(self, not_called=None, never_good=None, coverage=True):
        """Writes the results. With `coverage`, every operation that the sandbox serves was called and has succeeded, or
        stands in one of the two tables with the reason; a reason that is none any more is a failure too."""
        not_called, never_good = not_called or {}, never_good or {}
        if coverage:
            self.covered(not_called, never_good)
        results = {
            "client": self.client,
            "checks": self.checks,
            "notCalled": not_called,
            "neverGood": never_good,
            **self.extra,
        }
        with open(self.results_path, "w", encoding="utf-8") as file:
            json.dump(results, file)

    def covered(self, not_called, never_good):
        served = {(o["service"], o["operation"]) for o in self.control.get("/operations")}
        served = {key for key in served if key[0] in self.services}
        calls, good = self.counters()
        problems = []
        for key in sorted(served):
            name = " ".join(key)
            if name in not_called:
                if key in calls:
                    problems.append(f"{name} is called, and the script says why not")
            elif key not in calls:
                problems.append(f"{name} is served and no check calls it")
            elif (key in good) == (name in never_good):
                fate = "succeeds" if key in good else "never succeeds"
                problems.append(f"{name} {fate}, which is not what the script says")
        for name in {**not_called, **never_good}:
            if tuple(name.split(" ", 1)) not in served:
                problems.append(f"{name} is not served at all")
        why = "\n".join(problems)
        self.add("every operation that is served was called", "failed" if problems else "passed", why)


def until(what, look, seconds=120):
    """Looks again until the answer is true; the clouds need their time."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def equal(found, expected):
    assert found == expected, f"found {found!r}, expected {expected!r}"
