// The database is away: what still answers, what says that it cannot, and how all come back.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Browser, rows } from './support/browser.mjs';
import { Daemon, PEOPLE, TOKENS, clients, eventually } from './support/daemon.mjs';
import { Postgres } from './support/postgres.mjs';

let daemon, browser, postgres;

before(async () => {
  postgres = await Postgres.start();
  if (!postgres) return;
  const database = `[database]\nurl = "${postgres.url}"\nacquire_timeout = "1s"\n`;
  [daemon, browser] = await Promise.all([Daemon.start(PEOPLE + database + clients()), Browser.start()]);
});

afterEach(() => browser?.leave());

after(async () => {
  await browser?.stop();
  await daemon?.stop();
  await postgres?.stop();
});

const ANSWER = ['/', '/pools', '/actors', '/config', '/system'];

test('22: without its database five pages answer, the others say so, and all recover by themselves', async (t) => {
  if (!postgres) {
    if (process.env.POSTROOM_TEST_POSTGRES_REQUIRED) assert.fail('there is no PostgreSQL on the PATH or in /usr/lib/postgresql');
    t.skip('there is no PostgreSQL on the PATH or in /usr/lib/postgresql');
    return;
  }
  const [draft] = await daemon.drafts('acme', [1]);
  await eventually('all jobs have ended', () => daemon.hasWorkedOff());
  const needs = ['/inbox', `/leads/${draft.lead_id}`, '/jobs', '/received', '/deliveries', '/audit'];
  // Nobody can sign in meanwhile. A browser each, since one opens six connections at most, and several people, since
  // each has eight streams at most.
  const names = Object.keys(TOKENS);
  let count = 0;
  const sign = async (where) => {
    const name = names[count++ % names.length];
    return { where, page: await browser.as(daemon, name, { mayFail: true }) };
  };
  const open = async ({ where, page }) => {
    const answer = await page.goto(daemon.base + where);
    return { where, page, status: answer.status() };
  };
  const signed = { answer: await Promise.all(ANSWER.map(sign)), need: await Promise.all(needs.map(sign)) };
  // A list and a page with numbers that were opened before.
  const list = await open(await sign('/jobs?client=acme'));
  const numbers = await open(await sign('/'));
  const before = await rows(list.page);
  assert.ok(before.length > 0);

  await postgres.pause();
  await eventually('the daemon knows', () => fetch(`${daemon.base}/readyz`).then((it) => !it.ok));
  const answered = await Promise.all(signed.answer.map(open));
  const refused = await Promise.all(signed.need.map(open));
  assert.deepEqual(
    answered.map((it) => [it.where, it.status]),
    ANSWER.map((where) => [where, 200]),
  );
  assert.deepEqual(
    refused.map((it) => [it.where, it.status]),
    needs.map((where) => [where, 503]),
  );
  for (const { where, page } of refused) {
    assert.match(await page.locator('main').innerText(), /database/i, where);
  }
  assert.match(await answered[0].page.locator('.verdict h1').innerText(), /database|wrong/i);
  // What was open says that it is old, and keeps its rows.
  await list.page.waitForSelector('#live.warn');
  assert.deepEqual(await rows(list.page), before);

  await postgres.resume();
  await eventually('the daemon is ready again', () => fetch(`${daemon.base}/readyz`).then((it) => it.ok));
  const recovers = ({ page }) => page.waitForFunction(() => document.querySelector('main') && !document.querySelector('main .problem'));
  await Promise.all(refused.map(recovers));
  await Promise.all([list, numbers, ...answered].map(({ page }) => page.waitForSelector('#live.good')));
  assert.equal(await refused[0].page.inputValue('#edit [name=draft]'), draft.id);
  await daemon.sms('acme', 2, 'Are you back?');
  await list.page.waitForSelector('[data-new]:not([hidden])');
  await numbers.page.waitForSelector('.verdict.good');
});
