import { spawnSync } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createBrotliDecompress } from 'node:zlib';
import { type Browser, chromium } from 'playwright-core';

const build = fileURLToPath(new URL('../../../build/', import.meta.url));
/** Compressed executable, fonts, and libraries of Chromium that small systems lack. */
const packed = join(dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium')), '../../bin');
const archives = ['fonts.tar.br', 'al2023.tar.br'];

/** @sparticuz/chromium is for this machine type only. */
export const chromiumRuns = process.platform === 'linux' && process.arch === 'x64';

/**
 * A headless Chromium without a sandbox, which works for root too; unpacked once, to build/chromium (200 MB).
 */
export async function launchChromium(): Promise<Browser> {
  const folder = await unpackedChromium();
  return chromium.launch({
    executablePath: join(folder, 'chromium'),
    args: ['--no-sandbox'],
    env: { ...process.env, LD_LIBRARY_PATH: join(folder, 'lib'), FONTCONFIG_PATH: folder } as Record<
      string,
      string
    >,
  });
}

async function unpackedChromium(): Promise<string> {
  const target = join(build, 'chromium');
  if (existsSync(target)) return target;
  await mkdir(build, { recursive: true });
  const folder = await mkdtemp(`${target}-`);
  try {
    const executable = join(folder, 'chromium');
    await decompress(join(packed, 'chromium.br'), executable);
    await chmod(executable, 0o755);
    for (const archive of archives) {
      const tar = join(folder, archive.replace(/\.br$/, ''));
      await decompress(join(packed, archive), tar);
      const { status, stderr } = spawnSync('tar', ['--no-same-owner', '-xf', tar, '-C', folder], {
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(`tar could not unpack ${tar}: ${stderr}`);
      await rm(tar);
    }
    await writeFile(join(folder, 'fonts.conf'), fontconfig(target));
    await rename(folder, target);
  } catch (error) {
    await rm(folder, { recursive: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

/** The fonts of the package alone: pages look the same everywhere, also where there are none. */
function fontconfig(folder: string): string {
  return `<fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/cache</cachedir></fontconfig>\n`;
}

function decompress(from: string, to: string): Promise<void> {
  return pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to));
}
