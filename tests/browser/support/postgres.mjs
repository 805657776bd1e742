// A PostgreSQL server of a test's own, made from the installed binaries, which can be stopped and started again.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { eventually, freePort, scratch, tied } from './daemon.mjs';

/// The folder with `initdb` and `postgres`: one on the PATH, or the newest where Debian puts them.
function binaries() {
  const onPath = (process.env.PATH ?? '').split(':').map((it) => path.join(it, 'initdb')).filter((it) => fs.existsSync(it));
  const packaged = fs.existsSync('/usr/lib/postgresql') ? fs.readdirSync('/usr/lib/postgresql') : [];
  packaged.sort((a, b) => Number(b) - Number(a));
  const all = [
    ...onPath.map((it) => path.dirname(fs.realpathSync(it))),
    ...packaged.map((it) => `/usr/lib/postgresql/${it}/bin`),
  ];
  return all.find((it) => fs.existsSync(path.join(it, 'initdb')) && fs.existsSync(path.join(it, 'postgres')));
}

/// As root it runs as the user `postgres`, since it refuses to run as root.
function owner() {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

export class Postgres {
  /// Nothing if none is installed.
  static async start() {
    const folder = binaries();
    if (!folder) return null;
    const it = new Postgres();
    Object.assign(it, { folder, owner: owner(), home: scratch('postgres'), port: await freePort() });
    if (it.owner.uid !== undefined) fs.chownSync(it.home, it.owner.uid, it.owner.gid);
    const data = path.join(it.home, 'data');
    const args = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '-N'];
    execFileSync(path.join(folder, 'initdb'), args, { ...it.owner, cwd: it.home, stdio: 'pipe' });
    await it.resume();
    return it;
  }

  get url() {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  async resume() {
    const set = { listen_addresses: '127.0.0.1', port: this.port, fsync: 'off', full_page_writes: 'off', unix_socket_directories: '' };
    const args = ['-D', path.join(this.home, 'data'), ...Object.entries(set).flatMap(([key, value]) => ['-c', `${key}=${value}`])];
    const log = path.join(this.home, 'log');
    const out = fs.openSync(log, 'a');
    const before = fs.statSync(log).size;
    this.process = tied(path.join(this.folder, 'postgres'), args, { ...this.owner, cwd: this.home, stdio: ['ignore', out, out] });
    const said = () => fs.readFileSync(log, 'utf8').slice(before);
    await eventually('PostgreSQL is ready', () => /ready to accept connections/.test(said()));
  }

  /// Cuts all connections and ends.
  pause() {
    return this.process.stop('SIGINT');
  }

  async stop() {
    await this.process.stop('SIGQUIT');
    fs.rmSync(this.home, { recursive: true, force: true });
  }
}
