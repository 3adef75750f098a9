// Writes docs/operators.md from src/graph/operators.ts, as it is compiled; with --print to stdout instead.
import { writeFileSync } from 'node:fs';
import { operators } from '../dist/src/graph/operators.js';

const page = new URL('../docs/operators.md', import.meta.url);

const head = `# Operators

Graphs are made of ONNX's operators, a few of ONNX Runtime's own and those of domain \`distri\`, which native/ops
implements. This page is written from src/graph/operators.ts by \`node scripts/write-operators-page.mjs\`.

## Of distri

Tensors are float32 and contiguous: \`B\` images, \`C\` channels, \`H\` rows (\`h\`: this rank's), \`W\` columns, \`t\` and \`T\`
tokens, \`K\` and \`N\` features. Every attribute is always written. \`slot\` and its like say through which of the
communicator's slots an operator exchanges; ranks in attributes are those of the whole run, \`peers\` those that share
the picture in their order, \`index\` the own place among them.

An operator with \`fresh\` 1, or that is always fresh, waits for its peers' data of this step. With \`fresh\` 0 it
publishes its own if the step says so, and reads its peers' data of the step's \`readTick\`; its own is always of this
step.
`;

const norms = `
### Group normalisation of bands

PatchGroupNorm publishes, per image and group, the sum, the sum of squares (doubles) and the number of elements of its
band. Mean \`a\` and mean square \`q\` are weighted by the numbers of bands; \`tick\` is this step, \`p\` this rank.

| statistics | synchronous step (\`readTick == tick\`) | otherwise |
|---|---|---|
| 0 fresh | all bands at \`tick\` | the same |
| 1 stale | all bands at \`tick\` | own band at \`tick\`, others at \`readTick\` |
| 2 corrected | all bands at \`tick\`; a negative variance becomes the own band's | \`A = a(all, readTick) + (a_p(tick) - a_p(readTick))\`, \`Q\` likewise, variance \`Q - A^2\`; where that is negative \`q_p - a_p^2\` of this tick, and the mean stays \`A\` |
| 3 separate | all bands at \`tick\` | own band only, nothing is published |

The variance is biased, as in torch. The formulas are those of DistriFusion (CVPR 2024), section 4, and of the public
project distrifuser, modules/pp/groupnorm.py, without its n / (n - 1).
`;

function section([name, { signature, computes, attributes, kind, slots }]) {
  const facts = [
    ...(kind === 'other' ? [] : [`Counted as ${kind}.`]),
    ...(slots ? [`Exchanges through ${slots.map((slot) => `\`${slot}\``).join(' and ')}.`] : []),
  ];
  return [
    `### ${name}`,
    '',
    wrap(signature.replace(' -> ', ' → ')),
    '',
    wrap([sentence(computes), ...facts].join(' ')),
    '',
    wrap(`Attributes: ${attributeList(attributes)}.`),
    '',
  ];
}

function attributeList(attributes) {
  const listed = Object.entries(attributes).map(([name, type]) => `\`${name}\` (${type})`);
  return listed.length === 0 ? 'none' : listed.join(', ');
}

/** With a capital, unless it begins with a symbol, and a full stop. */
function sentence(text) {
  return `${/^[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text}.`;
}

function row([name, { domain, attributes, kind, view }]) {
  const what = view ? 'a view: neither memory nor time' : kind === 'other' ? '' : `counted as ${kind}`;
  return `| ${[name, domain || 'ai.onnx', Object.keys(attributes).join(', '), what].join(' | ')} |`;
}

/** Each with an empty line after it; tables and headings as they are. */
function paragraphs(text) {
  return text
    .trim()
    .split('\n\n')
    .flatMap((part) => [/^[#|]/.test(part) ? part : wrap(part), '']);
}

/** Lines of up to 110 columns; what stands between backticks stays together. */
function wrap(text) {
  const lines = [''];
  for (const word of text.match(/(?:`[^`]*`|\S)+/g)) {
    const line = lines.at(-1);
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= 110) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join('\n');
}

const all = Object.entries(operators);
const own = all.filter(([, { domain }]) => domain === 'distri');
const others = all.filter(([, { domain }]) => domain !== 'distri');

const text = [
  ...paragraphs(head),
  ...own.flatMap(section),
  ...paragraphs(norms),
  '## Of others',
  '',
  'What they compute is in the documentation of ONNX and, of domain com.microsoft, of ONNX Runtime.',
  '',
  '| operator | domain | attributes | |',
  '|---|---|---|---|',
  ...others.map(row),
  '',
].join('\n');

if (process.argv.includes('--print')) process.stdout.write(text);
else writeFileSync(page, text);
