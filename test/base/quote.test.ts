import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DistriError } from '../../src/base/errors.js';
import { abbreviate, listNames, quote } from '../../src/base/quote.js';
import { keepSecret } from '../../src/base/secrets.js';

const red = '\u001b[31m';
const CSI = '\u009b';
const rightToLeft = '\u202e';

test('terminals obey nothing of what is foreign in a message', () => {
  assert.equal(quote(`${red}a${CSI}b${rightToLeft}c\n`), '"\\u001b[31ma\\u009bb\\u202ec\\n"');
  assert.equal(abbreviate(`${red}a${CSI}b${rightToLeft}c\n`), '\\u001b[31ma\\u009bb\\u202ec\\u000a');
  const { message } = new DistriError('usage', `${red}${CSI}a\rb\nc`);
  assert.equal(message, '\\u001b[31m\\u009ba\\u000db\nc', 'only lines stay');
});

test('what is long is cut, and of many names some are shown', () => {
  assert.equal(quote('x'.repeat(1000)).length, 100);
  assert.equal(abbreviate('x'.repeat(1000), 20), `${'x'.repeat(17)}...`);
  assert.equal(listNames(['a', 'b']), 'a, b');
  assert.equal(listNames(Array.from({ length: 20 }, (_, i) => `${i}`)), '0, 1, 2, 3, 4, 5, 6, 7 and 12 more');
});

test('a secret is in no message, not even a part of it', () => {
  const secret = 'hf_0123456789';
  keepSecret(secret);
  assert.equal(new DistriError('network', `you sent ${secret}`).message, 'you sent (secret)');
  assert.equal(quote({ header: secret }), '{"header":"(secret)"}');
  for (let start = 80; start < 110; start++) {
    assert.ok(!abbreviate(`${'x'.repeat(start)}${secret}`).includes('hf_0'), `at ${start}`);
  }
  keepSecret('model');
  assert.equal(new DistriError('usage', 'model').message, 'model', 'too short to be one');
});
