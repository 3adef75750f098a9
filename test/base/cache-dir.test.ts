import assert from 'node:assert/strict';
import { it } from 'node:test';
import { defaultCacheDir } from '../../src/base/cache-dir.js';

it('the cache is in DISTRI_CACHE, else XDG_CACHE_HOME, else the home folder', (test) => {
  const { DISTRI_CACHE, XDG_CACHE_HOME, HOME } = process.env;
  const set = (name: string, value: string | undefined) => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  test.after(() => {
    set('DISTRI_CACHE', DISTRI_CACHE);
    set('XDG_CACHE_HOME', XDG_CACHE_HOME);
    set('HOME', HOME);
  });
  set('HOME', '/home/somebody');
  set('XDG_CACHE_HOME', undefined);
  set('DISTRI_CACHE', undefined);
  assert.equal(defaultCacheDir(), '/home/somebody/.cache/distri');
  set('XDG_CACHE_HOME', '/xdg');
  assert.equal(defaultCacheDir(), '/xdg/distri');
  set('DISTRI_CACHE', '/own');
  assert.equal(defaultCacheDir(), '/own');
});
