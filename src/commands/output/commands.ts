import type { PlanReport } from '../../app/plan.js';
import { bytesText } from '../../base/numbers.js';
import type { DescribedCommand, DescribedOperand } from '../../engine/lowered/described.js';
import type { PartList } from '../../planning/rank-program.js';
import { table } from './table.js';

/** Longer lists of numbers are told by their beginning and their length. */
const SHOWN_NUMBERS = 4;

/** The lists of commands of a plan, a table for each part. */
export function commandLines({ commands }: PlanReport): string[] {
  if (!commands) return [];
  return commands.parts.flatMap((part) => ['', ...partLines(part, commands.rank)]);
}

function partLines({ part, arenaBytes, prepared, commands }: PartList, rank: number): string[] {
  const first = `, the first ${prepared} of them at the first step alone`;
  const when = part === 'image' ? 'once per image' : `at every step${prepared > 0 ? first : ''}`;
  const title = `commands of rank ${rank}: ${commands.length} ${when}; arena of ${bytesText(arenaBytes)}`;
  const rows = commands.map((command) => [
    String(command.number),
    command.op,
    command.name,
    bytesText(command.arena),
    attributesText(command),
    operandsText(command),
  ]);
  const titles = ['', 'command', 'name', 'arena', 'attributes', 'operands'];
  return [title, ...table(titles, rows, [1, 2, 4, 5]).map((line) => `  ${line}`)];
}

function operandsText({ operands }: DescribedCommand): string {
  return Object.entries(operands)
    .map(([name, operand]) => `${name} ${operandText(operand)}`)
    .join(', ');
}

/** Such as "bfloat16 [2, 32, 32, 64] @4096": in the arena, from this byte on. */
function operandText({ memory, offset, dtype, shape }: DescribedOperand): string {
  return `${dtype} [${shape.join(', ')}] ${memory === 'arena' ? `@${offset}` : memory}`;
}

function attributesText({ attributes }: DescribedCommand): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? numberText(value) : numbersText(value)}`)
    .join(', ');
}

function numbersText(values: readonly number[]): string {
  const shown = values.slice(0, SHOWN_NUMBERS).map(numberText).join(' ');
  return values.length > SHOWN_NUMBERS ? `[${shown} … ${values.length}]` : `[${shown}]`;
}

function numberText(value: number): string {
  return String(Number(value.toPrecision(6)));
}
