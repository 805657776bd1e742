// What a page takes over the wire.
import { eventually } from './daemon.mjs';

export class Wire {
  /// Notes what this page asks for. From now on its browser keeps no files, as if it saw each page
  /// first.
  static async of(page) {
    const it = new Wire();
    const devtools = await page.context().newCDPSession(page);
    devtools.on('Network.requestWillBeSent', ({ requestId, loaderId, request, type }) => {
      if (type === 'Document') Object.assign(it, { loaderId, asked: new Map() });
      const { pathname: path } = new URL(request.url);
      // The page before may still ask, and a page that has its stream is fetched again now and
      // then. The sign of the tab is one of the files: as a rule the browser has kept it.
      const isOfPage = loaderId === it.loaderId && !(type === 'Fetch' && it.has('EventSource'));
      const isKept = type === 'Other' && [...it.asked.values()].some((other) => other.path === path);
      if (isOfPage && !isKept) it.asked.set(requestId, { type, path });
    });
    devtools.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      const asked = it.asked.get(requestId);
      if (asked) asked.bytes = encodedDataLength;
    });
    await devtools.send('Network.enable');
    await devtools.send('Network.setCacheDisabled', { cacheDisabled: true });
    return it;
  }

  asked = new Map();

  has(type) {
    return [...this.asked.values()].some((it) => it.type === type);
  }

  /// The paths that the page which was loaded has asked for, and the bytes of the answers. Those of
  /// its stream, which goes on, are left out. Waits until all is there.
  async taken(page) {
    const isLive = await page.evaluate(() => Boolean(document.querySelector('main').dataset.topics));
    return eventually('the page and its files are there', () => {
      const all = [...this.asked.values()];
      const files = all.filter((it) => it.type !== 'EventSource');
      if (isLive !== this.has('EventSource') || files.some((it) => it.bytes === undefined)) return null;
      return { paths: all.map((it) => it.path), bytes: files.reduce((sum, it) => sum + it.bytes, 0) };
    });
  }
}
