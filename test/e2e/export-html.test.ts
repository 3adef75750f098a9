import assert from 'node:assert/strict';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { exitStatus } from '../../src/base/errors.js';
import { chromiumRuns, launchChromium } from '../support/chromium.js';
import { Cli, type Ended, inNewFolder } from './cli.js';

const WIDTH = 96;
const HEIGHT = 64;
const RED = [200, 30, 40] as const;
const GREEN = [60, 180, 40] as const;
const PROMPT = `a <b>bold</b> "red" & 'green' <script>globalThis.injected = 1</script> ring`;

type Colour = readonly [number, number, number];

/**
 * A picture of one colour, red growing to the right by `slope` in all, with a PNG text as distri's pictures
 * have.
 */
async function picture(path: string, [red, green, blue]: Colour, slope = 0): Promise<void> {
  const pixels = new Uint8Array(WIDTH * HEIGHT * 3);
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    pixels.set([red + Math.round((slope * (i % WIDTH)) / WIDTH), green, blue], 3 * i);
  }
  await sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
    .png()
    .toFile(path);
}

function exportHtml(folder: string, ...args: readonly string[]): Promise<Ended> {
  return new Cli(['export-html', ...args], folder).ended;
}

/** Two folders: 0001 the same in both, 0002 with green off by 5, 0003..0040 red beside green. */
async function makeFolders(folder: string): Promise<void> {
  for (const name of ['one', 'two']) await mkdir(join(folder, name));
  await picture(join(folder, 'one', '0000.png'), RED);
  await picture(join(folder, 'two', '0000.png'), RED);
  await picture(join(folder, 'one', '0001.png'), RED, 20);
  await picture(join(folder, 'two', '0001.png'), [RED[0], RED[1] + 5, RED[2]], 20);
  for (let i = 2; i < 40; i++) {
    const name = `${String(i).padStart(4, '0')}.png`;
    await picture(join(folder, 'one', name), RED);
    await picture(join(folder, 'two', name), GREEN);
  }
  const prompts = Array.from({ length: 40 }, (_, index) => (index === 1 ? PROMPT : `prompt ${index}`));
  await writeFile(join(folder, 'prompts.txt'), prompts.join('\n'));
}

/** A third of the values differ by 5. */
const PSNR_OF_5 = (10 * Math.log10(255 ** 2 / (25 / 3))).toFixed(2);
const PSNR_OF_COLOURS = (10 * Math.log10((255 ** 2 * 3) / (140 ** 2 + 150 ** 2))).toFixed(2);

describe('the page of export-html', {
  skip: !chromiumRuns && 'there is no Chromium for this machine',
}, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser.close());

  /**
   * Opens the page from disk; anything fetched but files next to it, and any message of the console, is an
   * error.
   */
  async function withPage(path: string, use: (page: Page) => Promise<void>): Promise<void> {
    const page = await browser.newPage({ viewport: { width: 1200, height: 700 } });
    const problems: string[] = [];
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) problems.push(`fetched ${request.url()}`);
    });
    page.on('requestfailed', (request) => problems.push(`failed ${request.url()}`));
    page.on('console', (message) => problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(error.message));
    try {
      await page.goto(pathToFileURL(path).href);
      await use(page);
      assert.deepEqual(problems, []);
    } finally {
      await page.close();
    }
  }

  it('shows prompts as text, thumbnails when they are near, and the PSNR of each picture', async () => {
    await inNewFolder(async (folder) => {
      await makeFolders(folder);
      const { status, stdout, stderr } = await exportHtml(folder, 'one', 'two', '--prompts', 'prompts.txt');
      assert.equal(status, 0, stderr);
      assert.match(stdout, /comparison\.html\ntwo: mean PSNR \d+\.\d\d dB, 1 of 40 equal\n$/);
      await withPage(join(folder, 'comparison.html'), async (page) => {
        const rows = page.locator('tbody tr');
        assert.equal(await rows.count(), 40);
        assert.equal(await rows.nth(1).locator('th').textContent(), `${PROMPT}0001`);
        assert.equal(await page.evaluate('globalThis.injected'), undefined);
        assert.deepEqual(await rows.nth(0).locator('td p').allTextContents(), ['reference', 'equal']);
        assert.deepEqual(await rows.nth(1).locator('td p').allTextContents(), [
          'reference',
          `${PSNR_OF_5} dB`,
        ]);
        assert.deepEqual(await rows.nth(39).locator('td p').allTextContents(), [
          'reference',
          `${PSNR_OF_COLOURS} dB`,
        ]);

        const first = rows.nth(0).locator('img').first();
        const last = rows.nth(39).locator('img').last();
        await assertDecodes(first);
        assert.equal(
          await last.getAttribute('src'),
          null,
          'the last thumbnail is decoded though it is far away',
        );
        await last.scrollIntoViewIfNeeded();
        await assertDecodes(last);
      });
    });
  });

  it('lets a slider move from the left picture to the right one', async () => {
    await inNewFolder(async (folder) => {
      await makeFolders(folder);
      for (const pictures of ['embed', 'link']) {
        const { status, stderr } = await exportHtml(folder, 'one', 'two', '--pictures', pictures);
        assert.equal(status, 0, stderr);
        await withPage(join(folder, 'comparison.html'), async (page) => {
          await page.locator('tbody tr').nth(3).locator('td button').last().click();
          await page.waitForFunction(
            '[...document.querySelectorAll(".stage img")].every((image) => image.complete && image.naturalWidth === 96)',
          );
          const slider = page.locator('#slider');
          const seen = async () => [await colourAt(page, 0.25), await colourAt(page, 0.75)];
          assert.deepEqual(await seen(), [RED, GREEN], `${pictures}, half`);
          await slider.fill('100');
          assert.deepEqual(await seen(), [RED, RED], `${pictures}, all of the left picture`);
          await slider.fill('0');
          assert.deepEqual(await seen(), [GREEN, GREEN], `${pictures}, all of the right picture`);
          await page.keyboard.press('Space');
          assert.deepEqual(await seen(), [RED, RED], `${pictures}, flipped`);
          assert.equal(await page.locator('#viewer footer span').textContent(), `${PSNR_OF_COLOURS} dB`);
          assert.equal(await page.locator('#viewer header b').textContent(), '0003');
          await page.keyboard.press('ArrowUp');
          assert.equal(await page.locator('#viewer header b').textContent(), '0002');
        });
      }
    });
  });

  it('with embedded pictures needs no other file, with linked ones the folders', async () => {
    await inNewFolder(async (folder) => {
      await makeFolders(folder);
      await exportHtml(folder, 'one', 'two', '--output_path', 'pages/embedded.html', '--pictures', 'embed');
      await exportHtml(folder, 'one', 'two', '--output_path', 'pages/linked.html', '--pictures', 'link');
      await withPage(join(folder, 'pages', 'linked.html'), async (page) => {
        const path = await page.locator('tbody button').first().getAttribute('data-picture');
        assert.equal(path, '../one/0000.png');
      });
      await rename(join(folder, 'pages', 'embedded.html'), join(folder, 'alone.html'));
      await rm(join(folder, 'one'), { recursive: true });
      await withPage(join(folder, 'alone.html'), async (page) => {
        await page.locator('tbody button').first().click();
        await page.waitForFunction('document.getElementById("left").naturalWidth === 96');
      });
    });
  });
});

async function assertDecodes(image: ReturnType<Page['locator']>): Promise<void> {
  await image.locator('xpath=self::*[@src]').waitFor();
  const width = await image.evaluate(async (element: { decode(): Promise<void>; naturalWidth: number }) => {
    await element.decode();
    return element.naturalWidth;
  });
  assert.equal(width, WIDTH);
}

/** The colour that is seen at this part of the stage's width. */
async function colourAt(page: Page, part: number): Promise<number[]> {
  const { x, y, width, height } = (await page.locator('.stage').boundingBox()) ?? assert.fail('no stage');
  const clip = { x: Math.round(x + part * width), y: Math.round(y + height / 2), width: 1, height: 1 };
  const { data } = await sharp(await page.screenshot({ clip }))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return [...data];
}

describe('export-html', () => {
  it('refuses what it cannot compare', async () => {
    await inNewFolder(async (folder) => {
      await makeFolders(folder);
      for (const name of ['empty', 'other', 'x/one', 'doubled'])
        await mkdir(join(folder, name), { recursive: true });
      await picture(join(folder, 'other', 'abc.png'), RED);
      await picture(join(folder, 'x/one', '0000.png'), RED);
      await picture(join(folder, 'doubled', 'a.png'), RED);
      await picture(join(folder, 'doubled', 'a.webp'), RED);
      await writeFile(join(folder, 'other', 'broken.png'), 'no picture');
      await writeFile(join(folder, 'few.txt'), 'one prompt\n');
      const refusals: [string[], RegExp][] = [
        [['one', 'missing'], /missing: no such file or folder$/],
        [['one', 'empty'], /empty: has no picture \(\.png, \.jpg, \.jpeg, \.webp\)$/],
        [['one', 'other'], /have pictures of the same name, so nothing can be compared$/],
        [['doubled'], /a\.png and a\.webp have the same name; keep one$/],
        [['one', 'two', '--prompts', 'few.txt'], /few\.txt: has 1 prompts, none for picture 0001$/],
        [['one', 'two', '--name', 'a'], /^distri: Expected 2 names, one for each folder, for --name /],
        [
          ['one', 'two', '--name', 'a', '--name', 'a'],
          /Two columns would be called "a"; give each a --name$/,
        ],
        [
          ['one', 'two', '--reference', 'three'],
          /^distri: Expected one of "one", "two" for --reference but received "three"/,
        ],
        [
          ['one', 'two', '--output_path', 'page.png'],
          /^distri: Expected a path that ends in \.html for --output_path /,
        ],
      ];
      const broken = await exportHtml(folder, 'other');
      assert.match(broken.stderr, /broken\.png: not an image that can be read: .*\n$/);
      assert.equal(broken.status, exitStatus.dataset);
      for (const [args, message] of refusals) {
        const { status, stdout, stderr } = await exportHtml(folder, ...args);
        assert.equal(status, 2, stderr);
        assert.match(stderr.trimEnd().split('\n').at(-1) ?? '', message);
        assert.equal(stdout, '');
      }
    });
  });

  it('tells folders of the same name apart by their parents, and takes prompts from the pictures', async () => {
    await inNewFolder(async (folder) => {
      for (const name of ['a/run', 'b/run']) await mkdir(join(folder, name), { recursive: true });
      const drawn = new Cli(
        [
          'run-sdxl',
          '-n',
          '1',
          '--num_inference_steps',
          '1',
          '--prompt',
          'a red <heart>',
          '--output_path',
          'a/run/x.png',
        ],
        folder,
      );
      const { status, stderr } = await drawn.ended;
      assert.equal(status, 0, stderr);
      await sharp(join(folder, 'a/run/x.png')).toFile(join(folder, 'b/run/x.webp'));
      const ended = await exportHtml(folder, 'a/run', 'b/run');
      assert.equal(ended.status, 0, ended.stderr);
      assert.match(ended.stdout, /^b\/run: mean PSNR /m);
    });
  });
});
