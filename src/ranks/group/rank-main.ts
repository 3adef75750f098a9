/**
 * What a rank process runs: first it sees to it that it ends with its parent, then it becomes the program
 * that its first argument names. Programs load much before they do anything, and may be stopped meanwhile.
 */
import { optimizeLate } from '../../base/optimize-late.js';
import { loadAddon } from '../../engine/load.js';

optimizeLate();
const [, , program, parent] = process.argv;
loadAddon().dieWithParent(Number(parent));
await import(program as string);
