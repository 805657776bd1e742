// The browser, people in it, and what no page may ever do.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { chromium } from 'playwright-core';
import { TOKENS } from './daemon.mjs';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const WITHIN = 60_000;

export class Browser {
  static async start() {
    const it = new Browser();
    it.wrong = [];
    it.chromium = await chromium.launch({ executablePath: places.find((place) => fs.existsSync(place)), args: ['--no-sandbox'] });
    return it;
  }

  /// A browser of its own with a page. What its pages do wrong is noted: an error or a report of the content policy in
  /// the console, an exception, a dialog, a request to elsewhere than `base`. `mayFail`: answers may be errors.
  async context(base, options = {}) {
    const { mayFail = false, mayVisit, ...others } = options;
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 900 }, ...others });
    context.setDefaultTimeout(WITHIN);
    const note = (page, text) => this.wrong.push(`${page.url()}: ${text}`);
    context.on('page', (page) => {
      page.on('console', (it) => {
        const isOfNetwork = /Failed to load resource|ERR_|net::/.test(it.text());
        if (it.type() === 'error' && !(mayFail && isOfNetwork)) note(page, it.text());
      });
      page.on('pageerror', (it) => note(page, it.message));
      page.on('dialog', (it) => {
        note(page, `a dialog says ${it.message()}`);
        it.dismiss();
      });
      page.on('request', (it) => [`${base}/`, mayVisit].some((own) => own && it.url().startsWith(own)) || note(page, `a request to ${it.url()}`));
    });
    return context;
  }

  /// A page of somebody who has signed in.
  async as(daemon, name, options) {
    const context = await this.context(daemon.base, options);
    await signIn(context, daemon, name);
    return context.newPage();
  }

  /// Fails if a page has done something wrong since the last call.
  blameless() {
    assert.deepEqual([...new Set(this.wrong.splice(0))], []);
  }

  /// Closes all pages: the end of each test.
  async leave() {
    await Promise.all(this.chromium.contexts().map((it) => it.close()));
    this.blameless();
  }

  async stop() {
    await this.chromium.close();
  }
}

/// Signs a whole context in.
export async function signIn(context, daemon, name) {
  const answer = await context.request.post(`${daemon.base}/login`, { form: { token: TOKENS[name] }, maxRedirects: 0 });
  assert.equal(answer.status(), 303, `${name} signs in`);
}

/// Waits until `ask` is true in the page. An error tells what the page shows instead.
export async function until(page, what, ask, arg) {
  try {
    await page.waitForFunction(ask, arg);
  } catch (error) {
    const shown = await page.evaluate(() => document.body.innerText.slice(0, 2_000)).catch((it) => it.message);
    throw new Error(`not seen: ${what}\nat ${page.url()}, which shows:\n${shown}`, { cause: error });
  }
}

/// Waits until the script has shown what was asked for.
export const settled = (page) =>
  until(page, 'the page is there', () => !document.documentElement.hasAttribute('data-busy'));

/// Presses a key that the page itself offers, once it does.
export async function press(page, key) {
  await settled(page);
  await until(
    page,
    `the key ${key} is offered`,
    (key) => [...document.querySelectorAll(`main [data-key="${key}"]`)].some((it) => !it.disabled && it.checkVisibility()),
    key,
  );
  await page.keyboard.press(key);
}

/// Waits until the address of the page has this in it, and the page is shown.
export async function at(page, part) {
  await page.waitForURL((url) => url.href.includes(part));
  await settled(page);
}

/// The ids of the rows, from top to bottom.
export const rows = (page) => page.$$eval('main [data-row]', (all) => all.map((it) => it.dataset.row));

/// Where the focus is: nothing if it is lost.
export const focus = (page) =>
  page.evaluate(() => {
    const it = document.activeElement;
    return it && it !== document.body && it.isConnected ? it.id || it.localName : null;
  });

/// Waits until a text is to be read in the page's content.
export const reads = (page, text) =>
  until(page, text, (text) => document.querySelector('main')?.innerText.includes(text), text);
