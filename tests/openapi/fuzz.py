"""Holds the HTTP API of a daemon against its OpenAPI document.

    python fuzz.py PATH_TO_POSTROOM [--seconds N] [--random]

It starts a daemon in a temporary directory, fills it, and checks that the document is one, that its examples are as
they should be, and that what the daemon answers about stored objects is what the document says. Then schemathesis asks
for all that the document offers, in ways that it allows and in ways that it forbids. With `--random` the requests are
others at each run.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import jsonschema
from openapi_spec_validator import validate

HERE = Path(__file__).resolve().parent
SECRET = "the secret of the fuzz tests"
CHANNELS = ["email", "sms", "linkedin", "smartlead", "instantly"]
# What schemathesis does not ask for, and why.
EXCLUDED = {
    "/api/v1/events": "a stream does not end",
}
# What it does not check, and why.
UNCHECKED = {
    "ignored_auth": "too many wrong tokens are a 429; `locked` looks at requests without one",
    "negative_data_rejection": "an empty value is read as none, and 0 as a time: the document does not say so yet",
    "positive_data_acceptance": "what two fields may not say together cannot be told in a schema",
}
# Objects by the path of their list.
LISTS = ["jobs", "leads", "messages", "drafts", "deliveries", "quarantine", "operations", "sessions", "examples", "audit"]


def free_port():
    """A port on which nobody listens now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def eventually(what, ask):
    """Asks until `ask` answers something else than nothing."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"not seen within 60 s: {what}")


class Daemon:
    """A daemon in a directory of its own, with a provider that takes its answers."""

    def __init__(self, postroom, home, database):
        self.postroom, self.home = postroom, home
        self.port, provider = free_port(), free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        send = f'{{ api_key = "any", base_url = "http://127.0.0.1:{provider}", allow_private = true }}'
        config = f'[server]\nbind = "127.0.0.1:{self.port}"\naddress_rate_limit = "100000/s"\n[sending]\nundo = "1s"\n'
        if database:
            config += f'[database]\nurl = "{database}"\n'
        for client in ["acme", "nord"]:
            config += f'[[clients]]\nid = "{client}"\nname = "{client.title()}"\n'
            for channel in CHANNELS:
                config += f'[clients.channels.{channel}]\nsecret = "{SECRET}"\n'
                if channel == "sms":
                    config += f"send = {send}\n"
        (home / "config").mkdir()
        local = home / "config/local.toml"
        local.touch(0o600)
        local.write_text(config)
        self.log = (home / "log").open("w+")
        # The second answer gets lost on its way back: nobody knows whether it was sent.
        rules = ["--fail", "sms/reset-after*1"]
        self.processes = [
            self.start("fake-provider", "--bind", f"127.0.0.1:{provider}", *rules),
            self.start("serve"),
        ]
        eventually("the daemon is ready", lambda: self.running() and self.ask("GET", "/readyz")[0] == 200)
        self.token = (home / "data/admin.token").read_text().strip()

    def start(self, *command):
        """Starts a command that goes on."""
        return subprocess.Popen([self.postroom, *command], cwd=self.home, stdout=self.log, stderr=self.log)

    def run(self, *command):
        """Runs a command to its end."""
        subprocess.run([self.postroom, *command], cwd=self.home, check=True, stdout=subprocess.DEVNULL)

    def running(self):
        """True, or an error with the end of the log."""
        if any(it.poll() is not None for it in self.processes):
            raise RuntimeError(f"a process has ended:\n{self.logged()[-3000:]}")
        return True

    def logged(self):
        """All that was logged."""
        return (self.home / "log").read_text(errors="replace")

    def ask(self, method, path, body=None, headers=None, token=""):
        """Status, headers and JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers or {}, method=method)
        if path.startswith("/api/") and token is not None:
            request.add_header("authorization", f"Bearer {token or self.token}")
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        except OSError:
            return 0, {}, None
        text = answer.read().decode()
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status, answer.headers, json.loads(text) if is_json else text

    def api(self, method, path, body=None):
        """The JSON that the API answers if it does what is asked."""
        status, _, answer = self.ask(method, "/api/v1" + path, body)
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    def ids(self, path):
        """The ids in a list."""
        return [it["id"] for it in self.api("GET", path)["items"]]

    def stop(self):
        """Ends all processes. The daemon must end well."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        codes = [it.wait(30) for it in self.processes]
        if codes[1] != 0:
            raise RuntimeError(f"the daemon has ended with {codes[1]}:\n{self.logged()[-3000:]}")


def fill(daemon):
    """Stores something of every kind."""
    daemon.api("PATCH", "/pools/LEAD_SCORING_POST_PROCESS", {"paused": True, "note": "a test"})
    for channel in CHANNELS:
        for client in ["acme", "nord"]:
            daemon.run("send", channel, "--client", client, "--count", "12")
    for n in range(12):
        headers = {"x-webhook-secret": SECRET}
        status, _, answer = daemon.ask("POST", "/webhooks/sms/acme", {"odd": n}, headers)
        if (status, answer["outcome"]) != (200, "quarantined"):
            raise RuntimeError(f"{status} {answer}")
    daemon.ask("POST", "/webhooks/sms/acme", {}, {})
    idle = lambda: not daemon.api("GET", "/jobs?status=pending,running&kind=SMS_INBOUND_POST_PROCESS&limit=1")["items"]
    eventually("all messages are judged", idle)
    sms = eventually("there are drafts", lambda: daemon.ids("/drafts?status=pending&channel=sms"))
    for draft in sms[:2]:
        daemon.api("POST", f"/drafts/{draft}/approve", {})
    daemon.api("PATCH", f"/drafts/{sms[2]}", {"body": "Something else"})
    daemon.api("POST", f"/drafts/{sms[3]}/reject", {"reason": "wrong_tone", "note": "too loud"})
    daemon.api("PATCH", f"/messages/{daemon.ids('/messages?direction=inbound')[0]}", {"sentiment": "Not Interested"})
    code = daemon.api("POST", "/login-codes")["code"]
    urllib.request.urlopen(daemon.base + "/login", urllib.parse.urlencode({"token": code}).encode(), 30).close()
    lead = daemon.ids("/leads")[0]
    daemon.api("POST", f"/leads/{lead}/opt-out", {"note": "by phone"})
    daemon.api("PATCH", "/pools/SELF_CHECK", {"size": 2, "note": "a test", "expires_in": "4h"})
    daemon.api("POST", "/jobs/cancel", {"kind": "LEAD_SCORING_POST_PROCESS", "status": "pending", "client": "nord"})
    daemon.api("DELETE", "/pools/LEAD_SCORING_POST_PROCESS/override")
    eventually("a send has ended", lambda: daemon.ids("/deliveries?status=sent,uncertain,failed"))


def check_document(document):
    """The document is one, and its examples are as it says."""
    validate(document)
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            check(document, {"$ref": f"#/components/schemas/{name}"}, example, f"the example of {name}")


def check(document, schema, value, what):
    """The value is as the schema says."""
    # References lead to the components of the whole document.
    schema = {**schema, "components": document["components"]}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
    for error in validator.iter_errors(value):
        deep = jsonschema.exceptions.best_match([error])
        raise AssertionError(f"{what}: {deep.json_path}: {deep.message}")


def walk(daemon, document, ids):
    """Asks for stored objects, and checks each answer. Returns how many were checked."""
    checked = 0
    for path, methods in document["paths"].items():
        if "get" not in methods or path in EXCLUDED:
            continue
        words = path.removeprefix("/api/v1").strip("/").split("/")
        found = ids.get(words[0], [])[:20] if "{" in path else [""]
        for one in found:
            asked = path.replace("{id}", one).replace("{client}", one).replace("{channel}", "sms")
            status, headers, answer = daemon.ask("GET", asked)
            told = methods["get"]["responses"][str(status)]
            if "$ref" in told:
                raise AssertionError(f"GET {asked}: {status} {answer}")
            media = headers.get_content_type()
            check(document, told["content"][media]["schema"], answer, f"GET {asked}")
            checked += 1
    return checked


def locked(daemon, document):
    """Nobody gets in without a token, unless the document says so."""
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            if told.get("security", document["security"]) != document["security"]:
                continue
            asked = path.replace("{id}", "1").replace("{kind}", "SELF_CHECK")
            status, _, _ = daemon.ask(method.upper(), asked, token=None)
            if status != 401:
                raise AssertionError(f"{method} {asked} without a token: {status}")


def fuzz(daemon, ids, seconds, is_random):
    """Has schemathesis ask. Returns its exit code."""
    command = [shutil.which("st", path=Path(sys.executable).parent), "--config-file", HERE / "schemathesis.toml"]
    command += ["run", f"{daemon.base}/api/v1/openapi.json"]
    command += ["--header", f"Authorization: Bearer {daemon.token}", "--no-color", "--warnings", "off"]
    command += ["--max-time", str(seconds), "--request-timeout", "30", "--continue-on-failure"]
    command += ["--suppress-health-check", "all"]
    command += ["--generation-database", "none"] if is_random else ["--generation-deterministic"]
    command += ["--exclude-checks", ",".join(UNCHECKED)]
    for path in EXCLUDED:
        command += ["--exclude-path", path]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "POSTROOM_IDS": json.dumps(ids)}
    return subprocess.run(command, cwd=daemon.home, env=environment, check=False).returncode


def main():
    """Returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("postroom", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--database", help="the URL of an empty PostgreSQL database, instead of SQLite")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="postroom-openapi-") as home:
        daemon = Daemon(args.postroom.resolve(), Path(home), args.database)
        try:
            fill(daemon)
            document = daemon.api("GET", "/openapi.json")
            check_document(document)
            locked(daemon, document)
            ids = {name: daemon.ids(f"/{name}?limit=500") for name in LISTS}
            ids |= {"clients": ["acme", "nord"], "webhooks": ["acme", "nord"]}
            print(f"{walk(daemon, document, ids)} answers are as the document says")
            code = fuzz(daemon, ids, args.seconds, args.random)
            daemon.running()
            # On a busy machine the guardian finds that the supervisor ticks late.
            wrong = [line for line in daemon.logged().splitlines() if " ERROR " in line or "panicked" in line]
            wrong = [line for line in wrong if "postroom::supervisor::guardian" not in line]
            if wrong:
                print("the daemon has logged errors:", *wrong[:20], sep="\n")
                code = code or 1
            return code
        finally:
            daemon.stop()


if __name__ == "__main__":
    sys.exit(main())
