// Addresses: they hold what a page shows, and the way back restores it.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { Browser, rows, settled } from './support/browser.mjs';
import { Daemon, PAUSED, PEOPLE, TOKENS, clients } from './support/daemon.mjs';

let daemon, browser, elsewhere, outside;
// What pages elsewhere were asked for: paths and the Referer.
const visits = [];

before(async () => {
  // A page of another site with a link.
  elsewhere = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://x');
    if (pathname !== '/favicon.ico') visits.push([pathname, request.headers.referer]);
    response.setHeader('content-type', 'text/html');
    const to = searchParams.get('to') ?? '';
    response.end(`<!doctype html><title>chat</title><a id=to href="${to.replaceAll('&', '&amp;')}">look at this</a>`);
  });
  await new Promise((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  outside = `http://127.0.0.1:${elsewhere.address().port}`;
  // Traces are kept elsewhere, too. Nothing listens where they are sent.
  const traces = `[telemetry]\notlp_endpoint = "http://127.0.0.1:9"\nsample = 1.0\ntrace_url = "${outside}/trace?id={trace_id}"\n`;
  [daemon, browser] = await Promise.all([Daemon.start(PEOPLE + PAUSED + traces + clients()), Browser.start()]);
  const [jobs] = await Promise.all([daemon.many('acme', 0, 60), daemon.many('nord', 60, 64)]);
  for (const { job_ids } of jobs.slice(0, 3)) await daemon.command('jobs', 'cancel', ...job_ids);
});

afterEach(() => browser?.leave());

after(async () => {
  elsewhere?.close();
  await browser?.stop();
  await daemon?.stop();
});

const FILTERED = '/jobs?client=acme&status=cancelled';

test('3: a filtered address that is pasted into a new session shows the same rows after the sign-in', async () => {
  const mine = await browser.as(daemon, 'dana');
  await mine.goto(`${daemon.base}/jobs`);
  await mine.selectOption('form.filter [name=client]', 'acme');
  await mine.click('form.filter button');
  await mine.waitForURL('**/jobs?client=acme');
  await mine.click('.chips >> text=cancelled');
  await mine.waitForURL(/status=cancelled/);
  await settled(mine);
  const wanted = await rows(mine);
  assert.equal(wanted.length, 3);

  const page = await (await browser.context(daemon.base)).newPage();
  await page.goto(mine.url());
  await page.waitForSelector('#login');
  await page.fill('#token', TOKENS.kim);
  await page.keyboard.press('Enter');
  await page.waitForSelector('main [data-row]');
  assert.equal(page.url(), mine.url());
  assert.deepEqual(await rows(page), wanted);
});

test('3: a filtered address that is clicked on a page of another site shows the same rows', async () => {
  const page = await browser.as(daemon, 'dana', { mayVisit: `http://localhost:${elsewhere.address().port}/` });
  await page.goto(daemon.base + FILTERED);
  const wanted = await rows(page);
  assert.equal(wanted.length, 3);
  // `localhost` is another site than `127.0.0.1`.
  const foreign = `http://localhost:${elsewhere.address().port}/?to=${encodeURIComponent(daemon.base + FILTERED)}`;
  await page.goto(foreign);
  await page.click('#to');
  await page.waitForSelector('main [data-row]');
  assert.equal(page.url(), daemon.base + FILTERED);
  assert.deepEqual(await rows(page), wanted);
});

test('4: the way back restores the filter, the scroll and the focus', async () => {
  const page = await browser.as(daemon, 'dana', { viewport: { width: 1280, height: 500 } });
  await page.goto(`${daemon.base}/jobs?client=acme&kind=SMS_INBOUND_POST_PROCESS`);
  const before = await rows(page);
  const row = before[25];
  const link = page.locator(`[data-row="${row}"] th a`);
  await link.focus();
  await link.scrollIntoViewIfNeeded();
  const y = await page.evaluate(() => Math.round(scrollY));
  assert.ok(y > 100, `scrolled by ${y}`);
  await page.keyboard.press('Enter');
  await page.waitForURL(`${daemon.base}/jobs/${row}**`);
  await settled(page);
  assert.equal(await page.evaluate(() => scrollY), 0);
  await page.goBack();
  await page.waitForSelector(`[data-row="${row}"]`);
  await settled(page);
  assert.equal(page.url(), `${daemon.base}/jobs?client=acme&kind=SMS_INBOUND_POST_PROCESS`);
  assert.equal(await page.inputValue('form.filter [name=client]'), 'acme');
  assert.deepEqual(await rows(page), before);
  assert.equal(await page.evaluate(() => Math.round(scrollY)), y);
  assert.equal(await page.evaluate(() => document.activeElement.closest('[data-row]')?.dataset.row), row);
  // And forward again.
  await page.goForward();
  await page.waitForSelector('h1');
  await page.waitForURL(`${daemon.base}/jobs/${row}**`);
});

test('5: a page elsewhere is not told from which of our addresses somebody comes', async () => {
  const text = `Look at ${outside}/message?to=/last please`;
  const { lead_id, job_ids } = await daemon.sms('nord', 70, text);
  const page = await (await browser.context(daemon.base, { mayVisit: `${outside}/` })).newPage();
  visits.length = 0;
  // The sign-in has no links, so the address is changed as by one.
  const leave = async (path) => {
    await page.evaluate((to) => location.assign(to), outside + path);
    await page.waitForURL(outside + path);
  };
  await page.goto(`${daemon.base}/login`);
  await leave('/sign-in');
  await page.goto((await daemon.command('login-link')).match(/https?:\/\/\S+/)[0]);
  await page.waitForURL(`${daemon.base}/`);
  await leave('/overview');
  await page.goto(`${daemon.base}/jobs/${job_ids[0]}`);
  await page.click(`main a[href^="${outside}/trace"]`);
  await page.waitForURL(`${outside}/trace**`);
  await page.goto(`${daemon.base}/leads/${lead_id}`);
  await page.click(`main a[href^="${outside}/message"]`);
  await page.waitForURL(`${outside}/message**`);
  // This browser does tell it where nothing forbids it.
  await page.click('#to');
  await page.waitForURL(`${outside}/last`);
  const silent = ['/sign-in', '/overview', '/trace', '/message'].map((it) => [it, undefined]);
  assert.deepEqual(visits, [...silent, ['/last', `${outside}/message?to=/last`]]);
});
