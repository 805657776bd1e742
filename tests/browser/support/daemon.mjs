// A daemon of a test's own, in a temporary directory, and what is asked of it without a browser.
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const postroom = process.env.POSTROOM;
if (!postroom) throw new Error('start the tests by `node run.mjs PATH_TO_POSTROOM`');

// `fetch` sends what a browser sends, so that no webhook is taken from it without a secret.
export const SECRET = 'the secret of the browser tests';
/// Those who sign in, by name: their tokens.
export const TOKENS = {
  dana: 'danas-token-of-24-characters',
  kim: 'kims-token-of-24-characters-',
  lou: 'lous-token-of-24-characters-',
};
/// People for a config: an operator and two reviewers.
export const PEOPLE = Object.entries(TOKENS)
  .map(([name, token]) => {
    const role = name === 'dana' ? 'operator' : 'reviewer';
    return `[[admin.users]]\nname = "${name}"\nrole = "${role}"\ntoken = "${token}"\n`;
  })
  .join('');
/// Keeps the jobs of text messages waiting.
export const PAUSED = '[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n';

/// Asks until the answer is something else than nothing, and returns it.
export async function eventually(what, ask, within = 60_000) {
  const end = Date.now() + within;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not seen within ${within / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/// A process that ends with this one.
export function tied(command, args, options) {
  const child = spawn(command, args, options);
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  ended.then(() => process.removeListener('exit', kill));
  const stop = async (signal = 'SIGTERM') => {
    child.kill(signal);
    await ended;
  };
  return { child, ended, stop };
}

export const scratch = (name) => fs.mkdtempSync(path.join(os.tmpdir(), `postroom-browser-${name}-`));

/// The clients of most tests. `send` is where the answers of `acme` go.
export function clients(send = 'http://127.0.0.1:9') {
  return `[[clients]]
id = "acme"
name = "Acme Solar"
[clients.channels.sms]
secret = "${SECRET}"
send = { api_key = "any", base_url = "${send}", allow_private = true }
[clients.channels.email]
secret = "${SECRET}"
[[clients]]
id = "nord"
name = "Nord & <Süd>"
[clients.channels.sms]
secret = "${SECRET}"
[clients.channels.instantly]
secret = "${SECRET}"
`;
}

export class Daemon {
  /// Starts a daemon. `config` stands behind the address in its file.
  static async start(config) {
    const it = new Daemon();
    it.home = scratch('home');
    it.port = await freePort();
    it.base = `http://127.0.0.1:${it.port}`;
    fs.mkdirSync(path.join(it.home, 'config'));
    it.configure(config);
    const log = fs.openSync(path.join(it.home, 'log'), 'w');
    it.process = tied(postroom, ['serve'], { cwd: it.home, stdio: ['ignore', log, log] });
    let has_ended = false;
    it.process.ended.then(() => (has_ended = true));
    await eventually('the daemon is ready', () => {
      if (has_ended) throw new Error(`the daemon has ended:\n${it.log()}`);
      return fetch(`${it.base}/readyz`).then((answer) => answer.ok, () => false);
    });
    return it;
  }

  configure(config) {
    const text = `[server]\nbind = "127.0.0.1:${this.port}"\n${config}`;
    fs.writeFileSync(path.join(this.home, 'config/local.toml'), text, { mode: 0o600 });
  }

  /// Changes the config while the daemon runs, and waits until it is applied.
  async reconfigure(config) {
    this.configure(config);
    await this.command('reload', '--wait', '20s');
  }

  log() {
    return fs.readFileSync(path.join(this.home, 'log'), 'utf8').slice(-4_000);
  }

  /// Runs a command of Postroom, and returns what it prints.
  async command(...args) {
    const done = await promisify(execFile)(postroom, args, { cwd: this.home, maxBuffer: 64 << 20 });
    return done.stdout;
  }

  /// Asks the API as the owner of the admin token.
  async api(where, method = 'GET', body) {
    this.token ??= fs.readFileSync(path.join(this.home, 'data/admin.token'), 'utf8').trim();
    const headers = { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${this.base}/api/v1${where}`, { method, headers, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  }

  /// The sample of a metric with these labels, as `/metrics` says.
  async metric(name) {
    this.token ??= fs.readFileSync(path.join(this.home, 'data/admin.token'), 'utf8').trim();
    const answer = await fetch(`${this.base}/metrics`, { headers: { authorization: `Bearer ${this.token}` } });
    const line = (await answer.text()).split('\n').find((it) => it.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.split(' ')[1]);
  }

  async webhook(channel, client, body) {
    const headers = { 'x-webhook-secret': SECRET };
    const where = `${this.base}/webhooks/${channel}/${client}`;
    const answer = await fetch(where, { method: 'POST', headers, body: JSON.stringify(body) });
    if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
    return answer.json();
  }

  /// Posts a text message of lead `n`, as GoHighLevel does.
  sms(client, n, text, fields = {}) {
    return this.webhook('sms', client, {
      contact_id: `contact${n}`,
      first_name: ['Rita', 'Omar', 'Lena', 'Paul', 'Ida'][n % 5],
      last_name: ['Moreno', 'Haddad', 'Vogt', 'Berg', 'Silva'][n % 5],
      phone: `+1312555${String(1_000 + n)}`,
      country: 'US',
      location: { id: 'l1' },
      workflow: { id: 'w1', name: 'Customer replied' },
      message: { type: 2, body: text },
      ...fields,
    });
  }

  /// Posts a message of each lead from `from` to `to`, a few at a time.
  async many(client, from, to, text = 'Can we talk on Tuesday? Send me some times.') {
    const told = [];
    let next = from;
    const post = async () => {
      while (next < to) {
        const n = next++;
        told[n - from] = await this.sms(client, n, text);
      }
    };
    await Promise.all(Array.from({ length: 16 }, post));
    return told;
  }

  /// Posts messages of these leads one after the other, and returns their drafts in this order.
  async drafts(client, numbers) {
    const leads = [];
    for (const n of numbers) leads.push((await this.sms(client, n, 'Could you call me tomorrow at 3?')).lead_id);
    return eventually('each message has a draft', async () => {
      const { items } = await this.api('/drafts?status=pending&limit=200');
      const found = leads.map((lead) => items.find((it) => it.lead_id === lead));
      return found.every(Boolean) && found;
    });
  }

  draft(id) {
    return this.api(`/drafts/${id}`);
  }

  async hasWorkedOff() {
    const { jobs } = await this.api('/overview');
    return jobs.pending === 0 && jobs.running === 0;
  }

  async stop() {
    await this.process.stop();
    fs.rmSync(this.home, { recursive: true, force: true });
  }
}

/// `postroom fake-provider`, which takes answers and tells them.
export async function fakeProvider() {
  const port = await freePort();
  const { child, stop } = tied(postroom, ['fake-provider', '--bind', `127.0.0.1:${port}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const told = new Promise((resolve) => child.stdout.once('data', resolve));
  await told;
  child.stdout.resume();
  const base = `http://127.0.0.1:${port}`;
  return { base, stop: () => stop('SIGKILL'), sent: async () => (await (await fetch(`${base}/sent`)).json()).sent };
}
