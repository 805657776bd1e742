// Texts from outside that try to become part of a page.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { Browser, reads } from './support/browser.mjs';
import { Daemon, PEOPLE, SECRET, eventually } from './support/daemon.mjs';
import { tooWide } from './support/look.mjs';

// Whatever of this acts or becomes an element is seen: `hit` is set, or an element has `data-hit`.
const SCRIPTS = '<script>window.hit=1;alert(1)</script><img src=x onerror="window.hit=2" data-hit>';
const SVG = '<svg onload="window.hit=3" data-hit><a xlink:href="javascript:window.hit=4" data-hit>x</a></svg>';
const CSS = '<style data-hit>*{display:none!important}</style><p style="position:fixed;inset:0" data-hit>over all</p>';
const LINKS = '"\'><a href="javascript:window.hit=5" data-hit>x</a> javascript:window.hit=6 https://evil.example/"onclick="window.hit=7';
const TURNS = '\u202Etxet sdrawkcab\u202C \u2066a\u2069 \u200Bb \u0007';
const HOSTILE = `</title></textarea></main>${SCRIPTS}${SVG}${CSS}${LINKS}${TURNS}`;
const PLAIN = 'Could you call me tomorrow?';
const ASKS = ' Could you call me tomorrow at 3?';
const LONG = ('<b data-hit>\u202E' + 'x'.repeat(84)).repeat(10_000) + ASKS;

let daemon, browser, provider, hostile, plain, long, mail;

before(async () => {
  // A provider, and a model's server, that refuse with what they like.
  provider = http.createServer((request, response) => {
    request.resume();
    response.writeHead(422, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ statusCode: 422, message: HOSTILE, error: HOSTILE }));
  });
  await new Promise((resolve) => provider.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${provider.address().port}`;
  const config = `${PEOPLE}[sending]\nundo = "0s"\n[[clients]]\nid = "acme"\nname = ${JSON.stringify(HOSTILE)}
[clients.channels.sms]\nsecret = "${SECRET}"\nsend = { api_key = "any", base_url = "${base}", allow_private = true }
[clients.channels.instantly]\nsecret = "${SECRET}"\n`;
  [daemon, browser] = await Promise.all([Daemon.start(config), Browser.start()]);
  const named = { first_name: HOSTILE, last_name: HOSTILE, company_name: HOSTILE, full_name: HOSTILE, workflow: { id: 'w', name: HOSTILE } };
  plain = await daemon.sms('acme', 1, PLAIN + ASKS);
  hostile = await daemon.sms('acme', 2, HOSTILE + ASKS, named);
  long = await daemon.sms('acme', 3, LONG, named);
  const reply = (n, fields) => daemon.webhook('instantly', 'acme', {
    event_type: 'reply_received', timestamp: '2025-10-15T21:49:49.188Z', campaign_id: 'c1', campaign_name: HOSTILE,
    email_account: 'us@example.com', lead_email: `lead${n}@example.com`, firstName: HOSTILE, lastName: HOSTILE, companyName: HOSTILE,
    email_id: `mail${n}`, reply_subject: HOSTILE, reply_text: HOSTILE + ASKS, reply_html: HOSTILE, ...fields,
  });
  mail = await reply(1, {});
  // What is not understood is kept with its payload.
  await reply(2, { event_type: HOSTILE });
  await reply(3, { event_type: 'something_new', extra: LONG });
  await eventually('all jobs have ended', () => daemon.hasWorkedOff());
  // An answer that the provider refuses, and a draft that is rejected with a note.
  const { items } = await daemon.api('/drafts?status=pending&limit=50');
  const of = (told) => items.find((it) => it.lead_id === told.lead_id);
  await daemon.api(`/drafts/${of(hostile).id}/approve`, 'POST', {});
  await daemon.api(`/drafts/${of(mail).id}/reject`, 'POST', { reason: 'other', note: HOSTILE.slice(0, 500) });
  await eventually('the provider has refused it', async () => {
    const deliveries = await daemon.api('/deliveries?limit=5');
    return deliveries.items.some((it) => it.status === 'failed');
  });
  // A job whose error quotes a hostile name.
  const model = `[analyst]\nprovider = "openai"\nbase_url = "${base}/v1"\nmodel = ${JSON.stringify(HOSTILE)}\n`;
  await daemon.reconfigure(`${config}${model}[pools.SMS_INBOUND_POST_PROCESS]\nmax_attempts = 1\n`);
  await daemon.sms('acme', 4, 'Are you there?');
  await eventually('a job has failed', async () => (await daemon.api('/jobs?status=failed&kind=SMS_INBOUND_POST_PROCESS')).items.length === 1);
});

afterEach(() => browser?.leave());

after(async () => {
  await browser?.stop();
  await daemon?.stop();
  provider?.close();
});

/// What of a page is not of its template.
const foreign = (page) =>
  page.evaluate(() => {
    const known = new Set(('a article aside b bdi br button caption code dd del details div dl dt fieldset figcaption figure form h1 h2 h3 header footer hr i input ins ' +
      'kbd label legend li line main mark meter nav ol option p path pre rect section select small span strong summary svg table tbody td text textarea ' +
      'tfoot th thead time title desc tr ul use dialog circle g polyline body s em').split(' '));
    const found = [];
    if (window.hit !== undefined) found.push(`something ran: ${window.hit}`);
    for (const it of document.body.querySelectorAll('*')) {
      const attributes = [...it.attributes].map((one) => one.name);
      if (it.hasAttribute('data-hit') || !known.has(it.localName)) found.push(it.outerHTML.slice(0, 100));
      for (const name of attributes) if (name === 'style' || name.startsWith('on')) found.push(`${name} of ${it.localName}`);
      if (it.matches('a[href]') && !/^(https?|mailto):$/.test(it.protocol)) found.push(`a link to ${it.href}`);
    }
    for (const it of document.querySelectorAll('main *')) {
      // A field shows its text as it is, so that it can be mended.
      if (it.matches('textarea, input')) continue;
      const own = [...it.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join('');
      if (/[\u0007\u200B\u202A-\u202E\u2066-\u2069]/.test(own)) found.push(`a hidden character in ${it.localName}`);
    }
    if (/[\u202A-\u202E]/.test(document.title)) found.push('a hidden character in the title');
    if (!document.querySelector('main h1')?.checkVisibility()) found.push('the heading is not to be seen');
    return found;
  });

/// The elements of the page's content, in their order, but for what differs between two of a kind.
const skeleton = (page, within) =>
  page.$eval(within, (all) => [...all.querySelectorAll('*')].map((it) => `${it.localName}.${it.getAttribute('class') ?? ''}`));

test('10: no hostile text acts, or becomes a part of any page that shows it', async () => {
  const page = await browser.as(daemon, 'dana');
  const first = async (list) => (await daemon.api(list)).items[0].id;
  const [delivery, quarantined] = [await first('/deliveries?status=failed'), await first('/quarantine')];
  const older = (await daemon.api('/quarantine')).items[1].id;
  const failed = (await daemon.api('/jobs?status=failed&kind=SMS_INBOUND_POST_PROCESS')).items[0].id;
  const q = encodeURIComponent(HOSTILE.slice(0, 90));
  const pages = [
    '/', '/inbox', '/inbox?view=all', `/leads/${hostile.lead_id}`, `/leads/${mail.lead_id}`, `/leads/${long.lead_id}`,
    '/jobs', '/jobs?status=failed', '/jobs?status=failed&group=error', `/jobs/${failed}`, `/jobs?error=${q}`, '/received', `/received?q=${q}`,
    '/received?tab=quarantine', `/quarantine/${quarantined}`, `/quarantine/${older}`, '/deliveries', `/deliveries/${delivery}`,
    `/received?lead=${mail.lead_id}`, `/messages/${hostile.message_id}`, `/messages/${mail.message_id}?full=true`, `/messages/${long.message_id}`,
    '/clients', '/clients/acme', '/config', '/system', '/audit', `/search?q=${q}`, `/inbox?q=${q}`,
  ];
  const seen = new Set();
  for (const where of pages) {
    const answer = await page.goto(daemon.base + where, { waitUntil: 'load' });
    assert.equal(answer.status(), 200, where);
    assert.deepEqual(await foreign(page), [], where);
    assert.ok((await tooWide(page)) <= 0, `${where} scrolls sideways`);
    if ((await page.innerText('main')).includes('window.hit')) seen.add(where.split('?')[0].replace(/\d{6,}/, 'ID'));
  }
  // Else the test would look at pages that do not show these texts.
  for (const shows of ['/inbox', '/leads/ID', '/jobs', '/jobs/ID', '/received', '/quarantine/ID', '/messages/ID', '/deliveries/ID', '/clients/acme', '/config']) {
    assert.ok(seen.has(shows), `${shows} shows a hostile text; these do: ${[...seen]}`);
  }
});

test('10: a message of hostile text has the same elements as a plain one', async () => {
  const page = await browser.as(daemon, 'dana');
  const of = async (told) => {
    await page.goto(`${daemon.base}/leads/${told.lead_id}`);
    return skeleton(page, '.msg.in .text');
  };
  // Its address is a link with its host, as in any text.
  assert.deepEqual([await of(plain), await of(hostile)], [[], ['a.', 'bdi.', 'span.mut', 'bdi.']]);
});

test('10: a message of 1 MB is cut, and its page stays light', async () => {
  const page = await browser.as(daemon, 'dana');
  for (const where of [`/leads/${long.lead_id}`, `/messages/${long.message_id}`]) {
    const answer = await page.goto(daemon.base + where);
    const size = (await answer.body()).length;
    assert.ok(size < 200_000, `${where}: ${size} bytes`);
    await reads(page, 'xxxx');
  }
});
