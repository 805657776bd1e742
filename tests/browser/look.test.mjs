// States without colours, keys that can be switched off, and what people set in their system.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { Browser, at, press, reads, rows, settled } from './support/browser.mjs';
import { Daemon, PAUSED, PEOPLE, clients } from './support/daemon.mjs';
import { Pixels } from './support/pixels.mjs';

let daemon, browser;

before(async () => {
  [daemon, browser] = await Promise.all([Daemon.start(PEOPLE + PAUSED + clients()), Browser.start()]);
  const told = await daemon.many('acme', 0, 4);
  await daemon.command('jobs', 'cancel', told[0].job_ids[0]);
});

afterEach(() => browser?.leave());

after(async () => {
  await browser?.stop();
  await daemon?.stop();
});

// The least share of a sign's place in which two signs differ. Those of today differ in 0.1.
const APART_MIN = 0.05;
const PAGES = ['/', '/inbox', '/jobs', '/pools', '/actors', '/received', '/deliveries', '/clients', '/config', '/system'];

test('39: states are told apart by sign and word, and not by colour alone', async () => {
  const page = await browser.as(daemon, 'dana');
  const signs = new Map();
  for (const where of PAGES) {
    await page.goto(daemon.base + where);
    const marks = await page.$$eval('.st, .chips a', (all) =>
      all.filter((it) => it.querySelector('use') || it.matches('.st')).map((it) => ({
        sign: it.querySelector('use')?.getAttribute('href').split('#')[1],
        word: it.textContent.trim(),
        isState: it.matches('main .st'),
      })),
    );
    for (const { sign, word } of marks) assert.ok(sign && word, `${where}: a mark with the sign ${sign} and the word "${word}"`);
    if (where === '/jobs') for (const { sign, word } of marks) signs.set(word.replace(/\d+/g, '').trim(), sign);
  }
  const states = ['due', 'running', 'retrying', 'later', 'behind', 'held', 'succeeded', 'failed', 'cancelled'];
  const used = states.map((it) => signs.get(it));
  assert.ok(used.every(Boolean), `each state is on the page: ${[...signs.keys()]}`);
  assert.equal(new Set(used).size, states.length, `each state has its own sign: ${used}`);
});

/// The signs of states on a page without colours, as they are painted at their size on the ground:
/// the ink of each pixel, from 0 to 1, and the contrast of the strongest.
async function greySigns(page, pixels) {
  const [size, step] = [14, 16];
  // All stand in one row, so that each meets the pixels of the screen in the same way.
  const names = await page.evaluate((step) => {
    document.documentElement.style.filter = 'grayscale(1)';
    const first = new Map();
    for (const use of document.querySelectorAll('.chips use, .st use, .sg use')) {
      const name = use.getAttribute('href').split('#')[1];
      if (use.checkVisibility() && !first.has(name)) first.set(name, use.closest('svg'));
    }
    [...first.values()].forEach((sign, at) => {
      const place = { position: 'fixed', left: `${at * step}px`, top: 0, margin: 0, zIndex: 99, background: 'var(--ground)' };
      Object.assign(sign.style, place);
    });
    return [...first.keys()];
  }, step);
  if (names.length === 0) return [];
  const picture = await pixels.of(await page.screenshot({ clip: { x: 0, y: 0, width: names.length * step, height: size } }));
  const light = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return names.map((name, at) => {
    const greys = Array.from({ length: size * size }, (_, n) => {
      const [red, green, blue] = picture.at(at * step + (n % size), Math.floor(n / size));
      assert.ok(red === green && green === blue, `${name} has no colours: ${[red, green, blue]}`);
      return red / 255;
    });
    // No sign reaches into a corner.
    const [ground] = greys;
    const strongest = greys.reduce((far, it) => (Math.abs(it - ground) > Math.abs(far - ground) ? it : far));
    const [high, low] = [light(ground), light(strongest)].sort((a, b) => b - a);
    const ink = greys.map((it) => (it - ground) / (strongest - ground || 1));
    return { name, ink, contrast: (high + 0.05) / (low + 0.05) };
  });
}

test('39: in a picture in grey, each sign of a state is seen, and no two are drawn alike', async () => {
  const pixels = await Pixels.in(browser);
  // Without the script nothing on a page changes meanwhile.
  const page = await browser.as(daemon, 'dana', { javaScriptEnabled: false });
  const drawn = { light: new Map(), dark: new Map() };
  for (const where of PAGES) {
    await page.goto(daemon.base + where);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      for (const { name, ink, contrast } of await greySigns(page, pixels)) {
        assert.ok(contrast >= 3, `${where}, ${colorScheme}: ${name} has a contrast of ${contrast.toFixed(2)}`);
        drawn[colorScheme].set(name, ink);
      }
    }
  }
  for (const [colorScheme, signs] of Object.entries(drawn)) {
    const all = [...signs];
    assert.ok(all.length >= 12, `signs of states: ${[...signs.keys()]}`);
    for (const [number, [one, ink]] of all.entries()) {
      for (const [other, others] of all.slice(number + 1)) {
        const apart = ink.reduce((sum, it, at) => sum + Math.abs(it - others[at]), 0) / ink.length;
        assert.ok(apart >= APART_MIN, `${one} and ${other}, ${colorScheme}: ${apart.toFixed(3)} of their place differs`);
      }
    }
  }
});

test('39: keys do nothing once they are switched off, and work again once they are on', async () => {
  const page = await browser.as(daemon, 'dana');
  await page.goto(`${daemon.base}/jobs`);
  const switchTo = async (word) => {
    await page.click('details.menu.me summary');
    await page.click(`details.menu.me >> text=${word}`);
    await page.waitForLoadState('load');
  };
  await page.keyboard.press('?');
  await page.waitForSelector('dialog:modal');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog:modal', { state: 'detached' });
  await switchTo('Keys: on');
  await page.waitForSelector('html[data-keys=off]');
  for (const key of ['?', '/', 'j', 'g', 'o', '.']) await page.keyboard.press(key);
  // A key that acts does so at once.
  assert.equal(await page.locator('dialog:modal').count(), 0);
  assert.equal(new URL(page.url()).pathname, '/jobs');
  assert.equal(await page.evaluate(() => document.activeElement === document.querySelector('#find')), false);
  assert.equal(await page.locator('kbd:visible').count(), 0, 'no key is offered');
  await switchTo('Keys: off');
  await page.waitForSelector('html:not([data-keys=off])');
  await page.keyboard.press('g');
  await page.keyboard.press('o');
  await page.waitForURL(`${daemon.base}/`);
  await settled(page);
});

test('the keys of a row act on the row with the focus: size, pause and reset of a pool, and why of a job', async () => {
  const page = await browser.as(daemon, 'dana');
  const dialog = page.locator('dialog:modal');
  await page.goto(`${daemon.base}/pools`);
  const [, kind] = await rows(page);
  const toRow = async () => {
    for (const key of ['j', 'j']) await page.keyboard.press(key);
  };
  // No row has the focus.
  for (const key of ['+', '-', 'p']) await page.keyboard.press(key);
  assert.equal(await dialog.count(), 0);
  for (const key of ['+', '-', 'p']) {
    await toRow();
    await page.keyboard.press(key);
    await dialog.waitFor();
    assert.match(await dialog.innerText(), new RegExp(kind), key);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await settled(page);
  }
  // What is set is reset by its key.
  await daemon.api(`/pools/${kind}`, 'PATCH', { size: 3 });
  await page.goto(`${daemon.base}/pools`);
  await toRow();
  await page.keyboard.press('0');
  await reads(page, 'runs as the files say');
  // Each key is told once, and as what it does.
  await page.keyboard.press('?');
  await dialog.waitFor();
  const told = await dialog.innerText();
  assert.equal(told.split('one slot more').length, 2, told);
  assert.match(told, /retry all that match/);
  await page.keyboard.press('Escape');
  // The job of the row says why it waits.
  await page.goto(`${daemon.base}/jobs`);
  const [first] = await rows(page);
  await page.keyboard.press('j');
  await page.keyboard.press('w');
  await at(page, `/jobs/${first}`);
});

test('39: nothing moves for those who want no motion', async () => {
  const page = await browser.as(daemon, 'dana', { reducedMotion: 'reduce' });
  for (const where of PAGES) {
    await page.goto(daemon.base + where);
    const moving = await page.evaluate(() =>
      [...document.querySelectorAll('*')].filter((it) => {
        const style = getComputedStyle(it);
        return style.animationName !== 'none' || Math.max(...style.transitionDuration.split(',').map(parseFloat)) > 0;
      }).map((it) => it.outerHTML.slice(0, 80)),
    );
    assert.deepEqual(moving, [], where);
    assert.equal(await page.evaluate(() => document.getAnimations().length), 0, where);
  }
});

test('39: forced colours keep the frame of each mark, and what is chosen is outlined', async () => {
  const page = await browser.as(daemon, 'dana', { forcedColors: 'active' });
  for (const where of ['/', '/inbox', '/jobs?status=cancelled', '/pools']) {
    await page.goto(daemon.base + where);
    const bare = await page.$$eval('.st, .note', (all) =>
      all.filter((it) => it.checkVisibility() && parseFloat(getComputedStyle(it).borderTopWidth) < 1).map((it) => it.outerHTML.slice(0, 80)),
    );
    assert.deepEqual(bare, [], where);
    const chosen = await page.$$eval('[aria-current], [aria-pressed=true]', (all) =>
      all.filter((it) => it.checkVisibility()).map((it) => getComputedStyle(it).outlineStyle),
    );
    assert.ok(chosen.length > 0 && chosen.every((it) => it === 'solid'), `${where}: ${chosen}`);
    if (process.env.SHOTS) {
      const name = where.split('?')[0].slice(1) || 'overview';
      const folder = path.join(process.env.SHOTS, 'forced');
      fs.mkdirSync(folder, { recursive: true });
      await page.screenshot({ path: path.join(folder, `${name}.png`) });
    }
  }
});
