// Decisions about drafts: by keyboard, by two people, and while their leads go on writing.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Browser, at, focus, press, reads, rows, settled, until } from './support/browser.mjs';
import { Daemon, PEOPLE, clients, eventually, fakeProvider } from './support/daemon.mjs';

let daemon, browser, provider;
const config = (undo) => `${PEOPLE}[sending]\nundo = "${undo}"\n${clients(provider.base)}`;

before(async () => {
  provider = await fakeProvider();
  [daemon, browser] = await Promise.all([Daemon.start(config('10m')), Browser.start()]);
});

afterEach(() => browser?.leave());

after(async () => {
  await browser?.stop();
  await daemon?.stop();
  await provider?.stop();
});

const open = async (page, draft) => {
  await page.goto(`${daemon.base}/inbox?draft=${draft.id}`);
  await page.waitForSelector('#edit [name=body]');
};
const shown = (page) => page.inputValue('#edit [name=draft]');
/// Waits until this draft is the one to be decided.
const next = async (page, draft) => {
  await until(page, `draft ${draft.id} opens`, (id) => document.querySelector('#edit [name=draft]')?.value === id, draft.id);
  await settled(page);
};
/// The states of the jobs that send answers to the lead of this draft.
const jobsOf = async (draft) => {
  const { items } = await daemon.api(`/jobs?kind=DELIVER_REPLY&lead=${draft.lead_id}`);
  return items.map((it) => it.status);
};

test('23: twenty drafts are decided by keyboard alone, the next opens itself, and the focus is never lost', async () => {
  const made = await daemon.drafts('acme', Array.from({ length: 20 }, (_, n) => n));
  const page = await browser.as(daemon, 'kim');
  await page.goto(`${daemon.base}/inbox`);
  // In the order of the list: two jobs that run at once may end in any order.
  const order = await rows(page);
  const drafts = made.sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
  assert.deepEqual(drafts.map((it) => it.id), order);
  // Notes each moment in which nothing has the focus, from the first key on.
  await page.keyboard.press('j');
  await page.evaluate(() => {
    window.lost = 0;
    new MutationObserver(() => (window.lost += document.activeElement === document.body ? 1 : 0)).observe(
      document.documentElement,
      { childList: true, subtree: true, attributes: true },
    );
  });
  for (const [n, draft] of drafts.entries()) {
    await next(page, draft);
    if (n % 4 === 1) {
      await press(page, 'R');
      await press(page, '1');
    } else if (n % 4 === 2) {
      await press(page, 'e');
      await page.keyboard.press('Control+End');
      await page.keyboard.type(' Until then!');
      await page.keyboard.press('Control+Enter');
    } else {
      await press(page, 'a');
    }
    await at(page, `${n % 4 === 1 ? 'rejected' : 'approved'}.${draft.id}`);
    assert.ok(await focus(page), `the focus after draft ${n}`);
  }
  await reads(page, 'No draft waits');
  assert.equal(await page.evaluate(() => window.lost), 0, 'moments without a focus');
  const ended = await Promise.all(drafts.map((it) => daemon.draft(it.id)));
  assert.deepEqual(
    ended.map((it) => it.status),
    ended.map((_, n) => (n % 4 === 1 ? 'rejected' : 'approved')),
  );
  assert.match(ended[2].body, /Until then!$/);
});

test('24: of two reviewers who approve one draft, the second is told who did, and one answer is sent', async () => {
  const [draft] = await daemon.drafts('acme', [30]);
  const [kim, lou] = await Promise.all([browser.as(daemon, 'kim'), browser.as(daemon, 'lou')]);
  await Promise.all([open(kim, draft), open(lou, draft)]);
  await press(kim, 'a');
  await at(kim, `approved.${draft.id}`);
  await press(lou, 'a');
  await reads(lou, 'kim had approved it already');
  assert.equal((await daemon.draft(draft.id)).decided_by, 'kim');
  assert.equal((await jobsOf(draft)).length, 1, 'one delivery');
});

test('24: a text over the text of another reviewer is not saved, and is kept', async () => {
  const [draft] = await daemon.drafts('acme', [31]);
  const [kim, lou] = await Promise.all([browser.as(daemon, 'kim'), browser.as(daemon, 'lou', { mayFail: true })]);
  await Promise.all([open(kim, draft), open(lou, draft)]);
  await kim.fill('#body', 'Kim says three.');
  await kim.waitForFunction(() => document.querySelector('[data-saved]').textContent === 'saved');
  await lou.fill('#body', 'Lou says four.');
  await lou.waitForSelector('#clash');
  await reads(lou, 'Kim says three.');
  assert.equal(await lou.inputValue('#body'), 'Lou says four.');
  assert.equal((await daemon.draft(draft.id)).body, 'Kim says three.');
  await lou.click('text=Replace it with mine');
  await eventually("Lou's text is saved", async () => (await daemon.draft(draft.id)).body === 'Lou says four.');
});

test('24: an open page tells that another person has decided, and keeps the text that is typed', async () => {
  const [draft] = await daemon.drafts('acme', [35]);
  const lou = await browser.as(daemon, 'lou', { mayFail: true });
  const [mine, mark] = ['Lou is still at it.', `[data-part="draft-${draft.id}"]`];
  // What is typed is never saved, so that it is on the page only.
  await lou.route('**/*', (route) => (route.request().method() === 'POST' ? route.abort() : route.fallback()));
  for (const where of [`/inbox?draft=${draft.id}`, `/leads/${draft.lead_id}`]) {
    await lou.goto(`${daemon.base}${where}`);
    await lou.waitForSelector('#edit [name=body]');
    await lou.waitForSelector('#live.good');
    await lou.fill('#body', mine);
    await daemon.api(`/drafts/${draft.id}/approve`, 'POST');
    await lou.locator(mark).filter({ hasText: 'approved by admin' }).waitFor();
    await until(lou, 'it is told', () => document.querySelector('#told').textContent === 'The draft is approved by admin.');
    assert.equal(await lou.inputValue('#body'), mine);
    assert.equal(await shown(lou), draft.id);
    // The link leads to what is so now.
    await lou.click(`${mark} >> text=The draft as it is now`);
    await lou.waitForSelector('#edit', { state: 'detached' });
    await daemon.api(`/drafts/${draft.id}/undo`, 'POST');
  }
});

test('24: the first draft of the list stays on an open page although another person decides it', async () => {
  const [draft] = await daemon.drafts('acme', [36]);
  const lou = await browser.as(daemon, 'lou', { mayFail: true });
  await lou.goto(`${daemon.base}/inbox`);
  await lou.waitForSelector('#live.good');
  const first = await shown(lou);
  await lou.fill('#body', 'Not saved yet.');
  await daemon.api(`/drafts/${first}/reject`, 'POST', { note: 'not now' });
  await lou.locator(`[data-part="draft-${first}"]`).filter({ hasText: 'rejected by admin' }).waitFor();
  assert.deepEqual([await shown(lou), await lou.inputValue('#body')], [first, 'Not saved yet.']);
  assert.ok(draft.id, 'there was one at least');
});

test('25: nothing is sent if the lead has written again since the reviewer looked', async () => {
  const [draft] = await daemon.drafts('acme', [32]);
  const page = await browser.as(daemon, 'kim', { mayFail: true });
  // Nothing may tell the page of the new message before the key is pressed.
  await page.route('**/api/v1/events*', (route) => route.abort());
  await open(page, draft);
  await daemon.sms('acme', 32, 'Wait, make it four o’clock instead please?');
  await press(page, 'a');
  await reads(page, 'wrote again');
  await reads(page, 'make it four');
  assert.deepEqual(await jobsOf(draft), []);
  assert.notEqual((await daemon.draft(draft.id)).status, 'approved');
});

test('26: what is taken back in time asks nothing of the provider; what is not is sent once', async () => {
  await daemon.reconfigure(config('20s'));
  const [draft] = await daemon.drafts('acme', [33]);
  const page = await browser.as(daemon, 'kim');
  await open(page, draft);
  await press(page, 'a');
  await at(page, `approved.${draft.id}`);
  await press(page, 'z');
  await at(page, `undone.${draft.id}`);
  assert.equal((await daemon.draft(draft.id)).status, 'pending');
  assert.deepEqual(await jobsOf(draft), ['cancelled']);
  // Now nobody takes it back.
  await daemon.reconfigure(config('1s'));
  await open(page, draft);
  await page.fill('#body', 'Sent once.');
  await page.keyboard.press('Control+Enter');
  await at(page, `approved.${draft.id}`);
  await eventually('the answer is sent', async () => (await daemon.draft(draft.id)).status === 'sent');
  // The offer to take it back goes by itself.
  await page.waitForFunction(() => !document.querySelector('main [data-key="z"]'));
  assert.deepEqual((await jobsOf(draft)).sort(), ['succeeded']);
  // No other answer was due in these tests.
  assert.deepEqual((await provider.sent()).map((it) => it.text), ['Sent once.']);
  await daemon.reconfigure(config('10m'));
});

test('27: an edit survives a reload, and is there in another browser', async () => {
  const [draft] = await daemon.drafts('acme', [34]);
  const page = await browser.as(daemon, 'kim');
  await open(page, draft);
  await press(page, 'e');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('Tuesday at nine it is.\nSee you then!');
  await page.waitForFunction(() => document.querySelector('[data-saved]').textContent === 'saved');
  await page.reload();
  assert.equal(await page.inputValue('#body'), 'Tuesday at nine it is.\nSee you then!');
  const other = await browser.as(daemon, 'lou');
  await open(other, draft);
  assert.equal(await shown(other), draft.id);
  assert.equal(await other.inputValue('#body'), 'Tuesday at nine it is.\nSee you then!');
  assert.ok((await rows(other)).includes(draft.id));
});
