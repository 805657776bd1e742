"""Measures what a webhook costs with 1, 2 and 4 daemons over one PostgreSQL. docs/SCALING.md keeps the figures.

    python3 ops/scaling.py PATH_TO_POSTROOM [--seconds N] [--rate N] [--runs N] [--connections N] [--leads N] …

It makes a PostgreSQL server in a temporary directory, and a database for each run. `wrk` posts unique SMS over the same
number of connections in each layout: once as fast as they are answered, and once at a fixed rate. A run ends when all
jobs have ended. At last it measures how fast a daemon prunes. It needs wrk, and PostgreSQL with pg_stat_statements.
"""

import argparse
import glob
import json
import os
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

LAYOUTS = {
    "1 × all": ["all"],
    "2 × all": ["all"] * 2,
    "4 × all": ["all"] * 4,
    "1 ingest, 1 worker": ["ingest", "worker"],
    "2 ingest, 2 worker": ["ingest", "worker"] * 2,
}
PACED_CONNECTIONS = 16
CLIENTS = 8
WARM_UP, IDLE = 2, 6  # seconds
LOAD = Path(__file__).resolve().with_suffix(".lua")
TICKS = os.sysconf("SC_CLK_TCK")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "512MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_preload_libraries": "pg_stat_statements",
}
JOBS = """select coalesce(sum(count) filter (where state = 'enqueued'), 0),
  coalesce(sum(count) filter (where state <> 'enqueued'), 0),
  coalesce(sum(count) filter (where state not in ('enqueued', 'succeeded')), 0)
  from job_counts where kind <> 'SELF_CHECK'"""
# Commits of transactions, other statements, and flushes. A session that rests tells its flushes up to 10 s later, so
# some of the warm-up's are counted, too. PostgreSQL 18 has them elsewhere.
WORK = """select coalesce(sum(calls) filter (where query ~* '^commit'), 0), coalesce(sum(calls) filter
  (where query !~* '^(begin|commit|rollback|notify|listen|set)'), 0),
  (select coalesce(to_jsonb(w) ->> 'wal_sync', '0') from pg_stat_wal w) from pg_stat_statements s
  where userid = 'postgres'::regrole and dbid = (select oid from pg_database where datname = '{0}')"""
# How many sessions daemons have, and what those wait for that are not idle; where for a lock, by which statement.
SESSIONS = """with of as (select * from pg_stat_activity where usename = 'postgres' and datname = '{0}')
  select jsonb_object_agg(state, n) from (select 'all' as state, count(*) as n from of union all
  select case when state <> 'active' then state when wait_event_type = 'Lock' then 'lock of ' || left(query, 36)
  else coalesce(wait_event, 'running') end, count(*) from of where state <> 'idle' group by 1) it"""
TABLES = """select jsonb_object_agg(relname, jsonb_build_array(pg_relation_size(oid), pg_indexes_size(oid),
  pg_total_relation_size(oid))) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"""
WRITTEN = "select pg_current_wal_lsn() - '0/0'"
COUNT = "select count(*), avg(pg_column_size(payload)), (select count(*) from message_keys) from messages"
UNPRUNED = "select (select count(*) from jobs), (select count(*) from messages where payload is not null)"
# Twelve copies of each row, by ids that are some minutes older: an id begins with its milliseconds.
COPY = """insert into {0} select (jsonb_populate_record(it, jsonb_build_object({1}))).* from {0} it,
  (select (n * 100000::bigint) << 22 as age from generate_series(2, 13) as n) older"""
COPIES = {
    "jobs": "'id', it.id - age, 'subject_id', it.subject_id - age",
    "job_attempts": "'job_id', it.job_id - age, 'finished_at', now() - interval '1 hour'",
    "messages": "'id', it.id - age",
}
# All processes that were started.
STARTED = []


def free_port():
    """A port on which nobody listens now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start(command, **options):
    """Starts a process that is ended with this one."""
    STARTED.append(subprocess.Popen(command, **options))
    return STARTED[-1]


def eventually(what, ask, within=180):
    """Asks until `ask` answers something else than nothing."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"not seen within {within} s: {what}")


def cpu(pid, with_ended=False):
    """Seconds of processor time of a process; `with_ended`: and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(it) for it in fields[11 : 15 if with_ended else 13]) / TICKS


class Server:
    """A PostgreSQL server in a directory of its own. As root it runs as the user `postgres`."""

    def __init__(self, home):
        home.mkdir()
        self.port, self.asking = free_port(), {}
        self.bin = Path(shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"))).resolve().parent
        as_user = {"cwd": home}
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(home, owner.pw_uid, owner.pw_gid)
            as_user |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        data, log = home / "data", (home / "log").open("w")
        make = [self.bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run(make, check=True, stdout=log, stderr=log, **as_user)
        settings = [f"--{key}={value}" for key, value in {**SETTINGS, "port": self.port}.items()]
        self.process = start([self.bin / "postgres", "-D", data, *settings], stdout=log, stderr=log, **as_user)
        eventually("PostgreSQL is ready", lambda: "ready to accept connections" in (home / "log").read_text())
        # Our own statements have another user than those of daemons, and are not counted.
        self.ask("create extension pg_stat_statements; create role meter superuser login", user="postgres")

    def ask(self, sql, database="postgres", user="meter"):
        """The columns of the only row, over a session that stays."""
        if (database, user) not in self.asking:
            command = [self.bin / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", user, database]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
            self.asking[database, user] = start(command, **pipes)
        psql = self.asking[database, user]
        psql.stdin.write(sql.replace("\n", " ") + ";\n\\echo END\n")
        lines = list(iter(psql.stdout.readline, "END\n"))
        text = "".join(lines).strip()
        return json.loads(text) if text.startswith("{") else [float(it) for it in text.split("|") if it]

    def cpu(self):
        """Of all processes of the server, also of those that have ended."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return cpu(self.process.pid, with_ended=True) + sum(cpu(it) for it in children)

    def commit_ms(self):
        """How long a lone commit takes, in the middle."""
        self.ask("create table one (number int)")
        took = []
        for _ in range(100):
            started = time.monotonic()
            self.ask("insert into one values (1)")
            took.append((time.monotonic() - started) * 1000)
        return statistics.median(took)


class Daemon:
    """A daemon in a directory of its own."""

    def __init__(self, postroom, home, role, url, more=""):
        home.mkdir()
        self.port, self.takes, self.log = free_port(), role != "worker", home / "log"
        config = f'[server]\nbind = "127.0.0.1:{self.port}"\n[database]\nurl = "{url}"\n{more}'
        for client in range(CLIENTS):
            config += f'[[clients]]\nid = "c{client}"\ncountry = "US"\n[clients.channels.sms]\n'
        (home / "postroom.toml").write_text(config)
        (home / "postroom.toml").chmod(0o600)
        command = [postroom, "--config", "postroom.toml", "serve", "--role", role]
        self.process = start(command, cwd=home, stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        eventually("the daemon is ready", self.is_ready)

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"a daemon has ended:\n{self.log.read_text()[-3000:]}")
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status == 200
        except OSError:
            return False

    def peak_mib(self):
        """The most memory that it has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def start_load(daemons, seconds, rate, args, first=1):
    """Starts to post to all daemons that take webhooks; `rate` 0 is as fast as they answer. Returns the loaders, with
    numbers from `first` on."""
    takers = [it for it in daemons if it.takes]
    connections = PACED_CONNECTIONS if rate else args.connections
    common = {
        # About two messages of each.
        "LEADS": rate * seconds // 2 if rate else args.leads,
        "PAUSE_MS": 1000 * connections // rate if rate else 0,
        "CLIENTS": CLIENTS,
    }
    loaders = []
    for number, daemon in enumerate(takers, first):
        env = {**os.environ, "LOADER": str(number), **{key: str(value) for key, value in common.items()}}
        command = ["wrk", "-t1", f"-c{connections // len(takers)}", f"-d{seconds}s", "--timeout", "15s", "-s", LOAD]
        url = f"http://127.0.0.1:{daemon.port}/"
        loaders.append(start([*command, url], env=env, stdout=subprocess.PIPE, text=True))
    return loaders


def end_load(loaders):
    """Webhooks accepted a second, p50 and p99 in ms (the worst loader's), and seconds of processor time."""
    rate = p50 = p99 = used = 0
    for it in loaders:
        said = it.stdout.read()
        _, status, usage = os.wait4(it.pid, 0)
        it.returncode = os.waitstatus_to_exitcode(status)
        count, microseconds, *latency, wrong = map(float, said.partition("RESULT ")[2].split())
        if wrong or it.returncode:
            raise RuntimeError(f"not all webhooks were accepted:\n{said}")
        rate, used = rate + count / microseconds * 1e6, used + usage.ru_utime + usage.ru_stime
        p50, p99 = max(p50, latency[0] / 1000), max(p99, latency[1] / 1000)
    return rate, p50, p99, used


def measure(postroom, server, home, database, roles, rate, args):
    """One run."""
    server.ask(f"create database {database}")
    ask = lambda sql: server.ask(sql, database)
    url = f"postgres://postgres@127.0.0.1:{server.port}/{database}"
    daemons = [Daemon(postroom, home / f"{database}-{n}", role, url) for n, role in enumerate(roles)]
    used = lambda: [sum(cpu(it.process.pid) for it in daemons), server.cpu(), server.ask(WRITTEN)[0]]
    since = lambda before: [now - then for now, then in zip(used(), before)]
    is_over = lambda jobs: jobs if jobs[0] == jobs[1] else None
    all_ended = lambda: eventually("all jobs have ended", lambda: is_over(ask(JOBS)))
    # Each daemon compiles patterns and prepares statements for its first messages.
    end_load(start_load(daemons, WARM_UP, 100, args, first=101))
    warm_jobs, warm_count = all_ended()[1], ask(COUNT)[0]
    time.sleep(WARM_UP)
    result, before = {}, used()
    if rate:
        time.sleep(IDLE)
        names = ["idle_daemons_ms", "idle_postgres_ms", "idle_wal_bytes"]
        result = {name: it / IDLE * unit for name, it, unit in zip(names, since(before), [1000, 1000, 1])}
    server.ask("checkpoint")
    work, before, started, states = server.ask(WORK.format(database)), used(), time.monotonic(), []
    loaders = start_load(daemons, args.seconds, rate, args)
    while time.monotonic() < started + args.seconds:
        time.sleep(0.2)
        states.append(server.ask(SESSIONS.format(database)))
    accepted, p50, p99, loader = end_load(loaders)
    _, jobs, failed = all_ended()
    took, (daemons_used, postgres_used, wal) = time.monotonic() - started, since(before)
    memory = [it.peak_mib() for it in daemons]
    # A session tells all that it has done when it ends.
    for it in daemons:
        it.process.terminate()
    if any(it.process.wait(60) for it in daemons):
        raise RuntimeError("a daemon has not ended in order")
    all_count, body_bytes, keys = ask(COUNT)
    jobs, count = jobs - warm_jobs, all_count - warm_count
    commits, statements, flushes = [(now - then) / count for now, then in zip(server.ask(WORK.format(database)), work)]
    sizes = {name: [size / all_count for size in it] for name, it in ask(TABLES).items()}
    waits = {name: sum(it.get(name, 0) for it in states) / len(states) for name in set().union(*states)}
    return result | {
        "webhooks": count, "accepted": accepted, "jobs": jobs / took, "jobs_each": jobs / count, "failed": failed,
        "p50_ms": p50, "p99_ms": p99, "daemons_ms": daemons_used / count * 1000, "loader_ms": loader / count * 1000,
        "postgres_ms": postgres_used / count * 1000, "wal_kb": wal / count / 1000, "commits": commits,
        "statements": statements, "flushes": flushes, "cores": (daemons_used + postgres_used + loader) / took,
        "sessions": max(it["all"] for it in states), "peak_mib": max(memory), "all_mib": sum(memory), "sizes": sizes,
        "waits": waits, "body_bytes": body_bytes, "keys": keys / all_count,
    }  # fmt: skip


def pruning(postroom, server, home, database):
    """How many jobs and bodies a daemon prunes a second: of copies of those that a run has left, with older ids."""
    for table, changed in COPIES.items():
        server.ask(COPY.format(table, changed), database)
    server.ask("analyze", database)
    more = '[retention]\nsucceeded = "1m"\nfailed = "1m"\npayloads = "1m"\n'
    url = f"postgres://postgres@127.0.0.1:{server.port}/{database}"
    ask, all_rows = (lambda: server.ask(UNPRUNED, database)), server.ask(UNPRUNED, database)
    daemon = Daemon(postroom, home / "pruning", "worker", url, more)
    eventually("pruning has begun", lambda: ask() < all_rows)
    before, started, used = ask(), time.monotonic(), server.cpu()
    time.sleep(4)
    left, took, used = ask(), time.monotonic() - started, server.cpu() - used
    daemon.process.terminate()
    daemon.process.wait(60)
    rates = [(then - now) / took for then, now in zip(before, left)]
    return {"jobs": rates[0], "bodies": rates[1], "left": left, "postgres_ms": used / took * 1000}


def print_table(results, columns):
    print(f"\n| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for layout, runs in results.items():
        medians = [statistics.median(it[key] for it in runs) for key in columns]
        print(f"| {layout} | {' | '.join(f'{it:,.0f}' if it >= 100 else f'{it:.3g}' for it in medians)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("postroom", type=Path)
    for name, default in [("seconds", 6), ("rate", 50), ("runs", 3), ("connections", 64), ("leads", 2100)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", default="", help="only layouts with this in their name")
    parser.add_argument("--json", type=Path, help="where all runs are kept")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    postroom, home = args.postroom.resolve(), Path(tempfile.mkdtemp(prefix="postroom-scaling-"))
    home.chmod(0o755)  # for the user of the server
    layouts = {name: roles for name, roles in LAYOUTS.items() if args.only in name}
    full, paced = ({name: [] for name in layouts} for _ in range(2))
    try:
        server = Server(home / "postgres")
        print(f"a lone commit takes {server.commit_ms():.2f} ms; {os.cpu_count()} cores")
        # Tells how fast the machine is, beside docs/PERFORMANCE.md.
        bench = ["bench", "e2e", "--jobs", "8000", "--connections", "64", "--database"]
        url = f"postgres://postgres@127.0.0.1:{server.port}/postgres"
        print(subprocess.run([postroom, *bench, url], check=True, capture_output=True, text=True, cwd=home).stdout)
        for run in range(args.runs):
            for number, (name, roles) in enumerate(layouts.items()):
                for results, rate, word in [(full, 0, "full"), (paced, args.rate, "paced")]:
                    if not rate and results is paced:
                        continue
                    database = f"{word}_{run}_{number}"
                    result = measure(postroom, server, home, database, roles, rate, args)
                    results[name].append(result)
                    print(json.dumps({"load": word, "layout": name, **result, "sizes": None}), flush=True)
                    if database != "full_0_0":
                        server.ask(f"drop database {database} with (force)")
        pruned = pruning(postroom, server, home, "full_0_0")
    finally:
        for it in reversed(STARTED):
            if it.poll() is None:
                it.send_signal(signal.SIGINT)
                it.wait(60)
        shutil.rmtree(home, ignore_errors=True)
    costs = ["daemons_ms", "postgres_ms", "loader_ms", "wal_kb", "statements", "commits", "flushes"]
    seen = ["cores", "sessions", "peak_mib", "all_mib", "failed"]
    print_table(full, ["webhooks", "accepted", "jobs", "p50_ms", "p99_ms", *costs, *seen])
    idle = ["idle_daemons_ms", "idle_postgres_ms", "idle_wal_bytes"]
    if args.rate:
        print_table(paced, ["webhooks", "p50_ms", "p99_ms", *costs, *seen, *idle])
    for name, runs in full.items():
        events = set().union(*(it["waits"] for it in runs))
        waits = {event: statistics.median(it["waits"].get(event, 0) for it in runs) for event in events}
        most = sorted(waits, key=waits.get, reverse=True)[:9]
        print(f"\n{name}, sessions: {', '.join(f'{event} {waits[event]:.2f}' for event in most)}")
    print("\n| table | rows, bytes a webhook | indexes | all |\n|---|---|---|---|")
    sizes = next(iter(full.values()))[-1]["sizes"]
    for name, it in sorted(sizes.items(), key=lambda item: -item[1][2]):
        if it[2] > 10:
            print(f"| {name} | {' | '.join(f'{size:.0f}' for size in it)} |")
    one = next(iter(full.values()))[-1]
    print(f"\nBytes of a body: {one['body_bytes']:.0f}; keys of a message: {one['keys']:.2f}")
    print(f"Pruned a second: {pruned}")
    if args.json:
        args.json.write_text(json.dumps({"full": full, "paced": paced, "pruned": pruned}, indent=1))


if __name__ == "__main__":
    main()
