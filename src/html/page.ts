import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { htmlAssets } from '../base/package.js';
import { escapeHtml } from './escape.js';

/** Nothing is fetched from anywhere but the page itself and the pictures it links to. */
const POLICY =
  "default-src 'none'; img-src 'self' data: file:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/** A file of assets/html. */
export function readAsset(name: string): Promise<string> {
  return readFile(join(htmlAssets, name), 'utf8');
}

/** A page up to its body, with the style of an asset in it. */
export async function htmlHead(title: string, style: string): Promise<string> {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeHtml(title)}</title>
<style>
${await readAsset(style)}</style>
</head>
`;
}
