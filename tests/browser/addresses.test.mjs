// Addresses: they hold what a page shows, and the way back restores it.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { Browser, rows, settled } from './support/browser.mjs';
import { Daemon, PAUSED, PEOPLE, TOKENS, clients } from './support/daemon.mjs';

let daemon, browser, elsewhere;

before(async () => {
  [daemon, browser] = await Promise.all([Daemon.start(PEOPLE + PAUSED + clients()), Browser.start()]);
  const [jobs] = await Promise.all([daemon.many('acme', 0, 60), daemon.many('nord', 60, 64)]);
  for (const { job_ids } of jobs.slice(0, 3)) await daemon.command('jobs', 'cancel', ...job_ids);
  // A page of another site with a link to us.
  elsewhere = http.createServer((request, response) => {
    const to = new URL(request.url, 'http://x').searchParams.get('to') ?? '';
    response.setHeader('content-type', 'text/html');
    response.end(`<!doctype html><title>chat</title><a id=to href="${to.replaceAll('&', '&amp;')}">look at this</a>`);
  });
  await new Promise((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
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
