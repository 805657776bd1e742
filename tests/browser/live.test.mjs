// What changes while somebody looks, and what does not move.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Browser, rows, settled, signIn } from './support/browser.mjs';
import { Daemon, PAUSED, PEOPLE, clients, eventually } from './support/daemon.mjs';

let daemon, browser;

before(async () => {
  [daemon, browser] = await Promise.all([Daemon.start(PEOPLE + PAUSED + clients()), Browser.start()]);
});

afterEach(() => browser?.leave());

after(async () => {
  await browser?.stop();
  await daemon?.stop();
});

const streams = () => daemon.metric('postroom_event_streams');
const isLive = (page) => page.waitForSelector('#live.good');

/// Has the browser say that a page is seen, or not. Chromium without a window shows all its pages at once.
const see = (page, isSeen) =>
  page.evaluate((isSeen) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => !isSeen });
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => (isSeen ? 'visible' : 'hidden') });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  }, isSeen);

test('17: a job that is retried by command changes on the page by itself, and no row moves', async () => {
  const told = await daemon.many('acme', 0, 6);
  const [job] = told[2].job_ids;
  await daemon.command('jobs', 'cancel', job);
  const page = await browser.as(daemon, 'dana');
  await page.goto(`${daemon.base}/jobs?client=acme`);
  await isLive(page);
  const order = await rows(page);
  const state = page.locator(`[data-row="${job}"] .st`);
  assert.match(await state.innerText(), /cancelled/);
  await daemon.command('jobs', 'retry', job);
  await state.filter({ hasText: 'retrying' }).waitFor();
  assert.deepEqual(await rows(page), order);
});

test('18: 500 new jobs are announced, and stand on the page only once `.` is pressed', async () => {
  const page = await browser.as(daemon, 'dana');
  await page.goto(`${daemon.base}/jobs?client=acme`);
  await isLive(page);
  const order = await rows(page);
  await daemon.many('acme', 100, 600);
  const news = page.locator('[data-new]');
  await news.waitFor();
  assert.deepEqual(await rows(page), order);
  assert.match(await news.innerText(), /^\d+\+? new, show$/);
  await page.waitForFunction(() => /Press \. to show/.test(document.querySelector('#told').textContent));
  await page.keyboard.press('.');
  await page.waitForFunction((first) => document.querySelector('main [data-row]')?.dataset.row !== first, order[0]);
  await settled(page);
  const fresh = await rows(page);
  assert.ok(fresh.length > 0 && fresh.every((id) => BigInt(id) > BigInt(order[0])), 'the newest come first');
  await news.waitFor({ state: 'hidden' });
});

/// Has a webhook that nobody understands kept for a person.
const strange = (n) => daemon.webhook('sms', 'acme', { type: 'Nope', n, body: 'Hello' });

test('18: what comes in is announced on its list, and a group of the quarantine grows in its place', async () => {
  const page = await browser.as(daemon, 'dana');
  await daemon.sms('acme', 900, 'Hello');
  await page.goto(`${daemon.base}/received?client=acme`);
  await isLive(page);
  const news = page.locator('[data-new]');
  const order = await rows(page);
  await daemon.sms('acme', 901, 'Hello');
  await news.waitFor();
  assert.deepEqual(await rows(page), order);
  await page.keyboard.press('.');
  await page.waitForFunction((first) => document.querySelector('main [data-row]')?.dataset.row !== first, order[0]);
  await settled(page);
  // A group has the same place, whatever its newest item is.
  await strange(1);
  await strange(2);
  await page.goto(`${daemon.base}/received?tab=quarantine&client=acme`);
  const group = page.locator('[data-row^="g"]');
  assert.match(await group.innerText(), /2 webhooks/);
  const held = await rows(page);
  await strange(3);
  await group.filter({ hasText: '3 webhooks' }).waitFor();
  assert.deepEqual(await rows(page), held);
  assert.match(await news.innerText(), /^1 new, show$/);
});

test('33: an open page tells that a file is refused, with its line, and that it is mended', async () => {
  const config = PEOPLE + PAUSED + clients();
  const page = await browser.as(daemon, 'dana');
  const other = await browser.as(daemon, 'dana');
  await Promise.all([page.goto(`${daemon.base}/config`), other.goto(`${daemon.base}/actors`)]);
  await Promise.all([isLive(page), isLive(other)]);
  const badge = (it) => it.locator('nav.rail > ul > li:not(.only) > [data-go="k"] [data-badge]');
  const refused = page.locator('[data-part="notes"] [role="alert"]');
  assert.equal(await refused.count(), 0);
  await badge(other).waitFor({ state: 'hidden' });
  daemon.configure(`${config}[ingest]\nqueue = "many"\n`);
  await refused.waitFor();
  assert.match(await refused.innerText(), /local\.toml:\d+/);
  await Promise.all([badge(page).waitFor(), badge(other).waitFor()]);
  daemon.configure(config);
  await refused.waitFor({ state: 'detached' });
  await Promise.all([page, other].map((it) => badge(it).waitFor({ state: 'hidden' })));
});

test('the first steps leave while somebody watches', async () => {
  const fresh = await Daemon.start(PEOPLE + PAUSED + clients());
  try {
    const page = await browser.as(fresh, 'dana');
    await page.goto(`${fresh.base}/`);
    await page.locator('.steps').waitFor();
    await fresh.sms('acme', 1, 'Hello');
    await page.locator('.steps').waitFor({ state: 'detached' });
    await page.close();
  } finally {
    await fresh.stop();
  }
});

test('19: a hidden page holds no connection, and seven pages of one browser work', async () => {
  await eventually('no stream is open', async () => (await streams()) === 0);
  const context = await browser.context(daemon.base);
  await signIn(context, daemon, 'dana');
  const pages = [];
  for (let n = 0; n < 7; n += 1) {
    const page = await context.newPage();
    await page.goto(`${daemon.base}/pools`);
    await isLive(page);
    await eventually('only the page that is seen has a stream', async () => (await streams()) === 1);
    pages.push(page);
    if (n < 6) await see(page, false);
    await eventually('a hidden page closes its stream', async () => (await streams()) === (n < 6 ? 0 : 1));
  }
  // The last one works, and so does one that is seen again.
  const last = pages[6];
  await last.click('nav.rail [data-go="j"]');
  await last.waitForURL(`${daemon.base}/jobs`);
  await isLive(last);
  await see(last, false);
  await see(pages[0], true);
  await isLive(pages[0]);
  await pages[0].click('nav.rail [data-go="o"]');
  await pages[0].waitForURL(`${daemon.base}/`);
  await eventually('one stream is open', async () => (await streams()) === 1);
});
