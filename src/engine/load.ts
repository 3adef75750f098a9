import { fork } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DistriError, expected, toError } from '../base/errors.js';
import { addonFile, packageRoot } from '../base/package.js';
import { disableTelemetry } from '../base/telemetry.js';
import type { Addon, SimdLevel } from './addon.js';

/** What the native side consists of on this machine. */
export interface AddonProbe {
  /** Path of the addon. */
  readonly addon: string;
  /** Path of libonnxruntime. */
  readonly library: string;
  /** Version of ONNX Runtime. */
  readonly version: string;
  /** What kernels are chosen for. */
  readonly simdLevel: SimdLevel;
}

/** What the child process of `probeAddon` says. */
export type ProbeMessage = AddonProbe | { readonly problem: string };

const require = createRequire(import.meta.url);
const probeLimit = 60_000;

/** Loads the native addon into this process, without ONNX Runtime, which takes longer than all else of it. */
export function loadAddon(): Addon {
  loaded ??= explained(openAddon);
  return loaded;
}

/**
 * Loads the native addon and ONNX Runtime into this process.
 * The library is the one that onnxruntime-node brings, unless DISTRI_ORT_LIBRARY names another.
 */
export function loadOnnxRuntime(): AddonProbe {
  const { simdLevel } = loadAddon();
  onnxRuntime ??= explained(openOnnxRuntime);
  return { addon: addonPath(), ...onnxRuntime, simdLevel };
}

/**
 * Finds out in a child process whether the addon and ONNX Runtime work here, so that a library that crashes
 * does not take this process along. Rejects with a DistriError that says why not and what may help.
 */
export function probeAddon(): Promise<AddonProbe> {
  // Over a channel of its own, because others may print to the standard streams.
  const child = fork(fileURLToPath(new URL('./probe.js', import.meta.url)), {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    timeout: probeLimit,
  });
  let errors = '';
  child.stderr?.on('data', (data: Buffer) => {
    errors += data;
  });
  return new Promise((resolve, reject) => {
    let said: ProbeMessage | undefined;
    child.on('message', (message) => {
      said = message as ProbeMessage;
    });
    child.on('error', (error) => reject(unusable(`no process could try it: ${error.message}`)));
    child.on('close', (_, signal) => {
      if (signal !== null) reject(unusable(`the process that tried it died with ${signal}`));
      else if (said === undefined) reject(unusable(errors.trim()));
      else if ('problem' in said) reject(new DistriError('native', said.problem));
      else resolve(said);
    });
  });
}

let loaded: Addon | undefined;
let onnxRuntime: Pick<AddonProbe, 'library' | 'version'> | undefined;

/** What `open` returns; what it throws says what may help. */
function explained<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    throw error instanceof DistriError ? error : unusable(toError(error).message, error);
  }
}

function openAddon(): Addon {
  const addon = require(addonPath()) as Addon;
  checkLevel(addon);
  return addon;
}

function openOnnxRuntime(): Pick<AddonProbe, 'library' | 'version'> {
  const library = libraryPath();
  disableTelemetry();
  return { library, version: loadAddon().loadOnnxRuntime(library) };
}

/** Who misspells a level would measure another one than asked for. */
function checkLevel({ simdLevels }: Addon): void {
  const wanted = process.env.DISTRI_SIMD;
  if (!wanted || simdLevels.some((level) => level === wanted)) return;
  throw expected(`one of ${simdLevels.join(', ')}`, 'DISTRI_SIMD', wanted);
}

function addonPath(): string {
  if (!existsSync(addonFile)) throw unusable(`${addonFile} does not exist`);
  return addonFile;
}

function libraryPath(): string {
  const override = process.env.DISTRI_ORT_LIBRARY;
  if (override) return override;
  const bin = join(packageRoot(dirname(require.resolve('onnxruntime-node'))), 'bin');
  const platform = join(process.platform, process.arch);
  // The folder between is named after the Node-API version of onnxruntime-node's own binding.
  const found = readdirSync(bin)
    .map((binding) => join(bin, binding, platform, 'libonnxruntime.so.1'))
    .find((path) => existsSync(path));
  if (!found) throw unusable(`onnxruntime-node in ${bin} has no library for ${platform}`);
  return found;
}

const rebuild = 'Build the addon: npm run build (needs cmake and a C++17 compiler)';
const reinstall = 'Install the dependencies again: npm ci';
const library = process.env.DISTRI_ORT_LIBRARY
  ? 'Unset DISTRI_ORT_LIBRARY, or point it at libonnxruntime.so of another installation'
  : reinstall;

const solutions: readonly { cause: RegExp; try: readonly string[] }[] = [
  { cause: /distri\.node does not exist/, try: [rebuild] },
  { cause: /NODE_MODULE_VERSION|undefined symbol: napi/, try: [`Use Node.js 20.15 or later. ${rebuild}`] },
  {
    cause: /libstdc\+\+|GLIBCXX|CXXABI/,
    try: ['Install the C++ runtime: apt-get install libstdc++6, or dnf install libstdc++', rebuild],
  },
  { cause: /GLIBC_/, try: [`The C library is older than the one built with. ${rebuild}`] },
  {
    cause: /ELF|architecture/,
    try: [`Use builds for ${process.platform}-${process.arch}. ${rebuild}`, reinstall],
  },
  { cause: /onnxruntime|ONNX Runtime|OrtGetApiBase/, try: [library] },
  { cause: /died with/, try: [rebuild, library] },
];

function unusable(reason: string, cause?: unknown): DistriError {
  const found = `Node.js ${process.versions.node} on ${process.platform}-${process.arch}`;
  const advice = solutions.find((solution) => solution.cause.test(reason))?.try ?? [rebuild, reinstall];
  const lines = [
    'Could not load the native addon',
    `Reason: ${reason}`,
    `Found: ${found}`,
    'Required: Node.js 20.15 or later on Linux, ONNX Runtime 1.20 to 1.39',
    'Possible solutions:',
    ...advice.map((text) => `- ${text}`),
  ];
  return new DistriError('native', lines.join('\n'), { cause });
}
