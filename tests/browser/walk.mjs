// Walks through all pages of a daemon of its own in headless Chromium, as a person would.
//
//   node walk.mjs PATH_TO_POSTROOM [--shots DIRECTORY]
//
// It starts the daemon in a temporary directory, posts messages to it, signs in by a one-time link, and looks at each
// page at 1280 and 390 pixels, light and dark: no error and no violation of the content policy in the console, no
// request to another origin, no sideways scrolling, and nothing that axe-core reports. Then it decides drafts by
// keyboard. With `--shots` it keeps a picture of each page.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const [binary, flag, shots] = process.argv.slice(2);
if (!binary || (flag && flag !== '--shots')) {
  console.error('usage: node walk.mjs PATH_TO_POSTROOM [--shots DIRECTORY]');
  process.exit(2);
}
const postroom = path.resolve(binary);
const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((it) =>
  fs.existsSync(it),
);
const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const wrong = [];

/// Asks until `ask` answers something else than nothing.
async function eventually(what, ask) {
  const end = Date.now() + 30_000;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not seen within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// `fetch` sends what a browser sends, so that no webhook is taken from it without a secret.
const secret = 'the secret of the browser tests';
const headers = { 'x-webhook-secret': secret };
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'postroom-browser-'));
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
fs.mkdirSync(path.join(home, 'config'));
fs.writeFileSync(
  path.join(home, 'config/local.toml'),
  `[server]
bind = "127.0.0.1:${port}"
[[clients]]
id = "acme"
name = "Acme Solar"
[clients.channels.sms]
secret = "${secret}"
send = { api_key = "any", base_url = "http://127.0.0.1:9", allow_private = true }
[clients.channels.email]
secret = "${secret}"
[[clients]]
id = "nord"
name = "Nord & <Süd>"
[clients.channels.sms]
secret = "${secret}"
[clients.channels.instantly]
secret = "${secret}"
`,
  { mode: 0o600 },
);
const command = (...args) => execFileSync(postroom, args, { cwd: home, encoding: 'utf8' });
const log = fs.openSync(path.join(home, 'log'), 'w');
const daemon = spawn(postroom, ['serve'], { cwd: home, stdio: ['ignore', log, log] });
daemon.on('exit', (code) => {
  if (code) console.error(fs.readFileSync(path.join(home, 'log'), 'utf8').slice(-3_000));
});

/// Posts an SMS as GoHighLevel does.
async function post(client, n, text) {
  const body = {
    contact_id: `contact${n}`,
    first_name: ['Rita', 'Omar', 'Lena', 'Paul', 'Ida'][n % 5],
    last_name: ['Moreno', 'Haddad', 'Vogt', 'Berg', 'Silva'][n % 5],
    phone: `+1312555${String(1_000 + n)}`,
    country: 'US',
    location: { id: 'l1' },
    workflow: { id: 'w1', name: 'Customer replied' },
    message: { type: 2, body: text },
  };
  const answer = await fetch(`${base}/webhooks/sms/${client}`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}

/// The counts, as the API tells them.
async function overview() {
  const token = fs.readFileSync(path.join(home, 'data/admin.token'), 'utf8').trim();
  const answer = await fetch(`${base}/api/v1/overview`, { headers: { authorization: `Bearer ${token}` } });
  return answer.json();
}

async function fill() {
  await eventually('the daemon is ready', () => fetch(`${base}/readyz`).then((it) => it.ok, () => false));
  const texts = [
    'Hey, yes I am interested. What does it cost?',
    'Can we talk on Tuesday? Send me some times.',
    'Not now, try again in spring please',
    'Please remove me from your list',
    'Sounds good!',
    '<script>alert(1)</script><svg onload=alert(2)> \u202Eevil\u202C <b style="x">bold</b> ' + 'x'.repeat(400),
  ];
  let last;
  for (let n = 0; n < 24; n += 1) last = await post(n % 4 === 3 ? 'nord' : 'acme', n, texts[n % texts.length]);
  const unknown = { event_type: 'something_new', lead_email: 'a@example.com', campaign_id: 'c1' };
  await fetch(`${base}/webhooks/instantly/nord`, { method: 'POST', headers, body: JSON.stringify(unknown) });
  await fetch(`${base}/webhooks/sms/nobody`, { method: 'POST', body: '{}' });
  const settled = async () => {
    const { jobs } = await overview();
    return jobs.pending === 0 && jobs.running === 0;
  };
  await eventually('all jobs have ended', settled);
  return last;
}

async function look(page, scheme, width, where) {
  const answer = await page.goto(base + where, { waitUntil: 'load' });
  const at = `${where} at ${width}, ${scheme}`;
  if (answer.status() !== 200) wrong.push(`${at}: status ${answer.status()}`);
  await page.waitForFunction(() => document.querySelectorAll('h1').length === 1);
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (sideways > 0) wrong.push(`${at}: scrolls sideways by ${sideways} px`);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Page.setBypassCSP', { enabled: true });
  await devtools.send('Runtime.evaluate', { expression: axe });
  const found = await devtools.send('Runtime.evaluate', {
    expression: `axe.run(document, { resultTypes: ['violations'] }).then((it) => JSON.stringify(
      it.violations.map((it) => it.id + ': ' + it.nodes.slice(0, 2).map((node) => node.html.slice(0, 160)).join(' | '))))`,
    awaitPromise: true,
    returnByValue: true,
  });
  for (const violation of JSON.parse(found.result.value)) wrong.push(`${at}: ${violation}`);
  await devtools.send('Page.setBypassCSP', { enabled: false });
  if (shots) {
    const name = where.split('?')[0].replace(/\d{6,}/g, 'one').replace(/^\/|\/$/g, '').replaceAll('/', '-');
    await page.screenshot({ path: path.join(shots, `${name || 'overview'}-${width}-${scheme}.png`) });
  }
}

let browser;
try {
  const last = await fill();
  if (shots) fs.mkdirSync(shots, { recursive: true });
  browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'] });
  const pages = [
    '/', '/inbox', `/leads/${last.lead_id}`, '/jobs', '/jobs?status=succeeded', `/jobs/${last.job_ids[0]}`, '/pools',
    '/actors', '/received', '/received?tab=quarantine', '/deliveries', '/clients', '/clients/acme', '/config', '/system', '/audit',
  ];
  for (const scheme of ['light', 'dark']) {
    for (const width of [1280, 390]) {
      const isPhone = width < 500;
      const context = await browser.newContext({
        viewport: { width, height: isPhone ? 844 : 900 },
        colorScheme: scheme,
        hasTouch: isPhone,
        isMobile: isPhone,
      });
      const page = await context.newPage();
      page.on('console', (it) => it.type() === 'error' && wrong.push(`${page.url()} (${scheme}, ${width}): ${it.text()}`));
      page.on('pageerror', (it) => wrong.push(`${page.url()}: ${it.message}`));
      page.on('dialog', (it) => wrong.push(`${page.url()}: a dialog says ${it.message()}`));
      page.on('request', (it) => it.url().startsWith(base) || wrong.push(`a request to ${it.url()}`));
      // Sign in by a link that works once.
      const link = command('login-link').match(/https?:\/\/\S+/)[0];
      await page.goto(link);
      await page.waitForURL(`${base}/`);
      for (const where of pages) await look(page, scheme, width, where);
      if (!isPhone && scheme === 'light') await decide(page);
      await context.close();
    }
  }
} finally {
  await browser?.close();
  daemon.kill('SIGTERM');
  await new Promise((resolve) => (daemon.exitCode === null ? daemon.once('exit', resolve) : resolve()));
  fs.rmSync(home, { recursive: true, force: true });
}

/// Approves a draft by keyboard, and takes it back.
async function decide(page) {
  const drafts = () => JSON.parse(command('drafts', 'list', '--status', 'pending', '--json')).items.length;
  const before = drafts();
  if (before === 0) throw new Error('no draft waits');
  await page.goto(`${base}/inbox`);
  await page.keyboard.press('a');
  await eventually('a draft is approved', () => drafts() === before - 1);
  // The page that offers the undo comes after the answer.
  await page.waitForSelector('main [data-key="z"]');
  await page.keyboard.press('z');
  await eventually('the approval is taken back', () => drafts() === before);
}

if (wrong.length > 0) {
  console.error([...new Set(wrong)].join('\n'));
  console.error(`${new Set(wrong).size} things are wrong`);
  process.exit(1);
}
console.log('all pages are as they should be');
