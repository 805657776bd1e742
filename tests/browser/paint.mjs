// Prints when a browser first shows something of each page: the median of five loads, in ms.
//
//   node paint.mjs BASE TOKEN PATH...
import { Browser } from './support/browser.mjs';

const [base, token, ...paths] = process.argv.slice(2);
const LOADS = 5;
const browser = await Browser.start();
const context = await browser.context(base, { extraHTTPHeaders: { authorization: `Bearer ${token}` } });
console.log('| page | first paint, ms |\n|---|---|');
for (const path of paths) {
  const times = [];
  for (let load = 0; load < LOADS; load += 1) {
    const page = await context.newPage();
    await page.goto(base + path, { waitUntil: 'load' });
    const painted = await page.waitForFunction(
      () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
    );
    times.push(Math.round(await painted.jsonValue()));
    await page.close();
  }
  times.sort((a, b) => a - b);
  console.log(`| \`${path}\` | ${times[Math.floor(LOADS / 2)]} |`);
}
await browser.stop();
