// Builds and runs the C++ tests: `node scripts/test-native.mjs` plainly, or with each of the sanitizers named (address,
// undefined, thread; several at once as `address,undefined`).
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { compile, configure, root } from './cmake.mjs';

const SANITIZERS = ['address', 'undefined', 'thread'];
const TESTS = ['distri_math_test', 'distri_comm_test', 'distri_ops_test', 'distri_device_test'];
/** Those that compute: sanitizers watch the loops of every instruction set that this processor has. */
const COMPUTING_TESTS = ['distri_math_test', 'distri_ops_test', 'distri_device_test'];
/** Where kernels of bfloat16 alone differ from those of the level above. */
const BFLOAT16_LEVELS = ['bf16', 'v4'];
/** Sanitized programs run several times slower; one that hangs is killed. */
const TEST_LIMIT_MS = 60_000;

const ortLibrary = process.env.DISTRI_ORT_LIBRARY || findOrtLibrary();
const wanted = process.argv.slice(2);

const unknown = wanted.flatMap((names) => names.split(',')).filter((name) => !SANITIZERS.includes(name));
if (unknown.length > 0) fail(`no such sanitizer: ${unknown.join(', ')}; there are ${SANITIZERS.join(', ')}`);

if (wanted.length === 0) await testAsInstalled();
for (const sanitizer of wanted) await testWith(sanitizer);

/** Runs all tests on the very objects that the addon consists of. */
async function testAsInstalled() {
  await import('./build-native.mjs');
  const build = join(root, 'build', 'native');
  compile(build, TESTS, notBuilt);
  await runAll(TESTS.map((name) => ({ program: join(build, name), label: `C++ tests: ${name}` })));
}

/** Builds and runs all tests with one sanitizer. */
async function testWith(sanitizer) {
  const label = `C++ tests with the ${sanitizer} sanitizer`;
  if (!links(sanitizer)) {
    console.log(`${label}: skipped, the compiler has no runtime for -fsanitize=${sanitizer}`);
    return;
  }
  const build = join(root, 'build', `native-${sanitizer.replace(',', '-')}`);
  // Sanitized code without optimisation takes minutes, and with more of it its compiler does.
  const options = ['-DCMAKE_BUILD_TYPE=RelWithDebInfo', '-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1'];
  configure(build, [...options, `-DDISTRI_SANITIZE=${sanitizer}`, '-DDISTRI_CHECK_READS=ON'], notBuilt);
  compile(build, TESTS, notBuilt);
  const program = (name) => join(build, name);
  const best = TESTS.map((name) => ({ program: program(name), label: `${label}: ${name}` }));
  // Threads meet in the same places whatever they compute with.
  const lower =
    sanitizer === 'thread'
      ? []
      : lowerLevels().flatMap((level) => {
          const names = BFLOAT16_LEVELS.includes(level) ? ['distri_device_test'] : COMPUTING_TESTS;
          return names.map((name) => ({
            program: program(name),
            label: `${label}: ${name} (${level})`,
            level,
          }));
        });
  await runAll([...best, ...lower]);
}

/** Instruction sets below the best that this processor has, by the names of native/ops/levels.cc. */
function lowerLevels() {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' '));
  const levels = [
    ['amx_bf16', 'bf16'],
    ['avx512_bf16', 'v4'],
    ['avx512vl', 'v3'],
    ['avx2', 'narrow'],
  ];
  return levels.filter(([better]) => flags.has(better)).map(([, level]) => level);
}

/** Runs programs, as many at a time as there are processors: most of what they do is on one thread. */
async function runAll(runs) {
  const left = [...runs];
  const work = async () => {
    for (let next = left.shift(); next; next = left.shift()) await run(next);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}

async function run({ program, label, level }) {
  const env = {
    ...process.env,
    ...(level === undefined ? {} : { DISTRI_SIMD: level }),
    DISTRI_ORT_LIBRARY: ortLibrary,
    // It would leave what it allocates.
    ORT_DISABLE_TELEMETRY: '1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0',
    // ONNX Runtime comes without instrumentation.
    TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1',
  };
  const started = performance.now();
  const options = { env, timeout: TEST_LIMIT_MS, maxBuffer: 1 << 28 };
  try {
    await promisify(execFile)(program, options);
  } catch (error) {
    process.stderr.write(`${error.stdout ?? ''}${error.stderr ?? ''}`);
    const { signal, code } = error;
    fail(
      `${label} ${signal ? `ended by ${signal}` : typeof code === 'number' ? `exited with status ${code}` : error.message}`,
    );
  }
  console.log(`${label} passed in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/** The library that onnxruntime-node brings. */
function findOrtLibrary() {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  const bin = join(dirname(entry), '..', 'bin');
  const library = join(process.platform, process.arch, 'libonnxruntime.so.1');
  const found = readdirSync(bin)
    .map((binding) => join(bin, binding, library))
    .find((path) => existsSync(path));
  return found ?? fail(`onnxruntime-node has no ${library} in ${bin}`);
}

/** Whether a program can be linked with this sanitizer here, in words of the compiler that CMake would take. */
function links(sanitizer) {
  const folder = mkdtempSync(join(tmpdir(), 'distri-sanitizer-'));
  try {
    const program = join(folder, 'program');
    writeFileSync(`${program}.cc`, 'int main() { return 0; }\n');
    const flags = [`-fsanitize=${sanitizer}`, `${program}.cc`, '-o', program];
    return spawnSync(process.env.CXX || 'c++', flags).status === 0 && spawnSync(program).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function notBuilt(message) {
  fail(`the C++ tests were not built: ${message}`);
}

function fail(message) {
  console.error(`distri: ${message}`);
  process.exit(1);
}
