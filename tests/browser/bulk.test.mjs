// What is done to many jobs or held webhooks at once.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Browser, reads, settled } from './support/browser.mjs';
import { Daemon, PAUSED, PEOPLE, clients, eventually } from './support/daemon.mjs';

const COUNT = 3_000;
const FILTER = 'client=acme&kind=SMS_INBOUND_POST_PROCESS';
let daemon, browser;

before(async () => {
  [daemon, browser] = await Promise.all([Daemon.start(PEOPLE + PAUSED + clients()), Browser.start()]);
  await daemon.many('acme', 0, COUNT, 'no');
});

afterEach(() => browser?.leave());

after(async () => {
  await browser?.stop();
  await daemon?.stop();
});

/// How many jobs of the filter have this status.
async function count(status) {
  let all = 0;
  let cursor = '';
  do {
    const { items, next_cursor } = await daemon.api(`/jobs?${FILTER}&status=${status}&limit=200${cursor}`);
    all += items.length;
    cursor = next_cursor ? `&cursor=${next_cursor}` : '';
  } while (cursor);
  return all;
}

/// Presses `Stop`. False if nothing was left then.
async function stopped(strip) {
  const stop = strip.getByRole('button', { name: 'Stop' });
  const ended = strip.locator('.st').filter({ hasText: /stopped|done/ });
  await stop.or(ended).first().waitFor();
  await stop.click({ timeout: 5_000 }).catch(() => {});
  await ended.waitFor();
  return /stopped/.test(await ended.innerText()) && (await count('pending')) > 0;
}

test('28: jobs are cancelled by filter: counted, asked for, shown as they go, stopped half-way, and the numbers add up', async () => {
  const page = await browser.as(daemon, 'dana', { mayFail: true });
  await page.goto(`${daemon.base}/jobs?${FILTER}&status=pending`);
  // 1. The count and examples are shown, and the count must be typed.
  await page.click('text=Cancel all …');
  const dialog = page.locator('dialog:modal');
  await dialog.waitFor();
  assert.equal(await dialog.locator('h2').innerText(), `Cancel ${COUNT} jobs?`);
  assert.equal(await dialog.locator('li').count(), 4, 'three examples, and how many more');
  await dialog.locator('input[name=typed]').fill('25');
  await page.keyboard.press('Enter');
  await reads(page, `only if their count is typed: ${COUNT}`);
  // What was typed stands there, with the focus and the error beside it.
  const typed = dialog.locator('input[name=typed]');
  assert.deepEqual([await typed.inputValue(), await typed.getAttribute('aria-invalid')], ['25', 'true']);
  assert.ok(await typed.evaluate((it) => it === document.activeElement), 'the focus is at the error');
  assert.equal(await count('cancelled'), 0);
  // 2. It goes on in portions, and is stopped half-way.
  const strip = page.locator('[data-part=operation]');
  const ask = async (jobs) => {
    await page.goto(`${daemon.base}/jobs?${FILTER}&status=pending&ask=cancel`);
    assert.equal(await dialog.locator('h2').innerText(), `Cancel ${jobs} jobs?`);
    if (jobs > 100) await dialog.locator('input[name=typed]').fill(String(jobs));
    await dialog.locator('button').click();
  };
  await ask(COUNT);
  // A daemon may be done before a slow browser has pressed the button. Then all is put back, and done again.
  for (let tries = 1; !(await stopped(strip)); tries += 1) {
    assert.ok(tries < 5, 'the operation is never stopped half-way');
    await daemon.command('jobs', 'retry', '--client', 'acme', '--status', 'cancelled', '--yes');
    await eventually('all wait again', async () => (await count('pending')) === COUNT);
    await ask(COUNT);
  }
  // 3. What is told is what was done.
  const told = await strip.innerText();
  const number = (pattern) => Number(told.match(pattern)[1].replaceAll(',', ''));
  const [done, total] = [number(/([\d,]+) done/), number(/([\d,]+) jobs/)];
  assert.equal(total, COUNT, told);
  assert.ok(done > 0 && done < COUNT, told);
  assert.deepEqual([await count('cancelled'), await count('pending')], [done, COUNT - done]);
  const bar = await strip.locator('svg.prog').getAttribute('aria-label');
  assert.equal(bar, `${done} of ${COUNT}`);
  // 4. The rest is cancelled to its end, and the page follows by itself.
  const rest = COUNT - done;
  await ask(rest);
  await strip.locator('.st', { hasText: 'done' }).waitFor();
  await settled(page);
  assert.match(await strip.innerText(), new RegExp(`${rest.toLocaleString('en')} done`));
  await eventually('all are cancelled', async () => (await count('cancelled')) === COUNT);
});

test('28: held webhooks of a group are discarded: counted, typed, shown as they go, and others stay', async () => {
  const held = 130;
  const strange = (type, n) => daemon.webhook('sms', 'acme', { type, n, body: 'Hello' });
  for (let n = 0; n < held; n += 10) await Promise.all(Array.from({ length: 10 }, (_, it) => strange('Nope', n + it)));
  await strange('Other', 0);
  const page = await browser.as(daemon, 'dana', { mayFail: true });
  await page.goto(`${daemon.base}/received?tab=quarantine`);
  await page.locator('[data-row^="g"]', { hasText: 'Nope' }).getByText('Discard …').click();
  const dialog = page.locator('dialog:modal');
  await dialog.waitFor();
  assert.equal(await dialog.locator('h2').innerText(), `Discard ${held} webhooks?`);
  assert.equal(await dialog.locator('li').count(), 4, 'three examples, and how many more');
  await dialog.locator('input[name=typed]').fill('13');
  await page.keyboard.press('Enter');
  await reads(page, `only if their count is typed: ${held}`);
  await dialog.locator('input[name=typed]').fill(String(held));
  await dialog.locator('button').click();
  // It leads to the list, which follows by itself.
  const strip = page.locator('[data-part=operation]');
  await strip.locator('.st', { hasText: 'done' }).waitFor();
  await settled(page);
  assert.match(await strip.innerText(), new RegExp(`Discarded ${held} webhooks`));
  assert.equal(await strip.locator('svg.prog').getAttribute('aria-label'), `${held} of ${held}`);
  const { items } = await daemon.api('/quarantine?status=held&limit=200');
  assert.deepEqual(items.map((it) => it.event_type), ['Other']);
});
