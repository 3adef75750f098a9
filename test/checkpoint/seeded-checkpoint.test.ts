import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { seededCheckpoint, seededCheckpoints, seededComponents } from '../support/seeded-checkpoint.js';

describe('a checkpoint drawn from its seeds has the bytes of the recorded one', () => {
  for (const name of seededCheckpoints) {
    it(name, async () => {
      const checkpoint = await seededCheckpoint(name);
      for (const { folder, files } of await seededComponents(name)) {
        for (const [file, digest] of Object.entries(files)) {
          const bytes = await readFile(join(checkpoint, folder, file));
          assert.equal(createHash('sha256').update(bytes).digest('hex'), digest, `${folder}/${file}`);
        }
      }
    });
  }
});
