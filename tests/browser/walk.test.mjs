// Walks through all pages, as a person would: at 1280 and 390 pixels, light and dark.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Browser, settled } from './support/browser.mjs';
import { Daemon, PEOPLE, clients, eventually, fakeProvider } from './support/daemon.mjs';
import { Axe, pale, tooWide } from './support/look.mjs';
import { Wire } from './support/wire.mjs';

const shots = process.env.SHOTS;
// The rules of axe-core that look at colours. All others find the same in both themes.
const OF_COLOURS = ['color-contrast', 'link-in-text-block'];
// The most of each page: the page itself, style, script, signs and stream, and their bytes.
const REQUESTS_MAX = 5;
const HTML_BYTES_MAX = 60_000;
const WIRE_BYTES_MAX = 30_000;

let daemon, browser, provider, pages;
// The pictures: the first of each path.
const kept = new Set();

before(async () => {
  provider = await fakeProvider();
  const config = `${PEOPLE}[sending]\nundo = "0s"\n${clients(provider.base)}`;
  [daemon, browser] = await Promise.all([Daemon.start(config), Browser.start()]);
  const last = await fill();
  const job = `/jobs/${last.job_ids[0]}`;
  const [held, uncertain] = [await one('/quarantine'), await one('/deliveries', '?status=uncertain')];
  pages = [
    '/', '/inbox', `/leads/${last.lead_id}`, '/jobs', '/jobs?status=succeeded', job, '/pools', '/actors', '/received',
    `/received?lead=${last.lead_id}`, `/messages/${last.message_id}`, `/messages/${last.message_id}?full=true`,
    '/received?tab=quarantine', held, '/deliveries', uncertain, '/clients', '/clients/acme', '/config', '/system', '/audit',
    '/search?q=nobody%40example.com', '/login',
    // The questions before something is done, as open dialogs.
    '/jobs?client=acme&ask=retry', `${job}?ask=cancel`, '/pools?ask=size&kind=DELIVER_REPLY', '/pools?ask=pause&kind=DELIVER_REPLY',
    '/received?tab=quarantine&ask=discard', `${held}?ask=discard`, `${uncertain}?ask=sent`,
  ];
  if (shots) fs.mkdirSync(shots, { recursive: true });
});

after(async () => {
  await browser?.stop();
  await daemon?.stop();
  await provider?.stop();
});

/// Posts what the pages show.
async function fill() {
  const texts = [
    'Hey, yes I am interested. What does it cost?',
    'Can we talk on Tuesday? Send me some times.',
    'Not now, try again in spring please',
    'Please remove me from your list',
    'Sounds good!',
    '<script>alert(1)</script><svg onload=alert(2)> \u202Eevil\u202C <b style="x">bold</b> ' + 'x'.repeat(400),
  ];
  let last;
  for (let n = 0; n < 24; n += 1) last = await daemon.sms(n % 4 === 3 ? 'nord' : 'acme', n, texts[n % texts.length]);
  // What is not understood, what no client has, and what comes with a wrong secret.
  const lead = { lead_email: 'a@example.com', email_account: 'us@example.com', campaign_id: 'c1', email_id: 'mail1' };
  const unknown = { event_type: 'something_new', timestamp: '2025-10-15T21:49:49.188Z', reply_text: 'What is this?', ...lead };
  await daemon.webhook('instantly', 'nord', unknown);
  for (const client of ['nobody', 'acme']) await fetch(`${daemon.base}/webhooks/sms/${client}`, { method: 'POST', body: '{}' });
  await eventually('all jobs have ended', () => daemon.hasWorkedOff());
  // Of three answers one is sent, one is refused, and of one nobody knows whether it was taken.
  const { items } = await daemon.api('/drafts?status=pending&client=acme&limit=3');
  const ends = ['sent', 'failed', 'uncertain'];
  for (const [n, fault] of [null, '422', 'close'].entries()) {
    await fetch(`${provider.base}/fail`, { method: 'DELETE' });
    if (fault) await fetch(`${provider.base}/fail`, { method: 'POST', body: fault });
    await daemon.api(`/drafts/${items[n].id}/approve`, 'POST', {});
    await eventually(`an answer is ${ends[n]}`, async () => (await daemon.api(`/deliveries?status=${ends[n]}`)).items.length === 1);
  }
  await daemon.reconfigure(PEOPLE + clients(provider.base));
  return last;
}

/// The page of the first thing of a list.
async function one(list, query = '') {
  const { items } = await daemon.api(list + query);
  return `${list}/${items[0].id}`;
}

/// Walks at one width: each page is loaded once, and seen in both themes.
async function walk(width) {
  const isPhone = width < 500;
  const size = { viewport: { width, height: isPhone ? 844 : 900 }, colorScheme: 'light', hasTouch: isPhone, isMobile: isPhone };
  const page = await browser.as(daemon, 'dana', size);
  const [axe, wire] = [await Axe.in(page), await Wire.of(page)];
  const seen = { statuses: [], heavy: [], axe: [], sideways: [], pale: [] };
  const look = async (where) => {
    for (const scheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: scheme });
      const at = `${where} at ${width}, ${scheme}`;
      const wide = await tooWide(page);
      if (wide > 0) seen.sideways.push(`${at}: by ${wide} px`);
      for (const it of await axe.violations(scheme === 'light' ? undefined : OF_COLOURS)) seen.axe.push(`${at}: ${it}`);
      for (const it of await pale(page)) seen.pale.push(`${at}: ${it}`);
      const file = shots && where.startsWith('/') && path.join(shots, `${name(where)}-${width}-${scheme}.png`);
      if (file && !kept.has(file)) await page.screenshot({ path: file });
      kept.add(file);
    }
    await page.emulateMedia({ colorScheme: 'light' });
  };
  for (const where of pages) {
    const answer = await page.goto(daemon.base + where, { waitUntil: 'load' });
    const [html, { paths, bytes }] = [await answer.body(), await wire.taken(page)];
    const isLight = html.length <= HTML_BYTES_MAX && paths.length <= REQUESTS_MAX && bytes <= WIRE_BYTES_MAX;
    if (!isLight) seen.heavy.push(`${where}: ${html.length} bytes of HTML, ${bytes} over the wire for ${paths}`);
    if (answer.status() !== 200 || (await page.locator('h1').count()) !== 1) seen.statuses.push(`${where}: ${answer.status()}`);
    if (where.includes('ask=')) await page.locator('dialog:modal').waitFor();
    await look(where);
    if (isPhone) {
      await page.setViewportSize({ width: 320, height: 844 });
      const wide = await tooWide(page);
      if (wide > 0) seen.sideways.push(`${where} at 320: by ${wide} px`);
      await page.setViewportSize(size.viewport);
    }
  }
  // The list of keys is a dialog that the script makes.
  await page.goto(`${daemon.base}/jobs`);
  await settled(page);
  await page.keyboard.press('?');
  await page.locator('dialog:modal').waitFor();
  await look('the keys of /jobs');
  await page.context().close();
  return seen;
}

function name(where) {
  const flat = where.split('?')[0].replace(/\d{6,}/g, 'one').replace(/^\/|\/$/g, '').replaceAll('/', '-');
  return flat || 'overview';
}

test('each page is there, light and dark, at 1280 and 390 pixels', async (t) => {
  const [wide, small] = await Promise.all([walk(1280), walk(390)]);
  const both = (what) => [...wide[what], ...small[what]];
  await t.test('each page is answered and has one heading', () => assert.deepEqual(both('statuses'), []));
  await t.test('9: no request to elsewhere, no report of the content policy, no error in the console', () => browser.blameless());
  await t.test('15: a page has 60 KB of HTML at most, and takes five requests and 30 KB over the wire', () =>
    assert.deepEqual(both('heavy'), []));
  await t.test('38: axe-core finds nothing', () => assert.deepEqual(both('axe'), []));
  await t.test('38: nothing scrolls sideways at 1280, 390 and 320 pixels', () => assert.deepEqual(both('sideways'), []));
  await t.test('39: each text has a contrast of 4.5 at least', () => assert.deepEqual(both('pale'), []));
});

test('a link from the command signs in, once', async () => {
  const link = (await daemon.command('login-link')).match(/https?:\/\/\S+/)[0];
  const first = await (await browser.context(daemon.base)).newPage();
  await first.goto(link);
  await first.waitForURL(`${daemon.base}/`);
  await first.context().close();
  const second = await (await browser.context(daemon.base, { mayFail: true })).newPage();
  await second.goto(link);
  await second.waitForSelector('#e-token');
  await second.context().close();
  browser.blameless();
});
