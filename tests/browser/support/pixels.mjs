// The pixels of pictures, as a browser reads them.

export class Pixels {
  /// Reads pictures in a page of its own, in which all is allowed.
  static async in(browser) {
    const it = new Pixels();
    it.page = await (await browser.chromium.newContext()).newPage();
    return it;
  }

  /// The pixels of a PNG: `at(x, y)` is red, green and blue.
  async of(png) {
    const { width, data } = await this.page.evaluate(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (it) => it.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
      const brush = new OffscreenCanvas(image.width, image.height).getContext('2d');
      brush.drawImage(image, 0, 0);
      return { width: image.width, data: [...brush.getImageData(0, 0, image.width, image.height).data] };
    }, png.toString('base64'));
    return { at: (x, y) => data.slice((y * width + x) * 4, (y * width + x) * 4 + 3) };
  }
}
