// How a page looks: axe-core, contrast, and what reaches beyond its width.
import fs from 'node:fs';
import { createRequire } from 'node:module';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/// axe-core in a page. Its content policy lets no such script in, so it is put past it.
export class Axe {
  static async in(page) {
    const it = new Axe();
    it.devtools = await page.context().newCDPSession(page);
    return it;
  }

  /// The violations of all rules, or of these.
  async violations(rules) {
    await this.devtools.send('Page.setBypassCSP', { enabled: true });
    const asked = { resultTypes: ['violations'], ...(rules && { runOnly: { type: 'rule', values: rules } }) };
    const expression = `(window.axe || (() => { ${axe} })(), axe.run(document, ${JSON.stringify(asked)})).then((it) =>
      JSON.stringify(it.violations.map((it) => it.id + ': ' +
        it.nodes.slice(0, 2).map((node) => node.html.slice(0, 160)).join(' | '))))`;
    const found = await this.devtools.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    await this.devtools.send('Page.setBypassCSP', { enabled: false });
    if (found.exceptionDetails) throw new Error(found.exceptionDetails.exception.description);
    return JSON.parse(found.result.value);
  }
}

/// How many pixels the page is wider than its window.
export const tooWide = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

/// The texts whose contrast to their ground is below 4.5, computed from what the browser paints.
export const pale = (page) =>
  page.evaluate(() => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const brush = canvas.getContext('2d', { willReadFrequently: true });
    const known = new Map();
    // Red, green, blue and alpha of a colour in any spelling.
    const read = (color) => {
      if (!known.has(color)) {
        brush.clearRect(0, 0, 1, 1);
        brush.fillStyle = color;
        brush.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
        known.set(color, [r, g, b, a / 255]);
      }
      return known.get(color);
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((it, at) => it * a + below[at] * (1 - a));
    const ground = (element) => {
      const layers = [];
      for (let it = element; it; it = it.parentElement) {
        const color = read(getComputedStyle(it).backgroundColor);
        layers.push(color);
        if (color[3] === 1) break;
      }
      const canvasColor = read('Canvas').slice(0, 3);
      return layers.reverse().reduce((below, it) => over(it, below), canvasColor);
    };
    const light = (color) => {
      const [r, g, b] = color.map((it) => (it / 255 <= 0.04045 ? it / 255 / 12.92 : ((it / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      const text = node.data.trim();
      if (!text || !element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue;
      // What is there for readers of the screen only is not painted.
      if (element.closest('.vh, .skip, title, desc, option')) continue;
      const style = getComputedStyle(element);
      const below = ground(element);
      const ink = element instanceof SVGElement ? style.fill : style.color;
      const [, , , alpha] = read(ink);
      let opacity = alpha;
      for (let it = element; it; it = it.parentElement) opacity *= Number(getComputedStyle(it).opacity);
      const painted = over([...read(ink).slice(0, 3), opacity], below);
      const [high, low] = [light(painted), light(below)].sort((a, b) => b - a);
      const contrast = (high + 0.05) / (low + 0.05);
      if (contrast < 4.5) found.push(`${text.slice(0, 30)} (${contrast.toFixed(2)}) in ${element.outerHTML.slice(0, 80)}`);
    }
    return [...new Set(found)];
  });
